/* sweep.c - see sweep.h: trials checked, the sweep's folder, one trial run. */
#include "recipes/run/sweep.h"

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/machine.h"
#include "base/core/mem.h"
#include "recipes/language/reading.h"
#include "recipes/run/found.h"
#include "recipes/run/plan.h"
#include "recipes/run/record.h"
#include "recipes/run/setup.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SWEEP_LIMIT = 16 << 20 };

static enum lorac_metric metric_of(const struct lorac_sweep *s)
{
    return (enum lorac_metric)(s->objective.metric - 1);
}

static const char *mode_of(const struct lorac_sweep *s)
{
    return lorac_metric_better(metric_of(s), 1.0, 0.5, 0.0) ? "max" : "min";
}

/* ---- all trials, before the first ---- */

/* "trial 003-1a2b3c4d (adapter.rank: 16, seed: 2): " in front of the error. */
static void say_trial(struct lorac_err *err, const struct lorac_sweep_trial *t)
{
    struct lorac_buf b = {0};
    for (size_t i = 0; i < t->settings.n; i++) {
        const struct lorac_recipe_pair *p = &t->settings.at[i];
        lorac_buf_printf(&b, "%s%s: %.60s", i ? ", " : "", p->key, p->value);
    }
    lorac_err_prefix(err, "trial %s (%.300s): ", t->name, b.at && !b.no_memory ? b.at : "");
    lorac_buf_free(&b);
}

/* What the objective compares is measured, and by all trials. */
static enum lorac_status check_objective(struct lorac_sweep *s, const struct lorac_plan *p,
                                         bool first, struct lorac_err *err)
{
    struct lorac_sweep_objective *o = &s->objective;
    if (!o->metric && first) { o->metric = p->best + 1; }
    if (!lorac_setup_measures(metric_of(s), p->job)) {
        return lorac_fail(err, LORAC_EUSER, "%s: objective: %s is not measured: %s",
                          s->objective_at, lorac_metric_name(metric_of(s)),
                          p->job->K ? "not all tags are of entities (B-NAME, I-NAME, O)"
                                    : "there are no labels to choose from");
    }
    bool max = strcmp(mode_of(s), "max") == 0;
    if (o->mode != (max ? LORAC_SWEEP_MODE_MIN : LORAC_SWEEP_MODE_MAX)) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER, "%s: objective: mode: of %s %s is better, so it is %s",
                      s->objective_at, lorac_metric_name(metric_of(s)), max ? "more" : "less",
                      mode_of(s));
}

/* Trials can be compared where the first round ends. */
static enum lorac_status check_rounds(const struct lorac_sweep *s, const struct lorac_plan *p,
                                      struct lorac_err *err)
{
    if (s->strategy.kind != LORAC_SWEEP_HALVING) { return LORAC_OK; }
    size_t every = lorac_setup_interval(&s->strategy.every, p->steps_per_epoch);
    size_t first = p->eval_every ? p->eval_every : p->steps;
    if (every >= first || every >= p->steps) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER,
                      "%s: strategy: halving compares trials after %zu steps, and the first "
                      "evaluation is that of step %zu (eval.every)",
                      s->strategy_at, every, first);
}

/* Do both take the same time a step? What only changes numbers is left out. */
static bool alike(const struct lorac_recipe *a, const struct lorac_recipe *b)
{
    static const char *const numbers[] = {
        "name",         "seed",    "optimizer.", "adapter.alpha",   "adapter.scaling",
        "adapter.init", "output.", "eval.best",  "eval.early_stop."};
    struct lorac_buf diff = {0};
    for (size_t i = 0; i < lorac_n_keys; i++) {
        bool counts = true;
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers && counts; k++) {
            counts = strncmp(lorac_keys[i].path, numbers[k], strlen(numbers[k])) != 0;
        }
        if (counts) { lorac_key_diff(&diff, a, b, &lorac_keys[i]); }
    }
    bool same = !diff.n && !diff.no_memory;
    lorac_buf_free(&diff);
    return same;
}

/* A few steps of trial i, unless an earlier one is like it. Later than all plans: they count what
 * this process has in memory, and that is more then. */
static enum lorac_status measure(struct lorac_trial_look *look, const struct lorac_sweep *s,
                                 size_t i, struct lorac_shared *shared, struct lorac_err *err)
{
    struct lorac_plan *p = NULL;
    struct lorac_plan_probe probe;
    for (size_t k = 0; k < i; k++) {
        if (!alike(s->trial[k].recipe, s->trial[i].recipe)) { continue; }
        look[i].seconds = look[k].seconds;
        return LORAC_OK;
    }
    enum lorac_status st = lorac_plan_make(&p, s->trial[i].recipe, shared, err);
    if (!st) { st = lorac_plan_probe(&probe, p, err); }
    if (!st) { look[i].seconds = probe.seconds; }
    if (st) { say_trial(err, &s->trial[i]); }
    lorac_plan_free(p);
    return st;
}

enum lorac_status lorac_trial_look_again(struct lorac_trial_look *look, const struct lorac_sweep *s,
                                         size_t i, struct lorac_err *err)
{
    struct lorac_record *r = NULL;
    const char *dir = s->trial[i].recipe->output.dir;
    look->ended = false;
    look->done = 0;
    if (!lorac_record_is_run(dir)) { return LORAC_OK; }
    enum lorac_status st = lorac_record_open(&r, dir, err);
    if (st) { return st; }
    look->ended = r->status == LORAC_RECORD_FINISHED || r->status == LORAC_RECORD_EARLY;
    if (r->status == LORAC_RECORD_STOPPED) { look->done = r->steps_done; }
    lorac_record_close(r);
    return LORAC_OK;
}

static enum lorac_status check_trial(struct lorac_trial_look *look, struct lorac_sweep *s, size_t i,
                                     struct lorac_shared *shared, struct lorac_err *err)
{
    struct lorac_plan *p = NULL;
    struct lorac_found found = {0};
    enum lorac_status st = lorac_plan_make(&p, s->trial[i].recipe, shared, err);
    if (!st) { st = lorac_found_look(&found, p->job, err); } // of the same recipe, base and data
    lorac_found_release(&found);
    if (!st) { st = lorac_trial_look_again(&look[i], s, i, err); }
    if (st) {
        say_trial(err, &s->trial[i]);
    } else {
        look[i].steps = p->steps;
        look[i].steps_per_epoch = p->steps_per_epoch;
        look[i].bytes = p->total;
        st = check_objective(s, p, i == 0, err);
        if (!st) { st = check_rounds(s, p, err); }
    }
    lorac_plan_free(p);
    return st;
}

enum lorac_status lorac_sweep_check(struct lorac_trial_look *look, struct lorac_sweep *s,
                                    struct lorac_shared *shared, bool measures,
                                    struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < s->n && !st; i++) {
        look[i] = (struct lorac_trial_look){.seconds = (double)NAN};
        st = check_trial(look, s, i, shared, err);
    }
    for (size_t i = 0; i < s->n && !st && measures; i++) {
        st = measure(look, s, i, shared, err);
    }
    return st;
}

/* ---- the sweep's folder ---- */

static void add_text(struct lorac_buf *b, const char *key, const char *value)
{
    lorac_buf_printf(b, "\"%s\": ", key);
    lorac_buf_json(b, value, strlen(value));
}

/* Only what halving compares, and when, makes another sweep of the same trials. */
static void add_strategy(struct lorac_buf *b, const struct lorac_sweep *s)
{
    const struct lorac_sweep_strategy *h = &s->strategy;
    struct lorac_buf text = {0};
    if (h->kind != LORAC_SWEEP_HALVING) {
        lorac_buf_str(&text, "all");
    } else {
        bool steps = h->every.unit == LORAC_RECIPE_EVERY_STEPS;
        lorac_buf_printf(&text, "halving: %zu trials, keep %.9g, every %.9g %s, by %s, %s",
                         h->trials, h->keep, steps ? (double)h->every.steps : h->every.epochs,
                         steps ? "steps" : "epoch", lorac_metric_name(metric_of(s)), mode_of(s));
    }
    add_text(b, "strategy", text.at ? text.at : "");
    b->no_memory = b->no_memory || text.no_memory;
    lorac_buf_free(&text);
}

static void write_json(struct lorac_buf *b, const struct lorac_sweep *s)
{
    lorac_buf_str(b, "{\"sweep\": 1,\n ");
    add_text(b, "recipe", s->recipe);
    lorac_buf_str(b, ",\n ");
    add_strategy(b, s);
    lorac_buf_str(b, ",\n \"objective\": {");
    add_text(b, "metric", lorac_metric_name(metric_of(s)));
    lorac_buf_str(b, ", ");
    add_text(b, "mode", mode_of(s));
    lorac_buf_str(b, "},\n \"group_by\": [");
    for (size_t i = 0; i < s->group_by.n; i++) {
        lorac_buf_str(b, i ? ", " : "");
        lorac_buf_json(b, s->group_by.at[i], strlen(s->group_by.at[i]));
    }
    lorac_buf_str(b, "],\n \"trials\": [");
    for (size_t i = 0; i < s->n; i++) {
        const struct lorac_sweep_trial *t = &s->trial[i];
        lorac_buf_str(b, i ? ",\n  {" : "\n  {");
        add_text(b, "name", t->name);
        lorac_buf_str(b, ", \"changes\": {");
        for (size_t k = 0; k < t->settings.n; k++) {
            lorac_buf_str(b, k ? ", " : "");
            add_text(b, t->settings.at[k].key, t->settings.at[k].value);
        }
        lorac_buf_str(b, "}}");
    }
    lorac_buf_str(b, "]}\n");
}

static enum lorac_status other_sweep(const struct lorac_sweep *s, const char *what,
                                     const char *there, const char *here, struct lorac_err *err)
{
    return lorac_fail(
        err, LORAC_EUSER,
        "%s: holds another sweep: its sweep.json has %s '%s', here it is '%s'; choose "
        "another 'dir'",
        s->dir, what, there, here);
}

/* Are the trials that are there this sweep's first? */
static enum lorac_status compare(const struct lorac_sweep *s, const char *path,
                                 struct lorac_err *err)
{
    struct lorac_json root = {0};
    struct lorac_json now = {0};
    struct lorac_buf b = {0};
    const char *old = "";
    const char *new = "";
    write_json(&b, s);
    enum lorac_status st =
        b.no_memory ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path) : LORAC_OK;
    if (!st) { st = lorac_json_load(&root, path, SWEEP_LIMIT, err); }
    if (!st) { st = lorac_json_parse(&now, b.at, b.n, path, err); }
    if (!st) { st = lorac_json_string(&old, &root, "strategy", true, err); }
    if (!st) { st = lorac_json_string(&new, &now, "strategy", true, err); }
    if (!st && strcmp(old, new) != 0) { st = other_sweep(s, "the strategy", old, new, err); }
    struct lorac_json trials = lorac_json_get(&root, "trials");
    size_t n = st ? 0 : json_array_size(trials.value);
    for (size_t i = 0; i < n && !st; i++) {
        struct lorac_json trial = lorac_json_at(&trials, i);
        const char *here = i < s->n ? s->trial[i].name : "none";
        st = lorac_json_string(&old, &trial, "name", true, err);
        if (!st && strcmp(old, here) != 0) { st = other_sweep(s, "the trial", old, here, err); }
    }
    lorac_json_free(&root);
    lorac_json_free(&now);
    lorac_buf_free(&b);
    return st;
}

/* Does it hold anything but sweep.json, whole or being written by who begins the sweep, too? */
static enum lorac_status holds_more(bool *more, const char *dir, struct lorac_err *err)
{
    char **names = NULL;
    *more = false;
    if (!lorac_path_is_dir(dir)) { return LORAC_OK; }
    enum lorac_status st = lorac_dir_list(&names, dir, err);
    for (size_t i = 0; !st && names[i]; i++) {
        *more = *more || strncmp(names[i], "sweep.json", strlen("sweep.json")) != 0;
    }
    lorac_mem_free(names);
    return st;
}

enum lorac_status lorac_sweep_claim(const struct lorac_sweep *s, struct lorac_err *err)
{
    struct lorac_buf b = {0};
    bool more = false;
    enum lorac_status st = holds_more(&more, s->dir, err); // before it is asked for sweep.json
    char *path = st ? NULL : lorac_path_join(s->dir, "sweep.json");
    if (!st && !path) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", s->dir); }
    if (!st && lorac_path_exists(path)) {
        st = compare(s, path, err);
    } else if (!st && more) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: holds files that are no sweep of lorac; choose another 'dir'", s->dir);
    }
    if (!st) { st = lorac_dir_make(s->dir, err); }
    write_json(&b, s);
    if (!st && b.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", s->dir); }
    if (!st) { st = lorac_file_write(path, b.at, b.n, err); }
    lorac_buf_free(&b);
    lorac_mem_free(path);
    return st;
}

/* ---- one trial ---- */

static enum lorac_status failed_path(char **out, const struct lorac_sweep *s, size_t trial,
                                     struct lorac_err *err)
{
    char name[48];
    (void)snprintf(name, sizeof name, "%s.failed", s->trial[trial].name);
    *out = lorac_path_join(s->dir, name);
    return *out ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "%s: no memory", s->dir);
}

enum lorac_status lorac_trial_failed(const struct lorac_sweep *s, size_t trial, const char *why,
                                     struct lorac_err *err)
{
    struct lorac_buf b = {0};
    char *path = NULL;
    enum lorac_status st = failed_path(&path, s, trial, err);
    lorac_buf_printf(&b, "%s\n", why);
    if (!st && b.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path); }
    if (!st) { st = lorac_file_write(path, b.at, b.n, err); }
    lorac_buf_free(&b);
    lorac_mem_free(path);
    return st;
}

enum lorac_status lorac_trial_run(struct lorac_run_result *out, const struct lorac_sweep *s,
                                  size_t trial, size_t until, struct lorac_shared *shared,
                                  const struct lorac_run_watch *watch, struct lorac_err *err)
{
    struct lorac_run_watch own = *watch;
    own.until = until;
    const struct lorac_recipe *r = s->trial[trial].recipe;
    char *mark = NULL;
    enum lorac_status st = failed_path(&mark, s, trial, err);
    if (!st) { st = lorac_file_remove(mark, err); }
    lorac_mem_free(mark);
    if (st) { return st; }
    bool there = lorac_record_is_run(r->output.dir);
    lorac_machine_peak_begin(); // what the trial takes, not one before it
    st = lorac_run(out, r, there ? LORAC_RUN_RESUME : LORAC_RUN_NEW, shared, &own, err);
    if (st && st != LORAC_ESTOP) { // its own error is the one to tell, whatever comes of this
        (void)!lorac_trial_failed(s, trial, err ? err->text : "unknown", NULL);
    }
    if (!st && out->end == LORAC_RUN_STOPPED && out->step < until) { // it was asked to
        st = lorac_fail(err, LORAC_ESTOP, "stopped");
    }
    return st;
}

enum lorac_status lorac_trial_score(double *value, size_t *step, const struct lorac_sweep *s,
                                    size_t trial, size_t until, struct lorac_err *err)
{
    struct lorac_record *r = NULL;
    const char *dir = s->trial[trial].recipe->output.dir;
    struct lorac_scores best;
    *value = (double)NAN;
    *step = 0;
    if (!lorac_record_is_run(dir)) { return LORAC_OK; }
    enum lorac_status st = lorac_record_open(&r, dir, err);
    if (!st && lorac_record_best(&best, step, r, until)) {
        *value = lorac_scores_get(&best, metric_of(s));
    }
    lorac_record_close(r);
    return st;
}
