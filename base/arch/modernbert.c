/*
 * modernbert.c - ModernBERT: norms without shifts in front of attention and feed-forward, none in
 * front of the first attention; rotary positions; most layers see their neighbours alone and have a
 * rotary base of their own; a feed-forward of two halves of one weight (transformers
 * models/modernbert/modeling_modernbert.py). A body that was saved alone lacks "model.".
 */
#include "base/arch/arch.h"

#include <math.h>
#include <string.h>

static const double theta_global = 160000.0;
static const double theta_local = 10000.0;

static void defaults(struct lorac_config *c)
{
    c->C = 768;
    c->L = 22;
    c->H = 12;
    c->F = 1152;
    c->V = 50368;
    c->max_positions = 8192;
    c->eps = 1e-5;
    c->act = LORAC_GELU;
    c->tie = true;
    c->layernorm = true;
    c->theta = theta_global;
    c->theta_sliding = theta_local;
    c->init_cutoff = 2.0;
}

/* Layers see `local_attention` / 2 tokens to either side, but every third, or as layer_types says.
 */
static enum lorac_status read_layers(struct lorac_config *c, const struct lorac_json *root,
                                     struct lorac_err *err)
{
    size_t local = 128;
    size_t every = 3;
    bool listed = false;
    enum lorac_status st = lorac_json_size(&local, root, "local_attention", false, 1, 1 << 28, err);
    c->window = local / 2 + 1;
    if (!st) { st = lorac_config_layer_types(&listed, c, root, err); }
    if (!st) {
        st = lorac_json_size(&every, root, "global_attn_every_n_layers", false, 1, LORAC_MAX_LAYERS,
                             err);
    }
    for (size_t l = 0; !st && !listed && l < c->L; l++) {
        c->sliding[l] = l % every != 0;
    }
    return st;
}

/* A rotary base: that of rope_parameters, which was read before, or the one under its name of
 * transformers 4: null there is `null`, and where there is none it is `base`. */
static enum lorac_status read_base(double *theta, const struct lorac_json *root, const char *key,
                                   const char *layers, double base, double null,
                                   struct lorac_err *err)
{
    struct lorac_json rope = lorac_json_get(root, "rope_parameters");
    struct lorac_json of = lorac_json_get(&rope, layers);
    struct lorac_json at = lorac_json_get(&of, "rope_theta");
    enum lorac_status st = LORAC_OK;
    if (!at.value) {
        at = lorac_json_get(root, key);
        *theta = json_object_get(root->value, key) ? null : base;
        st = lorac_json_number(theta, root, key, false, err);
    }
    return st || *theta > 1.0 ? st : lorac_json_fail(&at, "a rotary base above 1", err);
}

static enum lorac_status read_bases(struct lorac_config *c, const struct lorac_json *root,
                                    struct lorac_err *err)
{
    struct lorac_json rope = lorac_json_get(root, "rope_parameters");
    if (lorac_json_get(&rope, "rope_theta").value) {
        return lorac_json_fail(&rope, "settings of full_attention and of sliding_attention", err);
    }
    enum lorac_status st = read_base(&c->theta, root, "global_rope_theta", "full_attention",
                                     theta_global, theta_global, err);
    return st ? st
              : read_base(&c->theta_sliding, root, "local_rope_theta", "sliding_attention",
                          theta_local, c->theta, err);
}

static enum lorac_status read_head(struct lorac_config *c, const struct lorac_json *root,
                                   struct lorac_err *err)
{
    const char *act = "gelu";
    const char *pooling = "cls";
    enum lorac_status st = lorac_json_string(&act, root, "classifier_activation", false, err);
    if (!st && strcmp(act, "gelu") != 0) {
        struct lorac_json at = lorac_json_get(root, "classifier_activation");
        st = lorac_json_fail(&at, "gelu (others are not supported)", err);
    }
    if (!st) { st = lorac_json_string(&pooling, root, "classifier_pooling", false, err); }
    c->pool_mean = strcmp(pooling, "mean") == 0;
    if (!st && !c->pool_mean && strcmp(pooling, "cls") != 0) {
        struct lorac_json at = lorac_json_get(root, "classifier_pooling");
        st = lorac_json_fail(&at, "cls or mean", err);
    }
    if (!st) { st = lorac_json_bool(&c->dense_bias, root, "classifier_bias", false, err); }
    c->decoder_bias = true;
    if (!st) { st = lorac_json_bool(&c->decoder_bias, root, "decoder_bias", false, err); }
    c->head_range = 1.0 / sqrt((double)c->C);
    return st;
}

static enum lorac_status read(struct lorac_config *c, const struct lorac_json *root,
                              struct lorac_err *err)
{
    bool shift = false;
    enum lorac_status st = lorac_config_encoder(c, root, err);
    if (!st) { st = lorac_json_bool(&c->qkv_bias, root, "attention_bias", false, err); }
    if (!st) { st = lorac_json_bool(&c->mlp_bias, root, "mlp_bias", false, err); }
    if (!st) { st = lorac_json_bool(&shift, root, "norm_bias", false, err); }
    if (!st) {
        st = lorac_json_number(&c->init_cutoff, root, "initializer_cutoff_factor", false, err);
    }
    if (!st && !(c->init_cutoff >= 1.0)) {
        struct lorac_json at = lorac_json_get(root, "initializer_cutoff_factor");
        st = lorac_json_fail(&at, "at least 1", err);
    }
    c->o_bias = c->qkv_bias;
    c->gain_only = !shift;
    if (!st) { st = read_layers(c, root, err); }
    if (!st) { st = read_bases(c, root, err); }
    if (!st && c->rope != LORAC_ROPE_DEFAULT) {
        struct lorac_json at = lorac_json_get(root, "rope_scaling");
        st = lorac_json_fail(at.value ? &at : root, "positions that are not scaled", err);
    }
    return st ? st : read_head(c, root, err);
}

static const struct lorac_step front[] = {
    {OP_EMBED, {SLOT_M}, {0}, "model.embeddings.tok_embeddings", 0},
    {OP_NORM, {SLOT_X}, {SLOT_M}, "model.embeddings.norm", 0},
};
static const struct lorac_step layer[] = {
    {OP_NORM, {SLOT_N}, {SLOT_X}, "attn_norm", NOT_FIRST},
    {OP_LINEAR, {SLOT_QKV}, {SLOT_N}, "attn.Wqkv", BIAS_QKV},
    {OP_SPLIT, {SLOT_Q, SLOT_K, SLOT_V}, {SLOT_QKV}, NULL, 0},
    {OP_ROPE, {SLOT_Q}, {SLOT_Q}, NULL, 0},
    {OP_ROPE, {SLOT_K}, {SLOT_K}, NULL, 0},
    {OP_ATTEND, {SLOT_A, SLOT_LSE}, {SLOT_Q, SLOT_K, SLOT_V}, NULL, 0},
    {OP_LINEAR, {SLOT_M}, {SLOT_A}, "attn.Wo", BIAS_O},
    {OP_ADD, {SLOT_M}, {SLOT_M, SLOT_X}, NULL, 0},
    {OP_NORM, {SLOT_N2}, {SLOT_M}, "mlp_norm", 0},
    {OP_LINEAR, {SLOT_GU}, {SLOT_N2}, "mlp.Wi", BIAS_MLP},
    {OP_SPLIT, {SLOT_G, SLOT_U}, {SLOT_GU}, NULL, 0},
    {OP_GATE, {SLOT_H}, {SLOT_G, SLOT_U}, NULL, 0},
    {OP_LINEAR, {SLOT_Y}, {SLOT_H}, "mlp.Wo", BIAS_MLP},
    {OP_ADD, {SLOT_Y}, {SLOT_Y, SLOT_M}, NULL, 0},
};
#define DENSE(lacks)                                                                    \
    {OP_LINEAR, {SLOT_O}, {SLOT_M}, "head.dense", BIAS_DENSE | DRAWN_NARROW | (lacks)}, \
        {OP_GATE, {SLOT_P}, {SLOT_O}, NULL, ACT_GELU},                                  \
    {                                                                                   \
        OP_NORM, {SLOT_N2}, {SLOT_P}, "head.norm", (lacks)                              \
    }
static const struct lorac_step masked[] = {
    {OP_NORM, {SLOT_M}, {SLOT_X}, "model.final_norm", 0},
    DENSE(0),
    {OP_LINEAR, {SLOT_Z}, {SLOT_N2}, "decoder", BIAS_DECODER | DRAWN_NARROW},
};
static const struct lorac_step classify[] = {
    {OP_NORM, {SLOT_N}, {SLOT_X}, "model.final_norm", 0},
    {OP_POOL, {SLOT_M}, {SLOT_N}, NULL, 0},
    DENSE(MAY_LACK),
    {OP_LINEAR, {SLOT_Z}, {SLOT_N2}, "classifier", BIAS_HEAD | HEAD_OWN},
};
static const struct lorac_step tag[] = {
    {OP_NORM, {SLOT_M}, {SLOT_X}, "model.final_norm", 0},
    DENSE(MAY_LACK),
    {OP_LINEAR, {SLOT_Z}, {SLOT_N2}, "classifier", BIAS_HEAD | HEAD_OWN},
};
static const struct lorac_step body[] = {
    {OP_NORM, {SLOT_N}, {SLOT_X}, "model.final_norm", 0},
};
static const struct lorac_program program = {"model.layers", LORAC_STEPS(front),
                                             LORAC_STEPS(layer)};
static const struct lorac_config_keys keys = {
    .C = "hidden_size",
    .L = "num_hidden_layers",
    .H = "num_attention_heads",
    .F = "intermediate_size",
    .positions = "max_position_embeddings",
    .eps = "norm_eps",
    .act = "hidden_activation",
    .theta = "global_rope_theta",
};
static const struct lorac_rename renames[] = {{"model.", ""}, {NULL, NULL}};
static const char *const beside[] = {"qa_outputs.", NULL};

const struct lorac_arch lorac_arch_modernbert = {
    .name = "ModernBertForMaskedLM",
    .type = "modernbert",
    .family = "ModernBert",
    .defaults = defaults,
    .read = read,
    .program = &program,
    .heads = {[LORAC_TASK_LM] = {LORAC_STEPS(masked), LORAC_ROW_EACH},
              [LORAC_TASK_CLASSIFY] = {LORAC_STEPS(classify), LORAC_ROW_FIRST},
              [LORAC_TASK_TAG] = {LORAC_STEPS(tag), LORAC_ROW_EACH},
              [LORAC_TASK_BODY] = {LORAC_STEPS(body), LORAC_ROW_EACH}},
    .keys = &keys,
    .residual_init = true,
    .renames = renames,
    .ignored = beside,
};
