/*
 * Where a tokenizer's limits are. What is promised: what just reaches a limit is read, what goes
 * one beyond it is refused, with the place.
 */
#include "base/core/buf.h"
#include "base/tokenizer/tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A tokenizer of one token with `part`; JSON with ' for ". NULL where that is refused, with *err.
 */
static struct lorac_tokenizer *parse(const char *part, struct lorac_err *err)
{
    struct lorac_tokenizer *t = NULL;
    struct lorac_buf json = {0};
    lorac_buf_str(&json, "{'model':{'type':'BPE','unk_token':'a','vocab':{'a':0},'merges':[]}");
    lorac_buf_str(&json, part);
    lorac_buf_str(&json, "}");
    for (size_t i = 0; i < json.n; i++) {
        if (json.at[i] == '\'') { json.at[i] = '"'; }
    }
    *err = (struct lorac_err){0};
    enum lorac_status st = lorac_tokenizer_parse(&t, json.at, json.n, "t.json", err);
    assert_true(st ? !t : t != NULL);
    lorac_buf_free(&json);
    return t;
}

/* Read where `refused` is NULL, else refused with a message that ends so. */
static void expect(const char *part, const char *refused)
{
    struct lorac_err err;
    struct lorac_tokenizer *t = parse(part, &err);
    if (!refused) {
        if (!t) { fail_msg("%s", err.text); }
        lorac_tokenizer_free(t);
        return;
    }
    const size_t n = strlen(refused);
    const size_t length = strlen(err.text);
    if (t || length < n || strcmp(err.text + length - n, refused) != 0) {
        fail_msg("'%s' does not end with '%s'", err.text, refused);
    }
}

/* `before`, then `text` n times, with `between`, then `behind`. */
static const char *repeated(const char *before, const char *text, const char *between, size_t n,
                            const char *behind)
{
    static struct lorac_buf b;
    lorac_buf_clear(&b);
    lorac_buf_str(&b, before);
    for (size_t i = 0; i < n; i++) {
        lorac_buf_str(&b, i ? between : "");
        lorac_buf_str(&b, text);
    }
    lorac_buf_str(&b, behind);
    return b.at;
}

static void texts_have_4096_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *before, *behind, *refused;
    } cases[] = {
        {",'normalizer':{'type':'Prepend','prepend':'", "'}",
         "'normalizer.prepend' must be text of"},
        {",'normalizer':{'type':'Replace','pattern':{'String':'a'},'content':'", "'}",
         "'normalizer.content' must be text of"},
        {",'decoder':{'type':'Replace','pattern':{'String':'a'},'content':'", "'}",
         "'decoder.content' must be text of"},
        {",'added_tokens':[{'id':1,'content':'", "'}]",
         "'added_tokens[0].content' holds 4097 bytes, at most 4096 were expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_err err;
        expect(repeated(cases[i].before, "x", "", 4096, cases[i].behind), NULL);
        assert_null(parse(repeated(cases[i].before, "x", "", 4097, cases[i].behind), &err));
        assert_non_null(strstr(err.text, cases[i].refused));
    }
}

static void lists_have_64_parts(void **state)
{
    (void)state;
    static const struct {
        const char *before, *part, *refused;
    } cases[] = {
        {",'normalizer':{'type':'Sequence','normalizers':[", "{'type':'NFC'}",
         "'normalizer.normalizers[64]' is more than part 64"},
        {",'pre_tokenizer':{'type':'Sequence','pretokenizers':[", "{'type':'WhitespaceSplit'}",
         "'pre_tokenizer.pretokenizers[64]' is more than part 64"},
        {",'decoder':{'type':'Sequence','decoders':[", "{'type':'Fuse'}",
         "'decoder.decoders[64]' is more than part 64"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect(repeated(cases[i].before, cases[i].part, ",", 64, "]}"), NULL);
        expect(repeated(cases[i].before, cases[i].part, ",", 65, "]}"), cases[i].refused);
    }
}

static void sequences_are_nested_8_deep(void **state)
{
    (void)state;
    for (size_t depth = 8; depth < 10; depth++) {
        struct lorac_buf b = {0};
        lorac_buf_str(&b, ",'normalizer':");
        for (size_t i = 0; i < depth; i++) {
            lorac_buf_str(&b, "{'type':'Sequence','normalizers':[");
        }
        lorac_buf_str(&b, "{'type':'NFC'}");
        for (size_t i = 0; i < depth; i++) {
            lorac_buf_str(&b, "]}");
        }
        expect(b.at, depth == 8 ? NULL : " is nested deeper than 8");
        lorac_buf_free(&b);
    }
}

static void patterns_have_8192_bytes(void **state)
{
    (void)state;
    static const char before[] = ",'pre_tokenizer':{'type':'Split','behavior':'Isolated',"
                                 "'invert':false,'pattern':{'Regex':'";
    expect(repeated(before, "x", "", 8192, "'}}"), NULL);
    expect(repeated(before, "x", "", 8193, "'}}"),
           "the pattern holds more than 8192 bytes, which is not supported");
}

/* A vocabulary may have gaps, but is no way to ask for memory. */
static void ids_lie_below_twice_their_number_and_1024(void **state)
{
    (void)state;
    struct lorac_tokenizer *t = NULL;
    struct lorac_err err = {0};
    for (int id = 1027; id < 1029; id++) {
        char json[100];
        (void)snprintf(json, sizeof json,
                       "{\"model\":{\"vocab\":{\"a\":0,\"b\":%d},\"merges\":[]}}", id);
        enum lorac_status st = lorac_tokenizer_parse(&t, json, strlen(json), "t.json", &err);
        assert_int_equal(st, id == 1027 ? LORAC_OK : LORAC_EFORMAT);
        assert_int_equal(t ? lorac_tokenizer_size(t) : 0, id == 1027 ? 1028 : 0);
        lorac_tokenizer_free(t);
    }
    assert_string_equal(err.text, "t.json: 'model.vocab' holds 2 tokens, but an id of 1028");
}

static void tokens_have_4096_bytes(void **state)
{
    (void)state;
    for (size_t n = 4096; n < 4098; n++) {
        struct lorac_err err = {0};
        struct lorac_tokenizer *t = NULL;
        const char *json =
            repeated("{\"model\":{\"vocab\":{\"", "x", "", n, "\":0},\"merges\":[]}}");
        enum lorac_status st = lorac_tokenizer_parse(&t, json, strlen(json), "t.json", &err);
        assert_int_equal(st, n == 4096 ? LORAC_OK : LORAC_EFORMAT);
        if (st) {
            assert_non_null(strstr(err.text, "holds 4097 bytes, at most 4096 were expected"));
        }
        lorac_tokenizer_free(t);
    }
}

static void a_decoder_strips_1000(void **state)
{
    (void)state;
    expect(",'decoder':{'type':'Strip','content':' ','start':1000,'stop':0}", NULL);
    expect(",'decoder':{'type':'Strip','content':' ','start':1001,'stop':0}",
           "'decoder.start' must be a whole number from 0 to 1000, found 1001");
}

/* A pattern that goes over the text again for each of its bytes, and one that needs more stack than
 * is there. */
static void a_pattern_that_never_ends_is_stopped(void **state)
{
    (void)state;
    static const char before[] = ",'pre_tokenizer':{'type':'Split','behavior':'Isolated',"
                                 "'invert':false,'pattern':{'Regex':'";
    struct lorac_buf part = {0};
    struct lorac_ids ids = {0};
    struct lorac_err err;
    lorac_buf_printf(&part, "%s(?:x+x+)+[yz]'}}", before);
    struct lorac_tokenizer *t = parse(part.at, &err);
    assert_non_null(t);
    struct lorac_text text = {.at = repeated("", "x", "", 40, ""), .n = 40};
    assert_int_equal(lorac_encode(&ids, t, &text, 1, 0, &err), LORAC_ENOTSUP);
    assert_non_null(strstr(err.text, "the tokenizer's pattern needs too many steps on this text"));
    lorac_tokenizer_free(t);
    lorac_buf_clear(&part);
    lorac_buf_printf(&part, "%s(?:x|xy)*z'}}", before);
    t = parse(part.at, &err);
    assert_non_null(t);
    text = (struct lorac_text){.at = repeated("", "x", "", 20000, "z"), .n = 20001};
    if (lorac_encode(&ids, t, &text, 1, 0, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(ids.n, 20001); // all unknown, one match
    lorac_tokenizer_free(t);
    lorac_ids_free(&ids);
    lorac_buf_free(&part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_have_4096_bytes),
        cmocka_unit_test(lists_have_64_parts),
        cmocka_unit_test(sequences_are_nested_8_deep),
        cmocka_unit_test(patterns_have_8192_bytes),
        cmocka_unit_test(ids_lie_below_twice_their_number_and_1024),
        cmocka_unit_test(tokens_have_4096_bytes),
        cmocka_unit_test(a_decoder_strips_1000),
        cmocka_unit_test(a_pattern_that_never_ends_is_stopped),
    };
    return cmocka_run_group_tests_name("tokenizer_limits", tests, NULL, NULL);
}
