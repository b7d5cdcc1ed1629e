/* report_rows.c - the rows that went wrong; see report_parts.h. */
#include "recipes/report/report_parts.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/files.h"
#include "recipes/run/job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 50, BYTES = 600 }; // shown at the most, and of a row's text

/* ---- the rows' texts ---- */

/* The table that was evaluated, where it lies where it lay and holds what it held. */
struct texts {
    struct lorac_table *table; // NULL: it does not
    struct lorac_row row;
    char **names; // (n) variables of the prompt, and
    size_t n;
    size_t *column; // (n) where they stand
};

static void close_texts(struct texts *t)
{
    lorac_row_free(&t->row);
    lorac_table_close(t->table);
    lorac_mem_free(t->names);
    lorac_mem_free(t->column);
    *t = (struct texts){0};
}

static bool is_same_table(const char *path, const char *sha256)
{
    char hex[65];
    return lorac_path_exists(path) && !lorac_run_hash(hex, path, NULL) && strcmp(hex, sha256) == 0;
}

static const char *column_of(const struct lorac_recipe *r, const char *variable)
{
    for (size_t i = 0; i < r->data.columns.n; i++) {
        if (strcmp(r->data.columns.at[i].key, variable) == 0) {
            return r->data.columns.at[i].value;
        }
    }
    return variable;
}

/* What the model reads, as a template: prompt and pair, or of a head without one all columns but
 * the target's. */
static void add_prompt(struct lorac_buf *b, const struct lorac_recipe *x,
                       const struct lorac_table *t)
{
    size_t n = x->data.columns.n ? x->data.columns.n : lorac_table_columns(t);
    lorac_buf_printf(b, "%s%s", x->templates.prompt ? x->templates.prompt : "",
                     x->templates.pair ? x->templates.pair : "");
    for (size_t i = 0; i < n && !x->templates.prompt; i++) {
        const char *name =
            x->data.columns.n ? x->data.columns.at[i].key : lorac_table_column_name(t, i);
        bool target = x->data.labels.column && strcmp(name, x->data.labels.column) == 0;
        if (!target) { lorac_buf_printf(b, "{%s}", name); }
    }
}

/* The rows' texts are more than a report needs: where they can't be had, for whatever reason but
 * memory, it goes without. */
static enum lorac_status open_texts(struct texts *t, const struct lorac_record *r,
                                    struct lorac_err *err)
{
    const struct lorac_recipe *x = r->recipe;
    bool own = x->data.valid.kind == LORAC_RECIPE_SPLIT_PATH;
    const struct lorac_recipe_list *paths = own ? &x->data.valid.paths : &x->data.train;
    const struct lorac_table_format format = lorac_job_format(x);
    *t = (struct texts){0};
    struct lorac_buf prompt = {0};
    bool reads = x->templates.prompt || lorac_report_target(r) != LORAC_TARGET_NONE;
    bool table = x->data.kind == LORAC_RECIPE_DATA_TABLE && paths->n == 1 && reads;
    if (!table || !r->rows_of || !is_same_table(paths->at[0], r->rows_of)) { return LORAC_OK; }
    enum lorac_status st = lorac_table_open(&t->table, paths->at[0], &format, err);
    if (!st) { add_prompt(&prompt, x, t->table); }
    if (prompt.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    if (!st) { st = lorac_template_variables(&t->names, &t->n, prompt.at, err); }
    lorac_buf_free(&prompt);
    t->column = st ? NULL : lorac_mem_new(t->n + 1, sizeof *t->column);
    if (!st && !t->column) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    for (size_t i = 0; i < t->n && !st; i++) {
        st = lorac_table_column_find(&t->column[i], t->table, column_of(x, t->names[i]), err);
    }
    if (st) { close_texts(t); }
    return st == LORAC_ENOMEM ? st : LORAC_OK;
}

/* The table's row that begins on this line; its number of rows where none does. */
static size_t row_at(const struct lorac_table *t, size_t line)
{
    size_t low = 0;
    size_t high = lorac_table_rows(t);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (lorac_table_line(t, middle) < line) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool there = low < lorac_table_rows(t) && lorac_table_line(t, low) == line;
    return there ? low : lorac_table_rows(t);
}

/* At most BYTES of it, whole characters. */
static void add_text(struct lorac_buf *b, const struct lorac_cell *cell)
{
    size_t n = cell->n;
    if (n > BYTES) {
        for (n = BYTES; n && ((unsigned char)cell->at[n] & 0xC0U) == 0x80U; n--) {}
    }
    lorac_html_bytes(b, cell->at, n);
    if (n < cell->n) { lorac_buf_str(b, "\xE2\x80\xA6"); }
}

static enum lorac_status add_texts(struct lorac_buf *b, struct texts *t, size_t line,
                                   struct lorac_err *err)
{
    size_t i = row_at(t->table, line);
    lorac_buf_str(b, "<td class=\"text clip\">");
    if (i < lorac_table_rows(t->table)) {
        enum lorac_status st = lorac_table_row(&t->row, t->table, i, err);
        if (st) { return st; }
        for (size_t k = 0; k < t->n; k++) {
            if (k) { lorac_buf_str(b, "\n"); }
            add_text(b, &t->row.cells[t->column[k]]);
        }
    }
    lorac_buf_str(b, "</td>");
    return LORAC_OK;
}

/* ---- which rows ---- */

static bool is_wrong(const struct lorac_predictions *p, size_t i)
{
    if (p->compares) { return !p->at[i].right; }
    return !p->matches || !p->at[i].exact;
}

/* The surest mistakes first; without probabilities those of the highest loss. */
static int by_weight(const void *a, const void *b)
{
    const struct lorac_prediction *x = *(const struct lorac_prediction *const *)a;
    const struct lorac_prediction *y = *(const struct lorac_prediction *const *)b;
    bool sure = isfinite(x->probability) && isfinite(y->probability);
    double v = sure ? x->probability : x->loss;
    double w = sure ? y->probability : y->loss;
    if (v > w || v < w) { return v > w ? -1 : 1; }
    return (x->line > y->line) - (x->line < y->line);
}

static void add_head(struct lorac_buf *b, bool told, bool texts, bool sure)
{
    lorac_buf_str(b, "<div class=\"wide rows\"><table>\n<thead><tr><th class=\"num\">line</th>");
    if (texts) { lorac_buf_str(b, "<th>text</th>"); }
    if (told) { lorac_buf_str(b, "<th>wanted</th><th>answered</th>"); }
    if (sure) { lorac_buf_str(b, "<th class=\"num\">probability</th>"); }
    lorac_buf_str(b, "<th class=\"num\">loss</th></tr></thead>\n<tbody>\n");
}

static enum lorac_status add_row(struct lorac_buf *b, const struct lorac_predictions *p,
                                 const struct lorac_prediction *x, struct texts *t, bool told,
                                 bool sure, struct lorac_err *err)
{
    const bool written = p->matches && !p->compares;
    const bool mistakes = p->compares || p->matches; // else numbers, none of which is wrong
    const char *answer = written ? x->text : x->answer;
    enum lorac_status st = LORAC_OK;
    lorac_buf_str(b, "<tr>");
    lorac_page_number(b, (double)x->line, 0);
    if (t->table) { st = add_texts(b, t, x->line, err); }
    if (told) {
        const char *const texts[2] = {x->wanted, answer};
        for (size_t k = 0; k < 2; k++) {
            const char *from = texts[k] + strspn(texts[k], " \t\r\n");
            const struct lorac_cell cell = {from, strlen(from)};
            lorac_buf_printf(b, "<td class=\"%s%s%s\">", written ? "text" : "label",
                             k && mistakes ? " wrong" : "", k ? " answered" : " wanted");
            add_text(b, &cell);
            lorac_buf_str(b, "</td>");
        }
    }
    if (sure) { lorac_page_number(b, x->probability, 3); }
    lorac_page_number(b, x->loss, 3);
    lorac_buf_str(b, "</tr>\n");
    return st;
}

static enum lorac_status list_rows(struct lorac_buf *b, const struct lorac_record *r,
                                   const struct lorac_predictions *p, struct lorac_err *err)
{
    char text[2][32];
    struct texts t = {0};
    size_t n = 0;
    const struct lorac_prediction **wrong = lorac_mem_new(p->n + 1, sizeof *wrong);
    if (!wrong) { return lorac_fail(err, LORAC_ENOMEM, "no memory for rows"); }
    for (size_t i = 0; i < p->n; i++) {
        if (is_wrong(p, i)) { wrong[n++] = &p->at[i]; }
    }
    qsort(wrong, n, sizeof *wrong, by_weight);
    bool mistakes = p->compares || p->matches;
    bool told = mistakes || lorac_report_target(r) == LORAC_TARGET_NUMBER;
    bool sure = n && isfinite(wrong[0]->probability);
    enum lorac_status st = n ? open_texts(&t, r, err) : LORAC_OK;
    size_t shown = n < ROWS ? n : ROWS;
    lorac_page_section(b, mistakes ? "Wrong rows" : "Hardest rows", NULL);
    lorac_buf_printf(b, "<p class=\"note\">%s of %s%s%s</p>\n", lorac_page_count(text[0], n),
                     lorac_page_count(text[1], p->n),
                     mistakes ? " rows went wrong" : " rows, by their loss",
                     !n          ? "."
                     : !mistakes ? ", the highest first."
                     : sure      ? "; those that the model was surest of first."
                                 : "; those of the highest loss first.");
    if (n) {
        add_head(b, told, t.table != NULL, sure);
        for (size_t i = 0; i < shown && !st; i++) {
            st = add_row(b, p, wrong[i], &t, told, sure, err);
        }
        lorac_buf_str(b, "</tbody></table></div>\n");
    }
    if (shown < n) { lorac_buf_printf(b, "<p class=\"note\">%zu are shown.</p>\n", shown); }
    lorac_page_section_end(b);
    close_texts(&t);
    lorac_mem_free(wrong);
    return st;
}

enum lorac_status lorac_report_rows(struct lorac_buf *b, const struct lorac_record *r,
                                    struct lorac_err *err)
{
    struct lorac_predictions *p = NULL;
    if (!r->n_predicted) { return LORAC_OK; }
    size_t step = r->predicted[r->n_predicted - 1];
    for (size_t i = 0; i < r->n_predicted; i++) {
        if (r->evaluated && r->predicted[i] == r->best_step) { step = r->best_step; }
    }
    enum lorac_status st = lorac_record_predictions(&p, r, step, err);
    if (!st) { st = lorac_report_labels(b, p, lorac_report_target(r), step, err); }
    if (!st) { st = list_rows(b, r, p, err); }
    lorac_predictions_free(p);
    return st;
}
