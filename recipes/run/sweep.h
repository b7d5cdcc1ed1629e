/*
 * sweep.h - the trials of a sweep (recipes/language/sweep.h), checked, given out and run.
 *
 *   DIR/sweep.json        what is tried: the trials by name, with what each changes
 *   DIR/001-1a2b3c4d/     an ordinary run (run.h)
 *   DIR/001-1a2b3c4d.failed    why it failed, in one line; the next try removes it
 *
 * What is done the folders of the runs say, and nothing else: a sweep that was stopped or killed
 * goes on as if it had not been. With halving a round ends when all its trials stand where it
 * pauses them; who goes on follows from their evaluations up to there. Several processes may share
 * the trials: each has its own queue of all.
 */
#ifndef LORAC_RECIPES_SWEEP_H
#define LORAC_RECIPES_SWEEP_H

#include "recipes/language/sweep.h"
#include "recipes/run/run.h"

LORAC_API_BEGIN

/* What a plan says of a trial. */
struct lorac_trial_look {
    size_t steps;
    double steps_per_epoch;
    size_t bytes;   // of memory, the base that all share included
    double seconds; // of the whole run; NaN where nobody measured
    bool ended;     // the run is there, and has ended
    size_t done;    // its steps that are done and saved, where it was stopped
};

/* Plan each trial as it will be run: a mistake that any of them would stop at is an error here, and
 * so is a folder with a run of other data. look (s->n) is written, and an objective that was left
 * out becomes what chooses best/. `measure`: a few steps of each kind of trial say how long it
 * takes. */
LORAC_MUST_CHECK enum lorac_status lorac_sweep_check(struct lorac_trial_look *look,
                                                     struct lorac_sweep *s,
                                                     struct lorac_shared *shared, bool measure,
                                                     struct lorac_err *err);
/* Make the folder this sweep's. One that holds other trials is LORAC_EUSER; the same, and more
 * behind them, are welcome. */
LORAC_MUST_CHECK enum lorac_status lorac_sweep_claim(const struct lorac_sweep *s,
                                                     struct lorac_err *err);

/* ---- giving trials out ---- */

/* Of several that share the trials, the one that takes each `of`-th, from `first` (from 0) on. */
struct lorac_sweep_share {
    size_t first, of;
};
bool lorac_sweep_shares(const struct lorac_sweep_share *share, size_t trial);

struct lorac_sweep_queue;
/* Everything is borrowed. */
LORAC_MUST_CHECK enum lorac_status lorac_sweep_queue_new(struct lorac_sweep_queue **out,
                                                         const struct lorac_sweep *s,
                                                         struct lorac_trial_look *look,
                                                         const struct lorac_sweep_share *share,
                                                         struct lorac_err *err);
void lorac_sweep_queue_free(struct lorac_sweep_queue *q); // NULL is accepted
/* The next trial of the round that is this share's, and after which step it pauses. False: there is
 * none. */
bool lorac_sweep_take(size_t *trial, size_t *until, struct lorac_sweep_queue *q);
/* It ended, paused or failed: look[trial] is read anew. */
LORAC_MUST_CHECK enum lorac_status lorac_sweep_give_back(struct lorac_sweep_queue *q, size_t trial,
                                                         bool failed, struct lorac_err *err);
/* All trials of the round are back, also those that others had: is there another round? */
LORAC_MUST_CHECK enum lorac_status lorac_sweep_next_round(bool *more, struct lorac_sweep_queue *q,
                                                          struct lorac_err *err);
size_t lorac_sweep_steps_left(const struct lorac_sweep_queue *q); // of this share, in this round

/* ---- one trial ---- */

/* Read `ended` and `done` from its folder. */
LORAC_MUST_CHECK enum lorac_status lorac_trial_look_again(struct lorac_trial_look *look,
                                                          const struct lorac_sweep *s, size_t trial,
                                                          struct lorac_err *err);
/* Run a trial until it ends or has done `until` steps, with its `.failed` written or removed. What
 * watch->stop says stops it, too: that is LORAC_ESTOP. */
LORAC_MUST_CHECK enum lorac_status lorac_trial_run(struct lorac_run_result *out,
                                                   const struct lorac_sweep *s, size_t trial,
                                                   size_t until, struct lorac_shared *shared,
                                                   const struct lorac_run_watch *watch,
                                                   struct lorac_err *err);
/* Say that it failed, for who has seen it die. */
LORAC_MUST_CHECK enum lorac_status lorac_trial_failed(const struct lorac_sweep *s, size_t trial,
                                                      const char *why, struct lorac_err *err);
/* The objective at the evaluation up to step `until` that best/ is of, and where; NaN: none. */
LORAC_MUST_CHECK enum lorac_status lorac_trial_score(double *value, size_t *step,
                                                     const struct lorac_sweep *s, size_t trial,
                                                     size_t until, struct lorac_err *err);
LORAC_API_END

#endif
