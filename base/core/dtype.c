/*
 * dtype.c - the table of storage types, and their conversion to and from float32. Adding one is a
 * row and two conversions.
 *
 *          sign exponent fraction   bias
 *   F32       1        8       23    127
 *   F16       1        5       10     15    IEEE 754-2019 binary16
 *   BF16      1        8        7    127    the upper half of an F32
 *
 * A conversion works on blocks that it copies in and out: the copies make alignment irrelevant, and
 * a loop of known length over local arrays is one that compilers turn into vector instructions. No
 * conversion depends on how the processor is told to treat subnormal numbers.
 */
#include "base/core/dtype.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#    error "safetensors data is little-endian and is used in place: this machine's order differs"
#endif

enum { BLOCK = 64 }; // elements

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

/* The loops over n <= BLOCK elements; written out for n = BLOCK, which alone is worth vector code.
 */
static inline void f16_decode_some(float *restrict out, const uint16_t *restrict in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = f16_decode(in[i]);
    }
}

static void f16_decode_block(float *restrict out, const uint16_t *restrict in, size_t n)
{
    n == BLOCK ? f16_decode_some(out, in, BLOCK) : f16_decode_some(out, in, n);
}

static inline void f16_encode_some(uint16_t *restrict out, const float *restrict in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = f16_encode(in[i]);
    }
}

static void f16_encode_block(uint16_t *restrict out, const float *restrict in, size_t n)
{
    n == BLOCK ? f16_encode_some(out, in, BLOCK) : f16_encode_some(out, in, n);
}

static inline void bf16_decode_some(float *restrict out, const uint16_t *restrict in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = bf16_decode(in[i]);
    }
}

static void bf16_decode_block(float *restrict out, const uint16_t *restrict in, size_t n)
{
    n == BLOCK ? bf16_decode_some(out, in, BLOCK) : bf16_decode_some(out, in, n);
}

static inline void bf16_encode_some(uint16_t *restrict out, const float *restrict in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = bf16_encode(in[i]);
    }
}

static void bf16_encode_block(uint16_t *restrict out, const float *restrict in, size_t n)
{
    n == BLOCK ? bf16_encode_some(out, in, BLOCK) : bf16_encode_some(out, in, n);
}

static const struct storage {
    const char *name, *torch;
    size_t size;                                                       // bytes an element
    void (*decode)(float *restrict, const uint16_t *restrict, size_t); // NULL: stored as float
    void (*encode)(uint16_t *restrict, const float *restrict, size_t);
} table[LORAC_N_DTYPES] = {
    [LORAC_F32] = {"F32", "float32", 4, NULL, NULL},
    [LORAC_F16] = {"F16", "float16", 2, f16_decode_block, f16_encode_block},
    [LORAC_BF16] = {"BF16", "bfloat16", 2, bf16_decode_block, bf16_encode_block},
    [LORAC_U8] = {"U8", "uint8", 1, NULL, NULL},
    [LORAC_BOOL] = {"BOOL", "bool", 1, NULL, NULL},
};

const char *lorac_dtype_name(enum lorac_dtype t)
{
    assert(t < LORAC_N_DTYPES);
    return table[t].name;
}

const char *lorac_dtype_torch(enum lorac_dtype t)
{
    assert(t < LORAC_N_DTYPES);
    return table[t].torch;
}

size_t lorac_dtype_size(enum lorac_dtype t)
{
    assert(t < LORAC_N_DTYPES);
    return table[t].size;
}

bool lorac_dtype_find(enum lorac_dtype *out, const char *name)
{
    for (int t = 0; t < LORAC_N_DTYPES; t++) {
        if (strcmp(name, table[t].name) == 0) {
            *out = (enum lorac_dtype)t;
            return true;
        }
    }
    return false;
}

bool lorac_dtype_find_torch(enum lorac_dtype *out, const char *name)
{
    for (int t = 0; t < LORAC_N_FLOATS; t++) {
        if (strcmp(name, table[t].torch) == 0) {
            *out = (enum lorac_dtype)t;
            return true;
        }
    }
    return false;
}

void lorac_dtype_decode(float *out, const void *in, enum lorac_dtype t, size_t n)
{
    assert(t < LORAC_N_DTYPES);
    if (table[t].size == 1) { // each byte a number
        for (size_t i = 0; i < n; i++) {
            out[i] = (float)((const unsigned char *)in)[i];
        }
        return;
    }
    if (!table[t].decode) {
        if (n) { memcpy(out, in, n * sizeof *out); }
        return;
    }
    uint16_t narrow[BLOCK];
    float wide[BLOCK];
    const unsigned char *from = in;
    unsigned char *to = (unsigned char *)out;
    for (size_t i = 0; i < n; i += BLOCK) {
        size_t part = n - i < BLOCK ? n - i : BLOCK;
        memcpy(narrow, from + i * sizeof *narrow, part * sizeof *narrow);
        table[t].decode(wide, narrow, part);
        memcpy(to + i * sizeof *wide, wide, part * sizeof *wide);
    }
}

void lorac_dtype_encode(void *out, const float *in, enum lorac_dtype t, size_t n)
{
    assert(t < LORAC_N_FLOATS);
    if (!table[t].encode) {
        if (n) { memcpy(out, in, n * sizeof *in); }
        return;
    }
    float wide[BLOCK];
    uint16_t narrow[BLOCK];
    const unsigned char *from = (const unsigned char *)in;
    unsigned char *to = out;
    for (size_t i = 0; i < n; i += BLOCK) {
        size_t part = n - i < BLOCK ? n - i : BLOCK;
        memcpy(wide, from + i * sizeof *wide, part * sizeof *wide);
        table[t].encode(narrow, wide, part);
        memcpy(to + i * sizeof *narrow, narrow, part * sizeof *narrow);
    }
}
