/* dataset_pass.c - the pass over all rows of a table when a dataset is opened; see datasets.h. */
#include "base/core/buf.h"
#include "base/core/mem.h"
#include "datasets/dataset.h"
#include "datasets/firsts.h"

#include <stdio.h>
#include <string.h>

struct pass {
    struct lorac_dataset *d;
    struct lorac_example e;
    struct lorac_firsts seen;
    struct lorac_ids beginning;               // ids of the first row that is used
    struct lorac_tally bad[LORAC_N_VERDICTS]; // rows that are errors
    char first[LORAC_N_VERDICTS][240];        // what is wrong with the first of them
    bool caching;
};

/* The tally of rows that are skipped for this reason, or NULL where they are errors. */
static struct lorac_tally *skipped(struct lorac_dataset *d, enum lorac_verdict v)
{
    switch (v) {
    case LORAC_ROW_EMPTY:
    case LORAC_ROW_UNTRAINED:
    case LORAC_ROW_PROMPTLESS:
        return d->o.on_empty == LORAC_BAD_SKIP ? &d->counts.skipped_empty : NULL;
    case LORAC_ROW_UNKNOWN_LABEL:
        return d->o.on_unknown_label == LORAC_BAD_SKIP ? &d->counts.skipped_label : NULL;
    case LORAC_ROW_LONG:
        return d->o.on_too_long == LORAC_LONG_SKIP ? &d->counts.skipped_long : NULL;
    case LORAC_ROW_WRONG:
    case LORAC_ROW_GOOD:
    case LORAC_N_VERDICTS:
    default:
        return NULL;
    }
}

enum { DESCRIPTION = 240 };

static void describe(char out[DESCRIPTION], const struct lorac_dataset *d,
                     const struct lorac_made *made, const struct lorac_example *e)
{
    char name[80];
    char text[64];
    const char *column = lorac_table_column_name(d->table, d->columns[made->variable]);
    const struct lorac_cell *cell = &e->row.cells[d->columns[made->variable]];
    lorac_visible(name, sizeof name, column, strlen(column));
    switch (made->verdict) {
    case LORAC_ROW_EMPTY:
        if (made->why[0]) {
            snprintf(out, DESCRIPTION, "%s", made->why);
        } else {
            snprintf(out, DESCRIPTION, "column '%s' is blank, expected text", name);
        }
        break;
    case LORAC_ROW_WRONG:
        snprintf(out, DESCRIPTION, "%s", made->why);
        break;
    case LORAC_ROW_UNKNOWN_LABEL:
        if (made->why[0]) {
            snprintf(out, DESCRIPTION, "%s", made->why);
        } else {
            snprintf(out, DESCRIPTION, "column '%s' holds '%s', expected a value of labels.map",
                     name, lorac_visible(text, sizeof text, cell->at, cell->n));
        }
        break;
    case LORAC_ROW_UNTRAINED:
        snprintf(out, DESCRIPTION, "nothing to train, expected %s",
                 d->passages ? "a word that has a tag" : "a completion of at least one token");
        break;
    case LORAC_ROW_PROMPTLESS:
        snprintf(out, DESCRIPTION, "the prompt has no token, expected one or more");
        break;
    case LORAC_ROW_LONG:
        if (d->passages) {
            snprintf(out, DESCRIPTION, "%zu tokens, expected at most max_length %zu", e->ids.n,
                     d->o.max_length);
            break;
        }
        snprintf(out, DESCRIPTION,
                 "%zu tokens, %zu of them completion, expected at most max_length %zu", e->ids.n,
                 made->completion, d->o.max_length);
        break;
    case LORAC_ROW_GOOD:
    case LORAC_N_VERDICTS:
    default:
        out[0] = '\0';
        break;
    }
}

static void reject(struct pass *p, const struct lorac_made *made)
{
    struct lorac_tally *t = skipped(p->d, made->verdict);
    if (!t) {
        t = &p->bad[made->verdict];
        if (t->n == 0) { describe(p->first[made->verdict], p->d, made, &p->e); }
    }
    lorac_tally_add(t, p->e.row.line);
}

/* Keep the ids while they fit the cache; the first that doesn't ends it. */
static enum lorac_status cache_ids(struct pass *p, struct lorac_err *err)
{
    struct lorac_dataset *d = p->d;
    const struct lorac_ids *ids = &p->e.ids;
    if (!p->caching) { return LORAC_OK; }
    if (d->cache.n + ids->n > d->o.cache / sizeof *ids->at) {
        p->caching = false;
        lorac_ids_free(&d->cache);
        lorac_ids_free(&d->cache_types);
        lorac_ids_free(&d->cache_labels);
        lorac_mem_free(d->kept);
        d->kept = NULL;
        return LORAC_OK;
    }
    int32_t *at =
        lorac_mem_grow(d->cache.at, d->cache.n, &d->cache.cap, d->cache.n + ids->n, sizeof *at);
    if (!at) { return lorac_dataset_no_memory(d, err); }
    d->cache.at = at;
    memcpy(at + d->cache.n, ids->at, ids->n * sizeof *at);
    d->cache.n += ids->n;
    return lorac_dataset_keep(d, d->cache.n - ids->n, &p->e, err);
}

static enum lorac_status accept(struct pass *p, size_t row, const struct lorac_made *made,
                                struct lorac_err *err)
{
    struct lorac_dataset *d = p->d;
    struct lorac_data_counts *c = &d->counts;
    const struct lorac_example *e = &p->e;
    uint64_t hash = lorac_example_hash(e);
    uint32_t *first = lorac_firsts_at(&p->seen, hash);
    if (*first) {
        lorac_tally_add(&c->duplicates, e->row.line);
        if (d->o.duplicates == LORAC_DUPLICATE_DROP) { return LORAC_OK; }
    }
    if (made->kept_empty) { lorac_tally_add(&c->kept_empty, e->row.line); }
    if (made->cut) { lorac_tally_add(&c->truncated, e->row.line); }
    c->used++;
    c->tokens += e->ids.n;
    c->trained += lorac_example_trained(e, d);
    lorac_targets_count(d, e);
    c->last_trained_is_eos += // a head ends no text
        d->passages || e->ids.at[e->ids.n - 1] == lorac_tokenizer_eos(d->tokenizer);
    c->longest = e->ids.n > c->longest ? e->ids.n : c->longest;
    c->shortest = c->used == 1 || e->ids.n < c->shortest ? e->ids.n : c->shortest;
    enum lorac_status st = LORAC_OK;
    for (size_t t = 0; d->n == 0 && t < e->trained_from && !st; t++) {
        st = lorac_ids_add(&p->beginning, e->ids.at[t], err);
    }
    if (st) { return st; }
    c->common = lorac_ids_common(p->beginning.at, d->n ? c->common : p->beginning.n, e->ids.at,
                                 e->trained_from - 1);
    st = cache_ids(p, err);
    if (st) { return st; }
    d->entries[d->n++] =
        (struct lorac_entry){.hash = hash, .row = (uint32_t)row, .tokens = (uint32_t)e->ids.n};
    if (!*first) { *first = (uint32_t)d->n; }
    return LORAC_OK;
}

/* What lets rows of this verdict pass. To skip all of them would be no way out. */
static const char *way_out(enum lorac_verdict v, bool all, bool mapped)
{
    switch (v) {
    case LORAC_ROW_EMPTY:
        return all ? "on_empty: keep takes them as they are, or leave the column out of the "
                     "template"
                   : "on_empty: skip leaves them out, keep takes them as they are, and a part of "
                     "the "
                     "template in {?name}...{/name} goes where its cell is blank";
    case LORAC_ROW_UNKNOWN_LABEL:
        if (!all) { return "labels.unknown: skip leaves them out"; }
        return mapped ? "the map is of other words than the column: without labels.map its own are "
                        "taken"
                      : "the table has none of them";
    case LORAC_ROW_LONG:
        return all ? "a larger model.max_length lets them in" : "on_too_long: skip leaves them out";
    case LORAC_ROW_UNTRAINED:
        return all ? "append_eos: true would train an end" : "on_empty: skip leaves them out";
    case LORAC_ROW_PROMPTLESS:
        return all ? "put a word into template.prompt: all rows have it"
                   : "on_empty: skip leaves them out, or put a word into template.prompt: all rows "
                     "have it";
    case LORAC_ROW_WRONG:
        return "they are to be mended, or left out of the file";
    case LORAC_ROW_GOOD:
    case LORAC_N_VERDICTS:
    default:
        return "";
    }
}

/* One line: the first bad row of each kind, how many there are, and which setting lets them pass.
 */
static enum lorac_status fail_rows(const struct pass *p, struct lorac_err *err)
{
    struct lorac_buf text = {0};
    for (int v = 1; v < LORAC_N_VERDICTS; v++) {
        const struct lorac_tally *t = &p->bad[v];
        if (t->n == 0) { continue; }
        bool all = t->n > 1 && t->n == p->d->counts.rows;
        lorac_buf_printf(&text, "%s%s:%llu: %s (", text.n ? "; " : "",
                         lorac_table_file(p->d->table), (unsigned long long)t->line[0],
                         p->first[v]);
        if (all) {
            lorac_buf_printf(&text, "all %zu rows", t->n);
        } else {
            lorac_buf_printf(&text, "%zu such row%s", t->n, t->n == 1 ? "" : "s, lines ");
        }
        for (size_t i = 0; !all && t->n > 1 && i < t->n && i < LORAC_TALLY_LINES; i++) {
            lorac_buf_printf(&text, "%s%llu", i ? ", " : "", (unsigned long long)t->line[i]);
        }
        lorac_buf_printf(&text, "%s; %s)", !all && t->n > LORAC_TALLY_LINES ? ", ..." : "",
                         way_out((enum lorac_verdict)v, all, p->d->o.n_labels > 0));
    }
    enum lorac_status st = LORAC_OK;
    if (text.no_memory) {
        st = lorac_dataset_no_memory(p->d, err);
    } else if (text.n > 0) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s", text.at);
    }
    lorac_buf_free(&text);
    return st;
}

static enum lorac_status fail_none_left(const struct lorac_dataset *d, struct lorac_err *err)
{
    const struct lorac_data_counts *c = &d->counts;
    return lorac_fail(err, LORAC_EFORMAT,
                      "%s: no row is left of %zu: %zu empty, %zu too long, %zu with an unknown "
                      "label, expected at least one",
                      lorac_table_file(d->table), c->rows, c->skipped_empty.n, c->skipped_long.n,
                      c->skipped_label.n);
}

static enum lorac_status look_at_rows(struct pass *p, size_t n, struct lorac_err *err)
{
    struct lorac_dataset *d = p->d;
    for (size_t i = 0; i < n; i++) {
        struct lorac_made made;
        size_t row = d->o.rows ? d->o.rows[i] : i;
        if (row >= lorac_table_rows(d->table)) {
            return lorac_fail(err, LORAC_EUSER, "%s: row %zu of %zu is asked for",
                              lorac_table_file(d->table), row, lorac_table_rows(d->table));
        }
        enum lorac_status st = lorac_example_make(&made, &p->e, d, row, err);
        if (st) { return st; }
        d->counts.rows++;
        if (made.mapping < d->n_labels) { d->labels[made.mapping].count++; }
        if (made.verdict) {
            reject(p, &made);
            continue;
        }
        st = accept(p, row, &made, err);
        if (st) { return st; }
    }
    enum lorac_status st = fail_rows(p, err);
    if (!st && d->n == 0) { st = fail_none_left(d, err); }
    return st;
}

enum lorac_status lorac_dataset_pass(struct lorac_dataset *d, struct lorac_err *err)
{
    size_t n = d->o.rows ? d->o.n_rows : lorac_table_rows(d->table);
    struct pass p = {.d = d, .caching = d->o.cache > 0};
    enum lorac_status st = LORAC_OK;
    d->entries = lorac_mem_new(n, sizeof *d->entries);
    d->cap = n;
    if (!d->entries) { return lorac_dataset_no_memory(d, err); }
    st = lorac_firsts_init(&p.seen, &d->entries->hash, sizeof *d->entries, n, err);
    if (!st) { st = look_at_rows(&p, n, err); }
    d->cached = p.caching;
    lorac_example_free(&p.e);
    lorac_ids_free(&p.beginning);
    lorac_firsts_release(&p.seen);
    return st;
}
