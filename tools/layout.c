/* layout.c - tables and sentences in the width that there is; see verbs.h. */
#define _POSIX_C_SOURCE 200809L // isatty, fileno
#include "tools/verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool begins_character(char c)
{
    return ((unsigned char)c & 0xC0) != 0x80;
}

size_t show_width(const char *text)
{
    size_t n = 0;
    for (; *text; text++) {
        n += begins_character(*text);
    }
    return n;
}

void show_cell(FILE *to, const char *text, size_t width)
{
    size_t n = show_width(text);
    size_t taken = n <= width ? n : width - 1;
    size_t bytes = 0;
    for (size_t seen = 0; text[bytes]; bytes++) {
        seen += begins_character(text[bytes]);
        if (seen > taken) { break; }
    }
    show_text(to, text, bytes);
    if (n > width) { fputs("~", to); }
    fprintf(to, "%*s", (int)(n < width ? width - n : 0), "");
}

void show_wrapped(FILE *to, const char *front, const char *text)
{
    size_t columns = isatty(fileno(to)) ? show_columns(to) : SIZE_MAX;
    size_t indent = show_width(front);
    size_t at = indent;
    fputs(front, to);
    while (*text) {
        size_t n = strcspn(text, " ");
        while (n && text[n] && text[n - 1] >= '0' &&
               text[n - 1] <= '9') { // "1.3 MiB" stays together
            n += 1 + strcspn(text + n + 1, " ");
        }
        size_t width = 0;
        for (size_t i = 0; i < n; i++) {
            width += begins_character(text[i]);
        }
        if (at > indent && at + 1 + width >= columns) {
            fprintf(to, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            fputc(' ', to);
            at++;
        }
        show_text(to, text, n);
        at += width;
        text += n;
        if (*text == ' ') { text++; }
    }
    fputc('\n', to);
}
