/* passes.h - a golden case opened on a backend with its trained adapter, and batches of every
 * packing. */
#ifndef LORAC_TESTS_PASSES_H
#define LORAC_TESTS_PASSES_H

#include "lora/lora.h"
#include "tests/support/golden.h"

enum { PASS_ROWS = 96, PASS_SEGMENTS = 16 };

struct passes {
    struct lorac_device dev;
    struct golden g;
    struct lorac_model *m;
    struct lorac_adapter *a; // trainable
    struct lorac_socket socket;
    struct lorac_batch *b; // empty; PASS_ROWS rows
};

/* Case `name` with `adapter/`. `dev` is opened by the caller and closed by passes_close(). */
void passes_open(struct passes *p, const char *name, struct lorac_device dev);
/* The same, with products in `compute`. */
void passes_open_in(struct passes *p, const char *name, struct lorac_device dev,
                    enum lorac_compute compute);
void passes_open_on(struct passes *p, const char *name, const char *backend);
void passes_close(struct passes *p);
/* A pass of PASS_ROWS rows through the adapter. */
struct lorac_pass *passes_new(struct passes *p, enum lorac_keep keep);

/* Forward, and with `gradient` backward: the sum of the losses of all scored tokens. */
double passes_run(struct lorac_pass *pass, const struct lorac_batch *b, struct lorac_cache *cache,
                  bool gradient);
/* The same of a struct passes_loss, without gradient: what near_gradient() takes. */
struct passes_loss {
    struct lorac_pass *pass;
    const struct lorac_batch *b;
};
double passes_loss(void *context);
/* Logits (N,V) of all rows of a batch like `like`, with or without adapters, in new memory. */
float *passes_all_logits(const struct lorac_model *m, const struct lorac_socket *socket,
                         const struct lorac_batch *like, size_t *n);
/* All logits that b asks for (U,V), with or without adapters, in new memory. */
float *passes_logits(const struct lorac_model *m, const struct lorac_socket *socket,
                     const struct lorac_batch *b, size_t *n);
/* The accumulated gradients (n_params) in new memory, and zero them. */
float *passes_take(struct passes *p);

/* Append ids[0..n) to p->b as a segment of its own, each token but the first scored by the row
 * before. */
int32_t passes_add(struct passes *p, const int32_t *ids, size_t n);

#endif
