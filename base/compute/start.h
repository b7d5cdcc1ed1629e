/*
 * start.h - settings that OpenMP and OpenBLAS read when they are loaded, so that only the
 * environment can make them.
 *
 *   OMP_WAIT_POLICY, GOMP_SPINCOUNT   how threads wait for each other: before main()
 *   OPENBLAS_CORETYPE                 the kernels OpenBLAS takes, where it doesn't know the
 *                                     processor: while the first device is started, and only then
 *
 * What the environment has already stays as it is.
 */
#ifndef LORAC_BASE_COMPUTE_START_H
#define LORAC_BASE_COMPUTE_START_H

#include "base/core/api.h"
#include <stddef.h>

LORAC_API_BEGIN

/*
 * For the first line of a program's main(): makes the settings that are missing and, if any was,
 * starts the program itself once more, under the same name and with `argv`. Returns where nothing
 * was missing, or where that is not possible; everything then works, but may be slow.
 */
void lorac_start(char **argv);

/* Threads where nobody gives a number: one for each core, as far as this process may have its time
 * (cores.h, machine.h), fewer where the call below says so; or what OMP_NUM_THREADS says. */
int lorac_start_default(void);

/* From now on `n` threads, at least 1, where nobody gives a number: OMP_NUM_THREADS doesn't say
 * one, nor the device's options. For a process that shares its processors with others. */
void lorac_start_threads(size_t n);

LORAC_API_END

#endif
