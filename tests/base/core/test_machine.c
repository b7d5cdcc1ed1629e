/*
 * What the machine says of itself. What is promised: sizes are bytes, and those of the process are
 * of what it touches: memory of its own and pages of files apart; names are one line; the clock
 * goes on.
 */
#define _DEFAULT_SOURCE // gethostname
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/machine.h"
#include "base/core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { MIB = 1 << 20, TOUCHED = 48 * MIB, SLACK = 12 * MIB }; // others may be loaded meanwhile

static void expect_near(size_t got, size_t want)
{
    if (got + SLACK < want || got > want + SLACK) {
        fail_msg("%zu bytes, about %zu were expected", got, want);
    }
}

static void memory_that_is_touched_is_the_process_s_own(void **state)
{
    (void)state;
    size_t own[2];
    size_t files[2];
    lorac_machine_resident(&own[0], &files[0]);
    void *p = mmap(NULL, TOUCHED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    memset(p, 1, TOUCHED);
    lorac_machine_resident(&own[1], &files[1]);
    expect_near(own[1], own[0] + TOUCHED);
    expect_near(files[1], files[0]);
    const size_t peak = lorac_machine_peak();
    assert_true(peak + SLACK >= own[1] && peak < own[1] + files[1] + 64 * MIB);
    assert_int_equal(munmap(p, TOUCHED), 0); // given back at once, by any allocator's habits
    assert_true(lorac_machine_peak() >= peak);
    lorac_machine_peak_begin();
    assert_true(lorac_machine_peak() + TOUCHED < peak + SLACK);
}

static void pages_of_files_are_counted_apart(void **state)
{
    (void)state;
    static const char path[] = "test_machine.bytes";
    size_t own[2];
    size_t files[2];
    unsigned char *p = lorac_mem_new(TOUCHED, 1);
    assert_non_null(p);
    assert_int_equal(lorac_file_write(path, p, TOUCHED, NULL), LORAC_OK);
    lorac_mem_free(p);
    struct lorac_map map;
    assert_int_equal(lorac_map_open(&map, path, NULL), LORAC_OK);
    lorac_machine_resident(&own[0], &files[0]);
    unsigned sum = 0;
    for (size_t i = 0; i < map.size; i += 512) {
        sum += map.data[i];
    }
    assert_int_equal(sum, 0);
    lorac_machine_resident(&own[1], &files[1]);
    expect_near(files[1], files[0] + TOUCHED);
    expect_near(own[1], own[0]);
    lorac_map_close(&map);
    assert_int_equal(lorac_file_remove(path, NULL), LORAC_OK);
}

/* A number of /proc/meminfo, in bytes; 0: it is not there. */
static size_t meminfo(const char *key)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        const size_t n = strlen(key);
        if (strncmp(line, key, n) == 0 && sscanf(line + n, " %llu", &kib) == 1) { break; }
    }
    if (f) { fclose(f); }
    return (size_t)kib * 1024;
}

static void the_memory_of_the_machine_bounds_what_is_left(void **state)
{
    (void)state;
    const size_t all = lorac_machine_memory();
    const size_t left = lorac_machine_available();
    const size_t total = meminfo("MemTotal:"); // without what the kernel keeps
    assert_true(all > 0 && left > 0 && left <= all);
    assert_true(total == 0 || all <= total + total / 8);
    assert_true(left <= meminfo("MemAvailable:") + (size_t)256 * MIB);
    assert_true(lorac_machine_processors() >= 1 && lorac_machine_processors() < 100000);
}

static void names_are_one_line(void **state)
{
    (void)state;
    char host[64] = "";
    char cpu[64] = "";
    char want[256] = "";
    lorac_machine_host(host);
    lorac_machine_cpu(cpu);
    assert_int_equal(gethostname(want, sizeof want), 0);
    assert_memory_equal(host, want, strlen(host));
    assert_true(strlen(host) == strlen(want) || strlen(host) == 63);
    assert_true(cpu[0] && !strchr(cpu, '\n') && !strchr(cpu, ':') && cpu[0] != ' ');
}

static void the_processor_is_the_first_that_is_named(void **state)
{
    (void)state;
    char line[256];
    char cpu[64] = "";
    char want[64] = "unknown";
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "model name : %63[^\n]", want) == 1) { break; }
    }
    if (f) { fclose(f); }
    lorac_machine_cpu(cpu);
    assert_string_equal(cpu, want);
}

static void the_clock_goes_on(void **state)
{
    (void)state;
    const double before = lorac_clock();
    double now = before;
    for (int i = 0; i < 1000 && now < before + 0.02; i++) {
        usleep(1000);
        assert_true(lorac_clock() >= now);
        now = lorac_clock();
    }
    assert_true(now >= before + 0.02 && now < before + 60.0);
    int part[6];
    char text[32];
    char end = 0;
    lorac_clock_utc(text);
    assert_int_equal(strlen(text), 20);
    assert_int_equal(sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%c", &part[0], &part[1], &part[2],
                            &part[3], &part[4], &part[5], &end),
                     7);
    assert_true(end == 'Z' && part[0] >= 2024 && part[1] >= 1 && part[1] <= 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_is_touched_is_the_process_s_own),
        cmocka_unit_test(pages_of_files_are_counted_apart),
        cmocka_unit_test(the_memory_of_the_machine_bounds_what_is_left),
        cmocka_unit_test(names_are_one_line),
        cmocka_unit_test(the_processor_is_the_first_that_is_named),
        cmocka_unit_test(the_clock_goes_on),
    };
    return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
