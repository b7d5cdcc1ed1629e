/*
 * Models and adapters as others have published them, against transformers and PEFT
 * (tests/golden/reference.json). What is promised:
 *   - a base of GPT-2's width, drawn here and there from the same numbers, gives the same
 *     likelihood and the same logits;
 *   - with a published adapter on it the same (label data), and merged the same again; one with a
 *     head for texts says what its base is opened for, and gives PEFT's logits, merged, too;
 *   - a published model gives the likelihood and the greedy tokens that transformers gives (data).
 */
#include "base/config_json.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/rng.h"
#include "lora/lora.h"
#include "tests/support/data.h"
#include "tests/support/golden.h"
#include "tests/support/passes.h"
#include "tests/support/reference.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SEED = 2026, TENSORS = 256, TEXT = 32 };

static struct lorac_device dev;
static struct lorac_json root; // of reference.json

/* ---- the base that make_reference.py draws, too ---- */

struct drawn {
    size_t n;
    struct lorac_tensor_spec spec[TENSORS];
    char name[TENSORS][LORAC_NAME_SIZE];
};

static void add(struct drawn *d, const char *module, const char *tensor, size_t rows, size_t n)
{
    char *name = d->name[d->n];
    (void)snprintf(name, LORAC_NAME_SIZE, "%s.%s", module, tensor);
    d->spec[d->n++] = (struct lorac_tensor_spec){
        .name = name, .dtype = LORAC_F32, .n_dims = rows ? 2 : 1, .dims = {rows ? rows : n, n}};
    assert_true(d->n < TENSORS);
}

static void list_tensors(struct drawn *d, const struct lorac_config *c)
{
    struct lorac_module *module = NULL;
    uint32_t *step = NULL;
    size_t n = 0;
    d->n = 0;
    assert_int_equal(lorac_modules_list(&module, &n, &step, c, NULL), LORAC_OK);
    for (size_t i = 0; i < n; i++) {
        const struct lorac_module *m = &module[i];
        size_t parts = lorac_vector_parts(c, m);
        if (m->role == LORAC_ROLE_HEAD || m->is_head) { continue; } // the embedding's, or brought
        size_t rows = m->transposed ? m->C : m->OC;
        if (rows) { add(d, m->name, "weight", rows, m->transposed ? m->OC : m->C); }
        for (size_t k = 0; k < parts; k++) {
            add(d, m->name, lorac_vector_name(m, k), 0, m->n / parts);
        }
    }
    lorac_mem_free(module);
    lorac_mem_free(step);
}

/* s u, or 1 + s u in gains of norms; s is 0.05 in linear layers' weights, else 0.1. */
static enum lorac_status draw(void *self, void *to, size_t i, struct lorac_err *err)
{
    const struct lorac_tensor_spec *t = &((struct drawn *)self)->spec[i];
    size_t n = t->dims[0] * (t->n_dims == 2 ? t->dims[1] : 1);
    bool linear = t->n_dims == 2 && (strstr(t->name, ".h.") || strstr(t->name, ".layer."));
    bool gain = t->n_dims == 1 && strstr(t->name, ".weight");
    uint64_t key = lorac_rng_key(SEED, t->name);
    float *x = to;
    (void)err;
    for (size_t j = 0; j < n; j++) {
        double u = 2.0 * lorac_rng_uniform(key, 0, j) - 1.0;
        x[j] = (float)((linear ? 0.05 : 0.1) * u + (gain ? 1.0 : 0.0));
    }
    return LORAC_OK;
}

/* Of entry `name`, into `folder`: what is there for the task. */
static void write_base(const char *folder, const char *name, enum lorac_task task)
{
    static struct drawn d;
    struct lorac_err err = {0};
    struct lorac_config c;
    struct lorac_json at = lorac_json_get(&root, name);
    struct lorac_json sizes = lorac_json_get(&at, "base_config");
    json_t *type = lorac_json_get(&at, "model_type").value;
    json_t *whole = json_deep_copy(sizes.value);
    assert_int_equal(lorac_dir_make(folder, NULL), LORAC_OK);
    char *config = lorac_path_join(folder, "config.json");
    char *to = lorac_path_join(folder, "model.safetensors");
    assert_int_equal(
        json_object_set_new(whole, "model_type", type ? json_copy(type) : json_string("gpt2")), 0);
    assert_int_equal(json_dump_file(whole, config, 0), 0);
    struct lorac_json read = {.value = whole, .file = config};
    if (lorac_config_read(&c, &read, &err)) { fail_msg("%s", err.text); }
    if (lorac_config_task(&c, task, 2, folder, &err)) { fail_msg("%s", err.text); }
    list_tensors(&d, &c);
    if (lorac_safetensors_write(to, d.spec, d.n, NULL, 0, draw, &d, &err)) {
        fail_msg("%s", err.text);
    }
    json_decref(whole);
    lorac_mem_free(config);
    lorac_mem_free(to);
}

static int set_up(void **state)
{
    (void)state;
#ifdef LORAC_HAVE_OPENBLAS
    static const char backend[] = "cpu"; // 30 million weights
#else
    static const char backend[] = "ref";
#endif
    assert_int_equal(lorac_device_open(&dev, backend, 1, NULL), LORAC_OK);
    reference_open(&root);
    write_base(tiny_path("base"), "trl-kto-gpt2", LORAC_TASK_LM); // one base for both adapters
    return 0;
}

static int tear_down(void **state)
{
    lorac_json_free(&root);
    lorac_device_close(&dev);
    return tiny_remove(state);
}

/* ---- what is compared ---- */

/* All logits (N,V) of one text, in new memory. */
static float *all_logits(const struct lorac_model *m, const struct lorac_socket *socket,
                         const struct lorac_ids *ids)
{
    struct lorac_batch *b = NULL;
    size_t n = 0;
    assert_int_equal(lorac_batch_new(&b, ids->n, 1, 1, NULL), LORAC_OK);
    lorac_batch_clear(b);
    (void)lorac_batch_add(b, ids->at, ids->n, -1);
    for (size_t row = 0; row < ids->n; row++) {
        lorac_batch_want_logits(b, row);
    }
    float *logits = passes_logits(m, socket, b, &n);
    lorac_batch_free(b);
    return logits;
}

/* `key`: "base", "adapter" or "merged" of an adapter's entry. */
static void compare(const char *name, const char *key, const struct lorac_model *m,
                    const struct lorac_socket *socket)
{
    struct lorac_json entry = lorac_json_get(&root, name);
    struct lorac_json at = lorac_json_get(&entry, key);
    struct lorac_ids ids = {0};
    char what[64];
    double sum = 0.0;
    reference_ids(&ids, &entry, "ids");
    (void)snprintf(what, sizeof what, "%s %s", name, key);
    reference_near(what, reference_nll(m, socket, &ids), &at, "nll_sum");
    float *logits = all_logits(m, socket, &ids);
    for (size_t i = 0; i < ids.n * m->config.V; i++) {
        sum += fabs((double)logits[i]);
    }
    reference_near(what, sum, &at, "logits_abs_sum");
    lorac_mem_free(logits);
    lorac_ids_free(&ids);
}

static void a_base_of_the_same_numbers_is_the_same_base(void **state)
{
    (void)state;
    struct lorac_model *m = golden_model(&dev, tiny_path("base"));
    compare("trl-kto-gpt2", "base", m, NULL);
    lorac_model_close(m);
}

static void published_adapters_do_what_they_do_in_peft(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2-cattn-causal", "trl-kto-gpt2"};
    const char *out = tiny_path("merged");
    struct lorac_model *m = golden_model(&dev, tiny_path("base"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[64];
        struct lorac_err err = {0};
        struct lorac_adapter *a = NULL;
        (void)snprintf(name, sizeof name, "adapters/%s", names[i]);
        char *dir = data_path(name);
        if (!dir) { continue; }
        if (lorac_peft_load(&a, m, dir, false, &err)) { fail_msg("%s", err.text); }
        struct lorac_stack s = {1, {a}, {1.0F}};
        struct lorac_socket socket = lorac_adapter_socket(a);
        compare(names[i], "adapter", m, &socket);
        if (lorac_merge(out, m, &s, NULL, &err)) { fail_msg("%s", err.text); }
        struct lorac_model *merged = golden_model(&dev, out);
        compare(names[i], "merged", merged, NULL);
        lorac_model_close(merged);
        assert_int_equal(lorac_dir_remove(out, NULL), LORAC_OK);
        lorac_adapter_free(a);
        lorac_mem_free(dir);
    }
    lorac_model_close(m);
}

/* ---- heads ---- */

/* The logits of each text of the entry against those under `key`. */
static void compare_texts(const char *name, const char *key, const struct lorac_model *m,
                          const struct lorac_socket *socket)
{
    struct lorac_json entry = lorac_json_get(&root, name);
    struct lorac_json texts = lorac_json_get(&entry, "texts");
    struct lorac_json all = lorac_json_get(&entry, key);
    for (size_t i = 0; i < json_array_size(texts.value); i++) {
        struct lorac_json ids = lorac_json_at(&texts, i);
        struct lorac_json want = lorac_json_at(&all, i);
        int32_t text[TEXT];
        struct lorac_batch *b = NULL;
        size_t n = json_array_size(ids.value);
        assert_true(n > 0 && n <= TEXT);
        for (size_t k = 0; k < n; k++) {
            text[k] = (int32_t)json_integer_value(json_array_get(ids.value, k));
        }
        assert_int_equal(lorac_batch_new(&b, n, 1, 1, NULL), LORAC_OK);
        lorac_batch_clear(b);
        (void)lorac_batch_add(b, text, n, -1);
        lorac_batch_want_logits(b, lorac_model_text_row(m) == LORAC_ROW_FIRST ? 0 : n - 1);
        float *logits = passes_logits(m, socket, b, &n);
        assert_int_equal(n, json_array_size(want.value));
        for (size_t k = 0; k < n; k++) {
            double is = json_number_value(json_array_get(want.value, k));
            if (!(fabs((double)logits[k] - is) <= 2e-5)) { // of some 1; float32 on both sides
                fail_msg("%s %s: text %zu, label %zu: %.9g, expected %.9g", name, key, i, k,
                         (double)logits[k], is);
            }
        }
        lorac_mem_free(logits);
        lorac_batch_free(b);
    }
}

static void published_heads_give_the_logits_of_peft(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2-seqcls", "bert-base-lora", "distilbert-imdb"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[64];
        struct lorac_err err = {0};
        struct lorac_adapter *a = NULL;
        struct lorac_model *m = NULL;
        struct lorac_model *merged = NULL;
        struct lorac_model_options o = {.compute = LORAC_FLOAT32};
        (void)snprintf(name, sizeof name, "adapters/%s", names[i]);
        char *dir = data_path(name);
        if (!dir) { continue; }
        const char *base = tiny_path(names[i]);
        const char *out = tiny_path("merged-head");
        if (lorac_peft_task(&o, dir, &err)) { fail_msg("%s", err.text); }
        write_base(base, names[i], o.task);
        if (lorac_model_open_for(&m, &dev, base, &o, &err)) { fail_msg("%s", err.text); }
        if (lorac_peft_load(&a, m, dir, false, &err)) { fail_msg("%s", err.text); }
        struct lorac_stack s = {1, {a}, {1.0F}};
        struct lorac_socket socket = lorac_adapter_socket(a);
        compare_texts(names[i], "adapter", m, &socket);
        if (lorac_merge(out, m, &s, NULL, &err)) { fail_msg("%s", err.text); }
        o.labels = 0; // as its config says
        if (lorac_model_open_for(&merged, &dev, out, &o, &err)) { fail_msg("%s", err.text); }
        compare_texts(names[i], "merged", merged, NULL);
        lorac_model_close(merged);
        lorac_adapter_free(a);
        lorac_model_close(m);
        assert_int_equal(lorac_dir_remove(out, NULL), LORAC_OK);
        assert_int_equal(lorac_dir_remove(base, NULL), LORAC_OK);
        lorac_mem_free(dir);
    }
}

/* The tokens that follow, each the likeliest; all rows anew for each. */
static void continue_greedily(struct lorac_ids *ids, const struct lorac_model *m, size_t n)
{
    size_t V = m->config.V;
    for (size_t i = 0; i < n; i++) {
        float *logits = all_logits(m, NULL, ids);
        const float *last = logits + (ids->n - 1) * V;
        size_t best = 0;
        for (size_t v = 1; v < V; v++) {
            best = last[v] > last[best] ? v : best;
        }
        assert_int_equal(lorac_ids_add(ids, (int32_t)best, NULL), LORAC_OK);
        lorac_mem_free(logits);
    }
}

/* A trained model of 53 tokens, which has no tokenizer. */
static void a_published_model_says_what_it_says_in_transformers(void **state)
{
    (void)state;
    char *dir = data_path("models/capp-gpt2");
    if (!dir) { return; }
    struct lorac_json at = lorac_json_get(&root, "capp-gpt2");
    struct lorac_ids ids = {0};
    struct lorac_ids want = {0};
    struct lorac_model *m = golden_model(&dev, dir);
    reference_ids(&ids, &at, "ids");
    reference_near("capp-gpt2", reference_nll(m, NULL, &ids), &at, "nll_sum");
    reference_ids(&ids, &at, "prompt_ids");
    reference_ids(&want, &at, "continuation_ids");
    size_t prompt = ids.n;
    continue_greedily(&ids, m, want.n);
    assert_memory_equal(ids.at + prompt, want.at, want.n * sizeof *want.at);
    lorac_ids_free(&ids);
    lorac_ids_free(&want);
    lorac_model_close(m);
    lorac_mem_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_base_of_the_same_numbers_is_the_same_base),
        DATA_TEST(published_adapters_do_what_they_do_in_peft),
        DATA_TEST(published_heads_give_the_logits_of_peft),
        DATA_TEST(a_published_model_says_what_it_says_in_transformers),
    };
    return data_result(cmocka_run_group_tests_name("published", tests, set_up, tear_down));
}
