/*
 * Masks (objective masked_lm). What is promised:
 *   - every token of a text stands in one piece, framed as the tokenizer frames a text; pieces of
 *     special tokens alone are left out and counted;
 *   - the share of tokens that is asked for, and what becomes of them: 80 % the mask token, 10 %
 *     any token, 10 % the same; of a piece one at least, and never a special one;
 *   - each is scored at its own row, for what it was;
 *   - what is hidden depends on seed, epoch, example and place: other tokens each epoch, the same
 *     however it is packed, cut into parts, or gone on with;
 *   - what cannot be masked is refused; whichever allocation fails is reported.
 */
#include "tests/support/letters.h"

#include "tests/datasets/bytes.h"
#include "tests/support/faults.h"

#include <math.h>

static struct lorac_tokenizer *letters;
static const struct lorac_objective *masked, *causal = &lorac_objectives[0];

static int open_all(void **state)
{
    struct lorac_err err = {0};
    (void)state;
    letters_write("letters");
    if (lorac_tokenizer_open(&letters, tiny_path("letters"), &err)) { fail_msg("%s", err.text); }
    for (masked = lorac_objectives; strcmp(masked->name, "masked_lm") != 0; masked++) {}
    return 0;
}

static int close_all(void **state)
{
    lorac_tokenizer_free(letters);
    return tiny_remove(state);
}

static struct lorac_text_options options(size_t max_length)
{
    return (struct lorac_text_options){
        .max_length = max_length, .objective = masked, .mask_share = 0.15};
}

static enum lorac_status open_on(struct lorac_dataset **d, const struct lorac_tokenizer *tokenizer,
                                 const struct lorac_text_options *o, struct lorac_err *err)
{
    struct lorac_texts *t = NULL;
    const char *path = tiny_path("t.txt");
    *d = NULL;
    enum lorac_status st = lorac_texts_open(&t, &path, 1, "|", err);
    if (!st) { st = lorac_dataset_open_texts(d, t, tokenizer, o, err); }
    lorac_texts_close(t);
    return st;
}

static struct lorac_dataset *open_set(const char *text, struct lorac_text_options o)
{
    struct lorac_dataset *d = NULL;
    struct lorac_err err = {0};
    tiny_text("t.txt", text);
    if (open_on(&d, letters, &o, &err)) { fail_msg("%s", err.text); }
    return d;
}

static void every_token_stands_in_one_framed_piece(void **state)
{
    (void)state;
    static const int32_t want[][6] = {{CLS, LETTER, PART + 1, LETTER + 2, SEP, -1},
                                      {CLS, DOT, UNK, DOT, SEP, -1},
                                      {CLS, LETTER + 25, SEP, -1}};
    struct lorac_example e = {0};
    // the second document is [UNK] alone
    struct lorac_dataset *d = open_set("ab c. ? .|? ?|z", options(5));
    const struct lorac_data_counts *c = lorac_dataset_counts(d);
    assert_int_equal(lorac_dataset_size(d), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(lorac_dataset_example(&e, d, i, NULL), LORAC_OK);
        size_t n = 0;
        for (; want[i][n] >= 0; n++) {
            assert_int_equal(e.ids.at[n], want[i][n]);
        }
        assert_int_equal(e.ids.n, n);
        assert_int_equal(lorac_dataset_rows(d, i), n);
    }
    assert_int_equal(c->documents, 2);
    assert_int_equal(c->special_pieces, 1);
    assert_int_equal(c->trained, 3); // one of each piece
    assert_int_equal(c->bytes, 0);
    assert_int_equal(lorac_dataset_all_rows(d), 13);
    lorac_example_free(&e);
    lorac_dataset_close(d);
}

/* ---- what is hidden ---- */

enum { MOST = 1 << 15 };
/* Of the tokens of all examples, one behind the other. */
struct seen {
    int32_t ids[MOST], asked[MOST]; // -1: not asked for
    size_t n;
};

static struct lorac_batch *new_batch(const struct lorac_loader *l)
{
    struct lorac_batch *b = NULL;
    assert_int_equal(lorac_batch_new(&b, lorac_loader_max_rows(l), lorac_loader_max_segments(l),
                                     lorac_loader_max_targets(l), NULL),
                     LORAC_OK);
    return b;
}

static void see_batch(struct seen *s, const struct lorac_batch *b, const uint32_t *examples,
                      size_t n, const size_t *start)
{
    assert_int_equal(b->S, n);
    for (size_t k = 0; k < n; k++) {
        const struct lorac_segment *seg = &b->segments[k];
        assert_int_equal(seg->parent, -1);
        for (size_t t = 0; t < seg->n; t++) {
            s->ids[start[examples[k]] + t] = b->ids[seg->row + t];
            s->asked[start[examples[k]] + t] = -1;
        }
        for (size_t t = 0; t < b->T; t++) {
            size_t row = row_of(b, t);
            if (row < seg->row || row >= seg->row + seg->n) { continue; }
            s->asked[start[examples[k]] + row - seg->row] = b->target[t];
        }
    }
}

/* An epoch as this loader gives it, from a position on. */
static void see(struct seen *s, const struct lorac_dataset *d, struct lorac_loader_options o,
                struct lorac_loader_state from, size_t parts)
{
    struct lorac_loader *l = NULL;
    struct lorac_err err = {0};
    size_t *start = lorac_mem_new(lorac_dataset_size(d) + 1, sizeof *start);
    for (size_t i = 0; i < lorac_dataset_size(d); i++) {
        start[i + 1] = start[i] + lorac_dataset_length(d, i);
    }
    s->n = start[lorac_dataset_size(d)];
    assert_true(s->n <= MOST);
    if (lorac_loader_open(&l, d, &o, &err)) { fail_msg("%s", err.text); }
    struct lorac_batch *b = new_batch(l);
    assert_int_equal(lorac_loader_seek(l, from, NULL), LORAC_OK);
    while (lorac_loader_state(l).epoch == from.epoch) {
        struct lorac_loader_state at = lorac_loader_state(l);
        size_t scored = 0;
        for (size_t p = 0; p < parts; p++) {
            const uint32_t *examples = NULL;
            size_t n = 0;
            assert_int_equal(lorac_loader_seek(l, at, NULL), LORAC_OK);
            if (lorac_loader_next_part(l, b, p, parts, &examples, &n, &err)) {
                fail_msg("%s", err.text);
            }
            assert_int_equal(b->scored_before, scored);
            scored += b->T;
            see_batch(s, b, examples, n, start);
        }
    }
    lorac_batch_free(b);
    lorac_loader_close(l);
    lorac_mem_free(start);
}

static const char *long_text(void)
{
    static char text[20000];
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        text[i] = i % 7 == 6 ? ' ' : i % 97 == 0 ? '.' : (char)('a' + i * i % 23);
    }
    return text;
}

static const struct lorac_loader_options usual = {.batch_tokens = 256, .seed = 5, .shuffle = true};
static const struct lorac_loader_state begin = {0};

static bool near_share(size_t n, size_t of, double share)
{
    double sigma = sqrt(share * (1.0 - share) / (double)of);
    return fabs((double)n / (double)of - share) < 4.0 * sigma;
}

static void the_shares_are_those_that_are_promised(void **state)
{
    (void)state;
    static const double shares[] = {0.15, 0.4};
    static struct seen s;
    for (size_t k = 0; k < 2; k++) {
        struct lorac_text_options o = options(128);
        o.mask_share = shares[k];
        struct lorac_dataset *d = open_set(long_text(), o);
        struct lorac_example e = {0};
        size_t asked = 0;
        size_t all = 0;
        size_t become[3] = {0}; // the mask, another, the same
        see(&s, d, usual, begin, 1);
        for (size_t i = 0, at = 0; i < lorac_dataset_size(d); i++) {
            assert_int_equal(lorac_dataset_example(&e, d, i, NULL), LORAC_OK);
            for (size_t t = 0; t < e.ids.n; t++, at++) {
                bool special = e.ids.at[t] == CLS || e.ids.at[t] == SEP;
                all += !special;
                if (s.asked[at] < 0) {
                    assert_int_equal(s.ids[at], e.ids.at[t]);
                    continue;
                }
                assert_false(special);
                assert_int_equal(s.asked[at], e.ids.at[t]); // what it was, at its own row
                asked++;
                become[s.ids[at] == MASK ? 0 : s.ids[at] == e.ids.at[t] ? 2 : 1]++;
                assert_in_range(s.ids[at], 0, LETTERS - 1);
            }
        }
        assert_true(all > 15000);
        assert_true(near_share(asked, all, shares[k]));
        double other = 0.1 * (LETTERS - 2) / LETTERS; // of any token it may be either
        assert_true(near_share(become[0], asked, 0.8 + 0.1 / LETTERS));
        assert_true(near_share(become[1], asked, other));
        assert_true(near_share(become[2], asked, 0.1 + 0.1 / LETTERS));
        assert_true(near_share(asked, all, (double)lorac_dataset_counts(d)->trained / (double)all));
        lorac_example_free(&e);
        lorac_dataset_close(d);
    }
}

static void of_each_piece_one_token_at_least_is_asked_for(void **state)
{
    (void)state;
    static struct seen s;
    struct lorac_dataset *d = open_set("a|b|c|d|ef|ghi|j|k|l|m|n|o|p|q|r", options(16));
    size_t at_first = 0;
    for (uint64_t epoch = 0; epoch < 40; epoch++) {
        see(&s, d, usual, (struct lorac_loader_state){.epoch = epoch}, 1);
        for (size_t i = 0, at = 0; i < lorac_dataset_size(d); at += lorac_dataset_length(d, i++)) {
            size_t n = 0;
            for (size_t t = 0; t < lorac_dataset_length(d, i); t++) {
                n += s.asked[at + t] >= 0;
            }
            assert_true(n >= 1);
            if (i == 5) { at_first += s.asked[at + 1] >= 0; }
        }
    }
    assert_in_range(at_first, 5, 24); // of three letters not always the same
    lorac_dataset_close(d);
}

static bool same(const struct seen *a, const struct seen *b)
{
    assert_int_equal(a->n, b->n);
    return memcmp(a->ids, b->ids, a->n * sizeof *a->ids) == 0 &&
           memcmp(a->asked, b->asked, a->n * sizeof *a->asked) == 0;
}

static void packing_changes_nothing_and_an_epoch_all(void **state)
{
    (void)state;
    static struct seen s, other;
    struct lorac_dataset *d = open_set(long_text(), options(48));
    const struct lorac_loader_state second = {.epoch = 1};
    struct lorac_loader_options o = usual;
    see(&s, d, o, begin, 1);
    see(&other, d, o, begin, 1);
    assert_true(same(&s, &other));
    see(&other, d, o, begin, 3); // parts
    assert_true(same(&s, &other));
    o.batch_tokens = 1000;
    see(&other, d, o, begin, 1);
    assert_true(same(&s, &other));
    o = (struct lorac_loader_options){.batch_size = 1, .seed = 5};
    see(&other, d, o, begin, 1); // and in the order of the text
    assert_true(same(&s, &other));
    see(&other, d, o, (struct lorac_loader_state){.position = 40}, 1); // gone on with
    assert_true(same(&s, &other));
    see(&other, d, usual, second, 1);
    assert_false(same(&s, &other));
    o.seed = 6;
    see(&other, d, o, begin, 1);
    assert_false(same(&s, &other));
    lorac_dataset_close(d);
}

/* ---- what is refused ---- */

static void what_cannot_be_masked_is_refused(void **state)
{
    (void)state;
    struct lorac_tokenizer *bytes = open_bytes();
    struct lorac_dataset *d = NULL;
    struct lorac_loader *l = NULL;
    struct lorac_err err = {0};
    struct lorac_text_options o = options(16);
    struct lorac_loader_options rows = usual;
    tiny_text("t.txt", "? ?");
    assert_int_equal(open_on(&d, bytes, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text, "objective: masked_lm hides tokens behind the tokenizer's mask "
                                  "token, and it has none (mask_token in tokenizer_config.json), "
                                  "expected one as [MASK]");
    assert_int_equal(open_on(&d, letters, &o, &err), LORAC_EFORMAT);
    assert_non_null(strstr(err.text, "/t.txt: no document has a token that can be masked, expected "
                                     "at least one that has"));
    o.max_length = 2;
    assert_int_equal(open_on(&d, letters, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text, "max_length: 2, but the tokenizer puts 2 tokens around a text; "
                                  "expected 3 or more");
    o = options(16);
    o.mask_share = 0.0;
    assert_int_equal(open_on(&d, letters, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text, "mask_share: 0, expected a number between 0 and 1");
    o.objective = masked + 1; // classify
    assert_int_equal(open_on(&d, letters, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text, "objective: classify learns from a column, and texts have none");
    d = open_set("some words", options(16));
    rows.objective = causal;
    assert_int_equal(lorac_loader_open(&l, d, &rows, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "was read for the objective masked_lm, not for causal_lm"));
    lorac_dataset_close(d);
    lorac_tokenizer_free(bytes);
}

static enum lorac_status open_and_read(struct lorac_err *err)
{
    const struct lorac_text_options o = options(8);
    const uint32_t *examples = NULL;
    size_t n = 0;
    struct lorac_dataset *d = NULL;
    struct lorac_loader *l = NULL;
    struct lorac_batch *b = NULL;
    enum lorac_status st = open_on(&d, letters, &o, err);
    if (!st) { st = lorac_loader_open(&l, d, &usual, err); }
    if (!st) { st = lorac_batch_new(&b, 256, 64, 256, err); }
    if (!st) { st = lorac_loader_next(l, b, &examples, &n, err); }
    lorac_batch_free(b);
    lorac_loader_close(l);
    lorac_dataset_close(d);
    return st;
}

static void every_failure_is_reported(void **state)
{
    (void)state;
    long n = 0;
    tiny_text("t.txt", "some words of a text|and others");
    for (bool met = true; met; n++) {
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = open_and_read(&err);
        met = faults_stop();
        if (met) { assert_int_equal(st, LORAC_ENOMEM); }
        assert_true(met || !st);
    }
    assert_true(n > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token_stands_in_one_framed_piece),
        cmocka_unit_test(the_shares_are_those_that_are_promised),
        cmocka_unit_test(of_each_piece_one_token_at_least_is_asked_for),
        cmocka_unit_test(packing_changes_nothing_and_an_epoch_all),
        cmocka_unit_test(what_cannot_be_masked_is_refused),
        cmocka_unit_test(every_failure_is_reported),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
