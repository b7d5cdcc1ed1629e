/*
 * Products of matrices and of stored weights. What is promised:
 *   - the cpu backend agrees with `ref` on each instruction set that this processor has, at sizes
 *     around the blocks of its kernels, for every storage type, aligned or not, of one panel or
 *     several, for few rows and for many;
 *   - decoding is exact;
 *   - beta 0 does not read what was there.
 * That threads change nothing is in test_ops.c.
 *
 * Tolerances: u = 2^-24 is half the distance of floats at 1. A sum of n products of values in
 * [-1,1) is a random walk whose partial sums grow like sqrt(k) / 3, each rounded by u: its error
 * has a standard deviation below n u / 7; n u is 7 of them.
 */
#include "base/compute/device.h"
#include "tests/support/devices.h"
#include "tests/support/near.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define U 0x1p-24F

static float of_sum(size_t n)
{
    return ((float)n + 8.0F) * U;
}

/* ---- products ---- */

enum product { NT, NN, TN };

static void check_product(enum product kind, size_t N, size_t C, size_t OC, float alpha, float beta)
{
    size_t n_a = kind == NT ? N * C : N * OC;
    size_t n_b = kind == TN ? N * C : OC * C;
    size_t n_out = kind == NT ? N * OC : kind == NN ? N * C : OC * C;
    size_t depth = kind == NT ? C : kind == NN ? OC : N;
    const float *a = scratch(n_a, 1);
    const float *b = scratch(n_b, 2);
    const float *want = NULL;
    char what[100];
    snprintf(what, sizeof what, "matmul kind %d N %zu C %zu OC %zu", (int)kind, N, C, OC);
    for (size_t i = 0; i < d.n; i++) {
        struct lorac_device *dev = &d.at[i];
        float *out = scratch(n_out, 3);
        if (beta == 0.0F) { out[0] = NAN; } // not read
        lorac_matmul_fn *f = kind == NT   ? dev->ops->matmul_nt
                             : kind == NN ? dev->ops->matmul_nn
                                          : dev->ops->matmul_tn;
        f(dev, out, a, b, N, C, OC, alpha, beta);
        if (i == 0) {
            want = out;
        } else {
            agree(&d, i, what, out, want, n_out, of_sum(depth) * fmaxf(alpha, 1.0F), 4.0F * U);
        }
    }
    scratch_free();
}

static void products_agree(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 3, 17, 64, 100};
    for (size_t n = 0; n < 5; n++) {
        for (size_t c = 0; c < 5; c++) {
            for (size_t o = 0; o < 5; o++) {
                float beta = (n + c + o) % 3 == 0 ? 0.0F : (n + c + o) % 3 == 1 ? 1.0F : -0.5F;
                for (int kind = NT; kind <= TN; kind++) {
                    check_product((enum product)kind, sizes[n], sizes[c], sizes[o], 0.75F, beta);
                }
            }
        }
    }
}

static void products_of_adapters_agree(void **state) // small rank, wide sides
{
    (void)state;
    static const size_t ranks[] = {4, 8, 16, 64, 65};
    for (size_t r = 0; r < 5; r++) {
        check_product(NT, 33, 1100, ranks[r], 1.0F, 0.0F);
        check_product(NN, 33, 1100, ranks[r], 2.0F, 1.0F);
        check_product(TN, 100, 1100, ranks[r], 1.0F, 1.0F);
        check_product(NN, 1, 1100, ranks[r], 2.0F, 1.0F);
        check_product(TN, 257, 100, ranks[r], 1.0F, 0.0F);
        check_product(NT, 257, 100, ranks[r], 1.0F, 0.0F);
    }
}

static void an_empty_product_writes_zero(void **state)
{
    (void)state;
    check_product(TN, 0, 33, 8, 1.0F, 0.0F);
    check_product(TN, 0, 33, 80, 1.0F, 0.0F);
    check_product(TN, 0, 33, 8, 1.0F, 1.0F);
}

/* A weight of `type` whose end is `shift` bytes before that of its memory, so that it is off
 * alignment. */
static const void *weight(enum lorac_dtype type, size_t OC, size_t C, size_t shift)
{
    const float *x = scratch(OC * C, 5);
    unsigned char *at = fenced(lorac_dtype_bytes(type, OC * C) + shift);
    lorac_dtype_encode(at, x, type, OC * C);
    return at;
}

/* Against ref's product with the decoded weight; ref, which decodes each factor anew, is itself
 * looked at where there are few. */
static void check_stored(enum lorac_dtype type, size_t shift, size_t N, size_t C, size_t OC,
                         bool turned)
{
    const void *data = weight(type, OC, C, shift);
    const float *x = scratch(N * C, 1);
    const float *dy = scratch(N * OC, 2);
    const float *bias = OC % 2 ? scratch(OC, 3) : NULL;
    float *plain = scratch(OC * C, 5);
    float *want_y = scratch(N * OC, 6);
    float *want_dx = scratch(N * C, 7);
    float beta = C % 2 ? 1.0F : 0.0F;
    struct lorac_device *ref = &d.at[0];
    char what[100];
    snprintf(what, sizeof what, "linear %s%s +%zu N %zu C %zu OC %zu", lorac_dtype_name(type),
             turned ? " turned" : "", shift, N, C, OC);
    lorac_dtype_decode(plain, data, type, OC * C);
    if (turned) { // (C,OC)
        ref->ops->matmul_nn(ref, want_y, x, plain, N, OC, C, 1.0F, 0.0F);
        ref->ops->matmul_nt(ref, want_dx, dy, plain, N, OC, C, 1.0F, beta);
    } else {
        ref->ops->matmul_nt(ref, want_y, x, plain, N, C, OC, 1.0F, 0.0F);
        ref->ops->matmul_nn(ref, want_dx, dy, plain, N, C, OC, 1.0F, beta);
    }
    for (size_t i = 0; bias && i < N * OC; i++) {
        want_y[i] += bias[i % OC];
    }
    for (size_t i = N * C * OC < 1 << 16 ? 0 : 1; i < d.n; i++) {
        struct lorac_device *dev = &d.at[i];
        float *y = scratch(N * OC, 6);
        float *dx = scratch(N * C, 7);
        const struct lorac_weight *w = weight_on(dev, data, type, OC, C, turned);
        dev->ops->linear(dev, y, x, w, bias, N);
        dev->ops->linear_backward(dev, dx, dy, w, N, beta);
        agree(&d, i, what, y, want_y, N * OC, of_sum(C), 4.0F * U);
        agree(&d, i, what, dx, want_dx, N * C, of_sum(OC), 4.0F * U);
    }
    scratch_free();
}

/* n, or the next number that is whole blocks. */
static size_t whole(enum lorac_dtype type, size_t n)
{
    size_t block = lorac_dtype_block(type);
    return (n + block - 1) / block * block;
}

static void check_linear(enum lorac_dtype type, size_t shift, size_t N, size_t C, size_t OC)
{
    C = whole(type, C);
    OC = whole(type, OC);
    check_stored(type, shift, N, C, OC, false);
    check_stored(type, shift, N, C, OC, true);
}

static void linear_layers_agree(void **state)
{
    (void)state;
    static const size_t rows[] = {1, 3, 17, 70};
    static const size_t sizes[] = {1, 17, 64, 257};
    for (int type = 0; type < LORAC_N_DTYPES; type++) {
        if (!lorac_dtype_is_float((enum lorac_dtype)type)) { continue; }
        for (size_t n = 0; n < 4; n++) {
            for (size_t c = 0; c < 4; c++) {
                for (size_t o = 0; o < 4; o++) {
                    size_t shift = (n + c) % 2; // an odd address
                    check_linear((enum lorac_dtype)type, shift, rows[n], sizes[c], sizes[o]);
                }
            }
        }
    }
    check_linear(LORAC_F32, 0, 70, 257, 64);
}

static void weights_of_several_panels_agree(void **state)
{
    (void)state;
    // 14 rows a panel; misaligned, so that it is not read in place
    check_stored(LORAC_F32, 1, 17, 70000, 15, false);
}

static void blocks_of_several_panels_agree(void **state)
{
    (void)state;
    check_linear(LORAC_Q8_0, 1, 3, 70016, 32);
    check_linear(LORAC_Q8_0, 0, 17, 70016, 32);
    check_stored(LORAC_Q8_0, 0, 2, (1 << 20) + 32, 1, false); // a row longer than a panel
    check_stored(LORAC_Q8_0, 0, 2, 1, (1 << 20) + 32, true);
}

static void products_of_many_rows_agree(void **state) // by blocks of rows, where they are faster
{
    (void)state;
    for (int type = 0; type < LORAC_N_DTYPES; type++) {
        if (!lorac_dtype_is_float((enum lorac_dtype)type)) { continue; }
        check_linear((enum lorac_dtype)type, 0, 512, 160, 130);
        check_linear((enum lorac_dtype)type, 1, 561, 115, 161);
    }
}

static void embeddings_are_exact(void **state)
{
    (void)state;
    static const int32_t ids[] = {2, 0, 6, 2};
    for (int type = 0; type < LORAC_N_DTYPES; type++) {
        if (!lorac_dtype_is_float((enum lorac_dtype)type)) { continue; }
        size_t C = whole((enum lorac_dtype)type, 100);
        const void *data = weight((enum lorac_dtype)type, 7, C, 1);
        const float *want = NULL;
        for (size_t i = 0; i < d.n; i++) {
            float *y = scratch(4 * C, 1);
            const struct lorac_weight *w =
                weight_on(&d.at[i], data, (enum lorac_dtype)type, 7, C, false);
            d.at[i].ops->embed(&d.at[i], y, ids, w, 4);
            if (i == 0) { want = y; }
            agree(&d, i, "embed", y, want, 4 * C, 0.0F, 0.0F);
        }
        scratch_free();
    }
}

static void every_half_decodes_exactly(void **state)
{
    (void)state;
    enum { N = 65536 };
    uint16_t *all = malloc(N * sizeof *all);
    assert_non_null(all);
    for (size_t i = 0; i < N; i++) {
        all[i] = (uint16_t)i;
    }
    static const int32_t ids[] = {0};
    for (int type = LORAC_F16; type <= LORAC_BF16; type++) {
        float *want = scratch(N, 1);
        lorac_dtype_decode(want, all, (enum lorac_dtype)type, N);
        for (size_t i = 0; i < d.n; i++) {
            float *y = scratch(N, 2);
            const struct lorac_weight *w =
                weight_on(&d.at[i], all, (enum lorac_dtype)type, 1, N, false);
            d.at[i].ops->embed(&d.at[i], y, ids, w, 1);
            for (size_t j = 0; j < N; j++) { // a NaN may lose its signalling bit
                // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): bits are promised
                assert_true(isnan(want[j]) ? isnan(y[j]) : memcmp(&want[j], &y[j], 4) == 0);
            }
        }
    }
    scratch_free();
    free(all);
}

static void handles_read_any_part(void **state)
{
    (void)state;
    enum { C = 96, OC = 4, ALL = OC * C };
    for (int type = 0; type < LORAC_N_DTYPES; type++) {
        if (!lorac_dtype_is_float((enum lorac_dtype)type)) { continue; }
        const void *data = weight((enum lorac_dtype)type, OC, C, 1);
        float all[ALL];
        lorac_dtype_decode(all, data, (enum lorac_dtype)type, ALL);
        for (size_t i = 0; i < d.n; i++) {
            struct lorac_device *dev = &d.at[i];
            const struct lorac_weight *w =
                weight_on(dev, data, (enum lorac_dtype)type, OC, C, i % 2);
            for (size_t first = 0; first < ALL; first += 29) {
                for (size_t n = 0; first + n <= ALL; n += 31) {
                    float got[ALL + 1];
                    got[n] = 99.0F;
                    dev->ops->weight_read(dev, got, w, first, n);
                    assert_memory_equal(got, all + first, n * sizeof *got);
                    assert_true(got[n] == 99.0F);
                }
            }
        }
        scratch_free();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_agree),
        cmocka_unit_test(products_of_adapters_agree),
        cmocka_unit_test(an_empty_product_writes_zero),
        cmocka_unit_test(linear_layers_agree),
        cmocka_unit_test(weights_of_several_panels_agree),
        cmocka_unit_test(blocks_of_several_panels_agree),
        cmocka_unit_test(products_of_many_rows_agree),
        cmocka_unit_test(embeddings_are_exact),
        cmocka_unit_test(handles_read_any_part),
        cmocka_unit_test(every_half_decodes_exactly),
    };
    return cmocka_run_group_tests_name("products", tests, devices_make, devices_free);
}
