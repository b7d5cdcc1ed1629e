/*
 * peft_names.h - names of tensors as other programs write them, put as PEFT saves them; inside
 * lora/ only.
 *
 *   base_model.model.<module>.lora_A.default.weight        what the model in memory calls it: the
 *   base_model.model.<module>.modules_to_save.default.bias adapter's name, which saving takes out
 *                                                          and PEFT reads all the same
 *   <module>.lora_A.weight                                 without PEFT's prefix, as transformers
 *                                                          reads it, too
 *
 * Modules themselves have had other names: an adapter of GPT-NeoX from before transformers 5 calls
 * the head embed_out, one of Gemma 3 from before 4.52 has language_model.model. where it is
 * model.language_model. now. Its adapter_config.json means the names of its time, too.
 */
#ifndef LORAC_LORA_PEFT_NAMES_H
#define LORAC_LORA_PEFT_NAMES_H

#include "base/model.h"

/* Rename the tensors of an adapter's file. LORAC_EFORMAT where it holds several adapters, or one
 * name twice. */
LORAC_MUST_CHECK enum lorac_status lorac_peft_names(struct lorac_checkpoint *files,
                                                    const char *path, struct lorac_err *err);
/* The model's modules under their other names, where tensors of the file (as lorac_peft_names()
 * left it) use one; NULL where they don't. lorac_mem_free(). */
LORAC_MUST_CHECK enum lorac_status lorac_peft_old_modules(struct lorac_module **out,
                                                          const struct lorac_model *m,
                                                          const struct lorac_checkpoint *files,
                                                          struct lorac_err *err);

#endif
