/*
 * Normalisers. What is promised: each makes of a text what the reference makes of it (the results
 * stand here as its documentation and the Unicode standard have them), wherever in the text a
 * character stands and however long the text is; a mark stays only on bytes all of whose origins
 * had it.
 */
#include "base/tokenizer/impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <utf8proc.h>

/* A tokenizer with these normalisers; ' for ". */
static struct lorac_tokenizer *with_norms(const char *norms)
{
    struct lorac_tokenizer *t = NULL;
    struct lorac_buf json = {0};
    struct lorac_err err = {0};
    lorac_buf_printf(&json,
                     "{'model':{'type':'BPE','vocab':{'a':0},'merges':[]},'normalizer':"
                     "{'type':'Sequence','normalizers':[%s]}}",
                     norms);
    for (size_t i = 0; i < json.n; i++) {
        if (json.at[i] == '\'') { json.at[i] = '"'; }
    }
    if (lorac_tokenizer_parse(&t, json.at, json.n, "t.json", &err)) { fail_msg("%s", err.text); }
    lorac_buf_free(&json);
    return t;
}

/* s, and the mark of each of its bytes as a digit, become `want` and `marks`. NULL marks: all are
 * 0. */
static void expect(const struct lorac_tokenizer *t, const char *s, const char *marks,
                   const char *want, const char *want_marks)
{
    struct lorac_marked text = {0};
    struct lorac_marked tmp = {0};
    struct lorac_matcher m = {0};
    struct lorac_err err = {0};
    for (size_t i = 0; s[i]; i++) {
        lorac_marked_add(&text, s + i, 1, (char[]){(char)(marks ? marks[i] - '0' : 0)});
    }
    if (lorac_normalize(&text, &tmp, t, &m, &err)) { fail_msg("%s", err.text); }
    assert_string_equal(text.text.at ? text.text.at : "", want);
    assert_int_equal(text.mark.n, text.text.n);
    for (size_t i = 0; want_marks && want_marks[i]; i++) {
        assert_int_equal(text.mark.at[i], want_marks[i] - '0');
    }
    lorac_marked_free(&text);
    lorac_marked_free(&tmp);
    lorac_matcher_release(&m);
}

#define TYPE(name) "{'type':'" name "'}"
#define STRIP(left, right) "{'type':'Strip','strip_left':" left ",'strip_right':" right "}"
#define REPLACE(kind, pattern, content) \
    "{'type':'Replace','pattern':{'" kind "':'" pattern "'},'content':'" content "'}"

static void texts_become_what_they_shall(void **state)
{
    (void)state;
    static const struct {
        const char *norms, *text, *want;
    } cases[] = {
        {TYPE("NFC"), "e\xCC\x81", "\xC3\xA9"},
        {TYPE("NFC"), "xe\xCC\x81y", "x\xC3\xA9y"},
        {TYPE("NFC"), "\xCC\x81\x65", "\xCC\x81\x65"},
        {TYPE("NFC"), "\xEF\xAC\x81", "\xEF\xAC\x81"},             // the ligature fi
        {TYPE("NFC"), "\xE1\x84\x80\xE1\x85\xA1", "\xEA\xB0\x80"}, // Hangul
        {TYPE("NFC"), "a\xCC\x82\xCC\xA3", "\xE1\xBA\xAD"},        // marks in another order
        {TYPE("NFD"), "\xC3\xA9z", "e\xCC\x81z"},
        {TYPE("NFD"), "\xEF\xAC\x81", "\xEF\xAC\x81"},
        {TYPE("NFKC"), "\xEF\xAC\x81", "fi"},
        {TYPE("NFKC"), "e\xCC\x81\xE2\x91\xA0", "\xC3\xA9\x31"},
        {TYPE("NFKD"), "\xC3\xA9\xEF\xAC\x81",
         "e\xCC\x81"
         "fi"},
        {TYPE("Lowercase"), "A\xC3\x84Z9", "a\xC3\xA4z9"},
        {TYPE("Lowercase"), "x\xC4\xB0y", "xi\xCC\x87y"}, // the one that becomes two
        {TYPE("Lowercase"), "\xE1\xBA\x9E\xCE\xA3", "\xC3\x9F\xCF\x83"},
        {STRIP("true", "true"), " \t a b \n", "a b"},
        {STRIP("true", "true"), "\xC2\xA0\xE3\x80\x80x\xE3\x80\x80\xC2\xA0", "x"},
        {STRIP("true", "false"), " a ", "a "},
        {STRIP("false", "true"), " a ", " a"},
        {STRIP("false", "false"), " a ", " a "},
        {STRIP("true", "true"), "  \t", ""},
        {STRIP("false", "true"), "  \t", ""},
        {STRIP("true", "true"), "\xC3\xA9", "\xC3\xA9"},
        {"{'type':'Prepend','prepend':'_x'}", "a", "_xa"},
        {"{'type':'Prepend','prepend':'_x'}", "", ""},
        {REPLACE("String", " ", "__"), " a  b ", "__a____b__"},
        {REPLACE("String", "aa", "b"), "aaa", "ba"},
        {REPLACE("String", "ab", "x"), "aab", "ax"},
        {REPLACE("String", "ab", ""), "abab", ""},
        {REPLACE("String", "abc", "x"), "ab", "ab"},
        {REPLACE("Regex", "[0-9]+", "#"), "12a345", "#a#"},
        {REPLACE("Regex", "x*", "-"), "ab", "-a-b-"}, // empty matches, too
        {REPLACE("String", "a", "b") "," REPLACE("String", "b", "c"), "ab", "cc"},
        {STRIP("true", "true") ",{'type':'Prepend','prepend':'_'}", "   ", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_tokenizer *t = with_norms(cases[i].norms);
        expect(t, cases[i].text, NULL, cases[i].want, NULL);
        lorac_tokenizer_free(t);
    }
}

/* The same in texts of any length, whose scratch grows. */
static void long_texts_are_as_short_ones(void **state)
{
    (void)state;
    struct lorac_tokenizer *t = with_norms(TYPE("NFD"));
    struct lorac_tokenizer *back = with_norms(TYPE("NFC"));
    for (size_t n = 1; n < 2100; n += n < 140 ? 1 : 97) {
        struct lorac_buf s = {0};
        struct lorac_buf want = {0};
        for (size_t i = 0; i < n; i++) {
            lorac_buf_str(&s, "\xC3\xA9");
            lorac_buf_str(&want, "e\xCC\x81");
        }
        expect(t, s.at, NULL, want.at, NULL);
        expect(back, want.at, NULL, s.at, NULL);
        lorac_buf_free(&s);
        lorac_buf_free(&want);
    }
    lorac_tokenizer_free(t);
    lorac_tokenizer_free(back);
}

static void a_mark_stays_where_all_had_it(void **state)
{
    (void)state;
    static const struct {
        const char *norms, *text, *marks, *want, *want_marks;
    } cases[] = {
        {TYPE("NFC"), "ae\xCC\x81z", "11111", "a\xC3\xA9z", "1111"},
        {TYPE("NFC"), "ae\xCC\x81z", "11001", "a\xC3\xA9z", "1001"},
        {TYPE("NFC"), "ae\xCC\x81z", "10110", "a\xC3\xA9z", "1000"},
        {TYPE("Lowercase"), "A\xC4\xB0", "011", "ai\xCC\x87", "0111"},
        {REPLACE("String", "ab", "xyz"), "cabc", "1101", "cxyzc", "10001"},
        {REPLACE("String", "ab", "xyz"), "cabc", "0110", "cxyzc", "01110"},
        {"{'type':'Prepend','prepend':'__'}", "ab", "10", "__ab", "3310"}, // and a prefix's
        {"{'type':'Prepend','prepend':'__'}", "ab", "01", "__ab", "2201"},
        {STRIP("true", "true"), " ab ", "0110", "ab", "11"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_tokenizer *t = with_norms(cases[i].norms);
        expect(t, cases[i].text, cases[i].marks, cases[i].want, cases[i].want_marks);
        lorac_tokenizer_free(t);
    }
}

/* Decoders, which have no file of their own. */
static void a_decoder_strips_as_many_marks_as_it_says(void **state)
{
    (void)state;
    static const char *const want[] = {"xxay", "xay", "ay", "ay"}; // of "xxa", of "xxx"
    static const char *const all[] = {"xxxy", "xxy", "xy", "y"};
    for (size_t start = 0; start < 4; start++) {
        struct lorac_tokenizer *t = NULL;
        struct lorac_buf text = {0};
        struct lorac_err err = {0};
        char json[300];
        (void)snprintf(json, sizeof json,
                       "{\"model\":{\"vocab\":{\"xxa\":0,\"xxx\":1,\"y\":2},\"merges\":[]},"
                       "\"decoder\":{\"type\":\"Strip\",\"content\":\"x\",\"start\":%zu,"
                       "\"stop\":0}}",
                       start);
        if (lorac_tokenizer_parse(&t, json, strlen(json), "t.json", &err)) {
            fail_msg("%s", err.text);
        }
        assert_int_equal(lorac_decode(&text, t, (const int32_t[]){0, 2}, 2, false, NULL), LORAC_OK);
        assert_string_equal(text.at, want[start]);
        lorac_buf_clear(&text);
        assert_int_equal(lorac_decode(&text, t, (const int32_t[]){1, 2}, 2, false, NULL), LORAC_OK);
        assert_string_equal(text.at, all[start]);
        lorac_buf_free(&text);
        lorac_tokenizer_free(t);
    }
}

/* Do these ranges of characters.json hold the code point? *at is the range last looked at. */
static bool holds(const json_t *ranges, size_t *at, uint32_t cp)
{
    while (*at < json_array_size(ranges) &&
           cp > json_integer_value(json_array_get(json_array_get(ranges, *at), 1))) {
        (*at)++;
    }
    return *at < json_array_size(ranges) &&
           cp >= json_integer_value(json_array_get(json_array_get(ranges, *at), 0));
}

/* U+0000 to U+10FFFF, as the reference's tables have them; a utf8proc that knows more characters
 * than those of Unicode 15 may count more. */
static void the_characters_of_bert_are_those_of_the_reference(void **state)
{
    (void)state;
    struct lorac_json root = {0};
    struct lorac_err err = {0};
    const char *const names[] = {"removed", "nonspacing", "punctuation"};
    const bool exact = strcmp(utf8proc_unicode_version(), "15.0.0") == 0;
    size_t at[3] = {0};
    size_t seen = 0;
    if (lorac_json_load(&root, LORAC_TESTS_DIR "/golden/tokenizer/characters.json", 1 << 20,
                        &err)) {
        fail_msg("%s", err.text);
    }
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        if (cp == 0xD800) { cp = 0xE000; }
        const bool blank = cp == '\t' || cp == '\n' || cp == '\r';
        const bool is[] = {cp == 0xFFFD || (lorac_char_is_other(cp) && !blank),
                           lorac_char_is_nonspacing(cp), lorac_char_is_punct(cp)};
        for (size_t k = 0; k < 3; k++) {
            const bool want = holds(json_object_get(root.value, names[k]), &at[k], cp);
            if (is[k] != want && (exact || want)) {
                fail_msg("U+%04X: %s", (unsigned)cp, names[k]);
            }
            seen += want;
        }
    }
    assert_true(seen > 139000);
    lorac_json_free(&root);
}

/* Each character alone, through the steps that BertNormalizer is made of. */
static void bert_takes_white_space_and_ideographs_as_the_reference(void **state)
{
    (void)state;
    struct lorac_json root = {0};
    struct lorac_tokenizer *t = with_norms("{'type':'BertNormalizer','clean_text':true,"
                                           "'handle_chinese_chars':true,'strip_accents':false,"
                                           "'lowercase':false}");
    size_t at[3] = {0};
    assert_int_equal(
        lorac_json_load(&root, LORAC_TESTS_DIR "/golden/tokenizer/characters.json", 1 << 20, NULL),
        LORAC_OK);
    for (uint32_t cp = 1; cp < 0x30000; cp++) {
        char s[5] = "";
        char want[8] = "";
        if (cp == 0xD800) { cp = 0xE000; }
        const size_t n = lorac_utf8_put(s, cp);
        s[n] = '\0';
        const bool removed = holds(json_object_get(root.value, "removed"), &at[0], cp);
        const bool space = holds(json_object_get(root.value, "space"), &at[1], cp);
        const bool apart = holds(json_object_get(root.value, "ideographs"), &at[2], cp);
        if (!removed && lorac_char_is_other(cp) && cp != '\t' && cp != '\n' && cp != '\r') {
            continue;
        } // newer
        (void)snprintf(want, sizeof want, apart ? " %s " : "%s", removed ? "" : space ? " " : s);
        expect(t, s, NULL, want, NULL);
    }
    expect(t, "\xE4\xB8\xAD\xE6\x96\x87", "111000", " \xE4\xB8\xAD  \xE6\x96\x87 ", "1111100000");
    lorac_json_free(&root);
    lorac_tokenizer_free(t);
    t = with_norms("{'type':'BertNormalizer','strip_accents':null}"); // with lower case
    expect(t, "\xC3\x89T\xC3\x89\t\xE4\xB8\xAD", NULL, "ete  \xE4\xB8\xAD ", NULL);
    lorac_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_become_what_they_shall),
        cmocka_unit_test(long_texts_are_as_short_ones),
        cmocka_unit_test(a_mark_stays_where_all_had_it),
        cmocka_unit_test(a_decoder_strips_as_many_marks_as_it_says),
        cmocka_unit_test(the_characters_of_bert_are_those_of_the_reference),
        cmocka_unit_test(bert_takes_white_space_and_ideographs_as_the_reference),
    };
    return cmocka_run_group_tests_name("tokenizer_norm", tests, NULL, NULL);
}
