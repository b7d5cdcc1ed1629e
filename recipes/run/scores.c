/* scores.c - what an evaluation measured, by metric; see evaluate.h. */
#include "recipes/run/evaluate.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const size_t metric_at[LORAC_METRICS] = {
    [LORAC_METRIC_LOSS] = offsetof(struct lorac_scores, loss),
    [LORAC_METRIC_PERPLEXITY] = offsetof(struct lorac_scores, perplexity),
    [LORAC_METRIC_ACCURACY] = offsetof(struct lorac_scores, accuracy),
    [LORAC_METRIC_MACRO_F1] = offsetof(struct lorac_scores, macro_f1),
    [LORAC_METRIC_EXACT_MATCH] = offsetof(struct lorac_scores, exact_match),
    [LORAC_METRIC_MICRO_F1] = offsetof(struct lorac_scores, micro_f1),
    [LORAC_METRIC_WEIGHTED_F1] = offsetof(struct lorac_scores, weighted_f1),
    [LORAC_METRIC_MATTHEWS] = offsetof(struct lorac_scores, matthews),
    [LORAC_METRIC_AUC] = offsetof(struct lorac_scores, auc),
    [LORAC_METRIC_PRECISION] = offsetof(struct lorac_scores, precision),
    [LORAC_METRIC_RECALL] = offsetof(struct lorac_scores, recall),
    [LORAC_METRIC_ENTITY_F1] = offsetof(struct lorac_scores, entity_f1),
    [LORAC_METRIC_MSE] = offsetof(struct lorac_scores, mse),
    [LORAC_METRIC_PEARSON] = offsetof(struct lorac_scores, pearson),
    [LORAC_METRIC_SPEARMAN] = offsetof(struct lorac_scores, spearman),
    [LORAC_METRIC_R2] = offsetof(struct lorac_scores, r2),
};

double lorac_scores_get(const struct lorac_scores *s, enum lorac_metric metric)
{
    double value = 0.0;
    memcpy(&value, (const char *)s + metric_at[metric], sizeof value);
    return value;
}

void lorac_scores_set(struct lorac_scores *s, enum lorac_metric metric, double value)
{
    memcpy((char *)s + metric_at[metric], &value, sizeof value);
}

struct lorac_scores lorac_scores_none(void)
{
    struct lorac_scores s = {.mean_mse = (double)NAN};
    for (int m = 0; m < LORAC_METRICS; m++) {
        lorac_scores_set(&s, (enum lorac_metric)m, (double)NAN);
    }
    return s;
}

void lorac_scores_labels(struct lorac_scores *s, const struct lorac_label_score *labels, size_t K,
                         size_t rows)
{
    struct lorac_label_means m = lorac_label_means(labels, K, rows);
    s->has_accuracy = true;
    s->compared = rows;
    s->accuracy = rows ? (double)m.right / (double)rows : 0.0;
    s->macro_f1 = m.macro_f1;
    s->micro_f1 = m.micro_f1;
    s->weighted_f1 = m.weighted_f1;
    s->matthews = m.matthews;
    s->precision = K == 2 ? labels[1].precision : m.macro_precision;
    s->recall = K == 2 ? labels[1].recall : m.macro_recall;
    for (size_t k = 0; k < K; k++) {
        if (labels[k].support <= s->majority) { continue; }
        s->majority = labels[k].support;
        s->majority_label = k;
    }
}

double lorac_scores_bits_per_byte(const struct lorac_scores *s)
{
    return s->bytes ? s->loss * (double)s->tokens / log(2.0) / (double)s->bytes : (double)NAN;
}

double lorac_scores_byte_perplexity(const struct lorac_scores *s)
{
    return s->bytes ? exp(s->loss * (double)s->tokens / (double)s->bytes) : (double)NAN;
}

bool lorac_metric_better(enum lorac_metric metric, double a, double b, double delta)
{
    if (isnan(a) || isnan(b)) { return !isnan(a); }
    return lorac_metric_falls(metric) ? a < b - delta : a > b + delta;
}

bool lorac_metrics_compare(unsigned metrics)
{
    return (metrics & (1U << LORAC_METRIC_ACCURACY | 1U << LORAC_METRIC_MACRO_F1 |
                       1U << LORAC_METRIC_MICRO_F1 | 1U << LORAC_METRIC_WEIGHTED_F1 |
                       1U << LORAC_METRIC_MATTHEWS | 1U << LORAC_METRIC_PRECISION |
                       1U << LORAC_METRIC_RECALL)) != 0;
}

bool lorac_metrics_entities(unsigned metrics)
{
    return (metrics & (1U << LORAC_METRIC_ENTITY_F1 | 1U << LORAC_METRIC_PRECISION |
                       1U << LORAC_METRIC_RECALL)) != 0;
}
