/*
 * Recipes with a head. What is promised:
 *   - with each objective a few steps learn a rule of one letter: of decoders, and whether adapters
 *     train beside the head or the head alone, over rows that are kept;
 *   - what a head trains on is the loss that it says, and its gradient that loss's derivative;
 *   - labels stand in the order of the map, of the checkpoint's own head, or sorted, numbers as
 *     numbers; weights are those of the training rows;
 *   - numbers come back in their own unit; an adapter that is trained on keeps its own;
 *   - logits are those that the loss is of, for texts as for words;
 *   - what cannot be meant is refused with its place; each failure is reported.
 */
#include "recipes/run/heads.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/logits.h"
#include "recipes/run/saved_template.h"
#include "recipes/run/setup.h"
#include "recipes/run/trainer.h"
#include "tests/support/faults.h"
#include "tests/support/near.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 24 };

static void check(enum lorac_status st, const struct lorac_err *err)
{
    if (st) { fail_msg("%s", err->text); }
}

/* Rows whose targets follow from their letters. */
static int make_all(void **state)
{
    static const char *const name[] = {"no", "yes"};
    struct lorac_buf one = {0};
    struct lorac_buf many = {0};
    struct lorac_buf number = {0};
    struct lorac_buf words = {0};
    tiny_model(state);
    lorac_buf_str(&one, "text,label\n");
    lorac_buf_str(&many, "text,label\n");
    lorac_buf_str(&number, "text,label\n");
    lorac_buf_str(&words, "text,label\n");
    for (int i = 0; i < ROWS; i++) {
        int a = i % 2;
        int b = i / 2 % 2;
        lorac_buf_printf(&one, "%d%c,%s\n", i % 5, a ? 'q' : 'z', name[a]);
        lorac_buf_printf(&many, "%d%c%c,x%s%s\n", i % 5, b ? 'k' : 'v', a ? 'q' : 'z',
                         a ? ";q" : "", b ? ";k" : "");
        lorac_buf_printf(&number, "%d%c,%d\n", i % 5, a ? 'q' : 'z', 100 + 20 * a);
        lorac_buf_printf(&words, "%c%c %c,no %s\n", 'a' + i % 5, a ? 'q' : 'z', b ? 'k' : 'v',
                         name[a]); // a row sees what stands before it
    }
    tiny_text("classify.csv", one.at);
    tiny_text("multilabel.csv", many.at);
    tiny_text("regress.csv", number.at);
    tiny_text("tag.csv", words.at);
    lorac_buf_free(&one);
    lorac_buf_free(&many);
    lorac_buf_free(&number);
    lorac_buf_free(&words);
    return 0;
}

static const char *const objectives[] = {"classify", "multilabel", "regress", "tag"};
enum { N_OBJECTIVES = 4 };

/* The recipe of an objective, and what a test sets; @ stands for the folder. */
static struct lorac_recipe *recipe(const char *objective, const char *const *sets, size_t n)
{
    struct lorac_recipe_set all[4];
    struct lorac_buf set[4] = {0};
    struct lorac_recipe *r = NULL;
    struct lorac_err err = {0};
    char text[600];
    for (size_t i = 0; i < n; i++) {
        const char *at = strchr(sets[i], '@');
        lorac_buf_add(&set[i], sets[i], at ? (size_t)(at - sets[i]) : strlen(sets[i]));
        if (at) { lorac_buf_printf(&set[i], "%s/%s", tiny_dir(), at + 1); }
        all[i] = (struct lorac_recipe_set){set[i].at, false};
    }
    int size = snprintf(text, sizeof text,
                        "recipe: 1\nmodel: {path: model, max_length: 32}\n"
                        "data: {train: %s.csv, valid: %s.csv, labels: label}\n"
                        "objective: %s\ntrain: {epochs: 10, batch_size: 6}\n"
                        "optimizer: {lr: 2e-2}\noutput: {dir: out}\n",
                        objective, objective, objective);
    check(lorac_recipe_parse(&r, text, (size_t)size, "r.yaml", tiny_dir(), all, n, NULL, &err),
          &err);
    for (size_t i = 0; i < n; i++) {
        lorac_buf_free(&set[i]);
    }
    return r;
}

static struct lorac_job *job(struct lorac_recipe *r, unsigned parts)
{
    struct lorac_job *j = NULL;
    struct lorac_err err = {0};
    check(lorac_job_open(&j, r, parts, &err), &err);
    return j;
}

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

/* With rows kept or not, the same but for rounding: and so for a head alone. */
static void a_head_alone_trains_on_kept_rows(void **state)
{
    (void)state;
    static const char *const with[] = {"adapter.method=none", "train.cache_frozen_prefix=on"};
    static const char *const without[] = {"adapter.method=none", "train.cache_frozen_prefix=off"};
    static const char *const last[] = {"adapter.layers=last:1", "train.cache_frozen_prefix=on"};
    static const char *const all[] = {"adapter.layers=last:1", "train.cache_frozen_prefix=off"};
    const char *const *const ways[][2] = {{with, without}, {last, all}};
    for (size_t k = 0; k < N_OBJECTIVES; k++) {
        for (size_t w = 0; w < 2; w++) {
            double a = train(objectives[k], ways[w][0], 2);
            double b = train(objectives[k], ways[w][1], 2);
            if (fabs(a - b) > 1e-4 * (1.0 + b)) { fail_msg("%s: %g, %g", objectives[k], a, b); }
        }
    }
}

/* ---- the loss ---- */

/* A micro-batch of an objective, ready to run. */
struct scene {
    struct lorac_recipe *r;
    struct lorac_job *j;
    struct lorac_adapter *a;
    struct lorac_socket socket;
    struct lorac_loader *l;
    struct lorac_batch *b;
    struct lorac_pass *p;
    float *nll, *host;
};

static void open_scene(struct scene *s, const char *objective, const char *const *sets, size_t n)
{
    struct lorac_err err = {0};
    const uint32_t *examples = NULL;
    size_t some = 0;
    *s = (struct scene){.r = recipe(objective, sets, n)};
    s->j = job(s->r, LORAC_JOB_TRAIN);
    check(lorac_job_adapter(&s->a, s->j, &err), &err);
    check(lorac_adapter_reserve(s->a, &err), &err);
    struct lorac_loader_options o = lorac_setup_loader(s->j);
    check(lorac_loader_open(&s->l, s->j->train.set, &o, &err), &err);
    check(lorac_batch_new(&s->b, lorac_loader_max_rows(s->l), lorac_loader_max_segments(s->l),
                          lorac_loader_max_targets(s->l), &err),
          &err);
    check(lorac_loader_next(s->l, s->b, &examples, &some, &err), &err);
    s->socket = lorac_adapter_socket(s->a);
    const struct lorac_pass_options p = {.max_rows = lorac_loader_max_rows(s->l),
                                         .keep = LORAC_KEEP_ALL};
    check(lorac_pass_new(&s->p, s->j->model, &s->socket, &p, &err), &err);
    s->nll = lorac_mem_new(lorac_loader_max_targets(s->l), sizeof *s->nll);
    s->host = lorac_mem_new(s->a->n_params, sizeof *s->host);
    assert_true(s->nll && s->host);
    s->j->dev.ops->read(&s->j->dev, s->host, s->a->params, s->a->n_params * sizeof *s->host);
}

static void close_scene(struct scene *s)
{
    lorac_mem_free(s->nll);
    lorac_mem_free(s->host);
    lorac_pass_free(s->p);
    lorac_batch_free(s->b);
    lorac_loader_close(s->l);
    lorac_adapter_free(s->a);
    lorac_job_close(s->j);
    lorac_recipe_free(s->r);
}

/* sum_t weight[t] loss[t], of s->host. */
static double loss_of(void *context)
{
    struct scene *s = context;
    struct lorac_err err = {0};
    double sum = 0.0;
    s->j->dev.ops->write(&s->j->dev, s->a->params, s->host, s->a->n_params * sizeof *s->host);
    check(lorac_adapter_refresh(s->a, &err), &err);
    check(lorac_pass_forward(s->p, s->b, NULL, &err), &err);
    lorac_pass_loss(s->p, s->b, s->nll, false);
    for (size_t t = 0; t < s->b->T; t++) {
        sum += (double)s->b->weight[t] * (double)s->nll[t];
    }
    return sum;
}

/* The settings of an objective that has them. */
static size_t settings(size_t k)
{
    static const size_t n[] = {2, 1, 0, 2};
    return n[k];
}

static const char *const *weights_of(size_t k)
{
    static const char *const of_x[] = {"objective.class_weights={x: 3}"};
    static const char *const of_yes[] = {"objective.class_weights={yes: 2.5}",
                                         "objective.label_smoothing=0.2"};
    return k == 1 ? of_x : of_yes;
}

static void the_gradient_is_the_losss_derivative(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_OBJECTIVES; k++) {
        struct scene s;
        open_scene(&s, objectives[k], weights_of(k), settings(k));
        struct lorac_device *dev = &s.j->dev;
        size_t n = s.a->n_params;
        float *grads = lorac_mem_new(n, sizeof *grads);
        assert_non_null(grads);
        for (size_t i = 0; i < n; i++) { // B as well: nothing is zero
            s.host[i] += 0.05F * sinf((float)i);
        }
        (void)loss_of(&s);
        lorac_pass_loss(s.p, s.b, s.nll, true);
        lorac_pass_backward(s.p, s.b);
        dev->ops->read(dev, grads, s.a->grads, n * sizeof *grads);
        size_t head = s.a->full[0].n; // matrices: pairs first, then the head's
        size_t at = (size_t)(s.a->full[0].p - s.a->params);
        near_gradient("the head", loss_of, &s, s.host + at, grads + at, head, 2e-2, 2e-2);
        near_gradient("a pair", loss_of, &s, s.host, grads, 24, 2e-2, 2e-2);
        lorac_mem_free(grads);
        close_scene(&s);
    }
}

/* What a target's loss is of its row's logits z, written out. */
static double by_hand(const struct lorac_batch *b, size_t t, const float *z, size_t K)
{
    double zk = (double)z[b->target[t]];
    double v = (double)b->value[t];
    double sum = 0.0;
    if (b->loss == LORAC_LOSS_SQUARED) { return (zk - v) * (zk - v); }
    if (b->loss == LORAC_LOSS_BINARY) {
        double p = 1.0 / (1.0 + exp(-zk));
        return v > 0.5 ? -log(p) : -log(1.0 - p);
    }
    for (size_t k = 0; k < K; k++) {
        sum += exp((double)z[k]);
    }
    return log(sum) - zk;
}

static void the_loss_is_what_it_says_of_the_logits(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_OBJECTIVES; k++) {
        struct scene s;
        open_scene(&s, objectives[k], weights_of(k), settings(k));
        size_t K = s.j->model->config.Z;
        float *z = lorac_mem_new(s.b->U * K, sizeof *z);
        assert_non_null(z);
        (void)loss_of(&s);
        lorac_pass_logits(s.p, s.b, z);
        assert_int_equal(K, k == 2 ? 1 : k == 1 ? 3 : 2);
        for (size_t u = 0; u < s.b->U; u++) {
            for (size_t t = s.b->first[u]; t < s.b->first[u + 1]; t++) {
                double want = by_hand(s.b, t, z + u * K, K);
                assert_true(fabs((double)s.nll[t] - want) < 1e-5 * (1.0 + want));
            }
        }
        lorac_mem_free(z);
        close_scene(&s);
    }
}

/* ---- logits ---- */

struct sums {
    const struct scene *s;
    double loss, targets;
    size_t next;
};

static bool add_example(void *self, size_t i, const struct lorac_example *e, const float *z,
                        size_t rows)
{
    struct sums *x = self;
    const struct lorac_job *j = x->s->j;
    size_t K = j->model->config.Z;
    size_t row = 0;
    assert_int_equal(i, x->next++);
    for (size_t t = 0; t < e->labels.n && lorac_job_objective(j)->target == LORAC_TARGET_TAGS;
         t++) {
        if (e->labels.at[t] < 0) { continue; }
        double sum = 0.0;
        for (size_t k = 0; k < K; k++) {
            sum += exp((double)z[row * K + k]);
        }
        x->loss += log(sum) - (double)z[row++ * K + (size_t)e->labels.at[t]];
        x->targets += 1.0;
    }
    assert_true(rows == (row ? row : 1));
    if (lorac_job_objective(j)->target == LORAC_TARGET_NUMBER) {
        double off = (double)z[0] - (e->number - j->frame.mean) / j->frame.deviation;
        x->loss += off * off;
        x->targets += 1.0;
    }
    return true;
}

static void logits_are_those_that_the_loss_is_of(void **state)
{
    (void)state;
    for (size_t k = 2; k < N_OBJECTIVES; k++) {
        struct scene s;
        struct lorac_err err = {0};
        struct lorac_logits *l = NULL;
        struct lorac_evaluator *e = NULL;
        struct lorac_scores scores;
        open_scene(&s, objectives[k], NULL, 0);
        struct sums x = {.s = &s};
        const struct lorac_dataset *set = s.j->valid.set;
        check(lorac_logits_new(&l, s.j->model, &s.socket, 32, &err), &err);
        assert_int_equal(lorac_logits_width(l), s.j->model->config.Z);
        check(lorac_logits_all(l, set, 0, lorac_dataset_size(set), add_example, &x, &err), &err);
        assert_int_equal(x.next, ROWS);
        check(lorac_job_evaluator(&e, s.j, set, 1U << LORAC_METRIC_LOSS, &s.socket, &err), &err);
        check(lorac_evaluate(&scores, e, NULL, NULL, &err), &err);
        assert_true(fabs(scores.loss - x.loss / x.targets) < 1e-5);
        lorac_evaluator_free(e);
        lorac_logits_free(l);
        assert_int_equal(lorac_logits_new(&l, s.j->model, NULL, 32, &err), LORAC_EUSER);
        assert_non_null(strstr(err.text, "has no module 'score' of the head, and no adapter"));
        close_scene(&s);
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

/* ---- refused ---- */

static void what_cannot_be_meant_has_a_place(void **state)
{
    (void)state;
    static const char *const split[] = {"data.valid=@v.csv"};
    static const char *const same[] = {"data.train=@same.csv"};
    static const char *const columns[] = {"data.train=@three.csv"};
    static const char *const comma[] = {"data.train=@comma.csv"};
    static const char *const one[] = {"data.train=@one.csv"};
    static const char *const column[] = {"data.labels=lable"};
    tiny_text("v.csv", "text,label\na,yes\nb,maybe\n");
    tiny_text("same.csv", "text,label\na,3\nb,3.0\n");
    tiny_text("three.csv", "text,more,label\na,b,yes\n");
    tiny_text("comma.csv", "text,label\na,\"x,y\"\nb,\"y,z\"\nc,\"x\"\n");
    tiny_text("one.csv", "text,label\na,yes\nb,yes\n");
    expect_refused("classify", split, 1,
                   "DIR/v.csv:3: column 'label' holds 'maybe', expected a label of the training "
                   "rows: no, yes (1 such row; labels.unknown: skip leaves them out)");
    expect_refused("regress", same, 1,
                   "DIR/same.csv: column 'label' holds the same number, 3, in all training rows: "
                   "there is nothing to learn");
    expect_refused("classify", columns, 1,
                   "template.prompt: missing; what does the head read? Beside {label} there are "
                   "{text}, {more}");
    expect_refused("multilabel", comma, 1,
                   "data.labels: most of the 3 labels of column 'label' hold ',', as 'x,y'; are "
                   "these several labels (data.labels.separator: ',', it is ';')?");
    expect_refused("classify", one, 1,
                   "data.labels: column 'label' of the training rows holds 1 label, expected 2 or "
                   "more");
    expect_refused(
        "classify", column, 1,
        "data.labels: DIR/classify.csv: no column 'lable' (did you mean 'label'?); there "
        "are 'text', 'label'");
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
        cmocka_unit_test(a_head_alone_trains_on_kept_rows),
        cmocka_unit_test(the_gradient_is_the_losss_derivative),
        cmocka_unit_test(the_loss_is_what_it_says_of_the_logits),
        cmocka_unit_test(logits_are_those_that_the_loss_is_of),
        cmocka_unit_test(labels_have_an_order),
        cmocka_unit_test(weights_are_those_of_the_training_rows),
        cmocka_unit_test(numbers_keep_their_unit),
        cmocka_unit_test(what_is_trained_on_has_its_labels_in_their_order),
        cmocka_unit_test(what_cannot_be_meant_has_a_place),
        cmocka_unit_test(each_failure_is_reported),
    };
    return cmocka_run_group_tests_name("recipes with a head", tests, make_all, tiny_remove);
}
