/*
 * frozen.h - inside recipes/: rows of a dataset as they leave the layers below the lowest adapter,
 * computed once and kept, so that only the layers above run in every epoch.
 *
 *   tokens -> layers 0 .. F-1, which nothing adapts -> x (rows,C) -> layers F .. L-1 -> loss
 *             once a row                               kept          every time
 *
 * They are computed before the first step, in the order of the table and in micro-batches of their
 * own: their bits don't depend on the order of an epoch, nor on where a run was stopped. They are
 * float32, as they leave the layers; what all rows of the table begin with is kept once. They lie
 * in memory, or where that would be too much in a scratch file, which is gone with the process.
 */
#ifndef LORAC_RECIPES_FROZEN_H
#define LORAC_RECIPES_FROZEN_H

#include "recipes/run/trainer.h"

/* What is to be kept where `socket` adapts the model. With `auto` an eighth of the layers or more
 * must be frozen, and a file, which ranks don't share, leaves half of the disk's room. With `on`,
 * no training row to keep or no room for them is LORAC_EUSER. Validation rows get what memory these
 * leave. */
LORAC_MUST_CHECK enum lorac_status lorac_frozen_choose(struct lorac_trainer_frozen *out,
                                                       const struct lorac_trainer_options *o,
                                                       const struct lorac_socket *socket,
                                                       struct lorac_err *err);
/* Ranks (or NULL) keep rows together, or none does. `st`, `err`: as in ranks.h. */
LORAC_MUST_CHECK enum lorac_status lorac_frozen_agree(struct lorac_trainer_frozen *c,
                                                      struct lorac_ranks *ranks,
                                                      enum lorac_status st, struct lorac_err *err);
/* What rows may take of memory where nobody says: a quarter of the machine's, half of what is
 * there. */
size_t lorac_frozen_memory(void);
/* Bytes of memory that it takes, with batches of up to `max_rows` rows. */
size_t lorac_frozen_bytes(const struct lorac_trainer_frozen *c, const struct lorac_dataset *set,
                          size_t max_rows);

struct lorac_frozen;
/* Room for them, and their values: `pass`, of up to max_rows rows, computes them, and ranks (or
 * NULL) a part each of those that lie in memory. `dir` is made where they lie on a disk. `progress`
 * may be NULL; LORAC_ESTOP where it says so. */
LORAC_MUST_CHECK enum lorac_status lorac_frozen_new(struct lorac_frozen **out,
                                                    const struct lorac_trainer_frozen *c,
                                                    const struct lorac_dataset *set,
                                                    const char *dir, struct lorac_ranks *ranks,
                                                    struct lorac_pass *pass, size_t max_rows,
                                                    lorac_progress_fn *progress, void *self,
                                                    struct lorac_err *err);
void lorac_frozen_free(struct lorac_frozen *f);

/* What an earlier trainer of the same model left in *rows, where lorac_frozen_new() would give the
 * same; NULL, and freed, where it wouldn't. *rows is NULL then. */
struct lorac_frozen *lorac_frozen_take(struct lorac_frozen **rows,
                                       const struct lorac_trainer_frozen *c,
                                       const struct lorac_dataset *set, size_t max_rows);
/* f (or NULL) for the next trainer; of a file, which is a folder's that others need not have,
 * nothing is left. */
void lorac_frozen_leave(struct lorac_frozen **rows, struct lorac_frozen *f);
size_t lorac_frozen_held(const struct lorac_frozen *f); // bytes; NULL: 0
/* Those of a micro-batch of the dataset's loader: *x (N,C), valid until the next call. */
LORAC_MUST_CHECK enum lorac_status lorac_frozen_read(const float **x, struct lorac_frozen *f,
                                                     const struct lorac_batch *b,
                                                     const uint32_t *examples, size_t n,
                                                     struct lorac_err *err);

#endif
