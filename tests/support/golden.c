/* golden.c - see golden.h. */
#include "tests/support/golden.h"

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

const char *golden_every(size_t i)
{
    static const char *const masked[] = {
        "bert-lm",       "bert-old",      "roberta-lm", "xlm-roberta-lm",
        "distilbert-lm", "modernbert-lm", NULL};
    size_t n = sizeof golden_cases / sizeof *golden_cases - 1;
    return i < n ? golden_cases[i] : masked[i - n];
}

const char *const golden_encoders[] = {
    "bert-lm",
    "bert-old",
    "bert-bare",
    "bert-classify",
    "bert-multi",
    "bert-regress",
    "bert-tag",
    "roberta-lm",
    "roberta-bare",
    "roberta-classify",
    "roberta-tag",
    "xlm-roberta-lm",
    "distilbert-lm",
    "distilbert-bare",
    "distilbert-classify",
    "distilbert-tag",
    "modernbert-lm",
    "modernbert-bare",
    "modernbert-classify",
    "modernbert-cls",
    "modernbert-tag",
    NULL,
};

const char *const golden_heads[] = {
    "../heads/llama",
    "../heads/llama-alone",
    "../heads/llama-tags",
    "../heads/qwen2",
    "../heads/qwen2-own",
    "../heads/gpt2",
    "../heads/gpt2-tags",
    "../heads/neox",
    "../heads/gemma3",
    "../heads/bert",
    "../heads/bert-pooler",
    "../heads/bert-tags",
    "../heads/roberta",
    "../heads/distilbert",
    "../heads/distilbert-alone",
    "../heads/modernbert",
    NULL,
};

const char *golden_every_head(size_t i)
{
    static const char *const own[] = {
        "bert-classify",       "bert-multi",     "bert-regress",        "bert-tag",
        "roberta-classify",    "roberta-tag",    "distilbert-classify", "distilbert-tag",
        "modernbert-classify", "modernbert-cls", "modernbert-tag",      NULL};
    size_t n = sizeof golden_heads / sizeof *golden_heads - 1;
    return i < n ? golden_heads[i] : own[i - n];
}

enum { MAX_ROWS = 64, MAX_SEGMENTS = 8, MAX_TARGETS = 256 };

const char *golden_path(const struct golden *g, const char *name)
{
    static char path[600];
    (void)snprintf(path, sizeof path, "%s/%s", g->dir, name);
    return path;
}

/* The tokens that are trained, each predicted by the row before. */
static void score_tokens(struct golden *g, const struct lorac_json *root)
{
    struct lorac_json trained = lorac_json_get(root, "trained");
    for (size_t s = 0; s < g->batch->S; s++) {
        const struct lorac_segment *segment = &g->batch->segments[s];
        struct lorac_json marks = lorac_json_at(&trained, s);
        for (size_t i = 1; i < (size_t)segment->n; i++) {
            if (!json_integer_value(json_array_get(marks.value, i))) { continue; }
            size_t row = (size_t)segment->row + i;
            lorac_batch_score(g->batch, row - 1, g->batch->ids[row]);
        }
    }
    g->weight = (double)g->batch->T;
}

/* [[row, column, weight, value], ...] of a head. */
static void score_labels(struct golden *g, const struct lorac_json *root)
{
    static const char *const losses[] = {[LORAC_LOSS_SOFTMAX] = "softmax",
                                         [LORAC_LOSS_BINARY] = "binary",
                                         [LORAC_LOSS_SQUARED] = "squared"};
    struct lorac_json scored = lorac_json_get(root, "scored");
    const char *loss = json_string_value(json_object_get(root->value, "loss"));
    const char *task = json_string_value(json_object_get(root->value, "task"));
    for (size_t k = 0; k < 3; k++) {
        if (strcmp(losses[k], loss) == 0) { g->batch->loss = (enum lorac_loss)k; }
    }
    for (size_t i = 0; i < json_array_size(scored.value); i++) {
        json_t *at = json_array_get(scored.value, i);
        size_t t = g->batch->T;
        lorac_batch_score(g->batch, (size_t)json_integer_value(json_array_get(at, 0)),
                          (int32_t)json_integer_value(json_array_get(at, 1)));
        g->batch->weight[t] = (float)json_number_value(json_array_get(at, 2));
        g->batch->value[t] = (float)json_number_value(json_array_get(at, 3));
    }
    g->weight = json_number_value(json_object_get(root->value, "weight"));
    g->options.task = strcmp(task, "SEQ_CLS") == 0     ? LORAC_TASK_CLASSIFY
                      : strcmp(task, "TOKEN_CLS") == 0 ? LORAC_TASK_TAG
                                                       : LORAC_TASK_LM;
    g->options.labels = (size_t)json_integer_value(json_object_get(root->value, "K"));
}

static void read_batch(struct golden *g)
{
    struct lorac_json root;
    char path[600];
    (void)snprintf(path, sizeof path, "%s/batch.json", g->dir);
    assert_int_equal(lorac_json_load(&root, path, 1 << 20, NULL), LORAC_OK);
    struct lorac_json segments = lorac_json_get(&root, "segments");
    struct lorac_json types = lorac_json_get(&root, "types");
    assert_int_equal(lorac_batch_new(&g->batch, MAX_ROWS, MAX_SEGMENTS, MAX_TARGETS, NULL),
                     LORAC_OK);
    lorac_batch_clear(g->batch);
    for (size_t s = 0; s < json_array_size(segments.value); s++) {
        struct lorac_json ids = lorac_json_at(&segments, s);
        json_t *type = json_array_get(types.value, s);
        int32_t row[MAX_ROWS];
        size_t n = json_array_size(ids.value);
        size_t begin = g->batch->N;
        assert_true(n > 0 && n <= MAX_ROWS);
        for (size_t i = 0; i < n; i++) {
            row[i] = (int32_t)json_integer_value(json_array_get(ids.value, i));
        }
        (void)lorac_batch_add(g->batch, row, n, -1);
        for (size_t i = 0; i < n && type; i++) {
            g->batch->type[begin + i] = (int32_t)json_integer_value(json_array_get(type, i));
        }
    }
    if (lorac_json_get(&root, "trained").value) {
        score_tokens(g, &root);
    } else if (lorac_json_get(&root, "scored").value) {
        score_labels(g, &root);
    } else {
        g->options.task = LORAC_TASK_BODY;
    }
    lorac_json_free(&root);
}

void golden_open(struct golden *g, const char *name)
{
    struct lorac_err err = {0};
    *g = (struct golden){.batch = NULL};
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

struct lorac_model *golden_open_model(const struct golden *g, struct lorac_device *dev)
{
    struct lorac_model *m = NULL;
    struct lorac_err err = {0};
    if (lorac_model_open_for(&m, dev, g->dir, &g->options, &err)) { fail_msg("%s", err.text); }
    return m;
}

void golden_close(struct golden *g)
{
    lorac_checkpoint_close(g->expected);
    lorac_batch_free(g->batch);
}

bool golden_has(const struct golden *g, const char *name)
{
    return lorac_checkpoint_find(g->expected, name) != NULL;
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
        b->type[n] = like->type[n];
        lorac_batch_want_logits(b, n);
    }
    return b;
}
