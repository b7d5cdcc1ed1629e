/*
 * neox.c - GPTNeoXForCausalLM: Pythia and kin. Attention and feed-forward read one residual stream
 * side by side, q, k and v of a head lie together in one weight, and a part of each head rotates
 * (transformers models/gpt_neox/modeling_gpt_neox.py). The head is lm_head in memory and embed_out
 * in files.
 */
#include "base/arch/arch.h"

static const struct lorac_step front[] = {
    {OP_EMBED, {SLOT_X}, {0}, "gpt_neox.embed_in", 0},
};
static const struct lorac_step parallel[] = {
    {OP_NORM, {SLOT_N}, {SLOT_X}, "input_layernorm", 0},
    {OP_LINEAR, {SLOT_QKV}, {SLOT_N}, "attention.query_key_value", BIAS_QKV},
    {OP_SPLIT, {SLOT_Q, SLOT_K, SLOT_V}, {SLOT_QKV}, NULL, SPLIT_HEADS},
    {OP_ROPE, {SLOT_Q}, {SLOT_Q}, NULL, 0},
    {OP_ROPE, {SLOT_K}, {SLOT_K}, NULL, 0},
    {OP_ATTEND, {SLOT_A, SLOT_LSE}, {SLOT_Q, SLOT_K, SLOT_V}, NULL, 0},
    {OP_LINEAR, {SLOT_O}, {SLOT_A}, "attention.dense", BIAS_O},
    {OP_NORM, {SLOT_N2}, {SLOT_X}, "post_attention_layernorm", 0},
    {OP_LINEAR, {SLOT_U}, {SLOT_N2}, "mlp.dense_h_to_4h", BIAS_MLP},
    {OP_GATE, {SLOT_H}, {SLOT_U}, NULL, 0},
    {OP_LINEAR, {SLOT_Y}, {SLOT_H}, "mlp.dense_4h_to_h", BIAS_MLP},
    {OP_ADD, {SLOT_Y}, {SLOT_Y, SLOT_O}, NULL, 0},
    {OP_ADD, {SLOT_Y}, {SLOT_Y, SLOT_X}, NULL, 0},
};
static const struct lorac_step sequential[] = {
    {OP_NORM, {SLOT_N}, {SLOT_X}, "input_layernorm", 0},
    {OP_LINEAR, {SLOT_QKV}, {SLOT_N}, "attention.query_key_value", BIAS_QKV},
    {OP_SPLIT, {SLOT_Q, SLOT_K, SLOT_V}, {SLOT_QKV}, NULL, SPLIT_HEADS},
    {OP_ROPE, {SLOT_Q}, {SLOT_Q}, NULL, 0},
    {OP_ROPE, {SLOT_K}, {SLOT_K}, NULL, 0},
    {OP_ATTEND, {SLOT_A, SLOT_LSE}, {SLOT_Q, SLOT_K, SLOT_V}, NULL, 0},
    {OP_LINEAR, {SLOT_M}, {SLOT_A}, "attention.dense", BIAS_O},
    {OP_ADD, {SLOT_M}, {SLOT_M, SLOT_X}, NULL, 0},
    {OP_NORM, {SLOT_N2}, {SLOT_M}, "post_attention_layernorm", 0},
    {OP_LINEAR, {SLOT_U}, {SLOT_N2}, "mlp.dense_h_to_4h", BIAS_MLP},
    {OP_GATE, {SLOT_H}, {SLOT_U}, NULL, 0},
    {OP_LINEAR, {SLOT_Y}, {SLOT_H}, "mlp.dense_4h_to_h", BIAS_MLP},
    {OP_ADD, {SLOT_Y}, {SLOT_Y, SLOT_M}, NULL, 0},
};
static const struct lorac_program side_by_side = {"gpt_neox.layers", LORAC_STEPS(front),
                                                  LORAC_STEPS(parallel)};
static const struct lorac_program in_turn = {"gpt_neox.layers", LORAC_STEPS(front),
                                             LORAC_STEPS(sequential)};

static void defaults(struct lorac_config *c)
{
    c->C = 6144;
    c->L = 44;
    c->H = 64;
    c->F = 24576;
    c->V = 50432;
    c->max_positions = 2048;
    c->eps = 1e-5;
    c->act = LORAC_GELU;
    c->layernorm = true;
    c->partial = 0.25;
    c->qkv_bias = c->mlp_bias = true;
}

static enum lorac_status read(struct lorac_config *c, const struct lorac_json *root,
                              struct lorac_err *err)
{
    bool parallel_residual = true;
    bool new = lorac_json_get(root, "rope_parameters").value != NULL;
    enum lorac_status st =
        lorac_json_bool(&parallel_residual, root, "use_parallel_residual", false, err);
    if (!st) { st = lorac_json_bool(&c->qkv_bias, root, "attention_bias", false, err); }
    if (!st && !new) { st = lorac_json_number(&c->partial, root, "rotary_pct", false, err); }
    if (!st && !new) { st = lorac_json_number(&c->theta, root, "rotary_emb_base", false, err); }
    if (st) { return st; }
    if (!(c->partial > 0.0 && c->partial <= 1.0) || !(c->theta > 1.0)) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: the share of a head that rotates is %g and the rotary base %g, "
                          "expected above 0 and "
                          "at most 1, and above 1",
                          root->file, c->partial, c->theta);
    }
    c->program = parallel_residual ? &side_by_side : &in_turn;
    c->o_bias = c->qkv_bias;
    c->rotary = (size_t)((double)c->D * c->partial);
    return LORAC_OK;
}

static const struct lorac_config_keys keys = {
    .C = "hidden_size",
    .L = "num_hidden_layers",
    .H = "num_attention_heads",
    .F = "intermediate_size",
    .positions = "max_position_embeddings",
    .eps = "layer_norm_eps",
    .act = "hidden_act",
    .theta = "rotary_emb_base",
};
static const struct lorac_rename renames[] = {{"lm_head", "embed_out"}, {NULL, NULL}};
static const char *const masks[] = {".attention.bias", ".attention.masked_bias", NULL};

const struct lorac_arch lorac_arch_neox = {
    .name = "GPTNeoXForCausalLM",
    .type = "gpt_neox",
    .family = "GPTNeoX",
    .defaults = defaults,
    .read = read,
    .program = &side_by_side,
    .heads = LORAC_DECODER_HEADS("gpt_neox.final_layer_norm", "score", "classifier"),
    .keys = &keys,
    .renames = renames,
    .ignored = masks,
};
