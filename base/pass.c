/*
 * pass.c - the memory of a pass, and the way of a batch through a model's program, up and down; see
 * model.h.
 */
#include "base/pass_impl.h"

#include "base/core/mem.h"

#include <assert.h>

enum { LOGITS_AT_A_TIME = 8 << 20, MIN_HEAD_ROWS = 16 }; // floats; 32 MiB

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- layout ---- */

/* Does a way down end there? */
static bool front_adapts(const struct lorac_pass *p)
{
    bool yes = false;
    for (size_t i = 0; i < p->m->config.program->front.n && p->has_socket && !yes; i++) {
        uint32_t m = p->m->step[i];
        yes = m != LORAC_NO_MODULE && p->socket.adapts(p->socket.self, m);
    }
    return yes && lorac_pass_trains(p);
}

static void make_layouts(struct lorac_pass *p)
{
    const struct lorac_config *c = &p->m->config;
    const struct lorac_program *program = c->program;
    const struct lorac_steps *head = &c->head->steps;
    uint32_t x = 1U << SLOT_X;
    uint32_t y = 1U << SLOT_Y;
    enum lorac_layout_keep exact = lorac_pass_trains(p) ? KEEP_EXACT : KEEP_NONE;
    enum lorac_layout_keep own = exact && p->m->compute != LORAC_FLOAT32 ? KEEP_ROUNDED : exact;
    lorac_layout_make(&p->front.layout, c, &program->front, x, SLOT_X, false,
                      front_adapts(p) ? exact : KEEP_NONE);
    lorac_layout_make(&p->layer.layout, c, &program->layer, x | y, SLOT_Y, false, own);
    p->top = head->n ? head->at[head->n - 1].out[0] : SLOT_X;
    lorac_layout_make(&p->head.layout, c, head, x, p->top, true, exact);
    assert(p->layer.layout.cut < program->layer.n); // where rows that don't score end
}

/* What a section keeps for its way down. */
static void place_kept(struct lorac_place *place, void *at[LORAC_SLOTS],
                       const struct lorac_config *c, const struct lorac_section *section,
                       size_t rows)
{
    for (enum lorac_slot s = SLOT_X; s < LORAC_SLOTS; s++) {
        if (!((section->layout.kept >> s) & 1U)) { continue; }
        bool half = (section->layout.rounded >> s) & 1U;
        at[s] = LORAC_PLACE(place, half ? (rows + 1) / 2 : rows, lorac_slot_width(c, s));
    }
}

/* Buffers; of gradients those from `own` on. */
static void place_section(struct lorac_place *place, struct lorac_section *s, size_t rows,
                          size_t own)
{
    for (size_t i = 0; i < s->layout.buffers.n; i++) {
        s->buffer[i] = LORAC_PLACE(place, rows, s->layout.buffers.width[i]);
    }
    for (size_t i = own; i < s->layout.grads.n; i++) {
        s->grad[i] = LORAC_PLACE(place, rows, s->layout.grads.width[i]);
    }
}

/* Of rows, or of heads. */
static size_t widest_norm(const struct lorac_config *c)
{
    return c->C > c->D ? c->C : c->D;
}

static void place_acts(struct lorac_place *place, struct lorac_pass *p)
{
    const struct lorac_config *c = &p->m->config;
    size_t N = p->o.max_rows;
    for (size_t i = 0; i < p->n_sets; i++) {
        place_kept(place, p->kept[i], c, &p->layer, N);
    }
    for (size_t l = 0; l <= c->L; l++) { // where no backward comes two buffers take turns
        bool read = lorac_pass_trains(p) && l >= p->frozen;
        p->x[l] = read || l < 2 ? LORAC_PLACE(place, N, c->C) : p->x[l - 2];
    }
    p->rope[0] = LORAC_PLACE(place, p->o.max_positions, c->rotary);
    p->rope[1] = c->theta_sliding > 0.0 ? LORAC_PLACE(place, p->o.max_positions, c->rotary) : NULL;
    p->gain = c->norm_plus > 0.0 ? LORAC_PLACE(place, widest_norm(c)) : NULL;
    p->plus = c->norm_plus > 0.0 ? LORAC_PLACE(place, widest_norm(c)) : NULL;
    p->head_x = LORAC_PLACE(place, p->head_rows, c->C);
    for (enum lorac_slot s = SLOT_X; s < LORAC_SLOTS; s++) {
        if (!((p->layer.layout.across >> s) & 1U)) { continue; }
        p->few[s] = LORAC_PLACE(place, N, lorac_slot_width(c, s));
    }
    place_kept(place, p->front.kept, c, &p->front, N);
    place_kept(place, p->head.kept, c, &p->head, p->head_rows);
    place_section(place, &p->front, N, 1); // the first is the layers'
    place_section(place, &p->layer, N, 0);
    place_section(place, &p->head, p->head_rows, 0);
}

/* Is module i one of the head's? They are the last in the list. */
static bool is_in_head(const struct lorac_pass *p, size_t i)
{
    const struct lorac_steps *head = p->head.layout.steps;
    size_t n = 0;
    for (size_t k = 0; k < head->n; k++) {
        n += head->at[k].module != NULL;
    }
    return i >= p->m->n_modules - n;
}

/* Rows of module i at a time. */
static size_t rows_of(const struct lorac_pass *p, size_t i)
{
    return is_in_head(p, i) ? p->head_rows : p->o.max_rows;
}

/* Floats that the socket keeps of module i. */
static size_t saved_floats(const struct lorac_pass *p, size_t i)
{
    if (!p->has_socket || !p->socket.adapts(p->socket.self, i)) { return 0; }
    return p->socket.saved_floats(p->socket.self, i, rows_of(p, i));
}

static size_t scratch_floats(const struct lorac_pass *p, size_t i)
{
    const struct lorac_socket *s = &p->socket;
    if (!lorac_pass_trains(p) || !p->has_socket || !s->scratch_floats) { return 0; }
    return s->adapts(s->self, i) ? s->scratch_floats(s->self, i, rows_of(p, i)) : 0;
}

/* What the socket keeps: of every module where all layers are kept, else one buffer for each step
 * of a layer, as large as the largest of them needs. And its scratch where it trains. */
static void place_saved(struct lorac_place *place, struct lorac_pass *p)
{
    const struct lorac_model *m = p->m;
    const struct lorac_steps *layer = p->layer.layout.steps;
    bool all = p->o.keep == LORAC_KEEP_ALL;
    const uint32_t *step = m->step + p->front.layout.steps->n;
    size_t scratch = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        size_t n = all || is_in_head(p, i) ? saved_floats(p, i) : 0;
        p->saved[i] = n ? LORAC_PLACE(place, n) : NULL;
        n = scratch_floats(p, i);
        scratch = n > scratch ? n : scratch;
    }
    p->scratch = scratch ? LORAC_PLACE(place, scratch) : NULL;
    for (size_t k = 0; k < layer->n && !all; k++) {
        size_t most = 0;
        for (size_t l = 0; l < m->config.L; l++) {
            uint32_t i = step[l * layer->n + k];
            size_t n = i == LORAC_NO_MODULE ? 0 : saved_floats(p, i);
            most = n > most ? n : most;
        }
        float *shared = most ? LORAC_PLACE(place, most) : NULL;
        for (size_t l = 0; l < m->config.L && most; l++) {
            p->saved[step[l * layer->n + k]] = shared;
        }
    }
}

/* ---- what trains ---- */

/* Slots of some steps whose gradient somebody needs, where those of `needs` are. */
static uint32_t needs_of(const struct lorac_pass *p, const struct lorac_steps *steps,
                         const uint32_t *module, uint32_t needs)
{
    for (size_t i = 0; i < steps->n; i++) {
        const struct lorac_step *s = &steps->at[i];
        bool trains = module[i] != LORAC_NO_MODULE && p->has_socket &&
                      p->socket.trains(p->socket.self, module[i]);
        for (size_t k = 0; k < LORAC_STEP_INS; k++) {
            trains = trains || (s->in[k] != SLOT_NONE && ((needs >> s->in[k]) & 1U));
        }
        for (size_t k = 0; k < LORAC_STEP_OUTS && trains; k++) {
            if (s->out[k] != SLOT_NONE) { needs |= 1U << s->out[k]; }
        }
    }
    return needs;
}

static uint32_t x_if(uint32_t needs, enum lorac_slot s)
{
    return ((needs >> s) & 1U) << SLOT_X;
}

/* needs (L+2) written: of the front, of each layer, of the head. */
static void find_needs(struct lorac_pass *p)
{
    size_t L = p->m->config.L;
    const uint32_t *module = p->m->step;
    p->needs[0] = needs_of(p, p->front.layout.steps, module, 0);
    module += p->front.layout.steps->n;
    uint32_t below = x_if(p->needs[0], SLOT_X);
    for (size_t l = 0; l < L; l++) {
        p->needs[l + 1] = needs_of(p, p->layer.layout.steps, module, below);
        below = x_if(p->needs[l + 1], SLOT_Y);
        module += p->layer.layout.steps->n;
    }
    p->needs[L + 1] = needs_of(p, p->head.layout.steps, module, below);
}

/* ---- memory ---- */

enum lorac_status lorac_block_take(void **block, size_t *bytes, struct lorac_place *place,
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

/* What does not change: rotary tables, and what norms add to their gains. */
static enum lorac_status write_constants(struct lorac_pass *p, struct lorac_err *err)
{
    const struct lorac_config *c = &p->m->config;
    size_t n = p->o.max_positions * c->rotary;
    size_t width = widest_norm(c);
    float *table = lorac_mem_new(n > width ? n : width, sizeof *table);
    if (!table) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the rotary table"); }
    for (int k = 0; k < 2 && p->rope[k]; k++) {
        lorac_rope_table(table, c, p->o.max_positions, k);
        p->dev->ops->write(p->dev, p->rope[k], table, n * sizeof *table);
    }
    for (size_t i = 0; i < width; i++) {
        table[i] = (float)c->norm_plus;
    }
    if (p->plus) { p->dev->ops->write(p->dev, p->plus, table, width * sizeof *table); }
    lorac_mem_free(table);
    return LORAC_OK;
}

size_t lorac_pass_head_rows(const struct lorac_model *m, size_t max_rows)
{
    if (lorac_model_pools(m)) { return max_rows; }        // all rows of all texts
    size_t rows = LOGITS_AT_A_TIME / m->config.Z / 4 * 4; // draws of dropout come in fours
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
    p->has_socket = socket != NULL;
    if (socket) { p->socket = *socket; }
    if (!p->o.max_positions) { p->o.max_positions = c->max_positions; }
    p->o.max_positions = least(p->o.max_positions, c->max_positions);
    p->frozen = lorac_frozen_layers(m, socket);
    p->n_sets = p->o.keep == LORAC_KEEP_ALL && p->frozen < c->L ? c->L - p->frozen : 1;
    p->head_rows = lorac_pass_head_rows(m, p->o.max_rows);
    p->kept = lorac_mem_new(p->n_sets, sizeof *p->kept);
    p->x = lorac_mem_new(c->L + 1, sizeof *p->x);
    p->needs = lorac_mem_new(c->L + 2, sizeof *p->needs);
    p->saved = lorac_mem_new(m->n_modules, sizeof *p->saved);
    if (!p->kept || !p->x || !p->needs || !p->saved) {
        lorac_pass_free(p);
        return lorac_fail(err, LORAC_ENOMEM, "no memory for a pass");
    }
    make_layouts(p);
    if (!lorac_pass_list_rows(p)) {
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
    enum lorac_status st = lorac_block_take(&p->saved_block, &p->saved_bytes, &place, p->dev, err);
    if (!st) { place_saved(&place, p); }
    return st;
}

enum lorac_status lorac_pass_new(struct lorac_pass **out, const struct lorac_model *m,
                                 const struct lorac_socket *socket,
                                 const struct lorac_pass_options *options, struct lorac_err *err)
{
    struct lorac_pass *p = NULL;
    struct lorac_place place = {0};
    *out = NULL;
    if (options->max_rows < 1 || options->max_rows > INT32_MAX) {
        return lorac_fail(err, LORAC_EUSER, "a pass has from 1 to %d rows, found %zu", INT32_MAX,
                          options->max_rows);
    }
    enum lorac_status st = lorac_device_start(m->dev, err);
    if (!st) { st = prepare(out, m, socket, options, err); }
    if (st) { return st; }
    p = *out;
    place_acts(&place, p);
    st = lorac_block_take(&p->block, &p->bytes, &place, p->dev, err);
    if (!st) {
        place_acts(&place, p);
        st = take_saved(p, err);
    }
    if (!st) { st = write_constants(p, err); }
    if (!st && lorac_pass_trains(p)) { lorac_model_prepare(m, socket, p->frozen); }
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
    lorac_mem_free(p->kept);
    lorac_mem_free(p->x);
    lorac_mem_free(p->needs);
    lorac_mem_free(p->third);
    lorac_mem_free(p->half);
    lorac_mem_free(p->text_of);
    lorac_mem_free(p->shifted);
    lorac_mem_free(p->position);
    lorac_mem_free(p->saved);
    lorac_mem_free(p);
}

void lorac_pass_profile(struct lorac_pass *p, struct lorac_profile *f)
{
    p->profile = f;
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
    next.frozen = lorac_frozen_layers(p->m, socket);
    next.saved = lorac_mem_new(p->m->n_modules, sizeof *next.saved);
    enum lorac_status st =
        next.saved ? take_saved(&next, err) : lorac_fail(err, LORAC_ENOMEM, "no memory for a pass");
    struct lorac_pass *gone = st ? &next : p;
    p->dev->ops->release(p->dev, gone->saved_block);
    lorac_mem_free(gone->saved);
    if (!st) { *p = next; }
    return st;
}

/* ---- up ---- */

/* Slots and gradients of a section; `kept`: where those are that it keeps. */
static void find_slots(struct lorac_walk *w, const struct lorac_section *s, void *const *kept)
{
    w->t = &s->layout;
    for (enum lorac_slot i = SLOT_X; i < LORAC_SLOTS; i++) {
        bool half = (w->t->rounded >> i) & 1U;
        bool whole = (w->t->kept >> i) & 1U && !half;
        w->half[i] = half ? kept[i] : NULL;
        w->x[i] = whole ? kept[i] : s->buffer[w->t->buffer[i]];
        w->dx[i] = (w->t->over >> i) & 1U ? w->x[i] : s->grad[w->t->grad[i]];
    }
}

static struct lorac_walk layer_walk(struct lorac_pass *p, size_t l, const struct lorac_batch *batch,
                                    struct lorac_cache *cache)
{
    size_t first = p->front.layout.steps->n + l * p->layer.layout.steps->n;
    struct lorac_walk w = {.p = p,
                           .module = p->m->step + first,
                           .needs = p->needs[l + 1],
                           .N = batch->N,
                           .layer = l,
                           .first = p->front.layout.steps->n,
                           .batch = batch,
                           .cache = cache,
                           .scored = p->scored && l + 1 == p->m->config.L};
    find_slots(&w, &p->layer, p->kept[p->n_sets == 1 || l < p->frozen ? 0 : l - p->frozen]);
    w.x[SLOT_X] = p->x[l];
    w.x[SLOT_Y] = p->x[l + 1];
    return w;
}

/* Where the gradient of the last layer's output is, and at the end that of the first one's input.
 */
static float *stream_gradient(const struct lorac_pass *p)
{
    return p->layer.grad[p->layer.layout.grad[SLOT_Y]];
}

static struct lorac_walk front_walk(struct lorac_pass *p, const struct lorac_batch *batch)
{
    struct lorac_walk w = {
        .p = p, .module = p->m->step, .needs = p->needs[0], .N = batch->N, .batch = batch};
    p->front.grad[p->front.layout.grad[SLOT_X]] = stream_gradient(p); // where the layers leave it
    find_slots(&w, &p->front, p->front.kept);
    w.x[SLOT_X] = p->x[0];
    return w;
}

void lorac_pass_up(struct lorac_pass *p, const struct lorac_batch *batch, struct lorac_cache *cache,
                   size_t from, size_t to)
{
    struct lorac_walk w;
    if (from == 0) {
        w = front_walk(p, batch);
        lorac_walk_up(&w);
    }
    for (size_t l = from; l < to; l++) {
        w = layer_walk(p, l, batch, cache);
        lorac_walk_up(&w);
    }
}

/* More rows of as many as are faster with copies of the weights. */
static void count_many(struct lorac_pass *p, size_t N)
{
    bool before = p->many > LORAC_PREPARE_TOKENS;
    p->many += N < LORAC_PREPARE_ROWS || lorac_pass_trains(p) ? 0 : N;
    if (before || p->many <= LORAC_PREPARE_TOKENS) { return; }
    lorac_model_prepare(p->m, p->has_socket ? &p->socket : NULL, LORAC_ALL_FROZEN);
}

enum lorac_status lorac_pass_forward(struct lorac_pass *p, const struct lorac_batch *batch,
                                     struct lorac_cache *cache, struct lorac_err *err)
{
    enum lorac_status st = lorac_pass_check(p, batch, cache, err);
    if (st) { return st; }
    count_many(p, batch->N);
    p->scored = !lorac_model_pools(p->m);
    lorac_pass_up(p, batch, cache, 0, p->m->config.L);
    return LORAC_OK;
}

/* ---- the head, for scored rows only, in chunks; and down ---- */

/* Logits of rows u .. u+n-1 of the batch's head rows. */
static struct lorac_walk head_forward(struct lorac_pass *p, const struct lorac_batch *b, size_t u,
                                      size_t n)
{
    size_t L = p->m->config.L;
    size_t C = p->m->config.C;
    size_t first = p->front.layout.steps->n + L * p->layer.layout.steps->n;
    struct lorac_walk w = {
        .p = p,
        .module = p->m->step + first,
        .needs = p->needs[L + 1],
        .N = n,
        .first = p->front.layout.steps->n + p->layer.layout.steps->n,
        .row = u,
        .head = true,
        .batch = b,
    };
    find_slots(&w, &p->head, p->head.kept);
    bool few = !p->scored && !lorac_model_pools(p->m);
    w.x[SLOT_X] = few ? p->head_x : p->x[L] + u * C;
    if (few) { p->dev->ops->gather(p->dev, p->head_x, p->x[L], b->head_row + u, n, C); }
    if (lorac_model_pools(p->m)) { w.N = b->N; } // until they are pooled
    lorac_walk_up(&w);
    return w;
}

void lorac_pass_logits(struct lorac_pass *p, const struct lorac_batch *batch, float *logits)
{
    size_t Z = p->m->config.Z;
    for (size_t u = 0; u < batch->U; u += p->head_rows) {
        size_t n = least(batch->U - u, p->head_rows);
        struct lorac_walk w = head_forward(p, batch, u, n);
        p->dev->ops->read(p->dev, logits + u * Z, w.x[p->top], n * Z * sizeof *logits);
    }
}

/* Losses and gradients of n rows' logits z (n,Z), device memory. */
static void loss_of_rows(struct lorac_pass *p, float *nll, float *z, const uint32_t *first,
                         const struct lorac_batch *batch, size_t n, bool gradient)
{
    const struct lorac_backend *op = p->dev->ops;
    const int32_t *target = batch->target + first[0];
    const float *weight = gradient ? batch->weight + first[0] : NULL;
    size_t Z = p->m->config.Z;
    if (batch->loss == LORAC_LOSS_SOFTMAX) {
        op->cross_entropy(p->dev, nll, z, first, target, weight, n, Z);
    } else {
        op->column_loss(p->dev, nll, z, first, target, batch->value + first[0], weight, n, Z,
                        batch->loss == LORAC_LOSS_SQUARED);
    }
}

void lorac_pass_loss(struct lorac_pass *p, const struct lorac_batch *batch, float *nll,
                     bool gradient)
{
    size_t C = p->m->config.C;
    float *d = stream_gradient(p); // (U,C)
    assert(p->m->config.task != LORAC_TASK_BODY && (!gradient || lorac_pass_trains(p)));
    if (gradient) {
        find_needs(p);
    } // an adapter may have got its gradients after the pass was made
    for (size_t u = 0; u < batch->U; u += p->head_rows) {
        size_t n = least(batch->U - u, p->head_rows);
        const uint32_t *first = batch->first + u;
        struct lorac_walk w = head_forward(p, batch, u, n);
        struct lorac_cost *before = lorac_profile_enter(p->profile, LORAC_PROFILE_LOSS);
        loss_of_rows(p, nll + first[0], w.x[SLOT_Z], first, batch, n, gradient);
        (void)lorac_profile_switch(p->profile, before);
        if (!gradient) { continue; }
        w.dx[SLOT_X] = d + u * C;
        lorac_walk_down(&w);
    }
}

void lorac_pass_backward(struct lorac_pass *p, const struct lorac_batch *batch)
{
    const struct lorac_layout *t = &p->layer.layout;
    size_t L = p->m->config.L;
    for (size_t l = L; l-- > 0;) {
        struct lorac_walk w = layer_walk(p, l, batch, NULL);
        if (!((w.needs >> SLOT_Y) & 1U)) { return; }
        if (p->o.keep == LORAC_KEEP_LAYERS && l + 1 < L) { lorac_walk_up(&w); }
        lorac_walk_down(&w);
        p->layer.grad[t->grad[SLOT_X]] = w.dx[SLOT_Y]; // the layer below finds it as its own
        p->layer.grad[t->grad[SLOT_Y]] = w.dx[SLOT_X];
    }
    struct lorac_walk w = front_walk(p, batch);
    lorac_walk_down(&w);
}
