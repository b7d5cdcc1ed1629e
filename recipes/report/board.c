/* board.c - see board.h. */
#include "recipes/report/board.h"

#include "base/core/arena.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "base/core/suggest.h"
#include "recipes/language/reading.h"
#include "recipes/language/suggest.h"
#include "recipes/report/board_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double limit = 0.05; // of chance, for all rows together

/* A board being made. */
struct making {
    struct lorac_board *b;
    const struct lorac_board_options *o;
    const struct lorac_record **at; // (n) the runs that --where leaves
    size_t n;
    struct lorac_err *err; // borrowed
};

static enum lorac_status no_memory(const struct making *m)
{
    return lorac_fail(m->err, LORAC_ENOMEM, "no memory to compare runs");
}

static enum lorac_status unknown_key(const struct making *m, const char *key)
{
    char hint[160];
    return lorac_fail(m->err, LORAC_EUSER, "%s: a recipe has no such key%s", key,
                      lorac_key_hint(hint, sizeof hint, key));
}

/* ---- which runs ---- */

/* Is `text` the value, as it stands in a recipe, in quotes or not, or the same number? */
static bool is_value(const char *value, const char *text, size_t n)
{
    double a = 0.0;
    double b = 0.0;
    char number[40];
    size_t length = strlen(value);
    if (length == n && memcmp(value, text, n) == 0) { return true; }
    bool quoted = length == n + 2 && value[0] == '"' && value[length - 1] == '"';
    if (quoted && memcmp(value + 1, text, n) == 0) { return true; }
    if (n >= sizeof number) { return false; }
    memcpy(number, text, n);
    number[n] = '\0';
    return lorac_number_parse(&a, value) == LORAC_NUMBER_OK &&
           lorac_number_parse(&b, number) == LORAC_NUMBER_OK && a == b;
}

/* Drop the runs without the value; KEY=VALUE. */
static enum lorac_status filter(struct making *m, const char *where)
{
    char key[64];
    const char *equals = strchr(where, '=');
    size_t length = equals ? (size_t)(equals - where) : 0;
    if (!length) {
        return lorac_fail(m->err, LORAC_EUSER, "'%s': expected KEY=VALUE, as adapter.rank=16",
                          where);
    }
    if (length >= sizeof key) { length = sizeof key - 1; }
    memcpy(key, where, length);
    key[length] = '\0';
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        const char *value = lorac_record_value(m->at[i], key);
        if (!value) { return unknown_key(m, key); }
        if (is_value(value, equals + 1, strlen(equals + 1))) { m->at[n++] = m->at[i]; }
    }
    m->n = n;
    return n ? LORAC_OK : lorac_fail(m->err, LORAC_EUSER, "no run has %s", where);
}

static bool finished(const struct lorac_record *r)
{
    return r->status == LORAC_RECORD_FINISHED || r->status == LORAC_RECORD_EARLY;
}

static bool measures(const struct lorac_record *r, enum lorac_metric metric)
{
    return finished(r) && r->evaluated && !isnan(lorac_scores_get(&r->best, metric));
}

/* The metric that is asked for, or what chose best/ in all runs, or the loss. */
static enum lorac_status choose_metric(struct making *m)
{
    const struct lorac_record *first = NULL;
    bool any = false;
    bool ended = false;
    struct lorac_board *b = m->b;
    b->metric = LORAC_METRIC_LOSS;
    for (size_t i = 0; i < m->n && !m->o->metric; i++) {
        if (!finished(m->at[i]) || !m->at[i]->evaluated) { continue; }
        if (!first) { first = m->at[i]; }
        b->metric = m->at[i]->best_by == first->best_by ? first->best_by : LORAC_METRIC_LOSS;
        if (b->metric != first->best_by) { break; }
    }
    if (m->o->metric) {
        char hint[64];
        struct lorac_near near = {.word = m->o->metric, .most = 2};
        unsigned k = 0;
        for (; lorac_metric_name(k) && strcmp(lorac_metric_name(k), m->o->metric) != 0; k++) {
            (void)lorac_near_try(&near, lorac_metric_name(k));
        }
        if (!lorac_metric_name(k)) {
            return lorac_fail(m->err, LORAC_EUSER, "%s: there is no such metric%s", m->o->metric,
                              lorac_near_hint(hint, sizeof hint, near.best));
        }
        b->metric = k;
    }
    for (size_t i = 0; i < m->n; i++) {
        any = any || measures(m->at[i], b->metric);
        ended = ended || finished(m->at[i]);
    }
    if (any || !ended || !m->o->metric) { return LORAC_OK; }
    return lorac_fail(m->err, LORAC_EUSER, "%s: no run that finished measures it", m->o->metric);
}

/* ---- what differs, and groups ---- */

/* What a run is called, and where and how it writes, differs in any case. */
static bool tells(const char *key)
{
    return strcmp(key, "name") != 0 && strncmp(key, "output.", 7) != 0;
}

static bool is_one_of(const char *key, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(key, words[i]) == 0) { return true; }
    }
    return false;
}

static enum lorac_status find_keys(struct making *m)
{
    struct lorac_board *b = m->b;
    const struct lorac_record *first = m->at[0];
    b->n_keys = 0;
    for (size_t k = 0; k < first->n_values; k++) {
        const char *key = first->values[k].key;
        bool differs = false;
        for (size_t i = 1; i < m->n && !differs; i++) { // all of them have all keys, in one order
            differs = strcmp(m->at[i]->values[k].value, first->values[k].value) != 0;
        }
        bool grouped = is_one_of(key, b->group_by, b->n_group_by);
        if (differs && tells(key) && !grouped) { b->keys[b->n_keys++] = key; }
    }
    return LORAC_OK;
}

static bool same_values(const struct making *m, const struct lorac_record *x,
                        const struct lorac_record *y)
{
    for (size_t k = 0; k < m->b->n_keys; k++) {
        const char *key = m->b->keys[k];
        if (strcmp(lorac_record_value(x, key), lorac_record_value(y, key)) != 0) { return false; }
    }
    return m->b->n_group_by > 0; // else each run is for itself
}

/* The rows, each a group of runs that measure the metric. True: one has several runs. */
static bool make_groups(struct making *m)
{
    struct lorac_board *b = m->b;
    bool several = false;
    b->n = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (!measures(m->at[i], b->metric)) { continue; }
        size_t g = 0;
        while (g < b->n && !same_values(m, b->rows[g].runs[0], m->at[i])) {
            g++;
        }
        struct lorac_board_row *row = &b->rows[g];
        if (g == b->n) {
            b->n++;
            row->n = 0;
        }
        row->runs[row->n++] = m->at[i];
        several = several || row->n > 1;
    }
    return several;
}

/* Memory for as many groups as runs, each as large as all: pointers only. */
static enum lorac_status make_room(struct making *m, size_t n_keys)
{
    struct lorac_board *b = m->b;
    size_t all = 0;
    b->keys = lorac_arena_take(b->arena, n_keys, sizeof *b->keys);
    b->rows = lorac_arena_take(b->arena, m->n, sizeof *b->rows);
    b->aside = lorac_arena_take(b->arena, m->n, sizeof *b->aside);
    b->group_by = lorac_arena_take(b->arena, m->o->n_group_by + 1, sizeof *b->group_by);
    const struct lorac_record **runs =
        lorac_mul(m->n, m->n, &all) ? lorac_arena_take(b->arena, all, sizeof *runs) : NULL;
    if (!b->keys || !b->rows || !b->aside || !b->group_by || !runs) { return no_memory(m); }
    for (size_t i = 0; i < m->n; i++) {
        b->rows[i].runs = runs + i * m->n;
    }
    return LORAC_OK;
}

static enum lorac_status group(struct making *m)
{
    struct lorac_board *b = m->b;
    const struct lorac_board_options *o = m->o;
    bool none = o->n_group_by == 1 && strcmp(o->group_by[0], "none") == 0;
    enum lorac_status st = make_room(m, m->at[0]->n_values);
    for (size_t i = 0; i < o->n_group_by && !st && !none; i++) {
        const struct lorac_key *key = lorac_key_find(o->group_by[i]);
        if (!key) { return unknown_key(m, o->group_by[i]); }
        b->group_by[b->n_group_by++] = key->path;
    }
    if (st) { return st; }
    if (!o->n_group_by) { b->group_by[b->n_group_by++] = "seed"; }
    st = find_keys(m);
    if (!st && !make_groups(m) && !o->n_group_by) { // no two runs differ in the seed alone
        b->n_group_by = 0;
        st = find_keys(m);
        (void)make_groups(m);
    }
    for (size_t i = 0; i < m->n && !st; i++) {
        if (!measures(m->at[i], b->metric)) { b->aside[b->n_aside++] = m->at[i]; }
    }
    return st;
}

/* ---- numbers ---- */

static enum lorac_status sum_up(struct lorac_board_row *row, const struct making *m)
{
    double *x = lorac_mem_new(2 * row->n, sizeof *x);
    if (!x) { return no_memory(m); }
    row->rows = row->runs[0]->best.rows;
    for (size_t i = 0; i < row->n; i++) {
        const struct lorac_record *r = row->runs[i];
        x[i] = lorac_scores_get(&r->best, m->b->metric);
        x[row->n + i] = r->seconds;
        if (r->peak_bytes > row->peak_bytes) { row->peak_bytes = r->peak_bytes; }
        if (r->adapter_bytes > row->adapter_bytes) { row->adapter_bytes = r->adapter_bytes; }
    }
    row->mean = lorac_mean(x, row->n);
    row->deviation = lorac_deviation(x, row->n);
    row->seconds = lorac_mean(x + row->n, row->n);
    lorac_mem_free(x);
    return LORAC_OK;
}

/* Of equal ones the first. */
static size_t find_best(const struct lorac_board *b)
{
    size_t best = 0;
    for (size_t i = 1; i < b->n; i++) {
        if (lorac_metric_better(b->metric, b->rows[i].mean, b->rows[best].mean, 0.0)) { best = i; }
    }
    return best;
}

/* Holm: the smallest p of k counts where it is below the limit over k, then the next of k - 1; from
 * the first that is not on, none does. */
static void place(struct lorac_board *b, size_t best)
{
    size_t left = 0;
    for (size_t i = 0; i < b->n; i++) {
        bool asked = i != best && !isnan(b->rows[i].p);
        b->rows[i].place = asked ? LORAC_BOARD_TIED : LORAC_BOARD_OTHER;
        left += asked;
    }
    b->rows[best].place = LORAC_BOARD_BEST;
    for (; left; left--) {
        struct lorac_board_row *least = NULL;
        for (size_t i = 0; i < b->n; i++) {
            struct lorac_board_row *x = &b->rows[i];
            if (x->place == LORAC_BOARD_TIED && (!least || x->p < least->p)) { least = x; }
        }
        if (!least || least->p * (double)left >= limit) { return; }
        least->place = LORAC_BOARD_WORSE;
    }
}

static enum lorac_status compare_all(struct making *m)
{
    struct lorac_board *b = m->b;
    enum lorac_status st = LORAC_OK;
    if (!b->n) { return LORAC_OK; }
    struct lorac_board_answers *answers = lorac_mem_new(b->n, sizeof *answers);
    if (!answers) { return no_memory(m); }
    for (size_t i = 0; i < b->n && !st; i++) {
        st = sum_up(&b->rows[i], m);
        if (!st) { st = lorac_board_read(&answers[i], &b->rows[i], b->metric, m->err); }
    }
    size_t best = st ? 0 : find_best(b);
    for (size_t i = 0; i < b->n && !st; i++) {
        st = lorac_board_compare(&b->rows[i], &answers[i], &b->rows[best], &answers[best],
                                 b->metric, m->err);
    }
    if (!st) {
        place(b, best);
        b->rows[best].p = (double)NAN;
    }
    for (size_t i = 0; i < b->n; i++) {
        lorac_board_answers_free(&answers[i]);
    }
    lorac_mem_free(answers);
    return st;
}

/* ---- the order ---- */

static int by_number(double a, double b)
{
    return (a > b) - (a < b);
}

/* Texts that are both numbers are compared as such. */
static int by_value(const char *a, const char *b)
{
    double x = 0.0;
    double y = 0.0;
    bool numbers = lorac_number_parse(&x, a) == LORAC_NUMBER_OK &&
                   lorac_number_parse(&y, b) == LORAC_NUMBER_OK;
    return numbers ? by_number(x, y) : strcmp(a, b);
}

static int compare_rows(const struct lorac_board *b, const char *sort,
                        const struct lorac_board_row *x, const struct lorac_board_row *y)
{
    if (strcmp(sort, "seconds") == 0) { return by_number(x->seconds, y->seconds); }
    if (strcmp(sort, "memory") == 0) {
        return by_number((double)x->peak_bytes, (double)y->peak_bytes);
    }
    if (strcmp(sort, "size") == 0) {
        return by_number((double)x->adapter_bytes, (double)y->adapter_bytes);
    }
    if (strcmp(sort, "folder") == 0) { return strcmp(x->runs[0]->dir, y->runs[0]->dir); }
    if (strcmp(sort, "metric") == 0) {
        return lorac_metric_better(b->metric, x->mean, y->mean, 0.0)   ? -1
               : lorac_metric_better(b->metric, y->mean, x->mean, 0.0) ? 1
                                                                       : 0;
    }
    return by_value(lorac_record_value(x->runs[0], sort), lorac_record_value(y->runs[0], sort));
}

/* A plain insertion: boards are small, and equal rows stay as they were found. */
static enum lorac_status sort_rows(const struct making *m)
{
    static const char *const words[] = {"metric", "seconds", "memory", "size", "folder"};
    struct lorac_board *b = m->b;
    const char *sort = m->o->sort ? m->o->sort : "metric";
    bool known = is_one_of(sort, words, sizeof words / sizeof *words);
    if (!known && (!lorac_key_find(sort) || !lorac_record_value(m->at[0], sort))) {
        return lorac_fail(m->err, LORAC_EUSER,
                          "%s: expected metric, seconds, memory, size, folder or a key of recipes",
                          sort);
    }
    for (size_t i = 1; i < b->n; i++) {
        struct lorac_board_row row = b->rows[i];
        size_t k = i;
        for (; k && compare_rows(b, sort, &row, &b->rows[k - 1]) < 0; k--) {
            b->rows[k] = b->rows[k - 1];
        }
        b->rows[k] = row;
    }
    return LORAC_OK;
}

enum lorac_status lorac_board_make(struct lorac_board **out, const struct lorac_runs *runs,
                                   const struct lorac_board_options *o, struct lorac_err *err)
{
    const struct lorac_sweep_record *sweep = runs->sweep;
    struct lorac_board_options own = *o;
    struct making m = {.o = &own, .n = runs->n, .err = err};
    *out = NULL;
    if (sweep && !o->n_group_by) {
        own.group_by = (const char *const *)sweep->group_by;
        own.n_group_by = sweep->n_group_by;
    }
    if (sweep && !o->metric) { own.metric = sweep->metric; }
    m.b = lorac_mem_new(1, sizeof *m.b);
    if (m.b) { m.b->arena = lorac_arena_new(); }
    m.at = lorac_mem_new(runs->n, sizeof *m.at);
    enum lorac_status st = m.b && m.b->arena && m.at ? LORAC_OK : no_memory(&m);
    for (size_t i = 0; i < runs->n && !st; i++) {
        m.at[i] = runs->at[i];
    }
    for (size_t i = 0; i < o->n_where && !st; i++) {
        st = filter(&m, o->where[i]);
    }
    if (!st) { st = choose_metric(&m); }
    if (!st && m.n) { st = group(&m); }
    if (!st && m.n) { st = compare_all(&m); }
    if (!st && m.n) { st = sort_rows(&m); }
    lorac_mem_free(m.at);
    if (st) {
        lorac_board_free(m.b);
        m.b = NULL;
    }
    *out = m.b;
    return st;
}

const char *lorac_board_test(const struct lorac_board *b)
{
    bool loss = b->metric == LORAC_METRIC_LOSS || b->metric == LORAC_METRIC_PERPLEXITY;
    bool mean = b->n && lorac_board_is_mean(b->rows[0].runs[0], b->metric);
    if (!mean) { return "draws of the same rows"; }
    if (b->n_group_by) { return "their answers to the same rows"; }
    return loss ? "the losses of the same rows" : "McNemar's test on the same rows";
}

void lorac_board_free(struct lorac_board *b)
{
    if (!b) { return; }
    lorac_arena_free(b->arena);
    lorac_mem_free(b);
}
