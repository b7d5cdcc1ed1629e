/*
 * Evaluation and prediction. What is promised:
 *   - loss is the mean over the scored tokens of the likelihoods worked out row by row, perplexity
 *     its exp;
 *   - a row's answer is the likeliest label, the end of the text included; accuracy and macro F1
 *     are those of the answers, worked out by hand for known ones; exact match compares greedy
 *     continuations;
 *   - the loss that comes with accuracy is the loss, and no row runs twice for it;
 *   - metrics compare in their direction; an evaluation can be interrupted;
 *   - predict gives the labels that the evaluation chose;
 *   - what all prompts begin with runs once, in eval and in predict, and changes no number;
 *   - the recipe's layers, overrides and limits reach the adapter, and impossible ones are errors.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "recipes/run/predict.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* "data.KEY=FILE" of a table written into the folder; valid until 8 more calls. */
static const char *set_path(const char *key, const char *name)
{
    static char texts[8][512];
    static unsigned turn;
    char *text = texts[turn++ % 8];
    (void)snprintf(text, sizeof texts[0], "%s=%s", key, tiny_path(name));
    return text;
}

static struct lorac_scores evaluate(struct runs_job *s, unsigned metrics)
{
    struct lorac_evaluator *e = NULL;
    struct lorac_scores scores;
    struct lorac_err err = {0};
    if (lorac_job_evaluator(&e, s->j, s->j->valid.set, metrics, NULL, &err) ||
        lorac_evaluate(&scores, e, NULL, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    struct lorac_scores again; // an evaluator can be used again and again
    assert_int_equal(lorac_evaluate(&again, e, NULL, NULL, &err), LORAC_OK);
    assert_true(again.loss == scores.loss && again.tokens == scores.tokens);
    lorac_evaluator_free(e);
    return scores;
}

/* ---- metrics ---- */

static const char *const texts[] = {"it shines", "it sags",    "wise",
                                    "loud",      "a warm joy", "a flat bore"};
enum { ROWS = sizeof texts / sizeof *texts };

/* Labels of one token each, so that the random model has no liking for the shorter one. */
static const char labels[] = "data.labels.map={good: x, bad: q}";

/* The label that is likelier behind text i, by plain passes. */
static bool says_good(struct runs_job *s, size_t i)
{
    char prompt[64];
    (void)snprintf(prompt, sizeof prompt, "%s is", texts[i]);
    return runs_nll(s->j, prompt, " x", true, NULL) < runs_nll(s->j, prompt, " q", true, NULL);
}

/* A table in which row i has the label that bit i of `good` says. */
static void write_table(const char *name, unsigned good)
{
    char text[512];
    int n = snprintf(text, sizeof text, "text,label\n");
    for (size_t i = 0; i < ROWS; i++) {
        n += snprintf(text + n, sizeof text - (size_t)n, "%s,%s\n", texts[i],
                      good >> i & 1 ? "good" : "bad");
    }
    tiny_text(name, text);
}

static void loss_is_the_mean_over_scored_tokens(void **state)
{
    (void)state;
    struct runs_job s;
    double sum = 0.0;
    size_t tokens = 0;
    runs_open_job(&s, LORAC_JOB_VALID, NULL);
    for (size_t i = 0; i < ROWS; i++) {
        char prompt[64];
        (void)snprintf(prompt, sizeof prompt, "%s is", texts[i]);
        sum += runs_nll(s.j, prompt, i % 2 ? " bad" : " good", true, &tokens);
    }
    struct lorac_scores got = evaluate(&s, 1U << LORAC_METRIC_LOSS);
    assert_int_equal(got.tokens, tokens);
    assert_int_equal(got.rows, ROWS);
    assert_true(fabs(got.loss - sum / (double)tokens) < 2e-6 * got.loss);
    assert_true(fabs(got.perplexity - exp(got.loss)) < 1e-9 * got.perplexity);
    assert_false(got.has_accuracy);
    assert_true(isnan(lorac_scores_get(&got, LORAC_METRIC_ACCURACY)));
    assert_true(isnan(lorac_scores_get(&got, LORAC_METRIC_EXACT_MATCH)));
    assert_true(lorac_scores_get(&got, LORAC_METRIC_LOSS) == got.loss);
    runs_close_job(&s);
}

static void accuracy_and_f1_are_those_of_the_answers(void **state)
{
    (void)state;
    unsigned answers = 0; // bit i: the model says good
    struct runs_job s;
    static const char *const mapped[] = {labels, NULL};
    runs_open_job(&s, LORAC_JOB_VALID, mapped);
    for (size_t i = 0; i < ROWS; i++) {
        answers |= (unsigned)says_good(&s, i) << i;
    }
    runs_close_job(&s);
    assert_true(answers != 0 && answers != (1U << ROWS) - 1);  // both labels
    for (unsigned wrong = 0; wrong < 1U << ROWS; wrong += 5) { // these rows carry the other label
        unsigned truth = answers ^ wrong;
        double hits = 0.0;
        double f1 = 0.0;
        size_t seen = 0;
        for (unsigned label = 0; label < 2; label++) {
            double tp = 0.0;
            double other = 0.0; // false positives and negatives
            for (size_t i = 0; i < ROWS; i++) {
                bool is = (truth >> i & 1) == label;
                bool said = (answers >> i & 1) == label;
                tp += is && said;
                other += is != said;
            }
            hits += tp;
            if (tp + other > 0.0) {
                f1 += 2.0 * tp / (2.0 * tp + other);
                seen++;
            }
        }
        write_table("truth.csv", truth);
        const char *const sets[] = {set_path("data.valid", "truth.csv"), labels, NULL};
        runs_open_job(&s, LORAC_JOB_VALID, sets);
        assert_int_equal(s.j->K, 2);
        assert_string_equal(s.j->labels[0], "x");
        struct lorac_scores got = evaluate(&s, 1U << LORAC_METRIC_MACRO_F1);
        assert_true(got.has_accuracy);
        assert_true(fabs(got.accuracy - hits / ROWS) < 1e-12);
        assert_true(fabs(got.macro_f1 - f1 / (double)seen) < 1e-12);
        runs_close_job(&s);
    }
}

static size_t n_products, n_rows; // of them

static void count_rows(struct lorac_device *dev, float *y, const float *x,
                       const struct lorac_weight *w, const float *bias, size_t N)
{
    n_products++;
    n_rows += N;
    lorac_backend_ref.linear(dev, y, x, w, bias, N);
}

static void exact_match_compares_greedy_continuations(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_evaluator *e = NULL;
    struct lorac_buf text[3] = {0};
    static const char *const free_text[] = {"template.prompt='{text}'",
                                            "template.completion='{label}'",
                                            "template.append_eos=false", NULL};
    runs_open_job(&s, LORAC_JOB_VALID, free_text);
    assert_int_equal(lorac_job_evaluator(&e, s.j, s.j->valid.set, 0, NULL, NULL), LORAC_OK);
    assert_int_equal(lorac_evaluator_sample(&text[0], &text[1], &text[2], e, 2, NULL), LORAC_OK);
    assert_string_equal(text[0].at, "<s>wise"); // special tokens are seen
    assert_string_equal(text[1].at, "good");
    assert_true(text[2].n > 0);
    lorac_evaluator_free(e);
    struct lorac_backend counting = lorac_backend_ref;
    const struct lorac_backend *own = s.j->dev.ops;
    counting.linear = count_rows;
    s.j->dev.ops = &counting;
    struct lorac_scores got = evaluate(&s, 1U << LORAC_METRIC_EXACT_MATCH);
    s.j->dev.ops = own;
    assert_true(got.has_exact_match && got.exact_match == 0.0); // a random model
    assert_true(n_rows >= ROWS * n_products);                   // all rows are continued at once
    runs_close_job(&s);
    for (size_t i = 0; i < 3; i++) {
        lorac_buf_free(&text[i]);
    }
}

static void what_is_trained_does_not_change_what_is_asked(void **state)
{
    (void)state;
    struct lorac_buf text[2][3] = {0};
    static const char *const sets[2][2] = {{NULL}, {"template.train_on=all", NULL}};
    for (size_t i = 0; i < 2; i++) {
        struct runs_job s;
        struct lorac_evaluator *e = NULL;
        runs_open_job(&s, LORAC_JOB_VALID, sets[i]);
        assert_int_equal(lorac_job_evaluator(&e, s.j, s.j->valid.set, 0, NULL, NULL), LORAC_OK);
        assert_int_equal(lorac_evaluator_sample(&text[i][0], &text[i][1], &text[i][2], e, 4, NULL),
                         LORAC_OK);
        lorac_evaluator_free(e);
        runs_close_job(&s);
    }
    assert_string_equal(text[1][0].at, "<s>a warm joy is");
    assert_string_equal(text[1][1].at, " good</s>");
    for (size_t k = 0; k < 3; k++) {
        assert_string_equal(text[0][k].at, text[1][k].at);
        lorac_buf_free(&text[0][k]);
        lorac_buf_free(&text[1][k]);
    }
}

/* Whatever is trained, and where examples and prompts are cut in different places, too. Each row
 * runs once, but for what prompts begin with alike: "it s", "a " and, in five of six, the start of
 * the text. A label that is likelier so far runs behind it, which here is one token. */
static void accuracy_comes_with_the_loss(void **state)
{
    (void)state;
    static const struct {
        const char *sets[4];
        bool whole; // example and prompt are cut alike
    } cases[] = {
        {{labels, NULL}, true},
        {{labels, "template.train_on=all", NULL}, true},
        {{"data.labels.map={good: x, bad: qqqq}", "model.max_length=12", NULL}, false},
        {{"data.labels.map={good: x, bad: qqqq}", "model.max_length=12", "template.train_on=all"},
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *sets[5] = {NULL};
        memcpy(sets, cases[i].sets, sizeof cases[i].sets);
        struct runs_job s;
        runs_open_job(&s, LORAC_JOB_VALID, sets);
        struct lorac_scores loss = evaluate(&s, 1U << LORAC_METRIC_LOSS);
        struct lorac_scores both = evaluate(&s, 1U << LORAC_METRIC_ACCURACY);
        assert_true(loss.tokens == both.tokens && both.has_accuracy);
        if (!(fabs(loss.loss - both.loss) < 2e-6 * loss.loss)) {
            fail_msg("case %zu: %.9g, not %.9g", i, both.loss, loss.loss);
        }
        assert_true(both.computed + 4 + 2 + (ROWS - 1) >= loss.computed);
        if (cases[i].whole) { assert_true(both.computed <= loss.computed + ROWS); }
        runs_close_job(&s);
    }
}

/* A dozen labels, each much longer than any answer in the table. */
static void labels_of_any_length_fit(void **state)
{
    (void)state;
    char map[2048] = "data.labels.map={good: g, bad: b";
    size_t n = strlen(map);
    for (int i = 0; i < 12; i++) {
        n += (size_t)snprintf(map + n, sizeof map - n, ", l%d: '%d %0100d'", i, i, 0);
    }
    (void)snprintf(map + n, sizeof map - n, "}");
    const char *const sets[] = {map, "model.max_length=128", NULL};
    struct runs_job s;
    runs_open_job(&s, LORAC_JOB_VALID, sets);
    assert_int_equal(s.j->K, 14);
    assert_true(evaluate(&s, 1U << LORAC_METRIC_ACCURACY).has_accuracy);
    runs_close_job(&s);
}

static bool stop_at_half(void *self, double done)
{
    *(double *)self = done;
    return done < 0.5;
}

static void an_evaluation_can_be_interrupted(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_evaluator *e = NULL;
    struct lorac_scores scores;
    struct lorac_err err = {0};
    double done = 0.0;
    runs_open_job(&s, LORAC_JOB_VALID, NULL);
    unsigned all = (1U << 5) - 1;
    assert_int_equal(lorac_job_evaluator(&e, s.j, s.j->valid.set, all, NULL, NULL), LORAC_OK);
    assert_int_equal(lorac_evaluate(&scores, e, stop_at_half, &done, &err), LORAC_ESTOP);
    assert_string_equal(err.text, "interrupted while evaluating");
    assert_true(done >= 0.5 && done <= 1.0);
    lorac_evaluator_free(e);
    runs_close_job(&s);
}

/* ---- predict ---- */

static enum lorac_status predict(struct runs_job *s, const char *in, struct lorac_err *err)
{
    struct lorac_predicted rows = {0};
    const struct lorac_predict_options o = {
        .in = tiny_path(in), .out = tiny_path("out.csv"), .max_tokens = 5};
    return lorac_predict(&rows, s->j, NULL, &o, err);
}

static char *predicted(struct runs_job *s, const char *in)
{
    struct lorac_err err = {0};
    size_t n = 0;
    if (predict(s, in, &err)) { fail_msg("%s", err.text); }
    return tiny_read(tiny_path("out.csv"), &n);
}

static void predict_adds_the_label_and_its_probability(void **state)
{
    (void)state;
    static const char *const sets[] = {labels, NULL};
    struct runs_job s;
    runs_open_job(&s, 0, sets);
    write_table("in.csv", 0);
    char *got = predicted(&s, "in.csv");
    const char *line = got;
    static const char header[] = "text,label,prediction,probability\n";
    assert_memory_equal(line, header, sizeof header - 1);
    line += sizeof header - 1;
    for (size_t i = 0; i < ROWS; i++) {
        char want[128];
        char prompt[64];
        double p = 0.0;
        (void)snprintf(prompt, sizeof prompt, "%s is", texts[i]);
        double yes = runs_nll(s.j, prompt, " x", true, NULL);
        double no = runs_nll(s.j, prompt, " q", true, NULL);
        int n = snprintf(want, sizeof want, "%s,bad,%s,", texts[i], yes < no ? "x" : "q");
        assert_memory_equal(line, want, (size_t)n);
        p = lorac_strtod(line + n, NULL);
        double is = 1.0 / (1.0 + exp(-fabs(yes - no)));
        // half of the last digit that is not followed, as much of printing, float32 likelihoods
        assert_true(fabs(p - is) < 5e-5 + 5e-5 + 2e-5);
        line = strchr(line, '\n') + 1;
    }
    assert_string_equal(line, "");
    lorac_mem_free(got);
    runs_close_job(&s);
}

/* ---- a beginning that rows share ---- */

static const char task[] = "Say whether the words that come now are kind or not: ";
static const char task_set[] =
    "template.prompt='Say whether the words that come now are kind or not: {text} is'";
static const char *const described[] = {labels, task_set, "model.max_length=200", NULL};

static void describe(char prompt[200], size_t i)
{
    (void)snprintf(prompt, 200, "%s%s is", task, texts[i]);
}

static size_t tokens_of(const struct lorac_job *j, const char *text)
{
    struct lorac_ids ids = {0};
    struct lorac_text t = {text, strlen(text), false};
    assert_int_equal(lorac_encode(&ids, j->tokenizer, &t, 1, LORAC_ENCODE_BEGINS, NULL), LORAC_OK);
    size_t n = ids.n;
    lorac_ids_free(&ids);
    return n;
}

static void evaluation_runs_a_shared_beginning_once(void **state)
{
    (void)state;
    struct runs_job s;
    double sum = 0.0;
    size_t tokens = 0;
    size_t alone = 0; // rows of the model
    runs_open_job(&s, LORAC_JOB_VALID, described);
    for (size_t i = 0; i < ROWS; i++) {
        char prompt[200];
        describe(prompt, i);
        alone += tokens_of(s.j, prompt);
        sum += runs_nll(s.j, prompt, i % 2 ? " q" : " x", true, &tokens);
    }
    size_t shared = tokens_of(s.j, task) - 1; // its last space may join the next token
    struct lorac_scores got = evaluate(&s, 1U << LORAC_METRIC_LOSS);
    assert_int_equal(got.tokens, tokens);
    assert_true(fabs(got.loss - sum / (double)tokens) < 2e-6 * got.loss);
    // of a row's answer and end all but the last token are rows, too
    assert_true(got.computed <= alone + tokens - ROWS - (ROWS - 1) * shared);
    got = evaluate(&s, 1U << LORAC_METRIC_LOSS | 1U << LORAC_METRIC_ACCURACY);
    assert_true(fabs(got.loss - sum / (double)tokens) < 2e-6 * got.loss);
    // both labels, and both ends, of each row
    assert_true(got.computed <= alone + 4 * ROWS - (ROWS - 1) * shared);
    runs_close_job(&s);
}

static void prediction_runs_a_shared_beginning_once(void **state)
{
    (void)state;
    struct runs_job s;
    size_t alone = 0;
    struct lorac_backend counting = lorac_backend_ref;
    runs_open_job(&s, 0, described);
    const struct lorac_backend *own = s.j->dev.ops;
    for (size_t i = 0; i < ROWS; i++) {
        char prompt[200];
        describe(prompt, i);
        alone += tokens_of(s.j, prompt);
    }
    write_table("in.csv", 0);
    counting.linear = count_rows;
    n_rows = 0;
    s.j->dev.ops = &counting;
    char *got = predicted(&s, "in.csv");
    s.j->dev.ops = own;
    const char *line = strchr(got, '\n') + 1;
    for (size_t i = 0; i < ROWS; i++) {
        char prompt[200];
        char want[128];
        describe(prompt, i);
        double yes = runs_nll(s.j, prompt, " x", true, NULL);
        double no = runs_nll(s.j, prompt, " q", true, NULL);
        int n = snprintf(want, sizeof want, "%s,bad,%s,", texts[i], yes < no ? "x" : "q");
        assert_memory_equal(line, want, (size_t)n);
        double is = 1.0 / (1.0 + exp(-fabs(yes - no)));
        assert_true(fabs(lorac_strtod(line + n, NULL) - is) < 5e-5 + 5e-5 + 2e-5);
        line = strchr(line, '\n') + 1;
    }
    size_t shared = tokens_of(s.j, task) - 1;
    size_t linears = 7 * s.j->model->config.L; // the head's rows are few
    assert_true(n_rows / linears <= alone + 4 * ROWS - (ROWS - 1) * shared + 2 * ROWS);
    lorac_mem_free(got);
    runs_close_job(&s);
}

static size_t n_prepared;

static void count_prepared(struct lorac_device *dev, const struct lorac_weight *const *w, size_t n,
                           bool back)
{
    n_prepared += n;
    lorac_backend_ref.weights_prepare(dev, w, n, back);
}

/* Rows of 30 tokens, which differ from the first on: 4,096 of them are behind row 136. */
static void predicting_many_tokens_prepares_the_weights(void **state)
{
    (void)state;
    static const char *const sets[] = {labels, NULL};
    struct lorac_backend counting = lorac_backend_ref;
    struct runs_job s;
    runs_open_job(&s, 0, sets);
    const struct lorac_backend *own = s.j->dev.ops;
    const enum lorac_compute compute = s.j->model->compute;
    counting.weights_prepare = count_prepared;
    s.j->dev.ops = &counting;
    s.j->model->compute = LORAC_BFLOAT16; // of another backend; this one makes no copies
    for (size_t rows = 100; rows <= 200; rows += 100) {
        char text[8192];
        int n = snprintf(text, sizeof text, "text,label\n");
        for (size_t i = 0; i < rows; i++) {
            n += snprintf(text + n, sizeof text - (size_t)n, "%03zu%023d,good\n", i, 0);
        }
        tiny_text("in.csv", text);
        n_prepared = 0;
        lorac_mem_free(predicted(&s, "in.csv"));
        assert_true(rows > 100 ? n_prepared >= s.j->model->config.L * 7 : n_prepared == 0);
    }
    s.j->model->compute = compute;
    s.j->dev.ops = own;
    runs_close_job(&s);
}

static void what_cannot_be_answered_or_measured_is_an_error(void **state)
{
    (void)state;
    struct runs_job s;
    struct lorac_err err = {0};
    tiny_text("in.csv", "text\nso\n");
    static const char *const empty[] = {"data.labels.map={good: x, bad: ''}",
                                        "template.completion='{label}'",
                                        "template.append_eos=false", NULL};
    runs_open_job(&s, 0, empty);
    assert_int_equal(predict(&s, "in.csv", &err), LORAC_EUSER);
    assert_string_equal(err.text, "label '' has no tokens, expected at least one");
    runs_close_job(&s);

    tiny_text("long.csv", "text\nso\nso very much longer than the eight tokens that fit here\n");
    static const char *const strict[] = {"data.on_too_long=error", labels, NULL};
    runs_open_job(&s, 0, strict);
    assert_int_equal(predict(&s, "long.csv", &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "long.csv: line 3: a prompt of 59 tokens, at most 45 fit "
                                     "model.max_length 48 (data.on_too_long: error)"));
    runs_close_job(&s);

    tiny_spoil();
    static const char *const mapped[] = {labels, NULL};
    runs_open_job(&s, 0, mapped);
    assert_int_equal(predict(&s, "in.csv", &err), LORAC_EFORMAT);
    assert_string_equal(err.text, "the likelihood of label 'x' is not finite: are the weights or "
                                  "the adapter damaged?");
    runs_close_job(&s);
    struct lorac_evaluator *e = NULL;
    struct lorac_scores scores;
    runs_open_job(&s, LORAC_JOB_VALID, mapped);
    assert_int_equal(lorac_job_evaluator(&e, s.j, s.j->valid.set, 1, NULL, NULL), LORAC_OK);
    assert_int_equal(lorac_evaluate(&scores, e, NULL, NULL, &err), LORAC_EFORMAT);
    assert_string_equal(err.text, "the loss is not finite: are the weights or the adapter damaged, "
                                  "or was optimizer.lr too high?");
    lorac_evaluator_free(e);
    runs_close_job(&s);
    (void)tiny_model(state);
}

/* ---- jobs ---- */

static void adapter_is(const char *const *sets, size_t modules, const char *first, const char *want)
{
    struct runs_job s;
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    runs_open_job(&s, 0, sets);
    enum lorac_status st = lorac_job_adapter(&a, s.j, &err);
    if (want) {
        assert_int_equal(st, LORAC_EUSER);
        assert_string_equal(err.text, want);
    } else {
        if (st) { fail_msg("%s", err.text); }
        assert_int_equal(a->n, modules);
        assert_string_equal(a->model->module[a->site[0].m].name, first);
    }
    lorac_adapter_free(a);
    runs_close_job(&s);
}

static void the_recipes_layers_and_targets_reach_the_adapter(void **state)
{
    (void)state;
    adapter_is(NULL, 14, "model.layers.0.self_attn.q_proj", NULL);
    adapter_is((const char *const[]){"adapter.layers=last:1", NULL}, 7,
               "model.layers.1.self_attn.q_proj", NULL);
    adapter_is((const char *const[]){"adapter.layers=[1]", NULL}, 7,
               "model.layers.1.self_attn.q_proj", NULL);
    adapter_is((const char *const[]){"adapter.layers=0-1", NULL}, 14,
               "model.layers.0.self_attn.q_proj", NULL);
    adapter_is((const char *const[]){"adapter.layers=1-1", "adapter.targets=[v_proj]", NULL}, 1,
               "model.layers.1.self_attn.v_proj", NULL);
    adapter_is((const char *const[]){"adapter.exclude=[q_proj, k_proj]", NULL}, 10,
               "model.layers.0.self_attn.v_proj", NULL);
    adapter_is((const char *const[]){"adapter.layers=0-2", NULL}, 0, NULL,
               "adapter.layers: there is no layer 2, the model has 0 to 1");
    adapter_is((const char *const[]){"adapter.layers=last:3", NULL}, 0, NULL,
               "adapter.layers: last:3, but the model has 2 layers");
    adapter_is((const char *const[]){"adapter.rank=17", NULL}, 0, NULL,
               "rank 17 is larger than module 'model.layers.0.self_attn.q_proj' (16 x 16)");
}

static void jobs_that_cannot_be_are_errors(void **state)
{
    (void)state;
    static const struct {
        const char *sets[4];
        unsigned parts;
        const char *want;
    } cases[] = {
        {{NULL}, LORAC_JOB_TEST, "the recipe names no data.test to evaluate on"},
        {{"data.labels.map={good: fine, bad: poor}", "template.completion=x", NULL},
         LORAC_JOB_TRAIN,
         "data.labels.map needs a template.completion with exactly one {variable}: the label"},
        {{"data.valid={split: 0.001}", NULL}, LORAC_JOB_TRAIN, NULL},
        {{"data.valid={split: 0.5, stratify: stars}", NULL}, LORAC_JOB_TRAIN, NULL},
        {{"data.columns={text: review, label: label}", NULL}, LORAC_JOB_TRAIN, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_err err = {0};
        struct lorac_job *j = NULL;
        struct lorac_recipe *r = runs_recipe(tiny_path("none"), cases[i].sets);
        assert_int_equal(lorac_job_open(&j, r, cases[i].parts, &err), LORAC_EUSER);
        assert_null(j);
        assert_true(err.text[0] != '\0');
        if (cases[i].want) { assert_string_equal(err.text, cases[i].want); }
        lorac_recipe_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_is_the_mean_over_scored_tokens),
        cmocka_unit_test(accuracy_and_f1_are_those_of_the_answers),
        cmocka_unit_test(exact_match_compares_greedy_continuations),
        cmocka_unit_test(what_is_trained_does_not_change_what_is_asked),
        cmocka_unit_test(accuracy_comes_with_the_loss),
        cmocka_unit_test(labels_of_any_length_fit),
        cmocka_unit_test(an_evaluation_can_be_interrupted),
        cmocka_unit_test(predict_adds_the_label_and_its_probability),
        cmocka_unit_test(evaluation_runs_a_shared_beginning_once),
        cmocka_unit_test(prediction_runs_a_shared_beginning_once),
        cmocka_unit_test(predicting_many_tokens_prepares_the_weights),
        cmocka_unit_test(what_cannot_be_answered_or_measured_is_an_error),
        cmocka_unit_test(the_recipes_layers_and_targets_reach_the_adapter),
        cmocka_unit_test(jobs_that_cannot_be_are_errors),
    };
    return cmocka_run_group_tests_name("evaluate", tests, runs_make, runs_remove);
}
