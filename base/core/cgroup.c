/* cgroup.c - see cgroup.h. */
#include "base/core/cgroup.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH = 4096 };

/* The number behind `key` in DIR/NAME, `otherwise` where there is none ("max"). */
static size_t number(const char *dir, const char *name, const char *key, size_t otherwise)
{
    char path[PATH + 64];
    char line[256];
    size_t found = otherwise;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        size_t n = strlen(key);
        char *end = NULL;
        if (strncmp(line, key, n) != 0) { continue; }
        unsigned long long v = strtoull(line + n, &end, 10);
        if (end != line + n) { found = v < SIZE_MAX ? (size_t)v : SIZE_MAX; }
        break;
    }
    if (f) { (void)fclose(f); }
    return found;
}

/* ---- what the group whose folder is `dir` allows ---- */

/* `cache`: a line of memory.stat, of file pages that nobody has used lately. */
static void bind_memory(struct lorac_cgroup *g, const char *dir, size_t limit, const char *usage,
                        const char *cache)
{
    if (limit == SIZE_MAX) { return; }
    size_t used = number(dir, usage, "", 0);
    size_t cached = number(dir, "memory.stat", cache, 0);
    used = used > cached ? used - cached : 0;
    size_t left = limit > used ? limit - used : 0;
    if (limit < g->limit) { g->limit = limit; }
    if (left < g->free) { g->free = left; }
}

static void memory_1(struct lorac_cgroup *g, const char *dir)
{
    bind_memory(g, dir, number(dir, "memory.limit_in_bytes", "", SIZE_MAX), "memory.usage_in_bytes",
                "total_inactive_file ");
}

static void bind_time(struct lorac_cgroup *g, double quota, double period)
{
    if (quota > 0.0 && period > 0.0) { g->processors = fmin(g->processors, quota / period); }
}

static void time_1(struct lorac_cgroup *g, const char *dir)
{
    size_t quota = number(dir, "cpu.cfs_quota_us", "", SIZE_MAX); // -1: no limit, SIZE_MAX here
    size_t period = number(dir, "cpu.cfs_period_us", "", 0);
    if (quota < SIZE_MAX) { bind_time(g, (double)quota, (double)period); }
}

static void version_2(struct lorac_cgroup *g, const char *dir)
{
    char path[PATH + 64];
    char line[256];
    bind_memory(g, dir, number(dir, "memory.max", "", SIZE_MAX), "memory.current",
                "inactive_file ");
    (void)snprintf(path, sizeof path, "%s/cpu.max", dir);
    FILE *f = fopen(path, "re");
    if (f && fgets(line, sizeof line, f)) { // "QUOTA PERIOD", or "max PERIOD"
        char *end = line;
        double quota = (double)strtoull(line, &end, 10);
        bind_time(g, quota, (double)strtoull(end, NULL, 10));
    }
    if (f) { (void)fclose(f); }
}

static const struct controller {
    const char *name, *folder; // in the file, and below the mount
    void (*bind)(struct lorac_cgroup *g, const char *dir);
} controllers[] = {{"", "", version_2}, {"memory", "/memory", memory_1}, {"cpu", "/cpu", time_1}};

/* ---- which groups ---- */

/* Whether it is one of `names`, which commas divide. */
static bool is_among(const char *name, const char *names)
{
    size_t n = strlen(name);
    for (const char *at = names; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strcspn(at, ",") == n && strncmp(at, name, n) == 0) { return true; }
    }
    return false;
}

/* The group, then each one above it. */
static void walk(struct lorac_cgroup *g, const struct controller *c, const char *mount,
                 const char *path)
{
    char dir[2 * PATH];
    int root = snprintf(dir, sizeof dir, "%s%s", mount, c->folder);
    if (root < 0 || (size_t)root + strlen(path) >= PATH) { return; }
    (void)snprintf(dir + root, sizeof dir - (size_t)root, "%s", path);
    for (;;) {
        c->bind(g, dir);
        char *slash = strrchr(dir + root, '/');
        if (!slash) { break; }
        *slash = '\0';
    }
}

struct lorac_cgroup lorac_cgroup_read(const char *self, const char *mount)
{
    struct lorac_cgroup g = {SIZE_MAX, SIZE_MAX, (double)INFINITY};
    char line[PATH];
    FILE *f = fopen(self, "re");
    while (f && fgets(line, sizeof line, f)) {
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path) { continue; }
        *names++ = '\0';
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        bool second = strcmp(line, "0") == 0;
        for (size_t i = 0; i < sizeof controllers / sizeof *controllers; i++) {
            const struct controller *c = &controllers[i];
            bool its = c->name[0] ? is_among(c->name, names) : second && !names[0];
            if (its) { walk(&g, c, mount, path); }
        }
    }
    if (f) { (void)fclose(f); }
    return g;
}
