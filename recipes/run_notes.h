/* run_notes.h - inside recipes/: what a user should know before the first step. */
#ifndef LORAC_RECIPES_RUN_NOTES_H
#define LORAC_RECIPES_RUN_NOTES_H

#include "recipes/run.h"

/* Tell it through watch->note, which is given. `steps` of the run; `shared`: validation rows that are training rows,
 * too. */
LORAC_MUST_CHECK enum lorac_status lorac_run_notes(const struct lorac_job *j, size_t steps,
                                                   size_t shared,
                                                   const struct lorac_run_watch *watch,
                                                   struct lorac_err *err);

#endif
