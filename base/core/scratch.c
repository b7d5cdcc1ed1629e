/* scratch.c - see scratch.h. */
#define _GNU_SOURCE // O_CLOEXEC, mkostemp
#include "base/core/scratch.h"

#include "base/core/buf.h"
#include "base/core/fault.h"
#include "base/core/file.h"
#include "base/core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

static enum lorac_status io_fail(struct lorac_err *err, const char *place, const char *what)
{
    char text[128];
    return lorac_fail(err, LORAC_EIO, "%s: cannot %s: %s", place, what,
                      strerror_r(errno, text, sizeof text));
}

/* What a file may have for its size: writing past it kills the process. */
static size_t size_limit(void)
{
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    return limited && limit.rlim_cur < SIZE_MAX ? (size_t)limit.rlim_cur : SIZE_MAX;
}

const char *lorac_scratch_dir(void)
{
    const char *dir = getenv("TMPDIR"); // NOLINT(concurrency-mt-unsafe): nothing here writes it
    if (dir && *dir) { return dir; }
    return access("/var/tmp", W_OK | X_OK) == 0 ? "/var/tmp" : "/tmp"; // not in every container
}

size_t lorac_scratch_room(const char *dir)
{
    struct statvfs disk;
    char *at = lorac_mem_string(dir, strlen(dir));
    while (at && !lorac_path_exists(at)) { // the file system that it will be made in
        char *up = lorac_path_dir(at);
        if (up && strcmp(up, at) == 0) {
            lorac_mem_free(up);
            up = NULL;
        }
        lorac_mem_free(at);
        at = up;
    }
    bool known = at && statvfs(at, &disk) == 0;
    lorac_mem_free(at);
    size_t room = SIZE_MAX; // unknown: making the file says so
    if (known && !lorac_mul((size_t)disk.f_bavail, (size_t)disk.f_frsize, &room)) {
        room = SIZE_MAX;
    }
    return room < size_limit() ? room : size_limit();
}

/* Its name lives no longer than this function. Who is killed in it leaves an empty file, which the
 * sweep of a run's folder removes. */
static enum lorac_status open_nameless(int *fd, const char *dir, struct lorac_err *err)
{
    struct lorac_buf path = {0};
    enum lorac_status st = LORAC_OK;
    lorac_buf_printf(&path, "%s/scratch.tmp-XXXXXX", dir);
    if (path.no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir);
        goto done;
    }
    *fd = lorac_sys_refused() ? -1 : mkostemp(path.at, O_CLOEXEC);
    if (*fd < 0) {
        st = io_fail(err, dir, "make a file in it");
    } else if (unlink(path.at) != 0 || lorac_sys_refused()) {
        st = io_fail(err, path.at, "unlink");
    }
done:
    lorac_buf_free(&path);
    return st;
}

enum lorac_status lorac_scratch_open(int *fd, const char *dir, size_t bytes, struct lorac_err *err)
{
    size_t limit = size_limit();
    *fd = -1;
    if (bytes > limit || bytes > INT64_MAX) {
        return lorac_fail(err, LORAC_EIO,
                          "%s: a file there may have %zu MiB (ulimit -f), %zu are needed", dir,
                          limit >> 20, bytes >> 20);
    }
    enum lorac_status st = open_nameless(fd, dir, err);
    if (!st && bytes > 0) {
        int failed = lorac_sys_refused() ? errno : posix_fallocate(*fd, 0, (off_t)bytes);
        errno = failed;
        if (failed) { st = io_fail(err, dir, "keep a file of the size that is needed in it"); }
    }
    if (st) {
        lorac_scratch_close(*fd);
        *fd = -1;
    }
    return st;
}

enum lorac_status lorac_scratch_write(int fd, const void *bytes, size_t n, size_t at,
                                      struct lorac_err *err)
{
    const unsigned char *from = bytes;
    size_t limit = size_limit();
    if (at > limit || n > limit - at) {
        return lorac_fail(err, LORAC_EIO, "a scratch file: may have %zu MiB (ulimit -f), not more",
                          limit >> 20);
    }
    while (n > 0) {
        ssize_t done = lorac_sys_refused() ? -1 : pwrite(fd, from, n, (off_t)at);
        if (done < 0 && errno == EINTR) { continue; }
        if (done <= 0) { return io_fail(err, "a scratch file", "write"); }
        from += done;
        at += (size_t)done;
        n -= (size_t)done;
    }
    return LORAC_OK;
}

enum lorac_status lorac_scratch_read(void *bytes, size_t n, int fd, size_t at,
                                     struct lorac_err *err)
{
    unsigned char *to = bytes;
    while (n > 0) {
        ssize_t done = lorac_sys_refused() ? -1 : pread(fd, to, n, (off_t)at);
        if (done < 0 && errno == EINTR) { continue; }
        if (done == 0) { errno = EIO; } // it had that many bytes when it was made
        if (done <= 0) { return io_fail(err, "a scratch file", "read"); }
        to += done;
        at += (size_t)done;
        n -= (size_t)done;
    }
    return LORAC_OK;
}

enum lorac_status lorac_scratch_map(struct lorac_map *out, int fd, size_t n, struct lorac_err *err)
{
    void *p = lorac_sys_refused() ? MAP_FAILED : mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
    *out = p == MAP_FAILED ? (struct lorac_map){0} : (struct lorac_map){p, n};
    return out->data ? LORAC_OK : io_fail(err, "a scratch file", "map");
}

void lorac_scratch_close(int fd)
{
    if (fd >= 0) { close(fd); }
}
