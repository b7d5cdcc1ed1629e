/* number.c - see number.h. */
#define _POSIX_C_SOURCE 200809L // uselocale
#include "base/core/number.h"

#include <assert.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* [+-] digits [. digits] [e [+-] digits], with a digit before or after the point. */
static bool has_form(const char *s, bool *is_zero)
{
    s += *s == '+' || *s == '-';
    size_t whole = strspn(s, "0123456789");
    *is_zero = strspn(s, "0.") == strcspn(s, "eE");
    s += whole;
    size_t part = 0;
    if (*s == '.') {
        part = strspn(++s, "0123456789");
        s += part;
    }
    if (whole + part == 0) { return false; }
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '+' || *s == '-';
        size_t digits = strspn(s, "0123456789");
        if (digits == 0) { return false; }
        s += digits;
    }
    return *s == '\0';
}

enum lorac_number lorac_number_parse(double *out, const char *text)
{
    bool is_zero = false;
    if (!has_form(text, &is_zero)) { return LORAC_NUMBER_NONE; }
    *out = lorac_strtod(text, NULL);
    if (!isfinite(*out)) { return LORAC_NUMBER_TOO_LARGE; }
    return *out == 0.0 && !is_zero ? LORAC_NUMBER_TOO_SMALL : LORAC_NUMBER_OK;
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
