/*
 * Tokens whose id is 0. What is promised: a tokenizer that begins with its end-of-sequence token,
 * or with that of the beginning, gives the same examples as one that has them elsewhere.
 */
#include "tests/datasets/bytes.h"

#include "base/core/file.h"
#include "tests/support/tiny.h"

static void put(const char *name, const char *text)
{
    char json[1024];
    (void)snprintf(json, sizeof json, "%s", text);
    for (char *s = json; *s; s++) {
        if (*s == '\'') { *s = '"'; }
    }
    assert_int_equal(lorac_file_write(tiny_path(name), json, strlen(json), NULL), LORAC_OK);
}

/* Whose first token has this role; 'a', 'b' and ':' are 1 to 3, the other is 4. */
static struct lorac_tokenizer *with_first(const char *role, const char *other)
{
    char text[800];
    struct lorac_tokenizer *t = NULL;
    struct lorac_err err = {0};
    int bos = strcmp(role, "bos_token") == 0 ? 0 : 4;
    const char *name = bos == 0 ? "<x>" : "<y>";
    (void)snprintf(
        text, sizeof text,
        "{'model':{'type':'BPE','vocab':{'<x>':0,'a':1,'b':2,':':3,'<y>':4},'merges':[]},"
        "'post_processor':{'type':'TemplateProcessing','single':[{'SpecialToken':"
        "{'id':'%s','type_id':0}},{'Sequence':{'id':'A','type_id':0}}],'pair':[],"
        "'special_tokens':{'%s':{'id':'%s','ids':[%d],'tokens':['%s']}}}}",
        name, name, name, bos, name);
    put("tokenizer.json", text);
    (void)snprintf(text, sizeof text, "{'%s':'<x>','%s':'<y>'}", role, other);
    put("tokenizer_config.json", text);
    if (lorac_tokenizer_open(&t, tiny_dir(), &err)) { fail_msg("%s", err.text); }
    return t;
}

static void expect(const struct lorac_tokenizer *t, const struct lorac_dataset_options *o,
                   const char *text, const int32_t *want, size_t n)
{
    struct lorac_table *table = open_text(text);
    struct lorac_dataset *d = open_dataset(table, t, o);
    struct lorac_example e = {0};
    assert_int_equal(lorac_dataset_example(&e, d, 0, NULL), LORAC_OK);
    assert_int_equal(e.ids.n, n);
    assert_memory_equal(e.ids.at, want, n * sizeof *want);
    assert_int_equal(lorac_dataset_counts(d)->last_trained_is_eos,
                     want[n - 1] == lorac_tokenizer_eos(t));
    lorac_example_free(&e);
    lorac_dataset_close(d);
    lorac_table_close(table);
}

static void examples_begin_and_end_as_others_do(void **state)
{
    (void)state;
    struct lorac_dataset_options o = {
        .prompt = "{text}:", .completion = "{label}", .append_eos = true, .max_length = 16};
    struct lorac_tokenizer *t = with_first("eos_token", "bos_token");
    expect(t, &o, "text,label\na,b\n", (const int32_t[]){4, 1, 3, 2, 0}, 5);
    o.completion = "{label}<x>"; // it stands there already
    expect(t, &o, "text,label\na,b\n", (const int32_t[]){4, 1, 3, 2, 0}, 5);
    o.completion = "{label}";
    o.append_eos = false;
    expect(t, &o, "text,label\na,b\n", (const int32_t[]){4, 1, 3, 2}, 4);
    lorac_tokenizer_free(t);
    o.append_eos = true;
    t = with_first("bos_token", "eos_token");
    expect(t, &o, "text,label\na,b\n", (const int32_t[]){0, 1, 3, 2, 4}, 5);
    o.on_too_long = LORAC_LONG_TRUNCATE_PROMPT; // keeps the beginning
    o.max_length = 5;
    expect(t, &o, "text,label\naab,b\n", (const int32_t[]){0, 2, 3, 2, 4}, 5);
    lorac_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_begin_and_end_as_others_do),
    };
    return cmocka_run_group_tests_name("first_id", tests, NULL, tiny_remove);
}
