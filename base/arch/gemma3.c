/*
 * gemma3.c - Gemma 3, the text model: as Gemma3ForCausalLM, and as the part of
 * Gemma3ForConditionalGeneration that lies beside a vision tower, which is not run (transformers
 * models/gemma3/modeling_gemma3.py).
 *
 * Norms multiply by 1 + w, stand before and behind attention and feed-forward, and there is one for
 * the heads of queries and of keys. Embeddings are multiplied by sqrt(C). Layers slide but every
 * sixth, which has a rotary base of its own. Most settings may be left out of the file, with the
 * defaults of the class.
 */
#include "base/arch/arch.h"

#include <math.h>

static void defaults(struct lorac_config *c)
{
    c->C = 2304;
    c->F = 9216;
    c->L = 26;
    c->H = 8;
    c->G = 4;
    c->D = 256;
    c->V = 262208;
    c->max_positions = 131072;
    c->act = LORAC_GELU_TANH;
    c->tie = true;
    c->window = 4096;
    c->theta = 1e6;
    c->theta_sliding = 1e4;
    c->norm_plus = 1.0;
    c->pad = 0 + 1;
}

/* Without layer_types every sixth layer is full, or as sliding_window_pattern says. */
static enum lorac_status read_layers(struct lorac_config *c, const struct lorac_json *root,
                                     struct lorac_err *err)
{
    bool listed = false;
    size_t pattern = 6;
    enum lorac_status st = lorac_config_window(c, root, err);
    if (!st) { st = lorac_config_layer_types(&listed, c, root, err); }
    if (!st) {
        st = lorac_json_size(&pattern, root, "sliding_window_pattern", false, 1, LORAC_MAX_LAYERS,
                             err);
    }
    for (size_t l = 0; !st && !listed && l < c->L; l++) {
        c->sliding[l] = c->window > 0 && (l + 1) % pattern != 0;
    }
    return st;
}

static enum lorac_status read(struct lorac_config *c, const struct lorac_json *root,
                              struct lorac_err *err)
{
    double scalar = 256.0;
    bool both_ways = false;
    enum lorac_status st = read_layers(c, root, err);
    if (!st) { st = lorac_json_bool(&c->qkv_bias, root, "attention_bias", false, err); }
    if (!st) {
        st = lorac_json_number(&c->theta_sliding, root, "rope_local_base_freq", false, err);
    }
    if (!st) { st = lorac_json_number(&scalar, root, "query_pre_attn_scalar", false, err); }
    if (!st) { st = lorac_json_bool(&both_ways, root, "use_bidirectional_attention", false, err); }
    if (st) { return st; }
    if (!(scalar > 0.0)) {
        struct lorac_json at = lorac_json_get(root, "query_pre_attn_scalar");
        return lorac_json_fail(&at, "above 0", err);
    }
    if (!(c->theta_sliding > 1.0)) {
        struct lorac_json at = lorac_json_get(root, "rope_local_base_freq");
        return lorac_json_fail(at.value ? &at : root, "a rotary base above 1 where layers slide",
                               err);
    }
    if (both_ways) {
        struct lorac_json at = lorac_json_get(root, "use_bidirectional_attention");
        return lorac_json_fail(&at, "false (attention both ways is not supported)", err);
    }
    c->o_bias = c->qkv_bias;
    c->scale = 1.0 / sqrt(scalar);
    c->embed_scale = sqrt((double)c->C);
    return LORAC_OK;
}

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
    {OP_LINEAR, {SLOT_O}, {SLOT_A}, "self_attn.o_proj", BIAS_O},
    {OP_NORM, {SLOT_M}, {SLOT_O}, "post_attention_layernorm", 0},
    {OP_ADD, {SLOT_M}, {SLOT_M, SLOT_X}, NULL, 0},
    {OP_NORM, {SLOT_N2}, {SLOT_M}, "pre_feedforward_layernorm", 0},
    {OP_LINEAR, {SLOT_G}, {SLOT_N2}, "mlp.gate_proj", 0},
    {OP_LINEAR, {SLOT_U}, {SLOT_N2}, "mlp.up_proj", 0},
    {OP_GATE, {SLOT_H}, {SLOT_G, SLOT_U}, NULL, 0},
    {OP_LINEAR, {SLOT_P}, {SLOT_H}, "mlp.down_proj", 0},
    {OP_NORM, {SLOT_Y}, {SLOT_P}, "post_feedforward_layernorm", 0},
    {OP_ADD, {SLOT_Y}, {SLOT_Y, SLOT_M}, NULL, 0},
};
static const struct lorac_config_keys keys = {
    .C = "hidden_size",
    .L = "num_hidden_layers",
    .H = "num_attention_heads",
    .F = "intermediate_size",
    .positions = "max_position_embeddings",
    .eps = "rms_norm_eps",
    .act = "hidden_activation",
    .G = "num_key_value_heads",
    .D = "head_dim",
    .theta = "rope_theta",
};

/* ---- the text model alone ---- */

static const struct lorac_step front[] = {
    {OP_EMBED, {SLOT_X}, {0}, "model.embed_tokens", 0},
    {OP_SCALE, {SLOT_X}, {SLOT_X}, NULL, 0},
};
static const struct lorac_program text = {"model.layers", LORAC_STEPS(front), LORAC_STEPS(layer)};

const struct lorac_arch lorac_arch_gemma3 = {
    .name = "Gemma3ForCausalLM",
    .type = "gemma3_text",
    .family = "Gemma3Text",
    .defaults = defaults,
    .read = read,
    .program = &text,
    .heads = LORAC_DECODER_HEADS("model.norm", "score", "score"),
    .keys = &keys,
};

/* ---- the text part of the larger model ---- */

static const struct lorac_step part_front[] = {
    {OP_EMBED, {SLOT_X}, {0}, "model.language_model.embed_tokens", 0},
    {OP_SCALE, {SLOT_X}, {SLOT_X}, NULL, 0},
};
static const struct lorac_step part_head[] = {
    {OP_NORM, {SLOT_N}, {SLOT_X}, "model.language_model.norm", 0},
    {OP_LINEAR, {SLOT_Z}, {SLOT_N}, "lm_head", 0},
};
static const struct lorac_program part = {"model.language_model.layers", LORAC_STEPS(part_front),
                                          LORAC_STEPS(layer)};
static const struct lorac_rename renames[] = {
    // transformers writes one and has the other
    {"model.language_model.", "language_model.model."},
    {"lm_head", "language_model.lm_head"},
    {NULL, NULL},
};
static const char *const vision[] = {"vision_tower.", "multi_modal_projector.",
                                     "model.vision_tower.", "model.multi_modal_projector.", NULL};

const struct lorac_arch lorac_arch_gemma3_part = {
    .name = "Gemma3ForConditionalGeneration",
    .type = "gemma3",
    .defaults = defaults,
    .read = read,
    .program = &part,
    .heads = {[LORAC_TASK_LM] = {LORAC_STEPS(part_head), LORAC_ROW_EACH}},
    .keys = &keys,
    .inner = "text_config",
    .renames = renames,
    .ignored = vision,
};
