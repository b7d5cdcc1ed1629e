/* notes.c - see notes.h. */
#include "recipes/run/notes.h"

#include "base/core/machine.h"
#include "recipes/language/reading.h"
#include "recipes/run/evaluate.h"
#include "recipes/run/heads.h"
#include "recipes/run/labels.h"

#include <string.h>

/* A column that the template never reads, and a prompt that reads none, are seldom meant. */
static void note_unused(const struct lorac_job *j, const struct lorac_run_watch *watch,
                        struct lorac_buf *b)
{
    const struct lorac_recipe *r = j->recipe;
    const struct lorac_dataset *set = j->train.set;
    const struct lorac_template *t = lorac_dataset_template(set);
    size_t in_prompt = 0;
    for (size_t i = 0; i < r->data.columns.n; i++) {
        size_t v = 0;
        const char *name = r->data.columns.at[i].key;
        if (lorac_dataset_variable(&v, set, name, NULL)) { continue; }
        in_prompt += lorac_template_prompt_uses(t, v);
        bool stratifies = r->data.valid.stratify && strcmp(r->data.valid.stratify, name) == 0;
        bool target = lorac_job_has_head(j) && strcmp(j->label_variable, name) == 0;
        if (lorac_template_uses(t, v) || stratifies || target) { continue; }
        lorac_buf_clear(b);
        lorac_buf_printf(b, "the template does not use {%s} (data.columns)", name);
        watch->note(watch->self, b->at ? b->at : "");
    }
    if (r->data.columns.n && !in_prompt && j->K) {
        lorac_buf_clear(b);
        lorac_buf_str(b, "template.prompt holds no variable: every row asks the same question");
        watch->note(watch->self, b->at ? b->at : "");
    }
}

static void note(const struct lorac_run_watch *watch, struct lorac_buf *b)
{
    watch->note(watch->self, b->at ? b->at : "");
    lorac_buf_clear(b);
}

/* What is counted in steps or evaluations, of which the run has too few. */
static void note_lengths(const struct lorac_job *j, const struct lorac_length *length,
                         const struct lorac_run_watch *watch, struct lorac_buf *b)
{
    const struct lorac_recipe *r = j->recipe;
    const struct lorac_recipe_amount *warmup = &r->optimizer.warmup;
    size_t steps = length->steps;
    size_t evaluations = lorac_setup_evaluations(length);
    lorac_buf_clear(b);
    if (r->train.watchdog.loss_above > 0.0 && r->train.watchdog.patience > steps) {
        lorac_buf_printf(b,
                         "train.watchdog.patience: the run has only %zu steps, so the watchdog can "
                         "never stop it",
                         steps);
        note(watch, b);
    }
    if (!warmup->is_percent && warmup->steps >= steps) {
        lorac_buf_printf(b,
                         "optimizer.warmup: %zu steps, and the run has only %zu: it never reaches "
                         "optimizer.lr",
                         warmup->steps, steps);
        note(watch, b);
    }
    if (j->valid.set && r->eval.early_stop.metric && r->eval.early_stop.patience >= evaluations) {
        lorac_buf_printf(b,
                         "eval.early_stop.patience: %zu, and the run has only %zu evaluations: it "
                         "can never stop early",
                         r->eval.early_stop.patience, evaluations);
        note(watch, b);
    }
    const struct {
        const char *key;
        const struct lorac_recipe_interval *every;
        bool used;
    } intervals[] = {{"eval.every", &r->eval.every, j->valid.set != NULL},
                     {"output.save_every", &r->output.save_every, true}};
    for (size_t i = 0; i < sizeof intervals / sizeof *intervals; i++) {
        const struct lorac_recipe_interval *every = intervals[i].every;
        bool at_end = every->unit == LORAC_RECIPE_EVERY_STEPS && every->steps > steps;
        if (!at_end || !intervals[i].used) { continue; }
        lorac_buf_printf(b, "%s: %zu steps, and the run has only %zu: only its end counts",
                         intervals[i].key, every->steps, steps);
        note(watch, b);
    }
}

/* What speaks of evaluations where there are none. */
static void note_unevaluated(const struct lorac_job *j, const struct lorac_run_watch *watch,
                             struct lorac_buf *b)
{
    static const char *const keys[] = {"eval.every", "eval.samples"};
    lorac_buf_clear(b);
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !j->valid.set; i++) {
        if (lorac_recipe_is_default(j->recipe, keys[i])) { continue; }
        lorac_buf_printf(b, "%s has no effect without data.valid: nothing is evaluated", keys[i]);
        note(watch, b);
    }
}

/* What is odd about the labels. */
static enum lorac_status note_labels(const struct lorac_job *j, const struct lorac_run_watch *watch,
                                     struct lorac_err *err)
{
    struct lorac_label_look *look = NULL;
    enum lorac_status st = lorac_labels_look(&look, j, err);
    for (size_t i = 0; !st && i < look->n; i++) {
        watch->note(watch->self, look->note[i].at);
    }
    lorac_label_look_free(look);
    return st;
}

/* Layers that train in full are computed in float32, whatever the base is. */
static void note_full(const struct lorac_job *j, const struct lorac_adapter *a,
                      const struct lorac_run_watch *watch, struct lorac_buf *b)
{
    const struct lorac_model *m = j->model;
    size_t linear = 0;
    size_t full = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        if (!lorac_module_is_linear(&m->module[i])) { continue; }
        linear++;
        full += a->weight_at[i] >= 0;
    }
    if (!full || m->compute == LORAC_FLOAT32) { return; }
    lorac_buf_clear(b);
    lorac_buf_printf(b,
                     "model.compute: %s is for what stays as it is; %zu of %zu linear layers train "
                     "in full, in float32",
                     lorac_compute_name(m->compute), full, linear);
    watch->note(watch->self, b->at ? b->at : "");
}

static void note_compute(const struct lorac_job *j, const struct lorac_run_watch *watch,
                         struct lorac_buf *b)
{
    const char *word = j->recipe->model.compute;
    const char *slow = j->dev.ops->slow(&j->dev, j->model->compute);
    lorac_buf_clear(b);
    if (slow) {
        lorac_buf_printf(b,
                         "model.compute: %s is slower than float32 here: %s; try float32 or auto",
                         lorac_compute_name(j->model->compute), slow);
        note(watch, b);
    }
    if (!word || strcmp(word, "auto") != 0 || j->model->compute != LORAC_FLOAT32) { return; }
    lorac_buf_printf(b, "model.compute: auto is float32 here: %s",
                     j->dev.ops->lacks(&j->dev, LORAC_BFLOAT16));
    note(watch, b);
}

/* What is slower than it would be with more memory. */
static void note_copies(const struct lorac_job *j, struct lorac_adapter *a,
                        const struct lorac_run_watch *watch, struct lorac_buf *b)
{
    enum { MIB = 20 };
    struct lorac_socket socket = lorac_adapter_socket(a);
    size_t left_out = 0;
    size_t made =
        lorac_model_copies(j->model, &socket, lorac_frozen_layers(j->model, &socket), &left_out);
    if (!left_out) { return; }
    lorac_buf_clear(b);
    lorac_buf_printf(b,
                     "model.compute: %s: weights that are packed may take a quarter of the memory: "
                     "%zu MiB are, %zu MiB more are not, and their products are slower",
                     lorac_compute_name(j->model->compute), made >> MIB, left_out >> MIB);
    watch->note(watch->self, b->at ? b->at : "");
}

void lorac_recipe_notes(const struct lorac_job *j, struct lorac_adapter *a,
                        const struct lorac_length *length, const struct lorac_run_watch *watch)
{
    struct lorac_buf b = {0};
    note_compute(j, watch, &b);
    note_copies(j, a, watch, &b);
    note_full(j, a, watch, &b);
    note_lengths(j, length, watch, &b);
    note_unused(j, watch, &b);
    note_unevaluated(j, watch, &b);
    lorac_buf_free(&b);
}

enum lorac_status lorac_run_notes(const struct lorac_job *j, struct lorac_adapter *a,
                                  const struct lorac_length *length, size_t shared,
                                  const struct lorac_run_watch *watch, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    struct lorac_buf b = {0};
    bool table = r->data.kind == LORAC_RECIPE_DATA_TABLE;
    const char *choice = lorac_checkpoint_note(j->model->files);
    if (choice) { watch->note(watch->self, choice); }
    choice = lorac_tokenizer_note(j->tokenizer);
    if (choice) { watch->note(watch->self, choice); }
    const char *unmeasured = lorac_unmeasured(j, r->eval.metrics);
    if (unmeasured && j->valid.set) { watch->note(watch->self, unmeasured); }
    if (shared) {
        lorac_buf_clear(&b);
        const char *what = table ? "rows" : "pieces";
        lorac_buf_printf(&b, "%zu of the %zu validation %s stand in the training %s, too", shared,
                         lorac_dataset_size(j->valid.set), what, what);
        watch->note(watch->self, b.at ? b.at : "");
    }
    size_t processors = lorac_machine_processors();
    if ((size_t)j->dev.threads > processors) {
        lorac_buf_clear(&b);
        lorac_buf_printf(
            &b, "train.threads: %d threads on %zu processor%s wait for each other most of the time",
            j->dev.threads, processors, processors == 1 ? "" : "s");
        watch->note(watch->self, b.at ? b.at : "");
    }
    lorac_buf_free(&b);
    lorac_recipe_notes(j, a, length, watch);
    return note_labels(j, watch, err);
}
