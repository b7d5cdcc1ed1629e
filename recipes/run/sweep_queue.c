/*
 * sweep_queue.c - which trial is next; see sweep.h.
 *
 *             take            give back
 *   WAITING --------> TAKEN ------------> PAUSED, ENDED or FAILED
 *      ^                                    |
 *      +---- a round ends: who goes on -----+----> OUT
 *
 * Where all trials run to their end there is one round. Those that wait for others, their folders
 * tell of when the round ends.
 */
#include "base/core/mem.h"
#include "recipes/run/setup.h"
#include "recipes/run/sweep.h"

#include <math.h>
#include <stdlib.h>

enum state { WAITING, TAKEN, PAUSED, ENDED, FAILED, OUT };

struct place {
    enum state state;
    bool ours;    // in this round
    double score; // in the round that ends; NaN: none
};

struct lorac_sweep_queue {
    const struct lorac_sweep *s;   // borrowed
    struct lorac_trial_look *look; // (n) borrowed
    struct lorac_sweep_share share;
    struct place *place; // (n)
    size_t *order;       // (n) scratch
    size_t round, n;
    bool last; // one trial is left: it goes on to its end
};

bool lorac_sweep_shares(const struct lorac_sweep_share *share, size_t trial)
{
    return trial % share->of == share->first;
}

static bool halves(const struct lorac_sweep_queue *q)
{
    return q->s->strategy.kind == LORAC_SWEEP_HALVING;
}

/* The step after which a trial pauses in this round. */
static size_t pause_of(const struct lorac_sweep_queue *q, size_t i)
{
    const struct lorac_trial_look *l = &q->look[i];
    if (q->last || !halves(q)) { return l->steps; }
    size_t every = lorac_setup_interval(&q->s->strategy.every, l->steps_per_epoch);
    return every >= l->steps / (q->round + 1) ? l->steps : every * (q->round + 1);
}

/* Where a waiting trial stands already. */
static void settle(struct lorac_sweep_queue *q, size_t i)
{
    if (q->look[i].ended) {
        q->place[i].state = ENDED;
    } else if (q->look[i].done && q->look[i].done >= pause_of(q, i)) {
        q->place[i].state = PAUSED;
    }
}

static size_t count(const struct lorac_sweep_queue *q, enum state state)
{
    size_t n = 0;
    for (size_t i = 0; i < q->n; i++) {
        n += q->place[i].state == state;
    }
    return n;
}

/* Trials of the round by their scores, the best first; equal ones by number. */
static size_t rank(struct lorac_sweep_queue *q)
{
    enum lorac_metric metric = (enum lorac_metric)(q->s->objective.metric - 1);
    size_t n = 0;
    for (size_t i = 0; i < q->n; i++) {
        if (q->place[i].state != PAUSED && q->place[i].state != ENDED) { continue; }
        double x = q->place[i].score;
        size_t at = n++;
        for (; at > 0; at--) {
            double y = q->place[q->order[at - 1]].score;
            bool better = isnan(y) ? !isnan(x) : lorac_metric_better(metric, x, y, 0.0);
            if (!better) { break; }
            q->order[at] = q->order[at - 1];
        }
        q->order[at] = i;
    }
    return n;
}

/* End the round where all its trials are back: the best go on, from where they paused. */
static enum lorac_status end_round(struct lorac_sweep_queue *q, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    size_t step = 0;
    for (size_t i = 0; i < q->n && !st; i++) {
        if (q->place[i].state != PAUSED && q->place[i].state != ENDED) { continue; }
        st = lorac_trial_score(&q->place[i].score, &step, q->s, i, pause_of(q, i), err);
    }
    if (st) { return st; }
    size_t n = rank(q);
    size_t keep = (size_t)(q->s->strategy.keep * (double)n);
    keep = keep ? keep : 1;
    for (size_t k = 0; k < n; k++) {
        struct place *p = &q->place[q->order[k]];
        if (k >= keep) {
            p->state = OUT;
        } else if (p->state == PAUSED) {
            p->state = WAITING;
        }
    }
    q->round++;
    q->last = keep == 1;
    return LORAC_OK;
}

/* Where trials run to their end, each is one process's, whenever that begins; those that a round of
 * halving leaves are dealt out anew. */
static void begin_round(struct lorac_sweep_queue *q)
{
    size_t n = 0;
    for (size_t i = 0; i < q->n; i++) {
        struct place *p = &q->place[i];
        if (p->state == WAITING) { settle(q, i); }
        if (p->state == WAITING) {
            p->ours = lorac_sweep_shares(&q->share, halves(q) ? n : i);
            n++;
        }
    }
}

/* Until some trial waits, or none is left that could. */
static enum lorac_status advance(struct lorac_sweep_queue *q, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    begin_round(q);
    while (!st && !count(q, WAITING) && count(q, PAUSED)) {
        st = end_round(q, err);
        begin_round(q);
    }
    return st;
}

enum lorac_status lorac_sweep_queue_new(struct lorac_sweep_queue **out, const struct lorac_sweep *s,
                                        struct lorac_trial_look *look,
                                        const struct lorac_sweep_share *share,
                                        struct lorac_err *err)
{
    *out = NULL;
    struct lorac_sweep_queue *q = lorac_mem_new(1, sizeof *q);
    if (!q) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a sweep"); }
    *q = (struct lorac_sweep_queue){.s = s,
                                    .look = look,
                                    .share = *share,
                                    .place = lorac_mem_new(s->n, sizeof *q->place),
                                    .order = lorac_mem_new(s->n, sizeof *q->order),
                                    .n = s->n};
    enum lorac_status st =
        q->place && q->order ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory for a sweep");
    if (!st) { st = advance(q, err); }
    if (st) {
        lorac_sweep_queue_free(q);
        return st;
    }
    *out = q;
    return LORAC_OK;
}

void lorac_sweep_queue_free(struct lorac_sweep_queue *q)
{
    if (!q) { return; }
    lorac_mem_free(q->place);
    lorac_mem_free(q->order);
    lorac_mem_free(q);
}

bool lorac_sweep_take(size_t *trial, size_t *until, struct lorac_sweep_queue *q)
{
    for (size_t i = 0; i < q->n; i++) {
        if (q->place[i].state != WAITING || !q->place[i].ours) { continue; }
        q->place[i].state = TAKEN;
        *trial = i;
        *until = pause_of(q, i);
        return true;
    }
    return false;
}

enum lorac_status lorac_sweep_give_back(struct lorac_sweep_queue *q, size_t trial, bool failed,
                                        struct lorac_err *err)
{
    struct lorac_trial_look *l = &q->look[trial];
    enum lorac_status st = lorac_trial_look_again(l, q->s, trial, err);
    if (st) { return st; }
    q->place[trial].state = failed ? FAILED : l->ended ? ENDED : PAUSED;
    return LORAC_OK;
}

enum lorac_status lorac_sweep_next_round(bool *more, struct lorac_sweep_queue *q,
                                         struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    *more = false;
    for (size_t i = 0; i < q->n && !st; i++) {
        if (q->place[i].state != WAITING) { continue; } // it was another's
        st = lorac_trial_look_again(&q->look[i], q->s, i, err);
        if (!st) { settle(q, i); }
        if (q->place[i].state == WAITING) { q->place[i].state = FAILED; }
    }
    if (!st) { st = advance(q, err); }
    *more = !st && count(q, WAITING) > 0;
    return st;
}

size_t lorac_sweep_steps_left(const struct lorac_sweep_queue *q)
{
    size_t n = 0;
    for (size_t i = 0; i < q->n; i++) {
        enum state state = q->place[i].state;
        size_t until = pause_of(q, i);
        if (!q->place[i].ours || (state != WAITING && state != TAKEN)) { continue; }
        n += until > q->look[i].done ? until - q->look[i].done : 0;
    }
    return n;
}
