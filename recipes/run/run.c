/* run.c - one training run, from top to bottom; see run.h. */
#include "recipes/run/run.h"

#include "base/checkpoint/hub.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/machine.h"
#include "base/core/mem.h"
#include "recipes/run/approximation.h"
#include "recipes/run/events.h"
#include "recipes/run/files.h"
#include "recipes/run/frozen.h"
#include "recipes/run/heads.h"
#include "recipes/run/notes.h"
#include "recipes/run/resume.h"
#include "recipes/run/samples.h"
#include "recipes/run/saved_template.h"
#include "recipes/run/setup.h"
#include "recipes/run/state.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* All that a run holds. */
struct run {
    const struct lorac_recipe *r;
    struct lorac_shared *shared; // or NULL
    const struct lorac_run_watch *watch;
    struct lorac_ranks *ranks;
    bool writes; // rank 0: has the folder
    struct lorac_run_paths paths;
    int lock;
    struct lorac_job *job;
    struct lorac_adapter *adapter;
    struct lorac_loader *loader;
    struct lorac_profile *profile; // or NULL
    struct lorac_trainer_options o;
    struct lorac_trainer *trainer;
    struct lorac_state *state;            // the trainer's
    struct lorac_predictions predictions; // of the last evaluation
    struct lorac_events events;
    struct lorac_approximation approximation;
    struct lorac_length length;
    bool is_ours;    // run.json speaks of this run
    bool not_finite; // the step that failed did so for its loss or gradient
    double loss;     // of the last step
    double began;    // this session, by the clock
    struct lorac_earlier earlier;
    char resumed[32];        // this session, where it is not the first; "" otherwise
    struct lorac_buf inputs; // lorac_manifest.inputs
};

/* ---- setting up ---- */

static enum lorac_status open_trainer(struct run *run, struct lorac_err *err)
{
    struct lorac_loader_options o = lorac_setup_loader(run->job);
    enum lorac_status st = lorac_loader_open(&run->loader, run->job->train.set, &o, err);
    if (!st) {
        st = lorac_setup_trainer(&run->o, &run->length, run->job, run->adapter, run->loader, err);
    }
    if (!st && run->watch->profile) { st = lorac_profile_new(&run->profile, run->job->model, err); }
    run->o.profile = run->profile;
    run->o.valid.predictions = &run->predictions;
    run->o.ranks = run->o.valid.ranks = run->ranks;
    run->o.frozen_bytes /= lorac_ranks_here(run->ranks); // machines are shared, too
    if (!st && run->shared && !run->ranks) {
        run->o.rows = lorac_shared_rows(run->shared, run->job);
        size_t held = run->o.rows ? lorac_frozen_held(*run->o.rows) : 0; // of what was there
        if (held > run->o.frozen_bytes) { run->o.frozen_bytes = held; }
    }
    if (run->r->train.keep_activations == LORAC_RECIPE_ACTIVATIONS_AUTO) {
        run->o.activation_bytes /= lorac_ranks_here(run->ranks);
    }
    if (!st) { st = lorac_trainer_open(&run->trainer, &run->o, err); }
    if (!st) { run->state = lorac_trainer_state(run->trainer); }
    return st;
}

static enum lorac_status tell_begin(struct run *run, struct lorac_err *err)
{
    struct lorac_trainer_size size;
    if (!run->watch->begin) { return LORAC_OK; }
    enum lorac_status st = lorac_trainer_measure(&size, &run->o, err);
    if (st) { return st; }
    struct lorac_run_begin begin = {
        .job = run->job,
        .adapter = run->adapter,
        .dir = run->paths.dir,
        .steps = run->length.steps,
        .first_step = (size_t)run->state->step,
        .steps_per_epoch = run->length.steps_per_epoch,
        .activation_bytes = size.pass,
        .parameter_bytes = size.parameters,
        .recomputes = size.recomputes,
        .frozen = lorac_trainer_frozen(run->trainer),
    };
    if (run->o.valid.set) {
        begin.best_by = lorac_metric_name(run->o.best);
        begin.best_why = lorac_setup_best_why(run->r);
    }
    run->watch->begin(run->watch->self, &begin);
    return LORAC_OK;
}

/* Does output.log ask for it? */
static bool logs(const struct run *run, enum lorac_recipe_log to)
{
    return run->writes && (run->r->output.log >> to & 1U) != 0;
}

static void factoring(void *self, double done)
{
    const struct lorac_run_watch *watch = ((const struct run *)self)->watch;
    watch->preparing(watch->self, "factoring weights", done);
}

static enum lorac_status open_run(struct run *run, enum lorac_run_mode mode, struct lorac_err *err)
{
    const struct lorac_recipe *r = run->r;
    enum lorac_status st = lorac_run_paths(&run->paths, r->output.dir, err);
    if (!st && run->writes) { st = lorac_run_check_folder(&run->paths, mode, err); }
    if (!st) {
        st = run->shared ? lorac_shared_job(&run->job, run->shared, r, err)
                         : lorac_job_open(&run->job, r, LORAC_JOB_TRAIN, err);
    }
    if (!st) { st = lorac_device_start(&run->job->dev, err); } // before anything is begun
    if (!st) { st = lorac_job_check_length(run->job, err); }
    if (!st && run->watch->preparing) {
        run->job->factoring = factoring;
        run->job->self = run;
    }
    if (!st) { st = lorac_job_adapter(&run->adapter, run->job, err); }
    if (!st) { st = lorac_template_from(run->job, run->adapter, err); }
    if (!st) { st = lorac_template_save(run->adapter, run->job, err); }
    if (!st) { st = lorac_approximation_measure(&run->approximation, run->job, err); }
    if (!st) { st = open_trainer(run, err); }
    if (st || !run->writes) { return st; }
    st = lorac_dir_make(run->paths.dir, err);
    if (!st) { st = lorac_lock_open(&run->lock, run->paths.lock, err); }
    // now that nobody else can begin one here: a run may have come and gone while the model was
    // opened
    if (!st && mode == LORAC_RUN_NEW && lorac_path_exists(run->paths.recipe)) {
        st = lorac_run_check_folder(&run->paths, mode, err);
    }
    return st;
}

/* run.json as it is now: the run goes on, or has ended as one of them says. */
static enum lorac_status tell(struct run *run, const struct lorac_run_result *result,
                              const struct lorac_err *failure, struct lorac_err *err)
{
    bool ended = result || failure;
    if (!run->writes) { return LORAC_OK; }
    const struct lorac_manifest m = {
        .job = run->job,
        .adapter = run->adapter,
        .steps = run->length.steps,
        .started = run->earlier.started,
        .resumed = run->resumed[0] ? run->resumed : NULL,
        .seconds = run->earlier.seconds + (ended ? lorac_clock() - run->began : 0.0),
        .approximation = &run->approximation,
        .inputs = &run->inputs,
        .best = run->o.valid.set ? &run->o.best : NULL,
        .frozen = lorac_trainer_frozen(run->trainer)->layers,
        .ranks = lorac_ranks_count(run->ranks),
        .result = result,
        .failure = failure,
    };
    return lorac_manifest_write(&run->paths, &m, err);
}

/* The state that the run goes on from. */
static enum lorac_status read_state(struct run *run, struct lorac_err *err)
{
    const struct lorac_run_paths *p = &run->paths;
    enum lorac_status st = LORAC_OK;
    if (lorac_path_exists(p->state)) {
        st = lorac_trainer_load_state(run->trainer, p->state, err);
    } else {
        st = lorac_manifest_unsaved(p, err);
    }
    if (!st && run->state->step == 0 && run->watch->note) {
        run->watch->note(run->watch->self,
                         "the run had saved nothing yet: it starts from the beginning");
    }
    return st;
}

/* Rows that ran through the frozen layers in other batches have other last bits. */
static void note_frozen(const struct run *run)
{
    char text[200];
    size_t now = lorac_trainer_frozen(run->trainer)->layers;
    if (now == run->earlier.frozen || run->state->step == 0 || !run->watch->note) { return; }
    (void)snprintf(text, sizeof text,
                   "train.cache_frozen_prefix: %zu layers run once a row now, and %zu when the run "
                   "began: the result will differ from an uninterrupted run in the last bits",
                   now, run->earlier.frozen);
    run->watch->note(run->watch->self, text);
}

/* Take up the run that is in the folder. */
static enum lorac_status resume(struct run *run, struct lorac_err *err)
{
    const struct lorac_run_paths *p = &run->paths;
    struct lorac_buf length = {0};
    enum lorac_status st = lorac_manifest_check(&length, p, run->job, run->watch, err);
    if (!st) { st = lorac_manifest_read(&run->earlier, p, err); }
    bool chooses = run->r->eval.best || run->r->eval.early_stop.metric;
    if (!st && !chooses) { // as it began; versions that did not say chose by loss
        unsigned by = run->earlier.best ? run->earlier.best : LORAC_METRIC_LOSS + 1;
        run->o.best = run->o.stop = (enum lorac_metric)(by - 1);
        lorac_trainer_choose(run->trainer, run->o.best, run->o.stop);
    }
    if (!st) { st = read_state(run, err); }
    if (!st) { note_frozen(run); }
    if (!st && length.n) {
        st = lorac_resume_length(length.at, p, run->r, run->state, run->length.steps,
                                 run->earlier.steps, err);
    }
    if (!st) { st = lorac_resume_best(p, run->r, run->state, err); }
    lorac_buf_free(&length);
    return st;
}

/* A session that was killed told run.json nothing of its time: metrics.csv has that of the steps
 * that count. */
static void count_seconds(struct run *run)
{
    double measured = 0.0;
    if (!run->resumed[0] || lorac_metrics_seconds(&measured, &run->paths, NULL)) { return; }
    if (measured > run->earlier.seconds) { run->earlier.seconds = measured; }
}

static enum lorac_status tell_approximation(const struct run *run, struct lorac_err *err)
{
    struct lorac_buf b = {0};
    lorac_approximation_say(&b, &run->approximation);
    enum lorac_status st =
        b.no_memory ? lorac_fail(err, LORAC_ENOMEM, "no memory for a note") : LORAC_OK;
    if (!st && b.n) { run->watch->note(run->watch->self, b.at); }
    lorac_buf_free(&b);
    return st;
}

/* What those who share a run should know of how they were started. */
static void note_ranks(const struct run *run)
{
    char text[240];
    const struct lorac_run_watch *watch = run->watch;
    size_t unused = lorac_ranks_unused(run->ranks);
    if (!watch->note) { return; }
    if (unused && run->r->train.threads == 0) {
        (void)snprintf(text, sizeof text,
                       "mpirun binds these ranks to some of the cores, and %zu are left over: "
                       "mpirun --bind-to none has the ranks divide them all",
                       unused);
        watch->note(watch->self, text);
    }
    if (!lorac_ranks_alike(run->ranks)) {
        watch->note(watch->self, "the ranks' processors differ, and so do the last bits of what "
                                 "they compute: after each step rank 0's parameters are sent to "
                                 "all");
    }
}

/* Make the folder a run's, or take up the run that is there. */
static enum lorac_status begin_folder(struct run *run, enum lorac_run_mode mode,
                                      struct lorac_err *err)
{
    const struct lorac_run_paths *p = &run->paths;
    bool resumes = mode == LORAC_RUN_RESUME;
    lorac_clock_utc(resumes ? run->resumed : run->earlier.started);
    enum lorac_status st = lorac_run_sweep(p, err);
    if (!st && mode == LORAC_RUN_OVERWRITE) { st = lorac_run_clear(p, err); }
    if (!st && resumes) { st = resume(run, err); }
    if (!st) { st = lorac_dir_make(p->state_dir, err); }
    if (!st && logs(run, LORAC_RECIPE_LOG_CSV)) {
        st = lorac_metrics_begin(p, (size_t)run->state->step, run->o.valid.metrics, err);
    }
    if (!st) { st = lorac_run_cut_predictions(p, (size_t)run->state->step, err); }
    if (!st) { st = lorac_samples_begin(p, (size_t)run->state->step, err); }
    if (!st) {
        count_seconds(run);
        st = tell(run, NULL, NULL, err);
        run->is_ours = !st;
    }
    if (!st) { st = lorac_recipe_write(run->r, p->recipe, err); } // last: from now on it is a run
    if (!st && logs(run, LORAC_RECIPE_LOG_TENSORBOARD)) {
        st = lorac_events_begin(&run->events, p->dir, (size_t)run->state->step, run->r, err);
    }
    if (!st) { st = tell_begin(run, err); }
    size_t shared = 0;
    if (!st && run->job->valid.set) {
        st = lorac_dataset_shared(&shared, run->job->train.set, run->job->valid.set, err);
    }
    const char *why = lorac_trainer_frozen(run->trainer)->why;
    if (!st && run->watch->note && why[0]) { run->watch->note(run->watch->self, why); }
    if (!st && run->watch->note) {
        st = lorac_run_notes(run->job, run->adapter, &run->length, shared, run->watch, err);
        if (!st) { st = tell_approximation(run, err); }
        note_ranks(run);
    }
    // there before the first step: where it is missing later, it was lost
    if (!st && !lorac_path_exists(p->state)) {
        st = lorac_state_write(p->state, run->state, NULL, NULL, err);
    }
    return st;
}

static enum lorac_status begin(struct run *run, enum lorac_run_mode mode, struct lorac_err *err)
{
    enum lorac_status st = run->writes ? begin_folder(run, mode, err) : LORAC_OK;
    enum lorac_metric by[] = {run->o.best, run->o.stop}; // those of the run that goes on
    st = lorac_ranks_broadcast(by, sizeof by, run->ranks, st, err);
    run->o.best = by[0];
    run->o.stop = by[1];
    lorac_trainer_choose(run->trainer, by[0], by[1]);
    return lorac_trainer_share(run->trainer, st, err);
}

/* ---- one step ---- */

static bool preparing(void *self, double done)
{
    const struct run *run = self;
    const struct lorac_run_watch *watch = run->watch;
    if (watch->preparing) { watch->preparing(watch->self, "frozen layers", done); }
    return !watch->stop || !watch->stop(watch->self);
}

static enum lorac_status step(struct run *run, struct lorac_err *err)
{
    struct lorac_step s;
    enum lorac_status st = lorac_trainer_step(&s, run->trainer, err);
    run->not_finite = s.not_finite;
    if (st) { return st; }
    run->loss = s.loss;
    if (logs(run, LORAC_RECIPE_LOG_CSV)) {
        st = lorac_metrics_step(&run->paths, &s, run->o.valid.metrics, err);
    }
    if (!st) { st = lorac_events_step(&run->events, &s, err); }
    if (!st && run->watch->step) { run->watch->step(run->watch->self, &s); }
    return st;
}

/* ---- evaluation and saving ---- */

/* Answers to the first rows: into samples.csv, all of them at once, and to who watches. */
static enum lorac_status take_samples(struct run *run, struct lorac_err *err)
{
    size_t n = lorac_dataset_size(run->job->valid.set);
    struct lorac_buf rows = {0};
    struct lorac_buf text[3] = {0};
    enum lorac_status st = LORAC_OK;
    const struct lorac_job *j = run->job;
    bool writes = !lorac_job_has_head(j) && !lorac_job_objective(j)->masks;
    size_t some = writes ? run->r->eval.samples : 0;
    for (size_t i = 0; i < some && i < n && !st; i++) {
        for (size_t k = 0; k < 3; k++) {
            lorac_buf_clear(&text[k]);
            lorac_buf_str(&text[k], "");
        }
        st = lorac_evaluator_sample(&text[0], &text[1], &text[2],
                                    lorac_trainer_evaluator(run->trainer), i, err);
        if (st) { break; }
        lorac_samples_row(&rows, (size_t)run->state->step, text);
        struct lorac_run_sample s = {text[0].at, text[1].at, text[2].at};
        if (run->watch->sample) { run->watch->sample(run->watch->self, &s); }
        st = lorac_events_sample(&run->events, (size_t)run->state->step, i, &s, err);
    }
    if (!st && (rows.n || rows.no_memory)) { st = lorac_samples_add(&run->paths, &rows, err); }
    for (size_t k = 0; k < 3; k++) {
        lorac_buf_free(&text[k]);
    }
    lorac_buf_free(&rows);
    return st;
}

static bool evaluating(void *self, double done)
{
    const struct run *run = self;
    if (run->watch->evaluating) { run->watch->evaluating(run->watch->self, done); }
    return true;
}

static enum lorac_status evaluate(struct run *run, struct lorac_run_result *out,
                                  struct lorac_err *err)
{
    struct lorac_scores scores;
    struct lorac_state *s = run->state;
    const struct lorac_run_paths *p = &run->paths;
    bool is_best = false;
    enum lorac_status st =
        lorac_trainer_evaluate(&scores, &is_best, run->trainer, evaluating, run, err);
    if (st) { return st; }
    struct lorac_run_eval e = {(size_t)s->step, &scores, is_best};
    out->last = scores;
    if (!run->writes) { return LORAC_OK; }
    if (is_best && (run->r->output.keep >> LORAC_RECIPE_KEEP_BEST & 1U)) {
        st = lorac_trainer_save(run->trainer, p->best_new, p->best, err);
        if (!st) { st = lorac_weights_digest(&s->best_weights, p->best_new, err); }
    }
    double epoch = (double)s->examples / (double)lorac_dataset_size(run->job->train.set);
    if (!st) { st = lorac_run_keep_predictions(p, &run->predictions, e.step, err); }
    if (!st && logs(run, LORAC_RECIPE_LOG_CSV)) {
        st = lorac_metrics_eval(&run->paths, epoch, &e, run->o.valid.metrics, err);
    }
    if (!st) { st = lorac_events_eval(&run->events, epoch, &e, err); }
    if (!st && run->watch->eval) { run->watch->eval(run->watch->self, &e); }
    bool last = s->step == run->length.steps;
    return !st && (is_best || last) ? take_samples(run, err) : st;
}

static enum lorac_status save(struct run *run, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    if (!run->writes) { return st; }
    if (run->r->output.keep >> LORAC_RECIPE_KEEP_LAST & 1U) {
        st = lorac_trainer_save(run->trainer, run->paths.last, NULL, err);
    }
    if (!st) { st = lorac_trainer_save_state(run->trainer, run->paths.state, err); }
    if (!st && lorac_path_exists(run->paths.best_new)) { // the state knows of it now
        st = lorac_dir_replace(run->paths.best, run->paths.best_new, err);
    }
    return st;
}

/* train.watchdog: a loss that stays too high ends the run, its state saved. */
static enum lorac_status watch_loss(struct run *run, struct lorac_err *err)
{
    double limit = run->r->train.watchdog.loss_above;
    size_t patience = run->r->train.watchdog.patience;
    if (!(limit > 0.0) || run->state->above < patience) { return LORAC_OK; }
    run->state->above = 0; // who resumes has seen it
    enum lorac_status st = save(run, err);
    if (st) { return st; }
    return lorac_fail(err, LORAC_EUSER,
                      "step %zu: the training loss is %.4g, and was above %g "
                      "(train.watchdog.loss_above) in each of the last %zu steps; the state is "
                      "saved: begin anew with a smaller optimizer.lr, or go on with --resume",
                      (size_t)run->state->step, run->loss, limit, patience);
}

/* Between two steps: has any rank failed, or been asked to *stop? */
static enum lorac_status agree(bool *stop, struct run *run, enum lorac_status st,
                               struct lorac_err *err)
{
    double asked = *stop;
    st = lorac_ranks_add(&asked, 1, run->ranks, st, err);
    *stop = asked > 0.0;
    return st;
}

/* Is the run to stop where it stands? */
static bool stops(const struct run *run)
{
    const struct lorac_run_watch *w = run->watch;
    bool there = w->until && run->state->step >= w->until;
    return there || (w->stop && w->stop(w->self));
}

static enum lorac_status loop(struct run *run, struct lorac_run_result *out, struct lorac_err *err)
{
    size_t patience = run->r->eval.early_stop.metric ? run->r->eval.early_stop.patience : SIZE_MAX;
    bool keeps_best = run->r->output.keep >> LORAC_RECIPE_KEEP_BEST & 1U;
    enum lorac_status st = LORAC_OK;
    out->end = run->state->patience >= patience ? LORAC_RUN_EARLY : LORAC_RUN_DONE;
    if (run->state->step >= run->length.steps || out->end == LORAC_RUN_EARLY) {
        st = save(run, err); // it had ended: last/ is what the state says, whatever became of it
    }
    if (!st && out->end == LORAC_RUN_DONE) {
        st = lorac_trainer_prepare(run->trainer, preparing, run, err);
        if (st == LORAC_ESTOP) { // all is as it was saved
            out->end = LORAC_RUN_STOPPED;
            st = LORAC_OK;
        }
    }
    if (!st && out->end == LORAC_RUN_DONE && run->state->step < run->length.steps && stops(run)) {
        out->end = LORAC_RUN_STOPPED; // all is as it was saved
    }
    while (!st && run->state->step < run->length.steps && out->end == LORAC_RUN_DONE) {
        st = step(run, err);
        if (run->not_finite && run->state->step > 0) { // parameters and moments are those of before
            (void)save(run, NULL);                     // the step's own error is the one to tell
        }
        if (st) { break; }
        size_t now = (size_t)run->state->step;
        bool new_best = false;
        if (run->o.valid.set && lorac_setup_due(now, run->length.eval_every, run->length.steps)) {
            st = evaluate(run, out, err);
            new_best = keeps_best && run->state->best_step == now;
            if (!st && run->state->patience >= patience) { out->end = LORAC_RUN_EARLY; }
        }
        if (!st) { st = watch_loss(run, err); }
        bool more = now < run->length.steps && out->end == LORAC_RUN_DONE;
        bool stop = !st && more && stops(run);
        st = agree(&stop, run, st, err);
        if (!st && stop) { out->end = LORAC_RUN_STOPPED; }
        // with a new best/, too: a run that is killed now must not go on without knowing of it
        bool saves = new_best || out->end != LORAC_RUN_DONE ||
                     lorac_setup_due(now, run->length.save_every, run->length.steps);
        if (!st && saves) { st = save(run, err); }
    }
    out->step = (size_t)run->state->step;
    out->has_valid = run->state->has_best != 0;
    out->best = run->state->best_scores;
    out->best_step = (size_t)run->state->best_step;
    out->best_by = run->o.best;
    return st;
}

static enum lorac_status tell_profile(struct run *run, struct lorac_err *err)
{
    if (!run->profile) { return LORAC_OK; }
    enum lorac_status st = lorac_profile_measure(run->profile, err);
    if (!st) { run->watch->profile(run->watch->self, run->profile); }
    return st;
}

/* output.merge: the best adapter (the last where there is no best) inside a whole checkpoint. */
static enum lorac_status merge(struct run *run, struct lorac_err *err)
{
    struct lorac_adapter *a = NULL;
    const char *dir = lorac_path_exists(run->paths.best) ? run->paths.best : run->paths.last;
    enum lorac_status st = lorac_peft_load(&a, run->job->model, dir, false, err);
    struct lorac_stack stack = {.n = 1, .adapter = {a}, .factor = {1.0F}};
    if (!st) { st = lorac_dir_remove(run->paths.merged, err); }
    if (!st) { st = lorac_merge(run->paths.merged, run->job->model, &stack, NULL, err); }
    lorac_adapter_free(a);
    return st;
}

/* run.json says what a failed run failed of. Where that cannot be written, it says "running" still.
 */
static bool tell_failure(struct run *run, const struct lorac_err *why)
{
    static const struct lorac_err unknown = {.text = "unknown"};
    return tell(run, NULL, why ? why : &unknown, NULL) == LORAC_OK;
}

static void close_run(struct run *run)
{
    lorac_trainer_close(run->trainer);
    lorac_predictions_release(&run->predictions);
    lorac_events_end(&run->events);
    lorac_profile_free(run->profile);
    lorac_loader_close(run->loader);
    lorac_adapter_free(run->adapter);
    lorac_job_close(run->job);
    lorac_lock_close(run->lock);
    lorac_run_paths_free(&run->paths);
    lorac_buf_free(&run->inputs);
}

enum lorac_status lorac_run(struct lorac_run_result *out, const struct lorac_recipe *r,
                            enum lorac_run_mode mode, struct lorac_shared *shared,
                            const struct lorac_run_watch *watch, struct lorac_err *err)
{
    const struct lorac_run_watch silent = {
        .self = watch->self, .stop = watch->stop, .until = watch->until};
    bool writes = lorac_ranks_rank(watch->ranks) == 0;
    struct run run = {.r = r,
                      .shared = shared,
                      .watch = writes ? watch : &silent,
                      .ranks = watch->ranks,
                      .writes = writes,
                      .lock = -1,
                      .began = lorac_clock()};
    *out = (struct lorac_run_result){0};
    enum lorac_status st = open_run(&run, mode, err);
    const struct lorac_adapter *from = r->adapter.from ? run.adapter : NULL;
    st = lorac_job_alike(run.job, NULL, from, run.ranks, st, err);
    if (!st) { st = begin(&run, mode, err); }
    if (!st) { st = loop(&run, out, err); }
    if (!st && writes && out->end != LORAC_RUN_STOPPED && r->output.merge) {
        st = merge(&run, err);
    }
    out->seconds = run.earlier.seconds + lorac_clock() - run.began;
    out->peak_bytes = lorac_machine_peak();
    if (!st) {
        st = tell(&run, out, NULL, err);
        if (!st) { st = tell_profile(&run, err); }
    } else if (run.is_ours) {
        (void)tell_failure(&run, err);
    }
    close_run(&run);
    return st;
}
