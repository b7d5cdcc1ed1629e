/* letters.h - a WordPiece tokenizer of letters in tiny_dir(): [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3,
 * [MASK] 4, a..z from 5 on, as parts of a word ("##a") from 31 on, "." 57. A text is framed by
 * [CLS] and [SEP]; a word with another character is [UNK]. */
#ifndef LORAC_TESTS_LETTERS_H
#define LORAC_TESTS_LETTERS_H

#include "base/core/buf.h"
#include "base/core/file.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { PAD, UNK, CLS, SEP, MASK, LETTER, PART = LETTER + 26, DOT = PART + 26, LETTERS };

static inline void letters_write(const char *name)
{
    static const char *const special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    struct lorac_buf json = {0};
    char path[300];
    lorac_buf_str(&json, "{\"added_tokens\": [");
    for (int i = 0; i < LETTER; i++) {
        lorac_buf_printf(&json,
                         "%s{\"id\": %d, \"content\": \"%s\", \"single_word\": false, \"lstrip\": "
                         "false, \"rstrip\": false, \"normalized\": false, \"special\": true}",
                         i ? ", " : "", i, special[i]);
    }
    lorac_buf_str(
        &json,
        "], \"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": true, "
        "\"handle_chinese_chars\": true, \"strip_accents\": null, \"lowercase\": true}, "
        "\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, \"post_processor\": {\"type\": "
        "\"BertProcessing\", \"sep\": [\"[SEP]\", 3], \"cls\": [\"[CLS]\", 2]}, \"decoder\": "
        "{\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": true}, \"model\": {\"type\": "
        "\"WordPiece\", \"unk_token\": \"[UNK]\", \"continuing_subword_prefix\": \"##\", "
        "\"max_input_chars_per_word\": 100, \"vocab\": {");
    for (int i = 0; i < LETTER; i++) {
        lorac_buf_printf(&json, "\"%s\": %d, ", special[i], i);
    }
    for (int i = 0; i < 26; i++) {
        lorac_buf_printf(&json, "\"%c\": %d, \"##%c\": %d, ", 'a' + i, LETTER + i, 'a' + i,
                         PART + i);
    }
    lorac_buf_printf(&json, "\".\": %d}}}\n", DOT);
    assert_int_equal(lorac_dir_make(tiny_path(name), NULL), LORAC_OK);
    (void)snprintf(path, sizeof path, "%s/tokenizer.json", name);
    tiny_text(path, json.at);
    (void)snprintf(path, sizeof path, "%s/tokenizer_config.json", name);
    tiny_text(path, "{\"tokenizer_class\": \"BertTokenizer\"}\n"); // names no token, as on the hub
    lorac_buf_free(&json);
}

#endif
