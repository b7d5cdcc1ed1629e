/*
 * What `recipe init` makes of tables that are not as one would write them. What is promised: a
 * header is one though a name is missing, doubled or a number; quotes are given up only where rows
 * would be lost, and that is told; encodings are recognised; the label is never an id, a sentence,
 * or what hardly anyone filled in; all texts of a known kind are asked, and one that may be blank
 * goes with its part of the prompt; the caller's choice counts; a map is written only where it does
 * something; lists are several labels; and what was chosen and what was not is told, with the
 * reason.
 */
#include "recipes/run/init.h"

#include "base/core/file.h"
#include "recipes/run/job.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct first {
    struct lorac_buf text, told;
    struct lorac_recipe *r;
    struct lorac_job *j;
};

static struct first open_table(const char *bytes, size_t n, const struct lorac_first_columns *o)
{
    struct first f = {0};
    struct lorac_err err = {0};
    if (lorac_file_write(tiny_path("table"), bytes, n, &err) ||
        lorac_recipe_init(&f.text, &f.told, tiny_path("model"), tiny_path("table"), o, &err) ||
        lorac_recipe_parse(&f.r, f.text.at, f.text.n, "first.yaml", NULL, NULL, 0, NULL, &err) ||
        lorac_job_open(&f.j, f.r, LORAC_JOB_TRAIN | LORAC_JOB_NO_MODEL, &err)) {
        fail_msg("%s", err.text);
    }
    return f;
}

static void close_first(struct first *f)
{
    lorac_job_close(f->j);
    lorac_recipe_free(f->r);
    lorac_buf_free(&f->text);
    lorac_buf_free(&f->told);
}

/* The header and 24 rows by this format, which is given the row's number and one of three words. */
static struct first open_rows(const char *header, const char *row,
                              const struct lorac_first_columns *o)
{
    static const char *const words[] = {"food", "sport", "travel"};
    struct lorac_buf b = {0};
    lorac_buf_str(&b, header);
    for (int i = 0; i < 24; i++) {
        for (const char *c = row; *c; c++) {
            if (*c == '#') {
                lorac_buf_printf(&b, "%d", i);
            } else if (*c == '@') {
                lorac_buf_str(&b, words[i % 3]);
            } else if (*c == '?') {
                if (i % 2 == 0) { lorac_buf_printf(&b, "it is %d", i); }
            } else {
                lorac_buf_add(&b, c, 1);
            }
        }
    }
    struct first f = open_table(b.at, b.n, o);
    lorac_buf_free(&b);
    return f;
}

static void expect_told(const struct first *f, const char *text)
{
    if (!strstr(f->told.at, text)) { fail_msg("no '%s' in:\n%s", text, f->told.at); }
}

static void expect_columns(const struct first *f, const char *text, const char *label)
{
    const struct lorac_recipe_map *columns = &f->r->data.columns;
    assert_int_equal(columns->n, 2);
    assert_string_equal(columns->at[0].value, text);
    assert_string_equal(columns->at[1].value, label);
    assert_int_equal(f->j->K, 3);
}

static void a_header_may_be_odd(void **state)
{
    (void)state;
    static const struct {
        const char *header, *row, *text, *label, *told;
    } cases[] = {
        {",text,label\n", "#,words of #,@\n", "text", "label", "not used  column 1: numbers"},
        {"0,1\n", "words of #,@\n", "0", "1", "the first row: its cells count the columns"},
        {",0,1\n", "#,words of #,@\n", "0", "1", "the first row: its cells count the columns"},
        {"text,label,,\n", "words of #,@,,\n", "text", "label",
         "not used  column 3: all its cells are blank"},
        {"text,note,label,note\n", "words of #,x,@,y\n", "text", "label",
         "not used  column 2 ('note'): the same in all rows"},
        {"text,2023,label\n", "words of #,1,@\n", "text", "label", "not used  '2023'"},
        {"note,note\n", "words of #,@\n", "1", "2", "label     column 2 ('note'): 3 values"},
        {"How would you say that it is on the whole and after all?,nr,which of the three kinds is "
         "it?\n",
         "words of #,#,@\n", "How would you say that it is on the whole and after all?",
         "which of the three kinds is it?", "words above numbers"},
        {"words,kind,at\n", "words of #,@,2024-01-01 12:00\n", "words", "kind",
         "not used  'at': the same"},
        {"nr,words,kind\n", "#,words of #,@\n", "words", "kind", "words above numbers"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct first f = open_rows(cases[i].header, cases[i].row, NULL);
        assert_true(f.r->data.format.header);
        expect_columns(&f, cases[i].text, cases[i].label);
        expect_told(&f, cases[i].told);
        assert_int_equal(lorac_table_rows(f.j->train.table), 24);
        close_first(&f);
    }
    static const char *const data[] = {"7,words of 7,food\n", "words of 99,sport\n", ",x x,food\n"};
    static const char *const rows[] = {"#,words of #,@\n", "words of #,@\n", ",words of #,@\n"};
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) {
        struct first f = open_rows(data[i], rows[i], NULL);
        assert_false(f.r->data.format.header);
        assert_int_equal(lorac_table_rows(f.j->train.table), 25);
        close_first(&f);
    }
}

static void quotes_that_would_swallow_rows_are_characters(void **state)
{
    (void)state;
    static const char swallow[] = "text\tlabel\n\"a\tx\nb\ty\nc\tx\nd\"\ty\ne\tx\n";
    struct first f = open_table(swallow, sizeof swallow - 1, NULL);
    assert_int_equal(f.r->data.format.quote, '\0');
    assert_int_equal(lorac_table_rows(f.j->train.table), 5);
    expect_told(&f,
                "quote     '', quotes are characters like others: so there are 6 rows (a header "
                "counted); with quotes there would be 3, for line 2 and some after it would be "
                "one cell\n");
    close_first(&f);
    static const char lines[] = "text,label\n\"a, b\nand c\",x\n\"d,\n\ne\",y\nf,x\n";
    f = open_table(lines, sizeof lines - 1, NULL);
    assert_int_equal(f.r->data.format.quote, '"');
    assert_int_equal(lorac_table_rows(f.j->train.table), 3);
    expect_told(&f, "note      2 cells hold line ends and delimiters, the first in line 2; with "
                    "data.format.quote: '' there would be 5 rows of as many cells\n");
    close_first(&f);
}

static void encodings_are_recognised(void **state)
{
    (void)state;
    struct first f = open_rows("text;label\n", "caff\xE8 #;@\n", NULL);
    assert_int_equal(f.r->data.format.encoding, LORAC_ENCODING_LATIN1);
    expect_columns(&f, "text", "label");
    expect_told(&f, "encoding  latin-1: byte 0xE8 is not UTF-8\n");
    assert_non_null(strstr(f.text.at, "  # encoding: byte 0xE8 is not UTF-8\n"));
    close_first(&f);
    f = open_rows("text;label\n",
                  "\x93"
                  "caff\xE8\x94 #;@\n",
                  NULL);
    assert_int_equal(f.r->data.format.encoding, LORAC_ENCODING_WINDOWS1252);
    close_first(&f);
    static const char utf16[] = "\xFF\xFEt\0\t\0l\0\n\0a\0\t\0x\0\n\0b\0\t\0y\0\n";
    f = open_table(utf16, sizeof utf16, NULL);
    assert_int_equal(f.r->data.format.encoding, LORAC_ENCODING_UTF16);
    assert_int_equal(f.r->data.format.delimiter, '\t');
    close_first(&f);
}

static void what_hardly_anyone_filled_in_is_no_label(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    lorac_buf_str(&b, "id,ticket,kind,Note\n");
    for (int i = 0; i < 60; i++) {
        lorac_buf_printf(&b, "%d,words of %d,%c,%s\n", 100 + i / 4, i, 'a' + i % 5,
                         i < 20 ? (i % 2 ? "seen" : "done") : "");
    }
    struct first f = open_table(b.at, b.n, NULL);
    lorac_buf_free(&b);
    assert_string_equal(f.r->data.columns.at[0].value, "ticket");
    assert_string_equal(f.r->data.columns.at[1].value, "kind");
    assert_int_equal(f.j->K, 5);
    assert_int_equal(f.r->data.on_empty, LORAC_BAD_ERROR);
    expect_told(&f, "not used  'Note': blank in 66 % of the rows\n");
    assert_non_null(strstr(f.text.at, "  # not used: 'id', 'Note'\n"));
    expect_told(&f, "not used  'id': called like the number of a row\n");
    expect_told(&f, "label     'kind': 5 values, the fewest that come again\n");
    close_first(&f);
}

static void every_text_of_a_task_is_asked_and_may_be_blank(void **state)
{
    (void)state;
    struct first f =
        open_rows("instruction,input,output,category\n", "do # now,?,done with #,@\n", NULL);
    assert_int_equal(f.r->data.columns.n, 3);
    assert_string_equal(f.r->data.columns.at[2].key, "answer");
    assert_string_equal(f.r->data.columns.at[2].value, "output");
    assert_string_equal(f.r->templates.prompt,
                        "Instruction: {instruction}{?input}\nInput: {input}{/input}\nAnswer:");
    assert_int_equal(f.r->data.on_empty, LORAC_BAD_ERROR);
    assert_int_equal(f.j->K, 0);
    expect_told(&f,
                "text      'input': called like a text; blank in 12 rows, an optional part of the "
                "prompt\n");
    expect_told(&f, "answer    'output': called like an answer, beside a question\n");
    expect_told(&f, "not used  'category': 3 values, and could be the label, too\n");
    const struct lorac_data_counts *c = lorac_dataset_counts(f.j->train.set);
    assert_int_equal(c->used + lorac_dataset_counts(f.j->valid.set)->used, 24);
    close_first(&f);
    f = open_rows("title,body,label\n", "?,words of #,@\n", NULL); // the first one may be missing
    assert_string_equal(f.r->templates.prompt,
                        "{?title}Title: {title}\n{/title}Body: {body}\nLabel:");
    close_first(&f);
    f = open_rows("premise,hypothesis,gold_label\n", "a #,b #,@\n", NULL);
    assert_string_equal(f.r->templates.prompt,
                        "Premise: {premise}\nHypothesis: {hypothesis}\nLabel:");
    assert_int_equal(f.j->K, 3);
    close_first(&f);
}

static void a_text_alone_is_learnt_whole(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    lorac_buf_str(&b, "text,at\n");
    for (int i = 0; i < 40; i++) {
        lorac_buf_printf(&b, "words of %d,2024-01-%02d\n", i, i % 5 + 1);
    }
    struct first days = open_table(b.at, b.n, NULL);
    lorac_buf_free(&b);
    assert_null(days.r->templates.prompt);
    expect_told(&days, "not used  'at': dates, times or the like\n");
    close_first(&days);
    struct first f = open_rows("id,text,user_id\n", "#,words of #,7\n", NULL);
    assert_string_equal(f.r->templates.completion, "{text}");
    assert_null(f.r->templates.prompt);
    expect_told(&f, "text      'text': the only text; every word of it is learnt\n");
    close_first(&f);
}

static void the_callers_choice_counts(void **state)
{
    (void)state;
    static const char header[] = "id,title,body,kind,lang\n";
    static const char row[] = "#,head #,words of #,@,@\n";
    const char *const texts[] = {"body", "2"};
    struct lorac_first_columns o = {.label = "lang", .texts = texts, .n_texts = 2};
    struct first f = open_rows(header, row, &o);
    assert_string_equal(f.r->data.columns.at[0].value, "body");
    assert_string_equal(f.r->data.columns.at[1].value, "title");
    assert_string_equal(f.r->data.columns.at[2].value, "lang");
    assert_string_equal(f.r->templates.prompt, "Body: {body}\nTitle: {title}\nLabel:");
    expect_told(&f, "label     'lang': as --label asks; 3 values\n");
    close_first(&f);
    o = (struct lorac_first_columns){.label = "body"}; // free text, then
    f = open_rows(header, row, &o);
    assert_string_equal(f.r->data.columns.at[0].value, "title");
    assert_string_equal(f.r->data.columns.at[1].key, "answer");
    expect_told(&f,
                "answer    'body': as --label asks; free text, for its values hardly come again\n");
    close_first(&f);
    const char *const kind[] = {"kind"};
    o = (struct lorac_first_columns){.texts = kind, .n_texts = 1}; // what is asked is no label
    f = open_rows(header, row, &o);
    assert_string_equal(f.r->data.columns.at[0].value, "kind");
    assert_string_not_equal(f.r->data.columns.at[1].value, "kind");
    close_first(&f);
    const char *const twice[] = {"body", "3"};
    const struct {
        struct lorac_first_columns o;
        const char *want;
    } wrong[] = {
        {{.label = "lnag"}, "--label: "},
        {{.label = "body", .texts = twice, .n_texts = 1},
         "--label body: is the column of a --text"},
        {{.texts = twice, .n_texts = 2}, "--text 3: is given twice"},
        {{.label = "kind", .texts = (const char *const[]){"9"}, .n_texts = 1}, "--text: "},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct lorac_buf b = {0};
        struct lorac_buf told = {0};
        struct lorac_err err = {0};
        assert_int_equal(
            lorac_recipe_init(&b, &told, tiny_path("model"), tiny_path("table"), &wrong[i].o, &err),
            LORAC_EUSER);
        if (!strstr(err.text, wrong[i].want)) { fail_msg("%s", err.text); }
        assert_int_equal(b.n + told.n, 0);
    }
}

static void a_map_is_written_where_it_does_something(void **state)
{
    (void)state;
    struct first f = open_rows("text,label\n", "words of #,@\n", NULL);
    assert_int_equal(f.r->data.labels.map.n, 0);
    assert_int_equal(f.j->K, 3);
    close_first(&f);
    struct lorac_buf b = {0};
    static const char *const labels[] = {"food", "food ", "Food", "car", "food"};
    lorac_buf_str(&b, "text,label\n");
    for (int i = 0; i < 25; i++) {
        lorac_buf_printf(&b, "words of %d,%s\n", i, labels[i % 5]);
    }
    f = open_table(b.at, b.n, NULL);
    lorac_buf_free(&b);
    assert_int_equal(f.r->data.labels.map.n, 4);
    assert_int_equal(f.j->K, 2);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(f.r->data.labels.map.at[i].value, "food");
    }
    close_first(&f);
}

/* With one label each, or more, whatever signs they hold. */
static void lists_are_of_labels(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"text\": \"words of #\", \"kinds\": [\"@\"]}\n",
        "{\"text\": \"words of #\", \"kinds\": [\"@, so\", \"a, b\"]}\n"};
    for (size_t i = 0; i < 2; i++) {
        struct first f = open_rows("{\"text\": \"none\", \"kinds\": []}\n", rows[i], NULL);
        assert_int_equal(lorac_objectives[f.r->objective.kind].target, LORAC_TARGET_LABELS);
        assert_int_equal(f.j->K, i ? 4 : 3);
        assert_int_equal(lorac_dataset_size(f.j->train.set), 22); // of 25, a tenth is valid
        expect_told(&f, "objective multilabel: its cells are lists of labels\n");
        assert_null(strstr(f.text.at, "separator"));
        close_first(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_may_be_odd),
        cmocka_unit_test(quotes_that_would_swallow_rows_are_characters),
        cmocka_unit_test(encodings_are_recognised),
        cmocka_unit_test(what_hardly_anyone_filled_in_is_no_label),
        cmocka_unit_test(every_text_of_a_task_is_asked_and_may_be_blank),
        cmocka_unit_test(a_text_alone_is_learnt_whole),
        cmocka_unit_test(the_callers_choice_counts),
        cmocka_unit_test(a_map_is_written_where_it_does_something),
        cmocka_unit_test(lists_are_of_labels),
    };
    return cmocka_run_group_tests(tests, tiny_model, tiny_remove);
}
