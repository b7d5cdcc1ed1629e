/*
 * Two-pass placement. What is promised:
 *   - measuring and placing visit the same list, so addresses never overlap;
 *   - every array is 64-byte aligned, and the last ends where the block does;
 *   - a shape that overflows size_t is an error, not a crash.
 */
#include "base/core/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct acts {
    float *norm; // (B,T,C)
    float *rstd; // (B,T)
};

static void place_acts(struct lorac_place *p, struct acts *a, size_t B, size_t T, size_t C)
{
    a->norm = LORAC_PLACE(p, B, T, C);
    a->rstd = LORAC_PLACE(p, B, T);
}

static void arrays_are_aligned_and_disjoint(void **state)
{
    (void)state;
    struct lorac_place p = {0};
    static _Alignas(64) unsigned char block[128 + 64];
    struct acts a;
    place_acts(&p, &a, 2, 3, 5);
    assert_null(a.norm);
    size_t bytes = 0;
    assert_int_equal(lorac_place_size(&bytes, &p, NULL), LORAC_OK);
    assert_int_equal(bytes, sizeof block);
    lorac_place_use(&p, block);
    place_acts(&p, &a, 2, 3, 5);
    assert_int_equal(p.used, p.size);
    assert_ptr_equal(a.norm, block);
    assert_int_equal((uintptr_t)a.rstd % 64, 0);
    assert_true(a.rstd >= a.norm + 2 * 3 * 5);
}

static void overflowing_shape_is_an_error(void **state)
{
    (void)state;
    struct lorac_place p = {0};
    struct lorac_err err = {0};
    (void)LORAC_PLACE(&p, SIZE_MAX / 8, 4);
    size_t none = 0;
    assert_int_equal(lorac_place_size(&none, &p, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "do not fit"));
    static const size_t floats[][2] = {
        {SIZE_MAX / 4, 0},            // one that leaves no room to align it
        {SIZE_MAX / 8, SIZE_MAX / 8}, // two of which each fits
    };
    for (size_t i = 0; i < 2; i++) {
        size_t bytes = 0;
        struct lorac_place q = {0};
        (void)LORAC_PLACE(&q, floats[i][0]);
        (void)LORAC_PLACE(&q, floats[i][1]);
        assert_int_equal(lorac_place_size(&bytes, &q, &err), LORAC_EUSER);
    }
}

static void the_size_is_that_of_whole_lines(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{0, 0}, {1, 64}, {16, 64}, {17, 128}, {32, 128}, {33, 192}};
    for (size_t i = 0; i < 6; i++) {
        struct lorac_place p = {0};
        size_t bytes = 0;
        (void)LORAC_PLACE(&p, sizes[i][0]);
        assert_int_equal(lorac_place_size(&bytes, &p, NULL), LORAC_OK);
        assert_int_equal(bytes, sizes[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_are_aligned_and_disjoint),
        cmocka_unit_test(overflowing_shape_is_an_error),
        cmocka_unit_test(the_size_is_that_of_whole_lines),
    };
    return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
