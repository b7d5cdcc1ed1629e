/* report_curves.c - the curves of one run; see report_parts.h. */
#include "recipes/report/report_parts.h"

#include "base/core/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    TALL = 260,
    LOW = 150,
    POINTS = 60, // more evaluations are a line without points
    SPREAD = 20, // a curve that spans more than such a factor is drawn on a logarithmic axis
    N_SHARES = 3
};

/* Steps across, from 0 to those that the run is to have. */
static struct lorac_axis step_axis(const struct lorac_record *r)
{
    bool ended = r->status == LORAC_RECORD_EARLY || r->status == LORAC_RECORD_FINISHED;
    size_t to = ended && r->steps_done ? r->steps_done : r->steps;
    if (r->n_lines && r->lines[r->n_lines - 1].step > to) { to = r->lines[r->n_lines - 1].step; }
    return (struct lorac_axis){0.0, to ? (double)to : 1.0, .whole = true};
}

static double least(const struct lorac_series *s)
{
    double v = (double)INFINITY;
    for (size_t i = 0; i < s->n; i++) {
        v = fmin(v, s->y[i]);
    }
    return v;
}

static double most(const struct lorac_series *s)
{
    double v = -(double)INFINITY;
    for (size_t i = 0; i < s->n; i++) {
        v = fmax(v, s->y[i]);
    }
    return v;
}

/* An axis for all of n series: logarithmic, where it may be, if the means, the first of them, span
 * much. */
static struct lorac_axis value_axis(const struct lorac_series *const *s, size_t n, bool may_be_log)
{
    struct lorac_axis a = lorac_axis_empty();
    for (size_t k = 0; k < n; k++) {
        lorac_axis_add(&a, least(s[k]));
        lorac_axis_add(&a, most(s[k]));
    }
    a.log = may_be_log && a.from > 0.0 && s[0]->n > 1 && most(s[0]) > SPREAD * least(s[0]);
    if (!a.log && a.from > 0.0 && a.from < 0.6 * a.to) { a.from = 0.0; }
    lorac_axis_round(&a);
    return a;
}

static void begin_figure(struct lorac_plot *p, const char *what, const char *unit, size_t window)
{
    char text[160];
    int n = lorac_snprintf(text, sizeof text, "%s%s%s", unit, p->y.log && unit[0] ? ", " : "",
                           p->y.log ? "logarithmic" : "");
    if (window > 1 && n > 0 && (size_t)n < sizeof text) {
        (void)lorac_snprintf(text + n, sizeof text - (size_t)n,
                             "; thin: each step, thick: mean of %zu", window);
    }
    lorac_page_figure(p->to, what, text);
    lorac_plot_begin(p, what);
    lorac_plot_grid(p);
    lorac_plot_steps(p, "step");
}

static void end_figure(const struct lorac_plot *p)
{
    lorac_plot_end(p);
    lorac_page_figure_end(p->to);
}

static void mark_best(const struct lorac_plot *p, const struct lorac_record *r)
{
    char step[32];
    char text[64];
    if (!r->evaluated) { return; }
    (void)lorac_snprintf(text, sizeof text, "best: step %s", lorac_page_count(step, r->best_step));
    lorac_plot_mark_x(p, (double)r->best_step, text);
}

/* A line through evaluations, with a point at each where they are few. */
static void draw_evaluations(const struct lorac_plot *p, const struct lorac_series *s,
                             const char *style, const char *name)
{
    const struct lorac_curve c = lorac_series_curve(s);
    lorac_plot_line(p, &c, style);
    if (s->n <= POINTS) { lorac_plot_points(p, &c, style, name); }
}

/* The interval of each share, where they are few: its weight is the rows that it is of. */
static void draw_intervals(const struct lorac_plot *p, const struct lorac_series *s,
                           const char *style)
{
    for (size_t i = 0; i < s->n && s->n <= POINTS / 2; i++) {
        const struct lorac_interval x = lorac_wilson(s->y[i], (size_t)s->w[i]);
        lorac_plot_interval(p, s->x[i], x.low, x.high, style);
    }
}

static struct lorac_plot_name name_of(const struct lorac_series *s, const char *text,
                                      const char *style)
{
    size_t last = s->n - 1;
    return (struct lorac_plot_name){text, style, s->x[last], s->y[last]};
}

/* ---- loss ---- */

enum lorac_target lorac_report_target(const struct lorac_record *r)
{
    return lorac_objectives[r->recipe->objective.kind].target;
}

const char *lorac_report_loss_unit(const struct lorac_record *r)
{
    static const char *const units[] = {[LORAC_TARGET_NONE] = "nats a trained token",
                                        [LORAC_TARGET_LABEL] = "nats a row",
                                        [LORAC_TARGET_LABELS] = "nats a label of a row",
                                        [LORAC_TARGET_NUMBER] = "squared error, in deviations",
                                        [LORAC_TARGET_TAGS] = "nats a word"};
    return units[lorac_report_target(r)];
}

static void draw_losses(struct lorac_buf *b, const struct lorac_record *r,
                        const struct lorac_series *raw, const struct lorac_series *mean,
                        const struct lorac_series *valid)
{
    const struct lorac_series *const all[] = {mean, raw, valid};
    struct lorac_plot p = {b, step_axis(r), value_axis(all, 3, true), TALL, 22, 76, 24, 0, 0};
    struct lorac_plot_name names[2];
    const struct lorac_curve each = lorac_series_curve(raw);
    const struct lorac_curve means = lorac_series_curve(mean);
    size_t window = lorac_series_window(raw);
    size_t n = 0;
    begin_figure(&p, "Loss", lorac_report_loss_unit(r), window);
    mark_best(&p, r);
    if (window > 1) { lorac_plot_line(&p, &each, "raw s1"); }
    lorac_plot_line(&p, &means, "s1");
    draw_evaluations(&p, valid, "s2", "step");
    if (mean->n) { names[n++] = name_of(mean, "training", "s1"); }
    if (valid->n) { names[n++] = name_of(valid, "validation", "s2"); }
    lorac_plot_names(&p, names, n);
    end_figure(&p);
}

static enum lorac_status draw_loss(struct lorac_buf *b, const struct lorac_record *r,
                                   struct lorac_err *err)
{
    struct lorac_series raw = {0};
    struct lorac_series mean = {0};
    struct lorac_series valid = {0};
    enum lorac_status st = lorac_series_take(&raw, r, false, LORAC_METRIC_LOSS, err);
    if (!st) { st = lorac_series_smooth(&mean, &raw, lorac_series_window(&raw), err); }
    if (!st) { st = lorac_series_take(&valid, r, true, LORAC_METRIC_LOSS, err); }
    if (!st && (raw.n || valid.n)) { draw_losses(b, r, &raw, &mean, &valid); }
    size_t out = raw.left_out + valid.left_out;
    if (!st && out) {
        lorac_buf_printf(b, "<p class=\"note\">Not drawn: %zu %s no finite number.</p>\n", out,
                         out == 1 ? "loss that is" : "losses that are");
    }
    lorac_series_free(&raw);
    lorac_series_free(&mean);
    lorac_series_free(&valid);
    return st;
}

/* ---- metrics of evaluations ---- */

/* Shares lie between 0 and 1, and ticks stay there. */
static struct lorac_axis share_axis(const struct lorac_series *s, size_t n, bool intervals)
{
    struct lorac_axis a = lorac_axis_empty();
    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; i < s[k].n; i++) { // with its interval
            const struct lorac_interval x = lorac_wilson(s[k].y[i], (size_t)s[k].w[i]);
            lorac_axis_add(&a, s[k].y[i]);
            if (!intervals) { continue; }
            lorac_axis_add(&a, x.low);
            lorac_axis_add(&a, x.high);
        }
    }
    lorac_axis_round(&a);
    return a;
}

static const struct {
    unsigned column;
    const char *name, *style;
} shares[N_SHARES] = {{LORAC_METRIC_ACCURACY, "accuracy", "s2"},
                      {LORAC_METRIC_MACRO_F1, "macro F1", "s3"},
                      {LORAC_METRIC_EXACT_MATCH, "exact match", "s4"}};

static enum lorac_status draw_shares(struct lorac_buf *b, const struct lorac_record *r,
                                     struct lorac_err *err)
{
    struct lorac_series s[N_SHARES] = {{0}};
    struct lorac_plot_name names[N_SHARES];
    enum lorac_status st = LORAC_OK;
    const bool words = lorac_report_target(r) == LORAC_TARGET_TAGS; // those of a row go together
    size_t n = 0;
    for (size_t k = 0; k < N_SHARES && !st; k++) {
        st = lorac_series_take(&s[k], r, true, shares[k].column, err);
        if (!st && s[k].n) { names[n++] = name_of(&s[k], shares[k].name, shares[k].style); }
    }
    if (!st && n) {
        struct lorac_plot p = {
            b, step_axis(r), share_axis(s, N_SHARES, !words), TALL, 22, 84, 24, 0, 0};
        begin_figure(&p, "Metrics",
                     words ? "of the words in the validation rows"
                           : "share of the validation rows, with 95 % intervals",
                     1);
        mark_best(&p, r);
        for (size_t k = N_SHARES; k-- > 0;) { // the first on top
            if (shares[k].column != LORAC_METRIC_MACRO_F1 && !words) {
                draw_intervals(&p, &s[k], shares[k].style);
            }
            draw_evaluations(&p, &s[k], shares[k].style, "step");
        }
        lorac_plot_names(&p, names, n);
        end_figure(&p);
    }
    for (size_t k = 0; k < N_SHARES; k++) {
        lorac_series_free(&s[k]);
    }
    return st;
}

/* ---- one curve in a figure of its own ---- */

struct single {
    unsigned column;
    bool valid, means; // of evaluations; a mean beside each step
    const char *what, *unit, *style;
    size_t height;
};

static enum lorac_status draw_single(struct lorac_buf *b, const struct lorac_record *r,
                                     const struct single *one, struct lorac_err *err)
{
    struct lorac_series s = {0};
    struct lorac_series mean = {0};
    enum lorac_status st = lorac_series_take(&s, r, one->valid, one->column, err);
    size_t window = one->means ? lorac_series_window(&s) : 1;
    if (!st) { st = lorac_series_smooth(&mean, &s, window, err); }
    if (!st && s.n) {
        const struct lorac_series *const all[] = {&mean, &s};
        const struct lorac_curve each = lorac_series_curve(&s);
        const struct lorac_curve means = lorac_series_curve(&mean);
        struct lorac_plot p = {.to = b,
                               .x = step_axis(r),
                               .y = value_axis(all, 2, one->column != LORAC_COLUMN_RATE),
                               .height = (double)one->height,
                               .top = 22,
                               .right = 36,
                               .bottom = 24};
        begin_figure(&p, one->what, one->unit, window);
        if (one->valid) {
            mark_best(&p, r);
            draw_evaluations(&p, &s, one->style, "step");
        } else {
            if (window > 1) { lorac_plot_line(&p, &each, "raw s1"); }
            lorac_plot_line(&p, &means, one->style);
        }
        end_figure(&p);
    }
    lorac_series_free(&s);
    lorac_series_free(&mean);
    return st;
}

enum lorac_status lorac_report_curves(struct lorac_buf *b, const struct lorac_record *r,
                                      struct lorac_err *err)
{
    static const struct single bits = {LORAC_COLUMN_BITS_PER_BYTE, true, false, "Bits per byte",
                                       "of the validation texts",  "s2", TALL};
    static const struct single small[] = {
        {LORAC_COLUMN_RATE, false, false, "Learning rate", "", "s1", LOW},
        {LORAC_COLUMN_GRADIENT, false, true, "Gradient norm", "before clipping", "s1", LOW},
        {LORAC_COLUMN_SPEED, false, true, "Speed", "tokens a second", "s1", LOW}};
    lorac_page_section(b, "Training",
                       r->n_lines ? NULL
                                  : "Nothing to draw: the run has no line in metrics.csv yet, or "
                                    "output.log does not ask for one.");
    lorac_buf_str(b, "<div class=\"figures two\">\n");
    enum lorac_status st = draw_loss(b, r, err);
    if (!st) { st = draw_shares(b, r, err); }
    if (!st) { st = draw_single(b, r, &bits, err); }
    for (unsigned m = LORAC_METRIC_EXACT_MATCH + 1; m < LORAC_METRICS && !st; m++) {
        const struct single other = {
            m, true, false, lorac_metric_words(m), "of the validation rows", "s2", TALL};
        st = draw_single(b, r, &other, err);
    }
    lorac_buf_str(b, "</div>\n<div class=\"figures three\">\n");
    for (size_t i = 0; i < sizeof small / sizeof *small && !st; i++) {
        st = draw_single(b, r, &small[i], err);
    }
    lorac_buf_str(b, "</div>\n");
    lorac_page_section_end(b);
    return st;
}
