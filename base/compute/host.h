/*
 * host.h - the memory operations of a backend whose tensors lie in ordinary memory. They are
 * initialisers for its table: LORAC_HOST_MEMORY stands for all of them.
 */
#ifndef LORAC_BASE_COMPUTE_HOST_H
#define LORAC_BASE_COMPUTE_HOST_H

#include "base/compute/device.h"

void *lorac_host_alloc(struct lorac_device *dev, size_t bytes);
void lorac_host_release(struct lorac_device *dev, void *p);
void lorac_host_copy(struct lorac_device *dev, void *to, const void *from, size_t bytes);
void lorac_host_zero(struct lorac_device *dev, void *to, size_t bytes);
const void *lorac_host_hold(struct lorac_device *dev, const void *host, size_t bytes);
void lorac_host_drop(struct lorac_device *dev, const void *held);

#define LORAC_HOST_MEMORY                                                               \
    .alloc = lorac_host_alloc, .release = lorac_host_release, .write = lorac_host_copy, \
    .read = lorac_host_copy, .copy = lorac_host_copy, .zero = lorac_host_zero,          \
    .hold = lorac_host_hold, .drop = lorac_host_drop

#endif
