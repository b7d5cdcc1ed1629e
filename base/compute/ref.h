/* ref.h - the parts of the reference backend that live in a file of their own. */
#ifndef LORAC_BASE_COMPUTE_REF_H
#define LORAC_BASE_COMPUTE_REF_H

#include "base/compute/device.h"

void lorac_ref_attention(struct lorac_device *dev, float *out, float *lse, const float *q,
                         const float *k, const float *v, const float *cache_k, const float *cache_v,
                         const struct lorac_segment *segments, size_t S,
                         const struct lorac_attention *a);
void lorac_ref_attention_backward(struct lorac_device *dev, float *dq, float *dk, float *dv,
                                  const float *dout, const float *out, const float *lse,
                                  const float *q, const float *k, const float *v,
                                  const struct lorac_segment *segments, size_t S,
                                  const struct lorac_attention *a);

void lorac_ref_gate(struct lorac_device *dev, float *h, const float *gate, const float *up,
                    size_t n, enum lorac_activation act);
void lorac_ref_gate_backward(struct lorac_device *dev, float *dgate, float *dup, const float *dh,
                             const float *gate, const float *up, size_t n,
                             enum lorac_activation act);

void lorac_ref_int8_linear(float *y, const float *x, const struct lorac_weight *w,
                           const float *bias, size_t N);
void lorac_ref_int8_linear_backward(float *dx, const float *dy, const struct lorac_weight *w,
                                    size_t N, float beta);

#endif
