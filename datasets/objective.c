/* objective.c - the table of objectives; see objective.h. To add one is a row here. */
#include "datasets/objective.h"

#include "datasets/dataset.h"

const char *lorac_metric_name(size_t metric)
{
    static const char *const names[] = {
        [LORAC_METRIC_LOSS] = "loss",
        [LORAC_METRIC_PERPLEXITY] = "perplexity",
        [LORAC_METRIC_ACCURACY] = "accuracy",
        [LORAC_METRIC_MACRO_F1] = "macro_f1",
        [LORAC_METRIC_EXACT_MATCH] = "exact_match",
    };
    return metric < sizeof names / sizeof *names ? names[metric] : NULL;
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

const struct lorac_objective lorac_objectives[] = {
    {"causal_lm", next_token, NULL,
     1U << LORAC_METRIC_LOSS | 1U << LORAC_METRIC_PERPLEXITY | 1U << LORAC_METRIC_ACCURACY |
         1U << LORAC_METRIC_MACRO_F1 | 1U << LORAC_METRIC_EXACT_MATCH},
};
const size_t lorac_n_objectives = sizeof lorac_objectives / sizeof *lorac_objectives;
