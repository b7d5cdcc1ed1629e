/* suggest.h - "did you mean": the nearest key, or word of a key. Internal to recipes. */
#ifndef LORAC_RECIPES_SUGGEST_H
#define LORAC_RECIPES_SUGGEST_H

#include "recipes/language/schema.h"

/* A key like the unknown one: `path` is "adapter.lora_aplha". NULL, or text in `words` (`size`
 * bytes): the last name alone where the key is in the same section, the whole path otherwise. Names
 * that other trainers use (learning_rate, lora_alpha, ...) lead to ours. */
const char *lorac_suggest_key(char *words, size_t size, const char *path);

/* " (did you mean 'rank'?)", or "": the same, and the word of a key's choice that is like `word`.
 */
const char *lorac_key_hint(char *out, size_t size, const char *path);
const char *lorac_word_hint(char *out, size_t size, const char *word, const struct lorac_key *key);

#endif
