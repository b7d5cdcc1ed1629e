/*
 * Storage types. What is promised: every 16-bit number decodes to its exact value and encodes to
 * itself (a NaN to a NaN of the same sign); every float encodes to the nearest number of the type,
 * ties to even, overflow to infinity; a block of Q8_0 is ggml's; stored arrays may lie at any
 * address, only n elements are touched, and bytes are counted in whole blocks. The reference is
 * arithmetic in double with ldexp and nearbyint, not bits.
 */
#include "base/core/dtype.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Exponent bits E, fraction bits M (IEEE 754-2019, 3.4). */
static const struct format {
    enum lorac_dtype dtype;
    int E, M;
} formats[] = {{LORAC_F16, 5, 10}, {LORAC_BF16, 8, 7}};

static double value_of(uint16_t h, const struct format *f)
{
    int bias = (1 << (f->E - 1)) - 1;
    int e = h >> f->M & ((1 << f->E) - 1);
    int fraction = h & ((1 << f->M) - 1);
    double sign = h & 0x8000 ? -1.0 : 1.0;
    if (e == (1 << f->E) - 1) { return fraction ? (double)NAN : sign * (double)INFINITY; }
    if (e == 0) { return sign * ldexp(fraction, 1 - bias - f->M); }
    return sign * ldexp((1 << f->M) + fraction, e - bias - f->M);
}

/* The nearest number of the type, as a double: x in units of the spacing around it, rounded to
 * even. */
static double nearest(double x, const struct format *f)
{
    int bias = (1 << (f->E - 1)) - 1;
    if (x == 0.0 || !isfinite(x)) { return x; }
    int e = 0;
    (void)frexp(x, &e); // x = 0.5..1 2^e
    int spacing = (e - 1 < 1 - bias ? 1 - bias : e - 1) - f->M;
    double y = ldexp(nearbyint(ldexp(x, -spacing)), spacing);
    return fabs(y) >= ldexp(1.0, bias + 1) ? copysign((double)INFINITY, x) : y;
}

/* For n <= 64 floats. */
static void expect_nearest(const float *x, size_t n, const struct format *f)
{
    uint16_t h[64];
    lorac_dtype_encode(h, x, f->dtype, n);
    for (size_t i = 0; i < n; i++) {
        double got = value_of(h[i], f);
        double want = nearest((double)x[i], f);
        bool same = got == want && !signbit(got) == !signbit(want);
        if (!same && !(isnan(got) && isnan(want))) {
            fail_msg("%s: %a became %a, nearest is %a", lorac_dtype_name(f->dtype), (double)x[i],
                     got, want);
        }
    }
}

static void every_16_bit_number_decodes_exactly_and_encodes_to_itself(void **state)
{
    (void)state;
    static uint16_t all[65536];
    static uint16_t back[65536];
    static float wide[65536];
    for (size_t i = 0; i < 65536; i++) {
        all[i] = (uint16_t)i;
    }
    for (size_t k = 0; k < 2; k++) {
        const struct format *f = &formats[k];
        lorac_dtype_decode(wide, all, f->dtype, 65536);
        lorac_dtype_encode(back, wide, f->dtype, 65536);
        for (size_t i = 0; i < 65536; i++) {
            double want = value_of(all[i], f);
            if (isnan(want)) {
                assert_true(isnan(wide[i]) && isnan(value_of(back[i], f)));
                assert_int_equal(back[i] & 0x8000, all[i] & 0x8000);
            } else {
                assert_true((double)wide[i] == want && !signbit(wide[i]) == !signbit(want));
                assert_int_equal(back[i], all[i]);
            }
        }
    }
}

static void every_float_goes_to_the_nearest_ties_to_even(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        // a prime step over all floats; then the middle of each pair of numbers and its neighbours
        for (uint64_t u = 0; u <= UINT32_MAX; u += 64ull * 4093) {
            float x[64];
            for (uint64_t i = 0; i < 64; i++) {
                uint32_t bits = (uint32_t)(u + i * 4093);
                memcpy(&x[i], &bits, sizeof bits);
            }
            expect_nearest(x, 64, &formats[k]);
        }
        for (uint32_t h = 0; h < 0xffff; h++) {
            double low = value_of((uint16_t)h, &formats[k]);
            double high = value_of((uint16_t)(h + 1), &formats[k]);
            if (isnan(low) || isnan(high)) { continue; }
            if (isinf(high)) { high = copysign(ldexp(1.0, k ? 128 : 16), high); }
            if (isinf(low)) { continue; }
            float middle = (float)((low + high) / 2); // exact: one bit more than the type has
            const float x[] = {middle, nextafterf(middle, -INFINITY), nextafterf(middle, INFINITY)};
            expect_nearest(x, 3, &formats[k]);
        }
    }
}

static void what_overflows_becomes_infinity(void **state)
{
    (void)state;
    const float in[] = {65504.0f, 65519.996f, 65520.0f, -65520.0f, 3.4028235e38f, INFINITY};
    const uint16_t want[] = {0x7bff, 0x7bff, 0x7c00, 0xfc00, 0x7c00, 0x7c00};
    uint16_t got[6];
    lorac_dtype_encode(got, in, LORAC_F16, 6);
    assert_memory_equal(got, want, sizeof want);
    const uint16_t want_bf16[] = {0x4780, 0x4780, 0x4780, 0xc780, 0x7f80, 0x7f80};
    lorac_dtype_encode(got, in, LORAC_BF16, 6);
    assert_memory_equal(got, want_bf16, sizeof want);
}

static void any_address_and_any_length_will_do(void **state)
{
    (void)state;
    enum { MAX = 200 };
    float x[MAX];
    for (size_t i = 0; i < MAX; i++) {
        x[i] = (float)i - 7.25f; // exact in F16 up to 256 with 2 bits of fraction
    }
    for (int t = 0; t < LORAC_N_DTYPES; t++) {
        if (!lorac_dtype_is_float((enum lorac_dtype)t)) { continue; }
        for (size_t n = 0; n < MAX; n += n < 70 ? 1 : 43) {
            if (n % lorac_dtype_block((enum lorac_dtype)t) != 0) { continue; }
            size_t bytes = lorac_dtype_bytes((enum lorac_dtype)t, n);
            for (size_t shift = 0; shift < 4; shift++) {
                unsigned char stored[4 * MAX + 8];
                float back[MAX + 1];
                memset(stored, 0xa5, sizeof stored);
                back[n] = 99.0f;
                lorac_dtype_encode(stored + shift, x, (enum lorac_dtype)t, n);
                lorac_dtype_decode(back, stored + shift, (enum lorac_dtype)t, n);
                for (size_t i = 0; i < sizeof stored; i++) {
                    bool outside = i < shift || i >= shift + bytes;
                    assert_true(!outside || stored[i] == 0xa5);
                }
                assert_true(back[n] == 99.0f);
                for (size_t i = 0; i < n; i++) {
                    // half the spacing of BF16 at 128..256, and of Q8_0 where the largest is 200,
                    // whose scale is rounded besides: 200 / 254 + 200 2^-11
                    float slack = t == LORAC_BF16 ? 0.5f : t == LORAC_Q8_0 ? 0.89f : 0.0f;
                    assert_true(fabsf(back[i] - x[i]) <= slack);
                }
            }
        }
    }
}

static void types_have_the_names_of_the_format(void **state)
{
    (void)state;
    for (int t = 0; t < LORAC_N_DTYPES; t++) {
        enum lorac_dtype found = LORAC_N_DTYPES;
        const char *torch = lorac_dtype_torch((enum lorac_dtype)t);
        bool is_float = lorac_dtype_is_float((enum lorac_dtype)t);
        assert_int_equal(lorac_dtype_find(&found, lorac_dtype_name((enum lorac_dtype)t)), !!torch);
        assert_int_equal(found, torch ? t : LORAC_N_DTYPES);
        found = LORAC_N_DTYPES;
        if (!torch) { continue; }
        assert_int_equal(lorac_dtype_find_torch(&found, torch), is_float);
        assert_int_equal(found, is_float ? t : LORAC_N_DTYPES);
    }
    float mask[3];
    lorac_dtype_decode(mask, (const unsigned char[]){0, 1, 255}, LORAC_U8, 3);
    assert_true(mask[0] == 0.0F && mask[1] == 1.0F && mask[2] == 255.0F);
    lorac_dtype_decode(mask, (const int64_t[]){0, -3, 511}, LORAC_I64, 3);
    assert_true(mask[0] == 0.0F && mask[1] == -3.0F && mask[2] == 511.0F);
    enum lorac_dtype found = LORAC_BF16;
    assert_false(lorac_dtype_find(&found, "F64"));
    assert_false(lorac_dtype_find(&found, "f32"));
    assert_false(lorac_dtype_find_torch(&found, "F32"));
    assert_string_equal(lorac_dtype_torch(LORAC_BF16), "bfloat16");
    assert_int_equal(found, LORAC_BF16);
}

static void bytes_are_counted_in_whole_blocks(void **state)
{
    (void)state;
    size_t bytes = 0;
    for (int t = 0; t < LORAC_N_DTYPES; t++) {
        assert_int_equal(LORAC_DTYPE_RUN % lorac_dtype_block((enum lorac_dtype)t), 0);
        assert_true(lorac_dtype_measure(&bytes, (enum lorac_dtype)t, LORAC_DTYPE_RUN));
        assert_int_equal(bytes, lorac_dtype_bytes((enum lorac_dtype)t, LORAC_DTYPE_RUN));
    }
    assert_int_equal(lorac_dtype_bytes(LORAC_F32, 7), 28);
    assert_int_equal(lorac_dtype_bytes(LORAC_Q8_0, 96), 3 * 34);
    assert_false(lorac_dtype_measure(&bytes, LORAC_Q8_0, 33));
    assert_false(lorac_dtype_measure(&bytes, LORAC_F16, SIZE_MAX / 2 + 1));
    assert_false(lorac_dtype_measure(&bytes, LORAC_Q8_0, SIZE_MAX / 32 * 32));
}

/* The bytes are those of gguf 0.19's quants.quantize(). */
static void q8_0_is_what_ggml_makes_of_it(void **state)
{
    (void)state;
    static const unsigned char want[] = {
        0x4d, 0x1e, 0x81, 0xdf, 0x3d, 0x9a, 0xf8, 0x56, 0xb4, 0x12, 0x70, 0xcd, 0x2b, 0x89, 0xe7,
        0x45, 0xa2, 0x00, 0x5e, 0xbb, 0x19, 0x77, 0xd5, 0x33, 0x90, 0xee, 0x4c, 0xaa, 0x08, 0x66,
        0xc3, 0x21, 0x7f, 0xdc, 0xa1, 0x24, 0x3c, 0x96, 0xf6, 0x56, 0xb0, 0x10, 0x6f, 0xca, 0x29,
        0x84, 0xe3, 0x43, 0x9e, 0xfd, 0x5d, 0xb7, 0x17, 0x77, 0xd1, 0x31, 0x8b, 0xeb, 0x4b, 0xa5,
        0x05, 0x65, 0xbf, 0x1f, 0x7f, 0xd9, 0x39, 0x93, 0x00, 0x3c, 0x7f, 0x01, 0xff, 0x02, 0xfd,
        0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
    float x[96] = {0};
    for (int i = 0; i < 64; i++) {
        x[i] = (float)((i * 37) % 101 - 50) / 64.0F * (i < 32 ? 1.0F : 3.0F);
    }
    x[64] = 127.0F; // the scale is 1, and ties go away from zero
    memcpy(x + 65, (const float[]){0.5F, -0.5F, 1.5F, -2.5F, 2.5F}, 5 * sizeof *x);
    unsigned char got[sizeof want];
    float back[96];
    lorac_dtype_encode(got, x, LORAC_Q8_0, 96);
    assert_memory_equal(got, want, sizeof want);
    lorac_dtype_decode(back, want, LORAC_Q8_0, 96);
    assert_true(back[0] == -0x1.90198p-1F && back[32] == 0x1.15bcp+0F && back[68] == -3.0F);
}

static void a_block_without_a_scale_is_nan_or_zero(void **state)
{
    (void)state;
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    unsigned char stored[34];
    float x[32];
    for (size_t k = 0; k < 4; k++) {
        for (size_t i = 0; i < 32; i++) {
            x[i] = k < 3 ? (float)i : 0x1p-149F; // a scale that even a float can't invert
        }
        if (k < 3) { x[7] = odd[k]; }
        lorac_dtype_encode(stored, x, LORAC_Q8_0, 32);
        lorac_dtype_decode(x, stored, LORAC_Q8_0, 32);
        for (size_t i = 0; i < 32; i++) {
            assert_true(k < 3 ? isnan(x[i]) : x[i] == 0.0F);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_16_bit_number_decodes_exactly_and_encodes_to_itself),
        cmocka_unit_test(every_float_goes_to_the_nearest_ties_to_even),
        cmocka_unit_test(what_overflows_becomes_infinity),
        cmocka_unit_test(any_address_and_any_length_will_do),
        cmocka_unit_test(types_have_the_names_of_the_format),
        cmocka_unit_test(bytes_are_counted_in_whole_blocks),
        cmocka_unit_test(q8_0_is_what_ggml_makes_of_it),
        cmocka_unit_test(a_block_without_a_scale_is_nan_or_zero),
    };
    return cmocka_run_group_tests_name("dtype", tests, NULL, NULL);
}
