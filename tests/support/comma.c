/*
 * comma.c - what an embedding program may do before it calls us: a locale whose numbers have a decimal comma.
 *
 * A test program that finds LORAC_TEST_LOCALE in its environment runs under that locale, from the folder that LOCPATH
 * names, and fails nothing that it would not fail without: files and messages have a point. Where the system has no such
 * locale it says so and ends as skipped (77), so that nobody takes it for passed.
 */
#define _POSIX_C_SOURCE 200809L
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((constructor)) static void speak(void)
{
    const char *name = getenv("LORAC_TEST_LOCALE");
    if (!name) { return; }
    if (setlocale(LC_ALL, name) && strcmp(localeconv()->decimal_point, ".") != 0) { return; }
    printf("skipped: no locale '%s' whose decimal point is another\n", name);
    (void)fflush(stdout);
    exit(77);
}
