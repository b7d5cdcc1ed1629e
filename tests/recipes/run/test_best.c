/*
 * eval.best: which evaluation's adapter is kept. What is promised:
 *   - the metric that is asked for chooses; of two equal evaluations the lower loss is better;
 *   - without one: that which stops early, else accuracy where there are labels, exact_match where
 *     it is measured, loss elsewhere; run.json says which;
 *   - the metric that stops early counts for itself;
 *   - a run that goes on keeps choosing as it began, also where an older version began it;
 *   - what cannot be measured is refused.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Steps so large that accuracy and loss part: the best by one is not the best by the other. */
#define PARTED \
    "optimizer.lr=0.12", "optimizer.schedule=constant", "optimizer.warmup=0", "eval.every=1 steps"

enum { LOSS = 3, ACCURACY = 5, COLUMNS = 6 };

/* The evaluation of metrics.csv with the best value in the column, of equal ones that with the
 * lowest loss. */
static size_t best_of(const char *out, int column)
{
    char *csv = runs_metrics(out);
    size_t best_step = 0;
    double best[COLUMNS] = {0};
    for (char *line = strchr(csv, '\n') + 1; *line; line = strchr(line, '\n') + 1) {
        double x[COLUMNS] = {0};
        char *cell = line;
        for (int c = 0; c < COLUMNS; c++) {
            x[c] = lorac_strtod(cell, NULL);
            cell = strchr(cell, ',') + 1;
        }
        bool valid = strstr(line, ",valid,") && strstr(line, ",valid,") < strchr(line, '\n');
        bool better = column == LOSS ? x[LOSS] < best[LOSS] : x[column] > best[column];
        bool equal = x[column] == best[column] && x[LOSS] < best[LOSS];
        if (!valid || (best_step && !better && !equal)) { continue; }
        best_step = (size_t)x[0];
        memcpy(best, x, sizeof x);
    }
    lorac_mem_free(csv);
    return best_step;
}

static void the_metric_that_is_asked_for_chooses(void **state)
{
    (void)state;
    // at which rate the two part hangs on the last bits of products: one of these does it
    static const char *const rates[] = {"optimizer.lr=0.12", "optimizer.lr=0.08",
                                        "optimizer.lr=0.15", "optimizer.lr=0.1",
                                        "optimizer.lr=0.2",  "optimizer.lr=0.06"};
    struct lorac_run_result a = {0};
    struct lorac_run_result b = {0};
    for (size_t i = 0; i < sizeof rates / sizeof *rates && a.best_step == b.best_step; i++) {
        const char *const loss[] = {PARTED, rates[i], "eval.best=loss", NULL};
        const char *const accuracy[] = {PARTED, rates[i], "eval.best=accuracy", NULL};
        a = runs_well("a", LORAC_RUN_OVERWRITE, NULL, loss);
        b = runs_well("b", LORAC_RUN_OVERWRITE, NULL, accuracy);
        assert_int_equal(a.best_step, best_of("a", LOSS));
        assert_int_equal(b.best_step, best_of("b", ACCURACY));
    }
    assert_int_not_equal(a.best_step, b.best_step); // the test can fail
    runs_in_manifest("a", "\"best_by\": \"loss\"");
    runs_in_manifest("b", "\"best_by\": \"accuracy\"");
    assert_true(a.best_by == LORAC_METRIC_LOSS && b.best_by == LORAC_METRIC_ACCURACY);
    // steps so large that the accuracy stays that of one label for all: the loss decides
    static const char *const equal[] = {PARTED, "eval.best=accuracy", "optimizer.lr=2", NULL};
    struct lorac_run_result c = runs_well("c", LORAC_RUN_NEW, NULL, equal);
    assert_true(c.best_step > 1 && c.best_step == best_of("c", LOSS));
}

static void without_one_it_is_what_the_recipe_measures(void **state)
{
    (void)state;
    static const struct {
        const char *sets[4];
        const char *by;
    } cases[] = {
        {{NULL}, "accuracy"}, // metrics: [loss, accuracy], and labels
        {{"eval.metrics=[loss, macro_f1]", NULL}, "macro_f1"},
        {{"eval.metrics=[loss, exact_match]", NULL}, "exact_match"},
        {{"eval.metrics=[loss, accuracy, exact_match]", NULL}, "accuracy"},
        {{"eval.metrics=[loss]", NULL}, "loss"},
        {{"template.completion=\" {text}\"", NULL}, "loss"}, // free text
        {{"eval.early_stop.metric=perplexity", NULL}, "perplexity"},
        {{"eval.early_stop.metric=perplexity", "eval.best=macro_f1", NULL}, "macro_f1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char want[64];
        (void)snprintf(want, sizeof want, "\"best_by\": \"%s\"", cases[i].by);
        runs_well("d", LORAC_RUN_OVERWRITE, NULL, cases[i].sets);
        runs_in_manifest("d", want);
    }
}

static void the_metric_that_stops_early_counts_for_itself(void **state)
{
    (void)state;
    static const char *const sets[] = {PARTED, "eval.best=loss", "eval.early_stop.metric=accuracy",
                                       "eval.early_stop.patience=4", NULL};
    static const char *const alone[] = {PARTED, "eval.early_stop.metric=accuracy",
                                        "eval.early_stop.patience=4", NULL};
    struct lorac_run_result by_accuracy = runs_well("e", LORAC_RUN_NEW, NULL, alone);
    assert_int_equal(by_accuracy.end, LORAC_RUN_EARLY);
    struct lorac_run_result r = runs_well("f", LORAC_RUN_NEW, NULL, sets);
    assert_true(r.end == LORAC_RUN_EARLY && r.step == by_accuracy.step);
    assert_int_equal(r.best_step, best_of("f", LOSS));
    for (size_t at = 1; at < r.step; at++) { // and so does a resumed one
        struct runs_stop s = {.at = at};
        struct lorac_run_watch watch = runs_stop_watch(&s);
        runs_well("g", LORAC_RUN_OVERWRITE, &watch, sets);
        runs_well("g", LORAC_RUN_RESUME, NULL, sets);
        runs_same("f", "g");
    }
}

/* Cut the text out of the file. */
static void cut(const char *name, const char *what)
{
    size_t n = 0;
    char *text = tiny_read(tiny_path(name), &n);
    char *at = strstr(text, what);
    if (!at) { fail_msg("no %s in %s", what, text); }
    memmove(at, at + strlen(what), strlen(at + strlen(what)) + 1);
    tiny_text(name, text);
    lorac_mem_free(text);
}

/* A version that chose by loss, and had neither the key nor its line in run.json. */
static void a_run_goes_on_choosing_as_it_began(void **state)
{
    (void)state;
    static const char *const sets[] = {PARTED, NULL};
    static const char *const loss[] = {PARTED, "eval.best=loss", NULL};
    runs_well("h", LORAC_RUN_NEW, NULL, loss);
    struct runs_stop s = {.at = 1};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    runs_well("i", LORAC_RUN_NEW, &watch, loss);
    cut("i/run.json", "  \"best_by\": \"loss\",\n");
    cut("i/recipe.resolved.yaml", "  best: loss\n");
    struct lorac_run_result r = runs_well("i", LORAC_RUN_RESUME, NULL, sets);
    assert_int_equal(r.best_step, best_of("h", LOSS));
    runs_same("h", "i");
    runs_in_manifest("i", "\"best_by\": \"loss\"");
    struct lorac_run_result result;
    struct lorac_err err = {0};
    static const char *const other[] = {PARTED, "eval.best=macro_f1", NULL};
    assert_int_equal(runs_go(&result, "i", LORAC_RUN_RESUME, NULL, other, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "eval.best: auto -> macro_f1"));
}

static void what_cannot_be_measured_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *sets[4];
        const char *want;
    } cases[] = {
        {{"eval.best=macro_f1", "template.completion=\" {text}\"", NULL},
         "eval.best is macro_f1, but there are no labels to choose from; write data.labels.map or "
         "choose loss"},
        {{"eval.best=accuracy", "-data.valid", NULL},
         "eval.best is given, but without data.valid nothing is evaluated"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_run_result result;
        struct lorac_err err = {0};
        assert_int_equal(runs_go(&result, "no", LORAC_RUN_NEW, NULL, cases[i].sets, &err),
                         LORAC_EUSER);
        assert_string_equal(err.text, cases[i].want);
    }
    assert_false(lorac_path_exists(tiny_path("no")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_metric_that_is_asked_for_chooses),
        cmocka_unit_test(without_one_it_is_what_the_recipe_measures),
        cmocka_unit_test(the_metric_that_stops_early_counts_for_itself),
        cmocka_unit_test(a_run_goes_on_choosing_as_it_began),
        cmocka_unit_test(what_cannot_be_measured_is_refused),
    };
    return cmocka_run_group_tests(tests, runs_make, runs_remove);
}
