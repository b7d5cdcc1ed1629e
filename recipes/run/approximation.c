/* approximation.c - see approximation.h. */
#include "recipes/run/approximation.h"

#include "base/core/mem.h"
#include "recipes/run/setup.h"

enum { ROWS = 200 };

struct looking {
    struct lorac_loader *loader;
    struct lorac_batch *batch;
    struct lorac_pass *pass;
    float *nll; // (rows of a micro-batch)
};

static enum lorac_status open_looking(struct looking *l, const struct lorac_model *m,
                                      const struct lorac_job *j, struct lorac_err *err)
{
    const struct lorac_loader_options o = lorac_setup_loader(j->recipe);
    enum lorac_status st = lorac_loader_open(&l->loader, j->train.set, &o, err);
    if (st) { return st; }
    size_t N = lorac_loader_max_rows(l->loader);
    const struct lorac_pass_options pass = {.max_rows = N};
    l->nll = lorac_mem_new(N, sizeof *l->nll);
    if (!l->nll) { return lorac_fail(err, LORAC_ENOMEM, "no memory for losses"); }
    st = lorac_batch_new(&l->batch, N, lorac_loader_max_segments(l->loader), N, err);
    return st ? st : lorac_pass_new(&l->pass, m, NULL, &pass, err);
}

static void close_looking(struct looking *l)
{
    lorac_pass_free(l->pass);
    lorac_batch_free(l->batch);
    lorac_loader_close(l->loader);
    lorac_mem_free(l->nll);
}

/* The mean loss of m on the first rows, and how many they are. */
static enum lorac_status look(double *loss, size_t *rows, const struct lorac_model *m,
                              const struct lorac_job *j, struct lorac_err *err)
{
    struct looking l = {0};
    double tokens = 0.0;
    *loss = 0.0;
    *rows = 0;
    enum lorac_status st = open_looking(&l, m, j, err);
    while (!st && *rows < ROWS && lorac_loader_state(l.loader).epoch == 0) {
        const uint32_t *examples = NULL;
        size_t n = 0;
        st = lorac_loader_next(l.loader, l.batch, &examples, &n, err);
        if (!st) { st = lorac_pass_forward(l.pass, l.batch, NULL, err); }
        if (st) { break; }
        lorac_pass_loss(l.pass, l.batch, l.nll, false);
        for (size_t t = 0; t < l.batch->T; t++) {
            *loss += (double)l.nll[t];
        }
        tokens += (double)l.batch->T;
        *rows += n;
    }
    *loss /= tokens;
    close_looking(&l);
    return st;
}

enum lorac_status lorac_approximation_measure(struct lorac_approximation *out, struct lorac_job *j,
                                              struct lorac_err *err)
{
    struct lorac_model *exact = NULL;
    *out = (struct lorac_approximation){0};
    if (j->model->compute != LORAC_INT8) { return LORAC_OK; }
    enum lorac_status st = lorac_model_open(&exact, &j->dev, j->model->dir, LORAC_FLOAT32, err);
    if (!st) { st = look(&out->float32, &out->rows, exact, j, err); }
    if (!st) { st = look(&out->there, &out->rows, j->model, j, err); }
    lorac_model_close(exact);
    return st;
}

void lorac_approximation_say(struct lorac_buf *b, const struct lorac_approximation *a)
{
    if (!a->rows) { return; }
    double change = a->float32 > 0.0 ? (a->there / a->float32 - 1.0) * 100.0 : 0.0;
    lorac_buf_printf(b,
                     "model.compute: int8 approximates the base: before training, %zu rows have a "
                     "loss of %.4f, %.4f in float32 (%+.2f %%)",
                     a->rows, a->there, a->float32, change);
}
