/* arch_mistral.c - MistralForCausalLM: a Llama without biases whose layers all slide, unless told
 * not to. */
#include "base/arch/arch.h"

static void defaults(struct lorac_config *c)
{
    c->max_positions = 131072;
    c->window = 4096;
}

static enum lorac_status read(struct lorac_config *c, const struct lorac_json *root,
                              struct lorac_err *err)
{
    enum lorac_status st = lorac_config_window(c, root, err);
    for (size_t l = 0; l < c->L; l++) {
        c->sliding[l] = c->window > 0;
    }
    return st;
}

const struct lorac_arch lorac_arch_mistral = {
    .name = "MistralForCausalLM",
    .type = "mistral",
    .family = "Mistral",
    .defaults = defaults,
    .read = read,
    .program = &lorac_program_llama,
    .heads = LORAC_DECODER_HEADS("model.norm", "score", "score"),
    .keys = &lorac_keys_llama,
    .renames = lorac_renames_llama,
};
