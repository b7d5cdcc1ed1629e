/*
 * evaluate.h - how good is a model on a dataset?
 *
 *   loss             mean negative log-likelihood of the trained tokens, in nats
 *   perplexity       exp(loss)
 *   accuracy         share of rows whose own label is the likeliest of all labels given the prompt,
 *                    EOS included; ties count for the first label (choose.h says at which cost)
 *   macro_f1         mean of the labels' F1 = 2 TP / (2 TP + FP + FN), over the labels that occur
 *                    as truth or answer
 *   micro_f1, weighted_f1, matthews
 *                    of all labels (metrics.h)
 *   precision, recall
 *                    of two labels those of the second, of more the mean over those that occur
 *
 * Where a head answers (objective.h), its labels are compared by their logits instead:
 *
 *   classify         as above; of two labels the answer is the second where its share is above the
 *                    threshold. auc: of two labels of the second, of more the mean of each against
 *                    the others, over those that some rows have and others have not
 *   multilabel       labels above the threshold are answered. accuracy: the share of rows that have
 *                    exactly these; precision, recall, micro_f1 of all answers, macro_f1 and auc
 *                    the mean over the labels
 *   regress          mse, pearson, spearman, r2 in the table's unit
 *   tag              accuracy, F1s and matthews of words' tags; precision, recall and entity_f1 of
 *                    entities, where all tags are of such (B-, I-, O, ...)
 *   bits_per_byte    of texts: the nll of all trained tokens in bits / bytes of the text that they
 *                    spell, whatever the tokenizer; byte_perplexity = 2^that. The ends of documents
 *                    (EOS) count in it
 *   exact_match      share of rows whose greedy continuation is the completion, but for white space
 *                    around it
 */
#ifndef LORAC_RECIPES_EVALUATE_H
#define LORAC_RECIPES_EVALUATE_H

#include "base/generate.h"
#include "datasets/datasets.h"
#include "lora/lora.h"
#include "recipes/run/choose.h"
#include "recipes/run/metrics.h"
#include "recipes/run/predictions.h"
#include "recipes/run/ranks.h"

LORAC_API_BEGIN

struct lorac_scores {
    size_t rows, tokens; // examples, scored tokens
    size_t bytes;        // of the text, where the dataset is one; else 0
    double loss, perplexity;
    bool has_accuracy, has_exact_match;
    double accuracy, macro_f1, exact_match; // NaN where not measured, as all that follow
    double micro_f1, weighted_f1, matthews, auc, precision, recall, entity_f1;
    double mse, pearson, spearman, r2;
    size_t silent;         // answers of exact_match that ended at their first token
    size_t majority;       // rows of the label that most rows have: right for who always says that
    size_t majority_label; // which
    size_t compared;       // rows, or words that have tags: what accuracy and majority are of
    size_t auc_labels;     // labels that auc is the mean of
    double mean_mse;       // mse, were the training rows' mean every row's answer; NaN
    size_t unknown;        // rows whose answer is none of the labels: wrong, whatever is chosen
    size_t computed;       // rows of the model that this took, generated answers left out
    double seconds;
};
/* NaN where there are no bytes. */
double lorac_scores_bits_per_byte(const struct lorac_scores *s);
double lorac_scores_byte_perplexity(const struct lorac_scores *s);
struct lorac_scores lorac_scores_none(void); // nothing is measured: all metrics NaN
/* One metric of a recipe's enum; NaN where it was not measured. */
double lorac_scores_get(const struct lorac_scores *s, enum lorac_metric metric);
void lorac_scores_set(struct lorac_scores *s, enum lorac_metric metric, double value);
/* Is `a` better than `b` by more than `delta`? Any number is better than NaN. */
bool lorac_metric_better(enum lorac_metric metric, double a, double b, double delta);

/* Is one among the metrics (bit m: metric m) that compares labels: accuracy, an F1, ...? */
bool lorac_metrics_compare(unsigned metrics);
/* Is one that tags have of entities: entity F1, precision, recall? */
bool lorac_metrics_entities(unsigned metrics);
/* Accuracy and all others that follow from the labels' counts, of so many rows. */
void lorac_scores_labels(struct lorac_scores *s, const struct lorac_label_score *labels, // (K)
                         size_t K, size_t rows);

/* What one row that chooses among labels was answered; verdicts.h sums them up. */
struct lorac_verdict {
    size_t example; // of the dataset
    size_t truth;   // its own label; LORAC_NO_ANSWER: none of them
    size_t answer;  // the likeliest
    double nll;     // -log of the answer's likelihood, in nats: the end of the text included
    double own_nll; // of its own label; NaN, as the next two, where they were not asked for, and
                    // where it has none
    double probability, own_probability; // shares of the likelihood of all labels
};
struct lorac_verdicts; // verdicts.h

/* What is evaluated, all borrowed. */
struct lorac_evaluator_options {
    const struct lorac_model *model;
    const struct lorac_dataset *set;
    const struct lorac_socket *socket;     // NULL: the bare base
    const char *const *labels;             // (K) the answers to choose from
    size_t K;                              // 0: free text, whose labels are not compared
    unsigned metrics;                      // bit m: enum lorac_metric m
    double threshold;                      // of a head's answers
    struct lorac_verdicts *verdicts;       // gets what rows are answered where labels are compared;
                                           // NULL: nobody asks
    struct lorac_predictions *predictions; // gets what each row came to; NULL: nobody asks
    struct lorac_ranks *ranks; // each runs a part of the rows; all get the scores, and what all
                               // rows were answered. NULL: nobody shares
    size_t kept_bytes; // what leaves the layers below the lowest adapter is kept from the first
                       // evaluation to the next ones where it takes at most this; 0: it isn't, nor
                       // where labels are compared one behind the other
};
/* Passes and buffers for evaluating one dataset again and again. Where the dataset's rows go on
 * from shots, these run once an evaluation, and answers end with their separator. */
struct lorac_evaluator;
LORAC_MUST_CHECK enum lorac_status lorac_evaluator_new(struct lorac_evaluator **out,
                                                       const struct lorac_evaluator_options *o,
                                                       struct lorac_err *err);
/* Bytes that such an evaluator takes, what it keeps left out; that this takes (0: nothing is), and
 * its generator from the first answer on (samples, exact_match); the rows that one evaluation runs,
 * and of these the ones that score, answers left out. */
struct lorac_evaluation_size {
    size_t bytes, kept_bytes, generator_bytes;
    size_t rows, scored;
};
LORAC_MUST_CHECK enum lorac_status lorac_evaluator_measure(struct lorac_evaluation_size *out,
                                                           const struct lorac_evaluator_options *o,
                                                           struct lorac_err *err);
void lorac_evaluator_free(struct lorac_evaluator *e);
size_t lorac_evaluator_kept(const struct lorac_evaluator *e); // kept_bytes, of what it keeps

/* Called now and then with the share done (0..1); return false to stop (LORAC_ESTOP). */
typedef bool lorac_progress_fn(void *self, double done);

LORAC_MUST_CHECK enum lorac_status lorac_evaluate(struct lorac_scores *out,
                                                  struct lorac_evaluator *e,
                                                  lorac_progress_fn *progress, void *self,
                                                  struct lorac_err *err);

/* The greedy answer to example i: prompt, wanted and given text appended to empty buffers, with
 * their special tokens. */
LORAC_MUST_CHECK enum lorac_status lorac_evaluator_sample(struct lorac_buf *prompt,
                                                          struct lorac_buf *want,
                                                          struct lorac_buf *got,
                                                          struct lorac_evaluator *e, size_t i,
                                                          struct lorac_err *err);

LORAC_API_END

#endif
