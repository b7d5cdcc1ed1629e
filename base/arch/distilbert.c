/*
 * distilbert.c - DistilBERT: BERT without token types and pooler, under names of its own; learned
 * or sinusoidal positions are a matrix in the file alike (transformers
 * models/distilbert/modeling_distilbert.py). A body that was saved alone lacks "distilbert.".
 */
#include "base/arch/arch.h"

static void defaults(struct lorac_config *c)
{
    lorac_defaults_bert(c); // eps is the class's own, 1e-12
    c->L = 6;
    c->types = 0;
}

static enum lorac_status read(struct lorac_config *c, const struct lorac_json *root,
                              struct lorac_err *err)
{
    c->rotary = 0;
    return lorac_config_encoder(c, root, err);
}

static const struct lorac_step front[] = {
    {OP_EMBED, {SLOT_M}, {0}, "distilbert.embeddings.word_embeddings", 0},
    {OP_EMBED, {SLOT_N}, {0}, "distilbert.embeddings.position_embeddings", EMBED_POSITIONS},
    {OP_ADD, {SLOT_M}, {SLOT_M, SLOT_N}, NULL, 0},
    {OP_NORM, {SLOT_X}, {SLOT_M}, "distilbert.embeddings.LayerNorm", 0},
};
static const struct lorac_step layer[] = {
    {OP_LINEAR, {SLOT_Q}, {SLOT_X}, "attention.q_lin", BIAS_QKV},
    {OP_LINEAR, {SLOT_K}, {SLOT_X}, "attention.k_lin", BIAS_QKV},
    {OP_LINEAR, {SLOT_V}, {SLOT_X}, "attention.v_lin", BIAS_QKV},
    {OP_ATTEND, {SLOT_A, SLOT_LSE}, {SLOT_Q, SLOT_K, SLOT_V}, NULL, 0},
    {OP_LINEAR, {SLOT_O}, {SLOT_A}, "attention.out_lin", BIAS_O},
    {OP_ADD, {SLOT_O}, {SLOT_O, SLOT_X}, NULL, 0},
    {OP_NORM, {SLOT_M}, {SLOT_O}, "sa_layer_norm", 0},
    {OP_LINEAR, {SLOT_U}, {SLOT_M}, "ffn.lin1", BIAS_MLP},
    {OP_GATE, {SLOT_H}, {SLOT_U}, NULL, 0},
    {OP_LINEAR, {SLOT_P}, {SLOT_H}, "ffn.lin2", BIAS_MLP},
    {OP_ADD, {SLOT_P}, {SLOT_P, SLOT_M}, NULL, 0},
    {OP_NORM, {SLOT_Y}, {SLOT_P}, "output_layer_norm", 0},
};
static const struct lorac_step masked[] = {
    {OP_LINEAR, {SLOT_O}, {SLOT_X}, "vocab_transform", BIAS_HEAD},
    {OP_GATE, {SLOT_P}, {SLOT_O}, NULL, 0},
    {OP_NORM, {SLOT_N}, {SLOT_P}, "vocab_layer_norm", 0},
    {OP_LINEAR, {SLOT_Z}, {SLOT_N}, "vocab_projector", BIAS_HEAD},
};
static const struct lorac_step classify[] = {
    {OP_LINEAR, {SLOT_O}, {SLOT_X}, "pre_classifier", BIAS_HEAD | HEAD_OWN},
    {OP_GATE, {SLOT_P}, {SLOT_O}, NULL, ACT_RELU},
    {OP_LINEAR, {SLOT_Z}, {SLOT_P}, "classifier", BIAS_HEAD | HEAD_OWN},
};
static const struct lorac_step tag[] = {
    {OP_LINEAR, {SLOT_Z}, {SLOT_X}, "classifier", BIAS_HEAD | HEAD_OWN},
};
static const struct lorac_program program = {"distilbert.transformer.layer", LORAC_STEPS(front),
                                             LORAC_STEPS(layer)};
static const struct lorac_config_keys keys = {
    .C = "dim",
    .L = "n_layers",
    .H = "n_heads",
    .F = "hidden_dim",
    .positions = "max_position_embeddings",
    .act = "activation",
};
static const struct lorac_rename renames[] = {{"distilbert.", ""}, {NULL, NULL}};
static const char *const beside[] = {"qa_outputs.", ".position_ids", NULL};

const struct lorac_arch lorac_arch_distilbert = {
    .name = "DistilBertForMaskedLM",
    .type = "distilbert",
    .family = "DistilBert",
    .defaults = defaults,
    .read = read,
    .program = &program,
    .heads = {[LORAC_TASK_LM] = {LORAC_STEPS(masked), LORAC_ROW_EACH},
              [LORAC_TASK_CLASSIFY] = {LORAC_STEPS(classify), LORAC_ROW_FIRST},
              [LORAC_TASK_TAG] = {LORAC_STEPS(tag), LORAC_ROW_EACH},
              [LORAC_TASK_BODY] = {{NULL, 0}, LORAC_ROW_EACH}},
    .keys = &keys,
    .renames = renames,
    .ignored = beside,
};
