/*
 * datasets.h - a table of text becomes packed batches.
 *
 *   reviews.csv --table--> cells --template--> stretches --tokenizer--> ids, each trained or not
 *                                                                        |
 *   micro-batches without padding  <--loader--  lengths of all rows  <---+  dataset
 *
 * Rules that hold everywhere:
 *   - a cell is text, whatever it looks like: no NA words, no numbers, no trimming;
 *   - nothing is left out in silence: every row is used, or counted under a reason with its line number,
 *     or the reason is an error that names the line;
 *   - the prompt is tokenised on its own, exactly as for generation, and the completion on its own as its
 *     continuation; so no token ever straddles the two, and what is trained is decided on ids;
 *   - the last token that is trained is EOS (append_eos), appended as an id and never twice;
 *   - order, split and batches are functions of the seed; a loader's state is two numbers.
 *
 * Options are plain structs that the caller fills; strings in them are borrowed for the call only,
 * unless a comment says otherwise. Objects are immutable once open (the loader, the row and example
 * buffers are not); several threads may read one table or dataset through buffers of their own.
 */
#ifndef LORAC_DATASETS_DATASETS_H
#define LORAC_DATASETS_DATASETS_H

#include "base/batch.h"
#include "base/core/err.h"
#include "base/tokenizer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- tables -------------------------------------------------------------------------------------
 * CSV as RFC 4180 has it, strictly: a field with the delimiter, a quote or a line end is quoted, and a
 * quote in it doubled. Lines end with LF, CRLF or CR. UTF-8, its byte order mark removed. Every row has
 * as many fields as the first one. Lines with nothing at all in them are no rows, whatever the number
 * of columns (an empty cell of a single column is written ""); they are counted.
 * Limits: 4096 columns, 16 MiB a field, 2^32 - 2 rows. Errors read "FILE:LINE:COLUMN: ...", lines and
 * characters counted from 1. Opening reads the mapped file once and keeps 8 bytes a row (16 more where a
 * row spans lines); cells are parsed on demand, so a table may be larger than memory. */
enum { LORAC_MAX_COLUMNS = 4096, LORAC_MAX_FIELD = 16 << 20 };

struct lorac_table;

struct lorac_table_format {
    char delimiter; // one ASCII character: ',' ';' '\t' ...
    char quote;     // one ASCII character, or 0: quotes are characters like any other
    bool header;    // the first row names the columns; otherwise they are "1", "2", ...
};

struct lorac_cell {
    const char *at; // UTF-8, not NUL-terminated
    size_t n;       // bytes
};

/* The cells of one row. Zeroed = empty; owns what they point to (lorac_row_free). */
struct lorac_row {
    const struct lorac_cell *cells; // (n) valid until the next row is read into this struct
    size_t n;                       // the table's columns
    uint64_t line;                  // where the row begins
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
size_t lorac_table_blank_lines(const struct lorac_table *t);
size_t lorac_table_memory(const struct lorac_table *t); // bytes that the index takes
const char *lorac_table_column_name(const struct lorac_table *t, size_t c);
/* A column by its name, else by its number from 1. A name that no column has is LORAC_EUSER with those
 * that there are. */
LORAC_MUST_CHECK enum lorac_status lorac_table_column_find(size_t *out, const struct lorac_table *t,
                                                           const char *name, struct lorac_err *err);
uint64_t lorac_table_line(const struct lorac_table *t, size_t i); // where row i begins
/* Read row i. Allocates only where a row is longer than all before it in this buffer. */
LORAC_MUST_CHECK enum lorac_status lorac_table_row(struct lorac_row *row,
                                                   const struct lorac_table *t, size_t i,
                                                   struct lorac_err *err);
void lorac_row_free(struct lorac_row *row); // what it owns, not the struct

/* ---- classes and splits ------------------------------------------------------------------------- */

/* The distinct values of a column, in order of first appearance. */
struct lorac_classes {
    size_t K;         // values
    char **value;     // (K) NUL-terminated
    size_t *count;    // (K) rows of each
    uint32_t *of_row; // (rows of the table)
};
/* More than `max` distinct values are LORAC_EUSER: the column holds free text. */
LORAC_MUST_CHECK enum lorac_status lorac_classes_find(struct lorac_classes *out,
                                                      const struct lorac_table *t, size_t column,
                                                      size_t max, struct lorac_err *err);
void lorac_classes_free(struct lorac_classes *c);

/* Row indices, both lists ascending, together every row once. */
struct lorac_split {
    uint32_t *rest, *part; // (n_rest), (n_part)
    size_t n_rest, n_part;
};
/* Put round(n * fraction) of n rows into `part`, drawn by `seed` (stream "split"). With `classes` each
 * value gets its share: floor(n_k * fraction), and what is missing to the total goes to the largest
 * remainders (ties: the earlier class). An empty half is LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_split_make(struct lorac_split *out, size_t n,
                                                    double fraction,
                                                    const struct lorac_classes *classes,
                                                    uint64_t seed, struct lorac_err *err);
void lorac_split_free(struct lorac_split *s);

#endif
