/* verdicts.c - see verdicts.h. */
#include "recipes/run/verdicts.h"

#include "base/core/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void lorac_verdicts_free(struct lorac_verdicts *v)
{
    lorac_mem_free(v->at);
    lorac_mem_free(v->told);
    v->at = NULL;
    v->told = NULL;
    v->n = v->cap = 0;
}

enum lorac_status lorac_verdicts_add(struct lorac_verdicts *v, const struct lorac_verdict *one,
                                     struct lorac_err *err)
{
    struct lorac_verdict *all = lorac_mem_grow(v->at, v->n, &v->cap, v->n + 1, sizeof *all);
    if (!all) { return lorac_fail(err, LORAC_ENOMEM, "no memory for what rows were answered"); }
    v->at = all;
    v->at[v->n++] = *one;
    return LORAC_OK;
}

enum lorac_status lorac_verdicts_tell(struct lorac_verdicts *v,
                                      const struct lorac_label_score *labels, struct lorac_err *err)
{
    lorac_mem_free(v->told);
    v->told = lorac_mem_new(v->K, sizeof *v->told);
    if (!v->told) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the labels' scores"); }
    memcpy(v->told, labels, v->K * sizeof *labels);
    return LORAC_OK;
}

void lorac_verdicts_labels(struct lorac_label_score *out, const struct lorac_verdicts *v)
{
    if (v->told) {
        memcpy(out, v->told, v->K * sizeof *out);
        return;
    }
    memset(out, 0, v->K * sizeof *out);
    for (size_t i = 0; i < v->n; i++) {
        lorac_label_count(out, v->K, v->at[i].truth, v->at[i].answer);
    }
    lorac_label_ratios(out, v->K);
}

static bool confuses(const struct lorac_verdict *x)
{
    return x->truth != LORAC_NO_ANSWER && x->truth != x->answer;
}

static int by_pair(const void *a, const void *b)
{
    const struct lorac_confused *x = a;
    const struct lorac_confused *y = b;
    if (x->truth != y->truth) { return x->truth < y->truth ? -1 : 1; }
    return (x->answer > y->answer) - (x->answer < y->answer);
}

static int by_rows(const void *a, const void *b)
{
    const struct lorac_confused *x = a;
    const struct lorac_confused *y = b;
    if (x->rows != y->rows) { return x->rows > y->rows ? -1 : 1; }
    return by_pair(a, b);
}

enum lorac_status lorac_verdicts_confused(struct lorac_confused **out, size_t *n,
                                          const struct lorac_verdicts *v, struct lorac_err *err)
{
    size_t wrong = 0;
    *out = NULL;
    *n = 0;
    for (size_t i = 0; i < v->n; i++) {
        wrong += confuses(&v->at[i]);
    }
    if (!wrong) { return LORAC_OK; }
    struct lorac_confused *all = lorac_mem_new(wrong, sizeof *all);
    if (!all) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the labels confused"); }
    for (size_t i = 0, k = 0; i < v->n; i++) {
        const struct lorac_verdict *x = &v->at[i];
        if (confuses(x)) { all[k++] = (struct lorac_confused){x->truth, x->answer, 1}; }
    }
    qsort(all, wrong, sizeof *all, by_pair);
    for (size_t i = 0; i < wrong; i++) { // equal ones are neighbours now
        if (*n && by_pair(&all[*n - 1], &all[i]) == 0) {
            all[*n - 1].rows++;
        } else {
            all[(*n)++] = all[i];
        }
    }
    qsort(all, *n, sizeof *all, by_rows);
    *out = all;
    return LORAC_OK;
}

double lorac_verdicts_calibration(const struct lorac_verdicts *v)
{
    enum { BINS = 10 };
    double stated[BINS] = {0};
    double right[BINS] = {0};
    double off = 0.0;
    if (!v->probabilities || !v->n) { return (double)NAN; }
    for (size_t i = 0; i < v->n; i++) {
        const struct lorac_verdict *x = &v->at[i];
        double bin = ceil(x->probability * BINS) - 1.0;
        size_t b = bin > 0.0 ? (size_t)bin : 0;
        if (b >= BINS) { b = BINS - 1; } // a rounding above 1
        stated[b] += x->probability;
        right[b] += x->truth == x->answer;
    }
    for (size_t b = 0; b < BINS; b++) {
        off += fabs(right[b] - stated[b]); // rows_b / rows |right_b / rows_b - stated_b / rows_b|
    }
    return off / (double)v->n;
}
