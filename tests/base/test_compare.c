/*
 * How tensors and JSON files differ. What is promised: tensors that only one has, other shapes and
 * types are found; each element counts once, the largest difference is exact and the farthest
 * tensors come first; NaN and infinity are compared as values; JSON differs by key, sets regardless
 * of order, and long values are cut; a failed allocation is reported.
 */
#include "base/compare.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const float zeros[6] = {0.0F};
static const float ones[6] = {1.0F, 1.0F, 1.0F, 1.0F, 1.0F, 1.0F};
static const float near[6] = {1.0F, 1.0F, 1.25F, 1.0F, 1.0F, 0.5F};
static const unsigned short half_ones[6] = {0x3C00, 0x3C00, 0x3C00, 0x3C00, 0x3C00, 0x3C00};

#define VECTOR(NAME, TYPE, DATA)                                                  \
    {                                                                             \
        .name = (NAME), .dtype = (TYPE), .n_dims = 1, .dims = {6}, .data = (DATA) \
    }
#define MATRIX(NAME, ROWS, COLS, DATA)                                                        \
    {                                                                                         \
        .name = (NAME), .dtype = LORAC_F32, .n_dims = 2, .dims = {ROWS, COLS}, .data = (DATA) \
    }

static const struct lorac_tensor_spec first[] = {
    VECTOR("same", LORAC_F32, ones), VECTOR("near", LORAC_F32, ones),
    VECTOR("far", LORAC_F32, zeros), VECTOR("type", LORAC_F32, ones),
    MATRIX("shape", 2, 3, ones),     VECTOR("mine", LORAC_F32, ones),
};
static const struct lorac_tensor_spec second[] = {
    VECTOR("far", LORAC_F32, ones),   VECTOR("same", LORAC_F32, ones),
    VECTOR("near", LORAC_F32, near),  MATRIX("shape", 3, 2, ones),
    VECTOR("yours", LORAC_F32, ones), VECTOR("type", LORAC_F16, half_ones),
};

static struct lorac_checkpoint *open_specs(const struct lorac_tensor_spec *specs, size_t n)
{
    const char *path = tiny_path("specs.safetensors");
    struct lorac_checkpoint *c = NULL;
    struct lorac_err err = {0};
    if (lorac_safetensors_write(path, specs, n, NULL, 0, NULL, NULL, &err) ||
        lorac_checkpoint_open(&c, path, &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(lorac_file_remove(path, NULL), LORAC_OK); // stays mapped
    return c;
}

static void tensors_are_matched_by_name_and_the_farthest_come_first(void **state)
{
    (void)state;
    struct lorac_checkpoint *a = open_specs(first, 6);
    struct lorac_checkpoint *b = open_specs(second, 6);
    struct lorac_comparison c;
    assert_int_equal(lorac_checkpoint_compare(&c, a, b, NULL), LORAC_OK);
    assert_int_equal(c.compared, 5);
    assert_int_equal(c.only_a, 1);
    assert_int_equal(c.only_b, 1);
    assert_int_equal(c.shapes, 1);
    assert_int_equal(c.dtypes, 1);
    assert_int_equal(c.values, 2);
    assert_true(c.largest == 1.0);
    assert_int_equal(c.n, 6);
    assert_string_equal(c.at[0].a->name, "mine");
    assert_string_equal(c.at[1].b->name, "yours");
    assert_string_equal(c.at[2].a->name, "shape");
    assert_string_equal(c.at[3].a->name, "far");
    assert_int_equal(c.at[3].n, 6);
    assert_string_equal(c.at[4].a->name, "near");
    assert_true(c.at[4].largest == 0.5);
    assert_int_equal(c.at[4].n, 2);
    assert_string_equal(c.at[5].a->name, "type");
    assert_int_equal(c.at[5].n, 0); // the numbers are the same
    lorac_comparison_free(&c);
    lorac_checkpoint_close(a);
    lorac_checkpoint_close(b);
}

static void a_set_of_tensors_equals_itself(void **state)
{
    (void)state;
    struct lorac_checkpoint *a = open_specs(first, 6);
    struct lorac_comparison c;
    assert_int_equal(lorac_checkpoint_compare(&c, a, a, NULL), LORAC_OK);
    assert_int_equal(c.n, 0);
    assert_int_equal(c.compared, 6);
    lorac_comparison_free(&c);
    lorac_checkpoint_close(a);
}

static void nan_is_itself_and_far_from_numbers(void **state)
{
    (void)state;
    const float x[6] = {NAN, NAN, INFINITY, -0.0F, -INFINITY, 2.0F};
    const float y[6] = {-NAN, 1.0F, INFINITY, 0.0F, INFINITY, NAN};
    const struct lorac_tensor_spec p[] = {VECTOR("x", LORAC_F32, x)};
    const struct lorac_tensor_spec q[] = {VECTOR("x", LORAC_F32, y)};
    struct lorac_checkpoint *a = open_specs(p, 1);
    struct lorac_checkpoint *b = open_specs(q, 1);
    struct lorac_comparison c;
    assert_int_equal(lorac_checkpoint_compare(&c, a, b, NULL), LORAC_OK);
    assert_int_equal(c.n, 1);
    assert_int_equal(c.at[0].n, 3);
    assert_true(isinf(c.largest));
    lorac_comparison_free(&c);
    lorac_checkpoint_close(a);
    lorac_checkpoint_close(b);
}

enum { LONG = 2500 };

/* How many of LONG elements differ where those at `where` do, and all of the tensor behind them. */
static size_t differences(const size_t *where, size_t n, bool half)
{
    static float x[LONG];
    static float y[LONG];
    static unsigned short z[LONG];
    memset(y, 0, sizeof y);
    memset(z, 0, sizeof z);
    for (size_t i = 0; i < n; i++) {
        y[where[i]] = 1.0F;
        z[where[i]] = 0x3C00;
    }
    struct lorac_tensor_spec p[] = {
        {.name = "long", .dtype = LORAC_F32, .n_dims = 1, .dims = {LONG}, .data = x},
        VECTOR("next", LORAC_F32, zeros)};
    struct lorac_tensor_spec q[] = {
        {.name = "long", .dtype = LORAC_F32, .n_dims = 1, .dims = {LONG}, .data = y},
        VECTOR("next", LORAC_F32, ones)};
    if (half) {
        q[0].dtype = LORAC_F16;
        q[0].data = z;
    }
    struct lorac_checkpoint *a = open_specs(p, 2);
    struct lorac_checkpoint *b = open_specs(q, 2);
    struct lorac_comparison c;
    assert_int_equal(lorac_checkpoint_compare(&c, a, b, NULL), LORAC_OK);
    assert_int_equal(c.n, 2);
    assert_string_equal(c.at[0].a->name, "long"); // as far as "next": by name
    const size_t found = c.at[0].n;
    lorac_comparison_free(&c);
    lorac_checkpoint_close(a);
    lorac_checkpoint_close(b);
    return found;
}

static void each_element_of_a_long_tensor_is_compared_once(void **state)
{
    (void)state;
    const size_t where[] = {0, 1023, 1024, 1025, 2047, 2048, LONG - 1};
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(differences(&where[i], 1, false), 1);
        assert_int_equal(differences(&where[i], 1, true), 1);
    }
    assert_int_equal(differences(where, 7, false), 7);
    assert_int_equal(differences(where, 7, true), 7);
}

static void check_json(const char *x, const char *y, const char *lines)
{
    struct lorac_buf got = {0};
    tiny_text("a.json", x);
    tiny_text("b.json", y);
    assert_int_equal(lorac_json_compare(&got, tiny_path("a.json"), tiny_path("b.json"), NULL),
                     LORAC_OK);
    assert_string_equal(got.at ? got.at : "", lines);
    lorac_buf_free(&got);
}

static void json_differs_by_key(void **state)
{
    (void)state;
    check_json("{\"r\": 8, \"x\": {\"y\": 1, \"z\": null}, \"only\": [1]}",
               "{\"x\": {\"z\": null, \"y\": 2}, \"r\": 8, \"new\": \"\\u00e9\"}",
               "x.y: 1 -> 2\nonly: [1] -> absent\nnew: absent -> \"\\u00E9\"\n");
    check_json("{\"a\": 1}", "{\"a\": 1}", "");
    check_json("{\"a\": null}", "{}", "a: null -> absent\n");
    check_json("[1, 2]", "[2, 1]", ": [1,2] -> [2,1]\n");
}

static void long_values_are_cut(void **state)
{
    (void)state;
    char x[200];
    char want[300];
    for (int n = 117; n < 120; n++) {
        (void)snprintf(x, sizeof x, "{\"a\": \"%0*d\"}", n, 0);
        (void)snprintf(want, sizeof want, "a: absent -> \"%0*d%s\n", n < 119 ? n : 119, 0,
                       n < 119 ? "\"" : "...");
        check_json("{}", x, want);
    }
}

/* `depth` objects, one in the other, around a number; *path the names on the way. */
static void nest(struct lorac_buf *json, struct lorac_buf *path, int depth, int number)
{
    lorac_buf_clear(json);
    lorac_buf_clear(path);
    for (int i = 0; i < depth; i++) {
        lorac_buf_str(json, "{\"a\":");
        lorac_buf_str(path, i ? ".a" : "a");
    }
    lorac_buf_printf(json, "%d", number);
    for (int i = 0; i < depth; i++) {
        lorac_buf_str(json, "}");
    }
}

static void what_is_nested_deep_is_compared_as_a_whole(void **state)
{
    (void)state;
    struct lorac_buf x = {0};
    struct lorac_buf y = {0};
    struct lorac_buf path = {0};
    struct lorac_buf lines = {0};
    nest(&x, &path, 32, 1);
    nest(&y, &path, 32, 2);
    lorac_buf_printf(&lines, "%s: 1 -> 2\n", path.at);
    check_json(x.at, y.at, lines.at);
    lorac_buf_clear(&lines);
    lorac_buf_printf(&lines, "%s: {\"a\":1} -> {\"a\":2}\n", path.at);
    nest(&x, &path, 33, 1);
    nest(&y, &path, 33, 2);
    check_json(x.at, y.at, lines.at);
    lorac_buf_free(&x);
    lorac_buf_free(&y);
    lorac_buf_free(&path);
    lorac_buf_free(&lines);
}

static void sets_of_modules_differ_regardless_of_order(void **state)
{
    (void)state;
    check_json("{\"target_modules\": [\"q\", \"v\"]}", "{\"target_modules\": [\"v\", \"q\"]}", "");
    check_json("{\"target_modules\": [\"q\", \"v\"]}", "{\"target_modules\": [\"v\"]}",
               "target_modules: [\"q\",\"v\"] -> [\"v\"]\n");
    check_json("{\"target_modules\": [\"q\"]}", "{\"target_modules\": [\"v\", \"q\"]}",
               "target_modules: [\"q\"] -> [\"v\",\"q\"]\n");
    check_json("{\"layers\": [1, 2]}", "{\"layers\": [2, 1]}", "layers: [1,2] -> [2,1]\n");
}

static void a_missing_allocation_is_reported(void **state)
{
    (void)state;
    struct lorac_checkpoint *a = open_specs(first, 6);
    struct lorac_comparison c;
    struct lorac_err err = {0};
    faults_start(FAULTS_MEMORY, 0);
    assert_int_equal(lorac_checkpoint_compare(&c, a, a, &err), LORAC_ENOMEM);
    assert_true(faults_stop());
    assert_non_null(strstr(err.text, "no memory"));
    lorac_comparison_free(&c);
    lorac_checkpoint_close(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_matched_by_name_and_the_farthest_come_first),
        cmocka_unit_test(a_set_of_tensors_equals_itself),
        cmocka_unit_test(nan_is_itself_and_far_from_numbers),
        cmocka_unit_test(each_element_of_a_long_tensor_is_compared_once),
        cmocka_unit_test(json_differs_by_key),
        cmocka_unit_test(long_values_are_cut),
        cmocka_unit_test(what_is_nested_deep_is_compared_as_a_whole),
        cmocka_unit_test(sets_of_modules_differ_regardless_of_order),
        cmocka_unit_test(a_missing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, tiny_remove);
}
