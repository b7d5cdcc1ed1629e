/*
 * Products in bfloat16. What is promised:
 *   - on each instruction set they are those of `ref`, which rounds both factors and sums in
 *     double: forward and backward, written and added, for every storage type, aligned or not,
 *     transposed or not, for few rows and for ragged ones, prepared or not;
 *   - they are float32's but for that rounding;
 *   - so are they where there is no memory for a copy of the weight, or for anything else, and
 *     those in float32 that go the same way;
 *   - threads that share a device and a weight get bit for bit what each gets alone;
 *   - what rounds keeps ties, subnormal numbers, infinity and NaN as lorac_dtype_encode() does;
 *   - copies of many weights that are made at once are those of each, for either direction;
 *   - a weight's copies take no more than the plan counts, and not much less;
 *   - the gradients of a whole model are those of `ref` in bfloat16, and near float32's; the same
 *     where its layers are run again;
 *   - of what the way down reads, all that products round is kept in half the memory.
 *
 * Tolerances: u = 2^-24. Sums of n rounded products are those of test_products.c. Rounding to
 * bfloat16 moves each factor by 2^-9 of it at most, so a product by 2^-8 and a little, and a sum by
 * that much of the sum of its terms' magnitudes.
 */
#include "base/core/mem.h"
#include "tests/support/devices.h"
#include "tests/support/faults.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"
#ifdef LORAC_HAVE_OPENBLAS
#    include "base/compute/cpu.h"
#    include "base/compute/onednn.h"
#endif

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define U 0x1p-24F

/* Only ref where the others lack bfloat16. */
static int open_all(void **state)
{
    (void)devices_make(state);
    const char *lacks = d.n > 1 ? d.at[1].ops->lacks(&d.at[1], LORAC_BFLOAT16) : NULL;
    if (lacks) { print_message("skipped: %s\n", lacks); }
    while (lacks && d.n > 1) {
        lorac_device_close(&d.at[--d.n]);
    }
    return 0;
}

static float of_sum(size_t n)
{
    return ((float)n + 8.0F) * U;
}

struct shape {
    enum lorac_dtype type;
    bool turned;
    size_t shift, N, C, OC; // bytes off alignment
    float beta;
};

/* Operands, and what one device makes of them. */
struct product {
    struct shape s;
    const void *data;
    const float *x, *dy, *bias;
    float *y, *dx;
};

static struct product product_new(struct shape s)
{
    size_t block = lorac_dtype_block(s.type);
    s.C = (s.C + block - 1) / block * block;
    s.OC = (s.OC + block - 1) / block * block;
    unsigned char *at = fenced(lorac_dtype_bytes(s.type, s.OC * s.C) + s.shift);
    lorac_dtype_encode(at, scratch(s.OC * s.C, 5), s.type, s.OC * s.C);
    return (struct product){s,
                            at,
                            scratch(s.N * s.C, 1),
                            scratch(s.N * s.OC, 2),
                            s.OC % 2 ? scratch(s.OC, 3) : NULL,
                            NULL,
                            NULL};
}

static void multiply(struct product *p, struct lorac_device *dev, const struct lorac_weight *w)
{
    p->y = scratch(p->s.N * p->s.OC, 6);
    p->dx = scratch(p->s.N * p->s.C, 7);
    dev->ops->linear(dev, p->y, p->x, w, p->bias, p->s.N);
    dev->ops->linear_backward(dev, p->dx, p->dy, w, p->s.N, p->s.beta);
}

static const struct lorac_weight *handle(const struct product *p, struct lorac_device *dev,
                                         enum lorac_compute c)
{
    return weight_in(dev, p->data, p->s.type, p->s.OC, p->s.C, p->s.turned, c);
}

static void agree_both(size_t i, const struct product *got, const struct product *want)
{
    const struct shape *s = &want->s;
    char what[120];
    snprintf(what, sizeof what, "%s%s +%zu N %zu C %zu OC %zu", lorac_dtype_name(s->type),
             s->turned ? " turned" : "", s->shift, s->N, s->C, s->OC);
    agree(&d, i, what, got->y, want->y, s->N * s->OC, of_sum(s->C), 4.0F * U);
    agree(&d, i, what, got->dx, want->dx, s->N * s->C, of_sum(s->OC), 4.0F * U);
}

static void check(struct shape shape)
{
    struct product want = product_new(shape);
    multiply(&want, &d.at[0], handle(&want, &d.at[0], LORAC_BFLOAT16));
    for (size_t i = 1; i < d.n; i++) {
        struct product got = want;
        const struct lorac_weight *w = handle(&got, &d.at[i], LORAC_BFLOAT16);
        multiply(&got, &d.at[i], w);
        agree_both(i, &got, &want);
        d.at[i].ops->weights_prepare(&d.at[i], &w, 1, true);
        multiply(&got, &d.at[i], w);
        agree_both(i, &got, &want);
#ifdef LORAC_HAVE_OPENBLAS
        struct lorac_onednn *o = lorac_cpu(&d.at[i])->onednn;
        lorac_cpu(&d.at[i])->onednn = NULL; // as where it has no memory
        multiply(&got, &d.at[i], w);
        lorac_cpu(&d.at[i])->onednn = o;
        agree_both(i, &got, &want);
#endif
    }
    scratch_free();
}

static void products_are_those_of_ref(void **state)
{
    (void)state;
    static const size_t rows[] = {1, 8, 9, 15, 16, 17, 50};
    static const size_t sizes[] = {1, 17, 64, 130};
    for (int type = 0; type < LORAC_N_DTYPES; type++) {
        if (!lorac_dtype_is_float((enum lorac_dtype)type)) { continue; }
        for (size_t k = 0; k < 7 * 4; k++) {
            size_t n = k % 7;
            size_t c = k % 4;
            for (size_t o = 0; o < 4; o++) {
                struct shape s = {
                    (enum lorac_dtype)type, (n + o) % 2, (c + o) % 2, rows[n], sizes[c], sizes[o],
                    o % 2 ? 1.0F : 0.0F};
                check(s);
            }
        }
        check((struct shape){(enum lorac_dtype)type, false, 0, 20, 64, 64, 0.5F});
    }
    check((struct shape){LORAC_BF16, false, 0, 2000, 48, 40, 1.0F});
    check((struct shape){LORAC_F32, true, 0, 1999, 40, 48, 0.0F});
    check((struct shape){LORAC_BF16, false, 0, 300, 40, 48, 0.5F});
    check((struct shape){LORAC_BF16, false, 0, 20, 70000, 15, 1.0F}); // rows longer than 512 fit
    check((struct shape){LORAC_BF16, true, 1, 20, 15, 70000, 0.0F});
}

static void near_float32(const char *what, const float *got, const float *want, const float *bound,
                         size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (fabsf(got[i] - want[i]) <= 0x1.02p-8F * bound[i] + 64.0F * U) { continue; }
        fail_msg("%s[%zu] is %g, float32 has %g", what, i, (double)got[i], (double)want[i]);
    }
}

static float *magnitudes(const float *x, size_t n)
{
    float *m = scratch(n, 0);
    for (size_t i = 0; i < n; i++) {
        m[i] = fabsf(x[i]);
    }
    return m;
}

static void they_are_float32s_but_for_rounding(void **state)
{
    (void)state;
    for (size_t i = 0; i < d.n; i++) {
        struct product p = product_new((struct shape){LORAC_F32, false, 0, 40, 130, 70, 0.0F});
        struct product sums = p; // of the terms' magnitudes
        struct product single = p;
        sums.x = magnitudes(p.x, p.s.N * p.s.C);
        sums.dy = magnitudes(p.dy, p.s.N * p.s.OC);
        sums.data = magnitudes(p.data, p.s.OC * p.s.C);
        multiply(&single, &d.at[0], handle(&single, &d.at[0], LORAC_FLOAT32));
        multiply(&sums, &d.at[0], handle(&sums, &d.at[0], LORAC_FLOAT32));
        multiply(&p, &d.at[i], handle(&p, &d.at[i], LORAC_BFLOAT16));
        near_float32("y", p.y, single.y, sums.y, p.s.N * p.s.OC);
        near_float32("dx", p.dx, single.dx, sums.dx, p.s.N * p.s.C);
        scratch_free();
    }
}

/* The n-th allocation fails: in opening, that is said; in a product, the way without is exact. */
static void want_of_memory_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        enum lorac_dtype type;
        enum lorac_compute compute;
        size_t rows, side;
        long least; // allocations: handle, products, copies, scratch
    } cases[] = {
        {LORAC_F32, LORAC_BFLOAT16, 40, 64, 8},   {LORAC_BF16, LORAC_BFLOAT16, 40, 64, 4},
        {LORAC_F32, LORAC_BFLOAT16, 300, 64, 8}, // by blocks
        {LORAC_BF16, LORAC_FLOAT32, 530, 136, 4}, {LORAC_F16, LORAC_FLOAT32, 530, 136, 4},
    };
    for (size_t t = 0; t < sizeof cases / sizeof *cases && d.n > 1; t++) {
        enum lorac_compute compute = cases[t].compute;
        size_t side = cases[t].side;
        struct product want =
            product_new((struct shape){cases[t].type, false, 0, cases[t].rows, side, side, 1.0F});
        multiply(&want, &d.at[0], handle(&want, &d.at[0], compute));
        long n = 0;
        for (bool met = true; met; n++) {
            struct lorac_device dev;
            struct product got = want;
            assert_int_equal(lorac_device_open(&dev, NULL, 2, NULL), LORAC_OK);
            got.y = scratch(want.s.N * side, 6);
            got.dx = scratch(want.s.N * side, 7);
            faults_start(FAULTS_MEMORY, n);
            struct lorac_weight *w =
                dev.ops->weight_open(&dev, want.data, want.s.type, side, side, false, compute);
            if (w) {
                dev.ops->linear(&dev, got.y, got.x, w, got.bias, got.s.N);
                dev.ops->linear_backward(&dev, got.dx, got.dy, w, got.s.N, 1.0F);
            }
            met = faults_stop();
            assert_true(met || w);
            if (w) { agree_both(1, &got, &want); }
            dev.ops->weight_close(&dev, w);
            lorac_device_close(&dev);
        }
        assert_true(n > cases[t].least);
        scratch_free();
    }
}

/* ---- threads ---- */

enum { WORKERS = 4 };
struct worker {
    struct product p;
    struct lorac_device *dev;
    const struct lorac_weight *w;
};

static void *work(void *arg)
{
    struct worker *k = arg;
    for (size_t i = 0; i < 3; i++) {
        k->dev->ops->linear(k->dev, k->p.y, k->p.x, k->w, NULL, k->p.s.N);
        k->dev->ops->linear_backward(k->dev, k->p.dx, k->p.dy, k->w, k->p.s.N, 0.0F);
    }
    return NULL;
}

static void threads_get_what_each_gets_alone(void **state)
{
    (void)state;
    if (d.n < 2) { skip(); }
    struct lorac_device *dev = &d.at[1];
    struct worker k[WORKERS];
    float *alone[2 * WORKERS];
    pthread_t thread[WORKERS];
    for (int round = 0; round < 2; round++) {
        const struct lorac_weight *w = NULL; // one for all, whose copies the first of them makes
        for (size_t i = 0; i < WORKERS; i++) {
            struct shape s = {LORAC_F32, false, 0, 60 + 7 * i, 96, 80, 0.0F};
            k[i] = (struct worker){.p = product_new(s), .dev = dev};
            if (!w) { w = handle(&k[0].p, dev, LORAC_BFLOAT16); }
            k[i].w = w;
            k[i].p.y = scratch(s.N * s.OC, 6);
            k[i].p.dx = scratch(s.N * s.C, 7);
            if (round == 0) { (void)work(&k[i]); }
        }
        for (size_t i = 0; i < WORKERS && round; i++) {
            assert_int_equal(pthread_create(&thread[i], NULL, work, &k[i]), 0);
        }
        for (size_t i = 0; i < WORKERS && round; i++) {
            assert_int_equal(pthread_join(thread[i], NULL), 0);
        }
        for (size_t i = 0; i < WORKERS; i++) {
            const struct shape *s = &k[i].p.s;
            if (round == 0) {
                alone[2 * i] = k[i].p.y;
                alone[2 * i + 1] = k[i].p.dx;
                continue;
            }
            assert_memory_equal(k[i].p.y, alone[2 * i], s->N * s->OC * sizeof(float));
            assert_memory_equal(k[i].p.dx, alone[2 * i + 1], s->N * s->C * sizeof(float));
        }
    }
    scratch_free();
}

/* ---- rounding ---- */

static void rounding_is_that_of_storage(void **state)
{
    (void)state;
    enum { N = 40000 + 7 }; // of several pieces
    float *x = scratch(N, 1);
    static const uint32_t odd[] = {0x3F808000, 0x3F818000, 0x3F807FFF, 0x7F7FFFFF, 0x7F800000,
                                   0xFF800000, 0x7F800001, 0xFFFFFFFF, 0x00008000, 0x00018000,
                                   0x80000001, 0x00000000, 0x7FC00000, 0x3F808001};
    memcpy(x, odd, sizeof odd);
    memcpy(x + N - 7, odd + 3, 7 * sizeof *odd); // in the tail, too
    uint16_t *want = fenced(N * sizeof *want);
    float *rounded = scratch(N, 2);
    lorac_dtype_encode(want, x, LORAC_BF16, N);
    lorac_dtype_decode(rounded, want, LORAC_BF16, N);
    for (size_t i = 0; i < d.n; i++) {
        struct lorac_device *dev = &d.at[i];
        uint16_t *half = fenced(N * sizeof *half);
        float *single = scratch(N, 3);
        dev->ops->to_bf16(dev, half, x, N);
        dev->ops->from_bf16(dev, single, half, N);
        assert_memory_equal(half, want, N * sizeof *half);
        assert_memory_equal(single, rounded, N * sizeof *single);
#ifdef LORAC_HAVE_OPENBLAS
        float *same = scratch(N, 4);
        if (i > 0) {
            lorac_cpu(dev)->kernels->round_bf16(same, x, N);
            assert_memory_equal(same, rounded, N * sizeof *same);
        }
#endif
    }
    scratch_free();
}

/* ---- whole models ---- */

static float *gradients(float *loss, const char *name, const char *backend, enum lorac_compute c,
                        size_t *n)
{
    struct passes p;
    struct lorac_device dev;
    assert_int_equal(lorac_device_open(&dev, backend, 1, NULL), LORAC_OK);
    passes_open_in(&p, name, dev, c);
    struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_ALL);
    *loss = (float)passes_run(pass, p.g.batch, NULL, true);
    *n = p.a->n_params;
    float *g = passes_take(&p);
    lorac_pass_free(pass);
    passes_close(&p);
    return g;
}

/* A factor that differs by a rounding of float32 may be rounded the other way: 2^-8 of one term of
 * a sum, seldom. Against float32 every factor of every layer moves by up to 2^-9, at random. */
static void gradients_of_models_agree(void **state)
{
    (void)state;
    static const char *const cases[] = {"llama", "gpt2", "gemma3", "qwen3-tied", "neox"};
    for (size_t i = 0; i < 5 && d.n > 1; i++) {
        float loss[3];
        size_t n = 0;
        float *want = gradients(&loss[0], cases[i], "ref", LORAC_BFLOAT16, &n);
        float *got = gradients(&loss[1], cases[i], "cpu", LORAC_BFLOAT16, &n);
        float *single = gradients(&loss[2], cases[i], "ref", LORAC_FLOAT32, &n);
        float largest = golden_largest(want, n);
        near_all(cases[i], got, want, n, 0x1p-7F * largest, 0.0F);
        near_all(cases[i], got, single, n, 0x1p-4F * largest, 0.0F);
        near_all(cases[i], &loss[1], &loss[0], 1, 0.0F, 0x1p-10F);
        near_all(cases[i], &loss[1], &loss[2], 1, 0.0F, 0x1p-7F);
        lorac_mem_free(want);
        lorac_mem_free(got);
        lorac_mem_free(single);
    }
}

/* What the way down reads rounded is what was kept, of each layer and of each layer run again. */
static void recomputed_layers_give_the_same_bits(void **state)
{
    (void)state;
    static const char *const cases[] = {"llama", "gpt2", "neox", "gemma3", "qwen3"};
    for (size_t i = 0; i < 5; i++) {
        struct passes p;
        struct lorac_device dev;
        float *got[2];
        assert_int_equal(lorac_device_open(&dev, d.n > 1 ? "cpu" : "ref", 1, NULL), LORAC_OK);
        passes_open_in(&p, cases[i], dev, LORAC_BFLOAT16);
        for (int layers = 0; layers < 2; layers++) {
            struct lorac_pass *pass = passes_new(&p, layers ? LORAC_KEEP_LAYERS : LORAC_KEEP_ALL);
            (void)passes_run(pass, p.g.batch, NULL, true);
            got[layers] = passes_take(&p);
            lorac_pass_free(pass);
        }
        assert_true(golden_largest(got[0], p.a->n_params) > 0.0F);
        assert_memory_equal(got[0], got[1], p.a->n_params * sizeof(float));
        lorac_mem_free(got[0]);
        lorac_mem_free(got[1]);
        passes_close(&p);
    }
}

/* Bytes that the layers keep beyond those of one. */
static size_t kept_bytes(const char *name, enum lorac_compute c, struct lorac_config *config)
{
    struct passes p;
    struct lorac_device dev;
    size_t bytes[2];
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    passes_open_in(&p, name, dev, c);
    *config = p.m->config;
    for (int layers = 0; layers < 2; layers++) {
        struct lorac_pass_options o = {.max_rows = PASS_ROWS,
                                       .keep = layers ? LORAC_KEEP_LAYERS : LORAC_KEEP_ALL};
        assert_int_equal(lorac_pass_measure(&bytes[layers], p.m, &p.socket, &o, NULL), LORAC_OK);
    }
    passes_close(&p);
    return bytes[0] - bytes[1];
}

static void what_products_round_is_kept_in_half(void **state)
{
    (void)state;
    struct lorac_config c;
    size_t half = kept_bytes("llama", LORAC_BFLOAT16, &c);
    size_t whole = kept_bytes("llama", LORAC_FLOAT32, &c);
    assert_int_equal(whole - half, (c.L - 1) * PASS_ROWS * (c.H * c.D + 2 * c.F) * 2);
}

/* Copies are there once they were prepared: what is stored may change then, and nobody sees it. */
static void many_are_prepared_at_once(void **state)
{
    (void)state;
    enum { MANY = 7, ROWS = 2 * 64 * 2 }; // rows enough for blocks of all threads
    static const size_t sizes[][2] = {{64, 96}, {96, 64}, {400, 300}, {70, 100}}; // one large
    for (size_t i = 1; i < d.n; i++) {
        for (int c = LORAC_BFLOAT16; c <= LORAC_INT8; c++) {
            struct product p[MANY];
            float *want[MANY];
            const struct lorac_weight *w[MANY];
            for (size_t k = 0; k < MANY; k++) {
                const size_t *size = sizes[k % 4];
                p[k] =
                    product_new((struct shape){LORAC_BF16, k % 2, 0, ROWS, size[0], size[1], 0.0F});
                w[k] = handle(&p[k], &d.at[i], (enum lorac_compute)c);
                d.at[i].ops->weights_prepare(&d.at[i], &w[k], 1, true);
                multiply(&p[k], &d.at[i], w[k]);
                want[k] = p[k].dx;
                w[k] = handle(&p[k], &d.at[i], (enum lorac_compute)c);
            }
            d.at[i].ops->weights_prepare(&d.at[i], w, MANY, true);
            for (size_t k = 0; k < MANY; k++) {
                const struct shape *s = &p[k].s;
                const float *y = p[k].y;
                memset((void *)(uintptr_t)p[k].data, 0, lorac_dtype_bytes(s->type, s->OC * s->C));
                multiply(&p[k], &d.at[i], w[k]);
                assert_memory_equal(p[k].y, y, s->N * s->OC * sizeof *y);
                assert_memory_equal(p[k].dx, want[k], s->N * s->C * sizeof *y);
            }
            scratch_free();
        }
    }
}

static void copies_take_what_is_counted(void **state)
{
    (void)state;
#ifdef LORAC_HAVE_ONEDNN
    static const size_t sizes[][2] = {{576, 576}, {192, 576}, {1536, 576}, {100, 70}, {4099, 24}};
    struct lorac_onednn *o = lorac_onednn_new(1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && o; i++) {
        size_t OC = sizes[i][0];
        size_t C = sizes[i][1];
        size_t takes = 0;
        for (int back = 0; back < 2; back++) {
            takes += lorac_onednn_packed_bytes(o, LORAC_BF16, back ? OC : C, back ? C : OC);
            size_t counted =
                lorac_backend_cpu.weight_bytes(NULL, LORAC_F32, OC, C, LORAC_BFLOAT16, back);
            assert_in_range(takes, counted / 4, counted);
        }
    }
    lorac_onednn_free(o);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_those_of_ref),
        cmocka_unit_test(they_are_float32s_but_for_rounding),
        cmocka_unit_test(want_of_memory_changes_nothing),
        cmocka_unit_test(threads_get_what_each_gets_alone),
        cmocka_unit_test(rounding_is_that_of_storage),
        cmocka_unit_test(many_are_prepared_at_once),
        cmocka_unit_test(copies_take_what_is_counted),
        cmocka_unit_test(gradients_of_models_agree),
        cmocka_unit_test(recomputed_layers_give_the_same_bits),
        cmocka_unit_test(what_products_round_is_kept_in_half),
    };
    return cmocka_run_group_tests_name("bf16", tests, open_all, devices_free);
}
