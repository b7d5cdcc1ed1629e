/*
 * What a head reads of a row, and what it should say of it. What is promised:
 *   - a text is framed as the tokenizer frames it, a pair with its types; what is cut away because
 *     it is too long is the text's, from the side that was asked for, of a pair from the longer
 *     one;
 *   - of words each is tokenised on its own, and its first token carries its tag;
 *   - targets are labels in the order that was given, sets of them, numbers, tags; in JSON lines
 *     several may be a list; what is none is an error with its line;
 *   - examples that are kept and those that are made again are the same;
 *   - whichever allocation fails is reported.
 */
#include "tests/datasets/heads.h"
#include "tests/support/faults.h"

#include <math.h>

/* The first example of a table, its rows of JSON where it begins with a brace. */
static struct lorac_example first_of(const char *text, const struct lorac_dataset_options *o)
{
    struct lorac_table *t = *text == '{' ? open_lines(text) : open_text(text);
    struct lorac_dataset *d = open_dataset(t, framed, o);
    struct lorac_example e = {0};
    assert_int_equal(lorac_dataset_example(&e, d, 0, NULL), LORAC_OK);
    assert_int_equal(lorac_dataset_length(d, 0), e.ids.n);
    assert_int_equal(lorac_dataset_rows(d, 0), e.ids.n); // no token is a target alone
    lorac_dataset_close(d);
    lorac_table_close(t);
    return e;
}

static void expect_failure(const char *text, const struct lorac_tokenizer *tokenizer,
                           const struct lorac_dataset_options *o, const char *want)
{
    struct lorac_table *t = *text == '{' ? open_lines(text) : open_text(text);
    struct lorac_dataset *d = NULL;
    struct lorac_err err = {0};
    assert_int_not_equal(lorac_dataset_open(&d, t, tokenizer, o, &err), LORAC_OK);
    assert_null(d);
    assert_string_equal(err.text, want);
    lorac_table_close(t);
}

/* ---- texts ---- */

static void a_text_is_framed(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual("classify");
    struct lorac_example e = first_of("text,label\nab,green\n", &o);
    expect_list(&e.ids, LIST(CLS, AB, SEP));
    assert_int_equal(e.types.n, 0);
    expect_list(&e.labels, LIST(1));
    lorac_example_free(&e);
    o.prompt = "<{text}>";
    e = first_of("text,label\nx,red\n", &o);
    expect_list(&e.ids, LIST(CLS, '<', 'x', '>', SEP));
    lorac_example_free(&e);
}

static void a_pair_is_framed_with_its_types(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual("classify");
    o.completion = "{other}";
    struct lorac_example e = first_of("text,other,label\nx,yz,blue\n", &o);
    expect_list(&e.ids, LIST(CLS, 'x', SEP, 'y', 'z', SEP));
    expect_list(&e.types, LIST(0, 0, 0, 1, 1, 1));
    expect_list(&e.labels, LIST(2));
    lorac_example_free(&e);
}

static void a_pair_needs_a_tokenizer_of_pairs(void **state)
{
    (void)state;
    static const char json[] =
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": []}}";
    struct lorac_tokenizer *alone = NULL;
    struct lorac_err err = {0};
    if (lorac_tokenizer_parse(&alone, json, sizeof json - 1, "t.json", &err)) {
        fail_msg("%s", err.text);
    }
    struct lorac_dataset_options o = usual("classify");
    o.completion = "{other}";
    expect_failure("text,other,label\na,b,blue\n", alone, &o,
                   "template.pair: the tokenizer frames no pairs of texts; expected one text: "
                   "template.prompt: \"{text} ...\" with the second behind it");
    lorac_tokenizer_free(alone);
}

static void what_is_too_long_is_cut_as_asked(void **state)
{
    (void)state;
    static const char text[] = "text,label\n123456789,red\n";
    struct lorac_dataset_options o = usual("classify");
    o.max_length = 5;
    struct lorac_example e = first_of(text, &o);
    expect_list(&e.ids, LIST(CLS, '7', '8', '9', SEP));
    lorac_example_free(&e);
    o.on_too_long = LORAC_LONG_TRUNCATE_END;
    e = first_of(text, &o);
    expect_list(&e.ids, LIST(CLS, '1', '2', '3', SEP));
    lorac_example_free(&e);
    o.on_too_long = LORAC_LONG_ERROR;
    expect_failure(text, framed, &o,
                   "t.csv:2: 11 tokens, expected at most max_length 5 (1 such row; on_too_long: "
                   "skip leaves them out)");
    o.on_too_long = LORAC_LONG_TRUNCATE_END;
    o.max_length = 2; // not one token would be left
    expect_failure(text, framed, &o,
                   "t.csv:2: 11 tokens, expected at most max_length 2 (1 such row; on_too_long: "
                   "skip leaves them out)");
}

/* As tokenizers' longest_first: lengths from truncate_encodings() (utils/truncation.rs). */
static void of_a_pair_the_longer_text_is_cut(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        size_t room, keep_a, keep_b;
    } cases[] = {{"12", "abcdef", 5, 2, 3}, {"123456", "xy", 5, 3, 2},
                 {"1234", "cdef", 5, 2, 3}, {"123456", "cdefg", 5, 3, 2},
                 {"1", "cdefgh", 3, 1, 2},  {"12345", "xyz", 7, 4, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[80];
        struct lorac_dataset_options o = usual("classify");
        (void)snprintf(text, sizeof text, "text,other,label\n%s,%s,red\n", cases[i].a, cases[i].b);
        o.completion = "{other}";
        o.max_length = cases[i].room + 3;
        o.on_too_long = LORAC_LONG_TRUNCATE_END;
        struct lorac_example e = first_of(text, &o);
        assert_int_equal(e.ids.n, cases[i].room + 3);
        assert_int_equal(e.ids.at[1], cases[i].a[0]);
        assert_int_equal(e.ids.at[1 + cases[i].keep_a], SEP);
        assert_int_equal(e.ids.at[2 + cases[i].keep_a], i ? cases[i].b[0] : AB);
        lorac_example_free(&e);
    }
}

/* ---- words ---- */

static void a_words_first_token_carries_its_tag(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual("tag");
    // "ab" is one token, "xy" two; each word stands behind a space of its own
    struct lorac_example e = first_of("text,label\n  xy ab ,red\tblue\n", &o);
    expect_list(&e.ids, LIST(CLS, ' ', 'x', 'y', ' ', AB, SEP));
    expect_list(&e.labels, LIST(-1, 0, -1, -1, 2, -1, -1));
    lorac_example_free(&e);
    e = first_of("{\"text\": [\"x y\", 7], \"label\": [\"green\", \"red\"]}\n", &o);
    expect_list(&e.ids, LIST(CLS, ' ', 'x', ' ', 'y', ' ', '7', SEP));
    expect_list(&e.labels, LIST(-1, 1, -1, -1, -1, 0, -1, -1));
    lorac_example_free(&e);
    o.max_length = 5;
    o.on_too_long = LORAC_LONG_TRUNCATE_END;
    e = first_of("text,label\nxy ab,red blue\n", &o);
    expect_list(&e.ids, LIST(CLS, ' ', 'x', 'y', SEP));
    expect_list(&e.labels, LIST(-1, 0, -1, -1, -1));
    lorac_example_free(&e);
    o.on_too_long = LORAC_LONG_TRUNCATE_PROMPT;
    e = first_of("text,label\nxy ab,red blue\n", &o);
    expect_list(&e.ids, LIST(CLS, 'y', ' ', AB, SEP));
    expect_list(&e.labels, LIST(-1, -1, 2, -1, -1));
    lorac_example_free(&e);
}

static void words_and_tags_are_as_many(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual("tag");
    expect_failure("text,label\na,red\na b c,red blue\n", framed, &o,
                   "t.csv:3: 3 words in column 'text' and 2 tags in 'label', expected one a word "
                   "(1 such row; they are to be mended, or left out of the file)");
    expect_failure("text,label\na b,red pink\n", framed, &o,
                   "t.csv:2: column 'label' holds 'pink', expected a label of the training rows: "
                   "red, green, blue (1 such row; labels.unknown: skip leaves them out)");
    o.prompt = "{text}.";
    expect_failure("text,label\na,red\n", framed, &o,
                   "template.prompt: '{text}.', expected one variable alone, the column of words "
                   "that have tags: \"{words}\"");
}

/* ---- targets ---- */

static void labels_are_in_the_order_that_was_given(void **state)
{
    (void)state;
    static const struct lorac_label map[] = {{"g", "green"}, {"r", "red"}, {"1", "red"}};
    struct lorac_dataset_options o = usual("classify");
    struct lorac_table *t = open_text("text,label\na,blue\nb,red\nc,blue\n");
    struct lorac_dataset *d = open_dataset(t, framed, &o);
    const size_t *count = lorac_dataset_targets(d);
    assert_true(count[0] == 1 && count[1] == 0 && count[2] == 2);
    lorac_dataset_close(d);
    lorac_table_close(t);
    expect_failure("text,label\na,red\nb,Red\n", framed, &o,
                   "t.csv:3: column 'label' holds 'Red', expected a label of the training rows: "
                   "red, green, blue (1 such row; labels.unknown: skip leaves them out)");
    expect_failure("text,label\na,Red\nb,Red\n", framed, &o,
                   "t.csv:2: column 'label' holds 'Red', expected a label of the training rows: "
                   "red, green, blue (all 2 rows; the table has none of them)");
    o.labels = map;
    o.n_labels = 3;
    struct lorac_example e = first_of("text,label\nx,1\ny,g\n", &o);
    expect_list(&e.labels, LIST(0));
    lorac_example_free(&e);
    expect_failure("text,label\nx,red\n", framed, &o,
                   "t.csv:2: column 'label' holds 'red', expected a value of labels.map (1 such "
                   "row; labels.unknown: skip leaves them out)");
}

static void several_labels_stand_in_a_cell(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual("multilabel");
    struct lorac_example e = first_of("text,label\nx, blue;red ;; blue\n", &o);
    expect_list(&e.labels, LIST(0, 2));
    lorac_example_free(&e);
    o.separator = ", ";
    e = first_of("text,label\nx,\"green, red\"\n", &o);
    expect_list(&e.labels, LIST(0, 1));
    lorac_example_free(&e);
    e = first_of("{\"text\": \"x\", \"label\": [\"blue\"]}\n", &o);
    expect_list(&e.labels, LIST(2));
    lorac_example_free(&e);
    e = first_of("{\"text\": \"x\", \"label\": []}\n", &o);
    assert_int_equal(e.labels.n, 0);
    lorac_example_free(&e);
    expect_failure("text,label\nx,\n", framed, &o,
                   "t.csv:2: column 'label' is blank, expected text (1 such row; on_empty: skip "
                   "leaves them out, keep takes them as they are, and a part of the template in "
                   "{?name}...{/name} goes where its cell is blank)");
    o.on_empty = LORAC_BAD_KEEP;
    e = first_of("text,label\nx,\n", &o);
    assert_int_equal(e.labels.n, 0);
    lorac_example_free(&e);
    expect_failure(
        "{\"text\": \"x\", \"label\": [{}]}\n", framed, &o,
        "t.jsonl:1: the list: '[0]' must be text or a number, found {} (1 such row; they "
        "are to be mended, or left out of the file)");
}

static void numbers_are_numbers(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual("regress");
    struct lorac_table *t = open_text("text,label\na,2\nb, -1e0\nc,.5\nd,0.5\n");
    struct lorac_dataset *d = open_dataset(t, framed, &o);
    double mean = 0.0;
    double deviation = 0.0;
    lorac_dataset_moments(&mean, &deviation, d);
    assert_true(fabs(mean - 0.5) < 1e-12);
    assert_true(fabs(deviation - sqrt((1.5 * 1.5 + 1.5 * 1.5) / 4.0)) < 1e-12);
    lorac_dataset_close(d);
    lorac_table_close(t);
    expect_failure("text,label\na,2\nb,high\n", framed, &o,
                   "t.csv:3: column 'label' holds 'high', expected a number (1 such row; they are "
                   "to be mended, or left out of the file)");
    expect_failure("text,label\na,\"2,5\"\nb,nan\n", framed, &o,
                   "t.csv:2: column 'label' holds '2,5', expected a number with a decimal point "
                   "(all 2 rows; they are to be mended, or left out of the file)");
}

static void the_text_does_not_give_the_target_away(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual("classify");
    o.prompt = "{text} {label}";
    expect_failure("text,label\na,red\n", framed, &o,
                   "template.prompt: gives 'label' away, which is what the head should say "
                   "(data.labels)");
    o.label_variable = "2"; // the same column by its number
    expect_failure("text,label\na,red\n", framed, &o,
                   "template.prompt: gives 'label' away, which is what the head should say "
                   "(data.labels)");
    const struct lorac_variable named[] = {{"text", "text"}, {"b", "label"}};
    o.variables = named;
    o.n_variables = 2;
    o.prompt = "{text} {b}";
    o.label_variable = "label";
    expect_failure("text,label\na,red\n", framed, &o,
                   "template.prompt: gives 'b' away, which is what the head should say "
                   "(data.labels)");
    o.n_variables = 0;
    o.prompt = "{text}";
    o.label_variable = "colour";
    expect_failure("text,label\na,red\n", framed, &o,
                   "data.labels: t.csv: no column 'colour'; there are 'text', 'label'");
}

/* ---- kept, and failing ---- */

static void kept_examples_are_those_that_are_made(void **state)
{
    (void)state;
    static const char *const names[] = {"classify", "multilabel", "regress", "tag"};
    static const char *const tables[] = {
        "text,label\na,red\nbb,blue\n", "text,label\na,red;blue\nbb,blue\n",
        "text,label\na,1.5\nbb,-2\n", "text,label\na b c,red red blue\nbb,blue\n"};
    for (size_t k = 0; k < 4; k++) {
        struct lorac_dataset_options o = usual(names[k]);
        struct lorac_table *t = open_text(tables[k]);
        struct lorac_dataset *made = open_dataset(t, framed, &o);
        o.cache = 1 << 20;
        struct lorac_dataset *kept = open_dataset(t, framed, &o);
        struct lorac_example a = {0};
        struct lorac_example b = {0};
        assert_true(!lorac_dataset_is_cached(made) && lorac_dataset_is_cached(kept));
        assert_true(lorac_dataset_digest(made) == lorac_dataset_digest(kept));
        for (size_t i = 0; i < 2; i++) {
            assert_int_equal(lorac_dataset_example(&a, made, i, NULL), LORAC_OK);
            assert_int_equal(lorac_dataset_example(&b, kept, i, NULL), LORAC_OK);
            expect_list(&b.ids, a.ids.at, a.ids.n);
            expect_list(&b.labels, a.labels.at, a.labels.n);
            assert_true(!(a.number < b.number) && !(a.number > b.number));
            assert_int_equal(a.trained_from, b.trained_from);
        }
        lorac_example_free(&a);
        lorac_example_free(&b);
        lorac_dataset_close(made);
        lorac_dataset_close(kept);
        lorac_table_close(t);
    }
}

/* Rows that are the same but for their target are not the same. */
static void targets_tell_rows_apart(void **state)
{
    (void)state;
    struct lorac_dataset_options o = usual("regress");
    struct lorac_table *t = open_text("text,label\na,1\na,2\na,1\n");
    struct lorac_dataset *d = open_dataset(t, framed, &o);
    assert_int_equal(lorac_dataset_counts(d)->duplicates.n, 1);
    assert_int_equal(lorac_dataset_counts(d)->duplicates.line[0], 4);
    lorac_dataset_close(d);
    lorac_table_close(t);
}

static void the_labels_of_a_column_are_collected(void **state)
{
    (void)state;
    struct lorac_table *t = open_text("label\nred;blue\n\"\"\nblue\n; green ;\n");
    static const uint32_t rows[] = {0, 2};
    struct lorac_classes c = {0};
    struct lorac_collect_options o = {.target = LORAC_TARGET_LABELS, .separator = ";", .max = 3};
    assert_int_equal(lorac_classes_collect(&c, t, 0, &o, NULL), LORAC_OK);
    assert_int_equal(c.K, 3);
    assert_string_equal(c.value[0], "red");
    assert_string_equal(c.value[1], "blue");
    assert_string_equal(c.value[2], "green");
    assert_int_equal(c.count[1], 2);
    lorac_classes_free(&c);
    o.rows = rows;
    o.n_rows = 2;
    assert_int_equal(lorac_classes_collect(&c, t, 0, &o, NULL), LORAC_OK);
    assert_int_equal(c.K, 2);
    lorac_classes_free(&c);
    o.rows = NULL;
    o.target = LORAC_TARGET_LABEL;
    assert_int_equal(lorac_classes_collect(&c, t, 0, &o, NULL), LORAC_OK);
    assert_int_equal(c.K, 3); // the blank one is none
    assert_string_equal(c.value[2], "; green ;");
    lorac_classes_free(&c);
    lorac_table_close(t);
}

/* A pair of two rows, and words, from their texts to a batch. */
static enum lorac_status go(const struct lorac_table *t, const struct lorac_dataset_options *o,
                            struct lorac_err *err)
{
    struct lorac_dataset *d = NULL;
    struct lorac_loader *l = NULL;
    struct lorac_batch *b = NULL;
    struct lorac_classes c = {0};
    const struct lorac_loader_options loader = {.batch_size = 2, .label_smoothing = 0.1};
    const struct lorac_collect_options collect = {.target = o->objective->target, .max = 9};
    const uint32_t *examples = NULL;
    size_t n = 0;
    enum lorac_status st = lorac_classes_collect(&c, t, 2, &collect, err);
    if (!st) { st = lorac_dataset_open(&d, t, framed, o, err); }
    if (!st) { st = lorac_loader_open(&l, d, &loader, err); }
    if (!st) {
        st = lorac_batch_new(&b, lorac_loader_max_rows(l), lorac_loader_max_segments(l),
                             lorac_loader_max_targets(l), err);
    }
    if (!st) { st = lorac_loader_next(l, b, &examples, &n, err); }
    lorac_batch_free(b);
    lorac_loader_close(l);
    lorac_dataset_close(d);
    lorac_classes_free(&c);
    return st;
}

static void a_failed_allocation_is_reported(void **state)
{
    (void)state;
    static const char *const names[] = {"classify", "tag"};
    static const char *const tables[] = {"text,other,label\nx,yz,blue\nq,w,red\n",
                                         "text,other,label\nx yz,,blue red\nq,,red\n"};
    for (size_t k = 0; k < 4; k++) {
        struct lorac_dataset_options o = usual(names[k % 2]);
        struct lorac_table *t = open_text(tables[k % 2]);
        if (k % 2 == 0) { o.completion = "{other}"; }
        o.cache = k < 2 ? 0 : 1 << 20;
        long n = 0;
        size_t again = 0; // libcsv asks for less where it got nothing
        for (bool met = true; met; n++) {
            struct lorac_err err = {0};
            faults_start(FAULTS_MEMORY, n);
            enum lorac_status st = go(t, &o, &err);
            met = faults_stop();
            again += met && st == LORAC_OK;
            assert_int_equal(st, met && st ? LORAC_ENOMEM : LORAC_OK);
        }
        assert_true(again <= 4);
        assert_true(n > 30);
        lorac_table_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_text_is_framed, begin),
        cmocka_unit_test_setup(a_pair_is_framed_with_its_types, begin),
        cmocka_unit_test_setup(a_pair_needs_a_tokenizer_of_pairs, begin),
        cmocka_unit_test_setup(what_is_too_long_is_cut_as_asked, begin),
        cmocka_unit_test_setup(of_a_pair_the_longer_text_is_cut, begin),
        cmocka_unit_test_setup(a_words_first_token_carries_its_tag, begin),
        cmocka_unit_test_setup(words_and_tags_are_as_many, begin),
        cmocka_unit_test_setup(labels_are_in_the_order_that_was_given, begin),
        cmocka_unit_test_setup(several_labels_stand_in_a_cell, begin),
        cmocka_unit_test_setup(numbers_are_numbers, begin),
        cmocka_unit_test_setup(the_text_does_not_give_the_target_away, begin),
        cmocka_unit_test_setup(kept_examples_are_those_that_are_made, begin),
        cmocka_unit_test_setup(targets_tell_rows_apart, begin),
        cmocka_unit_test_setup(the_labels_of_a_column_are_collected, begin),
        cmocka_unit_test_setup(a_failed_allocation_is_reported, begin),
    };
    return cmocka_run_group_tests_name("heads", tests, open_all, close_all);
}
