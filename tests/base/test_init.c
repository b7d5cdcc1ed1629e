/*
 * Random models. What is promised:
 *   - every architecture of the table, tied or not, in every type, opens as a model;
 *   - matrices are N(0, initializer_range), gains 1, biases 0, the row of pad_token_id 0; with
 *     scale_residual o_proj and down_proj are divided by sqrt(2 L);
 *   - a number depends on seed, name and place alone: not on other tensors, files or their number;
 *   - settings, by llama's names, stand in the configuration before it is read; one without effect
 *     is refused;
 *   - config.json says all that transformers would else guess; a tokenizer is copied and gives its
 *     ids;
 *   - a configuration that is impossible, or smaller than the tokenizer, is refused, and no folder
 *     appears;
 *   - every failed allocation and system call is reported, and leaves nothing behind.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/init.h"
#include "base/model.h"
#include "base/tokenizer/tokenizer.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char bytes_dir[] = LORAC_TESTS_DIR "/datasets/data/bytes";

#define SHAPE                                                                     \
    "\"hidden_size\": 32, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, " \
    "\"num_key_value_heads\": 2, \"intermediate_size\": 48"
#define GPT2_SHAPE \
    "\"n_embd\": 32, \"n_layer\": 2, \"n_head\": 4, \"n_inner\": 48, \"n_positions\": 64"
static const char llama[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 160, \"pad_token_id\": 3, " SHAPE
    "}";

/* Make the folder `name` of tiny_dir() from the text of a configuration. */
static enum lorac_status make(const char *name, const char *config,
                              const struct lorac_init_options *o, struct lorac_err *err)
{
    assert_int_equal(lorac_dir_remove(tiny_path(name), NULL), LORAC_OK);
    return lorac_model_init(tiny_path(name), config, o, err);
}

struct opened {
    struct lorac_device dev;
    struct lorac_model *m;
};

static void made(struct opened *x, const char *name, const char *config,
                 const struct lorac_init_options *o)
{
    struct lorac_err err = {0};
    if (make(name, config, o, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(lorac_device_open(&x->dev, "ref", 1, NULL), LORAC_OK);
    if (lorac_model_open(&x->m, &x->dev, tiny_path(name), LORAC_FLOAT32, &err)) {
        fail_msg("%s", err.text);
    }
}

static void close_model(struct opened *x)
{
    lorac_model_close(x->m);
    lorac_device_close(&x->dev);
}

/* The numbers of a tensor as float32, to be freed. */
static float *numbers(const struct opened *x, const char *name, size_t *n)
{
    const struct lorac_tensor *t = lorac_checkpoint_find(x->m->files, name);
    assert_non_null(t);
    float *v = lorac_mem_new(t->n, sizeof *v);
    lorac_dtype_decode(v, t->data, t->dtype, t->n);
    *n = t->n;
    return v;
}

static double deviation(const struct opened *x, const char *name)
{
    size_t n = 0;
    float *v = numbers(x, name, &n);
    double sum = 0.0;
    double squares = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)v[i];
        squares += (double)v[i] * (double)v[i];
    }
    lorac_mem_free(v);
    double mean = sum / (double)n;
    double std = sqrt(squares / (double)n - mean * mean);
    assert_true(fabs(mean) < 4.0 * std / sqrt((double)n)); // four standard errors of a mean
    return std;
}

static void all_are(const struct opened *x, const char *name, float want)
{
    size_t n = 0;
    float *v = numbers(x, name, &n);
    for (size_t i = 0; i < n; i++) {
        assert_true(v[i] == want);
    }
    lorac_mem_free(v);
}

static void every_architecture_and_type_opens(void **state)
{
    (void)state;
    static const char *const types[] = {"llama",       "mistral", "qwen2",   "qwen3",
                                        "gemma3_text", "gpt2",    "gpt_neox"};
    static const enum lorac_dtype floats[] = {LORAC_F32, LORAC_F16, LORAC_BF16};
    enum { TYPES = sizeof types / sizeof *types, FLOATS = sizeof floats / sizeof *floats };
    for (size_t i = 0; i < (size_t)2 * TYPES * FLOATS; i++) {
        struct opened x;
        char config[512];
        struct lorac_init_options o = {.dtype = floats[i / TYPES % FLOATS]};
        const char *arch = lorac_arch_of_type(types[i % TYPES]);
        assert_string_equal(lorac_arch_type(arch), types[i % TYPES]);
        (void)snprintf(config, sizeof config,
                       "{\"architectures\": [\"%s\"], \"vocab_size\": 67, "
                       "\"tie_word_embeddings\": %s, %s}",
                       arch, i < TYPES * FLOATS ? "true" : "false",
                       i % TYPES == 5 ? GPT2_SHAPE : SHAPE);
        made(&x, "any", config, &o);
        assert_string_equal(x.m->config.arch, arch);
        assert_true(x.m->config.tie == (i < TYPES * FLOATS));
        assert_int_equal(x.m->module[x.m->embed].dtype, o.dtype);
        if (i % TYPES == 2) { all_are(&x, "model.layers.1.self_attn.k_proj.bias", 0.0F); }
        if (i % TYPES == 3) { all_are(&x, "model.layers.1.self_attn.k_norm.weight", 1.0F); }
        if (i % TYPES == 4) { all_are(&x, "model.layers.1.self_attn.k_norm.weight", 0.0F); }
        if (i % TYPES == 5) { all_are(&x, "transformer.h.1.ln_2.weight", 1.0F); }
        if (i % TYPES == 6) { all_are(&x, "gpt_neox.layers.1.input_layernorm.bias", 0.0F); }
        close_model(&x);
    }
    assert_null(lorac_arch_of_type("t5"));
    assert_null(lorac_arch_type("T5ForConditionalGeneration"));
}

static void heads_may_be_wider_than_the_model(void **state)
{
    (void)state;
    struct lorac_init_options o = {.dtype = LORAC_F32};
    struct lorac_pass_options few = {.max_rows = 4, .max_positions = 4};
    struct lorac_pass *p = NULL;
    struct lorac_batch *b = NULL;
    struct opened x;
    float logits[67];
    made(&x, "wide",
         "{\"architectures\": [\"Gemma3ForCausalLM\"], \"vocab_size\": 67, \"head_dim\": 64, " SHAPE
         "}",
         &o);
    assert_int_equal(lorac_pass_new(&p, x.m, NULL, &few, NULL), LORAC_OK);
    assert_int_equal(lorac_batch_new(&b, 4, 1, 1, NULL), LORAC_OK);
    lorac_batch_clear(b);
    (void)lorac_batch_add(b, (const int32_t[]){5, 6, 7}, 3, -1);
    lorac_batch_want_logits(b, 2);
    assert_int_equal(lorac_pass_forward(p, b, NULL, NULL), LORAC_OK);
    lorac_pass_logits(p, b, logits);
    float largest =
        0.0F; // gains of 1 make a last row of length sqrt(32): logits of about 0.02 times that
    for (size_t i = 0; i < 67; i++) {
        largest = fmaxf(largest, fabsf(logits[i]));
    }
    assert_true(largest > 0.1F && largest < 1.0F);
    lorac_batch_free(b);
    lorac_pass_free(p);
    close_model(&x);
}

static void matrices_are_normal_gains_one_and_the_padding_row_zero(void **state)
{
    (void)state;
    struct opened x;
    struct lorac_init_options o = {.seed = 7};
    size_t n = 0;
    made(&x, "m", llama, &o);
    // the standard error of a standard deviation is std / sqrt(2 n); five of them
    assert_true(fabs(deviation(&x, "model.layers.0.self_attn.o_proj.weight") - 0.02) < 0.0023);
    assert_true(fabs(deviation(&x, "model.layers.1.mlp.down_proj.weight") - 0.02) < 0.0019);
    assert_true(fabs(deviation(&x, "lm_head.weight") - 0.02) < 0.001);
    all_are(&x, "model.layers.0.input_layernorm.weight", 1.0F);
    all_are(&x, "model.layers.1.post_attention_layernorm.weight", 1.0F);
    all_are(&x, "model.norm.weight", 1.0F);
    float *e = numbers(&x, "model.embed_tokens.weight", &n);
    for (size_t i = 0; i < n; i++) {
        assert_true((e[i] == 0.0F) == (i / 32 == 3));
    }
    for (size_t i = 1024; i + 32 <= n; i += 1024) { // no stretch is drawn again
        assert_memory_not_equal(e, e + i, 32 * sizeof *e);
    }
    lorac_mem_free(e);
    close_model(&x);
}

static void residual_projections_can_be_scaled(void **state)
{
    (void)state;
    static const char *const names[] = {"model.layers.0.self_attn.o_proj.weight",
                                        "model.layers.1.mlp.down_proj.weight",
                                        "model.layers.1.mlp.up_proj.weight", "lm_head.weight"};
    struct opened x;
    struct opened y;
    struct lorac_init_options plain = {.seed = 7};
    struct lorac_init_options scaled = {.seed = 7, .scale_residual = true};
    made(&x, "x", llama, &plain);
    made(&y, "y", llama, &scaled);
    for (size_t i = 0; i < 4; i++) {
        size_t n = 0;
        float *a = numbers(&x, names[i], &n);
        float *b = numbers(&y, names[i], &n);
        for (size_t k = 0; k < n; k++) { // 1 / sqrt(2 L) = 1/2; float32 rounds both alike
            assert_true(b[k] == a[k] * (i < 2 ? 0.5F : 1.0F));
        }
        lorac_mem_free(a);
        lorac_mem_free(b);
    }
    close_model(&x);
    close_model(&y);
}

/* Whether the tensors that both have are equal; *n counts them. */
static bool same_tensors(size_t *n, const struct opened *x, const struct opened *y)
{
    bool same = true;
    *n = 0;
    for (size_t i = 0; i < lorac_checkpoint_count(x->m->files); i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(x->m->files, i);
        const struct lorac_tensor *u = lorac_checkpoint_find(y->m->files, t->name);
        if (!u) { continue; }
        (*n)++;
        same = same && t->n == u->n &&
               memcmp(t->data, u->data, lorac_dtype_bytes(t->dtype, t->n)) == 0;
    }
    return same;
}

static void a_number_depends_on_seed_name_and_place_alone(void **state)
{
    (void)state;
    static const char deeper[] =
        "{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 160, \"pad_token_id\": 3, "
        "\"hidden_size\": 32, \"num_hidden_layers\": 3, \"num_attention_heads\": 4, "
        "\"num_key_value_heads\": 2, \"intermediate_size\": 48, \"tie_word_embeddings\": true}";
    struct opened x;
    struct opened y;
    struct lorac_init_options seven = {.seed = 7};
    struct lorac_init_options shards = {.seed = 7, .shard_bytes = 20000};
    struct lorac_init_options eight = {.seed = 8};
    size_t n = 0;
    made(&x, "x", llama, &seven);
    assert_int_equal(lorac_checkpoint_shards(x.m->files), 1);
    made(&y, "y", llama, &shards);
    assert_int_equal(lorac_checkpoint_shards(y.m->files), 6);
    assert_true(lorac_path_exists(tiny_path("y/model-00006-of-00006.safetensors")));
    assert_true(same_tensors(&n, &x, &y));
    assert_int_equal(n, 21);
    assert_string_equal(x.m->fingerprint, y.m->fingerprint);
    close_model(&y);
    made(&y, "y", deeper, &seven);
    assert_true(same_tensors(&n, &x, &y));
    assert_int_equal(n, 20); // all but lm_head
    close_model(&y);
    made(&y, "y", llama, &eight);
    assert_false(same_tensors(&n, &x, &y));
    close_model(&y);
    close_model(&x);
}

static void the_configuration_is_completed(void **state)
{
    (void)state;
    static const char want[] = "{\n"
                               "  \"architectures\": [\n    \"LlamaForCausalLM\"\n  ],\n"
                               "  \"hidden_act\": \"silu\",\n"
                               "  \"hidden_size\": 32,\n"
                               "  \"initializer_range\": 0.02,\n"
                               "  \"intermediate_size\": 48,\n"
                               "  \"max_position_embeddings\": 2048,\n"
                               "  \"model_type\": \"llama\",\n"
                               "  \"num_attention_heads\": 4,\n"
                               "  \"num_hidden_layers\": 2,\n"
                               "  \"num_key_value_heads\": 2,\n"
                               "  \"pad_token_id\": 3,\n"
                               "  \"rms_norm_eps\": 1e-6,\n"
                               "  \"rope_theta\": 10000.0,\n"
                               "  \"tie_word_embeddings\": false,\n"
                               "  \"torch_dtype\": \"bfloat16\",\n"
                               "  \"use_cache\": true,\n"
                               "  \"vocab_size\": 160\n"
                               "}\n";
    struct lorac_init_options o = {.dtype = LORAC_BF16};
    struct lorac_err err = {0};
    size_t n = 0;
    assert_int_equal(make("m", llama, &o, &err), LORAC_OK);
    char *text = tiny_read(tiny_path("m/config.json"), &n);
    assert_string_equal(text, want);
    lorac_mem_free(text);
    assert_false(lorac_path_exists(tiny_path("m/generation_config.json")));
}

static void a_tokenizer_is_copied_and_gives_vocabulary_and_ids(void **state)
{
    (void)state;
    static const char config[] = "{\"architectures\": [\"LlamaForCausalLM\"], " SHAPE "}";
    static const char wider[] =
        "{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 320, " SHAPE "}";
    struct lorac_init_options o = {.tokenizer = bytes_dir};
    struct lorac_tokenizer *t = NULL;
    struct opened x;
    size_t n = 0;
    made(&x, "m", config, &o);
    assert_int_equal(x.m->config.V, 260);
    assert_int_equal(lorac_tokenizer_open(&t, tiny_path("m"), NULL), LORAC_OK);
    assert_int_equal(lorac_tokenizer_eos(t), 257);
    lorac_tokenizer_free(t);
    char *text = tiny_read(tiny_path("m/generation_config.json"), &n);
    assert_string_equal(text, "{\n  \"_from_model_config\": true,\n  \"bos_token_id\": 256,\n"
                              "  \"eos_token_id\": 257\n}\n");
    lorac_mem_free(text);
    close_model(&x);
    made(&x, "m", wider, &o); // rows for tokens that may come, or for alignment
    assert_int_equal(x.m->config.V, 320);
    close_model(&x);
}

static void settings_change_the_configuration_before_it_is_read(void **state)
{
    (void)state;
    static const char gpt2[] =
        "{\"architectures\": [\"GPT2LMHeadModel\"], \"vocab_size\": 160, " GPT2_SHAPE "}";
    static const char rope[] = "{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 160, "
                               "\"rope_parameters\": {\"rope_theta\": 1e4}, " SHAPE "}";
    const struct lorac_init_setting wider = {"hidden_size", "64"};
    const struct lorac_init_setting base = {"rope_theta", "5e3"};
    const struct lorac_init_setting none = {"vocab_size", NULL};
    struct lorac_init_options o = {.set = &wider, .n_set = 1};
    struct lorac_err err = {0};
    struct opened x;
    made(&x, "m", gpt2, &o); // where it is called n_embd
    assert_int_equal(x.m->config.C, 64);
    close_model(&x);
    o.set = &base;
    made(&x, "m", rope, &o);
    assert_true(x.m->config.theta == 5e3);
    close_model(&x);
    assert_int_equal(make("bad", gpt2, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text,
                        "rope_theta: has no effect: this architecture has nothing like it");
    o = (struct lorac_init_options){.set = &none, .n_set = 1, .tokenizer = bytes_dir};
    made(&x, "m", rope, &o); // the tokenizer's
    assert_int_equal(x.m->config.V, 260);
    close_model(&x);
}

static void what_cannot_be_is_refused_and_makes_no_folder(void **state)
{
    (void)state;
    static const struct {
        const char *config, *tokenizer, *want;
    } cases[] = {
        {"[]", NULL, "config.json: holds no JSON object"},
        {"{\"architectures\": [\"T5ForConditionalGeneration\"]}", NULL,
         "config.json: 'architectures' is T5ForConditionalGeneration; supported are "
         "LlamaForCausalLM, "
         "MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, Gemma3ForCausalLM, "
         "Gemma3ForConditionalGeneration, GPT2LMHeadModel, GPTNeoXForCausalLM, "
         "BertForMaskedLM, RobertaForMaskedLM, XLMRobertaForMaskedLM, "
         "DistilBertForMaskedLM, ModernBertForMaskedLM"},
        {"{\"architectures\": [\"LlamaForCausalLM\"], " SHAPE "}", NULL,
         "config.json: 'vocab_size' is missing, a whole number from 1 to 16777216 was expected"},
        {"{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 259, " SHAPE "}", bytes_dir,
         "config.json: vocab_size is 259, but the tokenizer in " LORAC_TESTS_DIR
         "/datasets/data/bytes has 260 tokens"},
        {"{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 67, \"pad_token_id\": "
         "67, " SHAPE "}",
         NULL, "config.json: 'pad_token_id' must be a whole number from 0 to 66, found 67"},
        {"{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 67, \"initializer_range\": "
         "0, " SHAPE "}",
         NULL, "config.json: 'initializer_range' must be above 0 and at most 1, found 0"},
        {"{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 9, \"hidden_size\": 30, "
         "\"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"intermediate_size\": 8}",
         NULL, "config.json: hidden_size (30) is no multiple of num_attention_heads (4)"},
        {"{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 9, \"hidden_size\": 32, "
         "\"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"num_key_value_heads\": 3, "
         "\"intermediate_size\": 8}",
         NULL, "config.json: num_attention_heads (4) is no multiple of num_key_value_heads (3)"},
        {"{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 9, \"hidden_size\": 28, "
         "\"num_hidden_layers\": 1, \"num_attention_heads\": 4, \"intermediate_size\": 8}",
         NULL, "config.json: the head size (7) must be even to rotate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_init_options o = {.tokenizer = cases[i].tokenizer};
        struct lorac_err err = {0};
        assert_int_not_equal(make("bad", cases[i].config, &o, &err), LORAC_OK);
        assert_string_equal(err.text, cases[i].want);
        assert_false(lorac_path_exists(tiny_path("bad")));
    }
}

static void a_folder_with_something_in_it_is_refused(void **state)
{
    (void)state;
    struct lorac_init_options o = {.seed = 1};
    struct lorac_err err = {0};
    assert_int_equal(make("full", llama, &o, &err), LORAC_OK);
    assert_int_equal(lorac_model_init(tiny_path("full"), llama, &o, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "/full: exists and is not an empty folder"));
}

static void failures_leave_nothing_behind(void **state)
{
    (void)state;
    static const char config[] = "{\"architectures\": [\"LlamaForCausalLM\"], " SHAPE "}";
    const struct lorac_init_setting set[] = {{"intermediate_size", "40"}};
    struct lorac_init_options o = {
        .set = set, .n_set = 1, .tokenizer = bytes_dir, .shard_bytes = 60000};
    assert_int_equal(lorac_dir_make(tiny_path("faults"), NULL), LORAC_OK);
    for (enum faults_kind kind = FAULTS_CALLS; kind < N_FAULTS; kind++) {
        long n = 0;
        long unnoticed = 0;
        for (;; n = faults_next(n, kind == FAULTS_FOREIGN ? 37 : 1)) {
            struct lorac_err err = {0};
            faults_start(kind, n);
            enum lorac_status st = lorac_model_init(tiny_path("faults/m"), config, &o, &err);
            const bool met = faults_stop();
            if (!met) { break; }
            if (st) {
                assert_int_equal(st, faults_status(kind));
                assert_true(err.text[0] != '\0');
            }
            unnoticed += !st;
            if (lorac_path_exists(
                    tiny_path("faults/m"))) { // only the last sync of the folder failed
                assert_int_equal(lorac_dir_remove(tiny_path("faults/m"), NULL), LORAC_OK);
            }
            assert_true(lorac_dir_is_empty(tiny_path("faults")));
        }
        assert_true(n > 20 && unnoticed < 3); // the value of a key that is there already
        assert_int_equal(lorac_dir_remove(tiny_path("faults/m"), NULL), LORAC_OK);
    }
}

static enum lorac_status make_model(void *self, struct lorac_err *err)
{
    static const char config[] = "{\"architectures\": [\"LlamaForCausalLM\"], " SHAPE "}";
    const struct lorac_init_options *o = self;
    return lorac_model_init(tiny_path("wrong/m"), config, o, err);
}

static void is_whole(void *self)
{
    (void)self;
    assert_true(lorac_path_exists(tiny_path("wrong/m/config.json")));
}

/* Tensors of one and of several blocks, in two files. */
static void another_byte_on_the_disk_is_found(void **state)
{
    (void)state;
    struct lorac_init_options o = {.tokenizer = bytes_dir, .shard_bytes = 60000};
    char *home = lorac_path_join(tiny_dir(), "wrong");
    char *out = lorac_path_join(home, "m");
    faults_wrong_bytes(&(struct faults_folder){home, out, make_model, is_whole, &o, 499});
    lorac_mem_free(home);
    lorac_mem_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_architecture_and_type_opens),
        cmocka_unit_test(heads_may_be_wider_than_the_model),
        cmocka_unit_test(matrices_are_normal_gains_one_and_the_padding_row_zero),
        cmocka_unit_test(residual_projections_can_be_scaled),
        cmocka_unit_test(a_number_depends_on_seed_name_and_place_alone),
        cmocka_unit_test(the_configuration_is_completed),
        cmocka_unit_test(a_tokenizer_is_copied_and_gives_vocabulary_and_ids),
        cmocka_unit_test(settings_change_the_configuration_before_it_is_read),
        cmocka_unit_test(what_cannot_be_is_refused_and_makes_no_folder),
        cmocka_unit_test(a_folder_with_something_in_it_is_refused),
        cmocka_unit_test(failures_leave_nothing_behind),
        cmocka_unit_test(another_byte_on_the_disk_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, tiny_remove);
}
