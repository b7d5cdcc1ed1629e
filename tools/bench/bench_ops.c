/*
 * bench_ops - how fast the cpu backend's operations are, each against its ceiling on this machine:
 * the rate of a large sgemm, or the bandwidth of a memory copy, whichever bounds the operation.
 *
 *   bench_ops [threads]
 *
 * Prints the best of many runs of at least 0.3 s together; `of ceiling` is the time that the
 * operation would take at its ceiling over the time it took. Bytes are those that it must read and
 * write once.
 */
#include "base/compute/device.h"
#include "base/compute/start.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bench {
    struct lorac_device dev;
    float *a, *b, *c, *d, *e, *f, *g, *h; // POOL floats each
    double peak, bandwidth;               // flop/s, byte/s
    size_t N, C, OC, R;
    struct lorac_weight *w;
    struct lorac_segment segments[64];
    size_t S;
    struct lorac_attention attention;
};

enum { POOL = 1 << 23 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double best(struct bench *x, void (*run)(struct bench *))
{
    run(x);
    double least = 1e9;
    double begin = now();
    do {
        double t = now();
        run(x);
        t = now() - t;
        if (t < least) { least = t; }
    } while (now() - begin < 0.3);
    return least;
}

static void report(struct bench *x, const char *name, double flops, double bytes,
                   void (*run)(struct bench *))
{
    double t = best(x, run);
    double ceiling = fmax(flops / x->peak, bytes / x->bandwidth);
    printf("%-40s %9.1f us %8.1f GFLOP/s %7.1f GB/s   %3.0f %% of %s\n", name, 1e6 * t,
           1e-9 * flops / t, 1e-9 * bytes / t, 100.0 * ceiling / t,
           flops / x->peak > bytes / x->bandwidth ? "sgemm" : "copy");
}

static void run_copy(struct bench *x) // half of it each way
{
    memcpy(x->a, x->b, sizeof(float) * POOL);
}

static void run_add(struct bench *x)
{
    x->dev.ops->add(&x->dev, x->a, x->b, POOL);
}

static void run_nt(struct bench *x)
{
    x->dev.ops->matmul_nt(&x->dev, x->c, x->a, x->b, x->N, x->C, x->OC, 1.0F, 0.0F);
}

static void run_nn(struct bench *x)
{
    x->dev.ops->matmul_nn(&x->dev, x->c, x->a, x->b, x->N, x->C, x->OC, 1.0F, 1.0F);
}

static void run_tn(struct bench *x)
{
    x->dev.ops->matmul_tn(&x->dev, x->c, x->a, x->b, x->N, x->C, x->OC, 1.0F, 1.0F);
}

static void run_linear(struct bench *x)
{
    x->dev.ops->linear(&x->dev, x->c, x->a, x->w, NULL, x->N);
}

static void run_linear_backward(struct bench *x)
{
    x->dev.ops->linear_backward(&x->dev, x->c, x->a, x->w, x->N, 1.0F);
}

static void run_attention(struct bench *x)
{
    x->dev.ops->attention(&x->dev, x->d, x->e, x->a, x->b, x->c, x->b, x->c, x->segments, x->S,
                          &x->attention);
}

static void run_attention_backward(struct bench *x)
{
    x->dev.ops->attention_backward(&x->dev, x->f, x->g, x->h, x->a, x->d, x->e, x->a, x->b, x->c,
                                   x->segments, x->S, &x->attention);
}

static void run_rmsnorm(struct bench *x)
{
    x->dev.ops->rmsnorm(&x->dev, x->c, x->a, x->b, x->N, x->C, 1e-5F);
}

static void run_rmsnorm_backward(struct bench *x)
{
    x->dev.ops->rmsnorm_backward(&x->dev, x->c, x->a, x->d, x->b, x->N, x->C, 1e-5F);
}

static void run_silu(struct bench *x)
{
    x->dev.ops->gate(&x->dev, x->c, x->a, x->b, x->N * x->C, LORAC_SILU);
}

static void run_gelu(struct bench *x)
{
    x->dev.ops->gate(&x->dev, x->c, x->a, x->b, x->N * x->C, LORAC_GELU);
}

static void run_gelu_tanh(struct bench *x)
{
    x->dev.ops->gate(&x->dev, x->c, x->a, x->b, x->N * x->C, LORAC_GELU_TANH);
}

static void run_silu_backward(struct bench *x)
{
    x->dev.ops->gate_backward(&x->dev, x->c, x->d, x->a, x->b, x->a, x->N * x->C, LORAC_SILU);
}

static void run_dropout(struct bench *x)
{
    x->dev.ops->dropout(&x->dev, x->c, x->a, x->N * x->C, 0.1F, 1, 2, 0);
}

static void run_rope(struct bench *x)
{
    static const uint32_t position[4096];
    x->dev.ops->rope(&x->dev, x->c, x->a, position, x->N, x->C / 64, 64, 64, 1.0F);
}

static void run_cross_entropy(struct bench *x)
{
    static uint32_t first[65];
    static int32_t target[64];
    float nll[64];
    float weight[64];
    for (uint32_t i = 0; i < 64; i++) {
        first[i + 1] = i + 1;
        weight[i] = 1.0F;
    }
    memcpy(x->c, x->a, sizeof(float) * x->N * x->C);
    x->dev.ops->cross_entropy(&x->dev, nll, x->c, first, target, weight, x->N, x->C);
}

static void run_adamw(struct bench *x)
{
    x->dev.ops->adamw(&x->dev, x->c, x->d, x->e, x->a, x->N * x->C, 1.0, 1e-3, 0.9, 0.999, 1e-8,
                      0.0, 0.1, 0.1);
}

/* x->w becomes a weight (OC,C) of this type, whatever its numbers. */
static void take_weight(struct bench *x, enum lorac_dtype type)
{
    x->dev.ops->weight_close(&x->dev, x->w);
    x->w = x->dev.ops->weight_open(&x->dev, x->b, type, x->OC, x->C, false, LORAC_FLOAT32);
    if (!x->w) { exit(1); }
}

static void products(struct bench *x)
{
    static const size_t wide[][3] = {{256, 1024, 1024}, {256, 4096, 1024}};
    char name[80];
    for (size_t i = 0; i < 2; i++) {
        x->N = wide[i][0];
        x->C = wide[i][1];
        x->OC = wide[i][2];
        double flops = 2.0 * (double)(x->N * x->C * x->OC);
        snprintf(name, sizeof name, "matmul_nt %zu x %zu x %zu", x->N, x->C, x->OC);
        report(x, name, flops, 0.0, run_nt);
        for (int type = 0; type < LORAC_N_DTYPES; type++) {
            if (!lorac_dtype_is_float((enum lorac_dtype)type)) { continue; }
            take_weight(x, (enum lorac_dtype)type);
            const char *dtype = lorac_dtype_name((enum lorac_dtype)type);
            double bytes = (double)lorac_dtype_bytes((enum lorac_dtype)type, x->OC * x->C);
            x->N = 256;
            snprintf(name, sizeof name, "linear %s %zu x %zu x %zu", dtype, x->N, x->C, x->OC);
            report(x, name, flops, bytes, run_linear);
            snprintf(name, sizeof name, "linear_backward %s", dtype);
            report(x, name, flops, bytes, run_linear_backward);
            for (x->N = 1; x->N <= 64; x->N *= 4) { // decoding of one sequence, and of some
                snprintf(name, sizeof name, "linear %s, N = %zu", dtype, x->N);
                report(x, name, flops / 256.0 * (double)x->N, bytes, run_linear);
            }
            for (x->N = 4; x->N <= 64; x->N *= 4) {
                snprintf(name, sizeof name, "linear_backward %s, N = %zu", dtype, x->N);
                report(x, name, flops / 256.0 * (double)x->N, bytes, run_linear_backward);
            }
            x->N = 256;
        }
    }
    x->N = 1;
    x->C = 2048;
    x->OC = 4096;
    take_weight(x, LORAC_F32);
    report(x, "linear F32, N = 1, 4096 x 2048", 0.0, 4.0 * 4096.0 * 2048.0, run_linear);
    take_weight(x, LORAC_BF16);
    report(x, "linear BF16, N = 1, 4096 x 2048", 0.0, 2.0 * 4096.0 * 2048.0, run_linear);
}

static void adapters(struct bench *x)
{
    char name[80];
    for (size_t C = 1024; C <= 4096; C *= 4) {
        for (size_t R = 8; R <= 16; R *= 2) {
            x->N = 256;
            double flops = 2.0 * 256.0 * (double)(C * R);
            double side = 4.0 * 256.0 * (double)C;
            x->C = C;
            x->OC = R;
            snprintf(name, sizeof name, "u = x A^T, N 256 C %zu R %zu", C, R);
            report(x, name, flops, side, run_nt);
            snprintf(name, sizeof name, "y += u B^T, OC %zu R %zu", C, R);
            report(x, name, flops, 2.0 * side, run_nn);
            snprintf(name, sizeof name, "dA += u^T x, C %zu R %zu", C, R);
            report(x, name, flops, side, run_tn);
        }
    }
}

static void attention(struct bench *x, const char *name, size_t S, size_t n, size_t past)
{
    x->attention = (struct lorac_attention){16, 4, 64, 0.125F, 0, true};
    x->S = S;
    for (size_t s = 0; s < S; s++) {
        x->segments[s] = (struct lorac_segment){.row = (uint32_t)(s * n),
                                                .n = (uint32_t)n,
                                                .parent = -1,
                                                .past = (uint32_t)past,
                                                .position = (uint32_t)past};
    }
    double pairs = (double)S * 16.0 * ((double)n * (double)(n + 1) / 2.0 + (double)(n * past));
    double bytes = past ? (double)(S * past) * 4.0 * 64.0 * 4.0 * 2.0 : 0.0;
    char text[80];
    snprintf(text, sizeof text, "attention %s", name);
    report(x, text, pairs * 64.0 * 4.0, bytes, run_attention);
    if (past) { return; }
    snprintf(text, sizeof text, "attention_backward %s", name);
    report(x, text, pairs * 64.0 * 10.0, 0.0, run_attention_backward);
}

static void rows(struct bench *x)
{
    x->N = 1024;
    x->C = 1024;
    double side = 4.0 * 1024.0 * 1024.0;
    report(x, "rmsnorm 1024 x 1024", 0.0, 2.0 * side, run_rmsnorm);
    report(x, "rmsnorm_backward", 0.0, 4.0 * side, run_rmsnorm_backward);
    report(x, "gate silu, n 1 Mi", 0.0, 3.0 * side, run_silu);
    report(x, "gate gelu", 0.0, 3.0 * side, run_gelu);
    report(x, "gate gelu_tanh", 0.0, 3.0 * side, run_gelu_tanh);
    report(x, "gate_backward silu", 0.0, 5.0 * side, run_silu_backward);
    report(x, "dropout", 0.0, 2.0 * side, run_dropout);
    report(x, "rope", 0.0, 2.0 * side, run_rope);
    report(x, "adamw", 0.0, 7.0 * side, run_adamw);
    x->N = 64;
    x->C = 32000;
    report(x, "cross_entropy 64 x 32000 (and a copy)", 0.0, 4.0 * 4.0 * 64.0 * 32000.0,
           run_cross_entropy);
}

int main(int argc, char **argv)
{
    lorac_start(argv);
    static struct bench x;
    struct lorac_err err;
    if (lorac_device_open(&x.dev, "cpu", argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    float **pools[] = {&x.a, &x.b, &x.c, &x.d, &x.e, &x.f, &x.g, &x.h};
    for (size_t i = 0; i < 8; i++) {
        *pools[i] = x.dev.ops->alloc(&x.dev, sizeof(float) * POOL);
        if (!*pools[i]) { return 1; }
        for (size_t j = 0; j < POOL; j++) { // values that are ordinary in every storage type
            (*pools[i])[j] = 0.01F + 1e-3F * (float)(j % 7);
        }
    }
    x.N = 512; // short enough that some run is undisturbed on a busy machine
    x.C = 1024;
    x.OC = 512;
    double t = best(&x, run_nt);
    x.peak = 2.0 * 512.0 * 1024.0 * 512.0 / t;
    t = best(&x, run_add);
    double copy = best(&x, run_copy); // one thread; `add` uses all of them
    x.bandwidth = fmax(12.0 * POOL / t, 8.0 * POOL / copy);
    printf("%d threads; ceilings: sgemm %.0f GFLOP/s, memory %.1f GB/s\n", x.dev.threads,
           1e-9 * x.peak, 1e-9 * x.bandwidth);
    products(&x);
    adapters(&x);
    attention(&x, "1 x 256", 1, 256, 0);
    attention(&x, "8 x 64", 8, 64, 0);
    attention(&x, "1 x 2048", 1, 2048, 0);
    attention(&x, "decoding after 4096", 1, 1, 4096);
    rows(&x);
    for (size_t i = 0; i < 8; i++) {
        x.dev.ops->release(&x.dev, *pools[i]);
    }
    lorac_device_close(&x.dev);
    return 0;
}
