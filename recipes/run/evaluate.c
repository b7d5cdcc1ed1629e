/* evaluate.c - see evaluate.h. */
#include "recipes/run/evaluate.h"

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "recipes/run/labels.h"

#include <math.h>
#include <string.h>

enum { EVAL_ROWS = 1024, ANSWER_ROOM = 32, TEXT_PROMPT = 32 };

struct lorac_evaluator {
    struct lorac_evaluator_options o;
    struct lorac_loader *loader;
    struct lorac_choices *choices; // NULL: no accuracy asked for, or free text
    struct lorac_batch *batch;
    struct lorac_pass *pass;
    const struct lorac_shots *shots;   // borrowed: what the rows go on from, or NULL
    struct lorac_cache *cache;         // sequence 0 holds the shots; NULL: none
    struct lorac_generator *generator; // made when first needed
    struct lorac_socket socket;
    float *nll;                  // (max targets)
    struct lorac_choice *choice; // (rows in a batch, K)
    size_t *truth;               // (rows in a batch)
    size_t *confusion;           // (K,3): true positives, false positives, false negatives
    struct lorac_example example;
    struct lorac_ids want;   // the completion of `example`
    struct lorac_ids prompt; // shots and prompt of `example`
};

double lorac_scores_get(const struct lorac_scores *s, enum lorac_metric metric)
{
    switch (metric) {
    case LORAC_METRIC_LOSS:
        return s->loss;
    case LORAC_METRIC_PERPLEXITY:
        return s->perplexity;
    case LORAC_METRIC_ACCURACY:
        return s->accuracy;
    case LORAC_METRIC_MACRO_F1:
        return s->macro_f1;
    case LORAC_METRIC_EXACT_MATCH:
        return s->exact_match;
    }
    return (double)NAN;
}

double lorac_scores_bits_per_byte(const struct lorac_scores *s)
{
    return s->bytes ? s->loss * (double)s->tokens / log(2.0) / (double)s->bytes : (double)NAN;
}

double lorac_scores_byte_perplexity(const struct lorac_scores *s)
{
    return s->bytes ? exp(s->loss * (double)s->tokens / (double)s->bytes) : (double)NAN;
}

bool lorac_metric_better(enum lorac_metric metric, double a, double b, double delta)
{
    bool less = metric == LORAC_METRIC_LOSS || metric == LORAC_METRIC_PERPLEXITY;
    return less ? a < b - delta : a > b + delta;
}

static bool asked(const struct lorac_evaluator *e, enum lorac_metric metric)
{
    return (e->o.metrics >> metric & 1U) != 0;
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Tokens that stand in front of every row. */
static size_t shot_tokens(const struct lorac_dataset *set)
{
    const struct lorac_shots *shots = lorac_dataset_shots(set);
    return shots ? lorac_shots_prefix(shots)->n : 0;
}

static size_t generator_positions(const struct lorac_dataset *set)
{
    return shot_tokens(set) + lorac_dataset_max_length(set) + ANSWER_ROOM;
}

bool lorac_metrics_compare(unsigned metrics)
{
    return (metrics & (1U << LORAC_METRIC_ACCURACY | 1U << LORAC_METRIC_MACRO_F1)) != 0;
}

/* What the buffers of an evaluator must hold. */
struct capacity {
    bool labels; // the answers of all labels are compared
    size_t rows, segments, targets;
};

static const struct lorac_loader_options loader_options = {.batch_tokens = EVAL_ROWS,
                                                           .share_prefix = LORAC_SHARE_AUTO};

static struct capacity find_capacity(const struct lorac_loader *loader,
                                     const struct lorac_choices *choices) // or NULL
{
    struct capacity c = {.labels = choices != NULL, .rows = EVAL_ROWS};
    if (c.labels) { // one prompt with all its labels
        size_t prompt = lorac_dataset_max_length(lorac_loader_dataset(loader));
        c.rows = most(c.rows, prompt + lorac_choices_tokens(choices));
    }
    c.rows = most(c.rows, lorac_loader_max_rows(loader));
    c.segments = most(lorac_loader_max_segments(loader), c.rows);
    c.targets = c.rows + (c.labels ? c.rows * 2 : 0);
    return c;
}

static enum lorac_status take_buffers(struct lorac_evaluator *e, const struct capacity *c,
                                      struct lorac_err *err)
{
    size_t K = c->labels ? e->o.K : 0;
    e->nll = lorac_mem_new(c->targets, sizeof *e->nll);
    e->choice = lorac_mem_new(K ? c->targets : 1, sizeof *e->choice);    // each has a target
    e->truth = lorac_mem_new(K ? c->segments + 1 : 1, sizeof *e->truth); // one may not fit
    e->confusion = lorac_mem_new(K + 1, 3 * sizeof *e->confusion);
    if (!e->nll || !e->choice || !e->truth || !e->confusion) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory to evaluate");
    }
    return lorac_batch_new(&e->batch, c->rows, c->segments, c->targets, err);
}

/* *out stays NULL where no labels are to be compared. */
static enum lorac_status open_choices(struct lorac_choices **out,
                                      const struct lorac_evaluator_options *o,
                                      struct lorac_err *err)
{
    if (!o->K || !lorac_metrics_compare(o->metrics)) { return LORAC_OK; }
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
    struct capacity c = {0};
    enum lorac_status st = lorac_loader_open(&e->loader, e->o.set, &loader_options, err);
    if (!st) { st = open_choices(&e->choices, &e->o, err); }
    if (!st) { c = find_capacity(e->loader, e->choices); }
    if (!st) { st = take_buffers(e, &c, err); }
    size_t past = shot_tokens(e->o.set);
    struct lorac_pass_options o = {.max_rows = c.rows, .max_positions = past + c.rows};
    e->shots = lorac_dataset_shots(e->o.set);
    if (!st && past) { st = lorac_cache_new(&e->cache, e->o.model, past, err); }
    if (!st) { st = lorac_pass_new(&e->pass, e->o.model, e->o.socket, &o, err); }
    if (st) {
        lorac_evaluator_free(e);
        e = NULL;
    }
    *out = e;
    return st;
}

/* Rows of one evaluation: every example, and every prompt with all labels (as long as the rows' own
 * answers are on average), whose first tokens are scored at the prompt's last row. */
static void count_rows(struct lorac_evaluation_size *out, const struct lorac_evaluator_options *o,
                       bool labels)
{
    const struct lorac_data_counts *c = lorac_dataset_counts(o->set);
    size_t answers = labels ? o->K * (c->trained - c->used) : 0;
    out->rows = c->tokens - c->used + (labels ? c->tokens - c->trained + answers : 0);
    out->scored = c->trained + (labels ? c->used + answers : 0);
}

enum lorac_status lorac_evaluator_measure(struct lorac_evaluation_size *out,
                                          const struct lorac_evaluator_options *o,
                                          struct lorac_err *err)
{
    const struct lorac_evaluator *e = NULL;
    struct lorac_loader *loader = NULL;
    *out = (struct lorac_evaluation_size){0};
    enum lorac_status st = lorac_loader_open(&loader, o->set, &loader_options, err);
    struct lorac_choices *choices = NULL;
    if (!st) { st = open_choices(&choices, o, err); }
    struct capacity c = {0};
    if (!st) { c = find_capacity(loader, choices); }
    lorac_choices_close(choices);
    lorac_loader_close(loader);
    if (st) { return st; }
    size_t past = shot_tokens(o->set);
    size_t cache = 0;
    struct lorac_pass_options pass = {.max_rows = c.rows, .max_positions = past + c.rows};
    st = lorac_pass_measure(&out->bytes, o->model, o->socket, &pass, err);
    if (!st) {
        st = lorac_generator_measure(&out->generator_bytes, o->model, o->socket,
                                     generator_positions(o->set), err);
    }
    if (!st && past) { st = lorac_cache_measure(&cache, o->model, past, err); }
    out->bytes +=
        cache + c.targets * sizeof *e->nll + lorac_batch_bytes(c.rows, c.segments, c.targets);
    if (c.labels) {
        out->bytes += c.targets * sizeof *e->choice + (c.segments + 1) * sizeof *e->truth;
    }
    count_rows(out, o, c.labels);
    return st;
}

void lorac_evaluator_free(struct lorac_evaluator *e)
{
    if (!e) { return; }
    lorac_loader_close(e->loader);
    lorac_choices_close(e->choices);
    lorac_batch_free(e->batch);
    lorac_cache_free(e->cache);
    lorac_pass_free(e->pass);
    lorac_generator_free(e->generator);
    lorac_mem_free(e->nll);
    lorac_mem_free(e->choice);
    lorac_mem_free(e->truth);
    lorac_mem_free(e->confusion);
    lorac_example_free(&e->example);
    lorac_ids_free(&e->want);
    lorac_ids_free(&e->prompt);
    lorac_mem_free(e);
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

/* The shots into the cache: rows of every batch go on from there. */
static enum lorac_status read_shots(struct lorac_evaluator *e, struct lorac_err *err)
{
    if (!e->shots) { return LORAC_OK; }
    const struct lorac_ids *prefix = lorac_shots_prefix(e->shots);
    enum lorac_status st = LORAC_OK;
    for (size_t at = 0; at < prefix->n && !st;) {
        size_t n = prefix->n - at < e->batch->max_rows ? prefix->n - at : e->batch->max_rows;
        lorac_batch_clear(e->batch);
        (void)lorac_batch_add_cached(e->batch, prefix->at + at, n, -1, 0, at, true);
        st = lorac_pass_forward(e->pass, e->batch, e->cache, err);
        at += n;
    }
    return st;
}

static enum lorac_status measure_loss(struct lorac_scores *s, struct lorac_evaluator *e,
                                      const struct progress *p, struct lorac_err *err)
{
    double sum = 0.0;
    size_t rows = 0;
    enum lorac_status st = lorac_loader_seek(e->loader, (struct lorac_loader_state){0}, err);
    while (!st && lorac_loader_state(e->loader).epoch == 0) {
        const uint32_t *examples = NULL;
        size_t n = 0;
        st = lorac_loader_next(e->loader, e->batch, &examples, &n, err);
        if (!st) { st = lorac_pass_forward(e->pass, e->batch, e->cache, err); }
        if (st) { break; }
        lorac_pass_loss(e->pass, e->batch, e->nll, false);
        for (size_t t = 0; t < e->batch->T; t++) {
            sum += (double)e->nll[t];
        }
        s->tokens += e->batch->T;
        rows += n;
        st = report(p, rows, lorac_dataset_size(e->o.set), err);
    }
    s->loss = sum / (double)s->tokens;
    s->perplexity = exp(s->loss);
    return st;
}

/* The likeliest of K labels for the row whose choices start at `choice`. */
static size_t best_label(const struct lorac_choice *choice, size_t K, const float *nll)
{
    size_t best = 0;
    double least = (double)INFINITY;
    for (size_t k = 0; k < K; k++) {
        double sum = (double)nll[choice[k].first];
        for (size_t t = 0; t < choice[k].n_rest; t++) {
            sum += (double)nll[choice[k].rest + t];
        }
        if (sum < least) {
            least = sum;
            best = k;
        }
    }
    return best;
}

static void count_answers(struct lorac_scores *s, struct lorac_evaluator *e, size_t rows,
                          size_t *right)
{
    size_t K = e->o.K;
    for (size_t i = 0; i < rows; i++) {
        size_t answer = best_label(e->choice + i * K, K, e->nll);
        if (answer == e->truth[i]) {
            (*right)++;
            e->confusion[3 * answer]++;
            continue;
        }
        e->confusion[3 * answer + 1]++;
        if (e->truth[i] < K) { e->confusion[3 * e->truth[i] + 2]++; }
        s->unknown += e->truth[i] >= K;
    }
}

static enum lorac_status measure_accuracy(struct lorac_scores *s, struct lorac_evaluator *e,
                                          const struct progress *p, struct lorac_err *err)
{
    size_t K = e->o.K;
    size_t n = lorac_dataset_size(e->o.set);
    size_t right = 0;
    memset(e->confusion, 0, 3 * K * sizeof *e->confusion);
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < n && !st;) {
        size_t rows = 0;
        bool added = true;
        lorac_batch_clear(e->batch);
        while (i < n && added && !st) {
            st = lorac_choices_add(&added, e->choice + rows * K, e->truth + rows, e->batch,
                                   e->choices, i, err);
            if (!st && added) {
                i++;
                rows++;
            }
        }
        if (!st) { st = lorac_pass_forward(e->pass, e->batch, e->cache, err); }
        if (st) { break; }
        lorac_pass_loss(e->pass, e->batch, e->nll, false);
        count_answers(s, e, rows, &right);
        st = report(p, i, n, err);
    }
    double f1 = 0.0;
    size_t seen = 0;
    for (size_t k = 0; k < K; k++) {
        const size_t *c = e->confusion + 3 * k;
        if (c[0] + c[2] > s->majority) { // rows with this label
            s->majority = c[0] + c[2];
            s->majority_label = k;
        }
        size_t all = 2 * c[0] + c[1] + c[2];
        if (all == 0) { continue; }
        f1 += 2.0 * (double)c[0] / (double)all;
        seen++;
    }
    s->has_accuracy = true;
    s->accuracy = n ? (double)right / (double)n : 0.0;
    s->macro_f1 = seen ? f1 / (double)seen : 0.0;
    return st;
}

static enum lorac_status need_generator(struct lorac_evaluator *e, struct lorac_err *err)
{
    if (e->generator) { return LORAC_OK; }
    return lorac_generator_new(&e->generator, e->o.model, e->o.socket,
                               generator_positions(e->o.set), err);
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
    if (!st) {
        st = lorac_completion_encode(&e->want, t, lorac_dataset_tokenizer(e->o.set), x->values,
                                     lorac_dataset_appends_eos(e->o.set) && !e->shots, err);
    }
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

/* Example i: its prompt's ids, behind the shots, continued greedily. With a prompt special tokens
 * are shown. */
static enum lorac_status answer(struct lorac_buf *prompt, struct lorac_buf *want,
                                struct lorac_buf *got, size_t *tokens, struct lorac_evaluator *e,
                                size_t i, struct lorac_err *err)
{
    struct lorac_example *x = &e->example;
    struct lorac_ids ids = {0};
    enum lorac_finish finish = LORAC_FINISH_END;
    enum lorac_status st = need_generator(e, err);
    if (!st) { st = divide(e, i, err); }
    if (st) { return st; }
    struct lorac_sampling o = lorac_sampling_defaults;
    o.max_tokens = e->want.n + (lorac_dataset_is_text(e->o.set) ? 0 : ANSWER_ROOM);
    const char *separator = e->shots ? lorac_shots_separator(e->shots) : NULL;
    o.stop = &separator;
    o.n_stop = separator != NULL;
    e->prompt.n = 0;
    if (e->shots) { st = add_ids(&e->prompt, lorac_shots_prefix(e->shots), err); }
    if (!st) { st = add_ids(&e->prompt, &x->ids, err); }
    if (!st && prompt) {
        st = lorac_decode(prompt, lorac_dataset_tokenizer(e->o.set), x->ids.at, x->ids.n, false,
                          err);
    }
    if (!st) {
        st = lorac_decode(want, lorac_dataset_tokenizer(e->o.set), e->want.at, e->want.n, !prompt,
                          err);
    }
    if (!st && separator) { st = check_separator(e, i, want, separator, err); }
    if (!st) {
        st = lorac_generate(&ids, got, &finish, e->generator, lorac_dataset_tokenizer(e->o.set),
                            e->prompt.at, e->prompt.n, &o, NULL, NULL, err);
    }
    if (!st && prompt) { st = show_answer(got, e, &ids, finish, err); }
    *tokens = ids.n;
    lorac_ids_free(&ids);
    return st;
}

enum lorac_status lorac_evaluator_sample(struct lorac_buf *prompt, struct lorac_buf *want,
                                         struct lorac_buf *got, struct lorac_evaluator *e, size_t i,
                                         struct lorac_err *err)
{
    size_t tokens = 0;
    return answer(prompt, want, got, &tokens, e, i, err);
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

static enum lorac_status measure_exact_match(struct lorac_scores *s, struct lorac_evaluator *e,
                                             const struct progress *p, struct lorac_err *err)
{
    struct lorac_buf want = {0};
    struct lorac_buf got = {0};
    size_t n = lorac_dataset_size(e->o.set);
    size_t right = 0;
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < n && !st; i++) {
        lorac_buf_clear(&want);
        lorac_buf_clear(&got);
        size_t tokens = 0;
        st = answer(NULL, &want, &got, &tokens, e, i, err);
        s->silent += !st && tokens == 0;
        right += same_text(&want, &got);
        if (!st) { st = report(p, i + 1, n, err); }
    }
    lorac_buf_free(&want);
    lorac_buf_free(&got);
    s->has_exact_match = true;
    s->exact_match = n ? (double)right / (double)n : 0.0;
    return st;
}

enum lorac_status lorac_evaluate(struct lorac_scores *out, struct lorac_evaluator *e,
                                 lorac_progress_fn *progress, void *self, struct lorac_err *err)
{
    double begin = lorac_clock();
    bool exact = asked(e, LORAC_METRIC_EXACT_MATCH);
    struct progress p = {progress, self, 0.0, 1.0 + (e->choices != NULL) + exact};
    *out = (struct lorac_scores){.rows = lorac_dataset_size(e->o.set),
                                 .bytes = (size_t)lorac_dataset_counts(e->o.set)->bytes,
                                 .accuracy = (double)NAN,
                                 .macro_f1 = (double)NAN,
                                 .exact_match = (double)NAN};
    enum lorac_status st = read_shots(e, err);
    if (!st) { st = measure_loss(out, e, &p, err); }
    if (!st && !isfinite(out->loss)) { // no label is likelier than another then
        st = lorac_fail(err, LORAC_EFORMAT,
                        "the loss is not finite: are the weights or the adapter damaged, or was "
                        "optimizer.lr too high?");
    }
    p.done += 1.0;
    if (!st && e->choices) {
        st = measure_accuracy(out, e, &p, err);
        p.done += 1.0;
    }
    if (!st && exact) { st = measure_exact_match(out, e, &p, err); }
    out->seconds = lorac_clock() - begin;
    return st;
}
