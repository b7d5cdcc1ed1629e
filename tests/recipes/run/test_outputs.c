/*
 * What a head's answers are worth. What is promised:
 *   - every metric of each objective is that of the head's logits, which another way through the
 *     model gives (logits.h), by the functions of metrics.h;
 *   - the threshold decides where there are two labels, or several a row;
 *   - numbers are in the table's unit, beside what their mean would be worth;
 *   - rows, labels and kinds of entities are told as label texts' are;
 *   - a head that nobody trained is refused; want of memory is reported.
 */
#include "base/core/mem.h"
#include "recipes/run/logits.h"
#include "recipes/run/outputs.h"
#include "recipes/run/verdicts.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"

#include "recipes/run/job.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 12, MOST = 8, WORDS = 40 };

static const char two[] =
    "text,y\nso warm,good\nso flat,bad\nodd,bad\nfine it is,good\nmeh,bad\nyes,"
    "good\nno,bad\nab,good\nabab,bad\nlow,good\nhigh,bad\nmid,good\n";
static const char three[] =
    "text,y\nso warm,a\nso flat,b\nodd,c\nfine it is,a\nmeh,b\nyes,c\nno,b\n"
    "ab,b\nabab,a\nlow,c\nhigh,b\nmid,a\n";
static const char several[] =
    "text,y\nso warm,a;b\nso flat,b\nodd,a;b;c\nfine it is,a\nmeh,b;c\nyes,"
    "c\nno,b\nab,b;a\nabab,a\nlow,c\nhigh,b\nmid,a\n";
static const char number[] =
    "text,y\nso warm,3\nso flat,4.5\nodd,-2\nfine it is,7\nmeh,3\nyes,0\nno,"
    "1\nab,2.25\nabab,3\nlow,9\nhigh,10\nmid,3\n";
static const char tags[] =
    "text,y\nso warm,O B-X\nso flat,B-X I-X\nodd,O\nfine it is,B-X B-Y O\nmeh,"
    "O\nyes,B-Y\nno,O\nab,O\nabab ab,B-Y I-Y\nlow,B-X\nhigh,O\nmid,O\n";
static const char words[] =
    "text,y\nso warm,ADV ADJ\nso flat,ADV ADJ\nodd,ADJ\nfine it is,ADJ PRO "
    "VERB\nmeh,ADV\nyes,ADV\nno,ADV\nab,ADJ\nabab ab,ADJ ADV\nlow,ADJ\nhigh,"
    "ADJ\nmid,ADJ\n";

struct subject {
    struct lorac_recipe *r;
    struct lorac_job *j;
    struct lorac_adapter *a; // a fresh one: its head is drawn
    struct lorac_stack stack;
    struct lorac_socket socket;
};

static void open_subject(struct subject *s, const char *table, const char *objective,
                         const char *more)
{
    char yaml[700];
    struct lorac_err err = {0};
    *s = (struct subject){0};
    tiny_text("rows.csv", table);
    (void)snprintf(yaml, sizeof yaml,
                   "recipe: 1\nmodel: {path: model, max_length: 40}\nadapter: {rank: 2, alpha: 4}\n"
                   "data: {train: rows.csv, valid: rows.csv, labels: y}\n"
                   "template: {prompt: '{text}'}\nobjective: %s\n%s",
                   objective, more);
    if (lorac_recipe_parse(&s->r, yaml, strlen(yaml), "r.yaml", tiny_dir(), NULL, 0, NULL, &err) ||
        lorac_job_open(&s->j, s->r, LORAC_JOB_TRAIN, &err) ||
        lorac_job_adapter(&s->a, s->j, &err)) {
        fail_msg("%s", err.text);
    }
    s->stack = (struct lorac_stack){.n = 1, .adapter = {s->a}, .factor = {1.0F}};
    s->socket = lorac_stack_socket(&s->stack);
}

static void close_subject(struct subject *s)
{
    lorac_adapter_free(s->a);
    lorac_job_close(s->j);
    lorac_recipe_free(s->r);
}

static unsigned all_metrics(const struct subject *s)
{
    return lorac_dataset_objective(s->j->valid.set)->metrics;
}

static struct lorac_scores evaluate(struct subject *s, unsigned metrics, struct lorac_verdicts *v,
                                    struct lorac_predictions *p)
{
    struct lorac_evaluator *e = NULL;
    struct lorac_scores scores;
    struct lorac_err err = {0};
    struct lorac_evaluator_options o =
        lorac_job_evaluation(s->j, s->j->valid.set, metrics, &s->socket);
    o.verdicts = v;
    o.predictions = p;
    if (lorac_evaluator_new(&e, &o, &err) || lorac_evaluate(&scores, e, NULL, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    if (v && v->K) { // the names of entities go with the evaluator
        for (size_t k = 0; k < v->K; k++) {
            assert_true(v->names[k][0] != '\0');
        }
    }
    lorac_evaluator_free(e);
    return scores;
}

/* ---- the other way ---- */

/* What logits.h gives of all rows, and what they should be. */
struct seen {
    size_t K, n, words;
    float z[ROWS * MOST]; // of words (words,K) one behind the other
    size_t truth[WORDS];
    bool has[ROWS][MOST];
    double number[ROWS];
    size_t first[ROWS + 1];
};

static bool see(void *self, size_t example, const struct lorac_example *e, const float *z,
                size_t rows)
{
    struct seen *s = self;
    assert_int_equal(example, s->n);
    for (size_t r = 0; r < rows; r++, s->words++) {
        assert_true((s->words + 1) * s->K <= ROWS * MOST);
        memcpy(s->z + s->words * s->K, z + r * s->K, s->K * sizeof *z);
    }
    for (size_t i = 0, w = s->first[s->n]; i < e->labels.n; i++) {
        if (e->labels.at[i] < 0) { continue; }
        s->has[s->n][e->labels.at[i]] = true;
        if (w < WORDS) { s->truth[w++] = (size_t)e->labels.at[i]; }
    }
    s->number[s->n] = e->number;
    s->first[++s->n] = s->words;
    return true;
}

static void look(struct seen *out, const struct subject *s)
{
    struct lorac_logits *l = NULL;
    struct lorac_err err = {0};
    *out = (struct seen){.K = s->j->K ? s->j->K : 1};
    if (lorac_logits_new(&l, s->j->model, &s->socket, 40, &err) ||
        lorac_logits_all(l, s->j->valid.set, 0, lorac_dataset_size(s->j->valid.set), see, out,
                         &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(out->n, ROWS);
    lorac_logits_free(l);
}

static void same(double got, double want)
{
    bool good = isnan(want) ? isnan(got) : fabs(got - want) <= 1e-6 + 1e-6 * fabs(want);
    if (!good) { fail_msg("%.12g, %.12g", got, want); }
}

/* ---- */

static void one_label_is_measured(void **state)
{
    (void)state;
    const char *const tables[] = {two, three};
    for (size_t t = 0; t < 2; t++) {
        struct subject s;
        struct seen x;
        struct lorac_label_score c[MOST] = {{0}};
        struct lorac_verdicts v = {0};
        double p[MOST];
        double score[MOST][ROWS];
        double loss = 0.0;
        open_subject(&s, tables[t], "classify", "");
        size_t K = s.j->K;
        struct lorac_scores got = evaluate(&s, all_metrics(&s), &v, NULL);
        look(&x, &s);
        assert_int_equal(v.n, ROWS);
        for (size_t i = 0; i < ROWS; i++) {
            size_t best = 0;
            double sum = 0.0;
            for (size_t k = 0; k < K; k++) {
                p[k] = exp((double)x.z[i * K + k]);
                sum += p[k];
            }
            for (size_t k = 0; k < K; k++) {
                score[k][i] = p[k] / sum;
                if (p[k] > p[best]) { best = k; }
            }
            loss -= log(p[x.truth[i]] / sum);
            lorac_label_count(c, K, x.truth[i], best);
            assert_true(v.at[i].truth == x.truth[i] && v.at[i].answer == best);
            same(v.at[i].probability, score[best][i]);
            same(v.at[i].own_probability, score[x.truth[i]][i]);
        }
        lorac_label_ratios(c, K);
        struct lorac_label_means m = lorac_label_means(c, K, ROWS);
        same(got.loss, loss / ROWS);
        assert_true(isnan(got.perplexity) && got.compared == ROWS);
        same(got.accuracy, (double)m.right / ROWS);
        same(got.macro_f1, m.macro_f1);
        same(got.micro_f1, got.accuracy);
        same(got.weighted_f1, m.weighted_f1);
        same(got.matthews, m.matthews);
        same(got.precision, K == 2 ? c[1].precision : m.macro_precision);
        same(got.recall, K == 2 ? c[1].recall : m.macro_recall);
        double auc = 0.0;
        for (size_t k = K == 2; k < K; k++) {
            bool has[ROWS];
            double one = 0.0;
            for (size_t i = 0; i < ROWS; i++) {
                has[i] = x.truth[i] == k;
            }
            assert_int_equal(lorac_auc(&one, score[k], has, ROWS, NULL), LORAC_OK);
            auc += one / (K == 2 ? 1.0 : (double)K);
        }
        same(got.auc, auc);
        assert_int_equal(got.auc_labels, K == 2 ? 1 : K);
        lorac_verdicts_free(&v);
        close_subject(&s);
    }
}

static void a_threshold_decides(void **state)
{
    (void)state;
    struct subject s;
    struct seen x;
    open_subject(&s, two, "classify", "eval: {threshold: 0.0}\n");
    struct lorac_scores got = evaluate(&s, all_metrics(&s), NULL, NULL);
    assert_true(got.recall == 1.0 && got.precision == 0.5); // every answer is the second
    close_subject(&s);
    open_subject(&s, several, "multilabel", "eval: {threshold: 0.0}\n");
    got = evaluate(&s, all_metrics(&s), NULL, NULL);
    look(&x, &s);
    size_t all = 0;
    for (size_t i = 0; i < ROWS * 3; i++) {
        all += x.has[i / 3][i % 3];
    }
    same(got.recall, 1.0);
    same(got.precision, (double)all / (ROWS * 3));
    same(got.accuracy, 1.0 / ROWS); // the row with all three
    close_subject(&s);
}

static void several_labels_are_measured(void **state)
{
    (void)state;
    struct subject s;
    struct seen x;
    struct lorac_label_score c[MOST] = {{0}};
    struct lorac_label_score told[MOST];
    struct lorac_verdicts v = {0};
    struct lorac_predictions p = {0};
    double auc = 0.0;
    size_t exact = 0;
    open_subject(&s, several, "multilabel", "");
    size_t K = s.j->K;
    assert_int_equal(K, 3);
    struct lorac_scores got = evaluate(&s, all_metrics(&s), &v, &p);
    look(&x, &s);
    for (size_t i = 0; i < ROWS; i++) {
        bool right = true;
        for (size_t k = 0; k < K; k++) {
            bool given = x.z[i * K + k] > 0.0F;
            lorac_label_count(c, K, x.has[i][k] ? k : K, given ? k : K);
            right = right && given == x.has[i][k];
        }
        exact += right;
        assert_int_equal(p.at[i].right, right);
    }
    assert_string_equal(p.at[2].wanted, "a; b; c");
    assert_true(p.compares && p.n == ROWS);
    lorac_label_ratios(c, K);
    struct lorac_label_means m = lorac_label_means(c, K, ROWS);
    same(got.accuracy, (double)exact / ROWS);
    same(got.macro_f1, m.macro_f1);
    same(got.micro_f1, m.micro_f1);
    same(got.weighted_f1, m.weighted_f1);
    same(got.precision, m.micro_precision);
    same(got.recall, m.micro_recall);
    assert_true(isnan(got.matthews) && !got.has_accuracy);
    for (size_t k = 0; k < K; k++) {
        bool has[ROWS];
        double score[ROWS];
        double one = 0.0;
        for (size_t i = 0; i < ROWS; i++) {
            has[i] = x.has[i][k];
            score[i] = (double)x.z[i * K + k];
        }
        assert_int_equal(lorac_auc(&one, score, has, ROWS, NULL), LORAC_OK);
        auc += one / (double)K;
    }
    same(got.auc, auc);
    assert_int_equal(v.K, K);
    lorac_verdicts_labels(told, &v);
    for (size_t k = 0; k < K; k++) {
        assert_true(told[k].support == c[k].support && told[k].answered == c[k].answered);
        same(told[k].f1, c[k].f1);
    }
    lorac_verdicts_free(&v);
    lorac_predictions_release(&p);
    close_subject(&s);
}

static void numbers_are_in_the_tables_unit(void **state)
{
    (void)state;
    struct subject s;
    struct seen x;
    struct lorac_fit fit;
    struct lorac_verdicts v = {0};
    double given[ROWS];
    double mean = 0.0;
    double spread = 0.0;
    open_subject(&s, number, "regress", "");
    struct lorac_scores got = evaluate(&s, all_metrics(&s), &v, NULL);
    look(&x, &s);
    for (size_t i = 0; i < ROWS; i++) {
        mean += x.number[i] / ROWS;
    }
    for (size_t i = 0; i < ROWS; i++) {
        spread += (x.number[i] - mean) * (x.number[i] - mean) / ROWS;
    }
    for (size_t i = 0; i < ROWS; i++) {
        given[i] = s.j->frame.mean + s.j->frame.deviation * (double)x.z[i];
    }
    assert_int_equal(lorac_fit(&fit, given, x.number, ROWS, NULL), LORAC_OK);
    same(got.mse, fit.mse);
    same(got.pearson, fit.pearson);
    same(got.spearman, fit.spearman);
    same(got.r2, fit.r2);
    same(got.mean_mse, spread);
    same(got.loss * spread, fit.mse); // squares of deviations
    assert_true(v.K == 0 && v.n == 0);
    lorac_verdicts_free(&v);
    close_subject(&s);
}

static void tags_are_measured_by_words_and_entities(void **state)
{
    (void)state;
    const char *const tables[] = {tags, words};
    for (size_t t = 0; t < 2; t++) {
        struct subject s;
        struct seen x;
        struct lorac_label_score c[MOST] = {{0}};
        struct lorac_label_score e[MOST] = {{0}};
        struct lorac_tag tag[MOST];
        const char *name[MOST];
        struct lorac_verdicts v = {0};
        open_subject(&s, tables[t], "tag", "");
        size_t K = s.j->K;
        struct lorac_scores got = evaluate(&s, all_metrics(&s), &v, NULL);
        look(&x, &s);
        size_t types = lorac_tags_read(tag, name, (const char *const *)s.j->labels, K);
        assert_int_equal(types, t == 0 ? 2 : 0);
        for (size_t i = 0; i < ROWS; i++) {
            uint32_t want[WORDS];
            uint32_t answer[WORDS];
            size_t n = x.first[i + 1] - x.first[i];
            for (size_t w = 0; w < n; w++) {
                const float *z = x.z + (x.first[i] + w) * K;
                size_t best = 0;
                for (size_t k = 1; k < K; k++) {
                    if (z[k] > z[best]) { best = k; }
                }
                want[w] = (uint32_t)x.truth[x.first[i] + w];
                answer[w] = (uint32_t)best;
                lorac_label_count(c, K, want[w], best);
            }
            if (types) { lorac_entities_count(e, tag, want, answer, n); }
        }
        struct lorac_label_means m = lorac_label_means(c, K, x.words);
        struct lorac_label_means of = lorac_label_means(e, types, x.words);
        same(got.accuracy, (double)m.right / (double)x.words);
        same(got.macro_f1, m.macro_f1);
        same(got.matthews, m.matthews);
        same(got.entity_f1, types ? of.micro_f1 : (double)NAN);
        same(got.precision, types ? of.micro_precision : (double)NAN);
        assert_true(got.compared == x.words && got.rows == ROWS && v.K == (types ? types : K));
        lorac_verdicts_free(&v);
        close_subject(&s);
    }
}

static void a_head_that_nobody_trained_is_refused(void **state)
{
    (void)state;
    struct subject s;
    struct lorac_evaluator *e = NULL;
    struct lorac_err err = {0};
    open_subject(&s, three, "classify", "");
    assert_int_equal(lorac_job_evaluator(&e, s.j, s.j->valid.set, all_metrics(&s), NULL, &err),
                     LORAC_EUSER);
    assert_non_null(
        strstr(err.text, "has no module 'score' of the head, and no adapter brings it"));
    assert_null(e);
    close_subject(&s);
}

static void want_of_memory_is_reported(void **state)
{
    (void)state;
    struct subject s;
    open_subject(&s, several, "multilabel", "");
    long n = 0;
    for (bool met = true; met; n++) {
        struct lorac_evaluator *e = NULL;
        struct lorac_scores scores;
        struct lorac_err err = {0};
        struct lorac_verdicts v = {0};
        struct lorac_predictions p = {0};
        struct lorac_evaluator_options o =
            lorac_job_evaluation(s.j, s.j->valid.set, all_metrics(&s), &s.socket);
        o.verdicts = &v;
        o.predictions = &p;
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_evaluator_new(&e, &o, &err);
        if (!st) { st = lorac_evaluate(&scores, e, NULL, NULL, &err); }
        met = faults_stop();
        assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
        lorac_evaluator_free(e);
        lorac_verdicts_free(&v);
        lorac_predictions_release(&p);
    }
    assert_true(n > 20);
    close_subject(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_label_is_measured),
        cmocka_unit_test(a_threshold_decides),
        cmocka_unit_test(several_labels_are_measured),
        cmocka_unit_test(numbers_are_in_the_tables_unit),
        cmocka_unit_test(tags_are_measured_by_words_and_entities),
        cmocka_unit_test(a_head_that_nobody_trained_is_refused),
        cmocka_unit_test(want_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, tiny_model, tiny_remove);
}
