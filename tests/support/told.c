/*
 * told.c - what ctest tells a test program in its environment, before main().
 *
 *   LORAC_TEST_PART     "own": all tests but those that read published data, which are called
 *                       "data/..."; "data": those
 *   LORAC_TEST_LOCALE   run under this locale, from the folder that LOCPATH names, as in a program
 *                       that embeds us: nothing may fail that would not fail without. Where the
 *                       system has none such the program says so and ends as skipped, so that
 *                       nobody takes it for passed.
 */
#define _POSIX_C_SOURCE 200809L
#include "tests/support/data.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void speak(const char *name)
{
    if (setlocale(LC_ALL, name) && strcmp(localeconv()->decimal_point, ".") != 0) { return; }
    printf("skipped: no locale '%s' whose decimal point is another\n", name);
    (void)fflush(stdout);
    exit(DATA_SKIPPED);
}

__attribute__((constructor)) static void listen(void)
{
    const char *part = getenv("LORAC_TEST_PART");
    const char *locale = getenv("LORAC_TEST_LOCALE");
    if (part && strcmp(part, "data") == 0) { cmocka_set_test_filter("data/*"); }
    if (part && strcmp(part, "own") == 0) { cmocka_set_skip_filter("data/*"); }
    if (locale) { speak(locale); }
}
