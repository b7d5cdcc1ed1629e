/*
 * plan.h - what a run would do, told before it: which modules train, what it takes of memory, what
 * becomes of the rows, how long it is. No weight is read but the bytes that the base's fingerprint
 * samples.
 *
 * Memory is counted from the functions that will ask for it, so it follows the code; what the
 * program itself takes (libraries, tokenizer) is measured in this process. Weights count where a
 * step reads them: they are mapped pages of a file, which the system may drop and read again.
 */
#ifndef LORAC_RECIPES_PLAN_H
#define LORAC_RECIPES_PLAN_H

#include "base/core/buf.h"
#include "recipes/run/approximation.h"
#include "recipes/run/labels.h"
#include "recipes/run/shared.h"
#include "recipes/run/trainer.h"

LORAC_API_BEGIN

/* Modules of one kind with one shape, rank and alpha; or tensors of one kind that train in full. */
struct lorac_plan_group {
    char kind[LORAC_MODULE_NAME]; // "self_attn.q_proj", "self_attn.q_proj.bias": the name behind
                                  // its layer
    size_t n;                     // modules
    bool in_layers;
    size_t first, last; // which; 0 where the kind lies outside them
    size_t OC, C;       // C 0: a vector of OC
    bool full;          // trains whole
    size_t R;           // 0: the method has none, nor an alpha
    double alpha;
    size_t params; // of all n
};

enum lorac_plan_part {
    LORAC_PLAN_PROGRAM,     // program, libraries and their buffers, tokenizer, pages of the tables
    LORAC_PLAN_TABLES,      // index of the tables, lengths and ids of the examples
    LORAC_PLAN_WEIGHTS,     // stored weights that a step reads, or int8 was compared with before
    LORAC_PLAN_PACKED,      // what products make of them in another type of compute
    LORAC_PLAN_ACTIVATIONS, // of the training pass, and its batch
    LORAC_PLAN_LOGITS,      // its chunk of logits
    LORAC_PLAN_FROZEN,      // what leaves the frozen layers, kept (train.cache_frozen_prefix)
    LORAC_PLAN_ADAPTER,     // parameters, gradients, scratch
    LORAC_PLAN_MOMENTS,     // of the optimiser
    LORAC_PLAN_EVALUATION,  // the evaluation's pass, logits and batch
    LORAC_PLAN_SAMPLES,     // the generator of samples and exact_match, with its cache
    LORAC_PLAN_SAVING,      // while an adapter is saved and read back
    LORAC_PLAN_MERGING,     // output.merge: its buffers, and the new checkpoint, which is read back
    LORAC_PLAN_N_PARTS
};
const char *lorac_plan_part_name(enum lorac_plan_part part); // "activations"

/* Token lengths of one of the datasets. */
enum { LORAC_PLAN_BARS = 12, LORAC_PLAN_PERCENTILES = 4 };
struct lorac_plan_data {
    const char *name;                          // "train", "valid", "test"
    const struct lorac_dataset *set;           // NULL: there is none
    size_t percentile[LORAC_PLAN_PERCENTILES]; // 50, 90, 99, 100: tokens of a row
    size_t bar[LORAC_PLAN_BARS];               // rows of i w + 1 to (i + 1) w tokens, w = bar_width
    size_t n_bars, bar_width;
    size_t shared; // its rows that stand in the training rows, too
};
extern const int lorac_plan_percentiles[LORAC_PLAN_PERCENTILES];

struct lorac_plan {
    struct lorac_job *job;          // owned
    struct lorac_adapter *adapter;  // owned; shapes, without values
    struct lorac_plan_group *group; // (n_groups) owned
    size_t n_groups;
    size_t adapter_file_bytes;          // of adapter_model.safetensors, without its header
    bool recomputes;                    // activations inside a layer are computed twice
    struct lorac_trainer_frozen frozen; // layers that run once a row
    size_t bytes[LORAC_PLAN_N_PARTS], total;
    size_t available;                // that this process could have; 0: unknown
    struct lorac_plan_data data[3];  // train, valid, test
    struct lorac_label_look *labels; // owned; NULL: texts
    size_t steps, max_rows;          // of the run; rows of its largest micro-batch
    double steps_per_epoch;
    size_t eval_every, evaluations;
    enum lorac_metric best;        // chooses best/
    const char *best_why;          // the key that says so
    size_t eval_rows, eval_scored; // that one evaluation runs and scores, answers left out
    char folder[1024]; // why a new run could not begin in output.dir as it is; "": it could
};

/* Plan the run of a recipe, which is borrowed for as long as the plan lives. A mistake that the run
 * would stop at is an error here, too; a run that does not fit is none: ask lorac_plan_fits().
 * `shared` as for lorac_run(). */
LORAC_MUST_CHECK enum lorac_status lorac_plan_make(struct lorac_plan **out,
                                                   const struct lorac_recipe *r,
                                                   struct lorac_shared *shared,
                                                   struct lorac_err *err);
void lorac_plan_free(struct lorac_plan *p); // NULL is accepted
/* Tell through watch->note (run.h) what the recipe says and the run will not do. */
struct lorac_run_watch;
void lorac_plan_notes(const struct lorac_plan *p, const struct lorac_run_watch *watch);

/* LORAC_EUSER where the run needs more than `available` bytes: which part is the largest, and what
 * to try. */
LORAC_MUST_CHECK enum lorac_status lorac_plan_fits(const struct lorac_plan *p, size_t available,
                                                   struct lorac_err *err);

/* Are `steps`, of the run of an opened job, few to learn from? Then `advice` gets the keys that
 * would give more, with the values that a first recipe (first.h) has for these rows and this base:
 * "train.epochs: 10, optimizer.lr: 0.001"; nothing where only more rows would. Check
 * advice->no_memory. */
bool lorac_plan_few(struct lorac_buf *advice, const struct lorac_job *j, size_t steps);

/* A step, measured: a micro-batch to warm up, then the median of up to five steps of two seconds in
 * all. */
struct lorac_plan_probe {
    double step_seconds, eval_seconds; // of a step, of an evaluation but the first (from the
                                       // forward pass's rows)
    double seconds;                    // of the whole run, saving and samples left out
    double tokens_per_second;
    double loss; // mean over the trained tokens of the first micro-batch: the base's
};
LORAC_MUST_CHECK enum lorac_status lorac_plan_probe(struct lorac_plan_probe *out,
                                                    const struct lorac_plan *p,
                                                    struct lorac_err *err);

LORAC_API_END

#endif
