/* heads.h - what the tests of heads share: two tokenizers of bytes, and the options of a recipe
 * that has one. */
#ifndef LORAC_TESTS_DATASETS_HEADS_H
#define LORAC_TESTS_DATASETS_HEADS_H

#include "tests/datasets/bytes.h"

enum { CLS = BOS, SEP = EOS };

static struct lorac_tokenizer *framed, *plain;
static struct lorac_target_frame frame; // each test's
static const char *const colours[] = {"red", "green", "blue"};

static inline struct lorac_tokenizer *open_tokenizer(const char *dir)
{
    struct lorac_tokenizer *t = NULL;
    struct lorac_err err = {0};
    if (lorac_tokenizer_open(&t, dir, &err)) { fail_msg("%s", err.text); }
    return t;
}

static inline int open_all(void **state)
{
    (void)state;
    framed = open_tokenizer(LORAC_TESTS_DIR "/datasets/data/framed");
    plain = open_bytes();
    return 0;
}

static inline int close_all(void **state)
{
    (void)state;
    lorac_tokenizer_free(framed);
    lorac_tokenizer_free(plain);
    return 0;
}

static inline int begin(void **state)
{
    (void)state;
    frame = (struct lorac_target_frame){.row = LORAC_ROW_FIRST, .deviation = 1.0};
    return 0;
}

static inline const struct lorac_objective *objective(const char *name)
{
    for (size_t i = 0; i < lorac_n_objectives; i++) {
        if (strcmp(lorac_objectives[i].name, name) == 0) { return &lorac_objectives[i]; }
    }
    fail_msg("no objective %s", name);
    return NULL;
}

/* As a recipe with this objective says it: a text, and its target in the column `label`. */
static inline struct lorac_dataset_options usual(const char *name)
{
    return (struct lorac_dataset_options){
        .prompt = "{text}",
        .max_length = 64,
        .objective = objective(name),
        .label_variable = "label",
        .classes = colours,
        .K = strcmp(name, "regress") == 0 ? 0 : 3,
        .separator = ";",
        .frame = &frame,
    };
}

static inline struct lorac_table *open_lines(const char *text)
{
    struct lorac_table *t = NULL;
    struct lorac_err err = {0};
    const struct lorac_table_format format = {.kind = LORAC_TABLE_JSONL};
    if (lorac_table_parse(&t, text, strlen(text), "t.jsonl", &format, &err)) {
        fail_msg("%s", err.text);
    }
    return t;
}

static inline void expect_list(const struct lorac_ids *got, const int32_t *want, size_t n)
{
    assert_int_equal(got->n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(got->at[i], want[i]);
    }
}

#define LIST(...) \
    (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t)

#endif
