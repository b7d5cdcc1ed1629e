/*
 * bench_step.c - seconds for one training step of LoRA on a random Llama of 196M parameters,
 * against the sum of the bare sgemm calls that the step cannot do without, measured in the same
 * run.
 *
 *   bench_step DIR [steps]     DIR: where the random checkpoint is made (800 MB), or is from an
 *                              earlier run
 *
 * One step is 256 packed tokens in one segment, all of them trained, rank 8 on all linear layers,
 * float32. Its products: x W^T of every linear layer forward, dy W backward, without the dx of the
 * lowest adapters.
 */
#define _POSIX_C_SOURCE 200809L
#include <cblas.h>
#include <lorac/base.h>
#include <lorac/lora.h>

#include "base/core/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { V = 50257, N = 256, RANK = 8, WARMUP = 2 };

static enum lorac_status make_model(const char *dir, struct lorac_err *err)
{
    static const char config[] =
        "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 1024, "
        "\"num_hidden_layers\": 12, \"num_attention_heads\": 16, \"num_key_value_heads\": 4, "
        "\"intermediate_size\": 3072, \"vocab_size\": 50257, \"rms_norm_eps\": 1e-5, "
        "\"tie_word_embeddings\": true}";
    static const struct lorac_init_options options = {.seed = 1};
    if (!lorac_dir_is_empty(dir)) { return LORAC_OK; } // of an earlier run
    return lorac_model_init(dir, config, &options, err);
}

/* ---- the step ---- */

struct bench {
    struct lorac_device dev;
    struct lorac_model *m;
    struct lorac_adapter *a;
    struct lorac_socket socket;
    struct lorac_pass *p;
    struct lorac_optim *o;
    struct lorac_batch *b;
    float nll[N];
};

static enum lorac_status open_bench(struct bench *x, const char *dir, struct lorac_err *err)
{
    static const struct lorac_adapter_options adapter = {.rank = RANK, .alpha = 16, .seed = 1};
    static const struct lorac_pass_options pass = {
        .max_rows = N, .max_positions = N, .keep = LORAC_KEEP_ALL};
    static const struct lorac_optim_options optim = {
        .name = "adamw", .lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .steps = 100};
    enum lorac_status st = lorac_device_open(&x->dev, NULL, 2, err);
    if (!st) { st = lorac_model_open(&x->m, &x->dev, dir, LORAC_FLOAT32, err); }
    if (!st) { st = lorac_adapter_new(&x->a, x->m, &adapter, err); }
    if (!st) { st = lorac_adapter_reserve(x->a, err); }
    if (st) { return st; }
    x->socket = lorac_adapter_socket(x->a);
    st = lorac_pass_new(&x->p, x->m, &x->socket, &pass, err);
    if (!st) { st = lorac_optim_new(&x->o, x->a, &optim, err); }
    if (!st) { st = lorac_batch_new(&x->b, N, 1, N, err); }
    if (st) { return st; }
    int32_t ids[N];
    for (size_t i = 0; i < N; i++) {
        ids[i] = (int32_t)lorac_rng_below(7, 0, i, V);
    }
    lorac_batch_clear(x->b);
    (void)lorac_batch_add(x->b, ids, N, -1);
    for (size_t i = 0; i + 1 < N; i++) {
        lorac_batch_score(x->b, i, ids[i + 1]);
    }
    return LORAC_OK;
}

static enum lorac_status run_step(struct bench *x, struct lorac_err *err)
{
    double norm = 0.0;
    enum lorac_status st = lorac_pass_forward(x->p, x->b, NULL, err);
    if (st) { return st; }
    lorac_pass_loss(x->p, x->b, x->nll, true);
    lorac_pass_backward(x->p, x->b);
    return lorac_optim_step(x->o, (double)x->b->T, &norm, err);
}

/* ---- the products alone ---- */

/* The weight of module i as its file has it, (OC,C). */
static const float *stored(const struct bench *x, size_t i)
{
    char name[LORAC_NAME_SIZE];
    bool tied = i == x->m->head && x->m->config.tie;
    (void)snprintf(name, sizeof name, "%s.weight", x->m->module[tied ? x->m->embed : i].file);
    return lorac_checkpoint_find(x->m->files, name)->data;
}

static void product(const struct bench *x, size_t i, const float *in, float *out, size_t rows,
                    bool backward)
{
    const struct lorac_module *w = &x->m->module[i];
    int n = (int)rows;
    int oc = (int)w->OC;
    int c = (int)w->C;
    if (backward) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, c, oc, 1.0F, in, oc, stored(x, i),
                    c, 0.0F, out, c);
    } else {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, oc, c, 1.0F, in, c, stored(x, i), c,
                    0.0F, out, oc);
    }
}

static double seconds_of_products(const struct bench *x, const float *in, float *out)
{
    double begin = lorac_clock();
    size_t lowest = lorac_module_find(x->m, "model.layers.0.self_attn.o_proj"); // q, k, v: no dx
    for (int backward = 0; backward < 2; backward++) {
        for (size_t i = backward ? lowest : 0; i < x->m->n_modules; i++) {
            if (!lorac_module_is_linear(&x->m->module[i])) { continue; }
            product(x, i, in, out, i == x->m->head ? N - 1 : N, backward);
        }
    }
    return lorac_clock() - begin;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    lorac_start(argv);
    struct lorac_err err = {0};
    struct bench x = {0};
    enum { MOST = 100 };
    double step[MOST];
    double bare[MOST];
    double ratio[MOST];
    int steps = argc > 2 ? atoi(argv[2]) : 10; // NOLINT(cert-err34-c): a benchmark's argument
    if (argc < 2 || steps < 1 || steps > MOST) {
        fprintf(stderr, "usage: bench_step DIR [steps 1-%d]\n", MOST);
        return 2;
    }
    enum lorac_status st = make_model(argv[1], &err);
    if (!st) { st = open_bench(&x, argv[1], &err); }
    float *in = lorac_mem_new((size_t)N * V, sizeof *in);
    float *out = lorac_mem_new((size_t)N * V, sizeof *out);
    for (size_t i = 0; in && i < (size_t)N * V; i++) {
        in[i] = (float)(i % 17) * 0.01F;
    }
    unsigned long allocations = 0;
    for (int i = 0; i < WARMUP + steps && !st; i++) { // in turn, so that both see the same machine
        double begin = lorac_clock();
        st = run_step(&x, &err);
        double took = lorac_clock() - begin;
        double alone = seconds_of_products(&x, in, out);
        if (i == WARMUP - 1) { allocations = lorac_mem_count(); }
        if (i < WARMUP) { continue; }
        step[i - WARMUP] = took;
        bare[i - WARMUP] = alone;
        ratio[i - WARMUP] = took / alone;
    }
    if (st) {
        fprintf(stderr, "bench_step: %s\n", err.text);
        return 1;
    }
    unsigned long more = lorac_mem_count() - allocations;
    qsort(step, (size_t)steps, sizeof *step, by_value);
    qsort(bare, (size_t)steps, sizeof *bare, by_value);
    qsort(ratio, (size_t)steps, sizeof *ratio, by_value);
    int mid = steps / 2;
    printf("parameters        %zu, %zu of them in adapters\n", lorac_model_parameters(x.m),
           x.a->n_params);
    printf("step              %.3f s median, %.3f least   (%.0f tokens/s)\n", step[mid], step[0],
           N / step[mid]);
    printf("its bare sgemm    %.3f s median, %.3f least\n", bare[mid], bare[0]);
    printf("ratio             %.3f median, %.3f least, %.3f most, of %d steps\n", ratio[mid],
           ratio[0], ratio[steps - 1], steps);
    printf(
        "activations       %.1f MiB; process peak %.1f MiB (with the bench's own 2 x %.0f MiB)\n",
        (double)lorac_pass_bytes(x.p) / 1048576.0, (double)lorac_machine_peak() / 1048576.0,
        (double)N * V * 4 / 1048576.0);
    printf("allocations       %lu in %d steps after the first two\n", more, steps);
    return more != 0;
}
