/* classify.c - see classify.h. */
#include "recipes/run/classify.h"

#include "base/core/mem.h"
#include "recipes/run/labels.h"
#include "recipes/run/verdicts.h"

#include <math.h>
#include <string.h>

enum { SUMS = 4, SHARE_TOKENS = 64 }; // of all rows, or what they share is not read apart

/* One of what the chooser is asked together. */
struct query {
    struct lorac_choice row; // keeps its memory
    size_t example;          // of the dataset
    size_t scored;           // tokens of its loss
    bool chooses;            // else there is only a loss
};

struct lorac_classifier {
    const struct lorac_dataset *set;
    size_t K;
    struct lorac_choices *choices;
    struct lorac_chooser *chooser;
    struct query *query; // (n, cap)
    size_t n, cap;
    struct lorac_label_score *counts;      // (K)
    struct lorac_verdicts *verdicts;       // borrowed, or NULL
    struct lorac_predictions *predictions; // borrowed, or NULL
    const char *const *labels;             // (K) borrowed
    struct lorac_ranks *ranks;             // the same
    double *sums;                          // (3 K + SUMS) of all ranks
    double loss;
};

static enum lorac_status open_choices(struct lorac_choices **out,
                                      const struct lorac_evaluator_options *o,
                                      struct lorac_err *err)
{
    char label[LORAC_LABEL_SHOWN];
    if (o->K == 1) {
        return lorac_fail(
            err, LORAC_EUSER,
            "every row of data.train has the label %s: accuracy and macro F1 need two "
            "to choose from; eval.metrics: [loss] measures without them",
            lorac_label_show(label, o->labels[0]));
    }
    return lorac_choices_open(out, o->set, o->labels, o->K, err);
}

/* Prompts are cut so that the longest label fits max_length. */
static struct lorac_chooser_options chooser_options(const struct lorac_evaluator_options *o)
{
    const struct lorac_shots *shots = lorac_dataset_shots(o->set);
    return (struct lorac_chooser_options){
        .prefix = shots ? lorac_shots_prefix(shots) : NULL,
        .max_tokens = lorac_dataset_max_length(o->set),
        .max_answers = o->K,
        .all_tokens = (size_t)lorac_dataset_counts(o->set)->tokens + 1,
    };
}

/* What all examples begin with. */
static enum lorac_status share(struct lorac_classifier *c, struct lorac_err *err)
{
    size_t n = lorac_dataset_counts(c->set)->common;
    struct lorac_example x = {0};
    if (n * lorac_dataset_size(c->set) < SHARE_TOKENS) { return LORAC_OK; }
    enum lorac_status st = lorac_dataset_example(&x, c->set, 0, err);
    if (!st) { st = lorac_chooser_share(c->chooser, x.ids.at, n, err); }
    lorac_example_free(&x);
    return st;
}

enum lorac_status lorac_classifier_new(struct lorac_classifier **out,
                                       const struct lorac_evaluator_options *o,
                                       struct lorac_err *err)
{
    *out = NULL;
    struct lorac_chooser_options how = chooser_options(o);
    struct lorac_classifier *c = lorac_mem_new(1, sizeof *c);
    if (!c) { return lorac_fail(err, LORAC_ENOMEM, "no memory to evaluate"); }
    c->set = o->set;
    c->K = o->K;
    c->verdicts = o->verdicts;
    c->predictions = o->predictions;
    c->labels = o->labels;
    c->ranks = o->ranks;
    enum lorac_status st = open_choices(&c->choices, o, err);
    if (!st) { st = lorac_chooser_new(&c->chooser, o->model, o->socket, &how, err); }
    if (!st) { st = share(c, err); }
    c->counts = st ? NULL : lorac_mem_new(c->K, sizeof *c->counts);
    c->sums = st ? NULL : lorac_mem_new(3 * c->K + SUMS, sizeof *c->sums);
    if (!st && (!c->counts || !c->sums)) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory to evaluate");
    }
    if (st) {
        lorac_classifier_free(c);
        c = NULL;
    }
    *out = c;
    return st;
}

enum lorac_status lorac_classifier_measure(size_t *bytes, const struct lorac_evaluator_options *o,
                                           struct lorac_err *err)
{
    struct lorac_choices *choices = NULL;
    struct lorac_chooser_options how = chooser_options(o);
    enum lorac_status st = open_choices(&choices, o, err); // says what is wrong with them
    lorac_choices_close(choices);
    return st ? st : lorac_chooser_measure(bytes, o->model, o->socket, &how, err);
}

void lorac_classifier_free(struct lorac_classifier *c)
{
    if (!c) { return; }
    for (size_t i = 0; i < c->cap; i++) {
        lorac_choice_free(&c->query[i].row);
    }
    lorac_mem_free(c->query);
    lorac_mem_free(c->counts);
    lorac_mem_free(c->sums);
    lorac_chooser_free(c->chooser);
    lorac_choices_close(c->choices);
    lorac_mem_free(c);
}

static bool wants_probabilities(const struct lorac_classifier *c)
{
    return c->verdicts && c->verdicts->probabilities;
}

/* Example i is asked. Where it is cut in another place than the prompt, or its answer is no label,
 * its loss is a query of its own: *half is then true between the two. */
static enum lorac_status ask(bool *added, bool *half, struct lorac_classifier *c, size_t i,
                             struct lorac_err *err)
{
    struct query *all = lorac_mem_grow(c->query, c->cap, &c->cap, c->n + 1, sizeof *all);
    if (!all) { return lorac_fail(err, LORAC_ENOMEM, "no memory to evaluate"); }
    c->query = all;
    struct query *x = &all[c->n];
    enum lorac_status st = lorac_choices_read(&x->row, c->choices, i, err);
    if (st) { return st; }
    const struct lorac_example *own = &x->row.example;
    bool whole = x->row.whole;
    struct lorac_question q = {.prompt = x->row.prompt.at,
                               .n = x->row.prompt.n,
                               .scored_from = whole ? own->trained_from : x->row.prompt.n,
                               .tree = x->row.tree,
                               .own = whole ? x->row.label : LORAC_NO_ANSWER,
                               .top = wants_probabilities(c) ? c->K : 1,
                               .probability = wants_probabilities(c)};
    x->example = i;
    x->chooses = whole || *half;
    x->scored = whole || !*half ? own->ids.n - own->trained_from : 0;
    if (!x->chooses) {
        q = (struct lorac_question){.prompt = own->ids.at,
                                    .n = own->ids.n,
                                    .scored_from = own->trained_from,
                                    .own = LORAC_NO_ANSWER};
    }
    st = lorac_chooser_add(added, c->chooser, &q, err);
    if (st) {
        lorac_err_prefix(err, "line %llu: ", (unsigned long long)lorac_dataset_line(c->set, i));
    }
    c->n += *added;
    if (*added) { *half = !x->chooses; }
    return st;
}

/* `ranked`: the answers of query x, the likeliest first. */
static enum lorac_status tell(const struct lorac_classifier *c, const struct query *x,
                              const struct lorac_ranked *ranked, struct lorac_err *err)
{
    struct lorac_verdict v = {.example = x->example,
                              .truth = x->row.label < c->K ? x->row.label : LORAC_NO_ANSWER,
                              .answer = ranked[0].k,
                              .nll = ranked[0].nll,
                              .own_nll = (double)NAN,
                              .probability = (double)NAN,
                              .own_probability = (double)NAN};
    if (wants_probabilities(c)) { v.probability = ranked[0].probability; }
    for (size_t k = 0; wants_probabilities(c) && k < c->K; k++) {
        if (ranked[k].k != v.truth) { continue; }
        v.own_nll = ranked[k].nll;
        v.own_probability = ranked[k].probability;
    }
    if (c->predictions) {
        struct lorac_prediction *to = &c->predictions->at[x->example];
        to->wanted = v.truth == LORAC_NO_ANSWER ? "" : c->labels[v.truth];
        to->answer = c->labels[v.answer];
        to->right = v.answer == v.truth;
        to->probability = v.probability;
    }
    return c->verdicts ? lorac_verdicts_add(c->verdicts, &v, err) : LORAC_OK;
}

static enum lorac_status read_answers(struct lorac_scores *s, struct lorac_classifier *c,
                                      struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < c->n && !st; i++) {
        const struct query *x = &c->query[i];
        size_t broken = 0;
        c->loss += lorac_chooser_loss(c->chooser, i);
        s->tokens += x->scored;
        if (c->predictions) {
            struct lorac_prediction *to = &c->predictions->at[x->example];
            to->loss += lorac_chooser_loss(c->chooser, i);
            to->tokens += x->scored;
        }
        if (!x->chooses) { continue; }
        const struct lorac_ranked *best = lorac_chooser_answers(&broken, c->chooser, i);
        if (!best) { continue; } // the loss is NaN
        lorac_label_count(c->counts, c->K, x->row.label, best->k);
        s->unknown += x->row.label >= c->K;
        st = tell(c, x, best, err);
    }
    return st;
}

static void sum_up(struct lorac_scores *s, const struct lorac_classifier *c)
{
    s->loss = c->loss / (double)s->tokens;
    s->perplexity = exp(s->loss);
    lorac_label_ratios(c->counts, c->K);
    lorac_scores_labels(s, c->counts, c->K, s->rows);
}

/* What this rank counted becomes what all did. */
static enum lorac_status add_up(struct lorac_scores *s, struct lorac_classifier *c,
                                enum lorac_status st, struct lorac_err *err)
{
    struct lorac_buf all = {0};
    double *sum = c->sums + 3 * c->K;
    if (!c->ranks) { return st; }
    for (size_t k = 0; k < c->K; k++) {
        c->sums[3 * k] = (double)c->counts[k].support;
        c->sums[3 * k + 1] = (double)c->counts[k].answered;
        c->sums[3 * k + 2] = (double)c->counts[k].right;
    }
    sum[0] = c->loss;
    sum[1] = (double)s->tokens;
    sum[2] = (double)s->unknown;
    sum[3] = (double)s->computed;
    st = lorac_ranks_add(c->sums, 3 * c->K + SUMS, c->ranks, st, err);
    for (size_t k = 0; k < c->K; k++) {
        c->counts[k] = (struct lorac_label_score){.support = (size_t)c->sums[3 * k],
                                                  .answered = (size_t)c->sums[3 * k + 1],
                                                  .right = (size_t)c->sums[3 * k + 2]};
    }
    c->loss = sum[0];
    s->tokens = (size_t)sum[1];
    s->unknown = (size_t)sum[2];
    s->computed = (size_t)sum[3];
    if (st || !c->verdicts) { return st; }
    struct lorac_verdicts *v = c->verdicts;
    size_t size = sizeof *v->at;
    st = lorac_ranks_gather(&all, c->ranks, v->at, v->n * size, st, err);
    v->n = 0;
    for (size_t i = 0; i < all.n / size && !st; i++) { // in the order of the rows
        struct lorac_verdict one;
        memcpy(&one, all.at + i * size, size);
        st = lorac_verdicts_add(v, &one, err);
    }
    lorac_buf_free(&all);
    return st;
}

/* Rows that are asked together, among all. */
struct group {
    lorac_goes_on_fn *goes_on;
    void *self;
    size_t from, end, n;
};

static bool goes_on(void *self, double done)
{
    const struct group *g = self;
    double rows = (double)g->from + done * (double)(g->end - g->from);
    return !g->goes_on || g->goes_on(g->self, rows / (double)g->n);
}

enum lorac_status lorac_classify(struct lorac_scores *s, struct lorac_classifier *c,
                                 lorac_goes_on_fn *caller, void *self, struct lorac_err *err)
{
    struct group g = {.goes_on = caller, .self = self};
    bool half = false;
    size_t i = 0; // of this rank's rows
    size_t end = 0;
    enum lorac_status st = LORAC_OK;
    size_t before = lorac_chooser_work(c->chooser).rows;
    memset(c->counts, 0, c->K * sizeof *c->counts);
    c->loss = 0.0;
    if (c->verdicts) {
        c->verdicts->n = 0;
        c->verdicts->K = c->K;
        c->verdicts->names = c->labels;
    }
    if (c->predictions) { c->predictions->compares = true; }
    lorac_chooser_renew(c->chooser);
    lorac_ranks_rows(&i, &end, c->ranks, lorac_dataset_size(c->set));
    size_t first = i;
    g.n = end - i;
    while (i < end && !st) {
        bool added = true;
        lorac_chooser_clear(c->chooser);
        c->n = 0;
        g.from = i - first;
        while (i < end && added && !st) {
            st = ask(&added, &half, c, i, err);
            i += !st && added && !half;
        }
        g.end = i - first;
        if (!st) { st = lorac_chooser_run(c->chooser, goes_on, &g, err); }
        if (!st) { st = read_answers(s, c, err); }
    }
    s->computed = lorac_chooser_work(c->chooser).rows - before;
    st = add_up(s, c, st, err);
    sum_up(s, c);
    return st;
}
