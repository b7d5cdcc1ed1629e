/* foreign.h - inside datasets/: files that are no tables, known by their content. */
#ifndef LORAC_DATASETS_FOREIGN_H
#define LORAC_DATASETS_FOREIGN_H

#include "base/core/err.h"
#include <stdbool.h>
#include <stddef.h>

/* LORAC_EFORMAT that says what the file is and what makes a table of it: JSON and JSON lines,
 * spreadsheets, archives, Parquet, web pages, pointers of Git LFS. */
LORAC_MUST_CHECK enum lorac_status lorac_foreign_table(const char *bytes, size_t n,
                                                       const char *file, struct lorac_err *err);
/* The same for JSON lines, which lists of JSON and UTF-16 are not. */
LORAC_MUST_CHECK enum lorac_status lorac_foreign_lines(const char *bytes, size_t n,
                                                       const char *file, struct lorac_err *err);
/* The same for plain text, which JSON and web pages are. */
LORAC_MUST_CHECK enum lorac_status lorac_foreign_text(const char *bytes, size_t n, const char *file,
                                                      struct lorac_err *err);

#endif
