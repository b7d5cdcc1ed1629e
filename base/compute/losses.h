/* losses.h - losses that backends share. */
#ifndef LORAC_BASE_COMPUTE_LOSSES_H
#define LORAC_BASE_COMPUTE_LOSSES_H

#include "base/compute/device.h"

/* device.h's column_loss; a row names a column at most once. */
void lorac_column_loss(struct lorac_device *dev, float *nll, float *logits, const uint32_t *first,
                       const int32_t *target, const float *value, const float *weight, size_t U,
                       size_t Z, bool squared);

#endif
