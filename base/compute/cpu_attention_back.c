/* cpu_attention_back.c - the backward pass of attention in blocks; the derivation is in
 * ref_attention.c. Segments that continue each other are cut along their queries where they are
 * long. */
#include "base/compute/cpu_attention.h"

#include "base/compute/ref.h"

enum {
    BACK_ROWS = 512, // queries at least, of one piece of the backward of a tree of segments, ...
    BACK_PIECES = 4, // ... which has at most so many: each has a dk and dv of its own
};

struct gradients {
    float *dq, *dk, *dv;
    const float *dout, *out, *lse;
};

static void backward_keys(struct scratch *w, const struct gradients *d, const struct problem *p,
                          const struct block *b, const struct stretch *t)
{
    size_t D = p->a->D;
    size_t ld = p->a->G * D;
    size_t end = t->own && p->a->causal && t->n > b->end ? b->end : t->n;
    for (size_t j = 0; j < end; j += LORAC_KEYS) {
        size_t n = end - j < LORAC_KEYS ? end - j : LORAC_KEYS;
        if (!look(&w->sight, p, b, t->position + j, n)) { continue; }
        size_t at = (t->row + j) * ld + b->g * D;
        scores(w->s, w->kt, p, b->rows, w->q, t->k + j * ld, ld, n);
        scores(w->dp, w->vt, p, b->rows, w->dout, t->v + j * ld, ld, n);
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
    pack_q(w->q, p, &b);
    pack(w->dout, d->dout, p, &b);
    pack(w->o, d->out, p, &b);
    for (size_t r = 0; r < b.rows; r++) {
        size_t row = query_row(p, b.s, b.i0 + r / p->group);
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
        size_t row = query_row(p, b.s, i);
        memcpy(d->dq + (row * p->a->H + b.g * p->group) * D, w->o + (i - b.i0) * width,
               width * sizeof(float));
    }
}

/* Which segments continue each other, in lists over all of them. */
struct trees {
    uint32_t *root;    // of the segment's tree
    uint32_t *next;    // segment of the same tree; 0: none
    uint32_t *queries; // of the tree that a root has
};
enum { LISTS = 3 };

/* Written, into room for so many numbers a segment. */
static struct trees find_trees(uint32_t *room, const struct problem *p)
{
    size_t S = p->S;
    struct trees t = {room, room + S, room + 2 * S};
    memset(room, 0, LISTS * S * sizeof *room);
    for (size_t s = 0; s < S; s++) {
        int32_t parent = p->segments[s].parent;
        t.root[s] = parent < 0 ? (uint32_t)s : t.root[parent];
    }
    for (size_t s = S; s-- > 0;) {
        size_t root = t.root[s];
        t.queries[root] += (uint32_t)queries_of(p, s);
        if (s == root) { continue; }
        t.next[s] = t.next[root];
        t.next[root] = (uint32_t)s;
    }
    return t;
}

/* Queries of one piece of a tree of so many. */
static size_t piece_queries(const struct problem *p, size_t queries)
{
    size_t least = lorac_pieces(queries, BACK_PIECES);
    return !p->split ? SIZE_MAX : least < BACK_ROWS ? BACK_ROWS : least;
}

/* The queries of one piece of the segments that grow from `root`, for one key/value head. They add
 * to each other's keys: dk and dv are the piece's own, all of the tree's written. */
static void backward_piece(struct scratch *w, const struct gradients *d, const struct problem *p,
                           const struct trees *t, size_t root, size_t g, size_t piece)
{
    size_t D = p->a->D;
    size_t ld = p->a->G * D;
    size_t step = piece_queries(p, t->queries[root]);
    if (piece > 0 && piece >= lorac_pieces(t->queries[root], step)) { return; }
    size_t at = 0; // queries of the tree before segment s
    size_t s = root;
    do {
        const struct lorac_segment *seg = &p->segments[s];
        for (size_t n = seg->row; n < seg->row + seg->n; n++) {
            memset(d->dk + n * ld + g * D, 0, D * sizeof(float));
            memset(d->dv + n * ld + g * D, 0, D * sizeof(float));
        }
        size_t queries = queries_of(p, s);
        for (size_t i = 0; i < queries; i += p->positions) { // its parents are complete, as zeroed
            if ((at + i) / step == piece) { backward_block(w, d, p, block_at(p, s, g, i)); }
        }
        at += queries;
        s = t->next[s];
    } while (s);
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
static size_t cut_trees(struct lorac_cpu_scratch *own, struct problem *p, const struct trees *t,
                        size_t *floats)
{
    size_t N = 0;
    size_t most = 1;
    p->split = true;
    for (size_t s = 0; s < p->S; s++) {
        size_t end = (size_t)p->segments[s].row + p->segments[s].n;
        size_t pieces = lorac_pieces(t->queries[s], piece_queries(p, t->queries[s]));
        N = end > N ? end : N;
        most = pieces > most ? pieces : most;
    }
    *floats = N * p->a->G * p->a->D;
    p->parts = most > 1 ? lorac_cpu_parts(own, 2 * (most - 1) * *floats) : NULL;
    p->split = p->parts != NULL;
    return p->split ? most : 1;
}

/* In order, so that the sum does not depend on who made them. */
static void add_pieces(const struct gradients *d, const struct problem *p, const struct trees *t,
                       size_t floats)
{
    size_t width = p->a->G * p->a->D;
    for (size_t s = 0; s < p->S && p->split; s++) {
        size_t queries = t->queries[t->root[s]];
        size_t at = p->segments[s].row * width;
        for (size_t i = 1; i < lorac_pieces(queries, piece_queries(p, queries)); i++) {
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
    if (!fits(a, S, 1 + LISTS)) {
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
    struct trees t = find_trees((uint32_t *)(void *)own->panel + S + 1, &p);
    size_t pieces = cut_trees(own, &p, &t, &floats);
#pragma omp parallel for num_threads(dev->threads) schedule(dynamic)
    for (size_t item = 0; item < pieces * S * a->G; item++) {
        size_t i = pieces - 1 - item / (S * a->G); // the last sees the most keys: it begins
        size_t s = item / a->G % S;
        if (segments[s].parent >= 0) { continue; }
        struct gradients mine = of_piece(&d, p.parts, i, floats);
        backward_piece(own_scratch(&p), &mine, &p, &t, s, item % a->G, i);
    }
    add_pieces(&d, &p, &t, floats);
    lorac_cpu_give(dev, own);
}
