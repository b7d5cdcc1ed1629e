/* peft_files.h - names that the reader and the writer of adapter folders share; inside lora/ only.
 */
#ifndef LORAC_LORA_PEFT_FILES_H
#define LORAC_LORA_PEFT_FILES_H

#include "lora/lora.h"

#define LORAC_PEFT_CONFIG "adapter_config.json"
#define LORAC_PEFT_TENSORS "adapter_model.safetensors"
#define LORAC_PEFT_CARD "README.md"

/* PEFT's word for target_modules where no module has a pair: a pattern that fits none. */
#define LORAC_PEFT_NO_TARGETS "dummy-target-modules"

/* Where one of the two files is missing: what the folder holds instead, and the way out. */
LORAC_MUST_CHECK enum lorac_status lorac_peft_missing(const char *dir, const char *config,
                                                      const char *tensors, struct lorac_err *err);

/* Is an adapter of these files for the task that the model was opened for, with as many labels? */
struct lorac_peft_config;
LORAC_MUST_CHECK enum lorac_status lorac_peft_check_task(const struct lorac_peft_config *c,
                                                         const struct lorac_checkpoint *files,
                                                         const char *path,
                                                         const struct lorac_model *m,
                                                         struct lorac_err *err);

/* Keys of the safetensors metadata. */
#define LORAC_PEFT_BASE "lorac.base"         // fingerprint of the base
#define LORAC_PEFT_TEMPLATE "lorac.template" // JSON of the prompt template
#define LORAC_PEFT_VERSION "lorac.version"   // of the program that wrote it

#endif
