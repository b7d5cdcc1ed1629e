/* init_format.c - how a table is written: encoding, delimiter, quotes, header; see init.h. */
#include "recipes/run/init_guess.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/language/reading.h"

#include <stdio.h>
#include <string.h>

enum { HEADER_BYTES = 40 }; // of a column's name, at the most

/* ---- encoding ---- */

static enum lorac_status guess_encoding(struct lorac_guess *g, struct lorac_err *err)
{
    struct lorac_map map = {0};
    enum lorac_status st = lorac_map_open(&map, g->table_path, err);
    if (st) { return st; }
    g->format.encoding = lorac_encoding_guess((const char *)map.data, map.size);
    if (g->format.encoding == LORAC_ENCODING_UTF16) {
        (void)snprintf(g->why_encoding, sizeof g->why_encoding, "its bytes come in pairs");
    } else if (g->format.encoding != LORAC_ENCODING_UTF8) {
        size_t i = 0;
        while (i < map.size && map.data[i] < 0x80) {
            i++;
        }
        (void)snprintf(g->why_encoding, sizeof g->why_encoding, "byte 0x%02X is not UTF-8",
                       i < map.size ? map.data[i] : 0);
    }
    lorac_map_close(&map);
    return LORAC_OK;
}

/* ---- delimiter and quotes ---- */

/* The table read in one way. */
struct reading {
    bool reads;
    size_t rows, columns, long_cells;
    uint64_t long_line;
    struct lorac_err why; // it does not
};

static enum lorac_status read_as(struct reading *r, const struct lorac_guess *g, char delimiter,
                                 char quote, struct lorac_err *err)
{
    struct lorac_table *t = NULL;
    struct lorac_table_format f = g->format;
    f.delimiter = delimiter;
    f.quote = quote;
    f.header = false;
    *r = (struct reading){0};
    enum lorac_status st = lorac_table_open(&t, g->table_path, &f, &r->why);
    if (st == LORAC_ENOMEM || st == LORAC_EIO) { return lorac_fail(err, st, "%s", r->why.text); }
    if (st) { return LORAC_OK; }
    r->reads = true;
    r->rows = lorac_table_rows(t);
    r->columns = lorac_table_columns(t);
    r->long_cells = lorac_table_long_cells(t)->n;
    r->long_line = lorac_table_long_cells(t)->line[0];
    lorac_table_close(t);
    return LORAC_OK;
}

static const char delimiters[] = {',', '\t', ';', '|'};
enum { DELIMITERS = sizeof delimiters };

/* All delimiters with this quote; *best: the one with the most columns, DELIMITERS where none
 * reads. */
static enum lorac_status read_all(struct reading r[DELIMITERS], size_t *best,
                                  const struct lorac_guess *g, char quote, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    *best = DELIMITERS;
    for (size_t i = 0; i < DELIMITERS && !st; i++) {
        st = read_as(&r[i], g, delimiters[i], quote, err);
        bool more = *best == DELIMITERS || r[i].columns > r[*best].columns;
        if (!st && r[i].reads && more) { *best = i; }
    }
    return st;
}

/* With quotes, lone ones may have swallowed rows: are there more rows of as many cells without? Of
 * a text in several lines that may be so by chance, if each has as many commas; hardly of tabs, or
 * of many lines. */
static enum lorac_status look_at_quotes(struct lorac_guess *g, const struct reading *with,
                                        struct lorac_err *err)
{
    struct reading without;
    if (with->long_cells == 0) { return LORAC_OK; }
    enum lorac_status st = read_as(&without, g, g->format.delimiter, '\0', err);
    if (st || !without.reads || without.columns != with->columns || without.rows <= with->rows) {
        return st;
    }
    g->rows_unquoted = without.rows;
    if (g->format.delimiter != '\t' && without.rows - with->rows < 2 * with->long_cells) {
        return LORAC_OK;
    }
    g->format.quote = '\0';
    (void)snprintf(g->why_quote, sizeof g->why_quote,
                   "so there are %zu rows (a header counted); with quotes there would be %zu, for "
                   "line %llu and some after it would be one cell",
                   without.rows, with->rows, (unsigned long long)with->long_line);
    return LORAC_OK;
}

static enum lorac_status guess_delimiter(struct lorac_guess *g, struct lorac_err *err)
{
    struct reading with[DELIMITERS];
    struct reading without[DELIMITERS];
    size_t best = 0;
    enum lorac_status st = read_all(with, &best, g, '"', err);
    if (st) { return st; }
    g->format.quote = '"';
    bool csv = with[0].reads; // every row reads with commas and quotes
    if (best < DELIMITERS && (with[best].columns > 1 || csv)) {
        g->format.delimiter = delimiters[best];
        g->free = with[best].columns == 1;
        return look_at_quotes(g, &with[best], err);
    }
    st = read_all(without, &best, g, '\0', err);
    if (st) { return st; }
    if (best == DELIMITERS) { return lorac_fail(err, LORAC_EFORMAT, "%s", with[0].why.text); }
    g->free = without[best].columns == 1;
    if (g->free && !without[0].reads) { // rows of several fields, but not always as many
        return lorac_fail(
            err, LORAC_EFORMAT,
            "%s; and with a tab, semicolon or bar it has one column (a text with "
            "commas in it must stand in quotes; for plain text write data.kind: text)",
            with[0].why.text);
    }
    g->format.delimiter = delimiters[best];
    g->format.quote = '\0';
    const char *why = with[best].reads ? with[0].why.text : with[best].why.text;
    (void)snprintf(g->why_quote, sizeof g->why_quote, "with quotes: %.*s", (int)strcspn(why, ";"),
                   why); // what the message advises is done here
    return LORAC_OK;
}

/* ---- header ---- */

bool lorac_cell_is_number(const struct lorac_cell *c)
{
    char text[HEADER_BYTES + 1];
    double x = 0.0;
    if (c->n == 0 || c->n > HEADER_BYTES) { return false; }
    memcpy(text, c->at, c->n);
    text[c->n] = '\0';
    return lorac_number_parse(&x, text[0] == '-' ? text + 1 : text) == LORAC_NUMBER_OK;
}

static bool same_cell(const struct lorac_cell *a, const struct lorac_cell *b)
{
    return a->n == b->n && memcmp(a->at, b->at, a->n) == 0;
}

static bool has_space(const struct lorac_cell *c)
{
    return memchr(c->at, ' ', c->n) != NULL;
}

/* What speaks for and against a first row of names. */
struct evidence {
    size_t named;   // cells that are not blank
    size_t known;   // words that columns are called by
    size_t words;   // above numbers
    size_t again;   // that occur below, in their column
    size_t numbers; // above numbers
    bool counts;    // 0, 1, 2 ... above what are not all numbers
    bool long_cell;
    bool spaces; // below, in the only column
};

/* 0, 1, 2, ... or 1, 2, 3, ..., as a data frame without names is written; its index may be nameless
 * in front. */
static bool is_count(const struct lorac_row *first)
{
    size_t from = first->n > 1 && first->cells[0].n == 0;
    for (size_t base = 0; base < 2; base++) {
        bool all = first->n > from;
        for (size_t c = from; c < first->n; c++) {
            char number[24];
            int n = snprintf(number, sizeof number, "%zu", c - from + base);
            const struct lorac_cell want = {number, (size_t)n};
            all = all && same_cell(&first->cells[c], &want);
        }
        if (all) { return true; }
    }
    return false;
}

/* The cells of a column below the first row. */
struct below {
    size_t cells, numbers; // not blank; of these
    bool again;            // one is as the first row's
};

static void weigh(struct evidence *e, const struct lorac_cell *top, const struct below *b)
{
    bool numbers = b->cells > 0 && b->numbers == b->cells;
    e->again += b->again;
    e->numbers += numbers && lorac_cell_is_number(top);
    e->words += numbers && top->n > 0 && !lorac_cell_is_number(top);
    e->named += top->n > 0;
    e->known += lorac_name_is_known(top->at, top->n);
    e->long_cell = e->long_cell || top->n > HEADER_BYTES;
    e->counts = e->counts || (b->cells > 0 && !numbers);
}

static enum lorac_status look_below(struct evidence *e, const struct lorac_guess *g,
                                    const struct lorac_row *first, struct lorac_err *err)
{
    struct lorac_row row = {0};
    struct below *below = lorac_mem_new(first->n, sizeof *below);
    enum lorac_status st =
        below ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory for a recipe");
    size_t n = lorac_table_rows(g->table);
    for (size_t i = 1; i < n && i < LORAC_INIT_LOOKED_AT && !st; i++) {
        st = lorac_table_row(&row, g->table, i, err);
        for (size_t c = 0; c < row.n && !st; c++) {
            const struct lorac_cell *cell = &row.cells[c];
            below[c].cells += cell->n > 0;
            below[c].numbers += lorac_cell_is_number(cell);
            below[c].again = below[c].again || (cell->n > 0 && same_cell(&first->cells[c], cell));
            e->spaces = e->spaces || has_space(cell);
        }
    }
    for (size_t c = 0; c < first->n && !st; c++) {
        weigh(e, &first->cells[c], &below[c]);
    }
    e->counts = e->counts && is_count(first);
    lorac_row_free(&row);
    lorac_mem_free(below);
    return st;
}

/* NULL, or why the first row is one of names. */
static const char *judge(const struct evidence *e, const struct lorac_guess *g,
                         const struct lorac_row *first)
{
    if (e->counts) { return "its cells count the columns"; }
    if (e->named == 0) { return NULL; }
    if (g->free) { // a word above texts
        bool word = !has_space(&first->cells[0]) && e->spaces && !e->again && !e->long_cell;
        return word && !lorac_cell_is_number(&first->cells[0]) ? "a word above texts" : NULL;
    }
    if (2 * e->known > e->named) { return "it has names that columns have"; }
    if (e->again) { return NULL; }
    if (e->words) {
        return "words above numbers";
    } // though they be long, as a form's questions are
    if (e->long_cell) { return NULL; }
    if (e->known) { return "it has names that columns have"; }
    if (e->numbers) { return NULL; }
    for (size_t c = 0; c < first->n; c++) {
        if (lorac_cell_is_number(&first->cells[c])) { return NULL; }
    }
    return "short words that do not occur below";
}

/* The table is open without a header: is its first row one? */
static enum lorac_status guess_header(struct lorac_guess *g, struct lorac_err *err)
{
    struct lorac_row first = {0};
    struct evidence e = {0};
    const char *why = NULL;
    size_t n = lorac_table_rows(g->table);
    enum lorac_status st = lorac_table_row(&first, g->table, 0, err);
    if (!st && n > 1) { st = look_below(&e, g, &first, err); }
    if (!st && n > 1) { why = judge(&e, g, &first); }
    lorac_row_free(&first);
    if (st || !why) { return st; }
    (void)snprintf(g->why_header, sizeof g->why_header, "%s", why);
    g->format.header = true;
    lorac_table_close(g->table);
    return lorac_table_open(&g->table, g->table_path, &g->format, err);
}

/* A file that begins with a brace, and reads as JSON lines. *is: it does. */
static enum lorac_status guess_json(bool *is, struct lorac_guess *g, struct lorac_err *err)
{
    struct lorac_map map = {0};
    const struct lorac_table_format jsonl = {.kind = LORAC_TABLE_JSONL};
    enum lorac_status st = lorac_map_open(&map, g->table_path, err);
    if (st) { return st; }
    size_t i = map.size >= 3 && memcmp(map.data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (i < map.size && strchr(" \t\r\n", map.data[i]) && map.data[i]) {
        i++;
    }
    *is = i < map.size && map.data[i] == '{';
    lorac_map_close(&map);
    if (!*is) { return LORAC_OK; }
    st = lorac_table_open(&g->table, g->table_path, &jsonl, err);
    *is = st != LORAC_EFORMAT;
    if (st) { return *is ? st : LORAC_OK; } // or it is a CSV whose first name has a brace
    g->format = lorac_table_format(g->table);
    for (size_t c = 0; c < lorac_table_columns(g->table); c++) {
        const char *name = lorac_table_column_name(g->table, c);
        bool is_list = strcmp(name, "messages") == 0 || strcmp(name, "conversations") == 0;
        if (is_list && g->messages == SIZE_MAX) { g->messages = c; }
    }
    return LORAC_OK;
}

enum lorac_status lorac_guess_format(struct lorac_guess *g, struct lorac_err *err)
{
    bool json = false;
    g->messages = SIZE_MAX;
    enum lorac_status how = guess_json(&json, g, err);
    if (how || json) { return how; }
    enum lorac_status st = guess_encoding(g, err);
    if (!st) { st = guess_delimiter(g, err); }
    if (!st) { st = lorac_table_open(&g->table, g->table_path, &g->format, err); }
    return st ? st : guess_header(g, err);
}
