/*
 * Numbers as text. What is promised, here and in a program whose locale has another decimal point
 * (the tests `comma.` and `momayyez.`):
 *   - what is printed has a point, in buffers, messages and JSON, and is read back to the same
 *     number;
 *   - the caller's locale stays as it was, that of the process and that of the thread;
 *   - the shortest decimal is found.
 */
#define _POSIX_C_SOURCE 200809L // uselocale
#include "base/core/err.h"
#include "base/core/json.h"
#include "base/core/number.h"

#include <float.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void what_is_printed_has_a_point(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    struct lorac_err err = {0};
    char text[64];
    lorac_buf_printf(&b, "%.9g %a %.3f", 0.1, 0.75, 1234.5);
    assert_string_equal(b.at, "0.1 0x1.8p-1 1234.500");
    assert_int_equal(lorac_snprintf(text, sizeof text, "%g|%zu", 1.5e-7, (size_t)1234567), 15);
    assert_string_equal(text, "1.5e-07|1234567");
    lorac_err_set(&err, LORAC_EUSER, "found %g", 0.5);
    lorac_err_prefix(&err, "%.1f: ", 2.5);
    assert_string_equal(err.text, "2.5: found 0.5");
    lorac_buf_free(&b);
}

static void what_is_read_has_a_point(void **state)
{
    (void)state;
    char *end = NULL;
    assert_true(lorac_strtod("0.25x", &end) == 0.25);
    assert_string_equal(end, "x");
    assert_true(lorac_strtod("0x1.8p-1", NULL) == 0.75);
    assert_true(lorac_strtod("3,5", &end) == 3.0); // no comma is read as a point
    assert_string_equal(end, ",5");
}

static void json_has_a_point(void **state)
{
    (void)state;
    static const char text[] = "{\"eps\":1.5e-5,\"theta\":10000.25,\"n\":3}";
    struct lorac_json root = {0};
    struct lorac_err err = {0};
    struct lorac_buf b = {0};
    double x = 0.0;
    assert_int_equal(lorac_json_parse(&root, text, strlen(text), "config.json", &err), LORAC_OK);
    assert_int_equal(lorac_json_number(&x, &root, "eps", true, &err), LORAC_OK);
    assert_true(x == 1.5e-5);
    lorac_json_text(&b, root.value, JSON_COMPACT);
    assert_string_equal(b.at, "{\"eps\":1.5e-5,\"theta\":10000.25,\"n\":3}");
    bool no = false;
    assert_int_equal(lorac_json_bool(&no, &root, "theta", true, &err), LORAC_EFORMAT);
    assert_string_equal(err.text, "config.json: 'theta' must be true or false, found 10000.25");
    lorac_buf_free(&b);
    lorac_json_free(&root);
}

static void the_callers_locale_stays(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    char before[16];
    char now[16];
    (void)snprintf(before, sizeof before, "%g", 0.5); // as the process has it
    lorac_buf_printf(&b, "%g", 0.5);
    (void)snprintf(now, sizeof now, "%g", 0.5);
    assert_string_equal(now, before);
    locale_t own = newlocale(LC_ALL_MASK, "C", (locale_t)0); // and as this thread has it
    locale_t last = uselocale(own);
    lorac_buf_printf(&b, "%g", 0.5);
    (void)lorac_strtod("0.5", NULL);
    assert_true(uselocale((locale_t)0) == own);
    uselocale(last);
    freelocale(own);
    assert_string_equal(b.at, "0.50.5");
    lorac_buf_free(&b);
}

static void the_shortest_decimal_is_found(void **state)
{
    (void)state;
    static const struct {
        double x;
        const char *want;
    } cases[] = {{0.1, "0.1"},       {1.0 / 3.0, "0.3333333333333333"},
                 {2e-4, "0.0002"},   {16.0, "16"},
                 {1e22, "1e+22"},    {-0.5, "-0.5"},
                 {5e-324, "5e-324"}, {DBL_MAX, "1.7976931348623157e+308"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_buf b = {0};
        lorac_number_print(&b, cases[i].x);
        assert_string_equal(b.at, cases[i].want);
        assert_true(lorac_strtod(b.at, NULL) == cases[i].x);
        lorac_buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_printed_has_a_point),
        cmocka_unit_test(what_is_read_has_a_point),
        cmocka_unit_test(json_has_a_point),
        cmocka_unit_test(the_callers_locale_stays),
        cmocka_unit_test(the_shortest_decimal_is_found),
    };
    return cmocka_run_group_tests_name("number", tests, NULL, NULL);
}
