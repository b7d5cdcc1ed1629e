/* logits.c - see logits.h. */
#include "recipes/run/logits.h"

#include "base/core/mem.h"
#include "recipes/run/outputs.h"

#include <math.h>

enum { ROWS = 1024, TEXTS = 512 };

struct lorac_logits {
    const struct lorac_model *model; // borrowed
    size_t K;
    struct lorac_batch *batch;
    struct lorac_pass *pass;
    float *z;      // (rows of the batch that score, K)
    size_t *first; // (TEXTS + 1) of each text's rows
    size_t n;      // texts
};

enum lorac_status lorac_logits_new(struct lorac_logits **out, const struct lorac_model *m,
                                   const struct lorac_socket *socket, size_t max_tokens,
                                   struct lorac_err *err)
{
    size_t rows = max_tokens > ROWS ? max_tokens : ROWS;
    const struct lorac_pass_options pass = {.max_rows = rows, .max_positions = max_tokens};
    *out = NULL;
    enum lorac_status st = lorac_head_check_trained(m, socket, err);
    if (st) { return st; }
    struct lorac_logits *l = lorac_mem_new(1, sizeof *l);
    if (!l) { return lorac_fail(err, LORAC_ENOMEM, "no memory for logits"); }
    l->model = m;
    l->K = m->config.Z;
    l->z = lorac_mem_new(rows, l->K * sizeof *l->z);
    l->first = lorac_mem_new(TEXTS + 1, sizeof *l->first);
    if (!l->z || !l->first) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for logits"); }
    if (!st) { st = lorac_batch_new(&l->batch, rows, TEXTS, 1, err); }
    if (!st) { st = lorac_pass_new(&l->pass, m, socket, &pass, err); }
    if (st) {
        lorac_logits_free(l);
        l = NULL;
    }
    *out = l;
    return st;
}

void lorac_logits_free(struct lorac_logits *l)
{
    if (!l) { return; }
    lorac_pass_free(l->pass);
    lorac_batch_free(l->batch);
    lorac_mem_free(l->z);
    lorac_mem_free(l->first);
    lorac_mem_free(l);
}

size_t lorac_logits_width(const struct lorac_logits *l)
{
    return l->K;
}

size_t lorac_logits_count(const struct lorac_logits *l)
{
    return l->n;
}

void lorac_logits_clear(struct lorac_logits *l)
{
    lorac_batch_clear(l->batch);
    l->n = 0;
}

enum lorac_status lorac_logits_add(bool *added, struct lorac_logits *l, const int32_t *ids,
                                   const int32_t *types, size_t n, const int32_t *rows,
                                   struct lorac_err *err)
{
    struct lorac_batch *b = l->batch;
    size_t row = b->N;
    *added = lorac_batch_fits(b, n, 0);
    if (!*added && l->n) { return LORAC_OK; }
    if (!*added || n == 0) {
        return lorac_fail(err, LORAC_EUSER, "a text of %zu tokens, expected 1 to %zu", n,
                          b->max_rows);
    }
    (void)lorac_batch_add(b, ids, n, -1);
    for (size_t t = 0; types && t < n; t++) {
        b->type[row + t] = types[t];
    }
    for (size_t t = 0; rows && t < n; t++) {
        if (rows[t] >= 0) { lorac_batch_want_logits(b, row + t); }
    }
    enum lorac_text_row of = lorac_model_text_row(l->model);
    if (!rows) {
        lorac_batch_want_logits(b, row + lorac_text_row_of(of, l->model->config.pad, ids, n));
    }
    l->first[++l->n] = b->U;
    return LORAC_OK;
}

enum lorac_status lorac_logits_run(struct lorac_logits *l, struct lorac_err *err)
{
    if (l->n == 0) { return LORAC_OK; }
    enum lorac_status st = lorac_pass_forward(l->pass, l->batch, NULL, err);
    if (st || !l->batch->U) { return st; }
    lorac_pass_logits(l->pass, l->batch, l->z);
    for (size_t i = 0; i < l->batch->U * l->K; i++) {
        if (isfinite(l->z[i])) { continue; }
        return lorac_fail(err, LORAC_EFORMAT,
                          "what the head gives is not finite: are the weights or the adapter "
                          "damaged?");
    }
    return LORAC_OK;
}

const float *lorac_logits_of(size_t *rows, const struct lorac_logits *l, size_t i)
{
    *rows = l->first[i + 1] - l->first[i];
    return l->z + l->first[i] * l->K;
}

/* Run what is added, examples from `i` on, and hand it over. */
static enum lorac_status hand_over(struct lorac_logits *l, const struct lorac_dataset *set,
                                   size_t i, struct lorac_example *e, lorac_logits_fn *each,
                                   void *self, struct lorac_err *err)
{
    enum lorac_status st = lorac_logits_run(l, err);
    for (size_t k = 0; k < l->n && !st; k++) {
        size_t rows = 0;
        const float *z = lorac_logits_of(&rows, l, k);
        st = lorac_dataset_example(e, set, i + k, err);
        if (!st && !each(self, i + k, e, z, rows)) {
            st = lorac_fail(err, LORAC_ESTOP, "stopped between two texts");
        }
    }
    lorac_logits_clear(l);
    return st;
}

enum lorac_status lorac_logits_all(struct lorac_logits *l, const struct lorac_dataset *set,
                                   size_t from, size_t end, lorac_logits_fn *each, void *self,
                                   struct lorac_err *err)
{
    struct lorac_example e = {0};
    const bool words = lorac_dataset_objective(set)->target == LORAC_TARGET_TAGS;
    enum lorac_status st = LORAC_OK;
    size_t begin = from; // of what is added
    lorac_logits_clear(l);
    for (size_t i = from; i < end && !st;) {
        bool added = false;
        st = lorac_dataset_example(&e, set, i, err);
        if (!st) {
            st = lorac_logits_add(&added, l, e.ids.at, e.types.n ? e.types.at : NULL, e.ids.n,
                                  words ? e.labels.at : NULL, err);
        }
        i += added;
        if (st || (added && i < end)) { continue; }
        st = hand_over(l, set, begin, &e, each, self, err);
        begin = i;
    }
    lorac_example_free(&e);
    return st;
}
