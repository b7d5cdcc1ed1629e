/* dnnl.c - oneDNN's product at its best: weights packed once, in the form that it likes best. Major
 * versions 2 and 3. See bench.h. */
#include "tools/bench/bench.h"

#include <stdio.h>

#ifndef LORAC_BENCH_DNNL
struct dnnl_product *dnnl_open(const struct product *p, const char *compute, const float *weights,
                               const float *x)
{
    (void)p, (void)compute, (void)weights, (void)x;
    return NULL;
}

bool dnnl_run(struct dnnl_product *d)
{
    return d != NULL;
}

void dnnl_close(struct dnnl_product *d)
{
    (void)d;
}

void dnnl_version_text(char text[32])
{
    text[0] = '\0';
}
#else

#    include <dnnl.h>
#    include <string.h>

#    if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t desc; // an object of the library
typedef const_dnnl_memory_desc_t desc_ref;
#        define REF(d) (d)
#    else
typedef dnnl_memory_desc_t desc; // a struct
typedef const dnnl_memory_desc_t *desc_ref;
#        define REF(d) (&(d))
#    endif

enum { PACKED = 40 << 20, MOST_WEIGHTS = 64 }; // bytes of weights that no cache holds
struct dnnl_product {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t product;
    dnnl_memory_t x, y, w[MOST_WEIGHTS];
    size_t n, at;
};

static bool describe(desc *out, int64_t rows, int64_t columns, dnnl_data_type_t type,
                     dnnl_format_tag_t tag)
{
    const dnnl_dims_t dims = {rows, columns};
#    if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_tag(out, 2, dims, type, tag) == dnnl_success;
#    else
    return dnnl_memory_desc_init_by_tag(out, 2, dims, type, tag) == dnnl_success;
#    endif
}

static bool plan_product(dnnl_primitive_desc_t *out, struct dnnl_product *d, desc x, desc w, desc y)
{
#    if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(out, d->engine, x, w, NULL, y, NULL) == dnnl_success;
#    else
    dnnl_matmul_desc_t op;
    return dnnl_matmul_desc_init(&op, &x, &w, NULL, &y) == dnnl_success &&
           dnnl_primitive_desc_create(out, &op, NULL, d->engine, NULL) == dnnl_success;
#    endif
}

/* New memory of this form holds what `from` has in another. */
static bool convert(dnnl_memory_t *out, struct dnnl_product *d, desc_ref form, dnnl_memory_t from,
                    desc_ref from_form)
{
    dnnl_primitive_desc_t plan = NULL;
    dnnl_primitive_t reorder = NULL;
    bool ok = dnnl_memory_create(out, form, d->engine, DNNL_MEMORY_ALLOCATE) == dnnl_success &&
              dnnl_reorder_primitive_desc_create(&plan, from_form, d->engine, form, d->engine,
                                                 NULL) == dnnl_success &&
              dnnl_primitive_create(&reorder, plan) == dnnl_success;
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, *out}};
    ok = ok && dnnl_primitive_execute(reorder, d->stream, 2, args) == dnnl_success &&
         dnnl_stream_wait(d->stream) == dnnl_success;
    if (reorder) { dnnl_primitive_destroy(reorder); }
    if (plan) { dnnl_primitive_desc_destroy(plan); }
    return ok;
}

/* The same from n x m floats at `data`, rows apart from one another or columns. */
static bool take(dnnl_memory_t *out, struct dnnl_product *d, desc_ref form, const float *data,
                 int64_t rows, int64_t columns, dnnl_format_tag_t tag)
{
    desc plain;
    dnnl_memory_t from = NULL;
    union {
        const float *given;
        void *borrowed; // only read
    } at = {.given = data};
    bool ok = describe(&plain, rows, columns, dnnl_f32, tag) &&
              dnnl_memory_create(&from, REF(plain), d->engine, at.borrowed) == dnnl_success &&
              convert(out, d, form, from, REF(plain));
    if (from) { dnnl_memory_destroy(from); }
    return ok;
}

static bool make(struct dnnl_product *d, const struct product *p, dnnl_data_type_t type,
                 const float *weights, const float *input)
{
    int64_t M = (int64_t)p->N;
    int64_t K = (int64_t)(p->backward ? p->OC : p->C);
    int64_t N = (int64_t)(p->backward ? p->C : p->OC);
    size_t each = p->OC * p->C;
    desc x;
    desc w;
    desc y;
    dnnl_primitive_desc_t plan = NULL;
    bool ok =
        dnnl_engine_create(&d->engine, dnnl_cpu, 0) == dnnl_success &&
        dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags) == dnnl_success &&
        describe(&x, M, K, type, dnnl_ab) && describe(&w, K, N, type, dnnl_format_tag_any) &&
        describe(&y, M, N, type == dnnl_s8 ? dnnl_s32 : dnnl_f32, dnnl_ab) &&
        plan_product(&plan, d, x, w, y) &&
        dnnl_primitive_create(&d->product, plan) == dnnl_success &&
        take(&d->x, d, REF(x), input, M, K, dnnl_ab) &&
        dnnl_memory_create(&d->y, REF(y), d->engine, DNNL_MEMORY_ALLOCATE) == dnnl_success;
    desc_ref packed = ok ? dnnl_primitive_desc_query_md(plan, dnnl_query_weights_md, 0) : NULL;
    size_t bytes = each * (type == dnnl_f32 ? 4 : type == dnnl_bf16 ? 2 : 1);
    size_t wanted = PACKED / bytes + 1;
    for (size_t i = 0; ok && i < wanted && i < MOST_WEIGHTS; i++) {
        size_t at = (i + 1) * each <= POOL ? i * each : 0;
        ok = take(&d->w[i], d, packed, weights + at, K, N, p->backward ? dnnl_ab : dnnl_ba);
        d->n += ok;
    }
    if (plan) { dnnl_primitive_desc_destroy(plan); }
    return ok;
}

struct dnnl_product *dnnl_open(const struct product *p, const char *compute, const float *weights,
                               const float *x)
{
    dnnl_data_type_t type = strcmp(compute, "bfloat16") == 0 ? dnnl_bf16
                            : strcmp(compute, "int8") == 0   ? dnnl_s8
                                                             : dnnl_f32;
    struct dnnl_product *d = lorac_mem_new(1, sizeof *d);
    if (d && make(d, p, type, weights, x)) { return d; }
    dnnl_close(d);
    return NULL;
}

bool dnnl_run(struct dnnl_product *d)
{
    const dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, d->x}, {DNNL_ARG_WEIGHTS, d->w[d->at++ % d->n]}, {DNNL_ARG_DST, d->y}};
    return dnnl_primitive_execute(d->product, d->stream, 3, args) == dnnl_success &&
           dnnl_stream_wait(d->stream) == dnnl_success;
}

void dnnl_close(struct dnnl_product *d)
{
    if (!d) { return; }
    if (d->product) { dnnl_primitive_destroy(d->product); }
    if (d->x) { dnnl_memory_destroy(d->x); }
    if (d->y) { dnnl_memory_destroy(d->y); }
    for (size_t i = 0; i < MOST_WEIGHTS; i++) {
        if (d->w[i]) { dnnl_memory_destroy(d->w[i]); }
    }
    if (d->stream) { dnnl_stream_destroy(d->stream); }
    if (d->engine) { dnnl_engine_destroy(d->engine); }
    lorac_mem_free(d);
}

void dnnl_version_text(char text[32])
{
    const dnnl_version_t *v = dnnl_version();
    (void)snprintf(text, 32, "%d.%d.%d", v->major, v->minor, v->patch);
}
#endif
