/* generate.c - prompts in chunks, then a token of each at a time; see generate.h. */
#include "base/generate.h"

#include "base/core/machine.h"
#include "base/core/mem.h"

#include <string.h>

enum {
    PREFILL_ROWS = 512,
    CACHE_MIB = 128,    // of the cache, if one sequence takes no more,
    CACHE_ONE_OF = 64,  // ... or one in so many bytes of memory, where that is more
    SHARE_TOKENS = 64,  // saved, or what prompts share is not read apart
    FOLLOW_TOKENS = 16, // the same of two of them
    FOLLOW_DEPTH = 2,   // of those that go on from another's rows
};

struct lorac_generator {
    const struct lorac_model *m;
    struct lorac_pass *pass;
    struct lorac_cache *cache;
    struct lorac_batch *batch;
    size_t max_positions;  // of one sequence
    size_t sequences;      // at a time, at the most
    size_t cache_rows;     // first those that all prompts begin with, then each sequence's own
    size_t shared, stride; // how many
    float *logits;         // (sequences,V)
    uint32_t *order;       // (V)
    bool keeps;
    struct lorac_ids known; // whose keys and values are in the cache's first rows, where it keeps
    size_t kept;            // of the last prompt
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

/* Rows of the cache for the wanted sequences. */
static enum lorac_status count_rows(size_t *rows, const struct lorac_model *m, size_t positions,
                                    size_t wanted, struct lorac_err *err)
{
    size_t one = 0;
    enum lorac_status st = lorac_cache_measure(&one, m, positions, err);
    size_t most = lorac_max((size_t)CACHE_MIB << 20, lorac_machine_memory() / CACHE_ONE_OF);
    size_t fit = one ? most / one : wanted;
    *rows = positions * (fit < 1 ? 1 : lorac_min(fit, wanted));
    return st;
}

/* Of a batch of n sequences: what all share, then each with the rows that it goes on from. */
static size_t segments_of(size_t n)
{
    return 1 + (1 + FOLLOW_DEPTH) * n;
}

enum lorac_status lorac_generator_measure(size_t *bytes, const struct lorac_model *m,
                                          const struct lorac_socket *socket, size_t max_positions,
                                          size_t sequences, struct lorac_err *err)
{
    struct lorac_pass_options o = pass_options(m, max_positions);
    size_t n = lorac_min(sequences, o.max_rows);
    size_t cache = 0;
    size_t rows = 0;
    enum lorac_status st = count_rows(&rows, m, o.max_positions, n, err);
    if (!st) { st = lorac_pass_measure(bytes, m, socket, &o, err); }
    if (!st) { st = lorac_cache_measure(&cache, m, rows, err); }
    *bytes += cache + m->config.V * (n * sizeof(float) + sizeof(uint32_t)) +
              lorac_batch_bytes(o.max_rows, segments_of(n), 1);
    return st;
}

enum lorac_status lorac_generator_new(struct lorac_generator **out, const struct lorac_model *m,
                                      const struct lorac_socket *socket, size_t max_positions,
                                      size_t sequences, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_generator *g = lorac_mem_new(1, sizeof *g);
    if (!g) { return lorac_fail(err, LORAC_ENOMEM, "no memory to generate"); }
    struct lorac_pass_options o = pass_options(m, max_positions);
    size_t n = lorac_min(sequences, o.max_rows); // a token of each goes into one batch
    enum lorac_status st = count_rows(&g->cache_rows, m, o.max_positions, n, err);
    g->m = m;
    g->max_positions = o.max_positions;
    g->sequences = n;
    g->logits = st ? NULL : lorac_mem_new(n * m->config.V, sizeof *g->logits);
    g->order = lorac_mem_new(m->config.V, sizeof *g->order);
    if (!st && (!g->logits || !g->order)) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory to generate");
    }
    if (!st) { st = lorac_pass_new(&g->pass, m, socket, &o, err); }
    if (!st) { st = lorac_cache_new(&g->cache, m, g->cache_rows, err); }
    if (!st) { st = lorac_batch_new(&g->batch, o.max_rows, segments_of(n), 1, err); }
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
    lorac_ids_free(&g->known);
    lorac_mem_free(g);
}

enum lorac_status lorac_generator_use(struct lorac_generator *g, const struct lorac_socket *socket,
                                      struct lorac_err *err)
{
    g->known.n = 0;
    return lorac_pass_use(g->pass, socket, err);
}

void lorac_generator_keep(struct lorac_generator *g)
{
    g->keeps = true;
}

size_t lorac_generator_kept(const struct lorac_generator *g)
{
    return g->kept;
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

size_t lorac_stop_find(const struct lorac_buf *text, size_t from, const struct lorac_sampling *o)
{
    size_t first = SIZE_MAX;
    for (size_t i = 0; i < o->n_stop && text->n; i++) {
        size_t k = strlen(o->stop[i]);
        const char *hit = k ? find(text->at + from, text->n - from, o->stop[i], k) : NULL;
        if (hit && (size_t)(hit - text->at) < first) { first = (size_t)(hit - text->at); }
    }
    return first;
}

size_t lorac_stop_begun(const struct lorac_buf *text, size_t from, const struct lorac_sampling *o)
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

/* What a prompt has been continued with. */
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
    size_t stop = lorac_stop_find(r->text, r->begin, o);
    if (stop != SIZE_MAX) {
        r->text->n = stop;
        r->text->at[stop] = '\0';
        (void)show_until(r, stop);
        *finish = LORAC_FINISH_STOP;
        return true;
    }
    if (!show_until(r, r->text->n - lorac_stop_begun(r->text, r->begin, o))) {
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

/* Where the first tokens of a prompt are in the cache, and how many: behind those that all share,
 * in another sequence's place up to `borrowed`, then in its own up to `fed`. */
struct rows {
    size_t from, borrowed, fed; // from NOBODY: borrowed are those that all share
    size_t depth;               // others in front of it
};
#define NOBODY SIZE_MAX

/* A prompt that goes on. */
struct sequence {
    struct lorac_generation *x;
    struct lorac_ids seen; // prompt and result
    struct lorac_stream stream;
    struct result r;
    struct rows rows; // fed: tokens of `seen`
    size_t followers; // sequences that go on from its rows, which stay while there are any
    size_t drawn;
    bool ended;
    bool stopped; // `show` wants no more, of any sequence
};

static struct sequence sequence_of(struct lorac_generation *x)
{
    return (struct sequence){
        .x = x,
        .r = {x->text, x->text->n, x->text->n, x->show, x->self},
        .ended = x->o->max_tokens == 0,
    };
}

static void release(struct sequence *q)
{
    lorac_ids_free(&q->seen);
    lorac_stream_free(&q->stream);
    *q = (struct sequence){.ended = true, .rows.from = NOBODY};
}

static enum lorac_status end(struct sequence *q, const struct lorac_tokenizer *t,
                             enum lorac_finish finish, struct lorac_err *err)
{
    bool shown = finish == LORAC_FINISH_STOP || finish == LORAC_FINISH_CALLER;
    enum lorac_status st = shown ? LORAC_OK : lorac_stream_end(q->r.text, &q->stream, t, true, err);
    q->ended = true;
    if (st) { return st; }
    q->x->finish = finish; // whole, and seen to be
    bool goes_on = shown ? finish != LORAC_FINISH_CALLER : show_until(&q->r, q->r.text->n);
    q->stopped = !goes_on;
    return LORAC_OK;
}

/* The next token of a sequence, not one that ends it: show it. */
static enum lorac_status take(struct sequence *q, int32_t id, const struct lorac_generator *g,
                              const struct lorac_tokenizer *t, struct lorac_err *err)
{
    const struct lorac_sampling *o = q->x->o;
    enum lorac_finish finish = LORAC_FINISH_END;
    enum lorac_status st = lorac_ids_add(q->x->ids, id, err);
    if (!st) { st = lorac_ids_add(&q->seen, id, err); }
    if (!st) { st = lorac_stream_add(q->r.text, &q->stream, t, id, true, err); }
    if (!st && q->r.text->no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for text"); }
    q->drawn++;
    if (st) { return st; }
    if (ended_by_text(&q->r, o, &finish)) { return end(q, t, finish, err); }
    if (q->drawn == o->max_tokens) { return end(q, t, LORAC_FINISH_LENGTH, err); }
    bool full = q->x->n + q->drawn == g->max_positions;
    return full ? end(q, t, LORAC_FINISH_CONTEXT, err) : LORAC_OK;
}

/* Draw the next token of a sequence from its logits. */
static enum lorac_status draw(struct sequence *q, float *logits, struct lorac_generator *g,
                              const struct lorac_tokenizer *t, struct lorac_err *err)
{
    if (!all_finite(logits, g->m->config.V)) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "the logits behind token %zu are not finite: are the weights "
                          "or the adapter damaged?",
                          q->seen.n);
    }
    int32_t id =
        lorac_sample(logits, g->order, g->m->config.V, q->seen.at, q->seen.n, q->x->o, q->drawn);
    bool ends = lorac_token_is_end(t, id);
    return ends ? end(q, t, LORAC_FINISH_END, err) : take(q, id, g, t, err);
}

/* Where a token of sequence i is in the cache, if it is in its own place. */
static size_t place_of(const struct lorac_generator *g, size_t i, size_t token)
{
    return i * g->stride + token;
}

/* The segment that is what sequence i borrows. */
static int32_t borrow(const struct lorac_generator *g, const struct sequence *q, size_t i,
                      int32_t root)
{
    size_t from = q[i].rows.from;
    size_t end = q[i].rows.borrowed;
    if (from == NOBODY) { return root; }
    size_t begin = q[from].rows.borrowed;
    return lorac_batch_add_cached(g->batch, NULL, 0, borrow(g, q, from, root),
                                  place_of(g, from, begin), end - begin, false);
}

/* Tokens of each sequence that are not in the cache yet, as many as fit: of one that has begun one,
 * of a new one its prompt, when what it borrows is there. */
static void fill(struct lorac_generator *g, struct sequence *q, size_t n)
{
    struct lorac_batch *b = g->batch;
    lorac_batch_clear(b);
    int32_t root = g->shared ? lorac_batch_add_cached(b, NULL, 0, -1, 0, g->shared, false) : -1;
    for (size_t i = 0; i < n; i++) {
        struct rows *r = &q[i].rows;
        bool waits = r->from != NOBODY && q[r->from].rows.fed < r->borrowed;
        size_t left = q[i].ended || waits ? 0 : q[i].seen.n - r->fed;
        size_t room = b->max_rows - b->N;
        size_t rows = left < room ? left : room;
        if (rows == 0) { continue; }
        (void)lorac_batch_add_cached(b, q[i].seen.at + r->fed, rows, borrow(g, q, i, root),
                                     place_of(g, i, r->borrowed), r->fed - r->borrowed, true);
        r->fed += rows;
        if (rows == left) { lorac_batch_want_logits(b, b->N - 1); }
    }
}

static enum lorac_status step(struct lorac_generator *g, struct sequence *q, size_t n,
                              const struct lorac_tokenizer *t, struct lorac_err *err)
{
    size_t u = 0;
    fill(g, q, n);
    enum lorac_status st = lorac_pass_forward(g->pass, g->batch, g->cache, err);
    if (!st) { lorac_pass_logits(g->pass, g->batch, g->logits); }
    for (size_t i = 0; i < n && !st; i++) {
        bool draws = !q[i].ended && q[i].rows.fed == q[i].seen.n;
        if (draws) { st = draw(&q[i], g->logits + u++ * g->m->config.V, g, t, err); }
    }
    return st;
}

static enum lorac_status check_generation(const struct lorac_generation *x,
                                          const struct lorac_generator *g, struct lorac_err *err)
{
    if (x->n == 0) {
        return lorac_fail(err, LORAC_EUSER,
                          "the prompt is empty and the model has no token to begin "
                          "with");
    }
    if (x->n >= g->max_positions) {
        return lorac_fail(err, LORAC_EUSER,
                          "the prompt has %zu tokens, the context holds %zu with at "
                          "least one new token",
                          x->n, g->max_positions);
    }
    return lorac_sampling_check(x->o, err);
}

/* Returns how many sequences fit at a time. */
static size_t divide_cache(struct lorac_generator *g, const struct lorac_generation *at, size_t n)
{
    size_t shared = at[0].n;
    size_t most = 0;
    for (size_t i = 0; i < n; i++) {
        size_t need = at[i].n + lorac_min(at[i].o->max_tokens, g->max_positions - at[i].n);
        most = need > most ? need : most;
        // the logits of its last token are each prompt's own
        shared = lorac_ids_common(at[0].prompt, shared, at[i].prompt, at[i].n - 1);
    }
    g->shared = (n - 1) * shared < SHARE_TOKENS ? 0 : shared;
    g->stride = most - g->shared;
    return lorac_min(lorac_min(n, g->sequences), (g->cache_rows - g->shared) / g->stride);
}

/* What all prompts begin with, into the first rows of the cache. */
static enum lorac_status read_shared(struct lorac_generator *g, const int32_t *ids,
                                     struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t at = 0; at < g->shared && !st;) {
        size_t n = lorac_min(g->shared - at, g->batch->max_rows);
        lorac_batch_clear(g->batch);
        (void)lorac_batch_add_cached(g->batch, ids + at, n, -1, 0, at, true);
        st = lorac_pass_forward(g->pass, g->batch, g->cache, err);
        at += n;
    }
    return st;
}

/* The longest beginning of prompt x that is in the cache, or will be before it is read, where x
 * takes the place of sequence s. */
static struct rows find_rows(const struct sequence *q, size_t n, size_t s,
                             const struct lorac_generation *x, size_t shared)
{
    struct rows best = {NOBODY, shared, shared, 0};
    size_t least = shared + FOLLOW_TOKENS;
    for (size_t i = 0; i < n; i++) {
        const struct rows *r = &q[i].rows;
        size_t there = q[i].ended ? r->fed : q[i].x->n;
        size_t common = lorac_ids_common(q[i].seen.at, lorac_min(there, q[i].seen.n), x->prompt,
                                         x->n - 1); // the last one's logits are its own
        bool own = common > r->borrowed;
        if (own && i != s && r->depth == FOLLOW_DEPTH) {
            common = r->borrowed;
            own = false;
        }
        if (common < least) { continue; }
        least = common + 1;
        best = *r;
        best.fed = common;
        if (own && i == s) { continue; } // they stay where they are
        best.borrowed = common;
        if (own) { best.from = i; }
        best.depth += own;
        while (best.from != NOBODY && q[best.from].rows.borrowed >= common) { // not its own either
            best.from = q[best.from].rows.from;
            best.depth--;
        }
    }
    return best;
}

/* x in the place of sequence s, which has ended. */
static enum lorac_status begin(struct sequence *q, size_t n, size_t s, struct lorac_generation *x,
                               size_t shared, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct rows rows = find_rows(q, n, s, x, shared);
    if (rows.from != NOBODY) { q[rows.from].followers++; }
    if (q[s].rows.from != NOBODY) { q[q[s].rows.from].followers--; }
    release(&q[s]);
    q[s] = sequence_of(x);
    q[s].rows = rows;
    for (size_t k = 0; k < x->n && !st; k++) {
        st = lorac_ids_add(&q[s].seen, x->prompt[k], err);
    }
    if (q[s].ended) { x->finish = LORAC_FINISH_LENGTH; }
    return st;
}

/* Is one's answer that of the other one, as far as both may go on? */
static bool is_same(const struct lorac_generation *a, const struct lorac_generation *b)
{
    const struct lorac_sampling *o = a->o;
    const struct lorac_sampling *p = b->o;
    return o->temperature == p->temperature && o->top_k == p->top_k && o->top_p == p->top_p &&
           o->repetition_penalty == p->repetition_penalty && o->seed == p->seed &&
           o->stop == p->stop && o->n_stop == p->n_stop && o->max_tokens && p->max_tokens &&
           lorac_ids_compare(a->prompt, a->n, b->prompt, b->n) == 0;
}

/* Whose answer each of n prompts gets: of those that are the same, the one's that may be longest.
 * NULL: no memory. */
static size_t *find_same(const struct lorac_generation *at, size_t n)
{
    size_t *same = lorac_mem_new(n, sizeof *same);
    for (size_t i = 0; same && i < n; i++) {
        size_t one = 0;
        same[i] = i;
        while (one < i && (same[one] != one || !is_same(&at[one], &at[i]))) {
            one++;
        }
        size_t longest = at[i].o->max_tokens > at[one].o->max_tokens ? i : one;
        for (size_t k = 0; k <= i; k++) {
            same[k] = k == i || same[k] == one ? longest : same[k];
        }
    }
    return same;
}

/* The answer of q, which has ended, for the others of n that are the same. */
static enum lorac_status repeat(struct sequence *q, struct lorac_generation *at, const size_t *same,
                                size_t n, const struct lorac_generator *g,
                                const struct lorac_tokenizer *t, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < n && !st && !q->stopped; i++) {
        if (&at[same[i]] != q->x || &at[i] == q->x) { continue; }
        struct sequence other = sequence_of(&at[i]);
        for (size_t k = q->x->n; k < q->seen.n && !other.ended && !st; k++) {
            st = take(&other, q->seen.at[k], g, t, err);
        }
        if (!other.ended && !st) { st = end(&other, t, q->x->finish, err); }
        q->stopped = other.stopped;
        release(&other);
    }
    q->x = NULL; // once
    return st;
}

enum lorac_status lorac_generate_all(struct lorac_generation *at, size_t n,
                                     struct lorac_generator *g, const struct lorac_tokenizer *t,
                                     struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    size_t begun = 0;
    bool stopped = false;
    for (size_t i = 0; i < n && !st; i++) {
        at[i].finish = LORAC_FINISH_CALLER; // until it ends
        st = check_generation(&at[i], g, err);
    }
    if (st || n == 0) { return st; }
    size_t slots = divide_cache(g, at, n);
    size_t known = g->keeps && n == 1
                       ? lorac_ids_common(g->known.at, g->known.n, at[0].prompt, at[0].n - 1)
                       : 0;
    g->kept = known;
    g->known.n = 0; // until it is read
    size_t *same = find_same(at, n);
    struct sequence *q = lorac_mem_new(slots, sizeof *q);
    if (!same || !q) {
        lorac_mem_free(same);
        lorac_mem_free(q);
        return lorac_fail(err, LORAC_ENOMEM, "no memory to generate");
    }
    for (size_t i = 0; i < slots; i++) {
        release(&q[i]);
    }
    st = read_shared(g, at[0].prompt, err);
    for (bool goes = true; goes && !st && !stopped;) {
        goes = false;
        for (size_t i = 0; i < slots && !st && !stopped; i++) {
            if (q[i].ended && q[i].x) { st = repeat(&q[i], at, same, n, g, t, err); }
            stopped = q[i].stopped;
            while (q[i].ended && !q[i].followers && begun < n && !st) { // the next one follows
                size_t next = begun++;
                if (same[next] != next) { continue; }
                st = begin(q, slots, i, &at[next], g->shared, err);
                q[i].rows.fed += known; // of one that is alone
            }
            goes = goes || !q[i].ended;
        }
        if (goes && !st && !stopped) { st = step(g, q, slots, t, err); }
        for (size_t i = 0; i < slots; i++) {
            stopped = stopped || q[i].stopped;
        }
    }
    for (size_t k = 0; g->keeps && n == 1 && k < q[0].rows.fed && !st; k++) {
        st = lorac_ids_add(&g->known, q[0].seen.at[k], err);
    }
    for (size_t i = 0; i < slots; i++) {
        release(&q[i]);
    }
    lorac_mem_free(same);
    lorac_mem_free(q);
    return st;
}

enum lorac_status lorac_generate(struct lorac_ids *ids, struct lorac_buf *text,
                                 enum lorac_finish *finish, struct lorac_generator *g,
                                 const struct lorac_tokenizer *t, const int32_t *prompt, size_t n,
                                 const struct lorac_sampling *o, lorac_show_fn *show, void *self,
                                 struct lorac_err *err)
{
    struct lorac_generation x = {
        .prompt = prompt, .n = n, .o = o, .ids = ids, .text = text, .show = show, .self = self};
    enum lorac_status st = lorac_generate_all(&x, 1, g, t, err);
    *finish = x.finish;
    return st;
}
