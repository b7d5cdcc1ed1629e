/* approximation.c - see approximation.h. */
#include "recipes/run/approximation.h"

#include "base/core/mem.h"
#include "recipes/run/heads.h"
#include "recipes/run/setup.h"

#include <math.h>

enum {
    TOGETHER = 8, // rows of one batch: each row's difference is one draw
    MOST = 208
};

static const double SURE = 0.01; // of the loss: so small is the standard error where that is enough

/* Both models on the same rows. */
struct looking {
    struct lorac_loader *loader;
    struct lorac_batch *batch;
    struct lorac_pass *float32, *there;
    float *nll; // (rows of a micro-batch)
};

static enum lorac_status open_rows(struct lorac_loader **out, const struct lorac_job *j,
                                   struct lorac_err *err)
{
    struct lorac_loader_options o = lorac_setup_loader(j);
    o.batch_tokens = 0;
    o.batch_size = TOGETHER;
    return lorac_loader_open(out, j->train.set, &o, err);
}

static enum lorac_status open_looking(struct looking *l, const struct lorac_model *exact,
                                      const struct lorac_job *j, struct lorac_err *err)
{
    enum lorac_status st = open_rows(&l->loader, j, err);
    if (st) { return st; }
    size_t N = lorac_loader_max_rows(l->loader);
    const struct lorac_pass_options pass = {.max_rows = N};
    l->nll = lorac_mem_new(N, sizeof *l->nll);
    if (!l->nll) { return lorac_fail(err, LORAC_ENOMEM, "no memory for losses"); }
    st = lorac_batch_new(&l->batch, N, lorac_loader_max_segments(l->loader), N, err);
    if (!st) { st = lorac_pass_new(&l->float32, exact, NULL, &pass, err); }
    return st ? st : lorac_pass_new(&l->there, j->model, NULL, &pass, err);
}

static void close_looking(struct looking *l)
{
    lorac_pass_free(l->float32);
    lorac_pass_free(l->there);
    lorac_batch_free(l->batch);
    lorac_loader_close(l->loader);
    lorac_mem_free(l->nll);
}

/* Of a row. */
struct row {
    double loss, tokens; // loss: its tokens', summed
};

/* Of the batch's n rows: each is a segment, the last ones. */
static enum lorac_status run(struct row row[TOGETHER], const struct looking *l,
                             struct lorac_pass *pass, size_t n, struct lorac_err *err)
{
    const struct lorac_batch *b = l->batch;
    enum lorac_status st = lorac_pass_forward(pass, b, NULL, err);
    if (st) { return st; }
    lorac_pass_loss(pass, b, l->nll, false);
    size_t u = 0;
    for (size_t i = 0; i < n; i++) {
        const struct lorac_segment *s = &b->segments[b->S - n + i];
        row[i] = (struct row){0};
        for (; u < b->U && b->head_row[u] < s->row + s->n; u++) {
            for (size_t t = b->first[u]; t < b->first[u + 1]; t++) {
                row[i].loss += (double)l->nll[t];
                row[i].tokens++;
            }
        }
    }
    return LORAC_OK;
}

/* Sums over n rows. */
struct sums {
    size_t n;
    double tokens, float32, there;
    double dd, dt, tt; // of d^2, d t, t^2 with a row's difference d and tokens t
};

static void count(struct sums *s, double tokens, double float32, double there)
{
    double d = there - float32;
    s->n++;
    s->tokens += tokens;
    s->float32 += float32;
    s->there += there;
    s->dd += d * d;
    s->dt += d * tokens;
    s->tt += tokens * tokens;
}

/* The means, and of their difference r = sum d / sum t the standard error of a ratio:
 *   sqrt(n / (n - 1)  sum (d - r t)^2) / sum t */
static void finish(struct lorac_approximation *out, const struct sums *s)
{
    double r = (s->there - s->float32) / s->tokens;
    double squares = fmax(s->dd - 2.0 * r * s->dt + r * r * s->tt, 0.0);
    double n = (double)s->n;
    out->float32 = s->float32 / s->tokens;
    out->there = s->there / s->tokens;
    out->error = s->n > 1 ? sqrt(n / (n - 1.0) * squares) / s->tokens : 0.0;
}

static enum lorac_status look(struct lorac_approximation *out, const struct looking *l,
                              struct lorac_err *err)
{
    struct sums s = {0};
    enum lorac_status st = LORAC_OK;
    bool sure = false;
    while (!st && !sure && out->rows < MOST && lorac_loader_state(l->loader).epoch == 0) {
        const uint32_t *examples = NULL;
        size_t n = 0;
        struct row float32[TOGETHER];
        struct row there[TOGETHER];
        st = lorac_loader_next(l->loader, l->batch, &examples, &n, err);
        if (!st) { st = run(float32, l, l->float32, n, err); }
        if (!st) { st = run(there, l, l->there, n, err); }
        if (st) { break; }
        for (size_t i = 0; i < n; i++) {
            count(&s, there[i].tokens, float32[i].loss, there[i].loss);
        }
        finish(out, &s);
        out->rows += n;
        sure = out->error <= SURE * out->float32;
    }
    return st;
}

static bool is_compared(const struct lorac_job *j)
{
    return j->model->compute == LORAC_INT8 && !lorac_job_has_head(j);
}

enum lorac_status lorac_approximation_weigh(size_t *bytes, const struct lorac_job *j,
                                            struct lorac_err *err)
{
    struct lorac_loader *loader = NULL;
    size_t pass = 0;
    *bytes = 0;
    if (!is_compared(j)) { return LORAC_OK; }
    enum lorac_status st = open_rows(&loader, j, err);
    const struct lorac_pass_options o = {.max_rows = st ? 1 : lorac_loader_max_rows(loader)};
    if (!st) { st = lorac_pass_measure(&pass, j->model, NULL, &o, err); }
    *bytes = 2 * pass + lorac_checkpoint_bytes(j->model->files) +
             lorac_model_copies(j->model, NULL, LORAC_ALL_FROZEN, NULL);
    lorac_loader_close(loader);
    return st;
}

enum lorac_status lorac_approximation_measure(struct lorac_approximation *out, struct lorac_job *j,
                                              struct lorac_err *err)
{
    struct lorac_model *exact = NULL;
    struct looking l = {0};
    *out = (struct lorac_approximation){0};
    out->headed = j->model->compute == LORAC_INT8 && lorac_job_has_head(j);
    if (!is_compared(j)) { return LORAC_OK; }
    lorac_model_prepare(j->model, NULL, LORAC_ALL_FROZEN); // which lets its own map of the files go
    enum lorac_status st = lorac_model_open(&exact, &j->dev, j->model->dir, LORAC_FLOAT32, err);
    if (!st) { st = open_looking(&l, exact, j, err); }
    if (!st) { st = look(out, &l, err); }
    close_looking(&l);
    lorac_model_close(exact);
    return st;
}

void lorac_approximation_say(struct lorac_buf *b, const struct lorac_approximation *a)
{
    if (a->headed) {
        lorac_buf_str(b, "model.compute: int8 approximates the base; by how much, eval tells with "
                         "and without --set model.compute=float32, once the head is trained");
    }
    if (!a->rows) { return; }
    double percent = a->float32 > 0.0 ? 100.0 / a->float32 : 0.0;
    lorac_buf_printf(b,
                     "model.compute: int8 approximates the base: before training, %zu rows have a "
                     "loss of %.4f, %.4f in float32 (%+.2f %%, standard error %.2f)",
                     a->rows, a->there, a->float32, (a->there - a->float32) * percent,
                     a->error * percent);
}
