/* seats.h - rows of a cache, handed out in runs and given back: which of them are whose is the
 * caller's to know. */
#ifndef LORAC_RECIPES_SEATS_H
#define LORAC_RECIPES_SEATS_H

#include <stdbool.h>
#include <stddef.h>

struct lorac_seats {      // all rows are free where `taken` is zero
    unsigned char *taken; // (end) of the caller
    size_t first, end;    // those that are handed out
    size_t used;
};

/* The first n >= 1 rows that are free and lie together; false: there are none. */
bool lorac_seats_take(size_t *at, struct lorac_seats *s, size_t n);
void lorac_seats_give(struct lorac_seats *s, size_t at, size_t n);
/* All of them; from now on they begin at `first`. */
void lorac_seats_clear(struct lorac_seats *s, size_t first);

#endif
