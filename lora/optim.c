/* optim.c - the table of optimisers, and one step of them. See lora.h. */
#include "lora/methods/methods.h"
#include "lora/optim_impl.h"

#include "base/core/mem.h"
#include "lora/start.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct lorac_optimiser *const optimisers[] = {&lorac_adamw, &lorac_sgd};
enum { N_OPTIMISERS = sizeof optimisers / sizeof optimisers[0] };

static const struct lorac_optimiser *find(const char *name)
{
    for (size_t i = 0; i < N_OPTIMISERS; i++) {
        if (strcmp(optimisers[i]->name, name) == 0) { return optimisers[i]; }
    }
    return NULL;
}

static bool reads(const struct lorac_optimiser *kind, const char *option)
{
    for (size_t i = 0; i < sizeof kind->reads / sizeof *kind->reads && kind->reads[i]; i++) {
        if (strcmp(kind->reads[i], option) == 0) { return true; }
    }
    return false;
}

struct lorac_optim_options lorac_optim_options_default(void)
{
    return (struct lorac_optim_options){
        .name = "adamw",
        .lr = 5e-4,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .eps = 1e-8,
        .clip_norm = 1.0,
        .lr_ratio_b = 1.0,
        .schedule = "cosine",
    };
}

const char *lorac_optim_name(size_t i)
{
    return i < N_OPTIMISERS ? optimisers[i]->name : NULL;
}

bool lorac_optim_reads(const char *name, const char *option)
{
    bool common = true;
    for (size_t i = 0; i < N_OPTIMISERS; i++) {
        if (!reads(optimisers[i], option)) { continue; }
        if (strcmp(optimisers[i]->name, name) == 0) { return true; }
        common = false;
    }
    return common;
}

size_t lorac_optim_blocks_of(const char *name)
{
    const struct lorac_optimiser *kind = find(name);
    return kind ? kind->n_blocks : 0;
}

/* The table has no row of this name. */
static enum lorac_status no_row(struct lorac_err *err, const char *what, const char *name,
                                const char *(*row)(size_t i))
{
    char words[128] = "";
    for (size_t i = 0, n = 0; row(i) && n < sizeof words; i++) {
        n += (size_t)snprintf(words + n, sizeof words - n, "%s%s", i ? ", " : "", row(i));
    }
    return lorac_fail(err, LORAC_EUSER, "there is no %s '%s' (%s)", what, name, words);
}

struct setting {
    const char *name;
    const char *option; // whose optimisers read it; NULL: all
    double value, max;  // from 0 on
    bool below, above;  // max and 0 themselves are out
};

/* What would make numbers of the parameters that are none, or do nothing in silence. float32 is
 * what counts: a rate of decay that rounds to 1, an eps that rounds to 0. */
static enum lorac_status check_options(const struct lorac_optimiser *kind,
                                       const struct lorac_optim_options *o, struct lorac_err *err)
{
    const struct setting all[] = {
        {"lr", NULL, o->lr, 1e6, false, false},
        {"beta1", "betas", o->beta1, 1.0, true, false},
        {"beta2", "betas", o->beta2, 1.0, true, false},
        {"eps", "eps", o->eps, 1.0, false, true},
        {"momentum", "momentum", o->momentum, 1.0, true, false},
        {"weight_decay", NULL, o->weight_decay, 1e6, false, false},
        {"vector_decay", NULL, o->vector_decay, 1e6, false, false},
        {"clip_norm", NULL, o->clip_norm, 1e30, false, false},
        {"final_lr_ratio", NULL, o->final_lr_ratio, 1.0, false, false},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const struct setting *s = &all[i];
        if (s->option && !reads(kind, s->option)) { continue; }
        const float x = (float)s->value;
        const float max = (float)s->max;
        if ((s->above ? x > 0.0F : x >= 0.0F) && (s->below ? x < max : x <= max)) { continue; }
        return lorac_fail(
            err, LORAC_EUSER, "the optimiser's %s must be %s 0 and %s %g, as float32, found %.17g",
            s->name, s->above ? "above" : "from", s->below ? "below" : "up to", s->max, s->value);
    }
    return lorac_schedule_find(o->schedule)
               ? LORAC_OK
               : no_row(err, "schedule", o->schedule, lorac_schedule_name);
}

enum lorac_status lorac_optim_new(struct lorac_optim **out, struct lorac_adapter *a,
                                  const struct lorac_optim_options *options, struct lorac_err *err)
{
    *out = NULL;
    const struct lorac_optimiser *kind = options->name ? find(options->name) : NULL;
    if (!kind) {
        return no_row(err, "optimiser", options->name ? options->name : "", lorac_optim_name);
    }
    enum lorac_status st = check_options(kind, options, err);
    if (st) { return st; }
    if (!a->grads) {
        return lorac_fail(
            err, LORAC_EUSER,
            "the adapter has no gradients to step by: lorac_adapter_reserve() comes first");
    }
    bool has_b = a->n > 0 && a->method->tensor[1];
    if (!has_b && options->lr_ratio_b != 0.0 && options->lr_ratio_b != 1.0) {
        return lorac_fail(
            err, LORAC_EUSER,
            "optimizer.lr_ratio_b is %g, but the adapter has no pair whose B would go "
            "faster",
            options->lr_ratio_b);
    }
    struct lorac_device *dev = a->model->dev;
    struct lorac_optim *o = lorac_mem_new(1, sizeof *o);
    if (!o) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the optimiser"); }
    o->kind = kind;
    o->o = *options;
    if (o->o.lr_ratio_b == 0.0) { o->o.lr_ratio_b = 1.0; }
    o->o.name = kind->name; // the caller's may go
    o->o.schedule = lorac_schedule_find(options->schedule);
    o->a = a;
    const size_t bytes = kind->n_blocks * a->n_params * sizeof *o->moments;
    o->moments = dev->ops->alloc(dev, bytes);
    if (!o->moments) {
        lorac_optim_free(o);
        return lorac_fail(err, LORAC_ENOMEM, "no memory for the moments of %zu parameters",
                          a->n_params);
    }
    dev->ops->zero(dev, o->moments,
                   bytes); // they are: but pages that are read first are made twice
    *out = o;
    return LORAC_OK;
}

void lorac_optim_free(struct lorac_optim *o)
{
    if (!o) { return; }
    o->a->model->dev->ops->release(o->a->model->dev, o->moments);
    lorac_mem_free(o);
}

/* All parameters. With LoRA+ (Hayou et al. 2024) B goes faster than A, and vectors as B does, as in
 * PEFT's create_loraplus_optimizer. */
static void step_all(struct lorac_optim *o, double g_scale, double lr)
{
    const struct lorac_adapter *a = o->a;
    double decay = o->o.weight_decay;
    double fast = lr * o->o.lr_ratio_b;
    size_t at = 0;
    for (size_t i = 0; i < a->n && fast != lr; i++) {
        for (size_t k = 0; k < LORAC_SITE_TENSORS && a->method->tensor[k]; k++) {
            struct lorac_shape shape = a->method->shape(&a->site[i], k);
            size_t n = lorac_shape_floats(&shape) / (a->site[i].starts ? 2 : 1);
            if (shape.vector) { continue; }
            o->kind->step(o, at, n, g_scale, k == 0 ? lr : fast, decay);
            at += n;
        }
    }
    if (a->n_matrices > at) { o->kind->step(o, at, a->n_matrices - at, g_scale, lr, decay); }
    if (a->n_params > a->n_matrices) {
        o->kind->step(o, a->n_matrices, a->n_params - a->n_matrices, g_scale, fast,
                      o->o.vector_decay);
    }
}

enum lorac_status lorac_optim_step(struct lorac_optim *o, double weight, double *norm,
                                   struct lorac_err *err)
{
    struct lorac_adapter *a = o->a;
    struct lorac_device *dev = a->model->dev;
    if (!(weight > 0.0) || !isfinite(weight)) {
        return lorac_fail(err, LORAC_EUSER,
                          "the trained tokens of step %zu weigh %g together, expected more than 0",
                          o->steps + 1, weight);
    }
    lorac_start_gather(a);
    double mean = 1.0 / weight; // the one division by what the trained tokens weigh
    *norm = mean * sqrt(dev->ops->sum_squares(dev, a->grads, a->n_params));
    if (!isfinite(*norm)) {
        return lorac_fail(
            err, LORAC_EUSER,
            "the gradient of step %zu is not finite: try a smaller optimizer.lr or set "
            "optimizer.clip_norm",
            o->steps + 1);
    }
    // as torch.nn.utils.clip_grad_norm_, whose 1e-6 keeps the division safe
    double clip = o->o.clip_norm > 0.0 ? o->o.clip_norm / (*norm + 1e-6) : 1.0;
    double scale = mean * (clip < 1.0 ? clip : 1.0);
    step_all(o, scale, lorac_schedule_lr(&o->o, o->steps));
    lorac_adapter_zero_grads(a);
    o->steps++;
    return lorac_adapter_refresh(a, err);
}

double lorac_optim_next_lr(const struct lorac_optim *o)
{
    return lorac_schedule_lr(&o->o, o->steps);
}

size_t lorac_optim_steps(const struct lorac_optim *o)
{
    return o->steps;
}

void lorac_optim_set_steps(struct lorac_optim *o, size_t steps)
{
    o->steps = steps;
}

size_t lorac_optim_blocks(const struct lorac_optim *o)
{
    return o->kind->n_blocks;
}

const char *lorac_optim_block_name(const struct lorac_optim *o, size_t i)
{
    return o->kind->block[i];
}

float *lorac_optim_block(struct lorac_optim *o, size_t i)
{
    return o->moments + i * o->a->n_params;
}
