/*
 * Products of 8-bit integers (base/compute/int8.h). What is promised:
 *   - the kernels of each instruction set round to the same integers and sum them exactly, up to
 *     the longest sum that is allowed, at sizes around their blocks;
 *   - a linear layer has the same bits on every backend, whatever its weight is stored in, and
 *     whatever rows it is computed with; threads change nothing;
 *   - it is as near to float32's as the rounding of its factors allows;
 *   - what is not finite comes out as NaN where it went in, and nowhere else; zeroes stay zeroes;
 *   - what a handle reads is what is stored;
 *   - where the kernels are plain C, and only there, it is told to be slower than float32;
 *   - without memory to pack a weight the result is the same.
 */
#include "base/compute/device.h"
#include "base/compute/int8.h"
#include "tests/support/devices.h"
#include "tests/support/faults.h"
#include "tests/support/near.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- kernels ---- */

#ifdef LORAC_HAVE_OPENBLAS
#    include "base/compute/cpu.h"

/* Those of the i-th device; NULL: it has none. */
static const struct lorac_int8_kernels *kernels_of(size_t i)
{
    return strcmp(d.at[i].ops->name, "cpu") == 0 ? lorac_cpu(&d.at[i])->int8 : NULL;
}
#else
static const struct lorac_int8_kernels *kernels_of(size_t i)
{
    (void)i;
    return NULL;
}
#endif

/* -127 .. 127, the ends often */
static int8_t *integers(size_t n, unsigned stream)
{
    const float *x = scratch(n, stream);
    int8_t *q = fenced(n);
    for (size_t i = 0; i < n; i++) {
        q[i] = (int8_t)lrintf(fmaxf(-1.0F, fminf(1.0F, 1.5F * x[i])) * 127.0F);
    }
    return q;
}

/* Sums of O outputs of N rows by kernels k, whose scales are 1. */
static void check_sums(const struct lorac_int8_kernels *k, size_t N, size_t O, size_t K,
                       const int8_t *x, const int8_t *w)
{
    size_t panels = (O + 15) / 16;
    struct lorac_int8_panels p = {.O = O, .K = K, .depth = (K + 3) / 4 * 4};
    p.q = fenced(panels * 16 * p.depth);
    p.offset = fenced(panels * 16 * sizeof *p.offset);
    memset(p.q, 0, panels * 16 * p.depth);
    uint8_t *raised = fenced(N * p.depth);
    float *scale = fenced(N * sizeof *scale);
    for (size_t o = 0; o < O; o++) {
        for (size_t i = 0; i < K; i++) {
            p.q[o / 16 * 16 * p.depth + i / 4 * 64 + o % 16 * 4 + i % 4] = w[o * K + i];
        }
    }
    for (size_t n = 0; n < N; n++) {
        scale[n] = 1.0F;
        for (size_t i = 0; i < p.depth; i++) {
            raised[n * p.depth + i] = (uint8_t)((i < K ? x[n * K + i] : 0) + k->offset);
        }
    }
    for (size_t i = 0; i < panels; i++) {
        k->weigh(&p, i);
    }
    float *y = scratch(N * (O + 3), 4); // rows are longer than O
    k->product(y, O + 3, raised, scale, N, &p, 0, O, NULL, 0.0F);
    for (size_t n = 0; n < N; n++) {
        for (size_t o = 0; o < O; o++) {
            int64_t want = 0;
            for (size_t i = 0; i < K; i++) {
                want += (int64_t)x[n * K + i] * w[o * K + i];
            }
            if (y[n * (O + 3) + o] != (float)want) {
                fail_msg("%s: N %zu O %zu K %zu: sum %zu,%zu is %.9g, not %.9g", k->name, N, O, K,
                         n, o, (double)y[n * (O + 3) + o], (double)want);
            }
        }
    }
}

static void sums_are_exact(void **state)
{
    (void)state;
    static const size_t rows[] = {1, 2, 3, 6, 7, 13, 16, 48, 67};
    static const size_t outputs[] = {1, 15, 16, 17, 64, 65, 100};
    static const size_t depths[] = {1, 3, 4, 5, 63, 64, 1040};
    for (size_t n = 0; n < 9; n++) {
        for (size_t o = 0; o < 7; o++) {
            for (size_t c = 0; c < 7; c++) {
                const int8_t *x = integers(rows[n] * depths[c], 1);
                const int8_t *w = integers(outputs[o] * depths[c], 2);
                for (size_t i = 0; i < d.n; i++) {
                    const struct lorac_int8_kernels *k = kernels_of(i);
                    if (k) { check_sums(k, rows[n], outputs[o], depths[c], x, w); }
                }
                scratch_free();
            }
        }
    }
}

static void the_longest_sums_are_exact(void **state)
{
    (void)state;
    int8_t *x = fenced(LORAC_INT8_DEPTH);
    int8_t *w = fenced((size_t)2 * LORAC_INT8_DEPTH);
    for (size_t i = 0; i < LORAC_INT8_DEPTH; i++) {
        x[i] = 127;
        w[i] = 127;
        w[LORAC_INT8_DEPTH + i] = -127;
    }
    for (size_t i = 0; i < d.n; i++) {
        const struct lorac_int8_kernels *k = kernels_of(i);
        if (k) { check_sums(k, 1, 2, LORAC_INT8_DEPTH, x, w); }
    }
    scratch_free();
}

static void integers_are_rounded_alike(void **state) // to nearest, halves to even
{
    (void)state;
    for (size_t n = 1; n < 300; n = n * 3 / 2 + 1) {
        float *x = scratch(n, 1);
        const float *by = scratch(n, 2);
        float m = 0.0F;
        for (size_t j = 0; j < n; j++) {
            if (j % 3 == 0) { x[j] = (float)(j % 127) + 0.5F; }
            m = fmaxf(m, fabsf(x[j]));
        }
        for (size_t i = 0; i < d.n; i++) {
            const struct lorac_int8_kernels *k = kernels_of(i);
            uint8_t *q = fenced(n);
            if (!k) { continue; }
            assert_true(k->largest(x, NULL, n) == m);
            k->quantise(q, x, NULL, n, 1.0F, k->offset);
            for (size_t j = 0; j < n; j++) {
                assert_int_equal(q[j], (uint8_t)(lrintf(x[j]) + k->offset));
            }
            k->quantise(q, x, by, n, 0.75F, k->offset);
            for (size_t j = 0; j < n; j++) {
                float product = x[j] * by[j];
                assert_int_equal(q[j], (uint8_t)(lrintf(product * 0.75F) + k->offset));
            }
        }
        scratch_free();
    }
}

/* ---- linear layers ---- */

struct layer {
    enum lorac_dtype type;
    bool turned;
    size_t shift; // bytes off alignment
    size_t N, C, OC;
    float beta;
};

static void *stored(const struct layer *l, const float *values)
{
    size_t n = l->OC * l->C;
    unsigned char *at = fenced(lorac_dtype_bytes(l->type, n) + l->shift);
    lorac_dtype_encode(at, values, l->type, n);
    return at;
}

/* y (N,OC) and dx (N,C) of it. */
static void both(struct lorac_device *dev, float *y, float *dx, const float *x, const float *dy,
                 const void *data, const float *bias, const struct layer *l)
{
    struct lorac_weight *w =
        dev->ops->weight_open(dev, data, l->type, l->OC, l->C, l->turned, LORAC_INT8);
    assert_non_null(w);
    bool back_first = l->OC > l->C; // either may be
    if (back_first) { dev->ops->linear_backward(dev, dx, dy, w, l->N, l->beta); }
    dev->ops->linear(dev, y, x, w, bias, l->N);
    if (!back_first) { dev->ops->linear_backward(dev, dx, dy, w, l->N, l->beta); }
    dev->ops->weight_close(dev, w);
}

/* Equal bits; a NaN is any. */
static void same(size_t i, const char *what, const float *got, const float *want, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        bool alike = isnan(want[j]) ? isnan(got[j]) : memcmp(&got[j], &want[j], sizeof *got) == 0;
        if (!alike) {
            fail_msg("%s: %s: %zu is %.9g, not %.9g", d.name[i], what, j, (double)got[j],
                     (double)want[j]);
        }
    }
}

static void check_layer(const struct layer *l)
{
    const void *data = stored(l, scratch(l->OC * l->C, 5));
    const float *x = scratch(l->N * l->C, 1);
    const float *dy = scratch(l->N * l->OC, 2);
    const float *bias = l->OC % 2 ? scratch(l->OC, 3) : NULL;
    const float *want_y = NULL;
    const float *want_dx = NULL;
    char what[100];
    snprintf(what, sizeof what, "%s%s +%zu N %zu C %zu OC %zu beta %g", lorac_dtype_name(l->type),
             l->turned ? " turned" : "", l->shift, l->N, l->C, l->OC, (double)l->beta);
    for (size_t i = 0; i < d.n; i++) {
        float *y = scratch(l->N * l->OC, 6);
        float *dx = scratch(l->N * l->C, 7);
        y[0] = NAN; // not read
        if (l->beta == 0.0F) { dx[0] = NAN; }
        both(&d.at[i], y, dx, x, dy, data, bias, l);
        if (i == 0) {
            want_y = y;
            want_dx = dx;
        }
        same(i, what, y, want_y, l->N * l->OC);
        same(i, what, dx, want_dx, l->N * l->C);
    }
    scratch_free();
}

static void layers_have_the_same_bits_everywhere(void **state)
{
    (void)state;
    static const size_t rows[] = {1, 17, 99};
    static const size_t sizes[] = {1, 18, 64, 131};
    static const float betas[] = {0.0F, 1.0F, -0.5F};
    for (int type = 0; type < LORAC_N_DTYPES; type++) {
        size_t block = lorac_dtype_block((enum lorac_dtype)type);
        if (!lorac_dtype_is_float((enum lorac_dtype)type)) { continue; }
        for (size_t i = 0; i < 2 * 3 * 4 * 4; i++) {
            size_t C = sizes[i / 6 % 4];
            size_t OC = sizes[i / 24];
            check_layer(&(struct layer){(enum lorac_dtype)type, i % 2, i % 5 % 2, rows[i / 2 % 3],
                                        (C + block - 1) / block * block,
                                        (OC + block - 1) / block * block, betas[i % 3]});
        }
    }
    check_layer(&(struct layer){LORAC_BF16, false, 0, 3, 8192, 5, 1.0F}); // several runs of a row
    check_layer(&(struct layer){LORAC_BF16, true, 0, 3, 5, 8192, 1.0F});
}

/* More rows than the scratch holds at once, each as it is alone, on any number of threads. */
static void rows_do_not_depend_on_each_other(void **state)
{
    (void)state;
    struct layer l = {LORAC_F32, false, 0, 480, 9000, 5, 0.0F};
    const float *values = scratch(l.OC * l.C, 5);
    const float *x = scratch(l.N * l.C, 1);
    const float *dy = scratch(l.N * l.OC, 2);
    for (size_t i = 1; i < d.n; i++) {
        struct layer one = l;
        float *y = scratch(l.N * l.OC, 6);
        float *dx = scratch(l.N * l.C, 7);
        float *y1 = scratch(l.OC, 6);
        float *dx1 = scratch(l.C, 7);
        one.N = 1;
        if (strcmp(d.name[i], "generic") == 0) { continue; } // slow
        both(&d.at[i], y, dx, x, dy, values, NULL, &l);
        for (size_t n = 0; n < l.N; n += 149) {
            both(&d.at[i], y1, dx1, x + n * l.C, dy + n * l.OC, values, NULL, &one);
            same(i, "one row", y + n * l.OC, y1, l.OC);
            same(i, "one row, dx", dx + n * l.C, dx1, l.C);
        }
    }
    scratch_free();
}

/* With |x - s q| <= s / 2 of both factors, a product of sums is off by at most
 *   sum_k |a_k| t / 2 + |b_k| s / 2 + s t / 4
 * and by the roundings of float32, which the factor 1.001 covers: they are 2^-24 of a sum, this is
 * 2^-8 of it. */
static void check_near(const char *what, size_t i, double got, const float *a, const float *b,
                       size_t step, size_t n)
{
    double exact = 0.0;
    double of_a = 0.0;
    double of_b = 0.0;
    double s = 0.0;
    double t = 0.0;
    for (size_t k = 0; k < n; k++) {
        exact += (double)a[k] * (double)b[k * step];
        of_a += fabs((double)a[k]);
        of_b += fabs((double)b[k * step]);
        s = fmax(s, fabs((double)a[k]) / 127.0);
        t = fmax(t, fabs((double)b[k * step]) / 127.0);
    }
    double off = 1.001 * (of_a * t / 2.0 + of_b * s / 2.0 + (double)n * s * t / 4.0);
    if (fabs(got - exact) > off) {
        fail_msg("%s: %s: %g is not within %g of %g", d.name[i], what, got, off, exact);
    }
}

/* dx is as near as its own factors allow: z = dy s, rounded, and the integers of W. */
static void layers_are_near_float32(void **state)
{
    (void)state;
    struct layer l = {LORAC_F32, false, 0, 5, 300, 70, 0.0F};
    float *W = scratch(l.OC * l.C, 5);
    const float *x = scratch(l.N * l.C, 1);
    const float *dy = scratch(l.N * l.OC, 2);
    float scale[70];
    float *z = scratch(l.N * l.OC, 3);
    float *whole = scratch(l.OC * l.C, 4); // W / scale
    for (size_t o = 0; o < l.OC; o++) {
        float m = 0.0F;
        for (size_t c = 0; c < l.C; c++) {
            W[o * l.C + c] *= (float)(o + 1); // channels differ
            m = fmaxf(m, fabsf(W[o * l.C + c]));
        }
        scale[o] = m / 127.0F;
        for (size_t c = 0; c < l.C; c++) {
            whole[o * l.C + c] = W[o * l.C + c] / scale[o];
        }
        for (size_t n = 0; n < l.N; n++) {
            z[n * l.OC + o] = dy[n * l.OC + o] * scale[o];
        }
    }
    for (size_t i = 0; i < d.n; i++) {
        float *y = scratch(l.N * l.OC, 6);
        float *dx = scratch(l.N * l.C, 7);
        both(&d.at[i], y, dx, x, dy, W, NULL, &l);
        for (size_t n = 0; n < l.N; n++) {
            for (size_t o = 0; o < l.OC; o++) {
                check_near("y", i, (double)y[n * l.OC + o], x + n * l.C, W + o * l.C, 1, l.C);
            }
            for (size_t c = 0; c < l.C; c++) {
                check_near("dx", i, (double)dx[n * l.C + c], z + n * l.OC, whole + c, l.C, l.OC);
            }
        }
    }
    scratch_free();
}

static bool all_nan(const float *x, size_t n, size_t step)
{
    for (size_t i = 0; i < n; i++) {
        if (!isnan(x[i * step])) { return false; }
    }
    return true;
}

static void what_is_not_finite_stays_where_it_is(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct layer l = {LORAC_F32, false, 0, 8, 37, 21, 0.0F};
    for (size_t b = 0; b < 3; b++) {
        float *W = scratch(l.OC * l.C, 5);
        float *x = scratch(l.N * l.C, 1);
        float *dy = scratch(l.N * l.OC, 2);
        float *clean_y = scratch(l.N * l.OC, 6);
        float *clean_dx = scratch(l.N * l.C, 6);
        both(&d.at[0], clean_y, clean_dx, x, dy, W, NULL, &l);
        x[3 * l.C + 36] = bad[b];
        dy[4 * l.OC + 20] = bad[b];
        for (size_t i = 0; i < d.n; i++) {
            float *y = scratch(l.N * l.OC, 6);
            float *dx = scratch(l.N * l.C, 7);
            both(&d.at[i], y, dx, x, dy, W, NULL, &l);
            assert_true(all_nan(y + 3 * l.OC, l.OC, 1));
            assert_true(all_nan(dx + 4 * l.C, l.C, 1));
            memcpy(y + 3 * l.OC, clean_y + 3 * l.OC, l.OC * sizeof *y);
            memcpy(dx + 4 * l.C, clean_dx + 4 * l.C, l.C * sizeof *dx);
            same(i, "the other rows", y, clean_y, l.N * l.OC);
            same(i, "the other rows, dx", dx, clean_dx, l.N * l.C);
        }
        x[3 * l.C + 36] = 0.5F;
        W[7 * l.C + 36] = bad[b]; // of channel 7
        for (size_t i = 0; i < d.n; i++) {
            float *y = scratch(l.N * l.OC, 6);
            float *dx = scratch(l.N * l.C, 7);
            both(&d.at[i], y, dx, x, dy, W, NULL, &l);
            assert_true(all_nan(y + 7, l.N, l.OC));
            assert_false(isnan(y[6]) || isnan(y[8]));
            assert_true(all_nan(dx, l.N * l.C, 1)); // each sums over all channels
        }
        scratch_free();
    }
}

static void zeroes_and_the_smallest_numbers(void **state)
{
    (void)state;
    struct layer l = {LORAC_F32, false, 0, 4, 20, 18, 0.0F};
    float *W = scratch(l.OC * l.C, 5);
    float *x = scratch(l.N * l.C, 1);
    float *dy = scratch(l.N * l.OC, 2);
    memset(W + 5 * l.C, 0, l.C * sizeof *W); // a channel
    memset(x + l.C, 0, l.C * sizeof *x);     // rows
    memset(dy + l.OC, 0, l.OC * sizeof *dy);
    for (size_t c = 0; c < l.C; c++) {
        x[2 * l.C + c] *= 0x1p-130F; // below what has a scale
        x[3 * l.C + c] *= 0x1p126F;
    }
    for (size_t i = 0; i < d.n; i++) {
        float *y = scratch(l.N * l.OC, 6);
        float *dx = scratch(l.N * l.C, 7);
        both(&d.at[i], y, dx, x, dy, W, NULL, &l);
        for (size_t n = 0; n < l.N; n++) {
            assert_true(y[n * l.OC + 5] == 0.0F);
        }
        for (size_t o = 0; o < l.OC; o++) {
            assert_true(y[l.OC + o] == 0.0F && y[2 * l.OC + o] == 0.0F);
            check_near("large", i, (double)y[3 * l.OC + o], x + 3 * l.C, W + o * l.C, 1, l.C);
        }
        for (size_t c = 0; c < l.C; c++) {
            assert_true(dx[l.C + c] == 0.0F);
        }
    }
    scratch_free();
}

/* ---- handles ---- */

static void a_sum_that_is_too_long_is_computed_in_float32(void **state)
{
    (void)state;
    enum { C = LORAC_INT8_DEPTH + 1, OC = 2 };
    const float *W = scratch((size_t)OC * C, 5);
    const float *x = scratch(C, 1);
    for (size_t i = 0; i < d.n; i++) {
        struct lorac_device *dev = &d.at[i];
        float y[2][OC];
        for (int k = 0; k < 2; k++) {
            struct lorac_weight *w = dev->ops->weight_open(dev, W, LORAC_F32, OC, C, false,
                                                           k ? LORAC_INT8 : LORAC_FLOAT32);
            assert_non_null(w);
            dev->ops->linear(dev, y[k], x, w, NULL, 1);
            dev->ops->weight_close(dev, w);
        }
        same(i, "too long", y[1], y[0], OC);
    }
    scratch_free();
}

static void a_handle_reads_what_is_stored(void **state)
{
    (void)state;
    struct layer l = {LORAC_BF16, false, 1, 2, 50, 30, 0.0F};
    const void *data = stored(&l, scratch(l.OC * l.C, 5));
    const float *x = scratch(l.N * l.C, 1);
    float *want = scratch(l.OC * l.C, 6);
    lorac_dtype_decode(want, data, l.type, l.OC * l.C);
    for (size_t i = 0; i < d.n; i++) {
        struct lorac_device *dev = &d.at[i];
        float *y = scratch(l.N * l.OC, 6);
        float *got = scratch(l.OC * l.C, 7);
        struct lorac_weight *w =
            dev->ops->weight_open(dev, data, l.type, l.OC, l.C, false, LORAC_INT8);
        assert_non_null(w);
        dev->ops->linear(dev, y, x, w, NULL, l.N);
        dev->ops->weight_read(dev, got, w, 0, l.OC * l.C);
        same(i, "read", got, want, l.OC * l.C);
        dev->ops->weight_close(dev, w);
    }
    scratch_free();
}

static void without_memory_to_pack_it_is_the_same(void **state)
{
    (void)state;
    struct layer l = {LORAC_F32, false, 0, 7, 50, 30, 0.0F};
    const float *W = scratch(l.OC * l.C, 5);
    const float *x = scratch(l.N * l.C, 1);
    const float *dy = scratch(l.N * l.OC, 2);
    float *want_y = scratch(l.N * l.OC, 6);
    float *want_dx = scratch(l.N * l.C, 6);
    both(&d.at[0], want_y, want_dx, x, dy, W, NULL, &l);
    for (size_t i = 0; i < d.n; i++) {
        struct lorac_device *dev = &d.at[i];
        bool met = true;
        for (long n = 0; met; n++) {
            float *y = scratch(l.N * l.OC, 6);
            float *dx = scratch(l.N * l.C, 7);
            faults_start(FAULTS_MEMORY, n);
            struct lorac_weight *w =
                dev->ops->weight_open(dev, W, l.type, l.OC, l.C, false, LORAC_INT8);
            for (int k = 0; k < 2 && w; k++) { // the second time it is packed
                dev->ops->linear(dev, y, x, w, NULL, l.N);
                dev->ops->linear_backward(dev, dx, dy, w, l.N, 0.0F);
            }
            met = faults_stop();
            assert_true(met || w);
            dev->ops->weight_close(dev, w);
            if (!w) { continue; }
            same(i, "no memory", y, want_y, l.N * l.OC);
            same(i, "no memory, dx", dx, want_dx, l.N * l.C);
        }
    }
    scratch_free();
}

static void plain_kernels_are_told_to_be_slow(void **state)
{
    (void)state;
    for (size_t i = 0; i < d.n; i++) {
        const struct lorac_int8_kernels *k = kernels_of(i);
        const struct lorac_backend *op = d.at[i].ops;
        bool plain = k && strcmp(k->name, "generic") == 0;
        assert_int_equal(op->slow(&d.at[i], LORAC_INT8) != NULL, plain);
        assert_null(op->slow(&d.at[i], LORAC_BFLOAT16));
        assert_null(op->slow(&d.at[i], LORAC_FLOAT32));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(the_longest_sums_are_exact),
        cmocka_unit_test(integers_are_rounded_alike),
        cmocka_unit_test(layers_have_the_same_bits_everywhere),
        cmocka_unit_test(rows_do_not_depend_on_each_other),
        cmocka_unit_test(layers_are_near_float32),
        cmocka_unit_test(what_is_not_finite_stays_where_it_is),
        cmocka_unit_test(zeroes_and_the_smallest_numbers),
        cmocka_unit_test(a_sum_that_is_too_long_is_computed_in_float32),
        cmocka_unit_test(a_handle_reads_what_is_stored),
        cmocka_unit_test(plain_kernels_are_told_to_be_slow),
        cmocka_unit_test(without_memory_to_pack_it_is_the_same),
    };
    return cmocka_run_group_tests_name("int8", tests, devices_make, devices_free);
}
