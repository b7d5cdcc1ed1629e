/*
 * "Did you mean". What is promised: the distance counts edits and swaps of neighbours, without
 * regard to ASCII case and to what stands behind 127 bytes; the nearest word is the first of
 * equals, no farther than asked for, and has a letter in common with what was written.
 */
#include "base/core/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void distances_count_edits_and_swaps(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        size_t want;
    } cases[] = {{"", "", 0},         {"", "abc", 3},        {"rank", "rank", 0},
                 {"rnak", "rank", 1}, {"aplha", "alpha", 1}, {"kitten", "sitting", 3},
                 {"ca", "abc", 3},    {"lr", "rl", 1},       {"RANK", "rank", 0},
                 {"Rnak", "rANK", 1}, {"@[", "`{", 2},       {"\xC3\xA9", "\xE3\x89", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(lorac_distance(cases[i].a, cases[i].b), cases[i].want);
        assert_int_equal(lorac_distance(cases[i].b, cases[i].a), cases[i].want);
    }
}

static void of_long_words_the_first_127_bytes_are_compared(void **state)
{
    (void)state;
    char a[200];
    char b[200];
    memset(a, 'a', sizeof a);
    memset(b, 'a', sizeof b);
    a[199] = b[199] = '\0';
    b[127] = 'b';
    assert_int_equal(lorac_distance(a, b), 0);
    b[126] = 'b';
    assert_int_equal(lorac_distance(a, b), 1);
    struct lorac_near near = {.word = a, .most = 2};
    assert_false(lorac_near_try(&near, b)); // what differs behind them nobody knows
    a[127] = b[127] = '\0';
    assert_true(lorac_near_try(&near, b));
}

static void the_nearest_word_is_the_first_of_equals(void **state)
{
    (void)state;
    struct lorac_near near = {.word = "abce", .most = 2};
    assert_true(lorac_near_try(&near, "abxy"));
    assert_true(lorac_near_try(&near, "abcd"));
    assert_false(lorac_near_try(&near, "abc"));
    assert_string_equal(near.best, "abcd");
    assert_int_equal(near.distance, 1);
}

static void a_word_that_is_too_far_was_not_meant(void **state)
{
    (void)state;
    static const struct {
        const char *word, *candidate;
        size_t most;
        bool near;
    } cases[] = {
        {"modle", "model", 1, true},   {"mdl", "model", 1, false},  {"mdl", "model", 2, true},
        {"b", "a", 2, false},          {"xa", "xy", 2, true},       {"el", "label", 2, false},
        {"", "a", 2, false},           {"xa", "b", 2, false},       {"a", "ab", 2, false},
        {"label", "labels", 0, false}, {"label", "LABEL", 0, true}, {"ab", "a", 2, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_near near = {.word = cases[i].word, .most = cases[i].most};
        assert_int_equal(lorac_near_try(&near, cases[i].candidate), cases[i].near);
        assert_ptr_equal(near.best, cases[i].near ? cases[i].candidate : NULL);
    }
}

static void a_hint_says_it_or_nothing(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(lorac_near_hint(out, sizeof out, "rank"), " (did you mean 'rank'?)");
    assert_string_equal(lorac_near_hint(out, sizeof out, NULL), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances_count_edits_and_swaps),
        cmocka_unit_test(of_long_words_the_first_127_bytes_are_compared),
        cmocka_unit_test(the_nearest_word_is_the_first_of_equals),
        cmocka_unit_test(a_word_that_is_too_far_was_not_meant),
        cmocka_unit_test(a_hint_says_it_or_nothing),
    };
    return cmocka_run_group_tests_name("suggest", tests, NULL, NULL);
}
