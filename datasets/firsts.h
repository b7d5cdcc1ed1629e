/*
 * firsts.h - which hash of many was met before, and where: slots of 4 bytes over an array of the
 * caller's, in which each 64-bit hash stands every `stride` bytes. An array of n of them takes 6 to
 * 12 n bytes more.
 */
#ifndef LORAC_DATASETS_FIRSTS_H
#define LORAC_DATASETS_FIRSTS_H

#include "base/core/err.h"
#include <stddef.h>
#include <stdint.h>

struct lorac_firsts {
    const char *hashes; // borrowed: the hash of entry i stands at i * stride
    size_t stride;
    uint32_t *slot; // (n_slots), a power of two: 1 + the entry, 0: free
    size_t n_slots;
};
/* Room for n hashes of `hashes`, which must stay where it is. */
LORAC_MUST_CHECK enum lorac_status lorac_firsts_init(struct lorac_firsts *f, const void *hashes,
                                                     size_t stride, size_t n,
                                                     struct lorac_err *err);
/* 1 + the entry that was put in for this hash. 0: none was; write it there. */
uint32_t *lorac_firsts_at(const struct lorac_firsts *f, uint64_t hash);
void lorac_firsts_release(struct lorac_firsts *f);

#endif
