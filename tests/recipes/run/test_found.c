/*
 * Runs that are there already. What is promised:
 *   - a folder without a run holds none; one that was stopped is unfinished; one that ended is
 *     finished, also after it was resumed, and names the adapter that it kept and its size;
 *   - its time is that of all steps and evaluations in metrics.csv, and not known without that
 *     file;
 *   - a run of another recipe, base or table is an error that names it, damaged files are errors;
 *   - whichever allocation fails is reported.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "recipes/run/found.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Look into the folder OUT as the recipe with these settings would. */
static enum lorac_status look(struct lorac_found *f, const char *out, const char *const *sets,
                              struct lorac_err *err)
{
    struct lorac_job *j = NULL;
    struct lorac_recipe *r = runs_recipe(tiny_path(out), sets);
    enum lorac_status st = lorac_job_open(&j, r, LORAC_JOB_TRAIN, err);
    if (!st) { st = lorac_found_look(f, j, err); }
    lorac_job_close(j);
    lorac_recipe_free(r);
    return st;
}

static struct lorac_found found(const char *out, const char *const *sets)
{
    struct lorac_found f = {0};
    struct lorac_err err = {0};
    if (look(&f, out, sets, &err)) { fail_msg("%s", err.text); }
    return f;
}

static void expect_error(const char *out, const char *const *sets, enum lorac_status want,
                         const char *words)
{
    struct lorac_found f = {0};
    struct lorac_err err = {0};
    assert_int_equal(look(&f, out, sets, &err), want);
    assert_null(f.adapter);
    if (!strstr(err.text, words)) { fail_msg("no '%s' in: %s", words, err.text); }
}

static void a_folder_holds_no_run_an_unfinished_or_a_finished_one(void **state)
{
    (void)state;
    struct lorac_found f = found("none", NULL);
    assert_true(f.state == LORAC_FOUND_NONE && !f.adapter);
    lorac_found_release(&f);

    static const char *const watched[] = {"train.watchdog.loss_above=1e-6", NULL};
    struct lorac_run_result failed;
    assert_int_equal(runs_go(&failed, "failed", LORAC_RUN_NEW, NULL, watched, NULL), LORAC_EUSER);
    f = found("failed", watched);
    assert_int_equal(f.state, LORAC_FOUND_UNFINISHED);
    lorac_found_release(&f);

    struct runs_stop stop = {.at = 6};
    struct lorac_run_watch watch = runs_stop_watch(&stop);
    (void)runs_well("half", LORAC_RUN_NEW, &watch, NULL);
    f = found("half", NULL);
    assert_int_equal(f.state, LORAC_FOUND_UNFINISHED);
    lorac_found_release(&f);
    (void)runs_well("half", LORAC_RUN_RESUME, NULL, NULL);
    f = found("half", NULL);
    assert_int_equal(f.state, LORAC_FOUND_FINISHED);
    assert_string_equal(f.adapter, tiny_path("half/best"));
    size_t n = 0;
    lorac_mem_free(tiny_read(tiny_path("half/best/adapter_model.safetensors"), &n));
    assert_int_equal(f.adapter_bytes, n);
    lorac_found_release(&f);

    static const char *const last[] = {"output.keep=[last]", NULL};
    (void)runs_well("kept", LORAC_RUN_NEW, NULL, last);
    f = found("kept", last);
    assert_string_equal(f.adapter, tiny_path("kept/last"));
    lorac_found_release(&f);
}

static void its_time_is_that_of_all_lines_of_its_metrics(void **state)
{
    (void)state;
    size_t n = 0;
    (void)runs_well("timed", LORAC_RUN_NEW, NULL, NULL);
    char *text = tiny_read(tiny_path("timed/metrics.csv"), &n);
    double sum = 0.0;
    size_t lines = 0;
    for (const char *end = strchr(text, '\n') + 1; (end = strchr(end, '\n')); end++, lines++) {
        const char *field = end;
        while (field[-1] != ',') {
            field--;
        }
        sum += lorac_strtod(field, NULL);
    }
    assert_true(lines > RUNS_STEPS && sum > 0.0); // evaluations, too
    struct lorac_found f = found("timed", NULL);
    assert_true(fabs(f.seconds - sum) < 1e-9);
    lorac_found_release(&f);

    text[n - 1] = 'x'; // in the place of the last line's end
    assert_int_equal(lorac_file_write(tiny_path("timed/metrics.csv"), text, n, NULL), LORAC_OK);
    expect_error("timed", NULL, LORAC_EFORMAT,
                 "timed/metrics.csv: a line ends without its seconds");
    text[0] = 'x';
    assert_int_equal(lorac_file_write(tiny_path("timed/metrics.csv"), text, n, NULL), LORAC_OK);
    expect_error("timed", NULL, LORAC_EFORMAT, "does not begin with lorac's header");
    lorac_mem_free(text);
    assert_int_equal(lorac_file_remove(tiny_path("timed/metrics.csv"), NULL), LORAC_OK);
    f = found("timed", NULL);
    assert_true(f.state == LORAC_FOUND_FINISHED && isnan(f.seconds));
    lorac_found_release(&f);
}

static void a_run_of_something_else_is_an_error(void **state)
{
    (void)state;
    size_t n = 0;
    (void)runs_well("other", LORAC_RUN_NEW, NULL, NULL);
    static const char *const changed[] = {"optimizer.lr=0.5", NULL};
    expect_error("other", changed, LORAC_EUSER, "optimizer.lr: 0.01 -> 0.5");
    char *rows = tiny_read(tiny_path("train.csv"), &n);
    rows[n - 1] = ' ';
    assert_int_equal(lorac_file_write(tiny_path("train.csv"), rows, n, NULL), LORAC_OK);
    expect_error("other", NULL, LORAC_EUSER, "train.csv: has changed since the run began");
    rows[n - 1] = '\n';
    assert_int_equal(lorac_file_write(tiny_path("train.csv"), rows, n, NULL), LORAC_OK);
    lorac_mem_free(rows);
    assert_int_equal(lorac_file_write(tiny_path("other/run.json"), "{", 1, NULL), LORAC_OK);
    expect_error("other", NULL, LORAC_EFORMAT, "other/run.json");
}

static void every_failure_is_reported(void **state)
{
    (void)state;
    struct lorac_job *j = NULL;
    (void)runs_well("fault", LORAC_RUN_NEW, NULL, NULL);
    struct lorac_recipe *r = runs_recipe(tiny_path("fault"), NULL);
    assert_int_equal(lorac_job_open(&j, r, LORAC_JOB_TRAIN, NULL), LORAC_OK);
    for (enum faults_kind kind = FAULTS_CALLS; kind < N_FAULTS; kind++) {
        long failures = 0;
        for (bool met = true; met; failures += met) {
            struct lorac_found f = {0};
            struct lorac_err err = {0};
            faults_start(kind, failures);
            enum lorac_status st = lorac_found_look(&f, j, &err);
            met = faults_stop();
            assert_int_equal(st, met ? faults_status(kind) : LORAC_OK);
            assert_true(!met || err.text[0]);
            lorac_found_release(&f);
        }
        assert_true(failures > 3);
    }
    lorac_job_close(j);
    lorac_recipe_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_holds_no_run_an_unfinished_or_a_finished_one),
        cmocka_unit_test(its_time_is_that_of_all_lines_of_its_metrics),
        cmocka_unit_test(a_run_of_something_else_is_an_error),
        cmocka_unit_test(every_failure_is_reported),
    };
    return cmocka_run_group_tests_name("found", tests, runs_make, runs_remove);
}
