/* profile.c - see profile.h. */
#include "base/profile.h"

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/pass_impl.h"

#include <stdio.h>
#include <string.h>

/* The row called `name`, a new one where there is none. */
static size_t row_of(struct lorac_profile *f, const char *name)
{
    size_t i = 0;
    while (i < f->n && strcmp(f->row[i].name, name) != 0) {
        i++;
    }
    if (i == f->n) { (void)snprintf(f->row[f->n++].name, LORAC_PROFILE_NAME, "%s", name); }
    return i;
}

enum lorac_status lorac_profile_new(struct lorac_profile **out, const struct lorac_model *m,
                                    struct lorac_err *err)
{
    static const char *const fixed[LORAC_PROFILE_STEPS] = {"adapters", "loss", "optimiser", "data",
                                                           "rest"};
    const struct lorac_program *p = m->config.program;
    const struct lorac_steps *head = &m->config.head->steps;
    const struct lorac_steps *const part[] = {&p->front, &p->layer, head};
    size_t steps = p->front.n + p->layer.n + head->n;
    struct lorac_profile *f = lorac_mem_new(1, sizeof *f);
    *out = f;
    if (f) {
        f->model = m;
        f->row = lorac_mem_new(LORAC_PROFILE_STEPS + steps, sizeof *f->row);
        f->of = lorac_mem_new(steps, sizeof *f->of);
    }
    if (!f || !f->row || !f->of) {
        lorac_profile_free(f);
        *out = NULL;
        return lorac_fail(err, LORAC_ENOMEM, "no memory for a profile");
    }
    for (size_t i = 0; i < LORAC_PROFILE_STEPS; i++) {
        (void)row_of(f, fixed[i]);
    }
    size_t *of = f->of;
    for (size_t k = 0; k < 3; k++) {
        for (size_t i = 0; i < part[k]->n; i++) {
            const struct lorac_step *s = &part[k]->at[i];
            *of++ = row_of(f, s->module ? s->module : lorac_operations[s->op].name);
        }
    }
    return LORAC_OK;
}

void lorac_profile_free(struct lorac_profile *f)
{
    if (!f) { return; }
    lorac_mem_free(f->row);
    lorac_mem_free(f->of);
    lorac_mem_free(f);
}

struct lorac_cost *lorac_profile_switch(struct lorac_profile *f, struct lorac_cost *to)
{
    if (!f) { return NULL; }
    struct lorac_cost *before = f->at;
    double now = lorac_clock();
    if (before) { before->seconds += now - f->since; }
    f->at = to;
    f->since = now;
    return before;
}

struct lorac_cost *lorac_profile_enter(struct lorac_profile *f, size_t row)
{
    if (!f) { return NULL; }
    f->row[row].forward.calls++;
    return lorac_profile_switch(f, &f->row[row].forward);
}

/* ---- products by themselves ---- */

enum { TRIES = 5 };

/* x (N,C), y (N,OC) of the largest product. */
struct operands {
    struct lorac_device *dev;
    float *x, *y;
};

static size_t rows_a_call(const struct lorac_cost *c, const struct lorac_module *m)
{
    if (c->calls == 0) { return 0; }
    return (size_t)(c->flops / (2.0 * (double)m->OC * (double)m->C * (double)c->calls) + 0.5);
}

/* `module` (layers): that of one step in each. The last are tried: backward products come there. */
static void time_alone(struct lorac_cost *c, const struct operands *o, const struct lorac_model *m,
                       const uint32_t *module, size_t stride, size_t layers, bool backward)
{
    const struct lorac_backend *op = o->dev->ops;
    size_t N = rows_a_call(c, &m->module[*module]);
    double least = 0.0;
    for (size_t i = 0; i < TRIES && N > 0; i++) {
        const struct lorac_module *w = &m->module[module[(layers - 1 - i % layers) * stride]];
        double begin = lorac_clock();
        if (backward) {
            op->linear_backward(o->dev, o->x, o->y, w->w, N, 0.0F);
        } else {
            op->linear(o->dev, o->y, o->x, w->w, w->n ? w->vector : NULL, N);
        }
        double took = lorac_clock() - begin;
        least = i == 0 || took < least ? took : least;
    }
    c->alone = least * (double)c->calls;
}

/* Calls `each` for the linear steps of the program: with its row, its module in the first layer,
 * and how far away that in the next one is. */
static void each_product(struct lorac_profile *f, void *self,
                         void (*each)(struct lorac_profile_row *row, void *self,
                                      const struct lorac_model *m, const uint32_t *module,
                                      size_t stride, size_t layers))
{
    const struct lorac_model *m = f->model;
    const struct lorac_program *p = m->config.program;
    const struct lorac_steps *head = &m->config.head->steps;
    for (size_t i = 0; i < p->layer.n + head->n; i++) {
        bool in_layer = i < p->layer.n;
        const struct lorac_step *s = in_layer ? &p->layer.at[i] : &head->at[i - p->layer.n];
        size_t at = p->front.n + (in_layer ? 0 : (m->config.L - 1) * p->layer.n) + i;
        if (s->op != OP_LINEAR) { continue; }
        each(&f->row[f->of[p->front.n + i]], self, m, m->step + at, p->layer.n,
             in_layer ? m->config.L : 1);
    }
}

struct largest {
    size_t x, y; // floats
};

static void find_largest(struct lorac_profile_row *row, void *self, const struct lorac_model *m,
                         const uint32_t *module, size_t stride, size_t layers)
{
    (void)stride;
    (void)layers;
    struct largest *l = self;
    const struct lorac_module *w = &m->module[*module];
    const struct lorac_cost *const costs[] = {&row->forward, &row->backward};
    for (size_t i = 0; i < 2; i++) {
        size_t N = rows_a_call(costs[i], w);
        l->x = N * w->C > l->x ? N * w->C : l->x;
        l->y = N * w->OC > l->y ? N * w->OC : l->y;
    }
}

static void measure_row(struct lorac_profile_row *row, void *self, const struct lorac_model *m,
                        const uint32_t *module, size_t stride, size_t layers)
{
    time_alone(&row->forward, self, m, module, stride, layers, false);
    time_alone(&row->backward, self, m, module, stride, layers, true);
}

/* Device memory of n ordinary numbers: zeros may be faster. */
static float *numbers(struct lorac_device *dev, const float *host, size_t n)
{
    float *x = dev->ops->alloc(dev, n * sizeof *x);
    if (x) { dev->ops->write(dev, x, host, n * sizeof *x); }
    return x;
}

enum lorac_status lorac_profile_measure(struct lorac_profile *f, struct lorac_err *err)
{
    struct largest l = {1, 1};
    struct lorac_device *dev = f->model->dev;
    each_product(f, &l, find_largest);
    size_t n = l.x > l.y ? l.x : l.y;
    float *host = lorac_mem_new(n, sizeof *host);
    struct operands o = {.dev = dev};
    for (size_t i = 0; i < n && host; i++) {
        host[i] = (float)(i % 17) * 0.01F - 0.08F;
    }
    if (host) {
        o.x = numbers(dev, host, l.x);
        o.y = numbers(dev, host, l.y);
    }
    bool all = o.x && o.y;
    if (all) { each_product(f, &o, measure_row); }
    dev->ops->release(dev, o.x);
    dev->ops->release(dev, o.y);
    lorac_mem_free(host);
    return all ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory to measure products");
}
