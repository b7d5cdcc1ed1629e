/*
 * dtype_q8_0.c - ggml's Q8_0: 32 numbers share a scale.
 *
 *   +--------+----+----+-----+-----+
 *   | d F16  | q0 | q1 | ... | q31 |   34 bytes;   x_i = d q_i,   q int8, |q| <= 127
 *   +--------+----+----+-----+-----+
 *
 * Source: ggml-quants.c, quantize_row_q8_0_ref and dequantize_row_q8_0.
 */
#include "base/core/dtype_impl.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK = 32, BYTES = 2 + BLOCK };

static void decode(float *out, const void *in, size_t n)
{
    const unsigned char *from = in;
    for (size_t i = 0; i < n; i += BLOCK, from += BYTES) {
        float d = 0.0F;
        lorac_storage_F16.decode(&d, from, 1);
        for (size_t k = 0; k < BLOCK; k++) {
            out[i + k] = d * (float)(int8_t)from[2 + k];
        }
    }
}

/* The largest |x|; NaN where there is one. */
static float most(const float x[BLOCK])
{
    float m = 0.0F;
    for (size_t k = 0; k < BLOCK; k++) {
        if (!(fabsf(x[k]) <= m)) { m = fabsf(x[k]); }
        if (isnan(m)) { break; }
    }
    return m;
}

/* d = max |x| / 127, q = x / d rounded, ties away from zero; d goes to F16 after that. A block with
 * an infinity or a NaN in it becomes NaN throughout. */
static void encode_block(unsigned char *to, const float x[BLOCK])
{
    float d = most(x) / 127.0F;
    float inverse = d == 0.0F ? 0.0F : 1.0F / d;
    if (!isfinite(d)) { d = NAN; }
    if (isnan(d) || isinf(inverse)) { inverse = 0.0F; } // of the least subnormals: F16 has d = 0
    lorac_storage_F16.encode(to, &d, 1);
    for (size_t k = 0; k < BLOCK; k++) {
        to[2 + k] = inverse == 0.0F ? 0 : (unsigned char)(int8_t)roundf(x[k] * inverse);
    }
}

static void encode(void *out, const float *in, size_t n)
{
    unsigned char *to = out;
    for (size_t i = 0; i < n; i += BLOCK, to += BYTES) {
        encode_block(to, in + i);
    }
}

const struct lorac_storage lorac_storage_Q8_0 = {"Q8_0", NULL, true, BLOCK, BYTES, decode, encode};
