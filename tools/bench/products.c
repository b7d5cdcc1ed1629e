/* products.c - see products.h. */
#include "tools/bench/products.h"

#include <string.h>

enum lorac_status counter_open(struct counter *c, const struct lorac_model *m,
                               const struct lorac_socket *stands_for, struct lorac_err *err)
{
    *c = (struct counter){.m = m, .stands_for = stands_for};
    c->rows = lorac_mem_new(m->n_modules, sizeof *c->rows);
    return c->rows ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory");
}

void counter_close(struct counter *c)
{
    lorac_mem_free(c->rows);
    *c = (struct counter){0};
}

void counter_clear(struct counter *c)
{
    memset(c->rows, 0, c->m->n_modules * sizeof *c->rows);
}

static bool adapts(const void *self, size_t m)
{
    const struct counter *c = self;
    return lorac_module_is_linear(&c->m->module[m]);
}

static bool trains(const void *self, size_t m)
{
    const struct counter *c = self;
    return c->stands_for && c->stands_for->trains(c->stands_for->self, m);
}

static size_t no_floats(const void *self, size_t m, size_t N)
{
    (void)self, (void)m, (void)N;
    return 0;
}

static void forward(void *self, float *y, const float *x, const struct lorac_linear *l)
{
    struct counter *c = self;
    c->rows[l->m].forward += l->N;
    lorac_linear_forward(l, y, x);
}

static void backward(void *self, float *dx, const float *dy, const float *x,
                     const struct lorac_linear *l)
{
    struct counter *c = self;
    (void)x;
    if (!dx) { return; }
    c->rows[l->m].backward += l->N;
    lorac_linear_backward(l, dx, dy);
}

struct lorac_socket counter_socket(struct counter *c)
{
    return (struct lorac_socket){.self = c,
                                 .adapts = adapts,
                                 .trains = trains,
                                 .saved_floats = no_floats,
                                 .scratch_floats = no_floats,
                                 .forward = forward,
                                 .backward = backward};
}

const char *compute_of_module(const struct lorac_model *m, size_t i)
{
    return lorac_compute_name(lorac_module_compute(m, &m->module[i]));
}

static enum lorac_status add(struct ideal *to, const struct counter *c, size_t i, bool back,
                             size_t N, struct ceilings *ceilings, struct lorac_err *err)
{
    const struct lorac_module *m = &c->m->module[i];
    size_t counted = back ? c->rows[i].backward : c->rows[i].forward;
    struct product p = {.OC = m->OC, .C = m->C, .backward = back};
    if (!counted) { return LORAC_OK; }
    size_t least = lorac_min(counted, N); // a layer that is computed again counts once
    p.N = i == c->m->head ? least : N;
    const struct ceiling *at = ceiling_of(ceilings, &p, compute_of_module(c->m, i));
    if (!at) { return lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    double rate = series_last(&at->best);
    double flops = product_flops(&p);
    p.N = least;
    to->flops += flops;
    to->seconds += flops / rate;
    to->least_flops += product_flops(&p);
    to->least_seconds += product_flops(&p) / rate;
    return LORAC_OK;
}

enum lorac_status ideal_of(struct ideal *out, const struct counter *c, size_t N,
                           struct ceilings *ceilings, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    *out = (struct ideal){0};
    for (size_t i = 0; i < c->m->n_modules && !st; i++) {
        st = add(out, c, i, false, N, ceilings, err);
        if (!st) { st = add(out, c, i, true, N, ceilings, err); }
    }
    return st;
}

enum lorac_status ideal_prepare(const struct counter *c, size_t N, struct ceilings *ceilings,
                                struct lorac_err *err)
{
    struct ideal ignored;
    return ideal_of(&ignored, c, N, ceilings, err);
}
