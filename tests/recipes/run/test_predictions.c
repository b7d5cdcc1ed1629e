/*
 * What rows came to. What is promised:
 *   - each row has the loss of its own tokens, as one plain pass gives it, whether labels are
 *     compared or not, rows share a beginning or not, and for pieces of texts;
 *   - together they are the evaluation's loss, accuracy and exact match;
 *   - what is written is read back the same, whatever its texts hold;
 *   - a run keeps those of each evaluation, --overwrite removes them, and so does a resumed run
 *     those that come after the step from which it goes on;
 *   - whichever allocation or call fails is reported, and no file is left that is not whole.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/record.h"
#include "recipes/run/verdicts.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const unsigned loss = 1U << LORAC_METRIC_LOSS;
static const unsigned accuracy = 1U << LORAC_METRIC_LOSS | 1U << LORAC_METRIC_ACCURACY;
static const unsigned exact = 1U << LORAC_METRIC_LOSS | 1U << LORAC_METRIC_EXACT_MATCH;

/* Twice by one evaluator, for the second time is as the first. */
static struct lorac_scores evaluate(struct lorac_predictions *p, const struct lorac_job *j,
                                    unsigned metrics)
{
    struct lorac_evaluator *e = NULL;
    struct lorac_scores s = {0};
    struct lorac_err err = {0};
    struct lorac_evaluator_options o = lorac_job_evaluation(j, j->valid.set, metrics, NULL);
    o.predictions = p;
    if (lorac_evaluator_new(&e, &o, &err) || lorac_evaluate(&s, e, NULL, NULL, &err) ||
        lorac_evaluate(&s, e, NULL, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    lorac_evaluator_free(e);
    return s;
}

/* Their sums are the scores. */
static void add_up(const struct lorac_predictions *p, const struct lorac_scores *s)
{
    double sum = 0.0;
    size_t tokens = 0;
    size_t right = 0;
    size_t same = 0;
    assert_int_equal(p->n, s->rows);
    for (size_t i = 0; i < p->n; i++) {
        sum += p->at[i].loss * (double)p->at[i].tokens;
        tokens += p->at[i].tokens;
        right += p->at[i].right;
        same += p->at[i].exact;
    }
    assert_int_equal(tokens, s->tokens);
    assert_true(fabs(sum / (double)tokens - s->loss) < 1e-12 * s->loss);
    assert_true(p->compares == s->has_accuracy && p->matches == s->has_exact_match);
    assert_true(!p->compares || s->accuracy == (double)right / (double)p->n);
    assert_true(!p->matches || s->exact_match == (double)same / (double)p->n);
}

static void each_row_has_the_loss_of_its_own_tokens(void **state)
{
    (void)state;
    static const char *const texts[] = {"it shines", "it sags",    "wise",
                                        "loud",      "a warm joy", "a flat bore"};
    static const char *const long_prompt[] = {"template.prompt='so they say: {text} is'",
                                              NULL}; // which rows share
    static const struct {
        unsigned metrics;
        const char *const *sets;
        const char *front;
    } cases[] = {{loss, NULL, ""},
                 {accuracy, NULL, ""},
                 {exact, NULL, ""},
                 {loss, long_prompt, "so they say: "},
                 {accuracy, long_prompt, "so they say: "}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct runs_job s;
        struct lorac_predictions p = {0};
        runs_open_job(&s, LORAC_JOB_TRAIN | LORAC_JOB_VALID, cases[c].sets);
        struct lorac_scores got = evaluate(&p, s.j, cases[c].metrics);
        add_up(&p, &got);
        for (size_t i = 0; i < p.n; i++) {
            char prompt[64];
            size_t tokens = 0;
            const char *answer = i % 2 ? " bad" : " good";
            (void)snprintf(prompt, sizeof prompt, "%s%s is", cases[c].front, texts[i]);
            double nll = runs_nll(s.j, prompt, answer, true, &tokens);
            assert_int_equal(p.at[i].tokens, tokens);
            assert_true(fabs(p.at[i].loss * (double)tokens - nll) < 1e-5 * nll);
            assert_int_equal(p.at[i].line, i + 2);
            const char *wanted = cases[c].metrics == loss ? "" : answer + p.compares;
            assert_string_equal(p.at[i].wanted, wanted);
            bool right = strcmp(p.at[i].answer, p.at[i].wanted) == 0;
            assert_true(!p.compares || p.at[i].right == right);
        }
        lorac_predictions_release(&p);
        runs_close_job(&s);
    }
}

static void pieces_of_texts_have_losses_too(void **state)
{
    (void)state;
    char train[256];
    char valid[256];
    (void)snprintf(train, sizeof train, "data.train=%s", tiny_path("long.txt"));
    (void)snprintf(valid, sizeof valid, "data.valid=%s", tiny_path("short.txt"));
    const char *const text[] = {
        "data.kind=text",      train, valid, "-template.prompt", "-template.completion",
        "eval.metrics=[loss]", NULL};
    struct runs_job s;
    struct lorac_predictions p = {0};
    tiny_text("long.txt", "Once there was a text that is of some length, and went on and on.\n"
                          "It had a second line, which was also of some length, and ended.\n");
    tiny_text("short.txt", "It goes on, a little longer than one piece may be in this test, "
                           "and so there are two of them, or even three.\n");
    runs_open_job(&s, LORAC_JOB_TRAIN | LORAC_JOB_VALID, text);
    struct lorac_scores got = evaluate(&p, s.j, loss);
    assert_true(p.n > 1 && p.at[0].line == 1 && p.at[1].line == 2);
    add_up(&p, &got);
    lorac_predictions_release(&p);
    runs_close_job(&s);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    static const struct lorac_prediction rows[] = {{.line = 2,
                                                    .wanted = "a",
                                                    .answer = "b",
                                                    .text = "",
                                                    .probability = 0.125,
                                                    .loss = 0.5,
                                                    .tokens = 3},
                                                   {.line = 5,
                                                    .wanted = "a, \"b\"",
                                                    .answer = "\"",
                                                    .text = " two\nlines\r\n",
                                                    .right = true,
                                                    .exact = true,
                                                    .probability = (double)NAN,
                                                    .loss = 1e-9,
                                                    .tokens = 1}};
    struct lorac_predictions p = {.at = (struct lorac_prediction *)(uintptr_t)rows, .n = 2};
    for (unsigned has = 0; has < 4; has++) {
        struct lorac_predictions *got = NULL;
        struct lorac_err err = {0};
        p.compares = has & 1U;
        p.matches = has >> 1U;
        if (lorac_predictions_write(&p, tiny_path("p.csv"), &err) ||
            lorac_predictions_read(&got, tiny_path("p.csv"), &err)) {
            fail_msg("%s", err.text);
        }
        assert_true(got->n == 2 && got->compares == p.compares && got->matches == p.matches);
        for (size_t i = 0; i < 2; i++) {
            const struct lorac_prediction *x = &got->at[i];
            assert_true(x->line == rows[i].line && x->tokens == rows[i].tokens);
            assert_string_equal(x->wanted, rows[i].wanted);
            assert_string_equal(x->answer, rows[i].answer);
            assert_string_equal(x->text, rows[i].text);
            assert_true(x->right == (p.compares && rows[i].right));
            assert_true(x->exact == (p.matches && rows[i].exact));
            assert_true(x->loss == rows[i].loss);
        }
        assert_true(got->at[0].probability == 0.125 && isnan(got->at[1].probability));
        lorac_predictions_free(got);
    }
}

static size_t kept(const char *out, size_t steps[8])
{
    struct lorac_record *r = NULL;
    assert_int_equal(lorac_record_open(&r, tiny_path(out), NULL), LORAC_OK);
    size_t n = r->n_predicted;
    assert_true(n <= 8);
    memcpy(steps, r->predicted, n * sizeof *steps);
    lorac_record_close(r);
    return n;
}

static void a_run_keeps_those_of_each_evaluation(void **state)
{
    (void)state;
    size_t at[8];
    static const char *const rarely[] = {"eval.every=end", NULL};
    (void)runs_well("whole", LORAC_RUN_NEW, NULL, NULL);
    assert_int_equal(kept("whole", at), 3);
    assert_true(at[0] == 4 && at[1] == 8 && at[2] == RUNS_STEPS);
    struct lorac_record *r = NULL;
    struct lorac_predictions *p = NULL;
    assert_int_equal(lorac_record_open(&r, tiny_path("whole"), NULL), LORAC_OK);
    assert_int_equal(lorac_record_predictions(&p, r, r->best_step, NULL), LORAC_OK);
    size_t right = 0;
    for (size_t i = 0; i < p->n; i++) {
        right += p->at[i].right;
    }
    assert_true(fabs(r->best.accuracy - (double)right / (double)p->n) < 1e-8);
    lorac_predictions_free(p);
    lorac_record_close(r);
    (void)runs_well("whole", LORAC_RUN_OVERWRITE, NULL, rarely);
    assert_int_equal(kept("whole", at), 1);
    assert_int_equal(at[0], RUNS_STEPS);
    static const char *const blind[] = {"-data.valid", NULL};
    (void)runs_well("whole", LORAC_RUN_OVERWRITE, NULL, blind);
    assert_false(lorac_path_exists(tiny_path("whole/predictions")));
}

static void a_resumed_run_drops_those_of_steps_to_come(void **state)
{
    (void)state;
    size_t at[8];
    struct runs_stop stop = {.at = 6};
    struct lorac_run_watch watch = runs_stop_watch(&stop);
    (void)runs_well("parts", LORAC_RUN_NEW, &watch, NULL);
    tiny_text("parts/predictions/9.csv", "of a session that was killed");
    tiny_text("parts/predictions/7.csv.tmp-12", "cut");
    stop = (struct runs_stop){.at = 7};
    watch = runs_stop_watch(&stop);
    (void)runs_well("parts", LORAC_RUN_RESUME, &watch, NULL);
    assert_int_equal(kept("parts", at), 1);
    assert_int_equal(at[0], 4);
    assert_false(lorac_path_exists(tiny_path("parts/predictions/7.csv.tmp-12")));
}

static const struct lorac_job *job;

static enum lorac_status keep(struct lorac_err *err)
{
    struct lorac_predictions p = {0};
    struct lorac_evaluator *e = NULL;
    struct lorac_scores s;
    struct lorac_evaluator_options o = lorac_job_evaluation(job, job->valid.set, exact, NULL);
    o.predictions = &p;
    enum lorac_status st = lorac_evaluator_new(&e, &o, err);
    if (!st) { st = lorac_evaluate(&s, e, NULL, NULL, err); }
    if (!st) { st = lorac_predictions_write(&p, tiny_path("out"), err); }
    if (!st) { faults_say("%zu %s %.9g", p.n, p.at[1].text, p.at[1].loss); }
    lorac_evaluator_free(e);
    lorac_predictions_release(&p);
    return st;
}

static void every_failure_is_reported(void **state)
{
    (void)state;
    static const struct faults_scenario all[] = {
        {.name = "predictions", .go = keep, .writes = true, .step = 7}};
    struct runs_job s;
    runs_open_job(&s, LORAC_JOB_TRAIN | LORAC_JOB_VALID, NULL);
    job = s.j;
    faults_meet(all, 1);
    runs_close_job(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_has_the_loss_of_its_own_tokens),
        cmocka_unit_test(pieces_of_texts_have_losses_too),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(a_run_keeps_those_of_each_evaluation),
        cmocka_unit_test(a_resumed_run_drops_those_of_steps_to_come),
        cmocka_unit_test(every_failure_is_reported),
    };
    return cmocka_run_group_tests_name("predictions", tests, runs_make, runs_remove);
}
