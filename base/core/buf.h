/* buf.h - bytes that grow: the one string builder. Zeroed = empty. Always NUL-terminated once used.
 */
#ifndef LORAC_BASE_CORE_BUF_H
#define LORAC_BASE_CORE_BUF_H

#include "base/core/api.h"
#include <stdbool.h>
#include <stddef.h>

LORAC_API_BEGIN

struct lorac_buf {
    char *at;       // owned; NULL while nothing was added
    size_t n;       // bytes used, without the NUL
    size_t cap;     // bytes allocated
    bool no_memory; // an addition failed; later ones do nothing. Check once, at the end.
};

void lorac_buf_add(struct lorac_buf *b, const void *bytes, size_t n);
/* n more bytes, for the caller to write; NULL: no memory. */
char *lorac_buf_room(struct lorac_buf *b, size_t n);
void lorac_buf_str(struct lorac_buf *b, const char *s);
void lorac_buf_printf(struct lorac_buf *b, const char *fmt, ...) LORAC_PRINTF(2, 3);
/* A word of a command that someone will copy into a shell: as it is, or quoted where a character
 * could mean more. */
void lorac_buf_word(struct lorac_buf *b, const char *word);
/* `s` (n bytes of UTF-8) as a quoted JSON string. */
void lorac_buf_json(struct lorac_buf *b, const char *s, size_t n);
/* The same as a quoted cell of CSV. A NUL, which no table can hold, is U+FFFD. */
void lorac_buf_csv(struct lorac_buf *b, const char *s, size_t n);
void lorac_buf_clear(struct lorac_buf *b); // n = 0, keeps the memory
void lorac_buf_free(struct lorac_buf *b);

LORAC_API_END

#endif
