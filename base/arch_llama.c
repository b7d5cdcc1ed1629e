/* arch_llama.c - LlamaForCausalLM: Llama 1, 2, 3, SmolLM2, TinyLlama and kin. */
#include "base/arch.h"

static void defaults(struct lorac_config *c)
{
    c->max_positions = 2048;
}

static enum lorac_status read(struct lorac_config *c, const struct lorac_json *root,
                              struct lorac_err *err)
{
    bool attention = false;
    enum lorac_status st = lorac_json_bool(&attention, root, "attention_bias", false, err);
    if (!st) { st = lorac_json_bool(&c->mlp_bias, root, "mlp_bias", false, err); }
    c->qkv_bias = c->o_bias = attention;
    return st;
}

const struct lorac_arch lorac_arch_llama = {"LlamaForCausalLM", "llama", defaults, read};
