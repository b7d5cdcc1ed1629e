/*
 * The operations of a backend on rows, the loss and optimisers. What is promised:
 *   - the cpu backend agrees with `ref` on each instruction set that this processor has, at sizes
 *     around the vectors and pieces of its kernels;
 *   - dropout keeps exactly the same elements;
 *   - what our own kernels compute is the same bit for bit with 1 and 2 threads;
 *   - NaN and infinity are not lost; our exponential is within 2 ulp;
 *   - opening a backend reports each failed allocation, and nothing leaks.
 *
 * Tolerances: u = 2^-24 is half the distance of floats at 1. Elementwise formulas of k float
 * operations get k u relative; the rest says so beside it.
 */
#include "base/compute/device.h"
#include "base/core/rng.h"
#include "tests/support/devices.h"
#include "tests/support/faults.h"
#include "tests/support/near.h"
#ifdef LORAC_HAVE_OPENBLAS
#    include "base/compute/cpu.h"
#endif

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define U 0x1p-24F

/* ---- rows ---- */

static const size_t row_sizes[] = {1, 3, 16, 17, 64, 100, 257, 1000, 4100};
enum { N_ROW_SIZES = 9, ROWS = 5 };

/* y = g x r: 4 roundings, and r's own error: half of that of a sum of squares (C u / 7) / (C / 3).
 */
static void normalisations_agree(void **state)
{
    (void)state;
    for (size_t s = 0; s < N_ROW_SIZES; s++) {
        size_t C = row_sizes[s];
        const float *x = scratch(ROWS * C, 1);
        const float *dy = scratch(ROWS * C, 2);
        const float *g = scratch(C, 3);
        const float *b = scratch(C, 4);
        const float *want[4] = {NULL};
        for (size_t i = 0; i < d.n; i++) {
            struct lorac_device *dev = &d.at[i];
            float *got[4];
            for (unsigned j = 0; j < 4; j++) {
                got[j] = scratch(ROWS * C, 5 + j);
            }
            dev->ops->rmsnorm(dev, got[0], x, g, ROWS, C, 1e-2F);
            dev->ops->rmsnorm_backward(dev, got[1], dy, x, g, ROWS, C, 1e-2F);
            dev->ops->layernorm(dev, got[2], x, g, b, ROWS, C, 1e-2F);
            dev->ops->layernorm_backward(dev, got[3], dy, x, g, ROWS, C, 1e-2F);
            static const char *const names[] = {"rmsnorm", "rmsnorm_backward", "layernorm",
                                                "layernorm_backward"};
            for (size_t j = 0; j < 4; j++) {
                if (i == 0) { want[j] = got[j]; }
                // 1/sqrt(eps) = 10 is the largest r: the backward's terms may be 10 times its
                // result
                agree(&d, i, names[j], got[j], want[j], ROWS * C, 32.0F * U, 12.0F * U);
            }
        }
        scratch_free();
    }
}

/* Sums of n products of numbers up to 4, in double on both sides but for r and the last rounding.
 */
static void sums_over_rows_agree(void **state)
{
    (void)state;
    enum { N = 300 };
    static int32_t ids[N];
    for (size_t n = 0; n < N; n++) {
        ids[n] = (int32_t)(n * n % 7);
    }
    for (size_t s = 0; s < N_ROW_SIZES; s++) {
        size_t C = row_sizes[s];
        const float *x = scratch(N * C, 1);
        const float *dy = scratch(N * C, 2);
        const float *want[5] = {NULL};
        for (size_t i = 0; i < d.n; i++) {
            struct lorac_device *dev = &d.at[i];
            float *got[5] = {scratch(C, 3), scratch(C, 4), scratch(7 * C, 5), scratch(C, 6),
                             scratch(C, 7)};
            const size_t sizes[5] = {C, C, 7 * C, C, C};
            static const char *const names[] = {"column_sums", "rmsnorm_gain_backward",
                                                "embed_backward", "layernorm_gain_backward",
                                                "column_dots"};
            dev->ops->column_dots(dev, got[4], dy, x, N, C);
            dev->ops->column_sums(dev, got[0], dy, N, C);
            dev->ops->rmsnorm_gain_backward(dev, got[1], dy, x, N, C, 1e-2F);
            dev->ops->embed_backward(dev, got[2], dy, ids, N, C);
            dev->ops->layernorm_gain_backward(dev, got[3], dy, x, N, C, 1e-2F);
            for (size_t j = 0; j < 5; j++) {
                if (i == 0) { want[j] = got[j]; }
                agree(&d, i, names[j], got[j], want[j], sizes[j], 128.0F * U, 4.0F * U);
            }
        }
        scratch_free();
    }
}

/* A product and two sums of numbers up to 4, each rounded once. */
static void scaled_columns_agree(void **state)
{
    (void)state;
    enum { N = 37 };
    for (size_t s = 0; s < N_ROW_SIZES; s++) {
        size_t C = row_sizes[s];
        const float *x = scratch(N * C, 1);
        const float *g = scratch(C, 2);
        const float *b = scratch(C, 3);
        float *squares = scratch(C, 4);
        const float *want[5] = {NULL};
        for (size_t i = 0; i < C; i++) {
            squares[i] = squares[i] * squares[i] + 0.1F;
        }
        for (size_t i = 0; i < d.n; i++) {
            struct lorac_device *dev = &d.at[i];
            float *got[5] = {scratch(N * C, 5), scratch(N * C, 1), scratch(N * C, 6), scratch(C, 7),
                             scratch(C, 8)};
            static const char *const names[] = {"written", "in place", "added", "over_roots",
                                                "inverse"};
            dev->ops->scale_columns(dev, got[0], x, g, b, N, C, 0.0F);
            dev->ops->scale_columns(dev, got[1], got[1], g, b, N, C, 0.0F);
            dev->ops->scale_columns(dev, got[2], x, g, NULL, N, C, 1.0F);
            dev->ops->over_roots(dev, got[3], g, squares, C);
            dev->ops->over_roots(dev, got[4], NULL, squares, C);
            assert_memory_equal(got[0], got[1], N * C * sizeof *x);
            for (size_t j = 0; j < 5; j++) {
                if (i == 0) { want[j] = got[j]; }
                agree(&d, i, names[j], got[j], want[j], j > 2 ? C : N * C, 8.0F * U, 2.0F * U);
            }
        }
        scratch_free();
    }
}

static void rows_move_exactly(void **state)
{
    (void)state;
    static const uint32_t rows[] = {7, 2, 5};
    for (size_t s = 0; s < N_ROW_SIZES; s++) {
        size_t C = row_sizes[s];
        const float *x = scratch(9 * C, 1);
        const float *y = scratch(3 * C, 2);
        const float *want[3] = {NULL};
        for (size_t i = 0; i < d.n; i++) {
            struct lorac_device *dev = &d.at[i];
            float *gathered = scratch(3 * C, 3);
            float *scattered = scratch(9 * C, 4);
            float *sum = scratch(3 * C, 5);
            dev->ops->gather(dev, gathered, x, rows, 3, C);
            dev->ops->scatter_add(dev, scattered, y, rows, 3, C);
            dev->ops->add(dev, sum, y, 3 * C);
            if (i == 0) {
                want[0] = gathered;
                want[1] = scattered;
                want[2] = sum;
            }
            agree(&d, i, "gather", gathered, want[0], 3 * C, 0.0F, 0.0F);
            agree(&d, i, "scatter_add", scattered, want[1], 9 * C, 0.0F, 0.0F);
            agree(&d, i, "add", sum, want[2], 3 * C, 0.0F, 0.0F);
        }
        scratch_free();
    }
}

static void rotations_agree(void **state)
{
    (void)state;
    static const size_t heads[] = {1, 3, 16};
    static const size_t sizes[] = {2, 8, 12, 64, 80, 128};
    static const uint32_t position[] = {0, 3, 2, 3, 1};
    for (size_t h = 0; h < 3; h++) {
        for (size_t s = 0; s < 6; s++) {
            size_t n = ROWS * heads[h] * sizes[s];
            const float *table = scratch(4 * sizes[s], 1);
            const float *want = NULL;
            for (size_t i = 0; i < d.n; i++) {
                float *x = scratch(n, 2);
                d.at[i].ops->rope(&d.at[i], x, table, position, ROWS, heads[h], sizes[s], sizes[s],
                                  -1.0F);
                if (i == 0) { want = x; }
                agree(&d, i, "rope", x, want, n, 2.0F * U, 2.0F * U);
            }
            scratch_free();
        }
    }
}

/* In [-12,12): the sigmoid has an error of a few u, of which cancellation in the slope makes up to
 * x times as many, times up to 12 of `up`. */
static void gates_agree(void **state)
{
    (void)state;
    static const enum lorac_activation acts[] = {LORAC_SILU, LORAC_GELU, LORAC_GELU_TANH,
                                                 LORAC_TANH, LORAC_RELU};
    for (size_t s = 0; s < N_ROW_SIZES; s++) {
        size_t n = row_sizes[s] * 5;
        float *x = scratch(n, 1);
        for (size_t i = 0; i < n; i++) {
            x[i] *= 12.0F;
        }
        for (size_t a = 0; a < 2 * sizeof acts / sizeof *acts; a++) {
            const float *up = a % 2 ? scratch(n, 2) : NULL;
            const float *dh = scratch(n, 3);
            const float *want[3] = {NULL};
            for (size_t i = 0; i < d.n; i++) {
                struct lorac_device *dev = &d.at[i];
                float *h = scratch(n, 4);
                float *dgate = scratch(n, 5); // stands in place of the gate's input
                memcpy(dgate, x, n * sizeof *x);
                float *dup = up ? scratch(n, 2) : NULL; // in place of up
                dev->ops->gate(dev, h, x, up, n, acts[a / 2]);
                dev->ops->gate_backward(dev, dgate, dup, dh, dgate, dup, n, acts[a / 2]);
                if (i == 0) {
                    want[0] = h;
                    want[1] = dgate;
                    want[2] = dup;
                }
                agree(&d, i, "gate", h, want[0], n, 8.0F * U, 8.0F * U);
                agree(&d, i, "gate_backward gate", dgate, want[1], n, 64.0F * U, 8.0F * U);
                if (up) { agree(&d, i, "gate_backward up", dup, want[2], n, 8.0F * U, 8.0F * U); }
            }
        }
        scratch_free();
    }
}

static void dropout_is_the_same_everywhere(void **state)
{
    (void)state;
    uint64_t key = lorac_rng_key(3, "dropout");
    static const size_t sizes[] = {1, 3, 5, 64, 100, 257, 20001, 65536};
    for (size_t s = 0; s < 8; s++) {
        size_t n = sizes[s];
        const float *want = NULL;
        for (size_t i = 0; i < d.n; i++) {
            float *x = scratch(n, 1);
            d.at[i].ops->dropout(&d.at[i], x, x, n, 0.1F, key, (uint64_t)1 << 40 | 7, 0);
            if (i == 0) { want = x; }
            if (n > 100) { // the rest alone, as it is behind what comes before it
                float *rest = scratch(n, 1) + 100;
                d.at[i].ops->dropout(&d.at[i], rest, rest, n - 100, 0.1F, key,
                                     (uint64_t)1 << 40 | 7, 100);
                assert_memory_equal(rest, want + 100, (n - 100) * sizeof *rest);
            }
            assert_memory_equal(x, want, n * sizeof *x);
        }
        size_t dropped = 0;
        for (size_t i = 0; i < n; i++) {
            dropped += want[i] == 0.0F;
        }
        if (n > 10000) { // 5 standard errors
            assert_true(fabs((double)dropped / (double)n - 0.1) < 5.0 * 0.3 / sqrt((double)n));
        }
        scratch_free();
    }
}

/* ---- loss and optimisers ---- */

static void losses_agree(void **state)
{
    (void)state;
    static const uint32_t first[] = {5, 6, 6, 9, 10}; // rows of 1, 0, 3, 1 targets
    for (size_t s = 0; s < N_ROW_SIZES; s++) {
        size_t V = row_sizes[s];
        int32_t target[5];
        for (size_t t = 0; t < 5; t++) {
            target[t] = (int32_t)(t * 31 % V);
        }
        static const float weight[5] = {1.0F, 0.25F, 3.0F, 0.0F, -0.5F};
        const float *want[3] = {NULL};
        for (size_t i = 0; i < d.n; i++) {
            struct lorac_device *dev = &d.at[i];
            float *logits = scratch(4 * V, 1);
            float *twice = scratch(4 * V, 1);
            float *nll = scratch(5, 2);
            float *again = scratch(5, 3);
            for (size_t j = 0; j < 4 * V; j++) {
                logits[j] = twice[j] = 20.0F * logits[j];
            }
            dev->ops->cross_entropy(dev, nll, logits, first, target, NULL, 4, V);
            assert_memory_equal(logits, twice, 4 * V * sizeof *logits);
            dev->ops->cross_entropy(dev, again, logits, first, target, weight, 4, V);
            assert_memory_equal(nll, again, 5 * sizeof *nll);
            if (i == 0) {
                want[0] = nll;
                want[1] = logits;
            }
            // differences of numbers up to 40, their sum of exponentials within 8 u
            agree(&d, i, "nll", nll, want[0], 5, 8.0F * U, 4.0F * U);
            // the argument of exp, up to 40, is rounded once: 40 u relative
            agree(&d, i, "gradient", logits, want[1], 4 * V, 4.0F * U, 48.0F * U);
        }
        scratch_free();
    }
}

/* torch 2.15 in float64, of these logits as x, targets and weights w:
 *   nll = cross_entropy(x[[0, 1, 1]], target, reduction="none")
 *   ((nll * w).sum() / w.sum()).backward() */
static void weighted_losses_are_pytorchs(void **state)
{
    (void)state;
    static const float x[8] = {0.5F, -1.0F, 2.0F, 0.25F, 1.5F, 0.0F, -0.75F, 3.0F};
    static const uint32_t first[] = {0, 1, 3};
    static const int32_t target[] = {1, 3, 0};
    static const float weight[] = {0.75F, 2.0F, 0.25F}; // 3 together
    static const float want_nll[] = {3.369278998F, 0.259618170F, 1.759618170F};
    static const float want[8] = {0.038558706F, -0.241396390F, 0.172808133F, 0.030029551F,
                                  0.045749593F, 0.028802294F,  0.013605240F, -0.088157127F};
    for (size_t i = 0; i < d.n; i++) {
        struct lorac_device *dev = &d.at[i];
        float nll[3];
        float *logits = scratch(8, 1);
        memcpy(logits, x, sizeof x);
        dev->ops->cross_entropy(dev, nll, logits, first, target, weight, 2, 4);
        for (size_t j = 0; j < 8; j++) {
            logits[j] /= 3.0F; // what an optimiser's step divides by
        }
        near_all("nll", nll, want_nll, 3, 0.0F, 4.0F * U);
        near_all("gradient", logits, want, 8, 4.0F * U, 4.0F * U);
        scratch_free();
    }
}

/* torch 2.15 in float64, of these logits as x and values v:
 *   binary_cross_entropy_with_logits(x, v, weight=w, reduction="sum").backward()
 * and of (x - v)^2 */
static void column_losses_are_pytorchs(void **state)
{
    (void)state;
    static const float x[6] = {0.5F, -1.0F, 30.0F, -40.0F, 1.5F, 0.0F};
    static const uint32_t first[] = {0, 2, 3};
    static const int32_t target[] = {2, 0, 1}; // of the second row one column alone
    static const float value[] = {1.0F, 0.0F, 0.25F};
    static const float weight[] = {2.0F, 0.5F, 3.0F};
    static const float nll[2][3] = {{9.357622969e-14F, 0.974076984F, 1.326413277F},
                                    {841.0F, 0.25F, 1.5625F}};
    static const float want[2][6] = {
        {0.311229666F, 0.0F, -1.871524594e-13F, 0.0F, 1.702723429F, 0.0F},
        {0.5F, 0.0F, 116.0F, 0.0F, 7.5F, 0.0F}};
    for (size_t i = 0; i < d.n; i++) {
        for (int squared = 0; squared < 2; squared++) {
            struct lorac_device *dev = &d.at[i];
            float got[3];
            float *logits = scratch(6, 1);
            memcpy(logits, x, sizeof x);
            dev->ops->column_loss(dev, got, logits, first, target, value, NULL, 2, 3, squared);
            assert_memory_equal(logits, x, sizeof x);
            near_all("nll", got, nll[squared], 3, 4.0F * U, 0.0F);
            dev->ops->column_loss(dev, got, logits, first, target, value, weight, 2, 3, squared);
            near_all("nll", got, nll[squared], 3, 4.0F * U, 0.0F);
            near_all("gradient", logits, want[squared], 6, 4.0F * U, 4.0F * U);
            scratch_free();
        }
    }
}

static void optimisers_agree(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 3, 17, 100, 257, 20001};
    for (size_t s = 0; s < 6; s++) {
        size_t n = sizes[s];
        const float *g = scratch(n, 1);
        const float *want[5] = {NULL};
        double want_sum = 0.0;
        for (size_t i = 0; i < d.n; i++) {
            struct lorac_device *dev = &d.at[i];
            float *got[5];
            for (unsigned j = 0; j < 5; j++) {
                got[j] = scratch(n, 2 + j);
            }
            for (size_t j = 0; j < n; j++) {
                got[2][j] = fabsf(got[2][j]); // v is a mean of squares
            }
            dev->ops->adamw(dev, got[0], got[1], got[2], g, n, 0.5, 0.01, 0.9, 0.99, 1e-3, 0.1, 0.3,
                            0.05);
            dev->ops->sgd(dev, got[3], got[4], g, n, 0.5, 0.01, 0.9, 0.1);
            double sum = dev->ops->sum_squares(dev, g, n);
            static const char *const names[] = {"adamw p", "adamw m", "adamw v", "sgd p", "sgd m"};
            for (size_t j = 0; j < 5; j++) {
                if (i == 0) { want[j] = got[j]; }
                // sums of two products of numbers below 1; p's step is up to lr m / c1 / eps = 30 m
                agree(&d, i, names[j], got[j], want[j], n, 4.0F * U, 8.0F * U);
            }
            if (i == 0) { want_sum = sum; }
            assert_true(fabs(sum - want_sum) <= 1e-13 * want_sum * sqrt((double)n));
        }
        scratch_free();
    }
}

static void nan_and_infinity_are_not_lost(void **state)
{
    (void)state;
    static const float special[] = {NAN, INFINITY, -INFINITY};
    static const uint32_t first[] = {0, 1};
    static const int32_t target[] = {0};
    static const float weight[] = {1.0F};
    for (size_t i = 0; i < d.n; i++) {
        struct lorac_device *dev = &d.at[i];
        for (size_t s = 0; s < 3; s++) {
            for (size_t at = 1; at < 100; at += 49) {
                float *x = scratch(100, 1);
                float *y = scratch(100, 1);
                float nll = 0.0F;
                x[at] = special[s];
                assert_true(!isfinite(dev->ops->sum_squares(dev, x, 100)));
                dev->ops->gate(dev, y, x, NULL, 100, LORAC_SILU);
                assert_true(special[s] > 0.0F ? y[at] == special[s] : isnan(y[at]));
                dev->ops->rmsnorm(dev, y, x, y, 1, 100, 0.0F);
                assert_true(isnan(y[at]));
                dev->ops->cross_entropy(dev, &nll, x, first, target, weight, 1, 100);
                // a logit of -inf is an ordinary "never"
                assert_true(special[s] == -INFINITY ? isfinite(nll) && x[at] == 0.0F : isnan(nll));
            }
        }
        scratch_free();
    }
}

#ifdef LORAC_HAVE_OPENBLAS
static void exponentials_are_within_2_ulp(void **state)
{
    (void)state;
    enum { STEPS = 200000 };
    float *x = scratch(STEPS, 1);
    float *y = scratch(STEPS, 1);
    for (size_t i = 0; i < STEPS; i++) {
        x[i] = -105.0F + 195.0F * (float)i / (float)STEPS; // from 0 to infinity
    }
    float special[3] = {-INFINITY, INFINITY, NAN};
    for (size_t i = 1; i < d.n; i++) {
        lorac_cpu(&d.at[i])->kernels->sum_exp(y, x, STEPS, 0.0F);
        for (size_t j = 0; j < STEPS; j++) {
            double want = exp((double)x[j]);
            double ulp = want < 0x1p-126 ? 0x1p-149 : want * 0x1p-23; // at most that of want
            bool right = want > (double)FLT_MAX
                             ? y[j] == INFINITY || want - (double)y[j] < 2.0 * ulp
                             : fabs((double)y[j] - want) <= 2.0 * ulp;
            if (!right) { fail_msg("%s: exp(%.9g) = %.9g", d.name[i], (double)x[j], (double)y[j]); }
        }
        lorac_cpu(&d.at[i])->kernels->sum_exp(y, special, 3, 0.0F);
        assert_true(y[0] == 0.0F && y[1] == INFINITY && isnan(y[2]));
    }
    scratch_free();
}
#endif

/* ---- threads ---- */

static void threads_do_not_change_a_bit(void **state)
{
    (void)state;
    if (d.n < 3) { return; }
    enum { N = 100, C = 1100, R = 8 };
    const float *x = scratch((size_t)N * C, 1);
    const float *a = scratch((size_t)R * C, 2);
    const float *u = scratch((size_t)N * R, 3);
    const float *want[6] = {NULL};
    size_t last = d.n - 1; // one thread; d.n - 2 has the same kernels and two
    const size_t sizes[6] = {(size_t)N * R, (size_t)N * C, (size_t)R * C,
                             (size_t)N * C, (size_t)N * C, C};
    double sums[2] = {0.0, 0.0};
    for (size_t i = last - 1; i <= last; i++) {
        struct lorac_device *dev = &d.at[i];
        float *got[6];
        for (unsigned j = 0; j < 6; j++) {
            got[j] = scratch(sizes[j], 10 + j);
        }
        const struct lorac_weight *w = weight_on(dev, a, LORAC_F32, R, C, false);
        dev->ops->matmul_nt(dev, got[0], x, a, N, C, R, 1.0F, 0.0F);
        dev->ops->matmul_nn(dev, got[1], u, a, N, C, R, 1.0F, 1.0F);
        dev->ops->matmul_tn(dev, got[2], u, x, N, C, R, 1.0F, 1.0F);
        dev->ops->rmsnorm_backward(dev, got[3], x, got[1], a, N, C, 1e-5F);
        dev->ops->gate(dev, got[4], x, got[1], (size_t)N * C, LORAC_GELU);
        dev->ops->linear_backward(dev, got[5], u, w, 1, 0.0F);
        sums[i - (last - 1)] = dev->ops->sum_squares(dev, x, (size_t)N * C);
        for (size_t j = 0; j < 6; j++) {
            if (i < last) {
                want[j] = got[j];
            } else {
                assert_memory_equal(got[j], want[j], sizes[j] * sizeof(float));
            }
        }
    }
    assert_memory_equal(&sums[0], &sums[1], sizeof sums[0]);
    scratch_free();
}

static void each_failed_allocation_is_reported(void **state)
{
    (void)state;
    for (long n = 0;; n++) {
        struct lorac_device dev;
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_device_open(&dev, NULL, 2, &err);
        if (!faults_stop()) {
            lorac_device_close(&dev);
            break;
        }
        assert_int_equal(st, LORAC_ENOMEM);
        assert_string_equal(err.text, "no memory for the scratch of 2 threads");
        assert_null(dev.ops);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalisations_agree),
        cmocka_unit_test(sums_over_rows_agree),
        cmocka_unit_test(scaled_columns_agree),
        cmocka_unit_test(rows_move_exactly),
        cmocka_unit_test(rotations_agree),
        cmocka_unit_test(gates_agree),
        cmocka_unit_test(dropout_is_the_same_everywhere),
        cmocka_unit_test(losses_agree),
        cmocka_unit_test(weighted_losses_are_pytorchs),
        cmocka_unit_test(column_losses_are_pytorchs),
        cmocka_unit_test(optimisers_agree),
        cmocka_unit_test(nan_and_infinity_are_not_lost),
#ifdef LORAC_HAVE_OPENBLAS
        cmocka_unit_test(exponentials_are_within_2_ulp),
#endif
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(each_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("ops", tests, devices_make, devices_free);
}
