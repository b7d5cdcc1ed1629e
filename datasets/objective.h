/*
 * objective.h - what is learnt: how examples become rows of a batch, what each scored token weighs,
 * and what can be measured of it. The loss of an optimiser step is
 *
 *   sum_t weight[t] loss[t]  /  (sum_t weight[t] - surplus)      t over all micro-batches' targets
 *
 * one division for the whole step: how its rows are packed and cut changes nothing. The surplus is
 * 0 but where labels weigh, and makes the mean torch's there: CrossEntropyLoss(weight,
 * label_smoothing) divides by the weights of the rows' own labels, BCEWithLogitsLoss(pos_weight) by
 * rows times labels.
 *
 * A target is a token that follows a row, one that is hidden from it, or what a head should give at
 * it: causal_lm writes texts; masked_lm says which tokens stand where some are hidden, other ones
 * each time that an example is read; the others put a head in the place of the vocabulary, which
 * gives a text's label (classify), its labels (multilabel) or a number (regress), or a label for
 * each word (tag).
 *
 * An objective is a row of the table in objective.c; a program's own may stand in the options of a
 * loader.
 */
#ifndef LORAC_DATASETS_OBJECTIVE_H
#define LORAC_DATASETS_OBJECTIVE_H

#include "base/batch.h"
#include "base/config.h"

LORAC_API_BEGIN

/* What is measured of a model on a dataset; recipes/run/evaluate.h has the definitions. */
enum lorac_metric {
    LORAC_METRIC_LOSS,
    LORAC_METRIC_PERPLEXITY,
    LORAC_METRIC_ACCURACY,
    LORAC_METRIC_MACRO_F1,
    LORAC_METRIC_EXACT_MATCH,
    LORAC_METRIC_MICRO_F1,
    LORAC_METRIC_WEIGHTED_F1,
    LORAC_METRIC_MATTHEWS,
    LORAC_METRIC_AUC,
    LORAC_METRIC_PRECISION,
    LORAC_METRIC_RECALL,
    LORAC_METRIC_ENTITY_F1,
    LORAC_METRIC_MSE,
    LORAC_METRIC_PEARSON,
    LORAC_METRIC_SPEARMAN,
    LORAC_METRIC_R2,
    LORAC_METRICS
};
const char *lorac_metric_name(size_t metric);      // "macro_f1"; NULL after the last
const char *lorac_metric_words(size_t metric);     // "macro F1"
bool lorac_metric_falls(enum lorac_metric metric); // less is better

/* What the target's column holds. */
enum lorac_target {
    LORAC_TARGET_NONE,   // there is none: what is learnt stands in the texts
    LORAC_TARGET_LABEL,  // one label
    LORAC_TARGET_LABELS, // any number of them
    LORAC_TARGET_NUMBER,
    LORAC_TARGET_TAGS, // a label for each word of the text
};

struct lorac_dataset;
struct lorac_example;
/* The first n tokens of an example, which stand in the batch already as this segment; 0: none do.
 * None of them, nor the one behind them, is trained. */
struct lorac_prefix {
    size_t n;
    int32_t segment;
};
/* How an example is placed. */
struct lorac_placing {
    const struct lorac_dataset *set; // that it is of
    struct lorac_prefix prefix;
    const float *label_weight; // (K) what a target that is this label weighs; NULL: 1
    double label_smoothing;    // share of a label's weight that goes to all K alike
};

struct lorac_objective {
    const char *name; // as a recipe writes it
    /* Append example e to the batch, behind its prefix, and score its targets. There is room. */
    void (*place)(struct lorac_batch *b, const struct lorac_example *e,
                  const struct lorac_placing *how);
    /* What scored token t (from 0) of the n of example i of d weighs; NULL: as it was placed. */
    float (*weigh)(const struct lorac_dataset *d, size_t i, size_t t, size_t n);
    unsigned metrics;         // that it has: bit m, enum lorac_metric m,
    unsigned usual;           // and those of them that are measured where nobody says which
    enum lorac_task task;     // the head that it takes
    enum lorac_target target; // of its datasets
    const char *problem;      // transformers' problem_type; NULL: it has none for it
    bool masks;               // tokens of an example are hidden whenever it is read, each time anew
    size_t ahead;             // tokens at an example's end that are targets alone, and no rows
};
extern const struct lorac_objective
    lorac_objectives[]; // (lorac_n_objectives) the first: the default
extern const size_t lorac_n_objectives;

LORAC_API_END

#endif
