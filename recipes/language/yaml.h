/*
 * yaml.h - YAML text to a tree of nodes that know their place. Internal to recipes.
 *
 * A strict subset: block and flow maps, lists, scalars. Anchors, aliases, tags, several documents,
 * duplicate and non-scalar keys are refused by name. Scalars are text: nothing is guessed here.
 */
#ifndef LORAC_RECIPES_YAML_H
#define LORAC_RECIPES_YAML_H

#include "base/core/arena.h"
#include "base/core/err.h"
#include "recipes/language/recipe.h"
#include <stdbool.h>
#include <stddef.h>

enum { LORAC_YAML_MAX_DEPTH = 16, LORAC_YAML_MAX_NODES = 10000 };

/* Where text came from: a file, or one --set option. */
struct lorac_source {
    const char *name;   // "sentiment.yaml", or "--set adapter.rank=x"
    const char *folder; // absolute: where its relative paths start
    size_t layer;       // see struct lorac_recipe_error
    bool is_option;     // a --set: places have no line and column
};

enum lorac_node_kind { LORAC_NODE_SCALAR, LORAC_NODE_LIST, LORAC_NODE_MAP, LORAC_NODE_BAD };

struct lorac_node { // BAD: an error was reported for it already
    enum lorac_node_kind kind;
    bool plain;                        // a scalar without quotes
    const char *text;                  // of a scalar; UTF-8 without NUL bytes
    const char *key;                   // in a map, otherwise NULL
    size_t line, column;               // of the value, from 1
    size_t key_line, key_column;       // of the key
    const struct lorac_source *source; // outlives the node
    struct lorac_node *first, *next;   // children of a list or map; the next child
};

/* Parse one document. The tree lives in `arena`. An empty document is an empty map. What is wrong
 * is added to `errors`; the status says only whether there was memory. *broken becomes true where
 * the text could not be read to its end, otherwise it stays as it was. */
LORAC_MUST_CHECK enum lorac_status lorac_yaml_parse(struct lorac_node **root, bool *broken,
                                                    const char *text, size_t n,
                                                    const struct lorac_source *source,
                                                    struct lorac_arena *arena,
                                                    struct lorac_recipe_errors *errors,
                                                    struct lorac_err *err);

/* The child `key` of a map, or NULL. */
struct lorac_node *lorac_node_find(const struct lorac_node *map, const char *key);
/* True for an unquoted null, ~ or nothing. */
bool lorac_node_is_null(const struct lorac_node *node);
/* "a map", "a list", "'text'" for messages, at most `size` bytes. Returns `words`. */
const char *lorac_node_words(char *words, size_t size, const struct lorac_node *node);

/* Add "NAME:LINE:COLUMN: message". LORAC_OK, or LORAC_ENOMEM. After LORAC_RECIPE_MAX_ERRORS more
 * are dropped and the last one says so. */
LORAC_MUST_CHECK enum lorac_status lorac_complain(struct lorac_recipe_errors *errors,
                                                  const struct lorac_source *source, size_t line,
                                                  size_t column, struct lorac_err *err,
                                                  const char *fmt, ...) LORAC_PRINTF(6, 7);
/* By layer, line and column. */
void lorac_recipe_errors_sort(struct lorac_recipe_errors *errors);

#endif
