/* labels_look.c - how many rows have each label, and what is odd about that; see labels.h. */
#include "recipes/run/labels.h"

#include "base/core/mem.h"
#include "datasets/firsts.h"
#include "recipes/run/heads.h"

#include <string.h>

enum {
    SHOWN = 5,
    GROUPS = 3
}; // names in a sentence; groups of look-alikes, and of texts, that are told

/* One row of one of the datasets, in the order in which they are gone through. */
struct asked {
    uint64_t prompt; // a hash of the values that the prompt shows
    uint32_t label;  // K: none
    uint32_t other;  // of the first row with this prompt: the first that has another label; 0: none
};

struct looker {
    const struct lorac_job *j;
    struct lorac_label_look *l;
    struct asked *asked; // (n)
    size_t n;
};

static enum lorac_status no_memory(struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "no memory to count labels");
}

/* The next sentence to fill, or NULL. */
static struct lorac_buf *add_note(struct lorac_label_look *l)
{
    struct lorac_buf *at = lorac_mem_grow(l->note, l->n, &l->cap, l->n + 1, sizeof *at);
    if (!at) { return NULL; }
    l->note = at;
    at[l->n] = (struct lorac_buf){0};
    return &at[l->n++];
}

static void add_list(struct lorac_buf *b, const char *label, size_t i)
{
    char shown[LORAC_LABEL_SHOWN];
    if (i < SHOWN) { lorac_buf_printf(b, "%s%s", i ? ", " : "", lorac_label_show(shown, label)); }
}

/* ---- counting ---- */

static uint64_t hash_values(const struct lorac_dataset *set, const struct lorac_example *e,
                            size_t n)
{
    uint64_t h = 0xCBF29CE484222325U; // FNV-1a, with the length behind each value
    const struct lorac_template *t = lorac_dataset_template(set);
    for (size_t v = 0; v < n; v++) {
        if (!lorac_template_prompt_uses(t, v)) { continue; }
        for (size_t i = 0; i < e->values[v].n; i++) {
            h = (h ^ (unsigned char)e->values[v].at[i]) * 0x100000001B3U;
        }
        h = (h ^ e->values[v].n ^ 0x9E3779B97F4A7C15U) * 0x100000001B3U;
    }
    return h;
}

static enum lorac_status count_rows(struct looker *w, struct lorac_label_counts *c,
                                    struct lorac_err *err)
{
    struct lorac_example e = {0};
    size_t label = 0;
    const struct lorac_recipe *r = w->j->recipe;
    size_t variables =
        r->data.columns.n ? r->data.columns.n : lorac_table_columns(w->j->train.table);
    enum lorac_status st = lorac_dataset_variable(&label, c->set, w->j->label_variable, err);
    for (size_t i = 0; i < c->rows && !st; i++) {
        st = lorac_dataset_values(&e, c->set, i, err);
        if (st) { break; }
        size_t k = lorac_label_index(w->j, &e.values[label]);
        w->asked[w->n++] = (struct asked){hash_values(c->set, &e, variables), (uint32_t)k, 0};
        c->unknown += k == w->l->K;
        if (k < w->l->K) { c->count[k]++; }
    }
    lorac_example_free(&e);
    for (size_t k = 1; k < w->l->K; k++) {
        if (c->count[k] > c->count[c->commonest]) { c->commonest = k; }
    }
    return st;
}

/* ---- what is odd ---- */

/* Labels that a split lacks or has alone. */
static enum lorac_status note_missing(struct looker *w, struct lorac_err *err)
{
    struct lorac_label_look *l = w->l;
    const struct lorac_recipe_map *map = &w->j->recipe->data.labels.map;
    const struct lorac_label_counts *train = &l->split[0];
    for (size_t k = 0; k < map->n; k++) {
        if (lorac_dataset_label_count(w->j->train.set, k)) { continue; }
        struct lorac_buf *b = add_note(l);
        if (!b) { return no_memory(err); }
        lorac_buf_printf(b, "no training row has the label '%s' (data.labels.map)", map->at[k].key);
    }
    for (size_t s = 1; s < LORAC_LABEL_SPLITS; s++) {
        const struct lorac_label_counts *c = &l->split[s];
        size_t alone = 0;
        size_t lacks = 0;
        struct lorac_buf there = {0};
        struct lorac_buf gone = {0};
        for (size_t i = 0; i < l->K && c->rows; i++) {
            size_t k = l->order[i];
            bool only_here = c->count[k] && !train->count[k];
            if (only_here) { add_list(&there, w->j->labels[k], alone++); }
            if (train->count[k] && !c->count[k]) { add_list(&gone, w->j->labels[k], lacks++); }
        }
        struct lorac_buf *b = alone ? add_note(l) : NULL;
        if (b) {
            lorac_buf_printf(b, "data.%s alone has the label%s %s%s: no training row has %s",
                             c->name, alone == 1 ? "" : "s", there.at ? there.at : "",
                             alone > SHOWN ? ", ..." : "", alone == 1 ? "it" : "them");
        }
        struct lorac_buf *d = lacks ? add_note(l) : NULL;
        if (d) {
            lorac_buf_printf(d, "%zu of the %zu labels %s in no row of data.%s: %s%s", lacks, l->K,
                             lacks == 1 ? "stands" : "stand", c->name, gone.at ? gone.at : "",
                             lacks > SHOWN ? ", ..." : "");
        }
        struct lorac_buf *u = c->unknown ? add_note(l) : NULL;
        if (u) {
            lorac_buf_printf(
                u,
                "%zu of the %zu rows of data.%s have a label that no row of data.train "
                "has: they count as wrong",
                c->unknown, c->rows, c->name);
        }
        bool lost = (alone && !b) || (lacks && !d) || (c->unknown && !u) || there.no_memory ||
                    gone.no_memory;
        lorac_buf_free(&there);
        lorac_buf_free(&gone);
        if (lost) { return no_memory(err); }
    }
    return LORAC_OK;
}

static size_t rows_of(const struct lorac_label_look *l, size_t k)
{
    size_t n = 0;
    for (size_t s = 0; s < LORAC_LABEL_SPLITS; s++) {
        n += l->split[s].rows ? l->split[s].count[k] : 0;
    }
    return n;
}

/* The labels that are one in another writing, beginning with k; `done`: told already. */
static bool add_group(struct lorac_buf *b, struct looker *w, const struct lorac_buf *fold,
                      bool *done, size_t k)
{
    size_t n = 0;
    char shown[LORAC_LABEL_SHOWN];
    for (size_t m = k + 1; m < w->l->K; m++) {
        if (done[m] || strcmp(fold[k].at, fold[m].at) != 0) { continue; }
        done[m] = true;
        if (n++ == 0) {
            size_t rows = rows_of(w->l, k);
            lorac_buf_printf(b, "%s%s (%zu row%s)", b->n ? "; " : "",
                             lorac_label_show(shown, w->j->labels[k]), rows, rows == 1 ? "" : "s");
        }
        lorac_buf_printf(b, ", %s (%zu)", lorac_label_show(shown, w->j->labels[m]),
                         rows_of(w->l, m));
    }
    return n > 0;
}

static enum lorac_status note_alike(struct looker *w, struct lorac_err *err)
{
    size_t K = w->l->K;
    size_t groups = 0;
    struct lorac_buf list = {0};
    struct lorac_buf *fold = lorac_mem_new(K, sizeof *fold);
    bool *done = lorac_mem_new(K, sizeof *done);
    bool lost = !fold || !done;
    for (size_t k = 0; k < K && !lost; k++) {
        lorac_label_fold(&fold[k], w->j->labels[k]);
        lost = fold[k].no_memory;
    }
    for (size_t k = 0; k < K && !lost; k++) {
        struct lorac_buf rest = {0}; // groups beyond those that are told are counted
        if (done[k]) { continue; }
        groups += add_group(groups < GROUPS ? &list : &rest, w, fold, done, k);
        lorac_buf_free(&rest);
    }
    struct lorac_buf *b = groups && !lost ? add_note(w->l) : NULL;
    if (b) {
        lorac_buf_printf(
            b,
            "labels that differ in case, blanks or the way of writing a number alone are "
            "answers of their own: %s%s; data.labels.map makes them one",
            list.at ? list.at : "", groups > GROUPS ? "; ..." : "");
    }
    lost = lost || list.no_memory || (groups && !b);
    for (size_t k = 0; fold && k < K; k++) {
        lorac_buf_free(&fold[k]);
    }
    lorac_mem_free(fold);
    lorac_mem_free(done);
    lorac_buf_free(&list);
    return lost ? no_memory(err) : LORAC_OK;
}

/* "train.csv:3 'a'" of row `at`, counted through the splits. */
static void add_place(struct lorac_buf *b, const struct looker *w, size_t at)
{
    const struct asked *row = &w->asked[at];
    size_t s = 0;
    while (at >= w->l->split[s].rows) {
        at -= w->l->split[s++].rows;
    }
    const struct lorac_dataset *set = w->l->split[s].set;
    const char *file = lorac_dataset_file(set);
    const char *slash = strrchr(file, '/');
    lorac_buf_printf(b, "%s:%llu", slash ? slash + 1 : file,
                     (unsigned long long)lorac_dataset_line(set, at));
    char shown[LORAC_LABEL_SHOWN];
    if (row->label < w->l->K) {
        lorac_buf_printf(b, " %s", lorac_label_show(shown, w->j->labels[row->label]));
    }
}

/* How many prompts have two answers: their first rows are told of the other. */
static enum lorac_status find_conflicts(size_t *n, struct looker *w, struct lorac_err *err)
{
    struct lorac_firsts seen = {0};
    *n = 0;
    enum lorac_status st = lorac_firsts_init(&seen, &w->asked->prompt, sizeof *w->asked, w->n, err);
    for (size_t i = 0; i < w->n && !st; i++) {
        uint32_t *at = lorac_firsts_at(&seen, w->asked[i].prompt);
        if (!*at) { *at = (uint32_t)i + 1; }
        struct asked *first = &w->asked[*at - 1];
        if (first->label == w->asked[i].label || first->other) { continue; }
        first->other = (uint32_t)i;
        ++*n;
    }
    lorac_firsts_release(&seen);
    return st;
}

/* Rows that ask the same and have two answers. The first few texts in the order of the tables are
 * told. */
static enum lorac_status note_conflicts(struct looker *w, struct lorac_err *err)
{
    size_t groups = 0;
    size_t told = 0;
    enum lorac_status st = find_conflicts(&groups, w, err);
    if (st || !groups) { return st; }
    struct lorac_buf *b = add_note(w->l);
    if (!b) { return no_memory(err); }
    lorac_buf_printf(b, "%zu text%s ha%s more than one label: ", groups, groups == 1 ? "" : "s",
                     groups == 1 ? "s" : "ve");
    for (size_t i = 0; i < w->n && told < GROUPS; i++) {
        if (!w->asked[i].other) { continue; }
        lorac_buf_str(b, told++ ? "; " : "");
        add_place(b, w, i);
        lorac_buf_str(b, ", ");
        add_place(b, w, w->asked[i].other);
    }
    if (groups > GROUPS) { lorac_buf_str(b, "; ..."); }
    return LORAC_OK;
}

/* ---- all of it ---- */

/* Without labels: a column that nearly was one. */
static enum lorac_status note_free_text(struct looker *w, struct lorac_err *err)
{
    const struct lorac_job *j = w->j;
    size_t rows = j->train.table ? lorac_table_rows(j->train.table) : 0;
    if (!j->answers || 2 * j->answers > rows) { return LORAC_OK; }
    struct lorac_buf *b = add_note(w->l);
    if (!b) { return no_memory(err); }
    lorac_buf_printf(
        b,
        "{%s} is taken as free text: it has %s%zu different answers in %zu rows (labels "
        "have four rows each on average and are 256 at the most; data.labels.map "
        "makes any answers labels)",
        j->label_variable, j->answers > 256 ? "more than " : "",
        j->answers > 256 ? (size_t)256 : j->answers, rows);
    return LORAC_OK;
}

static void sort_labels(struct lorac_label_look *l)
{
    const size_t *count = l->split[0].count;
    for (size_t k = 0; k < l->K; k++) { // insertion: a few hundred at the most
        size_t at = k;
        for (; at > 0 && count[l->order[at - 1]] < count[k]; at--) {
            l->order[at] = l->order[at - 1];
        }
        l->order[at] = k;
    }
}

static enum lorac_status look(struct looker *w, struct lorac_err *err)
{
    struct lorac_label_look *l = w->l;
    size_t n = 0;
    for (size_t s = 0; s < LORAC_LABEL_SPLITS; s++) {
        n += l->split[s].rows;
    }
    w->asked = lorac_mem_new(n, sizeof *w->asked);
    l->order = lorac_mem_new(l->K, sizeof *l->order);
    if (!w->asked || !l->order) { return no_memory(err); }
    enum lorac_status st = LORAC_OK;
    for (size_t s = 0; s < LORAC_LABEL_SPLITS && !st; s++) {
        struct lorac_label_counts *c = &l->split[s];
        if (!c->rows) { continue; }
        c->count = lorac_mem_new(l->K, sizeof *c->count);
        st = c->count ? count_rows(w, c, err) : no_memory(err);
    }
    if (st) { return st; }
    sort_labels(l);
    if (l->K == 1) {
        struct lorac_buf *b = add_note(l);
        if (!b) { return no_memory(err); }
        char shown[LORAC_LABEL_SHOWN];
        lorac_buf_printf(b, "every row has the label %s: there is nothing to choose from",
                         lorac_label_show(shown, w->j->labels[0]));
    }
    st = note_alike(w, err);
    if (!st) { st = note_missing(w, err); }
    return st ? st : note_conflicts(w, err);
}

enum lorac_status lorac_labels_look(struct lorac_label_look **out, const struct lorac_job *j,
                                    struct lorac_err *err)
{
    static const char *const names[] = {"train", "valid", "test"};
    const struct lorac_dataset *const sets[] = {j->train.set, j->valid.set, j->test.set};
    *out = NULL;
    struct lorac_label_look *l = lorac_mem_new(1, sizeof *l);
    if (!l) { return no_memory(err); }
    const enum lorac_target target = lorac_job_objective(j)->target;
    bool one = target == LORAC_TARGET_NONE || target == LORAC_TARGET_LABEL; // a row
    struct looker w = {.j = j, .l = l};
    l->K = one ? j->K : 0;
    for (size_t s = 0; s < LORAC_LABEL_SPLITS; s++) {
        l->split[s].name = names[s];
        l->split[s].set = sets[s];
        l->split[s].rows = sets[s] && l->K ? lorac_dataset_size(sets[s]) : 0;
    }
    enum lorac_status st = l->K ? look(&w, err) : one ? note_free_text(&w, err) : LORAC_OK;
    for (size_t i = 0; i < l->n && !st; i++) {
        if (l->note[i].no_memory) { st = no_memory(err); }
    }
    lorac_mem_free(w.asked);
    if (st) {
        lorac_label_look_free(l);
        l = NULL;
    }
    *out = l;
    return st;
}

void lorac_label_look_free(struct lorac_label_look *l)
{
    if (!l) { return; }
    for (size_t i = 0; i < l->n; i++) {
        lorac_buf_free(&l->note[i]);
    }
    for (size_t s = 0; s < LORAC_LABEL_SPLITS; s++) {
        lorac_mem_free(l->split[s].count);
    }
    lorac_mem_free(l->note);
    lorac_mem_free(l->order);
    lorac_mem_free(l);
}

double lorac_label_majority(const struct lorac_label_look *l, size_t split)
{
    const struct lorac_label_counts *c = &l->split[split];
    return c->rows ? (double)c->count[l->split[0].commonest] / (double)c->rows : 0.0;
}
