/* table.h - inside datasets/: what a table is made of, and what the ways share in which tables are
 * written. */
#ifndef LORAC_DATASETS_TABLE_H
#define LORAC_DATASETS_TABLE_H

#include "base/core/buf.h"
#include "base/core/file.h"
#include "datasets/datasets.h"
#include <csv.h>

/* From `row` on, rows begin on consecutive lines, the first of them on `line`. */
struct lorac_line_jump {
    uint64_t row, line;
};

struct lorac_row_memory {
    struct csv_parser parser;
    bool parses; // it is set up
    struct lorac_buf text;
    struct lorac_cell *cells; // (n)
    size_t n, cap;
    bool *nested; // (cap_nested) of JSON lines
    size_t cap_nested;
    size_t last, touched; // offset behind the row before; bytes that came into memory since they
                          // were let go of
    bool ended, no_memory;
};

/* A way in which tables are written: a file of its own, and a row in table.c. */
struct lorac_table_kind {
    const char *name; // as a recipe writes it
    bool nests;       // cells may be lists or objects
    /* Check every byte, and fill all of the table behind its map. */
    enum lorac_status (*open)(struct lorac_table *t, const char *bytes, size_t n,
                              struct lorac_err *err);
    /* m->cells (and m->nested) of the row whose bytes are [at, end), m->text empty before.
     * LORAC_EIO, without a message: it is not the row that was checked. */
    enum lorac_status (*read)(struct lorac_row_memory *m, const struct lorac_table *t, size_t at,
                              size_t end, struct lorac_err *err);
    const char *(*hint)(const struct lorac_table *t); // lorac_table_delimiter_hint(); or NULL
    /* A row again, with more cells: see lorac_table_write_row(). */
    void (*begin_row)(struct lorac_buf *b, const struct lorac_raw *row);
    bool (*add_cell)(struct lorac_buf *b, const struct lorac_table *t, const char *name,
                     const char *text, size_t n, bool number);
    void (*end_row)(struct lorac_buf *b);
};
extern const struct lorac_table_kind lorac_table_csv, lorac_table_jsonl;

struct lorac_table {
    const struct lorac_table_kind *kind;
    char *file;
    struct lorac_map map; // of the file, or of its text as UTF-8; zeroed where it is the caller's
    const char *data;     // (size) the text, byte order mark included
    size_t size;
    struct lorac_table_format format;
    char **names; // (n_names) columns
    size_t n_names, columns;
    size_t first_at; // offset and line of the first row, which may be the header
    uint64_t first_line;
    uint32_t *row_at; // (rows) the lower half of each row's offset
    size_t rows, cap_rows;
    uint32_t *carry; // (n_carry) the rows from which on the upper half is larger by one
    size_t n_carry, cap_carry;
    struct lorac_line_jump *jumps;
    size_t n_jumps, cap_jumps;
    struct lorac_tally blank_lines, long_cells;
};

/* A parser set up for the format; csv_free() it. */
LORAC_MUST_CHECK enum lorac_status lorac_csv_begin(struct csv_parser *p,
                                                   const struct lorac_table_format *f,
                                                   struct lorac_err *err);
/* The offset of row i; of i = rows, the end of the text. */
size_t lorac_table_offset(const struct lorac_table *t, size_t i);
/* Where the name of column c stands: line and character, from 1. */
void lorac_table_place(unsigned long long place[2], const struct lorac_table *t, size_t c);
enum lorac_status lorac_table_no_memory(const struct lorac_table *t, struct lorac_err *err);
/* Another column; false: no memory. */
LORAC_MUST_CHECK bool lorac_table_add_name(struct lorac_table *t, const char *name, size_t n);
/* Another row, which begins at byte `at` on this line. */
LORAC_MUST_CHECK enum lorac_status lorac_table_add_row(struct lorac_table *t, size_t at,
                                                       uint64_t line, struct lorac_err *err);
/* Of CSV: check every byte of the text and fill names, columns, row_at, jumps. */
LORAC_MUST_CHECK enum lorac_status lorac_table_index(struct lorac_table *t, struct lorac_err *err);

#endif
