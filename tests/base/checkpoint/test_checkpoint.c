/*
 * Checkpoints and their fingerprint. What is promised:
 *   - a file, a folder and an index open; with an index, tensors and files agree both ways;
 *   - whichever allocation or system call fails, opening reports it and leaves nothing behind;
 *   - the fingerprint is the same for the same weights in one file or several, in any order, and
 *     differs when a name, shape, type, number of tensors, sampled byte or the configuration does;
 *   - the real files of the field open.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/fingerprint.h"
#include "tests/support/data.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static const float numbers[] = {1, 2, 3, 4, 5, 6, 7, 8};
static const struct lorac_tensor_spec specs[] = {
    {"norm", LORAC_F32, 1, {2}, numbers},
    {"head", LORAC_F32, 2, {2, 2}, numbers + 4},
    {"embed", LORAC_F16, 2, {2, 4}, numbers + 1},
    {"bias", LORAC_F32, 0, {0}, numbers + 7},
};
enum { N = 4, BYTES = 8 + 16 + 16 + 4 };

static void write_file(const char *folder, const char *name, const struct lorac_tensor_spec *t,
                       size_t n)
{
    char *path = lorac_path_join(folder, name);
    assert_int_equal(lorac_safetensors_write(path, t, n, NULL, 0, NULL, NULL, NULL), LORAC_OK);
    lorac_mem_free(path);
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char *path = lorac_path_join(folder, name);
    assert_int_equal(lorac_file_write(path, text, strlen(text), NULL), LORAC_OK);
    lorac_mem_free(path);
}

/* A folder with norm and head in the second file, embed and bias in the first; and the index. */
static const char *make_sharded(const char *name)
{
    const char *folder = tiny_path(name);
    assert_int_equal(lorac_dir_make(folder, NULL), LORAC_OK);
    write_file(folder, "model-00002-of-00002.safetensors", specs, 2);
    write_file(folder, "model-00001-of-00002.safetensors", specs + 2, 2);
    const char *const names[] = {"bias", "embed", "head", "norm"};
    const char *const files[] = {
        "model-00001-of-00002.safetensors", "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors", "model-00002-of-00002.safetensors"};
    char *index = lorac_path_join(folder, "model.safetensors.index.json");
    assert_int_equal(lorac_safetensors_index_write(index, names, files, N, BYTES, NULL), LORAC_OK);
    lorac_mem_free(index);
    return folder;
}

static void expect_all(const struct lorac_checkpoint *c)
{
    assert_int_equal(lorac_checkpoint_count(c), N);
    for (size_t i = 0; i < N; i++) {
        const struct lorac_tensor *t = lorac_checkpoint_find(c, specs[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, specs[i].dtype);
        assert_int_equal(t->n_dims, specs[i].n_dims);
        assert_memory_equal(t->data, specs[i].data, lorac_dtype_bytes(t->dtype, t->n));
    }
    assert_null(lorac_checkpoint_find(c, ""));
    assert_null(lorac_checkpoint_find(c, "hea"));
    assert_null(lorac_checkpoint_find(c, "zzz"));
}

static void a_file_a_folder_and_an_index_open(void **state)
{
    (void)state;
    const char *single = tiny_path("single");
    assert_int_equal(lorac_dir_make(single, NULL), LORAC_OK);
    write_file(single, "model.safetensors", specs, N);
    write_text(single, "model.safetensors.index.json", "not read: the single file is there");
    const char *sharded = make_sharded("sharded");
    const char *const paths[][2] = {{single, NULL},
                                    {single, "model.safetensors"},
                                    {sharded, NULL},
                                    {sharded, "model.safetensors.index.json"}};
    for (size_t i = 0; i < 4; i++) {
        char *path = lorac_path_join(paths[i][0], paths[i][1] ? paths[i][1] : "");
        struct lorac_checkpoint *c = NULL;
        struct lorac_err err = {0};
        if (lorac_checkpoint_open(&c, path, &err)) { fail_msg("%s", err.text); }
        expect_all(c);
        assert_int_equal(lorac_checkpoint_shards(c), i < 2 ? 1 : 2);
        if (i >= 2) { // files in the order of their names, tensors in that of the data
            assert_string_equal(lorac_checkpoint_at(c, 0)->name, "embed");
            assert_string_equal(lorac_checkpoint_at(c, 3)->name, "head");
            assert_int_equal(lorac_checkpoint_at(c, 3)->shard, 1);
            const char *file = lorac_checkpoint_shard_file(c, 1);
            assert_non_null(strstr(file, "sharded/model-00002-of-00002.safetensors"));
            assert_null(lorac_checkpoint_shard_file(c, 2));
        }
        lorac_checkpoint_close(c);
        lorac_mem_free(path);
    }
    lorac_checkpoint_close(NULL);
}

static void shards_that_transformers_wrote_open(void **state)
{
    (void)state;
    struct lorac_checkpoint *c = NULL;
    struct lorac_err err = {0};
    const char *path = LORAC_TESTS_DIR "/golden/models/llama-sharded";
    if (lorac_checkpoint_open(&c, path, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(lorac_checkpoint_shards(c), 3);
    assert_int_equal(lorac_checkpoint_count(c), 21);
    assert_non_null(lorac_checkpoint_find(c, "model.layers.1.self_attn.q_proj.weight"));
    lorac_checkpoint_close(c);
}

static void closing_unmaps_the_files(void **state)
{
    (void)state;
    const char *folder = make_sharded("unmapped");
    struct lorac_checkpoint *c = NULL;
    void *pages[2];
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(lorac_checkpoint_open(&c, folder, NULL), LORAC_OK);
    for (size_t i = 0; i < 2; i++) { // one tensor of each file
        uintptr_t at = (uintptr_t)lorac_checkpoint_at(c, 2 * i + 1)->data;
        pages[i] = (void *)(at - at % page); // NOLINT(performance-no-int-to-ptr): where it begins
        assert_int_equal(msync(pages[i], page, MS_ASYNC), 0);
    }
    lorac_checkpoint_close(c);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(msync(pages[i], page, MS_ASYNC), -1); // ENOMEM: not mapped
    }
}

static void the_index_looks_like_the_fields(void **state)
{
    (void)state;
    const char *folder = make_sharded("layout");
    char *path = lorac_path_join(folder, "model.safetensors.index.json");
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(lorac_file_read(&text, &n, path, 10000, NULL), LORAC_OK);
    assert_string_equal(text, "{\n  \"metadata\": {\n    \"total_size\": 44\n  },\n"
                              "  \"weight_map\": {\n"
                              "    \"bias\": \"model-00001-of-00002.safetensors\",\n"
                              "    \"embed\": \"model-00001-of-00002.safetensors\",\n"
                              "    \"head\": \"model-00002-of-00002.safetensors\",\n"
                              "    \"norm\": \"model-00002-of-00002.safetensors\"\n  }\n}\n");
    const char *const names[] = {"a", "a"};
    const char *const files[] = {"x.safetensors", "y.safetensors"};
    const char *const bad[] = {"../x.safetensors", "x.safetensors"};
    struct lorac_err err = {0};
    assert_int_equal(lorac_safetensors_index_write(path, names, files, 2, 8, &err), LORAC_EFORMAT);
    assert_non_null(strstr(err.text, "duplicate object key"));
    assert_int_equal(lorac_safetensors_index_write(path, names, bad, 1, 8, &err), LORAC_EFORMAT);
    assert_non_null(strstr(err.text, "plain name"));
    lorac_mem_free(text);
    lorac_mem_free(path);
}

#define A "\"a.safetensors\""
#define B "\"b.safetensors\""

static void an_index_that_disagrees_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *index, *message; // "@" in the message: the folder
    } cases[] = {
        {"", "@/i.json:1:0: not valid JSON: unexpected token near end of file"},
        {"[]", "@/i.json: must be a JSON object with \"weight_map\""},
        {"{}",
         "@/i.json: 'weight_map' is missing, an object from tensor to file name was expected"},
        {"{\"weight_map\":[]}",
         "@/i.json: 'weight_map' must be an object from tensor to file name, found []"},
        {"{\"weight_map\":{}}", "@/i.json: names 0 files, 1 to 10000 are accepted"},
        {"{\"weight_map\":{\"norm\":5}}", "@/i.json: 'weight_map.norm' must be text, found 5"},
        {"{\"weight_map\":{\"no\\trm\":" A "}}",
         "@/i.json: the tensor name 'no...' holds control character U+0009"},
        {"{\"weight_map\":{\"norm\":\"../x.safetensors\"}}",
         "@/i.json: 'weight_map.norm' must be the plain name of a .safetensors file, found "
         "\"../x.safetensors\""},
        {"{\"weight_map\":{\"norm\":\"/etc/x.safetensors\"}}",
         "@/i.json: 'weight_map.norm' must be the plain name of a .safetensors file, found "
         "\"/etc/x.safetensors\""},
        {"{\"weight_map\":{\"norm\":\"..\"}}",
         "@/i.json: 'weight_map.norm' must be the plain name of a .safetensors file, found \"..\""},
        {"{\"weight_map\":{\"norm\":\"\"}}",
         "@/i.json: 'weight_map.norm' must be the plain name of a .safetensors file, found \"\""},
        {"{\"weight_map\":{\"norm\":\"model.bin\"}}",
         "@/i.json: 'weight_map.norm' must be the plain name of a .safetensors file, found "
         "\"model.bin\""},
        {"{\"weight_map\":{\"norm\":\"c.safetensors\"}}",
         "@/i.json: names 1 files, of which 1 is missing: c.safetensors"},
        {"{\"weight_map\":{\"norm\":" A ",\"q\":\"6.safetensors\",\"r\":\"2.safetensors\",\"s\":"
         "\"3.safetensors\",\"t\":\"4.safetensors\",\"u\":\"5.safetensors\"}}",
         "@/i.json: names 6 files, of which 5 are missing: 2.safetensors, 3.safetensors, "
         "4.safetensors, 5.safetensors, ..."},
        {"{\"weight_map\":{\"norm\":" A ",\"head\":" A ",\"more\":" A ",\"embed\":" B ",\"bias\":" B
         "}}",
         "@/i.json: tensor 'more' should lie in a.safetensors, which lacks it"},
        {"{\"weight_map\":{\"norm\":" A ",\"embed\":" B ",\"bias\":" B "}}",
         "@/a.safetensors: holds tensor 'head', which @/i.json does not name"},
        {"{\"weight_map\":{\"norm\":" A ",\"head\":" B ",\"embed\":" B ",\"bias\":" B "}}",
         "@/a.safetensors: holds tensor 'head', which by @/i.json should lie in b.safetensors"},
        {"{\"weight_map\":{\"norm\":" A ",\"norm\":" A "}}",
         "@/i.json:1:44: not valid JSON: duplicate object key near '\"norm\"'"},
        // total_size says nothing that the files don't: writers count parameters, or a tied pair
        // twice
        {"{\"metadata\":{\"total_size\":43},\"weight_map\":{\"norm\":" A ",\"head\":" A
         ",\"embed\":" B ",\"bias\":" B "}}",
         NULL},
        {"{\"metadata\":{\"total_size\":\"44\"},\"weight_map\":{\"norm\":" A ",\"head\":" A
         ",\"embed\":" B ",\"bias\":" B "}}",
         NULL},
        {"{\"metadata\":{\"total_size\":44.0},\"weight_map\":{\"norm\":" A ",\"head\":" A
         ",\"embed\":" B ",\"bias\":" B "}}",
         NULL},
        {"{\"metadata\":null,\"weight_map\":{\"norm\":" A ",\"head\":" A ",\"embed\":" B
         ",\"bias\":" B "}}",
         NULL},
        {"{\"metadata\":{},\"weight_map\":{\"norm\":" A ",\"head\":" A ",\"embed\":" B
         ",\"bias\":" B "}}",
         NULL},
    };
    const char *folder = tiny_path("bad");
    char *path = lorac_path_join(folder, "i.json");
    assert_int_equal(lorac_dir_make(folder, NULL), LORAC_OK);
    write_file(folder, "a.safetensors", specs, 2);
    write_file(folder, "b.safetensors", specs + 2, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(folder, "i.json", cases[i].index);
        struct lorac_checkpoint *c = (void *)path; // must become NULL
        struct lorac_err err = {0};
        enum lorac_status st = lorac_checkpoint_open(&c, path, &err);
        char want[1000] = "";
        for (const char *p = cases[i].message ? cases[i].message : ""; *p; p++) {
            size_t n = strlen(want);
            snprintf(want + n, sizeof want - n, "%.*s", *p == '@' ? (int)strlen(folder) : 1,
                     *p == '@' ? folder : p);
        }
        assert_string_equal(err.text, want);
        assert_true(cases[i].message ? st != LORAC_OK && !c : st == LORAC_OK);
        lorac_checkpoint_close(c);
    }
    lorac_mem_free(path);
}

static void what_is_no_checkpoint_is_an_error(void **state)
{
    (void)state;
    const char *empty = tiny_path("empty");
    const char *missing = tiny_path("missing");
    struct lorac_checkpoint *c = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_dir_make(empty, NULL), LORAC_OK);
    assert_int_equal(lorac_checkpoint_open(&c, empty, &err), LORAC_EUSER);
    assert_non_null(strstr(
        err.text, "/empty: holds neither model.safetensors nor model.safetensors.index.json"));
    assert_int_equal(lorac_checkpoint_open(&c, missing, &err), LORAC_EIO);
    assert_non_null(strstr(err.text, "/missing: cannot open: No such file"));
    write_text(empty, "model.safetensors", "");
    assert_int_equal(lorac_checkpoint_open(&c, empty, &err), LORAC_EFORMAT);
    assert_non_null(strstr(err.text, "model.safetensors: has 0 bytes"));
    assert_null(c);
}

/* What lies in a folder in place of the weights, and words of the answer. */
static void what_is_there_in_place_of_weights_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *want;
    } cases[] = {
        {"pytorch_model.bin", "x",
         "pytorch_model.bin is a pickle, a program that is not run; in that"},
        {"pytorch_model-00001-of-00002.bin", "x", "M.from_pretrained('.', torch_dtype='auto')"},
        {"consolidated.00.pth", "x", "consolidated.00.pth is a pickle"},
        {"consolidated.safetensors", "x", "has Mistral's own names of tensors"},
        {"model-00001-of-00002.safetensors", "x", "download that, too"},
        {"model.fp16.safetensors", "x", "call it model.safetensors"},
        {"adapter_model.safetensors", "x", "is an adapter, not a model: give its base"},
        {"model-q4.gguf", "x", "model-q4.gguf is a GGUF file"},
        {"tf_model.h5", "x", "is of TensorFlow"},
        {"weights.npz", "x", "is of an old mlx"},
        {"0c7f.incomplete", "x", "is a download that was not finished"},
        {"model.safetensors", "PK\003\004 and what torch.save writes", "(a pickle in a zip"},
        {"model.safetensors", "GGUF\003 and so on", "(a GGUF file"},
        {"model.safetensors", "<!DOCTYPE html><html></html>", "(a page of the web"},
        {"model.safetensors", "{\"error\": \"not found\"}", "(JSON: no safetensors file"},
        {"model.safetensors",
         "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4096\n",
         "model.safetensors: is a Git LFS pointer, not the file that it stands for; `git lfs pull` "
         "in "
         "that folder fetches it"},
        {"model.safetensors.index.json",
         "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4096\n",
         "model.safetensors.index.json: is a Git LFS pointer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[20];
        (void)snprintf(name, sizeof name, "instead%zu", i);
        const char *folder = tiny_path(name);
        struct lorac_checkpoint *c = NULL;
        struct lorac_err err = {0};
        assert_int_equal(lorac_dir_make(folder, NULL), LORAC_OK);
        write_text(folder, cases[i].name, cases[i].text);
        assert_int_not_equal(lorac_checkpoint_open(&c, folder, &err), LORAC_OK);
        if (!strstr(err.text, cases[i].want)) { fail_msg("%s", err.text); }
        assert_non_null(strstr(err.text, folder));
    }
}

static void a_link_to_nothing_is_an_unfinished_download(void **state)
{
    (void)state;
    const char *folder = tiny_path("linked");
    char *path = lorac_path_join(folder, "model.safetensors");
    struct lorac_checkpoint *c = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_dir_make(folder, NULL), LORAC_OK);
    assert_int_equal(symlink("../../blobs/4d7a", path), 0);
    assert_int_equal(lorac_checkpoint_open(&c, folder, &err), LORAC_EIO);
    assert_non_null(strstr(err.text,
                           "linked/model.safetensors: is a link to ../../blobs/4d7a, which "
                           "is not there: a download that was not finished"));
    lorac_mem_free(path);
}

static void whatever_fails_while_opening_is_reported(void **state)
{
    (void)state;
    const char *folder = make_sharded("faults");
    char *index = lorac_path_join(folder, "new.index.json");
    int failures[N_FAULTS] = {0};
    for (enum faults_kind kind = FAULTS_CALLS; kind < N_FAULTS; kind++) {
        bool met = true;
        for (long n = 0; met; n = faults_next(n, kind == FAULTS_FOREIGN ? 37 : 1)) {
            struct lorac_err err = {0};
            struct lorac_checkpoint *c = NULL;
            char print[65];
            faults_start(kind, n);
            enum lorac_status st = lorac_checkpoint_open(&c, folder, &err);
            if (!st) { st = lorac_checkpoint_fingerprint(print, c, "", 0, &err); }
            met = faults_stop();
            if (!met) {
                expect_all(c);
            } else {
                assert_int_equal(st, faults_status(kind));
                assert_int_equal(err.code, st);
                assert_non_null(strstr(err.text, folder));
                failures[kind]++;
            }
            lorac_checkpoint_close(c);
        }
        const char *const names[] = {"a"};
        const char *const files[] = {"x.safetensors"};
        met = true;
        for (long n = 0; met; n = faults_next(n, kind == FAULTS_FOREIGN ? 37 : 1)) {
            faults_start(kind, n);
            enum lorac_status st = lorac_safetensors_index_write(index, names, files, 1, 4, NULL);
            met = faults_stop();
            assert_int_equal(st, met ? faults_status(kind) : LORAC_OK);
            failures[kind] += met;
        }
    }
    assert_true(failures[FAULTS_CALLS] >= 9 + 6);
    assert_true(failures[FAULTS_MEMORY] >= 20 && failures[FAULTS_FOREIGN] >= 20);
    lorac_mem_free(index);
}

/* The fingerprint */

static void a_fingerprint_without_memory_names_the_first_file(void **state)
{
    (void)state;
    struct lorac_checkpoint *c = NULL;
    struct lorac_err err = {0};
    char print[65];
    assert_int_equal(lorac_checkpoint_open(&c, make_sharded("named"), NULL), LORAC_OK);
    faults_start(FAULTS_MEMORY, 0);
    enum lorac_status st = lorac_checkpoint_fingerprint(print, c, "", 0, &err);
    assert_true(faults_stop());
    assert_int_equal(st, LORAC_ENOMEM);
    assert_non_null(
        strstr(err.text, "named/model-00001-of-00002.safetensors: no memory to take its"));
    lorac_checkpoint_close(c);
}

static void print_of(char out[65], const struct lorac_tensor_spec *t, size_t n, const char *config)
{
    const char *path = tiny_path("print.safetensors");
    struct lorac_checkpoint *c = NULL;
    write_file(tiny_dir(), "print.safetensors", t, n);
    assert_int_equal(lorac_checkpoint_open(&c, path, NULL), LORAC_OK);
    assert_int_equal(lorac_checkpoint_fingerprint(out, c, config, strlen(config), NULL), LORAC_OK);
    lorac_checkpoint_close(c);
}

static void the_fingerprint_is_of_weights_not_of_files(void **state)
{
    (void)state;
    char want[65];
    char got[65];
    print_of(want, specs, N, "config");
    assert_string_equal(
        want,
        "6620c33e7019143ba2f38280f9ee193ac9bbf35195f939a66e8d3b81b32929fb"); // from the picture in
                                                                             // fingerprint.h, with
                                                                             // Python's hashlib
    const struct lorac_tensor_spec turned[] = {specs[3], specs[0], specs[2], specs[1]};
    print_of(got, turned, N, "config");
    assert_string_equal(got, want);
    const char *folder = make_sharded("prints");
    struct lorac_checkpoint *c = NULL;
    assert_int_equal(lorac_checkpoint_open(&c, folder, NULL), LORAC_OK);
    assert_int_equal(lorac_checkpoint_fingerprint(got, c, "config", 6, NULL), LORAC_OK);
    assert_string_equal(got, want);
    lorac_checkpoint_close(c);
}

static void the_fingerprint_differs_when_the_model_does(void **state)
{
    (void)state;
    enum { CHANGES = 7 };
    char prints[CHANGES][65];
    struct lorac_tensor_spec t[N];
    float changed[8];
    memcpy(changed, numbers, sizeof changed);
    changed[7] = 9.0f;
    for (size_t i = 0; i < CHANGES; i++) {
        memcpy(t, specs, sizeof t);
        if (i == 1) { t[0].name = "norn"; }
        if (i == 2) { t[2].dtype = LORAC_BF16; }
        if (i == 3) {
            t[2].dims[0] = 4;
            t[2].dims[1] = 2;
        }
        if (i == 4) { t[3].data = changed + 7; }
        if (i == 5) {
            t[3].n_dims = 1;
            t[3].dims[0] = 1;
        }
        print_of(prints[i], t, i == 6 ? N - 1 : N, "config");
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(prints[i], prints[k]);
        }
    }
    char other[65];
    print_of(other, specs, N, "config2");
    assert_string_not_equal(other, prints[0]);
}

static void sixteen_pieces_of_a_large_tensor_are_seen(void **state)
{
    (void)state;
    enum { SIZE = 10007 * 4, LAST = SIZE - 64 };
    static unsigned char bytes[SIZE];
    const struct lorac_tensor_spec t = {"a", LORAC_F32, 1, {SIZE / 4}, bytes};
    char want[65];
    print_of(want, &t, 1, "");
    for (size_t k = 0; k < 16; k++) {
        size_t at = k * LAST / 15;
        const size_t edges[] = {at - 1, at, at + 63, at + 64};
        for (size_t i = 0; i < 4; i++) {
            if (edges[i] >= SIZE) { continue; } // before the first piece, after the last
            char got[65];
            bytes[edges[i]] = 1;
            print_of(got, &t, 1, "");
            bytes[edges[i]] = 0;
            bool seen = strcmp(got, want) != 0;
            assert_true(seen == (i == 1 || i == 2));
        }
    }
}

/* Real files */

static void the_files_of_the_field_open(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        size_t n;
        enum lorac_dtype dtype;
        const char *name;
        size_t dims[2];
    } files[] = {
        {"models/TinyStories-656K-bf16",
         20,
         LORAC_BF16,
         "model.layers.0.self_attn.v_proj.weight",
         {64, 128}},
        {"models/TinyStories-656K-f32",
         20,
         LORAC_F32,
         "model.layers.0.self_attn.v_proj.weight",
         {64, 128}},
        {"models/capp-gpt2", 52, LORAC_F32, "transformer.h.2.attn.c_proj.weight", {64, 64}},
        {"models/tiny-gpt2-cicd", 16, LORAC_F32, "transformer.h.0.mlp.c_proj.weight", {64, 16}},
        {"adapters/bert-base-lora/adapter_model.safetensors",
         50,
         LORAC_F32,
         "base_model.model.bert.encoder.layer.4.attention.self.query.lora_A.weight",
         {8, 768}},
        {"adapters/distilbert-imdb/adapter_model.safetensors",
         28,
         LORAC_F32,
         "base_model.model.distilbert.transformer.layer.3.attention.q_lin.lora_A.weight",
         {8, 768}},
        {"adapters/gpt2-cattn-causal/adapter_model.safetensors",
         24,
         LORAC_F32,
         "base_model.model.transformer.h.4.attn.c_attn.lora_A.weight",
         {8, 768}},
        {"adapters/gpt2-seqcls/adapter_model.safetensors",
         25,
         LORAC_F32,
         "base_model.model.transformer.h.3.attn.c_attn.lora_B.weight",
         {2304, 8}},
        {"adapters/opt-125m-dpo/adapter_model.safetensors",
         48,
         LORAC_BF16,
         "base_model.model.model.decoder.layers.4.self_attn.q_proj.lora_A.weight",
         {16, 768}},
        {"adapters/qwen2.5-0.5b-instruct-lora/adapter_model.safetensors",
         96,
         LORAC_F32,
         "base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight",
         {8, 896}},
        {"adapters/trl-kto-gpt2/adapter_model.safetensors",
         24,
         LORAC_F32,
         "base_model.model.transformer.h.4.attn.c_attn.lora_A.weight",
         {16, 768}},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = data_path(files[i].path);
        if (path) {
            struct lorac_checkpoint *c = NULL;
            struct lorac_err err = {0};
            if (lorac_checkpoint_open(&c, path, &err)) { fail_msg("%s", err.text); }
            assert_int_equal(lorac_checkpoint_count(c), files[i].n);
            for (size_t k = 0; k < files[i].n; k++) {
                assert_int_equal(lorac_checkpoint_at(c, k)->dtype, files[i].dtype);
            }
            const struct lorac_tensor *t = lorac_checkpoint_find(c, files[i].name);
            assert_non_null(t);
            assert_int_equal(t->n_dims, 2);
            assert_memory_equal(t->dims, files[i].dims, sizeof files[i].dims);
            assert_string_equal(lorac_checkpoint_metadata(c, "format"), "pt");
            lorac_checkpoint_close(c);
        }
        lorac_mem_free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_a_folder_and_an_index_open),
        cmocka_unit_test(shards_that_transformers_wrote_open),
        cmocka_unit_test(closing_unmaps_the_files),
        cmocka_unit_test(the_index_looks_like_the_fields),
        cmocka_unit_test(an_index_that_disagrees_is_refused),
        cmocka_unit_test(what_is_no_checkpoint_is_an_error),
        cmocka_unit_test(what_is_there_in_place_of_weights_is_named),
        cmocka_unit_test(a_link_to_nothing_is_an_unfinished_download),
        cmocka_unit_test(whatever_fails_while_opening_is_reported),
        cmocka_unit_test(a_fingerprint_without_memory_names_the_first_file),
        cmocka_unit_test(the_fingerprint_is_of_weights_not_of_files),
        cmocka_unit_test(the_fingerprint_differs_when_the_model_does),
        cmocka_unit_test(sixteen_pieces_of_a_large_tensor_are_seen),
        DATA_TEST(the_files_of_the_field_open),
    };
    return data_result(cmocka_run_group_tests_name("checkpoint", tests, NULL, tiny_remove));
}
