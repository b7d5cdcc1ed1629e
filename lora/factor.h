/*
 * factor.h - the low-rank part of a frozen weight that a pair starts from.
 *
 * Both touch W only through the backend's products x W^T and dy W, a block of rows at a time: any
 * storage type, either orientation, no copy of W, and what they give is a function of the weight,
 * the key, the backend and its threads.
 */
#ifndef LORAC_LORA_FACTOR_H
#define LORAC_LORA_FACTOR_H

#include "base/model.h"

/* PiSSA (Meng et al. 2024): s B A is the best approximation of W by rank R, U S V^T, parted evenly:
 * A = sqrt(S/s) V^T, B = U sqrt(S/s). The singular vectors are found by a block Lanczos method that
 * is restarted until the R largest values have settled to float32's precision. Where W has less
 * than R of them, the rest of A and B is zero. */
LORAC_MUST_CHECK enum lorac_status lorac_factor_principal(float *a,  // (R,C) device, written
                                                          float *bt, // (R,OC) device, written
                                                          struct lorac_device *dev,
                                                          const struct lorac_module *w, size_t R,
                                                          double s, uint64_t key,
                                                          struct lorac_err *err);
/* OLoRA (Buyukakyuz 2024): of W = Q T the first R columns of Q are B, the first R rows of T are A;
 * signs are not LAPACK's, which no product and no step of AdamW sees. */
LORAC_MUST_CHECK enum lorac_status lorac_factor_qr(float *a,  // (R,C) device, written
                                                   float *bt, // (R,OC) device, written
                                                   struct lorac_device *dev,
                                                   const struct lorac_module *w, size_t R,
                                                   uint64_t key, struct lorac_err *err);

#endif
