/*
 * arch_qwen2.c - Qwen2ForCausalLM (also Qwen2.5): biases on q, k, v; the layers from
 * max_window_layers on slide where use_sliding_window says so.
 */
#include "base/arch/arch.h"

static void defaults(struct lorac_config *c)
{
    c->max_positions = 32768;
    c->window = 4096;
}

enum lorac_status lorac_config_qwen_window(struct lorac_config *c, const struct lorac_json *root,
                                           struct lorac_err *err)
{
    bool use = false;
    bool listed = false;
    size_t from = 28;
    enum lorac_status st = lorac_json_bool(&use, root, "use_sliding_window", false, err);
    if (!st) { st = lorac_config_window(c, root, err); }
    if (!use) { c->window = 0; }
    if (!st) {
        st = lorac_json_size(&from, root, "max_window_layers", false, 0, SIZE_MAX / 2, err);
    }
    if (!st) { st = lorac_config_layer_types(&listed, c, root, err); }
    for (size_t l = 0; !st && !listed && l < c->L; l++) {
        c->sliding[l] = c->window > 0 && l >= from;
    }
    return st;
}

static enum lorac_status read(struct lorac_config *c, const struct lorac_json *root,
                              struct lorac_err *err)
{
    c->qkv_bias = true;
    return lorac_config_qwen_window(c, root, err);
}

const struct lorac_arch lorac_arch_qwen2 = {
    .name = "Qwen2ForCausalLM",
    .type = "qwen2",
    .family = "Qwen2",
    .defaults = defaults,
    .read = read,
    .program = &lorac_program_llama,
    .heads = LORAC_DECODER_HEADS("model.norm", "score", "score"),
    .keys = &lorac_keys_llama,
    .renames = lorac_renames_llama,
};
