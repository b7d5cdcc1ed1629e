/* sweep_keys.h - the table of a sweep's keys. Internal to recipes. */
#ifndef LORAC_RECIPES_SWEEP_KEYS_H
#define LORAC_RECIPES_SWEEP_KEYS_H

#include "recipes/language/sweep.h"
#include "recipes/language/types.h"

enum { LORAC_SWEEP_KEYS = 9 };
extern const struct lorac_key lorac_sweep_keys[LORAC_SWEEP_KEYS]; // offsets in struct lorac_sweep

/* The key of a recipe that a child of vary, or of a row of zip or skip, names. What cannot be
 * varied goes to the errors, and *out is NULL. */
LORAC_MUST_CHECK enum lorac_status lorac_sweep_key(const struct lorac_key **out,
                                                   const struct lorac_value *v,
                                                   const struct lorac_node *node);
/* A range among the values of a key: {from, to, log}. */
struct lorac_sweep_range {
    double from, to;
    bool log, whole; // drawn by its logarithm; whole numbers, both ends included
};
LORAC_MUST_CHECK enum lorac_status lorac_sweep_range_read(struct lorac_sweep_range *out,
                                                          const struct lorac_value *v,
                                                          const struct lorac_node *node);

#endif
