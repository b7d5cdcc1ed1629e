/*
 * cpu_matmul.c - products of the cpu backend; row-major throughout.
 *
 * OpenBLAS where all sides are wide, and for many rows oneDNN where that is faster (cpu_blocks.h).
 * Not where one is as small as an adapter's rank, where sgemm reaches a tenth of its speed: these
 * products read and write their wide matrices once and do little with them. Nor for few rows
 * (decoding, short prompts), which read each weight once as it is stored, nor for small weights:
 * measured against sgemm with `lorac_bench ops`.
 *
 * Long sums are made in blocks on both ways, so that a row's result depends on its neighbours in
 * the batch by roundings of a short sum only (accumulation: base.test_pass); and not at all where
 * the device computes each row by itself (by_row): by our own kernels alone (lora.test_by_row).
 */
#include "base/compute/blas.h"
#include "base/compute/cpu_blocks.h"
#include "base/core/mem.h"

#include <assert.h>

enum {
    RANK = LORAC_CPU_RANK,
    FEW = 16,        // rows at most: our own kernels,
    FEW_STORED = 64, // ... of 16-bit weights, which sgemm would need decoded first
    NARROW = LORAC_CPU_NARROW,
    SMALL = 1 << 16,  // multiplications that aren't worth waking the threads
    ROWS = 16,        // rows of one piece
    OUTPUTS = 64,     // outputs of one piece of dot products,
    OUTPUTS_FEW = 16, // ... where its rows are few: threads get equal shares of narrow weights
    COLUMNS = 512,    // columns of one piece of sums over rows of b
    DEPTH = 32,       // rows summed at once in matmul_tn: they stay in the cache for all ranks
    STRIP = 32,       // columns of them at a time: as many lines as a core waits for at once
    CHAIN =
        128, // terms of a long sum added up in one go: blocks keep its error small, as sgemm's do
};

/* y (N,OC) with row length ldy = beta y + alpha x (N,C) w (OC,C)^T */
static void dots(struct lorac_device *dev, float *y, size_t ldy, const float *x, const void *w,
                 enum lorac_dtype type, size_t N, size_t C, size_t OC, float alpha, float beta)
{
    const struct lorac_kernels *k = lorac_cpu(dev)->kernels;
    size_t row = lorac_dtype_bytes(type, C);
    size_t outputs = N <= ROWS ? OUTPUTS_FEW : OUTPUTS;
    size_t down = lorac_pieces(N, ROWS); // all rows pass by the weights that a thread has at hand
    size_t pieces = down * lorac_pieces(OC, outputs);
#pragma omp parallel for num_threads(dev->threads) if (pieces > 1 && N * C * OC > SMALL)
    for (size_t i = 0; i < pieces; i++) {
        size_t n = i % down * ROWS;
        size_t o = i / down * outputs;
        k->dots(y + n * ldy + o, ldy, x + n * C, C, (const char *)w + o * row, C, type,
                lorac_min(ROWS, N - n), lorac_min(outputs, OC - o), C, alpha, beta);
    }
}

/* y (N,C) = beta y + alpha u (N,R) b (R,C); u's rows are ldu long */
static void sums(struct lorac_device *dev, float *y, const float *u, size_t ldu, const float *b,
                 size_t N, size_t C, size_t R, float alpha, float beta)
{
    const struct lorac_kernels *k = lorac_cpu(dev)->kernels;
    size_t across = lorac_pieces(C, COLUMNS);
    size_t pieces = lorac_pieces(N, ROWS) * across;
#pragma omp parallel for num_threads(dev->threads) if (pieces > 1 && N * C * R > SMALL)
    for (size_t i = 0; i < pieces; i++) {
        size_t n = i / across * ROWS;
        size_t c = i % across * COLUMNS;
        size_t r = 0;
        do {
            k->tile(y + n * C + c, C, u + n * ldu + r, ldu, 1, b + r * C + c, C,
                    lorac_min(ROWS, N - n), lorac_min(COLUMNS, C - c), lorac_min(CHAIN, R - r),
                    alpha, r ? 1.0F : beta);
            r += CHAIN;
        } while (r < R);
    }
}

/* Rows that our own kernels take, of which `most` are few. */
static bool are_few(const struct lorac_device *dev, size_t N, size_t most)
{
    return N <= most || dev->by_row;
}

void lorac_cpu_matmul_nt(struct lorac_device *dev, float *out, const float *a, const float *b,
                         size_t N, size_t C, size_t OC, float alpha, float beta)
{
    if (OC <= RANK || are_few(dev, N, FEW)) {
        dots(dev, out, OC, a, b, LORAC_F32, N, C, OC, alpha, beta);
    } else {
        lorac_blas_sgemm(dev->threads, false, true, N, OC, C, alpha, a, C, b, C, beta, out, OC);
    }
}

void lorac_cpu_matmul_nn(struct lorac_device *dev, float *out, const float *a, const float *b,
                         size_t N, size_t C, size_t OC, float alpha, float beta)
{
    if (OC <= RANK || are_few(dev, N, FEW)) {
        sums(dev, out, a, OC, b, N, C, OC, alpha, beta);
    } else {
        lorac_blas_sgemm(dev->threads, false, false, N, C, OC, alpha, a, OC, b, C, beta, out, C);
    }
}

/* Rows (n,columns) that are read next, a few numbers of each at a time: the hardware would not see
 * them come. */
static void ask_for(const float *b, size_t ldb, size_t n, size_t columns)
{
    enum { LINE = 16 };
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < columns; c += LINE) {
            __builtin_prefetch(b + i * ldb + c, 0, 2);
        }
    }
}

void lorac_cpu_matmul_tn(struct lorac_device *dev, float *out, const float *a, const float *b,
                         size_t N, size_t C, size_t OC, float alpha, float beta)
{
    if (OC > RANK && N > 0) {
        lorac_blas_sgemm(dev->threads, true, false, OC, C, N, alpha, a, OC, b, C, beta, out, C);
        return;
    }
    const struct lorac_kernels *k = lorac_cpu(dev)->kernels;
#pragma omp parallel num_threads(dev->threads) if (C > STRIP && N * C * OC > SMALL)
    {
        size_t n = 0;
        do { // the same threads get the same columns each time: nobody waits
            size_t rows = lorac_min(DEPTH, N - n);
            size_t next = lorac_min(DEPTH, N - n - rows);
#pragma omp for schedule(static) nowait
            for (size_t c = 0; c < C; c += STRIP) {
                const float *from = b + n * C + c;
                size_t some = lorac_min(STRIP, C - c);
                ask_for(from + rows * C, C, next, some);
                k->tile(out + c, C, a + n * OC, 1, OC, from, C, OC, some, rows, alpha,
                        n ? 1.0F : beta);
            }
            n += DEPTH;
        } while (n < N);
    }
}

void lorac_cpu_pair_down(const struct lorac_kernels *k, const struct lorac_cpu_product *p, size_t n,
                         size_t rows)
{
    size_t R = p->pair->R;
    k->dots(p->pair->u + n * R, R, p->x + n * p->K, p->K, p->pair->down, p->K, LORAC_F32, rows, R,
            p->K, p->pair->scale, 0.0F);
}

void lorac_cpu_pair_up(const struct lorac_kernels *k, const struct lorac_cpu_product *p, size_t n,
                       size_t rows, size_t o, size_t outputs, float beta)
{
    size_t R = p->pair->R;
    k->tile(p->y + n * p->OUT + o, p->OUT, p->pair->u + n * R, R, 1, p->pair->up + o, p->OUT, rows,
            outputs, R, 1.0F, beta);
}

/* Whether sgemm can read the stored weights where they are. */
static bool is_plain(const struct lorac_weight *w)
{
    return w->dtype == LORAC_F32 && w->compute != LORAC_BFLOAT16 &&
           (uintptr_t)w->data % sizeof(float) == 0;
}

/* Whether our own kernels can: are its numbers those that are multiplied? */
static bool is_direct(const struct lorac_weight *w)
{
    return lorac_kernels_take(w->dtype) && (w->compute != LORAC_BFLOAT16 || w->dtype == LORAC_BF16);
}

void lorac_cpu_decode(struct lorac_device *dev, float *to, const struct lorac_weight *w,
                      size_t first, size_t n)
{
    const struct lorac_kernels *k = lorac_cpu(dev)->kernels;
    const char *from = (const char *)w->data + lorac_dtype_bytes(w->dtype, first);
    size_t pieces = lorac_pieces(n, LORAC_CPU_PIECE);
    bool rounds = w->compute == LORAC_BFLOAT16 && w->dtype != LORAC_BF16;
#pragma omp parallel for num_threads(dev->threads) if (pieces > 1)
    for (size_t i = 0; i < pieces; i++) {
        size_t at = i * LORAC_CPU_PIECE;
        size_t some = lorac_min(LORAC_CPU_PIECE, n - at);
        k->decode(to + at, from + lorac_dtype_bytes(w->dtype, at), w->dtype, some);
        if (rounds) { k->round_bf16(to + at, to + at, some); }
    }
}

/* Rows o .. o+rows-1 of w as float32: in the file where they are plain, else decoded into `panel`.
 */
static const float *decoded(struct lorac_device *dev, float *panel, const struct lorac_weight *w,
                            size_t o, size_t rows)
{
    if (is_plain(w)) { return (const float *)w->data + o * w->C; }
    assert(rows * w->C <= LORAC_CPU_PANEL);
    lorac_cpu_decode(dev, panel, w, o * w->C, rows * w->C);
    return panel;
}

/* Rows of w that one product takes; 0: one is longer than the panel. */
static size_t panel_rows(const struct lorac_weight *w, size_t used)
{
    return is_plain(w) ? w->OC : lorac_min(w->OC, (LORAC_CPU_PANEL - used) / w->C);
}

/* y (n) is about to be written. sgemm's threads share out its columns: of memory that is new, each
 * would meet every page, and both wait for the kernel to make it. A number a page costs nothing. */
static void divide_pages(struct lorac_device *dev, float *y, size_t n)
{
    enum { PAGE = 1024, MANY = 16 };
    size_t pages = lorac_pieces(n, PAGE);
#pragma omp parallel for num_threads(dev->threads) if (pages > MANY)
    for (size_t i = 0; i < pages; i++) {
        y[i * PAGE] = 0.0F;
    }
}

void lorac_cpu_product(struct lorac_device *dev, struct lorac_cpu_scratch *s, size_t used, float *y,
                       const float *x, const struct lorac_weight *w, size_t N, float beta)
{
    size_t C = w->C;
    size_t OC = w->OC;
    size_t step = panel_rows(w, used);
    bool direct = is_direct(w);
    size_t most = direct && w->dtype != LORAC_F32 ? FEW_STORED : FEW;
    bool few = are_few(dev, N, most) || C * OC <= NARROW;
    if (direct && (few || step == 0)) {
        dots(dev, y, OC, x, w->data, w->dtype, N, C, OC, 1.0F, beta);
        return;
    }
    if (step == 0) {
        struct lorac_weight turned = {w->data, w->dtype, C, OC, true, w->compute, NULL, NULL};
        lorac_backend_ref.linear_backward(dev, y, x, &turned, N, beta);
        return;
    }
    struct lorac_cpu_scratch *own = s || is_plain(w) ? NULL : lorac_cpu_take(dev);
    float *panel = own ? own->panel : s ? s->panel + used : NULL;
    if (!few && beta == 0.0F) { divide_pages(dev, y, N * OC); }
    for (size_t o = 0; o < OC; o += step) {
        size_t rows = lorac_min(step, OC - o);
        const float *part = decoded(dev, panel, w, o, rows);
        if (few) {
            dots(dev, y + o, OC, x, part, LORAC_F32, N, C, rows, 1.0F, beta);
        } else {
            lorac_blas_sgemm(dev->threads, false, true, N, rows, C, 1.0F, x, C, part, C, beta,
                             y + o, OC);
        }
    }
    if (own) { lorac_cpu_give(dev, own); }
}

void lorac_cpu_product_back(struct lorac_device *dev, struct lorac_cpu_scratch *s, size_t used,
                            float *dx, const float *dy, const struct lorac_weight *w, size_t N,
                            float beta)
{
    size_t C = w->C;
    size_t OC = w->OC;
    size_t step = panel_rows(w, used);
    if (step == 0) {
        lorac_backend_ref.linear_backward(dev, dx, dy, w, N, beta);
        return;
    }
    struct lorac_cpu_scratch *own = s || is_plain(w) ? NULL : lorac_cpu_take(dev);
    float *panel = own ? own->panel : s ? s->panel + used : NULL;
    for (size_t o = 0; o < OC; o += step) {
        size_t rows = lorac_min(step, OC - o);
        const float *part = decoded(dev, panel, w, o, rows);
        if (are_few(dev, N, FEW) || C * OC <= NARROW) {
            sums(dev, dx, dy + o, OC, part, N, C, rows, 1.0F, o ? 1.0F : beta);
        } else {
            lorac_blas_sgemm(dev->threads, false, false, N, C, rows, 1.0F, dy + o, OC, part, C,
                             o ? 1.0F : beta, dx, C);
        }
    }
    if (own) { lorac_cpu_give(dev, own); }
}

/* A transposed weight as what is stored: a matrix (C,OC) of its own. */
static struct lorac_weight as_stored(const struct lorac_weight *w)
{
    return (struct lorac_weight){w->data, w->dtype, w->C, w->OC, false, w->compute, NULL, w->bf16};
}

static void prepare(struct lorac_device *dev, const struct lorac_weight *w, bool back)
{
    struct lorac_weight stored = as_stored(w);
    for (int b = 0; b <= back; b++) {
        if (w->bf16) {
            lorac_cpu_bf16_prepare(dev, w->transposed ? &stored : w, b != w->transposed);
        }
        if (w->int8) { lorac_cpu_int8_prepare(dev, w, b); }
    }
}

void lorac_cpu_weights_prepare(struct lorac_device *dev, const struct lorac_weight *const *w,
                               size_t n, bool back)
{
    size_t all = 0;
    for (size_t i = 0; i < n; i++) {
        all += w[i]->OC * w[i]->C;
        if (w[i]->bf16) { lorac_cpu_bf16_layout(dev, w[i]); }
    }
    size_t share = all / (size_t)dev->threads;
    for (size_t i = 0; i < n; i++) { // large ones, and those that must be rounded, by all threads
        bool rounds = w[i]->bf16 && w[i]->dtype != LORAC_BF16;
        if (rounds || w[i]->OC * w[i]->C > share) { prepare(dev, w[i], back); }
    }
#pragma omp parallel for num_threads(dev->threads) schedule(dynamic)
    for (size_t i = n; i > 0; i--) { // the head is the largest, as a rule, and begins
        prepare(dev, w[i - 1], back);
    }
}

/* Of what is stored. A pair: only where that is faster than its parts, else false. */
static bool multiply(struct lorac_device *dev, const struct lorac_cpu_product *p)
{
    const struct lorac_weight *w = p->w;
    if (p->pair && (p->pair->R > RANK || dev->by_row)) { return false; }
    if (w->int8) { return lorac_cpu_int8(dev, p); }
    if (w->bf16 && lorac_cpu_bf16_blocks(dev, p)) { return true; }
    if (w->compute == LORAC_FLOAT32 && lorac_cpu_blocks_float32(dev, p)) { return true; }
    if (p->pair) { return false; }
    if (w->compute == LORAC_BFLOAT16) {
        lorac_cpu_bf16(dev, p);
    } else if (p->back) {
        lorac_cpu_product_back(dev, NULL, 0, p->y, p->x, w, p->N, p->beta);
    } else {
        lorac_cpu_product(dev, NULL, 0, p->y, p->x, w, p->N, p->beta);
    }
    if (!p->bias) { return true; }
    const struct lorac_kernels *k = lorac_cpu(dev)->kernels;
#pragma omp parallel for num_threads(dev->threads) if (p->N * p->OUT > LORAC_CPU_PIECE)
    for (size_t n = 0; n < p->N; n++) {
        k->add(p->y + n * p->OUT, p->bias, p->OUT);
    }
    return true;
}

bool lorac_cpu_linear_pair(struct lorac_device *dev, bool back, float *y, const float *x,
                           const struct lorac_weight *w, const float *bias,
                           const struct lorac_pair *pair, size_t N, float beta)
{
    struct lorac_weight stored = as_stored(w);
    bool turned = w->transposed && !w->int8; // integers are packed from either order
    return multiply(dev, &(struct lorac_cpu_product){
                             .w = turned ? &stored : w,
                             .back = back != turned,
                             .y = y,
                             .x = x,
                             .N = N,
                             .K = back ? w->OC : w->C,
                             .OUT = back ? w->C : w->OC,
                             .bias = bias,
                             .pair = pair,
                             .pair_first = back,
                             .beta = beta,
                         });
}

void lorac_cpu_linear(struct lorac_device *dev, float *y, const float *x,
                      const struct lorac_weight *w, const float *bias, size_t N)
{
    (void)lorac_cpu_linear_pair(dev, false, y, x, w, bias, NULL, N, 0.0F);
}

void lorac_cpu_linear_backward(struct lorac_device *dev, float *dx, const float *dy,
                               const struct lorac_weight *w, size_t N, float beta)
{
    (void)lorac_cpu_linear_pair(dev, true, dx, dy, w, NULL, NULL, N, beta);
}
