/* board_rows.c - see board_rows.h. */
#include "recipes/report/board_rows.h"

#include "base/core/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void lorac_board_answers_free(struct lorac_board_answers *a)
{
    lorac_mem_free(a->at);
    *a = (struct lorac_board_answers){0};
}

static bool is_loss(enum lorac_metric metric)
{
    return metric == LORAC_METRIC_LOSS || metric == LORAC_METRIC_PERPLEXITY;
}

/* Were the metric's answers kept? */
static bool has(const struct lorac_predictions *p, enum lorac_metric metric)
{
    if (is_loss(metric)) { return true; }
    if (metric == LORAC_METRIC_AUC || metric >= LORAC_METRIC_MSE) { return false; } // of numbers
    return metric == LORAC_METRIC_EXACT_MATCH ? p->matches : p->compares;
}

/* ---- intervals ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static uint32_t index_of(const char *const *labels, size_t K, const char *label)
{
    const char *const *at = bsearch(&label, labels, K, sizeof *labels, by_text);
    return (uint32_t)(at - labels);
}

/* Of macro F1: the labels are those that rows have or were answered with. A row whose answer is
 * none of the recipe's labels has an empty one, which is a label of its own here: it is never
 * answered. */
static enum lorac_status macro_f1(struct lorac_interval *out, const struct lorac_predictions *p,
                                  struct lorac_err *err)
{
    const char **labels = lorac_mem_new(2 * p->n, sizeof *labels);
    uint32_t *index = lorac_mem_new(2 * p->n, sizeof *index);
    enum lorac_status st =
        labels && index ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory for an interval");
    size_t n = 0;
    for (size_t i = 0; i < p->n && !st; i++) {
        labels[n++] = p->at[i].answer;
        if (p->at[i].wanted[0]) { labels[n++] = p->at[i].wanted; }
    }
    size_t K = 0;
    if (n) { qsort(labels, n, sizeof *labels, by_text); }
    for (size_t i = 0; i < n; i++) {
        if (K == 0 || strcmp(labels[K - 1], labels[i]) != 0) { labels[K++] = labels[i]; }
    }
    for (size_t i = 0; i < p->n && !st; i++) {
        const char *wanted = p->at[i].wanted;
        index[i] = wanted[0] ? index_of(labels, K, wanted) : (uint32_t)K;
        index[p->n + i] = index_of(labels, K, p->at[i].answer);
    }
    if (!st) { st = lorac_macro_f1_interval(out, index, index + p->n, p->n, K, err); }
    lorac_mem_free(labels);
    lorac_mem_free(index);
    return st;
}

static enum lorac_status loss_interval(struct lorac_interval *out,
                                       const struct lorac_predictions *p, struct lorac_err *err)
{
    double *value = lorac_mem_new(2 * p->n, sizeof *value);
    if (!value) { return lorac_fail(err, LORAC_ENOMEM, "no memory for an interval"); }
    for (size_t i = 0; i < p->n; i++) {
        value[i] = p->at[i].loss;
        value[p->n + i] = (double)p->at[i].tokens;
    }
    *out = lorac_mean_interval(value, value + p->n, p->n);
    lorac_mem_free(value);
    return LORAC_OK;
}

/* Of one run; p NULL: no predictions were kept. */
static enum lorac_status interval_of(struct lorac_interval *out, const struct lorac_record *r,
                                     const struct lorac_predictions *p, enum lorac_metric metric,
                                     struct lorac_err *err)
{
    *out = (struct lorac_interval){(double)NAN, (double)NAN};
    if (metric == LORAC_METRIC_ACCURACY || metric == LORAC_METRIC_EXACT_MATCH) {
        *out = lorac_wilson(lorac_scores_get(&r->best, metric), r->best.rows);
        return LORAC_OK;
    }
    if (!p || !has(p, metric)) { return LORAC_OK; }
    if (metric == LORAC_METRIC_MACRO_F1) { return macro_f1(out, p, err); }
    if (!is_loss(metric)) { return LORAC_OK; }
    enum lorac_status st = loss_interval(out, p, err);
    if (metric == LORAC_METRIC_PERPLEXITY) {
        *out = (struct lorac_interval){exp(out->low), exp(out->high)};
    }
    return st;
}

/* ---- answers ---- */

static int by_line(const void *a, const void *b)
{
    size_t x = ((const struct lorac_board_answer *)a)->line;
    size_t y = ((const struct lorac_board_answer *)b)->line;
    return (x > y) - (x < y);
}

/* Sums, until all runs have added theirs: value is weight x mean. */
static enum lorac_status add_answers(struct lorac_board_answers *a,
                                     const struct lorac_predictions *p, enum lorac_metric metric,
                                     struct lorac_err *err)
{
    struct lorac_board_answer *all = lorac_mem_grow(a->at, a->n, &a->cap, a->n + p->n, sizeof *all);
    if (!all) { return lorac_fail(err, LORAC_ENOMEM, "no memory to compare runs"); }
    a->at = all;
    for (size_t i = 0; i < p->n; i++) {
        const struct lorac_prediction *x = &p->at[i];
        struct lorac_board_answer *to = &all[a->n++];
        bool right = metric == LORAC_METRIC_EXACT_MATCH ? x->exact : x->right;
        to->line = x->line;
        to->weight = is_loss(metric) ? (double)x->tokens : 1.0;
        to->value = is_loss(metric) ? x->loss * to->weight : (double)right;
    }
    return LORAC_OK;
}

/* One for each line, with its mean. Rows count alike but for losses, where tokens do. */
static void join(struct lorac_board_answers *a, enum lorac_metric metric)
{
    size_t n = 0;
    if (a->n) { qsort(a->at, a->n, sizeof *a->at, by_line); }
    for (size_t i = 0; i < a->n; i++) {
        if (n && a->at[n - 1].line == a->at[i].line) {
            a->at[n - 1].value += a->at[i].value;
            a->at[n - 1].weight += a->at[i].weight;
        } else {
            a->at[n++] = a->at[i];
        }
    }
    a->n = n;
    for (size_t i = 0; i < n; i++) {
        a->at[i].value /= a->at[i].weight;
        if (!is_loss(metric)) { a->at[i].weight = 1.0; }
    }
}

static bool kept(const struct lorac_record *r)
{
    bool there = false;
    for (size_t i = 0; i < r->n_predicted; i++) {
        there = there || r->predicted[i] == r->best_step;
    }
    return there;
}

enum lorac_status lorac_board_read(struct lorac_board_answers *out, struct lorac_board_row *row,
                                   enum lorac_metric metric, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    bool all = true; // runs have predictions of the metric
    row->interval = (struct lorac_interval){0.0, 0.0};
    for (size_t i = 0; i < row->n && !st; i++) {
        struct lorac_predictions *p = NULL;
        struct lorac_interval own;
        const struct lorac_record *r = row->runs[i];
        if (kept(r)) { st = lorac_record_predictions(&p, r, r->best_step, err); }
        if (!st) { st = interval_of(&own, r, p, metric, err); }
        if (!st) {
            row->interval.low += own.low / (double)row->n;
            row->interval.high += own.high / (double)row->n;
        }
        all = all && p && has(p, metric);
        if (!st && all) { st = add_answers(out, p, metric, err); }
        lorac_predictions_free(p);
    }
    if (!all) { out->n = 0; }
    join(out, metric);
    return st;
}

/* ---- two rows of the board ---- */

static bool same_data(const struct lorac_board_row *a, const struct lorac_board_row *b)
{
    const char *rows = b->runs[0]->rows_of;
    const struct lorac_board_row *both[] = {a, b};
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < both[k]->n; i++) {
            const char *its = both[k]->runs[i]->rows_of;
            if (!rows || !its || strcmp(rows, its) != 0) { return false; }
        }
    }
    return true;
}

/* The variance of a mean over runs. */
static double variance_of(const struct lorac_board_row *row)
{
    return row->n > 1 ? row->deviation * row->deviation / (double)row->n : 0.0;
}

enum lorac_status lorac_board_compare(struct lorac_board_row *row,
                                      const struct lorac_board_answers *own,
                                      const struct lorac_board_row *best,
                                      const struct lorac_board_answers *its,
                                      enum lorac_metric metric, struct lorac_err *err)
{
    size_t most = own->n < its->n ? own->n : its->n;
    row->p = (double)NAN;
    row->shared = 0;
    if (!most || !same_data(row, best)) { return LORAC_OK; }
    double *x = lorac_mem_new(4 * most, sizeof *x);
    if (!x) { return lorac_fail(err, LORAC_ENOMEM, "no memory to compare runs"); }
    double *a = x; // (most) each: values and weights of both
    double *wa = x + most;
    double *b = x + 2 * most;
    double *wb = x + 3 * most;
    size_t only[2] = {0, 0}; // right where the other is wrong
    size_t n = 0;
    for (size_t i = 0, k = 0; i < own->n && k < its->n;) {
        const struct lorac_board_answer *u = &own->at[i];
        const struct lorac_board_answer *v = &its->at[k];
        i += u->line <= v->line;
        k += v->line <= u->line;
        if (u->line != v->line) { continue; }
        a[n] = u->value;
        wa[n] = u->weight;
        b[n] = v->value;
        wb[n++] = v->weight;
        only[0] += u->value > v->value;
        only[1] += v->value > u->value;
    }
    row->shared = n;
    if (!is_loss(metric) && row->n == 1 && best->n == 1) {
        row->p = n ? lorac_mcnemar(only[0], only[1]) : (double)NAN;
    } else {
        struct lorac_difference d = lorac_paired(a, wa, b, wb, n);
        double runs =
            metric == LORAC_METRIC_PERPLEXITY // the rows' are of losses: d exp(L) / exp(L)
                ? variance_of(row) / (row->mean * row->mean) +
                      variance_of(best) / (best->mean * best->mean)
                : variance_of(row) + variance_of(best);
        row->p = lorac_normal_p(d.difference, d.variance + runs);
    }
    lorac_mem_free(x);
    return LORAC_OK;
}
