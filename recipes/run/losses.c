/* losses.c - see losses.h. */
#include "recipes/run/losses.h"

#include "base/core/mem.h"
#include "recipes/run/outputs.h"

#include <math.h>

enum { EVAL_ROWS = 1024 };

struct lorac_losses {
    struct lorac_evaluator_options o; // borrows as it does
    struct lorac_loader *loader;
    struct lorac_batch *batch;
    struct lorac_pass *pass;
    struct lorac_cache *cache;     // of what the rows go on from; NULL: they go on from nothing
    float *nll;                    // (max targets)
    struct lorac_outputs *outputs; // of a head; NULL: there is none
    float *logits;                 // (rows of a batch,K) of it
    size_t n_kept, filled;
    float *kept; // (n_kept) what leaves the frozen layers, so far `filled`; NULL: all run each time
};

size_t lorac_shot_tokens(const struct lorac_dataset *set)
{
    const struct lorac_shots *shots = lorac_dataset_shots(set);
    return shots ? lorac_shots_prefix(shots)->n : 0;
}

static bool has_head(const struct lorac_evaluator_options *o)
{
    return lorac_dataset_objective(o->set)->target != LORAC_TARGET_NONE;
}

static const struct lorac_loader_options loader_options = {
    .batch_tokens = EVAL_ROWS, .share_prefix = LORAC_SHARE_AUTO, .dense = true};

/* What the buffers must hold. */
struct capacity {
    size_t rows, segments, targets;
    struct lorac_pass_options pass;
};

static struct capacity find_capacity(const struct lorac_loader *loader)
{
    struct capacity c = {.rows = lorac_max(EVAL_ROWS, lorac_loader_max_rows(loader))};
    c.segments = lorac_max(lorac_loader_max_segments(loader), c.rows);
    c.targets = lorac_max(lorac_loader_max_targets(loader), c.rows);
    c.pass.max_rows = c.rows;
    c.pass.max_positions = lorac_shot_tokens(lorac_loader_dataset(loader)) + c.rows;
    return c;
}

static enum lorac_status open_outputs(struct lorac_losses *l, size_t rows, struct lorac_err *err)
{
    size_t Z = l->o.model->config.Z;
    size_t floats = 0;
    enum lorac_status st = lorac_outputs_new(&l->outputs, &l->o, err);
    if (st) { return st; }
    l->logits = lorac_mul(rows, Z, &floats) ? lorac_mem_new(floats, sizeof *l->logits) : NULL;
    return l->logits ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory to evaluate");
}

/* The next batch of this rank, n examples; n 0: there is none. */
static enum lorac_status next_batch(struct lorac_loader *loader, struct lorac_batch *b,
                                    const struct lorac_ranks *ranks, size_t *i,
                                    const uint32_t **examples, size_t *n, struct lorac_err *err)
{
    while (lorac_loader_state(loader).epoch == 0) {
        enum lorac_status st = lorac_loader_next(loader, b, examples, n, err);
        if (st || (*i)++ % lorac_ranks_count(ranks) == lorac_ranks_rank(ranks)) { return st; }
    }
    *n = 0;
    return LORAC_OK;
}

/* Floats that leave the frozen layers with this rank's batches, where they are to be kept; 0: they
 * aren't. The loader is at its end then. */
static enum lorac_status count_kept(size_t *floats, const struct lorac_evaluator_options *o,
                                    struct lorac_loader *loader, const struct capacity *c,
                                    struct lorac_err *err)
{
    struct lorac_batch *b = NULL;
    const uint32_t *examples = NULL;
    size_t i = 0;
    size_t n = 0;
    *floats = 0;
    bool may = o->kept_bytes && !lorac_dataset_shots(o->set);
    if (!may || lorac_frozen_layers(o->model, o->socket) == 0) { return LORAC_OK; }
    enum lorac_status st = lorac_batch_new(&b, c->rows, c->segments, c->targets, err);
    if (!st) { st = next_batch(loader, b, o->ranks, &i, &examples, &n, err); }
    while (n && !st) {
        *floats += b->N * o->model->config.C;
        st = next_batch(loader, b, o->ranks, &i, &examples, &n, err);
    }
    lorac_batch_free(b);
    if (*floats * sizeof(float) > o->kept_bytes) { *floats = 0; }
    return st;
}

static enum lorac_status open_parts(struct lorac_losses *l, struct lorac_err *err)
{
    size_t past = lorac_shot_tokens(l->o.set);
    enum lorac_status st = lorac_loader_open(&l->loader, l->o.set, &loader_options, err);
    if (st) { return st; }
    struct capacity c = find_capacity(l->loader);
    l->nll = lorac_mem_new(c.targets, sizeof *l->nll);
    if (!l->nll) { return lorac_fail(err, LORAC_ENOMEM, "no memory to evaluate"); }
    st = lorac_batch_new(&l->batch, c.rows, c.segments, c.targets, err);
    if (!st && past) { st = lorac_cache_new(&l->cache, l->o.model, past, err); }
    if (!st) { st = lorac_pass_new(&l->pass, l->o.model, l->o.socket, &c.pass, err); }
    if (!st) { st = count_kept(&l->n_kept, &l->o, l->loader, &c, err); }
    if (!st && l->n_kept) {
        l->kept = lorac_mem_new(l->n_kept, sizeof *l->kept);
        if (!l->kept) { return lorac_fail(err, LORAC_ENOMEM, "no memory to evaluate"); }
    }
    return st || !has_head(&l->o) ? st : open_outputs(l, c.rows, err);
}

enum lorac_status lorac_losses_new(struct lorac_losses **out,
                                   const struct lorac_evaluator_options *o, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_losses *l = lorac_mem_new(1, sizeof *l);
    if (!l) { return lorac_fail(err, LORAC_ENOMEM, "no memory to evaluate"); }
    l->o = *o;
    enum lorac_status st = open_parts(l, err);
    if (st) {
        lorac_losses_free(l);
        l = NULL;
    }
    *out = l;
    return st;
}

enum lorac_status lorac_losses_measure(size_t *bytes, size_t *kept_bytes,
                                       const struct lorac_evaluator_options *o,
                                       struct lorac_err *err)
{
    struct lorac_loader *loader = NULL;
    size_t past = lorac_shot_tokens(o->set);
    size_t cache = 0;
    enum lorac_status st = lorac_loader_open(&loader, o->set, &loader_options, err);
    if (st) { return st; }
    struct capacity c = find_capacity(loader);
    st = count_kept(kept_bytes, o, loader, &c, err);
    *kept_bytes *= sizeof(float);
    lorac_loader_close(loader);
    if (st) { return st; }
    st = lorac_pass_measure(bytes, o->model, o->socket, &c.pass, err);
    if (!st && past) { st = lorac_cache_measure(&cache, o->model, past, err); }
    *bytes += cache + c.targets * sizeof(float) + lorac_batch_bytes(c.rows, c.segments, c.targets);
    if (has_head(o)) {
        *bytes += lorac_outputs_bytes(o) + c.rows * o->model->config.Z * sizeof(float);
    }
    return st;
}

void lorac_losses_free(struct lorac_losses *l)
{
    if (!l) { return; }
    lorac_loader_close(l->loader);
    lorac_batch_free(l->batch);
    lorac_cache_free(l->cache);
    lorac_pass_free(l->pass);
    lorac_mem_free(l->nll);
    lorac_outputs_free(l->outputs);
    lorac_mem_free(l->logits);
    lorac_mem_free(l->kept);
    lorac_mem_free(l);
}

size_t lorac_losses_kept(const struct lorac_losses *l)
{
    return l->n_kept * sizeof *l->kept;
}

/* The shots into the cache: rows of every batch go on from there. */
static enum lorac_status read_shots(struct lorac_losses *l, struct lorac_err *err)
{
    if (!l->cache) { return LORAC_OK; }
    const struct lorac_ids *prefix = lorac_shots_prefix(lorac_dataset_shots(l->o.set));
    enum lorac_status st = LORAC_OK;
    for (size_t at = 0; at < prefix->n && !st;) {
        size_t n = prefix->n - at < l->batch->max_rows ? prefix->n - at : l->batch->max_rows;
        lorac_batch_clear(l->batch);
        (void)lorac_batch_add_cached(l->batch, prefix->at + at, n, -1, 0, at, true);
        st = lorac_pass_forward(l->pass, l->batch, l->cache, err);
        at += n;
    }
    return st;
}

/* The losses of the batch's examples, n of them: each is a segment, the last ones. */
static void keep_losses(struct lorac_predictions *p, const struct lorac_batch *b, const float *nll,
                        const uint32_t *examples, size_t n)
{
    size_t u = 0;
    for (size_t i = 0; i < n; i++) {
        const struct lorac_segment *s = &b->segments[b->S - n + i];
        struct lorac_prediction *to = &p->at[examples[i]];
        for (; u < b->U && b->head_row[u] < s->row + s->n; u++) {
            for (size_t t = b->first[u]; t < b->first[u + 1]; t++) {
                to->loss += (double)nll[t];
                to->tokens++;
            }
        }
    }
}

/* The batch in hand through the layers, of the frozen ones where it does so for the first time;
 * `at`: rows of those in front of it. */
static enum lorac_status forward(struct lorac_losses *l, size_t at, struct lorac_err *err)
{
    size_t C = l->o.model->config.C;
    enum lorac_status st = LORAC_OK;
    if (!l->kept) { return lorac_pass_forward(l->pass, l->batch, l->cache, err); }
    float *x = l->kept + at * C; // (N,C)
    if (at * C == l->filled) {
        st = lorac_pass_forward_frozen(x, l->pass, l->batch, err);
        l->filled += st ? 0 : l->batch->N * C;
    }
    return st ? st : lorac_pass_forward_rest(l->pass, l->batch, x, err);
}

enum lorac_status lorac_losses_run(struct lorac_scores *s, struct lorac_losses *l,
                                   lorac_goes_on_fn *goes_on, void *self, struct lorac_err *err)
{
    double sum[3] = {0.0}; // of the nll, of the tokens, of the rows that ran
    struct lorac_batch *b = l->batch;
    const uint32_t *examples = NULL;
    size_t i = 0;
    size_t n = 0;
    enum lorac_status st = read_shots(l, err);
    if (!st) { st = lorac_loader_seek(l->loader, (struct lorac_loader_state){0}, err); }
    if (l->outputs) { lorac_outputs_begin(l->outputs); }
    while (!st) {
        st = next_batch(l->loader, b, l->o.ranks, &i, &examples, &n, err);
        if (!st && n) { st = forward(l, (size_t)sum[2], err); }
        if (st || !n) { break; }
        lorac_pass_loss(l->pass, b, l->nll, false);
        for (size_t t = 0; t < b->T; t++) {
            sum[0] += (double)l->nll[t];
        }
        if (l->o.predictions) { keep_losses(l->o.predictions, b, l->nll, examples, n); }
        if (l->outputs) {
            lorac_pass_logits(l->pass, b, l->logits);
            st = lorac_outputs_add(l->outputs, b, l->logits, examples, n, err);
        }
        sum[1] += (double)b->T;
        sum[2] += (double)b->N;
        struct lorac_loader_state at = lorac_loader_state(l->loader);
        double done = (double)at.position / (double)lorac_dataset_size(l->o.set);
        if (!st && goes_on && !goes_on(self, at.epoch ? 1.0 : done)) {
            st = lorac_fail(err, LORAC_ESTOP, "interrupted");
        }
    }
    st = lorac_ranks_add(sum, 3, l->o.ranks, st, err);
    s->tokens = (size_t)sum[1];
    s->computed = (size_t)sum[2];
    s->loss = sum[0] / sum[1];
    if (l->outputs) { return lorac_outputs_measure(s, l->outputs, st, err); }
    s->perplexity = exp(s->loss);
    return st;
}
