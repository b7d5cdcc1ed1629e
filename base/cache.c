/* cache.c - keys and values of earlier batches; see model.h. */
#include "base/pass_impl.h"

#include "base/core/mem.h"

static void place_cache(struct lorac_place *place, struct lorac_cache *c)
{
    const struct lorac_config *config = &c->m->config;
    for (size_t l = 0; l < config->L; l++) {
        float *k = LORAC_PLACE(place, c->rows, config->G, config->D);
        float *v = LORAC_PLACE(place, c->rows, config->G, config->D);
        if (c->k) { c->k[l] = k; }
        if (c->v) { c->v[l] = v; }
    }
}

enum lorac_status lorac_cache_measure(size_t *bytes, const struct lorac_model *m, size_t rows,
                                      struct lorac_err *err)
{
    struct lorac_cache cache = {.m = m, .rows = rows};
    struct lorac_place place = {0};
    place_cache(&place, &cache);
    return lorac_place_size(bytes, &place, err);
}

enum lorac_status lorac_cache_new(struct lorac_cache **out, const struct lorac_model *m,
                                  size_t rows, struct lorac_err *err)
{
    *out = NULL;
    const struct lorac_config *c = &m->config;
    struct lorac_cache *cache = lorac_mem_new(1, sizeof *cache);
    if (!cache) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a cache"); }
    cache->m = m;
    cache->rows = rows;
    cache->k = lorac_mem_new(c->L, sizeof *cache->k);
    cache->v = lorac_mem_new(c->L, sizeof *cache->v);
    enum lorac_status st = LORAC_OK;
    struct lorac_place place = {0};
    size_t bytes = 0;
    void *block = NULL;
    if (!cache->k || !cache->v) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for a cache"); }
    if (!st) {
        place_cache(&place, cache);
        st = lorac_block_take(&block, &bytes, &place, m->dev, err);
    }
    if (!st) {
        cache->block = block;
        place_cache(&place, cache);
    }
    if (st) {
        lorac_cache_free(cache);
        return st;
    }
    *out = cache;
    return LORAC_OK;
}

void lorac_cache_free(struct lorac_cache *c)
{
    if (!c) { return; }
    c->m->dev->ops->release(c->m->dev, c->block);
    lorac_mem_free(c->k);
    lorac_mem_free(c->v);
    lorac_mem_free(c);
}
