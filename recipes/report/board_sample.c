/* board_sample.c - see board_sample.h. */
#include "recipes/report/board_sample.h"

#include "base/core/arena.h"
#include "base/core/mem.h"
#include "base/core/number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a row adds to the counts of label k, or of the entities of kind k. */
struct event {
    uint32_t k, support, answered, right;
};

struct lorac_board_sample {
    enum lorac_metric metric;
    enum lorac_target target;
    size_t positive;                  // the label that precision and recall are of; SIZE_MAX: all
    size_t n;                         // rows
    size_t *line;                     // (n) ascending
    struct event *event;              // of row i: begin[i] .. begin[i + 1] - 1
    size_t *begin;                    // (n + 1)
    size_t n_events, cap;             //
    struct lorac_label_score *counts; // (K)
    size_t K;                         // labels, or kinds of entities
    double *number[2];                // (n) given, wanted
    double *rank[2];                  // (n) theirs,
    size_t *order[2];                 // (n) and the rows by them: of Spearman
    uint32_t *times;                  // (n) how often each was drawn
};

static enum lorac_status no_memory(struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "no memory for an interval");
}

void lorac_board_sample_free(struct lorac_board_sample *s)
{
    if (!s) { return; }
    for (size_t k = 0; k < 2; k++) {
        lorac_mem_free(s->number[k]);
        lorac_mem_free(s->rank[k]);
        lorac_mem_free(s->order[k]);
    }
    lorac_mem_free(s->line);
    lorac_mem_free(s->event);
    lorac_mem_free(s->begin);
    lorac_mem_free(s->counts);
    lorac_mem_free(s->times);
    lorac_mem_free(s);
}

/* ---- the metric of rows that were drawn ---- */

/* Has a row any number of answers, which precision and recall count together? */
static bool has_several(enum lorac_target target)
{
    return target == LORAC_TARGET_LABELS || target == LORAC_TARGET_TAGS;
}

static double of_labels(const struct lorac_board_sample *s)
{
    size_t rows = 0; // or words
    memset(s->counts, 0, s->K * sizeof *s->counts);
    for (size_t i = 0; i < s->n; i++) {
        size_t times = s->times[i];
        if (s->target != LORAC_TARGET_TAGS) { rows += times; }
        for (size_t x = s->begin[i]; x < s->begin[i + 1]; x++) {
            struct lorac_label_score *c = &s->counts[s->event[x].k];
            c->support += times * s->event[x].support;
            c->answered += times * s->event[x].answered;
            c->right += times * s->event[x].right;
            if (s->target == LORAC_TARGET_TAGS) { rows += times * s->event[x].support; }
        }
    }
    struct lorac_label_means m = lorac_label_means(s->counts, s->K, rows);
    struct lorac_scores told = {.accuracy = (double)m.right / (double)rows,
                                .macro_f1 = m.macro_f1,
                                .micro_f1 = m.micro_f1,
                                .weighted_f1 = m.weighted_f1,
                                .matthews = m.matthews,
                                .precision = m.macro_precision,
                                .recall = m.macro_recall,
                                .entity_f1 = m.micro_f1};
    if (has_several(s->target)) {
        told.precision = m.micro_precision;
        told.recall = m.micro_recall;
    } else if (s->positive < s->K) {
        struct lorac_label_score *one = &s->counts[s->positive];
        lorac_label_ratios(one, 1);
        told.precision = one->precision;
        told.recall = one->recall;
    }
    return lorac_scores_get(&told, s->metric);
}

/* s->rank[k]: equal numbers share the mean of their ranks. */
static void find_ranks(const struct lorac_board_sample *s, size_t k)
{
    const double *x = s->number[k];
    const size_t *order = s->order[k];
    double before = 0.0;
    for (size_t i = 0, end = 0; i < s->n; i = end) {
        double equal = 0.0;
        for (end = i; end < s->n && !(x[order[end]] > x[order[i]]); end++) {
            equal += s->times[order[end]];
        }
        for (size_t j = i; j < end; j++) {
            s->rank[k][order[j]] = before + (equal + 1.0) / 2.0;
        }
        before += equal;
    }
}

static double of_numbers(const struct lorac_board_sample *s)
{
    const bool ranks = s->metric == LORAC_METRIC_SPEARMAN;
    const double *x = ranks ? s->rank[0] : s->number[0];
    const double *y = ranks ? s->rank[1] : s->number[1];
    double n = 0.0;
    double mx = 0.0;
    double my = 0.0;
    double xx = 0.0;
    double yy = 0.0;
    double xy = 0.0;
    double missed = 0.0;
    for (size_t k = 0; ranks && k < 2; k++) {
        find_ranks(s, k);
    }
    for (size_t i = 0; i < s->n; i++) {
        n += s->times[i];
        mx += s->times[i] * x[i];
        my += s->times[i] * y[i];
    }
    mx /= n;
    my /= n;
    for (size_t i = 0; i < s->n; i++) {
        xx += s->times[i] * (x[i] - mx) * (x[i] - mx);
        yy += s->times[i] * (y[i] - my) * (y[i] - my);
        xy += s->times[i] * (x[i] - mx) * (y[i] - my);
        missed += s->times[i] * (x[i] - y[i]) * (x[i] - y[i]);
    }
    if (s->metric == LORAC_METRIC_MSE) { return missed / n; }
    if (s->metric == LORAC_METRIC_R2) { return yy > 0.0 ? 1.0 - missed / yy : (double)NAN; }
    return xx > 0.0 && yy > 0.0 ? xy / sqrt(xx * yy) : (double)NAN;
}

static double measure(const struct lorac_board_sample *s)
{
    return s->target == LORAC_TARGET_NUMBER ? of_numbers(s) : of_labels(s);
}

static double drawn(void *self, const uint32_t *times)
{
    struct lorac_board_sample *s = self;
    memcpy(s->times, times, s->n * sizeof *times);
    return measure(s);
}

/* ---- from predictions ---- */

/* Labels of one text. */
struct parts {
    uint32_t *at; // (n)
    size_t n, cap;
};

/* A sample of labels being made. */
struct making {
    struct lorac_board_sample *s;
    const struct lorac_predictions *p;
    const char **name; // (K) sorted, each once; the arena's, as all
    size_t K;
    const char *between;
    struct parts wanted, answer;
    struct lorac_tag *tag;            // (K) of entities
    struct lorac_label_score *entity; // (K) of one row
    struct lorac_err *err;
};

static enum lorac_status read_parts(struct parts *out, const struct making *m, const char *text)
{
    const char *part = NULL;
    size_t length = 0;
    out->n = 0;
    while (lorac_prediction_part(&part, &length, &text, m->between)) {
        uint32_t *all = lorac_mem_grow(out->at, out->n, &out->cap, out->n + 1, sizeof *all);
        if (!all) { return no_memory(m->err); }
        out->at = all;
        all[out->n++] =
            (uint32_t)lorac_predictions_find((const char *const *)m->name, m->K, part, length);
    }
    return LORAC_OK;
}

static enum lorac_status add_event(struct making *m, struct event e)
{
    struct lorac_board_sample *s = m->s;
    struct event *all =
        lorac_mem_grow(s->event, s->n_events, &s->cap, s->n_events + 1, sizeof *all);
    if (!all) { return no_memory(m->err); }
    s->event = all;
    all[s->n_events++] = e;
    return LORAC_OK;
}

static bool holds(const struct parts *p, uint32_t k)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->at[i] == k) { return true; }
    }
    return false;
}

static enum lorac_status add_entities(struct making *m)
{
    enum lorac_status st = LORAC_OK;
    lorac_entities_count(m->entity, m->tag, m->wanted.at, m->answer.at, m->wanted.n);
    for (size_t k = 0; k < m->s->K && !st; k++) {
        struct lorac_label_score *c = &m->entity[k];
        struct event e = {(uint32_t)k, (uint32_t)c->support, (uint32_t)c->answered,
                          (uint32_t)c->right};
        if (e.support || e.answered) { st = add_event(m, e); }
        *c = (struct lorac_label_score){0};
    }
    return st;
}

/* What the row in m->wanted and m->answer adds. *known false: nobody knows. */
static enum lorac_status add_row(bool *known, struct making *m)
{
    const struct parts *w = &m->wanted;
    const struct parts *a = &m->answer;
    enum lorac_status st = LORAC_OK;
    if (m->s->target == LORAC_TARGET_LABELS) {
        for (size_t i = 0; i < w->n && !st; i++) {
            st = add_event(m, (struct event){w->at[i], 1, 0, holds(a, w->at[i])});
        }
        for (size_t i = 0; i < a->n && !st; i++) {
            st = add_event(m, (struct event){a->at[i], 0, 1, 0});
        }
        return st;
    }
    *known = m->s->target == LORAC_TARGET_TAGS ? w->n == a->n : w->n < 2 && a->n == 1;
    if (!*known) { return LORAC_OK; }
    if (m->tag) { return add_entities(m); }
    for (size_t i = 0; i < a->n && !st; i++) {
        bool has = i < w->n; // else its label is none of those that there are
        bool right = has && w->at[i] == a->at[i];
        if (has) { st = add_event(m, (struct event){w->at[i], 1, 0, right}); }
        if (!st) { st = add_event(m, (struct event){a->at[i], 0, 1, 0}); }
    }
    return st;
}

/* Of tags, precision and recall are those of entities. */
static enum lorac_status find_entities(bool *known, struct making *m)
{
    enum lorac_metric metric = m->s->metric;
    const char **kind = NULL;
    if (m->s->target != LORAC_TARGET_TAGS ||
        (metric != LORAC_METRIC_ENTITY_F1 && metric != LORAC_METRIC_PRECISION &&
         metric != LORAC_METRIC_RECALL)) {
        return LORAC_OK;
    }
    m->tag = lorac_arena_take(m->p->arena, m->K, sizeof *m->tag);
    kind = lorac_arena_take(m->p->arena, m->K, sizeof *kind);
    m->entity = lorac_arena_take(m->p->arena, m->K, sizeof *m->entity);
    if (!m->tag || !kind || !m->entity) { return no_memory(m->err); }
    m->s->K = lorac_tags_read(m->tag, kind, (const char *const *)m->name, m->K);
    *known = m->s->K > 0;
    return LORAC_OK;
}

static enum lorac_status read_labels(bool *known, struct lorac_board_sample *s,
                                     const struct lorac_predictions *p, struct lorac_err *err)
{
    struct making m = {.s = s, .p = p, .between = lorac_predictions_between(s->target), .err = err};
    enum lorac_status st = lorac_predictions_labels(&m.name, &m.K, p, m.between, err);
    s->K = m.K;
    s->begin = lorac_mem_new(s->n + 1, sizeof *s->begin);
    s->counts = lorac_mem_new(m.K + 1, sizeof *s->counts);
    if (!st && (!s->begin || !s->counts)) { st = no_memory(err); }
    if (!st) { st = find_entities(known, &m); }
    for (size_t i = 0; i < s->n && !st && *known; i++) {
        st = read_parts(&m.wanted, &m, p->at[i].wanted);
        if (!st) { st = read_parts(&m.answer, &m, p->at[i].answer); }
        if (!st) { st = add_row(known, &m); }
        s->begin[i + 1] = s->n_events;
    }
    lorac_mem_free(m.name);
    lorac_mem_free(m.wanted.at);
    lorac_mem_free(m.answer.at);
    return st;
}

/* A number and its row. */
struct placed {
    double x;
    size_t i;
};

static int by_number(const void *a, const void *b)
{
    double x = ((const struct placed *)a)->x;
    double y = ((const struct placed *)b)->x;
    return (x > y) - (x < y);
}

static enum lorac_status read_numbers(bool *known, struct lorac_board_sample *s,
                                      const struct lorac_predictions *p, struct lorac_err *err)
{
    struct placed *all = lorac_mem_new(s->n + 1, sizeof *all);
    enum lorac_status st = all ? LORAC_OK : no_memory(err);
    for (size_t k = 0; k < 2 && !st; k++) {
        s->number[k] = lorac_mem_new(s->n + 1, sizeof *s->number[k]);
        s->rank[k] = lorac_mem_new(s->n + 1, sizeof *s->rank[k]);
        s->order[k] = lorac_mem_new(s->n + 1, sizeof *s->order[k]);
        if (!s->number[k] || !s->rank[k] || !s->order[k]) { st = no_memory(err); }
        for (size_t i = 0; i < s->n && !st; i++) {
            const char *text = k ? p->at[i].wanted : p->at[i].answer;
            *known = *known && lorac_number_parse(&s->number[k][i], text) == LORAC_NUMBER_OK;
            all[i] = (struct placed){s->number[k][i], i};
        }
        if (!st && s->n) { qsort(all, s->n, sizeof *all, by_number); }
        for (size_t i = 0; i < s->n && !st; i++) {
            s->order[k][i] = all[i].i;
        }
    }
    lorac_mem_free(all);
    return st;
}

/* Do all rows, each once, come to what the run has told? Numbers are kept to seven digits. */
static bool comes_to(struct lorac_board_sample *s, double told)
{
    double slack = s->target == LORAC_TARGET_NUMBER ? 1e-4 * fmax(1.0, fabs(told)) : 1e-6;
    for (size_t i = 0; i < s->n; i++) {
        s->times[i] = 1;
    }
    return fabs(measure(s) - told) <= slack;
}

/* Of two labels precision and recall are those of the second, which one of them is. */
static bool settle(struct lorac_board_sample *s, double told)
{
    bool one = s->K <= 2 && !has_several(s->target) &&
               (s->metric == LORAC_METRIC_PRECISION || s->metric == LORAC_METRIC_RECALL);
    for (size_t k = one ? s->K : 0; k-- > 0;) {
        s->positive = k;
        if (comes_to(s, told)) { return true; }
    }
    s->positive = SIZE_MAX;
    return comes_to(s, told);
}

static enum lorac_status fill(bool *known, struct lorac_board_sample *s,
                              const struct lorac_record *r, const struct lorac_predictions *p,
                              struct lorac_err *err)
{
    s->line = lorac_mem_new(s->n + 1, sizeof *s->line);
    s->times = lorac_mem_new(s->n + 1, sizeof *s->times);
    if (!s->line || !s->times) { return no_memory(err); }
    for (size_t i = 0; i < s->n; i++) {
        s->line[i] = p->at[i].line;
    }
    enum lorac_status st = s->target == LORAC_TARGET_NUMBER ? read_numbers(known, s, p, err)
                                                            : read_labels(known, s, p, err);
    if (!st && *known) { *known = settle(s, lorac_scores_get(&r->best, s->metric)); }
    return st;
}

enum lorac_status lorac_board_sample_new(struct lorac_board_sample **out,
                                         const struct lorac_record *r,
                                         const struct lorac_predictions *p,
                                         enum lorac_metric metric, struct lorac_err *err)
{
    const enum lorac_target target = lorac_objectives[r->recipe->objective.kind].target;
    bool known = target == LORAC_TARGET_NUMBER || p->compares;
    *out = NULL;
    if (metric == LORAC_METRIC_AUC || !known) { return LORAC_OK; }
    struct lorac_board_sample *s = lorac_mem_new(1, sizeof *s);
    if (!s) { return no_memory(err); }
    *s = (struct lorac_board_sample){
        .metric = metric, .target = target, .positive = SIZE_MAX, .n = p->n};
    enum lorac_status st = fill(&known, s, r, p, err);
    if (st || !known) {
        lorac_board_sample_free(s);
        s = NULL;
    }
    *out = s;
    return st;
}

/* ---- what draws say ---- */

enum lorac_status lorac_board_sample_interval(struct lorac_interval *out,
                                              struct lorac_board_sample *s, struct lorac_err *err)
{
    double *value = lorac_mem_new(LORAC_RESAMPLES, sizeof *value);
    if (!value) { return no_memory(err); }
    enum lorac_status st = lorac_bootstrap(value, s->n, drawn, s, err);
    if (!st) { *out = lorac_bootstrap_interval(value); }
    lorac_mem_free(value);
    return st;
}

/* Samples that are compared, on the rows that all of them have. */
struct pair {
    struct lorac_board_sample *const *sample; // (a + b) of both sides
    size_t a, b;
    size_t n;   // shared
    size_t *at; // (a + b,most) of each, which row is the i-th of them
    size_t most;
};

static size_t row_at(const struct lorac_board_sample *s, size_t line)
{
    size_t low = 0;
    size_t high = s->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->line[middle] < line) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < s->n && s->line[low] == line ? low : s->n;
}

static void find_shared(struct pair *p)
{
    for (size_t i = 0; i < p->sample[0]->n; i++) {
        bool all = true;
        for (size_t k = 0; k < p->a + p->b && all; k++) {
            size_t row = row_at(p->sample[k], p->sample[0]->line[i]);
            p->at[k * p->most + p->n] = row;
            all = row < p->sample[k]->n;
        }
        p->n += all;
    }
}

static double difference(void *self, const uint32_t *times)
{
    const struct pair *p = self;
    double mean[2] = {0.0, 0.0};
    for (size_t k = 0; k < p->a + p->b; k++) {
        struct lorac_board_sample *s = p->sample[k];
        bool second = k >= p->a;
        memset(s->times, 0, s->n * sizeof *s->times);
        for (size_t i = 0; i < p->n; i++) {
            s->times[p->at[k * p->most + i]] = times[i];
        }
        mean[second] += measure(s) / (double)(second ? p->b : p->a);
    }
    return mean[0] - mean[1];
}

static enum lorac_status compare(struct lorac_difference *out, struct pair *p,
                                 struct lorac_err *err)
{
    double *value = lorac_mem_new(LORAC_RESAMPLES, sizeof *value);
    uint32_t *once = lorac_mem_new(p->n + 1, sizeof *once);
    enum lorac_status st = value && once ? LORAC_OK : no_memory(err);
    for (size_t i = 0; i < p->n && !st; i++) {
        once[i] = 1;
    }
    if (!st) {
        out->difference = p->n ? difference(p, once) : (double)NAN;
        st = lorac_bootstrap(value, p->n, difference, p, err);
    }
    if (!st) { out->variance = lorac_bootstrap_variance(value); }
    lorac_mem_free(value);
    lorac_mem_free(once);
    return st;
}

enum lorac_status lorac_board_sample_compare(struct lorac_difference *out, size_t *shared,
                                             struct lorac_board_sample *const *samples, size_t a,
                                             size_t b, struct lorac_err *err)
{
    struct pair p = {.sample = samples, .a = a, .b = b, .most = samples[0]->n};
    size_t all = 0;
    *out = (struct lorac_difference){(double)NAN, (double)NAN};
    p.at = lorac_mul(a + b, p.most, &all) ? lorac_mem_new(all + 1, sizeof *p.at) : NULL;
    if (!p.at) { return no_memory(err); }
    find_shared(&p);
    *shared = p.n;
    enum lorac_status st = compare(out, &p, err);
    lorac_mem_free(p.at);
    return st;
}
