/*
 * merge_texts.h - the texts of a merged checkpoint that differ from its base's; inside lora/ only.
 *
 * Two things change them. A tied pair has parted: embedding and output were one matrix, stored
 * once, and are two now; the second is stored behind the last tensor of the file that holds the
 * first, with its type and shape. And all tensors may get another type.
 *
 *   {"model.embed_tokens.weight": {...}, ..., "lm_head.weight": {...}}     a header's entry more
 *   config.json                    "tie_word_embeddings": false            nothing else changes
 *   model.safetensors.index.json   one entry more in weight_map            where there are shards
 *
 *   { ..., "x": {"dtype": "BF16", "shape": as it was, "data_offsets": [...]}, ... }
 *   config.json                    "torch_dtype": "bfloat16"
 *   model.safetensors.index.json   another total_size
 */
#ifndef LORAC_LORA_MERGE_TEXTS_H
#define LORAC_LORA_MERGE_TEXTS_H

#include "base/core/buf.h"
#include "lora/lora.h"

/* Append the header (its length before it) of file `from` with its tensors as `specs` (n) has them,
 * in the order of the data; their own data isn't looked at. A name that the file lacks is new.
 * Metadata stays, with "format": "pt". */
LORAC_MUST_CHECK enum lorac_status lorac_merged_header(struct lorac_buf *out, const char *from,
                                                       const struct lorac_tensor_spec *specs,
                                                       size_t n, struct lorac_err *err);

/* Does the metadata of file `path` say "format": "pt"? If not, the header needs writing anew. */
LORAC_MUST_CHECK enum lorac_status lorac_header_has_format(bool *has, const char *path,
                                                           struct lorac_err *err);

/* Write `to`, the config `from` of model m, and read it back. parts: its tie is cut. dtype: the
 * type of all tensors, or NULL: as it was. */
LORAC_MUST_CHECK enum lorac_status lorac_merged_config(const char *to, const char *from,
                                                       const struct lorac_model *m, bool parts,
                                                       const enum lorac_dtype *dtype,
                                                       struct lorac_err *err);

/* Write `to`, the index `from` with `bytes` of data, and, unless NULL, `name` in the shard `file`.
 */
LORAC_MUST_CHECK enum lorac_status lorac_merged_index(const char *to, const char *from,
                                                      size_t bytes, const char *name,
                                                      const char *file, struct lorac_err *err);

#endif
