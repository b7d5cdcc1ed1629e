/*
 * Metrics. What is promised:
 *   - they are what scikit-learn, scipy and seqeval compute (tests/golden/metrics.json), with ties,
 *     labels that no row has, one label alone, rows with none of the labels;
 *   - what is not defined is NaN, and never better than what is;
 *   - want of memory is reported.
 */
#include "base/core/json.h"
#include "recipes/run/evaluate.h"
#include "recipes/run/metrics.h"
#include "tests/support/faults.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 256, LABELS = 16 };
static struct lorac_json golden;

static int open_golden(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    if (lorac_json_load(&golden, LORAC_TESTS_DIR "/golden/metrics.json", 1 << 20, &err)) {
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

/* Both are the same formula in double; null is NaN. */
static void same(double got, const struct lorac_json *at, const char *key)
{
    const json_t *x = json_object_get(at->value, key);
    assert_non_null(x);
    double want = json_is_null(x) ? (double)NAN : json_number_value(x);
    bool good = isnan(want) ? isnan(got) : fabs(got - want) <= 1e-12 + 1e-12 * fabs(want);
    if (!good) { fail_msg("%s: %.17g, %.17g", key, got, want); }
}

static size_t numbers(double out[MOST], const struct lorac_json *object, const char *key)
{
    struct lorac_json list = lorac_json_get(object, key);
    size_t n = json_array_size(list.value);
    assert_true(json_is_array(list.value) && n <= MOST);
    for (size_t i = 0; i < n; i++) {
        out[i] = json_number_value(json_array_get(list.value, i));
    }
    return n;
}

static void same_means(const struct lorac_label_means *m, const struct lorac_json *x)
{
    same(m->macro_precision, x, "macro_precision");
    same(m->macro_recall, x, "macro_recall");
    same(m->macro_f1, x, "macro_f1");
    same(m->micro_precision, x, "micro_precision");
    same(m->micro_recall, x, "micro_recall");
    same(m->micro_f1, x, "micro_f1");
    same(m->weighted_f1, x, "weighted_f1");
}

static void labels_have_scikit_learns_scores(void **state)
{
    (void)state;
    double v[4][MOST];
    struct lorac_json all = lorac_json_get(&golden, "labels");
    assert_true(json_array_size(all.value) > 5);
    for (size_t c = 0; c < json_array_size(all.value); c++) {
        struct lorac_label_score s[LABELS] = {{0}};
        struct lorac_json x = lorac_json_at(&all, c);
        size_t K = (size_t)json_integer_value(json_object_get(x.value, "K"));
        size_t n = numbers(v[0], &x, "truth");
        assert_int_equal(numbers(v[1], &x, "answer"), n);
        for (size_t i = 0; i < n; i++) {
            lorac_label_count(s, K, (size_t)v[0][i], (size_t)v[1][i]);
        }
        lorac_label_ratios(s, K);
        assert_int_equal(numbers(v[0], &x, "precision"), K);
        assert_int_equal(numbers(v[1], &x, "recall"), K);
        assert_int_equal(numbers(v[2], &x, "f1"), K);
        assert_int_equal(numbers(v[3], &x, "support"), K);
        for (size_t k = 0; k < K; k++) {
            assert_float_equal(s[k].precision, v[0][k], 1e-12);
            assert_float_equal(s[k].recall, v[1][k], 1e-12);
            assert_float_equal(s[k].f1, v[2][k], 1e-12);
            assert_int_equal(s[k].support, (size_t)v[3][k]);
        }
        struct lorac_label_means m = lorac_label_means(s, K, n);
        same_means(&m, &x);
        same((double)m.right / (double)n, &x, "accuracy");
        same(m.matthews, &x, "matthews");
    }
}

static void several_labels_a_row_have_them_too(void **state)
{
    (void)state;
    double v[2][MOST];
    struct lorac_json all = lorac_json_get(&golden, "several");
    struct lorac_json x = lorac_json_at(&all, 0);
    struct lorac_json truth = lorac_json_get(&x, "truth");
    struct lorac_json answer = lorac_json_get(&x, "answer");
    struct lorac_label_score s[LABELS] = {{0}};
    size_t n = json_array_size(truth.value);
    size_t K = numbers(v[0], &x, "f1");
    assert_int_equal(numbers(v[1], &x, "support"), K);
    for (size_t i = 0; i < n; i++) {
        json_t *want = json_array_get(truth.value, i);
        json_t *got = json_array_get(answer.value, i);
        for (size_t k = 0; k < K; k++) {
            lorac_label_count(s, K, json_integer_value(json_array_get(want, k)) ? k : K,
                              json_integer_value(json_array_get(got, k)) ? k : K);
        }
    }
    lorac_label_ratios(s, K);
    struct lorac_label_means m = lorac_label_means(s, K, n);
    same_means(&m, &x);
    assert_int_equal(m.seen, K - 1); // one label neither occurs nor is answered
    for (size_t k = 0; k < K; k++) {
        assert_float_equal(s[k].f1, v[0][k], 1e-12);
        assert_int_equal(s[k].support, (size_t)v[1][k]);
    }
}

static void scores_have_an_auc(void **state)
{
    (void)state;
    double score[MOST];
    double one[MOST];
    bool positive[MOST];
    struct lorac_json all = lorac_json_get(&golden, "auc");
    assert_true(json_array_size(all.value) > 5);
    for (size_t c = 0; c < json_array_size(all.value); c++) {
        struct lorac_json x = lorac_json_at(&all, c);
        double got = 0.0;
        size_t n = numbers(score, &x, "score");
        assert_int_equal(numbers(one, &x, "positive"), n);
        for (size_t i = 0; i < n; i++) {
            positive[i] = one[i] > 0.0;
        }
        assert_int_equal(lorac_auc(&got, score, positive, n, NULL), LORAC_OK);
        same(got, &x, "auc");
    }
    double none = 0.0;
    assert_int_equal(lorac_auc(&none, score, positive, 0, NULL), LORAC_OK);
    assert_true(isnan(none));
}

static void numbers_have_their_fit(void **state)
{
    (void)state;
    double given[MOST];
    double wanted[MOST];
    struct lorac_fit got;
    struct lorac_json all = lorac_json_get(&golden, "fit");
    assert_true(json_array_size(all.value) > 5);
    for (size_t c = 0; c < json_array_size(all.value); c++) {
        struct lorac_json x = lorac_json_at(&all, c);
        size_t n = numbers(given, &x, "given");
        assert_int_equal(numbers(wanted, &x, "wanted"), n);
        assert_int_equal(lorac_fit(&got, given, wanted, n, NULL), LORAC_OK);
        same(got.mse, &x, "mse");
        same(got.pearson, &x, "pearson");
        same(got.spearman, &x, "spearman");
        same(got.r2, &x, "r2");
    }
    assert_int_equal(lorac_fit(&got, given, wanted, 0, NULL), LORAC_OK);
    assert_true(isnan(got.mse) && isnan(got.pearson) && isnan(got.spearman) && isnan(got.r2));
}

/* ---- tags ---- */

static size_t words(uint32_t out[MOST], json_t *sentence, const char *const *label, size_t K)
{
    size_t n = json_array_size(sentence);
    assert_true(n <= MOST);
    for (size_t i = 0; i < n; i++) {
        const char *tag = json_string_value(json_array_get(sentence, i));
        out[i] = 0;
        while (out[i] < K && strcmp(label[out[i]], tag) != 0) {
            out[i]++;
        }
        assert_true(out[i] < K);
    }
    return n;
}

static void same_entities(const struct lorac_label_score *s, const char *const *name, size_t types,
                          const struct lorac_json *x)
{
    static const char *const averages[] = {"micro", "macro", "weighted"};
    struct lorac_json count = lorac_json_get(x, "count");
    for (size_t t = 0; t < types; t++) {
        json_t *c = json_object_get(count.value, name[t]);
        size_t want[3] = {0};
        for (size_t i = 0; c && i < 3; i++) {
            want[i] = (size_t)json_integer_value(json_array_get(c, i));
        }
        assert_int_equal(s[t].support, want[0]);
        assert_int_equal(s[t].answered, want[1]);
        assert_int_equal(s[t].right, want[2]);
    }
    struct lorac_label_means m = lorac_label_means(s, types, 0);
    const double got[][3] = {{m.micro_precision, m.micro_recall, m.micro_f1},
                             {m.macro_precision, m.macro_recall, m.macro_f1},
                             {0.0, 0.0, m.weighted_f1}};
    for (size_t a = 0; a < 3; a++) {
        double v[MOST];
        assert_int_equal(numbers(v, x, averages[a]), 3);
        for (size_t i = a == 2 ? 2 : 0; i < 3; i++) {
            assert_float_equal(got[a][i], v[i], 1e-12);
        }
    }
}

static void tags_have_seqevals_entities(void **state)
{
    (void)state;
    struct lorac_json all = lorac_json_get(&golden, "tags");
    assert_true(json_array_size(all.value) > 5);
    for (size_t c = 0; c < json_array_size(all.value); c++) {
        const char *label[LABELS];
        const char *name[LABELS];
        struct lorac_tag tag[LABELS];
        struct lorac_label_score s[LABELS] = {{0}};
        struct lorac_json x = lorac_json_at(&all, c);
        json_t *labels = json_object_get(x.value, "labels");
        json_t *truth = json_object_get(x.value, "truth");
        json_t *answer = json_object_get(x.value, "answer");
        size_t K = json_array_size(labels);
        for (size_t k = 0; k < K; k++) {
            label[k] = json_string_value(json_array_get(labels, k));
        }
        size_t types = lorac_tags_read(tag, name, label, K);
        assert_true(types > 0);
        for (size_t i = 0; i < json_array_size(truth); i++) {
            uint32_t want[MOST];
            uint32_t got[MOST];
            size_t n = words(want, json_array_get(truth, i), label, K);
            assert_int_equal(words(got, json_array_get(answer, i), label, K), n);
            lorac_entities_count(s, tag, want, got, n);
        }
        same_entities(s, name, types, &x);
    }
}

static void other_tags_have_no_entities(void **state)
{
    (void)state;
    const char *name[4];
    struct lorac_tag tag[4];
    const char *const speech[] = {"NOUN", "VERB"};
    const char *const alike[] = {"O", "B-PER", "I_PER"};
    const char *const none[] = {"O"};
    const char *const empty[] = {"O", ""};
    const char *const bilou[] = {"O", "B-X", "L-X", "U-X"};
    assert_int_equal(lorac_tags_read(tag, name, speech, 2), 0);
    assert_int_equal(lorac_tags_read(tag, name, alike, 3), 0);
    assert_int_equal(lorac_tags_read(tag, name, none, 1), 0);
    assert_int_equal(lorac_tags_read(tag, name, empty, 2), 0);
    assert_int_equal(lorac_tags_read(tag, name, bilou, 4), 1);
    assert_string_equal(name[0], "X");
    const uint32_t truth[] = {3, 3, 1, 2, 2}; // U U B L L: four entities
    struct lorac_label_score s = {0};
    lorac_entities_count(&s, tag, truth, truth, 5);
    assert_true(s.support == 4 && s.answered == 4 && s.right == 4);
}

static void want_of_memory_is_reported(void **state)
{
    (void)state;
    const double x[] = {1.0, 2.0, 2.0};
    const bool positive[] = {true, false, true};
    for (int what = 0; what < 2; what++) {
        long n = 0;
        for (bool met = true; met; n++) {
            struct lorac_err err = {0};
            struct lorac_fit fit;
            double auc = 0.0;
            faults_start(FAULTS_MEMORY, n);
            enum lorac_status st =
                what ? lorac_fit(&fit, x, x, 3, &err) : lorac_auc(&auc, x, positive, 3, &err);
            met = faults_stop();
            assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
            assert_true(!met || err.text[0]);
        }
        assert_true(n > 2);
    }
}

static void metrics_compare_in_their_direction(void **state)
{
    (void)state;
    assert_true(lorac_metric_better(LORAC_METRIC_LOSS, 1.0, 2.0, 0.0));
    assert_false(lorac_metric_better(LORAC_METRIC_LOSS, 2.0, 2.0, 0.0));
    assert_false(lorac_metric_better(LORAC_METRIC_LOSS, 1.95, 2.0, 0.1));
    assert_true(lorac_metric_better(LORAC_METRIC_PERPLEXITY, 1.8, 2.0, 0.1));
    assert_true(lorac_metric_better(LORAC_METRIC_ACCURACY, 0.9, 0.8, 0.0));
    assert_false(lorac_metric_better(LORAC_METRIC_ACCURACY, 0.8, 0.9, 0.0));
    assert_false(lorac_metric_better(LORAC_METRIC_MACRO_F1, 0.85, 0.8, 0.1));
    assert_false(lorac_metric_better(LORAC_METRIC_ACCURACY, (double)NAN, 0.5, 0.0));
    assert_true(lorac_metric_better(LORAC_METRIC_AUC, 0.5, (double)NAN, 0.1));
    assert_false(lorac_metric_better(LORAC_METRIC_MSE, (double)NAN, (double)NAN, 0.0));
    assert_true(lorac_metric_better(LORAC_METRIC_MSE, 0.5, 0.6, 0.0));
    assert_string_equal(lorac_metric_name(LORAC_METRIC_EXACT_MATCH), "exact_match");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_have_scikit_learns_scores),
        cmocka_unit_test(several_labels_a_row_have_them_too),
        cmocka_unit_test(scores_have_an_auc),
        cmocka_unit_test(numbers_have_their_fit),
        cmocka_unit_test(tags_have_seqevals_entities),
        cmocka_unit_test(other_tags_have_no_entities),
        cmocka_unit_test(metrics_compare_in_their_direction),
        cmocka_unit_test(want_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
