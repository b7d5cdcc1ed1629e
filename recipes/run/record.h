/*
 * record.h - a run's folder (drawn in run.h) read back, for who compares and shows runs.
 *
 * Reading is strict: a folder that holds no run, and a file that is damaged, are errors that name
 * the file, and the line where there are lines. A run that goes on, or was killed, is read as far
 * as it got: only the last line of its metrics.csv may be cut.
 */
#ifndef LORAC_RECIPES_RECORD_H
#define LORAC_RECIPES_RECORD_H

#include "recipes/language/recipe.h"
#include "recipes/run/evaluate.h"
#include "recipes/run/predictions.h"

LORAC_API_BEGIN

enum lorac_record_status {
    LORAC_RECORD_RUNNING, // or it was killed
    LORAC_RECORD_STOPPED, // and saved: train --resume goes on
    LORAC_RECORD_FAILED,
    LORAC_RECORD_EARLY, // finished, by eval.early_stop
    LORAC_RECORD_FINISHED,
};

/* A line of metrics.csv: a step, or an evaluation. NaN: it has no such number. */
struct lorac_record_line {
    size_t step;
    bool is_valid; // an evaluation
    double epoch, bits_per_byte, lr, grad_norm;
    double metric[LORAC_METRICS]; // the loss and, of an evaluation, what else was measured
    size_t tokens, trained;       // of an evaluation: rows, scored tokens
    double seconds;
};

struct lorac_record_value {
    const char *key, *value; // "adapter.rank", as YAML on one line
};

/* Owns all that it points to; nothing in it is NULL unless its comment says so. */
struct lorac_record {
    const char *dir;                         // as it was given
    struct lorac_recipe *recipe;             // the resolved one; its paths are those of its time
    const struct lorac_record_value *values; // (n_values) of every key, in the order of the table
    size_t n_values;
    // run.json
    enum lorac_record_status status;
    const char *error; // of a run that failed; else NULL
    const char *version, *started, *host, *cpu, *backend, *compute;
    const char *ended;              // of its last session; NULL while it goes on
    const char *base;               // the model's folder, and its
    const char *fingerprint;        //
    const char *rows_of;            // equal where the rows evaluated are of one table, or the same
                                    // pieces of texts; NULL: nothing is evaluated
    size_t threads, parameters;     // that train
    size_t steps, steps_done;       // that it is to have; that are done
    size_t peak_bytes;              // 0: not known, as of a run that was killed
    double seconds;                 // of all its sessions, as far as they are known
    bool evaluated;                 // there was an evaluation: the next four count
    enum lorac_metric best_by;      // chooses the best
    size_t best_step;               //
    struct lorac_scores best, last; // the metrics, and rows and tokens where they are known, or 0
    // metrics.csv
    const struct lorac_record_line *lines; // (n_lines) none where output.log has no csv
    size_t n_lines;
    // what lies beside
    const size_t *predicted; // (n_predicted) steps whose predictions were kept, ascending
    size_t n_predicted;
    const char *adapter;  // best/, or last/ where only that is there; NULL: none yet
    size_t adapter_bytes; // of its weights
    struct lorac_arena *arena;
};

/* "stopped early", "running or killed". */
const char *lorac_record_status_word(enum lorac_record_status status);
/* Does the folder hold a run? */
bool lorac_record_is_run(const char *dir);
LORAC_MUST_CHECK enum lorac_status lorac_record_open(struct lorac_record **out, const char *dir,
                                                     struct lorac_err *err);
void lorac_record_close(struct lorac_record *r); // NULL is accepted
/* Its value of a key, "adapter.rank"; NULL: there is no such key. */
const char *lorac_record_value(const struct lorac_record *r, const char *key);
/* The best of its evaluations up to step `until`, of which best/ was. False: there was none. */
bool lorac_record_best(struct lorac_scores *best, size_t *step, const struct lorac_record *r,
                       size_t until);
/* What the rows of the evaluation at `step` came to (lorac_predictions_free); one that was not kept
 * is LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_record_predictions(struct lorac_predictions **out,
                                                            const struct lorac_record *r,
                                                            size_t step, struct lorac_err *err);

/* What a sweep's folder says of it, DIR/sweep.json. */
struct lorac_sweep_record {
    const char *metric;            // its objective
    bool halves;                   // some of its trials are paused, and may not go on
    const char **group_by, **keys; // (n_group_by), (n_keys): what its trials change
    const char **trials;           // (n_trials) the folders of its runs, in their order
    size_t n_group_by, n_keys, n_trials;
    struct lorac_arena *arena;
};
/* *out NULL: the folder holds no sweep. */
LORAC_MUST_CHECK enum lorac_status lorac_sweep_record_open(struct lorac_sweep_record **out,
                                                           const char *dir, struct lorac_err *err);
void lorac_sweep_record_close(struct lorac_sweep_record *s); // NULL is accepted

LORAC_API_END

#endif
