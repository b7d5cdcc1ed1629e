/* passes.c - see passes.h. */
#include "tests/support/passes.h"

#include "base/core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void check(enum lorac_status st, const struct lorac_err *err)
{
    if (st) { fail_msg("%s", err->text); }
}

void passes_open(struct passes *p, const char *name, struct lorac_device dev)
{
    passes_open_in(p, name, dev, LORAC_FLOAT32);
}

void passes_open_in(struct passes *p, const char *name, struct lorac_device dev,
                    enum lorac_compute compute)
{
    struct lorac_err err = {0};
    *p = (struct passes){.dev = dev};
    golden_open(&p->g, name);
    check(lorac_model_open(&p->m, &p->dev, p->g.dir, compute, &err), &err);
    check(lorac_peft_load(&p->a, p->m, golden_path(&p->g, "adapter"), false, &err), &err);
    check(lorac_adapter_reserve(p->a, &err), &err);
    p->socket = lorac_adapter_socket(p->a);
    check(lorac_batch_new(&p->b, PASS_ROWS, PASS_SEGMENTS, 2 * PASS_ROWS, &err), &err);
    lorac_batch_clear(p->b);
}

void passes_open_on(struct passes *p, const char *name, const char *backend)
{
    struct lorac_err err = {0};
    struct lorac_device dev;
    check(lorac_device_open(&dev, backend, 1, &err), &err);
    passes_open(p, name, dev);
}

void passes_close(struct passes *p)
{
    lorac_batch_free(p->b);
    lorac_adapter_free(p->a);
    lorac_model_close(p->m);
    lorac_device_close(&p->dev);
    golden_close(&p->g);
}

struct lorac_pass *passes_new(struct passes *p, enum lorac_keep keep)
{
    struct lorac_err err = {0};
    struct lorac_pass *pass = NULL;
    struct lorac_pass_options o = {.max_rows = PASS_ROWS, .keep = keep};
    check(lorac_pass_new(&pass, p->m, &p->socket, &o, &err), &err);
    return pass;
}

double passes_run(struct lorac_pass *pass, const struct lorac_batch *b, struct lorac_cache *cache,
                  bool gradient)
{
    struct lorac_err err = {0};
    float nll[2 * PASS_ROWS];
    double sum = 0.0;
    check(lorac_pass_forward(pass, b, cache, &err), &err);
    lorac_pass_loss(pass, b, nll, gradient);
    if (gradient) { lorac_pass_backward(pass, b); }
    for (size_t t = 0; t < b->T; t++) {
        sum += (double)nll[t];
    }
    return sum;
}

double passes_loss(void *context)
{
    struct passes_loss *l = context;
    return passes_run(l->pass, l->b, NULL, false);
}

float *passes_logits(const struct lorac_model *m, const struct lorac_socket *socket,
                     const struct lorac_batch *b, size_t *n)
{
    struct lorac_err err = {0};
    struct lorac_pass *pass = NULL;
    struct lorac_pass_options o = {.max_rows = b->N};
    *n = b->U * m->config.Z;
    float *logits = lorac_mem_new(*n, sizeof *logits);
    assert_non_null(logits);
    check(lorac_pass_new(&pass, m, socket, &o, &err), &err);
    check(lorac_pass_forward(pass, b, NULL, &err), &err);
    lorac_pass_logits(pass, b, logits);
    lorac_pass_free(pass);
    return logits;
}

float *passes_all_logits(const struct lorac_model *m, const struct lorac_socket *socket,
                         const struct lorac_batch *like, size_t *n)
{
    struct lorac_batch *b = golden_logits_batch(like);
    float *logits = passes_logits(m, socket, b, n);
    lorac_batch_free(b);
    return logits;
}

float *passes_take(struct passes *p)
{
    size_t bytes = p->a->n_params * sizeof(float);
    float *host = lorac_mem_new(p->a->n_params, sizeof *host);
    assert_non_null(host);
    p->dev.ops->read(&p->dev, host, p->a->grads, bytes);
    p->dev.ops->zero(&p->dev, p->a->grads, bytes);
    return host;
}

int32_t passes_add(struct passes *p, const int32_t *ids, size_t n)
{
    size_t row = p->b->N;
    int32_t s = lorac_batch_add(p->b, ids, n, -1);
    for (size_t i = 1; i < n; i++) {
        lorac_batch_score(p->b, row + i - 1, ids[i]);
    }
    return s;
}
