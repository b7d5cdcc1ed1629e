/*
 * run.h - a training run: from a recipe to a folder with the result.
 *
 *   DIR/recipe.resolved.yaml   every key with its value
 *   DIR/run.json               versions, hashes of base, data and recipe, machine, result
 *   DIR/metrics.csv            a line a step and a line an evaluation, where output.log has csv
 *   DIR/predictions/STEP.csv   what each row of the evaluation after that step came to
 *   DIR/samples.csv            greedy answers to the first validation rows, of the best and the
 *                              last evaluation, and of each that was the best so far
 *   DIR/events.out.tfevents.*  all of these for TensorBoard, where output.log has tensorboard
 *   DIR/state/                 what a resumed run needs: one file, written atomically
 *   DIR/best/  DIR/last/       adapters in PEFT's format
 *   DIR/merged/                a whole checkpoint, where output.merge asks for it
 *
 * One process at a time may work on a folder (a lock). A run that was stopped or killed goes on
 * from its last save and ends byte for byte as the uninterrupted one, on the same CPU type, binary
 * and thread count.
 */
#ifndef LORAC_RECIPES_RUN_H
#define LORAC_RECIPES_RUN_H

#include "recipes/run/shared.h"
#include "recipes/run/trainer.h"

LORAC_API_BEGIN

enum lorac_run_mode {
    LORAC_RUN_NEW,       // a folder that holds something is refused
    LORAC_RUN_RESUME,    // go on from the last save
    LORAC_RUN_OVERWRITE, // what an earlier run left in the folder is removed first
};

/* What is about to happen, told once. */
struct lorac_run_begin {
    const struct lorac_job *job;
    const struct lorac_adapter *adapter;
    const char *dir;
    size_t steps, first_step; // of the run; done already where it resumes
    double steps_per_epoch;
    size_t activation_bytes, parameter_bytes;  // activations; adapter, gradients and moments
    bool recomputes;                           // activations inside a layer are computed twice
    const struct lorac_trainer_frozen *frozen; // layers that run once a row
    const char *best_by,
        *best_why; // the metric that chooses best/, and the key that says so; NULL: nothing does
};

struct lorac_run_eval {
    size_t step;
    const struct lorac_scores *scores;
    bool is_best;
};

struct lorac_run_sample {
    const char *prompt, *want, *got;
};

/* The caller's eyes and hands; any function may be NULL. */
struct lorac_run_watch {
    void *self;
    void (*begin)(void *self, const struct lorac_run_begin *b);
    /* Before the first step: "factoring weights" (adapter.init), "frozen layers". */
    void (*preparing)(void *self, const char *what, double done);
    void (*step)(void *self, const struct lorac_step *s);
    void (*evaluating)(void *self, double done);
    void (*eval)(void *self, const struct lorac_run_eval *e);
    void (*sample)(void *self, const struct lorac_run_sample *s);
    void (*note)(void *self, const char *text); // something worth knowing
    bool (*stop)(void *self); // asked before the first step and after each: true saves and ends
    size_t until;             // this step saves and ends, too; 0: none does
    /* Told at the end where the steps' time went, with the products measured by themselves. NULL:
     * nothing is measured. */
    void (*profile)(void *self, const struct lorac_profile *f);
    /* Other processes that run it with this one: all call lorac_run(), and get its result. Rank 0
     * alone has the folder, and tells its caller; the others ask theirs to stop. NULL: none. */
    struct lorac_ranks *ranks;
};

enum lorac_run_end { LORAC_RUN_DONE, LORAC_RUN_STOPPED, LORAC_RUN_EARLY };

struct lorac_run_result {
    enum lorac_run_end end;
    size_t step;
    bool has_valid;
    struct lorac_scores last, best; // of the validation data
    size_t best_step;
    enum lorac_metric best_by;
    double seconds;    // of all sessions of the run
    size_t peak_bytes; // resident memory of the process
};

/* `shared`: what other runs of this process have opened, and will; NULL: this one opens its own. */
LORAC_MUST_CHECK enum lorac_status lorac_run(struct lorac_run_result *out,
                                             const struct lorac_recipe *r, enum lorac_run_mode mode,
                                             struct lorac_shared *shared,
                                             const struct lorac_run_watch *watch,
                                             struct lorac_err *err);

LORAC_API_END

#endif
