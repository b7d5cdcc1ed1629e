/*
 * Runs of masked language modelling (objective: masked_lm). What is promised:
 *   - the loss of an encoder falls on a text of one rule, and evaluations of it, too;
 *   - stopped and resumed, a run gives the same bytes;
 *   - an evaluation asks for the same tokens each time, whatever the run's seed;
 *   - frozen layers are run anew, as what they read is;
 *   - a plan tells what the run does; recipes that ask for another share don't share their data;
 *   - a decoder, and a tokenizer without a mask token, are refused.
 */
#include "recipes/run/evaluate.h"
#include "recipes/run/plan.h"
#include "recipes/run/shared.h"
#include "tests/support/letters.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include "base/init.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char bert[] =
    "{\"architectures\": [\"BertForMaskedLM\"], \"model_type\": \"bert\", \"hidden_size\": 16,\n"
    " \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"intermediate_size\": 24,\n"
    " \"max_position_embeddings\": 64, \"type_vocab_size\": 2, \"initializer_range\": 0.2}\n";

static const char recipe[] =
    "recipe: 1\n"
    "seed: 7\n"
    "model: {path: encoder, max_length: 32}\n"
    "adapter: {rank: 8, alpha: 16, dropout: 0.1}\n"
    "data: {kind: text, train: t.txt, valid: {split: 0.2}, test: t.txt, separator: \"|\"}\n"
    "objective: masked_lm\n"
    "train: {epochs: 30, batch_tokens: 128, threads: 1}\n"
    "optimizer: {lr: 0.02}\n"
    "eval: {every: 20 steps}\n"
    "output: {save_every: 15 steps}\n";

static int make(void **state)
{
    struct lorac_err err = {0};
    struct lorac_buf text = {0};
    (void)tiny_model(state);
    letters_write("letters");
    char tokenizer[300];
    (void)snprintf(tokenizer, sizeof tokenizer, "%s", tiny_path("letters"));
    const struct lorac_init_options o = {.tokenizer = tokenizer, .seed = 3};
    if (lorac_model_init(tiny_path("encoder"), bert, &o, &err)) { fail_msg("%s", err.text); }
    for (int i = 0; i < 80; i++) { // a word is one letter, three or four times
        char c = (char)('a' + i % 13);
        lorac_buf_printf(&text, "%c%c%c %c%c%c%c %c%c%c%s|", c, c, c, c, c, c, c, c, c, c,
                         i % 3 ? "" : " .");
    }
    tiny_text("t.txt", text.at);
    lorac_buf_free(&text);
    return 0;
}

static struct lorac_recipe *open_recipe(const char *out, const char *more)
{
    struct lorac_recipe *r = NULL;
    struct lorac_err err = {0};
    char dir[512];
    (void)snprintf(dir, sizeof dir, "output.dir=%s", tiny_path(out));
    const struct lorac_recipe_set sets[] = {{dir, false}, {more, false}};
    if (lorac_recipe_parse(&r, recipe, sizeof recipe - 1, "masked.yaml", tiny_dir(), sets,
                           more ? 2 : 1, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    return r;
}

static enum lorac_status go(struct lorac_run_result *result, const char *out, const char *more,
                            enum lorac_run_mode mode, const struct lorac_run_watch *watch,
                            struct lorac_err *err)
{
    static const struct lorac_run_watch nobody = {0};
    struct lorac_recipe *r = open_recipe(out, more);
    enum lorac_status st = lorac_run(result, r, mode, NULL, watch ? watch : &nobody, err);
    lorac_recipe_free(r);
    return st;
}

static void well(struct lorac_run_result *result, const char *out, const char *more,
                 enum lorac_run_mode mode, const struct lorac_run_watch *watch)
{
    struct lorac_err err = {0};
    if (go(result, out, more, mode, watch, &err)) { fail_msg("%s", err.text); }
}

struct heard {
    double first, last; // loss of a step
};

static void on_step(void *self, const struct lorac_step *s)
{
    struct heard *h = self;
    if (s->step == 1) { h->first = s->loss; }
    h->last = s->loss;
}

static void the_loss_falls(void **state)
{
    (void)state;
    struct heard h = {0};
    struct lorac_run_result result;
    struct lorac_run_watch watch = {.self = &h, .step = on_step};
    well(&result, "one", NULL, LORAC_RUN_NEW, &watch);
    assert_true(h.first > 3.0);
    assert_true(h.last < h.first - 0.5);
    assert_true(result.has_valid);
    assert_true(result.best.loss < log(26.0) - 0.2); // more than how often each letter stands there
    assert_true(fabs(result.best.perplexity - exp(result.best.loss)) < 1e-9);
    assert_int_equal(result.best.bytes, 0); // a share of the tokens spells nothing
}

static void a_resumed_run_is_the_uninterrupted_one(void **state)
{
    (void)state;
    struct runs_stop s = {.at = 17};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    struct lorac_run_result result;
    well(&result, "whole", NULL, LORAC_RUN_NEW, NULL);
    well(&result, "parts", NULL, LORAC_RUN_NEW, &watch);
    assert_int_equal(result.end, LORAC_RUN_STOPPED);
    well(&result, "parts", NULL, LORAC_RUN_RESUME, NULL);
    runs_same("whole", "parts");
}

/* Of the validation texts without an adapter. */
static double base_loss(const char *more)
{
    struct lorac_recipe *r = open_recipe("none", more);
    struct lorac_job *j = NULL;
    struct lorac_evaluator *e = NULL;
    struct lorac_scores s[2];
    struct lorac_err err = {0};
    if (lorac_job_open(&j, r, LORAC_JOB_TEST, &err) ||
        lorac_job_evaluator(&e, j, j->test.set, r->eval.metrics, NULL, &err) ||
        lorac_evaluate(&s[0], e, NULL, NULL, &err) || lorac_evaluate(&s[1], e, NULL, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    assert_true(s[0].loss == s[1].loss);
    lorac_evaluator_free(e);
    lorac_job_close(j);
    lorac_recipe_free(r);
    return s[0].loss;
}

static void an_evaluation_asks_for_the_same_each_time(void **state)
{
    (void)state;
    assert_true(base_loss(NULL) == base_loss("seed=8"));
}

static void frozen_layers_are_run_anew(void **state)
{
    (void)state;
    struct lorac_recipe *r = open_recipe("frozen", "adapter.layers=last:1");
    struct lorac_plan *p = NULL;
    struct lorac_err err = {0};
    struct lorac_run_result result;
    if (lorac_plan_make(&p, r, NULL, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(p->frozen.layers, 0);
    well(&result, "frozen", "adapter.layers=last:1", LORAC_RUN_NEW, NULL);
    assert_int_equal(p->steps, result.step);
    lorac_plan_free(p);
    lorac_recipe_free(r);
    assert_int_equal(go(&result, "on", "train.cache_frozen_prefix=on", LORAC_RUN_NEW, NULL, &err),
                     LORAC_EUSER);
    assert_string_equal(err.text, "train.cache_frozen_prefix: on has no effect: objective: "
                                  "masked_lm hides other tokens of a row each time that it is "
                                  "read");
}

/* Recipes that share a base and data do so where both are the same. */
static void the_share_that_is_asked_for_is_of_the_data(void **state)
{
    (void)state;
    static const char *const more[] = {NULL, "optimizer.lr=0.1",
                                       "objective={kind: masked_lm, mask_share: 0.3}"};
    struct lorac_shared *shared = NULL;
    struct lorac_recipe *r[3];
    struct lorac_job *j[3];
    struct lorac_err err = {0};
    assert_int_equal(lorac_shared_new(&shared, 1, NULL), LORAC_OK);
    for (size_t i = 0; i < 3; i++) {
        r[i] = open_recipe("none", more[i]);
        if (lorac_shared_job(&j[i], shared, r[i], &err)) { fail_msg("%s", err.text); }
        assert_ptr_equal(j[i]->model, j[0]->model);
    }
    assert_ptr_equal(j[1]->train.set, j[0]->train.set);
    assert_ptr_not_equal(j[2]->train.set, j[0]->train.set);
    for (size_t i = 0; i < 3; i++) {
        lorac_job_close(j[i]);
    }
    lorac_shared_free(shared);
    for (size_t i = 0; i < 3; i++) {
        lorac_recipe_free(r[i]);
    }
}

static void what_cannot_fill_a_mask_is_refused(void **state)
{
    (void)state;
    struct lorac_run_result result;
    struct lorac_err err = {0};
    char model[400];
    (void)snprintf(model, sizeof model, "model.path=%s", tiny_path("model"));
    assert_int_equal(go(&result, "no", model, LORAC_RUN_NEW, NULL, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "objective: masked_lm hides tokens behind the tokenizer's "
                                     "mask token, and it has none"));
    tiny_text("model/tokenizer_config.json", // a mask token does not make it an encoder
              "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"mask_token\": \"</s>\"}");
    assert_int_equal(go(&result, "no", model, LORAC_RUN_NEW, NULL, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text,
                           "objective: masked_lm hides tokens of an encoder, whose tokens "
                           "see their whole text; "));
    assert_non_null(strstr(err.text, "/model is a decoder: expected an encoder, or objective: "
                                     "causal_lm"));
    assert_false(lorac_path_exists(tiny_path("no")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_falls),
        cmocka_unit_test(a_resumed_run_is_the_uninterrupted_one),
        cmocka_unit_test(an_evaluation_asks_for_the_same_each_time),
        cmocka_unit_test(frozen_layers_are_run_anew),
        cmocka_unit_test(the_share_that_is_asked_for_is_of_the_data),
        cmocka_unit_test(what_cannot_fill_a_mask_is_refused),
    };
    return cmocka_run_group_tests(tests, make, runs_remove);
}
