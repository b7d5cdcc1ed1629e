/*
 * ranks_wire.h - inside recipes/: what ranks.c needs of whatever carries bytes between processes.
 * All of them make each call together; false: the others are lost.
 */
#ifndef LORAC_RECIPES_RUN_RANKS_WIRE_H
#define LORAC_RECIPES_RUN_RANKS_WIRE_H

#include "recipes/run/ranks.h"

struct lorac_wire {
    size_t rank, n;
    void *self;
    /* all (n,bytes): what each gives. */
    bool (*gather)(void *self, void *all, const void *own, size_t bytes);
    /* all: `bytes` of each, as many as `count` (n) says, from begin[i] on. */
    bool (*gather_some)(void *self, void *all, const void *own, const int *count, const int *begin);
    /* from (n,bytes): one for each; to (n,bytes): one of each. */
    bool (*exchange)(void *self, void *to, const void *from, size_t bytes);
    void (*close)(void *self);
};

/* MPI, which mpirun has started this process for (ranks_mpi.c). */
LORAC_MUST_CHECK enum lorac_status lorac_wire_open(struct lorac_wire *out, struct lorac_err *err);
/* Ranks over any other; it is closed where that fails, too. */
LORAC_MUST_CHECK enum lorac_status lorac_ranks_over(struct lorac_ranks **out,
                                                    const struct lorac_wire *wire,
                                                    struct lorac_err *err);

#endif
