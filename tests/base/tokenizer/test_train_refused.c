/*
 * What no tokenizer is learned from. What is promised: options that contradict, text that is none
 * or too little, patterns that do not serve and folders in use are refused with one line that names
 * the place, what was found and what was expected; nothing appears.
 */
#include "base/core/file.h"
#include "tests/support/tiny.h"
#include "tests/support/trains.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define GAP "\xC4\xA0" // U+0120, the byte 0x20

/* Refused with the message, which ends in `message`; nothing appears. */
static void refused(const struct lorac_tokenizer_options *o, enum lorac_status status,
                    const char *message)
{
    struct lorac_err err = {0};
    struct lorac_tokenizer_report r = {0};
    assert_int_equal(lorac_tokenizer_train(&r, trains_out, o, &err), status);
    const size_t n = strlen(err.text);
    const size_t m = strlen(message);
    if (n < m || strcmp(err.text + n - m, message) != 0) {
        fail_msg("expected '%s', found '%s'", message, err.text);
    }
    assert_int_equal(r.entries, 0);
    assert_false(lorac_path_exists(trains_out));
}

static void text_that_is_none_or_too_little_is_refused(void **state)
{
    (void)state;
    char message[256];
    struct lorac_tokenizer_options o = trains_options(300);
    trains_put("", 0);
    (void)snprintf(message, sizeof message, "%s: is empty, expected text to learn from",
                   trains_file);
    refused(&o, LORAC_EUSER, message);
    trains_put("good \xC3\xA9 bad \xC3(", 15);
    (void)snprintf(message, sizeof message, "%s: is not UTF-8: byte 0xC3 at offset 12",
                   trains_file);
    refused(&o, LORAC_EFORMAT, message);
    trains_put("cut short \xE2\x82", 12);
    (void)snprintf(message, sizeof message, "%s: is not UTF-8: byte 0xE2 at offset 10",
                   trains_file);
    refused(&o, LORAC_EFORMAT, message);
    trains_put("abcabc abc", 10);
    refused(
        &o, LORAC_EUSER,
        "the text fills 260 of 300 entries: no pair is left that occurs 1 time; give more text, "
        "ask for fewer entries, or allow fewer");
    o.min_frequency = 3;
    refused(
        &o, LORAC_EUSER,
        "the text fills 258 of 300 entries: no pair is left that occurs 3 times; give more text, "
        "ask for fewer entries, or allow fewer");
    o.allow_fewer = true;
    struct lorac_tokenizer_report r;
    struct lorac_tokenizer *t = trains_new(&r, &o);
    assert_int_equal(r.entries, 258);
    assert_int_equal(lorac_tokenizer_size(t), 258);
    lorac_tokenizer_free(t);
    o.separator = "abc";
    trains_put("abcabc", 6);
    refused(&o, LORAC_EUSER, "the files hold nothing but separators and special tokens");
    assert_int_equal(lorac_file_remove(trains_file, NULL), LORAC_OK);
    refused(&o, LORAC_EIO, "a.txt: cannot open: No such file or directory");
    o.n_files = 0;
    refused(&o, LORAC_EUSER, "no text file to learn from");
}

static void options_that_contradict_are_refused(void **state)
{
    (void)state;
    const char *specials[3] = {"<a>", "<b>", "<a>"};
    struct lorac_tokenizer_options o = trains_options(258);
    trains_put("some text, some text", 20);
    o.specials = specials;
    o.n_specials = 3;
    refused(&o, LORAC_EUSER, "special token '<a>' is given twice");
    specials[2] = "<c>";
    refused(
        &o, LORAC_EUSER,
        "a vocabulary of 258 entries is too small: the 256 bytes and 3 special tokens need 259");
    o.eos = "<e>";
    o.vocab_size = 259;
    refused(
        &o, LORAC_EUSER,
        "a vocabulary of 259 entries is too small: the 256 bytes and 4 special tokens need 260");
    o.vocab_size = ((size_t)1 << 20) + 1;
    refused(&o, LORAC_EUSER,
            "a vocabulary of 1048577 entries is too large: at most 1048576 are supported");
    o.vocab_size = 270;
    o.min_frequency = 0;
    refused(&o, LORAC_EUSER, "the minimum frequency is 0, expected 1 or more");
    o.min_frequency = 1;
    specials[1] = "";
    refused(&o, LORAC_EUSER, "a special token holds 0 bytes, 1 to 4096 were expected");
    specials[1] = "<\xFF>";
    refused(&o, LORAC_EUSER, "a special token is not UTF-8: byte 0xFF at offset 1");
    specials[1] = GAP;
    refused(&o, LORAC_EUSER,
            "special token '" GAP
            "' is one of the characters that stand for bytes: choose a longer one");
    specials[1] = GAP "some"; // " some", once merged
    refused(&o, LORAC_EUSER,
            "special token '" GAP "some' has the name that the merge of '" GAP "' and 'some' "
            "gets: choose another");
    specials[1] = "<b>";
    o.separator = "";
    refused(&o, LORAC_EUSER, "the separator holds 0 bytes, 1 to 4096 were expected");
    o.separator = "|\xC3";
    refused(&o, LORAC_EUSER, "the separator is not UTF-8: byte 0xC3 at offset 1");
}

static void patterns_that_do_not_serve_are_refused(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    struct lorac_tokenizer_options o = trains_options(256);
    trains_put("some text, some text", 20);
    o.pattern = "(a";
    refused(&o, LORAC_EFORMAT,
            "the pre-tokenizer: 'pattern' is no regular expression: missing "
            "closing parenthesis");
    o.pattern = "a\\b";
    refused(&o, LORAC_ENOTSUP,
            "the pre-tokenizer: 'pattern': the pattern holds an escape (word border, reference, "
            "hexadecimal digit or other), which is not supported");
    o.pattern = "";
    refused(&o, LORAC_EUSER, "the pattern holds 0 bytes, 1 to 4096 were expected");
    o.pattern = "\n";
    lorac_buf_str(&b, "\n");
    for (size_t i = 0; i < 65537; i++) {
        lorac_buf_add(&b, "x", 1);
    }
    trains_put(b.at, b.n - 1);
    struct lorac_tokenizer_report r;
    lorac_tokenizer_free(trains_new(&r, &o));
    assert_int_equal(r.pieces, 2);
    trains_put(b.at, b.n);
    refused(&o, LORAC_EUSER,
            "a.txt: the pattern leaves a piece of 65537 bytes at offset 1, at most 65536 are "
            "accepted: it must cut the text into pieces such as words");
    lorac_buf_free(&b);
}

static void distinct_pieces_have_a_bound(void **state)
{
    (void)state;
    struct lorac_tokenizer_options o = trains_options(256);
    struct lorac_buf b = {0};
    for (size_t i = 0; i < 1025; i++) { // 65,536 bytes and a NUL each
        lorac_buf_printf(&b, "%05zu", i);
        for (size_t k = 0; k < 65536 / 8 - 1; k++) {
            lorac_buf_add(&b, "abcdefgh", 8);
        }
        lorac_buf_str(&b, "z\n\n");
    }
    o.pattern = "[^\n]+\n\n";
    assert_int_equal(lorac_file_remove(trains_file, NULL), LORAC_OK);
    assert_int_equal(lorac_file_append(trains_file, b.at, b.n, NULL), LORAC_OK); // without fsync
    lorac_buf_free(&b);
    refused(&o, LORAC_EUSER,
            "a.txt: the distinct pieces of the text hold more than 64 MiB: take less text, or a "
            "pattern that cuts it into shorter pieces");
}

static void a_folder_in_use_is_left_alone(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_tokenizer_report r;
    struct lorac_tokenizer_options o = trains_options(256);
    char message[256];
    trains_put("text", 4);
    (void)snprintf(message, sizeof message, "%s: exists and is not an empty folder", tiny_dir());
    assert_int_equal(lorac_tokenizer_train(&r, tiny_dir(), &o, &err), LORAC_EUSER); // holds a.txt
    assert_string_equal(err.text, message);
    (void)snprintf(message, sizeof message, "%s: exists and is not an empty folder", trains_file);
    assert_int_equal(lorac_tokenizer_train(&r, trains_file, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text, message);
    assert_int_equal(lorac_dir_make(trains_out, NULL), LORAC_OK);
    lorac_tokenizer_free(trains_new(&r, &o)); // an empty one is fine
}

#define TEST(f) cmocka_unit_test_teardown(f, trains_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(text_that_is_none_or_too_little_is_refused),
        TEST(options_that_contradict_are_refused),
        TEST(patterns_that_do_not_serve_are_refused),
        TEST(distinct_pieces_have_a_bound),
        TEST(a_folder_in_use_is_left_alone),
    };
    return cmocka_run_group_tests_name("tokenizer_train_refused", tests, trains_make, tiny_remove);
}
