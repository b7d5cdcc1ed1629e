/*
 * A trainer without a recipe. What is promised:
 *   - how rows are cut into micro-batches changes neither loss nor parameters, whatever their
 *     tokens weigh, of which only the proportion counts; the gradient is the derivative of the
 *     weighted loss;
 *   - one that loads a saved state goes on as if it had not stopped;
 *   - a step that is not finite leaves all as it was; a step past the last is refused;
 *   - a peek moves nothing; an evaluation says what is best; a saved adapter loads;
 *   - what makes no training is refused, and each failure is reported.
 */
#include "recipes/run/trainer.h"

#include "base/core/mem.h"
#include "tests/datasets/bytes.h"
#include "tests/support/faults.h"
#include "tests/support/near.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <stdint.h>

enum { ROWS = 12, STEPS = 3 };

static struct lorac_device dev;
static struct lorac_model *model;
static struct lorac_tokenizer *tokenizer;
static struct lorac_table *table;
static struct lorac_dataset *rows;

static void check(enum lorac_status st, const struct lorac_err *err)
{
    if (st) { fail_msg("%s", err->text); }
}

static int open_all(void **state)
{
    static char text[1024];
    static const struct lorac_dataset_options o = {
        .prompt = "{text}", .completion = " {label}", .append_eos = true, .max_length = 64};
    struct lorac_err err = {0};
    int at = snprintf(text, sizeof text, "text,label\n");
    for (int i = 0; i < ROWS; i++) { // of different lengths
        at += snprintf(text + at, sizeof text - (size_t)at, "%.*s%02d,%.*s\n", i * 5 % 17,
                       "abcdefghijklmnopq", i, 1 + i % 4, "wxyz");
    }
    tiny_model(state);
    check(lorac_device_open(&dev, NULL, 1, &err), &err);
    check(lorac_model_open(&model, &dev, tiny_path("model"), LORAC_FLOAT32, &err), &err);
    tokenizer = open_bytes();
    table = open_text(text);
    rows = open_dataset(table, tokenizer, &o);
    return 0;
}

static int close_all(void **state)
{
    lorac_dataset_close(rows);
    lorac_table_close(table);
    lorac_tokenizer_free(tokenizer);
    lorac_model_close(model);
    lorac_device_close(&dev);
    return tiny_remove(state);
}

/* What trains, in parts that outlive it. */
struct scene {
    struct lorac_adapter *adapter;
    struct lorac_loader *loader;
    struct lorac_trainer_options o;
    struct lorac_trainer *t;
};

static enum lorac_status prepare(struct scene *s, const struct lorac_loader_options *rows_as,
                                 double dropout, struct lorac_err *err)
{
    static const char *const targets[] = {"q_proj", "down_proj"};
    const struct lorac_adapter_options o = {
        .rank = 2, .alpha = 4.0, .targets = targets, .n_targets = 2, .dropout = dropout, .seed = 5};
    *s = (struct scene){0};
    enum lorac_status st = lorac_adapter_new(&s->adapter, model, &o, err);
    if (!st) { st = lorac_loader_open(&s->loader, rows, rows_as, err); }
    s->o = lorac_trainer_options_default();
    s->o.adapter = s->adapter;
    s->o.loader = s->loader;
    s->o.epochs = STEPS;
    return st;
}

static void release(struct scene *s)
{
    lorac_trainer_close(s->t);
    lorac_loader_close(s->loader);
    lorac_adapter_free(s->adapter);
}

static void open_scene(struct scene *s, const struct lorac_loader_options *rows_as, double dropout)
{
    struct lorac_err err = {0};
    check(prepare(s, rows_as, dropout, &err), &err);
    check(lorac_trainer_open(&s->t, &s->o, &err), &err);
}

static struct lorac_step step(struct scene *s)
{
    struct lorac_err err = {0};
    struct lorac_step out;
    check(lorac_trainer_step(&out, s->t, &err), &err);
    return out;
}

/* The parameters, to be freed with lorac_mem_free(). */
static float *take(const struct lorac_adapter *a)
{
    float *host = lorac_mem_new(a->n_params, sizeof *host);
    assert_non_null(host);
    dev.ops->read(&dev, host, a->params, a->n_params * sizeof *host);
    return host;
}

static float unequal(const struct lorac_dataset *d, size_t i, size_t t, size_t n)
{
    (void)d;
    return 0.25F + (float)(i % 5) + 0.5F * (float)(t % 3) / (float)n;
}

/* causal_lm whose tokens weigh unequally. */
static struct lorac_objective weighted(void)
{
    struct lorac_objective o = lorac_objectives[0];
    o.name = "weighted";
    o.weigh = unequal;
    return o;
}

/* ---- weights ---- */

static void how_rows_are_cut_changes_nothing(void **state)
{
    (void)state;
    const struct lorac_objective own = weighted();
    static const struct {
        size_t batch_size, batch_tokens, accumulate;
    } cuts[] = {{ROWS, 0, 1}, {6, 0, 2}, {5, 0, 3}, {1, 0, ROWS}, {0, 40, 0}};
    double loss[STEPS] = {0};
    float *want = NULL;
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        struct scene s;
        struct lorac_err err = {0};
        const struct lorac_loader_options o = {.batch_size = cuts[c].batch_size,
                                               .batch_tokens = cuts[c].batch_tokens,
                                               .objective = &own};
        check(prepare(&s, &o, 0.0, &err), &err);
        s.o.accumulate = cuts[c].accumulate ? cuts[c].accumulate : lorac_loader_count(s.loader, 0);
        assert_true(cuts[c].accumulate || s.o.accumulate > 2);
        s.o.optim = (struct lorac_optim_options){.name = "sgd", .lr = 0.5};
        check(lorac_trainer_open(&s.t, &s.o, &err), &err);
        for (size_t i = 0; i < STEPS; i++) {
            struct lorac_step got = step(&s);
            if (c == 0) { loss[i] = got.loss; }
            assert_true(fabs(got.loss - loss[i]) <
                        2e-6 * loss[i]); // float32 losses, summed in double
        }
        assert_true(lorac_trainer_done(s.t));
        assert_true(loss[2] < loss[1] && loss[1] < loss[0]);
        float *got = take(s.adapter);
        if (want) { // sums of another order, in float32
            near_all("parameters", got, want, s.adapter->n_params, 2e-6F, 1e-5F);
            lorac_mem_free(got);
        } else {
            want = got;
        }
        release(&s);
    }
    lorac_mem_free(want);
}

static float twice(const struct lorac_dataset *d, size_t i, size_t t, size_t n)
{
    return 2.0F * unequal(d, i, t, n);
}

static void only_the_proportion_of_weights_counts(void **state)
{
    (void)state;
    struct lorac_objective own = weighted();
    const struct lorac_loader_options o = {.batch_size = 5, .objective = &own};
    double loss[2];
    float *p[2];
    for (int i = 0; i < 2; i++) {
        struct scene s;
        own.weigh = i ? twice : unequal;
        open_scene(&s, &o, 0.0);
        step(&s);
        loss[i] = step(&s).loss;
        p[i] = take(s.adapter);
        if (i) { assert_memory_equal(p[0], p[1], s.adapter->n_params * sizeof *p[0]); }
        release(&s);
    }
    assert_true(!(loss[0] < loss[1]) && !(loss[0] > loss[1]));
    lorac_mem_free(p[0]);
    lorac_mem_free(p[1]);
}

/* f(p + h d), of the rows that the next step takes. */
static double moved(struct scene *s, const float *p, const float *d, float h)
{
    size_t n = s->adapter->n_params;
    struct lorac_err err = {0};
    struct lorac_peek peek;
    float *at = lorac_mem_new(n, sizeof *at);
    assert_non_null(at);
    for (size_t i = 0; i < n; i++) {
        at[i] = p[i] + h * d[i];
    }
    dev.ops->write(&dev, s->adapter->params, at, n * sizeof *at);
    check(lorac_trainer_peek(&peek, s->t, &err), &err);
    lorac_mem_free(at);
    return peek.loss;
}

/* A step of SGD at rate 1, unclipped, moves the parameters by -g: along g the weighted mean loss
 * changes by |g|^2. */
static void a_step_goes_down_the_weighted_loss(void **state)
{
    (void)state;
    const struct lorac_objective own = weighted();
    const struct lorac_loader_options o = {.batch_size = ROWS, .objective = &own};
    struct scene s;
    struct lorac_err err = {0};
    check(prepare(&s, &o, 0.0, &err), &err);
    s.o.optim = (struct lorac_optim_options){.name = "sgd", .lr = 1.0};
    check(lorac_trainer_open(&s.t, &s.o, &err), &err);
    size_t n = s.adapter->n_params;
    step(&s); // B is not zero from here on
    float *before = take(s.adapter);
    struct lorac_step done = step(&s);
    float *after = take(s.adapter);
    float *g = lorac_mem_new(n, sizeof *g);
    assert_non_null(g);
    double squares = 0.0;
    for (size_t i = 0; i < n; i++) {
        g[i] = before[i] - after[i];
        squares += (double)g[i] * (double)g[i];
    }
    assert_true(fabs(sqrt(squares) - done.grad_norm) < 1e-4 * done.grad_norm);
    const float h = 0.02F;
    double slope = (moved(&s, before, g, h) - moved(&s, before, g, -h)) / (2.0 * (double)h);
    // float32 losses near 5 tell 1e-6 apart, a hundredth of a percent of the difference
    if (fabs(slope - squares) > 2e-3 * squares) {
        fail_msg("the loss changes by %g along the gradient, expected %g", slope, squares);
    }
    lorac_mem_free(before);
    lorac_mem_free(after);
    lorac_mem_free(g);
    release(&s);
}

/* ---- where it stands ---- */

static const struct lorac_loader_options shuffled = {.batch_size = 5, .shuffle = true, .seed = 3};

static void a_loaded_state_goes_on_as_if_it_had_not_stopped(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct scene a;
    struct scene b;
    open_scene(&a, &shuffled, 0.25);
    for (int i = 0; i < 4; i++) {
        step(&a);
    }
    check(lorac_trainer_save_state(a.t, tiny_path("state"), &err), &err);
    open_scene(&b, &shuffled, 0.25);
    check(lorac_trainer_load_state(b.t, tiny_path("state"), &err), &err);
    while (!lorac_trainer_done(a.t)) {
        struct lorac_step x = step(&a);
        struct lorac_step y = step(&b);
        assert_int_equal(x.step, y.step);
        assert_true(!(x.loss < y.loss) && !(x.loss > y.loss));
    }
    assert_true(lorac_trainer_done(b.t));
    float *x = take(a.adapter);
    float *y = take(b.adapter);
    assert_memory_equal(x, y, a.adapter->n_params * sizeof *x);
    lorac_mem_free(x);
    lorac_mem_free(y);
    release(&a);
    release(&b);
}

static void a_step_that_fails_leaves_all_as_it_was(void **state)
{
    (void)state;
    const float nan = NAN;
    struct lorac_err err = {0};
    struct lorac_step out;
    struct scene a;
    struct scene b;
    open_scene(&a, &shuffled, 0.25);
    open_scene(&b, &shuffled, 0.25);
    step(&a);
    step(&b);
    dev.ops->write(&dev, b.adapter->grads, &nan, sizeof nan);
    assert_int_equal(lorac_trainer_step(&out, b.t, &err), LORAC_EUSER);
    assert_true(out.not_finite);
    assert_string_equal(err.text,
                        "the gradient of step 2 is not finite: try a smaller optimizer.lr "
                        "or set optimizer.clip_norm");
    float first = b.adapter->params[0]; // host memory here
    b.adapter->params[0] = nan;
    assert_int_equal(lorac_trainer_step(&out, b.t, &err), LORAC_EUSER);
    assert_true(out.not_finite);
    assert_non_null(strstr(err.text, "step 2: the loss is not finite (lines "));
    b.adapter->params[0] = first;
    while (!lorac_trainer_done(a.t)) { // as if there had been nothing
        step(&a);
        step(&b);
    }
    float *x = take(a.adapter);
    float *y = take(b.adapter);
    assert_memory_equal(x, y, a.adapter->n_params * sizeof *x);
    lorac_mem_free(x);
    lorac_mem_free(y);
    assert_int_equal(lorac_trainer_step(&out, a.t, &err), LORAC_EUSER);
    assert_string_equal(err.text, "all 9 steps are done");
    assert_false(out.not_finite);
    release(&a);
    release(&b);
}

static void a_peek_moves_nothing(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_peek peek;
    struct lorac_peek again;
    struct scene a;
    open_scene(&a, &shuffled, 0.0);
    step(&a);
    check(lorac_trainer_peek(&peek, a.t, &err), &err);
    check(lorac_trainer_peek(&again, a.t, &err), &err);
    assert_true(!(peek.loss < again.loss) && !(peek.loss > again.loss));
    assert_true(peek.row_seconds > 0.0 && peek.scored_seconds > 0.0);
    assert_true(fabs(step(&a).loss - peek.loss) < 1e-9);
    release(&a);
}

/* ---- evaluation and files ---- */

static void an_evaluation_says_what_is_best(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_scores before;
    struct lorac_scores after;
    bool is_best = false;
    struct scene s;
    open_scene(&s, &shuffled, 0.0);
    assert_null(lorac_trainer_evaluator(s.t));
    assert_int_equal(lorac_trainer_evaluate(&before, &is_best, s.t, NULL, NULL, &err), LORAC_EUSER);
    assert_string_equal(err.text, "there are no validation rows to evaluate");
    lorac_trainer_close(s.t);
    s.o.valid.set = rows;
    s.o.optim.lr = 0.01;
    check(lorac_trainer_open(&s.t, &s.o, &err), &err);
    assert_int_equal(lorac_trainer_save(s.t, tiny_path("a"), NULL, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "every B is zero after 0 steps"));
    check(lorac_trainer_evaluate(&before, &is_best, s.t, NULL, NULL, &err), &err);
    assert_true(is_best);
    check(lorac_trainer_evaluate(&before, &is_best, s.t, NULL, NULL, &err), &err);
    assert_false(is_best);
    while (!lorac_trainer_done(s.t)) {
        step(&s);
    }
    check(lorac_trainer_evaluate(&after, &is_best, s.t, NULL, NULL, &err), &err);
    assert_true(is_best && after.loss < before.loss);
    assert_int_equal(after.rows, ROWS);
    struct lorac_adapter *loaded = NULL;
    check(lorac_trainer_save(s.t, tiny_path("a"), NULL, &err), &err);
    check(lorac_peft_load(&loaded, model, tiny_path("a"), false, &err), &err);
    float *x = take(s.adapter);
    float *y = take(loaded);
    assert_memory_equal(x, y, loaded->n_params * sizeof *x);
    lorac_mem_free(x);
    lorac_mem_free(y);
    lorac_adapter_free(loaded);
    release(&s);
}

/* ---- what is refused ---- */

static void what_makes_no_training_is_refused(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_objective own = lorac_objectives[0];
    const struct lorac_loader_options o = {.batch_size = 5, .objective = &own};
    struct scene s;
    own.name = "bare";
    own.metrics = 1U << LORAC_METRIC_LOSS;
    check(prepare(&s, &o, 0.0, &err), &err);
    s.o.accumulate = 0;
    assert_int_equal(lorac_trainer_open(&s.t, &s.o, &err), LORAC_EUSER);
    assert_string_equal(err.text, "a training of 3 epochs and 0 steps of 0 micro-batches: expected "
                                  "epochs or steps, and one micro-batch or more");
    s.o.accumulate = 1;
    s.o.steps = 5;
    assert_int_equal(lorac_trainer_open(&s.t, &s.o, &err), LORAC_EUSER);
    s.o.steps = s.o.epochs = 0;
    assert_int_equal(lorac_trainer_open(&s.t, &s.o, &err), LORAC_EUSER);
    s.o.steps = 5;
    s.o.valid.set = rows;
    assert_int_equal(lorac_trainer_open(&s.t, &s.o, &err), LORAC_EUSER);
    assert_string_equal(err.text, "the objective bare has no perplexity to measure");
    assert_null(s.t);
    s.o.valid.metrics = 1U << LORAC_METRIC_LOSS;
    check(lorac_trainer_open(&s.t, &s.o, &err), &err);
    release(&s);
}

static float nothing(const struct lorac_dataset *d, size_t i, size_t t, size_t n)
{
    (void)d;
    (void)i;
    (void)t;
    (void)n;
    return 0.0F;
}

static void tokens_that_weigh_nothing_together_are_refused(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_step out;
    struct lorac_objective own = weighted();
    const struct lorac_loader_options o = {.batch_size = 5, .objective = &own};
    struct scene s;
    own.weigh = nothing;
    open_scene(&s, &o, 0.0);
    assert_int_equal(lorac_trainer_step(&out, s.t, &err), LORAC_EUSER);
    assert_string_equal(err.text,
                        "the trained tokens of step 1 weigh 0 together, expected more than 0");
    release(&s);
}

/* ---- failures ---- */

static enum lorac_status all_of_it(struct lorac_err *err)
{
    struct scene s;
    struct lorac_step done = {0};
    struct lorac_peek peek = {0};
    struct lorac_scores scores = {0};
    bool is_best = false;
    enum lorac_status st = prepare(&s, &shuffled, 0.0, err);
    s.o.valid.set = rows;
    s.o.optim.lr = 0.01;
    if (!st) { st = lorac_trainer_open(&s.t, &s.o, err); }
    if (!st) { st = lorac_trainer_peek(&peek, s.t, err); }
    if (!st) { st = lorac_trainer_step(&done, s.t, err); }
    if (!st) { st = lorac_trainer_evaluate(&scores, &is_best, s.t, NULL, NULL, err); }
    if (!st) { st = lorac_trainer_save_state(s.t, tiny_path("out"), err); }
    if (!st) { st = lorac_trainer_load_state(s.t, tiny_path("out"), err); }
    if (!st) { faults_say("%a %a %a", peek.loss, done.loss, scores.loss); }
    release(&s);
    return st;
}

static void each_failure_is_reported(void **state)
{
    (void)state;
    static const struct faults_scenario all[] = {{"trainer", all_of_it, true, 11}};
    faults_meet(all, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(how_rows_are_cut_changes_nothing),
        cmocka_unit_test(only_the_proportion_of_weights_counts),
        cmocka_unit_test(a_step_goes_down_the_weighted_loss),
        cmocka_unit_test(a_loaded_state_goes_on_as_if_it_had_not_stopped),
        cmocka_unit_test(a_step_that_fails_leaves_all_as_it_was),
        cmocka_unit_test(a_peek_moves_nothing),
        cmocka_unit_test(an_evaluation_says_what_is_best),
        cmocka_unit_test(what_makes_no_training_is_refused),
        cmocka_unit_test(tokens_that_weigh_nothing_together_are_refused),
        cmocka_unit_test(each_failure_is_reported),
    };
    return cmocka_run_group_tests_name("trainer", tests, open_all, close_all);
}
