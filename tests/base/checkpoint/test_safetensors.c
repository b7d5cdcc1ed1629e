/*
 * One safetensors file. What is promised:
 *   - what the reference implementation wrote is read, to the value;
 *   - what was written is read back equal, its bytes depend on the arguments only, its data starts
 *     at a multiple of 8, and whatever fails leaves no file;
 *   - damaged input is refused with a message that names file, place, found and expected.
 */
#include "base/checkpoint/safetensors_image.h"
#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_values(const struct lorac_tensor *t, const float *want)
{
    float got[64];
    assert_true(t->n <= 64);
    lorac_dtype_decode(got, t->data, t->dtype, t->n);
    for (size_t i = 0; i < t->n; i++) {
        bool same = got[i] == want[i] && !signbit(got[i]) == !signbit(want[i]);
        if (!same && !(isnan(got[i]) && isnan(want[i]))) {
            fail_msg("%s[%zu]: %g, expected %g", t->name, i, (double)got[i], (double)want[i]);
        }
    }
}

static void expect_tensor(const struct lorac_checkpoint *c, const char *name,
                          enum lorac_dtype dtype, const size_t *dims, size_t n_dims,
                          const float *want)
{
    const struct lorac_tensor *t = lorac_checkpoint_find(c, name);
    assert_non_null(t);
    assert_string_equal(t->name, name);
    assert_int_equal(t->dtype, dtype);
    assert_int_equal(t->n_dims, n_dims);
    for (size_t i = 0; i < n_dims; i++) {
        assert_int_equal(t->dims[i], dims[i]);
    }
    expect_values(t, want);
}

static void what_the_reference_wrote_is_read(void **state)
{
    (void)state;
    struct lorac_checkpoint *c = NULL;
    struct lorac_err err = {0};
    const char *path = LORAC_TESTS_DIR "/golden/safetensors/mixed.safetensors";
    if (lorac_checkpoint_open(&c, path, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(lorac_checkpoint_count(c), 8);
    assert_int_equal(lorac_checkpoint_shards(c), 1);
    assert_string_equal(lorac_checkpoint_shard_file(c, 0), path);
    assert_string_equal(lorac_checkpoint_metadata(c, "format"), "pt");
    assert_string_equal(lorac_checkpoint_metadata(c, "note"),
                        "made by make_safetensors.py\nsecond line");
    assert_null(lorac_checkpoint_metadata(c, "other"));
    assert_null(lorac_checkpoint_find(c, "other"));
    float ramp[24];
    for (size_t i = 0; i < 24; i++) {
        ramp[i] = ((float)i - 3.0f) / 4.0f;
    }
    const float special[] = {INFINITY, -INFINITY, NAN, -0.0f, 0x1p-24f, 65504.0f, 0x1p-14f};
    const float special_bf16[] = {INFINITY, -INFINITY, NAN, -0.0f, 0x1p-24f, 65536.0f, 0x1p-14f};
    const float scalar[] = {-0.75f};
    expect_tensor(c, "f32.matrix", LORAC_F32, (size_t[]){3, 5}, 2, ramp);
    expect_tensor(c, "f32.scalar", LORAC_F32, NULL, 0, scalar);
    expect_tensor(c, "f32.empty", LORAC_F32, (size_t[]){0, 7}, 2, NULL);
    expect_tensor(c, "f16.vector", LORAC_F16, (size_t[]){9}, 1, ramp);
    expect_tensor(c, "f16.special", LORAC_F16, (size_t[]){7}, 1, special);
    expect_tensor(c, "bf16.four", LORAC_BF16, (size_t[]){2, 3, 1, 4}, 4, ramp);
    expect_tensor(c, "bf16.special", LORAC_BF16, (size_t[]){7}, 1, special_bf16);
    expect_tensor(c, "name with spaces, \xc3\xa4 and \"quotes\"", LORAC_F32, (size_t[]){1}, 1,
                  ramp);
    lorac_checkpoint_close(c);
}

/* Writing */

static const float numbers[24] = {1.0f, -2.5f, 3.25f, 4.0f, 0.5f, 6.0f, [23] = 7.0f};
static const uint16_t halves[] = {0x3c00, 0x4000, 0xc200};

/* A tensor of every kind: scalar, empty, odd size (the next is unaligned), computed, odd name. */
static const struct lorac_tensor_spec specs[] = {
    {"b", LORAC_F32, 2, {2, 3}, numbers},
    {"scalar", LORAC_F32, 0, {0}, numbers + 1},
    {"h", LORAC_F16, 1, {3}, halves},
    {"empty", LORAC_BF16, 3, {2, 0, 3}, NULL},
    {"a \"quoted\\\" \xc3\xa4", LORAC_F32, 4, {4, 2, 1, 3}, NULL},
    {"computed, smaller", LORAC_F32, 1, {2}, NULL},
};
enum { N_SPECS = sizeof specs / sizeof *specs };
static const char *const meta[] = {"lorac", "line\n\"two\"", "z", ""};

/* Computes tensors 4 and 5; `self` counts the calls. */
static enum lorac_status fill_numbers(void *self, void *to, size_t i, struct lorac_err *err)
{
    (void)err;
    assert_true(i == 4 || i == 5);
    *(int *)self += 1;
    memcpy(to, numbers, i == 4 ? sizeof numbers : 2 * sizeof *numbers);
    return LORAC_OK;
}

static enum lorac_status fill_fails(void *self, void *to, size_t i, struct lorac_err *err)
{
    (void)self;
    (void)to;
    return lorac_fail(err, LORAC_EFORMAT, "tensor %zu cannot be computed", i);
}

static void expect_specs(const char *path)
{
    struct lorac_checkpoint *c = NULL;
    struct lorac_err err = {0};
    if (lorac_checkpoint_open(&c, path, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(lorac_checkpoint_count(c), N_SPECS);
    const float half_values[] = {1.0f, 2.0f, -3.0f};
    for (size_t i = 0; i < N_SPECS; i++) {
        const float *want = i == 1 ? numbers + 1 : i == 2 ? half_values : numbers;
        assert_string_equal(lorac_checkpoint_at(c, i)->name, specs[i].name); // the order given
        expect_tensor(c, specs[i].name, specs[i].dtype, specs[i].dims, specs[i].n_dims, want);
    }
    assert_string_equal(lorac_checkpoint_metadata(c, "format"), "pt");
    assert_string_equal(lorac_checkpoint_metadata(c, "lorac"), "line\n\"two\"");
    assert_string_equal(lorac_checkpoint_metadata(c, "z"), "");
    lorac_checkpoint_close(c);
}

static void what_is_written_is_read_back_and_depends_on_the_arguments_only(void **state)
{
    (void)state;
    const char *path = tiny_path("a.safetensors");
    char *text[2];
    size_t n[2];
    for (int i = 0; i < 2; i++) {
        int calls = 0;
        assert_int_equal(
            lorac_safetensors_write(path, specs, N_SPECS, meta, 2, fill_numbers, &calls, NULL),
            LORAC_OK);
        assert_int_equal(calls, 2);
        expect_specs(path);
        assert_int_equal(lorac_file_read(&text[i], &n[i], path, 10000, NULL), LORAC_OK);
    }
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(text[0], text[1], n[0]);
    static const char start[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"lorac\":\"line\\n\\\"two\\\"\","
        "\"z\":\"\"},\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],"
        "\"data_offsets\":[0,24]},";
    assert_memory_equal(text[0] + 8, start, sizeof start - 1);
    assert_int_equal((unsigned char)text[0][0] % 8, 0); // the low byte of the header's length
    lorac_mem_free(text[0]);
    lorac_mem_free(text[1]);
}

static void a_file_without_tensors_is_a_file(void **state)
{
    (void)state;
    const char *path = tiny_path("none.safetensors");
    struct lorac_checkpoint *c = NULL;
    assert_int_equal(lorac_safetensors_write(path, NULL, 0, NULL, 0, NULL, NULL, NULL), LORAC_OK);
    assert_int_equal(lorac_checkpoint_open(&c, path, NULL), LORAC_OK);
    assert_int_equal(lorac_checkpoint_count(c), 0);
    assert_null(lorac_checkpoint_find(c, "a"));
    assert_null(lorac_checkpoint_at(c, 0));
    lorac_checkpoint_close(c);
}

// clang-format off
#define FINE {"a", LORAC_F32, 0, {0}, numbers}
#define OTHER {"b", LORAC_F32, 0, {0}, numbers}
// clang-format on
static char long_name[300];
static const char *const twice[] = {"format", "tf"};
static const char *const latin1[] = {"note", "caf\xe9"};
static const struct unwritable {
    struct lorac_tensor_spec t[2];
    const char *const *meta;
    lorac_fill_fn *fill;
    const char *message;
} unwritable[] = {
    {{FINE, FINE}, NULL, NULL, "duplicate object key near '\"a\"'"},
    {{{"__metadata__", LORAC_F32, 0, {0}, numbers}, FINE}, NULL, NULL, "duplicate object key"},
    {{{long_name, LORAC_F32, 0, {0}, numbers}, FINE}, NULL, NULL, "has 299 bytes, at most 255"},
    {{{"a\n", LORAC_F32, 0, {0}, numbers}, OTHER}, NULL, NULL, "holds control character U+000A"},
    {{{"", LORAC_F32, 0, {0}, numbers}, OTHER}, NULL, NULL, "a tensor has an empty name"},
    {{{"a", LORAC_F32, 5, {1, 1, 1, 1}, numbers}, OTHER},
     NULL,
     NULL,
     "tensor 'a' has more than 4 dimensions"},
    {{{"a", LORAC_F32, 2, {SIZE_MAX, 2}, numbers}, OTHER},
     NULL,
     NULL,
     "more bytes than can be counted"},
    {{{"a", LORAC_F16, 1, {SIZE_MAX / 2}, halves}, {"b", LORAC_F32, 1, {4}, numbers}},
     NULL,
     NULL,
     "the tensors have more bytes than can be counted"},
    {{{"a", LORAC_F32, 0, {0}, NULL}, OTHER}, NULL, NULL, "a tensor comes without data"},
    {{{"a", LORAC_F32, 0, {0}, NULL}, OTHER}, NULL, fill_fails, "tensor 0 cannot be computed"},
    {{FINE, OTHER}, twice, NULL, "duplicate object key near '\"format\"'"},
    {{FINE, OTHER}, latin1, NULL, "unable to decode byte 0xe9"},
};

static void what_cannot_be_read_is_not_written(void **state)
{
    (void)state;
    memset(long_name, 'n', sizeof long_name - 1);
    const char *sub = tiny_path("refused");
    char *path = lorac_path_join(sub, "x.safetensors");
    assert_int_equal(lorac_dir_make(sub, NULL), LORAC_OK);
    for (size_t i = 0; i < sizeof unwritable / sizeof *unwritable; i++) {
        struct lorac_err err = {0};
        enum lorac_status st =
            lorac_safetensors_write(path, unwritable[i].t, 2, unwritable[i].meta,
                                    unwritable[i].meta ? 1 : 0, unwritable[i].fill, NULL, &err);
        assert_int_not_equal(st, LORAC_OK);
        if (!strstr(err.text, unwritable[i].message)) {
            fail_msg("case %zu: '%s', expected '%s'", i, err.text, unwritable[i].message);
        }
        assert_true(lorac_dir_is_empty(sub));
    }
    lorac_mem_free(path);
}

static void whatever_fails_leaves_the_old_file_or_the_new(void **state)
{
    (void)state;
    const char *sub = tiny_path("faults");
    char *path = lorac_path_join(sub, "x.safetensors");
    assert_int_equal(lorac_dir_make(sub, NULL), LORAC_OK);
    int failures[N_FAULTS] = {0};
    for (enum faults_kind kind = FAULTS_CALLS; kind < N_FAULTS; kind++) {
        for (long n = 0;; n = faults_next(n, kind == FAULTS_FOREIGN ? 37 : 1)) {
            struct lorac_err err = {0};
            int calls = 0;
            faults_start(kind, n);
            enum lorac_status st =
                lorac_safetensors_write(path, specs, N_SPECS, meta, 2, fill_numbers, &calls, &err);
            const bool met = faults_stop();
            char **names = NULL;
            assert_int_equal(lorac_dir_list(&names, sub, NULL), LORAC_OK);
            assert_true(!names[0] || !names[1]); // no temporary file
            if (names[0]) { expect_specs(path); }
            lorac_mem_free(names);
            if (!met) { break; }
            assert_int_equal(st, faults_status(kind));
            assert_non_null(strstr(err.text, sub));
            failures[kind]++;
        }
        expect_specs(path);
    }
    assert_true(failures[FAULTS_MEMORY] >= 7); // header, image (2), scratch, file (3), folder
    assert_true(failures[FAULTS_CALLS] >= 6);  // open, write, fsync, close, rename, folder
    lorac_mem_free(path);
}

/* Damaged input */

#define T(name, dtype, shape, offsets) \
    "\"" name "\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define NAME_250 N50 N50 N50 N50 N50
#define N50 "12345678901234567890123456789012345678901234567890"

static const struct damaged {
    const char *header;
    size_t n_data;
    const char *message; // after "x.safetensors"
} damaged[] = {
    {"", 0, ": the header must start with '{', found nothing, 0x00"},
    {"[]", 0, ": the header must start with '{', found byte 0x5b"},
    {" {}", 0, ": the header must start with '{', found byte 0x20"},
    {"null", 0, ": the header must start with '{', found byte 0x6e"},
    {"{", 0, ":1:1: not valid JSON: string or '}' expected near end of file"},
    {"{} x", 0, ":1:4: not valid JSON: end of file expected near 'x'"},
    {"{}\1", 0, ":1:3: not valid JSON: end of file expected near '\1'"},
    {"{\"a\\u0000b\":{}}", 0,
     ":1:11: not valid JSON: NUL byte in object key not supported near '\"a\\u0000b\"'"},
    {"{\"\xff\":{}}", 0, ":1:2: not valid JSON: unable to decode byte 0xff near '\"'"},
    {"{" T("a", "\"F32\"", "[1]", "[0,4]") "," T("a", "\"F32\"", "[1]", "[4,8]") "}", 8,
     ":1:57: not valid JSON: duplicate object key near '\"a\"'"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\"}}", 4,
     ":1:27: not valid JSON: duplicate object key near '\"dtype\"'"},
    {"{\"a\\nb\":{}}", 0, ": the tensor name 'a...' holds control character U+000A"},
    {"{\"a\\u007f\":{}}", 0, ": the tensor name 'a...' holds control character U+007F"},
    {"{\"a\\u009b\":{}}", 0, ": the tensor name 'a...' holds control character U+009B"},
    {"{\"\":{}}", 0, ": a tensor has an empty name"},
    {"{\"" NAME_250 "123456\":{}}", 0,
     ": the tensor name '123456789012345678901234567890123456789012345678901234567890...' has 256 "
     "bytes, at most 255 are accepted"},
    {"{\"a\":5}", 0, ": tensor 'a': its entry must be an object, found 5"},
    {"{\"a\":null}", 0, ": tensor 'a': its entry must be an object, found null"},
    {"{\"a\":{\"strides\":[1]}}", 0,
     ": tensor 'a': its entry must be of dtype, shape and data_offsets only, found "
     "{\"strides\":[1]}"},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, ": tensor 'a': dtype is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, ": tensor 'a': shape is missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, ": tensor 'a': data_offsets is missing"},
    {"{" T("a", "32", "[1]", "[0,4]") "}", 4, ": tensor 'a': dtype must be text, found 32"},
    {"{" T("a", "\"F64\"", "[1]", "[0,8]") "}", 8,
     ": tensor 'a': dtype must be F32, F16 or BF16, found \"F64\""},
    {"{" T("a", "\"F32\\u0000\"", "[1]", "[0,4]") "}", 4,
     ": tensor 'a': dtype must be F32, F16 or BF16, found \"F32\\u0000\""},
    {"{" T("a.qweight", "\"I32\"", "[1]", "[0,4]") "}", 4,
     ": tensor 'a.qweight': dtype must be F32, F16 or BF16, found \"I32\" (quantised by GPTQ or "
     "AWQ: "
     "take the model that it was made from)"},
    {"{" T("a.weight", "\"U8\"", "[4]", "[0,4]") "}", 4,
     ": tensor 'a.weight': dtype must be F32, F16 or BF16, found \"U8\" (quantised by "
     "bitsandbytes: "
     "take the model that it was made from)"},
    {"{" T("a.weight", "\"F8_E4M3\"", "[4]", "[0,4]") "}", 4,
     ": tensor 'a.weight': dtype must be F32, F16 or BF16, found \"F8_E4M3\" (quantised to 8-bit "
     "floats: "
     "take the model that it was made from)"},
    {"{" T("a", "\"F32\"", "4", "[0,4]") "}", 4, ": tensor 'a': shape must be a list, found 4"},
    {"{" T("a", "\"F32\"", "[1,1,1,1,1]", "[0,4]") "}", 4,
     ": tensor 'a': shape must be of at most 4 dimensions, found [1,1,1,1,1]"},
    {"{" T("a", "\"F32\"", "[-1]", "[0,4]") "}", 4,
     ": tensor 'a': shape must be a list of whole numbers, found [-1]"},
    {"{" T("a", "\"F32\"", "[1.0]", "[0,4]") "}", 4,
     ": tensor 'a': shape must be a list of whole numbers, found [1.0]"},
    {"{" T("a", "\"F32\"", "[\"1\"]", "[0,4]") "}", 4,
     ": tensor 'a': shape must be a list of whole numbers, found [\"1\"]"},
    {"{" T("a", "\"F32\"", "[18446744073709551617]", "[0,4]") "}", 4,
     ":1:49: not valid JSON: too big integer near '18446744073709551617'"},
    {"{" T("a", "\"F32\"", "[4294967296,4294967297]", "[0,4]") "}", 4, // 2^64 + 2^32 elements
     ": tensor 'a': shape must be small enough to count its bytes, found [4294967296,4294967297]"},
    {"{" T("a", "\"F32\"", "[4611686018427387905]", "[0,4]") "}", 4, // 2^62 + 1 elements: 4 bytes
     ": tensor 'a': shape must be small enough to count its bytes, found [4611686018427387905]"},
    {"{" T("a", "\"F32\"", "[1]", "4") "}", 4,
     ": tensor 'a': data_offsets must be two whole numbers, found 4"},
    {"{" T("a", "\"F32\"", "[1]", "[0,4,8]") "}", 4,
     ": tensor 'a': data_offsets must be two whole numbers, found [0,4,8]"},
    {"{" T("a", "\"F32\"", "[1]", "[-4,0]") "}", 4,
     ": tensor 'a': data_offsets must be two whole numbers, found [-4,0]"},
    {"{" T("a", "\"F32\"", "[1]", "[0,4.0]") "}", 4,
     ": tensor 'a': data_offsets must be two whole numbers, found [0,4.0]"},
    {"{" T("a", "\"F32\"", "[1]", "[4,0]") "}", 4,
     ": tensor 'a': data_offsets must be in rising order, found [4,0]"},
    {"{" T("a", "\"F32\"", "[2]", "[0,8]") "}", 4,
     ": tensor 'a' ends at byte 8 of the data, which has 4: is the file cut short, a download "
     "that was not finished?"},
    {"{" T("a", "\"F32\"", "[1]", "[9223372036854775803,9223372036854775807]") "}", 4,
     ": tensor 'a' ends at byte 9223372036854775807 of the data, which has 4: is the file cut "
     "short, a download that was not finished?"},
    {"{" T("a", "\"F32\"", "[3]", "[0,8]") "}", 8,
     ": tensor 'a' has 8 bytes of data, 3 elements of type F32 need 12"},
    {"{" T("a", "\"F16\"", "[]", "[0,4]") "}", 4,
     ": tensor 'a' has 4 bytes of data, 1 elements of type F16 need 2"},
    {"{" T("a", "\"F32\"", "[1]", "[4,8]") "}", 8,
     ": bytes 0 to 4 of the data, before tensor 'a', belong to no tensor"},
    {"{" T("b", "\"F32\"", "[1]", "[8,12]") "," T("a", "\"F32\"", "[1]", "[0,4]") "}", 12,
     ": bytes 4 to 8 of the data, before tensor 'b', belong to no tensor"},
    {"{" T("b", "\"F32\"", "[2]", "[2,10]") "," T("a", "\"F32\"", "[1]", "[0,4]") "}", 10,
     ": tensors 'a' and 'b' overlap"},
    {"{" T("a", "\"F32\"", "[1]", "[0,4]") "," T("b", "\"F32\"", "[1]", "[0,4]") "}", 4,
     ": tensors 'a' and 'b' overlap"},
    {"{" T("a", "\"F32\"", "[2]", "[0,8]") "," T("b", "\"F32\"", "[0]", "[4,4]") "}", 8,
     ": tensors 'a' and 'b' overlap"},
    {"{" T("a", "\"F32\"", "[1]", "[0,4]") "}", 7,
     ": the last 3 bytes of the data belong to no tensor"},
    {"{}", 1, ": the last 1 bytes of the data belong to no tensor"},
    {"{\"__metadata__\":3}", 0, ": '__metadata__' must be an object of texts, found 3"},
    {"{\"__metadata__\":{\"format\":1}}", 0, ": '__metadata__.format' must be text, found 1"},
    {"{\"__metadata__\":{\"a\":\"x\\u0000y\"}}", 0,
     ": '__metadata__.a' must be text, found \"x\\u0000y\""},
    {"{\"__metadata__\":{\"a\":{}}}", 0, ": '__metadata__.a' must be text, found {}"},
};

/* As the reference does. */
static void metadata_may_be_null(void **state)
{
    (void)state;
    static const char header[] = "{\"__metadata__\":null," T("a", "\"F32\"", "[1]", "[0,4]") "}";
    struct lorac_image image;
    struct lorac_err err = {0};
    static const unsigned char data[4];
    if (lorac_image_header(&image, header, sizeof header - 1, data, sizeof data, "x", &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(image.n, 1);
    assert_string_equal(image.tensors[0].name, "a");
    assert_null(image.metadata);
    lorac_image_free(&image);
}

/* As the reference does, which sorts by both offsets. */
static void empty_tensors_may_stand_anywhere_in_the_header(void **state)
{
    (void)state;
    static const char header[] =
        "{" T("a", "\"F32\"", "[1]", "[0,4]") "," T("z", "\"F16\"", "[0]", "[4,4]") "," //
        T("y", "\"F32\"", "[2,0]", "[0,0]") "," T("b", "\"F16\"", "[1]", "[4,6]") "}  \t\n";
    enum { SIZE = sizeof header - 1 };
    unsigned char bytes[8 + SIZE + 6] = {SIZE % 256, SIZE / 256};
    memcpy(bytes + 8, header, SIZE);
    struct lorac_checkpoint *c = NULL;
    struct lorac_err err = {0};
    if (lorac_checkpoint_parse(&c, bytes, sizeof bytes, "x", &err)) { fail_msg("%s", err.text); }
    const char *const order[] = {"y", "a", "z", "b"};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(lorac_checkpoint_at(c, i)->name, order[i]);
    }
    assert_ptr_equal(lorac_checkpoint_find(c, "b")->data, bytes + sizeof bytes - 2);
    lorac_checkpoint_close(c);
}

static void more_tensors_than_the_limit_are_refused(void **state)
{
    (void)state;
    enum { LIMIT = 1 << 18 };
    struct lorac_buf b = {0};
    lorac_buf_add(&b, "\0\0\0\0\0\0\0\0{", 9);
    for (int i = 0; i <= LIMIT; i++) {
        lorac_buf_printf(&b, "%s\"%d\":0", i ? "," : "", i);
    }
    lorac_buf_str(&b, "}");
    assert_false(b.no_memory);
    size_t n = b.n - 8;
    memcpy(b.at, &n, 8);
    struct lorac_checkpoint *c = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_checkpoint_parse(&c, (unsigned char *)b.at, b.n, "x", &err),
                     LORAC_EFORMAT);
    assert_string_equal(err.text, "x: holds 262145 tensors, at most 262144 are accepted");
    lorac_buf_free(&b);
}

static void expect_refused(const unsigned char *bytes, size_t n, const char *message)
{
    struct lorac_err err = {0};
    struct lorac_checkpoint *c = (void *)&err; // must become NULL
    char want[600];
    unsigned char *exact = malloc(n ? n : 1); // so that ASan sees one byte too far
    assert_non_null(exact);
    if (n) { memcpy(exact, bytes, n); }
    snprintf(want, sizeof want, "x.safetensors%s", message);
    assert_int_not_equal(lorac_checkpoint_parse(&c, exact, n, "x.safetensors", &err), LORAC_OK);
    assert_null(c);
    assert_string_equal(err.text, want);
    free(exact);
}

static void damaged_input_is_refused_with_place_found_and_expected(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        unsigned char bytes[1000] = {0};
        size_t n = strlen(damaged[i].header);
        assert_true(8 + n + damaged[i].n_data <= sizeof bytes);
        bytes[0] = (unsigned char)n;
        bytes[1] = (unsigned char)(n >> 8);
        memcpy(bytes + 8, damaged[i].header, n);
        expect_refused(bytes, 8 + n + damaged[i].n_data, damaged[i].message);
    }
}

static void a_length_is_not_believed(void **state)
{
    (void)state;
    static const struct {
        unsigned char bytes[10];
        size_t n;
        const char *message;
    } cases[] = {
        {{0}, 0, ": has 0 bytes, a safetensors file starts with a length of 8 bytes"},
        {{2}, 7, ": has 7 bytes, a safetensors file starts with a length of 8 bytes"},
        {{3, 0, 0, 0, 0, 0, 0, 0, '{', '}'},
         10,
         ": claims a header of 3 bytes, but 2 follow its length"},
        {{0x00, 0xe1, 0xf5, 0x05},
         10,
         ": claims a header of 100000000 bytes, but 2 follow its length"},
        {{0x01, 0xe1, 0xf5, 0x05},
         10,
         ": claims a header of 100000001 bytes, at most 100000000 are accepted (this is no "
         "safetensors file)"},
        {{255, 255, 255, 255, 255, 255, 255, 255},
         10,
         ": claims a header of 18446744073709551615 bytes, at most 100000000 are accepted (this is "
         "no safetensors file)"},
        {{248, 255, 255, 255, 255, 255, 255, 255},
         10, // + 8 is 0
         ": claims a header of 18446744073709551608 bytes, at most 100000000 are accepted (this is "
         "no safetensors file)"},
        {{0, 0, 0, 0, 0, 0, 0, 128, '{', '}'},
         10,
         ": claims a header of 9223372036854775808 bytes, at most 100000000 are accepted"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_refused(cases[i].bytes, cases[i].n, cases[i].message);
    }
    unsigned char kib[1024] = {0, 0, 0, 0x40}; // 1 GiB in 1 KiB
    expect_refused(kib, sizeof kib,
                   ": claims a header of 1073741824 bytes, at most 100000000 are accepted (this is "
                   "no safetensors file)");
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 60000 };
    static unsigned char bytes[8 + 5 + DEPTH] = {(5 + DEPTH) & 255, (5 + DEPTH) >> 8};
    memcpy(bytes + 8, "{\"a\":", 5);
    memset(bytes + 13, '[', DEPTH);
    struct lorac_checkpoint *c = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_checkpoint_parse(&c, bytes, sizeof bytes, "x", &err), LORAC_EFORMAT);
    assert_non_null(strstr(err.text, "not valid JSON: maximum parsing depth reached"));
}

static void every_cut_of_a_file_is_refused(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    const char *path = LORAC_TESTS_DIR "/golden/safetensors/mixed.safetensors";
    assert_int_equal(lorac_file_read(&text, &n, path, 20000, NULL), LORAC_OK);
    for (size_t cut = 0; cut < n; cut++) {
        struct lorac_checkpoint *c = NULL;
        assert_int_equal(lorac_checkpoint_parse(&c, (unsigned char *)text, cut, "x", NULL),
                         LORAC_EFORMAT);
        assert_null(c);
    }
    lorac_mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_reference_wrote_is_read),
        cmocka_unit_test(what_is_written_is_read_back_and_depends_on_the_arguments_only),
        cmocka_unit_test(a_file_without_tensors_is_a_file),
        cmocka_unit_test(what_cannot_be_read_is_not_written),
        cmocka_unit_test(whatever_fails_leaves_the_old_file_or_the_new),
        cmocka_unit_test(damaged_input_is_refused_with_place_found_and_expected),
        cmocka_unit_test(metadata_may_be_null),
        cmocka_unit_test(empty_tensors_may_stand_anywhere_in_the_header),
        cmocka_unit_test(more_tensors_than_the_limit_are_refused),
        cmocka_unit_test(a_length_is_not_believed),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(every_cut_of_a_file_is_refused),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, tiny_remove);
}
