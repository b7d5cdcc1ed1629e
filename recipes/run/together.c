/* together.c - see together.h. */
#include "recipes/run/together.h"

#include "base/core/mem.h"

#include <string.h>

struct lorac_together {
    struct lorac_ranks *ranks; // borrowed, as
    struct lorac_adapter *adapter;
    float *host; // (most) of device memory
    size_t most; // floats of the longest block
};

enum lorac_status lorac_together_new(struct lorac_together **out, struct lorac_adapter *a,
                                     struct lorac_ranks *ranks, struct lorac_err *err)
{
    *out = NULL;
    if (!ranks) { return LORAC_OK; }
    for (size_t i = 0; i < a->n && a->dropout > 0.0; i++) {
        const struct lorac_site *site = &a->site[i];
        if (site->C % 4 == 0) { continue; } // draws come in fours
        return lorac_fail(err, LORAC_ENOTSUP,
                          "adapter.dropout: '%s' has %zu inputs, and what is drawn for them can be "
                          "divided among ranks where they are a multiple of 4",
                          a->model->module[site->m].name, site->C);
    }
    struct lorac_together *s = lorac_mem_new(1, sizeof *s);
    if (s) {
        s->ranks = ranks;
        s->adapter = a;
        for (size_t i = 0, n = 0; lorac_adapter_grads(&n, a, i); i++) {
            s->most = n > s->most ? n : s->most;
        }
        s->host = lorac_mem_new(s->most, sizeof *s->host);
    }
    if (!s || !s->host) {
        lorac_together_free(s);
        return lorac_fail(err, LORAC_ENOMEM, "no memory for the gradients of %zu ranks",
                          lorac_ranks_count(ranks));
    }
    *out = s;
    return LORAC_OK;
}

void lorac_together_free(struct lorac_together *s)
{
    if (!s) { return; }
    lorac_mem_free(s->host);
    lorac_mem_free(s);
}

void lorac_together_part(size_t *part, size_t *parts, const struct lorac_together *s, size_t i,
                         size_t n)
{
    size_t ranks = s ? lorac_ranks_count(s->ranks) : 1;
    size_t rank = s ? lorac_ranks_rank(s->ranks) : 0;
    bool divided = i >= n / ranks * ranks;
    *part = divided ? rank : 0;
    *parts = divided ? ranks : i % ranks == rank;
}

/* A block of device memory through host memory: what ranks do with it. */
static enum lorac_status go_through(struct lorac_together *s, float *block, size_t n, bool sum,
                                    enum lorac_status st, struct lorac_err *err)
{
    struct lorac_device *dev = s->adapter->model->dev;
    dev->ops->read(dev, s->host, block, n * sizeof *block);
    st = sum ? lorac_ranks_sum(s->host, n, s->ranks, st, err)
             : lorac_ranks_broadcast(s->host, n * sizeof *block, s->ranks, st, err);
    if (!st) { dev->ops->write(dev, block, s->host, n * sizeof *block); }
    return st;
}

enum lorac_status lorac_together_sum(double sums[LORAC_SUMS], struct lorac_together *s,
                                     enum lorac_status st, struct lorac_err *err)
{
    if (!s) { return st; }
    size_t n = 0;
    float *block = NULL;
    st = lorac_ranks_add(sums, LORAC_SUMS, s->ranks, st, err);
    for (size_t i = 0; !st && (block = lorac_adapter_grads(&n, s->adapter, i)); i++) {
        st = go_through(s, block, n, true, st, err);
    }
    return st;
}

enum lorac_status lorac_together_stepped(struct lorac_together *s, enum lorac_status st,
                                         struct lorac_err *err)
{
    if (!s || lorac_ranks_alike(s->ranks)) { return st; }
    st = go_through(s, s->adapter->params, s->adapter->n_params, false, st, err);
    return st ? st : lorac_adapter_refresh(s->adapter, err);
}

enum lorac_status lorac_together_state(struct lorac_state *state, struct lorac_optim *o,
                                       struct lorac_together *s, enum lorac_status st,
                                       struct lorac_err *err)
{
    if (!s) { return st; }
    struct lorac_state_block block[LORAC_STATE_BLOCKS];
    size_t n = lorac_state_blocks(block, s->adapter, o);
    st = lorac_ranks_broadcast(state, sizeof *state, s->ranks, st, err);
    for (size_t i = 0; i < n && !st; i++) {
        st = go_through(s, block[i].at, block[i].n, false, st, err);
    }
    if (!st) { st = lorac_adapter_refresh(s->adapter, err); }
    if (!st) { lorac_optim_set_steps(o, (size_t)state->step); }
    return st;
}
