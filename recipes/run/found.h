/*
 * found.h - a run that is there already, for who wants its result and not another run.
 */
#ifndef LORAC_RECIPES_FOUND_H
#define LORAC_RECIPES_FOUND_H

#include "recipes/run/run.h"

LORAC_API_BEGIN

enum lorac_found_state {
    LORAC_FOUND_NONE,       // output.dir holds no run
    LORAC_FOUND_UNFINISHED, // it was stopped, has failed, or still goes on
    LORAC_FOUND_FINISHED,
};
struct lorac_found {
    enum lorac_found_state state;
    char *adapter;        // the folder best/, or last/ where only that was kept; NULL: none saved
    size_t adapter_bytes; // of its weights
    double seconds;       // of all steps and evaluations; NaN where the run wrote no metrics.csv
};
/* Look into the recipe's output.dir. A run of another recipe, base or table than the job's is
 * LORAC_EUSER naming what differs: its result would not be this recipe's. The job's training data
 * and model are open. */
LORAC_MUST_CHECK enum lorac_status lorac_found_look(struct lorac_found *out,
                                                    const struct lorac_job *j,
                                                    struct lorac_err *err);
/* The adapter that the run in `dir` with this recipe kept, to be freed with lorac_mem_free():
 * best/, or last/ where nothing is evaluated or best/ not kept; NULL where none is saved yet. One
 * that should be there and is not is LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_found_adapter(char **out, const char *dir,
                                                       const struct lorac_recipe *r,
                                                       struct lorac_err *err);
void lorac_found_release(struct lorac_found *f); // zeroed is accepted

LORAC_API_END

#endif
