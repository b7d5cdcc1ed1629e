/* run_notes.c - see run_notes.h. */
#include "recipes/run_notes.h"

#include "base/core/machine.h"
#include "recipes/evaluate.h"
#include "recipes/labels.h"

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
        if (lorac_template_uses(t, v) || stratifies) { continue; }
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

enum lorac_status lorac_run_notes(const struct lorac_job *j, size_t steps, size_t shared,
                                  const struct lorac_run_watch *watch, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    struct lorac_buf b = {0};
    bool table = r->data.kind == LORAC_RECIPE_DATA_TABLE;
    const char *choice = lorac_checkpoint_note(j->model->files);
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
    if (r->train.watchdog.loss_above > 0.0 && r->train.watchdog.patience > steps) {
        lorac_buf_clear(&b);
        lorac_buf_printf(&b,
                         "train.watchdog.patience: the run has only %zu steps, so the watchdog can "
                         "never stop it",
                         steps);
        watch->note(watch->self, b.at ? b.at : "");
    }
    size_t processors = lorac_machine_processors();
    if ((size_t)j->dev.threads > processors) {
        lorac_buf_clear(&b);
        lorac_buf_printf(
            &b, "train.threads: %d threads on %zu processors wait for each other most of the time",
            j->dev.threads, processors);
        watch->note(watch->self, b.at ? b.at : "");
    }
    note_unused(j, watch, &b);
    lorac_buf_free(&b);
    return note_labels(j, watch, err);
}
