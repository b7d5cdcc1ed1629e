/*
 * Data, recipes, evaluation, predictions, plans, first recipes, adapters taken up, shots and runs
 * over earlier ones on a machine that fails. What is promised stands in faults.h. Runs and states
 * have loops of their own: test_run_faults.c, test_state.c.
 */
#include "base/core/file.h"
#include "recipes/run/fewshot.h"
#include "recipes/run/files.h"
#include "recipes/run/init.h"
#include "recipes/run/plan.h"
#include "recipes/run/predict.h"
#include "recipes/run/saved_template.h"
#include "recipes/run/trainer.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- datasets ---- */

struct data {
    struct lorac_tokenizer *t;
    struct lorac_table *table;
    struct lorac_classes classes;
    struct lorac_split split;
    struct lorac_dataset *set;
    struct lorac_example e;
    struct lorac_loader *loader;
    struct lorac_batch *batch;
    struct lorac_choices *choices;
};

static enum lorac_status open_data(struct data *d, struct lorac_err *err)
{
    const struct lorac_table_format format = {.delimiter = ',', .quote = '"', .header = true};
    struct lorac_dataset_options o = {.label_variable = "label",
                                      .prompt = "{text} is",
                                      .completion = " {label}",
                                      .append_eos = true,
                                      .max_length = 48};
    const struct lorac_loader_options l = {.batch_size = 3, .shuffle = true, .seed = 1};
    static const char *const labels[] = {"good", "bad"};
    size_t column = 0;
    enum lorac_status st = lorac_tokenizer_open(&d->t, tiny_path("model"), err);
    if (!st) { st = lorac_table_open(&d->table, tiny_path("train.csv"), &format, err); }
    if (!st) { st = lorac_table_column_find(&column, d->table, "label", err); }
    if (!st) { st = lorac_classes_find(&d->classes, d->table, column, 10, err); }
    if (!st) { st = lorac_split_make(&d->split, 20, 0.25, &d->classes, 1, err); }
    o.rows = d->split.rest;
    o.n_rows = d->split.n_rest;
    if (!st) { st = lorac_dataset_open(&d->set, d->table, d->t, &o, err); }
    if (!st) { st = lorac_loader_open(&d->loader, d->set, &l, err); }
    if (!st) { st = lorac_batch_new(&d->batch, 256, 8, 256, err); }
    if (!st) { st = lorac_choices_open(&d->choices, d->set, labels, 2, err); }
    return st;
}

static void close_data(struct data *d)
{
    lorac_choices_close(d->choices);
    lorac_batch_free(d->batch);
    lorac_loader_close(d->loader);
    lorac_example_free(&d->e);
    lorac_dataset_close(d->set);
    lorac_split_free(&d->split);
    lorac_classes_free(&d->classes);
    lorac_table_close(d->table);
    lorac_tokenizer_free(d->t);
}

static enum lorac_status data(struct lorac_err *err)
{
    struct data d = {0};
    struct lorac_choice x = {0};
    const uint32_t *examples = NULL;
    size_t n = 0;
    enum lorac_status st = open_data(&d, err);
    if (!st) { st = lorac_dataset_variable(&n, d.set, "text", err); }
    if (!st) { st = lorac_dataset_example(&d.e, d.set, 1, err); }
    if (!st) { st = lorac_dataset_prompt(&d.e, d.set, 2, 4, err); }
    if (!st) { st = lorac_dataset_shared(&n, d.set, d.set, err); }
    if (!st) { faults_say("%zu ", n); }
    for (size_t i = 0; i < 8 && !st; i++) { // into the second epoch
        st = lorac_loader_next(d.loader, d.batch, &examples, &n, err);
        if (!st) { faults_say("%u %zu ", examples[0], d.batch->N); }
    }
    if (!st) { st = lorac_choices_read(&x, d.choices, 0, err); }
    if (!st) { faults_say("%zu %zu %zu", x.label, x.prompt.n, x.tree->n); }
    lorac_choice_free(&x);
    close_data(&d);
    return st;
}

/* ---- recipes ---- */

static enum lorac_status open_recipe(struct lorac_recipe **r, struct lorac_err *err)
{
    const struct lorac_recipe_set sets[] = {{"eval.metrics=[loss, accuracy, exact_match]", false},
                                            {"train.steps", true}};
    struct lorac_recipe_errors errors = {0};
    enum lorac_status st =
        lorac_recipe_open(r, tiny_path("done/recipe.resolved.yaml"), sets, 2, &errors, err);
    lorac_recipe_errors_free(&errors);
    return st;
}

static enum lorac_status recipe(struct lorac_err *err)
{
    struct lorac_recipe *r = NULL;
    struct lorac_recipe *other = NULL;
    struct lorac_buf b = {0};
    enum lorac_status st = open_recipe(&r, err);
    if (!st) {
        st = lorac_recipe_open(&other, tiny_path("done/recipe.resolved.yaml"), NULL, 0, NULL, err);
    }
    if (!st) { st = lorac_recipe_write(r, tiny_path("out"), err); }
    if (!st) { st = lorac_recipe_explain(&b, "adapter", err); }
    if (!st) { lorac_recipe_diff(&b, r, other); }
    if (!st) { lorac_recipe_template(&b); }
    if (!st) { lorac_recipe_schema_json(&b); }
    if (!st) { st = faults_text(&b, err); }
    if (!st) { faults_say("%zu", b.n); }
    lorac_buf_free(&b);
    lorac_recipe_free(other);
    lorac_recipe_free(r);
    return st;
}

static enum lorac_status evaluate(struct lorac_err *err)
{
    struct lorac_recipe *r = NULL;
    struct lorac_job *j = NULL;
    struct lorac_adapter *a = NULL;
    struct lorac_adapter *outline = NULL;
    struct lorac_evaluator *e = NULL;
    struct lorac_evaluation_size size;
    struct lorac_scores scores;
    struct lorac_buf text[3] = {0};
    struct lorac_stack stack = {.n = 1, .factor = {1.0F}};
    struct lorac_socket socket = {0};
    enum lorac_status st = open_recipe(&r, err);
    if (!st) { st = lorac_job_open(&j, r, LORAC_JOB_VALID | LORAC_JOB_NO_MODEL, err); }
    if (!st) { st = lorac_job_open_model(j, err); }
    if (!st) { st = lorac_job_open_test(j, err); }
    if (!st) { st = lorac_job_check_length(j, err); }
    if (!st) { st = lorac_job_adapter(&a, j, err); }
    if (!st) { st = lorac_job_adapter_outline(&outline, j, err); }
    stack.adapter[0] = a;
    if (!st) {
        socket = lorac_stack_socket(&stack);
        struct lorac_evaluator_options o =
            lorac_job_evaluation(j, j->valid.set, r->eval.metrics, &socket);
        st = lorac_evaluator_measure(&size, &o, err);
    }
    if (!st) { st = lorac_job_evaluator(&e, j, j->valid.set, r->eval.metrics, &socket, err); }
    if (!st) { st = lorac_evaluate(&scores, e, NULL, NULL, err); }
    if (!st) { faults_say("%a %a %a ", scores.loss, scores.accuracy, scores.exact_match); }
    if (!st) { st = lorac_evaluator_sample(&text[0], &text[1], &text[2], e, 0, err); }
    for (size_t i = 0; i < 3; i++) {
        if (!st) { st = faults_text(&text[i], err); }
        if (!st) { faults_say("%s ", text[i].at ? text[i].at : ""); }
        lorac_buf_free(&text[i]);
    }
    lorac_evaluator_free(e);
    lorac_adapter_free(outline);
    lorac_adapter_free(a);
    lorac_job_close(j);
    lorac_recipe_free(r);
    return st;
}

static enum lorac_status predict_with(const struct lorac_recipe_set *sets, size_t n,
                                      struct lorac_err *err)
{
    struct lorac_recipe *r = NULL;
    struct lorac_job *j = NULL;
    struct lorac_predicted rows = {0};
    enum lorac_status st =
        lorac_recipe_open(&r, tiny_path("done/recipe.resolved.yaml"), sets, n, NULL, err);
    if (!st) { st = lorac_job_open(&j, r, 0, err); }
    if (!st) {
        const struct lorac_predict_options o = {
            .in = tiny_path("valid.csv"), .out = tiny_path("out"), .max_tokens = 5};
        st = lorac_predict(&rows, j, NULL, &o, err);
    }
    if (!st) { faults_say("%zu", rows.rows); }
    lorac_job_close(j);
    lorac_recipe_free(r);
    return st;
}

static enum lorac_status predict_labels(struct lorac_err *err)
{
    return predict_with(NULL, 0, err);
}

static enum lorac_status predict_text(struct lorac_err *err)
{
    const struct lorac_recipe_set sets[] = {
        {"template.completion=' {label}{text}'", false},
        {"eval.metrics=[loss]", false},
    };
    return predict_with(sets, 2, err);
}

/* A table of another encoding and delimiter than training's. */
static enum lorac_status predict_on(struct lorac_err *err)
{
    struct lorac_recipe *r = NULL;
    struct lorac_job *j = NULL;
    struct lorac_predicted rows = {0};
    enum lorac_status st =
        lorac_recipe_open(&r, tiny_path("done/recipe.resolved.yaml"), NULL, 0, NULL, err);
    if (!st) { st = lorac_job_open(&j, r, 0, err); }
    const struct lorac_predict_options o = {
        .in = tiny_path("wide.csv"), .out = tiny_path("out"), .top = 2, .max_tokens = 5};
    if (!st) { st = lorac_predict(&rows, j, NULL, &o, err); }
    if (!st) { faults_say("%zu %c", rows.rows, rows.delimiter); }
    lorac_job_close(j);
    lorac_recipe_free(r);
    return st;
}

static enum lorac_status look_at_labels(const struct lorac_recipe_set *sets, size_t n,
                                        struct lorac_err *err)
{
    struct lorac_recipe *r = NULL;
    struct lorac_job *j = NULL;
    struct lorac_label_look *look = NULL;
    enum lorac_status st =
        lorac_recipe_open(&r, tiny_path("done/recipe.resolved.yaml"), sets, n, NULL, err);
    if (!st) { st = lorac_job_open(&j, r, LORAC_JOB_TRAIN | LORAC_JOB_NO_MODEL, err); }
    if (!st) { st = lorac_labels_look(&look, j, err); }
    for (size_t i = 0; !st && i < look->n; i++) {
        faults_say("%.60s ", look->note[i].at);
    }
    lorac_label_look_free(look);
    lorac_job_close(j);
    lorac_recipe_free(r);
    return st;
}

/* Everything odd that labels may be. */
static enum lorac_status labels(struct lorac_err *err)
{
    char train[300];
    char valid[300];
    (void)snprintf(train, sizeof train, "data.train=%s", tiny_path("odd.csv"));
    (void)snprintf(valid, sizeof valid, "data.valid=%s", tiny_path("odder.csv"));
    const struct lorac_recipe_set sets[] = {{train, false}, {valid, false}};
    return look_at_labels(sets, 2, err);
}

static enum lorac_status alike(struct lorac_err *err)
{
    char valid[300];
    (void)snprintf(valid, sizeof valid, "data.valid=%s", tiny_path("alike.csv"));
    const struct lorac_recipe_set sets[] = {{valid, false}};
    return look_at_labels(sets, 1, err);
}

static enum lorac_status plan(struct lorac_err *err)
{
    struct lorac_recipe *r = NULL;
    struct lorac_plan *p = NULL;
    struct lorac_plan_probe probe = {0};
    enum lorac_status st = open_recipe(&r, err);
    if (!st) { st = lorac_plan_make(&p, r, NULL, err); }
    if (!st) { st = lorac_plan_probe(&probe, p, err); }
    if (!st) { st = lorac_plan_fits(p, SIZE_MAX, err); }
    if (!st) { faults_say("%zu %a", p->bytes[LORAC_PLAN_ACTIVATIONS], probe.loss); }
    lorac_plan_free(p);
    lorac_recipe_free(r);
    return st;
}

static enum lorac_status init(struct lorac_err *err)
{
    struct lorac_buf b = {0};
    struct lorac_buf told = {0};
    enum lorac_status st =
        lorac_recipe_init(&b, &told, tiny_path("model"), tiny_path("train.csv"), NULL, err);
    if (!st) { st = faults_text(&b, err); }
    if (!st) { st = faults_text(&told, err); }
    if (!st) { faults_say("%s%s", b.at, told.at); }
    lorac_buf_free(&b);
    lorac_buf_free(&told);
    return st;
}

/* An adapter taken up by another recipe, which must have its template; and those that such a recipe
 * makes. */
static enum lorac_status job(struct lorac_err *err)
{
    char from[300];
    (void)snprintf(from, sizeof from, "adapter.from=%s", tiny_path("done/best"));
    const struct lorac_recipe_set sets[] = {
        {from, false}, {"adapter.rank", true}, {"adapter.alpha", true}, {"train.steps", true}};
    struct lorac_recipe *r = NULL;
    struct lorac_job *j = NULL;
    struct lorac_adapter *a = NULL;
    struct lorac_adapter *outline = NULL;
    enum lorac_status st =
        lorac_recipe_open(&r, tiny_path("done/recipe.resolved.yaml"), sets, 4, NULL, err);
    if (!st) { st = lorac_job_open(&j, r, LORAC_JOB_TRAIN, err); }
    if (!st) { st = lorac_job_adapter_outline(&outline, j, err); }
    if (!st) { st = lorac_job_adapter(&a, j, err); }
    if (!st) { st = lorac_template_check(a, j, err); }
    if (!st) { st = lorac_template_save(a, j, err); }
    if (!st) { faults_say("%s", a->template_json); }
    lorac_adapter_free(outline);
    lorac_adapter_free(a);
    lorac_job_close(j);
    lorac_recipe_free(r);
    return st;
}

/* The folders of a model and an adapter, asked. */
static enum lorac_status ask(struct lorac_err *err)
{
    struct lorac_predictor *p = NULL;
    struct lorac_answer answer = {0};
    const char *text = "aab";
    enum lorac_status st =
        lorac_predictor_open(&p, tiny_path("model"), tiny_path("done/best"), err);
    if (!st) { st = lorac_predictor_ask(&answer, p, &text, 1, err); }
    if (!st) { faults_say("%zu %a", answer.ranked->k, answer.ranked->nll); }
    lorac_answer_free(&answer);
    lorac_predictor_free(p);
    return st;
}

/* A recipe, trained for a step. */
static enum lorac_status train(struct lorac_err *err)
{
    struct lorac_recipe *r = NULL;
    struct lorac_trainer *t = NULL;
    struct lorac_step s = {0};
    enum lorac_status st = open_recipe(&r, err);
    if (!st) { st = lorac_trainer_open_recipe(&t, r, err); }
    if (!st) { st = lorac_trainer_step(&s, t, err); }
    if (!st) { faults_say("%zu %a", s.steps, s.loss); }
    lorac_trainer_close(t);
    lorac_recipe_free(r);
    return st;
}

static enum lorac_status fewshot(struct lorac_err *err)
{
    const struct lorac_fewshot_options o = {.n = 2};
    struct lorac_recipe *r = NULL;
    struct lorac_job *j = NULL;
    struct lorac_fewshot f = {0};
    struct lorac_fewshot others = {0};
    size_t shared = 0;
    enum lorac_status st = open_recipe(&r, err);
    if (!st) { st = lorac_job_open(&j, r, LORAC_JOB_TRAIN | LORAC_JOB_VALID, err); }
    if (!st) { st = lorac_fewshot_open(&f, j, &j->valid, 1, &o, err); }
    if (!st) { st = lorac_fewshot_open(&others, j, &j->train, 1, &o, err); }
    if (!st) { st = lorac_dataset_shared(&shared, j->train.set, j->train.set, err); }
    if (!st) { faults_say("%zu %zu %zu", lorac_dataset_size(f.set), others.left_out, shared); }
    lorac_fewshot_close(&others);
    lorac_fewshot_close(&f);
    lorac_job_close(j);
    lorac_recipe_free(r);
    return st;
}

/* Was there nothing to take up in a run that has just begun? */
static enum lorac_status look_at_begun(struct lorac_err *err)
{
    struct lorac_run_paths p = {0};
    enum lorac_status st = lorac_run_paths(&p, tiny_path("begun"), err);
    if (!st) { st = lorac_manifest_unsaved(&p, err); }
    lorac_run_paths_free(&p);
    return st;
}

/* A run over an earlier one, with a merged checkpoint at its end; then it is taken up again. */
static enum lorac_status rerun(struct lorac_err *err)
{
    static const char *const sets[] = {"train.epochs=1", "train.batch_size=10", "eval.every=end",
                                       "output.merge=true", NULL};
    struct lorac_run_result r = {0};
    struct lorac_run_watch nobody = {0};
    struct lorac_recipe *recipe = NULL;
    struct lorac_recipe_set over[8];
    char dir[300];
    size_t n = 0;
    (void)snprintf(dir, sizeof dir, "output.dir=%s", tiny_path("rerun"));
    over[n++] = (struct lorac_recipe_set){dir, false};
    for (size_t i = 0; sets[i]; i++) {
        over[n++] = (struct lorac_recipe_set){sets[i], false};
    }
    enum lorac_status st =
        lorac_recipe_open(&recipe, tiny_path("done/recipe.resolved.yaml"), over, n, NULL, err);
    if (!st) { st = lorac_run(&r, recipe, LORAC_RUN_OVERWRITE, NULL, &nobody, err); }
    if (!st) { st = lorac_run(&r, recipe, LORAC_RUN_RESUME, NULL, &nobody, err); }
    if (!st) { st = look_at_begun(err); } // of what comes last each failure is met
    if (!st) { faults_say("%zu %a", r.step, r.best.loss); }
    lorac_recipe_free(recipe);
    return st;
}

/* ---- errors whose words take memory ---- */

static enum lorac_status no_column(struct lorac_err *err)
{
    struct lorac_table *t = NULL;
    size_t column = 0;
    enum lorac_status st = lorac_table_open(&t, tiny_path("train.csv"), NULL, err);
    if (!st) { st = lorac_table_column_find(&column, t, "lable", err); }
    lorac_table_close(t);
    return st;
}

static enum lorac_status no_variable(struct lorac_err *err)
{
    struct data d = {0};
    size_t n = 0;
    enum lorac_status st = open_data(&d, err);
    if (!st) { st = lorac_dataset_variable(&n, d.set, "txt", err); }
    close_data(&d);
    return st;
}

static enum lorac_status too_large(struct lorac_err *err)
{
    struct lorac_recipe *r = NULL;
    struct lorac_plan *p = NULL;
    enum lorac_status st = open_recipe(&r, err);
    if (!st) { st = lorac_plan_make(&p, r, NULL, err); }
    if (!st) { st = lorac_plan_fits(p, 1, err); }
    lorac_plan_free(p);
    lorac_recipe_free(r);
    return st;
}

static void an_error_stays_one_without_memory_for_its_words(void **state)
{
    (void)state;
    faults_complain(LORAC_EUSER, no_column);
    faults_complain(LORAC_EUSER, no_variable);
    faults_complain(LORAC_EUSER, too_large);
    faults_complain(LORAC_EUSER, alike);
}

/* ---- all of them ---- */

static void every_failure_is_reported_and_leaves_nothing_half_done(void **state)
{
    (void)state;
    static const struct faults_scenario all[] = {
        {"data", data, false, 3},
        {"recipe", recipe, true, 3},
        {"evaluate", evaluate, false, 11},
        {"predict labels", predict_labels, true, 11},
        {"predict text", predict_text, true, 11},
        {"predict on", predict_on, true, 11},
        {"labels", labels, false, 3},
        {"plan", plan, false, 11},
        {"init", init, false, 11},
        {"job", job, false, 3},
        {"ask", ask, false, 3},
        {"train", train, false, 11},
        {"fewshot", fewshot, false, 1},
        {"rerun", rerun, false, 23},
    };
    faults_meet(all, sizeof all / sizeof *all);
}

static int make(void **state)
{
    char test[300];
    (void)snprintf(test, sizeof test, "data.test=%s", tiny_path("valid.csv"));
    const char *const all[] = {"train.epochs=1", test, "output.keep=[best]", NULL};
    int failed = runs_make(state);
    if (!failed) {
        runs_well("done", LORAC_RUN_NEW, NULL, all);
        assert_int_equal(lorac_dir_make(tiny_path("begun"), NULL), LORAC_OK);
        tiny_text("begun/run.json", "{\"status\": \"running\"}");
        static const char wide[] =
            "\377\376t\0e\0x\0t\0;\0n\0\n\0s\0o\0;\0001\0\n\0i\0t\0;\0002\0\n";
        assert_int_equal(lorac_file_write(tiny_path("wide.csv"), wide, sizeof wide, NULL),
                         LORAC_OK);
        tiny_text("odd.csv",
                  "text,label\na,x\na,y\nb,X\nc,x\nd,y\ne,x\nf,X\ng,y\nh,x\ni,y\nj,x\nk,z\nl,z\n"
                  "m,z\nn,z\no,z\n");
        tiny_text("odder.csv", "text,label\na,y\nq,w\n");
        tiny_text("alike.csv", "text,label\na,good\nq,Bad\n");
    }
    return failed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failure_is_reported_and_leaves_nothing_half_done),
        cmocka_unit_test(an_error_stays_one_without_memory_for_its_words),
    };
    return cmocka_run_group_tests_name("faults", tests, make, runs_remove);
}
