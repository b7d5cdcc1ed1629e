/*
 * int8.h - products whose operands are 8-bit integers: `compute` LORAC_INT8 of a weight's handle.
 *
 * A run of numbers v that share a scale s becomes integers (symmetric; ties to even):
 *
 *   m = max |v_i|      q_i = round(v_i (127 / m))      s = m / 127      v_i ~ s q_i
 *
 * W has one scale an output channel (row of W), x one a row, made anew at each product; the sums of
 * products of integers are exact:
 *
 *   y_no  = s_n s_o sum_i q_ni q_oi + b_o                with s_n, q_n of x_n and s_o, q_o of W_o
 *   dx_ni = beta dx_ni + s_n sum_o q_no q_oi             with s_n, q_n of dy_n * s
 *
 * The same integers of W serve both. `ref` is that definition. A run in which a number is not
 * finite has scale NaN: the whole row of the result (or the channel) is NaN, never a wrong number.
 * Where m < 2^-120, all are 0.
 */
#ifndef LORAC_BASE_COMPUTE_INT8_H
#define LORAC_BASE_COMPUTE_INT8_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LORAC_INT8_OUTPUTS = 16,   // of a panel
    LORAC_INT8_DEPTH = 131072, // terms of one sum at most: 127 128 131072 < 2^31
};

struct lorac_int8_scale {
    float scale, inverse; // s; 127 / m. Not finite: NaN, 0. All zero: 0, 0
};

/* Of a run whose largest |v_i| is m; NaN where one is. */
static inline struct lorac_int8_scale lorac_int8_scale(float m)
{
    if (!isfinite(m)) { return (struct lorac_int8_scale){NAN, 0.0F}; }
    if (m < 0x1p-120F) { return (struct lorac_int8_scale){0.0F, 0.0F}; }
    return (struct lorac_int8_scale){m / 127.0F, 127.0F / m};
}

/* A matrix of O outputs and K terms of each, packed for the kernels:
 *
 *   panel 0: outputs 0 .. 15, panel 1: 16 .. 31, ...; in a panel:
 *   | output 0: terms 0 1 2 3 | output 1: terms 0 1 2 3 | ... | output 15: terms 0 1 2 3 |
 *   | output 0: terms 4 5 6 7 | ...
 *
 * What is beyond O or K is 0. */
struct lorac_int8_panels {
    size_t O, K;
    size_t depth;       // K up to a multiple of 4
    int8_t *q;          // (panels, depth / 4, 16, 4)
    int32_t *offset;    // (panels, 16): what the kernel's offset of x adds to a sum
    const float *scale; // (panels, 16), or NULL: 1
};

/* The inner loops, one table per instruction set, single-threaded. Integers of x are stored as
 * q + offset, in rows of `depth`: vpdpbusd multiplies unsigned by signed bytes. */
struct lorac_int8_kernels {
    const char *name;
    uint8_t offset;
    /* max |x_i by_i|; by NULL: 1. NaN or infinity where one is not finite. */
    float (*largest)(const float *x, const float *by, size_t n);
    /* q_i = round(x_i by_i inverse) + offset */
    void (*quantise)(uint8_t *q, const float *x, const float *by, size_t n, float inverse,
                     uint8_t offset);
    /* One panel of w->q from those of W^T. */
    void (*turn)(struct lorac_int8_panels *w, const struct lorac_int8_panels *from, size_t panel);
    /* w->offset from w->q, of one panel */
    void (*weigh)(struct lorac_int8_panels *w, size_t panel);
    /* y (N,n) = beta y + scale sum + bias of outputs first .. first + n - 1; `first` begins a
     * panel; ldy: from row to row. beta 0 doesn't read y. */
    void (*product)(float *y, size_t ldy, const uint8_t *q, const float *scale, size_t N,
                    const struct lorac_int8_panels *w, size_t first, size_t n, const float *bias,
                    float beta);
};

extern const struct lorac_int8_kernels lorac_int8_generic;
#if defined(__x86_64__)
extern const struct lorac_int8_kernels lorac_int8_avx2;
extern const struct lorac_int8_kernels lorac_int8_avxvnni;
extern const struct lorac_int8_kernels lorac_int8_avx512vnni;
extern const struct lorac_int8_kernels lorac_int8_amx;
#elif defined(__aarch64__)
extern const struct lorac_int8_kernels lorac_int8_dotprod;
#endif

#endif
