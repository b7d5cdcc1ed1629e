/* tiny.c - see tiny.h. */
#include "tests/support/tiny.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/init.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 16, \"num_hidden_layers\": 2,\n"
    " \"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"intermediate_size\": 24,\n"
    " \"max_position_embeddings\": 512, \"rms_norm_eps\": 1e-5, \"rope_theta\": 1000.0,\n"
    " \"initializer_range\": 0.2}\n"; // what uniform numbers in -0.35 to 0.35 deviate

void tiny_write(const char *dir)
{
    static const struct lorac_init_options options = {
        .tokenizer = LORAC_TESTS_DIR "/datasets/data/bytes", .seed = 3};
    struct lorac_json root = {0};
    struct lorac_err err = {0};
    if (lorac_json_parse(&root, config, sizeof config - 1, "tiny", &err) ||
        lorac_dir_remove(dir, &err) || lorac_model_init(dir, &root, &options, &err)) {
        fail_msg("%s", err.text);
    }
    lorac_json_free(&root);
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
