/*
 * Memory and text that grows. What is promised:
 *   - a block is zeroed and 64-byte aligned, also of no bytes; a product that does not fit is no
 *     block;
 *   - a large block is zeroed, too, whatever was there before, but takes no memory until it is
 *     touched; also where the system says that it gives zeroes, and does not;
 *   - a block that grows keeps what it held and doubles; where there is no memory it stays as it
 *     was;
 *   - a buffer's text ends with a NUL, and a failed allocation stays known until it is cleared.
 */
#define _DEFAULT_SOURCE // syscall
#include "base/core/buf.h"
#include "base/core/fault.h"
#include "base/core/machine.h"
#include "base/core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#ifdef __linux__
#    include <sys/mman.h>
#    include <sys/syscall.h>
#    include <unistd.h>
#endif

#include <cmocka.h>

static void products_that_do_not_fit_are_noticed(void **state)
{
    (void)state;
    static const struct {
        size_t a, b;
        bool fits;
    } cases[] = {
        {0, SIZE_MAX, true},
        {SIZE_MAX, 0, true},
        {SIZE_MAX, 1, true},
        {1, SIZE_MAX, true},
        {SIZE_MAX, 2, false},
        {SIZE_MAX / 2, 2, true},
        {SIZE_MAX / 2 + 1, 2, false},
        {(size_t)1 << 32, (size_t)1 << 31, true},
        {(size_t)1 << 32, (size_t)1 << 32, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t out = 77;
        assert_int_equal(lorac_mul(cases[i].a, cases[i].b, &out), cases[i].fits);
        assert_int_equal(out, cases[i].fits ? cases[i].a * cases[i].b : 77);
    }
}

static void blocks_are_zeroed_and_aligned(void **state)
{
    (void)state;
    for (size_t n = 0; n < 200; n++) {
        const unsigned long before = lorac_mem_count();
        unsigned char *p = lorac_mem_new(n, 3);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < 3 * n; i++) {
            assert_int_equal(p[i], 0);
            p[i] = 0xFF; // the next block of this size may be this one
        }
        assert_int_equal(lorac_mem_count(), before + 1);
        lorac_mem_free(p);
    }
    assert_null(lorac_mem_new(SIZE_MAX, 2));
    assert_null(lorac_mem_new(SIZE_MAX, 1)); // rounded up it would be nothing
    assert_null(lorac_mem_new(SIZE_MAX - 62, 1));
    const unsigned long before = lorac_mem_count();
    void *raw = lorac_mem_raw(0);
    assert_non_null(raw);
    assert_int_equal(lorac_mem_count(), before + 1);
    lorac_mem_free(raw);
}

static void large_blocks_are_zeroed(void **state)
{
    (void)state;
    for (size_t i = 100; i > 0; i--) { // shrinking, so that it is the memory of the one before
        size_t bytes = ((size_t)1 << 18) + i * 40009;
        unsigned char *p = lorac_mem_new(bytes, 1);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        assert_int_equal(p[0], 0);
        assert_int_equal(memcmp(p, p + 1, bytes - 1), 0);
        memset(p, 0xFF, bytes);
        lorac_mem_free(p);
    }
}

static void large_blocks_take_memory_where_they_are_touched(void **state)
{
    (void)state;
    enum { BLOCK = 256 << 20 };
    size_t before = 0;
    size_t after = 0;
    size_t files = 0;
    lorac_machine_resident(&before, &files);
    unsigned char *p = lorac_mem_new(BLOCK, 1);
    assert_non_null(p);
    p[BLOCK / 2] = 1;
    lorac_machine_resident(&after, &files);
    assert_true(after < before + BLOCK / 8);
    lorac_mem_free(p);
}

#ifdef __linux__
static bool forgets; // does it do what it is told?

/* In the place of the C library's. */
int madvise(void *p, size_t n, int advice)
{
    return forgets ? 0 : (int)syscall(SYS_madvise, p, n, advice);
}

static void zeroes_that_do_not_come_are_written(void **state)
{
    forgets = true;
    large_blocks_are_zeroed(state);
    forgets = false;
}
#endif

static void a_string_is_copied_with_its_end(void **state)
{
    (void)state;
    char *s = lorac_mem_string("abcdef", 3);
    assert_string_equal(s, "abc");
    lorac_mem_free(s);
    s = lorac_mem_string(NULL, 0);
    assert_string_equal(s, "");
    lorac_mem_free(s);
    assert_null(lorac_mem_string("a", SIZE_MAX));
}

static void a_block_that_grows_keeps_what_it_held(void **state)
{
    (void)state;
    size_t cap = 0;
    int *p = NULL;
    for (int n = 0; n < 1000; n++) {
        int *larger = lorac_mem_grow(p, (size_t)n, &cap, (size_t)n + 1, sizeof *p);
        assert_non_null(larger);
        assert_true(cap > (size_t)n && cap >= 16 && (cap == 16 || cap <= 2 * (size_t)n));
        p = larger;
        p[n] = n;
    }
    for (int n = 0; n < 1000; n++) {
        assert_int_equal(p[n], n);
    }
    assert_int_equal(cap, 1024);
    assert_ptr_equal(lorac_mem_grow(p, 1000, &cap, 1024, sizeof *p), p); // it just fits
    assert_null(lorac_mem_grow(p, 1000, &cap, SIZE_MAX, sizeof *p));
    lorac_mem_fail_after(0);
    assert_null(lorac_mem_grow(p, 1000, &cap, 1025, sizeof *p));
    lorac_mem_fail_after(-1);
    assert_int_equal(cap, 1024);
    assert_int_equal(p[999], 999);
    lorac_mem_free(p);
}

static void failures_happen_where_they_are_asked_for(void **state)
{
    (void)state;
    lorac_mem_fail_after(2);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(lorac_mem_fail_left(), i < 3 ? 2 - i : -1);
        void *p = lorac_mem_new(1, 1);
        assert_int_equal(p != NULL, i != 2);
        lorac_mem_free(p);
    }
    lorac_raw_fail_after(1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(lorac_raw_fail_left(), i < 2 ? 1 - i : -1);
        void *p = lorac_mem_raw(1);
        assert_int_equal(p != NULL, i != 1);
        lorac_mem_free(p);
    }
}

static void text_grows_and_ends_with_a_nul(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    char want[4000] = "";
    lorac_buf_add(&b, NULL, 0);
    assert_string_equal(b.at, "");
    for (int i = 0; i < 200; i++) {
        lorac_buf_printf(&b, "%d,", i);
        lorac_buf_str(&b, "x");
        lorac_buf_add(&b, "yz-", 2);
        (void)snprintf(want + strlen(want), 20, "%d,xyz", i);
        assert_int_equal(b.n, strlen(want));
        assert_string_equal(b.at, want);
    }
    lorac_buf_add(&b, "a\0b", 3);
    assert_int_equal(b.n, strlen(want) + 3);
    lorac_buf_clear(&b);
    assert_int_equal(b.n, 0);
    assert_string_equal(b.at, "");
    lorac_buf_free(&b);
    assert_null(b.at);
}

static void text_without_memory_says_so_until_it_is_cleared(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    lorac_buf_str(&b, "kept");
    lorac_mem_fail_after(0);
    lorac_buf_printf(&b, "%0100d", 1);
    lorac_mem_fail_after(-1);
    assert_true(b.no_memory);
    lorac_buf_str(&b, "x");
    assert_string_equal(b.at, "kept");
    lorac_buf_clear(&b);
    assert_false(b.no_memory);
    lorac_buf_add(&b, "x", SIZE_MAX - 4); // more than there are addresses
    assert_true(b.no_memory);
    lorac_buf_clear(&b);
    lorac_buf_str(&b, "again");
    lorac_buf_add(&b, "x", SIZE_MAX - 5);
    assert_true(b.no_memory);
    assert_string_equal(b.at, "again");
    lorac_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_that_do_not_fit_are_noticed),
        cmocka_unit_test(blocks_are_zeroed_and_aligned),
        cmocka_unit_test(large_blocks_are_zeroed),
        cmocka_unit_test(large_blocks_take_memory_where_they_are_touched),
#ifdef __linux__
        cmocka_unit_test(zeroes_that_do_not_come_are_written),
#endif
        cmocka_unit_test(a_string_is_copied_with_its_end),
        cmocka_unit_test(a_block_that_grows_keeps_what_it_held),
        cmocka_unit_test(failures_happen_where_they_are_asked_for),
        cmocka_unit_test(text_grows_and_ends_with_a_nul),
        cmocka_unit_test(text_without_memory_says_so_until_it_is_cleared),
    };
    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
