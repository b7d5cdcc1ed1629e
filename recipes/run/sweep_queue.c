/*
 * sweep_queue.c - which trial is next; see sweep.h.
 *
 *             take            give back
 *   WAITING --------> TAKEN ------------> PAUSED, ENDED or FAILED
 *      ^                                    |
 *      +---- a round ends: who goes on -----+----> OUT
 *
 * Where all trials run to their end there is one round.
 */
#include "base/core/mem.h"
#include "recipes/run/setup.h"
#include "recipes/run/sweep.h"

#include <math.h>
#include <stdlib.h>

enum state { WAITING, TAKEN, PAUSED, ENDED, FAILED, OUT, ELSEWHERE };

struct place {
    enum state state;
    double score; // in the round that ends; NaN: none
};

struct lorac_sweep_queue {
    const struct lorac_sweep *s;   // borrowed
    struct lorac_trial_look *look; // (n) borrowed
    struct place *place;           // (n)
    size_t *order;                 // (n) scratch
    size_t round, n;
    bool last; // one trial is left: it goes on to its end
};

bool lorac_sweep_shares(const struct lorac_sweep_share *share, size_t trial)
{
    return trial % share->of == share->first;
}

/* The step after which a trial pauses in this round. */
static size_t pause_of(const struct lorac_sweep_queue *q, size_t i)
{
    const struct lorac_trial_look *l = &q->look[i];
    if (q->last || q->s->strategy.kind != LORAC_SWEEP_HALVING) { return l->steps; }
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
    bool more = lorac_sweep_more_is_better(q->s);
    size_t n = 0;
    for (size_t i = 0; i < q->n; i++) {
        if (q->place[i].state != PAUSED && q->place[i].state != ENDED) { continue; }
        double x = q->place[i].score;
        size_t at = n++;
        for (; at > 0; at--) {
            double y = q->place[q->order[at - 1]].score;
            bool better = isnan(y) ? !isnan(x) : (more ? x > y : x < y);
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

/* Until some trial waits, or none is left that could. */
static enum lorac_status advance(struct lorac_sweep_queue *q, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (bool more = true; more && !st;) {
        for (size_t i = 0; i < q->n; i++) {
            if (q->place[i].state == WAITING) { settle(q, i); }
        }
        more = !count(q, WAITING) && !count(q, TAKEN) && count(q, PAUSED);
        if (more) { st = end_round(q, err); }
    }
    return st;
}

enum lorac_status lorac_sweep_queue_new(struct lorac_sweep_queue **out, const struct lorac_sweep *s,
                                        struct lorac_trial_look *look,
                                        const struct lorac_sweep_share *share,
                                        struct lorac_err *err)
{
    *out = NULL;
    if (share->of > 1 && s->strategy.kind == LORAC_SWEEP_HALVING) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: strategy: halving compares all trials, so it takes no share of them",
                          s->strategy_at);
    }
    struct lorac_sweep_queue *q = lorac_mem_new(1, sizeof *q);
    if (!q) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a sweep"); }
    *q = (struct lorac_sweep_queue){.s = s,
                                    .look = look,
                                    .place = lorac_mem_new(s->n, sizeof *q->place),
                                    .order = lorac_mem_new(s->n, sizeof *q->order),
                                    .n = s->n};
    enum lorac_status st =
        q->place && q->order ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory for a sweep");
    for (size_t i = 0; i < s->n && !st; i++) {
        if (!lorac_sweep_shares(share, i)) { q->place[i].state = ELSEWHERE; }
    }
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
        if (q->place[i].state != WAITING) { continue; }
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
    return advance(q, err);
}

size_t lorac_sweep_steps_left(const struct lorac_sweep_queue *q)
{
    size_t n = 0;
    for (size_t i = 0; i < q->n; i++) {
        enum state state = q->place[i].state;
        size_t until = pause_of(q, i);
        if (state != WAITING && state != TAKEN) { continue; }
        n += until > q->look[i].done ? until - q->look[i].done : 0;
    }
    return n;
}
