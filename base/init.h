/*
 * init.h - a new checkpoint folder with random weights: where pretraining begins, and how models of
 * real shape are made for benchmarks.
 *
 *   DIR/config.json              the one given, completed with what transformers would else guess
 *   DIR/model.safetensors        or model-0000i-of-0000n.safetensors and
 *                                model.safetensors.index.json
 *   DIR/generation_config.json, tokenizer.json, ...     where a tokenizer is given
 *
 * Weights are those of transformers' PreTrainedModel._init_weights (modeling_utils.py): matrices
 * N(0, initializer_range), biases 0, gains of norms 1, and the embedding's row of pad_token_id 0.
 * Each number is a function of (seed, tensor's name, place in the tensor), rounded once to the type
 * of the file.
 */
#ifndef LORAC_BASE_INIT_H
#define LORAC_BASE_INIT_H

#include "base/core/dtype.h"
#include "base/core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

LORAC_API_BEGIN

/* A key of the configuration, as llama calls it, and what stands there instead, as JSON has it:
 * "768", "true"; NULL: nothing. */
struct lorac_init_setting {
    const char *key, *value;
};

struct lorac_init_options {
    const char *name;                     // of the configuration in messages; NULL: "config.json"
    const struct lorac_init_setting *set; // (n_set) what changes it
    size_t n_set;
    const char *tokenizer; // folder whose tokenizer files are copied, or NULL: none
    enum lorac_dtype dtype;
    uint64_t seed;
    /* What adds to the residual stream (o_proj, down_proj) gets initializer_range / sqrt(2 L), as
     * in GPT-2 (Radford et al. 2019, section 2.3); else it is drawn as any matrix. */
    bool scale_residual;
    size_t shard_bytes; // tensors of one file; 0: 5 GB, as transformers
};

/* Make the folder `out`, which must be empty or not exist, from the text of a config.json. A
 * setting that its architecture has no key for is LORAC_EUSER. A tokenizer gives bos_, eos_ and
 * pad_token_id, and vocab_size where the configuration has none; one smaller than the tokenizer is
 * LORAC_EUSER. The folder appears whole, after it was opened as a model and every tensor compared.
 * Memory: the largest tensor. */
LORAC_MUST_CHECK enum lorac_status lorac_model_init(const char *out, const char *config,
                                                    const struct lorac_init_options *options,
                                                    struct lorac_err *err);

LORAC_API_END

#endif
