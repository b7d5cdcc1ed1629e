/*
 * Learning a tokenizer. What is promised:
 *   - merges, their order and ids are those of the reference's BpeTrainer on the same documents
 *     (golden/tokenizer_train/, made by golden/make_tokenizer_train.py), and so are the ids of
 *     unseen text;
 *   - each merge is that of the pair which counting anew finds most often, the smallest of equals;
 *   - special tokens and the separator cut the text and are not trained on; names of BOS, EOS and
 *     padding are read back; any bytes of valid text can be encoded;
 *   - the folder appears whole or not at all, whatever fails; nothing stands in it that was not
 *     read back and compared.
 */
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/rng.h"
#include "base/core/sha256.h"
#include "base/tokenizer/train_impl.h"
#include "tests/support/data.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"
#include "tests/support/trains.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char mill[] = LORAC_TESTS_DIR "/golden/tokenizer_train/mill.txt";
#define GAP "\xC4\xA0" // U+0120, the byte 0x20

static struct lorac_ids encode(const struct lorac_tokenizer *t, const char *s, size_t n,
                               bool special)
{
    struct lorac_ids ids = {0};
    struct lorac_err err = {0};
    const struct lorac_text text = {.at = s, .n = n, .special = special};
    if (lorac_encode(&ids, t, &text, 1, LORAC_ENCODE_ALONE, &err)) { fail_msg("%s", err.text); }
    return ids;
}

/* ---- the reference ---- */

/* Options of a golden case; strings are borrowed from it. */
static struct lorac_tokenizer_options golden_options(const char *specials[8],
                                                     const struct lorac_json *c)
{
    struct lorac_tokenizer_options o = trains_options(0);
    struct lorac_err err = {0};
    const struct lorac_json list = lorac_json_get(c, "specials");
    for (size_t i = 0; i < json_array_size(list.value) && i < 8; i++) {
        specials[o.n_specials++] = json_string_value(json_array_get(list.value, i));
    }
    o.specials = specials;
    if (lorac_json_string(&o.separator, c, "separator", false, &err) ||
        lorac_json_string(&o.pattern, c, "pattern", false, &err) ||
        lorac_json_size(&o.vocab_size, c, "vocab_size", true, 0, 10000, &err) ||
        lorac_json_size(&o.min_frequency, c, "min_frequency", true, 0, 10000, &err)) {
        fail_msg("%s", err.text);
    }
    return o;
}

static void expect_merges(const struct lorac_json *c, const struct lorac_tokenizer_options *o)
{
    struct lorac_json root = {0};
    struct lorac_err err = {0};
    char *path = lorac_path_join(trains_out, "tokenizer.json");
    if (lorac_json_load(&root, path, 1 << 20, &err)) { fail_msg("%s", err.text); }
    const struct lorac_json model = lorac_json_get(&root, "model");
    const struct lorac_json merges = lorac_json_get(&model, "merges");
    const struct lorac_json want = lorac_json_get(c, "merges");
    assert_int_equal(json_array_size(merges.value), json_array_size(want.value));
    for (size_t i = 0; i < json_array_size(want.value); i++) {
        char pair[256];
        json_t *merge = json_array_get(merges.value, i);
        (void)snprintf(pair, sizeof pair, "%s %s", json_string_value(json_array_get(merge, 0)),
                       json_string_value(json_array_get(merge, 1)));
        assert_string_equal(pair, json_string_value(json_array_get(want.value, i)));
        // ids in this order, behind special tokens and bytes
        const struct lorac_json vocab = lorac_json_get(&model, "vocab");
        char *space = strchr(pair, ' ');
        memmove(space, space + 1, strlen(space));
        assert_int_equal(json_integer_value(json_object_get(vocab.value, pair)),
                         o->n_specials + 256 + i);
    }
    lorac_json_free(&root);
    lorac_mem_free(path);
}

static void merges_and_ids_are_those_of_the_reference(void **state)
{
    (void)state;
    struct lorac_json root = {0};
    struct lorac_err err = {0};
    const char *const files[] = {mill};
    if (lorac_json_load(&root, LORAC_TESTS_DIR "/golden/tokenizer_train/expected.json", 1 << 20,
                        &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(json_array_size(root.value), 3);
    for (size_t i = 0; i < 3; i++) {
        const char *specials[8];
        struct lorac_json c = lorac_json_at(&root, i);
        c.where[0] = '\0';
        struct lorac_tokenizer_options o = golden_options(specials, &c);
        struct lorac_tokenizer_report report;
        struct lorac_tokenizer *t = NULL;
        o.files = files;
        if (lorac_tokenizer_train(&report, trains_out, &o, &err)) { fail_msg("%s", err.text); }
        if (lorac_tokenizer_open(&t, trains_out, &err)) { fail_msg("%s", err.text); }
        expect_merges(&c, &o);
        json_t *unseen = json_object_get(c.value, "unseen");
        json_t *want = json_object_get(c.value, "ids");
        struct lorac_ids ids =
            encode(t, json_string_value(unseen), json_string_length(unseen), true);
        assert_int_equal(ids.n, json_array_size(want));
        for (size_t k = 0; k < ids.n; k++) {
            assert_int_equal(ids.at[k], json_integer_value(json_array_get(want, k)));
        }
        lorac_ids_free(&ids);
        lorac_tokenizer_free(t);
        assert_int_equal(lorac_dir_remove(trains_out, NULL), LORAC_OK);
    }
    lorac_json_free(&root);
}

/* The SHA-256 of the lines "a b" of the merges in `out`. */
static void hash_merges(char hex[65])
{
    struct lorac_json root = {0};
    struct lorac_err err = {0};
    struct lorac_sha256 sha;
    char *path = lorac_path_join(trains_out, "tokenizer.json");
    if (lorac_json_load(&root, path, 1 << 20, &err)) { fail_msg("%s", err.text); }
    const struct lorac_json model = lorac_json_get(&root, "model");
    const struct lorac_json merges = lorac_json_get(&model, "merges");
    lorac_sha256_init(&sha);
    for (size_t i = 0; i < json_array_size(merges.value); i++) {
        json_t *merge = json_array_get(merges.value, i);
        for (size_t k = 0; k < 2; k++) {
            json_t *part = json_array_get(merge, k);
            lorac_sha256_add(&sha, json_string_value(part), json_string_length(part));
            lorac_sha256_add(&sha, k ? "\n" : " ", 1);
        }
    }
    lorac_sha256_hex(hex, &sha);
    lorac_json_free(&root);
    lorac_mem_free(path);
}

static void two_megabytes_of_prose_give_the_merges_of_the_reference(void **state)
{
    char *at[] = {data_path("text/promessi-sposi/promessi_sposi.txt"),
                  data_path("text/grimm/GrimmsFairyTales.txt")};
    const char *const files[] = {at[0], at[1]};
    struct lorac_tokenizer_options o = trains_options(4096);
    struct lorac_tokenizer_report r;
    struct lorac_err err = {0};
    char hex[65];
    if (!at[0] || !at[1]) { goto done; }
    o.files = files;
    o.n_files = 2;
    o.eos = "<|endoftext|>";
    o.min_frequency = 2;
    if (lorac_tokenizer_train(&r, trains_out, &o, &err)) { fail_msg("%s", err.text); }
    hash_merges(hex); // make_tokenizer_train.py prints it
    assert_string_equal(hex, "d54fa8295792925d31416b84c13bdb07f1352a516080f9cc9384870f01a1f34b");
    assert_int_equal(trains_clear(state), 0);
done:
    lorac_mem_free(at[0]);
    lorac_mem_free(at[1]);
}

/* ---- what is learned ---- */

static void the_highest_count_merges_first_and_ties_by_ids(void **state)
{
    (void)state;
    struct lorac_tokenizer_report r;
    const struct lorac_tokenizer_options o = trains_options(256 + 4);
    trains_put("xy xy xy cd ab ab", 17);
    struct lorac_tokenizer *t = trains_new(&r, &o);
    assert_string_equal(lorac_token_text(t, 256), "xy");     // 3 times; the others 2
    assert_string_equal(lorac_token_text(t, 257), "ab");     // a is a smaller id than U+0120
    assert_string_equal(lorac_token_text(t, 258), GAP "xy"); // xy is a smaller id than ab
    assert_string_equal(lorac_token_text(t, 259), GAP "ab");
    assert_int_equal(r.entries, 260);
    assert_int_equal(r.merges, 4);
    assert_int_equal(r.bytes, 17);
    assert_int_equal(r.documents, 1);
    assert_int_equal(r.pieces, 6);
    assert_int_equal(r.distinct, 4);
    assert_int_equal(r.tokens, 1 + 1 + 1 + 3 + 1 + 1);
    lorac_tokenizer_free(t);
}

static void special_tokens_and_separators_cut_and_are_not_learned(void **state)
{
    (void)state;
    const char *const specials[] = {"<a>", "<a><b>"};
    const char text[] = "<a>xyxy<a><b>xyxy||xyxy||||<a>";
    struct lorac_tokenizer_options o = trains_options(2 + 256 + 2);
    struct lorac_tokenizer_report r;
    o.specials = specials;
    o.n_specials = 2;
    o.separator = "||";
    trains_put(text, sizeof text - 1);
    struct lorac_tokenizer *t = trains_new(&r, &o);
    assert_int_equal(r.documents, 3);
    assert_int_equal(r.bytes, 12);
    assert_string_equal(lorac_token_text(t, 258), "xy");
    assert_string_equal(lorac_token_text(t, 259), "xyxy");
    struct lorac_ids ids = encode(t, "<a><b>xy<a>", 11, true);
    const int32_t want[] = {1, 258, 0};
    assert_int_equal(ids.n, 3);
    assert_memory_equal(ids.at, want, sizeof want);
    lorac_ids_free(&ids);
    lorac_tokenizer_free(t);
}

static void names_are_read_back_and_any_text_is_encoded(void **state)
{
    (void)state;
    const char *const specials[] = {"<eos>"};
    struct lorac_tokenizer_options o = trains_options(3 + 256);
    struct lorac_tokenizer_report r;
    struct lorac_buf all = {0};
    struct lorac_buf back = {0};
    o.specials = specials;
    o.n_specials = 1;
    o.bos = "<bos>";
    o.eos = "<eos>";
    o.pad = "<\"pad\\>";
    o.max_length = 77;
    trains_put("text", 4);
    assert_int_equal(lorac_tokenizer_train(&r, trains_out, &o, NULL), LORAC_OK);
    char *path = lorac_path_join(trains_out, "tokenizer_config.json");
    char *config = NULL;
    size_t n = 0;
    assert_int_equal(lorac_file_read(&config, &n, path, 4096, NULL), LORAC_OK);
    assert_string_equal(config, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n"
                                "  \"bos_token\": \"<bos>\",\n  \"eos_token\": \"<eos>\",\n"
                                "  \"pad_token\": \"<\\\"pad\\\\>\",\n  \"model_max_length\": 77,\n"
                                "  \"clean_up_tokenization_spaces\": false\n}\n");
    lorac_mem_free(config);
    lorac_mem_free(path);
    struct lorac_tokenizer *t = NULL;
    assert_int_equal(lorac_tokenizer_open(&t, trains_out, NULL), LORAC_OK);
    assert_int_equal(lorac_tokenizer_size(t), 259);
    assert_int_equal(lorac_tokenizer_eos(t), 0); // of the list; the others behind it
    assert_int_equal(lorac_tokenizer_bos(t), 1);
    assert_int_equal(lorac_token_find(t, "<\"pad\\>"), 2);
    for (int32_t id = 0; id < 259; id++) {
        assert_int_equal(lorac_token_is_special(t, id), id < 3);
    }
    for (int c = 0; c < 128; c++) {
        lorac_buf_add(&all, &(char){(char)c}, 1);
    }
    lorac_buf_str(&all, "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\x88");
    struct lorac_ids ids = encode(t, all.at, all.n, true);
    assert_int_equal(ids.n, all.n);
    assert_int_equal(lorac_decode(&back, t, ids.at, ids.n, false, NULL), LORAC_OK);
    assert_int_equal(back.n, all.n);
    assert_memory_equal(back.at, all.at, all.n);
    lorac_buf_free(&all);
    lorac_buf_free(&back);
    lorac_ids_free(&ids);
    lorac_tokenizer_free(t);
    assert_int_equal(lorac_dir_remove(trains_out, NULL), LORAC_OK);
}

static void a_token_stays_below_the_longest_that_is_read(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    struct lorac_tokenizer_report r;
    struct lorac_tokenizer_options o = trains_options(300);
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 20000; k++) {
            lorac_buf_add(&b, "a", 1);
        }
        lorac_buf_add(&b, " ", 1);
    }
    trains_put(b.at, b.n);
    o.allow_fewer = true;
    struct lorac_tokenizer *t = trains_new(&r, &o);
    size_t longest = 0;
    for (int32_t id = 0; id < (int32_t)lorac_tokenizer_size(t); id++) {
        const size_t n = strlen(lorac_token_text(t, id));
        longest = n > longest ? n : longest;
    }
    assert_int_equal(longest, 4096);
    lorac_tokenizer_free(t);
    lorac_buf_free(&b);
}

/* Of each file a sample is read back, which may end within a character. */
static void a_text_of_long_characters_is_learned(void **state)
{
    (void)state;
    struct lorac_tokenizer_report r;
    const struct lorac_tokenizer_options o = trains_options(258);
    for (size_t shift = 0; shift < 4; shift++) {
        struct lorac_buf b = {0};
        lorac_buf_printf(&b, "%.*s", (int)shift, "abc");
        for (size_t i = 0; i < 3000; i++) {
            lorac_buf_str(&b, "\xF0\x9F\x90\x88");
        }
        trains_put(b.at, b.n);
        lorac_tokenizer_free(trains_new(&r, &o));
        assert_int_equal(r.bytes, b.n);
        lorac_buf_free(&b);
    }
}

/* ---- the rule itself ---- */

enum { WORDS = 6000, LONGEST = 10, LETTERS = 60, MERGES = 400, TOKENS = 256 + MERGES };

/* Words of the characters '!' (the byte with id 0) to '\\', the first of them the most frequent. */
static void put_words(char words[WORDS][LONGEST + 1], struct lorac_buf *text)
{
    const uint64_t key = lorac_rng_key(7, "words");
    for (size_t w = 0; w < WORDS; w++) {
        const size_t n = 1 + lorac_rng_below(key, w, LONGEST, LONGEST);
        for (size_t i = 0; i < n; i++) {
            const double u = lorac_rng_uniform(key, w, i);
            words[w][i] = (char)('!' + (int)(u * u * LETTERS));
        }
        words[w][n] = '\0';
        lorac_buf_printf(text, "%s%s", w ? " " : "", words[w]);
    }
}

/* The pair of neighbours that occurs most often, of equals the smallest; how often. */
static int64_t most_frequent(int32_t best[2], int32_t ids[WORDS][LONGEST], const size_t *n)
{
    static int64_t count[TOKENS][TOKENS];
    memset(count, 0, sizeof count);
    for (size_t w = 0; w < WORDS; w++) {
        for (size_t i = 0; i + 1 < n[w]; i++) {
            count[ids[w][i]][ids[w][i + 1]]++;
        }
    }
    int64_t most = 0;
    for (int32_t a = 0; a < TOKENS; a++) {
        for (int32_t b = 0; b < TOKENS; b++) {
            if (count[a][b] <= most) { continue; }
            most = count[a][b];
            best[0] = a;
            best[1] = b;
        }
    }
    return most;
}

/* In every word, from the left. */
static void merge_everywhere(int32_t ids[WORDS][LONGEST], size_t *n, const int32_t pair[2],
                             int32_t id)
{
    for (size_t w = 0; w < WORDS; w++) {
        size_t k = 0;
        for (size_t i = 0; i < n[w]; i++) {
            const bool here = i + 1 < n[w] && ids[w][i] == pair[0] && ids[w][i + 1] == pair[1];
            ids[w][k++] = here ? id : ids[w][i];
            i += here;
        }
        n[w] = k;
    }
}

/* More pairs than the table first holds, counts that sink, runs of one character, and many ties. */
static void merges_are_those_of_counting_anew_each_time(void **state)
{
    (void)state;
    static char words[WORDS][LONGEST + 1];
    static int32_t ids[WORDS][LONGEST];
    static size_t n[WORDS];
    struct lorac_buf text = {0};
    struct lorac_buf name = {0};
    struct lorac_tokenizer_report r;
    struct lorac_tokenizer_options o = trains_options(TOKENS);
    o.pattern = "[^ ]+";
    put_words(words, &text);
    trains_put(text.at, text.n);
    struct lorac_tokenizer *t = trains_new(&r, &o);
    size_t tokens = WORDS - 1; // the blanks
    for (size_t w = 0; w < WORDS; w++) {
        n[w] = strlen(words[w]);
        for (size_t i = 0; i < n[w]; i++) {
            ids[w][i] = words[w][i] - '!'; // the bytes begin with what can be printed
        }
    }
    for (int32_t id = 256; id < TOKENS; id++) {
        int32_t best[2] = {0};
        assert_true(most_frequent(best, ids, n) > 0);
        lorac_buf_clear(&name);
        lorac_buf_printf(&name, "%s%s", lorac_token_text(t, best[0]), lorac_token_text(t, best[1]));
        assert_string_equal(lorac_token_text(t, id), name.at);
        merge_everywhere(ids, n, best, id);
    }
    for (size_t w = 0; w < WORDS; w++) {
        tokens += n[w];
    }
    assert_int_equal(r.tokens, tokens);
    assert_int_equal(r.pieces, 2 * WORDS - 1);
    lorac_tokenizer_free(t);
    lorac_buf_free(&name);
    lorac_buf_free(&text);
}

/* ---- progress ---- */

struct seen {
    const char *doing;
    double done;
    size_t n, steps;
};

static void see(void *who, const char *doing, double done)
{
    struct seen *s = who;
    if (!s->doing || strcmp(doing, s->doing) != 0) {
        s->steps++;
        s->done = 0.0;
    }
    assert_true(done >= s->done && done <= 1.0);
    s->doing = doing;
    s->done = done;
    s->n++;
}

static void progress_rises_to_the_end_of_each_step(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct lorac_buf b = {0};
    struct lorac_tokenizer_report r;
    struct lorac_tokenizer_options o = trains_options(260);
    for (size_t i = 0; i < 40000; i++) {
        lorac_buf_printf(&b, "word%zu ", i % 100);
    }
    trains_put(b.at, b.n);
    o.progress = see;
    o.who = &seen;
    lorac_tokenizer_free(trains_new(&r, &o));
    assert_int_equal(seen.steps, 2);
    assert_string_equal(seen.doing, "merging");
    assert_true(seen.done == 1.0);
    assert_true(seen.n > 4);
    lorac_buf_free(&b);
}

/* ---- what fails ---- */

static void a_folder_that_differs_from_what_was_learned_is_found(void **state)
{
    (void)state;
    const char text[] = "abab abab cdcd";
    const struct lorac_json at = {.file = "", .where = ""};
    struct lorac_tokenizer_options o = trains_options(256 + 3);
    struct lorac_tokenizer_report r = {0};
    struct lorac_cuts cuts = {0};
    struct lorac_pattern pattern = {0};
    struct lorac_words words = {0};
    struct lorac_learned l = {0};
    struct lorac_err err = {0};
    trains_put(text, sizeof text - 1);
    assert_int_equal(lorac_dir_make(trains_out, NULL), LORAC_OK);
    if (lorac_pattern_regex(&pattern, lorac_gpt2_pattern, &at, &err) ||
        lorac_cuts_init(&cuts, NULL, 0, NULL, &err) || lorac_learned_init(&l, NULL, 0, &err) ||
        lorac_words_read(&words, &r, &o, &cuts, &pattern, &err) ||
        lorac_learn(&l, &r.tokens, &words, &o, &err) ||
        lorac_tokenizer_write(trains_out, &l, &o, &err) ||
        lorac_tokenizer_check(trains_out, &l, &o, &pattern, &err)) {
        fail_msg("%s", err.text);
    }
    l.n_merges--; // the token is there, but not how it is made
    assert_int_equal(lorac_tokenizer_write(trains_out, &l, &o, NULL), LORAC_OK);
    l.n_merges++;
    assert_int_equal(lorac_tokenizer_check(trains_out, &l, &o, &pattern, &err), LORAC_EIO);
    assert_non_null(strstr(err.text, "a.txt: the first 14 bytes read back as other ids"));
    l.tokens.size--;
    l.n_merges--;
    assert_int_equal(lorac_tokenizer_write(trains_out, &l, &o, NULL), LORAC_OK);
    l.tokens.size++;
    l.n_merges++;
    assert_int_equal(lorac_tokenizer_check(trains_out, &l, &o, &pattern, &err), LORAC_EIO);
    assert_string_equal(err.text, "the vocabulary reads back with other tokens");
    lorac_learned_release(&l);
    lorac_words_release(&words);
    lorac_pattern_release(&pattern);
    lorac_cuts_release(&cuts);
    assert_int_equal(lorac_dir_remove(trains_out, NULL), LORAC_OK);
}

/* One training whose n-th allocation or system call fails: that is reported, and nothing is left.
 * False where it made fewer; *borne counts those that made no difference. */
static bool fails_at(enum faults_kind kind, long n, long *borne, const char *home, const char *to)
{
    const char *const files[] = {mill};
    struct lorac_tokenizer_options o = trains_options(400);
    struct lorac_tokenizer_report r;
    struct lorac_err err = {0};
    o.files = files;
    o.eos = "<|endoftext|>";
    o.separator = "\n\n";
    faults_start(kind, n);
    const enum lorac_status st = lorac_tokenizer_train(&r, to, &o, &err);
    const bool met = faults_stop();
    *borne += met && !st;
    if (st) {
        assert_int_equal(st, faults_status(kind));
        assert_true(err.text[0] != '\0');
    }
    if (lorac_path_exists(to)) { // it succeeded, or only the last sync of the folder failed
        assert_int_equal(lorac_dir_remove(to, NULL), LORAC_OK);
    }
    assert_true(lorac_dir_is_empty(home));
    return met;
}

static void whatever_fails_nothing_is_left(void **state)
{
    (void)state;
    const char *home = tiny_path("fault");
    const char *to = tiny_path("fault/tok");
    assert_int_equal(lorac_dir_make(home, NULL), LORAC_OK);
    long n = 0;
    long borne = 0;
    while (fails_at(FAULTS_CALLS, n, &borne, home, to)) {
        n++;
    }
    assert_true(n > 20 && borne == 0);
    for (n = 0; fails_at(FAULTS_FOREIGN, n, &borne, home, to); n = faults_next(n, 137)) {}
    assert_true(n > 100 && borne == 0);
    n = 0;
    while (fails_at(FAULTS_MEMORY, n, &borne, home, to)) {
        n++;
    }
    assert_true(n > 200);
    assert_true(borne < 30); // 10 for each pattern, which PCRE2 then interprets
}

#define TEST(f) cmocka_unit_test_teardown(f, trains_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(merges_and_ids_are_those_of_the_reference),
        DATA_TEST(two_megabytes_of_prose_give_the_merges_of_the_reference),
        TEST(the_highest_count_merges_first_and_ties_by_ids),
        TEST(special_tokens_and_separators_cut_and_are_not_learned),
        TEST(names_are_read_back_and_any_text_is_encoded),
        TEST(a_token_stays_below_the_longest_that_is_read),
        TEST(a_text_of_long_characters_is_learned),
        TEST(merges_are_those_of_counting_anew_each_time),
        TEST(progress_rises_to_the_end_of_each_step),
        TEST(a_folder_that_differs_from_what_was_learned_is_found),
        TEST(whatever_fails_nothing_is_left),
    };
    return data_result(
        cmocka_run_group_tests_name("tokenizer_train", tests, trains_make, tiny_remove));
}
