/*
 * Templates. What is promised:
 *   - variables in braces, doubled braces are braces; literal parts may be special, cells may not;
 *   - an optional part is there where its cell is not blank;
 *   - what is wrong is named with its character and, for a variable, with those that there are;
 *   - a row of which a prompt would have no token is an error: nothing could be asked with it, and
 *     of its completion the first token would not be trained;
 *   - whichever allocation fails is reported.
 */
#include "tests/datasets/bytes.h"
#include "tests/support/faults.h"

static const char *const names[] = {"text", "label"};

static enum lorac_status parse(struct lorac_template **t, const char *prompt,
                               const char *completion, struct lorac_err *err)
{
    const struct lorac_template_options o = {
        .prompt = prompt, .completion = completion, .variables = names, .n_variables = 2};
    return lorac_template_parse(t, &o, err);
}

static void literals_may_be_special_and_cells_may_not(void **state)
{
    (void)state;
    struct lorac_template *t = NULL;
    assert_int_equal(parse(&t, "<s>{text}{text}: {{x}}\n", "{label}}}", NULL), LORAC_OK);
    const struct lorac_cell values[] = {{"a {label}", 9}, {"<s>", 3}};
    struct lorac_text texts[LORAC_MAX_PARTS];
    static const struct {
        const char *text;
        bool special;
    } want[] = {{"<s>", true}, {"a {label}", false}, {"a {label}", false}, {": {x}\n", true}};
    assert_int_equal(lorac_template_prompt(texts, t, values), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(texts[i].n, strlen(want[i].text));
        assert_memory_equal(texts[i].at, want[i].text, texts[i].n);
        assert_int_equal(texts[i].special, want[i].special);
    }
    assert_int_equal(lorac_template_completion(texts, t, values), 2);
    assert_false(texts[0].special);
    assert_memory_equal(texts[0].at, "<s>", 3);
    assert_int_equal(texts[1].n, 1);
    assert_memory_equal(texts[1].at, "}", 1);
    assert_true(lorac_template_prompt_uses(t, 0) && !lorac_template_prompt_uses(t, 1));
    assert_true(lorac_template_completion_uses(t, 1) && !lorac_template_completion_uses(t, 0));
    assert_true(lorac_template_uses(t, 0) && lorac_template_uses(t, 1));
    assert_false(lorac_template_uses(t, 2));
    lorac_template_free(t);
}

static void what_is_wrong_is_named_with_its_character(void **state)
{
    (void)state;
    static const struct {
        const char *prompt, *completion, *want;
    } cases[] = {
        {"Review: {txt}", "",
         "template.prompt:10: no variable 'txt' (did you mean 'text'?); "
         "there are 'text', 'label'"},
        {"{text}", "\xC3\xA9{answer}",
         "template.completion:3: no variable 'answer'; there are 'text', 'label'"},
        {"{ text}", "",
         "template.prompt:2: no variable ' text' (did you mean 'text'?); there are 'text', "
         "'label'"},
        {"a {text", "", "template.prompt:3: '{' without '}' (write '{{' for a brace)"},
        {"\xE4\xB8\xAD{a{text}", "", "template.prompt:2: '{' without '}' (write '{{' for a brace)"},
        {"{text\n}", "", "template.prompt:1: '{' without '}' (write '{{' for a brace)"},
        {"{", "", "template.prompt:1: '{' without '}' (write '{{' for a brace)"},
        {"text}", "", "template.prompt:5: '}' without '{' (write '}}' for a brace)"},
        {"{text}}", "", "template.prompt:7: '}' without '{' (write '}}' for a brace)"},
        {"{{{", "", "template.prompt:3: '{' without '}' (write '{{' for a brace)"},
        {"{}", "",
         "template.prompt:1: '{}' names no variable, expected {name} (write '{{}}' for two "
         "braces)"},
        {"{\"text\": \"{text}\"}", "",
         "template.prompt:1: '{' without '}' (write '{{' for a brace)"},
        {"{\"a\": 1} {text}", "",
         "template.prompt:2: no variable '\"a\": 1'; there are 'text', 'label' (a brace that is "
         "text, as of JSON, is written '{{' or '}}')"},
        {"{% if text %}", "",
         "template.prompt:2: no variable '% if text %'; there are 'text', 'label' (a brace that is "
         "text, as of JSON, is written '{{' or '}}')"},
        {"{text\xC2\xA0}", "",
         "template.prompt:2: no variable 'text<U+00A0>' (did you mean 'text'?); there are 'text', "
         "'label'"},
        {"{{text}} is", "{label}",
         "template.prompt:1: '{{text}}' is the text '{text}', not its cell, which the template "
         "does "
         "not use; expected '{text}'"},
        {"{text}", " {{label}}",
         "template.completion:2: '{{label}}' is the text '{label}', not its cell, which the "
         "template "
         "does not use; expected '{label}'"},
        {"{?txt}{text}{/txt}", "",
         "template.prompt:3: no variable 'txt' (did you mean 'text'?); there are 'text', 'label'"},
        {"a{?text}{text}", "",
         "template.prompt:2: an optional part that never ends, expected '{/name}'"},
        {"{?text}{text}", "{/text}",
         "template.prompt:1: an optional part that never ends, expected '{/name}'"},
        {"{text}{/text}", "",
         "template.prompt:7: '{/text}' ends no optional part, expected '{?text}' before it"},
        {"{?text}{text}{/label}", "",
         "template.prompt:14: '{/label}', expected '{/text}', whose part is open"},
        {"{?text}{?label}", "",
         "template.prompt:8: an optional part in another one, expected its end first"},
        {"", "", "template: prompt and completion are both empty, expected one of them"},
        {NULL, NULL, "template: prompt and completion are both empty, expected one of them"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_template *t = NULL;
        struct lorac_err err = {0};
        assert_int_equal(parse(&t, cases[i].prompt, cases[i].completion, &err), LORAC_EUSER);
        assert_null(t);
        assert_string_equal(err.text, cases[i].want);
    }
}

/* What a prompt reads for these cells. */
static void expect_prompt(const char *prompt, const char *text, const char *label, const char *want)
{
    struct lorac_template *t = NULL;
    struct lorac_err err = {0};
    if (parse(&t, prompt, "", &err)) { fail_msg("%s", err.text); }
    const struct lorac_cell values[] = {{text, strlen(text)}, {label, strlen(label)}};
    struct lorac_text texts[LORAC_MAX_PARTS];
    char got[200] = "";
    size_t n = lorac_template_prompt(texts, t, values);
    for (size_t i = 0; i < n; i++) {
        strncat(got, texts[i].at, texts[i].n);
    }
    assert_string_equal(got, want);
    lorac_template_free(t);
}

static void an_optional_part_goes_with_its_cell(void **state)
{
    (void)state;
    static const char part[] = "{text}{?label} ({label}: {{x}}){/label}.";
    expect_prompt(part, "a", "b", "a (b: {x}).");
    expect_prompt(part, "a", "", "a.");
    expect_prompt(part, "a", " \xC2\xA0\t", "a."); // blank, as on_empty has it
    expect_prompt(part, "", "b", " (b: {x}).");    // the other cell has no say
    expect_prompt("{?text}with {label}{/text}{?label}!{/label}", "", "b", "!");
    expect_prompt("{?text}with {label}{/text}{?label}!{/label}", "x", "", "with ");
    struct lorac_template *t = NULL;
    assert_int_equal(parse(&t, "{text}{?label}{label}{/label}", "", NULL), LORAC_OK);
    assert_false(lorac_template_is_optional(t, 0));
    assert_true(lorac_template_is_optional(t, 1) && lorac_template_prompt_uses(t, 1));
    lorac_template_free(t);
    assert_int_equal(parse(&t, "{?label}{text}{/label}", "", NULL), LORAC_OK);
    assert_false(lorac_template_is_optional(t, 0)); // in a part of another
    assert_true(lorac_template_is_optional(t, 1) && lorac_template_prompt_uses(t, 1));
    lorac_template_free(t);
    assert_int_equal(parse(&t, "{text}{?label}{label}{/label}", "{label}", NULL), LORAC_OK);
    assert_false(lorac_template_is_optional(t, 1)); // the completion needs it
    lorac_template_free(t);
}

static void names_are_found_without_knowing_them(void **state)
{
    (void)state;
    char **found = NULL;
    size_t n = 0;
    assert_int_equal(lorac_template_variables(&found, &n, "{a}{?b}{c} {{d}} {b}{/b}{a}}} {e", NULL),
                     LORAC_OK);
    assert_int_equal(n, 3);
    assert_string_equal(found[0], "a");
    assert_string_equal(found[1], "b");
    assert_string_equal(found[2], "c");
    lorac_mem_free(found);
    faults_start(FAULTS_MEMORY, 0);
    assert_int_equal(lorac_template_variables(&found, &n, "{a}", NULL), LORAC_ENOMEM);
    assert_true(faults_stop());
}

static void the_number_of_parts_is_limited(void **state)
{
    (void)state;
    char text[6 * (LORAC_MAX_PARTS + 1) + 1] = "";
    struct lorac_template *t = NULL;
    struct lorac_err err = {0};
    for (size_t i = 0; i < LORAC_MAX_PARTS; i++) {
        memcpy(text + 6 * i, "{text}", 7);
    }
    assert_int_equal(parse(&t, text, "", NULL), LORAC_OK);
    lorac_template_free(t);
    memcpy(text + 6 * LORAC_MAX_PARTS, "{text}", 7);
    assert_int_equal(parse(&t, text, "", &err), LORAC_EUSER);
    assert_string_equal(err.text, "template.prompt: more than 128 parts, expected fewer");
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    const char *const prompts[] = {"a{text}b", "a{txt}"}; // good, and wrong
    for (size_t i = 0; i < 2; i++) {
        bool met = true;
        for (long n = 0; met; n++) {
            struct lorac_template *t = NULL;
            struct lorac_err err = {0};
            faults_start(FAULTS_MEMORY, n);
            enum lorac_status st = parse(&t, prompts[i], "{label}", &err);
            met = faults_stop();
            if (st) { assert_true(err.text[0]); }
            if (!met || st != LORAC_ENOMEM) { assert_int_equal(st, i ? LORAC_EUSER : LORAC_OK); }
            if (met && !i) { assert_int_equal(st, LORAC_ENOMEM); }
            lorac_template_free(t);
        }
    }
}

static void a_prompt_without_a_token_is_an_error(void **state)
{
    (void)state;
    static const char json[] = "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"1\": 1}, "
                               "\"merges\": []}}"; // and no BOS
    struct lorac_dataset_options o = {
        .prompt = "{text}", .completion = "{label}{label}", .max_length = 8};
    struct lorac_tokenizer *plain = NULL;
    struct lorac_tokenizer *bytes = open_bytes();
    struct lorac_table *t = open_text("text,label\na,1\n,1\n");
    struct lorac_dataset *d = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_tokenizer_parse(&plain, json, sizeof json - 1, "t.json", &err),
                     LORAC_OK);
    o.on_empty = LORAC_BAD_KEEP;
    assert_int_equal(lorac_dataset_open(&d, t, plain, &o, &err), LORAC_EFORMAT);
    assert_string_equal(err.text,
                        "t.csv:3: the prompt has no token, expected one or more (1 such row; "
                        "on_empty: skip leaves them out, or put a word into template.prompt: all "
                        "rows have it)");
    o.on_empty = LORAC_BAD_SKIP;
    d = open_dataset(t, plain, &o);
    assert_int_equal(lorac_dataset_counts(d)->skipped_empty.n, 1);
    lorac_dataset_close(d);
    o.on_empty = LORAC_BAD_KEEP;
    d = open_dataset(t, bytes, &o); // BOS is one
    assert_int_equal(lorac_dataset_counts(d)->kept_empty.n, 1);
    lorac_dataset_close(d);
    lorac_table_close(t);
    lorac_tokenizer_free(bytes);
    lorac_tokenizer_free(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_may_be_special_and_cells_may_not),
        cmocka_unit_test(what_is_wrong_is_named_with_its_character),
        cmocka_unit_test(a_prompt_without_a_token_is_an_error),
        cmocka_unit_test(an_optional_part_goes_with_its_cell),
        cmocka_unit_test(names_are_found_without_knowing_them),
        cmocka_unit_test(the_number_of_parts_is_limited),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
