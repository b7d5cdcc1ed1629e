/* file.c - see file.h. Every system call stands behind refused(), so that tests can fail each one.
 */
#define _GNU_SOURCE // O_CLOEXEC, fdatasync, renameat
#include "base/core/file.h"

#include "base/core/buf.h"
#include "base/core/fault.h"
#include "base/core/mem.h"
#include "base/core/number.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUT_BUFFER = 1 << 16, MAX_DEPTH = 16 };

struct lorac_out {
    int fd;
    char *path, *temp;     // owned
    struct lorac_buf head; // what is read back
    size_t n;              // bytes waiting in `buffer`
    unsigned char buffer[OUT_BUFFER];
};

static _Atomic long wrong_at = -1; // tests only, see fault.h

void lorac_sys_wrong_byte(long offset)
{
    wrong_at = offset;
}

static bool refused(void)
{
    return lorac_sys_refused();
}

/* write(2), but for what tests ask for. */
static ssize_t put(int fd, const void *bytes, size_t n)
{
    if (refused()) { return -1; }
    long at = wrong_at;
    if (at == 0) {
        unsigned char wrong = *(const unsigned char *)bytes ^ 1U;
        wrong_at = -1;
        return write(fd, &wrong, 1);
    }
    ssize_t done = write(fd, bytes, at > 0 && (size_t)at < n ? (size_t)at : n);
    if (at > 0 && done > 0) { wrong_at = at - done; }
    return done;
}

static const char *reason(char *text, size_t n)
{
    return strerror_r(errno, text, n); // the GNU form: returns the text
}

static enum lorac_status io_fail(struct lorac_err *err, const char *path, const char *what)
{
    char text[128];
    return lorac_fail(err, LORAC_EIO, "%s: cannot %s: %s", path, what, reason(text, sizeof text));
}

/* A file that cannot be opened; of a link whose end is missing, the end is what is missing. */
static void open_fail(struct lorac_err *err, const char *path)
{
    char target[256] = "";
    ssize_t n = errno == ENOENT ? readlink(path, target, sizeof target - 1) : -1;
    if (n < 0) {
        (void)io_fail(err, path, "open");
        return;
    }
    (void)lorac_fail(
        err, LORAC_EIO,
        "%s: is a link to %s, which is not there: a download that was not finished, or a "
        "file that was moved",
        path, target);
}

/* Open a regular file for reading and learn its size; -1 with the error set otherwise. */
static int open_regular(const char *path, size_t *size, struct lorac_err *err)
{
    int fd = refused() ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0) {
        open_fail(err, path);
    } else if (refused() || fstat(fd, &st) != 0) {
        (void)io_fail(err, path, "read its size");
    } else if (!S_ISREG(st.st_mode)) {
        (void)lorac_fail(err, LORAC_EIO, "%s: is %s, not a file", path,
                         S_ISDIR(st.st_mode) ? "a folder" : "a device or pipe");
    } else {
        *size = (size_t)st.st_size;
        return fd;
    }
    if (fd >= 0) { close(fd); }
    return -1;
}

enum lorac_status lorac_lfs_check(const unsigned char *bytes, size_t n, const char *path,
                                  struct lorac_err *err)
{
    static const char begin[] = "version https://git-lfs.github.com/spec/";
    bool pointer = n >= sizeof begin && n < 1024 && memcmp(bytes, begin, sizeof begin - 1) == 0;
    return !pointer
               ? LORAC_OK
               : lorac_fail(err, LORAC_EFORMAT,
                            "%s: is a Git LFS pointer, not the file that it stands for; `git lfs "
                            "pull` in that folder fetches it",
                            path);
}

enum lorac_status lorac_map_open(struct lorac_map *out, const char *path, struct lorac_err *err)
{
    *out = (struct lorac_map){0};
    size_t size = 0;
    int fd = open_regular(path, &size, err);
    if (fd < 0) { return LORAC_EIO; }
    enum lorac_status st = LORAC_OK;
    if (size > 0) {
        void *p = refused() ? MAP_FAILED : mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        st = p == MAP_FAILED ? io_fail(err, path, "map") : LORAC_OK;
        if (!st) { *out = (struct lorac_map){p, size}; }
    }
    close(fd);
    return st;
}

/* munmap and madvise take a pointer to non-const, but write nothing. */
static void *address_of(const struct lorac_map *map)
{
    return (void *)(uintptr_t)map->data;
}

void lorac_map_forget(const struct lorac_map *map)
{
    if (map->data) { (void)madvise(address_of(map), map->size, MADV_DONTNEED); }
}

void lorac_map_close(struct lorac_map *map)
{
    if (map && map->data) { munmap(address_of(map), map->size); }
    if (map) { *map = (struct lorac_map){0}; }
}

enum lorac_status lorac_file_read(char **out, size_t *size, const char *path, size_t limit,
                                  struct lorac_err *err)
{
    *out = NULL;
    *size = 0;
    struct lorac_map map;
    enum lorac_status st = lorac_map_open(&map, path, err);
    if (st) { return st; }
    st = lorac_lfs_check(map.data, map.size, path, err);
    if (st) { goto done; }
    if (map.size > limit) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: holds %zu bytes, at most %zu are accepted", path,
                        map.size, limit);
        goto done;
    }
    *out = lorac_mem_new(map.size + 1, 1);
    if (!*out) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory for %zu bytes", path, map.size);
        goto done;
    }
    if (map.size) { memcpy(*out, map.data, map.size); }
    *size = map.size;
done:
    lorac_map_close(&map);
    return st;
}

enum lorac_status lorac_out_open(struct lorac_out **out, const char *path, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_out *o = lorac_mem_new(1, sizeof *o);
    size_t n = strlen(path) + 32;
    if (o) {
        o->fd = -1;
        o->path = lorac_mem_new(n, 1);
        o->temp = lorac_mem_new(n, 1);
    }
    if (!o || !o->path || !o->temp) {
        lorac_out_free(o);
        return lorac_fail(err, LORAC_ENOMEM, "%s: no memory to write it", path);
    }
    snprintf(o->path, n, "%s", path);
    snprintf(o->temp, n, "%s.tmp-%ld", path, (long)getpid());
    o->fd = refused() ? -1 : open(o->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (o->fd < 0) {
        enum lorac_status st = io_fail(err, path, "create");
        o->temp[0] = '\0'; // nothing to remove
        lorac_out_free(o);
        return st;
    }
    *out = o;
    return LORAC_OK;
}

static enum lorac_status write_all(struct lorac_out *out, const unsigned char *bytes, size_t n,
                                   struct lorac_err *err)
{
    while (n > 0) {
        ssize_t done = put(out->fd, bytes, n);
        if (done < 0 && errno == EINTR) { continue; }
        if (done <= 0) { return io_fail(err, out->path, "write"); }
        bytes += done;
        n -= (size_t)done;
    }
    return LORAC_OK;
}

static enum lorac_status flush(struct lorac_out *out, struct lorac_err *err)
{
    size_t n = out->n;
    out->n = 0;
    return write_all(out, out->buffer, n, err);
}

enum lorac_status lorac_out_write(struct lorac_out *out, const void *bytes, size_t n,
                                  struct lorac_err *err)
{
    if (n > OUT_BUFFER - out->n) {
        enum lorac_status st = flush(out, err);
        if (st) { return st; }
    }
    if (n > OUT_BUFFER) { return write_all(out, bytes, n, err); }
    if (n) { memcpy(out->buffer + out->n, bytes, n); }
    out->n += n;
    return LORAC_OK;
}

enum lorac_status lorac_out_write_head(struct lorac_out *out, const void *bytes, size_t n,
                                       struct lorac_err *err)
{
    lorac_buf_add(&out->head, bytes, n);
    if (out->head.no_memory) {
        return lorac_fail(err, LORAC_ENOMEM, "%s: no memory to write it", out->path);
    }
    return lorac_out_write(out, bytes, n, err);
}

/* A rename is on disk only when its folder is. */
static enum lorac_status sync_folder_of(const char *path, struct lorac_err *err)
{
    char *dir = lorac_path_dir(path);
    if (!dir) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path); }
    enum lorac_status st = LORAC_OK;
    int fd = refused() ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || refused() || fsync(fd) != 0) { st = io_fail(err, dir, "write the folder"); }
    if (fd >= 0) { close(fd); }
    lorac_mem_free(dir);
    return st;
}

/* All bytes on disk, under the temporary name. */
static enum lorac_status finish(struct lorac_out *out, struct lorac_err *err)
{
    enum lorac_status st = flush(out, err);
    if (!st && (refused() || fsync(out->fd) != 0)) { st = io_fail(err, out->path, "write"); }
    if (!st && (refused() || close(out->fd) != 0)) { st = io_fail(err, out->path, "close"); }
    if (!st) { out->fd = -1; }
    return st;
}

static enum lorac_status appear(struct lorac_out *out, struct lorac_err *err)
{
    enum lorac_status st = lorac_file_replace(out->path, out->temp, err);
    if (!st) { out->temp[0] = '\0'; } // it has the final name now
    return st;
}

/* Does the file read back with these bytes at its beginning, or as these and no others? */
static enum lorac_status read_back(const struct lorac_out *out, const void *bytes, size_t n,
                                   bool whole, struct lorac_err *err)
{
    struct lorac_map map = {0};
    enum lorac_status st = lorac_map_open(&map, out->temp, err);
    bool fits = whole ? map.size == n : map.size >= n;
    if (!st && (!fits || (n && memcmp(map.data, bytes, n) != 0))) {
        st = lorac_fail(err, LORAC_EIO, "%s: reads back with other bytes than were written",
                        out->path);
    }
    lorac_map_close(&map);
    return st;
}

enum lorac_status lorac_out_commit(struct lorac_out *out, struct lorac_err *err)
{
    enum lorac_status st = finish(out, err);
    if (!st && out->head.n) { st = read_back(out, out->head.at, out->head.n, false, err); }
    if (!st) { st = appear(out, err); }
    lorac_out_free(out);
    return st;
}

void lorac_out_free(struct lorac_out *out)
{
    if (!out) { return; }
    if (out->fd >= 0) { close(out->fd); }
    if (out->temp && out->temp[0]) { unlink(out->temp); }
    lorac_mem_free(out->path);
    lorac_mem_free(out->temp);
    lorac_buf_free(&out->head);
    lorac_mem_free(out);
}

enum lorac_status lorac_file_write(const char *path, const void *bytes, size_t n,
                                   struct lorac_err *err)
{
    struct lorac_out *out = NULL;
    enum lorac_status st = lorac_out_open(&out, path, err);
    if (!st) { st = lorac_out_write(out, bytes, n, err); }
    if (!st) { st = finish(out, err); }
    if (!st) { st = read_back(out, bytes, n, true, err); }
    if (!st) { st = appear(out, err); }
    lorac_out_free(out);
    return st;
}

enum lorac_status lorac_file_append(const char *path, const void *bytes, size_t n,
                                    struct lorac_err *err)
{
    const char *at = bytes;
    enum lorac_status st = LORAC_OK;
    int fd = refused() ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) { return io_fail(err, path, "open"); }
    while (n > 0 && !st) {
        ssize_t done = put(fd, at, n);
        if (done < 0 && errno == EINTR) { continue; }
        if (done <= 0) {
            st = io_fail(err, path, "write");
            break;
        }
        at += done;
        n -= (size_t)done;
    }
    if (close(fd) != 0 && !st) { st = io_fail(err, path, "close"); }
    return st;
}

enum lorac_status lorac_file_remove(const char *path, struct lorac_err *err)
{
    if (refused() || (unlink(path) != 0 && errno != ENOENT)) {
        return io_fail(err, path, "remove");
    }
    return LORAC_OK;
}

enum lorac_status lorac_file_replace(const char *to, const char *from, struct lorac_err *err)
{
    if (refused() || rename(from, to) != 0) {
        return io_fail(err, to, "rename the finished file to this name");
    }
    return sync_folder_of(to, err);
}

enum lorac_status lorac_lock_open(int *fd, const char *path, struct lorac_err *err)
{
    *fd = refused() ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0) { return io_fail(err, path, "open"); }
    if (refused() || flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        enum lorac_status st =
            errno == EWOULDBLOCK
                ? lorac_fail(err, LORAC_EUSER, "%s: another process works in this folder", path)
                : io_fail(err, path, "lock");
        close(*fd);
        *fd = -1;
        return st;
    }
    return LORAC_OK;
}

void lorac_lock_close(int fd)
{
    if (fd >= 0) { close(fd); }
}

enum lorac_status lorac_file_copy(const char *to, const char *from, struct lorac_err *err)
{
    struct lorac_map map;
    enum lorac_status st = lorac_map_open(&map, from, err);
    if (st) { return st; }
    st = lorac_file_write(to, map.data, map.size, err);
    lorac_map_close(&map);
    return st;
}

static void join(char *to, size_t size, const char *dir, const char *name)
{
    size_t n = strlen(dir);
    bool alone = n == 0 || name[0] == '/';
    const char *slash = !alone && dir[n - 1] != '/' ? "/" : "";
    (void)snprintf(to, size, "%s%s%s", alone ? "" : dir, slash, name);
}

char *lorac_path_join(const char *dir, const char *name)
{
    size_t size = strlen(dir) + strlen(name) + 2;
    char *path = lorac_mem_new(size, 1);
    if (path) { join(path, size, dir, name); }
    return path;
}

const char *lorac_path_in(char to[LORAC_PATH], const char *dir, const char *name)
{
    join(to, LORAC_PATH, dir, name);
    return to;
}

char *lorac_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    char *dir = lorac_mem_new(n + 2, 1);
    if (!dir) { return NULL; }
    if (n) {
        memcpy(dir, path, n);
    } else {
        dir[0] = slash ? '/' : '.';
    }
    return dir;
}

enum lorac_status lorac_path_absolute(char **out, const char *path, struct lorac_err *err)
{
    char here[4096] = "";
    *out = NULL;
    if (path[0] != '/' && (refused() || !getcwd(here, sizeof here))) {
        return io_fail(err, path, "find the current folder");
    }
    while (path[0] == '.' && path[1] == '/') {
        path += 2 + strspn(path + 2, "/");
    }
    bool is_here = !path[0] || strcmp(path, ".") == 0;
    *out = is_here ? lorac_mem_string(here, strlen(here)) : lorac_path_join(here, path);
    return *out ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path);
}

bool lorac_path_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

bool lorac_path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool lorac_path_holds(const char *dir, const char *name)
{
    char path[LORAC_PATH];
    return lorac_path_exists(lorac_path_in(path, dir, name));
}

bool lorac_dir_is_empty(const char *path)
{
    char **names = NULL;
    if (!lorac_path_exists(path)) { return true; }
    bool empty = lorac_dir_list(&names, path, NULL) == LORAC_OK && !names[0];
    lorac_mem_free(names);
    return empty;
}

enum lorac_status lorac_dir_make(const char *path, struct lorac_err *err)
{
    size_t n = strlen(path);
    char *part = lorac_mem_new(n + 1, 1);
    if (!part) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path); }
    enum lorac_status st = LORAC_OK;
    for (size_t i = 1; i <= n && !st; i++) { // "a", "a/b", "a/b/c"
        if (i < n && path[i] != '/') { continue; }
        memcpy(part, path, i);
        part[i] = '\0';
        if (lorac_path_is_dir(part)) { continue; }
        if (refused() || (mkdir(part, 0777) != 0 && errno != EEXIST)) {
            st = io_fail(err, part, "make the folder");
        } else if (!lorac_path_is_dir(part)) {
            st = lorac_fail(err, LORAC_EIO, "%s: is a file, a folder is needed", part);
        }
    }
    lorac_mem_free(part);
    return st;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum lorac_status lorac_dir_list(char ***out, const char *path, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_buf names = {0}; // "a\0b\0c\0"
    size_t count = 0;
    DIR *dir = refused() ? NULL : opendir(path);
    if (!dir) { return io_fail(err, path, "list the folder"); }
    // readdir is safe here: nobody else has this DIR
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) { // NOLINT(concurrency-mt-unsafe)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            lorac_buf_add(&names, e->d_name, strlen(e->d_name) + 1);
            count++;
        }
    }
    closedir(dir);
    size_t table = (count + 1) * sizeof(char *);
    char *block = names.no_memory ? NULL : lorac_mem_new(table + names.n, 1);
    if (block) {
        char **list = (char **)(void *)block;
        char *text = block + table;
        if (names.n) { memcpy(text, names.at, names.n); }
        for (size_t i = 0; i < count; i++) {
            list[i] = text;
            text += strlen(text) + 1;
        }
        qsort(list, count, sizeof *list, by_name);
        *out = list;
    }
    lorac_buf_free(&names);
    return *out ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "%s: no memory to list it", path);
}

// recursion ends at MAX_DEPTH
static enum lorac_status remove_tree(const char *path, int depth, // NOLINT(misc-no-recursion)
                                     struct lorac_err *err)
{
    if (depth > MAX_DEPTH) { return lorac_fail(err, LORAC_EIO, "%s: is nested too deep", path); }
    char **names = NULL;
    enum lorac_status st = lorac_dir_list(&names, path, err);
    for (size_t i = 0; !st && names[i]; i++) {
        char child[LORAC_PATH];
        struct stat info;
        if (lstat(lorac_path_in(child, path, names[i]), &info) == 0 && S_ISDIR(info.st_mode)) {
            st = remove_tree(child, depth + 1, err);
        } else if (refused() || unlink(child) != 0) {
            st = io_fail(err, child, "remove");
        }
    }
    lorac_mem_free(names);
    if (!st && (refused() || rmdir(path) != 0)) { st = io_fail(err, path, "remove"); }
    return st;
}

enum lorac_status lorac_dir_remove(const char *path, struct lorac_err *err)
{
    return lorac_path_exists(path) ? remove_tree(path, 0, err) : LORAC_OK;
}

enum lorac_status lorac_dir_replace(const char *to, const char *from, struct lorac_err *err)
{
    char old[LORAC_PATH];
    (void)snprintf(old, sizeof old, "%s.old", to);
    enum lorac_status st = LORAC_OK;
    bool had = lorac_path_exists(to);
    if (had) {
        st = lorac_dir_remove(old, err);
        if (!st && (refused() || rename(to, old) != 0)) { st = io_fail(err, to, "move aside"); }
    }
    if (!st && (refused() || rename(from, to) != 0)) {
        st = io_fail(err, to, "rename the finished folder to this name");
        if (had && rename(old, to) != 0) { st = io_fail(err, old, "move back"); }
    }
    if (!st) { st = sync_folder_of(to, err); }
    if (!st && had) { st = lorac_dir_remove(old, err); }
    return st;
}
