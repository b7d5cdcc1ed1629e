/*
 * text.c - lorac_bench prompt and decode: tokens a second of a prompt in one pass, and of one token
 * after another, against the products and the memory that they cannot do without.
 */
#include "tools/bench/products.h"

#include <stdio.h>
#include <string.h>

struct text {
    struct folder folder;
    struct machine machine;
    struct ceilings ceilings;
    const char *compute;
    struct lorac_model *model;
    struct lorac_cache *cache;
    struct lorac_pass *pass;
    struct lorac_batch *prompt, *next;
    struct counter counter;
    float *logits;
    size_t tokens, after, rounds, peak; // tokens of a round; of the cache before them
    int threads;
    bool decode;
    size_t weight_bytes; // read once for each token that is decoded
    struct series speed, share;
};

/* ---- one round ---- */

static enum lorac_status run_prompt(struct text *x, struct lorac_err *err)
{
    enum lorac_status st = lorac_pass_forward(x->pass, x->prompt, x->cache, err);
    if (!st) { lorac_pass_logits(x->pass, x->prompt, x->logits); }
    return st;
}

static int32_t likeliest(const float *logits, size_t V)
{
    size_t best = 0;
    for (size_t i = 1; i < V; i++) {
        if (logits[i] > logits[best]) { best = i; }
    }
    return (int32_t)best;
}

/* `tokens` more, each behind all before it. */
static enum lorac_status run_decode(struct text *x, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < x->tokens && !st; i++) {
        int32_t id = likeliest(x->logits, x->model->config.V);
        lorac_batch_clear(x->next);
        (void)lorac_batch_add_cached(x->next, &id, 1, -1, 0, x->after + i, true);
        lorac_batch_want_logits(x->next, 0);
        st = lorac_pass_forward(x->pass, x->next, x->cache, err);
        if (!st) { lorac_pass_logits(x->pass, x->next, x->logits); }
    }
    return st;
}

/* ---- what it needs ---- */

static enum lorac_status fill_prompt(struct text *x, size_t n, struct lorac_err *err)
{
    struct lorac_batch *ids = NULL;
    enum lorac_status st = batch_made_up(&ids, n, n, 0, x->model->config.V, err);
    if (!st) { st = lorac_batch_new(&x->prompt, n, 1, 1, err); }
    if (!st) {
        (void)lorac_batch_add_cached(x->prompt, ids->ids, n, -1, 0, 0, true);
        lorac_batch_want_logits(x->prompt, n - 1);
    }
    lorac_batch_free(ids);
    return st;
}

static enum lorac_status open_text(struct text *x, struct lorac_device *dev,
                                   const struct lorac_socket *socket, struct lorac_err *err)
{
    size_t prompt = x->decode ? x->after : x->tokens;
    size_t rows = prompt + (x->decode ? x->tokens : 0);
    struct lorac_pass_options o = {
        .max_rows = prompt, .max_positions = rows, .keep = LORAC_KEEP_NOTHING};
    enum lorac_status st = LORAC_OK;
    if (!x->model) { st = model_open(&x->model, dev, x->folder.dir, x->compute, err); }
    if (!st) { st = lorac_pass_new(&x->pass, x->model, socket, &o, err); }
    if (!st) { st = lorac_cache_new(&x->cache, x->model, rows, err); }
    if (!st) { st = fill_prompt(x, prompt, err); }
    if (!st) { st = lorac_batch_new(&x->next, 1, 1, 1, err); }
    x->logits = st ? NULL : lorac_mem_new(x->model->config.V, sizeof *x->logits);
    if (!st && !x->logits) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    return st;
}

static enum lorac_status once(void *self, struct lorac_err *err)
{
    struct text *x = self;
    struct lorac_device dev;
    enum lorac_status st = lorac_device_open(&dev, "cpu", x->threads, err);
    if (!st) { st = open_text(x, &dev, NULL, err); }
    if (!st) { st = run_prompt(x, err); }
    if (!st && x->decode) { st = run_decode(x, err); }
    return st;
}

/* Products of one pass over the prompt, through a socket that counts. */
static enum lorac_status count_products(struct text *x, struct lorac_err *err)
{
    enum lorac_status st = model_open(&x->model, &x->machine.dev, x->folder.dir, x->compute, err);
    if (!st) { x->compute = lorac_compute_name(x->model->compute); } // of auto
    if (!st) { st = counter_open(&x->counter, x->model, NULL, err); }
    if (st || x->decode) { return st; }
    struct lorac_socket socket = counter_socket(&x->counter);
    struct text counted = {.model = x->model, .tokens = x->tokens};
    st = open_text(&counted, &x->machine.dev, &socket, err);
    if (!st) { st = run_prompt(&counted, err); }
    if (!st) { st = ideal_prepare(&x->counter, x->tokens, &x->ceilings, err); }
    lorac_pass_free(counted.pass);
    lorac_cache_free(counted.cache);
    lorac_batch_free(counted.prompt);
    lorac_batch_free(counted.next);
    lorac_mem_free(counted.logits);
    return st;
}

static size_t bytes_of_weights(const struct lorac_model *m)
{
    size_t bytes = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        const struct lorac_module *w = &m->module[i];
        if (lorac_module_is_linear(w)) { bytes += lorac_dtype_bytes(w->dtype, w->OC * w->C); }
    }
    return bytes;
}

static enum lorac_status round_of(struct text *x, struct lorac_err *err)
{
    struct ideal ideal = {0};
    machine_round(&x->machine);
    enum lorac_status st = x->decode ? run_prompt(x, err) : ceilings_round(&x->ceilings, err);
    if (!st && !x->decode) { st = ideal_of(&ideal, &x->counter, x->tokens, &x->ceilings, err); }
    if (st) { return st; }
    double begin = lorac_clock();
    st = x->decode ? run_decode(x, err) : run_prompt(x, err);
    double took = lorac_clock() - begin;
    double reading = (double)x->weight_bytes * (double)x->tokens / series_last(&x->machine.read);
    series_add(&x->speed, (double)x->tokens / took);
    series_add(&x->share, (x->decode ? reading : ideal.least_seconds) / took);
    return st;
}

static enum lorac_status measure(struct text *x, struct lorac_err *err)
{
    enum lorac_status st = peak_of(&x->peak, once, x, err);
    if (!st) { st = machine_open(&x->machine, x->threads, err); }
    x->ceilings.m = &x->machine;
    if (!st) { st = count_products(x, err); }
    if (!st) { st = open_text(x, &x->machine.dev, NULL, err); }
    if (!st) { st = run_prompt(x, err); }
    if (!st && x->decode) { st = run_decode(x, err); }
    if (!st) { x->weight_bytes = bytes_of_weights(x->model); }
    for (size_t i = 0; i < x->rounds && !st; i++) {
        st = round_of(x, err);
    }
    return st;
}

/* ---- how it is told ---- */

static void tell_json(const struct text *x)
{
    struct out j = {0};
    machine_json(&j, &x->machine);
    out_str(&j, "model", x->folder.dir);
    out_str(&j, "compute", x->compute);
    out_count(&j, "tokens", x->tokens);
    if (x->decode) { out_count(&j, "after", x->after); }
    out_count(&j, "rounds", x->rounds);
    out_series(&j, "tokens_per_second", &x->speed);
    out_series(&j, x->decode ? "share_of_bandwidth" : "ideal_over_measured", &x->share);
    out_count(&j, "weight_bytes", x->weight_bytes);
    out_count(&j, "peak_bytes", x->peak);
    if (!x->decode) { ceilings_json(&j, &x->ceilings); }
    (void)out_print(&j);
}

static void tell(const struct text *x)
{
    char bytes[32];
    machine_show(&x->machine);
    printf("%s of %zu tokens, %s, medians of %zu rounds (least - most)\n",
           x->decode ? "decoding" : "a prompt", x->tokens, x->compute, x->rounds);
    printf("%.1f tokens/s (%.1f - %.1f)\n", series_median(&x->speed), series_least(&x->speed),
           series_most(&x->speed));
    printf("%.2f (%.2f - %.2f) of ", series_median(&x->share), series_least(&x->share),
           series_most(&x->share));
    if (x->decode) {
        printf("reading %s of weights for each token\n", show_bytes(bytes, x->weight_bytes));
    } else {
        printf("its products alone\n");
    }
    printf("peak memory %s\n", show_bytes(bytes, x->peak));
}

static int run_text(const struct args *a, bool decode)
{
    static struct text x;
    struct lorac_err err = {0};
    x = (struct text){.tokens = decode ? 64 : 512,
                      .after = 64,
                      .decode = decode,
                      .compute = compute_each(a, NULL, 0)};
    enum lorac_status st = rounds_of(&x.rounds, &x.threads, a, &err);
    if (!st) { st = args_count(&x.tokens, a, "--tokens", &err); }
    if (!st && decode) { st = args_count(&x.after, a, "--after", &err); }
    if (!st && (!x.tokens || !x.after)) {
        st = lorac_fail(&err, LORAC_EUSER, "--tokens and --after must be at least 1");
    }
    if (!st) { st = folder_open(&x.folder, a, &err); }
    if (!st) { st = measure(&x, &err); }
    if (!st) { (args_has(a, "--json") ? tell_json : tell)(&x); }
    lorac_pass_free(x.pass);
    lorac_cache_free(x.cache);
    lorac_batch_free(x.prompt);
    lorac_batch_free(x.next);
    lorac_mem_free(x.logits);
    counter_close(&x.counter);
    lorac_model_close(x.model);
    ceilings_free(&x.ceilings);
    machine_close(&x.machine);
    folder_close(&x.folder);
    return bench_end(st, &err);
}

static int run_prompt_verb(const struct args *a)
{
    return run_text(a, false);
}

static int run_decode_verb(const struct args *a)
{
    return run_text(a, true);
}

static const struct option prompt_options[] = {
    FOLDER_OPTIONS,
    {"--compute", "NAME", "float32 (default), bfloat16, int8, auto", false, false},
    {"--tokens", "N", "of the prompt (default: 512)", false, false},
    BENCH_OPTIONS,
    {0},
};
const struct verb verb_bench_prompt = {
    .program = "lorac_bench",
    .name = "prompt",
    .usage = "[options]",
    .summary = "tokens a second of a prompt",
    .about = "One pass over the prompt into the key/value cache, and the logits behind it, against "
             "its products at the better of OpenBLAS and oneDNN.\n\n"
             "  lorac_bench prompt --model DIR --tokens 512",
    .options = prompt_options,
    .run = run_prompt_verb,
};
static const struct option decode_options[] = {
    FOLDER_OPTIONS,
    {"--compute", "NAME", "float32 (default), bfloat16, int8, auto", false, false},
    {"--tokens", "N", "that are decoded in a round (default: 64)", false, false},
    {"--after", "N", "tokens of the prompt before them (default: 64)", false, false},
    BENCH_OPTIONS,
    {0},
};
const struct verb verb_bench_decode = {
    .program = "lorac_bench",
    .name = "decode",
    .usage = "[options]",
    .summary = "tokens a second of decoding, one after another",
    .about = "The likeliest token, again and again, against the time that memory takes to give the "
             "weights once for each, as the file stores them.\n\n"
             "  lorac_bench decode --model DIR --tokens 64",
    .options = decode_options,
    .run = run_decode_verb,
};
