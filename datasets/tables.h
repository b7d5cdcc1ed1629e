/* tables.h - tables of text: CSV and JSON lines, larger than memory. A part of datasets.h, which
 * says what holds everywhere. */
#ifndef LORAC_DATASETS_TABLES_H
#define LORAC_DATASETS_TABLES_H

#include "base/core/buf.h"
#include "base/core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

LORAC_API_BEGIN

/* ---- tables -------------------------------------------------------------------------------------
 * A table is CSV or JSON lines (lorac_table_format.kind).
 *
 * CSV as RFC 4180 has it, strictly: a field with the delimiter, a quote or a line end is quoted,
 * and a quote in it doubled. Lines end with LF, CRLF or CR. UTF-8, its byte order mark removed.
 * Every row has as many fields as the first one. Of a single column a line with nothing in it is a
 * row with an empty cell; of several, and before a header, such lines are no rows, and are counted.
 * A header may leave columns nameless, or give several the same name: they are chosen by number.
 * Limits: 4096 columns, 16 MiB a field, 2^32 - 2 rows. Errors read "FILE:LINE:COLUMN: ...", lines
 * and characters counted from 1. Opening reads the mapped file once and keeps 4 bytes a row (16
 * more where a row spans lines); cells are parsed on demand, so a table may be larger than memory.
 * One of another encoding is read from a file without a name in TMPDIR, else /var/tmp or /tmp, that
 * holds it as UTF-8. Files that are no tables (JSON, spreadsheets, archives) are refused by name.
 *
 * JSON lines: an object on each line (RFC 8259, UTF-8; duplicate keys, NUL characters in a text,
 * more than 16 MiB are errors), whose members are the cells: columns are the keys of all lines, in
 * the order of their first appearance. A cell is what a text says, a number or true as it is
 * written; null, and a member that is not there, is a blank cell; a list or an object is its JSON
 * (lorac_row.nested). Lines of white space alone are no rows, and counted. */
enum { LORAC_MAX_COLUMNS = 4096, LORAC_MAX_FIELD = 16 << 20 };

struct lorac_table;

enum lorac_encoding {
    LORAC_ENCODING_UTF8,
    LORAC_ENCODING_LATIN1, // ISO-8859-1; what is no character of it is refused
    LORAC_ENCODING_WINDOWS1252,
    LORAC_ENCODING_UTF16, // its byte order mark says which; without one, the zeros of its ASCII
                          // characters
    LORAC_N_ENCODINGS
};
const char *lorac_encoding_name(enum lorac_encoding encoding); // "utf-8"
/* What the bytes look like. Nothing tells Latin-1 from other encodings of one byte a character. */
enum lorac_encoding lorac_encoding_guess(const char *bytes, size_t n);

/* How tables are written: a row of the table in table.c. */
enum lorac_table_kinds { LORAC_TABLE_CSV, LORAC_TABLE_JSONL };
const char *lorac_table_kind_name(size_t kind); // "csv"; NULL after the last

/* All but the kind and the encoding is of CSV; JSON lines are UTF-8. */
struct lorac_table_format {
    char delimiter; // one ASCII character: ',' ';' '\t' ...
    char quote;     // one ASCII character, or 0: quotes are characters like any other
    bool header;    // the first row names the columns; otherwise they are "1", "2", ...
    enum lorac_encoding encoding; // cells come as UTF-8 in any case
    enum lorac_table_kinds kind;
};

/* How many rows, and where the first of them stand. */
enum { LORAC_TALLY_LINES = 5 };
struct lorac_tally {
    size_t n;
    uint64_t line[LORAC_TALLY_LINES];
};
void lorac_tally_add(struct lorac_tally *t, uint64_t line);

struct lorac_cell {
    const char *at; // UTF-8, not NUL-terminated
    size_t n;       // bytes
};
/* Nothing in it but white space: what data.on_empty is about. */
bool lorac_cell_is_blank(const struct lorac_cell *cell);

/* The cells of one row. Zeroed = empty; owns what they point to (lorac_row_free). */
struct lorac_row {
    const struct lorac_cell *cells; // (n) valid until the next row is read into this struct
    const bool *nested; // (n) of JSON lines: the cell is a list or an object; NULL: none is
    size_t n;           // the table's columns
    uint64_t line;      // where the row begins
    struct lorac_row_memory *memory;
};

/* `format` NULL: {',', '"', true}. */
LORAC_MUST_CHECK enum lorac_status lorac_table_open(struct lorac_table **out, const char *path,
                                                    const struct lorac_table_format *format,
                                                    struct lorac_err *err);
/* The same from memory, which must outlive the table; `file` is its name in messages. */
LORAC_MUST_CHECK enum lorac_status lorac_table_parse(struct lorac_table **out, const char *bytes,
                                                     size_t n, const char *file,
                                                     const struct lorac_table_format *format,
                                                     struct lorac_err *err);
void lorac_table_close(struct lorac_table *t);

const char *lorac_table_file(const struct lorac_table *t);
size_t lorac_table_rows(const struct lorac_table *t); // without the header
size_t lorac_table_columns(const struct lorac_table *t);
const struct lorac_tally *lorac_table_blank_lines(const struct lorac_table *t); // that are no rows
/* Cells with both line ends and delimiters in them: a text of several lines, or rows that a lone
 * quote swallowed up to the next one. */
const struct lorac_tally *lorac_table_long_cells(const struct lorac_table *t);
size_t lorac_table_memory(const struct lorac_table *t); // bytes of the index
const char *lorac_table_column_name(const struct lorac_table *t, size_t c);
/* "; is data.format.delimiter ';'?" where the first row has more of another delimiter than of the
 * one that it is read with, else "": what a message about a missing column or an odd row goes on
 * with. */
const char *lorac_table_delimiter_hint(const struct lorac_table *t);
/* A column by its name, else by its number from 1. A name that no column has is LORAC_EUSER with
 * those that there are, one that several have is with their place. */
LORAC_MUST_CHECK enum lorac_status lorac_table_column_find(size_t *out, const struct lorac_table *t,
                                                           const char *name, struct lorac_err *err);
uint64_t lorac_table_line(const struct lorac_table *t, size_t i); // where row i begins
/* Read row i. Allocates only where a row is longer than all before it in this buffer. */
LORAC_MUST_CHECK enum lorac_status lorac_table_row(struct lorac_row *row,
                                                   const struct lorac_table *t, size_t i,
                                                   struct lorac_err *err);
void lorac_row_free(struct lorac_row *row); // what it owns, not the struct

/* A row as it stands in the file, for who writes the table again: its cells with their quotes and
 * delimiters, and the line end behind them ("" at the end of a file that has none). Borrowed from
 * the table. */
struct lorac_raw {
    const char *at;
    size_t n;
    const char *end;
    size_t n_end;
};
struct lorac_raw lorac_table_raw_row(const struct lorac_table *t, size_t i);
struct lorac_raw lorac_table_raw_header(const struct lorac_table *t); // n 0 where there is none
bool lorac_table_has_mark(const struct lorac_table *t);               // a byte order mark
/* Append a row (or the header) as it stands, then a cell behind it, then what ends it, but for the
 * line end. Of CSV the name is not written, of JSON lines a text of NULL is null. false: the cell
 * holds what this table cannot hold, and a space stands for that. */
void lorac_table_write_row(struct lorac_buf *b, const struct lorac_table *t,
                           const struct lorac_raw *row);
bool lorac_table_write_cell(struct lorac_buf *b, const struct lorac_table *t, const char *name,
                            const char *text, size_t n, bool number);
void lorac_table_write_end(struct lorac_buf *b, const struct lorac_table *t);
struct lorac_table_format lorac_table_format(const struct lorac_table *t);

LORAC_API_END

#endif
