/* rows.c - see rows.h. */
#include "tools/serve/rows.h"

#include <string.h>

/* ---- what is known ---- */

static size_t agree(struct rows *r, struct piece *p, const int32_t *ids, size_t n)
{
    if (p->search == r->clock) { return p->agrees; }
    bool whole = !p->parent || agree(r, p->parent, ids, n) >= p->begin;
    p->search = r->clock;
    p->agrees = 0;
    if (whole && p->begin < n) {
        p->agrees = p->begin + lorac_ids_common(p->ids, p->n, ids + p->begin, n - p->begin);
    }
    return p->agrees;
}

struct piece *rows_find(size_t *tokens, struct rows *r, const char *key, const int32_t *ids,
                        size_t n)
{
    struct piece *best = NULL;
    *tokens = 0;
    r->clock++;
    for (struct piece *p = r->first; p; p = p->next) {
        if (strcmp(p->key, key) != 0) { continue; }
        size_t same = agree(r, p, ids, n);
        if (same <= *tokens || same <= p->begin || p->depth >= ROWS_MAX_MATCH) { continue; }
        *tokens = same;
        best = p;
    }
    if (best) { best->used = r->clock; }
    return best;
}

/* ---- room ---- */

static void drop(struct rows *r, struct piece *p)
{
    struct piece **link = &r->first;
    while (*link != p) {
        link = &(*link)->next;
    }
    *link = p->next;
    if (p->parent) { p->parent->kids--; }
    lorac_mem_free(p->ids);
    lorac_mem_free(p);
}

/* The piece behind which there is the first gap of `want` rows, or else the largest one. */
static size_t find_gap(size_t *at, struct piece ***link, struct rows *r, size_t want)
{
    size_t best = 0;
    size_t from = 0;
    for (struct piece **l = &r->first;; l = &(*l)->next) {
        size_t gap = (*l ? (*l)->at : r->n) - from;
        if (gap > best) {
            best = gap;
            *at = from;
            *link = l;
        }
        if (!*l || best >= want) { return best; }
        from = (*l)->at + (*l)->cap;
    }
}

/* Let go of the one that was not used for longest; false: all are in use. */
static bool make_room(struct rows *r, const struct piece *keep)
{
    struct piece *oldest = NULL;
    for (struct piece *p = r->first; p; p = p->next) {
        if (p->users || p->kids || p == keep) { continue; }
        if (!oldest || p->used < oldest->used) { oldest = p; }
    }
    if (oldest) { drop(r, oldest); }
    return oldest != NULL;
}

struct piece *rows_take(bool *no_memory, struct rows *r, struct piece *parent, size_t begin,
                        const char *key, size_t want, size_t least)
{
    size_t at = 0;
    struct piece **link = NULL;
    *no_memory = false;
    size_t gap = find_gap(&at, &link, r, want);
    while (gap < want && make_room(r, parent)) {
        gap = find_gap(&at, &link, r, want);
    }
    if (gap < least || gap == 0) { return NULL; }
    size_t cap = gap < want ? gap : want;
    struct piece *p = lorac_mem_new(1, sizeof *p);
    int32_t *ids = lorac_mem_new(cap, sizeof *ids);
    if (!p || !ids) {
        lorac_mem_free(p);
        lorac_mem_free(ids);
        *no_memory = true;
        return NULL;
    }
    *p = (struct piece){.parent = parent,
                        .next = *link,
                        .begin = begin,
                        .at = at,
                        .cap = cap,
                        .ids = ids,
                        .users = 1,
                        .depth = parent ? parent->depth + 1 : 0,
                        .used = ++r->clock};
    (void)strncpy(p->key, key, ROWS_KEY - 1);
    *link = p;
    if (parent) { parent->kids++; }
    return p;
}

void rows_leave(struct rows *r, struct piece *p)
{
    if (!p) { return; }
    p->users--;
    p->used = ++r->clock;
    if (p->users) { return; }
    p->cap = p->n;
    if (p->n == 0 && p->kids == 0) { drop(r, p); }
}

size_t rows_filled(const struct rows *r, bool used)
{
    size_t n = 0;
    for (const struct piece *p = r->first; p; p = p->next) {
        n += used && !p->users ? 0 : p->n;
    }
    return n;
}

void rows_free(struct rows *r)
{
    while (r->first) {
        struct piece *p = r->first;
        r->first = p->next;
        lorac_mem_free(p->ids);
        lorac_mem_free(p);
    }
}
