/*
 * JSON with places in its messages. What is promised: damaged text, duplicate keys and wrong types
 * are refused with file, key, found and expected; an absent optional key keeps its default.
 */
#include "base/core/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct lorac_json parse(const char *text)
{
    struct lorac_json root;
    assert_int_equal(lorac_json_parse(&root, text, strlen(text), "config.json", NULL), LORAC_OK);
    return root;
}

static void damaged_text_is_refused(void **state)
{
    (void)state;
    const char *const bad[] = {"", "{", "{\"a\":1,\"a\":2}", "{} x", "{\"a\":\"\xff\"}", "[1,]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lorac_json root;
        struct lorac_err err = {0};
        assert_int_equal(lorac_json_parse(&root, bad[i], strlen(bad[i]), "config.json", &err),
                         LORAC_EFORMAT);
        assert_non_null(strstr(err.text, "config.json:1:"));
        assert_null(root.value);
    }
}

static void wrong_types_name_key_found_and_expected(void **state)
{
    (void)state;
    struct lorac_json root = parse("{\"rope\":{\"factor\":\"8\",\"n\":-1,\"null\":null}}");
    struct lorac_json rope = lorac_json_get(&root, "rope");
    struct lorac_err err = {0};
    double number = 3.0;
    size_t n = 5;
    assert_int_equal(lorac_json_number(&number, &rope, "factor", true, &err), LORAC_EFORMAT);
    assert_string_equal(err.text, "config.json: 'rope.factor' must be a number, found \"8\"");
    assert_int_equal(lorac_json_size(&n, &rope, "n", true, 1, 9, &err), LORAC_EFORMAT);
    assert_string_equal(err.text,
                        "config.json: 'rope.n' must be a whole number from 1 to 9, found -1");
    assert_int_equal(lorac_json_size(&n, &rope, "null", true, 1, 9, &err), LORAC_EFORMAT);
    assert_non_null(strstr(err.text, "'rope.null' is missing"));
    assert_int_equal(lorac_json_size(&n, &rope, "absent", false, 1, 9, &err), LORAC_OK);
    assert_int_equal(n, 5);
    lorac_json_free(&root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_text_is_refused),
        cmocka_unit_test(wrong_types_name_key_found_and_expected),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
