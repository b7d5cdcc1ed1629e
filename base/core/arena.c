/* arena.c - see arena.h. Blocks of memory in a list; what is large has one of its own. */
#include "base/core/arena.h"

#include "base/core/mem.h"

#include <stdint.h>
#include <string.h>

enum { BLOCK = 8192 };

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

struct lorac_arena {
    struct block *blocks; // the newest first
};

struct lorac_arena *lorac_arena_new(void)
{
    return lorac_mem_new(1, sizeof(struct lorac_arena));
}

void *lorac_arena_take(struct lorac_arena *a, size_t n, size_t size)
{
    size_t want = 0;
    if (!lorac_mul(n, size, &want) || want > SIZE_MAX / 2) { return NULL; }
    want = (want + 15) / 16 * 16;
    if (!a->blocks || a->blocks->size - a->blocks->used < want) {
        size_t room = want > BLOCK ? want : BLOCK;
        struct block *b = lorac_mem_new(sizeof *b + room, 1);
        if (!b) { return NULL; }
        b->size = room;
        b->next = a->blocks;
        a->blocks = b;
    }
    void *p = a->blocks->bytes + a->blocks->used;
    a->blocks->used += want;
    return p;
}

char *lorac_arena_string(struct lorac_arena *a, const char *s, size_t n)
{
    char *copy = n < SIZE_MAX ? lorac_arena_take(a, n + 1, 1) : NULL;
    if (copy && n) { memcpy(copy, s, n); }
    return copy;
}

void lorac_arena_free(struct lorac_arena *a)
{
    for (struct block *b = a ? a->blocks : NULL; b;) {
        struct block *next = b->next;
        lorac_mem_free(b);
        b = next;
    }
    lorac_mem_free(a);
}
