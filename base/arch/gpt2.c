/*
 * gpt2.c - GPT2LMHeadModel: learned positions, LayerNorms, q, k and v in one weight, a feed-forward
 * without a gate (transformers models/gpt2/modeling_gpt2.py). Its Conv1D stores weights as (C,OC).
 * The first published files name modules without "transformer." and carry the causal mask.
 */
#include "base/arch/arch.h"

static void defaults(struct lorac_config *c)
{
    c->C = 768;
    c->L = 12;
    c->H = 12;
    c->V = 50257;
    c->F = 1; // n_inner: 4 C where it isn't given
    c->max_positions = 1024;
    c->eps = 1e-5;
    c->act = LORAC_GELU_TANH;
    c->tie = true;
    c->layernorm = true;
    c->qkv_bias = c->o_bias = c->mlp_bias = true;
}

static enum lorac_status read(struct lorac_config *c, const struct lorac_json *root,
                              struct lorac_err *err)
{
    bool scaled = true;
    bool cross = false;
    enum lorac_status st =
        lorac_json_bool(&c->scale_by_layer, root, "scale_attn_by_inverse_layer_idx", false, err);
    if (!st) { st = lorac_json_bool(&scaled, root, "scale_attn_weights", false, err); }
    if (!st) { st = lorac_json_bool(&cross, root, "add_cross_attention", false, err); }
    if (!st && cross) {
        struct lorac_json at = lorac_json_get(root, "add_cross_attention");
        st = lorac_json_fail(&at, "false (there is no second text to attend to)", err);
    }
    if (!lorac_json_get(root, "n_inner").value) { c->F = 4 * c->C; }
    c->scale = scaled ? 0.0 : 1.0;
    c->rotary = 0;
    return st;
}

static const struct lorac_step front[] = {
    {OP_EMBED, {SLOT_X}, {0}, "transformer.wte", 0},
    {OP_EMBED, {SLOT_N}, {0}, "transformer.wpe", EMBED_POSITIONS},
    {OP_ADD, {SLOT_X}, {SLOT_X, SLOT_N}, NULL, 0},
};
static const struct lorac_step layer[] = {
    {OP_NORM, {SLOT_N}, {SLOT_X}, "ln_1", 0},
    {OP_LINEAR, {SLOT_QKV}, {SLOT_N}, "attn.c_attn", BIAS_QKV | STORED_TURNED},
    {OP_SPLIT, {SLOT_Q, SLOT_K, SLOT_V}, {SLOT_QKV}, NULL, 0},
    {OP_ATTEND, {SLOT_A, SLOT_LSE}, {SLOT_Q, SLOT_K, SLOT_V}, NULL, 0},
    {OP_LINEAR, {SLOT_M}, {SLOT_A}, "attn.c_proj", BIAS_O | STORED_TURNED},
    {OP_ADD, {SLOT_M}, {SLOT_M, SLOT_X}, NULL, 0},
    {OP_NORM, {SLOT_N2}, {SLOT_M}, "ln_2", 0},
    {OP_LINEAR, {SLOT_U}, {SLOT_N2}, "mlp.c_fc", BIAS_MLP | STORED_TURNED},
    {OP_GATE, {SLOT_H}, {SLOT_U}, NULL, 0},
    {OP_LINEAR, {SLOT_Y}, {SLOT_H}, "mlp.c_proj", BIAS_MLP | STORED_TURNED},
    {OP_ADD, {SLOT_Y}, {SLOT_Y, SLOT_M}, NULL, 0},
};
static const struct lorac_program program = {"transformer.h", LORAC_STEPS(front),
                                             LORAC_STEPS(layer)};
static const struct lorac_config_keys keys = {
    .C = "n_embd",
    .L = "n_layer",
    .H = "n_head",
    .F = "n_inner",
    .positions = "n_positions",
    .eps = "layer_norm_epsilon",
    .act = "activation_function",
};
static const struct lorac_rename renames[] = {{"transformer.", ""}, {NULL, NULL}};
static const char *const masks[] = {".attn.bias", ".attn.masked_bias", NULL};

const struct lorac_arch lorac_arch_gpt2 = {
    .name = "GPT2LMHeadModel",
    .type = "gpt2",
    .family = "GPT2",
    .defaults = defaults,
    .read = read,
    .program = &program,
    .heads = LORAC_DECODER_HEADS("transformer.ln_f", "score", "classifier"),
    .keys = &keys,
    .residual_init = true,
    .renames = renames,
    .ignored = masks,
};
