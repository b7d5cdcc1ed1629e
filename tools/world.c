/* world.c - the processes that mpirun started to do one verb together; see verbs.h. */
#include "tools/verbs.h"

#include <stdlib.h>

static struct lorac_ranks *ranks; // NULL: this one is alone

struct lorac_ranks *world(void)
{
    return ranks;
}

enum lorac_status world_begin(const struct verb *v, struct lorac_err *err)
{
    enum lorac_status st = lorac_ranks_begin(&ranks, err);
    if (!st && ranks && !v->shared) {
        st = lorac_fail(err, LORAC_EUSER,
                        "lorac %s is one process's work, and mpirun started %zu: leave mpirun out",
                        v->name, lorac_ranks_count(ranks));
    }
    if (lorac_ranks_rank(ranks) == 0) { return st; }
    // what it would say, rank 0 says
    if (freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr)) { return st; }
    return lorac_fail(err, LORAC_EIO, "/dev/null: cannot be opened");
}

int world_end(int code)
{
    struct lorac_err err = {.code = LORAC_EIO, .text = "has ended with an error"};
    bool first = lorac_ranks_rank(ranks) == 0;
    enum lorac_status st = lorac_ranks_end(ranks, code ? err.code : LORAC_OK, &err);
    ranks = NULL;
    if (st && !code) { code = complain(&err); }
    return first ? code : 0; // mpirun's is then that of rank 0, which knows of all
}
