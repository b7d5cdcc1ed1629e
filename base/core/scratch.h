/* scratch.h - a file without a name, for what memory has no room for. It is gone with the process,
 * however that ends: nobody finds it, and nobody believes what it holds. */
#ifndef LORAC_BASE_CORE_SCRATCH_H
#define LORAC_BASE_CORE_SCRATCH_H

#include "base/core/err.h"
#include <stddef.h>

/* Bytes that such a file could have in the folder `dir`, which may still have to be made: what the
 * file system has left, as far as that is known, and the process may write. */
size_t lorac_scratch_room(const char *dir);
/* A file of `bytes` bytes in `dir`, all of which the disk has room for from now on. */
LORAC_MUST_CHECK enum lorac_status lorac_scratch_open(int *fd, const char *dir, size_t bytes,
                                                      struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_scratch_write(int fd, const void *bytes, size_t n,
                                                       size_t at, struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_scratch_read(void *bytes, size_t n, int fd, size_t at,
                                                      struct lorac_err *err);
void lorac_scratch_close(int fd); // -1 is accepted

#endif
