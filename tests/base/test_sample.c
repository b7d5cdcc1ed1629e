/*
 * Sampling. What is promised:
 *   - the token drawn has the distribution of the logits after temperature, top-k and top-p, and
 *     the repetition penalty is that of Keskar et al. 2019;
 *   - it is the one that sorting them all, the likeliest first, and going down from there gives.
 */
#include "base/core/rng.h"
#include "base/generate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { V = 8, DRAWS = 20000 };
static const float logits[V] = {0.5F, -1.0F, 2.0F, 0.0F, 1.5F, -3.0F, 1.0F, 0.25F};

/* What of 20000 draws differs from p (V): Pearson's chi-square; tokens with p 0 never come. */
static double chi_square(const struct lorac_sampling *o, const double *p, size_t *kinds)
{
    size_t count[V] = {0};
    double chi = 0.0;
    *kinds = 0;
    for (size_t i = 0; i < DRAWS; i++) {
        float x[V];
        uint32_t order[V];
        memcpy(x, logits, sizeof x);
        count[lorac_sample(x, order, V, NULL, 0, o, i)]++;
    }
    for (size_t i = 0; i < V; i++) {
        if (!(p[i] > 0.0)) {
            assert_int_equal(count[i], 0);
            continue;
        }
        double want = p[i] * DRAWS;
        chi += ((double)count[i] - want) * ((double)count[i] - want) / want;
        (*kinds)++;
    }
    return chi;
}

/* softmax(logits / t) over the `n` likeliest. */
static void softmax(double *p, double t, size_t n)
{
    double total = 0.0;
    for (size_t i = 0; i < V; i++) {
        size_t above = 0;
        for (size_t j = 0; j < V; j++) {
            above += logits[j] > logits[i];
        }
        p[i] = above < n ? exp((double)logits[i] / t) : 0.0;
        total += p[i];
    }
    for (size_t i = 0; i < V; i++) {
        p[i] /= total;
    }
}

static void draws_have_the_distribution_that_is_asked_for(void **state)
{
    (void)state;
    // quantiles of chi-square at 0.9999 for 1 .. 7 degrees of freedom
    static const double limit[] = {15.1, 18.4, 21.1, 23.5, 25.7, 27.9, 29.9};
    static const struct {
        double temperature;
        size_t top_k;
        double top_p;
        size_t n; // tokens left
    } cases[] = {
        {1.0, 0, 1.0, 8},   {0.7, 0, 1.0, 8}, {2.0, 0, 1.0, 8},
        {1.0, 3, 1.0, 3},   {1.0, 8, 1.0, 8}, {1.0, 99, 1.0, 8},
        {1.0, 0, 0.385, 1}, // softmax, likeliest first: .390 .237 .144 .087 .068 .053 .019 .003
        {1.0, 0, 0.7, 3},   {1.0, 0, 0.9, 5}, {1.0, 2, 0.999, 2},
        {2.0, 5, 0.8, 4}, // of the five: .305 .238 .185 .144 .127
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct lorac_sampling o = lorac_sampling_defaults;
        double p[V];
        size_t kinds = 0;
        o.temperature = cases[c].temperature;
        o.top_k = cases[c].top_k;
        o.top_p = cases[c].top_p;
        o.seed = 40 + c;
        softmax(p, cases[c].temperature, cases[c].n);
        double chi = chi_square(&o, p, &kinds);
        assert_int_equal(kinds, cases[c].n);
        if (kinds > 1 && chi > limit[kinds - 2]) {
            fail_msg("case %zu: chi-square %.1f with %zu tokens", c, chi, kinds);
        }
    }
}

static void the_penalty_divides_what_is_likely_and_multiplies_what_is_not(void **state)
{
    (void)state;
    struct lorac_sampling o = lorac_sampling_defaults;
    static const int32_t seen[] = {2, 5, 2, 2, 3}; // 2 three times: counted once
    float x[V];
    uint32_t order[V];
    o.repetition_penalty = 1.25;
    memcpy(x, logits, sizeof x);
    assert_int_equal(lorac_sample(x, order, V, seen, 5, &o, 0), 2); // 2.0 / 1.25 = 1.6 > 1.5
    static const float want[V] = {0.5F, -1.0F, 1.6F, 0.0F, 1.5F, -3.75F, 1.0F, 0.25F};
    assert_memory_equal(x, want, sizeof x);
    o.repetition_penalty = 1.5;
    memcpy(x, logits, sizeof x);
    assert_int_equal(lorac_sample(x, order, V, seen, 5, &o, 0), 4); // 1.33 < 1.5
}

static void ties_go_to_the_lower_id(void **state)
{
    (void)state;
    struct lorac_sampling o = lorac_sampling_defaults;
    float x[4] = {1.0F, 2.0F, 2.0F, 2.0F};
    uint32_t order[4];
    assert_int_equal(lorac_sample(x, order, 4, NULL, 0, &o, 0), 1);
    o.temperature = 1.0;
    o.top_k = 1;
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(lorac_sample(x, order, 4, NULL, 0, &o, i), 1);
    }
}

enum { MANY = 300 };

static double weight(const float *x, size_t id, const struct lorac_sampling *o)
{
    return exp((double)x[id] / o->temperature);
}

static int32_t by_sorting(const float *x, const struct lorac_sampling *o, uint64_t draw)
{
    size_t id[MANY];
    for (size_t i = 0; i < MANY; i++) {
        size_t at = i;
        for (; at > 0 && x[id[at - 1]] < x[i]; at--) {
            id[at] = id[at - 1];
        }
        id[at] = i;
    }
    size_t k = o->top_k ? o->top_k : MANY;
    double total = 0.0;
    for (size_t i = 0; i < k; i++) {
        total += weight(x, id[i], o);
    }
    double reach = 0.0;
    size_t kept = 0;
    while (kept < k && reach < o->top_p * total) {
        reach += weight(x, id[kept++], o);
    }
    double u = lorac_rng_uniform(lorac_rng_key(o->seed, "sample"), 0, draw) * reach;
    size_t i = 0;
    while (i + 1 < kept && (u -= weight(x, id[i], o)) >= 0.0) {
        i++;
    }
    return (int32_t)id[i];
}

static void sorting_them_all_gives_the_same_draw(void **state)
{
    (void)state;
    static const struct {
        double temperature, top_p;
        size_t top_k;
    } cases[] = {{1.0, 1.0, 0},  {3.0, 1.0, 0},    {0.5, 1.0, 40},
                 {2.0, 0.95, 0}, {2.0, 0.999, 60}, {1e3, 1.0, 0}};
    struct lorac_sampling o = lorac_sampling_defaults;
    float x[MANY];
    uint32_t order[MANY];
    for (size_t i = 0; i < MANY; i++) { // in steps, so that some are equal
        x[i] = (float)lorac_rng_below(lorac_rng_key(5, "logits"), 0, i, 60) / 8.0F;
    }
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        o.temperature = cases[c].temperature;
        o.top_p = cases[c].top_p;
        o.top_k = cases[c].top_k;
        for (uint64_t draw = 0; draw < 500; draw++) {
            assert_int_equal(lorac_sample(x, order, MANY, NULL, 0, &o, draw),
                             by_sorting(x, &o, draw));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_have_the_distribution_that_is_asked_for),
        cmocka_unit_test(the_penalty_divides_what_is_likely_and_multiplies_what_is_not),
        cmocka_unit_test(ties_go_to_the_lower_id),
        cmocka_unit_test(sorting_them_all_gives_the_same_draw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
