/* setup.c - see setup.h. */
#include "recipes/run/setup.h"

#include "base/core/machine.h"
#include "recipes/run/evaluate.h"
#include "recipes/run/frozen.h"
#include "recipes/run/heads.h"
#include "recipes/run/metrics.h"

#include <math.h>

size_t lorac_setup_interval(const struct lorac_recipe_interval *i, double steps_per_epoch)
{
    if (i->unit == LORAC_RECIPE_EVERY_END) { return 0; }
    if (i->unit == LORAC_RECIPE_EVERY_STEPS) { return i->steps; }
    double steps = round(i->epochs * steps_per_epoch);
    return steps < 1.0 ? 1 : (size_t)steps;
}

size_t lorac_setup_evaluations(const struct lorac_length *length)
{
    size_t every = length->eval_every;
    return every ? (length->steps + every - 1) / every : 1;
}

bool lorac_setup_due(size_t step, size_t every, size_t steps)
{
    return step == steps || (every && step % every == 0);
}

struct lorac_loader_options lorac_setup_loader(const struct lorac_job *j)
{
    const struct lorac_recipe *r = j->recipe;
    return (struct lorac_loader_options){
        .batch_tokens = r->train.batch_tokens,
        .batch_size = r->train.batch_size,
        .shuffle = r->train.shuffle,
        .seed = r->seed,
        .objective = lorac_job_objective(j),
        .label_weight = j->label_weight,
        .label_smoothing = r->objective.label_smoothing,
        .share_prefix = r->adapter.dropout > 0.0 ? LORAC_SHARE_OFF : r->train.share_prefix,
    };
}

struct lorac_optim_options lorac_setup_optim(const struct lorac_recipe *r, size_t steps)
{
    const struct lorac_recipe_amount *warmup = &r->optimizer.warmup;
    return (struct lorac_optim_options){
        .name = r->optimizer.name,
        .lr = r->optimizer.lr,
        .lr_ratio_b = r->optimizer.lr_ratio_b,
        .beta1 = r->optimizer.betas[0],
        .beta2 = r->optimizer.betas[1],
        .eps = r->optimizer.eps,
        .momentum = r->optimizer.momentum,
        .weight_decay = r->optimizer.weight_decay,
        .vector_decay = r->optimizer.vector_decay,
        .clip_norm = r->optimizer.clip_norm,
        .schedule = r->optimizer.schedule,
        .warmup = warmup->is_percent ? (size_t)round(warmup->percent / 100.0 * (double)steps)
                                     : warmup->steps,
        .steps = steps,
        .final_lr_ratio = r->optimizer.final_lr_ratio,
    };
}

static size_t activation_bytes(const struct lorac_recipe *r)
{
    switch (r->train.keep_activations) {
    case LORAC_RECIPE_ACTIVATIONS_AUTO:
        return lorac_machine_memory() / 2;
    case LORAC_RECIPE_ACTIVATIONS_ALL:
        return SIZE_MAX;
    case LORAC_RECIPE_ACTIVATIONS_LAYERS:
        return 0;
    }
    return 0;
}

/* Do the rows' answers allow it? */
bool lorac_setup_measures(enum lorac_metric metric, const struct lorac_job *j)
{
    bool tags = lorac_job_objective(j)->target == LORAC_TARGET_TAGS;
    if (tags && lorac_metrics_entities(1U << metric)) {
        return lorac_tags_name((const char *const *)j->labels, j->K);
    }
    return j->K || !lorac_metrics_compare(1U << metric);
}

/* eval.best: auto: what people look at, of what is measured. */
static enum lorac_metric choose_best(const struct lorac_job *j)
{
    const struct lorac_recipe *r = j->recipe;
    static const enum lorac_metric wanted[] = {LORAC_METRIC_ENTITY_F1, LORAC_METRIC_ACCURACY,
                                               LORAC_METRIC_MICRO_F1, LORAC_METRIC_MACRO_F1,
                                               LORAC_METRIC_EXACT_MATCH};
    if (r->eval.best) { return (enum lorac_metric)(r->eval.best - 1); }
    if (r->eval.early_stop.metric) { return (enum lorac_metric)(r->eval.early_stop.metric - 1); }
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if ((r->eval.metrics >> wanted[i] & 1U) && lorac_setup_measures(wanted[i], j)) {
            return wanted[i];
        }
    }
    return LORAC_METRIC_LOSS;
}

const char *lorac_setup_best_why(const struct lorac_recipe *r)
{
    if (r->eval.best) { return "eval.best"; }
    return r->eval.early_stop.metric ? "eval.early_stop.metric" : "eval.best: auto";
}

/* `key` asks for `metric`: are there labels to measure it by? */
static enum lorac_status check_labels(const char *key, enum lorac_metric metric,
                                      const struct lorac_job *j, struct lorac_err *err)
{
    if (lorac_setup_measures(metric, j)) { return LORAC_OK; }
    if (j->K) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s is %s, but not all tags are of entities (B-NAME, I-NAME, O); choose "
                          "accuracy or loss",
                          key, lorac_metric_name(metric));
    }
    return lorac_fail(err, LORAC_EUSER,
                      "%s is %s, but there are no labels to choose from; write "
                      "data.labels.map or choose loss",
                      key, lorac_metric_name(metric));
}

/* What is measured, and what for. */
static enum lorac_status choose_metrics(struct lorac_trainer_options *o, const struct lorac_job *j,
                                        struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    const char *stop = r->eval.early_stop.metric ? "eval.early_stop.metric" : NULL;
    const char *best = r->eval.best ? "eval.best" : NULL;
    o->best = choose_best(j);
    o->stop = stop ? (enum lorac_metric)(r->eval.early_stop.metric - 1) : o->best;
    o->min_delta = stop ? r->eval.early_stop.min_delta : 0.0;
    unsigned metrics = r->eval.metrics | 1U << o->best | 1U << o->stop;
    o->valid = lorac_job_evaluation(j, j->valid.set, metrics, NULL);
    bool last = r->output.keep >> LORAC_RECIPE_KEEP_LAST & 1U;
    if (!j->valid.set && !last) {
        return lorac_fail(
            err, LORAC_EUSER,
            "output.keep is [best] alone, but without data.valid nothing is evaluated");
    }
    if (!j->valid.set && (stop || best)) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s is given, but without data.valid nothing is evaluated",
                          stop ? stop : best);
    }
    enum lorac_status st = stop ? check_labels(stop, o->stop, j, err) : LORAC_OK;
    return st || !best ? st : check_labels(best, o->best, j, err);
}

enum lorac_status lorac_setup_trainer(struct lorac_trainer_options *out,
                                      struct lorac_length *length, const struct lorac_job *j,
                                      struct lorac_adapter *adapter, struct lorac_loader *loader,
                                      struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    struct lorac_length l = {0};
    if (j->frame.bidirectional && r->train.share_prefix == LORAC_SHARE_ON) {
        return lorac_fail(err, LORAC_EUSER,
                          "train.share_prefix: on has no effect with %s: each row of an encoder "
                          "depends on its whole text",
                          r->model.path);
    }
    *out = (struct lorac_trainer_options){
        .adapter = adapter,
        .loader = loader,
        .epochs = r->train.steps ? 0 : r->train.epochs,
        .steps = r->train.steps,
        .accumulate = r->train.accumulate,
        .activation_bytes = activation_bytes(r),
        .cache_frozen_prefix = r->train.cache_frozen_prefix,
        .frozen_bytes = lorac_frozen_memory(),
        .dir = r->output.dir,
        .loss_above = r->train.watchdog.loss_above,
    };
    enum lorac_status st = lorac_trainer_length(&l.steps, &l.steps_per_epoch, out, err);
    if (st) { return st; }
    l.eval_every = lorac_setup_interval(&r->eval.every, l.steps_per_epoch);
    l.save_every = lorac_setup_interval(&r->output.save_every, l.steps_per_epoch);
    *length = l;
    out->evaluations = lorac_setup_evaluations(&l);
    out->optim = lorac_setup_optim(r, l.steps);
    return choose_metrics(out, j, err);
}
