/* heads.c - see heads.h. */
#include "recipes/run/heads.h"

#include "base/config_json.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "base/core/suggest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_LABELS = 1 << 16, // of a head
    FEW = 256,            // labels of which nobody asks how often they stand in the rows
    CONFIG_BYTES = 1 << 24,
};

const struct lorac_objective *lorac_job_objective(const struct lorac_job *j)
{
    return &lorac_objectives[j->recipe->objective.kind];
}

bool lorac_job_has_head(const struct lorac_job *j)
{
    return lorac_job_objective(j)->target != LORAC_TARGET_NONE;
}

bool lorac_job_spaces(const struct lorac_job *j)
{
    static const struct lorac_text word = {.at = "a", .n = 1};
    static const struct lorac_text behind = {.at = " a", .n = 2};
    struct lorac_ids x = {0};
    struct lorac_ids y = {0};
    bool yes = lorac_job_objective(j)->target == LORAC_TARGET_TAGS &&
               !lorac_encode(&x, j->tokenizer, &word, 1, LORAC_ENCODE_ALONE, NULL) &&
               !lorac_encode(&y, j->tokenizer, &behind, 1, LORAC_ENCODE_CONTINUES, NULL) &&
               (x.n != y.n || x.n == 0 || memcmp(x.at, y.at, x.n * sizeof *x.at) != 0);
    lorac_ids_free(&x);
    lorac_ids_free(&y);
    return yes;
}

static enum lorac_status no_memory(struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "no memory for labels");
}

/* ---- the text ---- */

/* The template, or where the recipe has none the only column beside the target's. */
static enum lorac_status find_text(struct lorac_job *j, size_t target, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    const struct lorac_table *t = j->train.table;
    size_t n = r->data.columns.n ? r->data.columns.n : lorac_table_columns(t);
    const char *text = NULL;
    struct lorac_buf all = {0};
    size_t others = 0;
    for (size_t i = 0; i < n; i++) {
        size_t column = i;
        bool named = r->data.columns.n > 0;
        const char *name = named ? r->data.columns.at[i].key : lorac_table_column_name(t, i);
        const char *from = named ? r->data.columns.at[i].value : NULL;
        bool there = !named || !lorac_table_column_find(&column, t, from, NULL);
        if (there && column == target) { continue; } // under whatever name
        lorac_buf_printf(&all, "%s{%s}", others++ ? ", " : "", name);
        text = name;
    }
    enum lorac_status st = all.no_memory ? no_memory(err) : LORAC_OK;
    j->texts =
        (struct lorac_conversation_texts){r->templates.prompt, r->templates.pair, NULL, SIZE_MAX};
    if (!st && !j->texts.prompt && others == 1) {
        j->prompt = lorac_mem_new(strlen(text) + 3, 1);
        if (!j->prompt) { st = no_memory(err); }
        if (!st) { (void)snprintf(j->prompt, strlen(text) + 3, "{%s}", text); }
        j->texts.prompt = j->prompt;
    } else if (!st && !j->texts.prompt) {
        st = lorac_fail(err, LORAC_EUSER,
                        "template.prompt: missing; what does the head read? Beside {%s} there %s%s",
                        j->label_variable, others ? "are " : "is no column", all.at ? all.at : "");
    }
    lorac_buf_free(&all);
    return st;
}

/* ---- the target ---- */

/* The column that the recipe names: a variable's, or one of the table. */
static enum lorac_status find_column(size_t *column, struct lorac_job *j, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    const char *name = r->data.labels.column;
    j->label_variable = lorac_mem_string(name, strlen(name));
    if (!j->label_variable) { return no_memory(err); }
    for (size_t i = 0; i < r->data.columns.n; i++) {
        if (strcmp(r->data.columns.at[i].key, name) == 0) { name = r->data.columns.at[i].value; }
    }
    enum lorac_status st = lorac_table_column_find(column, j->train.table, name, err);
    if (st) { lorac_err_prefix(err, "data.labels: "); }
    return st;
}

static enum lorac_status add_label(struct lorac_job *j, const char *label, struct lorac_err *err)
{
    for (size_t k = 0; k < j->K && j->recipe->data.labels.map.n; k++) { // of a map several may be
        if (strcmp(j->labels[k], label) == 0) { return LORAC_OK; }
    }
    enum lorac_target target = lorac_job_objective(j)->target;
    const char *separator = // of `lorac predict`; lists and maps may bring a label that holds it
        target == LORAC_TARGET_LABELS ? j->recipe->data.labels.separator : NULL;
    const char *const between[] = {lorac_predictions_between(target), separator};
    for (size_t i = 0; i < 2; i++) {
        if (!between[i] || !strstr(label, between[i])) { continue; }
        return lorac_fail(err, LORAC_EUSER,
                          "data.labels: the label '%.60s' of column '%s' holds '%s', which stands "
                          "between the labels of a row in predictions; %sdata.labels.map gives it "
                          "another name",
                          label, j->label_variable, between[i],
                          i ? "data.labels.separator may be another, or " : "");
    }
    j->labels[j->K] = lorac_mem_string(label, strlen(label));
    if (!j->labels[j->K]) { return no_memory(err); }
    j->K++;
    return LORAC_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_number(const void *a, const void *b)
{
    double x = lorac_strtod(*(const char *const *)a, NULL);
    double y = lorac_strtod(*(const char *const *)b, NULL);
    return x < y ? -1 : x > y ? 1 : by_text(a, b);
}

static bool are_numbers(const struct lorac_classes *c)
{
    double x = 0.0;
    for (size_t k = 0; k < c->K; k++) {
        if (lorac_number_parse(&x, c->value[k]) != LORAC_NUMBER_OK) { return false; }
    }
    return true;
}

/* A cell of several labels where none holds the separator, but many another one: not what is meant.
 */
static enum lorac_status check_separator(const struct lorac_job *j, const struct lorac_classes *c,
                                         struct lorac_err *err)
{
    static const char *const others[] = {",", ";", "|"};
    const char *separator = j->recipe->data.labels.separator;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        size_t with = 0;
        for (size_t k = 0; k < c->K; k++) {
            with += strstr(c->value[k], others[i]) != NULL;
        }
        if (strcmp(others[i], separator) == 0 || with * 2 <= c->K) { continue; }
        return lorac_fail(err, LORAC_EUSER,
                          "data.labels: most of the %zu labels of column '%s' hold '%s', as '%.60s'"
                          "; are these several labels (data.labels.separator: '%s', it is '%s')?",
                          c->K, j->label_variable, others[i], c->value[0], others[i], separator);
    }
    return LORAC_OK;
}

/* Those of the training rows, sorted. */
static enum lorac_status labels_of_rows(struct lorac_job *j, size_t column, struct lorac_err *err)
{
    const struct lorac_split *split = &j->valid.split;
    const enum lorac_target target = lorac_job_objective(j)->target;
    const struct lorac_collect_options o = {
        .target = target,
        .separator = target == LORAC_TARGET_LABELS ? j->recipe->data.labels.separator : NULL,
        .rows = split->rest,
        .n_rows = split->n_rest,
        .max = MAX_LABELS,
    };
    struct lorac_classes c = {0};
    size_t rows = split->rest ? split->n_rest : lorac_table_rows(j->train.table);
    enum lorac_status st = lorac_classes_collect(&c, j->train.table, column, &o, err);
    if (st) { lorac_err_prefix(err, "data.labels: "); }
    if (!st && c.K > FEW && c.K * 2 > rows && target == LORAC_TARGET_LABEL) {
        st = lorac_fail(err, LORAC_EUSER,
                        "data.labels: column '%s' holds %zu different values in %zu rows, expected "
                        "labels, each of several rows (of texts lorac learns with objective: "
                        "causal_lm, of numbers with regress)",
                        j->label_variable, c.K, rows);
    }
    if (!st && target == LORAC_TARGET_LABELS && !c.lists) { st = check_separator(j, &c, err); }
    if (!st) { qsort(c.value, c.K, sizeof *c.value, are_numbers(&c) ? by_number : by_text); }
    j->labels = st ? NULL : lorac_mem_new(c.K + 1, sizeof *j->labels);
    if (!st && !j->labels) { st = no_memory(err); }
    for (size_t k = 0; k < c.K && !st; k++) {
        st = add_label(j, c.value[k], err);
    }
    lorac_classes_free(&c);
    return st;
}

static enum lorac_status labels_of_map(struct lorac_job *j, struct lorac_err *err)
{
    const struct lorac_recipe_map *map = &j->recipe->data.labels.map;
    enum lorac_status st = LORAC_OK;
    j->labels = lorac_mem_new(map->n, sizeof *j->labels);
    if (!j->labels) { return no_memory(err); }
    for (size_t i = 0; i < map->n && !st; i++) {
        st = add_label(j, map->at[i].value, err);
    }
    return st;
}

/* ---- the checkpoint's own head ---- */

/* Which of K labels, of which some may be NULL, it is; K: none. */
static size_t find_label(char *const *labels, size_t K, const char *label)
{
    size_t k = 0;
    while (k < K && !(labels[k] && strcmp(labels[k], label) == 0)) {
        k++;
    }
    return k;
}

static bool has_label(const struct lorac_job *j, const char *label)
{
    return find_label(j->labels, j->K, label) < j->K;
}

/* The name of output k; NULL: config.json tells none, or one that nobody has given ("LABEL_0"). */
static const char *name_of(const struct lorac_json *names, size_t k)
{
    char key[24];
    char nobody[32];
    (void)snprintf(key, sizeof key, "%zu", k);
    (void)snprintf(nobody, sizeof nobody, "LABEL_%zu", k);
    const char *name = json_string_value(json_object_get(names->value, key));
    return name && strcmp(name, nobody) != 0 ? name : NULL;
}

/* Take over the order of a head that is for these labels; one that is for others would be trained
 * from where it is of no use. */
static enum lorac_status take_order(struct lorac_job *j, const struct lorac_json *names,
                                    size_t labels, struct lorac_err *err)
{
    char **taken = lorac_mem_new(labels, sizeof *taken);
    enum lorac_status st = taken ? LORAC_OK : no_memory(err);
    size_t known = 0;
    size_t named = 0;
    for (size_t k = 0; k < labels && !st; k++) {
        const char *name = name_of(names, k);
        size_t same = name ? find_label(taken, k, name) : k;
        if (same < k) {
            st = lorac_fail(err, LORAC_EFORMAT,
                            "%s: %s: outputs %zu and %zu are both '%.60s', expected a name for "
                            "each",
                            names->file, names->where, same, k, name);
            break;
        }
        named += name != NULL;
        known += name && has_label(j, name);
        taken[k] = name ? lorac_mem_string(name, strlen(name)) : NULL;
        if (name && !taken[k]) { st = no_memory(err); }
    }
    bool fits = known == j->K && named == labels;
    if (!st && named && !fits) {
        size_t odd = 0;
        while (odd + 1 < labels && taken[odd] && has_label(j, taken[odd])) {
            odd++;
        }
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: its head is for %zu labels, as '%.40s', and column '%s' has %zu, as "
                        "'%.40s'; data.labels.map gives the cells those names (a base without a "
                        "head gets a new one)",
                        j->recipe->model.path, labels, taken[odd] ? taken[odd] : "LABEL_0",
                        j->label_variable, j->K, j->labels[0]);
    }
    char **drop = taken;
    size_t n = labels;
    if (!st && fits) {
        drop = j->labels;
        n = j->K;
        j->labels = taken;
        j->K = labels;
    }
    for (size_t k = 0; drop && k < n; k++) {
        lorac_mem_free(drop[k]);
    }
    lorac_mem_free(drop);
    return st;
}

/* The numbers of a head that the checkpoint has are as they are, or what lorac says beside it
 * (target_mean, target_deviation). */
static enum lorac_status take_frame(struct lorac_job *j, const struct lorac_json *root,
                                    struct lorac_err *err)
{
    struct lorac_target_frame *f = &j->frame;
    bool told = lorac_json_get(root, "target_deviation").value != NULL;
    enum lorac_status st = lorac_json_number(&f->mean, root, "target_mean", told, err);
    if (!st) { st = lorac_json_number(&f->deviation, root, "target_deviation", false, err); }
    j->keeps_frame = true;
    if (st || f->deviation > 0.0) { return st; }
    struct lorac_json at = lorac_json_get(root, "target_deviation");
    return lorac_json_fail(&at, "above 0", err);
}

static enum lorac_status look_at_checkpoint(struct lorac_job *j, struct lorac_err *err)
{
    struct lorac_json root = {0};
    struct lorac_config *c = lorac_mem_new(1, sizeof *c);
    char *path = lorac_path_join(j->recipe->model.path, "config.json");
    enum lorac_status st = c && path ? LORAC_OK : no_memory(err);
    if (!st) { st = lorac_json_load(&root, path, CONFIG_BYTES, err); }
    if (!st) { st = lorac_config_read(c, &root, err); }
    bool own = !st && c->own == lorac_job_objective(j)->task && c->labels;
    if (own && lorac_job_objective(j)->target == LORAC_TARGET_NUMBER) {
        st = take_frame(j, &root, err);
    } else if (own) {
        struct lorac_json names = lorac_json_get(&root, "id2label");
        st = take_order(j, &names, c->labels, err);
    }
    lorac_json_free(&root);
    lorac_mem_free(path);
    lorac_mem_free(c);
    return st;
}

enum lorac_status lorac_head_check(const struct lorac_job *j, struct lorac_err *err)
{
    const double usual = 0.5;
    double threshold = j->recipe->eval.threshold;
    bool one = lorac_job_objective(j)->target == LORAC_TARGET_LABEL;
    if (!one || j->K == 2 || threshold == usual) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER,
                      "eval.threshold: %g has no effect: it chooses between two labels, and column "
                      "'%s' has %zu",
                      threshold, j->label_variable, j->K);
}

enum lorac_status lorac_head_find(struct lorac_job *j, struct lorac_err *err)
{
    size_t column = 0;
    bool numbers = lorac_job_objective(j)->target == LORAC_TARGET_NUMBER;
    enum lorac_status st = find_column(&column, j, err);
    j->frame.deviation = 1.0;
    if (!st) { st = find_text(j, column, err); }
    if (st || numbers) { return st ? st : look_at_checkpoint(j, err); }
    st = j->recipe->data.labels.map.n ? labels_of_map(j, err) : labels_of_rows(j, column, err);
    if (!st && j->K) { st = look_at_checkpoint(j, err); }
    size_t least = lorac_job_objective(j)->target == LORAC_TARGET_LABEL ? 2 : 1;
    if (!st && j->K < least) {
        st = lorac_fail(err, LORAC_EUSER,
                        "data.labels: column '%s' of the training rows holds %zu label%s, expected "
                        "%zu or more",
                        j->label_variable, j->K, j->K == 1 ? "" : "s", least);
    }
    return st ? st : lorac_head_check(j, err);
}

/* ---- when the rows are read ---- */

static enum lorac_status settle_numbers(struct lorac_job *j, struct lorac_err *err)
{
    struct lorac_target_frame *f = &j->frame;
    if (j->keeps_frame) { return LORAC_OK; }
    lorac_dataset_moments(&f->mean, &f->deviation, j->train.set);
    if (f->deviation > 0.0 && isfinite(f->deviation)) { return LORAC_OK; }
    if (!(f->deviation == 0.0)) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: the numbers in column '%s' lie too far apart for their deviation to "
                          "be computed",
                          lorac_dataset_file(j->train.set), j->label_variable);
    }
    return lorac_fail(err, LORAC_EUSER,
                      "%s: column '%s' holds the same number, %g, in all training rows: there is "
                      "nothing to learn",
                      lorac_dataset_file(j->train.set), j->label_variable, f->mean);
}

/* Which label a weight is of. */
static enum lorac_status find_weighted(size_t *k, const struct lorac_job *j, const char *label,
                                       struct lorac_err *err)
{
    char hint[128];
    struct lorac_near near = {.word = label, .most = 2};
    for (*k = 0; *k < j->K; ++*k) {
        if (strcmp(j->labels[*k], label) == 0) { return LORAC_OK; }
        (void)lorac_near_try(&near, j->labels[*k]);
    }
    return lorac_fail(err, LORAC_EUSER,
                      "objective.class_weights: '%.60s' is none of the %zu labels%s", label, j->K,
                      lorac_near_hint(hint, sizeof hint, near.best));
}

static void balance(struct lorac_job *j)
{
    const size_t *count = lorac_dataset_targets(j->train.set);
    double n = (double)lorac_dataset_size(j->train.set);
    double all = 0.0;
    bool several = lorac_job_objective(j)->target == LORAC_TARGET_LABELS;
    for (size_t k = 0; k < j->K; k++) {
        all += (double)count[k];
    }
    for (size_t k = 0; k < j->K; k++) {
        double with = (double)count[k];
        double weight = several ? (n - with) / with : all / ((double)j->K * with);
        j->label_weight[k] = with > 0.0 && weight > 0.0 ? (float)weight : 1.0F;
    }
}

enum lorac_status lorac_head_settle(struct lorac_job *j, struct lorac_err *err)
{
    const struct lorac_recipe_weights *w = &j->recipe->objective.class_weights;
    if (lorac_job_objective(j)->target == LORAC_TARGET_NUMBER) { return settle_numbers(j, err); }
    if (!w->balanced && !w->n) { return LORAC_OK; }
    enum lorac_status st = LORAC_OK;
    j->label_weight = lorac_mem_new(j->K, sizeof *j->label_weight);
    if (!j->label_weight) { return no_memory(err); }
    for (size_t k = 0; k < j->K; k++) {
        j->label_weight[k] = 1.0F;
    }
    if (w->balanced) { balance(j); }
    for (size_t i = 0; i < w->n && !st; i++) {
        size_t k = 0;
        st = find_weighted(&k, j, w->at[i].label, err);
        if (!st) { j->label_weight[k] = (float)w->at[i].weight; }
    }
    return st;
}

enum lorac_status lorac_head_take(struct lorac_job *j, const struct lorac_adapter *a,
                                  struct lorac_err *err)
{
    struct lorac_saved *was = NULL;
    if (!lorac_job_has_head(j)) { return LORAC_OK; }
    enum lorac_status st = lorac_saved_read(&was, a->template_json, err);
    if (!st && lorac_job_objective(j)->target == LORAC_TARGET_NUMBER) {
        bool told = was && was->deviation > 0.0; // else its numbers are as they are
        j->frame.mean = told ? was->mean : 0.0;
        j->frame.deviation = told ? was->deviation : 1.0;
    }
    lorac_mem_free(was);
    return st;
}

void lorac_head_fit(struct lorac_job *j)
{
    j->frame.row = lorac_model_text_row(j->model);
    j->frame.pad = j->model->config.pad;
    j->frame.bidirectional = j->model->config.bidirectional;
}
