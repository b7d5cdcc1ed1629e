/* host.c - see host.h. */
#include "base/compute/host.h"

#include "base/core/mem.h"

#include <string.h>

void *lorac_host_alloc(struct lorac_device *dev, size_t bytes)
{
    (void)dev;
    return lorac_mem_new(bytes, 1);
}

void lorac_host_release(struct lorac_device *dev, void *p)
{
    (void)dev;
    lorac_mem_free(p);
}

void lorac_host_copy(struct lorac_device *dev, void *to, const void *from, size_t bytes)
{
    (void)dev;
    if (bytes) { memcpy(to, from, bytes); }
}

void lorac_host_zero(struct lorac_device *dev, void *to, size_t bytes)
{
    (void)dev;
    if (bytes) { memset(to, 0, bytes); }
}

/* A mapped file is read where it is. */
const void *lorac_host_hold(struct lorac_device *dev, const void *host, size_t bytes)
{
    (void)dev;
    (void)bytes;
    return host;
}

void lorac_host_drop(struct lorac_device *dev, const void *held)
{
    (void)dev;
    (void)held;
}
