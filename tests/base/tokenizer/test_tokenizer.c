/*
 * The tokenizer. What is promised:
 *   - ids, and text back, are those of the reference for every kind of part that is read
 *     (golden/tokenizer/, made by golden/make_tokenizer.py);
 *   - a stream gives, token by token, the text that decoding all ids gives, and only whole
 *     characters;
 *   - the bytes of tokens, one behind the other, are the text that they came from;
 *   - special tokens become ids only in text that may carry them, also where stretches meet;
 *   - BOS and EOS are put once; text that continues gets no dummy prefix;
 *   - several threads may use one tokenizer; every failed allocation is reported and leaks nothing;
 *   - text that is not UTF-8 and ids that are no token are errors with the place.
 */
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/tokenizer/tokenizer.h"
#include "tests/support/faults.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const goldens[] = {"gpt2",  "llama3", "llama2",     "mistral", "metaspace",
                                      "words", "bert",   "bert_cased", "roberta"};
enum { N_GOLDENS = 9 };
static const char greeting[] = "<s>She'd said: gr\xC3\xB6\xC3\x9F"
                               "er  <|user|> \xF0\x9F\x98\x80 12";

struct golden {
    struct lorac_tokenizer *t;
    struct lorac_json root, vectors;
    char *json;
    char path[512];
};

static struct golden open_golden(const char *name)
{
    struct golden g = {0};
    struct lorac_err err = {0};
    (void)snprintf(g.path, sizeof g.path, "%s/golden/tokenizer/%s.json", LORAC_TESTS_DIR, name);
    if (lorac_json_load(&g.root, g.path, 1 << 20, &err)) { fail_msg("%s", err.text); }
    struct lorac_json t = lorac_json_get(&g.root, "tokenizer");
    g.json = json_dumps(t.value, JSON_COMPACT);
    if (lorac_tokenizer_parse(&g.t, g.json, strlen(g.json), name, &err)) {
        fail_msg("%s", err.text);
    }
    g.vectors = lorac_json_get(&g.root, "vectors");
    g.vectors.file = NULL; // the path moves with the struct
    return g;
}

static void close_golden(struct golden *g)
{
    free(g->json);
    lorac_tokenizer_free(g->t);
    lorac_json_free(&g->root);
}

/* The ids of one text, NULL-safe; the caller frees. */
static struct lorac_ids encode(const struct lorac_tokenizer *t, const char *s, size_t n,
                               bool special, unsigned flags)
{
    struct lorac_ids ids = {0};
    struct lorac_err err = {0};
    struct lorac_text text = {.at = s, .n = n, .special = special};
    if (lorac_encode(&ids, t, &text, 1, flags, &err)) { fail_msg("%s", err.text); }
    return ids;
}

static void expect_ids(struct lorac_ids ids, json_t *want, const char *what, const char *text)
{
    bool same = ids.n == json_array_size(want);
    for (size_t i = 0; i < ids.n && same; i++) {
        same = ids.at[i] == json_integer_value(json_array_get(want, i));
    }
    if (!same) {
        char *shown = json_dumps(want, JSON_COMPACT);
        print_message("%s of '%s': want %s, got", what, text, shown);
        for (size_t i = 0; i < ids.n; i++) {
            print_message(" %d", (int)ids.at[i]);
        }
        fail_msg("other ids");
    }
    lorac_ids_free(&ids);
}

static void expect_text(const struct lorac_tokenizer *t, struct lorac_ids ids, bool skip,
                        json_t *want)
{
    struct lorac_buf text = {0};
    struct lorac_buf streamed = {0};
    struct lorac_stream stream = {0};
    assert_int_equal(lorac_decode(&text, t, ids.at, ids.n, skip, NULL), LORAC_OK);
    assert_int_equal(text.n, json_string_length(want));
    assert_memory_equal(text.at, json_string_value(want), text.n);
    for (size_t i = 0; i < ids.n; i++) {
        assert_int_equal(lorac_stream_add(&streamed, &stream, t, ids.at[i], skip, NULL), LORAC_OK);
        assert_true(streamed.n <= text.n);
        assert_true(streamed.n == text.n || (text.at[streamed.n] & 0xC0) != 0x80);
    }
    assert_int_equal(lorac_stream_end(&streamed, &stream, t, skip, NULL), LORAC_OK);
    assert_int_equal(streamed.n, text.n);
    if (text.n) { assert_memory_equal(streamed.at, text.at, text.n); }
    lorac_buf_free(&text);
    lorac_buf_free(&streamed);
    lorac_stream_free(&stream);
}

static bool has_bos_or_eos(const char *s, size_t n)
{
    return (n >= 3 && memcmp(s, "<s>", 3) == 0) || (n >= 4 && memcmp(s + n - 4, "</s>", 4) == 0);
}

/* The text of v with that of `next`, where the reference was asked for the pair. */
static void expect_pair(const struct golden *g, const json_t *v, const json_t *next)
{
    const struct lorac_pair_form *form = lorac_tokenizer_pair(g->t);
    json_t *want = json_object_get(v, "pair");
    struct lorac_ids pair = {0};
    struct lorac_ids types = {0};
    struct lorac_ids text[2];
    const json_t *const vectors[] = {v, next};
    if (!want) { return; }
    assert_non_null(form);
    for (size_t i = 0; i < 2; i++) {
        json_t *s = json_object_get(vectors[i], "text");
        text[i] = encode(g->t, json_string_value(s), json_string_length(s), true, 0);
    }
    assert_int_equal(lorac_pair_join(&pair, &types, form, &text[0], &text[1], NULL), LORAC_OK);
    expect_ids(pair, want, "pair", json_string_value(json_object_get(v, "text")));
    expect_ids(types, json_object_get(v, "types"), "types",
               json_string_value(json_object_get(v, "text")));
    lorac_ids_free(&text[0]);
    lorac_ids_free(&text[1]);
}

static void ids_and_text_are_those_of_the_reference(void **state)
{
    (void)state;
    size_t seen = 0;
    for (size_t k = 0; k < N_GOLDENS; k++) {
        struct golden g = open_golden(goldens[k]);
        size_t i = 0;
        json_t *v = NULL;
        json_array_foreach(g.vectors.value, i, v)
        {
            json_t *text = json_object_get(v, "text");
            const char *s = json_string_value(text);
            const size_t n = json_string_length(text);
            expect_ids(encode(g.t, s, n, true, 0), json_object_get(v, "ids"), goldens[k], s);
            expect_ids(encode(g.t, s, n, false, 0), json_object_get(v, "plain"), "plain", s);
            if (!has_bos_or_eos(s, n)) { // see bos_and_eos_are_put_once
                const unsigned whole = LORAC_ENCODE_BEGINS | LORAC_ENCODE_ENDS;
                expect_ids(encode(g.t, s, n, true, whole), json_object_get(v, "whole"), "whole", s);
            }
            struct lorac_ids ids = encode(g.t, s, n, true, 0);
            expect_text(g.t, ids, false, json_object_get(v, "decoded"));
            expect_text(g.t, ids, true, json_object_get(v, "skipped"));
            lorac_ids_free(&ids);
            json_t *next =
                json_array_get(g.vectors.value, (i + 1) % json_array_size(g.vectors.value));
            expect_pair(&g, v, next);
            seen++;
        }
        close_golden(&g);
    }
    assert_int_equal(seen, N_GOLDENS * 51);
}

/* Encode stretches; those that begin with '!' may carry special tokens. */
static struct lorac_ids encode_stretches(const struct lorac_tokenizer *t, const char *const *s)
{
    struct lorac_ids ids = {0};
    struct lorac_text texts[8];
    size_t n = 0;
    for (; s[n]; n++) {
        const bool special = s[n][0] == '!';
        texts[n] = (struct lorac_text){
            .at = s[n] + special, .n = strlen(s[n] + special), .special = special};
    }
    assert_int_equal(lorac_encode(&ids, t, texts, n, 0, NULL), LORAC_OK);
    return ids;
}

static size_t count(struct lorac_ids ids, int32_t id)
{
    size_t n = 0;
    for (size_t i = 0; i < ids.n; i++) {
        n += ids.at[i] == id;
    }
    return n;
}

static void special_tokens_are_ids_only_where_the_text_may_carry_them(void **state)
{
    (void)state;
    static const struct {
        const char *stretches[5];
        size_t n;
    } cases[] = {
        {{"!<|user|>", "the <|user|> mill", "!<|user|>"}, 2},
        {{"the <|user|>"}, 0},
        {{"!a<|us", "er|>b"}, 0},       // across a border it is not there
        {{"!a<|us", "!er|>b"}, 1},      // two stretches that both may
        {{"<|us", "!er|><|user|>"}, 1}, // what straddles does not hide what follows
        {{"x<", "!<|user|>", ">"}, 1},
    };
    for (size_t k = 1; k < 4; k++) { // llama3, llama2, mistral: without and with normalisers
        struct golden g = open_golden(goldens[k]);
        const int32_t user = lorac_token_find(g.t, "<|user|>");
        assert_true(lorac_token_is_special(g.t, user));
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct lorac_ids ids = encode_stretches(g.t, cases[i].stretches);
            assert_int_equal(count(ids, user), cases[i].n);
            lorac_ids_free(&ids);
        }
        close_golden(&g);
    }
    // one that is searched in the normalised text
    struct golden g = open_golden("llama2");
    const char *const mixed[] = {"!<s>", "a <s> b", "! <s>", NULL};
    struct lorac_ids ids = encode_stretches(g.t, mixed);
    assert_int_equal(count(ids, lorac_token_find(g.t, "<s>")), 2);
    lorac_ids_free(&ids);
    close_golden(&g);
}

/* A tokenizer of a few tokens with `part`, which is JSON with ' for ". */
static struct lorac_tokenizer *small(const char *part)
{
    struct lorac_tokenizer *t = NULL;
    struct lorac_buf json = {0};
    struct lorac_err err = {0};
    lorac_buf_str(&json, "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"?\":0,"
                         "\"a\":1,\"b\":2},\"merges\":[]},");
    for (const char *s = part; *s; s++) {
        lorac_buf_add(&json, *s == '\'' ? "\"" : s, 1);
    }
    lorac_buf_str(&json, "}");
    if (lorac_tokenizer_parse(&t, json.at, json.n, "small", &err)) { fail_msg("%s", err.text); }
    lorac_buf_free(&json);
    return t;
}

static void a_special_token_is_not_composed_across_a_border(void **state)
{
    (void)state;
    struct lorac_tokenizer *t = small("'normalizer':{'type':'NFC'},'added_tokens':[{'id':3,"
                                      "'content':'\xC3\xA9','special':true,'normalized':true}]");
    const char *const mixed[] = {"!a\xC3\xA9", "!e", "\xCC\x81", "e", "!\xCC\x81", NULL};
    struct lorac_ids ids = encode_stretches(t, mixed);
    assert_int_equal(count(ids, 3), 1);
    lorac_ids_free(&ids);
    const char *const both[] = {"!e", "!\xCC\x81", NULL};
    ids = encode_stretches(t, both);
    assert_int_equal(count(ids, 3), 1);
    lorac_ids_free(&ids);
    lorac_tokenizer_free(t);
}

static void a_word_is_the_longest_pieces_or_unknown_as_a_whole(void **state)
{
    (void)state;
    static const char json[] =
        "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"?\",\"max_input_chars_per_word\":4,"
        "\"vocab\":{\"?\":0,\"a\":1,\"ab\":2,\"##b\":3,\"##bc\":4,"
        "\"\xC3\xA9\":5,\"##\xC3\xA9\":6}}}";
    static const struct {
        const char *word;
        int32_t ids[4];
        size_t n;
    } cases[] = {
        {"ab", {2}, 1},
        {"abb", {2, 3}, 2},
        {"abc", {0}, 1}, // "ab" takes the b
        {"aabc", {0}, 1},
        {"abbc", {2, 4}, 2},
        {"b", {0}, 1},
        {"abb?", {0}, 1},
        {"abbb", {2, 3, 3}, 3},
        {"abbbb", {0}, 1}, // five characters
        {"a\xC3\xA9\xC3\xA9\xC3\xA9", {1, 6, 6, 6}, 4},
        {"\xC3\xA9\xC3\xAA", {0}, 1},
    };
    struct lorac_tokenizer *t = NULL;
    assert_int_equal(lorac_tokenizer_parse(&t, json, sizeof json - 1, "t.json", NULL), LORAC_OK);
    assert_null(lorac_tokenizer_pair(t));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_ids ids = encode(t, cases[i].word, strlen(cases[i].word), false, 0);
        if (ids.n != cases[i].n || memcmp(ids.at, cases[i].ids, ids.n * sizeof *ids.at) != 0) {
            fail_msg("%s: %zu ids, the first %d", cases[i].word, ids.n, (int)ids.at[0]);
        }
        lorac_ids_free(&ids);
    }
    lorac_tokenizer_free(t);
}

static void stretches_are_joined_before_they_are_tokenised(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_GOLDENS; k++) {
        struct golden g = open_golden(goldens[k]);
        const char *const parts[] = {"the mi", "ll gro", "und", NULL};
        struct lorac_ids whole = encode(g.t, "the mill ground", 15, false, 0);
        struct lorac_ids joined = encode_stretches(g.t, parts);
        assert_int_equal(joined.n, whole.n);
        assert_memory_equal(joined.at, whole.at, whole.n * sizeof *whole.at);
        lorac_ids_free(&whole);
        lorac_ids_free(&joined);
        close_golden(&g);
    }
}

static void bos_and_eos_are_put_once(void **state)
{
    (void)state;
    struct golden g = open_golden("llama3");
    const int32_t bos = lorac_token_find(g.t, "<s>");
    const int32_t eos = lorac_token_find(g.t, "</s>");
    const char *const texts[] = {"the mill", "<s>the mill", "the mill</s>", "<s>the mill</s>", ""};
    for (size_t i = 0; i < 5; i++) {
        struct lorac_ids ids =
            encode(g.t, texts[i], strlen(texts[i]), true, LORAC_ENCODE_BEGINS | LORAC_ENCODE_ENDS);
        assert_int_equal(count(ids, bos), 1);
        assert_int_equal(count(ids, eos), 1);
        assert_int_equal(ids.at[0], bos);
        assert_int_equal(ids.at[ids.n - 1], eos);
        lorac_ids_free(&ids);
    }
    close_golden(&g);
}

static void text_that_continues_gets_no_dummy_prefix(void **state)
{
    (void)state;
    for (size_t k = 2; k < 5; k++) { // llama2 Prepend; mistral, metaspace Metaspace
        struct golden g = open_golden(goldens[k]);
        struct lorac_ids alone = encode(g.t, "ground", 6, false, 0);
        struct lorac_ids spaced = encode(g.t, " ground", 7, false, LORAC_ENCODE_CONTINUES);
        struct lorac_ids more = encode(g.t, "ground", 6, false, LORAC_ENCODE_CONTINUES);
        assert_int_equal(alone.n, spaced.n);
        assert_memory_equal(alone.at, spaced.at, alone.n * sizeof *alone.at);
        assert_true(more.n != alone.n || more.at[0] != alone.at[0]);
        struct lorac_buf text = {0};
        const char *first = lorac_token_text(g.t, more.at[0]);
        assert_int_equal(first[0], 'g');
        lorac_buf_free(&text);
        lorac_ids_free(&alone);
        lorac_ids_free(&spaced);
        lorac_ids_free(&more);
        close_golden(&g);
    }
    // a special token whose normalised form has the prefix is still found at the beginning
    struct golden g = open_golden("llama2");
    struct lorac_ids ids = encode(g.t, "<s>a", 4, true, LORAC_ENCODE_CONTINUES);
    assert_int_equal(ids.at[0], lorac_token_find(g.t, "<s>"));
    lorac_ids_free(&ids);
    close_golden(&g);
}

static void tokens_are_found_by_text_and_by_id(void **state)
{
    (void)state;
    struct golden g = open_golden("gpt2");
    const size_t size = lorac_tokenizer_size(g.t);
    size_t used = 0;
    for (int32_t id = 0; id < (int32_t)size; id++) {
        const char *text = lorac_token_text(g.t, id);
        if (text) { assert_int_equal(lorac_token_find(g.t, text), id); }
        used += text != NULL;
    }
    assert_int_equal(used, size);
    assert_null(lorac_token_text(g.t, (int32_t)size));
    assert_null(lorac_token_text(g.t, -1));
    assert_int_equal(lorac_token_find(g.t, "no such token"), -1);
    assert_false(lorac_token_is_special(g.t, lorac_token_find(g.t, "<tool>")));
    assert_true(lorac_token_is_special(g.t, lorac_token_find(g.t, "<|end|>")));
    assert_int_equal(lorac_tokenizer_bos(g.t), -1);
    assert_int_equal(lorac_tokenizer_eos(g.t), -1);
    close_golden(&g);
}

static void a_stream_shows_a_character_when_it_is_whole(void **state)
{
    (void)state;
    struct golden g = open_golden("gpt2");
    struct lorac_ids ids = encode(g.t, "\xF0\x9F\x98\x80!", 5, false, 0);
    assert_int_equal(ids.n, 5); // four bytes, then '!'
    struct lorac_stream s = {0};
    struct lorac_buf text = {0};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(lorac_stream_add(&text, &s, g.t, ids.at[i], false, NULL), LORAC_OK);
        assert_int_equal(text.n, i < 3 ? 0 : i + 1);
    }
    lorac_buf_clear(&text);
    assert_int_equal(lorac_stream_add(&text, &s, g.t, ids.at[0], false, NULL), LORAC_OK);
    assert_int_equal(lorac_stream_end(&text, &s, g.t, false, NULL), LORAC_OK);
    assert_string_equal(text.at, "\xEF\xBF\xBD");
    lorac_buf_free(&text);
    lorac_stream_free(&s);
    lorac_ids_free(&ids);
    close_golden(&g);
}

/* Of text that goes on, in vocabularies of either family: spaces in front and bytes of a character
 * stay. */
static void the_bytes_of_tokens_are_the_text(void **state)
{
    (void)state;
    static const char text[] = " a b\n\xF0\x9F\x98\x80!";
    static const char *const names[] = {"gpt2", "llama2", "mistral"};
    for (size_t k = 0; k < 3; k++) {
        struct golden g = open_golden(names[k]);
        struct lorac_ids ids = encode(g.t, text, sizeof text - 1, false, LORAC_ENCODE_CONTINUES);
        struct lorac_buf bytes = {0};
        assert_true(ids.n > 6); // the character is not one token
        for (size_t i = 0; i < ids.n; i++) {
            assert_int_equal(lorac_token_bytes(&bytes, g.t, ids.at[i], NULL), LORAC_OK);
        }
        assert_string_equal(bytes.at, text);
        lorac_buf_free(&bytes);
        lorac_ids_free(&ids);
        close_golden(&g);
    }
}

static void a_token_of_other_characters_than_bytes_is_itself(void **state)
{
    (void)state;
    struct lorac_tokenizer *t = small(
        "'decoder':{'type':'ByteLevel'},'added_tokens':[{'id':3,'content':'\xC4\xA0\xE6\x97\xA5'},"
        "{'id':4,'content':'\xC4\xA0x\xC3\xA9'}]");
    const int32_t ids[] = {1, 3, 4, 2}; // U+0120 is a blank, U+00E9 the byte E9, U+65E5 no byte
    struct lorac_buf text = {0};
    assert_int_equal(lorac_decode(&text, t, ids, 4, false, NULL), LORAC_OK);
    assert_string_equal(text.at, "a\xC4\xA0\xE6\x97\xA5 x\xEF\xBF\xBD"
                                 "b");
    lorac_buf_free(&text);
    lorac_tokenizer_free(t);
}

static void what_is_no_text_or_no_id_is_an_error(void **state)
{
    (void)state;
    struct golden g = open_golden("gpt2");
    struct lorac_err err = {0};
    struct lorac_ids ids = {0};
    const char *const bad[] = {"ab\xC3", "ab\xC0\x80", "ab\xED\xA0\x80", "ab\xF4\x90\x80\x80",
                               "ab\xFF"};
    for (size_t i = 0; i < 5; i++) {
        struct lorac_text text = {.at = bad[i], .n = strlen(bad[i])};
        assert_int_equal(lorac_encode(&ids, g.t, &text, 1, 0, &err), LORAC_EFORMAT);
        char want[80];
        (void)snprintf(want, sizeof want,
                       "the text to encode is not UTF-8: byte 0x%02X at offset 2",
                       (unsigned char)bad[i][2]);
        assert_string_equal(err.text, want);
        assert_int_equal(ids.n, 0);
    }
    struct lorac_buf text = {0};
    const int32_t id = (int32_t)lorac_tokenizer_size(g.t);
    assert_int_equal(lorac_decode(&text, g.t, &id, 1, false, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "is no token: the vocabulary has 42"));
    assert_int_equal(lorac_decode(&text, g.t, &(int32_t){-1}, 1, false, &err), LORAC_EUSER);
    assert_int_equal(lorac_decode(&text, g.t, NULL, 0, false, &err), LORAC_OK);
    assert_int_equal(text.n, 0);
    lorac_buf_free(&text);
    lorac_ids_free(&ids);
    close_golden(&g);
}

/* The tokenizer opened and used while the n-th allocation fails: reported, or ids and text are as
 * they were. False where it made fewer. */
static bool fails_at(enum faults_kind kind, long n, const struct golden *g, struct lorac_ids want,
                     long *unnoticed)
{
    struct lorac_err err = {0};
    struct lorac_tokenizer *t = NULL;
    struct lorac_ids ids = {0};
    struct lorac_buf text = {0};
    struct lorac_buf want_text = {0};
    const struct lorac_text part = {.at = greeting, .n = strlen(greeting), .special = true};
    assert_int_equal(lorac_decode(&want_text, g->t, want.at, want.n, true, NULL), LORAC_OK);
    faults_start(kind, n);
    enum lorac_status st =
        lorac_tokenizer_parse(&t, g->json, strlen(g->json), "tokenizer.json", &err);
    if (!st) { st = lorac_encode(&ids, t, &part, 1, 0, &err); }
    if (!st) { st = lorac_decode(&text, t, ids.at, ids.n, true, &err); }
    const bool met = faults_stop();
    if (st) {
        assert_int_equal(st, LORAC_ENOMEM);
        assert_non_null(strstr(err.text, "memory"));
    } else {
        assert_int_equal(ids.n, want.n);
        assert_memory_equal(ids.at, want.at, want.n * sizeof *want.at);
        assert_string_equal(text.at, want_text.at);
    }
    *unnoticed += met && !st;
    lorac_buf_free(&want_text);
    lorac_buf_free(&text);
    lorac_ids_free(&ids);
    lorac_tokenizer_free(t);
    return met;
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_GOLDENS; k++) {
        struct golden g = open_golden(goldens[k]);
        struct lorac_ids want = encode(g.t, greeting, strlen(greeting), true, 0);
        long unnoticed = 0;
        long n = 0;
        while (fails_at(FAULTS_FOREIGN, n, &g, want, &unnoticed)) {
            n = faults_next(n, 37);
        }
        assert_true(n > 100 && unnoticed == 0);
        n = 0;
        while (fails_at(FAULTS_MEMORY, n, &g, want, &unnoticed)) {
            n++;
        }
        assert_true(n > 40); // vocabulary, merges, patterns, scratch
        assert_true(unnoticed <
                    30); // PCRE2's JIT, about 10 for each pattern, which is interpreted then
        lorac_ids_free(&want);
        close_golden(&g);
    }
}

static void *encode_often(void *arg)
{
    const struct lorac_tokenizer *t = arg;
    static const char s[] = "She'd said that <|user|> we've 12 sacks; perch\xC3\xA9?";
    size_t n = 0;
    for (int i = 0; i < 200; i++) {
        struct lorac_ids ids = encode(t, s, strlen(s), true, 0);
        struct lorac_buf text = {0};
        if (lorac_decode(&text, t, ids.at, ids.n, false, NULL)) { n = 1000000; }
        n += ids.n;
        lorac_ids_free(&ids);
        lorac_buf_free(&text);
    }
    return (void *)(uintptr_t)n; // NOLINT(performance-no-int-to-ptr)
}

static void several_threads_use_one_tokenizer(void **state)
{
    (void)state;
    struct golden g = open_golden("llama3");
    pthread_t threads[4];
    void *n[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, g.t), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &n[i]), 0);
        assert_ptr_equal(n[i], n[0]);
    }
    close_golden(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_text_are_those_of_the_reference),
        cmocka_unit_test(special_tokens_are_ids_only_where_the_text_may_carry_them),
        cmocka_unit_test(a_special_token_is_not_composed_across_a_border),
        cmocka_unit_test(a_word_is_the_longest_pieces_or_unknown_as_a_whole),
        cmocka_unit_test(stretches_are_joined_before_they_are_tokenised),
        cmocka_unit_test(bos_and_eos_are_put_once),
        cmocka_unit_test(text_that_continues_gets_no_dummy_prefix),
        cmocka_unit_test(tokens_are_found_by_text_and_by_id),
        cmocka_unit_test(a_stream_shows_a_character_when_it_is_whole),
        cmocka_unit_test(the_bytes_of_tokens_are_the_text),
        cmocka_unit_test(a_token_of_other_characters_than_bytes_is_itself),
        cmocka_unit_test(what_is_no_text_or_no_id_is_an_error),
        cmocka_unit_test(every_failed_allocation_is_reported),
        cmocka_unit_test(several_threads_use_one_tokenizer),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
