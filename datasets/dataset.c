/* dataset.c - all rows of a table under one template; see datasets.h. */
#include "datasets/dataset.h"
#include "base/core/buf.h"
#include "base/core/mem.h"
#include "datasets/names.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum lorac_status no_memory(const struct lorac_dataset *d, struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for the dataset", d->file);
}

/* ---- set-up: variables, labels, template ---- */

static enum lorac_status set_variables(struct lorac_dataset *d, struct lorac_err *err)
{
    const struct lorac_dataset_options *o = &d->o;
    bool all = o->n_variables == 0;
    size_t n = all ? lorac_table_columns(d->table) : o->n_variables;
    d->names = lorac_mem_new(n, sizeof *d->names);
    d->columns = lorac_mem_new(n, sizeof *d->columns);
    if (!d->names || !d->columns) { return no_memory(d, err); }
    for (size_t v = 0; v < n; v++) {
        const char *name = all ? lorac_table_column_name(d->table, v) : o->variables[v].name;
        d->columns[v] = v;
        if (!all) {
            enum lorac_status st =
                lorac_table_column_find(&d->columns[v], d->table, o->variables[v].column, err);
            if (st) { return st; }
        }
        for (size_t u = 0; u < v; u++) {
            if (!all && strcmp(d->names[u], name) == 0) {
                return lorac_fail(err, LORAC_EUSER, "columns: variable '%.60s' is named twice",
                                  name);
            }
        }
        d->names[v] = lorac_mem_string(name, strlen(name));
        if (!d->names[v]) { return no_memory(d, err); }
        d->n_variables = v + 1;
    }
    return LORAC_OK;
}

enum lorac_status lorac_dataset_variable(size_t *out, const struct lorac_dataset *d,
                                         const char *name, struct lorac_err *err)
{
    for (size_t v = 0; v < d->n_variables; v++) {
        if (strcmp(d->names[v], name) == 0) {
            *out = v;
            return LORAC_OK;
        }
    }
    struct lorac_buf hint = {0};
    char shown[64];
    *out = d->n_variables;
    lorac_names_hint(&hint, name, (const char *const *)d->names, d->n_variables);
    lorac_fail(err, LORAC_EUSER, "no variable '%s'%s%s",
               lorac_visible(shown, sizeof shown, name, strlen(name)), hint.at ? hint.at : "",
               d->table ? lorac_table_delimiter_hint(d->table) : "");
    lorac_buf_free(&hint);
    return LORAC_EUSER;
}

static int compare_mappings(const void *a, const void *b)
{
    const struct lorac_mapping *x = a;
    const struct lorac_mapping *y = b;
    size_t n = x->n_value < y->n_value ? x->n_value : y->n_value;
    int c = n ? memcmp(x->value, y->value, n) : 0;
    return c ? c : (x->n_value > y->n_value) - (x->n_value < y->n_value);
}

static enum lorac_status set_labels(struct lorac_dataset *d, struct lorac_err *err)
{
    const struct lorac_dataset_options *o = &d->o;
    const char *name = o->label_variable ? o->label_variable : "label";
    bool wanted = o->label_variable || o->n_labels > 0;
    enum lorac_status st = lorac_dataset_variable(&d->label_variable, d, name, wanted ? err : NULL);
    if (st && wanted) {
        lorac_err_prefix(err, "labels: ");
        return st;
    }
    if (o->n_labels == 0) { return LORAC_OK; }
    d->labels = lorac_mem_new(o->n_labels, sizeof *d->labels);
    if (!d->labels) { return no_memory(d, err); }
    for (size_t k = 0; k < o->n_labels; k++) {
        struct lorac_mapping *m = &d->labels[d->n_labels++];
        m->entry = k;
        m->n_value = strlen(o->labels[k].value);
        m->n_label = strlen(o->labels[k].label);
        m->value = lorac_mem_string(o->labels[k].value, m->n_value);
        m->label = lorac_mem_string(o->labels[k].label, m->n_label);
        if (!m->value || !m->label) { return no_memory(d, err); }
    }
    qsort(d->labels, d->n_labels, sizeof *d->labels, compare_mappings);
    for (size_t k = 1; k < d->n_labels; k++) {
        if (compare_mappings(&d->labels[k - 1], &d->labels[k]) == 0) {
            return lorac_fail(err, LORAC_EUSER, "labels: value '%.60s' is mapped twice",
                              d->labels[k].value);
        }
    }
    return LORAC_OK;
}

static enum lorac_status check_options(const struct lorac_dataset_options *o, struct lorac_err *err)
{
    if (o->max_length < 2 || o->max_length > UINT32_MAX / 2) {
        return lorac_fail(err, LORAC_EUSER, "max_length: %zu, expected 2 to %u", o->max_length,
                          UINT32_MAX / 2);
    }
    bool completion = o->completion && *o->completion;
    if (o->train_on == LORAC_TRAIN_COMPLETION && !completion) {
        return lorac_fail(err, LORAC_EUSER,
                          "template.completion: empty, expected the text that "
                          "train_on: completion trains");
    }
    if (o->on_unknown_label == LORAC_BAD_KEEP) {
        return lorac_fail(err, LORAC_EUSER,
                          "labels: unknown labels cannot be kept, expected "
                          "error or skip");
    }
    return LORAC_OK;
}

static enum lorac_status set_template(struct lorac_dataset *d, struct lorac_err *err)
{
    const struct lorac_template_options t = {
        .prompt = d->o.prompt,
        .completion = d->o.completion,
        .variables = (const char *const *)d->names,
        .n_variables = d->n_variables,
        .hint = lorac_table_delimiter_hint(d->table),
    };
    enum lorac_status st = lorac_template_parse(&d->template, &t, err);
    bool own_names = d->o.n_variables == 0; // a header's: two may be the same
    for (size_t v = 0; own_names && v < d->n_variables && !st; v++) {
        if (!lorac_template_uses(d->template, v)) { continue; }
        st = lorac_table_column_find(&d->columns[v], d->table, d->names[v], err);
    }
    if (st) { return st; }
    if (d->n_labels > 0 && !lorac_template_uses(d->template, d->label_variable)) {
        return lorac_fail(err, LORAC_EUSER,
                          "labels: variable '%.60s' is mapped, but the template does not use it",
                          d->names[d->label_variable]);
    }
    d->shots = d->o.shots;
    if (d->shots) { // whose prefix has what the tokenizer puts in front
        bool both = lorac_template_has_prompt(d->template);
        return both ? LORAC_OK
                    : lorac_fail(err, LORAC_EUSER,
                                 "shots: the template has no prompt, expected one to show");
    }
    return lorac_prompt_begin(&d->n_begin, d->tokenizer, err);
}

/* ---- the pass over all rows ---- */

struct pass {
    struct lorac_dataset *d;
    struct lorac_example e;
    struct lorac_hashes seen;
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
        return d->o.on_empty == LORAC_BAD_SKIP ? &d->counts.skipped_empty : NULL;
    case LORAC_ROW_UNKNOWN_LABEL:
        return d->o.on_unknown_label == LORAC_BAD_SKIP ? &d->counts.skipped_label : NULL;
    case LORAC_ROW_LONG:
        return d->o.on_too_long == LORAC_LONG_SKIP ? &d->counts.skipped_long : NULL;
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
        snprintf(out, DESCRIPTION, "column '%s' is blank, expected text", name);
        break;
    case LORAC_ROW_UNKNOWN_LABEL:
        snprintf(out, DESCRIPTION, "column '%s' holds '%s', expected a value of labels.map", name,
                 lorac_visible(text, sizeof text, cell->at, cell->n));
        break;
    case LORAC_ROW_UNTRAINED:
        snprintf(out, DESCRIPTION, "nothing to train, expected a completion of at least one token");
        break;
    case LORAC_ROW_LONG:
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
        return LORAC_OK;
    }
    int32_t *at =
        lorac_mem_grow(d->cache.at, d->cache.n, &d->cache.cap, d->cache.n + ids->n, sizeof *at);
    if (!at) { return no_memory(d, err); }
    d->cache.at = at;
    memcpy(at + d->cache.n, ids->at, ids->n * sizeof *at);
    d->cache.n += ids->n;
    return LORAC_OK;
}

static enum lorac_status accept(struct pass *p, size_t row, const struct lorac_made *made,
                                struct lorac_err *err)
{
    struct lorac_dataset *d = p->d;
    struct lorac_data_counts *c = &d->counts;
    const struct lorac_example *e = &p->e;
    uint64_t hash = lorac_example_hash(e);
    if (lorac_hashes_have(&p->seen, hash)) {
        lorac_tally_add(&c->duplicates, e->row.line);
        if (d->o.duplicates == LORAC_DUPLICATE_DROP) { return LORAC_OK; }
    }
    lorac_hashes_add(&p->seen, hash);
    if (made->kept_empty) { lorac_tally_add(&c->kept_empty, e->row.line); }
    if (made->cut) { lorac_tally_add(&c->truncated, e->row.line); }
    c->used++;
    c->tokens += e->ids.n;
    c->trained += e->ids.n - e->trained_from;
    c->last_trained_is_eos += e->ids.at[e->ids.n - 1] == lorac_tokenizer_eos(d->tokenizer);
    c->longest = e->ids.n > c->longest ? e->ids.n : c->longest;
    c->shortest = c->used == 1 || e->ids.n < c->shortest ? e->ids.n : c->shortest;
    enum lorac_status st = LORAC_OK;
    for (size_t t = 0; d->n == 0 && t < e->trained_from && !st; t++) {
        st = lorac_ids_add(&p->beginning, e->ids.at[t], err);
    }
    if (st) { return st; }
    c->common = lorac_ids_common(p->beginning.at, d->n ? c->common : p->beginning.n, e->ids.at,
                                 e->trained_from);
    d->entries[d->n++] = (struct lorac_entry){
        .hash = hash,
        .row = (uint32_t)row,
        .tokens = (uint32_t)e->ids.n,
        .trained = (uint32_t)(e->ids.n - e->trained_from),
    };
    return cache_ids(p, err);
}

/* What lets rows of this verdict pass. To skip all of them would be no way out. */
static const char *way_out(enum lorac_verdict v, bool all)
{
    switch (v) {
    case LORAC_ROW_EMPTY:
        return all ? "on_empty: keep takes them as they are, or leave the column out of the "
                     "template"
                   : "on_empty: skip leaves them out, keep takes them as they are, and a part of "
                     "the "
                     "template in {?name}...{/name} goes where its cell is blank";
    case LORAC_ROW_UNKNOWN_LABEL:
        return all ? "the map is of other words than the column: without labels.map its own are "
                     "taken"
                   : "labels.unknown: skip leaves them out";
    case LORAC_ROW_LONG:
        return all ? "a larger model.max_length lets them in" : "on_too_long: skip leaves them out";
    case LORAC_ROW_UNTRAINED:
        return all ? "append_eos: true would train an end" : "on_empty: skip leaves them out";
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
                         way_out((enum lorac_verdict)v, all));
    }
    enum lorac_status st = LORAC_OK;
    if (text.no_memory) {
        st = no_memory(p->d, err);
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

static enum lorac_status run_pass(struct lorac_dataset *d, struct lorac_err *err)
{
    size_t n = d->o.rows ? d->o.n_rows : lorac_table_rows(d->table);
    struct pass p = {.d = d, .caching = d->o.cache > 0};
    enum lorac_status st = lorac_hashes_init(&p.seen, n, err);
    if (st) { goto done; }
    d->entries = lorac_mem_new(n, sizeof *d->entries);
    d->cap = n;
    if (!d->entries) {
        st = no_memory(d, err);
        goto done;
    }
    st = look_at_rows(&p, n, err);
    if (st || !p.caching) { goto done; }
    d->start = lorac_mem_new(d->n, sizeof *d->start);
    if (!d->start) {
        st = no_memory(d, err);
        goto done;
    }
    for (size_t i = 1; i < d->n; i++) {
        d->start[i] = d->start[i - 1] + d->entries[i - 1].tokens;
    }
    d->cached = true;
done:
    lorac_example_free(&p.e);
    lorac_ids_free(&p.beginning);
    lorac_hashes_release(&p.seen);
    return st;
}

enum lorac_status lorac_dataset_open(struct lorac_dataset **out, const struct lorac_table *table,
                                     const struct lorac_tokenizer *tokenizer,
                                     const struct lorac_dataset_options *o, struct lorac_err *err)
{
    *out = NULL;
    enum lorac_status st = check_options(o, err);
    if (st) { return st; }
    struct lorac_dataset *d = lorac_mem_new(1, sizeof *d);
    if (!d) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a dataset"); }
    d->table = table;
    d->tokenizer = tokenizer;
    d->o = *o;
    d->file = lorac_mem_string(lorac_table_file(table), strlen(lorac_table_file(table)));
    if (!d->file) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for a dataset"); }
    if (!st) { st = set_variables(d, err); }
    if (!st) { st = set_labels(d, err); }
    if (!st) { st = set_template(d, err); }
    if (!st) { st = run_pass(d, err); }
    d->o.variables = NULL; // borrowed for the call only
    d->o.labels = NULL;
    d->o.rows = NULL;
    d->o.shots = NULL; // d->shots, which outlive it
    d->o.label_variable = d->o.prompt = d->o.completion = NULL;
    if (st) {
        lorac_dataset_close(d);
        d = NULL;
    }
    *out = d;
    return st;
}

void lorac_dataset_close(struct lorac_dataset *d)
{
    if (!d) { return; }
    for (size_t v = 0; v < d->n_variables; v++) {
        lorac_mem_free(d->names[v]);
    }
    for (size_t k = 0; k < d->n_labels; k++) {
        lorac_mem_free(d->labels[k].value);
        lorac_mem_free(d->labels[k].label);
    }
    lorac_mem_free(d->file);
    lorac_mem_free(d->names);
    lorac_mem_free(d->columns);
    lorac_mem_free(d->labels);
    lorac_template_free(d->template);
    lorac_mem_free(d->entries);
    lorac_mem_free(d->start);
    lorac_ids_free(&d->cache);
    lorac_mem_free(d);
}

/* ---- what a dataset says of itself ---- */

const struct lorac_data_counts *lorac_dataset_counts(const struct lorac_dataset *d)
{
    return &d->counts;
}

const char *lorac_dataset_file(const struct lorac_dataset *d)
{
    return d->file;
}

bool lorac_dataset_is_text(const struct lorac_dataset *d)
{
    return d->table == NULL;
}

const struct lorac_template *lorac_dataset_template(const struct lorac_dataset *d)
{
    return d->template;
}

const struct lorac_shots *lorac_dataset_shots(const struct lorac_dataset *d)
{
    return d->shots;
}

int32_t lorac_dataset_place(struct lorac_batch *b, const struct lorac_dataset *d,
                            const int32_t *ids, size_t n)
{
    if (!d->shots) { return lorac_batch_add(b, ids, n, -1); }
    return lorac_batch_add_cached(b, ids, n, -1, 0, d->shots->prefix.n, false);
}

size_t lorac_dataset_size(const struct lorac_dataset *d)
{
    return d->n;
}

size_t lorac_dataset_row(const struct lorac_dataset *d, size_t i)
{
    assert(i < d->n);
    return d->entries[i].row;
}

uint64_t lorac_dataset_line(const struct lorac_dataset *d, size_t i)
{
    size_t row = lorac_dataset_row(d, i);
    return d->table ? lorac_table_line(d->table, row) : row + 1;
}

size_t lorac_dataset_length(const struct lorac_dataset *d, size_t i)
{
    assert(i < d->n);
    return d->entries[i].tokens;
}

size_t lorac_dataset_trained(const struct lorac_dataset *d, size_t i)
{
    assert(i < d->n);
    return d->entries[i].trained;
}

bool lorac_dataset_is_cached(const struct lorac_dataset *d)
{
    return d->cached;
}

size_t lorac_dataset_memory(const struct lorac_dataset *d)
{
    size_t ids = d->cached ? d->cache.cap * sizeof *d->cache.at + d->n * sizeof *d->start : 0;
    return d->cap * sizeof *d->entries + ids;
}

size_t lorac_dataset_label_count(const struct lorac_dataset *d, size_t k)
{
    for (size_t j = 0; j < d->n_labels; j++) {
        if (d->labels[j].entry == k) { return d->labels[j].count; }
    }
    return 0;
}

enum lorac_status lorac_dataset_example(struct lorac_example *e, const struct lorac_dataset *d,
                                        size_t i, struct lorac_err *err)
{
    assert(i < d->n);
    const struct lorac_entry *entry = &d->entries[i];
    if (d->cached) {
        int32_t *at = lorac_mem_grow(e->ids.at, 0, &e->ids.cap, entry->tokens, sizeof *at);
        if (!at) { return no_memory(d, err); }
        memcpy(at, d->cache.at + d->start[i], entry->tokens * sizeof *at);
        e->ids.at = at;
        e->ids.n = entry->tokens;
        e->trained_from = entry->tokens - entry->trained;
        return LORAC_OK;
    }
    struct lorac_made made;
    enum lorac_status st = lorac_example_make(&made, e, d, entry->row, err);
    if (st) { return st; }
    if (made.verdict || lorac_example_hash(e) != entry->hash) {
        return lorac_fail(err, LORAC_EIO, "%s:%llu: the file changed while it was read",
                          lorac_table_file(d->table), (unsigned long long)e->row.line);
    }
    return LORAC_OK;
}

uint64_t lorac_dataset_digest(const struct lorac_dataset *d)
{
    uint64_t h = d->n;
    for (size_t i = 0; i < d->n; i++) { // in order: multiply, add, mix (SplitMix64's constants)
        h = h * 0x9E3779B97F4A7C15U + d->entries[i].hash;
        h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9U;
        h ^= h >> 31;
    }
    return h;
}

enum lorac_status lorac_dataset_shared(size_t *out, const struct lorac_dataset *a,
                                       const struct lorac_dataset *b, struct lorac_err *err)
{
    struct lorac_hashes seen = {0};
    *out = 0;
    enum lorac_status st = lorac_hashes_init(&seen, a->n, err);
    if (st) { return st; }
    for (size_t i = 0; i < a->n; i++) {
        lorac_hashes_add(&seen, a->entries[i].hash);
    }
    for (size_t i = 0; i < b->n; i++) {
        *out += lorac_hashes_have(&seen, b->entries[i].hash);
    }
    lorac_hashes_release(&seen);
    return LORAC_OK;
}
