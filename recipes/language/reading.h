/* reading.h - what the parts of the reader share while a recipe is read. Internal to recipes. */
#ifndef LORAC_RECIPES_READING_H
#define LORAC_RECIPES_READING_H

#include "base/core/err.h"
#include "base/core/number.h"
#include "recipes/language/recipe.h"
#include "recipes/language/schema.h"
#include "recipes/language/yaml.h"
#include <stdint.h>

struct lorac_reading {
    struct lorac_recipe *recipe;                    // being filled; its arena keeps the values
    struct lorac_arena *arena;                      // the trees; released after reading
    struct lorac_recipe_errors *errors;             // borrowed
    struct lorac_err *err;                          // borrowed; for what is not the user's fault
    const struct lorac_node *nodes[LORAC_KEYS_MAX]; // the value of each key, defaults included
    bool busy[LORAC_KEYS_MAX];                      // being expanded: to find cycles
    const struct lorac_source *defaults;            // where what nobody gave comes from
    bool broken;                                    // a file could not be read to its end
    bool has_options;                               // --set or --unset
    size_t n_expansions;                            // limited: `${a}${a}` of `${b}${b}` of ...
};

/* Add "PLACE: KEY: message" for a value. LORAC_OK or LORAC_ENOMEM. */
LORAC_MUST_CHECK enum lorac_status lorac_reading_complain(struct lorac_reading *rd,
                                                          const struct lorac_node *at,
                                                          const struct lorac_key *key,
                                                          const char *fmt, ...) LORAC_PRINTF(4, 5);
enum lorac_status lorac_reading_no_memory(struct lorac_reading *rd);

/* The text of a scalar with ${env:NAME}, ${KEY} and $${ replaced, in the recipe's arena. *out is
 * NULL where something was wrong with it, which is then in the list of errors. `key` is the key
 * that the text belongs to. A path also becomes absolute. */
LORAC_MUST_CHECK enum lorac_status lorac_expand_text(char **out, struct lorac_reading *rd,
                                                     const struct lorac_node *node,
                                                     const struct lorac_key *key);
LORAC_MUST_CHECK enum lorac_status lorac_expand_path(char **out, struct lorac_reading *rd,
                                                     const struct lorac_node *node,
                                                     const struct lorac_key *key);

/* A value that a sweep gives a key: it lies over those of the recipe and its options, and keeps its
 * place in the sweep's file. */
struct lorac_variation {
    const struct lorac_key *key;
    const struct lorac_node *node;
};
/* lorac_recipe_open() with such values, in order. */
LORAC_MUST_CHECK enum lorac_status lorac_recipe_vary(
    struct lorac_recipe **out, const char *path, const struct lorac_recipe_set *sets, size_t n_sets,
    const struct lorac_variation *varied, size_t n_varied, struct lorac_recipe_errors *errors,
    struct lorac_err *err);

/* Type and check rd->nodes[i] and write the field of key i. What is wrong goes to the errors. */
LORAC_MUST_CHECK enum lorac_status lorac_value_read(struct lorac_reading *rd, size_t i);

/* Has key i, which was read, the value of its default? None is the default of a key without. */
LORAC_MUST_CHECK enum lorac_status lorac_value_is_default(bool *out, struct lorac_reading *rd,
                                                          size_t i);

/* Checks that concern several keys, after all were read. */
LORAC_MUST_CHECK enum lorac_status lorac_reading_check(struct lorac_reading *rd);

/* Append the value of a key as YAML on one line that reads back to the same value. */
void lorac_value_print(struct lorac_buf *buf, const struct lorac_recipe *recipe,
                       const struct lorac_key *key);
/* Append "KEY: VALUE of a -> VALUE of b" and a line's end where the key's values differ. */
void lorac_key_diff(struct lorac_buf *buf, const struct lorac_recipe *a,
                    const struct lorac_recipe *b, const struct lorac_key *key);
/* Has the key the value that it has where it is not given? */
bool lorac_recipe_is_default(const struct lorac_recipe *recipe, const char *key);
/* Append text as a double-quoted YAML scalar. `expands`: ${ in it is written $${. */
void lorac_yaml_quote(struct lorac_buf *buf, const char *text, bool expands);

/* For writers of nested YAML in the order of the table: the section lines that `path` needs after
 * the key `last` ("" at the start), and the indent of what stands behind the first `n` bytes of
 * `path`. */
void lorac_key_open_sections(struct lorac_buf *buf, const char *path, const char *last);
void lorac_key_indent(struct lorac_buf *buf, const char *path, size_t n);

/* Digits without sign or leading zeros; false where it is none or over `max`. */
bool lorac_whole_parse(uint64_t *out, const char *text, size_t n, uint64_t max);
/* True for valid UTF-8. */
bool lorac_utf8_valid(const char *text, size_t n);

#endif
