/*
 * state.h - everything that a resumed run needs, in one safetensors file written atomically:
 * parameters, moments, and as metadata the counters below.
 */
#ifndef LORAC_RECIPES_STATE_H
#define LORAC_RECIPES_STATE_H

#include "datasets/datasets.h"
#include "lora/lora.h"
#include "recipes/run/evaluate.h"

struct lorac_state {
    uint64_t step;            // optimiser steps done
    uint64_t micro;           // micro-batches done: dropout's counter
    uint64_t epoch, position; // where the data goes on (struct lorac_loader_state)
    uint64_t examples;        // seen
    uint64_t has_best;        // 1: the next three count
    uint64_t best_step;
    uint64_t patience;     // evaluations since without a better one
    uint64_t above;        // steps in a row whose loss the watchdog dislikes
    double best;           // value of the metric that chooses
    double stop_best;      // best value of the metric that stops early
    uint64_t best_weights; // digest of the weights in best/; 0: none were kept
    struct lorac_scores best_scores;
};

/* Its blocks of floats: parameters, the optimiser's moments, and what pairs started from. */
enum { LORAC_STATE_BLOCKS = 5 };
struct lorac_state_block {
    const char *name;
    float *at; // (n) device memory
    size_t n;
};
size_t lorac_state_blocks(struct lorac_state_block out[LORAC_STATE_BLOCKS],
                          const struct lorac_adapter *a, struct lorac_optim *o);

/* Written beside `path`, read back and compared with memory; only then does it take the name.
 * `a` and `o` NULL: before the first step, when both are what the recipe makes of them; the file
 * holds no blocks then, and is read only for a pair that has done no step either. */
LORAC_MUST_CHECK enum lorac_status lorac_state_write(const char *path, const struct lorac_state *s,
                                                     const struct lorac_adapter *a,
                                                     struct lorac_optim *o, struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_state_read(struct lorac_state *s, struct lorac_adapter *a,
                                                    struct lorac_optim *o, const char *path,
                                                    struct lorac_err *err);

/* Of a trainer, for a run: it writes best_weights, and resets what the watchdog counts. */
struct lorac_trainer;
struct lorac_state *lorac_trainer_state(struct lorac_trainer *t);
/* Other metrics choose from now on: those that did when the run began. */
void lorac_trainer_choose(struct lorac_trainer *t, enum lorac_metric best, enum lorac_metric stop);

#endif
