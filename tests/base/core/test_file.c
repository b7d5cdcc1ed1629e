/*
 * Files. What is promised:
 *   - a written file appears whole, or the old one stays and no temporary file is left,
 *     whichever system call or allocation fails;
 *   - a whole file that reads back with other bytes than were written is an error;
 *   - maps and reads give the bytes; a folder, a missing file, a file over the limit is an error;
 *   - a folder is replaced whole, made with its parents, and removed without following links;
 *   - limits are exact; one process holds a lock; a path longer than any names nothing.
 */
#define _DEFAULT_SOURCE // symlink, mkdtemp
#include "base/core/fault.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/sibling.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "test_file.XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int clear_dir(void **state)
{
    (void)state;
    return lorac_dir_remove(dir, NULL) || lorac_dir_make(dir, NULL);
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
    lorac_map_forget(&map); // its pages come again
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

static void what_just_fits_is_read(void **state)
{
    (void)state;
    char *path = lorac_path_join(dir, "a");
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(lorac_file_write(path, "12345", 5, NULL), LORAC_OK);
    assert_int_equal(lorac_file_read(&text, &n, path, 5, NULL), LORAC_OK);
    assert_int_equal(n, 5);
    assert_string_equal(text, "12345"); // and a NUL behind it
    lorac_mem_free(text);
    assert_int_equal(lorac_file_write(path, "", 0, NULL), LORAC_OK);
    assert_int_equal(lorac_file_read(&text, &n, path, 0, NULL), LORAC_OK);
    assert_int_equal(n, 0);
    assert_string_equal(text, "");
    lorac_mem_free(text);
    assert_int_equal(lorac_file_remove(path, NULL), LORAC_OK);
    assert_int_equal(lorac_file_remove(path, NULL), LORAC_OK); // a missing one is fine
    lorac_mem_free(path);
}

static void a_log_grows_at_its_end(void **state)
{
    (void)state;
    char *path = lorac_path_join(dir, "log");
    assert_int_equal(lorac_file_append(path, "one\n", 4, NULL), LORAC_OK);
    assert_int_equal(lorac_file_append(path, "", 0, NULL), LORAC_OK);
    assert_int_equal(lorac_file_append(path, "two\n", 4, NULL), LORAC_OK);
    expect_content(path, "one\ntwo\n");
    char *copy = lorac_path_join(dir, "copy");
    assert_int_equal(lorac_file_copy(copy, path, NULL), LORAC_OK);
    expect_content(copy, "one\ntwo\n");
    assert_int_equal(lorac_file_remove(copy, NULL), LORAC_OK);
    assert_int_equal(lorac_file_remove(path, NULL), LORAC_OK);
    lorac_mem_free(copy);
    lorac_mem_free(path);
}

static void a_file_given_up_leaves_nothing(void **state)
{
    (void)state;
    struct lorac_out *out = NULL;
    char *path = lorac_path_join(dir, "given up");
    assert_int_equal(lorac_out_open(&out, path, NULL), LORAC_OK);
    assert_int_equal(count_names(), 1);
    lorac_out_free(out);
    assert_int_equal(count_names(), 0);
    lorac_out_free(NULL);
    lorac_mem_free(path);
}

static void folders_are_made_listed_and_removed(void **state)
{
    (void)state;
    static const char *const files[] = {"p/q/b", "p/q/a", "p/q/.c", "p/q/B"};
    char **names = NULL;
    struct lorac_err err = {0};
    char *deep = lorac_path_join(dir, "p/q/r");
    char *top = lorac_path_join(dir, "p");
    char *folder = lorac_path_join(dir, "p/q");
    assert_true(lorac_dir_is_empty(deep)); // it does not exist
    assert_int_equal(lorac_dir_make(deep, NULL), LORAC_OK);
    assert_int_equal(lorac_dir_make(deep, NULL), LORAC_OK); // an existing one is fine
    assert_true(lorac_path_is_dir(deep) && lorac_dir_is_empty(deep));
    assert_int_equal(lorac_dir_remove(deep, NULL), LORAC_OK);
    for (size_t i = 0; i < 4; i++) {
        char *file = lorac_path_join(dir, files[i]);
        assert_int_equal(lorac_file_write(file, "x", 1, NULL), LORAC_OK);
        assert_false(lorac_path_is_dir(file));
        assert_false(lorac_dir_is_empty(file));
        lorac_mem_free(file);
    }
    assert_false(lorac_dir_is_empty(folder));
    assert_int_equal(lorac_dir_list(&names, folder, NULL), LORAC_OK);
    assert_string_equal(names[0], ".c");
    assert_string_equal(names[1], "B");
    assert_string_equal(names[2], "a");
    assert_string_equal(names[3], "b");
    assert_null(names[4]);
    lorac_mem_free(names);
    char *below = lorac_path_join(dir, "p/q/a/z");
    assert_int_equal(lorac_dir_make(below, &err), LORAC_EIO);
    assert_non_null(strstr(err.text, "p/q/a: is a file, a folder is needed"));
    assert_int_equal(lorac_dir_remove(top, NULL), LORAC_OK);
    assert_int_equal(lorac_dir_remove(top, NULL), LORAC_OK); // a missing one is fine
    assert_int_equal(count_names(), 0);
    lorac_mem_free(below);
    lorac_mem_free(folder);
    lorac_mem_free(top);
    lorac_mem_free(deep);
}

/* Of a link only the link goes. */
static void removing_a_folder_follows_no_link(void **state)
{
    (void)state;
    char *kept = lorac_path_join(dir, "kept");
    char *file = lorac_path_join(dir, "kept/x");
    char *gone = lorac_path_join(dir, "gone");
    char *link = lorac_path_join(dir, "gone/link");
    assert_int_equal(lorac_dir_make(kept, NULL), LORAC_OK);
    assert_int_equal(lorac_dir_make(gone, NULL), LORAC_OK);
    assert_int_equal(lorac_file_write(file, "x", 1, NULL), LORAC_OK);
    assert_int_equal(symlink("../kept", link), 0);
    assert_true(lorac_path_is_dir(link));
    assert_int_equal(lorac_dir_remove(gone, NULL), LORAC_OK);
    expect_content(file, "x");
    assert_int_equal(lorac_dir_remove(kept, NULL), LORAC_OK);
    lorac_mem_free(kept);
    lorac_mem_free(file);
    lorac_mem_free(gone);
    lorac_mem_free(link);
}

static void folders_are_removed_17_deep(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    char *top = lorac_path_join(dir, "0");
    char *path = lorac_path_join(dir, "0");
    for (int i = 1; i < 18; i++) {
        char *deeper = lorac_path_join(path, "d");
        lorac_mem_free(path);
        path = deeper;
        if (i == 16) { // with the top itself 17 in all
            assert_int_equal(lorac_dir_make(path, NULL), LORAC_OK);
            assert_int_equal(lorac_dir_remove(top, &err), LORAC_OK);
        }
    }
    assert_int_equal(lorac_dir_make(path, NULL), LORAC_OK);
    assert_int_equal(lorac_dir_remove(top, &err), LORAC_EIO);
    assert_non_null(strstr(err.text, "is nested too deep"));
    for (size_t n = strlen(path); n > strlen(top); n -= 2) {
        path[n] = '\0';
        assert_int_equal(rmdir(path), 0);
    }
    assert_int_equal(rmdir(top), 0);
    lorac_mem_free(path);
    lorac_mem_free(top);
}

static void a_lock_is_held_by_one(void **state)
{
    (void)state;
    char *path = lorac_path_join(dir, "lock");
    struct lorac_err err = {0};
    int fd = -1;
    int other = -1;
    assert_int_equal(lorac_lock_open(&fd, path, NULL), LORAC_OK);
    assert_true(fd >= 0);
    assert_int_equal(lorac_lock_open(&other, path, &err), LORAC_EUSER);
    assert_int_equal(other, -1);
    assert_non_null(strstr(err.text, "lock: another process works in this folder"));
    lorac_lock_close(fd);
    assert_int_equal(lorac_lock_open(&other, path, NULL), LORAC_OK);
    lorac_lock_close(other);
    lorac_lock_close(-1);
    assert_int_equal(lorac_file_remove(path, NULL), LORAC_OK);
    lorac_mem_free(path);
}

static void a_name_and_its_temporary_neighbour(void **state)
{
    (void)state;
    static const char *const names[][2] = {{"a/b", "a/b"}, {"a/b/", "a/b"}, {"b///", "b"}};
    for (size_t i = 0; i < 3; i++) {
        char want[64];
        char *to = NULL;
        char *temp = NULL;
        (void)snprintf(want, sizeof want, "%s.tmp-%ld", names[i][1], (long)getpid());
        assert_int_equal(lorac_sibling(&to, &temp, names[i][0], NULL), LORAC_OK);
        assert_string_equal(to, names[i][1]);
        assert_string_equal(temp, want);
        lorac_mem_free(to);
        lorac_mem_free(temp);
    }
    struct lorac_err err = {0};
    char *to = NULL;
    char *temp = NULL;
    assert_int_equal(lorac_sibling(&to, &temp, "//", &err), LORAC_EUSER);
    assert_string_equal(err.text, "'//' is no name for a folder");
    assert_int_equal(lorac_sibling(&to, &temp, "", &err), LORAC_EUSER);
    assert_null(to);
    assert_null(temp);
}

static void paths_join_and_split(void **state)
{
    (void)state;
    const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"a", "/b", "/b"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *p = lorac_path_join(cases[i][0], cases[i][1]);
        char in[LORAC_PATH];
        assert_string_equal(lorac_path_in(in, cases[i][0], cases[i][1]), cases[i][2]);
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

/* What is left of it would name the folder itself, were the system to take it. */
static void a_path_that_is_cut_names_nothing(void **state)
{
    (void)state;
    static char longest[5000];
    char path[LORAC_PATH];
    struct lorac_err err = {0};
    int n = snprintf(longest, sizeof longest, "%s", dir);
    memset(longest + n, '/', sizeof longest - (size_t)n - 1);
    assert_int_equal(strlen(lorac_path_in(path, longest, "a")), LORAC_PATH - 1);
    assert_false(lorac_path_exists(path) || lorac_path_is_dir(path));
    assert_false(lorac_path_holds(longest, "a"));
    assert_int_equal(lorac_file_write(path, "x", 1, &err), LORAC_EIO);
    assert_int_equal(lorac_dir_make(path, &err), LORAC_EIO);
    assert_int_equal(count_names(), 0);
    assert_int_equal(lorac_file_write(lorac_path_in(path, dir, "a"), "x", 1, &err), LORAC_OK);
    assert_true(lorac_path_holds(dir, "a") && !lorac_path_holds(dir, "b"));
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
        cmocka_unit_test_setup(a_path_that_is_cut_names_nothing, clear_dir),
        cmocka_unit_test_setup(what_just_fits_is_read, clear_dir),
        cmocka_unit_test_setup(a_log_grows_at_its_end, clear_dir),
        cmocka_unit_test_setup(a_file_given_up_leaves_nothing, clear_dir),
        cmocka_unit_test_setup(folders_are_made_listed_and_removed, clear_dir),
        cmocka_unit_test_setup(removing_a_folder_follows_no_link, clear_dir),
        cmocka_unit_test_setup(folders_are_removed_17_deep, clear_dir),
        cmocka_unit_test_setup(a_lock_is_held_by_one, clear_dir),
        cmocka_unit_test_setup(a_name_and_its_temporary_neighbour, clear_dir),
    };
    return cmocka_run_group_tests_name("file", tests, make_dir, remove_dir);
}
