/*
 * What several runs share. What is promised:
 *   - recipes that agree in what a base follows from have one model, those that agree in what data
 *     follows from have one dataset; a seed matters to data only where it draws validation rows;
 *   - what is shared outlives the jobs that borrow it, and each job knows its own recipe;
 *   - runs that share leave the same files as runs that open all by themselves, a resumed one, too;
 *     frozen layers run for the first of those that follow each other with the same rows, in the
 *     same batches, and for no other;
 *   - a plan of what is shared says of rows, steps and adapter what another says;
 *   - whichever allocation or system call fails is reported.
 */
#include "recipes/run/plan.h"
#include "recipes/run/run.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MAX = 12 };

/* Recipes and the jobs that they share. */
struct several {
    struct lorac_shared *shared;
    struct lorac_recipe *r[MAX];
    struct lorac_job *j[MAX];
    size_t n;
};

static struct several open_several(void)
{
    struct several s = {0};
    assert_int_equal(lorac_shared_new(&s.shared, 0, NULL), LORAC_OK);
    return s;
}

/* One more with these settings. */
static const struct lorac_job *add(struct several *s, const char *const *sets)
{
    struct lorac_err err = {0};
    s->r[s->n] = runs_recipe(tiny_path("none"), sets);
    if (lorac_shared_job(&s->j[s->n], s->shared, s->r[s->n], &err)) { fail_msg("%s", err.text); }
    assert_ptr_equal(s->j[s->n]->recipe, s->r[s->n]);
    return s->j[s->n++];
}

static void close_several(struct several *s)
{
    for (size_t i = 0; i < s->n; i++) {
        lorac_job_close(s->j[i]);
    }
    lorac_shared_free(s->shared);
    for (size_t i = 0; i < s->n; i++) {
        lorac_recipe_free(s->r[i]);
    }
}

static void what_agrees_is_one(void **state)
{
    (void)state;
    static const struct {
        const char *set[3];
        bool base, data; // as the first one's
    } cases[] = {
        {{"adapter.rank=8", "optimizer.lr=0.001"}, true, true},
        {{"seed=8", "output.dir=elsewhere"}, true, true},
        {{"template.prompt='{text} was'"}, true, false},
        {{"model.max_length=40"}, true, false},
        {{"data.valid={split: 0.2}"}, true, false},
        {{"data.on_empty=keep"}, true, false},
        {{"train.threads=2"}, false, false},
    };
    struct several s = open_several();
    const struct lorac_job *first = add(&s, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct lorac_job *j = add(&s, cases[i].set);
        assert_int_equal(j->model == first->model, cases[i].base);
        assert_int_equal(j->tokenizer == first->tokenizer, cases[i].base);
        assert_int_equal(j->train.set == first->train.set, cases[i].data);
        assert_int_equal(j->valid.set == first->valid.set, cases[i].data);
    }
    close_several(&s);
}

static void a_seed_that_draws_rows_makes_other_data(void **state)
{
    (void)state;
    struct several s = open_several();
    const struct lorac_job *a = add(&s, (const char *[]){"data.valid={split: 0.2}", NULL});
    const struct lorac_job *b =
        add(&s, (const char *[]){"data.valid={split: 0.2}", "seed=8", NULL});
    const struct lorac_job *c =
        add(&s, (const char *[]){"data.valid={split: 0.2}", "seed=8", "adapter.rank=2", NULL});
    assert_ptr_equal(a->model, b->model);
    assert_ptr_not_equal(a->train.set, b->train.set);
    assert_ptr_equal(b->train.set, c->train.set);
    close_several(&s);
}

/* A head that the base does not have is drawn by the seed, for these labels. */
static void a_fresh_head_is_that_of_its_seed_and_labels(void **state)
{
    (void)state;
#define HEAD \
    "objective=classify", "data.labels=label", "-template", "-eval.samples", "-eval.metrics"
    static const char *const sets[][8] = {
        {HEAD, NULL},
        {HEAD, "adapter.rank=2", NULL},
        {HEAD, "seed=8", NULL},
        {HEAD, "data.labels={column: label, map: {good: a, bad: b}}", NULL},
    };
    static const bool same[] = {true, true, false, false};
    struct several s = open_several();
    const struct lorac_job *first = add(&s, sets[0]);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(add(&s, sets[i])->model == first->model, same[i]);
    }
    close_several(&s);
}

static void a_job_that_lends_may_be_closed_first(void **state)
{
    (void)state;
    struct several s = open_several();
    (void)add(&s, NULL);
    lorac_job_close(s.j[0]);
    s.j[0] = NULL;
    const struct lorac_job *j = add(&s, (const char *[]){"seed=8", NULL});
    assert_int_equal(lorac_dataset_size(j->train.set), 20);
    assert_int_equal(j->K, 2);
    close_several(&s);
}

static void threads_are_as_many_as_the_caller_says(void **state)
{
    (void)state;
    struct several s = {0};
    assert_int_equal(lorac_shared_new(&s.shared, 2, NULL), LORAC_OK);
    assert_int_equal(add(&s, (const char *[]){"train.threads=1", NULL})->dev.threads, 2);
    close_several(&s);
}

/* ---- runs ---- */

static void go(const char *out, const char *set, enum lorac_run_mode mode,
               struct lorac_shared *shared, struct lorac_recipe **kept, size_t stop_at)
{
    struct lorac_run_result result;
    struct lorac_err err = {0};
    struct runs_stop stop = {.at = stop_at ? stop_at : SIZE_MAX};
    struct lorac_run_watch watch = runs_stop_watch(&stop);
    *kept = runs_recipe(tiny_path(out), (const char *[]){set, NULL});
    if (lorac_run(&result, *kept, mode, shared, &watch, &err)) { fail_msg("%s", err.text); }
}

static void runs_that_share_leave_the_same_files(void **state)
{
    (void)state;
    static const struct {
        const char *alone, *together, *set;
    } cases[] = {
        {"a1", "b1", "adapter.rank=4"},
        {"a2", "b2", "adapter.rank=2"},
        {"a3", "b3", "template.prompt='{text} was'"},
        {"a4", "b4", "seed=9"},
    };
    enum { N = sizeof cases / sizeof *cases };
    struct lorac_recipe *kept[2 * N];
    struct lorac_shared *shared = NULL;
    assert_int_equal(lorac_shared_new(&shared, 0, NULL), LORAC_OK);
    for (size_t i = 0; i < N; i++) {
        struct lorac_recipe *alone = NULL;
        go(cases[i].alone, cases[i].set, LORAC_RUN_NEW, NULL, &alone, 0);
        lorac_recipe_free(alone);
    }
    for (size_t i = 0; i < N; i++) { // all are begun before any goes on
        go(cases[i].together, cases[i].set, LORAC_RUN_NEW, shared, &kept[i], 3);
    }
    for (size_t i = 0; i < N; i++) {
        go(cases[i].together, cases[i].set, LORAC_RUN_RESUME, shared, &kept[N + i], 0);
        runs_same(cases[i].alone, cases[i].together);
    }
    lorac_shared_free(shared);
    for (size_t i = 0; i < 2 * N; i++) {
        lorac_recipe_free(kept[i]);
    }
}

static void count_preparing(void *self, const char *what, double done)
{
    (void)what;
    (void)done;
    ++*(size_t *)self;
}

static void frozen_layers_run_once_for_several_runs(void **state)
{
    (void)state;
    static const struct {
        const char *set[8];
        bool runs; // the frozen layers
    } cases[] = {
        {{"adapter.layers=[1]"}, true},
        {{"adapter.layers=[1]", "adapter.rank=2"}, false},
        {{"adapter.layers=[1]", "optimizer.lr=0.001", "eval.metrics=[loss]"}, false},
        {{"adapter.layers=[1]", "train.batch_size=4"}, true}, // other last bits
        {{"adapter.layers=[1]", "train.batch_size=4", "seed=9"}, false},
        {{"adapter.layers=[1]"}, true},
        {{"adapter.layers=[1]", "template.prompt='{text} as'"}, true}, // as long as with "is"
        {{"adapter.layers=[1]"}, true},
        {{"adapter.rank=2"}, false}, // none is frozen, and nothing is held
        {{"adapter.layers=[1]"}, true},
        {{"adapter.method=none", "adapter.train_also=[lm_head]", "-adapter.rank", "-adapter.alpha",
          "-adapter.dropout"},
         true}, // all of them are
        {{"adapter.layers=[1]"}, true},
        {{"adapter.layers=[1]", "train.cache_frozen_prefix=off"}, false},
    };
    enum { N = sizeof cases / sizeof *cases };
    struct lorac_recipe *kept[N];
    struct lorac_shared *shared = NULL;
    assert_int_equal(lorac_shared_new(&shared, 0, NULL), LORAC_OK);
    for (size_t i = 0; i < N; i++) {
        struct lorac_run_result result;
        struct lorac_err err = {0};
        size_t prepared = 0;
        struct lorac_run_watch watch = {.self = &prepared, .preparing = count_preparing};
        (void)runs_well("alone", LORAC_RUN_OVERWRITE, NULL, cases[i].set);
        kept[i] = runs_recipe(tiny_path("shares"), cases[i].set);
        if (lorac_run(&result, kept[i], LORAC_RUN_OVERWRITE, shared, &watch, &err)) {
            fail_msg("%s", err.text);
        }
        assert_int_equal(prepared > 0, cases[i].runs);
        runs_same("alone", "shares");
    }
    lorac_shared_free(shared);
    for (size_t i = 0; i < N; i++) {
        lorac_recipe_free(kept[i]);
    }
}

static void a_plan_says_the_same(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct several s = open_several();
    (void)add(&s, NULL);
    struct lorac_recipe *r =
        runs_recipe(tiny_path("none"), (const char *[]){"adapter.rank=8", NULL});
    struct lorac_plan *alone = NULL;
    struct lorac_plan *shared = NULL;
    if (lorac_plan_make(&alone, r, NULL, &err) || lorac_plan_make(&shared, r, s.shared, &err)) {
        fail_msg("%s", err.text);
    }
    assert_ptr_equal(shared->job->model, s.j[0]->model);
    assert_int_equal(shared->steps, alone->steps);
    assert_int_equal(shared->evaluations, alone->evaluations);
    assert_int_equal(shared->adapter->n_params, alone->adapter->n_params);
    for (size_t i = LORAC_PLAN_TABLES; i < LORAC_PLAN_N_PARTS; i++) {
        if (i != LORAC_PLAN_WEIGHTS) { assert_int_equal(shared->bytes[i], alone->bytes[i]); }
    }
    lorac_plan_free(alone);
    lorac_plan_free(shared);
    close_several(&s);
    lorac_recipe_free(r);
}

/* ---- failures ---- */

static void every_failure_is_met(void **state)
{
    (void)state;
    for (int kind = FAULTS_CALLS; kind <= FAULTS_MEMORY; kind++) {
        bool met = true;
        for (long n = 0; met; n = faults_next(n, 7)) {
            struct several s = {0};
            struct lorac_err err = {0};
            struct lorac_recipe *r[2] = {
                runs_recipe(tiny_path("none"), NULL),
                runs_recipe(tiny_path("none"), (const char *[]){"data.on_empty=keep", NULL})};
            faults_start((enum faults_kind)kind, n);
            enum lorac_status st = lorac_shared_new(&s.shared, 0, &err);
            for (size_t i = 0; i < 2 && !st; i++) {
                st = lorac_shared_job(&s.j[s.n++], s.shared, r[i], &err);
            }
            met = faults_stop();
            if (met && st) { assert_int_equal(st, faults_status((enum faults_kind)kind)); }
            if (!met) { assert_int_equal(st, LORAC_OK); }
            close_several(&s);
            lorac_recipe_free(r[0]);
            lorac_recipe_free(r[1]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_agrees_is_one),
        cmocka_unit_test(a_seed_that_draws_rows_makes_other_data),
        cmocka_unit_test(a_fresh_head_is_that_of_its_seed_and_labels),
        cmocka_unit_test(a_job_that_lends_may_be_closed_first),
        cmocka_unit_test(threads_are_as_many_as_the_caller_says),
        cmocka_unit_test(runs_that_share_leave_the_same_files),
        cmocka_unit_test(frozen_layers_run_once_for_several_runs),
        cmocka_unit_test(a_plan_says_the_same),
        cmocka_unit_test(every_failure_is_met),
    };
    return cmocka_run_group_tests(tests, runs_make, runs_remove);
}
