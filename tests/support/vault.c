/* vault.c - see vault.h. Every operation is the same three lines: open, compute as ref, close. */
#define _GNU_SOURCE // MAP_ANONYMOUS
#include "tests/support/vault.h"

#include "base/compute/weight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct vault {
    char *base;
    size_t size, used;
    bool open;
};

static void unlock(struct lorac_device *dev)
{
    struct vault *v = dev->state;
    assert_false(v->open); // operations don't call each other through the table
    assert_int_equal(mprotect(v->base, v->size, PROT_READ | PROT_WRITE), 0);
    v->open = true;
}

static void lock(struct lorac_device *dev)
{
    struct vault *v = dev->state;
    assert_int_equal(mprotect(v->base, v->size, PROT_NONE), 0);
    v->open = false;
}

/* ---- memory ---- */

static void *vault_alloc(struct lorac_device *dev, size_t bytes)
{
    struct vault *v = dev->state;
    if (bytes > v->size - v->used) { return NULL; }
    size_t rounded = (bytes + 63) / 64 * 64; // size is a multiple of pages
    void *p = v->base + v->used;             // fresh pages are zero
    v->used += rounded;
    return p;
}

static void vault_release(struct lorac_device *dev, void *p)
{
    (void)dev;
    (void)p;
}

static void vault_copy(struct lorac_device *dev, void *to, const void *from, size_t bytes)
{
    unlock(dev);
    lorac_backend_ref.copy(dev, to, from, bytes);
    lock(dev);
}

static void vault_zero(struct lorac_device *dev, void *to, size_t bytes)
{
    unlock(dev);
    lorac_backend_ref.zero(dev, to, bytes);
    lock(dev);
}

/* ---- weights: numbers and handle lie in the vault, too ---- */

static struct lorac_weight *handle(struct lorac_device *dev, const void *data,
                                   enum lorac_dtype type, size_t OC, size_t C, bool transposed,
                                   enum lorac_compute compute)
{
    const struct lorac_weight w = {data, type, OC, C, transposed, compute, NULL, NULL};
    struct lorac_weight *p = vault_alloc(dev, sizeof *p);
    if (p) { vault_copy(dev, p, &w, sizeof w); }
    return p;
}

static struct lorac_weight *vault_weight_open(struct lorac_device *dev, const void *host,
                                              enum lorac_dtype type, size_t OC, size_t C,
                                              bool transposed, enum lorac_compute compute)
{
    size_t bytes = lorac_dtype_bytes(type, OC * C);
    void *data = vault_alloc(dev, bytes);
    if (!data) { return NULL; }
    vault_copy(dev, data, host, bytes);
    return handle(dev, data, type, OC, C, transposed, compute);
}

static struct lorac_weight *vault_weight_over(struct lorac_device *dev, const float *data,
                                              size_t OC, size_t C, bool transposed)
{
    return handle(dev, data, LORAC_F32, OC, C, transposed, LORAC_FLOAT32);
}

static size_t vault_weight_bytes(const struct lorac_device *dev, enum lorac_dtype type, size_t OC,
                                 size_t C, enum lorac_compute compute, bool back)
{
    return lorac_backend_ref.weight_bytes(dev, type, OC, C, compute, back);
}

static void vault_weights_prepare(struct lorac_device *dev, const struct lorac_weight *const *w,
                                  size_t n, bool back)
{
    (void)dev, (void)w, (void)n, (void)back;
}

static void vault_weight_close(struct lorac_device *dev, struct lorac_weight *w)
{
    (void)dev;
    (void)w;
}

static void vault_weight_read(struct lorac_device *dev, float *host, const struct lorac_weight *w,
                              size_t first, size_t n)
{
    unlock(dev);
    lorac_backend_ref.weight_read(dev, host, w, first, n);
    lock(dev);
}

/* ---- operations ---- */

static void vault_matmul_nt(struct lorac_device *dev, float *out, const float *a, const float *b,
                            size_t N, size_t C, size_t OC, float alpha, float beta)
{
    unlock(dev);
    lorac_backend_ref.matmul_nt(dev, out, a, b, N, C, OC, alpha, beta);
    lock(dev);
}

static void vault_matmul_nn(struct lorac_device *dev, float *out, const float *a, const float *b,
                            size_t N, size_t C, size_t OC, float alpha, float beta)
{
    unlock(dev);
    lorac_backend_ref.matmul_nn(dev, out, a, b, N, C, OC, alpha, beta);
    lock(dev);
}

static void vault_matmul_tn(struct lorac_device *dev, float *out, const float *a, const float *b,
                            size_t N, size_t C, size_t OC, float alpha, float beta)
{
    unlock(dev);
    lorac_backend_ref.matmul_tn(dev, out, a, b, N, C, OC, alpha, beta);
    lock(dev);
}

static void vault_linear(struct lorac_device *dev, float *y, const float *x,
                         const struct lorac_weight *w, const float *bias, size_t N)
{
    unlock(dev);
    lorac_backend_ref.linear(dev, y, x, w, bias, N);
    lock(dev);
}

static void vault_linear_backward(struct lorac_device *dev, float *dx, const float *dy,
                                  const struct lorac_weight *w, size_t N, float beta)
{
    unlock(dev);
    lorac_backend_ref.linear_backward(dev, dx, dy, w, N, beta);
    lock(dev);
}

static void vault_embed(struct lorac_device *dev, float *y, const int32_t *ids,
                        const struct lorac_weight *w, size_t N)
{
    unlock(dev);
    lorac_backend_ref.embed(dev, y, ids, w, N);
    lock(dev);
}

static void vault_embed_backward(struct lorac_device *dev, float *dw, const float *dy,
                                 const int32_t *ids, size_t N, size_t C)
{
    unlock(dev);
    lorac_backend_ref.embed_backward(dev, dw, dy, ids, N, C);
    lock(dev);
}

static void vault_column_sums(struct lorac_device *dev, float *sums, const float *y, size_t N,
                              size_t C)
{
    unlock(dev);
    lorac_backend_ref.column_sums(dev, sums, y, N, C);
    lock(dev);
}

static void vault_column_dots(struct lorac_device *dev, float *dots, const float *y, const float *x,
                              size_t N, size_t C)
{
    unlock(dev);
    lorac_backend_ref.column_dots(dev, dots, y, x, N, C);
    lock(dev);
}

static void vault_scale_columns(struct lorac_device *dev, float *y, const float *x, const float *g,
                                const float *b, size_t N, size_t C, float beta)
{
    unlock(dev);
    lorac_backend_ref.scale_columns(dev, y, x, g, b, N, C, beta);
    lock(dev);
}

static void vault_over_roots(struct lorac_device *dev, float *y, const float *x, const float *z,
                             size_t n)
{
    unlock(dev);
    lorac_backend_ref.over_roots(dev, y, x, z, n);
    lock(dev);
}

static void vault_rmsnorm_gain_backward(struct lorac_device *dev, float *dg, const float *dy,
                                        const float *x, size_t N, size_t C, float eps)
{
    unlock(dev);
    lorac_backend_ref.rmsnorm_gain_backward(dev, dg, dy, x, N, C, eps);
    lock(dev);
}

static void vault_rmsnorm(struct lorac_device *dev, float *y, const float *x, const float *g,
                          size_t N, size_t C, float eps)
{
    unlock(dev);
    lorac_backend_ref.rmsnorm(dev, y, x, g, N, C, eps);
    lock(dev);
}

static void vault_rmsnorm_backward(struct lorac_device *dev, float *dx, const float *dy,
                                   const float *x, const float *g, size_t N, size_t C, float eps)
{
    unlock(dev);
    lorac_backend_ref.rmsnorm_backward(dev, dx, dy, x, g, N, C, eps);
    lock(dev);
}

static void vault_layernorm(struct lorac_device *dev, float *y, const float *x, const float *g,
                            const float *b, size_t N, size_t C, float eps)
{
    unlock(dev);
    lorac_backend_ref.layernorm(dev, y, x, g, b, N, C, eps);
    lock(dev);
}

static void vault_layernorm_backward(struct lorac_device *dev, float *dx, const float *dy,
                                     const float *x, const float *g, size_t N, size_t C, float eps)
{
    unlock(dev);
    lorac_backend_ref.layernorm_backward(dev, dx, dy, x, g, N, C, eps);
    lock(dev);
}

static void vault_add(struct lorac_device *dev, float *y, const float *x, size_t n)
{
    unlock(dev);
    lorac_backend_ref.add(dev, y, x, n);
    lock(dev);
}

static void vault_scale(struct lorac_device *dev, float *x, size_t n, float factor)
{
    unlock(dev);
    lorac_backend_ref.scale(dev, x, n, factor);
    lock(dev);
}

static void vault_to_bf16(struct lorac_device *dev, uint16_t *y, const float *x, size_t n)
{
    unlock(dev);
    lorac_backend_ref.to_bf16(dev, y, x, n);
    lock(dev);
}

static void vault_from_bf16(struct lorac_device *dev, float *x, const uint16_t *y, size_t n)
{
    unlock(dev);
    lorac_backend_ref.from_bf16(dev, x, y, n);
    lock(dev);
}

static void vault_layernorm_gain_backward(struct lorac_device *dev, float *dg, const float *dy,
                                          const float *x, size_t N, size_t C, float eps)
{
    unlock(dev);
    lorac_backend_ref.layernorm_gain_backward(dev, dg, dy, x, N, C, eps);
    lock(dev);
}

static void vault_gather(struct lorac_device *dev, float *y, const float *x, const uint32_t *rows,
                         size_t U, size_t C)
{
    unlock(dev);
    lorac_backend_ref.gather(dev, y, x, rows, U, C);
    lock(dev);
}

static void vault_scatter_add(struct lorac_device *dev, float *x, const float *y,
                              const uint32_t *rows, size_t U, size_t C)
{
    unlock(dev);
    lorac_backend_ref.scatter_add(dev, x, y, rows, U, C);
    lock(dev);
}

static void vault_rope(struct lorac_device *dev, float *x, const float *table,
                       const uint32_t *position, size_t N, size_t heads, size_t D, size_t R,
                       float sign)
{
    unlock(dev);
    lorac_backend_ref.rope(dev, x, table, position, N, heads, D, R, sign);
    lock(dev);
}

static void vault_gate(struct lorac_device *dev, float *h, const float *gate, const float *up,
                       size_t n, enum lorac_activation act)
{
    unlock(dev);
    lorac_backend_ref.gate(dev, h, gate, up, n, act);
    lock(dev);
}

static void vault_gate_backward(struct lorac_device *dev, float *dgate, float *dup, const float *dh,
                                const float *gate, const float *up, size_t n,
                                enum lorac_activation act)
{
    unlock(dev);
    lorac_backend_ref.gate_backward(dev, dgate, dup, dh, gate, up, n, act);
    lock(dev);
}

static void vault_dropout(struct lorac_device *dev, float *y, const float *x, size_t n, float p,
                          uint64_t key, uint64_t step, size_t first)
{
    unlock(dev);
    lorac_backend_ref.dropout(dev, y, x, n, p, key, step, first);
    lock(dev);
}

static void vault_attention(struct lorac_device *dev, float *out, float *lse, const float *q,
                            const float *k, const float *v, const float *cache_k,
                            const float *cache_v, const struct lorac_segment *segments, size_t S,
                            const struct lorac_attention *a)
{
    unlock(dev);
    lorac_backend_ref.attention(dev, out, lse, q, k, v, cache_k, cache_v, segments, S, a);
    lock(dev);
}

static void vault_attention_backward(struct lorac_device *dev, float *dq, float *dk, float *dv,
                                     const float *dout, const float *out, const float *lse,
                                     const float *q, const float *k, const float *v,
                                     const struct lorac_segment *segments, size_t S,
                                     const struct lorac_attention *a)
{
    unlock(dev);
    lorac_backend_ref.attention_backward(dev, dq, dk, dv, dout, out, lse, q, k, v, segments, S, a);
    lock(dev);
}

static void vault_cross_entropy(struct lorac_device *dev, float *nll, float *logits,
                                const uint32_t *first, const int32_t *target, const float *weight,
                                size_t U, size_t V)
{
    unlock(dev);
    lorac_backend_ref.cross_entropy(dev, nll, logits, first, target, weight, U, V);
    lock(dev);
}

static void vault_column_loss(struct lorac_device *dev, float *nll, float *logits,
                              const uint32_t *first, const int32_t *target, const float *value,
                              const float *weight, size_t U, size_t Z, bool squared)
{
    unlock(dev);
    lorac_backend_ref.column_loss(dev, nll, logits, first, target, value, weight, U, Z, squared);
    lock(dev);
}

static double vault_sum_squares(struct lorac_device *dev, const float *x, size_t n)
{
    unlock(dev);
    double result = lorac_backend_ref.sum_squares(dev, x, n);
    lock(dev);
    return result;
}

static void vault_adamw(struct lorac_device *dev, float *p, float *m, float *v, const float *g,
                        size_t n, double g_scale, double lr, double b1, double b2, double eps,
                        double wd, double c1, double c2)
{
    unlock(dev);
    lorac_backend_ref.adamw(dev, p, m, v, g, n, g_scale, lr, b1, b2, eps, wd, c1, c2);
    lock(dev);
}

static void vault_sgd(struct lorac_device *dev, float *p, float *m, const float *g, size_t n,
                      double g_scale, double lr, double momentum, double wd)
{
    unlock(dev);
    lorac_backend_ref.sgd(dev, p, m, g, n, g_scale, lr, momentum, wd);
    lock(dev);
}

static enum lorac_status vault_open_state(struct lorac_device *dev, struct lorac_err *err)
{
    struct vault *v = calloc(1, sizeof *v);
    if (!v) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a vault"); }
    dev->state = v;
    return LORAC_OK;
}

static void vault_close(struct lorac_device *dev)
{
    struct vault *v = dev->state;
    if (v->base) { munmap(v->base, v->size); }
    free(v);
    dev->state = NULL;
}

static enum lorac_status vault_start(struct lorac_device *dev, struct lorac_err *err)
{
    (void)dev;
    (void)err;
    return LORAC_OK;
}

void vault_open(struct lorac_device *dev, size_t bytes)
{
    *dev = (struct lorac_device){.ops = &lorac_backend_vault, .threads = 1};
    assert_int_equal(dev->ops->open(dev, NULL), LORAC_OK);
    struct vault *v = dev->state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    v->size = (bytes + page - 1) / page * page;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *p = mmap(NULL, v->size, PROT_NONE, flags, -1, 0);
    assert_true(p != MAP_FAILED);
    v->base = p;
}

static const char *vault_lacks(const struct lorac_device *dev, enum lorac_compute c)
{
    return lorac_backend_ref.lacks(dev, c);
}

static const char *vault_slow(const struct lorac_device *dev, enum lorac_compute c)
{
    return lorac_backend_ref.slow(dev, c);
}

static size_t library_bytes(const struct lorac_device *dev)
{
    (void)dev;
    return 0;
}

const struct lorac_backend lorac_backend_vault = {
    .name = "vault",
    .library_bytes = library_bytes,
    .lacks = vault_lacks,
    .slow = vault_slow,
    .alloc = vault_alloc,
    .release = vault_release,
    .write = vault_copy,
    .read = vault_copy,
    .copy = vault_copy,
    .zero = vault_zero,
    .weight_open = vault_weight_open,
    .weight_bytes = vault_weight_bytes,
    .weights_prepare = vault_weights_prepare,
    .weight_over = vault_weight_over,
    .weight_close = vault_weight_close,
    .weight_read = vault_weight_read,
    .matmul_nt = vault_matmul_nt,
    .matmul_nn = vault_matmul_nn,
    .matmul_tn = vault_matmul_tn,
    .linear = vault_linear,
    .linear_backward = vault_linear_backward,
    .embed = vault_embed,
    .embed_backward = vault_embed_backward,
    .column_sums = vault_column_sums,
    .column_dots = vault_column_dots,
    .scale_columns = vault_scale_columns,
    .over_roots = vault_over_roots,
    .rmsnorm = vault_rmsnorm,
    .rmsnorm_backward = vault_rmsnorm_backward,
    .rmsnorm_gain_backward = vault_rmsnorm_gain_backward,
    .layernorm = vault_layernorm,
    .layernorm_backward = vault_layernorm_backward,
    .layernorm_gain_backward = vault_layernorm_gain_backward,
    .add = vault_add,
    .scale = vault_scale,
    .to_bf16 = vault_to_bf16,
    .from_bf16 = vault_from_bf16,
    .gather = vault_gather,
    .scatter_add = vault_scatter_add,
    .rope = vault_rope,
    .gate = vault_gate,
    .gate_backward = vault_gate_backward,
    .dropout = vault_dropout,
    .attention = vault_attention,
    .attention_backward = vault_attention_backward,
    .cross_entropy = vault_cross_entropy,
    .column_loss = vault_column_loss,
    .sum_squares = vault_sum_squares,
    .adamw = vault_adamw,
    .sgd = vault_sgd,
    .open = vault_open_state,
    .start = vault_start,
    .close = vault_close,
};
