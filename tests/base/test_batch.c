/*
 * The packed batch. What is promised:
 *   - rows, positions and segments are those of the picture in batch.h;
 *   - a segment that continues another takes over its cache, its past and its adapter;
 *   - rows that score stand in compressed form, several targets of one row together;
 *   - `fits` says exactly what still fits;
 *   - making one reports each failed allocation, and nothing leaks.
 */
#include "base/batch.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const int32_t ids[] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22};

static struct lorac_batch *batch(size_t rows, size_t segments, size_t targets)
{
    struct lorac_batch *b = NULL;
    assert_int_equal(lorac_batch_new(&b, rows, segments, targets, NULL), LORAC_OK);
    assert_true(b->N == 0 && b->S == 0 && b->U == 0 && b->T == 0 && b->first[0] == 0);
    return b;
}

static void segments_are_packed_as_in_the_picture(void **state)
{
    (void)state;
    struct lorac_batch *b = batch(13, 4, 0);
    assert_int_equal(lorac_batch_add(b, ids, 5, -1), 0);
    assert_int_equal(lorac_batch_add(b, ids + 5, 3, 0), 1);
    assert_int_equal(lorac_batch_add(b, ids + 8, 2, 0), 2);
    assert_int_equal(lorac_batch_add(b, ids + 10, 3, -1), 3);
    static const uint32_t position[] = {0, 1, 2, 3, 4, 5, 6, 7, 5, 6, 0, 1, 2};
    static const uint32_t row[] = {0, 5, 8, 10};
    static const uint32_t n[] = {5, 3, 2, 3};
    static const int32_t parent[] = {-1, 0, 0, -1};
    assert_true(b->N == 13 && b->S == 4);
    assert_memory_equal(b->ids, ids, sizeof ids);
    assert_memory_equal(b->position, position, sizeof position);
    for (size_t s = 0; s < 4; s++) {
        const struct lorac_segment *seg = &b->segments[s];
        assert_true(seg->row == row[s] && seg->n == n[s] && seg->parent == parent[s]);
        assert_true(seg->cached == 0 && seg->past == 0 && !seg->keep && seg->adapter == 0);
        assert_int_equal(seg->position, position[row[s]]);
    }
    lorac_batch_clear(b);
    assert_true(b->N == 0 && b->S == 0);
    assert_int_equal(lorac_batch_add(b, ids, 13, -1), 0); // its capacity is as before
    lorac_batch_free(b);
}

static void a_child_continues_its_parents_cache(void **state)
{
    (void)state;
    struct lorac_batch *b = batch(10, 4, 0);
    int32_t root = lorac_batch_add_cached(b, ids, 3, -1, 2, 7, true);
    b->segments[root].adapter = 5;
    int32_t child = lorac_batch_add(b, ids, 2, root);
    int32_t grandchild = lorac_batch_add(b, ids, 1, child);
    const struct lorac_segment *s = b->segments;
    assert_true(s[root].cached == 2 && s[root].past == 7 && s[root].position == 7 && s[root].keep);
    assert_true(s[child].past == 0 && s[child].position == 10);
    assert_true(!s[child].keep && s[child].adapter == 5 && s[child].parent == root);
    assert_true(s[grandchild].position == 12 && s[grandchild].past == 0);
    static const uint32_t position[] = {7, 8, 9, 10, 11, 12};
    assert_memory_equal(b->position, position, sizeof position);
    int32_t chain[LORAC_MAX_CHAIN];
    assert_int_equal(lorac_segment_chain(chain, s, grandchild), 3);
    assert_true(chain[0] == root && chain[1] == child && chain[2] == grandchild);
    lorac_batch_free(b);
}

static void scored_rows_are_compressed(void **state)
{
    (void)state;
    struct lorac_batch *b = batch(6, 1, 5);
    lorac_batch_add(b, ids, 6, -1);
    lorac_batch_score(b, 1, 40);
    lorac_batch_score(b, 3, 41);
    lorac_batch_score(b, 3, 42); // a second label of the same row
    lorac_batch_want_logits(b, 4);
    lorac_batch_want_logits(b, 4); // asked twice: once
    lorac_batch_score(b, 4, 43);
    lorac_batch_score(b, 5, 44);
    static const uint32_t rows[] = {1, 3, 4, 5};
    static const uint32_t first[] = {0, 1, 3, 4, 5};
    static const int32_t target[] = {40, 41, 42, 43, 44};
    assert_true(b->U == 4 && b->T == 5);
    assert_memory_equal(b->head_row, rows, sizeof rows);
    assert_memory_equal(b->first, first, sizeof first);
    assert_memory_equal(b->target, target, sizeof target);
    lorac_batch_free(b);
}

static void fits_is_exact(void **state)
{
    (void)state;
    struct lorac_batch *b = batch(6, 2, 3);
    assert_true(lorac_batch_fits(b, 6, 3));
    assert_false(lorac_batch_fits(b, 7, 0));
    assert_false(lorac_batch_fits(b, SIZE_MAX, 0));
    assert_false(lorac_batch_fits(b, 1, 4));
    lorac_batch_add(b, ids, 4, -1);
    lorac_batch_score(b, 0, 1);
    assert_true(lorac_batch_fits(b, 2, 2));
    assert_false(lorac_batch_fits(b, 3, 0));
    assert_false(lorac_batch_fits(b, 1, 3));
    lorac_batch_add(b, ids, 1, 0);
    assert_false(lorac_batch_fits(b, 1, 0)); // segments are used up
    lorac_batch_free(b);
}

static void each_failed_allocation_is_reported(void **state)
{
    (void)state;
    long n = 0;
    for (;; n++) {
        struct lorac_batch *b = NULL;
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_batch_new(&b, 4, 2, 2, &err);
        if (!faults_stop()) {
            lorac_batch_free(b);
            break;
        }
        assert_null(b);
        assert_int_equal(st, LORAC_ENOMEM);
        assert_string_equal(err.text, "no memory for a batch of 4 rows");
    }
    assert_int_equal(n, 10); // the batch and its nine arrays
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_packed_as_in_the_picture),
        cmocka_unit_test(a_child_continues_its_parents_cache),
        cmocka_unit_test(scored_rows_are_compressed),
        cmocka_unit_test(fits_is_exact),
        cmocka_unit_test(each_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
