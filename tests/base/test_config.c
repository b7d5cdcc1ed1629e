/*
 * config.json. What is promised:
 *   - both spellings of the rotary settings, and the defaults of each architecture's class in
 *     transformers;
 *   - whatever is damaged, of the wrong type, out of range or not supported is refused with the
 *     file, the key, what was found and what was expected;
 *   - the canonical text differs when anything that changes the mathematics does;
 *   - rotary tables are those of transformers' formulas.
 */
#include "base/config_json.h"
#include "base/core/buf.h"
#include "base/core/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A whole configuration; each test replaces a part of it. */
static const char good[] = "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 32, "
                           "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, "
                           "\"num_key_value_heads\": 2, \"intermediate_size\": 48, "
                           "\"vocab_size\": 67, \"rms_norm_eps\": 1e-5, \"hidden_act\": \"silu\"}";

/* `good` with the first `find` replaced by `replace`; at the end where `find` is "}". */
static enum lorac_status read_with(struct lorac_config *c, const char *find, const char *replace,
                                   struct lorac_err *err)
{
    char text[2048];
    const char *at = strcmp(find, "}") == 0 ? strrchr(good, '}') : strstr(good, find);
    struct lorac_json root = {0};
    assert_non_null(at);
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, replace,
                   at + strlen(find));
    enum lorac_status st = lorac_json_parse(&root, text, strlen(text), "config.json", err);
    if (!st) { st = lorac_config_read(c, &root, err); }
    lorac_json_free(&root);
    return st;
}

#define KNOWN                                                                                  \
    "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, "               \
    "Gemma3ForCausalLM, Gemma3ForConditionalGeneration, GPT2LMHeadModel, GPTNeoXForCausalLM, " \
    "BertForMaskedLM, RobertaForMaskedLM, XLMRobertaForMaskedLM, "                             \
    "DistilBertForMaskedLM, ModernBertForMaskedLM"
static const struct {
    const char *find, *replace, *want;
} damages[] = {
    {"\"hidden_size\": 32, ", "",
     "config.json: 'hidden_size' is missing, a whole number from 1 to 1048576 was expected"},
    {"\"num_hidden_layers\": 2, ", "",
     "config.json: 'num_hidden_layers' is missing, a whole number from 1 to 1024 was expected"},
    {"\"num_attention_heads\": 4, ", "",
     "config.json: 'num_attention_heads' is missing, a whole number from 1 to 4096 was expected"},
    {"\"intermediate_size\": 48, ", "",
     "config.json: 'intermediate_size' is missing, a whole number from 1 to 1048576 was expected"},
    {"\"vocab_size\": 67, ", "",
     "config.json: 'vocab_size' is missing, a whole number from 1 to 16777216 was expected"},
    {"\"architectures\": [\"LlamaForCausalLM\"], ", "",
     "config.json: 'architectures' is missing, a list of one architecture's name, or model_type "
     "the one that counts was expected"},
    {"\"architectures\": [\"LlamaForCausalLM\"], ", "\"model_type\": \"t5\", ",
     "config.json: 'model_type' is t5; supported are " KNOWN},
    {"\"architectures\": [\"LlamaForCausalLM\"], ", "\"model_type\": 7, ",
     "config.json: 'model_type' must be text, found 7"},
    {"[\"LlamaForCausalLM\"]", "[]",
     "config.json: 'architectures' must be a list of one architecture's name, or model_type the "
     "one that counts, found []"},
    {"[\"LlamaForCausalLM\"]", "[\"LlamaForCausalLM\", \"MistralForCausalLM\"]",
     "config.json: 'architectures' must be a list of one architecture's name, or model_type the "
     "one that counts, found [\"LlamaForCausalLM\",\"MistralForCausalLM\"..."},
    {"[\"LlamaForCausalLM\"]", "[\"LlamaForCausalLM\"], \"model_type\": \"mistral\"",
     "config.json: 'architectures' is LlamaForCausalLM, but 'model_type' is mistral: expected the "
     "same model in both"},
    {"[\"LlamaForCausalLM\"]", "[\"LlamaForQuestionAnswering\"], \"model_type\": \"llama\"",
     "config.json: 'architectures' is LlamaForQuestionAnswering; supported are " KNOWN},
    {"[\"LlamaForCausalLM\"]", "[\"OwnForCausalLM\"], \"model_type\": \"llama\", \"auto_map\": {}",
     "config.json: 'architectures' is OwnForCausalLM; supported are " KNOWN},
    {"[\"LlamaForCausalLM\"]", "{\"LlamaForCausalLM\": 1}",
     "config.json: 'architectures' must be a list of architectures' names, found "
     "{\"LlamaForCausalLM\":1}"},
    {"[\"LlamaForCausalLM\"]", "[7]",
     "config.json: 'architectures' must be a list of architectures' names, found [7]"},
    {"LlamaForCausalLM", "T5ForConditionalGeneration",
     "config.json: 'architectures' is T5ForConditionalGeneration; supported are " KNOWN},
    {"\"hidden_size\": 32", "\"hidden_size\": 0",
     "config.json: 'hidden_size' must be a whole number from 1 to 1048576, found 0"},
    {"\"hidden_size\": 32", "\"hidden_size\": -32",
     "config.json: 'hidden_size' must be a whole number from 1 to 1048576, found -32"},
    {"\"hidden_size\": 32", "\"hidden_size\": 32.0",
     "config.json: 'hidden_size' must be a whole number from 1 to 1048576, found 32.0"},
    {"\"hidden_size\": 32", "\"hidden_size\": \"32\"",
     "config.json: 'hidden_size' must be a whole number from 1 to 1048576, found \"32\""},
    {"\"hidden_size\": 32", "\"hidden_size\": null",
     "config.json: 'hidden_size' is missing, a whole number from 1 to 1048576 was expected"},
    {"\"hidden_size\": 32", "\"hidden_size\": [32]",
     "config.json: 'hidden_size' must be a whole number from 1 to 1048576, found [32]"},
    {"\"hidden_size\": 32", "\"hidden_size\": 9223372036854775807",
     "config.json: 'hidden_size' must be a whole number from 1 to 1048576, found "
     "9223372036854775807"},
    {"\"hidden_size\": 32", "\"hidden_size\": 92233720368547758070",
     "config.json:1:75: not valid JSON: too big integer near '92233720368547758070'"},
    {"\"hidden_size\": 32", "\"hidden_size\": 30",
     "config.json: hidden_size (30) is no multiple of num_attention_heads (4)"},
    {"\"hidden_size\": 32", "\"hidden_size\": 28",
     "config.json: the head size (7) must be even to rotate"},
    {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1025",
     "config.json: 'num_hidden_layers' must be a whole number from 1 to 1024, found 1025"},
    {"\"num_attention_heads\": 4", "\"num_attention_heads\": 5000",
     "config.json: 'num_attention_heads' must be a whole number from 1 to 4096, found 5000"},
    {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3",
     "config.json: num_attention_heads (4) is no multiple of num_key_value_heads (3)"},
    {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 8",
     "config.json: 'num_key_value_heads' must be a whole number from 1 to 4, found 8"},
    {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 0",
     "config.json: 'num_key_value_heads' must be a whole number from 1 to 4, found 0"},
    {"\"vocab_size\": 67", "\"vocab_size\": 16777217",
     "config.json: 'vocab_size' must be a whole number from 1 to 16777216, found 16777217"},
    {"}", ", \"head_dim\": 7}", "config.json: the head size (7) must be even to rotate"},
    {"}", ", \"head_dim\": 1}",
     "config.json: 'head_dim' must be a whole number from 2 to 1024, found 1"},
    {"}", ", \"max_position_embeddings\": 0}",
     "config.json: 'max_position_embeddings' must be a whole number from 1 to 268435456, found 0"},
    {"1e-5", "0", "config.json: 'rms_norm_eps' must be above 0 and below 1, found 0"},
    {"1e-5", "-1e-5",
     "config.json: 'rms_norm_eps' must be above 0 and below 1, found -1.0000000000000001e-5"},
    {"1e-5", "\"1e-5\"", "config.json: 'rms_norm_eps' must be a number, found \"1e-5\""},
    {"\"silu\"", "\"relu6\"",
     "config.json: 'hidden_act' must be silu, gelu, gelu_new, gelu_pytorch_tanh or relu, found "
     "\"relu6\""},
    {"\"silu\"", "3", "config.json: 'hidden_act' must be text, found 3"},
    {"}", ", \"tie_word_embeddings\": 1}",
     "config.json: 'tie_word_embeddings' must be true or false, found 1"},
    {"}", ", \"attention_bias\": \"no\"}",
     "config.json: 'attention_bias' must be true or false, found \"no\""},
    {"}", ", \"mlp_bias\": 0}", "config.json: 'mlp_bias' must be true or false, found 0"},
    {"}", ", \"rope_theta\": 1}", "config.json: 'rope_theta' must be above 1, found 1"},
    {"}", ", \"rope_theta\": \"10000\"}",
     "config.json: 'rope_theta' must be a number, found \"10000\""},
    {"}", ", \"rope_theta\": 0.5, \"rope_scaling\": {\"type\": \"default\"}}",
     "config.json: 'rope_theta' must be above 1, found 0.5"},
    {"}", ", \"rope_scaling\": \"linear\"}",
     "config.json: 'rope_scaling' must be an object, found \"linear\""},
    {"}", ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0}}",
     "config.json: 'rope_scaling.type' must be default, linear or llama3 (others are not "
     "supported), found \"yarn\""},
    {"}", ", \"rope_parameters\": {\"rope_type\": \"dynamic\", \"factor\": 4.0}}",
     "config.json: 'rope_parameters.rope_type' must be default, linear or llama3 (others are not "
     "supported), found \"dynamic\""},
    {"}", ", \"rope_scaling\": {\"type\": \"linear\"}}",
     "config.json: 'rope_scaling.factor' is missing, a number was expected"},
    {"}", ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 0.5}}",
     "config.json: 'rope_scaling.factor' must be at least 1, found 0.5"},
    {"}", ", \"rope_scaling\": {\"type\": 4, \"factor\": 2}}",
     "config.json: 'rope_scaling.type' must be text, found 4"},
    {"}", ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8}}",
     "config.json: 'rope_scaling.low_freq_factor' is missing, a number was expected"},
    {"}",
     ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, "
     "\"high_freq_factor\": 1, \"original_max_position_embeddings\": 64}}",
     "config.json: 'rope_scaling' must be 0 < low_freq_factor < high_freq_factor and original "
     "positions > 0, found {\"rope_type\":\"llama3\",\"factor\":8,\"low_fr..."},
    {"}", ", \"rope_parameters\": {\"full_attention\": {\"rope_theta\": 5}}}",
     "config.json: 'rope_parameters.full_attention' must be a number or text (settings by layer "
     "are not supported), found {\"rope_theta\":5}"},
    {"}", ", \"rope_parameters\": {\"rope_theta\": 5}, \"rope_scaling\": {\"type\": \"yarn\"}}",
     "config.json: 'rope_scaling' must be absent beside rope_parameters, or say the same, found "
     "{\"type\":\"yarn\"}"},
    {"}", ", \"quantization_config\": {\"bits\": 4}}",
     "config.json: 'quantization_config' says that the weights are quantised (no method is named, "
     "4 bits), which is not supported; take the model that they were made from"},
    {"}", ", \"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 8}}",
     "config.json: 'quantization_config' says that the weights are quantised (gptq, 8 bits), which "
     "is not supported; take the model that they were made from"},
    {"}",
     ", \"quantization_config\": {\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": true}}",
     "config.json: 'quantization_config' says that the weights are quantised (bitsandbytes, 4 "
     "bits), which is not supported; take the model that they were made from, or, in that folder, "
     "python -c \"from transformers import AutoModelForCausalLM as M; "
     "M.from_pretrained('.').dequantize().save_pretrained('../float')\""},
    {"}",
     ", \"quantization\": {\"group_size\": 64, \"bits\": 4}, \"quantization_config\": {\"bits\": "
     "4}}",
     "config.json: 'quantization' says that the weights are quantised (mlx, 4 bits), which is not "
     "supported; take the model that they were made from, or, in that folder, mlx_lm.convert "
     "--hf-path . --mlx-path ../float --dequantize"},
    {"}", ", \"partial_rotary_factor\": 0.5}",
     "config.json: 'partial_rotary_factor' must be absent (not supported), found 0.5"},
    {"}", ", \"rope_parameters\": {\"partial_rotary_factor\": 0.5}}",
     "config.json: 'rope_parameters.partial_rotary_factor' must be absent (not supported), found "
     "0.5"},
    {"}", ", \"final_logit_softcapping\": 30.0}",
     "config.json: 'final_logit_softcapping' must be absent (not supported), found 30.0"},
    {"}", ", \"attn_logit_softcapping\": 1.0}",
     "config.json: 'attn_logit_softcapping' must be absent (not supported), found 1.0"},
    {"}", ", \"num_local_experts\": 8}",
     "config.json: 'num_local_experts' must be absent (not supported), found 8"},
    {"}", ", \"hidden_size\": 32}",
     "config.json:1:235: not valid JSON: duplicate object key near '\"hidden_size\"'"},
    {"}", "", "config.json:1:220: not valid JSON: '}' expected near end of file"},
    {"}", "} {}", "config.json:1:223: not valid JSON: end of file expected near '{'"},
};

static void damaged_configurations_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct lorac_config c;
        struct lorac_err err = {0};
        enum lorac_status st = read_with(&c, damages[i].find, damages[i].replace, &err);
        if (!st) { fail_msg("'%s' was accepted", damages[i].replace); }
        assert_true(st == LORAC_EFORMAT || st == LORAC_ENOTSUP);
        assert_string_equal(err.text, damages[i].want);
    }
}

static void what_is_no_object_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"[]", "7", "\"config\"", "null"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct lorac_config c;
        struct lorac_json root = {0};
        struct lorac_err err = {0};
        assert_int_equal(lorac_json_parse(&root, texts[i], strlen(texts[i]), "config.json", &err),
                         LORAC_OK);
        assert_int_equal(lorac_config_read(&c, &root, &err), LORAC_EFORMAT);
        assert_string_equal(err.text, "config.json: holds no JSON object");
        lorac_json_free(&root);
    }
}

/* ---- what is accepted ---- */

static struct lorac_config well(const char *find, const char *replace)
{
    struct lorac_config c;
    struct lorac_err err = {0};
    if (read_with(&c, find, replace, &err)) { fail_msg("%s", err.text); }
    return c;
}

static void absent_keys_have_the_defaults_of_the_class(void **state)
{
    (void)state;
    struct lorac_config c = well("\"num_key_value_heads\": 2, ", "");
    assert_true(c.C == 32 && c.L == 2 && c.H == 4 && c.G == 4 && c.D == 8 && c.F == 48 &&
                c.V == 67);
    assert_true(c.max_positions == 2048 && c.theta == 10000.0 && c.rope == LORAC_ROPE_DEFAULT);
    assert_true(!c.tie && !c.qkv_bias && !c.o_bias && !c.mlp_bias && c.window == 0);
    assert_true(c.eps == 1e-5 && c.act == LORAC_SILU);
    c = well("\"num_key_value_heads\": 2", "\"num_key_value_heads\": null, \"head_dim\": 12");
    assert_true(c.G == 4 && c.D == 12);
    c = well("LlamaForCausalLM", "MistralForCausalLM");
    assert_true(c.window == 4096 && c.sliding[0] && c.sliding[1] && c.max_positions == 131072);
    c = well("LlamaForCausalLM", "Qwen2ForCausalLM");
    assert_true(c.window == 0 && !c.sliding[0] && c.qkv_bias && !c.o_bias);
    assert_true(c.max_positions == 32768);
    c = well("LlamaForCausalLM", "Qwen3ForCausalLM");
    assert_true(c.D == 128 && c.window == 0 && !c.qkv_bias && !c.o_bias && c.norm_plus == 0.0);
    c = well("\"silu\"", "\"gelu_pytorch_tanh\"");
    assert_int_equal(c.act, LORAC_GELU_TANH);
    c = well("\"silu\"", "\"gelu\"");
    assert_int_equal(c.act, LORAC_GELU);
    c = well("}", ", \"attention_bias\": true, \"mlp_bias\": true, \"tie_word_embeddings\": true}");
    assert_true(c.qkv_bias && c.o_bias && c.mlp_bias && c.tie);
}

/* A whole file instead of a changed one. */
static enum lorac_status read_text(struct lorac_config *c, const char *text, struct lorac_err *err)
{
    struct lorac_json root = {0};
    assert_int_equal(lorac_json_parse(&root, text, strlen(text), "config.json", err), LORAC_OK);
    enum lorac_status st = lorac_config_read(c, &root, err);
    lorac_json_free(&root);
    return st;
}

static void gemma3_has_the_defaults_of_its_class(void **state)
{
    (void)state;
    static const char *const both[] = {"{\"model_type\": \"gemma3_text\"}",
                                       "{\"model_type\": \"gemma3\", \"text_config\": {}, "
                                       "\"vision_config\": {\"hidden_size\": 4}}"};
    for (size_t i = 0; i < 2; i++) {
        struct lorac_config c;
        struct lorac_err err = {0};
        if (read_text(&c, both[i], &err)) { fail_msg("%s", err.text); }
        assert_true(c.C == 2304 && c.L == 26 && c.H == 8 && c.G == 4 && c.D == 256 && c.F == 9216);
        assert_true(c.V == 262208 && c.max_positions == 131072 && c.tie);
        assert_true(!c.qkv_bias && !c.o_bias && !c.mlp_bias);
        assert_true(c.act == LORAC_GELU_TANH && c.window == 4096 && c.norm_plus == 1.0);
        assert_true(c.theta == 1e6 && c.theta_sliding == 1e4 && c.scale == 1.0 / 16.0);
        assert_true(c.embed_scale == sqrt(2304.0) && c.pad == 0 + 1);
        assert_true(c.sliding[0] && c.sliding[4] && !c.sliding[5] && c.sliding[6] &&
                    !c.sliding[11]);
    }
}

static void gemma3s_attention_has_biases_where_it_says_so(void **state)
{
    (void)state;
    struct lorac_config c;
    struct lorac_err err = {0};
    if (read_text(&c, "{\"model_type\": \"gemma3_text\", \"attention_bias\": true}", &err)) {
        fail_msg("%s", err.text);
    }
    assert_true(c.qkv_bias && c.o_bias && !c.mlp_bias);
}

static void gemma3_has_a_rotary_base_for_each_kind_of_layer(void **state)
{
    (void)state;
    struct lorac_config c;
    struct lorac_err err = {0};
#define GEMMA "{\"model_type\": \"gemma3_text\", "
    if (read_text(&c,
                  GEMMA "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"linear\", "
                        "\"factor\": 8, \"rope_theta\": 5}, \"sliding_attention\": "
                        "{\"rope_theta\": 7}}, \"sliding_window_pattern\": 2}",
                  &err)) {
        fail_msg("%s", err.text);
    }
    assert_true(c.theta == 5.0 && c.theta_sliding == 7.0 && c.factor == 8.0);
    assert_true(c.sliding[0] && !c.sliding[1]);
    static const char *const wrong[][2] = {
        {GEMMA "\"use_bidirectional_attention\": true}",
         "config.json: 'use_bidirectional_attention' must be false (attention both ways is not "
         "supported), found true"},
        {GEMMA "\"query_pre_attn_scalar\": 0}",
         "config.json: 'query_pre_attn_scalar' must be above 0, found 0"},
        {GEMMA "\"rope_local_base_freq\": 1}", "config.json: 'rope_local_base_freq' must be a "
                                               "rotary base above 1 where layers slide, found 1"},
        {GEMMA "\"sliding_window_pattern\": 0}",
         "config.json: 'sliding_window_pattern' must be a whole number from 1 to 1024, found 0"},
        {GEMMA "\"rope_parameters\": {\"sliding_attention\": {\"rope_type\": \"linear\"}}}",
         "config.json: 'rope_parameters.sliding_attention.rope_type' must be default (others are "
         "not "
         "supported where layers slide), found \"linear\""},
        {GEMMA "\"rope_parameters\": {\"sliding_attention\": {}, \"rope_theta\": 5}}",
         "config.json: 'rope_parameters' must be full_attention and sliding_attention alone, found "
         "{\"sliding_attention\":{},\"rope_theta\":5}"},
        {GEMMA "\"final_logit_softcapping\": 30.0}",
         "config.json: 'final_logit_softcapping' must be absent (not supported), found 30.0"},
        {"{\"model_type\": \"gemma3\"}",
         "config.json: 'text_config' is missing, an object was expected"},
        {"{\"model_type\": \"gemma3\", \"text_config\": {\"hidden_size\": 0}}",
         "config.json: 'text_config.hidden_size' must be a whole number from 1 to 1048576, found "
         "0"},
    };
#undef GEMMA
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(read_text(&c, wrong[i][0], &err), LORAC_EFORMAT);
        assert_string_equal(err.text, wrong[i][1]);
    }
}

static void model_type_says_what_architectures_leaves_open(void **state)
{
    (void)state;
    static const char *const same[] = {
        "\"model_type\": \"mistral\"",
        "\"architectures\": null, \"model_type\": \"mistral\"",
        "\"architectures\": [], \"model_type\": \"mistral\"",
        "\"architectures\": \"MistralForCausalLM\"",
        "\"architectures\": [\"MistralForCausalLM\", \"MistralForSequenceClassification\"]",
        ("\"architectures\": [\"LlamaForCausalLM\", \"MistralForCausalLM\"], "
         "\"model_type\": \"mistral\""),
        "\"architectures\": [\"MISTRALForCausalLM\"]",
        "\"architectures\": [\"TunedForCausalLM\"], \"model_type\": \"mistral\"",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct lorac_config c = well("\"architectures\": [\"LlamaForCausalLM\"]", same[i]);
        assert_string_equal(c.arch, "MistralForCausalLM");
    }
}

static void windows_are_read_as_each_architecture_means_them(void **state)
{
    (void)state;
    struct lorac_config c =
        well("LlamaForCausalLM\"]", "MistralForCausalLM\"], \"sliding_window\": 5");
    assert_true(c.window == 5 && c.sliding[0] && c.sliding[1]);
    c = well("LlamaForCausalLM\"]", "MistralForCausalLM\"], \"sliding_window\": null");
    assert_true(c.window == 0 && !c.sliding[0]);
    c = well("LlamaForCausalLM\"]", "Qwen2ForCausalLM\"], \"sliding_window\": 5, "
                                    "\"use_sliding_window\": false");
    assert_true(c.window == 0 && !c.sliding[1]);
    c = well("LlamaForCausalLM\"]", "Qwen2ForCausalLM\"], \"sliding_window\": 5, "
                                    "\"use_sliding_window\": true, \"max_window_layers\": 1");
    assert_true(c.window == 5 && !c.sliding[0] && c.sliding[1]);
    c = well("LlamaForCausalLM\"]",
             "Qwen2ForCausalLM\"], \"sliding_window\": 5, \"use_sliding_window\": true, "
             "\"layer_types\": [\"sliding_attention\", \"full_attention\"]");
    assert_true(c.sliding[0] && !c.sliding[1]);
    struct lorac_err err = {0};
    assert_int_equal(read_with(&c, "LlamaForCausalLM\"]",
                               "Qwen2ForCausalLM\"], \"layer_types\": [\"full_attention\"]", &err),
                     LORAC_EFORMAT);
    assert_string_equal(err.text,
                        "config.json: 'layer_types' must be a list with one type a layer, found "
                        "[\"full_attention\"]");
    assert_int_equal(read_with(&c, "LlamaForCausalLM\"]",
                               "Qwen2ForCausalLM\"], \"layer_types\": [\"full_attention\", 3]",
                               &err),
                     LORAC_EFORMAT);
    assert_string_equal(err.text, "config.json: 'layer_types[1]' must be \"full_attention\" or "
                                  "\"sliding_attention\", found 3");
}

static void both_spellings_of_rotary_settings_are_read(void **state)
{
    (void)state;
    static const char *const same[] = {
        ", \"rope_theta\": 500000.0, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": "
        "8.0, "
        "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
        "\"original_max_position_embeddings\": 8192}}",
        ", \"rope_parameters\": {\"rope_theta\": 500000, \"rope_type\": \"llama3\", \"factor\": 8, "
        "\"low_freq_factor\": 1, \"high_freq_factor\": 4, "
        "\"original_max_position_embeddings\": 8192}}",
    };
    for (size_t i = 0; i < 2; i++) {
        struct lorac_config c = well("}", same[i]);
        assert_true(c.rope == LORAC_ROPE_LLAMA3 && c.theta == 500000.0 && c.factor == 8.0);
        assert_true(c.low_freq_factor == 1.0 && c.high_freq_factor == 4.0);
        assert_true(c.original_positions == 8192.0);
    }
    struct lorac_config c =
        well("}", ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}}");
    assert_true(c.rope == LORAC_ROPE_LINEAR && c.factor == 4.0 && c.theta == 10000.0);
    c = well("}",
             ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}, \"rope_parameters\": "
             "{\"rope_type\": \"linear\", \"factor\": 4.0, \"rope_theta\": 7}}");
    assert_true(c.rope == LORAC_ROPE_LINEAR && c.factor == 4.0 && c.theta == 7.0);
    c = well("}", ", \"rope_scaling\": null}");
    assert_int_equal(c.rope, LORAC_ROPE_DEFAULT);
}

/* ---- text and table ---- */

static void the_text_differs_where_the_mathematics_does(void **state)
{
    (void)state;
    static const char *const changes[][2] = {
        {"good", ""},
        {"LlamaForCausalLM", "Qwen2ForCausalLM"},
        {"\"hidden_size\": 32", "\"hidden_size\": 64"},
        {"\"num_attention_heads\": 4", "\"num_attention_heads\": 2"},
        {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4"},
        {"1e-5", "1e-6"},
        {"\"silu\"", "\"gelu\""},
        {"\"silu\"", "\"gelu_new\""},
        {"}", ", \"tie_word_embeddings\": true}"},
        {"}", ", \"attention_bias\": true}"},
        {"}", ", \"mlp_bias\": true}"},
        {"}", ", \"rope_theta\": 5000}"},
        {"}", ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4.0}}"},
        {"}", ", \"head_dim\": 16}"},
    };
    enum { N = sizeof changes / sizeof *changes };
    char *texts[N];
    for (size_t i = 0; i < N; i++) {
        struct lorac_buf b = {0};
        struct lorac_config c = i ? well(changes[i][0], changes[i][1]) : well("}", "}");
        lorac_config_text(&b, &c);
        assert_null(strchr(b.at, '\n'));
        texts[i] = b.at;
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(texts[i], texts[j]);
        }
    }
    for (size_t i = 0; i < N; i++) {
        lorac_mem_free(texts[i]);
    }
}

/* The fingerprint of a base is of this text: adapters that exist name their base by it. */
static void the_text_stays_as_it_is(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    struct lorac_config c =
        well("}", ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.5}}");
    lorac_config_text(&b, &c);
    assert_string_equal(
        b.at, "LlamaForCausalLM C=32 L=2 H=4 G=2 D=8 F=48 V=67 eps=1e-05 act=0 tie=0 bias=000 "
              "window=0:ff rope=1 theta=10000 factor=2.5 low=0 high=0 original=0");
    lorac_buf_free(&b);
}

/* Frequency i at position 1 of the table, as an angle. */
static double angle(const struct lorac_config *c, size_t i)
{
    float table[2 * 64];
    assert_true(c->D <= 64);
    lorac_rope_table(table, c, 2, false);
    assert_true(table[i] == 1.0F && table[c->D / 2 + i] == 0.0F); // position 0
    return atan2((double)table[c->D + c->D / 2 + i], (double)table[c->D + i]);
}

static void rotary_frequencies_are_those_of_transformers(void **state)
{
    (void)state;
    struct lorac_config c = well("}", ", \"head_dim\": 8, \"rope_theta\": 10000}");
    for (size_t i = 0; i < 4; i++) {
        assert_true(fabs(angle(&c, i) - pow(10.0, -(double)i)) < 1e-7);
    }
    c = well("}", ", \"head_dim\": 8, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}}");
    assert_true(fabs(angle(&c, 0) - 0.25) < 1e-7 && fabs(angle(&c, 2) - 0.0025) < 1e-8);
    // llama3: wave lengths 6.3, 63, 628, 6283 against 64/1 and 64/4 = 16: kept, blended, divided,
    // divided
    c = well("}", ", \"head_dim\": 8, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
                  "\"low_freq_factor\": 1, \"high_freq_factor\": 4, "
                  "\"original_max_position_embeddings\": 64}}");
    double smooth = (64.0 * 0.1 / 6.283185307179586 - 1.0) / 3.0;
    assert_true(fabs(angle(&c, 0) - 1.0) < 1e-7);
    assert_true(fabs(angle(&c, 1) - ((1.0 - smooth) * 0.1 / 8.0 + smooth * 0.1)) < 1e-8);
    assert_true(fabs(angle(&c, 2) - 0.01 / 8.0) < 1e-9);
    assert_true(fabs(angle(&c, 3) - 0.001 / 8.0) < 1e-10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_configurations_are_refused_by_name),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(absent_keys_have_the_defaults_of_the_class),
        cmocka_unit_test(gemma3_has_the_defaults_of_its_class),
        cmocka_unit_test(gemma3s_attention_has_biases_where_it_says_so),
        cmocka_unit_test(gemma3_has_a_rotary_base_for_each_kind_of_layer),
        cmocka_unit_test(model_type_says_what_architectures_leaves_open),
        cmocka_unit_test(windows_are_read_as_each_architecture_means_them),
        cmocka_unit_test(both_spellings_of_rotary_settings_are_read),
        cmocka_unit_test(the_text_differs_where_the_mathematics_does),
        cmocka_unit_test(the_text_stays_as_it_is),
        cmocka_unit_test(rotary_frequencies_are_those_of_transformers),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
