/*
 * sweep.h - a sweep: a recipe and what to try of it, read from a YAML file of its own into trials.
 *
 *   sweep: 1
 *   recipe: intent.yaml
 *   vary: {adapter.rank: [4, 16], optimizer.lr: [5e-4, 1e-3], seed: [1, 2, 3]}
 *   skip: [{adapter.rank: 16, optimizer.lr: 1e-3}]
 *
 * Its table of keys (sweep_keys.c) has rows like those of recipes, and reading is as strict: all
 * errors at once, each with its place. A value of a trial is read by its key's type, at its place
 * in the sweep's file. A trial is a whole recipe; which trials there are follows from the file
 * alone, their order, too.
 */
#ifndef LORAC_RECIPES_SWEEP_FILE_H
#define LORAC_RECIPES_SWEEP_FILE_H

#include "recipes/language/recipe.h"

LORAC_API_BEGIN

enum { LORAC_SWEEP_MAX_TRIALS = 999 };

enum lorac_sweep_kind { LORAC_SWEEP_GRID, LORAC_SWEEP_RANDOM, LORAC_SWEEP_HALVING };
struct lorac_sweep_strategy {
    enum lorac_sweep_kind kind;
    size_t trials;                      // RANDOM, HALVING: how many are drawn
    double keep;                        // HALVING: the share that goes on, in (0,1),
    struct lorac_recipe_interval every; // after each of these
};
struct lorac_sweep_objective {
    unsigned metric; // 0: what chooses a trial's best/; otherwise enum lorac_metric + 1
    enum { LORAC_SWEEP_MODE_AUTO, LORAC_SWEEP_MODE_MAX, LORAC_SWEEP_MODE_MIN } mode;
};

struct lorac_sweep_trial {
    char name[32];                    // "003-1a2b3c4d": its number, and a hash of what it says
    struct lorac_recipe *recipe;      // owned; output.dir is the sweep's and the trial's name
    struct lorac_recipe_map settings; // what the sweep gives it: key and value, as YAML on a line
};

struct lorac_sweep {
    size_t version;
    char *recipe, *dir; // absolute
    struct lorac_sweep_strategy strategy;
    struct lorac_sweep_objective objective;
    struct lorac_recipe_list group_by;      // keys
    const char *strategy_at, *objective_at; // "sweep.yaml:4:11", for errors; of none the file
    struct lorac_sweep_trial *trial;        // (n)
    size_t n;
    struct lorac_arena *arena; // owns all of the above
};

/* Read the sweep at `path`; `sets` change its recipe, below what the sweep varies. What is wrong is
 * told as lorac_recipe_open() tells it. */
LORAC_MUST_CHECK enum lorac_status lorac_sweep_open(struct lorac_sweep **out, const char *path,
                                                    const struct lorac_recipe_set *sets,
                                                    size_t n_sets,
                                                    struct lorac_recipe_errors *errors,
                                                    struct lorac_err *err);
void lorac_sweep_free(struct lorac_sweep *s); // NULL is accepted

/* Append a JSON Schema of such a file. lorac_recipe_explain() knows its keys as "sweep.vary". */
void lorac_sweep_schema_json(struct lorac_buf *buf);

LORAC_API_END

#endif
