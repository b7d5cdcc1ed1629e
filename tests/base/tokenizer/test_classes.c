/*
 * Folders as AutoTokenizer of transformers 5.24 takes them (golden/tokenizer_folder.json, made by
 * golden/make_tokenizer_folder.py). What is promised:
 *   - vocab.json and merges.txt, or vocab.txt, are read by the class that tokenizer_config.json or
 *     config.json names, or that its model_type stands for, with the special tokens of that class;
 *     where transformers finds none, the folder is refused;
 *   - what is put around a text add_bos_token and add_eos_token say there, and beside a
 *     tokenizer.json its post-processor alone; where they ask for something else, that is told;
 *   - how BERT's classes normalise tokenizer_config.json says, over tokenizer.json, and is told.
 */
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/tokenizer/tokenizer.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct lorac_json root;

static int open_golden(void **state)
{
    (void)state;
    return lorac_json_load(&root, LORAC_TESTS_DIR "/golden/tokenizer_folder.json", 1 << 20, NULL) !=
           LORAC_OK;
}

static int close_golden(void **state)
{
    lorac_json_free(&root);
    return tiny_remove(state);
}

static void write_json(const char *name, const json_t *value)
{
    char path[64];
    (void)snprintf(path, sizeof path, "folder/%s", name);
    assert_int_equal(json_dump_file(value, tiny_path(path), 0), 0);
}

/* The case's folder. */
static const char *write_folder(const struct lorac_json *at)
{
    const char *dir = tiny_path("folder");
    const char *vocab = json_string_value(json_object_get(at->value, "vocab"));
    const char *file = NULL;
    json_t *content = NULL;
    assert_int_equal(lorac_dir_remove(dir, NULL), LORAC_OK);
    assert_int_equal(lorac_dir_make(dir, NULL), LORAC_OK);
    json_object_foreach(json_object_get(at->value, "files"), file, content)
    {
        write_json(file, content);
    }
    if (vocab && strcmp(vocab, "lines") == 0) {
        tiny_text("folder/vocab.txt", json_string_value(json_object_get(root.value, vocab)));
    } else if (vocab) {
        write_json("vocab.json", json_object_get(root.value, vocab));
        tiny_text("folder/merges.txt", json_string_value(json_object_get(root.value, "merges")));
    }
    return dir;
}

static void expect_ids(const char *name, const struct lorac_tokenizer *t, const char *text,
                       unsigned flags, const json_t *want)
{
    struct lorac_ids ids = {0};
    struct lorac_err err = {0};
    struct lorac_text one = {.at = text, .n = strlen(text), .special = true};
    if (lorac_encode(&ids, t, &one, 1, flags, &err)) { fail_msg("%s: %s", name, err.text); }
    bool same = ids.n == json_array_size(want);
    for (size_t i = 0; i < ids.n && same; i++) {
        same = ids.at[i] == json_integer_value(json_array_get(want, i));
    }
    if (!same) { fail_msg("%s: other ids for '%s' (flags %u)", name, text, flags); }
    lorac_ids_free(&ids);
}

static void expect_id(const char *name, const struct lorac_json *at, const char *key, int32_t got)
{
    const json_t *want = json_object_get(at->value, key);
    if (got != (json_is_null(want) ? -1 : json_integer_value(want))) {
        fail_msg("%s: %s is %d", name, key, (int)got);
    }
}

static void expect_case(const char *name, const struct lorac_json *at)
{
    struct lorac_tokenizer *t = NULL;
    struct lorac_err err = {0};
    enum lorac_status st = lorac_tokenizer_open(&t, write_folder(at), &err);
    if (json_object_get(at->value, "error")) {
        if (st != LORAC_ENOTSUP) { fail_msg("%s: is read (%s)", name, err.text); }
        return;
    }
    if (st) { fail_msg("%s: %s", name, err.text); }
    expect_id(name, at, "size", (int32_t)lorac_tokenizer_size(t));
    expect_id(name, at, "bos", lorac_tokenizer_bos(t));
    expect_id(name, at, "eos", lorac_tokenizer_eos(t));
    expect_id(name, at, "pad", lorac_tokenizer_pad(t));
    struct lorac_json rows = lorac_json_get(at, "rows");
    for (size_t i = 0; i < json_array_size(rows.value); i++) {
        const json_t *row = json_array_get(rows.value, i);
        const char *text = json_string_value(json_object_get(row, "text"));
        expect_ids(name, t, text, LORAC_ENCODE_ALONE, json_object_get(row, "alone"));
        if (!*text) { continue; } // BOS and EOS of one id are put once (tokenizer.h)
        expect_ids(name, t, text, LORAC_ENCODE_BEGINS | LORAC_ENCODE_ENDS,
                   json_object_get(row, "whole"));
    }
    lorac_tokenizer_free(t);
}

static void folders_are_taken_as_in_transformers(void **state)
{
    (void)state;
    struct lorac_json cases = lorac_json_get(&root, "cases");
    assert_true(json_array_size(cases.value) > 30);
    for (size_t i = 0; i < json_array_size(cases.value); i++) {
        struct lorac_json at = lorac_json_at(&cases, i);
        const char *name = json_string_value(json_object_get(at.value, "name"));
        expect_case(name, &at);
    }
}

static struct lorac_json case_named(const char *name)
{
    struct lorac_json cases = lorac_json_get(&root, "cases");
    for (size_t i = 0; i < json_array_size(cases.value); i++) {
        struct lorac_json at = lorac_json_at(&cases, i);
        if (strcmp(json_string_value(json_object_get(at.value, "name")), name) == 0) { return at; }
    }
    fail_msg("no case %s", name);
    return (struct lorac_json){0};
}

static void which_file_counts_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *name, *note;
    } cases[] = {
        {"tokenizer.json puts nothing, bos True, eos None",
         "tokenizer_config.json: add_bos_token is true, but the post_processor of tokenizer.json "
         "puts nothing there, which counts, as in transformers 5"},
        {"tokenizer.json puts <s>, bos False, eos None",
         "tokenizer_config.json: add_bos_token is false, but the post_processor of tokenizer.json "
         "puts a token there, which counts, as in transformers 5"},
        {"tokenizer.json puts <s>, bos True, eos True",
         "tokenizer_config.json: add_eos_token is true, but the post_processor of tokenizer.json "
         "puts nothing there, which counts, as in transformers 5"},
        {"tokenizer.json puts <s>, bos True, eos None", NULL},
        {"tokenizer.json puts nothing, bos False, eos None", NULL},
        {"tokenizer.json puts nothing, bos None, eos None", NULL},
        {"bos and eos", NULL},
        {"tokenizer.json of bert, None, do_lower_case",
         "tokenizer_config.json: do_lower_case says otherwise than the normalizer of "
         "tokenizer.json, and counts, as in transformers"},
        {"tokenizer.json of bert, PreTrainedTokenizerFast, do_lower_case", NULL},
        {"a class of bert", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_json at = case_named(cases[i].name);
        struct lorac_tokenizer *t = NULL;
        assert_int_equal(lorac_tokenizer_open(&t, write_folder(&at), NULL), LORAC_OK);
        const char *note = lorac_tokenizer_note(t);
        if (cases[i].note) {
            assert_non_null(note);
            assert_string_equal(note, cases[i].note);
        } else if (note) {
            fail_msg("%s: %s", cases[i].name, note);
        }
        lorac_tokenizer_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_taken_as_in_transformers),
        cmocka_unit_test(which_file_counts_is_told),
    };
    return cmocka_run_group_tests_name("classes", tests, open_golden, close_golden);
}
