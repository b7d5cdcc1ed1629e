/* names.c - see names.h. */
#include "datasets/names.h"

#include "base/core/err.h"

#include <string.h>

/* Levenshtein's distance without regard to ASCII case; "far" where a name is long. */
static size_t distance(const char *a, const char *b)
{
    enum { SHORT = 32, FAR = 99 };
    size_t n = strlen(a);
    size_t m = strlen(b);
    if (n > SHORT || m > SHORT) { return FAR; }
    size_t row[SHORT + 1];
    for (size_t j = 0; j <= m; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t up = row[j];
            size_t best = diagonal + ((a[i - 1] | 32) != (b[j - 1] | 32));
            best = up + 1 < best ? up + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = up;
            row[j] = best;
        }
    }
    return row[m];
}

void lorac_names_hint(struct lorac_buf *b, const char *name, const char *const *names, size_t n)
{
    enum { SHOWN = 12, NEAR = 2 }; // more than two letters apart is no slip of the hand
    size_t best = NEAR + 1;
    const char *meant = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(name, names[i]);
        if (d < best && d < strlen(names[i])) {
            best = d;
            meant = names[i];
        }
    }
    char shown[64];
    if (meant) {
        lorac_buf_printf(b, " (did you mean '%s'?)",
                         lorac_visible(shown, sizeof shown, meant, strlen(meant)));
    }
    lorac_buf_str(b, n ? "; there are " : "; there are none");
    for (size_t i = 0; i < n && i < SHOWN; i++) {
        lorac_buf_printf(b, "%s'%s'", i ? ", " : "",
                         lorac_visible(shown, 32, names[i], strlen(names[i])));
    }
    if (n > SHOWN) { lorac_buf_printf(b, ", ... (%zu)", n); }
}
