/* adapter.c - an adapter's parameters, their memory and values, and the socket, where each module
 * is run by its method. */
#include "lora/methods/methods.h"

#include "base/core/mem.h"
#include "base/core/rng.h"
#include "lora/start.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *lorac_adapter_title(const struct lorac_adapter *a)
{
    return a->method->title;
}

void lorac_site_tensor_name(char name[LORAC_NAME_SIZE], const struct lorac_adapter *a, size_t i,
                            size_t k)
{
    (void)snprintf(name, LORAC_NAME_SIZE, "base_model.model.%s.%s",
                   a->model->module[a->site[i].m].name, a->method->tensor[k]);
}

const char *lorac_bias_name(size_t i)
{
    static const char *const names[] = {"none", "lora_only", "all"};
    return i < sizeof names / sizeof *names ? names[i] : NULL;
}

static double scale_of(enum lorac_scaling scaling, double alpha, size_t R)
{
    return scaling == LORAC_SCALE_RSLORA ? alpha / sqrt((double)R) : alpha / (double)R;
}

/* ---- memory ---- */

size_t lorac_shape_floats(const struct lorac_shape *shape)
{
    return shape->dims[0] * (shape->n_dims == 2 ? shape->dims[1] : 1);
}

/* Of a tensor of this shape, which half of trains where the pair starts from its weight. */
static size_t trained(const struct lorac_site *s, const struct lorac_shape *shape)
{
    return lorac_shape_floats(shape) / (s->starts ? 2 : 1);
}

size_t lorac_adapter_tensors(const struct lorac_adapter *a)
{
    size_t n = 0;
    while (n < LORAC_SITE_TENSORS && a->method->tensor[n]) {
        n++;
    }
    return n * a->n;
}

size_t lorac_site_params(const struct lorac_adapter *a, size_t i)
{
    size_t n = 0;
    for (size_t k = 0; k < LORAC_SITE_TENSORS && a->method->tensor[k]; k++) {
        struct lorac_shape shape = a->method->shape(&a->site[i], k);
        n += trained(&a->site[i], &shape);
    }
    return n;
}

/* The matrices or the vectors of all sites, then those trained in full, from float `at` on. Returns
 * where they end. */
static size_t place_kind(struct lorac_adapter *a, bool vectors, size_t at)
{
    float *params = a->params;
    float *grads = a->grads;
    for (size_t i = 0; i < a->n; i++) {
        struct lorac_site *s = &a->site[i];
        for (size_t k = 0; k < LORAC_SITE_TENSORS && a->method->tensor[k]; k++) {
            struct lorac_shape shape = a->method->shape(s, k);
            if (shape.vector != vectors) { continue; }
            if (k == 0) { s->first = at; }
            s->p[k] = params ? params + at : NULL;
            s->dp[k] = grads ? grads + at : NULL;
            at += trained(s, &shape);
        }
    }
    for (size_t i = 0; i < a->n_full; i++) {
        struct lorac_full *f = &a->full[i];
        if (f->vector != vectors) { continue; }
        f->p = params ? params + at : NULL;
        f->dp = grads ? grads + at : NULL;
        at += f->n;
    }
    return at;
}

/* What is derived of each site, then the scratch of one at a time. Returns its floats. */
static size_t place_derived(struct lorac_adapter *a)
{
    size_t at = 0;
    size_t scratch = 0;
    if (!a->method->derive) { return 0; }
    for (size_t i = 0; i < a->n; i++) {
        struct lorac_site *s = &a->site[i];
        s->derived = a->derived ? a->derived + at : NULL;
        at += a->method->derived_floats(s);
        size_t n = a->method->deriving_floats(s);
        scratch = n > scratch ? n : scratch;
    }
    return at + scratch;
}

static void place(struct lorac_adapter *a)
{
    a->n_matrices = place_kind(a, false, 0);
    a->n_params = place_kind(a, true, a->n_matrices);
    lorac_start_place(a);
    a->n_derived = place_derived(a);
}

/* The tensors that train in full: weights, then vectors. Of a tied pair that stays one, the
 * embedding's entry serves both. */
static void list_full(struct lorac_adapter *a, const struct lorac_match *match)
{
    const struct lorac_model *m = a->model;
    size_t head = m->head;
    size_t embed = m->embed;
    bool one = lorac_model_is_tied(m) && a->tie == LORAC_TIE_KEEP;
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
                                        const struct lorac_match *match, const char *method,
                                        enum lorac_scaling scaling, enum lorac_tie tie,
                                        struct lorac_err *err)
{
    *out = NULL;
    struct lorac_adapter *a = lorac_mem_new(1, sizeof *a);
    if (!a) { return lorac_fail(err, LORAC_ENOMEM, "no memory for an adapter"); }
    a->model = m;
    a->method = lorac_method_find(method);
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
        if (match[i].starts && a->method != &lorac_method_lora) {
            st = lorac_fail(err, LORAC_EUSER,
                            "adapter.init: pissa and olora start the pairs of LoRA; adapter.method "
                            "is %s",
                            a->method->name);
            goto done;
        }
        if (R > w->C || R > w->OC) {
            st =
                lorac_fail(err, LORAC_EUSER, "rank %zu%s is larger than module '%s' (%zu x %zu)", R,
                           match[i].starts ? ", twice that of adapter.init: pissa or olora," : "",
                           w->name, w->OC, w->C);
            goto done;
        }
        a->at[i] = (int32_t)a->n;
        a->site[a->n++] = (struct lorac_site){
            .m = i,
            .R = R,
            .input = match[i].input,
            .starts = match[i].starts,
            .C = w->C,
            .OC = w->OC,
            .alpha = match[i].alpha,
            .scale = (float)scale_of(scaling, match[i].alpha, R),
        };
    }
    list_full(a, match);
    place(a);
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
                                      const struct lorac_match *match, const char *method,
                                      enum lorac_scaling scaling, enum lorac_tie tie,
                                      struct lorac_err *err)
{
    enum lorac_status st = lorac_adapter_outline(out, m, match, method, scaling, tie, err);
    if (st) { return st; }
    struct lorac_adapter *a = *out;
    a->params = m->dev->ops->alloc(m->dev, a->n_params * sizeof *a->params);
    if (!a->params) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory for %zu parameters", a->n_params);
        lorac_adapter_free(a);
        *out = NULL;
        return st;
    }
    // zeroes they are: but pages that are read first are made twice, and a B may stay one till then
    m->dev->ops->zero(m->dev, a->params, a->n_params * sizeof *a->params);
    if (a->n_derived) {
        a->derived = m->dev->ops->alloc(m->dev, a->n_derived * sizeof *a->derived);
        if (!a->derived) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for an adapter's norms"); }
    }
    if (!st) { st = lorac_start_alloc(a, err); }
    if (!st) {
        place(a);
        st = open_full(a, err);
    }
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
    lorac_start_free(a);
    dev->ops->release(dev, a->params);
    dev->ops->release(dev, a->grads);
    dev->ops->release(dev, a->derived);
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
    enum lorac_status st = lorac_start_reserve(a, err);
    if (st) { return st; }
    a->grads = dev->ops->alloc(dev, a->n_params * sizeof *a->grads);
    if (!a->grads) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory for the gradients of %zu parameters",
                          a->n_params);
    }
    place(a);
    lorac_adapter_zero_grads(a); // they are: but pages that are read first are made twice
    return LORAC_OK;
}

size_t lorac_adapter_floats(const struct lorac_adapter *a)
{
    return 2 * a->n_params + 5 * lorac_start_size(a) + a->n_derived;
}

enum lorac_status lorac_adapter_refresh(struct lorac_adapter *a, struct lorac_err *err)
{
    lorac_start_refresh(a);
    if (!a->method->derive || a->n == 0) { return LORAC_OK; }
    const struct lorac_site *last = &a->site[a->n - 1];
    float *scratch = last->derived + a->method->derived_floats(last);
    enum lorac_status st = lorac_device_start(a->model->dev, err);
    for (size_t i = 0; i < a->n && !st; i++) {
        st = a->method->derive(a, &a->site[i], scratch, !a->settled, err);
    }
    a->settled = !st;
    return st;
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

enum lorac_status lorac_site_read(float *host, const struct lorac_adapter *a, size_t i, size_t k,
                                  struct lorac_err *err)
{
    const struct lorac_site *s = &a->site[i];
    struct lorac_device *dev = a->model->dev;
    struct lorac_shape shape = a->method->shape(s, k);
    size_t n = lorac_shape_floats(&shape);
    if (!shape.turned) {
        dev->ops->read(dev, host, s->p[k], n * sizeof *host);
        return LORAC_OK;
    }
    float *turned = lorac_mem_new(n, sizeof *turned);
    if (!turned) { return lorac_fail(err, LORAC_ENOMEM, "no memory to read an adapter"); }
    dev->ops->read(dev, turned, s->p[k], n * sizeof *turned);
    transpose(host, turned, shape.dims[1], shape.dims[0]);
    lorac_mem_free(turned);
    return LORAC_OK;
}

enum lorac_status lorac_site_write(struct lorac_adapter *a, size_t i, size_t k, const float *host,
                                   struct lorac_err *err)
{
    const struct lorac_site *s = &a->site[i];
    struct lorac_device *dev = a->model->dev;
    struct lorac_shape shape = a->method->shape(s, k);
    size_t n = lorac_shape_floats(&shape);
    if (!shape.turned) {
        dev->ops->write(dev, s->p[k], host, n * sizeof *host);
        return LORAC_OK;
    }
    float *turned = lorac_mem_new(n, sizeof *turned);
    if (!turned) { return lorac_fail(err, LORAC_ENOMEM, "no memory to fill an adapter"); }
    transpose(turned, host, shape.dims[0], shape.dims[1]);
    dev->ops->write(dev, s->p[k], turned, n * sizeof *turned);
    lorac_mem_free(turned);
    return LORAC_OK;
}

enum lorac_status lorac_adapter_new(struct lorac_adapter **out, const struct lorac_model *m,
                                    const struct lorac_adapter_options *o, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_match *match = lorac_mem_new(m->n_modules, sizeof *match);
    if (!match) { return lorac_fail(err, LORAC_ENOMEM, "no memory for an adapter"); }
    enum lorac_status st = lorac_match_modules(match, m, o, err);
    if (!st) { st = lorac_adapter_alloc(out, m, match, o->method, o->scaling, o->tie, err); }
    lorac_mem_free(match);
    if (st) { return st; }
    struct lorac_adapter *a = *out;
    a->init = o->init == LORAC_INIT_GAUSSIAN ? LORAC_INIT_GAUSSIAN : LORAC_INIT_DEFAULT;
    a->bias = o->bias;
    lorac_adapter_set_dropout(a, o->dropout, o->seed);
    st = lorac_adapter_refresh(a, err);
    if (a->start && !st) { st = lorac_start_fill(a, o, err); }
    for (size_t i = 0; i < a->n && !a->start && !st; i++) {
        st = a->method->init(a, i, o->seed, err);
    }
    if (!st) { st = lorac_adapter_refresh(a, err); }
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

static bool site_is_idle(const struct lorac_adapter *a, const struct lorac_site *s)
{
    return s->starts ? lorac_start_unmoved(a, s) : a->method->idle(a, s);
}

bool lorac_adapter_changes(const struct lorac_adapter *a)
{
    bool idle = true;
    for (size_t i = 0; i < a->n && idle; i++) {
        idle = site_is_idle(a, &a->site[i]);
    }
    return !idle;
}

bool lorac_adapter_has_rank(const struct lorac_adapter *a)
{
    return a->method->ranked;
}

const char *lorac_adapter_idle_text(const struct lorac_adapter *a)
{
    return a->method->idle_text;
}

bool lorac_adapter_idle(char name[LORAC_MODULE_NAME], const struct lorac_adapter *a)
{
    size_t m = a->model->n_modules;
    for (size_t i = 0; i < a->n && m == a->model->n_modules; i++) {
        if (site_is_idle(a, &a->site[i])) { m = a->site[i].m; }
    }
    for (size_t i = 0; i < a->n_full && m == a->model->n_modules; i++) {
        if (lorac_full_is_idle(a, &a->full[i])) { m = a->full[i].m; }
    }
    if (m == a->model->n_modules) { return false; }
    (void)snprintf(name, LORAC_MODULE_NAME, "%s", a->model->module[m].name);
    return true;
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

bool lorac_adapter_holds(const struct lorac_adapter *a, size_t m)
{
    return find(a, m) || full_weight(a, m) || full_vector(a, m);
}

static bool adapts(const void *self, size_t m)
{
    return lorac_adapter_holds(self, m);
}

static bool trains(const void *self, size_t m)
{
    const struct lorac_adapter *a = self;
    const struct lorac_site *l = find(a, m);
    const struct lorac_full *w = full_weight(a, m);
    const struct lorac_full *v = full_vector(a, m);
    return (l && l->dp[0]) || (w && w->dp) || (v && v->dp);
}

static const struct lorac_weight *stand_in_weight(const void *self, size_t m)
{
    const struct lorac_adapter *a = self;
    const struct lorac_full *f = full_weight(a, m);
    if (!f) { return NULL; }
    return f->w ? f->w : a->model->module[m].w; // an outline has no values: the base's
}

static const float *stand_in_vector(const void *self, size_t m, size_t first)
{
    const struct lorac_full *f = full_vector(self, m);
    return f && first >= f->first ? f->p + (first - f->first) : NULL;
}

static size_t saved_floats(const void *self, size_t m, size_t N)
{
    const struct lorac_site *s = find(self, m);
    return s ? ((const struct lorac_adapter *)self)->method->saved_floats(s, N) : 0;
}

static size_t scratch_floats(const void *self, size_t m, size_t N)
{
    const struct lorac_site *s = find(self, m);
    return s ? ((const struct lorac_adapter *)self)->method->scratch_floats(s, N) : 0;
}

/* Who runs a layer. */
static const struct lorac_method *method_at(const struct lorac_adapter *a,
                                            const struct lorac_site *s)
{
    return s ? a->method : &lorac_method_full;
}

static void forward(void *self, float *y, const float *x, const struct lorac_linear *l)
{
    const struct lorac_adapter *a = self;
    const struct lorac_site *s = find(a, l->m);
    method_at(a, s)->forward(a, s, y, x, l);
}

static void backward(void *self, float *dx, const float *dy, const float *x,
                     const struct lorac_linear *l)
{
    const struct lorac_adapter *a = self;
    const struct lorac_site *s = find(a, l->m);
    method_at(a, s)->backward(a, s, dx, dy, x, l);
    lorac_full_bias_backward(a, l->m, dy, l->N); // a bias may train beside any method
}

static void norm_backward(void *self, size_t m, const float *dy, const float *x, size_t N,
                          float eps)
{
    lorac_full_norm_backward(self, m, dy, x, N, eps);
}

static void embed_backward(void *self, size_t m, const float *dy, const int32_t *ids, size_t N)
{
    lorac_full_embed_backward(self, m, dy, ids, N);
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
