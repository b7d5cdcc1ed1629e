/* logits.c - see logits.h. */
#include "recipes/run/logits.h"

#include "base/core/mem.h"
#include "recipes/run/outputs.h"

#include <math.h>

enum { ROWS = 1024, TEXTS = 512 };

/* Texts whose first `common` tokens, none of which is read, run once. */
struct group {
    size_t first; // of them; later ones need not be of it
    size_t n, tokens, common;
};

struct lorac_logits {
    const struct lorac_model *model; // borrowed
    size_t K;
    struct lorac_batch *batch;
    struct lorac_pass *pass;
    float *z;               // (rows of the batch that score, K)
    struct lorac_ids ids;   // of all texts, one behind the other
    struct lorac_ids types; // theirs
    struct lorac_ids read;  // of each, -1: its row is not read
    size_t *at;             // (TEXTS + 1) where each text's ids begin
    size_t *first;          // (TEXTS + 1) of each text's rows that are read
    size_t n;               // texts
    struct group group;     // that is growing, or one text
    bool *joins;            // (TEXTS) is each of its group?
    size_t others;          // rows of those that are not
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
    l->at = lorac_mem_new(TEXTS + 1, sizeof *l->at);
    l->first = lorac_mem_new(TEXTS + 1, sizeof *l->first);
    l->joins = lorac_mem_new(TEXTS, sizeof *l->joins);
    if (!l->z || !l->at || !l->first || !l->joins) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory for logits");
    }
    if (!st) { st = lorac_batch_new(&l->batch, rows, TEXTS + 1, 1, err); }
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
    lorac_ids_free(&l->ids);
    lorac_ids_free(&l->types);
    lorac_ids_free(&l->read);
    lorac_mem_free(l->at);
    lorac_mem_free(l->first);
    lorac_mem_free(l->joins);
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
    l->n = l->others = 0;
    l->group = (struct group){0};
}

enum lorac_status lorac_logits_add(bool *added, struct lorac_logits *l, const int32_t *ids,
                                   const int32_t *types, size_t n, const int32_t *rows,
                                   struct lorac_err *err)
{
    const struct lorac_config *c = &l->model->config;
    const enum lorac_share how = c->bidirectional ? LORAC_SHARE_OFF : LORAC_SHARE_AUTO;
    const size_t max_rows = l->batch->max_rows;
    *added = false;
    if (n == 0 || (l->n == 0 && n > max_rows)) {
        return lorac_fail(err, LORAC_EUSER, "a text of %zu tokens, expected 1 to %zu", n, max_rows);
    }
    size_t row = rows ? 0 : lorac_text_row_of(lorac_model_text_row(l->model), c->pad, ids, n);
    size_t begin = 0; // tokens before the first that is read
    while (begin + 1 < n && (rows ? rows[begin] < 0 : begin < row)) {
        begin++;
    }
    struct group g = l->group;
    size_t common = g.n ? lorac_ids_common(l->ids.at + l->at[g.first], g.common, ids, begin) : 0;
    bool joins = lorac_share_is_worth(how, g.n + 1, common, g.tokens + n);
    size_t others = l->others;
    if (joins) {
        g = (struct group){g.first, g.n + 1, g.tokens + n, common};
    } else if (g.n < 2) { // the text before stands alone
        others += g.tokens;
        g = (struct group){l->n, 1, n, begin};
    } else {
        others += n;
    }
    size_t all = others + g.tokens - (g.n - 1) * g.common;
    if (l->n == TEXTS || all > max_rows) { return LORAC_OK; }
    enum lorac_status st = LORAC_OK;
    l->ids.n = l->types.n = l->read.n = l->at[l->n];
    for (size_t t = 0; t < n && !st; t++) {
        st = lorac_ids_add(&l->ids, ids[t], err);
        if (!st) { st = lorac_ids_add(&l->types, types ? types[t] : 0, err); }
        if (!st) { st = lorac_ids_add(&l->read, rows ? rows[t] : t == row ? 0 : -1, err); }
    }
    if (st) { return st; }
    l->group = g;
    l->others = others;
    l->joins[l->n] = joins || g.first == l->n;
    l->at[++l->n] = l->ids.n;
    *added = true;
    return LORAC_OK;
}

/* What texts share, and each behind it or alone. */
static void place(struct lorac_logits *l)
{
    struct lorac_batch *b = l->batch;
    const struct group *g = &l->group;
    size_t shared = g->n > 1 ? g->common : 0;
    lorac_batch_clear(b);
    int32_t root = shared ? lorac_batch_add(b, l->ids.at + l->at[g->first], shared, -1) : -1;
    for (size_t i = 0; i < l->n; i++) {
        bool joins = shared && i >= g->first && l->joins[i];
        size_t begin = l->at[i] + (joins ? shared : 0);
        size_t row = b->N;
        (void)lorac_batch_add(b, l->ids.at + begin, l->at[i + 1] - begin, joins ? root : -1);
        for (size_t t = begin; t < l->at[i + 1]; t++, row++) {
            b->type[row] = l->types.at[t];
            if (l->read.at[t] >= 0) { lorac_batch_want_logits(b, row); }
        }
        l->first[i + 1] = b->U;
    }
}

enum lorac_status lorac_logits_run(struct lorac_logits *l, struct lorac_err *err)
{
    if (l->n == 0) { return LORAC_OK; }
    place(l);
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
