/*
 * Ranks that train together, here threads; tests/tools/test_ranks.sh has processes. What is
 * promised:
 *   - they have the loss and gradient of one process, dropout and a micro-batch that they divide
 *     included, and all the same parameters; so where prefixes are shared and frozen layers run
 *     once a row; they evaluate as one;
 *   - a step that fails on one fails on all, and says so where parameters may be saved;
 *   - each failed allocation is reported.
 */
#include "recipes/run/trainer.h"
#include "tests/datasets/bytes.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"
#include "tests/support/world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 13 };

static struct lorac_device dev;
static struct lorac_model *model;
static struct lorac_tokenizer *tokenizer;
static struct lorac_table *table;
static struct lorac_dataset *rows;

static int open_all(void **state)
{
    static char text[1024];
    static const struct lorac_dataset_options o = {.prompt = "{text}",
                                                   .completion = " {label}",
                                                   .append_eos = true,
                                                   .max_length = 64,
                                                   .cache = 1 << 16};
    struct lorac_err err = {0};
    int at = snprintf(text, sizeof text, "text,label\n");
    for (int i = 0; i < ROWS; i++) { // of different lengths
        at += snprintf(text + at, sizeof text - (size_t)at, "%.*s%02d,%.*s\n", i * 5 % 17,
                       "abcdefghijklmnopq", i, 1 + i % 4, "wxyz");
    }
    tiny_model(state);
    if (lorac_device_open(&dev, NULL, 1, &err) ||
        lorac_model_open(&model, &dev, tiny_path("model"), LORAC_FLOAT32, &err)) {
        fail_msg("%s", err.text);
    }
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

/* How ranks train: with plain SGD at a rate of 1, what a parameter loses is its gradient. */
struct how {
    size_t accumulate, batch_size, steps;
    double dropout;
    enum lorac_share share;
    bool frozen;  // the lowest layer runs once a row
    double lr;    // 0: 1
    size_t ruins; // the rank whose weights are spoilt, from 1; 0: none
};

static enum lorac_status make(struct lorac_adapter **a, struct lorac_loader **l,
                              struct lorac_trainer **t, const struct how *how,
                              struct lorac_ranks *r, struct lorac_err *err)
{
    static const char *const targets[] = {"q_proj", "down_proj"};
    static const size_t last[] = {1};
    const struct lorac_adapter_options o = {.rank = 2,
                                            .alpha = 4.0,
                                            .targets = targets,
                                            .n_targets = 2,
                                            .layers = how->frozen ? last : NULL,
                                            .n_layers = how->frozen,
                                            .dropout = how->dropout,
                                            .seed = 5};
    const struct lorac_loader_options batches = {
        .batch_size = how->batch_size, .shuffle = true, .seed = 3, .share_prefix = how->share};
    struct lorac_trainer_options options = lorac_trainer_options_default();
    enum lorac_status st = lorac_adapter_new(a, model, &o, err);
    if (!st) { st = lorac_loader_open(l, rows, &batches, err); }
    options.adapter = *a;
    options.loader = *l;
    options.epochs = 3;
    options.accumulate = how->accumulate;
    options.cache_frozen_prefix = how->frozen ? LORAC_RECIPE_CACHE_ON : LORAC_RECIPE_CACHE_OFF;
    options.optim.name = "sgd";
    options.optim.schedule = "constant";
    options.optim.lr = how->lr > 0.0 ? how->lr : 1.0;
    options.optim.clip_norm = 0.0;
    options.ranks = r;
    options.valid.set = rows;
    return st ? st : lorac_trainer_open(t, &options, err);
}

static enum lorac_status train(struct seen *s, struct lorac_ranks *r, struct lorac_err *err)
{
    const struct how *how = s->with;
    struct lorac_adapter *a = NULL;
    struct lorac_loader *l = NULL;
    struct lorac_trainer *t = NULL;
    bool best = false;
    enum lorac_status st = make(&a, &l, &t, how, r, err);
    for (size_t i = 0; i < how->steps && !st; i++) {
        struct lorac_step step;
        st = lorac_trainer_step(&step, t, err);
        s->loss = step.loss;
        s->n_x = step.not_finite;
        if (how->ruins == s->rank + 1) { // its rows will have no finite loss
            float nan = (float)NAN;
            dev.ops->write(&dev, a->params, &nan, sizeof nan);
        }
    }
    if (!st) { st = lorac_trainer_evaluate(&s->scores, &best, t, NULL, NULL, err); }
    if (a && !st) {
        s->n_x = a->n_params;
        s->x = malloc(s->n_x * sizeof *s->x);
        dev.ops->read(&dev, s->x, a->params, s->n_x * sizeof *s->x);
    }
    lorac_trainer_close(t);
    lorac_loader_close(l);
    lorac_adapter_free(a);
    return st;
}

/* As one process does, within float rounding; all ranks byte for byte alike. */
static void trains_as_one(const struct how *how)
{
    struct seen alone = {.with = how};
    struct seen seen[WORLD_MOST];
    if (train(&alone, NULL, &alone.err)) { fail_msg("%s", alone.err.text); }
    for (size_t n = 1; n <= WORLD_MOST; n++) {
        world_live(seen, n, 0, train, how);
        world_well(seen, n);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(seen[i].n_x, alone.n_x);
            assert_memory_equal(seen[i].x, seen[0].x, alone.n_x * sizeof(float));
            if (!(fabs(seen[i].loss - alone.loss) < 1e-6)) {
                fail_msg("%zu ranks: loss %.9g, not %.9g", n, seen[i].loss, alone.loss);
            }
            assert_true(fabs(seen[i].scores.loss - alone.scores.loss) < 1e-6);
            assert_int_equal(seen[i].scores.tokens, alone.scores.tokens);
        }
        for (size_t k = 0; k < alone.n_x; k++) {
            double want = (double)alone.x[k];
            if (!(fabs((double)seen[0].x[k] - want) < 1e-6 + 1e-5 * fabs(want))) {
                fail_msg("%zu ranks: parameter %zu is %.9g, not %.9g", n, k, (double)seen[0].x[k],
                         want);
            }
        }
        world_forget(seen, n);
    }
    world_forget(&alone, 1);
}

static void the_gradient_is_that_of_one_process(void **state)
{
    (void)state;
    // whole micro-batches; more of them than ranks, fewer, and a last step with a smaller one
    trains_as_one(&(struct how){.accumulate = 4, .batch_size = 2, .steps = 1});
    trains_as_one(&(struct how){.accumulate = 3, .batch_size = 3, .steps = 5, .lr = 0.1});
    trains_as_one(&(struct how){.accumulate = 1, .batch_size = 5, .steps = 2, .lr = 0.1});
    trains_as_one(&(struct how){.accumulate = 1, .batch_size = 1, .steps = 2, .lr = 0.1});
}

static void dropout_is_of_the_row_not_of_the_rank(void **state)
{
    (void)state;
    trains_as_one(
        &(struct how){.accumulate = 3, .batch_size = 4, .steps = 2, .dropout = 0.4, .lr = 0.1});
}

static void shared_prefixes_and_frozen_layers_go_along(void **state)
{
    (void)state;
    trains_as_one(&(struct how){
        .accumulate = 1, .batch_size = 6, .steps = 2, .share = LORAC_SHARE_ON, .lr = 0.1});
    trains_as_one(
        &(struct how){.accumulate = 2, .batch_size = 3, .steps = 4, .frozen = true, .lr = 0.1});
}

static void a_step_that_fails_on_one_fails_on_all(void **state)
{
    struct seen seen[WORLD_MOST];
    const struct how how = {.accumulate = 2, .batch_size = 3, .steps = 2, .ruins = 2};
    (void)state;
    world_live(seen, 2, 0, train, &how);
    world_failed(seen, 2, "rank 1 on ");
    world_failed(seen, 2, "step 2: the loss is not finite");
    assert_int_equal(seen[0].n_x, 1); // it knows of what: its own parameters may be saved
    world_forget(seen, 2);
}

static void every_failed_allocation_is_reported(void **state)
{
    long n = 0;
    const struct how how = {.accumulate = 1, .batch_size = 4, .steps = 1};
    (void)state;
    for (bool met = true; met; n++) {
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = world_alone(train, &how, &err);
        met = faults_stop();
        if (met && st != LORAC_ENOMEM) { fail_msg("%ld: %d %s", n, st, err.text); }
        if (!met && st) { fail_msg("%s", err.text); }
    }
    assert_in_range(n, 20, 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_is_that_of_one_process),
        cmocka_unit_test(dropout_is_of_the_row_not_of_the_rank),
        cmocka_unit_test(shared_prefixes_and_frozen_layers_go_along),
        cmocka_unit_test(a_step_that_fails_on_one_fails_on_all),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
