/*
 * Few-shot evaluation. What is promised:
 *   - loss and likeliest label are those of one plain pass over shots, prompt, answer and separator
 *     behind one another; so is the greedy answer, which ends at the separator;
 *   - a prefix longer than a batch gives the same;
 *   - training rows that are shots are not evaluated; shots come from the training rows of a split
 *     only;
 *   - more shots than fit are an error that says how many fit, or as many as fit where fewer will
 *     do;
 *   - an answer that holds the separator is an error; the shots do not leave with the job's own
 *     sets.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/fewshot.h"
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

enum { ACCURACY = 1U << LORAC_METRIC_ACCURACY, MAX_TEXT = 4096 };

struct subject {
    struct lorac_recipe *r;
    struct lorac_job *j;
    struct lorac_fewshot f;
};

static void open_job(struct subject *s, const char *const *sets)
{
    struct lorac_err err = {0};
    *s = (struct subject){.r = runs_recipe(tiny_path("none"), sets)};
    if (lorac_job_open(&s->j, s->r, LORAC_JOB_TRAIN, &err)) { fail_msg("%s", err.text); }
}

static void open_shots(struct subject *s, const struct lorac_data *data,
                       struct lorac_fewshot_options o)
{
    struct lorac_err err = {0};
    if (lorac_fewshot_open(&s->f, s->j, data, ACCURACY, &o, &err)) { fail_msg("%s", err.text); }
}

static void close_job(struct subject *s)
{
    lorac_fewshot_close(&s->f);
    lorac_job_close(s->j);
    lorac_recipe_free(s->r);
}

static struct lorac_scores evaluate(struct subject *s, unsigned metrics)
{
    struct lorac_evaluator *e = NULL;
    struct lorac_scores scores = {0};
    struct lorac_err err = {0};
    struct lorac_evaluator_options o = lorac_job_evaluation(s->j, s->f.set, metrics, NULL);
    o.kept_bytes = SIZE_MAX; // nothing is kept: rows that go on from shots run whole
    if (lorac_evaluator_new(&e, &o, &err) || lorac_evaluate(&scores, e, NULL, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    struct lorac_scores again = {0};
    assert_int_equal(lorac_evaluate(&again, e, NULL, NULL, &err), LORAC_OK);
    assert_true(again.loss == scores.loss);
    lorac_evaluator_free(e);
    return scores;
}

/* Labels of one letter each, so that the random model has no liking for the shorter one. */
static const char labels[] = "data.labels.map={good: x, bad: q}";
static const char *const values[] = {"bad", "good"};
static const char letters[] = "qx";

/* The text of the shots as someone would type it, from the table's cells; `mapped`: with the
 * letters. */
static void write_prefix(char text[MAX_TEXT], const struct subject *s, const char *separator,
                         bool mapped)
{
    struct lorac_row row = {0};
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < lorac_shots_count(s->f.shots); i++) {
        assert_int_equal(
            lorac_table_row(&row, s->j->train.table, lorac_shots_row(s->f.shots, i), NULL),
            LORAC_OK);
        bool good = row.cells[1].n == 4;
        n += (size_t)snprintf(text + n, MAX_TEXT - n, "%.*s is %.*s%s", (int)row.cells[0].n,
                              row.cells[0].at, mapped ? 1 : (int)row.cells[1].n,
                              mapped ? letters + good : row.cells[1].at, separator);
        assert_true(n < MAX_TEXT);
    }
    lorac_row_free(&row);
}

/* Compare an evaluation of one row with plain passes: its loss, and which label is likelier. True:
 * its own. */
static bool expect_row(const char *text, size_t label, struct lorac_fewshot_options o)
{
    struct subject s;
    char csv[256];
    char path[512];
    char prefix[MAX_TEXT];
    const char *separator = o.separator ? o.separator : "\n\n";
    (void)snprintf(csv, sizeof csv, "text,label\n%s,%s\n", text, values[label]);
    tiny_text("one.csv", csv);
    (void)snprintf(path, sizeof path, "data.valid=%s", tiny_path("one.csv"));
    const char *const sets[] = {path, labels, "model.max_length=128", NULL};
    open_job(&s, sets);
    open_shots(&s, &s.j->valid, o);
    assert_int_equal(lorac_shots_count(s.f.shots), o.n);
    struct lorac_scores got = evaluate(&s, ACCURACY);
    write_prefix(prefix, &s, separator, true);
    size_t n = strlen(prefix);
    (void)snprintf(prefix + n, sizeof prefix - n, "%s is", text);
    double nll[2];
    for (size_t k = 0; k < 2; k++) {
        char answer[128];
        (void)snprintf(answer, sizeof answer, " %c%s", letters[k], separator);
        nll[k] = runs_nll(s.j, prefix, answer, false, NULL);
    }
    size_t tokens = 2 + strlen(separator);
    assert_int_equal(got.tokens, tokens);
    // float32 sums in another order: 1e-5 of the likelihood
    assert_true(fabs(got.loss * (double)tokens - nll[label]) < 1e-5 * nll[label]);
    struct lorac_scores alone = evaluate(&s, 1U << LORAC_METRIC_LOSS);
    assert_true(fabs(alone.loss - got.loss) < 1e-5 * got.loss);
    bool right = nll[label] < nll[1 - label];
    assert_true(got.accuracy == (right ? 1.0 : 0.0));
    close_job(&s);
    return right;
}

static void likelihoods_are_those_of_one_plain_pass(void **state)
{
    (void)state;
    static const char *const texts[] = {"it shines", "it sags", "loud", "a warm joy", "wise", "so"};
    size_t right[2] = {0};
    for (size_t i = 0; i < 6; i++) {
        for (size_t label = 0; label < 2; label++) {
            struct lorac_fewshot_options o = {.n = 1 + i};
            right[label] += expect_row(texts[i], label, o);
            o.separator = "\n---\n";
            right[label] += expect_row(texts[i], label, o);
        }
    }
    // of each pair of labels one is likelier: 12 rows were told right, and 12 wrong
    assert_int_equal(right[0] + right[1], 12);
}

static void a_prefix_longer_than_a_batch_gives_the_same(void **state)
{
    (void)state;
    size_t n = 0;
    static const char from[] = " 512,";
    static const char to[] = "1999,";
    char *config = tiny_read(tiny_path("model/config.json"), &n);
    char *limit = strstr(config, from);
    assert_non_null(limit);
    memmove(limit, to, sizeof to - 1);
    assert_int_equal(lorac_file_write(tiny_path("model/config.json"), config, n, NULL), LORAC_OK);
    struct lorac_fewshot_options o = {
        .n = 18, .separator = "\n-----------------------------------------------------------\n"};
    (void)expect_row("it sags", 0, o); // 18 of at least 61 tokens; a batch has 1024
    memmove(limit, from, sizeof from - 1);
    assert_int_equal(lorac_file_write(tiny_path("model/config.json"), config, n, NULL), LORAC_OK);
    lorac_mem_free(config);
}

/* What the model writes behind the shots and "wise is", by plain generation. */
static void write_plainly(struct lorac_buf *text, const struct subject *s, const char *separator)
{
    struct lorac_generator *g = NULL;
    struct lorac_ids prompt = {0};
    struct lorac_ids ids = {0};
    enum lorac_finish finish = LORAC_FINISH_END;
    char prefix[MAX_TEXT];
    write_prefix(prefix, s, separator, false);
    size_t n = strlen(prefix);
    (void)snprintf(prefix + n, sizeof prefix - n, "wise is");
    struct lorac_text before = {prefix, strlen(prefix), false};
    assert_int_equal(lorac_encode(&prompt, s->j->tokenizer, &before, 1, LORAC_ENCODE_BEGINS, NULL),
                     LORAC_OK);
    struct lorac_sampling o = lorac_sampling_defaults;
    o.max_tokens = strlen(" good") + 32;
    assert_int_equal(lorac_generator_new(&g, s->j->model, NULL, 0, 1, NULL), LORAC_OK);
    assert_int_equal(lorac_generate(&ids, text, &finish, g, s->j->tokenizer, prompt.at, prompt.n,
                                    &o, NULL, NULL, NULL),
                     LORAC_OK);
    lorac_generator_free(g);
    lorac_ids_free(&prompt);
    lorac_ids_free(&ids);
}

/* The evaluator's answer to that row is `n` bytes of `want`. */
static void expect_answer(const struct subject *s, const char *want, size_t n)
{
    struct lorac_evaluator *e = NULL;
    struct lorac_buf text[3] = {0};
    assert_int_equal(lorac_job_evaluator(&e, s->j, s->f.set, 0, NULL, NULL), LORAC_OK);
    assert_int_equal(lorac_evaluator_sample(&text[0], &text[1], &text[2], e, 2, NULL), LORAC_OK);
    assert_string_equal(text[0].at, "wise is");
    assert_string_equal(text[1].at, " good");
    assert_int_equal(text[2].n, n);
    if (n) { assert_memory_equal(text[2].at, want, n); }
    lorac_evaluator_free(e);
    for (size_t i = 0; i < 3; i++) {
        lorac_buf_free(&text[i]);
    }
}

static void the_greedy_answer_ends_at_the_separator(void **state)
{
    (void)state;
    struct subject s;
    struct lorac_buf plain = {0};
    size_t ended = 0;
    open_job(&s, NULL);
    for (int i = 1; i < 4 * 128; i++) { // with most of them the random model never writes it
        const char c = (char)(i % 128);
        const char separator[] = {c, '\0'};
        if (strchr("good ", c)) { continue; }
        open_shots(
            &s, &s.j->valid,
            (struct lorac_fewshot_options){.n = 1 + (size_t)i / 128, .separator = separator});
        lorac_buf_clear(&plain);
        write_plainly(&plain, &s, separator);
        const char *end = memchr(plain.at, c, plain.n);
        expect_answer(&s, plain.at, end ? (size_t)(end - plain.at) : plain.n);
        ended += end != NULL;
        lorac_fewshot_close(&s.f);
    }
    assert_true(ended > 0);
    lorac_buf_free(&plain);
    close_job(&s);
}

static void an_answer_that_holds_the_separator_is_an_error(void **state)
{
    (void)state;
    struct subject s;
    struct lorac_evaluator *e = NULL;
    struct lorac_buf text[3] = {0};
    struct lorac_err err = {0};
    open_job(&s, NULL);
    open_shots(&s, &s.j->valid, (struct lorac_fewshot_options){.n = 1, .separator = "oo"});
    assert_int_equal(lorac_job_evaluator(&e, s.j, s.f.set, 0, NULL, NULL), LORAC_OK);
    assert_int_equal(lorac_evaluator_sample(&text[0], &text[1], &text[2], e, 2, &err), LORAC_EUSER);
    assert_string_equal(err.text, "line 4: the answer holds the text that separates shots; choose "
                                  "another separator");
    lorac_evaluator_free(e);
    for (size_t i = 0; i < 3; i++) {
        lorac_buf_free(&text[i]);
    }
    close_job(&s);
}

static void shots_are_training_rows_and_not_evaluated(void **state)
{
    (void)state;
    static const char *const split[] = {"data.valid={split: 0.25}", NULL};
    struct subject s;
    open_job(&s, split);
    const struct lorac_split *rows = &s.j->valid.split;
    for (int train = 0; train < 2; train++) {
        open_shots(&s, train ? &s.j->train : &s.j->valid, (struct lorac_fewshot_options){.n = 6});
        assert_int_equal(s.f.left_out, train ? 6 : 0);
        assert_int_equal(lorac_dataset_size(s.f.set), train ? 15 - 6 : 5);
        for (size_t i = 0; i < 6; i++) {
            size_t row = lorac_shots_row(s.f.shots, i);
            for (size_t k = 0; k < rows->n_part; k++) {
                assert_true(rows->part[k] != row);
            }
            for (size_t k = 0; k < lorac_dataset_size(s.f.set); k++) {
                assert_true(lorac_dataset_row(s.f.set, k) != row);
            }
        }
        lorac_fewshot_close(&s.f);
    }
    assert_null(lorac_dataset_shots(s.j->valid.set)); // the job's own sets are as they were
    struct lorac_err err = {0};
    struct lorac_fewshot_options o = {.n = 15};
    assert_int_equal(lorac_fewshot_open(&s.f, s.j, &s.j->train, ACCURACY, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text, "all 15 rows of data.train are shots: none is left to evaluate");
    close_job(&s);
}

static size_t number_behind(const char *text, const char *words)
{
    const char *at = strstr(text, words);
    assert_non_null(at);
    return strtoul(at + strlen(words), NULL, 10);
}

static void more_than_fit_are_an_error_that_says_how_many_fit(void **state)
{
    (void)state;
    struct subject s;
    struct lorac_err err = {0};
    static const char *const longer[] = {"model.max_length=128", NULL};
    open_job(&s, longer);
    struct lorac_fewshot_options o = {.n = 20, .separator = "\n--------------------------------\n"};
    assert_int_equal(lorac_fewshot_open(&s.f, s.j, &s.j->valid, ACCURACY, &o, &err), LORAC_EUSER);
    size_t tokens = number_behind(err.text, "20 shots take ");
    size_t longest = number_behind(err.text, "the longest row behind them ");
    size_t fit = number_behind(err.text, "reads at most 512 together: ");
    assert_true(fit > 1 && fit < 20 && tokens + longest > 512);
    // "a warm joy is" with " good" and with " bad", which is one shorter
    assert_int_equal(longest, strlen("a warm joy is good") + strlen(o.separator) + 1);
    o.n = fit;
    open_shots(&s, &s.j->valid, o);
    size_t most = lorac_shots_prefix(s.f.shots)->n;
    assert_true(most + longest <= 512);
    (void)evaluate(&s, ACCURACY);
    lorac_fewshot_close(&s.f);
    o.n = fit + 1;
    assert_int_equal(lorac_fewshot_open(&s.f, s.j, &s.j->valid, ACCURACY, &o, NULL), LORAC_EUSER);
    o.fewer = true;
    open_shots(&s, &s.j->valid, o);
    assert_int_equal(lorac_shots_count(s.f.shots), fit);
    assert_int_equal(lorac_shots_prefix(s.f.shots)->n, most);
    (void)evaluate(&s, ACCURACY);
    close_job(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(likelihoods_are_those_of_one_plain_pass),
        cmocka_unit_test(a_prefix_longer_than_a_batch_gives_the_same),
        cmocka_unit_test(the_greedy_answer_ends_at_the_separator),
        cmocka_unit_test(an_answer_that_holds_the_separator_is_an_error),
        cmocka_unit_test(shots_are_training_rows_and_not_evaluated),
        cmocka_unit_test(more_than_fit_are_an_error_that_says_how_many_fit),
    };
    return cmocka_run_group_tests_name("fewshot", tests, runs_make, runs_remove);
}
