/*
 * cpu_bf16.c - products of the cpu backend in bfloat16: both factors rounded to nearest, sums in
 * float32.
 *
 * Many rows go by blocks, each of which one thread rounds, multiplies and adds a pair's share to
 * while it is in that thread's cache; fewer rows are a product of all threads.
 *
 * oneDNN reads a weight that is stored as bfloat16 where it is, for either direction, until a copy
 * a direction was prepared, which is faster to read; weights of other types have such copies, made
 * when a product first needs them. Few rows (decoding) of
 * weights stored as bfloat16, and all rows where there is no memory for a copy, are multiplied by
 * our own kernels and sgemm: the same factors, their sums grouped otherwise.
 */
#include "base/compute/cpu_blocks.h"
#include "base/core/mem.h"

#include <stdatomic.h>

enum {
    FEW = 8,                    // rows at most: our own kernels read the stored weight
    HALF = LORAC_CPU_PANEL / 2, // floats of the panel for rows of x, beside decoded weights
};

/* Copies of one weight in oneDNN's layout, for the product and for the backward one. */
struct lorac_cpu_bf16 {
    pthread_mutex_t lock;  // of making one
    void *_Atomic copy[2]; // NULL: not there
    bool failed[2];        // no memory, once and for all
};

void lorac_cpu_to_bf16(struct lorac_device *dev, uint16_t *y, const float *x, size_t n)
{
    const struct lorac_kernels *k = lorac_cpu(dev)->kernels;
#pragma omp parallel for num_threads(dev->threads) if (n > LORAC_CPU_PIECE)
    for (size_t i = 0; i < n; i += LORAC_CPU_PIECE) {
        k->to_bf16(y + i, x + i, lorac_min(LORAC_CPU_PIECE, n - i));
    }
}

void lorac_cpu_from_bf16(struct lorac_device *dev, float *x, const uint16_t *y, size_t n)
{
    const struct lorac_kernels *k = lorac_cpu(dev)->kernels;
#pragma omp parallel for num_threads(dev->threads) if (n > LORAC_CPU_PIECE)
    for (size_t i = 0; i < n; i += LORAC_CPU_PIECE) {
        k->decode(x + i, y + i, LORAC_BF16, lorac_min(LORAC_CPU_PIECE, n - i));
    }
}

#ifdef LORAC_HAVE_ONEDNN

const char *lorac_cpu_bf16_lacks(void)
{
    return lorac_onednn_lacks(LORAC_BF16);
}

/* ---- copies ---- */

/* Whether oneDNN can read it where it is, as what is multiplied. */
static bool is_stored_so(const struct lorac_weight *w)
{
    return w->dtype == LORAC_BF16 && lorac_cpu_is_readable(w);
}

/* out (OC C) = its numbers, rounded. */
static void round_all(struct lorac_device *dev, uint16_t *out, const struct lorac_weight *w)
{
    enum { SOME = 4096 };
    const struct lorac_kernels *k = lorac_cpu(dev)->kernels;
    size_t n = w->OC * w->C;
    size_t pieces = lorac_pieces(n, SOME);
#    pragma omp parallel for num_threads(dev->threads)
    for (size_t i = 0; i < pieces; i++) {
        float some[SOME];
        size_t m = lorac_min(SOME, n - i * SOME);
        k->decode(some, (const char *)w->data + lorac_dtype_bytes(w->dtype, i * SOME), w->dtype, m);
        k->to_bf16(out + i * SOME, some, m);
    }
}

void lorac_cpu_bf16_layout(struct lorac_device *dev, const struct lorac_weight *w)
{
    struct lorac_onednn *o = lorac_cpu(dev)->onednn;
    (void)lorac_onednn_packed_bytes(o, LORAC_BF16, w->C, w->OC);
    (void)lorac_onednn_packed_bytes(o, LORAC_BF16, w->OC, w->C);
}

/* A packed copy, or NULL. */
static void *pack(struct lorac_device *dev, const struct lorac_weight *w, bool back)
{
    struct lorac_onednn *o = lorac_cpu(dev)->onednn;
    struct lorac_onednn_matrix from = lorac_cpu_stored(w, back);
    size_t bytes = lorac_onednn_packed_bytes(o, LORAC_BF16, from.K, from.N);
    void *copy = bytes ? lorac_mem_new(bytes, 1) : NULL;
    uint16_t *rounded = NULL;
    if (copy && !is_stored_so(w)) {
        rounded = lorac_mem_new(w->OC * w->C, sizeof *rounded);
        if (rounded) { round_all(dev, rounded, w); }
        from.data = rounded;
        from.type = LORAC_BF16;
    }
    if (copy && (!from.data || !lorac_onednn_pack(o, copy, LORAC_BF16, &from))) {
        lorac_mem_free(copy);
        copy = NULL;
    }
    lorac_mem_free(rounded);
    return copy;
}

/* The copy, made by the first that asks. */
static const void *packed(struct lorac_device *dev, const struct lorac_weight *w, bool back)
{
    struct lorac_cpu_bf16 *p = w->bf16;
    void *copy = atomic_load_explicit(&p->copy[back], memory_order_acquire);
    if (copy) { return copy; }
    (void)pthread_mutex_lock(&p->lock);
    copy = atomic_load_explicit(&p->copy[back], memory_order_relaxed);
    if (!copy && !p->failed[back]) {
        copy = pack(dev, w, back);
        p->failed[back] = !copy;
        atomic_store_explicit(&p->copy[back], copy, memory_order_release);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return copy;
}

/* What a product reads; data NULL: there is no memory for it. */
static struct lorac_onednn_matrix find(struct lorac_device *dev, const struct lorac_weight *w,
                                       bool back)
{
    struct lorac_onednn_matrix m = lorac_cpu_stored(w, back);
    const void *copy = is_stored_so(w)
                           ? atomic_load_explicit(&w->bf16->copy[back], memory_order_acquire)
                           : packed(dev, w, back);
    if (copy || !is_stored_so(w)) {
        m.data = copy;
        m.order = LORAC_ONEDNN_PACKED;
        m.type = LORAC_BF16;
    }
    return m;
}

void lorac_cpu_bf16_prepare(struct lorac_device *dev, const struct lorac_weight *w, bool back)
{
    (void)packed(dev, w, back);
}

/* ---- products ---- */

/* By oneDNN, y = or += x B, as far as there is memory: how many rows. */
static size_t multiply(struct lorac_device *dev, struct lorac_cpu_scratch *s, bool back, float *y,
                       const float *x, const struct lorac_weight *w, size_t N, bool adds)
{
    struct lorac_onednn *o = lorac_cpu(dev)->onednn;
    if (!o) { return 0; }
    struct lorac_onednn_matrix b = find(dev, w, back);
    size_t most = 2 * LORAC_CPU_PANEL / b.K; // rows of x that fit the panel
    uint16_t *a = (uint16_t *)(void *)s->panel;
    size_t n = 0;
    while (b.data && n < N && most > 0) {
        size_t rows = lorac_onednn_rows(lorac_min(N - n, most));
        const struct lorac_onednn_product *p = lorac_onednn_find(o, &b, rows, adds, false);
        size_t floats = p ? lorac_onednn_scratch(p) / sizeof(float) + 1 : 0;
        float *scratch = p ? lorac_cpu_parts(s, floats) : NULL;
        if (!scratch) { break; }
        lorac_cpu_to_bf16(dev, a, x + n * b.K, rows * b.K);
        if (!lorac_onednn_run(o, p, y + n * b.N, a, &b, scratch)) { break; }
        n += rows;
    }
    return n;
}

bool lorac_cpu_bf16_blocks(struct lorac_device *dev, const struct lorac_cpu_product *p)
{
    if (!lorac_cpu_are_blocks(dev, p->N)) { return false; }
    struct lorac_onednn_matrix b = find(dev, p->w, p->back);
    return b.data && lorac_cpu_blocks(dev, p, &b);
}

#else

const char *lorac_cpu_bf16_lacks(void)
{
    return "built without oneDNN";
}

static size_t multiply(struct lorac_device *dev, struct lorac_cpu_scratch *s, bool back, float *y,
                       const float *x, const struct lorac_weight *w, size_t N, bool adds)
{
    (void)dev, (void)s, (void)back, (void)y, (void)x, (void)w, (void)N, (void)adds;
    return 0;
}

bool lorac_cpu_bf16_blocks(struct lorac_device *dev, const struct lorac_cpu_product *p)
{
    (void)dev, (void)p;
    return false;
}

void lorac_cpu_bf16_prepare(struct lorac_device *dev, const struct lorac_weight *w, bool back)
{
    (void)dev, (void)w, (void)back;
}

void lorac_cpu_bf16_layout(struct lorac_device *dev, const struct lorac_weight *w)
{
    (void)dev, (void)w;
}

#endif

/* By our own kernels and sgemm, y = beta y + x B. */
static void multiply_slowly(struct lorac_device *dev, struct lorac_cpu_scratch *s, bool back,
                            float *y, const float *x, const struct lorac_weight *w, size_t N,
                            float beta)
{
    const struct lorac_kernels *k = lorac_cpu(dev)->kernels;
    size_t K = back ? w->OC : w->C;
    size_t OUT = back ? w->C : w->OC;
    size_t step = HALF / K;
    if (step == 0) {
        struct lorac_weight turned = {w->data, w->dtype, w->C, w->OC, true, w->compute, NULL, NULL};
        lorac_backend_ref.linear_backward(dev, y, x, back ? w : &turned, N, beta);
        return;
    }
    for (size_t n = 0; n < N; n += step) {
        size_t rows = lorac_min(step, N - n);
        k->round_bf16(s->panel, x + n * K, rows * K);
        if (back) {
            lorac_cpu_product_back(dev, s, HALF, y + n * OUT, s->panel, w, rows, beta);
        } else {
            lorac_cpu_product(dev, s, HALF, y + n * OUT, s->panel, w, rows, beta);
        }
    }
}

void lorac_cpu_bf16(struct lorac_device *dev, const struct lorac_cpu_product *p)
{
    struct lorac_cpu_scratch *s = lorac_cpu_take(dev);
    float beta = p->beta;
    if (beta != 0.0F && beta != 1.0F) { // oneDNN would translate a product for each
        dev->ops->scale(dev, p->y, p->N * p->OUT, beta);
        beta = 1.0F;
    }
    bool few = p->N <= FEW && p->w->dtype == LORAC_BF16;
    size_t n = few ? 0 : multiply(dev, s, p->back, p->y, p->x, p->w, p->N, beta != 0.0F);
    if (n < p->N) {
        multiply_slowly(dev, s, p->back, p->y + n * p->OUT, p->x + n * p->K, p->w, p->N - n, beta);
    }
    lorac_cpu_give(dev, s);
}

/* ---- handles ---- */

bool lorac_cpu_bf16_open(struct lorac_device *dev, struct lorac_weight *w)
{
    w->bf16 = lorac_cpu_onednn(dev) ? lorac_mem_new(1, sizeof *w->bf16) : NULL;
    if (w->bf16) { (void)pthread_mutex_init(&w->bf16->lock, NULL); }
    return w->bf16;
}

void lorac_cpu_bf16_close(struct lorac_weight *w)
{
    if (!w->bf16) { return; }
    lorac_mem_free(w->bf16->copy[0]);
    lorac_mem_free(w->bf16->copy[1]);
    (void)pthread_mutex_destroy(&w->bf16->lock);
    lorac_mem_free(w->bf16);
}

/* oneDNN fills both sides of a copy up to whole blocks. */
size_t lorac_cpu_bf16_bytes(size_t OC, size_t C)
{
    enum { SIDE = 64 };
    size_t n = lorac_pieces(OC, SIDE) * SIDE * lorac_pieces(C, SIDE) * SIDE;
    return n * sizeof(uint16_t);
}
