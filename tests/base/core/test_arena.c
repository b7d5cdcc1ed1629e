/*
 * Memory that is released at once. What is promised: what is taken is zeroed, aligned and apart
 * from everything else, whatever its size; where there is none, what was taken before stays.
 */
#include "base/core/arena.h"

#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_is_taken_is_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 15, 16, 17, 8000, 1, 8192, 8193, 100000, 3, 0, 200};
    enum { N = sizeof sizes / sizeof *sizes };
    unsigned char *at[N];
    struct lorac_arena *a = lorac_arena_new();
    assert_non_null(a);
    for (size_t i = 0; i < N; i++) {
        at[i] = lorac_arena_take(a, sizes[i], 1);
        assert_non_null(at[i]);
        assert_int_equal((uintptr_t)at[i] % 16, 0);
        for (size_t k = 0; k < sizes[i]; k++) {
            assert_int_equal(at[i][k], 0);
            at[i][k] = (unsigned char)(i + 1);
        }
    }
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < sizes[i]; k++) {
            assert_int_equal(at[i][k], i + 1);
        }
    }
    assert_null(lorac_arena_take(a, SIZE_MAX / 4, 8));
    assert_null(lorac_arena_take(a, SIZE_MAX, 1));
    assert_null(lorac_arena_string(a, "", SIZE_MAX));
    assert_string_equal(lorac_arena_string(a, "rank: 8", 4), "rank");
    assert_string_equal(lorac_arena_string(a, NULL, 0), "");
    lorac_arena_free(a);
    lorac_arena_free(NULL);
}

static void where_there_is_no_memory_the_rest_stays(void **state)
{
    (void)state;
    long n = 0;
    for (bool met = true; met; n++) {
        faults_start(FAULTS_MEMORY, n);
        struct lorac_arena *a = lorac_arena_new();
        char *text = a ? lorac_arena_string(a, "small", 5) : NULL;
        char *large = text ? lorac_arena_take(a, 20000, 1) : NULL;
        met = faults_stop();
        assert_int_equal(!large, met);
        if (text) { assert_string_equal(text, "small"); }
        if (text) { assert_non_null(lorac_arena_take(a, 20000, 1)); } // asked again
        lorac_arena_free(a);
    }
    assert_int_equal(n, 4); // the arena, a block, a large one, and none
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_zeroed_aligned_and_apart),
        cmocka_unit_test(where_there_is_no_memory_the_rest_stays),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
