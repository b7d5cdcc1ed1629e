/*
 * Recipes with a head. What is promised:
 *   - with each objective a few steps learn a rule of one letter, of decoders and of encoders;
 *     whether adapters train beside the head or the head alone, over rows that are kept;
 *   - labels stand in the order of the map, of the checkpoint's own head, or sorted, numbers as
 *     numbers; weights are those of the training rows;
 *   - numbers come back in their own unit; an adapter that is trained on keeps its own, and so does
 *     a checkpoint's head; an answer of numbers that ran over is an error;
 *   - answers of another threshold or pair are not gone on with;
 *   - a run that was stopped ends with the bytes of one that was not;
 *   - what cannot be meant is refused with its place; each failure is reported.
 */
#include "tests/recipes/run/heads.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/logits.h"
#include "recipes/run/predict.h"
#include "recipes/run/predictor.h"
#include "recipes/run/saved_template.h"
#include "recipes/run/shared.h"
#include "recipes/run/trainer.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"

#include <math.h>

static void expect_refused(const char *objective, const char *const *sets, size_t n,
                           const char *want)
{
    struct lorac_recipe *r = recipe(objective, sets, n);
    struct lorac_job *j = NULL;
    struct lorac_err err = {0};
    struct lorac_buf whole = {0};
    const char *at = strstr(want, "DIR");
    lorac_buf_add(&whole, want, at ? (size_t)(at - want) : strlen(want));
    if (at) { lorac_buf_printf(&whole, "%s%s", tiny_dir(), at + 3); }
    assert_int_not_equal(lorac_job_open(&j, r, LORAC_JOB_TRAIN, &err), LORAC_OK);
    assert_string_equal(err.text, whole.at);
    lorac_buf_free(&whole);
    lorac_recipe_free(r);
}

/* ---- training ---- */

/* All steps. Returns the loss of the validation rows behind them. */
static double train(const char *objective, const char *const *sets, size_t n)
{
    struct lorac_recipe *r = recipe(objective, sets, n);
    struct lorac_trainer *t = NULL;
    struct lorac_scores scores;
    struct lorac_err err = {0};
    bool best = false;
    check(lorac_trainer_open_recipe(&t, r, &err), &err);
    while (!lorac_trainer_done(t)) {
        struct lorac_step s;
        check(lorac_trainer_step(&s, t, &err), &err);
    }
    check(lorac_trainer_evaluate(&scores, &best, t, NULL, NULL, &err), &err);
    check(lorac_trainer_save(t, tiny_path("out"), NULL, &err), &err);
    lorac_trainer_close(t);
    lorac_recipe_free(r);
    return scores.loss;
}

static void each_objective_learns_a_rule(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_OBJECTIVES; k++) {
        double loss = train(objectives[k], NULL, 0);
        if (loss > 0.1) { fail_msg("%s: %g", objectives[k], loss); }
    }
}

static const char *const encoder[] = {"model.path=@encoder", "train.epochs=30"};

static void encoders_learn_it_too(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_OBJECTIVES; k++) {
        double loss = train(objectives[k], encoder, 2);
        if (loss > 0.1) { fail_msg("%s: %g", objectives[k], loss); }
    }
}

/* Are both texts of one kind? Their order says nothing, and neither does one of them alone. */
static void encoders_compare_pairs(void **state)
{
    (void)state;
    static const char *const pairs[] = {"model.path=@encoder",   "data.train=@pairs.csv",
                                        "data.valid=@pairs.csv", "template.prompt='{a}'",
                                        "template.pair='{b}'",   "train.epochs=40"};
    struct lorac_buf text = {0};
    lorac_buf_str(&text, "a,b,label\n");
    for (int i = 0; i < 20; i++) {
        int a = i % 2;
        int b = i / 2 % 2;
        lorac_buf_printf(&text, "%c,%c,%s\n", a ? 'q' : 'z', b ? 'q' : 'z', a == b ? "y" : "n");
    }
    tiny_text("pairs.csv", text.at);
    lorac_buf_free(&text);
    double loss = train("classify", pairs, 6);
    if (loss > 0.1) { fail_msg("%g", loss); }
}

/* With rows kept or not, the same but for rounding: and so for a head alone. */
static void a_head_alone_trains_on_kept_rows(void **state)
{
    (void)state;
    static const char *const with[] = {"adapter.method=none", "train.cache_frozen_prefix=on"};
    static const char *const without[] = {"adapter.method=none", "train.cache_frozen_prefix=off"};
    static const char *const last[] = {"adapter.layers=last:1", "train.cache_frozen_prefix=on",
                                       "model.path=@encoder"};
    static const char *const all[] = {"adapter.layers=last:1", "train.cache_frozen_prefix=off",
                                      "model.path=@encoder"};
    const char *const *const ways[][2] = {{with, without}, {last, all}};
    for (size_t k = 0; k < N_OBJECTIVES; k++) {
        for (size_t w = 0; w < 2; w++) {
            double a = train(objectives[k], ways[w][0], 2 + w);
            double b = train(objectives[k], ways[w][1], 2 + w);
            if (fabs(a - b) > 1e-4 * (1.0 + b)) { fail_msg("%s: %g, %g", objectives[k], a, b); }
        }
    }
}

/* ---- labels ---- */

static void expect_labels(const char *objective, const char *const *sets, size_t n,
                          const char *want)
{
    struct lorac_recipe *r = recipe(objective, sets, n);
    struct lorac_job *j = job(r, LORAC_JOB_TRAIN | LORAC_JOB_NO_MODEL);
    struct lorac_buf all = {0};
    for (size_t k = 0; k < j->K; k++) {
        lorac_buf_printf(&all, "%s%s", k ? " " : "", j->labels[k]);
    }
    assert_string_equal(all.at, want);
    lorac_buf_free(&all);
    lorac_job_close(j);
    lorac_recipe_free(r);
}

static void labels_have_an_order(void **state)
{
    (void)state;
    static const char *const map[] = {"data.labels.map={yes: true, no: false}"};
    static const char *const numbers[] = {"data.train=@n.csv", "data.valid=@n.csv"};
    tiny_text("n.csv", "text,label\na,10\nb,9\nc,10\nd,-1\ne,9\nf,-1\n");
    expect_labels("classify", NULL, 0, "no yes");
    expect_labels("classify", map, 1, "true false");
    expect_labels("classify", numbers, 2, "-1 9 10");
    expect_labels("multilabel", NULL, 0, "k q x");
    expect_labels("tag", NULL, 0, "no yes");
    tiny_edit("model/config.json", "LlamaForCausalLM", "LlamaForSequenceClassification");
    tiny_edit("model/config.json", "\"hidden_size\"",
              "\"id2label\": {\"0\": \"yes\", \"1\": \"no\"}, \"hidden_size\"");
    expect_labels("classify", NULL, 0, "yes no");
    static const char *const fewer[] = {"data.labels.map={yes: yes, no: maybe}"};
    expect_refused("classify", fewer, 1,
                   "DIR/model: its head is for 2 labels, as 'no', and column 'label' has 2, as "
                   "'yes'; data.labels.map gives the cells those names (a base without a head gets "
                   "a new one)");
    tiny_edit("model/config.json", "\"1\": \"no\"", "\"1\": \"yes\"");
    expect_refused("classify", NULL, 0,
                   "DIR/model/config.json: id2label: outputs 0 and 1 are both 'yes', expected a "
                   "name for each");
    tiny_edit("model/config.json", "\"1\": \"yes\"", "\"1\": \"no\"");
    tiny_edit("model/config.json", "\"0\": \"yes\", \"1\": \"no\"",
              "\"0\": \"LABEL_0\", \"1\": \"LABEL_1\", \"2\": \"LABEL_2\"");
    expect_refused("classify", NULL, 0, "DIR/model: its head has 3 labels, asked for are 2");
    tiny_model(state);
}

static void weights_are_those_of_the_training_rows(void **state)
{
    (void)state;
    static const char *const sets[] = {"data.train=@w.csv", "data.valid=@w.csv",
                                       "objective.class_weights=balanced"};
    static const char *const odd[] = {"objective.class_weights={yse: 2}"};
    tiny_text("w.csv", "text,label\na,x\nb,x\nc,x\nd,y\n");
    for (size_t k = 0; k < 2; k++) { // of multilabel rows without it / with it
        struct lorac_recipe *r = recipe(objectives[k], sets, 3);
        struct lorac_job *j = job(r, LORAC_JOB_TRAIN | LORAC_JOB_NO_MODEL);
        assert_true(fabs((double)j->label_weight[0] - (k ? 1.0 / 3.0 : 4.0 / 6.0)) < 1e-6);
        assert_true(fabs((double)j->label_weight[1] - (k ? 3.0 : 2.0)) < 1e-6);
        lorac_job_close(j);
        lorac_recipe_free(r);
    }
    expect_refused("classify", odd, 1,
                   "objective.class_weights: 'yse' is none of the 2 labels (did you mean 'yes'?)");
}

/* ---- numbers, and adapters that are trained on ---- */

static void numbers_keep_their_unit(void **state)
{
    (void)state;
    static const char *const other[] = {"data.train=@other.csv", "data.valid=@other.csv"};
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    assert_true(train("regress", NULL, 0) < 0.1); // rows of 100 and 120
    tiny_text("other.csv", "text,label\naz,1\naq,5\n");
    struct lorac_recipe *r = recipe("regress", other, 2);
    struct lorac_job *j = job(r, LORAC_JOB_TRAIN);
    assert_true(fabs(j->frame.mean - 3.0) < 1e-9 && fabs(j->frame.deviation - 2.0) < 1e-9);
    check(lorac_peft_load(&a, j->model, tiny_path("out"), false, &err), &err);
    check(lorac_head_take(j, a, &err), &err);
    assert_true(fabs(j->frame.mean - 110.0) < 1e-9 && fabs(j->frame.deviation - 10.0) < 1e-9);
    lorac_adapter_free(a);
    lorac_job_close(j);
    lorac_recipe_free(r);
}

static struct lorac_target_frame frame_of(const char *const *sets, size_t n)
{
    struct lorac_recipe *r = recipe("regress", sets, n);
    struct lorac_job *j = job(r, LORAC_JOB_TRAIN);
    const struct lorac_target_frame f = *lorac_dataset_frame(j->train.set);
    lorac_job_close(j);
    lorac_recipe_free(r);
    return f;
}

/* What the adapter in out/ makes of the model, as a checkpoint of its own. */
static void merge_out(void)
{
    struct lorac_recipe *r = recipe("regress", NULL, 0);
    struct lorac_job *j = job(r, LORAC_JOB_TRAIN);
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    check(lorac_peft_load(&a, j->model, tiny_path("out"), false, &err), &err);
    struct lorac_stack stack = {.n = 1, .adapter = {a}, .factor = {1.0F}};
    check(lorac_dir_remove(tiny_path("merged"), &err), &err);
    check(lorac_merge(tiny_path("merged"), j->model, &stack, NULL, &err), &err);
    lorac_adapter_free(a);
    lorac_job_close(j);
    lorac_recipe_free(r);
}

static void numbers_of_a_checkpoint_keep_their_unit(void **state)
{
    (void)state;
    static const char *const sets[] = {"model.path=@merged", "data.train=@other.csv",
                                       "data.valid=@other.csv"};
    (void)train("regress", NULL, 0); // rows of 100 and 120
    tiny_text("other.csv", "text,label\naz,1\naq,5\n");
    merge_out();
    struct lorac_target_frame f = frame_of(sets, 3);
    assert_true(fabs(f.mean - 110.0) < 1e-9 && fabs(f.deviation - 10.0) < 1e-9);
    size_t n = 0;
    char *config = tiny_read(tiny_path("merged/config.json"), &n);
    for (char *at = config; (at = strstr(at, "\"target_")); at++) {
        at[1] = 'o'; // another program tells nothing: they are as they are
    }
    tiny_text("merged/config.json", config);
    lorac_mem_free(config);
    f = frame_of(sets, 3);
    assert_true(f.mean == 0.0 && f.deviation == 1.0);
}

/* A job that others lend to, and one whose rows are in the unit of the adapter that it begins
 * with. */
static void what_runs_share_is_not_an_adapters_unit(void **state)
{
    (void)state;
    static const char *const sets[] = {"data.train=@other.csv", "data.valid=@other.csv",
                                       "adapter.from=@out"};
    struct lorac_shared *shared = NULL;
    struct lorac_recipe *r[2];
    struct lorac_job *j[2];
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    (void)train("regress", NULL, 0); // rows of 100 and 120
    tiny_text("other.csv", "text,label\naz,1\naq,5\n");
    check(lorac_shared_new(&shared, 0, &err), &err);
    for (size_t i = 0; i < 2; i++) {
        r[i] = recipe("regress", sets, 2 + i);
        check(lorac_shared_job(&j[i], shared, r[i], &err), &err);
    }
    check(lorac_job_adapter(&a, j[1], &err), &err);
    check(lorac_template_from(j[1], a, &err), &err);
    assert_true(fabs(lorac_dataset_frame(j[1]->train.set)->mean - 110.0) < 1e-9);
    assert_true(fabs(lorac_dataset_frame(j[0]->train.set)->mean - 3.0) < 1e-9);
    assert_non_null(lorac_shared_rows(shared, j[0]));
    assert_null(lorac_shared_rows(shared, j[1])); // which go with it
    lorac_adapter_free(a);
    for (size_t i = 0; i < 2; i++) {
        lorac_job_close(j[i]);
    }
    lorac_shared_free(shared);
    lorac_recipe_free(r[0]);
    lorac_recipe_free(r[1]);
}

static bool one_row(void *self, double done)
{
    (void)self;
    return !(done > 0.0);
}

static void other_answers_are_not_gone_on_with(void **state)
{
    (void)state;
    static const char *const sets[] = {"template.prompt='{text}'", "eval.threshold=0.9",
                                       "template.pair='{text}'"};
    tiny_text("in.csv", "text\naz\naq\n");
    for (size_t i = 0; i < 4; i++) { // the first is stopped, and gone on with in the end
        const char *const both[] = {sets[0], i % 3 ? sets[i] : sets[0]};
        struct lorac_recipe *r = recipe("multilabel", both, 2);
        struct lorac_job *j = job(r, LORAC_JOB_TRAIN);
        struct lorac_adapter *a = NULL;
        struct lorac_err err = {0};
        check(lorac_job_adapter(&a, j, &err), &err);
        const struct lorac_socket socket = lorac_adapter_socket(a);
        char *in = lorac_path_join(tiny_dir(), "in.csv");
        const struct lorac_predict_options o = {.in = in,
                                                .out = tiny_path("out.csv"),
                                                .max_tokens = 1,
                                                .progress = i ? NULL : one_row,
                                                .resume = i > 0};
        struct lorac_predicted counts;
        enum lorac_status st = lorac_predict(&counts, j, &socket, &o, &err);
        if (i % 3) {
            assert_int_equal(st, LORAC_EUSER);
            assert_non_null(strstr(err.text, "holds answers of another model"));
        } else {
            check(st, &err);
            assert_true(i ? counts.resumed == 1 && counts.rows == 2 : counts.stopped);
        }
        lorac_mem_free(in);
        lorac_adapter_free(a);
        lorac_job_close(j);
        lorac_recipe_free(r);
    }
}

/* Whatever an objective's answer is: a label, several, a number, tags. */
static void an_answer_of_what_ran_over_is_refused(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_OBJECTIVES; k++) {
        struct lorac_recipe *r = recipe(objectives[k], NULL, 0);
        struct lorac_job *j = job(r, LORAC_JOB_TRAIN);
        struct lorac_adapter *a = NULL;
        struct lorac_predictor *p = NULL;
        struct lorac_answer answer = {0};
        const char *text = "az k";
        struct lorac_err err = {0};
        check(lorac_job_adapter(&a, j, &err), &err);
        const struct lorac_socket socket = lorac_adapter_socket(a);
        check(lorac_predictor_new(&p, j, &socket, 8, &err), &err);
        check(lorac_predictor_ask(&answer, p, &text, 1, &err), &err);
        float *host = lorac_mem_new(a->n_params, sizeof *host);
        assert_non_null(host);
        for (size_t i = 0; i < a->n_params; i++) {
            host[i] = i % 2 ? 3e38F : -3e38F;
        }
        j->dev.ops->write(&j->dev, a->params, host, a->n_params * sizeof *host);
        check(lorac_adapter_refresh(a, &err), &err);
        assert_int_equal(lorac_predictor_ask(&answer, p, &text, 1, &err), LORAC_EFORMAT);
        assert_string_equal(err.text, "what the head gives is not finite: are the weights or the "
                                      "adapter damaged?");
        lorac_mem_free(host);
        lorac_answer_free(&answer);
        lorac_predictor_free(p);
        lorac_adapter_free(a);
        lorac_job_close(j);
        lorac_recipe_free(r);
    }
}

static void what_is_trained_on_has_its_labels_in_their_order(void **state)
{
    (void)state;
    static const char *const from[] = {"adapter.from=@out", "train.epochs=1"};
    static const char *const turned[] = {"adapter.from=@out", "data.labels.map={yes: yes, no: no}"};
    (void)train("classify", NULL, 0);
    assert_true(train("classify", from, 2) < 0.1);
    struct lorac_recipe *r = recipe("classify", turned, 2);
    struct lorac_trainer *t = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_trainer_open_recipe(&t, r, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "output 0 of its head is for the label 'no', and for 'yes' "
                                     "here: the same labels in another order"));
    lorac_recipe_free(r);
}

/* A run that is stopped after a few steps goes on to the bytes of one that was not: what labels
 * weigh, the numbers' mean and deviation and the rows that are kept are found anew. */
static void a_run_that_goes_on_ends_as_one_that_was_not_stopped(void **state)
{
    (void)state;
    const struct lorac_run_watch whole = {0};
    const struct lorac_run_watch cut = {.until = 7};
    static const char *const dirs[] = {"output.dir=@whole", "output.dir=@cut"};
    for (size_t k = 0; k < N_OBJECTIVES; k++) {
        const bool weighs = strcmp(objectives[k], "regress") != 0;
        for (size_t i = 0; i < 3; i++) {
            const char *const sets[] = {dirs[i > 0],
                                        "model.path=@encoder",
                                        "adapter.method=none",
                                        "train.epochs=4",
                                        "train.cache_frozen_prefix=on",
                                        "eval.every=3",
                                        "eval.metrics=[loss]",
                                        "objective.class_weights=balanced"};
            struct lorac_recipe *r = recipe(objectives[k], sets, 7 + weighs);
            struct lorac_run_result result;
            struct lorac_err err = {0};
            enum lorac_run_mode mode = i == 2 ? LORAC_RUN_RESUME : LORAC_RUN_OVERWRITE;
            check(lorac_run(&result, r, mode, NULL, i == 1 ? &cut : &whole, &err), &err);
            assert_true((result.end == LORAC_RUN_STOPPED) == (i == 1));
            lorac_recipe_free(r);
        }
        runs_same("whole", "cut");
    }
}

/* ---- refused ---- */

static void what_cannot_be_meant_has_a_place(void **state)
{
    (void)state;
    static const char *const split[] = {"data.valid=@v.csv"};
    static const char *const same[] = {"data.train=@same.csv"};
    static const char *const columns[] = {"data.train=@three.csv"};
    static const char *const comma[] = {"data.train=@comma.csv"};
    static const char *const both[] = {"data.train=@both.csv", "data.labels.separator='|'"};
    static const char *const list[] = {"data.train=@list.jsonl", "data.format=jsonl"};
    static const char *const one[] = {"data.train=@one.csv"};
    static const char *const column[] = {"data.labels=lable"};
    static const char *const far[] = {"data.train=@far.csv"};
    static const char *const threshold[] = {"eval.threshold=0.7", "data.train=@three_labels.csv",
                                            "data.valid=@three_labels.csv"};
    tiny_text("far.csv", "text,label\na,1e200\nb,-1e200\n");
    tiny_text("three_labels.csv", "text,label\na,x\nb,y\nc,z\n");
    tiny_text("v.csv", "text,label\na,yes\nb,maybe\n");
    tiny_text("same.csv", "text,label\na,3\nb,3.0\n");
    tiny_text("three.csv", "text,more,label\na,b,yes\n");
    tiny_text("comma.csv", "text,label\na,\"x,y\"\nb,\"y,z\"\nc,\"x\"\n");
    tiny_text("both.csv", "text,label\na,x|y; z\nb,x\n");
    tiny_text("list.jsonl", "{\"text\": \"a\", \"label\": [\"x;y\", \"z\"]}\n");
    tiny_text("one.csv", "text,label\na,yes\nb,yes\n");
    expect_refused("classify", split, 1,
                   "DIR/v.csv:3: column 'label' holds 'maybe', expected a label of the training "
                   "rows: no, yes (1 such row; labels.unknown: skip leaves them out)");
    expect_refused("regress", same, 1,
                   "DIR/same.csv: column 'label' holds the same number, 3, in all training rows: "
                   "there is nothing to learn");
    expect_refused("regress", far, 1,
                   "DIR/far.csv: the numbers in column 'label' lie too far apart for their "
                   "deviation to be computed");
    expect_refused("classify", threshold, 3,
                   "eval.threshold: 0.7 has no effect: it chooses between two labels, and column "
                   "'label' has 3");
    expect_refused("classify", columns, 1,
                   "template.prompt: missing; what does the head read? Beside {label} there are "
                   "{text}, {more}");
    expect_refused("multilabel", comma, 1,
                   "data.labels: most of the 3 labels of column 'label' hold ',', as 'x,y'; are "
                   "these several labels (data.labels.separator: ',', it is ';')?");
    expect_refused(
        "multilabel", both, 2,
        "data.labels: the label 'y; z' of column 'label' holds '; ', which stands between "
        "the labels of a row in predictions; data.labels.map gives it another name");
    expect_refused("multilabel", list, 2,
                   "data.labels: the label 'x;y' of column 'label' holds ';', which stands between "
                   "the labels of a row in predictions; data.labels.separator may be another, or "
                   "data.labels.map gives it another name");
    expect_refused("classify", one, 1,
                   "data.labels: column 'label' of the training rows holds 1 label, expected 2 or "
                   "more");
    expect_refused(
        "classify", column, 1,
        "data.labels: DIR/classify.csv: no column 'lable' (did you mean 'label'?); there "
        "are 'text', 'label'");
}

/* By name, by number, or under a variable's name. */
static void the_text_is_the_column_beside_the_targets(void **state)
{
    (void)state;
    static const char *const sets[][2] = {
        {"data.labels=label", "seed=1"},
        {"data.labels=2", "seed=1"},
        {"data.labels=label", "data.columns={text: text, of: label}"}};
    for (size_t i = 0; i < 3; i++) {
        struct lorac_recipe *r = recipe("classify", sets[i], 2);
        struct lorac_job *j = job(r, LORAC_JOB_TRAIN);
        assert_string_equal(j->texts.prompt, "{text}");
        lorac_job_close(j);
        lorac_recipe_free(r);
    }
}

static void an_encoder_shares_no_beginnings(void **state)
{
    (void)state;
    static const char *const sets[] = {"model.path=@encoder", "train.share_prefix=on"};
    struct lorac_recipe *r = recipe("classify", sets, 2);
    struct lorac_trainer *t = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_trainer_open_recipe(&t, r, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "each row of an encoder depends on its whole text"));
    lorac_recipe_free(r);
}

static enum lorac_status go(struct lorac_recipe *r, struct lorac_err *err)
{
    struct lorac_job *j = NULL;
    struct lorac_adapter *a = NULL;
    struct lorac_logits *l = NULL;
    enum lorac_status st = lorac_job_open(&j, r, LORAC_JOB_TRAIN, err);
    if (!st) { st = lorac_job_adapter(&a, j, err); }
    if (!st) { st = lorac_template_from(j, a, err); }
    if (!st) { st = lorac_head_take(j, a, err); }
    struct lorac_socket socket;
    if (!st) { socket = lorac_adapter_socket(a); }
    if (!st) { st = lorac_logits_new(&l, j->model, &socket, 32, err); }
    lorac_logits_free(l);
    lorac_adapter_free(a);
    lorac_job_close(j);
    return st;
}

static void each_failure_is_reported(void **state)
{
    (void)state;
    static const char *const map[] = {"data.labels.map={yes: y, no: n}",
                                      "objective.class_weights=balanced"};
    static const char *const none[] = {"adapter.method=none"};
    for (size_t k = 0; k < 3; k++) {
        struct lorac_recipe *r = k == 0   ? recipe("classify", map, 2)
                                 : k == 1 ? recipe("tag", none, 1)
                                          : recipe("regress", NULL, 0);
        size_t again = 0; // libcsv asks for less where it got nothing
        long n = 0;
        for (bool met = true; met; n = faults_next(n, 7)) {
            struct lorac_err err = {0};
            faults_start(FAULTS_MEMORY, n);
            enum lorac_status st = go(r, &err);
            met = faults_stop();
            again += met && !st;
            assert_int_equal(st, met && st ? LORAC_ENOMEM : LORAC_OK);
        }
        assert_true(again <= 12 && n > 100);
        lorac_recipe_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_objective_learns_a_rule),
        cmocka_unit_test(encoders_learn_it_too),
        cmocka_unit_test(encoders_compare_pairs),
        cmocka_unit_test(a_head_alone_trains_on_kept_rows),
        cmocka_unit_test(labels_have_an_order),
        cmocka_unit_test(weights_are_those_of_the_training_rows),
        cmocka_unit_test(numbers_keep_their_unit),
        cmocka_unit_test(numbers_of_a_checkpoint_keep_their_unit),
        cmocka_unit_test(what_runs_share_is_not_an_adapters_unit),
        cmocka_unit_test(other_answers_are_not_gone_on_with),
        cmocka_unit_test(an_answer_of_what_ran_over_is_refused),
        cmocka_unit_test(what_is_trained_on_has_its_labels_in_their_order),
        cmocka_unit_test(a_run_that_goes_on_ends_as_one_that_was_not_stopped),
        cmocka_unit_test(what_cannot_be_meant_has_a_place),
        cmocka_unit_test(the_text_is_the_column_beside_the_targets),
        cmocka_unit_test(an_encoder_shares_no_beginnings),
        cmocka_unit_test(each_failure_is_reported),
    };
    return cmocka_run_group_tests_name("recipes with a head", tests, make_all, tiny_remove);
}
