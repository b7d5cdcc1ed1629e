/*
 * YAML to nodes. What is promised:
 *   - scalars are text as written, with line and column; quotes are remembered;
 *   - order is kept; limits hold: depth 16, 10,000 nodes; a file over 1 MiB is refused;
 *   - every failing allocation is reported and nothing leaks.
 */
#include "recipes/language/yaml.h"

#include "base/core/buf.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct lorac_source source = {.name = "y", .folder = "/"};

struct parsed {
    struct lorac_arena *arena;
    struct lorac_node *root;
    struct lorac_recipe_errors errors;
    bool broken;
};

static enum lorac_status parse(struct parsed *p, const char *text, size_t n, struct lorac_err *err)
{
    *p = (struct parsed){.arena = lorac_arena_new()};
    if (!p->arena) { return lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    return lorac_yaml_parse(&p->root, &p->broken, text, n, &source, p->arena, &p->errors, err);
}

static void release(struct parsed *p)
{
    lorac_recipe_errors_free(&p->errors);
    lorac_arena_free(p->arena);
}

static void scalars_are_text_with_a_place(void **state)
{
    (void)state;
    const char text[] = "a: 1e-5\nb:\n  - no\n  - 'null'\n  - 007\nc: {d: 1.10, e: \"x\\ty\"}\n";
    struct parsed p;
    assert_int_equal(parse(&p, text, strlen(text), NULL), LORAC_OK);
    assert_int_equal(p.errors.n, 0);
    const struct lorac_node *a = lorac_node_find(p.root, "a");
    assert_string_equal(a->text, "1e-5");
    assert_int_equal(a->line, 1);
    assert_int_equal(a->column, 4);
    assert_true(a->plain);
    const struct lorac_node *b = a->next;
    assert_string_equal(b->key, "b");
    assert_int_equal(b->key_line, 2);
    assert_string_equal(b->first->text, "no");
    assert_string_equal(b->first->next->text, "null");
    assert_false(lorac_node_is_null(b->first->next));
    assert_string_equal(b->first->next->next->text, "007");
    assert_int_equal(b->first->next->next->line, 5);
    const struct lorac_node *c = lorac_node_find(p.root, "c");
    assert_string_equal(lorac_node_find(c, "d")->text, "1.10");
    assert_string_equal(lorac_node_find(c, "e")->text, "x\ty");
    assert_null(lorac_node_find(c, "f"));
    release(&p);
}

static void an_empty_document_is_an_empty_map(void **state)
{
    (void)state;
    const char *const texts[] = {"", "\n", "# only a comment\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct parsed p;
        assert_int_equal(parse(&p, texts[i], strlen(texts[i]), NULL), LORAC_OK);
        assert_int_equal(p.root->kind, LORAC_NODE_MAP);
        assert_null(p.root->first);
        assert_false(p.broken);
        release(&p);
    }
}

static void only_plain_null_words_are_null(void **state)
{
    (void)state;
    const bool want[] = {true, true, false, false, false, false, false, false};
    struct parsed p;
    const char valid[] = "[null, ~, 'null', '', \"~\", Null, NULL, none]";
    assert_int_equal(parse(&p, valid, strlen(valid), NULL), LORAC_OK);
    const struct lorac_node *n = p.root->first;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++, n = n->next) {
        assert_int_equal(lorac_node_is_null(n), want[i]);
    }
    assert_null(n);
    release(&p);
}

static void nesting_over_16_is_refused(void **state)
{
    (void)state;
    for (size_t depth = 15; depth <= 18; depth++) {
        struct lorac_buf text = {0};
        for (size_t i = 0; i < depth; i++) {
            lorac_buf_str(&text, "[");
        }
        for (size_t i = 0; i < depth; i++) {
            lorac_buf_str(&text, "]");
        }
        struct parsed p;
        assert_int_equal(parse(&p, text.at, text.n, NULL), LORAC_OK);
        assert_int_equal(p.errors.n, depth > LORAC_YAML_MAX_DEPTH);
        assert_int_equal(p.broken, depth > LORAC_YAML_MAX_DEPTH);
        release(&p);
        lorac_buf_free(&text);
    }
}

static void more_than_ten_thousand_values_are_refused(void **state)
{
    (void)state;
    for (size_t n = LORAC_YAML_MAX_NODES - 1; n <= LORAC_YAML_MAX_NODES; n++) { // and the list
        struct lorac_buf text = {0};
        for (size_t i = 0; i < n; i++) {
            lorac_buf_str(&text, "- x\n");
        }
        struct parsed p;
        assert_int_equal(parse(&p, text.at, text.n, NULL), LORAC_OK);
        assert_int_equal(p.errors.n, n == LORAC_YAML_MAX_NODES);
        if (p.errors.n) {
            assert_string_equal(p.errors.at[0].text,
                                "y:10000:3: more than 10000 values, this is no recipe");
        }
        release(&p);
        lorac_buf_free(&text);
    }
}

static void a_recipe_over_one_mebibyte_is_refused(void **state)
{
    (void)state;
    static char text[LORAC_RECIPE_MAX_BYTES + 1];
    memset(text, '\n', sizeof text);
    struct lorac_recipe *recipe = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_recipe_parse(&recipe, text, sizeof text, "y", NULL, NULL, 0, NULL, &err),
                     LORAC_EUSER);
    assert_string_equal(err.text, "y: holds 1048577 bytes, at most 1048576 are read");
}

static void every_failing_allocation_is_reported(void **state)
{
    (void)state;
    const char text[] = "a: [1, 2, {b: c}]\na: 3\nd: *x\n";
    long failures[N_FAULTS] = {0};
    for (enum faults_kind kind = FAULTS_MEMORY; kind < N_FAULTS; kind++) {
        for (long n = 0;; n++) {
            struct parsed p;
            struct lorac_err err = {0};
            faults_start(kind, n);
            enum lorac_status st = parse(&p, text, strlen(text), &err);
            const bool met = faults_stop();
            release(&p);
            if (!met) { break; }
            assert_int_equal(st, LORAC_ENOMEM);
            assert_non_null(strstr(err.text, "no memory"));
            failures[kind]++;
        }
    }
    assert_int_equal(failures[FAULTS_MEMORY], 5); // arena, its block, list of errors, two messages
    print_message("%ld allocations of libyaml failed\n", failures[FAULTS_FOREIGN]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_are_text_with_a_place),
        cmocka_unit_test(an_empty_document_is_an_empty_map),
        cmocka_unit_test(only_plain_null_words_are_null),
        cmocka_unit_test(nesting_over_16_is_refused),
        cmocka_unit_test(more_than_ten_thousand_values_are_refused),
        cmocka_unit_test(a_recipe_over_one_mebibyte_is_refused),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}
