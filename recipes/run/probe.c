/* probe.c - one training step, measured; see plan.h. */
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "recipes/run/plan.h"
#include "recipes/run/setup.h"

#include <stdlib.h>

/* Short steps are measured a few times: other programs may disturb one. */
enum { MAX_STEPS = 5, ENOUGH_SECONDS = 2 };

/* What a step needs. */
struct probe {
    const struct lorac_job *job;
    struct lorac_adapter *adapter;
    struct lorac_socket socket;
    struct lorac_loader *loader;
    struct lorac_batch *batch;
    struct lorac_pass *pass;
    struct lorac_optim *optim;
    float *nll;                   // (rows of a batch)
    size_t tokens;                // since the last reset
    double loss, weight, forward; // the same: sums, seconds of the forward passes
};

static enum lorac_status open_probe(struct probe *o, const struct lorac_plan *p,
                                    struct lorac_err *err)
{
    const struct lorac_recipe *r = p->job->recipe;
    struct lorac_loader_options loader = lorac_setup_loader(r);
    struct lorac_optim_options optim = lorac_setup_optim(r, p->steps);
    struct lorac_pass_options pass;
    size_t bytes = 0;
    o->job = p->job;
    enum lorac_status st = lorac_job_adapter(&o->adapter, p->job, err);
    if (!st) { st = lorac_adapter_reserve(o->adapter, err); }
    if (!st) { st = lorac_optim_new(&o->optim, o->adapter, &optim, err); }
    if (!st) { st = lorac_loader_open(&o->loader, p->job->train.set, &loader, err); }
    if (st) { return st; }
    o->socket = lorac_adapter_socket(o->adapter);
    o->nll = lorac_mem_new(p->max_rows, sizeof *o->nll);
    if (!o->nll) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a batch"); }
    st = lorac_batch_new(&o->batch, p->max_rows, lorac_loader_max_segments(o->loader), p->max_rows,
                         err);
    if (!st) {
        st = lorac_setup_pass(&pass, &bytes, r, p->job->model, &o->socket, p->max_rows, err);
    }
    return st ? st : lorac_pass_new(&o->pass, p->job->model, &o->socket, &pass, err);
}

static enum lorac_status micro_batch(struct probe *o, struct lorac_err *err)
{
    const uint32_t *examples = NULL;
    size_t n = 0;
    double begin = lorac_clock();
    enum lorac_status st = lorac_loader_next(o->loader, o->batch, &examples, &n, err);
    if (!st) { st = lorac_pass_forward(o->pass, o->batch, NULL, err); }
    if (st) { return st; }
    o->forward += lorac_clock() - begin;
    lorac_pass_loss(o->pass, o->batch, o->nll, true);
    lorac_pass_backward(o->pass, o->batch);
    for (size_t t = 0; t < o->batch->T; t++) {
        o->loss += (double)o->batch->weight[t] * (double)o->nll[t];
        o->weight += (double)o->batch->weight[t];
    }
    o->tokens += o->batch->N;
    return LORAC_OK;
}

static void close_probe(struct probe *o)
{
    lorac_pass_free(o->pass);
    lorac_batch_free(o->batch);
    lorac_loader_close(o->loader);
    lorac_optim_free(o->optim);
    lorac_adapter_free(o->adapter);
    lorac_mem_free(o->nll);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds a scored row of the head takes without gradients. */
static enum lorac_status score(double *seconds, struct probe *o, struct lorac_err *err)
{
    const uint32_t *examples = NULL;
    size_t n = 0;
    enum lorac_status st = lorac_loader_next(o->loader, o->batch, &examples, &n, err);
    if (!st) { st = lorac_pass_forward(o->pass, o->batch, NULL, err); }
    if (st) { return st; }
    double begin = lorac_clock();
    lorac_pass_loss(o->pass, o->batch, o->nll, false);
    *seconds = (lorac_clock() - begin) / (double)o->batch->U;
    return LORAC_OK;
}

/* One optimiser step; its time into *seconds, that of its forward passes a row into *row_seconds.
 */
static enum lorac_status step(struct probe *o, double *seconds, double *row_seconds,
                              struct lorac_err *err)
{
    double norm = 0.0;
    double begin = lorac_clock();
    enum lorac_status st = LORAC_OK;
    o->tokens = 0;
    o->loss = o->weight = o->forward = 0.0;
    for (size_t i = 0; i < o->job->recipe->train.accumulate && !st; i++) {
        st = micro_batch(o, err);
    }
    if (!st) { st = lorac_optim_step(o->optim, o->weight, &norm, err); }
    if (st) { return st; }
    *seconds = lorac_clock() - begin;
    *row_seconds = o->forward / (double)o->tokens;
    return LORAC_OK;
}

enum lorac_status lorac_plan_probe(struct lorac_plan_probe *out, const struct lorac_plan *p,
                                   struct lorac_err *err)
{
    struct probe o = {0};
    double seconds[MAX_STEPS];
    double rows[MAX_STEPS];
    double scored = 0.0;
    size_t n = 0;
    *out = (struct lorac_plan_probe){0};
    enum lorac_status st = open_probe(&o, p, err);
    if (!st) { st = micro_batch(&o, err); } // brings the weights into memory
    if (!st) { out->loss = o.loss / o.weight; }
    if (!st) { st = score(&scored, &o, err); }
    for (double begin = lorac_clock(); n < MAX_STEPS && !st; n++) {
        if (n && lorac_clock() - begin > ENOUGH_SECONDS) { break; }
        st = step(&o, &seconds[n], &rows[n], err);
    }
    if (!st) {
        qsort(seconds, n, sizeof *seconds, ascending);
        qsort(rows, n, sizeof *rows, ascending);
        out->step_seconds = seconds[n / 2];
        out->eval_seconds = rows[n / 2] * (double)p->eval_rows + scored * (double)p->eval_scored;
        out->seconds =
            (double)p->steps * out->step_seconds + (double)p->evaluations * out->eval_seconds;
        out->tokens_per_second = (double)o.tokens / out->step_seconds;
    }
    close_probe(&o);
    return st;
}
