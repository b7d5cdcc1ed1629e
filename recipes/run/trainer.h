/*
 * trainer.h - training, one optimiser step at a time: what a run does with a recipe, and a program
 * with a model, an adapter and a loader.
 *
 *   struct lorac_trainer_options o = lorac_trainer_options_default();
 *   o.adapter = adapter;
 *   o.loader = loader;
 *   o.epochs = 3;
 *   st = lorac_trainer_open(&t, &o, &err);
 *   while (!st && !lorac_trainer_done(t)) { st = lorac_trainer_step(&step, t, &err); }
 *   if (!st) { st = lorac_trainer_save(t, "adapter", NULL, &err); }
 *   lorac_trainer_close(t);
 *
 * A step takes micro-batches from the loader, sums their weighted losses, divides once by what all
 * of their tokens weigh (objective.h), clips, and moves the parameters. Where it stands is a state
 * that can be saved: a trainer that loads it goes on as one that was never stopped.
 *
 * Several processes may train together (ranks.h): each has a trainer with the same options, and
 * makes the same calls. The loss and gradient of a step are those of one process but for rounding.
 */
#ifndef LORAC_RECIPES_TRAINER_H
#define LORAC_RECIPES_TRAINER_H

#include "lora/lora.h"
#include "recipes/language/recipe.h"
#include "recipes/run/evaluate.h"
#include "recipes/run/ranks.h"

LORAC_API_BEGIN

struct lorac_frozen;
/* All pointers are borrowed and must outlive the trainer. */
struct lorac_trainer_options {
    struct lorac_adapter *adapter;    // what trains, on its model; gets gradients where it has none
    struct lorac_loader *loader;      // gives the rows, from where it stands
    size_t epochs, steps;             // how long: passes over the rows, or steps; one of the two
    size_t accumulate;                // micro-batches a step
    struct lorac_optim_options optim; // its `steps`, where 0, are those of the whole training
    size_t activation_bytes;          // keep all activations where they take at most this; else
                                      // each layer's input, and compute the rest again
    enum lorac_recipe_cache cache_frozen_prefix; // frozen.h
    struct lorac_frozen **rows; // what they give, where an earlier trainer of this model left
                                // it, and this one is to leave it; NULL: nobody else wants it
    size_t frozen_bytes;        // what the frozen layers give lies in memory where it takes
                                // at most this; else
    const char *dir;            // in a file in this folder; NULL: not at all
    size_t evaluations; // how often the caller is to evaluate: from 2 on validation rows take
                        // what training rows leave of that memory
    double loss_above;  // the state counts steps in a row above it; 0: none
    struct lorac_evaluator_options valid; // what is evaluated; model and socket are the trainer's.
                                          // set NULL: nothing
    enum lorac_metric best; // says which evaluation is the best; of two equal ones the lower loss
    enum lorac_metric stop; // says for how many evaluations nothing got better,
    double min_delta;       // which is: by more than this
    struct lorac_ranks *ranks;     // who shares the steps' micro-batches; NULL: nobody
    struct lorac_profile *profile; // where the steps' time goes; NULL: nobody asks
};
/* One epoch of AdamW as lorac_optim_options_default() has it, a micro-batch a step; activations may
 * take half of the machine's memory; loss decides what is best. adapter and loader are missing. */
struct lorac_trainer_options lorac_trainer_options_default(void);

/* How long such a training is: `steps`, or micro-batches of all epochs over `accumulate`, the last
 * step a smaller one. LORAC_EUSER: too many epochs to count. */
LORAC_MUST_CHECK enum lorac_status lorac_trainer_length(size_t *steps, double *steps_per_epoch,
                                                        const struct lorac_trainer_options *o,
                                                        struct lorac_err *err);
/* The layers that run once a row, and what is kept of it. */
struct lorac_trainer_frozen {
    size_t layers;      // 0: none do
    size_t rows, bytes; // kept: bytes of the rows, in memory or
    bool on_disk;
    char why[256];     // why none do, where there would be something to gain; else ""
    size_t valid_room; // memory for what is kept of validation rows, 0: none
    size_t valid_layers, valid_bytes; // which it takes; 0: they run through all layers each time
};
/* What it takes of memory, beside the model. The adapter may be an outline, without values. */
struct lorac_trainer_size {
    size_t pass, batch; // bytes of activations and logits; of the batch
    size_t parameters;  // of the adapter, its gradients and moments
    bool recomputes;    // activations inside a layer are computed twice
    size_t frozen;      // of what the frozen layers give, kept
    struct lorac_trainer_frozen kept;
};
LORAC_MUST_CHECK enum lorac_status lorac_trainer_measure(struct lorac_trainer_size *out,
                                                         const struct lorac_trainer_options *o,
                                                         struct lorac_err *err);

struct lorac_trainer;
LORAC_MUST_CHECK enum lorac_status lorac_trainer_open(struct lorac_trainer **out,
                                                      const struct lorac_trainer_options *o,
                                                      struct lorac_err *err);
/* All that a recipe says about training, in one call: its data, its model, an adapter with its
 * template and labels, the order of its rows. What it opens it owns; the recipe is borrowed. When
 * to evaluate and to save is the caller's. */
LORAC_MUST_CHECK enum lorac_status lorac_trainer_open_recipe(struct lorac_trainer **out,
                                                             const struct lorac_recipe *r,
                                                             struct lorac_err *err);
void lorac_trainer_close(struct lorac_trainer *t);

/* Run the frozen layers, once for all rows, where a step is to come; the first step does it
 * otherwise. `progress` may be NULL; LORAC_ESTOP where it says so. */
LORAC_MUST_CHECK enum lorac_status lorac_trainer_prepare(struct lorac_trainer *t,
                                                         lorac_progress_fn *progress, void *self,
                                                         struct lorac_err *err);
const struct lorac_trainer_frozen *lorac_trainer_frozen(const struct lorac_trainer *t);

struct lorac_step {
    size_t step, steps;       // which, from 1, of how many
    double epoch;             // examples seen / examples
    double loss;              // weighted mean over this step's trained tokens
    double perplexity;        // exp(loss); NaN of an objective that has none
    double lr, grad_norm;     // before clipping
    size_t tokens, trained;   // rows run, tokens trained
    double seconds;           // of this step
    double tokens_per_second; // rows, over the last steps
    double remaining;         // seconds, estimated
    bool not_finite;          // of a step that failed: for its loss, weight or gradient
};
/* One optimiser step. Where loss or gradient is not finite, *out says so, and parameters, moments
 * and state are those of before: they may be saved. A step past the last is LORAC_EUSER; so is one
 * whose gradient is zero while there is something to learn. */
LORAC_MUST_CHECK enum lorac_status lorac_trainer_step(struct lorac_step *out,
                                                      struct lorac_trainer *t,
                                                      struct lorac_err *err);
bool lorac_trainer_done(const struct lorac_trainer *t); // all steps are

/* The next micro-batch without training on it: its mean loss, and what it took. The trainer stays
 * where it is. */
struct lorac_peek {
    double loss;
    double forward_seconds; // of the layers
    double row_seconds;     // the same, a row
    double scored_seconds;  // of the head, a row that scores
};
LORAC_MUST_CHECK enum lorac_status lorac_trainer_peek(struct lorac_peek *out,
                                                      struct lorac_trainer *t,
                                                      struct lorac_err *err);

/* Scores of the validation rows, without dropout, and whether they are the best so far. */
LORAC_MUST_CHECK enum lorac_status lorac_trainer_evaluate(struct lorac_scores *out, bool *is_best,
                                                          struct lorac_trainer *t,
                                                          lorac_progress_fn *progress, void *self,
                                                          struct lorac_err *err);
/* Whose scores these are, for samples; NULL: nothing is evaluated. Borrowed. */
struct lorac_evaluator *lorac_trainer_evaluator(const struct lorac_trainer *t);

/* Write the adapter's folder (lorac_peft_save). One that changes nothing, or a module of
 * which does, is LORAC_EUSER. `name` is what messages call the folder; NULL: `dir`. */
LORAC_MUST_CHECK enum lorac_status lorac_trainer_save(const struct lorac_trainer *t,
                                                      const char *dir, const char *name,
                                                      struct lorac_err *err);
/* Write, and go on from, all that a stopped training needs: one file. */
LORAC_MUST_CHECK enum lorac_status lorac_trainer_save_state(const struct lorac_trainer *t,
                                                            const char *path,
                                                            struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_trainer_load_state(struct lorac_trainer *t,
                                                            const char *path,
                                                            struct lorac_err *err);
/* Rank 0's becomes that of all ranks, which so begin alike: it alone need have read it. `st`,
 * `err`: as in ranks.h. */
LORAC_MUST_CHECK enum lorac_status lorac_trainer_share(struct lorac_trainer *t,
                                                       enum lorac_status st, struct lorac_err *err);

LORAC_API_END

#endif
