/*
 * full.c - modules trained in full (PEFT's modules_to_save and bias): a tensor of the adapter
 * stands in for the base's, and all of it trains. Of a linear layer
 *
 *   y = x W^T + b      dx (+)= dy W      dW += dy^T x      db += sum_n dy_n
 *
 * and of norms and embeddings the gradients that the base has no use for.
 */
#include "lora/methods/methods.h"

#include <string.h>

static struct lorac_full *full_weight(const struct lorac_adapter *a, size_t m)
{
    return a->weight_at[m] >= 0 ? &a->full[a->weight_at[m]] : NULL;
}

static void forward(const struct lorac_adapter *a, const struct lorac_site *s, float *y,
                    const float *x, const struct lorac_linear *l)
{
    (void)a;
    (void)s;
    lorac_linear_forward(l, y, x); // of the tensors that stand in
}

static void backward(const struct lorac_adapter *a, const struct lorac_site *s, float *dx,
                     const float *dy, const float *x, const struct lorac_linear *l)
{
    const struct lorac_backend *op = l->dev->ops;
    const struct lorac_module *module = &a->model->module[l->m];
    const struct lorac_full *w = full_weight(a, l->m);
    (void)s;
    lorac_linear_backward(l, dx, dy);
    if (!w || !w->dp) { return; }
    if (module->transposed) { // dW (C,OC) += x^T dy
        op->matmul_tn(l->dev, w->dp, x, dy, l->N, module->OC, module->C, 1.0F, 1.0F);
    } else {
        op->matmul_tn(l->dev, w->dp, dy, x, l->N, module->C, module->OC, 1.0F, 1.0F);
    }
}

const struct lorac_method lorac_method_full = {
    .name = "full", .title = "full", .forward = forward, .backward = backward};

void lorac_full_bias_backward(const struct lorac_adapter *a, size_t m, const float *dy, size_t N)
{
    struct lorac_device *dev = a->model->dev;
    const struct lorac_full *b = a->vector_at[m] >= 0 ? &a->full[a->vector_at[m]] : NULL;
    if (b && b->dp) { dev->ops->column_sums(dev, b->dp, dy, N, b->n); }
}

void lorac_full_norm_backward(const struct lorac_adapter *a, size_t m, const float *dy,
                              const float *x, size_t N, float eps)
{
    const struct lorac_full *g = &a->full[a->vector_at[m]]; // it trains, or nobody calls
    struct lorac_device *dev = a->model->dev;
    if (!a->model->config.layernorm) {
        dev->ops->rmsnorm_gain_backward(dev, g->dp, dy, x, N, g->n, eps);
        return;
    }
    bool shifts = lorac_config_shifts(&a->model->config);
    size_t C = shifts ? (g->first + g->n) / 2 : g->n; // gain, then shift, or the shift alone
    if (g->first == 0) { dev->ops->layernorm_gain_backward(dev, g->dp, dy, x, N, C, eps); }
    if (shifts) { dev->ops->column_sums(dev, g->dp + (C - g->first), dy, N, C); }
}

void lorac_full_embed_backward(const struct lorac_adapter *a, size_t m, const float *dy,
                               const int32_t *ids, size_t N)
{
    const struct lorac_full *w = &a->full[a->weight_at[m]]; // it trains, or nobody calls
    a->model->dev->ops->embed_backward(a->model->dev, w->dp, dy, ids, N, a->model->module[m].C);
}

/* ---- values ---- */

/* Elements first .. first+n-1 of what full copy f stands in for, n <= CHUNK, as float32. */
enum { CHUNK = 1024 };
static void base_values(float host[CHUNK], const struct lorac_adapter *a,
                        const struct lorac_full *f, size_t first, size_t n)
{
    struct lorac_device *dev = a->model->dev;
    const struct lorac_module *module = &a->model->module[f->m];
    if (f->vector) {
        dev->ops->read(dev, host, module->vector + f->first + first, n * sizeof *host);
    } else {
        dev->ops->weight_read(dev, host, module->w, first, n);
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

bool lorac_full_is_idle(const struct lorac_adapter *a, const struct lorac_full *f)
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
