/* mem.h - the only door to the heap: checked sizes, a counter, and injected failures (fault.h). */
#ifndef LORAC_BASE_CORE_MEM_H
#define LORAC_BASE_CORE_MEM_H

#include "base/core/api.h"
#include <stdbool.h>
#include <stddef.h>

LORAC_API_BEGIN

/* *out = a * b; false when the product does not fit. */
LORAC_MUST_CHECK bool lorac_mul(size_t a, size_t b, size_t *out);

static inline size_t lorac_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t lorac_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* n * size zeroed bytes, 64-byte aligned, or NULL. Release with lorac_mem_free(). */
LORAC_MUST_CHECK void *lorac_mem_new(size_t n, size_t size);

/* A larger copy of the `n` elements at `p` with room for `*cap` (doubled until it holds `want`),
 * the old block freed; NULL where there is no memory, then `p` stays valid and `*cap` as it was. */
LORAC_MUST_CHECK void *lorac_mem_grow(void *p, size_t n, size_t *cap, size_t want, size_t size);

/* A copy of a string, or NULL. */
LORAC_MUST_CHECK char *lorac_mem_string(const char *s, size_t n);

/* n uninitialised bytes, aligned as malloc's, or NULL: for libraries that take an allocator and
 * make many small blocks. Release with lorac_mem_free(). */
LORAC_MUST_CHECK void *lorac_mem_raw(size_t n);

/* Let the JSON library allocate here, too, so that its want of memory is noticed. It is that
 * library's setting for the whole process: a program's decision, which this library never makes by
 * itself. To be called while there is one thread and no JSON value yet: those made before would be
 * freed by another allocator than theirs. */
void lorac_mem_serve_json(void);

void lorac_mem_free(void *p); // NULL is accepted

/* Allocations made so far; the train loop's tests assert that a step does not change it. */
unsigned long lorac_mem_count(void);

LORAC_API_END

#endif
