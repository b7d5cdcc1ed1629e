/* statistics.c - see statistics.h. */
#include "recipes/report/statistics.h"

#include "base/core/mem.h"
#include "base/core/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double z = 1.959963984540054; // 97.5 % of the normal distribution
static const struct lorac_interval unknown = {(double)NAN, (double)NAN};

struct lorac_interval lorac_wilson(double share, size_t n)
{
    double N = (double)n;
    if (n == 0 || isnan(share)) { return unknown; }
    double center = share + z * z / (2.0 * N);
    double half = z * sqrt(share * (1.0 - share) / N + z * z / (4.0 * N * N));
    double scale = 1.0 + z * z / N;
    return (struct lorac_interval){(center - half) / scale, (center + half) / scale};
}

/* sum w v / sum w; *weights: sum w. */
static double weigh(double *weights, const double *value, const double *weight, size_t n)
{
    double sum = 0.0;
    *weights = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += weight[i] * value[i];
        *weights += weight[i];
    }
    return sum / *weights;
}

struct lorac_difference lorac_paired(const double *a, const double *wa, const double *b,
                                     const double *wb, size_t n)
{
    double weights[2] = {1.0, 1.0};
    double squares = 0.0;
    if (n < 2) { return (struct lorac_difference){(double)NAN, (double)NAN}; }
    double A = weigh(&weights[0], a, wa, n);
    double B = b ? weigh(&weights[1], b, wb, n) : 0.0;
    for (size_t i = 0; i < n; i++) { // what row i adds to the difference
        double e = wa[i] * (a[i] - A) / weights[0];
        if (b) { e -= wb[i] * (b[i] - B) / weights[1]; }
        squares += e * e;
    }
    return (struct lorac_difference){A - B, squares * (double)n / (double)(n - 1)};
}

struct lorac_interval lorac_mean_interval(const double *value, const double *weight, size_t n)
{
    struct lorac_difference d = lorac_paired(value, weight, NULL, NULL, n);
    double half = z * sqrt(d.variance);
    return (struct lorac_interval){d.difference - half, d.difference + half};
}

double lorac_normal_p(double difference, double variance)
{
    if (!(variance > 0.0)) { return difference == 0.0 ? 1.0 : variance == 0.0 ? 0.0 : variance; }
    return erfc(fabs(difference) / sqrt(2.0 * variance));
}

double lorac_mcnemar(size_t b, size_t c)
{
    size_t n = b + c;
    size_t least = b < c ? b : c;
    double tail = 0.0;
    if (b == c) { return 1.0; }
    if (n > LORAC_EXACT) {
        double off = (double)(n - 2 * least) - 1.0; // |b - c| - 1
        return lorac_normal_p(off, (double)n);
    }
    for (size_t k = 0; k <= least; k++) { // binomial coefficients over 2^n
        tail += exp(lgamma((double)n + 1.0) - lgamma((double)k + 1.0) -
                    lgamma((double)(n - k) + 1.0) - (double)n * log(2.0));
    }
    return 2.0 * tail < 1.0 ? 2.0 * tail : 1.0;
}

/* ---- the bootstrap ---- */

static int by_value(const void *x, const void *y)
{
    double a = *(const double *)x;
    double b = *(const double *)y;
    return (a > b) - (a < b);
}

static double quantile(const double *sorted, size_t n, double share)
{
    double at = share * (double)(n - 1);
    size_t i = (size_t)at;
    double rest = at - (double)i;
    return i + 1 < n ? sorted[i] + rest * (sorted[i + 1] - sorted[i]) : sorted[i];
}

enum lorac_status lorac_bootstrap(double *value, size_t n, lorac_drawn_fn *measure, void *self,
                                  struct lorac_err *err)
{
    uint64_t key = lorac_rng_key(0, "bootstrap");
    uint32_t *times = lorac_mem_new(n + 1, sizeof *times);
    if (!times) { return lorac_fail(err, LORAC_ENOMEM, "no memory for an interval"); }
    for (size_t s = 0; s < LORAC_RESAMPLES; s++) {
        memset(times, 0, n * sizeof *times);
        for (size_t i = 0; i < n; i++) {
            times[lorac_rng_below(key, s, i, n)]++;
        }
        value[s] = n ? measure(self, times) : (double)NAN;
    }
    lorac_mem_free(times);
    return LORAC_OK;
}

/* Those that are numbers come first: how many. */
static size_t known(double *value)
{
    size_t n = 0;
    for (size_t s = 0; s < LORAC_RESAMPLES; s++) {
        double x = value[s];
        if (!isfinite(x)) { continue; }
        value[s] = value[n];
        value[n++] = x;
    }
    return n > LORAC_RESAMPLES - LORAC_RESAMPLES / 10 ? n : 0;
}

struct lorac_interval lorac_bootstrap_interval(double *value)
{
    size_t n = known(value);
    if (n == 0) { return unknown; }
    qsort(value, n, sizeof *value, by_value);
    return (struct lorac_interval){quantile(value, n, 0.025), quantile(value, n, 0.975)};
}

double lorac_bootstrap_variance(double *value)
{
    double deviation = lorac_deviation(value, known(value));
    return deviation * deviation;
}

/* ---- several runs ---- */

double lorac_mean(const double *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
    }
    return n ? sum / (double)n : (double)NAN;
}

double lorac_deviation(const double *x, size_t n)
{
    double mean = lorac_mean(x, n);
    double squares = 0.0;
    if (n < 2) { return (double)NAN; }
    for (size_t i = 0; i < n; i++) {
        squares += (x[i] - mean) * (x[i] - mean);
    }
    return sqrt(squares / (double)(n - 1));
}
