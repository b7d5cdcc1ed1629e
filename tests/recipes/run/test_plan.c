/*
 * Plans. What is promised: a plan tells what the run then does (steps, evaluations, activations,
 * parameters), without values of the adapter; it counts lengths, copies and leaks; a run that does
 * not fit is refused with the part and the way out; a probe measures a step. Copies of weights for
 * backward products are counted from the lowest adapted layer on, and stored weights that nothing
 * reads behind their copies not at all, unless the comparison of int8 with float32, which comes
 * before, takes more than that.
 */
#include "recipes/run/plan.h"

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/init.h"
#include "recipes/run/approximation.h"
#include "recipes/run/run.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char text[] = "recipe: 1\n"
                           "model: {path: model, max_length: 24}\n"
                           "adapter: {rank: 4, alpha: 8, targets: [q_proj, down_proj]}\n"
                           "data: {train: train.csv, valid: valid.csv, test: test.csv}\n"
                           "template: {prompt: '{word}:', completion: ' {letter}'}\n"
                           "train: {epochs: 3, batch_tokens: 40, threads: 1}\n"
                           "eval: {every: 4 steps, metrics: [loss, accuracy], samples: 1}\n"
                           "output: {dir: run}\n";

static int make(void **state)
{
    (void)state;
    char train[2048] = "word,letter\n";
    for (int i = 0; i < 20; i++) { // 4 to 13 letters, 20 rows; the last two are the same
        size_t at = strlen(train);
        int n = i == 19 ? 12 : 4 + i % 10;
        (void)snprintf(train + at, sizeof train - at, "%.*s%c,%c\n", n, "abcdefghijklmnop",
                       i == 19 ? 's' : 'a' + i, 'a' + i % 2);
    }
    train[strlen(train) - 2] = 'a';
    tiny_write(tiny_path("model"));
    tiny_text("train.csv", train);
    tiny_text("valid.csv", "word,letter\nabcda,a\nnew,b\nother,a\n");
    tiny_text("test.csv", "word,letter\nunseen,a\n");
    return 0;
}

static struct lorac_recipe *recipe_of(const struct lorac_recipe_set *sets, size_t n)
{
    struct lorac_recipe *r = NULL;
    struct lorac_err err = {0};
    if (lorac_recipe_parse(&r, text, sizeof text - 1, "plan.yaml", tiny_dir(), sets, n, NULL,
                           &err)) {
        fail_msg("%s", err.text);
    }
    return r;
}

static struct lorac_recipe *recipe(const char *set)
{
    const struct lorac_recipe_set sets[] = {{set, false}};
    return recipe_of(sets, set ? 1 : 0);
}

static struct lorac_plan *plan(const struct lorac_recipe *r)
{
    struct lorac_plan *p = NULL;
    struct lorac_err err = {0};
    if (lorac_plan_make(&p, r, NULL, &err)) { fail_msg("%s", err.text); }
    return p;
}

struct seen {
    size_t steps, evaluations, activations, parameters;
    bool recomputes;
};

static void on_begin(void *self, const struct lorac_run_begin *b)
{
    struct seen *s = self;
    s->steps = b->steps;
    s->activations = b->activation_bytes;
    s->parameters = b->parameter_bytes;
    s->recomputes = b->recomputes;
}

static void on_eval(void *self, const struct lorac_run_eval *e)
{
    struct seen *s = self;
    (void)e;
    s->evaluations++;
}

static void check_as_run(const char *set)
{
    struct seen seen = {0};
    struct lorac_err err = {0};
    struct lorac_run_result result;
    const struct lorac_run_watch watch = {.self = &seen, .begin = on_begin, .eval = on_eval};
    struct lorac_recipe *r = recipe(set);
    struct lorac_plan *p = plan(r);
    enum lorac_run_mode mode =
        lorac_path_is_dir(tiny_path("run")) ? LORAC_RUN_OVERWRITE : LORAC_RUN_NEW;
    if (lorac_run(&result, r, mode, NULL, &watch, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(p->steps, seen.steps);
    assert_int_equal(p->evaluations, seen.evaluations);
    assert_int_equal(p->recomputes, seen.recomputes);
    assert_int_equal(p->recomputes, set && strcmp(set, "train.keep_activations=layers") == 0);
    size_t pass = p->bytes[LORAC_PLAN_ACTIVATIONS] + p->bytes[LORAC_PLAN_LOGITS];
    assert_true(pass > seen.activations && pass - seen.activations < 4096); // and its batch
    size_t params = 4 * p->adapter->n_params;
    size_t times = p->adapter->site[0].starts ? 7 : 2; // start.h: 5 more
    assert_int_equal(times * params + p->bytes[LORAC_PLAN_MOMENTS], seen.parameters);
    assert_int_equal(times * params, p->bytes[LORAC_PLAN_ADAPTER]);
    const struct lorac_device *dev = &p->job->dev;
    assert_true(p->bytes[LORAC_PLAN_PROGRAM] > dev->ops->library_bytes(dev));
    assert_int_equal(p->adapter_file_bytes, p->adapter->site[0].starts ? 2 * params : params);
    lorac_plan_free(p);
    lorac_recipe_free(r);
}

static void a_plan_tells_what_the_run_then_does(void **state)
{
    (void)state;
    check_as_run(NULL);
    check_as_run("train.keep_activations=layers");
    check_as_run("train.accumulate=3");
    check_as_run("optimizer.name=sgd");
    check_as_run("eval.every=end");
    check_as_run("adapter.init=olora");
}

static void modules_are_grouped_and_have_no_values(void **state)
{
    (void)state;
    struct lorac_recipe *r = recipe(NULL);
    struct lorac_plan *p = plan(r);
    assert_null(p->adapter->params);
    assert_int_equal(p->n_groups, 2);
    assert_string_equal(p->group[0].kind, "self_attn.q_proj");
    assert_string_equal(p->group[1].kind, "mlp.down_proj");
    assert_int_equal(p->group[1].n, 2);
    assert_int_equal(p->group[1].last, 1);
    assert_int_equal(p->group[1].OC, 16);
    assert_int_equal(p->group[1].C, 24);
    assert_int_equal(p->group[1].params, 2 * 4 * (16 + 24));
    assert_int_equal(p->group[0].params + p->group[1].params, p->adapter->n_params);
    lorac_plan_free(p);
    lorac_recipe_free(r);
}

static void an_override_makes_a_group_of_its_own(void **state)
{
    (void)state;
    struct lorac_recipe *r =
        recipe("adapter.overrides=[{match: 'model.layers.1.mlp.down_proj', rank: 2}]");
    struct lorac_plan *p = plan(r);
    assert_int_equal(p->n_groups, 3);
    assert_int_equal(p->group[2].R, 2);
    assert_int_equal(p->group[2].first, 1);
    lorac_plan_free(p);
    lorac_recipe_free(r);
}

static void lengths_copies_and_leaks_are_counted(void **state)
{
    (void)state;
    struct lorac_recipe *r = recipe(NULL);
    struct lorac_plan *p = plan(r);
    const struct lorac_plan_data *train = &p->data[0];
    size_t sum = 0;
    for (size_t i = 0; i < train->n_bars; i++) {
        sum += train->bar[i];
    }
    assert_int_equal(sum, 20);
    // rows of 9 to 18 tokens, two of each but three of 17 and one of 18, in bars of 2k+1 and 2k+2
    static const size_t bars[] = {0, 0, 0, 0, 4, 4, 4, 4, 4};
    assert_int_equal(train->bar_width, 2);
    assert_int_equal(train->n_bars, sizeof bars / sizeof *bars);
    assert_memory_equal(train->bar, bars, sizeof bars);
    // <s>, a word of 5 to 14 letters whose "ab" is one token, colon, space, letter, </s>
    assert_int_equal(train->percentile[0], 13);
    assert_int_equal(train->percentile[1], 17);
    assert_int_equal(train->percentile[2], 18);
    assert_int_equal(train->percentile[3], 18);
    assert_int_equal(lorac_dataset_counts(train->set)->duplicates.n, 1);
    assert_int_equal(p->data[1].shared, 1);
    assert_int_equal(p->data[2].shared, 0);
    lorac_plan_free(p);
    lorac_recipe_free(r);
}

/* Bytes of the tensors in an adapter's file. */
static size_t tensor_bytes(const char *path)
{
    size_t n = 0;
    unsigned char *file = (unsigned char *)tiny_read(path, &n);
    size_t header = 0;
    for (int i = 7; i >= 0; i--) {
        header = header << 8 | file[i];
    }
    lorac_mem_free(file);
    return n - 8 - header;
}

/* A matrix that trains for embedding and output both lies in the file twice, but in memory once. */
static void what_is_saved_under_two_names_counts_twice_on_disk(void **state)
{
    (void)state;
    static const char config[] =
        "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 16, \"num_hidden_layers\": "
        "1,\n"
        " \"num_attention_heads\": 2, \"intermediate_size\": 24, \"max_position_embeddings\": 64,\n"
        " \"tie_word_embeddings\": true}\n";
    static const struct lorac_init_options options = {
        .tokenizer = LORAC_TESTS_DIR "/datasets/data/bytes", .seed = 3};
    const size_t embedding = 260 * 16 * sizeof(float);
    struct lorac_err err = {0};
    struct lorac_run_result result;
    const struct lorac_run_watch nobody = {0};
    if (lorac_model_init(tiny_path("tied"), config, &options, &err)) { fail_msg("%s", err.text); }
    for (int tied = 0; tied < 2; tied++) {
        struct lorac_recipe *r = NULL;
        char model[512];
        char dir[512];
        (void)snprintf(model, sizeof model, "model.path=%s", tiny_path("tied"));
        (void)snprintf(dir, sizeof dir, "output.dir=%s%d", tiny_path("two"), tied);
        const struct lorac_recipe_set sets[] = {
            {model, false},
            {dir, false},
            {"train.epochs=1", false},
            {tied ? "adapter.train_also=[embed_tokens]" : "adapter.train_also=[model.norm]", false},
            {tied ? "adapter.tie=keep" : "adapter.rank=4", false},
        };
        if (lorac_recipe_parse(&r, text, sizeof text - 1, "plan.yaml", tiny_dir(), sets, 5, NULL,
                               &err)) {
            fail_msg("%s", err.text);
        }
        struct lorac_plan *p = plan(r);
        if (lorac_run(&result, r, LORAC_RUN_NEW, NULL, &nobody, &err)) { fail_msg("%s", err.text); }
        (void)snprintf(dir, sizeof dir, "two%d/last/adapter_model.safetensors", tied);
        size_t params = p->adapter->n_params * sizeof(float);
        assert_int_equal(p->adapter_file_bytes, tensor_bytes(tiny_path(dir)));
        assert_int_equal(p->adapter_file_bytes, params + (tied ? embedding : 0));
        assert_int_equal(p->bytes[LORAC_PLAN_MOMENTS], 2 * params);
        // the largest tensor is there three times while the file is read back
        size_t largest = tied ? embedding : 4 * 24 * sizeof(float);
        assert_int_equal(p->bytes[LORAC_PLAN_SAVING], p->adapter_file_bytes + 3 * largest);
        lorac_plan_free(p);
        lorac_recipe_free(r);
    }
}

static void a_run_that_does_not_fit_is_refused_with_the_way_out(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_recipe *r = recipe(NULL);
    struct lorac_plan *p = plan(r);
    assert_int_equal(lorac_plan_fits(p, p->total, &err), LORAC_OK);
    p->bytes[LORAC_PLAN_ACTIVATIONS] = (size_t)3 << 30;
    assert_int_equal(lorac_plan_fits(p, p->total - 1, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "the largest part is 'activations' with 3072 MiB: try "
                                     "train.batch_tokens below 40, train.keep_activations: layers, "
                                     "model.max_length below 24"));
    p->bytes[LORAC_PLAN_MOMENTS] = (size_t)4 << 30;
    assert_int_equal(lorac_plan_fits(p, 1 << 20, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "try adapter.rank below 4"));
    lorac_plan_free(p);
    lorac_recipe_free(r);
}

static void weights_that_only_copies_read_are_not_counted(void **state)
{
    (void)state;
    struct lorac_recipe *r[2] = {recipe(NULL), recipe("model.compute=int8")};
    struct lorac_plan *p[2] = {plan(r[0]), plan(r[1])};
    struct lorac_socket socket = lorac_adapter_socket(p[1]->adapter);
    size_t let_go = lorac_model_let_go(p[1]->job->model, &socket);
    assert_true(let_go > 0 || strcmp(p[1]->job->dev.ops->name, "ref") == 0); // which packs nothing
    assert_int_equal(p[0]->bytes[LORAC_PLAN_WEIGHTS] - p[1]->bytes[LORAC_PLAN_WEIGHTS], let_go);
    for (size_t i = 0; i < 2; i++) {
        lorac_plan_free(p[i]);
        lorac_recipe_free(r[i]);
    }
}

/* Steps of one row, so that comparing eight with float32 takes more. */
static void int8_is_compared_with_float32_before(void **state)
{
    (void)state;
    const struct lorac_recipe_set sets[] = {{"model.compute=int8", false},
                                            {"train.batch_size=1", false},
                                            {"train.batch_tokens", true},
                                            {"data.valid", true},
                                            {"eval", true}};
    struct lorac_recipe *r = recipe_of(sets, sizeof sets / sizeof *sets);
    struct lorac_plan *p = plan(r);
    size_t compared = 0;
    size_t sum = 0;
    assert_int_equal(lorac_approximation_weigh(&compared, p->job, NULL), LORAC_OK);
    assert_true(compared > lorac_checkpoint_bytes(p->job->model->files));
    for (size_t i = 0; i < LORAC_PLAN_N_PARTS; i++) {
        sum += p->bytes[i];
    }
    assert_int_equal(p->total, sum);
    assert_int_equal(p->total, compared + p->bytes[LORAC_PLAN_PROGRAM] +
                                   p->bytes[LORAC_PLAN_TABLES] + p->bytes[LORAC_PLAN_ADAPTER]);
    lorac_plan_free(p);
    lorac_recipe_free(r);
}

static void frozen_layers_are_packed_for_one_direction(void **state)
{
    (void)state;
    const struct lorac_recipe_set sets[] = {{"model.compute=int8", false},
                                            {"adapter.layers=last:1", false}};
    struct lorac_recipe *r[2] = {recipe_of(sets, 1), recipe_of(sets, 2)};
    struct lorac_plan *p[2] = {plan(r[0]), plan(r[1])};
    const struct lorac_model *m = p[1]->job->model;
    const struct lorac_backend *op = m->dev->ops;
    size_t less = 0; // of two layers one
    for (size_t i = 0; i < m->n_modules; i++) {
        const struct lorac_module *l = &m->module[i];
        if (strncmp(l->name, "model.layers.0.", 15) != 0 || !lorac_module_is_linear(l)) {
            continue;
        }
        less += op->weight_bytes(m->dev, l->dtype, l->OC, l->C, LORAC_INT8, true) -
                op->weight_bytes(m->dev, l->dtype, l->OC, l->C, LORAC_INT8, false);
    }
    assert_true(less > 0 || strcmp(op->name, "ref") == 0); // which packs nothing
    assert_int_equal(p[0]->bytes[LORAC_PLAN_PACKED] - p[1]->bytes[LORAC_PLAN_PACKED], less);
    for (size_t i = 0; i < 2; i++) {
        lorac_plan_free(p[i]);
        lorac_recipe_free(r[i]);
    }
}

static void a_merge_at_the_end_takes_memory_too(void **state)
{
    (void)state;
    struct lorac_recipe *r[2] = {recipe(NULL), recipe("output.merge=true")};
    struct lorac_plan *p[2] = {plan(r[0]), plan(r[1])};
    size_t file = 4 * lorac_model_parameters(p[1]->job->model); // float32
    size_t merging = p[1]->bytes[LORAC_PLAN_MERGING];
    assert_int_equal(p[0]->bytes[LORAC_PLAN_MERGING], 0);
    assert_true(merging > file && merging < file + (20 << 20)); // panels of at most 4 MiB
    assert_true(p[1]->total > merging);
    for (size_t i = 0; i < 2; i++) {
        lorac_plan_free(p[i]);
        lorac_recipe_free(r[i]);
    }
}

/* 20 rows of 13 tokens: a first recipe has 16 epochs of five steps. */
static void few_steps_are_told_with_what_gives_more(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        size_t steps;
        const char *advice; // NULL: not few
    } cases[] = {
        {"train.epochs=3", 21, "train.epochs: 16, optimizer.lr: 0.005"},
        {"train.batch_tokens=2048", 3,
         "train.batch_tokens: 64, train.epochs: 16, optimizer.lr: 0.005"},
        {"train.accumulate=3", 7, "train.accumulate: 1, train.epochs: 16, optimizer.lr: 0.005"},
        {"optimizer.lr=3e-3", 21, "train.epochs: 16"},
        {"optimizer={name: sgd, lr: 1e-3}", 21, "train.epochs: 16"}, // the rate is AdamW's
        {"train={epochs: null, steps: 5, batch_tokens: null, batch_size: 20}", 5,
         "train.batch_size: 4, train.steps: 68, optimizer.lr: 0.005"},
        {"train.epochs=12", 90, ""}, // more than its steps: only more rows would help
        {"train.epochs=20", 99, ""},
        {"train.epochs=20", 100, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_buf advice = {0};
        struct lorac_recipe *r = recipe(cases[i].set);
        struct lorac_plan *p = plan(r);
        bool few = lorac_plan_few(&advice, p->job, cases[i].steps);
        assert_int_equal(few, cases[i].advice != NULL);
        assert_string_equal(advice.n ? advice.at : "", few ? cases[i].advice : "");
        lorac_buf_free(&advice);
        lorac_plan_free(p);
        lorac_recipe_free(r);
    }
}

static void a_probe_measures_a_step(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_plan_probe probe;
    struct lorac_recipe *r = recipe(NULL);
    struct lorac_plan *p = plan(r);
    assert_int_equal(lorac_plan_probe(&probe, p, &err), LORAC_OK);
    assert_true(probe.step_seconds > 0.0 && probe.tokens_per_second > 0.0);
    assert_true(probe.seconds >= (double)p->steps * probe.step_seconds);
    assert_true(fabs(probe.loss - log(260.0)) < 2.0); // of a random model
    lorac_plan_free(p);
    lorac_recipe_free(r);
}

static void what_the_run_would_stop_at_stops_the_plan(void **state)
{
    (void)state;
    struct lorac_plan *p = NULL;
    struct lorac_err err = {0};
    struct lorac_recipe *r = recipe("adapter.targets=[nothing]");
    assert_int_equal(lorac_plan_make(&p, r, NULL, &err), LORAC_EUSER);
    assert_null(p);
    lorac_recipe_free(r);
    r = recipe("data.test=missing.csv");
    assert_int_equal(lorac_plan_make(&p, r, NULL, &err), LORAC_EIO);
    lorac_recipe_free(r);
}

static void epochs_that_cannot_be_counted_stop_the_plan(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_plan *p = NULL;
    struct lorac_recipe *r = recipe("train.epochs=900000000");
    assert_int_equal(lorac_plan_make(&p, r, NULL, &err), LORAC_EUSER);
    assert_null(p);
    assert_non_null(strstr(err.text, "train.epochs: 900000000 passes over 20 rows are too many"));
    lorac_recipe_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_tells_what_the_run_then_does),
        cmocka_unit_test(modules_are_grouped_and_have_no_values),
        cmocka_unit_test(an_override_makes_a_group_of_its_own),
        cmocka_unit_test(lengths_copies_and_leaks_are_counted),
        cmocka_unit_test(what_is_saved_under_two_names_counts_twice_on_disk),
        cmocka_unit_test(a_run_that_does_not_fit_is_refused_with_the_way_out),
        cmocka_unit_test(weights_that_only_copies_read_are_not_counted),
        cmocka_unit_test(int8_is_compared_with_float32_before),
        cmocka_unit_test(frozen_layers_are_packed_for_one_direction),
        cmocka_unit_test(a_merge_at_the_end_takes_memory_too),
        cmocka_unit_test(few_steps_are_told_with_what_gives_more),
        cmocka_unit_test(a_probe_measures_a_step),
        cmocka_unit_test(what_the_run_would_stop_at_stops_the_plan),
        cmocka_unit_test(epochs_that_cannot_be_counted_stop_the_plan),
    };
    return cmocka_run_group_tests(tests, make, tiny_remove);
}
