/*
 * Files. What is promised:
 *   - a written file appears whole, or the old one stays and no temporary file is left,
 *     whichever system call or allocation fails;
 *   - a whole file that reads back with other bytes than were written is an error;
 *   - maps and reads give the bytes; a folder, a missing file, a file over the limit is an error;
 *   - a folder is replaced whole.
 */
#include "base/core/fault.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char dir[] = "test_file.XXXXXX";

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

static void expect_content(const char *path, const char *want)
{
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(lorac_file_read(&text, &n, path, 1000, NULL), LORAC_OK);
    assert_string_equal(text, want);
    assert_int_equal(n, strlen(want));
    lorac_mem_free(text);
}

static size_t count_names(void)
{
    char **names = NULL;
    size_t n = 0;
    assert_int_equal(lorac_dir_list(&names, dir, NULL), LORAC_OK);
    while (names[n]) {
        n++;
    }
    lorac_mem_free(names);
    return n;
}

static void a_write_happens_whole_or_not_at_all(void **state)
{
    (void)state;
    char *path = lorac_path_join(dir, "a");
    assert_int_equal(lorac_file_write(path, "old", 3, NULL), LORAC_OK);
    int failures = 0;
    for (enum faults_kind kind = FAULTS_CALLS; kind <= FAULTS_MEMORY; kind++) {
        for (long n = 0;; n++) {
            struct lorac_err err = {0};
            faults_start(kind, n);
            enum lorac_status st = lorac_file_write(path, "new", 3, &err);
            const bool met = faults_stop();
            assert_int_equal(count_names(), 1); // no temporary file stays
            if (!met) { break; }
            assert_int_equal(st, faults_status(kind));
            assert_non_null(strstr(err.text, dir));
            failures++;
            char *text = NULL;
            size_t size = 0;
            assert_int_equal(lorac_file_read(&text, &size, path, 10, NULL), LORAC_OK);
            assert_true(strcmp(text, "old") == 0 || strcmp(text, "new") == 0);
            lorac_mem_free(text);
        }
        expect_content(path, "new");
    }
    assert_true(failures > 6); // open, write, fsync, close, rename, folder; memory
    lorac_mem_free(path);
}

static void another_byte_on_the_disk_is_found(void **state)
{
    (void)state;
    char *path = lorac_path_join(dir, "a");
    assert_int_equal(lorac_file_write(path, "old", 3, NULL), LORAC_OK);
    for (long at = 0; at < 3; at++) {
        struct lorac_err err = {0};
        lorac_sys_wrong_byte(at);
        assert_int_equal(lorac_file_write(path, "new", 3, &err), LORAC_EIO);
        assert_non_null(strstr(err.text, "a: reads back with other bytes than were written"));
        expect_content(path, "old");
        assert_int_equal(count_names(), 1);
    }
    lorac_sys_wrong_byte(-1);
    lorac_mem_free(path);
}

static void what_is_no_readable_file_is_an_error(void **state)
{
    (void)state;
    struct lorac_map map;
    struct lorac_err err = {0};
    assert_int_equal(lorac_map_open(&map, dir, &err), LORAC_EIO);
    assert_non_null(strstr(err.text, "is a folder, not a file"));
    assert_int_equal(lorac_map_open(&map, "no/such/file", &err), LORAC_EIO);
    assert_non_null(strstr(err.text, "no/such/file: cannot open: No such file"));
    char *path = lorac_path_join(dir, "a");
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(lorac_file_write(path, "12345", 5, NULL), LORAC_OK);
    assert_int_equal(lorac_file_read(&text, &n, path, 4, &err), LORAC_EFORMAT);
    assert_non_null(strstr(err.text, "holds 5 bytes, at most 4"));
    lorac_mem_free(path);
}

static void large_and_small_writes_arrive_in_order(void **state)
{
    (void)state;
    enum { N = 200000 };
    char *path = lorac_path_join(dir, "a");
    unsigned char *bytes = lorac_mem_new(N, 1);
    for (size_t i = 0; i < N; i++) {
        bytes[i] = (unsigned char)(i * 7 % 251);
    }
    struct lorac_out *out = NULL;
    assert_int_equal(lorac_out_open(&out, path, NULL), LORAC_OK);
    const size_t cuts[] = {0, 1, 65537, 65538, 199999, N};
    for (size_t i = 0; i + 1 < sizeof cuts / sizeof *cuts; i++) {
        size_t n = cuts[i + 1] - cuts[i];
        assert_int_equal(lorac_out_write(out, bytes + cuts[i], n, NULL), LORAC_OK);
    }
    assert_int_equal(lorac_out_commit(out, NULL), LORAC_OK);
    struct lorac_map map;
    assert_int_equal(lorac_map_open(&map, path, NULL), LORAC_OK);
    assert_int_equal(map.size, N);
    assert_memory_equal(map.data, bytes, N);
    lorac_map_close(&map);
    lorac_mem_free(bytes);
    lorac_mem_free(path);
}

static void a_folder_is_replaced_whole(void **state)
{
    (void)state;
    char *to = lorac_path_join(dir, "best");
    char *from = lorac_path_join(dir, "best.new");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lorac_dir_make(from, NULL), LORAC_OK);
        char *file = lorac_path_join(from, "x");
        assert_int_equal(lorac_file_write(file, i ? "second" : "first", i ? 6 : 5, NULL), LORAC_OK);
        lorac_mem_free(file);
        assert_int_equal(lorac_dir_replace(to, from, NULL), LORAC_OK);
        char *seen = lorac_path_join(to, "x");
        expect_content(seen, i ? "second" : "first");
        lorac_mem_free(seen);
        assert_false(lorac_path_exists(from));
    }
    assert_int_equal(lorac_dir_remove(to, NULL), LORAC_OK);
    lorac_mem_free(to);
    lorac_mem_free(from);
}

static void paths_join_and_split(void **state)
{
    (void)state;
    const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"a", "/b", "/b"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *p = lorac_path_join(cases[i][0], cases[i][1]);
        assert_string_equal(p, cases[i][2]);
        lorac_mem_free(p);
    }
    const char *const dirs[][2] = {{"a/b", "a"}, {"b", "."}, {"/b", "/"}, {"a/b/c", "a/b"}};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        char *p = lorac_path_dir(dirs[i][0]);
        assert_string_equal(p, dirs[i][1]);
        lorac_mem_free(p);
    }
    char *here = NULL;
    char *p = NULL;
    assert_int_equal(lorac_path_absolute(&here, ".", NULL), LORAC_OK);
    assert_int_equal(here[0], '/');
    assert_int_equal(lorac_path_absolute(&p, ".//./a/../b", NULL), LORAC_OK);
    assert_int_equal(strncmp(p, here, strlen(here)), 0);
    assert_string_equal(p + strlen(here), "/a/../b");
    lorac_mem_free(p);
    assert_int_equal(lorac_path_absolute(&p, "/x/./y", NULL), LORAC_OK);
    assert_string_equal(p, "/x/./y");
    lorac_mem_free(p);
    lorac_mem_free(here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_happens_whole_or_not_at_all),
        cmocka_unit_test(another_byte_on_the_disk_is_found),
        cmocka_unit_test(what_is_no_readable_file_is_an_error),
        cmocka_unit_test(large_and_small_writes_arrive_in_order),
        cmocka_unit_test(a_folder_is_replaced_whole),
        cmocka_unit_test(paths_join_and_split),
    };
    return cmocka_run_group_tests_name("file", tests, make_dir, remove_dir);
}
