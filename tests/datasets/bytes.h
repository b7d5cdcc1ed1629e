/* bytes.h - what the tests of datasets/ share: a tokenizer whose ids are bytes, and short openings.
 * Ids 0..255 are bytes; <s> 256 in front, </s> 257 ends; "ab" is 258 and ": " 259. */
#ifndef LORAC_TESTS_DATASETS_BYTES_H
#define LORAC_TESTS_DATASETS_BYTES_H

#include "base/core/mem.h"
#include "datasets/datasets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { BOS = 256, EOS = 257, AB = 258, COLON = 259 };

static inline struct lorac_tokenizer *open_bytes(void)
{
    struct lorac_tokenizer *t = NULL;
    struct lorac_err err = {0};
    if (lorac_tokenizer_open(&t, LORAC_TESTS_DIR "/datasets/data/bytes", &err)) {
        fail_msg("%s", err.text);
    }
    return t;
}

static inline struct lorac_table *open_text(const char *text)
{
    struct lorac_table *t = NULL;
    struct lorac_err err = {0};
    if (lorac_table_parse(&t, text, strlen(text), "t.csv", NULL, &err)) {
        fail_msg("%s", err.text);
    }
    return t;
}

static inline struct lorac_dataset *open_dataset(const struct lorac_table *table,
                                                 const struct lorac_tokenizer *tokenizer,
                                                 const struct lorac_dataset_options *o)
{
    struct lorac_dataset *d = NULL;
    struct lorac_err err = {0};
    if (lorac_dataset_open(&d, table, tokenizer, o, &err)) { fail_msg("%s", err.text); }
    return d;
}

/* The row whose logits score entry t of the targets. */
static inline size_t row_of(const struct lorac_batch *b, size_t t)
{
    size_t u = 0;
    while (b->first[u + 1] <= t) {
        u++;
    }
    return b->head_row[u];
}

/* Entry t scores `id` behind the tokens `past` (n): the chain of its row holds exactly these. */
static inline void expect_scored(const struct lorac_batch *b, size_t t, int32_t id,
                                 const int32_t *past, size_t n)
{
    assert_int_equal(b->target[t], id);
    size_t row = row_of(b, t);
    size_t s = 0;
    while (row >= b->segments[s].row + b->segments[s].n) {
        s++;
    }
    assert_int_equal(b->position[row], n - 1);
    for (size_t left = n; left > 0; left--) { // backwards through the segment, then its parents
        assert_int_equal(b->ids[row], past[left - 1]);
        if (row > b->segments[s].row) {
            row--;
        } else if (left > 1) {
            assert_true(b->segments[s].parent >= 0);
            s = (size_t)b->segments[s].parent;
            row = b->segments[s].row + b->segments[s].n - 1;
        } else {
            assert_int_equal(b->segments[s].parent, -1);
        }
    }
}

#endif
