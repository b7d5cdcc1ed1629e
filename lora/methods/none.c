/*
 * none.c - no module has a pair: what trains, trains in full (full.c): the head of a task,
 * adapter.train_also, and all that is in the layers that adapter.layers names. Its files are those
 * of a LoRA without targets, as PEFT reads them.
 */
#include "lora/methods/methods.h"

const struct lorac_method lorac_method_none = {
    .name = "none",
    .title = "full",
    .peft_type = "LORA",
    .idle_text = "nothing has moved",
    .vectors = true, // biases and norms, where some train
    .adds = true,
};
