/* cmd_train.c - `lorac train`: a run, seen from a terminal. */
#include "tools/cmd_recipes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct screen {
    struct status_line line;
    const char *again; // the command that goes on
    size_t first_step;
    struct profile_seen *profile; // or NULL
};

static void say_data(const char *name, const struct lorac_data *d)
{
    if (!d->set) { return; }
    const struct lorac_data_counts *c = lorac_dataset_counts(d->set);
    if (lorac_dataset_is_text(d->set)) {
        fprintf(stderr, "  %-8s ", name);
        say_text(stderr, c);
        fprintf(stderr, "\n");
        say_counts(stderr, c);
        return;
    }
    char front[24];
    struct lorac_buf b = {0};
    (void)snprintf(front, sizeof front, "  %-8s ", name);
    add_rows(&b, d->set);
    lorac_buf_printf(&b, ", the longest row %zu", c->longest);
    show_wrapped(stderr, front, b.at ? b.at : "");
    lorac_buf_free(&b);
    say_table(stderr, d->table);
    say_counts(stderr, c);
}

/* "q_proj, v_proj (4 modules)": which kinds of modules carry the adapter. */
static void add_modules(struct lorac_buf *b, const struct lorac_adapter *a)
{
    const char *seen[16];
    size_t n = 0;
    for (size_t i = 0; i < a->n && n < 16; i++) {
        const char *name = a->model->module[a->site[i].m].name;
        const char *dot = strrchr(name, '.');
        const char *kind = dot ? dot + 1 : name;
        bool known = false;
        for (size_t k = 0; k < n; k++) {
            known = known || strcmp(seen[k], kind) == 0;
        }
        if (!known) { seen[n++] = kind; }
    }
    for (size_t k = 0; k < n; k++) {
        lorac_buf_printf(b, "%s%s", k ? ", " : "", seen[k]);
    }
}

static void on_begin(void *self, const struct lorac_run_begin *b)
{
    char t[4][32];
    char many[48];
    char class[LORAC_CLASS_NAME];
    const struct lorac_job *j = b->job;
    struct screen *screen = self;
    screen->first_step = b->first_step;
    fprintf(stderr, "  base     %s (%s parameters, %s)\n", j->model->dir,
            show_count(t[0], lorac_model_parameters(j->model)),
            lorac_config_class(class, &j->model->config));
    struct lorac_buf line = {0};
    lorac_buf_printf(&line, "%s parameters", show_count(t[0], b->adapter->n_params));
    if (b->adapter->n) {
        lorac_buf_printf(&line, " on %s: ", show_many(many, b->adapter->n, "module"));
    }
    add_modules(&line, b->adapter);
    if (b->adapter->n_full) {
        lorac_buf_printf(&line, "; %s in full", show_many(many, b->adapter->n_full, "tensor"));
    }
    show_wrapped(stderr, "  adapter  ", line.at ? line.at : "");
    say_data("train", &j->train);
    say_data("valid", &j->valid);
    if (j->K) { fprintf(stderr, "  labels   %zu, of {%s}\n", j->K, j->label_variable); }
    lorac_buf_clear(&line);
    lorac_buf_printf(
        &line, "%s activations%s, %s adapter and optimiser", show_bytes(t[0], b->activation_bytes),
        b->recomputes ? " (recomputing inside layers)" : "", show_bytes(t[1], b->parameter_bytes));
    show_wrapped(stderr, "  memory   ", line.at ? line.at : "");
    say_frozen(stderr, "  frozen   ", b->frozen);
    lorac_buf_clear(&line);
    lorac_buf_printf(&line, "%zu (%.1f an epoch), in %s, ", b->steps, b->steps_per_epoch,
                     lorac_compute_name(j->model->compute));
    if (world()) { lorac_buf_printf(&line, "%zu ranks of ", lorac_ranks_count(world())); }
    lorac_buf_printf(&line, "%d thread%s, into %s", j->dev.threads, j->dev.threads == 1 ? "" : "s",
                     b->dir);
    show_wrapped(stderr, "  steps    ", line.at ? line.at : "");
    lorac_buf_free(&line);
    if (b->best_by) { fprintf(stderr, "  best     by %s (%s)\n", b->best_by, b->best_why); }
    if (b->first_step) { fprintf(stderr, "  resuming after step %zu\n", b->first_step); }
    if (!b->first_step) { say_few(stderr, "", j, b->steps); }
}

static void on_step(void *self, const struct lorac_step *s)
{
    struct screen *screen = self;
    char text[160];
    char left[32];
    (void)snprintf(
        text, sizeof text,
        "step %zu/%zu  loss %.4f  %s left  epoch %.2f  %.0f tokens/s  lr %.2e  |grad| %.3g",
        s->step, s->steps, s->loss, show_time(left, s->remaining), s->epoch, s->tokens_per_second,
        s->lr, s->grad_norm);
    status_show(&screen->line, text, s->step == s->steps || s->step == 1);
}

static void on_preparing(void *self, const char *what, double done)
{
    struct screen *screen = self;
    if (screen->line.terminal) { status_share(&screen->line, what, done); }
}

static void on_evaluating(void *self, double done)
{
    struct screen *screen = self;
    if (screen->line.terminal) { status_share(&screen->line, "evaluating", done); }
}

static void on_eval(void *self, const struct lorac_run_eval *e)
{
    struct screen *screen = self;
    const struct lorac_scores *s = e->scores;
    char time[32];
    char front[48];
    struct lorac_buf b = {0};
    status_clear(&screen->line);
    (void)snprintf(front, sizeof front, "valid at step %zu: ", e->step);
    lorac_buf_printf(&b, "loss %.4f", s->loss);
    if (!isnan(s->perplexity)) { lorac_buf_printf(&b, "  perplexity %.4g", s->perplexity); }
    show_metrics(&b, s);
    if (s->unknown) { lorac_buf_printf(&b, "  (%zu rows have none of the labels)", s->unknown); }
    if (s->bytes) { lorac_buf_printf(&b, "  bits per byte %.4f", lorac_scores_bits_per_byte(s)); }
    lorac_buf_printf(&b, "  (%zu %s, %s)%s", s->rows, s->bytes ? "pieces" : "rows",
                     show_time(time, s->seconds), e->is_best ? "  best so far" : "");
    show_parts(stderr, front, b.at ? b.at : "");
    lorac_buf_free(&b);
}

static void say_line(const char *label, const char *text)
{
    fprintf(stderr, "    %s", label);
    show_text(stderr, text, strlen(text));
    fputc('\n', stderr);
}

static void on_sample(void *self, const struct lorac_run_sample *s)
{
    (void)self;
    say_line("prompt  ", s->prompt);
    say_line("wanted  ", s->want);
    say_line("answer  ", s->got);
}

static void on_note(void *self, const char *text)
{
    struct screen *screen = self;
    status_clear(&screen->line);
    show_wrapped(stderr, "note: ", text);
}

static bool on_stop(void *self)
{
    (void)self;
    return stop_asked();
}

static void on_profile(void *self, const struct lorac_profile *f)
{
    const struct screen *screen = self;
    screen->profile->write(&screen->profile->text, f);
}

static void say_end(const struct lorac_recipe *r, const struct lorac_run_result *result,
                    const struct screen *screen)
{
    char time[32];
    char peak[32];
    char steps[48];
    bool keeps_best = r->output.keep >> LORAC_RECIPE_KEEP_BEST & 1U;
    const char *best = result->has_valid && keeps_best ? "best" : "last";
    show_time(time, result->seconds);
    show_bytes(peak, result->peak_bytes);
    if (result->end == LORAC_RUN_STOPPED) {
        fprintf(stderr, "stopped after step %zu; everything is saved. Go on with\n  %s\n",
                result->step, screen->again);
        return;
    }
    if (result->end == LORAC_RUN_EARLY) {
        fprintf(stderr, "stopped early at step %zu: no better evaluation for %zu in a row\n",
                result->step, r->eval.early_stop.patience);
    }
    if (screen->first_step && screen->first_step == result->step) {
        fprintf(stderr, "nothing to do: this run had ended already, after %s\n",
                show_many(steps, result->step, "step"));
    } else {
        fprintf(stderr, "done: %s in %s, %s of memory at the most\n",
                show_many(steps, result->step, "step"), time, peak);
    }
    if (result->has_valid) {
        fprintf(stderr, "best by %s at step %zu: loss %.4f", lorac_metric_name(result->best_by),
                result->best_step, result->best.loss);
        if (result->best.has_accuracy) {
            fprintf(stderr, ", accuracy %.4f", result->best.accuracy);
        }
        if (result->best_by > LORAC_METRIC_EXACT_MATCH) {
            fprintf(stderr, ", %s %.4f", lorac_metric_words(result->best_by),
                    lorac_scores_get(&result->best, result->best_by));
        }
        if (result->best.bytes) {
            fprintf(stderr, ", bits per byte %.4f", lorac_scores_bits_per_byte(&result->best));
        }
        fputc('\n', stderr);
    }
    fprintf(stderr, "the adapter is in %s/%s; try\n  lorac eval ", r->output.dir, best);
    show_word(stderr, r->output.dir);
    fprintf(stderr, "%s\n",
            r->data.test.n      ? " --split test"
            : result->has_valid ? ""
                                : " --split train");
}

enum lorac_status train_seen(struct lorac_run_result *result, const struct lorac_recipe *r,
                             const char *path, const char *again, enum lorac_run_mode mode,
                             struct profile_seen *profile, struct lorac_err *err)
{
    struct screen screen = {.again = again, .profile = profile};
    status_begin(&screen.line);
    stop_on_signals();
    fprintf(stderr, "lorac train ");
    show_word(stderr, path);
    fprintf(stderr, "\n");
    bool terminal = r->output.log >> LORAC_RECIPE_LOG_TERMINAL & 1U;
    struct lorac_run_watch watch = {
        .self = &screen,
        .begin = on_begin,
        .step = terminal ? on_step : NULL,
        .preparing = terminal ? on_preparing : NULL,
        .evaluating = terminal ? on_evaluating : NULL,
        .eval = on_eval,
        .sample = on_sample,
        .note = on_note,
        .stop = on_stop,
        .profile = profile && profile->write ? on_profile : NULL,
        .ranks = world(),
    };
    enum lorac_status st = lorac_run(result, r, mode, NULL, &watch, err);
    status_clear(&screen.line);
    if (!st) { say_end(r, result, &screen); }
    return st;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct lorac_recipe *r = NULL;
    struct lorac_run_result result = {0};
    enum lorac_run_mode mode = LORAC_RUN_NEW;
    if (args_has(a, "--resume") && args_has(a, "--overwrite")) {
        fprintf(stderr, "lorac: --resume and --overwrite exclude each other\n");
        return EXIT_USAGE;
    }
    if (args_has(a, "--resume")) { mode = LORAC_RUN_RESUME; }
    if (args_has(a, "--overwrite")) { mode = LORAC_RUN_OVERWRITE; }
    if (recipe_to_run(&r, a, &err)) { return complain(&err); }
    struct lorac_buf again = {0};
    struct profile_seen profile = {0};
    bool as_json = args_has(a, "--json");
    if (args_has(a, "--profile")) { profile.write = as_json ? profile_json : profile_text; }
    args_again(&again, a);
    lorac_buf_str(&again, " --resume");
    enum lorac_status st =
        train_seen(&result, r, a->positional[0], again.no_memory ? "--resume" : again.at, mode,
                   &profile, &err);
    int code = 0;
    if (st) {
        code = complain(&err);
    } else if (as_json) {
        static const char *const ends[] = {"finished", "stopped", "early"};
        struct out j = {0};
        out_str(&j, "end", ends[result.end]);
        out_count(&j, "steps", result.step);
        out_real(&j, "seconds", result.seconds);
        out_count(&j, "peak_bytes", result.peak_bytes);
        if (result.has_valid) {
            const char *by = lorac_metric_name(result.best_by);
            out_count(&j, "best_step", result.best_step);
            out_str(&j, "best_by", by);
            out_real(&j, "loss", result.best.loss);
            out_metrics(&j, &result.best);
            if (result.best.bytes) {
                out_real(&j, "bits_per_byte", lorac_scores_bits_per_byte(&result.best));
            }
        }
        if (profile.text.at) { out_raw(&j, "profile", profile.text.at); }
        code = out_print(&j);
    } else if (profile.text.at) {
        fputs(profile.text.at, stdout);
    }
    if (!st && result.end == LORAC_RUN_STOPPED) { code = stop_code(); }
    lorac_buf_free(&again);
    lorac_buf_free(&profile.text);
    lorac_recipe_free(r);
    return code;
}

static const struct option options[] = {
    RECIPE_OPTIONS,
    {"--resume", NULL, "go on with the run in output.dir from its last save", false, false},
    {"--overwrite", NULL, "remove the run in output.dir and start anew", false, false},
    {"--profile", NULL, "say where the steps' time went, by operation", false, false},
    {"--json", NULL, "print the result as one JSON object", false, false},
    {0},
};

const struct verb verb_train = {
    .name = "train",
    .usage = "RECIPE|RUN [--set KEY=VALUE]... [--resume | --overwrite]",
    .summary = "adapt a model to a table of examples, as a recipe says",
    .about =
        "  lorac train recipes/sst2.yaml --set model.path=DIR --set train.epochs=1\n\n"
        "Ctrl-C finishes the step, saves, and says how to go on (exit code 130); a killed run "
        "loses at most the steps since its last save (output.save_every). Results are in "
        "output.dir: best/ and last/ are adapters in PEFT's format, metrics.csv has a line for "
        "every step.\n",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
    .shared = true,
};
