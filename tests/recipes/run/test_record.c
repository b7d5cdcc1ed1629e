/*
 * A run's folder read back. What is promised:
 *   - its recipe, key by key, run.json, the lines of metrics.csv and its adapter are what the run
 *     wrote; of one that was stopped, failed or killed as far as it got;
 *   - the evaluations of a run that did not end are ranked as the trainer ranks them;
 *   - predictions are read row by row;
 *   - a folder that holds no run, and what is damaged, are errors with file and line;
 *   - whichever allocation or call fails is reported.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/record.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct lorac_record *record(const char *out)
{
    struct lorac_record *r = NULL;
    struct lorac_err err = {0};
    if (lorac_record_open(&r, tiny_path(out), &err)) { fail_msg("%s", err.text); }
    return r;
}

static int make(void **state)
{
    struct lorac_run_result result;
    struct lorac_err err = {0};
    static const char *const watched[] = {"train.watchdog.loss_above=1e-6", NULL};
    (void)runs_make(state);
    (void)runs_well("run", LORAC_RUN_NEW, NULL, NULL);
    struct runs_stop stop = {.at = 6};
    struct lorac_run_watch watch = runs_stop_watch(&stop);
    (void)runs_well("half", LORAC_RUN_NEW, &watch, NULL);
    assert_int_equal(runs_go(&result, "failed", LORAC_RUN_NEW, NULL, watched, &err), LORAC_EUSER);
    return 0;
}

static void a_finished_run_is_read_whole(void **state)
{
    (void)state;
    size_t n = 0;
    struct lorac_record *r = record("run");
    assert_int_equal(r->status, LORAC_RECORD_FINISHED);
    assert_string_equal(r->dir, tiny_path("run"));
    assert_string_equal(lorac_record_value(r, "adapter.rank"), "4");
    assert_string_equal(lorac_record_value(r, "eval.every"), "4 steps");
    assert_string_equal(lorac_record_value(r, "template.completion"), "\" {label}\"");
    assert_null(lorac_record_value(r, "adapter.rnak"));
    assert_true(r->n_values > 50 && strcmp(r->values[0].key, "recipe") == 0);
    assert_int_equal(r->recipe->adapter.rank, 4);
    assert_true(!r->error && r->ended && r->started[0] && r->fingerprint[0] && r->rows_of);
    assert_int_equal(r->threads, 1);
    assert_true(r->steps == RUNS_STEPS && r->steps_done == RUNS_STEPS && r->parameters > 0);
    assert_true(r->peak_bytes > 0 && r->seconds > 0.0);
    assert_true(r->evaluated && r->best_by == LORAC_METRIC_ACCURACY && r->best_step > 0);
    assert_true(r->best.rows == 6 && r->last.rows == 6 && r->best.tokens > 6);
    assert_true(r->best.has_accuracy && !r->best.has_exact_match && isnan(r->best.exact_match));
    assert_int_equal(r->n_lines, RUNS_STEPS + 3); // evaluated after steps 4, 8 and 11
    assert_true(r->lines[0].step == 1 && !r->lines[0].is_valid &&
                isnan(r->lines[0].metric[LORAC_METRIC_ACCURACY]));
    assert_true(r->lines[0].lr > 0.0 && r->lines[0].grad_norm > 0.0);
    const struct lorac_record_line *x = &r->lines[4];
    assert_true(x->step == 4 && x->is_valid && x->tokens == 6 && isnan(x->lr));
    assert_string_equal(r->adapter, tiny_path("run/best"));
    lorac_mem_free(tiny_read(tiny_path("run/best/adapter_model.safetensors"), &n));
    assert_int_equal(r->adapter_bytes, n);
    lorac_record_close(r);
}

static void a_run_that_did_not_end_is_read_as_far_as_it_got(void **state)
{
    (void)state;
    struct lorac_record *r = record("failed");
    assert_int_equal(r->status, LORAC_RECORD_FAILED);
    assert_non_null(strstr(r->error, "(train.watchdog.loss_above)"));
    assert_true(r->steps_done == 3 && !r->evaluated);
    lorac_record_close(r);

    r = record("half");
    assert_true(r->status == LORAC_RECORD_STOPPED && r->steps_done == 6 && r->evaluated);
    lorac_record_close(r);
}

/* As a kill leaves it: run.json says "running", and a line of metrics.csv is cut. */
static void of_a_killed_run_the_lines_tell_its_evaluations(void **state)
{
    (void)state;
    static const char manifest[] =
        "{\"status\": \"running\", \"version\": \"0\", \"started\": \"t\", \"host\": \"h\", "
        "\"cpu\": \"c\", \"threads\": 1, \"backend\": \"ref\", \"base\": \"b\", "
        "\"base_fingerprint\": \"f\", \"train\": {\"sha256\": \"1\"}, \"valid\": "
        "{\"sha256\": \"2\"}, \"best_by\": \"accuracy\", \"parameters\": 3, \"steps\": 9}";
    static const char metrics[] =
        "step,epoch,split,loss,perplexity,accuracy,macro_f1,exact_match,bits_per_byte,lr,"
        "grad_norm,tokens,trained,seconds\n"
        "1,0.1,train,2.5,12.2,,,,,0.1,1,30,4,0.5\n"
        "1,0.1,valid,2,7.4,0.5,0.25,,,,,6,12,0.25\n"
        "2,0.2,valid,3,20,0.75,0.5,,,,,6,12,0.25\n"
        "3,0.3,valid,1,2.7,0.75,0.25,,,,,6,12,0.25\n"
        "4,0.4,valid,0.5,1.6,0.25,0.25,,,,,6,12,0.25\n"
        "5,0.5,train,2.5,1";
    (void)runs_well("killed", LORAC_RUN_NEW, NULL, NULL);
    tiny_text("killed/run.json", manifest);
    tiny_text("killed/metrics.csv", metrics);
    struct lorac_record *r = record("killed");
    assert_true(r->status == LORAC_RECORD_RUNNING && r->evaluated && !r->ended);
    assert_string_equal(r->compute, "float32");
    assert_string_equal(r->rows_of, "2");
    assert_int_equal(r->best_step, 3); // of equal ones the lower loss
    assert_true(r->best.loss == 1.0 && r->best.accuracy == 0.75 && r->best.rows == 6);
    assert_true(r->last.loss == 0.5 && r->steps_done == 4);
    assert_true(r->n_lines == 5 && fabs(r->seconds - 1.5) < 1e-12);
    lorac_record_close(r);
}

/* Metrics that not every run has stand behind the columns of all, in a run that goes on, too. */
static void further_metrics_have_columns_of_their_own(void **state)
{
    (void)state;
    static const char *const sets[] = {"eval.metrics=[loss, accuracy, matthews, weighted_f1]",
                                       "eval.best=matthews", NULL};
    struct runs_stop stop = {.at = 6};
    struct lorac_run_watch watch = runs_stop_watch(&stop);
    size_t n = 0;
    (void)runs_well("more", LORAC_RUN_NEW, NULL, sets);
    (void)runs_well("later", LORAC_RUN_NEW, &watch, sets);
    (void)runs_well("later", LORAC_RUN_RESUME, NULL, sets);
    char *text = tiny_read(tiny_path("later/metrics.csv"), &n);
    assert_non_null(strstr(text, ",trained,seconds,weighted_f1,matthews\n1,"));
    lorac_mem_free(text);
    struct lorac_record *r = record("more");
    struct lorac_record *later = record("later");
    assert_true(r->best_by == LORAC_METRIC_MATTHEWS && r->n_lines == later->n_lines);
    double best = -2.0;
    for (size_t i = 0; i < r->n_lines; i++) {
        for (int m = 0; m < LORAC_METRICS; m++) {
            double a = r->lines[i].metric[m];
            double b = later->lines[i].metric[m];
            bool has = m == LORAC_METRIC_LOSS || m == LORAC_METRIC_PERPLEXITY ||
                       (r->lines[i].is_valid &&
                        (m == LORAC_METRIC_ACCURACY || m == LORAC_METRIC_MACRO_F1 ||
                         m == LORAC_METRIC_MATTHEWS || m == LORAC_METRIC_WEIGHTED_F1));
            assert_true(has ? a == b : isnan(a) && isnan(b));
        }
        if (r->lines[i].is_valid) { best = fmax(best, r->lines[i].metric[LORAC_METRIC_MATTHEWS]); }
    }
    assert_true(best >= -1.0 && fabs(r->best.matthews - best) < 1e-8);
    assert_true(later->best.matthews == r->best.matthews && isnan(r->best.auc));
    assert_true(later->best_step == r->best_step && later->seconds > 0.0);
    lorac_record_close(r);
    lorac_record_close(later);
}

static const char rows[] = "line,wanted,answer,right,probability,text,exact,loss,tokens\n"
                           "2,good,good,1,0.75,,,0.5,2\n"
                           "3,\"a \"\"b\"\",\nc\",bad,0,,,,1.25,3\n";

static void predictions_are_read_row_by_row(void **state)
{
    (void)state;
    struct lorac_predictions *p = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_dir_make(tiny_path("half/predictions"), NULL), LORAC_OK);
    assert_int_equal(lorac_dir_make(tiny_path("half/predictions/x.csv"), NULL), LORAC_OK);
    tiny_text("half/predictions/104.csv", rows);
    tiny_text("half/predictions/12.csv", rows);
    tiny_text("half/predictions/3.csv.tmp-5", rows);
    struct lorac_record *r = record("half");
    assert_true(r->predicted[0] == 12 || r->predicted[0] == 4);
    assert_int_equal(r->predicted[r->n_predicted - 1], 104);
    assert_int_equal(lorac_record_predictions(&p, r, 12, NULL), LORAC_OK);
    assert_true(p->n == 2 && p->compares && !p->matches);
    assert_true(p->at[0].line == 2 && p->at[0].right && p->at[0].tokens == 2);
    assert_true(p->at[0].probability == 0.75 && isnan(p->at[1].probability));
    assert_true(!p->at[1].right && p->at[1].loss == 1.25 && !p->at[1].text[0]);
    assert_string_equal(p->at[1].wanted, "a \"b\",\nc");
    assert_string_equal(p->at[1].answer, "bad");
    lorac_predictions_free(p);
    assert_int_equal(lorac_record_predictions(&p, r, 5, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "predictions/5.csv: is missing"));
    assert_null(p);
    lorac_record_close(r);
}

static void expect(const char *out, enum lorac_status want, const char *words)
{
    struct lorac_record *r = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_record_open(&r, tiny_path(out), &err), want);
    assert_null(r);
    if (!strstr(err.text, words)) { fail_msg("no '%s' in: %s", words, err.text); }
}

static void what_is_damaged_has_a_place(void **state)
{
    (void)state;
    static const struct {
        const char *file, *was, *is, *words;
    } cases[] = {
        {"recipe.resolved.yaml", "rank: 4", "rank: x", "recipe.resolved.yaml:11:9: adapter.rank"},
        {"run.json", "\"threads\": 1", "\"threads\": \"1\"", "run.json: 'threads' must be a whole"},
        {"run.json", "\"finished\"", "\"gone\"", "run.json: 'status' must be running, "},
        {"run.json", "\"best_by\": \"acc", "\"best_by\": \"occ", "run.json: 'best_by' must be a "},
        {"run.json", "{\"rows\": 6", "{\"rows\": -6", "run.json: 'last.rows' must"},
        {"run.json", "\"status\"", "status", "run.json:2"},
        {"metrics.csv", "step,epoch", "steps,epoch", "metrics.csv:1: does not begin with"},
        {"metrics.csv", "\n2,", "\n2.5,", "metrics.csv:3: must hold numbers, found '2.5,"},
        {"metrics.csv", "\n3,", "\n1,", "metrics.csv:4: steps never fall, found '1,"},
        {"metrics.csv", "\n2,", "\n2,,", "metrics.csv:3: a line has 14 fields"},
        {"metrics.csv", ",train,", ",test,", "metrics.csv:2: split must be train or valid, fo"},
        {"metrics.csv", "\n11,", "\n11,0\n11,", "metrics.csv:14: a line has 14 fields"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)runs_well("bad", LORAC_RUN_OVERWRITE, NULL, NULL);
        char name[64];
        (void)snprintf(name, sizeof name, "bad/%s", cases[i].file);
        tiny_edit(name, cases[i].was, cases[i].is);
        expect("bad", i == 0 ? LORAC_EUSER : LORAC_EFORMAT, cases[i].words);
    }
    (void)runs_well("bad", LORAC_RUN_OVERWRITE, NULL, NULL);
    size_t n = 0;
    char *text = tiny_read(tiny_path("bad/metrics.csv"), &n);
    text[n - 1] = '\0'; // cut, and the run has ended
    tiny_text("bad/metrics.csv", text);
    lorac_mem_free(text);
    expect("bad", LORAC_EFORMAT, "metrics.csv:15: the line is cut");
    assert_int_equal(lorac_file_remove(tiny_path("bad/run.json"), NULL), LORAC_OK);
    expect("bad", LORAC_EIO, "bad/run.json");
    expect("model", LORAC_EUSER, "model: holds no run (no recipe.resolved.yaml)");
    assert_false(lorac_record_is_run(tiny_path("model")));
    assert_true(lorac_record_is_run(tiny_path("run")));
}

static void damaged_predictions_have_a_line(void **state)
{
    (void)state;
    static const struct {
        const char *was, *is, *words;
    } cases[] = {
        {"line,", "row,", "p.csv:1: does not begin with lorac's header"},
        {"2,good", "0,good", "p.csv:2: line: must be a whole number above 0, found '0'"},
        {"\n3,", "\n2,", "p.csv:3: line: must be above that of the row before, found '2'"},
        {",1,0.75", ",yes,0.75", "p.csv:2: right: must be 0 or 1, found 'yes'"},
        {"bad,0,", "bad,,", "p.csv:3: right: must be 0 or 1, found ''"},
        {",,,1.25", ",,1,1.25", "p.csv:3: exact: must be empty, found '1'"},
        {"0.75", "1.75", "p.csv:2: probability: must be a number, found '1.75'"},
        {"0.5,2", ",2", "p.csv:2: loss: must be a number, found ''"},
        {"0.5,2", "0.5x,2", "p.csv:2: loss: must be a number, found '0.5x'"},
        {"1.25,3", "1.25,-3", "p.csv:3: tokens: must be a whole number above 0, found '-3'"},
        {"1.25,3", "1.25", "p.csv:3"},
        {"\nc\"", "\nc", "p.csv:3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_predictions *p = NULL;
        struct lorac_err err = {0};
        tiny_text("p.csv", rows);
        tiny_edit("p.csv", cases[i].was, cases[i].is);
        assert_int_equal(lorac_predictions_read(&p, tiny_path("p.csv"), &err), LORAC_EFORMAT);
        assert_null(p);
        if (!strstr(err.text, cases[i].words)) {
            fail_msg("no '%s' in: %s", cases[i].words, err.text);
        }
    }
}

static enum lorac_status read_all(struct lorac_err *err)
{
    struct lorac_predictions *p = NULL;
    struct lorac_record *r = NULL;
    enum lorac_status st = lorac_record_open(&r, tiny_path("half"), err);
    if (!st) { st = lorac_record_predictions(&p, r, 104, err); }
    if (!st) {
        faults_say("%zu %zu %s %s %zu %zu %s", r->n_values, r->n_lines, r->values[9].value,
                   r->adapter, r->best.rows, p->n, p->at[1].answer);
    }
    lorac_predictions_free(p);
    lorac_record_close(r);
    return st;
}

static void every_failure_is_reported_or_changes_nothing(void **state)
{
    (void)state;
    static const struct faults_scenario all[] = {{.name = "a record", .go = read_all, .step = 7}};
    faults_meet(all, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_finished_run_is_read_whole),
        cmocka_unit_test(a_run_that_did_not_end_is_read_as_far_as_it_got),
        cmocka_unit_test(of_a_killed_run_the_lines_tell_its_evaluations),
        cmocka_unit_test(further_metrics_have_columns_of_their_own),
        cmocka_unit_test(predictions_are_read_row_by_row),
        cmocka_unit_test(what_is_damaged_has_a_place),
        cmocka_unit_test(damaged_predictions_have_a_line),
        cmocka_unit_test(every_failure_is_reported_or_changes_nothing),
    };
    return cmocka_run_group_tests_name("record", tests, make, runs_remove);
}
