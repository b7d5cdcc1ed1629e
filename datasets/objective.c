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

/* The rows of the example's first n tokens, behind its prefix. Returns that of token 0, which
 * stands `prefix.n` rows before its own where it is in the prefix. */
static size_t add_rows(struct lorac_batch *b, const struct lorac_example *e, size_t n,
                       const struct lorac_placing *how)
{
    const struct lorac_prefix *prefix = &how->prefix;
    size_t row = b->N;
    if (prefix->n > 0) {
        lorac_batch_add(b, e->ids.at + prefix->n, n - prefix->n, prefix->segment);
    } else {
        lorac_dataset_place(b, how->set, e->ids.at, n);
    }
    for (size_t t = prefix->n; t < n && e->types.n; t++) {
        b->type[row + t - prefix->n] = e->types.at[t];
    }
    return row;
}

/* Each trained token is predicted by the row before it; the last token is only a target. */
static void next_token(struct lorac_batch *b, const struct lorac_example *e,
                       const struct lorac_placing *how)
{
    size_t row = add_rows(b, e, e->ids.n - 1, how);
    for (size_t t = e->trained_from, gap = 0; t < e->ids.n; t++) {
        if (gap < e->gaps.n && t == e->gaps.at[gap]) {
            t = e->gaps.at[gap + 1] - 1;
            gap += 2;
            continue;
        }
        lorac_batch_score(b, row + t - 1 - how->prefix.n, e->ids.at[t]);
    }
}

/* Each token that is hidden is predicted at its own row. */
static void hidden_tokens(struct lorac_batch *b, const struct lorac_example *e,
                          const struct lorac_placing *how)
{
    size_t row = add_rows(b, e, e->ids.n, how);
    for (size_t t = 0; t < e->ids.n; t++) {
        if (e->labels.at[t] == LORAC_NO_LABEL) { continue; }
        lorac_batch_score(b, row + t, e->labels.at[t]);
    }
}

/* The rows of a text; which of them its head reads. */
static size_t add_text(struct lorac_batch *b, const struct lorac_example *e,
                       const struct lorac_placing *how)
{
    const struct lorac_target_frame *f = how->set->frame;
    size_t row = add_rows(b, e, e->ids.n, how);
    return row + lorac_text_row_of(f->row, f->pad, e->ids.at, e->ids.n) - how->prefix.n;
}

/* Score label k at the row. With smoothing every label is a target; the row counts what label k
 * weighs without. */
static void score_label(struct lorac_batch *b, size_t row, size_t k,
                        const struct lorac_placing *how)
{
    double weight = how->label_weight ? (double)how->label_weight[k] : 1.0;
    double share = how->label_smoothing / (double)how->set->K;
    if (how->label_smoothing == 0.0) {
        lorac_batch_score(b, row, (int32_t)k);
        b->weight[b->T - 1] = (float)weight;
        return;
    }
    double sum = 0.0;
    for (size_t j = 0; j < how->set->K; j++) {
        double part = share * (how->label_weight ? (double)how->label_weight[j] : 1.0);
        if (j == k) { part += (1.0 - how->label_smoothing) * weight; }
        lorac_batch_score(b, row, (int32_t)j);
        b->weight[b->T - 1] = (float)part;
        sum += part;
    }
    if (how->label_weight) { b->surplus += sum - weight; }
}

static void one_label(struct lorac_batch *b, const struct lorac_example *e,
                      const struct lorac_placing *how)
{
    score_label(b, add_text(b, e, how), (size_t)e->labels.at[0], how);
}

/* Each label is a question of its own: is it one of the row's? */
static void any_labels(struct lorac_batch *b, const struct lorac_example *e,
                       const struct lorac_placing *how)
{
    size_t row = add_text(b, e, how);
    b->loss = LORAC_LOSS_BINARY;
    for (size_t k = 0, next = 0; k < how->set->K; k++) {
        bool has = next < e->labels.n && (size_t)e->labels.at[next] == k; // they ascend
        lorac_batch_score(b, row, (int32_t)k);
        b->value[b->T - 1] = has ? 1.0F : 0.0F;
        if (has && how->label_weight) {
            b->weight[b->T - 1] = how->label_weight[k];
            b->surplus += (double)how->label_weight[k] - 1.0;
        }
        next += has;
    }
}

/* In deviations from the mean, so that one learning rate fits all tables. */
static void number(struct lorac_batch *b, const struct lorac_example *e,
                   const struct lorac_placing *how)
{
    const struct lorac_target_frame *f = how->set->frame;
    size_t row = add_text(b, e, how);
    b->loss = LORAC_LOSS_SQUARED;
    lorac_batch_score(b, row, 0);
    b->value[b->T - 1] = (float)((e->number - f->mean) / f->deviation);
}

static void tags(struct lorac_batch *b, const struct lorac_example *e,
                 const struct lorac_placing *how)
{
    size_t row = add_rows(b, e, e->ids.n, how);
    for (size_t t = 0; t < e->ids.n; t++) {
        if (e->labels.at[t] == LORAC_NO_LABEL) { continue; }
        score_label(b, row + t - how->prefix.n, (size_t)e->labels.at[t], how);
    }
}

#define METRIC(m) (1U << LORAC_METRIC_##m)
/* One answer a row, of labels. */
#define OF_LABELS                                                                   \
    (METRIC(ACCURACY) | METRIC(MACRO_F1) | METRIC(MICRO_F1) | METRIC(WEIGHTED_F1) | \
     METRIC(MATTHEWS) | METRIC(PRECISION) | METRIC(RECALL))

#define OF_NUMBERS (METRIC(LOSS) | METRIC(MSE) | METRIC(PEARSON) | METRIC(SPEARMAN) | METRIC(R2))

const struct lorac_objective lorac_objectives[] = {
    {.name = "causal_lm",
     .place = next_token,
     .metrics = METRIC(LOSS) | METRIC(PERPLEXITY) | METRIC(EXACT_MATCH) | OF_LABELS,
     .usual = METRIC(LOSS) | METRIC(PERPLEXITY) | METRIC(ACCURACY) | METRIC(MACRO_F1),
     .ahead = 1},
    {.name = "masked_lm",
     .place = hidden_tokens,
     .metrics = METRIC(LOSS) | METRIC(PERPLEXITY),
     .usual = METRIC(LOSS) | METRIC(PERPLEXITY),
     .masks = true},
    {.name = "classify",
     .place = one_label,
     .metrics = METRIC(LOSS) | OF_LABELS | METRIC(AUC),
     .usual = METRIC(LOSS) | METRIC(ACCURACY) | METRIC(MACRO_F1),
     .task = LORAC_TASK_CLASSIFY,
     .target = LORAC_TARGET_LABEL,
     .problem = "single_label_classification"},
    {.name = "multilabel",
     .place = any_labels,
     .metrics = METRIC(LOSS) | METRIC(AUC) | (OF_LABELS & ~METRIC(MATTHEWS)),
     .usual = METRIC(LOSS) | METRIC(MICRO_F1) | METRIC(MACRO_F1),
     .task = LORAC_TASK_CLASSIFY,
     .target = LORAC_TARGET_LABELS,
     .problem = "multi_label_classification"},
    {.name = "regress",
     .place = number,
     .metrics = OF_NUMBERS,
     .usual = OF_NUMBERS,
     .task = LORAC_TASK_CLASSIFY,
     .target = LORAC_TARGET_NUMBER,
     .problem = "regression"},
    {.name = "tag",
     .place = tags,
     .metrics = METRIC(LOSS) | METRIC(ENTITY_F1) | (OF_LABELS & ~METRIC(MICRO_F1)),
     .usual = METRIC(LOSS) | METRIC(ACCURACY) | METRIC(ENTITY_F1),
     .task = LORAC_TASK_TAG,
     .target = LORAC_TARGET_TAGS},
};
const size_t lorac_n_objectives = sizeof lorac_objectives / sizeof *lorac_objectives;
