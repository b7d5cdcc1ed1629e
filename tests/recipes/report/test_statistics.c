/*
 * Intervals and tests. What is promised:
 *   - they are what scipy, statsmodels and scikit-learn compute (tests/golden/statistics.json);
 *   - the bootstrap is the same each time, and as wide as scipy's with ten times the draws;
 *   - what cannot be known is NaN, and nothing divides by zero;
 *   - want of memory is reported.
 */
#include "base/core/json.h"
#include "recipes/report/statistics.h"
#include "recipes/run/metrics.h"
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

/* Rows of labels; what none of K labels is has K. */
struct labelled {
    const uint32_t *truth, *answer;
    size_t n, K;
};

static double macro_f1(void *self, const uint32_t *times)
{
    const struct labelled *x = self;
    struct lorac_label_score s[8] = {0};
    for (size_t i = 0; i < x->n; i++) {
        for (uint32_t k = 0; k < times[i]; k++) {
            lorac_label_count(s, x->K, x->truth[i], x->answer[i]);
        }
    }
    return lorac_label_means(s, x->K, x->n).macro_f1;
}

static enum lorac_status draw(struct lorac_interval *out, struct labelled x)
{
    static double value[LORAC_RESAMPLES];
    enum lorac_status st = lorac_bootstrap(value, x.n, macro_f1, &x, NULL);
    if (!st) { *out = lorac_bootstrap_interval(value); }
    return st;
}

static double first(void *self, const uint32_t *times)
{
    (void)self;
    return times[0] ? (double)times[0] : (double)NAN;
}

/* Of 30 rows one is not drawn in 36 % of the draws, of 2 in 25 %. */
static void draws_without_a_number_are_left_out(void **state)
{
    (void)state;
    static double value[LORAC_RESAMPLES];
    assert_int_equal(lorac_bootstrap(value, 30, first, NULL, NULL), LORAC_OK);
    assert_true(isnan(lorac_bootstrap_interval(value).low));
    assert_true(isnan(lorac_bootstrap_variance(value)));
    for (size_t i = 0; i < LORAC_RESAMPLES; i++) {
        value[i] = i % 20 ? (double)(i % 20) : (double)NAN; // 1 .. 19
    }
    struct lorac_interval got = lorac_bootstrap_interval(value);
    assert_true(got.low == 1.0 && got.high == 19.0);
    assert_true(fabs(lorac_bootstrap_variance(value) - 30.0) < 0.02);
}

static void macro_f1_is_drawn_again_and_again(void **state)
{
    (void)state;
    double x[2][MOST];
    uint32_t truth[MOST];
    uint32_t answer[MOST];
    struct lorac_interval got = {0.0, 0.0};
    struct lorac_interval again = {0.0, 0.0};
    struct lorac_json at = lorac_json_get(&golden, "macro_f1");
    size_t n = numbers(x[0], &at, "truth");
    assert_int_equal(numbers(x[1], &at, "answer"), n);
    for (size_t i = 0; i < n; i++) {
        truth[i] = (uint32_t)x[0][i];
        answer[i] = (uint32_t)x[1][i];
    }
    assert_int_equal(draw(&got, (struct labelled){truth, answer, n, 4}), LORAC_OK);
    assert_int_equal(draw(&again, (struct labelled){truth, answer, n, 4}), LORAC_OK);
    assert_true(got.low == again.low && got.high == again.high);
    // 2.5 % of 2,000 draws: 50 +- 7 of them, which is 0.06 of a deviation of F1, here 0.04
    assert_true(fabs(got.low - number(&at, "low")) < 0.008);
    assert_true(fabs(got.high - number(&at, "high")) < 0.008);
    for (size_t i = 0; i < n; i++) { // all right, and of them one that has no label
        answer[i] = truth[i];
    }
    assert_int_equal(draw(&got, (struct labelled){truth, answer, n, 4}), LORAC_OK);
    assert_true(got.low == 1.0 && got.high == 1.0);
    truth[0] = 4;
    assert_int_equal(draw(&got, (struct labelled){truth, answer, n, 4}), LORAC_OK);
    assert_true(got.low < 1.0 && got.low > 0.9 && got.high == 1.0);
    assert_int_equal(draw(&got, (struct labelled){truth, answer, 0, 4}), LORAC_OK);
    assert_true(isnan(got.low));
    faults_start(FAULTS_MEMORY, 0);
    enum lorac_status st = draw(&got, (struct labelled){truth, answer, n, 4});
    assert_true(faults_stop() && st == LORAC_ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_has_wilsons_interval),
        cmocka_unit_test(mcnemar_is_exact_and_has_continuity_where_it_is_large),
        cmocka_unit_test(a_mean_has_the_interval_of_its_rows),
        cmocka_unit_test(macro_f1_is_drawn_again_and_again),
        cmocka_unit_test(draws_without_a_number_are_left_out),
    };
    return cmocka_run_group_tests_name("statistics", tests, open_golden, close_golden);
}
