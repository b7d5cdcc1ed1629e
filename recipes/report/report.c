/* report.c - see report.h: the frame of a page, and what is said of a run in words. */
#include "recipes/report/report_parts.h"

#include "base/core/number.h"

#include <math.h>
#include <string.h>

/* ---- how it ended ---- */

static void say_steps(struct lorac_buf *b, const struct lorac_record *r)
{
    char text[3][32];
    bool whole = r->steps_done == r->steps;
    lorac_buf_printf(b, "%s%s%s step%s in %s.", lorac_page_count(text[0], r->steps_done),
                     whole ? "" : " of ", whole ? "" : lorac_page_count(text[1], r->steps),
                     r->steps == 1 ? "" : "s", lorac_page_time(text[2], r->seconds));
}

/* "accuracy 0.850", a share with three digits, a loss with four. */
static void say_metric(struct lorac_buf *b, const struct lorac_scores *s, enum lorac_metric metric)
{
    lorac_buf_str(b, lorac_metric_name(metric));
    lorac_buf_printf(b, lorac_metric_falls(metric) ? " %.4f" : " %.3f",
                     lorac_scores_get(s, metric));
}

static void say_best(struct lorac_buf *b, const struct lorac_record *r,
                     const struct lorac_interval *interval)
{
    char text[2][32];
    struct lorac_buf name = {0};
    if (!r->evaluated) {
        lorac_buf_str(b, " Nothing was evaluated.");
        return;
    }
    say_metric(&name, &r->best, r->best_by);
    lorac_buf_str(b, " Best <b>");
    for (char *c = name.at; c && *c; c++) {
        lorac_buf_add(b, *c == '_' ? " " : c, 1);
    }
    lorac_buf_str(b, "</b>");
    if (interval && isfinite(interval->low) && isfinite(interval->high)) {
        lorac_buf_printf(b, " (95&nbsp;%% interval %.3f to %.3f)", interval->low, interval->high);
    }
    lorac_buf_printf(b, " at step %s", lorac_page_count(text[0], r->best_step));
    if (r->best.rows) {
        lorac_buf_printf(b, ", on %s rows", lorac_page_count(text[1], r->best.rows));
    }
    lorac_buf_str(b, ".");
    b->no_memory = b->no_memory || name.no_memory;
    lorac_buf_free(&name);
}

/* ---- facts ---- */

static void add_facts(struct lorac_buf *b, const struct lorac_record *r)
{
    char text[2][32];
    const struct lorac_recipe *x = r->recipe;
    lorac_buf_str(b, "<ul class=\"facts\">\n");
    lorac_page_fact(b, "base", "%s", lorac_page_last(r->base));
    const bool ranked = !x->adapter.from && lorac_method_reads(x->adapter.method, "rank");
    if (ranked) { (void)lorac_snprintf(text[1], sizeof text[1], ", rank %zu", x->adapter.rank); }
    lorac_page_fact(b, "adapter", "%s%s, %s numbers",
                    x->adapter.from ? lorac_page_last(x->adapter.from) : x->adapter.method,
                    ranked ? text[1] : "", lorac_page_count(text[0], r->parameters));
    if (r->adapter) {
        lorac_page_fact(b, "size of the adapter", "%s",
                        lorac_page_bytes(text[0], r->adapter_bytes));
    }
    lorac_page_fact(b, "learning rate", "%g, %s", x->optimizer.lr, x->optimizer.schedule);
    if (x->data.train.n) {
        lorac_page_fact(b, "data", "%s%s", lorac_page_last(x->data.train.at[0]),
                        x->data.train.n > 1 ? ", ..." : "");
    }
    if (r->peak_bytes) {
        lorac_page_fact(b, "peak memory", "%s", lorac_page_bytes(text[0], r->peak_bytes));
    }
    lorac_page_fact(b, "computed by", "%s, %zu thread%s, %s%s%s", r->cpu, r->threads,
                    r->threads == 1 ? "" : "s", r->backend, r->compute ? ", " : "",
                    r->compute ? r->compute : "");
    lorac_page_fact(b, "begun", "%.10s %.5s UTC", r->started,
                    strlen(r->started) > 11 ? r->started + 11 : "");
    lorac_buf_str(b, "</ul>\n");
}

/* `level`: 1 at the head of a page, 2 inside it. */
static void add_head(struct lorac_buf *b, const struct lorac_record *r, const char *title,
                     int level, const struct lorac_interval *interval)
{
    bool failed = r->status == LORAC_RECORD_FAILED;
    lorac_html(b, "<header>\n<span class=\"state%s\">%s</span>\n", failed ? " failed" : "",
               lorac_record_status_word(r->status));
    lorac_html(b, level == 1 ? "<h1>%s</h1>\n" : "<h2>%s</h2>\n", title);
    lorac_buf_str(b, "<p class=\"lead\">");
    say_steps(b, r);
    say_best(b, r, interval);
    lorac_buf_str(b, "</p>\n");
    if (failed && r->error) { lorac_html(b, "<p class=\"failure\">%s</p>\n", r->error); }
    add_facts(b, r);
    lorac_buf_str(b, "</header>\n");
}

static void add_foot(struct lorac_buf *b, const struct lorac_record *r)
{
    lorac_html(b, "<footer>lorac %s; %s; base %s, %s; host %s</footer>\n", r->version, r->dir,
               r->base, r->fingerprint, r->host);
}

/* ---- pages ---- */

static enum lorac_status add_run(struct lorac_buf *b, const struct lorac_record *r,
                                 struct lorac_err *err)
{
    enum lorac_status st = lorac_report_curves(b, r, err);
    if (!st) { st = lorac_report_rows(b, r, err); }
    if (!st) { st = lorac_report_samples(b, r, err); }
    if (!st) { st = lorac_report_recipe(b, r, err); }
    return st;
}

/* How sure its best score is; NaN where nobody knows. */
static enum lorac_status measure(struct lorac_interval *out, const struct lorac_runs *one,
                                 struct lorac_err *err)
{
    struct lorac_report_set s = {0};
    *out = (struct lorac_interval){(double)NAN, (double)NAN};
    if (!one->at[0]->evaluated) { return LORAC_OK; }
    enum lorac_status st = lorac_report_set(&s, one, err);
    if (!st && s.board->n) { *out = s.board->rows[0].interval; }
    lorac_report_set_free(&s);
    return st;
}

static enum lorac_status report_one(struct lorac_buf *b, const struct lorac_runs *one,
                                    const struct lorac_report_options *o, struct lorac_err *err)
{
    const struct lorac_record *r = one->at[0];
    const char *title = o->title ? o->title : r->recipe->name;
    struct lorac_interval interval;
    enum lorac_status st = measure(&interval, one, err);
    if (st) { return st; }
    lorac_page_begin(b, LORAC_REPORT_MARK, title, o->refresh);
    add_head(b, r, title, 1, &interval);
    st = add_run(b, r, err);
    add_foot(b, r);
    lorac_page_end(b);
    return st;
}

static enum lorac_status report_several(struct lorac_buf *b, const struct lorac_report_set *s,
                                        const struct lorac_report_options *o, struct lorac_err *err)
{
    char title[64];
    (void)lorac_snprintf(title, sizeof title, "%zu runs", s->n);
    lorac_page_begin(b, LORAC_REPORT_MARK, o->title ? o->title : title, o->refresh);
    lorac_report_board(b, s, o->title ? o->title : title);
    enum lorac_status st = lorac_report_effects(b, s, err);
    if (!st) { st = lorac_report_overlays(b, s, err); }
    if (!st && s->best < s->n) {
        const struct lorac_record *r = s->runs[s->best];
        struct lorac_buf name = {0};
        lorac_buf_str(&name, "The best run: ");
        lorac_buf_str(&name, lorac_page_last(r->dir));
        lorac_buf_str(b, "<section>\n");
        add_head(b, r, name.at ? name.at : "", 2, NULL);
        lorac_buf_str(b, "</section>\n");
        b->no_memory = b->no_memory || name.no_memory;
        lorac_buf_free(&name);
        st = add_run(b, r, err);
        add_foot(b, r);
    }
    lorac_page_end(b);
    return st;
}

enum lorac_status lorac_report(struct lorac_buf *out, const struct lorac_runs *runs,
                               const struct lorac_report_options *o, struct lorac_err *err)
{
    struct lorac_report_set s = {0};
    enum lorac_status st = LORAC_OK;
    if (!runs->n) {
        return lorac_fail(err, LORAC_EUSER, "none of the sweep's %zu trials has begun",
                          runs->to_come);
    }
    if (runs->n == 1 && !runs->n_broken && !runs->sweep) {
        st = report_one(out, runs, o, err);
    } else {
        st = lorac_report_set(&s, runs, err);
        if (!st) { st = report_several(out, &s, o, err); }
        lorac_report_set_free(&s);
    }
    if (!st && out->no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for a report"); }
    return st;
}
