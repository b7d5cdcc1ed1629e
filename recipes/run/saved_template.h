/* saved_template.h - the prompt template as it is saved with an adapter, and as it must be used
 * with it. */
#ifndef LORAC_RECIPES_SAVED_TEMPLATE_H
#define LORAC_RECIPES_SAVED_TEMPLATE_H

#include "recipes/run/job.h"

LORAC_API_BEGIN

/* Give the adapter the recipe's template and labels, as one line of JSON. */
LORAC_MUST_CHECK enum lorac_status lorac_template_save(struct lorac_adapter *a,
                                                       const struct lorac_job *j,
                                                       struct lorac_err *err);
/* LORAC_EUSER where the adapter was trained with another template or other labels than the
 * recipe's: which part, and both. An adapter that came without one (another program's) fits any. */
LORAC_MUST_CHECK enum lorac_status lorac_template_check(const struct lorac_adapter *a,
                                                        const struct lorac_job *j,
                                                        struct lorac_err *err);
/* Before a training that goes on from it (adapter.from): the outputs of its head are for the same
 * labels, and numbers stay in its own mean and deviation. */
LORAC_MUST_CHECK enum lorac_status lorac_template_from(struct lorac_job *j,
                                                       const struct lorac_adapter *a,
                                                       struct lorac_err *err);
/* LORAC_EUSER where it was trained with a tokenizer that splits texts otherwise. Part of the above.
 */
LORAC_MUST_CHECK enum lorac_status lorac_template_check_tokenizer(const struct lorac_adapter *a,
                                                                  const struct lorac_tokenizer *t,
                                                                  struct lorac_err *err);

LORAC_API_END

#endif
