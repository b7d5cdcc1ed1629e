/* outputs.c - see outputs.h. */
#include "recipes/run/outputs.h"

#include "base/core/mem.h"
#include "base/core/number.h"
#include "recipes/run/verdicts.h"

#include <math.h>
#include <string.h>

/* What is kept of a row, in doubles, so that ranks can add them up: all but one have zeros. */
enum { TRUTH, ANSWER, OWN_CHANCE, CHANCE, OF_LABEL }; // and K chances where AUC is asked for
enum { GIVEN, WANTED, OF_NUMBER };                    // of one number
enum { SUPPORT, ANSWERED, RIGHT, OF_COUNTS };         // of a label's or an entity's counts

struct lorac_outputs {
    struct lorac_evaluator_options o; // borrows as it does
    enum lorac_target target;
    size_t K, n;                      // outputs; examples
    size_t width;                     // doubles a row
    double *row;                      // (n,width)
    double *chance;                   // (K) of one row
    struct lorac_label_score *counts; // (K)
    struct lorac_label_score *entity; // (types)
    struct lorac_tag *tag;            // (K) of tags, as all that follows
    const char **type;                // (K), types of them: names
    size_t types;                     // 0: the tags have no entities
    uint32_t *words;                  // (2,max rows of a batch) of one text: truth, answer
    size_t cap_words;
    double *sums; // (OF_COUNTS (K + types))
    struct lorac_buf text;
};

void lorac_head_shares(double *p, const float *z, size_t K)
{
    double most = -(double)INFINITY;
    double sum = 0.0;
    for (size_t k = 0; k < K; k++) {
        most = (double)z[k] > most ? (double)z[k] : most;
    }
    for (size_t k = 0; k < K; k++) {
        p[k] = exp((double)z[k] - most);
        sum += p[k];
    }
    for (size_t k = 0; k < K; k++) {
        p[k] /= sum;
    }
}

double lorac_head_chance(float z)
{
    return 1.0 / (1.0 + exp(-(double)z));
}

size_t lorac_head_answer(const double *p, size_t K, double threshold)
{
    size_t best = 0;
    if (K == 2) { return p[1] > threshold; }
    for (size_t k = 1; k < K; k++) {
        if (p[k] > p[best]) { best = k; }
    }
    return best;
}

static bool asks(unsigned metrics, enum lorac_metric m)
{
    return metrics >> m & 1U;
}

static size_t width_of(enum lorac_target target, size_t K, unsigned metrics)
{
    switch (target) {
    case LORAC_TARGET_LABEL:
        return OF_LABEL + (asks(metrics, LORAC_METRIC_AUC) ? K : 0);
    case LORAC_TARGET_LABELS:
        return 2 * K; // chances, and 1 where the row has the label
    case LORAC_TARGET_NUMBER:
        return OF_NUMBER;
    case LORAC_TARGET_TAGS:
    case LORAC_TARGET_NONE:
        break;
    }
    return 0;
}

static size_t outputs_of(const struct lorac_evaluator_options *o)
{
    return o->K ? o->K : 1;
}

size_t lorac_outputs_bytes(const struct lorac_evaluator_options *o)
{
    size_t K = outputs_of(o);
    size_t width = width_of(lorac_dataset_objective(o->set)->target, K, o->metrics);
    return (lorac_dataset_size(o->set) * width + K * (1 + 2 * OF_COUNTS)) * sizeof(double) +
           2 * K * sizeof(struct lorac_label_score);
}

enum lorac_status lorac_head_check_trained(const struct lorac_model *m,
                                           const struct lorac_socket *socket, struct lorac_err *err)
{
    const char *fresh = lorac_model_untrained(m, socket);
    if (!fresh) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER,
                      "%s: has no module '%s' of the head, and no adapter brings it: it would "
                      "answer at random",
                      m->dir, fresh);
}

enum lorac_status lorac_outputs_new(struct lorac_outputs **out,
                                    const struct lorac_evaluator_options *o, struct lorac_err *err)
{
    *out = NULL;
    enum lorac_status st = lorac_head_check_trained(o->model, o->socket, err);
    if (st) { return st; }
    struct lorac_outputs *h = lorac_mem_new(1, sizeof *h);
    if (!h) { return lorac_fail(err, LORAC_ENOMEM, "no memory to evaluate"); }
    h->o = *o;
    h->target = lorac_dataset_objective(o->set)->target;
    h->K = outputs_of(o);
    h->n = lorac_dataset_size(o->set);
    h->width = width_of(h->target, h->K, o->metrics);
    size_t floats = 0;
    bool fits = lorac_mul(h->n, h->width, &floats);
    h->row = fits ? lorac_mem_new(floats + 1, sizeof *h->row) : NULL;
    h->chance = lorac_mem_new(h->K, sizeof *h->chance);
    h->counts = lorac_mem_new(h->K, sizeof *h->counts);
    h->entity = lorac_mem_new(h->K, sizeof *h->entity);
    h->tag = lorac_mem_new(h->K, sizeof *h->tag);
    h->type = lorac_mem_new(h->K, sizeof *h->type);
    h->sums = lorac_mem_new(2 * h->K, OF_COUNTS * sizeof *h->sums);
    if (!h->row || !h->chance || !h->counts || !h->entity || !h->tag || !h->type || !h->sums) {
        lorac_outputs_free(h);
        return lorac_fail(err, LORAC_ENOMEM, "no memory to evaluate %zu rows",
                          lorac_dataset_size(o->set));
    }
    if (h->target == LORAC_TARGET_TAGS) {
        h->types = lorac_tags_read(h->tag, h->type, o->labels, h->K);
    }
    *out = h;
    return LORAC_OK;
}

void lorac_outputs_free(struct lorac_outputs *h)
{
    if (!h) { return; }
    lorac_mem_free(h->row);
    lorac_mem_free(h->chance);
    lorac_mem_free(h->counts);
    lorac_mem_free(h->entity);
    lorac_mem_free(h->tag);
    lorac_mem_free(h->type);
    lorac_mem_free(h->words);
    lorac_mem_free(h->sums);
    lorac_buf_free(&h->text);
    lorac_mem_free(h);
}

void lorac_outputs_begin(struct lorac_outputs *h)
{
    memset(h->row, 0, h->n * h->width * sizeof *h->row);
    memset(h->counts, 0, h->K * sizeof *h->counts);
    memset(h->entity, 0, h->K * sizeof *h->entity);
    if (h->o.predictions) { h->o.predictions->compares = h->target != LORAC_TARGET_NUMBER; }
    struct lorac_verdicts *v = h->o.verdicts;
    if (!v) { return; }
    v->n = 0;
    v->K = h->target == LORAC_TARGET_NUMBER ? 0 : h->types ? h->types : h->K;
    v->names = h->types ? h->type : h->o.labels;
    v->probabilities = h->target == LORAC_TARGET_LABEL; // they cost nothing
}

/* ---- a row ---- */

/* h->text as a text of the predictions. */
static enum lorac_status keep_text(const char **out, struct lorac_outputs *h, struct lorac_err *err)
{
    if (!h->text.at) { lorac_buf_str(&h->text, ""); }
    *out = h->text.no_memory ? NULL : lorac_predictions_text(h->o.predictions, &h->text);
    lorac_buf_clear(&h->text);
    return *out ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory for predictions");
}

static void add_label(struct lorac_outputs *h, size_t k)
{
    const char *between = lorac_predictions_between(h->target);
    lorac_buf_printf(&h->text, "%s%s", h->text.n ? between : "", h->o.labels[k]);
}

static enum lorac_status add_one(struct lorac_outputs *h, size_t example, const float *z,
                                 size_t truth, struct lorac_err *err)
{
    double *to = h->row + example * h->width;
    double *p = h->chance;
    (void)err;
    lorac_head_shares(p, z, h->K);
    size_t answer = lorac_head_answer(p, h->K, h->o.threshold);
    to[TRUTH] = (double)truth;
    to[ANSWER] = (double)answer;
    to[OWN_CHANCE] = p[truth];
    to[CHANCE] = p[answer];
    if (h->width > OF_LABEL) { memcpy(to + OF_LABEL, p, h->K * sizeof *p); }
    if (!h->o.predictions) { return LORAC_OK; }
    struct lorac_prediction *x = &h->o.predictions->at[example];
    x->wanted = h->o.labels[truth];
    x->answer = h->o.labels[answer];
    x->right = truth == answer;
    x->probability = p[answer];
    return LORAC_OK;
}

static enum lorac_status add_several(struct lorac_outputs *h, size_t example, const float *z,
                                     const float *has, struct lorac_err *err)
{
    double *to = h->row + example * h->width;
    enum lorac_status st = LORAC_OK;
    bool right = true;
    for (size_t k = 0; k < h->K; k++) {
        to[k] = lorac_head_chance(z[k]);
        to[h->K + k] = has[k] > 0.5F;
        right = right && (to[k] > h->o.threshold) == (has[k] > 0.5F);
    }
    if (!h->o.predictions) { return LORAC_OK; }
    struct lorac_prediction *x = &h->o.predictions->at[example];
    for (size_t k = 0; k < h->K; k++) {
        if (has[k] > 0.5F) { add_label(h, k); }
    }
    st = keep_text(&x->wanted, h, err);
    for (size_t k = 0; k < h->K && !st; k++) {
        if (to[k] > h->o.threshold) { add_label(h, k); }
    }
    if (!st) { st = keep_text(&x->answer, h, err); }
    x->right = right;
    return st;
}

/* Out of deviations from the mean, into the table's unit. */
static enum lorac_status add_number(struct lorac_outputs *h, size_t example, float z, float wanted,
                                    struct lorac_err *err)
{
    const struct lorac_target_frame *f = lorac_dataset_frame(h->o.set);
    double *to = h->row + example * h->width;
    to[GIVEN] = f->mean + (double)z * f->deviation;
    to[WANTED] = f->mean + (double)wanted * f->deviation;
    if (!h->o.predictions) { return LORAC_OK; }
    struct lorac_prediction *x = &h->o.predictions->at[example];
    lorac_buf_printf(&h->text, "%.7g", to[WANTED]);
    enum lorac_status st = keep_text(&x->wanted, h, err);
    lorac_buf_printf(&h->text, "%.7g", to[GIVEN]);
    return st ? st : keep_text(&x->answer, h, err);
}

/* The n rows of the batch from u on are the words of one text. */
static enum lorac_status add_tags(struct lorac_outputs *h, size_t example,
                                  const struct lorac_batch *b, const float *logits, size_t u,
                                  size_t n, struct lorac_err *err)
{
    uint32_t *all = lorac_mem_grow(h->words, 0, &h->cap_words, 2 * n, sizeof *all);
    enum lorac_status st = LORAC_OK;
    bool right = true;
    if (!all) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a text's tags"); }
    h->words = all;
    for (size_t i = 0; i < n; i++) {
        lorac_head_shares(h->chance, logits + (u + i) * h->K, h->K);
        all[i] = (uint32_t)b->target[b->first[u + i]];
        all[n + i] = (uint32_t)lorac_head_answer(h->chance, h->K, 0.5);
        lorac_label_count(h->counts, h->K, all[i], all[n + i]);
        right = right && all[i] == all[n + i];
    }
    if (h->types) { lorac_entities_count(h->entity, h->tag, all, all + n, n); }
    if (!h->o.predictions) { return LORAC_OK; }
    struct lorac_prediction *x = &h->o.predictions->at[example];
    for (size_t i = 0; i < n; i++) {
        add_label(h, all[i]);
    }
    st = keep_text(&x->wanted, h, err);
    for (size_t i = 0; i < n && !st; i++) {
        add_label(h, all[n + i]);
    }
    if (!st) { st = keep_text(&x->answer, h, err); }
    x->right = right;
    return st;
}

static enum lorac_status add_text(struct lorac_outputs *h, size_t example,
                                  const struct lorac_batch *b, const float *logits, size_t u,
                                  size_t n, struct lorac_err *err)
{
    const float *z = logits + u * h->K;
    size_t t = b->first[u];
    switch (h->target) {
    case LORAC_TARGET_LABEL:
        return add_one(h, example, z, (size_t)b->target[t], err);
    case LORAC_TARGET_LABELS:
        return add_several(h, example, z, b->value + t, err);
    case LORAC_TARGET_NUMBER:
        return add_number(h, example, z[0], b->value[t], err);
    case LORAC_TARGET_TAGS:
        return add_tags(h, example, b, logits, u, n, err);
    case LORAC_TARGET_NONE:
        break;
    }
    return LORAC_OK;
}

enum lorac_status lorac_outputs_add(struct lorac_outputs *h, const struct lorac_batch *b,
                                    const float *logits, const uint32_t *examples, size_t n,
                                    struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    size_t u = 0;
    for (size_t i = 0; i < n && !st; i++) {
        const struct lorac_segment *s = &b->segments[b->S - n + i];
        size_t end = u;
        while (end < b->U && b->head_row[end] < s->row + s->n) {
            end++;
        }
        if (end > u) { st = add_text(h, examples[i], b, logits, u, end - u, err); }
        u = end;
    }
    return st;
}

/* ---- all rows ---- */

static enum lorac_status share_counts(struct lorac_outputs *h, enum lorac_status st,
                                      struct lorac_err *err)
{
    struct lorac_label_score *const both[] = {h->counts, h->entity};
    for (size_t i = 0; i < 2 * h->K; i++) {
        const struct lorac_label_score *c = &both[i / h->K][i % h->K];
        double *to = h->sums + OF_COUNTS * i;
        to[SUPPORT] = (double)c->support;
        to[ANSWERED] = (double)c->answered;
        to[RIGHT] = (double)c->right;
    }
    st = lorac_ranks_add(h->sums, OF_COUNTS * 2 * h->K, h->o.ranks, st, err);
    for (size_t i = 0; i < 2 * h->K; i++) {
        const double *from = h->sums + OF_COUNTS * i;
        both[i / h->K][i % h->K] = (struct lorac_label_score){.support = (size_t)from[SUPPORT],
                                                              .answered = (size_t)from[ANSWERED],
                                                              .right = (size_t)from[RIGHT]};
    }
    return st;
}

/* The mean over the labels that some rows have and others have not: s->auc_labels of them.
 * `chance` and `has` of label k and row i lie at i * width + k. */
static enum lorac_status measure_auc(struct lorac_scores *s, const struct lorac_outputs *h,
                                     const double *chance, bool of_two, struct lorac_err *err)
{
    double *score = lorac_mem_new(h->n, sizeof *score);
    bool *has = lorac_mem_new(h->n, sizeof *has);
    enum lorac_status st = LORAC_OK;
    double sum = 0.0;
    if (!score || !has) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for an AUC"); }
    for (size_t k = of_two; k < h->K && !st; k++) { // of two labels the second
        double auc = (double)NAN;
        for (size_t i = 0; i < h->n; i++) {
            const double *row = h->row + i * h->width;
            score[i] = chance[i * h->width + k];
            has[i] =
                h->target == LORAC_TARGET_LABEL ? (size_t)row[TRUTH] == k : row[h->K + k] > 0.5;
        }
        st = lorac_auc(&auc, score, has, h->n, err);
        if (isnan(auc)) { continue; }
        sum += auc;
        s->auc_labels++;
    }
    if (!st && s->auc_labels) { s->auc = sum / (double)s->auc_labels; }
    lorac_mem_free(score);
    lorac_mem_free(has);
    return st;
}

static enum lorac_status measure_one(struct lorac_scores *s, struct lorac_outputs *h,
                                     struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < h->n && !st; i++) {
        const double *x = h->row + i * h->width;
        struct lorac_verdict v = {.example = i,
                                  .truth = (size_t)x[TRUTH],
                                  .answer = (size_t)x[ANSWER],
                                  .nll = -log(x[CHANCE]),
                                  .own_nll = -log(x[OWN_CHANCE]),
                                  .probability = x[CHANCE],
                                  .own_probability = x[OWN_CHANCE]};
        lorac_label_count(h->counts, h->K, v.truth, v.answer);
        if (h->o.verdicts) { st = lorac_verdicts_add(h->o.verdicts, &v, err); }
    }
    lorac_label_ratios(h->counts, h->K);
    lorac_scores_labels(s, h->counts, h->K, h->n);
    if (st || h->width == OF_LABEL) { return st; }
    return measure_auc(s, h, h->row + OF_LABEL, h->K == 2, err);
}

static enum lorac_status measure_several(struct lorac_scores *s, struct lorac_outputs *h,
                                         struct lorac_err *err)
{
    size_t K = h->K;
    size_t right = 0;
    for (size_t i = 0; i < h->n; i++) {
        const double *x = h->row + i * h->width;
        bool same = true;
        for (size_t k = 0; k < K; k++) {
            bool given = x[k] > h->o.threshold;
            bool has = x[K + k] > 0.5;
            lorac_label_count(h->counts, K, has ? k : K, given ? k : K);
            same = same && given == has;
        }
        right += same;
    }
    lorac_label_ratios(h->counts, K);
    struct lorac_label_means m = lorac_label_means(h->counts, K, h->n);
    s->accuracy = h->n ? (double)right / (double)h->n : (double)NAN;
    s->macro_f1 = m.macro_f1;
    s->micro_f1 = m.micro_f1;
    s->weighted_f1 = m.weighted_f1;
    s->precision = m.micro_precision;
    s->recall = m.micro_recall;
    bool auc = asks(h->o.metrics, LORAC_METRIC_AUC);
    return auc ? measure_auc(s, h, h->row, false, err) : LORAC_OK;
}

static enum lorac_status measure_numbers(struct lorac_scores *s, struct lorac_outputs *h,
                                         struct lorac_err *err)
{
    struct lorac_fit fit;
    const struct lorac_target_frame *f = lorac_dataset_frame(h->o.set);
    bool told = f->mean != 0.0 || f->deviation != 1.0; // else the numbers are as they are
    double mean = f->mean;
    double *x = lorac_mem_new(h->n, 2 * sizeof *x);
    double missed = 0.0;
    if (!x) { return lorac_fail(err, LORAC_ENOMEM, "no memory to evaluate"); }
    for (size_t i = 0; i < h->n; i++) {
        x[i] = h->row[i * OF_NUMBER + GIVEN];
        x[h->n + i] = h->row[i * OF_NUMBER + WANTED];
        missed += (x[h->n + i] - mean) * (x[h->n + i] - mean);
    }
    enum lorac_status st = lorac_fit(&fit, x, x + h->n, h->n, err);
    lorac_mem_free(x);
    s->mse = fit.mse;
    s->pearson = fit.pearson;
    s->spearman = fit.spearman;
    s->r2 = fit.r2;
    if (told) { s->mean_mse = missed / (double)h->n; }
    return st;
}

static void measure_tags(struct lorac_scores *s, struct lorac_outputs *h)
{
    size_t words = 0;
    for (size_t k = 0; k < h->K; k++) {
        words += h->counts[k].support;
    }
    lorac_label_ratios(h->counts, h->K);
    lorac_label_ratios(h->entity, h->types);
    lorac_scores_labels(s, h->counts, h->K, words);
    s->precision = s->recall = (double)NAN;
    if (!h->types) { return; }
    struct lorac_label_means m = lorac_label_means(h->entity, h->types, words);
    s->entity_f1 = m.micro_f1;
    s->precision = m.micro_precision;
    s->recall = m.micro_recall;
}

/* What each label, or kind of entity, comes to, where rows have not one label each. */
static enum lorac_status tell_labels(struct lorac_outputs *h, struct lorac_err *err)
{
    struct lorac_verdicts *v = h->o.verdicts;
    bool several = h->target == LORAC_TARGET_LABELS || h->target == LORAC_TARGET_TAGS;
    return !v || !several ? LORAC_OK
                          : lorac_verdicts_tell(v, h->types ? h->entity : h->counts, err);
}

enum lorac_status lorac_outputs_measure(struct lorac_scores *s, struct lorac_outputs *h,
                                        enum lorac_status st, struct lorac_err *err)
{
    st = lorac_ranks_add(h->row, h->n * h->width, h->o.ranks, st, err);
    st = share_counts(h, st, err);
    if (st) { return st; }
    switch (h->target) {
    case LORAC_TARGET_LABEL:
        st = measure_one(s, h, err);
        break;
    case LORAC_TARGET_LABELS:
        st = measure_several(s, h, err);
        break;
    case LORAC_TARGET_NUMBER:
        st = measure_numbers(s, h, err);
        break;
    case LORAC_TARGET_TAGS:
        measure_tags(s, h);
        break;
    case LORAC_TARGET_NONE:
        break;
    }
    return st ? st : tell_labels(h, err);
}
