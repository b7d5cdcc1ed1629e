/*
 * PEFT adapter folders. What is promised:
 *   - adapters that PEFT wrote load, every value bit for bit, with their ranks, alphas and scaling;
 *   - saved and loaded again they are the same, and a folder saved twice has the same bytes;
 *   - config and tensors must tell the same story: each kind of damage has its message;
 *   - another base is refused, unless forced;
 *   - whichever allocation or system call fails, it is reported, the old folder stays and nothing
 *     is left.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "lora/peft_tensors.h"
#include "tests/support/faults.h"
#include "tests/support/golden.h"
#include "tests/support/tiny.h"

#include "tests/support/modules.h"
#include <math.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MODELS LORAC_TESTS_DIR "/golden/models"

static struct lorac_device dev;
static struct lorac_model *model; // llama-patterns: q_proj rank 4 and down_proj rank 2 in layer 1

static const char *const cases[] = {
    "llama",       "llama-head",      "llama-mha-rslora", "llama-patterns",
    "llama3-rope", "llama-tied-bias", "llama-sharded",    "mistral",
    "qwen2",       "qwen2-window",    "full-mixed",       "full-keep",
    "full-untie",  "full-bias",       "full-lora-bias",   "full-all"};

static struct lorac_adapter *load(const struct lorac_model *m, const char *folder)
{
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    if (lorac_peft_load(&a, m, folder, false, &err)) { fail_msg("%s", err.text); }
    return a;
}

static void save(const char *folder, const struct lorac_adapter *a, enum lorac_dtype dtype)
{
    struct lorac_err err = {0};
    if (lorac_peft_save(folder, a, "some/base", dtype, &err)) { fail_msg("%s", err.text); }
}

static int set_up(void **state)
{
    (void)state;
    if (lorac_device_open(&dev, "ref", 1, NULL)) { return -1; }
    return lorac_model_open(&model, &dev, MODELS "/llama-patterns", LORAC_FLOAT32, NULL) !=
           LORAC_OK;
}

static int tear_down(void **state)
{
    lorac_model_close(model);
    lorac_device_close(&dev);
    return tiny_remove(state);
}

/* Every tensor against the file's own bytes. */
static void expect_values_of(const struct lorac_adapter *a, const char *folder)
{
    struct lorac_checkpoint *c = NULL;
    char *path = lorac_path_join(folder, "adapter_model.safetensors");
    assert_int_equal(lorac_checkpoint_open(&c, path, NULL), LORAC_OK);
    struct lorac_peft_tensors list;
    assert_int_equal(lorac_peft_tensors(&list, a, NULL), LORAC_OK);
    for (size_t k = 0; k < list.n; k++) {
        const struct lorac_tensor *t = lorac_checkpoint_find(c, list.at[k].name);
        assert_non_null(t);
        float *got = lorac_mem_new(t->n, sizeof *got);
        float *want = lorac_mem_new(t->n, sizeof *want);
        assert_int_equal(lorac_peft_tensor_read(got, a, &list.at[k], NULL), LORAC_OK);
        lorac_dtype_decode(want, t->data, t->dtype, t->n);
        assert_memory_equal(got, want, t->n * sizeof *got);
        lorac_mem_free(got);
        lorac_mem_free(want);
    }
    lorac_mem_free(list.at);
    lorac_checkpoint_close(c);
    lorac_mem_free(path);
}

static void adapters_that_peft_wrote_load_value_by_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lorac_model *m = golden_model(&dev, cases[i]);
        for (int k = 0; k < 2; k++) {
            char folder[1024];
            (void)snprintf(folder, sizeof folder, "%s/%s/%s", MODELS, cases[i],
                           k ? "adapter" : "start");
            struct lorac_adapter *a = load(m, folder);
            expect_values_of(a, folder);
            assert_string_equal(a->name, folder);
            assert_int_equal(lorac_adapter_changes(a), a->n ? k : 0);
            lorac_adapter_free(a);
        }
        lorac_model_close(m);
    }
}

static void ranks_alphas_and_scaling_come_from_the_config(void **state)
{
    (void)state;
    struct lorac_adapter *a = load(model, MODELS "/llama-patterns/adapter");
    assert_int_equal(a->n, 2);
    assert_int_equal(a->site[0].m, modules_layer(a->model, 1, "self_attn.q_proj"));
    assert_int_equal(a->site[0].R, 4);
    assert_true(a->site[0].scale == 2.0F);
    assert_int_equal(a->site[1].m, modules_layer(a->model, 1, "mlp.down_proj"));
    assert_int_equal(a->site[1].R, 2);
    assert_true(a->site[1].alpha == 3.0 && a->site[1].scale == 1.5F);
    lorac_adapter_free(a);
    struct lorac_model *m = golden_model(&dev, "llama-mha-rslora");
    a = load(m, MODELS "/llama-mha-rslora/adapter");
    assert_int_equal(a->scaling, LORAC_SCALE_RSLORA);
    assert_true(a->site[0].scale == 4.0F); // 8 / sqrt(4)
    lorac_adapter_free(a);
    lorac_model_close(m);
}

static void a_saved_adapter_loads_as_the_same(void **state)
{
    (void)state;
    static const char saved[] =
        "{\"prompt\": \"\xc3\xa4 {x}\\n\", \"completion\": \"\", \"append_eos\": false}";
    const char *to = tiny_path("round");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char folder[1024];
        struct lorac_model *m = golden_model(&dev, cases[i]);
        (void)snprintf(folder, sizeof folder, "%s/%s/adapter", MODELS, cases[i]);
        struct lorac_adapter *a = load(m, folder);
        a->template_json = lorac_mem_string(saved, sizeof saved - 1);
        lorac_adapter_set_dropout(a, 0.05, 1);
        a->init = LORAC_INIT_GAUSSIAN;
        save(to, a, LORAC_F32);
        struct lorac_adapter *b = load(m, to);
        expect_values_of(b, folder);
        assert_string_equal(b->template_json, a->template_json);
        assert_true(b->dropout == 0.05 && b->init == a->init && b->scaling == a->scaling);
        size_t n[2];
        char *first = tiny_read_in(to, "adapter_model.safetensors", &n[0]);
        save(to, b, LORAC_F32);
        char *second = tiny_read_in(to, "adapter_model.safetensors", &n[1]);
        assert_int_equal(n[0], n[1]);
        assert_memory_equal(first, second, n[0]);
        lorac_mem_free(first);
        lorac_mem_free(second);
        lorac_adapter_free(a);
        lorac_adapter_free(b);
        lorac_model_close(m);
    }
}

static void bfloat16_is_rounded_once(void **state)
{
    (void)state;
    const char *to = tiny_path("bf16");
    struct lorac_adapter *a = load(model, MODELS "/llama-patterns/adapter");
    save(to, a, LORAC_BF16);
    struct lorac_adapter *b = load(model, to);
    float x[4 * 48];
    float y[4 * 48];
    for (size_t k = 0; k < 2 * a->n; k++) {
        size_t n = a->site[k / 2].R * (k % 2 ? a->site[k / 2].OC : a->site[k / 2].C);
        assert_int_equal(lorac_site_read(x, a, k / 2, k % 2, NULL), LORAC_OK);
        assert_int_equal(lorac_site_read(y, b, k / 2, k % 2, NULL), LORAC_OK);
        for (size_t i = 0; i < n; i++) { // 8 bits of significand: half a unit in the last place
            assert_true(fabsf(y[i] - x[i]) <= ldexpf(fabsf(x[i]), -8));
        }
    }
    struct lorac_err err = {0};
    assert_int_equal(lorac_peft_save(to, a, NULL, LORAC_F16, &err), LORAC_EUSER);
    assert_string_equal(err.text, "an adapter is saved as F32 or BF16, not as F16");
    lorac_adapter_free(a);
    lorac_adapter_free(b);
}

static void the_config_is_pefts_of_23_keys(void **state)
{
    (void)state;
    static const char want[] =
        "{\n  \"alpha_pattern\": {\n    \"model.layers.1.mlp.down_proj\": 3\n  },\n"
        "  \"auto_mapping\": null,\n  \"base_model_name_or_path\": \"some/base\",\n"
        "  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n"
        "  \"init_lora_weights\": true,\n  \"layers_pattern\": null,\n"
        "  \"layers_to_transform\": null,\n  \"loftq_config\": {},\n  \"lora_alpha\": 8,\n"
        "  \"lora_dropout\": 0.0,\n  \"megatron_config\": null,\n"
        "  \"megatron_core\": \"megatron.core\",\n  \"modules_to_save\": null,\n"
        "  \"peft_type\": \"LORA\",\n  \"r\": 4,\n"
        "  \"rank_pattern\": {\n    \"model.layers.1.mlp.down_proj\": 2\n  },\n"
        "  \"revision\": null,\n  \"target_modules\": [\n    \"model.layers.1.mlp.down_proj\",\n"
        "    \"model.layers.1.self_attn.q_proj\"\n  ],\n  \"task_type\": \"CAUSAL_LM\",\n"
        "  \"use_dora\": false,\n  \"use_rslora\": false\n}";
    const char *to = tiny_path("config");
    struct lorac_adapter *a = load(model, MODELS "/llama-patterns/adapter");
    save(to, a, LORAC_F32);
    size_t n = 0;
    char *text = tiny_read_in(to, "adapter_config.json", &n);
    assert_string_equal(text, want);
    lorac_mem_free(text);
    lorac_adapter_free(a);
    struct lorac_model *m = golden_model(&dev, "llama-head"); // o_proj of all layers and lm_head
    a = load(m, MODELS "/llama-head/adapter");
    save(to, a, LORAC_F32);
    text = tiny_read_in(to, "adapter_config.json", &n);
    assert_non_null(strstr(text, "\"target_modules\": [\n    \"lm_head\",\n    \"o_proj\"\n  ]"));
    assert_non_null(strstr(text, "\"rank_pattern\": {},\n"));
    lorac_mem_free(text);
    text = tiny_read_in(to, "README.md", &n);
    assert_non_null(strstr(text, "base_model: \"some/base\"\nlibrary_name: peft\n"));
    lorac_mem_free(text);
    lorac_adapter_free(a);
    lorac_model_close(m);
}

static void another_base_is_refused_unless_forced(void **state)
{
    (void)state;
    const char *to = tiny_path("other");
    struct lorac_adapter *a = load(model, MODELS "/llama-patterns/adapter");
    save(to, a, LORAC_F32);
    lorac_adapter_free(a);
    struct lorac_model *m = golden_model(&dev, "llama");
    struct lorac_err err = {0};
    char want[600];
    (void)snprintf(want, sizeof want,
                   "%s/adapter_model.safetensors: was made for another base: it names fingerprint "
                   "%.16s..., the model %s has %.16s...",
                   to, model->fingerprint, m->dir, m->fingerprint);
    assert_int_equal(lorac_peft_load(&a, m, to, false, &err), LORAC_EUSER);
    assert_string_equal(err.text, want);
    assert_null(a);
    assert_int_equal(lorac_peft_load(&a, m, to, true, &err), LORAC_OK);
    lorac_adapter_free(a);
    lorac_model_close(m);
}

static void a_folder_that_holds_other_files_is_not_replaced(void **state)
{
    (void)state;
    const char *to = tiny_path("full");
    char *note = lorac_path_join(to, "note.txt");
    struct lorac_adapter *a = load(model, MODELS "/llama-patterns/adapter");
    struct lorac_err err = {0};
    char want[600];
    save(to, a, LORAC_F32);
    assert_int_equal(lorac_file_write(note, "x", 1, NULL), LORAC_OK);
    (void)snprintf(
        want, sizeof want,
        "%s: holds 'note.txt', which replacing the folder would remove; give another folder", to);
    assert_int_equal(lorac_peft_save(to, a, NULL, LORAC_F32, &err), LORAC_EUSER);
    assert_string_equal(err.text, want);
    assert_int_equal(lorac_peft_save(note, a, NULL, LORAC_F32, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "note.txt: is a file; an adapter is a folder"));
    assert_int_equal(lorac_peft_save("//", a, NULL, LORAC_F32, &err), LORAC_EUSER);
    assert_string_equal(err.text, "'//' is no name for a folder");
    lorac_adapter_free(a);
    lorac_mem_free(note);
}

static void what_is_not_a_number_is_not_saved(void **state)
{
    (void)state;
    const char *to = tiny_path("nan");
    struct lorac_adapter *a = load(model, MODELS "/llama-patterns/adapter");
    struct lorac_err err = {0};
    float x[4 * 32];
    assert_int_equal(lorac_site_read(x, a, 0, false, NULL), LORAC_OK);
    x[5] = INFINITY;
    assert_int_equal(lorac_site_write(a, 0, false, x, NULL), LORAC_OK);
    assert_int_equal(lorac_peft_save(to, a, NULL, LORAC_F32, &err), LORAC_EUSER);
    assert_string_equal(err.text,
                        "'base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight': element "
                        "5 is inf and will not be saved; training went wrong");
    assert_false(lorac_path_exists(to));
    lorac_adapter_free(a);
}

/* A device one of whose reads goes wrong: what is then written is not what memory holds. */
static long wrong_read = -1;

static void read_wrongly(struct lorac_device *d, void *host, const void *from, size_t bytes)
{
    lorac_backend_ref.read(d, host, from, bytes);
    if (wrong_read-- == 0) { ((float *)host)[0] += 1.0F; }
}

static void a_file_that_differs_from_memory_is_found(void **state)
{
    (void)state;
    const char *to = tiny_path("wrong");
    struct lorac_adapter *a = load(model, MODELS "/llama-patterns/adapter");
    struct lorac_backend wrong = lorac_backend_ref;
    struct lorac_err err = {0};
    wrong.read = read_wrongly;
    dev.ops = &wrong;
    wrong_read = 0;
    enum lorac_status st = lorac_peft_save(to, a, NULL, LORAC_F32, &err);
    dev.ops = &lorac_backend_ref;
    assert_int_equal(st, LORAC_EIO);
    assert_non_null(strstr(err.text,
                           "tensor 'base_model.model.model.layers.1.mlp.down_proj.lora_A.weight' "
                           "reads back with other values"));
    assert_false(lorac_path_exists(to));
    lorac_adapter_free(a);
}

static size_t count_names(const char *folder)
{
    char **names = NULL;
    size_t n = 0;
    assert_int_equal(lorac_dir_list(&names, folder, NULL), LORAC_OK);
    while (names[n]) {
        n++;
    }
    lorac_mem_free(names);
    return n;
}

static void whatever_fails_while_loading_is_reported(void **state)
{
    (void)state;
    for (enum faults_kind kind = FAULTS_CALLS; kind < N_FAULTS; kind++) {
        long n = 0;
        for (;; n = faults_next(n, kind == FAULTS_FOREIGN ? 137 : 1)) {
            struct lorac_adapter *a = NULL;
            struct lorac_err err = {0};
            faults_start(kind, n);
            enum lorac_status st =
                lorac_peft_load(&a, model, MODELS "/llama-patterns/adapter", false, &err);
            if (!faults_stop()) {
                lorac_adapter_free(a);
                break;
            }
            assert_null(a);
            assert_int_equal(st, faults_status(kind));
            assert_true(err.text[0] != '\0');
        }
        assert_true(n > 4);
    }
}

static void whatever_fails_while_saving_the_old_folder_stays(void **state)
{
    (void)state;
    const char *home = tiny_path("fault");
    char *to = lorac_path_join(home, "a");
    struct lorac_adapter *old = load(model, MODELS "/llama-patterns/start");
    struct lorac_adapter *new = load(model, MODELS "/llama-patterns/adapter");
    for (enum faults_kind kind = FAULTS_CALLS; kind < N_FAULTS; kind++) {
        long n = 0;
        save(to, old, LORAC_F32);
        for (;; n = faults_next(n, kind == FAULTS_FOREIGN ? 137 : 1)) {
            struct lorac_err err = {0};
            faults_start(kind, n);
            enum lorac_status st = lorac_peft_save(to, new, "some/base", LORAC_F32, &err);
            if (!faults_stop()) { break; }
            assert_int_equal(st, faults_status(kind));
            assert_true(err.text[0] != '\0');
            lorac_adapter_free(load(model, to)); // a whole folder, the old or the new one
        }
        assert_true(n > 20);
        assert_int_equal(count_names(home), 1);
        expect_values_of(new, to);
    }
    lorac_adapter_free(old);
    lorac_adapter_free(new);
    lorac_mem_free(to);
}

struct saving {
    const char *to;
    const struct lorac_adapter *a;
    enum lorac_dtype dtype;
};

static enum lorac_status save_again(void *self, struct lorac_err *err)
{
    const struct saving *x = self;
    return lorac_peft_save(x->to, x->a, "some/base", x->dtype, err);
}

static void loads(void *self)
{
    const struct saving *x = self;
    lorac_adapter_free(load(model, x->to));
}

static void another_byte_on_the_disk_is_found(void **state)
{
    (void)state;
    const char *home = tiny_path("bytes");
    char *to = lorac_path_join(home, "a");
    struct lorac_adapter *a = load(model, MODELS "/llama-patterns/adapter");
    struct saving whole = {to, a, LORAC_F32};
    struct saving half = {to, a, LORAC_BF16};
    faults_wrong_bytes(&(struct faults_folder){home, to, save_again, loads, &whole, 97});
    faults_wrong_bytes(&(struct faults_folder){home, to, save_again, loads, &half, 97});
    lorac_adapter_free(a);
    lorac_mem_free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adapters_that_peft_wrote_load_value_by_value),
        cmocka_unit_test(ranks_alphas_and_scaling_come_from_the_config),
        cmocka_unit_test(a_saved_adapter_loads_as_the_same),
        cmocka_unit_test(bfloat16_is_rounded_once),
        cmocka_unit_test(the_config_is_pefts_of_23_keys),
        cmocka_unit_test(another_base_is_refused_unless_forced),
        cmocka_unit_test(a_folder_that_holds_other_files_is_not_replaced),
        cmocka_unit_test(what_is_not_a_number_is_not_saved),
        cmocka_unit_test(a_file_that_differs_from_memory_is_found),
        cmocka_unit_test(whatever_fails_while_loading_is_reported),
        cmocka_unit_test(whatever_fails_while_saving_the_old_folder_stays),
        cmocka_unit_test(another_byte_on_the_disk_is_found),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
