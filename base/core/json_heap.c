/* json_heap.c - see json_heap.h. */
#include "base/core/json_heap.h"

#include "base/core/json.h"
#include "base/core/mem.h"

#include <stdint.h>
#include <string.h>

enum {
    CHUNK = 64,      // bytes of text that jansson holds and still reads after the end was decided
    SLACK = 1 << 15, // for those: an object with its table takes 250 bytes, and two bytes of text
    ALIGN = 16
};

static _Thread_local struct {
    char *at; // NULL: jansson does not read, or not from our heap
    size_t n, used;
    bool refused;
} reserve;

/* The token that doubles is first: it finds all but the slack. */
static void *draw(size_t n)
{
    size_t left = reserve.n - reserve.used - (reserve.used ? 0 : SLACK);
    size_t bytes = n <= left ? (n + ALIGN - 1) / ALIGN * ALIGN : SIZE_MAX;
    reserve.refused = true;
    if (bytes > left) { return NULL; }
    void *p = reserve.at + reserve.used;
    reserve.used += bytes;
    return p;
}

static void *take(size_t n)
{
    void *p = lorac_mem_raw(n);
    return p || !reserve.at ? p : draw(n);
}

static void give(void *p)
{
    uintptr_t begin = (uintptr_t)reserve.at;
    bool drawn = reserve.at && (uintptr_t)p >= begin && (uintptr_t)p - begin < reserve.n;
    if (!drawn) { lorac_mem_free(p); }
}

void lorac_mem_serve_json(void)
{
    json_set_alloc_funcs(take, give);
}

bool lorac_json_reserve_open(size_t n)
{
    json_malloc_t malloc_now = NULL;
    json_get_alloc_funcs(&malloc_now, NULL);
    reserve.refused = false;
    if (malloc_now != take) { return true; }
    size_t bytes = 0;
    if (!lorac_mul(n, 2, &bytes) || bytes > SIZE_MAX - SLACK - CHUNK) { return false; }
    reserve.used = 0;
    reserve.n = (bytes + CHUNK) / ALIGN * ALIGN + SLACK;
    reserve.at = lorac_mem_raw(reserve.n); // its pages are touched where it is needed only
    return reserve.at != NULL;
}

size_t lorac_json_feed(void *bytes, size_t room, void *text)
{
    struct lorac_json_text *t = text;
    size_t n = reserve.refused ? 0 : t->n;
    n = n < room ? n : room;
    n = n < CHUNK ? n : CHUNK;
    if (n) { memcpy(bytes, t->at, n); }
    t->at += n;
    t->n -= n;
    return n;
}

bool lorac_json_reserve_drawn(void)
{
    return reserve.refused;
}

void lorac_json_reserve_close(void)
{
    lorac_mem_free(reserve.at);
    reserve.at = NULL;
}
