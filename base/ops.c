/*
 * ops.c - the operations of a program, forward and backward side by side.
 *
 * Backward, dy is the gradient of the step's output and dx that of an input; a dx that nothing
 * below needs is NULL. Each is pinned by finite differences in base.test_pass, and by the golden
 * files of transformers + PEFT.
 */
#include "base/pass_impl.h"

#include <math.h>

static bool has(uint32_t slots, enum lorac_slot s)
{
    return (slots >> s) & 1U;
}

/* ---- what a step takes, where somebody asks ---- */

static struct lorac_cost *cost_of(const struct lorac_walk *w, size_t i, bool backward)
{
    struct lorac_profile *f = w->p->profile;
    if (!f) { return NULL; }
    struct lorac_profile_row *row = &f->row[f->of[w->first + w->t->up[i]]];
    return backward ? &row->backward : &row->forward;
}

/* What the socket does with a linear layer is the adapters', but for the product itself. */
static struct lorac_cost *enter_socket(const struct lorac_walk *w, bool backward)
{
    struct lorac_profile *f = w->p->profile;
    if (!f) { return NULL; }
    struct lorac_profile_row *row = &f->row[LORAC_PROFILE_ADAPTERS];
    struct lorac_cost *cost = backward ? &row->backward : &row->forward;
    cost->calls++;
    return lorac_profile_switch(f, cost);
}

/* Of a slot, in all rows. */
static size_t numbers(const struct lorac_walk *w, enum lorac_slot s)
{
    return w->N * lorac_slot_width(&w->p->m->config, s);
}

/* What is kept as bfloat16 of the slots that step i was the last to write; no way down comes to
 * frozen layers. */
static void keep_rounded(const struct lorac_walk *w, size_t i)
{
    for (enum lorac_slot s = SLOT_X; s < LORAC_SLOTS; s++) {
        if (!has(w->t->rounds[i], s) || w->layer < w->p->frozen) { continue; }
        w->p->dev->ops->to_bf16(w->p->dev, w->half[s], w->x[s], numbers(w, s));
    }
}

static void run(struct lorac_walk *w, size_t i, bool backward)
{
    const struct lorac_operation *op = &lorac_operations[lorac_step_of(w, i)->op];
    struct lorac_cost *cost = cost_of(w, i, backward);
    if (w->N == 0 && !op->others) { return; } // no row scores, but the keys of all are there
    struct lorac_cost *before = lorac_profile_switch(w->p->profile, cost);
    if (cost) { cost->calls++; }
    if (backward) {
        op->backward(w, i);
    } else {
        op->forward(w, i);
        keep_rounded(w, i);
    }
    (void)lorac_profile_switch(w->p->profile, before);
}

/* A slot's values on the way up: as they were kept, or made again. */
static float *values(struct lorac_walk *w, enum lorac_slot s)
{
    if (has(w->made, s) || (w->narrow && has(w->t->across, s))) { return w->x[s]; }
    if (w->half[s]) {
        w->p->dev->ops->from_bf16(w->p->dev, w->x[s], w->half[s], numbers(w, s));
        lorac_walk_made(w, s);
    } else if (has(w->t->remade, s)) {
        const struct lorac_step *maker = lorac_step_of(w, w->t->maker[s]);
        for (size_t k = 0; k < LORAC_STEP_INS; k++) {
            (void)values(w, maker->in[k]);
        }
        run(w, w->t->maker[s], false);
        lorac_walk_made(w, s);
    }
    return w->x[s];
}

static float *input(struct lorac_walk *w, size_t i, size_t k)
{
    return values(w, lorac_step_of(w, i)->in[k]);
}

/* The gradient of input k, or NULL. */
float *lorac_walk_gradient(const struct lorac_walk *w, size_t i, size_t k)
{
    enum lorac_slot s = lorac_step_of(w, i)->in[k];
    return has(w->needs, s) ? w->dx[s] : NULL;
}

void lorac_walk_hand_down(struct lorac_walk *w, size_t i, float *dx, const float *dy, size_t n)
{
    const struct lorac_backend *op = w->p->dev->ops;
    if (!dx) { return; }
    if (w->t->flow[i][0] == FLOW_WRITE) {
        op->copy(w->p->dev, dx, dy, n * sizeof *dx);
    } else {
        op->add(w->p->dev, dx, dy, n);
    }
}

static bool adapts(const struct lorac_walk *w, size_t module)
{
    return w->p->has_socket && w->p->socket.adapts(w->p->socket.self, module);
}

/* Weight and vector of a module: the socket's, where they stand in for the model's own. */
static const struct lorac_weight *weight(const struct lorac_walk *w, size_t module)
{
    const struct lorac_socket *s = w->p->has_socket ? &w->p->socket : NULL;
    const struct lorac_weight *own = s && s->weight ? s->weight(s->self, module) : NULL;
    return own ? own : w->p->m->module[module].w;
}

/* From float `first` of the vector on: 0, or C where a LayerNorm's shift begins. */
static const float *vector(const struct lorac_walk *w, size_t module, size_t first)
{
    const struct lorac_socket *s = w->p->has_socket ? &w->p->socket : NULL;
    const float *own = s && s->vector ? s->vector(s->self, module, first) : NULL;
    const float *base = w->p->m->module[module].vector;
    return own ? own : base ? base + first : NULL;
}

/* ---- x (N,C) <- E[ids], E[positions] or E[types] ---- */

static const int32_t *rows_looked_up(const struct lorac_walk *w, size_t i)
{
    const struct lorac_batch *b = w->batch;
    unsigned flags = lorac_step_of(w, i)->flags;
    if (flags & EMBED_TYPES) { return b->type; }
    if (!(flags & EMBED_POSITIONS)) { return b->ids; }
    if (!w->p->shifted) { return (const int32_t *)b->position; } // each less than 2^28
    for (size_t n = 0; n < b->N; n++) {
        w->p->shifted[n] = (int32_t)(b->position[n] + w->p->m->config.position_offset);
    }
    return w->p->shifted;
}

static void embed(struct lorac_walk *w, size_t i)
{
    w->p->dev->ops->embed(w->p->dev, w->x[lorac_step_of(w, i)->out[0]], rows_looked_up(w, i),
                          weight(w, lorac_module_of(w, i)), w->N);
}

static void embed_backward(struct lorac_walk *w, size_t i)
{
    const struct lorac_socket *s = &w->p->socket;
    if (!s->trains(s->self, lorac_module_of(w, i))) { return; }
    s->embed_backward(s->self, lorac_module_of(w, i), w->dx[lorac_step_of(w, i)->out[0]],
                      rows_looked_up(w, i), w->N);
}

/* ---- x (N,C) *= s, in place ---- */

static void scale_rows(const struct lorac_walk *w, float *x, size_t i)
{
    const struct lorac_config *c = &w->p->m->config;
    size_t n = w->N * lorac_slot_width(c, lorac_step_of(w, i)->out[0]);
    w->p->dev->ops->scale(w->p->dev, x, n, (float)c->embed_scale);
}

static void scale(struct lorac_walk *w, size_t i)
{
    scale_rows(w, w->x[lorac_step_of(w, i)->out[0]], i);
}

static void scale_backward(struct lorac_walk *w, size_t i)
{
    scale_rows(w, w->dx[lorac_step_of(w, i)->out[0]], i);
}

/* ---- y (N,C) <- g x / rms(x); a norm of heads sees (N heads,D) ---- */

static size_t norm_width(const struct lorac_walk *w, size_t i)
{
    size_t n = w->p->m->module[lorac_module_of(w, i)].n;
    return lorac_config_shifts(&w->p->m->config) ? n / 2 : n;
}

/* What the norm multiplies by: its gain, or 1 + its gain. */
static const float *gain(const struct lorac_walk *w, size_t i)
{
    const struct lorac_backend *op = w->p->dev->ops;
    const float *g = vector(w, lorac_module_of(w, i), 0);
    size_t C = norm_width(w, i);
    if (!w->p->gain) { return g; }
    op->copy(w->p->dev, w->p->gain, g, C * sizeof *g);
    op->add(w->p->dev, w->p->gain, w->p->plus, C);
    return w->p->gain;
}

static void norm(struct lorac_walk *w, size_t i)
{
    const struct lorac_step *s = lorac_step_of(w, i);
    const struct lorac_config *c = &w->p->m->config;
    struct lorac_device *dev = w->p->dev;
    if (lorac_module_of(w, i) == LORAC_NO_MODULE) { // NOT_FIRST
        dev->ops->copy(dev, w->x[s->out[0]], w->x[s->in[0]], w->N * c->C * sizeof(float));
        return;
    }
    size_t C = norm_width(w, i);
    size_t N = w->N * lorac_slot_width(c, s->in[0]) / C;
    const float *g = gain(w, i); // (C)
    if (c->layernorm) {
        const float *b = c->gain_only ? NULL : vector(w, lorac_module_of(w, i), C); // (C)
        dev->ops->layernorm(dev, w->x[s->out[0]], w->x[s->in[0]], g, b, N, C, (float)c->eps);
    } else {
        dev->ops->rmsnorm(dev, w->x[s->out[0]], w->x[s->in[0]], g, N, C, (float)c->eps);
    }
}

static void norm_backward(struct lorac_walk *w, size_t i)
{
    const struct lorac_step *s = lorac_step_of(w, i);
    const struct lorac_config *c = &w->p->m->config;
    const struct lorac_socket *socket = &w->p->socket;
    struct lorac_device *dev = w->p->dev;
    if (lorac_module_of(w, i) == LORAC_NO_MODULE) {
        lorac_walk_hand_down(w, i, lorac_walk_gradient(w, i, 0), w->dx[s->out[0]], w->N * c->C);
        return;
    }
    size_t C = norm_width(w, i);
    size_t N = w->N * lorac_slot_width(c, s->in[0]) / C;
    const float *x = input(w, i, 0);          // (N,C)
    const float *dy = w->dx[s->out[0]];       // (N,C)
    float *dx = lorac_walk_gradient(w, i, 0); // (N,C)
    if (socket->weight && socket->trains(socket->self, lorac_module_of(w, i))) {
        socket->norm_backward(socket->self, lorac_module_of(w, i), dy, x, N, (float)c->eps);
    }
    if (!dx) { return; }
    if (w->t->flow[i][0] == FLOW_WRITE) { dev->ops->zero(dev, dx, N * C * sizeof *dx); }
    if (c->layernorm) {
        dev->ops->layernorm_backward(dev, dx, dy, x, gain(w, i), N, C, (float)c->eps);
    } else {
        dev->ops->rmsnorm_backward(dev, dx, dy, x, gain(w, i), N, C, (float)c->eps);
    }
}

/* ---- y (N,OC) <- x W^T + b, adapted ---- */

static struct lorac_cost *enter_product(const struct lorac_linear *l)
{
    if (l->profile) { l->cost->flops += l->flops; }
    return lorac_profile_switch(l->profile, l->cost);
}

void lorac_linear_forward(const struct lorac_linear *l, float *y, const float *x)
{
    if (!l->w) { return; }
    struct lorac_cost *before = enter_product(l);
    l->dev->ops->linear(l->dev, y, x, l->w, l->bias, l->N);
    (void)lorac_profile_switch(l->profile, before);
}

void lorac_linear_backward(const struct lorac_linear *l, float *dx, const float *dy)
{
    if (!l->w || !dx) { return; }
    struct lorac_cost *before = enter_product(l);
    l->dev->ops->linear_backward(l->dev, dx, dy, l->w, l->N, l->beta);
    (void)lorac_profile_switch(l->profile, before);
}

bool lorac_linear_pair(const struct lorac_linear *l, bool back, float *y, const float *x,
                       const struct lorac_pair *pair)
{
    if (!l->w || !y || !l->dev->ops->linear_pair) { return false; }
    struct lorac_cost *before = lorac_profile_switch(l->profile, l->cost);
    bool done = l->dev->ops->linear_pair(l->dev, back, y, x, l->w, back ? NULL : l->bias, pair,
                                         l->N, back ? l->beta : 0.0F);
    if (done && l->profile) { l->cost->flops += l->flops; }
    (void)lorac_profile_switch(l->profile, before);
    return done;
}

static struct lorac_linear linear_of(const struct lorac_walk *w, size_t i, bool backward)
{
    const struct lorac_pass *p = w->p;
    size_t m = lorac_module_of(w, i);
    return (struct lorac_linear){
        .profile = p->profile,
        .flops = 2.0 * (double)w->N * (double)p->m->module[m].OC * (double)p->m->module[m].C,
        .cost = cost_of(w, i, backward),
        .dev = p->dev,
        .m = m,
        .w = weight(w, m),
        .bias = vector(w, m, 0),
        .beta = w->t->flow[i][0] == FLOW_ADD ? 1.0F : 0.0F,
        .N = w->N,
        .row = w->row,
        .batch = w->batch,
        .scored = w->narrow || w->head,
        .training = lorac_pass_trains(p),
        .saved = p->saved[m],
        .scratch = p->scratch,
    };
}

static void linear(struct lorac_walk *w, size_t i)
{
    const struct lorac_step *s = lorac_step_of(w, i);
    const struct lorac_socket *socket = &w->p->socket;
    struct lorac_linear l = linear_of(w, i, false);
    size_t m = lorac_module_of(w, i);
    const float *x = w->x[s->in[0]]; // (N,C)
    float *y = w->x[s->out[0]];      // (N,OC)
    if (adapts(w, m)) {
        struct lorac_cost *before = enter_socket(w, false);
        socket->forward(socket->self, y, x, &l);
        (void)lorac_profile_switch(w->p->profile, before);
    } else {
        lorac_linear_forward(&l, y, x);
    }
}

static void linear_backward(struct lorac_walk *w, size_t i)
{
    const struct lorac_socket *socket = &w->p->socket;
    struct lorac_linear l = linear_of(w, i, true);
    size_t m = lorac_module_of(w, i);
    const float *dy = w->dx[lorac_step_of(w, i)->out[0]]; // (N,OC)
    float *dx = lorac_walk_gradient(w, i, 0);             // (N,C)
    if (adapts(w, m)) {
        const float *x = input(w, i, 0); // (N,C)
        struct lorac_cost *before = enter_socket(w, true);
        socket->backward(socket->self, dx, dy, x, &l);
        (void)lorac_profile_switch(w->p->profile, before);
    } else {
        lorac_linear_backward(&l, dx, dy);
    }
}

/* ---- q, k (N,heads,D) rotated in place ---- */

static void rotate(struct lorac_walk *w, float *x, enum lorac_slot slot, float sign)
{
    const struct lorac_config *c = &w->p->m->config;
    struct lorac_device *dev = w->p->dev;
    bool sliding = c->theta_sliding > 0.0 && c->sliding[w->layer];
    const uint32_t *position = w->narrow ? w->p->position : w->batch->position;
    dev->ops->rope(dev, x, w->p->rope[sliding], position, w->N, lorac_slot_width(c, slot) / c->D,
                   c->D, c->rotary, sign);
}

static void rope(struct lorac_walk *w, size_t i)
{
    enum lorac_slot s = lorac_step_of(w, i)->out[0];
    rotate(w, w->x[s], s, 1.0F);
}

static void rope_backward(struct lorac_walk *w, size_t i)
{
    enum lorac_slot s = lorac_step_of(w, i)->out[0];
    rotate(w, w->dx[s], s, -1.0F);
}

/* ---- a (N,H,D), lse (N,H) <- q (N,H,D), k, v (N,G,D); of rows that score alone (U,H,D) ---- */

static double scale_of(const struct lorac_config *c, size_t layer)
{
    double scale = c->scale > 0.0 ? c->scale : 1.0 / sqrt((double)c->D);
    return c->scale_by_layer ? scale / ((double)layer + 1.0) : scale;
}

static struct lorac_attention attention_of(const struct lorac_walk *w)
{
    const struct lorac_config *c = &w->p->m->config;
    return (struct lorac_attention){
        .H = c->H,
        .G = c->G,
        .D = c->D,
        .scale = (float)scale_of(c, w->layer),
        .window = c->sliding[w->layer] ? c->window : 0,
        .causal = !c->bidirectional,
        .queries = w->narrow ? w->batch->head_row : NULL,
        .Q = w->narrow ? w->batch->U : 0,
    };
}

/* Put this layer's keys and values of the segments that are to be kept behind their past. */
static void append_cache(struct lorac_walk *w, const float *k, const float *v)
{
    const struct lorac_backend *op = w->p->dev->ops;
    struct lorac_cache *cache = w->cache;
    size_t width = w->p->m->config.G * w->p->m->config.D;
    for (size_t s = 0; s < w->batch->S; s++) {
        const struct lorac_segment *seg = &w->batch->segments[s];
        if (!seg->keep) { continue; }
        size_t to = ((size_t)seg->cached + seg->past) * width;
        size_t bytes = seg->n * width * sizeof(float);
        op->copy(w->p->dev, cache->k[w->layer] + to, k + seg->row * width, bytes);
        op->copy(w->p->dev, cache->v[w->layer] + to, v + seg->row * width, bytes);
    }
}

static void attend(struct lorac_walk *w, size_t i)
{
    const struct lorac_step *s = lorac_step_of(w, i);
    const struct lorac_cache *c = w->cache;
    const float *q = w->x[s->in[0]];
    const float *k = w->x[s->in[1]];
    const float *v = w->x[s->in[2]];
    struct lorac_attention a = attention_of(w);
    if (c) { append_cache(w, k, v); }
    w->p->dev->ops->attention(w->p->dev, w->x[s->out[0]], w->x[s->out[1]], q, k, v,
                              c ? c->k[w->layer] : NULL, c ? c->v[w->layer] : NULL,
                              w->batch->segments, w->batch->S, &a);
}

/* All three gradients are written, whoever needs them. */
static void attend_backward(struct lorac_walk *w, size_t i)
{
    const struct lorac_step *s = lorac_step_of(w, i);
    struct lorac_attention a = attention_of(w);
    w->p->dev->ops->attention_backward(w->p->dev, w->dx[s->in[0]], w->dx[s->in[1]], w->dx[s->in[2]],
                                       w->dx[s->out[0]], values(w, s->out[0]), w->x[s->out[1]],
                                       w->x[s->in[0]], w->x[s->in[1]], w->x[s->in[2]],
                                       w->batch->segments, w->batch->S, &a);
}

/* ---- y (N,C) += x ---- */

static void add(struct lorac_walk *w, size_t i)
{
    const struct lorac_step *s = lorac_step_of(w, i);
    size_t n = w->N * lorac_slot_width(&w->p->m->config, s->out[0]);
    w->p->dev->ops->add(w->p->dev, w->x[s->out[0]], w->x[s->in[1]], n);
}

static void add_backward(struct lorac_walk *w, size_t i)
{
    const struct lorac_step *s = lorac_step_of(w, i);
    size_t n = w->N * lorac_slot_width(&w->p->m->config, s->out[0]);
    struct lorac_device *dev = w->p->dev;
    const float *dy = w->dx[s->out[0]];
    float *dx = lorac_walk_gradient(w, i, 1);
    if (!dx || w->t->flow[i][1] == FLOW_SHARE) { return; }
    if (w->t->flow[i][1] == FLOW_WRITE) {
        dev->ops->copy(dev, dx, dy, n * sizeof *dx);
    } else {
        dev->ops->add(dev, dx, dy, n);
    }
}

/* ---- h (N,F) <- act(g) u ---- */

static enum lorac_activation activation_of(const struct lorac_walk *w, size_t i)
{
    unsigned flags = lorac_step_of(w, i)->flags;
    return flags & ACT_TANH   ? LORAC_TANH
           : flags & ACT_RELU ? LORAC_RELU
           : flags & ACT_GELU ? LORAC_GELU
                              : w->p->m->config.act;
}

static void gate(struct lorac_walk *w, size_t i)
{
    const struct lorac_step *s = lorac_step_of(w, i);
    const struct lorac_config *c = &w->p->m->config;
    w->p->dev->ops->gate(w->p->dev, w->x[s->out[0]], w->x[s->in[0]], w->x[s->in[1]],
                         w->N * lorac_slot_width(c, s->out[0]), activation_of(w, i));
}

static void gate_backward(struct lorac_walk *w, size_t i)
{
    const struct lorac_step *s = lorac_step_of(w, i);
    const struct lorac_config *c = &w->p->m->config;
    w->p->dev->ops->gate_backward(w->p->dev, w->dx[s->in[0]], w->dx[s->in[1]], w->dx[s->out[0]],
                                  input(w, i, 0), input(w, i, 1),
                                  w->N * lorac_slot_width(c, s->out[0]), activation_of(w, i));
}

const struct lorac_operation lorac_operations[LORAC_OPS] = {
    [OP_EMBED] = {"embed", .forward = embed, .backward = embed_backward},
    [OP_SCALE] = {"scale", .forward = scale, .backward = scale_backward},
    [OP_NORM] = {"norm", norm, norm_backward, .reads = READS_IN0, .cheap = true, .adds = true},
    [OP_LINEAR] = {"linear", linear, linear_backward, .reads = READS_IN0, .rough = READS_IN0,
                   .adds = true},
    [OP_SPLIT] = {"split", .forward = lorac_split, .backward = lorac_split_backward},
    [OP_ROPE] = {"rope", .forward = rope, .backward = rope_backward},
    [OP_ATTEND] = {"attention", attend, attend_backward,
                   .reads = READS_INS | READS_OUT0 | READS_OUT1, .rough = READS_OUT0,
                   .others = READS_INS & ~READS_IN0},
    [OP_ADD] = {"add", add, add_backward, .adds = true},
    [OP_GATE] = {"gate", gate, gate_backward, .reads = READS_INS, .rough = READS_INS, .cheap = true,
                 .over = true},
    [OP_POOL] = {"pool", .forward = lorac_pool, .backward = lorac_pool_backward,
                 .others = READS_IN0},
};

/* ---- the walk ---- */

void lorac_walk_made(struct lorac_walk *w, enum lorac_slot s)
{
    for (enum lorac_slot o = SLOT_X; o < LORAC_SLOTS; o++) { // those that had its buffer are gone
        if (has(w->t->remade, o) && w->t->buffer[o] == w->t->buffer[s]) { w->made &= ~(1U << o); }
    }
    w->made |= 1U << s;
}

/* Go on with the rows that score; `gathers` on the way up, which leaves them for the way down. */
static void narrow(struct lorac_walk *w, bool gathers)
{
    struct lorac_pass *p = w->p;
    for (enum lorac_slot s = SLOT_X; s < LORAC_SLOTS; s++) {
        if (!has(w->t->across, s)) { continue; }
        size_t width = lorac_slot_width(&p->m->config, s);
        if (gathers) {
            p->dev->ops->gather(p->dev, p->few[s], w->x[s], w->batch->head_row, w->batch->U, width);
        }
        w->whole[s] = w->x[s];
        w->x[s] = p->few[s];
    }
    for (size_t u = 0; u < w->batch->U; u++) {
        p->position[u] = w->batch->position[w->batch->head_row[u]];
    }
    w->N = w->batch->U;
    w->narrow = true;
}

/* Go on with all rows: the gradients of those that don't score are zero. */
static void widen(struct lorac_walk *w)
{
    const struct lorac_backend *op = w->p->dev->ops;
    struct lorac_device *dev = w->p->dev;
    const struct lorac_batch *b = w->batch;
    for (enum lorac_slot s = SLOT_X; s < LORAC_SLOTS; s++) {
        if (!has(w->t->across, s)) { continue; }
        size_t width = lorac_slot_width(&w->p->m->config, s);
        float *few = w->x[s]; // (U,width) not read any more
        float *dx = w->dx[s]; // (U,width), then (N,width)
        w->x[s] = w->whole[s];
        if (!has(w->needs, s)) { continue; }
        op->copy(dev, few, dx, b->U * width * sizeof *dx);
        op->zero(dev, dx, b->N * width * sizeof *dx);
        op->scatter_add(dev, dx, few, b->head_row, b->U, width);
    }
    w->N = b->N;
    w->narrow = false;
}

void lorac_walk_up(struct lorac_walk *w)
{
    for (size_t i = 0; i < w->t->steps->n; i++) {
        const struct lorac_step *s = lorac_step_of(w, i);
        if (w->scored && i == w->t->cut) { narrow(w, true); }
        run(w, i, false);
        if (!has(w->t->kept | w->t->outer, s->out[0])) { lorac_walk_made(w, s->out[0]); }
    }
}

void lorac_walk_down(struct lorac_walk *w)
{
    if (w->scored) { narrow(w, false); }
    if (w->t->rounded) { w->made = 0; } // of numbers that were not rounded yet
    for (size_t n = 0; n < w->t->steps->n; n++) {
        size_t i = w->t->down[n];
        const struct lorac_step *s = lorac_step_of(w, i);
        if (w->narrow && i < w->t->cut) { widen(w); }
        if (has(w->needs, s->out[0])) { run(w, i, true); }
    }
}
