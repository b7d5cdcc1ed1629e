/*
 * fresh.c - what a module of a head holds where the files lack it, as transformers draws it
 * (PreTrainedModel._init_weights): weights normal with deviation initializer_range, biases and
 * shifts 0, gains 1. An element is a function of the seed, the tensor's name and its place.
 */
#include "base/fresh.h"

#include "base/core/mem.h"
#include "base/core/rng.h"

#include <stdio.h>

enum lorac_status lorac_module_draw(struct lorac_module *l, const struct lorac_config *c,
                                    uint64_t seed, struct lorac_err *err)
{
    char tensor[LORAC_MODULE_NAME + 8];
    size_t n = l->OC * l->C;
    l->fresh = true;
    if (n == 0) { return LORAC_OK; }
    l->drawn = lorac_mem_new(n, sizeof *l->drawn);
    if (!l->drawn) { return lorac_fail(err, LORAC_ENOMEM, "no memory for '%s'", l->name); }
    (void)snprintf(tensor, sizeof tensor, "%s.weight", l->name);
    uint64_t key = lorac_rng_key(seed, tensor);
    for (size_t i = 0; i < n; i++) {
        l->drawn[i] = (float)(c->init_range * lorac_rng_normal(key, 0, i));
    }
    return LORAC_OK;
}
