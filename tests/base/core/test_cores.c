/*
 * Cores of a machine. What is promised: of the processors that share a core the first of those that
 * may run is kept, however the system lists them; what cannot be read is a core of its own; threads
 * by default are no more than cores, and what OMP_NUM_THREADS says.
 */
#define _GNU_SOURCE // cpu_set_t, setenv
#include "base/core/cores.h"

#include "base/compute/start.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void list(unsigned processor, const char *siblings)
{
    char name[100];
    (void)snprintf(name, sizeof name, "cpu/cpu%u/topology/thread_siblings_list", processor);
    const char *path = tiny_path(name);
    char *folder = lorac_path_dir(path);
    assert_int_equal(lorac_dir_make(folder, NULL), LORAC_OK);
    assert_int_equal(lorac_file_write(path, siblings, strlen(siblings), NULL), LORAC_OK);
    lorac_mem_free(folder);
}

/* Of processors that a bit each says may run, those that are kept. */
static unsigned long kept(unsigned long may)
{
    unsigned long left = 0;
    size_t n = 0;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < 64; i++) {
        if (may >> i & 1U) { CPU_SET(i, &set); }
    }
    size_t count = lorac_cores_keep(&set, tiny_path("cpu"));
    for (unsigned i = 0; i < 64; i++) {
        left |= CPU_ISSET(i, &set) ? 1UL << i : 0;
        n += CPU_ISSET(i, &set) ? 1 : 0;
    }
    assert_int_equal(n, count);
    return left;
}

static void one_of_each_core_is_kept(void **state)
{
    (void)state;
    list(0, "0,4\n"); // far apart, as on servers
    list(4, "0,4\n");
    list(1, "1,5\n");
    list(5, "1,5\n");
    list(2, "2-3\n"); // side by side, as on laptops
    list(3, "2-3\n");
    list(6, "6\n");         // has one thread
    list(8, "8-9,10-11\n"); // four of one
    list(9, "8-9,10-11\n");
    list(10, "8-9,10-11\n");
    list(11, "8-9,10-11\n");
    list(12, "rubbish\n");
    assert_int_equal(kept(0xFF), 0xC7); // 7 says nothing
    assert_int_equal(kept(0x30), 0x30); // the first of each may not run
    assert_int_equal(kept(0x3C), 0x34);
    assert_int_equal(kept(0xF00), 0x100);
    assert_int_equal(kept(0xC00), 0x400);
    assert_int_equal(kept(0xA00), 0x200);
    assert_int_equal(kept(0x1000), 0x1000);
    assert_int_equal(kept(0), 0);
}

static void threads_are_cores(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("OMP_NUM_THREADS"), 0);
    assert_in_range(lorac_cores(), 1, 1 << 20);
    assert_in_range(lorac_start_default(), 1, lorac_cores());
    lorac_start_threads(1);
    assert_int_equal(lorac_start_default(), 1);
    lorac_start_threads(1 << 10); // more than there are
    assert_in_range(lorac_start_default(), 1, lorac_cores());
#ifdef _OPENMP
    assert_int_equal(setenv("OMP_NUM_THREADS", "1024", 1), 0); // as if it was there at the start
    assert_int_equal(lorac_start_default(), 1024);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_each_core_is_kept),
        cmocka_unit_test(threads_are_cores),
    };
    return cmocka_run_group_tests_name("cores", tests, NULL, tiny_remove);
}
