/*
 * Characters. What is promised: UTF-8 is read and written as the Unicode standard defines it, for
 * every code point and every pair of first bytes; what is ill-formed becomes one U+FFFD for each
 * maximal part; classes of characters are those of PCRE2's properties; the 256 characters that
 * stand for bytes go both ways.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/tokenizer/impl.h"

#include <pcre2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include <cmocka.h>

enum { N_CODES = 0x110000 };

static bool is_surrogate(uint32_t cp)
{
    return cp >= 0xD800 && cp <= 0xDFFF;
}

static void every_code_point_is_written_and_read(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < N_CODES; cp++) {
        char s[4];
        uint32_t back = 0;
        if (is_surrogate(cp)) { continue; }
        const size_t n = lorac_utf8_put(s, cp);
        const size_t want = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
        assert_int_equal(n, want);
        assert_int_equal(lorac_utf8_next(s, n, &back), n);
        assert_int_equal(back, cp);
        assert_int_equal(lorac_utf8_next(s, n - 1, &back), 0);
    }
}

/* By the definition: bits put together, then not longer than needed, no surrogate, in range. */
static size_t plain_next(const unsigned char *u, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (n == 0) { return 0; }
    if (u[0] < 0x80) { return 1; }
    const size_t len = (u[0] & 0xE0) == 0xC0   ? 2
                       : (u[0] & 0xF0) == 0xE0 ? 3
                       : (u[0] & 0xF8) == 0xF0 ? 4
                                               : 0;
    if (len == 0 || n < len) { return 0; }
    uint32_t cp = u[0] & (0x7FU >> len);
    for (size_t i = 1; i < len; i++) {
        if ((u[i] & 0xC0) != 0x80) { return 0; }
        cp = cp << 6 | (u[i] & 0x3FU);
    }
    return cp < least[len] || is_surrogate(cp) || cp >= N_CODES ? 0 : len;
}

static void every_pair_of_first_bytes_is_read_as_defined(void **state)
{
    (void)state;
    static const unsigned char rest[][2] = {{0x80, 0x80}, {0xBF, 0xBF}, {0x7F, 0x80},
                                            {0x80, 0x7F}, {0xC0, 0x80}, {0x80, 0xC0}};
    for (unsigned i = 0; i < 256 * 256 * 6; i++) {
        const unsigned char u[4] = {(unsigned char)(i >> 8), (unsigned char)i, rest[i / 65536][0],
                                    rest[i / 65536][1]};
        uint32_t cp = 0;
        for (size_t n = 0; n <= 4; n++) {
            assert_int_equal(lorac_utf8_next((const char *)u, n, &cp), plain_next(u, n));
        }
    }
}

static void what_is_ill_formed_becomes_one_mark_for_each_part(void **state)
{
    (void)state;
#define MARK "\xEF\xBF\xBD"
    static const struct {
        const char *s, *want;
        size_t open;
    } cases[] = {
        {"a\xF1\x80\x80\xE1\x80\xC2"
         "b\x80"
         "c\x80\xBF"
         "d",
         "a" MARK MARK MARK "b" MARK "c" MARK MARK "d", 0}, // table 3-8 of the standard
        {"x\xC3", "x" MARK, 3},
        {"x\xC3\xA9", "x\xC3\xA9", 0},
        {"\xC1", MARK, 0},
        {"\xC2", MARK, 3},
        {"\xE0", MARK, 3},
        {"\xE0\x9F", MARK MARK, 0},
        {"\xE0\xA0", MARK, 3},
        {"\xE1\x80", MARK, 3},
        {"\xE1\xC0", MARK MARK, 0},
        {"\xE1\x80\x7F", MARK "\x7F", 0},
        {"\xED\x9F", MARK, 3},
        {"\xED\xA0", MARK MARK, 0},
        {"\xEF\xBF", MARK, 3},
        {"\xF0\x8F", MARK MARK, 0},
        {"\xF0\x90", MARK, 3},
        {"\xF0\x9F\x98", MARK, 3},
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80", 0},
        {"\xF4\x8F", MARK, 3},
        {"\xF4\x90", MARK MARK, 0},
        {"\xF4", MARK, 3},
        {"\xF5", MARK, 0},
        {"\xF0\x9Fy", MARK "y", 0},
        {"", "", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_buf b = {0};
        const size_t n = strlen(cases[i].s);
        assert_int_equal(lorac_utf8_lossy(&b, cases[i].s, n), cases[i].open);
        assert_string_equal(b.at ? b.at : "", cases[i].want);
        lorac_buf_free(&b);
    }
}

static pcre2_code *compile(const char *pattern)
{
    int code = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *c = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                  PCRE2_UTF | PCRE2_ANCHORED, &code, &at, NULL);
    assert_non_null(c);
    return c;
}

static bool matches(const pcre2_code *c, pcre2_match_data *data, uint32_t cp)
{
    char s[4];
    const size_t n = lorac_utf8_put(s, cp);
    return pcre2_match(c, (PCRE2_SPTR)s, n, 0, 0, data, NULL) > 0;
}

/* is() agrees with PCRE2 on every code point but for `others`, and for those that are new or of
 * another category in one library's version of Unicode. */
static void expect_class(const char *pattern, bool (*is)(uint32_t cp), bool (*others)(uint32_t cp))
{
    enum { CATEGORIES = UTF8PROC_CATEGORY_CO + 1 };
    size_t members = 0;
    pcre2_code *wanted = compile(pattern);
    pcre2_code *category[CATEGORIES] = {NULL};
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    for (uint32_t cp = 0; cp < N_CODES; cp++) {
        if (is_surrogate(cp) || (others && others(cp))) { continue; }
        const utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
        if (!category[c]) {
            char name[8];
            (void)snprintf(name, sizeof name, "\\p{%s}",
                           utf8proc_category_string((utf8proc_int32_t)cp));
            category[c] = compile(name);
        }
        if (c == UTF8PROC_CATEGORY_CN || !matches(category[c], data, cp)) { continue; }
        const bool want = matches(wanted, data, cp);
        if (is(cp) != want) { fail_msg("U+%04X is%s of %s", cp, want ? "" : " not", pattern); }
        members += want;
    }
    assert_true(members > 5);
    pcre2_match_data_free(data);
    for (size_t i = 0; i < CATEGORIES; i++) {
        pcre2_code_free(category[i]);
    }
    pcre2_code_free(wanted);
}

static void classes_are_those_of_the_properties(void **state)
{
    (void)state;
    expect_class("\\p{White_Space}", lorac_char_is_space, NULL);
    expect_class("[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200C}\\x{200D}]", lorac_char_is_word,
                 NULL);
    expect_class("\\p{N}", lorac_char_is_number, NULL);
    expect_class("[\\p{P}!-/:-@\\[-`{-~\\x{166D}]", lorac_char_is_punct, lorac_char_is_recent);
    expect_class("[\\p{Mn}\\x{1734}]", lorac_char_is_nonspacing, lorac_char_is_recent);
    expect_class("[\\p{Cc}\\p{Cf}\\p{Co}]", lorac_char_is_other, lorac_char_is_recent);
}

static void characters_that_stand_for_bytes_go_both_ways(void **state)
{
    (void)state;
    int seen = 0;
    for (int byte = 0; byte < 256; byte++) {
        assert_int_equal(lorac_char_byte(lorac_byte_char((unsigned char)byte)), byte);
    }
    for (uint32_t cp = 0; cp < 0x1000; cp++) {
        const int byte = lorac_char_byte(cp);
        if (byte < 0) { continue; }
        assert_int_equal(lorac_byte_char((unsigned char)byte), cp);
        seen++;
    }
    assert_int_equal(seen, 256);
    assert_int_equal(lorac_byte_char(' '), 0x120); // of GPT-2's table
    assert_int_equal(lorac_byte_char('\n'), 0x10A);
    assert_int_equal(lorac_byte_char(0x7F), 0x121);
    assert_int_equal(lorac_byte_char(0xAD), 0x143);
    assert_int_equal(lorac_byte_char(0xA1), 0xA1);
}

static void what_text_may_become_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(lorac_growth_limit(0), 65536);
    assert_int_equal(lorac_growth_limit(1000), 65536 + 256000);
    assert_int_equal(lorac_growth_limit((1 << 21) - 1), 65536 + 256 * ((1 << 21) - 1));
    assert_int_equal(lorac_growth_limit(1 << 21), 1 << 30);
    assert_int_equal(lorac_growth_limit(SIZE_MAX), 1 << 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_written_and_read),
        cmocka_unit_test(every_pair_of_first_bytes_is_read_as_defined),
        cmocka_unit_test(what_is_ill_formed_becomes_one_mark_for_each_part),
        cmocka_unit_test(classes_are_those_of_the_properties),
        cmocka_unit_test(characters_that_stand_for_bytes_go_both_ways),
        cmocka_unit_test(what_text_may_become_is_bounded),
    };
    return cmocka_run_group_tests_name("tokenizer_text", tests, NULL, NULL);
}
