/* encoding.h - inside datasets/: files that are not UTF-8. */
#ifndef LORAC_DATASETS_ENCODING_H
#define LORAC_DATASETS_ENCODING_H

#include "datasets/datasets.h"

/* What a message about a byte that is not UTF-8 goes on with. */
const char *lorac_encoding_hint(const char *bytes, size_t n);

/* *out (*n_out bytes; NULL where the bytes are UTF-8 already) is the file's text as UTF-8, with the
 * byte order mark that it had; release it with lorac_mem_free(). Bytes that plainly are of another
 * encoding than the one asked for are LORAC_EFORMAT with the key to set; so is one that does not
 * fit, with its place. */
LORAC_MUST_CHECK enum lorac_status lorac_text_to_utf8(char **out, size_t *n_out, const char *bytes,
                                                      size_t n, enum lorac_encoding encoding,
                                                      const char *file, struct lorac_err *err);

#endif
