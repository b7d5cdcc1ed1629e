/* outputs.h - inside recipes/: what a head says of the rows of a dataset, and what that is worth:
 * labels, several labels a row, numbers, tags. Outputs come batch by batch, from the pass that
 * measures the loss. */
#ifndef LORAC_RECIPES_OUTPUTS_H
#define LORAC_RECIPES_OUTPUTS_H

#include "recipes/run/evaluate.h"

struct lorac_outputs;
/* For an evaluation of o->set, whose objective has a target. */
LORAC_MUST_CHECK enum lorac_status lorac_outputs_new(struct lorac_outputs **out,
                                                     const struct lorac_evaluator_options *o,
                                                     struct lorac_err *err);
size_t lorac_outputs_bytes(const struct lorac_evaluator_options *o); // that it takes
void lorac_outputs_free(struct lorac_outputs *h);
void lorac_outputs_begin(struct lorac_outputs *h); // anew
/* The rows of a batch that has run: its last n segments are these examples. */
LORAC_MUST_CHECK enum lorac_status lorac_outputs_add(struct lorac_outputs *h,
                                                     const struct lorac_batch *b,
                                                     const float *logits,      // (U,K)
                                                     const uint32_t *examples, // (n)
                                                     size_t n, struct lorac_err *err);
/* All metrics into *s, whose `rows` are set. `st`, `err`: as in ranks.h. */
LORAC_MUST_CHECK enum lorac_status lorac_outputs_measure(struct lorac_scores *s,
                                                         struct lorac_outputs *h,
                                                         enum lorac_status st,
                                                         struct lorac_err *err);

/* Is the head the checkpoint's own, or an adapter's? LORAC_EUSER: it would answer at random. */
LORAC_MUST_CHECK enum lorac_status lorac_head_check_trained(const struct lorac_model *m,
                                                            const struct lorac_socket *socket,
                                                            struct lorac_err *err);

/* ---- one text's outputs, as they are told ---- */

/* p (K) = softmax of z (K). */
void lorac_head_shares(double *p, const float *z, size_t K);
/* 1 / (1 + e^-z) */
double lorac_head_chance(float z);
/* The answer among K labels: the likeliest, the first of equal ones; of two the second where its
 * share is above `threshold`. */
size_t lorac_head_answer(const double *p, size_t K, double threshold);

#endif
