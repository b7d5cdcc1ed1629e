/*
 * Texts. What is promised:
 *   - a file is one document, or those between separators, which belong to none; white space alone
 *     is none and counted, and nothing else is left out or trimmed;
 *   - every token but a document's first is trained exactly once, in pieces of at most max_length
 *     tokens that begin with the last token of the one before; BOS in front, EOS behind whole
 *     documents;
 *   - stretches give the ids that one call gives, also with real tokenizers on a real book;
 *   - held out are documents, or the ends of all where documents are few; no text is on both sides;
 *   - bytes are those that the trained tokens spell;
 *   - files that are no text, or hold none, are refused with place and reason;
 *   - whichever allocation or system call fails is reported.
 */
#include "base/core/file.h"
#include "tests/datasets/bytes.h"
#include "tests/support/data.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"

static struct lorac_tokenizer *bytes;

static int open_all(void **state)
{
    (void)state;
    bytes = open_bytes();
    return 0;
}

static int close_all(void **state)
{
    lorac_tokenizer_free(bytes);
    return tiny_remove(state);
}

/* A file of tiny_dir() with n bytes. */
static const char *file(const char *name, const char *text, size_t n)
{
    const char *path = tiny_path(name);
    assert_int_equal(lorac_file_write(path, text, n, NULL), LORAC_OK);
    return path;
}

static struct lorac_texts *open_file(const char *text, const char *separator)
{
    struct lorac_texts *t = NULL;
    struct lorac_err err = {0};
    const char *path = file("t.txt", text, strlen(text));
    if (lorac_texts_open(&t, &path, 1, separator, &err)) { fail_msg("%s", err.text); }
    return t;
}

static struct lorac_dataset *open_set(const struct lorac_texts *t, struct lorac_text_options o)
{
    struct lorac_dataset *d = NULL;
    struct lorac_err err = {0};
    if (lorac_dataset_open_texts(&d, t, bytes, &o, &err)) { fail_msg("%s", err.text); }
    return d;
}

/* Example i is these ids, -1 at their end, of which all but the first are trained. */
static void expect(const struct lorac_dataset *d, size_t i, const int32_t *want)
{
    struct lorac_example e = {0};
    assert_int_equal(lorac_dataset_example(&e, d, i, NULL), LORAC_OK);
    size_t n = 0;
    for (; want[n] >= 0; n++) {
        assert_true(n < e.ids.n);
        assert_int_equal(e.ids.at[n], want[n]);
    }
    assert_int_equal(e.ids.n, n);
    assert_int_equal(e.trained_from, 1);
    assert_int_equal(lorac_dataset_length(d, i), n);
    lorac_example_free(&e);
}

/* The text that all examples spell, each token but those seen before once: documents end with '$'.
 */
static void spell(char *out, const struct lorac_dataset *d)
{
    struct lorac_example e = {0};
    size_t document = SIZE_MAX;
    for (size_t i = 0; i < lorac_dataset_size(d); i++) {
        assert_int_equal(lorac_dataset_example(&e, d, i, NULL), LORAC_OK);
        bool begins = lorac_dataset_row(d, i) != document || e.ids.at[0] == BOS;
        document = lorac_dataset_row(d, i);
        assert_true(!begins || e.ids.at[0] == BOS);
        for (size_t k = 1; k < e.ids.n; k++) {
            int32_t id = e.ids.at[k];
            if (id == AB || id == COLON) {
                *out++ = id == AB ? 'a' : ':';
                *out++ = id == AB ? 'b' : ' ';
            } else {
                *out++ = (char)(id == EOS ? '$' : id);
            }
        }
    }
    *out = '\0';
    lorac_example_free(&e);
}

/* ---- documents ---- */

static void documents_are_what_stands_between_separators(void **state)
{
    (void)state;
    char text[64];
    struct lorac_texts *t = open_file("\xEF\xBB\xBF one\n--\n\n --\ntwo--  --three", "--");
    struct lorac_dataset *d =
        open_set(t, (struct lorac_text_options){.append_eos = true, .max_length = 64});
    const struct lorac_data_counts *c = lorac_dataset_counts(d);
    spell(text, d);
    assert_string_equal(text, " one\n$\ntwo$three$");
    assert_true(lorac_dataset_is_text(d));
    assert_null(lorac_dataset_template(d));
    assert_int_equal(c->documents, 3);
    assert_int_equal(c->blank_documents, 2);
    assert_int_equal(c->bytes, 5 + 4 + 5);
    assert_int_equal(lorac_dataset_line(d, 2), 3);
    lorac_dataset_close(d);
    lorac_texts_close(t);
}

static void each_file_is_a_document_without_a_separator(void **state)
{
    (void)state;
    char text[64];
    struct lorac_texts *t = NULL;
    const char *paths[] = {file("a.txt", "a--b\n", 5), file("b.txt", "c", 1)};
    assert_int_equal(lorac_texts_open(&t, paths, 2, NULL, NULL), LORAC_OK);
    struct lorac_dataset *d = open_set(t, (struct lorac_text_options){.max_length = 64});
    spell(text, d);
    assert_string_equal(text, "a--b\nc"); // no EOS where it is not asked for
    assert_int_equal(lorac_dataset_size(d), 2);
    lorac_dataset_close(d);
    lorac_texts_close(t);
}

/* ---- pieces ---- */

static void every_token_is_trained_once_in_pieces(void **state)
{
    (void)state;
    struct lorac_texts *t = open_file("xabyz|12|q", "|");
    struct lorac_dataset *d =
        open_set(t, (struct lorac_text_options){.append_eos = true, .max_length = 4});
    const struct lorac_data_counts *c = lorac_dataset_counts(d);
    assert_int_equal(lorac_dataset_size(d), 4);
    expect(d, 0, (const int32_t[]){BOS, 'x', AB, 'y', -1});
    expect(d, 1, (const int32_t[]){'y', 'z', EOS, -1});
    expect(d, 2, (const int32_t[]){BOS, '1', '2', EOS, -1}); // exactly full: no piece of one token
    expect(d, 3, (const int32_t[]){BOS, 'q', EOS, -1});
    assert_int_equal(c->rows, 4);
    assert_int_equal(c->used, 4);
    assert_int_equal(c->tokens, 4 + 3 + 4 + 3);
    assert_int_equal(c->trained, 3 + 2 + 3 + 2);
    assert_int_equal(c->longest, 4);
    assert_int_equal(c->shortest, 3);
    assert_int_equal(c->bytes, 8);
    assert_true(lorac_dataset_is_cached(d));
    lorac_dataset_close(d);
    d = open_set(t, (struct lorac_text_options){.max_length = 2}); // the shortest pieces
    assert_int_equal(lorac_dataset_size(d), 4 + 2 + 1);
    expect(d, 1, (const int32_t[]){'x', AB, -1});
    lorac_dataset_close(d);
    lorac_texts_close(t);
}

static void pieces_fill_batches(void **state)
{
    (void)state;
    struct lorac_loader *l = NULL;
    struct lorac_batch *b = NULL;
    const uint32_t *examples = NULL;
    size_t n = 0;
    size_t trained = 0;
    struct lorac_texts *t = open_file("0123456789012345678901234567890123456789", NULL);
    struct lorac_dataset *d = open_set(t, (struct lorac_text_options){.max_length = 5});
    lorac_texts_close(t); // ids are kept
    struct lorac_loader_options o = {.batch_tokens = 16, .shuffle = true, .seed = 3};
    assert_int_equal(lorac_loader_open(&l, d, &o, NULL), LORAC_OK);
    assert_int_equal(lorac_loader_max_rows(l), 16);
    assert_int_equal(lorac_batch_new(&b, 16, lorac_loader_max_segments(l), 16, NULL), LORAC_OK);
    while (lorac_loader_state(l).epoch == 0) {
        assert_int_equal(lorac_loader_next(l, b, &examples, &n, NULL), LORAC_OK);
        assert_true(b->N == 16 || lorac_loader_state(l).epoch == 1);
        assert_int_equal(b->T, b->N); // each row has its target
        trained += b->T;
    }
    assert_int_equal(trained, 40);
    lorac_loader_close(l);
    lorac_batch_free(b);
    lorac_dataset_close(d);
}

/* ---- stretches ---- */

/* Ids in stretches are those of one call. */
static void expect_same_ids(const struct lorac_tokenizer *tokenizer, const char *path,
                            size_t max_length, size_t stretch)
{
    struct lorac_err err = {0};
    struct lorac_texts *t = NULL;
    struct lorac_dataset *d = NULL;
    struct lorac_ids want = {0};
    struct lorac_example e = {0};
    char *text = NULL;
    size_t n = 0;
    const struct lorac_text_options o = {.max_length = max_length, .stretch = stretch};
    assert_int_equal(lorac_file_read(&text, &n, path, 64 << 20, NULL), LORAC_OK);
    size_t mark = strncmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    struct lorac_text whole = {text + mark, n - mark, false};
    assert_int_equal(lorac_encode(&want, tokenizer, &whole, 1, LORAC_ENCODE_BEGINS, NULL),
                     LORAC_OK);
    if (lorac_texts_open(&t, &path, 1, NULL, &err) ||
        lorac_dataset_open_texts(&d, t, tokenizer, &o, &err)) {
        fail_msg("%s", err.text);
    }
    size_t at = 0;
    for (size_t i = 0; i < lorac_dataset_size(d); i++) {
        assert_int_equal(lorac_dataset_example(&e, d, i, NULL), LORAC_OK);
        assert_true(at + e.ids.n <= want.n);
        assert_memory_equal(e.ids.at, want.at + at, e.ids.n * sizeof *want.at);
        at += e.ids.n - 1;
    }
    assert_int_equal(at + 1, want.n);
    lorac_example_free(&e);
    lorac_ids_free(&want);
    lorac_dataset_close(d);
    lorac_texts_close(t);
    lorac_mem_free(text);
}

static void stretches_give_the_ids_of_one_call(void **state)
{
    (void)state;
    static const char lines[] = "ab: ab\n\n  abab: \n: ab ab\xC3\xA8\xE2\x82\xAC\xF0\x9F\x98\x80\n"
                                "x\n\n\n\ny ababab ab\n";
    static const char one_word[] = "\xC3\xA8\xE2\x82\xAC\xF0\x9F\x98\x80\xC3\xA8\xE2\x82\xAC";
    const char *a = file("lines.txt", lines, sizeof lines - 1);
    for (size_t stretch = 30; stretch < sizeof lines;
         stretch++) { // the longest line: ": " is a token
        expect_same_ids(bytes, a, 7, stretch);
    }
    const char *b = file("word.txt", one_word, sizeof one_word - 1); // no character is cut
    for (size_t stretch = 1; stretch < sizeof one_word; stretch++) {
        expect_same_ids(bytes, b, 7, stretch);
    }
}

static void stretches_of_a_book_give_the_ids_of_one_call(void **state)
{
    (void)state;
    static const char *const tokenizers[] = {"models/TinyStories-656K-f32", "tokenizers/gpt2",
                                             "tokenizers/qwen2.5"};
    char *book = data_path("text/divina-commedia/divina.txt");
    for (size_t i = 0; i < sizeof tokenizers / sizeof *tokenizers; i++) {
        struct lorac_tokenizer *t = NULL;
        struct lorac_err err = {0};
        char *dir = data_path(tokenizers[i]);
        if (book && dir) {
            if (lorac_tokenizer_open(&t, dir, &err)) { fail_msg("%s", err.text); }
            expect_same_ids(t, book, 256, 4096);
        }
        lorac_tokenizer_free(t);
        lorac_mem_free(dir);
    }
    lorac_mem_free(book);
}

/* ---- holding out ---- */

static void of_many_documents_some_are_held_out(void **state)
{
    (void)state;
    char text[4096] = "";
    char rest[4096];
    char part[4096];
    char other[4096];
    for (int i = 0; i < 100; i++) {
        (void)snprintf(text + strlen(text), 16, "%s<%02d>", i ? "|" : "", i);
    }
    for (uint64_t seed = 1; seed < 4; seed++) {
        struct lorac_texts *t = open_file(text, "|");
        assert_int_equal(lorac_texts_split(t, 0.1, seed, NULL), LORAC_OK);
        struct lorac_dataset *a = open_set(t, (struct lorac_text_options){.max_length = 9});
        struct lorac_dataset *b =
            open_set(t, (struct lorac_text_options){.max_length = 9, .held_out = true});
        assert_int_equal(lorac_dataset_counts(a)->documents, 90);
        assert_int_equal(lorac_dataset_counts(b)->documents, 10);
        spell(rest, a);
        spell(part, b);
        for (int i = 0; i < 100; i++) { // each document is on one side
            char one[8];
            (void)snprintf(one, sizeof one, "<%02d>", i);
            assert_true((strstr(rest, one) != NULL) != (strstr(part, one) != NULL));
        }
        if (seed > 1) { assert_string_not_equal(part, other); }
        memcpy(other, part, sizeof other);
        lorac_dataset_close(a);
        lorac_dataset_close(b);
        lorac_texts_close(t);
    }
}

static void of_few_documents_the_ends_are_held_out(void **state)
{
    (void)state;
    char rest[256];
    char part[256];
    // half of the first from the next line on; the second has one line: from a character on; the
    // third has nothing to divide
    struct lorac_texts *t = open_file("11\n2222\n33\n44\n|aaa\xC3\xA8\xC3\xA8|x", "|");
    assert_int_equal(lorac_texts_split(t, 0.5, 1, NULL), LORAC_OK);
    struct lorac_dataset *a =
        open_set(t, (struct lorac_text_options){.max_length = 99, .append_eos = true});
    struct lorac_dataset *b = open_set(
        t, (struct lorac_text_options){.max_length = 99, .append_eos = true, .held_out = true});
    spell(rest, a);
    spell(part, b);
    assert_string_equal(rest, "11\n2222\naaa\xC3\xA8x$"); // no EOS where a document was cut
    assert_string_equal(part, "33\n44\n$\xC3\xA8$");
    assert_int_equal(lorac_dataset_line(b, 1), 2); // the document that it was cut from
    assert_int_equal(lorac_dataset_counts(a)->bytes + lorac_dataset_counts(b)->bytes, 14 + 7 + 1);
    lorac_dataset_close(a);
    lorac_dataset_close(b);
    lorac_texts_close(t);
}

static void a_split_that_leaves_a_side_empty_is_refused(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_texts *t = open_file("a|b", "|");
    assert_int_equal(lorac_texts_split(t, 0.1, 1, &err), LORAC_EUSER);
    assert_string_equal(err.text,
                        "split: 0.1 of 2 documents leaves a side empty, expected text on both");
    lorac_texts_close(t);
}

/* ---- bytes ---- */

static void the_first_token_of_a_document_is_not_counted_without_bos(void **state)
{
    (void)state;
    static const char json[] =
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2, \"c\": 3},"
        " \"merges\": [\"a b\"]}, \"pre_tokenizer\": {\"type\": \"ByteLevel\","
        " \"add_prefix_space\": false, \"use_regex\": false}, \"decoder\": {\"type\": "
        "\"ByteLevel\"}}";
    struct lorac_tokenizer *plain = NULL;
    struct lorac_dataset *d = NULL;
    struct lorac_err err = {0};
    struct lorac_text_options o = {.max_length = 8};
    if (lorac_tokenizer_parse(&plain, json, sizeof json - 1, "t.json", &err)) {
        fail_msg("%s", err.text);
    }
    struct lorac_texts *t = open_file("abccc|bc|a", "|");
    assert_int_equal(lorac_dataset_open_texts(&d, t, plain, &o, &err), LORAC_OK);
    assert_int_equal(lorac_dataset_counts(d)->documents, 2);
    assert_int_equal(lorac_dataset_counts(d)->short_documents, 1); // one token, no BOS, no EOS
    assert_int_equal(lorac_dataset_counts(d)->bytes, 3 + 1);
    lorac_dataset_close(d);
    o.append_eos = true;
    assert_int_equal(lorac_dataset_open_texts(&d, t, plain, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text,
                        "append_eos: the tokenizer has no end-of-sequence token, expected one");
    lorac_texts_close(t);
    t = open_file("a", NULL);
    o.append_eos = false;
    assert_int_equal(lorac_dataset_open_texts(&d, t, plain, &o, &err), LORAC_EFORMAT);
    assert_non_null(strstr(err.text, "/t.txt: no document has two tokens or more, expected at "
                                     "least one that has"));
    lorac_texts_close(t);
    t = open_file("abc\nabx", "|");
    assert_int_equal(lorac_dataset_open_texts(&d, t, plain, &o, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "/t.txt: document 1, from byte 0 on: "));
    lorac_texts_close(t);
    lorac_tokenizer_free(plain);
}

/* ---- what is no text ---- */

static void what_is_no_text_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        const char *separator, *want;
    } cases[] = {
        {"", 0, NULL, "bad.txt: is empty, expected text"},
        {" \n\t", 3, NULL, "bad.txt: holds nothing but white space, expected text"},
        {"\xEF\xBB\xBF", 3, NULL, "bad.txt: holds nothing but white space, expected text"},
        {"--\n--", 5, "--", "bad.txt: holds nothing but separators and white space, expected text"},
        {"one\ntw\xE8", 7, NULL,
         "bad.txt:2: byte 0xE8 at offset 6 is not UTF-8, expected UTF-8 (is the file Latin-1? "
         "iconv -f LATIN1 -t UTF-8 makes UTF-8 of it)"},
        {"\xFF\xFEo\0n\0", 6, NULL,
         "bad.txt:1: byte 0xFF at offset 0 is not UTF-8, expected UTF-8 (is the file Latin-1? "
         "iconv -f LATIN1 -t UTF-8 makes UTF-8 of it)"},
        {"a\n\nb\xE2\x82", 6, NULL,
         "bad.txt:3: byte 0xE2 at offset 4 is not UTF-8, expected UTF-8 (is the file Latin-1? "
         "iconv -f LATIN1 -t UTF-8 makes UTF-8 of it)"},
    };
    struct lorac_texts *t = NULL;
    struct lorac_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = file("bad.txt", cases[i].text, cases[i].n);
        assert_int_equal(lorac_texts_open(&t, &path, 1, cases[i].separator, &err), LORAC_EFORMAT);
        assert_null(t);
        assert_string_equal(err.text + strlen(path) - strlen("bad.txt"), cases[i].want);
    }
    const char *missing = "no/such/text";
    assert_int_equal(lorac_texts_open(&t, &missing, 1, NULL, &err), LORAC_EIO);
    assert_string_equal(err.text, "no/such/text: cannot open: No such file or directory");
    const char *good = file("good.txt", "abc", 3);
    assert_int_equal(lorac_texts_open(&t, &good, 1, "", &err), LORAC_EUSER);
    assert_string_equal(err.text, "separator: empty, expected text between documents");
    t = open_file("abc", NULL);
    struct lorac_dataset *d = NULL;
    struct lorac_text_options o = {.max_length = 1};
    assert_int_equal(lorac_dataset_open_texts(&d, t, bytes, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text, "max_length: 1, expected 2 to 2147483647");
    lorac_texts_close(t);
}

/* ---- faults ---- */

static enum lorac_status open_and_close(const char *const *paths, struct lorac_err *err)
{
    struct lorac_texts *t = NULL;
    struct lorac_dataset *d = NULL;
    const struct lorac_text_options o = {.max_length = 4, .append_eos = true, .stretch = 8};
    enum lorac_status st = lorac_texts_open(&t, paths, 2, "|", err);
    if (!st) { st = lorac_texts_split(t, 0.4, 1, err); }
    if (!st) { st = lorac_dataset_open_texts(&d, t, bytes, &o, err); }
    lorac_dataset_close(d);
    lorac_texts_close(t);
    return st;
}

static void every_failure_is_reported_and_nothing_leaks(void **state)
{
    (void)state;
    char many[256] = "";
    for (int i = 0; i < 40; i++) {
        (void)snprintf(many + strlen(many), 8, "abab|");
    }
    const char *few[] = {file("a.txt", "abab abab\nab|x y", 16), file("b.txt", "some more", 9)};
    const char *lots[] = {file("c.txt", many, strlen(many)), few[1]};
    for (int kind = 0; kind < 4; kind++) {
        long n = 0;
        for (;; n++) {
            struct lorac_err err = {0};
            faults_start(kind % 2 ? FAULTS_MEMORY : FAULTS_CALLS, n);
            enum lorac_status st = open_and_close(kind < 2 ? few : lots, &err);
            if (!faults_stop()) { break; }
            assert_int_equal(st, kind % 2 ? LORAC_ENOMEM : LORAC_EIO);
            assert_true(err.text[0] != '\0');
        }
        assert_true(n >= (kind % 2 ? 15 : 4));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_what_stands_between_separators),
        cmocka_unit_test(each_file_is_a_document_without_a_separator),
        cmocka_unit_test(every_token_is_trained_once_in_pieces),
        cmocka_unit_test(pieces_fill_batches),
        cmocka_unit_test(stretches_give_the_ids_of_one_call),
        DATA_TEST(stretches_of_a_book_give_the_ids_of_one_call),
        cmocka_unit_test(of_many_documents_some_are_held_out),
        cmocka_unit_test(of_few_documents_the_ends_are_held_out),
        cmocka_unit_test(a_split_that_leaves_a_side_empty_is_refused),
        cmocka_unit_test(the_first_token_of_a_document_is_not_counted_without_bos),
        cmocka_unit_test(what_is_no_text_is_refused),
        cmocka_unit_test(every_failure_is_reported_and_nothing_leaks),
    };
    return data_result(cmocka_run_group_tests_name("texts", tests, open_all, close_all));
}
