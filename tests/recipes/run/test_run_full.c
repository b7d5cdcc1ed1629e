/*
 * Runs that train modules in full. What is promised:
 *   - stopped after any step and taken up again, such a run ends with the bytes of the
 *     uninterrupted one;
 *   - its saved adapter gives the loss that the run measured, and so does its merged checkpoint;
 *   - another run can start from it;
 *   - nothing is allocated after the first step;
 *   - decay of vectors, tie and bias are the recipe's own;
 *   - a plan tells which tensors train.
 */
#include "base/core/mem.h"
#include "recipes/run/evaluate.h"
#include "recipes/run/plan.h"
#include "recipes/run/setup.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const some[] = {
    "adapter.train_also=[embed_tokens, lm_head, model.norm, layers.1.mlp.up_proj]",
    "optimizer.weight_decay=0.1", "optimizer.vector_decay=0.02", NULL};
static const char *const all[] = {"adapter.train_also=all", "-adapter.rank",     "-adapter.alpha",
                                  "-adapter.dropout",       "output.merge=true", NULL};

static void stopped_it_ends_as_the_uninterrupted_one(void **state)
{
    (void)state;
    const char *const *const kinds[] = {some, all};
    for (size_t k = 0; k < 2; k++) {
        runs_well("a", LORAC_RUN_OVERWRITE, NULL, kinds[k]);
        for (size_t at = 1; at < RUNS_STEPS; at += 3) {
            struct runs_stop s = {.at = at};
            struct lorac_run_watch watch = runs_stop_watch(&s);
            struct lorac_run_result r = runs_well("b", LORAC_RUN_OVERWRITE, &watch, kinds[k]);
            assert_true(r.end == LORAC_RUN_STOPPED && r.step == at);
            r = runs_well("b", LORAC_RUN_RESUME, NULL, kinds[k]);
            assert_true(r.end == LORAC_RUN_DONE && r.step == RUNS_STEPS);
            runs_same("a", "b");
        }
    }
}

/* The validation loss of the model at `path` with an adapter (NULL: without). */
static double loss_of(const char *path, const char *adapter)
{
    char model[512];
    (void)snprintf(model, sizeof model, "model.path=%s", path);
    const char *const sets[] = {model, NULL};
    struct lorac_recipe *r = runs_recipe(tiny_path("unused"), sets);
    struct lorac_job *j = NULL;
    struct lorac_adapter *a = NULL;
    struct lorac_evaluator *e = NULL;
    struct lorac_socket socket = {0};
    struct lorac_scores scores;
    struct lorac_err err = {0};
    enum lorac_status st = lorac_job_open(&j, r, LORAC_JOB_VALID, &err);
    if (!st && adapter) { st = lorac_peft_load(&a, j->model, adapter, false, &err); }
    if (st) { fail_msg("%s", err.text); }
    if (a) { socket = lorac_adapter_socket(a); }
    st = lorac_job_evaluator(&e, j, j->valid.set, r->eval.metrics, a ? &socket : NULL, &err);
    if (!st) { st = lorac_evaluate(&scores, e, NULL, NULL, &err); }
    if (st) { fail_msg("%s", err.text); }
    lorac_evaluator_free(e);
    lorac_adapter_free(a);
    lorac_job_close(j);
    lorac_recipe_free(r);
    return scores.loss;
}

static void what_is_saved_gives_the_loss_that_the_run_measured(void **state)
{
    (void)state;
    double base = loss_of(tiny_path("model"), NULL);
    struct lorac_run_result r = runs_well("c", LORAC_RUN_OVERWRITE, NULL, some);
    assert_true(loss_of(tiny_path("model"), tiny_path("c/last")) == r.last.loss);
    r = runs_well("c", LORAC_RUN_OVERWRITE, NULL, all);
    assert_true(r.last.loss < base - 0.1);
    assert_true(loss_of(tiny_path("model"), tiny_path("c/last")) == r.last.loss);
    double best = loss_of(tiny_path("model"), tiny_path("c/best"));
    assert_true(loss_of(tiny_path("c/merged"), NULL) == best);
}

static void another_run_starts_from_it(void **state)
{
    (void)state;
    char from[512];
    runs_well("d", LORAC_RUN_OVERWRITE, NULL, some);
    (void)snprintf(from, sizeof from, "adapter.from=%s", tiny_path("d/last"));
    const char *const sets[] = {
        from, "-adapter.rank", "-adapter.alpha", "optimizer.lr=1e-12", "optimizer.vector_decay=0.1",
        NULL};
    struct lorac_run_result r = runs_well("e", LORAC_RUN_OVERWRITE, NULL, sets);
    double start = loss_of(tiny_path("model"), tiny_path("d/last"));
    assert_true(fabs(r.last.loss - start) < 1e-6 * start);
}

/* ---- steps ---- */

struct counts {
    unsigned long allocations;
    size_t steps, allocating;
};

static void count_step(void *self, const struct lorac_step *s)
{
    struct counts *c = self;
    (void)s;
    if (c->steps++ > 0) { c->allocating += lorac_mem_count() != c->allocations; }
    c->allocations = lorac_mem_count();
}

static void nothing_is_allocated_after_the_first_step(void **state)
{
    (void)state;
    static const char *const sets[] = {"adapter.train_also=[embed_tokens, lm_head, q_proj]",
                                       "eval.every=end", "output.save_every=end", NULL};
    struct counts c = {0};
    struct lorac_run_watch watch = {.self = &c, .step = count_step};
    runs_well("f", LORAC_RUN_OVERWRITE, &watch, sets);
    assert_int_equal(c.steps, RUNS_STEPS);
    assert_int_equal(c.allocating, 0);
}

static void vectors_decay_as_the_recipe_says(void **state)
{
    (void)state;
    struct lorac_recipe *r = runs_recipe(tiny_path("unused"), some);
    struct lorac_optim_options o = lorac_setup_optim(r, 10);
    assert_true(o.weight_decay == 0.1 && o.vector_decay == 0.02);
    lorac_recipe_free(r);
}

static void tie_and_bias_are_the_recipes(void **state)
{
    (void)state;
    static const struct {
        const char *sets[3], *message;
    } cases[] = {
        {{"adapter.train_also=[lm_head]", "adapter.tie=keep", NULL},
         "adapter.tie: has no effect: the base's embedding and output are two matrices; leave it "
         "out"},
        {{"adapter.bias=all", NULL}, "adapter.bias: all, but no module of the base has a bias"},
        {{"adapter.bias=lora_only", NULL},
         "adapter.bias: lora_only, but no module with an adapter has a bias"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct lorac_run_result result;
        struct lorac_err err = {0};
        assert_int_equal(runs_go(&result, "g", LORAC_RUN_NEW, NULL, cases[i].sets, &err),
                         LORAC_EUSER);
        assert_string_equal(err.text, cases[i].message);
    }
}

/* ---- plan ---- */

static void a_plan_tells_which_tensors_train(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        bool in_layers;
        size_t n, OC, C, R;
    } want[] = {
        {"self_attn.q_proj", true, 2, 16, 16, 4}, {"self_attn.k_proj", true, 2, 8, 16, 4},
        {"self_attn.v_proj", true, 2, 8, 16, 4},  {"self_attn.o_proj", true, 2, 16, 16, 4},
        {"mlp.gate_proj", true, 2, 24, 16, 4},    {"mlp.up_proj", true, 1, 24, 16, 4},
        {"mlp.down_proj", true, 2, 16, 24, 4},    {"model.embed_tokens", false, 1, 260, 16, 0},
        {"mlp.up_proj", true, 1, 24, 16, 0},      {"lm_head", false, 1, 260, 16, 0},
        {"model.norm", false, 1, 16, 0, 0},
    };
    struct lorac_err err = {0};
    struct lorac_plan *p = NULL;
    struct lorac_recipe *r = runs_recipe(tiny_path("unused"), some);
    if (lorac_plan_make(&p, r, NULL, &err)) { fail_msg("%s", err.text); }
    size_t params = 0;
    assert_int_equal(p->n_groups, sizeof want / sizeof want[0]);
    for (size_t i = 0; i < p->n_groups; i++) {
        const struct lorac_plan_group *g = &p->group[i];
        assert_string_equal(g->kind, want[i].kind);
        assert_int_equal(g->in_layers, want[i].in_layers);
        assert_int_equal(g->n, want[i].n);
        assert_true(g->OC == want[i].OC && g->C == want[i].C && g->R == want[i].R);
        params += g->params;
    }
    assert_int_equal(params, p->adapter->n_params);
    assert_null(p->adapter->params);
    lorac_plan_free(p);
    lorac_recipe_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped_it_ends_as_the_uninterrupted_one),
        cmocka_unit_test(what_is_saved_gives_the_loss_that_the_run_measured),
        cmocka_unit_test(another_run_starts_from_it),
        cmocka_unit_test(nothing_is_allocated_after_the_first_step),
        cmocka_unit_test(vectors_decay_as_the_recipe_says),
        cmocka_unit_test(tie_and_bias_are_the_recipes),
        cmocka_unit_test(a_plan_tells_which_tensors_train),
    };
    return cmocka_run_group_tests_name("run_full", tests, runs_make, runs_remove);
}
