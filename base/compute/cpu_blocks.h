/*
 * cpu_blocks.h - products of many rows through oneDNN, a block of rows at a time: what a thread
 * does to a block it does while that is in its cache: rounding it, the product, a pair's share.
 * For cpu_*.c alone.
 */
#ifndef LORAC_BASE_COMPUTE_CPU_BLOCKS_H
#define LORAC_BASE_COMPUTE_CPU_BLOCKS_H

#include "base/compute/cpu.h"
#include "base/compute/onednn.h"

/* The library's products of this device, made when they are first asked for. NULL: no memory, or
 * lacking. */
struct lorac_onednn *lorac_cpu_onednn(struct lorac_device *dev);

/* What x is multiplied by, where it is stored: W^T (C,OC), or W (OC,C) where `back`. */
struct lorac_onednn_matrix lorac_cpu_stored(const struct lorac_weight *w, bool back);
/* Whether oneDNN can read that. */
bool lorac_cpu_is_readable(const struct lorac_weight *w);

/* Whether N rows are blocks enough for all threads. */
bool lorac_cpu_are_blocks(const struct lorac_device *dev, size_t N);
/* The product by blocks, with b what x is multiplied by, in b's type. False: no memory, and nothing
 * was computed. */
bool lorac_cpu_blocks(struct lorac_device *dev, const struct lorac_cpu_product *p,
                      const struct lorac_onednn_matrix *b);
/* In float32. The weight is packed into scratch for each product: copies that are kept would take
 * four times what a bfloat16 checkpoint does. False: that isn't faster, or there is no memory. */
bool lorac_cpu_blocks_float32(struct lorac_device *dev, const struct lorac_cpu_product *p);

#endif
