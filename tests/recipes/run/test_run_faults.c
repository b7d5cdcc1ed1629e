/*
 * Training runs on a machine that fails. What is promised:
 *   - whichever call of the file system fails, the run says so; taken up again, or begun anew where
 *     it had not begun, it ends as the run that met no failure;
 *   - a disk that is full, read-only or not ours to write on is named as such, with the file;
 *   - every failed allocation is reported, nothing leaks, and the folder can be used again.
 */
#include "base/core/fault.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const quick[] = {"train.epochs=1",     "train.batch_size=10",
                                    "eval.every=1 steps", "output.save_every=1 steps",
                                    "train.accumulate=1", NULL};

enum { EACH = 60 }; // the early calls all, then some

/* After failure n the run, taken up or begun anew, ends as the one that met no failure. */
static void expect_to_go_on(long n)
{
    struct lorac_run_result result;
    struct lorac_err err = {0};
    bool there = lorac_path_exists(tiny_path("run/recipe.resolved.yaml"));
    enum lorac_run_mode mode = there ? LORAC_RUN_RESUME : LORAC_RUN_NEW;
    if (runs_go(&result, "run", mode, NULL, quick, &err)) {
        fail_msg("after failure %ld: %s", n, err.text);
    }
    runs_same("whole", "run");
}

/* The run with the n-th allocation or system call failing; false where it made fewer. Those that
 * made no difference are counted. */
static bool fails_at(enum faults_kind kind, long n, long *unnoticed)
{
    struct lorac_run_result result;
    struct lorac_err err = {0};
    struct lorac_run_watch nobody = {0};
    struct lorac_recipe *r = runs_recipe(tiny_path("run"), quick);
    assert_int_equal(lorac_dir_remove(tiny_path("run"), NULL), LORAC_OK);
    faults_start(kind, n);
    enum lorac_status st = lorac_run(&result, r, LORAC_RUN_NEW, NULL, &nobody, &err);
    const bool met = faults_stop();
    lorac_recipe_free(r);
    if (!st) {
        runs_same("whole", "run");
        *unnoticed += met;
        return met;
    }
    if (st != faults_status(kind)) { fail_msg("call %ld: status %d, %s", n, (int)st, err.text); }
    assert_true(err.text[0] != '\0');
    assert_null(strchr(err.text, '\n'));
    return true;
}

static void a_run_survives_every_failing_call(void **state)
{
    (void)state;
    runs_well("whole", LORAC_RUN_NEW, NULL, quick);
    long n = 0;
    long failures = 0;
    long unnoticed = 0;
    for (; fails_at(FAULTS_CALLS, n, &unnoticed); n += n < EACH ? 1 : 2) {
        failures++;
        expect_to_go_on(n);
    }
    assert_true(n > 100 && failures > EACH && unnoticed == 0);
    print_message("%ld calls of %ld failed in turn\n", failures, n);
}

/* The run with the n-th call refused for this reason; false where it met no such call. */
static bool refused_at(long n, int code, const char *reason)
{
    struct lorac_run_result result;
    struct lorac_err err = {0};
    struct lorac_run_watch nobody = {0};
    struct lorac_recipe *r = runs_recipe(tiny_path("run"), quick);
    assert_int_equal(lorac_dir_remove(tiny_path("run"), NULL), LORAC_OK);
    faults_start(FAULTS_CALLS, -1);
    lorac_sys_fail_with(n, code);
    enum lorac_status st = lorac_run(&result, r, LORAC_RUN_NEW, NULL, &nobody, &err);
    const bool met = faults_stop();
    lorac_recipe_free(r);
    if (!met) { return false; }
    assert_int_equal(st, LORAC_EIO);
    bool placed = strstr(err.text, tiny_dir()) || strstr(err.text, "the current folder");
    if (!strstr(err.text, reason) || !placed) { fail_msg("call %ld: %s", n, err.text); }
    return true;
}

static void a_full_or_read_only_disk_is_named_and_loses_nothing(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *reason;
    } kinds[] = {{ENOSPC, ": No space left on device"},
                 {EROFS, ": Read-only file system"},
                 {EACCES, ": Permission denied"}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (long n = (long)k; refused_at(n, kinds[k].code, kinds[k].reason); n += 7) {
            expect_to_go_on(n);
        }
    }
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    for (enum faults_kind kind = FAULTS_MEMORY; kind < N_FAULTS; kind++) {
        const long step = kind == FAULTS_MEMORY ? 31 : 211;
        long n = 0;
        long failures = 0;
        long unnoticed = 0; // libcsv asks for less where it gets no memory
        for (; fails_at(kind, n, &unnoticed); n += n < EACH ? 1 : step) {
            failures++;
            expect_to_go_on(n);
        }
        print_message("%ld allocations of %ld failed in turn\n", failures, n);
        assert_true(failures > EACH && unnoticed < (kind == FAULTS_MEMORY ? 20 : 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_survives_every_failing_call),
        cmocka_unit_test(a_full_or_read_only_disk_is_named_and_loses_nothing),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("run_faults", tests, runs_make, runs_remove);
}
