/* table.h - inside datasets/: what table.c (reading) and table_index.c (opening) share. */
#ifndef LORAC_DATASETS_TABLE_H
#define LORAC_DATASETS_TABLE_H

#include "base/core/file.h"
#include "datasets/datasets.h"
#include <csv.h>

/* From `row` on, rows begin on consecutive lines, the first of them on `line`. */
struct lorac_line_jump {
    uint64_t row, line;
};

struct lorac_table {
    char *file;
    struct lorac_map map; // zeroed where the bytes are the caller's
    char *decoded;        // the file as UTF-8 where it is of another encoding; owned
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
/* Check every byte of the text and fill names, columns, row_at, jumps. */
LORAC_MUST_CHECK enum lorac_status lorac_table_index(struct lorac_table *t, struct lorac_err *err);

#endif
