/*
 * An encoder, which keeps its buffers and the pieces that it has met. What is promised:
 *   - the ids of a text do not depend on what was encoded before it, however much that was;
 *   - after a failed allocation it goes on as if nothing had been;
 *   - asked for another tokenizer's ids it gives these;
 *   - a merge that joins a U+2581 with the character in front of it is made.
 */
#include "base/tokenizer/tokenizer.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct lorac_tokenizer *open_small(void)
{
    struct lorac_tokenizer *t = NULL;
    struct lorac_err err = {0};
    if (lorac_tokenizer_open(&t, LORAC_TESTS_DIR "/../base/models/small", &err)) {
        fail_msg("%s", err.text);
    }
    return t;
}

/* The text's ids as a call of its own gives them, and the encoder's: the same. */
static void expect_same(struct lorac_encoder *e, const struct lorac_tokenizer *t, const char *s)
{
    struct lorac_ids want = {0};
    struct lorac_ids got = {0};
    const struct lorac_text text = {.at = s, .n = strlen(s)};
    assert_int_equal(lorac_encode(&want, t, &text, 1, LORAC_ENCODE_BEGINS, NULL), LORAC_OK);
    assert_int_equal(lorac_encoder_encode(&got, e, &text, 1, LORAC_ENCODE_BEGINS, NULL), LORAC_OK);
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.at, want.at, want.n * sizeof *want.at);
    lorac_ids_free(&want);
    lorac_ids_free(&got);
}

static const char *const texts[] = {
    "The cat sat on the mat, and the cat slept.",
    "the the the the",
    "",
    "  two  blanks, gr\xC3\xB6\xC3\x9F"
    "er \xF0\x9F\x98\x80",
    "a",
    "\n\n\n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};
enum { N_TEXTS = sizeof texts / sizeof *texts };

static void ids_do_not_depend_on_what_was_before(void **state)
{
    (void)state;
    struct lorac_tokenizer *t = open_small();
    struct lorac_encoder *e = NULL;
    assert_int_equal(lorac_encoder_for(&e, t, NULL), LORAC_OK);
    for (size_t i = 0; i < N_TEXTS; i++) {
        expect_same(e, t, texts[i]);
    }
    for (unsigned k = 0; k < 70000; k++) { // more pieces than are remembered
        char word[8] = {0};
        for (unsigned i = 0, left = k; i < 4; i++, left /= 26) {
            word[i] = (char)('a' + left % 26);
        }
        expect_same(e, t, word);
        expect_same(e, t, word);
    }
    for (size_t i = 2 * N_TEXTS; i-- > 0;) { // twice: met, and remembered
        expect_same(e, t, texts[i % N_TEXTS]);
    }
    lorac_encoder_free(e);
    lorac_tokenizer_free(t);
}

static void a_failed_allocation_leaves_no_trace(void **state)
{
    (void)state;
    struct lorac_tokenizer *t = open_small();
    struct lorac_encoder *e = NULL;
    long n = 0;
    for (bool met = true; met; n++) {
        struct lorac_err err = {0};
        struct lorac_ids ids = {0};
        enum lorac_status st = LORAC_OK;
        lorac_encoder_free(e);
        e = NULL;
        faults_start(FAULTS_MEMORY, n);
        st = lorac_encoder_for(&e, t, &err);
        for (size_t i = 0; i < N_TEXTS && !st; i++) {
            const struct lorac_text text = {.at = texts[i], .n = strlen(texts[i])};
            st = lorac_encoder_encode(&ids, e, &text, 1, 0, &err);
        }
        met = faults_stop();
        lorac_ids_free(&ids);
        assert_true(st ? st == LORAC_ENOMEM && strstr(err.text, "memory") : true);
        for (size_t i = 0; i < 2 * N_TEXTS && e; i++) {
            expect_same(e, t, texts[i % N_TEXTS]);
        }
    }
    assert_true(n > 15);
    lorac_encoder_free(e);
    lorac_tokenizer_free(t);
}

static void it_becomes_another_tokenizers(void **state)
{
    (void)state;
    static const char letters[] =
        "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"a\",\"vocab\":{\"a\":0,\"t\":1,\"h\":2,"
        "\"e\":3},\"merges\":[]}}";
    struct lorac_tokenizer *t = open_small();
    struct lorac_tokenizer *other = NULL;
    struct lorac_encoder *e = NULL;
    assert_int_equal(lorac_tokenizer_parse(&other, letters, strlen(letters), "t.json", NULL),
                     LORAC_OK);
    assert_int_equal(lorac_encoder_for(&e, t, NULL), LORAC_OK);
    expect_same(e, t, "the");
    assert_int_equal(lorac_encoder_for(&e, other, NULL), LORAC_OK);
    expect_same(e, other, "the");
    lorac_encoder_free(e);
    lorac_tokenizer_free(other);
    lorac_tokenizer_free(t);
}

/* Text is cut in front of a U+2581 before it is merged, but not where that would part a pair. */
static void a_merge_across_a_blank_is_made(void **state)
{
    (void)state;
    static const char json[] =
        "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"a\","
        "\"vocab\":{\"a\":0,\"b\":1,\"\\u2581\":2,\"\\u2581b\":3,\"a\\u2581\":4},"
        "\"merges\":[\"\\u2581 b\",\"a \\u2581\"]}}";
    static const char text[] = "a\xE2\x96\x81"
                               "bb\xE2\x96\x81"
                               "a\xE2\x96\x81"
                               "a";
    static const int32_t want[] = {0, 3, 1, 2, 4, 0}; // a _b b _ a_ a
    const struct lorac_text all = {.at = text, .n = strlen(text)};
    struct lorac_tokenizer *t = NULL;
    struct lorac_ids ids = {0};
    assert_int_equal(lorac_tokenizer_parse(&t, json, strlen(json), "t.json", NULL), LORAC_OK);
    assert_int_equal(lorac_encode(&ids, t, &all, 1, 0, NULL), LORAC_OK);
    assert_int_equal(ids.n, 6);
    assert_memory_equal(ids.at, want, sizeof want);
    lorac_ids_free(&ids);
    lorac_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_do_not_depend_on_what_was_before),
        cmocka_unit_test(a_failed_allocation_leaves_no_trace),
        cmocka_unit_test(it_becomes_another_tokenizers),
        cmocka_unit_test(a_merge_across_a_blank_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
