/* faults.c - see faults.h. */
#include "tests/support/faults.h"

#include "base/core/fault.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "tests/support/tiny.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* libyaml has no setting for its allocator. Where it is a shared library that calls its own
 * functions by name, these take their place; elsewhere they are unused. */
void *yaml_malloc(size_t n);
void *yaml_realloc(void *p, size_t n);
char *yaml_strdup(const char *s);

__attribute__((weak)) void *yaml_malloc(size_t n)
{
    return lorac_mem_raw(n);
}

__attribute__((weak)) void *yaml_realloc(void *p, size_t n)
{
    void *granted = lorac_mem_raw(1);
    lorac_mem_free(granted);
    return granted ? realloc(p, n ? n : 1) : NULL;
}

__attribute__((weak)) char *yaml_strdup(const char *s)
{
    size_t n = s ? strlen(s) + 1 : 0;
    char *copy = n ? lorac_mem_raw(n) : NULL;
    return copy ? memcpy(copy, s, n) : NULL;
}

static const struct {
    void (*fail_after)(long n);
    long (*fail_left)(void);
    enum lorac_status status;
    const char *name;
} kinds[N_FAULTS] = {
    [FAULTS_CALLS] = {lorac_sys_fail_after, lorac_sys_fail_left, LORAC_EIO, "call"},
    [FAULTS_MEMORY] = {lorac_mem_fail_after, lorac_mem_fail_left, LORAC_ENOMEM, "allocation"},
    [FAULTS_FOREIGN] = {lorac_raw_fail_after, lorac_raw_fail_left, LORAC_ENOMEM,
                        "foreign allocation"},
};

static enum faults_kind failing;

void faults_start(enum faults_kind kind, long n)
{
    lorac_mem_serve_json();
    failing = kind;
    kinds[kind].fail_after(n);
}

bool faults_stop(void)
{
    bool met = kinds[failing].fail_left() < 0;
    kinds[failing].fail_after(-1);
    return met;
}

enum lorac_status faults_status(enum faults_kind kind)
{
    return kinds[kind].status;
}

long faults_next(long n, long step)
{
    return n + (n < 100 ? 1 : step);
}

enum { LAST = 60 }; // what a scenario does at its end, each of it
static char result[8192];

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

/* Fail call `n`; false where the scenario made fewer. *unnoticed counts failures that changed
 * nothing. */
static bool fails(const struct faults_scenario *s, const struct good *g, enum faults_kind kind,
                  long n, long *unnoticed)
{
    struct lorac_err err = {0};
    char what[100];
    (void)snprintf(what, sizeof what, "%s: %s %ld", s->name, kinds[kind].name, n);
    assert_int_equal(lorac_file_remove(tiny_path("out"), NULL), LORAC_OK);
    result[0] = '\0';
    faults_start(kind, n);
    enum lorac_status st = s->go(&err);
    bool met = faults_stop();
    if (!met && st) { fail_msg("%s: fails by itself: %s", what, err.text); }
    if (st) {
        if (st != kinds[kind].status || err.code != st || !err.text[0] || strchr(err.text, '\n')) {
            fail_msg("%s: status %d, '%s'", what, (int)st, err.text);
        }
    } else {
        if (strcmp(result, g->result) != 0) {
            fail_msg("%s: not noticed, and '%s' became '%s'", what, g->result, result);
        }
        if (err.text[0]) { fail_msg("%s: kept back, '%s'", what, err.text); }
        *unnoticed += met;
    }
    expect_whole(g, what);
    return met;
}

/* How many of them `go` makes that meets no failure and ends with `want`. */
static long count(enum faults_kind kind, enum lorac_status want,
                  enum lorac_status (*go)(struct lorac_err *err))
{
    struct lorac_err err = {0};
    faults_start(kind, LONG_MAX);
    enum lorac_status st = go(&err);
    const long left = kinds[kind].fail_left();
    assert_false(faults_stop());
    if (st != want) { fail_msg("status %d: %s", (int)st, err.text); }
    return LONG_MAX - left;
}

void faults_meet(const struct faults_scenario *scenarios, size_t n_scenarios)
{
    for (size_t i = 0; i < n_scenarios; i++) {
        const struct faults_scenario *s = &scenarios[i];
        struct good g = {0};
        struct lorac_err err = {0};
        long counts[N_FAULTS] = {0};
        long unnoticed[N_FAULTS] = {0};
        result[0] = '\0';
        if (s->go(&err)) { fail_msg("%s: %s", s->name, err.text); }
        memcpy(g.result, result, sizeof result);
        if (s->writes) { g.file = tiny_read(tiny_path("out"), &g.n); }
        for (enum faults_kind k = FAULTS_CALLS; k < N_FAULTS; k++) {
            const long last = count(k, LORAC_OK, s->go) - LAST;
            for (long n = 0; fails(s, &g, k, n, &unnoticed[k]);) {
                counts[k]++;
                const long next = faults_next(n, n < last ? s->step : 1);
                n = n < last && next > last ? last : next;
            }
            print_message("%-16s %5ld %ss failed, %ld did not matter\n", s->name, counts[k],
                          kinds[k].name, unnoticed[k]);
        }
        assert_true(counts[FAULTS_CALLS] > 5 && counts[FAULTS_MEMORY] > 5);
        assert_true(unnoticed[FAULTS_CALLS] == 0 && unnoticed[FAULTS_FOREIGN] < 5);
        assert_true(unnoticed[FAULTS_MEMORY] < 20); // libcsv asks for less where it gets none
        lorac_mem_free(g.file);
    }
}

/* Fail the n-th of a kind; false where it was not met. */
static bool folder_fails(const struct faults_folder *f, enum faults_kind kind, long n)
{
    struct lorac_err err = {0};
    faults_start(kind, n);
    enum lorac_status st = f->go(f->self, &err);
    if (!faults_stop()) {
        if (st) { fail_msg("%s", err.text); }
        return false;
    }
    if (st != kinds[kind].status || !err.text[0]) {
        fail_msg("%s %ld: status %d, '%s'", kinds[kind].name, n, (int)st, err.text);
    }
    if (lorac_path_exists(f->out)) { // only the last sync of the folder failed
        assert_int_equal(lorac_dir_remove(f->out, NULL), LORAC_OK);
    }
    assert_true(lorac_dir_is_empty(f->home));
    return true;
}

void faults_meet_folder(const struct faults_folder *f)
{
    assert_int_equal(lorac_dir_make(f->home, NULL), LORAC_OK);
    for (enum faults_kind kind = FAULTS_CALLS; kind < N_FAULTS; kind++) {
        long n = 0;
        while (folder_fails(f, kind, n)) {
            n = faults_next(n, kind == FAULTS_FOREIGN ? f->step : 1);
        }
        assert_true(n > 20);
        f->made(f->self);
        assert_int_equal(lorac_dir_remove(f->out, NULL), LORAC_OK);
    }
}

/* Bytes of the files in a folder. */
static long bytes_in(const char *folder)
{
    char **names = NULL;
    size_t sum = 0;
    assert_int_equal(lorac_dir_list(&names, folder, NULL), LORAC_OK);
    for (size_t i = 0; names[i]; i++) {
        struct lorac_map map;
        char *path = lorac_path_join(folder, names[i]);
        assert_int_equal(lorac_map_open(&map, path, NULL), LORAC_OK);
        sum += map.size;
        lorac_map_close(&map);
        lorac_mem_free(path);
    }
    lorac_mem_free(names);
    return (long)sum;
}

void faults_wrong_bytes(const struct faults_folder *f)
{
    struct lorac_err err = {0};
    assert_int_equal(lorac_dir_make(f->home, NULL), LORAC_OK);
    if (f->go(f->self, &err)) { fail_msg("%s", err.text); }
    const long all = bytes_in(f->out);
    assert_true(all > 100);
    f->made(f->self);
    assert_int_equal(lorac_dir_remove(f->out, NULL), LORAC_OK);
    const long last = all - 20;
    for (long at = 0; at < all; at = at >= last            ? at + 1
                                     : at + f->step < last ? at + f->step
                                                           : last) {
        err.text[0] = '\0';
        lorac_sys_wrong_byte(at);
        enum lorac_status st = f->go(f->self, &err);
        lorac_sys_wrong_byte(-1);
        if (!st || !err.text[0]) { fail_msg("another byte %ld of %ld is not noticed", at, all); }
        assert_true(lorac_dir_is_empty(f->home));
    }
}

void faults_complain(enum lorac_status want, enum lorac_status (*go)(struct lorac_err *err))
{
    for (enum faults_kind kind = FAULTS_MEMORY; kind < N_FAULTS; kind++) {
        const long all = count(kind, want, go);
        for (long n = all > LAST ? all - LAST : 0; n < all; n++) {
            struct lorac_err err = {0};
            faults_start(kind, n);
            enum lorac_status st = go(&err);
            assert_true(faults_stop());
            if (st != want && st != LORAC_ENOMEM) {
                fail_msg("%s %ld: status %d, '%s'", kinds[kind].name, n, (int)st, err.text);
            }
            assert_true(err.code == st && err.text[0] && !strchr(err.text, '\n'));
        }
    }
}
