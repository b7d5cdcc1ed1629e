/*
 * Tables as people have them. What is promised:
 *   - columns without a name, or with the same, stop nothing until they are used; then they are
 *     refused by place, and chosen by number;
 *   - an empty line of a table with one column is an empty cell, wherever it stands; of several
 *     columns it is told;
 *   - a cell with line ends and delimiters is told with the line where it begins;
 *   - Latin-1, Windows-1252 and UTF-16 are read where the format says so, refused with the key to
 *     set where not, and never taken one for the other in silence;
 *   - what is no table (JSON, spreadsheets, archives, ...) is refused as what it is;
 *   - what no one sees is shown.
 */
#include "tests/datasets/bytes.h"
#include "tests/support/faults.h"

static struct lorac_table *open_bytes_as(const char *text, size_t n,
                                         const struct lorac_table_format *f)
{
    struct lorac_table *t = NULL;
    struct lorac_err err = {0};
    if (lorac_table_parse(&t, text, n, "t.csv", f, &err)) { fail_msg("%s", err.text); }
    return t;
}

static void expect_refused(const char *text, size_t n, const struct lorac_table_format *f,
                           const char *want)
{
    struct lorac_table *t = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_table_parse(&t, text, n, "t.csv", f, &err), LORAC_EFORMAT);
    assert_null(t);
    assert_string_equal(err.text, want);
}

static void expect_cell(const struct lorac_table *t, size_t i, uint64_t line, size_t c,
                        const char *want)
{
    struct lorac_row row = {0};
    struct lorac_err err = {0};
    if (lorac_table_row(&row, t, i, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(row.line, line);
    assert_int_equal(row.cells[c].n, strlen(want));
    assert_memory_equal(row.cells[c].at, want, row.cells[c].n);
    lorac_row_free(&row);
}

/* ---- names ---- */

static void odd_names_stop_nothing_until_they_are_used(void **state)
{
    (void)state;
    struct lorac_table *t = open_text("\n,note,text,note,\"\"\n1,a,b,c,d\n");
    size_t c = 9;
    assert_int_equal(lorac_table_column_find(&c, t, "text", NULL), LORAC_OK);
    assert_int_equal(c, 2);
    for (size_t k = 1; k <= 5; k++) { // each by its number
        const char number[] = {(char)('0' + k), '\0'};
        assert_int_equal(lorac_table_column_find(&c, t, number, NULL), LORAC_OK);
        assert_int_equal(c, k - 1);
    }
    struct lorac_err err = {0};
    assert_int_equal(lorac_table_column_find(&c, t, "note", &err), LORAC_EUSER);
    assert_string_equal(err.text,
                        "t.csv:2:12: columns 2 and 4 are both named 'note'; choose one by "
                        "its number, as in data.columns: {note: 4}");
    assert_int_equal(lorac_table_column_find(&c, t, "", &err), LORAC_EUSER);
    assert_string_equal(err.text, "t.csv:2:1: column 1 has no name; choose it by its number, as in "
                                  "data.columns: {text: 1}");
    lorac_table_close(t);
    t = open_text("0,1\na,x\n"); // names come before numbers
    assert_int_equal(lorac_table_column_find(&c, t, "1", NULL), LORAC_OK);
    assert_int_equal(c, 1);
    lorac_table_close(t);
    t = open_text("1,1\na,x\n"); // a number where the name does not say which
    assert_int_equal(lorac_table_column_find(&c, t, "1", NULL), LORAC_OK);
    assert_int_equal(c, 0);
    assert_int_equal(lorac_table_column_find(&c, t, "2", NULL), LORAC_OK);
    assert_int_equal(c, 1);
    lorac_table_close(t);
    t = open_text("0,1,1\na,x,y\n"); // number 1 is another column
    assert_int_equal(lorac_table_column_find(&c, t, "1", NULL), LORAC_EUSER);
    lorac_table_close(t);
}

/* The template's variables are the header's names, where the recipe gives none. */
static void a_template_may_use_what_has_one_name(void **state)
{
    (void)state;
    struct lorac_tokenizer *bytes = open_bytes();
    struct lorac_table *t = open_text(",note,text,note\n1,a,b,c\n");
    struct lorac_dataset_options o = {
        .prompt = "{text}", .completion = "x", .append_eos = true, .max_length = 20};
    struct lorac_dataset *d = open_dataset(t, bytes, &o);
    assert_int_equal(lorac_dataset_size(d), 1);
    lorac_dataset_close(d);
    struct lorac_err err = {0};
    o.prompt = "{text}{note}";
    assert_int_equal(lorac_dataset_open(&d, t, bytes, &o, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "t.csv:1:12: columns 2 and 4 are both named 'note'"));
    const struct lorac_variable by_number[] = {{"text", "3"}, {"note", "4"}};
    o.variables = by_number;
    o.n_variables = 2;
    o.prompt = "{text}{note}";
    d = open_dataset(t, bytes, &o);
    struct lorac_example e = {0};
    assert_int_equal(lorac_dataset_example(&e, d, 0, NULL), LORAC_OK);
    assert_int_equal(e.ids.at[2], 'c');
    lorac_example_free(&e);
    lorac_dataset_close(d);
    lorac_table_close(t);
    lorac_tokenizer_free(bytes);
}

static void a_template_over_one_column_names_the_delimiter(void **state)
{
    (void)state;
    struct lorac_tokenizer *bytes = open_bytes();
    struct lorac_table *t = open_text("text;label\na;b\n");
    struct lorac_dataset *d = NULL;
    struct lorac_err err = {0};
    const struct lorac_dataset_options o = {
        .prompt = "{text}", .completion = "x", .append_eos = true, .max_length = 20};
    assert_int_equal(lorac_dataset_open(&d, t, bytes, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text,
                        "template.prompt:2: no variable 'text'; there are 'text;label'; is "
                        "data.format.delimiter ';'?");
    lorac_table_close(t);
    lorac_tokenizer_free(bytes);
}

/* A cell of its own part may be blank; of the others on_empty decides, as ever. */
static void an_optional_part_may_be_blank(void **state)
{
    (void)state;
    struct lorac_tokenizer *bytes = open_bytes();
    struct lorac_table *t = open_text("text,note\na,b\nc,\n,d\n");
    struct lorac_dataset *d = NULL;
    struct lorac_err err = {0};
    struct lorac_dataset_options o = {.prompt = "{text}{?note}/{note}{/note}",
                                      .completion = "x",
                                      .append_eos = true,
                                      .max_length = 20};
    assert_int_equal(lorac_dataset_open(&d, t, bytes, &o, &err), LORAC_EFORMAT);
    assert_non_null(strstr(err.text, "t.csv:4: column 'text' is blank, expected text (1 such row"));
    o.on_empty = LORAC_BAD_SKIP;
    d = open_dataset(t, bytes, &o);
    const struct lorac_data_counts *c = lorac_dataset_counts(d);
    assert_int_equal(c->used, 2);
    assert_int_equal(c->skipped_empty.n, 1);
    assert_int_equal(c->skipped_empty.line[0], 4);
    assert_int_equal(c->kept_empty.n, 1);
    assert_int_equal(c->kept_empty.line[0], 3);
    assert_int_equal(lorac_dataset_length(d, 0), 6); // <s> a / b x </s>
    assert_int_equal(lorac_dataset_length(d, 1), 4); // <s> c x </s>
    lorac_dataset_close(d);
    lorac_table_close(t);
    lorac_tokenizer_free(bytes);
}

/* ---- lines ---- */

static void an_empty_line_of_one_column_is_a_cell_wherever_it_stands(void **state)
{
    (void)state;
    static const struct lorac_table_format plain = {.delimiter = ',', .quote = '"'};
    static const char *const texts[] = {"\n\na\n\nb\n\n", "\r\n\r\na\r\n\r\nb\r\n\r\n",
                                        "\r\ra\r\rb\r\r", "\xEF\xBB\xBF\n\na\n\nb\n\n"};
    static const char *const want[] = {"", "", "a", "", "b", ""};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        struct lorac_table *t = open_bytes_as(texts[k], strlen(texts[k]), &plain);
        assert_int_equal(lorac_table_rows(t), 6);
        assert_int_equal(lorac_table_blank_lines(t)->n, 0);
        for (size_t i = 0; i < 6; i++) {
            expect_cell(t, i, i + 1, 0, want[i]);
        }
        lorac_table_close(t);
    }
    struct lorac_table *t = open_text("\ntext\n\na\n"); // above a header there is no row
    assert_int_equal(lorac_table_rows(t), 2);
    assert_int_equal(lorac_table_blank_lines(t)->n, 1);
    assert_int_equal(lorac_table_blank_lines(t)->line[0], 1);
    expect_cell(t, 0, 3, 0, "");
    lorac_table_close(t);
    t = open_bytes_as("\n1,2\n\n3,4\n", 10, &plain); // several columns: passed over, and told
    assert_int_equal(lorac_table_rows(t), 2);
    assert_int_equal(lorac_table_blank_lines(t)->n, 2);
    assert_int_equal(lorac_table_blank_lines(t)->line[0], 1);
    assert_int_equal(lorac_table_blank_lines(t)->line[1], 3);
    lorac_table_close(t);
}

/* "sep=;" in the first line is for Excel. */
static void a_line_that_tells_the_delimiter_is_no_row(void **state)
{
    (void)state;
    static const struct lorac_table_format semicolon = {
        .delimiter = ';', .quote = '"', .header = true};
    static const struct lorac_table_format plain = {.delimiter = ';', .quote = '"'};
    static const char text[] = "\xEF\xBB\xBFsep=;\r\ntext;label\r\na;b\r\n";
    struct lorac_table *t = open_bytes_as(text, sizeof text - 1, &semicolon);
    assert_string_equal(lorac_table_column_name(t, 0), "text");
    assert_int_equal(lorac_table_rows(t), 1);
    expect_cell(t, 0, 3, 1, "b");
    lorac_table_close(t);
    t = open_bytes_as("sep=;\n\na\n", 9, &plain); // one column: its blank line is a row
    assert_int_equal(lorac_table_rows(t), 2);
    expect_cell(t, 0, 2, 0, "");
    expect_cell(t, 1, 3, 0, "a");
    lorac_table_close(t);
    expect_refused(text, sizeof text - 1, NULL,
                   "t.csv:1:1: the file says that its delimiter is \";\" (sep=); write that as "
                   "data.format.delimiter");
    expect_refused(
        "text,label\n1,a,b\n", 17, NULL,
        "t.csv:2:5: 3 fields, expected 2 as in the header (has the first column no name, as "
        "R writes row names?)");
}

static void a_cell_with_line_ends_and_delimiters_is_told(void **state)
{
    (void)state;
    static const struct lorac_table_format tsv = {.delimiter = '\t', .quote = '"', .header = true};
    static const char swallowed[] = "text\tlabel\nx\ty\n\"a\tx\nb\ty\nc\tx\nd\"\ty\ne\tx\n";
    struct lorac_table *t = open_bytes_as(swallowed, sizeof swallowed - 1, &tsv);
    assert_int_equal(lorac_table_rows(t), 3);
    assert_int_equal(lorac_table_long_cells(t)->n, 1);
    assert_int_equal(lorac_table_long_cells(t)->line[0], 3);
    lorac_table_close(t);
    t = open_text(
        "a,b\n\"x\ny\",\"p,\r\nq\"\n\"x\ny\",1\n\"x,y\",2\n"); // one of them alone is nothing
    assert_int_equal(lorac_table_long_cells(t)->n, 1);
    assert_int_equal(lorac_table_long_cells(t)->line[0], 3);
    lorac_table_close(t);
}

/* ---- encodings ---- */

static const struct lorac_table_format as[LORAC_N_ENCODINGS] = {
    {.delimiter = ',', .quote = '\"', .header = true, .encoding = LORAC_ENCODING_UTF8},
    {.delimiter = ',', .quote = '\"', .header = true, .encoding = LORAC_ENCODING_LATIN1},
    {.delimiter = ',', .quote = '\"', .header = true, .encoding = LORAC_ENCODING_WINDOWS1252},
    {.delimiter = ',', .quote = '\"', .header = true, .encoding = LORAC_ENCODING_UTF16},
};

#define LITTLE "t\0,\0l\0\n\0\xE9\0,\0\"\0x\0\n\0\x3D\xD8\0\xDE\"\0\n\0"
#define BIG "\0t\0,\0l\0\n\0\xE9\0,\0\"\0x\0\n\xD8\x3D\xDE\0\0\"\0\n"

static void other_encodings_are_read_where_the_format_says_so(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        enum lorac_encoding encoding;
        const char *first, *second;
    } cases[] = {
        {"t,l\n\xE9,x\n", 8, LORAC_ENCODING_LATIN1, "\xC3\xA9", "x"},
        {"t,l\n\xE9,\x93x\x94\n", 10, LORAC_ENCODING_WINDOWS1252, "\xC3\xA9",
         "\xE2\x80\x9Cx\xE2\x80\x9D"},
        {"\xFF\xFE" LITTLE, sizeof LITTLE + 1, LORAC_ENCODING_UTF16, "\xC3\xA9",
         "x\n\xF0\x9F\x98\x80"},
        {LITTLE, sizeof LITTLE - 1, LORAC_ENCODING_UTF16, "\xC3\xA9", "x\n\xF0\x9F\x98\x80"},
        {"\xFE\xFF" BIG, sizeof BIG + 1, LORAC_ENCODING_UTF16, "\xC3\xA9", "x\n\xF0\x9F\x98\x80"},
        {BIG, sizeof BIG - 1, LORAC_ENCODING_UTF16, "\xC3\xA9", "x\n\xF0\x9F\x98\x80"},
        {"t,l\na,b\n", 8, LORAC_ENCODING_LATIN1, "a", "b"}, // ASCII is Latin-1, too
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_table *t = open_bytes_as(cases[i].text, cases[i].n, &as[cases[i].encoding]);
        assert_string_equal(lorac_table_column_name(t, 0), "t");
        expect_cell(t, 0, 2, 0, cases[i].first);
        expect_cell(t, 0, 2, 1, cases[i].second);
        if (i + 1 < sizeof cases / sizeof *cases) {
            assert_int_equal(lorac_encoding_guess(cases[i].text, cases[i].n), cases[i].encoding);
        }
        lorac_table_close(t);
    }
    assert_int_equal(lorac_encoding_guess("a", 1), LORAC_ENCODING_UTF8);
    assert_int_equal(lorac_encoding_guess("", 0), LORAC_ENCODING_UTF8);
    // one damaged character among good ones does not make it Latin-1
    assert_int_equal(lorac_encoding_guess("\xC3\xA9\xC3\xA8 \xE9 ", 7), LORAC_ENCODING_UTF8);
}

static void an_encoding_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    expect_refused("\xFF\xFE" LITTLE, sizeof LITTLE + 1, &as[0],
                   "t.csv:1:1: the byte order mark of UTF-16, expected UTF-8; write "
                   "data.format.encoding: utf-16");
    expect_refused(LITTLE, sizeof LITTLE - 1, &as[0],
                   "t.csv:1:2: a NUL byte, expected text; the file looks like UTF-16: write "
                   "data.format.encoding: utf-16");
    expect_refused("\xFF\xFE" LITTLE, sizeof LITTLE + 1, &as[1],
                   "t.csv:1:1: the byte order mark of UTF-16, expected latin-1; write "
                   "data.format.encoding: utf-16");
    expect_refused("t,l\n\xC3\xA9,x\n", 9, &as[1],
                   "t.csv: is UTF-8, but data.format.encoding says latin-1; write utf-8");
    expect_refused("t,l\n\xC3\xA9,x\n", 9, &as[3],
                   "t.csv: is not UTF-16, but data.format.encoding says utf-16; write utf-8");
    expect_refused("t,l\n\xE9,\n", 7, &as[3],
                   "t.csv: is not UTF-16, but data.format.encoding says utf-16; write latin-1");
    expect_refused(
        "t,l\n\xE9\x93,x\n", 9, &as[1],
        "t.csv:2:2: byte 0x93 is no character of Latin-1, but one of Windows-1252; write "
        "data.format.encoding: windows-1252");
    expect_refused("t,l\r\n\xE9,\x81\n", 9, &as[2],
                   "t.csv:2:3: byte 0x81 is no character of Windows-1252");
    expect_refused("\xFF\xFE"
                   "a\0\n\0b",
                   7, &as[3], "t.csv:2:1: half a character of UTF-16, expected a whole one");
    expect_refused("\xFF\xFE"
                   "a\0\n\0\0\xDC"
                   "b\0",
                   10, &as[3], "t.csv:2:1: half a character of UTF-16, expected a whole one");
    expect_refused("\xFF\xFE"
                   "a\0\0\xDC",
                   6, &as[3], "t.csv:1:2: half a character of UTF-16, expected a whole one");
    expect_refused(
        "\xFF\xFE\0\0a\0\0\0", 8, &as[3],
        "t.csv:1:1: the byte order mark of UTF-32, expected UTF-8; convert the file with "
        "iconv -f UTF-32 -t UTF-8");
    expect_refused("t,l\n\xC3\xA9\xC3\xA8\xE9,x\n", 12, &as[0],
                   "t.csv:2:3: byte 0xE9 is not UTF-8, expected UTF-8, as all around it is (is the "
                   "file damaged?)");
    // Cyrillic in KOI8-R: as Latin-1 it would be read without a word, and every letter another
    static const char koi[] =
        "text,label\n\xF0\xD2\xC9\xD7\xC5\xD4 \xCD\xC9\xD2 \xD3\xCE\xCF,\xC4\xC1\n";
    assert_int_equal(lorac_encoding_guess(koi, sizeof koi - 1), LORAC_ENCODING_UTF8);
    expect_refused(
        koi, sizeof koi - 1, &as[0],
        "t.csv:2:1: byte 0xF0 is not UTF-8, expected UTF-8; the file is of another encoding, "
        "and not Latin-1: iconv -f NAME -t UTF-8 makes UTF-8 of it");
    expect_refused("t\n\xE9,x\n", 6, &as[1], "t.csv:2:3: 2 fields, expected 1 as in the header");
}

/* ---- files that are no tables ---- */

static void what_is_no_table_is_refused_as_what_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n; // 0: strlen
        const char *want;
    } cases[] = {
        {"{\"messages\": [{\"role\": \"user\", \"content\": \"a, b\"}]}\n{\"messages\": []}\n", 0,
         "t.csv: holds JSON lines, objects with 'messages'; data.format: jsonl reads JSON lines"},
        {"\xEF\xBB\xBF {\"a\":1,\"b\":\"{\\\"\"} \r\n{\"a\":2}\r\n", 0,
         "t.csv: holds JSON lines, objects with 'a', 'b'; data.format: jsonl reads JSON lines"},
        {"[\n  {\n    \"a\": [1, 2],\n    \"b c\": {\"d\": 1}\n  },\n  {\"a\": 2}\n]\n", 0,
         "t.csv: holds a JSON list of objects with 'a', 'b c'; jq -c '.[]' 't.csv' > table.jsonl "
         "makes JSON lines of it, which data.format: jsonl reads"},
        {"[{\"a\":1},{\"a\":2}]", 0,
         "t.csv: holds a JSON list of objects with 'a'; jq -c '.[]' 't.csv' > table.jsonl makes "
         "JSON lines of it, which data.format: jsonl reads"},
        {"{\n\"a\": 1\n}\n", 0,
         "t.csv: holds a JSON object with 'a'; data.format: jsonl reads JSON lines"},
        {"[\n \"a\",\n \"b\"\n]\n", 0,
         "t.csv: holds a JSON list; a table is CSV, or JSON lines with an object on each"},
        {"{\"conversations\": [{\"from\": \"human\"}], \"chosen\": {}}\n", 0,
         "t.csv: holds a JSON object with 'conversations', 'chosen'; data.format: jsonl reads JSON "
         "lines"},
        {"[\"a, b\", \"x\"]\n[\"c\", \"y\"]\n", 0,
         "t.csv: holds a JSON list; a table is CSV, or JSON lines with an object on each"},
        {"{'text': 'a, \"b\"', 'label': 1}\n{'text': 'c', 'label': 2}\n", 0,
         "t.csv: holds Python dictionaries with 'text', 'label'; a table is CSV, or JSON lines "
         "with an object on each"},
        {"<?xml version=\"1.0\"?>\n", 0, "t.csv: is no table (CSV), but XML"},
        {"{}\n", 0, "t.csv: holds a JSON object; data.format: jsonl reads JSON lines"},
        {"PK\003\004xl", 6,
         "t.csv: is no table (CSV), but a zip archive, as .xlsx and .ods are; save the sheet as "
         "CSV "
         "(UTF-8), or unpack the archive"},
        {"\x1F\x8B\x08", 3,
         "t.csv: is no table (CSV), but compressed with gzip; unpack it with gzip -d"},
        {"PAR1\x15", 5,
         "t.csv: is no table (CSV), but a Parquet file; write it as CSV, as with "
         "DataFrame.to_csv()"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", 0,
         "t.csv: is a Git LFS pointer, not the file that it stands for; `git lfs pull` in that "
         "folder "
         "fetches it"},
        {"<!DOCTYPE html>\n<html>\n", 0,
         "t.csv: is no table (CSV), but a web page; download the file itself"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = cases[i].n ? cases[i].n : strlen(cases[i].text);
        char *exact = lorac_mem_new(n, 1); // so that ASan sees a read behind the end
        memcpy(exact, cases[i].text, n);
        expect_refused(exact, n, NULL, cases[i].want);
        lorac_mem_free(exact);
    }
}

/* Cells may begin with a brace or a bracket, and may hold JSON. */
static void a_table_with_braces_is_a_table(void **state)
{
    (void)state;
    static const struct lorac_table_format tsv = {.delimiter = '\t'};
    static const char *const texts[] = {
        "{\"a\": 1}\tx\n{\"a\": 2}\ty\n",
        "[{\"a\": 1}, {\"a\": 2}]\tx\n[{\"a\": 2}]\ty\n",
        "{name}\tx\n",
        "[INST] {\"a\": 1}\tx\n",
        "{\tx\n",
        "[{\tx\n",
        "{\"a\tx\n",
        "{\"a\" b}\tx\n",
        "[1, 2]\tx\n",
        "[{\"a\": 1}\tx\n",
        "[]\tx\n",
        "[\tx\n1\ty\n",
        "[\"a\"]\tx\n[\"b\"]\ty\n",
        "{'a'}\tx\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = strlen(texts[i]);
        char *exact = lorac_mem_new(n, 1);
        memcpy(exact, texts[i], n);
        struct lorac_table *t = open_bytes_as(exact, n, &tsv);
        assert_int_equal(lorac_table_columns(t), 2);
        lorac_table_close(t);
        lorac_mem_free(exact);
    }
}

/* ---- what no one sees ---- */

static void what_no_one_sees_is_shown(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"a b", "a b"},
        {"a\xC2\xA0", "a<U+00A0>"},
        {"\xEF\xBB\xBF"
         "a\xE2\x80\x8B",
         "<U+FEFF>a<U+200B>"},
        {"a\tb\r\nc\x01", "a\\tb\\r\\nc<U+0001>"},
        {"\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80", "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80"},
        {"\xE9", "<0xE9>"},
        {"0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcde"},
        {"0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789ab..."},
        {"0123456789abcdef0123456789a\xE4\xB8\xAD\xE4\xB8\xAD", "0123456789abcdef0123456789a..."},
    };
    char out[32];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(lorac_visible(out, sizeof out, cases[i].text, strlen(cases[i].text)),
                            cases[i].want);
    }
    struct lorac_table *t = open_text("text\xC2\xA0,label\na,b\n");
    struct lorac_err err = {0};
    size_t c = 0;
    assert_int_equal(lorac_table_column_find(&c, t, "text", &err), LORAC_EUSER);
    assert_string_equal(err.text,
                        "t.csv: no column 'text' (did you mean 'text<U+00A0>'?); there are "
                        "'text<U+00A0>', 'label'");
    lorac_table_close(t);
}

/* ---- failures ---- */

static enum lorac_status open_both(struct lorac_err *err)
{
    struct lorac_table *t = NULL;
    enum lorac_status st =
        lorac_table_parse(&t, LITTLE, sizeof LITTLE - 1, "t.csv", &as[LORAC_ENCODING_UTF16], err);
    lorac_table_close(t);
    if (st) { return st; }
    st = lorac_table_parse(&t, "{\"a\": 1}\n", 9, "t.csv", NULL, err);
    return st == LORAC_EFORMAT ? LORAC_OK : st;
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    bool met = true;
    int failures = 0;
    for (long n = 0; met; n++) {
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = open_both(&err);
        met = faults_stop();
        failures += st != LORAC_OK;
        if (st) {
            assert_int_equal(st, LORAC_ENOMEM);
            assert_non_null(strstr(err.text, "memory"));
        }
    }
    assert_true(failures >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_names_stop_nothing_until_they_are_used),
        cmocka_unit_test(a_template_may_use_what_has_one_name),
        cmocka_unit_test(a_template_over_one_column_names_the_delimiter),
        cmocka_unit_test(an_optional_part_may_be_blank),
        cmocka_unit_test(an_empty_line_of_one_column_is_a_cell_wherever_it_stands),
        cmocka_unit_test(a_line_that_tells_the_delimiter_is_no_row),
        cmocka_unit_test(a_cell_with_line_ends_and_delimiters_is_told),
        cmocka_unit_test(other_encodings_are_read_where_the_format_says_so),
        cmocka_unit_test(an_encoding_that_does_not_fit_is_refused),
        cmocka_unit_test(what_is_no_table_is_refused_as_what_it_is),
        cmocka_unit_test(a_table_with_braces_is_a_table),
        cmocka_unit_test(what_no_one_sees_is_shown),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("odd_tables", tests, NULL, NULL);
}
