/*
 * Files without a name. What is promised:
 *   - what was written is read, at any place, also from a map of it that outlives the file; nothing
 *     of it stands in the folder, from the start;
 *   - the disk has room for all of it before anything is written: where it has not, or the process
 *     may not write as much, that is said;
 *   - what belongs to no run goes to TMPDIR, else to /var/tmp;
 *   - the room of a folder that is still to be made is that of the one above;
 *   - every failed allocation and system call is reported.
 */
#define _DEFAULT_SOURCE // mkdtemp
#include "base/core/fault.h"
#include "base/core/file.h"
#include "base/core/scratch.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

static char dir[] = "test_scratch.XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return lorac_dir_remove(dir, NULL) != LORAC_OK;
}

static void what_was_written_is_read(void **state)
{
    int fd = -1;
    char got[8] = "";
    (void)state;
    assert_int_equal(lorac_scratch_open(&fd, dir, 100, NULL), LORAC_OK);
    assert_true(lorac_dir_is_empty(dir));
    assert_int_equal(lorac_scratch_write(fd, "behind", 6, 94, NULL), LORAC_OK);
    assert_int_equal(lorac_scratch_write(fd, "before", 6, 0, NULL), LORAC_OK);
    assert_int_equal(lorac_scratch_read(got, 6, fd, 94, NULL), LORAC_OK);
    assert_string_equal(got, "behind");
    assert_int_equal(lorac_scratch_read(got, 3, fd, 3, NULL), LORAC_OK);
    assert_memory_equal(got, "ore", 3);
    struct lorac_err err = {0};
    assert_int_equal(lorac_scratch_read(got, 2, fd, 99, &err), LORAC_EIO); // past its end
    assert_string_equal(err.text, "a scratch file: cannot read: Input/output error");
    struct lorac_map map = {0};
    assert_int_equal(lorac_scratch_map(&map, fd, 6, NULL), LORAC_OK);
    lorac_scratch_close(fd);
    lorac_scratch_close(-1);
    assert_int_equal(map.size, 6);
    assert_memory_equal(map.data, "before", 6);
    lorac_map_close(&map);
}

static void one_that_grows_has_what_was_written(void **state)
{
    int fd = -1;
    char got[4] = "";
    struct lorac_err err = {0};
    (void)state;
    assert_int_equal(lorac_scratch_open(&fd, dir, 0, NULL), LORAC_OK);
    assert_int_equal(lorac_scratch_write(fd, "abc", 3, 0, NULL), LORAC_OK);
    assert_int_equal(lorac_scratch_read(got, 3, fd, 0, NULL), LORAC_OK);
    assert_string_equal(got, "abc");
    assert_int_equal(lorac_scratch_read(got, 1, fd, 3, &err), LORAC_EIO);
    lorac_scratch_close(fd);
}

static void the_folder_is_that_of_the_environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("TMPDIR", dir, 1), 0);
    assert_string_equal(lorac_scratch_dir(), dir);
    assert_int_equal(setenv("TMPDIR", "", 1), 0);
    assert_string_equal(lorac_scratch_dir(), "/var/tmp");
    assert_int_equal(unsetenv("TMPDIR"), 0);
    assert_string_equal(lorac_scratch_dir(), "/var/tmp");
}

static void what_the_disk_has_no_room_for_is_said(void **state)
{
    int fd = 0;
    struct lorac_err err = {0};
    (void)state;
    assert_int_equal(lorac_scratch_open(&fd, dir, (size_t)1 << 60, &err), LORAC_EIO);
    assert_int_equal(fd, -1);
    assert_non_null(strstr(err.text, "cannot keep a file of the size that is needed in it: "));
    assert_true(lorac_dir_is_empty(dir));
    assert_int_equal(lorac_scratch_open(&fd, "test_scratch.missing", 1, &err), LORAC_EIO);
    assert_string_equal(
        err.text, "test_scratch.missing: cannot make a file in it: No such file or directory");
}

static void what_the_process_may_not_write_is_said(void **state)
{
    int fd = 0;
    struct lorac_err err = {0};
    struct rlimit before;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit few = {3 << 20, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
    assert_int_equal(lorac_scratch_room(dir), 3 << 20);
    assert_int_equal(lorac_scratch_open(&fd, dir, (3 << 20) + 1, &err), LORAC_EIO); // no SIGXFSZ
    assert_non_null(strstr(err.text, ": a file there may have 3 MiB (ulimit -f), 3 are needed"));
    assert_int_equal(lorac_scratch_open(&fd, dir, 3 << 20, &err), LORAC_OK);
    assert_int_equal(lorac_scratch_write(fd, "ab", 2, (3 << 20) - 2, NULL), LORAC_OK);
    assert_int_equal(lorac_scratch_write(fd, "ab", 2, (3 << 20) - 1, &err), LORAC_EIO);
    assert_string_equal(err.text, "a scratch file: may have 3 MiB (ulimit -f), not more");
    assert_int_equal(lorac_scratch_write(fd, "a", 1, SIZE_MAX, NULL), LORAC_EIO);
    lorac_scratch_close(fd);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
}

static void a_folder_to_be_made_has_the_room_of_the_one_above(void **state)
{
    char deep[64] = "";
    (void)state;
    strcpy(deep, dir);
    strcat(deep, "/a/b");
    assert_true(lorac_scratch_room(dir) > 0);
    assert_true(lorac_scratch_room(deep) > 0);
    assert_true(lorac_scratch_room("test_scratch.missing") > 0); // in the current folder
    assert_true(lorac_scratch_room("/test_scratch.missing/a") > 0);
}

static enum lorac_status go(struct lorac_err *err)
{
    int fd = -1;
    char got[4] = "";
    enum lorac_status st = lorac_scratch_open(&fd, dir, 100, err);
    if (!st) { st = lorac_scratch_write(fd, "abc", 3, 7, err); }
    if (!st) { st = lorac_scratch_read(got, 3, fd, 7, err); }
    struct lorac_map map = {0};
    if (!st) { st = lorac_scratch_map(&map, fd, 100, err); }
    if (!st) { assert_string_equal(got, "abc"); }
    lorac_map_close(&map);
    lorac_scratch_close(fd);
    return st;
}

static void every_failure_is_reported(void **state)
{
    (void)state;
    for (enum faults_kind kind = FAULTS_CALLS; kind <= FAULTS_MEMORY; kind++) {
        long n = 0;
        for (bool met = true; met; n++) {
            struct lorac_err err = {0};
            faults_start(kind, n);
            enum lorac_status st = go(&err);
            met = faults_stop();
            assert_int_equal(st, met ? faults_status(kind) : LORAC_OK);
            assert_true(!met || err.text[0]);
            assert_true(lorac_dir_is_empty(dir));
        }
        assert_true(n > (kind == FAULTS_CALLS ? 6 : 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(one_that_grows_has_what_was_written),
        cmocka_unit_test(the_folder_is_that_of_the_environment),
        cmocka_unit_test(what_the_disk_has_no_room_for_is_said),
        cmocka_unit_test(what_the_process_may_not_write_is_said),
        cmocka_unit_test(a_folder_to_be_made_has_the_room_of_the_one_above),
        cmocka_unit_test(every_failure_is_reported),
    };
    return cmocka_run_group_tests_name("scratch", tests, make_dir, remove_dir);
}
