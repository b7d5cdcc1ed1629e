/*
 * Where an evaluation fails. What is promised:
 *   - precision, recall, F1 and support of each label, the pairs that are confused and the
 *     calibration are those worked out by hand; what would be 0/0 is 0;
 *   - an evaluation gives every row's answer, its own label and, where asked for, likelihoods and
 *     probabilities of both: those of plain passes; its scores are the same as without;
 *   - a row whose answer is none of the labels has no label of its own; each evaluation begins
 *     anew;
 *   - a failed allocation is reported.
 */
#include "base/core/mem.h"
#include "recipes/run/verdicts.h"
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

static const struct {
    size_t truth, answer;
    double probability;
} hand[] = {{0, 0, 0.95},
            {0, 1, 0.95},
            {0, 1, 0.5},
            {1, 1, 0.5},
            {1, 0, 0.31},
            {2, 2, 0.1},
            {LORAC_NO_ANSWER, 2, 0.05}};
enum { HAND = sizeof hand / sizeof *hand, LABELS = 4 }; // the last label is nobody's

static enum lorac_status fill(struct lorac_verdicts *v, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    *v = (struct lorac_verdicts){.K = LABELS, .probabilities = true};
    for (size_t i = 0; i < HAND && !st; i++) {
        struct lorac_verdict one = {.example = i,
                                    .truth = hand[i].truth,
                                    .answer = hand[i].answer,
                                    .probability = hand[i].probability};
        st = lorac_verdicts_add(v, &one, err);
    }
    return st;
}

static void same(double got, double want)
{
    assert_true(fabs(got - want) < 1e-12);
}

static void scores_of_labels_are_those_by_hand(void **state)
{
    (void)state;
    struct lorac_verdicts v;
    struct lorac_label_score s[LABELS];
    static const struct lorac_label_score want[LABELS] = {
        {3, 2, 1, 1.0 / 2.0, 1.0 / 3.0, 2.0 / 5.0},
        {2, 3, 1, 1.0 / 3.0, 1.0 / 2.0, 2.0 / 5.0},
        {1, 2, 1, 1.0 / 2.0, 1.0, 2.0 / 3.0},
        {0, 0, 0, 0.0, 0.0, 0.0}};
    assert_int_equal(fill(&v, NULL), LORAC_OK);
    lorac_verdicts_labels(s, &v);
    for (size_t k = 0; k < LABELS; k++) {
        assert_int_equal(s[k].support, want[k].support);
        assert_int_equal(s[k].answered, want[k].answered);
        assert_int_equal(s[k].right, want[k].right);
        same(s[k].precision, want[k].precision);
        same(s[k].recall, want[k].recall);
        same(s[k].f1, want[k].f1);
    }
    lorac_verdicts_free(&v);
}

static void pairs_come_most_frequent_first(void **state)
{
    (void)state;
    struct lorac_verdicts v;
    struct lorac_confused *pairs = NULL;
    static const struct lorac_confused want[] = {{0, 1, 2}, {1, 0, 1}};
    size_t n = 0;
    assert_int_equal(fill(&v, NULL), LORAC_OK);
    assert_int_equal(lorac_verdicts_confused(&pairs, &n, &v, NULL), LORAC_OK);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(pairs[i].truth, want[i].truth);
        assert_int_equal(pairs[i].answer, want[i].answer);
        assert_int_equal(pairs[i].rows, want[i].rows);
    }
    lorac_mem_free(pairs);
    v.n = 1; // a row that is right
    assert_int_equal(lorac_verdicts_confused(&pairs, &n, &v, NULL), LORAC_OK);
    assert_null(pairs);
    assert_int_equal(n, 0);
    lorac_verdicts_free(&v);
}

static void calibration_is_that_by_hand(void **state)
{
    (void)state;
    struct lorac_verdicts v;
    assert_int_equal(fill(&v, NULL), LORAC_OK);
    /* (0.9,1]: two rows, 1.9 stated, 1 right; (0.4,0.5]: 1.0 and 1; (0.3,0.4]: 0.31 and 0;
     * (0,0.1], where 0.1 itself lies: 0.15 and 1 */
    same(lorac_verdicts_calibration(&v), (0.9 + 0.0 + 0.31 + 0.85) / 7.0);
    v.probabilities = false;
    assert_true(isnan(lorac_verdicts_calibration(&v)));
    v.n = 0;
    v.probabilities = true;
    assert_true(isnan(lorac_verdicts_calibration(&v)));
    lorac_verdicts_free(&v);
}

/* ---- of an evaluation ---- */

static const char *const texts[] = {"it shines", "it sags",    "wise",
                                    "loud",      "a warm joy", "a flat bore"};
enum { ROWS = sizeof texts / sizeof *texts };

static struct lorac_scores evaluate(struct runs_job *s, struct lorac_verdicts *v)
{
    struct lorac_evaluator *e = NULL;
    struct lorac_scores scores = {0};
    struct lorac_err err = {0};
    struct lorac_evaluator_options o =
        lorac_job_evaluation(s->j, s->j->valid.set, 1U << LORAC_METRIC_ACCURACY, NULL);
    o.verdicts = v;
    if (lorac_evaluator_new(&e, &o, &err) || lorac_evaluate(&scores, e, NULL, NULL, &err) ||
        lorac_evaluate(&scores, e, NULL, NULL, &err)) { // the second begins anew
        fail_msg("%s", err.text);
    }
    lorac_evaluator_free(e);
    return scores;
}

static void rows_have_the_likelihoods_of_plain_passes(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_verdicts v = {.probabilities = true};
    static const char *const mapped[] = {"data.labels.map={good: x, bad: q}", NULL};
    runs_open_job(&s, LORAC_JOB_VALID, mapped);
    struct lorac_scores plain = evaluate(&s, NULL);
    struct lorac_scores scores = evaluate(&s, &v);
    assert_true(scores.accuracy == plain.accuracy && scores.macro_f1 == plain.macro_f1);
    assert_true(fabs(scores.loss - plain.loss) < 1e-6);
    assert_int_equal(v.n, ROWS);
    assert_int_equal(v.K, 2);
    size_t right = 0;
    for (size_t i = 0; i < ROWS; i++) {
        const struct lorac_verdict *x = &v.at[i];
        char prompt[64];
        double nll[2];
        (void)snprintf(prompt, sizeof prompt, "%s is", texts[i]);
        nll[0] = runs_nll(s.j, prompt, " x", true, NULL);
        nll[1] = runs_nll(s.j, prompt, " q", true, NULL);
        size_t likeliest = nll[1] < nll[0];
        size_t own = i % 2; // good, bad, good, ...
        double all = exp(-nll[0]) + exp(-nll[1]);
        assert_int_equal(x->example, i);
        assert_int_equal(x->truth, own);
        assert_int_equal(x->answer, likeliest);
        assert_true(fabs(x->nll - nll[likeliest]) < 1e-5 * nll[likeliest]);
        assert_true(fabs(x->own_nll - nll[own]) < 1e-5 * nll[own]);
        assert_true(fabs(x->probability - exp(-nll[likeliest]) / all) < 1e-5);
        assert_true(fabs(x->own_probability - exp(-nll[own]) / all) < 1e-5);
        right += own == likeliest;
    }
    assert_true(right > 0 && right < (size_t)ROWS);
    assert_true(fabs(scores.accuracy - (double)right / ROWS) < 1e-12);
    v.probabilities = false; // nobody asks: what is not worked out is NaN
    (void)evaluate(&s, &v);
    assert_int_equal(v.n, ROWS);
    assert_true(isnan(v.at[0].probability) && isnan(v.at[0].own_nll));
    lorac_verdicts_free(&v);
    runs_close_job(&s);
}

static void a_row_without_a_known_label_has_none(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_verdicts v = {.probabilities = true};
    char table[512];
    (void)snprintf(table, sizeof table, "data.valid=%s", tiny_path("odd.csv"));
    tiny_text("odd.csv", "text,label\nit shines,good\nit sags,fine\n");
    const char *const sets[] = {table, NULL};
    runs_open_job(&s, LORAC_JOB_VALID, sets);
    struct lorac_scores scores = evaluate(&s, &v);
    assert_int_equal(scores.unknown, 1);
    assert_int_equal(v.n, 2);
    assert_int_equal(v.at[1].truth, LORAC_NO_ANSWER);
    assert_true(isnan(v.at[1].own_nll) && isnan(v.at[1].own_probability));
    assert_true(v.at[1].probability > 0.0);
    lorac_verdicts_free(&v);
    runs_close_job(&s);
}

static void failed_allocations_are_reported(void **state)
{
    (void)state;
    long n = 0;
    for (bool met = true; met; n++) {
        struct lorac_verdicts v;
        struct lorac_confused *pairs = NULL;
        struct lorac_err err = {0};
        size_t n_pairs = 0;
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = fill(&v, &err);
        if (!st) { st = lorac_verdicts_confused(&pairs, &n_pairs, &v, &err); }
        met = faults_stop();
        assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
        assert_true(!met || err.text[0]);
        lorac_mem_free(pairs);
        lorac_verdicts_free(&v);
    }
    assert_true(n > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_of_labels_are_those_by_hand),
        cmocka_unit_test(pairs_come_most_frequent_first),
        cmocka_unit_test(calibration_is_that_by_hand),
        cmocka_unit_test(rows_have_the_likelihoods_of_plain_passes),
        cmocka_unit_test(a_row_without_a_known_label_has_none),
        cmocka_unit_test(failed_allocations_are_reported),
    };
    return cmocka_run_group_tests_name("verdicts", tests, runs_make, runs_remove);
}
