/* scratch.h - a file without a name, for what memory has no room for. It is gone with the process,
 * however that ends: nobody finds it, and nobody believes what it holds. */
#ifndef LORAC_BASE_CORE_SCRATCH_H
#define LORAC_BASE_CORE_SCRATCH_H

#include "base/core/err.h"
#include "base/core/file.h"
#include <stddef.h>

/* The folder for what belongs to no run: TMPDIR, else /var/tmp where it can be written: /tmp may
 * itself be memory. */
const char *lorac_scratch_dir(void);
/* Bytes that such a file could have in the folder `dir`, which may still have to be made: what the
 * file system has left, as far as that is known, and the process may write. */
size_t lorac_scratch_room(const char *dir);
/* A file of `bytes` bytes in `dir`, all of which the disk has room for from now on; of 0, one that
 * grows as it is written. */
LORAC_MUST_CHECK enum lorac_status lorac_scratch_open(int *fd, const char *dir, size_t bytes,
                                                      struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_scratch_write(int fd, const void *bytes, size_t n,
                                                       size_t at, struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_scratch_read(void *bytes, size_t n, int fd, size_t at,
                                                      struct lorac_err *err);
/* Its first n > 0 bytes, mapped read-only: they stay when the file is closed. */
LORAC_MUST_CHECK enum lorac_status lorac_scratch_map(struct lorac_map *out, int fd, size_t n,
                                                     struct lorac_err *err);
void lorac_scratch_close(int fd); // -1 is accepted

#endif
