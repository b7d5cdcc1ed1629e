/*
 * Training runs on a machine that fails. What is promised:
 *   - whichever call of the file system fails, the run says so; taken up again, or begun anew where it had
 *     not begun, it ends as the run that met no failure;
 *   - every failed allocation is reported, nothing leaks, and the folder can be used again.
 */
#include "base/core/fault.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

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

static enum lorac_status begin_or_go_on(struct lorac_err *err)
{
    struct lorac_run_result result;
    bool there = lorac_path_exists(tiny_path("run/recipe.resolved.yaml"));
    return runs_go(&result, "run", there ? LORAC_RUN_RESUME : LORAC_RUN_NEW, NULL, quick, err);
}

/* The run with the n-th call failing; false where it met none. */
static bool fails_at(void (*fail_after)(long n), long n, enum lorac_status want)
{
    struct lorac_run_result result;
    struct lorac_err err = {0};
    struct lorac_run_watch nobody = {0};
    struct lorac_recipe *r = runs_recipe(tiny_path("run"), quick);
    assert_int_equal(lorac_dir_remove(tiny_path("run"), NULL), LORAC_OK);
    fail_after(n);
    enum lorac_status st = lorac_run(&result, r, LORAC_RUN_NEW, &nobody, &err);
    fail_after(-1);
    lorac_recipe_free(r);
    if (!st) { return false; }
    if (st != want) { fail_msg("call %ld: status %d, %s", n, (int)st, err.text); }
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
    for (; fails_at(lorac_sys_fail_after, n, LORAC_EIO); n += n < EACH ? 1 : 2) {
        failures++;
        struct lorac_err err = {0};
        if (begin_or_go_on(&err)) { fail_msg("after failure %ld: %s", n, err.text); }
        runs_same("whole", "run");
    }
    assert_true(n > 100 && failures > EACH);
    print_message("%ld calls of %ld failed in turn\n", failures, n);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    unsigned long before = lorac_mem_count();
    assert_int_equal(lorac_dir_remove(tiny_path("run"), NULL), LORAC_OK);
    runs_well("run", LORAC_RUN_NEW, NULL, quick);
    long all = (long)(lorac_mem_count() - before); // those of the recipe included
    long failures = 0;
    long unnoticed = 0; // libcsv asks for less where it gets no memory
    for (long n = 0; n < all; n += n < EACH ? 1 : 31) {
        struct lorac_err err = {0};
        if (!fails_at(lorac_mem_fail_after, n, LORAC_ENOMEM)) {
            unnoticed++;
            runs_same("whole", "run");
            continue;
        }
        failures++;
        if (begin_or_go_on(&err)) { fail_msg("after failure %ld: %s", n, err.text); }
        runs_same("whole", "run");
    }
    print_message("%ld allocations of %ld failed in turn\n", failures, all);
    assert_true(failures > EACH && unnoticed < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_survives_every_failing_call),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("run_faults", tests, runs_make, runs_remove);
}
