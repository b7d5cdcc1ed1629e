/* report_parts.h - inside recipes/: the parts of a report (report.h), each one file. */
#ifndef LORAC_RECIPES_REPORT_PARTS_H
#define LORAC_RECIPES_REPORT_PARTS_H

#include "recipes/report/page.h"
#include "recipes/report/report.h"

/* ---- numbers of a run, as curves want them (report_series.c) ---- */

/* A column of metrics.csv over the steps. Zeroed = empty; owns its memory. */
struct lorac_series {
    double *x, *y, *w; // (n) step, value, what it weighs in a mean
    size_t n;          // finite values
    size_t left_out;   // values that are not finite
};
enum lorac_column { // below these: enum lorac_metric
    LORAC_COLUMN_RATE = LORAC_METRICS,
    LORAC_COLUMN_GRADIENT,
    LORAC_COLUMN_SPEED, // tokens a second
    LORAC_COLUMN_BITS_PER_BYTE,
};
/* That of its steps or, `valid`, of its evaluations. */
LORAC_MUST_CHECK enum lorac_status lorac_series_take(struct lorac_series *out,
                                                     const struct lorac_record *r, bool valid,
                                                     unsigned column, struct lorac_err *err);
/* Means of `window` neighbours, by weight; fewer at the ends. */
LORAC_MUST_CHECK enum lorac_status lorac_series_smooth(struct lorac_series *out,
                                                       const struct lorac_series *s, size_t window,
                                                       struct lorac_err *err);
size_t lorac_series_window(const struct lorac_series *s); // that suits it; 1: none
struct lorac_curve lorac_series_curve(const struct lorac_series *s);
void lorac_series_free(struct lorac_series *s);

/* ---- sections of one run ---- */

enum lorac_target lorac_report_target(const struct lorac_record *r); // what it learns
const char *lorac_report_loss_unit(const struct lorac_record *r);

LORAC_MUST_CHECK enum lorac_status lorac_report_curves(struct lorac_buf *b,
                                                       const struct lorac_record *r,
                                                       struct lorac_err *err);
/* Of what rows, or their words, were answered at `step`, where labels are compared. */
LORAC_MUST_CHECK enum lorac_status lorac_report_labels(struct lorac_buf *b,
                                                       const struct lorac_predictions *p,
                                                       enum lorac_target target, size_t step,
                                                       struct lorac_err *err);
/* That, and the rows that went wrong, of the predictions kept at the best step, or the last. */
LORAC_MUST_CHECK enum lorac_status lorac_report_rows(struct lorac_buf *b,
                                                     const struct lorac_record *r,
                                                     struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_report_samples(struct lorac_buf *b,
                                                        const struct lorac_record *r,
                                                        struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_report_recipe(struct lorac_buf *b,
                                                       const struct lorac_record *r,
                                                       struct lorac_err *err);

/* ---- of several runs ---- */

struct lorac_report_set {
    const struct lorac_runs *all;
    struct lorac_record *const *runs; // (n) of all
    size_t n;
    struct lorac_board *board; // owned
    const char *metric_name;   // that compares them, in words
    size_t best;               // of the runs; n: none was evaluated
    size_t *keys;              // (n_keys) of their values, those that differ; owned
    size_t n_keys;
};
LORAC_MUST_CHECK enum lorac_status lorac_report_set(struct lorac_report_set *out,
                                                    const struct lorac_runs *all,
                                                    struct lorac_err *err);
void lorac_report_set_free(struct lorac_report_set *s); // zeroed is accepted
/* Of its best evaluation; NaN where there was none. */
double lorac_report_score(const struct lorac_report_set *s, size_t i);
/* The page's head, and all runs in a table, the best first. */
void lorac_report_board(struct lorac_buf *b, const struct lorac_report_set *s, const char *title);
LORAC_MUST_CHECK enum lorac_status lorac_report_effects(struct lorac_buf *b,
                                                        const struct lorac_report_set *s,
                                                        struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_report_overlays(struct lorac_buf *b,
                                                         const struct lorac_report_set *s,
                                                         struct lorac_err *err);

#endif
