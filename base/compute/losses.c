/* losses.c - losses of single columns of logits, on any backend whose memory is the machine's: they
 * are few, next to a model's rows; see device.h. */
#include "base/compute/losses.h"

#include <math.h>
#include <string.h>

/* log(1 + exp(z)) - v z without a large exponential. */
static double binary(double z, double v)
{
    return (z > 0.0 ? z : 0.0) - v * z + log1p(exp(-fabs(z)));
}

void lorac_column_loss(struct lorac_device *dev, float *nll, float *logits, const uint32_t *first,
                       const int32_t *target, const float *value, const float *weight, size_t U,
                       size_t Z, bool squared)
{
    (void)dev;
    for (size_t u = 0; u < U; u++) {
        float *z = logits + u * Z; // (Z)
        size_t begin = first[u] - first[0];
        size_t end = first[u + 1] - first[0];
        for (size_t t = begin; t < end; t++) {
            double x = (double)z[target[t]];
            double v = (double)value[t];
            nll[t] = (float)(squared ? (x - v) * (x - v) : binary(x, v));
        }
        if (!weight) { continue; }
        for (size_t t = begin; t < end; t++) { // no column twice: each is read before it is written
            double x = (double)z[target[t]];
            double slope =
                squared ? 2.0 * (x - (double)value[t]) : 1.0 / (1.0 + exp(-x)) - (double)value[t];
            z[target[t]] = (float)((double)weight[t] * slope);
        }
        if (end - begin == Z) { continue; }
        for (size_t k = 0; k < Z; k++) {
            bool named = false;
            for (size_t t = begin; t < end; t++) {
                named = named || (size_t)target[t] == k;
            }
            if (!named) { z[k] = 0.0F; }
        }
    }
}
