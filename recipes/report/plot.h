/*
 * plot.h - inside recipes/: pictures of a page as SVG: axes, ticks, curves, marks, labels.
 *
 * Across, everything stands at a percentage of the picture's width, down, at a pixel. So letters,
 * lines and points have one size on a telephone and on a wide screen, without a script:
 *
 *     <div class="plot" style="padding:...">             room for what stands beside the axes
 *       <svg width="100%" height="200">                  is the plot area itself; what is outside
 *         <text x="25%" y="216">250</text>               of it is seen, too
 *         <svg viewBox="0 0 1000 200" preserveAspectRatio="none">
 *           <path class="line s1" d="M0 12.5L..."/>      stretched; its stroke is not
 *
 * Colours, widths and letters are classes, whose style is the page's (page.h): s1, s2, ... are the
 * colours of series. Text is escaped here. Want of memory is the buffer's to tell.
 */
#ifndef LORAC_RECIPES_PLOT_H
#define LORAC_RECIPES_PLOT_H

#include "base/core/buf.h"
#include <stdbool.h>
#include <stddef.h>

/* Append `n` bytes of text as HTML shows them: markup escaped; what is no UTF-8 and what would act
 * on a page unseen (control characters but for tab and line end, marks of writing direction) is
 * U+FFFD. */
void lorac_html_bytes(struct lorac_buf *b, const char *text, size_t n);
/* Append `fmt`, the text of each %s in it so. It knows no other conversion. */
void lorac_html(struct lorac_buf *b, const char *fmt, ...) LORAC_PRINTF(2, 3);

/* ---- axes ---- */

struct lorac_axis {
    double from, to; // shown; from > to: nothing was added yet
    bool log;
    bool whole; // ticks at whole numbers alone
};
struct lorac_axis lorac_axis_empty(void);
void lorac_axis_add(struct lorac_axis *a, double v); // it shall be shown; not finite: nothing
/* Ends at ticks where it is linear, and in any case shows more than one value. */
void lorac_axis_round(struct lorac_axis *a);
/* The share of the axis below v: 0 at `from`, 1 at `to`. */
double lorac_axis_share(const struct lorac_axis *a, double v);
/* Values of ticks, 1, 2 or 5 times a power of ten apart; returns how many. */
enum { LORAC_PLOT_TICKS = 12 };
size_t lorac_axis_ticks(double at[LORAC_PLOT_TICKS], const struct lorac_axis *a);
/* A tick's text: "1,500", "0.25", "2e-4"; as many digits as tell values `step` apart. */
const char *lorac_plot_number(char text[32], double v, double step);

/* ---- pictures ---- */

struct lorac_plot {
    struct lorac_buf *to;
    struct lorac_axis x, y;
    double height;                   // of the plot area, in pixels
    size_t top, right, bottom, left; // room around it, in pixels; left 0: that y's ticks need
    size_t columns;                  // of a thinned curve; 0: 500
};
/* `about` says in words what is seen, for who does not see. */
void lorac_plot_begin(struct lorac_plot *p, const char *about);
void lorac_plot_end(const struct lorac_plot *p);
void lorac_plot_grid(const struct lorac_plot *p); // lines and texts of y's ticks
void lorac_plot_steps(const struct lorac_plot *p,
                      const char *name); // texts of x's, its name at the first
/* Texts in the middle of n equal parts of the width. */
void lorac_plot_words(const struct lorac_plot *p, const char *const *words, size_t n);

struct lorac_curve {
    const double *x, *y; // (n) by x; what is not finite is a gap
    size_t n;
};
/* A line through the points. Of many that fall into one of the columns the first, the last, the
 * least and the greatest are kept: the same pixels (M4; Jugel et al., VLDB 2014). */
void lorac_plot_line(const struct lorac_plot *p, const struct lorac_curve *c, const char *style);
/* Points; `title`, unless NULL, is the tooltip's front: "TITLE X: Y". */
void lorac_plot_points(const struct lorac_plot *p, const struct lorac_curve *c, const char *style,
                       const char *title);
void lorac_plot_interval(const struct lorac_plot *p, double x, double low, double high,
                         const char *style);
void lorac_plot_mark_x(const struct lorac_plot *p, double x, const char *text); // a line down

/* What has no place on the axes: `x` and `wide` are shares of the width, `y` and `high` pixels.
 * `opacity` 0 to 1; `title`, unless NULL, is the tooltip. */
void lorac_plot_rect(const struct lorac_plot *p, double x, double wide, double y, double high,
                     const char *style, double opacity, const char *title);
/* A text at x, `dx` pixels further; `upright`: read from the bottom to the top. */
void lorac_plot_text(const struct lorac_plot *p, double x, double dx, double y, bool upright,
                     const char *style, const char *text);

/* Names behind the ends of curves, moved apart where they would touch. */
enum { LORAC_PLOT_NAMES = 8 };
struct lorac_plot_name {
    const char *text, *style;
    double x, y; // where its curve ends
};
void lorac_plot_names(const struct lorac_plot *p, struct lorac_plot_name *names, size_t n);

#endif
