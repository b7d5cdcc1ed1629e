/*
 * Limits of control groups. What is promised: of both versions the limit of memory, what is left of
 * it, file cache given back, and the processors' time are those of the tightest group from the
 * process's own to the root; what is not there, or says "max", does not bind.
 */
#include "base/core/cgroup.h"

#include "base/core/file.h"
#include "base/core/machine.h"
#include "base/core/mem.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void put(const char *name, const char *text)
{
    const char *path = tiny_path(name);
    char *folder = lorac_path_dir(path);
    assert_int_equal(lorac_dir_make(folder, NULL), LORAC_OK);
    assert_int_equal(lorac_file_write(path, text, strlen(text), NULL), LORAC_OK);
    lorac_mem_free(folder);
}

static void expect(const char *self, size_t limit, size_t left)
{
    put("self", self);
    const char *file = tiny_path("self");
    const char *mount = tiny_path("mount");
    struct lorac_cgroup g = lorac_cgroup_read(file, mount);
    assert_int_equal(g.limit, limit);
    assert_int_equal(g.free, left);
}

static void the_tightest_group_binds(void **state)
{
    (void)state;
    put("mount/memory.max", "9000\n"); // a container: the root is its own
    put("mount/memory.current", "1000\n");
    put("mount/memory.stat", "anon 700\ninactive_file 300\nactive_file 50\n");
    put("mount/a/memory.max", "max\n");
    put("mount/a/memory.current", "10\n");
    put("mount/a/b/memory.max", "5000\n");
    put("mount/a/b/memory.current", "4000\n");
    put("mount/a/b/memory.stat", "file 100\ninactive_file 500\n");
    expect("0::/\n", 9000, 8300);
    expect("1:name=systemd:/x\n0::/a\n", 9000, 8300);
    expect("0::/a/b\n", 5000, 1500);
    expect("0::/host/path/that/is/not/here\n", 9000, 8300);
    put("mount/a/b/memory.current", "7000\n"); // more than it may have
    expect("0::/a/b\n", 5000, 0);
    put("mount/a/b/memory.max", "9500\n"); // its parent is tighter
    expect("0::/a/b\n", 9000, 3000);
}

static void version_1_is_read(void **state)
{
    (void)state;
    put("mount/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("mount/memory/memory.usage_in_bytes", "100\n");
    put("mount/memory/c/memory.limit_in_bytes", "2000\n");
    put("mount/memory/c/memory.usage_in_bytes", "900\n");
    put("mount/memory/c/memory.stat", "inactive_file 1\ntotal_inactive_file 400\n");
    expect("11:cpu,memory,hugetlb:/c\n", 2000, 1500);
    expect("11:memory:/\n", 9223372036854771712U, 9223372036854771612U);
    expect("11:memory_recursive:/c\n", SIZE_MAX, SIZE_MAX);
}

static void expect_processors(const char *self, double processors)
{
    put("self", self);
    const char *file = tiny_path("self");
    const char *mount = tiny_path("mount");
    assert_true(lorac_cgroup_read(file, mount).processors == processors);
}

static void time_is_limited_as_well(void **state)
{
    (void)state;
    put("mount/cpu.max", "400000 100000\n");
    put("mount/t/cpu.max", "max 100000\n");
    put("mount/t/u/cpu.max", "150000 100000\n");
    expect_processors("0::/\n", 4.0);
    expect_processors("0::/t\n", 4.0);
    expect_processors("0::/t/u\n", 1.5);
    put("mount/t/u/cpu.max", "600000 100000\n"); // the root is tighter
    expect_processors("0::/t/u\n", 4.0);
    put("mount/cpu.max", "rubbish\n");
    expect_processors("0::/\n", (double)INFINITY);
    put("mount/cpu/cpu.cfs_quota_us", "-1\n");
    put("mount/cpu/cpu.cfs_period_us", "100000\n");
    put("mount/cpu/v/cpu.cfs_quota_us", "50000\n");
    put("mount/cpu/v/cpu.cfs_period_us", "20000\n");
    expect_processors("3:cpu,cpuacct:/\n", (double)INFINITY);
    expect_processors("3:cpuacct,cpu:/v\n", 2.5);
    expect_processors("3:cpuset:/v\n2:cpuacct:/v\n", (double)INFINITY);
    assert_true(lorac_machine_processors() >= 1);
}

static void what_is_not_there_does_not_bind(void **state)
{
    (void)state;
    struct lorac_cgroup g = lorac_cgroup_read("no/such/file", "no/such/mount");
    assert_true(g.limit == SIZE_MAX && g.free == SIZE_MAX && isinf(g.processors));
    expect("", SIZE_MAX, SIZE_MAX);
    expect("rubbish\n\n4\n:::\n", SIZE_MAX, SIZE_MAX);
    assert_true(lorac_machine_available() <= lorac_machine_memory()); // of this machine
    assert_true(lorac_machine_memory() > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tightest_group_binds),
        cmocka_unit_test(version_1_is_read),
        cmocka_unit_test(time_is_limited_as_well),
        cmocka_unit_test(what_is_not_there_does_not_bind),
    };
    return cmocka_run_group_tests_name("cgroup", tests, NULL, tiny_remove);
}
