/* losses.h - inside recipes/: the loss of a dataset's rows, in batches of its loader, and with it
 * what a head says of them. */
#ifndef LORAC_RECIPES_LOSSES_H
#define LORAC_RECIPES_LOSSES_H

#include "recipes/run/evaluate.h"

struct lorac_losses;
/* The socket is borrowed, too. */
LORAC_MUST_CHECK enum lorac_status lorac_losses_new(struct lorac_losses **out,
                                                    const struct lorac_evaluator_options *o,
                                                    struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_losses_measure(size_t *bytes,
                                                        const struct lorac_evaluator_options *o,
                                                        struct lorac_err *err);
void lorac_losses_free(struct lorac_losses *l);
/* What it measures goes into *s, whose `rows` are set. `goes_on` (or NULL): LORAC_ESTOP. */
LORAC_MUST_CHECK enum lorac_status lorac_losses_run(struct lorac_scores *s, struct lorac_losses *l,
                                                    lorac_goes_on_fn *goes_on, void *self,
                                                    struct lorac_err *err);

/* Tokens that stand in front of every row. */
size_t lorac_shot_tokens(const struct lorac_dataset *set);

#endif
