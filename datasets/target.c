/* target.c - what a head should say of a row: a label, several, a number, or a tag for each word;
 * see passages.h. */
#include "base/core/mem.h"
#include "base/core/number.h"
#include "datasets/dataset.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 5 }; // labels that a message names

/* ---- the labels ---- */

static int compare_classes(const void *a, const void *b)
{
    const struct lorac_label_class *x = a;
    const struct lorac_label_class *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int c = n ? memcmp(x->name, y->name, n) : 0;
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

enum lorac_status lorac_targets_open(struct lorac_dataset *d, struct lorac_err *err)
{
    const struct lorac_dataset_options *o = &d->o;
    d->frame = o->frame;
    d->classes = lorac_mem_new(o->K + 1, sizeof *d->classes);
    d->targets = lorac_mem_new(o->K + 1, sizeof *d->targets);
    bool there = d->classes && d->targets;
    if (there && o->separator) {
        d->separator = lorac_mem_string(o->separator, strlen(o->separator));
        there = d->separator;
    }
    for (size_t k = 0; there && k < o->K; k++) {
        size_t n = strlen(o->classes[k]);
        d->classes[k] =
            (struct lorac_label_class){lorac_mem_string(o->classes[k], n), n, (int32_t)k};
        d->K++;
        there = d->classes[k].name;
    }
    if (!there) { return lorac_dataset_no_memory(d, err); }
    qsort(d->classes, d->K, sizeof *d->classes, compare_classes);
    return LORAC_OK;
}

void lorac_targets_close(struct lorac_dataset *d)
{
    for (size_t k = 0; k < d->K; k++) {
        lorac_mem_free(d->classes[k].name);
    }
    lorac_mem_free(d->classes);
    lorac_mem_free(d->targets);
    lorac_mem_free(d->separator);
}

static const char *name_of(const struct lorac_dataset *d, size_t k)
{
    size_t i = 0;
    while ((size_t)d->classes[i].k != k) {
        i++;
    }
    return d->classes[i].name;
}

static bool add_text(char *out, size_t size, const char *text)
{
    size_t n = strlen(out);
    if (n + strlen(text) >= size) { return false; }
    memcpy(out + n, text, strlen(text) + 1);
    return true;
}

/* The row has no label that the head knows: which are there. */
static void strange(struct lorac_made *made, const struct lorac_dataset *d,
                    const struct lorac_cell *cell, bool mapped)
{
    char shown[48];
    char text[40];
    made->verdict = LORAC_ROW_UNKNOWN_LABEL;
    (void)snprintf(made->why, sizeof made->why, "column '%.40s' holds '%s', expected %s",
                   lorac_table_column_name(d->table, d->columns[d->label_variable]),
                   lorac_visible(shown, sizeof shown, cell->at, cell->n),
                   mapped ? "a value of labels.map" : "a label of the training rows: ");
    for (size_t k = 0; !mapped && k < d->K && k <= SHOWN; k++) {
        const char *name = name_of(d, k);
        bool more = k == SHOWN;
        lorac_visible(text, sizeof text, name, strlen(name));
        if (k && !add_text(made->why, sizeof made->why, ", ")) { return; }
        if (!add_text(made->why, sizeof made->why, more ? "..." : text)) { return; }
    }
}

/* The label that `cell` writes: which output it is; LORAC_NO_LABEL, and a verdict, where none. One
 * that is a cell of its own is mapped already. */
static int32_t find(struct lorac_made *made, const struct lorac_dataset *d,
                    const struct lorac_cell *cell)
{
    bool maps = d->n_labels && d->objective->target != LORAC_TARGET_LABEL;
    const struct lorac_mapping *m = maps ? lorac_label_map(d, cell) : NULL;
    if (maps && !m) {
        strange(made, d, cell, true);
        return LORAC_NO_LABEL;
    }
    char *name = m ? m->label : (char *)(uintptr_t)cell->at; // bsearch() changes neither
    const struct lorac_label_class key = {name, m ? m->n_label : cell->n, 0};
    const struct lorac_label_class *c =
        d->K ? bsearch(&key, d->classes, d->K, sizeof key, compare_classes) : NULL;
    if (!c) { strange(made, d, cell, false); }
    return c ? c->k : LORAC_NO_LABEL;
}

/* ---- targets ---- */

/* What is wrong with the row, where it is not want of memory, becomes its verdict. */
static enum lorac_status judge(struct lorac_made *made, enum lorac_status st,
                               const struct lorac_err *why, struct lorac_err *err)
{
    if (st == LORAC_ENOMEM) { return lorac_fail(err, st, "%s", why->text); }
    if (st) {
        made->verdict = LORAC_ROW_WRONG;
        (void)snprintf(made->why, sizeof made->why, "%.199s", why->text);
    }
    return LORAC_OK;
}

static bool is_list(const struct lorac_example *e, const struct lorac_dataset *d, size_t variable)
{
    return e->row.nested && e->row.nested[d->columns[variable]];
}

static int compare_labels(const void *a, const void *b)
{
    const int32_t *x = a;
    const int32_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* Its labels, ascending, each once. */
static enum lorac_status read_labels(struct lorac_made *made, struct lorac_example *e,
                                     const struct lorac_dataset *d, struct lorac_err *err)
{
    struct lorac_items *items = &e->passage.items;
    struct lorac_err why = {0};
    enum lorac_status st = lorac_items_read(items, &e->values[d->label_variable],
                                            is_list(e, d, d->label_variable), d->separator, &why);
    st = judge(made, st, &why, err);
    for (size_t i = 0; i < items->n && !st && !made->verdict; i++) {
        st = lorac_ids_add(&e->labels, find(made, d, &items->at[i]), err);
    }
    if (st || made->verdict || e->labels.n == 0) { return st; }
    qsort(e->labels.at, e->labels.n, sizeof *e->labels.at, compare_labels);
    size_t n = 1;
    for (size_t i = 1; i < e->labels.n; i++) {
        if (e->labels.at[i] != e->labels.at[n - 1]) { e->labels.at[n++] = e->labels.at[i]; }
    }
    e->labels.n = n;
    return LORAC_OK;
}

/* Would it be a number with a point in the comma's place? */
static bool has_comma(char *text)
{
    double x = 0.0;
    char *comma = strchr(text, ',');
    if (!comma) { return false; }
    *comma = '.';
    return lorac_number_parse(&x, text) == LORAC_NUMBER_OK;
}

static void read_number(struct lorac_made *made, struct lorac_example *e,
                        const struct lorac_dataset *d)
{
    struct lorac_cell cell = e->values[d->label_variable];
    char text[64];
    char shown[64];
    while (cell.n && (cell.at[0] == ' ' || cell.at[0] == '\t')) {
        cell.at++;
        cell.n--;
    }
    while (cell.n && (cell.at[cell.n - 1] == ' ' || cell.at[cell.n - 1] == '\t')) {
        cell.n--;
    }
    (void)snprintf(text, sizeof text, "%.*s", cell.n < sizeof text ? (int)cell.n : 0, cell.at);
    enum lorac_number is = lorac_number_parse(&e->number, text);
    if (is == LORAC_NUMBER_OK || is == LORAC_NUMBER_TOO_SMALL) { return; }
    made->verdict = LORAC_ROW_WRONG;
    (void)snprintf(made->why, sizeof made->why, "column '%.60s' holds '%s', expected a number%s",
                   lorac_table_column_name(d->table, d->columns[d->label_variable]),
                   lorac_visible(shown, sizeof shown, cell.at, cell.n),
                   has_comma(text) ? " with a decimal point" : "");
}

enum lorac_status lorac_target_read(struct lorac_made *made, struct lorac_example *e,
                                    const struct lorac_dataset *d, struct lorac_err *err)
{
    e->labels.n = 0;
    e->number = 0.0;
    made->variable = d->label_variable;
    switch (d->objective->target) {
    case LORAC_TARGET_LABEL: {
        int32_t k = find(made, d, &e->values[d->label_variable]);
        return made->verdict ? LORAC_OK : lorac_ids_add(&e->labels, k, err);
    }
    case LORAC_TARGET_LABELS:
        return read_labels(made, e, d, err);
    case LORAC_TARGET_NUMBER:
        read_number(made, e, d);
        return LORAC_OK;
    case LORAC_TARGET_NONE:
    case LORAC_TARGET_TAGS:
    default:
        return LORAC_OK;
    }
}

/* ---- examples ---- */

/* A word's first token carries its tag. */
static enum lorac_status read_tags(struct lorac_made *made, struct lorac_example *e,
                                   const struct lorac_dataset *d, struct lorac_err *err)
{
    struct lorac_passage *x = &e->passage;
    struct lorac_err why = {0};
    size_t words = x->n_words;
    enum lorac_status st = lorac_items_read(&x->items, &e->values[d->label_variable],
                                            is_list(e, d, d->label_variable), NULL, &why);
    st = judge(made, st, &why, err);
    if (st || made->verdict) { return st; }
    if (x->items.n != words) {
        made->verdict = LORAC_ROW_WRONG;
        (void)snprintf(
            made->why, sizeof made->why,
            "%zu words in column '%.40s' and %zu tags in '%.40s', expected one a word", words,
            lorac_table_column_name(d->table, d->columns[lorac_passages_words(d->passages)]),
            x->items.n, lorac_table_column_name(d->table, d->columns[d->label_variable]));
        return LORAC_OK;
    }
    for (size_t t = 0; t < x->words.n && !st && !made->verdict; t++) {
        int32_t w = x->words.at[t];
        int32_t k = w == LORAC_NO_LABEL ? LORAC_NO_LABEL : find(made, d, &x->items.at[w]);
        st = lorac_ids_add(&e->labels, k, err);
    }
    return st;
}

/* No token is trained; the one behind the last that a beginning may be shared up to would be. */
static void mark_rows(struct lorac_example *e, const struct lorac_dataset *d)
{
    size_t scored = e->ids.n - 1;
    for (size_t t = 0; d->objective->target == LORAC_TARGET_TAGS && t < e->labels.n; t++) {
        if (e->labels.at[t] == LORAC_NO_LABEL) { continue; }
        scored = t;
        break;
    }
    e->trained_from = scored + 1;
}

enum lorac_status lorac_passage_example(struct lorac_made *made, struct lorac_example *e,
                                        const struct lorac_dataset *d, struct lorac_err *err)
{
    struct lorac_passage *x = &e->passage;
    struct lorac_err why = {0};
    size_t words = lorac_passages_words(d->passages);
    e->gaps.n = 0;
    enum lorac_status st = lorac_target_read(made, e, d, err);
    if (st || made->verdict) { return st; }
    st = lorac_passage_make(x, d->passages, e->values, words != SIZE_MAX && is_list(e, d, words),
                            &why);
    st = judge(made, st, &why, err);
    if (st || made->verdict) { return st; }
    bool tags = d->objective->target == LORAC_TARGET_TAGS;
    if (tags) { st = read_tags(made, e, d, err); }
    const struct lorac_ids ids = e->ids; // theirs for the passage's: nothing is copied
    const struct lorac_ids types = e->types;
    e->ids = x->ids;
    e->types = x->types;
    x->ids = ids;
    x->types = types;
    if (st || made->verdict) { return st; }
    made->cut = x->cut;
    if (x->cut == SIZE_MAX) {
        made->verdict = LORAC_ROW_LONG;
    } else if (e->ids.n == 0) {
        made->verdict = LORAC_ROW_EMPTY;
        (void)snprintf(made->why, sizeof made->why, "the text has no token");
    } else {
        mark_rows(e, d);
        if (tags && lorac_example_trained(e, d) == 0) { made->verdict = LORAC_ROW_UNTRAINED; }
    }
    return LORAC_OK;
}

/* ---- counted ---- */

size_t lorac_example_trained(const struct lorac_example *e, const struct lorac_dataset *d)
{
    size_t n = e->ids.n - e->trained_from;
    bool labels = d->objective->masks || d->objective->target == LORAC_TARGET_TAGS;
    switch (labels ? LORAC_TARGET_TAGS : d->objective->target) {
    case LORAC_TARGET_NONE:
        for (size_t g = 0; g < e->gaps.n; g += 2) {
            n -= e->gaps.at[g + 1] - e->gaps.at[g];
        }
        return n;
    case LORAC_TARGET_TAGS:
        n = 0;
        for (size_t t = 0; t < e->labels.n; t++) {
            n += e->labels.at[t] != LORAC_NO_LABEL;
        }
        return n;
    case LORAC_TARGET_LABEL:
    case LORAC_TARGET_LABELS:
    case LORAC_TARGET_NUMBER:
    default:
        return 1;
    }
}

size_t lorac_targets_a_row(const struct lorac_dataset *d, double label_smoothing)
{
    enum lorac_target target = d->objective->target;
    bool labels = target == LORAC_TARGET_LABEL || target == LORAC_TARGET_TAGS;
    bool all = target == LORAC_TARGET_LABELS || (labels && label_smoothing > 0.0);
    return all ? d->K : 1;
}

void lorac_targets_count(struct lorac_dataset *d, const struct lorac_example *e)
{
    for (size_t i = 0; i < e->labels.n; i++) {
        if (e->labels.at[i] != LORAC_NO_LABEL) { d->targets[e->labels.at[i]]++; }
    }
    if (d->objective->target == LORAC_TARGET_NUMBER) { // Welford's way
        double off = e->number - d->mean;
        d->mean += off / (double)d->counts.used;
        d->squares += off * (e->number - d->mean);
    }
}

const size_t *lorac_dataset_targets(const struct lorac_dataset *d)
{
    return d->targets;
}

void lorac_dataset_moments(double *mean, double *deviation, const struct lorac_dataset *d)
{
    *mean = d->mean;
    *deviation = d->counts.used ? sqrt(d->squares / (double)d->counts.used) : 0.0;
}
