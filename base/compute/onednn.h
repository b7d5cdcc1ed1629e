/*
 * onednn.h - products of float32 and of bfloat16 matrices, summed in float32, that the cpu backend
 * has from oneDNN: its C API of major 2 or 3, loaded when it is first asked about.
 *
 * oneDNN translates a product into machine code for each of its shapes, in a third of a
 * millisecond. Batches have another number of rows at each step, so rows go by blocks of 512, 256,
 * 128, ..., 16 and what is left below 16: few shapes, each translated once. That a row's sums may
 * be grouped otherwise in a block of another size is rounding. A product runs with the device's
 * threads, or in the calling one alone.
 */
#ifndef LORAC_BASE_COMPUTE_ONEDNN_H
#define LORAC_BASE_COMPUTE_ONEDNN_H

#include "base/core/dtype.h"

#include <stdbool.h>
#include <stddef.h>

/* Why it has no fast product of LORAC_F32 or LORAC_BF16 matrices here; NULL: it has one. For any
 * thread. Float32's is fast where it beats OpenBLAS's, as measured: by a tenth with AVX-512. */
const char *lorac_onednn_lacks(enum lorac_dtype type);

/* B (K,N): row by row; column by column; or as lorac_onednn_pack() laid it out. */
enum lorac_onednn_order { LORAC_ONEDNN_ROWS, LORAC_ONEDNN_COLUMNS, LORAC_ONEDNN_PACKED };
struct lorac_onednn_matrix {
    const void *data; // borrowed
    size_t K, N;
    enum lorac_onednn_order order;
    enum lorac_dtype type; // LORAC_F32 or LORAC_BF16
};

/* The products of one device, which has so many threads. Serves any number of callers at
 * once. NULL: no memory, or lacking. */
struct lorac_onednn;
struct lorac_onednn *lorac_onednn_new(int threads);
void lorac_onednn_free(struct lorac_onednn *o); // NULL is accepted

/* Bytes of a packed B, which is 64-byte aligned; 0: there is no such layout, or no memory. */
size_t lorac_onednn_packed_bytes(struct lorac_onednn *o, enum lorac_dtype type, size_t K, size_t N);
/* Pack `from`, which is not packed, as numbers of `type`. False: no memory. */
bool lorac_onednn_pack(struct lorac_onednn *o, void *to, enum lorac_dtype type,
                       const struct lorac_onednn_matrix *from);

/* How many of M > 0 rows the next product takes. */
size_t lorac_onednn_rows(size_t M);

/* One shape of product, translated: c (M,N) = a (M,K) b, or += where `adds`, for M of
 * lorac_onednn_rows(), by the calling thread where it is `alone`; c of float32, a of b's type.
 * Borrowed until the device is closed; NULL: no memory. */
struct lorac_onednn_product;
const struct lorac_onednn_product *lorac_onednn_find(struct lorac_onednn *o,
                                                     const struct lorac_onednn_matrix *b, size_t M,
                                                     bool adds, bool alone);
size_t lorac_onednn_scratch(
    const struct lorac_onednn_product *p); // bytes it clobbers, 64-byte aligned
/* False: no memory; c is then as it was. */
bool lorac_onednn_run(struct lorac_onednn *o, const struct lorac_onednn_product *p, float *c,
                      const void *a, const struct lorac_onednn_matrix *b, void *scratch);

#endif
