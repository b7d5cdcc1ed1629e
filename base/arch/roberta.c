/*
 * roberta.c - RoBERTa and XLM-RoBERTa: BERT's layers under another name, positions counted from
 * behind the padding's, a head for texts of two layers (transformers
 * models/roberta/modeling_roberta.py). A body that was saved alone lacks "roberta.".
 */
#include "base/arch/arch.h"

static void defaults(struct lorac_config *c)
{
    lorac_defaults_bert(c);
    c->V = 50265;
}

static void xlm_defaults(struct lorac_config *c)
{
    lorac_defaults_bert(c);
}

/* The matrix of positions has rows for the padding's id and those below it, which no text uses. */
static enum lorac_status read(struct lorac_config *c, const struct lorac_json *root,
                              struct lorac_err *err)
{
    size_t pad = 1;
    c->rotary = 0;
    enum lorac_status st = lorac_config_encoder(c, root, err);
    if (!st) { st = lorac_json_size(&c->types, root, "type_vocab_size", false, 1, 1 << 20, err); }
    if (!st) { st = lorac_json_size(&pad, root, "pad_token_id", false, 0, c->V - 1, err); }
    if (st) { return st; }
    c->position_offset = pad + 1;
    if (c->max_positions <= c->position_offset) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: max_position_embeddings is %zu, expected more than pad_token_id + 1 "
                          "(%zu), from where positions are counted",
                          root->file, c->max_positions, c->position_offset);
    }
    c->max_positions -= c->position_offset;
    return LORAC_OK;
}

static const struct lorac_step front[] = {
    {OP_EMBED, {SLOT_M}, {0}, "roberta.embeddings.word_embeddings", 0},
    {OP_EMBED, {SLOT_N}, {0}, "roberta.embeddings.token_type_embeddings", EMBED_TYPES},
    {OP_ADD, {SLOT_M}, {SLOT_M, SLOT_N}, NULL, 0},
    {OP_EMBED, {SLOT_N2}, {0}, "roberta.embeddings.position_embeddings", EMBED_POSITIONS},
    {OP_ADD, {SLOT_M}, {SLOT_M, SLOT_N2}, NULL, 0},
    {OP_NORM, {SLOT_X}, {SLOT_M}, "roberta.embeddings.LayerNorm", 0},
};
static const struct lorac_step masked[] = {
    {OP_LINEAR, {SLOT_O}, {SLOT_X}, "lm_head.dense", BIAS_HEAD},
    {OP_GATE, {SLOT_P}, {SLOT_O}, NULL, ACT_GELU},
    {OP_NORM, {SLOT_N}, {SLOT_P}, "lm_head.layer_norm", 0},
    {OP_LINEAR, {SLOT_Z}, {SLOT_N}, "lm_head.decoder", BIAS_HEAD},
};
static const struct lorac_step classify[] = {
    {OP_LINEAR, {SLOT_O}, {SLOT_X}, "classifier.dense", BIAS_HEAD | HEAD_OWN},
    {OP_GATE, {SLOT_P}, {SLOT_O}, NULL, ACT_TANH},
    {OP_LINEAR, {SLOT_Z}, {SLOT_P}, "classifier.out_proj", BIAS_HEAD | HEAD_OWN},
};
static const struct lorac_step tag[] = {
    {OP_LINEAR, {SLOT_Z}, {SLOT_X}, "classifier", BIAS_HEAD | HEAD_OWN},
};
static const struct lorac_program program = {"roberta.encoder.layer", LORAC_STEPS(front),
                                             LORAC_STEPS(lorac_layer_bert)};
static const struct lorac_rename renames[] = {{"roberta.", ""}, {NULL, NULL}};
static const struct lorac_rename tensors[] = {{"lm_head.decoder.bias", "lm_head.bias"},
                                              {NULL, NULL}};
static const char *const beside[] = {"roberta.pooler.", "pooler.", "qa_outputs.", ".position_ids",
                                     NULL};
#define HEADS                                                             \
    {                                                                     \
        [LORAC_TASK_LM] = {LORAC_STEPS(masked), LORAC_ROW_EACH},          \
        [LORAC_TASK_CLASSIFY] = {LORAC_STEPS(classify), LORAC_ROW_FIRST}, \
        [LORAC_TASK_TAG] = {LORAC_STEPS(tag), LORAC_ROW_EACH},            \
        [LORAC_TASK_BODY] = {{NULL, 0}, LORAC_ROW_EACH},                  \
    }

const struct lorac_arch lorac_arch_roberta = {
    .name = "RobertaForMaskedLM",
    .type = "roberta",
    .family = "Roberta",
    .defaults = defaults,
    .read = read,
    .program = &program,
    .heads = HEADS,
    .keys = &lorac_keys_bert,
    .renames = renames,
    .tensors = tensors,
    .ignored = beside,
};

const struct lorac_arch lorac_arch_xlm_roberta = {
    .name = "XLMRobertaForMaskedLM",
    .type = "xlm-roberta",
    .family = "XLMRoberta",
    .defaults = xlm_defaults,
    .read = read,
    .program = &program,
    .heads = HEADS,
    .keys = &lorac_keys_bert,
    .renames = renames,
    .tensors = tensors,
    .ignored = beside,
};
