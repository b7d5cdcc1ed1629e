/*
 * cpu_attention.c - attention of the cpu backend in blocks, without a matrix of all scores.
 *
 * A block of query rows takes some positions of one segment together with all query heads of one
 * key/value head, so that a key block is laid out once for all of them:
 *
 *   row   0 1 2 3   4 5 6 7   8 ..        4 query heads a key head
 *   position  i0      i0+1    i0+2 ..     up to LORAC_ROWS rows
 *
 * Forward: the online softmax (Milakov, Gimelshein 2018; Dao et al. 2022, "FlashAttention"). A
 * segment of one block with a long past, as in decoding, is also cut along its keys: each piece has
 * its own maximum, sum and output, which are put together in order. Backward, segments that
 * continue each other are cut along their queries where they are long.
 */
#include "base/compute/cpu.h"

#include "base/compute/ref.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum {
    BACK_ROWS = 512, // at least, of one piece of the backward of a tree of segments, ...
    BACK_PIECES = 4, // ... which has at most so many: each has a dk and dv of its own
    DOTS_ROWS = 8,   // as few rows don't pay for transposing the keys
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

size_t lorac_cpu_attention_floats(void)
{
    return (sizeof(struct scratch) + 63) / 64 * 16;
}

/* The arguments, and what follows from them. */
struct problem {
    const struct lorac_kernels *k;
    const struct lorac_segment *segments;
    const struct lorac_attention *a;
    size_t S, group, positions; // group = H / G; positions of one block
    const float *q, *keys, *values, *cache_k, *cache_v;
    char *scratch;
    bool split;         // whether long pasts are cut along their keys
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
    size_t s, g, i0, i1; // segment, key/value head, positions i0 .. i1-1 within the segment
    size_t rows;
};

static struct problem problem(const struct lorac_device *dev, const struct lorac_cpu_scratch *own,
                              const struct lorac_segment *segments, size_t S,
                              const struct lorac_attention *a)
{
    struct problem p = {.k = lorac_cpu(dev)->kernels, .segments = segments, .S = S, .a = a};
    p.group = a->H / a->G;
    p.positions = LORAC_ROWS / p.group;
    p.scratch = (char *)own->attention;
    return p;
}

static struct scratch *own_scratch(const struct problem *p)
{
    size_t bytes = lorac_cpu_attention_floats() * sizeof(float);
    return (struct scratch *)(void *)(p->scratch + (size_t)omp_get_thread_num() * bytes);
}

static bool fits(const struct lorac_attention *a)
{
    return a->D <= MAX_WIDTH && a->H / a->G <= LORAC_CPU_MAX_GROUP;
}

static size_t blocks_of(const struct problem *p, size_t s)
{
    return lorac_pieces(p->segments[s].n, p->positions);
}

static struct block block_at(const struct problem *p, size_t s, size_t g, size_t i0)
{
    size_t n = p->segments[s].n;
    size_t i1 = n - i0 < p->positions ? n : i0 + p->positions;
    return (struct block){s, g, i0, i1, (i1 - i0) * p->group};
}

/* The stretches of keys that segment s sees: of each ancestor and itself the cached rows, then
 * those of the batch. Returns their number. */
static size_t stretches_of(struct stretch out[2 * LORAC_MAX_CHAIN], const struct problem *p,
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

/* What rows of block b see of keys j0 .. j0+n-1 of a stretch. False where that is nothing. */
static bool look(struct lorac_sight *sight, const struct problem *p, const struct block *b,
                 const struct stretch *t, size_t j0, size_t n)
{
    bool any = false;
    size_t first = p->segments[b->s].position + b->i0; // position of the first row
    for (size_t i = b->i0; i < b->i1; i++) {
        size_t from = 0;
        size_t to = n;
        if (p->a->causal && t->own) { to = i < j0 ? 0 : i + 1 - j0 < n ? i + 1 - j0 : n; }
        if (p->a->window > 0) {
            size_t end =
                first + (i - b->i0) + p->a->window; // keys at begin .. end - 1 are in reach
            size_t begin = end >= 2 * p->a->window ? end - 2 * p->a->window + 1 : 0;
            size_t at = t->position + j0;
            if (end < at + to) { to = end > at ? end - at : 0; }
            from = begin <= at ? 0 : begin - at < to ? begin - at : to;
        }
        any = any || from < to;
        size_t row = (i - b->i0) * p->group;
        memset(sight->from + row, (int)from, p->group);
        memset(sight->to + row, (int)to, p->group);
    }
    return any;
}

/* Rows of block b of x (N,H,D), times factor. */
static void pack(float *to, const float *x, const struct problem *p, const struct block *b,
                 float factor)
{
    size_t width = p->group * p->a->D;
    for (size_t i = b->i0; i < b->i1; i++, to += width) {
        size_t n = p->segments[b->s].row + i;
        memcpy(to, x + (n * p->a->H + b->g * p->group) * p->a->D, width * sizeof *to);
        if (factor != 1.0F) { p->k->scale(to, width, factor); }
    }
}

/* s (rows,n) = q k^T; whole vectors of keys are written. */
static void scores(float *s, float *kt, const struct problem *p, size_t rows, const float *q,
                   const float *keys, size_t n)
{
    size_t D = p->a->D;
    size_t ld = p->a->G * D;
    if (rows <= DOTS_ROWS) {
        p->k->dots(s, LORAC_KEYS, q, D, keys, ld, LORAC_F32, rows, n, D, 1.0F, 0.0F);
    } else {
        p->k->transpose(kt, keys, ld, n, D);
        p->k->tile(s, LORAC_KEYS, q, D, 1, kt, LORAC_KEYS, rows, (n + 15) / 16 * 16, D, 1.0F, 0.0F);
    }
}

/* Keys begin .. end-1 of stretch t: one step of the online softmax for each block of keys. */
static void attend(struct scratch *w, const struct problem *p, const struct block *b,
                   const struct stretch *t, size_t begin, size_t end)
{
    size_t D = p->a->D;
    size_t ld = p->a->G * D;
    if (t->own && p->a->causal && end > b->i1) { end = b->i1; }
    for (size_t j = begin; j < end; j += LORAC_KEYS) {
        size_t n = end - j < LORAC_KEYS ? end - j : LORAC_KEYS;
        if (!look(&w->sight, p, b, t, j, n)) { continue; }
        scores(w->s, w->kt, p, b->rows, w->q, t->k + j * ld, n);
        p->k->softmax_step(w->s, &w->sight, w->max, w->sum, w->o, D, b->rows, n, D);
        p->k->tile(w->o, D, w->s, LORAC_KEYS, 1, t->v + j * ld, ld, b->rows, D, n, 1.0F, 1.0F);
    }
}

static void begin_block(struct scratch *w, const struct problem *p, const struct block *b)
{
    pack(w->q, p->q, p, b, p->a->scale);
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
        size_t row = p->segments[b->s].row + b->i0 + r / p->group;
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
    for (size_t t = 0; t < n; t++) {
        attend(w, p, b, &stretches[t], 0, stretches[t].n);
    }
    finish_block(w, out, lse, p, b);
}

/* ---- long pasts in pieces ---- */

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
    p->split = true;
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
    if (!fits(a)) {
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

/* ---- backward; the derivation is in ref_attention.c ---- */

struct gradients {
    float *dq, *dk, *dv;
    const float *dout, *out, *lse;
};

static void backward_keys(struct scratch *w, const struct gradients *d, const struct problem *p,
                          const struct block *b, const struct stretch *t)
{
    size_t D = p->a->D;
    size_t ld = p->a->G * D;
    size_t end = t->own && p->a->causal && t->n > b->i1 ? b->i1 : t->n;
    for (size_t j = 0; j < end; j += LORAC_KEYS) {
        size_t n = end - j < LORAC_KEYS ? end - j : LORAC_KEYS;
        if (!look(&w->sight, p, b, t, j, n)) { continue; }
        size_t at = (t->row + j) * ld + b->g * D;
        scores(w->s, w->kt, p, b->rows, w->q, t->k + j * ld, n);
        scores(w->dp, w->vt, p, b->rows, w->dout, t->v + j * ld, n);
        p->k->softmax_back(w->s, w->dp, &w->sight, w->lse, w->delta, b->rows, n);
        // dv += p^T dout;  dk += ds^T (scale q);  dq += scale ds k
        p->k->tile(d->dv + at, ld, w->s, 1, LORAC_KEYS, w->dout, D, n, D, b->rows, 1.0F, 1.0F);
        p->k->tile(d->dk + at, ld, w->dp, 1, LORAC_KEYS, w->q, D, n, D, b->rows, 1.0F, 1.0F);
        p->k->tile(w->o, D, w->dp, LORAC_KEYS, 1, t->k + j * ld, ld, b->rows, D, n, p->a->scale,
                   1.0F);
    }
}

static void backward_block(struct scratch *w, const struct gradients *d, const struct problem *p,
                           struct block b)
{
    size_t D = p->a->D;
    pack(w->q, p->q, p, &b, p->a->scale);
    pack(w->dout, d->dout, p, &b, 1.0F);
    pack(w->o, d->out, p, &b, 1.0F);
    for (size_t r = 0; r < b.rows; r++) {
        size_t row = p->segments[b.s].row + b.i0 + r / p->group;
        w->lse[r] = d->lse[row * p->a->H + b.g * p->group + r % p->group];
        p->k->dots(&w->delta[r], 1, w->dout + r * D, D, w->o + r * D, D, LORAC_F32, 1, 1, D, 1.0F,
                   0.0F);
    }
    memset(w->o, 0, b.rows * D * sizeof *w->o);
    struct stretch stretches[2 * LORAC_MAX_CHAIN];
    size_t n = stretches_of(stretches, p, b.s, b.g);
    for (size_t t = 0; t < n; t++) {
        backward_keys(w, d, p, &b, &stretches[t]);
    }
    size_t width = p->group * D;
    for (size_t i = b.i0; i < b.i1; i++) {
        size_t row = p->segments[b.s].row + i;
        memcpy(d->dq + (row * p->a->H + b.g * p->group) * D, w->o + (i - b.i0) * width,
               width * sizeof(float));
    }
}

static size_t root_of(const struct lorac_segment *segments, size_t s)
{
    while (segments[s].parent >= 0) {
        s = (size_t)segments[s].parent;
    }
    return s;
}

static size_t rows_from(const struct problem *p, size_t root)
{
    size_t rows = 0;
    for (size_t s = root; s < p->S; s++) {
        rows += root_of(p->segments, s) == root ? p->segments[s].n : 0;
    }
    return rows;
}

/* Rows of one piece of a tree of so many. */
static size_t piece_rows(const struct problem *p, size_t rows)
{
    size_t least = lorac_pieces(rows, BACK_PIECES);
    return !p->split ? SIZE_MAX : least < BACK_ROWS ? BACK_ROWS : least;
}

/* The queries of one piece of the segments that grow from `root`, for one key/value head. They add
 * to each other's keys: dk and dv are the piece's own, all of the tree's written. */
static void backward_piece(struct scratch *w, const struct gradients *d, const struct problem *p,
                           size_t root, size_t g, size_t piece)
{
    size_t D = p->a->D;
    size_t ld = p->a->G * D;
    size_t rows = rows_from(p, root);
    size_t step = piece_rows(p, rows);
    if (piece > 0 && piece >= lorac_pieces(rows, step)) { return; }
    size_t at = 0; // rows of the tree before segment s
    for (size_t s = root; s < p->S; s++) {
        const struct lorac_segment *seg = &p->segments[s];
        if (root_of(p->segments, s) != root) { continue; }
        for (size_t n = seg->row; n < seg->row + seg->n; n++) {
            memset(d->dk + n * ld + g * D, 0, D * sizeof(float));
            memset(d->dv + n * ld + g * D, 0, D * sizeof(float));
        }
        for (size_t i = 0; i < seg->n; i += p->positions) { // its parents are complete, as zeroed
            if ((at + i) / step == piece) { backward_block(w, d, p, block_at(p, s, g, i)); }
        }
        at += seg->n;
    }
}

/* Where piece `i` puts its dk and dv: the first where they belong, others beside them. */
static struct gradients of_piece(const struct gradients *d, float *parts, size_t i, size_t floats)
{
    struct gradients own = *d;
    if (i > 0) { own.dk = parts + 2 * (i - 1) * floats; }
    if (i > 0) { own.dv = own.dk + floats; }
    return own;
}

/* Room for the parts of the largest tree's pieces; without, nothing is cut. Returns how many. */
static size_t cut_trees(struct lorac_cpu_scratch *own, struct problem *p, size_t *floats)
{
    size_t N = 0;
    size_t most = 1;
    p->split = true;
    for (size_t s = 0; s < p->S; s++) {
        size_t end = (size_t)p->segments[s].row + p->segments[s].n;
        size_t rows = p->segments[s].parent < 0 ? rows_from(p, s) : 0;
        size_t pieces = lorac_pieces(rows, piece_rows(p, rows));
        N = end > N ? end : N;
        most = pieces > most ? pieces : most;
    }
    *floats = N * p->a->G * p->a->D;
    p->parts = most > 1 ? lorac_cpu_parts(own, 2 * (most - 1) * *floats) : NULL;
    p->split = p->parts != NULL;
    return p->split ? most : 1;
}

/* In order, so that the sum does not depend on who made them. */
static void add_pieces(const struct gradients *d, const struct problem *p, size_t floats)
{
    size_t width = p->a->G * p->a->D;
    for (size_t s = 0; s < p->S && p->split; s++) {
        size_t rows = rows_from(p, root_of(p->segments, s));
        size_t at = p->segments[s].row * width;
        for (size_t i = 1; i < lorac_pieces(rows, piece_rows(p, rows)); i++) {
            struct gradients part = of_piece(d, p->parts, i, floats);
            p->k->add(d->dk + at, part.dk + at, p->segments[s].n * width);
            p->k->add(d->dv + at, part.dv + at, p->segments[s].n * width);
        }
    }
}

void lorac_cpu_attention_backward(struct lorac_device *dev, float *dq, float *dk, float *dv,
                                  const float *dout, const float *out, const float *lse,
                                  const float *q, const float *k, const float *v,
                                  const struct lorac_segment *segments, size_t S,
                                  const struct lorac_attention *a)
{
    if (!fits(a)) {
        lorac_ref_attention_backward(dev, dq, dk, dv, dout, out, lse, q, k, v, segments, S, a);
        return;
    }
    struct lorac_cpu_scratch *own = lorac_cpu_take(dev);
    struct problem p = problem(dev, own, segments, S, a);
    p.q = q;
    p.keys = k;
    p.values = v;
    struct gradients d = {dq, dk, dv, dout, out, lse};
    size_t floats = 0;
    size_t pieces = cut_trees(own, &p, &floats);
#pragma omp parallel for num_threads(dev->threads) schedule(dynamic)
    for (size_t item = 0; item < pieces * S * a->G; item++) {
        size_t i = pieces - 1 - item / (S * a->G); // the last sees the most keys: it begins
        size_t s = item / a->G % S;
        if (segments[s].parent >= 0) { continue; }
        struct gradients mine = of_piece(&d, p.parts, i, floats);
        backward_piece(own_scratch(&p), &mine, &p, s, item % a->G, i);
    }
    add_pieces(&d, &p, floats);
    lorac_cpu_give(dev, own);
}
