/*
 * The table of keys for people and editors. What is promised: help, template and JSON Schema hold
 * every key; the template is a recipe; suggestions are the nearest key; missing memory is reported.
 */
#include "recipes/language/recipe.h"

#include "base/core/buf.h"
#include "base/core/json.h"
#include "lora/lora.h"
#include "recipes/language/schema.h"
#include "recipes/language/suggest.h"
#include "recipes/language/sweep_keys.h"
#include "tests/recipes/language/ten.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void the_template_is_a_recipe_once_its_gaps_are_filled(void **state)
{
    (void)state;
    const struct lorac_recipe_set sets[] = {
        {"model.path=/r/../base/models/small", false},
        {"data.train=/r/reviews.csv", false},
        {"template.prompt=\"Review: {text}\\nSentiment:\"", false},
        {"template.completion=' {label}'", false}};
    struct lorac_buf text = {0};
    struct lorac_buf diff = {0};
    lorac_recipe_template(&text);
    struct lorac_recipe *r = parse(text.at, sets, sizeof sets / sizeof *sets);
    struct lorac_recipe *ten = parse(TEN, NULL, 0);
    lorac_recipe_diff(&diff, r, ten);
    assert_int_equal(diff.n, 0);
    lorac_recipe_free(ten);
    lorac_recipe_free(r);
    for (size_t i = 0; i < lorac_n_keys; i++) {
        assert_non_null(strstr(text.at, lorac_keys[i].help));
    }
    lorac_buf_free(&diff);
    lorac_buf_free(&text);
}

/* The schema of a key: properties.adapter.properties.rank. */
static json_t *schema_of(json_t *root, const char *path)
{
    char name[128];
    json_t *at = root;
    for (const char *s = path; at && *s;) {
        size_t n = strcspn(s, ".");
        (void)snprintf(name, sizeof name, "%.*s", (int)n, s);
        at = json_object_get(json_object_get(at, "properties"), name);
        s += n + (s[n] == '.');
    }
    return at;
}

static void the_json_schema_holds_every_key(void **state)
{
    (void)state;
    struct lorac_buf text = {0};
    struct lorac_json root;
    struct lorac_err err = {0};
    lorac_recipe_schema_json(&text);
    if (lorac_json_parse(&root, text.at, text.n, "schema", &err)) { fail_msg("%s", err.text); }
    for (size_t i = 0; i < lorac_n_keys; i++) {
        json_t *key = schema_of(root.value, lorac_keys[i].path);
        assert_string_equal(json_string_value(json_object_get(key, "description")),
                            lorac_keys[i].help);
    }
    json_t *rank = schema_of(root.value, "adapter.rank");
    assert_int_equal(json_integer_value(json_object_get(rank, "maximum")), 4096);
    assert_int_equal(json_array_size(json_object_get(root.value, "required")), 3);
    assert_true(json_is_false(
        json_object_get(schema_of(root.value, "data.format"), "additionalProperties")));
    lorac_json_free(&root);
    lorac_buf_free(&text);
}

static void explain_shows_a_key_a_section_or_all(void **state)
{
    (void)state;
    struct lorac_buf text = {0};
    struct lorac_err err = {0};
    assert_int_equal(lorac_recipe_explain(&text, "data.duplicates", NULL), LORAC_OK);
    assert_string_equal(text.at, "data.duplicates: what to do with equal rows\n"
                                 "  values:  warn | keep | drop\n  default: warn\n");
    lorac_buf_clear(&text);
    assert_int_equal(lorac_recipe_explain(&text, "model.compute", NULL), LORAC_OK);
    assert_non_null(strstr(text.at, "\n  values:  float32 | bfloat16 | int8 | auto\n"));
    lorac_buf_clear(&text);
    assert_int_equal(lorac_recipe_explain(&text, "data.labels", NULL), LORAC_OK);
    assert_non_null(strstr(text.at, "data.labels.map: "));
    assert_null(strstr(text.at, "data.on_empty"));
    lorac_buf_clear(&text);
    assert_int_equal(lorac_recipe_explain(&text, NULL, NULL), LORAC_OK);
    for (size_t i = 0; i < lorac_n_keys; i++) {
        assert_non_null(strstr(text.at, lorac_keys[i].path));
    }
    const char *sweeps = strstr(text.at, "\nA sweep's file (lorac sweep) has keys of its own:\n");
    assert_non_null(sweeps);
    for (size_t i = 0; i < LORAC_SWEEP_KEYS; i++) {
        assert_non_null(strstr(sweeps, lorac_sweep_keys[i].help));
    }
    assert_int_equal(lorac_recipe_explain(&text, "adapter.rnak", &err), LORAC_EUSER);
    assert_string_equal(err.text, "adapter.rnak: unknown key (did you mean 'rank'?)");
    lorac_buf_free(&text);
}

static const char *objective_name(size_t i)
{
    return i < lorac_n_objectives ? lorac_objectives[i].name : NULL;
}

static void every_objective_is_explained(void **state)
{
    (void)state;
    struct lorac_buf text = {0};
    assert_int_equal(lorac_recipe_explain(&text, "objective.kind", NULL), LORAC_OK);
    for (size_t i = 0; objective_name(i); i++) {
        assert_non_null(strstr(text.at, objective_name(i)));
    }
    lorac_buf_free(&text);
}

static void what_a_table_holds_its_key_takes(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *(*row)(size_t i);
    } tables[] = {{"optimizer.name", lorac_optim_name},
                  {"optimizer.schedule", lorac_schedule_name},
                  {"eval.best", lorac_metric_name}};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        size_t n = 0;
        for (const char *name = NULL; (name = tables[t].row(n)); n++) {
            bool best = strcmp(tables[t].key, "eval.best") == 0;
            if (best && !(lorac_objectives[0].metrics >> n & 1U)) { continue; } // of a head
            char set[64];
            struct lorac_buf text = {0};
            (void)snprintf(set, sizeof set, "%s=%s", tables[t].key, name);
            struct lorac_recipe_set one = {set, false};
            struct lorac_recipe *r = parse(TEN, &one, 1);
            assert_int_equal(lorac_recipe_explain(&text, tables[t].key, NULL), LORAC_OK);
            assert_non_null(strstr(text.at, name));
            lorac_buf_clear(&text);
            lorac_recipe_resolved(&text, r);
            (void)snprintf(set, sizeof set, "%s: %s\n", lorac_key_last(tables[t].key), name);
            assert_non_null(strstr(text.at, set));
            lorac_buf_free(&text);
            lorac_recipe_free(r);
        }
        assert_true(n > 0);
    }
}

static void help_of_any_kind_reports_missing_memory(void **state)
{
    (void)state;
    for (int kind = 0; kind < 5; kind++) {
        long n = 0;
        for (;; n++) {
            struct lorac_buf text = {0};
            struct lorac_recipe *r = parse(TEN, NULL, 0);
            enum lorac_status st = LORAC_OK;
            faults_start(FAULTS_MEMORY, n);
            if (kind == 0) { lorac_recipe_template(&text); }
            if (kind == 1) { lorac_recipe_schema_json(&text); }
            if (kind == 2) { lorac_recipe_resolved(&text, r); }
            if (kind == 4) { lorac_recipe_diff(&text, r, r); }
            if (kind == 3) { st = lorac_recipe_explain(&text, NULL, NULL); }
            const bool met = faults_stop();
            assert_int_equal(text.no_memory, met);
            assert_int_equal(st, met && kind == 3 ? LORAC_ENOMEM : LORAC_OK);
            lorac_buf_free(&text);
            lorac_recipe_free(r);
            if (!met) { break; }
        }
        assert_true(n > 3);
    }
}

static void suggestions_know_typing_errors_and_other_trainers(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"adapter.lora_aplha", "alpha"},
        {"adapter.lora_alpha", "alpha"},
        {"adapter.r", "rank"},
        {"adapter.lr", "optimizer.lr"},
        {"optimiser", "optimizer"},
        {"optimizer.learning_rate", "lr"},
        {"learning_rate", "optimizer.lr"},
        {"data.formt", "format"},
        {"epoch", "train.epochs"},
        {"adapter.zzzzzz", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[64];
        const char *found = lorac_suggest_key(words, sizeof words, cases[i][0]);
        if (cases[i][1]) {
            assert_non_null(found);
            assert_string_equal(found, cases[i][1]);
        } else {
            assert_null(found);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_template_is_a_recipe_once_its_gaps_are_filled),
        cmocka_unit_test(the_json_schema_holds_every_key),
        cmocka_unit_test(explain_shows_a_key_a_section_or_all),
        cmocka_unit_test(every_objective_is_explained),
        cmocka_unit_test(what_a_table_holds_its_key_takes),
        cmocka_unit_test(help_of_any_kind_reports_missing_memory),
        cmocka_unit_test(suggestions_know_typing_errors_and_other_trainers),
    };
    return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
