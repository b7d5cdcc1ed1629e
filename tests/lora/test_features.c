/*
 * Adapters of models that embed texts (PEFT's FEATURE_EXTRACTION). What is promised:
 *   - on a model opened for its hidden states they give PEFT's vectors, though their names lack
 *     what stands in front of a body's modules (tests/golden/features);
 *   - so does a body that was saved alone;
 *   - where a model has a head for labels they are an error.
 */
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/embed.h"
#include "lora/lora.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN LORAC_TESTS_DIR "/golden/"
enum { MOST = 64, TEXTS = 8 };
static struct lorac_device dev;

static int open_device(void **state)
{
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    return tiny_model(state);
}

static int close_device(void **state)
{
    lorac_device_close(&dev);
    return tiny_remove(state);
}

static struct lorac_model *open_model(const char *dir, enum lorac_task task, size_t labels)
{
    const struct lorac_model_options o = {.task = task, .labels = labels};
    struct lorac_model *m = NULL;
    struct lorac_err err = {0};
    if (lorac_model_open_for(&m, &dev, dir, &o, &err)) { fail_msg("%s", err.text); }
    return m;
}

static struct lorac_adapter *load(const struct lorac_model *m, const char *dir)
{
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    if (lorac_peft_load(&a, m, dir, false, &err)) { fail_msg("%s", err.text); }
    return a;
}

/* The vectors (n,C) of the segments of a base's batch.json; returns how many. */
static size_t embed(float *out, const struct lorac_model *m, const struct lorac_adapter *a,
                    const char *base)
{
    const struct lorac_embedding how = {.pooling = LORAC_POOL_MEAN, .max_tokens = 32};
    struct lorac_stack stack = {.adapter = {a}, .factor = {1.0F}, .n = a != NULL};
    struct lorac_socket socket = lorac_stack_socket(&stack);
    struct lorac_tokenizer *t = NULL; // ids come as they are
    struct lorac_embedder *e = NULL;
    struct lorac_json batch = {0};
    struct lorac_err err = {0};
    char path[512];
    assert_int_equal(lorac_tokenizer_open(&t, tiny_path("model"), NULL), LORAC_OK);
    if (lorac_embedder_new(&e, m, t, a ? &socket : NULL, &how, &err)) { fail_msg("%s", err.text); }
    (void)snprintf(path, sizeof path, GOLDEN "models/%s/batch.json", base);
    assert_int_equal(lorac_json_load(&batch, path, 1 << 20, NULL), LORAC_OK);
    json_t *segments = json_object_get(batch.value, "segments");
    size_t n = json_array_size(segments);
    assert_true(n > 1 && n <= TEXTS && m->config.C <= MOST);
    for (size_t i = 0; i < n; i++) {
        int32_t ids[MOST];
        json_t *segment = json_array_get(segments, i);
        for (size_t k = 0; k < json_array_size(segment); k++) {
            ids[k] = (int32_t)json_integer_value(json_array_get(segment, k));
        }
        assert_true(lorac_embedder_add_ids(e, ids, json_array_size(segment)));
    }
    if (lorac_embedder_run(out, e, &err)) { fail_msg("%s", err.text); }
    lorac_json_free(&batch);
    lorac_embedder_free(e);
    lorac_tokenizer_free(t);
    return n;
}

static void same(const char *what, const float *got, const json_t *want, size_t n, size_t C)
{
    assert_int_equal(json_array_size(want), n);
    for (size_t i = 0; i < n * C; i++) {
        double x = json_number_value(json_array_get(json_array_get(want, i / C), i % C));
        if (!(fabs((double)got[i] - x) <= 4e-6)) { // as in tests/base/test_embed.c
            fail_msg("%s: %zu: %.9g, %.9g", what, i, (double)got[i], x);
        }
    }
}

static void vectors_are_those_of_peft(void **state)
{
    (void)state;
    static const char *const bases[] = {"llama", "gpt2", "bert-bare", "modernbert-bare"};
    struct lorac_json golden = {0};
    float out[TEXTS * MOST];
    float plain[TEXTS * MOST];
    assert_int_equal(lorac_json_load(&golden, GOLDEN "features/vectors.json", 1 << 20, NULL),
                     LORAC_OK);
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        char base[256];
        char dir[256];
        (void)snprintf(base, sizeof base, GOLDEN "models/%s", bases[i]);
        (void)snprintf(dir, sizeof dir, GOLDEN "features/%s", bases[i]);
        struct lorac_model_options o = {.task = LORAC_TASK_LM};
        assert_int_equal(lorac_peft_task(&o, dir, NULL), LORAC_OK);
        assert_int_equal(o.task, LORAC_TASK_BODY);
        struct lorac_model *m = open_model(base, LORAC_TASK_BODY, 0);
        struct lorac_adapter *a = load(m, dir);
        size_t n = embed(out, m, a, bases[i]);
        same(bases[i], out, json_object_get(golden.value, bases[i]), n, m->config.C);
        (void)embed(plain, m, NULL, bases[i]);
        assert_true(memcmp(plain, out, n * m->config.C * sizeof *out) != 0);
        lorac_adapter_free(a);
        lorac_model_close(m);
    }
    lorac_json_free(&golden);
}

static void a_body_that_was_saved_alone_is_the_same(void **state)
{
    (void)state;
    float whole[TEXTS * MOST];
    float alone[TEXTS * MOST];
    for (int with = 0; with < 2; with++) {
        struct lorac_model *m = open_model(GOLDEN "models/llama", LORAC_TASK_BODY, 0);
        struct lorac_adapter *a = with ? load(m, GOLDEN "features/llama") : NULL;
        size_t n = embed(whole, m, a, "llama");
        size_t bytes = n * m->config.C * sizeof *whole;
        lorac_adapter_free(a);
        lorac_model_close(m);
        m = open_model(GOLDEN "features/llama-body", LORAC_TASK_BODY, 0);
        a = with ? load(m, GOLDEN "features/llama") : NULL;
        assert_int_equal(embed(alone, m, a, "llama"), n);
        assert_memory_equal(whole, alone, bytes);
        lorac_adapter_free(a);
        lorac_model_close(m);
    }
}

static void refuses(const struct lorac_model *m, const char *dir, const char *text)
{
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    assert_int_equal(lorac_peft_load(&a, m, dir, false, &err), LORAC_EFORMAT);
    if (!strstr(err.text, text)) { fail_msg("%s", err.text); }
}

static void what_is_for_another_end_is_refused(void **state)
{
    (void)state;
    struct lorac_model *m = open_model(GOLDEN "models/bert-bare", LORAC_TASK_CLASSIFY, 3);
    refuses(m, GOLDEN "features/bert-bare",
            "is of a model that embeds texts (task_type FEATURE_EXTRACTION) and has no head; the "
            "model was opened for classifying texts, with 3 labels; give an adapter with such a "
            "head, or ask this one for vectors (lorac embed)");
    lorac_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_those_of_peft),
        cmocka_unit_test(a_body_that_was_saved_alone_is_the_same),
        cmocka_unit_test(what_is_for_another_end_is_refused),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
