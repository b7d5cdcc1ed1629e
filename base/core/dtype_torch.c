/*
 * dtype_torch.c - the storage types that PyTorch has: floats, and bytes.
 *
 *          sign exponent fraction   bias
 *   F32       1        8       23    127
 *   F16       1        5       10     15    IEEE 754-2019 binary16
 *   BF16      1        8        7    127    the upper half of an F32
 *
 * A conversion works on runs that it copies in and out: the copies make alignment irrelevant, and
 * a loop of known length over local arrays is one that compilers turn into vector instructions. No
 * conversion depends on how the processor is told to treat subnormal numbers.
 */
#include "base/core/dtype_impl.h"

#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#    error "safetensors data is little-endian and is used in place: this machine's order differs"
#endif

enum { RUN = 64 }; // elements

static inline uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* yes ? a : b without a branch: gcc 12 vectorises no loop with nested conditionals. */
static inline uint32_t select(int yes, uint32_t a, uint32_t b)
{
    return b ^ ((a ^ b) & (0u - (uint32_t)yes));
}

/* Exact. Magnitude m < 0x400 is subnormal, m 2^-24; 0x7c00 infinity, above it NaN. */
static inline float f16_decode(uint16_t h)
{
    uint32_t m = h & 0x7fffu;
    uint32_t subnormal = bits_of((float)(int32_t)m * 0x1p-24f);
    uint32_t normal = (m << 13) + ((127u - 15u) << 23);
    uint32_t special = (m << 13) | 0x7f800000u; // the NaN's fraction is kept
    uint32_t u = select(m < 0x400u, subnormal, select(m < 0x7c00u, normal, special));
    return float_of(u | (uint32_t)(h & 0x8000u) << 16);
}

/* To nearest, ties to even. 65520, halfway from 65504 to 2^16, and above become infinity; a NaN
 * stays one (quiet). */
static inline uint16_t f16_encode(float x)
{
    uint32_t u = bits_of(x);
    uint32_t m = u & 0x7fffffffu;
    // the spacing of floats at 0.5 is 2^-24, that of subnormal F16: the addition does the rounding
    uint32_t subnormal = bits_of(float_of(m) + 0.5f) - bits_of(0.5f);
    // 13 bits fall off; adding just under half of them, plus the last kept bit, rounds ties to even
    uint32_t normal = (m + 0xfffu + ((m >> 13) & 1u) - ((127u - 15u) << 23)) >> 13;
    uint32_t nan = 0x7e00u | (m >> 13 & 0x3ffu);
    uint32_t finite = select(m < 0x38800000u, subnormal, normal); // below 2^-14
    uint32_t large = select(m > 0x7f800000u, nan, 0x7c00u);       // a NaN, or infinity
    uint32_t half = select(m < 0x47800000u, finite, large);       // below 2^16
    return (uint16_t)(half | (u >> 16 & 0x8000u));
}

static inline float bf16_decode(uint16_t h)
{
    return float_of((uint32_t)h << 16);
}

/* To nearest, ties to even; the largest floats become infinity, a NaN stays one (quiet). */
static inline uint16_t bf16_encode(float x)
{
    uint32_t u = bits_of(x);
    uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
    uint32_t nan = u >> 16 | 0x40u;
    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

static void decode16(float *out, const void *in, size_t n,
                     void (*run)(float *restrict, const uint16_t *restrict, size_t))
{
    uint16_t narrow[RUN];
    float wide[RUN];
    const unsigned char *from = in;
    unsigned char *to = (unsigned char *)out;
    for (size_t i = 0; i < n; i += RUN) {
        size_t part = n - i < RUN ? n - i : RUN;
        memcpy(narrow, from + i * sizeof *narrow, part * sizeof *narrow);
        run(wide, narrow, part);
        memcpy(to + i * sizeof *wide, wide, part * sizeof *wide);
    }
}

static void encode16(void *out, const float *in, size_t n,
                     void (*run)(uint16_t *restrict, const float *restrict, size_t))
{
    float wide[RUN];
    uint16_t narrow[RUN];
    const unsigned char *from = (const unsigned char *)in;
    unsigned char *to = out;
    for (size_t i = 0; i < n; i += RUN) {
        size_t part = n - i < RUN ? n - i : RUN;
        memcpy(wide, from + i * sizeof *wide, part * sizeof *wide);
        run(narrow, wide, part);
        memcpy(to + i * sizeof *narrow, narrow, part * sizeof *narrow);
    }
}

/* The loops over n <= RUN elements, written out for n = RUN, which alone is worth vector code; and
 * over all, which copy in and out. */
#define LOOPS(type)                                                                           \
    static inline void type##_decode_some(float *restrict out, const uint16_t *restrict in,   \
                                          size_t n)                                           \
    {                                                                                         \
        for (size_t i = 0; i < n; i++) {                                                      \
            out[i] = type##_decode(in[i]);                                                    \
        }                                                                                     \
    }                                                                                         \
    static void type##_decode_run(float *restrict out, const uint16_t *restrict in, size_t n) \
    {                                                                                         \
        n == RUN ? type##_decode_some(out, in, RUN) : type##_decode_some(out, in, n);         \
    }                                                                                         \
    static void type##_decode_all(float *out, const void *in, size_t n)                       \
    {                                                                                         \
        decode16(out, in, n, type##_decode_run);                                              \
    }                                                                                         \
    static inline void type##_encode_some(uint16_t *restrict out, const float *restrict in,   \
                                          size_t n)                                           \
    {                                                                                         \
        for (size_t i = 0; i < n; i++) {                                                      \
            out[i] = type##_encode(in[i]);                                                    \
        }                                                                                     \
    }                                                                                         \
    static void type##_encode_run(uint16_t *restrict out, const float *restrict in, size_t n) \
    {                                                                                         \
        n == RUN ? type##_encode_some(out, in, RUN) : type##_encode_some(out, in, n);         \
    }                                                                                         \
    static void type##_encode_all(void *out, const float *in, size_t n)                       \
    {                                                                                         \
        encode16(out, in, n, type##_encode_run);                                              \
    }
LOOPS(f16)
LOOPS(bf16)

/* ---- the rows ---- */

static void f32_decode(float *out, const void *in, size_t n)
{
    if (n) { memcpy(out, in, n * sizeof *out); }
}

static void f32_encode(void *out, const float *in, size_t n)
{
    if (n) { memcpy(out, in, n * sizeof *in); }
}

static void byte_decode(float *out, const void *in, size_t n) // each byte a number
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (float)((const unsigned char *)in)[i];
    }
}

static void i64_decode(float *out, const void *in, size_t n) // tables of positions 0, 1, 2, ...
{
    for (size_t i = 0; i < n; i++) {
        int64_t x = 0;
        memcpy(&x, (const unsigned char *)in + i * sizeof x, sizeof x);
        out[i] = (float)x;
    }
}

const struct lorac_storage lorac_storage_F32 = {"F32", "float32",  true,      1,
                                                4,     f32_decode, f32_encode};
const struct lorac_storage lorac_storage_F16 = {"F16", "float16",      true,          1,
                                                2,     f16_decode_all, f16_encode_all};
const struct lorac_storage lorac_storage_BF16 = {"BF16", "bfloat16",      true,           1,
                                                 2,      bf16_decode_all, bf16_encode_all};
const struct lorac_storage lorac_storage_U8 = {"U8", "uint8", false, 1, 1, byte_decode, NULL};
const struct lorac_storage lorac_storage_BOOL = {"BOOL", "bool", false, 1, 1, byte_decode, NULL};
const struct lorac_storage lorac_storage_I64 = {"I64", "int64", false, 1, 8, i64_decode, NULL};
