/*
 * labels.h - the answers that a recipe's rows choose from: what they are, how many rows have each,
 * and what looks like a slip of the table. A run (run.c) does it before the first step, a plan
 * (plan.c) tells it.
 */
#ifndef LORAC_RECIPES_LABELS_H
#define LORAC_RECIPES_LABELS_H

#include "recipes/run/job.h"

LORAC_API_BEGIN

/* j->label_variable, j->labels, j->K: of data.labels.map, else the values of the label's column in
 * the training table, where they are few; j->answers: how many there are. */
LORAC_MUST_CHECK enum lorac_status lorac_labels_find(struct lorac_job *j, struct lorac_err *err);

/* LORAC_EUSER where rows of `set` (data.NAME) cannot be meant as they are: a label that training
 * knows in another writing alone (case, blanks, a number), or no row at all with one of training's
 * where labels are compared. */
LORAC_MUST_CHECK enum lorac_status lorac_labels_check(const struct lorac_job *j,
                                                      const struct lorac_dataset *set,
                                                      const char *name, struct lorac_err *err);

/* The label as a message shows it, in quotes. Returns `out`. */
enum { LORAC_LABEL_SHOWN = 80 };
const char *lorac_label_show(char out[LORAC_LABEL_SHOWN], const char *label);
/* Append what is left of a text where case, blanks and the way of writing a number don't count. */
void lorac_label_fold(struct lorac_buf *out, const char *text);
/* The label's index; j->K: none. */
size_t lorac_label_index(const struct lorac_job *j, const struct lorac_cell *cell);

/* ---- counted ---- */

enum { LORAC_LABEL_SPLITS = 3 };
struct lorac_label_counts {
    const char *name; // "train", "valid", "test"
    size_t rows;      // 0: there is no such data
    size_t unknown;   // with none of the labels
    size_t *count;    // (K) rows of each label
    size_t commonest; // the label that most rows have
    const struct lorac_dataset *set;
};
struct lorac_label_look {
    size_t K;
    struct lorac_label_counts split[LORAC_LABEL_SPLITS];
    size_t *order; // (K) by falling count in training
    struct lorac_buf
        *note; // (n) sentences: look-alikes, labels that a split lacks, texts with two labels
    size_t n, cap;
};
/* Count the labels of the open data. Without labels there are no counts, and a note where they were
 * few after all. */
LORAC_MUST_CHECK enum lorac_status lorac_labels_look(struct lorac_label_look **out,
                                                     const struct lorac_job *j,
                                                     struct lorac_err *err);
void lorac_label_look_free(struct lorac_label_look *l);
/* The share of rows that would be right if the commonest label of training were every row's answer.
 */
double lorac_label_majority(const struct lorac_label_look *l, size_t split);

LORAC_API_END

#endif
