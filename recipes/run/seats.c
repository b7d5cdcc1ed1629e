/* seats.c - see seats.h. */
#include "recipes/run/seats.h"

#include <string.h>

bool lorac_seats_take(size_t *at, struct lorac_seats *s, size_t n)
{
    size_t free = 0;
    size_t end = s->first;
    for (; end < s->end && free < n; end++) {
        free = s->taken[end] ? 0 : free + 1;
    }
    if (free < n) { return false; }
    *at = end - n;
    memset(s->taken + *at, 1, n);
    s->used += n;
    return true;
}

void lorac_seats_give(struct lorac_seats *s, size_t at, size_t n)
{
    memset(s->taken + at, 0, n);
    s->used -= n;
}

void lorac_seats_clear(struct lorac_seats *s, size_t first)
{
    memset(s->taken, 0, s->end);
    s->first = first;
    s->used = 0;
}
