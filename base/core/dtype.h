/* dtype.h - how numbers are stored in files and memory. Storage is not compute: see
 * base/compute/device.h. */
#ifndef LORAC_BASE_CORE_DTYPE_H
#define LORAC_BASE_CORE_DTYPE_H

#include "base/core/api.h"
#include <stdbool.h>
#include <stddef.h>

LORAC_API_BEGIN

/* The table's rows, LORAC_F32 and so on. A new one is a file beside dtype_torch.c and a name here.
 * U8 and BOOL are masks that some checkpoints carry: kept, never computed with. */
#define LORAC_DTYPES(row) row(F32) row(F16) row(BF16) row(U8) row(BOOL) row(I64) row(Q8_0)

enum lorac_dtype {
#define LORAC_ROW(name) LORAC_##name,
    LORAC_DTYPES(LORAC_ROW)
#undef LORAC_ROW
        LORAC_N_DTYPES
};

const char *lorac_dtype_name(enum lorac_dtype t); // "F32", as safetensors and GGUF write it
/* "float32", as PyTorch and config.json do; NULL: not one of theirs, and not of safetensors. */
const char *lorac_dtype_torch(enum lorac_dtype t);
bool lorac_dtype_is_float(enum lorac_dtype t); // numbers to compute with

/* The type that safetensors calls `name` ("BF16"); false, and *out as it was, where there is none.
 */
bool lorac_dtype_find(enum lorac_dtype *out, const char *name);
bool lorac_dtype_find_torch(enum lorac_dtype *out, const char *name); // "bfloat16"; a float

/* ---- bytes: nobody but the table counts them ---- */

/* Elements that are stored together, in a block; it divides LORAC_DTYPE_RUN, so that runs of that
 * many, and of multiples, are whole blocks. */
enum { LORAC_DTYPE_RUN = 256 };
size_t lorac_dtype_block(enum lorac_dtype t);
/* Of n elements; false where they are not whole blocks, or more bytes than can be counted. */
LORAC_MUST_CHECK bool lorac_dtype_measure(size_t *bytes, enum lorac_dtype t, size_t n);
/* The same of what was measured: its size, and where its n-th element, the first of a block, is. */
size_t lorac_dtype_bytes(enum lorac_dtype t, size_t n);

/* ---- values ---- */

/* n elements, whole blocks, to float32, exactly, and back, rounding once, to nearest even: what is
 * too large becomes infinity, a NaN stays a NaN, subnormal numbers are numbers like others. (Blocks
 * round as their file says.) The arrays may not overlap; what is stored (`in` of decode, `out` of
 * encode) may be unaligned: files promise nothing. */
void lorac_dtype_decode(float *out, const void *in, enum lorac_dtype t, size_t n);
void lorac_dtype_encode(void *out, const float *in, enum lorac_dtype t, size_t n);
/* out (n) = elements first .. first+n-1 of what is stored, wherever its blocks begin. */
void lorac_dtype_read(float *out, const void *stored, enum lorac_dtype t, size_t first, size_t n);

LORAC_API_END

#endif
