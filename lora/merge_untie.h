/*
 * merge_untie.h - the texts of a merged checkpoint whose tied pair has parted; inside lora/ only.
 *
 * Embedding and output were one matrix, stored once, and are two now. The second is stored behind the last
 * tensor of the file that holds the first, with its type and shape:
 *
 *   { "model.embed_tokens.weight": {...}, ..., "lm_head.weight": {...} }   one entry more in the header
 *   config.json                    "tie_word_embeddings": false            nothing else changes
 *   model.safetensors.index.json   one entry more in weight_map            where there are shards
 */
#ifndef LORAC_LORA_MERGE_UNTIE_H
#define LORAC_LORA_MERGE_UNTIE_H

#include "base/core/buf.h"
#include "lora/lora.h"

/* Append the header (its length before it) of file `path` with an entry for `name`, like `like` and behind all
 * data. */
LORAC_MUST_CHECK enum lorac_status lorac_untie_header(struct lorac_buf *out, const char *path,
                                                      const struct lorac_tensor *like,
                                                      const char *name, struct lorac_err *err);
/* Write `to`, the config of model m with its tie cut, and read it back. */
LORAC_MUST_CHECK enum lorac_status lorac_untie_config(const char *to, const char *from,
                                                      const struct lorac_model *m,
                                                      struct lorac_err *err);
/* Write `to`, the index `from` with `name` in the shard `file`. */
LORAC_MUST_CHECK enum lorac_status lorac_untie_index(const char *to, const char *from,
                                                     const struct lorac_tensor *like,
                                                     const char *name, const char *file,
                                                     struct lorac_err *err);

#endif
