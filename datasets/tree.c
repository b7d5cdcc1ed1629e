/* tree.c - answers as a tree of tokens; see datasets.h. */
#include "base/core/mem.h"
#include "datasets/datasets.h"

#include <stdlib.h>
#include <string.h>

/* An answer while the tree is made. */
struct answer {
    const int32_t *ids;
    size_t n, k;
};

static size_t common(const struct answer *a, const struct answer *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->ids[n] == b->ids[n]) {
        n++;
    }
    return n;
}

/* By tokens; one that is the beginning of another stands before it, equal ones as they were given.
 */
static int compare(const void *x, const void *y)
{
    const struct answer *a = x;
    const struct answer *b = y;
    size_t n = common(a, b);
    if (n < a->n && n < b->n) { return a->ids[n] < b->ids[n] ? -1 : 1; }
    if (a->n != b->n) { return a->n < b->n ? -1 : 1; }
    return (a->k > b->k) - (a->k < b->k);
}

static bool make_room(struct lorac_tree *t, size_t nodes, size_t K)
{
    struct lorac_tree_node *at = lorac_mem_grow(t->at, 0, &t->cap, nodes, sizeof *at);
    if (at) { t->at = at; }
    size_t cap = t->cap_answers;
    uint32_t *order = lorac_mem_grow(t->order, 0, &cap, K, sizeof *order);
    if (order) { t->order = order; }
    uint32_t *last = lorac_mem_grow(t->last, 0, &t->cap_answers, K, sizeof *last);
    if (last) { t->last = last; }
    return at && order && last;
}

/* Node i is whole: what stands behind it is not below it. */
static void close_to(struct lorac_tree *t, uint32_t *i, size_t depth)
{
    while (t->at[*i].depth > depth) {
        t->at[*i].end = (uint32_t)t->n;
        *i = t->at[*i].parent;
    }
}

/* What a node knows of those below it, which stand behind it. */
static void sum_up(struct lorac_tree *t)
{
    t->rows = 0;
    for (size_t i = t->n; i-- > 0;) {
        struct lorac_tree_node *at = &t->at[i];
        at->nested += at->ends;
        if (at->ends && t->order[at->first] < at->least) { at->least = t->order[at->first]; }
        if (i == 0) { break; }
        struct lorac_tree_node *up = &t->at[at->parent];
        if (at->nested > up->nested) { up->nested = at->nested; }
        if (at->least < up->least) { up->least = at->least; }
        up->children++;
        t->rows += at->children > 0;
    }
}

static void plant(struct lorac_tree *t, const struct answer *sorted)
{
    uint32_t i = 0; // where the answer before ends
    t->n = 1;
    t->longest = 0;
    t->at[0] = (struct lorac_tree_node){.id = -1, .least = UINT32_MAX};
    for (size_t k = 0; k < t->K; k++) {
        const struct answer *a = &sorted[k];
        close_to(t, &i, k ? common(a, a - 1) : 0);
        for (size_t d = t->at[i].depth; d < a->n; d++) {
            t->at[t->n] = (struct lorac_tree_node){.id = a->ids[d],
                                                   .parent = i,
                                                   .depth = (uint32_t)d + 1,
                                                   .first = (uint32_t)k,
                                                   .least = UINT32_MAX};
            i = (uint32_t)t->n++;
        }
        t->at[i].ends++;
        t->order[k] = (uint32_t)a->k;
        t->last[a->k] = i;
        t->longest = a->n > t->longest ? a->n : t->longest;
    }
    close_to(t, &i, 0);
    t->at[0].end = (uint32_t)t->n;
    sum_up(t);
}

enum lorac_status lorac_tree_make(struct lorac_tree *t, const int32_t *ids, const size_t *end,
                                  size_t K, struct lorac_err *err)
{
    size_t tokens = K ? end[K - 1] : 0;
    if (tokens >= UINT32_MAX) {
        return lorac_fail(err, LORAC_EUSER, "labels: %zu tokens, expected less than 2^32", tokens);
    }
    struct answer *sorted = lorac_mem_new(K, sizeof *sorted);
    bool room = make_room(t, tokens + 1, K);
    t->K = K;
    for (size_t k = 0; k < K && sorted && room; k++) {
        size_t begin = k ? end[k - 1] : 0;
        sorted[k] = (struct answer){ids + begin, end[k] - begin, k};
    }
    if (sorted && room) {
        qsort(sorted, K, sizeof *sorted, compare);
        plant(t, sorted);
    }
    lorac_mem_free(sorted);
    return sorted && room ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "labels: no memory");
}

void lorac_tree_free(struct lorac_tree *t)
{
    lorac_mem_free(t->at);
    lorac_mem_free(t->order);
    lorac_mem_free(t->last);
    *t = (struct lorac_tree){0};
}
