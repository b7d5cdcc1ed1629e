/* classify.h - inside recipes/: loss, accuracy and macro F1 of a dataset whose rows answer with one
 * of K labels, in one way through the model: a row's own answer runs with its prompt, and the
 * labels that are likelier so far branch off it; see choose.h. */
#ifndef LORAC_RECIPES_CLASSIFY_H
#define LORAC_RECIPES_CLASSIFY_H

#include "recipes/run/choose.h"
#include "recipes/run/evaluate.h"

struct lorac_classifier;
/* Fewer than two labels are LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_classifier_new(struct lorac_classifier **out,
                                                        const struct lorac_evaluator_options *o,
                                                        struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_classifier_measure(size_t *bytes,
                                                            const struct lorac_evaluator_options *o,
                                                            struct lorac_err *err);
void lorac_classifier_free(struct lorac_classifier *c);
/* What it measures goes into *s, whose `rows` are set. `goes_on` (or NULL): LORAC_ESTOP. */
LORAC_MUST_CHECK enum lorac_status lorac_classify(struct lorac_scores *s,
                                                  struct lorac_classifier *c,
                                                  lorac_goes_on_fn *goes_on, void *self,
                                                  struct lorac_err *err);

#endif
