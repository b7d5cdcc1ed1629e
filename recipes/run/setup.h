/*
 * setup.h - inside recipes/: what follows from a recipe and its opened data before the first step.
 * A run (run.c) does it, a plan (plan.c) tells it; both ask here.
 */
#ifndef LORAC_RECIPES_SETUP_H
#define LORAC_RECIPES_SETUP_H

#include "recipes/run/job.h"
#include "recipes/run/trainer.h"

/* How long a run is. */
struct lorac_length {
    size_t steps;
    double steps_per_epoch;
    size_t eval_every, save_every; // in steps; 0: only at the end
};
/* An interval in steps; 0: the end. */
size_t lorac_setup_interval(const struct lorac_recipe_interval *i, double steps_per_epoch);
/* How often the run evaluates its validation rows. */
size_t lorac_setup_evaluations(const struct lorac_length *length);
/* Is something to be done after step `step` (from 1) that is done every `every` steps and at the
 * end? */
bool lorac_setup_due(size_t step, size_t every, size_t steps);

struct lorac_loader_options lorac_setup_loader(const struct lorac_job *j);
struct lorac_optim_options lorac_setup_optim(const struct lorac_recipe *r, size_t steps);
/* All that the recipe says about training `adapter` with the rows of `loader`, which are borrowed
 * as the job is, and how long it takes. Metrics that cannot be measured are LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_setup_trainer(
    struct lorac_trainer_options *out, struct lorac_length *length, const struct lorac_job *j,
    struct lorac_adapter *adapter, struct lorac_loader *loader, struct lorac_err *err);
/* Do the rows' answers allow the metric? */
bool lorac_setup_measures(enum lorac_metric metric, const struct lorac_job *j);
/* Why the metric chooses that does: "eval.best", "eval.early_stop.metric", "eval.best: auto". */
const char *lorac_setup_best_why(const struct lorac_recipe *r);

#endif
