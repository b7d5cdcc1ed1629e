/*
 * Predictions for a table. What is promised:
 *   - the table comes out as it went in, byte for byte: quotes, line ends, byte order mark, with or
 *     without a header; what is added is quoted where it has to be, or a space stands for what
 *     cannot be, and that is counted;
 *   - the delimiter is the recipe's, or the one that fits the table, where only one does;
 *   - rows with a blank cell are an error, asked all the same, or left without an answer, as
 *     data.on_empty says;
 *   - with `top` K the first K labels are there, in order, and their probabilities add up;
 *   - what was stopped or killed goes on and ends as if it had not been; another model, recipe or
 *     table is refused;
 *   - columns of the added names, and missing ones, are errors;
 *   - a prompt that is too long is cut as in training, whatever the tokenizer puts in front.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/predict.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* "data.KEY=FILE" of a table written into the folder; valid until the next call. */
static const char *set_path(const char *key, const char *name)
{
    static char text[512];
    (void)snprintf(text, sizeof text, "%s=%s", key, tiny_path(name));
    return text;
}

static struct lorac_predicted counts; // of the last one

static enum lorac_status predict_as(struct runs_job *s, const char *in,
                                    struct lorac_predict_options o, struct lorac_err *err)
{
    o.in = tiny_path(in);
    o.out = o.write ? NULL : tiny_path("out.csv");
    o.max_tokens = 5;
    return lorac_predict(&counts, s->j, NULL, &o, err);
}

static enum lorac_status predict(struct runs_job *s, const char *in, struct lorac_err *err)
{
    return predict_as(s, in, (struct lorac_predict_options){.overwrite = true}, err);
}

static void begins(const char *text, const char *with)
{
    if (strncmp(text, with, strlen(with)) != 0) { fail_msg("'%s', not '%s'", text, with); }
}

static char *out(void)
{
    size_t n = 0;
    return tiny_read(tiny_path("out.csv"), &n);
}

static char *predicted(struct runs_job *s, const char *in)
{
    struct lorac_err err = {0};
    if (predict(s, in, &err)) { fail_msg("%s", err.text); }
    return out();
}

static void cells_are_quoted_where_they_have_to_be(void **state)
{
    (void)state;
    struct runs_job s;
    static const char in[] =
        "id,text\n\"1,2\",\"he said \"\"no\"\"\"\n,\"two\nlines\"\n3,\" plain \"\n";
    static const char *const rows[] = {"id,text,prediction,probability\n",
                                       "\"1,2\",\"he said \"\"no\"\"\",", "\n,\"two\nlines\",",
                                       "\n3,\" plain \","};
    tiny_text("quoted.csv", in);
    runs_open_job(&s, 0, NULL);
    char *got = predicted(&s, "quoted.csv");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_non_null(strstr(got, rows[i]));
    }
    tiny_text("again.csv", got); // reads as a table, with the same cells
    struct lorac_table *t = NULL;
    struct lorac_row row = {0};
    assert_int_equal(lorac_table_open(&t, tiny_path("again.csv"), NULL, NULL), LORAC_OK);
    assert_true(lorac_table_rows(t) == 3 && lorac_table_columns(t) == 4);
    assert_int_equal(lorac_table_row(&row, t, 1, NULL), LORAC_OK);
    assert_int_equal(row.cells[0].n, 0);
    assert_memory_equal(row.cells[1].at, "two\nlines", 9);
    lorac_row_free(&row);
    lorac_table_close(t);
    lorac_mem_free(got);
    runs_close_job(&s);
}

static void tables_without_a_header_or_quotes_stay_so(void **state)
{
    (void)state;
    struct runs_job s;
    tiny_text("bare.tsv", "a \"fine\" tale\tgood\nno, no\tbad\nwell\tgood\nill\tbad\nfit\tgood\n"
                          "unfit\tbad\nup\tgood\ndown\tbad\n");
    tiny_text("new.tsv", "\"odd\nso, so\n");
    const char *const sets[] = {set_path("data.train", "bare.tsv"),
                                "-data.valid",
                                "data.format.delimiter=\"\\t\"",
                                "data.format.quote=''",
                                "data.format.header=false",
                                "data.columns={text: 1, label: 2}",
                                NULL};
    runs_open_job(&s, 0, sets);
    assert_int_equal(s.j->K, 2);
    char *got = predicted(&s, "new.tsv");
    assert_memory_equal(got, "\"odd\t", 5); // no header: the first row at once
    assert_non_null(strstr(got, "\nso, so\t"));
    lorac_mem_free(got);
    runs_close_job(&s);
}

static void without_labels_it_is_the_greedy_text(void **state)
{
    (void)state;
    struct runs_job s;
    // five answers to six rows: free text
    tiny_text("free.csv", "text,label\na,1\nb,2\nc,3\nd,4\ne,5\nf,5\n");
    tiny_text("ask.csv", "text\nonce\nupon\n");
    const char *const sets[] = {set_path("data.train", "free.csv"), "-data.valid",
                                "template.completion='{label}'", NULL};
    runs_open_job(&s, 0, sets);
    assert_int_equal(s.j->K, 0);
    char *got = predicted(&s, "ask.csv");
    assert_memory_equal(got, "text,prediction\nonce,", 21);
    lorac_mem_free(got);
    runs_close_job(&s);
}

static void tables_that_do_not_fit_are_errors(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_err err = {0};
    runs_open_job(&s, 0, NULL);
    assert_int_equal(lorac_file_remove(tiny_path("out.csv"), NULL), LORAC_OK);
    tiny_text("has.csv", "text,prediction\na,b\n");
    assert_int_equal(predict(&s, "has.csv", &err), LORAC_EUSER);
    assert_non_null(
        strstr(err.text, "has.csv: has a column 'prediction' already; predict adds that one"));
    tiny_text("lacks.csv", "review\na\n");
    assert_int_equal(predict(&s, "lacks.csv", &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "lacks.csv"));
    assert_non_null(strstr(err.text, "'text'"));
    tiny_text("ragged.csv", "id,text\n1,a\n2\n");
    assert_int_equal(predict(&s, "ragged.csv", &err), LORAC_EFORMAT);
    tiny_text("blank.csv", "id,text\n1,a\n2,  \n");
    assert_int_equal(predict(&s, "blank.csv", &err), LORAC_EUSER);
    assert_non_null(strstr(
        err.text, "blank.csv:3: column 'text' is blank, expected text (data.on_empty: keep"));
    assert_false(lorac_path_exists(tiny_path("out.csv"))); // nothing half-written
    runs_close_job(&s);
}

static void bytes_of_the_table_are_kept(void **state)
{
    (void)state;
    struct runs_job s;
    runs_open_job(&s, 0, NULL);
    tiny_text("excel.csv",
              "\xEF\xBB\xBFid,\"text\"\r\n\"1\",so\r\n\r\n2,\"a \"\"b\"\"\nc\"\r\n3,last");
    char *got = predicted(&s, "excel.csv");
    static const char *const rows[] = {
        "\xEF\xBB\xBFid,\"text\",prediction,probability\r\n\"1\",so,", "\r\n2,\"a \"\"b\"\"\nc\",",
        "\r\n3,last,"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_non_null(strstr(got, rows[i]));
    }
    begins(got, rows[0]);
    size_t n = strlen(got);
    assert_true(got[n - 2] == '\r' && got[n - 1] == '\n');
    assert_int_equal(counts.blank_lines, 1);
    assert_int_equal(counts.rows, 3);
    assert_int_equal(counts.delimiter, 0);
    lorac_mem_free(got);
    tiny_text("mac.csv", "text\rso\rlo\r");
    got = predicted(&s, "mac.csv");
    begins(got, "text,prediction,probability\rso,");
    assert_null(strchr(got, '\n'));
    lorac_mem_free(got);
    runs_close_job(&s);
    const char *const bare[] = {"data.format.header=false", "data.columns={text: 1, label: 2}",
                                set_path("data.train", "bare.csv"), "-data.valid", NULL};
    tiny_text("bare.csv", "a,good\nb,bad\nc,good\nd,bad\ne,good\nf,bad\ng,good\nh,bad\n");
    tiny_text("marked.csv", "\xEF\xBB\xBFso\nlo\n");
    runs_open_job(&s, 0, bare);
    got = predicted(&s, "marked.csv");
    begins(got, "\xEF\xBB\xBFso,");
    assert_non_null(strstr(got, "\nlo,"));
    lorac_mem_free(got);
    runs_close_job(&s);
}

static void the_delimiter_is_the_one_that_fits(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_err err = {0};
    runs_open_job(&s, 0, NULL);
    tiny_text("it.csv", "id;text\n1;bello, bello\n2;brutto\n");
    char *got = predicted(&s, "it.csv");
    begins(got, "id;text;prediction;probability\n1;bello, bello;");
    assert_int_equal(counts.delimiter, ';');
    lorac_mem_free(got);
    tiny_text("tab.tsv", "text\tid\nwell, well\t2\n");
    got = predicted(&s, "tab.tsv");
    begins(got, "text\tid\tprediction\tprobability\nwell, well\t2\t");
    lorac_mem_free(got);
    // the recipe's fits: it is taken, whatever else would
    tiny_text("own.csv", "text,a;b\nx,y\n");
    got = predicted(&s, "own.csv");
    begins(got, "text,a;b,prediction,probability\nx,y,");
    assert_int_equal(counts.delimiter, 0);
    lorac_mem_free(got);
    // none fits: the recipe's complaint
    tiny_text("other.csv", "id;review\n1;so\n");
    assert_int_equal(predict(&s, "other.csv", &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "other.csv: no column 'text'"));
    // a column of text whose commas are no delimiters: several would do, so none is guessed
    tiny_text("lines.csv", "text\nwell, well\n");
    assert_int_equal(predict(&s, "lines.csv", &err), LORAC_EFORMAT);
    runs_close_job(&s);
}

static void a_blank_cell_is_what_the_recipe_says(void **state)
{
    (void)state;
    struct runs_job s;
    tiny_text("gap.csv", "id,text\n1,so\n2, \n3,lo\n");
    const char *const skip[] = {"data.on_empty=skip", NULL};
    runs_open_job(&s, 0, skip);
    char *got = predicted(&s, "gap.csv");
    assert_non_null(strstr(got, "\n2, ,,\n3,lo,"));
    assert_true(counts.rows == 3 && counts.empty == 1 && counts.unasked == 1);
    lorac_mem_free(got);
    runs_close_job(&s);
    const char *const keep[] = {"data.on_empty=keep", NULL};
    runs_open_job(&s, 0, keep);
    got = predicted(&s, "gap.csv");
    assert_null(strstr(got, "\n2, ,,\n"));
    assert_true(counts.rows == 3 && counts.empty == 1 && counts.unasked == 0);
    lorac_mem_free(got);
    runs_close_job(&s);
}

static void the_first_labels_stand_in_order(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_err err = {0};
    const char *const sets[] = {"data.labels.map={good: x, bad: qq}", NULL};
    runs_open_job(&s, 0, sets);
    tiny_text("in.csv", "text\nso\nlo\n");
    const struct lorac_predict_options o = {.top = 5, .overwrite = true}; // there are two
    if (predict_as(&s, "in.csv", o, &err)) { fail_msg("%s", err.text); }
    char *got = out();
    static const char header[] = "text,prediction,probability,prediction_2,probability_2\n";
    assert_memory_equal(got, header, sizeof header - 1);
    const char *line = got + sizeof header - 1;
    for (int i = 0; i < 2; i++, line = strchr(line, '\n') + 1) {
        char a[8];
        char b[8];
        double p = 0.0;
        double q = 0.0;
        assert_int_equal(sscanf(line, "%*[a-z],%7[a-z],%lf,%7[a-z],%lf", a, &p, b, &q), 4);
        assert_string_not_equal(a, b);
        assert_true(p >= q && fabs(p + q - 1.0) < 2e-6);
    }
    lorac_mem_free(got);
    const struct lorac_predict_options all = {.scores = true, .overwrite = true};
    if (predict_as(&s, "in.csv", all, &err)) { fail_msg("%s", err.text); }
    got = out();
    assert_memory_equal(got, header, sizeof header - 1);
    line = got + sizeof header - 1;
    for (int i = 0; i < 2; i++, line = strchr(line, '\n') + 1) { // with more than four digits
        double p[2] = {0.0, 0.0};
        assert_int_equal(sscanf(line, "%*[a-z],%*[a-z],%lf,%*[a-z],%lf", &p[0], &p[1]), 2);
        assert_true(fabs(p[0] + p[1] - 1.0) < 1e-8);
        assert_true(fabs(p[1] * 1e4 - round(p[1] * 1e4)) > 1e-4);
    }
    lorac_mem_free(got);
    runs_close_job(&s);
    const char *const text[] = {"template.completion=' {label}{text}'", NULL};
    runs_open_job(&s, 0, text);
    assert_int_equal(predict_as(&s, "in.csv", o, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "there are no labels"));
    assert_int_equal(predict_as(&s, "in.csv", all, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "there are no labels to score"));
    runs_close_job(&s);
}

/* ---- stopped, killed, gone on with ---- */

static const char five[] = "text,id\n\"a\nb\",1\nc,2\nd,3\ne,4\nf,5\n";

static bool two_rows(void *self, double done)
{
    (void)self;
    return done < 0.3;
}

static void what_was_stopped_goes_on_and_ends_the_same(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_err err = {0};
    size_t n = 0;
    tiny_text("five.csv", five);
    runs_open_job(&s, 0, NULL);
    char *whole = predicted(&s, "five.csv");
    assert_int_equal(lorac_file_remove(tiny_path("out.csv"), NULL), LORAC_OK);

    const struct lorac_predict_options stops = {.progress = two_rows};
    assert_int_equal(predict_as(&s, "five.csv", stops, &err), LORAC_OK);
    assert_true(counts.stopped && counts.rows == 2 && counts.all == 5);
    assert_false(lorac_path_exists(tiny_path("out.csv")));
    char *part = tiny_read(tiny_path("out.csv.part"), &n);
    assert_memory_equal(part, whole, n);
    // begun anew without a word: no
    assert_int_equal(predict_as(&s, "five.csv", (struct lorac_predict_options){0}, &err),
                     LORAC_EUSER);
    assert_non_null(
        strstr(err.text, "out.csv.part: holds the rows of a prediction that was stopped"));
    // killed within a row, and within a quoted cell
    const struct lorac_predict_options again = {.resume = true};
    static const char *const torn[] = {"", "d,3,go", "\"d\n"};
    for (size_t i = 0; i < sizeof torn / sizeof *torn; i++) {
        char id[65];
        char *was = tiny_read(tiny_path("out.csv.part.id"), &n);
        memcpy(id, was, 64);
        id[64] = '\0';
        lorac_mem_free(was);
        assert_int_equal(
            lorac_file_append(tiny_path("out.csv.part"), torn[i], strlen(torn[i]), NULL), LORAC_OK);
        if (predict_as(&s, "five.csv", again, &err)) { fail_msg("%s", err.text); }
        assert_true(counts.resumed == 2 && counts.rows == 5 && !counts.stopped);
        char *got = out();
        assert_string_equal(got, whole);
        lorac_mem_free(got);
        assert_false(lorac_path_exists(tiny_path("out.csv.part")));
        assert_false(lorac_path_exists(tiny_path("out.csv.part.id")));
        tiny_text("out.csv.part", part); // once more
        tiny_text("out.csv.part.id", id);
    }
    lorac_mem_free(part);
    lorac_mem_free(whole);
    runs_close_job(&s);
}

struct patience {
    int calls;
};

static bool patient(void *self, double done)
{
    (void)done;
    return --((struct patience *)self)->calls > 0;
}

/* Stopped while an answer is generated: what there is of it is no answer. */
static void a_part_of_an_answer_is_none(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_err err = {0};
    size_t n = 0;
    const char *const sets[] = {"template.completion=' {label}{text}'", "eval.metrics=[loss]",
                                NULL};
    tiny_text("three.csv", "text\nso\nit\nas\n");
    runs_open_job(&s, 0, sets);
    assert_int_equal(s.j->K, 0);
    char *whole = predicted(&s, "three.csv");
    bool within = false; // an answer
    for (int calls = 1; calls < 40; calls++) {
        struct patience p = {calls};
        const struct lorac_predict_options o = {.progress = patient, .self = &p, .overwrite = true};
        assert_int_equal(predict_as(&s, "three.csv", o, &err), LORAC_OK);
        if (!counts.stopped) { break; }
        if (counts.rows == 0) {
            assert_false(lorac_path_exists(tiny_path("out.csv.part")));
            continue;
        }
        within = true;
        char *part = tiny_read(tiny_path("out.csv.part"), &n);
        assert_memory_equal(part, whole, n);
        struct lorac_table *t = NULL;
        assert_int_equal(lorac_table_open(&t, tiny_path("out.csv.part"), NULL, NULL), LORAC_OK);
        assert_int_equal(lorac_table_rows(t), counts.rows);
        lorac_table_close(t);
        lorac_mem_free(part);
    }
    assert_true(within && !counts.stopped);
    lorac_mem_free(whole);
    runs_close_job(&s);
}

static void what_a_table_cannot_hold_is_a_space_and_counted(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_table *t = NULL;
    const char *const sets[] = {
        "template.completion=' {label}{text}'", "eval.metrics=[loss]", "data.format.quote=''",
        set_path("data.train", "noquotes.csv"), "-data.valid",         NULL};
    const struct lorac_table_format format = {.delimiter = ',', .header = true};
    tiny_text("noquotes.csv", "text,label\na,b\nc,d\n");
    tiny_text("three.csv", "text\nso\nit\nas\n");
    runs_open_job(&s, 0, sets);
    lorac_mem_free(predicted(&s, "three.csv"));
    assert_true(counts.unwritten > 0); // the random model writes line ends and NULs
    assert_int_equal(lorac_table_open(&t, tiny_path("out.csv"), &format, NULL), LORAC_OK);
    assert_int_equal(lorac_table_rows(t), 3);
    lorac_table_close(t);
    runs_close_job(&s);
}

static void what_is_not_the_same_is_not_gone_on_with(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_err err = {0};
    const struct lorac_predict_options again = {.resume = true};
    // the last test left two rows of five.csv
    static const char *const others[] = {
        "model.max_length=40", "data.on_too_long=error", "template.append_eos=false",
        "data.labels.map={good: bad, bad: good}", "template.prompt='{text} was'"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *const sets[] = {others[i], NULL};
        runs_open_job(&s, 0, sets);
        assert_int_equal(predict_as(&s, "five.csv", again, &err), LORAC_EUSER);
        assert_non_null(
            strstr(err.text, "holds answers of another model, adapter, recipe or table"));
        runs_close_job(&s);
    }
    runs_open_job(&s, 0, NULL);
    tiny_text("five.csv", "text,id\n\"a\nb\",1\nc,2\nd,3\ne,4\nF,5\n");
    assert_int_equal(predict_as(&s, "five.csv", again, &err), LORAC_EUSER);
    assert_int_equal(
        predict_as(&s, "five.csv", (struct lorac_predict_options){.resume = true, .top = 2}, &err),
        LORAC_EUSER);
    tiny_text("five.csv", five);
    assert_int_equal(predict_as(&s, "five.csv", again, &err), LORAC_OK);
    assert_int_equal(counts.resumed, 2);
    // nothing is left to go on with
    assert_int_equal(predict_as(&s, "five.csv", again, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "out.csv.part: is not there: no prediction into"));
    runs_close_job(&s);
}

struct taken {
    char text[512];
    size_t n;
};

static bool take(void *self, const char *bytes, size_t n)
{
    struct taken *t = self;
    if (n >= sizeof t->text - t->n) { return false; }
    memcpy(t->text + t->n, bytes, n);
    t->text[t->n += n] = '\0';
    return true;
}

static void rows_go_to_who_takes_them(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_err err = {0};
    struct taken t = {0};
    runs_open_job(&s, 0, NULL);
    tiny_text("five.csv", five);
    char *whole = predicted(&s, "five.csv");
    const struct lorac_predict_options o = {
        .bytes = five, .n_bytes = sizeof five - 1, .write = take, .self = &t};
    if (predict_as(&s, "nowhere.csv", o, &err)) { fail_msg("%s", err.text); }
    assert_string_equal(t.text, whole);
    lorac_mem_free(whole);
    struct taken full = {.n = sizeof full.text - 40};
    const struct lorac_predict_options no = {
        .bytes = five, .n_bytes = sizeof five - 1, .write = take, .self = &full};
    assert_int_equal(predict_as(&s, "nowhere.csv", no, &err), LORAC_EIO);
    runs_close_job(&s);
}

/* ---- prompts ---- */

/* A tokenizer that puts `front` before a text: the file's post-processor, rewritten. */
static void write_front(const char *front)
{
    size_t n = 0;
    static const char was[] = "\"single\": [";
    char *json = tiny_read(tiny_path("model/tokenizer.json"), &n);
    char *at = strstr(json, was);
    assert_non_null(at);
    at += sizeof was - 1;
    char *sequence = strstr(at, "\"Sequence\"");
    assert_non_null(sequence);
    while (*sequence != '{') {
        sequence--;
    }
    char *text = lorac_mem_new(n + strlen(front) + 1, 1);
    (void)snprintf(text, n + strlen(front) + 1, "%.*s%s%s", (int)(at - json), json, front,
                   sequence);
    tiny_text("model/tokenizer.json", text);
    lorac_mem_free(text);
    lorac_mem_free(json);
}

static void a_prompt_is_cut_as_in_training(void **state)
{
    (void)state;
    static const char bos[] = "{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, ";
    char two[256];
    (void)snprintf(two, sizeof two, "%s%s", bos, bos);
    const struct {
        const char *front, *prompt;
        size_t stays;
    } cases[] = {
        {bos, "{text} is", 1},      {two, "{text} is", 2}, {"", "<s>{text} is", 1},
        {"", "<s><s>{text} is", 2}, {"", "{text} is", 0},
    };
    size_t n = 0;
    char *kept = tiny_read(tiny_path("model/tokenizer.json"), &n);
    tiny_text("long.csv", "text,label\n0123456789abcdefghijklmnopqrstuvwxyz,good\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct runs_job s;
        struct lorac_err err = {0};
        struct lorac_predictor *p = NULL;
        struct lorac_example e = {0};
        char prompt[128];
        size_t cut = 0;
        write_front(cases[i].front);
        (void)snprintf(prompt, sizeof prompt, "template.prompt='%s'", cases[i].prompt);
        const char *const sets[] = {prompt, "model.max_length=20",
                                    set_path("data.valid", "long.csv"), NULL};
        runs_open_job(&s, LORAC_JOB_VALID, sets);
        if (lorac_predictor_new(&p, s.j, NULL, 5, &err)) { fail_msg("%s", err.text); }
        struct lorac_cell values[2] = {{"0123456789abcdefghijklmnopqrstuvwxyz", 36}, {"", 0}};
        assert_int_equal(lorac_predictor_prompt(&cut, p, values, &err), LORAC_OK);
        const struct lorac_ids *ids = lorac_predictor_ids(p);
        assert_true(cut > 0);
        // " good" and the end: six tokens, the longest label's room, so both cut alike
        assert_int_equal(lorac_dataset_example(&e, s.j->valid.set, 0, &err), LORAC_OK);
        assert_int_equal(ids->n, e.trained_from);
        assert_memory_equal(ids->at, e.ids.at, ids->n * sizeof *ids->at);
        assert_int_equal(lorac_dataset_prompt(&e, s.j->valid.set, 0, 6, &err), LORAC_OK);
        assert_int_equal(ids->n, e.ids.n);
        assert_memory_equal(ids->at, e.ids.at, ids->n * sizeof *ids->at);
        for (size_t k = 0; k < ids->n; k++) {
            assert_int_equal(ids->at[k] == 256, k < cases[i].stays); // <s> stays in front
        }
        lorac_example_free(&e);
        lorac_predictor_free(p);
        runs_close_job(&s);
    }
    tiny_text("model/tokenizer.json", kept);
    lorac_mem_free(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_are_quoted_where_they_have_to_be),
        cmocka_unit_test(tables_without_a_header_or_quotes_stay_so),
        cmocka_unit_test(without_labels_it_is_the_greedy_text),
        cmocka_unit_test(tables_that_do_not_fit_are_errors),
        cmocka_unit_test(bytes_of_the_table_are_kept),
        cmocka_unit_test(the_delimiter_is_the_one_that_fits),
        cmocka_unit_test(a_blank_cell_is_what_the_recipe_says),
        cmocka_unit_test(the_first_labels_stand_in_order),
        cmocka_unit_test(what_was_stopped_goes_on_and_ends_the_same),
        cmocka_unit_test(what_is_not_the_same_is_not_gone_on_with),
        cmocka_unit_test(a_part_of_an_answer_is_none),
        cmocka_unit_test(what_a_table_cannot_hold_is_a_space_and_counted),
        cmocka_unit_test(rows_go_to_who_takes_them),
        cmocka_unit_test(a_prompt_is_cut_as_in_training),
    };
    return cmocka_run_group_tests_name("predict", tests, runs_make, runs_remove);
}
