/*
 * Which name was meant? What is promised: the nearest of the names there are, at most two letters
 * away and never one that has nothing in common with it; case does not count; all names are listed
 * up to twelve.
 */
#include "datasets/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *name, const char *const *names, size_t n, const char *want)
{
    struct lorac_buf b = {0};
    lorac_names_hint(&b, name, names, n);
    assert_string_equal(b.at, want);
    lorac_buf_free(&b);
}

#define THERE "; there are 'label', 'text', 'Premise'"

static void the_nearest_is_named(void **state)
{
    (void)state;
    static const char *const names[] = {"label", "text", "Premise"};
    static const struct {
        const char *name, *want;
    } cases[] = {
        {"lable", " (did you mean 'label'?)" THERE},  // two letters
        {"labels", " (did you mean 'label'?)" THERE}, // one more
        {"abel", " (did you mean 'label'?)" THERE},   // one less
        {"labfl", " (did you mean 'label'?)" THERE},
        {"LABEL", " (did you mean 'label'?)" THERE},
        {"premise", " (did you mean 'Premise'?)" THERE},
        {"xtexty", " (did you mean 'text'?)" THERE}, // two more
        {"xtextyz", THERE},                          // three
        {"bel", " (did you mean 'label'?)" THERE},
        {"el", THERE},
        {"", THERE},
        {"tabel", " (did you mean 'label'?)" THERE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect(cases[i].name, names, 3, cases[i].want);
    }
    static const char *const both[] = {"ab", "abcd", "abc"};
    expect("abce", both, 3, " (did you mean 'abcd'?); there are 'ab', 'abcd', 'abc'"); // of equals
    expect("abc", both, 3, " (did you mean 'abc'?); there are 'ab', 'abcd', 'abc'");
    static const char *const little[] = {"a", "xy"};
    expect("b", little, 2, "; there are 'a', 'xy'"); // all of its letters are others
    expect("xa", little, 2, " (did you mean 'xy'?); there are 'a', 'xy'");
    expect("x", NULL, 0, "; there are none");
}

static void long_names_are_compared(void **state)
{
    (void)state;
    static const char *const names[] = {"bcdefghijklmnopqrstuvwxyz12345678"};
    struct lorac_buf b = {0};
    lorac_names_hint(&b, "bcdefghijklmnopqrstuvwxyz1234567", names, 1);
    assert_memory_equal(b.at, " (did you mean 'bcd", 19);
    lorac_buf_free(&b);
}

static void twelve_names_are_listed(void **state)
{
    (void)state;
    static const char *const names[] = {"n01", "n02", "n03", "n04", "n05", "n06", "n07",
                                        "n08", "n09", "n10", "n11", "n12", "n13", "n14"};
    static const char twelve[] = "; there are 'n01', 'n02', 'n03', 'n04', 'n05', 'n06', 'n07', "
                                 "'n08', 'n09', 'n10', 'n11', 'n12'";
    char want[200];
    expect("nothing", names, 12, twelve);
    for (size_t n = 13; n < 15; n++) {
        (void)snprintf(want, sizeof want, "%s, ... (%zu)", twelve, n);
        expect("nothing", names, n, want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_is_named),
        cmocka_unit_test(long_names_are_compared),
        cmocka_unit_test(twelve_names_are_listed),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
