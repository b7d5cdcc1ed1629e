/* Which branch of a tree of answers goes on, with sums that are given: the likeliest, and what can
 * neither win nor weigh in the probabilities is not asked. */
#include "recipes/run/search.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static struct lorac_open at(uint32_t node, double sum)
{
    return (struct lorac_open){.node = node, .sum = sum};
}

/* ab, ac, d: the tree is 0 -+- 1 a -+- 2 b  and 4 d. */
static void what_cannot_win_is_not_asked(void **state)
{ //        +- 3 c
    (void)state;
    static const int32_t ids[] = {1, 2, 1, 3, 4, 5};
    static const size_t end[] = {2, 4, 6}; // 1 2 | 1 3 | 4 5
    struct lorac_tree t = {0};
    struct lorac_search s = {0};
    assert_int_equal(lorac_tree_make(&t, ids, end, 3, NULL), LORAC_OK);
    static const struct {
        double other; // of the branch 4; the likelier one's is 0.25
        bool probability;
        size_t first; // how many go on at first,
        size_t then;  // ... and behind the best answer, whose sum is 0.5
    } cases[] = {
        {0.4, false, 1, 1}, // it may still be better
        {0.5, false, 1, 0}, // as good, but the first counts
        {0.6, false, 1, 0}, // worse
        {0.6, true, 2, 0},  // worse, but it has a share of the probability: both are needed
        {10.1, true, 2, 0}, // 5.3e-5 of it, more than half the last of four digits
        {10.2, true, 1, 1}, // 4.8e-5, but 6.1e-5 of what is left then
        {10.6, true, 1, 0}, // 3.2e-5 and 4.1e-5
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lorac_search_begin(&s, &t, 1, cases[i].probability);
        struct lorac_open first = at(1, 0.25);
        struct lorac_open other = at(4, cases[i].other);
        lorac_search_reach(&s, &first);
        lorac_search_reach(&s, &other);
        assert_int_equal(lorac_search_next(&s), cases[i].first);
        assert_int_equal(s.open[0].node, 1);
        lorac_search_take(&s, cases[i].first);
        struct lorac_open b = at(2, 0.5);
        struct lorac_open c = at(3, 30.0);
        lorac_search_reach(&s, &b);
        lorac_search_reach(&s, &c);
        assert_int_equal(lorac_search_next(&s), cases[i].then);
        assert_int_equal(s.done[0].k, 0);
        if (cases[i].other > 10.0 && !cases[i].then) {
            assert_true(s.done[0].probability > 1.0 - 1e-6);
        }
    }
    lorac_search_begin(&s, &t, 1, false); // of equal branches the one with the first answer goes on
    struct lorac_open d = at(5, 0.5);
    struct lorac_open a = at(1, 0.5);
    lorac_search_reach(&s, &d);
    lorac_search_reach(&s, &a);
    assert_int_equal(lorac_search_next(&s), 1);
    assert_int_equal(s.open[0].node, 1);
    lorac_search_free(&s);
    lorac_tree_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_win_is_not_asked),
    };
    return cmocka_run_group_tests_name("search", tests, NULL, NULL);
}
