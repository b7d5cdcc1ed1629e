/* machine.c - see machine.h. */
#define _POSIX_C_SOURCE 200809L // gethostname
#include "base/core/machine.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

size_t lorac_machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (size_t)pages * (size_t)size : 0;
}

size_t lorac_machine_peak(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (size_t)usage.ru_maxrss * 1024 : 0; // KiB on Linux
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
