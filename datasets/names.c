/* names.c - see names.h. */
#include "datasets/names.h"

#include "base/core/err.h"
#include "base/core/suggest.h"

#include <string.h>

void lorac_names_hint(struct lorac_buf *b, const char *name, const char *const *names, size_t n)
{
    enum { SHOWN = 12 };
    struct lorac_near near = {.word = name, .most = 2}; // more letters are no slip of the hand
    for (size_t i = 0; i < n; i++) {
        (void)lorac_near_try(&near, names[i]);
    }
    char shown[64];
    if (near.best) {
        char hint[96];
        (void)lorac_visible(shown, sizeof shown, near.best, strlen(near.best));
        lorac_buf_str(b, lorac_near_hint(hint, sizeof hint, shown));
    }
    lorac_buf_str(b, n ? "; there are " : "; there are none");
    for (size_t i = 0; i < n && i < SHOWN; i++) {
        lorac_buf_printf(b, "%s'%s'", i ? ", " : "",
                         lorac_visible(shown, 32, names[i], strlen(names[i])));
    }
    if (n > SHOWN) { lorac_buf_printf(b, ", ... (%zu)", n); }
}
