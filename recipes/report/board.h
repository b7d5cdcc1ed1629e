/*
 * board.h - runs side by side: what differs between them, how good each is and how sure that is,
 * which is the best, and which cannot be told from it.
 *
 * A row of the board is a group of runs that differ in nothing but the keys of `group_by`: the
 * seed, where nobody says otherwise and groups come of it. Of each run its best evaluation counts.
 * Runs that did not finish are no part of a group: they are told by themselves.
 *
 * Whether two rows differ is asked of the rows of data that both have answered (predictions.h): of
 * two runs by McNemar's test, of two groups by what their rows come to on the average, with the
 * deviation between their runs, and of losses by the rows' losses (statistics.h). Of a metric that
 * is no mean over rows, as an F1 or a correlation, by draws of the rows (board_sample.h). With many
 * rows some differ by chance: the limit of 5 % is for all of them together (Holm 1979).
 */
#ifndef LORAC_RECIPES_BOARD_H
#define LORAC_RECIPES_BOARD_H

#include "recipes/report/statistics.h"
#include "recipes/run/record.h"

LORAC_API_BEGIN

/* The runs in some folders, at any depth; in the order of the folders, then of their names. */
struct lorac_runs {
    struct lorac_record **at; // (n)
    size_t n, cap;
    struct lorac_run_broken { // what looks like a run and cannot be read
        char *dir, *why;
    } * broken; // (n_broken)
    size_t n_broken, cap_broken;
    struct lorac_sweep_record *sweep; // of the only folder, where it is one; else NULL
    size_t to_come;                   // its trials that have not begun
};
/* LORAC_EUSER: a folder holds none, and is no sweep's whose trials are to come. A run that is
 * damaged goes to `broken`; so does a trial that failed before it was a run. */
LORAC_MUST_CHECK enum lorac_status lorac_runs_open(struct lorac_runs *out, const char *const *dirs,
                                                   size_t n_dirs, struct lorac_err *err);
void lorac_runs_close(struct lorac_runs *r); // zeroed is accepted
/* How one of them stands: of a sweep that halves, what has stopped is "paused". */
const char *lorac_runs_word(const struct lorac_runs *r, const struct lorac_record *one);

struct lorac_board_options {
    const char *const *where; // (n_where) "adapter.rank=16": only runs with these values
    size_t n_where;
    const char *const *group_by; // (n_group_by) keys; the one word "none": every run is a row
    size_t n_group_by;           // 0: the seed
    const char *metric;          // NULL: what chose best/, where all runs agree; else the loss
    const char *sort;            // "metric", "seconds", "memory", "size", "folder", or a key; NULL:
                                 // the metric
};

enum lorac_board_place {
    LORAC_BOARD_BEST,
    LORAC_BOARD_TIED,  // cannot be told from the best
    LORAC_BOARD_WORSE, // can
    LORAC_BOARD_OTHER, // other rows of data than the best, the loss of another objective, no
                       // predictions, or a metric that does not follow from them (AUC): nobody
                       // knows
};
struct lorac_board_row {
    const struct lorac_record **runs; // (n)
    size_t n;
    double mean, deviation;         // of the metric over the runs; NaN of one run
    struct lorac_interval interval; // of 95 %: the mean of its runs' own; NaN: not known
    size_t rows;                    // of data, evaluated by each run (by its first, if they differ)
    double seconds;                 // mean
    size_t peak_bytes, adapter_bytes; // the most of its runs; 0: not known
    enum lorac_board_place place;
    double p;      // that it differs so much from the best by chance; NaN: not known
    size_t shared; // rows of data that both answered
};
struct lorac_board {
    enum lorac_metric metric;
    const char **keys; // (n_keys) that differ, but those of group_by
    size_t n_keys;
    const char **group_by; // (n_group_by) 0: every run is a row
    size_t n_group_by;
    struct lorac_board_row *rows; // (n) sorted
    size_t n;
    const struct lorac_record **aside; // (n_aside) that did not finish, or do not have the metric
    size_t n_aside;
    struct lorac_arena *arena;
};
/* The runs are borrowed. Of a sweep: by its objective, and grouped as it says, where `o` asks for
 * nothing else. A key or metric that there is not, and a metric that no run measures although some
 * have ended, is LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_board_make(struct lorac_board **out,
                                                    const struct lorac_runs *runs,
                                                    const struct lorac_board_options *o,
                                                    struct lorac_err *err);
void lorac_board_free(struct lorac_board *b);              // NULL is accepted
const char *lorac_board_test(const struct lorac_board *b); // what tells its rows apart

LORAC_API_END

#endif
