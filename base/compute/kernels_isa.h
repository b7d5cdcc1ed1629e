/*
 * kernels_isa.h - 16 floats at a time, for kernels*.c, which are compiled once per instruction set.
 *
 * A vector is always 16 lanes wide (one, two or four registers), so that sums are grouped alike on
 * every instruction set. Loads and stores go through memcpy: no alignment is asked of anything.
 */
#ifndef LORAC_BASE_COMPUTE_KERNELS_ISA_H
#define LORAC_BASE_COMPUTE_KERNELS_ISA_H

#include "base/compute/kernels.h"

#include <string.h>
#ifdef __AVX512F__
#    include <immintrin.h>
#endif

/* lorac_<name>_<isa>: what one kernels*.c exports to another of the same instruction set. */
#define LORAC_PASTE3(a, b, c) a##b##_##c
#define LORAC_PASTE(a, b, c) LORAC_PASTE3(a, b, c)
#define LORAC_KERNEL(name) LORAC_PASTE(lorac_, name, LORAC_ISA)
#define LORAC_STRING2(x) #x
#define LORAC_STRING(x) LORAC_STRING2(x)
#define LORAC_INLINE static inline __attribute__((always_inline))

#define LANES ((size_t)16)

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t v16i __attribute__((vector_size(64)));
typedef uint32_t v16u __attribute__((vector_size(64)));
typedef uint16_t v16h __attribute__((vector_size(32)));
typedef double v16d __attribute__((vector_size(128)));

LORAC_INLINE v16 load(const void *p)
{
    v16 v;
    memcpy(&v, p, sizeof v);
    return v;
}

LORAC_INLINE void store(void *p, v16 v)
{
    memcpy(p, &v, sizeof v);
}

/* The first n < 16 lanes; the others are 0. */
LORAC_INLINE v16 load_some(const void *p, size_t n)
{
#ifdef __AVX512F__
    return (v16)_mm512_maskz_loadu_ps((__mmask16)((1U << n) - 1U), p);
#else
    v16 v = {0};
    memcpy(&v, p, n * sizeof(float));
    return v;
#endif
}

LORAC_INLINE void store_some(void *p, v16 v, size_t n)
{
#ifdef __AVX512F__
    _mm512_mask_storeu_ps(p, (__mmask16)((1U << n) - 1U), (__m512)v);
#else
    memcpy(p, &v, n * sizeof(float));
#endif
}

LORAC_INLINE v16 splat(float x)
{
    return (v16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}

/* Lane by lane m ? a : b, with m all ones or all zeroes. */
LORAC_INLINE v16 pick(v16i m, v16 a, v16 b)
{
    return (v16)((m & (v16i)a) | (~m & (v16i)b));
}

/* a > b ? a : b and a < b ? a : b; so b where either is NaN. */
LORAC_INLINE v16 max16(v16 a, v16 b)
{
#ifdef __AVX512F__
    return (v16)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return pick(a > b, a, b);
#endif
}

LORAC_INLINE v16 min16(v16 a, v16 b)
{
#ifdef __AVX512F__
    return (v16)_mm512_min_ps((__m512)a, (__m512)b);
#else
    return pick(a < b, a, b);
#endif
}

/* The sum of the lanes, halves first. */
LORAC_INLINE float sum16(v16 v)
{
    typedef float v8 __attribute__((vector_size(32)));
    typedef float v4 __attribute__((vector_size(16)));
    v8 a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
           __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    v4 b = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
    return (b[0] + b[2]) + (b[1] + b[3]);
}

/* a0 b0 a1 b1 ... of the low and of the high halves */
#define LORAC_LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define LORAC_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)

/* Lane i = sum16(v[i]), bit for bit, in a third of the instructions: each LOW + HIGH adds the
 * halves of two vectors side by side, so that after four rounds the lanes number the vectors. v is
 * clobbered. */
LORAC_INLINE v16 sums16(v16 v[LANES])
{
    for (size_t n = LANES / 2; n > 0; n /= 2) {
        for (size_t i = 0; i < n; i++) {
            v[i] = LORAC_LOW(v[i], v[i + n]) + LORAC_HIGH(v[i], v[i + n]);
        }
    }
    return v[0];
}

/* The largest lane. */
LORAC_INLINE float most16(v16 v)
{
    v = max16(__builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7),
              v);
    v = max16(__builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11),
              v);
    v = max16(__builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13),
              v);
    v = max16(__builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14),
              v);
    return v[0];
}

/* e^x within 2 ulp. -inf and all below the smallest subnormal give 0, all above FLT_MAX inf, NaN
 * NaN. x = n ln2 + r, |r| <= ln2 / 2; ln2 in two parts (the first with few bits, so n ln2 is
 * exact); e^r by its Taylor series to r^7 / 7! (remainder < 6e-9); 2^n in two steps, as n may leave
 * -126..127, or by the instruction that does the same. */
LORAC_INLINE v16 exp16(v16 x)
{
    x = max16(splat(-104.0F), x);
    x = min16(splat(89.0F), x);
    v16 shifted = x * splat(1.44269504F) + splat(0x1.8p23F); // the integer stands in the low bits
    v16 whole = shifted - splat(0x1.8p23F);
    v16 r = x - whole * splat(0.693359375F);
    r = r - whole * splat(-2.12194440e-4F);
    v16 p = splat(1.0F / 5040.0F);
    p = p * r + splat(1.0F / 720.0F);
    p = p * r + splat(1.0F / 120.0F);
    p = p * r + splat(1.0F / 24.0F);
    p = p * r + splat(1.0F / 6.0F);
    p = p * r + splat(0.5F);
    p = p * (r * r) + r + splat(1.0F);
#ifdef __AVX512F__
    return (v16)_mm512_scalef_ps((__m512)p, (__m512)whole);
#else
    v16i n = (v16i)shifted - 0x4B400000;
    v16i half = n >> 1;
    return p * (v16)((v16u)(half + 127) << 23) * (v16)((v16u)(n - half + 127) << 23);
#endif
}

/* 16 stored numbers to float32; for half precision see base/core/dtype.c. */
LORAC_INLINE v16 load_bf16(const void *p)
{
#ifdef __AVX512F__
    __m256i h;
    memcpy(&h, p, sizeof h);
    return (v16)_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
#else
    v16h h;
    memcpy(&h, p, sizeof h);
    return (v16)(__builtin_convertvector(h, v16u) << 16);
#endif
}

LORAC_INLINE v16 load_f16(const void *p)
{
#ifdef __AVX512F__
    __m256i h;
    memcpy(&h, p, sizeof h);
    return (v16)_mm512_cvtph_ps(h);
#else
    v16h h;
    memcpy(&h, p, sizeof h);
    v16u bits = __builtin_convertvector(h, v16u);
    v16u sign = (bits & 0x8000U) << 16;
    v16i special = (v16i)((bits & 0x7C00U) == 0x7C00U); // inf, NaN
    v16u magnitude = (bits & 0x7FFFU) << 13;
    v16 value = (v16)magnitude * splat(0x1p112F);
    value = pick(special, (v16)(magnitude | 0x7F800000U), value);
    return (v16)((v16u)value | sign);
#endif
}

/* What the files of one instruction set share: entries of the table, documented there. */
void LORAC_KERNEL(tile)(float *c, size_t ldc, const float *a, size_t a_row, size_t a_col,
                        const float *b, size_t ldb, size_t m, size_t n, size_t k, float alpha,
                        float beta);
void LORAC_KERNEL(dots)(float *c, size_t ldc, const float *a, size_t lda, const void *b, size_t ldb,
                        enum lorac_dtype type, size_t m, size_t n, size_t k, float alpha,
                        float beta);
void LORAC_KERNEL(decode)(float *out, const void *in, enum lorac_dtype type, size_t n);
void LORAC_KERNEL(to_bf16)(uint16_t *out, const float *in, size_t n);
void LORAC_KERNEL(round_bf16)(float *out, const float *in, size_t n);
void LORAC_KERNEL(transpose)(float *to, const float *from, size_t ld, size_t n, size_t D);
void LORAC_KERNEL(softmax_step)(float *s, const struct lorac_sight *sight, float *max, float *sum,
                                float *o, size_t ldo, size_t m, size_t n, size_t D);
void LORAC_KERNEL(softmax_back)(float *s, float *dp, const struct lorac_sight *sight,
                                const float *lse, const float *delta, size_t m, size_t n);

#endif
