/* series.c - measurements of one thing, and how they are told; see bench.h. */
#include "tools/bench/bench.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void series_add(struct series *s, double v)
{
    assert(s->n < MAX_ROUNDS);
    s->at[s->n++] = v;
}

double series_last(const struct series *s)
{
    return s->n ? s->at[s->n - 1] : (double)NAN;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value below which this share of the others lies. */
static double quantile(const struct series *s, double share)
{
    double sorted[MAX_ROUNDS];
    if (!s->n) { return (double)NAN; }
    memcpy(sorted, s->at, s->n * sizeof *sorted);
    qsort(sorted, s->n, sizeof *sorted, by_value);
    double at = share * (double)(s->n - 1);
    size_t low = (size_t)at;
    size_t high = low + (low + 1 < s->n);
    return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}

double series_median(const struct series *s)
{
    return quantile(s, 0.5);
}

double series_least(const struct series *s)
{
    return quantile(s, 0.0);
}

double series_most(const struct series *s)
{
    return quantile(s, 1.0);
}

void out_series(struct out *j, const char *key, const struct series *s)
{
    out_begin(j, key, "{}");
    out_real(j, "median", series_median(s));
    out_real(j, "least", series_least(s));
    out_real(j, "most", series_most(s));
    out_end(j);
}
