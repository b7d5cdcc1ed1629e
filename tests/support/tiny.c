/* tiny.c - see tiny.h. */
#include "tests/support/tiny.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/init.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

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
    struct lorac_err err = {0};
    if (lorac_dir_remove(dir, &err) || lorac_model_init(dir, config, &options, &err)) {
        fail_msg("%s", err.text);
    }
}

static char absolute[4096];
enum { ROOM = 1 << 30 }; // bytes

/* Whether there is room for the largest tests; a container may have 64 MB. */
static bool is_roomy(const char *folder)
{
    struct statvfs info;
    return statvfs(folder, &info) == 0 && info.f_bavail * info.f_frsize > ROOM;
}

const char *tiny_dir(void)
{
    if (!absolute[0]) {
        static char in_memory[] = "/dev/shm/lorac.XXXXXX"; // where fsync costs nothing
        static char here[] = "tiny.XXXXXX";
        char *whole = NULL;
        bool fits = is_roomy("/dev/shm") && mkdtemp(in_memory);
        const char *folder = fits ? in_memory : mkdtemp(here);
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

int tiny_remove(void **state)
{
    (void)state;
    if (absolute[0]) { assert_int_equal(lorac_dir_remove(absolute, NULL), LORAC_OK); }
    absolute[0] = '\0';
    return 0;
}

int tiny_model(void **state)
{
    (void)state;
    tiny_write(tiny_path("model"));
    return 0;
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

char *tiny_read_in(const char *folder, const char *name, size_t *n)
{
    char *path = lorac_path_join(folder, name);
    char *text = tiny_read(path, n);
    lorac_mem_free(path);
    return text;
}

void tiny_edit(const char *name, const char *was, const char *is)
{
    size_t n = 0;
    struct lorac_buf b = {0};
    char *text = tiny_read(tiny_path(name), &n);
    char *at = strstr(text, was);
    if (!at) { fail_msg("no %s in %s", was, text); }
    lorac_buf_add(&b, text, (size_t)(at - text));
    lorac_buf_str(&b, is);
    lorac_buf_str(&b, at + strlen(was));
    tiny_text(name, b.at);
    lorac_buf_free(&b);
    lorac_mem_free(text);
}

void tiny_spoil(void)
{
    const char *path = tiny_path("model/model.safetensors");
    size_t n = 0;
    char *bytes = tiny_read(path, &n);
    memset(bytes + n - 4, 0xff, 4);
    assert_int_equal(lorac_file_write(path, bytes, n, NULL), LORAC_OK);
    lorac_mem_free(bytes);
}
