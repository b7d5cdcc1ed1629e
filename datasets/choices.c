/* choices.c - one prompt and K completions of it in a batch; see datasets.h. */
#include "base/core/mem.h"
#include "datasets/dataset.h"

#include <assert.h>
#include <string.h>

struct lorac_choices {
    const struct lorac_dataset *d; // borrowed
    char **labels;                 // (K) texts, owned
    size_t K;
    bool fixed;           // the completion holds the label and no other variable
    struct lorac_ids ids; // the K completions, one behind the other
    size_t *end;          // (K) where each ends in ids
    struct lorac_example e;
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
    const struct lorac_template *t = d->template;
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
        bool other = v != d->label_variable && lorac_template_completion_uses(d->template, v);
        c->fixed = c->fixed && !other;
    }
    if (!c->fixed) { return LORAC_OK; }
    struct lorac_cell *values = lorac_mem_new(d->n_variables, sizeof *values);
    if (!values) { return lorac_fail(err, LORAC_ENOMEM, "labels: no memory"); }
    enum lorac_status st = encode_labels(c, values, err);
    lorac_mem_free(values);
    return st;
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

size_t lorac_choices_tokens(const struct lorac_choices *c)
{
    return c->fixed ? c->ids.n : 0;
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

static bool fits(const struct lorac_batch *b, const struct lorac_choices *c, size_t prompt,
                 bool empty)
{
    size_t segments = 1;
    for (size_t k = 0; k < c->K; k++) {
        segments += c->end[k] - begin_of(c, k) > 1;
    }
    size_t rows = prompt + c->ids.n - c->K; // a completion's last token is only a target
    return rows <= b->max_rows - (empty ? 0 : b->N) &&
           segments <= b->max_segments - (empty ? 0 : b->S) &&
           c->ids.n <= b->max_targets - (empty ? 0 : b->T);
}

/* All first tokens are targets of the prompt's last row, so they come first; then each label's
 * others. */
static void place(struct lorac_choice *choice, struct lorac_batch *b, const struct lorac_choices *c)
{
    const struct lorac_ids *prompt = &c->e.ids;
    int32_t parent = lorac_dataset_place(b, c->d, prompt->at, prompt->n);
    size_t last = b->N - 1;
    for (size_t k = 0; k < c->K; k++) {
        choice[k].first = (uint32_t)b->T;
        lorac_batch_score(b, last, c->ids.at[begin_of(c, k)]);
    }
    for (size_t k = 0; k < c->K; k++) {
        const int32_t *ids = c->ids.at + begin_of(c, k);
        size_t n = c->end[k] - begin_of(c, k) - 1;
        choice[k].rest = (uint32_t)b->T;
        choice[k].n_rest = (uint32_t)n;
        if (n == 0) { continue; }
        size_t row = b->N;
        lorac_batch_add(b, ids, n, parent);
        for (size_t t = 0; t < n; t++) {
            lorac_batch_score(b, row + t, ids[t + 1]);
        }
    }
}

/* The completions of example i and its prompt, cut so that the longest of them fits max_length. */
static enum lorac_status prepare(size_t *truth, struct lorac_choices *c, size_t i,
                                 struct lorac_err *err)
{
    const struct lorac_dataset *d = c->d;
    enum lorac_status st = LORAC_OK;
    if (!c->fixed) {
        struct lorac_made made;
        st = lorac_example_read(&made, &c->e, d, d->entries[i].row, err);
        if (!st) { st = encode_labels(c, c->e.values, err); }
        if (st) { return st; }
    }
    size_t room = 0;
    for (size_t k = 0; k < c->K; k++) {
        size_t n = c->end[k] - begin_of(c, k);
        room = n > room ? n : room;
    }
    st = lorac_dataset_prompt(&c->e, d, i, room, err);
    if (st) { return st; }
    const struct lorac_cell *own = &c->e.values[d->label_variable];
    for (*truth = 0; *truth < c->K; ++*truth) {
        const char *label = c->labels[*truth];
        if (strlen(label) == own->n && memcmp(label, own->at, own->n) == 0) { break; }
    }
    return LORAC_OK;
}

enum lorac_status lorac_choices_add(bool *added, struct lorac_choice *choice, size_t *truth,
                                    struct lorac_batch *b, struct lorac_choices *c, size_t i,
                                    struct lorac_err *err)
{
    *added = false;
    assert(i < c->d->n);
    enum lorac_status st = prepare(truth, c, i, err);
    if (st) { return st; }
    size_t prompt = c->e.ids.n;
    if (prompt == 0 || !fits(b, c, prompt, true)) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s:%llu: a prompt of %zu tokens with %zu labels takes %zu rows, "
                          "expected 1 or more tokens and at most %zu rows",
                          lorac_table_file(c->d->table), (unsigned long long)c->e.row.line, prompt,
                          c->K, prompt + c->ids.n - c->K, b->max_rows);
    }
    if (!fits(b, c, prompt, false)) { return LORAC_OK; }
    place(choice, b, c);
    *added = true;
    return LORAC_OK;
}
