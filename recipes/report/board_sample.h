/*
 * board_sample.h - inside recipes/: what a run answered to its rows of data, as rows that can be
 * drawn again and again: the bootstrap of a metric that is no mean over rows.
 *
 *   macro F1, precision, ...    of sums over rows: what each adds to the counts of labels
 *   entity F1                   the same of kinds of entities
 *   MSE, Pearson, Spearman, R2  of the numbers given and wanted
 */
#ifndef LORAC_RECIPES_BOARD_SAMPLE_H
#define LORAC_RECIPES_BOARD_SAMPLE_H

#include "recipes/report/statistics.h"
#include "recipes/run/record.h"

struct lorac_board_sample;
/* *out NULL: what was kept of the rows does not come to the metric that the run has told, as of
 * AUC, which needs what all labels were given. */
LORAC_MUST_CHECK enum lorac_status lorac_board_sample_new(struct lorac_board_sample **out,
                                                          const struct lorac_record *r,
                                                          const struct lorac_predictions *p,
                                                          enum lorac_metric metric,
                                                          struct lorac_err *err);
void lorac_board_sample_free(struct lorac_board_sample *s); // NULL is accepted
LORAC_MUST_CHECK enum lorac_status lorac_board_sample_interval(struct lorac_interval *out,
                                                               struct lorac_board_sample *s,
                                                               struct lorac_err *err);
/* The mean of the first `a` samples less that of the other `b`, all on the rows that each of them
 * has: *shared. `samples` (a + b). */
LORAC_MUST_CHECK enum lorac_status lorac_board_sample_compare(
    struct lorac_difference *out, size_t *shared, struct lorac_board_sample *const *samples,
    size_t a, size_t b, struct lorac_err *err);

#endif
