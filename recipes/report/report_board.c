/* report_board.c - several runs in a table, the best first, each with how sure it is; see
 * report_parts.h. */
#include "recipes/report/report_parts.h"

#include "base/core/mem.h"
#include "base/core/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- which runs, by what, and what differs ---- */

void lorac_report_set_free(struct lorac_report_set *s)
{
    lorac_mem_free(s->keys);
    lorac_board_free(s->board);
    *s = (struct lorac_report_set){0};
}

double lorac_report_score(const struct lorac_report_set *s, size_t i)
{
    const struct lorac_record *r = s->runs[i];
    return r->evaluated ? lorac_scores_get(&r->best, s->board->metric) : (double)NAN;
}

static bool is_among(const char *key, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(keys[i], key) == 0) { return true; }
    }
    return false;
}

/* Those of the board, and those that it groups by: they differ, too. */
static void find_keys(struct lorac_report_set *s)
{
    const struct lorac_board *b = s->board;
    const struct lorac_record *r = s->runs[0];
    for (size_t k = 0; k < r->n_values; k++) {
        const char *key = r->values[k].key;
        if (is_among(key, b->keys, b->n_keys) || is_among(key, b->group_by, b->n_group_by)) {
            s->keys[s->n_keys++] = k;
        }
    }
}

static void find_best(struct lorac_report_set *s)
{
    s->best = s->n;
    for (size_t k = 0; k < s->board->n; k++) {
        if (s->board->rows[k].place != LORAC_BOARD_BEST) { continue; }
        const struct lorac_board_row *row = &s->board->rows[k];
        for (size_t i = 0; i < s->n; i++) { // the best run of the best row
            bool its = false;
            for (size_t j = 0; j < row->n; j++) {
                its = its || row->runs[j] == s->runs[i];
            }
            double score = lorac_report_score(s, i);
            bool better =
                s->best == s->n ||
                lorac_metric_better(s->board->metric, score, lorac_report_score(s, s->best), 0.0);
            if (its && better) { s->best = i; }
        }
        return;
    }
}

enum lorac_status lorac_report_set(struct lorac_report_set *out, const struct lorac_runs *all,
                                   struct lorac_err *err)
{
    static const struct lorac_board_options o = {0};
    *out = (struct lorac_report_set){.all = all, .runs = all->at, .n = all->n, .best = all->n};
    enum lorac_status st = lorac_board_make(&out->board, all, &o, err);
    if (st) { return st; }
    out->metric_name = lorac_metric_words(out->board->metric);
    out->keys = lorac_mem_new(all->at[0]->n_values + 1, sizeof *out->keys);
    if (!out->keys) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the runs of a page"); }
    find_keys(out);
    find_best(out);
    return LORAC_OK;
}

/* ---- the table ---- */

static int places_of(enum lorac_metric metric)
{
    return lorac_metric_falls(metric) ? 4 : 3;
}

/* Its only run, or how many. */
static const char *name_of(char text[32], const struct lorac_board_row *row)
{
    if (row->n == 1) { return lorac_page_last(row->runs[0]->dir); }
    (void)lorac_snprintf(text, 32, "%zu runs", row->n);
    return text;
}

static struct lorac_axis interval_axis(const struct lorac_board *b)
{
    struct lorac_axis x = lorac_axis_empty();
    for (size_t i = 0; i < b->n; i++) {
        lorac_axis_add(&x, b->rows[i].mean);
        lorac_axis_add(&x, b->rows[i].interval.low);
        lorac_axis_add(&x, b->rows[i].interval.high);
    }
    lorac_axis_round(&x);
    return x;
}

/* Where the row's interval lies among all, on one axis. */
static void draw_interval(struct lorac_buf *b, const struct lorac_axis *x,
                          const struct lorac_board_row *row, const char *style)
{
    enum { HIGH = 18 };
    struct lorac_plot p = {
        .to = b, .x = *x, .y = {0.0, 1.0, false, false}, .height = HIGH, .left = 1};
    const double middle = 0.5;
    const struct lorac_curve one = {&row->mean, &middle, 1};
    char text[64];
    bool known = isfinite(row->interval.low) && isfinite(row->interval.high);
    (void)lorac_snprintf(text, sizeof text, known ? "%.4f, 95 %% interval %.4f to %.4f" : "%.4f",
                         row->mean, row->interval.low, row->interval.high);
    lorac_buf_str(b, "<td class=\"among\">");
    lorac_plot_begin(&p, text);
    if (known) {
        double from = lorac_axis_share(x, row->interval.low);
        double to = lorac_axis_share(x, row->interval.high);
        char bar[32];
        (void)lorac_snprintf(bar, sizeof bar, "bar %s", style);
        lorac_plot_rect(&p, from, to - from, HIGH / 2.0 - 1.0, 2.0, bar, 1.0, text);
    }
    lorac_plot_points(&p, &one, style, NULL);
    lorac_plot_end(&p);
    lorac_buf_str(b, "</td>");
}

static const char *value_of(const struct lorac_record *r, const char *key)
{
    const char *value = lorac_record_value(r, key);
    return value ? value : "";
}

static void add_verdict(struct lorac_buf *b, const struct lorac_board_row *row)
{
    static const char *const words[] = {[LORAC_BOARD_BEST] = "the best",
                                        [LORAC_BOARD_TIED] = "can't be told from it",
                                        [LORAC_BOARD_WORSE] = "worse",
                                        [LORAC_BOARD_OTHER] = "not compared"};
    bool near = row->place == LORAC_BOARD_BEST || row->place == LORAC_BOARD_TIED;
    char text[32] = "";
    if (isfinite(row->p)) { (void)lorac_snprintf(text, sizeof text, "%.2g", row->p); }
    lorac_page_cell(b, near ? "verdict" : "verdict soft", words[row->place]);
    lorac_page_cell(b, "num soft", row->place == LORAC_BOARD_BEST ? "" : text);
}

static void add_row(struct lorac_buf *b, const struct lorac_report_set *s, size_t i,
                    const struct lorac_axis *x)
{
    char text[32];
    const struct lorac_board_row *row = &s->board->rows[i];
    bool best = row->place == LORAC_BOARD_BEST;
    bool near = best || row->place == LORAC_BOARD_TIED;
    lorac_buf_printf(b, "<tr%s>", best ? " class=\"best\"" : "");
    lorac_page_number(b, (double)i + 1.0, 0);
    lorac_page_cell(b, "verdict", name_of(text, row));
    for (size_t k = 0; k < s->board->n_keys; k++) {
        lorac_page_cell(b, "value", value_of(row->runs[0], s->board->keys[k]));
    }
    lorac_page_number(b, row->mean, places_of(s->board->metric));
    if (s->board->n_group_by) { lorac_page_number(b, row->deviation, 4); }
    draw_interval(b, x, row, best ? "s2" : near ? "s1" : "s0");
    add_verdict(b, row);
    lorac_page_cell(b, "num", lorac_page_time(text, row->seconds));
    lorac_page_cell(b, "num", row->peak_bytes ? lorac_page_bytes(text, row->peak_bytes) : "");
    lorac_page_cell(b, "num", row->adapter_bytes ? lorac_page_bytes(text, row->adapter_bytes) : "");
    lorac_buf_str(b, "</tr>\n");
}

static void add_head(struct lorac_buf *b, const struct lorac_report_set *s,
                     const struct lorac_axis *x)
{
    struct lorac_plot p = {
        .to = b, .x = *x, .y = {0.0, 1.0, false, false}, .height = 1, .bottom = 16, .left = 1};
    lorac_buf_str(b, "<thead><tr><th class=\"num\"></th><th>run</th>");
    for (size_t k = 0; k < s->board->n_keys; k++) {
        lorac_html(b, "<th>%s</th>", s->board->keys[k]);
    }
    lorac_html(b, "<th class=\"num\">%s</th>", s->metric_name);
    if (s->board->n_group_by) { lorac_buf_str(b, "<th class=\"num\">deviation</th>"); }
    lorac_buf_str(b, "<th class=\"among\">95 % interval");
    lorac_plot_begin(&p, "the axis of the intervals");
    lorac_plot_steps(&p, "");
    lorac_plot_end(&p);
    lorac_buf_str(b, "</th><th>against the best</th><th class=\"num\">p</th>");
    lorac_buf_str(b, "<th class=\"num\">time</th><th class=\"num\">memory</th>"
                     "<th class=\"num\">adapter</th></tr></thead>\n");
}

/* The runs that are no row: why. */
static void add_aside(struct lorac_buf *b, const struct lorac_report_set *s)
{
    const struct lorac_board *board = s->board;
    if (!board->n_aside && !s->all->n_broken) { return; }
    lorac_buf_str(b, "<h3>Not compared</h3>\n<ul class=\"aside\">\n");
    for (size_t i = 0; i < board->n_aside; i++) {
        const struct lorac_record *r = board->aside[i];
        bool ended = r->status == LORAC_RECORD_FINISHED || r->status == LORAC_RECORD_EARLY;
        lorac_html(b, "<li><b>%s</b> ", lorac_page_last(r->dir));
        if (ended) {
            lorac_buf_str(b, "does not have the metric");
        } else {
            lorac_buf_printf(b, "%s after %zu of %zu steps", lorac_runs_word(s->all, r),
                             r->steps_done, r->steps);
        }
        lorac_html(b, "%s%s</li>\n", r->error ? ": " : "", r->error ? r->error : "");
    }
    for (size_t i = 0; i < s->all->n_broken; i++) {
        lorac_html(b, "<li><b>%s</b> %s</li>\n", lorac_page_last(s->all->broken[i].dir),
                   s->all->broken[i].why);
    }
    lorac_buf_str(b, "</ul>\n");
}

static void say_lead(struct lorac_buf *b, const struct lorac_report_set *s)
{
    char text[32];
    const struct lorac_board *board = s->board;
    double seconds = 0.0;
    size_t tied = 0;
    const struct lorac_board_row *best = NULL;
    for (size_t i = 0; i < s->n; i++) {
        if (isfinite(s->runs[i]->seconds)) { seconds += s->runs[i]->seconds; }
    }
    for (size_t i = 0; i < board->n; i++) {
        tied += board->rows[i].place == LORAC_BOARD_TIED ? 1 : 0;
        if (board->rows[i].place == LORAC_BOARD_BEST) { best = &board->rows[i]; }
    }
    lorac_buf_printf(b, "%zu runs, %zu at their end, %s of training.", s->n, s->n - board->n_aside,
                     lorac_page_time(text, seconds));
    if (s->all->to_come) { lorac_buf_printf(b, " %zu to come.", s->all->to_come); }
    if (!best) { return; }
    lorac_html(b, " Best %s", s->metric_name);
    lorac_buf_printf(b, " <b>%.*f</b>: ", places_of(board->metric), best->mean);
    for (size_t k = 0; k < board->n_keys; k++) {
        lorac_html(b, "%s%s&nbsp;%s", k ? ", " : "", board->keys[k],
                   value_of(best->runs[0], board->keys[k]));
    }
    if (!board->n_keys) { lorac_html(b, "%s", name_of(text, best)); }
    lorac_buf_str(b, ".");
    if (tied) {
        lorac_buf_printf(b, " %zu %s can't be told from it on these rows.", tied,
                         tied == 1 ? "other" : "others");
    }
}

void lorac_report_board(struct lorac_buf *b, const struct lorac_report_set *s, const char *title)
{
    const struct lorac_axis x = interval_axis(s->board);
    lorac_html(b, "<header>\n<h1>%s</h1>\n<p class=\"lead\">", title);
    say_lead(b, s);
    lorac_buf_str(b, "</p>\n</header>\n");
    lorac_page_section(b, "Runs", NULL);
    lorac_buf_str(b, "<p class=\"note\">");
    for (size_t k = 0; k < s->board->n_group_by; k++) {
        lorac_html(b, "%s%s", k ? ", " : "Runs that differ in nothing but ", s->board->group_by[k]);
    }
    lorac_buf_str(b, s->board->n_group_by ? " are one row. " : "");
    lorac_buf_str(b,
                  "Only keys that differ are shown. p: how likely such a difference is by chance, "
                  "on the rows that both answered; the limit is 5&nbsp;% for all of them "
                  "together.</p>\n");
    lorac_buf_str(b, "<div class=\"wide\"><table>\n");
    add_head(b, s, &x);
    lorac_buf_str(b, "<tbody>\n");
    for (size_t i = 0; i < s->board->n; i++) {
        add_row(b, s, i, &x);
    }
    lorac_buf_str(b, "</tbody></table></div>\n");
    add_aside(b, s);
    lorac_page_section_end(b);
}
