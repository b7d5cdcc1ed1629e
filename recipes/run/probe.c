/* probe.c - one training step, measured; see plan.h. */
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "recipes/run/plan.h"
#include "recipes/run/setup.h"

#include <math.h>
#include <stdlib.h>

/* Short steps are measured a few times: other programs may disturb one. */
enum { MAX_STEPS = 5, ENOUGH_SECONDS = 2 };
#define MOST_OF_A_STEP \
    0.75 // that the way up takes; where it seems to be more, another disturbed it

struct probe {
    struct lorac_adapter *adapter;
    struct lorac_loader *loader;
    struct lorac_trainer *trainer;
};

static enum lorac_status open_probe(struct probe *o, const struct lorac_plan *p,
                                    struct lorac_err *err)
{
    const struct lorac_job *j = p->job;
    struct lorac_loader_options loader = lorac_setup_loader(j);
    struct lorac_trainer_options t;
    struct lorac_length length;
    enum lorac_status st = lorac_job_adapter(&o->adapter, j, err);
    if (!st) { st = lorac_loader_open(&o->loader, j->train.set, &loader, err); }
    if (!st) { st = lorac_setup_trainer(&t, &length, j, o->adapter, o->loader, err); }
    if (st) { return st; }
    t.epochs = 0; // the run may be shorter
    t.steps = MAX_STEPS;
    t.valid.set = NULL;
    t.cache_frozen_prefix = LORAC_RECIPE_CACHE_OFF; // of all rows, for a few steps
    return lorac_trainer_open(&o->trainer, &t, err);
}

static void close_probe(struct probe *o)
{
    lorac_trainer_close(o->trainer);
    lorac_loader_close(o->loader);
    lorac_adapter_free(o->adapter);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

enum lorac_status lorac_plan_probe(struct lorac_plan_probe *out, const struct lorac_plan *p,
                                   struct lorac_err *err)
{
    struct probe o = {0};
    struct lorac_peek peek = {0};
    struct lorac_step step = {0};
    double seconds[MAX_STEPS];
    size_t n = 0;
    *out = (struct lorac_plan_probe){0};
    enum lorac_status st = open_probe(&o, p, err);
    if (!st) { st = lorac_trainer_peek(&peek, o.trainer, err); } // brings weights into memory
    out->loss = peek.loss;
    if (!st) { st = lorac_trainer_peek(&peek, o.trainer, err); }
    for (double begin = lorac_clock(); n < MAX_STEPS && !st; n++) {
        if (n && lorac_clock() - begin > ENOUGH_SECONDS) { break; }
        st = lorac_trainer_step(&step, o.trainer, err);
        seconds[n] = step.seconds;
    }
    if (!st) {
        // the share of the frozen layers: once for each row, and in no step
        double frozen = (double)p->frozen.layers / (double)p->job->model->config.L;
        double once = frozen * peek.row_seconds * (double)p->frozen.rows;
        double whole = peek.row_seconds * (double)p->eval_rows;
        double kept = !p->frozen.valid_bytes ? 0.0
                                             : whole * (double)p->frozen.valid_layers /
                                                   (double)p->job->model->config.L;
        double way_up = peek.forward_seconds * (double)p->job->recipe->train.accumulate;
        qsort(seconds, n, sizeof *seconds, ascending);
        out->step_seconds = seconds[n / 2] - frozen * fmin(way_up, MOST_OF_A_STEP * seconds[n / 2]);
        out->eval_seconds = whole - kept + peek.scored_seconds * (double)p->eval_scored;
        out->seconds = once + kept + (double)p->steps * out->step_seconds +
                       (double)p->evaluations * out->eval_seconds;
        out->tokens_per_second = (double)step.tokens / out->step_seconds;
    }
    close_probe(&o);
    return st;
}
