/*
 * What opens all that it needs in one call. What is promised:
 *   - a model's folder and an adapter's answer as the job of the recipe does that trained it;
 *     values that do not fit the prompt are refused, and so are folders that do not say what to
 *     ask, or whose adapter changes nothing;
 *   - a trainer of a recipe ends with the adapter of a run of it, byte for byte.
 */
#include "recipes/run/predictor.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/saved_template.h"
#include "recipes/run/trainer.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct subject {
    struct lorac_recipe *r;
    struct lorac_job *j;
};

static void open_job(struct subject *s)
{
    struct lorac_err err = {0};
    s->r = runs_recipe(tiny_path("none"), NULL);
    if (lorac_job_open(&s->j, s->r, 0, &err)) { fail_msg("%s", err.text); }
}

static void close_job(struct subject *s)
{
    lorac_job_close(s->j);
    lorac_recipe_free(s->r);
}

/* The folders of a model and of an adapter are enough: they answer as the recipe's job does. */
static void two_folders_are_enough(void **state)
{
    (void)state;
    struct subject s;
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    struct lorac_predictor *p[2] = {NULL};
    struct lorac_answer answer[2] = {{0}, {0}};
    (void)runs_well("folders", LORAC_RUN_NEW, NULL, NULL);
    char *model = lorac_path_join(tiny_dir(), "model");
    char *dir = lorac_path_join(tiny_dir(), "folders/last");
    open_job(&s);
    assert_int_equal(lorac_peft_load(&a, s.j->model, dir, false, &err), LORAC_OK);
    struct lorac_socket socket = lorac_adapter_socket(a);
    assert_int_equal(lorac_predictor_new(&p[0], s.j, &socket, 5, &err), LORAC_OK);
    if (lorac_predictor_open(&p[1], model, dir, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(lorac_predictor_labels(p[1]), s.j->K);
    for (int i = 0; i < 2; i++) {
        const char *text = "aab";
        if (lorac_predictor_ask(&answer[i], p[i], &text, 1, &err)) { fail_msg("%s", err.text); }
    }
    for (size_t k = 0; k < s.j->K; k++) {
        const struct lorac_ranked *x = &answer[0].ranked[k];
        const struct lorac_ranked *y = &answer[1].ranked[k];
        assert_true(x->nll == y->nll && x->probability == y->probability);
        assert_string_equal(lorac_predictor_label(p[0], x->k), lorac_predictor_label(p[1], y->k));
    }
    const char *const wrong[] = {" ", "b"};
    assert_int_equal(lorac_predictor_ask(&answer[0], p[1], wrong, 1, &err), LORAC_EUSER);
    assert_string_equal(err.text, "the prompt's {text} is blank");
    assert_int_equal(lorac_predictor_ask(&answer[0], p[1], wrong + 1, 0, &err), LORAC_EUSER);
    assert_string_equal(err.text, "the prompt's {text} is blank");
    const char *const two[] = {"a", "b"};
    assert_int_equal(lorac_predictor_ask(&answer[0], p[1], two, 2, &err), LORAC_EUSER);
    assert_string_equal(err.text, "2 values for the 1 variables of the prompt");
    for (int i = 0; i < 2; i++) {
        lorac_answer_free(&answer[i]);
        lorac_predictor_free(p[i]);
    }
    lorac_adapter_free(a);
    close_job(&s);
    lorac_mem_free(model);
    lorac_mem_free(dir);
}

/* What it refuses: a folder that is no adapter, and one that carries no template. */
static void an_adapter_without_a_template_is_refused(void **state)
{
    (void)state;
    struct subject s;
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    struct lorac_predictor *p = NULL;
    char *model = lorac_path_join(tiny_dir(), "model");
    char *dir = lorac_path_join(tiny_dir(), "bare");
    open_job(&s);
    assert_int_equal(lorac_job_adapter(&a, s.j, &err), LORAC_OK);
    assert_int_equal(lorac_peft_save(dir, a, "model", LORAC_F32, &err), LORAC_OK);
    assert_int_equal(lorac_predictor_open(&p, model, dir, &err), LORAC_EUSER);
    assert_null(p);
    assert_non_null(strstr(err.text, "/bare: carries no template"));
    assert_int_equal(lorac_template_save(a, s.j, &err), LORAC_OK);
    assert_int_equal(lorac_peft_save(dir, a, "model", LORAC_F32, &err), LORAC_OK);
    assert_int_equal(lorac_predictor_open(&p, model, dir, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "/bare: every B is zero: the adapter changes nothing"));
    lorac_adapter_free(a);
    close_job(&s);
    lorac_mem_free(model);
    lorac_mem_free(dir);
}

static void a_recipe_is_enough(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_trainer *t = NULL;
    struct lorac_step s = {0};
    size_t n[2];
    (void)runs_well("run", LORAC_RUN_NEW, NULL, NULL);
    struct lorac_recipe *r = runs_recipe("none", NULL);
    if (lorac_trainer_open_recipe(&t, r, &err)) { fail_msg("%s", err.text); }
    while (!lorac_trainer_done(t)) {
        if (lorac_trainer_step(&s, t, &err)) { fail_msg("%s", err.text); }
    }
    assert_int_equal(s.step, RUNS_STEPS);
    if (lorac_trainer_save(t, tiny_path("alone"), NULL, &err)) { fail_msg("%s", err.text); }
    char *a = tiny_read(tiny_path("alone/adapter_model.safetensors"), &n[0]);
    char *b = tiny_read(tiny_path("run/last/adapter_model.safetensors"), &n[1]);
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(a, b, n[0]);
    lorac_mem_free(a);
    lorac_mem_free(b);
    lorac_trainer_close(t);
    lorac_recipe_free(r);
}

static void a_recipe_without_its_table_is_refused(void **state)
{
    (void)state;
    static const char *const sets[] = {"data.train=none.csv", NULL};
    struct lorac_err err = {0};
    struct lorac_trainer *t = NULL;
    struct lorac_recipe *r = runs_recipe("none", sets);
    assert_int_equal(lorac_trainer_open_recipe(&t, r, &err), LORAC_EIO);
    assert_null(t);
    lorac_recipe_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_folders_are_enough),
        cmocka_unit_test(a_recipe_is_enough),
        cmocka_unit_test(a_recipe_without_its_table_is_refused),
        cmocka_unit_test(an_adapter_without_a_template_is_refused),
    };
    return cmocka_run_group_tests_name("whole", tests, runs_make, runs_remove);
}
