/* engine_impl.h - inside the engine: engine.c (calls, threads), step.c (a batch), draw.c (tokens).
 */
#ifndef LORAC_TOOLS_SERVE_ENGINE_IMPL_H
#define LORAC_TOOLS_SERVE_ENGINE_IMPL_H

#include "tools/serve/engine.h"

enum { STEP_ROWS = 256, SHARE_TOKENS = 32, GROW_ROWS = 256, MAX_SLOTS = 1024 };

struct engine {
    const struct lorac_model *m;
    const struct lorac_tokenizer *t;
    struct adapters *adapters;
    struct engine_options o;
    size_t max_rows, max_logits; // of a step

    pthread_t thread;
    bool started;
    pthread_mutex_t lock; // of what follows
    pthread_cond_t more;
    struct choice *inbox; // newest last
    size_t n_inbox;
    bool woken; // something may have gone since the thread looked last
    enum { ENGINE_GOES, ENGINE_ENDS, ENGINE_FAILS } stop;
    bool ended;
    struct engine_stats stats;

    // the thread's own
    struct choice *waiting, *running; // eldest first
    size_t n_running, n_waiting;
    uint64_t order, steps, turn;
    uint64_t served; // the turn in which a request of the bare base was let in last
    struct rows rows;
    struct lorac_cache *cache;
    struct lorac_pass *pass;
    struct lorac_batch *batch;
    struct lorac_mix mix;
    const struct lorac_adapter **slots; // (MAX_SLOTS) what mix.adapter is
    struct lorac_socket socket;
    float *logits;           // (max_logits,V)
    uint32_t *order_of;      // (V) scratch
    struct choice **in_step; // (max_running)
    struct engine_stats own; // what is added to the stats after a step
};

/* step.c: let in what waits, where there are rows. */
void step_admit(struct engine *e);
/* A batch of those that run, and a token for each that is ready. */
void step_run(struct engine *e);
/* It ends, whatever state it is in; the call's last is told. `err`: it has failed. */
void step_end(struct engine *e, struct choice *c, enum lorac_finish finish,
              const struct lorac_err *err);

/* draw.c: rate token `id` (-1: what is drawn) by `logits` (V), clobbered when drawn. */
LORAC_MUST_CHECK enum lorac_status draw_rate(struct choice *c, int32_t id, const float *logits,
                                             size_t V, struct lorac_err *err);
/* The next token; *ended: with why in c->finish. */
LORAC_MUST_CHECK enum lorac_status draw_token(bool *ended, struct engine *e, struct choice *c,
                                              float *logits, struct lorac_err *err);

#endif
