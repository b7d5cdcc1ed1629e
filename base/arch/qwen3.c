/*
 * qwen3.c - Qwen3ForCausalLM: a Llama whose queries and keys get a norm of their own, head by head,
 * before they are rotated (transformers models/qwen3/modeling_qwen3.py). A head's size is 128 where
 * the file does not say.
 */
#include "base/arch/arch.h"

static void defaults(struct lorac_config *c)
{
    c->D = 128;
    c->max_positions = 32768;
    c->window = 4096;
}

static enum lorac_status read(struct lorac_config *c, const struct lorac_json *root,
                              struct lorac_err *err)
{
    enum lorac_status st = lorac_json_bool(&c->qkv_bias, root, "attention_bias", false, err);
    c->o_bias = c->qkv_bias;
    return st ? st : lorac_config_qwen_window(c, root, err);
}

static const struct lorac_step front[] = {
    {OP_EMBED, {SLOT_X}, {0}, "model.embed_tokens", 0},
};
static const struct lorac_step layer[] = {
    {OP_NORM, {SLOT_N}, {SLOT_X}, "input_layernorm", 0},
    {OP_LINEAR, {SLOT_Q0}, {SLOT_N}, "self_attn.q_proj", BIAS_QKV},
    {OP_LINEAR, {SLOT_K0}, {SLOT_N}, "self_attn.k_proj", BIAS_QKV},
    {OP_LINEAR, {SLOT_V}, {SLOT_N}, "self_attn.v_proj", BIAS_QKV},
    {OP_NORM, {SLOT_Q}, {SLOT_Q0}, "self_attn.q_norm", NORM_HEADS},
    {OP_NORM, {SLOT_K}, {SLOT_K0}, "self_attn.k_norm", NORM_HEADS},
    {OP_ROPE, {SLOT_Q}, {SLOT_Q}, NULL, 0},
    {OP_ROPE, {SLOT_K}, {SLOT_K}, NULL, 0},
    {OP_ATTEND, {SLOT_A, SLOT_LSE}, {SLOT_Q, SLOT_K, SLOT_V}, NULL, 0},
    {OP_LINEAR, {SLOT_M}, {SLOT_A}, "self_attn.o_proj", BIAS_O},
    {OP_ADD, {SLOT_M}, {SLOT_M, SLOT_X}, NULL, 0},
    {OP_NORM, {SLOT_N2}, {SLOT_M}, "post_attention_layernorm", 0},
    {OP_LINEAR, {SLOT_G}, {SLOT_N2}, "mlp.gate_proj", 0},
    {OP_LINEAR, {SLOT_U}, {SLOT_N2}, "mlp.up_proj", 0},
    {OP_GATE, {SLOT_H}, {SLOT_G, SLOT_U}, NULL, 0},
    {OP_LINEAR, {SLOT_Y}, {SLOT_H}, "mlp.down_proj", 0},
    {OP_ADD, {SLOT_Y}, {SLOT_Y, SLOT_M}, NULL, 0},
};
static const struct lorac_program program = {"model.layers", LORAC_STEPS(front),
                                             LORAC_STEPS(layer)};

const struct lorac_arch lorac_arch_qwen3 = {
    .name = "Qwen3ForCausalLM",
    .type = "qwen3",
    .family = "Qwen3",
    .defaults = defaults,
    .read = read,
    .program = &program,
    .heads = LORAC_DECODER_HEADS("model.norm", "score", "score"),
    .keys = &lorac_keys_llama,
    .renames = lorac_renames_llama,
};
