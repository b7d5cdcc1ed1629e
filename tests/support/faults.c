/* faults.c - see faults.h. */
#include "tests/support/faults.h"

#include "base/core/fault.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char result[2048];

void faults_say(const char *fmt, ...)
{
    size_t n = strlen(result);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(result + n, sizeof result - n, fmt, args);
    va_end(args);
}

enum lorac_status faults_text(const struct lorac_buf *b, struct lorac_err *err)
{
    return b->no_memory ? lorac_fail(err, LORAC_ENOMEM, "no memory for text") : LORAC_OK;
}

/* The result that no failure disturbed, and the file that belongs to it. */
struct good {
    char result[sizeof result], *file;
    size_t n;
};

/* Whole or not there; and no other file beside it. */
static void expect_whole(const struct good *g, const char *what)
{
    char **names = NULL;
    assert_int_equal(lorac_dir_list(&names, tiny_dir(), NULL), LORAC_OK);
    for (size_t i = 0; names[i]; i++) {
        if (strstr(names[i], "tmp-")) { fail_msg("%s: leaves %s", what, names[i]); }
    }
    lorac_mem_free(names);
    if (!g->file || !lorac_path_exists(tiny_path("out"))) { return; }
    size_t n = 0;
    char *text = tiny_read(tiny_path("out"), &n);
    if (n != g->n || memcmp(text, g->file, n) != 0) { fail_msg("%s: half a file", what); }
    lorac_mem_free(text);
}

/* Fail call `n`; false where the scenario made fewer. *unnoticed counts failures that changed nothing. */
static bool fails(const struct faults_scenario *s, const struct good *g, bool memory, long n,
                  long *unnoticed)
{
    struct lorac_err err = {0};
    char what[100];
    (void)snprintf(what, sizeof what, "%s: %s %ld", s->name, memory ? "allocation" : "call", n);
    assert_int_equal(lorac_file_remove(tiny_path("out"), NULL), LORAC_OK);
    result[0] = '\0';
    (memory ? lorac_mem_fail_after : lorac_sys_fail_after)(n);
    enum lorac_status st = s->go(&err);
    bool met = (memory ? lorac_mem_fail_left() : lorac_sys_fail_left()) < 0;
    lorac_mem_fail_after(-1);
    lorac_sys_fail_after(-1);
    if (!met && st) { fail_msg("%s: fails by itself: %s", what, err.text); }
    if (st) {
        if (st != (memory ? LORAC_ENOMEM : LORAC_EIO) || err.code != st || !err.text[0] ||
            strchr(err.text, '\n')) {
            fail_msg("%s: status %d, '%s'", what, (int)st, err.text);
        }
    } else {
        if (strcmp(result, g->result) != 0) {
            fail_msg("%s: not noticed, and '%s' became '%s'", what, g->result, result);
        }
        *unnoticed += met;
    }
    expect_whole(g, what);
    return met;
}

void faults_meet(const struct faults_scenario *scenarios, size_t n_scenarios)
{
    for (size_t i = 0; i < n_scenarios; i++) {
        const struct faults_scenario *s = &scenarios[i];
        struct good g = {0};
        struct lorac_err err = {0};
        long counts[2] = {0};
        long unnoticed[2] = {0};
        result[0] = '\0';
        if (s->go(&err)) { fail_msg("%s: %s", s->name, err.text); }
        memcpy(g.result, result, sizeof result);
        if (s->writes) { g.file = tiny_read(tiny_path("out"), &g.n); }
        for (int memory = 0; memory < 2; memory++) {
            for (long n = 0; fails(s, &g, memory, n, &unnoticed[memory]);
                 n += n < 100 ? 1 : s->step) {
                counts[memory]++;
            }
        }
        print_message("%-16s %4ld calls and %4ld allocations failed; %ld and %ld did not matter\n",
                      s->name, counts[0], counts[1], unnoticed[0], unnoticed[1]);
        assert_true(counts[0] > 5 && counts[1] > 5);
        assert_true(unnoticed[0] == 0 &&
                    unnoticed[1] < 20); // libcsv asks for less where it gets none
        lorac_mem_free(g.file);
    }
}
