/* machine.h - facts of the machine for plans and manifests. */
#ifndef LORAC_BASE_CORE_MACHINE_H
#define LORAC_BASE_CORE_MACHINE_H

#include "base/core/api.h"
#include <stddef.h>

LORAC_API_BEGIN

/* Bytes of memory: the machine's, or what its control group allows this process (cgroup.h) where
 * that is less. */
size_t lorac_machine_memory(void);    // all of it, 0: unknown
size_t lorac_machine_available(void); // that this process can get now, 0: unknown
/* Processors that are at work, at least 1: the machine's, or those whose time its control group
 * allows this process, a part of one counted whole. */
size_t lorac_machine_processors(void);
/* Bytes of this process that are in memory now: its own, and pages of files. Both 0: unknown. */
void lorac_machine_resident(size_t *own, size_t *files);
size_t lorac_machine_peak(void);        // bytes: the most that this process has had resident
void lorac_machine_peak_begin(void);    // from now on, where the system can (Linux)
void lorac_machine_cpu(char text[64]);  // "AMD EPYC 9654 96-Core Processor", or "unknown"
void lorac_machine_host(char text[64]); // the host's name

LORAC_API_END

#endif
