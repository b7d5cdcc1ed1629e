/*
 * cgroup.h - the memory and the processors' time that a container or a service may have, which is
 * less than the machine's.
 *
 * Linux says in /proc/self/cgroup to which groups a process belongs, one line "ID:CONTROLLERS:PATH"
 * each; a group's files lie in its folder below the mount, and every group above it binds, too:
 *
 *   version 2   "0::PATH"         MOUNT/PATH/memory.max, memory.current, memory.stat
 *               (inactive_file), cpu.max
 *   version 1   "4:memory:PATH"   MOUNT/memory/PATH/memory.limit_in_bytes, memory.usage_in_bytes,
 *                                 memory.stat (total_inactive_file)
 *               "5:cpu:PATH"      MOUNT/cpu/PATH/cpu.cfs_quota_us, cpu.cfs_period_us
 *
 * In a container the path may be the host's, of which only the root is visible: folders that are
 * not there do not bind. Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst,
 * cgroup-v1/memory.rst and scheduler/sched-bwc.rst.
 */
#ifndef LORAC_BASE_CORE_CGROUP_H
#define LORAC_BASE_CORE_CGROUP_H

#include <stddef.h>

struct lorac_cgroup {
    size_t limit;      // bytes, the least of all groups; SIZE_MAX: none
    size_t free;       // of them, that can still be had, file cache given back; SIZE_MAX: no limit
    double processors; // whose whole time it may use, the least of all groups; INFINITY: no limit
};

/* `self`: "/proc/self/cgroup", `mount`: "/sys/fs/cgroup". What cannot be read does not bind. */
struct lorac_cgroup lorac_cgroup_read(const char *self, const char *mount);

#endif
