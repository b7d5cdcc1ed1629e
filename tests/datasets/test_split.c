/*
 * Classes and splits. What is promised:
 *   - a column's distinct values come in order of first appearance, counted; too many are refused;
 *   - a split is a function of the seed, holds every row once, and round(n * fraction) in the part;
 *   - with classes each gets its share, the missing ones by largest remainder;
 *   - whichever allocation fails is reported.
 */
#include "tests/datasets/bytes.h"
#include "tests/support/faults.h"

/* A table of one column, `n` rows of classes that `pattern` repeats. */
static struct lorac_table *make_table(char *text, size_t n, const char *pattern)
{
    size_t at = 0;
    memcpy(text, "label\n", 6);
    at = 6;
    for (size_t i = 0; i < n; i++) {
        text[at++] = pattern[i % strlen(pattern)];
        text[at++] = '\n';
    }
    text[at] = '\0';
    return open_text(text);
}

static void classes_come_in_order_of_appearance(void **state)
{
    (void)state;
    struct lorac_table *t = open_text("x,label\n1,b\n2,a\n3,b\n4,\n5, a\n6,b\n");
    struct lorac_classes c;
    assert_int_equal(lorac_classes_find(&c, t, 1, 4, NULL), LORAC_OK);
    const char *const values[] = {"b", "a", "", " a"};
    const size_t counts[] = {3, 1, 1, 1};
    const uint32_t of_row[] = {0, 1, 0, 2, 3, 0};
    assert_int_equal(c.K, 4);
    for (size_t k = 0; k < 4; k++) {
        assert_string_equal(c.value[k], values[k]);
        assert_int_equal(c.count[k], counts[k]);
    }
    assert_memory_equal(c.of_row, of_row, sizeof of_row);
    lorac_classes_free(&c);
    struct lorac_err err = {0};
    assert_int_equal(lorac_classes_find(&c, t, 1, 3, &err), LORAC_EUSER);
    assert_string_equal(err.text, "t.csv:6: column 'label' holds more than 3 different values, "
                                  "expected a label");
    lorac_table_close(t);
}

static void many_classes_are_told_apart(void **state)
{
    (void)state;
    enum { N = 3000 };
    struct lorac_buf text = {0};
    lorac_buf_str(&text, "n\n");
    for (int i = 0; i < N; i++) {
        lorac_buf_printf(&text, "%d\n", i * 7 % 1000);
    }
    struct lorac_table *t = open_text(text.at);
    struct lorac_classes c;
    assert_int_equal(lorac_classes_find(&c, t, 0, 5000, NULL), LORAC_OK);
    assert_int_equal(c.K, 1000);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(c.of_row[i], i % 1000);
    }
    lorac_classes_free(&c);
    lorac_table_close(t);
    lorac_buf_free(&text);
}

static void expect_every_row_once(const struct lorac_split *s, size_t n)
{
    assert_int_equal(s->n_part + s->n_rest, n);
    size_t p = 0;
    size_t r = 0;
    for (size_t i = 0; i < n; i++) { // both ascending: a merge gives all numbers
        if (p < s->n_part && s->part[p] == i) {
            p++;
        } else {
            assert_true(r < s->n_rest && s->rest[r] == i);
            r++;
        }
    }
}

static void a_split_is_a_function_of_the_seed(void **state)
{
    (void)state;
    struct lorac_split a;
    struct lorac_split b;
    assert_int_equal(lorac_split_make(&a, 1000, 0.1, NULL, 7, NULL), LORAC_OK);
    assert_int_equal(lorac_split_make(&b, 1000, 0.1, NULL, 7, NULL), LORAC_OK);
    assert_int_equal(a.n_part, 100);
    expect_every_row_once(&a, 1000);
    assert_memory_equal(a.part, b.part, 100 * sizeof *a.part);
    lorac_split_free(&b);
    assert_int_equal(lorac_split_make(&b, 1000, 0.1, NULL, 8, NULL), LORAC_OK);
    assert_memory_not_equal(a.part, b.part, 100 * sizeof *a.part);
    assert_in_range(a.part[50], 300, 700); // not the first rows, nor the last
    lorac_split_free(&a);
    lorac_split_free(&b);
}

static void each_class_gets_its_share(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        const char *pattern;
        double fraction;
        size_t part[4]; // of each class
    } cases[] = {
        {100, "aaab", 0.2, {15, 5}}, // 75 and 25
        {10, "aab", 0.5, {4, 1}},    // 7 and 3: 3.5 and 1.5, one of 5 is missing: the earlier class
        {9, "abc", 0.5, {2, 2, 1}},  // 1.5 each, 5 in all (4.5 rounds up)
        {101, "a", 0.1, {10}},       // 10.1
        {20, "aaaaaaaaab", 0.1, {2}}, // 1.8 and 0.2: 2 in all
        {29, "a", 0.29, {8}},         // 8.41
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1000];
        struct lorac_table *t = make_table(text, cases[i].n, cases[i].pattern);
        struct lorac_classes c;
        struct lorac_split s;
        assert_int_equal(lorac_classes_find(&c, t, 0, 10, NULL), LORAC_OK);
        assert_int_equal(lorac_split_make(&s, cases[i].n, cases[i].fraction, &c, i, NULL),
                         LORAC_OK);
        expect_every_row_once(&s, cases[i].n);
        size_t got[4] = {0};
        for (size_t k = 0; k < s.n_part; k++) {
            got[c.of_row[s.part[k]]]++;
        }
        assert_memory_equal(got, cases[i].part, sizeof got);
        lorac_split_free(&s);
        lorac_classes_free(&c);
        lorac_table_close(t);
    }
}

static void an_empty_side_is_refused(void **state)
{
    (void)state;
    const double bad[] = {0.0, 1.0, -0.5, 1.5, 0.01, 0.99, 0.0 / 0.0};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lorac_split s;
        struct lorac_err err = {0};
        assert_int_equal(lorac_split_make(&s, 10, bad[i], NULL, 1, &err), LORAC_EUSER);
        assert_non_null(strstr(err.text, "of 10 rows leaves a side empty"));
    }
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    struct lorac_table *t = open_text("label\na\nb\na\nb\n");
    int failures = 0;
    int unnoticed = 0; // libcsv asks for less where it gets none
    for (bool met = true; met; failures += met) {
        struct lorac_classes c = {0};
        struct lorac_split s = {0};
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, failures);
        enum lorac_status st = lorac_classes_find(&c, t, 0, 10, &err);
        if (!st) { st = lorac_split_make(&s, 4, 0.5, &c, 1, &err); }
        met = faults_stop();
        assert_true(st == LORAC_OK || (st == LORAC_ENOMEM && strstr(err.text, "memory")));
        unnoticed += met && !st;
        lorac_split_free(&s);
        lorac_classes_free(&c);
    }
    assert_true(failures > 10 && unnoticed < 6);
    lorac_table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_come_in_order_of_appearance),
        cmocka_unit_test(many_classes_are_told_apart),
        cmocka_unit_test(a_split_is_a_function_of_the_seed),
        cmocka_unit_test(each_class_gets_its_share),
        cmocka_unit_test(an_empty_side_is_refused),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
