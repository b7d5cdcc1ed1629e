/* shots.c - examples of a dataset in front of every prompt; see datasets.h. */
#include "base/core/mem.h"
#include "base/core/rng.h"
#include "datasets/dataset.h"

#include <string.h>

static const uint32_t NO_CLASS = UINT32_MAX;

/* What is drawn from: which label each row has, and how far the draw has come in each. */
struct draw {
    const struct lorac_dataset *d; // borrowed
    const struct lorac_shots_options *o;
    size_t K;           // classes: the labels, or one of all rows
    uint32_t *order;    // (n) the rows, shuffled
    uint32_t *class;    // (n) of each row, NO_CLASS for a label that is none of these
    size_t *next;       // (K) where in `order` the next of this class is looked for
    uint32_t *turn;     // (K) the classes in the order of this round
    size_t passed_over; // rows that are longer than max_length
    struct lorac_example e;
    struct lorac_ids ids; // of the shot at hand
};

static void release(struct draw *w)
{
    lorac_mem_free(w->order);
    lorac_mem_free(w->class);
    lorac_mem_free(w->next);
    lorac_mem_free(w->turn);
    lorac_example_free(&w->e);
    lorac_ids_free(&w->ids);
}

static uint32_t class_of(const struct draw *w, const struct lorac_cell *cell)
{
    for (size_t k = 0; k < w->o->K; k++) {
        const char *label = w->o->labels[k];
        if (strlen(label) == cell->n && memcmp(label, cell->at, cell->n) == 0) {
            return (uint32_t)k;
        }
    }
    return NO_CLASS;
}

static enum lorac_status prepare(struct draw *w, struct lorac_err *err)
{
    const struct lorac_dataset *d = w->d;
    w->K = w->o->K ? w->o->K : 1;
    w->order = lorac_mem_new(d->n, sizeof *w->order);
    w->class = lorac_mem_new(d->n, sizeof *w->class);
    w->next = lorac_mem_new(w->K, sizeof *w->next);
    w->turn = lorac_mem_new(w->K, sizeof *w->turn);
    if (!w->order || !w->class || !w->next || !w->turn) {
        return lorac_fail(err, LORAC_ENOMEM, "shots: no memory");
    }
    lorac_rng_shuffle(w->order, d->n, lorac_rng_key(w->o->seed, "shots"), 0);
    for (size_t i = 0; i < d->n && w->o->K; i++) {
        struct lorac_made made;
        enum lorac_status st = lorac_example_read(&made, &w->e, d, d->entries[i].row, err);
        if (st) { return st; }
        w->class[i] = class_of(w, &w->e.values[d->label_variable]);
    }
    return LORAC_OK;
}

/* w->ids: example i as a shot, BOS in front where `first`; none where it is longer than max_length.
 */
static enum lorac_status encode_shot(struct draw *w, size_t i, bool first,
                                     const struct lorac_ids *end, struct lorac_err *err)
{
    const struct lorac_dataset *d = w->d;
    struct lorac_made made;
    enum lorac_status st = lorac_example_read(&made, &w->e, d, d->entries[i].row, err);
    w->ids.n = 0;
    if (!st) { st = lorac_prompt_encode_at(&w->ids, &w->e.encoder, d, w->e.values, first, err); }
    if (!st) {
        st = lorac_completion_encode(&w->ids, d->template, d->tokenizer, w->e.values, false, err);
    }
    if (!st && w->ids.n > d->o.max_length) {
        w->ids.n = 0;
        w->passed_over++;
        return LORAC_OK;
    }
    for (size_t k = 0; k < end->n && !st; k++) {
        st = lorac_ids_add(&w->ids, end->at[k], err);
    }
    return st;
}

/* Add the next row of this class to the shots; nothing where it has no more. */
static enum lorac_status take_one(struct lorac_shots *s, struct draw *w, uint32_t class,
                                  struct lorac_err *err)
{
    while (w->next[class] < w->d->n) {
        uint32_t i = w->order[w->next[class]++];
        if (w->class[i] != class) { continue; }
        enum lorac_status st = encode_shot(w, i, s->n == 0, &s->end, err);
        if (st) { return st; }
        if (w->ids.n == 0) { continue; }
        for (size_t k = 0; k < w->ids.n && !st; k++) {
            st = lorac_ids_add(&s->prefix, w->ids.at[k], err);
        }
        s->row[s->n] = w->d->entries[i].row;
        s->tokens[s->n++] = s->prefix.n;
        return st;
    }
    return LORAC_OK;
}

/* Rounds over the labels, each round in an order of its own, until there are as many as asked for.
 */
static enum lorac_status take_all(struct lorac_shots *s, struct draw *w, struct lorac_err *err)
{
    uint64_t key = lorac_rng_key(w->o->seed, "shots of labels");
    for (uint64_t round = 0; s->n < w->o->n; round++) {
        size_t before = s->n;
        lorac_rng_shuffle(w->turn, w->K, key, round);
        for (size_t k = 0; k < w->K && s->n < w->o->n; k++) {
            enum lorac_status st = take_one(s, w, w->turn[k], err);
            if (st) { return st; }
        }
        if (s->n == before) {
            return lorac_fail(err, LORAC_EUSER,
                              "%s: %zu shots are asked for, but only %zu rows can be one "
                              "(%zu are longer than max_length %zu)",
                              lorac_table_file(w->d->table), w->o->n, s->n, w->passed_over,
                              w->d->o.max_length);
        }
    }
    return LORAC_OK;
}

static enum lorac_status check_options(const struct lorac_dataset *d,
                                       const struct lorac_shots_options *o, struct lorac_err *err)
{
    if (o->n == 0) { return lorac_fail(err, LORAC_EUSER, "shots: 0, expected one or more"); }
    if (lorac_dataset_is_text(d)) {
        return lorac_fail(err, LORAC_EUSER, "shots: %s is text, expected a table of examples",
                          d->file);
    }
    if (!d->template) {
        return lorac_fail(err, LORAC_EUSER, "shots: %s",
                          d->o.chat
                              ? "of conversations none are put in front of a prompt; expected "
                                "a template of text"
                              : "a head reads one text, and no examples");
    }
    if (!lorac_template_has_prompt(d->template) || !lorac_template_has_completion(d->template)) {
        return lorac_fail(err, LORAC_EUSER,
                          "shots: the template has no %s, expected a prompt and a completion to "
                          "show as examples",
                          lorac_template_has_prompt(d->template) ? "completion" : "prompt");
    }
    if (o->K && d->label_variable == d->n_variables) {
        return lorac_fail(err, LORAC_EUSER, "shots: there is no label variable to balance over");
    }
    return LORAC_OK;
}

static enum lorac_status encode_separator(struct lorac_shots *s, const struct lorac_dataset *d,
                                          const char *separator, struct lorac_err *err)
{
    size_t n = strlen(separator);
    s->separator = lorac_mem_string(separator, n);
    if (!s->separator) { return lorac_fail(err, LORAC_ENOMEM, "shots: no memory"); }
    struct lorac_text text = {separator, n, true};
    enum lorac_status st =
        lorac_encode(&s->end, d->tokenizer, &text, 1, LORAC_ENCODE_CONTINUES, err);
    if (!st && s->end.n == 0) {
        st = lorac_fail(err, LORAC_EUSER,
                        "shots: the separator has no tokens, expected a text "
                        "that ends an answer");
    }
    for (size_t i = 0; i < s->end.n && !st; i++) { // generation stops at text, which has none
        if (!lorac_token_is_special(d->tokenizer, s->end.at[i])) { continue; }
        st = lorac_fail(err, LORAC_EUSER,
                        "shots: the separator holds the special token %s, expected plain text",
                        lorac_token_text(d->tokenizer, s->end.at[i]));
    }
    return st;
}

enum lorac_status lorac_shots_open(struct lorac_shots **out, const struct lorac_dataset *d,
                                   const struct lorac_shots_options *o, struct lorac_err *err)
{
    *out = NULL;
    enum lorac_status st = check_options(d, o, err);
    if (st) { return st; }
    size_t n = o->n < d->n ? o->n : d->n; // more cannot be found
    struct draw w = {.d = d, .o = o};
    struct lorac_shots *s = lorac_mem_new(1, sizeof *s);
    if (s) {
        s->row = lorac_mem_new(n, sizeof *s->row);
        s->tokens = lorac_mem_new(n, sizeof *s->tokens);
    }
    if (!s || !s->row || !s->tokens) { st = lorac_fail(err, LORAC_ENOMEM, "shots: no memory"); }
    if (!st) { st = encode_separator(s, d, o->separator, err); }
    if (!st) { st = prepare(&w, err); }
    if (!st) { st = take_all(s, &w, err); }
    release(&w);
    if (st) {
        lorac_shots_close(s);
        s = NULL;
    }
    *out = s;
    return st;
}

void lorac_shots_close(struct lorac_shots *s)
{
    if (!s) { return; }
    lorac_mem_free(s->separator);
    lorac_mem_free(s->row);
    lorac_mem_free(s->tokens);
    lorac_ids_free(&s->prefix);
    lorac_ids_free(&s->end);
    lorac_mem_free(s);
}

size_t lorac_shots_fit(const struct lorac_shots *s, size_t tokens)
{
    size_t n = 0;
    while (n < s->n && s->tokens[n] <= tokens) {
        n++;
    }
    return n;
}

void lorac_shots_keep(struct lorac_shots *s, size_t n)
{
    if (n == 0 || n >= s->n) { return; }
    s->n = n;
    s->prefix.n = s->tokens[n - 1];
}

size_t lorac_shots_count(const struct lorac_shots *s)
{
    return s->n;
}

size_t lorac_shots_row(const struct lorac_shots *s, size_t i)
{
    return s->row[i];
}

const struct lorac_ids *lorac_shots_prefix(const struct lorac_shots *s)
{
    return &s->prefix;
}

const char *lorac_shots_separator(const struct lorac_shots *s)
{
    return s->separator;
}
