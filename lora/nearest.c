/* nearest.c - see nearest.h. */
#include "lora/nearest.h"

#include "base/core/suggest.h"

#include <stdio.h>
#include <string.h>

enum { NAME = LORAC_MODULE_NAME, LISTED = 5, SPREAD = 1 };

/* The last `dots` + 1 components of a name. */
static const char *tail(const char *name, size_t dots)
{
    const char *at = name + strlen(name);
    while (at > name && (at[-1] != '.' || dots > 0)) {
        dots -= at[-1] == '.';
        at--;
    }
    return at;
}

struct near {
    char name[LISTED][NAME];
    size_t d[LISTED], n;
};

static void keep(struct near *k, const char *name, size_t d)
{
    for (size_t i = 0; i < k->n; i++) {
        if (strcmp(k->name[i], name) == 0) { return; }
    }
    if (k->n == LISTED && d >= k->d[LISTED - 1]) { return; }
    size_t i = k->n < LISTED ? k->n++ : LISTED - 1;
    for (; i > 0 && k->d[i - 1] > d; i--) {
        memcpy(k->name[i], k->name[i - 1], NAME);
        k->d[i] = k->d[i - 1];
    }
    (void)snprintf(k->name[i], NAME, "%s", name);
    k->d[i] = d;
}

void lorac_nearest_modules(char *out, size_t size, const struct lorac_model *m, bool all,
                           const char *text)
{
    size_t dots = 0;
    for (const char *s = text; *s; s++) {
        dots += *s == '.';
    }
    struct near k = {.n = 0};
    for (size_t i = 0; i < m->n_modules; i++) {
        if (!all && !lorac_module_is_linear(&m->module[i])) { continue; }
        const char *name = tail(m->module[i].name, dots);
        keep(&k, name, lorac_distance(name, text));
    }
    out[0] = '\0';
    size_t used = 0;
    for (size_t i = 0; i < k.n && k.d[i] <= k.d[0] + SPREAD; i++) {
        int written = snprintf(out + used, size - used, "%s%s", i ? ", " : "", k.name[i]);
        if (written < 0 || (size_t)written >= size - used) { break; }
        used += (size_t)written;
    }
}
