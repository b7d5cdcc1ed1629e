/* machine.c - see machine.h. */
#define _POSIX_C_SOURCE 200809L // gethostname
#include "base/core/machine.h"

#include "base/core/cgroup.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct lorac_cgroup group(void)
{
    return lorac_cgroup_read("/proc/self/cgroup", "/sys/fs/cgroup");
}

size_t lorac_machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long size = sysconf(_SC_PAGESIZE);
    size_t all = pages > 0 && size > 0 ? (size_t)pages * (size_t)size : 0;
    size_t limit = group().limit;
    return all && all < limit ? all : limit < SIZE_MAX ? limit : 0;
}

/* The free memory and what the system can take back from its file cache (Linux: MemAvailable). */
size_t lorac_machine_available(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        static const char key[] = "MemAvailable:"; // "MemAvailable:   24097064 kB"
        if (strncmp(line, key, sizeof key - 1) != 0) { continue; }
        kib = strtoull(line + sizeof key - 1, NULL, 10);
        break;
    }
    if (f) { fclose(f); }
    size_t all = (size_t)kib * 1024;
    size_t left = group().free;
    if (left == 0) { left = 1; } // 0 would say: unknown
    return all && all < left ? all : left < SIZE_MAX ? left : 0;
}

void lorac_machine_resident(size_t *own, size_t *files)
{
    char line[256];
    size_t pages[3] = {0}; // size, resident, of these shared: pages of files
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fgets(line, sizeof line, f)) {
        char *at = line;
        for (size_t i = 0; i < 3; i++) {
            pages[i] = strtoull(at, &at, 10);
        }
    }
    if (f) { fclose(f); }
    *files = pages[2] * size;
    *own = pages[1] > pages[2] ? (pages[1] - pages[2]) * size : 0;
}

size_t lorac_machine_peak(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (size_t)usage.ru_maxrss * 1024 : 0; // KiB on Linux
}

void lorac_machine_peak_begin(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "we");
    if (!f) { return; }
    (void)fputs("5", f); // proc(5): the peak becomes what is resident now
    (void)fclose(f);
}

size_t lorac_machine_processors(void)
{
    double n = fmin(ceil(group().processors), (double)sysconf(_SC_NPROCESSORS_ONLN));
    return n > 1.0 ? (size_t)n : 1;
}

void lorac_machine_cpu(char text[64])
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    (void)snprintf(text, 64, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strstr(line, ": ");
        if (strncmp(line, "model name", 10) == 0 && colon) {
            (void)snprintf(text, 64, "%.63s", colon + 2);
            text[strcspn(text, "\n")] = '\0';
            break;
        }
    }
    if (f) { fclose(f); }
}

void lorac_machine_host(char text[64])
{
    if (gethostname(text, 64) != 0) { (void)snprintf(text, 64, "unknown"); }
    text[63] = '\0';
}
