/*
 * pass_backward.c - the loss on the scored rows, and the backward pass through the frozen layers.
 * Reads beside pass.c from the last line up. Pinned by base.test_pass (finite differences) and by the
 * golden files of transformers + PEFT.
 */
#include "base/pass_impl.h"

#include <assert.h>

void lorac_linear_backward(struct lorac_pass *p, size_t module, float *dx, const float *dy,
                           const float *x, size_t N, float beta, size_t row)
{
    const struct lorac_weight *w = lorac_pass_weight(p, module);
    if (dx) { p->dev->ops->linear_backward(p->dev, dx, dy, w, N, beta); }
    if (p->has_socket && p->socket.adapts(p->socket.self, module)) {
        p->socket.backward(p->socket.self, module, dx, dy, p->saved[module], p->scratch, x, N, row);
    }
}

static bool adapted(const struct lorac_pass *p, size_t module)
{
    return p->has_socket && p->socket.adapts(p->socket.self, module);
}

/* x (N,C) a norm's input, dy (N,C) its output's gradient: the gain's gradient where it trains, and dx
 * accumulated. False: nothing below trains, and dx stays. */
static bool norm_backward(struct lorac_pass *p, size_t module, float *dx, const float *dy,
                          const float *x, size_t N)
{
    const struct lorac_config *c = &p->m->config;
    const float *g = lorac_pass_vector(p, module);
    if (p->has_socket && p->socket.weight && p->socket.trains(p->socket.self, module)) {
        p->socket.norm_backward(p->socket.self, module, dy, x, N, (float)c->eps);
    }
    if (p->lowest >= lorac_stage(p->m, module)) { return false; }
    p->dev->ops->rmsnorm_backward(p->dev, dx, dy, x, g, N, c->C, (float)c->eps);
    return true;
}

/* ---- the head: norm, lm_head, loss, for scored rows only, in chunks ---- */

/* Logits of rows u .. u+n-1 of the batch's head rows. */
static void head_forward(struct lorac_pass *p, const struct lorac_batch *b, size_t u, size_t n)
{
    const struct lorac_config *c = &p->m->config;
    const struct lorac_backend *op = p->dev->ops;
    op->gather(p->dev, p->head_x, p->x[c->L], b->head_row + u, n, c->C);
    op->rmsnorm(p->dev, p->head_norm, p->head_x,
                lorac_pass_vector(p, lorac_norm_final_module(p->m)), n, c->C, (float)c->eps);
    lorac_linear_forward(p, p->m->n_linear - 1, p->logits, p->head_norm, n, NULL, u);
}

void lorac_pass_logits(struct lorac_pass *p, const struct lorac_batch *batch, float *logits)
{
    size_t V = p->m->config.V;
    for (size_t u = 0; u < batch->U; u += p->head_rows) {
        size_t n = batch->U - u < p->head_rows ? batch->U - u : p->head_rows;
        head_forward(p, batch, u, n);
        p->dev->ops->read(p->dev, logits + u * V, p->logits, n * V * sizeof *logits);
    }
}

void lorac_pass_loss(struct lorac_pass *p, const struct lorac_batch *batch, float *nll,
                     bool gradient)
{
    const struct lorac_config *c = &p->m->config;
    const struct lorac_backend *op = p->dev->ops;
    size_t head = p->m->n_linear - 1;
    assert(!gradient || lorac_pass_trains(p));
    if (gradient) { lorac_pass_find_lowest(p); }
    bool below = gradient && p->lowest < lorac_stage(p->m, head);
    if (gradient) { op->zero(p->dev, p->d, batch->N * c->C * sizeof *p->d); }
    for (size_t u = 0; u < batch->U; u += p->head_rows) {
        size_t n = batch->U - u < p->head_rows ? batch->U - u : p->head_rows;
        const uint32_t *first = batch->first + u;
        head_forward(p, batch, u, n);
        op->cross_entropy(p->dev, nll + first[0], p->logits, first, batch->target + first[0], n,
                          c->V, gradient);
        if (!gradient) { continue; }
        lorac_linear_backward(p, head, below ? p->head_dnorm : NULL, p->logits, p->head_norm, n,
                              0.0F, u);
        if (!below) { continue; }
        op->zero(p->dev, p->head_dx, n * c->C * sizeof *p->head_dx);
        if (norm_backward(p, lorac_norm_final_module(p->m), p->head_dx, p->head_dnorm, p->head_x,
                          n)) {
            op->scatter_add(p->dev, p->d, p->head_dx, batch->head_row + u, n, c->C);
        }
    }
}

/* ---- layers ---- */

/* y = mid + down(act(gate) up): d holds dy on entry and dmid on exit. False: nothing below trains. */
static bool mlp_backward(struct lorac_pass *p, size_t l, struct layer_acts *a, size_t N)
{
    const struct lorac_config *c = &p->m->config;
    const struct lorac_backend *op = p->dev->ops;
    size_t norm = lorac_norm_module(p->m, l, LORAC_NORM_MLP);
    size_t m = LORAC_PER_LAYER * l;
    size_t below = LORAC_STAGES * l; // stage of what comes before this layer

    if (adapted(p, m + LORAC_DOWN)) { op->gate(p->dev, p->h, a->gate, a->up, N * c->F, c->act); }
    lorac_linear_backward(p, m + LORAC_DOWN, p->lowest < below + LORAC_STAGE_DOWN ? p->dh : NULL,
                          p->d, p->h, N, 0.0F, 0);
    if (p->lowest >= below + LORAC_STAGE_DOWN) { return false; }

    // gate and up become their own gradients: nobody reads them again
    op->gate_backward(p->dev, a->gate, a->up, p->dh, a->gate, a->up, N * c->F, c->act);
    float *dnorm = p->lowest < below + LORAC_STAGE_GATE_UP ? p->dnorm : NULL; // (N,C)
    if (adapted(p, m + LORAC_GATE) || adapted(p, m + LORAC_UP)) {
        op->rmsnorm(p->dev, p->norm, a->mid, lorac_pass_vector(p, norm), N, c->C, (float)c->eps);
    }
    lorac_linear_backward(p, m + LORAC_GATE, dnorm, a->gate, p->norm, N, 0.0F, 0);
    lorac_linear_backward(p, m + LORAC_UP, dnorm, a->up, p->norm, N, 1.0F, 0);
    return dnorm && norm_backward(p, norm, p->d, dnorm, a->mid, N);
}

/* mid = x + o(attention(q, k, v)): d holds dmid on entry and dx on exit. False: nothing below trains. */
static bool attention_backward(struct lorac_pass *p, size_t l, struct layer_acts *a,
                               const struct lorac_batch *batch)
{
    const struct lorac_config *c = &p->m->config;
    const struct lorac_backend *op = p->dev->ops;
    size_t norm = lorac_norm_module(p->m, l, LORAC_NORM_ATTENTION);
    size_t m = LORAC_PER_LAYER * l;
    size_t below = LORAC_STAGES * l; // stage of what comes before this layer
    size_t N = batch->N;
    struct lorac_attention attention = lorac_layer_attention(c, l);

    lorac_linear_backward(p, m + LORAC_O, p->lowest < below + LORAC_STAGE_O ? p->dattn : NULL, p->d,
                          a->attn, N, 0.0F, 0);
    if (p->lowest >= below + LORAC_STAGE_O) { return false; }

    op->attention_backward(p->dev, p->dq, p->dk, p->dv, p->dattn, a->attn, a->lse, a->q, a->k, a->v,
                           batch->segments, batch->S, &attention);
    op->rope(p->dev, p->dq, p->rope, batch->position, N, c->H, c->D, -1.0F);
    op->rope(p->dev, p->dk, p->rope, batch->position, N, c->G, c->D, -1.0F);
    float *dnorm = p->lowest < below + LORAC_STAGE_QKV ? p->dnorm : NULL; // (N,C)
    if (adapted(p, m + LORAC_Q) || adapted(p, m + LORAC_K) || adapted(p, m + LORAC_V)) {
        op->rmsnorm(p->dev, p->norm, p->x[l], lorac_pass_vector(p, norm), N, c->C, (float)c->eps);
    }
    lorac_linear_backward(p, m + LORAC_Q, dnorm, p->dq, p->norm, N, 0.0F, 0);
    lorac_linear_backward(p, m + LORAC_K, dnorm, p->dk, p->norm, N, 1.0F, 0);
    lorac_linear_backward(p, m + LORAC_V, dnorm, p->dv, p->norm, N, 1.0F, 0);
    return dnorm && norm_backward(p, norm, p->d, dnorm, p->x[l], N);
}

void lorac_pass_backward(struct lorac_pass *p, const struct lorac_batch *batch)
{
    size_t L = p->m->config.L;
    for (size_t l = L; l-- > 0;) {
        struct layer_acts *a = &p->layers[p->n_sets == 1 ? 0 : l];
        if (p->lowest > LORAC_STAGES * l + LORAC_STAGE_DOWN) { return; }
        if (p->o.keep == LORAC_KEEP_LAYERS && l + 1 < L) { lorac_layer_forward(p, l, batch, NULL); }
        if (!mlp_backward(p, l, a, batch->N) || !attention_backward(p, l, a, batch)) { return; }
    }
    if (p->lowest == 0) { p->socket.embed_backward(p->socket.self, p->d, batch->ids, batch->N); }
}
