/*
 * Names that modules have had. What is promised:
 *   - an adapter whose file and config use a module's other name (embed_out of GPT-NeoX,
 *     language_model.model. of Gemma 3, GPT-2 without transformer.) is the same adapter;
 *   - pairs on a part of the model that is not run are left out where they say nothing, and refused
 *     with the way out where they do not;
 *   - of a model that is run in part our own config names modules whole, so that PEFT takes no
 *     others;
 *   - what PEFT stores of a base's bias is compared with it under the base's own name;
 *   - whatever fails, nothing is left.
 */
#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "lora/lora.h"
#include "tests/support/faults.h"
#include "tests/support/golden.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MODELS LORAC_TESTS_DIR "/golden/models/"
#define P "base_model.model."

enum { MOST = 64, FLOATS = 4096 };

static struct lorac_device dev;
static float zeros[FLOATS];
static float ones[FLOATS];

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < FLOATS; i++) {
        ones[i] = 1.0F;
    }
    return lorac_device_open(&dev, "ref", 1, NULL) != LORAC_OK;
}

static int tear_down(void **state)
{
    lorac_device_close(&dev);
    return tiny_remove(state);
}

/* Append `text` with each `was` in it written `is`. */
static void add_replaced(struct lorac_buf *out, const char *text, const char *was, const char *is)
{
    for (const char *at = strstr(text, was); *was && at; at = strstr(text, was)) {
        lorac_buf_add(out, text, (size_t)(at - text));
        lorac_buf_str(out, is);
        text = at + strlen(was);
    }
    lorac_buf_str(out, text);
}

static void write_config(const char *from, const char *was, const char *is)
{
    struct lorac_buf text = {0};
    size_t n = 0;
    char *config = tiny_read_in(from, "adapter_config.json", &n);
    add_replaced(&text, config, was, is);
    tiny_text("old/adapter_config.json", text.at);
    lorac_buf_free(&text);
    lorac_mem_free(config);
}

/* A copy of adapter `from` as "old": names of tensors and of the config with one text for another,
 * and `more` (n_more) tensors besides. */
static const char *write_old(const char *from, const char *const names[2],
                             const char *const config[2], const struct lorac_tensor_spec *more,
                             size_t n_more)
{
    static char name[MOST][LORAC_NAME_SIZE];
    struct lorac_tensor_spec specs[2 * MOST];
    struct lorac_checkpoint *c = NULL;
    char *path = lorac_path_join(from, "adapter_model.safetensors");
    const char *dir = tiny_path("old");
    if (!lorac_path_exists(dir)) { assert_int_equal(lorac_dir_make(dir, NULL), LORAC_OK); }
    write_config(from, config[0], config[1]);
    assert_int_equal(lorac_checkpoint_open(&c, path, NULL), LORAC_OK);
    size_t n = lorac_checkpoint_count(c);
    assert_true(n <= MOST && n_more <= MOST);
    for (size_t i = 0; i < n; i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(c, i);
        struct lorac_buf text = {0};
        add_replaced(&text, t->name, names[0], names[1]);
        (void)snprintf(name[i], sizeof name[i], "%s", text.at);
        lorac_buf_free(&text);
        specs[i] = (struct lorac_tensor_spec){
            name[i], t->dtype, t->n_dims, {t->dims[0], t->dims[1]}, t->data};
    }
    if (n_more) { memcpy(specs + n, more, n_more * sizeof *more); }
    const char *to = tiny_path("old/adapter_model.safetensors");
    assert_int_equal(lorac_safetensors_write(to, specs, n + n_more, NULL, 0, NULL, NULL, NULL),
                     LORAC_OK);
    lorac_checkpoint_close(c);
    lorac_mem_free(path);
    return dir;
}

static struct lorac_adapter *load(const struct lorac_model *m, const char *dir)
{
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    if (lorac_peft_load(&a, m, dir, false, &err)) { fail_msg("%s", err.text); }
    return a;
}

static void expect_same(const struct lorac_adapter *got, const struct lorac_adapter *want)
{
    assert_ptr_equal(got->model, want->model);
    assert_int_equal(got->n, want->n);
    assert_int_equal(got->n_full, want->n_full);
    for (size_t i = 0; i < got->n; i++) {
        assert_int_equal(got->site[i].m, want->site[i].m);
        assert_true(!(got->site[i].scale < want->site[i].scale) &&
                    !(got->site[i].scale > want->site[i].scale));
    }
    assert_int_equal(got->n_params, want->n_params);
    assert_memory_equal(got->params, want->params, got->n_params * sizeof(float)); // of `ref`
}

static void an_adapter_with_old_names_is_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *names[2], *config[2];
    } cases[] = {
        {"neox-head", {P "lm_head", P "embed_out"}, {"\"lm_head\"", "\"embed_out\""}},
        {"full-neox", {P "lm_head", P "embed_out"}, {"\"lm_head\"", "\"embed_out\""}},
        {"gemma3-folder", {"model.language_model.", "language_model.model."}, {"", ""}},
        {"gemma3-folder-old",
         {"model.language_model.", "language_model.model."},
         {".*language_model.*\\\\.(", "language_model\\\\.model\\\\.layers\\\\..*\\\\.("}},
        {"gpt2", {P "transformer.", P}, {"\"transformer.", "\""}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char from[1024];
        (void)snprintf(from, sizeof from, MODELS "%s/adapter", cases[i].name);
        struct lorac_model *m = golden_model(&dev, cases[i].name);
        struct lorac_adapter *want = load(m, from);
        struct lorac_adapter *got =
            load(m, write_old(from, cases[i].names, cases[i].config, NULL, 0));
        expect_same(got, want);
        lorac_adapter_free(got);
        lorac_adapter_free(want);
        lorac_model_close(m);
    }
}

static const char *const as_it_is[2] = {"", ""};
#define FOLDER MODELS "gemma3-folder/adapter"
#define VISION(part) P "model.vision_tower.encoder.layers.0.self_attn.q_proj." part
#define VISION_A                                            \
    {                                                       \
        VISION("lora_A.weight"), LORAC_F32, 2, {4, 4}, ones \
    }
#define VISION_B(x)                                      \
    {                                                    \
        VISION("lora_B.weight"), LORAC_F32, 2, {4, 4}, x \
    }

static void pairs_on_what_is_not_run_are_left_out_where_they_say_nothing(void **state)
{
    (void)state;
    static const struct lorac_tensor_spec more[] = {VISION_A, VISION_B(zeros)};
    struct lorac_model *m = golden_model(&dev, "gemma3-folder");
    struct lorac_adapter *want = load(m, FOLDER);
    struct lorac_adapter *got = load(m, write_old(FOLDER, as_it_is, as_it_is, more, 2));
    expect_same(got, want);
    lorac_adapter_free(got);
    lorac_adapter_free(want);
    lorac_model_close(m);
}

static void and_refused_where_they_do(void **state)
{
    (void)state;
    static const struct lorac_tensor_spec trained[] = {VISION_A, VISION_B(ones)};
    static const struct lorac_tensor_spec half[] = {VISION_A};
    static const struct lorac_tensor_spec whole[] = {
        {P "model.multi_modal_projector.mm_soft_emb_norm.weight", LORAC_F32, 1, {4}, zeros}};
    static const struct {
        const struct lorac_tensor_spec *more;
        size_t n;
        const char *name;
    } cases[] = {
        {trained, 2, VISION("lora_A.weight")},
        {half, 1, VISION("lora_A.weight")},
        {whole, 1, P "model.multi_modal_projector.mm_soft_emb_norm.weight"},
    };
    struct lorac_model *m = golden_model(&dev, "gemma3-folder");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lorac_adapter *a = NULL;
        struct lorac_err err = {0};
        char want[1024];
        const char *dir = write_old(FOLDER, as_it_is, as_it_is, cases[i].more, cases[i].n);
        assert_int_equal(lorac_peft_load(&a, m, dir, false, &err), LORAC_ENOTSUP);
        assert_null(a);
        (void)snprintf(
            want, sizeof want,
            "%s/adapter_model.safetensors: tensor '%s' changes a part of the model that "
            "is not run here, where texts alone are read; in PEFT, merge_and_unload() and "
            "save_pretrained() put the adapter into a model that is read",
            dir, cases[i].name);
        assert_string_equal(err.text, want);
    }
    lorac_model_close(m);
}

#define POOLER(part) P "bert.pooler.dense." part

/* An adapter that was trained for the pooler's output would give other vectors without it. */
static void a_trained_pooler_is_refused_where_nothing_reads_it(void **state)
{
    (void)state;
    static const struct lorac_tensor_spec a = {
        POOLER("lora_A.weight"), LORAC_F32, 2, {4, 16}, ones};
    static const struct lorac_tensor_spec b = {
        POOLER("lora_B.weight"), LORAC_F32, 2, {16, 4}, ones};
    static const struct lorac_tensor_spec zero = {
        POOLER("lora_B.weight"), LORAC_F32, 2, {16, 4}, zeros};
    const struct lorac_tensor_spec trained[] = {a, b};
    const struct lorac_tensor_spec untouched[] = {a, zero};
    static const char *const no_names[2] = {"", ""};
    const char *from = LORAC_TESTS_DIR "/golden/models/bert-lm/adapter";
    struct lorac_adapter *got = NULL;
    struct lorac_err err = {0};
    struct lorac_model *m = golden_model(&dev, "bert-lm");
    lorac_adapter_free(load(m, write_old(from, no_names, no_names, untouched, 2)));
    const char *dir = write_old(from, no_names, no_names, trained, 2);
    assert_int_equal(lorac_peft_load(&got, m, dir, false, &err), LORAC_ENOTSUP);
    assert_non_null(strstr(err.text, "'" POOLER("lora_A.weight") "' changes the pooler, whose "
                                                                 "output nothing here reads"));
    lorac_model_close(m);
}

static void a_model_run_in_part_has_its_modules_named_whole(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_model *m = golden_model(&dev, "gemma3-folder");
    struct lorac_adapter *a = load(m, FOLDER);
    size_t n = 0;
    const char *to = tiny_path("ours");
    if (lorac_peft_save(to, a, "b", LORAC_F32, &err)) { fail_msg("%s", err.text); }
    char *config = tiny_read_in(to, "adapter_config.json", &n);
    assert_non_null(strstr(config, "\"model.language_model.layers.0.self_attn.q_proj\""));
    assert_null(strstr(config, "\"q_proj\""));
    struct lorac_adapter *back = load(m, to);
    expect_same(back, a);
    lorac_mem_free(config);
    lorac_adapter_free(back);
    lorac_adapter_free(a);
    lorac_model_close(m);
}

/* bias: all beside a module in full, on files whose names lack "transformer.": PEFT stores what
 * the base had, too. */
static void the_bias_of_the_base_is_found_under_its_own_name(void **state)
{
    (void)state;
    static const char *const full[] = {"h.0.mlp.c_fc"};
    static const char *const targets[] = {"c_attn"};
    const struct lorac_adapter_options o = {.rank = 2,
                                            .alpha = 2,
                                            .targets = targets,
                                            .n_targets = 1,
                                            .train_also = full,
                                            .n_train_also = 1,
                                            .bias = LORAC_BIAS_ALL};
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    struct lorac_model *m = golden_model(&dev, "gpt2-bare");
    if (lorac_adapter_new(&a, m, &o, &err)) { fail_msg("%s", err.text); }
    if (lorac_peft_save(tiny_path("biases"), a, "b", LORAC_F32, &err)) { fail_msg("%s", err.text); }
    const struct lorac_tensor *base = lorac_checkpoint_find(m->files, "h.0.mlp.c_fc.bias");
    const struct lorac_tensor_spec more[] = {
        {P "transformer.h.0.mlp.c_fc.original_module.bias", LORAC_F32, 1, {base->n}, base->data}};
    struct lorac_adapter *got =
        load(m, write_old(tiny_path("biases"), as_it_is, as_it_is, more, 1));
    expect_same(got, a);
    lorac_adapter_free(got);
    lorac_adapter_free(a);
    lorac_model_close(m);
}

static void whatever_fails_nothing_is_left(void **state)
{
    (void)state;
    static const char *const names[] = {"model.language_model.", "language_model.model."};
    static const struct lorac_tensor_spec more[] = {VISION_A, VISION_B(zeros)};
    struct lorac_model *m = golden_model(&dev, "gemma3-folder");
    const char *dir = write_old(FOLDER, names, as_it_is, more, 2);
    for (enum faults_kind kind = FAULTS_CALLS; kind < N_FAULTS; kind++) {
        for (long n = 0;; n = faults_next(n, kind == FAULTS_FOREIGN ? 37 : 1)) {
            struct lorac_adapter *a = NULL;
            struct lorac_err err = {0};
            faults_start(kind, n);
            enum lorac_status st = lorac_peft_load(&a, m, dir, false, &err);
            if (!faults_stop()) {
                lorac_adapter_free(a);
                break;
            }
            assert_null(a);
            assert_int_equal(st, faults_status(kind));
        }
    }
    lorac_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_adapter_with_old_names_is_the_same),
        cmocka_unit_test(pairs_on_what_is_not_run_are_left_out_where_they_say_nothing),
        cmocka_unit_test(and_refused_where_they_do),
        cmocka_unit_test(a_trained_pooler_is_refused_where_nothing_reads_it),
        cmocka_unit_test(a_model_run_in_part_has_its_modules_named_whole),
        cmocka_unit_test(the_bias_of_the_base_is_found_under_its_own_name),
        cmocka_unit_test(whatever_fails_nothing_is_left),
    };
    return cmocka_run_group_tests_name("peft_names", tests, set_up, tear_down);
}
