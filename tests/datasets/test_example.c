/*
 * Examples and datasets. What is promised:
 *   - prompt and completion are tokenised apart, the prompt exactly as for generation; no token
 *     straddles;
 *   - EOS is trained, appended once; with train_on all every token but the first is trained;
 *   - a prompt that is too long loses its start but not BOS, a completion loses nothing;
 *   - a row is used, or counted under a reason with its line, or an error that names line and
 *     reason;
 *   - examples made again, and cached ones, are those that were counted;
 *   - whichever allocation fails is reported.
 */
#include "base/core/file.h"
#include "tests/datasets/bytes.h"
#include "tests/support/data.h"
#include "tests/support/faults.h"

static struct lorac_tokenizer *bytes;

static int open_all(void **state)
{
    (void)state;
    bytes = open_bytes();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    lorac_tokenizer_free(bytes);
    return 0;
}

static const struct lorac_dataset_options usual = {
    .prompt = "R: {text}\nS:",
    .completion = " {label}",
    .append_eos = true,
    .max_length = 64,
};

static void expect_ids(const struct lorac_example *e, const int32_t *want, size_t n)
{
    assert_int_equal(e->ids.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(e->ids.at[i], want[i]);
    }
}

/* The first example of a table under the options. */
static void expect_first(const char *text, const struct lorac_dataset_options *o,
                         const int32_t *want, size_t n, size_t trained_from)
{
    struct lorac_table *t = open_text(text);
    struct lorac_dataset *d = open_dataset(t, bytes, o);
    struct lorac_example e = {0};
    assert_int_equal(lorac_dataset_example(&e, d, 0, NULL), LORAC_OK);
    expect_ids(&e, want, n);
    assert_int_equal(e.trained_from, trained_from);
    assert_int_equal(lorac_dataset_length(d, 0), n);
    lorac_example_free(&e);
    lorac_dataset_close(d);
    lorac_table_close(t);
}

#define EXPECT_FIRST(text, o, from, ...)                  \
    expect_first(text, o, (const int32_t[]){__VA_ARGS__}, \
                 sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t), from)

static void prompt_and_completion_are_tokenised_apart(void **state)
{
    (void)state;
    // ": " is one token inside the prompt, but not where the completion's space follows its colon
    EXPECT_FIRST("text,label\nab: x,no\n", &usual, 9, BOS, 'R', COLON, AB, COLON, 'x', '\n', 'S',
                 ':', ' ', 'n', 'o', EOS);
    struct lorac_table *t = open_text("text,label\nab: x,no\n");
    struct lorac_dataset *d = open_dataset(t, bytes, &usual);
    struct lorac_ids ids = {0};
    const struct lorac_cell values[] = {{"ab: x", 5}, {"", 0}};
    assert_int_equal(lorac_prompt_encode(&ids, lorac_dataset_template(d), bytes, values, NULL),
                     LORAC_OK);
    struct lorac_example e = {0};
    assert_int_equal(lorac_dataset_example(&e, d, 0, NULL), LORAC_OK);
    assert_int_equal(ids.n, e.trained_from); // generation begins where training does
    assert_memory_equal(ids.at, e.ids.at, ids.n * sizeof *ids.at);
    assert_int_equal(lorac_dataset_prompt(&e, d, 0, 0, NULL), LORAC_OK);
    expect_ids(&e, ids.at, ids.n);
    lorac_ids_free(&ids);
    lorac_example_free(&e);
    lorac_dataset_close(d);
    lorac_table_close(t);
}

static void only_the_template_may_hold_special_tokens(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual;
    o.prompt = "{text}</s>";
    EXPECT_FIRST("text,label\n</s>,y\n", &o, 6, BOS, '<', '/', 's', '>', EOS, ' ', 'y', EOS);
}

static void eos_is_appended_once(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual;
    o.prompt = "{text}";
    o.completion = "{label}</s>";
    EXPECT_FIRST("text,label\nx,y\n", &o, 2, BOS, 'x', 'y', EOS);
    o.completion = "{label}";
    EXPECT_FIRST("text,label\nx,y\n", &o, 2, BOS, 'x', 'y', EOS);
    EXPECT_FIRST("text,label\nx,</s>\n", &o, 2, BOS, 'x', '<', '/', 's', '>', EOS);
    o.append_eos = false;
    EXPECT_FIRST("text,label\nx,y\n", &o, 2, BOS, 'x', 'y');
}

static void all_trains_every_token_but_the_first(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual;
    o.train_on = LORAC_TRAIN_ALL;
    o.prompt = "{text}";
    EXPECT_FIRST("text,label\nab,y\n", &o, 1, BOS, AB, ' ', 'y', EOS);
    o.completion = NULL; // a prompt alone
    EXPECT_FIRST("text,label\nab,y\n", &o, 1, BOS, AB, EOS);
}

static void without_a_prompt_the_completion_begins(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual;
    o.prompt = NULL;
    o.completion = "{text}";
    EXPECT_FIRST("text\nab x\n", &o, 1, BOS, AB, ' ', 'x', EOS);
    o.train_on = LORAC_TRAIN_ALL;
    EXPECT_FIRST("text\nab x\n", &o, 1, BOS, AB, ' ', 'x', EOS);
}

static void a_prompt_is_cut_from_its_start_and_keeps_bos(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual;
    o.prompt = "{text}:";
    static const char text[] = "text,label\n12345678,yes\n";
    o.max_length = 15; // BOS, 9, 4, EOS: as long as it may be
    EXPECT_FIRST(text, &o, 10, BOS, '1', '2', '3', '4', '5', '6', '7', '8', ':', ' ', 'y', 'e', 's',
                 EOS);
    o.max_length = 14;
    EXPECT_FIRST(text, &o, 9, BOS, '2', '3', '4', '5', '6', '7', '8', ':', ' ', 'y', 'e', 's', EOS);
    o.max_length = 7;
    EXPECT_FIRST(text, &o, 2, BOS, ':', ' ', 'y', 'e', 's', EOS);
    o.max_length = 6;
    EXPECT_FIRST(text, &o, 1, BOS, ' ', 'y', 'e', 's', EOS);
    o.train_on = LORAC_TRAIN_ALL;
    o.max_length = 7;
    EXPECT_FIRST(text, &o, 1, BOS, ':', ' ', 'y', 'e', 's', EOS);
}

static void expect_failure(const char *text, const struct lorac_dataset_options *o,
                           enum lorac_status code, const char *want)
{
    struct lorac_table *t = open_text(text);
    struct lorac_dataset *d = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_dataset_open(&d, t, bytes, o, &err), code);
    assert_null(d);
    assert_string_equal(err.text, want);
    lorac_table_close(t);
}

static void bad_rows_are_errors_that_name_line_and_reason(void **state)
{
    (void)state;
    static const struct lorac_label map[] = {{"1", "bad"}, {"5", "good"}};
    struct lorac_dataset_options o = usual;
    expect_failure("text,label\na,1\n\n ,1\nb,\n", &o, LORAC_EFORMAT,
                   "t.csv:4: column 'text' is blank, expected text (2 such rows, lines 4, 5; "
                   "on_empty: skip leaves them out, keep takes them as they are, and a part of the "
                   "template in {?name}...{/name} goes where its cell is blank)");
    o.max_length = 5;
    expect_failure("text,label\na,1\nb,12345\n", &o, LORAC_EFORMAT,
                   "t.csv:3: 14 tokens, 7 of them completion, expected at most max_length 5 (1 "
                   "such row; on_too_long: skip leaves them out)");
    o = usual;
    o.max_length = 9;
    o.on_too_long = LORAC_LONG_ERROR;
    expect_failure("text,label\na,1\nb,2\n", &o, LORAC_EFORMAT,
                   "t.csv:2: 10 tokens, 3 of them completion, expected at most max_length 9 "
                   "(all 2 rows; a larger model.max_length lets them in)");
    o = usual; // to skip every row is no way out
    o.labels = map;
    o.n_labels = 2;
    expect_failure("text,label\na,x\nb,y\xC2\xA0\n", &o, LORAC_EFORMAT,
                   "t.csv:2: column 'label' holds 'x', expected a value of labels.map (all 2 rows; "
                   "the map is of other words than the column: without labels.map its own are "
                   "taken)");
    expect_failure("text,label\na,1\nb,5\xC2\xA0\n", &o, LORAC_EFORMAT,
                   "t.csv:3: column 'label' holds '5<U+00A0>', expected a value of labels.map (1 "
                   "such row; labels.unknown: skip leaves them out)");
    expect_failure(
        "text,label\n,1\n,5\n", &o, LORAC_EFORMAT,
        "t.csv:2: column 'text' is blank, expected text (all 2 rows; on_empty: keep takes "
        "them as they are, or leave the column out of the template)");
    o = usual;
    o.labels = map;
    o.n_labels = 2;
    expect_failure("text,label\na,1\nb,2\nc,good\n,5\n", &o, LORAC_EFORMAT,
                   "t.csv:5: column 'text' is blank, expected text (1 such row; on_empty: skip "
                   "leaves them out, keep takes them as they are, and a part of the template in "
                   "{?name}...{/name} goes where its cell is blank); t.csv:3: column 'label' holds "
                   "'2', expected a value of "
                   "labels.map (2 such rows, lines 3, 4; labels.unknown: skip leaves them out)");
    o = usual;
    o.completion = "{label}";
    o.append_eos = false;
    o.on_empty = LORAC_BAD_KEEP;
    expect_failure("text,label\na,1\nb,\n", &o, LORAC_EFORMAT,
                   "t.csv:3: nothing to train, expected a completion of at least one token (1 "
                   "such row; on_empty: skip leaves them out)");
    o = usual;
    o.on_empty = LORAC_BAD_SKIP;
    expect_failure("text,label\n,1\nb,\n", &o, LORAC_EFORMAT,
                   "t.csv: no row is left of 2: 2 empty, 0 too long, 0 with an unknown label, "
                   "expected at least one");
}

/* 63 bytes of it, or whole characters and dots. */
static void a_long_label_is_shown_in_part(void **state)
{
    (void)state;
    static const struct lorac_label map[] = {{"1", "bad"}, {"5", "good"}};
    struct lorac_dataset_options o = usual;
    o.labels = map;
    o.n_labels = 2;
    for (int before = 55; before < 63; before++) { // bytes in front of U+1F600, which has 4
        char text[200];
        char want[300];
        const int n = before <= 57 ? before + 6 : before <= 60 ? before : 60;
        (void)snprintf(text, sizeof text, "text,label\na,%0*d\xF0\x9F\x98\x80zz\n", before, 0);
        (void)snprintf(want, sizeof want,
                       "t.csv:2: column 'label' holds '%.*s%s', expected a value of labels.map (1 "
                       "such row; labels.unknown: skip leaves them out)",
                       n, text + 13, before <= 57 ? "" : "...");
        expect_failure(text, &o, LORAC_EFORMAT, want);
    }
}

static void what_is_left_out_is_counted_with_its_lines(void **state)
{
    (void)state;
    static const struct lorac_label map[] = {{"5", "good"}, {"1", "bad"}, {"3", "so so"}};
    struct lorac_dataset_options o = usual;
    o.labels = map;
    o.n_labels = 3;
    o.max_length = 18;
    o.on_empty = LORAC_BAD_SKIP;
    o.on_unknown_label = LORAC_BAD_SKIP;
    o.on_too_long = LORAC_LONG_SKIP;
    static const char text[] = "id,text,label\n"
                               ",a,1\n"              // 2: used; the empty id is not in the template
                               "x, \xC2\xA0\t,1\n"   // 3: blank, no-break space included
                               "x,b,7\n"             // 4: unknown
                               "x,1234567890123,5\n" // 5: too long
                               "x,a,1\n"             // 6: as line 2
                               "x,c,5\n"             // 7: used
                               "x,,\n";              // 8: blank
    struct lorac_table *t = open_text(text);
    struct lorac_dataset *d = open_dataset(t, bytes, &o);
    const struct lorac_data_counts *c = lorac_dataset_counts(d);
    assert_int_equal(c->rows, 7);
    assert_int_equal(c->used, 3);
    assert_int_equal(c->skipped_empty.n, 2);
    assert_int_equal(c->skipped_empty.line[0], 3);
    assert_int_equal(c->skipped_empty.line[1], 8);
    assert_int_equal(c->skipped_label.n, 1);
    assert_int_equal(c->skipped_label.line[0], 4);
    assert_int_equal(c->skipped_long.n, 1);
    assert_int_equal(c->skipped_long.line[0], 5);
    assert_int_equal(c->duplicates.n, 1);
    assert_int_equal(c->duplicates.line[0], 6);
    assert_int_equal(c->truncated.n, 0);
    assert_int_equal(c->kept_empty.n, 0);
    assert_int_equal(c->last_trained_is_eos, 3);
    assert_int_equal(c->tokens, 12 + 12 + 13); // <s> R ": " a \n S : and " bad" or " good" and </s>
    assert_int_equal(c->trained, 5 + 5 + 6);
    assert_int_equal(c->longest, 13);
    assert_int_equal(c->shortest, 12);
    assert_int_equal(lorac_dataset_label_count(d, 0), 2); // lines 5 and 7
    assert_int_equal(lorac_dataset_label_count(d, 1), 2); // 2 and 6: line 3 was blank
    assert_int_equal(lorac_dataset_label_count(d, 2), 0);
    assert_int_equal(lorac_dataset_size(d), 3);
    assert_int_equal(lorac_dataset_row(d, 1), 4);
    assert_int_equal(lorac_dataset_line(d, 1), 6);
    lorac_dataset_close(d);
    o.duplicates = LORAC_DUPLICATE_DROP;
    d = open_dataset(t, bytes, &o);
    assert_int_equal(lorac_dataset_size(d), 2);
    assert_int_equal(lorac_dataset_line(d, 1), 7);
    assert_int_equal(lorac_dataset_counts(d)->duplicates.n, 1);
    lorac_dataset_close(d);
    o.on_empty = LORAC_BAD_KEEP; // the blank label of line 8 is then one that the map lacks
    o.on_too_long = LORAC_LONG_TRUNCATE_PROMPT;
    d = open_dataset(t, bytes, &o);
    assert_int_equal(lorac_dataset_counts(d)->kept_empty.n, 1);
    assert_int_equal(lorac_dataset_counts(d)->skipped_label.n, 2);
    assert_int_equal(lorac_dataset_counts(d)->truncated.n, 1);
    assert_int_equal(lorac_dataset_counts(d)->truncated.line[0], 5);
    lorac_dataset_close(d);
    lorac_table_close(t);
}

static void a_cell_is_text_whatever_it_says(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual;
    o.prompt = "{text}";
    o.completion = "{label}";
    EXPECT_FIRST("text,label\nNA,null\n", &o, 3, BOS, 'N', 'A', 'n', 'u', 'l', 'l', EOS);
    EXPECT_FIRST("text,label\n1.10,007\n", &o, 5, BOS, '1', '.', '1', '0', '0', '0', '7', EOS);
}

static void columns_are_mapped_by_name_or_number(void **state)
{
    (void)state;
    static const struct lorac_variable variables[] = {{"text", "review"}, {"label", "3"}};
    struct lorac_dataset_options o = usual;
    o.variables = variables;
    o.n_variables = 2;
    o.prompt = "{text}";
    EXPECT_FIRST("review,text,stars\na,b,c\n", &o, 2, BOS, 'a', ' ', 'c', EOS);
    static const struct lorac_variable missing[] = {{"text", "reviews"}};
    o.variables = missing;
    o.n_variables = 1;
    expect_failure("review,text,stars\na,b,c\n", &o, LORAC_EUSER,
                   "t.csv: no column 'reviews' (did you mean 'review'?); there are 'review', "
                   "'text', 'stars'");
    static const struct lorac_variable twice[] = {{"text", "1"}, {"text", "2"}};
    o.variables = twice;
    o.n_variables = 2;
    expect_failure("review,text,stars\na,b,c\n", &o, LORAC_EUSER,
                   "columns: variable 'text' is named twice");
}

static void options_that_cannot_be_meant_are_refused(void **state)
{
    (void)state;
    static const struct lorac_label twice[] = {{"1", "a"}, {"2", "b"}, {"1", "c"}};
    static const char text[] = "text,label\na,1\n";
    struct lorac_dataset_options o = usual;
    o.labels = twice;
    o.n_labels = 3;
    expect_failure(text, &o, LORAC_EUSER, "labels: value '1' is mapped twice");
    o.n_labels = 2;
    o.completion = " x";
    expect_failure(text, &o, LORAC_EUSER,
                   "labels: variable 'label' is mapped, but the template does not use it");
    o.completion = " {text}";
    expect_failure("text,stars\na,1\n", &o, LORAC_EUSER,
                   "labels: no variable 'label'; there are 'text', 'stars'");
    o = usual;
    o.label_variable = "stars";
    expect_failure(text, &o, LORAC_EUSER, "labels: no variable 'stars'; there are 'text', 'label'");
    o = usual;
    o.completion = "";
    expect_failure(text, &o, LORAC_EUSER,
                   "template.completion: empty, expected the text that "
                   "train_on: completion trains");
    o = usual;
    o.prompt = "{tekst}";
    expect_failure(text, &o, LORAC_EUSER,
                   "template.prompt:2: no variable 'tekst' (did you mean "
                   "'text'?); there are 'text', 'label'");
    o = usual;
    o.max_length = 1;
    expect_failure(text, &o, LORAC_EUSER, "max_length: 1, expected 2 to 2147483647");
    o = usual;
    o.on_unknown_label = LORAC_BAD_KEEP;
    expect_failure(text, &o, LORAC_EUSER,
                   "labels: unknown labels cannot be kept, expected error or skip");
    static const uint32_t rows[] = {0, 1};
    o = usual;
    o.rows = rows;
    o.n_rows = 2;
    expect_failure(text, &o, LORAC_EUSER, "t.csv: row 1 of 1 is asked for");
}

static void examples_come_again_as_they_were_counted(void **state)
{
    (void)state;
    static const uint32_t rows[] = {3, 0, 2};
    struct lorac_table *t = open_text("text,label\na,1\nb,2\nccc,3\ndd,4\n");
    struct lorac_dataset_options o = usual;
    o.rows = rows;
    o.n_rows = 3;
    struct lorac_dataset *made = open_dataset(t, bytes, &o);
    o.cache = (size_t)lorac_dataset_counts(made)->tokens * sizeof(int32_t);
    struct lorac_dataset *kept = open_dataset(t, bytes, &o);
    o.cache--;
    struct lorac_dataset *over = open_dataset(t, bytes, &o);
    assert_false(lorac_dataset_is_cached(made));
    assert_true(lorac_dataset_is_cached(kept));
    assert_false(lorac_dataset_is_cached(over));
    struct lorac_example a = {0};
    struct lorac_example b = {0};
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(lorac_dataset_row(made, i), rows[i]);
            assert_int_equal(lorac_dataset_example(&a, made, i, NULL), LORAC_OK);
            assert_int_equal(lorac_dataset_example(&b, kept, i, NULL), LORAC_OK);
            expect_ids(&b, a.ids.at, a.ids.n);
            assert_int_equal(a.trained_from, b.trained_from);
            assert_int_equal(a.ids.n, lorac_dataset_length(over, i));
            assert_int_equal(a.ids.at[a.trained_from + 1], '1' + (int)rows[i]);
        }
    }
    lorac_example_free(&a);
    lorac_example_free(&b);
    lorac_dataset_close(made);
    lorac_dataset_close(kept);
    lorac_dataset_close(over);
    lorac_table_close(t);
}

static void what_leaks_between_two_datasets_is_counted(void **state)
{
    (void)state;
    struct lorac_table *t = open_text("text,label\na,1\nb,2\nc,3\na,1\na,2\nb,2\n");
    static const uint32_t first[] = {0, 1, 2};
    static const uint32_t second[] = {3, 4, 5};
    struct lorac_dataset_options o = usual;
    o.n_rows = 3;
    o.rows = first;
    struct lorac_dataset *a = open_dataset(t, bytes, &o);
    o.rows = second;
    struct lorac_dataset *b = open_dataset(t, bytes, &o);
    size_t shared = 0;
    assert_int_equal(lorac_dataset_shared(&shared, a, b, NULL), LORAC_OK);
    assert_int_equal(shared, 2); // rows 3 and 5; the text of row 4 has another answer
    lorac_dataset_close(a);
    lorac_dataset_close(b);
    lorac_table_close(t);
}

static void a_tokenizer_without_eos_cannot_append_it(void **state)
{
    (void)state;
    char *json = NULL;
    size_t n = 0;
    struct lorac_tokenizer *plain = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_file_read(&json, &n,
                                     LORAC_TESTS_DIR "/datasets/data/bytes/tokenizer.json", 1 << 20,
                                     NULL),
                     LORAC_OK);
    assert_int_equal(lorac_tokenizer_parse(&plain, json, n, "tokenizer.json", &err), LORAC_OK);
    assert_int_equal(lorac_tokenizer_eos(plain), -1);
    struct lorac_table *t = open_text("text,label\na,1\n");
    struct lorac_dataset *d = NULL;
    assert_int_equal(lorac_dataset_open(&d, t, plain, &usual, &err), LORAC_EUSER);
    assert_string_equal(err.text, "t.csv:2: append_eos: the tokenizer has no end-of-sequence "
                                  "token, expected one");
    lorac_table_close(t);
    lorac_tokenizer_free(plain);
    lorac_mem_free(json);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    static const struct lorac_label map[] = {{"1", "bad"}, {"2", "good"}};
    struct lorac_table *t = open_text("text,label\na,1\nb,2\nc,1\n,1\n");
    struct lorac_dataset_options o = usual;
    o.labels = map;
    o.n_labels = 2;
    o.cache = 1000;
    for (int bad = 0; bad < 2; bad++) {
        int failures = 0;
        int unnoticed = 0;
        o.on_empty = bad ? LORAC_BAD_ERROR : LORAC_BAD_SKIP;
        bool met = true;
        for (long n = 0; met; n++) {
            struct lorac_dataset *d = NULL;
            struct lorac_err err = {0};
            faults_start(FAULTS_MEMORY, n);
            enum lorac_status st = lorac_dataset_open(&d, t, bytes, &o, &err);
            met = faults_stop();
            failures += st == LORAC_ENOMEM;
            unnoticed += met && st != LORAC_ENOMEM;
            assert_true(st == LORAC_ENOMEM || st == (bad ? LORAC_EFORMAT : LORAC_OK));
            assert_true(st == LORAC_OK || strstr(err.text, st == LORAC_ENOMEM ? "memory" : ":5:"));
            lorac_dataset_close(d);
        }
        assert_true(failures > 15 && unnoticed < 6); // libcsv asks for less where it gets none
    }
    lorac_table_close(t);
}

/* Every row of banking77 with a trained model's tokenizer: all used, every last target is EOS. */
static void a_real_table_is_used_whole(void **state)
{
    (void)state;
    char *csv = data_path("csv/banking77/train.csv");
    char *model = data_path("models/TinyStories-656K-f32");
    if (!csv || !model) {
        lorac_mem_free(csv);
        lorac_mem_free(model);
        return;
    }
    struct lorac_err err = {0};
    struct lorac_tokenizer *tokenizer = NULL;
    struct lorac_table *t = NULL;
    if (lorac_tokenizer_open(&tokenizer, model, &err)) { fail_msg("%s", err.text); }
    if (lorac_table_open(&t, csv, NULL, &err)) { fail_msg("%s", err.text); }
    static const struct lorac_variable variables[] = {{"text", "text"}, {"label", "category"}};
    struct lorac_dataset_options o = usual;
    o.variables = variables;
    o.n_variables = 2;
    o.max_length = 512;
    struct lorac_dataset *d = open_dataset(t, tokenizer, &o);
    const struct lorac_data_counts *c = lorac_dataset_counts(d);
    assert_int_equal(c->rows, 10003);
    assert_int_equal(c->used, 10003);
    assert_int_equal(c->last_trained_is_eos, 10003);
    struct lorac_classes classes;
    assert_int_equal(lorac_classes_find(&classes, t, 1, 1000, NULL), LORAC_OK);
    assert_int_equal(classes.K, 77);
    print_message("banking77: %llu tokens, %llu trained, %zu to %zu a row, %zu duplicates\n",
                  (unsigned long long)c->tokens, (unsigned long long)c->trained, c->shortest,
                  c->longest, c->duplicates.n);
    lorac_classes_free(&classes);
    lorac_dataset_close(d);
    lorac_table_close(t);
    lorac_tokenizer_free(tokenizer);
    lorac_mem_free(csv);
    lorac_mem_free(model);
}

/* SentencePiece puts a space in front of a text; a completion is no beginning of one. */
static void a_completion_gets_no_dummy_space(void **state)
{
    (void)state;
    char *dir = data_path("models/TinyStories-656K-f32");
    if (!dir) { return; }
    struct lorac_err err = {0};
    struct lorac_tokenizer *tokenizer = NULL;
    if (lorac_tokenizer_open(&tokenizer, dir, &err)) { fail_msg("%s", err.text); }
    struct lorac_table *t = open_text("text,label\nit,good\n");
    struct lorac_dataset_options o = usual;
    o.prompt = "Is {text}";
    o.completion = "{label}";
    struct lorac_dataset *d = open_dataset(t, tokenizer, &o);
    struct lorac_example e = {0};
    assert_int_equal(lorac_dataset_example(&e, d, 0, NULL), LORAC_OK);
    static const char space[] = "\xE2\x96\x81";
    assert_int_equal(e.ids.at[0], lorac_tokenizer_bos(tokenizer));
    assert_memory_equal(lorac_token_text(tokenizer, e.ids.at[1]), space, 3);
    assert_int_equal(lorac_token_text(tokenizer, e.ids.at[e.trained_from])[0], 'g');
    assert_int_equal(e.ids.at[e.ids.n - 1], lorac_tokenizer_eos(tokenizer));
    lorac_dataset_close(d);
    o.prompt = "";
    d = open_dataset(t, tokenizer, &o);
    assert_int_equal(lorac_dataset_example(&e, d, 0, NULL), LORAC_OK);
    assert_int_equal(e.ids.at[0], lorac_tokenizer_bos(tokenizer));
    assert_memory_equal(lorac_token_text(tokenizer, e.ids.at[1]), space, 3);
    assert_int_equal(e.trained_from, 1);
    lorac_example_free(&e);
    lorac_dataset_close(d);
    lorac_table_close(t);
    lorac_tokenizer_free(tokenizer);
    lorac_mem_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompt_and_completion_are_tokenised_apart),
        cmocka_unit_test(only_the_template_may_hold_special_tokens),
        cmocka_unit_test(eos_is_appended_once),
        cmocka_unit_test(all_trains_every_token_but_the_first),
        cmocka_unit_test(without_a_prompt_the_completion_begins),
        cmocka_unit_test(a_prompt_is_cut_from_its_start_and_keeps_bos),
        cmocka_unit_test(bad_rows_are_errors_that_name_line_and_reason),
        cmocka_unit_test(a_long_label_is_shown_in_part),
        cmocka_unit_test(what_is_left_out_is_counted_with_its_lines),
        cmocka_unit_test(a_cell_is_text_whatever_it_says),
        cmocka_unit_test(columns_are_mapped_by_name_or_number),
        cmocka_unit_test(options_that_cannot_be_meant_are_refused),
        cmocka_unit_test(examples_come_again_as_they_were_counted),
        cmocka_unit_test(what_leaks_between_two_datasets_is_counted),
        cmocka_unit_test(a_tokenizer_without_eos_cannot_append_it),
        cmocka_unit_test(every_failed_allocation_is_reported),
        DATA_TEST(a_completion_gets_no_dummy_space),
        DATA_TEST(a_real_table_is_used_whole),
    };
    return data_result(cmocka_run_group_tests_name("example", tests, open_all, close_all));
}
