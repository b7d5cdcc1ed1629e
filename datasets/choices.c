/* choices.c - one prompt and the K completions of it that labels make; see datasets.h. */
#include "base/core/mem.h"
#include "datasets/dataset.h"

#include <assert.h>
#include <string.h>

struct lorac_choices {
    const struct lorac_dataset *d; // borrowed
    char **labels;                 // (K) texts, owned
    size_t K;
    bool fixed;             // the completion holds the label and no other variable
    struct lorac_ids ids;   // the K completions, one behind the other
    size_t *end;            // (K) where each ends in ids
    struct lorac_tree tree; // of them, if fixed
    struct lorac_example e; // for its values
};

void lorac_choices_close(struct lorac_choices *c)
{
    if (!c) { return; }
    for (size_t k = 0; c->labels && k < c->K; k++) {
        lorac_mem_free(c->labels[k]);
    }
    lorac_mem_free(c->labels);
    lorac_mem_free(c->end);
    lorac_ids_free(&c->ids);
    lorac_tree_free(&c->tree);
    lorac_example_free(&c->e);
    lorac_mem_free(c);
}

/* c->ids written: the completions of the row whose values these are (the label's is changed). */
static enum lorac_status encode_labels(struct lorac_choices *c, struct lorac_cell *values,
                                       struct lorac_err *err)
{
    const struct lorac_dataset *d = c->d;
    c->ids.n = 0;
    for (size_t k = 0; k < c->K; k++) {
        size_t before = c->ids.n;
        values[d->label_variable] =
            (struct lorac_cell){.at = c->labels[k], .n = strlen(c->labels[k])};
        enum lorac_status st = lorac_answer_encode(&c->ids, &c->e.encoder, d, values, err);
        if (st) { return st; }
        if (c->ids.n == before) {
            return lorac_fail(err, LORAC_EUSER,
                              "label '%.60s' has no tokens, expected at least one", c->labels[k]);
        }
        c->end[k] = c->ids.n;
    }
    return LORAC_OK;
}

static enum lorac_status check_template(const struct lorac_dataset *d, struct lorac_err *err)
{
    const struct lorac_template *t = lorac_dataset_template(d);
    if (!lorac_template_has_prompt(t)) {
        return lorac_fail(err, LORAC_EUSER,
                          "labels: the template has no prompt, expected one that "
                          "the labels answer");
    }
    if (d->label_variable == d->n_variables ||
        !lorac_template_completion_uses(t, d->label_variable)) {
        return lorac_fail(err, LORAC_EUSER,
                          "labels: the template's completion does not use the "
                          "label variable, expected it to");
    }
    if (lorac_template_prompt_uses(t, d->label_variable)) {
        return lorac_fail(err, LORAC_EUSER,
                          "labels: the template's prompt gives '%.60s' away, "
                          "expected it in the completion only",
                          d->names[d->label_variable]);
    }
    return LORAC_OK;
}

static enum lorac_status copy_labels(struct lorac_choices *c, const char *const *labels, size_t K,
                                     struct lorac_err *err)
{
    c->labels = lorac_mem_new(K, sizeof *c->labels);
    c->end = lorac_mem_new(K, sizeof *c->end);
    if (!c->labels || !c->end) { return lorac_fail(err, LORAC_ENOMEM, "labels: no memory"); }
    c->K = K;
    for (size_t k = 0; k < K; k++) {
        for (size_t j = 0; j < k; j++) {
            if (strcmp(labels[j], labels[k]) == 0) {
                return lorac_fail(err, LORAC_EUSER, "labels: '%.60s' is named twice", labels[k]);
            }
        }
        c->labels[k] = lorac_mem_string(labels[k], strlen(labels[k]));
        if (!c->labels[k]) { return lorac_fail(err, LORAC_ENOMEM, "labels: no memory"); }
    }
    return LORAC_OK;
}

static enum lorac_status encode_if_fixed(struct lorac_choices *c, struct lorac_err *err)
{
    const struct lorac_dataset *d = c->d;
    c->fixed = true;
    for (size_t v = 0; v < d->n_variables; v++) {
        bool other =
            v != d->label_variable && lorac_template_completion_uses(lorac_dataset_template(d), v);
        c->fixed = c->fixed && !other;
    }
    if (!c->fixed) { return LORAC_OK; }
    struct lorac_cell *values = lorac_mem_new(d->n_variables, sizeof *values);
    if (!values) { return lorac_fail(err, LORAC_ENOMEM, "labels: no memory"); }
    enum lorac_status st = encode_labels(c, values, err);
    lorac_mem_free(values);
    return st ? st : lorac_tree_make(&c->tree, c->ids.at, c->end, c->K, err);
}

enum lorac_status lorac_choices_open(struct lorac_choices **out, const struct lorac_dataset *d,
                                     const char *const *labels, size_t K, struct lorac_err *err)
{
    *out = NULL;
    enum lorac_status st = check_template(d, err);
    if (st) { return st; }
    if (K < 2) {
        return lorac_fail(err, LORAC_EUSER, "labels: %zu of them, expected two or more", K);
    }
    struct lorac_choices *c = lorac_mem_new(1, sizeof *c);
    if (!c) { return lorac_fail(err, LORAC_ENOMEM, "labels: no memory"); }
    c->d = d;
    st = copy_labels(c, labels, K, err);
    if (!st) { st = encode_if_fixed(c, err); }
    if (st) {
        lorac_choices_close(c);
        c = NULL;
    }
    *out = c;
    return st;
}

static size_t begin_of(const struct lorac_choices *c, size_t k)
{
    return k > 0 ? c->end[k - 1] : 0;
}

size_t lorac_choices_spread(const struct lorac_choices *c)
{
    size_t shortest = SIZE_MAX;
    size_t longest = 0;
    for (size_t k = 0; k < c->K; k++) {
        size_t n = c->end[k] - begin_of(c, k);
        shortest = n < shortest ? n : shortest;
        longest = n > longest ? n : longest;
    }
    return c->fixed ? longest - shortest : 0;
}

void lorac_choice_free(struct lorac_choice *x)
{
    lorac_ids_free(&x->prompt);
    lorac_example_free(&x->example);
    lorac_tree_free(&x->own);
    *x = (struct lorac_choice){0};
}

/* x->tree and c->ids written: the completions of the row. */
static enum lorac_status read_answers(struct lorac_choice *x, struct lorac_choices *c, size_t i,
                                      struct lorac_err *err)
{
    struct lorac_made made;
    x->tree = &c->tree;
    if (c->fixed) { return LORAC_OK; }
    x->tree = &x->own;
    enum lorac_status st = lorac_example_read(&made, &c->e, c->d, c->d->entries[i].row, err);
    if (!st) { st = encode_labels(c, c->e.values, err); }
    return st ? st : lorac_tree_make(&x->own, c->ids.at, c->end, c->K, err);
}

static size_t label_of(const struct lorac_choices *c, const struct lorac_cell *own)
{
    size_t k = 0;
    while (k < c->K &&
           (strlen(c->labels[k]) != own->n || memcmp(c->labels[k], own->at, own->n) != 0)) {
        k++;
    }
    return k;
}

/* Is the example the prompt and its label's completion, token by token? */
static bool is_whole(const struct lorac_choice *x, const struct lorac_choices *c)
{
    const struct lorac_ids *prompt = &x->prompt;
    const struct lorac_ids *all = &x->example.ids;
    if (x->label == c->K) { return false; }
    size_t begin = begin_of(c, x->label);
    size_t n = c->end[x->label] - begin;
    return all->n == prompt->n + n && x->example.trained_from <= prompt->n &&
           memcmp(all->at, prompt->at, prompt->n * sizeof *all->at) == 0 &&
           memcmp(all->at + prompt->n, c->ids.at + begin, n * sizeof *all->at) == 0;
}

enum lorac_status lorac_choices_read(struct lorac_choice *x, struct lorac_choices *c, size_t i,
                                     struct lorac_err *err)
{
    assert(i < c->d->n);
    enum lorac_status st = read_answers(x, c, i, err);
    if (!st) { st = lorac_dataset_prompt(&c->e, c->d, i, x->tree->longest, err); }
    if (st) { return st; }
    if (c->e.ids.n == 0) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s:%llu: the prompt has no token, expected one or more",
                          lorac_table_file(c->d->table), (unsigned long long)c->e.row.line);
    }
    x->label = label_of(c, &c->e.values[c->d->label_variable]);
    x->prompt.n = 0;
    for (size_t t = 0; t < c->e.ids.n && !st; t++) {
        st = lorac_ids_add(&x->prompt, c->e.ids.at[t], err);
    }
    if (!st) { st = lorac_dataset_example(&x->example, c->d, i, err); }
    x->whole = !st && is_whole(x, c);
    return st;
}
