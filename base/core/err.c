/* err.c - formatting of struct lorac_err; see err.h for the contract. */
#include "base/core/err.h"

#include "base/core/number.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void lorac_err_set(struct lorac_err *err, enum lorac_status code, const char *fmt, ...)
{
    if (!err) { return; }
    va_list args;
    va_start(args, fmt);
    lorac_vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    err->code = code;
}

void lorac_err_prefix(struct lorac_err *err, const char *fmt, ...)
{
    if (!err) { return; }
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, fmt);
    int n = lorac_vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->text) {
        snprintf(err->text + n, sizeof err->text - (size_t)n, "%s", old);
    }
}

void lorac_err_add(struct lorac_err *err, const char *fmt, ...)
{
    if (!err) { return; }
    size_t n = strlen(err->text);
    va_list args;
    va_start(args, fmt);
    (void)lorac_vsnprintf(err->text + n, sizeof err->text - n, fmt, args);
    va_end(args);
}
