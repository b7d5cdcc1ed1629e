/*
 * cpu_attention.c - attention of the cpu backend in blocks, without a matrix of all scores.
 *
 * A block of query rows takes some queries of one segment, of which not every row need be one,
 * together with all query heads of one key/value head, so that a key block is laid out once for all
 * of them:
 *
 *   row   0 1 2 3   4 5 6 7   8 ..        4 query heads a key head
 *   query    i0       i0+1    i0+2 ..     up to LORAC_ROWS rows
 *
 * Forward: the online softmax (Milakov, Gimelshein 2018; Dao et al. 2022, "FlashAttention"). A
 * segment of one block that sees many keys, as in decoding, or where a prompt's last row alone is
 * asked for, is also cut along its keys: each piece has its own maximum, sum and output, which are
 * put together in order.
 * Backward: cpu_attention_back.c.
 *
 * Of a device that computes each row by itself (by_row) blocks of keys begin at multiples of
 * LORAC_KEYS, however the rows were read before and wherever they are kept, and scores are made in
 * one way alone.
 */
#include "base/compute/cpu_attention.h"

#include "base/compute/ref.h"

#include <math.h>

size_t lorac_cpu_attention_floats(void)
{
    return (sizeof(struct scratch) + 63) / 64 * 16;
}

/* One step of the online softmax over n keys, which lie at ld floats. */
static void attend_to(struct scratch *w, const struct problem *p, const struct block *b,
                      const float *k, const float *v, size_t ld, size_t n)
{
    size_t D = p->a->D;
    scores(w->s, w->kt, p, b->rows, w->q, k, ld, n);
    p->k->softmax_step(w->s, &w->sight, w->max, w->sum, w->o, D, b->rows, n, D);
    p->k->tile(w->o, D, w->s, LORAC_KEYS, 1, v, ld, b->rows, D, n, 1.0F, 1.0F);
}

/* Keys begin .. end-1 of stretch t: a step for each block of keys. */
static void attend(struct scratch *w, const struct problem *p, const struct block *b,
                   const struct stretch *t, size_t begin, size_t end)
{
    size_t ld = p->a->G * p->a->D;
    if (t->own && p->a->causal && end > b->end) { end = b->end; }
    for (size_t j = begin; j < end; j += LORAC_KEYS) {
        size_t n = end - j < LORAC_KEYS ? end - j : LORAC_KEYS;
        if (!look(&w->sight, p, b, t->position + j, n)) { continue; }
        attend_to(w, p, b, t->k + j * ld, t->v + j * ld, ld, n);
    }
}

/* k, v (n,D) = keys and values from position `at` on, which lie in several stretches from t on. */
static void gather(float *k, float *v, const struct problem *p, const struct stretch *t, size_t at,
                   size_t n)
{
    size_t D = p->a->D;
    size_t ld = p->a->G * D;
    for (size_t i = 0; i < n; i++) {
        while (at + i >= t->position + t->n) {
            t++;
        }
        size_t j = at + i - t->position;
        memcpy(k + i * D, t->k + j * ld, D * sizeof *k);
        memcpy(v + i * D, t->v + j * ld, D * sizeof *v);
    }
}

/* The same of all keys, as if they lay in one stretch: of which the last is the block's own. */
static void attend_by_row(struct scratch *w, const struct problem *p, const struct block *b,
                          const struct stretch *t, size_t stretches)
{
    size_t D = p->a->D;
    size_t ld = p->a->G * D;
    const struct stretch *own = &t[stretches - 1];
    size_t end = own->position + (p->a->causal ? b->end : own->n);
    for (size_t at = 0; at < end; at += LORAC_KEYS) {
        size_t n = end - at < LORAC_KEYS ? end - at : LORAC_KEYS;
        while (at >= t->position + t->n) {
            t++;
        }
        size_t j = at - t->position;
        if (!look(&w->sight, p, b, at, n)) { continue; }
        if (j + n <= t->n) {
            attend_to(w, p, b, t->k + j * ld, t->v + j * ld, ld, n);
        } else {
            gather(w->kt, w->vt, p, t, at, n);
            attend_to(w, p, b, w->kt, w->vt, D, n);
        }
    }
}

static void begin_block(struct scratch *w, const struct problem *p, const struct block *b)
{
    pack_q(w->q, p, b);
    memset(w->o, 0, b->rows * p->a->D * sizeof *w->o);
    memset(w->sum, 0, sizeof w->sum);
    for (size_t r = 0; r < b->rows; r++) {
        w->max[r] = -INFINITY;
    }
}

static void finish_block(struct scratch *w, float *out, float *lse, const struct problem *p,
                         const struct block *b)
{
    size_t D = p->a->D;
    for (size_t r = 0; r < b->rows; r++) {
        size_t row = query_row(p, b->s, b->i0 + r / p->group);
        size_t at = row * p->a->H + b->g * p->group + r % p->group;
        p->k->scale(w->o + r * D, D, 1.0F / w->sum[r]);
        memcpy(out + at * D, w->o + r * D, D * sizeof *out);
        lse[at] = w->max[r] + logf(w->sum[r]);
    }
}

static void forward_block(struct scratch *w, float *out, float *lse, const struct problem *p,
                          const struct block *b)
{
    begin_block(w, p, b);
    struct stretch stretches[2 * LORAC_MAX_CHAIN];
    size_t n = stretches_of(stretches, p, b->s, b->g);
    if (p->by_row) { attend_by_row(w, p, b, stretches, n); }
    for (size_t t = 0; t < n && !p->by_row; t++) {
        attend(w, p, b, &stretches[t], 0, stretches[t].n);
    }
    finish_block(w, out, lse, p, b);
}

/* ---- many keys in pieces ---- */

static bool is_split(const struct problem *p, size_t s)
{
    size_t keys = (size_t)p->segments[s].position + p->segments[s].n;
    return p->split && blocks_of(p, s) == 1 && keys >= 2 * (size_t)LORAC_CPU_SPLIT;
}

static size_t pieces_of(const struct problem *p, size_t s)
{
    struct stretch stretches[2 * LORAC_MAX_CHAIN];
    size_t n = stretches_of(stretches, p, s, 0);
    size_t pieces = 0;
    for (size_t t = 0; t < n; t++) {
        pieces += lorac_pieces(stretches[t].n, LORAC_CPU_SPLIT);
    }
    return pieces;
}

/* part written: piece `piece` of the keys that block b sees. */
static void forward_piece(struct scratch *w, float *part, const struct problem *p,
                          const struct block *b, size_t piece)
{
    begin_block(w, p, b);
    struct stretch stretches[2 * LORAC_MAX_CHAIN];
    stretches_of(stretches, p, b->s, b->g);
    const struct stretch *t = stretches;
    while (piece >= lorac_pieces(t->n, LORAC_CPU_SPLIT)) {
        piece -= lorac_pieces(t->n, LORAC_CPU_SPLIT);
        t++;
    }
    size_t begin = piece * LORAC_CPU_SPLIT;
    size_t end = t->n - begin < LORAC_CPU_SPLIT ? t->n : begin + LORAC_CPU_SPLIT;
    attend(w, p, b, t, begin, end);
    memcpy(part, w->max, sizeof w->max);
    memcpy(part + LORAC_ROWS, w->sum, sizeof w->sum);
    memcpy(part + (size_t)2 * LORAC_ROWS, w->o, b->rows * p->a->D * sizeof *part);
}

/* out, lse of block b from its pieces. */
static void join_pieces(struct scratch *w, float *out, float *lse, const struct problem *p,
                        const struct block *b, const float *part, size_t pieces)
{
    size_t D = p->a->D;
    begin_block(w, p, b);
    for (size_t r = 0; r < b->rows; r++) {
        for (size_t i = 0; i < pieces; i++) {
            w->max[r] = fmaxf(w->max[r], part[i * p->part_floats + r]);
        }
        float from = w->max[r] == -INFINITY ? 0.0F : w->max[r];
        for (size_t i = 0; i < pieces; i++) {
            const float *at = part + i * p->part_floats;
            const float *o = at + (size_t)2 * LORAC_ROWS + r * D;
            float factor = expf(at[r] - from);
            w->sum[r] += factor * at[LORAC_ROWS + r];
            for (size_t d = 0; d < D; d++) {
                w->o[r * D + d] += factor * o[d];
            }
        }
    }
    finish_block(w, out, lse, p, b);
}

/* Where an item of work lies. */
struct cursor {
    size_t s, first; // segment, its first item
    size_t part;     // its first part
};

static size_t items_of(const struct problem *p, size_t s)
{
    return (is_split(p, s) ? pieces_of(p, s) : blocks_of(p, s)) * p->a->G;
}

static void move_to(struct cursor *c, const struct problem *p, size_t item)
{
    if (item < c->first) { *c = (struct cursor){0}; }
    for (size_t n = items_of(p, c->s); item - c->first >= n; n = items_of(p, c->s)) {
        c->part += is_split(p, c->s) ? n : 0;
        c->first += n;
        c->s++;
    }
}

static void forward_item(struct scratch *w, float *out, float *lse, const struct problem *p,
                         const struct cursor *c, size_t item)
{
    size_t i = item - c->first;
    size_t per_head = items_of(p, c->s) / p->a->G;
    if (is_split(p, c->s)) {
        struct block b = block_at(p, c->s, i / per_head, 0);
        forward_piece(w, p->parts + (c->part + i) * p->part_floats, p, &b, i % per_head);
    } else {
        struct block b = block_at(p, c->s, i / per_head, i % per_head * p->positions);
        forward_block(w, out, lse, p, &b);
    }
}

/* Room for the parts of this batch; without, nothing is cut along its keys. */
static void find_parts(struct lorac_cpu_scratch *own, struct problem *p)
{
    size_t parts = 0;
    p->part_floats = LORAC_ROWS * (p->a->D + 2);
    p->split = !p->by_row;
    for (size_t s = 0; s < p->S; s++) {
        parts += is_split(p, s) ? items_of(p, s) : 0;
    }
    p->parts = parts ? lorac_cpu_parts(own, parts * p->part_floats) : NULL;
    p->split = p->parts != NULL;
}

/* A thousandth of the work of making them: one thread does it. */
static void join_all(struct scratch *w, float *out, float *lse, const struct problem *p)
{
    const float *part = p->parts;
    for (size_t s = 0; s < p->S; s++) {
        size_t pieces = is_split(p, s) ? pieces_of(p, s) : 0;
        for (size_t g = 0; pieces > 0 && g < p->a->G; g++) {
            struct block b = block_at(p, s, g, 0);
            join_pieces(w, out, lse, p, &b, part, pieces);
            part += pieces * p->part_floats;
        }
    }
}

void lorac_cpu_attention(struct lorac_device *dev, float *out, float *lse, const float *q,
                         const float *k, const float *v, const float *cache_k, const float *cache_v,
                         const struct lorac_segment *segments, size_t S,
                         const struct lorac_attention *a)
{
    if (!fits(a, S, 1)) {
        lorac_ref_attention(dev, out, lse, q, k, v, cache_k, cache_v, segments, S, a);
        return;
    }
    struct lorac_cpu_scratch *own = lorac_cpu_take(dev);
    struct problem p = problem(dev, own, segments, S, a);
    p.q = q;
    p.keys = k;
    p.values = v;
    p.cache_k = cache_k;
    p.cache_v = cache_v;
    find_parts(own, &p);
    size_t items = 0;
    for (size_t s = 0; s < S; s++) {
        items += items_of(&p, s);
    }
#pragma omp parallel num_threads(dev->threads) if (items > 1)
    {
        struct scratch *w = own_scratch(&p);
        struct cursor c = {0};
#pragma omp for schedule(dynamic)
        for (size_t item = 0; item < items; item++) {
            move_to(&c, &p, item);
            forward_item(w, out, lse, &p, &c, item);
        }
    }
    join_all(own_scratch(&p), out, lse, &p);
    lorac_cpu_give(dev, own);
}
