/*
 * cpu.h - the cpu backend among its own files: OpenBLAS (blas.h) for wide products, kernels.h for
 * the rest.
 *
 * Work is cut into pieces by its sizes, never by the number of threads, and each output has one
 * writer: what our own kernels compute doesn't depend on the number of threads. (OpenBLAS promises
 * that only for equal numbers of threads.)
 */
#ifndef LORAC_BASE_COMPUTE_CPU_H
#define LORAC_BASE_COMPUTE_CPU_H

#include "base/compute/int8.h"
#include "base/compute/kernels.h"
#include "base/compute/weight.h"

#include <pthread.h>

enum {
    LORAC_CPU_PIECE = 16384,    // elements of one piece of work on rows or elements
    LORAC_CPU_COLUMNS = 64,     // columns of one piece of sums over rows
    LORAC_CPU_PANEL = 1 << 20,  // floats of decoded weights at a time (4 MiB)
    LORAC_CPU_MAX_HEAD = 256,   // head sizes above, and ...
    LORAC_CPU_MAX_GROUP = 64,   // ... more query heads per key head, are left to `ref`
    LORAC_CPU_SPLIT = 512,      // cached keys of one piece of a decoding step
    LORAC_CPU_BLOCK = 64,       // rows that one thread multiplies while they are in its cache
    LORAC_CPU_RANK = 64,        // at most: our own kernels multiply
    LORAC_CPU_NARROW = 1 << 14, // elements of a weight at most: our own kernels, as fast there
};

/* What one operation needs beside its operands. There are as many as operations ever ran at once.
 */
struct lorac_cpu_scratch {
    float *panel;     // (LORAC_CPU_PANEL)
    float *attention; // (threads, lorac_cpu_attention_floats)
    float *parts;     // (n_parts) of attention over a long past, grown by need
    size_t n_parts;
    struct lorac_cpu_scratch *next; // of those that nobody uses
};

struct lorac_onednn;

struct lorac_cpu { // lorac_device.state
    const struct lorac_kernels *kernels;
    const struct lorac_int8_kernels *int8;
    struct lorac_onednn *_Atomic onednn; // NULL until something wants it, or lacking
    pthread_mutex_t lock;
    pthread_cond_t given;
    struct lorac_cpu_scratch *free; // at least one, or in use, once started
    _Atomic bool started;           // written under the lock of lorac_device_start()
};

static inline struct lorac_cpu *lorac_cpu(const struct lorac_device *dev)
{
    return dev->state;
}

static inline size_t lorac_pieces(size_t n, size_t piece)
{
    return (n + piece - 1) / piece;
}

/* Tests: use the kernels called `isa` from now on; false where this build or processor has none
 * such. */
LORAC_MUST_CHECK bool lorac_cpu_use(struct lorac_device *dev, const char *isa);

/* Entries of the table; see device.h. */
lorac_matmul_fn lorac_cpu_matmul_nt, lorac_cpu_matmul_nn, lorac_cpu_matmul_tn;
void lorac_cpu_linear(struct lorac_device *dev, float *y, const float *x,
                      const struct lorac_weight *w, const float *bias, size_t N);
void lorac_cpu_linear_backward(struct lorac_device *dev, float *dx, const float *dy,
                               const struct lorac_weight *w, size_t N, float beta);
bool lorac_cpu_linear_pair(struct lorac_device *dev, bool back, float *y, const float *x,
                           const struct lorac_weight *w, const float *bias,
                           const struct lorac_pair *pair, size_t N, float beta);
void lorac_cpu_to_bf16(struct lorac_device *dev, uint16_t *y, const float *x, size_t n);
void lorac_cpu_from_bf16(struct lorac_device *dev, float *x, const uint16_t *y, size_t n);
/* Of 8-bit integers: the best that go with those. */
const struct lorac_int8_kernels *lorac_cpu_int8_kernels(const struct lorac_kernels *k);
/* y (N,OUT) = beta y + x B + bias, and what the pair adds; B (K,OUT) is W^T, or W where `back`. */
struct lorac_cpu_product {
    const struct lorac_weight *w;
    bool back;
    float *y;
    const float *x;
    size_t N, K, OUT;
    const float *bias;             // (OUT) or NULL
    const struct lorac_pair *pair; // or NULL
    bool pair_first;               // its share is there when the product is added: backward passes
    float beta;
};
/* to (n) = elements first .. first+n-1 of what is stored, as they are multiplied: of a bfloat16
 * product, rounded. */
void lorac_cpu_decode(struct lorac_device *dev, float *to, const struct lorac_weight *w,
                      size_t first, size_t n);
/* A pair's share of rows n .. n+rows-1: first u; then, of outputs o .. o+outputs-1,
 * y = beta y + u up. */
void lorac_cpu_pair_down(const struct lorac_kernels *k, const struct lorac_cpu_product *p, size_t n,
                         size_t rows);
void lorac_cpu_pair_up(const struct lorac_kernels *k, const struct lorac_cpu_product *p, size_t n,
                       size_t rows, size_t o, size_t outputs, float beta);
/* Products with a weight as it is stored, whose other factor is rounded already where it is to be:
 * y (N,OC) = beta y + x W^T, and dx (N,C) = beta dx + dy W. Decoded weights go behind the first
 * `used` floats of the panel of s, or of scratch of its own where s is NULL. */
void lorac_cpu_product(struct lorac_device *dev, struct lorac_cpu_scratch *s, size_t used, float *y,
                       const float *x, const struct lorac_weight *w, size_t N, float beta);
void lorac_cpu_product_back(struct lorac_device *dev, struct lorac_cpu_scratch *s, size_t used,
                            float *dx, const float *dy, const struct lorac_weight *w, size_t N,
                            float beta);
/* In bfloat16, of a weight as it is stored, without bias and pair; and with them by blocks, which
 * computes nothing and is false where that is not faster. */
void lorac_cpu_bf16(struct lorac_device *dev, const struct lorac_cpu_product *p);
bool lorac_cpu_bf16_blocks(struct lorac_device *dev, const struct lorac_cpu_product *p);
const char *lorac_cpu_bf16_lacks(void);
void lorac_cpu_weights_prepare(struct lorac_device *dev, const struct lorac_weight *const *w,
                               size_t n, bool back);
/* Choose how copies of such a weight lie, before several threads make them: as oneDNN would for
 * products, whose bits must not depend on who asks first. */
void lorac_cpu_bf16_layout(struct lorac_device *dev, const struct lorac_weight *w);
/* The copy for one direction, of a weight as it is stored. Several threads may ask at once. */
void lorac_cpu_bf16_prepare(struct lorac_device *dev, const struct lorac_weight *w, bool back);
bool lorac_cpu_bf16_open(struct lorac_device *dev, struct lorac_weight *w); // false: no memory
void lorac_cpu_bf16_close(struct lorac_weight *w);
size_t lorac_cpu_bf16_bytes(size_t OC, size_t C); // of a copy, at the most
struct lorac_weight *lorac_cpu_weight_open(struct lorac_device *dev, const void *host,
                                           enum lorac_dtype type, size_t OC, size_t C,
                                           bool transposed, enum lorac_compute compute);
size_t lorac_cpu_weight_bytes(const struct lorac_device *dev, enum lorac_dtype type, size_t OC,
                              size_t C, enum lorac_compute compute, bool back);
void lorac_cpu_weight_close(struct lorac_device *dev, struct lorac_weight *w);
/* In 8-bit integers. A pair's share is exact to the bit what its parts give: only by blocks, else
 * false, and nothing was computed. */
bool lorac_cpu_int8(struct lorac_device *dev, const struct lorac_cpu_product *p);
const char *lorac_cpu_slow(const struct lorac_device *dev, enum lorac_compute c);
void lorac_cpu_int8_prepare(struct lorac_device *dev, const struct lorac_weight *w, bool back);
size_t lorac_cpu_attention_floats(void); // of scratch, a thread
/* Scratch of this operation's own until it is given back: another's where there is no memory for
 * more, after waiting for it. */
struct lorac_cpu_scratch *lorac_cpu_take(struct lorac_device *dev);
void lorac_cpu_give(struct lorac_device *dev, struct lorac_cpu_scratch *s);
/* At least n floats that are kept until more are asked for; NULL where there is no memory. */
float *lorac_cpu_parts(struct lorac_cpu_scratch *s, size_t n);
void lorac_cpu_attention(struct lorac_device *dev, float *out, float *lse, const float *q,
                         const float *k, const float *v, const float *cache_k, const float *cache_v,
                         const struct lorac_segment *segments, size_t S,
                         const struct lorac_attention *a);
void lorac_cpu_attention_backward(struct lorac_device *dev, float *dq, float *dk, float *dv,
                                  const float *dout, const float *out, const float *lse,
                                  const float *q, const float *k, const float *v,
                                  const struct lorac_segment *segments, size_t S,
                                  const struct lorac_attention *a);

#endif
