/*
 * bert.c - BERT: three embeddings and a norm, attention to the whole text, a norm behind each
 * addition (transformers models/bert/modeling_bert.py). A body that was saved alone lacks "bert.";
 * the first published files have gamma and beta in norms, and beside the head for masked tokens one
 * for the next sentence.
 */
#include "base/arch/arch.h"

#include <string.h>

enum lorac_status lorac_config_encoder(struct lorac_config *c, const struct lorac_json *root,
                                       struct lorac_err *err)
{
    static const char *const decoders[] = {"is_decoder", "add_cross_attention"};
    const char *positions = "absolute";
    enum lorac_status st = LORAC_OK;
    c->bidirectional = true;
    for (size_t i = 0; i < 2 && !st; i++) {
        bool yes = false;
        st = lorac_json_bool(&yes, root, decoders[i], false, err);
        if (!st && yes) {
            struct lorac_json at = lorac_json_get(root, decoders[i]);
            st = lorac_json_fail(&at, "false (an encoder sees its whole text, and no other)", err);
        }
    }
    if (st || c->rotary > 0) { return st; } // of rotary positions no class reads it: "sans_pos"
    st = lorac_json_string(&positions, root, "position_embedding_type", false, err);
    if (!st && strcmp(positions, "absolute") != 0) {
        struct lorac_json at = lorac_json_get(root, "position_embedding_type");
        st = lorac_json_fail(&at, "\"absolute\" (others are not supported)", err);
    }
    return st;
}

void lorac_defaults_bert(struct lorac_config *c)
{
    c->C = 768;
    c->L = 12;
    c->H = 12;
    c->F = 3072;
    c->V = 30522;
    c->max_positions = 512;
    c->types = 2;
    c->eps = 1e-12;
    c->act = LORAC_GELU;
    c->tie = true;
    c->layernorm = true;
    c->qkv_bias = c->o_bias = c->mlp_bias = true;
}

static enum lorac_status read(struct lorac_config *c, const struct lorac_json *root,
                              struct lorac_err *err)
{
    c->rotary = 0;
    enum lorac_status st = lorac_config_encoder(c, root, err);
    return st ? st : lorac_json_size(&c->types, root, "type_vocab_size", false, 1, 1 << 20, err);
}

static const struct lorac_step front[] = {
    {OP_EMBED, {SLOT_M}, {0}, "bert.embeddings.word_embeddings", 0},
    {OP_EMBED, {SLOT_N}, {0}, "bert.embeddings.token_type_embeddings", EMBED_TYPES},
    {OP_ADD, {SLOT_M}, {SLOT_M, SLOT_N}, NULL, 0},
    {OP_EMBED, {SLOT_N2}, {0}, "bert.embeddings.position_embeddings", EMBED_POSITIONS},
    {OP_ADD, {SLOT_M}, {SLOT_M, SLOT_N2}, NULL, 0},
    {OP_NORM, {SLOT_X}, {SLOT_M}, "bert.embeddings.LayerNorm", 0},
};
const struct lorac_step lorac_layer_bert[LORAC_LAYER_BERT] = {
    {OP_LINEAR, {SLOT_Q}, {SLOT_X}, "attention.self.query", BIAS_QKV},
    {OP_LINEAR, {SLOT_K}, {SLOT_X}, "attention.self.key", BIAS_QKV},
    {OP_LINEAR, {SLOT_V}, {SLOT_X}, "attention.self.value", BIAS_QKV},
    {OP_ATTEND, {SLOT_A, SLOT_LSE}, {SLOT_Q, SLOT_K, SLOT_V}, NULL, 0},
    {OP_LINEAR, {SLOT_O}, {SLOT_A}, "attention.output.dense", BIAS_O},
    {OP_ADD, {SLOT_O}, {SLOT_O, SLOT_X}, NULL, 0},
    {OP_NORM, {SLOT_M}, {SLOT_O}, "attention.output.LayerNorm", 0},
    {OP_LINEAR, {SLOT_U}, {SLOT_M}, "intermediate.dense", BIAS_MLP},
    {OP_GATE, {SLOT_H}, {SLOT_U}, NULL, 0},
    {OP_LINEAR, {SLOT_P}, {SLOT_H}, "output.dense", BIAS_MLP},
    {OP_ADD, {SLOT_P}, {SLOT_P, SLOT_M}, NULL, 0},
    {OP_NORM, {SLOT_Y}, {SLOT_P}, "output.LayerNorm", 0},
};
static const struct lorac_step masked[] = {
    {OP_LINEAR, {SLOT_O}, {SLOT_X}, "cls.predictions.transform.dense", BIAS_HEAD},
    {OP_GATE, {SLOT_P}, {SLOT_O}, NULL, 0},
    {OP_NORM, {SLOT_N}, {SLOT_P}, "cls.predictions.transform.LayerNorm", 0},
    {OP_LINEAR, {SLOT_Z}, {SLOT_N}, "cls.predictions.decoder", BIAS_HEAD},
};
static const struct lorac_step classify[] = {
    {OP_LINEAR, {SLOT_O}, {SLOT_X}, "bert.pooler.dense", BIAS_HEAD | MAY_LACK},
    {OP_GATE, {SLOT_P}, {SLOT_O}, NULL, ACT_TANH},
    {OP_LINEAR, {SLOT_Z}, {SLOT_P}, "classifier", BIAS_HEAD | HEAD_OWN},
};
static const struct lorac_step tag[] = {
    {OP_LINEAR, {SLOT_Z}, {SLOT_X}, "classifier", BIAS_HEAD | HEAD_OWN},
};
static const struct lorac_program program = {"bert.encoder.layer", LORAC_STEPS(front),
                                             LORAC_STEPS(lorac_layer_bert)};
const struct lorac_config_keys lorac_keys_bert = {
    .C = "hidden_size",
    .L = "num_hidden_layers",
    .H = "num_attention_heads",
    .F = "intermediate_size",
    .positions = "max_position_embeddings",
    .eps = "layer_norm_eps",
    .act = "hidden_act",
};
static const struct lorac_rename renames[] = {{"bert.", ""}, {NULL, NULL}};
static const struct lorac_rename tensors[] = {
    {"cls.predictions.decoder.bias", "cls.predictions.bias"}, {NULL, NULL}};
static const struct lorac_rename old_tensors[] = {
    {"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}, {NULL, NULL}};
static const char *const beside[] = {"bert.pooler.", "pooler.",       "cls.seq_relationship.",
                                     "qa_outputs.",  ".position_ids", NULL};

const struct lorac_arch lorac_arch_bert = {
    .name = "BertForMaskedLM",
    .type = "bert",
    .family = "Bert",
    .defaults = lorac_defaults_bert,
    .read = read,
    .program = &program,
    .heads = {[LORAC_TASK_LM] = {LORAC_STEPS(masked), LORAC_ROW_EACH},
              [LORAC_TASK_CLASSIFY] = {LORAC_STEPS(classify), LORAC_ROW_FIRST},
              [LORAC_TASK_TAG] = {LORAC_STEPS(tag), LORAC_ROW_EACH},
              [LORAC_TASK_BODY] = {{NULL, 0}, LORAC_ROW_EACH}},
    .keys = &lorac_keys_bert,
    .renames = renames,
    .tensors = tensors,
    .old_tensors = old_tensors,
    .ignored = beside,
};
