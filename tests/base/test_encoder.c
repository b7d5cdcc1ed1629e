/*
 * Encoders against transformers, on every case of tests/golden/models that is one and on every
 * backend of this build. What is promised, relative to the largest element, of ragged packed
 * batches with token types:
 *   - logits of the head in the files are within 1e-5, those of a text from the row that its
 *     architecture reads;
 *   - so are the hidden states, with head and prefix in the files and without;
 *   - a model without token types reads a pair as one with them does, whatever types it is given;
 *   - an encoder does not go on from other rows, and gives no logits that it has no head for.
 */
#include "base/core/mem.h"
#include "tests/support/backends.h"
#include "tests/support/golden.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Of a text the row that its architecture reads is scored; else all rows are asked for. */
static void near_golden(const struct golden *of, struct lorac_device *dev, enum lorac_task task,
                        const char *name)
{
    size_t n = 0;
    size_t want_n = 0;
    char what[600];
    struct golden case_ = *of;
    struct golden *g = &case_;
    g->options.task = task;
    struct lorac_model *m = golden_open_model(g, dev);
    bool texts = task == LORAC_TASK_CLASSIFY;
    float *got =
        texts ? passes_logits(m, NULL, g->batch, &n) : passes_all_logits(m, NULL, g->batch, &n);
    const float *want = golden_tensor(g, name, &want_n);
    (void)snprintf(what, sizeof what, "%s %s", strrchr(g->dir, '/') + 1, name);
    assert_int_equal(n, want_n);
    near_all(what, got, want, n, 1e-5F * golden_largest(want, n), 0.0F);
    lorac_mem_free(got);
    lorac_model_close(m);
}

static void heads_and_bodies_are_those_of_transformers(void **state)
{
    for (size_t i = 0; golden_encoders[i]; i++) {
        struct lorac_device dev;
        struct golden g;
        assert_int_equal(lorac_device_open(&dev, *state, 1, NULL), LORAC_OK);
        golden_open(&g, golden_encoders[i]);
        if (golden_has(&g, "base_logits")) { near_golden(&g, &dev, g.options.task, "base_logits"); }
        near_golden(&g, &dev, LORAC_TASK_BODY, "hidden");
        golden_close(&g);
        lorac_device_close(&dev);
    }
}

static void a_text_is_seen_whole_or_not_at_all(void **state)
{
    static const int32_t ids[] = {5, 6, 7};
    const struct lorac_pass_options o = {.max_rows = 8};
    struct lorac_err err = {0};
    struct lorac_device dev;
    struct lorac_batch *b = NULL;
    struct lorac_pass *p = NULL;
    assert_int_equal(lorac_device_open(&dev, *state, 1, NULL), LORAC_OK);
    struct lorac_model *m = golden_model(&dev, "bert-lm");
    assert_int_equal(lorac_pass_new(&p, m, NULL, &o, NULL), LORAC_OK);
    assert_int_equal(lorac_batch_new(&b, 8, 2, 2, NULL), LORAC_OK);
    int32_t first = lorac_batch_add(b, ids, 3, -1);
    (void)lorac_batch_add(b, ids, 2, first);
    assert_int_equal(lorac_pass_forward(p, b, NULL, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "segment 1 goes on from another, which an encoder (bert)"));
    lorac_batch_clear(b);
    (void)lorac_batch_add(b, ids, 3, -1);
    b->type[2] = 2;
    assert_int_equal(lorac_pass_forward(p, b, NULL, &err), LORAC_EUSER);
    assert_string_equal(err.text, "token type 2 is outside the model's 2");
    lorac_batch_free(b);
    lorac_pass_free(p);
    lorac_model_close(m);
    lorac_device_close(&dev);
}

static void a_model_without_types_takes_those_of_a_pair(void **state)
{
    static const char *const names[] = {"distilbert-lm", "modernbert-lm"};
    static const int32_t ids[] = {5, 6, 7};
    struct lorac_device dev;
    struct lorac_batch *b = NULL;
    assert_int_equal(lorac_device_open(&dev, *state, 1, NULL), LORAC_OK);
    assert_int_equal(lorac_batch_new(&b, 8, 2, 2, NULL), LORAC_OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct lorac_model *m = golden_model(&dev, names[i]);
        size_t n = 0;
        lorac_batch_clear(b);
        (void)lorac_batch_add(b, ids, 3, -1);
        float *want = passes_all_logits(m, NULL, b, &n);
        b->type[2] = 1;
        float *got = passes_all_logits(m, NULL, b, &n);
        near_all(names[i], got, want, n, 0.0F, 0.0F);
        lorac_mem_free(want);
        lorac_mem_free(got);
        lorac_model_close(m);
    }
    lorac_batch_free(b);
    lorac_device_close(&dev);
}

/* What is asked of a folder, and what it says. */
static void refuse(struct lorac_device *dev, const char *name, enum lorac_task task, size_t labels,
                   const char *text)
{
    struct lorac_err err = {0};
    struct lorac_model *m = NULL;
    struct golden g;
    const struct lorac_model_options o = {.task = task, .labels = labels};
    golden_open(&g, name);
    assert_int_equal(lorac_model_open_for(&m, dev, g.dir, &o, &err), LORAC_EUSER);
    assert_null(m);
    if (!strstr(err.text, text)) { fail_msg("'%s' lacks '%s'", err.text, text); }
    golden_close(&g);
}

static void a_head_that_is_not_there_is_named(void **state)
{
    struct lorac_device dev;
    assert_int_equal(lorac_device_open(&dev, *state, 1, NULL), LORAC_OK);
    refuse(&dev, "bert-bare", LORAC_TASK_LM, 0, "it has no head for predicting tokens");
    refuse(&dev, "bert-classify", LORAC_TASK_LM, 0, "its head is for classifying texts");
    refuse(&dev, "bert-classify", LORAC_TASK_CLASSIFY, 4, "its head has 3 labels, asked for are 4");
    lorac_device_close(&dev);
}

/* The published pooler goes with a new classifier; where the files have none it is new, too. */
static void a_new_head_takes_the_pooler_that_is_there(void **state)
{
    static const struct {
        const char *name;
        bool pooler;
    } cases[] = {{"bert-old", true}, {"bert-bare", true}, {"bert-lm", false}};
    struct lorac_device dev;
    assert_int_equal(lorac_device_open(&dev, *state, 1, NULL), LORAC_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_err err = {0};
        struct lorac_model *m = NULL;
        struct golden g;
        const struct lorac_model_options o = {.task = LORAC_TASK_CLASSIFY, .labels = 4};
        golden_open(&g, cases[i].name);
        if (lorac_model_open_for(&m, &dev, g.dir, &o, &err)) { fail_msg("%s", err.text); }
        assert_true(m->module[lorac_module_find(m, "classifier")].fresh);
        size_t pooler = lorac_module_find(m, "bert.pooler.dense");
        assert_int_equal(m->module[pooler].fresh, !cases[i].pooler);
        lorac_model_close(m);
        golden_close(&g);
    }
    lorac_device_close(&dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EACH(heads_and_bodies_are_those_of_transformers),
        ON_EACH(a_text_is_seen_whole_or_not_at_all),
        ON_EACH(a_model_without_types_takes_those_of_a_pair),
        ON_EACH(a_head_that_is_not_there_is_named),
        ON_EACH(a_new_head_takes_the_pooler_that_is_there),
    };
    return cmocka_run_group_tests_name("encoder", tests, NULL, NULL);
}
