/* start.c - the environment of a fast program. See start.h. */
#define _POSIX_C_SOURCE 200809L // setenv
#include "base/compute/start.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef LORAC_HAVE_OPENBLAS
#    include <cblas.h>
#endif

/* True if this set it, false if it was there (or there is no memory). There is one thread so far. */
static bool set(const char *name, const char *value)
{
    if (getenv(name)) { return false; } // NOLINT(concurrency-mt-unsafe)
    return setenv(name, value, 0) == 0; // NOLINT(concurrency-mt-unsafe)
}

/*
 * Threads that wait by spinning for long lose whole time slices where other programs want the cores: a run on two
 * busy cores took 6 to 8 times as long. Threads that fall asleep at once lose the time to wake up, tens of
 * thousands of times a second where a model is small. So they spin for tens of microseconds, then sleep. On 2
 * cores, the small model that ships trained at 5,900 tokens a second with no spinning, at 10,100 with this number and
 * at 10,200 with a million; beside 4 other busy threads at 1,850 with none, 1,670 with 1,000, 1,420 with 3,000, 165
 * with 100,000.
 */
static bool wait_briefly(void)
{
    if (!set("OMP_WAIT_POLICY", "passive")) { return false; } // whoever sets it decides otherwise
    (void)set("GOMP_SPINCOUNT", "2000");
    return true;
}

/*
 * An OpenBLAS older than the processor takes kernels of 20 years ago for it (Prescott, or Barcelona on AMD): 0.3.21 does
 * so on Emerald Rapids, and products take several times as long. Source: OpenBLAS, driver/others/dynamic.c.
 */
static bool name_the_core(void)
{
#if defined(LORAC_HAVE_OPENBLAS) && defined(__x86_64__)
    const char *core = openblas_get_corename();
    bool fallback = strcmp(core, "Prescott") == 0 || strcmp(core, "Barcelona") == 0;
    if (!fallback || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        return false;
    }
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
                  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
    return set("OPENBLAS_CORETYPE", avx512 ? "SkylakeX" : "Haswell");
#else
    return false;
#endif
}

void lorac_start(char **argv)
{
    bool waits = wait_briefly();
    bool core = name_the_core();
    if (waits || core) { (void)execv("/proc/self/exe", argv); }
}
