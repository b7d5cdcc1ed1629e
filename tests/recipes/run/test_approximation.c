/*
 * What int8 does to a base before training. What is promised:
 *   - both losses are the means over the tokens of the first rows, worked out row by row, and the
 *     standard error is that of the ratio of sums over rows;
 *   - no more rows are run than make that error small, 8 at a time;
 *   - the integers are made first, so that nothing reads the stored weights but float32;
 *   - float32 is not measured; want of memory is said.
 */
#include "recipes/run/approximation.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 8, LONG = 60 }; // that run at once, and many more

static const char in_order[] = "train.shuffle=false";
static const char *const rough[] = {"model.compute=int8", in_order, NULL};
static const char *const exact[] = {in_order, NULL};

static void text_of(char text[32], size_t i)
{
    (void)snprintf(text, 32, "a tale of %zu words", i * i + 1);
}

static void write_table(size_t rows)
{
    struct lorac_buf b = {0};
    lorac_buf_str(&b, "text,label\n");
    for (size_t i = 0; i < rows; i++) {
        char text[32];
        text_of(text, i);
        lorac_buf_printf(&b, "%s,%s\n", text, i % 3 ? "good" : "bad");
    }
    tiny_text("train.csv", b.at);
    lorac_buf_free(&b);
}

/* sum, tokens of each row, by plain passes. */
static void by_hand(double sum[ROWS], size_t tokens[ROWS], const char *const *sets)
{
    struct runs_job s;
    runs_open_job(&s, LORAC_JOB_TRAIN, sets);
    for (size_t i = 0; i < ROWS; i++) {
        char text[32];
        char prompt[64];
        text_of(text, i);
        (void)snprintf(prompt, sizeof prompt, "%s is", text);
        sum[i] = runs_nll(s.j, prompt, i % 3 ? " good" : " bad", true, &tokens[i]);
    }
    runs_close_job(&s);
}

static size_t prepared; // weights that copies were asked for of

static void see_prepared(struct lorac_device *dev, const struct lorac_weight *const *w, size_t n,
                         bool back)
{
    (void)dev, (void)w;
    assert_false(back);
    prepared += n;
}

static struct lorac_approximation measure(const char *const *sets)
{
    struct runs_job s;
    struct lorac_approximation a;
    struct lorac_err err = {0};
    runs_open_job(&s, LORAC_JOB_TRAIN, sets);
    struct lorac_backend counting = *s.j->dev.ops;
    counting.weights_prepare = see_prepared;
    s.j->dev.ops = &counting;
    prepared = 0;
    if (lorac_approximation_measure(&a, s.j, &err)) { fail_msg("%s", err.text); }
    runs_close_job(&s);
    return a;
}

static void close_to(double got, double want, double by)
{
    if (fabs(got - want) > by) { fail_msg("%.9g, not %.9g", got, want); }
}

static void losses_and_their_error_are_those_by_hand(void **state)
{
    (void)state;
    double float32[ROWS] = {0};
    double there[ROWS] = {0};
    size_t n[ROWS] = {0};
    size_t again[ROWS] = {0};
    double sum[2] = {0};
    double tokens = 0.0;
    double squares = 0.0;
    write_table(ROWS + 4);
    by_hand(float32, n, exact);
    by_hand(there, again, rough);
    for (size_t b = 0; b < ROWS; b++) {
        sum[0] += float32[b];
        sum[1] += there[b];
        tokens += (double)n[b];
    }
    for (size_t b = 0; b < ROWS; b++) {
        double left = there[b] - float32[b] - (sum[1] - sum[0]) / tokens * (double)n[b];
        squares += left * left;
    }
    const struct lorac_approximation a = measure(rough);
    double u = 2e-6 * sum[0] / tokens; // of float32 likelihoods
    assert_int_equal(a.rows, ROWS);
    assert_true(prepared > 0);
    close_to(a.float32, sum[0] / tokens, u);
    close_to(a.there, sum[1] / tokens, u);
    assert_true(a.there != a.float32);
    double error = sqrt(8.0 / 7.0 * squares) / tokens;
    assert_true(error > 1e-6);
    close_to(a.error, error, 2e-3 * error); // roundings of likelihoods beside their differences
}

static void rows_are_as_many_as_the_error_wants(void **state)
{
    (void)state;
    write_table(LONG);
    const struct lorac_approximation a = measure(rough);
    assert_true(a.error <= 0.01 * a.float32);
    assert_int_equal(a.rows, ROWS);
}

static void float32_is_not_measured(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    const struct lorac_approximation a = measure(exact);
    assert_int_equal(a.rows, 0);
    assert_int_equal(prepared, 0);
    lorac_approximation_say(&b, &a);
    assert_int_equal(b.n, 0);
    lorac_buf_free(&b);
}

static void want_of_memory_is_said(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_approximation want = {0};
    struct lorac_approximation got;
    write_table(ROWS);
    runs_open_job(&s, LORAC_JOB_TRAIN, rough);
    assert_int_equal(lorac_approximation_measure(&want, s.j, NULL), LORAC_OK);
    long n = 0;
    for (bool met = true; met; n++) {
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_approximation_measure(&got, s.j, &err);
        met = faults_stop();
        if (st) {
            assert_true(met);
            assert_int_equal(st, LORAC_ENOMEM);
            assert_non_null(strstr(err.text, "memory"));
        } else { // a scratch that could not grow changes nothing
            assert_int_equal(got.rows, want.rows);
            close_to(got.there, want.there, 1e-6 * want.there);
        }
    }
    assert_true(n > 20);
    runs_close_job(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_their_error_are_those_by_hand),
        cmocka_unit_test(rows_are_as_many_as_the_error_wants),
        cmocka_unit_test(float32_is_not_measured),
        cmocka_unit_test(want_of_memory_is_said),
    };
    return cmocka_run_group_tests_name("approximation", tests, runs_make, runs_remove);
}
