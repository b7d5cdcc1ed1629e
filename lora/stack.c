/* stack.c - several adapters beside one base, each with its own factor; nothing here trains. */
#include "lora/lora.h"

#include <assert.h>

static bool adapts(const void *self, size_t m)
{
    const struct lorac_stack *s = self;
    bool any = false;
    for (size_t i = 0; i < s->n; i++) {
        any = any || s->adapter[i]->at[m] >= 0;
    }
    return any;
}

static bool trains(const void *self, size_t m)
{
    (void)self;
    (void)m;
    return false;
}

static size_t saved_floats(const void *self, size_t m, size_t N)
{
    const struct lorac_stack *s = self;
    size_t most = 0; // the largest rank: one adapter after the other uses the same u
    for (size_t i = 0; i < s->n; i++) {
        int32_t at = s->adapter[i]->at[m];
        if (at >= 0 && s->adapter[i]->lora[at].R > most) { most = s->adapter[i]->lora[at].R; }
    }
    return N * most;
}

static void forward(void *self, size_t m, float *y, float *saved, const float *x, size_t N,
                    const struct lorac_batch *batch)
{
    const struct lorac_stack *s = self;
    float *u = saved; // (N,R)
    (void)batch;
    for (size_t i = 0; i < s->n; i++) {
        int32_t at = s->adapter[i]->at[m];
        if (at < 0) { continue; }
        const struct lorac_lora *l = &s->adapter[i]->lora[at];
        struct lorac_device *dev = s->adapter[i]->model->dev;
        dev->ops->matmul_nt(dev, u, x, l->a, N, l->C, l->R, 1.0F, 0.0F);
        dev->ops->matmul_nn(dev, y, u, l->bt, N, l->OC, l->R, s->factor[i] * l->scale, 1.0F);
    }
}

static void backward(void *self, size_t m, float *dx, // NOLINT(readability-non-const-parameter)
                     const float *dy, const float *saved, const float *x, size_t N)
{
    (void)self;
    (void)m;
    (void)dx;
    (void)dy;
    (void)saved;
    (void)x;
    (void)N;
    assert(false); // nothing in a stack trains, so no backward pass reaches it
}

struct lorac_socket lorac_stack_socket(struct lorac_stack *s)
{
    return (struct lorac_socket){
        .self = s,
        .adapts = adapts,
        .trains = trains,
        .saved_floats = saved_floats,
        .forward = forward,
        .backward = backward,
    };
}
