/* kernels_products.c - products of float32 matrices in register blocks, and decoding of stored
 * numbers. */
#include "base/compute/kernels_isa.h"

/* The block of c held in registers. A vector takes one register of AVX-512 (of 32), two of AVX2 (of
 * 16), four of NEON (of 32) and SSE2 (of 16). */
#ifdef __AVX512F__
enum { TILE_M = 8, TILE_V = 2, DOTS_M = 4, DOTS_N = 4 };
#else
enum { TILE_M = 4, TILE_V = 1, DOTS_M = 2, DOTS_N = 2 };
#endif

enum { CACHE_LINE = 64 };

struct operands {
    float *c;
    const float *a, *b;
    size_t ldc, a_row, a_col, ldb, k;
    float alpha, beta;
};

/* One vector of c from its product; `last` < 16 columns of it exist unless full. */
LORAC_INLINE void put(float *c, v16 product, const struct operands *t, bool full, size_t last)
{
    v16 y = product * splat(t->alpha);
    if (t->beta != 0.0F) { y += splat(t->beta) * (full ? load(c) : load_some(c, last)); }
    if (full) {
        store(c, y);
    } else {
        store_some(c, y, last);
    }
}

/* c (M, 16 V); `last` < 16: so many columns of the last vector exist. M, V, full are constants. */
LORAC_INLINE void tile_block(const struct operands *t, size_t M, size_t V, bool full, size_t last)
{
    v16 acc[TILE_M][TILE_V];
    for (size_t i = 0; i < M; i++) {
        for (size_t v = 0; v < V; v++) {
            acc[i][v] = (v16){0};
        }
    }
    const float *a = t->a;
    const float *b = t->b;
    for (size_t l = 0; l < t->k; l++, a += t->a_col, b += t->ldb) {
        v16 row[TILE_V];
        for (size_t v = 0; v < V; v++) {
            row[v] = full ? load(b + v * LANES) : load_some(b + v * LANES, last);
        }
        for (size_t i = 0; i < M; i++) {
            v16 x = splat(a[i * t->a_row]);
            for (size_t v = 0; v < V; v++) {
                acc[i][v] += x * row[v];
            }
        }
    }
    if (full && t->alpha == 1.0F && t->beta == 1.0F) { // short sums, of low ranks: it shows
        for (size_t i = 0; i < M; i++) {
            for (size_t v = 0; v < V; v++) {
                float *c = t->c + i * t->ldc + v * LANES;
                store(c, load(c) + acc[i][v]);
            }
        }
        return;
    }
    for (size_t i = 0; i < M; i++) {
        for (size_t v = 0; v < V; v++) {
            put(t->c + i * t->ldc + v * LANES, acc[i][v], t, full, last);
        }
    }
}

/* M rows of c, all n columns. */
LORAC_INLINE void tile_rows(struct operands t, size_t M, size_t n)
{
    size_t j = 0;
    for (; n - j >= (size_t)TILE_V * LANES; j += (size_t)TILE_V * LANES) {
        tile_block(&t, M, TILE_V, true, LANES);
        t.b += (size_t)TILE_V * LANES;
        t.c += (size_t)TILE_V * LANES;
    }
    for (; n - j >= LANES; j += LANES) {
        tile_block(&t, M, 1, true, LANES);
        t.b += LANES;
        t.c += LANES;
    }
    if (j < n) { tile_block(&t, M, 1, false, n - j); }
}

/* Blocks of M rows, as many as there are in m; M is a constant. Returns the rows left. */
LORAC_INLINE size_t tile_blocks(struct operands *t, size_t M, size_t m, size_t n)
{
    for (; m >= M; m -= M) {
        tile_rows(*t, M, n);
        t->a += M * t->a_row;
        t->c += M * t->ldc;
    }
    return m;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): c is written through `t` */
void LORAC_KERNEL(tile)(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col,
                        const float *b, size_t ldb, size_t m, size_t n, size_t k, float alpha,
                        float beta)
{
    struct operands t = {c, a, b, ldc, a_row, a_col, ldb, k, alpha, beta};
    m = tile_blocks(&t, TILE_M, m, n);
    m = tile_blocks(&t, TILE_M / 2, m, n);
    m = tile_blocks(&t, 2, m, n);
    tile_blocks(&t, 1, m, n);
}

LORAC_INLINE v16 load_as(const unsigned char *p, enum lorac_dtype type)
{
    return type == LORAC_F32 ? load(p) : type == LORAC_F16 ? load_f16(p) : load_bf16(p);
}

/* The last n < 16 elements of a row. */
LORAC_INLINE v16 load_some_as(const unsigned char *p, enum lorac_dtype type, size_t n)
{
    if (type == LORAC_F32) { return load_some(p, n); }
    unsigned char padded[2 * LANES] = {0};
    memcpy(padded, p, 2 * n);
    return type == LORAC_F16 ? load_f16(padded) : load_bf16(padded);
}

/* c (M,N) from the lanes of its sums. */
LORAC_INLINE void put_sums(const struct operands *t, v16 acc[DOTS_M][DOTS_N], size_t M, size_t N)
{
    float sum[DOTS_M * DOTS_N];
    if (M * N == LANES) {
        v16 all[LANES];
        memcpy(all, acc, sizeof all);
        v16 sums = sums16(all);
        memcpy(sum, &sums, sizeof sum);
    } else {
        for (size_t i = 0; i < M * N; i++) {
            sum[i] = sum16(acc[i / N][i % N]);
        }
    }
    for (size_t i = 0; i < M * N; i++) {
        float *at = t->c + i / N * t->ldc + i % N;
        float y = t->alpha * sum[i];
        *at = t->beta == 0.0F ? y : y + t->beta * *at;
    }
}

/* acc (M,N) += one vector of each of the M rows of a, times that of each of the N rows of b. */
LORAC_INLINE void dots_step(v16 acc[DOTS_M][DOTS_N], const struct operands *t,
                            const unsigned char *b, size_t l, size_t M, size_t N,
                            enum lorac_dtype type)
{
    size_t size = type == LORAC_F32 ? 4 : 2;
    v16 row[DOTS_N];
    for (size_t j = 0; j < N; j++) {
        row[j] = load_as(b + (j * t->ldb + l) * size, type);
    }
    for (size_t i = 0; i < M; i++) {
        v16 x = load(t->a + i * t->a_row + l);
        for (size_t j = 0; j < N; j++) {
            acc[i][j] += x * row[j];
        }
    }
}

/* M rows of a times N rows of b; M, N, type are constants. Rows of b are too short for the hardware
 * to see where they go: the block behind this one is asked for, line by line, while this one is
 * read. Into the second level: the first fetches fewer lines at a time. */
LORAC_INLINE void dots_block(const struct operands *t, const unsigned char *b, size_t M, size_t N,
                             enum lorac_dtype type)
{
    size_t size = type == LORAC_F32 ? 4 : 2;
    size_t line = CACHE_LINE / size;
    v16 acc[DOTS_M][DOTS_N];
    for (size_t i = 0; i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            acc[i][j] = (v16){0};
        }
    }
    size_t l = 0;
    for (; l + line <= t->k; l += line) {
        for (size_t j = 0; j < N; j++) {
            __builtin_prefetch(b + ((N + j) * t->ldb + l) * size, 0, 2);
        }
        for (size_t s = 0; s < line; s += LANES) {
            dots_step(acc, t, b, l + s, M, N, type);
        }
    }
    if (l + LANES <= t->k) {
        dots_step(acc, t, b, l, M, N, type);
        l += LANES;
    }
    if (l < t->k) {
        for (size_t j = 0; j < N; j++) {
            v16 row = load_some_as(b + (j * t->ldb + l) * size, type, t->k - l);
            for (size_t i = 0; i < M; i++) {
                acc[i][j] += load_some(t->a + i * t->a_row + l, t->k - l) * row;
            }
        }
    }
    put_sums(t, acc, M, N);
}

LORAC_INLINE void dots_type(struct operands t, const unsigned char *b, size_t m, size_t n,
                            enum lorac_dtype type)
{
    size_t size = type == LORAC_F32 ? 4 : 2;
    while (m > 0) {
        size_t step = m >= DOTS_M ? DOTS_M : 1;
        struct operands u = t;
        const unsigned char *at = b;
        size_t j = 0;
        for (; n - j >= DOTS_N; j += DOTS_N) {
            if (step == DOTS_M) {
                dots_block(&u, at, DOTS_M, DOTS_N, type);
            } else {
                dots_block(&u, at, 1, DOTS_N, type);
            }
            at += DOTS_N * t.ldb * size;
            u.c += DOTS_N;
        }
        for (; j < n; j++) {
            if (step == DOTS_M) {
                dots_block(&u, at, DOTS_M, 1, type);
            } else {
                dots_block(&u, at, 1, 1, type);
            }
            at += t.ldb * size;
            u.c += 1;
        }
        t.a += step * t.a_row;
        t.c += step * t.ldc;
        m -= step;
    }
}

/* NOLINTNEXTLINE(readability-non-const-parameter): c is written through `t` */
void LORAC_KERNEL(dots)(float *c, size_t ldc, const float *a, size_t lda, const void *b, size_t ldb,
                        enum lorac_dtype type, size_t m, size_t n, size_t k, float alpha,
                        float beta)
{
    struct operands t = {c, a, NULL, ldc, lda, 1, ldb, k, alpha, beta};
    if (type == LORAC_F32) {
        dots_type(t, b, m, n, LORAC_F32);
    } else if (type == LORAC_F16) {
        dots_type(t, b, m, n, LORAC_F16);
    } else {
        dots_type(t, b, m, n, LORAC_BF16);
    }
}

void LORAC_KERNEL(decode)(float *out, const void *in, enum lorac_dtype type, size_t n)
{
    const unsigned char *from = in;
    if (type != LORAC_F16 && type != LORAC_BF16) {
        lorac_dtype_decode(out, in, type, n);
        return;
    }
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        store(out + i, type == LORAC_F16 ? load_f16(from + 2 * i) : load_bf16(from + 2 * i));
    }
    if (i < n) { store_some(out + i, load_some_as(from + 2 * i, type, n - i), n - i); }
}

/* Nearest bfloat16, ties to even, in the upper halves; a NaN stays one (its quiet bit is set). */
LORAC_INLINE v16u nearest_bf16(v16 x)
{
    v16u bits = (v16u)x;
    v16u rounded = bits + 0x7FFFU + ((bits >> 16) & 1U);
    v16u nan = (v16u)((bits & 0x7FFFFFFFU) > 0x7F800000U);
    return (rounded & ~nan) | ((bits | 0x400000U) & nan);
}

void LORAC_KERNEL(to_bf16)(uint16_t *out, const float *in, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        v16h half = __builtin_convertvector(nearest_bf16(load(in + i)) >> 16, v16h);
        memcpy(out + i, &half, sizeof half);
    }
    if (i < n) {
        v16h half = __builtin_convertvector(nearest_bf16(load_some(in + i, n - i)) >> 16, v16h);
        memcpy(out + i, &half, (n - i) * sizeof *out);
    }
}

void LORAC_KERNEL(round_bf16)(float *out, const float *in, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        store(out + i, (v16)(nearest_bf16(load(in + i)) & 0xFFFF0000U));
    }
    if (i < n) {
        v16 x = (v16)(nearest_bf16(load_some(in + i, n - i)) & 0xFFFF0000U);
        store_some(out + i, x, n - i);
    }
}
