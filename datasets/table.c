/* table.c - CSV through libcsv; see datasets.h. The file is fed line by line, so that where a row
 * begins, on which line, and where a quote was opened all fall out of the feeding. */
#include "datasets/table.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "datasets/encoding.h"
#include "datasets/foreign.h"
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
    size_t last, touched; // offset behind the row before; bytes that came into memory since they
                          // were let go of
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
    if (n) { lorac_buf_add(&m->text, bytes, n); }
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

/* A row was read, and with it, where it does not follow the one before, the pages around it that
 * the kernel maps at once (Linux's fault_around_bytes). */
static void let_go(struct lorac_row_memory *m, const struct lorac_table *t, size_t at, size_t end)
{
    enum { AROUND = 64 << 10 };
    m->touched += end - at + (at == m->last ? 0 : AROUND);
    m->last = end;
    if (m->touched < LORAC_MAP_READ) { return; }
    lorac_map_forget(&t->map);
    m->touched = 0;
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
    size_t at = lorac_table_offset(t, i);
    size_t end = lorac_table_offset(t, i + 1);
    m->n = 0;
    m->ended = m->no_memory = m->text.no_memory = false;
    lorac_buf_clear(&m->text);
    bool blank = t->columns == 1 && (t->data[at] == '\n' || t->data[at] == '\r');
    bool whole = true;
    if (blank) { // libcsv passes over such lines
        take_cell(NULL, 0, m);
    } else {
        size_t used = csv_parse(&m->parser, t->data + at, end - at, take_cell, take_row, m);
        whole = used == end - at;
        if (csv_error(&m->parser) == CSV_ENOMEM) { m->no_memory = true; }
        // also resets the parser; ends a last row that has no line end
        whole = !csv_fini(&m->parser, take_cell, take_row, m) && whole && m->ended;
    }
    let_go(m, t, at, end);
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

const struct lorac_tally *lorac_table_blank_lines(const struct lorac_table *t)
{
    return &t->blank_lines;
}

const struct lorac_tally *lorac_table_long_cells(const struct lorac_table *t)
{
    return &t->long_cells;
}

size_t lorac_table_memory(const struct lorac_table *t)
{
    return t->cap_rows * sizeof *t->row_at + t->cap_jumps * sizeof *t->jumps +
           t->cap_carry * sizeof *t->carry + (t->decoded ? t->size : 0);
}

void lorac_tally_add(struct lorac_tally *t, uint64_t line)
{
    if (t->n < LORAC_TALLY_LINES) { t->line[t->n] = line; }
    t->n++;
}

const char *lorac_table_column_name(const struct lorac_table *t, size_t c)
{
    assert(c < t->columns);
    return t->names[c];
}

size_t lorac_table_offset(const struct lorac_table *t, size_t i)
{
    uint64_t high = 0;
    if (i == t->rows) { return t->size; }
    while (high < t->n_carry && t->carry[high] <= i) {
        high++; // one for each 4 GiB
    }
    return (size_t)(high << 32 | t->row_at[i]);
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

/* How often the delimiter stands in the first row, outside quotes. */
static size_t count_in_first_row(const struct lorac_table *t, char delimiter)
{
    size_t n = 0;
    bool quoted = false;
    for (size_t i = t->first_at; i < t->size; i++) {
        char c = t->data[i];
        if (t->format.quote && c == t->format.quote) { quoted = !quoted; }
        if (!quoted && (c == '\n' || c == '\r')) { break; }
        n += !quoted && c == delimiter;
    }
    return n;
}

const char *lorac_table_delimiter_hint(const struct lorac_table *t)
{
    static const struct {
        char delimiter;
        const char *hint;
    } others[] = {{',', "; is data.format.delimiter ','?"},
                  {';', "; is data.format.delimiter ';'?"},
                  {'\t', "; is data.format.delimiter \"\\t\", a tab?"},
                  {'|', "; is data.format.delimiter '|'?"}};
    size_t most = count_in_first_row(t, t->format.delimiter);
    const char *hint = "";
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        size_t n = count_in_first_row(t, others[i].delimiter);
        if (n <= most) { continue; }
        most = n;
        hint = others[i].hint;
    }
    return hint;
}

/* The number that `name` is, or 0. */
static size_t number_of(const char *name)
{
    size_t number = 0;
    for (const char *c = name; *c; c++) {
        if (*c < '0' || *c > '9') { return 0; }
        if (number <= LORAC_MAX_COLUMNS) { number = number * 10 + (size_t)(*c - '0'); }
    }
    return number;
}

/* Columns `first` and, where it is another, `last` have the name that was asked for. */
static enum lorac_status fail_ambiguous(const struct lorac_table *t, size_t first, size_t last,
                                        struct lorac_err *err)
{
    char name[64];
    unsigned long long at[2];
    const char *given = t->names[first];
    bool plain = *given && !strpbrk(given, " :,{}[]#&*!|>'\"%@`?-") && strlen(given) < 40;
    lorac_table_place(at, t, last);
    lorac_visible(name, sizeof name, given, strlen(given));
    if (first == last) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s:%llu:%llu: column %zu has no name; choose it by its number, as in "
                          "data.columns: {text: %zu}",
                          t->file, at[0], at[1], first + 1, first + 1);
    }
    return lorac_fail(err, LORAC_EUSER,
                      "%s:%llu:%llu: columns %zu and %zu are both named '%s'; choose one by its "
                      "number, as in data.columns: {%s: %zu}",
                      t->file, at[0], at[1], first + 1, last + 1, name, plain ? given : "text",
                      last + 1);
}

enum lorac_status lorac_table_column_find(size_t *out, const struct lorac_table *t,
                                          const char *name, struct lorac_err *err)
{
    size_t number = number_of(name);
    size_t n = 0; // columns of that name
    size_t first = 0;
    size_t last = 0;
    *out = 0;
    for (size_t c = 0; c < t->columns; c++) {
        if (strcmp(t->names[c], name) != 0) { continue; }
        first = n++ ? first : c;
        last = c;
    }
    if (n == 1 && *name) {
        *out = first;
        return LORAC_OK;
    }
    bool is_number = number >= 1 && number <= t->columns;
    if (is_number && (n == 0 || strcmp(t->names[number - 1], name) == 0)) {
        *out = number - 1;
        return LORAC_OK;
    }
    if (n > 0) { return fail_ambiguous(t, first, *name ? last : first, err); }
    struct lorac_buf hint = {0};
    char shown[64];
    lorac_names_hint(&hint, name, (const char *const *)t->names, t->columns);
    lorac_fail(err, LORAC_EUSER, "%s: no column '%s'%s%s", t->file,
               lorac_visible(shown, sizeof shown, name, strlen(name)), hint.at ? hint.at : "",
               lorac_table_delimiter_hint(t));
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
    lorac_mem_free(t->carry);
    lorac_mem_free(t->jumps);
    lorac_mem_free(t->file);
    lorac_mem_free(t->decoded);
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

/* The text of these bytes, and where its rows are. */
static enum lorac_status read_bytes(struct lorac_table *t, const char *bytes, size_t n,
                                    struct lorac_err *err)
{
    size_t n_decoded = 0;
    enum lorac_status st = lorac_foreign_table(bytes, n, t->file, err);
    if (!st) {
        st =
            lorac_text_to_utf8(&t->decoded, &n_decoded, bytes, n, t->format.encoding, t->file, err);
    }
    if (st) { return st; }
    t->data = t->decoded ? t->decoded : bytes;
    t->size = t->decoded ? n_decoded : n;
    if (t->decoded) { st = lorac_foreign_table(t->data, t->size, t->file, err); }
    return st ? st : lorac_table_index(t, err);
}

enum lorac_status lorac_table_parse(struct lorac_table **out, const char *bytes, size_t n,
                                    const char *file, const struct lorac_table_format *format,
                                    struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct lorac_table *t = new_table(&st, file, format, err);
    if (!t) { goto done; }
    st = read_bytes(t, bytes, n, err);
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
    if (st) { goto done; }
    st = read_bytes(t, (const char *)t->map.data, t->map.size, err);
done:
    if (st) {
        lorac_table_close(t);
        t = NULL;
    }
    *out = t;
    return st;
}
