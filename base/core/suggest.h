/* suggest.h - "did you mean": the nearest of some words to one that nobody knows. */
#ifndef LORAC_BASE_CORE_SUGGEST_H
#define LORAC_BASE_CORE_SUGGEST_H

#include "base/core/api.h"
#include <stdbool.h>
#include <stddef.h>

LORAC_API_BEGIN

/* Damerau-Levenshtein distance (optimal string alignment: insert, delete, replace a byte, swap two
 * neighbours), without regard to ASCII case. Of longer words the first 127 bytes. */
size_t lorac_distance(const char *a, const char *b);

/* The nearest word so far. Begin with {.word = given, .most = 2}, offer what there is. */
struct lorac_near {
    const char *word; // as somebody wrote it
    size_t most;      // how far a word may be from it and still be meant
    const char *best; // borrowed; NULL: none is near
    size_t distance;  // of `best`
};
/* True where this one is the nearest so far. A word of which nothing is left is not near. */
bool lorac_near_try(struct lorac_near *near, const char *candidate);
/* " (did you mean 'rank'?)", or "" where `meant` is NULL. Returns `out`. */
const char *lorac_near_hint(char *out, size_t size, const char *meant);

LORAC_API_END

#endif
