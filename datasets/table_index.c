/* table_index.c - the one pass over a table's bytes at opening: every byte is checked, and where
 * each row begins is written down. */
#include "base/core/mem.h"
#include "datasets/encoding.h"
#include "datasets/table.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

struct scan {
    struct lorac_table *t;
    struct csv_parser parser;
    size_t begin; // behind the byte order mark and what else is no row
    uint64_t first_line;
    size_t at;     // the line being fed
    uint64_t line; // its number, from 1
    size_t lf;     // the next line feed at or after `at`; size where there is none
    size_t cr;     // the next carriage return before that; lf where there is none
    size_t kept;   // pages from here on are in memory
    size_t row_at; // the row being fed
    uint64_t row_line;
    size_t fields;     // of this row, so far
    size_t long_field; // 1 + the first field of this row that is too long, or 0
    bool in_row, ended, no_memory;
};

/* ---- places: only on the way to an error ---- */

struct place {
    unsigned long long line, column; // from 1; columns count characters
};

/* The place of byte `at`, counted from byte `from`, which begins line `line`. */
static struct place place_of(const struct lorac_table *t, size_t at, size_t from, uint64_t line)
{
    struct place p = {.line = line, .column = 1};
    for (size_t i = from; i < at; i++) {
        char c = t->data[i];
        bool pair = c == '\r' && i + 1 < t->size && t->data[i + 1] == '\n';
        if ((c == '\n' || c == '\r') && !pair) {
            p.line++;
            p.column = 1;
        } else if (((unsigned char)c & 0xC0) != 0x80) {
            p.column++;
        }
    }
    return p;
}

static void count_field(void *bytes, size_t n, void *self)
{
    (void)bytes;
    (void)n;
    ++*(size_t *)self;
}

/* Where field `want` of the row begins (byte offset), or the last one that begins before byte
 * `end`. */
static size_t find_field(const struct scan *s, size_t want, size_t end)
{
    struct csv_parser p;
    size_t begin = s->row_at;
    size_t fields = 0;
    if (lorac_csv_begin(&p, &s->t->format, NULL)) { return begin; }
    for (size_t i = s->row_at; i < end && fields < want; i++) {
        size_t before = fields;
        if (csv_parse(&p, s->t->data + i, 1, count_field, NULL, &fields) != 1) { break; }
        if (fields > before) { begin = i + 1; }
    }
    csv_free(&p);
    return begin;
}

static struct place place_in_row(const struct scan *s, size_t at)
{
    return place_of(s->t, at, s->row_at, s->row_line);
}

/* ---- errors ---- */

static enum lorac_status fail_at(const struct scan *s, struct place p, struct lorac_err *err,
                                 const char *text)
{
    return lorac_fail(err, LORAC_EFORMAT, "%s:%llu:%llu: %s", s->t->file, p.line, p.column, text);
}

static void show_char(char out[16], const char *at, size_t n)
{
    utf8proc_int32_t c = 0;
    utf8proc_ssize_t bytes =
        utf8proc_iterate((const utf8proc_uint8_t *)at, (utf8proc_ssize_t)n, &c);
    if (bytes <= 0 || c < ' ') {
        snprintf(out, 16, "byte 0x%02X", (unsigned char)*at);
    } else {
        snprintf(out, 16, "'%.*s'", (int)bytes, at);
    }
}

/* libcsv refused byte `at`: there is a quote where the rules allow none. */
static enum lorac_status fail_quote(const struct scan *s, size_t at, struct lorac_err *err)
{
    const struct lorac_table *t = s->t;
    size_t open = find_field(s, SIZE_MAX, at);
    struct place p = place_in_row(s, at);
    if (t->data[open] != t->format.quote) {
        return lorac_fail(
            err, LORAC_EFORMAT,
            "%s:%llu:%llu: a quote inside a field that does not begin with one; quote "
            "the field and double the quote, or set the format's quote to none",
            t->file, p.line, p.column);
    }
    char seen[16];
    show_char(seen, t->data + at, t->size - at);
    struct place o = place_in_row(s, open);
    return lorac_fail(
        err, LORAC_EFORMAT,
        "%s:%llu:%llu: %s after a closing quote, expected the delimiter or the line's "
        "end (the quote opened at %llu:%llu)",
        t->file, p.line, p.column, seen, o.line, o.column);
}

static enum lorac_status fail_unclosed(const struct scan *s, struct lorac_err *err)
{
    struct place o = place_in_row(s, find_field(s, SIZE_MAX, s->t->size));
    return fail_at(s, o, err, "a quote opens here and never closes, expected a closing one");
}

/* A field ended too long, or none did and the one that libcsv has in hand is. */
static enum lorac_status fail_long(const struct scan *s, size_t at, struct lorac_err *err)
{
    size_t field = s->long_field ? s->long_field - 1 : SIZE_MAX;
    struct place o = place_in_row(s, find_field(s, field, at));
    return fail_at(s, o, err,
                   "a field of more than 16 MiB begins here, expected a shorter one (is a quote "
                   "never closed?)");
}

static enum lorac_status fail_ragged(const struct scan *s, struct lorac_err *err)
{
    const struct lorac_table *t = s->t;
    size_t at = s->fields > t->columns ? find_field(s, t->columns, t->size) : s->row_at;
    const char *hint = lorac_table_delimiter_hint(t);
    bool rows = t->format.header && t->rows == 0 && t->columns > 1 && s->fields == t->columns + 1;
    size_t end = s->row_at; // of the row's line: a delimiter there is one too many
    while (end < t->size && t->data[end] != '\n' && t->data[end] != '\r') {
        end++;
    }
    if (rows && !*hint && t->data[end - 1] != t->format.delimiter) {
        hint = " (has the first column no name, as R writes row names?)";
    }
    struct place p = place_in_row(s, at);
    return lorac_fail(err, LORAC_EFORMAT, "%s:%llu:%llu: %zu field%s, expected %zu as in the %s%s",
                      t->file, p.line, p.column, s->fields, s->fields == 1 ? "" : "s", t->columns,
                      t->format.header ? "header" : "first row", hint);
}

/* ---- bytes ---- */

/* The length of the leading bytes that are plain ASCII without NUL. */
static size_t ascii_span(const char *at, size_t n)
{
    const uint64_t high = 0x8080808080808080U;
    const uint64_t low = 0x0101010101010101U;
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint64_t w = 0;
        memcpy(&w, at + i, 8);
        if ((w & high) || ((w - low) & ~w & high)) { break; }
    }
    while (i < n && (unsigned char)at[i] - 1U < 127U) {
        i++;
    }
    return i;
}

static enum lorac_status check_bytes(const struct scan *s, size_t end, struct lorac_err *err)
{
    const char *data = s->t->data;
    size_t i = s->at;
    while (true) {
        i += ascii_span(data + i, end - i);
        if (i == end) { return LORAC_OK; }
        utf8proc_int32_t c = 0;
        utf8proc_ssize_t n =
            utf8proc_iterate((const utf8proc_uint8_t *)data + i, (utf8proc_ssize_t)(end - i), &c);
        if (n <= 0 || c == 0) { break; }
        i += (size_t)n;
    }
    struct place p = place_of(s->t, i, s->at, s->line);
    const char *hint = lorac_encoding_hint(data, s->t->size);
    if (data[i] == 0) {
        bool utf16 = lorac_encoding_guess(data, s->t->size) == LORAC_ENCODING_UTF16;
        return lorac_fail(err, LORAC_EFORMAT, "%s:%llu:%llu: a NUL byte, expected text%s",
                          s->t->file, p.line, p.column, utf16 ? hint : " (is the file binary?)");
    }
    return lorac_fail(err, LORAC_EFORMAT,
                      "%s:%llu:%llu: byte 0x%02X is not UTF-8, expected UTF-8%s", s->t->file,
                      p.line, p.column, (unsigned char)data[i], hint);
}

/* Where the next such byte stands in [from, end); end: nowhere. */
static size_t find_byte(const struct lorac_table *t, char c, size_t from, size_t end)
{
    const char *p = memchr(t->data + from, c, end - from);
    return p ? (size_t)(p - t->data) : end;
}

/* The offset behind the line that begins at s->at, its line end included. */
static size_t line_end(struct scan *s)
{
    size_t size = s->t->size;
    if (s->lf < s->at) { s->lf = find_byte(s->t, '\n', s->at, size); }
    if (s->cr < s->at) { s->cr = find_byte(s->t, '\r', s->at, s->lf); }
    size_t end = s->cr < s->lf ? s->cr : s->lf;
    if (end == s->cr && s->lf == end + 1 && s->lf < size) { end++; }
    return end < size ? end + 1 : size;
}

/* ---- the header ---- */

/* A field of a row over several lines: does it hold line ends and the delimiter, as a lone quote's
 * would? */
static void look_at_long_field(struct scan *s, const char *bytes, size_t n)
{
    uint64_t ends = 0;
    for (size_t i = 0; i < n; i++) {
        bool pair = bytes[i] == '\r' && i + 1 < n && bytes[i + 1] == '\n';
        ends += (bytes[i] == '\n' || bytes[i] == '\r') && !pair;
    }
    if (ends && memchr(bytes, s->t->format.delimiter, n)) {
        lorac_tally_add(&s->t->long_cells, s->line - ends);
    }
}

static void take_field(void *bytes, size_t n, void *self)
{
    struct scan *s = self;
    const char *text = n ? bytes : "";
    s->fields++;
    if (n > LORAC_MAX_FIELD && !s->long_field) { s->long_field = s->fields; }
    bool naming = s->t->columns == 0 && s->t->format.header && s->fields <= LORAC_MAX_COLUMNS;
    if (naming && !lorac_table_add_name(s->t, text, n)) { s->no_memory = true; }
    if (s->line > s->row_line) { look_at_long_field(s, text, n); }
}

static void end_row(int end, void *self)
{
    (void)end;
    ((struct scan *)self)->ended = true;
}

void lorac_table_place(unsigned long long place[2], const struct lorac_table *t, size_t c)
{
    // only read: a scan is what places are found with
    struct scan s = {
        .t = (struct lorac_table *)(uintptr_t)t, .row_at = t->first_at, .row_line = t->first_line};
    struct place p = place_in_row(&s, find_field(&s, c, t->size));
    place[0] = p.line;
    place[1] = p.column;
}

/* ---- rows ---- */

/* The lines in front of the first one that is not blank: of a single column they are empty cells,
 * too. */
static enum lorac_status add_leading_rows(struct scan *s, struct lorac_err *err)
{
    struct lorac_table *t = s->t;
    uint64_t line = s->first_line;
    enum lorac_status st = LORAC_OK;
    for (size_t at = s->begin; at < s->row_at && !st; line++) {
        st = lorac_table_add_row(t, at, line, err);
        at += t->data[at] == '\r' && t->data[at + 1] == '\n' ? 2 : 1;
    }
    t->blank_lines = (struct lorac_tally){0};
    return st;
}

/* The first row says how many columns there are. *is_row: it is data, too. */
static enum lorac_status first_row(bool *is_row, struct scan *s, struct lorac_err *err)
{
    struct lorac_table *t = s->t;
    if (s->fields > LORAC_MAX_COLUMNS) {
        return lorac_fail(err, LORAC_EFORMAT, "%s:%llu:1: %zu columns, expected at most %d",
                          t->file, (unsigned long long)s->row_line, s->fields, LORAC_MAX_COLUMNS);
    }
    t->columns = s->fields;
    t->first_at = s->row_at;
    t->first_line = s->row_line;
    *is_row = !t->format.header;
    if (t->format.header) { return LORAC_OK; }
    for (size_t c = 0; c < t->columns; c++) {
        char number[24];
        int n = snprintf(number, sizeof number, "%zu", c + 1);
        if (!lorac_table_add_name(t, number, (size_t)n)) { return lorac_table_no_memory(t, err); }
    }
    return t->columns == 1 ? add_leading_rows(s, err) : LORAC_OK;
}

static enum lorac_status finish_row(struct scan *s, struct lorac_err *err)
{
    struct lorac_table *t = s->t;
    bool is_row = true;
    s->in_row = false;
    if (t->columns == 0) {
        enum lorac_status st = first_row(&is_row, s, err);
        if (st) { return st; }
    }
    if (s->fields != t->columns) { return fail_ragged(s, err); }
    return is_row ? lorac_table_add_row(t, s->row_at, s->row_line, err) : LORAC_OK;
}

/* Feed the line s->at .. end; the file's end also ends a row without a line end. */
static enum lorac_status feed_line(struct scan *s, size_t end, struct lorac_err *err)
{
    struct lorac_table *t = s->t;
    if (!s->in_row) {
        s->row_at = s->at;
        s->row_line = s->line;
        s->fields = 0;
        s->in_row = true;
        s->ended = false;
    }
    size_t n = end - s->at;
    size_t used = csv_parse(&s->parser, t->data + s->at, n, take_field, end_row, s);
    if (used != n && csv_error(&s->parser) == CSV_EPARSE) {
        return fail_quote(s, s->at + used, err);
    }
    // libcsv asks again for less where it gets no memory: a full buffer then means a long field
    bool full = csv_get_buffer_size(&s->parser) > LORAC_MAX_FIELD;
    if (s->long_field || (used != n && full)) { return fail_long(s, s->at + used, err); }
    if (used != n || s->no_memory) { return lorac_table_no_memory(t, err); }
    if (end == t->size && !s->ended) {
        if (csv_fini(&s->parser, take_field, end_row, s)) { return fail_unclosed(s, err); }
        if (s->no_memory) { return lorac_table_no_memory(t, err); }
        if (s->long_field) { return fail_long(s, end, err); }
    }
    if (s->ended) { return finish_row(s, err); }
    if (t->data[s->row_at] == '\n' || t->data[s->row_at] == '\r') { // else a quote is open
        s->in_row = false;
        if (t->columns == 1) { return lorac_table_add_row(t, s->row_at, s->row_line, err); }
        lorac_tally_add(&t->blank_lines, s->row_line);
    }
    return LORAC_OK;
}

/* "sep=;" above a table, which tells Excel the delimiter. */
static enum lorac_status pass_over_sep(struct scan *s, struct lorac_err *err)
{
    const struct lorac_table *t = s->t;
    const char *line = t->data + s->at;
    size_t n = t->size - s->at;
    bool sep = n > 5 && (memcmp(line, "sep=", 4) == 0 || memcmp(line, "SEP=", 4) == 0) &&
               (line[5] == '\n' || line[5] == '\r');
    if (!sep) { return LORAC_OK; }
    if (line[4] != t->format.delimiter) {
        const char *tab = line[4] == '\t' ? "\\t" : NULL;
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s:1:1: the file says that its delimiter is \"%.*s\" (sep=); write that "
                          "as data.format.delimiter",
                          t->file, tab ? 2 : 1, tab ? tab : line + 4);
    }
    s->at += line[5] == '\r' && n > 6 && line[6] == '\n' ? 7 : 6;
    s->begin = s->at;
    s->first_line = ++s->line;
    return LORAC_OK;
}

static enum lorac_status scan_lines(struct scan *s, struct lorac_err *err)
{
    struct lorac_table *t = s->t;
    enum lorac_status st = LORAC_OK;
    bool marked = t->size >= 3 && memcmp(t->data, "\xEF\xBB\xBF", 3) == 0;
    s->at = s->begin = marked ? 3 : 0;
    if (s->at == t->size) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: the file is empty, expected a table", t->file);
    }
    st = pass_over_sep(s, err);
    if (st) { return st; }
    s->lf = find_byte(t, '\n', s->at, t->size);
    s->cr = find_byte(t, '\r', s->at, s->lf);
    while (s->at < t->size) {
        size_t end = line_end(s);
        st = check_bytes(s, end, err);
        if (!st) { st = feed_line(s, end, err); }
        if (st) { return st; }
        s->at = end;
        s->line++;
        if (s->at - s->kept >= LORAC_MAP_READ) {
            lorac_map_forget(&t->map);
            s->kept = s->at;
        }
    }
    lorac_map_forget(&t->map);
    if (t->rows == 0) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: no rows%s, expected at least one", t->file,
                          t->columns ? " behind the header" : "");
    }
    return LORAC_OK;
}

enum lorac_status lorac_table_index(struct lorac_table *t, struct lorac_err *err)
{
    struct scan s = {.t = t, .line = 1, .first_line = 1};
    enum lorac_status st = lorac_csv_begin(&s.parser, &t->format, err);
    if (st) { return st; }
    st = scan_lines(&s, err);
    csv_free(&s.parser);
    return st;
}
