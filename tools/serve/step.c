/* step.c - which choices run, and one batch of them; see engine.h. */
#include "tools/serve/engine_impl.h"

#include <string.h>

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static const char *key_of(const struct choice *c)
{
    return c->call->adapter ? c->call->adapter->content : "";
}

/* ---- lists ---- */

static void take_out(struct choice **list, struct choice *c)
{
    while (*list != c) {
        list = &(*list)->next;
    }
    *list = c->next;
    c->next = NULL;
}

/* By arrival. */
static void put_in(struct choice **list, struct choice *c)
{
    while (*list && (*list)->order < c->order) {
        list = &(*list)->next;
    }
    c->next = *list;
    *list = c;
}

static void stop_running(struct engine *e, struct choice *c)
{
    take_out(&e->running, c);
    e->n_running--;
    rows_leave(&e->rows, c->piece);
    c->piece = NULL;
    c->fed = 0;
}

/* ---- the end ---- */

static void count_time(double *sum, uint64_t *n, uint64_t *bucket, double took)
{
    size_t i = 0;
    *sum += took;
    ++*n;
    while (engine_buckets[i] > 0.0 && took > engine_buckets[i]) {
        i++;
    }
    bucket[i]++;
}

void step_end(struct engine *e, struct choice *c, enum lorac_finish finish,
              const struct lorac_err *err)
{
    struct call *call = c->call;
    struct engine_stats *s = &e->own;
    if (c->state == CHOICE_RUNS) { stop_running(e, c); }
    if (c->state == CHOICE_WAITS) {
        take_out(&e->waiting, c);
        e->n_waiting--;
    }
    c->state = CHOICE_ENDED;
    c->finish = finish;
    lorac_stream_free(&c->stream);
    if (err && !call->err.code) { call->err = *err; }
    if (!call->gone && !call->err.code) { call->tell(call->self, c); }
    if (++call->ended < call->n) { return; }
    s->calls++;
    s->failed += call->err.code != LORAC_OK;
    s->gone += call->gone;
    if (!call->gone && !call->err.code) {
        count_time(&s->whole_sum, &s->whole_n, s->whole_bucket, lorac_clock() - call->begun);
    }
    call->tell(call->self, NULL); // and the call is no more
}

/* ---- who is let in ---- */

/* Does it still rate what stands in its prompt? */
static bool is_rating(const struct choice *c)
{
    return c->call->scores && !c->drawn;
}

/* Tokens that run: behind the last of a prompt that is rated alone nothing is read. */
static size_t to_run(const struct choice *c)
{
    return c->seen.n - (c->o.max_tokens == 0 && c->seen.n > 1);
}

/* Tokens from the first on that need not be read where another one has read them. */
static size_t shareable(const struct choice *c)
{
    if (!is_rating(c)) { return c->seen.n - 1; }
    return c->call->from ? c->call->from - 1 : 0;
}

static size_t running_with(const struct engine *e, const struct resident *adapter)
{
    size_t n = 0;
    for (const struct choice *c = e->running; c; c = c->next) {
        n += c->call->adapter == adapter;
    }
    return n;
}

/* Tokens that this one waits for another to read. Labels of one prompt would all read them. */
static size_t worth_waiting(const struct choice *c, const struct choice *other)
{
    size_t others = c->call == other->call && c->call->from ? c->call->n - 1 : 1;
    return (SHARE_TOKENS + others - 1) / others;
}

/* Somebody who runs is reading what this one begins with, too. */
static bool should_wait(struct engine *e, const struct choice *c)
{
    size_t known = 0;
    bool looked = false;
    for (const struct choice *r = e->running; r; r = r->next) {
        if (r->fed + 1 >= r->seen.n || strcmp(key_of(r), key_of(c)) != 0) { continue; }
        size_t same = lorac_ids_common(r->seen.at, r->seen.n, c->seen.at, shareable(c));
        size_t least = worth_waiting(c, r);
        if (same < least || r->fed >= same) { continue; }
        if (!looked) { (void)rows_find(&known, &e->rows, key_of(c), c->seen.at, shareable(c)); }
        looked = true;
        if (same >= known + least) { return true; }
    }
    return false;
}

static uint64_t *turn_of(struct engine *e, const struct choice *c)
{
    return c->call->adapter ? &c->call->adapter->served : &e->served;
}

/* The next one to run; NULL: none can. */
static struct choice *next_of(struct engine *e)
{
    struct choice *best = NULL;
    size_t fewest = SIZE_MAX;
    for (struct choice *c = e->waiting; c; c = c->next) {
        size_t n = running_with(e, c->call->adapter);
        bool later = best && *turn_of(e, c) >= *turn_of(e, best);
        if (n > fewest || (n == fewest && later) || should_wait(e, c)) { continue; }
        fewest = n;
        best = c;
    }
    return best;
}

/* Its adapter becomes one that batches can name. */
static enum lorac_status give_slot(struct engine *e, struct resident *r, struct lorac_err *err)
{
    size_t i = 0;
    if (!r || r->slot) { return LORAC_OK; }
    while (i < MAX_SLOTS && e->slots[i]) {
        i++;
    }
    if (i == MAX_SLOTS) { return lorac_fail(err, LORAC_EUSER, "too many adapters at once"); }
    e->slots[i] = r->adapter;
    if (i >= e->mix.n) { e->mix.n = i + 1; }
    enum lorac_status st = lorac_pass_use(e->pass, &e->socket, err);
    if (st) {
        e->slots[i] = NULL;
        return st;
    }
    r->slot = (int32_t)i + 1;
    return LORAC_OK;
}

/* Rows for it: false where there are none now. */
static bool give_rows(struct engine *e, struct choice *c, struct lorac_err *err)
{
    size_t known = 0;
    bool no_memory = false;
    struct piece *at = rows_find(&known, &e->rows, key_of(c), c->seen.at, shareable(c));
    size_t left = to_run(c) - known;
    size_t more = c->o.max_tokens - smaller(c->o.max_tokens, c->drawn);
    more = smaller(smaller(more, GROW_ROWS), e->o.max_length - c->seen.n);
    c->piece = rows_take(&no_memory, &e->rows, at, known, key_of(c), left + more, left);
    if (!c->piece && !no_memory && at && !e->running) { // alone, and in its own way
        known = 0;
        left = to_run(c);
        c->piece = rows_take(&no_memory, &e->rows, NULL, 0, key_of(c), left + more, left);
    }
    if (no_memory) { (void)lorac_fail(err, LORAC_ENOMEM, "no memory to run a request"); }
    if (!c->piece) { return false; }
    c->fed = known;
    if (!c->drawn) { e->own.shared_tokens += known; }
    return true;
}

/* No token of an answer is wanted: a prompt that is scored, or nothing at all. */
static bool wants_nothing(const struct choice *c)
{
    return c->o.max_tokens == 0 && !c->call->scores;
}

void step_admit(struct engine *e)
{
    while (e->n_running < e->o.max_running) {
        struct lorac_err err = {0};
        struct choice *c = next_of(e);
        if (!c) { return; }
        if (wants_nothing(c)) {
            step_end(e, c, LORAC_FINISH_LENGTH, NULL);
            continue;
        }
        enum lorac_status st = give_slot(e, c->call->adapter, &err);
        if (!st && !give_rows(e, c, &err)) {
            if (!err.code) { return; } // no rows: those behind it wait with it
            st = err.code;
        }
        if (st) {
            step_end(e, c, LORAC_FINISH_CALLER, &err);
            continue;
        }
        take_out(&e->waiting, c);
        e->n_waiting--;
        c->state = CHOICE_RUNS;
        *turn_of(e, c) = ++e->turn;
        put_in(&e->running, c);
        e->n_running++;
    }
}

/* ---- rows that run out ---- */

static void preempt(struct engine *e, struct choice *c)
{
    stop_running(e, c);
    if (is_rating(c)) { c->n_tokens = 0; } // all of it again
    c->state = CHOICE_WAITS;
    put_in(&e->waiting, c);
    e->n_waiting++;
    e->own.preempted++;
}

static struct choice *youngest(const struct engine *e)
{
    struct choice *last = e->running;
    while (last && last->next) {
        last = last->next;
    }
    return last;
}

/* One row at least behind what it has; false: it waits again itself. */
static bool extend(struct engine *e, struct choice *c)
{
    struct piece *was = c->piece;
    size_t want =
        smaller((size_t)GROW_ROWS << (was->depth < 8 ? was->depth : 8), e->o.max_length - c->fed);
    want = want ? want : 1;
    while (was->depth < ROWS_MAX_DEPTH - 1) {
        bool no_memory = false;
        struct piece *p =
            rows_take(&no_memory, &e->rows, was, was->begin + was->n, was->key, want, 1);
        if (p) {
            c->piece = p;
            rows_leave(&e->rows, was);
            return true;
        }
        struct choice *last = youngest(e);
        if (last == c) { break; }
        preempt(e, last);
    }
    preempt(e, c);
    return false;
}

/* ---- a batch ---- */

/* Choices of full copies have steps of their own: NULL, or the adapter of such a one. */
static const struct lorac_adapter *whole_of(const struct choice *c)
{
    const struct resident *r = c->call->adapter;
    return r && r->adapter->n_full ? r->adapter : NULL;
}

static void by_adapter(struct choice **at, size_t n)
{
    for (size_t i = 1; i < n; i++) { // few, and nearly sorted
        struct choice *c = at[i];
        size_t k = i;
        int32_t slot = c->call->adapter ? c->call->adapter->slot : 0;
        for (; k > 0; k--) {
            const struct resident *r = at[k - 1]->call->adapter;
            if ((r ? r->slot : 0) <= slot) { break; }
            at[k] = at[k - 1];
        }
        at[k] = c;
    }
}

/* How many of its tokens go into this step, where there is room for so many rows and logits. */
static size_t rows_for(const struct choice *c, size_t rows, size_t logits)
{
    size_t left = to_run(c) - c->fed;
    size_t n = smaller(smaller(left, rows), c->piece->cap - c->piece->n);
    size_t without = c->call->from > c->fed + 1 ? c->call->from - 1 - c->fed : 0;
    if (is_rating(c)) { return smaller(n, without + logits); }
    return n == left && logits == 0 ? n - 1 : n;
}

static bool wants_logits(const struct choice *c, size_t token) // behind seen[token]
{
    bool last = token + 1 == c->seen.n;
    return last ? c->o.max_tokens > 0 : is_rating(c) && token + 1 >= c->call->from;
}

/* Choose who is in: first those that are at their answer, then prompts. */
static size_t choose(struct engine *e)
{
    struct choice *first = e->running;
    size_t n = 0;
    size_t rows = e->max_rows;
    size_t logits = e->max_logits;
    for (struct choice *c = e->running; c; c = c->next) {
        if (c->stepped < first->stepped) { first = c; }
    }
    e->mix.whole = first ? whole_of(first) : NULL;
    for (int prompts = 0; prompts < 2; prompts++) {
        for (struct choice *c = e->running; c; c = c->next) {
            bool prompt = c->seen.n - c->fed > 1;
            if (whole_of(c) != e->mix.whole || prompt != (prompts == 1)) { continue; }
            c->rows = rows_for(c, rows, logits);
            if (c->rows == 0) { continue; }
            size_t wanted = 0;
            for (size_t k = 0; k < c->rows; k++) {
                wanted += wants_logits(c, c->fed + k);
            }
            rows -= c->rows;
            logits -= wanted;
            c->stepped = e->steps;
            e->in_step[n++] = c;
        }
    }
    return n;
}

/* The pieces before its own, eldest first, as segments without rows. */
static int32_t add_chain(struct lorac_batch *b, const struct piece *p, size_t tokens,
                         int32_t adapter)
{
    if (!p) { return -1; }
    int32_t parent = add_chain(b, p->parent, p->begin, adapter);
    int32_t s = lorac_batch_add_cached(b, NULL, 0, parent, p->at, tokens - p->begin, false);
    b->segments[s].adapter = adapter;
    return s;
}

static void add(struct engine *e, struct choice *c)
{
    struct lorac_batch *b = e->batch;
    struct piece *p = c->piece;
    int32_t slot = c->call->adapter ? c->call->adapter->slot : 0;
    size_t row = b->N;
    int32_t parent = add_chain(b, p->parent, p->begin, slot);
    int32_t s = lorac_batch_add_cached(b, c->seen.at + c->fed, c->rows, parent, p->at, p->n, true);
    b->segments[s].adapter = slot;
    c->u = b->U;
    for (size_t k = 0; k < c->rows; k++) {
        if (wants_logits(c, c->fed + k)) { lorac_batch_want_logits(b, row + k); }
    }
    memcpy(p->ids + p->n, c->seen.at + c->fed, c->rows * sizeof *p->ids);
}

/* What a step has given one choice: ratings of its prompt, and a token. */
static enum lorac_status take(bool *ended, struct engine *e, struct choice *c,
                              struct lorac_err *err)
{
    size_t V = e->m->config.V;
    float *logits = e->logits + c->u * V;
    size_t from = c->fed;
    bool rates = is_rating(c);
    enum lorac_status st = LORAC_OK;
    c->piece->n += c->rows;
    c->fed += c->rows;
    *ended = false;
    if (rates && from == 0 && c->call->from == 0) { // nothing stands before it
        st = draw_rate(c, c->seen.at[0], NULL, V, err);
    }
    for (size_t k = from; k < c->fed && rates && !st; k++) {
        if (k + 1 < c->call->from) { continue; }
        if (k + 1 == c->seen.n) { break; }
        st = draw_rate(c, c->seen.at[k + 1], logits, V, err);
        logits += V;
    }
    if (st || c->fed < to_run(c)) { return st; }
    if (c->o.max_tokens == 0) {
        *ended = true;
        c->finish = LORAC_FINISH_LENGTH;
        return LORAC_OK;
    }
    return draw_token(ended, e, c, logits, err);
}

static void note_first(struct engine *e, struct choice *c)
{
    struct call *call = c->call;
    if (call->first > 0.0 || !c->drawn) { return; }
    call->first = lorac_clock();
    count_time(&e->own.first_sum, &e->own.first_n, e->own.first_bucket, call->first - call->begun);
}

/* Each that runs gets a row for its next token, or waits again. */
static void make_room(struct engine *e)
{
    bool again = true;
    while (again) {
        again = false;
        for (struct choice *c = e->running; c && !again; c = c->next) {
            if (c->piece->n < c->piece->cap) { continue; }
            again = true; // the list is another now
            (void)extend(e, c);
        }
    }
}

void step_run(struct engine *e)
{
    struct lorac_err err = {0};
    e->steps++;
    make_room(e);
    size_t n = choose(e);
    if (n == 0) { return; }
    by_adapter(e->in_step, n);
    lorac_batch_clear(e->batch);
    for (size_t i = 0; i < n; i++) {
        add(e, e->in_step[i]);
    }
    enum lorac_status st = lorac_pass_forward(e->pass, e->batch, e->cache, &err);
    if (!st) { lorac_pass_logits(e->pass, e->batch, e->logits); }
    e->own.steps++;
    e->own.step_rows += e->batch->N;
    for (size_t i = 0; i < n; i++) {
        struct choice *c = e->in_step[i];
        struct lorac_err of = err;
        bool ended = false;
        enum lorac_status one = st ? st : take(&ended, e, c, &of);
        if (!one) { note_first(e, c); }
        if (one || ended) {
            step_end(e, c, one ? LORAC_FINISH_CALLER : c->finish, one ? &of : NULL);
        } else if (!c->call->gone && !c->call->err.code) {
            c->call->tell(c->call->self, c);
        }
    }
}
