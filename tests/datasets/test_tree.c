/*
 * Answers as a tree of tokens. What is promised:
 *   - each beginning that answers share stands once, nodes in preorder; every answer is found again
 *     on the way to where it ends, also where it is the beginning of another or equal to one;
 *   - a node knows the first answer at or below it, and how many end on one way down;
 *   - a tree is made again in place; what memory lacks is reported.
 */
#include "datasets/datasets.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void the_tree_of_the_drawing(void **state)
{
    (void)state;
    enum { AGE = 4, ARR, CARD, INKING, IVAL, L, LIMIT, _ };
    static const int32_t ids[] = {CARD, _, ARR, IVAL, CARD, _, L, INKING, AGE, _, LIMIT};
    static const size_t end[] = {4, 8, 11};
    static const int32_t token[] = {-1, AGE, _, LIMIT, CARD, _, ARR, IVAL, L, INKING};
    static const uint32_t parent[] = {0, 0, 1, 2, 0, 4, 5, 6, 5, 8};
    static const uint32_t last[] = {10, 4, 4, 4, 10, 10, 8, 8, 10, 10};
    struct lorac_tree t = {0};
    assert_int_equal(lorac_tree_make(&t, ids, end, 3, NULL), LORAC_OK);
    assert_int_equal(t.n, 10);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(t.at[i].id, token[i]);
        assert_int_equal(t.at[i].parent, parent[i]);
        assert_int_equal(t.at[i].end, last[i]);
    }
    assert_true(t.longest == 4 && t.rows == 6 && t.K == 3);
    assert_true(t.last[0] == 7 && t.last[1] == 9 && t.last[2] == 3);
    assert_true(t.at[0].least == 0 && t.at[8].least == 1 && t.at[1].least == 2);
    assert_true(t.at[0].children == 2 && t.at[5].children == 2 && t.at[3].children == 0);
    lorac_tree_free(&t);
}

static void beginnings_and_equal_answers(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 2, 3, 1, 1, 2, 3, 5, 1, 2};
    static const size_t end[] = {3, 4, 7, 8, 10}; // 1 2 3 | 1 | 1 2 3 | 5 | 1 2
    struct lorac_tree t = {0};
    assert_int_equal(lorac_tree_make(&t, ids, end, 5, NULL), LORAC_OK);
    assert_int_equal(t.n, 5); // 1 - 2 - 3, 5
    assert_true(t.at[1].ends == 1 && t.at[2].ends == 1 && t.at[3].ends == 2 && t.at[4].ends == 1);
    assert_true(t.order[t.at[3].first] == 0 && t.order[t.at[3].first + 1] == 2);
    assert_true(t.order[t.at[1].first] == 1 && t.order[t.at[2].first] == 4); // before longer ones
    assert_int_equal(t.longest, 3);
    assert_true(t.last[0] == 3 && t.last[2] == 3 && t.last[1] == 1 && t.last[4] == 2);
    assert_true(t.at[1].nested == 4 && t.at[2].nested == 3 && t.at[4].nested == 1);
    assert_true(t.at[1].least == 0 && t.at[4].least == 3 && t.at[0].nested == 4);
    assert_int_equal(t.rows, 2);
    lorac_tree_free(&t);
}

/* Every answer of random ones, read back from the tree; the number of its nodes by another way. */
static void random_answers_are_found_again(void **state)
{
    (void)state;
    enum { K = 40, MOST = 6 };
    struct lorac_tree t = {0};
    srand(5);
    for (int round = 0; round < 200; round++) {
        int32_t ids[K * MOST];
        size_t end[K];
        size_t n = 0;
        size_t count = 1 + (size_t)rand() % K;
        size_t letters = 1 + (size_t)rand() % 4;
        for (size_t k = 0; k < count; k++) {
            size_t tokens = 1 + (size_t)rand() % MOST;
            for (size_t i = 0; i < tokens; i++) {
                ids[n++] = (int32_t)((size_t)rand() % letters);
            }
            end[k] = n;
        }
        assert_int_equal(lorac_tree_make(&t, ids, end, count, NULL), LORAC_OK);
        size_t ends = 0;
        for (size_t i = 0; i < t.n; i++) {
            ends += t.at[i].ends;
            assert_true(i == 0 || t.at[i].parent < i);
            assert_true(t.at[i].end > i && t.at[i].end <= t.at[t.at[i].parent].end);
            for (size_t a = i + 1; a < t.at[i].end; a = t.at[a].end) { // no token twice
                assert_int_equal(t.at[a].parent, i);
                for (size_t b = t.at[a].end; b < t.at[i].end; b = t.at[b].end) {
                    assert_int_not_equal(t.at[a].id, t.at[b].id);
                }
            }
        }
        assert_int_equal(ends, count);
        for (size_t k = 0; k < count; k++) {
            size_t at = end[k];
            size_t begin = k ? end[k - 1] : 0;
            for (uint32_t i = t.last[k]; i != 0; i = t.at[i].parent) {
                assert_int_equal(t.at[i].id, ids[--at]);
            }
            assert_int_equal(at, begin);
        }
    }
    lorac_tree_free(&t);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    static const int32_t ids[] = {1, 2, 1, 3};
    static const size_t end[] = {2, 4};
    int failures = 0;
    for (bool met = true; met; failures += met) {
        struct lorac_tree t = {0};
        faults_start(FAULTS_MEMORY, failures);
        enum lorac_status st = lorac_tree_make(&t, ids, end, 2, NULL);
        met = faults_stop();
        assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
        lorac_tree_free(&t);
    }
    assert_int_equal(failures, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_of_the_drawing),
        cmocka_unit_test(beginnings_and_equal_answers),
        cmocka_unit_test(random_answers_are_found_again),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
