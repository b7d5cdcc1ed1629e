/*
 * ceilings.c - the rate of products at the better of the libraries that there are; see bench.h.
 *
 * A step reads every weight once, from memory. So that a ceiling does, too, a product has as many
 * weights as are more than caches hold, and takes the next one each time.
 */
#include "tools/bench/bench.h"

#include "tools/bench/blas.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const names[N_LIBRARIES] = {"openblas", "onednn"};

double product_flops(const struct product *p)
{
    return 2.0 * (double)p->N * (double)p->OC * (double)p->C;
}

struct ceiling *ceiling_of(struct ceilings *c, const struct product *p, const char *compute)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct product *q = &c->at[i].p;
        if (q->OC == p->OC && q->C == p->C && q->backward == p->backward &&
            strcmp(c->at[i].compute, compute) == 0) {
            return &c->at[i];
        }
    }
    if (c->n == c->cap) {
        struct ceiling *more = lorac_mem_grow(c->at, c->n, &c->cap, c->n + 1, sizeof *more);
        if (!more) { return NULL; }
        c->at = more;
    }
    struct ceiling *new = &c->at[c->n++];
    *new = (struct ceiling){.p = *p, .run = *p, .compute = compute};
    struct product *r = &new->run; // its weights, inputs and outputs have a place in the pools
    if (r->OC > POOL / r->C) { r->OC = POOL / r->C; }
    size_t fit = POOL / 2 / (r->OC > r->C ? r->OC : r->C);
    if (r->N > MAX_CEILING_ROWS) { r->N = MAX_CEILING_ROWS; }
    if (r->N > fit) { r->N = fit; }
    new->dnnl = dnnl_open(r, compute, c->m->in, c->m->in);
    return new;
}

/* One product of the library; its weights are the next ones. */
static bool run(struct ceiling *c, struct machine *m, enum library library)
{
    const struct product *p = &c->run;
    if (library == ONEDNN) { return dnnl_run(c->dnnl); }
    size_t n = p->OC * p->C;
    if (c->at + n > POOL) { c->at = 0; }
    const float *w = m->in + c->at;
    c->at += n;
    const float *x = m->out + POOL / 2; // the same each time: a step's are warm, too
    blas_product(m->out, x, w, p->N, p->OC, p->C, p->backward);
    return true;
}

/* FLOP/s over LEAST seconds and one product at the least. */
static bool measure(double *rate, struct ceiling *c, struct machine *m, enum library library)
{
    static const double LEAST = 0.06;
    double begin = lorac_clock();
    double n = 0.0;
    double took = 0.0;
    do {
        if (!run(c, m, library)) { return false; }
        n += 1.0;
        took = lorac_clock() - begin;
    } while (took < LEAST);
    *rate = n * product_flops(&c->run) / took;
    return true;
}

static bool has(const struct ceiling *c, enum library library)
{
    return library == ONEDNN ? c->dnnl != NULL : strcmp(c->compute, "float32") == 0;
}

enum lorac_status ceilings_round(struct ceilings *all, struct lorac_err *err)
{
    for (size_t i = 0; i < all->n; i++) {
        struct ceiling *c = &all->at[i];
        double best = (double)NAN;
        for (int l = 0; l < N_LIBRARIES; l++) {
            double rate = 0.0;
            if (!has(c, (enum library)l)) { continue; }
            if (!c->best.n && !run(c, all->m, (enum library)l)) { // buffers, threads
                return lorac_fail(err, LORAC_EUSER, "%s: a product failed", names[l]);
            }
            if (!measure(&rate, c, all->m, (enum library)l)) {
                return lorac_fail(err, LORAC_EUSER, "%s: a product failed", names[l]);
            }
            series_add(&c->rate[l], rate);
            best = fmax(best, rate); // fmax leaves NaN out
        }
        series_add(&c->best, best);
    }
    return LORAC_OK;
}

void ceilings_free(struct ceilings *c)
{
    for (size_t i = 0; i < c->n; i++) {
        dnnl_close(c->at[i].dnnl);
    }
    lorac_mem_free(c->at);
    *c = (struct ceilings){0};
}

void ceilings_json(struct out *j, const struct ceilings *all)
{
    out_begin(j, "products", "[]");
    for (size_t i = 0; i < all->n; i++) {
        const struct ceiling *c = &all->at[i];
        out_begin(j, NULL, "{}");
        out_str(j, "compute", c->compute);
        out_count(j, "rows", c->run.N);
        out_count(j, "out", c->p.backward ? c->run.C : c->run.OC);
        out_count(j, "in", c->p.backward ? c->run.OC : c->run.C);
        out_bool(j, "backward", c->p.backward);
        for (int l = 0; l < N_LIBRARIES; l++) {
            if (c->rate[l].n) { out_series(j, names[l], &c->rate[l]); }
        }
        out_end(j);
    }
    out_end(j);
}

void ceilings_show(const struct ceilings *all)
{
    printf("%-28s %-9s %19s %19s\n", "products: rows, out, in", "compute", "OpenBLAS GFLOP/s",
           "oneDNN GFLOP/s");
    for (size_t i = 0; i < all->n; i++) {
        const struct ceiling *c = &all->at[i];
        char name[64];
        (void)snprintf(name, sizeof name, "%zu x %zu x %zu%s", c->run.N,
                       c->p.backward ? c->run.C : c->run.OC, c->p.backward ? c->run.OC : c->run.C,
                       c->p.backward ? ", back" : "");
        printf("%-28s %-9s", name, c->compute);
        for (int l = 0; l < N_LIBRARIES; l++) {
            char rate[24] = "-";
            if (c->rate[l].n) {
                (void)snprintf(rate, sizeof rate, "%.0f", 1e-9 * series_median(&c->rate[l]));
            }
            printf(" %19s", rate);
        }
        printf("\n");
    }
}
