/* dataset.c - all rows of a table under one template; see datasets.h. */
#include "datasets/dataset.h"
#include "base/core/buf.h"
#include "base/core/mem.h"
#include "datasets/firsts.h"
#include "datasets/names.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum lorac_status lorac_dataset_no_memory(const struct lorac_dataset *d, struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for the dataset", d->file);
}

/* ---- set-up: variables, labels, template ---- */

/* The target's column, where it is no variable: the last one, which there is room for. */
static enum lorac_status add_target(struct lorac_dataset *d, struct lorac_err *err)
{
    const char *name = d->o.label_variable;
    size_t v = d->n_variables;
    for (size_t i = 0; i < d->n_variables; i++) {
        if (strcmp(d->names[i], name) == 0) { return LORAC_OK; }
    }
    enum lorac_status st = lorac_table_column_find(&d->columns[v], d->table, name, err);
    if (st) {
        lorac_err_prefix(err, "data.labels: ");
        return st;
    }
    d->names[v] = lorac_mem_string(name, strlen(name));
    if (!d->names[v]) { return lorac_dataset_no_memory(d, err); }
    d->n_variables++;
    return LORAC_OK;
}

static enum lorac_status set_variables(struct lorac_dataset *d, struct lorac_err *err)
{
    const struct lorac_dataset_options *o = &d->o;
    bool all = o->n_variables == 0;
    size_t n = all ? lorac_table_columns(d->table) : o->n_variables;
    d->names = lorac_mem_new(n + 1, sizeof *d->names); // and the target's
    d->columns = lorac_mem_new(n + 1, sizeof *d->columns);
    if (!d->names || !d->columns) { return lorac_dataset_no_memory(d, err); }
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
        if (!d->names[v]) { return lorac_dataset_no_memory(d, err); }
        d->n_variables = v + 1;
    }
    return d->objective->target ? add_target(d, err) : LORAC_OK;
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
    if (!d->labels) { return lorac_dataset_no_memory(d, err); }
    for (size_t k = 0; k < o->n_labels; k++) {
        struct lorac_mapping *m = &d->labels[d->n_labels++];
        m->entry = k;
        m->n_value = strlen(o->labels[k].value);
        m->n_label = strlen(o->labels[k].label);
        m->value = lorac_mem_string(o->labels[k].value, m->n_value);
        m->label = lorac_mem_string(o->labels[k].label, m->n_label);
        if (!m->value || !m->label) { return lorac_dataset_no_memory(d, err); }
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
    bool answers = o->train_on == LORAC_TRAIN_ASSISTANT || o->train_on == LORAC_TRAIN_LAST;
    if (answers != (o->chat != NULL)) {
        return lorac_fail(err, LORAC_EUSER,
                          "template.train_on: assistant and last are for chats, the others for "
                          "texts");
    }
    if (o->chat && o->shots) {
        return lorac_fail(err, LORAC_EUSER,
                          "shots: of conversations none are put in front of a prompt; expected a "
                          "template of text");
    }
    bool head = o->objective && o->objective->target;
    if (head && (o->chat || o->shots || !o->label_variable || !o->frame)) {
        return lorac_fail(err, LORAC_EUSER,
                          "objective: %s reads a text and a target, no conversation and no shots",
                          o->objective->name);
    }
    if (o->on_too_long == LORAC_LONG_TRUNCATE_END && !head) {
        return lorac_fail(err, LORAC_EUSER,
                          "on_too_long: truncate_end is for objectives with a head: the end of a "
                          "text is its answer");
    }
    if (o->train_on == LORAC_TRAIN_COMPLETION && !completion && !head) {
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

static enum lorac_status open_talk(struct lorac_dataset *d, const struct lorac_template_options *t,
                                   struct lorac_err *err)
{
    const struct lorac_conversations_options o = {
        .chat = d->o.chat,
        .tokenizer = d->tokenizer,
        .form = *t,
        .system = d->o.system,
        .last = d->o.train_on == LORAC_TRAIN_LAST,
        .append_eos = d->o.append_eos,
        .dated = d->o.dated,
        .day = d->o.day,
    };
    d->tools = SIZE_MAX;
    enum lorac_status st = lorac_conversations_open(&d->talk, &o, err);
    if (st || lorac_conversations_messages(d->talk) == SIZE_MAX) { return st; }
    for (size_t c = 0; c < lorac_table_columns(d->table); c++) {
        if (strcmp(lorac_table_column_name(d->table, c), "tools") == 0) { d->tools = c; }
    }
    return LORAC_OK;
}

static enum lorac_status open_passages(struct lorac_dataset *d, struct lorac_err *err)
{
    const struct lorac_passages_options o = {
        .tokenizer = d->tokenizer,
        .text = d->o.prompt,
        .pair = d->o.completion,
        .variables = (const char *const *)d->names,
        .n_variables = d->n_variables,
        .hint = lorac_table_delimiter_hint(d->table),
        .words = d->objective->target == LORAC_TARGET_TAGS,
        .max_length = d->o.max_length,
        .on_too_long = d->o.on_too_long,
    };
    enum lorac_status st = lorac_passages_open(&d->passages, &o, err);
    for (size_t v = 0; v < d->n_variables && !st; v++) { // under whatever name
        if (d->columns[v] != d->columns[d->label_variable]) { continue; }
        if (!lorac_template_uses(lorac_passages_template(d->passages), v)) { continue; }
        st = lorac_fail(err, LORAC_EUSER,
                        "template.prompt: gives '%.60s' away, which is what the head should say "
                        "(data.labels)",
                        d->names[v]);
    }
    return st ? st : lorac_targets_open(d, err);
}

static enum lorac_status open_form(struct lorac_dataset *d, const struct lorac_template_options *t,
                                   struct lorac_err *err)
{
    if (d->objective->target) { return open_passages(d, err); }
    return d->o.chat ? open_talk(d, t, err) : lorac_template_parse(&d->template, t, err);
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
    enum lorac_status st = open_form(d, &t, err);
    bool own_names = d->o.n_variables == 0; // a header's: two may be the same
    for (size_t v = 0; own_names && v < d->n_variables && !st; v++) {
        if (!lorac_dataset_uses(d, v)) { continue; }
        st = lorac_table_column_find(&d->columns[v], d->table, d->names[v], err);
    }
    if (st) { return st; }
    if (d->n_labels > 0 && !lorac_dataset_uses(d, d->label_variable)) {
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
    d->objective = o->objective ? o->objective : &lorac_objectives[0];
    d->file = lorac_mem_string(lorac_table_file(table), strlen(lorac_table_file(table)));
    if (!d->file) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for a dataset"); }
    if (!st) { st = set_variables(d, err); }
    if (!st) { st = set_labels(d, err); }
    if (!st) { st = set_template(d, err); }
    if (!st) { st = lorac_dataset_pass(d, err); }
    d->o.variables = NULL; // borrowed for the call only
    d->o.labels = NULL;
    d->o.rows = NULL;
    d->o.shots = NULL; // d->shots, which outlive it
    d->o.label_variable = d->o.prompt = d->o.completion = d->o.system = d->o.separator = NULL;
    d->o.classes = NULL;
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
    lorac_conversations_close(d->talk);
    lorac_passages_close(d->passages);
    lorac_targets_close(d);
    lorac_mem_free(d->gaps.at);
    lorac_mem_free(d->entries);
    lorac_mem_free(d->kept);
    lorac_ids_free(&d->cache);
    lorac_ids_free(&d->cache_types);
    lorac_ids_free(&d->cache_labels);
    lorac_mem_free(d);
}

static enum lorac_status add_all(struct lorac_ids *to, const int32_t *at, size_t n,
                                 struct lorac_err *err)
{
    if (n == 0) { return LORAC_OK; }
    int32_t *all = lorac_mem_grow(to->at, to->n, &to->cap, to->n + n, sizeof *all);
    if (!all) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a dataset's ids"); }
    to->at = all;
    memcpy(all + to->n, at, n * sizeof *at);
    to->n += n;
    return LORAC_OK;
}

enum lorac_status lorac_dataset_keep(struct lorac_dataset *d, size_t begin,
                                     const struct lorac_example *e, struct lorac_err *err)
{
    struct lorac_kept *kept = lorac_mem_grow(d->kept, d->n, &d->cap_kept, d->n + 1, sizeof *kept);
    if (!kept) { return lorac_dataset_no_memory(d, err); }
    d->kept = kept;
    kept[d->n] = (struct lorac_kept){.begin = begin,
                                     .gaps = d->gaps.n,
                                     .labels = d->cache_labels.n,
                                     .number = e->number,
                                     .trained_from = (uint32_t)e->trained_from};
    enum lorac_status st = lorac_gaps_add(&d->gaps, e->gaps.at, e->gaps.n, err);
    if (!st) { st = add_all(&d->cache_labels, e->labels.at, e->labels.n, err); }
    return st ? st : add_all(&d->cache_types, e->types.at, e->types.n, err);
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
    if (d->passages) { return lorac_passages_template(d->passages); }
    return d->talk ? lorac_conversations_template(d->talk) : d->template;
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

size_t lorac_dataset_rows(const struct lorac_dataset *d, size_t i)
{
    return lorac_dataset_length(d, i) - d->objective->ahead;
}

size_t lorac_dataset_all_rows(const struct lorac_dataset *d)
{
    return (size_t)d->counts.tokens - d->counts.used * d->objective->ahead;
}

const struct lorac_objective *lorac_dataset_objective(const struct lorac_dataset *d)
{
    return d->objective;
}

const struct lorac_target_frame *lorac_dataset_frame(const struct lorac_dataset *d)
{
    return d->frame;
}

enum lorac_status lorac_dataset_percentiles(size_t *length, const int *percent, size_t n,
                                            const struct lorac_dataset *d, struct lorac_err *err)
{
    size_t longest = d->counts.longest;
    size_t *below = lorac_mem_new(longest + 1, sizeof *below); // examples that are at most so long
    if (!below) { return lorac_dataset_no_memory(d, err); }
    for (size_t i = 0; i < d->n; i++) {
        below[d->entries[i].tokens]++;
    }
    for (size_t t = 1; t <= longest; t++) {
        below[t] += below[t - 1];
    }
    for (size_t k = 0; k < n; k++) {
        size_t rank = (d->n * (size_t)percent[k] + 99) / 100;
        length[k] = 1;
        while (length[k] < longest && below[length[k]] < rank) {
            length[k]++;
        }
    }
    lorac_mem_free(below);
    return LORAC_OK;
}

bool lorac_dataset_is_cached(const struct lorac_dataset *d)
{
    return d->cached;
}

size_t lorac_dataset_memory(const struct lorac_dataset *d)
{
    size_t ids = d->cache.cap + d->cache_types.cap + d->cache_labels.cap;
    size_t kept = d->cached ? ids * sizeof *d->cache.at + d->cap_kept * sizeof *d->kept : 0;
    return d->cap * sizeof *d->entries + kept;
}

size_t lorac_dataset_label_count(const struct lorac_dataset *d, size_t k)
{
    for (size_t j = 0; j < d->n_labels; j++) {
        if (d->labels[j].entry == k) { return d->labels[j].count; }
    }
    return 0;
}

/* Example i as it was kept. */
static enum lorac_status take_kept(struct lorac_example *e, const struct lorac_dataset *d, size_t i,
                                   struct lorac_err *err)
{
    const struct lorac_kept *kept = &d->kept[i];
    const struct lorac_kept end = {.gaps = d->gaps.n, .labels = d->cache_labels.n};
    const struct lorac_kept *next = i + 1 < d->n ? kept + 1 : &end;
    size_t n = d->entries[i].tokens;
    e->ids.n = e->types.n = e->labels.n = e->gaps.n = 0;
    e->trained_from = kept->trained_from;
    e->number = kept->number;
    enum lorac_status st = add_all(&e->ids, d->cache.at + kept->begin, n, err);
    if (!st && d->cache_types.n) {
        st = add_all(&e->types, d->cache_types.at + kept->begin, n, err);
    }
    size_t labels = next->labels - kept->labels;
    size_t gaps = next->gaps - kept->gaps;
    if (!st && labels) { st = add_all(&e->labels, d->cache_labels.at + kept->labels, labels, err); }
    return st || !gaps ? st : lorac_gaps_add(&e->gaps, d->gaps.at + kept->gaps, gaps, err);
}

enum lorac_status lorac_dataset_example(struct lorac_example *e, const struct lorac_dataset *d,
                                        size_t i, struct lorac_err *err)
{
    assert(i < d->n);
    const struct lorac_entry *entry = &d->entries[i];
    if (d->cached) { return take_kept(e, d, i, err); }
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
    struct lorac_firsts of_b = {0};
    *out = 0;
    bool *met = lorac_mem_new(b->n, sizeof *met); // the first of b with these ids is in a
    if (!met) { return lorac_dataset_no_memory(b, err); }
    enum lorac_status st =
        lorac_firsts_init(&of_b, &b->entries->hash, sizeof *b->entries, b->n, err);
    for (size_t i = 0; i < b->n && !st; i++) {
        uint32_t *first = lorac_firsts_at(&of_b, b->entries[i].hash);
        if (!*first) { *first = (uint32_t)i + 1; }
    }
    for (size_t i = 0; i < a->n && !st; i++) {
        uint32_t first = *lorac_firsts_at(&of_b, a->entries[i].hash);
        if (first) { met[first - 1] = true; }
    }
    for (size_t i = 0; i < b->n && !st; i++) {
        *out += met[*lorac_firsts_at(&of_b, b->entries[i].hash) - 1];
    }
    lorac_firsts_release(&of_b);
    lorac_mem_free(met);
    return st;
}
