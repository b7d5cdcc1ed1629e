/*
 * fresh.c - what a module of a head holds where the files lack it, as transformers draws it
 * (PreTrainedModel._init_weights): weights normal with deviation initializer_range, biases and
 * shifts 0, gains 1. An element is a function of the seed, the tensor's name and its place.
 */
#include "base/fresh.h"

#include "base/arch/arch.h"
#include "base/core/mem.h"
#include "base/core/rng.h"

#include <math.h>
#include <stdio.h>

double lorac_draw_normal(const struct lorac_config *c, uint64_t key, size_t i)
{
    double x = lorac_rng_normal(key, 0, i);
    for (uint64_t again = 1; c->init_cutoff > 0.0 && fabs(x) > c->init_cutoff; again++) {
        x = lorac_rng_normal(key, again, i);
    }
    return x;
}

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
    double std = l->is_head && c->head_range > 0.0 ? c->head_range : c->init_range;
    if (l->residual && c->kind->residual_init) { std /= sqrt(2.0 * (double)c->L); }
    for (size_t i = 0; i < n; i++) {
        l->drawn[i] = (float)(std * lorac_draw_normal(c, key, i));
    }
    return LORAC_OK;
}
