/*
 * The numbers of a first recipe. What is promised: for the tables and bases that it was measured
 * with it gives what was measured; more rows never mean more epochs, a larger base never a higher
 * rate; evaluations cost no more than a third of the training, or there is one; whatever it is
 * given, the recipe takes what comes out.
 */
#include "recipes/run/first.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { SMALL = 3148224, SMOLLM2 = 134515008 };

static void measured_settings_give_what_was_measured(void **state)
{
    (void)state;
    static const struct {
        struct lorac_first_size size;
        double lr;
        size_t batch_tokens, epochs;
        double eval_epochs;
    } cases[] = {
        // banking77 with 20 labels: 200 and 1,500 rows, a tenth of them for validation; 10,000 with
        // 77
        {{180, 20, 20, 23.0, 7.0, SMOLLM2}, 0.001, 176, 9, 2.0},
        {{1350, 150, 20, 23.0, 7.0, SMOLLM2}, 0.001, 192, 4, 1.0},
        {{9000, 1000, 77, 26.0, 7.0, SMOLLM2}, 0.001, 208, 2, 0.5},
        {{180, 20, 20, 33.4, 11.0, SMALL}, 0.003, 144, 15, 3.0},
        {{1350, 150, 20, 33.4, 11.0, SMALL}, 0.003, 272, 7, 2.0},
        {{9000, 1000, 77, 35.0, 11.0, SMALL}, 0.003, 288, 3, 1.0},
        // free text
        {{180, 20, 0, 69.0, 30.0, SMOLLM2}, 0.001, 304, 5, 1.0},
        {{1350, 150, 0, 68.0, 30.0, SMOLLM2}, 0.001, 544, 4, 1.0},
        {{1350, 150, 0, 111.0, 45.0, SMALL}, 0.003, 896, 5, 1.0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_first f = lorac_first_choose(&cases[i].size);
        if (fabs(f.lr - cases[i].lr) > 1e-9 || f.batch_tokens != cases[i].batch_tokens ||
            f.epochs != cases[i].epochs || fabs(f.eval_epochs - cases[i].eval_epochs) > 1e-9) {
            fail_msg("case %zu: lr %g, %zu tokens, %zu epochs, evaluated every %g", i, f.lr,
                     f.batch_tokens, f.epochs, f.eval_epochs);
        }
        assert_int_equal(f.warmup, 5);
    }
}

static void more_rows_never_mean_more_epochs(void **state)
{
    (void)state;
    size_t epochs = SIZE_MAX;
    for (size_t rows = 1; rows < 1000000; rows = rows * 3 / 2 + 1) {
        struct lorac_first f = lorac_first_choose(
            &(struct lorac_first_size){.rows = rows, .tokens = 30.0, .parameters = SMOLLM2});
        assert_true(f.epochs >= 1 && f.epochs <= epochs);
        assert_true((double)f.steps >= (double)(rows * f.epochs) / f.rows_a_step);
        epochs = f.epochs;
    }
    assert_int_equal(epochs, 1);
}

static void a_larger_base_never_has_a_higher_rate(void **state)
{
    (void)state;
    double lr = 1.0;
    for (double n = 1e5; n < 1e12; n *= 1.5) {
        struct lorac_first f = lorac_first_choose(
            &(struct lorac_first_size){.rows = 1000, .tokens = 30.0, .parameters = (size_t)n});
        assert_true(f.lr <= lr);
        lr = f.lr;
    }
    assert_true(lr >= 1e-4);
}

static void evaluations_cost_a_third_of_the_training_or_there_is_one(void **state)
{
    (void)state;
    for (size_t labels = 0; labels < 200; labels = labels * 2 + 1) {
        for (size_t rows = 20; rows < 100000; rows *= 3) {
            const struct lorac_first_size s = {rows, rows / 9, labels, 30.0, 6.0, SMOLLM2};
            struct lorac_first f = lorac_first_choose(&s);
            if (!(f.eval_epochs > 0.0)) { continue; }
            size_t n = (size_t)ceil((double)f.epochs / f.eval_epochs);
            double scored = (double)(n * s.valid_rows) * (30.0 + (labels ? 1.5 : 0.0));
            double trained = (double)(f.epochs * rows) * 30.0;
            assert_true(n >= 2 && n <= 5 && scored / 2.0 <= trained / 3.0);
        }
    }
}

static void whatever_comes_in_a_recipe_takes_what_comes_out(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 7, 1000, SIZE_MAX};
    static const double tokens[] = {0.0, 1.0, 100.0, 9e3, 1e300, (double)NAN};
    for (size_t i = 0; i < 5 * 5 * 6; i++) {
        const struct lorac_first_size s = {.rows = counts[i % 5],
                                           .valid_rows = counts[i % 5],
                                           .labels = counts[i / 5 % 5],
                                           .tokens = tokens[i / 25],
                                           .trained = tokens[i / 25],
                                           .parameters = counts[i / 5 % 5]};
        struct lorac_first f = lorac_first_choose(&s);
        assert_true(f.lr >= 1e-4 && f.lr <= 1e-2);
        assert_true(f.batch_tokens >= 16 && f.batch_tokens <= 1 << 30);
        assert_true(f.epochs >= 1 && f.epochs <= 16);
        assert_true(f.steps >= 1 && f.steps <= 1000000000000);
        assert_true(f.eval_epochs >= 0.0 && f.eval_epochs <= (double)f.epochs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measured_settings_give_what_was_measured),
        cmocka_unit_test(more_rows_never_mean_more_epochs),
        cmocka_unit_test(a_larger_base_never_has_a_higher_rate),
        cmocka_unit_test(evaluations_cost_a_third_of_the_training_or_there_is_one),
        cmocka_unit_test(whatever_comes_in_a_recipe_takes_what_comes_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
