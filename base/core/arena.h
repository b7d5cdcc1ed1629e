/* arena.h - memory for many small things that go together: taken one by one, released at once. */
#ifndef LORAC_BASE_CORE_ARENA_H
#define LORAC_BASE_CORE_ARENA_H

#include <stddef.h>

struct lorac_arena;
struct lorac_arena *lorac_arena_new(void);    // NULL: no memory
void lorac_arena_free(struct lorac_arena *a); // NULL is accepted

/* n elements of `size` bytes, zeroed, 16-byte aligned; the bytes of `s`, n of them, and a NUL. They
 * live as long as the arena. NULL where there is no memory; the arena stays as it was. */
void *lorac_arena_take(struct lorac_arena *a, size_t n, size_t size);
char *lorac_arena_string(struct lorac_arena *a, const char *s, size_t n);

#endif
