/* cgroup.c - see cgroup.h. */
#include "base/core/cgroup.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH = 4096 };

static const struct version {
    const char *folder; // below the mount
    const char *limit, *usage, *stat;
    const char *reclaimable; // a line of `stat`: file pages that nobody has used lately
} versions[] = {
    {"", "memory.max", "memory.current", "memory.stat", "inactive_file "},
    {"/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat",
     "total_inactive_file "},
};

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

/* What the group whose folder is `dir` allows. */
static void bind(struct lorac_cgroup *g, const char *dir, const struct version *v)
{
    size_t limit = number(dir, v->limit, "", SIZE_MAX);
    if (limit == SIZE_MAX) { return; }
    size_t used = number(dir, v->usage, "", 0);
    size_t cache = number(dir, v->stat, v->reclaimable, 0);
    used = used > cache ? used - cache : 0;
    size_t left = limit > used ? limit - used : 0;
    if (limit < g->limit) { g->limit = limit; }
    if (left < g->free) { g->free = left; }
}

/* The version that a line of /proc/self/cgroup speaks of, and its path; NULL: another controller.
 */
static const struct version *read_line(char **path, char *line)
{
    char *controllers = strchr(line, ':');
    *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!*path) { return NULL; }
    *controllers++ = '\0';
    *(*path)++ = '\0';
    (*path)[strcspn(*path, "\n")] = '\0';
    if (strcmp(line, "0") == 0 && !controllers[0]) { return &versions[0]; }
    for (char *name = controllers; name; name = strchr(name, ',')) {
        name += *name == ',';
        size_t n = strcspn(name, ",");
        if (n == strlen("memory") && strncmp(name, "memory", n) == 0) { return &versions[1]; }
    }
    return NULL;
}

struct lorac_cgroup lorac_cgroup_read(const char *self, const char *mount)
{
    struct lorac_cgroup g = {SIZE_MAX, SIZE_MAX};
    char line[PATH];
    char dir[2 * PATH];
    FILE *f = fopen(self, "re");
    while (f && fgets(line, sizeof line, f)) {
        char *path = NULL;
        const struct version *v = read_line(&path, line);
        if (!v) { continue; }
        int root = snprintf(dir, sizeof dir, "%s%s", mount, v->folder);
        if (root < 0 || (size_t)root + strlen(path) >= PATH) { continue; }
        (void)snprintf(dir + root, sizeof dir - (size_t)root, "%s", path);
        for (;;) { // the group, then each one above it
            bind(&g, dir, v);
            char *slash = strrchr(dir + root, '/');
            if (!slash) { break; }
            *slash = '\0';
        }
    }
    if (f) { (void)fclose(f); }
    return g;
}
