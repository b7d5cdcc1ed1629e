/*
 * predictions.h - what each row of an evaluation came to: DIR/predictions/STEP.csv, which two runs
 * are compared by, row by row.
 *
 *   line         of the table; of texts the piece, from 1
 *   wanted       its label, or its text where exact_match is measured; of a head also its labels
 *                ("a; b"), its number, or the tags of its words ("O B-X O")
 *   answer       the likeliest label, or what else the head gives, and
 *   right        1 where that is its own, all of it, else 0; empty where labels are not compared
 *   probability  of the answer among all labels; empty where it was not computed
 *   text         the greedy answer, and
 *   exact        1 where that is the text wanted, else 0; empty where exact_match is not measured
 *   loss         mean negative log-likelihood of the row's trained tokens, in nats
 *   tokens       how many these are
 */
#ifndef LORAC_RECIPES_PREDICTIONS_H
#define LORAC_RECIPES_PREDICTIONS_H

#include "datasets/datasets.h"
#include "recipes/run/ranks.h"
#include <stdbool.h>
#include <stddef.h>

LORAC_API_BEGIN

struct lorac_prediction {
    size_t line;
    const char *wanted, *answer, *text; // "" where there is none
    bool right, exact;
    double probability; // NaN: it was not computed
    double loss;
    size_t tokens;
};
struct lorac_predictions {
    struct lorac_prediction *at; // (n) by line
    size_t n;
    bool compares, matches; // `right`, `exact` count
    struct lorac_arena *arena;
};

/* Begin anew: a row for each example of the dataset, with its line. Zeroed before the first time;
 * an evaluation (evaluate.h) then fills them. Borrows the labels' texts. */
LORAC_MUST_CHECK enum lorac_status lorac_predictions_begin(struct lorac_predictions *p,
                                                           const struct lorac_dataset *set,
                                                           struct lorac_err *err);
/* What stands between the parts of a row's `wanted` and `answer`: labels, or the tags of words;
 * NULL: it is one label. */
const char *lorac_predictions_between(enum lorac_target target);
/* The next part of *rest, which moves behind it; false: there is none. */
bool lorac_prediction_part(const char **part, size_t *n, const char **rest, const char *between);
/* The labels that rows have or were answered with, each once, sorted: *names (*K), the caller's
 * (lorac_mem_free), its texts those of p; and which of them a part is. */
LORAC_MUST_CHECK enum lorac_status lorac_predictions_labels(const char ***names, size_t *K,
                                                            const struct lorac_predictions *p,
                                                            const char *between,
                                                            struct lorac_err *err);
size_t lorac_predictions_find(const char *const *names, size_t K, const char *part, size_t n);
/* A text of theirs; NULL: no memory. */
const char *lorac_predictions_text(struct lorac_predictions *p, const struct lorac_buf *text);
/* What each rank has filled becomes what all have. `st`, `err`: as in ranks.h. */
LORAC_MUST_CHECK enum lorac_status lorac_predictions_share(struct lorac_predictions *p,
                                                           struct lorac_ranks *ranks,
                                                           enum lorac_status st,
                                                           struct lorac_err *err);
void lorac_predictions_release(struct lorac_predictions *p); // what it holds; zeroed is accepted
/* As a file, atomically. */
LORAC_MUST_CHECK enum lorac_status lorac_predictions_write(const struct lorac_predictions *p,
                                                           const char *path, struct lorac_err *err);

/* Read one file; what is damaged is LORAC_EFORMAT with its line. */
LORAC_MUST_CHECK enum lorac_status lorac_predictions_read(struct lorac_predictions **out,
                                                          const char *path, struct lorac_err *err);
void lorac_predictions_free(struct lorac_predictions *p); // of one that was read; NULL is accepted

LORAC_API_END

#endif
