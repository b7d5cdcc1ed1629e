/*
 * Losses of rows whose frozen layers run once, and what they give is kept from one evaluation to
 * the next. What is promised:
 *   - scores and predictions are those of an evaluator that keeps nothing, bit by bit, whatever
 *     became of the adapter meanwhile; but for rounding where all layers are frozen;
 *   - frozen layers run in the first evaluation and in no other, also where that was interrupted;
 *   - what takes more than it may is not kept, nor what is measured in another way. How much it
 *     takes is what was said;
 *   - a trainer keeps them where it evaluates more than once, in what its training rows leave of
 *     the memory; a run whose validation rows are kept leaves the bytes of one whose aren't;
 *   - each failure is reported.
 */
#include "base/core/mem.h"
#include "base/core/rng.h"
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

/* Rows of different lengths; of more than a few one batch is not enough. */
static void write_table(const char *name, int rows)
{
    struct lorac_buf b = {0};
    lorac_buf_str(&b, "text,label,tags\n");
    for (int i = 0; i < rows; i++) {
        lorac_buf_printf(&b, "%.*s%02d %c,%s,O %s\n", i * 5 % 17, "abcdefghijklmnopq", i,
                         'a' + i % 7, i % 3 ? "good" : "bad", i % 3 ? "B-X" : "O");
    }
    tiny_text(name, b.at);
    lorac_buf_free(&b);
}

static int make_all(void **state)
{
    int st = runs_make(state);
    write_table("train.csv", 20);
    write_table("valid.csv", 90);
    return st;
}

static void check(enum lorac_status st, const struct lorac_err *err)
{
    if (st) { fail_msg("%s", err->text); }
}

/* ---- an adapter, and what evaluates it ---- */

struct subject {
    struct runs_job s;
    struct lorac_adapter *a;
    struct lorac_stack stack;
    struct lorac_socket socket;
    struct lorac_evaluator_options o;
};

static void open_subject(struct subject *x, unsigned metrics, const char *const *sets)
{
    struct lorac_err err = {0};
    runs_open_job(&x->s, LORAC_JOB_TRAIN, sets);
    check(lorac_job_adapter(&x->a, x->s.j, &err), &err);
    x->stack = (struct lorac_stack){.n = 1, .adapter = {x->a}, .factor = {1.0F}};
    x->socket = lorac_stack_socket(&x->stack);
    x->o = lorac_job_evaluation(x->s.j, x->s.j->valid.set, metrics, &x->socket);
}

static void close_subject(struct subject *x)
{
    lorac_adapter_free(x->a);
    runs_close_job(&x->s);
}

/* Other parameters, none of them zero. */
static void change(struct subject *x, size_t step)
{
    struct lorac_err err = {0};
    float *values = lorac_mem_new(x->a->n_params, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < x->a->n_params; i++) {
        values[i] = (float)(0.1 * lorac_rng_normal(lorac_rng_key(7, "test"), step, i));
    }
    const struct lorac_device *dev = &x->s.j->dev;
    dev->ops->write(&x->s.j->dev, x->a->params, values, x->a->n_params * sizeof *values);
    lorac_mem_free(values);
    check(lorac_adapter_refresh(x->a, &err), &err);
}

static struct lorac_evaluator *evaluator(const struct subject *x, size_t kept_bytes)
{
    struct lorac_evaluator *e = NULL;
    struct lorac_err err = {0};
    struct lorac_evaluator_options o = x->o;
    o.kept_bytes = kept_bytes;
    check(lorac_evaluator_new(&e, &o, &err), &err);
    return e;
}

static struct lorac_scores scores_of(struct lorac_evaluator *e)
{
    struct lorac_err err = {0};
    struct lorac_scores s;
    check(lorac_evaluate(&s, e, NULL, NULL, &err), &err);
    s.seconds = 0.0;
    return s;
}

/* ---- the same scores ---- */

#define LAST "adapter.layers=[1]"
#define HEAD "template.prompt='{text}'", "-template.completion", "-eval.samples", "data.labels"
static const char *const text[] = {LAST, NULL};
static const char *const shares[] = {LAST, "template.prompt='What do you say of this: {text}? '",
                                     NULL};
static const char *const classify[] = {LAST, "objective=classify", HEAD "=label", NULL};
static const char *const tag[] = {LAST, "objective=tag", HEAD "=tags", NULL};
static const char *const head_alone[] = {
    "objective=classify", HEAD "=label", "adapter.method=none", "-adapter.rank", "-adapter.alpha",
    "-adapter.dropout",   NULL};
#define FULL "adapter.method=none", "-adapter.rank", "-adapter.alpha", "-adapter.dropout"
static const char *const in_full[] = {FULL, LAST, NULL};
static const char *const classify_in_full[] = {FULL, LAST, "objective=classify", HEAD "=label",
                                               NULL};

enum { LOSS = 1U << LORAC_METRIC_LOSS | 1U << LORAC_METRIC_PERPLEXITY };

static void same(const struct lorac_scores *got, const struct lorac_scores *want, bool bits)
{
    for (int m = 0; m < LORAC_METRICS; m++) {
        double a = lorac_scores_get(got, (enum lorac_metric)m);
        double b = lorac_scores_get(want, (enum lorac_metric)m);
        if (bits) { assert_memory_equal(&a, &b, sizeof a); }
        if (!isnan(b)) { assert_true(fabs(a - b) <= 1e-5 * fabs(b)); } // float32
    }
    assert_int_equal(got->tokens, want->tokens);
    assert_int_equal(got->computed, want->computed);
}

static void keeping_changes_no_score(const char *const *sets, unsigned metrics, bool bits)
{
    struct subject x;
    struct lorac_predictions a = {0};
    struct lorac_predictions b = {0};
    open_subject(&x, metrics, sets);
    x.o.predictions = &a;
    struct lorac_evaluator *whole = evaluator(&x, 0);
    x.o.predictions = &b;
    struct lorac_evaluator *keeps = evaluator(&x, SIZE_MAX);
    assert_int_equal(lorac_evaluator_kept(whole), 0);
    assert_true(lorac_evaluator_kept(keeps) > 0);
    double before = 0.0;
    for (size_t step = 0; step < 3; step++) {
        change(&x, step);
        struct lorac_scores want = scores_of(whole);
        struct lorac_scores got = scores_of(keeps);
        assert_true(fabs(want.loss - before) > 1e-4);
        before = want.loss;
        same(&got, &want, bits);
        assert_int_equal(a.n, b.n);
        for (size_t i = 0; i < a.n; i++) {
            assert_true(fabs(a.at[i].loss - b.at[i].loss) <= (bits ? 0.0 : 1e-5));
        }
    }
    lorac_evaluator_free(keeps);
    lorac_evaluator_free(whole);
    lorac_predictions_release(&a);
    lorac_predictions_release(&b);
    close_subject(&x);
}

static void kept_rows_have_the_scores_of_those_that_run(void **state)
{
    (void)state;
    enum { CLASSIFY = LOSS | 1U << LORAC_METRIC_ACCURACY | 1U << LORAC_METRIC_AUC };
    keeping_changes_no_score(text, LOSS, true);
    keeping_changes_no_score(shares, LOSS, true);
    keeping_changes_no_score(classify, CLASSIFY, true);
    keeping_changes_no_score(tag, CLASSIFY & ~(1U << LORAC_METRIC_AUC), true);
    keeping_changes_no_score(head_alone, CLASSIFY, false);
    keeping_changes_no_score(in_full, LOSS, true);
    keeping_changes_no_score(classify_in_full, CLASSIFY, true);
}

/* ---- how often they run ---- */

static const struct lorac_backend *backend;
static size_t n_rows; // that it looked up

static void count_embed(struct lorac_device *dev, float *x, const int32_t *ids,
                        const struct lorac_weight *w, size_t N)
{
    n_rows += N;
    backend->embed(dev, x, ids, w, N);
}

static bool stop_soon(void *self, double done)
{
    (void)self;
    return done >= 1.0; // behind the first batch, but not the last
}

static void frozen_layers_run_in_the_first_evaluation(void **state)
{
    (void)state;
    struct subject x;
    struct lorac_err err = {0};
    struct lorac_scores got;
    open_subject(&x, LOSS, text);
    struct lorac_evaluator *whole = evaluator(&x, 0);
    struct lorac_evaluator *keeps = evaluator(&x, SIZE_MAX);
    struct lorac_scores want = scores_of(whole);
    backend = x.s.j->dev.ops;
    struct lorac_backend counting = *backend;
    counting.embed = count_embed;
    x.s.j->dev.ops = &counting;
    n_rows = 0;
    assert_int_equal(lorac_evaluate(&got, keeps, stop_soon, NULL, &err), LORAC_ESTOP);
    assert_true(n_rows > 0 && n_rows < want.computed);
    got = scores_of(keeps); // of the rest
    same(&got, &want, true);
    assert_int_equal(n_rows, want.computed);
    got = scores_of(keeps);
    same(&got, &want, true);
    assert_int_equal(n_rows, want.computed);
    x.s.j->dev.ops = backend;
    lorac_evaluator_free(keeps);
    lorac_evaluator_free(whole);
    close_subject(&x);
}

/* ---- where they are kept ---- */

static size_t kept(const struct subject *x, size_t bytes)
{
    struct lorac_evaluator *e = evaluator(x, bytes);
    struct lorac_evaluation_size size;
    struct lorac_evaluator_options o = x->o;
    struct lorac_err err = {0};
    o.kept_bytes = bytes;
    check(lorac_evaluator_measure(&size, &o, &err), &err);
    size_t n = lorac_evaluator_kept(e);
    assert_int_equal(size.kept_bytes, n);
    lorac_evaluator_free(e);
    return n;
}

static void what_takes_too_much_is_not_kept(void **state)
{
    (void)state;
    struct subject x;
    open_subject(&x, LOSS, text);
    size_t bytes = kept(&x, SIZE_MAX);
    struct lorac_evaluator *e = evaluator(&x, 0);
    assert_int_equal(bytes, scores_of(e).computed * x.o.model->config.C * sizeof(float));
    lorac_evaluator_free(e);
    assert_int_equal(kept(&x, bytes), bytes);
    assert_int_equal(kept(&x, bytes - 1), 0);
    assert_int_equal(kept(&x, 0), 0);
    x.o.metrics |= 1U << LORAC_METRIC_ACCURACY; // labels, one behind the other
    assert_int_equal(kept(&x, SIZE_MAX), 0);
    close_subject(&x);
    static const char *const lowest[][3] = {{NULL},
                                            {LAST, "adapter.train_also=[layers.0.mlp.up_proj]"},
                                            {LAST, "adapter.train_also=[input_layernorm]"}};
    for (size_t i = 0; i < sizeof lowest / sizeof *lowest; i++) {
        open_subject(&x, LOSS, lowest[i]);
        assert_int_equal(kept(&x, SIZE_MAX), 0);
        close_subject(&x);
    }
}

static struct lorac_trainer_frozen chosen(size_t evaluations, enum lorac_recipe_cache when,
                                          size_t frozen_bytes, const char *const *sets)
{
    struct subject x;
    struct lorac_err err = {0};
    struct lorac_loader *loader = NULL;
    struct lorac_trainer *t = NULL;
    open_subject(&x, LOSS, sets);
    const struct lorac_loader_options rows = {.batch_size = 3};
    check(lorac_loader_open(&loader, x.s.j->train.set, &rows, &err), &err);
    struct lorac_trainer_options o = lorac_trainer_options_default();
    o.adapter = x.a;
    o.loader = loader;
    o.epochs = x.s.r->train.epochs;
    o.valid = x.o;
    o.evaluations = evaluations;
    o.cache_frozen_prefix = when;
    o.frozen_bytes = frozen_bytes;
    check(lorac_trainer_open(&t, &o, &err), &err);
    struct lorac_trainer_frozen c = *lorac_trainer_frozen(t);
    lorac_trainer_close(t);
    lorac_loader_close(loader);
    close_subject(&x);
    return c;
}

static void a_trainer_keeps_them_in_what_training_rows_leave(void **state)
{
    (void)state;
    static const char *const once[] = {LAST, "train.epochs=1", NULL};
    static const char *const lowest[] = {NULL};
    struct lorac_trainer_frozen c = chosen(2, LORAC_RECIPE_CACHE_AUTO, SIZE_MAX, text);
    size_t train = c.bytes;
    size_t valid = c.valid_bytes;
    assert_true(c.layers == 1 && c.valid_layers == 1 && train > 0 && valid > train);
    c = chosen(1, LORAC_RECIPE_CACHE_AUTO, SIZE_MAX, text);
    assert_true(c.bytes == train && c.valid_bytes == 0);
    c = chosen(2, LORAC_RECIPE_CACHE_OFF, SIZE_MAX, text);
    assert_true(c.layers == 0 && c.valid_bytes == 0);
    c = chosen(2, LORAC_RECIPE_CACHE_AUTO, train + valid, text);
    assert_true(c.bytes == train && c.valid_bytes == valid);
    c = chosen(2, LORAC_RECIPE_CACHE_AUTO, train + valid - 1, text);
    assert_true(c.bytes == train && c.valid_bytes == 0);
    c = chosen(2, LORAC_RECIPE_CACHE_AUTO, valid, once); // training rows are read once
    assert_true(c.layers == 0 && c.valid_layers == 1 && c.valid_bytes == valid);
    c = chosen(2, LORAC_RECIPE_CACHE_AUTO, SIZE_MAX, lowest);
    assert_true(c.layers == 0 && c.valid_bytes == 0);
}

/* ---- a run ---- */

static void note_frozen(void *self, const struct lorac_run_begin *b)
{
    *(size_t *)self = b->frozen->valid_bytes;
}

static size_t run(const char *out, const char *cache)
{
    const char *const sets[] = {
        LAST, "train.epochs=1", "eval.metrics=[loss]", "eval.every=1 steps", cache, NULL};
    size_t bytes = 0;
    struct lorac_run_watch watch = {.self = &bytes, .begin = note_frozen};
    (void)runs_well(out, LORAC_RUN_NEW, &watch, sets);
    return bytes;
}

static void a_run_leaves_the_same_bytes(void **state)
{
    (void)state;
    assert_true(run("kept", "train.cache_frozen_prefix=auto") > 0);
    assert_true(run("whole", "train.cache_frozen_prefix=off") == 0);
    runs_same("kept", "whole");
}

/* ---- failures ---- */

static const struct lorac_recipe *last_layer;

static enum lorac_status all_of_it(struct lorac_err *err)
{
    struct lorac_job *j = NULL;
    struct lorac_adapter *a = NULL;
    struct lorac_evaluator *e = NULL;
    struct lorac_evaluation_size size = {0};
    struct lorac_scores scores = {0};
    struct lorac_stack stack = {.n = 1, .factor = {1.0F}};
    struct lorac_socket socket = {0};
    struct lorac_evaluator_options o = {0};
    enum lorac_status st = lorac_job_open(&j, last_layer, LORAC_JOB_TRAIN, err);
    if (!st) { st = lorac_job_adapter(&a, j, err); }
    if (!st) {
        stack.adapter[0] = a;
        socket = lorac_stack_socket(&stack);
        o = lorac_job_evaluation(j, j->valid.set, LOSS, &socket);
        o.kept_bytes = SIZE_MAX;
        st = lorac_evaluator_measure(&size, &o, err);
    }
    if (!st) { st = lorac_evaluator_new(&e, &o, err); }
    for (int i = 0; i < 2 && !st; i++) {
        st = lorac_evaluate(&scores, e, NULL, NULL, err);
        if (!st) { faults_say("%zu %a ", size.kept_bytes, scores.loss); }
    }
    lorac_evaluator_free(e);
    lorac_adapter_free(a);
    lorac_job_close(j);
    return st;
}

static void each_failure_is_reported(void **state)
{
    (void)state;
    static const struct faults_scenario all[] = {{"an evaluator that keeps", all_of_it, false, 11}};
    struct lorac_recipe *r = runs_recipe(tiny_path("none"), text);
    last_layer = r;
    faults_meet(all, 1);
    lorac_recipe_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_rows_have_the_scores_of_those_that_run),
        cmocka_unit_test(frozen_layers_run_in_the_first_evaluation),
        cmocka_unit_test(what_takes_too_much_is_not_kept),
        cmocka_unit_test(a_trainer_keeps_them_in_what_training_rows_leave),
        cmocka_unit_test(a_run_leaves_the_same_bytes),
        cmocka_unit_test(each_failure_is_reported),
    };
    return cmocka_run_group_tests_name("losses", tests, make_all, runs_remove);
}
