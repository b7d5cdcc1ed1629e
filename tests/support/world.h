/* world.h - ranks (recipes/run/ranks.h) that are threads of a test, and whose wire is memory. */
#ifndef LORAC_TESTS_WORLD_H
#define LORAC_TESTS_WORLD_H

#include "recipes/run/evaluate.h"
#include "recipes/run/ranks_wire.h"

enum { WORLD_MOST = 4 };

/* What a rank did: asserted by the test itself, for cmocka's assertions are no thread's. */
struct seen {
    size_t rank, n;
    const void *with;            // the test's
    enum lorac_status st, again; // of what it did; of a call after it
    struct lorac_err err;
    float *x; // (n_x) of malloc()
    size_t n_x;
    double loss;
    struct lorac_buf all;
    struct lorac_scores scores;
};
typedef enum lorac_status world_go_fn(struct seen *s, struct lorac_ranks *r, struct lorac_err *err);

/* n ranks do it, each in a thread of its own, and end. lost_at: the wire's call that fails, from 1;
 * 0: none. */
void world_live(struct seen *seen, size_t n, size_t lost_at, world_go_fn *go, const void *with);
/* The same of a world of one, in this thread: the first failure. */
enum lorac_status world_alone(world_go_fn *go, const void *with, struct lorac_err *err);
void world_forget(struct seen *seen, size_t n);
/* No rank failed; every one did, with this in its message, and failed again. */
void world_well(const struct seen *seen, size_t n);
void world_failed(const struct seen *seen, size_t n, const char *text);

#endif
