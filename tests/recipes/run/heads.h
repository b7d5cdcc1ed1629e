/* heads.h - what the tests of recipes with a head share: a decoder and an encoder, tables whose
 * targets follow from their letters, and a recipe for each objective. */
#ifndef LORAC_TESTS_RECIPES_HEADS_H
#define LORAC_TESTS_RECIPES_HEADS_H

#include "base/init.h"
#include "recipes/run/heads.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 24 };

static inline void check(enum lorac_status st, const struct lorac_err *err)
{
    if (st) { fail_msg("%s", err->text); }
}

static const char bert[] =
    "{\"architectures\": [\"BertModel\"], \"model_type\": \"bert\", \"hidden_size\": 16,\n"
    " \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"intermediate_size\": 24,\n"
    " \"max_position_embeddings\": 64, \"type_vocab_size\": 2, \"initializer_range\": 0.2}\n";

/* An encoder that frames texts and pairs. */
static inline void make_encoder(void)
{
    static const struct lorac_init_options o = {
        .tokenizer = LORAC_TESTS_DIR "/datasets/data/framed", .seed = 3};
    struct lorac_err err = {0};
    check(lorac_model_init(tiny_path("encoder"), bert, &o, &err), &err);
}

/* Rows whose targets follow from their letters. */
static inline int make_all(void **state)
{
    static const char *const name[] = {"no", "yes"};
    struct lorac_buf one = {0};
    struct lorac_buf many = {0};
    struct lorac_buf number = {0};
    struct lorac_buf words = {0};
    tiny_model(state);
    make_encoder();
    lorac_buf_str(&one, "text,label\n");
    lorac_buf_str(&many, "text,label\n");
    lorac_buf_str(&number, "text,label\n");
    lorac_buf_str(&words, "text,label\n");
    for (int i = 0; i < ROWS; i++) {
        int a = i % 2;
        int b = i / 2 % 2;
        lorac_buf_printf(&one, "%d%c,%s\n", i % 5, a ? 'q' : 'z', name[a]);
        lorac_buf_printf(&many, "%d%c%c,x%s%s\n", i % 5, b ? 'k' : 'v', a ? 'q' : 'z',
                         a ? ";q" : "", b ? ";k" : "");
        lorac_buf_printf(&number, "%d%c,%d\n", i % 5, a ? 'q' : 'z', 100 + 20 * a);
        lorac_buf_printf(&words, "%c%c %c,no %s\n", 'a' + i % 5, a ? 'q' : 'z', b ? 'k' : 'v',
                         name[a]); // a row sees what stands before it
    }
    tiny_text("classify.csv", one.at);
    tiny_text("multilabel.csv", many.at);
    tiny_text("regress.csv", number.at);
    tiny_text("tag.csv", words.at);
    lorac_buf_free(&one);
    lorac_buf_free(&many);
    lorac_buf_free(&number);
    lorac_buf_free(&words);
    return 0;
}

static const char *const objectives[] = {"classify", "multilabel", "regress", "tag"};
enum { N_OBJECTIVES = 4 };

/* The recipe of an objective, and what a test sets; @ stands for the folder. */
static inline struct lorac_recipe *recipe(const char *objective, const char *const *sets, size_t n)
{
    enum { MOST = 8 };
    struct lorac_recipe_set all[MOST];
    struct lorac_buf set[MOST] = {0};
    struct lorac_recipe *r = NULL;
    struct lorac_err err = {0};
    char text[600];
    for (size_t i = 0; i < n; i++) {
        const char *at = strchr(sets[i], '@');
        lorac_buf_add(&set[i], sets[i], at ? (size_t)(at - sets[i]) : strlen(sets[i]));
        if (at) { lorac_buf_printf(&set[i], "%s/%s", tiny_dir(), at + 1); }
        all[i] = (struct lorac_recipe_set){set[i].at, false};
    }
    int size = snprintf(text, sizeof text,
                        "recipe: 1\nmodel: {path: model, max_length: 32}\n"
                        "data: {train: %s.csv, valid: %s.csv, labels: label}\n"
                        "objective: %s\ntrain: {epochs: 10, batch_size: 6}\n"
                        "optimizer: {lr: 2e-2}\noutput: {dir: out}\n",
                        objective, objective, objective);
    check(lorac_recipe_parse(&r, text, (size_t)size, "r.yaml", tiny_dir(), all, n, NULL, &err),
          &err);
    for (size_t i = 0; i < n; i++) {
        lorac_buf_free(&set[i]);
    }
    return r;
}

static inline struct lorac_job *job(struct lorac_recipe *r, unsigned parts)
{
    struct lorac_job *j = NULL;
    struct lorac_err err = {0};
    check(lorac_job_open(&j, r, parts, &err), &err);
    return j;
}

#endif
