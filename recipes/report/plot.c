/* plot.c - see plot.h. */
#include "recipes/report/plot.h"

#include "base/core/number.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include <utf8proc.h>

enum {
    COLUMNS = 500, // of a thinned curve, unless it says otherwise
    WIDE = 1000,   // units of a stretched picture's width
    LINE = 14,     // pixels from one line of text to the next
    LETTER = 7,    // and of a letter's width, about
};

/* ---- text ---- */

/* Would it act on the page without being seen? */
static bool is_hidden(utf8proc_int32_t c)
{
    bool control = (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7F && c < 0xA0);
    bool direction = (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x200E ||
                     c == 0x200F || c == 0x061C;
    bool no_character = (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c <= 0xFDEF);
    return control || direction || no_character;
}

void lorac_html_bytes(struct lorac_buf *b, const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t c = 0;
        utf8proc_ssize_t k =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(n - i), &c);
        size_t took = k > 0 ? (size_t)k : 1;
        if (k <= 0 || is_hidden(c)) {
            lorac_buf_str(b, "\xEF\xBF\xBD");
        } else if (c == '&') {
            lorac_buf_str(b, "&amp;");
        } else if (c == '<') {
            lorac_buf_str(b, "&lt;");
        } else if (c == '>') {
            lorac_buf_str(b, "&gt;");
        } else if (c == '"') {
            lorac_buf_str(b, "&quot;");
        } else if (c == '\'') {
            lorac_buf_str(b, "&#39;");
        } else {
            lorac_buf_add(b, text + i, took);
        }
        i += took;
    }
}

void lorac_html(struct lorac_buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    for (size_t n = strcspn(fmt, "%"); fmt[n]; n = strcspn(fmt, "%")) {
        const char *text = va_arg(args, const char *);
        lorac_buf_add(b, fmt, n);
        lorac_html_bytes(b, text, strlen(text));
        fmt += n + 2;
    }
    lorac_buf_str(b, fmt);
    va_end(args);
}

/* ---- axes ---- */

struct lorac_axis lorac_axis_empty(void)
{
    return (struct lorac_axis){.from = (double)INFINITY, .to = -(double)INFINITY};
}

void lorac_axis_add(struct lorac_axis *a, double v)
{
    if (!isfinite(v)) { return; }
    if (v < a->from) { a->from = v; }
    if (v > a->to) { a->to = v; }
}

/* 1, 2 or 5 times a power of ten: into a span about `want` times. */
static double tick_step(double span, double want, bool whole)
{
    double ten = pow(10.0, floor(log10(span / want)));
    double times = span / want / ten;
    double step = times <= 1.0 + 1e-9   ? ten
                  : times <= 2.0 + 1e-9 ? 2.0 * ten
                  : times <= 5.0 + 1e-9 ? 5.0 * ten
                                        : 10.0 * ten;
    return whole && step < 1.0 ? 1.0 : step;
}

static double linear_step(const struct lorac_axis *a)
{
    return tick_step(a->to - a->from, 5.0, a->whole);
}

void lorac_axis_round(struct lorac_axis *a)
{
    if (!(a->from <= a->to)) { *a = (struct lorac_axis){0.0, 1.0, false, a->whole}; }
    if (a->log && a->from > 0.0) { // a little air
        double air = pow(a->to / a->from, 0.04);
        a->from /= a->to > a->from ? air : 2.0;
        a->to *= a->to > a->from * 2.0 ? air : 2.0;
        return;
    }
    if (!(a->from < a->to)) { // one value: in the middle
        double half = a->from > 0.0 || a->from < 0.0 ? fabs(a->from) / 2.0 : 1.0;
        a->from -= half;
        a->to += half;
    }
    double step = linear_step(a);
    a->from = step * floor(a->from / step + 1e-9);
    a->to = step * ceil(a->to / step - 1e-9);
}

double lorac_axis_share(const struct lorac_axis *a, double v)
{
    return a->log ? log(v / a->from) / log(a->to / a->from) : (v - a->from) / (a->to - a->from);
}

static size_t log_ticks(double at[LORAC_PLOT_TICKS], const struct lorac_axis *a)
{
    static const double times[] = {1.0, 2.0, 5.0};
    double decades = log10(a->to / a->from);
    size_t every = decades > 6.0 ? (size_t)ceil(decades / 6.0) : 1;
    size_t n = 0;
    int first = (int)floor(log10(a->from));
    for (int d = first; d <= (int)ceil(log10(a->to)); d += (int)every) {
        for (size_t k = 0; k < (decades < 2.2 ? 3 : 1); k++) {
            double v = times[k] * pow(10.0, d);
            bool inside = v >= a->from * (1 - 1e-9) && v <= a->to * (1 + 1e-9);
            if (inside && n < LORAC_PLOT_TICKS) { at[n++] = v; }
        }
    }
    return n;
}

size_t lorac_axis_ticks(double at[LORAC_PLOT_TICKS], const struct lorac_axis *a)
{
    if (a->log) { return log_ticks(at, a); }
    double step = linear_step(a);
    double first = ceil(a->from / step - 1e-9);
    size_t n = 0;
    for (; n < LORAC_PLOT_TICKS && step * (first + (double)n) <= a->to + 1e-9 * step; n++) {
        at[n] = step * (first + (double)n);
    }
    return n;
}

/* "1500" -> "1,500" */
static void add_commas(char text[32], const char *digits)
{
    size_t whole = strcspn(digits, ".");
    size_t n = 0;
    for (size_t i = 0; digits[i] && n < 30; i++) {
        bool comma = i && i < whole && digits[i - 1] != '-' && (whole - i) % 3 == 0;
        if (comma) { text[n++] = ','; }
        text[n++] = digits[i];
    }
    text[n] = '\0';
}

const char *lorac_plot_number(char text[32], double v, double step)
{
    char digits[32];
    double least = fabs(step);
    if (fabs(v) < 1e-9 * least) { return strcpy(text, "0"); } // NOLINT: two bytes
    if (least < 1e-3 || fabs(v) >= 1e7) {                     // 2e-4, as recipes have it
        int ten = (int)floor(log10(fabs(v)) + 1e-9);
        int more = ten - (int)floor(log10(least) + 1e-9);
        double front = v / pow(10.0, ten);
        bool round = fabs(front - nearbyint(front)) < 1e-9;
        (void)lorac_snprintf(text, 32, "%.*fe%d", more > 0 && !round ? (more < 6 ? more : 6) : 0,
                             front, ten);
        return text;
    }
    int places = least < 1.0 ? (int)-floor(log10(least) + 1e-9) : 0;
    (void)lorac_snprintf(digits, sizeof digits, "%.*f", places, v);
    add_commas(text, digits);
    return text;
}

/* How far a value is from its neighbours among ticks: what its text must tell. */
static double tick_gap(const struct lorac_axis *a, double v)
{
    return a->log ? pow(10.0, floor(log10(v) + 1e-9)) : linear_step(a);
}

/* ---- pictures ---- */

static double across(const struct lorac_plot *p, double v) // in percent
{
    return 100.0 * lorac_axis_share(&p->x, v);
}

static double down(const struct lorac_plot *p, double v) // in pixels
{
    return p->height * (1.0 - lorac_axis_share(&p->y, v));
}

/* "12.5", without needless zeros. */
static void add_number(struct lorac_buf *b, double v, int places)
{
    char text[32];
    int n = lorac_snprintf(text, sizeof text, "%.*f", places, v);
    while (places && n > 1 && text[n - 1] == '0') {
        n--;
    }
    if (places && n && text[n - 1] == '.') { n--; }
    bool zero = n == 2 && text[0] == '-' && text[1] == '0';
    lorac_buf_add(b, zero ? "0" : text, zero ? 1 : (size_t)n);
}

static void attribute(struct lorac_buf *b, const char *name, double v, const char *unit)
{
    lorac_buf_printf(b, " %s=\"", name);
    add_number(b, v, unit[0] == '%' ? 2 : 1);
    lorac_buf_printf(b, "%s\"", unit);
}

void lorac_plot_begin(struct lorac_plot *p, const char *about)
{
    if (!p->left) {
        double at[LORAC_PLOT_TICKS];
        char text[32];
        size_t widest = 0;
        for (size_t i = lorac_axis_ticks(at, &p->y); i-- > 0;) {
            size_t n = strlen(lorac_plot_number(text, at[i], tick_gap(&p->y, at[i])));
            if (n > widest) { widest = n; }
        }
        p->left = 10 + LETTER * widest;
    }
    lorac_buf_printf(p->to, "<div class=\"plot\" style=\"padding:%zupx %zupx %zupx %zupx\">",
                     p->top, p->right, p->bottom, p->left);
    lorac_buf_printf(p->to, "<svg width=\"100%%\" height=\"%.0f\" role=\"img\" aria-label=\"",
                     p->height);
    lorac_html(p->to, "%s\">\n", about);
}

void lorac_plot_end(const struct lorac_plot *p)
{
    lorac_buf_str(p->to, "</svg></div>\n");
}

void lorac_plot_grid(const struct lorac_plot *p)
{
    double at[LORAC_PLOT_TICKS];
    char text[32];
    size_t n = lorac_axis_ticks(at, &p->y);
    for (size_t i = 0; i < n; i++) {
        double y = down(p, at[i]);
        lorac_buf_str(p->to, "<line class=\"grid\" x2=\"100%\"");
        attribute(p->to, "y1", y, "");
        attribute(p->to, "y2", y, "");
        lorac_buf_str(p->to, "/><text class=\"tick end\" x=\"-7\"");
        attribute(p->to, "y", y + 4.0, "");
        lorac_buf_printf(p->to, ">%s</text>\n",
                         lorac_plot_number(text, at[i], tick_gap(&p->y, at[i])));
    }
}

static void text_below(const struct lorac_plot *p, double percent, const char *style,
                       const char *text)
{
    lorac_buf_printf(p->to, "<text class=\"tick %s\"", style);
    attribute(p->to, "x", percent, "%");
    attribute(p->to, "y", p->height + 16.0, "");
    lorac_html(p->to, ">%s</text>\n", text);
}

void lorac_plot_steps(const struct lorac_plot *p, const char *name)
{
    double at[LORAC_PLOT_TICKS];
    char text[32];
    char first[64];
    size_t n = lorac_axis_ticks(at, &p->x);
    for (size_t i = 0; i < n; i++) {
        double x = across(p, at[i]);
        lorac_buf_str(p->to, "<line class=\"axis\"");
        attribute(p->to, "x1", x, "%");
        attribute(p->to, "x2", x, "%");
        attribute(p->to, "y1", p->height, "");
        attribute(p->to, "y2", p->height + 4.0, "");
        lorac_buf_str(p->to, "/>");
        (void)lorac_plot_number(text, at[i], tick_gap(&p->x, at[i]));
        (void)lorac_snprintf(first, sizeof first, "%.24s %s", name, text);
        text_below(p, x, "mid", i ? text : first);
    }
}

void lorac_plot_words(const struct lorac_plot *p, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        text_below(p, 100.0 * ((double)i + 0.5) / (double)n, "mid", words[i]);
    }
}

/* ---- marks ---- */

static bool is_shown(const struct lorac_plot *p, const struct lorac_curve *c, size_t i)
{
    return isfinite(c->x[i]) && isfinite(c->y[i]) && (!p->y.log || c->y[i] > 0.0);
}

static void add_point(const struct lorac_plot *p, const struct lorac_curve *c, size_t i,
                      const char *command)
{
    lorac_buf_str(p->to, command);
    add_number(p->to, WIDE * across(p, c->x[i]) / 100.0, 1);
    lorac_buf_str(p->to, " ");
    add_number(p->to, down(p, c->y[i]), 1);
}

void lorac_plot_line(const struct lorac_plot *p, const struct lorac_curve *c, const char *style)
{
    bool drawing = false;
    const double columns = p->columns ? (double)p->columns : COLUMNS;
    lorac_buf_printf(p->to,
                     "<svg width=\"100%%\" height=\"%.0f\" viewBox=\"0 0 %d %.0f\" "
                     "preserveAspectRatio=\"none\"><path class=\"line %s\" d=\"",
                     p->height, (int)WIDE, p->height, style);
    for (size_t i = 0; i < c->n;) {
        if (!is_shown(p, c, i)) {
            drawing = false;
            i++;
            continue;
        }
        size_t first = i;
        size_t least = i;
        size_t most = i;
        double column = floor(columns * across(p, c->x[i]) / 100.0);
        for (;
             i < c->n && is_shown(p, c, i) && floor(columns * across(p, c->x[i]) / 100.0) <= column;
             i++) {
            if (c->y[i] < c->y[least]) { least = i; }
            if (c->y[i] > c->y[most]) { most = i; }
        }
        const size_t kept[] = {first, least < most ? least : most, least < most ? most : least,
                               i - 1};
        for (size_t k = 0; k < 4; k++) {
            if (k && kept[k] == kept[k - 1]) { continue; }
            add_point(p, c, kept[k], drawing ? "L" : "M");
            drawing = true;
        }
        bool alone = first == i - 1 && (i == c->n || !is_shown(p, c, i)) &&
                     (first == 0 || !is_shown(p, c, first - 1));
        if (alone) { lorac_buf_str(p->to, "h0"); } // a dot, with round ends
    }
    lorac_buf_str(p->to, "\"/></svg>\n");
}

void lorac_plot_points(const struct lorac_plot *p, const struct lorac_curve *c, const char *style,
                       const char *title)
{
    char text[32];
    for (size_t i = 0; i < c->n; i++) {
        if (!is_shown(p, c, i)) { continue; }
        lorac_buf_printf(p->to, "<circle class=\"dot %s\"", style);
        attribute(p->to, "cx", across(p, c->x[i]), "%");
        attribute(p->to, "cy", down(p, c->y[i]), "");
        lorac_buf_str(p->to, " r=\"3\">");
        if (title) {
            lorac_html(p->to, "<title>%s", title);
            lorac_buf_printf(p->to, " %s: %.4g</title>", lorac_plot_number(text, c->x[i], 1.0),
                             c->y[i]);
        }
        lorac_buf_str(p->to, "</circle>\n");
    }
}

void lorac_plot_interval(const struct lorac_plot *p, double x, double low, double high,
                         const char *style)
{
    if (!isfinite(low) || !isfinite(high)) { return; }
    lorac_buf_printf(p->to, "<line class=\"whisker %s\"", style);
    attribute(p->to, "x1", across(p, x), "%");
    attribute(p->to, "x2", across(p, x), "%");
    attribute(p->to, "y1", down(p, low), "");
    attribute(p->to, "y2", down(p, high), "");
    lorac_buf_str(p->to, "/>\n");
}

void lorac_plot_mark_x(const struct lorac_plot *p, double x, const char *text)
{
    double at = across(p, x);
    lorac_buf_str(p->to, "<line class=\"mark\"");
    attribute(p->to, "x1", at, "%");
    attribute(p->to, "x2", at, "%");
    lorac_buf_printf(p->to, " y2=\"%.0f\"/><text class=\"note %s\"", p->height,
                     at > 75.0   ? "end"
                     : at < 25.0 ? ""
                                 : "mid");
    attribute(p->to, "x", at, "%");
    lorac_html(p->to, " y=\"-6\">%s</text>\n", text);
}

void lorac_plot_rect(const struct lorac_plot *p, double x, double wide, double y, double high,
                     const char *style, double opacity, const char *title)
{
    lorac_buf_printf(p->to, "<rect class=\"%s\"", style);
    attribute(p->to, "x", 100.0 * x, "%");
    attribute(p->to, "width", 100.0 * wide, "%");
    attribute(p->to, "y", y, "");
    attribute(p->to, "height", high, "");
    if (opacity < 1.0) { lorac_buf_printf(p->to, " fill-opacity=\"%.2f\"", opacity); }
    if (!title) {
        lorac_buf_str(p->to, "/>\n");
        return;
    }
    lorac_html(p->to, "><title>%s</title></rect>\n", title);
}

void lorac_plot_text(const struct lorac_plot *p, double x, double dx, double y, bool upright,
                     const char *style, const char *text)
{
    if (upright) { // turned in a place of its own: a percentage can't be turned about
        lorac_buf_str(p->to, "<svg overflow=\"visible\"");
        attribute(p->to, "x", 100.0 * x, "%");
        attribute(p->to, "y", y, "");
        lorac_buf_printf(p->to, "><text class=\"%s\" transform=\"rotate(-90)\"", style);
        attribute(p->to, "y", dx, "");
    } else {
        lorac_buf_printf(p->to, "<text class=\"%s\"", style);
        attribute(p->to, "x", 100.0 * x, "%");
        attribute(p->to, "y", y, "");
        if (dx < 0.0 || dx > 0.0) { attribute(p->to, "dx", dx, ""); }
    }
    lorac_html(p->to, upright ? ">%s</text></svg>\n" : ">%s</text>\n", text);
}

void lorac_plot_names(const struct lorac_plot *p, struct lorac_plot_name *names, size_t n)
{
    double y[LORAC_PLOT_NAMES];
    if (n > LORAC_PLOT_NAMES) { n = LORAC_PLOT_NAMES; }
    for (size_t i = 1; i < n; i++) { // the highest first
        for (size_t k = i; k > 0 && names[k].y > names[k - 1].y; k--) {
            struct lorac_plot_name moved = names[k];
            names[k] = names[k - 1];
            names[k - 1] = moved;
        }
    }
    for (size_t i = 0; i < n; i++) {
        y[i] = down(p, names[i].y);
        if (i && y[i] < y[i - 1] + LINE) { y[i] = y[i - 1] + LINE; }
    }
    for (size_t i = n; i-- > 0;) { // back up where the last went below the axis
        double most = i + 1 < n ? y[i + 1] - LINE : p->height;
        if (y[i] > most) { y[i] = most; }
    }
    for (size_t i = 0; i < n; i++) {
        lorac_buf_printf(p->to, "<text class=\"name %s\" dx=\"8\"", names[i].style);
        attribute(p->to, "x", across(p, names[i].x), "%");
        attribute(p->to, "y", y[i] + 4.0, "");
        lorac_html(p->to, ">%s</text>\n", names[i].text);
    }
}
