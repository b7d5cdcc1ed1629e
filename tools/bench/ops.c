/*
 * ops.c - lorac_bench ops: the operations that a step of this model is made of, each against what
 * bounds it: the same product at the better of OpenBLAS and oneDNN, or the memory that it must read
 * and write once.
 */
#include "tools/bench/products.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct ops {
    struct folder folder;
    struct machine machine;
    struct ceilings ceilings;
    struct lorac_model *model;
    const char *compute;
    size_t N, R, rounds;
    int threads;
    struct row *rows;
    size_t n, cap;
};

/* What is run, on slices of the pools that no cache holds. */
struct row {
    char name[48];
    void (*run)(struct ops *x, const struct row *r);
    size_t N, C, OC;
    enum lorac_activation act;
    size_t first, modules; // of the products: the model's modules with this shape, from this one
    const char *compute;   // of the products
    bool backward, product;
    double flops, bytes; // that it must do, read and write
    struct series seconds, share;
};

/* ---- the operations ---- */

static void run_linear(struct ops *x, const struct row *r)
{
    struct machine *m = &x->machine;
    static size_t turn; // the next weight
    size_t seen = turn++ % r->modules;
    for (size_t i = r->first; i < x->model->n_modules; i++) {
        const struct lorac_module *w = &x->model->module[i];
        if (!lorac_module_is_linear(w) || w->OC != r->OC || w->C != r->C || seen--) { continue; }
        if (r->backward) {
            m->dev.ops->linear_backward(&m->dev, machine_out(m, r->N * r->C),
                                        machine_in(m, r->N * r->OC), w->w, r->N, 0.0F);
        } else {
            m->dev.ops->linear(&m->dev, machine_out(m, r->N * r->OC), machine_in(m, r->N * r->C),
                               w->w, NULL, r->N);
        }
        return;
    }
}

static void run_down(struct ops *x, const struct row *r) // u = x A^T
{
    struct machine *m = &x->machine;
    m->dev.ops->matmul_nt(&m->dev, machine_out(m, r->N * x->R), machine_in(m, r->N * r->C),
                          machine_in(m, x->R * r->C), r->N, r->C, x->R, 1.0F, 0.0F);
}

static void run_up(struct ops *x, const struct row *r) // y += u B^T
{
    struct machine *m = &x->machine;
    m->dev.ops->matmul_nn(&m->dev, machine_out(m, r->N * r->C), machine_in(m, r->N * x->R),
                          machine_in(m, x->R * r->C), r->N, r->C, x->R, 1.0F, 1.0F);
}

static void run_gradient(struct ops *x, const struct row *r) // dA += u^T x
{
    struct machine *m = &x->machine;
    m->dev.ops->matmul_tn(&m->dev, machine_out(m, x->R * r->C), machine_in(m, r->N * x->R),
                          machine_in(m, r->N * r->C), r->N, r->C, x->R, 1.0F, 1.0F);
}

static void run_rmsnorm(struct ops *x, const struct row *r)
{
    struct machine *m = &x->machine;
    m->dev.ops->rmsnorm(&m->dev, machine_out(m, r->N * r->C), machine_in(m, r->N * r->C), m->in,
                        r->N, r->C, 1e-5F);
}

static void run_rmsnorm_backward(struct ops *x, const struct row *r)
{
    struct machine *m = &x->machine;
    m->dev.ops->rmsnorm_backward(&m->dev, machine_out(m, r->N * r->C), machine_in(m, r->N * r->C),
                                 machine_in(m, r->N * r->C), m->in, r->N, r->C, 1e-5F);
}

static void run_gate(struct ops *x, const struct row *r)
{
    struct machine *m = &x->machine;
    size_t n = r->N * r->C;
    m->dev.ops->gate(&m->dev, machine_out(m, n), machine_in(m, n), machine_in(m, n), n, r->act);
}

static void run_gate_backward(struct ops *x, const struct row *r)
{
    struct machine *m = &x->machine;
    size_t n = r->N * r->C;
    m->dev.ops->gate_backward(&m->dev, machine_out(m, n), machine_out(m, n), machine_in(m, n),
                              machine_in(m, n), machine_in(m, n), n, r->act);
}

static void run_rope(struct ops *x, const struct row *r)
{
    static const uint32_t position[MAX_CEILING_ROWS];
    struct machine *m = &x->machine;
    size_t D = x->model->config.D;
    m->dev.ops->rope(&m->dev, machine_out(m, r->N * r->C), m->in, position, r->N, r->C / D, D, D,
                     1.0F);
}

static void run_add(struct ops *x, const struct row *r)
{
    struct machine *m = &x->machine;
    size_t n = r->N * r->C;
    m->dev.ops->add(&m->dev, machine_out(m, n), machine_in(m, n), n);
}

static void run_dropout(struct ops *x, const struct row *r)
{
    struct machine *m = &x->machine;
    size_t n = r->N * r->C;
    m->dev.ops->dropout(&m->dev, machine_out(m, n), machine_in(m, n), n, 0.1F, 1, 2, 0);
}

static void run_adamw(struct ops *x, const struct row *r)
{
    struct machine *m = &x->machine;
    size_t n = r->N * r->C;
    float *p = machine_out(m, n);
    float *first = machine_out(m, n);
    float *second = machine_out(m, n);
    m->dev.ops->adamw(&m->dev, p, first, second, machine_in(m, n), n, 1.0, 1e-3, 0.9, 0.999, 1e-8,
                      0.0, 0.1, 0.1);
}

static void run_cross_entropy(struct ops *x, const struct row *r)
{
    static uint32_t first[MAX_CEILING_ROWS + 1];
    static int32_t target[MAX_CEILING_ROWS];
    static float nll[MAX_CEILING_ROWS];
    static float weight[MAX_CEILING_ROWS];
    struct machine *m = &x->machine;
    for (uint32_t i = 0; i < r->N; i++) {
        first[i + 1] = i + 1;
        weight[i] = 1.0F;
    }
    m->dev.ops->cross_entropy(&m->dev, nll, machine_out(m, r->N * r->C), first, target, weight,
                              r->N, r->C);
}

/* Rows of OC tokens each. */
static size_t segments_of(struct lorac_segment *segments, const struct row *r)
{
    size_t S = 0;
    for (size_t at = 0; at < r->N; at += r->OC) {
        size_t n = r->N - at < r->OC ? r->N - at : r->OC;
        segments[S++] = (struct lorac_segment){.row = (uint32_t)at, .n = (uint32_t)n, .parent = -1};
    }
    return S;
}

static struct lorac_attention heads(const struct ops *x)
{
    const struct lorac_config *c = &x->model->config;
    return (struct lorac_attention){
        .H = c->H, .G = c->G, .D = c->D, .scale = 1.0F / sqrtf((float)c->D), .causal = true};
}

static void run_attention(struct ops *x, const struct row *r)
{
    static struct lorac_segment segments[MAX_CEILING_ROWS];
    struct machine *m = &x->machine;
    struct lorac_attention a = heads(x);
    size_t S = segments_of(segments, r);
    size_t keys = r->N * a.G * a.D;
    m->dev.ops->attention(&m->dev, machine_out(m, r->N * a.H * a.D), machine_out(m, r->N * a.H),
                          machine_in(m, r->N * a.H * a.D), machine_in(m, keys), machine_in(m, keys),
                          NULL, NULL, segments, S, &a);
}

static void run_attention_backward(struct ops *x, const struct row *r)
{
    static struct lorac_segment segments[MAX_CEILING_ROWS];
    struct machine *m = &x->machine;
    struct lorac_attention a = heads(x);
    size_t S = segments_of(segments, r);
    size_t all = r->N * a.H * a.D;
    size_t keys = r->N * a.G * a.D;
    m->dev.ops->attention_backward(&m->dev, machine_out(m, all), machine_out(m, keys),
                                   machine_out(m, keys), machine_in(m, all), machine_in(m, all),
                                   machine_in(m, r->N * a.H), machine_in(m, all),
                                   machine_in(m, keys), machine_in(m, keys), segments, S, &a);
}

/* ---- the list ---- */

static struct row *add_row(struct ops *x, const struct row *r)
{
    if (x->n == x->cap) {
        struct row *more = lorac_mem_grow(x->rows, x->n, &x->cap, x->n + 1, sizeof *more);
        if (!more) { return NULL; }
        x->rows = more;
    }
    x->rows[x->n] = *r;
    return &x->rows[x->n++];
}

static bool seen_before(const struct ops *x, size_t i)
{
    const struct lorac_module *w = &x->model->module[i];
    for (size_t k = 0; k < i; k++) {
        const struct lorac_module *v = &x->model->module[k];
        if (lorac_module_is_linear(v) && v->OC == w->OC && v->C == w->C) { return true; }
    }
    return false;
}

static bool list_products(struct ops *x)
{
    bool ok = true;
    for (size_t i = 0; i < x->model->n_modules && ok; i++) {
        const struct lorac_module *w = &x->model->module[i];
        if (!lorac_module_is_linear(w) || seen_before(x, i)) { continue; }
        size_t modules = 0;
        for (size_t k = i; k < x->model->n_modules; k++) {
            const struct lorac_module *v = &x->model->module[k];
            modules += lorac_module_is_linear(v) && v->OC == w->OC && v->C == w->C;
        }
        struct row r = {.run = run_linear,
                        .N = x->N,
                        .OC = w->OC,
                        .C = w->C,
                        .first = i,
                        .modules = modules,
                        .compute = compute_of_module(x->model, i),
                        .product = true};
        size_t fit = POOL / 2 / (w->OC > w->C ? w->OC : w->C);
        if (r.N > fit) { r.N = fit; }
        for (int back = 0; back < 2 && ok; back++) {
            r.backward = back;
            r.flops = 2.0 * (double)r.N * (double)r.OC * (double)r.C;
            (void)snprintf(r.name, sizeof r.name, "linear%s %zu x %zu x %zu", back ? " back" : "",
                           r.N, back ? r.C : r.OC, back ? r.OC : r.C);
            struct product p = {r.N, r.OC, r.C, back};
            ok = add_row(x, &r) && ceiling_of(&x->ceilings, &p, r.compute);
        }
        struct row one = r; // of one row, as in decoding: its weight is read
        one.N = 1;
        one.backward = one.product = false;
        one.flops = 2.0 * (double)(w->OC * w->C);
        bool integers = strcmp(r.compute, "int8") == 0; // it reads its copy
        one.bytes = (double)(integers ? w->OC * w->C : lorac_dtype_bytes(w->dtype, w->OC * w->C));
        (void)snprintf(one.name, sizeof one.name, "linear 1 x %zu x %zu (%s)", w->OC, w->C,
                       integers ? r.compute : lorac_dtype_name(w->dtype));
        ok = ok && add_row(x, &one);
    }
    return ok;
}

static bool list_adapters(struct ops *x, size_t C)
{
    static const struct {
        const char *name;
        void (*run)(struct ops *x, const struct row *r);
        double sides; // how often the wide matrix is read or written
    } kinds[] = {{"u = x A^T", run_down, 1.0},
                 {"y += u B^T", run_up, 2.0},
                 {"dA += u^T x", run_gradient, 1.0}};
    bool ok = true;
    for (size_t i = 0; i < 3 && ok; i++) {
        struct row r = {.run = kinds[i].run, .N = x->N, .C = C};
        r.flops = 2.0 * (double)(x->N * C * x->R);
        r.bytes = kinds[i].sides * 4.0 * (double)(x->N * C);
        (void)snprintf(r.name, sizeof r.name, "%s, %zu x %zu, rank %zu", kinds[i].name, x->N, C,
                       x->R);
        ok = add_row(x, &r) != NULL;
    }
    return ok;
}

static bool list_attention(struct ops *x, size_t length)
{
    const struct lorac_config *c = &x->model->config;
    struct row r = {.run = run_attention, .N = x->N, .OC = length < x->N ? length : x->N};
    size_t rows = (x->N + r.OC - 1) / r.OC;
    double pairs = (double)(rows * c->H) * (double)(r.OC * (r.OC + 1)) / 2.0;
    r.flops = pairs * (double)c->D * 4.0;
    r.bytes = 4.0 * (double)(x->N * c->D) * (double)(2 * c->H + 2 * c->G);
    (void)snprintf(r.name, sizeof r.name, "attention, %zu x %zu tokens", rows, r.OC);
    bool ok = add_row(x, &r) != NULL;
    r.run = run_attention_backward;
    r.flops = pairs * (double)c->D * 10.0;
    r.bytes = 4.0 * (double)(x->N * c->D) * (double)(4 * c->H + 4 * c->G);
    (void)snprintf(r.name, sizeof r.name, "attention back, %zu x %zu tokens", rows, r.OC);
    return ok && add_row(x, &r);
}

static bool list_rows(struct ops *x)
{
    const struct lorac_config *c = &x->model->config;
    size_t heads_wide = c->H * c->D;
    size_t scored = POOL / 2 / c->V < x->N ? POOL / 2 / c->V : x->N;
    const struct {
        const char *name;
        void (*run)(struct ops *x, const struct row *r);
        size_t N, C;
        double sides; // floats that are read and written, of each
    } kinds[] = {
        {"rmsnorm", run_rmsnorm, x->N, c->C, 2.0},
        {"rmsnorm back", run_rmsnorm_backward, x->N, c->C, 4.0},
        {"gate", run_gate, x->N, c->F, 3.0},
        {"gate back", run_gate_backward, x->N, c->F, 5.0},
        {"rope", run_rope, x->N, heads_wide, 2.0},
        {"add", run_add, x->N, c->C, 3.0},
        {"dropout", run_dropout, x->N, c->C, 2.0},
        {"cross entropy", run_cross_entropy, scored ? scored : 1, c->V, 2.0},
        {"adamw", run_adamw, 1024, 1024, 7.0},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct row r = {.run = kinds[i].run, .N = kinds[i].N, .C = kinds[i].C, .act = c->act};
        r.bytes = kinds[i].sides * 4.0 * (double)(r.N * r.C);
        (void)snprintf(r.name, sizeof r.name, "%s, %zu x %zu", kinds[i].name, r.N, r.C);
        if (!add_row(x, &r)) { return false; }
    }
    return true;
}

/* ---- rounds ---- */

static double seconds_of(struct ops *x, const struct row *r)
{
    static const double LEAST = 0.02;
    double begin = lorac_clock();
    double n = 0.0;
    double took = 0.0;
    do {
        r->run(x, r);
        n += 1.0;
        took = lorac_clock() - begin;
    } while (took < LEAST);
    return took / n;
}

/* Seconds that it would take at what bounds it. */
static double bound_of(struct ops *x, const struct row *r, double peak)
{
    if (r->product) {
        struct product p = {r->N, r->OC, r->C, r->backward};
        return r->flops / series_last(&ceiling_of(&x->ceilings, &p, r->compute)->best);
    }
    bool reads = r->run == run_linear; // a weight, and nothing else of any size
    double memory = series_last(reads ? &x->machine.read : &x->machine.copy);
    return fmax(r->flops / peak, r->bytes / memory);
}

static enum lorac_status round_of(struct ops *x, struct lorac_err *err)
{
    machine_round(&x->machine);
    enum lorac_status st = ceilings_round(&x->ceilings, err);
    double peak = 0.0;
    for (size_t i = 0; i < x->ceilings.n; i++) {
        peak = fmax(peak, series_last(&x->ceilings.at[i].best));
    }
    for (size_t i = 0; i < x->n && !st; i++) {
        struct row *r = &x->rows[i];
        series_add(&r->seconds, seconds_of(x, r));
        series_add(&r->share, bound_of(x, r, peak) / series_last(&r->seconds));
    }
    return st;
}

static enum lorac_status measure(struct ops *x, struct lorac_err *err)
{
    enum lorac_status st = machine_open(&x->machine, x->threads, err);
    x->ceilings.m = &x->machine;
    if (!st) { st = model_open(&x->model, &x->machine.dev, x->folder.dir, x->compute, err); }
    if (st) { return st; }
    lorac_model_prepare(x->model, NULL, 0); // as for training
    const struct lorac_config *c = &x->model->config;
    if (!list_products(x) || !list_adapters(x, c->C) || !list_adapters(x, c->F) ||
        !list_attention(x, 30) || !list_attention(x, 256) || !list_attention(x, 2048) ||
        !list_rows(x)) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory");
    }
    for (size_t i = 0; i < x->rounds && !st; i++) {
        st = round_of(x, err);
    }
    return st;
}

/* ---- how it is told ---- */

static const char *bound_name(const struct row *r)
{
    return r->product ? "product" : "memory";
}

static void tell_json(const struct ops *x)
{
    struct out j = {0};
    machine_json(&j, &x->machine);
    out_str(&j, "model", x->folder.dir);
    out_str(&j, "compute", lorac_compute_name(x->model->compute));
    out_count(&j, "rounds", x->rounds);
    out_begin(&j, "operations", "[]");
    for (size_t i = 0; i < x->n; i++) {
        const struct row *r = &x->rows[i];
        out_begin(&j, NULL, "{}");
        out_str(&j, "name", r->name);
        out_str(&j, "bound", bound_name(r));
        out_series(&j, "seconds", &r->seconds);
        out_real(&j, "flops", r->flops);
        out_real(&j, "bytes", r->bytes);
        out_series(&j, "share", &r->share);
        out_end(&j);
    }
    out_end(&j);
    ceilings_json(&j, &x->ceilings);
    (void)out_print(&j);
}

static void tell(const struct ops *x)
{
    machine_show(&x->machine);
    printf("products with weights in %s, all else in float32\n\n",
           lorac_compute_name(x->model->compute));
    printf("%-37s %9s %7s %6s %17s\n", "operation", "us", "GFLOP/s", "GB/s", "of its bound");
    for (size_t i = 0; i < x->n; i++) {
        const struct row *r = &x->rows[i];
        double t = series_median(&r->seconds);
        printf("%-37s %9.1f %7.1f %6.1f %4.0f %% of %-7s\n", r->name, 1e6 * t, 1e-9 * r->flops / t,
               1e-9 * r->bytes / t, 100.0 * series_median(&r->share), bound_name(r));
    }
    printf("\n");
    ceilings_show(&x->ceilings);
}

static int run(const struct args *a)
{
    static struct ops x = {.N = 512, .R = 8};
    struct lorac_err err = {0};
    enum lorac_status st = rounds_of(&x.rounds, &x.threads, a, &err);
    x.compute = compute_each(a, NULL, 0);
    if (!st) { st = args_count(&x.N, a, "--tokens", &err); }
    if (!st) { st = args_count(&x.R, a, "--rank", &err); }
    if (!st) { st = folder_open(&x.folder, a, &err); }
    if (!st) { st = measure(&x, &err); }
    if (!st) { (args_has(a, "--json") ? tell_json : tell)(&x); }
    lorac_model_close(x.model);
    lorac_mem_free(x.rows);
    ceilings_free(&x.ceilings);
    machine_close(&x.machine);
    folder_close(&x.folder);
    return bench_end(st, &err);
}

static const struct option options[] = {
    FOLDER_OPTIONS,
    {"--compute", "NAME", "float32 (default), bfloat16, int8, auto", false, false},
    {"--tokens", "1..2048", "rows of the operations (default: 512)", false, false},
    {"--rank", "N", "of the adapters' products (default: 8)", false, false},
    BENCH_OPTIONS,
    {0},
};
const struct verb verb_bench_ops = {
    .program = "lorac_bench",
    .name = "ops",
    .usage = "[options]",
    .summary = "operations against the products and the memory of this machine",
    .about = "Products with the model's weights stand against the same product at the better of "
             "OpenBLAS and oneDNN in the same round; all else against the time that memory takes "
             "to be read and written once. Operands lie in no cache, but for those of small "
             "models: what stays in one may be faster than its bound.\n\n"
             "  lorac_bench ops --shape smollm2-135m --tokens 2048",
    .options = options,
    .run = run,
};
