/* choose_open.c - the memory of a chooser; see choose.h. */
#include "recipes/run/choose_impl.h"

#include "base/core/mem.h"

enum {
    PASS_ROWS = 1024,  // of a batch
    CACHE_ROWS = 4096, // at the most, beside the prefix
    CACHE_MIB = 128,   // unless one question takes more
};

struct sizes {
    struct lorac_pass_options pass;
    size_t prefix, cache, segments, targets;
};

static enum lorac_status find_sizes(struct sizes *s, const struct lorac_model *m,
                                    const struct lorac_chooser_options *o, struct lorac_err *err)
{
    size_t row = 0;
    enum lorac_status st = lorac_cache_measure(&row, m, 16, err);
    size_t rows = o->all_tokens && o->all_tokens < PASS_ROWS ? o->all_tokens : PASS_ROWS;
    rows = rows < o->max_tokens ? o->max_tokens : rows;
    size_t cache = row ? ((size_t)CACHE_MIB << 20) / row * 16 : CACHE_ROWS;
    size_t all = o->all_tokens ? o->all_tokens + o->all_tokens / 3 + 1 : CACHE_ROWS;
    cache = cache > CACHE_ROWS ? CACHE_ROWS : cache;
    cache = cache > all ? all : cache;
    cache = cache < o->max_tokens ? o->max_tokens : cache;
    s->prefix = o->prefix ? o->prefix->n : 0;
    s->pass = (struct lorac_pass_options){.max_rows = rows, .max_positions = s->prefix + rows};
    s->cache = s->prefix + cache;
    s->segments = 2 * rows + LORAC_MAX_CHAIN + 1;
    s->targets = 4 * rows + 2 * o->max_answers;
    return st;
}

enum lorac_status lorac_chooser_measure(size_t *bytes, const struct lorac_model *m,
                                        const struct lorac_socket *socket,
                                        const struct lorac_chooser_options *o,
                                        struct lorac_err *err)
{
    const struct lorac_chooser *c = NULL;
    struct sizes s = {0};
    size_t cache = 0;
    enum lorac_status st = find_sizes(&s, m, o, err);
    if (!st) { st = lorac_pass_measure(bytes, m, socket, &s.pass, err); }
    if (!st) { st = lorac_cache_measure(&cache, m, s.cache, err); }
    *bytes += cache + s.cache + lorac_batch_bytes(s.pass.max_rows, s.segments, s.targets) +
              s.targets * sizeof *c->nll + QUESTIONS * (sizeof *c->asked + sizeof *c->order) +
              s.pass.max_rows * (sizeof *c->run + sizeof *c->placed);
    return st;
}

enum lorac_status lorac_chooser_new(struct lorac_chooser **out, const struct lorac_model *m,
                                    const struct lorac_socket *socket,
                                    const struct lorac_chooser_options *o, struct lorac_err *err)
{
    *out = NULL;
    struct sizes s = {0};
    struct lorac_chooser *c = lorac_mem_new(1, sizeof *c);
    if (!c) { return lorac_fail(err, LORAC_ENOMEM, "no memory for labels"); }
    enum lorac_status st = find_sizes(&s, m, o, err);
    c->o = *o;
    c->nll = lorac_mem_new(s.targets, sizeof *c->nll);
    c->run = lorac_mem_new(s.pass.max_rows, sizeof *c->run);
    c->asked = lorac_mem_new(QUESTIONS, sizeof *c->asked);
    c->order = lorac_mem_new(QUESTIONS, sizeof *c->order);
    c->placed = lorac_mem_new(s.pass.max_rows + 1, sizeof *c->placed);
    c->seats = (struct lorac_seats){lorac_mem_new(s.cache, 1), s.prefix, s.cache, 0};
    if (!st && (!c->nll || !c->run || !c->asked || !c->order || !c->placed || !c->seats.taken)) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory for labels");
    }
    if (!st) { st = lorac_batch_new(&c->batch, s.pass.max_rows, s.segments, s.targets, err); }
    if (!st) { st = lorac_cache_new(&c->cache, m, s.cache, err); }
    if (!st) { st = lorac_pass_new(&c->pass, m, socket, &s.pass, err); }
    if (st) {
        lorac_chooser_free(c);
        c = NULL;
    }
    *out = c;
    return st;
}

void lorac_chooser_free(struct lorac_chooser *c)
{
    if (!c) { return; }
    for (size_t i = 0; c->asked && i < QUESTIONS; i++) {
        lorac_search_free(&c->asked[i].search);
    }
    lorac_mem_free(c->asked);
    lorac_mem_free(c->order);
    lorac_mem_free(c->pieces);
    lorac_mem_free(c->placed);
    lorac_mem_free(c->seats.taken);
    lorac_mem_free(c->nll);
    lorac_mem_free(c->run);
    lorac_ids_free(&c->ids);
    lorac_ids_free(&c->shared);
    lorac_batch_free(c->batch);
    lorac_cache_free(c->cache);
    lorac_pass_free(c->pass);
    lorac_mem_free(c);
}
