/* dtype.h - how numbers are stored in files and memory. Storage is not compute: that is float32. */
#ifndef LORAC_BASE_CORE_DTYPE_H
#define LORAC_BASE_CORE_DTYPE_H

#include "base/core/api.h"
#include <stdbool.h>
#include <stddef.h>

LORAC_API_BEGIN

enum lorac_dtype {
    LORAC_F32,
    LORAC_F16,
    LORAC_BF16,
    LORAC_N_FLOATS,            // the types above are numbers to compute with
    LORAC_U8 = LORAC_N_FLOATS, // those below are masks that some checkpoints carry: kept, never
                               // computed with
    LORAC_BOOL,
    LORAC_N_DTYPES
};

const char *lorac_dtype_name(enum lorac_dtype t); // "F32", as safetensors writes it
const char *lorac_dtype_torch(
    enum lorac_dtype t);                     // "float32", as PyTorch and config.json do; of floats
size_t lorac_dtype_size(enum lorac_dtype t); // bytes an element

/* The type called `name` ("BF16"); false, and *out as it was, where there is none. */
bool lorac_dtype_find(enum lorac_dtype *out, const char *name);
bool lorac_dtype_find_torch(enum lorac_dtype *out, const char *name); // "bfloat16"; a float

/* n elements to float32, exactly, and back, rounding once, to nearest even: what is too large
 * becomes infinity, a NaN stays a NaN, subnormal numbers are numbers like others. The arrays may
 * not overlap; what is stored (`in` of decode, `out` of encode) may be unaligned: files promise
 * nothing. */
void lorac_dtype_decode(float *out, const void *in, enum lorac_dtype t, size_t n);
void lorac_dtype_encode(void *out, const float *in, enum lorac_dtype t, size_t n);

LORAC_API_END

#endif
