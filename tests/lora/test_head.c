/*
 * Heads that give labels: which train, and their files. (Their numbers: test_golden.c.) What is
 * promised:
 *   - the head of a task trains in full whatever the method, and without any (none), with which the
 *     layers that are named train in full, too, and what asks for pairs is refused;
 *   - what PEFT wrote is written again: task, names that PEFT adds by itself, tensors; the labels
 *     come back;
 *   - what an adapter needs its model opened for is told by its files;
 *   - a head that is missing, of another task, of another size, or with another number of labels is
 *     an error, and so is an adapter without one where there is a head.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "lora/lora.h"
#include "tests/support/faults.h"
#include "tests/support/golden.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEADS LORAC_TESTS_DIR "/golden/heads/"
#define P "base_model.model."

static struct lorac_device dev;

static struct lorac_model *open_for(const char *folder, enum lorac_task task, size_t labels)
{
    struct lorac_err err = {0};
    struct lorac_model *m = NULL;
    const struct lorac_model_options o = {.task = task, .labels = labels};
    if (lorac_model_open_for(&m, &dev, folder, &o, &err)) { fail_msg("%s", err.text); }
    return m;
}

/* ---- what trains ---- */

#define LIST(...)         \
    (const char *const[]) \
    {                     \
        __VA_ARGS__       \
    }

static struct lorac_adapter *adapter(const struct lorac_model *m, struct lorac_adapter_options o)
{
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    o.rank = 2;
    o.alpha = 4;
    if (lorac_adapter_new(&a, m, &o, &err)) { fail_msg("%s", err.text); }
    return a;
}

static void the_head_trains_whatever_the_method(void **state)
{
    (void)state;
    static const char *const methods[] = {"lora", "dora", "ia3", "none"};
    struct lorac_model *texts = open_for(HEADS "llama", LORAC_TASK_CLASSIFY, 3);
    struct lorac_model *tokens = open_for(HEADS "llama", LORAC_TASK_TAG, 3);
    for (size_t i = 0; i < 4; i++) {
        const struct lorac_adapter_options o = {.method = methods[i]};
        struct lorac_adapter *a = adapter(texts, o);
        assert_int_equal(a->n, i < 3 ? 14 : 0);
        assert_int_equal(a->n_full, 1);
        assert_int_equal(a->full[0].m, texts->head);
        assert_int_equal(a->full[0].n, 3 * 16);
        lorac_adapter_free(a);
        a = adapter(tokens, o);
        assert_int_equal(a->n_full, 2);
        assert_int_equal(a->weight_at[tokens->head], 0);
        assert_int_equal(a->vector_at[tokens->head], 1);
        lorac_adapter_free(a);
    }
    lorac_model_close(texts);
    lorac_model_close(tokens);
}

static void without_pairs_the_layers_that_are_named_train(void **state)
{
    (void)state;
    const size_t layers[] = {1};
    struct lorac_model *m = open_for(HEADS "llama", LORAC_TASK_CLASSIFY, 3);
    struct lorac_adapter *a = adapter(
        m, (struct lorac_adapter_options){.method = "none", .layers = layers, .n_layers = 1});
    assert_int_equal(a->n, 0);
    assert_int_equal(a->n_full, 7 + 1 + 2); // of the layer and the head, and its norms
    for (size_t i = 0; i < a->n_full; i++) {
        const char *name = m->module[a->full[i].m].name;
        assert_true(strncmp(name, "model.layers.1.", 15) == 0 || strcmp(name, "score") == 0);
    }
    lorac_adapter_free(a);
    lorac_model_close(m);
}

static void refuses(const struct lorac_model *m, struct lorac_adapter_options o, const char *text)
{
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    o.method = "none";
    assert_int_equal(lorac_adapter_new(&a, m, &o, &err), LORAC_EUSER);
    assert_null(a);
    assert_string_equal(err.text, text);
}

static void what_asks_for_pairs_is_refused_without_them(void **state)
{
    (void)state;
    const size_t layers[] = {0, 2};
    struct lorac_model *m = open_for(HEADS "llama", LORAC_TASK_CLASSIFY, 3);
    struct lorac_model *lm = open_for(HEADS "llama", LORAC_TASK_LM, 0);
    refuses(m, (struct lorac_adapter_options){.targets = LIST("q_proj"), .n_targets = 1},
            "adapter.targets: there are no pairs with the method none");
    refuses(m, (struct lorac_adapter_options){.regex = ".*"},
            "adapter.targets: there are no pairs with the method none");
    refuses(m, (struct lorac_adapter_options){.exclude = LIST("q_proj"), .n_exclude = 1},
            "adapter.exclude: there are no pairs with the method none");
    refuses(m, (struct lorac_adapter_options){.dropout = 0.1},
            "dropout: there are no pairs with the method none");
    refuses(m, (struct lorac_adapter_options){.layers = layers, .n_layers = 2},
            "adapter.layers: there is no layer 2; the model has layers 0 to 1");
    refuses(m, (struct lorac_adapter_options){.bias = LORAC_BIAS_LORA_ONLY},
            "adapter.bias: lora_only, but no module with an adapter has a bias");
    refuses(lm, (struct lorac_adapter_options){.method = NULL},
            "adapter.method: none leaves nothing to train; name modules by adapter.train_also, or "
            "layers by adapter.layers");
    lorac_model_close(m);
    lorac_model_close(lm);
}

/* ---- files ---- */

static struct lorac_checkpoint *open_tensors(const char *folder)
{
    struct lorac_checkpoint *c = NULL;
    struct lorac_err err = {0};
    char *path = lorac_path_join(folder, "adapter_model.safetensors");
    if (lorac_checkpoint_open(&c, path, &err)) { fail_msg("%s", err.text); }
    lorac_mem_free(path);
    return c;
}

static void give_labels(struct lorac_adapter *a, size_t K, const char *second)
{
    static const char *const labels[] = {"calm", "an \"angry\" one", "c", "d", "e"};
    struct lorac_buf json = {0};
    const struct lorac_saved saved = {
        .prompt = "{text}", .completion = second, .labels = labels, .K = K, .problem = "p"};
    lorac_saved_write(&json, &saved);
    lorac_mem_free(a->template_json);
    a->template_json = json.at;
}

static void expect_same_tensors(const char *is, const char *was)
{
    struct lorac_checkpoint *a = open_tensors(is);
    struct lorac_checkpoint *b = open_tensors(was);
    assert_int_equal(lorac_checkpoint_count(a), lorac_checkpoint_count(b));
    for (size_t i = 0; i < lorac_checkpoint_count(b); i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(b, i);
        const struct lorac_tensor *u = lorac_checkpoint_find(a, t->name);
        if (!u) { fail_msg("%s: no %s", is, t->name); }
        assert_int_equal(u->n_dims, t->n_dims);
        assert_int_equal(u->n, t->n);
        assert_memory_equal(u->data, t->data, t->n * sizeof(float));
    }
    lorac_checkpoint_close(a);
    lorac_checkpoint_close(b);
}

static void what_peft_wrote_is_written_again(void **state)
{
    (void)state;
    const char *to = tiny_path("written");
    for (size_t i = 0; golden_heads[i]; i++) {
        struct lorac_err err = {0};
        struct golden g;
        struct lorac_adapter *a = NULL;
        size_t n = 0;
        golden_open(&g, golden_heads[i]);
        struct lorac_model *m = golden_open_model(&g, &dev);
        const char *from = golden_path(&g, "adapter");
        if (lorac_peft_load(&a, m, from, false, &err)) { fail_msg("%s", err.text); }
        bool pairs = strcmp(golden_heads[i], "../heads/bert") == 0;
        give_labels(a, g.options.labels, pairs ? "{other}" : "");
        if (lorac_peft_save(to, a, "b", LORAC_F32, &err)) { fail_msg("%s", err.text); }
        expect_same_tensors(to, from);
        char *config = tiny_read_in(to, "adapter_config.json", &n);
        bool texts = g.options.task == LORAC_TASK_CLASSIFY;
        assert_non_null(
            strstr(config, texts ? "\"task_type\": \"SEQ_CLS\"" : "\"task_type\": \"TOKEN_CLS\""));
        bool pooler = strstr(golden_heads[i], "pooler"); // drawn, too: named beside what PEFT adds
        assert_non_null(strstr(config, pooler ? "\"modules_to_save\": [\n    "
                                                "\"bert.pooler.dense\",\n    \"classifier\",\n"
                                                "    \"score\"\n  ],"
                                              : "\"modules_to_save\": [\n    \"classifier\",\n"
                                                "    \"score\"\n  ],"));
        lorac_mem_free(config);
        char *card = tiny_read_in(to, "README.md", &n);
        assert_non_null(strstr(card, texts ? "pipeline_tag: text-classification\n"
                                           : "pipeline_tag: token-classification\n"));
        assert_non_null(strstr(card, "\n0. \"calm\"\n"));
        assert_non_null(strstr(card, texts ? "AutoModelForSequenceClassification.from_pretrained("
                                           : "AutoModelForTokenClassification.from_pretrained("));
        assert_non_null(strstr(card, !texts  ? "tokenizer(words, is_split_into_words=True, "
                                     : pairs ? "tokenizer(text, second, "
                                             : "tokenizer(text, return"));
        assert_true(!pairs || strstr(card, "\n    {other}\n"));
        const char *type = lorac_arch_type(m->config.arch);
        bool asks = !texts && (strcmp(type, "gpt2") == 0 || strcmp(type, "roberta") == 0);
        assert_int_equal(strstr(card, "add_prefix_space") != NULL, asks);
        lorac_mem_free(card);
        lorac_adapter_free(a);
        if (lorac_peft_load(&a, m, to, false, &err)) { fail_msg("%s", err.text); }
        assert_non_null(strstr(a->template_json, "\"calm\""));
        lorac_adapter_free(a);
        lorac_model_close(m);
        golden_close(&g);
    }
}

static void an_adapter_tells_what_its_model_is_opened_for(void **state)
{
    (void)state;
    for (size_t i = 0; golden_heads[i]; i++) {
        struct lorac_err err = {0};
        struct golden g;
        struct lorac_model_options o = {.seed = 7, .labels = 99};
        golden_open(&g, golden_heads[i]);
        if (lorac_peft_task(&o, golden_path(&g, "adapter"), &err)) { fail_msg("%s", err.text); }
        assert_int_equal(o.task, g.options.task);
        assert_int_equal(o.labels, g.options.labels);
        assert_int_equal(o.seed, 7);
        golden_close(&g);
    }
    struct lorac_model_options o = {.task = LORAC_TASK_TAG, .labels = 99};
    const char *writes = LORAC_TESTS_DIR "/golden/models/llama/adapter";
    assert_int_equal(lorac_peft_task(&o, writes, NULL), LORAC_OK);
    assert_true(o.task == LORAC_TASK_LM && o.labels == 0);
}

/* ---- damage ---- */

struct damage {
    const char *cut, *put; // in the config, one text for another
    const char *gone;      // a tensor that is left out, or NULL
    const char *meta;      // lorac.template, or NULL
    enum lorac_task task;  // what the model is opened for
    size_t labels;         // and with how many
    const char *message;   // behind the folder's name; NULL: it loads
};

static void write_damaged(const char *to, const struct damage *d)
{
    enum { MOST = 64 };
    struct lorac_tensor_spec specs[MOST];
    struct lorac_err err = {0};
    size_t n = 0;
    struct lorac_checkpoint *c = open_tensors(HEADS "llama/adapter");
    assert_int_equal(lorac_dir_make(to, NULL), LORAC_OK);
    for (size_t i = 0; i < lorac_checkpoint_count(c); i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(c, i);
        if (d->gone && strcmp(t->name, d->gone) == 0) { continue; }
        assert_true(n < MOST);
        specs[n++] = (struct lorac_tensor_spec){.name = t->name,
                                                .dtype = t->dtype,
                                                .n_dims = t->n_dims,
                                                .dims = {t->dims[0], t->dims[1]},
                                                .data = t->data};
    }
    const char *meta[] = {"lorac.template", d->meta};
    char *path = lorac_path_join(to, "adapter_model.safetensors");
    if (lorac_safetensors_write(path, specs, n, meta, d->meta ? 1 : 0, NULL, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    lorac_mem_free(path);
    lorac_checkpoint_close(c);
    char *config = tiny_read_in(HEADS "llama/adapter", "adapter_config.json", &n);
    struct lorac_buf text = {0};
    char *at = d->cut ? strstr(config, d->cut) : config + n;
    assert_non_null(at);
    lorac_buf_add(&text, config, (size_t)(at - config));
    lorac_buf_str(&text, d->cut ? d->put : "");
    lorac_buf_str(&text, at + (d->cut ? strlen(d->cut) : 0));
    path = lorac_path_join(to, "adapter_config.json");
    assert_int_equal(lorac_file_write(path, text.at, text.n, NULL), LORAC_OK);
    lorac_buf_free(&text);
    lorac_mem_free(path);
    lorac_mem_free(config);
}

#define TENSORS "/adapter_model.safetensors: "
#define TYPE "\"task_type\": \"SEQ_CLS\""
#define SAVED "\"modules_to_save\": [\n    \"classifier\",\n    \"score\"\n  ]"

static const struct damage damages[] = {
    {.task = LORAC_TASK_CLASSIFY, .labels = 3},
    {.gone = P "score.weight",
     .task = LORAC_TASK_CLASSIFY,
     .labels = 3,
     .message = TENSORS
     "holds no head (score, classifier or classifier.out_proj), though task_type of "
     "adapter_config.json asks for one: the adapter was saved without the one that it was "
     "trained with, and another would give other labels"},
    {.task = LORAC_TASK_CLASSIFY,
     .labels = 4,
     .message = TENSORS "has a head for classifying texts, with 3 labels; the model was opened "
                        "for classifying texts, with 4 labels; its labels are those that it was "
                        "trained with"},
    {.task = LORAC_TASK_TAG,
     .labels = 3,
     .message = TENSORS "has a head for classifying texts, with 3 labels; the model was opened "
                        "for tagging tokens, with 3 labels; its objective is classify, multilabel "
                        "or regress"},
    {.task = LORAC_TASK_LM,
     .message = TENSORS "has a head for classifying texts, with 3 labels; the model was opened "
                        "for predicting tokens; give one that writes, or ask this one for labels "
                        "(objective: classify, multilabel or regress)"},
    {.task = LORAC_TASK_BODY,
     .message = TENSORS "has a head for classifying texts, with 3 labels; the model was opened "
                        "for hidden states; give one without a head (task_type "
                        "FEATURE_EXTRACTION)"},
    {.cut = TYPE,
     .put = "\"task_type\": null",
     .task = LORAC_TASK_CLASSIFY,
     .labels = 3,
     .message = TENSORS
     "holds a head ('base_model.model.score.weight'), but task_type of adapter_config.json is "
     "null; expected SEQ_CLS, for labels of texts, or TOKEN_CLS, of tokens"},
    {.cut = TYPE,
     .put = "\"task_type\": \"CAUSAL_LM\"",
     .task = LORAC_TASK_CLASSIFY,
     .labels = 3,
     .message = TENSORS
     "holds a head ('base_model.model.score.weight'), but task_type of adapter_config.json is "
     "CAUSAL_LM; expected SEQ_CLS, for labels of texts, or TOKEN_CLS, of tokens"},
    {.meta = "{\"prompt\": \"\", \"completion\": \"\", \"append_eos\": false, \"labels\": "
             "[\"a\", \"b\"]}",
     .task = LORAC_TASK_CLASSIFY,
     .labels = 3,
     .message = TENSORS "names 2 labels, but its head has 3"},
    // as adapters of the wild have it
    {.cut = SAVED, .put = "\"modules_to_save\": null", .task = LORAC_TASK_CLASSIFY, .labels = 3},
    {.cut = "\"auto_mapping\": null",
     .put = "\"auto_mapping\": {\"base_model_class\": \"LlamaForSequenceClassification\"}",
     .task = LORAC_TASK_CLASSIFY,
     .labels = 3},
};

static void a_head_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const struct damage *d = &damages[i];
        struct lorac_err err = {0};
        struct lorac_adapter *a = NULL;
        const char *dir = tiny_path("damaged");
        struct lorac_model *m = open_for(HEADS "llama", d->task, d->labels);
        write_damaged(dir, d);
        enum lorac_status st = lorac_peft_load(&a, m, dir, false, &err);
        if (d->message) {
            assert_int_equal(strncmp(err.text, dir, strlen(dir)), 0);
            assert_string_equal(err.text + strlen(dir), d->message);
            assert_int_equal(st, LORAC_EFORMAT);
        } else if (st) {
            fail_msg("%s", err.text);
        }
        lorac_adapter_free(a);
        lorac_model_close(m);
        assert_int_equal(lorac_dir_remove(dir, NULL), LORAC_OK);
    }
}

/* As PEFT stores biases with bias: all: what is drawn has them under the names of its wrappers,
 * too, and of the base's own, which it drew, nothing is known. The block that trains is the pooler.
 */
static void add_echoes(const char *dir)
{
    enum { MOST = 64 };
    static const float other[16] = {0.5F};
    struct lorac_tensor_spec specs[MOST];
    size_t n = 0;
    struct lorac_checkpoint *c = open_tensors(dir);
    for (size_t i = 0; i < lorac_checkpoint_count(c); i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(c, i);
        assert_true(n + 5 < MOST);
        specs[n++] = (struct lorac_tensor_spec){.name = t->name,
                                                .dtype = t->dtype,
                                                .n_dims = t->n_dims,
                                                .dims = {t->dims[0], t->dims[1]},
                                                .data = t->data};
    }
    const struct lorac_tensor *pooler = lorac_checkpoint_find(c, P "bert.pooler.dense.bias");
    const struct lorac_tensor *head = lorac_checkpoint_find(c, P "classifier.bias");
    assert_true(pooler && head);
    const struct lorac_tensor_spec echoes[] = {
        {P "bert.pooler.modules_to_save.default.dense.bias", LORAC_F32, 1, {16}, pooler->data},
        {P "bert.pooler.original_module.dense.bias", LORAC_F32, 1, {16}, other},
        {P "classifier.modules_to_save.bias", LORAC_F32, 1, {2}, head->data},
        {P "classifier.original_module.bias", LORAC_F32, 1, {2}, other},
    };
    memcpy(specs + n, echoes, sizeof echoes);
    char *path = lorac_path_join(dir, "adapter_model.safetensors");
    assert_int_equal(lorac_safetensors_write(path, specs, n + 4, NULL, 0, NULL, NULL, NULL),
                     LORAC_OK);
    lorac_mem_free(path);
    lorac_checkpoint_close(c);
}

static void biases_of_what_the_base_lacks_are_read_as_peft_stores_them(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_model *m = open_for(HEADS "bert-pooler", LORAC_TASK_CLASSIFY, 2);
    struct lorac_adapter *a = adapter(m, (struct lorac_adapter_options){.bias = LORAC_BIAS_ALL});
    struct lorac_adapter *got = NULL;
    const char *dir = tiny_path("all-biases");
    for (size_t i = 0; i < a->n_params; i++) {
        a->params[i] = 0.01F * (float)(i % 7 + 1);
    }
    if (lorac_peft_save(dir, a, "b", LORAC_F32, &err)) { fail_msg("%s", err.text); }
    add_echoes(dir);
    if (lorac_peft_load(&got, m, dir, false, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(got->n_params, a->n_params);
    assert_memory_equal(got->params, a->params, a->n_params * sizeof *a->params);
    lorac_adapter_free(got);
    // of the pooler a bias alone: its matrix was drawn by whoever trained it, and nobody has it
    tiny_edit("all-biases/adapter_config.json", "\"bert.pooler.dense\",", "");
    assert_int_equal(lorac_peft_load(&got, m, dir, false, &err), LORAC_EFORMAT);
    assert_string_equal(err.text + strlen(dir),
                        "/adapter_config.json: does not name 'bert.pooler.dense' among "
                        "modules_to_save, and the base lacks it: the adapter was trained on a base "
                        "that has it");
    lorac_adapter_free(a);
    lorac_model_close(m);
}

/* task_type null, as get_peft_model() leaves it without one: the class of the model tells. */
static void the_class_of_the_model_tells_a_task(void **state)
{
    (void)state;
    static const struct damage texts = {.cut = TYPE, .put = "\"task_type\": null"};
    struct lorac_model_options o = {.task = LORAC_TASK_LM};
    struct lorac_err err = {0};
    const char *dir = tiny_path("mapped");
    write_damaged(dir, &texts);
    tiny_edit("mapped/adapter_config.json", "\"auto_mapping\": null",
              "\"auto_mapping\": {\"base_model_class\": \"LlamaForSequenceClassification\"}");
    if (lorac_peft_task(&o, dir, &err)) { fail_msg("%s", err.text); }
    assert_true(o.task == LORAC_TASK_CLASSIFY && o.labels == 3);
    tiny_edit("mapped/adapter_config.json", "ForSequenceClass", "ForTokenClass");
    assert_int_equal(lorac_peft_task(&o, dir, &err), LORAC_OK);
    assert_true(o.task == LORAC_TASK_TAG && o.labels == 3);
}

static void an_adapter_without_a_head_is_none_for_labels(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    struct lorac_model *m = open_for(HEADS "llama", LORAC_TASK_CLASSIFY, 3);
    const char *dir = LORAC_TESTS_DIR "/golden/models/llama/adapter";
    assert_int_equal(lorac_peft_load(&a, m, dir, false, &err), LORAC_EFORMAT);
    assert_string_equal(
        err.text + strlen(dir),
        TENSORS "is of a model that writes text (task_type CAUSAL_LM) and has no head; the "
                "model was opened for classifying texts, with 3 labels; give an adapter with "
                "such a head, or ask this one to write (objective: causal_lm)");
    lorac_model_close(m);
}

static void whatever_fails_is_reported(void **state)
{
    (void)state;
    for (int kind = 0; kind < N_FAULTS; kind++) {
        bool met = true;
        for (long n = 0; met; n++) {
            struct lorac_err err = {0};
            struct lorac_model_options o = {.task = LORAC_TASK_LM};
            faults_start((enum faults_kind)kind, n);
            enum lorac_status st = lorac_peft_task(&o, HEADS "llama/adapter", &err);
            met = faults_stop();
            assert_int_equal(st, met ? faults_status((enum faults_kind)kind) : LORAC_OK);
        }
    }
}

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    return 0;
}

static int tear_down(void **state)
{
    lorac_device_close(&dev);
    return tiny_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_head_trains_whatever_the_method),
        cmocka_unit_test(without_pairs_the_layers_that_are_named_train),
        cmocka_unit_test(what_asks_for_pairs_is_refused_without_them),
        cmocka_unit_test(what_peft_wrote_is_written_again),
        cmocka_unit_test(an_adapter_tells_what_its_model_is_opened_for),
        cmocka_unit_test(a_head_that_does_not_fit_is_an_error),
        cmocka_unit_test(biases_of_what_the_base_lacks_are_read_as_peft_stores_them),
        cmocka_unit_test(the_class_of_the_model_tells_a_task),
        cmocka_unit_test(an_adapter_without_a_head_is_none_for_labels),
        cmocka_unit_test(whatever_fails_is_reported),
    };
    return cmocka_run_group_tests_name("head", tests, set_up, tear_down);
}
