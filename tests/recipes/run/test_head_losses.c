/*
 * What a head is trained on. What is promised:
 *   - the loss of each objective is the one that it says of the logits, and what the backward pass
 *     gives is that loss's derivative, weighted and smoothed, too; a step's is their mean;
 *   - logits are those that the loss is of, for texts as for words; a head that nobody has trained
 *     gives none; what the configuration says is padding is passed over at a text's end.
 */
#include "tests/recipes/run/heads.h"

#include "base/core/mem.h"
#include "recipes/run/logits.h"
#include "recipes/run/setup.h"
#include "tests/support/near.h"

#include <math.h>

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

static void a_steps_loss_is_the_mean(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_OBJECTIVES; k++) {
        struct scene s;
        struct lorac_err err = {0};
        struct lorac_trainer *t = NULL;
        struct lorac_step step;
        open_scene(&s, objectives[k], weights_of(k), settings(k));
        double weight = -s.b->surplus;
        for (size_t i = 0; i < s.b->T; i++) {
            weight += (double)s.b->weight[i];
        }
        assert_true(k == 2 || fabs(s.b->surplus) > 1e-3);
        double want = loss_of(&s) / weight;
        check(lorac_trainer_open_recipe(&t, s.r, &err), &err);
        check(lorac_trainer_step(&step, t, &err), &err);
        assert_true(fabs(step.loss - want) < 1e-5 * want);
        assert_int_equal(step.trained, s.b->U); // rows, however many labels each is asked for
        lorac_trainer_close(t);
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

/* The last test: it changes the model's configuration. */
static void padding_behind_a_text_changes_nothing(void **state)
{
    (void)state;
    static const int32_t text[] = {5, 6, 7, 7};
    struct scene s;
    struct lorac_err err = {0};
    struct lorac_logits *l = NULL;
    size_t rows = 0;
    bool added = false;
    tiny_edit("model/config.json", "\"pad_token_id\": null", "\"pad_token_id\": 7");
    open_scene(&s, "regress", NULL, 0);
    assert_int_equal(s.j->frame.pad, 7 + 1);
    check(lorac_logits_new(&l, s.j->model, &s.socket, 32, &err), &err);
    for (size_t n = 2; n <= 4; n++) {
        check(lorac_logits_add(&added, l, text, NULL, n, NULL, &err), &err);
        assert_true(added);
    }
    check(lorac_logits_run(l, &err), &err);
    float alone = lorac_logits_of(&rows, l, 0)[0];
    for (size_t i = 1; i < 3; i++) {
        assert_true(fabsf(lorac_logits_of(&rows, l, i)[0] - alone) < 1e-6F);
    }
    lorac_logits_free(l);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_is_the_losss_derivative),
        cmocka_unit_test(the_loss_is_what_it_says_of_the_logits),
        cmocka_unit_test(a_steps_loss_is_the_mean),
        cmocka_unit_test(logits_are_those_that_the_loss_is_of),
        cmocka_unit_test(padding_behind_a_text_changes_nothing),
    };
    return cmocka_run_group_tests_name("losses of heads", tests, make_all, tiny_remove);
}
