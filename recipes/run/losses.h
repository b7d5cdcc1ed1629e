/*
 * losses.h - inside recipes/: the loss of a dataset's rows, in batches of its loader, and with it
 * what a head says of them.
 *
 * Each evaluation reads the same batches in the same order. Where layers are frozen and there is
 * room (kept_bytes), what leaves them is kept, batch behind batch, as the first evaluation goes by;
 * the next ones run the other layers alone. Scores are the same bit by bit; where all layers are
 * frozen but for rounding, as the last one then runs for rows that don't score, too. Each rank
 * keeps its own batches.
 */
#ifndef LORAC_RECIPES_LOSSES_H
#define LORAC_RECIPES_LOSSES_H

#include "recipes/run/evaluate.h"

struct lorac_losses;
/* The socket is borrowed, too. */
LORAC_MUST_CHECK enum lorac_status lorac_losses_new(struct lorac_losses **out,
                                                    const struct lorac_evaluator_options *o,
                                                    struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_losses_measure(size_t *bytes, size_t *kept_bytes,
                                                        const struct lorac_evaluator_options *o,
                                                        struct lorac_err *err);
void lorac_losses_free(struct lorac_losses *l);
size_t lorac_losses_kept(const struct lorac_losses *l); // bytes
/* What it measures goes into *s, whose `rows` are set. `goes_on` (or NULL): LORAC_ESTOP. */
LORAC_MUST_CHECK enum lorac_status lorac_losses_run(struct lorac_scores *s, struct lorac_losses *l,
                                                    lorac_goes_on_fn *goes_on, void *self,
                                                    struct lorac_err *err);

/* Tokens that stand in front of every row. */
size_t lorac_shot_tokens(const struct lorac_dataset *set);

#endif
