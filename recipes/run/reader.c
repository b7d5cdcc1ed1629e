/* reader.c - see reader.h. */
#include "recipes/run/reader.h"

#include "base/core/mem.h"
#include "recipes/run/heads.h"
#include "recipes/run/logits.h"
#include "recipes/run/outputs.h"

#include <math.h>
#include <stdlib.h>

#define LOST "_" // stands for the tag of a word that was cut away

/* Words of a text that were cut away. */
struct lost {
    size_t before, behind;
};

struct lorac_reader {
    const struct lorac_job *j;
    enum lorac_target target;
    size_t K;
    struct lorac_passages *passages;
    struct lorac_passage passage; // the text that was made last
    struct lorac_logits *logits;
    struct lost *lost; // (cap_lost) of words: of each text that was added
    size_t cap_lost;
    double *chance;              // (K)
    struct lorac_ranked *ranked; // (K)
    struct lorac_answer answer;
};

enum lorac_status lorac_reader_new(struct lorac_reader **out, const struct lorac_job *j,
                                   const char *const *names, size_t n,
                                   const struct lorac_socket *socket, struct lorac_err *err)
{
    const struct lorac_recipe *recipe = j->recipe;
    *out = NULL;
    struct lorac_reader *r = lorac_mem_new(1, sizeof *r);
    if (!r) { return lorac_fail(err, LORAC_ENOMEM, "no memory to predict"); }
    r->j = j;
    r->target = lorac_job_objective(j)->target;
    r->K = j->K ? j->K : 1;
    enum lorac_on_long long_ones = recipe->data.on_too_long; // what training skips is asked for
    if (long_ones == LORAC_LONG_SKIP) { long_ones = LORAC_LONG_TRUNCATE_PROMPT; }
    r->chance = lorac_mem_new(r->K, sizeof *r->chance);
    r->ranked = lorac_mem_new(r->K, sizeof *r->ranked);
    const struct lorac_passages_options o = {.tokenizer = j->tokenizer,
                                             .text = j->texts.prompt,
                                             .pair = j->texts.completion,
                                             .variables = names,
                                             .n_variables = n,
                                             .words = r->target == LORAC_TARGET_TAGS,
                                             .max_length = recipe->model.max_length,
                                             .on_too_long = long_ones};
    enum lorac_status st =
        r->chance && r->ranked ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory to predict");
    if (!st) { st = lorac_passages_open(&r->passages, &o, err); }
    if (!st) { st = lorac_logits_new(&r->logits, j->model, socket, recipe->model.max_length, err); }
    if (st) {
        lorac_reader_free(r);
        return st;
    }
    *out = r;
    return LORAC_OK;
}

void lorac_reader_free(struct lorac_reader *r)
{
    if (!r) { return; }
    lorac_passages_close(r->passages);
    lorac_passage_free(&r->passage);
    lorac_logits_free(r->logits);
    lorac_mem_free(r->lost);
    lorac_mem_free(r->chance);
    lorac_mem_free(r->ranked);
    lorac_answer_free(&r->answer);
    lorac_mem_free(r);
}

const struct lorac_template *lorac_reader_template(const struct lorac_reader *r)
{
    return lorac_passages_template(r->passages);
}

size_t lorac_reader_words(const struct lorac_reader *r)
{
    return lorac_passages_words(r->passages);
}

enum lorac_status lorac_reader_text(size_t *cut, struct lorac_reader *r,
                                    const struct lorac_cell *values, bool list,
                                    struct lorac_err *err)
{
    const struct lorac_recipe *recipe = r->j->recipe;
    *cut = 0;
    enum lorac_status st = lorac_passage_make(&r->passage, r->passages, values, list, err);
    if (st) { return st; }
    bool refuses = recipe->data.on_too_long == LORAC_LONG_ERROR && r->passage.cut;
    if (r->passage.cut == SIZE_MAX || refuses) {
        return lorac_fail(err, LORAC_EUSER, "the text does not fit model.max_length %zu%s",
                          recipe->model.max_length, refuses ? " (data.on_too_long: error)" : "");
    }
    if (r->passage.ids.n == 0) {
        return lorac_fail(err, LORAC_EUSER, "the text has no token, expected at least one");
    }
    *cut = r->passage.cut;
    return LORAC_OK;
}

static struct lost lost_of(const struct lorac_passage *x)
{
    struct lost lost = {x->n_words, 0};
    size_t kept = 0;
    for (size_t t = 0; t < x->words.n; t++) {
        if (x->words.at[t] == LORAC_NO_LABEL) { continue; }
        if (kept++ == 0) { lost.before = (size_t)x->words.at[t]; }
    }
    lost.behind = x->n_words - lost.before - kept;
    return lost;
}

enum lorac_status lorac_reader_add(bool *added, struct lorac_reader *r, struct lorac_err *err)
{
    const struct lorac_passage *x = &r->passage;
    const bool words = r->target == LORAC_TARGET_TAGS;
    size_t n = lorac_logits_count(r->logits);
    enum lorac_status st =
        lorac_logits_add(added, r->logits, x->ids.at, x->types.n ? x->types.at : NULL, x->ids.n,
                         words ? x->words.at : NULL, err);
    if (st || !*added || !words) { return st; }
    struct lost *grown = lorac_mem_grow(r->lost, n, &r->cap_lost, n + 1, sizeof *grown);
    if (!grown) { return lorac_fail(err, LORAC_ENOMEM, "no memory to predict"); }
    r->lost = grown;
    grown[n] = lost_of(x);
    return LORAC_OK;
}

enum lorac_status lorac_reader_run(struct lorac_reader *r, struct lorac_err *err)
{
    return lorac_logits_run(r->logits, err);
}

void lorac_reader_clear(struct lorac_reader *r)
{
    lorac_logits_clear(r->logits);
}

static int by_probability(const void *a, const void *b)
{
    const struct lorac_ranked *x = a;
    const struct lorac_ranked *y = b;
    if (x->probability < y->probability || x->probability > y->probability) {
        return x->probability > y->probability ? -1 : 1;
    }
    return (x->k > y->k) - (x->k < y->k);
}

/* r->chance of one row of logits. */
static void find_chances(struct lorac_reader *r, const float *z)
{
    if (r->target != LORAC_TARGET_LABELS) {
        lorac_head_shares(r->chance, z, r->K);
        return;
    }
    for (size_t k = 0; k < r->K; k++) {
        r->chance[k] = lorac_head_chance(z[k]);
    }
}

const struct lorac_ranked *lorac_reader_ranked(struct lorac_reader *r, size_t i)
{
    size_t rows = 0;
    find_chances(r, lorac_logits_of(&rows, r->logits, i));
    for (size_t k = 0; k < r->K; k++) {
        r->ranked[k] = (struct lorac_ranked){k, -log(r->chance[k]), r->chance[k]};
    }
    qsort(r->ranked, r->K, sizeof *r->ranked, by_probability);
    if (r->target == LORAC_TARGET_LABEL && r->K == 2) { // the answer comes first
        size_t answer = lorac_head_answer(r->chance, 2, r->j->recipe->eval.threshold);
        if (r->ranked[0].k != answer) {
            const struct lorac_ranked first = r->ranked[0];
            r->ranked[0] = r->ranked[1];
            r->ranked[1] = first;
        }
    }
    return r->ranked;
}

static void put(struct lorac_buf *b, const char *between, const char *label)
{
    lorac_buf_printf(b, "%s%s", b->n ? between : "", label);
}

const struct lorac_answer *lorac_reader_answer(struct lorac_reader *r, size_t i)
{
    struct lorac_buf *b = &r->answer.text;
    const struct lorac_target_frame *f = &r->j->frame;
    size_t rows = 0;
    const float *z = lorac_logits_of(&rows, r->logits, i);
    const bool words = r->target == LORAC_TARGET_TAGS;
    const char *between = words ? " " : r->j->recipe->data.labels.separator;
    lorac_buf_clear(b);
    lorac_buf_str(b, "");
    r->answer.tokens = 1; // it has said something, be it that no label fits
    if (r->target == LORAC_TARGET_NUMBER) {
        lorac_buf_printf(b, "%.7g", f->mean + (double)z[0] * f->deviation);
        return &r->answer;
    }
    for (size_t w = 0; words && w < r->lost[i].before; w++) {
        put(b, between, LOST);
    }
    for (size_t w = 0; w < rows; w++) {
        find_chances(r, z + w * r->K);
        size_t answer = lorac_head_answer(r->chance, r->K, 0.5);
        for (size_t k = 0; k < r->K; k++) {
            bool given = words ? k == answer : r->chance[k] > r->j->recipe->eval.threshold;
            if (given) { put(b, between, r->j->labels[k]); }
        }
    }
    for (size_t w = 0; words && w < r->lost[i].behind; w++) {
        put(b, between, LOST);
    }
    return &r->answer;
}
