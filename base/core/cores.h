/*
 * cores.h - which processors of Linux are cores of their own, and which are second threads of one
 * (SMT): these share its arithmetic and its nearest caches, and products gain nothing by them.
 *
 * ROOT/cpuN/topology/thread_siblings_list names the processors of N's core: "0,64", "2-3", "5".
 * Source: the kernel's Documentation/admin-guide/cputopology.rst.
 *
 * Needs _GNU_SOURCE, for cpu_set_t.
 */
#ifndef LORAC_BASE_CORE_CORES_H
#define LORAC_BASE_CORE_CORES_H

#include <sched.h>
#include <stddef.h>

/* Takes out of the set what shares a core with an earlier one of it: how many are left. `root`:
 * "/sys/devices/system/cpu". What cannot be read is a core. */
size_t lorac_cores_keep(cpu_set_t *set, const char *root);

/* Cores that this process may run on, at least 1. */
size_t lorac_cores(void);

#endif
