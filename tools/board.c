/* board.c - runs side by side, as a table, CSV or JSON; see board.h. */
#include "tools/board.h"

#include "tools/verbs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What is shown, and how. */
struct view {
    const struct lorac_board *b;
    const struct lorac_runs *runs;
    const char *below; // folders are named from here on; "" : as they are
    bool cost;         // time, memory and size, too
    size_t keys;       // that the table shows
};

static const char *const places[] = {[LORAC_BOARD_BEST] = "best",
                                     [LORAC_BOARD_TIED] = "not told from the best",
                                     [LORAC_BOARD_WORSE] = "worse",
                                     [LORAC_BOARD_OTHER] = "not compared"};

/* The run's folder, shorter where all lie below one. */
static const char *name_of(const struct view *v, const char *dir)
{
    size_t n = strlen(v->below);
    bool inside = n && strncmp(dir, v->below, n) == 0;
    const char *rest = inside ? dir + n : dir;
    while (inside && *rest == '/') {
        rest++;
    }
    return *rest ? rest : dir;
}

/* A value as a cell: a quoted text without its quotes, where nothing in it had to be escaped. */
static void add_value(struct lorac_buf *b, const char *value)
{
    size_t n = strlen(value);
    bool quoted = n >= 2 && value[0] == '"' && value[n - 1] == '"' && !strchr(value, '\\');
    lorac_buf_add(b, quoted ? value + 1 : value, quoted ? n - 2 : n);
}

/* ---- cells: the table and the CSV have the same ---- */

enum { TEXT = 24 }; // columns of a text in the table

struct cell {
    struct lorac_buf text; // the caller's
    bool left;             // a text: to the left
};

/* With so many decimals, or below 0 with all that say something; nothing where it is not known. */
static void number(struct cell *c, int decimals, double x)
{
    if (isnan(x)) { return; }
    if (decimals < 0) {
        lorac_buf_printf(&c->text, "%.9g", x);
    } else {
        lorac_buf_printf(&c->text, "%.*f", decimals, x);
    }
}

/* The columns behind the keys. */
static const char *const words[] = {"runs", "metric",  "low",    "high",    "deviation", "rows",
                                    "p",    "seconds", "memory", "adapter", "place",     "folder"};
enum { RUNS, METRIC, LOW, HIGH, DEVIATION, ROWS, P, SECONDS, MEMORY, ADAPTER, PLACE, FOLDER, N };

static bool is_cost(size_t column)
{
    return column == SECONDS || column == MEMORY || column == ADAPTER;
}

static void fill(struct cell *c, const struct view *v, const struct lorac_board_row *row,
                 size_t column, bool human)
{
    char text[32];
    switch (column) {
    case RUNS:
        lorac_buf_printf(&c->text, "%zu", row->n);
        break;
    case METRIC:
        number(c, human ? 4 : -1, row->mean);
        break;
    case LOW:
        number(c, human ? 4 : -1, row->interval.low);
        break;
    case HIGH:
        number(c, human ? 4 : -1, row->interval.high);
        break;
    case DEVIATION:
        number(c, human ? 4 : -1, row->deviation);
        break;
    case ROWS:
        lorac_buf_printf(&c->text, "%zu", row->rows);
        break;
    case P:
        number(c, human ? 3 : -1, row->p);
        break;
    case SECONDS:
        if (human) {
            lorac_buf_str(&c->text, show_time(text, row->seconds));
        } else {
            number(c, 3, row->seconds);
        }
        break;
    case MEMORY:
    case ADAPTER: {
        size_t bytes = column == MEMORY ? row->peak_bytes : row->adapter_bytes;
        if (!bytes) { break; }
        if (human) {
            lorac_buf_str(&c->text, show_bytes(text, bytes));
        } else {
            lorac_buf_printf(&c->text, "%zu", bytes);
        }
        break;
    }
    case PLACE:
        lorac_buf_str(&c->text, places[row->place]);
        c->left = true;
        break;
    default:
        lorac_buf_str(&c->text, name_of(v, row->runs[0]->dir));
        c->left = true;
    }
}

/* What stands in a column, of the keys' and then the others; row NULL: the column's name. */
static struct cell cell_of(const struct view *v, const struct lorac_board_row *row, size_t column,
                           bool human)
{
    struct cell c = {.left = column < v->b->n_keys};
    if (column < v->b->n_keys) {
        const char *key = v->b->keys[column];
        if (row) {
            add_value(&c.text, lorac_record_value(row->runs[0], key));
        } else {
            lorac_buf_str(&c.text, key);
        }
        return c;
    }
    column -= v->b->n_keys;
    if (row) {
        fill(&c, v, row, column, human);
    } else {
        c.left = column >= PLACE;
        lorac_buf_str(&c.text, column == METRIC ? lorac_metric_name(v->b->metric) : words[column]);
    }
    return c;
}

static bool shown(const struct view *v, size_t column, bool human)
{
    if (column < v->b->n_keys) { return !human || column < v->keys; }
    column -= v->b->n_keys;
    if (is_cost(column)) { return v->cost; }
    if (!human) { return true; }
    // the table marks the place, has one number of rows in its title, and runs where there are any
    bool groups = v->b->n_group_by > 0;
    return column != PLACE && column != ROWS && ((column != RUNS && column != DEVIATION) || groups);
}

/* ---- the table ---- */

static size_t width_of(const struct view *v, size_t column)
{
    size_t width = 0;
    for (size_t i = 0; i <= v->b->n; i++) {
        struct cell c = cell_of(v, i ? &v->b->rows[i - 1] : NULL, column, true);
        size_t w = show_width(c.text.at ? c.text.at : "");
        if (w > width) { width = w; }
        lorac_buf_free(&c.text);
    }
    bool is_key = column < v->b->n_keys;
    return is_key && width > TEXT ? TEXT : width;
}

static void print_row(const struct view *v, const struct lorac_board_row *row, const size_t *width,
                      size_t columns)
{
    static const char marks[] = {[LORAC_BOARD_BEST] = '*',
                                 [LORAC_BOARD_TIED] = '=',
                                 [LORAC_BOARD_WORSE] = ' ',
                                 [LORAC_BOARD_OTHER] = '?'};
    putchar(row ? marks[row->place] : ' ');
    for (size_t k = 0; k < columns; k++) {
        if (!shown(v, k, true)) { continue; }
        struct cell c = cell_of(v, row, k, true);
        const char *text = c.text.at ? c.text.at : "";
        bool last = k + 1 == columns;
        size_t w = show_width(text);
        fputs("  ", stdout);
        for (size_t i = w; i < width[k] && !c.left; i++) {
            putchar(' ');
        }
        if (last) {
            show_text(stdout, text, strlen(text));
        } else if (c.left) {
            show_cell(stdout, text, width[k]);
        } else {
            fputs(text, stdout);
        }
        lorac_buf_free(&c.text);
    }
    putchar('\n');
}

static size_t count_place(const struct lorac_board *b, enum lorac_board_place place)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        n += b->rows[i].place == place;
    }
    return n;
}

static void print_title(const struct view *v)
{
    char runs[48];
    char rows[48];
    const struct lorac_board *b = v->b;
    size_t n = 0;
    size_t least = SIZE_MAX;
    size_t most = 0;
    if (!b->n) {
        printf("no run has come to its end\n");
        return;
    }
    for (size_t i = 0; i < b->n; i++) {
        n += b->rows[i].n;
        least = b->rows[i].rows < least ? b->rows[i].rows : least;
        most = b->rows[i].rows > most ? b->rows[i].rows : most;
    }
    printf("%s: %s", show_many(runs, n, "run"), lorac_metric_name(b->metric));
    if (least == most) { printf(" of %s", show_many(rows, most, "row")); }
    if (least != most) { printf(" of %zu to %zu rows", least, most); }
    printf(", each run's best evaluation, with its 95 %% interval");
    for (size_t i = 0; i < b->n_group_by; i++) {
        printf("%s%s", i ? ", " : "; mean and deviation over ", b->group_by[i]);
    }
    fputs("\n\n", stdout);
}

/* What the marks say. */
static void print_legend(const struct lorac_board *b)
{
    size_t tied = count_place(b, LORAC_BOARD_TIED);
    size_t worse = count_place(b, LORAC_BOARD_WORSE);
    if (tied + worse) {
        printf("\n* the best   = cannot be told from it by %s (5 %%%s)\n", lorac_board_test(b),
               tied + worse > 1 ? " for all together" : "");
    }
    if (count_place(b, LORAC_BOARD_OTHER)) {
        printf("? not compared: other rows or loss, or predictions that do not tell the metric\n");
    }
}

/* Runs that have no row, and why: "003-1a2b3c4d (seed 1): failed after 3 of 9 steps: ...". */
static void print_aside(const struct view *v)
{
    const struct lorac_board *b = v->b;
    const char *metric = lorac_metric_name(b->metric);
    for (size_t i = 0; i < b->n_aside; i++) {
        const struct lorac_record *r = b->aside[i];
        struct lorac_buf x = {0};
        bool ended = r->status == LORAC_RECORD_FINISHED || r->status == LORAC_RECORD_EARLY;
        bool scored = r->evaluated && !isnan(lorac_scores_get(&r->best, b->metric));
        if (!i) { putchar('\n'); }
        lorac_buf_str(&x, name_of(v, r->dir));
        for (size_t k = 0; k < v->keys; k++) {
            lorac_buf_printf(&x, "%s%s ", k ? ", " : " (", b->keys[k]);
            add_value(&x, lorac_record_value(r, b->keys[k]));
        }
        lorac_buf_str(&x, v->keys ? "): " : ": ");
        if (ended) {
            lorac_buf_printf(&x, "does not measure %s", metric);
        } else {
            lorac_buf_printf(&x, "%s after %zu of %zu steps", lorac_runs_word(v->runs, r),
                             r->steps_done, r->steps);
        }
        if (!ended && scored) {
            lorac_buf_printf(&x, ", %s %.4f at step %zu", metric,
                             lorac_scores_get(&r->best, b->metric), r->best_step);
        }
        if (!ended && r->error) { lorac_buf_printf(&x, ": %s", r->error); }
        show_text(stdout, x.at ? x.at : "", x.n);
        putchar('\n');
        lorac_buf_free(&x);
    }
    for (size_t i = 0; i < v->runs->n_broken; i++) {
        const struct lorac_run_broken *x = &v->runs->broken[i];
        printf("%s", i || b->n_aside ? "" : "\n");
        show_text(stdout, name_of(v, x->dir), strlen(name_of(v, x->dir)));
        printf(": %s\n", x->why);
    }
    if (v->runs->to_come) {
        char text[48];
        printf("\n%s of the sweep to come\n", show_many(text, v->runs->to_come, "trial"));
    }
}

/* Columns of what is shown. */
static size_t table_width(const struct view *v, const size_t *width, size_t columns)
{
    size_t n = 1; // the mark
    for (size_t k = 0; k < columns; k++) {
        n += shown(v, k, true) ? 2 + width[k] : 0;
    }
    return n;
}

/* What a terminal has no room for: first the cost, then the last keys. */
static void leave_out(struct view *v, const size_t *width, size_t columns)
{
    size_t room = show_room(stdout);
    v->keys = v->b->n_keys;
    if (table_width(v, width, columns) > room) { v->cost = false; }
    while (v->keys && table_width(v, width, columns) > room) {
        v->keys--;
    }
}

static void print_left_out(const struct view *v, bool cost)
{
    struct lorac_buf x = {0};
    for (size_t k = v->keys; k < v->b->n_keys; k++) {
        lorac_buf_printf(&x, "%s%s", x.n ? ", " : "", v->b->keys[k]);
    }
    for (size_t k = 0; k < N && cost && !v->cost; k++) {
        if (is_cost(k)) { lorac_buf_printf(&x, "%s%s", x.n ? ", " : "", words[k]); }
    }
    if (!x.n) { return; }
    lorac_buf_str(&x, " (--csv shows all)");
    putchar('\n');
    show_wrapped(stdout, "no room for ", x.at ? x.at : "");
    lorac_buf_free(&x);
}

static void print_table(struct view *v)
{
    enum { MOST = 128 }; // more than there are keys
    size_t width[MOST];
    size_t columns = v->b->n_keys + N;
    print_title(v);
    for (size_t k = 0; k < columns && k < MOST; k++) {
        width[k] = width_of(v, k);
    }
    bool cost = v->cost;
    leave_out(v, width, columns);
    if (v->b->n) { print_row(v, NULL, width, columns); }
    for (size_t i = 0; i < v->b->n; i++) {
        print_row(v, &v->b->rows[i], width, columns);
    }
    print_legend(v->b);
    print_left_out(v, cost);
    print_aside(v);
}

/* ---- for machines ---- */

static void add_quoted(struct lorac_buf *b, const char *text)
{
    bool plain = !text[strcspn(text, ",\"\r\n")];
    lorac_buf_str(b, plain ? "" : "\"");
    for (; *text; text++) {
        lorac_buf_add(b, text, 1);
        if (*text == '"') { lorac_buf_str(b, "\""); }
    }
    lorac_buf_str(b, plain ? "" : "\"");
}

static int print_csv(const struct view *v, struct lorac_err *err)
{
    struct lorac_buf b = {0};
    for (size_t i = 0; i <= v->b->n; i++) {
        bool first = true;
        for (size_t k = 0; k < v->b->n_keys + N; k++) {
            if (!shown(v, k, false)) { continue; }
            struct cell c = cell_of(v, i ? &v->b->rows[i - 1] : NULL, k, false);
            lorac_buf_str(&b, first ? "" : ",");
            add_quoted(&b, c.text.at ? c.text.at : "");
            b.no_memory = b.no_memory || c.text.no_memory;
            lorac_buf_free(&c.text);
            first = false;
        }
        lorac_buf_str(&b, "\n");
    }
    bool lost = b.no_memory;
    if (!lost) { fwrite(b.at, 1, b.n, stdout); }
    lorac_buf_free(&b);
    if (!lost) { return 0; }
    (void)lorac_fail(err, LORAC_ENOMEM, "no memory");
    return complain(err);
}

/* Its values of the keys that differ. */
static void add_values(struct out *o, const struct view *v, const struct lorac_record *r)
{
    out_begin(o, "values", "{}");
    for (size_t k = 0; k < v->b->n_keys; k++) {
        out_str(o, v->b->keys[k], lorac_record_value(r, v->b->keys[k]));
    }
    out_end(o);
}

static void add_row(struct out *o, const struct view *v, const struct lorac_board_row *row)
{
    out_begin(o, NULL, "{}");
    add_values(o, v, row->runs[0]);
    out_begin(o, "folders", "[]");
    for (size_t i = 0; i < row->n; i++) {
        out_str(o, NULL, name_of(v, row->runs[i]->dir));
    }
    out_end(o);
    out_real(o, lorac_metric_name(v->b->metric), row->mean);
    out_real(o, "low", row->interval.low);
    out_real(o, "high", row->interval.high);
    out_real(o, "deviation", row->deviation);
    out_count(o, "rows", row->rows);
    out_str(o, "place", places[row->place]);
    out_real(o, "p", row->p);
    out_count(o, "shared_rows", row->shared);
    if (v->cost) {
        out_real(o, "seconds", row->seconds);
        out_count(o, "peak_bytes", row->peak_bytes);
        out_count(o, "adapter_bytes", row->adapter_bytes);
    }
    out_end(o);
}

static void add_aside(struct out *o, const struct view *v, const struct lorac_record *r)
{
    out_begin(o, NULL, "{}");
    add_values(o, v, r);
    out_str(o, "folder", name_of(v, r->dir));
    out_str(o, "status", lorac_runs_word(v->runs, r));
    out_count(o, "steps_done", r->steps_done);
    out_count(o, "steps", r->steps);
    if (r->evaluated) {
        out_real(o, lorac_metric_name(v->b->metric), lorac_scores_get(&r->best, v->b->metric));
        out_count(o, "best_step", r->best_step);
    }
    if (r->error) { out_str(o, "error", r->error); }
    out_end(o);
}

static int print_json(const struct view *v)
{
    struct out j = {0};
    const struct lorac_board *b = v->b;
    out_str(&j, "metric", lorac_metric_name(b->metric));
    out_strs(&j, "keys", b->keys, b->n_keys);
    out_strs(&j, "group_by", b->group_by, b->n_group_by);
    out_begin(&j, "rows", "[]");
    for (size_t i = 0; i < b->n; i++) {
        add_row(&j, v, &b->rows[i]);
    }
    out_end(&j);
    out_begin(&j, "without_a_row", "[]");
    for (size_t i = 0; i < b->n_aside; i++) {
        add_aside(&j, v, b->aside[i]);
    }
    for (size_t i = 0; i < v->runs->n_broken; i++) {
        const struct lorac_run_broken *x = &v->runs->broken[i];
        out_begin(&j, NULL, "{}");
        out_str(&j, "folder", name_of(v, x->dir));
        out_str(&j, "status", lorac_record_is_run(x->dir) ? "damaged" : "failed");
        out_str(&j, "error", x->why);
        out_end(&j);
    }
    out_end(&j);
    if (v->runs->sweep) { out_count(&j, "trials_to_come", v->runs->to_come); }
    return out_print(&j);
}

/* ---- all of it ---- */

int board_print(const char *const *dirs, size_t n_dirs, const struct lorac_board_options *o,
                enum board_form form, bool cost)
{
    struct lorac_err err = {0};
    struct lorac_runs runs = {0};
    struct lorac_board *b = NULL;
    enum lorac_status st = lorac_runs_open(&runs, dirs, n_dirs, &err);
    if (!st && !runs.n && !runs.sweep) {
        st = lorac_fail(&err, LORAC_EFORMAT, "%s", runs.broken[0].why);
    }
    if (!st) { st = lorac_board_make(&b, &runs, o, &err); }
    struct view v = {.b = b,
                     .runs = &runs,
                     .below = n_dirs == 1 && strcmp(dirs[0], ".") != 0 ? dirs[0] : "",
                     .cost = cost};
    int code = 0;
    if (st) {
        code = complain(&err);
    } else if (form == BOARD_JSON) {
        code = print_json(&v);
    } else if (form == BOARD_CSV) {
        code = print_csv(&v, &err);
    } else {
        print_table(&v);
    }
    for (size_t i = 0; i < runs.n_broken && !code; i++) { // a trial that failed is a result
        code = lorac_record_is_run(runs.broken[i].dir) ? EXIT_FAILED : 0;
    }
    lorac_board_free(b);
    lorac_runs_close(&runs);
    return code;
}
