/* sweep_reading.h - what the parts of the reader of sweeps share. Internal to recipes. */
#ifndef LORAC_RECIPES_SWEEP_READING_H
#define LORAC_RECIPES_SWEEP_READING_H

#include "recipes/language/sweep_keys.h"

enum { LORAC_SWEEP_MAX_VARIED = 64 };

enum sweep_key { VERSION, RECIPE, STRATEGY, VARY, ZIP, SKIP, OBJECTIVE, GROUP_BY, DIR };

/* A choice of one value for each key. */
struct choice {
    struct lorac_variation at[LORAC_SWEEP_MAX_VARIED];
    size_t n;
};

struct sweep_reading {
    struct lorac_reading rd; // of the keys; its recipe only lends its arena, which is the sweep's
    struct lorac_recipe lender;
    struct lorac_source source;
    struct lorac_sweep *s;
    const struct lorac_node *node[LORAC_SWEEP_KEYS]; // or NULL
    const struct lorac_recipe_set *sets;
    size_t n_sets;
    struct choice *choice; // (s->n) of each trial
    size_t cap;
    bool skipped[LORAC_YAML_MAX_NODES]; // rows of skip that left out a trial
};

enum lorac_status lorac_sweep_no_memory(struct sweep_reading *x);
/* "PLACE: KEY: text", a key of the sweep. */
enum lorac_status lorac_sweep_complain(struct sweep_reading *x, const struct lorac_node *at,
                                       enum sweep_key key, const char *text);
/* x->choice (x->s->n): the choices that are trials, in their order. */
LORAC_MUST_CHECK enum lorac_status lorac_sweep_choose(struct sweep_reading *x);

#endif
