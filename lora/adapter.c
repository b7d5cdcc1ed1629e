/*
 * adapter.c - an adapter's parameters and what they do at the socket: the equations of lora.h.
 * The forward and backward of LoRA itself are the two functions at the end.
 */
#include "lora/lora.h"

#include "base/core/mem.h"
#include "base/core/rng.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void lorac_site_tensor_name(char name[LORAC_NAME_SIZE], const struct lorac_adapter *a, size_t i,
                            bool b)
{
    (void)snprintf(name, LORAC_NAME_SIZE, "base_model.model.%s.lora_%c.weight",
                   a->model->module[a->site[i].m].name, b ? 'B' : 'A');
}

static double scale_of(enum lorac_scaling scaling, double alpha, size_t R)
{
    return scaling == LORAC_SCALE_RSLORA ? alpha / sqrt((double)R) : alpha / (double)R;
}

/* ---- memory ---- */

/* Pointers into one block: A and Bt of each module in turn, full weights, full vectors. */
static void place(struct lorac_adapter *a, float *params, float *grads)
{
    size_t at = 0;
    size_t vectors = 0;
    for (size_t i = 0; i < a->n; i++) {
        struct lorac_site *l = &a->site[i];
        size_t b_at = at + l->R * l->C;
        l->a = params ? params + at : NULL;
        l->bt = params ? params + b_at : NULL;
        l->da = grads ? grads + at : NULL;
        l->dbt = grads ? grads + b_at : NULL;
        at = b_at + l->R * l->OC;
    }
    for (size_t i = 0; i < a->n_full; i++) {
        struct lorac_full *f = &a->full[i];
        f->p = params ? params + at : NULL;
        f->dp = grads ? grads + at : NULL;
        at += f->n;
        vectors += f->vector ? f->n : 0;
    }
    a->n_params = at;
    a->n_matrices = at - vectors;
}

/* The tensors that train in full: weights, then vectors. Of a tied pair that stays one, the
 * embedding's entry serves both. */
static void list_full(struct lorac_adapter *a, const struct lorac_match *match)
{
    const struct lorac_model *m = a->model;
    size_t head = m->head;
    size_t embed = m->embed;
    bool one = m->config.tie && a->tie == LORAC_TIE_KEEP;
    for (size_t i = 0; i < m->n_modules; i++) {
        bool shared = one && (i == head || i == embed);
        bool full = shared ? match[head].weight || match[embed].weight : match[i].weight;
        a->weight_at[i] = -1;
        if (!full || (shared && i == head)) { continue; }
        a->weight_at[i] = (int32_t)a->n_full;
        a->full[a->n_full++] = (struct lorac_full){.m = i, .n = m->module[i].OC * m->module[i].C};
    }
    if (one) { a->weight_at[head] = a->weight_at[embed]; }
    for (size_t i = 0; i < m->n_modules; i++) {
        size_t n = m->module[i].n;
        a->vector_at[i] = -1;
        if (!match[i].vector || n == 0) { continue; }
        a->vector_at[i] = (int32_t)a->n_full;
        size_t first = match[i].shift ? n / 2 : 0;
        a->full[a->n_full++] =
            (struct lorac_full){.m = i, .vector = true, .first = first, .n = n - first};
    }
}

enum lorac_status lorac_adapter_outline(struct lorac_adapter **out, const struct lorac_model *m,
                                        const struct lorac_match *match, enum lorac_scaling scaling,
                                        enum lorac_tie tie, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_adapter *a = lorac_mem_new(1, sizeof *a);
    if (!a) { return lorac_fail(err, LORAC_ENOMEM, "no memory for an adapter"); }
    a->model = m;
    a->scaling = scaling;
    a->site = lorac_mem_new(m->n_modules, sizeof *a->site);
    a->at = lorac_mem_new(m->n_modules, sizeof *a->at);
    a->tie = tie;
    a->full = lorac_mem_new(2 * m->n_modules, sizeof *a->full);
    a->weight_at = lorac_mem_new(m->n_modules, sizeof *a->weight_at);
    a->vector_at = lorac_mem_new(m->n_modules, sizeof *a->vector_at);
    enum lorac_status st = LORAC_OK;
    if (!a->site || !a->at || !a->full || !a->weight_at || !a->vector_at) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory for an adapter");
        goto done;
    }
    for (size_t i = 0; i < m->n_modules; i++) {
        const struct lorac_module *w = &m->module[i];
        size_t R = match[i].rank;
        a->at[i] = -1;
        if (R == 0) { continue; }
        if (R > w->C || R > w->OC) {
            st = lorac_fail(err, LORAC_EUSER, "rank %zu is larger than module '%s' (%zu x %zu)", R,
                            w->name, w->OC, w->C);
            goto done;
        }
        a->at[i] = (int32_t)a->n;
        a->site[a->n++] = (struct lorac_site){
            .m = i,
            .R = R,
            .C = w->C,
            .OC = w->OC,
            .alpha = match[i].alpha,
            .scale = (float)scale_of(scaling, match[i].alpha, R),
        };
    }
    list_full(a, match);
    place(a, NULL, NULL);
done:
    if (st) {
        lorac_adapter_free(a);
        a = NULL;
    }
    *out = a;
    return st;
}

/* Handles of the weights that train in full. */
static enum lorac_status open_full(struct lorac_adapter *a, struct lorac_err *err)
{
    struct lorac_device *dev = a->model->dev;
    for (size_t i = 0; i < a->n_full; i++) {
        struct lorac_full *f = &a->full[i];
        const struct lorac_module *l = &a->model->module[f->m];
        if (f->vector) { continue; }
        f->w = dev->ops->weight_over(dev, f->p, l->OC, l->C, l->transposed);
        if (!f->w) { return lorac_fail(err, LORAC_ENOMEM, "no memory for '%s'", l->name); }
    }
    return LORAC_OK;
}

enum lorac_status lorac_adapter_alloc(struct lorac_adapter **out, const struct lorac_model *m,
                                      const struct lorac_match *match, enum lorac_scaling scaling,
                                      enum lorac_tie tie, struct lorac_err *err)
{
    enum lorac_status st = lorac_adapter_outline(out, m, match, scaling, tie, err);
    if (st) { return st; }
    struct lorac_adapter *a = *out;
    a->params = m->dev->ops->alloc(m->dev, a->n_params * sizeof *a->params);
    if (!a->params) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory for %zu parameters", a->n_params);
        lorac_adapter_free(a);
        *out = NULL;
        return st;
    }
    place(a, a->params, NULL);
    st = open_full(a, err);
    if (st) {
        lorac_adapter_free(a);
        *out = NULL;
    }
    return st;
}

void lorac_adapter_free(struct lorac_adapter *a)
{
    if (!a) { return; }
    struct lorac_device *dev = a->model->dev;
    for (size_t i = 0; i < a->n_full; i++) {
        dev->ops->weight_close(dev, a->full[i].w);
    }
    dev->ops->release(dev, a->params);
    dev->ops->release(dev, a->grads);
    lorac_mem_free(a->site);
    lorac_mem_free(a->at);
    lorac_mem_free(a->full);
    lorac_mem_free(a->weight_at);
    lorac_mem_free(a->vector_at);
    lorac_mem_free(a->template_json);
    lorac_mem_free(a->name);
    lorac_mem_free(a);
}

enum lorac_status lorac_adapter_reserve(struct lorac_adapter *a, struct lorac_err *err)
{
    struct lorac_device *dev = a->model->dev;
    if (a->grads) { return LORAC_OK; }
    a->grads = dev->ops->alloc(dev, a->n_params * sizeof *a->grads);
    if (!a->grads) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory for the gradients of %zu parameters",
                          a->n_params);
    }
    place(a, a->params, a->grads);
    return LORAC_OK;
}

/* ---- values ---- */

/* out (cols,rows) = in (rows,cols)^T, host memory. */
static void transpose(float *out, const float *in, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            out[j * rows + i] = in[i * cols + j];
        }
    }
}

enum lorac_status lorac_site_read(float *host, const struct lorac_adapter *a, size_t i, bool b,
                                  struct lorac_err *err)
{
    const struct lorac_site *l = &a->site[i];
    struct lorac_device *dev = a->model->dev;
    if (!b) {
        dev->ops->read(dev, host, l->a, l->R * l->C * sizeof *host);
        return LORAC_OK;
    }
    float *bt = lorac_mem_new(l->R * l->OC, sizeof *bt);
    if (!bt) { return lorac_fail(err, LORAC_ENOMEM, "no memory to read an adapter"); }
    dev->ops->read(dev, bt, l->bt, l->R * l->OC * sizeof *bt);
    transpose(host, bt, l->R, l->OC);
    lorac_mem_free(bt);
    return LORAC_OK;
}

enum lorac_status lorac_site_write(struct lorac_adapter *a, size_t i, bool b, const float *host,
                                   struct lorac_err *err)
{
    const struct lorac_site *l = &a->site[i];
    struct lorac_device *dev = a->model->dev;
    if (!b) {
        dev->ops->write(dev, l->a, host, l->R * l->C * sizeof *host);
        return LORAC_OK;
    }
    float *bt = lorac_mem_new(l->R * l->OC, sizeof *bt);
    if (!bt) { return lorac_fail(err, LORAC_ENOMEM, "no memory to fill an adapter"); }
    transpose(bt, host, l->OC, l->R);
    dev->ops->write(dev, l->bt, bt, l->R * l->OC * sizeof *bt);
    lorac_mem_free(bt);
    return LORAC_OK;
}

static bool is_turned(const struct lorac_adapter *a, const struct lorac_site *l)
{
    return a->model->module[l->m].transposed;
}

enum lorac_status lorac_site_left(float *host, const struct lorac_adapter *a, size_t i,
                                  struct lorac_err *err)
{
    const struct lorac_site *l = &a->site[i];
    if (!is_turned(a, l)) { return lorac_site_read(host, a, i, true, err); }
    float *x = lorac_mem_new(l->R * l->C, sizeof *x); // A (R,C)
    if (!x) { return lorac_fail(err, LORAC_ENOMEM, "no memory to read an adapter"); }
    enum lorac_status st = lorac_site_read(x, a, i, false, err);
    if (!st) { transpose(host, x, l->R, l->C); }
    lorac_mem_free(x);
    return st;
}

const float *lorac_site_right(const struct lorac_adapter *a, const struct lorac_site *l)
{
    return is_turned(a, l) ? l->bt : l->a;
}

/* Elements first .. first+n-1 of what full copy f stands in for, n <= CHUNK, as float32. */
enum { CHUNK = 1024 };
static void base_values(float host[CHUNK], const struct lorac_adapter *a,
                        const struct lorac_full *f, size_t first, size_t n)
{
    struct lorac_device *dev = a->model->dev;
    const struct lorac_module *l = &a->model->module[f->m];
    if (f->vector) {
        dev->ops->read(dev, host, l->vector + f->first + first, n * sizeof *host);
    } else {
        dev->ops->weight_read(dev, host, l->w, first, n);
    }
}

void lorac_full_copy(struct lorac_adapter *a, size_t i)
{
    const struct lorac_full *f = &a->full[i];
    float host[CHUNK];
    for (size_t first = 0; first < f->n; first += CHUNK) {
        size_t n = f->n - first < CHUNK ? f->n - first : CHUNK;
        base_values(host, a, f, first, n);
        a->model->dev->ops->write(a->model->dev, f->p + first, host, n * sizeof *host);
    }
}

static bool is_unmoved(const struct lorac_adapter *a, const struct lorac_full *f)
{
    float base[CHUNK];
    float now[CHUNK];
    bool same = true;
    for (size_t first = 0; first < f->n && same; first += CHUNK) {
        size_t n = f->n - first < CHUNK ? f->n - first : CHUNK;
        base_values(base, a, f, first, n);
        a->model->dev->ops->read(a->model->dev, now, f->p + first, n * sizeof *now);
        same = memcmp(base, now, n * sizeof *now) == 0;
    }
    return same;
}

/* A of module i from its own stream: neither order nor other modules change it. */
static enum lorac_status init_a(struct lorac_adapter *a, size_t i, uint64_t seed,
                                struct lorac_err *err)
{
    const struct lorac_site *l = &a->site[i];
    char name[LORAC_NAME_SIZE];
    lorac_site_tensor_name(name, a, i, false);
    uint64_t key = lorac_rng_key(seed, name);
    size_t n = l->R * l->C;
    float *host = lorac_mem_new(n, sizeof *host);
    if (!host) { return lorac_fail(err, LORAC_ENOMEM, "no memory to initialise '%s'", name); }
    double bound = 1.0 / sqrt((double)l->C);
    for (size_t j = 0; j < n; j++) {
        host[j] = a->init == LORAC_INIT_GAUSSIAN
                      ? (float)(lorac_rng_normal(key, 0, j) / (double)l->R)
                      : (float)((2.0 * lorac_rng_uniform(key, 0, j) - 1.0) * bound);
    }
    enum lorac_status st = lorac_site_write(a, i, false, host, err);
    lorac_mem_free(host);
    return st;
}

enum lorac_status lorac_adapter_new(struct lorac_adapter **out, const struct lorac_model *m,
                                    const struct lorac_adapter_options *o, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_match *match = lorac_mem_new(m->n_modules, sizeof *match);
    if (!match) { return lorac_fail(err, LORAC_ENOMEM, "no memory for an adapter"); }
    enum lorac_status st = lorac_match_modules(match, m, o, err);
    if (!st) { st = lorac_adapter_alloc(out, m, match, o->scaling, o->tie, err); }
    lorac_mem_free(match);
    if (st) { return st; }
    struct lorac_adapter *a = *out;
    a->init = o->init;
    a->bias = o->bias;
    lorac_adapter_set_dropout(a, o->dropout, o->seed);
    for (size_t i = 0; i < a->n && !st; i++) {
        st = init_a(a, i, o->seed, err);
    }
    for (size_t i = 0; i < a->n_full && !st; i++) {
        lorac_full_copy(a, i);
    }
    if (st) {
        lorac_adapter_free(a);
        *out = NULL;
    }
    return st;
}

void lorac_adapter_set_dropout(struct lorac_adapter *a, double dropout, uint64_t seed)
{
    a->dropout = dropout;
    uint64_t key = lorac_rng_key(seed, "dropout");
    for (size_t i = 0; i < a->n; i++) {
        a->site[i].drop_key = lorac_rng_key(key, a->model->module[a->site[i].m].name);
    }
}

static double b_squares(const struct lorac_adapter *a, size_t i)
{
    struct lorac_device *dev = a->model->dev;
    return dev->ops->sum_squares(dev, a->site[i].bt, a->site[i].R * a->site[i].OC);
}

double lorac_adapter_b_squares(const struct lorac_adapter *a)
{
    double sum = 0.0;
    for (size_t i = 0; i < a->n; i++) {
        sum += b_squares(a, i);
    }
    return sum;
}

bool lorac_adapter_idle(char name[LORAC_MODULE_NAME], const struct lorac_adapter *a)
{
    for (size_t i = 0; i < a->n; i++) {
        if (b_squares(a, i) > 0.0) { continue; }
        (void)snprintf(name, LORAC_MODULE_NAME, "%s", a->model->module[a->site[i].m].name);
        return true;
    }
    for (size_t i = 0; i < a->n_full; i++) {
        if (!is_unmoved(a, &a->full[i])) { continue; }
        (void)snprintf(name, LORAC_MODULE_NAME, "%s", a->model->module[a->full[i].m].name);
        return true;
    }
    return false;
}

/* ---- the socket ---- */

static const struct lorac_site *find(const struct lorac_adapter *a, size_t m)
{
    return a->at[m] >= 0 ? &a->site[a->at[m]] : NULL;
}

static struct lorac_full *full_weight(const struct lorac_adapter *a, size_t m)
{
    return a->weight_at[m] >= 0 ? &a->full[a->weight_at[m]] : NULL;
}

static struct lorac_full *full_vector(const struct lorac_adapter *a, size_t m)
{
    return a->vector_at[m] >= 0 ? &a->full[a->vector_at[m]] : NULL;
}

static bool adapts(const void *self, size_t m)
{
    return find(self, m) || full_weight(self, m) || full_vector(self, m);
}

static bool trains(const void *self, size_t m)
{
    const struct lorac_adapter *a = self;
    const struct lorac_site *l = find(a, m);
    const struct lorac_full *w = full_weight(a, m);
    const struct lorac_full *v = full_vector(a, m);
    return (l && l->da) || (w && w->dp) || (v && v->dp);
}

static const struct lorac_weight *stand_in_weight(const void *self, size_t m)
{
    const struct lorac_full *f = full_weight(self, m);
    return f ? f->w : NULL;
}

static const float *stand_in_vector(const void *self, size_t m, size_t first)
{
    const struct lorac_full *f = full_vector(self, m);
    return f && first >= f->first ? f->p + (first - f->first) : NULL;
}

static size_t saved_floats(const void *self, size_t m, size_t N)
{
    const struct lorac_site *l = find(self, m);
    return l ? N * l->R : 0; // u
}

/* One call takes x after dropout (N,C) and du (N,R). */
static size_t scratch_floats(const void *self, size_t m, size_t N)
{
    const struct lorac_site *l = find(self, m);
    return l ? N * (l->C + l->R) : 0;
}

/* drop(x) (N,C): x itself where nothing is dropped. */
static const float *dropped(float *scratch, const struct lorac_adapter *a,
                            const struct lorac_site *l, const float *x, size_t N, size_t row)
{
    struct lorac_device *dev = a->model->dev;
    if (!(a->dropout > 0.0) || !l->da) { return x; } // inference never drops
    dev->ops->dropout(dev, scratch, x, N * l->C, (float)a->dropout, l->drop_key, a->step,
                      row * l->C);
    return scratch;
}

/* y = x W^T + b;  u = drop(x) A^T;  y += s u Bt */
static void forward(void *self, size_t m, float *y, const float *x, const struct lorac_linear *at)
{
    const struct lorac_adapter *a = self;
    const struct lorac_site *l = find(a, m);
    const struct lorac_backend *op = at->dev->ops;
    size_t N = at->N;
    float *u = at->saved; // (N,R)
    lorac_linear_forward(at, y, x);
    if (!l) { return; } // a full copy has stood in already
    if (at->training) { x = dropped(at->scratch, a, l, x, N, at->row); }
    op->matmul_nt(at->dev, u, x, l->a, N, l->C, l->R, 1.0F, 0.0F);
    op->matmul_nn(at->dev, y, u, l->bt, N, l->OC, l->R, l->scale, 1.0F);
}

/* dW += dy^T x      db += sum_n dy_n */
static void full_backward(const struct lorac_adapter *a, size_t m, const float *dy, const float *x,
                          size_t N)
{
    struct lorac_device *dev = a->model->dev;
    const struct lorac_full *w = full_weight(a, m);
    const struct lorac_full *b = full_vector(a, m);
    const struct lorac_module *l = &a->model->module[m];
    if (w && w->dp && l->transposed) { // dW (C,OC) += x^T dy
        dev->ops->matmul_tn(dev, w->dp, x, dy, N, l->OC, l->C, 1.0F, 1.0F);
    } else if (w && w->dp) {
        dev->ops->matmul_tn(dev, w->dp, dy, x, N, l->C, l->OC, 1.0F, 1.0F);
    }
    if (b && b->dp) { dev->ops->column_sums(dev, b->dp, dy, N, b->n); }
}

static void norm_backward(void *self, size_t m, const float *dy, const float *x, size_t N,
                          float eps)
{
    const struct lorac_adapter *a = self;
    const struct lorac_full *g = &a->full[a->vector_at[m]]; // it trains, or nobody calls
    struct lorac_device *dev = a->model->dev;
    if (!a->model->config.layernorm) {
        dev->ops->rmsnorm_gain_backward(dev, g->dp, dy, x, N, g->n, eps);
        return;
    }
    size_t C = (g->first + g->n) / 2; // gain, then shift, or the shift alone
    if (g->first == 0) { dev->ops->layernorm_gain_backward(dev, g->dp, dy, x, N, C, eps); }
    dev->ops->column_sums(dev, g->dp + (C - g->first), dy, N, C);
}

static void embed_backward(void *self, size_t m, const float *dy, const int32_t *ids, size_t N)
{
    const struct lorac_adapter *a = self;
    const struct lorac_full *w = &a->full[a->weight_at[m]];
    a->model->dev->ops->embed_backward(a->model->dev, w->dp, dy, ids, N, a->model->module[m].C);
}

/* With u kept and dy given:
 *   dx (+)= dy W
 *   dBt += s u^T dy      du = s dy Bt^T      dA += du^T drop(x)      dx += mask du A
 *                                                   pinned by lora.test_adapter and the goldens */
static void backward(void *self, size_t m, float *dx, const float *dy, const float *x,
                     const struct lorac_linear *at)
{
    const struct lorac_adapter *a = self;
    const struct lorac_site *l = find(a, m);
    struct lorac_device *dev = at->dev;
    const struct lorac_backend *op = dev->ops;
    const float *u = at->saved; // (N,R)
    size_t N = at->N;
    lorac_linear_backward(at, dx, dy);
    full_backward(a, m, dy, x, N);
    if (!l) { return; }
    float *scratch = at->scratch;
    float *du = scratch + N * l->C; // (N,R)
    op->matmul_nt(dev, du, dy, l->bt, N, l->OC, l->R, l->scale, 0.0F);
    if (l->da) {
        op->matmul_tn(dev, l->dbt, u, dy, N, l->OC, l->R, l->scale, 1.0F);
        op->matmul_tn(dev, l->da, du, dropped(scratch, a, l, x, N, at->row), N, l->C, l->R, 1.0F,
                      1.0F);
    }
    if (!dx) { return; }
    if (!(a->dropout > 0.0) || !l->da) {
        op->matmul_nn(dev, dx, du, l->a, N, l->C, l->R, 1.0F, 1.0F);
        return;
    }
    float *masked = scratch; // (N,C): du A through the same mask, then added
    op->matmul_nn(dev, masked, du, l->a, N, l->C, l->R, 1.0F, 0.0F);
    op->dropout(dev, masked, masked, N * l->C, (float)a->dropout, l->drop_key, a->step,
                at->row * l->C);
    op->add(dev, dx, masked, N * l->C);
}

struct lorac_socket lorac_adapter_socket(struct lorac_adapter *a)
{
    return (struct lorac_socket){
        .self = a,
        .adapts = adapts,
        .trains = trains,
        .saved_floats = saved_floats,
        .scratch_floats = scratch_floats,
        .forward = forward,
        .backward = backward,
        .weight = stand_in_weight,
        .vector = stand_in_vector,
        .norm_backward = norm_backward,
        .embed_backward = embed_backward,
    };
}
