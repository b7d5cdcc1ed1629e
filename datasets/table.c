/* table.c - CSV through libcsv; see datasets.h. The file is fed line by line, so that where a row begins,
 * on which line, and where a quote was opened all fall out of the feeding. */
#include "datasets/table.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "datasets/names.h"

#include <assert.h>
#include <string.h>

/* libcsv's allocator: blocks that know their size, so that growth is geometric and limited. */
enum { HEAD = 64 };

static void csv_release(void *p)
{
    if (p) { lorac_mem_free((char *)p - HEAD); }
}

static void *csv_grow(void *p, size_t n)
{
    size_t had = 0;
    if (p) { memcpy(&had, (char *)p - HEAD, sizeof had); }
    if (n <= had) { return p; }
    if (n > LORAC_MAX_FIELD + 2) { return NULL; } // + the closing quote, and what follows it
    size_t room = 2 * had > n ? 2 * had : n;
    char *larger = lorac_mem_new(room + HEAD, 1);
    if (!larger) { return NULL; }
    memcpy(larger, &room, sizeof room);
    if (p) { memcpy(larger + HEAD, p, had); }
    csv_release(p);
    return larger + HEAD;
}

static int no_space(unsigned char c)
{
    (void)c;
    return 0; // spaces belong to the cell
}

enum lorac_status lorac_csv_begin(struct csv_parser *p, const struct lorac_table_format *f,
                                  struct lorac_err *err)
{
    if (csv_init(p, CSV_STRICT | CSV_STRICT_FINI)) {
        return lorac_fail(err, LORAC_ENOMEM, "the CSV parser does not start");
    }
    csv_set_delim(p, (unsigned char)f->delimiter);
    csv_set_quote(p, (unsigned char)f->quote); // 0 never occurs: NUL bytes are refused
    csv_set_space_func(p, no_space);
    csv_set_realloc_func(p, csv_grow);
    csv_set_free_func(p, csv_release);
    csv_set_blk_size(p, 4096);
    return LORAC_OK;
}

/* ---- reading a row ---- */

struct lorac_row_memory {
    struct csv_parser parser;
    struct lorac_buf text;
    struct lorac_cell *cells;
    size_t n, cap;
    bool ended, no_memory;
};

static void take_cell(void *bytes, size_t n, void *self)
{
    struct lorac_row_memory *m = self;
    struct lorac_cell *cells = lorac_mem_grow(m->cells, m->n, &m->cap, m->n + 1, sizeof *m->cells);
    if (!cells) {
        m->no_memory = true;
        return;
    }
    m->cells = cells;
    m->cells[m->n++] = (struct lorac_cell){.n = n};
    lorac_buf_add(&m->text, bytes, n);
}

static void take_row(int end, void *self)
{
    (void)end;
    ((struct lorac_row_memory *)self)->ended = true;
}

void lorac_row_free(struct lorac_row *row)
{
    struct lorac_row_memory *m = row->memory;
    if (m) {
        csv_free(&m->parser);
        lorac_buf_free(&m->text);
        lorac_mem_free(m->cells);
        lorac_mem_free(m);
    }
    *row = (struct lorac_row){0};
}

static enum lorac_status prepare_row(struct lorac_row *row, const struct lorac_table *t,
                                     struct lorac_err *err)
{
    if (row->memory) { // it may have served another table
        csv_set_delim(&row->memory->parser, (unsigned char)t->format.delimiter);
        csv_set_quote(&row->memory->parser, (unsigned char)t->format.quote);
        return LORAC_OK;
    }
    struct lorac_row_memory *m = lorac_mem_new(1, sizeof *m);
    if (!m) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for a row", t->file); }
    enum lorac_status st = lorac_csv_begin(&m->parser, &t->format, err);
    if (st) {
        lorac_mem_free(m);
        return st;
    }
    row->memory = m;
    return LORAC_OK;
}

enum lorac_status lorac_table_row(struct lorac_row *row, const struct lorac_table *t, size_t i,
                                  struct lorac_err *err)
{
    assert(i < t->rows);
    row->cells = NULL;
    row->n = 0;
    enum lorac_status st = prepare_row(row, t, err);
    if (st) { return st; }
    struct lorac_row_memory *m = row->memory;
    size_t at = (size_t)t->row_at[i];
    size_t end = i + 1 < t->rows ? (size_t)t->row_at[i + 1] : t->size;
    m->n = 0;
    m->ended = m->no_memory = m->text.no_memory = false;
    lorac_buf_clear(&m->text);
    size_t used = csv_parse(&m->parser, t->data + at, end - at, take_cell, take_row, m);
    bool whole = used == end - at;
    if (csv_error(&m->parser) == CSV_ENOMEM) { m->no_memory = true; }
    // also resets the parser; ends a last row that has no line end
    whole = !csv_fini(&m->parser, take_cell, take_row, m) && whole && m->ended;
    row->line = lorac_table_line(t, i);
    if (m->no_memory || m->text.no_memory) {
        lorac_row_free(row); // a parser that stopped halfway is not used again
        return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for a row", t->file);
    }
    if (!whole || m->n != t->columns) {
        uint64_t line = row->line;
        lorac_row_free(row);
        return lorac_fail(err, LORAC_EIO, "%s:%llu: the file changed while it was read", t->file,
                          (unsigned long long)line);
    }
    const char *text = m->text.at ? m->text.at : "";
    for (size_t c = 0; c < m->n; c++) {
        m->cells[c].at = text;
        text += m->cells[c].n;
    }
    row->cells = m->cells;
    row->n = m->n;
    return LORAC_OK;
}

/* ---- what a table says of itself ---- */

const char *lorac_table_file(const struct lorac_table *t)
{
    return t->file;
}

size_t lorac_table_rows(const struct lorac_table *t)
{
    return t->rows;
}

size_t lorac_table_columns(const struct lorac_table *t)
{
    return t->columns;
}

size_t lorac_table_blank_lines(const struct lorac_table *t)
{
    return t->blank_lines;
}

size_t lorac_table_memory(const struct lorac_table *t)
{
    return t->cap_rows * sizeof *t->row_at + t->cap_jumps * sizeof *t->jumps;
}

const char *lorac_table_column_name(const struct lorac_table *t, size_t c)
{
    assert(c < t->columns);
    return t->names[c];
}

uint64_t lorac_table_line(const struct lorac_table *t, size_t i)
{
    assert(i < t->rows && t->n_jumps > 0 && t->jumps[0].row == 0);
    size_t lo = 0; // the last jump at or before row i
    size_t hi = t->n_jumps;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->jumps[mid].row <= i) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return t->jumps[lo].line + (i - t->jumps[lo].row);
}

/* A delimiter that stands in the only column's name although the table is read with another one, or 0. */
static char other_delimiter(const char *name, char delimiter)
{
    for (const char *c = ",;\t|"; *c; c++) {
        if (*c != delimiter && strchr(name, *c)) { return *c; }
    }
    return '\0';
}

enum lorac_status lorac_table_column_find(size_t *out, const struct lorac_table *t,
                                          const char *name, struct lorac_err *err)
{
    *out = 0;
    size_t number = 0;
    bool digits = *name != '\0';
    for (const char *c = name; *c; c++) {
        digits = digits && *c >= '0' && *c <= '9';
        if (digits && number <= LORAC_MAX_COLUMNS) { number = number * 10 + (size_t)(*c - '0'); }
    }
    for (size_t c = 0; c < t->columns; c++) {
        if (strcmp(t->names[c], name) == 0) {
            *out = c;
            return LORAC_OK;
        }
    }
    if (digits && number >= 1 && number <= t->columns) {
        *out = number - 1;
        return LORAC_OK;
    }
    struct lorac_buf hint = {0};
    lorac_names_hint(&hint, name, (const char *const *)t->names, t->columns);
    char other = '\0';
    if (t->columns == 1 && t->names) { other = other_delimiter(t->names[0], t->format.delimiter); }
    if (other == '\t') {
        lorac_buf_str(&hint, "; is data.format.delimiter \"\\t\", a tab?");
    } else if (other) {
        lorac_buf_printf(&hint, "; is data.format.delimiter '%c'?", other);
    }
    lorac_fail(err, LORAC_EUSER, "%s: no column '%.40s'%s", t->file, name, hint.at ? hint.at : "");
    lorac_buf_free(&hint);
    return LORAC_EUSER;
}

/* ---- opening ---- */

void lorac_table_close(struct lorac_table *t)
{
    if (!t) { return; }
    for (size_t c = 0; t->names && c < t->n_names; c++) {
        lorac_mem_free(t->names[c]);
    }
    lorac_mem_free(t->names);
    lorac_mem_free(t->row_at);
    lorac_mem_free(t->jumps);
    lorac_mem_free(t->file);
    lorac_map_close(&t->map);
    lorac_mem_free(t);
}

static enum lorac_status check_format(const struct lorac_table_format *f, struct lorac_err *err)
{
    unsigned char d = (unsigned char)f->delimiter;
    unsigned char q = (unsigned char)f->quote;
    if (d == 0 || d > 126 || d == '\n' || d == '\r') {
        return lorac_fail(err, LORAC_EUSER, "delimiter: code %d, expected one ASCII character", d);
    }
    if (q > 126 || q == '\n' || q == '\r') {
        return lorac_fail(err, LORAC_EUSER, "quote: code %d, expected one ASCII character or none",
                          q);
    }
    if (d == q) {
        return lorac_fail(err, LORAC_EUSER, "delimiter and quote are both '%c', expected two", d);
    }
    return LORAC_OK;
}

/* NULL: *st says why. */
static struct lorac_table *new_table(enum lorac_status *st, const char *file,
                                     const struct lorac_table_format *format, struct lorac_err *err)
{
    static const struct lorac_table_format csv = {.delimiter = ',', .quote = '"', .header = true};
    *st = check_format(format ? format : &csv, err);
    if (*st) { return NULL; }
    struct lorac_table *t = lorac_mem_new(1, sizeof *t);
    if (t) { t->file = lorac_mem_string(file, strlen(file)); }
    if (!t || !t->file) {
        lorac_table_close(t);
        *st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory for a table", file);
        return NULL;
    }
    t->format = format ? *format : csv;
    return t;
}

enum lorac_status lorac_table_parse(struct lorac_table **out, const char *bytes, size_t n,
                                    const char *file, const struct lorac_table_format *format,
                                    struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct lorac_table *t = new_table(&st, file, format, err);
    if (!t) { goto done; }
    t->data = bytes;
    t->size = n;
    st = lorac_table_index(t, err);
done:
    if (st) {
        lorac_table_close(t);
        t = NULL;
    }
    *out = t;
    return st;
}

enum lorac_status lorac_table_open(struct lorac_table **out, const char *path,
                                   const struct lorac_table_format *format, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct lorac_table *t = new_table(&st, path, format, err);
    if (!t) { goto done; }
    st = lorac_map_open(&t->map, path, err);
    if (!st) { st = lorac_lfs_check(t->map.data, t->map.size, path, err); }
    if (st) { goto done; }
    t->data = (const char *)t->map.data;
    t->size = t->map.size;
    st = lorac_table_index(t, err);
done:
    if (st) {
        lorac_table_close(t);
        t = NULL;
    }
    *out = t;
    return st;
}
