/*
 * setup.h - inside recipes/: what follows from a recipe and its opened data before the first step.
 * A run (run.c) does it, a plan (plan.c) tells it; both ask here.
 */
#ifndef LORAC_RECIPES_SETUP_H
#define LORAC_RECIPES_SETUP_H

#include "recipes/run/job.h"

/* How long a run is. */
struct lorac_length {
    size_t steps;
    double steps_per_epoch;
    size_t eval_every, save_every; // in steps; 0: only at the end
};
/* Steps as many as asked for, or micro-batches of all epochs over `accumulate`, of a loader over n
 * examples. LORAC_EUSER: too many epochs to count. */
LORAC_MUST_CHECK enum lorac_status lorac_setup_length(struct lorac_length *out,
                                                      const struct lorac_recipe *r,
                                                      struct lorac_loader *loader, size_t n,
                                                      struct lorac_err *err);
/* How often the run evaluates its validation rows. */
size_t lorac_setup_evaluations(const struct lorac_length *length);
/* Is something to be done after step `step` (from 1) that is done every `every` steps and at the
 * end? */
bool lorac_setup_due(size_t step, size_t every, size_t steps);

struct lorac_loader_options lorac_setup_loader(const struct lorac_recipe *r);
struct lorac_optim_options lorac_setup_optim(const struct lorac_recipe *r, size_t steps);
/* How the training pass keeps activations of up to `max_rows` rows, and the bytes that it takes.
 * With keep_activations: auto all are kept where they take at most half of the machine's memory. */
LORAC_MUST_CHECK enum lorac_status lorac_setup_pass(struct lorac_pass_options *out, size_t *bytes,
                                                    const struct lorac_recipe *r,
                                                    const struct lorac_model *m,
                                                    const struct lorac_socket *socket,
                                                    size_t max_rows, struct lorac_err *err);
/* What an evaluation measures, and what for. */
struct lorac_metrics {
    unsigned measured;      // bits
    enum lorac_metric best; // chooses best/
    enum lorac_metric stop; // eval.early_stop.metric; that of `best` where none is given
};
LORAC_MUST_CHECK enum lorac_status lorac_setup_metrics(struct lorac_metrics *out,
                                                       const struct lorac_job *j,
                                                       struct lorac_err *err);
/* Why that one chooses: "eval.best", "eval.early_stop.metric", "eval.best: auto". */
const char *lorac_setup_best_why(const struct lorac_recipe *r);

#endif
