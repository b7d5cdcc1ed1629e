/*
 * profile.h - where a step's time goes, by operation of the layer program.
 *
 * Time is charged to one row at a time: lorac_profile_switch() says to which from now on, so that
 * rows exclude each other and add up to all of it. A pass that has a profile (lorac_pass_profile())
 * switches where it runs an operation; what lies between passes (data, optimiser) its caller does.
 * Without one a switch is a comparison with NULL.
 */
#ifndef LORAC_BASE_PROFILE_H
#define LORAC_BASE_PROFILE_H

#include "base/core/err.h"
#include <stddef.h>

LORAC_API_BEGIN

struct lorac_model;

struct lorac_cost {
    size_t calls;
    double seconds;
    double flops; // of products with weights; 0: it is none
    double alone; // seconds that these products take one after the other with nothing in between;
                  // 0 before lorac_profile_measure()
};

enum { LORAC_PROFILE_NAME = 48 };
struct lorac_profile_row {
    char name[LORAC_PROFILE_NAME]; // a module's within its layer, or an operation's
    struct lorac_cost forward, backward;
};

/* Rows that are no step of a program. Their time is `forward`, but that of adapters: what they take
 * beside the base's own products (a pair that is multiplied at once with one counts there). */
enum {
    LORAC_PROFILE_ADAPTERS,
    LORAC_PROFILE_LOSS,
    LORAC_PROFILE_OPTIMISER,
    LORAC_PROFILE_DATA,
    LORAC_PROFILE_REST, // its calls are the steps
    LORAC_PROFILE_STEPS // the first of those that are
};

struct lorac_profile {
    const struct lorac_model *model; // borrowed
    struct lorac_profile_row *row;   // (n)
    size_t n;
    size_t *of;            // row of each step of the front, the layer, the head
    struct lorac_cost *at; // to which time goes now; NULL: to none
    double since;
};

LORAC_MUST_CHECK enum lorac_status lorac_profile_new(struct lorac_profile **out,
                                                     const struct lorac_model *m,
                                                     struct lorac_err *err);
void lorac_profile_free(struct lorac_profile *f);

/* Charge time to `to` from now on. Returns to what it went before. f NULL: does nothing. */
struct lorac_cost *lorac_profile_switch(struct lorac_profile *f, struct lorac_cost *to);
/* The same with the forward side of a row above, one call more. */
struct lorac_cost *lorac_profile_enter(struct lorac_profile *f, size_t row);

/* Run the products that were seen by themselves, at their mean number of rows, and write `alone`.
 * Each is tried with the weights of several layers; the fastest counts. */
LORAC_MUST_CHECK enum lorac_status lorac_profile_measure(struct lorac_profile *f,
                                                         struct lorac_err *err);

LORAC_API_END

#endif
