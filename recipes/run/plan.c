/* plan.c - see plan.h. */
#include "recipes/run/plan.h"

#include "base/core/machine.h"
#include "base/core/mem.h"
#include "recipes/language/reading.h"
#include "recipes/run/approximation.h"
#include "recipes/run/evaluate.h"
#include "recipes/run/files.h"
#include "recipes/run/first.h"
#include "recipes/run/heads.h"
#include "recipes/run/notes.h"
#include "recipes/run/setup.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const int lorac_plan_percentiles[LORAC_PLAN_PERCENTILES] = {50, 90, 99, 100};

static const char *const part_names[LORAC_PLAN_N_PARTS] = {
    [LORAC_PLAN_PROGRAM] = "program and tokenizer",
    [LORAC_PLAN_TABLES] = "tables and token ids",
    [LORAC_PLAN_WEIGHTS] = "weights, mapped",
    [LORAC_PLAN_PACKED] = "weights, packed",
    [LORAC_PLAN_ACTIVATIONS] = "activations",
    [LORAC_PLAN_LOGITS] = "logits chunk",
    [LORAC_PLAN_FROZEN] = "rows of frozen layers",
    [LORAC_PLAN_ADAPTER] = "adapter and gradients",
    [LORAC_PLAN_MOMENTS] = "optimiser moments",
    [LORAC_PLAN_EVALUATION] = "evaluation pass",
    [LORAC_PLAN_SAMPLES] = "generating samples",
    [LORAC_PLAN_SAVING] = "saving",
    [LORAC_PLAN_MERGING] = "merging",
};

const char *lorac_plan_part_name(enum lorac_plan_part part)
{
    return part_names[part];
}

/* ---- modules ---- */

/* "model.layers.3.mlp.up_proj" is "mlp.up_proj" of layer 3; other names are a kind of their own. */
static const char *kind_of(const char *name, size_t *layer)
{
    *layer = 0;
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
        size_t digits = strspn(dot + 1, "0123456789");
        if (digits == 0 || dot[1 + digits] != '.') { continue; }
        *layer = strtoul(dot + 1, NULL, 10);
        return dot + digits + 2;
    }
    return name;
}

/* Count a module of layer `layer` with `like`'s group, which it may be the first of. */
static void add_to_group(struct lorac_plan *p, const struct lorac_plan_group *like, size_t layer)
{
    struct lorac_plan_group *g = p->group;
    for (; g < p->group + p->n_groups; g++) {
        bool same_shape =
            g->OC == like->OC && g->C == like->C && g->R == like->R && g->full == like->full;
        bool same_alpha = !(g->alpha < like->alpha) && !(g->alpha > like->alpha);
        if (same_shape && same_alpha && strcmp(g->kind, like->kind) == 0) { break; }
    }
    if (g == p->group + p->n_groups) {
        p->n_groups++;
        *g = *like;
        g->first = layer;
        g->params = 0;
    }
    g->n++;
    g->last = layer;
    g->params += like->params;
}

static void group_full(struct lorac_plan *p, const struct lorac_full *f)
{
    const struct lorac_adapter *a = p->adapter;
    const struct lorac_module *module = &a->model->module[f->m];
    struct lorac_plan_group g = {.OC = f->vector ? f->n : module->OC,
                                 .C = f->vector ? 0 : module->C,
                                 .full = true,
                                 .params = f->n};
    size_t layer = 0;
    bool both = a->tie == LORAC_TIE_KEEP && f->m == a->model->embed;
    bool bias = f->vector && (lorac_module_is_linear(module) || f->first);
    const char *kind = kind_of(module->name, &layer);
    const char *more = bias ? ".bias" : "";
    g.in_layers = kind != module->name;
    (void)snprintf(g.kind, sizeof g.kind, "%.80s%s", kind, both ? ", lm_head" : more);
    add_to_group(p, &g, layer);
}

static enum lorac_status group_modules(struct lorac_plan *p, struct lorac_err *err)
{
    const struct lorac_adapter *a = p->adapter;
    p->group = lorac_mem_new(a->n + a->n_full, sizeof *p->group);
    if (!p->group) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a plan"); }
    double twice = a->scaling == LORAC_SCALE_RSLORA ? sqrt(2.0) : 2.0; // what twice the rank takes
    for (size_t i = 0; i < a->n; i++) {
        const struct lorac_site *l = &a->site[i];
        struct lorac_plan_group g = {.OC = l->OC, .C = l->C, .params = lorac_site_params(a, i)};
        if (lorac_adapter_has_rank(a)) {
            g.R = l->starts ? l->R / 2 : l->R;
            g.alpha = l->starts ? l->alpha / twice : l->alpha;
        }
        size_t layer = 0;
        const char *name = a->model->module[l->m].name;
        const char *kind = kind_of(name, &layer);
        g.in_layers = kind != name;
        (void)snprintf(g.kind, sizeof g.kind, "%s", kind);
        add_to_group(p, &g, layer);
    }
    for (size_t i = 0; i < a->n_full; i++) {
        group_full(p, &a->full[i]);
    }
    return LORAC_OK;
}

/* ---- rows ---- */

static enum lorac_status look_at_lengths(struct lorac_plan_data *d, struct lorac_err *err)
{
    size_t longest = lorac_dataset_counts(d->set)->longest;
    d->bar_width = (longest + LORAC_PLAN_BARS - 1) / LORAC_PLAN_BARS;
    d->n_bars = (longest + d->bar_width - 1) / d->bar_width;
    for (size_t i = 0; i < lorac_dataset_size(d->set); i++) {
        d->bar[(lorac_dataset_length(d->set, i) - 1) / d->bar_width]++;
    }
    return lorac_dataset_percentiles(d->percentile, lorac_plan_percentiles, LORAC_PLAN_PERCENTILES,
                                     d->set, err);
}

static enum lorac_status look_at_data(struct lorac_plan *p, struct lorac_err *err)
{
    const struct lorac_job *j = p->job;
    const struct lorac_dataset *const sets[] = {j->train.set, j->valid.set, j->test.set};
    static const char *const names[] = {"train", "valid", "test"};
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < 3 && !st; i++) {
        struct lorac_plan_data *d = &p->data[i];
        d->name = names[i];
        d->set = sets[i];
        if (!d->set) { continue; }
        st = look_at_lengths(d, err);
        if (!st && i > 0) { st = lorac_dataset_shared(&d->shared, j->train.set, d->set, err); }
    }
    return st;
}

/* ---- memory ---- */

/* Pages of a mapped file come into memory this many bytes at a time (Linux's fault_around_bytes).
 */
enum { FAULT_AROUND = 64 << 10 };

static enum lorac_status mark_rows(unsigned char *touched, const struct lorac_module *w,
                                   const struct lorac_dataset *set, struct lorac_err *err)
{
    size_t row = lorac_dtype_bytes(w->dtype, w->C);
    struct lorac_example e = {0};
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; set && i < lorac_dataset_size(set) && !st; i++) {
        st = lorac_dataset_example(&e, set, i, err);
        for (size_t k = 0; k < e.ids.n && !st; k++) {
            size_t at = (size_t)e.ids.at[k] * row;
            for (size_t c = at / FAULT_AROUND; c <= (at + row - 1) / FAULT_AROUND; c++) {
                touched[c] = 1;
            }
        }
    }
    lorac_example_free(&e);
    return st;
}

/* Bytes of the embedding that no row of the data reads: it is read whole where it is also the
 * output. */
static enum lorac_status untouched(size_t *out, const struct lorac_plan *p, struct lorac_err *err)
{
    const struct lorac_job *j = p->job;
    const struct lorac_module *w = &j->model->module[j->model->embed];
    size_t bytes = lorac_dtype_bytes(w->dtype, w->OC * w->C);
    size_t chunks = bytes / FAULT_AROUND + 1;
    *out = 0;
    bool whole = lorac_model_is_tied(j->model);
    if (whole || !lorac_dataset_is_cached(j->train.set)) { return LORAC_OK; }
    unsigned char *touched = lorac_mem_new(chunks, 1);
    if (!touched) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a plan"); }
    enum lorac_status st = mark_rows(touched, w, j->train.set, err);
    if (!st) { st = mark_rows(touched, w, j->valid.set, err); }
    for (size_t c = 0; c + 1 < chunks; c++) {
        if (!touched[c]) { *out += FAULT_AROUND; }
    }
    lorac_mem_free(touched);
    return st;
}

/* `sampled`: bytes that came into memory when the model was opened, from all over the file. */
static enum lorac_status weigh_weights(struct lorac_plan *p, size_t sampled, struct lorac_err *err)
{
    struct lorac_socket socket = lorac_adapter_socket(p->adapter);
    size_t frozen = lorac_frozen_layers(p->job->model, &socket);
    size_t bytes = lorac_checkpoint_bytes(p->job->model->files);
    size_t unread = 0;
    enum lorac_status st = untouched(&unread, p, err);
    double share = bytes ? (double)sampled / (double)bytes : 0.0; // mapped by the fingerprint
    share = share < 1.0 ? share : 1.0;
    bytes -= lorac_model_let_go(p->job->model, &socket);
    p->bytes[LORAC_PLAN_WEIGHTS] = bytes - (size_t)((1.0 - share) * (double)unread);
    p->bytes[LORAC_PLAN_PACKED] = lorac_model_copies(p->job->model, &socket, frozen, NULL);
    return st;
}

/* What the adapter takes as it is saved, when it is read again: with adapter.init: pissa and olora
 * that is more than trains. */
static size_t loaded_bytes(const struct lorac_adapter *a)
{
    size_t n = a->n_params;
    for (size_t i = 0; i < a->n; i++) {
        n += a->site[i].starts ? lorac_site_params(a, i) : 0; // twice the rank
    }
    return n * sizeof(float);
}

/* Parameters, gradients, moments; and what saving takes: the file is mapped and compared tensor by
 * tensor. */
static void weigh_adapter(struct lorac_plan *p)
{
    const struct lorac_adapter *a = p->adapter;
    size_t params = a->n_params * sizeof(float);
    size_t largest = 0;
    p->adapter_file_bytes = loaded_bytes(a);
    for (size_t i = 0; i < a->n; i++) {
        const struct lorac_site *l = &a->site[i];
        size_t n = l->R * (l->C > l->OC ? l->C : l->OC) * sizeof(float);
        largest = n > largest ? n : largest;
    }
    for (size_t i = 0; i < a->n_full; i++) {
        const struct lorac_full *f = &a->full[i];
        size_t n = f->n * sizeof(float);
        largest = n > largest ? n : largest;
        bool twice = a->tie == LORAC_TIE_KEEP && f->m == a->model->embed;
        p->adapter_file_bytes += twice ? n : 0; // under both of its names
    }
    p->bytes[LORAC_PLAN_ADAPTER] = lorac_adapter_floats(a) * sizeof(float);
    p->bytes[LORAC_PLAN_MOMENTS] = lorac_optim_blocks_of(p->job->recipe->optimizer.name) * params;
    p->bytes[LORAC_PLAN_SAVING] = p->adapter_file_bytes + 3 * largest;
}

/* output.merge: the adapter is loaded once more, and the new checkpoint is mapped and compared. */
static void weigh_merging(struct lorac_plan *p)
{
    const struct lorac_model *m = p->job->model;
    const struct lorac_stack stack = {.n = 1, .adapter = {p->adapter}, .factor = {1.0F}};
    if (!p->job->recipe->output.merge) { return; }
    p->bytes[LORAC_PLAN_MERGING] =
        loaded_bytes(p->adapter) + lorac_merge_bytes(m, &stack) + lorac_checkpoint_bytes(m->files);
}

/* The training pass with its batch, and what evaluates beside it. */
static enum lorac_status weigh_passes(struct lorac_plan *p, const struct lorac_trainer_options *o,
                                      struct lorac_err *err)
{
    const struct lorac_job *j = p->job;
    struct lorac_socket socket = lorac_adapter_socket(p->adapter);
    struct lorac_evaluator_options valid = o->valid;
    struct lorac_evaluation_size eval = {0};
    struct lorac_trainer_size size;
    size_t logits =
        lorac_pass_head_rows(j->model, p->max_rows) * j->model->config.Z * sizeof(float);
    enum lorac_status st = lorac_trainer_measure(&size, o, err);
    valid.socket = &socket;
    valid.kept_bytes = st ? 0 : size.kept.valid_room;
    if (!st && valid.set) { st = lorac_evaluator_measure(&eval, &valid, err); }
    if (st) { return st; }
    bool answers = j->recipe->eval.samples || (valid.metrics >> LORAC_METRIC_EXACT_MATCH & 1U);
    p->best = o->best;
    p->best_why = lorac_setup_best_why(j->recipe);
    p->recomputes = size.recomputes;
    p->frozen = size.kept;
    p->frozen.valid_bytes = eval.kept_bytes;
    p->bytes[LORAC_PLAN_FROZEN] = size.frozen + eval.kept_bytes;
    p->bytes[LORAC_PLAN_LOGITS] = logits;
    p->bytes[LORAC_PLAN_ACTIVATIONS] = size.batch + size.pass - logits;
    p->bytes[LORAC_PLAN_EVALUATION] = eval.bytes;
    p->bytes[LORAC_PLAN_SAMPLES] = answers ? eval.generator_bytes : 0;
    p->eval_rows = eval.rows;
    p->eval_scored = eval.scored;
    return LORAC_OK;
}

/* What `d` keeps of its rows, and of its table where that is its own. */
static size_t data_bytes(const struct lorac_data *d)
{
    return (d->table ? lorac_table_memory(d->table) : 0) +
           (d->set ? lorac_dataset_memory(d->set) : 0);
}

/* Before training, int8 is compared with float32, which reads all stored weights: they are what is
 * more then, where that takes more than the training. */
static enum lorac_status add_up(struct lorac_plan *p, struct lorac_err *err)
{
    size_t compared = 0;
    enum lorac_status st = lorac_approximation_weigh(&compared, p->job, err);
    if (compared) {
        compared += p->bytes[LORAC_PLAN_PROGRAM] + p->bytes[LORAC_PLAN_TABLES] +
                    p->bytes[LORAC_PLAN_ADAPTER];
    }
    for (size_t i = 0; i < LORAC_PLAN_N_PARTS; i++) {
        p->total += p->bytes[i];
    }
    p->bytes[LORAC_PLAN_WEIGHTS] += lorac_max(compared, p->total) - p->total;
    p->total = lorac_max(compared, p->total);
    return st;
}

/* ---- the length of the run ---- */

static enum lorac_status measure_training(struct lorac_plan *p, struct lorac_err *err)
{
    struct lorac_loader_options options = lorac_setup_loader(p->job);
    struct lorac_loader *loader = NULL;
    struct lorac_trainer_options o;
    struct lorac_length l = {0};
    enum lorac_status st = lorac_loader_open(&loader, p->job->train.set, &options, err);
    if (!st) { st = lorac_setup_trainer(&o, &l, p->job, p->adapter, loader, err); }
    if (!st) {
        p->steps = l.steps;
        p->steps_per_epoch = l.steps_per_epoch;
        p->eval_every = l.eval_every;
        p->evaluations = o.valid.set ? lorac_setup_evaluations(&l) : 0; // and at the end
        p->max_rows = lorac_loader_max_rows(loader);
        st = weigh_passes(p, &o, err);
    }
    lorac_loader_close(loader);
    return st;
}

void lorac_plan_notes(const struct lorac_plan *p, const struct lorac_run_watch *watch)
{
    struct lorac_length l = {p->steps, p->steps_per_epoch, p->eval_every, 0};
    lorac_recipe_notes(p->job, p->adapter, &l, watch);
    if (!lorac_job_spaces(p->job)) { return; }
    watch->note(watch->self,
                "words are read as behind a space, as they stand in a text; transformers reads "
                "them so with is_split_into_words where each has one in front");
}

/* Fewer steps teach a label's words, and little of what decides between them (first.h has the
 * numbers). */
enum { FEW_STEPS = 100 };

static void advise_count(struct lorac_buf *b, const char *key, size_t n)
{
    lorac_buf_printf(b, "%s%s: %zu", b->n ? ", " : "", key, n);
}

bool lorac_plan_few(struct lorac_buf *advice, const struct lorac_job *j, size_t steps)
{
    const struct lorac_recipe *r = j->recipe;
    const struct lorac_data_counts *c = lorac_dataset_counts(j->train.set);
    double n = (double)lorac_dataset_size(j->train.set);
    const struct lorac_first_size size = {
        .rows = lorac_dataset_size(j->train.set),
        .tokens = (double)c->tokens / n,
        .trained = (double)c->trained / n,
        .parameters = lorac_model_parameters(j->model),
    };
    struct lorac_first f = lorac_first_choose(&size);
    bool pairs = strcmp(r->optimizer.name, "adamw") == 0 && !r->adapter.train_also.all;
    if (steps >= FEW_STEPS || lorac_job_has_head(j)) { return false; } // that is of label texts
    if (f.steps <= steps) { return true; }
    if (r->train.accumulate > 1) { advise_count(advice, "train.accumulate", 1); }
    if (r->train.batch_size > (size_t)f.rows_a_step) {
        advise_count(advice, "train.batch_size", (size_t)f.rows_a_step);
    }
    if (r->train.batch_tokens > f.batch_tokens) {
        advise_count(advice, "train.batch_tokens", f.batch_tokens);
    }
    if (r->train.steps) { advise_count(advice, "train.steps", f.steps); }
    if (!r->train.steps && r->train.epochs < f.epochs) {
        advise_count(advice, "train.epochs", f.epochs);
    }
    if (pairs && advice->n && r->optimizer.lr * 2.0 < f.lr) {
        lorac_buf_str(advice, ", optimizer.lr: ");
        lorac_number_print(advice, f.lr);
    }
    return true;
}

/* ---- all of it ---- */

/* The job, and what this process took before and after its weights were mapped. */
static enum lorac_status open_job(struct lorac_plan *p, size_t *sampled,
                                  const struct lorac_recipe *r, struct lorac_shared *shared,
                                  struct lorac_err *err)
{
    size_t own = 0;
    size_t files = 0;
    size_t all_files = 0;
    enum lorac_status st =
        shared ? lorac_shared_job(&p->job, shared, r, err)
               : lorac_job_open(&p->job, r, LORAC_JOB_TRAIN | LORAC_JOB_NO_MODEL, err);
    if (st) { return st; }
    lorac_machine_resident(&own, &files);
    if (!shared) { st = lorac_job_open_model(p->job, err); }
    lorac_machine_resident(&own, &all_files);
    *sampled = all_files > files ? all_files - files : 0; // counts with the weights
    size_t tables = data_bytes(&p->job->train) + data_bytes(&p->job->valid);
    size_t resident = own + files;
    p->bytes[LORAC_PLAN_TABLES] = tables;
    p->bytes[LORAC_PLAN_PROGRAM] = resident > tables ? resident - tables : 0;
    p->bytes[LORAC_PLAN_PROGRAM] += p->job->dev.ops->library_bytes(&p->job->dev);
    p->available = lorac_machine_available();
    if (p->available) { p->available += own; } // what the plan itself holds the run will have
    if (!st && r->data.test.n) { st = lorac_job_open_test(p->job, err); }
    return st ? st : lorac_job_check_length(p->job, err);
}

/* A run that is there is nothing wrong with the plan, but the next run should not learn it at its
 * start. */
static enum lorac_status look_at_folder(struct lorac_plan *p, struct lorac_err *err)
{
    struct lorac_run_paths paths = {0};
    struct lorac_err why = {0};
    enum lorac_status st = lorac_run_paths(&paths, p->job->recipe->output.dir, err);
    if (!st && lorac_run_check_folder(&paths, LORAC_RUN_NEW, &why)) {
        (void)snprintf(p->folder, sizeof p->folder, "%s", why.text);
    }
    lorac_run_paths_free(&paths);
    return st;
}

enum lorac_status lorac_plan_make(struct lorac_plan **out, const struct lorac_recipe *r,
                                  struct lorac_shared *shared, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_plan *p = lorac_mem_new(1, sizeof *p);
    if (!p) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a plan"); }
    size_t sampled = 0;
    enum lorac_status st = open_job(p, &sampled, r, shared, err);
    if (!st) { st = lorac_job_adapter_outline(&p->adapter, p->job, err); }
    if (!st) { st = group_modules(p, err); }
    if (!st) { st = look_at_data(p, err); }
    if (!st && p->job->train.table) { st = lorac_labels_look(&p->labels, p->job, err); }
    if (!st) { st = measure_training(p, err); }
    if (!st) { st = look_at_folder(p, err); }
    if (!st) {
        weigh_adapter(p);
        weigh_merging(p);
        st = weigh_weights(p, sampled, err);
    }
    if (!st) { st = add_up(p, err); }
    if (st) {
        lorac_plan_free(p);
        p = NULL;
    }
    *out = p;
    return st;
}

void lorac_plan_free(struct lorac_plan *p)
{
    if (!p) { return; }
    lorac_adapter_free(p->adapter);
    lorac_label_look_free(p->labels);
    lorac_job_close(p->job);
    lorac_mem_free(p->group);
    lorac_mem_free(p);
}

/* ---- does it fit? ---- */

/* What makes a part smaller. */
static void advise(struct lorac_buf *b, const struct lorac_plan *p, enum lorac_plan_part part)
{
    const struct lorac_recipe *r = p->job->recipe;
    switch (part) {
    case LORAC_PLAN_ACTIVATIONS:
    case LORAC_PLAN_LOGITS:
        if (r->train.batch_size) {
            lorac_buf_printf(b, "train.batch_size below %zu", r->train.batch_size);
        } else {
            lorac_buf_printf(b, "train.batch_tokens below %zu", r->train.batch_tokens);
        }
        if (!p->recomputes) { lorac_buf_str(b, ", train.keep_activations: layers"); }
        lorac_buf_printf(b, ", model.max_length below %zu", r->model.max_length);
        return;
    case LORAC_PLAN_EVALUATION:
    case LORAC_PLAN_SAMPLES:
        lorac_buf_printf(b, "model.max_length below %zu%s", r->model.max_length,
                         p->job->K ? ", eval.metrics: [loss]" : "");
        return;
    case LORAC_PLAN_FROZEN:
        lorac_buf_str(b, "train.cache_frozen_prefix: off");
        return;
    case LORAC_PLAN_ADAPTER:
    case LORAC_PLAN_MOMENTS:
    case LORAC_PLAN_SAVING:
        if (p->adapter->n_full) { lorac_buf_str(b, "fewer modules in adapter.train_also"); }
        if (p->adapter->n) {
            lorac_buf_printf(b, "%sadapter.rank below %zu, fewer adapter.targets",
                             p->adapter->n_full ? ", " : "", r->adapter.rank);
        }
        return;
    case LORAC_PLAN_MERGING:
        lorac_buf_str(b, "output.merge: false, and lorac merge when the run has ended");
        return;
    case LORAC_PLAN_WEIGHTS:
        lorac_buf_str(b, "a smaller base, or one stored as bfloat16");
        return;
    case LORAC_PLAN_PACKED:
        lorac_buf_str(b, "model.compute: float32");
        return;
    case LORAC_PLAN_PROGRAM:
    case LORAC_PLAN_TABLES:
    case LORAC_PLAN_N_PARTS:
        lorac_buf_str(b, p->job->train.table ? "a smaller table" : "less text");
        return;
    }
}

enum lorac_status lorac_plan_fits(const struct lorac_plan *p, size_t available,
                                  struct lorac_err *err)
{
    enum { MIB = 20 };
    enum lorac_plan_part largest = 0;
    struct lorac_buf hint = {0};
    if (p->total <= available) { return LORAC_OK; }
    for (size_t i = 1; i < LORAC_PLAN_N_PARTS; i++) {
        if (p->bytes[i] > p->bytes[largest]) { largest = (enum lorac_plan_part)i; }
    }
    advise(&hint, p, largest);
    enum lorac_status st = lorac_fail(
        err, LORAC_EUSER,
        "the run needs about %zu MiB of memory and this machine has %zu MiB available; the largest "
        "part is '%s' with %zu MiB: try %s",
        p->total >> MIB, available >> MIB, part_names[largest], p->bytes[largest] >> MIB,
        hint.at ? hint.at : "a smaller one");
    lorac_buf_free(&hint);
    return st;
}
