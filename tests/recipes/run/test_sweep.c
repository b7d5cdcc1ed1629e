/*
 * Trials of a sweep, inside one process; test_sweep.sh has the rest. What is promised:
 *   - shares take each trial once, in each round of a halving, too;
 *   - a trial pauses at its step, and goes on from there; one that has done it does no step more;
 *   - whichever allocation or system call fails is reported, and asked again the sweep is whole.
 */
#include "base/core/mem.h"
#include "recipes/run/sweep.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char recipe[] = "recipe: 1\nmodel: {path: model, max_length: 48}\n"
                             "data: {train: train.csv, valid: valid.csv}\n"
                             "template: {prompt: '{text} is', completion: ' {label}'}\n"
                             "train: {steps: 4, batch_size: 3, threads: 1}\n"
                             "eval: {every: 1, metrics: [loss], samples: 0}\n";
static const char sweep[] = "sweep: 1\nrecipe: run.yaml\nvary: {seed: [1, 2]}\ndir: trials\n"
                            "objective: {metric: loss}\n";

static int make(void **state)
{
    (void)runs_make(state);
    tiny_text("run.yaml", recipe);
    tiny_text("s.yaml", sweep);
    return 0;
}

static void shares_take_each_trial_once(void **state)
{
    (void)state;
    for (size_t of = 1; of < 5; of++) {
        for (size_t i = 0; i < 20; i++) {
            size_t n = 0;
            for (size_t first = 0; first < of; first++) {
                n += lorac_sweep_shares(&(struct lorac_sweep_share){first, of}, i);
            }
            assert_int_equal(n, 1);
        }
    }
}

static void queues_of_one_round_take_each_trial_once(void **state)
{
    (void)state;
    enum { N = 4, OF = 3 };
    static const char *const kinds[] = {"grid", "{halving: {trials: 4, keep: 1/2, every: 2}}"};
    for (size_t k = 0; k < 2; k++) {
        char text[400];
        struct lorac_sweep *s = NULL;
        size_t taken[N] = {0};
        (void)snprintf(text, sizeof text,
                       "sweep: 1\nrecipe: run.yaml\nvary: {seed: [1, 2, 3, 4]}\ndir: %zu\n"
                       "objective: {metric: loss}\nstrategy: %s\n",
                       k, kinds[k]);
        tiny_text("q.yaml", text);
        assert_int_equal(lorac_sweep_open(&s, tiny_path("q.yaml"), NULL, 0, NULL, NULL), LORAC_OK);
        for (size_t first = 0; first < OF; first++) {
            const struct lorac_sweep_share share = {first, OF};
            struct lorac_sweep_queue *q = NULL;
            struct lorac_trial_look look[N];
            bool more = true;
            for (size_t i = 0; i < N; i++) {
                look[i] = (struct lorac_trial_look){.steps = 4, .steps_per_epoch = 2.0};
            }
            look[0].ended = true; // so that others are the first in a round
            assert_int_equal(lorac_sweep_queue_new(&q, s, look, &share, NULL), LORAC_OK);
            for (size_t i = 0, until = 0; lorac_sweep_take(&i, &until, q);) {
                taken[i]++;
                assert_int_equal(until, k ? 2 : 4);
                assert_int_equal(lorac_sweep_give_back(q, i, true, NULL), LORAC_OK);
            }
            assert_int_equal(lorac_sweep_steps_left(q), 0);
            assert_int_equal(lorac_sweep_next_round(&more, q, NULL), LORAC_OK);
            assert_false(more); // all have failed
            lorac_sweep_queue_free(q);
        }
        assert_true(taken[0] == 0 && taken[1] == 1 && taken[2] == 1 && taken[3] == 1);
        lorac_sweep_free(s);
    }
}

static void a_trial_pauses_at_its_step(void **state)
{
    (void)state;
    static const struct lorac_run_watch nobody = {0};
    struct lorac_sweep *s = NULL;
    struct lorac_err err = {0};
    struct lorac_trial_look look[2];
    struct lorac_run_result result;
    double value = 0.0;
    size_t step = 0;
    if (lorac_sweep_open(&s, tiny_path("s.yaml"), NULL, 0, NULL, &err) ||
        lorac_sweep_check(look, s, NULL, false, &err) || lorac_sweep_claim(s, &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(look[1].steps, 4);
    for (int again = 0; again < 2; again++) { // the second time it stands there already
        if (lorac_trial_run(&result, s, 1, 2, NULL, &nobody, &err)) { fail_msg("%s", err.text); }
        assert_int_equal(lorac_trial_look_again(&look[1], s, 1, &err), LORAC_OK);
        assert_int_equal(look[1].done, 2);
        assert_false(look[1].ended);
    }
    if (lorac_trial_run(&result, s, 1, 4, NULL, &nobody, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(lorac_trial_look_again(&look[1], s, 1, &err), LORAC_OK);
    assert_true(look[1].ended);
    assert_int_equal(lorac_trial_score(&value, &step, s, 1, 1, &err), LORAC_OK);
    assert_int_equal(step, 1);
    lorac_sweep_free(s);
}

/* The whole of a sweep of two trials: checked, claimed, given out, run. */
static enum lorac_status go(struct lorac_err *err)
{
    static const struct lorac_run_watch nobody = {0};
    struct lorac_sweep *s = NULL;
    struct lorac_shared *shared = NULL;
    struct lorac_sweep_queue *q = NULL;
    struct lorac_trial_look look[2];
    size_t i = 0;
    size_t until = 0;
    enum lorac_status st = lorac_sweep_open(&s, tiny_path("s.yaml"), NULL, 0, NULL, err);
    if (!st) { st = lorac_shared_new(&shared, 0, err); }
    if (!st) { st = lorac_sweep_check(look, s, shared, false, err); }
    if (!st) { st = lorac_sweep_claim(s, err); }
    if (!st) { st = lorac_sweep_queue_new(&q, s, look, &(struct lorac_sweep_share){0, 1}, err); }
    while (!st && lorac_sweep_take(&i, &until, q)) {
        struct lorac_run_result result;
        st = lorac_trial_run(&result, s, i, until, shared, &nobody, err);
        if (!st) { st = lorac_sweep_give_back(q, i, false, err); }
    }
    bool more = false;
    if (!st) { st = lorac_sweep_next_round(&more, q, err); }
    if (!st) { assert_false(more); }
    for (i = 0; i < 2 && !st; i++) {
        double value = 0.0;
        size_t step = 0;
        st = lorac_trial_score(&value, &step, s, i, SIZE_MAX, err);
        if (!st) { faults_say("%s %.9g %zu ", s->trial[i].name, value, step); }
    }
    lorac_sweep_queue_free(q);
    lorac_shared_free(shared);
    lorac_sweep_free(s);
    return st;
}

static void every_failure_is_met(void **state)
{
    (void)state;
    static const struct faults_scenario all[] = {{"sweep", go, false, 97}};
    faults_meet(all, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_take_each_trial_once),
        cmocka_unit_test(queues_of_one_round_take_each_trial_once),
        cmocka_unit_test(a_trial_pauses_at_its_step),
        cmocka_unit_test(every_failure_is_met),
    };
    return cmocka_run_group_tests(tests, make, runs_remove);
}
