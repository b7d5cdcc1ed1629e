/*
 * Intervals and tests. What is promised:
 *   - they are what scipy, statsmodels and scikit-learn compute (tests/golden/statistics.json);
 *   - the bootstrap is the same each time, and as wide as scipy's with ten times the draws;
 *   - what cannot be known is NaN, and nothing divides by zero;
 *   - want of memory is reported.
 */
#include "base/core/json.h"
#include "recipes/report/statistics.h"
#include "tests/support/faults.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 256 };
static struct lorac_json golden;

static int open_golden(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    if (lorac_json_load(&golden, LORAC_TESTS_DIR "/golden/statistics.json", 1 << 20, &err)) {
        fail_msg("%s", err.text);
    }
    return 0;
}

static int close_golden(void **state)
{
    (void)state;
    lorac_json_free(&golden);
    return 0;
}

static double number(const struct lorac_json *at, const char *key)
{
    double v = 0.0;
    assert_int_equal(lorac_json_number(&v, at, key, true, NULL), LORAC_OK);
    return v;
}

/* Both are the same formula in double. */
static void close_to(double got, double want)
{
    if (!(fabs(got - want) <= 1e-11 + 1e-9 * fabs(want))) { fail_msg("%.17g, %.17g", got, want); }
}

static size_t numbers(double out[MOST], const struct lorac_json *object, const char *key)
{
    struct lorac_json list = lorac_json_get(object, key);
    size_t n = json_array_size(list.value);
    assert_true(n > 0 && n <= MOST);
    for (size_t i = 0; i < n; i++) {
        out[i] = json_number_value(json_array_get(list.value, i));
    }
    return n;
}

static void a_share_has_wilsons_interval(void **state)
{
    (void)state;
    struct lorac_json all = lorac_json_get(&golden, "wilson");
    for (size_t i = 0; i < json_array_size(all.value); i++) {
        struct lorac_json x = lorac_json_at(&all, i);
        double n = number(&x, "n");
        struct lorac_interval got = lorac_wilson(number(&x, "right") / n, (size_t)n);
        close_to(got.low, number(&x, "low"));
        close_to(got.high, number(&x, "high"));
    }
    assert_true(isnan(lorac_wilson(0.5, 0).low));
    assert_true(isnan(lorac_wilson((double)NAN, 5).high));
}

static void mcnemar_is_exact_and_has_continuity_where_it_is_large(void **state)
{
    (void)state;
    struct lorac_json all = lorac_json_get(&golden, "mcnemar");
    bool large = false;
    for (size_t i = 0; i < json_array_size(all.value); i++) {
        struct lorac_json x = lorac_json_at(&all, i);
        size_t b = (size_t)number(&x, "b");
        size_t c = (size_t)number(&x, "c");
        close_to(lorac_mcnemar(b, c), number(&x, "p"));
        close_to(lorac_mcnemar(c, b), number(&x, "p"));
        large = large || b + c > LORAC_EXACT;
    }
    assert_true(large);
    assert_true(lorac_mcnemar(2000, 2000) == 1.0);
}

static void a_mean_has_the_interval_of_its_rows(void **state)
{
    (void)state;
    double a[MOST];
    double b[MOST];
    double tokens[MOST];
    double ones[MOST];
    double want[MOST];
    struct lorac_json x = lorac_json_get(&golden, "mean");
    size_t n = numbers(a, &x, "value");
    assert_int_equal(numbers(b, &x, "other"), n);
    assert_int_equal(numbers(tokens, &x, "tokens"), n);
    for (size_t i = 0; i < n; i++) {
        ones[i] = 3.0; // any equal weights
    }
    struct lorac_interval got = lorac_mean_interval(a, ones, n);
    (void)numbers(want, &x, "plain");
    close_to(got.low, want[0]);
    close_to(got.high, want[1]);
    got = lorac_mean_interval(a, tokens, n);
    (void)numbers(want, &x, "clustered");
    close_to(got.low, want[0]);
    close_to(got.high, want[1]);
    struct lorac_difference d = lorac_paired(a, ones, b, ones, n);
    close_to(d.difference, number(&x, "difference"));
    close_to(d.variance, number(&x, "variance"));
    close_to(lorac_normal_p(d.difference, d.variance), number(&x, "p"));
    close_to(lorac_deviation(a, n), number(&x, "deviation"));
    assert_true(isnan(lorac_mean_interval(a, ones, 1).low));
    assert_true(isnan(lorac_deviation(a, 1)) && lorac_deviation(ones, 3) == 0.0);
    assert_true(isnan(lorac_mean(a, 0)) && lorac_mean(ones, 2) == 3.0);
    assert_true(lorac_normal_p(0.0, 0.0) == 1.0 && lorac_normal_p(0.1, 0.0) == 0.0);
    assert_true(isnan(lorac_normal_p(0.1, (double)NAN)));
}

static void macro_f1_is_drawn_again_and_again(void **state)
{
    (void)state;
    double x[2][MOST];
    uint32_t truth[MOST];
    uint32_t answer[MOST];
    struct lorac_interval got;
    struct lorac_interval again;
    struct lorac_json at = lorac_json_get(&golden, "macro_f1");
    size_t n = numbers(x[0], &at, "truth");
    assert_int_equal(numbers(x[1], &at, "answer"), n);
    for (size_t i = 0; i < n; i++) {
        truth[i] = (uint32_t)x[0][i];
        answer[i] = (uint32_t)x[1][i];
    }
    assert_int_equal(lorac_macro_f1_interval(&got, truth, answer, n, 4, NULL), LORAC_OK);
    assert_int_equal(lorac_macro_f1_interval(&again, truth, answer, n, 4, NULL), LORAC_OK);
    assert_true(got.low == again.low && got.high == again.high);
    // 2.5 % of 2,000 draws: 50 +- 7 of them, which is 0.06 of a deviation of F1, here 0.04
    assert_true(fabs(got.low - number(&at, "low")) < 0.008);
    assert_true(fabs(got.high - number(&at, "high")) < 0.008);
    for (size_t i = 0; i < n; i++) { // all right, and of them one that has no label
        answer[i] = truth[i];
    }
    assert_int_equal(lorac_macro_f1_interval(&got, truth, answer, n, 4, NULL), LORAC_OK);
    assert_true(got.low == 1.0 && got.high == 1.0);
    truth[0] = 4;
    assert_int_equal(lorac_macro_f1_interval(&got, truth, answer, n, 4, NULL), LORAC_OK);
    assert_true(got.low < 1.0 && got.low > 0.9 && got.high == 1.0);
    assert_int_equal(lorac_macro_f1_interval(&got, truth, answer, 0, 4, NULL), LORAC_OK);
    assert_true(isnan(got.low));
    for (long k = 0; k < 2; k++) {
        faults_start(FAULTS_MEMORY, k);
        enum lorac_status st = lorac_macro_f1_interval(&got, truth, answer, n, 4, NULL);
        assert_true(faults_stop() && st == LORAC_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_has_wilsons_interval),
        cmocka_unit_test(mcnemar_is_exact_and_has_continuity_where_it_is_large),
        cmocka_unit_test(a_mean_has_the_interval_of_its_rows),
        cmocka_unit_test(macro_f1_is_drawn_again_and_again),
    };
    return cmocka_run_group_tests_name("statistics", tests, open_golden, close_golden);
}
