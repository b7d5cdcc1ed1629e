/*
 * verdicts.h - where an evaluation of labels fails: what each row was answered, and what all of
 * them say of each label, of the pairs that are confused, and of the probabilities.
 */
#ifndef LORAC_RECIPES_VERDICTS_H
#define LORAC_RECIPES_VERDICTS_H

#include "recipes/run/evaluate.h"
#include "recipes/run/metrics.h"

LORAC_API_BEGIN

/* Filled by an evaluation (lorac_evaluator_options.verdicts), which empties it first. Zeroed =
 * empty; owns its memory (lorac_verdicts_free). */
struct lorac_verdicts {
    struct lorac_verdict *at; // (n) in the order of the rows
    size_t n, cap;
    size_t K;                       // labels, or kinds of entities
    const char *const *names;       // (K) theirs, the evaluation's
    struct lorac_label_score *told; // (K) where rows have not one label each; NULL: `at` has them
    bool probabilities;             // asked for: those of all labels, which then run whole
};
void lorac_verdicts_free(struct lorac_verdicts *v);
LORAC_MUST_CHECK enum lorac_status lorac_verdicts_add(struct lorac_verdicts *v,
                                                      const struct lorac_verdict *one,
                                                      struct lorac_err *err);

/* What all labels came to, where that does not follow from one verdict a row. */
LORAC_MUST_CHECK enum lorac_status lorac_verdicts_tell(struct lorac_verdicts *v,
                                                       const struct lorac_label_score *labels,
                                                       struct lorac_err *err); // (K), copied

/* The scores of each label (metrics.h). */
void lorac_verdicts_labels(struct lorac_label_score *out, // (K) written
                           const struct lorac_verdicts *v);

/* Rows of one label that were answered with another. */
struct lorac_confused {
    size_t truth, answer, rows;
};
/* All such pairs, the most frequent first, equal ones in the order of the labels: *out (*n) is the
 * caller's (lorac_mem_free), NULL where there is none. */
LORAC_MUST_CHECK enum lorac_status lorac_verdicts_confused(struct lorac_confused **out, size_t *n,
                                                           const struct lorac_verdicts *v,
                                                           struct lorac_err *err);

/* Expected calibration error of the answers' probabilities (Guo et al. 2017): over ten bins of
 * equal width, (0, 0.1] to (0.9, 1], sum of rows_b / rows |accuracy_b - mean probability_b|. NaN
 * where probabilities were not asked for or there is no row. */
double lorac_verdicts_calibration(const struct lorac_verdicts *v);

LORAC_API_END

#endif
