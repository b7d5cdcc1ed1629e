/* board_rows.c - see board_rows.h. */
#include "recipes/report/board_rows.h"

#include "base/core/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void lorac_board_answers_free(struct lorac_board_answers *a)
{
    for (size_t i = 0; i < a->n_samples; i++) {
        lorac_board_sample_free(a->sample[i]);
    }
    lorac_mem_free(a->sample);
    lorac_mem_free(a->at);
    *a = (struct lorac_board_answers){0};
}

static bool is_loss(enum lorac_metric metric)
{
    return metric == LORAC_METRIC_LOSS || metric == LORAC_METRIC_PERPLEXITY;
}

bool lorac_board_is_mean(const struct lorac_record *r, enum lorac_metric metric)
{
    bool words = lorac_objectives[r->recipe->objective.kind].target == LORAC_TARGET_TAGS;
    return is_loss(metric) || metric == LORAC_METRIC_EXACT_MATCH ||
           (metric == LORAC_METRIC_ACCURACY && !words);
}

/* Were the answers kept that it is the mean of? */
static bool has(const struct lorac_predictions *p, enum lorac_metric metric)
{
    if (is_loss(metric)) { return true; }
    return metric == LORAC_METRIC_EXACT_MATCH ? p->matches : p->compares;
}

/* ---- intervals ---- */

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

/* Of one run, whose metric is a mean; p NULL: no predictions were kept. */
static enum lorac_status interval_of(struct lorac_interval *out, const struct lorac_record *r,
                                     const struct lorac_predictions *p, enum lorac_metric metric,
                                     struct lorac_err *err)
{
    if (!is_loss(metric)) {
        *out = lorac_wilson(lorac_scores_get(&r->best, metric), r->best.rows);
        return LORAC_OK;
    }
    if (!p) { return LORAC_OK; }
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

/* The run's sample behind those of the others, and its interval; none where nobody knows. */
static enum lorac_status add_sample(struct lorac_board_answers *a, struct lorac_interval *interval,
                                    const struct lorac_record *r, const struct lorac_predictions *p,
                                    enum lorac_metric metric, struct lorac_err *err)
{
    struct lorac_board_sample *s = NULL;
    if (!p) { return LORAC_OK; }
    struct lorac_board_sample **all =
        lorac_mem_grow(a->sample, a->n_samples, &a->cap_samples, a->n_samples + 1, sizeof(void *));
    if (!all) { return lorac_fail(err, LORAC_ENOMEM, "no memory to compare runs"); }
    a->sample = all;
    enum lorac_status st = lorac_board_sample_new(&s, r, p, metric, err);
    if (st || !s) { return st; }
    all[a->n_samples++] = s;
    return lorac_board_sample_interval(interval, s, err);
}

/* What run r has answered goes to the others'. */
static enum lorac_status read_run(bool *known, struct lorac_interval *interval,
                                  struct lorac_board_answers *out, const struct lorac_record *r,
                                  enum lorac_metric metric, struct lorac_err *err)
{
    struct lorac_predictions *p = NULL;
    size_t before = out->n_samples;
    enum lorac_status st = LORAC_OK;
    *interval = (struct lorac_interval){(double)NAN, (double)NAN};
    if (kept(r)) { st = lorac_record_predictions(&p, r, r->best_step, err); }
    if (!st && lorac_board_is_mean(r, metric)) {
        st = interval_of(interval, r, p, metric, err);
        *known = p && has(p, metric);
        if (!st && *known) { st = add_answers(out, p, metric, err); }
    } else if (!st) {
        st = add_sample(out, interval, r, p, metric, err);
        *known = out->n_samples > before;
    }
    lorac_predictions_free(p);
    return st;
}

/* Nothing is known of the row's answers together where that is so of one of its runs. */
static void forget(struct lorac_board_answers *a)
{
    a->n = 0;
    while (a->n_samples) {
        lorac_board_sample_free(a->sample[--a->n_samples]);
    }
}

enum lorac_status lorac_board_read(struct lorac_board_answers *out, struct lorac_board_row *row,
                                   enum lorac_metric metric, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    bool all = true;
    row->interval = (struct lorac_interval){0.0, 0.0};
    for (size_t i = 0; i < row->n && !st; i++) {
        struct lorac_interval own;
        bool known = false;
        st = read_run(&known, &own, out, row->runs[i], metric, err);
        row->interval.low += own.low / (double)row->n;
        row->interval.high += own.high / (double)row->n;
        all = all && known;
    }
    if (!all || (out->n && out->n_samples)) { forget(out); }
    join(out, metric);
    return st;
}

/* ---- two rows of the board ---- */

/* Are they of the same rows of data, and losses in one unit? */
static bool can_differ(const struct lorac_board_row *a, const struct lorac_board_row *b,
                       enum lorac_metric metric)
{
    const struct lorac_record *x = b->runs[0];
    const struct lorac_board_row *both[] = {a, b};
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < both[k]->n; i++) {
            const struct lorac_record *y = both[k]->runs[i];
            bool rows = x->rows_of && y->rows_of && strcmp(x->rows_of, y->rows_of) == 0;
            bool unit = !is_loss(metric) || x->recipe->objective.kind == y->recipe->objective.kind;
            if (!rows || !unit) { return false; }
        }
    }
    return true;
}

/* The variance of a mean over runs. */
static double variance_of(const struct lorac_board_row *row)
{
    return row->n > 1 ? row->deviation * row->deviation / (double)row->n : 0.0;
}

/* Of a metric that is no mean: both are drawn together. */
static enum lorac_status compare_samples(struct lorac_board_row *row,
                                         const struct lorac_board_answers *own,
                                         const struct lorac_board_row *best,
                                         const struct lorac_board_answers *its,
                                         struct lorac_err *err)
{
    struct lorac_difference d;
    size_t n = own->n_samples + its->n_samples;
    struct lorac_board_sample **all = lorac_mem_new(n, sizeof(void *));
    if (!all) { return lorac_fail(err, LORAC_ENOMEM, "no memory to compare runs"); }
    for (size_t i = 0; i < n; i++) {
        bool first = i < own->n_samples;
        all[i] = first ? own->sample[i] : its->sample[i - own->n_samples];
    }
    enum lorac_status st =
        lorac_board_sample_compare(&d, &row->shared, all, own->n_samples, its->n_samples, err);
    if (!st) {
        row->p = lorac_normal_p(d.difference, d.variance + variance_of(row) + variance_of(best));
    }
    lorac_mem_free(all);
    return st;
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
    if (!can_differ(row, best, metric)) { return LORAC_OK; }
    if (own->n_samples && its->n_samples) { return compare_samples(row, own, best, its, err); }
    if (!most) { return LORAC_OK; }
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
