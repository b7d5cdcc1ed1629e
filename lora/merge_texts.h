/*
 * merge_texts.h - the texts of a merged checkpoint that differ from its base's; inside lora/ only.
 *
 * Three things change them. A tied pair has parted: embedding and output were one matrix, stored
 * once, and are two now; the second is stored behind the last tensor of the file that holds the
 * first, with its type and shape. All tensors may get another type. And a head for labels may stand
 * where there was another, or none, or have other labels.
 *
 *   {"model.embed_tokens.weight": {...}, ..., "lm_head.weight": {...}}     a header's entry more
 *   config.json                    "tie_word_embeddings": false            nothing else changes
 *   model.safetensors.index.json   one entry more in weight_map            where there are shards
 *
 *   { ..., "x": {"dtype": "BF16", "shape": as it was, "data_offsets": [...]}, ... }
 *   config.json                    "torch_dtype": "bfloat16"
 *   model.safetensors.index.json   another total_size
 *
 *   config.json                    "architectures": ["BertForSequenceClassification"],
 *                                  "id2label": {"0": "calm", ...}, "label2id": {"calm": 0, ...},
 *                                  "problem_type": "single_label_classification"
 *   model.safetensors.index.json   the names as they are now
 */
#ifndef LORAC_LORA_MERGE_TEXTS_H
#define LORAC_LORA_MERGE_TEXTS_H

#include "base/core/buf.h"
#include "lora/lora.h"

/* Append the header (its length before it) of file `from` with its tensors as `specs` (n) has them,
 * in the order of the data; their own data isn't looked at. A name that the file lacks is new; what
 * is not among them goes.
 * Metadata stays, with "format": "pt". */
LORAC_MUST_CHECK enum lorac_status lorac_merged_header(struct lorac_buf *out, const char *from,
                                                       const struct lorac_tensor_spec *specs,
                                                       size_t n, struct lorac_err *err);

/* Does the metadata of file `path` say "format": "pt"? If not, the header needs writing anew. */
LORAC_MUST_CHECK enum lorac_status lorac_header_has_format(bool *has, const char *path,
                                                           struct lorac_err *err);

/* How a config differs from its base's. */
struct lorac_merged_change {
    bool untied;                   // its tie is cut
    const enum lorac_dtype *dtype; // the type of all tensors; NULL: as it was
    bool head;                     // it is of the model's task
    const struct lorac_saved
        *saved; // and its labels are these, and what goes with them; NULL: not told
};
/* Write `to`, the config `from` of model m, and read it back. */
LORAC_MUST_CHECK enum lorac_status lorac_merged_config(const char *to, const char *from,
                                                       const struct lorac_model *m,
                                                       const struct lorac_merged_change *change,
                                                       struct lorac_err *err);

/* A tensor, and the file that it lies in. */
struct lorac_merged_entry {
    const char *name, *file;
};
/* Write `to`, the index `from` with `bytes` of data in these (n) tensors. */
LORAC_MUST_CHECK enum lorac_status lorac_merged_index(const char *to, const char *from,
                                                      size_t bytes,
                                                      const struct lorac_merged_entry *at, size_t n,
                                                      struct lorac_err *err);

#endif
