/*
 * Training runs. What is promised:
 *   - the same recipe gives the same bytes: adapters, state and metrics (but for seconds);
 *   - a run that was stopped after any step, once or several times, ends as the uninterrupted one;
 *   - so does a run that is killed (SIGKILL) at any moment and taken up again, however often;
 *   - accumulated micro-batches train as one large batch does;
 *   - steps, epochs and accumulated micro-batches are counted as the recipe says;
 *   - after the first step nothing is allocated;
 *   - the result names the best evaluation, also where an earlier process made it;
 *   - evaluations during training see no dropout.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "base/core/rng.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- killed ---- */

static const char *const often[] = {"output.save_every=1 steps", "eval.every=2 steps", NULL};

/* In a child of its own: go on with, or begin, the run in `out`; killed after `us` microseconds (0:
 * never). True where it came to its end. */
static bool run_in_child(const char *out, unsigned us)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct lorac_run_result result;
        struct lorac_err err = {0};
        char name[300];
        (void)snprintf(name, sizeof name, "%s/recipe.resolved.yaml", out);
        bool there = lorac_path_exists(tiny_path(name));
        enum lorac_status st =
            runs_go(&result, out, there ? LORAC_RUN_RESUME : LORAC_RUN_NEW, NULL, often, &err);
        if (st) { (void)fprintf(stderr, "%s\n", err.text); }
        _exit(st ? 1 : 0);
    }
    if (us) {
        (void)usleep(us);
        (void)kill(child, SIGKILL);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) { fail_msg("a run failed: see stderr"); }
    return WIFEXITED(status);
}

#if defined(__has_feature)
#    if __has_feature(thread_sanitizer)
#        define KILLS 20 // each run takes 20 times as long
#    endif
#endif
#ifndef KILLS
#    define KILLS 200
#endif

static void a_run_killed_at_any_moment_ends_as_the_uninterrupted_one(void **state)
{
    (void)state;
    struct timespec begin;
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    assert_true(run_in_child("whole", 0));
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds =
        (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    size_t whole_runs = 0;
    size_t kills = 0;
    for (size_t tries = 0; kills < KILLS && tries < (size_t)10 * KILLS; tries++) {
        double share = lorac_rng_uniform(lorac_rng_key(5, "kill"), 0, tries);
        bool done = run_in_child("killed", 1 + (unsigned)(share * seconds * 1e6));
        kills += !done;
        seconds *= done ? 0.9 : 1.02; // the machine may be faster than it was, or slower
        if (kills == KILLS && !done) { done = run_in_child("killed", 0); }
        if (!done) { continue; }
        runs_same("whole", "killed");
        whole_runs++;
        assert_int_equal(lorac_dir_remove(tiny_path("killed"), NULL), LORAC_OK);
    }
    assert_int_equal(kills, KILLS);
    assert_true(whole_runs > 0);
}

/* ---- repeated and stopped ---- */

static void the_same_recipe_gives_the_same_bytes(void **state)
{
    (void)state;
    struct lorac_run_result a = runs_well("a", LORAC_RUN_NEW, NULL, NULL);
    struct lorac_run_result b = runs_well("b", LORAC_RUN_NEW, NULL, NULL);
    assert_true(a.end == LORAC_RUN_DONE && a.step == RUNS_STEPS && a.has_valid);
    assert_true(b.best_step == a.best_step && b.best_step > 0);
    runs_same("a", "b");
    runs_well("b", LORAC_RUN_OVERWRITE, NULL, NULL);
    runs_same("a", "b");
    static const char *const seed[] = {"seed=8", NULL};
    runs_well("b", LORAC_RUN_OVERWRITE, NULL, seed);
    char *one = runs_metrics("a");
    char *other = runs_metrics("b");
    assert_string_not_equal(one, other); // the comparison can fail
    lorac_mem_free(one);
    lorac_mem_free(other);
}

static void stopped_after_any_step_it_ends_as_the_uninterrupted_one(void **state)
{
    (void)state;
    runs_well("a", LORAC_RUN_OVERWRITE, NULL, NULL);
    for (size_t at = 1; at < RUNS_STEPS; at++) {
        struct runs_stop s = {.at = at};
        struct lorac_run_watch watch = runs_stop_watch(&s);
        struct lorac_run_result r = runs_well("c", LORAC_RUN_OVERWRITE, &watch, NULL);
        assert_true(r.end == LORAC_RUN_STOPPED && r.step == at);
        r = runs_well("c", LORAC_RUN_RESUME, NULL, NULL);
        assert_true(r.end == LORAC_RUN_DONE && r.step == RUNS_STEPS);
        runs_same("a", "c");
    }
    struct runs_stop s = {.at = 1}; // after every step
    struct lorac_run_watch watch = runs_stop_watch(&s);
    runs_well("c", LORAC_RUN_OVERWRITE, &watch, NULL);
    for (s.at = 2; s.at < RUNS_STEPS; s.at++) {
        runs_well("c", LORAC_RUN_RESUME, &watch, NULL);
    }
    runs_well("c", LORAC_RUN_RESUME, NULL, NULL);
    runs_same("a", "c");
}

static void so_does_a_run_in_the_tables_order_with_layers_recomputed(void **state)
{
    (void)state;
    static const char *const sets[] = {"train.shuffle=false",
                                       "train.keep_activations=layers",
                                       "-train.epochs",
                                       "train.steps=9",
                                       "-train.batch_size",
                                       "train.batch_tokens=50",
                                       "train.accumulate=3",
                                       "optimizer.name=sgd",
                                       "optimizer.momentum=0.9",
                                       "adapter.init=gaussian",
                                       NULL};
    struct runs_stop s = {.at = 4};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    runs_well("d", LORAC_RUN_NEW, NULL, sets);
    runs_well("e", LORAC_RUN_NEW, &watch, sets);
    runs_well("e", LORAC_RUN_RESUME, NULL, sets);
    runs_same("d", "e");
}

static void so_does_a_run_of_each_method_and_start(void **state)
{
    (void)state;
    static const char *const sets[][6] = {
        {"adapter.init=pissa", "adapter.rank=4", "adapter.dropout=0.1", "optimizer.lr_ratio_b=2"},
        {"adapter.init=olora", "adapter.rank=4"},
        {"adapter.method=dora", "adapter.dropout=0.1", "optimizer.lr_ratio_b=2"},
        {"adapter.method=ia3", "adapter.feedforward=[down_proj]", "-adapter.rank", "-adapter.alpha",
         "-adapter.dropout"},
        {"adapter.method=none", "adapter.layers=last:1", "-adapter.rank", "-adapter.alpha",
         "-adapter.dropout"},
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct runs_stop s = {.at = 4};
        struct lorac_run_watch watch = runs_stop_watch(&s);
        runs_well("p", LORAC_RUN_OVERWRITE, NULL, sets[i]);
        runs_well("q", LORAC_RUN_OVERWRITE, &watch, sets[i]);
        runs_well("q", LORAC_RUN_RESUME, NULL, sets[i]);
        runs_same("p", "q");
    }
}

/* ---- counted ---- */

struct counts {
    size_t steps, first, total, evals, tokens_zero;
    double epoch;
    unsigned long allocations; // after the step before
    size_t allocating;         // steps from the second on that allocated
};

static void count_begin(void *self, const struct lorac_run_begin *b)
{
    struct counts *c = self;
    c->total = b->steps;
    c->first = b->first_step;
}

static void count_step(void *self, const struct lorac_step *s)
{
    struct counts *c = self;
    assert_int_equal(s->step, c->first + c->steps + 1);
    assert_int_equal(s->steps, c->total);
    if (c->steps > 0) { c->allocating += lorac_mem_count() != c->allocations; }
    c->steps++;
    c->epoch = s->epoch;
    c->tokens_zero += s->tokens == 0 || s->trained == 0;
    c->allocations = lorac_mem_count();
}

static void count_eval(void *self, const struct lorac_run_eval *e)
{
    (void)e;
    ((struct counts *)self)->evals++;
}

static struct counts count(const char *const *sets)
{
    struct counts c = {0};
    struct lorac_run_watch watch = {
        .self = &c, .begin = count_begin, .step = count_step, .eval = count_eval};
    struct lorac_run_result r = runs_well("n", LORAC_RUN_OVERWRITE, &watch, sets);
    assert_int_equal(r.step, c.steps);
    assert_int_equal(c.tokens_zero, 0);
    return c;
}

static void steps_and_epochs_are_counted_as_the_recipe_says(void **state)
{
    (void)state;
    static const struct {
        const char *sets[4];
        size_t steps, evals;
        double epoch;
    } cases[] = {
        // 20 rows by 3: 7 micro-batches an epoch
        {{"eval.every=end", NULL}, 11, 1, 3.0},
        {{"train.accumulate=1", "eval.every=7 steps", NULL}, 21, 3, 3.0},
        {{"train.accumulate=1", "eval.every=1 epoch", NULL}, 21, 3, 3.0},
        {{"train.accumulate=1", "eval.every=0.5 epoch", NULL},
         21,
         6,
         3.0}, // at 4, 8, .. and the end
        {{"train.accumulate=100", NULL}, 1, 1, 3.0},
        {{"train.batch_size=1", "train.accumulate=1", "train.epochs=1", NULL}, 20, 5, 1.0},
        {{"train.batch_size=20", "train.accumulate=1", NULL}, 3, 1, 3.0},
        {{"-train.epochs", "train.steps=5", "train.accumulate=1", NULL}, 5, 2, 0.75},
        {{"-train.epochs", "train.steps=8", "train.accumulate=1", NULL}, 8, 2, 1.15},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct counts c = count(cases[i].sets);
        assert_int_equal(c.steps, cases[i].steps);
        assert_int_equal(c.total, cases[i].steps);
        assert_int_equal(c.evals, cases[i].evals);
        assert_true(fabs(c.epoch - cases[i].epoch) < 1e-12);
    }
}

/* Number `column` (from 0) of the train line of each step. */
static size_t read_column(double *x, const char *out, size_t column)
{
    char *csv = runs_metrics(out);
    size_t n = 0;
    for (const char *at = strstr(csv, ",train,"); at; at = strstr(at + 1, ",train,")) {
        const char *cell = at + 1; // column 2
        for (size_t c = 2; c < column; c++) {
            cell = strchr(cell, ',') + 1;
        }
        if (n < RUNS_STEPS) { x[n++] = lorac_strtod(cell, NULL); }
    }
    lorac_mem_free(csv);
    return n;
}

/* Rows differ in length, so that a mean of the micro-batches' means would be another number. */
static void accumulated_micro_batches_are_one_large_batch(void **state)
{
    (void)state;
    static const char *const large[] = {"adapter.dropout=0",  "train.batch_size=6",
                                        "train.accumulate=1", "optimizer.clip_norm=0",
                                        "train.epochs=1",     NULL};
    static const char *const small[] = {"adapter.dropout=0",  "train.batch_size=2",
                                        "train.accumulate=3", "optimizer.clip_norm=0",
                                        "train.epochs=1",     NULL};
    double want[RUNS_STEPS];
    double got[RUNS_STEPS];
    runs_well("large", LORAC_RUN_NEW, NULL, large);
    runs_well("small", LORAC_RUN_NEW, NULL, small);
    for (size_t column = 3; column <= 10; column += 7) { // loss, grad_norm
        assert_int_equal(read_column(want, "large", column), 4);
        assert_int_equal(read_column(got, "small", column), 4);
        for (size_t i = 0; i < 4; i++) { // sums in another order: some float32 roundings
            if (fabs(got[i] - want[i]) > 1e-5 * fabs(want[i])) {
                fail_msg("step %zu, column %zu: %g, %g", i + 1, column, want[i], got[i]);
            }
        }
    }
}

static void as_many_epochs_as_nobody_can_count_are_refused(void **state)
{
    (void)state;
    struct lorac_run_result result;
    struct lorac_err err = {0};
    static const char *const many[] = {"train.epochs=1000000000", "-train.batch_size",
                                       "train.batch_tokens=64", NULL};
    assert_int_equal(runs_go(&result, "many", LORAC_RUN_NEW, NULL, many, &err), LORAC_EUSER);
    assert_string_equal(err.text, "train.epochs: 1000000000 passes over 20 rows are too many to "
                                  "count; expected at most 5000000, or train.steps");
    assert_false(lorac_path_exists(tiny_path("many")));
    // where every epoch is as long they are not counted one by one
    static const char *const alike[] = {"train.epochs=1000000000", NULL};
    struct runs_stop s = {.at = 1};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    struct lorac_run_result r = runs_well("alike", LORAC_RUN_NEW, &watch, alike);
    assert_int_equal(r.step, 1);
}

static void nothing_is_allocated_after_the_first_step(void **state)
{
    (void)state;
    static const char *const sets[] = {"eval.every=end", "output.save_every=end", NULL};
    struct counts c = count(sets);
    assert_int_equal(c.steps, RUNS_STEPS);
    assert_int_equal(c.allocating, 0);
}

/* ---- results ---- */

/* Loss and accuracy of the evaluation at `step` in metrics.csv. */
static void read_eval(const char *out, size_t step, double *loss, double *accuracy)
{
    char *text = runs_metrics(out);
    char begin[32];
    double epoch = 0.0;
    double perplexity = 0.0;
    (void)snprintf(begin, sizeof begin, "\n%zu,", step);
    char *line = strstr(text, begin);
    line = line ? strstr(line + 1, begin) : NULL; // behind the line of the step
    assert_non_null(line);
    void *before = lorac_locale_begin();
    int found =
        sscanf(line + strlen(begin), "%lf,valid,%lf,%lf,%lf", &epoch, loss, &perplexity, accuracy);
    lorac_locale_end(before);
    assert_int_equal(found, 4);
    lorac_mem_free(text);
}

static void a_resumed_run_names_the_best_that_an_earlier_process_saw(void **state)
{
    (void)state;
    // steps so large that it does not get better all the time
    static const char *const sets[] = {"optimizer.lr=0.1",
                                       "optimizer.schedule=constant",
                                       "optimizer.warmup=0",
                                       "eval.every=1 steps",
                                       "eval.early_stop.metric=accuracy",
                                       "eval.early_stop.patience=1000",
                                       NULL};
    struct lorac_run_result whole = runs_well("f", LORAC_RUN_NEW, NULL, sets);
    double loss = 0.0;
    double accuracy = 0.0;
    read_eval("f", whole.best_step, &loss, &accuracy);
    assert_true(fabs(whole.best.loss - loss) <= 1e-8 * loss);
    assert_true(fabs(whole.best.accuracy - accuracy) < 1e-8);
    assert_true(whole.best_step < RUNS_STEPS); // so that the rest holds no better one
    struct runs_stop s = {.at = whole.best_step};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    runs_well("g", LORAC_RUN_NEW, &watch, sets);
    struct lorac_run_result rest = runs_well("g", LORAC_RUN_RESUME, NULL, sets);
    assert_int_equal(rest.best_step, whole.best_step);
    assert_true(rest.best.loss == whole.best.loss && rest.best.accuracy == whole.best.accuracy);
    assert_true(rest.best.rows == whole.best.rows && rest.best.tokens == whole.best.tokens);
    assert_true(rest.best.macro_f1 == whole.best.macro_f1 && !rest.best.has_exact_match);
    runs_same("f", "g");
}

static void a_run_that_stopped_early_stays_ended(void **state)
{
    (void)state;
    static const char *const sets[] = {"optimizer.lr=2",
                                       "optimizer.schedule=constant",
                                       "optimizer.warmup=0",
                                       "eval.every=1 steps",
                                       "eval.early_stop.metric=accuracy",
                                       "eval.early_stop.patience=3",
                                       NULL};
    struct lorac_run_result r = runs_well("i", LORAC_RUN_NEW, NULL, sets);
    assert_int_equal(r.end, LORAC_RUN_EARLY);
    assert_int_equal(r.step, 1 + 3); // the accuracy stays that of one label for all
    struct lorac_run_result again = runs_well("i", LORAC_RUN_RESUME, NULL, sets);
    assert_true(again.end == LORAC_RUN_EARLY && again.step == r.step);
    assert_true(again.best_step == r.best_step && again.best.loss == r.best.loss);
    runs_well("j", LORAC_RUN_NEW, NULL, sets);
    runs_same("j", "i");
    struct runs_stop s = {.at = 2}; // and one that was interrupted before counts on
    struct lorac_run_watch watch = runs_stop_watch(&s);
    runs_well("j", LORAC_RUN_OVERWRITE, &watch, sets);
    again = runs_well("j", LORAC_RUN_RESUME, NULL, sets);
    assert_true(again.end == LORAC_RUN_EARLY && again.step == r.step);
    runs_same("j", "i");
}

static void evaluations_during_training_see_no_dropout(void **state)
{
    (void)state;
    static const char *const sets[] = {"adapter.dropout=0.5", "eval.every=end", NULL};
    struct lorac_run_result r = runs_well("h", LORAC_RUN_OVERWRITE, NULL, sets);
    struct lorac_recipe *recipe = runs_recipe(tiny_path("h"), sets);
    struct lorac_job *j = NULL;
    struct lorac_adapter *a = NULL;
    struct lorac_evaluator *e = NULL;
    struct lorac_scores scores;
    struct lorac_err err = {0};
    assert_int_equal(lorac_job_open(&j, recipe, LORAC_JOB_VALID, &err), LORAC_OK);
    assert_int_equal(lorac_peft_load(&a, j->model, tiny_path("h/last"), false, &err), LORAC_OK);
    struct lorac_socket socket = lorac_adapter_socket(a);
    unsigned metrics = recipe->eval.metrics;
    assert_int_equal(lorac_job_evaluator(&e, j, j->valid.set, metrics, &socket, &err), LORAC_OK);
    assert_int_equal(lorac_evaluate(&scores, e, NULL, NULL, &err), LORAC_OK);
    assert_true(scores.loss == r.last.loss && scores.accuracy == r.last.accuracy);
    lorac_evaluator_free(e);
    lorac_adapter_free(a);
    lorac_job_close(j);
    lorac_recipe_free(recipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_killed_at_any_moment_ends_as_the_uninterrupted_one), // forks: first
        cmocka_unit_test(the_same_recipe_gives_the_same_bytes),
        cmocka_unit_test(stopped_after_any_step_it_ends_as_the_uninterrupted_one),
        cmocka_unit_test(so_does_a_run_in_the_tables_order_with_layers_recomputed),
        cmocka_unit_test(so_does_a_run_of_each_method_and_start),
        cmocka_unit_test(steps_and_epochs_are_counted_as_the_recipe_says),
        cmocka_unit_test(accumulated_micro_batches_are_one_large_batch),
        cmocka_unit_test(as_many_epochs_as_nobody_can_count_are_refused),
        cmocka_unit_test(nothing_is_allocated_after_the_first_step),
        cmocka_unit_test(a_resumed_run_names_the_best_that_an_earlier_process_saw),
        cmocka_unit_test(a_run_that_stopped_early_stays_ended),
        cmocka_unit_test(evaluations_during_training_see_no_dropout),
    };
    return cmocka_run_group_tests_name("run", tests, runs_make, runs_remove);
}
