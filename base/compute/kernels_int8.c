/*
 * kernels_int8.c - products of 8-bit integers (int8.h), compiled once per instruction set. Without
 * contraction of a * b + c: what an integer is rounded to must not depend on the processor.
 */
#include "base/compute/int8.h"
#include "base/compute/kernels_isa.h"

#if defined(__AVX2__)
#    include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#    include <arm_neon.h>
#endif

/* The block of sums held in registers: rows of x and panels of W. A panel's 16 sums take PARTS of
 * them. OFFSET makes x unsigned where the instruction wants that. */
#if defined(__AMX_INT8__) // in tiles, where there are rows enough
typedef int32_t sums __attribute__((vector_size(64)));
enum { ROWS = 6, PANELS = 2, OFFSET = 128 };
#elif defined(__AVX512VNNI__)
typedef int32_t sums __attribute__((vector_size(64)));
enum { ROWS = 6, PANELS = 4, OFFSET = 128 };
#elif defined(__AVXVNNI__)
typedef int32_t sums __attribute__((vector_size(32)));
enum { ROWS = 6, PANELS = 1, OFFSET = 128 };
#elif defined(__AVX2__)
typedef int32_t sums __attribute__((vector_size(32)));
enum { ROWS = 4, PANELS = 1, OFFSET = 0 };
#elif defined(__ARM_FEATURE_DOTPROD)
typedef int32_t sums __attribute__((vector_size(16)));
enum { ROWS = 6, PANELS = 1, OFFSET = 0 };
#else
typedef int32_t sums __attribute__((vector_size(16)));
enum { ROWS = 4, PANELS = 1, OFFSET = 0 };
#endif
#define PARTS (sizeof(v16i) / sizeof(sums))

/* gcc would read W anew for each row of x, and loads are what is scarce. */
#if defined(__AVX512F__)
#    define KEEP(w) __asm__("" : "+v"(w))
#else
#    define KEEP(w) (void)(w)
#endif

LORAC_INLINE v16i load_i(const void *p)
{
    v16i v;
    memcpy(&v, p, sizeof v);
    return v;
}

LORAC_INLINE sums load_sums(const void *p)
{
    sums v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Lane l += x's four bytes times bytes 4 l .. 4 l + 3 of w. */
LORAC_INLINE sums add_dots(sums sum, const uint8_t *x, sums w)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
#if defined(__AVX512VNNI__)
    return (sums)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(four), (__m512i)w);
#elif defined(__AVXVNNI__)
    return (sums)_mm256_dpbusd_avx_epi32((__m256i)sum, _mm256_set1_epi32(four), (__m256i)w);
#elif defined(__AVX2__) // |x| (w sign(x)): two such products fit into 16 bits, 2 127 127 < 2^15
    __m256i q = _mm256_set1_epi32(four);
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8((__m256i)w, q));
    return sum + (sums)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#elif defined(__ARM_FEATURE_DOTPROD)
    int8x16_t q = vreinterpretq_s8_s32(vdupq_n_s32(four));
    return (sums)vdotq_s32((int32x4_t)sum, q, (int8x16_t)w);
#else
    for (int shift = 24; shift >= 0; shift -= 8) {
        sum += ((int32_t)((uint32_t)four << shift) >> 24) * ((w << shift) >> 24);
    }
    return sum;
#endif
}

/* max |x|, of the bits: a NaN's are the largest */
LORAC_INLINE v16i larger_bits(v16i a, v16i b)
{
#ifdef __AVX512F__
    return (v16i)_mm512_max_epi32((__m512i)a, (__m512i)b);
#else
    v16i m = a > b;
    return (m & a) | (~m & b);
#endif
}

/* NOLINTNEXTLINE(readability-non-const-parameter): kernels of all instruction sets are alike */
static float largest(const float *x, const float *by, size_t n)
{
    v16i most = {0};
    for (size_t i = 0; i < n; i += LANES) {
        size_t left = n - i < LANES ? n - i : LANES;
        v16 v = left == LANES ? load(x + i) : load_some(x + i, left);
        if (by) { v *= left == LANES ? load(by + i) : load_some(by + i, left); }
        most = larger_bits(most, (v16i)v & 0x7FFFFFFF);
    }
    int32_t lane[LANES];
    memcpy(lane, &most, sizeof lane);
    for (size_t half = LANES / 2; half > 0; half /= 2) {
        for (size_t l = 0; l < half; l++) {
            lane[l] = lane[l] > lane[l + half] ? lane[l] : lane[l + half];
        }
    }
    float m;
    memcpy(&m, lane, sizeof m);
    return m;
}

typedef uint8_t v16b __attribute__((vector_size(16)));

/* 16 numbers in -127 .. 127 to the nearest integers, ties to even */
LORAC_INLINE void put_integers(uint8_t *q, v16 v, uint8_t offset)
{
#ifdef __AVX512F__
    __m512i i = _mm512_add_epi32(_mm512_cvtps_epi32((__m512)v), _mm512_set1_epi32(offset));
    _mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtepi32_epi8(i));
#else
    v16i i = (v16i)(v + splat(0x1.8p23F)) - (0x4B400000 - offset); // the integer in the low bits
    v16b bytes = __builtin_convertvector(i, v16b);
    memcpy(q, &bytes, sizeof bytes);
#endif
}

static void quantise(uint8_t *q, const float *x, const float *by, size_t n, float inverse,
                     uint8_t offset)
{
    for (size_t i = 0; i + LANES <= n; i += LANES) {
        v16 v = load(x + i);
        if (by) { v *= load(by + i); }
        put_integers(q + i, v * splat(inverse), offset);
    }
    size_t left = n % LANES;
    if (left) {
        uint8_t last[LANES];
        v16 v = load_some(x + n - left, left);
        if (by) { v *= load_some(by + n - left, left); }
        put_integers(last, v * splat(inverse), offset);
        memcpy(q + n - left, last, left);
    }
}

/* 4 outputs of 4 terms each lie side by side, in W's panels as in those of W^T: blocks that are
 * transposed one by one. */
static void turn(struct lorac_int8_panels *w, const struct lorac_int8_panels *from, size_t panel)
{
    enum { BLOCK = 16 };
    int8_t *to = w->q + panel * LANES * w->depth;
    size_t first = panel * LANES;
    for (size_t k = 0; k < w->depth; k += 4) {
        const int8_t *at = from->q + k / LANES * LANES * from->depth + k % LANES * 4;
        for (size_t o = 0; o < LANES; o += 4, to += BLOCK) {
            if (first + o >= from->depth) { continue; }
            v16b b;
            memcpy(&b, at + (first + o) * LANES, sizeof b);
            b = __builtin_shufflevector(b, b, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            memcpy(to, &b, sizeof b);
        }
    }
}

static void weigh(struct lorac_int8_panels *w, size_t panel)
{
    static const uint8_t zero[4] = {OFFSET, OFFSET, OFFSET, OFFSET};
    const int8_t *at = w->q + panel * LANES * w->depth;
    sums sum[PARTS] = {{0}};
    for (size_t k = 0; k < w->depth; k += 4, at += 4 * LANES) {
        for (size_t p = 0; p < PARTS; p++) {
            sum[p] = add_dots(sum[p], zero, load_sums(at + p * sizeof(sums)));
        }
    }
    memcpy(w->offset + panel * LANES, sum, sizeof sum);
}

struct operands {
    float *y;
    const uint8_t *q;
    const float *scale, *bias; // (N), (n) or NULL
    const int8_t *w;           // of panels that are `panel` bytes long
    const int32_t *offset;
    const float *channel; // NULL: 1
    size_t ldy, depth, panel;
    float beta;
};

/* y (M, V panels) from its sums; the last panel has `last` <= 16 outputs. Loops this small are
 * unrolled, so that the sums never leave their registers. */
LORAC_INLINE void put(const struct operands *t, sums sum[ROWS][PANELS][PARTS], size_t M, size_t V,
                      size_t last)
{
    v16 y[ROWS][PANELS];
    for (size_t v = 0; v < V; v++) {
        v16i offset = load_i(t->offset + v * LANES);
        v16 channel = t->channel ? load(t->channel + v * LANES) : splat(1.0F);
        for (size_t i = 0; i < M; i++) {
            v16i exact;
            memcpy(&exact, sum[i][v], sizeof exact);
            y[i][v] = __builtin_convertvector(exact - offset, v16);
            y[i][v] *= splat(t->scale[i]) * channel;
        }
    }
    if (t->bias) {
        for (size_t v = 0; v < V; v++) {
            bool full = v + 1 < V || last == LANES;
            v16 bias = full ? load(t->bias + v * LANES) : load_some(t->bias + v * LANES, last);
            for (size_t i = 0; i < M; i++) {
                y[i][v] += bias;
            }
        }
    }
    for (size_t i = 0; i < M; i++) {
        for (size_t v = 0; v < V; v++) {
            float *to = t->y + i * t->ldy + v * LANES;
            if (v + 1 < V || last == LANES) {
                if (t->beta != 0.0F) { y[i][v] += splat(t->beta) * load(to); }
                store(to, y[i][v]);
            } else {
                if (t->beta != 0.0F) { y[i][v] += splat(t->beta) * load_some(to, last); }
                store_some(to, y[i][v], last);
            }
        }
    }
}

/* y (M, V panels). M, V are constants. */
LORAC_INLINE void block(const struct operands *t, size_t M, size_t V, size_t last)
{
    sums sum[ROWS][PANELS][PARTS];
    for (size_t i = 0; i < M; i++) {
        for (size_t v = 0; v < V * PARTS; v++) {
            sum[i][v / PARTS][v % PARTS] = (sums){0};
        }
    }
    const int8_t *at = t->w;
    for (size_t k = 0; k < t->depth; k += 4, at += 4 * LANES) {
        sums w[PANELS][PARTS];
        for (size_t v = 0; v < V * PARTS; v++) {
            w[v / PARTS][v % PARTS] =
                load_sums(at + v / PARTS * t->panel + v % PARTS * sizeof(sums));
            KEEP(w[v / PARTS][v % PARTS]);
        }
        for (size_t i = 0; i < M; i++) {
            const uint8_t *x = t->q + i * t->depth + k;
            for (size_t v = 0; v < V * PARTS; v++) {
                sum[i][v / PARTS][v % PARTS] =
                    add_dots(sum[i][v / PARTS][v % PARTS], x, w[v / PARTS][v % PARTS]);
            }
        }
    }
    put(t, sum, M, V, last);
}

#ifdef __AMX_INT8__
/* Registers of 16 rows of 64 bytes: 0 .. 3 sums, 4 and 5 rows of x, 6 and 7 pieces of panels, which
 * lie as the instruction reads them. */
enum { TILE = 16, TERMS = 64 };

static void shape_tiles(void)
{
    static const struct {
        uint8_t palette, start, zero[14];
        uint16_t bytes[16]; // of a row
        uint8_t rows[16];
    } shape = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&shape);
}

/* sum (M tiles of rows, V panels) of the terms that fill tiles. M, V are constants, 1 or 2. */
LORAC_INLINE void sum_tiles(sums sum[][PANELS][PARTS], const struct operands *t, size_t M, size_t V)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t k = 0; k + TERMS <= t->depth; k += TERMS) {
        _tile_loadd(4, t->q + k, t->depth);
        _tile_loadd(6, t->w + k * LANES, TERMS);
        _tile_dpbusd(0, 4, 6);
        if (V == 2) {
            _tile_loadd(7, t->w + t->panel + k * LANES, TERMS);
            _tile_dpbusd(1, 4, 7);
        }
        if (M == 2) {
            _tile_loadd(5, t->q + TILE * t->depth + k, t->depth);
            _tile_dpbusd(2, 5, 6);
        }
        if (M == 2 && V == 2) { _tile_dpbusd(3, 5, 7); }
    }
    _tile_stored(0, sum[0][0], sizeof sum[0]);
    if (V == 2) { _tile_stored(1, sum[0][1], sizeof sum[0]); }
    if (M == 2) { _tile_stored(2, sum[TILE][0], sizeof sum[0]); }
    if (M == 2 && V == 2) { _tile_stored(3, sum[TILE][1], sizeof sum[0]); }
}

/* y (M tiles of rows, V panels); t: beyond them */
LORAC_INLINE void tiles(struct operands *t, size_t M, size_t V, size_t last)
{
    sums sum[2 * TILE][PANELS][PARTS];
    sum_tiles(sum, t, M, V);
    for (size_t i = 0; i < M * TILE; i++) {
        for (size_t k = t->depth / TERMS * TERMS; k < t->depth; k += 4) {
            for (size_t v = 0; v < V; v++) {
                sums w = load_sums(t->w + v * t->panel + k * LANES);
                sum[i][v][0] = add_dots(sum[i][v][0], t->q + k, w);
            }
        }
        put(t, sum + i, 1, V, last);
        t->q += t->depth;
        t->scale++;
        t->y += t->ldy;
    }
}
#endif

/* N rows of y, V panels wide */
LORAC_INLINE void column(struct operands t, size_t N, size_t V, size_t last)
{
#ifdef __AMX_INT8__
    for (; N >= 2 * TILE; N -= 2 * TILE) {
        tiles(&t, 2, V, last);
    }
    if (N >= TILE) {
        tiles(&t, 1, V, last);
        N -= TILE;
    }
#endif
    while (N > 0) {
        size_t step = N >= ROWS ? ROWS : N >= ROWS / 2 ? ROWS / 2 : 1;
        if (step == ROWS) {
            block(&t, ROWS, V, last);
        } else if (step == ROWS / 2) {
            block(&t, ROWS / 2, V, last);
        } else {
            block(&t, 1, V, last);
        }
        t.q += step * t.depth;
        t.scale += step;
        t.y += step * t.ldy;
        N -= step;
    }
}

static void product(float *y, size_t ldy, const uint8_t *q, const float *scale, size_t N,
                    const struct lorac_int8_panels *w, size_t first, size_t n, const float *bias,
                    float beta)
{
    struct operands t = {.q = q, .scale = scale, .ldy = ldy, .depth = w->depth, .beta = beta};
    t.panel = LANES * w->depth;
#ifdef __AMX_INT8__
    if (N >= TILE) { shape_tiles(); }
#endif
    for (size_t o = 0; o < n;) { // outputs of one column of blocks; W's panels stay in the cache
        t.y = y + o;
        t.w = w->q + (first + o) * w->depth;
        t.offset = w->offset + first + o;
        t.channel = w->scale ? w->scale + first + o : NULL;
        t.bias = bias ? bias + o : NULL;
        if (n - o >= PANELS * LANES) {
            column(t, N, PANELS, LANES);
            o += PANELS * LANES;
        } else {
            column(t, N, 1, n - o < LANES ? n - o : LANES);
            o += LANES;
        }
    }
#ifdef __AMX_INT8__
    if (N >= TILE) { _tile_release(); } // else a switch of threads would save them
#endif
}

const struct lorac_int8_kernels LORAC_PASTE(lorac_, int8, LORAC_ISA) = {
    .name = LORAC_STRING(LORAC_ISA),
    .offset = OFFSET,
    .largest = largest,
    .quantise = quantise,
    .turn = turn,
    .weigh = weigh,
    .product = product,
};
