/* frozen.c - the layers that no adapter reaches; see model.h. */
#include "base/pass_impl.h"

size_t lorac_frozen_layers(const struct lorac_model *m, const struct lorac_socket *socket)
{
    const struct lorac_program *program = m->config.program;
    size_t n = program->front.n + m->config.L * program->layer.n;
    for (size_t i = 0; i < n && socket; i++) {
        bool adapted = m->step[i] != LORAC_NO_MODULE && socket->adapts(socket->self, m->step[i]);
        if (!adapted) { continue; }
        return i < program->front.n ? 0 : (i - program->front.n) / program->layer.n;
    }
    return m->config.L;
}

static enum lorac_status check(const struct lorac_pass *p, const struct lorac_batch *batch,
                               struct lorac_err *err)
{
    if (p->frozen == 0) {
        return lorac_fail(err, LORAC_EUSER, "the lowest layer is adapted: none below it is frozen");
    }
    return lorac_pass_check(p, batch, NULL, err);
}

static size_t stream_bytes(const struct lorac_pass *p, const struct lorac_batch *batch)
{
    return batch->N * p->m->config.C * sizeof(float);
}

enum lorac_status lorac_pass_forward_frozen(float *x, struct lorac_pass *p,
                                            const struct lorac_batch *batch, struct lorac_err *err)
{
    enum lorac_status st = check(p, batch, err);
    if (st) { return st; }
    p->scored = false;
    lorac_pass_up(p, batch, NULL, 0, p->frozen);
    p->dev->ops->read(p->dev, x, p->x[p->frozen], stream_bytes(p, batch));
    return LORAC_OK;
}

enum lorac_status lorac_pass_forward_rest(struct lorac_pass *p, const struct lorac_batch *batch,
                                          const float *x, struct lorac_err *err)
{
    enum lorac_status st = check(p, batch, err);
    if (st) { return st; }
    p->dev->ops->write(p->dev, p->x[p->frozen], x, stream_bytes(p, batch));
    p->scored = p->frozen < p->m->config.L &&
                !lorac_model_pools(p->m); // else nothing is left to run but the head
    lorac_pass_up(p, batch, NULL, p->frozen, p->m->config.L);
    return LORAC_OK;
}
