/*
 * peft_names.h - names of tensors as other programs write them, put as PEFT saves them; inside
 * lora/ only.
 *
 *   base_model.model.<module>.lora_A.default.weight        what the model in memory calls it: the
 * adapter's name, base_model.model.<module>.modules_to_save.default.bias   which saving takes out
 * and PEFT reads all the same <module>.lora_A.weight                                 without PEFT's
 * prefix, as transformers reads it, too
 */
#ifndef LORAC_LORA_PEFT_NAMES_H
#define LORAC_LORA_PEFT_NAMES_H

#include "base/checkpoint/safetensors.h"

/* Rename the tensors of an adapter's file. LORAC_EFORMAT where it holds several adapters, or one
 * name twice. */
LORAC_MUST_CHECK enum lorac_status lorac_peft_names(struct lorac_checkpoint *files,
                                                    const char *path, struct lorac_err *err);

#endif
