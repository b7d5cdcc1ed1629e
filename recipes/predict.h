/*
 * predict.h - answers for the rows of a table that has only what the prompt needs.
 *
 * With labels, the answer is the likeliest label and its probability among all labels; otherwise it is
 * the greedy continuation of the prompt, up to the end of the text.
 */
#ifndef LORAC_RECIPES_PREDICT_H
#define LORAC_RECIPES_PREDICT_H

#include "recipes/evaluate.h"

struct lorac_predicted {
    size_t rows;  // written
    size_t empty; // of these, with a blank cell in the prompt
    size_t cut;   // with a prompt that was too long, cut from its start as in training
};

/* Read the table `in` (in the recipe's format), write `out` atomically in the same format: all columns of `in`,
 * then "prediction" and, with labels, "probability". `in` may not have columns of these names.
 * All rows are checked before the first is answered; a prompt without a variable is LORAC_EUSER, and so is a blank
 * cell in a prompt unless the recipe keeps those (data.on_empty). `max_tokens`: of a generated answer. */
LORAC_MUST_CHECK enum lorac_status lorac_predict(struct lorac_predicted *counts,
                                                 const struct lorac_job *j,
                                                 const struct lorac_socket *socket, const char *in,
                                                 const char *out, size_t max_tokens,
                                                 lorac_progress_fn *progress, void *self,
                                                 struct lorac_err *err);

#endif
