/* optim.c - the table of optimisers, one step of them, and the schedules of the learning rate. */
#include "lora/lora.h"

#include "base/core/mem.h"

#include <math.h>
#include <string.h>

enum { MAX_BLOCKS = 2 };

struct optimiser {
    const char *name; // as a recipe writes it
    size_t n_blocks;  // moments kept
    const char *block[MAX_BLOCKS];
    /* Parameters first .. first+n-1, which decay by wd. */
    void (*step)(struct lorac_optim *o, size_t first, size_t n, float g_scale, float lr, float wd);
};

struct lorac_optim {
    const struct optimiser *kind;
    struct lorac_optim_options o;
    struct lorac_adapter *a; // borrowed
    float *moments;          // (n_blocks,n_params) device memory
    size_t steps;            // done
};

static void adamw(struct lorac_optim *o, size_t first, size_t n, float g_scale, float lr, float wd)
{
    struct lorac_device *dev = o->a->model->dev;
    double t = (double)o->steps + 1.0;
    dev->ops->adamw(dev, o->a->params + first, lorac_optim_block(o, 0) + first,
                    lorac_optim_block(o, 1) + first, o->a->grads + first, n, g_scale, lr,
                    (float)o->o.beta1, (float)o->o.beta2, (float)o->o.eps, wd,
                    (float)(1.0 - pow(o->o.beta1, t)), (float)(1.0 - pow(o->o.beta2, t)));
}

static void sgd(struct lorac_optim *o, size_t first, size_t n, float g_scale, float lr, float wd)
{
    struct lorac_device *dev = o->a->model->dev;
    dev->ops->sgd(dev, o->a->params + first, lorac_optim_block(o, 0) + first, o->a->grads + first,
                  n, g_scale, lr, (float)o->o.momentum, wd);
}

static const struct optimiser optimisers[] = {
    {"adamw", 2, {"m", "v"}, adamw},
    {"sgd", 1, {"m"}, sgd},
};

static const struct optimiser *find(const char *name)
{
    for (size_t i = 0; i < sizeof optimisers / sizeof optimisers[0]; i++) {
        if (strcmp(optimisers[i].name, name) == 0) { return &optimisers[i]; }
    }
    return NULL;
}

size_t lorac_optim_blocks_of(const char *name)
{
    const struct optimiser *kind = find(name);
    return kind ? kind->n_blocks : 0;
}

struct setting {
    const char *name;
    double value, max; // from 0 on
    bool below, above; // max and 0 themselves are out
};

/* What would make numbers of the parameters that are none, or do nothing in silence. float32 is
 * what counts: a rate of decay that rounds to 1, an eps that rounds to 0. */
static enum lorac_status check_options(const struct lorac_optim_options *o, struct lorac_err *err)
{
    const bool adam = strcmp(o->name, "adamw") == 0;
    const struct setting all[] = {
        {"lr", o->lr, 1e6, false, false},
        {"beta1", adam ? o->beta1 : 0.0, 1.0, true, false},
        {"beta2", adam ? o->beta2 : 0.0, 1.0, true, false},
        {"eps", adam ? o->eps : 1.0, 1.0, false, true},
        {"momentum", o->momentum, 1.0, true, false},
        {"weight_decay", o->weight_decay, 1e6, false, false},
        {"vector_decay", o->vector_decay, 1e6, false, false},
        {"clip_norm", o->clip_norm, 1e30, false, false},
        {"final_lr_ratio", o->final_lr_ratio, 1.0, false, false},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const struct setting *s = &all[i];
        const float x = (float)s->value;
        const float max = (float)s->max;
        if ((s->above ? x > 0.0F : x >= 0.0F) && (s->below ? x < max : x <= max)) { continue; }
        return lorac_fail(
            err, LORAC_EUSER, "the optimiser's %s must be %s 0 and %s %g, as float32, found %.17g",
            s->name, s->above ? "above" : "from", s->below ? "below" : "up to", s->max, s->value);
    }
    if (o->schedule > LORAC_COSINE) {
        return lorac_fail(err, LORAC_EUSER, "there is no schedule %d", (int)o->schedule);
    }
    return LORAC_OK;
}

enum lorac_status lorac_optim_new(struct lorac_optim **out, struct lorac_adapter *a,
                                  const struct lorac_optim_options *options, struct lorac_err *err)
{
    *out = NULL;
    const struct optimiser *kind = options->name ? find(options->name) : NULL;
    if (!kind) {
        return lorac_fail(err, LORAC_EUSER, "there is no optimiser '%s' (adamw, sgd)",
                          options->name ? options->name : "");
    }
    enum lorac_status st = check_options(options, err);
    if (st) { return st; }
    if (!a->grads) {
        return lorac_fail(
            err, LORAC_EUSER,
            "the adapter has no gradients to step by: lorac_adapter_reserve() comes first");
    }
    struct lorac_device *dev = a->model->dev;
    struct lorac_optim *o = lorac_mem_new(1, sizeof *o);
    if (!o) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the optimiser"); }
    o->kind = kind;
    o->o = *options;
    o->a = a;
    o->moments = dev->ops->alloc(dev, kind->n_blocks * a->n_params * sizeof *o->moments);
    if (!o->moments) {
        lorac_optim_free(o);
        return lorac_fail(err, LORAC_ENOMEM, "no memory for the moments of %zu parameters",
                          a->n_params);
    }
    *out = o;
    return LORAC_OK;
}

void lorac_optim_free(struct lorac_optim *o)
{
    if (!o) { return; }
    o->a->model->dev->ops->release(o->a->model->dev, o->moments);
    lorac_mem_free(o);
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
    float lr = (float)lorac_schedule_lr(&o->o, o->steps);
    o->kind->step(o, 0, a->n_matrices, (float)scale, lr, (float)o->o.weight_decay);
    if (a->n_params > a->n_matrices) {
        o->kind->step(o, a->n_matrices, a->n_params - a->n_matrices, (float)scale, lr,
                      (float)o->o.vector_decay);
    }
    dev->ops->zero(dev, a->grads, a->n_params * sizeof *a->grads);
    o->steps++;
    return LORAC_OK;
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

/* ---- schedules: the share of (lr - final lr) left after `done` (0..1) of the steps after warmup
 * ---- */

static double constant(double done)
{
    (void)done;
    return 1.0;
}

static double linear(double done)
{
    return 1.0 - done;
}

static double cosine(double done)
{
    return 0.5 * (1.0 + cos(3.14159265358979323846 * done));
}

static double (*const schedules[])(double) = {
    [LORAC_CONSTANT] = constant,
    [LORAC_LINEAR] = linear,
    [LORAC_COSINE] = cosine,
};

double lorac_schedule_lr(const struct lorac_optim_options *o, size_t step)
{
    if (step < o->warmup) { return o->lr * (double)(step + 1) / (double)o->warmup; }
    size_t rest = o->steps > o->warmup ? o->steps - o->warmup : 1;
    double done = (double)(step - o->warmup) / (double)rest;
    double share = schedules[o->schedule](done < 1.0 ? done : 1.0);
    return o->lr * (o->final_lr_ratio + (1.0 - o->final_lr_ratio) * share);
}
