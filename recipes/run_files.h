/* run_files.h - inside recipes/: the files of a run's folder (drawn in run.h). */
#ifndef LORAC_RECIPES_RUN_FILES_H
#define LORAC_RECIPES_RUN_FILES_H

#include "recipes/run.h"

/* Paths in a run's folder; one block. */
struct lorac_run_paths {
    char *dir, *recipe, *manifest, *metrics, *state_dir, *state, *best, *last, *merged, *lock;
};
LORAC_MUST_CHECK enum lorac_status lorac_run_paths(struct lorac_run_paths *p, const char *dir,
                                                   struct lorac_err *err);
void lorac_run_paths_free(struct lorac_run_paths *p);

/* May a run in this mode use the folder? Nothing is changed. */
LORAC_MUST_CHECK enum lorac_status lorac_run_check_folder(const struct lorac_run_paths *p,
                                                          enum lorac_run_mode mode,
                                                          struct lorac_err *err);
/* Remove what an earlier run left. */
LORAC_MUST_CHECK enum lorac_status lorac_run_clear(const struct lorac_run_paths *p,
                                                   struct lorac_err *err);

/* Remove temporary files that a killed process left, and put back the adapter's folder that it had moved aside.
 * The lock must be held. */
LORAC_MUST_CHECK enum lorac_status lorac_run_sweep(const struct lorac_run_paths *p,
                                                   struct lorac_err *err);

/* run.json. `result` NULL: the run goes on, or ended with `failure` where that is given. */
LORAC_MUST_CHECK enum lorac_status lorac_manifest_write(
    const struct lorac_run_paths *p, const struct lorac_job *j, const struct lorac_adapter *a,
    size_t steps, const char *started, const struct lorac_run_result *result,
    const struct lorac_err *failure, struct lorac_err *err);
/* LORAC_EUSER where run.json says that the run has ended: its state was saved then, whatever became of it. */
LORAC_MUST_CHECK enum lorac_status lorac_manifest_unsaved(const struct lorac_run_paths *p,
                                                          struct lorac_err *err);
/* Is the run in this folder one of the same base and data? A differing recipe, base, table or
 * adapter.from is LORAC_EUSER naming it; another program, CPU type or thread count is told through `note`. */
LORAC_MUST_CHECK enum lorac_status lorac_manifest_check(const struct lorac_run_paths *p,
                                                        const struct lorac_job *j,
                                                        const struct lorac_run_watch *watch,
                                                        struct lorac_err *err);

/* metrics.csv: one line for a step or an evaluation. */
LORAC_MUST_CHECK enum lorac_status lorac_metrics_step(const struct lorac_run_paths *p,
                                                      const struct lorac_run_step *s,
                                                      struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_metrics_eval(const struct lorac_run_paths *p, double epoch,
                                                      const struct lorac_run_eval *e,
                                                      struct lorac_err *err);
/* Seconds of all steps and evaluations in the file, as many processes as the run took. */
LORAC_MUST_CHECK enum lorac_status lorac_metrics_seconds(double *out,
                                                         const struct lorac_run_paths *p,
                                                         struct lorac_err *err);
/* Begin the file, or cut off what comes after `step` where a run goes on from there. */
LORAC_MUST_CHECK enum lorac_status lorac_metrics_begin(const struct lorac_run_paths *p, size_t step,
                                                       struct lorac_err *err);

#endif
