/* predict_impl.h - inside recipes/: what predict.c and predict_id.c share. */
#ifndef LORAC_RECIPES_PREDICT_IMPL_H
#define LORAC_RECIPES_PREDICT_IMPL_H

#include "recipes/run/predict.h"
#include "recipes/run/predict_part.h"

enum { LORAC_PREDICT_GROUP = 256 }; // rows of a table that are answered together, at the most

/* A table that is asked row by row. */
struct lorac_predict_work {
    const struct lorac_job *j;
    const struct lorac_predict_options *o;
    struct lorac_predicted *counts;
    struct lorac_predictor *predictor;
    struct lorac_table *table;
    struct lorac_table_format format; // the table's
    size_t *column;                   // (variables) of the table; SIZE_MAX: not needed
    struct lorac_cell *values;        // (variables)
    struct lorac_row row;
    struct lorac_buf line;
    struct lorac_part part;
    bool ranks;                           // answers are labels with probabilities; else texts
    size_t top;                           // labels a row
    struct lorac_ids shared;              // what prompts begin with, but those that were cut
    size_t from, end;                     // rows that are answered together
    size_t next;                          // row whose answer is to be written
    struct lorac_buf lines;               // of ranks: this one's, until all have theirs
    size_t question[LORAC_PREDICT_GROUP]; // of each the predictor's number, or UNASKED
    enum lorac_status written;
    char id[65];          // of what the answers are answers to
    struct lorac_err why; // where rows could not be written while others were answered
};

/* What the rows are answers to (predict_id.c). */
LORAC_MUST_CHECK enum lorac_status lorac_predict_identify(char id[65],
                                                          const struct lorac_predict_work *w,
                                                          struct lorac_err *err);

#endif
