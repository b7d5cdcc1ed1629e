/*
 * ia3.c - IA3 (Liu et al. 2022): a vector multiplies what a layer gives, or, of feed-forward layers
 * (adapter.feedforward), what it gets (huggingface/peft: tuners/ia3/layer.py).
 *
 *   y = l (x W^T + b)          dl += sum_n dy v,   v = x W^T + b        dx = (l dy) W
 *   y = (l x) W^T + b          dl += sum_n dz x,   dz = dy W            dx = l dz
 *
 * l (OC), or (C), is 1 at the start.
 */
#include "lora/methods/methods.h"

#include "base/core/mem.h"

enum { L };

static size_t width(const struct lorac_site *s)
{
    return s->input ? s->C : s->OC;
}

static void forward(const struct lorac_adapter *a, const struct lorac_site *s, float *y,
                    const float *x, const struct lorac_linear *l)
{
    const struct lorac_backend *op = l->dev->ops;
    float *v = l->saved; // (N,OC), or (N,C) l x
    (void)a;
    if (s->input) {
        op->scale_columns(l->dev, v, x, s->p[L], NULL, l->N, s->C, 0.0F);
        lorac_linear_forward(l, y, v);
    } else {
        lorac_linear_forward(l, v, x);
        op->scale_columns(l->dev, y, v, s->p[L], NULL, l->N, s->OC, 0.0F);
    }
}

/* Pinned by lora.test_golden and lora.test_methods. */
static void backward(const struct lorac_adapter *a, const struct lorac_site *s, float *dx,
                     const float *dy, const float *x, const struct lorac_linear *l)
{
    const struct lorac_backend *op = l->dev->ops;
    float *d = l->scratch; // (N,OC) l dy, or (N,C) dz
    (void)a;
    if (!s->input) {
        if (s->dp[L]) { op->column_dots(l->dev, s->dp[L], dy, l->saved, l->N, s->OC); }
        op->scale_columns(l->dev, d, dy, s->p[L], NULL, l->N, s->OC, 0.0F);
        lorac_linear_backward(l, dx, d);
        return;
    }
    struct lorac_linear written = *l;
    written.beta = 0.0F;
    lorac_linear_backward(&written, d, dy);
    if (s->dp[L]) { op->column_dots(l->dev, s->dp[L], d, x, l->N, s->C); }
    if (dx) { op->scale_columns(l->dev, dx, d, s->p[L], NULL, l->N, s->C, l->beta); }
}

static size_t floats(const struct lorac_site *s, size_t N)
{
    return N * width(s);
}

/* ---- its tensor ---- */

static struct lorac_shape shape(const struct lorac_site *s, size_t k)
{
    (void)k;
    return s->input ? (struct lorac_shape){.n_dims = 2, .dims = {1, s->C}, .vector = true}
                    : (struct lorac_shape){.n_dims = 2, .dims = {s->OC, 1}, .vector = true};
}

static enum lorac_status init(struct lorac_adapter *a, size_t i, uint64_t seed,
                              struct lorac_err *err)
{
    size_t n = width(&a->site[i]);
    float *ones = lorac_mem_new(n, sizeof *ones);
    (void)seed;
    if (!ones) { return lorac_fail(err, LORAC_ENOMEM, "no memory for an adapter"); }
    for (size_t j = 0; j < n; j++) {
        ones[j] = 1.0F;
    }
    enum lorac_status st = lorac_site_write(a, i, L, ones, err);
    lorac_mem_free(ones);
    return st;
}

static bool idle(const struct lorac_adapter *a, const struct lorac_site *s)
{
    enum { CHUNK = 512 };
    float host[CHUNK];
    bool ones = true;
    for (size_t first = 0; first < width(s) && ones; first += CHUNK) {
        size_t n = width(s) - first < CHUNK ? width(s) - first : CHUNK;
        a->model->dev->ops->read(a->model->dev, host, s->p[L] + first, n * sizeof *host);
        for (size_t i = 0; i < n; i++) {
            ones = ones && !(host[i] < 1.0F) && !(host[i] > 1.0F);
        }
    }
    return ones;
}

static void merged(struct lorac_merged *out, const struct lorac_site *s)
{
    if (s->input) {
        out->columns = s->p[L];
    } else {
        out->rows = s->p[L];
        out->bias = true;
    }
}

const struct lorac_method lorac_method_ia3 = {
    .name = "ia3",
    .title = "IA3",
    .peft_type = "IA3",
    .peft_keys = "|feedforward_modules|init_ia3_weights|",
    .idle_text = "every factor is 1",
    .inputs = true,
    .vectors = true,
    .tensor = {"ia3_l"},
    .shape = shape,
    .init = init,
    .idle = idle,
    .merged = merged,
    .saved_floats = floats,
    .scratch_floats = floats,
    .forward = forward,
    .backward = backward,
};
