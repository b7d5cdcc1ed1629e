/* mem.c - see mem.h. */
#define _DEFAULT_SOURCE // madvise
#include "base/core/mem.h"

#include "base/core/fault.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// For the tests only; atomic because loader and server threads allocate too.
static _Atomic long fail_after = -1;
static _Atomic long raw_fail_after = -1;
static _Atomic unsigned long n_allocs;

bool lorac_mul(size_t a, size_t b, size_t *out)
{
    if (b != 0 && a > SIZE_MAX / b) { return false; }
    *out = a * b;
    return true;
}

/* What a test asked to fail. */
static bool refused(_Atomic long *after)
{
    return *after >= 0 && (*after)-- == 0;
}

enum {
    LINE = 64,
    PAGE = 1 << 16,  // bytes: of the largest kind that systems have
    LARGE = 1 << 19, // bytes from which a block's pages are the kernel's zeroes
};

/* Are so many bytes, whole pages, the kernel's zeroes from now on? It may say so and leave what
 * they held: user-mode emulators do (QEMU before 7.1), and huge pages of which they are a part. */
static bool give_back(unsigned char *p, size_t bytes)
{
#ifdef __linux__ // elsewhere such pages may keep what they held
    p[bytes - 1] = 1;
    return madvise(p, bytes, MADV_DONTNEED) == 0 && p[bytes - 1] == 0;
#else
    (void)p, (void)bytes;
    return false;
#endif
}

/* Zeroes. A large block's are the kernel's own, made when a page is first touched: by the threads
 * that work on it, and only where somebody does. */
static void clear(void *p, size_t bytes)
{
    size_t done = bytes < LARGE ? 0 : bytes / PAGE * PAGE;
    if (done && !give_back(p, done)) { done = 0; }
    memset((char *)p + done, 0, bytes - done);
}

void *lorac_mem_new(size_t n, size_t size)
{
    size_t bytes = 0;
    if (!lorac_mul(n, size, &bytes) || bytes > SIZE_MAX - 2 * PAGE) { return NULL; }
    if (refused(&fail_after)) { return NULL; }
    bytes = (bytes + LINE - 1) / LINE * LINE;
    void *p = NULL;
    if (posix_memalign(&p, bytes < LARGE ? LINE : PAGE, bytes ? bytes : LINE)) { return NULL; }
    clear(p, bytes);
    n_allocs++;
    return p;
}

void *lorac_mem_raw(size_t n)
{
    void *p = refused(&raw_fail_after) ? NULL : malloc(n ? n : 1);
    if (p) { n_allocs++; }
    return p;
}

void *lorac_mem_grow(void *p, size_t n, size_t *cap, size_t want, size_t size)
{
    size_t room = *cap ? *cap : 16;
    while (room < want) {
        if (!lorac_mul(room, 2, &room)) { return NULL; }
    }
    if (p && room == *cap) { return p; }
    void *larger = lorac_mem_new(room, size);
    if (!larger) { return NULL; }
    if (p && n) { memcpy(larger, p, n * size); }
    lorac_mem_free(p);
    *cap = room;
    return larger;
}

char *lorac_mem_string(const char *s, size_t n)
{
    char *copy = n < SIZE_MAX ? lorac_mem_new(n + 1, 1) : NULL;
    if (copy && n) { memcpy(copy, s, n); }
    return copy;
}

void lorac_mem_free(void *p)
{
    free(p);
}

void lorac_mem_fail_after(long n)
{
    fail_after = n;
}

long lorac_mem_fail_left(void)
{
    return fail_after;
}

void lorac_raw_fail_after(long n)
{
    raw_fail_after = n;
}

long lorac_raw_fail_left(void)
{
    return raw_fail_after;
}

unsigned long lorac_mem_count(void)
{
    return n_allocs;
}
