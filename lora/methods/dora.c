/*
 * dora.c - DoRA (Liu et al. 2024): LoRA turns the rows of the weight, a magnitude of its own says
 * how long each is (huggingface/peft: tuners/lora/dora.py).
 *
 *   V = W + s B A      n = |V| of each row      y = g (x V^T) + b,  g = m / n
 *
 * m (OC) is |W| at the start. n is a constant to the gradients (section 4.3 of the paper). So with
 * u = x V^T, which is LoRA's output without its bias, and e = g dy, which LoRA gets for dy:
 *
 *   dm += sum_n dy u / n      dA, dB, dx: LoRA's of e
 *
 * V is never made: |V|^2 = |W|^2 + 2 s b.(W A^T) + s^2 b (A A^T) b^T for its row b of B, so that a
 * step costs one product of W with A's R rows, and a batch no more than LoRA and two passes over y.
 */
#include "lora/methods/methods.h"

#include "base/core/mem.h"

#include <math.h>

enum { A, BT, M };

/* derived: |W|^2 (OC), 1 / n (OC), g (OC) */
static const float *inverse_norms(const struct lorac_site *s)
{
    return s->derived + s->OC;
}

static const float *factors(const struct lorac_site *s)
{
    return s->derived + 2 * s->OC;
}

/* LoRA's layer without the bias, on an input whose dropping is done. Its u lies before ours. */
static struct lorac_linear inner(const struct lorac_linear *l)
{
    struct lorac_linear in = *l;
    in.bias = NULL;
    in.training = false;
    return in;
}

/* Where inputs are dropped, PEFT drops them for W, too, in what it adds to the base's output:
 *   y = x W^T + b + g u - xd W^T,  u = xd V^T,  xd = drop(x) */
static void forward(const struct lorac_adapter *a, const struct lorac_site *s, float *y,
                    const float *x, const struct lorac_linear *l)
{
    const struct lorac_backend *op = l->dev->ops;
    const struct lorac_linear in = inner(l);
    float *u = l->saved + l->N * s->R; // (N,OC)
    if (!lorac_site_drops(a, s, l)) {
        lorac_method_lora.forward(a, s, u, x, &in);
        op->scale_columns(l->dev, y, u, factors(s), l->bias, l->N, s->OC, 0.0F);
        return;
    }
    float *rest = l->scratch; // (N,C) xd, then x - xd
    (void)lorac_site_dropped(rest, a, s, x, l);
    lorac_method_lora.forward(a, s, u, rest, &in);
    op->scale(l->dev, rest, l->N * s->C, -1.0F);
    op->add(l->dev, rest, x, l->N * s->C);
    lorac_linear_forward(l, y, rest);
    op->scale_columns(l->dev, y, u, factors(s), NULL, l->N, s->OC, 1.0F);
}

/* dx += dy W + mask(e V - dy W), where inputs are dropped. LoRA's scratch comes first, xd in its
 * place for a dropped input; e is spent. */
static void backward_dropped(const struct lorac_adapter *a, const struct lorac_site *s, float *dx,
                             const float *dy, const float *x, float *e, float *wide,
                             const struct lorac_linear *l)
{
    const struct lorac_backend *op = l->dev->ops;
    struct lorac_linear pair = inner(l);
    struct lorac_linear base = *l;
    size_t n = l->N * s->C;
    pair.w = NULL;
    base.beta = 1.0F;
    op->zero(l->dev, wide, n * sizeof *wide); // (N,C)
    lorac_method_lora.backward(a, s, dx ? wide : NULL, e,
                               lorac_site_dropped(l->scratch, a, s, x, l), &pair);
    if (!dx) { return; }
    op->scale(l->dev, e, l->N * s->OC, -1.0F); // dy - e
    op->add(l->dev, e, dy, l->N * s->OC);
    op->scale(l->dev, wide, n, -1.0F); // (dy - e) W - du A
    lorac_linear_backward(&base, wide, e);
    (void)lorac_site_dropped(wide, a, s, wide, l);
    op->scale(l->dev, wide, n, -1.0F);
    lorac_linear_backward(l, dx, dy);
    op->add(l->dev, dx, wide, n);
}

/* Pinned by lora.test_golden and lora.test_methods. */
static void backward(const struct lorac_adapter *a, const struct lorac_site *s, float *dx,
                     const float *dy, const float *x, const struct lorac_linear *l)
{
    const struct lorac_backend *op = l->dev->ops;
    const float *u = l->saved + l->N * s->R;      // (N,OC)
    float *e = l->scratch + l->N * (s->C + s->R); // (N,OC) behind LoRA's
    float *sums = e + l->N * s->OC;               // (OC)
    if (s->dp[M]) {
        op->zero(l->dev, sums, s->OC * sizeof *sums);
        op->column_dots(l->dev, sums, dy, u, l->N, s->OC);
        op->scale_columns(l->dev, s->dp[M], sums, inverse_norms(s), NULL, 1, s->OC, 1.0F);
    }
    op->scale_columns(l->dev, e, dy, factors(s), NULL, l->N, s->OC, 0.0F);
    if (lorac_site_drops(a, s, l)) {
        backward_dropped(a, s, dx, dy, x, e, sums + s->OC, l);
    } else {
        lorac_method_lora.backward(a, s, dx, e, x, l);
    }
}

static size_t saved_floats(const struct lorac_site *s, size_t N)
{
    return N * (s->R + s->OC);
}

static size_t scratch_floats(const struct lorac_site *s, size_t N)
{
    return lorac_method_lora.scratch_floats(s, N) + N * s->OC + s->OC + N * s->C;
}

/* ---- norms ---- */

static size_t derived_floats(const struct lorac_site *s)
{
    return 3 * s->OC;
}

static size_t deriving_floats(const struct lorac_site *s)
{
    return s->R * s->OC + s->R * s->R;
}

/* to (OC) = |W|^2 of each row, summed in double on the host. */
static enum lorac_status base_squares(float *to, const struct lorac_adapter *a,
                                      const struct lorac_site *s, struct lorac_err *err)
{
    const struct lorac_module *m = &a->model->module[s->m];
    struct lorac_device *dev = a->model->dev;
    size_t rows = m->transposed ? s->C : s->OC; // of what is stored
    size_t width = m->transposed ? s->OC : s->C;
    float *row = lorac_mem_new(width > s->OC ? width : s->OC, sizeof *row);
    double *sums = lorac_mem_new(s->OC, sizeof *sums);
    if (!row || !sums) {
        lorac_mem_free(row);
        lorac_mem_free(sums);
        return lorac_fail(err, LORAC_ENOMEM, "no memory for the norms of '%s'", m->name);
    }
    for (size_t i = 0; i < rows; i++) {
        dev->ops->weight_read(dev, row, m->w, i * width, width);
        for (size_t j = 0; j < width; j++) {
            sums[m->transposed ? j : i] += (double)row[j] * (double)row[j];
        }
    }
    for (size_t i = 0; i < s->OC; i++) {
        row[i] = (float)sums[i];
    }
    dev->ops->write(dev, to, row, s->OC * sizeof *row);
    lorac_mem_free(row);
    lorac_mem_free(sums);
    return LORAC_OK;
}

/* With Q = 2 s A W^T + s^2 (A A^T) Bt:  n^2 = |W|^2 + sum_r Bt Q */
static enum lorac_status derive(const struct lorac_adapter *a, const struct lorac_site *s,
                                float *scratch, bool first, struct lorac_err *err)
{
    const struct lorac_module *m = &a->model->module[s->m];
    struct lorac_device *dev = a->model->dev;
    const struct lorac_backend *op = dev->ops;
    float *n = s->derived + s->OC;     // (OC) n^2, then 1 / n
    float *g = s->derived + 2 * s->OC; // (OC) n^2 first
    float *q = scratch;                // (R,OC)
    float *gram = q + s->R * s->OC;    // (R,R)
    enum lorac_status st = first ? base_squares(s->derived, a, s, err) : LORAC_OK;
    if (st) { return st; }
    op->linear(dev, q, s->p[A], m->w, NULL, s->R); // A W^T
    op->matmul_nt(dev, gram, s->p[A], s->p[A], s->R, s->C, s->R, 1.0F, 0.0F);
    op->matmul_nn(dev, q, gram, s->p[BT], s->R, s->OC, s->R, s->scale * s->scale, 2.0F * s->scale);
    op->copy(dev, g, s->derived, s->OC * sizeof *g);
    op->column_dots(dev, g, s->p[BT], q, s->R, s->OC);
    op->over_roots(dev, n, NULL, g, s->OC);
    op->over_roots(dev, g, s->p[M], g, s->OC);
    if (isfinite(op->sum_squares(dev, n, s->OC))) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER,
                      "module '%s': a row of its weight, with the adapter's part, is zero: DoRA "
                      "divides by its norm; leave the module out, or take method: lora",
                      m->name);
}

/* ---- its tensors ---- */

static struct lorac_shape shape(const struct lorac_site *s, size_t k)
{
    return k == M ? (struct lorac_shape){.n_dims = 1, .dims = {s->OC}, .vector = true}
                  : lorac_method_lora.shape(s, k);
}

/* LoRA's A and B, and m = |W|. */
static enum lorac_status init(struct lorac_adapter *a, size_t i, uint64_t seed,
                              struct lorac_err *err)
{
    const struct lorac_site *s = &a->site[i];
    struct lorac_device *dev = a->model->dev;
    float *m = lorac_mem_new(s->OC, sizeof *m);
    if (!m) { return lorac_fail(err, LORAC_ENOMEM, "no memory for an adapter"); }
    dev->ops->read(dev, m, s->derived, s->OC * sizeof *m);
    for (size_t j = 0; j < s->OC; j++) {
        m[j] = (float)sqrt((double)m[j]);
    }
    dev->ops->write(dev, s->p[M], m, s->OC * sizeof *m);
    lorac_mem_free(m);
    return lorac_site_init_a(a, i, seed, err);
}

static void merged(struct lorac_merged *out, const struct lorac_site *s)
{
    *out = (struct lorac_merged){.product = true, .rows = factors(s)};
}

static bool idle(const struct lorac_adapter *a, const struct lorac_site *s)
{
    return lorac_method_lora.idle(a, s); // m goes with the norms, which B moves
}

const struct lorac_method lorac_method_dora = {
    .name = "dora",
    .title = "DoRA",
    .peft_type = "LORA",
    .peft_flag = "use_dora",
    .idle_text = "every B is zero",
    .ranked = true,
    .vectors = true,
    .tensor = {"lora_A.weight", "lora_B.weight", "lora_magnitude_vector"},
    .shape = shape,
    .init = init,
    .idle = idle,
    .merged = merged,
    .derived_floats = derived_floats,
    .deriving_floats = deriving_floats,
    .derive = derive,
    .saved_floats = saved_floats,
    .scratch_floats = scratch_floats,
    .forward = forward,
    .backward = backward,
};
