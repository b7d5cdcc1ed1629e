/*
 * The sample answers of a run. What is promised:
 *   - each evaluation that is the best so far, and the last, adds its answers to samples.csv,
 *     eval.samples of them, and 0 gives no file;
 *   - any text comes back as it was, with quotes, line ends and commas;
 *   - a run that goes on keeps what its state knows of, without a row that was cut short: it ends
 *     with the file of an uninterrupted one;
 *   - a file that is damaged, or another's, is an error with its line;
 *   - overwriting leaves nothing of the old ones; a failed allocation or call is reported.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/samples.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const two[] = {"eval.samples=2", NULL};

static struct lorac_samples read_back(const char *run)
{
    struct lorac_samples s;
    struct lorac_err err = {0};
    if (lorac_samples_read(&s, tiny_path(run), &err)) { fail_msg("%s", err.text); }
    return s;
}

static void the_best_evaluations_add_their_answers(void **state)
{
    (void)state;
    runs_well("a", LORAC_RUN_NEW, NULL, two);
    struct lorac_samples s = read_back("a");
    static const size_t steps[] = {4, 4, 8, 8, RUNS_STEPS, RUNS_STEPS};
    assert_int_equal(s.n, 6);
    for (size_t i = 0; i < s.n; i++) {
        assert_int_equal(s.at[i].step, steps[i]);
        assert_string_equal(s.at[i].prompt, s.at[i % 2].prompt);
        assert_string_equal(s.at[i].want, s.at[i % 2].want);
        assert_true(s.at[i].prompt[0] && s.at[i].want[0]);
    }
    assert_string_not_equal(s.at[0].prompt, s.at[1].prompt);
    lorac_samples_free(&s);
    static const char *const still[] = {"eval.samples=2", "optimizer.lr=1e-30", NULL};
    runs_well("still", LORAC_RUN_NEW, NULL, still);
    s = read_back("still");
    assert_int_equal(s.n, 4);
    assert_true(s.at[1].step == 4 && s.at[2].step == RUNS_STEPS); // that of step 8 is no better
    lorac_samples_free(&s);
}

static void without_samples_there_is_no_file(void **state)
{
    (void)state;
    static const char *const none[] = {"eval.samples=0", NULL};
    runs_well("none", LORAC_RUN_NEW, NULL, two);
    runs_well("none", LORAC_RUN_OVERWRITE, NULL, none);
    assert_false(lorac_path_exists(tiny_path("none/samples.csv")));
    struct lorac_samples s = read_back("none");
    assert_int_equal(s.n, 0);
    lorac_samples_free(&s);
}

/* A folder with the paths of a run, and nothing in it. */
static struct lorac_run_paths empty_folder(const char *name)
{
    struct lorac_run_paths p;
    assert_int_equal(lorac_dir_make(tiny_path(name), NULL), LORAC_OK);
    assert_int_equal(lorac_run_paths(&p, tiny_path(name), NULL), LORAC_OK);
    return p;
}

static enum lorac_status add(const struct lorac_run_paths *p, size_t step, const char *got,
                             struct lorac_err *err)
{
    struct lorac_buf rows = {0};
    struct lorac_buf text[3] = {0};
    lorac_buf_str(&text[0], "a \"quoted\"\r\nline, and <b>");
    lorac_buf_str(&text[2], got);
    lorac_samples_row(&rows, step, text);
    enum lorac_status st = text[0].no_memory || text[2].no_memory
                               ? lorac_fail(err, LORAC_ENOMEM, "no memory")
                               : lorac_samples_add(p, &rows, err);
    lorac_buf_free(&text[0]);
    lorac_buf_free(&text[2]);
    lorac_buf_free(&rows);
    return st;
}

static void any_text_comes_back(void **state)
{
    (void)state;
    struct lorac_run_paths p = empty_folder("text");
    assert_int_equal(add(&p, 3, "\"", NULL), LORAC_OK);
    assert_int_equal(add(&p, 9, ",\n\n", NULL), LORAC_OK);
    struct lorac_samples s = read_back("text");
    assert_int_equal(s.n, 2);
    assert_string_equal(s.at[0].prompt, "a \"quoted\"\r\nline, and <b>");
    assert_string_equal(s.at[0].want, "");
    assert_string_equal(s.at[0].got, "\"");
    assert_string_equal(s.at[1].got, ",\n\n");
    lorac_samples_free(&s);
    lorac_run_paths_free(&p);
}

static void a_run_that_goes_on_keeps_what_its_state_knows(void **state)
{
    (void)state;
    struct lorac_run_paths p = empty_folder("cut");
    size_t n = 0;
    assert_int_equal(add(&p, 4, "four", NULL), LORAC_OK);
    char *four = tiny_read(p.samples, &n);
    assert_int_equal(add(&p, 8, "eight\n", NULL), LORAC_OK);
    size_t whole = 0;
    char *eight = tiny_read(p.samples, &whole);
    for (size_t end = n; end <= whole; end++) { // killed while it wrote, or after
        assert_int_equal(lorac_file_write(p.samples, eight, end, NULL), LORAC_OK);
        struct lorac_samples s = read_back("cut");
        assert_int_equal(s.n, end < whole ? 1 : 2);
        lorac_samples_free(&s);
        assert_int_equal(lorac_samples_begin(&p, 7, NULL), LORAC_OK);
        size_t left = 0;
        char *now = tiny_read(p.samples, &left);
        assert_int_equal(left, n);
        assert_memory_equal(now, four, n);
        lorac_mem_free(now);
    }
    assert_int_equal(lorac_samples_begin(&p, 3, NULL), LORAC_OK); // none of them counts
    assert_false(lorac_path_exists(p.samples));
    assert_int_equal(lorac_file_write(p.samples, "step,pro", 8, NULL), LORAC_OK);
    assert_int_equal(lorac_samples_begin(&p, 3, NULL), LORAC_OK);
    assert_false(lorac_path_exists(p.samples));
    lorac_mem_free(four);
    lorac_mem_free(eight);
    lorac_run_paths_free(&p);
}

static void a_killed_run_ends_with_the_file_of_a_whole_one(void **state)
{
    (void)state;
    static const char *const last[] = {"eval.samples=2", "output.keep=[last]", NULL};
    struct runs_stop five = {.at = 5};
    struct runs_stop nine = {.at = 9};
    struct lorac_run_watch to_five = runs_stop_watch(&five);
    struct lorac_run_watch to_nine = runs_stop_watch(&nine);
    runs_well("whole", LORAC_RUN_NEW, NULL, last);
    runs_well("killed", LORAC_RUN_NEW, &to_five, last);
    size_t n[3];
    char *saved = tiny_read(tiny_path("killed/state/state.safetensors"), &n[0]);
    runs_well("killed", LORAC_RUN_RESUME, &to_nine, last); // evaluates at 8; killed before it saves
    assert_int_equal(
        lorac_file_write(tiny_path("killed/state/state.safetensors"), saved, n[0], NULL), LORAC_OK);
    runs_well("killed", LORAC_RUN_RESUME, NULL, last);
    char *want = tiny_read(tiny_path("whole/samples.csv"), &n[1]);
    char *got = tiny_read(tiny_path("killed/samples.csv"), &n[2]);
    assert_string_equal(got, want);
    lorac_mem_free(saved);
    lorac_mem_free(want);
    lorac_mem_free(got);
}

static void what_is_damaged_is_an_error(void **state)
{
    (void)state;
    struct lorac_run_paths p = empty_folder("bad");
    static const struct {
        const char *text, *want;
    } bad[] = {
        {"a,b\n1,2\n", ":1: does not begin with lorac's header of samples"},
        {"step,prompt,want,got\n4,a,b,c\nfour,a,b,c\n",
         ":3: step: must be a whole number, found 'four'"},
        {"step,prompt,want,got\n4,a,b\n", ":2:1: 3 fields, expected 4"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lorac_samples s;
        struct lorac_err err = {0};
        tiny_text("bad/samples.csv", bad[i].text);
        assert_int_not_equal(lorac_samples_read(&s, tiny_path("bad"), &err), LORAC_OK);
        if (!strstr(err.text, bad[i].want)) { fail_msg("%s", err.text); }
        err.text[0] = '\0';
        assert_int_not_equal(lorac_samples_begin(&p, 4, &err), LORAC_OK);
        if (!strstr(err.text, bad[i].want)) { fail_msg("%s", err.text); }
    }
    lorac_run_paths_free(&p);
}

static enum lorac_status all_of_it(const struct lorac_run_paths *p, struct lorac_err *err)
{
    struct lorac_samples s = {0};
    enum lorac_status st = lorac_file_remove(p->samples, err);
    if (!st) { st = add(p, 4, "four", err); }
    if (!st) { st = add(p, 8, "eight", err); }
    if (!st) { st = lorac_samples_begin(p, 7, err); }
    if (!st) { st = lorac_samples_read(&s, p->dir, err); }
    assert_true(st || s.n == 1);
    lorac_samples_free(&s);
    return st;
}

static void every_failure_is_reported(void **state)
{
    (void)state;
    struct lorac_run_paths p = empty_folder("fault");
    for (enum faults_kind kind = FAULTS_CALLS; kind <= FAULTS_MEMORY; kind++) {
        long failures = 0;
        for (bool met = true; met; failures += met) {
            struct lorac_err err = {0};
            faults_start(kind, failures);
            enum lorac_status st = all_of_it(&p, &err);
            met = faults_stop();
            // libcsv asks for less where it gets nothing: then nothing has failed
            assert_int_equal(st, met && st ? faults_status(kind) : LORAC_OK);
            assert_true(!st || err.text[0]);
        }
        assert_true(failures > 3);
    }
    lorac_run_paths_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_evaluations_add_their_answers),
        cmocka_unit_test(without_samples_there_is_no_file),
        cmocka_unit_test(any_text_comes_back),
        cmocka_unit_test(a_run_that_goes_on_keeps_what_its_state_knows),
        cmocka_unit_test(a_killed_run_ends_with_the_file_of_a_whole_one),
        cmocka_unit_test(what_is_damaged_is_an_error),
        cmocka_unit_test(every_failure_is_reported),
    };
    return cmocka_run_group_tests(tests, runs_make, runs_remove);
}
