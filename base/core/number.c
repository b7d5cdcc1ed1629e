/* number.c - see number.h. */
#define _POSIX_C_SOURCE 200809L // uselocale
#include "base/core/number.h"

#include <assert.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

static_assert(sizeof(locale_t) == sizeof(void *), "POSIX systems have a pointer there");

/* The C libraries keep this one locale for ever, so that it costs nothing to ask for and is never
 * freed. */
void *lorac_locale_begin(void)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return (void *)uselocale(c); // of this thread only
}

void lorac_locale_end(void *before)
{
    locale_t c = uselocale((locale_t)before);
    if (c != (locale_t)before && c != LC_GLOBAL_LOCALE) { freelocale(c); }
}

int lorac_vsnprintf(char *to, size_t size, const char *fmt, va_list args)
{
    void *before = lorac_locale_begin();
    int n = vsnprintf(to, size, fmt, args);
    lorac_locale_end(before);
    return n;
}

int lorac_snprintf(char *to, size_t size, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = lorac_vsnprintf(to, size, fmt, args);
    va_end(args);
    return n;
}

double lorac_strtod(const char *text, char **end)
{
    void *before = lorac_locale_begin();
    double x = strtod(text, end);
    lorac_locale_end(before);
    return x;
}

void lorac_number_print(struct lorac_buf *buf, double x)
{
    char text[32];
    for (int digits = 1; digits <= 17; digits++) {
        (void)lorac_snprintf(text, sizeof text, "%.*g", digits, x);
        if (lorac_strtod(text, NULL) == x) { break; }
    }
    lorac_buf_str(buf, text);
}
