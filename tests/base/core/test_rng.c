/*
 * Random numbers as a function. What is promised:
 *   - the bits are Philox4x32-10's (known answers of the Random123 distribution, kat_vectors);
 *   - uniform lies in [0,1), below(n) in 0..n-1, a shuffle is a permutation;
 *   - the normal has mean 0 and variance 1;
 *   - another seed, name, step or index gives other bits.
 */
#include "base/core/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <cmocka.h>

static void bits_are_philox(void **state)
{
    (void)state;
    uint32_t out[4];
    lorac_rng_bits(out, 0, 0, 0);
    const uint32_t zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    assert_memory_equal(out, zero, sizeof zero);
    lorac_rng_bits(out, UINT64_MAX, UINT64_MAX, UINT64_MAX);
    const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    assert_memory_equal(out, ones, sizeof ones);
    // counter 243f6a88 85a308d3 13198a2e 03707344, key a4093822 299f31d0 (digits of pi)
    lorac_rng_bits(out, 0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88);
    const uint32_t pi[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    assert_memory_equal(out, pi, sizeof pi);
}

static void normal_has_mean_0_and_variance_1(void **state)
{
    (void)state;
    enum { N = 100000 };
    uint64_t key = lorac_rng_key(7, "normal");
    double sum = 0.0;
    double squares = 0.0;
    for (uint64_t i = 0; i < N; i++) {
        double z = lorac_rng_normal(key, 0, i);
        assert_true(isfinite(z));
        sum += z;
        squares += z * z;
    }
    assert_true(fabs(sum / N) < 4.0 / sqrt(N)); // 4 standard errors
    assert_true(fabs(squares / N - 1.0) < 4.0 * sqrt(2.0 / N));
}

static void a_shuffle_is_a_permutation(void **state)
{
    (void)state;
    enum { N = 1000 };
    uint32_t order[N];
    bool seen[N] = {false};
    lorac_rng_shuffle(order, N, lorac_rng_key(1, "shuffle"), 3);
    size_t fixed = 0;
    for (size_t i = 0; i < N; i++) {
        assert_true(order[i] < N && !seen[order[i]]);
        seen[order[i]] = true;
        fixed += order[i] == i;
    }
    assert_true(fixed < 20); // 1 is expected
}

static void every_argument_matters(void **state)
{
    (void)state;
    uint64_t base = lorac_rng_u64(lorac_rng_key(1, "a"), 2, 3);
    assert_true(base != lorac_rng_u64(lorac_rng_key(2, "a"), 2, 3));
    assert_true(base != lorac_rng_u64(lorac_rng_key(1, "b"), 2, 3));
    assert_true(base != lorac_rng_u64(lorac_rng_key(1, "a"), 4, 3));
    assert_true(base != lorac_rng_u64(lorac_rng_key(1, "a"), 2, 5));
    double u = lorac_rng_uniform(1, 2, 3);
    assert_true(u >= 0.0 && u < 1.0);
    assert_true(lorac_rng_below(1, 2, 3, 1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_are_philox),
        cmocka_unit_test(normal_has_mean_0_and_variance_1),
        cmocka_unit_test(a_shuffle_is_a_permutation),
        cmocka_unit_test(every_argument_matters),
    };
    return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
