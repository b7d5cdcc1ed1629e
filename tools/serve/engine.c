/* engine.c - calls in, steps, stats; see engine.h. */
#include "tools/serve/engine_impl.h"

#include <string.h>

const double engine_buckets[] = {0.005, 0.01, 0.025, 0.05, 0.1,  0.25,  0.5, 1.0,
                                 2.5,   5.0,  10.0,  30.0, 60.0, 120.0, 0.0};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- memory ---- */

/* Rows of the cache for so many bytes, for one whole context at the most often. */
static enum lorac_status count_rows(size_t *rows, const struct lorac_model *m, size_t bytes,
                                    struct lorac_err *err)
{
    enum { SAMPLE = 64, LEAST = 16, MOST = 1 << 28 };
    size_t some = 0;
    enum lorac_status st = lorac_cache_measure(&some, m, SAMPLE, err);
    if (st) { return st; }
    size_t fit = some ? bytes / (some / SAMPLE) : MOST;
    if (fit < LEAST) {
        return lorac_fail(err, LORAC_EUSER,
                          "--cache-mib holds %zu tokens of keys and values, of %zu bytes each; "
                          "expected %d at least",
                          fit, some / SAMPLE, LEAST);
    }
    *rows = smaller(fit, MOST);
    return LORAC_OK;
}

static enum lorac_status make(struct engine *e, struct lorac_err *err)
{
    const struct lorac_config *c = &e->m->config;
    size_t running = e->o.max_running;
    enum lorac_status st = count_rows(&e->rows.n, e->m, e->o.cache_bytes, err);
    if (st) { return st; }
    size_t length = smaller(c->max_positions, e->rows.n);
    if (e->o.max_length > length) {
        return lorac_fail(err, LORAC_EUSER,
                          "--max-length %zu: the model reads at most %zu tokens, and --cache-mib "
                          "holds %zu",
                          e->o.max_length, c->max_positions, e->rows.n);
    }
    if (!e->o.max_length) { e->o.max_length = length; }
    size_t most = c->max_positions * running; // more is never used
    if (c->max_positions < e->rows.n / running) { e->rows.n = most; }
    e->max_rows = smaller(STEP_ROWS > running ? STEP_ROWS : running, e->rows.n);
    size_t head = lorac_pass_head_rows(e->m, e->max_rows);
    e->max_logits = head > running ? head : running;
    e->slots = lorac_mem_new(MAX_SLOTS, sizeof *e->slots);
    e->logits = lorac_mem_new(e->max_logits * c->V, sizeof *e->logits);
    e->order_of = lorac_mem_new(c->V, sizeof *e->order_of);
    e->in_step = lorac_mem_new(running, sizeof(struct choice *));
    if (!e->slots || !e->logits || !e->order_of || !e->in_step) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory for the logits of %zu requests", running);
    }
    e->mix.adapter = e->slots;
    e->socket = lorac_mix_socket(&e->mix);
    struct lorac_pass_options o = {.max_rows = e->max_rows, .max_positions = e->o.max_length};
    st = lorac_batch_new(&e->batch, e->max_rows, running * LORAC_MAX_CHAIN, 1, err);
    if (!st) { st = lorac_pass_new(&e->pass, e->m, &e->socket, &o, err); }
    if (!st) { st = lorac_cache_new(&e->cache, e->m, e->rows.n, err); }
    return st;
}

enum lorac_status engine_open(struct engine **out, const struct lorac_model *m,
                              const struct lorac_tokenizer *t, struct adapters *a,
                              const struct engine_options *o, struct lorac_err *err)
{
    *out = NULL;
    struct engine *e = lorac_mem_new(1, sizeof *e);
    if (!e) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the server"); }
    e->m = m;
    e->t = t;
    e->adapters = a;
    e->o = *o;
    (void)pthread_mutex_init(&e->lock, NULL);
    (void)pthread_cond_init(&e->more, NULL);
    enum lorac_status st = make(e, err);
    if (st) {
        engine_free(e);
        return st;
    }
    e->stats.rows = e->rows.n;
    *out = e;
    return LORAC_OK;
}

void engine_free(struct engine *e)
{
    if (!e) { return; }
    rows_free(&e->rows);
    lorac_cache_free(e->cache);
    lorac_pass_free(e->pass);
    lorac_batch_free(e->batch);
    lorac_mem_free(e->slots);
    lorac_mem_free(e->logits);
    lorac_mem_free(e->order_of);
    lorac_mem_free(e->in_step);
    (void)pthread_cond_destroy(&e->more);
    (void)pthread_mutex_destroy(&e->lock);
    lorac_mem_free(e);
}

size_t engine_length(const struct engine *e)
{
    return e->o.max_length;
}

size_t engine_queue(const struct engine *e)
{
    return e->o.max_waiting;
}

/* ---- calls ---- */

enum engine_takes engine_submit(struct engine *e, struct call *c)
{
    (void)pthread_mutex_lock(&e->lock);
    size_t waiting = e->n_inbox + e->stats.waiting;
    bool ends = e->stop != ENGINE_GOES;
    bool room = !ends && c->n <= e->o.max_waiting - smaller(waiting, e->o.max_waiting);
    struct choice **end = &e->inbox;
    while (*end && room) {
        end = &(*end)->next;
    }
    c->begun = lorac_clock();
    for (size_t i = 0; i < c->n && room; i++) {
        c->choice[i].call = c;
        c->choice[i].next = NULL;
        *end = &c->choice[i];
        end = &c->choice[i].next;
    }
    if (room) { e->n_inbox += c->n; }
    (void)pthread_cond_signal(&e->more);
    (void)pthread_mutex_unlock(&e->lock);
    return room ? ENGINE_TAKES : ends ? ENGINE_IS_ENDING : ENGINE_IS_FULL;
}

/* What has come waits from now on. */
static void empty_inbox(struct engine *e, struct choice *c)
{
    struct choice **end = &e->waiting;
    while (*end) {
        end = &(*end)->next;
    }
    for (; c; c = c->next) {
        c->state = CHOICE_WAITS;
        c->order = ++e->order;
        e->n_waiting++;
        e->own.prompt_tokens += c->n_prompt;
        *end = c;
        end = &c->next;
    }
}

/* Those that nobody waits for, or that have failed in part; `all` of them, with the reason. */
static void drop(struct engine *e, struct choice *list, const struct lorac_err *all)
{
    for (struct choice *c = list, *next = NULL; c; c = next) {
        next = c->next; // of another call it stays
        if (!all && !c->call->gone && !c->call->err.code) { continue; }
        step_end(e, c, LORAC_FINISH_CALLER, all);
    }
}

static void forget_adapter(void *self, struct resident *r)
{
    struct engine *e = self;
    if (r->slot) { e->slots[r->slot - 1] = NULL; }
}

static void publish(struct engine *e)
{
    struct engine_stats s = e->own;
    s.rows = e->rows.n;
    s.running = e->n_running;
    s.waiting = e->n_waiting;
    s.rows_used = rows_filled(&e->rows, true);
    s.rows_filled = rows_filled(&e->rows, false);
    e->stats = s;
}

void engine_stats(struct engine_stats *out, struct engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    *out = e->stats;
    out->waiting += e->n_inbox;
    (void)pthread_mutex_unlock(&e->lock);
}

/* ---- the thread ---- */

static void *work(void *self)
{
    struct engine *e = self;
    static const struct lorac_err stopped = {LORAC_ESTOP, "the server is ending"};
    for (;;) {
        (void)pthread_mutex_lock(&e->lock);
        publish(e);
        while (!e->inbox && !e->waiting && !e->running && !e->woken && e->stop == ENGINE_GOES) {
            (void)pthread_cond_wait(&e->more, &e->lock);
        }
        e->woken = false;
        struct choice *came = e->inbox;
        bool fails = e->stop == ENGINE_FAILS;
        bool ends = e->stop != ENGINE_GOES;
        e->inbox = NULL;
        e->n_inbox = 0;
        empty_inbox(e, came);
        e->stats.waiting = e->n_waiting;
        (void)pthread_mutex_unlock(&e->lock);
        drop(e, e->waiting, fails ? &stopped : NULL);
        drop(e, e->running, fails ? &stopped : NULL);
        adapters_sweep(e->adapters, forget_adapter, e);
        step_admit(e);
        step_run(e);
        if (ends && !e->waiting && !e->running) { break; }
    }
    (void)pthread_mutex_lock(&e->lock);
    publish(e);
    e->ended = true;
    (void)pthread_mutex_unlock(&e->lock);
    return NULL;
}

bool engine_ended(struct engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    bool ended = e->ended;
    (void)pthread_mutex_unlock(&e->lock);
    return ended;
}

enum lorac_status engine_start(struct engine *e, struct lorac_err *err)
{
    if (pthread_create(&e->thread, NULL, work, e) != 0) {
        return lorac_fail(err, LORAC_EIO, "no thread for the server");
    }
    e->started = true;
    return LORAC_OK;
}

void engine_wake(struct engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    e->woken = true; // the thread itself may say so, too
    (void)pthread_cond_signal(&e->more);
    (void)pthread_mutex_unlock(&e->lock);
}

void engine_stop(struct engine *e, bool now)
{
    (void)pthread_mutex_lock(&e->lock);
    e->stop = now ? ENGINE_FAILS : e->stop == ENGINE_FAILS ? ENGINE_FAILS : ENGINE_ENDS;
    (void)pthread_cond_signal(&e->more);
    (void)pthread_mutex_unlock(&e->lock);
}

void engine_join(struct engine *e)
{
    if (e && e->started) { (void)pthread_join(e->thread, NULL); }
    if (e) { e->started = false; }
}
