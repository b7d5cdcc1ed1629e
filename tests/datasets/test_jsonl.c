/*
 * Tables of JSON lines. What is promised:
 *   - columns are the keys of all lines in the order in which they first appear; a cell is what a
 *     text says, a number as it is written; null and what is missing is blank; lists and objects
 *     are their JSON, and said to be;
 *   - lines count from 1, those of white space alone are no rows;
 *   - what is no JSON line is an error with its line: syntax, duplicate keys, bytes that are not
 *     UTF-8, NUL characters, depth, other values than objects, a list of objects;
 *   - a row is written again with more members, and reads back;
 *   - the index takes four bytes a row; want of memory is told.
 */
#include "tests/datasets/bytes.h"
#include "tests/support/faults.h"

static const struct lorac_table_format jsonl = {.kind = LORAC_TABLE_JSONL};
static struct lorac_err err;

static struct lorac_table *parse(const char *text)
{
    struct lorac_table *t = NULL;
    if (lorac_table_parse(&t, text, strlen(text), "t.jsonl", &jsonl, &err)) {
        fail_msg("%s", err.text);
    }
    return t;
}

static void expect_cell(const struct lorac_row *row, size_t c, const char *want, bool nested)
{
    assert_int_equal(row->cells[c].n, strlen(want));
    assert_memory_equal(row->cells[c].at, want, row->cells[c].n);
    assert_int_equal(row->nested[c], nested);
}

static void members_are_cells(void **state)
{
    (void)state;
    struct lorac_row row = {0};
    struct lorac_table *t =
        parse("\xEF\xBB\xBF{\"a\": \"x\", \"n\": 1.10}\r\n"
              "\n"
              " {\"n\":-2e5,\"b\":null, \"a\":\"q\\\"\\u00e9\\ud83d\\ude42\\n\\/\"} \n"
              "{\"b\": [1, {\"]\": \"}\\\"\"}], \"\\u0061\": true}");
    assert_int_equal(lorac_table_rows(t), 3);
    assert_int_equal(lorac_table_columns(t), 3);
    const char *const names[] = {"a", "n", "b"};
    for (size_t c = 0; c < 3; c++) {
        assert_string_equal(lorac_table_column_name(t, c), names[c]);
    }
    assert_int_equal(lorac_table_blank_lines(t)->n, 1);
    assert_int_equal(lorac_table_row(&row, t, 1, &err), LORAC_OK);
    assert_int_equal(row.line, 3);
    expect_cell(&row, 0, "q\"\xC3\xA9\xF0\x9F\x99\x82\n/", false);
    expect_cell(&row, 1, "-2e5", false);
    expect_cell(&row, 2, "", false);
    assert_int_equal(lorac_table_row(&row, t, 2, &err), LORAC_OK);
    assert_int_equal(row.line, 4);
    expect_cell(&row, 0, "true", false);
    expect_cell(&row, 1, "", false);
    expect_cell(&row, 2, "[1, {\"]\": \"}\\\"\"}]", true);
    assert_int_equal(lorac_table_row(&row, t, 0, &err), LORAC_OK);
    expect_cell(&row, 1, "1.10", false);
    expect_cell(&row, 2, "", false);
    lorac_row_free(&row);
    lorac_table_close(t);
}

static void other_lines_are_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
        size_t n; // 0: of the text
    } cases[] = {
        {"{\"a\": 1}\n{\"a\": 1,}\n",
         "t.jsonl:2:9: not valid JSON: string or '}' expected near '}'", 0},
        {"{\"a\": 1}\n\n{\"a\": 1, \"a\": 2}\n",
         "t.jsonl:3:12: not valid JSON: duplicate object key near '\"a\"'", 0},
        {"{\"a\": \"\xFF\"}\n", "t.jsonl:1:7: not valid JSON: unable to decode byte 0xff near '\"'",
         0},
        {"{\"a\": \"x\\u0000y\"}\n", "t.jsonl:1: 'a': holds a NUL character, expected text", 0},
        {"{\"a\": 1} {\"a\": 2}\n", "t.jsonl:1:10: not valid JSON: end of file expected near '{'",
         0},
        {"[1, 2]\n[3]\n",
         "t.jsonl: holds a JSON list, expected an object on each line: jq -c '.[]' 't.jsonl' > "
         "table.jsonl makes that of a list of objects",
         0},
        {"{\"a\": 1}\n\"a text\"\n",
         "t.jsonl:2: a text, expected an object, as in {\"text\": \"...\"}, on each line", 0},
        {"{\n\"a\": 1}\n",
         "t.jsonl:1:1: not valid JSON: string or '}' expected near end of file; an object goes on "
         "below: jq -c . 't.jsonl' writes each on one line",
         0},
        {"{\"a\": \"\xED\xA0\x80\"}\n",
         "t.jsonl:1:7: not valid JSON: unable to decode byte 0xed near '\"'", 0},
        {"{}\n{}\n", "t.jsonl: no object has a member", 0},
        {"\n \n", "t.jsonl: no rows, expected at least one line of JSON", 0},
        {"\xFF\xFE{\0}\0",
         "t.jsonl: is UTF-16, and JSON lines are UTF-8: iconv -f UTF-16 -t UTF-8 't.jsonl' > "
         "table.jsonl",
         6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_table *t = NULL;
        size_t n = cases[i].n ? cases[i].n : strlen(cases[i].text);
        enum lorac_status st = lorac_table_parse(&t, cases[i].text, n, "t.jsonl", &jsonl, &err);
        assert_int_equal(st, LORAC_EFORMAT);
        assert_null(t);
        assert_string_equal(err.text, cases[i].message);
    }
}

static void depth_and_size_have_limits(void **state)
{
    (void)state;
    enum { DEEP = 3000, LONG = LORAC_MAX_FIELD + 8 };
    struct lorac_table *t = NULL;
    struct lorac_buf b = {0};
    lorac_buf_str(&b, "{\"a\": ");
    for (size_t i = 0; i < DEEP; i++) {
        lorac_buf_str(&b, "[");
    }
    assert_int_equal(lorac_table_parse(&t, b.at, b.n, "t.jsonl", &jsonl, &err), LORAC_EFORMAT);
    assert_non_null(strstr(err.text, "maximum parsing depth"));
    lorac_buf_free(&b);
    char *text = lorac_mem_new(LONG, 1);
    assert_non_null(text);
    memset(text, ' ', LONG);
    text[0] = '{';
    text[LONG - 1] = '}';
    assert_int_equal(lorac_table_parse(&t, text, LONG, "t.jsonl", &jsonl, &err), LORAC_EFORMAT);
    assert_string_equal(err.text, "t.jsonl:1: a line of 16777224 bytes, expected at most 16 MiB");
    lorac_mem_free(text);
}

static void a_row_is_written_with_more_members(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    struct lorac_table *t = parse("{\"a\": \"}\" } \n{ }\n");
    const char *const want[] = {"{\"a\": \"}\", \"p\": \"say \\\"x\\\"\", \"q\": 0.5, \"r\": null}",
                                "{\"p\": \"say \\\"x\\\"\", \"q\": 0.5, \"r\": null}"};
    for (size_t i = 0; i < 2; i++) {
        struct lorac_raw raw = lorac_table_raw_row(t, i);
        lorac_buf_clear(&b);
        lorac_table_write_row(&b, t, &raw);
        assert_true(lorac_table_write_cell(&b, t, "p", "say \"x\"", 7, false));
        assert_true(lorac_table_write_cell(&b, t, "q", "0.5", 3, true));
        assert_true(lorac_table_write_cell(&b, t, "r", NULL, 0, false));
        lorac_table_write_end(&b, t);
        assert_string_equal(b.at, want[i]);
    }
    lorac_buf_free(&b);
    lorac_table_close(t);
}

static void the_index_takes_four_bytes_a_row(void **state)
{
    (void)state;
    enum { ROWS = 4096 };
    struct lorac_buf b = {0};
    for (size_t i = 0; i < ROWS; i++) {
        lorac_buf_printf(&b, "{\"text\": \"row %zu\"}\n", i);
    }
    struct lorac_table *t = parse(b.at);
    assert_int_equal(lorac_table_rows(t), ROWS);
    assert_in_range(lorac_table_memory(t), 4 * ROWS, 8 * ROWS + 256);
    lorac_table_close(t);
    lorac_buf_free(&b);
}

static void a_row_that_has_changed_is_an_error(void **state)
{
    (void)state;
    char text[] = "{\"a\": \"x\"}\n{\"a\": \"y\"}\n";
    static const char *const later[] = {"{\"a\": \"x\\q}", "[\"a\": \"x\"]", "{\"b\": \"x\"}",
                                        "{\"a\": \"x\" ", "{\"a\" \"x\" }"};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        struct lorac_row row = {0};
        memcpy(text, "{\"a\": \"x\"}", 10);
        struct lorac_table *t = parse(text);
        memcpy(text, later[i], 10);
        assert_int_equal(lorac_table_row(&row, t, 0, &err), LORAC_EIO);
        assert_string_equal(err.text, "t.jsonl:1: the file changed while it was read");
        assert_int_equal(lorac_table_row(&row, t, 1, &err), LORAC_OK);
        lorac_row_free(&row);
        lorac_table_close(t);
    }
}

static void want_of_memory_is_told(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": \"x\", \"b\": [1]}\n\n{\"c\": \"\\u00e9\"}\n";
    long n = 0;
    for (bool met = true; met; n++) {
        struct lorac_table *t = NULL;
        struct lorac_row row = {0};
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st =
            lorac_table_parse(&t, text, sizeof text - 1, "t.jsonl", &jsonl, &err);
        for (size_t i = 0; i < 2 && !st; i++) {
            st = lorac_table_row(&row, t, i, &err);
        }
        met = faults_stop();
        assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
        lorac_row_free(&row);
        lorac_table_close(t);
    }
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_cells),
        cmocka_unit_test(other_lines_are_errors),
        cmocka_unit_test(depth_and_size_have_limits),
        cmocka_unit_test(a_row_is_written_with_more_members),
        cmocka_unit_test(the_index_takes_four_bytes_a_row),
        cmocka_unit_test(a_row_that_has_changed_is_an_error),
        cmocka_unit_test(want_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
