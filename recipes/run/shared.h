/*
 * shared.h - what several runs in one process have in common: a base opened once, data tokenised
 * once.
 *
 *   recipe 1 -> job: device, tokenizer, model, data    opened, and kept
 *   recipe 2 -> job: the same base, the same data      where all keys agree that they follow from
 *   recipe 3 -> job: the same base, data of its own
 *
 * A base follows from model.path, model.compute, train.threads and objective.kind, and one with a
 * head from its labels and the seed as well; data from that, model.max_length, the sections data
 * and template, objective.class_weights, and from the seed where data.valid is a split. What is
 * shared is read-only: runs may go on one after another, and beside each other where each thread
 * has a job of its own. Runs of the same data that follow each other run its frozen layers once
 * (frozen.h).
 */
#ifndef LORAC_RECIPES_SHARED_H
#define LORAC_RECIPES_SHARED_H

#include "recipes/run/job.h"

LORAC_API_BEGIN

struct lorac_shared;
/* `threads`: of all devices, whatever train.threads says; 0: what it says. */
LORAC_MUST_CHECK enum lorac_status lorac_shared_new(struct lorac_shared **out, size_t threads,
                                                    struct lorac_err *err);
void lorac_shared_free(struct lorac_shared *s); // NULL is accepted; its jobs are closed before

/* lorac_job_open() with LORAC_JOB_TRAIN, of what is there already; what is not is opened, and there
 * from now on. The recipe outlives `s`. One thread at a time may call it. */
LORAC_MUST_CHECK enum lorac_status lorac_shared_job(struct lorac_job **out, struct lorac_shared *s,
                                                    const struct lorac_recipe *r,
                                                    struct lorac_err *err);
/* For lorac_trainer_options.rows: one trainer at a time. NULL where the job's data is its own. */
struct lorac_frozen **lorac_shared_rows(struct lorac_shared *s, const struct lorac_job *j);

LORAC_API_END

#endif
