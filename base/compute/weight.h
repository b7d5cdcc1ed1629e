/*
 * weight.h - the handle of a weight (device.h) as the backends of ordinary memory have it: its
 * numbers stay where they are, in the type that they are stored in. For base/compute/ alone: to all
 * above a handle is opaque.
 */
#ifndef LORAC_BASE_COMPUTE_WEIGHT_H
#define LORAC_BASE_COMPUTE_WEIGHT_H

#include "base/compute/device.h"

struct lorac_cpu_int8;
struct lorac_cpu_bf16;

struct lorac_weight {
    const void *data; // (OC,C), or (C,OC), of type dtype; unaligned
    enum lorac_dtype dtype;
    size_t OC, C;
    bool transposed; // stored as (C,OC)
    enum lorac_compute compute;
    struct lorac_cpu_int8 *int8; // the cpu backend's, of such a handle: what it packed
    struct lorac_cpu_bf16 *bf16; // the same: its copies
};

#endif
