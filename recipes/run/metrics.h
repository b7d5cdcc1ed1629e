/*
 * metrics.h - how good answers are: pure functions of what was wanted and what was given. They are
 * scikit-learn's, scipy's and seqeval's numbers; tests/golden/metrics.json holds theirs.
 *
 * Where a ratio is 0/0:
 *   - precision of a label that no row was answered with, recall of one that no row has, and their
 *     F1 are 0, as scikit-learn has them. Means over labels leave out the labels that are neither
 *     wanted nor given by any row, and say how many they are of;
 *   - Matthews is 0 where all rows are wanted, or answered, alike, as scikit-learn has it;
 *   - AUC without a row of either kind, and Pearson, Spearman and R2 of numbers that are all equal,
 *     are NaN: there is nothing to be measured. (scikit-learn calls such an R2 0 or 1.)
 */
#ifndef LORAC_RECIPES_METRICS_H
#define LORAC_RECIPES_METRICS_H

#include "base/core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

LORAC_API_BEGIN

/* ---- labels ---- */

/* Of one label, or one kind of entity: counts, and what follows from them. */
struct lorac_label_score {
    size_t support;  // rows that have it
    size_t answered; // rows that were answered with it
    size_t right;    // both
    double precision, recall, f1;
};
/* One row more: its own label and its answer, each of K; another number is none of them. */
void lorac_label_count(struct lorac_label_score *s, // (K)
                       size_t K, size_t truth, size_t answer);
/* precision, recall and F1 of each label from its counts. */
void lorac_label_ratios(struct lorac_label_score *s, // (K)
                        size_t K);

/* Of all labels together, from their counts.
 *   macro      the mean over the labels that occur, as truth or answer
 *   micro_f1   2 right / (answered + support), each summed over the labels. Where each row has one
 *              label and one answer that is the accuracy
 *   weighted   the mean of F1, each label weighing its support
 *   matthews   of K labels (Gorodkin 2004), where each row has one label and one answer:
 *              (right n - sum_k p_k t_k) / sqrt((n^2 - sum_k p_k^2) (n^2 - sum_k t_k^2)),
 *              p answered, t support; rows with none of the labels are as if they had one more */
struct lorac_label_means {
    double macro_precision, macro_recall, macro_f1, micro_precision, micro_recall, micro_f1;
    double weighted_f1, matthews;
    size_t right; // summed
    size_t seen;  // labels that occur
};
struct lorac_label_means lorac_label_means(const struct lorac_label_score *s, // (K)
                                           size_t K, size_t rows);

/* The area under the curve of true over false positives (ROC): how likely a positive row has a
 * higher score than a negative one, equal scores counting half. */
LORAC_MUST_CHECK enum lorac_status lorac_auc(double *out,
                                             const double *score,  // (n)
                                             const bool *positive, // (n)
                                             size_t n, struct lorac_err *err);

/* ---- numbers ---- */

struct lorac_fit {
    double mse;      // mean (given - wanted)^2
    double pearson;  // correlation
    double spearman; // correlation of ranks; equal numbers share the mean of theirs
    double r2;       // 1 - sum (given - wanted)^2 / sum (wanted - mean wanted)^2
};
LORAC_MUST_CHECK enum lorac_status lorac_fit(struct lorac_fit *out,
                                             const double *given,  // (n)
                                             const double *wanted, // (n)
                                             size_t n, struct lorac_err *err);

/* ---- entities ---- */

/*
 *   O  B-PER  I-PER  O  B-LOC  B-PER         what tags say: PER 1-2, LOC 4, PER 5
 *
 * An entity is a run of words of one type. It begins at B or S, behind E or S, and where the type
 * changes; it ends at E or S, and where another begins or O stands. So I without B begins one, too:
 * seqeval's counting (conlleval's), whatever the scheme. L and U are E and S.
 */
struct lorac_tag {
    char part;     // 'O', 'B', 'I', 'E' or 'S'
    uint32_t type; // of those found
};
/* Are all K of this kind, and not all O? (Parts of speech are not.) */
bool lorac_tags_name(const char *const *label, size_t K);
/* Read K tags. Returns how many types they have, with names (K) that are borrowed from the tags;
 * 0: they name no entities. */
size_t lorac_tags_read(struct lorac_tag *out,    // (K) written
                       const char **name,        // (K) of the types, written
                       const char *const *label, // (K)
                       size_t K);
/* Add the entities of one sentence: support, answered, right. */
void lorac_entities_count(struct lorac_label_score *s, // (types)
                          const struct lorac_tag *tag, // of the labels
                          const uint32_t *truth,       // (n) label of each word
                          const uint32_t *answer,      // (n)
                          size_t n);

LORAC_API_END

#endif
