/*
 * approximation.h - what model.compute: int8 does to a base, before any training: its loss on the
 * rows that the run begins with, beside float32's.
 */
#ifndef LORAC_RECIPES_RUN_APPROXIMATION_H
#define LORAC_RECIPES_RUN_APPROXIMATION_H

#include "base/core/buf.h"
#include "recipes/run/job.h"

LORAC_API_BEGIN

struct lorac_approximation {
    bool headed;           // it is approximated, and its head may have no loss before it is trained
    size_t rows;           // examples of the training data; 0: nothing was measured
    double float32, there; // mean loss of their trained tokens, in nats
    double error;          // standard error of their difference
};

/* Run the bare base on the first rows, in float32 and as it is computed in: 8 at a time, and 208
 * at most, until the standard error of the difference is at most 1 % of the loss. Nothing is done
 * unless that is int8. The device is started. */
LORAC_MUST_CHECK enum lorac_status lorac_approximation_measure(struct lorac_approximation *out,
                                                               struct lorac_job *j,
                                                               struct lorac_err *err);
/* Bytes that this takes beside what is open, those of all stored weights among them; 0: nothing. */
LORAC_MUST_CHECK enum lorac_status lorac_approximation_weigh(size_t *bytes,
                                                             const struct lorac_job *j,
                                                             struct lorac_err *err);
/* In words, appended; nothing where nothing was measured. */
void lorac_approximation_say(struct lorac_buf *b, const struct lorac_approximation *a);

LORAC_API_END

#endif
