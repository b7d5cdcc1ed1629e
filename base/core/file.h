/*
 * file.h - the only door to the file system: maps, whole reads, atomic writes, folders.
 *
 * Every message names the path. Nothing here knows what the bytes mean.
 *
 * A file that is written appears whole or not at all:
 *
 *   lorac_out_open("x")   creates  x.tmp-PID  beside it
 *   lorac_out_write(...)  appends
 *   lorac_out_commit()    fsync, rename to x, fsync of the folder
 *
 * and anything else (an error, lorac_out_free without commit) removes the temporary file.
 */
#ifndef LORAC_BASE_CORE_FILE_H
#define LORAC_BASE_CORE_FILE_H

#include "base/core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

LORAC_API_BEGIN

/* A file mapped read-only. `data` is NULL only when `size` is 0. */
struct lorac_map {
    const unsigned char *data;
    size_t size;
};

/* Map the regular file at `path`. An empty file gives size 0. Pages are shared by all processes. */
LORAC_MUST_CHECK enum lorac_status lorac_map_open(struct lorac_map *out, const char *path,
                                                  struct lorac_err *err);
void lorac_map_close(struct lorac_map *map); // NULL and zeroed are accepted
/* Let go of the pages that reading brought into memory; they come again when they are read. A long
 * read does so each LORAC_MAP_READ bytes, so that a file of any size takes no more memory of this
 * process. Other threads may read meanwhile. */
enum { LORAC_MAP_READ = 4 << 20 };
void lorac_map_forget(const struct lorac_map *map);

/* LORAC_EFORMAT where the bytes are the few lines that a clone without Git LFS has in place of a
 * large file. */
LORAC_MUST_CHECK enum lorac_status lorac_lfs_check(const unsigned char *bytes, size_t n,
                                                   const char *path, struct lorac_err *err);

/* Read at most `limit` bytes of a file into a new NUL-terminated block (lorac_mem_free).
 * A longer file, and a Git LFS pointer, are LORAC_EFORMAT: limits keep a damaged or wrong file from
 * filling memory. */
LORAC_MUST_CHECK enum lorac_status lorac_file_read(char **out, size_t *size, const char *path,
                                                   size_t limit, struct lorac_err *err);

/* A file being written atomically. Opaque: it owns a descriptor, a buffer and two names. */
struct lorac_out;
LORAC_MUST_CHECK enum lorac_status lorac_out_open(struct lorac_out **out, const char *path,
                                                  struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_out_write(struct lorac_out *out, const void *bytes,
                                                   size_t n, struct lorac_err *err);
/* The same for the beginning of a file, which is kept and read back before the file appears: for
 * headers, whose names and metadata nobody else compares. */
LORAC_MUST_CHECK enum lorac_status lorac_out_write_head(struct lorac_out *out, const void *bytes,
                                                        size_t n, struct lorac_err *err);
/* Make the file appear. Also frees `out`, whatever the result. */
LORAC_MUST_CHECK enum lorac_status lorac_out_commit(struct lorac_out *out, struct lorac_err *err);
void lorac_out_free(struct lorac_out *out); // abandon: the temporary file is removed

/* All of `bytes` as the file at `path`, atomically, read back and compared before it appears. */
LORAC_MUST_CHECK enum lorac_status lorac_file_write(const char *path, const void *bytes, size_t n,
                                                    struct lorac_err *err);
/* Add bytes to the end of a file, which is made where it is missing. For logs: not atomic. */
LORAC_MUST_CHECK enum lorac_status lorac_file_append(const char *path, const void *bytes, size_t n,
                                                     struct lorac_err *err);
/* Remove a file. A missing one is fine. */
LORAC_MUST_CHECK enum lorac_status lorac_file_remove(const char *path, struct lorac_err *err);
/* Give a finished file its name, in place of one that has it. */
LORAC_MUST_CHECK enum lorac_status lorac_file_replace(const char *to, const char *from,
                                                      struct lorac_err *err);
/* Copy a file byte for byte, atomically. */
LORAC_MUST_CHECK enum lorac_status lorac_file_copy(const char *to, const char *from,
                                                   struct lorac_err *err);

/* A lock that one process holds at a time; gone with the process, however it ends. LORAC_EUSER:
 * another has it. *fd: hand it to lorac_lock_close(). The file stays. */
LORAC_MUST_CHECK enum lorac_status lorac_lock_open(int *fd, const char *path,
                                                   struct lorac_err *err);
void lorac_lock_close(int fd); // -1 is accepted

/* "dir/name" as a new string (lorac_mem_free); `name` alone where it is absolute or dir is "". */
char *lorac_path_join(const char *dir, const char *name); // NULL: out of memory
/* The same into memory of the caller's; returns it. No system takes a path that is longer: one that
 * had to be cut names nothing, and whoever opens or makes it says so. */
enum { LORAC_PATH = 4096 + 64 };
const char *lorac_path_in(char to[LORAC_PATH], const char *dir, const char *name);
/* The folder part of `path` as a new string; "." where it has none. */
char *lorac_path_dir(const char *path); // NULL: out of memory

/* `path` from the root, as a new string (lorac_mem_free): the current folder in front of a relative
 * one, without its leading "./"; "." gives the current folder. ".." and links stay as they are. */
LORAC_MUST_CHECK enum lorac_status lorac_path_absolute(char **out, const char *path,
                                                       struct lorac_err *err);

bool lorac_path_exists(const char *path); // also of a link whose end is missing: opening it says so
bool lorac_path_is_dir(const char *path);
bool lorac_path_holds(const char *dir, const char *name); // is there such a name in the folder?
/* True where the folder holds nothing, or does not exist; false also where it cannot be listed. */
bool lorac_dir_is_empty(const char *path);
/* Create a folder and its parents; an existing folder is fine. */
LORAC_MUST_CHECK enum lorac_status lorac_dir_make(const char *path, struct lorac_err *err);
/* Rename, replacing `to`; both in one file system. A folder `to` that exists is first moved aside
 * and removed once the new one stands, so that at every moment one whole folder has the name, or
 * the name's ".old" has. */
LORAC_MUST_CHECK enum lorac_status lorac_dir_replace(const char *to, const char *from,
                                                     struct lorac_err *err);
/* Remove a folder with the files and folders in it. A missing folder is fine. */
LORAC_MUST_CHECK enum lorac_status lorac_dir_remove(const char *path, struct lorac_err *err);
/* The names in a folder, sorted, without "." and "..": one NULL-terminated block (lorac_mem_free).
 */
LORAC_MUST_CHECK enum lorac_status lorac_dir_list(char ***out, const char *path,
                                                  struct lorac_err *err);

LORAC_API_END

#endif
