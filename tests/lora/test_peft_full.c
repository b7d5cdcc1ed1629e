/*
 * PEFT folders of adapters that train modules in full. What is promised:
 *   - what PEFT wrote is written again with the same tensors, and a config that names the same
 *     modules by PEFT's bare comparison of ends;
 *   - each kind of damage to such a folder has its message.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "lora/lora.h"
#include "tests/support/golden.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MODELS LORAC_TESTS_DIR "/golden/models"

static struct lorac_device dev;

static struct lorac_checkpoint *open_tensors(const char *folder)
{
    struct lorac_checkpoint *c = NULL;
    struct lorac_err err = {0};
    char *path = lorac_path_join(folder, "adapter_model.safetensors");
    if (lorac_checkpoint_open(&c, path, &err)) { fail_msg("%s", err.text); }
    lorac_mem_free(path);
    return c;
}

static char *config_of(const char *folder)
{
    char *text = NULL;
    size_t n = 0;
    char *path = lorac_path_join(folder, "adapter_config.json");
    assert_int_equal(lorac_file_read(&text, &n, path, 1 << 20, NULL), LORAC_OK);
    lorac_mem_free(path);
    return text;
}

static bool is_echo(const char *name)
{
    return strstr(name, ".modules_to_save.") || strstr(name, ".original_module.");
}

static void a_folder_is_written_as_peft_reads_it(void **state)
{
    (void)state;
    static const struct {
        const char *name, *full, *more;
    } cases[] = {
        {"full-mixed",
         "\"modules_to_save\": [\n    \"embed_tokens\",\n    \"lm_head\",\n"
         "    \"model.layers.1.input_layernorm\",\n    \"model.norm\",\n    \"o_proj\"\n  ],",
         "\"bias\": \"none\",\n  \"fan_in_fan_out\""},
        {"full-keep", "\"modules_to_save\": [\n    \"embed_tokens\",\n    \"lm_head\"\n  ],",
         "\"bias\": \"none\",\n  \"ensure_weight_tying\": true,\n  \"fan_in_fan_out\""},
        {"full-untie", "\"modules_to_save\": [\n    \"embed_tokens\",\n    \"lm_head\"\n  ],",
         "\"bias\": \"none\",\n  \"fan_in_fan_out\""},
        {"full-bias", "\"modules_to_save\": [\n    \"k_proj\"\n  ],", "\"bias\": \"all\","},
        {"full-lora-bias", "\"modules_to_save\": null,", "\"bias\": \"lora_only\","},
        {"full-neox-bias", "\"modules_to_save\": null,", "\"bias\": \"all\","},
        {"full-all",
         "\"modules_to_save\": [\n    \"down_proj\",\n    \"embed_tokens\",\n    \"gate_proj\",\n"
         "    \"input_layernorm\",\n    \"k_proj\",\n    \"lm_head\",\n    \"model.norm\",\n"
         "    \"o_proj\",\n    \"post_attention_layernorm\",\n    \"q_proj\",\n    \"up_proj\",\n"
         "    \"v_proj\"\n  ],",
         "\"target_modules\": \"dummy-target-modules\",\n  \"task_type\""},
    };
    const char *to = tiny_path("written");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lorac_err err = {0};
        struct lorac_adapter *a = NULL;
        char folder[1024];
        size_t n = 0;
        struct lorac_model *m = golden_model(&dev, cases[i].name);
        (void)snprintf(folder, sizeof folder, "%s/adapter", m->dir);
        if (lorac_peft_load(&a, m, folder, false, &err)) { fail_msg("%s", err.text); }
        if (lorac_peft_save(to, a, "b", LORAC_F32, &err)) { fail_msg("%s", err.text); }
        char *config = config_of(to);
        assert_non_null(strstr(config, cases[i].full));
        assert_non_null(strstr(config, cases[i].more));
        struct lorac_checkpoint *was = open_tensors(folder);
        struct lorac_checkpoint *is = open_tensors(to);
        for (size_t k = 0; k < lorac_checkpoint_count(was); k++) {
            const struct lorac_tensor *t = lorac_checkpoint_at(was, k);
            if (is_echo(t->name)) { continue; }
            const struct lorac_tensor *u = lorac_checkpoint_find(is, t->name);
            assert_non_null(u);
            assert_int_equal(u->n_dims, t->n_dims);
            assert_memory_equal(u->data, t->data, t->n * sizeof(float));
            n++;
        }
        assert_int_equal(lorac_checkpoint_count(is), n);
        lorac_checkpoint_close(was);
        lorac_checkpoint_close(is);
        lorac_mem_free(config);
        lorac_adapter_free(a);
        lorac_model_close(m);
    }
}

/* ---- damage ---- */

#define P "base_model.model."
#define AC "/adapter_config.json: "
#define AT "/adapter_model.safetensors: "

struct damage {
    const char *name;      // of the golden case
    const char *cut, *put; // in the config, one text for another
    const char *tensor;    // without the prefix
    const char *renamed;   // its new name, with prefix; NULL: the tensor is taken out, unless
    bool flat, changed;    // it lies in one dimension, or its last number is another
    const char *message;   // after the folder's name; NULL: it loads
};

static void write_config(const char *folder, const struct damage *d)
{
    struct lorac_buf text = {0};
    char from[1024];
    (void)snprintf(from, sizeof from, "%s/%s/adapter", MODELS, d->name);
    char *was = config_of(from);
    char *at = d->cut ? strstr(was, d->cut) : was;
    assert_non_null(at);
    lorac_buf_add(&text, was, (size_t)(at - was));
    lorac_buf_str(&text, d->cut ? d->put : "");
    lorac_buf_str(&text, at + (d->cut ? strlen(d->cut) : 0));
    char *path = lorac_path_join(folder, "adapter_config.json");
    assert_int_equal(lorac_file_write(path, text.at, text.n, NULL), LORAC_OK);
    lorac_mem_free(path);
    lorac_mem_free(was);
    lorac_buf_free(&text);
}

static void write_tensors(const char *folder, const struct damage *d)
{
    enum { MOST = 64 };
    struct lorac_tensor_spec specs[MOST];
    float other[4096];
    size_t n = 0;
    bool found = !d->tensor;
    char from[1024];
    (void)snprintf(from, sizeof from, "%s/%s/adapter", MODELS, d->name);
    struct lorac_checkpoint *c = open_tensors(from);
    for (size_t i = 0; i < lorac_checkpoint_count(c); i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(c, i);
        struct lorac_tensor_spec s = {
            t->name, t->dtype, t->n_dims, {t->dims[0], t->dims[1]}, t->data};
        bool hit = d->tensor && strcmp(t->name + strlen(P), d->tensor) == 0;
        assert_true(n < MOST);
        if (hit && d->changed) {
            assert_true(t->n <= sizeof other / sizeof *other);
            memcpy(other, t->data, t->n * sizeof *other);
            other[t->n - 1] += 1.0F;
            s.data = other;
        } else if (hit && d->flat) {
            s.n_dims = 1;
            s.dims[0] = t->n;
        } else if (hit && d->renamed) {
            s.name = d->renamed;
        }
        found = found || hit;
        if (!hit || d->changed || d->flat || d->renamed) { specs[n++] = s; }
    }
    assert_true(found);
    char *path = lorac_path_join(folder, "adapter_model.safetensors");
    assert_int_equal(lorac_safetensors_write(path, specs, n, NULL, 0, NULL, NULL, NULL), LORAC_OK);
    lorac_mem_free(path);
    lorac_checkpoint_close(c);
}

#define O0 "model.layers.0.self_attn.o_proj.weight"
#define K0 "model.layers.0.self_attn.k_proj"
#define Q0 "model.layers.0.self_attn.q_proj"

static void each_damage_has_its_message(void **state)
{
    (void)state;
    static const struct damage cases[] = {
        {.name = "full-mixed"},
        {.name = "full-bias"},
        {"full-mixed", .tensor = O0,
         .message = AT "tensor '" P O0 "' is missing; modules_to_save or bias of "
                       "adapter_config.json names its module"},
        {"full-mixed", .tensor = "model.norm.weight",
         .message = AT "tensor '" P "model.norm.weight' is missing; modules_to_save or bias of "
                       "adapter_config.json names its module"},
        {"full-mixed", .tensor = O0, .flat = true,
         .message = AT "tensor '" P O0 "' has shape (256), expected (16,16)"},
        {"full-mixed", .cut = "    \"o_proj\"", .put = "    \"out\"",
         .message = AT "tensor '" P O0 "' differs from the base's '" O0
                       "', and modules_to_save of adapter_config.json does not name its module"},
        {"full-mixed", .cut = "    \"model.norm\",\n", .put = "",
         .message =
             AT "tensor '" P "model.norm.weight' differs from the base's 'model.norm.weight', "
                "and modules_to_save of adapter_config.json does not name its module"},
        {"full-mixed", .cut = "    \"model.norm\",\n", .put = "    \"norm\",\n",
         .message = AT "tensor '" P "model.layers.0.input_layernorm.weight' is missing; "
                       "modules_to_save or bias of adapter_config.json names its module"},
        {"full-mixed", .cut = "    \"o_proj\"", .put = "    \"q_proj\", \"o_proj\"",
         .message = AT "tensor '" P Q0 ".lora_A.weight': modules_to_save of adapter_config.json "
                       "takes this module, which then has no pair"},
        {"full-mixed", .cut = "\"modules_to_save\": [", .put = "\"modules_to_save\": [\"\", ",
         .message = AC "'modules_to_save[0]' must be a module's name, found \"\""},
        {"full-keep", .tensor = "lm_head.weight",
         .message = AT "tensor '" P "lm_head.weight' is missing; modules_to_save or bias of "
                       "adapter_config.json names its module"},
        {"full-keep", .tensor = "lm_head.weight", .changed = true,
         .message = AT "tensors '" P "model.embed_tokens.weight' and '" P
                       "lm_head.weight' differ, but ensure_weight_tying of adapter_config.json "
                       "makes them one"},
        {"full-keep", .cut = "\"ensure_weight_tying\": true",
         .put = "\"ensure_weight_tying\": false",
         .message = AT "tensor '" P "lm_head.weight' differs from the base's "
                       "'model.embed_tokens.weight', and modules_to_save of adapter_config.json "
                       "does not name its module"},
        {"full-bias", .tensor = Q0 ".base_layer.bias", .renamed = P Q0 ".bias",
         .message = AT "tensor '" P Q0 ".bias': neither bias nor modules_to_save of "
                       "adapter_config.json asks for it"},
        {"full-bias", .cut = "\"bias\": \"all\"", .put = "\"bias\": \"none\"",
         .message = AT "tensor '" P Q0 ".base_layer.bias': neither bias nor modules_to_save of "
                       "adapter_config.json asks for it"},
        {"full-bias", .cut = "\"bias\": \"all\"", .put = "\"bias\": \"lora_only\"",
         .message = AT "tensor '" P "model.layers.0.self_attn.v_proj.bias': neither bias nor "
                       "modules_to_save of adapter_config.json asks for it"},
        {"full-bias", .tensor = K0 ".bias",
         .message = AT "tensor '" P K0 ".modules_to_save.bias' is not the same as '" P K0
                       ".bias' of this file"},
        {"full-bias", .tensor = K0 ".modules_to_save.bias", .changed = true,
         .message = AT "tensor '" P K0 ".modules_to_save.bias' is not the same as '" P K0
                       ".bias' of this file"},
        {"full-bias", .tensor = K0 ".original_module.bias", .changed = true,
         .message = AT "tensor '" P K0 ".original_module.bias' is not the same as '" K0
                       ".bias' of the base"},
        {"full-lora-bias", .cut = "\"bias\": \"lora_only\"", .put = "\"bias\": \"all\"",
         .message = AT "tensor '" P "model.layers.0.mlp.gate_proj.bias' is missing; "
                       "modules_to_save or bias of adapter_config.json names its module"},
        {"full-all", .cut = "dummy-target-modules", .put = "no-such-modules",
         .message = AC "target_modules: 'no-such-modules' matches no module; the nearest are "
                       "o_proj, up_proj, down_proj, lm_head, q_proj"},
    };
    struct lorac_model *m = NULL;
    const char *last = "";
    const char *folder = tiny_path("damaged");
    assert_int_equal(lorac_dir_make(folder, NULL), LORAC_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct damage *d = &cases[i];
        struct lorac_adapter *a = NULL;
        struct lorac_err err = {0};
        char want[600] = "";
        if (strcmp(last, d->name) != 0) {
            lorac_model_close(m);
            m = golden_model(&dev, d->name);
            last = d->name;
        }
        write_config(folder, d);
        write_tensors(folder, d);
        if (d->message) { (void)snprintf(want, sizeof want, "%s%s", folder, d->message); }
        enum lorac_status st = lorac_peft_load(&a, m, folder, false, &err);
        assert_string_equal(err.text, want);
        assert_int_equal(st, d->message ? LORAC_EFORMAT : LORAC_OK);
        lorac_adapter_free(a);
    }
    lorac_model_close(m);
}

/* A folder that names nothing of this model would do nothing. */
static void an_adapter_of_nothing_is_refused(void **state)
{
    (void)state;
    static const char config[] = "{\"peft_type\": \"LORA\", \"target_modules\": "
                                 "\"dummy-target-modules\", \"modules_to_save\": [\"score\"]}";
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    char want[600];
    const char *folder = tiny_path("nothing");
    assert_int_equal(lorac_dir_make(folder, NULL), LORAC_OK);
    write_tensors(folder, &(struct damage){.name = "full-mixed"});
    char *path = lorac_path_join(folder, "adapter_config.json");
    assert_int_equal(lorac_file_write(path, config, strlen(config), NULL), LORAC_OK);
    struct lorac_model *m = golden_model(&dev, "full-mixed");
    (void)snprintf(want, sizeof want, "%s" AC "names no module of the model", folder);
    assert_int_equal(lorac_peft_load(&a, m, folder, false, &err), LORAC_EFORMAT);
    assert_string_equal(err.text, want);
    lorac_model_close(m);
    lorac_mem_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_written_as_peft_reads_it),
        cmocka_unit_test(each_damage_has_its_message),
        cmocka_unit_test(an_adapter_of_nothing_is_refused),
    };
    if (lorac_device_open(&dev, "ref", 1, NULL)) { return 1; }
    int failed = cmocka_run_group_tests(tests, NULL, tiny_remove);
    lorac_device_close(&dev);
    return failed;
}
