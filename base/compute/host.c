/* host.c - see host.h. */
#include "base/compute/host.h"

#include "base/compute/int8.h"
#include "base/compute/weight.h"
#include "base/core/mem.h"

#include <string.h>

/* All functions of the table have a device; those with it need none. */
#define DEV struct lorac_device *dev __attribute__((unused))

void *lorac_host_alloc(DEV, size_t bytes)
{
    return lorac_mem_new(bytes, 1);
}

void lorac_host_release(DEV, void *p)
{
    lorac_mem_free(p);
}

void lorac_host_copy(DEV, void *to, const void *from, size_t bytes)
{
    if (bytes) { memcpy(to, from, bytes); }
}

void lorac_host_zero(DEV, void *to, size_t bytes)
{
    if (bytes) { memset(to, 0, bytes); }
}

/* A mapped file is read where it is. */
struct lorac_weight *lorac_host_weight_open(DEV, const void *host, enum lorac_dtype type, size_t OC,
                                            size_t C, bool transposed, enum lorac_compute compute)
{
    if (compute == LORAC_INT8 && (OC > LORAC_INT8_DEPTH || C > LORAC_INT8_DEPTH)) {
        compute = LORAC_FLOAT32; // its sums do not fit
    }
    struct lorac_weight *w = lorac_mem_new(1, sizeof *w);
    if (w) { *w = (struct lorac_weight){host, type, OC, C, transposed, compute, NULL, NULL}; }
    return w;
}

struct lorac_weight *lorac_host_weight_over(struct lorac_device *dev, const float *data, size_t OC,
                                            size_t C, bool transposed)
{
    return lorac_host_weight_open(dev, data, LORAC_F32, OC, C, transposed, LORAC_FLOAT32);
}

void lorac_host_weights_prepare(DEV, const struct lorac_weight *const *w, size_t n, bool back)
{
    (void)w, (void)n, (void)back;
}

size_t lorac_host_weight_bytes(const DEV, enum lorac_dtype type, size_t OC, size_t C,
                               enum lorac_compute compute, bool back)
{
    (void)type, (void)OC, (void)C, (void)compute, (void)back;
    return 0;
}

void lorac_host_weight_close(DEV, struct lorac_weight *w)
{
    lorac_mem_free(w);
}

void lorac_host_weight_read(DEV, float *host, const struct lorac_weight *w, size_t first, size_t n)
{
    lorac_dtype_read(host, w->data, w->dtype, first, n);
}
