/* trainer.c - see trainer.h. */
#include "recipes/run/trainer.h"

#include "base/checkpoint/hub.h"
#include "base/core/clock.h"
#include "base/core/machine.h"
#include "base/core/mem.h"
#include "recipes/run/frozen.h"
#include "recipes/run/saved_template.h"
#include "recipes/run/setup.h"
#include "recipes/run/state.h"
#include "recipes/run/together.h"

#include <math.h>

struct lorac_trainer {
    struct lorac_trainer_options o;
    size_t steps; // of the whole training
    struct lorac_socket socket;
    struct lorac_stack stack; // the same adapter for evaluation: neither dropout nor its scratch
    struct lorac_socket inference;
    struct lorac_optim *optim;
    struct lorac_batch *batch;
    struct lorac_pass *pass;
    struct lorac_trainer_frozen kept;
    struct lorac_frozen *frozen;       // its rows; NULL: none are kept, or not yet
    struct lorac_evaluator *evaluator; // NULL: nothing is evaluated
    float *nll;                        // (rows of a batch)
    struct lorac_together *together;   // with other ranks, or NULL
    struct lorac_state state;
    double rate;           // seconds a step, smoothed
    struct lorac_job *job; // it opened this itself, and o.adapter and o.loader; or NULL
};

/* ---- how long, how large ---- */

struct lorac_trainer_options lorac_trainer_options_default(void)
{
    return (struct lorac_trainer_options){
        .epochs = 1,
        .accumulate = 1,
        .optim = lorac_optim_options_default(),
        .activation_bytes = lorac_machine_memory() / 2,
        .cache_frozen_prefix = LORAC_RECIPE_CACHE_AUTO,
        .frozen_bytes = lorac_frozen_memory(),
        .valid.metrics = 1U << LORAC_METRIC_LOSS | 1U << LORAC_METRIC_PERPLEXITY,
    };
}

enum lorac_status lorac_trainer_length(size_t *steps, double *steps_per_epoch,
                                       const struct lorac_trainer_options *o, struct lorac_err *err)
{
    size_t micro = 0;
    size_t epochs = o->steps ? 1 : o->epochs;
    enum lorac_status st = lorac_loader_total(&micro, o->loader, epochs, err);
    double windows = (double)micro / (double)o->accumulate;
    *steps_per_epoch = windows / (double)epochs;
    *steps = o->steps ? o->steps : (size_t)ceil(windows);
    return st;
}

static enum lorac_status measure_pass(struct lorac_pass_options *out, size_t *bytes,
                                      const struct lorac_trainer_options *o,
                                      const struct lorac_socket *socket, struct lorac_err *err)
{
    const struct lorac_model *m = o->adapter->model;
    *out = (struct lorac_pass_options){
        .max_rows = lorac_loader_max_rows(o->loader),
        .max_positions = lorac_dataset_max_length(lorac_loader_dataset(o->loader)),
        .keep = LORAC_KEEP_ALL,
    };
    enum lorac_status st = lorac_pass_measure(bytes, m, socket, out, err);
    if (!st && *bytes > o->activation_bytes) {
        out->keep = LORAC_KEEP_LAYERS;
        st = lorac_pass_measure(bytes, m, socket, out, err);
    }
    return st;
}

enum lorac_status lorac_trainer_measure(struct lorac_trainer_size *out,
                                        const struct lorac_trainer_options *o,
                                        struct lorac_err *err)
{
    size_t rows = lorac_loader_max_rows(o->loader);
    size_t targets = lorac_loader_max_targets(o->loader);
    struct lorac_socket socket = lorac_adapter_socket(o->adapter);
    struct lorac_pass_options pass;
    *out = (struct lorac_trainer_size){
        .batch = lorac_batch_bytes(rows, lorac_loader_max_segments(o->loader), targets),
        .parameters = (lorac_adapter_floats(o->adapter) +
                       lorac_optim_blocks_of(o->optim.name) * o->adapter->n_params) *
                      sizeof(float),
    };
    enum lorac_status st = measure_pass(&pass, &out->pass, o, &socket, err);
    out->recomputes = !st && pass.keep == LORAC_KEEP_LAYERS;
    if (!st) { st = lorac_frozen_choose(&out->kept, o, &socket, err); }
    if (!st) {
        out->frozen = lorac_frozen_bytes(&out->kept, lorac_loader_dataset(o->loader), rows);
    }
    return st;
}

/* ---- open and close ---- */

static const struct lorac_dataset *dataset_of(const struct lorac_trainer *t)
{
    return lorac_loader_dataset(t->o.loader);
}

static enum lorac_status check_options(const struct lorac_trainer_options *o, struct lorac_err *err)
{
    const struct lorac_objective *objective = lorac_loader_objective(o->loader);
    if (!o->accumulate || !o->epochs == !o->steps) {
        return lorac_fail(err, LORAC_EUSER,
                          "a training of %zu epochs and %zu steps of %zu micro-batches: expected "
                          "epochs or steps, and one micro-batch or more",
                          o->epochs, o->steps, o->accumulate);
    }
    unsigned metrics = o->valid.metrics | 1U << o->best | 1U << o->stop;
    for (unsigned m = 0; o->valid.set && metrics >> m; m++) {
        if (!(metrics >> m & 1U) || (objective->metrics >> m & 1U)) { continue; }
        return lorac_fail(err, LORAC_EUSER, "the objective %s has no %s to measure",
                          objective->name, lorac_metric_name((enum lorac_metric)m));
    }
    return LORAC_OK;
}

static enum lorac_status open_batch(struct lorac_trainer *t, struct lorac_err *err)
{
    size_t rows = lorac_loader_max_rows(t->o.loader);
    size_t targets = lorac_loader_max_targets(t->o.loader);
    t->nll = lorac_mem_new(targets, sizeof *t->nll);
    if (!t->nll) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a batch"); }
    return lorac_batch_new(&t->batch, rows, lorac_loader_max_segments(t->o.loader), targets, err);
}

static enum lorac_status open_optim(struct lorac_trainer *t, struct lorac_err *err)
{
    double steps_per_epoch = 0.0;
    enum lorac_status st = lorac_trainer_length(&t->steps, &steps_per_epoch, &t->o, err);
    if (!t->o.optim.steps) { t->o.optim.steps = t->steps; }
    return st ? st : lorac_optim_new(&t->optim, t->o.adapter, &t->o.optim, err);
}

static enum lorac_status open_pass(struct lorac_trainer *t, struct lorac_err *err)
{
    const struct lorac_model *m = t->o.adapter->model;
    struct lorac_pass_options pass;
    size_t bytes = 0;
    enum lorac_status st = measure_pass(&pass, &bytes, &t->o, &t->socket, err);
    if (!st) { st = lorac_pass_new(&t->pass, m, &t->socket, &pass, err); }
    if (!st) { lorac_pass_profile(t->pass, t->o.profile); }
    return st;
}

static enum lorac_status open_evaluator(struct lorac_trainer *t, struct lorac_err *err)
{
    struct lorac_evaluator_options *o = &t->o.valid;
    if (!o->set) { return LORAC_OK; }
    t->stack = (struct lorac_stack){.n = 1, .adapter = {t->o.adapter}, .factor = {1.0F}};
    t->inference = lorac_stack_socket(&t->stack);
    o->model = t->o.adapter->model;
    o->socket = &t->inference;
    o->metrics |= 1U << t->o.best | 1U << t->o.stop;
    o->kept_bytes = t->kept.valid_room;
    enum lorac_status st = lorac_evaluator_new(&t->evaluator, o, err);
    t->kept.valid_bytes = st ? 0 : lorac_evaluator_kept(t->evaluator);
    return st;
}

enum lorac_status lorac_trainer_open(struct lorac_trainer **out,
                                     const struct lorac_trainer_options *o, struct lorac_err *err)
{
    *out = NULL;
    enum lorac_status st = check_options(o, err);
    if (st) { return st; }
    struct lorac_trainer *t = lorac_mem_new(1, sizeof *t);
    if (!t) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a trainer"); }
    t->o = *o;
    st = open_batch(t, err);
    if (!st) { st = lorac_adapter_reserve(o->adapter, err); }
    t->socket = lorac_adapter_socket(o->adapter);
    if (!st) { st = open_optim(t, err); }
    if (!st) { st = lorac_frozen_choose(&t->kept, &t->o, &t->socket, err); }
    st = lorac_frozen_agree(&t->kept, o->ranks, st, err);
    if (!st && o->rows) {
        t->frozen =
            lorac_frozen_take(o->rows, &t->kept, dataset_of(t), lorac_loader_max_rows(o->loader));
    }
    if (!st) { st = open_evaluator(t, err); }
    if (!st) { st = open_pass(t, err); }
    if (!st) { st = lorac_together_new(&t->together, o->adapter, o->ranks, err); }
    if (st) {
        lorac_trainer_close(t);
        t = NULL;
    }
    *out = t;
    return st;
}

void lorac_trainer_close(struct lorac_trainer *t)
{
    if (!t) { return; }
    if (t->o.rows) {
        lorac_frozen_leave(t->o.rows, t->frozen);
    } else {
        lorac_frozen_free(t->frozen);
    }
    lorac_evaluator_free(t->evaluator);
    lorac_pass_free(t->pass);
    lorac_batch_free(t->batch);
    lorac_optim_free(t->optim);
    lorac_together_free(t->together);
    lorac_mem_free(t->nll);
    if (t->job) {
        lorac_loader_close(t->o.loader);
        lorac_adapter_free(t->o.adapter);
        lorac_job_close(t->job);
    }
    lorac_mem_free(t);
}

enum lorac_status lorac_trainer_open_recipe(struct lorac_trainer **out,
                                            const struct lorac_recipe *r, struct lorac_err *err)
{
    struct lorac_loader_options rows;
    struct lorac_trainer_options o;
    struct lorac_length length;
    struct lorac_job *j = NULL;
    struct lorac_adapter *a = NULL;
    struct lorac_loader *l = NULL;
    *out = NULL;
    enum lorac_status st = lorac_job_open(&j, r, LORAC_JOB_TRAIN, err);
    if (!st) { st = lorac_job_check_length(j, err); }
    if (!st) { st = lorac_job_adapter(&a, j, err); }
    if (!st) { st = lorac_template_from(j, a, err); }
    if (!st) { st = lorac_template_save(a, j, err); }
    if (!st) {
        rows = lorac_setup_loader(j);
        st = lorac_loader_open(&l, j->train.set, &rows, err);
    }
    if (!st) { st = lorac_setup_trainer(&o, &length, j, a, l, err); }
    if (!st) { st = lorac_trainer_open(out, &o, err); }
    if (!st) {
        (*out)->job = j;
        return LORAC_OK;
    }
    lorac_loader_close(l);
    lorac_adapter_free(a);
    lorac_job_close(j);
    return st;
}

struct lorac_state *lorac_trainer_state(struct lorac_trainer *t)
{
    return &t->state;
}

const struct lorac_trainer_frozen *lorac_trainer_frozen(const struct lorac_trainer *t)
{
    return &t->kept;
}

struct lorac_evaluator *lorac_trainer_evaluator(const struct lorac_trainer *t)
{
    return t->evaluator;
}

void lorac_trainer_choose(struct lorac_trainer *t, enum lorac_metric best, enum lorac_metric stop)
{
    t->o.best = best;
    t->o.stop = stop;
}

bool lorac_trainer_done(const struct lorac_trainer *t)
{
    return t->state.step >= t->steps;
}

/* ---- one step ---- */

enum lorac_status lorac_trainer_prepare(struct lorac_trainer *t, lorac_progress_fn *progress,
                                        void *self, struct lorac_err *err)
{
    bool now = t->kept.layers && !t->frozen && !lorac_trainer_done(t);
    return now ? lorac_frozen_new(&t->frozen, &t->kept, dataset_of(t), t->o.dir, t->o.ranks,
                                  t->pass, lorac_loader_max_rows(t->o.loader), progress, self, err)
               : LORAC_OK;
}

/* The batch in hand through the layers, of the frozen ones as far as they have not run yet. */
static enum lorac_status forward(struct lorac_trainer *t, const uint32_t *examples, size_t n,
                                 struct lorac_err *err)
{
    const float *x = NULL;
    if (!t->frozen) { return lorac_pass_forward(t->pass, t->batch, NULL, err); }
    struct lorac_cost *before = lorac_profile_enter(t->o.profile, LORAC_PROFILE_DATA);
    enum lorac_status st = lorac_frozen_read(&x, t->frozen, t->batch, examples, n, err);
    (void)lorac_profile_switch(t->o.profile, before);
    return st ? st : lorac_pass_forward_rest(t->pass, t->batch, x, err);
}

/* The loss of the batch in hand, each token's times its weight, and what their mean is divided by.
 */
static double weigh(double *weight, const struct lorac_trainer *t)
{
    double sum = 0.0;
    for (size_t i = 0; i < t->batch->T; i++) {
        sum += (double)t->batch->weight[i] * (double)t->nll[i];
        *weight += (double)t->batch->weight[i];
    }
    *weight -= t->batch->surplus;
    return sum;
}

static enum lorac_status fail_rows(const struct lorac_trainer *t, const uint32_t *examples,
                                   size_t n, struct lorac_err *err)
{
    enum { NAMED = 8 };
    const struct lorac_dataset *set = dataset_of(t);
    bool text = lorac_dataset_is_text(set);
    struct lorac_buf rows = {0};
    for (size_t i = 0; i < n && i < NAMED; i++) {
        lorac_buf_printf(&rows, "%s%llu", i ? ", " : "",
                         (unsigned long long)lorac_dataset_line(set, examples[i]));
    }
    if (n > NAMED) { lorac_buf_str(&rows, ", ..."); }
    enum lorac_status st =
        lorac_fail(err, LORAC_EUSER,
                   "step %zu: the loss is not finite (%s %s of the training %s); the state before "
                   "this step is kept: try a smaller optimizer.lr",
                   (size_t)t->state.step + 1, text ? "documents" : "lines", rows.at ? rows.at : "?",
                   text ? "texts" : "table");
    lorac_buf_free(&rows);
    return st;
}

/* Runs the batch in hand, n examples, and adds what it gives to *sum and to the adapter's
 * gradients. */
static enum lorac_status run_batch(double sum[LORAC_SUMS], struct lorac_trainer *t,
                                   const uint32_t *examples, size_t n, struct lorac_err *err)
{
    enum lorac_status st = forward(t, examples, n, err);
    if (st) { return st; }
    lorac_pass_loss(t->pass, t->batch, t->nll, true);
    lorac_pass_backward(t->pass, t->batch);
    double loss = weigh(&sum[LORAC_SUM_WEIGHT], t);
    if (!isfinite(loss)) {
        sum[LORAC_SUM_NOT_FINITE] += 1.0;
        return fail_rows(t, examples, n, err);
    }
    sum[LORAC_SUM_LOSS] += loss;
    sum[LORAC_SUM_TOKENS] += (double)lorac_loader_rows(t->o.loader);
    sum[LORAC_SUM_TRAINED] += (double)t->batch->U; // a row that weighs several labels is one
    return LORAC_OK;
}

/* Micro-batch i of the step, or this rank's part of it. */
static enum lorac_status micro_batch(double sum[LORAC_SUMS], struct lorac_trainer *t, size_t i,
                                     struct lorac_err *err)
{
    const uint32_t *examples = NULL;
    size_t n = 0;
    size_t part = 0;
    size_t parts = 0;
    enum lorac_status st = LORAC_OK;
    struct lorac_cost *before = lorac_profile_enter(t->o.profile, LORAC_PROFILE_DATA);
    lorac_together_part(&part, &parts, t->together, i, t->o.accumulate);
    if (parts) {
        st = lorac_loader_next_part(t->o.loader, t->batch, part, parts, &examples, &n, err);
    } else {
        lorac_loader_skip(t->o.loader); // another rank's
    }
    (void)lorac_profile_switch(t->o.profile, before);
    t->o.adapter->step = t->state.micro++;
    if (!st && n) { st = run_batch(sum, t, examples, n, err); }
    if (st) { return st; }
    struct lorac_loader_state at = lorac_loader_state(t->o.loader);
    size_t end = at.position ? (size_t)at.position : lorac_dataset_size(dataset_of(t));
    t->state.examples += end - t->state.position;
    t->state.epoch = at.epoch;
    t->state.position = at.position;
    return LORAC_OK;
}

#define LEARNT 1e-3 // nats a token: below that loss a gradient may well be zero

static enum lorac_status check_gradient(const struct lorac_step *s, const struct lorac_trainer *t,
                                        struct lorac_err *err)
{
    if (s->grad_norm > 0.0) { return LORAC_OK; }
    if (t->state.step == 0) {
        return lorac_fail(err, LORAC_EUSER,
                          "the gradient of the first step is zero: nothing would train");
    }
    if (!(s->loss > LEARNT)) { return LORAC_OK; }
    return lorac_fail( // numbers that ran over
        err, LORAC_EUSER,
        "step %zu: the gradient is zero and the loss %.4g: nothing trains any more; the state "
        "that was last saved is kept: try a smaller optimizer.lr",
        (size_t)t->state.step + 1, s->loss);
}

/* Micro-batches up to the step's end, and the parameters moved. */
static enum lorac_status move(struct lorac_step *s, struct lorac_trainer *t, struct lorac_err *err)
{
    double sum[LORAC_SUMS] = {0.0};
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < t->o.accumulate && !st; i++) {
        if (t->o.epochs && t->state.epoch >= t->o.epochs) { break; } // a last, smaller step
        st = micro_batch(sum, t, i, err);
    }
    st = lorac_together_sum(sum, t->together, st, err);
    s->not_finite = sum[LORAC_SUM_NOT_FINITE] > 0.0;
    if (st) { return st; }
    s->loss = sum[LORAC_SUM_LOSS] / sum[LORAC_SUM_WEIGHT];
    s->tokens = (size_t)sum[LORAC_SUM_TOKENS];
    s->trained = (size_t)sum[LORAC_SUM_TRAINED];
    s->lr = lorac_optim_next_lr(t->optim);
    struct lorac_cost *before = lorac_profile_enter(t->o.profile, LORAC_PROFILE_OPTIMISER);
    st = lorac_optim_step(t->optim, sum[LORAC_SUM_WEIGHT], &s->grad_norm, err);
    (void)lorac_profile_switch(t->o.profile, before);
    s->not_finite = st != LORAC_OK;
    if (!st) { st = lorac_together_stepped(t->together, st, err); }
    return st ? st : check_gradient(s, t, err);
}

/* What a failed step had taken up. */
static void put_back(struct lorac_trainer *t, const struct lorac_state *before)
{
    struct lorac_loader_state at = {before->epoch, before->position};
    t->state = *before;
    lorac_adapter_zero_grads(t->o.adapter);
    if (lorac_loader_seek(t->o.loader, at, NULL)) { return; } // where it was it can be
}

static void count(struct lorac_step *s, struct lorac_trainer *t)
{
    const struct lorac_dataset *set = dataset_of(t);
    bool above = t->o.loss_above > 0.0 && s->loss > t->o.loss_above;
    t->state.step++;
    t->state.above = above ? t->state.above + 1 : 0;
    s->step = (size_t)t->state.step;
    unsigned has = lorac_loader_objective(t->o.loader)->metrics;
    s->perplexity = has >> LORAC_METRIC_PERPLEXITY & 1U ? exp(s->loss) : (double)NAN;
    s->epoch = (double)t->state.examples / (double)lorac_dataset_size(set);
    t->rate = t->rate > 0.0 ? 0.9 * t->rate + 0.1 * s->seconds : s->seconds;
    s->tokens_per_second = (double)s->tokens / t->rate;
    s->remaining = t->rate * (double)(t->steps - s->step);
}

enum lorac_status lorac_trainer_step(struct lorac_step *out, struct lorac_trainer *t,
                                     struct lorac_err *err)
{
    double begin = lorac_clock();
    const struct lorac_state before = t->state;
    *out = (struct lorac_step){.steps = t->steps};
    if (lorac_trainer_done(t)) {
        return lorac_fail(err, LORAC_EUSER, "all %zu steps are done", t->steps);
    }
    enum lorac_status st = lorac_trainer_prepare(t, NULL, NULL, err);
    (void)lorac_profile_enter(t->o.profile, LORAC_PROFILE_REST);
    if (!st) { st = move(out, t, err); }
    (void)lorac_profile_switch(t->o.profile, NULL); // what is between steps isn't theirs
    if (st) {
        put_back(t, &before);
        return st;
    }
    out->seconds = lorac_clock() - begin;
    count(out, t);
    return LORAC_OK;
}

enum lorac_status lorac_trainer_peek(struct lorac_peek *out, struct lorac_trainer *t,
                                     struct lorac_err *err)
{
    const struct lorac_loader_state at = lorac_loader_state(t->o.loader);
    const uint32_t *examples = NULL;
    size_t n = 0;
    double weight = 0.0;
    *out = (struct lorac_peek){0};
    enum lorac_status st = lorac_loader_next(t->o.loader, t->batch, &examples, &n, err);
    double begin = lorac_clock();
    if (!st) { st = lorac_pass_forward(t->pass, t->batch, NULL, err); }
    double middle = lorac_clock();
    if (!st) {
        lorac_pass_loss(t->pass, t->batch, t->nll, false);
        out->forward_seconds = middle - begin;
        out->row_seconds = out->forward_seconds / (double)t->batch->N;
        out->scored_seconds = (lorac_clock() - middle) / (double)t->batch->U;
        out->loss = weigh(&weight, t);
        out->loss /= weight;
        st = lorac_loader_seek(t->o.loader, at, err);
    }
    return st;
}

/* ---- evaluation and saving ---- */

/* Evaluations since `stop` got better by more than min_delta. */
static void count_patience(struct lorac_trainer *t, const struct lorac_scores *scores)
{
    struct lorac_state *s = &t->state;
    double value = lorac_scores_get(scores, t->o.stop);
    bool better =
        !s->has_best || lorac_metric_better(t->o.stop, value, s->stop_best, t->o.min_delta);
    s->patience = better ? 0 : s->patience + 1;
    if (!s->has_best || lorac_metric_better(t->o.stop, value, s->stop_best, 0.0)) {
        s->stop_best = value;
    }
}

static bool beats_best(const struct lorac_trainer *t, const struct lorac_scores *scores)
{
    const struct lorac_state *s = &t->state;
    double value = lorac_scores_get(scores, t->o.best);
    if (!s->has_best || lorac_metric_better(t->o.best, value, s->best, 0.0)) { return true; }
    bool worse = lorac_metric_better(t->o.best, s->best, value, 0.0);
    return !worse && scores->loss < s->best_scores.loss;
}

enum lorac_status lorac_trainer_evaluate(struct lorac_scores *out, bool *is_best,
                                         struct lorac_trainer *t, lorac_progress_fn *progress,
                                         void *self, struct lorac_err *err)
{
    struct lorac_state *s = &t->state;
    *is_best = false;
    if (!t->evaluator) {
        return lorac_fail(err, LORAC_EUSER, "there are no validation rows to evaluate");
    }
    enum lorac_status st = lorac_evaluate(out, t->evaluator, progress, self, err);
    if (st) {
        lorac_err_prefix(err, "validation at step %zu: ", (size_t)s->step);
        return st;
    }
    *is_best = beats_best(t, out);
    count_patience(t, out);
    if (*is_best) {
        s->has_best = 1;
        s->best = lorac_scores_get(out, t->o.best);
        s->best_step = s->step;
        s->best_scores = *out;
    }
    return LORAC_OK;
}

enum lorac_status lorac_trainer_save(const struct lorac_trainer *t, const char *dir,
                                     const char *name, struct lorac_err *err)
{
    const struct lorac_adapter *a = t->o.adapter;
    if (!name) { name = dir; }
    if (a->n && !lorac_adapter_changes(a)) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: %s after %zu steps: the adapter changes "
                          "nothing and is not saved; is optimizer.lr zero?",
                          name, lorac_adapter_idle_text(a), (size_t)t->state.step);
    }
    char idle[LORAC_MODULE_NAME];
    if (lorac_adapter_idle(idle, a)) {
        return lorac_fail(
            err, LORAC_EUSER,
            "%s: module '%s' received no gradient in %zu steps (its B is zero, or its copy is "
            "still the base's); leave it out (adapter.exclude, adapter.train_also)",
            name, idle, (size_t)t->state.step);
    }
    char id[LORAC_HUB_ID]; // means the same on another machine; a path of the cache does not
    const char *base = a->model->dir;
    return lorac_peft_save(dir, a, lorac_hub_id(id, base) ? id : base, LORAC_F32, err);
}

enum lorac_status lorac_trainer_save_state(const struct lorac_trainer *t, const char *path,
                                           struct lorac_err *err)
{
    return lorac_state_write(path, &t->state, t->o.adapter, t->optim, err);
}

enum lorac_status lorac_trainer_load_state(struct lorac_trainer *t, const char *path,
                                           struct lorac_err *err)
{
    enum lorac_status st = lorac_state_read(&t->state, t->o.adapter, t->optim, path, err);
    struct lorac_loader_state at = {t->state.epoch, t->state.position};
    return st ? st : lorac_loader_seek(t->o.loader, at, err);
}

enum lorac_status lorac_trainer_share(struct lorac_trainer *t, enum lorac_status st,
                                      struct lorac_err *err)
{
    st = lorac_together_state(&t->state, t->optim, t->together, st, err);
    struct lorac_loader_state at = {t->state.epoch, t->state.position};
    return st ? st : lorac_loader_seek(t->o.loader, at, err);
}
