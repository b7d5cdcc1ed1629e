/* peft_files.h - names that the reader and the writer of adapter folders share; inside lora/ only. */
#ifndef LORAC_LORA_PEFT_FILES_H
#define LORAC_LORA_PEFT_FILES_H

#include "lora/lora.h"

#define LORAC_PEFT_CONFIG "adapter_config.json"
#define LORAC_PEFT_TENSORS "adapter_model.safetensors"
#define LORAC_PEFT_CARD "README.md"

/* PEFT's word for target_modules where no module has a pair: a pattern that fits none. */
#define LORAC_PEFT_NO_TARGETS "dummy-target-modules"

/* Keys of the safetensors metadata. */
#define LORAC_PEFT_BASE "lorac.base"         // fingerprint of the base
#define LORAC_PEFT_TEMPLATE "lorac.template" // JSON of the prompt template
#define LORAC_PEFT_VERSION "lorac.version"   // of the program that wrote it

#endif
