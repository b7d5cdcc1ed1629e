/* report_board.c - several runs in a table, the best first; see report_parts.h. */
#include "recipes/run/report_parts.h"

#include "base/core/mem.h"
#include "base/core/number.h"

#include <math.h>
#include <string.h>

/* ---- which runs, by what, and what differs ---- */

void lorac_report_set_free(struct lorac_report_set *s)
{
    lorac_mem_free(s->keys);
    lorac_mem_free(s->order);
    *s = (struct lorac_report_set){0};
}

double lorac_report_score(const struct lorac_report_set *s, size_t i)
{
    const struct lorac_record *r = s->runs[i];
    return r->evaluated ? lorac_scores_get(&r->best, s->metric) : (double)NAN;
}

/* What a run is called and where it lies differs in any case. */
static bool counts(const char *key)
{
    return strcmp(key, "name") != 0 && strcmp(key, "output.dir") != 0;
}

static void find_keys(struct lorac_report_set *s)
{
    for (size_t k = 0; k < s->runs[0]->n_values; k++) {
        bool differs = false;
        for (size_t i = 1; i < s->n && !differs; i++) {
            differs = strcmp(s->runs[i]->values[k].value, s->runs[0]->values[k].value) != 0;
        }
        if (differs && counts(s->runs[0]->values[k].key)) { s->keys[s->n_keys++] = k; }
    }
}

static void find_order(struct lorac_report_set *s)
{
    for (size_t i = 0; i < s->n; i++) { // few: a plain insertion; equal ones as they were given
        size_t k = i;
        for (; k > 0; k--) {
            double before = lorac_report_score(s, s->order[k - 1]);
            bool better = isfinite(lorac_report_score(s, i)) &&
                          (!isfinite(before) ||
                           lorac_metric_better(s->metric, lorac_report_score(s, i), before, 0.0));
            if (!better) { break; }
            s->order[k] = s->order[k - 1];
        }
        s->order[k] = i;
    }
    s->best = isfinite(lorac_report_score(s, s->order[0])) ? s->order[0] : s->n;
}

static const char *words_of(enum lorac_metric metric)
{
    switch (metric) {
    case LORAC_METRIC_LOSS:
        return "loss";
    case LORAC_METRIC_PERPLEXITY:
        return "perplexity";
    case LORAC_METRIC_ACCURACY:
        return "accuracy";
    case LORAC_METRIC_MACRO_F1:
        return "macro F1";
    case LORAC_METRIC_EXACT_MATCH:
        return "exact match";
    default:
        return lorac_metric_name(metric);
    }
}

enum lorac_status lorac_report_set(struct lorac_report_set *out, struct lorac_record *const *runs,
                                   size_t n, struct lorac_err *err)
{
    *out = (struct lorac_report_set){.runs = runs, .n = n, .best = n};
    for (size_t i = n; i-- > 0;) {
        if (runs[i]->evaluated) { out->metric = runs[i]->best_by; }
    }
    out->metric_name = words_of(out->metric);
    out->keys = lorac_mem_new(runs[0]->n_values + 1, sizeof *out->keys);
    out->order = lorac_mem_new(n, sizeof *out->order);
    if (!out->keys || !out->order) {
        lorac_report_set_free(out);
        return lorac_fail(err, LORAC_ENOMEM, "no memory for the runs of a page");
    }
    find_keys(out);
    find_order(out);
    return LORAC_OK;
}

/* ---- the table ---- */

static int places_of(enum lorac_metric metric)
{
    return metric == LORAC_METRIC_LOSS || metric == LORAC_METRIC_PERPLEXITY ? 4 : 3;
}

static const char *state_of(const struct lorac_record *r)
{
    switch (r->status) {
    case LORAC_RECORD_RUNNING:
        return "running";
    case LORAC_RECORD_STOPPED:
        return "stopped";
    case LORAC_RECORD_FAILED:
        return "failed";
    case LORAC_RECORD_EARLY:
        return "early";
    case LORAC_RECORD_FINISHED:
        return "";
    }
    return "";
}

static void add_run(struct lorac_buf *b, const struct lorac_report_set *s, size_t place)
{
    char text[32];
    size_t i = s->order[place];
    const struct lorac_record *r = s->runs[i];
    lorac_buf_printf(b, "<tr%s>", i == s->best ? " class=\"best\"" : "");
    lorac_page_number(b, (double)place + 1.0, 0);
    lorac_page_cell(b, "", lorac_page_last(r->dir));
    lorac_page_number(b, lorac_report_score(s, i), places_of(s->metric));
    for (size_t k = 0; k < s->n_keys; k++) {
        lorac_page_cell(b, "value", r->values[s->keys[k]].value);
    }
    lorac_page_cell(b, "num", lorac_page_time(text, r->seconds));
    lorac_page_cell(b, "num", r->peak_bytes ? lorac_page_bytes(text, r->peak_bytes) : "");
    lorac_page_cell(b, "num", r->adapter ? lorac_page_bytes(text, r->adapter_bytes) : "");
    lorac_page_cell(b, r->status == LORAC_RECORD_FAILED ? "wrong" : "soft", state_of(r));
    lorac_buf_str(b, "</tr>\n");
}

static void add_table(struct lorac_buf *b, const struct lorac_report_set *s)
{
    lorac_buf_str(b, "<div class=\"wide\"><table>\n<thead><tr><th class=\"num\"></th><th>run</th>"
                     "<th class=\"num\">");
    lorac_html(b, s->metric_name);
    lorac_buf_str(b, "</th>");
    for (size_t k = 0; k < s->n_keys; k++) {
        lorac_buf_str(b, "<th>");
        lorac_html(b, s->runs[0]->values[s->keys[k]].key);
        lorac_buf_str(b, "</th>");
    }
    lorac_buf_str(b, "<th class=\"num\">time</th><th class=\"num\">memory</th>"
                     "<th class=\"num\">adapter</th><th></th></tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < s->n; i++) {
        add_run(b, s, i);
    }
    lorac_buf_str(b, "</tbody></table></div>\n");
}

static void add_failures(struct lorac_buf *b, const struct lorac_report_set *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct lorac_record *r = s->runs[i];
        if (r->status != LORAC_RECORD_FAILED || !r->error) { continue; }
        lorac_buf_str(b, "<p class=\"failure\"><b>");
        lorac_html(b, lorac_page_last(r->dir));
        lorac_buf_str(b, "</b> ");
        lorac_html(b, r->error);
        lorac_buf_str(b, "</p>\n");
    }
}

enum lorac_status lorac_report_board(struct lorac_buf *b, const struct lorac_report_set *s,
                                     const char *title, struct lorac_err *err)
{
    (void)err;
    size_t ended = 0;
    double seconds = 0.0;
    char text[32];
    for (size_t i = 0; i < s->n; i++) {
        enum lorac_record_status status = s->runs[i]->status;
        ended += status == LORAC_RECORD_FINISHED || status == LORAC_RECORD_EARLY;
        if (isfinite(s->runs[i]->seconds)) { seconds += s->runs[i]->seconds; }
    }
    lorac_buf_str(b, "<header>\n<h1>");
    lorac_html(b, title);
    lorac_buf_printf(b, "</h1>\n<p class=\"lead\">%zu runs, %zu at their end, %s of training.",
                     s->n, ended, lorac_page_time(text, seconds));
    if (s->best < s->n) {
        lorac_buf_str(b, " Best ");
        lorac_html(b, s->metric_name);
        lorac_buf_printf(b, " <b>%.*f</b>, of ", places_of(s->metric),
                         lorac_report_score(s, s->best));
        lorac_html(b, lorac_page_last(s->runs[s->best]->dir));
        lorac_buf_str(b, ".");
    }
    lorac_buf_str(b, "</p>\n</header>\n");
    lorac_page_section(b, "Runs", "The best first, and only the keys that differ.");
    add_table(b, s);
    add_failures(b, s);
    lorac_page_section_end(b);
    return LORAC_OK;
}
