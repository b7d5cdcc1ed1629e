/* csv.c - tables as RFC 4180 has them, through libcsv; see tables.h. The file is fed line by line,
 * so that where a row begins, on which line, and where a quote was opened all fall out of the
 * feeding (table_index.c). */
#include "datasets/table.h"

#include "base/core/mem.h"
#include "datasets/encoding.h"
#include "datasets/foreign.h"

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

static enum lorac_status prepare(struct lorac_row_memory *m, const struct lorac_table *t,
                                 struct lorac_err *err)
{
    if (m->parses) { // it may have served another table
        csv_set_delim(&m->parser, (unsigned char)t->format.delimiter);
        csv_set_quote(&m->parser, (unsigned char)t->format.quote);
        return LORAC_OK;
    }
    enum lorac_status st = lorac_csv_begin(&m->parser, &t->format, err);
    m->parses = !st;
    return st;
}

static enum lorac_status read_row(struct lorac_row_memory *m, const struct lorac_table *t,
                                  size_t at, size_t end, struct lorac_err *err)
{
    enum lorac_status st = prepare(m, t, err);
    if (st) { return st; }
    m->ended = false;
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
    if (m->no_memory || m->text.no_memory) {
        return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for a row", t->file);
    }
    if (!whole) { return LORAC_EIO; }
    const char *text = m->text.at ? m->text.at : "";
    for (size_t c = 0; c < m->n; c++) {
        m->cells[c].at = text;
        text += m->cells[c].n;
    }
    return LORAC_OK;
}

/* ---- opening ---- */

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

/* The text of these bytes, and where its rows are. */
static enum lorac_status open_bytes(struct lorac_table *t, const char *bytes, size_t n,
                                    struct lorac_err *err)
{
    enum lorac_status st = check_format(&t->format, err);
    if (!st) { st = lorac_foreign_table(bytes, n, t->file, err); }
    if (st) { return st; }
    t->data = bytes;
    t->size = n;
    st = lorac_table_decode(t, err);
    if (!st && t->data != bytes) { st = lorac_foreign_table(t->data, t->size, t->file, err); }
    return st ? st : lorac_table_index(t, err);
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

static const char *delimiter_hint(const struct lorac_table *t)
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

/* ---- writing ---- */

static void begin_row(struct lorac_buf *b, const struct lorac_raw *row)
{
    lorac_buf_add(b, row->at, row->n);
}

/* Behind others, quoted where it has to be. */
static bool add_cell(struct lorac_buf *b, const struct lorac_table *t, const char *name,
                     const char *text, size_t n, bool number)
{
    const struct lorac_table_format *f = &t->format;
    bool plain = true;
    bool held = true;
    (void)name;
    (void)number;
    lorac_buf_add(b, &f->delimiter, 1);
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        plain =
            plain && c != f->delimiter && c != '\n' && c != '\r' && (!f->quote || c != f->quote);
    }
    const bool quoted = f->quote && !plain;
    if (quoted) { lorac_buf_add(b, &f->quote, 1); }
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool ends = c == f->delimiter || c == '\n' || c == '\r';
        bool fits = c != '\0' && (quoted || !ends); // no table holds a NUL
        if (quoted && c == f->quote) { lorac_buf_add(b, &c, 1); }
        lorac_buf_add(b, fits ? &c : " ", 1);
        held = held && fits;
    }
    if (quoted) { lorac_buf_add(b, &f->quote, 1); }
    return held;
}

static void end_row(struct lorac_buf *b)
{
    (void)b;
}

const struct lorac_table_kind lorac_table_csv = {
    .name = "csv",
    .open = open_bytes,
    .read = read_row,
    .hint = delimiter_hint,
    .begin_row = begin_row,
    .add_cell = add_cell,
    .end_row = end_row,
};
