/* eigen.h - eigenvalues and eigenvectors of a small symmetric matrix, in double, host memory. */
#ifndef LORAC_LORA_EIGEN_H
#define LORAC_LORA_EIGEN_H

#include <stdbool.h>
#include <stddef.h>

/* T = sum_i value[i] v_i v_i^T, the largest value first. False: not finite, or (never seen) no end.
 * Householder's tridiagonal form, then QL with implicit shifts (Bowdler, Martin, Reinsch, Wilkinson
 * 1968; EISPACK's tred2 and tql2); 4 n^3 + about as many operations. */
bool lorac_eigen(double *value, // (n) written
                 double *v,     // (n,n) written: row i is v_i
                 double *t,     // (n,n) symmetric, clobbered
                 double *work,  // (2n)
                 size_t n);

#endif
