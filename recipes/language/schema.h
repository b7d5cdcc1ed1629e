/* schema.h - the table of keys: the one place that knows what a recipe may say. Internal. */
#ifndef LORAC_RECIPES_SCHEMA_H
#define LORAC_RECIPES_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

struct lorac_key_type; // types.h

enum lorac_key_flags {
    LORAC_KEY_REQUIRED = 1 << 0,
    LORAC_KEY_ABOVE_MIN = 1 << 1, // min itself is not allowed
    LORAC_KEY_BELOW_MAX = 1 << 2, // max itself is not allowed
    LORAC_KEY_NULLABLE = 1 << 3,  // null means none although there is a default
    // What a run that goes on may be told anew:
    LORAC_KEY_FREE = 1 << 4,  // it changes no number
    LORAC_KEY_PLACE = 1 << 5, // a path: what lies there is compared
    LORAC_KEY_HUB = 1 << 7,   // a folder, or the Hub's name of one that is in its local cache
    // "data.format: jsonl" is short for data.format.kind: jsonl
    LORAC_KEY_SHORT = 1 << 8,
    LORAC_KEY_LENGTH = 1 << 6, // how long the run is: checked against the steps that are done
};

struct lorac_key {
    const char *path; // "adapter.rank"
    const struct lorac_key_type *type;
    unsigned flags;
    size_t offset;                // in struct lorac_recipe
    double min, max;              // numbers and counts; whole numbers here are exact (below 2^53)
    const char *const *words;     // of a choice, NULL behind the last; or
    const char *(*row)(size_t i); // the same from the table of what it chooses from
    const char *otherwise;        // the default, as YAML; NULL: none
    const char *help;             // one line
    const char *more;             // what else to know, or NULL
};

enum { LORAC_KEYS_MAX = 96 }; // a bound for arrays; the table is smaller

extern const struct lorac_key lorac_keys[];
extern const size_t lorac_n_keys;

/* The key with this path, or NULL. */
const struct lorac_key *lorac_key_find(const char *path);
/* True for "adapter", "data.format", ...: a map of keys. */
bool lorac_key_is_section(const char *path);
/* The key that a single value at this section stands for, or NULL. */
const struct lorac_key *lorac_key_short(const char *section);
/* True for a key of the schema that this version does not have yet. */
bool lorac_key_is_planned(const char *path);
/* The i-th word of a choice; NULL after the last. */
const char *lorac_key_word(const struct lorac_key *key, size_t i);
/* The last name of a path: "rank" of "adapter.rank". */
const char *lorac_key_last(const char *path);

#endif
