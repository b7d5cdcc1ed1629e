/*
 * What a run says, and when. What is promised:
 *   - a key whose number the run is too short for is told, with that number;
 *   - keys of evaluations are told where nothing is evaluated, unless they have their default;
 *   - a compute that is slower than float32 on this device is told, with the reason;
 *   - weights that are not packed for want of memory are told: of frozen layers those for forward
 *     products, others have none;
 *   - samples are shown at each best evaluation and at the last, and only there.
 */
#include "base/core/buf.h"
#include "base/core/machine.h"
#include "recipes/run/notes.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void add_note(void *self, const char *text)
{
    lorac_buf_printf(self, "%s\n", text);
}

/* The notes of a run with these settings hold `want`; with `want` NULL, none that holds "only" or
 * "no effect". */
static void expect_note(const char *const *sets, const char *want)
{
    struct lorac_buf notes = {0};
    struct lorac_run_watch watch = {.self = &notes, .note = add_note};
    lorac_buf_str(&notes, "");
    runs_well("a", LORAC_RUN_OVERWRITE, &watch, sets);
    if (want && !strstr(notes.at, want)) { fail_msg("no '%s' in '%s'", want, notes.at); }
    if (!want && (strstr(notes.at, "only") || strstr(notes.at, "no effect"))) {
        fail_msg("notes without need: %s", notes.at);
    }
    lorac_buf_free(&notes);
}

static void numbers_that_the_run_is_too_short_for_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *sets[4];
        const char *want;
    } cases[] = {
        // 11 steps, an evaluation every 4
        {{NULL}, NULL},
        {{"optimizer.warmup=10", NULL}, NULL},
        {{"optimizer.warmup=11", NULL},
         "optimizer.warmup: 11 steps, and the run has only 11: it never reaches optimizer.lr"},
        {{"optimizer.warmup=100%", NULL}, NULL},
        {{"train.watchdog.loss_above=100", "train.watchdog.patience=11", NULL}, NULL},
        {{"train.watchdog.loss_above=100", "train.watchdog.patience=12", NULL},
         "train.watchdog.patience: the run has only 11 steps, so the watchdog can never stop it"},
        {{"eval.early_stop.metric=loss", "eval.early_stop.patience=2", NULL}, NULL},
        {{"eval.early_stop.metric=loss", "eval.early_stop.patience=3", NULL},
         "eval.early_stop.patience: 3, and the run has only 3 evaluations: it can never stop "
         "early"},
        {{"eval.early_stop.metric=loss", "eval.early_stop.patience=1", "eval.every=end", NULL},
         "eval.early_stop.patience: 1, and the run has only 1 evaluations"},
        {{"eval.every=11", NULL}, NULL},
        {{"eval.every=12", NULL},
         "eval.every: 12 steps, and the run has only 11: only its end counts"},
        {{"output.save_every=12", NULL},
         "output.save_every: 12 steps, and the run has only 11: only its end counts"},
        {{"-data.valid", NULL},
         "eval.every has no effect without data.valid: nothing is evaluated"},
        {{"-data.valid", "-eval.every", NULL},
         "eval.samples has no effect without data.valid: nothing is evaluated"},
        {{"-data.valid", "-eval.every", "-eval.samples", NULL}, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_note(cases[i].sets, cases[i].want);
    }
}

static size_t half_a_quarter(const struct lorac_device *dev, enum lorac_dtype type, size_t OC,
                             size_t C, enum lorac_compute compute, bool back)
{
    (void)dev, (void)OC, (void)C, (void)compute;
    return type == LORAC_BF16 ? lorac_machine_memory() / 8 * (back ? 2 : 1) : 0;
}

/* What is told where the model computes in `c` on another backend. */
static struct lorac_buf notes_on(struct runs_job *s, struct lorac_adapter *a,
                                 const struct lorac_backend *ops, enum lorac_compute c)
{
    const struct lorac_length length = {.steps = 11, .steps_per_epoch = 11.0};
    const struct lorac_backend *own = s->j->dev.ops;
    const enum lorac_compute compute = s->j->model->compute;
    struct lorac_buf notes = {0};
    struct lorac_run_watch watch = {.self = &notes, .note = add_note};
    lorac_buf_str(&notes, "");
    s->j->dev.ops = ops;
    s->j->model->compute = c;
    lorac_recipe_notes(s->j, a, &length, &watch);
    s->j->dev.ops = own;
    s->j->model->compute = compute;
    return notes;
}

/* Of weights in layer 0, with copies for so many directions. */
static void expect_packed(const char *const *sets, size_t directions)
{
    struct lorac_backend counting = lorac_backend_ref;
    struct lorac_adapter *a = NULL;
    struct runs_job s;
    runs_open_job(&s, LORAC_JOB_TRAIN, sets);
    assert_int_equal(lorac_job_adapter(&a, s.j, NULL), LORAC_OK);
    counting.weight_bytes = half_a_quarter;
    for (size_t n = 0; n < 4; n++) { // weights that products read as they are stored
        char want[100];
        size_t eighth = lorac_machine_memory() / 8;
        size_t all = directions * n;
        size_t made = n < 3 ? 2 : 0; // where not all are: forward ones, or none
        for (size_t i = 0; i < s.j->model->n_modules; i++) {
            s.j->model->module[i].dtype = LORAC_F32;
        }
        for (size_t i = 0, k = 0; k < n; i++) {
            struct lorac_module *l = &s.j->model->module[i];
            if (l->role != LORAC_ROLE_LINEAR) { continue; }
            l->dtype = LORAC_BF16;
            k++;
        }
        struct lorac_buf notes = notes_on(&s, a, &counting, LORAC_BFLOAT16);
        (void)snprintf(want, sizeof want, "a quarter of the memory: %zu MiB are, %zu MiB more",
                       made * eighth >> 20, (all - made) * eighth >> 20);
        bool told = all > 2;
        if ((strstr(notes.at, told ? want : "packed") != NULL) != told) {
            fail_msg("%zu: '%s' in '%s'", n, want, notes.at);
        }
        lorac_buf_free(&notes);
    }
    lorac_adapter_free(a);
    runs_close_job(&s);
}

static void weights_that_are_not_packed_are_told(void **state)
{
    (void)state;
    static const char *const every[] = {NULL};
    static const char *const last[] = {"adapter.layers=last:1", NULL};
    expect_packed(every, 2);
    expect_packed(last, 1);
}

static const char *is_slow(const struct lorac_device *dev, enum lorac_compute c)
{
    (void)dev;
    return c == LORAC_INT8 ? "it counts on its fingers" : NULL;
}

static void what_is_slower_than_float32_is_told(void **state)
{
    (void)state;
    static const char *const sets[] = {NULL};
    static const char want[] = "model.compute: int8 is slower than float32 here: it counts on its "
                               "fingers; try float32 or auto\n";
    struct lorac_backend slow = lorac_backend_ref;
    struct lorac_adapter *a = NULL;
    struct runs_job s;
    runs_open_job(&s, LORAC_JOB_TRAIN, sets);
    assert_int_equal(lorac_job_adapter(&a, s.j, NULL), LORAC_OK);
    slow.slow = is_slow;
    for (enum lorac_compute c = LORAC_FLOAT32; c < LORAC_N_COMPUTES; c++) {
        struct lorac_buf notes = notes_on(&s, a, &slow, c);
        bool told = c == LORAC_INT8;
        if ((strstr(notes.at, told ? want : "slower") != NULL) != told) {
            fail_msg("%s", notes.at);
        }
        lorac_buf_free(&notes);
    }
    lorac_adapter_free(a);
    runs_close_job(&s);
}

struct samples {
    size_t step, steps, n; // of the last evaluation; shown since
    bool is_best;
    size_t bests, others; // evaluations that were looked at
};

/* The evaluation before this one, or the run's end, has shown what it should. */
static void look(struct samples *s, bool last)
{
    if (!s->step) { return; }
    assert_int_equal(s->n, s->is_best || last ? 3 : 0);
    s->bests += s->is_best;
    s->others += !s->is_best && !last;
}

static void on_eval(void *self, const struct lorac_run_eval *e)
{
    struct samples *s = self;
    look(s, false);
    s->step = e->step;
    s->is_best = e->is_best;
    s->n = 0;
}

static void on_sample(void *self, const struct lorac_run_sample *sample)
{
    struct samples *s = self;
    assert_true(sample->prompt[0] && sample->want[0]);
    s->n++;
}

static void samples_are_shown_at_the_best_evaluations_and_the_last(void **state)
{
    (void)state;
    // steps so large that it does not get better all the time
    static const char *const sets[] = {"optimizer.lr=0.1",   "optimizer.schedule=constant",
                                       "optimizer.warmup=0", "eval.every=1 steps",
                                       "eval.samples=3",     NULL};
    struct samples s = {0};
    struct lorac_run_watch watch = {.self = &s, .eval = on_eval, .sample = on_sample};
    struct lorac_run_result r = runs_well("b", LORAC_RUN_NEW, &watch, sets);
    look(&s, true);
    assert_int_equal(s.step, r.step);
    assert_true(s.bests > 0 && s.others > 0 && !s.is_best); // the test can fail
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_that_the_run_is_too_short_for_are_told),
        cmocka_unit_test(what_is_slower_than_float32_is_told),
        cmocka_unit_test(weights_that_are_not_packed_are_told),
        cmocka_unit_test(samples_are_shown_at_the_best_evaluations_and_the_last),
    };
    return cmocka_run_group_tests(tests, runs_make, runs_remove);
}
