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

/* Columns up to the next gap; *bytes: as many bytes. */
static size_t piece(size_t *bytes, const char *text, const char *gap)
{
    size_t n = strcspn(text, " ");
    while (text[n] && (strncmp(text + n, gap, strlen(gap)) != 0 ||
                       (n && text[n - 1] >= '0' && text[n - 1] <= '9' && !gap[1]))) {
        n += 1 + strcspn(text + n + 1, " "); // "1.3 MiB" stays together
    }
    size_t width = 0;
    for (size_t i = 0; i < n; i++) {
        width += begins_character(text[i]);
    }
    *bytes = n;
    return width;
}

size_t show_room(FILE *to)
{
    return isatty(fileno(to)) ? show_columns(to) : SIZE_MAX;
}

static void wrapped(FILE *to, const char *front, const char *text, const char *gap)
{
    size_t columns = show_room(to);
    size_t indent = show_width(front);
    size_t at = indent;
    fputs(front, to);
    while (*text) {
        size_t n = 0;
        size_t width = piece(&n, text, gap);
        if (at > indent && at + strlen(gap) + width >= columns) {
            fprintf(to, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            fputs(gap, to);
            at += strlen(gap);
        }
        show_text(to, text, n);
        at += width;
        text += n;
        if (*text) { text += strlen(gap); }
    }
    fputc('\n', to);
}

void show_wrapped(FILE *to, const char *front, const char *text)
{
    wrapped(to, front, text, " ");
}

void show_parts(FILE *to, const char *front, const char *text)
{
    wrapped(to, front, text, "  ");
}
