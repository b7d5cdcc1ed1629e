/*
 * Runs on text (data.kind: text). What is promised:
 *   - a run learns, evaluates and saves as one on a table; stopped and resumed it gives the same
 *     bytes;
 *   - an evaluation tells bits per byte: the nll of all trained tokens over the bytes of the
 *     held-out text;
 *   - a sample goes on from the beginning of a held-out piece;
 *   - another file among the texts is noticed on resuming;
 *   - a plan tells documents and bytes, and steps and evaluations as the run then has them;
 *   - predict is refused, and a table that is text is told so.
 */
#include "base/core/number.h"
#include "recipes/run/evaluate.h"
#include "recipes/run/plan.h"
#include "recipes/run/predict.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include "base/core/file.h"
#include "base/core/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char recipe[] =
    "recipe: 1\n"
    "seed: 7\n"
    "model: {path: model, max_length: 24}\n"
    "adapter: {rank: 4, alpha: 8, dropout: 0.1}\n"
    "data: {kind: text, train: [a.txt, b.txt], valid: {split: 0.2}, test: b.txt,"
    " separator: \"\\n--\\n\"}\n"
    "train: {epochs: 2, batch_tokens: 64, threads: 1}\n"
    "optimizer: {lr: 0.01}\n"
    "eval: {every: 4 steps, samples: 1}\n"
    "output: {save_every: 5 steps}\n";

static int make(void **state)
{
    char text[4096] = "";
    for (int i = 0; i < 60; i++) { // of one rule; behind the last separator stands white space
        size_t at = strlen(text);
        (void)snprintf(text + at, sizeof text - at, "%d is a number, %d is the next.%s\n--\n", i,
                       i + 1, i % 3 ? "" : " And so on, and so on, and so on.");
    }
    (void)snprintf(text + strlen(text), 8, " \n");
    assert_int_equal(runs_make(state), 0);
    tiny_text("a.txt", text);
    tiny_text("b.txt", "One document that stands alone in its file.");
    return 0;
}

static struct lorac_recipe *open_recipe(const char *out)
{
    struct lorac_recipe *r = NULL;
    struct lorac_err err = {0};
    char dir[512];
    (void)snprintf(dir, sizeof dir, "output.dir=%s", tiny_path(out));
    const struct lorac_recipe_set set = {dir, false};
    if (lorac_recipe_parse(&r, recipe, sizeof recipe - 1, "text.yaml", tiny_dir(), &set, 1, NULL,
                           &err)) {
        fail_msg("%s", err.text);
    }
    return r;
}

static enum lorac_status go(struct lorac_run_result *result, const char *out,
                            enum lorac_run_mode mode, const struct lorac_run_watch *watch,
                            struct lorac_err *err)
{
    static const struct lorac_run_watch nobody = {0};
    struct lorac_recipe *r = open_recipe(out);
    enum lorac_status st = lorac_run(result, r, mode, NULL, watch ? watch : &nobody, err);
    lorac_recipe_free(r);
    return st;
}

static void well(struct lorac_run_result *result, const char *out, enum lorac_run_mode mode,
                 const struct lorac_run_watch *watch)
{
    struct lorac_err err = {0};
    if (go(result, out, mode, watch, &err)) { fail_msg("%s", err.text); }
}

/* ---- runs ---- */

struct heard {
    double first, last; // loss of a step
    size_t samples;
    char prompt[128], want[128];
    char notes[512];
};

static void on_step(void *self, const struct lorac_step *s)
{
    struct heard *h = self;
    if (s->step == 1) { h->first = s->loss; }
    h->last = s->loss;
}

static void on_sample(void *self, const struct lorac_run_sample *s)
{
    struct heard *h = self;
    h->samples++;
    (void)snprintf(h->prompt, sizeof h->prompt, "%s", s->prompt);
    (void)snprintf(h->want, sizeof h->want, "%s", s->want);
}

static void on_note(void *self, const char *text)
{
    struct heard *h = self;
    size_t at = strlen(h->notes);
    (void)snprintf(h->notes + at, sizeof h->notes - at, "%s\n", text);
}

static void a_run_on_text_learns_and_tells_bits_per_byte(void **state)
{
    (void)state;
    struct heard h = {0};
    struct lorac_run_result result;
    struct lorac_run_watch watch = {
        .self = &h, .step = on_step, .sample = on_sample, .note = on_note};
    size_t n = 0;
    well(&result, "one", LORAC_RUN_NEW, &watch);
    assert_true(h.last < h.first - 0.5);
    assert_true(result.has_valid);
    assert_true(result.best.bytes > 100);
    double bits = lorac_scores_bits_per_byte(&result.best);
    double nll = result.best.loss * (double)result.best.tokens;
    assert_true(fabs(bits - nll / log(2.0) / (double)result.best.bytes) < 1e-12 * bits);
    assert_true(fabs(lorac_scores_byte_perplexity(&result.best) - exp2(bits)) < 1e-9);
    // short pieces of one rule are alike; and nothing of labels or rows
    assert_string_equal(h.notes,
                        "14 of the 26 validation pieces stand in the training pieces, too\n");
    char *metrics = tiny_read(tiny_path("one/metrics.csv"), &n);
    char value[64];
    (void)lorac_snprintf(value, sizeof value, ",%.9g,,,", bits);
    assert_non_null(strstr(metrics, ",exact_match,bits_per_byte,lr,"));
    assert_non_null(strstr(metrics, value));
    lorac_mem_free(metrics);
    char *manifest = tiny_read(tiny_path("one/run.json"), &n);
    (void)lorac_snprintf(value, sizeof value, "\"bytes\": %zu, \"bits_per_byte\": %.9g",
                         result.best.bytes, bits);
    assert_non_null(strstr(manifest, value));
    assert_non_null(strstr(manifest, "\"train_2\": {\"path\": "));
    lorac_mem_free(manifest);
    // a piece of 24 tokens: half of it is the prompt, and its BOS is seen
    assert_true(h.samples > 0);
    assert_int_equal(strlen(h.prompt), strlen("<s>") + 24 / 2 - 1);
    assert_memory_equal(h.prompt, "<s>", 3);
    assert_int_equal(strlen(h.want), 24 / 2);
    assert_memory_equal(strchr(h.prompt, ' '), " is a ", 6);
}

static void a_resumed_run_is_the_uninterrupted_one(void **state)
{
    (void)state;
    struct runs_stop s = {.at = 7};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    struct lorac_run_result result;
    well(&result, "whole", LORAC_RUN_NEW, NULL);
    well(&result, "parts", LORAC_RUN_NEW, &watch);
    assert_int_equal(result.end, LORAC_RUN_STOPPED);
    well(&result, "parts", LORAC_RUN_RESUME, NULL);
    runs_same("whole", "parts");
    // the best scores come from the state, bytes with them
    well(&result, "parts", LORAC_RUN_RESUME, NULL);
    assert_true(result.best.bytes > 0);
}

static void another_text_is_noticed_on_resuming(void **state)
{
    (void)state;
    struct runs_stop s = {.at = 2};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    struct lorac_run_result result;
    struct lorac_err err = {0};
    well(&result, "changed", LORAC_RUN_NEW, &watch);
    tiny_text("b.txt", "One document that stands alone in its File.");
    assert_int_equal(go(&result, "changed", LORAC_RUN_RESUME, NULL, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "/b.txt: has changed since the run began"));
    tiny_text("b.txt", "One document that stands alone in its file.");
}

/* ---- evaluation and plan ---- */

static void the_test_text_is_scored_byte_by_byte(void **state)
{
    (void)state;
    struct lorac_recipe *r = open_recipe("none");
    struct lorac_job *j = NULL;
    struct lorac_evaluator *e = NULL;
    struct lorac_scores s;
    struct lorac_err err = {0};
    if (lorac_job_open(&j, r, LORAC_JOB_TEST, &err) ||
        lorac_job_evaluator(&e, j, j->test.set, r->eval.metrics, NULL, &err) ||
        lorac_evaluate(&s, e, NULL, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    // a byte is a token but for "ab" and ": ", of which there is none; and EOS
    assert_int_equal(s.bytes, 43);
    assert_int_equal(s.tokens, 44);
    assert_int_equal(s.rows, 2); // of 24 and 22 tokens
    assert_true(fabs(lorac_scores_bits_per_byte(&s) - s.loss * 44.0 / 43.0 / log(2.0)) < 1e-12);
    assert_false(s.has_accuracy);
    lorac_evaluator_free(e);
    lorac_job_close(j);
    lorac_recipe_free(r);
}

static void a_plan_tells_what_the_run_does(void **state)
{
    (void)state;
    struct lorac_recipe *r = open_recipe("none");
    struct lorac_plan *p = NULL;
    struct lorac_err err = {0};
    struct lorac_run_result result;
    if (lorac_plan_make(&p, r, NULL, &err)) { fail_msg("%s", err.text); }
    const struct lorac_data_counts *c = lorac_dataset_counts(p->data[0].set);
    assert_int_equal(c->documents + lorac_dataset_counts(p->data[1].set)->documents, 60 + 1);
    assert_int_equal(c->blank_documents, 1);
    assert_int_equal(lorac_dataset_counts(p->data[2].set)->documents, 1);
    assert_int_equal(p->data[0].percentile[3], 24);
    well(&result, "planned", LORAC_RUN_NEW, NULL);
    assert_int_equal(p->steps, result.step);
    assert_true(p->bytes[LORAC_PLAN_TABLES] >= lorac_dataset_memory(p->job->train.set));
    lorac_plan_free(p);
    lorac_recipe_free(r);
}

/* ---- what is refused ---- */

static void predicting_rows_is_refused(void **state)
{
    (void)state;
    struct lorac_recipe *r = open_recipe("none");
    struct lorac_job *j = NULL;
    struct lorac_predicted rows = {0};
    struct lorac_err err = {0};
    assert_int_equal(lorac_job_open(&j, r, 0, NULL), LORAC_OK);
    const struct lorac_predict_options o = {.in = "in.csv", .out = tiny_path("out.csv")};
    assert_int_equal(lorac_predict(&rows, j, NULL, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text,
                        "the recipe's data is text (data.kind): there is no template that "
                        "would ask anything; lorac generate goes on from a text");
    assert_false(lorac_path_exists(tiny_path("out.csv")));
    lorac_job_close(j);
    lorac_recipe_free(r);
}

static void data_that_cannot_be_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *data, *want;
    } cases[] = {
        {"kind: text, train: [b.txt, none.txt]",
         "/none.txt: cannot open: No such file or directory"},
        {"kind: text, train: [b.txt, a.txt], separator: nowhere",
         "data.separator: stands nowhere in "},
        {"kind: text, train: empty.txt", "/empty.txt: is empty, expected text"},
        {"kind: text, train: b.txt, valid: {split: 0.001}",
         "/b.txt: split: 0.001 of 1 documents leaves a side empty, expected text on both"},
        {"kind: text, train: b.txt, valid: [b.txt, latin.txt]",
         "/latin.txt:2: byte 0xE8 at offset 5 is not UTF-8, expected UTF-8 (is the file Latin-1? "
         "iconv -f LATIN1 -t UTF-8 makes UTF-8 of it)"},
        {"train: quote.txt", " (for plain text write data.kind: text)"},
    };
    tiny_text("empty.txt", "");
    tiny_text("latin.txt", "due\nt\xE8\n");
    tiny_text("quote.txt", "a \"line\",\nand, another\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_recipe *r = NULL;
        struct lorac_job *j = NULL;
        struct lorac_err err = {0};
        char text[512];
        (void)snprintf(text, sizeof text, "recipe: 1\nmodel: {path: model}\ndata: {%s}\n%s",
                       cases[i].data,
                       i + 1 == sizeof cases / sizeof *cases ? "template: {completion: x}\n" : "");
        if (lorac_recipe_parse(&r, text, strlen(text), "text.yaml", tiny_dir(), NULL, 0, NULL,
                               &err)) {
            fail_msg("%s", err.text);
        }
        assert_int_not_equal(lorac_job_open(&j, r, LORAC_JOB_TRAIN | LORAC_JOB_NO_MODEL, &err),
                             LORAC_OK);
        assert_null(j);
        if (!strstr(err.text, cases[i].want)) { fail_msg("%s", err.text); }
        lorac_recipe_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_on_text_learns_and_tells_bits_per_byte),
        cmocka_unit_test(a_resumed_run_is_the_uninterrupted_one),
        cmocka_unit_test(another_text_is_noticed_on_resuming),
        cmocka_unit_test(the_test_text_is_scored_byte_by_byte),
        cmocka_unit_test(a_plan_tells_what_the_run_does),
        cmocka_unit_test(predicting_rows_is_refused),
        cmocka_unit_test(data_that_cannot_be_is_refused_with_its_place),
    };
    return cmocka_run_group_tests_name("text", tests, make, runs_remove);
}
