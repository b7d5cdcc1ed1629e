/*
 * Opening a model's folder. What is promised:
 *   - every tensor of the configuration is there, once, with its shape, and no other; what is
 *     missing, extra or of another shape or type is named;
 *   - a tied matrix may be stored under either name or under both, but not with two contents;
 *   - old checkpoints' rotary tables are let pass;
 *   - parameters are counted, a tied matrix once;
 *   - every failed allocation and system call is reported, and nothing leaks.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/model.h"
#include "tests/support/data.h"
#include "tests/support/faults.h"
#include "tests/support/golden.h"
#include "tests/support/passes.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MAX = 64 };
static const char from[] = LORAC_TESTS_DIR "/golden/models/llama";
static const char from_tied[] = LORAC_TESTS_DIR "/golden/models/llama-tied-bias";

/* The tensors of a golden model, to be changed and written into "FOLDER/m". */
struct variant {
    const char *dir;
    struct lorac_checkpoint *c;
    struct lorac_tensor_spec spec[MAX];
    size_t n;
};

static void begin(struct variant *v, const char *dir)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%s/model.safetensors", dir);
    *v = (struct variant){.dir = dir};
    assert_int_equal(lorac_checkpoint_open(&v->c, path, NULL), LORAC_OK);
    v->n = lorac_checkpoint_count(v->c);
    assert_true(v->n < MAX);
    for (size_t i = 0; i < v->n; i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(v->c, i);
        v->spec[i] = (struct lorac_tensor_spec){
            .name = t->name, .dtype = t->dtype, .n_dims = t->n_dims, .data = t->data};
        memcpy(v->spec[i].dims, t->dims, sizeof v->spec[i].dims);
    }
}

static struct lorac_tensor_spec *find(struct variant *v, const char *name)
{
    for (size_t i = 0; i < v->n; i++) {
        if (strcmp(v->spec[i].name, name) == 0) { return &v->spec[i]; }
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

static void drop(struct variant *v, const char *name)
{
    struct lorac_tensor_spec *s = find(v, name);
    *s = v->spec[--v->n];
}

/* Write it and open it as a model; what opening says. */
static enum lorac_status finish(struct variant *v, struct lorac_model **m, struct lorac_device *dev,
                                struct lorac_err *err)
{
    char config[600];
    (void)snprintf(config, sizeof config, "%s/config.json", v->dir);
    assert_int_equal(lorac_dir_remove(tiny_path("m"), NULL), LORAC_OK);
    assert_int_equal(lorac_dir_make(tiny_path("m"), NULL), LORAC_OK);
    assert_int_equal(lorac_file_copy(tiny_path("m/config.json"), config, NULL), LORAC_OK);
    struct lorac_err bad = {0};
    if (lorac_safetensors_write(tiny_path("m/model.safetensors"), v->spec, v->n, NULL, 0, NULL,
                                NULL, &bad)) {
        fail_msg("%s", bad.text);
    }
    assert_int_equal(lorac_device_open(dev, "ref", 1, NULL), LORAC_OK);
    enum lorac_status st = lorac_model_open(m, dev, tiny_path("m"), LORAC_FLOAT32, err);
    lorac_checkpoint_close(v->c);
    assert_true((*m == NULL) == (st != LORAC_OK));
    return st;
}

static void refused(struct variant *v, const char *want)
{
    struct lorac_model *m = NULL;
    struct lorac_device dev;
    struct lorac_err err = {0};
    assert_int_equal(finish(v, &m, &dev, &err), LORAC_EFORMAT);
    size_t n = strlen(tiny_path("m"));
    assert_memory_equal(err.text, tiny_path("m"), n);
    assert_string_equal(err.text + n, want);
    lorac_device_close(&dev);
}

static void accepted(struct variant *v)
{
    struct lorac_model *m = NULL;
    struct lorac_device dev;
    struct lorac_err err = {0};
    if (finish(v, &m, &dev, &err)) { fail_msg("%s", err.text); }
    lorac_model_close(m);
    lorac_device_close(&dev);
}

/* ---- tensors ---- */

static void every_tensor_has_to_be_there(void **state)
{
    (void)state;
    struct variant v;
    begin(&v, from);
    size_t n = v.n;
    lorac_checkpoint_close(v.c);
    for (size_t i = 0; i < n; i++) {
        char want[300];
        begin(&v, from);
        (void)snprintf(want, sizeof want, ": tensor '%s' is missing, config.json asks for it",
                       v.spec[i].name);
        drop(&v, v.spec[i].name);
        refused(&v, want);
    }
}

static void no_other_tensor_may_be_there(void **state)
{
    (void)state;
    static const char *const extra[] = {"model.layers.2.mlp.up_proj.weight",
                                        "model.layers.0.self_attn.q_proj.bias", "score.weight",
                                        "model.layers.0.self_attn.q_norm.weight", ".inv_freq"};
    for (size_t i = 0; i < 2 * (sizeof extra / sizeof *extra); i++) {
        struct variant v;
        char want[300];
        begin(&v, from);
        v.spec[v.n] = *find(&v, "model.norm.weight");
        v.spec[v.n++].name = extra[i / 2];
        if (i % 2) { // the first in the file
            const struct lorac_tensor_spec last = v.spec[v.n - 1];
            memmove(&v.spec[1], &v.spec[0], (v.n - 1) * sizeof last);
            v.spec[0] = last;
        }
        (void)snprintf(want, sizeof want,
                       ": tensor '%s' has no place in a LlamaForCausalLM of this config.json",
                       extra[i / 2]);
        refused(&v, want);
    }
    struct variant v;
    begin(&v, from);
    v.spec[v.n] = *find(&v, "model.norm.weight");
    v.spec[v.n++].name = "model.layers.0.self_attn.rotary_emb.inv_freq";
    accepted(&v);
}

static void shapes_have_to_be_those_of_the_configuration(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t n_dims, dims[3];
        const char *want;
    } cases[] = {
        {"model.layers.1.mlp.down_proj.weight",
         2,
         {48, 32},
         "[48, 32], config.json asks for [32, 48]"},
        {"model.layers.0.self_attn.k_proj.weight",
         2,
         {32, 16},
         "[32, 16], config.json asks for [16, 32]"},
        {"model.embed_tokens.weight",
         2,
         {66, 32},
         "[66, 32], config.json asks for [67, 32] (embedding and output hold different numbers of "
         "tokens: resize_token_embeddings() of transformers resizes both)"},
        {"model.norm.weight", 1, {31}, "[31], config.json asks for [32]"},
        {"model.norm.weight", 2, {1, 32}, "[1, 32], config.json asks for [32]"},
        {"model.norm.weight", 0, {0}, "[], config.json asks for [32]"},
        {"model.layers.1.self_attn.q_proj.weight",
         1,
         {1024},
         "[1024], config.json asks for [32, 32]"},
        {"model.layers.1.self_attn.q_proj.weight",
         3,
         {1, 32, 32},
         "[1, 32, 32], config.json asks for [32, 32]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct variant v;
        char want[300];
        begin(&v, from);
        struct lorac_tensor_spec *s = find(&v, cases[i].name);
        s->n_dims = cases[i].n_dims;
        memcpy(s->dims, cases[i].dims, sizeof cases[i].dims);
        (void)snprintf(want, sizeof want, ": tensor '%s' has shape %s", cases[i].name,
                       cases[i].want);
        refused(&v, want);
    }
}

static void a_folder_that_is_no_model_is_an_error(void **state)
{
    (void)state;
    struct lorac_device dev;
    struct lorac_model *m = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    assert_int_equal(lorac_model_open(&m, &dev, "no/such/model", LORAC_FLOAT32, &err), LORAC_EIO);
    assert_string_equal(err.text,
                        "no/such/model/config.json: cannot open: No such file or directory");
    assert_null(m);
    assert_int_equal(lorac_dir_make(tiny_path("bare"), NULL), LORAC_OK);
    char config[600];
    (void)snprintf(config, sizeof config, "%s/config.json", from);
    assert_int_equal(lorac_file_copy(tiny_path("bare/config.json"), config, NULL), LORAC_OK);
    assert_int_equal(lorac_model_open(&m, &dev, tiny_path("bare"), LORAC_FLOAT32, &err),
                     LORAC_EUSER);
    assert_non_null(strstr(
        err.text, "/bare: holds neither model.safetensors nor model.safetensors.index.json"));
    lorac_device_close(&dev);
}

/* ---- tied matrices ---- */

static void a_tied_matrix_has_either_name_or_both(void **state)
{
    (void)state;
    static float other[67 * 32];
    struct variant v;
    begin(&v, from_tied); // as transformers saves it: under the embedding's name
    accepted(&v);
    begin(&v, from_tied);
    find(&v, "model.embed_tokens.weight")->name = "lm_head.weight";
    accepted(&v);
    begin(&v, from_tied);
    v.spec[v.n] = *find(&v, "model.embed_tokens.weight");
    v.spec[v.n++].name = "lm_head.weight";
    accepted(&v);
    begin(&v, from_tied);
    v.spec[v.n] = *find(&v, "model.embed_tokens.weight");
    memcpy(other, v.spec[v.n].data, sizeof other);
    other[sizeof other / sizeof *other - 1] += 1.0F;
    v.spec[v.n].data = other;
    v.spec[v.n++].name = "lm_head.weight";
    refused(&v, ": config.json ties embedding and output (tie_word_embeddings), but "
                "'model.embed_tokens.weight' and 'lm_head.weight' differ (false there keeps both)");
    begin(&v, from_tied); // tokens were added, and config.json was not written anew
    find(&v, "model.embed_tokens.weight")->dims[0] = 60;
    refused(
        &v,
        ": tensor 'model.embed_tokens.weight' has shape [60, 32], config.json asks for [67, 32] "
        "(tokens were added or cut: \"vocab_size\": 60 in config.json is what the tensors "
        "hold)");
    begin(&v, from);
    find(&v, "model.layers.1.mlp.up_proj.weight")->name =
        "model.layers.1.mlp.up_proj.base_layer.weight";
    refused(&v,
            ": tensor 'model.layers.1.mlp.up_proj.weight' is missing, config.json asks for it (the "
            "file has it as base_layer: a model with a PEFT adapter in it; merge_and_unload() "
            "makes it one)");
    begin(&v, from_tied);
    drop(&v, "model.embed_tokens.weight");
    refused(&v, ": tensor 'model.embed_tokens.weight' is missing, config.json asks for it");
}

/* Either name gives the same logits. */
static void both_names_are_one_matrix(void **state)
{
    (void)state;
    float *logits[2];
    size_t n = 0;
    for (int k = 0; k < 2; k++) {
        struct variant v;
        struct lorac_model *m = NULL;
        struct lorac_device dev;
        struct golden g;
        begin(&v, from_tied);
        if (k) { find(&v, "model.embed_tokens.weight")->name = "lm_head.weight"; }
        assert_int_equal(finish(&v, &m, &dev, NULL), LORAC_OK);
        golden_open(&g, "llama-tied-bias");
        logits[k] = passes_all_logits(m, NULL, g.batch, &n);
        golden_close(&g);
        lorac_model_close(m);
        lorac_device_close(&dev);
    }
    assert_memory_equal(logits[0], logits[1], n * sizeof(float));
    lorac_mem_free(logits[0]);
    lorac_mem_free(logits[1]);
}

/* ---- counts, real models, faults ---- */

static void parameters_are_counted_a_tied_matrix_once(void **state)
{
    (void)state;
    static const struct {
        const char *dir;
        size_t want;
    } cases[] = {
        // 2 (67 32) + 2 (2 32 32 + 2 16 32 + 3 48 32) + 5 32
        {from, 2 * 67 * 32 + 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 48 * 32) + 5 * 32},
        {from_tied, 67 * 32 + 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 48 * 32) + 5 * 32 +
                        2 * (32 + 2 * 16 + 32 + 2 * 48 + 32)},
    };
    for (size_t i = 0; i < 2; i++) {
        struct lorac_device dev;
        struct lorac_model *m = NULL;
        assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
        assert_int_equal(lorac_model_open(&m, &dev, cases[i].dir, LORAC_FLOAT32, NULL), LORAC_OK);
        assert_int_equal(lorac_model_parameters(m), cases[i].want);
        assert_int_equal(m->n_modules, 1 + 2 * 9 + 2); // embedding, layers, norm and head
        assert_string_equal(m->module[1 + 9 + 2].name, "model.layers.1.self_attn.k_proj");
        assert_string_equal(m->module[m->head].name, "lm_head");
        assert_int_equal(m->head, m->n_modules - 1);
        assert_int_equal(strlen(m->fingerprint), 64);
        lorac_model_close(m);
        lorac_device_close(&dev);
    }
}

static void a_configuration_much_larger_than_the_files_is_refused(void **state)
{
    (void)state;
    struct lorac_device dev;
    struct lorac_model *m = NULL;
    struct lorac_err err = {0};
    tiny_write(tiny_path("small"));
    tiny_text("small/config.json",
              "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 65536, "
              "\"num_hidden_layers\": 1024, \"num_attention_heads\": 2, \"intermediate_size\": 24, "
              "\"vocab_size\": 260}");
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    assert_int_equal(lorac_model_open(&m, &dev, tiny_path("small"), LORAC_FLOAT32, &err),
                     LORAC_EFORMAT);
    assert_non_null(strstr(err.text, "small: the files hold "));
    assert_non_null(
        strstr(err.text, " numbers, config.json asks for 134283264 in norms and biases alone"));
    lorac_device_close(&dev);
}

static void real_models_open(void **state)
{
    (void)state;
    static const char *const names[] = {"TinyStories-656K-f32", "TinyStories-656K-bf16"};
    char fingerprints[2][65] = {"", ""};
    for (size_t i = 0; i < 2; i++) {
        char name[64];
        struct lorac_device dev;
        struct lorac_model *m = NULL;
        struct lorac_err err = {0};
        (void)snprintf(name, sizeof name, "models/%s", names[i]);
        char *dir = data_path(name);
        if (!dir) { return; }
        assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
        if (lorac_model_open(&m, &dev, dir, LORAC_FLOAT32, &err)) { fail_msg("%s", err.text); }
        print_message("%s: %zu parameters, tied %d\n", names[i], lorac_model_parameters(m),
                      m->config.tie);
        assert_int_equal(m->module[m->embed].dtype, i ? LORAC_BF16 : LORAC_F32);
        assert_true(!m->config.tie || m->module[m->head].w == m->module[m->embed].w);
        memcpy(fingerprints[i], m->fingerprint, 65);
        lorac_mem_free(dir);
        lorac_model_close(m);
        lorac_device_close(&dev);
    }
    assert_string_not_equal(fingerprints[0], fingerprints[1]); // another storage type, another base
}

static void every_failure_is_reported_and_nothing_leaks(void **state)
{
    (void)state;
    struct lorac_device dev;
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    for (enum faults_kind kind = FAULTS_CALLS; kind < N_FAULTS; kind++) {
        long n = 0;
        for (;; n = faults_next(n, kind == FAULTS_FOREIGN ? 37 : 1)) {
            struct lorac_model *m = NULL;
            struct lorac_err err = {0};
            faults_start(kind, n);
            enum lorac_status st = lorac_model_open(&m, &dev, from, LORAC_FLOAT32, &err);
            if (!faults_stop()) {
                lorac_model_close(m);
                break;
            }
            assert_null(m);
            assert_int_equal(st, faults_status(kind));
            assert_true(err.text[0] != '\0');
        }
        assert_true(n >= (kind == FAULTS_CALLS ? 4 : 15));
    }
    lorac_device_close(&dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tensor_has_to_be_there),
        cmocka_unit_test(no_other_tensor_may_be_there),
        cmocka_unit_test(shapes_have_to_be_those_of_the_configuration),
        cmocka_unit_test(a_folder_that_is_no_model_is_an_error),
        cmocka_unit_test(a_tied_matrix_has_either_name_or_both),
        cmocka_unit_test(both_names_are_one_matrix),
        cmocka_unit_test(parameters_are_counted_a_tied_matrix_once),
        cmocka_unit_test(a_configuration_much_larger_than_the_files_is_refused),
        DATA_TEST(real_models_open),
        cmocka_unit_test(every_failure_is_reported_and_nothing_leaks),
    };
    return data_result(cmocka_run_group_tests_name("model", tests, NULL, tiny_remove));
}
