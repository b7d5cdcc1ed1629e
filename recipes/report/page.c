/* page.c - see page.h. */
#include "recipes/report/page.h"

#include "base/core/number.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

void lorac_page_begin(struct lorac_buf *b, const char *mark, const char *title, size_t refresh)
{
    lorac_buf_str(b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<meta name=\"color-scheme\" content=\"light dark\">\n");
    lorac_buf_printf(b, "%s\n", mark);
    if (refresh) {
        lorac_buf_printf(b, "<meta http-equiv=\"refresh\" content=\"%zu\">\n", refresh);
    }
    lorac_html(b, "<title>%s</title>\n<style>\n", title);
    for (size_t i = 0; lorac_page_style[i]; i++) {
        lorac_buf_str(b, lorac_page_style[i]);
    }
    lorac_buf_str(b, "</style>\n</head>\n<body>\n<main>\n");
}

void lorac_page_end(struct lorac_buf *b)
{
    lorac_buf_str(b, "</main>\n</body>\n</html>\n");
}

void lorac_page_section(struct lorac_buf *b, const char *title, const char *note)
{
    lorac_html(b, "<section>\n<h2>%s</h2>\n", title);
    if (note) { lorac_html(b, "<p class=\"note\">%s</p>\n", note); }
}

void lorac_page_section_end(struct lorac_buf *b)
{
    lorac_buf_str(b, "</section>\n");
}

void lorac_page_figure(struct lorac_buf *b, const char *what, const char *unit)
{
    lorac_html(b, "<figure>\n<figcaption><b>%s</b>", what);
    if (unit[0]) { lorac_html(b, " <span>%s</span>", unit); }
    lorac_buf_str(b, "</figcaption>\n");
}

void lorac_page_figure_end(struct lorac_buf *b)
{
    lorac_buf_str(b, "</figure>\n");
}

void lorac_page_fact(struct lorac_buf *b, const char *name, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)lorac_vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    lorac_html(b, "<li><span>%s</span> %s</li>\n", name, text);
}

void lorac_page_cell(struct lorac_buf *b, const char *style, const char *text)
{
    lorac_html(b, "<td class=\"%s\">%s</td>", style, text);
}

void lorac_page_number(struct lorac_buf *b, double v, int places)
{
    lorac_buf_str(b, "<td class=\"num\">");
    if (isfinite(v)) { lorac_buf_printf(b, "%.*f", places, v); }
    lorac_buf_str(b, "</td>");
}

const char *lorac_page_last(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static bool begins(char c) // a letter, in UTF-8
{
    return ((unsigned char)c & 0xC0U) != 0x80U;
}

size_t lorac_page_letters(const char *text)
{
    size_t n = 0;
    for (; *text; text++) {
        n += begins(*text) ? 1 : 0;
    }
    return n;
}

const char *lorac_page_brief(char out[LORAC_PAGE_BRIEF], const char *text, size_t letters)
{
    size_t n = 0;
    size_t letter = 0;
    while (*text == ' ') {
        text++;
    }
    const size_t all = lorac_page_letters(text);
    const size_t half = letters / 2;
    for (; *text && n + 8 < LORAC_PAGE_BRIEF; text++) {
        letter += begins(*text) ? 1 : 0;
        bool middle = all > letters && letter > half && letter <= all - half + 1;
        if (!middle) { out[n++] = *text; }
        if (middle && letter == half + 1 && begins(*text)) {
            memcpy(out + n, "\xE2\x80\xA6", 3);
            n += 3;
        }
    }
    out[n] = '\0';
    return out;
}

const char *lorac_page_time(char text[32], double seconds)
{
    if (!(seconds >= 0.0 && seconds < 1e9)) { return strcpy(text, "unknown"); } // NOLINT: it fits
    size_t s = (size_t)(seconds + 0.5);
    if (seconds < 10.0) {
        (void)lorac_snprintf(text, 32, "%.1f s", seconds);
    } else if (s < 60) {
        (void)lorac_snprintf(text, 32, "%zu s", s);
    } else if (s < 3600) {
        (void)lorac_snprintf(text, 32, "%zu min %02zu s", s / 60, s % 60);
    } else {
        (void)lorac_snprintf(text, 32, "%zu h %02zu min", s / 3600, s / 60 % 60);
    }
    return text;
}

const char *lorac_page_bytes(char text[32], size_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 1024.0 && u < 4; u++) {
        v /= 1024.0;
    }
    (void)lorac_snprintf(text, 32, u && v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[u]);
    return text;
}

const char *lorac_page_count(char text[32], size_t n)
{
    return lorac_plot_number(text, (double)n, 1.0);
}
