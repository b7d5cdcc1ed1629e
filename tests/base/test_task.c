/*
 * Models with the head of a task. What is promised: a head that the files lack is drawn, the same
 * for the same seed, and told as untrained until something stands in for it; its logits are those
 * of its weight on the hidden states that the body gives; what fits no task is refused by name.
 */
#include "base/core/mem.h"
#include "base/model.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 7, C = 16, K = 3 };
static const int32_t ids[ROWS] = {256, 'a', 'b', 'c', 256, 'd', 'e'};
static struct lorac_device dev;

static struct lorac_model *open_for(enum lorac_task task, size_t labels, uint64_t seed)
{
    struct lorac_err err = {0};
    struct lorac_model *m = NULL;
    const struct lorac_model_options o = {.task = task, .labels = labels, .seed = seed};
    if (lorac_model_open_for(&m, &dev, tiny_path("model"), &o, &err)) { fail_msg("%s", err.text); }
    return m;
}

/* out (2,Z) written: what the head gives the last rows of two texts. */
static void run(float *out, const struct lorac_model *m)
{
    struct lorac_batch *b = NULL;
    struct lorac_pass *p = NULL;
    const struct lorac_pass_options o = {.max_rows = ROWS};
    assert_int_equal(lorac_batch_new(&b, ROWS, 2, 2, NULL), LORAC_OK);
    assert_int_equal(lorac_pass_new(&p, m, NULL, &o, NULL), LORAC_OK);
    lorac_batch_add(b, ids, 4, -1);
    lorac_batch_add(b, ids + 4, 3, -1);
    lorac_batch_want_logits(b, 3);
    lorac_batch_want_logits(b, 6);
    assert_int_equal(lorac_pass_forward(p, b, NULL, NULL), LORAC_OK);
    lorac_pass_logits(p, b, out);
    lorac_pass_free(p);
    lorac_batch_free(b);
}

static void a_fresh_head_reads_the_body(void **state)
{
    (void)state;
    float logits[2 * K];
    float x[2 * C];
    struct lorac_model *m = open_for(LORAC_TASK_CLASSIFY, K, 5);
    struct lorac_model *body = open_for(LORAC_TASK_BODY, 0, 0);
    struct lorac_model *lm = open_for(LORAC_TASK_LM, 0, 0);
    const struct lorac_module *score = &m->module[m->head];
    assert_string_equal(score->name, "score");
    assert_true(score->fresh && score->is_head && score->n == 0);
    assert_int_equal(lorac_model_text_row(m), LORAC_ROW_LAST);
    assert_string_equal(lorac_model_untrained(m, NULL), "score");
    assert_null(lorac_model_untrained(body, NULL));
    assert_int_equal(body->head, body->n_modules);
    assert_string_equal(m->fingerprint, lm->fingerprint);
    assert_string_equal(body->fingerprint, lm->fingerprint);
    run(logits, m);
    run(x, body);
    for (size_t u = 0; u < 2; u++) {
        for (size_t k = 0; k < K; k++) {
            double want = 0.0;
            for (size_t c = 0; c < C; c++) {
                want += (double)x[u * C + c] * (double)score->drawn[k * C + c];
            }
            assert_true(fabs(want - (double)logits[u * K + k]) < 1e-6);
        }
    }
    lorac_model_close(lm);
    lorac_model_close(body);
    lorac_model_close(m);
}

static void a_fresh_head_is_a_function_of_the_seed(void **state)
{
    (void)state;
    struct lorac_model *m[3] = {open_for(LORAC_TASK_TAG, 40, 5), open_for(LORAC_TASK_TAG, 40, 5),
                                open_for(LORAC_TASK_TAG, 40, 6)};
    const float *w[3];
    double squares = 0.0;
    for (size_t i = 0; i < 3; i++) {
        const struct lorac_module *score = &m[i]->module[m[i]->head];
        assert_int_equal(score->n, 40); // a bias, as transformers has it
        w[i] = score->drawn;
    }
    assert_memory_equal(w[0], w[1], sizeof(float[40 * C]));
    assert_memory_not_equal(w[0], w[2], sizeof(float[40 * C]));
    for (size_t i = 0; i < 40UL * C; i++) {
        squares += (double)w[0][i] * (double)w[0][i];
    }
    assert_true(fabs(sqrt(squares / (40.0 * C)) / m[0]->config.init_range - 1.0) < 0.1);
    for (size_t i = 0; i < 3; i++) {
        lorac_model_close(m[i]);
    }
}

static void refuse(enum lorac_task task, size_t labels, enum lorac_status want, const char *text)
{
    struct lorac_err err = {0};
    struct lorac_model *m = NULL;
    const struct lorac_model_options o = {.task = task, .labels = labels};
    assert_int_equal(lorac_model_open_for(&m, &dev, tiny_path("model"), &o, &err), want);
    assert_null(m);
    if (!strstr(err.text, text)) { fail_msg("'%s' lacks '%s'", err.text, text); }
}

static void what_fits_no_task_is_refused(void **state)
{
    (void)state;
    refuse(LORAC_TASK_CLASSIFY, 0, LORAC_EUSER, "a new one needs the number of labels");
    tiny_edit("model/config.json", "\"LlamaForCausalLM\"", "\"LlamaForSequenceClassification\"");
    refuse(LORAC_TASK_LM, 0, LORAC_EUSER, "its head is for classifying texts");
    refuse(LORAC_TASK_CLASSIFY, K, LORAC_EUSER, "its head has 2 labels, asked for are 3");
    refuse(LORAC_TASK_CLASSIFY, 0, LORAC_EFORMAT, "'score.weight' is missing");
    tiny_edit("model/config.json", "\"architectures\"",
              "\"id2label\": {\"0\": \"a\", \"1\": \"b\", \"2\": \"c\"}, \"num_labels\": 2, "
              "\"architectures\"");
    refuse(LORAC_TASK_CLASSIFY, 0, LORAC_EFORMAT, "as many labels as num_labels says");
    tiny_write(tiny_path("model"));
}

static int set_up(void **state)
{
    return tiny_model(state) || lorac_device_open(&dev, "ref", 1, NULL);
}

static int tear_down(void **state)
{
    lorac_device_close(&dev);
    return tiny_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_head_reads_the_body),
        cmocka_unit_test(a_fresh_head_is_a_function_of_the_seed),
        cmocka_unit_test(what_fits_no_task_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
