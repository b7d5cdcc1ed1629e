/* report_runs.c - several runs beside each other: what each key that differs does, and the curves
 * of all; see report_parts.h. */
#include "recipes/report/report_parts.h"

#include "base/core/mem.h"
#include "base/core/number.h"
#include "recipes/language/reading.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEYS = 9,    // that differ, drawn at the most
    VALUES = 12, // of a key side by side; more stand on an axis, where they are numbers
    HIGH = 190,
    THIN = 150,  // columns of a curve among many
    SPREAD = 20, // beyond which an axis of values is logarithmic
};

/* ---- what each key does ---- */

/* One key's values, each once. */
struct values {
    const char *at[VALUES]; // borrowed, in order
    size_t n;
    bool numbers; // all of them, also those that are too many
    bool many;
};

static bool number_of(double *out, const char *text)
{
    return lorac_number_parse(out, text) == LORAC_NUMBER_OK;
}

static bool is_before(const char *a, const char *b)
{
    double x = 0.0;
    double y = 0.0;
    if (number_of(&x, a) && number_of(&y, b)) { return x < y; }
    return strcmp(a, b) < 0;
}

static struct values values_of(const struct lorac_report_set *s, size_t key)
{
    struct values v = {.numbers = true};
    for (size_t i = 0; i < s->n; i++) {
        double number = 0.0;
        const char *text = s->runs[i]->values[key].value;
        size_t k = 0;
        v.numbers = v.numbers && number_of(&number, text);
        while (k < v.n && is_before(v.at[k], text)) {
            k++;
        }
        if (k < v.n && strcmp(v.at[k], text) == 0) { continue; }
        if (v.n == VALUES) {
            v.many = true;
            continue;
        }
        memmove(&v.at[k + 1], &v.at[k], (v.n - k) * sizeof *v.at);
        v.at[k] = text;
        v.n++;
    }
    return v;
}

static struct lorac_axis score_axis(const struct lorac_report_set *s)
{
    struct lorac_axis y = lorac_axis_empty();
    for (size_t i = 0; i < s->n; i++) {
        lorac_axis_add(&y, lorac_report_score(s, i));
    }
    lorac_axis_round(&y);
    return y;
}

/* A run as a point; the best one in its colour, on top. */
static void draw_runs(const struct lorac_plot *p, const struct lorac_report_set *s, const double *x)
{
    for (int best = 0; best < 2; best++) {
        for (size_t i = 0; i < s->n; i++) {
            const double y = lorac_report_score(s, i);
            const struct lorac_curve one = {&x[i], &y, 1};
            if ((i == s->best) == (best == 1)) {
                lorac_plot_points(p, &one, best ? "s2" : "s0", NULL);
            }
        }
    }
}

/* Values side by side, joined by their means. */
static void draw_words(struct lorac_plot *p, const struct lorac_report_set *s, size_t key,
                       const struct values *v, double *x)
{
    double middle[VALUES];
    double mean[VALUES];
    p->x = (struct lorac_axis){0.0, (double)v->n, false, false};
    for (size_t k = 0; k < v->n; k++) {
        double sum = 0.0;
        size_t runs = 0;
        middle[k] = (double)k + 0.5;
        for (size_t i = 0; i < s->n; i++) {
            if (strcmp(s->runs[i]->values[key].value, v->at[k]) != 0) { continue; }
            x[i] = middle[k];
            if (!isfinite(lorac_report_score(s, i))) { continue; }
            sum += lorac_report_score(s, i);
            runs++;
        }
        mean[k] = runs ? sum / (double)runs : (double)NAN;
    }
    const struct lorac_curve c = {middle, mean, v->n};
    char brief[VALUES][LORAC_PAGE_BRIEF];
    const char *words[VALUES];
    size_t letters = v->n < 3 ? 16 : v->n < 5 ? 9 : 5; // that fit side by side
    for (size_t k = 0; k < v->n; k++) {
        words[k] = lorac_page_brief(brief[k], v->at[k], letters);
    }
    lorac_plot_begin(p, s->runs[0]->values[key].key);
    lorac_plot_grid(p);
    lorac_plot_words(p, words, v->n);
    lorac_plot_line(p, &c, "s1");
    draw_runs(p, s, x);
    lorac_plot_end(p);
}

/* Numbers, each a run's own, on an axis. */
static void draw_numbers(struct lorac_plot *p, const struct lorac_report_set *s, size_t key,
                         double *x)
{
    p->x = lorac_axis_empty();
    for (size_t i = 0; i < s->n; i++) {
        (void)number_of(&x[i], s->runs[i]->values[key].value);
        lorac_axis_add(&p->x, x[i]);
    }
    p->x.log = p->x.from > 0.0 && p->x.to > SPREAD * p->x.from;
    lorac_axis_round(&p->x);
    lorac_plot_begin(p, s->runs[0]->values[key].key);
    lorac_plot_grid(p);
    lorac_plot_steps(p, "");
    draw_runs(p, s, x);
    lorac_plot_end(p);
}

enum lorac_status lorac_report_effects(struct lorac_buf *b, const struct lorac_report_set *s,
                                       struct lorac_err *err)
{
    char unit[120];
    double *x = lorac_mem_new(s->n, sizeof *x);
    if (!x) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the runs of a page"); }
    size_t drawn = 0;
    struct lorac_buf left = {0}; // keys that are not
    for (size_t k = 0; k < s->n_keys; k++) {
        const char *key = s->runs[0]->values[s->keys[k]].key;
        const struct values v = values_of(s, s->keys[k]);
        if (drawn == KEYS || (v.many && !v.numbers)) {
            lorac_buf_printf(&left, "%s%s", left.n ? ", " : "", key);
            continue;
        }
        if (!drawn++) {
            lorac_page_section(b, "What each key does",
                               "Each run is a point, the best one orange; the line joins the means "
                               "of each value, whatever the other keys are.");
            lorac_buf_str(b, "<div class=\"figures three\">\n");
        }
        struct lorac_plot p = {
            .to = b, .y = score_axis(s), .height = HIGH, .top = 10, .right = 12, .bottom = 24};
        (void)lorac_snprintf(unit, sizeof unit, "%s%s", s->metric_name,
                             v.many ? "; values on an axis" : "");
        lorac_page_figure(b, key, unit);
        if (v.many) {
            draw_numbers(&p, s, s->keys[k], x);
        } else {
            draw_words(&p, s, s->keys[k], &v, x);
        }
        lorac_page_figure_end(b);
    }
    if (drawn) { lorac_buf_str(b, "</div>\n"); }
    if (drawn && left.n) {
        lorac_html(b, "<p class=\"note\">Not drawn, for want of room: %s.</p>\n", left.at);
    }
    if (drawn) { lorac_page_section_end(b); }
    b->no_memory = b->no_memory || left.no_memory;
    lorac_buf_free(&left);
    lorac_mem_free(x);
    return LORAC_OK;
}

/* ---- the curves of all ---- */

struct overlay {
    const char *what, *unit;
    unsigned column;
    bool valid;
};

static enum lorac_status take_all(struct lorac_series *all, const struct lorac_report_set *s,
                                  const struct overlay *o, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < s->n && !st; i++) {
        struct lorac_series raw = {0};
        st = lorac_series_take(o->valid ? &all[i] : &raw, s->runs[i], o->valid, o->column, err);
        if (!st && !o->valid) {
            st = lorac_series_smooth(&all[i], &raw, lorac_series_window(&raw), err);
        }
        lorac_series_free(&raw);
    }
    return st;
}

static void draw_all(struct lorac_buf *b, const struct lorac_report_set *s, const struct overlay *o,
                     const struct lorac_series *all)
{
    struct lorac_axis x = {0.0, 1.0, .whole = true};
    struct lorac_axis y = lorac_axis_empty();
    size_t points = 0;
    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = 0; k < all[i].n; k++) {
            lorac_axis_add(&x, all[i].x[k]);
            lorac_axis_add(&y, all[i].y[k]);
            points++;
        }
    }
    if (!points) { return; }
    y.log = !o->valid && y.from > 0.0 && y.to > SPREAD * y.from;
    lorac_axis_round(&y);
    struct lorac_plot p = {.to = b,
                           .x = x,
                           .y = y,
                           .height = 220,
                           .top = 10,
                           .right = 48,
                           .bottom = 24,
                           .columns = THIN};
    struct lorac_plot_name name = {"best", "s2", 0.0, 0.0};
    char unit[120];
    (void)lorac_snprintf(unit, sizeof unit, "%s%s%s", o->unit, o->unit[0] && y.log ? ", " : "",
                         y.log ? "logarithmic" : "");
    lorac_page_figure(b, o->what, unit);
    lorac_plot_begin(&p, o->what);
    lorac_plot_grid(&p);
    lorac_plot_steps(&p, "step");
    for (int best = 0; best < 2; best++) {
        for (size_t i = 0; i < s->n; i++) {
            if ((i == s->best) != (best == 1) || !all[i].n) { continue; }
            const struct lorac_curve c = lorac_series_curve(&all[i]);
            lorac_plot_line(&p, &c, best ? "s2" : "thin s0");
            if (best && o->valid && c.n <= 30) { lorac_plot_points(&p, &c, "s2", "step"); }
            name.x = c.x[c.n - 1];
            name.y = c.y[c.n - 1];
        }
    }
    if (s->best < s->n && all[s->best].n) { lorac_plot_names(&p, &name, 1); }
    lorac_plot_end(&p);
    lorac_page_figure_end(b);
}

/* Where all have one. */
static const char *loss_unit(const struct lorac_report_set *s)
{
    const char *unit = lorac_report_loss_unit(s->runs[0]);
    for (size_t i = 1; i < s->n; i++) {
        if (lorac_report_loss_unit(s->runs[i]) != unit) { return ""; }
    }
    return unit;
}

enum lorac_status lorac_report_overlays(struct lorac_buf *b, const struct lorac_report_set *s,
                                        struct lorac_err *err)
{
    const unsigned m = s->board->metric;
    const struct overlay overlays[] = {
        {"Accuracy", "share, of the validation rows", LORAC_METRIC_ACCURACY, true},
        {"Exact match", "share, of the validation rows", LORAC_METRIC_EXACT_MATCH, true},
        {"Validation loss", loss_unit(s), LORAC_METRIC_LOSS, true},
        {"Training loss", "mean over neighbours", LORAC_METRIC_LOSS, false},
        {lorac_metric_words(m), "of the validation rows", m, true}};
    const size_t n = sizeof overlays / sizeof *overlays - (m <= LORAC_METRIC_EXACT_MATCH);
    enum lorac_status st = LORAC_OK;
    lorac_page_section(b, "Curves of all", NULL);
    lorac_buf_str(b, "<div class=\"figures three\">\n");
    for (size_t k = 0; k < n && !st; k++) {
        struct lorac_series *all = lorac_mem_new(s->n, sizeof *all);
        if (!all) { return lorac_fail(err, LORAC_ENOMEM, "no memory for curves"); }
        st = take_all(all, s, &overlays[k], err);
        if (!st) { draw_all(b, s, &overlays[k], all); }
        for (size_t i = 0; i < s->n; i++) {
            lorac_series_free(&all[i]);
        }
        lorac_mem_free(all);
    }
    lorac_buf_str(b, "</div>\n");
    lorac_page_section_end(b);
    return st;
}
