/* draw.c - from a row of logits to a token of an answer, and what tokens are rated. */
#include "tools/serve/engine_impl.h"

#include <math.h>
#include <string.h>

/* log of the sum of exp(x - max), and max. */
static double log_sum(double *max, const float *x, size_t V)
{
    float most = x[0];
    double sum = 0.0;
    for (size_t i = 1; i < V; i++) {
        most = x[i] > most ? x[i] : most;
    }
    for (size_t i = 0; i < V; i++) {
        sum += (double)expf(x[i] - most);
    }
    *max = (double)most;
    return log(sum);
}

/* The k likeliest, equal ones by id. */
static void find_top(struct token *t, size_t k, const float *x, size_t V)
{
    t->n_top = 0;
    for (size_t i = 0; i < V && k; i++) {
        size_t at = t->n_top;
        if (at == k && !(x[i] > x[t->top[at - 1]])) { continue; }
        at -= at == k;
        for (; at > 0 && x[i] > x[t->top[at - 1]]; at--) {
            t->top[at] = t->top[at - 1];
        }
        t->top[at] = (int32_t)i;
        if (t->n_top < k) { t->n_top++; }
    }
}

static struct token *new_token(struct choice *c, int32_t id, struct lorac_err *err)
{
    if (c->n_tokens == c->cap_tokens) {
        struct token *larger =
            lorac_mem_grow(c->token, c->n_tokens, &c->cap_tokens, c->n_tokens + 1, sizeof *larger);
        if (!larger) {
            (void)lorac_fail(err, LORAC_ENOMEM, "no memory for the ratings of tokens");
            return NULL;
        }
        c->token = larger;
    }
    struct token *t = &c->token[c->n_tokens++];
    *t = (struct token){.id = id, .logprob = (double)NAN, .at = c->text.n};
    return t;
}

static bool all_finite(const float *x, size_t n)
{
    float sum = 0.0F; // 0 x is 0 for what is finite and NaN for what is not
    for (size_t i = 0; i < n; i++) {
        sum += 0.0F * x[i];
    }
    return sum == 0.0F;
}

static enum lorac_status check_finite(const struct choice *c, const float *logits, size_t V,
                                      struct lorac_err *err)
{
    if (all_finite(logits, V)) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EFORMAT,
                      "the logits of a prompt of %zu tokens, or of its answer, are not finite: are "
                      "the weights or the adapter damaged?",
                      c->n_prompt);
}

enum lorac_status draw_rate(struct choice *c, int32_t id, const float *logits, size_t V,
                            struct lorac_err *err)
{
    enum lorac_status st = logits ? check_finite(c, logits, V, err) : LORAC_OK;
    struct token *t = st ? NULL : new_token(c, id, err);
    if (!t) { return st ? st : LORAC_ENOMEM; }
    if (!logits) { return LORAC_OK; }
    double max = 0.0;
    double log_of = log_sum(&max, logits, V);
    t->logprob = (double)(float)((double)logits[id] - max - log_of);
    find_top(t, (size_t)c->call->top, logits, V);
    for (size_t i = 0; i < t->n_top; i++) {
        t->top_logprob[i] = (float)((double)logits[t->top[i]] - max - log_of);
    }
    return LORAC_OK;
}

/* What sampling does with a row that is rated, too: the row is clobbered, so it is rated first, by
 * a guess that is right where nothing is drawn; else once more. */
static enum lorac_status draw_rated(int32_t *id, struct engine *e, struct choice *c, float *logits,
                                    struct lorac_err *err)
{
    size_t V = e->m->config.V;
    size_t at = c->n_tokens;
    bool rated = c->call->top >= 0;
    double max = 0.0;
    double log_of = rated ? log_sum(&max, logits, V) : 0.0;
    enum lorac_status st = LORAC_OK;
    if (rated) { st = draw_rate(c, 0, logits, V, err); }
    if (st) { return st; }
    bool penalised = c->o.repetition_penalty != 1.0;
    float *kept = NULL;
    if (rated && penalised) {
        kept = lorac_mem_new(V, sizeof *kept);
        if (!kept) { return lorac_fail(err, LORAC_ENOMEM, "no memory to rate a token"); }
        memcpy(kept, logits, V * sizeof *kept);
    }
    *id = lorac_sample(logits, e->order_of, V, c->seen.at, c->seen.n, &c->o, c->drawn);
    if (rated) {
        double x = (double)(kept ? kept : logits)[*id];
        c->token[at].id = *id;
        c->token[at].logprob = (double)(float)(x - max - log_of);
    }
    lorac_mem_free(kept);
    return LORAC_OK;
}

/* The text after a token: does it end here? */
static bool ended_by_text(struct choice *c)
{
    size_t stop = lorac_stop_find(&c->text, 0, &c->o);
    if (stop == SIZE_MAX) {
        c->certain = c->text.n - lorac_stop_begun(&c->text, 0, &c->o);
        return false;
    }
    c->text.n = c->certain = stop;
    c->text.at[stop] = '\0';
    c->finish = LORAC_FINISH_STOP;
    while (c->n_tokens && c->token[c->n_tokens - 1].at >= stop && c->call->top >= 0 &&
           c->n_tokens > (c->call->scores ? c->n_prompt : 0)) {
        c->n_tokens--; // tokens of the stop text alone
    }
    return true;
}

enum lorac_status draw_token(bool *ended, struct engine *e, struct choice *c, float *logits,
                             struct lorac_err *err)
{
    int32_t id = 0;
    *ended = true;
    enum lorac_status st = check_finite(c, logits, e->m->config.V, err);
    if (!st) { st = draw_rated(&id, e, c, logits, err); }
    if (st) { return st; }
    c->drawn++;
    e->own.answer_tokens++;
    bool end = lorac_token_is_end(e->t, id);
    if (!end) {
        st = lorac_ids_add(&c->seen, id, err);
        if (!st) { st = lorac_stream_add(&c->text, &c->stream, e->t, id, true, err); }
        if (!st && c->text.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for text"); }
        if (st) { return st; }
        if (ended_by_text(c)) { return LORAC_OK; }
    }
    bool full = c->drawn >= c->o.max_tokens || c->seen.n >= e->o.max_length;
    if (!end && !full) {
        *ended = false;
        return LORAC_OK;
    }
    c->finish = end ? LORAC_FINISH_END : LORAC_FINISH_LENGTH;
    st = lorac_stream_end(&c->text, &c->stream, e->t, true, err);
    c->certain = c->text.n;
    return st;
}
