/*
 * ranks.h - the processes that share one piece of work, on one machine or several: `mpirun -n 4
 * lorac train ...` starts four, ranks 0 to 3. Nothing else knows of MPI.
 *
 *   rank 0   ---- agree ---- gather ---- sum ---- ... ---- end     each waits here for the others
 *   rank 1   ---- agree ---- gather ---- sum ---- ... ---- end
 *
 * NULL is a world of one: rank 0, which waits for nobody. A program that mpirun didn't start gets
 * it and pays nothing for it: the library isn't even loaded.
 *
 * Every rank makes the same calls in the same order, and says at each whether it has failed since
 * the last (`st`, *err). The first failure, by rank, then fails that call on all of them, in its
 * words, and each later one. So a rank that fails need not tell the others: its next call does,
 * whatever they wait in, and the last one is lorac_ranks_end().
 *
 * Sums go from rank 0 on, whatever the network is: as many ranks give the same bytes again.
 */
#ifndef LORAC_RECIPES_RUN_RANKS_H
#define LORAC_RECIPES_RUN_RANKS_H

#include "base/core/buf.h"
#include "base/core/err.h"

LORAC_API_BEGIN

struct lorac_ranks;
/* NULL where this process is alone. LORAC_ENOTSUP where mpirun started several, and this build has
 * no MPI or cannot load it. The ranks of a machine divide the cores that they may use
 * (lorac_start_threads()). */
LORAC_MUST_CHECK enum lorac_status lorac_ranks_begin(struct lorac_ranks **out,
                                                     struct lorac_err *err);
/* The last call, once all are there: LORAC_OK where none has failed. */
enum lorac_status lorac_ranks_end(struct lorac_ranks *r, enum lorac_status st,
                                  struct lorac_err *err);

size_t lorac_ranks_rank(const struct lorac_ranks *r);
size_t lorac_ranks_count(const struct lorac_ranks *r);
size_t lorac_ranks_here(const struct lorac_ranks *r); // of them, on this machine
bool lorac_ranks_alike(const struct lorac_ranks *r);  // on one kind of processor
/* Processors of this machine that none of its ranks may use: mpirun has bound them to others. */
size_t lorac_ranks_unused(const struct lorac_ranks *r);

/* Of n rows, those that this rank runs: from .. end - 1. */
void lorac_ranks_rows(size_t *from, size_t *end, const struct lorac_ranks *r, size_t n);

/* Has any failed? */
LORAC_MUST_CHECK enum lorac_status lorac_ranks_agree(struct lorac_ranks *r, enum lorac_status st,
                                                     struct lorac_err *err);
/* What each gives, n bytes of its own, one behind the other by rank: in `all`, which is emptied
 * first, on all of them. It is filled even where one has failed, if all are in this call. */
LORAC_MUST_CHECK enum lorac_status lorac_ranks_gather(struct lorac_buf *all, struct lorac_ranks *r,
                                                      const void *own, size_t n,
                                                      enum lorac_status st, struct lorac_err *err);
/* x (n) becomes the sum over all ranks, made in double, on all of them. */
LORAC_MUST_CHECK enum lorac_status lorac_ranks_sum(float *x, size_t n, struct lorac_ranks *r,
                                                   enum lorac_status st, struct lorac_err *err);
/* The same of a few doubles, which are filled as `all` is: counts up to 2^53 stay exact. */
LORAC_MUST_CHECK enum lorac_status lorac_ranks_add(double *x, size_t n, struct lorac_ranks *r,
                                                   enum lorac_status st, struct lorac_err *err);
/* x (n bytes) becomes rank 0's. */
LORAC_MUST_CHECK enum lorac_status lorac_ranks_broadcast(void *x, size_t n, struct lorac_ranks *r,
                                                         enum lorac_status st,
                                                         struct lorac_err *err);
/* LORAC_EUSER where a rank has another `value` of `what` than rank 0: which one, on which host. */
LORAC_MUST_CHECK enum lorac_status lorac_ranks_same(struct lorac_ranks *r, const char *what,
                                                    const char *value, enum lorac_status st,
                                                    struct lorac_err *err);

LORAC_API_END

#endif
