/* start.c - see start.h. */
#include "lora/start.h"

#include "base/core/mem.h"
#include "base/core/rng.h"
#include "lora/factor.h"

#include <stdio.h>

/* One half of a pair: A of C columns, or B^T of OC. */
struct half {
    size_t n;                // r columns
    const float *value;      // (r,columns) A0 or B0^T
    const float *param;      // A or B^T
    float *grad;             // its gradient, or NULL
    float *pair, *pair_grad; // A' or B'^T (2r,columns), and its gradient or NULL
    size_t first,
        second; // floats into the pair: of the part that holds what was, or is; of the difference
};

static struct half half_of(const struct lorac_adapter *a, const struct lorac_site *l, bool b)
{
    const struct lorac_start *s = a->start;
    size_t r = l->R / 2;
    size_t n = r * (b ? l->OC : l->C);
    size_t at = l->first + (b ? r * l->C : 0); // pairs hold twice as much before it
    return (struct half){
        .n = n,
        .value = s->values + at,
        .param = a->params + at,
        .grad = a->grads ? a->grads + at : NULL,
        .pair = s->pairs + 2 * at,
        .pair_grad = s->pair_grads ? s->pair_grads + 2 * at : NULL,
        .first = b ? n : 0,
        .second = b ? 0 : n,
    };
}

size_t lorac_start_size(const struct lorac_adapter *a)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n; i++) {
        const struct lorac_site *l = &a->site[i];
        n += l->starts ? l->R / 2 * (l->C + l->OC) : 0;
    }
    return n;
}

enum lorac_status lorac_start_alloc(struct lorac_adapter *a, struct lorac_err *err)
{
    size_t n = lorac_start_size(a);
    struct lorac_device *dev = a->model->dev;
    if (n == 0) { return LORAC_OK; }
    a->start = lorac_mem_new(1, sizeof *a->start);
    if (a->start) {
        a->start->n = n;
        a->start->values = dev->ops->alloc(dev, n * sizeof(float));
        a->start->pairs = dev->ops->alloc(dev, 2 * n * sizeof(float));
    }
    if (!a->start || !a->start->values || !a->start->pairs) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory for what %zu parameters start from", n);
    }
    return LORAC_OK;
}

enum lorac_status lorac_start_reserve(struct lorac_adapter *a, struct lorac_err *err)
{
    struct lorac_start *s = a->start;
    struct lorac_device *dev = a->model->dev;
    if (!s || s->pair_grads) { return LORAC_OK; }
    s->pair_grads = dev->ops->alloc(dev, 2 * s->n * sizeof(float));
    return s->pair_grads ? LORAC_OK
                         : lorac_fail(err, LORAC_ENOMEM,
                                      "no memory for the gradients of %zu parameters", 2 * s->n);
}

void lorac_start_free(struct lorac_adapter *a)
{
    struct lorac_start *s = a->start;
    struct lorac_device *dev = a->model->dev;
    if (!s) { return; }
    dev->ops->release(dev, s->values);
    dev->ops->release(dev, s->pairs);
    dev->ops->release(dev, s->pair_grads);
    lorac_mem_free(s);
    a->start = NULL;
}

void lorac_start_place(struct lorac_adapter *a)
{
    for (size_t i = 0; i < a->n && a->start; i++) {
        struct lorac_site *l = &a->site[i];
        struct half x = half_of(a, l, false);
        struct half y = half_of(a, l, true);
        l->p[0] = x.pair;
        l->p[1] = y.pair;
        l->dp[0] = x.pair_grad;
        l->dp[1] = y.pair_grad;
    }
}

enum lorac_status lorac_start_fill(struct lorac_adapter *a, const struct lorac_adapter_options *o,
                                   struct lorac_err *err)
{
    struct lorac_device *dev = a->model->dev;
    enum lorac_status st = lorac_device_start(dev, err);
    for (size_t i = 0; i < a->n && !st; i++) {
        const struct lorac_site *l = &a->site[i];
        const struct lorac_module *m = &a->model->module[l->m];
        size_t r = l->R / 2;
        float *x = a->params + l->first;
        float *y = x + r * l->C;
        uint64_t key = lorac_rng_key(o->seed, m->name);
        st = o->init == LORAC_INIT_OLORA
                 ? lorac_factor_qr(x, y, dev, m, r, key, err)
                 : lorac_factor_principal(x, y, dev, m, r, (double)l->scale, key, err);
        if (!st && o->progress) { o->progress(o->self, (double)(i + 1) / (double)a->n); }
    }
    if (st) { return st; }
    dev->ops->copy(dev, a->start->values, a->params, a->start->n * sizeof(float));
    lorac_start_refresh(a);
    return LORAC_OK;
}

float *lorac_adapter_start(const struct lorac_adapter *a, size_t *n)
{
    *n = a->start ? a->start->n : 0;
    return a->start ? a->start->values : NULL;
}

/* A' = [A0; A - A0], or B'^T = [B^T - B0^T; B^T]. */
static void refresh(struct lorac_device *dev, const struct half *h, bool b)
{
    float *difference = h->pair + h->second;
    dev->ops->copy(dev, h->pair + h->first, b ? h->param : h->value, h->n * sizeof(float));
    dev->ops->copy(dev, difference, h->value, h->n * sizeof(float));
    dev->ops->scale(dev, difference, h->n, -1.0F);
    dev->ops->add(dev, difference, h->param, h->n);
}

void lorac_start_refresh(struct lorac_adapter *a)
{
    for (size_t i = 0; i < a->n && a->start; i++) {
        for (int b = 0; b < 2; b++) {
            struct half h = half_of(a, &a->site[i], b);
            refresh(a->model->dev, &h, b);
        }
    }
}

void lorac_start_gather(struct lorac_adapter *a)
{
    struct lorac_device *dev = a->model->dev;
    if (!a->start) { return; }
    for (size_t i = 0; i < a->n; i++) {
        struct half x = half_of(a, &a->site[i], false);
        struct half y = half_of(a, &a->site[i], true);
        dev->ops->copy(dev, x.grad, x.pair_grad + x.second, x.n * sizeof(float));
        dev->ops->copy(dev, y.grad, y.pair_grad + y.first, y.n * sizeof(float));
        dev->ops->add(dev, y.grad, y.pair_grad + y.second, y.n);
    }
}

float *lorac_adapter_grads(size_t *n, const struct lorac_adapter *a, size_t i)
{
    const struct lorac_start *s = a->start;
    *n = i == 0 ? a->n_params : s ? 2 * s->n : 0;
    return i == 0 ? a->grads : i == 1 && s ? s->pair_grads : NULL;
}

void lorac_adapter_zero_grads(struct lorac_adapter *a)
{
    struct lorac_device *dev = a->model->dev;
    dev->ops->zero(dev, a->grads, a->n_params * sizeof *a->grads);
    if (!a->start) { return; }
    dev->ops->zero(dev, a->start->pair_grads, 2 * a->start->n * sizeof(float));
}

bool lorac_start_unmoved(const struct lorac_adapter *a, const struct lorac_site *l)
{
    struct lorac_device *dev = a->model->dev;
    struct half x = half_of(a, l, false);
    struct half y = half_of(a, l, true);
    return !(dev->ops->sum_squares(dev, x.pair + x.second, x.n) > 0.0) &&
           !(dev->ops->sum_squares(dev, y.pair + y.second, y.n) > 0.0);
}
