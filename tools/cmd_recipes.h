/* cmd_recipes.h - reading recipes for the verbs that take one. */
#ifndef LORAC_TOOLS_CMD_RECIPES_H
#define LORAC_TOOLS_CMD_RECIPES_H

#include "tools/verbs.h"
#include <stdio.h>

#define RECIPE_OPTIONS                                                 \
    {"--set", "KEY=VALUE", "change a key of the recipe", false, true}, \
    {                                                                  \
        "--unset", "KEY", "put a key back to its default", false, true \
    }

/* Read `path` with the --set and --unset options applied; all that is wrong with it goes to stderr.
 */
enum lorac_status recipe_open(struct lorac_recipe **out, const char *path, const struct args *a,
                              struct lorac_err *err);

/* Those options, in the order given; how many. */
size_t recipe_sets(struct lorac_recipe_set sets[MAX_GIVEN], const struct args *a);
/* All errors but the last to stderr; that becomes *err, which the caller shows. */
void recipe_errors(const struct lorac_recipe_errors *errors, enum lorac_status st,
                   struct lorac_err *err);

/* The same with more settings (n_more, at most MAX_MORE) behind those of the options. */
enum { MAX_MORE = 4 };
enum lorac_status recipe_open_with(struct lorac_recipe **out, const char *path,
                                   const struct args *a, const char *const *more, size_t n_more,
                                   struct lorac_err *err);

/* The resolved recipe of a run's folder; LORAC_EUSER: it is none. */
enum lorac_status recipe_of_run(char path[LORAC_PATH], const char *dir, struct lorac_err *err);
/* A recipe, or the folder of a run: then its resolved recipe, and `adapter` names best/ or last/ in
 * it. */
enum lorac_status recipe_or_run(struct lorac_recipe **out, char **adapter, const char *path,
                                const struct args *a, struct lorac_err *err);

/* Of the first word: a recipe, or the folder of a run: its own then, with that folder as
 * output.dir, wherever it has moved. */
enum lorac_status recipe_to_run(struct lorac_recipe **out, const struct args *a,
                                struct lorac_err *err);

/* Where the time of the steps went, as a table and as an array of JSON (profile.c). */
typedef void profile_writer(struct lorac_buf *out, const struct lorac_profile *f);
profile_writer profile_text, profile_json;
struct profile_seen {
    profile_writer *write; // NULL: nobody asks
    struct lorac_buf text; // written; the caller's (lorac_buf_free)
};

/* Run `r`, which was read from `path`, with all that is worth seeing on stderr. `again`: the
 * command that goes on with a run that was stopped. `profile` may be NULL. */
enum lorac_status train_seen(struct lorac_run_result *result, const struct lorac_recipe *r,
                             const char *path, const char *again, enum lorac_run_mode mode,
                             struct profile_seen *profile, struct lorac_err *err);

/* Lines on the rows that were skipped, cut, kept or doubled, with the places of the first of them.
 */
/* "43 rows, 976 tokens, 259 of them trained"; with a head no token is. */
void add_rows(struct lorac_buf *b, const struct lorac_dataset *set);
void say_text(FILE *to, const struct lorac_data_counts *c); // of texts, without a line's end
void say_counts(FILE *to, const struct lorac_data_counts *c);
/* "note: 6 steps are few to learn from; try ...", where they are. */
void say_few(FILE *to, const char *before, const struct lorac_job *j, size_t steps);
/* "layers 0-21 run once a row, ...", where they do, behind `front`. */
void say_frozen(FILE *to, const char *front, const struct lorac_trainer_frozen *f);
void say_table(FILE *to, const struct lorac_table *t); // what is odd about a table; NULL: nothing

#endif
