/* split.c - classes of a column, and drawing a part of the rows; see datasets.h. */
#include "base/core/mem.h"
#include "base/core/rng.h"
#include "datasets/datasets.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- classes: a hash table from value to class ---- */

struct finder {
    struct lorac_classes *c;
    size_t cap;     // of value and count
    uint32_t *slot; // (n_slots) class + 1, 0: free
    size_t n_slots; // a power of two, at least twice the classes
};

static uint64_t hash_of(const char *at, size_t n)
{
    uint64_t h = 0xCBF29CE484222325U; // FNV-1a
    for (size_t i = 0; i < n; i++) {
        h = (h ^ (unsigned char)at[i]) * 0x100000001B3U;
    }
    return h ^ h >> 29;
}

/* The slot of the value, or the free one where it belongs. */
static size_t find_slot(const struct finder *f, const char *at, size_t n)
{
    size_t s = (size_t)hash_of(at, n) & (f->n_slots - 1);
    while (f->slot[s]) {
        const char *value = f->c->value[f->slot[s] - 1];
        if (strlen(value) == n && memcmp(value, at, n) == 0) { break; }
        s = (s + 1) & (f->n_slots - 1);
    }
    return s;
}

static bool add_class(struct finder *f, size_t slot, const struct lorac_cell *cell)
{
    struct lorac_classes *c = f->c;
    size_t cap = f->cap;
    char **value = lorac_mem_grow(c->value, c->K, &cap, c->K + 1, sizeof *value);
    if (!value) { return false; }
    c->value = value;
    cap = f->cap;
    size_t *count = lorac_mem_grow(c->count, c->K, &cap, c->K + 1, sizeof *count);
    if (!count) { return false; }
    c->count = count;
    f->cap = cap;
    c->value[c->K] = lorac_mem_string(cell->at, cell->n);
    if (!c->value[c->K]) { return false; }
    c->K++;
    f->slot[slot] = (uint32_t)c->K;
    return true;
}

/* Count a value of the row. *k: its class. */
static enum lorac_status count_value(uint32_t *k, struct finder *f, const struct lorac_table *t,
                                     size_t column, size_t max, const struct lorac_cell *cell,
                                     uint64_t line, struct lorac_err *err)
{
    size_t slot = find_slot(f, cell->at, cell->n);
    if (!f->slot[slot]) {
        if (f->c->K == max) {
            char name[64];
            const char *column_name = lorac_table_column_name(t, column);
            return lorac_fail(err, LORAC_EUSER,
                              "%s:%llu: column '%s' holds more than %zu different values, "
                              "expected a label",
                              lorac_table_file(t), (unsigned long long)line,
                              lorac_visible(name, sizeof name, column_name, strlen(column_name)),
                              max);
        }
        if (!add_class(f, slot, cell)) {
            return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for classes", lorac_table_file(t));
        }
    }
    *k = f->slot[slot] - 1;
    f->c->count[*k]++;
    return LORAC_OK;
}

static enum lorac_status classify(struct finder *f, const struct lorac_table *t, size_t column,
                                  size_t max, struct lorac_row *row, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < lorac_table_rows(t) && !st; i++) {
        st = lorac_table_row(row, t, i, err);
        if (!st) {
            st = count_value(&f->c->of_row[i], f, t, column, max, &row->cells[column], row->line,
                             err);
        }
    }
    return st;
}

static enum lorac_status collect_row(struct finder *f, struct lorac_items *items,
                                     const struct lorac_table *t, size_t column,
                                     const struct lorac_collect_options *o,
                                     const struct lorac_row *row, struct lorac_err *err)
{
    const struct lorac_cell *cell = &row->cells[column];
    uint32_t k = 0;
    if (o->target == LORAC_TARGET_LABEL) {
        return lorac_cell_is_blank(cell)
                   ? LORAC_OK
                   : count_value(&k, f, t, column, o->max, cell, row->line, err);
    }
    bool list = row->nested && row->nested[column];
    enum lorac_status st = lorac_items_read(items, cell, list, o->separator, err);
    f->c->lists = f->c->lists || list;
    for (size_t i = 0; i < items->n && !st; i++) {
        st = count_value(&k, f, t, column, o->max, &items->at[i], row->line, err);
    }
    return st == LORAC_EFORMAT ? LORAC_OK : st; // who reads the rows says so, with its line
}

enum lorac_status lorac_classes_collect(struct lorac_classes *out, const struct lorac_table *t,
                                        size_t column, const struct lorac_collect_options *o,
                                        struct lorac_err *err)
{
    struct lorac_row row = {0};
    struct lorac_items items = {0};
    size_t n = o->rows ? o->n_rows : lorac_table_rows(t);
    enum lorac_status st = LORAC_OK;
    *out = (struct lorac_classes){0};
    struct finder f = {.c = out, .n_slots = 16};
    while (f.n_slots / 2 < o->max) {
        f.n_slots *= 2;
    }
    f.slot = lorac_mem_new(f.n_slots, sizeof *f.slot);
    if (!f.slot) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory for classes", lorac_table_file(t));
    }
    for (size_t i = 0; i < n && !st; i++) {
        st = lorac_table_row(&row, t, o->rows ? o->rows[i] : i, err);
        if (!st) { st = collect_row(&f, &items, t, column, o, &row, err); }
    }
    lorac_items_free(&items);
    lorac_row_free(&row);
    lorac_mem_free(f.slot);
    if (st) { lorac_classes_free(out); }
    return st;
}

enum lorac_status lorac_classes_find(struct lorac_classes *out, const struct lorac_table *t,
                                     size_t column, size_t max, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct lorac_row row = {0};
    size_t most = max < lorac_table_rows(t) ? max : lorac_table_rows(t);
    *out = (struct lorac_classes){0};
    struct finder f = {.c = out, .n_slots = 16};
    while (f.n_slots / 2 < most) {
        f.n_slots *= 2;
    }
    f.slot = lorac_mem_new(f.n_slots, sizeof *f.slot);
    out->of_row = lorac_mem_new(lorac_table_rows(t), sizeof *out->of_row);
    if (!f.slot || !out->of_row) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory for classes", lorac_table_file(t));
        goto done;
    }
    st = classify(&f, t, column, max, &row, err);
done:
    lorac_row_free(&row);
    lorac_mem_free(f.slot);
    if (st) { lorac_classes_free(out); }
    return st;
}

void lorac_classes_free(struct lorac_classes *c)
{
    for (size_t k = 0; k < c->K; k++) {
        lorac_mem_free(c->value[k]);
    }
    lorac_mem_free(c->value);
    lorac_mem_free(c->count);
    lorac_mem_free(c->of_row);
    *c = (struct lorac_classes){0};
}

/* ---- splits ---- */

/* What a class lacks of its exact share. */
struct lack {
    double remainder;
    size_t k;
};

static int most_first(const void *a, const void *b)
{
    const struct lack *x = a;
    const struct lack *y = b;
    if (x->remainder != y->remainder) { return x->remainder > y->remainder ? -1 : 1; }
    return (x->k > y->k) - (x->k < y->k);
}

/* quota (K) written: how many rows of each class go into the part, `total` together. lack (K):
 * clobbered. */
static void share_out(size_t *quota, struct lack *lack, const struct lorac_classes *c,
                      double fraction, size_t total)
{
    size_t given = 0;
    for (size_t k = 0; k < c->K; k++) {
        double exact = (double)c->count[k] * fraction;
        quota[k] = (size_t)floor(exact);
        lack[k] = (struct lack){exact - floor(exact), k};
        given += quota[k];
    }
    qsort(lack, c->K, sizeof *lack, most_first);
    assert(given <= total && total - given <= c->K);
    for (size_t i = 0; given + i < total; i++) {
        quota[lack[i].k]++;
    }
}

static void deal(struct lorac_split *s, const bool *taken, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (taken[i]) {
            s->part[s->n_part++] = (uint32_t)i;
        } else {
            s->rest[s->n_rest++] = (uint32_t)i;
        }
    }
}

enum lorac_status lorac_split_make(struct lorac_split *out, size_t n, double fraction,
                                   const struct lorac_classes *classes, uint64_t seed,
                                   struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    size_t K = classes ? classes->K : 1;
    *out = (struct lorac_split){0};
    bool *taken = NULL;
    uint32_t *order = NULL;
    size_t *quota = NULL;
    struct lack *lack = NULL;
    size_t total = fraction > 0.0 && fraction < 1.0 ? (size_t)floor((double)n * fraction + 0.5) : 0;
    if (total == 0 || total >= n) {
        st = lorac_fail(err, LORAC_EUSER,
                        "split: %g of %zu rows leaves a side empty, expected rows on both",
                        fraction, n);
        goto done;
    }
    taken = lorac_mem_new(n, sizeof *taken);
    order = lorac_mem_new(n, sizeof *order);
    quota = lorac_mem_new(K, sizeof *quota);
    lack = lorac_mem_new(K, sizeof *lack);
    out->part = lorac_mem_new(total, sizeof *out->part);
    out->rest = lorac_mem_new(n - total, sizeof *out->rest);
    if (!taken || !order || !quota || !lack || !out->part || !out->rest) {
        st = lorac_fail(err, LORAC_ENOMEM, "split: no memory for %zu rows", n);
        goto done;
    }
    quota[0] = total;
    if (classes) { share_out(quota, lack, classes, fraction, total); }
    lorac_rng_shuffle(order, n, lorac_rng_key(seed, "split"), 0);
    for (size_t i = 0; i < n; i++) { // the first of each class in the drawn order
        size_t *left = &quota[classes ? classes->of_row[order[i]] : 0];
        if (*left > 0) {
            --*left;
            taken[order[i]] = true;
        }
    }
    deal(out, taken, n);
done:
    lorac_mem_free(taken);
    lorac_mem_free(order);
    lorac_mem_free(quota);
    lorac_mem_free(lack);
    if (st) { lorac_split_free(out); }
    return st;
}

void lorac_split_free(struct lorac_split *s)
{
    lorac_mem_free(s->rest);
    lorac_mem_free(s->part);
    *s = (struct lorac_split){0};
}
