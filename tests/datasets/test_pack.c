/*
 * Packing. What is promised:
 *   - an epoch gives every example once, in an order that is a function of seed and epoch, in
 *     batches that hold what fits and no padding; an example longer than batch_tokens stands alone;
 *   - going on from a saved state gives the same batches as not having stopped;
 *   - the announced capacity holds for every epoch, and nothing is allocated once buffers are warm;
 *   - a loader's objective places the examples and says what their tokens weigh;
 *   - K labels behind one prompt: what each would be there, and whether the row is the prompt and
 *     its label's answer;
 *   - whichever allocation fails is reported.
 */
#include "tests/datasets/bytes.h"
#include "tests/support/faults.h"

enum { ROWS = 57 };

static struct lorac_tokenizer *bytes;
static struct lorac_table *table;
static struct lorac_dataset *data;

static const struct lorac_dataset_options usual = {
    .prompt = "{text}", .completion = " {label}", .append_eos = true, .max_length = 64};

static int open_all(void **state)
{
    (void)state;
    static char text[8192];
    int at = snprintf(text, sizeof text, "text,label\n");
    for (int i = 0; i < ROWS; i++) { // prompts of 2 to 38 tokens
        at += snprintf(text + at, sizeof text - (size_t)at, "%.*s%02d,%c\n", i * i % 36,
                       "------------------------------------", i, 'x' + i % 3);
    }
    bytes = open_bytes();
    table = open_text(text);
    data = open_dataset(table, bytes, &usual);
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

static struct lorac_loader *open_loader(const struct lorac_loader_options *o)
{
    struct lorac_loader *l = NULL;
    struct lorac_err err = {0};
    if (lorac_loader_open(&l, data, o, &err)) { fail_msg("%s", err.text); }
    return l;
}

static struct lorac_batch *new_batch(const struct lorac_loader *l)
{
    struct lorac_batch *b = NULL;
    size_t rows = lorac_loader_max_rows(l);
    assert_int_equal(lorac_batch_new(&b, rows, lorac_loader_max_segments(l), rows, NULL), LORAC_OK);
    return b;
}

/* The batch holds exactly these examples: ids, segments, and a score for each trained token. */
static void expect_batch(const struct lorac_batch *b, const uint32_t *examples, size_t n)
{
    struct lorac_example e = {0};
    size_t row = 0;
    size_t u = 0;
    assert_int_equal(b->S, n);
    for (size_t s = 0; s < n; s++) {
        assert_int_equal(lorac_dataset_example(&e, data, examples[s], NULL), LORAC_OK);
        assert_int_equal(b->segments[s].row, row);
        assert_int_equal(b->segments[s].n, e.ids.n - 1);
        assert_int_equal(b->segments[s].parent, -1);
        assert_memory_equal(b->ids + row, e.ids.at, (e.ids.n - 1) * sizeof *b->ids);
        for (size_t t = e.trained_from; t < e.ids.n; t++, u++) {
            assert_int_equal(b->head_row[u], row + t - 1);
            assert_int_equal(b->first[u], u);
            assert_int_equal(b->target[u], e.ids.at[t]);
            assert_true(b->weight[u] == 1.0F);
        }
        row += e.ids.n - 1;
    }
    assert_int_equal(b->N, row); // no padding
    assert_int_equal(b->U, u);
    assert_int_equal(b->T, u);
    lorac_example_free(&e);
}

static const struct lorac_loader_options kinds[] = {
    {.batch_tokens = 64, .shuffle = true, .seed = 3},
    {.batch_tokens = 20, .shuffle = true, .seed = 3}, // many examples are longer
    {.batch_tokens = 1, .shuffle = true, .seed = 3},  // all are
    {.batch_size = 5, .shuffle = true, .seed = 3},
    {.batch_tokens = 100, .batch_size = 4, .shuffle = true, .seed = 3},
    {.batch_tokens = 100000, .shuffle = true, .seed = 3}, // one batch is the epoch
    {.batch_tokens = 64, .shuffle = false},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void an_epoch_gives_every_example_once_in_full_batches(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        const struct lorac_loader_options *o = &kinds[k];
        struct lorac_loader *l = open_loader(o);
        struct lorac_batch *b = new_batch(l);
        for (uint64_t epoch = 0; epoch < 4; epoch++) {
            size_t seen[ROWS] = {0};
            size_t batches = 0;
            size_t before = 0; // the rows of the batch before this one
            while (lorac_loader_state(l).epoch == epoch) {
                const uint32_t *examples = NULL;
                size_t n = 0;
                assert_int_equal(lorac_loader_next(l, b, &examples, &n, NULL), LORAC_OK);
                expect_batch(b, examples, n);
                for (size_t i = 0; i < n; i++) {
                    seen[examples[i]]++;
                }
                size_t tokens = o->batch_tokens ? o->batch_tokens : SIZE_MAX;
                size_t size = o->batch_size ? o->batch_size : SIZE_MAX;
                assert_true(n == 1 || (b->N <= tokens && n <= size));
                size_t first = b->segments[0].n; // that did not fit before
                assert_true(batches == 0 || before + first > tokens || o->batch_size);
                before = b->N;
                batches++;
            }
            for (size_t i = 0; i < ROWS; i++) {
                assert_int_equal(seen[i], 1);
            }
            assert_int_equal(lorac_loader_state(l).position, 0);
            assert_int_equal(lorac_loader_count(l, epoch), batches);
        }
        lorac_batch_free(b);
        lorac_loader_close(l);
    }
}

static void a_stopped_run_goes_on_as_if_it_had_not(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct lorac_loader *whole = open_loader(&kinds[k]);
        struct lorac_loader *resumed = open_loader(&kinds[k]);
        struct lorac_batch *a = new_batch(whole);
        struct lorac_batch *b = new_batch(resumed);
        while (lorac_loader_state(whole).epoch < 3) {
            const uint32_t *x = NULL;
            const uint32_t *y = NULL;
            size_t n = 0;
            size_t m = 0;
            (void)lorac_loader_count(resumed, 7); // may look elsewhere without losing its place
            assert_int_equal(lorac_loader_seek(resumed, lorac_loader_state(whole), NULL), LORAC_OK);
            assert_int_equal(lorac_loader_next(whole, a, &x, &n, NULL), LORAC_OK);
            assert_int_equal(lorac_loader_next(resumed, b, &y, &m, NULL), LORAC_OK);
            assert_int_equal(n, m);
            assert_memory_equal(x, y, n * sizeof *x);
            assert_int_equal(a->N, b->N);
            assert_memory_equal(a->ids, b->ids, a->N * sizeof *a->ids);
        }
        lorac_batch_free(a);
        lorac_batch_free(b);
        lorac_loader_close(whole);
        lorac_loader_close(resumed);
    }
}

/* The first batch of an epoch, as the indices of its examples. */
static size_t first_of(uint32_t out[ROWS], const struct lorac_loader_options *o, uint64_t epoch)
{
    struct lorac_loader *l = open_loader(o);
    struct lorac_batch *b = new_batch(l);
    const uint32_t *examples = NULL;
    size_t n = 0;
    assert_int_equal(lorac_loader_seek(l, (struct lorac_loader_state){.epoch = epoch}, NULL),
                     LORAC_OK);
    assert_int_equal(lorac_loader_next(l, b, &examples, &n, NULL), LORAC_OK);
    memcpy(out, examples, n * sizeof *out);
    lorac_batch_free(b);
    lorac_loader_close(l);
    return n;
}

static void the_order_is_a_function_of_seed_and_epoch(void **state)
{
    (void)state;
    struct lorac_loader_options o = {.batch_size = ROWS, .shuffle = true, .seed = 3};
    uint32_t a[ROWS];
    uint32_t b[ROWS];
    assert_int_equal(first_of(a, &o, 0), ROWS);
    first_of(b, &o, 0);
    assert_memory_equal(a, b, sizeof a);
    first_of(b, &o, 1);
    assert_memory_not_equal(a, b, sizeof a);
    o.seed = 4;
    first_of(b, &o, 0);
    assert_memory_not_equal(a, b, sizeof a);
    o.shuffle = false;
    first_of(b, &o, 5);
    for (uint32_t i = 0; i < ROWS; i++) {
        assert_int_equal(b[i], i);
    }
}

static bool placed[ROWS];

/* Scores one token, the last. */
static void place_last(struct lorac_batch *b, const struct lorac_example *e,
                       const struct lorac_placing *how)
{
    assert_ptr_equal(how->set, data);
    assert_int_equal(how->prefix.n, 0);
    (void)lorac_batch_add(b, e->ids.at, e->ids.n - 1, -1);
    lorac_batch_score(b, b->N - 1, e->ids.at[e->ids.n - 1]);
}

static size_t trained_of(size_t i)
{
    struct lorac_example e = {0};
    assert_int_equal(lorac_dataset_example(&e, data, i, NULL), LORAC_OK);
    size_t n = e.ids.n - e.trained_from;
    lorac_example_free(&e);
    return n;
}

static float weigh_by_index(const struct lorac_dataset *set, size_t i, size_t t, size_t n)
{
    assert_ptr_equal(set, data);
    assert_true(n == 1 || n == trained_of(i));
    placed[i] = true;
    return (float)i + 0.25F * (float)t;
}

static void an_objective_places_and_weighs(void **state)
{
    (void)state;
    struct lorac_objective own = lorac_objectives[0];
    struct lorac_loader_options o = {.batch_tokens = 64, .objective = &own};
    const uint32_t *examples = NULL;
    size_t n = 0;
    own.weigh = weigh_by_index;
    for (int last = 0; last < 2; last++) {
        if (last) { own.place = place_last; }
        struct lorac_loader *l = open_loader(&o);
        struct lorac_batch *b = new_batch(l);
        assert_ptr_equal(lorac_loader_objective(l), &own);
        while (lorac_loader_state(l).epoch == 0) {
            assert_int_equal(lorac_loader_next(l, b, &examples, &n, NULL), LORAC_OK);
            size_t at = 0;
            for (size_t s = 0; s < n; s++) {
                size_t scored = last ? 1 : trained_of(examples[s]);
                for (size_t t = 0; t < scored; t++) {
                    assert_true(b->weight[at++] == (float)examples[s] + 0.25F * (float)t);
                }
            }
            assert_int_equal(at, b->T);
        }
        for (size_t i = 0; i < ROWS; i++) {
            assert_true(placed[i]);
            placed[i] = false;
        }
        lorac_batch_free(b);
        lorac_loader_close(l);
    }
}

static void the_announced_capacity_is_the_least_that_holds(void **state)
{
    (void)state;
    struct lorac_loader *l = open_loader(&kinds[2]); // each alone
    assert_int_equal(lorac_loader_max_rows(l), lorac_dataset_counts(data)->longest - 1);
    assert_int_equal(lorac_loader_max_segments(l), 1);
    lorac_loader_close(l);
    l = open_loader(&kinds[5]); // all together
    assert_int_equal(lorac_loader_max_rows(l), lorac_dataset_counts(data)->tokens - ROWS);
    assert_int_equal(lorac_loader_max_segments(l), ROWS);
    lorac_loader_close(l);
    l = open_loader(&kinds[3]);
    assert_in_range(lorac_loader_max_rows(l), 1, 5 * (lorac_dataset_counts(data)->longest - 1));
    assert_int_equal(lorac_loader_max_segments(l), 5);
    lorac_loader_close(l);
}

/* With ids that are kept: to make them again the tokenizer allocates. */
static void warm_buffers_are_enough(void **state)
{
    (void)state;
    struct lorac_dataset_options kept = usual;
    kept.cache = 1 << 20;
    struct lorac_dataset *d = open_dataset(table, bytes, &kept);
    struct lorac_loader *l = NULL;
    assert_int_equal(lorac_loader_open(&l, d, &kinds[0], NULL), LORAC_OK);
    struct lorac_batch *b = new_batch(l);
    const uint32_t *examples = NULL;
    size_t n = 0;
    unsigned long before = 0;
    while (lorac_loader_state(l).epoch < 3) {
        if (lorac_loader_state(l).epoch == 1 && !before) { before = lorac_mem_count(); }
        assert_int_equal(lorac_loader_next(l, b, &examples, &n, NULL), LORAC_OK);
    }
    assert_int_equal(lorac_mem_count(), before);
    lorac_batch_free(b);
    lorac_loader_close(l);
    lorac_dataset_close(d);
}

static void what_a_loader_cannot_do_is_refused(void **state)
{
    (void)state;
    struct lorac_loader *l = NULL;
    struct lorac_err err = {0};
    const struct lorac_loader_options none = {.shuffle = true};
    assert_int_equal(lorac_loader_open(&l, data, &none, &err), LORAC_EUSER);
    assert_string_equal(err.text, "batch_tokens and batch_size are both 0, expected one");
    l = open_loader(&kinds[0]);
    const struct lorac_loader_state far = {.epoch = 2, .position = ROWS};
    assert_int_equal(lorac_loader_seek(l, far, &err), LORAC_EUSER);
    assert_string_equal(err.text, "t.csv: position 57 of epoch 2, expected less than its 57 "
                                  "examples (another table?)");
    struct lorac_batch *small = NULL;
    const uint32_t *examples = NULL;
    size_t n = 0;
    assert_int_equal(lorac_batch_new(&small, 10, 1, 10, NULL), LORAC_OK);
    assert_int_equal(lorac_loader_next(l, small, &examples, &n, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "the batch holds 10 rows and 1 segments, expected 64 and"));
    assert_int_equal(lorac_loader_state(l).position, 0);
    lorac_batch_free(small);
    lorac_loader_close(l);
}

/* ---- choices ---- */

/* Answer k of the tree is this text and EOS. */
static void expect_answer(const struct lorac_tree *t, size_t k, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(t->at[t->last[k]].depth, n + 1);
    assert_int_equal(t->at[t->last[k]].id, EOS);
    for (uint32_t i = t->at[t->last[k]].parent; i != 0; i = t->at[i].parent) {
        assert_int_equal(t->at[i].id, (unsigned char)text[--n]);
    }
    assert_int_equal(n, 0);
}

static void labels_answer_one_prompt(void **state)
{
    (void)state;
    static const char text[] = "text,label,why\npq,yes,u\nrst,?,vv\n";
    static const char *const labels[] = {"no", "yes", "y"};
    static const int32_t first[] = {BOS, 'p', 'q'};
    static const int32_t second[] = {BOS, 'r', 's', 't'};
    struct lorac_table *t = open_text(text);
    for (int fixed = 0; fixed < 2; fixed++) {
        struct lorac_dataset_options o = usual;
        o.completion = fixed ? "{label}" : "{label}{why}";
        struct lorac_dataset *d = open_dataset(t, bytes, &o);
        struct lorac_choices *c = NULL;
        struct lorac_choice x = {0};
        assert_int_equal(lorac_choices_open(&c, d, labels, 3, NULL), LORAC_OK);
        assert_int_equal(lorac_choices_read(&x, c, 0, NULL), LORAC_OK);
        assert_true((x.tree != &x.own) == fixed);
        assert_int_equal(x.prompt.n, 3);
        assert_memory_equal(x.prompt.at, first, sizeof first);
        assert_true(x.label == 1 && x.whole && x.example.ids.n == (fixed ? 7 : 8));
        for (size_t k = 0; k < 3; k++) {
            char answer[16];
            snprintf(answer, sizeof answer, "%s%s", labels[k], fixed ? "" : "u");
            expect_answer(x.tree, k, answer);
        }
        assert_int_equal(lorac_choices_read(&x, c, 1, NULL), LORAC_OK);
        assert_int_equal(x.prompt.n, 4);
        assert_memory_equal(x.prompt.at, second, sizeof second);
        assert_true(x.label == 3 && !x.whole); // '?' is none of them
        for (size_t k = 0; k < 3; k++) {
            char answer[16];
            snprintf(answer, sizeof answer, "%s%s", labels[k], fixed ? "" : "vv");
            expect_answer(x.tree, k, answer);
        }
        lorac_choice_free(&x);
        lorac_choices_close(c);
        lorac_dataset_close(d);
    }
    lorac_table_close(t);
}

static void a_prompt_is_cut_for_the_longest_label(void **state)
{
    (void)state;
    static const char *const labels[] = {"a", "cd", "b"};
    static const int32_t ids[] = {BOS, 'q'};
    struct lorac_table *t = open_text("text,label\npq,b\npq,cd\n");
    struct lorac_dataset_options o = usual;
    o.completion = "{label}";
    o.append_eos = false;
    o.max_length = 4;
    struct lorac_dataset *d = open_dataset(t, bytes, &o);
    struct lorac_choices *c = NULL;
    struct lorac_choice x = {0};
    assert_int_equal(lorac_choices_open(&c, d, labels, 3, NULL), LORAC_OK);
    assert_int_equal(lorac_choices_spread(c), 1);
    assert_int_equal(lorac_choices_read(&x, c, 0, NULL), LORAC_OK);
    assert_int_equal(x.prompt.n, 2);
    assert_memory_equal(x.prompt.at, ids, sizeof ids);
    assert_true(x.tree->longest == 2 && x.tree->rows == 1);
    assert_true(x.label == 2 && !x.whole && x.example.ids.n == 4); // which has all of the prompt
    assert_int_equal(lorac_choices_read(&x, c, 1, NULL), LORAC_OK);
    assert_true(x.label == 1 && x.whole && x.prompt.n == 2); // cut in the same place
    lorac_choice_free(&x);
    lorac_choices_close(c);
    lorac_dataset_close(d);
    lorac_table_close(t);
}

static void what_is_no_choice_is_refused(void **state)
{
    (void)state;
    static const char *const labels[] = {"a", "b", "a", ""};
    static const struct {
        const char *prompt, *completion;
        size_t K;
        const char *want;
    } cases[] = {
        {"", "{label}", 2,
         "labels: the template has no prompt, expected one that the labels answer"},
        {"{text}", "{text}", 2,
         "labels: the template's completion does not use the label variable, expected it to"},
        {"{text}{label}", "{label}", 2,
         "labels: the template's prompt gives 'label' away, expected it in the completion only"},
        {"{text}", "{label}", 1, "labels: 1 of them, expected two or more"},
        {"{text}", "{label}", 3, "labels: 'a' is named twice"},
    };
    struct lorac_table *t = open_text("text,label\npq,b\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_dataset_options o = usual;
        struct lorac_choices *c = NULL;
        struct lorac_err err = {0};
        o.prompt = cases[i].prompt;
        o.completion = cases[i].completion;
        struct lorac_dataset *d = open_dataset(t, bytes, &o);
        assert_int_equal(lorac_choices_open(&c, d, labels, cases[i].K, &err), LORAC_EUSER);
        assert_string_equal(err.text, cases[i].want);
        lorac_dataset_close(d);
    }
    lorac_table_close(t);
}

static enum lorac_status use_both(struct lorac_err *err)
{
    static const char *const labels[] = {"x", "y", "z"};
    struct lorac_loader *l = NULL;
    struct lorac_choices *c = NULL;
    struct lorac_batch *b = NULL;
    const uint32_t *examples = NULL;
    struct lorac_choice x = {0};
    size_t n = 0;
    enum lorac_status st = lorac_loader_open(&l, data, &kinds[0], err);
    if (st) { goto done; }
    st = lorac_batch_new(&b, 64, lorac_loader_max_segments(l), 64, err);
    if (st) { goto done; }
    st = lorac_loader_next(l, b, &examples, &n, err);
    if (st) { goto done; }
    st = lorac_choices_open(&c, data, labels, 3, err);
    if (st) { goto done; }
    st = lorac_choices_read(&x, c, 0, err);
done:
    lorac_choice_free(&x);
    lorac_choices_close(c);
    lorac_batch_free(b);
    lorac_loader_close(l);
    return st;
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    int failures = 0;
    int unnoticed = 0; // libcsv asks for less where it gets none
    for (bool met = true; met; failures += met) {
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, failures);
        enum lorac_status st = use_both(&err);
        met = faults_stop();
        assert_true(st == LORAC_OK || (st == LORAC_ENOMEM && strstr(err.text, "memory")));
        unnoticed += met && !st;
    }
    assert_true(failures > 20 && unnoticed < 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_gives_every_example_once_in_full_batches),
        cmocka_unit_test(a_stopped_run_goes_on_as_if_it_had_not),
        cmocka_unit_test(the_order_is_a_function_of_seed_and_epoch),
        cmocka_unit_test(an_objective_places_and_weighs),
        cmocka_unit_test(the_announced_capacity_is_the_least_that_holds),
        cmocka_unit_test(warm_buffers_are_enough),
        cmocka_unit_test(what_a_loader_cannot_do_is_refused),
        cmocka_unit_test(labels_answer_one_prompt),
        cmocka_unit_test(a_prompt_is_cut_for_the_longest_label),
        cmocka_unit_test(what_is_no_choice_is_refused),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("pack", tests, open_all, close_all);
}
