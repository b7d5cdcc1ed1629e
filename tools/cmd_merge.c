/* cmd_merge.c - `lorac merge`: adapters into a checkpoint of its own, verified by its logits. */
#include "tools/verbs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 256, SEGMENT = 64 };

/* What the merged model's logits differ by. */
struct difference {
    size_t rows, agree;          // rows compared, rows whose likeliest token is the same
    double largest, mean, scale; // scale: largest |logit|
};

/* Text to compare on: --text, or a walk through the vocabulary. */
static enum lorac_status fill_batch(struct lorac_batch *batch, const struct bench *b,
                                    const struct args *a, struct lorac_err *err)
{
    struct lorac_ids ids = {0};
    struct lorac_buf buf = {0};
    const char *path = args_text(a, "--text", NULL);
    size_t limit =
        b->model->config.max_positions < SEGMENT ? b->model->config.max_positions : SEGMENT;
    enum lorac_status st = LORAC_OK;
    if (path) {
        st = read_text(&buf, path, err);
        struct lorac_text text = {buf.at ? buf.at : "", buf.n, false};
        if (!st) { st = lorac_encode(&ids, b->tokenizer, &text, 1, LORAC_ENCODE_BEGINS, err); }
    }
    for (size_t i = 0; !path && i < ROWS && !st; i++) {
        st = lorac_ids_add(&ids, (int32_t)((i * 7919 + 13) % b->model->config.V), err);
    }
    lorac_batch_clear(batch);
    for (size_t at = 0; at < ids.n && batch->N < ROWS && !st; at += limit) {
        size_t n = ids.n - at < limit ? ids.n - at : limit;
        n = n < ROWS - batch->N ? n : ROWS - batch->N;
        (void)lorac_batch_add(batch, ids.at + at, n, -1);
    }
    for (size_t n = 0; n < batch->N && !st; n++) {
        lorac_batch_want_logits(batch, n);
    }
    if (!st && batch->N == 0) { st = lorac_fail(err, LORAC_EUSER, "%s: holds no token", path); }
    lorac_ids_free(&ids);
    lorac_buf_free(&buf);
    return st;
}

static enum lorac_status run_model(float **out, const struct lorac_model *m,
                                   const struct lorac_socket *socket,
                                   const struct lorac_batch *batch, struct lorac_err *err)
{
    struct lorac_pass *p = NULL;
    struct lorac_pass_options o = {.max_rows = ROWS, .max_positions = SEGMENT};
    *out = lorac_mem_new(batch->N * m->config.V, sizeof **out);
    if (!*out) { return lorac_fail(err, LORAC_ENOMEM, "no memory for logits"); }
    enum lorac_status st = lorac_pass_new(&p, m, socket, &o, err);
    if (!st) { st = lorac_pass_forward(p, batch, NULL, err); }
    if (!st) { lorac_pass_logits(p, batch, *out); }
    lorac_pass_free(p);
    return st;
}

static struct difference compare(const float *a, const float *b, size_t N, size_t V)
{
    struct difference d = {.rows = N};
    for (size_t n = 0; n < N; n++, a += V, b += V) {
        size_t best_a = 0;
        size_t best_b = 0;
        for (size_t i = 0; i < V; i++) {
            double diff = fabs((double)a[i] - (double)b[i]);
            d.largest = fmax(d.largest, diff);
            d.mean += diff;
            d.scale = fmax(d.scale, fabs((double)a[i]));
            if (a[i] > a[best_a]) { best_a = i; }
            if (b[i] > b[best_b]) { best_b = i; }
        }
        d.agree += best_a == best_b;
    }
    d.mean /= (double)N * (double)V;
    return d;
}

/* How far rounding the merged weights to the file's type may move a logit, as a share of the largest. */
static double bound(const struct lorac_model *m)
{
    static const double of_type[LORAC_N_DTYPES] = {
        [LORAC_F32] = 1e-4, [LORAC_F16] = 2e-2, [LORAC_BF16] = 1e-1};
    return of_type[m->linear[0].w.dtype];
}

static enum lorac_status verify(struct difference *d, struct bench *b, const char *out,
                                const struct args *a, struct lorac_err *err)
{
    struct lorac_model *merged = NULL;
    struct lorac_batch *batch = NULL;
    float *want = NULL;
    float *got = NULL;
    enum lorac_status st = lorac_batch_new(&batch, ROWS, ROWS, 1, err);
    if (!st) { st = fill_batch(batch, b, a, err); }
    if (!st) { st = lorac_model_open(&merged, &b->dev, out, err); }
    if (!st) { st = run_model(&want, b->model, bench_socket(b), batch, err); }
    if (!st) { st = run_model(&got, merged, NULL, batch, err); }
    if (!st) {
        *d = compare(want, got, batch->N, b->model->config.V);
        if (!(d->largest <= bound(b->model) * d->scale)) {
            st = lorac_fail(
                err, LORAC_EFORMAT,
                "%s: the merged model's logits differ by up to %.3g (largest logit %.3g), more than "
                "rounding explains",
                out, d->largest, d->scale);
        }
    }
    lorac_mem_free(want);
    lorac_mem_free(got);
    lorac_model_close(merged);
    lorac_batch_free(batch);
    return st;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct bench b = {0};
    struct difference d = {0};
    const char *out = args_text(a, "--out", "");
    bool check = args_has(a, "--verify");
    if (args_has(a, "--text") && !check) {
        fprintf(stderr, "lorac: --text is for --verify\n");
        return EXIT_USAGE;
    }
    enum lorac_status st = bench_open(&b, a, args_has(a, "--text"), &err);
    if (!st && b.stack.n == 0) {
        st = lorac_fail(&err, LORAC_EUSER, "merge needs at least one --adapter DIR");
    }
    if (!st) { st = lorac_merge(out, b.model, &b.stack, &err); }
    if (!st && check) { st = verify(&d, &b, out, a, &err); }
    int code = 0;
    if (st) {
        code = complain(&err);
    } else if (args_has(a, "--json")) {
        struct out j = {0};
        out_text(&j, "out", out, strlen(out));
        out_bool(&j, "verified", check);
        if (check) {
            out_count(&j, "rows", d.rows);
            out_real(&j, "largest_difference", d.largest);
            out_real(&j, "mean_difference", d.mean);
            out_real(&j, "largest_logit", d.scale);
            out_real(&j, "top1_agreement", (double)d.agree / (double)d.rows);
        }
        code = out_print(&j);
    } else {
        printf("merged into %s, read back and compared\n", out);
        if (check) {
            printf(
                "verified on %zu rows: logits differ by %.3g at the most, %.3g on average (largest logit "
                "%.3g); the likeliest token is the same in %zu of %zu\n",
                d.rows, d.largest, d.mean, d.scale, d.agree, d.rows);
        }
    }
    bench_close(&b);
    return code;
}

static const struct option options[] = {
    MODEL_OPTIONS,
    {"--out", "DIR", "the new checkpoint's folder", true, false},
    {"--verify", NULL, "run both models and compare their logits", false, false},
    {"--text", "FILE", "the text that --verify runs them on", false, false},
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_merge = {
    .name = "merge",
    .usage = "--model DIR --adapter DIR[:SCALE] --out DIR [--verify]",
    .summary = "put adapters into a checkpoint of its own",
    .about =
        "  lorac merge --model DIR --adapter runs/sst2/best --out merged --verify\n\n"
        "Sums are float32, rounded once to the type of the file; shards, tokenizer and configuration\n"
        "are kept, so the result opens wherever the base does.\n",
    .options = options,
    .run = run,
};
