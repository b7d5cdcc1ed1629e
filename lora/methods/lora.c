/*
 * lora.c - LoRA (Hu et al. 2021):  y = x W^T + b + s drop(x) A^T B^T
 *
 * A (R,C) random, B (OC,R) zero at the start; s = alpha / R, or alpha / sqrt(R). What trains is
 * R (C + OC) numbers instead of C OC.
 */
#include "lora/methods/methods.h"

enum { A, BT };

/* u = s drop(x) A^T;  y += u Bt */
static void forward(const struct lorac_adapter *a, const struct lorac_site *s, float *y,
                    const float *x, const struct lorac_linear *l)
{
    const struct lorac_backend *op = l->dev->ops;
    float *u = l->saved; // (N,R)
    struct lorac_pair pair = {s->R, s->p[A], s->p[BT], u, s->scale};
    if (!lorac_site_drops(a, s, l) && lorac_linear_pair(l, false, y, x, &pair)) { return; }
    lorac_linear_forward(l, y, x);
    x = lorac_site_dropped(l->scratch, a, s, x, l);
    op->matmul_nt(l->dev, u, x, s->p[A], l->N, s->C, s->R, s->scale, 0.0F);
    op->matmul_nn(l->dev, y, u, s->p[BT], l->N, s->OC, s->R, 1.0F, 1.0F);
}

/* With u kept and dy given:
 *   dBt += u^T dy        du = s dy Bt^T      dA += du^T drop(x)      dx += mask du A
 *                                             pinned by base.test_pass, lora.test_golden */
static void backward(const struct lorac_adapter *a, const struct lorac_site *s, float *dx,
                     const float *dy, const float *x, const struct lorac_linear *l)
{
    const struct lorac_backend *op = l->dev->ops;
    float *wide = l->scratch;             // (N,C)
    float *du = l->scratch + l->N * s->C; // (N,R)
    struct lorac_linear onto = *l; // the pair's share comes first: OpenBLAS adds to what is there
    onto.beta = 1.0F;              // at less than it takes to write
    struct lorac_pair pair = {s->R, s->p[BT], s->p[A], du, s->scale};
    bool done = !lorac_site_drops(a, s, l) && lorac_linear_pair(l, true, dx, dy, &pair);
    if (!done) { op->matmul_nt(l->dev, du, dy, s->p[BT], l->N, s->OC, s->R, s->scale, 0.0F); }
    if (s->dp[A]) {
        x = lorac_site_dropped(wide, a, s, x, l);
        op->matmul_tn(l->dev, s->dp[BT], l->saved, dy, l->N, s->OC, s->R, 1.0F, 1.0F);
        op->matmul_tn(l->dev, s->dp[A], du, x, l->N, s->C, s->R, 1.0F, 1.0F);
    }
    if (!dx || done) { return; }
    if (!lorac_site_drops(a, s, l)) {
        op->matmul_nn(l->dev, dx, du, s->p[A], l->N, s->C, s->R, 1.0F, l->w ? l->beta : 1.0F);
        lorac_linear_backward(&onto, dx, dy);
        return;
    }
    lorac_linear_backward(l, dx, dy);
    op->matmul_nn(l->dev, wide, du, s->p[A], l->N, s->C, s->R, 1.0F, 0.0F);
    (void)lorac_site_dropped(wide, a, s, wide, l); // through the same mask
    op->add(l->dev, dx, wide, l->N * s->C);
}

/* ---- its tensors ---- */

static struct lorac_shape shape(const struct lorac_site *s, size_t k)
{
    return k == A ? (struct lorac_shape){.n_dims = 2, .dims = {s->R, s->C}}
                  : (struct lorac_shape){.n_dims = 2, .dims = {s->OC, s->R}, .turned = true};
}

static bool idle(const struct lorac_adapter *a, const struct lorac_site *s)
{
    struct lorac_device *dev = a->model->dev;
    return !(dev->ops->sum_squares(dev, s->p[BT], s->R * s->OC) > 0.0);
}

static void merged(struct lorac_merged *out, const struct lorac_site *s)
{
    (void)s;
    out->product = true;
}

static size_t saved_floats(const struct lorac_site *s, size_t N)
{
    return N * s->R; // u
}

static size_t scratch_floats(const struct lorac_site *s, size_t N)
{
    return N * (s->C + s->R);
}

const struct lorac_method lorac_method_lora = {
    .name = "lora",
    .title = "LoRA",
    .peft_type = "LORA",
    .idle_text = "every B is zero",
    .ranked = true,
    .adds = true,
    .tensor = {"lora_A.weight", "lora_B.weight"},
    .shape = shape,
    .init = lorac_site_init_a,
    .idle = idle,
    .merged = merged,
    .saved_floats = saved_floats,
    .scratch_floats = scratch_floats,
    .forward = forward,
    .backward = backward,
};
