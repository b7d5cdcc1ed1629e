/*
 * resume.h - inside recipes/: does what a run that goes on finds in its folder fit together, and
 * the recipe to it? run.json is compared before (lorac_manifest_check) and the state read.
 */
#ifndef LORAC_RECIPES_RESUME_H
#define LORAC_RECIPES_RESUME_H

#include "recipes/run/files.h"
#include "recipes/run/state.h"

/* Put in place the best/ that a kill left beside; then best/ must hold what the state says. */
LORAC_MUST_CHECK enum lorac_status lorac_resume_best(const struct lorac_run_paths *p,
                                                     const struct lorac_recipe *r,
                                                     const struct lorac_state *s,
                                                     struct lorac_err *err);

/* The run gets another length, which `change` tells ("train.epochs: 3 -> 5"): `steps`, where it had
 * `before`. It may where the steps that are done are those of a run of that length; LORAC_EUSER
 * says why not, and what to do. */
LORAC_MUST_CHECK enum lorac_status lorac_resume_length(const char *change,
                                                       const struct lorac_run_paths *p,
                                                       const struct lorac_recipe *r,
                                                       const struct lorac_state *s, size_t steps,
                                                       size_t before, struct lorac_err *err);

#endif
