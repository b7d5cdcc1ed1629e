/* evaluate.c - see evaluate.h. */
#include "recipes/run/evaluate.h"

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "recipes/run/classify.h"
#include "recipes/run/losses.h"

#include <math.h>
#include <string.h>

enum { ANSWER_ROOM = 32, TEXT_PROMPT = 32, RIVALS = 4 };
enum { TOGETHER = 64, ASKED = 256 }; // answers at a time, of so many: as one ends the next begins

struct lorac_evaluator {
    struct lorac_evaluator_options o;
    struct lorac_classifier *classifier; // measures the loss, too; NULL: there is only the loss
    struct lorac_losses *losses;         // NULL: there is a classifier
    const struct lorac_shots *shots;     // borrowed: what the rows go on from, or NULL
    struct lorac_generator *generator;   // made when first needed
    struct lorac_socket socket;
    struct lorac_example example;
    struct lorac_ids want; // the completion of `example`
    const char *separator; // what ends an answer behind shots; NULL: none
};

/* A greedy answer to be, and what was wanted. */
struct reply {
    struct lorac_ids prompt, ids; // prompt: behind the shots
    struct lorac_buf want, got;
    struct lorac_sampling o;
};

static bool asked(const struct lorac_evaluator *e, enum lorac_metric metric)
{
    return (e->o.metrics >> metric & 1U) != 0;
}

/* Answers at a time: those of exact_match run together, a sample runs alone. */
static size_t generator_sequences(const struct lorac_evaluator_options *o)
{
    return o->metrics >> LORAC_METRIC_EXACT_MATCH & 1U ? TOGETHER : 1;
}

static size_t generator_positions(const struct lorac_dataset *set)
{
    return lorac_shot_tokens(set) + lorac_dataset_max_length(set) + ANSWER_ROOM;
}

static bool has_head(const struct lorac_evaluator_options *o)
{
    return lorac_dataset_objective(o->set)->target != LORAC_TARGET_NONE;
}

/* Can an answer be written? */
static bool writes(const struct lorac_evaluator_options *o)
{
    return !has_head(o) && !lorac_dataset_objective(o->set)->masks;
}

/* Are the answers of all labels compared, one behind the other? */
static bool classifies(const struct lorac_evaluator_options *o)
{
    return o->K && !has_head(o) && lorac_metrics_compare(o->metrics);
}

enum lorac_status lorac_evaluator_new(struct lorac_evaluator **out,
                                      const struct lorac_evaluator_options *options,
                                      struct lorac_err *err)
{
    *out = NULL;
    struct lorac_evaluator *e = lorac_mem_new(1, sizeof *e);
    if (!e) { return lorac_fail(err, LORAC_ENOMEM, "no memory to evaluate"); }
    e->o = *options;
    if (e->o.socket) {
        e->socket = *e->o.socket;
        e->o.socket = &e->socket;
    }
    e->shots = lorac_dataset_shots(e->o.set);
    enum lorac_status st = classifies(&e->o) ? lorac_classifier_new(&e->classifier, &e->o, err)
                                             : lorac_losses_new(&e->losses, &e->o, err);
    bool many = lorac_dataset_counts(e->o.set)->tokens > LORAC_PREPARE_TOKENS;
    if (!st && many) { lorac_model_prepare(e->o.model, e->o.socket, LORAC_ALL_FROZEN); }
    if (st) {
        lorac_evaluator_free(e);
        e = NULL;
    }
    *out = e;
    return st;
}

/* Rows of one evaluation: every example, and what is likelier than a row's own label so far: little
 * once a model knows the labels (one in RIVALS of the answers' own rows), more before. */
static void count_rows(struct lorac_evaluation_size *out, const struct lorac_evaluator_options *o)
{
    const struct lorac_data_counts *c = lorac_dataset_counts(o->set);
    size_t rivals = classifies(o) ? (c->trained - c->used) / RIVALS : 0;
    out->rows = lorac_dataset_all_rows(o->set) + rivals;
    out->scored = c->trained + rivals;
}

enum lorac_status lorac_evaluator_measure(struct lorac_evaluation_size *out,
                                          const struct lorac_evaluator_options *o,
                                          struct lorac_err *err)
{
    *out = (struct lorac_evaluation_size){0};
    enum lorac_status st = classifies(o)
                               ? lorac_classifier_measure(&out->bytes, o, err)
                               : lorac_losses_measure(&out->bytes, &out->kept_bytes, o, err);
    if (!st && writes(o)) {
        st = lorac_generator_measure(&out->generator_bytes, o->model, o->socket,
                                     generator_positions(o->set), generator_sequences(o), err);
    }
    count_rows(out, o);
    return st;
}

void lorac_evaluator_free(struct lorac_evaluator *e)
{
    if (!e) { return; }
    lorac_classifier_free(e->classifier);
    lorac_losses_free(e->losses);
    lorac_generator_free(e->generator);
    lorac_example_free(&e->example);
    lorac_ids_free(&e->want);
    lorac_mem_free(e);
}

size_t lorac_evaluator_kept(const struct lorac_evaluator *e)
{
    return e->losses ? lorac_losses_kept(e->losses) : 0;
}

/* What a metric does while the rows go by: one share of the whole for each metric that runs. */
struct progress {
    lorac_progress_fn *fn;
    void *self;
    double done, parts;
};

static enum lorac_status report(const struct progress *p, size_t i, size_t n, struct lorac_err *err)
{
    double share = n ? (double)i / (double)n : 1.0;
    if (p->fn && !p->fn(p->self, (p->done + share) / p->parts)) {
        return lorac_fail(err, LORAC_ESTOP, "interrupted while evaluating");
    }
    return LORAC_OK;
}

static bool goes_on(void *self, double done)
{
    const struct progress *p = self;
    return !p->fn || p->fn(p->self, (p->done + done) / p->parts);
}

/* The loss, and what comes with it in one way through the model. */
static enum lorac_status measure(struct lorac_scores *s, struct lorac_evaluator *e,
                                 struct progress *p, struct lorac_err *err)
{
    enum lorac_status st = e->classifier ? lorac_classify(s, e->classifier, goes_on, p, err)
                                         : lorac_losses_run(s, e->losses, goes_on, p, err);
    return st == LORAC_ESTOP ? lorac_fail(err, st, "interrupted while evaluating") : st;
}

static enum lorac_status need_generator(struct lorac_evaluator *e, struct lorac_err *err)
{
    if (e->generator) { return LORAC_OK; }
    return lorac_generator_new(&e->generator, e->o.model, e->o.socket,
                               generator_positions(e->o.set), generator_sequences(&e->o), err);
}

/* The same of a piece of text: it begins with the prompt, and as much again is wanted. */
static enum lorac_status divide_text(struct lorac_evaluator *e, size_t i, struct lorac_err *err)
{
    struct lorac_example *x = &e->example;
    enum lorac_status st = lorac_dataset_example(x, e->o.set, i, err);
    size_t prompt = x->ids.n / 2 < TEXT_PROMPT ? x->ids.n / 2 : TEXT_PROMPT;
    for (size_t k = prompt; k < 2 * prompt && !st; k++) {
        st = lorac_ids_add(&e->want, x->ids.at[k], err);
    }
    x->ids.n = prompt;
    return st;
}

/* e->example: the ids of example i's prompt; e->want: those of its completion. What is trained says
 * nothing about where the prompt ends. Without a prompt, all but the first token is completion. */
static enum lorac_status divide(struct lorac_evaluator *e, size_t i, struct lorac_err *err)
{
    struct lorac_example *x = &e->example;
    const struct lorac_template *t = lorac_dataset_template(e->o.set);
    enum lorac_status st = LORAC_OK;
    e->want.n = 0;
    if (lorac_dataset_is_text(e->o.set)) { return divide_text(e, i, err); }
    if (!lorac_template_has_prompt(t)) {
        st = lorac_dataset_example(x, e->o.set, i, err);
        for (size_t k = x->trained_from; k < x->ids.n && !st; k++) {
            st = lorac_ids_add(&e->want, x->ids.at[k], err);
        }
        x->ids.n = st ? 0 : x->trained_from;
        return st;
    }
    st = lorac_dataset_prompt(x, e->o.set, i, 0, err); // for the values
    if (!st) { st = lorac_dataset_answer(&e->want, e->o.set, x->values, err); }
    return st ? st : lorac_dataset_prompt(x, e->o.set, i, e->want.n, err);
}

/* Append the ids in `more`. */
static enum lorac_status add_ids(struct lorac_ids *ids, const struct lorac_ids *more,
                                 struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < more->n && !st; i++) {
        st = lorac_ids_add(ids, more->at[i], err);
    }
    return st;
}

/* An answer ends at the separator; one that holds it could never be given. */
static enum lorac_status check_separator(const struct lorac_evaluator *e, size_t i,
                                         const struct lorac_buf *want, const char *separator,
                                         struct lorac_err *err)
{
    if (!want->n || !strstr(want->at, separator)) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER,
                      "line %llu: the answer holds the text that separates shots; choose another "
                      "separator",
                      (unsigned long long)lorac_dataset_line(e->o.set, i));
}

/* An answer as its ids say it, special tokens and its end, too: a stray or missing one is what to
 * look for. */
static enum lorac_status show_answer(struct lorac_buf *got, const struct lorac_evaluator *e,
                                     const struct lorac_ids *ids, enum lorac_finish finish,
                                     struct lorac_err *err)
{
    const struct lorac_tokenizer *t = lorac_dataset_tokenizer(e->o.set);
    int32_t eos = lorac_tokenizer_eos(t);
    if (e->shots) { return LORAC_OK; } // cut at the separator, inside what the ids say
    lorac_buf_clear(got);
    enum lorac_status st = lorac_decode(got, t, ids->at, ids->n, false, err);
    bool ended = finish == LORAC_FINISH_END && eos >= 0;
    return st || !ended ? st : lorac_decode(got, t, &eos, 1, false, err);
}

static void reply_free(struct reply *r)
{
    lorac_ids_free(&r->prompt);
    lorac_ids_free(&r->ids);
    lorac_buf_free(&r->want);
    lorac_buf_free(&r->got);
}

/* Example i: what is to be continued greedily, behind the shots, and what is wanted; e->example is
 * its prompt. `shown`: with special tokens. */
static enum lorac_status prepare(struct reply *r, struct lorac_generation *x,
                                 struct lorac_evaluator *e, size_t i, bool shown,
                                 struct lorac_err *err)
{
    const struct lorac_tokenizer *t = lorac_dataset_tokenizer(e->o.set);
    r->prompt.n = r->ids.n = 0;
    lorac_buf_clear(&r->want);
    lorac_buf_clear(&r->got);
    enum lorac_status st = divide(e, i, err);
    if (st) { return st; }
    r->o = lorac_sampling_defaults;
    r->o.max_tokens = e->want.n + (lorac_dataset_is_text(e->o.set) ? 0 : ANSWER_ROOM);
    e->separator = e->shots ? lorac_shots_separator(e->shots) : NULL;
    r->o.stop = &e->separator;
    r->o.n_stop = e->separator != NULL;
    if (e->shots) { st = add_ids(&r->prompt, lorac_shots_prefix(e->shots), err); }
    if (!st) { st = add_ids(&r->prompt, &e->example.ids, err); }
    if (!st) { st = lorac_decode(&r->want, t, e->want.at, e->want.n, !shown, err); }
    if (!st && e->separator) { st = check_separator(e, i, &r->want, e->separator, err); }
    *x = (struct lorac_generation){
        .prompt = r->prompt.at, .n = r->prompt.n, .o = &r->o, .ids = &r->ids, .text = &r->got};
    return st;
}

enum lorac_status lorac_evaluator_sample(struct lorac_buf *prompt, struct lorac_buf *want,
                                         struct lorac_buf *got, struct lorac_evaluator *e, size_t i,
                                         struct lorac_err *err)
{
    const struct lorac_tokenizer *t = lorac_dataset_tokenizer(e->o.set);
    struct reply r = {0};
    struct lorac_generation x;
    enum lorac_status st = need_generator(e, err);
    if (!st) { st = prepare(&r, &x, e, i, true, err); }
    if (!st) { st = lorac_decode(prompt, t, e->example.ids.at, e->example.ids.n, false, err); }
    if (!st) { st = lorac_generate_all(&x, 1, e->generator, t, err); }
    if (!st) { st = show_answer(&r.got, e, &r.ids, x.finish, err); }
    if (!st) {
        lorac_buf_add(want, r.want.at ? r.want.at : "", r.want.n);
        lorac_buf_add(got, r.got.at ? r.got.at : "", r.got.n);
        if (want->no_memory || got->no_memory) {
            st = lorac_fail(err, LORAC_ENOMEM, "no memory for a sample");
        }
    }
    reply_free(&r);
    return st;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Equal but for white space around. */
static bool same_text(const struct lorac_buf *a, const struct lorac_buf *b)
{
    const struct lorac_buf *both[] = {a, b};
    const char *at[2];
    size_t n[2];
    for (int i = 0; i < 2; i++) {
        at[i] = both[i]->at ? both[i]->at : "";
        n[i] = both[i]->n;
        while (n[i] && is_space(at[i][0])) {
            at[i]++;
            n[i]--;
        }
        while (n[i] && is_space(at[i][n[i] - 1])) {
            n[i]--;
        }
    }
    return n[0] == n[1] && memcmp(at[0], at[1], n[0]) == 0;
}

/* Asked behind each token of each answer: does the caller go on? */
struct watched {
    const struct progress *p;
    double share;
    bool stopped;
};

static bool watch(void *self, const char *text, size_t n)
{
    struct watched *w = self;
    (void)text;
    (void)n;
    w->stopped = w->stopped || (w->p->fn && !w->p->fn(w->p->self, w->share));
    return !w->stopped;
}

static enum lorac_status keep_answer(struct lorac_predictions *p, size_t i, const struct reply *r,
                                     bool same, struct lorac_err *err)
{
    struct lorac_prediction *to = &p->at[i];
    if (!p->compares) { to->wanted = lorac_predictions_text(p, &r->want); }
    to->text = lorac_predictions_text(p, &r->got);
    to->exact = same;
    p->matches = true;
    return to->wanted && to->text ? LORAC_OK
                                  : lorac_fail(err, LORAC_ENOMEM, "no memory for predictions");
}

/* Examples from .. from + n - 1, at most ASKED. */
static enum lorac_status match_some(struct lorac_scores *s, size_t *right, struct reply *r,
                                    struct lorac_evaluator *e, struct watched *w, size_t from,
                                    size_t n, struct lorac_err *err)
{
    struct lorac_generation x[ASKED];
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < n && !st; i++) {
        st = prepare(&r[i], &x[i], e, from + i, false, err);
        x[i].show = watch;
        x[i].self = w;
    }
    if (!st) {
        st = lorac_generate_all(x, n, e->generator, lorac_dataset_tokenizer(e->o.set), err);
    }
    if (!st && w->stopped) { st = lorac_fail(err, LORAC_ESTOP, "interrupted while evaluating"); }
    for (size_t i = 0; i < n && !st; i++) {
        s->silent += r[i].ids.n == 0;
        bool same = same_text(&r[i].want, &r[i].got);
        *right += same;
        if (e->o.predictions) { st = keep_answer(e->o.predictions, from + i, &r[i], same, err); }
    }
    return st;
}

static enum lorac_status measure_exact_match(struct lorac_scores *s, struct lorac_evaluator *e,
                                             const struct progress *p, struct lorac_err *err)
{
    size_t n = lorac_dataset_size(e->o.set);
    size_t from = 0;
    size_t end = n;
    size_t right = 0;
    lorac_ranks_rows(&from, &end, e->o.ranks, n);
    enum lorac_status st = need_generator(e, err);
    struct reply *r = lorac_mem_new(ASKED, sizeof *r);
    if (!st && !r) { st = lorac_fail(err, LORAC_ENOMEM, "no memory to evaluate"); }
    for (size_t i = from; i < end && !st; i += ASKED) {
        size_t some = end - i < ASKED ? end - i : ASKED;
        struct watched w = {.p = p, .share = (p->done + (double)i / (double)n) / p->parts};
        st = match_some(s, &right, r, e, &w, i, some, err);
        if (!st) { st = report(p, i + some, n, err); }
    }
    for (size_t i = 0; r && i < ASKED; i++) {
        reply_free(&r[i]);
    }
    lorac_mem_free(r);
    double sum[] = {(double)right, (double)s->silent};
    st = lorac_ranks_add(sum, 2, e->o.ranks, st, err);
    s->silent = (size_t)sum[1];
    s->has_exact_match = true;
    s->exact_match = n ? sum[0] / (double)n : 0.0;
    return st;
}

/* What follows from the same counts is told where it was asked for. */
static void keep_asked(struct lorac_scores *s, unsigned metrics)
{
    for (int m = LORAC_METRIC_EXACT_MATCH + 1; m < LORAC_METRICS; m++) {
        if (!(metrics >> m & 1U)) { lorac_scores_set(s, (enum lorac_metric)m, (double)NAN); }
    }
}

enum lorac_status lorac_evaluate(struct lorac_scores *out, struct lorac_evaluator *e,
                                 lorac_progress_fn *progress, void *self, struct lorac_err *err)
{
    double begin = lorac_clock();
    bool exact = asked(e, LORAC_METRIC_EXACT_MATCH);
    struct progress p = {progress, self, 0.0, 1.0 + exact};
    *out = lorac_scores_none();
    out->rows = lorac_dataset_size(e->o.set);
    out->bytes = (size_t)lorac_dataset_counts(e->o.set)->bytes;
    struct lorac_predictions *rows = e->o.predictions;
    enum lorac_status st = rows ? lorac_predictions_begin(rows, e->o.set, err) : LORAC_OK;
    if (!st) { st = measure(out, e, &p, err); }
    for (size_t i = 0; rows && !st && i < rows->n; i++) { // until now they were sums
        rows->at[i].loss /= (double)rows->at[i].tokens;
    }
    if (!st && !isfinite(out->loss)) { // no label is likelier than another then
        st = lorac_fail(err, LORAC_EFORMAT,
                        "the loss is not finite: are the weights or the adapter damaged, or was "
                        "optimizer.lr too high?");
    }
    p.done += 1.0;
    if (!st && exact) { st = measure_exact_match(out, e, &p, err); }
    if (!st && rows) { st = lorac_predictions_share(rows, e->o.ranks, st, err); }
    keep_asked(out, e->o.metrics);
    out->seconds = lorac_clock() - begin;
    return st;
}
