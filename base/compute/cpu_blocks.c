/* cpu_blocks.c - products of many rows through oneDNN, by blocks of rows; see cpu_blocks.h. */
#include "base/compute/cpu_blocks.h"

#include "base/core/mem.h"

#include <omp.h>

#ifdef LORAC_HAVE_ONEDNN

struct lorac_onednn *lorac_cpu_onednn(struct lorac_device *dev)
{
    struct lorac_cpu *cpu = lorac_cpu(dev);
    if (cpu->onednn) { return cpu->onednn; }
    (void)pthread_mutex_lock(&cpu->lock);
    if (!cpu->onednn) { cpu->onednn = lorac_onednn_new(dev->threads); }
    (void)pthread_mutex_unlock(&cpu->lock);
    return cpu->onednn;
}

/* ---- weights ---- */

struct lorac_onednn_matrix lorac_cpu_stored(const struct lorac_weight *w, bool back)
{
    return (struct lorac_onednn_matrix){w->data, back ? w->OC : w->C, back ? w->C : w->OC,
                                        back ? LORAC_ONEDNN_ROWS : LORAC_ONEDNN_COLUMNS, w->dtype};
}

bool lorac_cpu_is_readable(const struct lorac_weight *w)
{
    return (w->dtype == LORAC_F32 || w->dtype == LORAC_BF16) &&
           (uintptr_t)w->data % lorac_dtype_bytes(w->dtype, 1) == 0;
}

/* ---- a product ---- */

enum {
    BLOCK = LORAC_CPU_BLOCK,
    PARTS = 3, // rows that are left: 32, 16, fewer than 16
    LINE = 16, // floats of a cache line
};

struct blocks {
    const struct lorac_cpu_product *p;
    struct lorac_onednn_matrix b;
    const struct lorac_onednn_product *whole, *rest[PARTS];
    bool adds;
    size_t rounded; // floats of a block of x in bfloat16 (0: x is read where it is), ...
    size_t floats;  // ... and the library's scratch behind it: of one thread
};

bool lorac_cpu_are_blocks(const struct lorac_device *dev, size_t N)
{
    return N >= 2 * (size_t)BLOCK * (size_t)dev->threads;
}

static size_t lines(size_t bytes)
{
    return lorac_pieces(bytes, LINE * sizeof(float)) * LINE;
}

static bool find_products(struct blocks *b, struct lorac_onednn *o,
                          const struct lorac_cpu_product *p, const struct lorac_onednn_matrix *m)
{
    bool adds = p->beta != 0.0F || (p->pair && p->pair_first);
    *b = (struct blocks){.p = p, .b = *m, .adds = adds};
    b->whole = lorac_onednn_find(o, m, BLOCK, adds, true);
    size_t bytes = b->whole ? lorac_onednn_scratch(b->whole) : 0;
    size_t left = p->N % BLOCK;
    bool there = b->whole;
    for (size_t i = 0; i < PARTS && left > 0 && there; i++) {
        size_t rows = lorac_onednn_rows(left);
        b->rest[i] = lorac_onednn_find(o, m, rows, adds, true);
        there = b->rest[i];
        bytes = lorac_max(bytes, there ? lorac_onednn_scratch(b->rest[i]) : 0);
        left -= rows;
    }
    b->rounded = m->type == LORAC_BF16 ? lines(BLOCK * m->K * sizeof(uint16_t)) : 0;
    b->floats = b->rounded + lines(bytes);
    return there;
}

/* Rows n .. n+rows-1 = or += x B, with x rounded in the scratch where B is. */
static void multiply_rows(struct lorac_device *dev, const struct blocks *b, float *scratch,
                          size_t n, size_t rows)
{
    const struct lorac_cpu_product *p = b->p;
    const struct lorac_weight *w = p->w;
    size_t done = 0;
    for (size_t i = 0; done < rows; i++) {
        float *y = p->y + (n + done) * p->OUT;
        const float *x = p->x + (n + done) * p->K;
        const uint16_t *rounded = (const uint16_t *)(const void *)scratch + done * p->K;
        size_t some = lorac_onednn_rows(rows - done);
        if (!lorac_onednn_run(lorac_cpu(dev)->onednn, rows == BLOCK ? b->whole : b->rest[i], y,
                              b->rounded ? (const void *)rounded : x, &b->b,
                              scratch + b->rounded)) { // no memory
            struct lorac_weight turned = {w->data, w->dtype,   w->C, w->OC,
                                          true,    w->compute, NULL, NULL};
            lorac_backend_ref.linear_backward(dev, y, x, p->back ? w : &turned, some,
                                              b->adds ? 1.0F : 0.0F);
        }
        done += some;
    }
}

static void multiply_block(struct lorac_device *dev, const struct blocks *b, float *scratch,
                           size_t n)
{
    const struct lorac_kernels *k = lorac_cpu(dev)->kernels;
    const struct lorac_cpu_product *p = b->p;
    size_t rows = lorac_min(BLOCK, p->N - n);
    float *y = p->y + n * p->OUT;
    if (b->rounded) { // in order: x is there
        k->to_bf16((uint16_t *)(void *)scratch, p->x + n * p->K, rows * p->K);
    }
    if (p->pair && p->pair->down) { lorac_cpu_pair_down(k, p, n, rows); }
    if (p->pair && p->pair_first) {
        lorac_cpu_pair_up(k, p, n, rows, 0, p->OUT, p->beta);
    } else if (p->beta != 0.0F && p->beta != 1.0F) {
        k->scale(y, rows * p->OUT, p->beta);
    }
    multiply_rows(dev, b, scratch, n, rows);
    for (size_t r = 0; r < rows && p->bias; r++) {
        k->add(y + r * p->OUT, p->bias, p->OUT);
    }
    if (p->pair && !p->pair_first) { lorac_cpu_pair_up(k, p, n, rows, 0, p->OUT, 1.0F); }
}

/* scratch (threads, floats) */
static void multiply(struct lorac_device *dev, const struct blocks *b, float *scratch)
{
    size_t pieces = lorac_pieces(b->p->N, BLOCK);
#    pragma omp parallel for num_threads(dev->threads) schedule(dynamic)
    for (size_t i = 0; i < pieces; i++) {
        multiply_block(dev, b, scratch + (size_t)omp_get_thread_num() * b->floats, i * BLOCK);
    }
}

bool lorac_cpu_blocks(struct lorac_device *dev, const struct lorac_cpu_product *p,
                      const struct lorac_onednn_matrix *m)
{
    struct lorac_onednn *o = lorac_cpu(dev)->onednn;
    struct blocks b;
    if (!o || !find_products(&b, o, p, m)) { return false; }
    struct lorac_cpu_scratch *s = lorac_cpu_take(dev);
    float *scratch = lorac_cpu_parts(s, (size_t)dev->threads * b.floats);
    if (scratch) { multiply(dev, &b, scratch); }
    lorac_cpu_give(dev, s);
    return scratch;
}

/* ---- float32 ---- */

enum {
    MANY = 384,     // rows at least: fewer don't gain what packing costs
    MOST = 1 << 26, // numbers of a weight: more would take more than 256 MiB
};

/* `to` (packed) = w, by way of scratch (OC C) where the library can't read it. */
static bool pack(struct lorac_device *dev, float *to, float *scratch, const struct lorac_weight *w,
                 bool back)
{
    struct lorac_onednn_matrix from = lorac_cpu_stored(w, back);
    if (!lorac_cpu_is_readable(w)) {
        lorac_cpu_decode(dev, scratch, w, 0, w->OC * w->C);
        from.data = scratch;
        from.type = LORAC_F32;
    }
    return lorac_onednn_pack(lorac_cpu(dev)->onednn, to, LORAC_F32, &from);
}

bool lorac_cpu_blocks_float32(struct lorac_device *dev, const struct lorac_cpu_product *p)
{
    size_t n = p->K * p->OUT;
    bool many = p->N >= MANY && lorac_cpu_are_blocks(dev, p->N);
    if (dev->by_row || !many || n <= LORAC_CPU_NARROW || n > MOST) { return false; }
    struct lorac_onednn *o = lorac_onednn_lacks(LORAC_F32) ? NULL : lorac_cpu_onednn(dev);
    struct lorac_onednn_matrix m = {NULL, p->K, p->OUT, LORAC_ONEDNN_PACKED, LORAC_F32};
    struct blocks b;
    if (!o || !find_products(&b, o, p, &m)) { return false; }
    size_t packed = lines(lorac_onednn_packed_bytes(o, LORAC_F32, m.K, m.N));
    size_t decoded = lorac_cpu_is_readable(p->w) ? 0 : n;
    struct lorac_cpu_scratch *s = lorac_cpu_take(dev);
    float *to = lorac_cpu_parts(s, packed + lorac_max(decoded, (size_t)dev->threads * b.floats));
    bool there = to && pack(dev, to, to + packed, p->w, p->back);
    b.b.data = to;
    if (there) { multiply(dev, &b, to + packed); }
    lorac_cpu_give(dev, s);
    return there;
}

#else

struct lorac_onednn *lorac_cpu_onednn(struct lorac_device *dev)
{
    (void)dev;
    return NULL;
}

bool lorac_cpu_blocks_float32(struct lorac_device *dev, const struct lorac_cpu_product *p)
{
    (void)dev, (void)p;
    return false;
}

#endif
