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
    const char *data;     // (size) the file, byte order mark included
    size_t size;
    struct lorac_table_format format;
    char **names; // (n_names) columns
    size_t n_names, columns;
    uint64_t *row_at; // (rows) offset of each row
    size_t rows, cap_rows;
    struct lorac_line_jump *jumps;
    size_t n_jumps, cap_jumps;
    size_t blank_lines;
};

/* A parser set up for the format; csv_free() it. */
LORAC_MUST_CHECK enum lorac_status lorac_csv_begin(struct csv_parser *p,
                                                   const struct lorac_table_format *f,
                                                   struct lorac_err *err);
/* Check every byte of the file and fill names, columns, row_at, jumps. */
LORAC_MUST_CHECK enum lorac_status lorac_table_index(struct lorac_table *t, struct lorac_err *err);

#endif
