/*
 * Messages. What is promised: a code and one line, cut where it does not fit and always ended; text
 * in front of it and behind it; NULL is accepted everywhere. What nobody would see in a text is
 * shown.
 */
#include "base/core/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_failure_has_a_code_and_a_line(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    assert_int_equal(lorac_fail(&err, LORAC_EUSER, "%s: %d", "a", 7), LORAC_EUSER);
    assert_int_equal(err.code, LORAC_EUSER);
    assert_string_equal(err.text, "a: 7");
    lorac_err_prefix(&err, "file %d: ", 1);
    lorac_err_add(&err, " (%s)", "so");
    assert_string_equal(err.text, "file 1: a: 7 (so)");
    assert_int_equal(err.code, LORAC_EUSER);
    lorac_err_prefix(NULL, "x");
    lorac_err_add(NULL, "x");
    assert_int_equal(lorac_fail(NULL, LORAC_EIO, "x"), LORAC_EIO);
}

static void a_long_line_is_cut(void **state)
{
    (void)state;
    enum { SIZE = sizeof((struct lorac_err *)0)->text };
    struct {
        struct lorac_err err;
        char behind[8];
    } e = {.behind = "behind"};
    char long_text[2 * SIZE];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    lorac_err_set(&e.err, LORAC_EIO, "%s", long_text);
    assert_int_equal(strlen(e.err.text), SIZE - 1);
    lorac_err_add(&e.err, "more");
    assert_int_equal(strlen(e.err.text), SIZE - 1);
    lorac_err_prefix(&e.err, "ab");
    assert_int_equal(strlen(e.err.text), SIZE - 1);
    assert_memory_equal(e.err.text, "abx", 3);
    lorac_err_set(&e.err, LORAC_EIO, "%.*s", SIZE - 4, long_text);
    lorac_err_add(&e.err, "123");
    assert_string_equal(e.err.text + SIZE - 4, "123"); // it just fits
    lorac_err_prefix(&e.err, "%s", long_text);
    assert_int_equal(strlen(e.err.text), SIZE - 1);
    assert_string_equal(e.behind, "behind");
}

static void what_nobody_sees_is_shown(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"plain text", "plain text"},
        {"a\tb\nc\rd", "a\\tb\\nc\\rd"},
        {"a\xC2\xA0z", "a<U+00A0>z"},
        {"\xE2\x80\x8B", "<U+200B>"}, // a space of no width
        {"\xE2\x80\xA8\xE2\x80\xA9", "<U+2028><U+2029>"},
        {"\xE3\x80\x80", "<U+3000>"},
        {"\xE2\xA0\x80\xE3\x85\xA4", "<U+2800><U+3164>"}, // letters that are blank
        {"\x01\x7F", "<U+0001><U+007F>"},
        {"\xE9t\xC3\xA9", "<0xE9>t\xC3\xA9"},
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64];
        assert_ptr_equal(lorac_visible(out, sizeof out, cases[i].text, strlen(cases[i].text)), out);
        assert_string_equal(out, cases[i].want);
    }
}

static void what_is_utf8_is_told(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a", "\xC3\xA9", "\xF0\x9F\x98\x80z"};
    static const char *const bad[] = {"\xC3", "a\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80",
                                      "\xC0\x80"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(lorac_is_utf8(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(lorac_is_utf8(bad[i], strlen(bad[i])));
    }
    assert_true(lorac_is_utf8("a\0b", 3));
}

static void what_does_not_fit_is_cut_between_characters(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"123456789012345", "123456789012345"},
        {"1234567890123456", "123456789012..."},
        {"12345678901\xC3\xA9xyz", "12345678901..."},
        {"1234567890\xC3\xA9wxyz", "1234567890\xC3\xA9..."},
        {"1234567890\xC2\xA0", "1234567890..."},
        {"1234567\xC2\xA0", "1234567<U+00A0>"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[17] = "";
        out[16] = 'Z';
        (void)lorac_visible(out, 16, cases[i].text, strlen(cases[i].text));
        assert_string_equal(out, cases[i].want);
        assert_int_equal(out[16], 'Z');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_has_a_code_and_a_line),
        cmocka_unit_test(a_long_line_is_cut),
        cmocka_unit_test(what_nobody_sees_is_shown),
        cmocka_unit_test(what_is_utf8_is_told),
        cmocka_unit_test(what_does_not_fit_is_cut_between_characters),
    };
    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
