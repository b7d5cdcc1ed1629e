/* report_labels.c - where labels fail: what they were confused with, and the scores of each; see
 * report_parts.h. */
#include "recipes/report/report_parts.h"

#include "base/core/mem.h"
#include "base/core/number.h"
#include "recipes/run/verdicts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MATRIX = 24,  // labels of a matrix at the most: those with the most mistakes
    MANY = 12,    // of which a narrow screen has no room for numbers
    BARS = 40,    // labels with a bar at the most
    SIDE = 22,    // pixels of a cell, and of a bar's row
    LETTERS = 24, // of a label beside a picture
    LETTER = 7,   // pixels of one, about
    PAIRS = 10,
};

/* The labels in their order as text, and what the rows, or words, were answered. */
struct labels {
    const char **at; // (v.K) texts of the predictions
    struct lorac_label_score *score;
    size_t *worst; // (v.K) labels, those with the lowest F1 first
    struct lorac_verdicts v;
    const char *each, *all; // "row", "rows": what has a label
};

static void free_labels(struct labels *l)
{
    lorac_mem_free(l->at);
    lorac_mem_free(l->score);
    lorac_mem_free(l->worst);
    lorac_verdicts_free(&l->v);
}

static void rank(struct labels *l)
{
    for (size_t i = 0; i < l->v.K; i++) { // few: a plain insertion
        size_t k = i;
        for (; k > 0 && l->score[l->worst[k - 1]].f1 > l->score[i].f1; k--) {
            l->worst[k] = l->worst[k - 1];
        }
        l->worst[k] = i;
    }
}

static size_t find(const struct labels *l, const char *part, size_t n)
{
    return lorac_predictions_find((const char *const *)l->at, l->v.K, part, n);
}

/* A row's label and answer, or those of each of its words. */
static enum lorac_status take_row(struct labels *l, const struct lorac_prediction *x, size_t i,
                                  const char *between, struct lorac_err *err)
{
    const char *wanted = x->wanted;
    const char *answer = x->answer;
    const char *at = NULL;
    size_t n = 0;
    enum lorac_status st = LORAC_OK;
    while (!st && lorac_prediction_part(&at, &n, &answer, between)) {
        struct lorac_verdict one = {.example = i,
                                    .truth = LORAC_NO_ANSWER,
                                    .answer = find(l, at, n),
                                    .probability = x->probability};
        if (lorac_prediction_part(&at, &n, &wanted, between)) { one.truth = find(l, at, n); }
        l->v.probabilities = isfinite(one.probability);
        st = lorac_verdicts_add(&l->v, &one, err);
    }
    return st;
}

static bool has_part(const char *text, const char *part, size_t length, const char *between)
{
    const char *at = NULL;
    size_t n = 0;
    while (lorac_prediction_part(&at, &n, &text, between)) {
        if (n == length && memcmp(at, part, n) == 0) { return true; }
    }
    return false;
}

/* Of any number of labels a row there are counts alone. */
static void count_row(struct labels *l, const struct lorac_prediction *x, const char *between)
{
    const char *wanted = x->wanted;
    const char *answer = x->answer;
    const char *at = NULL;
    size_t n = 0;
    while (lorac_prediction_part(&at, &n, &wanted, between)) {
        struct lorac_label_score *s = &l->score[find(l, at, n)];
        s->support++;
        s->right += has_part(x->answer, at, n, between);
    }
    while (lorac_prediction_part(&at, &n, &answer, between)) {
        l->score[find(l, at, n)].answered++;
    }
}

static enum lorac_status take_labels(struct labels *l, const struct lorac_predictions *p,
                                     enum lorac_target target, struct lorac_err *err)
{
    const char *between = lorac_predictions_between(target);
    const bool words = target == LORAC_TARGET_TAGS;
    *l = (struct labels){.each = words ? "word" : "row", .all = words ? "words" : "rows"};
    enum lorac_status st = lorac_predictions_labels(&l->at, &l->v.K, p, between, err);
    l->score = lorac_mem_new(l->v.K + 1, sizeof *l->score);
    l->worst = lorac_mem_new(l->v.K + 1, sizeof *l->worst);
    if (!st && (!l->score || !l->worst)) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory for labels");
    }
    for (size_t i = 0; i < p->n && !st; i++) {
        if (target == LORAC_TARGET_LABELS) {
            count_row(l, &p->at[i], between);
        } else {
            st = take_row(l, &p->at[i], i, between, err);
        }
    }
    if (st) { return st; }
    if (target == LORAC_TARGET_LABELS) {
        lorac_label_ratios(l->score, l->v.K);
    } else {
        lorac_verdicts_labels(l->score, &l->v);
    }
    rank(l);
    return LORAC_OK;
}

/* Pixels that the labels, shortened, take beside a picture. */
static size_t room_for(const struct labels *l, const size_t *shown, size_t n)
{
    char text[LORAC_PAGE_BRIEF];
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        size_t letters = lorac_page_letters(lorac_page_brief(text, l->at[shown[i]], LETTERS));
        if (letters > longest) { longest = letters; }
    }
    return LETTER * longest + 12;
}

/* ---- the matrix ---- */

static size_t mistakes_of(const struct labels *l, size_t k)
{
    return l->score[k].support + l->score[k].answered - 2 * l->score[k].right;
}

/* The labels of the matrix, in their order: all, or those with the most mistakes. */
static size_t choose(size_t chosen[MATRIX], const struct labels *l)
{
    size_t n = 0;
    size_t left = MATRIX;
    size_t enough = 0; // mistakes: as many labels as fit have more
    for (size_t at_least = l->v.n * 2 + 1; l->v.K > MATRIX && at_least-- > 0 && !enough;) {
        size_t more = 0;
        for (size_t k = 0; k < l->v.K; k++) {
            more += mistakes_of(l, k) >= at_least;
        }
        if (more > MATRIX) { enough = at_least + 1; }
    }
    for (size_t k = 0; k < l->v.K && left; k++) {
        if (l->v.K > MATRIX && mistakes_of(l, k) < enough) { continue; }
        chosen[n++] = k;
        left--;
    }
    return n;
}

static void draw_cell(const struct lorac_plot *p, const struct labels *l, const size_t *chosen,
                      size_t n, size_t row, size_t column)
{
    char title[600];
    char text[32];
    size_t rows = 0;
    size_t truth = chosen[row];
    size_t answer = chosen[column];
    for (size_t i = 0; i < l->v.n; i++) {
        rows += l->v.at[i].truth == truth && l->v.at[i].answer == answer;
    }
    if (!rows) { return; }
    double share = (double)rows / (double)l->score[truth].support;
    double wide = 1.0 / (double)n;
    (void)lorac_snprintf(title, sizeof title, "%.200s: %zu of %zu %s were answered %.200s",
                         l->at[truth], rows, l->score[truth].support, l->all, l->at[answer]);
    lorac_plot_rect(p, wide * (double)column, wide, (double)(SIDE * row), SIDE,
                    truth == answer ? "cell" : "cell miss", 0.1 + 0.9 * share, title);
    lorac_plot_text(p, wide * ((double)column + 0.5), 0.0, SIDE * ((double)row + 0.5) + 4.0, false,
                    share > 0.5 ? "count over mid" : "count mid", lorac_page_count(text, rows));
}

static void draw_matrix(struct lorac_buf *b, const struct labels *l)
{
    size_t chosen[MATRIX] = {0};
    char text[LORAC_PAGE_BRIEF];
    size_t n = choose(chosen, l);
    struct lorac_plot p = {.to = b,
                           .x = {0.0, 1.0, false, false},
                           .y = {0.0, 1.0, false, false},
                           .height = (double)(SIDE * n),
                           .top = room_for(l, chosen, n),
                           .right = 4,
                           .bottom = 4,
                           .left = room_for(l, chosen, n)};
    char unit[96];
    (void)lorac_snprintf(unit, sizeof unit,
                         "rows: the label; columns: the answer; deeper: more of the label's %s",
                         l->all);
    lorac_page_figure(b, "Confusion", unit);
    lorac_buf_printf(b, "<div class=\"%s\" style=\"max-width:%zupx\">\n", n > MANY ? "many" : "few",
                     p.left + p.right + 56 * n);
    lorac_plot_begin(&p, "Confusion matrix");
    for (size_t i = 0; i < n; i++) {
        double middle = SIDE * ((double)i + 0.5) + 4.0;
        lorac_plot_rect(&p, 0.0, 1.0, (double)(SIDE * i), SIDE, "track cellrow", 1.0, NULL);
        lorac_plot_text(&p, 0.0, -8.0, middle, false, "label end",
                        lorac_page_brief(text, l->at[chosen[i]], LETTERS));
        lorac_plot_text(&p, ((double)i + 0.5) / (double)n, 4.0, -8.0, true, "label",
                        lorac_page_brief(text, l->at[chosen[i]], LETTERS));
    }
    for (size_t i = 0; i < n * n; i++) {
        draw_cell(&p, l, chosen, n, i / n, i % n);
    }
    lorac_plot_end(&p);
    lorac_buf_str(b, "</div>\n");
    if (n < l->v.K) {
        lorac_buf_printf(b, "<p class=\"note\">The %zu of %zu labels with the most mistakes.</p>\n",
                         n, l->v.K);
    }
    lorac_page_figure_end(b);
}

/* ---- the labels, the worst first ---- */

static void draw_bars(struct lorac_buf *b, const struct labels *l)
{
    char text[LORAC_PAGE_BRIEF];
    char value[64];
    size_t n = l->v.K < BARS ? l->v.K : BARS;
    struct lorac_plot p = {.to = b,
                           .x = {0.0, 1.0, false, false},
                           .y = {0.0, 1.0, false, false},
                           .height = (double)(SIDE * n),
                           .top = 4,
                           .right = 100,
                           .bottom = 4,
                           .left = room_for(l, l->worst, n)};
    char unit[64];
    (void)lorac_snprintf(unit, sizeof unit, "the lowest first; behind it the %s that have it",
                         l->all);
    lorac_page_figure(b, "F1 of each label", unit);
    lorac_plot_begin(&p, "F1 of each label");
    for (size_t i = 0; i < n; i++) {
        const struct lorac_label_score *s = &l->score[l->worst[i]];
        double middle = SIDE * ((double)i + 0.5) + 4.0;
        lorac_plot_rect(&p, 0.0, 1.0, SIDE * (double)i + 4.0, SIDE - 8.0, "track", 1.0, NULL);
        lorac_plot_rect(&p, 0.0, s->f1, SIDE * (double)i + 4.0, SIDE - 8.0, "bar s1", 1.0, NULL);
        lorac_plot_text(&p, 0.0, -8.0, middle, false, "label end",
                        lorac_page_brief(text, l->at[l->worst[i]], LETTERS));
        (void)lorac_snprintf(value, sizeof value, "%.2f", s->f1);
        lorac_plot_text(&p, 1.0, 8.0, middle, false, "label", value);
        (void)lorac_snprintf(value, sizeof value, "%zu %s", s->support,
                             s->support == 1 ? l->each : l->all);
        lorac_plot_text(&p, 1.0, 98.0, middle, false, "end", value);
    }
    lorac_plot_end(&p);
    if (n < l->v.K) {
        lorac_buf_printf(
            b, "<p class=\"note\">%zu of %zu labels; all are in the table below.</p>\n", n, l->v.K);
    }
    lorac_page_figure_end(b);
}

static void list_labels(struct lorac_buf *b, const struct labels *l)
{
    lorac_buf_printf(b, "<details><summary>Precision and recall of all %zu labels</summary>\n",
                     l->v.K);
    lorac_buf_printf(b,
                     "<div class=\"wide\"><table>\n<thead><tr><th>label</th><th class=\"num\">"
                     "precision</th><th class=\"num\">recall</th><th class=\"num\">F1</th>"
                     "<th class=\"num\">%s</th><th class=\"num\">answered</th></tr></thead>\n"
                     "<tbody>\n",
                     l->all);
    for (size_t i = 0; i < l->v.K; i++) {
        const struct lorac_label_score *s = &l->score[l->worst[i]];
        lorac_buf_str(b, "<tr>");
        lorac_page_cell(b, "label", l->at[l->worst[i]]);
        lorac_page_number(b, s->precision, 3);
        lorac_page_number(b, s->recall, 3);
        lorac_page_number(b, s->f1, 3);
        lorac_page_number(b, (double)s->support, 0);
        lorac_page_number(b, (double)s->answered, 0);
        lorac_buf_str(b, "</tr>\n");
    }
    lorac_buf_str(b, "</tbody></table></div></details>\n");
}

static enum lorac_status list_pairs(struct lorac_buf *b, const struct labels *l,
                                    struct lorac_err *err)
{
    struct lorac_confused *pairs = NULL;
    size_t n = 0;
    enum lorac_status st = lorac_verdicts_confused(&pairs, &n, &l->v, err);
    if (!st && n) {
        lorac_buf_printf(b,
                         "<h3>Most confused</h3>\n<div class=\"wide\"><table>\n<thead><tr>"
                         "<th>label</th><th>answered</th><th class=\"num\">%s</th></tr></thead>\n"
                         "<tbody>\n",
                         l->all);
        for (size_t i = 0; i < n && i < PAIRS; i++) {
            lorac_buf_str(b, "<tr>");
            lorac_page_cell(b, "label", l->at[pairs[i].truth]);
            lorac_page_cell(b, "label wrong", l->at[pairs[i].answer]);
            lorac_page_number(b, (double)pairs[i].rows, 0);
            lorac_buf_str(b, "</tr>\n");
        }
        lorac_buf_str(b, "</tbody></table></div>\n");
        if (n > PAIRS) {
            lorac_buf_printf(b, "<p class=\"note\">%d of %zu pairs.</p>\n", PAIRS, n);
        }
    }
    lorac_mem_free(pairs);
    return st;
}

/* What answering always with the commonest label would reach. */
static void say_majority(struct lorac_buf *b, const struct labels *l, size_t step)
{
    char text[32];
    size_t most = 0;
    for (size_t k = 0; k < l->v.K; k++) {
        if (l->score[k].support > l->score[most].support) { most = k; }
    }
    lorac_buf_printf(b, "<p class=\"note\">The evaluation at step %s.",
                     lorac_page_count(text, step));
    if (!l->v.n) { // any number of labels a row
        lorac_buf_str(b, "</p>\n");
        return;
    }
    lorac_html(b, " Always answering the commonest label, <code>%s", l->at[most]);
    lorac_buf_printf(b, "</code>, would be right in %.3f of the %s.",
                     (double)l->score[most].support / (double)l->v.n, l->all);
    double calibration = lorac_verdicts_calibration(&l->v);
    if (isfinite(calibration)) {
        lorac_buf_printf(b,
                         " The stated probabilities are off by %.3f on average (expected "
                         "calibration error).",
                         calibration);
    }
    lorac_buf_str(b, "</p>\n");
}

enum lorac_status lorac_report_labels(struct lorac_buf *b, const struct lorac_predictions *p,
                                      enum lorac_target target, size_t step, struct lorac_err *err)
{
    struct labels l;
    if (!p->compares || !p->n) { return LORAC_OK; }
    enum lorac_status st = take_labels(&l, p, target, err);
    if (!st && l.v.K) {
        lorac_page_section(b, "Labels", NULL);
        say_majority(b, &l, step);
        lorac_buf_str(b, "<div class=\"figures two\">\n");
        if (l.v.n) { draw_matrix(b, &l); }
        draw_bars(b, &l);
        lorac_buf_str(b, "</div>\n");
        list_labels(b, &l);
        st = list_pairs(b, &l, err);
        lorac_page_section_end(b);
    }
    free_labels(&l);
    return st;
}
