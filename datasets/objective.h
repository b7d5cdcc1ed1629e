/*
 * objective.h - what is learnt: how examples become rows of a batch, what each scored token weighs,
 * and what can be measured of it. The loss of an optimiser step is
 *
 *   sum_t weight[t] nll[t]  /  sum_t weight[t]       t over the scored tokens of all micro-batches
 *
 * one division for the whole step: how its rows are packed and cut changes nothing.
 *
 * An objective is a row of the table in objective.c; a program's own may stand in the options of a
 * loader.
 */
#ifndef LORAC_DATASETS_OBJECTIVE_H
#define LORAC_DATASETS_OBJECTIVE_H

#include "base/batch.h"

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

struct lorac_dataset;
struct lorac_example;
/* The first n tokens of an example, which stand in the batch already as this segment; 0: none do.
 * None of them, nor the one behind them, is trained. */
struct lorac_prefix {
    size_t n;
    int32_t segment;
};

struct lorac_objective {
    const char *name; // as a recipe writes it
    /* Append example e of d, whose n tokens take n - 1 rows, to the batch, behind its prefix, and
     * score its tokens. There is room. */
    void (*place)(struct lorac_batch *b, const struct lorac_dataset *d,
                  const struct lorac_example *e, struct lorac_prefix prefix);
    /* What scored token t (from 0) of the n of example i of d weighs; NULL: 1. */
    float (*weigh)(const struct lorac_dataset *d, size_t i, size_t t, size_t n);
    unsigned metrics; // that it has: bit m, enum lorac_metric m
};
extern const struct lorac_objective
    lorac_objectives[]; // (lorac_n_objectives) the first: the default
extern const size_t lorac_n_objectives;

LORAC_API_END

#endif
