/* blas.h - OpenBLAS's own product, as the one that the library has loaded gives it: the same
 * kernels, without what the library does around them. */
#ifndef LORAC_TOOLS_BENCH_BLAS_H
#define LORAC_TOOLS_BENCH_BLAS_H

#include <stdbool.h>
#include <stddef.h>

/* After a device was opened, which loads it. Products then have this many threads. */
void blas_find(int threads);
void blas_text(char text[128]); // "OpenBLAS 0.3.21, Cooperlake kernels"
/* y (N,OC) = x (N,C) W^T; `backward`: y (N,C) = x (N,OC) W. W is (OC,C). */
void blas_product(float *y, const float *x, const float *w, size_t N, size_t OC, size_t C,
                  bool backward);

#endif
