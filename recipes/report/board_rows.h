/* board_rows.h - inside recipes/: what a row of the board answered on each row of data. */
#ifndef LORAC_RECIPES_BOARD_ROWS_H
#define LORAC_RECIPES_BOARD_ROWS_H

#include "recipes/report/board.h"
#include "recipes/report/board_sample.h"

/* Of one line of data, over the runs of a group: what the metric is the mean of. */
struct lorac_board_answer {
    size_t line;
    double value, weight;
};
struct lorac_board_answers {
    struct lorac_board_answer *at; // (n) by line; n 0: no predictions, or
    size_t n, cap;
    struct lorac_board_sample **sample; // (n_samples) the metric is no mean: of each run; 0: nobody
    size_t n_samples, cap_samples;      // knows
};
/* Is the metric of this run a mean over rows? */
bool lorac_board_is_mean(const struct lorac_record *r, enum lorac_metric metric);
void lorac_board_answers_free(struct lorac_board_answers *a);

/* Read what the runs of `row` answered: their answers together, and the row's interval. */
LORAC_MUST_CHECK enum lorac_status lorac_board_read(struct lorac_board_answers *out,
                                                    struct lorac_board_row *row,
                                                    enum lorac_metric metric,
                                                    struct lorac_err *err);
/* row->p and row->shared, against the best. */
LORAC_MUST_CHECK enum lorac_status lorac_board_compare(struct lorac_board_row *row,
                                                       const struct lorac_board_answers *own,
                                                       const struct lorac_board_row *best,
                                                       const struct lorac_board_answers *its,
                                                       enum lorac_metric metric,
                                                       struct lorac_err *err);

#endif
