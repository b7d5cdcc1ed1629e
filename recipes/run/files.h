/* files.h - inside recipes/: the files of a run's folder (drawn in run.h). */
#ifndef LORAC_RECIPES_RUN_FILES_H
#define LORAC_RECIPES_RUN_FILES_H

#include "recipes/run/approximation.h"
#include "recipes/run/run.h"

/* What is in a run's folder. best_new: what best/ becomes once the state knows of it. */
#define LORAC_RUN_NAMES(NAME)              \
    NAME(recipe, "recipe.resolved.yaml")   \
    NAME(manifest, "run.json")             \
    NAME(metrics, "metrics.csv")           \
    NAME(samples, "samples.csv")           \
    NAME(predictions, "predictions")       \
    NAME(state_dir, "state")               \
    NAME(state, "state/state.safetensors") \
    NAME(best, "best")                     \
    NAME(best_new, "best.new")             \
    NAME(last, "last")                     \
    NAME(merged, "merged")                 \
    NAME(lock, "lock")

/* Their paths. */
struct lorac_run_paths {
    char *dir;
#define LORAC_PATH_OF(field, name) char *field;
    LORAC_RUN_NAMES(LORAC_PATH_OF)
#undef LORAC_PATH_OF
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

/* Remove temporary files that a killed process left, and put back the adapter's folder that it had
 * moved aside. The lock must be held. */
LORAC_MUST_CHECK enum lorac_status lorac_run_sweep(const struct lorac_run_paths *p,
                                                   struct lorac_err *err);

/* ---- run.json (manifest.c) ---- */

struct lorac_manifest {
    const struct lorac_job *job;
    const struct lorac_adapter *adapter;
    size_t steps;                  // of the run
    const char *started, *resumed; // its first session; this one, or NULL
    double seconds;                // of all sessions so far
    size_t frozen;                 // layers that run once a row
    size_t ranks;                  // of this session
    const struct lorac_approximation *approximation;
    struct lorac_buf *inputs; // what the run reads, by its content: written where it is empty, and
                              // told each time, whatever the files hold by then
    const enum lorac_metric *best;         // that chooses best/; NULL: nothing is evaluated
    const struct lorac_run_result *result; // NULL: the run goes on, or
    const struct lorac_err *failure;       // ended with this failure
};
LORAC_MUST_CHECK enum lorac_status lorac_manifest_write(const struct lorac_run_paths *p,
                                                        const struct lorac_manifest *m,
                                                        struct lorac_err *err);
/* Steps were done, and so their state was saved; that it is gone is LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_manifest_unsaved(const struct lorac_run_paths *p,
                                                          struct lorac_err *err);
/* Is the run in this folder one of the same recipe, base and data? What differs is LORAC_EUSER
 * naming it; another program, CPU type or thread count is told through `note`. Names and places do
 * not count where the content is the same, nor what changes no number (LORAC_KEY_FREE). Another
 * length is appended to `length`, "train.epochs: 3 -> 5"; with NULL it is a difference like others.
 */
LORAC_MUST_CHECK enum lorac_status lorac_manifest_check(struct lorac_buf *length,
                                                        const struct lorac_run_paths *p,
                                                        const struct lorac_job *j,
                                                        const struct lorac_run_watch *watch,
                                                        struct lorac_err *err);
/* What earlier sessions left in run.json. */
struct lorac_earlier {
    char started[32];
    double seconds; // 0 where none had ended
    size_t steps;
    size_t frozen; // layers that ran once a row
    unsigned best; // as eval.best: what chose best/; auto: a version wrote it that did not say so
};
LORAC_MUST_CHECK enum lorac_status lorac_manifest_read(struct lorac_earlier *out,
                                                       const struct lorac_run_paths *p,
                                                       struct lorac_err *err);
/* The SHA-256 of a file, as run.json has those of tables. */
LORAC_MUST_CHECK enum lorac_status lorac_run_hash(char hex[65], const char *path,
                                                  struct lorac_err *err);
/* A digest of an adapter's weights, never 0. */
LORAC_MUST_CHECK enum lorac_status lorac_weights_digest(uint64_t *out, const char *dir,
                                                        struct lorac_err *err);

/* ---- predictions/STEP.csv ---- */

LORAC_MUST_CHECK enum lorac_status lorac_run_keep_predictions(const struct lorac_run_paths *p,
                                                              const struct lorac_predictions *rows,
                                                              size_t step, struct lorac_err *err);
/* Remove those of evaluations after `step`, where a run goes on from there. */
LORAC_MUST_CHECK enum lorac_status lorac_run_cut_predictions(const struct lorac_run_paths *p,
                                                             size_t step, struct lorac_err *err);

/* ---- metrics.csv: one line for a step or an evaluation ---- */

/* Its columns are those of every run, and behind them those of `metrics` (bit m: metric m) that not
 * every run has. Bytes of the header, which the file must begin with; 0: it does not. */
enum { LORAC_METRICS_COLUMNS = 14, LORAC_METRICS_SECONDS = 13 }; // of every run; one of them
size_t lorac_metrics_header(unsigned *metrics, const char *text, size_t n);
bool lorac_metrics_begun(const struct lorac_run_paths *p); // it holds lines
LORAC_MUST_CHECK enum lorac_status lorac_metrics_step(const struct lorac_run_paths *p,
                                                      const struct lorac_step *s, unsigned metrics,
                                                      struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_metrics_eval(const struct lorac_run_paths *p, double epoch,
                                                      const struct lorac_run_eval *e,
                                                      unsigned metrics, struct lorac_err *err);
/* Seconds of all steps and evaluations in the file, as many processes as the run took. */
LORAC_MUST_CHECK enum lorac_status lorac_metrics_seconds(double *out,
                                                         const struct lorac_run_paths *p,
                                                         struct lorac_err *err);
/* Begin the file, or cut off what comes after `step` where a run goes on from there. */
LORAC_MUST_CHECK enum lorac_status lorac_metrics_begin(const struct lorac_run_paths *p, size_t step,
                                                       unsigned metrics, struct lorac_err *err);

#endif
