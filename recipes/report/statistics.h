/*
 * statistics.h - how sure is a score that was measured on so many rows, and do two differ?
 *
 * Intervals are of 95 %, tests two-sided. Each formula is the textbook's;
 * tests/golden/statistics.json holds what scipy, statsmodels and scikit-learn make of the same.
 */
#ifndef LORAC_RECIPES_STATISTICS_H
#define LORAC_RECIPES_STATISTICS_H

#include "base/core/err.h"
#include <stddef.h>
#include <stdint.h>

LORAC_API_BEGIN

struct lorac_interval {
    double low, high; // NaN: not known
};

/* Of a share, `share` of n rows (Wilson 1927): with z = 1.96,
 *   (share + z^2/2n +- z sqrt(share (1 - share) / n + z^2/4n^2)) / (1 + z^2/n)
 * n 0: NaN. */
struct lorac_interval lorac_wilson(double share, size_t n);

/* Of a mean over tokens that come in rows: row i has weight[i] tokens of the mean value[i].
 *   L = sum w v / sum w,   var = n/(n-1) sum (w (v - L))^2 / (sum w)^2,   L +- z sqrt(var)
 * Tokens of one row stand or fall together, so that rows are what is drawn; with equal weights this
 * is the mean and its standard error. n < 2: NaN. */
struct lorac_interval lorac_mean_interval(const double *value,  // (n)
                                          const double *weight, // (n) > 0
                                          size_t n);

/* The bootstrap, of what is no mean: value[s] is what the s-th of LORAC_RESAMPLES draws of n rows
 * with replacement comes to, where row i was drawn times[i] times; n 0: NaN. The draws are always
 * the same. */
enum { LORAC_RESAMPLES = 2000 };
typedef double lorac_drawn_fn(void *self, const uint32_t *times); // (n)
LORAC_MUST_CHECK enum lorac_status lorac_bootstrap(double *value, // (LORAC_RESAMPLES) written
                                                   size_t n, lorac_drawn_fn *measure, void *self,
                                                   struct lorac_err *err);
/* 2.5 % and 97.5 % of them (numpy's linear quantiles), and their variance. They are put in another
 * order. Draws that come to NaN are left out; where that is one of ten, both are NaN. */
struct lorac_interval lorac_bootstrap_interval(double *value); // (LORAC_RESAMPLES)
double lorac_bootstrap_variance(double *value);                // (LORAC_RESAMPLES)

/* How likely is it that two, right in turn on b and on c rows where the other is wrong, differ so
 * much by chance (McNemar 1947)? Exact (binomial) up to LORAC_EXACT such rows, chi-squared with
 * continuity above. */
enum { LORAC_EXACT = 1000 };
double lorac_mcnemar(size_t b, size_t c);

/* The difference of two means over tokens of the same rows, and its variance, as the interval above
 * has them; with values of 0 and 1 and equal weights difference / sqrt(variance) is McNemar's
 * statistic (but for n - 1 in place of n, and the mean). b NULL: of one mean and 0. n < 2: NaN. */
struct lorac_difference {
    double difference, variance;
};
struct lorac_difference lorac_paired(const double *a, const double *wa, // (n)
                                     const double *b, const double *wb, // (n)
                                     size_t n);
/* How likely is one so far from 0 by chance, if it is normal? */
double lorac_normal_p(double difference, double variance);

/* Mean, and deviation as a sample has it (n - 1); NaN of none, of less than two. */
double lorac_mean(const double *x, size_t n);
double lorac_deviation(const double *x, size_t n);

LORAC_API_END

#endif
