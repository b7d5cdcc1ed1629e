/* labels.c - the labels of a recipe, found and checked; see labels.h. */
#include "recipes/run/labels.h"

#include "base/core/mem.h"
#include "recipes/language/reading.h"
#include "recipes/run/evaluate.h"
#include "recipes/run/heads.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

enum {
    MAX_LABELS = 256, // distinct answers beyond which a column is free text
    ROWS_A_LABEL = 4, // and fewer rows than this for each on average, too
    SHOWN = 5,        // labels that a message names
};

/* ---- found ---- */

static enum lorac_status add_label(struct lorac_job *j, const char *label, struct lorac_err *err)
{
    for (size_t k = 0; k < j->K; k++) {
        if (strcmp(j->labels[k], label) == 0) { return LORAC_OK; }
    }
    j->labels[j->K] = lorac_mem_string(label, strlen(label));
    if (!j->labels[j->K]) { return lorac_fail(err, LORAC_ENOMEM, "no memory for labels"); }
    j->K++;
    return LORAC_OK;
}

/* Name i of the variables that the recipe's template may use. */
static const char *variable_name(const struct lorac_recipe *r, const struct lorac_table *t,
                                 size_t i)
{
    return r->data.columns.n ? r->data.columns.at[i].key : lorac_table_column_name(t, i);
}

/* The variable that is all of the completion's content. */
static enum lorac_status find_label_variable(size_t *index, struct lorac_job *j,
                                             struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    const struct lorac_table *t = j->train.table;
    size_t n = r->data.columns.n ? r->data.columns.n : lorac_table_columns(t);
    struct lorac_template *template = NULL;
    const char **names = lorac_mem_new(n, sizeof *names);
    if (!names) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the template"); }
    for (size_t i = 0; i < n; i++) {
        names[i] = variable_name(r, t, i);
    }
    enum lorac_status st = lorac_job_texts(j, names, n, lorac_table_delimiter_hint(t), err);
    struct lorac_template_options o = {.prompt = j->texts.prompt,
                                       .completion = j->texts.completion,
                                       .variables = names,
                                       .n_variables = n,
                                       .hint = lorac_table_delimiter_hint(t)};
    if (!st) { st = lorac_template_parse(&template, &o, err); }
    size_t used = 0;
    for (size_t i = 0; i < n && !st; i++) {
        if (!lorac_template_completion_uses(template, i)) { continue; }
        used++;
        *index = i;
    }
    if (!st && used == 1) {
        j->label_variable = lorac_mem_string(names[*index], strlen(names[*index]));
        if (!j->label_variable) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for labels"); }
    }
    lorac_template_free(template);
    lorac_mem_free(names);
    return st;
}

static enum lorac_status labels_of_map(struct lorac_job *j, struct lorac_err *err)
{
    const struct lorac_recipe_map *map = &j->recipe->data.labels.map;
    j->labels = lorac_mem_new(map->n, sizeof *j->labels);
    if (!j->labels) { return lorac_fail(err, LORAC_ENOMEM, "no memory for labels"); }
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < map->n && !st; i++) {
        st = add_label(j, map->at[i].value, err);
    }
    return st;
}

/* Without a map, the answers are the values of the label's column, as long as they are few. */
static enum lorac_status labels_of_column(struct lorac_job *j, size_t index, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    const struct lorac_table *t = j->train.table;
    size_t column = index;
    struct lorac_classes classes = {0};
    enum lorac_status st = LORAC_OK;
    if (r->data.columns.n) {
        st = lorac_table_column_find(&column, t, r->data.columns.at[index].value, err);
        if (st) { return st; }
    }
    st = lorac_classes_find(&classes, t, column, MAX_LABELS, NULL);
    j->answers = st == LORAC_EUSER ? MAX_LABELS + 1 : classes.K;
    if (st == LORAC_EUSER) { return LORAC_OK; } // more than MAX_LABELS: free text
    if (st) { return lorac_fail(err, st, "no memory for labels"); }
    if (classes.K * ROWS_A_LABEL <= lorac_table_rows(t)) {
        j->labels = lorac_mem_new(classes.K, sizeof *j->labels);
        if (!j->labels) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for labels"); }
        for (size_t k = 0; k < classes.K && !st; k++) {
            struct lorac_cell cell = {classes.value[k], strlen(classes.value[k])};
            bool row = r->data.on_empty == LORAC_BAD_KEEP || !lorac_cell_is_blank(&cell);
            if (row) { st = add_label(j, classes.value[k], err); } // else no row has this answer
        }
    }
    lorac_classes_free(&classes);
    return st;
}

enum lorac_status lorac_labels_find(struct lorac_job *j, struct lorac_err *err)
{
    size_t index = 0;
    enum lorac_status st = find_label_variable(&index, j, err);
    if (st) { return st; }
    if (j->recipe->data.labels.map.n) {
        if (!j->label_variable) {
            return lorac_fail(err, LORAC_EUSER,
                              "data.labels.map needs a template.completion with "
                              "exactly one {variable}: the label");
        }
        return labels_of_map(j, err);
    }
    return j->label_variable ? labels_of_column(j, index, err) : LORAC_OK;
}

size_t lorac_label_index(const struct lorac_job *j, const struct lorac_cell *cell)
{
    for (size_t k = 0; k < j->K; k++) {
        if (strlen(j->labels[k]) == cell->n && memcmp(j->labels[k], cell->at, cell->n) == 0) {
            return k;
        }
    }
    return j->K;
}

const char *lorac_label_show(char out[LORAC_LABEL_SHOWN], const char *label)
{
    char text[LORAC_LABEL_SHOWN - 2];
    (void)snprintf(out, LORAC_LABEL_SHOWN, "'%s'",
                   lorac_visible(text, sizeof text, label, strlen(label)));
    return out;
}

/* ---- look-alikes ---- */

/* A number in the one way that they are compared in: "0", "0.0" and "00" are one. */
static bool fold_number(struct lorac_buf *out, const char *text)
{
    double v = 0.0;
    if (lorac_number_parse(&v, text) != LORAC_NUMBER_OK) { return false; }
    lorac_buf_str(out, "number ");
    lorac_number_print(out, v + 0.0); // not -0
    return true;
}

static bool is_blank(utf8proc_int32_t c, const char *at, size_t n)
{
    const struct lorac_cell cell = {at, n};
    return c == 0xAD || lorac_cell_is_blank(&cell); // a soft hyphen shows no more than they do
}

void lorac_label_fold(struct lorac_buf *out, const char *text)
{
    struct lorac_buf plain = {0};
    bool gap = false;
    lorac_buf_str(&plain, "");
    for (size_t i = 0, n = strlen(text); i < n;) {
        utf8proc_int32_t c = 0;
        utf8proc_int32_t parts[32];
        utf8proc_uint8_t bytes[4];
        int last = 0;
        utf8proc_ssize_t size =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(n - i), &c);
        if (size <= 0) { break; } // tables are UTF-8
        bool blank = is_blank(c, text + i, (size_t)size);
        bool wide = c != 0x200B && c != 0xFEFF && c != 0xAD;
        i += (size_t)size;
        gap = gap || (blank && wide && plain.n > 0);
        if (blank) { continue; }
        if (gap) { lorac_buf_str(&plain, " "); }
        gap = false;
        utf8proc_ssize_t k = utf8proc_decompose_char(
            c, parts, 32, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD, &last);
        for (utf8proc_ssize_t p = 0; p < k && p < 32; p++) {
            lorac_buf_add(&plain, bytes, (size_t)utf8proc_encode_char(parts[p], bytes));
        }
    }
    if (plain.no_memory) {
        out->no_memory = true;
    } else if (!fold_number(out, plain.at)) {
        lorac_buf_str(out, plain.at);
    }
    lorac_buf_free(&plain);
}

/* ---- checked ---- */

/* A label of a split that training does not have. */
struct odd {
    size_t n; // rows with it
    uint64_t line;
    char *label;
    size_t like; // the label of training that it is in another writing, or K
};

/* What is wrong with rows of a split: the first label of each kind. */
struct checker {
    const struct lorac_job *j;
    struct lorac_buf *fold; // (K) of training's labels; NULL until needed
    struct odd alike, strange;
};

static enum lorac_status fold_labels(struct checker *c, struct lorac_err *err)
{
    bool no_memory = false;
    c->fold = lorac_mem_new(c->j->K, sizeof *c->fold);
    for (size_t k = 0; c->fold && k < c->j->K; k++) {
        lorac_label_fold(&c->fold[k], c->j->labels[k]);
        no_memory = no_memory || c->fold[k].no_memory;
    }
    return c->fold && !no_memory ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory for labels");
}

static void release(struct checker *c)
{
    for (size_t k = 0; c->fold && k < c->j->K; k++) {
        lorac_buf_free(&c->fold[k]);
    }
    lorac_mem_free(c->fold);
    lorac_mem_free(c->alike.label);
    lorac_mem_free(c->strange.label);
}

static enum lorac_status find_like(size_t *k, struct checker *c, const char *text,
                                   struct lorac_err *err)
{
    struct lorac_buf fold = {0};
    enum lorac_status st = c->fold ? LORAC_OK : fold_labels(c, err);
    if (st) { return st; }
    lorac_label_fold(&fold, text);
    bool no_memory = fold.no_memory;
    for (*k = 0; !no_memory && *k < c->j->K; ++*k) {
        if (strcmp(fold.at, c->fold[*k].at) == 0) { break; }
    }
    lorac_buf_free(&fold);
    return no_memory ? lorac_fail(err, LORAC_ENOMEM, "no memory for labels") : LORAC_OK;
}

static bool count_again(struct odd *odd, const struct lorac_cell *cell)
{
    bool same =
        odd->label && strlen(odd->label) == cell->n && memcmp(odd->label, cell->at, cell->n) == 0;
    odd->n += same;
    return same;
}

static enum lorac_status note_odd(struct checker *c, const struct lorac_cell *cell, uint64_t line,
                                  struct lorac_err *err)
{
    size_t like = 0;
    bool told = count_again(&c->alike, cell) || count_again(&c->strange, cell);
    if (told || c->alike.label) { return LORAC_OK; }
    char *label = lorac_mem_string(cell->at, cell->n);
    if (!label) { return lorac_fail(err, LORAC_ENOMEM, "no memory for labels"); }
    enum lorac_status st = find_like(&like, c, label, err);
    struct odd *here = like < c->j->K ? &c->alike : &c->strange;
    if (st || here->label) {
        lorac_mem_free(label);
        return st;
    }
    *here = (struct odd){1, line, label, like};
    return LORAC_OK;
}

static enum lorac_status fail_alike(const struct lorac_job *j, const struct lorac_dataset *set,
                                    const struct odd *odd, const char *name, struct lorac_err *err)
{
    char a[LORAC_LABEL_SHOWN];
    char b[LORAC_LABEL_SHOWN];
    return lorac_fail(
        err, LORAC_EUSER,
        "%s:%llu: the label %s (%zu row%s of data.%s) stands in no row of data.train, but "
        "%s does, which is the same in another writing; write them alike, or give both one "
        "label in data.labels.map",
        lorac_dataset_file(set), (unsigned long long)odd->line, lorac_label_show(a, odd->label),
        odd->n, odd->n == 1 ? "" : "s", name, lorac_label_show(b, j->labels[odd->like]));
}

static enum lorac_status fail_strange(const struct lorac_job *j, const struct lorac_dataset *set,
                                      const struct odd *odd, const char *name,
                                      struct lorac_err *err)
{
    struct lorac_buf known = {0};
    char shown[LORAC_LABEL_SHOWN];
    for (size_t k = 0; k < j->K && k < SHOWN; k++) {
        lorac_buf_printf(&known, "%s%s", k ? ", " : "", lorac_label_show(shown, j->labels[k]));
    }
    enum lorac_status st = lorac_fail(
        err, LORAC_EUSER,
        "%s:%llu: the label %s stands in no row of data.train, and so it is with all %zu rows "
        "of data.%s: none could be answered right; training has %s%s",
        lorac_dataset_file(set), (unsigned long long)odd->line, lorac_label_show(shown, odd->label),
        lorac_dataset_size(set), name, known.at ? known.at : "others", j->K > SHOWN ? ", ..." : "");
    lorac_buf_free(&known);
    return st;
}

static bool compares(const struct lorac_job *j)
{
    const struct lorac_recipe *r = j->recipe;
    unsigned stop = r->eval.early_stop.metric ? 1U << (r->eval.early_stop.metric - 1) : 0U;
    return lorac_compares_labels(j, r->eval.metrics | stop);
}

enum lorac_status lorac_labels_check(const struct lorac_job *j, const struct lorac_dataset *set,
                                     const char *name, struct lorac_err *err)
{
    struct lorac_example e = {0};
    struct checker c = {.j = j};
    size_t label = 0;
    size_t known = 0;
    enum lorac_status st = LORAC_OK;
    if (!j->K || lorac_dataset_is_text(set) || lorac_job_has_head(j)) { return LORAC_OK; }
    st = lorac_dataset_variable(&label, set, j->label_variable, err);
    for (size_t i = 0; i < lorac_dataset_size(set) && !st; i++) {
        st = lorac_dataset_values(&e, set, i, err);
        if (st) { break; }
        if (lorac_label_index(j, &e.values[label]) < j->K) {
            known++;
        } else {
            st = note_odd(&c, &e.values[label], e.row.line, err);
        }
    }
    if (!st && c.alike.label) {
        st = fail_alike(j, set, &c.alike, name, err);
    } else if (!st && !known && c.strange.label && compares(j)) {
        st = fail_strange(j, set, &c.strange, name, err);
    }
    release(&c);
    lorac_example_free(&e);
    return st;
}
