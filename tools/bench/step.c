/*
 * step.c - lorac_bench step: whole training steps against the products that they cannot do without.
 *
 * Each round takes one batch, runs the step on it in every compute, runs the bare base on it, and
 * measures every product of the step alone, at the better of the libraries that there are.
 */
#include "tools/bench/products.h"

#include "tools/cmd_recipes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Where the batches come from: the rows of a recipe's table, or one that is made up. */
struct source {
    struct lorac_job *job;
    struct lorac_loader *loader;
    struct lorac_batch *batch;
    size_t tokens, segments, positions; // at most in a batch; in a row
    size_t real;                        // tokens of the batch's rows, each counted on its own
};

/* The model in one compute, with its adapter and without. */
struct side {
    const char *compute;
    struct lorac_model *m;
    struct lorac_adapter *a;
    struct lorac_socket socket, bare_socket;
    struct lorac_pass *pass, *bare;
    struct lorac_optim *optim;
    struct counter counter;
    float *nll;
    size_t *layers;
    size_t peak, activations;
    struct series seconds, bare_seconds, speed, rate; // of tokens; of the ideal's products
    struct series ideal, least;                       // their time over the step's
    struct series adapters;                           // what the step takes more than the bare one
    struct series gain;                               // the first side's time over this one's
};

enum { MOST_SIDES = 3 };
struct step {
    struct folder folder;
    struct source source;
    struct side side[MOST_SIDES];
    size_t n_sides, rounds, tokens, length, scored, rank;
    int threads;
    struct machine machine;
    struct ceilings ceilings;
    enum lorac_keep keep; // train.keep_activations; auto: all
    const char *only;     // the compute of a process that measures memory
};

/* ---- batches ---- */

static enum lorac_status open_recipe_rows(struct step *s, struct lorac_err *err)
{
    struct source *from = &s->source;
    const struct lorac_recipe *r = s->folder.recipe;
    struct lorac_loader_options o = lorac_loader_options_default();
    o.batch_tokens = s->tokens;
    o.shuffle = r->train.shuffle;
    o.seed = r->seed;
    o.objective = &lorac_objectives[r->objective.kind];
    o.share_prefix = r->adapter.dropout > 0.0 ? LORAC_SHARE_OFF : r->train.share_prefix;
    enum lorac_status st = lorac_job_open(&from->job, r, LORAC_JOB_TRAIN | LORAC_JOB_NO_MODEL, err);
    if (!st) { st = lorac_loader_open(&from->loader, from->job->train.set, &o, err); }
    if (st) { return st; }
    from->tokens = lorac_loader_max_rows(from->loader);
    from->segments = lorac_loader_max_segments(from->loader);
    from->positions = r->model.max_length;
    return lorac_batch_new(&from->batch, from->tokens, from->segments, from->tokens, err);
}

static enum lorac_status open_source(struct step *s, size_t V, struct lorac_err *err)
{
    struct source *from = &s->source;
    if (s->folder.recipe) { return open_recipe_rows(s, err); }
    from->tokens = s->tokens;
    from->positions = s->length;
    from->real = s->tokens;
    return batch_made_up(&from->batch, s->tokens, s->length, s->scored, V, err);
}

static enum lorac_status next_batch(struct source *from, struct lorac_err *err)
{
    const uint32_t *examples = NULL;
    size_t n = 0;
    if (!from->loader) { return LORAC_OK; }
    enum lorac_status st = lorac_loader_next(from->loader, from->batch, &examples, &n, err);
    from->real = lorac_loader_rows(from->loader) + n; // a row's last token is a target alone
    return st;
}

static void close_source(struct source *from)
{
    lorac_loader_close(from->loader);
    lorac_batch_free(from->batch);
    lorac_job_close(from->job);
}

/* ---- a side ---- */

static enum lorac_status open_adapter(struct side *x, const struct step *s, struct lorac_err *err)
{
    struct lorac_adapter_options o = lorac_adapter_options_default();
    o.rank = s->rank;
    if (s->folder.recipe) {
        x->layers = lorac_mem_new(x->m->config.L, sizeof *x->layers);
        if (!x->layers) { return lorac_fail(err, LORAC_ENOMEM, "no memory"); }
        o = lorac_job_adapter_options(s->folder.recipe, x->m->config.L, x->layers);
    }
    enum lorac_status st = lorac_adapter_new(&x->a, x->m, &o, err);
    if (!st) { st = lorac_adapter_reserve(x->a, err); }
    if (!st) { x->socket = lorac_adapter_socket(x->a); }
    return st;
}

static struct lorac_pass_options pass_options(const struct step *s)
{
    return (struct lorac_pass_options){
        .max_rows = s->source.tokens, .max_positions = s->source.positions, .keep = s->keep};
}

static enum lorac_status open_side(struct side *x, const struct step *s, struct lorac_device *dev,
                                   struct lorac_err *err)
{
    struct lorac_optim_options optim = lorac_optim_options_default();
    optim.schedule = "constant";
    optim.lr = 1e-5;
    optim.steps = 1000;
    struct lorac_pass_options o = pass_options(s);
    enum lorac_status st = model_open(&x->m, dev, s->folder.dir, x->compute, err);
    if (!st) { x->compute = lorac_compute_name(x->m->compute); } // of auto
    if (!st) { st = open_adapter(x, s, err); }
    if (!st) { st = lorac_pass_new(&x->pass, x->m, &x->socket, &o, err); }
    if (!st) { st = lorac_optim_new(&x->optim, x->a, &optim, err); }
    x->nll = lorac_mem_new(s->source.tokens, sizeof *x->nll);
    if (!st && !x->nll) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    if (!st) { x->activations = lorac_pass_bytes(x->pass); }
    return st;
}

static enum lorac_status open_bare(struct side *x, const struct step *s, struct lorac_err *err)
{
    struct lorac_pass_options o = pass_options(s);
    enum lorac_status st = counter_open(&x->counter, x->m, &x->socket, err);
    if (st) { return st; }
    x->bare_socket = counter_socket(&x->counter);
    return lorac_pass_new(&x->bare, x->m, &x->bare_socket, &o, err);
}

static void close_side(struct side *x)
{
    lorac_optim_free(x->optim);
    lorac_pass_free(x->pass);
    lorac_pass_free(x->bare);
    lorac_adapter_free(x->a);
    lorac_model_close(x->m);
    counter_close(&x->counter);
    lorac_mem_free(x->nll);
    lorac_mem_free(x->layers);
}

static enum lorac_status run_step(struct side *x, const struct lorac_batch *b,
                                  struct lorac_err *err)
{
    double norm = 0.0;
    enum lorac_status st = lorac_pass_forward(x->pass, b, NULL, err);
    if (st) { return st; }
    lorac_pass_loss(x->pass, b, x->nll, true);
    lorac_pass_backward(x->pass, b);
    x->a->step++;
    return lorac_optim_step(x->optim, (double)b->T, &norm, err);
}

static enum lorac_status run_bare(struct side *x, const struct lorac_batch *b,
                                  struct lorac_err *err)
{
    counter_clear(&x->counter);
    enum lorac_status st = lorac_pass_forward(x->bare, b, NULL, err);
    if (st) { return st; }
    lorac_pass_loss(x->bare, b, x->nll, true);
    lorac_pass_backward(x->bare, b);
    return LORAC_OK;
}

/* ---- memory: one compute in a process of its own ---- */

static enum lorac_status few_steps(void *self, struct lorac_err *err)
{
    struct step *s = self;
    struct lorac_device dev;
    struct side *x = &s->side[0];
    x->compute = s->only;
    enum lorac_status st = lorac_device_open(&dev, "cpu", s->threads, err);
    if (!st) { st = open_source(s, 256, err); } // ids that every vocabulary has
    if (!st) { st = open_side(x, s, &dev, err); }
    for (int i = 0; i < 2 && !st; i++) {
        st = next_batch(&s->source, err);
        if (!st) { st = run_step(x, s->source.batch, err); }
    }
    return st;
}

static enum lorac_status measure_peaks(struct step *s, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < s->n_sides && !st; i++) {
        s->only = s->side[i].compute;
        st = peak_of(&s->side[i].peak, few_steps, s, err);
    }
    return st;
}

/* ---- rounds ---- */

static enum lorac_status timed(double *seconds, struct side *x, const struct lorac_batch *b,
                               enum lorac_status (*run)(struct side *, const struct lorac_batch *,
                                                        struct lorac_err *),
                               struct lorac_err *err)
{
    double begin = lorac_clock();
    enum lorac_status st = run(x, b, err);
    *seconds = lorac_clock() - begin;
    return st;
}

static enum lorac_status round_of(struct step *s, struct lorac_err *err)
{
    enum lorac_status st = next_batch(&s->source, err);
    const struct lorac_batch *b = s->source.batch;
    double with[MOST_SIDES];
    double without[MOST_SIDES];
    for (size_t i = 0; i < s->n_sides && !st; i++) {
        st = timed(&with[i], &s->side[i], b, run_step, err);
        if (!st) { st = timed(&without[i], &s->side[i], b, run_bare, err); }
    }
    if (!st) { st = ceilings_round(&s->ceilings, err); }
    for (size_t i = 0; i < s->n_sides && !st; i++) {
        struct side *x = &s->side[i];
        struct ideal ideal;
        st = ideal_of(&ideal, &x->counter, b->N, &s->ceilings, err);
        series_add(&x->seconds, with[i]);
        series_add(&x->bare_seconds, without[i]);
        series_add(&x->speed, (double)s->source.real / with[i]);
        series_add(&x->rate, ideal.flops / with[i]);
        series_add(&x->ideal, ideal.seconds / with[i]);
        series_add(&x->least, ideal.least_seconds / with[i]);
        series_add(&x->adapters, (with[i] - without[i]) / with[i]);
        series_add(&x->gain, with[0] / with[i]);
    }
    return st;
}

/* Both passes of each side once, so that buffers are there and products are counted. */
static enum lorac_status warm_up(struct step *s, struct lorac_err *err)
{
    enum lorac_status st = next_batch(&s->source, err);
    for (size_t i = 0; i < s->n_sides && !st; i++) {
        struct side *x = &s->side[i];
        st = run_step(x, s->source.batch, err);
        if (!st) { st = run_bare(x, s->source.batch, err); }
        if (!st) { st = ideal_prepare(&x->counter, s->source.tokens, &s->ceilings, err); }
    }
    return st;
}

static enum lorac_status measure(struct step *s, struct lorac_err *err)
{
    enum lorac_status st = measure_peaks(s, err);
    if (!st) { st = machine_open(&s->machine, s->threads, err); }
    s->ceilings.m = &s->machine;
    if (!st) { st = open_source(s, 256, err); }
    for (size_t i = 0; i < s->n_sides && !st; i++) {
        st = open_side(&s->side[i], s, &s->machine.dev, err);
        if (!st) { st = open_bare(&s->side[i], s, err); }
    }
    if (!st) { st = warm_up(s, err); }
    for (size_t i = 0; i < s->rounds && !st; i++) {
        st = round_of(s, err);
    }
    return st;
}

/* ---- how it is told ---- */

/* They run in every step here, and in training once a row where it keeps what leaves them. */
static size_t frozen_layers(const struct step *s)
{
    return lorac_frozen_layers(s->side[0].m, &s->side[0].socket);
}

static void tell_json(const struct step *s)
{
    struct out j = {0};
    machine_json(&j, &s->machine);
    out_str(&j, "model", s->folder.dir);
    out_count(&j, "parameters", lorac_model_parameters(s->side[0].m));
    out_count(&j, "batch_tokens", s->tokens);
    out_count(&j, "rounds", s->rounds);
    out_str(&j, "keep_activations", s->keep == LORAC_KEEP_LAYERS ? "layers" : "all");
    out_count(&j, "frozen_layers", frozen_layers(s));
    out_begin(&j, "steps", "[]");
    for (size_t i = 0; i < s->n_sides; i++) {
        const struct side *x = &s->side[i];
        out_begin(&j, NULL, "{}");
        out_str(&j, "compute", x->compute);
        out_count(&j, "adapter_parameters", x->a->n_params);
        out_series(&j, "seconds", &x->seconds);
        out_series(&j, "tokens_per_second", &x->speed);
        out_series(&j, "flops_per_second", &x->rate);
        out_series(&j, "ideal_over_measured", &x->ideal);
        out_series(&j, "least_over_measured", &x->least);
        out_series(&j, "adapters_share", &x->adapters);
        out_series(&j, "gain_over_first", &x->gain);
        out_count(&j, "activation_bytes", x->activations);
        out_count(&j, "peak_bytes", x->peak);
        out_end(&j);
    }
    out_end(&j);
    ceilings_json(&j, &s->ceilings);
    (void)out_print(&j);
}

static void tell(const struct step *s)
{
    char count[32];
    char bytes[32];
    machine_show(&s->machine);
    printf("steps of %s tokens, medians of %zu rounds (least - most)\n",
           show_count(count, s->tokens), s->rounds);
    printf("%-9s %20s %8s %18s %6s %8s\n", "compute", "tokens/s", "GFLOP/s", "ideal/measured",
           "least", "adapters");
    for (size_t i = 0; i < s->n_sides; i++) {
        const struct side *x = &s->side[i];
        printf("%-9s %6.0f (%5.0f -%5.0f) %8.0f %6.2f (%.2f-%.2f) %6.2f %6.1f %%\n", x->compute,
               series_median(&x->speed), series_least(&x->speed), series_most(&x->speed),
               1e-9 * series_median(&x->rate), series_median(&x->ideal), series_least(&x->ideal),
               series_most(&x->ideal), series_median(&x->least),
               100.0 * series_median(&x->adapters));
    }
    printf("\n");
    for (size_t i = 1; i < s->n_sides; i++) {
        const struct side *x = &s->side[i];
        printf("%s over %s: %.2f (%.2f - %.2f)\n", x->compute, s->side[0].compute,
               series_median(&x->gain), series_least(&x->gain), series_most(&x->gain));
    }
    for (size_t i = 0; i < s->n_sides; i++) {
        const struct side *x = &s->side[i];
        printf("%s: peak memory %s", x->compute, show_bytes(bytes, x->peak));
        printf(", %s of it activations%s\n", show_bytes(bytes, x->activations),
               s->keep == LORAC_KEEP_LAYERS ? " (layers)" : "");
    }
    if (frozen_layers(s)) {
        printf("%zu frozen layers run in every step here, as with cache_frozen_prefix: off\n",
               frozen_layers(s));
    }
    printf("\n");
    ceilings_show(&s->ceilings);
}

/* What of a recipe's training no step here does. */
static enum lorac_status check_recipe(const struct lorac_recipe *r, struct lorac_err *err)
{
    if (r->train.accumulate > 1) {
        return lorac_fail(err, LORAC_EUSER,
                          "train.accumulate: found %zu, but a step here is one micro-batch; "
                          "expected 1 (--set train.accumulate=1)",
                          r->train.accumulate);
    }
    if (r->train.cache_frozen_prefix == LORAC_RECIPE_CACHE_ON) {
        return lorac_fail(err, LORAC_EUSER,
                          "train.cache_frozen_prefix: found on, but a step here runs all layers; "
                          "expected off or auto (--set train.cache_frozen_prefix=off)");
    }
    return LORAC_OK;
}

static enum lorac_status read_options(struct step *s, const struct args *a, struct lorac_err *err)
{
    s->tokens = 256;
    s->rank = 8;
    s->scored = SIZE_MAX / 2;
    enum lorac_status st = rounds_of(&s->rounds, &s->threads, a, err);
    if (!st) { st = args_count(&s->tokens, a, "--tokens", err); }
    s->length = s->tokens;
    if (!st) { st = args_count(&s->length, a, "--length", err); }
    if (!st) { st = args_count(&s->scored, a, "--scored", err); }
    if (!st) { st = args_count(&s->rank, a, "--rank", err); }
    if (!st) { st = folder_open(&s->folder, a, err); }
    const struct lorac_recipe *r = s->folder.recipe;
    if (!st && r) { st = check_recipe(r, err); }
    if (st) { return st; }
    bool layers = r && r->train.keep_activations == LORAC_RECIPE_ACTIVATIONS_LAYERS;
    s->keep = layers ? LORAC_KEEP_LAYERS : LORAC_KEEP_ALL;
    for (const char *c = NULL; (c = compute_each(a, r, s->n_sides)) != NULL;) {
        if (s->n_sides == MOST_SIDES) {
            return lorac_fail(err, LORAC_EUSER, "--compute is given more than %d times",
                              MOST_SIDES);
        }
        s->side[s->n_sides++].compute = c;
    }
    if (r && !args_has(a, "--tokens") && r->train.batch_tokens) {
        s->tokens = r->train.batch_tokens;
    }
    return LORAC_OK;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    static struct step s;
    enum lorac_status st = read_options(&s, a, &err);
    if (!st) { st = measure(&s, &err); }
    if (!st) { (args_has(a, "--json") ? tell_json : tell)(&s); }
    for (size_t i = 0; i < s.n_sides; i++) {
        close_side(&s.side[i]);
    }
    close_source(&s.source);
    ceilings_free(&s.ceilings);
    machine_close(&s.machine);
    folder_close(&s.folder);
    return bench_end(st, &err);
}

static const struct option options[] = {
    FOLDER_OPTIONS,
    {"--compute", "NAME", "float32, bfloat16, int8, auto (default: the recipe's, or float32)",
     false, true},
    {"--recipe", "FILE", "rows of its training table, its adapter and its model", false, false},
    RECIPE_OPTIONS,
    {"--tokens", "N", "tokens of a step (default: the recipe's batch_tokens, or 256)", false,
     false},
    {"--length", "N", "without a recipe: tokens of a row (default: one row is a step)", false,
     false},
    {"--scored", "N", "without a recipe: how many of a row's last are trained (all)", false, false},
    {"--rank", "N", "without a recipe: of the adapters, on all linear layers (8)", false, false},
    BENCH_OPTIONS,
    {0},
};
const struct verb verb_bench_step = {
    .program = "lorac_bench",
    .name = "step",
    .usage = "[options]",
    .summary = "whole training steps against the products that they cannot do without",
    .about =
        "Every round runs one step on the same batch in each --compute, the bare base on it, and "
        "each of the step's products alone, at the better of OpenBLAS and oneDNN.\n\n"
        "  ideal/measured  the time that the step's products take at that best, over\n"
        "                  the step's: forward every row through every layer, backward\n"
        "                  through activations as far as an adapter needs it, the head\n"
        "                  for rows that are scored\n"
        "  least           the same, counting only the rows that a product must have:\n"
        "                  in the last layer those that are scored\n"
        "  adapters        what the step takes more than forward and backward of the\n"
        "                  bare base, which goes as far back as with them: their\n"
        "                  products and AdamW\n\n"
        "Peak memory is that of a process of its own that runs two steps. A step is one "
        "micro-batch of AdamW through all layers, whatever recipe it is of.\n\n"
        "  lorac_bench step --tokens 2048 --length 256\n"
        "  lorac_bench step --recipe recipes/smollm2_sst2.yaml --tokens 2048",
    .options = options,
    .run = run,
};
