/*
 * JSON with places in its messages. What is promised: damaged text, duplicate keys and wrong types
 * are refused with file, key, found and expected; an absent optional key keeps its default; without
 * memory reading and writing fail as that, whatever token it misses; a program's own allocator for
 * jansson is respected.
 */
#include "base/core/json.h"

#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
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

static void a_nul_byte_is_no_json(void **state)
{
    (void)state;
    static const char text[] = "[1,\n 2\0]"; // jansson alone reads 1 and 2
    struct lorac_json root;
    struct lorac_err err = {0};
    assert_int_equal(lorac_json_parse(&root, text, sizeof text - 1, "F", &err), LORAC_EFORMAT);
    assert_string_equal(err.text, "F:2: not valid JSON: a NUL byte");
    assert_null(root.value);
}

/* Tokens of every length, so that each of them once is what the lexer's buffer grows at: with the
 * quote of a string it would lose its end, with a digit a number's value. */
static void without_memory_nothing_is_read(void **state)
{
    (void)state;
    for (size_t len = 1; len < 140; len++) {
        char text[320] = "[1, {\"a\": \"";
        size_t n = strlen(text);
        memset(text + n, 'x', len);
        strcpy(text + n + len, "\"}, ");
        n += len + 4;
        memset(text + n, '1', len % 18 + 1);
        strcpy(text + n + len % 18 + 1, "]");
        bool met = true;
        for (long i = 0; met; i++) {
            struct lorac_json root;
            struct lorac_err err = {0};
            faults_start(FAULTS_FOREIGN, i);
            enum lorac_status st = lorac_json_parse(&root, text, strlen(text), "F", &err);
            met = faults_stop();
            assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
            if (met) { assert_string_equal(err.text, "F: no memory to read it"); }
            lorac_json_free(&root);
        }
    }
}

static void without_memory_nothing_is_written(void **state)
{
    (void)state;
    struct lorac_json root = parse("{\"b\":[1,2,{\"c\":null}],\"a\":1e9}");
    for (enum faults_kind kind = FAULTS_MEMORY; kind < N_FAULTS; kind++) {
        bool met = true;
        long n = 0;
        for (; met; n++) {
            struct lorac_buf b = {0};
            faults_start(kind, n);
            lorac_json_text(&b, root.value, JSON_SORT_KEYS | JSON_COMPACT);
            met = faults_stop();
            assert_int_equal(b.no_memory, met);
            if (!met) {
                assert_string_equal(b.at, "{\"a\":1000000000.0,\"b\":[1,2,{\"c\":null}]}");
            }
            lorac_buf_free(&b);
        }
        assert_true(n > 2);
    }
    lorac_json_free(&root);
}

static void *before_take(size_t n) // free() would not know what this gives
{
    char *p = malloc(n + 16);
    return p ? p + 16 : NULL;
}

static void before_give(void *p)
{
    if (p) { free((char *)p - 16); }
}

static void a_program_may_have_another_allocator(void **state)
{
    (void)state;
    json_malloc_t take = NULL;
    json_free_t give = NULL;
    json_get_alloc_funcs(&take, &give);
    json_set_alloc_funcs(before_take, before_give);
    struct lorac_json root = parse("{\"n\":[1,2]}");
    struct lorac_err err = {0};
    size_t n = 0;
    assert_int_equal(lorac_json_size(&n, &root, "n", true, 1, 9, &err), LORAC_EFORMAT);
    assert_string_equal(err.text,
                        "config.json: 'n' must be a whole number from 1 to 9, found [1,2]");
    lorac_json_free(&root);
    json_set_alloc_funcs(take, give);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_text_is_refused),
        cmocka_unit_test(wrong_types_name_key_found_and_expected),
        cmocka_unit_test(a_nul_byte_is_no_json),
        cmocka_unit_test(without_memory_nothing_is_read),
        cmocka_unit_test(without_memory_nothing_is_written),
        cmocka_unit_test(a_program_may_have_another_allocator),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
