/* dtype_impl.h - what a storage type is: one row, in a file of its own. Internal to base/core. */
#ifndef LORAC_BASE_CORE_DTYPE_IMPL_H
#define LORAC_BASE_CORE_DTYPE_IMPL_H

#include "base/core/dtype.h"

struct lorac_storage {
    const char *name;  // "F32", as safetensors and GGUF write it
    const char *torch; // "float32", as PyTorch and config.json do; NULL: not one of theirs
    bool is_float;     // numbers to compute with
    size_t block;      // elements that are stored together; divides LORAC_DTYPE_RUN
    size_t bytes;      // of a block
    /* n elements, whole blocks; what is stored may be unaligned. encode NULL: is never written. */
    void (*decode)(float *out, const void *in, size_t n);
    void (*encode)(void *out, const float *in, size_t n);
};

#define LORAC_ROW(name) extern const struct lorac_storage lorac_storage_##name;
LORAC_DTYPES(LORAC_ROW)
#undef LORAC_ROW

#endif
