/*
 * Merging what trained in full. What is promised:
 *   - each copy replaces its tensor, rounded once to the type of the file, and pairs are added
 *     beside;
 *   - the merged model gives the logits of base and adapter; of every golden case those that PEFT's
 *     merge gives;
 *   - a tied pair that stays one is stored as it was; one that has parted is stored as two, in one
 *     file or in shards, and config.json says so and nothing else;
 *   - with a type given, all tensors have it, each rounded once, and the config and an index say
 *     so; the model is that of base and adapter up to the rounding; a number that the type cannot
 *     hold is refused;
 *   - copies that cannot be combined are refused, and whatever fails, nothing is left.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/support/faults.h"
#include "tests/support/golden.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MODELS LORAC_TESTS_DIR "/golden/models/"

static struct lorac_device dev;

/* An adapter whose numbers are all away from the base's. */
static struct lorac_adapter *moved(const struct lorac_model *m, struct lorac_adapter_options o)
{
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    o.rank = 2;
    o.alpha = 4;
    if (lorac_adapter_new(&a, m, &o, &err)) { fail_msg("%s", err.text); }
    float *x = lorac_mem_new(a->n_params, sizeof *x);
    float *d = lorac_mem_new(a->n_params, sizeof *d);
    fill(d, a->n_params, 7);
    dev.ops->read(&dev, x, a->params, a->n_params * sizeof *x);
    for (size_t i = 0; i < a->n_params; i++) {
        x[i] += 0.05F * d[i];
    }
    dev.ops->write(&dev, a->params, x, a->n_params * sizeof *x);
    lorac_mem_free(x);
    lorac_mem_free(d);
    return a;
}

static float *logits(const struct lorac_model *m, const struct lorac_socket *socket, size_t *n)
{
    static const int32_t ids[] = {5, 17, 1, 44, 60, 3};
    enum { N = sizeof ids / sizeof ids[0] };
    struct lorac_batch *b = NULL;
    assert_int_equal(lorac_batch_new(&b, N, 1, 1, NULL), LORAC_OK);
    lorac_batch_clear(b);
    (void)lorac_batch_add(b, ids, N, -1);
    for (size_t i = 0; i < N; i++) {
        lorac_batch_want_logits(b, i);
    }
    float *out = passes_logits(m, socket, b, n);
    lorac_batch_free(b);
    return out;
}

/* The merged tensor of a copy holds its numbers, rounded once. */
static void expect_copy(const struct lorac_model *merged, const struct lorac_adapter *a, size_t i)
{
    const struct lorac_full *f = &a->full[i];
    const struct lorac_module *module = &a->model->module[f->m];
    char name[LORAC_NAME_SIZE];
    bool bias = f->vector && lorac_module_is_linear(module);
    if (f->vector && a->model->config.layernorm && !bias) { return; } // its logits tell
    (void)snprintf(name, sizeof name, "%s.%s", module->name, bias ? "bias" : "weight");
    const struct lorac_tensor *t = lorac_checkpoint_find(merged->files, name);
    if (!t) { fail_msg("no tensor %s", name); }
    float *x = lorac_mem_new(f->n, sizeof *x);
    unsigned char *bytes = lorac_mem_new(f->n, sizeof *x);
    dev.ops->read(&dev, x, f->p, f->n * sizeof *x);
    lorac_dtype_encode(bytes, x, t->dtype, f->n);
    assert_int_equal(t->n, f->n);
    bool pair = lorac_module_is_linear(module) && a->at[f->m] >= 0;
    if (!pair || f->vector) {
        assert_memory_equal(bytes, t->data, lorac_dtype_bytes(t->dtype, f->n));
    }
    lorac_mem_free(x);
    lorac_mem_free(bytes);
}

/* Merge, and compare tensors and logits; the number of tensors grows by `more`. */
static void merges(const char *name, const char *base, struct lorac_adapter_options o, bool tied,
                   size_t more)
{
    struct lorac_err err = {0};
    size_t n = 0;
    struct lorac_model *m = golden_model(&dev, base);
    struct lorac_adapter *a = moved(m, o);
    struct lorac_stack s = {1, {a}, {1.0F}};
    const char *out = tiny_path(name);
    if (lorac_merge(out, m, &s, NULL, &err)) { fail_msg("%s: %s", name, err.text); }
    struct lorac_model *merged = golden_model(&dev, out);
    assert_int_equal(merged->config.tie, tied);
    assert_int_equal(lorac_checkpoint_count(merged->files),
                     lorac_checkpoint_count(m->files) + more);
    for (size_t i = 0; i < a->n_full; i++) {
        expect_copy(merged, a, i);
    }
    struct lorac_socket socket = lorac_stack_socket(&s);
    float *want = logits(m, &socket, &n);
    float *got = logits(merged, NULL, &n);
    bool rounded =
        m->module[m->head].dtype == LORAC_BF16; // weights of some 0.2 move by up to 2^-9 of it
    near_all(name, got, want, n, (rounded ? 5e-2F : 2e-6F) * golden_largest(want, n), 0.0F);
    lorac_mem_free(want);
    lorac_mem_free(got);
    lorac_model_close(merged);
    lorac_adapter_free(a);
    lorac_model_close(m);
}

#define LIST(...)                                     \
    .train_also = (const char *const[]){__VA_ARGS__}, \
    .n_train_also = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)

static void copies_replace_their_tensors(void **state)
{
    (void)state;
    merges("some", MODELS "llama",
           (struct lorac_adapter_options){
               LIST("embed_tokens", "lm_head", "model.norm", "o_proj", "layers.1.input_layernorm")},
           false, 0);
    merges("all", MODELS "llama", (struct lorac_adapter_options){.train_all = true}, false, 0);
    merges("bf16", MODELS "llama-sharded", (struct lorac_adapter_options){.train_all = true}, false,
           0);
    merges("biases", MODELS "llama-tied-bias",
           (struct lorac_adapter_options){.bias = LORAC_BIAS_ALL}, true, 0);
    merges("lora-biases", MODELS "qwen2",
           (struct lorac_adapter_options){.bias = LORAC_BIAS_LORA_ONLY}, true, 0);
}

/* LayerNorms have a gain and a shift, of which bias: all trains the latter. */
static void layer_norms_are_merged_whole_or_their_shifts_alone(void **state)
{
    (void)state;
    merges("neox-biases", MODELS "neox", (struct lorac_adapter_options){.bias = LORAC_BIAS_ALL},
           false, 0);
    merges("neox-norms", MODELS "neox",
           (struct lorac_adapter_options){LIST("input_layernorm", "final_layer_norm")}, false, 0);
    merges("gpt2-both", MODELS "gpt2-inverse",
           (struct lorac_adapter_options){LIST("ln_1", "mlp.c_proj"), .bias = LORAC_BIAS_ALL},
           false, 0);
}

static void golden_cases_merge_as_in_peft(void **state)
{
    (void)state;
    const char *out = tiny_path("golden");
    for (size_t i = 0; golden_every(i); i++) {
        struct lorac_err err = {0};
        struct golden g;
        struct lorac_adapter *a = NULL;
        size_t n = 0;
        size_t n_got = 0;
        golden_open(&g, golden_every(i));
        struct lorac_model *m = golden_model(&dev, golden_every(i));
        enum lorac_status st = lorac_peft_load(&a, m, golden_path(&g, "adapter"), false, &err);
        struct lorac_stack s = {1, {a}, {1.0F}};
        if (!st) { st = lorac_merge(out, m, &s, NULL, &err); }
        if (st) { fail_msg("%s: %s", golden_every(i), err.text); }
        struct lorac_model *merged = golden_model(&dev, out);
        const float *want = golden_tensor(&g, "merged_logits", &n);
        float *got = passes_all_logits(merged, NULL, g.batch, &n_got);
        bool rounded = m->module[m->head].dtype == LORAC_BF16; // PEFT's merge was in float32
        assert_int_equal(n, n_got);
        near_all(golden_every(i), got, want, n, (rounded ? 5e-2F : 1e-5F) * golden_largest(want, n),
                 0.0F);
        lorac_mem_free(got);
        lorac_model_close(merged);
        lorac_adapter_free(a);
        lorac_model_close(m);
        golden_close(&g);
        assert_int_equal(lorac_dir_remove(out, NULL), LORAC_OK);
    }
}

static void a_tied_pair_stays_one_or_parts(void **state)
{
    (void)state;
    static const struct {
        const char *name, *module; // NULL: all
        enum lorac_tie tie;
        size_t more;
    } cases[] = {{"keep-embed", "embed_tokens", LORAC_TIE_KEEP, 0},
                 {"keep-all", NULL, LORAC_TIE_KEEP, 0},
                 {"untie-embed", "embed_tokens", LORAC_TIE_UNTIE, 1},
                 {"untie-head", "lm_head", LORAC_TIE_UNTIE, 1},
                 {"untie-all", NULL, LORAC_TIE_UNTIE, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lorac_adapter_options o = {.train_also = &cases[i].module,
                                          .n_train_also = cases[i].module != NULL,
                                          .train_all = !cases[i].module,
                                          .tie = cases[i].tie};
        merges(cases[i].name, MODELS "llama-tied-bias", o, cases[i].more == 0, cases[i].more);
    }
    // A pair on the tied output parts it from the embedding, too.
    merges("lora-head", MODELS "qwen2",
           (struct lorac_adapter_options){.targets = (const char *[]){"lm_head"}, .n_targets = 1},
           false, 1);
    merges("lora-head-keep", MODELS "qwen2",
           (struct lorac_adapter_options){LIST("embed_tokens"), .tie = LORAC_TIE_KEEP}, true, 0);
}

static void only_the_tie_changes_in_the_config(void **state)
{
    (void)state;
    const char *out = tiny_path("untie-all"); // as the test before left it
    size_t n = 0;
    size_t k = 0;
    char *was = tiny_read_in(MODELS "llama-tied-bias", "config.json", &n);
    char *is = tiny_read_in(out, "config.json", &k);
    char *at = strstr(was, "\"tie_word_embeddings\": true");
    size_t before = (size_t)(at - was) + strlen("\"tie_word_embeddings\": ");
    assert_non_null(at);
    assert_int_equal(k, n + 1);
    assert_memory_equal(was, is, before);
    assert_memory_equal(is + before, "false", 5);
    assert_string_equal(was + before + 4, is + before + 5);
    lorac_mem_free(was);
    lorac_mem_free(is);
}

/* The tied model's tensors in two files with an index; its config names the key in odd places, too.
 */
static void write_shards(const char *to)
{
    static const char config_start[] = "{\"_name_or_path\": \"\\\"tie_word_embeddings\\\": true\", "
                                       "\"extra\": {\"tie_word_embeddings\": true}, ";
    struct lorac_model *m = golden_model(&dev, "llama-tied-bias");
    size_t half = lorac_checkpoint_count(m->files) / 2;
    struct lorac_buf index = {0};
    lorac_buf_str(&index, "{\"metadata\": {\"total_size\": 72448}, \"weight_map\": {");
    assert_int_equal(lorac_dir_make(to, NULL), LORAC_OK);
    for (size_t s = 0; s < 2; s++) {
        struct lorac_tensor_spec specs[64];
        char name[40];
        size_t n = 0;
        (void)snprintf(name, sizeof name, "model-0000%zu-of-00002.safetensors", s + 1);
        for (size_t i = s * half; i < (s ? lorac_checkpoint_count(m->files) : half); i++) {
            const struct lorac_tensor *t = lorac_checkpoint_at(m->files, i);
            assert_true(n < 64);
            specs[n++] = (struct lorac_tensor_spec){
                t->name, t->dtype, t->n_dims, {t->dims[0], t->dims[1]}, t->data};
            lorac_buf_printf(&index, "%s\"%s\": \"%s\"", i ? ", " : "", t->name, name);
        }
        char *path = lorac_path_join(to, name);
        assert_int_equal(lorac_safetensors_write(path, specs, n, NULL, 0, NULL, NULL, NULL),
                         LORAC_OK);
        lorac_mem_free(path);
    }
    lorac_buf_str(&index, "}}");
    size_t n = 0;
    char *config = tiny_read_in(m->dir, "config.json", &n);
    struct lorac_buf text = {0};
    lorac_buf_str(&text, config_start);
    lorac_buf_str(&text, config + 1);
    char *paths[2] = {lorac_path_join(to, "config.json"),
                      lorac_path_join(to, "model.safetensors.index.json")};
    assert_int_equal(lorac_file_write(paths[0], text.at, text.n, NULL), LORAC_OK);
    assert_int_equal(lorac_file_write(paths[1], index.at, index.n, NULL), LORAC_OK);
    lorac_mem_free(paths[0]);
    lorac_mem_free(paths[1]);
    lorac_mem_free(config);
    lorac_buf_free(&text);
    lorac_buf_free(&index);
    lorac_model_close(m);
}

static void a_pair_in_shards_parts_too(void **state)
{
    (void)state;
    const char *base = tiny_path("shards");
    const char *out = tiny_path("shards-merged");
    write_shards(base);
    merges("shards-merged", base,
           (struct lorac_adapter_options){.train_all = true, .tie = LORAC_TIE_UNTIE}, false, 1);
    size_t n = 0;
    char *index = tiny_read_in(out, "model.safetensors.index.json", &n);
    char *config = tiny_read_in(out, "config.json", &n);
    assert_non_null(strstr(index, "\"lm_head.weight\": \"model-0000"));
    assert_non_null(strstr(index, "\"total_size\": 81024")); // and 67 x 32 float32
    assert_non_null(strstr(config, "\"extra\": {\"tie_word_embeddings\": true}"));
    lorac_mem_free(index);
    lorac_mem_free(config);
}

/* The tensors of both are the same but for one rounding to the type of `narrow`. */
static void expect_rounded(const struct lorac_model *narrow, const struct lorac_model *wide)
{
    size_t n = lorac_checkpoint_count(wide->files);
    assert_int_equal(lorac_checkpoint_count(narrow->files), n);
    for (size_t i = 0; i < n; i++) {
        const struct lorac_tensor *w = lorac_checkpoint_at(wide->files, i);
        const struct lorac_tensor *t = lorac_checkpoint_at(narrow->files, i);
        float *x = lorac_mem_new(w->n, sizeof *x);
        unsigned char *want = lorac_mem_new(w->n, sizeof *x);
        lorac_dtype_decode(x, w->data, w->dtype, w->n);
        lorac_dtype_encode(want, x, t->dtype, w->n);
        assert_string_equal(t->name, w->name);
        assert_int_equal(t->shard, w->shard);
        assert_int_equal(t->n, w->n);
        assert_memory_equal(t->data, want, lorac_dtype_bytes(t->dtype, t->n));
        lorac_mem_free(x);
        lorac_mem_free(want);
    }
}

static void expect_type(const struct lorac_model *m, enum lorac_dtype dtype, const char *key)
{
    size_t n = 0;
    char want[64];
    char *config = tiny_read_in(m->dir, "config.json", &n);
    (void)snprintf(want, sizeof want, "\"%s\": \"%s\"", key, lorac_dtype_torch(dtype));
    if (!strstr(config, want)) { fail_msg("no %s in %s", want, config); }
    assert_string_equal(lorac_checkpoint_metadata(m->files, "format"), "pt");
    for (size_t i = 0; i < lorac_checkpoint_count(m->files); i++) {
        assert_int_equal(lorac_checkpoint_at(m->files, i)->dtype, dtype);
    }
    lorac_mem_free(config);
}

/* Merge `base` twice, as it is and as `dtype`; the config has it under `key`. */
static void converts(const char *name, const char *base, struct lorac_adapter_options o,
                     enum lorac_dtype dtype, const char *key, float tolerance)
{
    struct lorac_err err = {0};
    size_t n = 0;
    const struct lorac_merge_options options = {.dtype = &dtype};
    struct lorac_model *m = golden_model(&dev, base);
    struct lorac_adapter *a = moved(m, o);
    struct lorac_stack s = {1, {a}, {1.0F}};
    const char *plain = tiny_path("plain");
    const char *out = tiny_path(name);
    if (lorac_merge(plain, m, &s, NULL, &err)) { fail_msg("%s", err.text); }
    if (lorac_merge(out, m, &s, &options, &err)) { fail_msg("%s", err.text); }
    struct lorac_model *kept = golden_model(&dev, plain);
    struct lorac_model *got = golden_model(&dev, out);
    bool wider = dtype == LORAC_F32;
    expect_type(got, dtype, key);
    expect_rounded(wider ? kept : got, wider ? got : kept);
    struct lorac_socket socket = lorac_stack_socket(&s);
    float *want = logits(m, &socket, &n);
    float *is = logits(got, NULL, &n);
    near_all(name, is, want, n, tolerance * golden_largest(want, n), 0.0F);
    lorac_mem_free(want);
    lorac_mem_free(is);
    lorac_model_close(kept);
    lorac_model_close(got);
    lorac_adapter_free(a);
    lorac_model_close(m);
    assert_int_equal(lorac_dir_remove(plain, NULL), LORAC_OK);
}

/* The llama with its type taken out of the config. */
static void write_untyped(const char *to)
{
    size_t n = 0;
    static const char entry[] = "\"torch_dtype\": \"float32\",";
    char *config = tiny_read_in(MODELS "llama", "config.json", &n);
    char *at = strstr(config, entry);
    char *paths[2] = {lorac_path_join(to, "config.json"), lorac_path_join(to, "model.safetensors")};
    assert_non_null(at);
    memset(at, ' ', sizeof entry - 1);
    assert_int_equal(lorac_dir_make(to, NULL), LORAC_OK);
    assert_int_equal(lorac_file_write(paths[0], config, n, NULL), LORAC_OK);
    assert_int_equal(lorac_file_copy(paths[1], MODELS "llama/model.safetensors", NULL), LORAC_OK);
    lorac_mem_free(paths[0]);
    lorac_mem_free(paths[1]);
    lorac_mem_free(config);
}

/* Weights of some 0.2 move by up to 2^-9 of it as BF16, by 2^-12 as F16. */
static void all_tensors_get_the_type_that_is_asked_for(void **state)
{
    (void)state;
    const struct lorac_adapter_options some = {LIST("model.norm", "o_proj")};
    const struct lorac_adapter_options all = {.train_all = true, .tie = LORAC_TIE_UNTIE};
    converts("to-bf16", MODELS "llama", some, LORAC_BF16, "torch_dtype", 5e-2F);
    converts("to-f16", MODELS "llama-tied-bias", all, LORAC_F16, "dtype", 6e-3F);
    converts("to-f32", MODELS "llama-sharded", some, LORAC_F32, "torch_dtype", 2e-6F);
    converts("to-same", MODELS "llama-sharded", some, LORAC_BF16, "torch_dtype", 5e-2F);
    const char *base = tiny_path("untyped");
    write_untyped(base);
    converts("typed", base, some, LORAC_F16, "torch_dtype", 6e-3F);
}

static void an_index_counts_the_bytes_of_the_type(void **state)
{
    (void)state;
    size_t bytes = 0;
    size_t n = 0;
    char want[64];
    const char *out = tiny_path("to-f32"); // as the test before left it
    struct lorac_model *m = golden_model(&dev, out);
    for (size_t i = 0; i < lorac_checkpoint_count(m->files); i++) {
        bytes += lorac_checkpoint_at(m->files, i)->n * sizeof(float);
    }
    (void)snprintf(want, sizeof want, "\"total_size\": %zu\n", bytes);
    char *index = tiny_read_in(out, "model.safetensors.index.json", &n);
    if (!strstr(index, want)) { fail_msg("no %s in %s", want, index); }
    lorac_mem_free(index);
    lorac_model_close(m);
}

static void a_number_beyond_the_type_is_refused(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    const enum lorac_dtype f16 = LORAC_F16;
    const struct lorac_merge_options options = {.dtype = &f16};
    const float large = 65520.0F; // rounds to infinity
    const char *out = tiny_path("never");
    struct lorac_model *m = golden_model(&dev, "llama");
    struct lorac_adapter *a = moved(m, (struct lorac_adapter_options){LIST("lm_head")});
    struct lorac_stack s = {1, {a}, {1.0F}};
    dev.ops->write(&dev, a->full[0].p + m->config.C + 2, &large, sizeof large);
    assert_int_equal(lorac_merge(out, m, &s, &options, &err), LORAC_EUSER);
    assert_string_equal(err.text, "merging 'lm_head.weight': row 1, column 2 becomes 65520, which "
                                  "F16 cannot hold");
    assert_false(lorac_path_exists(out));
    lorac_adapter_free(a);
    lorac_model_close(m);
}

static void copies_that_cannot_be_combined_are_refused(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    const char *out = tiny_path("never");
    struct lorac_model *m = golden_model(&dev, "llama");
    struct lorac_adapter *a = moved(m, (struct lorac_adapter_options){LIST("lm_head")});
    struct lorac_stack s = {1, {a}, {0.5F}};
    assert_int_equal(lorac_merge(out, m, &s, NULL, &err), LORAC_EUSER);
    assert_string_equal(err.text, "adapter 1 has the factor 0.5, but holds 'lm_head' trained in "
                                  "full, which cannot be scaled");
    s = (struct lorac_stack){2, {a, a}, {1.0F, 1.0F}};
    assert_int_equal(lorac_merge(out, m, &s, NULL, &err), LORAC_EUSER);
    assert_string_equal(err.text, "adapters 1 and 2 both hold 'lm_head' trained in full: one of "
                                  "them would be lost");
    assert_false(lorac_path_exists(out));
    lorac_adapter_free(a);
    lorac_model_close(m);
}

struct merging {
    const char *out;
    struct lorac_model *m;
    const struct lorac_stack *s;
};

/* In another type, so that headers and index are written anew. */
static enum lorac_status go(void *self, struct lorac_err *err)
{
    const struct merging *x = self;
    const enum lorac_dtype bf16 = LORAC_BF16;
    return lorac_merge(x->out, x->m, x->s, &(struct lorac_merge_options){.dtype = &bf16}, err);
}

static void opens(void *self)
{
    const struct merging *x = self;
    lorac_model_close(golden_model(&dev, x->out));
}

static void whatever_fails_or_is_wrong_nothing_is_left(void **state)
{
    (void)state;
    char *home = lorac_path_join(tiny_dir(), "fault");
    char *out = lorac_path_join(home, "m");
    struct lorac_model *m = golden_model(&dev, tiny_path("shards")); // as a test before left it
    struct lorac_adapter *a =
        moved(m, (struct lorac_adapter_options){LIST("lm_head"), .tie = LORAC_TIE_UNTIE});
    struct lorac_stack s = {1, {a}, {1.0F}};
    struct merging x = {out, m, &s};
    faults_meet_folder(&(struct faults_folder){home, out, go, opens, &x, 1});
    faults_wrong_bytes(&(struct faults_folder){home, out, go, opens, &x, 499});
    lorac_adapter_free(a);
    lorac_model_close(m);
    lorac_mem_free(home);
    lorac_mem_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_replace_their_tensors),
        cmocka_unit_test(layer_norms_are_merged_whole_or_their_shifts_alone),
        cmocka_unit_test(golden_cases_merge_as_in_peft),
        cmocka_unit_test(a_tied_pair_stays_one_or_parts),
        cmocka_unit_test(only_the_tie_changes_in_the_config),
        cmocka_unit_test(a_pair_in_shards_parts_too),
        cmocka_unit_test(all_tensors_get_the_type_that_is_asked_for),
        cmocka_unit_test(an_index_counts_the_bytes_of_the_type),
        cmocka_unit_test(a_number_beyond_the_type_is_refused),
        cmocka_unit_test(copies_that_cannot_be_combined_are_refused),
        cmocka_unit_test(whatever_fails_or_is_wrong_nothing_is_left),
    };
    if (lorac_device_open(&dev, "ref", 1, NULL)) { return 1; }
    int failed = cmocka_run_group_tests(tests, NULL, tiny_remove);
    lorac_device_close(&dev);
    return failed;
}
