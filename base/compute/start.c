/* start.c - the environment of a fast program. See start.h. */
#define _GNU_SOURCE // setenv, getauxval, cpu_set_t
#include "base/compute/start.h"

#ifdef LORAC_HAVE_OPENBLAS
#    include "base/compute/blas.h"
#endif
#include "base/core/cores.h"
#include "base/core/machine.h"

#ifdef _OPENMP
#    include <omp.h>
#endif
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

/* True if this set it, false if it was there (or there is no memory). There is one thread so far.
 */
static bool set(const char *name, const char *value)
{
    if (getenv(name)) { return false; } // NOLINT(concurrency-mt-unsafe)
    return setenv(name, value, 0) == 0; // NOLINT(concurrency-mt-unsafe)
}

/*
 * Threads that wait by spinning for long lose whole time slices where other programs want the
 * cores: a run on two busy cores took 6 to 8 times as long. Threads that fall asleep at once lose
 * the time to wake up, tens of thousands of times a second where a model is small. So they spin for
 * tens of microseconds, then sleep. On 2 cores, the small model that ships trained at 5,900 tokens
 * a second with no spinning, at 10,100 with this number and at 10,200 with a million; beside 4
 * other busy threads at 1,850 with none, 1,670 with 1,000, 1,420 with 3,000, 165 with 100,000.
 */
static bool wait_briefly(void)
{
    if (!set("OMP_WAIT_POLICY", "passive")) { return false; } // whoever sets it decides otherwise
    (void)set("GOMP_SPINCOUNT", "2000");
    return true;
}

#if defined(LORAC_OPENBLAS_LINK) && defined(__x86_64__)
/* Linked, it has chosen its kernels before main(); loaded, lorac_blas_load() sees to it. */
static bool name_the_core(void)
{
    const char *better = lorac_blas_better_core();
    return better && set("OPENBLAS_CORETYPE", better);
}
#else
static bool name_the_core(void)
{
    return false;
}
#endif

/*
 * By the name under which it was started, which the system then keeps for ps and top; the file may
 * have been replaced meanwhile, and then /proc has it still. A program that was started through the
 * dynamic linker (ld.so PROGRAM) is the linker's file there, which would take our arguments for a
 * program's name: it stays as it is.
 */
static void once_more(char **argv)
{
    static const char self[] = "/proc/self/exe";
    const char *name = (const char *)(uintptr_t)getauxval(AT_EXECFN); // NOLINT: the kernel's
    char file[4096];
    struct stat own;
    struct stat named;
    ssize_t n = readlink(self, file, sizeof file - 1);
    if (n <= 0 || stat(self, &own) != 0) { return; }
    file[n] = '\0';
    const char *base = strrchr(file, '/');
    if (base && (strncmp(base, "/ld-", 4) == 0 || strncmp(base, "/ld.so", 6) == 0)) { return; }
    bool same =
        name && stat(name, &named) == 0 && named.st_dev == own.st_dev && named.st_ino == own.st_ino;
    (void)execv(same ? name : file, argv);
    (void)execv(self, argv);
}

void lorac_start(char **argv)
{
#ifdef LORAC_HAVE_OPENBLAS
    lorac_blas_may_set_environment();
#endif
    // OpenBLAS then asks for its threads by number: else, under clang's OpenMP, it may wait for one
    // that never comes
    (void)set("OMP_ADAPTIVE", "1");
    bool waits = wait_briefly();
    bool core = name_the_core();
    if (waits || core) { once_more(argv); }
}

int lorac_start_default(void)
{
#ifdef _OPENMP
    size_t own = (size_t)omp_get_max_threads();
    bool given = getenv("OMP_NUM_THREADS"); // NOLINT(concurrency-mt-unsafe)
    size_t cores = lorac_cores();
    size_t allowed = lorac_machine_processors();
    size_t most = cores < allowed ? cores : allowed;
    return (int)(given || own < most ? own : most);
#else
    return 1;
#endif
}

void lorac_start_threads(size_t n)
{
#ifdef _OPENMP
    if (getenv("OMP_NUM_THREADS")) { return; } // NOLINT(concurrency-mt-unsafe)
    omp_set_num_threads(n > 1 ? (int)n : 1);
#else
    (void)n;
#endif
}
