/*
 * kernels.h - the inner loops of the cpu backend: one table per instruction set, all
 * single-threaded.
 *
 * cpu*.c splits an operation into pieces and calls these on each. Same dimensions as in device.h;
 * `ld` is the distance between rows in elements. Nothing is allocated, nothing overlaps unless
 * said.
 */
#ifndef LORAC_BASE_COMPUTE_KERNELS_H
#define LORAC_BASE_COMPUTE_KERNELS_H

#include "base/compute/device.h"

enum {
    LORAC_KEYS = 64,  // keys of one attention block; row length of its scores
    LORAC_ROWS = 64,  // query rows of one attention block
    LORAC_SUM = 4096, // elements summed in float lanes before the lanes are added up in double
};

/* What one block of attention scores shows: row i sees its keys from[i] .. to[i]-1. */
struct lorac_sight {
    uint8_t from[LORAC_ROWS], to[LORAC_ROWS];
};

/* Are there kernels that read this type as it is stored? */
static inline bool lorac_kernels_take(enum lorac_dtype type)
{
    return type == LORAC_F32 || type == LORAC_F16 || type == LORAC_BF16;
}

struct lorac_kernels {
    const char *name;

    /* ---- products ---- */
    /* c (m,n) = beta c + alpha a b, b (k,n); a's element (i,l) is a[i a_row + l a_col]: a
     * column-major `a` is its transpose. Each output is one sum over k from left to right. beta 0
     * doesn't read c. */
    void (*tile)(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col, const float *b,
                 size_t ldb, size_t m, size_t n, size_t k, float alpha, float beta);
    /* c (m,n) = beta c + alpha a b^T, a (m,k), b (n,k) stored as `type`, which is one of
     * lorac_kernels_take(); sums in 16 lanes. */
    void (*dots)(float *c, size_t ldc, const float *a, size_t lda, const void *b, size_t ldb,
                 enum lorac_dtype type, size_t m, size_t n, size_t k, float alpha, float beta);
    /* As lorac_dtype_decode(). */
    void (*decode)(float *out, const void *in, enum lorac_dtype type, size_t n);
    /* As lorac_dtype_encode() to BF16; and the same left in float32, where `out` may be `in`. */
    void (*to_bf16)(uint16_t *out, const float *in, size_t n);
    void (*round_bf16)(float *out, const float *in, size_t n);

    /* ---- rows and elements: as in device.h, on part of the rows ---- */
    void (*rmsnorm)(float *y, const float *x, const float *g, size_t N, size_t C, float eps);
    void (*rmsnorm_backward)(float *dx, const float *dy, const float *x, const float *g, size_t N,
                             size_t C, float eps);
    void (*layernorm)(float *y, const float *x, const float *g, const float *b, size_t N, size_t C,
                      float eps);
    void (*layernorm_backward)(float *dx, const float *dy, const float *x, const float *g, size_t N,
                               size_t C, float eps);
    void (*add)(float *y, const float *x, size_t n);
    void (*rope)(float *x, const float *table, const uint32_t *position, size_t N, size_t heads,
                 size_t D, size_t R, float sign);
    void (*gate)(float *h, const float *gate, const float *up, size_t n, enum lorac_activation act);
    void (*gate_backward)(float *dgate, float *dup, const float *dh, const float *gate,
                          const float *up, size_t n, enum lorac_activation act);
    /* Elements start .. start+n-1 of the stream; start is a multiple of 4. y may be x. */
    void (*dropout)(float *y, const float *x, size_t n, float p, uint64_t key, uint64_t step,
                    size_t start);

    /* ---- loss and optimisers ---- */
    float (*max)(const float *x, size_t n); // -inf for n = 0; a NaN is passed over
    /* sum of exp(x - max); y (n) written with the terms unless NULL, may be x. */
    double (*sum_exp)(float *y, const float *x, size_t n, float max);
    void (*scale)(float *x, size_t n, float factor); // x *= factor
    double (*sum_squares)(const float *x, size_t n); // in double
    void (*adamw)(float *p, float *m, float *v, const float *g, size_t n, double g_scale, double lr,
                  double b1, double b2, double eps, double wd, double c1, double c2);
    void (*sgd)(float *p, float *m, const float *g, size_t n, double g_scale, double lr,
                double momentum, double wd);

    /* ---- attention blocks of m rows and n keys; scores and probabilities have ld LORAC_KEYS ----
     */
    /* to (D,LORAC_KEYS) = from (n,D)^T; columns up to the next whole vector are zero */
    void (*transpose)(float *to, const float *from, size_t ld, size_t n, size_t D);
    /* One step of the online softmax (Milakov, Gimelshein 2018). s (m,n): scores in, exp(s - max)
     * out, 0 out of sight; max (m), sum (m): running, updated; o (m,D) rescaled to the new maximum.
     */
    void (*softmax_step)(float *s, const struct lorac_sight *sight, float *max, float *sum,
                         float *o, size_t ldo, size_t m, size_t n, size_t D);
    /* s (m,n): scores in, p = exp(s - lse) out, 0 out of sight; dp (m,n): dp in, p (dp - delta)
     * out. */
    void (*softmax_back)(float *s, float *dp, const struct lorac_sight *sight, const float *lse,
                         const float *delta, size_t m, size_t n);
};

extern const struct lorac_kernels lorac_kernels_generic;
#if defined(__x86_64__)
extern const struct lorac_kernels lorac_kernels_avx2;
extern const struct lorac_kernels lorac_kernels_avx512;
#endif

#endif
