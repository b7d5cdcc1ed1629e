/* encoding.h - inside datasets/: files that are not UTF-8. */
#ifndef LORAC_DATASETS_ENCODING_H
#define LORAC_DATASETS_ENCODING_H

#include "datasets/datasets.h"

/* What a message about a byte that is not UTF-8 goes on with. */
const char *lorac_encoding_hint(const char *bytes, size_t n);

/* Bytes of UTF-8 that are decoded, and written, at a time. */
enum { LORAC_DECODE_BLOCK = 1 << 14 };
/* Make UTF-8 of t->data, with the byte order mark that it had, where it is of another encoding: it
 * goes to a file without a name (scratch.h), whose map takes the place of t->map. Bytes that
 * plainly are of another encoding than the one asked for are LORAC_EFORMAT with the key to set; so
 * is one that does not fit, with its place. LORAC_EIO: the file cannot be made. */
LORAC_MUST_CHECK enum lorac_status lorac_table_decode(struct lorac_table *t, struct lorac_err *err);

#endif
