/* cmd_merge.c - `lorac merge`: adapters into a checkpoint of its own, verified by its logits. */
#include "tools/cmd_recipes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    BATCH = 256,   // tokens that both models read at once
    PIECE = 64,    // tokens of a piece of --text
    TOKENS = 2048, // compared at the most
    EXAMPLES = 64, // rows of --rows at the most, spread over the table
};

/* What the merged model's logits differ by. */
struct difference {
    size_t rows, agree;          // rows of logits, those whose likeliest token or label is the same
    double largest, mean, scale; // scale: largest |logit|
};

/* What both models read: pieces of text, each from its own beginning. */
struct sample {
    struct lorac_ids ids;
    size_t length[TOKENS]; // of piece i, at most BATCH and what the model reads
    size_t n;
};

/* Cut `n` more ids into pieces. */
static enum lorac_status add_pieces(struct sample *s, const int32_t *ids, size_t n, size_t limit,
                                    struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    if (n > TOKENS - s->ids.n) { n = TOKENS - s->ids.n; }
    for (size_t at = 0; at < n && !st; at++) {
        if (at % limit == 0) { s->length[s->n++] = n - at < limit ? n - at : limit; }
        st = lorac_ids_add(&s->ids, ids[at], err);
    }
    return st;
}

/* --text: the beginning of a file. */
static enum lorac_status sample_text(struct sample *s, const struct bench *b, const char *path,
                                     size_t limit, struct lorac_err *err)
{
    struct lorac_ids ids = {0};
    struct lorac_buf buf = {0};
    enum lorac_status st = read_text(&buf, path, err);
    struct lorac_text text = {buf.at ? buf.at : "", buf.n, false};
    if (!st) { st = lorac_encode(&ids, b->tokenizer, &text, 1, LORAC_ENCODE_BEGINS, err); }
    if (!st) { st = add_pieces(s, ids.at, ids.n, limit, err); }
    lorac_ids_free(&ids);
    lorac_buf_free(&buf);
    return st;
}

/* --rows: examples of a recipe's test rows, where it has none of its validation, else training
 * rows, as its template makes them. */
static enum lorac_status sample_rows(struct sample *s, const struct bench *b, const struct args *a,
                                     size_t limit, struct lorac_err *err)
{
    struct lorac_recipe *r = NULL;
    struct lorac_job *j = NULL;
    struct lorac_example e = {0};
    const struct lorac_dataset *set = NULL;
    char *adapter = NULL;
    enum lorac_status st = recipe_or_run(&r, &adapter, args_text(a, "--rows", ""), a, err);
    if (st) { return st; }
    unsigned part = r->data.test.n                                  ? LORAC_JOB_TEST
                    : r->data.valid.kind != LORAC_RECIPE_SPLIT_NONE ? LORAC_JOB_VALID
                                                                    : LORAC_JOB_TRAIN;
    st = lorac_job_open(&j, r, part | LORAC_JOB_NO_MODEL, err);
    if (!st) {
        set = part == LORAC_JOB_TEST    ? j->test.set
              : part == LORAC_JOB_VALID ? j->valid.set
                                        : j->train.set;
    }
    size_t size = set ? lorac_dataset_size(set) : 0;
    size_t n = size < EXAMPLES ? size : EXAMPLES;
    for (size_t i = 0; i < n && !st; i++) {
        st = lorac_dataset_example(&e, set, i * size / n, err);
        if (!st) { st = add_pieces(s, e.ids.at, e.ids.n, limit, err); }
    }
    for (size_t i = 0; i < s->ids.n && !st; i++) {
        if ((size_t)s->ids.at[i] < b->model->config.V) { continue; }
        st = lorac_fail(err, LORAC_EUSER,
                        "--rows: %s makes token %d of its rows, but %s knows %zu; give a recipe "
                        "of this model",
                        r->model.path, (int)s->ids.at[i], b->model->dir, b->model->config.V);
    }
    lorac_example_free(&e);
    lorac_job_close(j);
    lorac_recipe_free(r);
    lorac_mem_free(adapter);
    return st;
}

/* What to compare on: --text, --rows, or a walk through the vocabulary. */
static enum lorac_status make_sample(struct sample *s, const struct bench *b, const struct args *a,
                                     struct lorac_err *err)
{
    size_t most = b->model->config.max_positions;
    size_t piece = most < PIECE ? most : PIECE;
    const char *text = args_text(a, "--text", NULL);
    const char *rows = args_text(a, "--rows", NULL);
    if (text || rows) {
        enum lorac_status st = text ? sample_text(s, b, text, piece, err)
                                    : sample_rows(s, b, a, most < BATCH ? most : BATCH, err);
        bool none = !st && s->n == 0;
        return none ? lorac_fail(err, LORAC_EUSER, "%s: holds no token", text ? text : rows) : st;
    }
    int32_t walk[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        walk[i] = (int32_t)((i * 7919 + 13) % b->model->config.V);
    }
    return add_pieces(s, walk, BATCH, piece, err);
}

/* The next pieces of the sample, from piece *at and token *from on: their logits are wanted, of
 * every row or of the one that stands for its piece. */
static void next_batch(struct lorac_batch *batch, const struct sample *s, enum lorac_text_row row,
                       size_t *at, size_t *from)
{
    lorac_batch_clear(batch);
    for (; *at < s->n && batch->N + s->length[*at] <= BATCH; *from += s->length[(*at)++]) {
        (void)lorac_batch_add(batch, s->ids.at + *from, s->length[*at], -1);
    }
    for (size_t i = 0; i < batch->S; i++) {
        size_t first = (size_t)batch->segments[i].row;
        size_t end = first + (size_t)batch->segments[i].n;
        if (row == LORAC_ROW_FIRST) { end = first + 1; }
        if (row == LORAC_ROW_LAST) { first = end - 1; }
        for (size_t n = first; n < end; n++) {
            lorac_batch_want_logits(batch, n);
        }
    }
}

/* Add what N rows of logits differ by. */
static void compare(struct difference *d, const float *a, const float *b, size_t N, size_t Z)
{
    for (size_t n = 0; n < N; n++, a += Z, b += Z) {
        size_t best_a = 0;
        size_t best_b = 0;
        for (size_t i = 0; i < Z; i++) {
            double diff = fabs((double)a[i] - (double)b[i]);
            d->largest = diff > d->largest || isnan(diff) ? diff : d->largest; // NaN stays
            d->mean += diff / (double)Z;
            d->scale = fmax(d->scale, fabs((double)a[i]));
            if (a[i] > a[best_a]) { best_a = i; }
            if (b[i] > b[best_b]) { best_b = i; }
        }
        d->agree += best_a == best_b;
    }
    d->rows += N;
}

/* Both models on the whole sample. */
static enum lorac_status run_both(struct difference *d, struct bench *b,
                                  const struct lorac_model *merged, const struct sample *s,
                                  struct lorac_err *err)
{
    size_t Z = b->model->config.Z;
    struct lorac_pass_options o = {.max_rows = BATCH, .max_positions = BATCH};
    struct lorac_batch *batch = NULL;
    struct lorac_pass *with = NULL;
    struct lorac_pass *without = NULL;
    float *want = lorac_mem_new((size_t)BATCH * Z, sizeof *want);
    float *got = lorac_mem_new((size_t)BATCH * Z, sizeof *got);
    enum lorac_status st =
        want && got ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory for logits");
    if (!st) { st = lorac_batch_new(&batch, BATCH, BATCH, 1, err); }
    if (!st) { st = lorac_pass_new(&with, b->model, bench_socket(b), &o, err); }
    if (!st) { st = lorac_pass_new(&without, merged, NULL, &o, err); }
    for (size_t at = 0, from = 0; at < s->n && !st;) {
        next_batch(batch, s, lorac_model_text_row(b->model), &at, &from);
        st = lorac_pass_forward(with, batch, NULL, err);
        if (!st) { st = lorac_pass_forward(without, batch, NULL, err); }
        if (!st && stop_asked()) { st = lorac_fail(err, LORAC_ESTOP, "stopped"); }
        if (st) { break; }
        lorac_pass_logits(with, batch, want);
        lorac_pass_logits(without, batch, got);
        compare(d, want, got, batch->U, Z);
    }
    if (d->rows) { d->mean /= (double)d->rows; }
    lorac_pass_free(without);
    lorac_pass_free(with);
    lorac_batch_free(batch);
    lorac_mem_free(got);
    lorac_mem_free(want);
    return st;
}

/* How far rounding the merged weights to the file's type may move a logit, as a share of the
 * largest. */
static double bound(const struct lorac_model *merged)
{
    double most = 0.0;
    for (size_t i = 0; i < merged->n_modules; i++) {
        const struct lorac_module *l = &merged->module[i];
        double of = l->dtype == LORAC_F32 ? 1e-4 : l->dtype == LORAC_F16 ? 2e-2 : 1e-1;
        if (!lorac_module_is_linear(l)) { continue; }
        most = of > most ? of : most;
    }
    return most;
}

/* --verify: what is compared, and what came of it. */
struct verification {
    struct bench *b;
    struct sample sample;
    struct difference d;
    bool texts, labels; // logits are those of whole texts, of labels
    struct status_line line;
};

/* Both models on the sample, before the merged one in `dir` gets its name. */
static enum lorac_status verify(void *self, const char *dir, struct lorac_err *err)
{
    struct verification *v = self;
    struct lorac_model *merged = NULL;
    const struct lorac_model *m = v->b->model;
    const struct lorac_model_options o = {.compute = m->compute, .task = m->config.task};
    enum lorac_status st = lorac_model_open_for(&merged, &v->b->dev, dir, &o, err);
    if (!st) { st = run_both(&v->d, v->b, merged, &v->sample, err); }
    if (!st && !(v->d.scale > 0.0)) {
        st = lorac_fail(
            err, LORAC_EFORMAT,
            "every logit is 0, with the adapter and merged: their numbers are too large to "
            "compute with; give the adapter a smaller scale");
    }
    if (!st && !(v->d.largest <= bound(merged) * v->d.scale)) {
        st = lorac_fail(err, LORAC_EFORMAT,
                        "the merged model's logits differ by up to %.3g (largest logit %.3g), "
                        "more than rounding explains (%g of the largest)",
                        v->d.largest, v->d.scale, bound(merged));
    }
    lorac_model_close(merged);
    return st;
}

static bool show_progress(void *self, double done)
{
    struct verification *v = self;
    if (v->line.terminal) { status_share(&v->line, "merging", done); }
    return !stop_asked();
}

static int tell(const struct args *a, const char *out, const struct verification *v)
{
    const struct difference *d = &v->d;
    if (args_has(a, "--json")) {
        struct out j = {0};
        out_str(&j, "out", out);
        out_bool(&j, "verified", d->rows > 0);
        if (d->rows) {
            out_count(&j, "rows", d->rows);
            out_real(&j, "largest_difference", d->largest);
            out_real(&j, "mean_difference", d->mean);
            out_real(&j, "largest_logit", d->scale);
            out_real(&j, "top1_agreement", (double)d->agree / (double)d->rows);
        }
        return out_print(&j);
    }
    printf("merged into %s, read back and compared\n", out);
    if (d->rows) {
        printf("verified on %zu %s: logits differ by %.3g at the most, %.3g on average (largest "
               "logit %.3g); the likeliest %s is the same in %zu of %zu\n",
               d->rows, v->texts ? "texts" : "tokens", d->largest, d->mean, d->scale,
               v->labels ? "label" : "token", d->agree, d->rows);
    }
    return 0;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct bench b = {0};
    const char *out = args_text(a, "--out", "");
    bool check = args_has(a, "--verify");
    const char *wrong = !args_has(a, "--adapter") ? "merge needs at least one --adapter DIR"
                        : args_has(a, "--text") && args_has(a, "--rows")
                            ? "--text and --rows exclude each other"
                        : args_has(a, "--text") && !check ? "--text is for --verify"
                        : args_has(a, "--rows") && !check ? "--rows is for --verify"
                                                          : NULL;
    if (wrong) {
        fprintf(stderr, "lorac: %s\n", wrong);
        return EXIT_USAGE;
    }
    struct verification v = {.b = &b};
    enum lorac_dtype dtype;
    bool converts = lorac_dtype_find_torch(&dtype, args_text(a, "--dtype", ""));
    const struct lorac_merge_options o = {.dtype = converts ? &dtype : NULL,
                                          .check = check ? verify : NULL,
                                          .progress = show_progress,
                                          .self = &v};
    status_begin(&v.line);
    stop_on_signals();
    enum lorac_status st = bench_open_for(&b, a, LORAC_TASKS, args_has(a, "--text"), &err);
    v.texts = !st && lorac_model_text_row(b.model) != LORAC_ROW_EACH;
    v.labels = !st && lorac_task_is_labelled(b.model->config.task);
    if (!st && check) { st = make_sample(&v.sample, &b, a, &err); }
    if (!st) { st = lorac_merge(out, b.model, &b.stack, &o, &err); }
    status_clear(&v.line);
    int code = st ? complain(&err) : tell(a, out, &v);
    lorac_ids_free(&v.sample.ids);
    bench_close(&b);
    return code;
}

static const struct option options[] = {
    MODEL_OPTIONS,
    {"--out", "DIR", "the new checkpoint's folder", true, false},
    {"--dtype", "TYPE", "store all tensors as float32, bfloat16 or float16 (default: as they are)",
     false, false},
    {"--verify", NULL, "run both models and compare their logits", false, false},
    {"--rows", "RECIPE|RUN", "run them on rows of this recipe's tables, as its template makes them",
     false, false},
    {"--text", "FILE", "run them on this text", false, false},
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_merge = {
    .name = "merge",
    .usage = "--model DIR --adapter DIR[:SCALE] --out DIR [--verify]",
    .summary = "put adapters into a checkpoint of its own",
    .about =
        "  lorac merge --model DIR --adapter runs/sst2/best --out merged \\\n"
        "    --verify --rows runs/sst2\n\n"
        "Sums are float32, rounded once to the type of the file; shards, tokenizer and "
        "configuration are kept, so the result opens wherever the base does. Modules trained in "
        "full replace the base's; where they part a tied embedding and output, both are stored "
        "and config.json says so. With --dtype all tensors get another type, and config.json "
        "names it: a model trained in float32 ships in half the bytes as bfloat16. An adapter with "
        "a head for labels makes a checkpoint of that task, whose config.json names class and "
        "labels.\n\n"
        "--verify opens the files that were written, runs both models on up to 2,048 tokens (of "
        "the test rows, else the validation or training rows, of --rows; of --text; else of a "
        "walk through the vocabulary), and fails where a logit differs by more than rounding to "
        "that type explains: 1e-4 of the largest logit for float32, 2e-2 for float16, 1e-1 for "
        "bfloat16. The folder gets its name once it has passed; where it fails, or a signal asks "
        "to stop, nothing is left of it.\n",
    .options = options,
    .run = run,
};
