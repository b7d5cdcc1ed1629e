/*
 * Tables. What is promised:
 *   - cells come back byte for byte: quotes, delimiters, line ends, spaces, words such as NA;
 *   - LF, CRLF and CR, a byte order mark, any delimiter, no quote character, no header;
 *   - rows are read in any order and know their line; blank lines are no rows and are counted, but
 *     for those of a single column, which are empty cells;
 *   - rows behind 4 GiB are found;
 *   - a damaged table is refused with line, column, what was found and what was expected;
 *   - whichever allocation fails is reported, and nothing leaks.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "datasets/table.h"
#include "tests/support/data.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct lorac_table_format plain = {.delimiter = ',', .quote = '"', .header = true};
static const struct lorac_table_format no_header = {.delimiter = ',', .quote = '"'};
static const struct lorac_table_format tsv = {.delimiter = '\t', .header = true};

static struct lorac_table *parse(const char *text, size_t n, const struct lorac_table_format *f)
{
    struct lorac_table *t = NULL;
    struct lorac_err err = {0};
    if (lorac_table_parse(&t, text, n, "t.csv", f, &err)) { fail_msg("%s", err.text); }
    return t;
}

static void expect_cells(const struct lorac_table *t, size_t i, uint64_t line,
                         const char *const *want)
{
    struct lorac_row row = {0};
    struct lorac_err err = {0};
    if (lorac_table_row(&row, t, i, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(row.line, line);
    assert_int_equal(row.n, lorac_table_columns(t));
    for (size_t c = 0; c < row.n; c++) {
        assert_int_equal(row.cells[c].n, strlen(want[c]));
        assert_memory_equal(row.cells[c].at, want[c], row.cells[c].n);
    }
    lorac_row_free(&row);
}

static void cells_come_back_byte_for_byte(void **state)
{
    (void)state;
    static const char text[] = "a,b\n"
                               "1, x \n"
                               "NA,null\n"
                               "\"say \"\"hi\"\"\",\"1,5\"\n"
                               "\"two\r\nlines\",\"\"\n"
                               "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80,\"\"\"\"\n"
                               ",\n"
                               "last,no end";
    struct lorac_table *t = parse(text, sizeof text - 1, &plain);
    assert_int_equal(lorac_table_rows(t), 7);
    assert_int_equal(lorac_table_columns(t), 2);
    assert_string_equal(lorac_table_column_name(t, 1), "b");
    const struct {
        size_t row;
        uint64_t line;
        const char *cells[2];
    } cases[] = {
        {6, 9, {"last", "no end"}},
        {0, 2, {"1", " x "}},
        {1, 3, {"NA", "null"}},
        {3, 5, {"two\r\nlines", ""}},
        {2, 4, {"say \"hi\"", "1,5"}},
        {4, 7, {"\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80", "\""}},
        {5, 8, {"", ""}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_cells(t, cases[i].row, cases[i].line, cases[i].cells);
    }
    lorac_table_close(t);
}

static void line_ends_and_blank_lines_do_not_change_the_cells(void **state)
{
    (void)state;
    const char *const texts[] = {
        "\xEF\xBB\xBF\x61,b\n1,2\n\n3,4\n\n\n",
        "a,b\r\n1,2\r\n\r\n3,4\r\n\r\n\r\n",
        "a,b\r1,2\r\r3,4\r\r\r",
    };
    const char *const first[] = {"1", "2"};
    const char *const second[] = {"3", "4"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct lorac_table *t = parse(texts[i], strlen(texts[i]), &plain);
        assert_string_equal(lorac_table_column_name(t, 0), "a");
        assert_int_equal(lorac_table_rows(t), 2);
        assert_int_equal(lorac_table_blank_lines(t)->n, 3);
        expect_cells(t, 0, 2, first);
        expect_cells(t, 1, 4, second);
        lorac_table_close(t);
    }
    const char *const endings[] = {"a,b\n1,", "a,b\n1,\"\"", "a,b\n\"1\",\n"};
    const char *const half[] = {"1", ""};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        struct lorac_table *e = parse(endings[i], strlen(endings[i]), &plain);
        expect_cells(e, 0, 2, half);
        lorac_table_close(e);
    }
    struct lorac_table *t =
        parse("text\none\n\n\"\"\n", 13, &plain); // one column: a blank cell each
    const char *const empty[] = {""};
    assert_int_equal(lorac_table_rows(t), 3);
    assert_int_equal(lorac_table_blank_lines(t)->n, 0);
    expect_cells(t, 1, 3, empty);
    expect_cells(t, 2, 4, empty);
    lorac_table_close(t);
}

static void the_format_is_the_callers(void **state)
{
    (void)state;
    const struct lorac_table_format raw = {.delimiter = '\t'};
    struct lorac_table *t = parse("5\" disk\t\"x\n'a\"\t,\n", 17, &raw);
    const char *const quotes[] = {"5\" disk", "\"x"};
    const char *const more[] = {"'a\"", ","};
    assert_string_equal(lorac_table_column_name(t, 1), "2");
    expect_cells(t, 0, 1, quotes);
    expect_cells(t, 1, 2, more);
    lorac_table_close(t);
    const struct lorac_table_format odd = {.delimiter = ';', .quote = '\'', .header = true};
    t = parse("a;b\n'x;''y''';\"\n", 16, &odd);
    const char *const single[] = {"x;'y'", "\""};
    expect_cells(t, 0, 2, single);
    lorac_table_close(t);
    const struct lorac_table_format bad[] = {{.delimiter = 0},
                                             {.delimiter = '\n'},
                                             {.delimiter = ',', .quote = ','},
                                             {.delimiter = ',', .quote = '\r'},
                                             {.delimiter = ',', .quote = '\n'},
                                             {.delimiter = ',', .quote = 127},
                                             {.delimiter = '\r'},
                                             {.delimiter = 127},
                                             {.delimiter = '\xE9'}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(lorac_table_parse(&t, "a\n1\n", 4, "t.csv", &bad[i], NULL), LORAC_EUSER);
    }
    const struct lorac_table_format last = {.delimiter = '~', .quote = '}'}; // of those accepted
    t = parse("}a~b}~c\n", 8, &last);
    const char *const cells[] = {"a~b", "c"};
    expect_cells(t, 0, 1, cells);
    lorac_table_close(t);
}

static void a_row_buffer_may_serve_several_tables(void **state)
{
    (void)state;
    const struct lorac_table_format odd = {.delimiter = ';', .quote = '\'', .header = true};
    struct lorac_table *a = parse("a,b\n\"1;,\",2\n", 12, &plain);
    struct lorac_table *b = parse("a;b;c\n1,\";2;';'\n", 16, &odd);
    struct lorac_row row = {0};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lorac_table_row(&row, a, 0, NULL), LORAC_OK);
        assert_int_equal(row.n, 2);
        assert_memory_equal(row.cells[0].at, "1;,", 3);
        assert_int_equal(lorac_table_row(&row, b, 0, NULL), LORAC_OK);
        assert_int_equal(row.n, 3);
        assert_memory_equal(row.cells[0].at, "1,\"", 3);
        assert_memory_equal(row.cells[2].at, ";", 1);
    }
    lorac_row_free(&row);
    lorac_table_close(a);
    lorac_table_close(b);
}

static void another_delimiter_is_guessed_where_a_table_has_one_column(void **state)
{
    (void)state;
    const char *const cases[][2] = {
        {"text;label\na;b\n", "t.csv: no column 'text'; there are 'text;label'; is "
                              "data.format.delimiter ';'?"},
        {"text\tlabel\na\tb\n", "t.csv: no column 'text'; there are 'text\\tlabel'; is "
                                "data.format.delimiter \"\\t\", a tab?"},
        {"txt\na\n", "t.csv: no column 'text' (did you mean 'txt'?); there are 'txt'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_table *t = parse(cases[i][0], strlen(cases[i][0]), &plain);
        struct lorac_err err = {0};
        size_t c = 0;
        assert_int_equal(lorac_table_column_find(&c, t, "text", &err), LORAC_EUSER);
        assert_string_equal(err.text, cases[i][1]);
        lorac_table_close(t);
    }
}

static void columns_are_found_by_name_then_by_number(void **state)
{
    (void)state;
    struct lorac_table *t = parse("text,3,label\na,b,c\n", 19, &plain);
    const struct {
        const char *name;
        size_t column;
    } good[] = {{"text", 0}, {"label", 2}, {"1", 0}, {"3", 1}, {"2", 1}};
    size_t c = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(lorac_table_column_find(&c, t, good[i].name, NULL), LORAC_OK);
        assert_int_equal(c, good[i].column);
    }
    const char *const bad[][2] = {
        {"txt", "t.csv: no column 'txt' (did you mean 'text'?); there are 'text', '3', "
                "'label'"},
        {"Label", "t.csv: no column 'Label' (did you mean 'label'?); there are 'text', '3', "
                  "'label'"},
        {"4", "t.csv: no column '4'; there are 'text', '3', 'label'"},
        {"sentence", "t.csv: no column 'sentence'; there are 'text', '3', 'label'"},
        {"", "t.csv: no column ''; there are 'text', '3', 'label'"},
        {"99999999999999999999", "t.csv: no column '99999999999999999999'; there are "
                                 "'text', '3', 'label'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lorac_err err = {0};
        assert_int_equal(lorac_table_column_find(&c, t, bad[i][0], &err), LORAC_EUSER);
        assert_string_equal(err.text, bad[i][1]);
    }
    lorac_table_close(t);
}

static void a_damaged_table_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n; // 0: strlen
        const struct lorac_table_format *format;
        const char *want;
    } cases[] = {
        {"", 0, &plain, "t.csv: the file is empty, expected a table"},
        {"\xEF\xBB\xBF", 0, &plain, "t.csv: the file is empty, expected a table"},
        {"\n\r\n\n", 0, &plain, "t.csv: no rows, expected at least one"},
        {"a,b\n", 0, &plain, "t.csv: no rows behind the header, expected at least one"},
        {"a,b", 0, &plain, "t.csv: no rows behind the header, expected at least one"},
        {"a,b\n\n\n", 0, &plain, "t.csv: no rows behind the header, expected at least one"},
        {"a,b\n1,2\n3\n", 0, &plain, "t.csv:3:1: 1 field, expected 2 as in the header"},
        {"a,b\n1,2\n3,4,5\n", 0, &plain, "t.csv:3:5: 3 fields, expected 2 as in the header"},
        {"a,b\n1,2\n3,\"x\ny\",\xC3\xA9,5\n", 0, &plain,
         "t.csv:4:4: 4 fields, expected 2 as in the header"},
        {"1,2\n3\n", 0, &no_header, "t.csv:2:1: 1 field, expected 2 as in the first row"},
        {"a,b\n1,2\n   \n", 0, &plain, "t.csv:3:1: 1 field, expected 2 as in the header"},
        {"a,b\n\n\n1,2,\n", 0, &plain, "t.csv:4:5: 3 fields, expected 2 as in the header"},
        {"a\tb\n1\t2\t\n", 0, &tsv, "t.csv:2:5: 3 fields, expected 2 as in the header"},
        {"a,b\n1,\"2\n", 0, &plain,
         "t.csv:2:3: a quote opens here and never closes, expected a closing one"},
        {"a,b\n1,2\n\"3\n4,5\n6,7", 0, &plain,
         "t.csv:3:1: a quote opens here and never closes, expected a closing one"},
        {"a,b\nx,\"y\r\nz\n", 0, &plain,
         "t.csv:2:3: a quote opens here and never closes, expected a closing one"},
        {"\"a", 0, &plain,
         "t.csv:1:1: a quote opens here and never closes, expected a closing one"},
        {"a,b\n\"1\",\"", 0, &plain,
         "t.csv:2:5: a quote opens here and never closes, expected a closing one"},
        {"a,b\n5\" disk,2\n", 0, &plain,
         "t.csv:2:2: a quote inside a field that does not begin with one; quote the field and "
         "double the quote, or set the format's quote to none"},
        {"a,b\n1, \"2\"\n", 0, &plain,
         "t.csv:2:4: a quote inside a field that does not begin with one; quote the field and "
         "double the quote, or set the format's quote to none"},
        {"a,b\n\"1\"x,2\n", 0, &plain,
         "t.csv:2:4: 'x' after a closing quote, expected the delimiter or the line's end (the "
         "quote opened at 2:1)"},
        {"a,b\n\"1\"\x1F,2\n", 0, &plain,
         "t.csv:2:4: byte 0x1F after a closing quote, expected the delimiter or the line's end "
         "(the "
         "quote opened at 2:1)"},
        {"a,b\n\"1\" ,2\n", 0, &plain,
         "t.csv:2:4: ' ' after a closing quote, expected the delimiter or the line's end (the "
         "quote opened at 2:1)"},
        {"a,b\n1,\"2\n3,\"x\xC3\xA9\"\n", 0, &plain,
         "t.csv:3:4: 'x' after a closing quote, expected the delimiter or the line's end (the "
         "quote opened at 2:3)"},
        {"a,b\n\xC3\xA9,\"2\"\xC3\xA9\n", 0, &plain,
         "t.csv:2:6: '\xC3\xA9' after a closing quote, expected the delimiter or the line's end "
         "(the quote opened at 2:3)"},
        {"a;b\n1, 2;x\n", 0, &plain,
         "t.csv:2:3: 2 fields, expected 1 as in the header; is data.format.delimiter ';'?"},
        {"a|b|c,d\n1\n", 0, &plain,
         "t.csv:2:1: 1 field, expected 2 as in the header; is data.format.delimiter '|'?"},
        {"a,b\n1,caf\xE9\n", 0, &plain,
         "t.csv:2:6: byte 0xE9 is not UTF-8, expected UTF-8; the file looks like Latin-1: write "
         "data.format.encoding: latin-1"},
        {"a,b\n1,\xC3\xA9\xC0\x80\n", 0, &plain,
         "t.csv:2:4: byte 0xC0 is not UTF-8, expected UTF-8; the file looks like Windows-1252: "
         "write data.format.encoding: windows-1252"},
        {"a\xED\xA0\x80\n1\n", 0, &plain,
         "t.csv:1:2: byte 0xED is not UTF-8, expected UTF-8; the file looks like Windows-1252: "
         "write data.format.encoding: windows-1252"},
        {"a,b\n1,\xE4\xB8", 0, &plain,
         "t.csv:2:3: byte 0xE4 is not UTF-8, expected UTF-8; the file looks like Latin-1: write "
         "data.format.encoding: latin-1"},
        {"a,b\n1,\"x\ny\xFF\"\n", 0, &plain,
         "t.csv:3:2: byte 0xFF is not UTF-8, expected UTF-8; the file looks like Latin-1: write "
         "data.format.encoding: latin-1"},
        {"a,b\n1,x\0y\n", 10, &plain, "t.csv:2:4: a NUL byte, expected text (is the file binary?)"},
        {"\0", 1, &plain, "t.csv:1:1: a NUL byte, expected text (is the file binary?)"},
        {"\xFF\xFE"
         "a\0",
         4, &plain,
         "t.csv:1:1: the byte order mark of UTF-16, expected UTF-8; write data.format.encoding: "
         "utf-16"},
        {"\xFE\xFF\0a", 4, &plain,
         "t.csv:1:1: the byte order mark of UTF-16, expected UTF-8; write data.format.encoding: "
         "utf-16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_table *t = NULL;
        struct lorac_err err = {0};
        size_t n = cases[i].n ? cases[i].n : strlen(cases[i].text);
        char *exact = lorac_mem_new(n, 1); // so that ASan sees a read behind the end
        memcpy(exact, cases[i].text, n);
        assert_int_equal(lorac_table_parse(&t, exact, n, "t.csv", cases[i].format, &err),
                         LORAC_EFORMAT);
        assert_null(t);
        assert_string_equal(err.text, cases[i].want);
        lorac_mem_free(exact);
    }
}

static void a_byte_that_is_no_text_is_found_wherever_it_stands(void **state)
{
    (void)state;
    enum { N = 70 };
    for (size_t at = 0; at < N; at++) {
        static const struct {
            char byte;
            const char *what;
        } cases[] = {{'\0', "a NUL byte"}, {'\xFF', "byte 0xFF is not UTF-8"}};
        for (size_t i = 0; i < 4; i++) {
            char text[N + 3];
            char want[200];
            struct lorac_table *t = NULL;
            struct lorac_err err = {0};
            memcpy(text, "a\n", 2);
            memset(text + 2, i < 2 ? 'x' : 0x7F, N); // the last of ASCII
            text[N + 2] = '\n';
            text[2 + at] = cases[i % 2].byte;
            (void)snprintf(want, sizeof want, "t.csv:2:%zu: %s", at + 1, cases[i % 2].what);
            assert_int_equal(lorac_table_parse(&t, text, sizeof text, "t.csv", &plain, &err),
                             LORAC_EFORMAT);
            assert_memory_equal(err.text, want, strlen(want));
        }
    }
}

/* `n` fields of `size` bytes, one more column or byte than which is refused. */
static void limits_hold(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_table *t = NULL;
    enum { N = LORAC_MAX_FIELD };
    char *text = lorac_mem_new((size_t)N + 8, 1);
    memcpy(text, "a\n\"", 3);
    memset(text + 3, 'x', N);
    memcpy(text + 3 + N, "\"\n", 2);
    assert_int_equal(lorac_table_parse(&t, text, (size_t)N + 5, "t.csv", NULL, &err), LORAC_OK);
    struct lorac_row row = {0};
    assert_int_equal(lorac_table_row(&row, t, 0, &err), LORAC_OK);
    assert_int_equal(row.cells[0].n, N);
    lorac_row_free(&row);
    lorac_table_close(t);
    memcpy(text + 3 + N, "x\"\n", 3);
    assert_int_equal(lorac_table_parse(&t, text, (size_t)N + 6, "t.csv", NULL, &err),
                     LORAC_EFORMAT);
    assert_string_equal(err.text, "t.csv:2:1: a field of more than 16 MiB begins here, expected a "
                                  "shorter one (is a quote never closed?)");
    for (size_t i = 0; i < LORAC_MAX_COLUMNS; i++) {
        text[i] = ',';
    }
    text[LORAC_MAX_COLUMNS] = '\n';
    assert_int_equal(lorac_table_parse(&t, text, LORAC_MAX_COLUMNS + 1, "t.csv", &no_header, &err),
                     LORAC_EFORMAT);
    assert_string_equal(err.text, "t.csv:1:1: 4097 columns, expected at most 4096");
    assert_int_equal(lorac_table_parse(&t, text + 1, LORAC_MAX_COLUMNS, "t.csv", &no_header, &err),
                     LORAC_OK);
    lorac_table_close(t);
    lorac_mem_free(text);
}

static void a_quote_left_open_at_row_900000_is_named_there(void **state)
{
    (void)state;
    enum { ROWS = 900000, LINE = 8 };
    struct lorac_err err = {0};
    struct lorac_table *t = NULL;
    char *text = lorac_mem_new(((size_t)ROWS + 2) * LINE, 1);
    assert_non_null(text);
    for (size_t i = 0; i <= ROWS + 1; i++) { // line i + 1; the header is line 1
        memcpy(text + i * LINE,
               i == 0      ? "aaa,bbb\n"
               : i == ROWS ? "a ,\"b b\n"
                           : "aaa,b b\n",
               LINE);
    }
    assert_int_equal(lorac_table_parse(&t, text, ((size_t)ROWS + 2) * LINE, "t.csv", NULL, &err),
                     LORAC_EFORMAT);
    assert_string_equal(err.text, "t.csv:900001:4: a quote opens here and never closes, expected a "
                                  "closing one");
    lorac_mem_free(text);
}

static enum lorac_status open_and_read(struct lorac_err *err)
{
    static const char text[] = "a,b,c\n1,\"2\n2\",3\n4,5,6\n";
    struct lorac_table *t = NULL;
    struct lorac_row row = {0};
    unsigned long before = 0;
    enum lorac_status st = lorac_table_parse(&t, text, sizeof text - 1, "t.csv", NULL, err);
    if (st) { goto done; }
    st = lorac_table_row(&row, t, 0, err);
    if (st) { goto done; }
    assert_memory_equal(row.cells[1].at, "2\n2", 3);
    before = lorac_mem_count();
    st = lorac_table_row(&row, t, 1, err);
    assert_int_equal(lorac_mem_count(), before); // a shorter row needs no new memory
done:
    lorac_row_free(&row);
    lorac_table_close(t);
    return st;
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    int failures = 0;
    int unnoticed = 0;
    bool met = true;
    for (long n = 0; met; n++) {
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = open_and_read(&err);
        met = faults_stop();
        if (st) {
            assert_int_equal(st, LORAC_ENOMEM);
            assert_non_null(strstr(err.text, "memory"));
        }
        failures += st != LORAC_OK;
        unnoticed += met && !st;
    }
    assert_true(failures >= 10);
    assert_true(unnoticed < 6); // libcsv asks for less where it gets none
}

static void a_missing_file_is_an_error_that_names_it(void **state)
{
    (void)state;
    struct lorac_table *t = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_table_open(&t, "no/such.csv", NULL, &err), LORAC_EIO);
    assert_null(t);
    assert_non_null(strstr(err.text, "no/such.csv"));
}

/* Rows as Python's csv module counts them. */
static void real_tables_open_with_the_rows_they_have(void **state)
{
    (void)state;
    const struct lorac_table_format raw = {.delimiter = '\t'};
    const struct {
        const char *file;
        const struct lorac_table_format *format;
        size_t rows, columns;
    } cases[] = {
        {"csv/banking77/train.csv", &plain, 10003, 2},
        {"csv/banking77/test.csv", &plain, 3080, 2},
        {"csv/sst2/train.tsv", &raw, 6920, 2},
        {"csv/sst2/dev.tsv", &raw, 872, 2},
        {"csv/sst2/test.tsv", &raw, 1821, 2},
        {"csv/e2e-nlg/devset.csv", &plain, 4672, 2},
        {"csv/e2e-nlg/testset_w_refs.csv", &plain, 4693, 2},
        {"csv/itacola/ItaCoLA_dataset.tsv", &tsv, 9722, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = data_path(cases[i].file);
        if (path) {
            struct lorac_table *t = NULL;
            struct lorac_err err = {0};
            if (lorac_table_open(&t, path, cases[i].format, &err)) { fail_msg("%s", err.text); }
            assert_int_equal(lorac_table_rows(t), cases[i].rows);
            assert_int_equal(lorac_table_columns(t), cases[i].columns);
            lorac_table_close(t);
        }
        lorac_mem_free(path);
    }
}

static void rows_behind_4_gib_are_found(void **state)
{
    (void)state;
    uint32_t row_at[] = {10, 0xFFFFFF00U, 5, 700, 1}; // the last is 8 GiB behind the one before
    uint32_t carry[] = {2, 4, 4};
    const struct lorac_table t = {
        .size = 13ULL << 30, .row_at = row_at, .rows = 5, .carry = carry, .n_carry = 3};
    const uint64_t want[] = {
        10, 0xFFFFFF00U, (1ULL << 32) + 5, (1ULL << 32) + 700, (3ULL << 32) + 1, 13ULL << 30};
    for (size_t i = 0; i < 6; i++) {
        assert_true(lorac_table_offset(&t, i) == want[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_come_back_byte_for_byte),
        cmocka_unit_test(line_ends_and_blank_lines_do_not_change_the_cells),
        cmocka_unit_test(the_format_is_the_callers),
        cmocka_unit_test(a_row_buffer_may_serve_several_tables),
        cmocka_unit_test(another_delimiter_is_guessed_where_a_table_has_one_column),
        cmocka_unit_test(columns_are_found_by_name_then_by_number),
        cmocka_unit_test(a_damaged_table_is_refused_with_its_place),
        cmocka_unit_test(a_byte_that_is_no_text_is_found_wherever_it_stands),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(a_quote_left_open_at_row_900000_is_named_there),
        cmocka_unit_test(every_failed_allocation_is_reported),
        cmocka_unit_test(rows_behind_4_gib_are_found),
        cmocka_unit_test(a_missing_file_is_an_error_that_names_it),
        DATA_TEST(real_tables_open_with_the_rows_they_have),
    };
    return data_result(cmocka_run_group_tests_name("table", tests, NULL, NULL));
}
