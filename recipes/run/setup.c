/* setup.c - see setup.h. */
#include "recipes/run/setup.h"

#include "base/core/machine.h"
#include "recipes/run/evaluate.h"

#include <math.h>

static size_t interval(const struct lorac_recipe_interval *i, double steps_per_epoch)
{
    if (i->unit == LORAC_RECIPE_EVERY_END) { return 0; }
    if (i->unit == LORAC_RECIPE_EVERY_STEPS) { return i->steps; }
    double steps = round(i->epochs * steps_per_epoch);
    return steps < 1.0 ? 1 : (size_t)steps;
}

/* Examples that are put in order to count micro-batches: some ten seconds' work. */
#define MAX_COUNTED 1e8

enum lorac_status lorac_setup_length(struct lorac_length *out, const struct lorac_recipe *r,
                                     struct lorac_loader *loader, size_t n, struct lorac_err *err)
{
    struct lorac_length l = {0};
    size_t micro = 0;
    size_t epochs = r->train.steps ? 1 : r->train.epochs;
    bool alike = !r->train.shuffle || !r->train.batch_tokens; // every epoch has as many
    if (!alike && (double)epochs * (double)n > MAX_COUNTED) {
        return lorac_fail(err, LORAC_EUSER,
                          "train.epochs: %zu passes over %zu rows are too many to count; expected "
                          "at most %.0f, or train.steps",
                          epochs, n, fmax(1.0, floor(MAX_COUNTED / (double)n)));
    }
    for (size_t e = 0; e < (alike ? 1 : epochs); e++) {
        micro += lorac_loader_count(loader, e);
    }
    if (alike) { micro *= epochs; }
    double windows = (double)micro / (double)r->train.accumulate;
    l.steps_per_epoch = windows / (double)epochs;
    l.steps = r->train.steps ? r->train.steps : (size_t)ceil(windows);
    l.eval_every = interval(&r->eval.every, l.steps_per_epoch);
    l.save_every = interval(&r->output.save_every, l.steps_per_epoch);
    *out = l;
    return LORAC_OK;
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

struct lorac_loader_options lorac_setup_loader(const struct lorac_recipe *r)
{
    return (struct lorac_loader_options){
        .batch_tokens = r->train.batch_tokens,
        .batch_size = r->train.batch_size,
        .shuffle = r->train.shuffle,
        .seed = r->seed,
        .objective = &lorac_objectives[r->objective],
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

enum lorac_status lorac_setup_pass(struct lorac_pass_options *out, size_t *bytes,
                                   const struct lorac_recipe *r, const struct lorac_model *m,
                                   const struct lorac_socket *socket, size_t max_rows,
                                   struct lorac_err *err)
{
    bool layers = r->train.keep_activations == LORAC_RECIPE_ACTIVATIONS_LAYERS;
    bool chooses = r->train.keep_activations == LORAC_RECIPE_ACTIVATIONS_AUTO;
    *out = (struct lorac_pass_options){
        .max_rows = max_rows,
        .max_positions = r->model.max_length,
        .keep = layers ? LORAC_KEEP_LAYERS : LORAC_KEEP_ALL,
    };
    enum lorac_status st = lorac_pass_measure(bytes, m, socket, out, err);
    if (!st && chooses && *bytes > lorac_machine_memory() / 2) {
        out->keep = LORAC_KEEP_LAYERS;
        st = lorac_pass_measure(bytes, m, socket, out, err);
    }
    return st;
}

/* eval.best: auto: what people look at, of what is measured. */
static enum lorac_metric choose_best(const struct lorac_job *j)
{
    const struct lorac_recipe *r = j->recipe;
    static const enum lorac_metric wanted[] = {LORAC_METRIC_ACCURACY, LORAC_METRIC_MACRO_F1,
                                               LORAC_METRIC_EXACT_MATCH};
    if (r->eval.best) { return (enum lorac_metric)(r->eval.best - 1); }
    if (r->eval.early_stop.metric) { return (enum lorac_metric)(r->eval.early_stop.metric - 1); }
    for (size_t i = j->K ? 0 : 2; i < sizeof wanted / sizeof *wanted; i++) {
        if (r->eval.metrics >> wanted[i] & 1U) { return wanted[i]; }
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
    bool needs = metric == LORAC_METRIC_ACCURACY || metric == LORAC_METRIC_MACRO_F1;
    if (!needs || j->K) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER,
                      "%s is %s, but there are no labels to choose from; write "
                      "data.labels.map or choose loss",
                      key, lorac_metric_name(metric));
}

enum lorac_status lorac_setup_metrics(struct lorac_metrics *out, const struct lorac_job *j,
                                      struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    const char *stop = r->eval.early_stop.metric ? "eval.early_stop.metric" : NULL;
    const char *best = r->eval.best ? "eval.best" : NULL;
    *out = (struct lorac_metrics){.best = choose_best(j)};
    out->stop = stop ? (enum lorac_metric)(r->eval.early_stop.metric - 1) : out->best;
    out->measured = r->eval.metrics | 1U << out->best | 1U << out->stop;
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
    enum lorac_status st = stop ? check_labels(stop, out->stop, j, err) : LORAC_OK;
    return st || !best ? st : check_labels(best, out->best, j, err);
}
