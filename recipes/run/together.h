/*
 * together.h - inside recipes/: what the ranks of one training have in common. Each has all
 * parameters and moments, and makes every optimiser step, from the gradients of all:
 *
 *   rank 0   its micro-batches -> gradient --+-- sum --> the same step
 *   rank 1   its micro-batches -> gradient --+
 *
 * Where the processors differ, so do the last bits of that step: rank 0's parameters then count.
 * NULL: nobody shares, and nothing is done.
 */
#ifndef LORAC_RECIPES_RUN_TOGETHER_H
#define LORAC_RECIPES_RUN_TOGETHER_H

#include "recipes/run/ranks.h"
#include "recipes/run/state.h"

/* What a step adds up. */
enum lorac_sum {
    LORAC_SUM_LOSS, // of the trained tokens, each times its weight
    LORAC_SUM_WEIGHT,
    LORAC_SUM_TOKENS,     // rows run
    LORAC_SUM_TRAINED,    // tokens trained
    LORAC_SUM_NOT_FINITE, // micro-batches whose loss is not
    LORAC_SUMS
};

struct lorac_together;
LORAC_MUST_CHECK enum lorac_status lorac_together_new(struct lorac_together **out,
                                                      struct lorac_adapter *a,
                                                      struct lorac_ranks *ranks,
                                                      struct lorac_err *err);
void lorac_together_free(struct lorac_together *s);
/* Micro-batch i of the n of a step: whole turns of all ranks run one each, of what is left each
 * runs a part. *parts is 0 where it is another's. */
void lorac_together_part(size_t *part, size_t *parts, const struct lorac_together *s, size_t i,
                         size_t n);
/* The sums and the adapter's gradients become those of all ranks; the sums even where one has
 * failed. */
LORAC_MUST_CHECK enum lorac_status lorac_together_sum(double sums[LORAC_SUMS],
                                                      struct lorac_together *s,
                                                      enum lorac_status st, struct lorac_err *err);
/* After the step: one set of parameters. */
LORAC_MUST_CHECK enum lorac_status lorac_together_stepped(struct lorac_together *s,
                                                          enum lorac_status st,
                                                          struct lorac_err *err);
/* All that goes on from a state becomes rank 0's. */
LORAC_MUST_CHECK enum lorac_status lorac_together_state(struct lorac_state *state,
                                                        struct lorac_optim *o,
                                                        struct lorac_together *s,
                                                        enum lorac_status st,
                                                        struct lorac_err *err);

#endif
