/*
 * config.h - config.json of a Hugging Face folder, as the numbers that the forward pass needs.
 *
 * Both spellings are read: rope_theta / rope_scaling (transformers 4) and rope_parameters (5). What
 * would change the mathematics and isn't understood is refused by name; absent keys get the
 * defaults of the architecture's configuration class in transformers
 * (models/<type>/configuration_<type>.py).
 */
#ifndef LORAC_BASE_CONFIG_H
#define LORAC_BASE_CONFIG_H

#include "base/compute/device.h"
#include "base/core/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

LORAC_API_BEGIN

enum { LORAC_MAX_LAYERS = 1024, LORAC_CLASS_NAME = 96 };

/* What stands behind the layers, and what it gives. */
enum lorac_task {
    LORAC_TASK_LM,       // logits (V) of a row's next token, of encoders of its own
    LORAC_TASK_CLASSIFY, // logits (K) of a text
    LORAC_TASK_TAG,      // logits (K) of each token
    LORAC_TASK_BODY,     // the last hidden states (C) of each token
    LORAC_TASKS
};
/* Which row of a text the head reads. */
enum lorac_text_row {
    LORAC_ROW_NONE,  // there is no such head
    LORAC_ROW_EACH,  // each
    LORAC_ROW_FIRST, // the first: [CLS], <s>
    LORAC_ROW_LAST,  // the last that is no padding
};
/* Which of a text's n ids that is. `pad`: as of a configuration, whose id transformers passes over
 * where a text ends, though it be no padding; of a text of nothing else it reads the first. */
static inline size_t lorac_text_row_of(enum lorac_text_row row, size_t pad, const int32_t *ids,
                                       size_t n)
{
    size_t i = row == LORAC_ROW_FIRST ? 0 : n - 1;
    while (pad && i > 0 && (size_t)ids[i] + 1 == pad) {
        i--;
    }
    return i;
}

enum lorac_rope { LORAC_ROPE_DEFAULT, LORAC_ROPE_LINEAR, LORAC_ROPE_LLAMA3 };

struct lorac_arch;    // a row of the table of architectures, arch/arch.h
struct lorac_program; // program.h
struct lorac_head;    // program.h

struct lorac_config {
    const struct lorac_arch *kind;
    const struct lorac_program *program; // its layers
    const struct lorac_head *head;       // what stands behind them for the task
    enum lorac_task task;
    enum lorac_task own; // that of the head in the files
    size_t labels;       // K of task, else of the head in the files; 0: it has none
    char arch[64];       // "LlamaForCausalLM"
    size_t C;            // hidden_size
    size_t L;            // num_hidden_layers
    size_t H, G;         // num_attention_heads, num_key_value_heads (divides H)
    size_t D;            // head_dim
    size_t F;            // intermediate_size
    size_t V;            // vocab_size
    size_t Z;            // numbers that the head gives a row: V, K, K or C
    size_t max_positions;
    size_t position_offset; // rows of the matrix of positions before that of position 0
    size_t types;           // token types; 0: there are none
    size_t pad;             // pad_token_id, counted from 1; 0: there is none
    bool bidirectional;     // each row sees its whole segment: an encoder
    double init_range;      // deviation of what transformers draws
    double eps;             // of the norms
    enum lorac_activation act;
    bool tie;                        // lm_head shares the embedding's matrix
    bool qkv_bias, o_bias, mlp_bias; // which linear layers carry a bias
    size_t window;                   // sliding window of the layers marked below
    bool sliding[LORAC_MAX_LAYERS];  // layer uses the window
    enum lorac_rope rope;
    double theta;         // rotary base
    double theta_sliding; // of the layers that slide, unscaled; 0: as the others
    double scale;         // of attention scores; 0: 1/sqrt(D)
    double embed_scale;   // of the embedding; 0: none
    double norm_plus;     // norms multiply by this + their gain
    bool layernorm;       // norms are LayerNorms: less the mean, plus a shift
    bool gain_only;       // without the shift
    bool pool_mean;       // a text is known by the mean of its rows, where its head has OP_POOL
    bool dense_bias, decoder_bias; // of a head's first layer, and of what gives logits of tokens
    double init_cutoff;            // what is drawn lies within this many deviations; 0: anywhere
    double head_range;   // deviation of what a task's own head is drawn with; 0: init_range
    bool scale_by_layer; // scores are divided by the layer's number from 1, too
    size_t rotary;       // of a head's numbers, those that rotate: D, less, or 0
    double partial; // rotary / D, of classes that know it; 0: the others, whose heads rotate whole
    double factor, low_freq_factor, high_freq_factor, original_positions; // of rope scaling
};

/* Have its norms a shift behind their gain? */
static inline bool lorac_config_shifts(const struct lorac_config *c)
{
    return c->layernorm && !c->gain_only;
}

/* Give it the head of `task`, LORAC_TASKS: that of the files; labels: K, or 0 for theirs.
 * LORAC_ENOTSUP where the architecture has no such head, LORAC_EUSER where the files hold another
 * one or K is another. */
LORAC_MUST_CHECK enum lorac_status lorac_config_task(struct lorac_config *c, enum lorac_task task,
                                                     size_t labels, const char *where,
                                                     struct lorac_err *err);
const char *lorac_task_text(enum lorac_task task); // "classification of texts"
/* Does its head give labels, K of a text or of a token? */
static inline bool lorac_task_is_labelled(enum lorac_task task)
{
    return task == LORAC_TASK_CLASSIFY || task == LORAC_TASK_TAG;
}
/* What transformers calls the class of a model with this head: "LlamaForSequenceClassification". */
const char *lorac_config_class(char name[LORAC_CLASS_NAME], const struct lorac_config *c);

/* The architecture that transformers calls `model_type` ("llama"), and back; NULL: none in the
 * table. */
const char *lorac_arch_of_type(const char *model_type);
const char *lorac_arch_type(const char *arch);
void lorac_arch_types(struct lorac_buf *b); // append all types, "llama, mistral, ..."

/* Append the configuration as one canonical line: what the base's fingerprint covers. */
void lorac_config_text(struct lorac_buf *b, const struct lorac_config *c);

/* table (positions,rotary) written, host memory: half of them cosines then half sines for each
 * position. `sliding`: with the base of the layers that slide. */
void lorac_rope_table(float *table, const struct lorac_config *c, size_t positions, bool sliding);

LORAC_API_END

#endif
