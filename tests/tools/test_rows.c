/*
 * Rows of the server's cache. What is promised:
 *   - what a prompt has in common with what was read before is found, of one key alone, and the
 *     rows that it leads to hold those tokens, however pieces come and go;
 *   - pieces never overlap; one that is in use, or that another goes on from, stays; of the others
 *     the longest unused goes first;
 *   - there are as many rows as were wanted, or as many as there are, but never fewer than the
 *     least.
 */
#include "tests/support/faults.h"
#include "tools/serve/rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int32_t cache[64]; // what lies in each row

static struct piece *fill(struct rows *r, struct piece *parent, size_t begin, const char *key,
                          const int32_t *ids, size_t n, size_t cap)
{
    bool no_memory = false;
    struct piece *p = rows_take(&no_memory, r, parent, begin, key, cap, n);
    if (!p) { return NULL; }
    assert_true(p->cap >= n && p->at + p->cap <= r->n);
    memcpy(p->ids, ids, n * sizeof *ids);
    memcpy(cache + p->at, ids, n * sizeof *ids);
    p->n = n;
    return p;
}

/* The rows of the chain that ends in p hold ids (n). */
static void check_chain(const struct piece *p, const int32_t *ids, size_t n)
{
    for (; p; p = p->parent) {
        assert_true(n > p->begin && n - p->begin <= p->n);
        assert_memory_equal(cache + p->at, ids + p->begin, (n - p->begin) * sizeof *ids);
        n = p->begin;
    }
    assert_int_equal(n, 0);
}

static void check_order(const struct rows *r)
{
    size_t from = 0;
    for (const struct piece *p = r->first; p; p = p->next) {
        assert_true(p->at >= from && p->at + p->cap <= r->n);
        from = p->at + p->cap;
    }
}

static void what_is_common_is_found_of_one_key_alone(void **state)
{
    (void)state;
    struct rows r = {.n = 64};
    static const int32_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const int32_t other[] = {1, 2, 3, 9, 10, 11};
    size_t n = 0;
    struct piece *a = fill(&r, NULL, 0, "x", ids, 8, 10);
    assert_ptr_equal(rows_find(&n, &r, "x", other, 6), a);
    assert_int_equal(n, 3);
    assert_null(rows_find(&n, &r, "y", other, 6));
    assert_int_equal(n, 0);
    struct piece *b = fill(&r, a, 3, "x", other + 3, 3, 3); // it goes on from the middle of a
    assert_ptr_equal(rows_find(&n, &r, "x", other, 6), b);
    assert_int_equal(n, 6);
    check_chain(b, other, 6);
    assert_ptr_equal(rows_find(&n, &r, "x", ids, 5), a);
    assert_int_equal(n, 5);
    rows_leave(&r, a);
    assert_int_equal(a->cap, 8); // what is not filled is free
    rows_free(&r);
}

static void the_longest_unused_goes_first_and_no_other(void **state)
{
    (void)state;
    struct rows r = {.n = 12};
    static const int32_t ids[] = {1, 2, 3, 4};
    static const int32_t two[] = {2, 2, 3, 4};
    static const int32_t three[] = {3, 2, 3, 4};
    size_t n = 0;
    bool no_memory = false;
    struct piece *a = fill(&r, NULL, 0, "", ids, 4, 4);
    struct piece *b = fill(&r, NULL, 0, "", two, 4, 4);
    struct piece *c = fill(&r, NULL, 0, "", three, 4, 4);
    assert_null(rows_take(&no_memory, &r, NULL, 0, "", 1, 1)); // all are in use
    assert_false(no_memory);
    rows_leave(&r, b);
    rows_leave(&r, a);
    assert_ptr_equal(rows_find(&n, &r, "", ids, 4), a); // now b is the longest unused
    struct piece *d = fill(&r, c, 4, "", ids, 2, 4);
    assert_non_null(d);
    assert_null(rows_find(&n, &r, "", two, 4));
    assert_ptr_equal(rows_find(&n, &r, "", ids, 4), a);
    rows_leave(&r, c);
    struct piece *e = rows_take(&no_memory, &r, NULL, 0, "", 4, 4); // in the place of a
    assert_non_null(e);
    assert_null(rows_take(&no_memory, &r, NULL, 0, "", 4, 1)); // c has d behind it
    check_order(&r);
    rows_leave(&r, d);
    rows_leave(&r, e);
    struct piece *whole = rows_take(&no_memory, &r, NULL, 0, "", 12, 12);
    assert_non_null(whole);
    assert_int_equal(whole->cap, 12);
    rows_free(&r);
}

static void as_many_rows_as_there_are_but_not_fewer_than_the_least(void **state)
{
    (void)state;
    struct rows r = {.n = 10};
    static const int32_t ids[] = {1, 2, 3, 4};
    bool no_memory = false;
    (void)fill(&r, NULL, 0, "", ids, 4, 4);
    assert_null(rows_take(&no_memory, &r, NULL, 0, "", 9, 7));
    struct piece *p = rows_take(&no_memory, &r, NULL, 0, "", 9, 5);
    assert_non_null(p);
    assert_int_equal(p->cap, 6);
    rows_leave(&r, p); // nothing was filled: it is gone
    for (long i = 0; i < 2; i++) {
        faults_start(FAULTS_MEMORY, i);
        p = rows_take(&no_memory, &r, NULL, 0, "", 2, 2);
        assert_true(faults_stop());
        assert_null(p);
        assert_true(no_memory);
    }
    check_order(&r);
    rows_free(&r);
}

/* Some thousand requests of few tokens, whose beginnings are often the same. */
static void rows_hold_what_is_found_however_pieces_come_and_go(void **state)
{
    (void)state;
    struct rows r = {.n = 64};
    struct piece *used[4] = {0};
    uint64_t random = 1;
    for (size_t i = 0; i < 20000; i++) {
        int32_t ids[24];
        size_t known = 0;
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        size_t n = 2 + (size_t)(random >> 40) % 22;
        const char *key = random >> 62 ? "a" : "b";
        for (size_t k = 0; k < n; k++) {
            ids[k] = (int32_t)(random >> (20 + k) & 1);
        }
        struct piece **own = &used[(random >> 33) % 4];
        rows_leave(&r, *own);
        struct piece *at = rows_find(&known, &r, key, ids, n - 1);
        assert_true(known < n);
        if (at) {
            assert_string_equal(at->key, key);
            check_chain(at, ids, known);
        }
        *own = fill(&r, at, known, key, ids + known, n - known, n - known + i % 3);
        if (*own) { check_chain(*own, ids, n); }
        check_order(&r);
    }
    rows_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_common_is_found_of_one_key_alone),
        cmocka_unit_test(the_longest_unused_goes_first_and_no_other),
        cmocka_unit_test(as_many_rows_as_there_are_but_not_fewer_than_the_least),
        cmocka_unit_test(rows_hold_what_is_found_however_pieces_come_and_go),
    };
    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
