/*
 * Runs whose numbers run over. What is promised:
 *   - a step that is not finite is an error, and what was learnt before it is kept;
 *   - so is a gradient of zero where there is still something to learn;
 *   - rows that begin alike train and are evaluated as each on its own would be, though what they
 *     begin with runs once;
 *   - a run in bfloat16 ends near one in float32, goes on as if it had not been interrupted, and
 *     does not go on in float32.
 */
#include "base/checkpoint/safetensors.h"
#include "base/core/file.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A number that is none comes into the gradient behind step 3. */
struct poison {
    const struct lorac_adapter *a;
};

static void keep_adapter(void *self, const struct lorac_run_begin *b)
{
    ((struct poison *)self)->a = b->adapter;
}

static void poison(void *self, const struct lorac_step *s)
{
    const struct lorac_adapter *a = ((struct poison *)self)->a;
    const float nan = NAN;
    struct lorac_device *dev = a->model->dev;
    if (s->step == 3) { dev->ops->write(dev, a->grads, &nan, sizeof nan); }
}

/* A run that `step` spoils fails. */
static void fails(const char *name, void (*step)(void *, const struct lorac_step *),
                  const char *const *sets, const char *want)
{
    struct poison x = {0};
    struct lorac_run_watch watch = {.self = &x, .begin = keep_adapter, .step = step};
    struct lorac_run_result result;
    struct lorac_err err = {0};
    assert_int_equal(runs_go(&result, name, LORAC_RUN_NEW, &watch, sets, &err), LORAC_EUSER);
    if (!strstr(err.text, want)) { fail_msg("%s", err.text); }
}

static void what_was_learnt_before_a_step_that_is_not_finite_is_kept(void **state)
{
    (void)state;
    // nothing is due to be saved before the end
    static const char *const sets[] = {"eval.every=end", "output.save_every=end", NULL};
    struct lorac_checkpoint *c = NULL;
    fails("n", poison, sets, "not finite");
    assert_int_equal(lorac_checkpoint_open(&c, tiny_path("n/state/state.safetensors"), NULL),
                     LORAC_OK);
    assert_string_equal(lorac_checkpoint_metadata(c, "step"), "3");
    lorac_checkpoint_close(c);
    assert_true(lorac_path_is_dir(tiny_path("n/last")));
}

/* With both matrices of all pairs zero nothing reaches either; numbers that run over come to the
 * same. */
static void erase(void *self, const struct lorac_step *s)
{
    const struct lorac_adapter *a = ((struct poison *)self)->a;
    struct lorac_device *dev = a->model->dev;
    if (s->step == 3) { dev->ops->zero(dev, a->params, a->n_params * sizeof(float)); }
}

static void a_dead_gradient_is_an_error(void **state)
{
    (void)state;
    fails("dead", erase, NULL, "step 4: the gradient is zero and the loss ");
}

struct course {
    double loss[RUNS_STEPS], norm[RUNS_STEPS], valid;
    size_t tokens, trained;
};

static void note_step(void *self, const struct lorac_step *s)
{
    struct course *c = self;
    c->loss[s->step - 1] = s->loss;
    c->norm[s->step - 1] = s->grad_norm;
    c->tokens += s->tokens;
    c->trained += s->trained;
}

static void note_evaluation(void *self, const struct lorac_run_eval *e)
{
    ((struct course *)self)->valid = e->scores->loss;
}

static struct course course_of(const char *share)
{
    struct course c = {0};
    const char *const sets[] = {share, "-adapter.dropout",
                                "template.prompt='what does it say here: {text} is'", NULL};
    struct lorac_run_watch watch = {.self = &c, .step = note_step, .eval = note_evaluation};
    (void)runs_well(share + strlen("train."), LORAC_RUN_NEW, &watch, sets);
    return c;
}

/* `auto` shares what all begin with, `on` also what two do: "it ", "a ". */
static void rows_that_begin_alike_train_as_on_their_own(void **state)
{
    (void)state;
    static const char *const ways[] = {"train.share_prefix=auto", "train.share_prefix=on"};
    const struct course alone = course_of("train.share_prefix=off");
    struct course before = alone;
    for (size_t k = 0; k < 2; k++) {
        const struct course together = course_of(ways[k]);
        for (size_t i = 0; i < RUNS_STEPS; i++) { // what rounding becomes in 11 steps at this rate
            assert_true(fabs(together.loss[i] - alone.loss[i]) < 1e-4 * alone.loss[i]);
            assert_true(fabs(together.norm[i] - alone.norm[i]) < 1e-3 * alone.norm[i]);
        }
        assert_true(fabs(together.valid - alone.valid) < 1e-4 * alone.valid);
        assert_int_equal(together.tokens, alone.tokens); // those of the rows, not those that ran
        assert_int_equal(together.trained, alone.trained);
        assert_memory_not_equal(&together, &before, sizeof before); // another way of adding
        before = together;
    }
}

static void runs_in_bfloat16_end_near_those_in_float32(void **state)
{
    (void)state;
    static const char *const half[] = {"model.compute=bfloat16", NULL};
    static const char *const fastest[] = {"model.compute=auto", NULL};
    struct lorac_device dev = {0};
    assert_int_equal(lorac_device_outline(&dev, NULL, 1, NULL), LORAC_OK);
    const char *lacks = dev.ops->lacks(&dev, LORAC_BFLOAT16);
    lorac_device_close(&dev);
    if (lacks) {
        struct lorac_run_result result;
        struct lorac_err err = {0};
        assert_int_equal(runs_go(&result, "half", LORAC_RUN_NEW, NULL, half, &err), LORAC_ENOTSUP);
        assert_non_null(strstr(err.text, lacks));
        print_message("skipped: %s\n", lacks);
        skip();
    }
    struct lorac_run_result whole = runs_well("half", LORAC_RUN_NEW, NULL, half);
    struct lorac_run_result single = runs_well("single", LORAC_RUN_NEW, NULL, NULL);
    assert_true(fabs(whole.last.loss - single.last.loss) < 0.01 * single.last.loss);
    assert_true(whole.last.loss < single.last.loss || whole.last.loss > single.last.loss);
    struct runs_stop s = {.at = 5};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    runs_well("again", LORAC_RUN_NEW, &watch, half);
    runs_refused("again", LORAC_RUN_RESUME, NULL,
                 "DIR/again: the run began in bfloat16, and would go on in float32 (model.compute)",
                 false);
    runs_well("again", LORAC_RUN_RESUME, NULL, fastest); // which is the same here
    runs_same("half", "again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_that_begin_alike_train_as_on_their_own),
        cmocka_unit_test(what_was_learnt_before_a_step_that_is_not_finite_is_kept),
        cmocka_unit_test(a_dead_gradient_is_an_error),
        cmocka_unit_test(runs_in_bfloat16_end_near_those_in_float32),
    };
    return cmocka_run_group_tests_name("run_numbers", tests, runs_make, runs_remove);
}
