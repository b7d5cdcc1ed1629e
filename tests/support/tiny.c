/* tiny.c - see tiny.h. */
#include "tests/support/tiny.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/safetensors.h"
#include "tests/support/near.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { C = 16, L = 2, H = 2, G = 1, D = 8, F = 24, V = 260, MAX_TENSORS = 3 + 9 * L };

static const char config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 16, \"num_hidden_layers\": 2,\n"
    " \"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"intermediate_size\": 24,\n"
    " \"vocab_size\": 260, \"max_position_embeddings\": 512, \"rms_norm_eps\": 1e-5,\n"
    " \"rope_theta\": 1000.0, \"tie_word_embeddings\": false, \"eos_token_id\": 257}\n";

struct tensors {
    struct lorac_tensor_spec spec[MAX_TENSORS];
    char name[MAX_TENSORS][96];
    size_t n;
};

/* One more tensor of random numbers around `middle`. */
static void add(struct tensors *t, const char *name, size_t rows, size_t cols, float middle)
{
    size_t n = rows * (cols ? cols : 1);
    float *x = lorac_mem_new(n, sizeof *x);
    fill(x, n, (unsigned)t->n + 1);
    for (size_t i = 0; i < n; i++) {
        x[i] = middle + x[i] * 0.35F;
    }
    (void)snprintf(t->name[t->n], sizeof t->name[t->n], "%s", name);
    t->spec[t->n] = (struct lorac_tensor_spec){.name = t->name[t->n],
                                               .dtype = LORAC_F32,
                                               .n_dims = cols ? 2 : 1,
                                               .dims = {rows, cols},
                                               .data = x};
    t->n++;
}

static void add_layer(struct tensors *t, size_t l)
{
    static const struct {
        const char *name;
        size_t rows, cols;
    } kinds[] = {
        {"self_attn.q_proj", H * D, C},
        {"self_attn.k_proj", G * D, C},
        {"self_attn.v_proj", G * D, C},
        {"self_attn.o_proj", C, H * D},
        {"mlp.gate_proj", F, C},
        {"mlp.up_proj", F, C},
        {"mlp.down_proj", C, F},
        {"input_layernorm", C, 0},
        {"post_attention_layernorm", C, 0},
    };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        char name[96];
        (void)snprintf(name, sizeof name, "model.layers.%zu.%s.weight", l, kinds[k].name);
        add(t, name, kinds[k].rows, kinds[k].cols, kinds[k].cols ? 0.0F : 1.0F);
    }
}

static void copy_tokenizer(const char *dir, const char *name)
{
    char *to = lorac_path_join(dir, name);
    char *from = lorac_path_join(LORAC_TESTS_DIR "/datasets/data/bytes", name);
    assert_int_equal(lorac_file_copy(to, from, NULL), LORAC_OK);
    lorac_mem_free(to);
    lorac_mem_free(from);
}

void tiny_write(const char *dir)
{
    struct tensors t = {.n = 0};
    struct lorac_err err = {0};
    assert_int_equal(lorac_dir_make(dir, NULL), LORAC_OK);
    add(&t, "model.embed_tokens.weight", V, C, 0.0F);
    add(&t, "lm_head.weight", V, C, 0.0F);
    add(&t, "model.norm.weight", C, 0, 1.0F);
    for (size_t l = 0; l < L; l++) {
        add_layer(&t, l);
    }
    char *weights = lorac_path_join(dir, "model.safetensors");
    char *json = lorac_path_join(dir, "config.json");
    if (lorac_safetensors_write(weights, t.spec, t.n, NULL, 0, NULL, NULL, &err) ||
        lorac_file_write(json, config, sizeof config - 1, &err)) {
        fail_msg("%s", err.text);
    }
    for (size_t i = 0; i < t.n; i++) {
        lorac_mem_free((void *)(uintptr_t)t.spec[i].data);
    }
    copy_tokenizer(dir, "tokenizer.json");
    copy_tokenizer(dir, "tokenizer_config.json");
    lorac_mem_free(weights);
    lorac_mem_free(json);
}

static char absolute[4096];

const char *tiny_dir(void)
{
    if (!absolute[0]) {
        static char in_memory[] = "/dev/shm/lorac.XXXXXX"; // where fsync costs nothing
        static char here[] = "tiny.XXXXXX";
        char *whole = NULL;
        const char *folder = mkdtemp(in_memory) ? in_memory : mkdtemp(here);
        assert_non_null(folder);
        assert_int_equal(lorac_path_absolute(&whole, folder, NULL), LORAC_OK);
        (void)snprintf(absolute, sizeof absolute, "%s", whole);
        lorac_mem_free(whole);
    }
    return absolute;
}

const char *tiny_path(const char *name)
{
    static char paths[16][4352];
    static unsigned turn;
    char *path = paths[turn++ % 16];
    (void)snprintf(path, sizeof paths[0], "%s/%.200s", tiny_dir(), name);
    return path;
}

void tiny_remove(void)
{
    if (absolute[0]) { assert_int_equal(lorac_dir_remove(absolute, NULL), LORAC_OK); }
    absolute[0] = '\0';
}

void tiny_text(const char *name, const char *text)
{
    assert_int_equal(lorac_file_write(tiny_path(name), text, strlen(text), NULL), LORAC_OK);
}

char *tiny_read(const char *path, size_t *n)
{
    char *text = NULL;
    struct lorac_err err = {0};
    if (lorac_file_read(&text, n, path, 64 << 20, &err)) { fail_msg("%s", err.text); }
    return text;
}
