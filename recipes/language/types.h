/*
 * types.h - the types that keys have: what may stand at a key, from YAML to a field and back.
 *
 * A type is one row: how a value is read, how it is printed, what may stand there in words and as
 * JSON Schema. To add one is a row (in a file of its own where it is bigger) and a line at the end
 * of this header. Internal to recipes.
 */
#ifndef LORAC_RECIPES_TYPES_H
#define LORAC_RECIPES_TYPES_H

#include "base/core/buf.h"
#include "recipes/language/reading.h"

/* One value on its way into the recipe. */
struct lorac_value {
    struct lorac_reading *rd;
    const struct lorac_key *key;
    const struct lorac_node *node; // not null
    void *field;                   // of rd->recipe; zero
};

struct lorac_key_type {
    /* What is wrong with the value goes to rd->errors; the status says whether there was memory. */
    enum lorac_status (*read)(const struct lorac_value *v);
    /* Append the field as YAML on one line that reads back to the same value. */
    void (*print)(struct lorac_buf *buf, const struct lorac_key *key, const void *field);
    /* What may stand there, in words: the text, and behind it what depends on the key. */
    const char *words;
    void (*add_words)(struct lorac_buf *buf, const struct lorac_key *key); // or NULL
    /* The same as members of a JSON Schema, without braces. Text may look like any scalar there. */
    const char *schema;
    void (*add_schema)(struct lorac_buf *buf, const struct lorac_key *key); // or NULL
};

/* ---- what several types share ---- */

/* In a signature: the key makes no difference. */
#define LORAC_NO_KEY const struct lorac_key *key __attribute__((unused))

#define LORAC_SCHEMA_TEXT "\"type\": [\"string\", \"number\", \"boolean\", \"null\"]"
#define LORAC_SCHEMA_LIST "\"items\": {" LORAC_SCHEMA_TEXT "}"

/* "KEY: must be EXPECTED, found ..." at `node`. */
enum lorac_status lorac_value_wrong(const struct lorac_value *v, const struct lorac_node *node,
                                    const char *expected);
/* Room for a list's `n` elements, at least one, in the recipe's arena. */
enum lorac_status lorac_value_take(void **out, const struct lorac_value *v, size_t n, size_t size);

bool lorac_node_is_scalar(const struct lorac_node *node);
const char *lorac_node_text(const struct lorac_node *node); // of a scalar; "" of anything else
size_t lorac_node_count(const struct lorac_node *node);     // children

/* Elements of bigger types, read at `node`. NULL and unchanged where an error was reported. */
enum lorac_status lorac_read_text_at(char **out, const struct lorac_value *v,
                                     const struct lorac_node *node);
enum lorac_status lorac_read_list_at(struct lorac_recipe_list *list, const struct lorac_value *v,
                                     const struct lorac_node *node);
enum lorac_status lorac_read_whole_at(size_t *out, const struct lorac_value *v,
                                      const struct lorac_node *node, double min, double max,
                                      const char *or_else);
enum lorac_status lorac_read_number_at(double *out, const struct lorac_value *v,
                                       const struct lorac_node *node); // in the key's range

void lorac_print_text(struct lorac_buf *buf, const char *text); // NULL: null
void lorac_print_list(struct lorac_buf *buf, const struct lorac_recipe_list *list);

/* " from 1 to 4096", and the same as members of a schema. */
void lorac_add_range(struct lorac_buf *buf, const struct lorac_key *key);
void lorac_add_bounds(struct lorac_buf *buf, const struct lorac_key *key);

/* ---- the rows, and the fields of struct lorac_recipe that they fill ---- */

extern const struct lorac_key_type lorac_type_extends; // none: used while reading
// type_text.c
extern const struct lorac_key_type lorac_type_text; // char *
extern const struct lorac_key_type lorac_type_char; // char: one ASCII character; min 0: or none
extern const struct lorac_key_type lorac_type_list; // struct lorac_recipe_list
extern const struct lorac_key_type lorac_type_map;  // struct lorac_recipe_map
// type_weights.c
extern const struct lorac_key_type lorac_type_weights; // struct lorac_recipe_weights
// type_path.c
extern const struct lorac_key_type lorac_type_path;  // char *, absolute
extern const struct lorac_key_type lorac_type_paths; // struct lorac_recipe_list: one or several
extern const struct lorac_key_type lorac_type_split; // struct lorac_recipe_split
// type_number.c
extern const struct lorac_key_type lorac_type_seed;          // uint64_t
extern const struct lorac_key_type lorac_type_count;         // size_t in [min, max]
extern const struct lorac_key_type lorac_type_count_or_auto; // size_t; 0 is auto
extern const struct lorac_key_type lorac_type_number;        // double in [min, max]
extern const struct lorac_key_type lorac_type_betas;         // double[2], each in [min, max]
// type_choice.c
extern const struct lorac_key_type lorac_type_flag;           // bool
extern const struct lorac_key_type lorac_type_choice;         // enum: the word's position
extern const struct lorac_key_type lorac_type_name;           // const char *: the word itself
extern const struct lorac_key_type lorac_type_choice_or_none; // unsigned: 0, or position + 1
extern const struct lorac_key_type lorac_type_choices;        // unsigned: one bit a position
// type_modules.c
extern const struct lorac_key_type lorac_type_targets;   // struct lorac_recipe_targets
extern const struct lorac_key_type lorac_type_modules;   // struct lorac_recipe_modules
extern const struct lorac_key_type lorac_type_layers;    // struct lorac_recipe_layers
extern const struct lorac_key_type lorac_type_overrides; // struct lorac_recipe_overrides
// type_when.c
extern const struct lorac_key_type lorac_type_amount;   // struct lorac_recipe_amount
extern const struct lorac_key_type lorac_type_interval; // struct lorac_recipe_interval

#endif
