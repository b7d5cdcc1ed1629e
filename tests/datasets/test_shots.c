/*
 * Shots. What is promised:
 *   - the prefix is BOS, and of each shot its prompt, its completion and the separator, tokenised
 *     apart; what a cell says never becomes a special token;
 *   - shots go round the labels, each once a round; fewer are the beginning of more; the seed
 *     decides which;
 *   - behind shots an example has no BOS, ends with the separator in EOS's place, and its rows go
 *     on from cache sequence 0, in the loader's batches and with all labels;
 *   - rows longer than max_length are no shots; what cannot be is an error with the reason;
 *   - whichever allocation fails is reported.
 */
#include "tests/datasets/bytes.h"
#include "tests/support/faults.h"

enum { ROWS = 12 };

/* A label a row; row 3 looks like a special token, row 10 is long. */
static const char text[] = "text,label\n"
                           "t0,x\nt1,y\nt2,x\n</s>,z\nt4,x\nt5,y\nt6,x\nt7,z\nt8,x\nt9,x\n"
                           "a row that is longer than the others,y\nt11,x\n";
static const char *const labels[] = {"x", "y", "z"};

static struct lorac_tokenizer *bytes;
static struct lorac_table *table;
static struct lorac_dataset *data;

static const struct lorac_dataset_options usual = {
    .prompt = "{text}", .completion = ">{label}", .append_eos = true, .max_length = 16};

static int open_all(void **state)
{
    (void)state;
    static struct lorac_dataset_options o;
    o = usual;
    o.on_too_long = LORAC_LONG_TRUNCATE_PROMPT;
    bytes = open_bytes();
    table = open_text(text);
    data = open_dataset(table, bytes, &o);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    lorac_dataset_close(data);
    lorac_table_close(table);
    lorac_tokenizer_free(bytes);
    return 0;
}

static struct lorac_shots *draw(size_t n, size_t K, uint64_t seed)
{
    struct lorac_shots *s = NULL;
    struct lorac_err err = {0};
    struct lorac_shots_options o = {
        .n = n, .separator = ";\n", .labels = labels, .K = K, .seed = seed};
    if (lorac_shots_open(&s, data, &o, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(lorac_shots_count(s), n);
    return s;
}

static char label_of(size_t row)
{
    struct lorac_row r = {0};
    assert_int_equal(lorac_table_row(&r, table, row, NULL), LORAC_OK);
    char label = r.cells[1].at[0];
    lorac_row_free(&r);
    return label;
}

static void the_prefix_is_prompts_answers_and_separators(void **state)
{
    (void)state;
    struct lorac_shots *s = draw(3, 3, 1);
    int32_t want[64];
    size_t n = 0;
    want[n++] = BOS;
    for (size_t i = 0; i < 3; i++) {
        struct lorac_row r = {0};
        assert_int_equal(lorac_table_row(&r, table, lorac_shots_row(s, i), NULL), LORAC_OK);
        char shot[32];
        int length = snprintf(shot, sizeof shot, "%.*s>%.*s;\n", (int)r.cells[0].n, r.cells[0].at,
                              (int)r.cells[1].n, r.cells[1].at);
        for (int k = 0; k < length; k++) {
            want[n++] = (unsigned char)shot[k]; // "</s>" as four bytes
        }
        lorac_row_free(&r);
    }
    const struct lorac_ids *prefix = lorac_shots_prefix(s);
    assert_int_equal(prefix->n, n);
    assert_memory_equal(prefix->at, want, n * sizeof *want);
    assert_string_equal(lorac_shots_separator(s), ";\n");
    lorac_shots_close(s);
}

static void shots_go_round_the_labels(void **state)
{
    (void)state;
    bool differ = false;
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct lorac_shots *all = draw(11, 3, seed); // but for the one that is too long
        size_t seen[3] = {0};
        bool used[ROWS] = {false};
        for (size_t i = 0; i < 11; i++) {
            size_t row = lorac_shots_row(all, i);
            assert_false(used[row]);
            used[row] = true;
            seen[label_of(row) - 'x']++;
            // after each round of three every label that has rows left has come as often: y and z
            // have two
            if (i == 2) { assert_true(seen[0] == 1 && seen[1] == 1 && seen[2] == 1); }
            if (i == 5) { assert_true(seen[0] == 2 && seen[1] == 2 && seen[2] == 2); }
        }
        assert_false(used[10]);
        struct lorac_shots *few = draw(4, 3, seed);
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(lorac_shots_row(few, i), lorac_shots_row(all, i));
        }
        size_t tokens = lorac_shots_prefix(few)->n;
        assert_memory_equal(lorac_shots_prefix(few)->at, lorac_shots_prefix(all)->at,
                            tokens * sizeof(int32_t));
        assert_int_equal(lorac_shots_fit(all, tokens), 4);
        assert_int_equal(lorac_shots_fit(all, tokens - 1), 3);
        assert_int_equal(lorac_shots_fit(all, 0), 0);
        lorac_shots_keep(all, 4);
        assert_int_equal(lorac_shots_count(all), 4);
        assert_int_equal(lorac_shots_prefix(all)->n, tokens);
        struct lorac_shots *other = draw(4, 3, seed + 1);
        for (size_t i = 0; i < 4; i++) {
            differ = differ || lorac_shots_row(other, i) != lorac_shots_row(all, i);
        }
        lorac_shots_close(other);
        lorac_shots_close(few);
        lorac_shots_close(all);
    }
    assert_true(differ);
}

static void without_labels_rows_are_drawn_whatever_they_answer(void **state)
{
    (void)state;
    struct lorac_shots *s = draw(11, 0, 5);
    bool used[ROWS] = {false};
    for (size_t i = 0; i < 11; i++) {
        assert_false(used[lorac_shots_row(s, i)]);
        used[lorac_shots_row(s, i)] = true;
    }
    lorac_shots_close(s);
}

static struct lorac_dataset *open_behind(const struct lorac_shots *s, bool append_eos)
{
    struct lorac_dataset_options o = usual;
    o.shots = s;
    o.append_eos = append_eos;
    return open_dataset(table, bytes, &o);
}

static void an_example_goes_on_and_ends_with_the_separator(void **state)
{
    (void)state;
    struct lorac_shots *s = draw(2, 3, 1);
    static const int32_t want[] = {'t', '0', '>', 'x', ';', '\n'};
    struct lorac_example e = {0};
    for (int end = 0; end < 2; end++) { // with append_eos; without, nothing ends it
        struct lorac_dataset *d = open_behind(s, end == 0);
        size_t n = end == 0 ? 6 : 4;
        assert_ptr_equal(lorac_dataset_shots(d), s);
        assert_int_equal(lorac_dataset_example(&e, d, 0, NULL), LORAC_OK);
        assert_int_equal(e.ids.n, n);
        assert_memory_equal(e.ids.at, want, n * sizeof *want);
        assert_int_equal(e.trained_from, 2);
        assert_int_equal(lorac_dataset_counts(d)->truncated.n, 1); // max_length is of the row alone
        assert_int_equal(lorac_dataset_counts(d)->longest, 16);
        lorac_dataset_close(d);
    }
    lorac_example_free(&e);
    lorac_shots_close(s);
}

/* Every segment goes on from the prefix or from one that does. */
static void expect_behind(const struct lorac_batch *b, size_t past)
{
    for (size_t i = 0; i < b->S; i++) {
        const struct lorac_segment *seg = &b->segments[i];
        assert_int_equal(seg->cached, 0);
        assert_int_equal(seg->past, seg->parent < 0 ? past : 0);
        assert_false(seg->keep);
        size_t before = 0;
        if (seg->parent >= 0) { before = b->segments[seg->parent].n; }
        assert_int_equal(seg->position, past + before);
    }
}

static void batches_go_on_from_the_cache(void **state)
{
    (void)state;
    struct lorac_shots *s = draw(2, 3, 1);
    size_t past = lorac_shots_prefix(s)->n;
    struct lorac_dataset *d = open_behind(s, true);
    struct lorac_loader_options o = {.batch_tokens = 40};
    struct lorac_loader *l = NULL;
    struct lorac_batch *b = NULL;
    struct lorac_choices *c = NULL;
    const uint32_t *examples = NULL;
    size_t n = 0;
    assert_int_equal(lorac_loader_open(&l, d, &o, NULL), LORAC_OK);
    assert_int_equal(lorac_batch_new(&b, 64, 64, 64, NULL), LORAC_OK);
    assert_int_equal(lorac_loader_next(l, b, &examples, &n, NULL), LORAC_OK);
    assert_true(n > 1 && b->S == n);
    expect_behind(b, past);

    struct lorac_choice x = {0};
    assert_int_equal(lorac_choices_open(&c, d, labels, 3, NULL), LORAC_OK);
    assert_int_equal(lorac_choices_read(&x, c, 1, NULL), LORAC_OK);
    assert_true(x.label == 1 && x.whole && x.tree->longest == 4); // ">x;\n"
    assert_int_equal(x.tree->at[x.tree->last[2]].id, '\n');
    lorac_choice_free(&x);
    lorac_choices_close(c);
    lorac_batch_free(b);
    lorac_loader_close(l);
    lorac_dataset_close(d);
    lorac_shots_close(s);
}

static void expect_error(const struct lorac_dataset *d, const struct lorac_shots_options *o,
                         const char *want)
{
    struct lorac_shots *s = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_shots_open(&s, d, o, &err), LORAC_EUSER);
    assert_null(s);
    assert_string_equal(err.text, want);
}

static void what_cannot_be_is_an_error(void **state)
{
    (void)state;
    struct lorac_shots_options o = {.n = 12, .separator = "\n", .labels = labels, .K = 3};
    expect_error(data, &o,
                 "t.csv: 12 shots are asked for, but only 11 rows can be one (1 are longer than "
                 "max_length 16)");
    o.n = 0;
    expect_error(data, &o, "shots: 0, expected one or more");
    o.n = 1;
    o.separator = "";
    expect_error(data, &o,
                 "shots: the separator has no tokens, expected a text that ends an answer");
    o.separator = "\n</s>";
    expect_error(data, &o,
                 "shots: the separator holds the special token </s>, expected plain text");
    o.separator = "\n";
    struct lorac_dataset_options free_text = usual;
    free_text.prompt = NULL;
    free_text.completion = "{text}";
    free_text.max_length = 64;
    struct lorac_dataset *d = open_dataset(table, bytes, &free_text);
    expect_error(d, &o,
                 "shots: the template has no prompt, expected a prompt and a completion to show as "
                 "examples");
    lorac_dataset_close(d);
    struct lorac_table *other = open_text("text,topic\npq,b\n");
    struct lorac_dataset_options topics = usual;
    topics.completion = "{topic}";
    topics.max_length = 64;
    d = open_dataset(other, bytes, &topics);
    expect_error(d, &o, "shots: there is no label variable to balance over");
    lorac_dataset_close(d);
    lorac_table_close(other);

    struct lorac_shots *s = draw(1, 3, 1);
    struct lorac_err err = {0};
    free_text.shots = s;
    assert_int_equal(lorac_dataset_open(&d, table, bytes, &free_text, &err), LORAC_EUSER);
    assert_string_equal(err.text, "shots: the template has no prompt, expected one to show");
    lorac_shots_close(s);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    struct lorac_shots_options o = {.n = 5, .separator = "\n", .labels = labels, .K = 3};
    long failures = 0;
    long unnoticed = 0; // libcsv asks for less where it gets none
    for (bool met = true; met; failures += met) {
        struct lorac_shots *s = NULL;
        struct lorac_dataset *d = NULL;
        struct lorac_err err = {0};
        struct lorac_dataset_options behind = usual;
        faults_start(FAULTS_MEMORY, failures);
        enum lorac_status st = lorac_shots_open(&s, data, &o, &err);
        behind.shots = s;
        if (!st) { st = lorac_dataset_open(&d, table, bytes, &behind, &err); }
        met = faults_stop();
        assert_true(st == LORAC_OK || (st == LORAC_ENOMEM && strstr(err.text, "memory")));
        unnoticed += met && !st;
        lorac_dataset_close(d);
        lorac_shots_close(s);
    }
    assert_true(failures > 20 && unnoticed < 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_prefix_is_prompts_answers_and_separators),
        cmocka_unit_test(shots_go_round_the_labels),
        cmocka_unit_test(without_labels_rows_are_drawn_whatever_they_answer),
        cmocka_unit_test(an_example_goes_on_and_ends_with_the_separator),
        cmocka_unit_test(batches_go_on_from_the_cache),
        cmocka_unit_test(what_cannot_be_is_an_error),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("shots", tests, open_all, close_all);
}
