/*
 * fewshot.h - a recipe's rows behind examples of the training table: what a model does untrained
 * when it is shown how.
 *
 * The shots are drawn from the training rows by the recipe's seed, as many of each label as of any
 * other (but for one), and stand in front of every row alike; see "shots" in datasets.h. Rows that
 * are shots are not evaluated. A row's answer ends with the separator where it would end with EOS,
 * and loss and likelihoods count that.
 */
#ifndef LORAC_RECIPES_FEWSHOT_H
#define LORAC_RECIPES_FEWSHOT_H

#include "recipes/run/job.h"

LORAC_API_BEGIN

struct lorac_fewshot_options {
    size_t n;              // shots, at least 1
    bool fewer;            // take as many as fit, at least one, where n do not
    const char *separator; // NULL: "\n\n"
};
struct lorac_fewshot {
    struct lorac_shots *shots;
    struct lorac_dataset *set; // what to evaluate: goes on from the shots
    size_t left_out;           // rows that are shots
};
/* Draw the shots and tokenise the rows of `data`, which is one of the job's; its training data are
 * open, and its model. `metrics`: those that will be measured (bit m: metric m). Where prefix and
 * longest row are more than the model's context, LORAC_EUSER says how many shots fit. Release with
 * lorac_fewshot_close(); borrows the job. */
LORAC_MUST_CHECK enum lorac_status lorac_fewshot_open(
    struct lorac_fewshot *out, const struct lorac_job *j, const struct lorac_data *data,
    unsigned metrics, const struct lorac_fewshot_options *o, struct lorac_err *err);
void lorac_fewshot_close(struct lorac_fewshot *f); // zeroed is accepted

LORAC_API_END

#endif
