/*
 * heads.h - what a recipe says whose objective has a head (classify, multilabel, regress, tag),
 * beside what all recipes say: which column holds the targets, which labels there are and which of
 * the head's outputs each is, what they weigh, what the text is.
 *
 * Labels stand in the order of data.labels.map; else in that of the head that the checkpoint has
 * for them; else sorted, numbers as numbers. Which there are the training rows say: one that stands
 * in other rows alone is an error there.
 */
#ifndef LORAC_RECIPES_HEADS_H
#define LORAC_RECIPES_HEADS_H

#include "recipes/run/job.h"

LORAC_API_BEGIN

/* What the recipe learns. */
const struct lorac_objective *lorac_job_objective(const struct lorac_job *j);
/* Has its model a head of its own, in the place of the vocabulary's? */
bool lorac_job_has_head(const struct lorac_job *j);

/* Does it tag words that are other tokens behind a space, where they are read, than alone? */
bool lorac_job_spaces(const struct lorac_job *j);

/* Before rows are read: j->label_variable, j->labels, j->K (0 of numbers), j->texts. The training
 * table is open, and divided where data.valid is a split. */
LORAC_MUST_CHECK enum lorac_status lorac_head_find(struct lorac_job *j, struct lorac_err *err);
/* Of a job whose labels are another's, too: eval.threshold chooses nothing of more than two, where
 * the likeliest is the answer. */
LORAC_MUST_CHECK enum lorac_status lorac_head_check(const struct lorac_job *j,
                                                    struct lorac_err *err);
/* When the training rows are read: j->frame's mean and deviation, j->label_weight. */
LORAC_MUST_CHECK enum lorac_status lorac_head_settle(struct lorac_job *j, struct lorac_err *err);
/* When the model is open: what of j->frame follows from it. */
void lorac_head_fit(struct lorac_job *j);
/* When an adapter is loaded that was trained before: its head's numbers are in the mean and
 * deviation that it was trained with, whatever the rows' are. */
LORAC_MUST_CHECK enum lorac_status lorac_head_take(struct lorac_job *j,
                                                   const struct lorac_adapter *a,
                                                   struct lorac_err *err);

LORAC_API_END

#endif
