/* devices.h - `ref` and the cpu backend with each set of kernels that this processor can run. */
#ifndef LORAC_TESTS_DEVICES_H
#define LORAC_TESTS_DEVICES_H

#include "base/compute/device.h"

enum { MAX_DEVICES = 5 };

struct devices {
    struct lorac_device at[MAX_DEVICES]; // at[0] is ref
    const char *name[MAX_DEVICES];       // "ref", "generic", "avx2", "avx512", "1 thread"
    size_t n;
};

/* Opened with 2 threads, and once more with 1; only ref where the build has no cpu backend. Set-up
 * and tear-down of cmocka. */
extern struct devices d;
int devices_make(void **state);
int devices_free(void **state);

/* Memory that ends where it ends: behind its last byte lies a page that nobody may touch, so that
 * in every build a kernel dies of reading or writing past the tail of a row; what is written before
 * it scratch_free() finds. Of any alignment. */
void *fenced(size_t bytes);
/* n floats of it, filled from `stream` (near.h). All is freed by scratch_free(). */
float *scratch(size_t n, unsigned stream);
/* A handle of W (OC,C), which is one of `type` at `data` or stored as (C,OC). Closed by
 * scratch_free(). */
const struct lorac_weight *weight_on(struct lorac_device *dev, const void *data,
                                     enum lorac_dtype type, size_t OC, size_t C, bool transposed);
/* The same, with products in `compute`. */
const struct lorac_weight *weight_in(struct lorac_device *dev, const void *data,
                                     enum lorac_dtype type, size_t OC, size_t C, bool transposed,
                                     enum lorac_compute compute);
void scratch_free(void);

/* Fails the test unless device i's result is that of ref, naming the device. */
void agree(const struct devices *of, size_t i, const char *what, const float *got,
           const float *want, size_t n, float abs, float rel);

#endif
