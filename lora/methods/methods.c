/* methods.c - the table, see methods.h; and what methods share. */
#include "lora/methods/methods.h"

#include "base/core/mem.h"
#include "base/core/rng.h"

#include <math.h>
#include <string.h>

#define ROW(name) &lorac_method_##name,
const struct lorac_method *const lorac_methods[] = {LORAC_METHODS(ROW) NULL};

enum { N_METHODS = sizeof lorac_methods / sizeof *lorac_methods - 1 };

const char *lorac_method_name(size_t i)
{
    return i < N_METHODS ? lorac_methods[i]->name : NULL;
}

const struct lorac_method *lorac_method_find(const char *name)
{
    if (!name) { return &lorac_method_lora; }
    size_t i = 0;
    while (i < N_METHODS && strcmp(lorac_methods[i]->name, name) != 0) {
        i++;
    }
    return lorac_methods[i];
}

bool lorac_method_reads(const char *name, const char *option)
{
    static const char *const ranked[] = {"rank", "alpha",     "scaling",   "dropout",
                                         "init", "overrides", "lr_ratio_b"};
    const struct lorac_method *method = lorac_method_find(name);
    bool of_ranks = false;
    for (size_t i = 0; i < sizeof ranked / sizeof *ranked; i++) {
        of_ranks = of_ranks || strcmp(ranked[i], option) == 0;
    }
    bool placed = strcmp(option, "targets") == 0 || strcmp(option, "exclude") == 0;
    if (placed) { return method && method->tensor[0]; }
    if (strcmp(option, "bias") == 0) { return method && !method->peft_keys; }
    if (strcmp(option, "feedforward") == 0) { return method && method->inputs; }
    if (strcmp(option, "vector_decay") == 0) { return method && method->vectors; }
    return method && (method->ranked || !of_ranks);
}

bool lorac_site_drops(const struct lorac_adapter *a, const struct lorac_site *s,
                      const struct lorac_linear *l)
{
    return l->training && a->dropout > 0.0 && s->dp[0]; // inference never drops
}

const float *lorac_site_dropped(float *to, const struct lorac_adapter *a,
                                const struct lorac_site *s, const float *x,
                                const struct lorac_linear *l)
{
    if (!lorac_site_drops(a, s, l)) { return x; }
    const struct lorac_batch *b = l->batch;
    size_t before = !b ? 0 : l->scored ? b->scored_before : b->rows_before;
    l->dev->ops->dropout(l->dev, to, x, l->N * s->C, (float)a->dropout, s->drop_key, a->step,
                         (before + l->row) * s->C);
    return to;
}

/* From a stream of its own: neither order nor other modules change it. */
enum lorac_status lorac_site_init_a(struct lorac_adapter *a, size_t i, uint64_t seed,
                                    struct lorac_err *err)
{
    const struct lorac_site *s = &a->site[i];
    char name[LORAC_NAME_SIZE];
    lorac_site_tensor_name(name, a, i, 0);
    uint64_t key = lorac_rng_key(seed, name);
    size_t n = s->R * s->C;
    float *host = lorac_mem_new(n, sizeof *host);
    if (!host) { return lorac_fail(err, LORAC_ENOMEM, "no memory to initialise '%s'", name); }
    double bound = 1.0 / sqrt((double)s->C);
    for (size_t j = 0; j < n; j++) {
        host[j] = a->init == LORAC_INIT_GAUSSIAN
                      ? (float)(lorac_rng_normal(key, 0, j) / (double)s->R)
                      : (float)((2.0 * lorac_rng_uniform(key, 0, j) - 1.0) * bound);
    }
    enum lorac_status st = lorac_site_write(a, i, 0, host, err);
    lorac_mem_free(host);
    return st;
}
