/*
 * Patterns of a tokenizer.json. What is promised: they match what they match in the reference,
 * whose Oniguruma knows other characters and other syntax than PCRE2.
 */
#include "base/tokenizer/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Nothing is left of the text where all that the pattern matches goes. */
static void expect_all_matched(const char *regex, const char *text)
{
    char json[512];
    struct lorac_tokenizer *t = NULL;
    struct lorac_ids ids = {0};
    struct lorac_err err = {0};
    struct lorac_text one = {.at = text, .n = strlen(text)};
    int n = snprintf(json, sizeof json,
                     "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"?\":0},"
                     "\"merges\":[]},\"pre_tokenizer\":{\"type\":\"Split\",\"invert\":false,"
                     "\"behavior\":\"Removed\",\"pattern\":{\"Regex\":\"%s\"}}}",
                     regex);
    if (lorac_tokenizer_parse(&t, json, (size_t)n, "t.json", &err)) { fail_msg("%s", err.text); }
    if (lorac_encode(&ids, t, &one, 1, 0, &err)) { fail_msg("%s", err.text); }
    if (ids.n) { fail_msg("'%s' leaves something of '%s'", regex, text); }
    lorac_ids_free(&ids);
    lorac_tokenizer_free(t);
}

static void patterns_know_the_characters_that_the_reference_knows(void **state)
{
    (void)state;
    static const struct {
        const char *regex, *text; // text of Unicode 15 and 16, of which nothing may be left
    } cases[] = {
        {"\\\\p{L}", "\xF0\xB1\xA5\x8A\xEA\x9F\x8D"}, // U+3194A, U+A7CD
        {"[a\\\\p{N}]", "\xF0\x9E\x93\xB0"},          // U+1E4F0
        {"\\\\p{S}", "\xF0\x9F\xAB\xA8"},             // U+1FAE8
        {"\\\\w", "\xF0\xB1\xA5\x8A\xC2\xB2"},        // and U+00B2, which Oniguruma counts
        {"[^a\\\\S]", "\xE3\x80\x80"},
        {"\\\\p{Han}", "\xE4\xB8\x80"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_all_matched(cases[i].regex, cases[i].text);
    }
}

/* What PCRE2 would read otherwise than the reference is refused (test_damage.c); what
 * only looks like it is not. */
static void patterns_that_resemble_a_refused_one_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *regex, *text; // of which nothing may be left
    } cases[] = {
        {"[x&]", "x&x"},        {"[&]+", "&&"},
        {"x{1,2}y+", "xxyy"},   {"[{,]", "{,"},
        {"[(*]", "(*"},         {"[(?]", "(?"},
        {"x{2}", "xx"},         {"x{2,}", "xxx"},
        {"(x)*", "xx"},         {"(?i:x)", "xX"},
        {"(?i)x", "xX"},        {"(?>x)", "x"},
        {"(?<!a)x(?!a)", "xx"}, {"(?<=x)y|x(?=y)", "xy"},
        {"[^\\\\]]", "x["},     {"x|&&", "x&&"},
        {"\\\\v", "\x0b"},      {"[\\\\u0078\\\\u00e9]", "x\xC3\xA9"},
        {"\\\\P{L}", "1!"},     {"\\\\d\\\\s\\\\W", "1 !"},
        {"[\\\\d\\\\s]", "1 "}, {"[^\\\\P{Han}]", "\xE4\xB8\x80"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_all_matched(cases[i].regex, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_know_the_characters_that_the_reference_knows),
        cmocka_unit_test(patterns_that_resemble_a_refused_one_are_read),
    };
    return cmocka_run_group_tests_name("patterns", tests, NULL, NULL);
}
