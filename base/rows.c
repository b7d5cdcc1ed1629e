/*
 * rows.c - what goes to other rows: the operations that split and pool, and the lists of rows that
 * they, and positions that are shifted, take.
 */
#include "base/core/mem.h"
#include "base/pass_impl.h"

bool lorac_model_pools(const struct lorac_model *m)
{
    const struct lorac_steps *head = &m->config.head->steps;
    bool yes = false;
    for (size_t i = 0; i < head->n && m->config.pool_mean; i++) {
        yes = yes || head->at[i].op == OP_POOL;
    }
    return yes;
}

/* (n, each) written: k, k + n, k + 2 n, ... for each k < n. */
static uint32_t *list_parts(size_t n, size_t each)
{
    uint32_t *part = lorac_mem_new(n * each, sizeof *part);
    for (size_t i = 0; i < n * each && part; i++) {
        part[i] = (uint32_t)(i % each * n + i / each);
    }
    return part;
}

/* Where a program splits: the rows of each part. And lists of a batch's rows. */
bool lorac_pass_list_rows(struct lorac_pass *p)
{
    const struct lorac_steps *layer = p->layer.layout.steps;
    size_t N = p->o.max_rows;
    bool done = true;
    for (size_t i = 0; i < layer->n && done; i++) {
        if (layer->at[i].op != OP_SPLIT) { continue; }
        bool two = layer->at[i].out[2] == SLOT_NONE;
        uint32_t **part = two ? &p->half : &p->third;
        *part = two ? list_parts(2, N) : list_parts(3, N * p->m->config.H);
        done = *part != NULL;
    }
    if (done) { p->position = lorac_mem_new(N, sizeof *p->position); }
    done = p->position != NULL;
    if (done && p->m->config.position_offset) {
        p->shifted = lorac_mem_new(N, sizeof *p->shifted);
        done = p->shifted != NULL;
    }
    if (done && lorac_model_pools(p->m)) {
        p->text_of = lorac_mem_new(N, sizeof *p->text_of);
        done = p->text_of != NULL;
    }
    return done;
}

/* ---- q, k, v (N,H,D) <- qkv (N,3,H,D) or (N,H,3,D) ---- */

/* Each is every second or third row of a matrix of rows of `width` numbers; *part: which, one list
 * of `most` behind the other. */
struct parts {
    const uint32_t *part;
    size_t n, rows, width, most;
};

static struct parts parts_of(const struct lorac_walk *w, size_t i)
{
    const struct lorac_config *c = &w->p->m->config;
    const struct lorac_step *s = lorac_step_of(w, i);
    size_t N = w->p->o.max_rows;
    if (s->out[2] == SLOT_NONE) { return (struct parts){w->p->half, 2, w->N, c->F, N}; }
    bool heads = s->flags & SPLIT_HEADS;
    struct parts t = {w->p->third, 3, w->N, c->H * c->D, N * c->H};
    return heads ? (struct parts){t.part, 3, w->N * c->H, c->D, t.most} : t;
}

void lorac_split(struct lorac_walk *w, size_t i)
{
    const struct lorac_step *s = lorac_step_of(w, i);
    struct parts t = parts_of(w, i);
    for (size_t k = 0; k < t.n; k++) {
        w->p->dev->ops->gather(w->p->dev, w->x[s->out[k]], w->x[s->in[0]], t.part + k * t.most,
                               t.rows, t.width);
    }
}

void lorac_split_backward(struct lorac_walk *w, size_t i)
{
    const struct lorac_step *s = lorac_step_of(w, i);
    const struct lorac_backend *op = w->p->dev->ops;
    struct parts t = parts_of(w, i);
    float *dx = w->dx[s->in[0]]; // (N,3 H D) or (N,2 F)
    op->zero(w->p->dev, dx, t.n * t.rows * t.width * sizeof *dx);
    for (size_t k = 0; k < t.n; k++) {
        op->scatter_add(w->p->dev, dx, w->dx[s->out[k]], t.part + k * t.most, t.rows, t.width);
    }
}

/* ---- y (U,C) <- the mean of each text's rows x (N,C), or x where a row is asked for ---- */

static const struct lorac_segment *segment_of(const struct lorac_batch *b, size_t row)
{
    const struct lorac_segment *s = b->segments;
    while (row < s->row || row >= (size_t)s->row + s->n) {
        s++;
    }
    return s;
}

void lorac_pool(struct lorac_walk *w, size_t i)
{
    const struct lorac_step *s = lorac_step_of(w, i);
    const struct lorac_backend *op = w->p->dev->ops;
    struct lorac_device *dev = w->p->dev;
    size_t C = w->p->m->config.C;
    const float *x = w->x[s->in[0]];
    float *y = w->x[s->out[0]];
    if (!lorac_model_pools(w->p->m)) {
        op->copy(dev, y, x, w->N * C * sizeof *y);
        return;
    }
    w->N = w->batch->U;
    op->zero(dev, y, w->N * C * sizeof *y);
    for (size_t u = 0; u < w->N; u++) {
        const struct lorac_segment *text = segment_of(w->batch, w->batch->head_row[u]);
        op->column_sums(dev, y + u * C, x + text->row * C, text->n, C);
        op->scale(dev, y + u * C, C, 1.0F / (float)text->n);
    }
}

/* dx_t = dy / n for each of a text's n rows */
void lorac_pool_backward(struct lorac_walk *w, size_t i)
{
    const struct lorac_step *s = lorac_step_of(w, i);
    const struct lorac_backend *op = w->p->dev->ops;
    struct lorac_device *dev = w->p->dev;
    const struct lorac_batch *b = w->batch;
    size_t C = w->p->m->config.C;
    float *dx = lorac_walk_gradient(w, i, 0);
    float *dy = w->dx[s->out[0]];
    if (!lorac_model_pools(w->p->m)) {
        lorac_walk_hand_down(w, i, dx, dy, w->N * C);
        return;
    }
    w->N = b->N;
    if (!dx) { return; }
    op->zero(dev, dx, w->N * C * sizeof *dx);
    for (size_t u = 0; u < b->U; u++) {
        const struct lorac_segment *text = segment_of(b, b->head_row[u]);
        for (size_t n = 0; n < text->n; n++) {
            w->p->text_of[n] = (uint32_t)u;
        }
        op->scale(dev, dy + u * C, C, 1.0F / (float)text->n);
        op->gather(dev, dx + text->row * C, dy, w->p->text_of, text->n, C);
    }
}
