/* objective.c - the table of objectives; see objective.h. To add one is a row here. */
#include "datasets/objective.h"

#include "datasets/dataset.h"

static const struct {
    const char *name, *words;
    bool falls;
} metrics[LORAC_METRICS] = {
    [LORAC_METRIC_LOSS] = {"loss", "loss", true},
    [LORAC_METRIC_PERPLEXITY] = {"perplexity", "perplexity", true},
    [LORAC_METRIC_ACCURACY] = {"accuracy", "accuracy", false},
    [LORAC_METRIC_MACRO_F1] = {"macro_f1", "macro F1", false},
    [LORAC_METRIC_EXACT_MATCH] = {"exact_match", "exact match", false},
    [LORAC_METRIC_MICRO_F1] = {"micro_f1", "micro F1", false},
    [LORAC_METRIC_WEIGHTED_F1] = {"weighted_f1", "weighted F1", false},
    [LORAC_METRIC_MATTHEWS] = {"matthews", "Matthews", false},
    [LORAC_METRIC_AUC] = {"auc", "AUC", false},
    [LORAC_METRIC_PRECISION] = {"precision", "precision", false},
    [LORAC_METRIC_RECALL] = {"recall", "recall", false},
    [LORAC_METRIC_ENTITY_F1] = {"entity_f1", "entity F1", false},
    [LORAC_METRIC_MSE] = {"mse", "MSE", true},
    [LORAC_METRIC_PEARSON] = {"pearson", "Pearson", false},
    [LORAC_METRIC_SPEARMAN] = {"spearman", "Spearman", false},
    [LORAC_METRIC_R2] = {"r2", "R2", false},
};

const char *lorac_metric_name(size_t metric)
{
    return metric < LORAC_METRICS ? metrics[metric].name : NULL;
}

const char *lorac_metric_words(size_t metric)
{
    return metric < LORAC_METRICS ? metrics[metric].words : NULL;
}

bool lorac_metric_falls(enum lorac_metric metric)
{
    return metrics[metric].falls;
}

/* Each trained token is predicted by the row before it; the last token is only a target. */
static void next_token(struct lorac_batch *b, const struct lorac_dataset *d,
                       const struct lorac_example *e, struct lorac_prefix prefix)
{
    size_t n = e->ids.n - 1 - prefix.n;
    size_t row = b->N;
    if (prefix.n > 0) {
        lorac_batch_add(b, e->ids.at + prefix.n, n, prefix.segment);
    } else {
        lorac_dataset_place(b, d, e->ids.at, n);
    }
    for (size_t t = e->trained_from, gap = 0; t < e->ids.n; t++) {
        if (gap < e->gaps.n && t == e->gaps.at[gap]) {
            t = e->gaps.at[gap + 1] - 1;
            gap += 2;
            continue;
        }
        lorac_batch_score(b, row + t - 1 - prefix.n, e->ids.at[t]);
    }
}

/* One answer a row, of labels. */
#define OF_LABELS                                                                                  \
    (1U << LORAC_METRIC_ACCURACY | 1U << LORAC_METRIC_MACRO_F1 | 1U << LORAC_METRIC_MICRO_F1 |     \
     1U << LORAC_METRIC_WEIGHTED_F1 | 1U << LORAC_METRIC_MATTHEWS | 1U << LORAC_METRIC_PRECISION | \
     1U << LORAC_METRIC_RECALL)

const struct lorac_objective lorac_objectives[] = {
    {"causal_lm", next_token, NULL,
     1U << LORAC_METRIC_LOSS | 1U << LORAC_METRIC_PERPLEXITY | 1U << LORAC_METRIC_EXACT_MATCH |
         OF_LABELS},
};
const size_t lorac_n_objectives = sizeof lorac_objectives / sizeof *lorac_objectives;
