/* number.c - numbers as recipes write them; see reading.h. */
#include "recipes/language/reading.h"

#include "base/core/number.h"

#include <math.h>
#include <string.h>

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

bool lorac_whole_parse(uint64_t *out, const char *text, size_t n, uint64_t max)
{
    if (n == 0 || (n > 1 && text[0] == '0')) { return false; }
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') { return false; }
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (v > (UINT64_MAX - digit) / 10) { return false; }
        v = v * 10 + digit;
    }
    *out = v;
    return v <= max;
}
