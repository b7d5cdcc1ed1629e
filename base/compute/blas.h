/*
 * blas.h - the one product of matrices that the cpu backend has from OpenBLAS.
 *
 * The library is loaded when the first device is started, not with the program: before main() it
 * takes 128 MiB of address space a thread and asks for them for ever where a limit (ulimit -v)
 * forbids it, and most of what a program says and checks needs no product at all. Builds with
 * LORAC_OPENBLAS_LINK have it linked instead.
 */
#ifndef LORAC_BASE_COMPUTE_BLAS_H
#define LORAC_BASE_COMPUTE_BLAS_H

#include "base/core/err.h"
#include <stdbool.h>
#include <stddef.h>

/* Load it for products of up to `threads` threads; nothing is done where it is there. LORAC_ENOMEM
 * where the process may not have the address space, LORAC_ENOTSUP where there is no such library.
 * One caller at a time. */
LORAC_MUST_CHECK enum lorac_status lorac_blas_load(int threads, struct lorac_err *err);
bool lorac_blas_loaded(void);
/* What OPENBLAS_CORETYPE should name where OpenBLAS has taken kernels far older than the
 * processor's; NULL: nothing. */
const char *lorac_blas_better_core(void);
/* From now on loading may set the environment for a moment; see start.h. */
void lorac_blas_may_set_environment(void);

/* c (M,N) = beta c + alpha a b, row-major; a is (M,K), or (K,M) transposed where `ta`, b (K,N) or
 * (N,K) where `tb`; ld: elements from row to row. For any number of callers at once, each with
 * threads of its own number. */
void lorac_blas_sgemm(int threads, bool ta, bool tb, size_t M, size_t N, size_t K, float alpha,
                      const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
                      size_t ldc);

#endif
