/* cores.c - see cores.h. */
#define _GNU_SOURCE // cpu_set_t
#include "base/core/cores.h"

#include "base/core/machine.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Does one of processors `from` .. below `end` belong to the set? */
static bool holds(const cpu_set_t *set, unsigned long from, unsigned long end)
{
    for (unsigned long i = from; i < end && i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, set)) { return true; }
    }
    return false;
}

/* Does the core of processor n have an earlier one of the set? */
static bool is_second(const cpu_set_t *set, size_t n, const char *root)
{
    char path[4096];
    char list[1024];
    bool found = false;
    (void)snprintf(path, sizeof path, "%s/cpu%zu/topology/thread_siblings_list", root, n);
    FILE *f = fopen(path, "re");
    if (f && fgets(list, sizeof list, f)) {
        for (char *at = list, *end = list; !found; at = end + 1) {
            unsigned long from = strtoul(at, &end, 10);
            unsigned long to = from;
            if (end == at) { break; }
            if (*end == '-') { to = strtoul(end + 1, &end, 10); }
            found = holds(set, from, to < n ? to + 1 : n);
            if (*end != ',') { break; }
        }
    }
    if (f) { (void)fclose(f); }
    return found;
}

size_t lorac_cores_keep(cpu_set_t *set, const char *root)
{
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, set) && is_second(set, i, root)) { CPU_CLR(i, set); }
    }
    return (size_t)CPU_COUNT(set);
}

size_t lorac_cores(void)
{
    cpu_set_t own;
    if (sched_getaffinity(0, sizeof own, &own) != 0) { // more processors than a set holds
        return lorac_machine_processors();
    }
    size_t n = lorac_cores_keep(&own, "/sys/devices/system/cpu");
    return n ? n : 1;
}
