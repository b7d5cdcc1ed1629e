/* ranks_mpi.c - Open MPI, loaded where mpirun started this process; see ranks_wire.h. With all that
 * it needs, being linked to it would take 12 ms of each start of the program. */
#include "recipes/run/ranks_wire.h"

#include "base/core/loads.h"
#include "base/core/mem.h"

#include <dlfcn.h>
#include <mpi.h>
#include <stdint.h>
#include <string.h>

struct mpi {
    void *library;
    MPI_Comm world;
    MPI_Datatype byte;
    __typeof__(MPI_Init) *init;
    __typeof__(MPI_Finalize) *finalize;
    __typeof__(MPI_Comm_rank) *comm_rank;
    __typeof__(MPI_Comm_size) *comm_size;
    __typeof__(MPI_Comm_set_errhandler) *set_errhandler;
    __typeof__(MPI_Allgather) *allgather;
    __typeof__(MPI_Allgatherv) *allgatherv;
    __typeof__(MPI_Alltoall) *alltoall;
};

LORAC_LOADS("mpi", "Several processes, by mpirun", "suggested", LORAC_MPI_SONAME);

static bool gather(void *self, void *all, const void *own, size_t bytes)
{
    struct mpi *m = self;
    int n = (int)bytes;
    return m->allgather(own, n, m->byte, all, n, m->byte, m->world) == MPI_SUCCESS;
}

static bool gather_some(void *self, void *all, const void *own, const int *count, const int *begin)
{
    struct mpi *m = self;
    int rank = 0;
    (void)m->comm_rank(m->world, &rank);
    return m->allgatherv(own, count[rank], m->byte, all, count, begin, m->byte, m->world) ==
           MPI_SUCCESS;
}

static bool exchange(void *self, void *to, const void *from, size_t bytes)
{
    struct mpi *m = self;
    int n = (int)bytes;
    return m->alltoall(from, n, m->byte, to, n, m->byte, m->world) == MPI_SUCCESS;
}

/* The library stays: it has threads of its own. */
static void end(void *self)
{
    struct mpi *m = self;
    (void)m->finalize();
    lorac_mem_free(m);
}

/* A pointer to a function from one to an object, which POSIX allows and ISO C does not. */
static bool find(void *pointer, const struct mpi *m, const char *name)
{
    void *at = dlsym(m->library, name);
    memcpy(pointer, &at, sizeof at);
    return at != NULL;
}

/* The world and its like are objects, which the header hides behind MPI_COMM_WORLD. */
static bool find_all(struct mpi *m, MPI_Errhandler *returns)
{
    return find(&m->world, m, "ompi_mpi_comm_world") && find(&m->byte, m, "ompi_mpi_byte") &&
           find(returns, m, "ompi_mpi_errors_return") && find(&m->init, m, "MPI_Init") &&
           find(&m->finalize, m, "MPI_Finalize") && find(&m->comm_rank, m, "MPI_Comm_rank") &&
           find(&m->comm_size, m, "MPI_Comm_size") &&
           find(&m->set_errhandler, m, "MPI_Comm_set_errhandler") &&
           find(&m->allgather, m, "MPI_Allgather") && find(&m->allgatherv, m, "MPI_Allgatherv") &&
           find(&m->alltoall, m, "MPI_Alltoall");
}

static enum lorac_status load(struct mpi *m, MPI_Errhandler *returns, struct lorac_err *err)
{
    static const char *const files[] = {LORAC_MPI_SONAME, LORAC_MPI_FILE};
    for (size_t i = 0; i < 2 && !m->library; i++) {
        m->library = dlopen(files[i], RTLD_NOW | RTLD_GLOBAL); // where its plug-ins look for it
    }
    if (!m->library) {
        const char *why = dlerror(); // NOLINT(concurrency-mt-unsafe)
        return lorac_fail(
            err, LORAC_ENOTSUP,
            "mpirun started this program, but MPI cannot be loaded: %s (Debian has it "
            "as libopenmpi3)",
            why ? why : "unknown reason");
    }
    if (find_all(m, returns)) { return LORAC_OK; }
    return lorac_fail(err, LORAC_ENOTSUP, LORAC_MPI_SONAME " is another library than Open MPI");
}

enum lorac_status lorac_wire_open(struct lorac_wire *out, struct lorac_err *err)
{
    int rank = 0;
    int n = 0;
    MPI_Errhandler returns = NULL;
    struct mpi *m = lorac_mem_new(1, sizeof *m);
    if (!m) { return lorac_fail(err, LORAC_ENOMEM, "no memory for MPI"); }
    enum lorac_status st = load(m, &returns, err);
    if (!st &&
        (m->init(NULL, NULL) != MPI_SUCCESS || m->comm_rank(m->world, &rank) != MPI_SUCCESS ||
         m->comm_size(m->world, &n) != MPI_SUCCESS ||
         m->set_errhandler(m->world, returns) != MPI_SUCCESS)) {
        st = lorac_fail(err, LORAC_EIO, "MPI does not begin (MPI_Init)");
    }
    if (st) {
        lorac_mem_free(m);
        return st;
    }
    *out = (struct lorac_wire){.rank = (size_t)rank,
                               .n = (size_t)n,
                               .self = m,
                               .gather = gather,
                               .gather_some = gather_some,
                               .exchange = exchange,
                               .close = end};
    return LORAC_OK;
}
