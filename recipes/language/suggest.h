/* suggest.h - "did you mean": the nearest of some words. Internal to recipes. */
#ifndef LORAC_RECIPES_SUGGEST_H
#define LORAC_RECIPES_SUGGEST_H

#include "recipes/language/schema.h"

/* Damerau-Levenshtein distance (optimal string alignment: insert, delete, replace a byte, swap two
 * neighbours). Words over 63 bytes count as far from everything (SIZE_MAX). */
size_t lorac_distance(const char *a, const char *b);

/* A key like the unknown one: `path` is "adapter.lora_aplha". NULL, or text in `words` (`size`
 * bytes): the last name alone where the key is in the same section, the whole path otherwise. Names
 * that other trainers use (learning_rate, lora_alpha, ...) lead to ours. */
const char *lorac_suggest_key(char *words, size_t size, const char *path);

/* A word of the key's choice that is like `word`, or NULL. */
const char *lorac_suggest_word(const char *word, const struct lorac_key *key);

#endif
