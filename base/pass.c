/* pass.c - the forward pass, and the layout of what it keeps; see model.h. */
#include "base/pass_impl.h"

#include "base/core/mem.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { LOGITS_AT_A_TIME = 8 << 20, MIN_HEAD_ROWS = 16 }; // floats; 32 MiB

size_t lorac_stage(const struct lorac_model *m, size_t module)
{
    static const size_t linear[LORAC_PER_LAYER] = {
        LORAC_STAGE_QKV,     LORAC_STAGE_QKV,     LORAC_STAGE_QKV,  LORAC_STAGE_O,
        LORAC_STAGE_GATE_UP, LORAC_STAGE_GATE_UP, LORAC_STAGE_DOWN,
    };
    size_t last = LORAC_STAGES * m->config.L + 1; // the norm's before the head
    if (module == lorac_embed_module(m)) { return 0; }
    if (module == lorac_norm_final_module(m)) { return last; }
    if (module == m->n_linear - 1) { return last + 1; }
    if (module < m->n_linear) {
        return module / LORAC_PER_LAYER * LORAC_STAGES + linear[module % LORAC_PER_LAYER];
    }
    size_t i = module - lorac_norm_module(m, 0, LORAC_NORM_ATTENTION);
    return i / 2 * LORAC_STAGES + (i % 2 ? LORAC_STAGE_NORM_MLP : LORAC_STAGE_NORM_ATTENTION);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- layout ---- */

static void place_layer(struct lorac_place *p, struct layer_acts *a, const struct lorac_config *c,
                        size_t N)
{
    a->q = LORAC_PLACE(p, N, c->H, c->D);
    a->k = LORAC_PLACE(p, N, c->G, c->D);
    a->v = LORAC_PLACE(p, N, c->G, c->D);
    a->attn = LORAC_PLACE(p, N, c->H, c->D);
    a->lse = LORAC_PLACE(p, N, c->H);
    a->mid = LORAC_PLACE(p, N, c->C);
    a->gate = LORAC_PLACE(p, N, c->F);
    a->up = LORAC_PLACE(p, N, c->F);
}

static void place_acts(struct lorac_place *p, struct lorac_pass *s)
{
    const struct lorac_config *c = &s->m->config;
    size_t N = s->o.max_rows;
    bool backward = lorac_pass_trains(s);
    for (size_t i = 0; i < s->n_sets; i++) {
        place_layer(p, &s->layers[i], c, N);
    }
    for (size_t l = 0; l <= c->L; l++) { // without a backward two buffers take turns
        s->x[l] = backward || l < 2 ? LORAC_PLACE(p, N, c->C) : s->x[l - 2];
    }
    s->rope = LORAC_PLACE(p, s->o.max_positions, c->D);
    s->norm = LORAC_PLACE(p, N, c->C);
    s->h = LORAC_PLACE(p, N, c->F);
    s->head_x = LORAC_PLACE(p, s->head_rows, c->C);
    s->head_norm = LORAC_PLACE(p, s->head_rows, c->C);
    s->logits = LORAC_PLACE(p, s->head_rows, c->V);
    if (!backward) { return; }
    s->d = LORAC_PLACE(p, N, c->C);
    s->dnorm = LORAC_PLACE(p, N, c->C);
    s->dh = LORAC_PLACE(p, N, c->F);
    s->dattn = LORAC_PLACE(p, N, c->H, c->D);
    s->dq = LORAC_PLACE(p, N, c->H, c->D);
    s->dk = LORAC_PLACE(p, N, c->G, c->D);
    s->dv = LORAC_PLACE(p, N, c->G, c->D);
    s->head_dx = LORAC_PLACE(p, s->head_rows, c->C);
    s->head_dnorm = LORAC_PLACE(p, s->head_rows, c->C);
}

/* Rows of module i at a time. */
static size_t rows_of(const struct lorac_pass *s, size_t i)
{
    return i + 1 == s->m->n_linear ? s->head_rows : s->o.max_rows;
}

/* Floats that the socket keeps of module i. */
static size_t saved_floats(const struct lorac_pass *s, size_t i)
{
    if (!s->has_socket || !s->socket.adapts(s->socket.self, i)) { return 0; }
    return s->socket.saved_floats(s->socket.self, i, rows_of(s, i));
}

static size_t scratch_floats(const struct lorac_pass *s, size_t i)
{
    if (!lorac_pass_trains(s) || !s->has_socket || !s->socket.scratch_floats) { return 0; }
    return s->socket.adapts(s->socket.self, i)
               ? s->socket.scratch_floats(s->socket.self, i, rows_of(s, i))
               : 0;
}

/* What the socket keeps: of every module where all layers are kept, else one buffer for each of the kinds
 * q, k, v, ..., as large as the largest of them needs. And its scratch where it trains. */
static void place_saved(struct lorac_place *p, struct lorac_pass *s)
{
    size_t head = s->m->n_linear - 1;
    size_t most[LORAC_PER_LAYER] = {0};
    size_t scratch = 0;
    float *shared[LORAC_PER_LAYER] = {0};
    bool all = s->o.keep == LORAC_KEEP_ALL;
    for (size_t i = 0; i <= head; i++) {
        size_t n = saved_floats(s, i);
        size_t kind = i % LORAC_PER_LAYER;
        s->saved[i] = n && (all || i == head) ? LORAC_PLACE(p, n) : NULL;
        if (!all && i < head && n > most[kind]) { most[kind] = n; }
        n = scratch_floats(s, i);
        scratch = n > scratch ? n : scratch;
    }
    for (size_t k = 0; k < LORAC_PER_LAYER; k++) {
        if (most[k]) { shared[k] = LORAC_PLACE(p, most[k]); }
    }
    for (size_t i = 0; i < head && !all; i++) {
        s->saved[i] = shared[i % LORAC_PER_LAYER];
    }
    s->scratch = scratch ? LORAC_PLACE(p, scratch) : NULL;
}

void lorac_pass_find_lowest(struct lorac_pass *p)
{
    p->lowest = SIZE_MAX;
    size_t n = p->has_socket ? (p->socket.weight ? p->m->n_modules : p->m->n_linear) : 0;
    for (size_t i = 0; i < n; i++) {
        if (p->socket.trains(p->socket.self, i)) {
            p->lowest = least(p->lowest, lorac_stage(p->m, i));
        }
    }
}

/* Give `place` (already run to measure) memory of the device. */
static enum lorac_status take_block(void **block, size_t *bytes, struct lorac_place *place,
                                    struct lorac_device *dev, struct lorac_err *err)
{
    enum lorac_status st = lorac_place_size(bytes, place, err);
    if (st) { return st; }
    *block = dev->ops->alloc(dev, *bytes);
    if (!*block) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory for %zu MiB of activations", *bytes >> 20);
    }
    lorac_place_use(place, *block);
    return LORAC_OK;
}

static enum lorac_status write_rope(struct lorac_pass *p, struct lorac_err *err)
{
    size_t n = p->o.max_positions * p->m->config.D;
    float *table = lorac_mem_new(n, sizeof *table);
    if (!table) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the rotary table"); }
    lorac_rope_table(table, &p->m->config, p->o.max_positions);
    p->dev->ops->write(p->dev, p->rope, table, n * sizeof *table);
    lorac_mem_free(table);
    return LORAC_OK;
}

size_t lorac_pass_head_rows(const struct lorac_model *m, size_t max_rows)
{
    size_t rows = LOGITS_AT_A_TIME / m->config.V / 4 * 4; // draws of dropout come in fours
    return least(rows < MIN_HEAD_ROWS ? MIN_HEAD_ROWS : rows, max_rows);
}

/* Everything but the blocks. */
static enum lorac_status prepare(struct lorac_pass **out, const struct lorac_model *m,
                                 const struct lorac_socket *socket,
                                 const struct lorac_pass_options *options, struct lorac_err *err)
{
    *out = NULL;
    const struct lorac_config *c = &m->config;
    struct lorac_pass *p = lorac_mem_new(1, sizeof *p);
    if (!p) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a pass"); }
    p->m = m;
    p->dev = m->dev;
    p->o = *options;
    p->lowest = SIZE_MAX;
    p->has_socket = socket != NULL;
    if (socket) { p->socket = *socket; }
    if (!p->o.max_positions) { p->o.max_positions = c->max_positions; }
    p->o.max_positions = least(p->o.max_positions, c->max_positions);
    p->n_sets = p->o.keep == LORAC_KEEP_ALL ? c->L : 1;
    p->head_rows = lorac_pass_head_rows(m, p->o.max_rows);
    p->layers = lorac_mem_new(p->n_sets, sizeof *p->layers);
    p->x = lorac_mem_new(c->L + 1, sizeof *p->x);
    p->saved = lorac_mem_new(m->n_linear, sizeof *p->saved);
    if (!p->layers || !p->x || !p->saved) {
        lorac_pass_free(p);
        return lorac_fail(err, LORAC_ENOMEM, "no memory for a pass");
    }
    *out = p;
    return LORAC_OK;
}

static enum lorac_status take_saved(struct lorac_pass *p, struct lorac_err *err)
{
    struct lorac_place place = {0};
    place_saved(&place, p);
    enum lorac_status st = take_block(&p->saved_block, &p->saved_bytes, &place, p->dev, err);
    if (!st) { place_saved(&place, p); }
    return st;
}

enum lorac_status lorac_pass_new(struct lorac_pass **out, const struct lorac_model *m,
                                 const struct lorac_socket *socket,
                                 const struct lorac_pass_options *options, struct lorac_err *err)
{
    struct lorac_pass *p = NULL;
    struct lorac_place place = {0};
    enum lorac_status st = prepare(out, m, socket, options, err);
    if (st) { return st; }
    p = *out;
    place_acts(&place, p);
    st = take_block(&p->block, &p->bytes, &place, p->dev, err);
    if (!st) {
        place_acts(&place, p);
        st = take_saved(p, err);
    }
    if (!st) { st = write_rope(p, err); }
    if (st) {
        lorac_pass_free(p);
        *out = NULL;
    }
    return st;
}

enum lorac_status lorac_pass_measure(size_t *bytes, const struct lorac_model *m,
                                     const struct lorac_socket *socket,
                                     const struct lorac_pass_options *options,
                                     struct lorac_err *err)
{
    struct lorac_pass *p = NULL;
    struct lorac_place acts = {0};
    struct lorac_place saved = {0};
    size_t more = 0;
    enum lorac_status st = prepare(&p, m, socket, options, err);
    if (st) { return st; }
    place_acts(&acts, p);
    place_saved(&saved, p);
    st = lorac_place_size(bytes, &acts, err);
    if (!st) { st = lorac_place_size(&more, &saved, err); }
    *bytes += more;
    lorac_pass_free(p);
    return st;
}

void lorac_pass_free(struct lorac_pass *p)
{
    if (!p) { return; }
    p->dev->ops->release(p->dev, p->block);
    p->dev->ops->release(p->dev, p->saved_block);
    lorac_mem_free(p->layers);
    lorac_mem_free(p->x);
    lorac_mem_free(p->saved);
    lorac_mem_free(p);
}

size_t lorac_pass_bytes(const struct lorac_pass *p)
{
    return p->bytes + p->saved_bytes;
}

enum lorac_status lorac_pass_use(struct lorac_pass *p, const struct lorac_socket *socket,
                                 struct lorac_err *err)
{
    if (lorac_pass_trains(p)) {
        return lorac_fail(err, LORAC_EUSER,
                          "a pass that keeps activations for a backward stays with its adapters");
    }
    struct lorac_pass next = *p;
    next.saved_block = NULL;
    next.has_socket = socket != NULL;
    if (socket) { next.socket = *socket; }
    next.saved = lorac_mem_new(p->m->n_linear, sizeof *next.saved);
    enum lorac_status st =
        next.saved ? take_saved(&next, err) : lorac_fail(err, LORAC_ENOMEM, "no memory for a pass");
    struct lorac_pass *gone = st ? &next : p;
    p->dev->ops->release(p->dev, gone->saved_block);
    lorac_mem_free(gone->saved);
    if (!st) { *p = next; }
    return st;
}

/* ---- cache ---- */

static void place_cache(struct lorac_place *place, struct lorac_cache *c)
{
    const struct lorac_config *config = &c->m->config;
    for (size_t l = 0; l < config->L; l++) {
        float *k = LORAC_PLACE(place, c->slots, c->rows, config->G, config->D);
        float *v = LORAC_PLACE(place, c->slots, c->rows, config->G, config->D);
        if (c->k) { c->k[l] = k; }
        if (c->v) { c->v[l] = v; }
    }
}

enum lorac_status lorac_cache_measure(size_t *bytes, const struct lorac_model *m, size_t slots,
                                      size_t rows, struct lorac_err *err)
{
    struct lorac_cache cache = {.m = m, .slots = slots, .rows = rows};
    struct lorac_place place = {0};
    place_cache(&place, &cache);
    return lorac_place_size(bytes, &place, err);
}

enum lorac_status lorac_cache_new(struct lorac_cache **out, const struct lorac_model *m,
                                  size_t slots, size_t rows, struct lorac_err *err)
{
    *out = NULL;
    const struct lorac_config *c = &m->config;
    struct lorac_cache *cache = lorac_mem_new(1, sizeof *cache);
    if (!cache) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a cache"); }
    cache->m = m;
    cache->slots = slots;
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
        st = take_block(&block, &bytes, &place, m->dev, err);
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

/* ---- what stands in for the model's own ---- */

const struct lorac_weight *lorac_pass_weight(const struct lorac_pass *p, size_t module)
{
    const struct lorac_weight *w = NULL;
    if (p->has_socket && p->socket.weight) { w = p->socket.weight(p->socket.self, module); }
    return w ? w : lorac_module_weight(p->m, module);
}

const float *lorac_pass_vector(const struct lorac_pass *p, size_t module)
{
    const float *v = NULL;
    size_t n = 0;
    if (p->has_socket && p->socket.vector) { v = p->socket.vector(p->socket.self, module); }
    return v ? v : lorac_module_vector(p->m, module, &n);
}

/* ---- forward ---- */

void lorac_linear_forward(struct lorac_pass *p, size_t module, float *y, const float *x, size_t N,
                          const struct lorac_batch *batch, size_t row)
{
    p->dev->ops->linear(p->dev, y, x, lorac_pass_weight(p, module), lorac_pass_vector(p, module),
                        N);
    if (p->has_socket && p->socket.adapts(p->socket.self, module)) {
        p->socket.forward(p->socket.self, module, y, p->saved[module], p->scratch, x, N, batch, row,
                          lorac_pass_trains(p));
    }
}

/* Append this layer's keys and values of the segments that are to be kept. */
static void append_cache(struct lorac_pass *p, size_t l, const struct layer_acts *a,
                         const struct lorac_batch *batch, struct lorac_cache *cache)
{
    size_t width = p->m->config.G * p->m->config.D;
    for (size_t s = 0; s < batch->S; s++) {
        const struct lorac_segment *seg = &batch->segments[s];
        if (!seg->keep) { continue; }
        size_t to = ((size_t)seg->slot * cache->rows + seg->position) * width;
        size_t bytes = seg->n * width * sizeof(float);
        p->dev->ops->copy(p->dev, cache->k[l] + to, a->k + seg->row * width, bytes);
        p->dev->ops->copy(p->dev, cache->v[l] + to, a->v + seg->row * width, bytes);
    }
}

struct lorac_attention lorac_layer_attention(const struct lorac_config *c, size_t l)
{
    return (struct lorac_attention){
        .H = c->H,
        .G = c->G,
        .D = c->D,
        .scale = (float)(1.0 / sqrt((double)c->D)),
        .window = c->sliding[l] ? c->window : 0,
        .causal = true,
    };
}

void lorac_layer_forward(struct lorac_pass *p, size_t l, const struct lorac_batch *batch,
                         struct lorac_cache *cache)
{
    const struct lorac_config *c = &p->m->config;
    const struct lorac_backend *op = p->dev->ops;
    struct lorac_device *dev = p->dev;
    struct layer_acts *a = &p->layers[p->n_sets == 1 ? 0 : l];
    const float *x = p->x[l];       // (N,C)
    float *y = p->x[l + 1];         // (N,C)
    size_t m = LORAC_PER_LAYER * l; // index of q
    size_t N = batch->N;
    struct lorac_attention attention = lorac_layer_attention(c, l);

    const float *g = lorac_pass_vector(p, lorac_norm_module(p->m, l, LORAC_NORM_ATTENTION)); // (C)
    op->rmsnorm(dev, p->norm, x, g, N, c->C, (float)c->eps);
    lorac_linear_forward(p, m + LORAC_Q, a->q, p->norm, N, batch, 0);
    lorac_linear_forward(p, m + LORAC_K, a->k, p->norm, N, batch, 0);
    lorac_linear_forward(p, m + LORAC_V, a->v, p->norm, N, batch, 0);
    op->rope(dev, a->q, p->rope, batch->position, N, c->H, c->D, 1.0F);
    op->rope(dev, a->k, p->rope, batch->position, N, c->G, c->D, 1.0F);
    if (cache) { append_cache(p, l, a, batch, cache); }
    op->attention(dev, a->attn, a->lse, a->q, a->k, a->v, cache ? cache->k[l] : NULL,
                  cache ? cache->v[l] : NULL, cache ? cache->rows : 0, batch->segments, batch->S,
                  &attention);
    lorac_linear_forward(p, m + LORAC_O, a->mid, a->attn, N, batch, 0);
    op->add(dev, a->mid, x, N * c->C);

    g = lorac_pass_vector(p, lorac_norm_module(p->m, l, LORAC_NORM_MLP));
    op->rmsnorm(dev, p->norm, a->mid, g, N, c->C, (float)c->eps);
    lorac_linear_forward(p, m + LORAC_GATE, a->gate, p->norm, N, batch, 0);
    lorac_linear_forward(p, m + LORAC_UP, a->up, p->norm, N, batch, 0);
    op->gate(dev, p->h, a->gate, a->up, N * c->F, c->act);
    lorac_linear_forward(p, m + LORAC_DOWN, y, p->h, N, batch, 0);
    op->add(dev, y, a->mid, N * c->C);
}

static enum lorac_status check_batch(const struct lorac_pass *p, const struct lorac_batch *batch,
                                     const struct lorac_cache *cache, struct lorac_err *err)
{
    if (batch->N == 0 || batch->N > p->o.max_rows) {
        return lorac_fail(err, LORAC_EUSER, "a batch of %zu rows does not fit a pass of 1 to %zu",
                          batch->N, p->o.max_rows);
    }
    for (size_t n = 0; n < batch->N; n++) {
        if (batch->ids[n] < 0 || (size_t)batch->ids[n] >= p->m->config.V) {
            return lorac_fail(err, LORAC_EUSER,
                              "token id %d is outside the model's vocabulary of %zu", batch->ids[n],
                              p->m->config.V);
        }
        if (batch->position[n] >= p->o.max_positions) {
            return lorac_fail(err, LORAC_EUSER,
                              "position %u is past the %zu that this model can read",
                              batch->position[n], p->o.max_positions);
        }
    }
    for (size_t t = 0; t < batch->T; t++) {
        if (batch->target[t] < 0 || (size_t)batch->target[t] >= p->m->config.V) {
            return lorac_fail(err, LORAC_EUSER,
                              "token id %d is outside the model's vocabulary of %zu",
                              batch->target[t], p->m->config.V);
        }
    }
    for (size_t s = 0; s < batch->S; s++) {
        const struct lorac_segment *seg = &batch->segments[s];
        bool fits = seg->slot < 0 ||
                    (cache && (size_t)seg->slot < cache->slots && seg->past <= cache->rows &&
                     (!seg->keep || seg->position + seg->n <= cache->rows));
        if (!fits) {
            return lorac_fail(err, LORAC_EUSER,
                              "segment %zu needs row %u of cache sequence %d, which "
                              "the cache does not have",
                              s, seg->position + seg->n, seg->slot);
        }
    }
    return LORAC_OK;
}

enum lorac_status lorac_pass_forward(struct lorac_pass *p, const struct lorac_batch *batch,
                                     struct lorac_cache *cache, struct lorac_err *err)
{
    enum lorac_status st = check_batch(p, batch, cache, err);
    if (st) { return st; }
    p->dev->ops->embed(p->dev, p->x[0], batch->ids, lorac_pass_weight(p, lorac_embed_module(p->m)),
                       batch->N);
    for (size_t l = 0; l < p->m->config.L; l++) {
        lorac_layer_forward(p, l, batch, cache);
    }
    return LORAC_OK;
}
