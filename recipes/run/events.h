/*
 * events.h - inside recipes/: a run as TensorBoard reads it (output.log: tensorboard).
 *
 *   DIR/events.out.tfevents.00001.lorac    one file a session of the run, in their order
 *
 *   a file:    records, one behind the other, that are only ever appended
 *   a record:  length (8 bytes) | CRC of these 8 (4) | event (length bytes) | CRC of the event (4)
 *   an event:  a protobuf message, tensorflow.Event: time, step, and a summary of tagged values
 *
 * Numbers are little-endian, CRCs CRC-32C, turned and moved as TensorFlow's record_writer.cc has
 * it. The second and later sessions begin with one that says at which step: TensorBoard drops what
 * a session that was killed had written of it and later ones. A record that a kill cut ends a file.
 *
 *   train/loss, valid/accuracy, ...    the columns of metrics.csv, as 32-bit floats
 *   recipe                             the resolved recipe
 *   sample 1, ...                      prompts, and the answers wanted and given
 *   hyperparameters                    seed, adapter, optimiser and length of training
 */
#ifndef LORAC_RECIPES_EVENTS_H
#define LORAC_RECIPES_EVENTS_H

#include "recipes/run/run.h"

/* Where a session's events go. Zeroed: nowhere, and the functions below do nothing. */
struct lorac_events {
    char *path;
};
/* Begin the session that goes on from `step` (0: the run's first). */
LORAC_MUST_CHECK enum lorac_status lorac_events_begin(struct lorac_events *e, const char *dir,
                                                      size_t step, const struct lorac_recipe *r,
                                                      struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_events_step(const struct lorac_events *e,
                                                     const struct lorac_step *s,
                                                     struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_events_eval(const struct lorac_events *e, double epoch,
                                                     const struct lorac_run_eval *x,
                                                     struct lorac_err *err);
/* The i-th sample of an evaluation. */
LORAC_MUST_CHECK enum lorac_status lorac_events_sample(const struct lorac_events *e, size_t step,
                                                       size_t i, const struct lorac_run_sample *s,
                                                       struct lorac_err *err);
void lorac_events_end(struct lorac_events *e);
/* Remove the files of all sessions. */
LORAC_MUST_CHECK enum lorac_status lorac_events_remove(const char *dir, struct lorac_err *err);

/* CRC-32C (Castagnoli), and as records have it. */
uint32_t lorac_crc32c(const void *bytes, size_t n);
uint32_t lorac_crc32c_masked(const void *bytes, size_t n);

#endif
