/* board_rows.h - inside recipes/: what a row of the board answered on each row of data. */
#ifndef LORAC_RECIPES_BOARD_ROWS_H
#define LORAC_RECIPES_BOARD_ROWS_H

#include "recipes/report/board.h"

/* Of one line of data, over the runs of a group: what the metric is the mean of. */
struct lorac_board_answer {
    size_t line;
    double value, weight;
};
struct lorac_board_answers {
    struct lorac_board_answer *at; // (n) by line; n 0: no predictions
    size_t n, cap;
};
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
