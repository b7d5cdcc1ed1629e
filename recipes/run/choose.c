/* choose.c - see choose.h. */
#include "recipes/run/choose.h"

#include "base/core/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct lorac_chooser {
    const char *const *labels;    // (K) borrowed
    struct lorac_ids *completion; // (K)
    size_t K, room;
    struct lorac_batch *batch;
    struct lorac_pass *pass;
    float *nll; // (targets)
};

static enum lorac_status encode_labels(struct lorac_chooser *c, size_t *tokens,
                                       const struct lorac_tokenizer *t,
                                       const struct lorac_chooser_options *o, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct lorac_cell *values = lorac_mem_new(o->n_variables, sizeof *values);
    c->completion = lorac_mem_new(o->K, sizeof *c->completion);
    if (!values || !c->completion) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for labels"); }
    for (size_t i = 0; i < o->n_variables && !st; i++) {
        values[i] = (struct lorac_cell){"", 0};
    }
    for (size_t k = 0; k < o->K && !st; k++) {
        struct lorac_ids *ids = &c->completion[k];
        values[o->label] = (struct lorac_cell){o->labels[k], strlen(o->labels[k])};
        st = lorac_completion_encode(ids, o->form, t, values, o->append_eos, err);
        *tokens += ids->n;
        c->room = ids->n > c->room ? ids->n : c->room;
        if (!st && ids->n == 0) {
            st = lorac_fail(err, LORAC_EUSER, "label '%.60s' has no tokens, expected at least one",
                            o->labels[k]);
        }
    }
    lorac_mem_free(values);
    return st;
}

enum lorac_status lorac_chooser_new(struct lorac_chooser **out, const struct lorac_model *m,
                                    const struct lorac_socket *socket,
                                    const struct lorac_tokenizer *t,
                                    const struct lorac_chooser_options *o, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_chooser *c = lorac_mem_new(1, sizeof *c);
    if (!c) { return lorac_fail(err, LORAC_ENOMEM, "no memory for labels"); }
    size_t rows = o->max_prompt;
    c->labels = o->labels;
    c->K = o->K;
    enum lorac_status st = encode_labels(c, &rows, t, o, err);
    struct lorac_pass_options pass = {.max_rows = rows, .max_positions = rows};
    c->nll = st ? NULL : lorac_mem_new(rows, sizeof *c->nll);
    if (!st && !c->nll) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for labels"); }
    if (!st) { st = lorac_batch_new(&c->batch, rows, o->K + 1, rows, err); }
    if (!st) { st = lorac_pass_new(&c->pass, m, socket, &pass, err); }
    if (st) {
        lorac_chooser_free(c);
        c = NULL;
    }
    *out = c;
    return st;
}

void lorac_chooser_free(struct lorac_chooser *c)
{
    if (!c) { return; }
    for (size_t k = 0; c->completion && k < c->K; k++) {
        lorac_ids_free(&c->completion[k]);
    }
    lorac_mem_free(c->completion);
    lorac_mem_free(c->nll);
    lorac_batch_free(c->batch);
    lorac_pass_free(c->pass);
    lorac_mem_free(c);
}

size_t lorac_chooser_room(const struct lorac_chooser *c)
{
    return c->room;
}

/* The prompt, and behind it every label. Entry k of the losses is the first token of label k; the
 * labels' other tokens follow, label by label. */
static void place(struct lorac_chooser *c, const struct lorac_ids *prompt)
{
    struct lorac_batch *b = c->batch;
    lorac_batch_clear(b);
    int32_t root = lorac_batch_add(b, prompt->at, prompt->n, -1);
    size_t last = b->N - 1;
    for (size_t k = 0; k < c->K; k++) {
        lorac_batch_score(b, last, c->completion[k].at[0]);
    }
    for (size_t k = 0; k < c->K; k++) {
        const struct lorac_ids *a = &c->completion[k];
        if (a->n < 2) { continue; }
        size_t row = b->N;
        (void)lorac_batch_add(b, a->at, a->n - 1, root);
        for (size_t i = 1; i < a->n; i++) {
            lorac_batch_score(b, row + i - 1, a->at[i]);
        }
    }
}

static int likelier(const void *a, const void *b)
{
    const struct lorac_ranked *x = a;
    const struct lorac_ranked *y = b;
    if (x->nll < y->nll) { return -1; }
    if (x->nll > y->nll) { return 1; }
    return (x->k > y->k) - (x->k < y->k);
}

enum lorac_status lorac_chooser_ask(struct lorac_ranked *ranked, struct lorac_chooser *c,
                                    const struct lorac_ids *prompt, struct lorac_err *err)
{
    place(c, prompt);
    enum lorac_status st = lorac_pass_forward(c->pass, c->batch, NULL, err);
    if (st) { return st; }
    lorac_pass_loss(c->pass, c->batch, c->nll, false);
    size_t at = c->K;
    for (size_t k = 0; k < c->K; k++) {
        double nll = (double)c->nll[k];
        for (size_t i = 1; i < c->completion[k].n; i++) {
            nll += (double)c->nll[at++];
        }
        if (!isfinite(nll)) {
            return lorac_fail(err, LORAC_EFORMAT,
                              "the likelihood of label '%.60s' is not finite: are the weights or "
                              "the adapter damaged?",
                              c->labels[k]);
        }
        ranked[k] = (struct lorac_ranked){.k = k, .nll = nll};
    }
    qsort(ranked, c->K, sizeof *ranked, likelier);
    double total = 0.0; // of exp(-nll), over the likeliest one's
    for (size_t k = 0; k < c->K; k++) {
        total += exp(ranked[0].nll - ranked[k].nll);
    }
    for (size_t k = 0; k < c->K; k++) {
        ranked[k].probability = exp(ranked[0].nll - ranked[k].nll) / total;
    }
    return LORAC_OK;
}
