/*
 * cpu_attention.h - what both directions of the cpu backend's attention go by: blocks of query
 * rows, and stretches of keys and values. Drawn in cpu_attention.c.
 */
#ifndef LORAC_BASE_COMPUTE_CPU_ATTENTION_H
#define LORAC_BASE_COMPUTE_CPU_ATTENTION_H

#include "base/compute/cpu.h"
#include "base/core/mem.h"

#include <omp.h>
#include <string.h>

enum {
    DOTS_ROWS = 8, // as few rows don't pay for transposing the keys
    MAX_WIDTH = LORAC_CPU_MAX_HEAD,
};

/* One thread's scratch; Dp is D rounded up to whole vectors. */
struct scratch {
    float q[LORAC_ROWS * MAX_WIDTH];    // (rows,D) times scale
    float dout[LORAC_ROWS * MAX_WIDTH]; // (rows,D)
    float o[LORAC_ROWS * MAX_WIDTH];    // (rows,D) forward: output; backward: dq
    float kt[MAX_WIDTH * LORAC_KEYS];   // (D,LORAC_KEYS)
    float vt[MAX_WIDTH * LORAC_KEYS];   // (D,LORAC_KEYS)
    float s[LORAC_ROWS * LORAC_KEYS];   // scores, then probabilities
    float dp[LORAC_ROWS * LORAC_KEYS];  // gradient of the probabilities, then of the scores
    float max[LORAC_ROWS], sum[LORAC_ROWS], lse[LORAC_ROWS], delta[LORAC_ROWS];
    struct lorac_sight sight;
};

/* The arguments, and what follows from them. */
struct problem {
    const struct lorac_kernels *k;
    const struct lorac_segment *segments;
    const struct lorac_attention *a;
    const uint32_t *first;      // (S+1) where the queries of each segment begin; NULL: all rows are
    size_t S, group, positions; // group = H / G; queries of one block
    const float *q, *keys, *values, *cache_k, *cache_v;
    char *scratch;
    bool by_row;        // of the device
    bool split;         // forward: along many keys; backward: along queries
    float *parts;       // (pieces, part_floats)
    size_t part_floats; // LORAC_ROWS (D + 2): maxima, sums, outputs
};

/* Keys and values that lie in a row: n rows, one after the other at G D floats. */
struct stretch {
    const float *k, *v;
    size_t n, position, row; // position of the first; row in the batch
    bool own;
};

/* One block of query rows. */
struct block {
    size_t s, g, i0, i1; // segment, key/value head, queries i0 .. i1-1 of the segment
    size_t end;          // rows of the segment up to the last of them
    size_t rows;
};

static inline struct problem problem(const struct lorac_device *dev,
                                     const struct lorac_cpu_scratch *own,
                                     const struct lorac_segment *segments, size_t S,
                                     const struct lorac_attention *a)
{
    struct problem p = {.k = lorac_cpu(dev)->kernels, .segments = segments, .S = S, .a = a};
    p.group = a->H / a->G;
    p.positions = LORAC_ROWS / p.group;
    p.by_row = dev->by_row;
    p.scratch = (char *)own->attention;
    if (!a->queries) { return p; }
    uint32_t *first = (uint32_t *)(void *)own->panel;
    for (size_t s = 0, q = 0; s <= S; s++) {
        while (q < a->Q && (s == S || a->queries[q] < segments[s].row)) {
            q++;
        }
        first[s] = (uint32_t)q;
    }
    p.first = first;
    return p;
}

static inline struct scratch *own_scratch(const struct problem *p)
{
    size_t bytes = lorac_cpu_attention_floats() * sizeof(float);
    return (struct scratch *)(void *)(p->scratch + (size_t)omp_get_thread_num() * bytes);
}

/* Heads into blocks, and `lists` of numbers of segments into the panel, that of queries first? */
static inline bool fits(const struct lorac_attention *a, size_t S, size_t lists)
{
    return a->D <= MAX_WIDTH && a->H / a->G <= LORAC_CPU_MAX_GROUP &&
           lists * (S + 1) <= LORAC_CPU_PANEL;
}

static inline size_t queries_of(const struct problem *p, size_t s)
{
    return p->first ? p->first[s + 1] - p->first[s] : p->segments[s].n;
}

/* The row of q that is query i of segment s, and the row of the segment that it is. */
static inline size_t query_row(const struct problem *p, size_t s, size_t i)
{
    return (p->first ? p->first[s] : p->segments[s].row) + i;
}
static inline size_t query_place(const struct problem *p, size_t s, size_t i)
{
    return p->first ? p->a->queries[p->first[s] + i] - p->segments[s].row : i;
}

static inline size_t blocks_of(const struct problem *p, size_t s)
{
    return lorac_pieces(queries_of(p, s), p->positions);
}

static inline struct block block_at(const struct problem *p, size_t s, size_t g, size_t i0)
{
    size_t i1 = lorac_min(queries_of(p, s), i0 + p->positions);
    return (struct block){s, g, i0, i1, query_place(p, s, i1 - 1) + 1, (i1 - i0) * p->group};
}

/* The stretches of keys that segment s sees: of each ancestor and itself the cached rows, then
 * those of the batch. Returns their number. */
static inline size_t stretches_of(struct stretch out[2 * LORAC_MAX_CHAIN], const struct problem *p,
                                  size_t s, size_t g)
{
    size_t width = p->a->G * p->a->D;
    size_t n = 0;
    int32_t chain[LORAC_MAX_CHAIN];
    size_t n_chain = lorac_segment_chain(chain, p->segments, (int32_t)s);
    for (size_t c = 0; c < n_chain; c++) {
        const struct lorac_segment *at = &p->segments[chain[c]];
        size_t offset = at->row * width + g * p->a->D;
        size_t cached = at->cached * width + g * p->a->D;
        if (at->past > 0) {
            out[n++] = (struct stretch){p->cache_k + cached,
                                        p->cache_v + cached,
                                        at->past,
                                        at->position - at->past,
                                        0,
                                        false};
        }
        if (at->n == 0) { continue; }
        out[n++] = (struct stretch){p->keys + offset, p->values + offset, at->n, at->position,
                                    at->row,          c + 1 == n_chain};
    }
    return n;
}

/* What rows of block b see of n keys, of which the first has position `at`. False where that is
 * nothing. */
static inline bool look(struct lorac_sight *sight, const struct problem *p, const struct block *b,
                        size_t at, size_t n)
{
    bool any = false;
    for (size_t row = 0, i0 = b->i0; row < b->rows; row += p->group, i0++) {
        size_t position = p->segments[b->s].position + query_place(p, b->s, i0);
        size_t from = 0;
        size_t to = n;
        if (p->a->causal) { to = position < at ? 0 : lorac_min(position + 1 - at, n); }
        if (p->a->window > 0) {
            size_t end = position + p->a->window; // keys at begin .. end - 1 are in reach
            size_t begin = end >= 2 * p->a->window ? end - 2 * p->a->window + 1 : 0;
            if (end < at + to) { to = end > at ? end - at : 0; }
            from = begin <= at ? 0 : begin - at < to ? begin - at : to;
        }
        any = any || from < to;
        for (size_t i = row; i < row + p->group; i++) {
            sight->from[i] = (uint8_t)from;
            sight->to[i] = (uint8_t)to;
        }
    }
    return any;
}

/* to (rows,D) = rows of block b of x (queries,H,D) */
static inline void pack(float *restrict to, const float *restrict x, const struct problem *p,
                        const struct block *b)
{
    size_t width = p->group * p->a->D;
    for (size_t i = b->i0; i < b->i1; i++, to += width) {
        size_t n = query_row(p, b->s, i);
        memcpy(to, x + (n * p->a->H + b->g * p->group) * p->a->D, width * sizeof *to);
    }
}

/* The same of queries, times the scale of scores */
static inline void pack_q(float *to, const struct problem *p, const struct block *b)
{
    pack(to, p->q, p, b);
    p->k->scale(to, b->rows * p->a->D, p->a->scale);
}

/* s (rows,n) = q k^T of keys that lie at ld floats; whole vectors of them are written. */
static inline void scores(float *s, float *kt, const struct problem *p, size_t rows, const float *q,
                          const float *keys, size_t ld, size_t n)
{
    size_t D = p->a->D;
    if (rows <= DOTS_ROWS || p->by_row) {
        p->k->dots(s, LORAC_KEYS, q, D, keys, ld, LORAC_F32, rows, n, D, 1.0F, 0.0F);
    } else {
        p->k->transpose(kt, keys, ld, n, D);
        p->k->tile(s, LORAC_KEYS, q, D, 1, kt, LORAC_KEYS, rows, (n + 15) / 16 * 16, D, 1.0F, 0.0F);
    }
}

#endif
