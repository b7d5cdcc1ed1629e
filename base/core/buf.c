/* buf.c - see buf.h. */
#include "base/core/buf.h"

#include "base/core/mem.h"
#include "base/core/number.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Room for `n` more bytes and the NUL. */
static bool reserve(struct lorac_buf *b, size_t n)
{
    if (b->no_memory) { return false; }
    if (n >= SIZE_MAX - b->n) {
        b->no_memory = true;
        return false;
    }
    char *at = lorac_mem_grow(b->at, b->n, &b->cap, b->n + n + 1, 1);
    if (!at) {
        b->no_memory = true;
        return false;
    }
    b->at = at;
    return true;
}

char *lorac_buf_room(struct lorac_buf *b, size_t n)
{
    if (!reserve(b, n)) { return NULL; }
    b->n += n;
    b->at[b->n] = '\0';
    return b->at + b->n - n;
}

void lorac_buf_add(struct lorac_buf *b, const void *bytes, size_t n)
{
    char *at = lorac_buf_room(b, n);
    if (at && n) { memcpy(at, bytes, n); }
}

void lorac_buf_str(struct lorac_buf *b, const char *s)
{
    lorac_buf_add(b, s, strlen(s));
}

void lorac_buf_printf(struct lorac_buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    void *before = lorac_locale_begin();
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0) {
        b->no_memory = true;
    } else if (reserve(b, (size_t)n)) {
        vsnprintf(b->at + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    lorac_locale_end(before);
    va_end(again);
}

void lorac_buf_word(struct lorac_buf *b, const char *word)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
    bool quote = !*word || word[strspn(word, plain)] != '\0';
    lorac_buf_str(b, quote ? "'" : "");
    for (const char *c = word; *c; c++) {
        if (*c == '\'') {
            lorac_buf_str(b, "'\\''");
        } else {
            lorac_buf_add(b, c, 1);
        }
    }
    lorac_buf_str(b, quote ? "'" : "");
}

void lorac_buf_json(struct lorac_buf *b, const char *s, size_t n)
{
    lorac_buf_str(b, "\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\') {
            lorac_buf_printf(b, "\\%c", c);
        } else if (c == '\n') {
            lorac_buf_str(b, "\\n");
        } else if (c < 0x20) {
            lorac_buf_printf(b, "\\u%04x", c);
        } else {
            lorac_buf_add(b, &s[i], 1);
        }
    }
    lorac_buf_str(b, "\"");
}

void lorac_buf_csv(struct lorac_buf *b, const char *s, size_t n)
{
    lorac_buf_str(b, "\"");
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '"') { lorac_buf_str(b, "\""); }
        lorac_buf_add(b, s[i] ? &s[i] : "\xEF\xBF\xBD", s[i] ? 1 : 3);
    }
    lorac_buf_str(b, "\"");
}

void lorac_buf_clear(struct lorac_buf *b)
{
    b->n = 0;
    b->no_memory = false;
    if (b->at) { b->at[0] = '\0'; }
}

void lorac_buf_free(struct lorac_buf *b)
{
    lorac_mem_free(b->at);
    *b = (struct lorac_buf){0};
}
