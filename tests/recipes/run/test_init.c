/*
 * A first recipe for a table. What is promised: delimiter, quotes, header, columns and labels are
 * recognised in made and in real tables; the result reads without errors and opens; what it says of
 * lengths is true; a table that is none is an error.
 */
#include "recipes/run/init.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/job.h"
#include "tests/recipes/run/heads.h"
#include "tests/support/data.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The recipe for a table, read and opened. */
struct first {
    struct lorac_buf text, told;
    struct lorac_recipe *r;
    struct lorac_job *j;
};

static struct first open_on(const char *model, const char *table,
                            const struct lorac_first_columns *o)
{
    struct first f = {0};
    struct lorac_err err = {0};
    if (lorac_recipe_init(&f.text, &f.told, tiny_path(model), table, o, &err) ||
        lorac_recipe_parse(&f.r, f.text.at, f.text.n, "first.yaml", NULL, NULL, 0, NULL, &err) ||
        lorac_job_open(&f.j, f.r, LORAC_JOB_TRAIN | LORAC_JOB_NO_MODEL, &err)) {
        fail_msg("%s", err.text);
    }
    return f;
}

static struct first open_chosen(const char *table, const struct lorac_first_columns *o)
{
    return open_on("model", table, o);
}

static struct first open_first(const char *table)
{
    return open_chosen(table, NULL);
}

static void close_first(struct first *f)
{
    lorac_job_close(f->j);
    lorac_recipe_free(f->r);
    lorac_buf_free(&f->text);
    lorac_buf_free(&f->told);
}

/* 24 rows of a text, a number and one of two labels, with this delimiter. */
static const char *write_table(const char *header, char d, const char *quote)
{
    struct lorac_buf b = {0};
    lorac_buf_str(&b, header);
    for (int i = 0; i < 24; i++) {
        lorac_buf_printf(&b, "%d%c%sword, number %d%s%c%s\n", i, d, quote, i, quote, d,
                         i % 3 ? "good" : "bad");
    }
    tiny_text("table", b.at);
    lorac_buf_free(&b);
    return tiny_path("table");
}

static void expect_told(const struct first *f, const char *text)
{
    if (!strstr(f->told.at, text)) { fail_msg("no '%s' in:\n%s", text, f->told.at); }
}

static void check_made(const struct first *f, char delimiter, bool header, const char *text,
                       const char *label)
{
    assert_int_equal(f->r->data.format.delimiter, delimiter);
    assert_int_equal(f->r->data.format.header, header);
    assert_int_equal(f->r->data.columns.n, 2);
    assert_string_equal(f->r->data.columns.at[0].key, "text");
    assert_string_equal(f->r->data.columns.at[0].value, text);
    assert_string_equal(f->r->data.columns.at[1].key, "label");
    assert_string_equal(f->r->data.columns.at[1].value, label);
    assert_int_equal(f->r->data.labels.map.n, 0); // it would only repeat the column's words
    assert_int_equal(f->j->K, 2);
    assert_int_equal(f->r->model.max_length, 32); // no row is longer
    assert_int_equal(f->r->data.valid.kind, LORAC_RECIPE_SPLIT_FRACTION);
    assert_string_equal(f->r->data.valid.stratify, "label");
}

static void delimiter_header_and_columns_are_recognised(void **state)
{
    (void)state;
    static const char delimiters[] = {',', '\t', ';', '|'};
    for (size_t i = 0; i < sizeof delimiters; i++) {
        char d = delimiters[i];
        char header[64];
        const char *quote = d == ',' ? "\"" : "";
        (void)snprintf(header, sizeof header, "id%cthe text%cmood\n", d, d);
        struct first f = open_first(write_table(header, d, quote));
        check_made(&f, d, true, "the text", "mood");
        close_first(&f);
        f = open_first(write_table("", d, quote));
        check_made(&f, d, false, "2", "3");
        close_first(&f);
    }
}

/* A column that is called so is the label, though another has fewer values; the other is told. */
static void the_label_may_be_called_so(void **state)
{
    (void)state;
    struct lorac_buf table = {0};
    lorac_buf_str(&table, "text,lang,intent\n");
    for (int i = 0; i < 24; i++) {
        lorac_buf_printf(&table, "row %d,%s,%c\n", i, i % 2 ? "it" : "en", 'a' + i % 3);
    }
    tiny_text("table", table.at);
    lorac_buf_free(&table);
    struct first f = open_first(tiny_path("table"));
    assert_string_equal(f.r->data.columns.at[1].value, "intent");
    expect_told(&f, "label     'intent': 3 values, and called like a label\n");
    expect_told(&f, "not used  'lang': 2 values, but not called like a label\n");
    close_first(&f);
}

/* Of JSON lines, too. */
static void members_of_json_lines_have_names(void **state)
{
    (void)state;
    struct lorac_buf table = {0};
    for (int i = 0; i < 24; i++) {
        lorac_buf_printf(&table, "{\"id\": \"n%d\", \"text\": \"row %d\", \"lang\": \"%s\", ", i, i,
                         i % 2 ? "it" : "en");
        lorac_buf_printf(&table, "\"intent\": \"%c\"}\n", 'a' + i % 3);
    }
    tiny_text("table", table.at);
    lorac_buf_free(&table);
    struct first f = open_first(tiny_path("table"));
    assert_string_equal(f.r->data.columns.at[1].value, "intent");
    expect_told(&f, "label     'intent': 3 values, and called like a label\n");
    expect_told(&f, "text      'text': called like a text\n");
    close_first(&f);
}

/* 80 rows of two texts and one of K labels. */
static const char *write_labels(int K)
{
    struct lorac_buf table = {0};
    lorac_buf_str(&table, "premise,hypothesis,label\n");
    for (int i = 0; i < 4 * K; i++) {
        lorac_buf_printf(&table, "it is %d so,not %d then,%c%d\n", i, 7 * i, 'a' + i % K, i % K);
    }
    tiny_text("table", table.at);
    lorac_buf_free(&table);
    return tiny_path("table");
}

static void many_labels_are_a_heads(void **state)
{
    (void)state;
    for (int K = 16; K <= 17; K++) {
        struct first f = open_first(write_labels(K));
        assert_int_equal(lorac_job_has_head(f.j), K > 16);
        assert_int_equal(f.j->K, K);
        assert_null(f.r->templates.pair); // of an encoder alone
        if (K > 16) {
            assert_string_equal(f.r->templates.prompt,
                                "Premise: {premise}\nHypothesis: {hypothesis}");
            expect_told(&f, "objective classify: 17 labels cost as much as one (causal_lm learns");
        }
        close_first(&f);
    }
}

static void an_encoder_gets_a_head_and_reads_pairs(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_buf text = {0};
    struct lorac_buf told = {0};
    struct first f = open_on("encoder", write_labels(2), NULL);
    assert_true(lorac_job_has_head(f.j));
    assert_string_equal(f.r->templates.prompt, "{premise}");
    assert_string_equal(f.r->templates.pair, "{hypothesis}");
    expect_told(&f, "objective classify: this model reads and does not write\n");
    close_first(&f);
    f = open_on("encoder", write_table("id,words,mood\n", ',', "\""), NULL);
    assert_string_equal(f.r->templates.prompt, "{text}");
    close_first(&f);
    tiny_text("table", "question,answer\nwhat is it,a word\nwho was here,nobody at all\n");
    assert_int_equal(
        lorac_recipe_init(&text, &told, tiny_path("encoder"), tiny_path("table"), NULL, &err),
        LORAC_EUSER);
    assert_non_null(strstr(err.text, "is an encoder, which reads a text and does not write one"));
    lorac_buf_free(&text);
    lorac_buf_free(&told);
}

/* Numbers that are codes are labels; amounts are a regression's, of which the caller says that they
 * are the answer. */
static void numbers_may_be_labels_or_amounts(void **state)
{
    (void)state;
    static const struct lorac_first_columns score = {.label = "score"};
    for (int K = 4; K <= 40; K *= 10) { // 4 scores of many rows each, or 40
        struct lorac_buf table = {0};
        lorac_buf_str(&table, "premise,hypothesis,score\n");
        for (int i = 0; i < 160; i++) {
            lorac_buf_printf(&table, "it is %d so,not %d then,%d.%d\n", i, 7 * i, i % K / 4, i % 4);
        }
        tiny_text("table", table.at);
        lorac_buf_free(&table);
        for (int encoder = 0; encoder < 2; encoder++) {
            struct first f = open_on(encoder ? "encoder" : "model", tiny_path("table"), &score);
            enum lorac_target target = lorac_job_objective(f.j)->target;
            assert_int_equal(target, K == 40   ? LORAC_TARGET_NUMBER
                                     : encoder ? LORAC_TARGET_LABEL
                                               : LORAC_TARGET_NONE);
            assert_string_equal(f.r->data.columns.at[2].value, "score");
            if (K == 40) {
                assert_string_equal(f.r->data.labels.column, "answer");
                expect_told(&f, "objective regress: ");
            }
            close_first(&f);
        }
    }
}

static void quotes_that_are_text_are_left_alone(void **state)
{
    (void)state;
    tiny_text("table",
              "\"so\" it goes\tx\n\"b\" and more\tx\nsome\ty\nmore\ty\na\tx\nb\ty\nc\tx\nd\ty\n");
    struct first f = open_first(tiny_path("table"));
    assert_int_equal(f.r->data.format.quote, '\0');
    assert_int_equal(f.r->data.format.delimiter, '\t');
    assert_int_equal(f.r->data.valid.kind, LORAC_RECIPE_SPLIT_NONE); // too few rows
    assert_int_equal(lorac_dataset_size(f.j->train.set), 8);
    expect_told(&f, "quote     '', quotes are characters like others: with quotes: ");
    expect_told(&f, ":1:5: ' ' after a closing quote");
    close_first(&f);
}

static void a_first_row_that_occurs_again_is_no_header(void **state)
{
    (void)state;
    tiny_text("table",
              "fine,good\nso so,bad\nwell,good\nno,bad\nyes,good\nnever,bad\nok,good\nhm,bad\n");
    struct first f = open_first(tiny_path("table"));
    assert_false(f.r->data.format.header);
    close_first(&f);
}

static void without_labels_the_answer_is_the_column_that_is_called_so(void **state)
{
    (void)state;
    tiny_text("table", "output,question,note\nParis,the capital of France?,a\nRome,of Italy?,b\n");
    struct first f = open_first(tiny_path("table"));
    assert_int_equal(f.r->data.labels.map.n, 0);
    assert_string_equal(f.r->data.columns.at[1].key, "answer");
    assert_string_equal(f.r->data.columns.at[1].value, "output");
    assert_string_equal(f.r->data.columns.at[0].value, "question");
    close_first(&f);
}

static void rows_with_empty_cells_and_long_rows_are_told(void **state)
{
    (void)state;
    struct lorac_buf b = {0};
    lorac_buf_str(&b, "text,label\n,x\n");
    for (int i = 0; i < 150; i++) {
        lorac_buf_printf(&b, "%s%d,%s\n",
                         i == 7 ? "long, or so it seems, for a row like this one" : "r", i,
                         i % 2 ? "x" : "y");
    }
    char *comma = b.at;
    while ((comma = strstr(comma, ", ")) !=
           NULL) { // the commas of the long row would be delimiters
        *comma = '.';
    }
    tiny_text("table", b.at);
    lorac_buf_free(&b);
    struct first f = open_first(tiny_path("table"));
    assert_int_equal(f.r->data.on_empty, LORAC_BAD_SKIP);
    assert_non_null(strstr(f.text.at, "1 row has an empty cell"));
    assert_non_null(strstr(f.text.at, "max_length: 32   # tokens; 1 of 151 rows are longer"));
    close_first(&f);
}

/* A prompt that is too long loses its beginning; an answer that is has none to lose. */
static void rows_whose_answers_are_too_long_are_left_out(void **state)
{
    (void)state;
    static const char many[] = " and so on and so on and so on and so on and so on and so on";
    for (int answer = 0; answer < 2; answer++) {
        struct lorac_buf b = {0};
        lorac_buf_str(&b, "question,answer\n");
        for (int i = 0; i < 150; i++) {
            bool is_long = i == 7;
            lorac_buf_printf(&b, "ask %d%s,tell %d%s\n", i, is_long && !answer ? many : "", i,
                             is_long && answer ? many : "");
        }
        tiny_text("table", b.at);
        lorac_buf_free(&b);
        struct first f = open_first(tiny_path("table"));
        assert_non_null(strstr(f.text.at, "1 of 150 rows are longer"));
        assert_int_equal(f.r->data.on_too_long,
                         answer ? LORAC_LONG_SKIP : LORAC_LONG_TRUNCATE_PROMPT);
        assert_int_equal(strstr(f.told.at, "answer is longer") != NULL, answer);
        assert_non_null(f.j); // it opens
        close_first(&f);
    }
}

static void one_column_is_free_text(void **state)
{
    (void)state;
    static const struct {
        const char *first;
        bool header;
    } cases[] = {
        {"text\n", true}, {"", false}, {"Once upon a time\n", false}, {"twice\ntwice\n", false}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct lorac_buf b = {0};
        lorac_buf_str(&b, cases[k].first);
        for (int i = 0; i < 24; i++) {
            lorac_buf_printf(&b, "\"There was a fox, number %d.\"\n", i);
        }
        tiny_text("table", b.at);
        lorac_buf_free(&b);
        struct first f = open_first(tiny_path("table"));
        assert_int_equal(f.r->data.format.header, cases[k].header);
        assert_int_equal(f.r->data.columns.n, 1);
        assert_string_equal(f.r->data.columns.at[0].value, cases[k].header ? "text" : "1");
        assert_null(f.r->templates.prompt);
        assert_string_equal(f.r->templates.completion, "{text}");
        assert_int_equal(f.r->templates.train_on, LORAC_TRAIN_ALL);
        assert_int_equal(f.r->data.valid.kind, LORAC_RECIPE_SPLIT_FRACTION);
        const struct lorac_data_counts *c = lorac_dataset_counts(f.j->train.set);
        assert_int_equal(c->trained, c->tokens - c->used); // all but what stands in front
        assert_int_equal(c->used + lorac_dataset_size(f.j->valid.set),
                         lorac_table_rows(f.j->train.table));
        close_first(&f);
    }
    tiny_text("table", "three\nsingle\nwords\n"); // no header: nothing says that the first is one
    struct first f = open_first(tiny_path("table"));
    assert_int_equal(lorac_table_rows(f.j->train.table), 3);
    close_first(&f);
}

static void what_is_no_table_is_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "empty"},
        {"a,b\nc\n", "table:2:1: 1 field, expected 2"},
        {"One, two.\nThree.\n",
         "and with a tab, semicolon or bar it has one column (a text with commas"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_buf b = {0};
        struct lorac_buf told = {0};
        struct lorac_err err = {0};
        tiny_text("table", cases[i].text);
        assert_int_not_equal(
            lorac_recipe_init(&b, &told, tiny_path("model"), tiny_path("table"), NULL, &err),
            LORAC_OK);
        if (!strstr(err.text, cases[i].message)) { fail_msg("%s", err.text); }
        assert_int_equal(b.n + told.n, 0);
        lorac_buf_free(&b);
    }
}

/* A real table, where it is there. */
static bool real(struct first *f, const char *name)
{
    char *path = data_path(name);
    if (path) { *f = open_first(path); }
    lorac_mem_free(path);
    return path != NULL;
}

static void real_tables_are_recognised(void **state)
{
    (void)state;
    struct first f;
    if (real(&f, "csv/banking77/train.csv")) {
        assert_true(f.r->data.format.header);
        assert_string_equal(f.r->data.columns.at[0].value, "text");
        assert_string_equal(f.r->data.columns.at[1].value, "category");
        assert_int_equal(f.j->K, 77);
        close_first(&f);
    }
    if (real(&f, "csv/sst2/train.tsv")) {
        assert_int_equal(f.r->data.format.delimiter, '\t');
        assert_false(f.r->data.format.header);
        assert_string_equal(f.r->data.columns.at[1].value, "2");
        assert_int_equal(f.j->K, 2);
        close_first(&f);
    }
    if (real(&f, "csv/e2e-nlg/devset.csv")) {
        assert_string_equal(f.r->data.columns.at[0].value, "mr");
        assert_string_equal(f.r->data.columns.at[1].key, "answer");
        assert_string_equal(f.r->data.columns.at[1].value, "ref");
        assert_int_equal(f.j->K, 0);
        close_first(&f);
    }
}

/* 48 rows "text, cell" of labels that stand together now so, now otherwise; `some` 0: some have
 * none. */
static void write_several(const char *header, const char *between, int some)
{
    static const char *const label[] = {"warm", "dear", "late"};
    struct lorac_buf b = {0};
    lorac_buf_str(&b, header);
    for (int i = 0; i < 48; i++) {
        const char *put = "";
        lorac_buf_printf(&b, "so it was %d of them\t", i);
        for (int k = 0; k < 3; k++) {
            if (!((i % 7 + some) >> k & 1)) { continue; }
            lorac_buf_printf(&b, "%s%s", put, label[k]);
            put = between;
        }
        lorac_buf_str(&b, "\n");
    }
    tiny_text("table", b.at);
    lorac_buf_free(&b);
}

static enum lorac_target target_of(const struct first *f)
{
    return lorac_job_objective(f->j)->target;
}

/* Beside a text, with a number of the row: an encoder learns nothing else of such a table. */
static void numbers_that_hardly_come_again_are_an_encoders(void **state)
{
    (void)state;
    static const char *const headers[] = {"id,review,stars,length\n", "id,review,weight,date\n",
                                          "id,review,weight,length\n", "id,review,stars,length\n"};
    for (size_t k = 0; k < 4; k++) {
        struct lorac_buf b = {0};
        lorac_buf_str(&b, headers[k]);
        for (int i = 0; i < (k == 3 ? 4 : 40); i++) {
            lorac_buf_printf(&b, "%d,a review of it %d,%d.25,%d\n", i, i, (i * 7) % 41, i * i);
        }
        tiny_text("table", b.at);
        lorac_buf_free(&b);
        if (k >= 2) { // which of two is not known; whether four are amounts neither
            struct lorac_buf text = {0};
            struct lorac_buf told = {0};
            struct lorac_err err = {0};
            assert_int_equal(lorac_recipe_init(&text, &told, tiny_path("encoder"),
                                               tiny_path("table"), NULL, &err),
                             LORAC_EUSER);
            assert_non_null(strstr(err.text, "has no column of labels; --label COLUMN says"));
            lorac_buf_free(&text);
            lorac_buf_free(&told);
            continue;
        }
        struct first f = open_on("encoder", tiny_path("table"), NULL);
        assert_int_equal(target_of(&f), LORAC_TARGET_NUMBER);
        assert_string_equal(f.r->data.columns.at[1].value, k ? "weight" : "stars");
        expect_told(&f, "numbers, for a model that writes no text");
        close_first(&f);
        f = open_first(tiny_path("table"));
        assert_int_equal(target_of(&f), LORAC_TARGET_NONE);
        close_first(&f);
    }
}

static void cells_of_several_labels_are_seen(void **state)
{
    (void)state;
    static const char *const between[] = {";", "|", ", "};
    for (size_t i = 0; i < 6; i++) {
        write_several(i % 2 ? "review\tmarks\n" : "review\ttags\n", between[i / 2], i < 4);
        struct first f = open_on(i < 3 ? "model" : "encoder", tiny_path("table"), NULL);
        assert_int_equal(target_of(&f), LORAC_TARGET_LABELS);
        assert_int_equal(f.j->K, 3);
        assert_int_equal(f.r->data.labels.separator[0], between[i / 2][0]);
        expect_told(&f, "3 labels, several in a cell");
        assert_int_equal(f.r->data.on_empty, i < 4 ? LORAC_BAD_ERROR : LORAC_BAD_KEEP);
        assert_int_equal(lorac_dataset_counts(f.j->train.set)->skipped_empty.n, 0);
        expect_told(&f, "objective multilabel: a cell may hold several labels, between '");
        close_first(&f);
    }
    write_several("review\ttext\n", ";", 1); // called a text: an answer may be anything
    struct first f = open_first(tiny_path("table"));
    assert_int_equal(target_of(&f), LORAC_TARGET_NONE);
    close_first(&f);
    struct lorac_buf b = {0}; // the same words together each time are one label
    lorac_buf_str(&b, "text\tkind\n");
    for (int i = 0; i < 40; i++) {
        lorac_buf_printf(&b, "so it was %d\t%s\n", i, i % 2 ? "food, drink" : "rent, work");
    }
    tiny_text("table", b.at);
    f = open_on("encoder", tiny_path("table"), NULL);
    assert_int_equal(target_of(&f), LORAC_TARGET_LABEL);
    assert_int_equal(f.j->K, 2);
    close_first(&f);
    lorac_buf_free(&b);
}

static void tags_beside_their_words_are_seen(void **state)
{
    (void)state;
    static const struct lorac_first_columns asked = {.label = "pos"};
    struct lorac_buf b = {0};
    struct lorac_buf json = {0};
    lorac_buf_str(&b, "id,pos,tokens,ner_tags\n");
    for (int i = 0; i < 40; i++) {
        lorac_buf_printf(&b, "%d,N V%s,it%d was%s,B-X O%s\n", i, i % 3 ? " N" : "", i,
                         i % 3 ? " me" : "", i % 3 ? " I-X" : "");
        lorac_buf_printf(&json, "{\"words\": [\"it %d\", \"was\"%s], \"tags\": [\"A\", 0%s]}\n", i,
                         i % 3 ? ", \"me\"" : "", i % 3 ? ", \"B\"" : "");
    }
    tiny_text("table", b.at);
    tiny_text("table.jsonl", json.at);
    for (int encoder = 0; encoder < 2; encoder++) {
        const char *model = encoder ? "encoder" : "model";
        struct first f = open_on(model, tiny_path("table"), NULL);
        assert_int_equal(target_of(&f), LORAC_TARGET_TAGS);
        assert_string_equal(f.r->data.columns.at[0].value, "tokens");
        assert_string_equal(f.r->data.columns.at[1].value, "ner_tags");
        assert_int_equal(f.j->K, 3);
        assert_true(f.r->eval.metrics >> LORAC_METRIC_ENTITY_F1 & 1U);
        expect_told(&f, "3 tags, as many in each row as it has words");
        expect_told(&f, "objective tag: each word has a tag\n");
        close_first(&f);
        f = open_on(model, tiny_path("table"), &asked);
        assert_string_equal(f.r->data.columns.at[1].value, "pos");
        assert_false(f.r->eval.metrics >> LORAC_METRIC_ENTITY_F1 & 1U);
        close_first(&f);
        f = open_on(model, tiny_path("table.jsonl"), NULL);
        assert_int_equal(target_of(&f), LORAC_TARGET_TAGS);
        assert_string_equal(f.r->data.columns.at[0].value, "words");
        assert_int_equal(f.j->K, 3);
        close_first(&f);
    }
    *strstr(b.at, "39 was") = '_'; // a row with a word less
    memcpy(strstr(b.at, "_9 was"), "39_was", strlen("39_was"));
    tiny_text("table", b.at);
    struct first f = open_first(tiny_path("table"));
    assert_int_not_equal(target_of(&f), LORAC_TARGET_TAGS);
    close_first(&f);
    lorac_buf_free(&b);
    lorac_buf_free(&json);
}

static int make_models(void **state)
{
    int failed = tiny_model(state);
    make_encoder();
    return failed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delimiter_header_and_columns_are_recognised),
        cmocka_unit_test(the_label_may_be_called_so),
        cmocka_unit_test(many_labels_are_a_heads),
        cmocka_unit_test(an_encoder_gets_a_head_and_reads_pairs),
        cmocka_unit_test(numbers_may_be_labels_or_amounts),
        cmocka_unit_test(numbers_that_hardly_come_again_are_an_encoders),
        cmocka_unit_test(cells_of_several_labels_are_seen),
        cmocka_unit_test(tags_beside_their_words_are_seen),
        cmocka_unit_test(members_of_json_lines_have_names),
        cmocka_unit_test(quotes_that_are_text_are_left_alone),
        cmocka_unit_test(a_first_row_that_occurs_again_is_no_header),
        cmocka_unit_test(without_labels_the_answer_is_the_column_that_is_called_so),
        cmocka_unit_test(rows_with_empty_cells_and_long_rows_are_told),
        cmocka_unit_test(rows_whose_answers_are_too_long_are_left_out),
        cmocka_unit_test(one_column_is_free_text),
        cmocka_unit_test(what_is_no_table_is_an_error),
        DATA_TEST(real_tables_are_recognised),
    };
    return data_result(cmocka_run_group_tests(tests, make_models, tiny_remove));
}
