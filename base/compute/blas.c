/* blas.c - loading OpenBLAS, and its product; see blas.h. */
#define _GNU_SOURCE // MAP_ANONYMOUS
#include "base/compute/blas.h"

#include "base/core/loads.h"

#include <assert.h>
#include <cblas.h>
#include <dlfcn.h>
#include <limits.h>
#include <omp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define MIB ((size_t)1 << 20)

/* OpenBLAS 0.3.21, measured: its file and data; and BUFFER_SIZE (its common_x86_64.h), of which
 * each thread has one from the start and each call takes another. */
enum { LIBRARY_MIB = 40, BUFFER_MIB = 128, MAX_BUFFERS = 65 };

static struct {
    void *_Atomic handle; // NULL: not loaded
    bool openmp;          // its threads are OpenMP's
    bool may_set_environment;
    void (*sgemm)(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, blasint m, blasint n,
                  blasint k, float alpha, const float *a, blasint lda, const float *b, blasint ldb,
                  float beta, float *c, blasint ldc);
    int (*get_parallel)(void);
    int (*get_num_threads)(void);
    void (*set_num_threads)(int);
    char *(*get_corename)(void);
    pthread_mutex_t turn; // its number of threads is one of the process
} blas = {.turn = PTHREAD_MUTEX_INITIALIZER};

bool lorac_blas_loaded(void)
{
    return blas.handle != NULL;
}

void lorac_blas_may_set_environment(void)
{
    blas.may_set_environment = true;
}

/* An OpenBLAS older than the processor takes kernels of 20 years ago for it (Prescott, or Barcelona
 * on AMD): 0.3.21 does so on Emerald Rapids, and products take several times as long. Source:
 * OpenBLAS, driver/others/dynamic.c. */
const char *lorac_blas_better_core(void)
{
#if defined(__x86_64__)
#    ifdef LORAC_OPENBLAS_LINK
    const char *core = openblas_get_corename();
#    else
    const char *core = blas.get_corename();
#    endif
    bool fallback = strcmp(core, "Prescott") == 0 || strcmp(core, "Barcelona") == 0;
    if (!fallback || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        return NULL;
    }
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
                  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
    return avx512 ? "SkylakeX" : "Haswell";
#else
    return NULL;
#endif
}

#ifdef LORAC_OPENBLAS_LINK
static enum lorac_status find_functions(struct lorac_err *err)
{
    (void)err;
    blas.sgemm = cblas_sgemm;
    blas.get_parallel = openblas_get_parallel;
    blas.get_num_threads = openblas_get_num_threads;
    blas.set_num_threads = openblas_set_num_threads;
    blas.get_corename = openblas_get_corename;
    blas.handle = &blas;
    return LORAC_OK;
}
#else

LORAC_LOADS("openblas", "Products of matrices", "required", LORAC_OPENBLAS_SONAME);

/* A function pointer from an object's, which POSIX allows and ISO C does not. */
static bool find(void *function, const char *name)
{
    void *at = dlsym(blas.handle, name);
    memcpy(function, &at, sizeof at);
    return at != NULL;
}

/* What the loader says: the system's own library, then that which this was built beside. */
static enum lorac_status find_functions(struct lorac_err *err)
{
    char why[300] = "";
    static const char *const files[] = {LORAC_OPENBLAS_SONAME, LORAC_OPENBLAS_FILE};
    for (size_t i = 0; i < 2 && !blas.handle; i++) {
        blas.handle = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
        const char *said = blas.handle ? NULL : dlerror(); // NOLINT(concurrency-mt-unsafe)
        if (said && !why[0]) { strncpy(why, said, sizeof why - 1); }
    }
    if (!blas.handle) {
        return lorac_fail(
            err, LORAC_ENOTSUP,
            "OpenBLAS, which products are computed with, cannot be loaded: %s (Debian "
            "has it as libopenblas0-openmp)",
            why);
    }
    if (find(&blas.sgemm, "cblas_sgemm") && find(&blas.get_parallel, "openblas_get_parallel") &&
        find(&blas.get_num_threads, "openblas_get_num_threads") &&
        find(&blas.set_num_threads, "openblas_set_num_threads") &&
        find(&blas.get_corename, "openblas_get_corename")) {
        return LORAC_OK;
    }
    (void)dlclose(blas.handle);
    blas.handle = NULL;
    return lorac_fail(err, LORAC_ENOTSUP,
                      LORAC_OPENBLAS_SONAME
                      " is another library than OpenBLAS: functions are missing");
}

/* Only a variable that it reads while it is loaded changes its kernels, so it is loaded once more.
 */
static enum lorac_status name_the_core(struct lorac_err *err)
{
    const char *better = blas.may_set_environment ? lorac_blas_better_core() : NULL;
    if (!better || getenv("OPENBLAS_CORETYPE")) {
        return LORAC_OK;
    } // NOLINT(concurrency-mt-unsafe)
    (void)dlclose(blas.handle);
    blas.handle = NULL;
    (void)setenv("OPENBLAS_CORETYPE", better, 0); // NOLINT(concurrency-mt-unsafe)
    enum lorac_status st = find_functions(err);
    (void)unsetenv("OPENBLAS_CORETYPE"); // NOLINT(concurrency-mt-unsafe)
    return st;
}

/* Threads that it makes room for: the first of these variables, but no more than there are
 * processors. */
static size_t threads_at_start(void)
{
    static const char *const names[] = {"OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS",
                                        "OMP_NUM_THREADS"};
    long n = 0;
    long most = omp_get_num_procs();
    for (size_t i = 0; i < 3 && n < 1; i++) {
        const char *text = getenv(names[i]); // NOLINT(concurrency-mt-unsafe)
        n = text ? strtol(text, NULL, 10) : 0;
    }
    return (size_t)(n > 0 && n < most ? n : most);
}

/* Whether the system gives so many MiB, in the pieces in which it will be asked. */
static bool has_room(size_t buffers)
{
    void *at[MAX_BUFFERS + 1];
    size_t n = 0;
    bool room = true;
    while (room && n <= buffers) {
        size_t bytes = (n ? BUFFER_MIB : LIBRARY_MIB) * MIB;
        at[n] = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        room = at[n] != MAP_FAILED;
        n += room;
    }
    while (n-- > 0) {
        (void)munmap(at[n], (n ? BUFFER_MIB : LIBRARY_MIB) * MIB);
    }
    return room;
}

static size_t room_for(size_t threads)
{
    return LIBRARY_MIB + (threads + 1) * BUFFER_MIB;
}

/* It asks for memory until it gets some, for ever where a limit forbids it: the limit is to be met
 * here. */
static enum lorac_status check_room(int threads, struct lorac_err *err)
{
    size_t n = threads_at_start();
    struct rlimit as = {.rlim_cur = RLIM_INFINITY};
    struct rlimit data = as;
    if (threads > 0 && (size_t)threads > n) { n = (size_t)threads; }
    if (n + 1 > MAX_BUFFERS) { n = MAX_BUFFERS - 1; }
    if (has_room(n + 1)) { return LORAC_OK; }
    (void)getrlimit(RLIMIT_AS, &as);
    (void)getrlimit(RLIMIT_DATA, &data);
    bool all = as.rlim_cur != RLIM_INFINITY;
    if (!all && data.rlim_cur == RLIM_INFINITY) {
        return lorac_fail(
            err, LORAC_ENOMEM,
            "the system does not give the %zu MiB of address space that OpenBLAS takes for "
            "%zu threads (vm.overcommit_memory?); OMP_NUM_THREADS=1 takes %zu",
            room_for(n), n, room_for(1));
    }
    return lorac_fail(
        err, LORAC_ENOMEM,
        "OpenBLAS takes %zu MiB of address space for %zu thread%s beside the program's, but this "
        "process may have %zu MiB in all (ulimit -%c): raise the limit%s",
        room_for(n), n, n == 1 ? "" : "s", (size_t)(all ? as.rlim_cur : data.rlim_cur) >> 20,
        all ? 'v' : 'd', n == 1 ? "" : ", or set OMP_NUM_THREADS=1");
}
#endif

enum lorac_status lorac_blas_load(int threads, struct lorac_err *err)
{
    if (blas.handle) { return LORAC_OK; }
#ifdef LORAC_OPENBLAS_LINK
    (void)threads;
    enum lorac_status st = find_functions(err);
#else
    enum lorac_status st = check_room(threads, err);
    if (!st) { st = find_functions(err); }
    if (!st) { st = name_the_core(err); }
#endif
    if (!st) { blas.openmp = blas.get_parallel() == OPENBLAS_OPENMP; }
    return st;
}

static blasint whole(size_t n)
{
    assert(n <= INT_MAX); // guaranteed by lorac_model_open(), which rejects larger models
    return (blasint)n;
}

/*
 * OpenBLAS keeps one number of threads for the whole process. Built with OpenMP it takes the
 * calling thread's own (omp_set_num_threads) each time, and touches the process's where that is
 * above 1; so callers with one thread each don't wait for each other, and the others take turns, as
 * inside OpenBLAS they would.
 */
void lorac_blas_sgemm(int threads, bool ta, bool tb, size_t M, size_t N, size_t K, float alpha,
                      const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c,
                      size_t ldc)
{
    assert(blas.handle); // lorac_device_start()
    bool turn = threads > 1 || !blas.openmp;
    int own = omp_get_max_threads();
    if (turn) { (void)pthread_mutex_lock(&blas.turn); }
    int last = blas.openmp ? threads : blas.get_num_threads();
    if (own != threads) { omp_set_num_threads(threads); }
    if (last != threads) { blas.set_num_threads(threads); }
    blas.sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
               whole(M), whole(N), whole(K), alpha, a, whole(lda), b, whole(ldb), beta, c,
               whole(ldc));
    if (last != threads) { blas.set_num_threads(last); }
    if (own != threads) { omp_set_num_threads(own); }
    if (turn) { (void)pthread_mutex_unlock(&blas.turn); }
}
