/*
 * host.h - memory and handles of weights of a backend whose tensors lie in ordinary memory. They
 * are initialisers for its table: LORAC_HOST_MEMORY and LORAC_HOST_WEIGHTS stand for all of them.
 */
#ifndef LORAC_BASE_COMPUTE_HOST_H
#define LORAC_BASE_COMPUTE_HOST_H

#include "base/compute/device.h"

void *lorac_host_alloc(struct lorac_device *dev, size_t bytes);
void lorac_host_release(struct lorac_device *dev, void *p);
void lorac_host_copy(struct lorac_device *dev, void *to, const void *from, size_t bytes);
void lorac_host_zero(struct lorac_device *dev, void *to, size_t bytes);
struct lorac_weight *lorac_host_weight_open(struct lorac_device *dev, const void *host,
                                            enum lorac_dtype type, size_t OC, size_t C,
                                            bool transposed, enum lorac_compute compute);
struct lorac_weight *lorac_host_weight_over(struct lorac_device *dev, const float *data, size_t OC,
                                            size_t C, bool transposed);
void lorac_host_weight_close(struct lorac_device *dev, struct lorac_weight *w);
void lorac_host_weight_read(struct lorac_device *dev, float *host, const struct lorac_weight *w,
                            size_t first, size_t n);

void lorac_host_weights_prepare(struct lorac_device *dev, const struct lorac_weight *const *w,
                                size_t n, bool back);
size_t lorac_host_weight_bytes(const struct lorac_device *dev, enum lorac_dtype type, size_t OC,
                               size_t C, enum lorac_compute compute, bool back);

#define LORAC_HOST_MEMORY                                                                    \
    .alloc = lorac_host_alloc, .release = lorac_host_release, .write = lorac_host_copy,      \
    .read = lorac_host_copy, .copy = lorac_host_copy, .weight_over = lorac_host_weight_over, \
    .weight_read = lorac_host_weight_read
#define LORAC_HOST_WEIGHTS                                                          \
    .weight_open = lorac_host_weight_open, .weight_bytes = lorac_host_weight_bytes, \
    .weights_prepare = lorac_host_weights_prepare, .weight_close = lorac_host_weight_close

#endif
