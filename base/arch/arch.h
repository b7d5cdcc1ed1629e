/*
 * arch.h - the table of architectures: who reads which config.json, and the program that its layers
 * run. To add one: a file <name>.c here with a row, and its line in config.c.
 */
#ifndef LORAC_BASE_ARCH_ARCH_H
#define LORAC_BASE_ARCH_ARCH_H

#include "base/core/json.h"
#include "base/program.h"

/* What config.json calls what most classes have; NULL: this one doesn't have it. */
struct lorac_config_keys {
    const char *C, *L, *H, *F, *positions, *eps, *act;
    const char *G, *D, *theta;
};
extern const struct lorac_config_keys lorac_keys_llama; // hidden_size, ...

/* Beginnings of module names that the files of some models write otherwise. */
struct lorac_rename {
    const char *name, *file;
};

struct lorac_arch {
    const char *name; // as config.json's "architectures" has it
    const char *type; // and its "model_type"
    /* Defaults of the class are set before, common keys are read after. */
    void (*defaults)(struct lorac_config *c);
    /* What only this architecture has. */
    enum lorac_status (*read)(struct lorac_config *c, const struct lorac_json *root,
                              struct lorac_err *err);
    const struct lorac_program *program; // read() may choose another for a configuration
    struct lorac_head heads[LORAC_TASKS];
    const char *family; // before "ForSequenceClassification", "Model", ... in other classes' names
    const struct lorac_config_keys *keys;
    bool residual_init; // transformers draws what is added to the residual stream narrower, by
                        // sqrt(2 L)
    const char *inner;  // the object of config.json that describes the text model; NULL: all of it
    const struct lorac_rename *renames; // where the files have them; up to {NULL, NULL}, or NULL
    const struct lorac_rename *tensors; // ends of tensors' names that the files write otherwise
    const struct lorac_rename *old_tensors; // and that old files do
    const char *const
        *ignored; // tensors not run: beginnings, or ends (".attn.bias"); up to NULL, or NULL
};

/* Of an architecture that goes from left to right: its last norm, and what transformers calls the
 * layer behind it. A text is known by its last row. */
#define LORAC_DECODER_HEADS(norm, classifier, tagger)                                           \
    {                                                                                           \
        [LORAC_TASK_LM] = {LORAC_STEPS_OF({OP_NORM, {SLOT_N}, {SLOT_X}, norm, 0},               \
                                          {OP_LINEAR, {SLOT_Z}, {SLOT_N}, "lm_head", 0}),       \
                           LORAC_ROW_EACH},                                                     \
        [LORAC_TASK_CLASSIFY] = {LORAC_STEPS_OF(                                                \
                                     {OP_NORM, {SLOT_N}, {SLOT_X}, norm, 0},                    \
                                     {OP_LINEAR, {SLOT_Z}, {SLOT_N}, classifier, HEAD_OWN}),    \
                                 LORAC_ROW_LAST},                                               \
        [LORAC_TASK_TAG] = {LORAC_STEPS_OF(                                                     \
                                {OP_NORM, {SLOT_N}, {SLOT_X}, norm, 0},                         \
                                {OP_LINEAR, {SLOT_Z}, {SLOT_N}, tagger, HEAD_OWN | BIAS_HEAD}), \
                            LORAC_ROW_EACH},                                                    \
        [LORAC_TASK_BODY] = {LORAC_STEPS_OF({OP_NORM, {SLOT_N}, {SLOT_X}, norm, 0}),            \
                             LORAC_ROW_EACH},                                                   \
    }

/* llama's, which its kin share. */
extern const struct lorac_program lorac_program_llama;
extern const struct lorac_rename lorac_renames_llama[]; // a body that was saved alone
extern const struct lorac_arch lorac_arch_llama, lorac_arch_mistral, lorac_arch_qwen2,
    lorac_arch_qwen3, lorac_arch_gemma3, lorac_arch_gemma3_part, lorac_arch_gpt2, lorac_arch_neox;

/* BERT's, which its kin share. */
enum { LORAC_LAYER_BERT = 12 };
extern const struct lorac_step lorac_layer_bert[LORAC_LAYER_BERT];
extern const struct lorac_config_keys lorac_keys_bert;
extern const struct lorac_arch lorac_arch_bert, lorac_arch_roberta, lorac_arch_xlm_roberta,
    lorac_arch_distilbert, lorac_arch_modernbert;
void lorac_defaults_bert(struct lorac_config *c);
/* Of every encoder: marks it as one, and refuses what would make it a decoder. */
LORAC_MUST_CHECK enum lorac_status lorac_config_encoder(struct lorac_config *c,
                                                        const struct lorac_json *root,
                                                        struct lorac_err *err);

/* layer_types: ["full_attention", "sliding_attention", ...], into c->sliding. Returns whether it
 * was there. */
LORAC_MUST_CHECK enum lorac_status lorac_config_layer_types(bool *found, struct lorac_config *c,
                                                            const struct lorac_json *root,
                                                            struct lorac_err *err);
/* Qwen2's rule: layers slide from max_window_layers on, or as layer_types says, where
 * use_sliding_window does. */
LORAC_MUST_CHECK enum lorac_status lorac_config_qwen_window(struct lorac_config *c,
                                                            const struct lorac_json *root,
                                                            struct lorac_err *err);
/* sliding_window: absent keeps c->window, null or 0 is none. */
LORAC_MUST_CHECK enum lorac_status lorac_config_window(struct lorac_config *c,
                                                       const struct lorac_json *root,
                                                       struct lorac_err *err);

#endif
