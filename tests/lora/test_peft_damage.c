/*
 * Damaged adapter folders. What is promised: config and tensors must tell the same story, and each
 * kind of damage has exactly its message. A good folder loads; each case changes one thing in it.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "lora/lora.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MODEL \
    LORAC_TESTS_DIR "/golden/models/llama-patterns" // hidden 32, feed-forward 48, 2 layers
#define CONFIG                                                              \
    "{\"peft_type\": \"LORA\", \"r\": 4, \"target_modules\": [\"q_proj\"]," \
    " \"layers_to_transform\": [1]"
#define Q "base_model.model.model.layers.1.self_attn.q_proj"
#define AC "/adapter_config.json: "
#define AT "/adapter_model.safetensors: "

enum { FLOATS = 67 * 48 };

static struct lorac_device dev;
static struct lorac_model *model;
static float zeros[FLOATS];
static float odd[FLOATS];
static float ones[4 * 32];

#define RESIZED                                                                                 \
    ": tokens were added to the base that it was trained on; PEFT adds them, too, and makes a " \
    "model "                                                                                    \
    "that is read: in the adapter's folder, python -c \"from peft import "                      \
    "AutoPeftModelForCausalLM as "                                                              \
    "M; M.from_pretrained('.').merge_and_unload().save_pretrained('../merged')\" (and the "     \
    "tokenizer's files beside it)"

/* The good folder's tensors are q_proj's A (4,32) and B (32,4). Fields that are not set leave them
 * so. */
struct damage {
    const char *config;        // instead of CONFIG "}"
    const char *name;          // of tensor A
    size_t rows, cols;         // of tensor A
    bool flat;                 // A has one dimension
    bool without_a, without_b; // not written
    const char *extra;         // one tensor more, (extra_rows,32)
    size_t extra_rows;
    const float *values; // of A
    const char *message; // after the folder's name
};

static int set_up(void **state)
{
    (void)state;
    odd[7] = NAN;
    for (size_t i = 0; i < sizeof ones / sizeof *ones; i++) {
        ones[i] = (float)i + 1.0F;
    }
    if (lorac_device_open(&dev, "ref", 1, NULL)) { return -1; }
    return lorac_model_open(&model, &dev, MODEL, LORAC_FLOAT32, NULL) != LORAC_OK;
}

static int tear_down(void **state)
{
    lorac_model_close(model);
    lorac_device_close(&dev);
    return tiny_remove(state);
}

static void write_folder(const struct damage *d)
{
    const char *config = tiny_path("adapter_config.json");
    const char *tensors = tiny_path("adapter_model.safetensors");
    const char *text = d->config ? d->config : CONFIG "}";
    struct lorac_tensor_spec specs[3];
    size_t n = 0;
    if (!d->without_a) {
        size_t rows = d->rows ? d->rows : 4;
        size_t cols = d->cols ? d->cols : 32;
        specs[n++] = (struct lorac_tensor_spec){d->name ? d->name : Q ".lora_A.weight",
                                                LORAC_F32,
                                                d->flat ? 1 : 2,
                                                {d->flat ? rows * cols : rows, cols},
                                                d->values ? d->values : zeros};
    }
    if (!d->without_b) {
        specs[n++] = (struct lorac_tensor_spec){Q ".lora_B.weight", LORAC_F32, 2, {32, 4}, zeros};
    }
    if (d->extra) {
        specs[n++] = (struct lorac_tensor_spec){d->extra, LORAC_F32, 2, {d->extra_rows, 32}, zeros};
    }
    assert_int_equal(lorac_file_write(config, text, strlen(text), NULL), LORAC_OK);
    assert_int_equal(lorac_safetensors_write(tensors, specs, n, NULL, 0, NULL, NULL, NULL),
                     LORAC_OK);
}

static void expect(const char *message)
{
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    char want[1000];
    (void)snprintf(want, sizeof want, "%s%s", tiny_dir(), message);
    enum lorac_status st = lorac_peft_load(&a, model, tiny_dir(), false, &err);
    assert_string_equal(err.text, want);
    assert_true(st != LORAC_OK);
    assert_null(a);
}

static void the_good_folder_loads(void **state)
{
    (void)state;
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    write_folder(&(struct damage){0});
    if (lorac_peft_load(&a, model, tiny_dir(), false, &err)) { fail_msg("%s", err.text); }
    lorac_adapter_free(a);
    write_folder(&(struct damage){.config = CONFIG ", \"alpha_pattern\": {\"none\": 3}}"});
    if (lorac_peft_load(&a, model, tiny_dir(), true, &err)) { fail_msg("%s", err.text); }
    lorac_adapter_free(a);
    // Names that match nothing are custom in PEFT's lists, as long as the modules come out right.
    write_folder(&(struct damage){
        .config =
            "{\"peft_type\": \"LORA\", \"r\": 9, \"layers_to_transform\": [1, 40],"
            " \"target_modules\": [\"c_attn\", \"q_proj\"], \"rank_pattern\": {\"q_proj\": 4}}"});
    if (lorac_peft_load(&a, model, tiny_dir(), false, &err)) { fail_msg("%s", err.text); }
    lorac_adapter_free(a);
}

static void other_spellings_of_a_pair_are_read(void **state)
{
    (void)state;
    static const char *const names[] = {Q ".lora_A.default.weight", Q ".lora_A.tuned.weight"};
    for (size_t i = 0; i < 2; i++) {
        struct lorac_adapter *a = NULL;
        struct lorac_err err = {0};
        write_folder(&(struct damage){.name = names[i], .values = ones});
        if (lorac_peft_load(&a, model, tiny_dir(), false, &err)) { fail_msg("%s", err.text); }
        float back[4 * 32];
        assert_int_equal(lorac_site_read(back, a, 0, false, NULL), LORAC_OK);
        assert_memory_equal(back, ones, sizeof back);
        lorac_adapter_free(a);
    }
    // the names of transformers' own loader: no prefix in the whole file
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    const struct lorac_tensor_spec specs[] = {
        {"model.layers.1.self_attn.q_proj.lora_A.default.weight", LORAC_F32, 2, {4, 32}, ones},
        {"model.layers.1.self_attn.q_proj.lora_B.default.weight", LORAC_F32, 2, {32, 4}, ones}};
    assert_int_equal(lorac_safetensors_write(tiny_path("adapter_model.safetensors"), specs, 2, NULL,
                                             0, NULL, NULL, NULL),
                     LORAC_OK);
    if (lorac_peft_load(&a, model, tiny_dir(), false, &err)) { fail_msg("%s", err.text); }
    assert_true(lorac_adapter_changes(a));
    lorac_adapter_free(a);
}

static void each_damage_has_its_message(void **state)
{
    (void)state;
    static const struct damage cases[] = {
        {.config = "{\"peft_type\": \"LORA\", \"r\": 4, \"target_modules\": [\"q_proj\"]}",
         .message = AT "tensor 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight' is "
                       "missing; target_modules of adapter_config.json names its module"},
        {.config = "{\"peft_type\": \"LORA\", \"r\": 4, \"target_modules\": [\"v_proj\"]}",
         .message =
             AT "tensor '" Q ".lora_A.weight': target_modules of adapter_config.json does not "
                "name this module"},
        {.config = "{\"peft_type\": \"LORA\", \"r\": 4, \"target_modules\": [\"c_attn\"]}",
         .message = AC "target_modules: no module of the model is a target"},
        {.config = "{\"peft_type\": \"LORA\", \"r\": 4, \"target_modules\": \"c_attn\"}",
         .message = AC "target_modules: 'c_attn' matches no module; the nearest are q_proj, "
                       "k_proj, v_proj, o_proj, up_proj"},
        {.config = "{\"peft_type\": \"LORA\", \"target_modules\": \"(q\"}",
         .message = AC "target_modules: '(q' is no regular expression that is understood: missing "
                       "closing parenthesis at character 2"},
        {.config = CONFIG ", \"base_model_name_or_path\": \"me/other\"}",
         .cols = 16,
         .message = AT "tensor '" Q ".lora_A.weight' has shape (4,16), expected (4,32) for rank 4; "
                       "adapter_config.json names its base: me/other"},
        {.extra = "base_model.model..lora_A.weight",
         .extra_rows = 4,
         .message =
             AT "tensor 'base_model.model..lora_A.weight': the model has no such linear layer; "
                "the nearest are q_proj, k_proj, v_proj, o_proj, up_proj"},
        {.config = CONFIG ", \"rank_pattern\": {\"q_proj\": 8}}",
         .message = AT "tensor '" Q ".lora_A.weight' has shape (4,32), expected (8,32) for rank 8"},
        {.config = CONFIG ", \"alpha_pattern\": {\"q_porj\": 3}}",
         .message =
             AC "rank_pattern or alpha_pattern: 'q_porj' matches no adapted module; the nearest "
                "modules are q_proj, k_proj, v_proj, o_proj"},
        {.config = CONFIG ", \"rank_pattern\": {\"q_*[\": 8}}",
         .message = AC "rank_pattern or alpha_pattern: 'q_*[' is no regular expression that is "
                       "understood: missing terminating ] for character class at character 4"},
        {.config = CONFIG ", \"use_dora\": true}",
         .message = AT "tensor '" Q ".lora_magnitude_vector' is missing; target_modules of "
                       "adapter_config.json names its module"},
        {.config = "{\"peft_type\": \"LORA\", \"r\": 64, \"target_modules\": [\"q_proj\"]}",
         .message = AC "rank 64 is larger than module 'model.layers.0.self_attn.q_proj' (32 x 32)"},
        {.rows = 5,
         .message = AT "tensor '" Q ".lora_A.weight' has shape (5,32), expected (4,32) for rank 4"},
        {.cols = 48,
         .message = AT "tensor '" Q ".lora_A.weight' has shape (4,48), expected (4,32) for rank 4"},
        {.rows = 32,
         .cols = 4,
         .message = AT "tensor '" Q ".lora_A.weight' has shape (32,4), expected (4,32) for rank 4"},
        {.flat = true,
         .message = AT "tensor '" Q ".lora_A.weight' has shape (128), expected (4,32) for rank 4"},
        {.without_a = true,
         .message =
             AT "tensor '" Q ".lora_A.weight' is missing; target_modules of adapter_config.json "
                "names its module"},
        {.without_b = true,
         .message =
             AT "tensor '" Q ".lora_B.weight' is missing; target_modules of adapter_config.json "
                "names its module"},
        {.without_a = true,
         .without_b = true,
         .message =
             AT "tensor '" Q ".lora_A.weight' is missing; target_modules of adapter_config.json "
                "names its module"},
        {.name = "model.layers.1.self_attn.q_proj.lora_A.weight",
         .message = AT "tensor 'model.layers.1.self_attn.q_proj.lora_A.weight' is not named "
                       "base_model.model.<module>.lora_A.weight or lora_B.weight"},
        {.name = Q ".lora_A.one.weight",
         .extra = Q ".lora_A.two.weight",
         .extra_rows = 4,
         .message = AT "holds tensors of two adapters, 'one' and 'two'; expected one"},
        {.extra = Q ".lora_A.default.weight",
         .extra_rows = 4,
         .message = AT "holds two tensors that mean '" Q ".lora_A.weight'"},
        {.extra = Q ".lora_magnitude_vector.default.weight",
         .extra_rows = 1,
         .message = AT "tensor '" Q ".lora_magnitude_vector' is no part of LoRA, which is the "
                       "method of adapter_config.json"},
        {.extra = Q ".lora_embedding_A.default",
         .extra_rows = 1,
         .message =
             AT "tensor '" Q ".lora_embedding_A' adapts an embedding, which is not supported"},
        {.name = Q ".lora_A.b.c.weight",
         .message = AT "tensor '" Q ".lora_A.b.c.weight' is not named "
                       "base_model.model.<module>.lora_A.weight or lora_B.weight"},
        {.extra = "base_model.model.model.embed_tokens.weight",
         .extra_rows = 70,
         .message =
             AT "tensor 'base_model.model.model.embed_tokens.weight' has 70 rows, the base's "
                "'model.embed_tokens.weight' has 67" RESIZED},
        {.config = "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": null, \"target_modules\": "
                   "[\"q_proj\"]}",
         .message =
             AC "'lora_alpha' is null: the update's scale is lora_alpha / r, and nothing else "
                "tells it; write the number that it was trained with"},
        {.config = "{\"peft_type\": \"LORA\", \"r\": null, \"target_modules\": [\"q_proj\"]}",
         .message =
             AC "'r' is null: write the rank that it was trained with, the rows of each lora_A"},
        {.config = "{\"fine_tune_type\": \"lora\", \"num_layers\": 16, \"lora_parameters\": "
                   "{\"rank\": 8, \"scale\": 20.0}}",
         .message =
             AC "is a configuration of mlx-lm, not of PEFT; mlx_lm.fuse puts the adapter into a "
                "model that is read"},
        {.name = "base_model.model.model.layers.1.self_attn.q_prj.lora_A.weight",
         .message =
             AT "tensor 'base_model.model.model.layers.1.self_attn.q_prj.lora_A.weight': the "
                "model has no such linear layer; the nearest are "
                "model.layers.1.self_attn.q_proj, model.layers.0.self_attn.q_proj, "
                "model.layers.1.self_attn.k_proj, model.layers.1.self_attn.v_proj, "
                "model.layers.1.self_attn.o_proj"},
        {.name = "base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight",
         .message =
             AT "tensor 'base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight': the "
                "model has no such linear layer; the nearest are "
                "model.layers.0.self_attn.q_proj, model.layers.1.self_attn.q_proj, "
                "model.layers.0.self_attn.k_proj, model.layers.0.self_attn.v_proj, "
                "model.layers.0.self_attn.o_proj"},
        {.extra = Q ".lora_magnitude_vector",
         .extra_rows = 1,
         .message =
             AT "tensor '" Q ".lora_magnitude_vector' is no part of LoRA, which is the method of "
                "adapter_config.json"},
        {.extra = Q ".lora_B.bias",
         .extra_rows = 1,
         .message = AT "tensor '" Q ".lora_B.bias' is a bias on B, which is not supported"},
        {.extra = "base_model.model.model.embed_tokens.lora_embedding_A",
         .extra_rows = 4,
         .message = AT "tensor 'base_model.model.model.embed_tokens.lora_embedding_A' adapts an "
                       "embedding, which is not supported"},
        {.extra = "base_model.model.model.embed_tokens.weight",
         .extra_rows = 67,
         .message =
             AT "tensor 'base_model.model.model.embed_tokens.weight' differs from the base's "
                "'model.embed_tokens.weight', and modules_to_save of adapter_config.json does not "
                "name its module"},
        {.extra = "base_model.model.lm_head.base_layer.weight",
         .extra_rows = 66,
         .message =
             AT "tensor 'base_model.model.lm_head.base_layer.weight' has 66 rows, the base's "
                "'lm_head.weight' has 67" RESIZED},
        {.extra = "base_model.model.score.weight",
         .extra_rows = 2,
         .message = AT "holds a head ('base_model.model.score.weight'), but task_type of "
                       "adapter_config.json is null; expected SEQ_CLS, for labels of texts, or "
                       "TOKEN_CLS, of tokens"},
        {.extra = "base_model.model.scores.weight",
         .extra_rows = 2,
         .message =
             AT "tensor 'base_model.model.scores.weight' is neither an A or B of LoRA nor a weight "
                "of the base"},
        {.extra = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
         .extra_rows = 4,
         .message = AT "tensor 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight': "
                       "target_modules of adapter_config.json does not name this module"},
        {.values = odd,
         .message =
             AT "tensor '" Q ".lora_A.weight': element 7 is nan, a finite number was expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_folder(&cases[i]);
        expect(cases[i].message);
    }
}

#define IA3 "{\"peft_type\": \"IA3\", \"target_modules\": "
#define IA3_Q IA3 "[\"layers.1.self_attn.q_proj\"], \"feedforward_modules\": []"

static void each_damage_to_ia3_has_its_message(void **state)
{
    (void)state;
    static const char vector[] = Q ".ia3_l";
    static const struct damage cases[] = {
        {.rows = 31,
         .cols = 1,
         .message = AT "tensor '" Q ".ia3_l' has shape (31,1), expected (32,1)"},
        {.rows = 1,
         .cols = 32,
         .message = AT "tensor '" Q ".ia3_l' has shape (1,32), expected (32,1)"},
        {.rows = 32,
         .cols = 1,
         .flat = true,
         .message = AT "tensor '" Q ".ia3_l' has shape (32), expected (32,1)"},
        {.without_a = true,
         .extra = Q ".ia3_m",
         .extra_rows = 1,
         .message = AT "tensor '" Q ".ia3_m' is not named base_model.model.<module>.ia3_l"},
        {.rows = 32,
         .cols = 1,
         .values = odd,
         .message = AT "tensor '" Q ".ia3_l': element 7 is nan, a finite number was expected"},
        {.rows = 32,
         .cols = 1,
         .extra = Q ".lora_A.weight",
         .extra_rows = 4,
         .message =
             AT "tensor '" Q
                ".lora_A.weight' is no part of IA3, which is the method of adapter_config.json"},
        {.rows = 32,
         .cols = 1,
         .config = IA3_Q ", \"r\": 4}",
         .message = AC "'r' must be absent (IA3 has no such key), found 4"},
        {.rows = 32,
         .cols = 1,
         .config = IA3 "[\"q_proj\"], \"feedforward_modules\": []}",
         .message =
             AT "tensor 'base_model.model.model.layers.0.self_attn.q_proj.ia3_l' is missing; "
                "target_modules of adapter_config.json names its module"},
        {.rows = 32,
         .cols = 1,
         .config = IA3 "[\"q_porj\"], \"feedforward_modules\": []}",
         .message = AC "target_modules: no module of the model is a target"},
        {.rows = 32,
         .cols = 1,
         .config = IA3 "[\"layers.1.self_attn.q_proj\"], \"feedforward_modules\": 3}",
         .message =
             AC "'feedforward_modules' must be a list of names (patterns are not supported here), "
                "found 3"},
        {.rows = 32,
         .cols = 1,
         .config = IA3 "[\"layers.1.self_attn.q_proj\"], \"feedforward_modules\": [\"q_proj\"]}",
         .message = AC "'feedforward_modules[0]' must be one of target_modules, found \"q_proj\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct damage d = cases[i];
        d.name = vector;
        d.config = d.config ? d.config : IA3_Q "}";
        d.without_b = true;
        write_folder(&d);
        expect(d.message);
    }
}

static void missing_and_foreign_files_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *remove, *write, *text, *message;
    } steps[] = {
        {"adapter_config.json", NULL, NULL,
         AC "is missing; expected a folder of PEFT's, as save_pretrained() writes it"},
        {NULL, "adapter_config.json", CONFIG "}x",
         NULL}, // says where, in words of the JSON library
        {"adapter_model.safetensors", "adapter_config.json", CONFIG "}",
         AT "cannot open: No such file or directory"},
        {NULL, "adapter_model.bin", "PK",
         "/adapter_model.bin: a pickle, which is a program and is not run; load it in PEFT and "
         "save it "
         "again to get adapter_model.safetensors"},
        {NULL, "adapters.safetensors", "x",
         ": is an adapter of mlx-lm (adapters.safetensors), not of PEFT; in that folder, "
         "mlx_lm.fuse "
         "--model BASE --adapter-path . --save-path ../fused puts it into a model that is read "
         "(--dequantize, where BASE is quantised)"},
    };
    write_folder(&(struct damage){0});
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (steps[i].remove) {
            const char *path = tiny_path(steps[i].remove);
            assert_int_equal(remove(path), 0);
        }
        if (steps[i].write) {
            const char *path = tiny_path(steps[i].write);
            assert_int_equal(lorac_file_write(path, steps[i].text, strlen(steps[i].text), NULL),
                             LORAC_OK);
        }
        if (steps[i].message) { expect(steps[i].message); }
    }
    write_folder(&(struct damage){0}); // cut the tensors off
    const char *path = tiny_path("adapter_model.safetensors");
    char *text = NULL;
    size_t n = 0;
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_file_read(&text, &n, path, 1 << 20, NULL), LORAC_OK);
    assert_int_equal(lorac_file_write(path, text, n - 1, NULL), LORAC_OK);
    assert_int_equal(lorac_peft_load(&a, model, tiny_dir(), false, &err), LORAC_EFORMAT);
    assert_non_null(strstr(err.text, path));
    lorac_mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_good_folder_loads),
        cmocka_unit_test(other_spellings_of_a_pair_are_read),
        cmocka_unit_test(each_damage_has_its_message),
        cmocka_unit_test(each_damage_to_ia3_has_its_message),
        cmocka_unit_test(missing_and_foreign_files_are_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
