/* firsts.c - see firsts.h. */
#include "datasets/firsts.h"

#include "base/core/mem.h"

#include <string.h>

enum lorac_status lorac_firsts_init(struct lorac_firsts *f, const void *hashes, size_t stride,
                                    size_t n, struct lorac_err *err)
{
    *f = (struct lorac_firsts){.hashes = hashes, .stride = stride, .n_slots = 16};
    while (f->n_slots / 3 * 2 < n) {
        f->n_slots *= 2;
    }
    f->slot = lorac_mem_new(f->n_slots, sizeof *f->slot);
    return f->slot ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory for %zu hashes", n);
}

uint32_t *lorac_firsts_at(const struct lorac_firsts *f, uint64_t hash)
{
    uint64_t mixed = hash * 0x9E3779B97F4A7C15U; // whatever made it, all of its bits count
    size_t s = (size_t)(mixed ^ mixed >> 32) & (f->n_slots - 1);
    for (; f->slot[s]; s = (s + 1) & (f->n_slots - 1)) {
        uint64_t seen = 0;
        memcpy(&seen, f->hashes + (f->slot[s] - 1) * f->stride, sizeof seen);
        if (seen == hash) { break; }
    }
    return &f->slot[s];
}

void lorac_firsts_release(struct lorac_firsts *f)
{
    lorac_mem_free(f->slot);
    *f = (struct lorac_firsts){0};
}
