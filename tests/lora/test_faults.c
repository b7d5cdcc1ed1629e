/*
 * Files, tokens, generation, comparison and training by hand on a machine that fails. What is
 * promised stands in faults.h. Single readers and writers have loops of their own, beside their
 * tests.
 */
#include "base/compare.h"
#include "base/config_json.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/fingerprint.h"
#include "base/generate.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- base ---- */

/* Each function on files and folders that has no loop of its own. */
static enum lorac_status files(struct lorac_err *err)
{
    char **names = NULL;
    char *path = NULL;
    int lock = -1;
    struct lorac_out *out = NULL;
    enum lorac_status st = lorac_dir_make(tiny_path("made/deep"), err);
    if (!st) { st = lorac_lock_open(&lock, tiny_path("made/lock"), err); }
    if (!st) { st = lorac_file_append(tiny_path("made/log"), "line\n", 5, err); }
    if (!st) { st = lorac_file_copy(tiny_path("made/deep/copy"), tiny_path("valid.csv"), err); }
    if (!st) { st = lorac_out_open(&out, tiny_path("out"), err); }
    if (!st) { st = lorac_out_write(out, "17", 2, err); }
    if (!st) {
        st = lorac_out_commit(out, err);
        out = NULL;
    }
    if (!st) { st = lorac_path_absolute(&path, "here", err); }
    if (!st) { st = lorac_dir_replace(tiny_path("made/new"), tiny_path("made/deep"), err); }
    if (!st) { st = lorac_dir_list(&names, tiny_path("made"), err); }
    for (size_t i = 0; !st && names[i]; i++) {
        faults_say("%s ", names[i]);
    }
    if (!st) { st = lorac_dir_remove(tiny_path("made"), err); }
    lorac_mem_free(names);
    lorac_mem_free(path);
    lorac_out_free(out);
    lorac_lock_close(lock);
    // the failure has happened, so that this is none
    if (st && lorac_dir_remove(tiny_path("made"), NULL)) { fail_msg("made/ stays"); }
    return st;
}

static enum lorac_status tokens(struct lorac_err *err)
{
    struct lorac_tokenizer *t = NULL;
    struct lorac_ids ids = {0};
    struct lorac_buf text = {0};
    struct lorac_stream stream = {0};
    const struct lorac_text texts[] = {{"so warm", 7, false}, {"</s>", 4, true}};
    enum lorac_status st = lorac_tokenizer_open(&t, tiny_path("model"), err);
    if (!st) { st = lorac_encode(&ids, t, texts, 2, LORAC_ENCODE_BEGINS, err); }
    if (!st) { st = lorac_ids_add(&ids, 200, err); }
    if (!st) { st = lorac_decode(&text, t, ids.at, ids.n, false, err); }
    for (size_t i = 0; i < ids.n && !st; i++) {
        st = lorac_stream_add(&text, &stream, t, ids.at[i], true, err);
    }
    if (!st) { st = lorac_stream_end(&text, &stream, t, true, err); }
    if (!st) { st = lorac_token_bytes(&text, t, 200, err); }
    if (!st) { st = faults_text(&text, err); }
    if (!st) { faults_say("%zu %s", ids.n, text.at); }
    lorac_stream_free(&stream);
    lorac_buf_free(&text);
    lorac_ids_free(&ids);
    lorac_tokenizer_free(t);
    return st;
}

/* Text that goes on from a prompt, through an adapter and then without. */
static enum lorac_status generate(struct lorac_err *err)
{
    static const char *const stop[] = {"qqq"};
    struct lorac_device dev = {0};
    struct lorac_model *m = NULL;
    struct lorac_tokenizer *t = NULL;
    struct lorac_adapter *a = NULL;
    struct lorac_generator *g = NULL;
    struct lorac_ids ids = {0};
    struct lorac_buf text = {0};
    struct lorac_stack stack = {.n = 1, .factor = {1.0F}};
    struct lorac_socket socket = {0};
    struct lorac_sampling o = lorac_sampling_defaults;
    enum lorac_finish finish = LORAC_FINISH_END;
    size_t bytes = 0;
    const int32_t prompt[] = {256, 's', 'o'};
    o.max_tokens = 12;
    o.stop = stop;
    o.n_stop = 1;
    enum lorac_status st = lorac_device_open(&dev, NULL, 1, err);
    if (!st) { st = lorac_model_open(&m, &dev, tiny_path("model"), LORAC_FLOAT32, err); }
    if (!st) { st = lorac_tokenizer_open(&t, tiny_path("model"), err); }
    if (!st) { st = lorac_peft_load(&a, m, tiny_path("done/best"), false, err); }
    stack.adapter[0] = a;
    if (!st) { socket = lorac_stack_socket(&stack); }
    if (!st) { st = lorac_generator_measure(&bytes, m, &socket, 32, 3, err); }
    if (!st) { st = lorac_generator_new(&g, m, &socket, 32, 3, err); }
    for (int round = 0; round < 2 && !st; round++) {
        st = lorac_generate(&ids, &text, &finish, g, t, prompt, 3, &o, NULL, NULL, err);
        if (!st) { st = faults_text(&text, err); }
        if (!st) {
            faults_say("%zu %s %s ", ids.n, lorac_finish_name(finish), text.at ? text.at : "");
        }
        if (!st) { st = lorac_generator_use(g, NULL, err); }
    }
    if (!st) { st = lorac_generator_use(g, &socket, err); }
    lorac_buf_free(&text);
    lorac_ids_free(&ids);
    lorac_generator_free(g);
    lorac_adapter_free(a);
    lorac_tokenizer_free(t);
    lorac_model_close(m);
    lorac_device_close(&dev);
    return st;
}

static enum lorac_status compare(struct lorac_err *err)
{
    struct lorac_checkpoint *a = NULL;
    struct lorac_checkpoint *b = NULL;
    struct lorac_comparison c = {0};
    struct lorac_buf lines = {0};
    char print[65] = "";
    struct lorac_checkpoint *of_memory = NULL;
    char *image = NULL;
    size_t n = 0;
    enum lorac_status st =
        lorac_checkpoint_open(&a, tiny_path("done/best/adapter_model.safetensors"), err);
    if (!st) { st = lorac_checkpoint_open(&b, tiny_path("model"), err); }
    if (!st) { st = lorac_checkpoint_compare(&c, a, b, err); }
    if (!st) { st = lorac_checkpoint_fingerprint(print, b, "x", 1, err); }
    if (!st) {
        st = lorac_file_read(&image, &n, tiny_path("model/model.safetensors"), 1 << 20, err);
    }
    if (!st) { st = lorac_checkpoint_parse(&of_memory, (const unsigned char *)image, n, "F", err); }
    if (!st) {
        st = lorac_json_compare(&lines, tiny_path("model/config.json"),
                                tiny_path("done/best/adapter_config.json"), err);
    }
    if (!st) { faults_say("%zu %zu %zu %s", c.n, c.only_a, lines.n, print); }
    lorac_buf_free(&lines);
    lorac_comparison_free(&c);
    lorac_checkpoint_close(of_memory);
    lorac_mem_free(image);
    lorac_checkpoint_close(b);
    lorac_checkpoint_close(a);
    return st;
}

/* ---- lora ---- */

struct trainer {
    struct lorac_device dev;
    struct lorac_model *m;
    struct lorac_match *match;
    struct lorac_adapter *outline, *alloc, *a;
    struct lorac_socket socket;
    struct lorac_batch *batch;
    struct lorac_pass *pass, *plain;
    struct lorac_cache *cache;
    struct lorac_optim *o;
    float *host;
};

/* With how's method and init. */
static enum lorac_status open_trainer(struct trainer *t, const struct lorac_adapter_options *how,
                                      struct lorac_err *err)
{
    static const char *const targets[] = {"q_proj", "down_proj"};
    static const char *const also[] = {"lm_head"};
    const struct lorac_override overrides[] = {{"down_proj", 2, 0.0}};
    const struct lorac_adapter_options o = {.method = how->method,
                                            .init = how->init,
                                            .feedforward = how->feedforward,
                                            .n_feedforward = how->n_feedforward,
                                            .targets = targets,
                                            .n_targets = 2,
                                            .overrides = overrides,
                                            .n_overrides = how->method ? 0 : 1,
                                            .train_also = also,
                                            .n_train_also = 1,
                                            .rank = 4,
                                            .alpha = 8.0,
                                            .seed = 1};
    const struct lorac_optim_options adamw = {
        .name = "adamw", .lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .steps = 2};
    struct lorac_pass_options p = {.max_rows = 8, .max_positions = 16, .keep = LORAC_KEEP_ALL};
    size_t bytes = 0;
    enum lorac_status st = lorac_device_open(&t->dev, NULL, 1, err);
    if (!st) { st = lorac_model_open(&t->m, &t->dev, tiny_path("model"), LORAC_FLOAT32, err); }
    if (st) { return st; }
    t->match = lorac_mem_new(t->m->n_modules, sizeof *t->match);
    if (!t->match) { return lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    st = lorac_match_modules(t->match, t->m, &o, err);
    if (!st) {
        st = lorac_adapter_outline(&t->outline, t->m, t->match, o.method, LORAC_SCALE_STANDARD,
                                   LORAC_TIE_UNSET, err);
    }
    if (!st) {
        st = lorac_adapter_alloc(&t->alloc, t->m, t->match, o.method, LORAC_SCALE_RSLORA,
                                 LORAC_TIE_UNSET, err);
    }
    if (!st) { st = lorac_adapter_new(&t->a, t->m, &o, err); }
    if (!st) { st = lorac_adapter_reserve(t->a, err); }
    if (!st) { t->socket = lorac_adapter_socket(t->a); }
    if (!st) { st = lorac_optim_new(&t->o, t->a, &adamw, err); }
    if (!st) { st = lorac_batch_new(&t->batch, 8, 2, 8, err); }
    if (!st) { st = lorac_pass_measure(&bytes, t->m, &t->socket, &p, err); }
    if (!st) { st = lorac_pass_new(&t->pass, t->m, &t->socket, &p, err); }
    p.keep = LORAC_KEEP_NOTHING;
    if (!st) { st = lorac_pass_new(&t->plain, t->m, NULL, &p, err); }
    if (!st) { st = lorac_cache_measure(&bytes, t->m, 8, err); }
    if (!st) { st = lorac_cache_new(&t->cache, t->m, 8, err); }
    t->host = st ? NULL : lorac_mem_new(1040, sizeof *t->host);
    if (!st && !t->host) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    return st;
}

/* Two steps by hand. */
static enum lorac_status train(const struct lorac_adapter_options *how, struct lorac_err *err)
{
    struct trainer t = {0};
    const int32_t ids[] = {256, 's', 'o', 'n'};
    double norm = 0.0;
    enum lorac_status st = open_trainer(&t, how, err);
    for (int step = 0; step < 2 && !st; step++) {
        float nll[8];
        lorac_batch_clear(t.batch);
        (void)lorac_batch_add(t.batch, ids, 4, -1);
        for (size_t n = 0; n + 1 < 4; n++) {
            lorac_batch_score(t.batch, n, ids[n + 1]);
        }
        st = lorac_pass_forward(t.pass, t.batch, NULL, err);
        if (st) { break; }
        lorac_pass_loss(t.pass, t.batch, nll, true);
        lorac_pass_backward(t.pass, t.batch);
        st = lorac_optim_step(t.o, 3, &norm, err);
        faults_say("%a %a ", (double)nll[0], norm);
    }
    size_t k = how->n_feedforward ? 0 : 1; // IA3 has one tensor
    if (!st) { st = lorac_site_read(t.host, t.a, 0, k, err); }
    if (!st) { st = lorac_site_write(t.alloc, 0, k, t.host, err); }
    if (!st) {
        lorac_batch_clear(t.batch);
        (void)lorac_batch_add_cached(t.batch, ids, 3, -1, 0, 0, true);
        st = lorac_pass_forward(t.plain, t.batch, t.cache, err);
    }
    lorac_mem_free(t.host);
    lorac_cache_free(t.cache);
    lorac_pass_free(t.plain);
    lorac_pass_free(t.pass);
    lorac_batch_free(t.batch);
    lorac_optim_free(t.o);
    lorac_adapter_free(t.a);
    lorac_adapter_free(t.alloc);
    lorac_adapter_free(t.outline);
    lorac_mem_free(t.match);
    lorac_model_close(t.m);
    lorac_device_close(&t.dev);
    return st;
}

static enum lorac_status train_lora(struct lorac_err *err)
{
    return train(&(struct lorac_adapter_options){0}, err);
}

static enum lorac_status train_dora(struct lorac_err *err)
{
    return train(&(struct lorac_adapter_options){.method = "dora"}, err);
}

static enum lorac_status train_ia3(struct lorac_err *err)
{
    static const char *const inputs[] = {"down_proj"};
    return train(
        &(struct lorac_adapter_options){.method = "ia3", .feedforward = inputs, .n_feedforward = 1},
        err);
}

static enum lorac_status train_pissa(struct lorac_err *err)
{
    return train(&(struct lorac_adapter_options){.init = LORAC_INIT_PISSA}, err);
}

static enum lorac_status train_olora(struct lorac_err *err)
{
    return train(&(struct lorac_adapter_options){.init = LORAC_INIT_OLORA}, err);
}

/* ---- errors whose words take memory ---- */

static const char config[] = "{\"architectures\":[\"NovelForCausalLM\"],\"n\":[1,2],\"s\":{}}";

static enum lorac_status ask(struct lorac_err *err,
                             enum lorac_status (*read)(const struct lorac_json *root,
                                                       struct lorac_err *err))
{
    struct lorac_json root = {0};
    enum lorac_status st = lorac_json_parse(&root, config, sizeof config - 1, "F", err);
    if (!st) { st = read(&root, err); }
    lorac_json_free(&root);
    return st;
}

static enum lorac_status read_config(const struct lorac_json *root, struct lorac_err *err)
{
    struct lorac_config c;
    return lorac_config_read(&c, root, err);
}

static enum lorac_status read_size(const struct lorac_json *root, struct lorac_err *err)
{
    size_t n = 0;
    return lorac_json_size(&n, root, "n", true, 0, 9, err);
}

static enum lorac_status read_number(const struct lorac_json *root, struct lorac_err *err)
{
    double x = 0.0;
    return lorac_json_number(&x, root, "n", true, err);
}

static enum lorac_status read_bool(const struct lorac_json *root, struct lorac_err *err)
{
    bool yes = false;
    return lorac_json_bool(&yes, root, "s", true, err);
}

static enum lorac_status read_string(const struct lorac_json *root, struct lorac_err *err)
{
    const char *s = NULL;
    return lorac_json_string(&s, root, "s", true, err);
}

static enum lorac_status unknown_architecture(struct lorac_err *err)
{
    return ask(err, read_config);
}

static enum lorac_status no_size(struct lorac_err *err)
{
    return ask(err, read_size);
}

static enum lorac_status no_number(struct lorac_err *err)
{
    return ask(err, read_number);
}

static enum lorac_status no_bool(struct lorac_err *err)
{
    return ask(err, read_bool);
}

static enum lorac_status no_string(struct lorac_err *err)
{
    return ask(err, read_string);
}

static void an_error_stays_one_without_memory_for_its_words(void **state)
{
    (void)state;
    faults_complain(LORAC_ENOTSUP, unknown_architecture);
    faults_complain(LORAC_EFORMAT, no_size);
    faults_complain(LORAC_EFORMAT, no_number);
    faults_complain(LORAC_EFORMAT, no_bool);
    faults_complain(LORAC_EFORMAT, no_string);
}

static void a_folder_that_cannot_be_listed_is_not_empty(void **state)
{
    (void)state;
    assert_int_equal(lorac_dir_make(tiny_path("empty"), NULL), LORAC_OK);
    for (enum faults_kind kind = FAULTS_CALLS; kind <= FAULTS_MEMORY; kind++) {
        bool met = true;
        for (long n = 0; met; n++) {
            faults_start(kind, n);
            bool empty = lorac_dir_is_empty(tiny_path("empty"));
            met = faults_stop();
            assert_int_equal(empty, !met);
        }
    }
    assert_int_equal(lorac_dir_remove(tiny_path("empty"), NULL), LORAC_OK);
}

/* ---- all of them ---- */

static void every_failure_is_reported_and_leaves_nothing_half_done(void **state)
{
    (void)state;
    static const struct faults_scenario all[] = {
        {"files", files, true, 1},        {"tokens", tokens, false, 7},
        {"generate", generate, false, 7}, {"compare", compare, false, 1},
        {"train", train_lora, false, 1},  {"dora", train_dora, false, 1},
        {"ia3", train_ia3, false, 1},     {"pissa", train_pissa, false, 1},
        {"olora", train_olora, false, 1},
    };
    faults_meet(all, sizeof all / sizeof *all);
}

static int make(void **state)
{
    static const char *const quick[] = {"train.epochs=1", NULL};
    int failed = runs_make(state);
    if (!failed) { runs_well("done", LORAC_RUN_NEW, NULL, quick); }
    return failed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failure_is_reported_and_leaves_nothing_half_done),
        cmocka_unit_test(an_error_stays_one_without_memory_for_its_words),
        cmocka_unit_test(a_folder_that_cannot_be_listed_is_not_empty),
    };
    return cmocka_run_group_tests_name("faults", tests, make, runs_remove);
}
