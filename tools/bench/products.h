/*
 * products.h - the products of a model's pass, counted while it runs: through a socket that carries
 * nothing and only counts. A pass with it is also the bare base: forward, and backward as far as
 * the adapters that it stands in for make it go.
 */
#ifndef LORAC_TOOLS_BENCH_PRODUCTS_H
#define LORAC_TOOLS_BENCH_PRODUCTS_H

#include "tools/bench/bench.h"

struct counter {
    const struct lorac_model *m;
    const struct lorac_socket *stands_for; // what trains, trains here; NULL: nothing does
    struct {
        size_t forward, backward; // rows of its products since counter_clear()
    } * rows;                     // (n_modules)
};
enum lorac_status counter_open(struct counter *c, const struct lorac_model *m,
                               const struct lorac_socket *stands_for, struct lorac_err *err);
void counter_close(struct counter *c);
void counter_clear(struct counter *c);
/* What the products of module i are computed in: the head never is int8. */
const char *compute_of_module(const struct lorac_model *m, size_t i);
/* Borrows the counter. */
struct lorac_socket counter_socket(struct counter *c);

/* The products of what was counted, at the rates of the last round, for a batch of N rows. */
struct ideal {
    double flops, seconds; // every row through every layer; the head's only where they score
    double least_flops, least_seconds; // only the rows that the products had
};
enum lorac_status ideal_of(struct ideal *out, const struct counter *c, size_t N,
                           struct ceilings *ceilings, struct lorac_err *err);
/* Ask for their ceilings, before the first round. */
enum lorac_status ideal_prepare(const struct counter *c, size_t N, struct ceilings *ceilings,
                                struct lorac_err *err);

#endif
