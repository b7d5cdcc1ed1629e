/*
 * Rows that begin alike. What is promised: what the examples of a batch begin with stands in it
 * once, where that saves enough (or as told), and behind it what some of them go on with, wherever
 * in the batch they stand, as deep as segments may continue each other; no trained token is lost by
 * it, and examples are told in the order of their segments; the row that predicts the first of the
 * trained tokens stays each example's own. Dense micro-batches are as full as they can be.
 */
#include "tests/datasets/bytes.h"

#include "base/core/rng.h"

enum { ROWS = 57, ROUNDS = 300 };

static struct lorac_tokenizer *bytes;
static struct lorac_table *table;

static const struct lorac_dataset_options usual = {
    .prompt = "{text}", .completion = " {label}", .append_eos = true, .max_length = 64};

static int open_all(void **state)
{
    (void)state;
    static char text[8192];
    int at = snprintf(text, sizeof text, "text,label\n");
    for (int i = 0; i < ROWS; i++) { // prompts of 4 to 39 tokens, no two that begin alike
        at += snprintf(text + at, sizeof text - (size_t)at, "%c%c%.*s,%c\n", '0' + i, 'a' + i % 26,
                       1 + i * i % 36, "------------------------------------", 'x' + i % 3);
    }
    bytes = open_bytes();
    table = open_text(text);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    lorac_table_close(table);
    lorac_tokenizer_free(bytes);
    return 0;
}

/* Every trained token of these examples is scored, behind exactly the tokens before it. */
static void expect_examples(const struct lorac_batch *b, const struct lorac_dataset *d,
                            const uint32_t *examples, size_t n)
{
    struct lorac_example e = {0};
    size_t scored = 0;
    for (size_t k = 0; k < n; k++) {
        const struct lorac_segment *own = &b->segments[b->S - n + k];
        assert_int_equal(lorac_dataset_example(&e, d, examples[k], NULL), LORAC_OK);
        assert_int_equal(own->position + own->n, e.ids.n - 1);
        for (size_t t = e.trained_from; t < e.ids.n; t++) {
            expect_scored(b, scored++, e.ids.at[t], e.ids.at, t);
        }
    }
    assert_int_equal(b->T, scored);
    lorac_example_free(&e);
}

static size_t n_batches; // of the last epoch

/* An epoch of the table under this template, shared prefixes where there are some. *segments and
 * *rows: of all batches, beside what the examples alone would take. */
static void run_epoch(long *segments, long *rows, const struct lorac_table *of,
                      const struct lorac_dataset_options *o,
                      const struct lorac_loader_options *loader)
{
    struct lorac_dataset *d = open_dataset(of, bytes, o);
    struct lorac_loader *l = NULL;
    bool seen[ROWS] = {false};
    *segments = *rows = 0;
    n_batches = 0;
    assert_int_equal(lorac_loader_open(&l, d, loader, NULL), LORAC_OK);
    struct lorac_batch *b = NULL;
    size_t most = lorac_loader_max_rows(l);
    assert_int_equal(lorac_batch_new(&b, most, lorac_loader_max_segments(l), most, NULL), LORAC_OK);
    while (lorac_loader_state(l).epoch == 0) {
        const uint32_t *examples = NULL;
        size_t n = 0;
        assert_int_equal(lorac_loader_next(l, b, &examples, &n, NULL), LORAC_OK);
        expect_examples(b, d, examples, n);
        assert_true(n == 1 || b->N <= loader->batch_tokens);
        n_batches++;
        *segments += (long)b->S - (long)n;
        *rows += (long)b->N;
        for (size_t k = 0; k < n; k++) {
            *rows -= (long)lorac_dataset_length(d, examples[k]) - 1;
            assert_false(seen[examples[k]]);
            seen[examples[k]] = true;
        }
    }
    for (size_t i = 0; i < lorac_dataset_size(d); i++) {
        assert_true(seen[i]);
    }
    lorac_batch_free(b);
    lorac_loader_close(l);
    lorac_dataset_close(d);
}

static void what_examples_begin_with_stands_once(void **state)
{
    (void)state;
    static const struct lorac_loader_options share = {
        .batch_tokens = 100000, .shuffle = true, .seed = 3, .share_prefix = LORAC_SHARE_AUTO};
    struct lorac_loader_options plain = share;
    struct lorac_loader_options alone = share;
    struct lorac_dataset_options long_prompt = usual;
    struct lorac_dataset_options all = usual;
    long segments = 0;
    long rows = 0;
    struct lorac_loader_options always = share;
    plain.share_prefix = LORAC_SHARE_OFF;
    always.share_prefix = LORAC_SHARE_ON;
    alone.batch_tokens = 1;
    long_prompt.prompt = all.prompt = "Which is it? {text}"; // 1 + 13 tokens in front
    all.train_on = LORAC_TRAIN_ALL;
    run_epoch(&segments, &rows, table, &long_prompt, &share);
    assert_int_equal(segments, 1);
    assert_int_equal(rows, -(ROWS - 1) * 14L);
    run_epoch(&segments, &rows, table, &long_prompt, &plain);
    assert_true(segments == 0 && rows == 0);
    run_epoch(&segments, &rows, table, &long_prompt, &alone); // there is nobody to share with
    assert_true(segments == 0 && rows == 0);
    run_epoch(&segments, &rows, table, &all, &share); // all of it is trained
    assert_true(segments == 0 && rows == 0);
    run_epoch(&segments, &rows, table, &usual, &share); // BOS alone: not worth it
    assert_true(segments == 0 && rows == 0);
    run_epoch(&segments, &rows, table, &usual, &always);
    assert_true(segments == 1 && rows == -(ROWS - 1));
    always.batch_tokens = 1;
    run_epoch(&segments, &rows, table, &usual, &always);
    assert_true(segments == 0 && rows == 0);
}

/* The first trained token is another's from the prompt's last row, which must be each one's own. */
static void the_row_that_predicts_an_answer_is_its_own(void **state)
{
    (void)state;
    static const struct lorac_loader_options share = {.batch_tokens = 1000,
                                                      .share_prefix = LORAC_SHARE_AUTO};
    struct lorac_table *same = open_text("text,label\nthe same,x\nthe same,y\nthe same,zz\n");
    long segments = 0;
    long rows = 0;
    run_epoch(&segments, &rows, same, &usual, &share);
    assert_int_equal(segments, 1);
    assert_int_equal(rows, -2 * 8L); // BOS and the prompt but for its last
    lorac_table_close(same);
}

/* Three questions in turn, each four times, two of which begin alike:
 *
 *   BOS -+- Is the sky -+- of that colour     12 + 13 tokens but for the last
 *        |              +- that bright        12 + 10
 *        +- What grows there                  16
 *
 * The last one, and the answer, are three rows more. */
static struct lorac_table *open_questions(void)
{
    static const char *const questions[] = {"Is the sky of that colour", "Is the sky that bright",
                                            "What grows there"};
    static char text[2048]; // borrowed by the table
    int at = snprintf(text, sizeof text, "text,label\n");
    for (int i = 0; i < 12; i++) {
        at += snprintf(text + at, sizeof text - (size_t)at, "%s,%c\n", questions[i % 3], 'a' + i);
    }
    return open_text(text);
}

static void some_examples_go_on_alike(void **state)
{
    (void)state;
    static const struct lorac_loader_options share = {.batch_tokens = 10000,
                                                      .share_prefix = LORAC_SHARE_AUTO};
    struct lorac_loader_options half = share;
    struct lorac_loader_options always = share;
    struct lorac_dataset_options described = usual;
    struct lorac_table *turns = open_questions();
    long segments = 0;
    long rows = 0;
    run_epoch(&segments, &rows, turns, &usual, &share); // BOS alone isn't worth it
    assert_int_equal(segments, 4);
    assert_int_equal(rows, -(7 * 12 + 3 * 13 + 3 * 10 + 3 * 16));
    always.share_prefix = LORAC_SHARE_ON;
    run_epoch(&segments, &rows, turns, &usual, &always);
    assert_int_equal(segments, 5);
    assert_int_equal(rows, -(11 * 1 + 7 * 11 + 3 * 13 + 3 * 10 + 3 * 15));
    described.prompt = "Answer as well as you can: {text}"; // 26 tokens behind BOS
    run_epoch(&segments, &rows, turns, &described, &share);
    assert_int_equal(segments, 5);
    assert_int_equal(rows, -(11 * 27 + 7 * 11 + 3 * 13 + 3 * 10 + 3 * 15));
    half.batch_size = 6; // two of each question
    run_epoch(&segments, &rows, turns, &usual, &half);
    assert_int_equal(segments, 2 * 4);
    assert_int_equal(rows, -2 * (3 * 12 + 13 + 10 + 16));
    run_epoch(&segments, &rows, turns, &described, &half); // what they share doesn't count twice
    assert_int_equal(segments, 2 * 5);
    assert_int_equal(rows, -2 * (5 * 27 + 3 * 11 + 13 + 10 + 15));
    lorac_table_close(turns);
}

static void dense_batches_are_full_of_rows_that_run(void **state)
{
    (void)state;
    enum { SHARED = 12 + 13 + 10 + 16, OWN = 12 * 3 };
    struct lorac_loader_options o = {.share_prefix = LORAC_SHARE_AUTO, .dense = true};
    struct lorac_table *turns = open_questions();
    long segments = 0;
    long rows = 0;
    o.batch_tokens = SHARED + OWN;
    run_epoch(&segments, &rows, turns, &usual, &o);
    assert_int_equal(n_batches, 1);
    assert_int_equal(segments, 4);
    o.batch_tokens--; // the last one, which shares 16 tokens, is left
    run_epoch(&segments, &rows, turns, &usual, &o);
    assert_int_equal(n_batches, 2);
    assert_int_equal(rows, -(7 * 12 + 3 * 13 + 3 * 10 + 2 * 16));
    o.batch_size = 6;
    run_epoch(&segments, &rows, turns, &usual, &o);
    assert_int_equal(n_batches, 2);
    o.batch_size = 0;
    o.batch_tokens = 1;
    run_epoch(&segments, &rows, turns, &usual, &o);
    assert_int_equal(n_batches, 12);
    o.share_prefix = LORAC_SHARE_OFF; // each counts as it is
    o.batch_tokens = SHARED + OWN;
    run_epoch(&segments, &rows, turns, &usual, &o);
    assert_int_equal(n_batches, 4); // of 28 + 25 + 19 rows
    o.share_prefix = LORAC_SHARE_ON;
    o.shuffle = true;
    run_epoch(&segments, &rows, table, &usual, &o);
    assert_true(n_batches > 1);
    lorac_table_close(turns);
}

/* Of rows of 40 tokens six share 11, which is worth a segment. With a seventh that shares 6 of them
 * these are worth one and the other 5 aren't any more: 244 rows run, not 185 + 40. */
static void one_more_may_take_more_than_its_own_rows(void **state)
{
    (void)state;
    static const struct lorac_loader_options o = {
        .batch_tokens = 230, .share_prefix = LORAC_SHARE_AUTO, .dense = true};
    char text[1024];
    int at = snprintf(text, sizeof text, "text,label\n");
    for (int i = 0; i < 8; i++) { // BOS and a prompt of 37 characters, an answer of two, EOS
        at += snprintf(text + at, sizeof text - (size_t)at, "%.*s%c%.*s,x\n", i < 6 ? 10 : 5,
                       "----------", 'a' + i, i < 6 ? 26 : 31, "-------------------------------");
    }
    struct lorac_table *t = open_text(text);
    long segments = 0;
    long rows = 0;
    run_epoch(&segments, &rows, t, &usual, &o);
    assert_int_equal(n_batches, 2);
    assert_true(segments == 1 && rows == -5 * 11);
    lorac_table_close(t);
}

/* Each begins with all of the one before it. */
static void no_chain_is_longer_than_it_may_be(void **state)
{
    (void)state;
    enum { DEEP = 2 * LORAC_MAX_CHAIN };
    static const struct lorac_loader_options always = {.batch_tokens = 10000,
                                                       .share_prefix = LORAC_SHARE_ON};
    char text[4096];
    int at = snprintf(text, sizeof text, "text,label\n");
    for (int i = 0; i < DEEP; i++) {
        at += snprintf(text + at, sizeof text - (size_t)at, "%.*s,x\n", i + 2,
                       "----------------------------------");
    }
    struct lorac_table *nested = open_text(text);
    long segments = 0;
    long rows = 0;
    run_epoch(&segments, &rows, nested, &usual, &always);
    assert_int_equal(segments, LORAC_MAX_CHAIN - 1);
    lorac_table_close(nested);
}

/* Rows of two letters, so that all ways to share come up. */
static void whatever_they_share_no_token_is_lost(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        char text[ROWS * 24 + 16];
        size_t at = (size_t)snprintf(text, sizeof text, "text,label\n");
        for (int i = 0; i < ROWS; i++) {
            size_t letters = 1 + lorac_rng_below(1, round, at, 18);
            for (size_t k = 0; k < letters; k++, at++) {
                text[at] = (char)('a' + lorac_rng_below(2, round, at, 8) / 7);
            }
            at += (size_t)snprintf(text + at, sizeof text - at, ",%.*s\n",
                                   1 + (int)lorac_rng_below(3, round, at, 2), "aa");
        }
        struct lorac_table *t = open_text(text);
        struct lorac_loader_options o = {
            .batch_tokens = 20 + lorac_rng_below(4, round, 0, 400),
            .share_prefix = lorac_rng_below(5, round, 0, 2) ? LORAC_SHARE_ON : LORAC_SHARE_AUTO,
            .dense = lorac_rng_below(6, round, 0, 2),
            .shuffle = true,
        };
        long segments = 0;
        long rows = 0;
        run_epoch(&segments, &rows, t, &usual, &o);
        assert_true(segments > 0 && rows < 0);
        lorac_table_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_examples_begin_with_stands_once),
        cmocka_unit_test(the_row_that_predicts_an_answer_is_its_own),
        cmocka_unit_test(some_examples_go_on_alike),
        cmocka_unit_test(dense_batches_are_full_of_rows_that_run),
        cmocka_unit_test(one_more_may_take_more_than_its_own_rows),
        cmocka_unit_test(no_chain_is_longer_than_it_may_be),
        cmocka_unit_test(whatever_they_share_no_token_is_lost),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
