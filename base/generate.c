/* generate.c - prompt in chunks, then one token at a time; see generate.h. */
#include "base/generate.h"

#include "base/core/mem.h"

#include <math.h>
#include <string.h>

enum { PREFILL_ROWS = 256 };

struct lorac_generator {
    const struct lorac_model *m;
    struct lorac_pass *pass;
    struct lorac_cache *cache;
    struct lorac_batch *batch;
    size_t max_positions;
    float *logits;   // (V)
    uint32_t *order; // (V)
};

const struct lorac_sampling lorac_sampling_defaults = {
    .max_tokens = 128,
    .top_p = 1.0,
    .repetition_penalty = 1.0,
};

const char *lorac_finish_name(enum lorac_finish f)
{
    static const char *const names[] = {"end", "length", "stop", "context", "caller"};
    return names[f];
}

static struct lorac_pass_options pass_options(const struct lorac_model *m, size_t max_positions)
{
    size_t limit = m->config.max_positions;
    size_t n = max_positions && max_positions < limit ? max_positions : limit;
    return (struct lorac_pass_options){
        .max_rows = n < PREFILL_ROWS ? n : PREFILL_ROWS,
        .max_positions = n,
    };
}

enum lorac_status lorac_generator_measure(size_t *bytes, const struct lorac_model *m,
                                          const struct lorac_socket *socket, size_t max_positions,
                                          struct lorac_err *err)
{
    struct lorac_pass_options o = pass_options(m, max_positions);
    size_t cache = 0;
    enum lorac_status st = lorac_pass_measure(bytes, m, socket, &o, err);
    if (!st) { st = lorac_cache_measure(&cache, m, o.max_positions, err); }
    *bytes += cache + m->config.V * (sizeof(float) + sizeof(uint32_t)) +
              lorac_batch_bytes(o.max_rows, 1, 1);
    return st;
}

enum lorac_status lorac_generator_new(struct lorac_generator **out, const struct lorac_model *m,
                                      const struct lorac_socket *socket, size_t max_positions,
                                      struct lorac_err *err)
{
    *out = NULL;
    struct lorac_generator *g = lorac_mem_new(1, sizeof *g);
    if (!g) { return lorac_fail(err, LORAC_ENOMEM, "no memory to generate"); }
    struct lorac_pass_options o = pass_options(m, max_positions);
    g->m = m;
    g->max_positions = o.max_positions;
    g->logits = lorac_mem_new(m->config.V, sizeof *g->logits);
    g->order = lorac_mem_new(m->config.V, sizeof *g->order);
    enum lorac_status st = LORAC_OK;
    if (!g->logits || !g->order) { st = lorac_fail(err, LORAC_ENOMEM, "no memory to generate"); }
    if (!st) { st = lorac_pass_new(&g->pass, m, socket, &o, err); }
    if (!st) { st = lorac_cache_new(&g->cache, m, g->max_positions, err); }
    if (!st) { st = lorac_batch_new(&g->batch, o.max_rows, 1, 1, err); }
    if (st) {
        lorac_generator_free(g);
        return st;
    }
    *out = g;
    return LORAC_OK;
}

void lorac_generator_free(struct lorac_generator *g)
{
    if (!g) { return; }
    lorac_pass_free(g->pass);
    lorac_cache_free(g->cache);
    lorac_batch_free(g->batch);
    lorac_mem_free(g->logits);
    lorac_mem_free(g->order);
    lorac_mem_free(g);
}

enum lorac_status lorac_generator_use(struct lorac_generator *g, const struct lorac_socket *socket,
                                      struct lorac_err *err)
{
    return lorac_pass_use(g->pass, socket, err);
}

/* Append `n` ids after `past` cached rows; the last one's logits end up in g->logits. */
static enum lorac_status feed(struct lorac_generator *g, const int32_t *ids, size_t n, size_t past,
                              struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t at = 0; at < n && !st;) {
        size_t rows = n - at < g->batch->max_rows ? n - at : g->batch->max_rows;
        lorac_batch_clear(g->batch);
        lorac_batch_add_cached(g->batch, ids + at, rows, -1, 0, past + at, true);
        at += rows;
        if (at == n) { lorac_batch_want_logits(g->batch, rows - 1); }
        st = lorac_pass_forward(g->pass, g->batch, g->cache, err);
    }
    if (!st) { lorac_pass_logits(g->pass, g->batch, g->logits); }
    return st;
}

/* Where `what` (k > 0 bytes) first stands in n bytes, which may hold NUL; or NULL. */
static const char *find(const char *text, size_t n, const char *what, size_t k)
{
    const char *end = text + n;
    for (const char *c = text; (size_t)(end - c) >= k; c++) {
        c = memchr(c, what[0], (size_t)(end - c) - k + 1);
        if (!c) { return NULL; }
        if (memcmp(c, what, k) == 0) { return c; }
    }
    return NULL;
}

/* Where the first stop text begins in `text`, or SIZE_MAX. */
static size_t find_stop(const struct lorac_buf *text, size_t from, const struct lorac_sampling *o)
{
    size_t first = SIZE_MAX;
    for (size_t i = 0; i < o->n_stop && text->n; i++) {
        size_t k = strlen(o->stop[i]);
        const char *hit = k ? find(text->at + from, text->n - from, o->stop[i], k) : NULL;
        if (hit && (size_t)(hit - text->at) < first) { first = (size_t)(hit - text->at); }
    }
    return first;
}

/* Bytes at the end of `text` that may be the beginning of a stop text: not certain yet. */
static size_t uncertain(const struct lorac_buf *text, size_t from, const struct lorac_sampling *o)
{
    size_t most = 0;
    for (size_t i = 0; i < o->n_stop; i++) {
        size_t n = strlen(o->stop[i]);
        for (size_t k = n ? n - 1 : 0; k > most; k--) {
            if (k <= text->n - from && memcmp(text->at + text->n - k, o->stop[i], k) == 0) {
                most = k;
            }
        }
    }
    return most;
}

/* What a run of lorac_generate() has produced. */
struct result {
    struct lorac_buf *text;
    size_t begin; // of this run's text in it
    size_t shown;
    lorac_show_fn *show;
    void *self;
};

/* Give out text up to `end`, nothing where no more is certain; false: the caller wants no more. */
static bool show_until(struct result *r, size_t end)
{
    if (!r->show) { return true; }
    size_t from = r->shown;
    r->shown = end > from ? end : from;
    return r->show(r->self, r->text->at ? r->text->at + from : "", r->shown - from);
}

/* Look at the text after a token: true where generation ends, and why. */
static bool ended_by_text(struct result *r, const struct lorac_sampling *o,
                          enum lorac_finish *finish)
{
    size_t stop = find_stop(r->text, r->begin, o);
    if (stop != SIZE_MAX) {
        r->text->n = stop;
        r->text->at[stop] = '\0';
        (void)show_until(r, stop);
        *finish = LORAC_FINISH_STOP;
        return true;
    }
    if (!show_until(r, r->text->n - uncertain(r->text, r->begin, o))) {
        *finish = LORAC_FINISH_CALLER;
        return true;
    }
    return false;
}

static bool all_finite(const float *x, size_t n)
{
    float sum = 0.0F; // 0 x is 0 for what is finite and NaN for what is not
    for (size_t i = 0; i < n; i++) {
        sum += 0.0F * x[i];
    }
    return sum == 0.0F;
}

/* The loop behind the prompt: draw, show, feed. */
static enum lorac_status go_on(struct lorac_ids *ids, struct lorac_ids *seen, struct result *r,
                               enum lorac_finish *finish, struct lorac_generator *g,
                               const struct lorac_tokenizer *t, const struct lorac_sampling *o,
                               struct lorac_err *err)
{
    struct lorac_stream stream = {0};
    enum lorac_status st = LORAC_OK;
    *finish = LORAC_FINISH_LENGTH;
    for (size_t i = 0; i < o->max_tokens && !st; i++) {
        if (!all_finite(g->logits, g->m->config.V)) {
            st = lorac_fail(err, LORAC_EFORMAT,
                            "the logits behind token %zu are not finite: are the weights "
                            "or the adapter damaged?",
                            seen->n);
            break;
        }
        int32_t id = lorac_sample(g->logits, g->order, g->m->config.V, seen->at, seen->n, o, i);
        if (lorac_token_is_end(t, id)) {
            *finish = LORAC_FINISH_END;
            break;
        }
        st = lorac_ids_add(ids, id, err);
        if (!st) { st = lorac_ids_add(seen, id, err); }
        if (!st) { st = lorac_stream_add(r->text, &stream, t, id, true, err); }
        if (!st && r->text->no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for text"); }
        if (st || ended_by_text(r, o, finish)) { break; }
        if (seen->n == g->max_positions && i + 1 < o->max_tokens) {
            *finish = LORAC_FINISH_CONTEXT;
            break;
        }
        if (i + 1 < o->max_tokens) { st = feed(g, &id, 1, seen->n - 1, err); }
    }
    if (!st && *finish != LORAC_FINISH_STOP && *finish != LORAC_FINISH_CALLER) {
        st = lorac_stream_end(r->text, &stream, t, true, err);
        if (!st) { (void)show_until(r, r->text->n); }
    }
    lorac_stream_free(&stream);
    return st;
}

/* Zero is no default here: it would divide by a penalty of 0, or keep one token of all. */
static enum lorac_status check_sampling(const struct lorac_sampling *o, struct lorac_err *err)
{
    if (!(o->temperature >= 0.0) || !isfinite(o->temperature)) {
        return lorac_fail(err, LORAC_EUSER, "the temperature must be from 0 on, found %g",
                          o->temperature);
    }
    if (!(o->top_p > 0.0 && o->top_p <= 1.0)) {
        return lorac_fail(err, LORAC_EUSER,
                          "top_p must be above 0 and up to 1, which keeps all, found %g", o->top_p);
    }
    if (!(o->repetition_penalty > 0.0) || !isfinite(o->repetition_penalty)) {
        return lorac_fail(err, LORAC_EUSER,
                          "the repetition penalty must be above 0, where 1 is none, found %g",
                          o->repetition_penalty);
    }
    return LORAC_OK;
}

enum lorac_status lorac_generate(struct lorac_ids *ids, struct lorac_buf *text,
                                 enum lorac_finish *finish, struct lorac_generator *g,
                                 const struct lorac_tokenizer *t, const int32_t *prompt, size_t n,
                                 const struct lorac_sampling *o, lorac_show_fn *show, void *self,
                                 struct lorac_err *err)
{
    if (n == 0) {
        return lorac_fail(err, LORAC_EUSER,
                          "the prompt is empty and the model has no token to begin "
                          "with");
    }
    if (n >= g->max_positions) {
        return lorac_fail(err, LORAC_EUSER,
                          "the prompt has %zu tokens, the context holds %zu with at "
                          "least one new token",
                          n, g->max_positions);
    }
    struct lorac_ids seen = {0}; // prompt and result, for the penalty
    struct result r = {text, text->n, text->n, show, self};
    enum lorac_status st = check_sampling(o, err);
    for (size_t k = 0; k < n && !st; k++) {
        st = lorac_ids_add(&seen, prompt[k], err);
    }
    if (!st) { st = feed(g, prompt, n, 0, err); }
    if (!st) { st = go_on(ids, &seen, &r, finish, g, t, o, err); }
    lorac_ids_free(&seen);
    return st;
}
