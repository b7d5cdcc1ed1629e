/* golden.c - see golden.h. */
#include "tests/support/golden.h"

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

const char *const golden_cases[] = {
    "llama",
    "llama-tied-bias",
    "llama3-rope",
    "llama-mha-rslora",
    "mistral",
    "qwen2",
    "qwen2-window",
    "qwen3",
    "qwen3-tied",
    "qwen3-window",
    "full-qwen3",
    "gemma3",
    "gemma3-old",
    "gemma3-folder",
    "gemma3-folder-old",
    "full-gemma3",
    "gpt2",
    "gpt2-inverse",
    "gpt2-bare",
    "full-gpt2",
    "full-gpt2-untie",
    "full-gpt2-bias",
    "full-gpt2-wte",
    "full-gpt2-keep",
    "neox",
    "neox-sequential",
    "neox-head",
    "full-neox",
    "full-neox-bias",
    "dora-llama",
    "dora-qwen2",
    "dora-gpt2",
    "ia3-llama",
    "ia3-gpt2",
    "llama-head",
    "llama-patterns",
    "llama-sharded",
    "full-mixed",
    "full-keep",
    "full-untie",
    "full-bias",
    "full-lora-bias",
    "full-all",
    NULL,
};

enum { MAX_ROWS = 64, MAX_SEGMENTS = 8 };

const char *golden_path(const struct golden *g, const char *name)
{
    static char path[600];
    (void)snprintf(path, sizeof path, "%s/%s", g->dir, name);
    return path;
}

static void read_batch(struct golden *g)
{
    struct lorac_json root;
    char path[600];
    (void)snprintf(path, sizeof path, "%s/batch.json", g->dir);
    assert_int_equal(lorac_json_load(&root, path, 1 << 20, NULL), LORAC_OK);
    struct lorac_json segments = lorac_json_get(&root, "segments");
    struct lorac_json trained = lorac_json_get(&root, "trained");
    assert_int_equal(lorac_batch_new(&g->batch, MAX_ROWS, MAX_SEGMENTS, MAX_ROWS, NULL), LORAC_OK);
    lorac_batch_clear(g->batch);
    for (size_t s = 0; s < json_array_size(segments.value); s++) {
        struct lorac_json ids = lorac_json_at(&segments, s);
        struct lorac_json marks = lorac_json_at(&trained, s);
        int32_t row[MAX_ROWS];
        size_t n = json_array_size(ids.value);
        size_t begin = g->batch->N;
        assert_true(n > 0 && n <= MAX_ROWS);
        for (size_t i = 0; i < n; i++) {
            row[i] = (int32_t)json_integer_value(json_array_get(ids.value, i));
        }
        (void)lorac_batch_add(g->batch, row, n, -1);
        for (size_t i = 1; i < n; i++) {
            if (json_integer_value(json_array_get(marks.value, i))) {
                lorac_batch_score(g->batch, begin + i - 1, row[i]);
            }
        }
    }
    lorac_json_free(&root);
}

void golden_open(struct golden *g, const char *name)
{
    struct lorac_err err = {0};
    (void)snprintf(g->dir, sizeof g->dir, "%s/golden/models/%s", LORAC_TESTS_DIR, name);
    if (lorac_checkpoint_open(&g->expected, golden_path(g, "expected.safetensors"), &err)) {
        fail_msg("%s", err.text);
    }
    read_batch(g);
}

struct lorac_model *golden_model(struct lorac_device *dev, const char *name)
{
    struct lorac_model *m = NULL;
    struct lorac_err err = {0};
    char *folder = lorac_path_join(LORAC_TESTS_DIR "/golden/models", name);
    if (lorac_model_open(&m, dev, folder, LORAC_FLOAT32, &err)) { fail_msg("%s", err.text); }
    lorac_mem_free(folder);
    return m;
}

void golden_close(struct golden *g)
{
    lorac_checkpoint_close(g->expected);
    lorac_batch_free(g->batch);
}

const float *golden_tensor(const struct golden *g, const char *name, size_t *n)
{
    const struct lorac_tensor *t = lorac_checkpoint_find(g->expected, name);
    if (!t || t->dtype != LORAC_F32) { fail_msg("%s: no float32 tensor '%s'", g->dir, name); }
    *n = t->n;
    return (const float *)t->data;
}

float golden_largest(const float *x, size_t n)
{
    float most = 0.0F;
    for (size_t i = 0; i < n; i++) {
        most = fmaxf(most, fabsf(x[i]));
    }
    return most;
}

struct lorac_batch *golden_logits_batch(const struct lorac_batch *like)
{
    struct lorac_batch *b = NULL;
    assert_int_equal(lorac_batch_new(&b, MAX_ROWS, MAX_SEGMENTS, 1, NULL), LORAC_OK);
    lorac_batch_clear(b);
    for (size_t s = 0; s < like->S; s++) {
        (void)lorac_batch_add(b, like->ids + like->segments[s].row, like->segments[s].n, -1);
    }
    for (size_t n = 0; n < b->N; n++) {
        lorac_batch_want_logits(b, n);
    }
    return b;
}
