/*
 * Merging. What is promised:
 *   - every adapted matrix becomes W + sum f s B A, rounded once to the type of the file;
 *     everything else is the old file byte for byte: shard names, headers, order, other tensors,
 *     index, config, tokenizer;
 *   - the result opens as a model;
 *   - a folder that holds something, an overflow, another model's adapter are refused;
 *   - a check of the caller sees the whole folder before it has its name, and nothing is left where
 *     it fails;
 *   - whatever fails, nothing is left behind.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "lora/lora.h"
#include "tests/support/faults.h"
#include "tests/support/golden.h"
#include "tests/support/near.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MODELS LORAC_TESTS_DIR "/golden/models/"

static struct lorac_device dev;

static struct lorac_adapter *load(const struct lorac_model *m, const char *name)
{
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", m->dir, name);
    if (lorac_peft_load(&a, m, path, false, &err)) { fail_msg("%s", err.text); }
    return a;
}

static void merge(const char *out, const struct lorac_model *m, const struct lorac_stack *s)
{
    struct lorac_err err = {0};
    if (lorac_merge(out, m, s, NULL, &err)) { fail_msg("%s", err.text); }
}

/* want (OC,C) += f s B A in double. */
static void add_product(double *want, const struct lorac_adapter *a, size_t i, double f)
{
    const struct lorac_site *l = &a->site[i];
    float *A = lorac_mem_new(l->R * l->C, sizeof *A);
    float *B = lorac_mem_new(l->OC * l->R, sizeof *B);
    assert_int_equal(lorac_site_read(A, a, i, false, NULL), LORAC_OK);
    assert_int_equal(lorac_site_read(B, a, i, true, NULL), LORAC_OK);
    for (size_t o = 0; o < l->OC; o++) {
        for (size_t c = 0; c < l->C; c++) {
            double sum = 0;
            for (size_t r = 0; r < l->R; r++) {
                sum += (double)B[o * l->R + r] * (double)A[r * l->C + c];
            }
            bool turned = a->model->module[l->m].transposed;
            want[turned ? c * l->OC + o : o * l->C + c] += f * (double)l->scale * sum;
        }
    }
    lorac_mem_free(A);
    lorac_mem_free(B);
}

/* One float32 product of a few terms and one addition err by some 1e-6 of the terms, all of which
 * are below 4 here; then one rounding to the file's type. */
static void expect_matrix(const struct lorac_tensor *was, const struct lorac_tensor *is,
                          const struct lorac_stack *s, size_t module)
{
    float *w = lorac_mem_new(was->n, sizeof *w);
    float *got = lorac_mem_new(was->n, sizeof *got);
    double *want = lorac_mem_new(was->n, sizeof *want);
    double ulp = was->dtype == LORAC_BF16 ? 0x1p-8 : 0x1p-24;
    lorac_dtype_decode(w, was->data, was->dtype, was->n);
    lorac_dtype_decode(got, is->data, is->dtype, is->n);
    for (size_t i = 0; i < was->n; i++) {
        want[i] = (double)w[i];
    }
    for (size_t k = 0; k < s->n; k++) {
        int32_t at = s->adapter[k]->at[module];
        if (at >= 0) { add_product(want, s->adapter[k], (size_t)at, (double)s->factor[k]); }
    }
    for (size_t i = 0; i < was->n; i++) {
        assert_true(fabs((double)got[i] - want[i]) <= 4e-6 + ulp * fabs(want[i]));
    }
    lorac_mem_free(w);
    lorac_mem_free(got);
    lorac_mem_free(want);
}

static size_t module_of(const struct lorac_model *m, const char *tensor)
{
    for (size_t i = 0; i < m->n_modules; i++) {
        size_t n = strlen(m->module[i].file);
        if (strncmp(tensor, m->module[i].file, n) == 0 && strcmp(tensor + n, ".weight") == 0) {
            return i;
        }
    }
    return m->n_modules;
}

static bool adapted(const struct lorac_stack *s, size_t module, size_t n_modules)
{
    bool yes = false;
    for (size_t k = 0; k < s->n && module < n_modules; k++) {
        yes = yes || (s->adapter[k]->at[module] >= 0 && s->factor[k] != 0);
    }
    return yes;
}

static void expect_merged(const char *out, const struct lorac_model *m, const struct lorac_stack *s,
                          size_t n_adapted)
{
    struct lorac_model *got = golden_model(&dev, out);
    size_t seen = 0;
    assert_int_equal(lorac_checkpoint_count(got->files), lorac_checkpoint_count(m->files));
    assert_int_equal(lorac_checkpoint_shards(got->files), lorac_checkpoint_shards(m->files));
    for (size_t i = 0; i < lorac_checkpoint_count(m->files); i++) {
        const struct lorac_tensor *a = lorac_checkpoint_at(m->files, i);
        const struct lorac_tensor *b = lorac_checkpoint_at(got->files, i);
        size_t module = module_of(m, a->name);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->dtype, b->dtype);
        assert_int_equal(a->shard, b->shard);
        size_t bytes = lorac_dtype_bytes(a->dtype, a->n);
        if (adapted(s, module, m->n_modules)) {
            seen++;
            assert_memory_not_equal(a->data, b->data, bytes);
            expect_matrix(a, b, s, module);
        } else {
            assert_memory_equal(a->data, b->data, bytes);
        }
    }
    assert_int_equal(seen, n_adapted);
    lorac_model_close(got);
}

static void one_adapter_merges_into_every_kind_of_checkpoint(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t n_adapted;
    } cases[] = {{"llama", 14},
                 {"llama-head", 3},
                 {"llama-sharded", 14},
                 {"llama-patterns", 2},
                 {"qwen2", 14},
                 {"llama-mha-rslora", 14},
                 {"llama-tied-bias", 14},
                 {"qwen3", 14},
                 {"gemma3", 14},
                 {"gemma3-folder", 14},
                 {"gpt2", 8},
                 {"gpt2-bare", 2},
                 {"neox", 8},
                 {"neox-sequential", 8}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *out = tiny_path(cases[i].name);
        struct lorac_model *m = golden_model(&dev, cases[i].name);
        struct lorac_adapter *a = load(m, "adapter");
        struct lorac_stack s = {1, {a}, {1.0F}};
        merge(out, m, &s);
        expect_merged(out, m, &s, cases[i].n_adapted);
        lorac_adapter_free(a);
        lorac_model_close(m);
    }
}

/* A model of one small layer whose output matrix has more elements than a panel. */
static void write_tall_model(const char *folder, size_t V)
{
    static const char *const names[] = {"model.layers.0.self_attn.q_proj.weight",
                                        "model.layers.0.self_attn.k_proj.weight",
                                        "model.layers.0.self_attn.v_proj.weight",
                                        "model.layers.0.self_attn.o_proj.weight",
                                        "model.layers.0.mlp.gate_proj.weight",
                                        "model.layers.0.mlp.up_proj.weight",
                                        "model.layers.0.mlp.down_proj.weight",
                                        "model.embed_tokens.weight",
                                        "lm_head.weight",
                                        "model.norm.weight",
                                        "model.layers.0.input_layernorm.weight",
                                        "model.layers.0.post_attention_layernorm.weight"};
    enum { N = sizeof names / sizeof names[0], C = 8 };
    struct lorac_tensor_spec specs[N];
    float *x = lorac_mem_new(V * C, sizeof *x);
    fill(x, V * C, 1);
    for (size_t i = 0; i < N; i++) {
        size_t rows = i < 7 || i > 8 ? C : V;
        specs[i] = (struct lorac_tensor_spec){names[i], LORAC_F32, i < 9 ? 2 : 1, {rows, C}, x};
    }
    char config[500];
    (void)snprintf(config, sizeof config,
                   "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\","
                   " \"hidden_size\": 8, \"intermediate_size\": 8, \"num_hidden_layers\": 1,"
                   " \"num_attention_heads\": 1, \"num_key_value_heads\": 1, \"vocab_size\": %zu,"
                   " \"max_position_embeddings\": 16, \"rms_norm_eps\": 1e-5,"
                   " \"hidden_act\": \"silu\", \"tie_word_embeddings\": false}",
                   V);
    char *paths[2] = {lorac_path_join(folder, "config.json"),
                      lorac_path_join(folder, "model.safetensors")};
    assert_int_equal(lorac_dir_make(folder, NULL), LORAC_OK);
    assert_int_equal(lorac_file_write(paths[0], config, strlen(config), NULL), LORAC_OK);
    assert_int_equal(lorac_safetensors_write(paths[1], specs, N, NULL, 0, NULL, NULL, NULL),
                     LORAC_OK);
    lorac_mem_free(paths[0]);
    lorac_mem_free(paths[1]);
    lorac_mem_free(x);
}

static void a_matrix_of_several_panels_merges_row_by_row(void **state)
{
    (void)state;
    size_t V = 300000; // times 8 columns: two panels and a bit
    const char *base = tiny_path("tall");
    const char *out = tiny_path("tall-merged");
    write_tall_model(base, V);
    struct lorac_model *m = golden_model(&dev, base);
    struct lorac_adapter *a = NULL;
    struct lorac_adapter_options o = {
        .targets = (const char *[]){"lm_head"}, .n_targets = 1, .rank = 2, .alpha = 4};
    assert_int_equal(lorac_adapter_new(&a, m, &o, NULL), LORAC_OK);
    float *b = lorac_mem_new(V * 2, sizeof *b);
    fill(b, V * 2, 2);
    assert_int_equal(lorac_site_write(a, 0, true, b, NULL), LORAC_OK);
    struct lorac_stack s = {1, {a}, {1.0F}};
    merge(out, m, &s);
    expect_merged(out, m, &s, 1);
    lorac_adapter_free(a);
    lorac_model_close(m);
    lorac_mem_free(b);
}

static void several_adapters_add_up_with_their_factors(void **state)
{
    (void)state;
    struct lorac_model *m = golden_model(&dev, "llama");
    struct lorac_model *other = golden_model(&dev, "llama-patterns");
    struct lorac_adapter *a = load(m, "adapter");
    struct lorac_adapter *b = NULL;
    assert_int_equal(lorac_peft_load(&b, m, MODELS "llama-patterns/adapter", true, NULL), LORAC_OK);
    const char *out = tiny_path("two");
    struct lorac_stack s = {2, {a, b}, {0.5F, -2.0F}};
    merge(out, m, &s);
    expect_merged(out, m, &s, 14);
    const char *none = tiny_path("factor-zero");
    s = (struct lorac_stack){2, {a, b}, {0.0F, 1.0F}};
    merge(none, m, &s);
    expect_merged(none, m, &s, 2);
    lorac_adapter_free(a);
    lorac_adapter_free(b);
    lorac_model_close(m);
    lorac_model_close(other);
}

static void expect_same_bytes(const char *a_dir, const char *b_dir, const char *name, size_t n)
{
    char *paths[2] = {lorac_path_join(a_dir, name), lorac_path_join(b_dir, name)};
    struct lorac_map maps[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lorac_map_open(&maps[i], paths[i], NULL), LORAC_OK);
    }
    assert_int_equal(maps[0].size, maps[1].size);
    assert_memory_equal(maps[0].data, maps[1].data, n ? n : maps[0].size);
    for (int i = 0; i < 2; i++) {
        lorac_map_close(&maps[i]);
        lorac_mem_free(paths[i]);
    }
}

static void shards_index_and_other_files_stay_as_they_are(void **state)
{
    (void)state;
    static const char *const files[] = {"model-00001-of-00003.safetensors",
                                        "model-00002-of-00003.safetensors",
                                        "model-00003-of-00003.safetensors"};
    const char *base = tiny_path("base");
    const char *out = tiny_path("kept");
    static const char *const more[] = {"tokenizer.json", "README.md", "pytorch_model.bin",
                                       "adapter_config.json", ".gitattributes"};
    assert_int_equal(lorac_dir_make(base, NULL), LORAC_OK);
    for (size_t i = 0; i < 5; i++) {
        const char *name = i < 3    ? files[i]
                           : i == 3 ? "config.json"
                                    : "model.safetensors.index.json";
        char *to = lorac_path_join(base, name);
        char from[1024];
        (void)snprintf(from, sizeof from, MODELS "llama-sharded/%s", name);
        assert_int_equal(lorac_file_copy(to, from, NULL), LORAC_OK);
        lorac_mem_free(to);
        to = lorac_path_join(base, more[i]);
        assert_int_equal(lorac_file_write(to, more[i], strlen(more[i]), NULL), LORAC_OK);
        lorac_mem_free(to);
    }
    char *sub = lorac_path_join(base, "original");
    assert_int_equal(lorac_dir_make(sub, NULL), LORAC_OK);
    char *pooling = lorac_path_join(base, "1_Pooling");
    assert_int_equal(lorac_dir_make(pooling, NULL), LORAC_OK);
    char *how = lorac_path_join(pooling, "config.json");
    assert_int_equal(lorac_file_write(how, "{}", 2, NULL), LORAC_OK);
    struct lorac_model *m = golden_model(&dev, base);
    struct lorac_adapter *a = NULL;
    assert_int_equal(lorac_peft_load(&a, m, MODELS "llama-sharded/adapter", false, NULL), LORAC_OK);
    struct lorac_stack s = {1, {a}, {1.0F}};
    merge(out, m, &s);
    for (size_t i = 0; i < 3; i++) {
        expect_same_bytes(base, out, files[i], 256); // the beginning of the header
    }
    expect_same_bytes(base, out, "config.json", 0);
    expect_same_bytes(base, out, "model.safetensors.index.json", 0);
    expect_same_bytes(base, out, "tokenizer.json", 0);
    expect_same_bytes(base, out, "README.md", 0);
    expect_same_bytes(base, out, "1_Pooling/config.json", 0);
    char **names = NULL;
    size_t n = 0;
    assert_int_equal(lorac_dir_list(&names, out, NULL), LORAC_OK);
    while (names[n]) {
        n++;
    }
    assert_int_equal(n, 8); // no other weights, no adapter, no hidden file, no other folder
    lorac_mem_free(names);
    lorac_adapter_free(a);
    lorac_model_close(m);
    lorac_mem_free(sub);
    lorac_mem_free(pooling);
    lorac_mem_free(how);
}

static void what_cannot_be_merged_is_refused(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    char want[1200];
    const char *out = tiny_path("never");
    struct lorac_model *m = golden_model(&dev, "llama");
    struct lorac_adapter *a = load(m, "adapter");
    struct lorac_stack s = {1, {a}, {1.0F}};
    (void)snprintf(want, sizeof want, "%s: exists and is not an empty folder", tiny_dir());
    assert_int_equal(lorac_merge(tiny_dir(), m, &s, NULL, &err), LORAC_EUSER);
    assert_string_equal(err.text, want);
    s.factor[0] = 3e38F; // times the product of A and B: beyond float32
    assert_int_equal(lorac_merge(out, m, &s, NULL, &err), LORAC_EUSER);
    assert_non_null(
        strstr(err.text, "merging 'model.layers.0.mlp.down_proj.weight': row 0, column "));
    assert_non_null(strstr(err.text, "inf, which F32 cannot hold"));
    s.factor[0] = NAN;
    assert_int_equal(lorac_merge(out, m, &s, NULL, &err), LORAC_EUSER);
    assert_string_equal(err.text, "the factor of adapter 0 is nan");
    s.n = 0;
    assert_int_equal(lorac_merge(out, m, &s, NULL, &err), LORAC_EUSER);
    assert_string_equal(err.text, "from 1 to 8 adapters can be merged, found 0");
    s.n = 9;
    assert_int_equal(lorac_merge(out, m, &s, NULL, &err), LORAC_EUSER);
    assert_string_equal(err.text, "from 1 to 8 adapters can be merged, found 9");
    lorac_adapter_free(a);

    struct lorac_model *other = golden_model(&dev, "qwen2");
    a = load(other, "adapter");
    s = (struct lorac_stack){1, {a}, {1.0F}};
    assert_int_equal(lorac_merge(out, m, &s, NULL, &err), LORAC_EUSER);
    assert_string_equal(err.text, "adapter 0 was loaded for another model");
    assert_false(lorac_path_exists(out));
    lorac_adapter_free(a);
    lorac_model_close(other);
    lorac_model_close(m);
}

/* A device one of whose reads goes wrong: what is then written is not what memory holds. */
static long wrong_read = -1;

static void read_wrongly(struct lorac_device *d, void *host, const void *from, size_t bytes)
{
    lorac_backend_ref.read(d, host, from, bytes);
    if (wrong_read-- == 0) { ((float *)host)[0] += 1.0F; }
}

static void a_file_that_differs_from_the_sum_is_found(void **state)
{
    (void)state;
    const char *out = tiny_path("wrong");
    struct lorac_model *m = golden_model(&dev, "llama-patterns");
    struct lorac_adapter *a = load(m, "adapter");
    struct lorac_stack s = {1, {a}, {1.0F}};
    struct lorac_backend wrong = lorac_backend_ref;
    struct lorac_err err = {0};
    wrong.read = read_wrongly;
    dev.ops = &wrong;
    wrong_read = 0;
    enum lorac_status st = lorac_merge(out, m, &s, NULL, &err);
    dev.ops = &lorac_backend_ref;
    assert_int_equal(st, LORAC_EIO);
    assert_non_null(strstr(err.text, "down_proj.weight' reads back with other values"));
    assert_false(lorac_path_exists(out));
    lorac_adapter_free(a);
    lorac_model_close(m);
}

/* A check that opens what it is given, and then fails or not as `fails` says. */
struct inspection {
    const char *out;
    int calls;
    bool fails;
};

static enum lorac_status inspect(void *self, const char *folder, struct lorac_err *err)
{
    struct inspection *i = self;
    assert_false(lorac_path_exists(i->out));
    lorac_model_close(golden_model(&dev, folder));
    assert_non_null(strstr(folder, ".tmp-"));
    i->calls++;
    return i->fails ? lorac_fail(err, LORAC_EFORMAT, "no") : LORAC_OK;
}

static void a_folder_gets_its_name_once_it_passes_a_check(void **state)
{
    (void)state;
    char want[1200];
    const char *home = tiny_path("checked");
    char *out = lorac_path_join(home, "m");
    struct lorac_model *m = golden_model(&dev, "llama-sharded");
    struct lorac_adapter *a = load(m, "adapter");
    struct lorac_stack s = {1, {a}, {1.0F}};
    struct inspection i = {.out = out, .fails = true};
    const struct lorac_merge_options o = {.check = inspect, .self = &i};
    struct lorac_err err = {0};
    (void)snprintf(want, sizeof want, "%s: is not made: no", out);
    assert_int_equal(lorac_dir_make(home, NULL), LORAC_OK);
    assert_int_equal(lorac_merge(out, m, &s, &o, &err), LORAC_EFORMAT);
    assert_string_equal(err.text, want);
    assert_int_equal(i.calls, 1);
    assert_true(lorac_dir_is_empty(home));
    i.fails = false;
    assert_int_equal(lorac_merge(out, m, &s, &o, &err), LORAC_OK);
    assert_int_equal(i.calls, 2);
    expect_merged(out, m, &s, 14);
    lorac_adapter_free(a);
    lorac_model_close(m);
    lorac_mem_free(out);
}

/* Ends at the call of this number. */
struct watch {
    int calls, last;
    double done;
};

static bool watch(void *self, double done)
{
    struct watch *w = self;
    assert_true(done >= w->done && done < 1.0);
    w->done = done;
    return ++w->calls < w->last;
}

static void whoever_watches_may_end_it_and_nothing_is_left(void **state)
{
    (void)state;
    const char *home = tiny_path("watched");
    char *out = lorac_path_join(home, "m");
    struct lorac_model *m = golden_model(&dev, "llama-sharded");
    struct lorac_adapter *a = load(m, "adapter");
    struct lorac_stack s = {1, {a}, {1.0F}};
    assert_int_equal(lorac_dir_make(home, NULL), LORAC_OK);
    int tensors = (int)lorac_checkpoint_count(m->files);
    for (int last = 1; last <= 2 * tensors; last += tensors / 2) {
        struct watch w = {.last = last};
        const struct lorac_merge_options o = {.progress = watch, .self = &w};
        struct lorac_err err = {0};
        assert_int_equal(lorac_merge(out, m, &s, &o, &err), LORAC_ESTOP);
        assert_string_equal(err.text, "stopped: nothing is left of the merged model");
        assert_int_equal(w.calls, last);
        assert_true(lorac_dir_is_empty(home));
    }
    struct watch w = {.last = 2 * tensors + 1};
    const struct lorac_merge_options o = {.progress = watch, .self = &w};
    assert_int_equal(lorac_merge(out, m, &s, &o, NULL), LORAC_OK);
    assert_int_equal(w.calls, 2 * tensors);
    lorac_adapter_free(a);
    lorac_model_close(m);
    lorac_mem_free(out);
}

/* Of a tensor at a time: its values and what is added to them. */
static void the_bytes_that_merging_takes_are_those_of_the_largest_tensor(void **state)
{
    (void)state;
    struct lorac_model *m = golden_model(&dev, "llama-patterns");
    struct lorac_adapter *a = load(m, "adapter");
    struct lorac_stack s = {1, {a}, {1.0F}};
    size_t largest = 0;
    for (size_t i = 0; i < lorac_checkpoint_count(m->files); i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(m->files, i);
        largest = t->n > largest ? t->n : largest;
    }
    const size_t bytes = lorac_merge_bytes(m, &s);
    assert_true(bytes >= 2 * largest * sizeof(float) && bytes <= 6 * largest * sizeof(float));
    lorac_adapter_free(a);
    lorac_model_close(m);
}

static void eight_adapters_are_merged(void **state)
{
    (void)state;
    struct lorac_model *m = golden_model(&dev, "llama-patterns");
    struct lorac_adapter *a = load(m, "adapter");
    struct lorac_stack s = {.n = LORAC_MAX_STACK};
    struct lorac_err err = {0};
    char *out = lorac_path_join(tiny_dir(), "eight");
    for (size_t i = 0; i < LORAC_MAX_STACK; i++) {
        s.adapter[i] = a;
        s.factor[i] = 0.125F * (float)(i % 3); // 7 of 8 in all
    }
    if (lorac_merge(out, m, &s, NULL, &err)) { fail_msg("%s", err.text); }
    expect_merged(out, m, &s, 2);
    lorac_adapter_free(a);
    lorac_model_close(m);
    lorac_mem_free(out);
}

struct merging {
    const char *out;
    struct lorac_model *m;
    const struct lorac_stack *s;
};

static enum lorac_status go(void *self, struct lorac_err *err)
{
    const struct merging *x = self;
    return lorac_merge(x->out, x->m, x->s, NULL, err);
}

static void merged(void *self)
{
    const struct merging *x = self;
    expect_merged(x->out, x->m, x->s, 2);
}

static void whatever_fails_or_is_wrong_nothing_is_left(void **state)
{
    (void)state;
    struct lorac_model *m = golden_model(&dev, "llama-patterns");
    struct lorac_adapter *a = load(m, "adapter");
    struct lorac_stack s = {1, {a}, {1.0F}};
    char *home = lorac_path_join(tiny_dir(), "fault");
    char *out = lorac_path_join(home, "m");
    struct merging x = {out, m, &s};
    faults_meet_folder(&(struct faults_folder){home, out, go, merged, &x, 137});
    faults_wrong_bytes(&(struct faults_folder){home, out, go, merged, &x, 499});
    lorac_adapter_free(a);
    lorac_model_close(m);
    lorac_mem_free(home);
    lorac_mem_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_adapter_merges_into_every_kind_of_checkpoint),
        cmocka_unit_test(a_matrix_of_several_panels_merges_row_by_row),
        cmocka_unit_test(several_adapters_add_up_with_their_factors),
        cmocka_unit_test(shards_index_and_other_files_stay_as_they_are),
        cmocka_unit_test(what_cannot_be_merged_is_refused),
        cmocka_unit_test(a_file_that_differs_from_the_sum_is_found),
        cmocka_unit_test(a_folder_gets_its_name_once_it_passes_a_check),
        cmocka_unit_test(whoever_watches_may_end_it_and_nothing_is_left),
        cmocka_unit_test(the_bytes_that_merging_takes_are_those_of_the_largest_tensor),
        cmocka_unit_test(eight_adapters_are_merged),
        cmocka_unit_test(whatever_fails_or_is_wrong_nothing_is_left),
    };
    if (lorac_device_open(&dev, "ref", 1, NULL)) { return 1; }
    int failed = cmocka_run_group_tests(tests, NULL, tiny_remove);
    lorac_device_close(&dev);
    return failed;
}
