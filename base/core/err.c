/* err.c - formatting of struct lorac_err; see err.h for the contract. */
#include "base/core/err.h"

#include "base/core/number.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

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

static bool unseen(utf8proc_int32_t c)
{
    if (c == ' ') { return false; }
    if (c == 0x2800 || c == 0x3164) { return true; } // letters that are blank
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_ZS ||
           k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

/* The character at `text` as it is shown; *used: its bytes. */
static void show_one(char shown[16], size_t *used, const char *text, size_t n)
{
    utf8proc_int32_t c = 0;
    utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &c);
    *used = k > 0 ? (size_t)k : 1;
    if (k <= 0) {
        snprintf(shown, 16, "<0x%02X>", (unsigned char)*text);
    } else if (c == '\n' || c == '\r' || c == '\t') {
        snprintf(shown, 16, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    } else if (unseen(c)) {
        snprintf(shown, 16, "<U+%04X>", (unsigned)c);
    } else {
        snprintf(shown, 16, "%.*s", (int)k, text);
    }
}

const char *lorac_visible(char *out, size_t size, const char *text, size_t n)
{
    static const char dots[] = "...";
    size_t at = 0;     // of out
    size_t before = 0; // where the dots would fit
    for (size_t i = 0; i < n;) {
        char shown[16];
        size_t used = 0;
        show_one(shown, &used, text + i, n - i);
        size_t k = strlen(shown);
        if (at + sizeof dots <= size) { before = at; }
        if (at + k >= size) {
            memcpy(out + before, dots, sizeof dots);
            return out;
        }
        memcpy(out + at, shown, k);
        at += k;
        i += used;
    }
    out[at] = '\0';
    return out;
}

bool lorac_is_utf8(const char *text, size_t n)
{
    while (n > 0) {
        utf8proc_int32_t c = 0;
        utf8proc_ssize_t k =
            utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &c);
        if (k <= 0) { return false; }
        text += k;
        n -= (size_t)k;
    }
    return true;
}
