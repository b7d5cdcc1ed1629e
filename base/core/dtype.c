/* dtype.c - the table of storage types; adding one is a row and two loops. */
#include "base/core/dtype.h"

#include <stdint.h>
#include <string.h>

const char *lorac_dtype_name(enum lorac_dtype t)
{
    static const char *const names[LORAC_N_DTYPES] = {"F32", "F16", "BF16"};
    return names[t];
}

size_t lorac_dtype_size(enum lorac_dtype t)
{
    return t == LORAC_F32 ? 4 : 2;
}

/* 1 sign, 5 exponent (bias 15), 10 fraction bits. The shift by 13 puts exponent and fraction into a
 * float whose exponent is off by 112; multiplying by 2^112 mends normal and subnormal numbers alike. */
static float f16_decode(uint16_t h)
{
    uint32_t bits = (uint32_t)(h & 0x7FFFU) << 13;
    float f = 0.0F;
    memcpy(&f, &bits, sizeof f);
    f *= 0x1p112F;
    memcpy(&bits, &f, sizeof f);
    if ((h & 0x7C00U) == 0x7C00U) { bits = 0x7F800000U | (uint32_t)(h & 0x3FFU) << 13; }
    bits |= (uint32_t)(h & 0x8000U) << 16;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint16_t f16_encode(float f)
{
    uint32_t bits = 0;
    memcpy(&bits, &f, sizeof f);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000U);
    bits &= 0x7FFFFFFFU;
    if (bits > 0x7F800000U) { return (uint16_t)(sign | 0x7E00U); }  // NaN
    if (bits >= 0x477FF000U) { return (uint16_t)(sign | 0x7C00U); } // rounds to infinity
    if (bits < 0x38800000U) { // subnormal: adding 0.5 aligns the fraction, the FPU rounds
        float small = 0.0F;
        memcpy(&small, &bits, sizeof small);
        small += 0.5F;
        memcpy(&bits, &small, sizeof small);
        return (uint16_t)(sign | (bits & 0x7FFU));
    }
    bits += 0xFFFU + (bits >> 13 & 1U); // nearest even
    return (uint16_t)(sign | ((bits - 0x38000000U) >> 13));
}

static uint16_t bf16_encode(float f)
{
    uint32_t bits = 0;
    memcpy(&bits, &f, sizeof f);
    if ((bits & 0x7FFFFFFFU) > 0x7F800000U) { return (uint16_t)(bits >> 16 | 0x40U); } // NaN
    return (uint16_t)((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

void lorac_dtype_decode(float *out, const void *in, enum lorac_dtype t, size_t n)
{
    const unsigned char *from = in;
    if (t == LORAC_F32) {
        if (n) { memcpy(out, in, n * sizeof *out); }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t h = 0;
        memcpy(&h, from + 2 * i, sizeof h);
        if (t == LORAC_F16) {
            out[i] = f16_decode(h);
        } else {
            uint32_t bits = (uint32_t)h << 16;
            memcpy(&out[i], &bits, sizeof bits);
        }
    }
}

void lorac_dtype_encode(void *out, const float *in, enum lorac_dtype t, size_t n)
{
    unsigned char *to = out;
    if (t == LORAC_F32) {
        if (n) { memcpy(out, in, n * sizeof *in); }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t h = t == LORAC_F16 ? f16_encode(in[i]) : bf16_encode(in[i]);
        memcpy(to + 2 * i, &h, sizeof h);
    }
}
