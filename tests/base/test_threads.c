/*
 * One model, many threads, as a server has it. What is promised, on every backend:
 *   - operations of several threads on one device give bit for bit what each gives alone: products
 *     with weights of 16 bits, attention over a long past, their backwards, wide products;
 *   - so do passes of several threads through one adapter, and where there is no memory for more
 *     scratch;
 *   - the first products with a weight may be those of several threads, whatever they are computed
 *     in: its copy is made once;
 *   - several threads may start a device, and others ask what it will take meanwhile;
 *   - devices of different numbers of threads don't change each other's results, whichever was
 *     opened or closed last.
 */
#include "base/core/fault.h"
#include "base/core/mem.h"
#include "tests/support/backends.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { WORKERS = 4, ROUNDS = 3 };
enum { N = 70, C = 160, OC = 192, H = 4, G = 2, D = 20, PAST = 1100, LONG = 40 };
enum { Y = N * OC, DX = N * C, A = N * H * D, DQ = LONG * H * D, M = 90 * 96 };
enum { RESULTS = Y + DX + A + DQ + M };

/* Operands of worker `seed`, and what the operations made of them. */
struct work {
    struct lorac_device *dev;
    float *x, *q, *k, *v, *cache, *a, *b;
    uint16_t *w; // (OC,C)
    struct lorac_weight *weight;
    float *lse, *dk, *dv;
    float *first, *later; // (RESULTS) alone, and beside others
};

static float *filled(size_t n, unsigned stream)
{
    float *x = lorac_mem_new(n, sizeof *x);
    assert_non_null(x);
    fill(x, n, stream);
    return x;
}

/* From now on by this device, which has a handle of its own of the weight. */
static void work_on(struct work *w, struct lorac_device *dev)
{
    if (w->weight) { w->dev->ops->weight_close(w->dev, w->weight); }
    w->dev = dev;
    w->weight = dev->ops->weight_open(dev, w->w, LORAC_BF16, OC, C, false, LORAC_FLOAT32);
    assert_non_null(w->weight);
}

static struct work work_new(unsigned seed, struct lorac_device *dev)
{
    struct work w = {.dev = dev,
                     .x = filled(N * OC, seed),
                     .q = filled(N * H * D, seed + 1),
                     .k = filled(N * G * D, seed + 2),
                     .v = filled(N * G * D, seed + 3),
                     .cache = filled(PAST * G * D, seed + 4),
                     .a = filled(90 * 100, seed + 5),
                     .b = filled(100 * 96, seed + 6),
                     .w = lorac_mem_new(OC * C, sizeof *w.w),
                     .lse = filled(N * H, 0),
                     .dk = filled(N * G * D, 0),
                     .dv = filled(N * G * D, 0),
                     .first = lorac_mem_new(RESULTS, sizeof(float)),
                     .later = lorac_mem_new(RESULTS, sizeof(float))};
    assert_true(w.w && w.first && w.later);
    for (size_t i = 0; i < OC * C; i++) { // bfloat16: a sign and small exponents
        w.w[i] = (uint16_t)(0x3C00U + (i * 2654435761U + seed * 40503U) % 0x0300U +
                            (i * 7U + seed) % 2U * 0x8000U);
    }
    work_on(&w, dev);
    return w;
}

static void work_free(struct work *w)
{
    float *all[] = {w->x, w->q,   w->k,  w->v,  w->cache, w->a,
                    w->b, w->lse, w->dk, w->dv, w->first, w->later};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        lorac_mem_free(all[i]);
    }
    w->dev->ops->weight_close(w->dev, w->weight);
    lorac_mem_free(w->w);
}

static void operate(float *to, struct work *w)
{
    const struct lorac_backend *op = w->dev->ops;
    const struct lorac_attention attention = {
        .H = H, .G = G, .D = D, .scale = 0.25F, .causal = true};
    const struct lorac_segment decode = {.n = 3, .parent = -1, .past = PAST, .position = PAST};
    const struct lorac_segment whole = {.n = LONG, .parent = -1};
    op->linear(w->dev, to, w->x, w->weight, NULL, N);
    op->linear_backward(w->dev, to + Y, w->x, w->weight, N, 0.0F);
    float *out = to + Y + DX;
    op->attention(w->dev, out, w->lse, w->q, w->k, w->v, w->cache, w->cache, &decode, 1,
                  &attention);
    op->attention(w->dev, out, w->lse, w->q, w->k, w->v, NULL, NULL, &whole, 1, &attention);
    op->attention_backward(w->dev, out + A, w->dk, w->dv, w->x, out, w->lse, w->q, w->k, w->v,
                           &whole, 1, &attention);
    op->attention(w->dev, out, w->lse, w->q, w->k, w->v, w->cache, w->cache, &decode, 1,
                  &attention);
    op->matmul_nn(w->dev, out + A + DQ, w->a, w->b, 90, 96, 100, 1.0F, 0.0F);
}

static void *repeat(void *self)
{
    struct work *w = self;
    size_t wrong = 0;
    for (size_t i = 0; i < ROUNDS; i++) {
        memset(w->later, 0, RESULTS * sizeof *w->later);
        operate(w->later, w);
        wrong += memcmp(w->later, w->first, RESULTS * sizeof *w->later) != 0;
    }
    return wrong ? self : NULL;
}

/* How many of so many workers got something else beside the others than alone. */
static size_t disagree(struct work *w, size_t n)
{
    pthread_t threads[WORKERS];
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++) {
        memset(w[i].first, 0, RESULTS * sizeof *w[i].first);
        operate(w[i].first, &w[i]);
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, repeat, &w[i]), 0);
    }
    for (size_t i = 0; i < n; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        wrong += result != NULL;
    }
    return wrong;
}

static void share(const char *backend, int threads)
{
    struct lorac_device dev;
    struct work w[WORKERS];
    assert_int_equal(lorac_device_open(&dev, backend, threads, NULL), LORAC_OK);
    for (unsigned i = 0; i < WORKERS; i++) {
        w[i] = work_new(100 * i, &dev);
    }
    assert_int_equal(disagree(w, WORKERS), 0);
    for (size_t i = 0; i < WORKERS; i++) {
        work_free(&w[i]);
    }
    lorac_device_close(&dev);
}

static void threads_share_a_device(void **state)
{
    share(*state, 1);
    share(*state, 2);
}

#ifdef LORAC_HAVE_OPENBLAS
/* The second of two at once has to wait for the first's scratch, whichever block of its own it does
 * not get. */
static void without_memory_for_scratch_they_take_turns(void **state)
{
    for (long n = 0; n < 3; n++) {
        struct lorac_device dev;
        struct work w[WORKERS];
        assert_int_equal(lorac_device_open(&dev, *state, 1, NULL), LORAC_OK);
        for (unsigned i = 0; i < WORKERS; i++) {
            w[i] = work_new(100 * i, &dev);
            operate(w[i].first, &w[i]);
        }
        lorac_mem_fail_after(n);
        assert_int_equal(disagree(w, WORKERS), 0);
        lorac_mem_fail_after(-1); // on one core they may never have met
        for (size_t i = 0; i < WORKERS; i++) {
            work_free(&w[i]);
        }
        lorac_device_close(&dev);
    }
}

/* ---- one weight ---- */

enum { MANY = 512 }; // rows: by blocks, where there are such products

struct sharing {
    struct lorac_device *dev;
    const float *x; // (MANY,OC)
    const struct lorac_weight *weight;
    size_t rows;
    float *y; // (MANY,OC+C)
};

static void *multiply(void *self)
{
    const struct sharing *s = self;
    s->dev->ops->linear(s->dev, s->y, s->x, s->weight, NULL, s->rows);
    s->dev->ops->linear_backward(s->dev, s->y + s->rows * OC, s->x, s->weight, s->rows, 0.0F);
    return NULL;
}

/* With a new device, whose libraries' products the first of them makes. */
static void share_weight(const char *backend, enum lorac_compute compute, size_t rows)
{
    struct lorac_device dev;
    pthread_t threads[WORKERS];
    struct sharing at[WORKERS];
    float *x = filled(MANY * OC, 5);
    assert_int_equal(lorac_device_open(&dev, backend, 1, NULL), LORAC_OK);
    if (!dev.ops->lacks(&dev, compute)) {
        struct lorac_weight *weight =
            dev.ops->weight_open(&dev, x, LORAC_F32, OC, C, false, compute);
        assert_non_null(weight);
        for (size_t i = 0; i < WORKERS; i++) {
            at[i] = (struct sharing){&dev, x, weight, rows, filled(MANY * (OC + C), 0)};
        }
        for (size_t i = 0; i < WORKERS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, multiply, &at[i]), 0);
        }
        for (size_t i = 0; i < WORKERS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_memory_equal(at[i].y, at[0].y, rows * (OC + C) * sizeof *at[i].y);
        }
        for (size_t i = 0; i < WORKERS; i++) {
            lorac_mem_free(at[i].y);
        }
        dev.ops->weight_close(&dev, weight);
    }
    lorac_device_close(&dev);
    lorac_mem_free(x);
}

static void threads_share_a_weight(void **state)
{
    for (int c = 0; c < LORAC_N_COMPUTES; c++) {
        share_weight(*state, (enum lorac_compute)c, N);
        share_weight(*state, (enum lorac_compute)c, MANY);
    }
}

/* ---- devices beside each other ---- */

static void devices_do_not_change_each_other(void **state)
{
    struct lorac_device one;
    struct lorac_device two;
    assert_int_equal(lorac_device_open(&one, *state, 1, NULL), LORAC_OK);
    struct work w = work_new(7, &one);
    operate(w.first, &w); // as alone
    assert_int_equal(lorac_device_open(&two, *state, 2, NULL), LORAC_OK);
    operate(w.later, &w);
    assert_memory_equal(w.later, w.first, RESULTS * sizeof *w.first);
    work_on(&w, &two);
    operate(w.first, &w);
    lorac_device_close(&one); // the older first
    operate(w.later, &w);
    assert_memory_equal(w.later, w.first, RESULTS * sizeof *w.first);
    assert_null(repeat(&w));
    pthread_t thread;
    void *result = &w;
    assert_int_equal(pthread_create(&thread, NULL, repeat, &w), 0); // a thread that opened nothing
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_null(result);
    work_free(&w);
    lorac_device_close(&two);
}

static void *start(void *dev)
{
    return lorac_device_start(dev, NULL) ? dev : NULL;
}

static void *measure(void *self)
{
    const struct lorac_device *dev = self;
    return dev->ops->library_bytes(dev) ? NULL : self;
}

static void several_threads_start_a_device(void **state)
{
    struct lorac_device dev;
    pthread_t threads[WORKERS];
    assert_int_equal(lorac_device_outline(&dev, *state, 2, NULL), LORAC_OK);
    assert_true(dev.ops->library_bytes(&dev) > 0);
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, i ? start : measure, &dev), 0);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
    }
    struct work w = work_new(3, &dev);
    operate(w.first, &w);
    assert_null(repeat(&w));
    work_free(&w);
    lorac_device_close(&dev);
    assert_int_equal(lorac_device_outline(&dev, *state, 2, NULL), LORAC_OK);
    lorac_device_close(&dev); // never started
}
#endif

/* ---- passes ---- */

struct passing {
    struct passes *p;
    double want, got[ROUNDS];
};

static void *evaluate(void *self)
{
    struct passing *at = self;
    struct lorac_pass *pass = NULL;
    struct lorac_pass_options o = {.max_rows = PASS_ROWS};
    if (lorac_pass_new(&pass, at->p->m, &at->p->socket, &o, NULL)) { return self; }
    for (size_t i = 0; i < ROUNDS; i++) {
        at->got[i] = passes_run(pass, at->p->g.batch, NULL, false);
    }
    lorac_pass_free(pass);
    return NULL;
}

static void passes_of_several_threads_share_model_and_adapter(void **state)
{
    struct passes p;
    pthread_t threads[WORKERS];
    struct passing at[WORKERS];
    passes_open_on(&p, "llama", *state);
    lorac_adapter_set_dropout(p.a, 0.5,
                              3); // a training adapter: nobody drops, nobody needs its scratch
    struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_NOTHING);
    double want = passes_run(pass, p.g.batch, NULL, false);
    for (size_t i = 0; i < WORKERS; i++) {
        at[i] = (struct passing){.p = &p};
        assert_int_equal(pthread_create(&threads[i], NULL, evaluate, &at[i]), 0);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_null(result);
        for (size_t k = 0; k < ROUNDS; k++) {
            assert_true(at[i].got[k] == want);
        }
    }
    lorac_pass_free(pass);
    passes_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EACH(threads_share_a_device),
        ON_EACH(passes_of_several_threads_share_model_and_adapter),
#ifdef LORAC_HAVE_OPENBLAS
        ON_CPU(without_memory_for_scratch_they_take_turns),
        ON_CPU(threads_share_a_weight),
        ON_CPU(devices_do_not_change_each_other),
        ON_CPU(several_threads_start_a_device),
#endif
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
