/* arch_llama.c - LlamaForCausalLM: Llama 1, 2, 3, SmolLM2, TinyLlama and kin. */
#include "base/arch/arch.h"

static void defaults(struct lorac_config *c)
{
    c->max_positions = 2048;
}

static enum lorac_status read(struct lorac_config *c, const struct lorac_json *root,
                              struct lorac_err *err)
{
    bool attention = false;
    enum lorac_status st = lorac_json_bool(&attention, root, "attention_bias", false, err);
    if (!st) { st = lorac_json_bool(&c->mlp_bias, root, "mlp_bias", false, err); }
    c->qkv_bias = c->o_bias = attention;
    return st;
}

static const struct lorac_step front[] = {
    {OP_EMBED, {SLOT_X}, {0}, "model.embed_tokens", 0},
};
static const struct lorac_step layer[] = {
    {OP_NORM, {SLOT_N}, {SLOT_X}, "input_layernorm", 0},
    {OP_LINEAR, {SLOT_Q}, {SLOT_N}, "self_attn.q_proj", BIAS_QKV},
    {OP_LINEAR, {SLOT_K}, {SLOT_N}, "self_attn.k_proj", BIAS_QKV},
    {OP_LINEAR, {SLOT_V}, {SLOT_N}, "self_attn.v_proj", BIAS_QKV},
    {OP_ROPE, {SLOT_Q}, {SLOT_Q}, NULL, 0},
    {OP_ROPE, {SLOT_K}, {SLOT_K}, NULL, 0},
    {OP_ATTEND, {SLOT_A, SLOT_LSE}, {SLOT_Q, SLOT_K, SLOT_V}, NULL, 0},
    {OP_LINEAR, {SLOT_M}, {SLOT_A}, "self_attn.o_proj", BIAS_O},
    {OP_ADD, {SLOT_M}, {SLOT_M, SLOT_X}, NULL, 0},
    {OP_NORM, {SLOT_N2}, {SLOT_M}, "post_attention_layernorm", 0},
    {OP_LINEAR, {SLOT_G}, {SLOT_N2}, "mlp.gate_proj", BIAS_MLP},
    {OP_LINEAR, {SLOT_U}, {SLOT_N2}, "mlp.up_proj", BIAS_MLP},
    {OP_GATE, {SLOT_H}, {SLOT_G, SLOT_U}, NULL, 0},
    {OP_LINEAR, {SLOT_Y}, {SLOT_H}, "mlp.down_proj", BIAS_MLP},
    {OP_ADD, {SLOT_Y}, {SLOT_Y, SLOT_M}, NULL, 0},
};
const struct lorac_config_keys lorac_keys_llama = {
    .C = "hidden_size",
    .L = "num_hidden_layers",
    .H = "num_attention_heads",
    .F = "intermediate_size",
    .positions = "max_position_embeddings",
    .eps = "rms_norm_eps",
    .act = "hidden_act",
    .G = "num_key_value_heads",
    .D = "head_dim",
    .theta = "rope_theta",
};
const struct lorac_rename lorac_renames_llama[] = {{"model.", ""}, {NULL, NULL}};
const struct lorac_program lorac_program_llama = {"model.layers", LORAC_STEPS(front),
                                                  LORAC_STEPS(layer)};

const struct lorac_arch lorac_arch_llama = {
    .name = "LlamaForCausalLM",
    .type = "llama",
    .family = "Llama",
    .defaults = defaults,
    .read = read,
    .program = &lorac_program_llama,
    .heads = LORAC_DECODER_HEADS("model.norm", "score", "score"),
    .keys = &lorac_keys_llama,
    .renames = lorac_renames_llama,
};
