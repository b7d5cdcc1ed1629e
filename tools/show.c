/* show.c - JSON objects, numbers for people, the progress line; see verbs.h. */
#define _DEFAULT_SOURCE // isatty, fileno, ioctl's window size
#include "tools/verbs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- JSON ---- */

static struct lorac_buf *key_of(struct out *j, const char *key)
{
    lorac_buf_str(&j->b, j->n++ ? ", " : j->open || !key ? "" : "{");
    if (key) {
        lorac_buf_json(&j->b, key, strlen(key));
        lorac_buf_str(&j->b, ": ");
    }
    return &j->b;
}

void out_begin(struct out *j, const char *key, const char *brackets)
{
    lorac_buf_add(key_of(j, key), brackets, 1);
    j->ends[j->open++] = brackets[1];
    j->n = 0;
}

void out_end(struct out *j)
{
    lorac_buf_add(&j->b, &j->ends[--j->open], 1);
    j->n = 1;
}

void out_text(struct out *j, const char *key, const char *text, size_t n)
{
    lorac_buf_json(key_of(j, key), text, n);
}

void out_str(struct out *j, const char *key, const char *text)
{
    out_text(j, key, text, strlen(text));
}

void out_strs(struct out *j, const char *key, const char *const *texts, size_t n)
{
    out_begin(j, key, "[]");
    for (size_t i = 0; i < n; i++) {
        out_str(j, NULL, texts[i]);
    }
    out_end(j);
}

void out_count(struct out *j, const char *key, size_t v)
{
    lorac_buf_printf(key_of(j, key), "%zu", v);
}

void out_real(struct out *j, const char *key, double v)
{
    struct lorac_buf *b = key_of(j, key);
    if (isfinite(v)) {
        lorac_buf_printf(b, "%.9g", v);
    } else {
        lorac_buf_str(b, "null");
    }
}

void out_bool(struct out *j, const char *key, bool v)
{
    lorac_buf_str(key_of(j, key), v ? "true" : "false");
}

void out_ids(struct out *j, const char *key, const int32_t *ids, size_t n)
{
    out_begin(j, key, "[]");
    for (size_t i = 0; i < n; i++) {
        lorac_buf_printf(key_of(j, NULL), "%d", ids[i]);
    }
    out_end(j);
}

void out_raw(struct out *j, const char *key, const char *json)
{
    lorac_buf_str(key_of(j, key), json);
}

int out_print(struct out *j)
{
    lorac_buf_str(&j->b, j->n ? "}" : "{}");
    bool lost = j->b.no_memory;
    if (!lost) { puts(j->b.at); }
    lorac_buf_free(&j->b);
    return lost ? EXIT_FAILED : 0;
}

/* ---- numbers for people ---- */

const char *show_bytes(char text[32], size_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t u = 0;
    while (v >= 1024.0 && u + 1 < sizeof units / sizeof units[0]) {
        v /= 1024.0;
        u++;
    }
    (void)snprintf(text, 32, u ? "%.1f %s" : "%.0f %s", v, units[u]);
    return text;
}

const char *show_time(char text[32], double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s >= 3600) {
        (void)snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    } else {
        (void)snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    }
    return text;
}

const char *show_count(char text[32], size_t n)
{
    char digits[32];
    int len = snprintf(digits, sizeof digits, "%zu", n);
    size_t at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0) { text[at++] = ','; }
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

const char *show_many(char text[48], size_t n, const char *thing)
{
    char count[32];
    (void)snprintf(text, 48, "%s %.12s%s", show_count(count, n), thing, n == 1 ? "" : "s");
    return text;
}

/* ---- the progress line ---- */

enum { SECONDS_BETWEEN_LINES = 10, ECHOED = 2 }; // Ctrl-C shows as ^C behind the line

void show_text(FILE *to, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n') {
            fputs("\\n", to);
        } else if (c < ' ' || c == 127) {
            fprintf(to, "\\x%02x", (unsigned)c);
        } else {
            fputc(c, to);
        }
    }
}

void show_word(FILE *to, const char *word)
{
    struct lorac_buf b = {0};
    lorac_buf_word(&b, word);
    fputs(b.no_memory ? word : b.at, to);
    lorac_buf_free(&b);
}

void status_begin(struct status_line *s)
{
    bool terminal = isatty(fileno(stderr)) != 0;
    *s = (struct status_line){.terminal = terminal, .shown = terminal ? -1e9 : lorac_clock()};
}

size_t show_columns(FILE *to)
{
    struct winsize w = {0};
    if (ioctl(fileno(to), TIOCGWINSZ, &w) == 0 && w.ws_col > 1) { return w.ws_col; }
    const char *given = getenv("COLUMNS"); // of a terminal that does not know its size
    size_t n = given ? strtoul(given, NULL, 10) : 0;
    return n > 1 && n < 10000 ? n : 80;
}

/* Bytes of the text that fit: whole parts of it, between which there are two blanks. */
static size_t whole_parts(const char *text, size_t most)
{
    size_t n = strlen(text); // ASCII: a byte is a column
    if (n <= most) { return n; }
    size_t end = 0;
    for (size_t i = 0; i + 1 < n && i <= most; i++) {
        if (text[i] == ' ' && text[i + 1] == ' ' && i) { end = i; }
    }
    return end ? end : most;
}

void status_show(struct status_line *s, const char *text, bool always)
{
    double now = lorac_clock();
    double between = s->terminal ? 0.1 : SECONDS_BETWEEN_LINES;
    if (!always && now - s->shown < between) { return; }
    s->shown = now;
    if (!s->terminal) {
        fprintf(stderr, "%s\n", text);
        return;
    }
    size_t columns = show_columns(stderr); // as wide as the terminal it would wrap
    size_t n = whole_parts(text, columns > 10 + ECHOED ? columns - 1 - ECHOED : columns - 1);
    fprintf(stderr, "\r%.*s%*s", (int)n, text, (int)(s->width > n ? s->width - n : 0), "");
    s->width = n;
    fflush(stderr);
}

void status_share(struct status_line *s, const char *doing, double done)
{
    double now = lorac_clock();
    char text[128];
    char left[32];
    if (doing != s->doing || done < s->done) {
        s->doing = doing;
        s->begun = now;
        s->from = done;
    }
    s->done = done;
    double seconds = now - s->begun;
    int n = snprintf(text, sizeof text, "%.80s %.0f %%", doing, 100.0 * done);
    if (seconds > 1.0 && done > s->from) {
        double rest = seconds * (1.0 - done) / (done - s->from);
        (void)snprintf(text + n, sizeof text - (size_t)n, "  %s left", show_time(left, rest));
    }
    status_show(s, text, false);
}

void status_clear(struct status_line *s)
{
    if (s->terminal && s->width) { fprintf(stderr, "\r%*s\r", (int)s->width + ECHOED, ""); }
    s->width = 0;
}

bool show_generated(void *self, const char *text, size_t n)
{
    const bool *silent = self;
    if (!*silent) {
        (void)fwrite(text, 1, n, stdout);
        (void)fflush(stdout);
    }
    return !stop_asked();
}

/* ---- metrics ---- */

void show_metrics(struct lorac_buf *b, const struct lorac_scores *s)
{
    for (int m = LORAC_METRIC_ACCURACY; m < LORAC_METRICS; m++) {
        double v = lorac_scores_get(s, (enum lorac_metric)m);
        if (isnan(v)) { continue; }
        lorac_buf_printf(b, "  %s %.4f", lorac_metric_words((size_t)m), v);
    }
}

void out_metrics(struct out *j, const struct lorac_scores *s)
{
    for (int m = LORAC_METRIC_ACCURACY; m < LORAC_METRICS; m++) {
        double v = lorac_scores_get(s, (enum lorac_metric)m);
        if (!isnan(v)) { out_real(j, lorac_metric_name((size_t)m), v); }
    }
}
