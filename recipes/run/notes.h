/* notes.h - inside recipes/: what a user should know before the first step. */
#ifndef LORAC_RECIPES_RUN_NOTES_H
#define LORAC_RECIPES_RUN_NOTES_H

#include "recipes/run/run.h"
#include "recipes/run/setup.h"

/* What the recipe says and the run will not do, through watch->note, which is given. */
void lorac_recipe_notes(const struct lorac_job *j, struct lorac_adapter *a,
                        const struct lorac_length *length, const struct lorac_run_watch *watch);
/* That and all else. Tell it through watch->note, which is given. `shared`: validation rows that
 * are training rows, too. */
LORAC_MUST_CHECK enum lorac_status lorac_run_notes(const struct lorac_job *j,
                                                   struct lorac_adapter *a,
                                                   const struct lorac_length *length, size_t shared,
                                                   const struct lorac_run_watch *watch,
                                                   struct lorac_err *err);

#endif
