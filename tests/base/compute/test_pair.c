/*
 * A product with a weight and a pair of low rank at once. What is promised:
 *   - it is what its parts give one after the other: to the bit in int8, and within roundings of
 *     `ref` in bfloat16 and float32; either direction, with bias and beta, for whole blocks of rows
 *     and ragged ones, on each instruction set;
 *   - where the backend says that it would gain nothing, nothing was written;
 *   - it says so of few rows, of ranks that are not low, and in float32 of narrow weights, of rows
 *     that must not depend on one another and where OpenBLAS is as fast.
 */
#include "base/compute/device.h"
#include "tests/support/devices.h"
#include "tests/support/near.h"
#ifdef LORAC_HAVE_ONEDNN
#    include "base/compute/onednn.h"
#endif

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define U 0x1p-24F

struct shape {
    enum lorac_dtype type;
    enum lorac_compute compute;
    bool turned, back, down; // down: u is made from x
    size_t N, C, OC, R;
    float beta;
};

struct operands {
    struct shape s;
    size_t K, OUT;
    const void *data;
    const float *x, *down, *up, *bias;
    float *u, *y;
};

static struct operands operands_new(const struct shape *s)
{
    size_t K = s->back ? s->OC : s->C;
    size_t OUT = s->back ? s->C : s->OC;
    unsigned char *at = fenced(lorac_dtype_bytes(s->type, s->OC * s->C));
    lorac_dtype_encode(at, scratch(s->OC * s->C, 5), s->type, s->OC * s->C);
    return (struct operands){
        .s = *s,
        .K = K,
        .OUT = OUT,
        .data = at,
        .x = scratch(s->N * K, 1),
        .down = scratch(s->R * K, 2),
        .up = scratch(s->R * OUT, 3),
        .bias = s->back ? NULL : scratch(OUT, 4),
    };
}

static struct lorac_pair pair_of(struct operands *o)
{
    o->u = scratch(o->s.N * o->s.R, 6);
    o->y = scratch(o->s.N * o->OUT, 7);
    return (struct lorac_pair){o->s.R, o->s.down ? o->down : NULL, o->up, o->u, 0.5F};
}

static void run_parts(struct operands *o, struct lorac_device *dev, const struct lorac_weight *w)
{
    const struct lorac_backend *op = dev->ops;
    const struct shape *s = &o->s;
    struct lorac_pair p = pair_of(o);
    float beta = s->beta;
    if (p.down) { op->matmul_nt(dev, o->u, o->x, p.down, s->N, o->K, s->R, 0.5F, 0.0F); }
    if (!s->back) {
        assert_true(beta == 0.0F);
        op->linear(dev, o->y, o->x, w, o->bias, s->N);
        beta = 1.0F;
    }
    op->matmul_nn(dev, o->y, o->u, p.up, s->N, o->OUT, s->R, 1.0F, beta);
    if (s->back) { op->linear_backward(dev, o->y, o->x, w, s->N, 1.0F); }
}

static bool run_at_once(struct operands *o, struct lorac_device *dev, const struct lorac_weight *w)
{
    struct lorac_pair p = pair_of(o);
    if (!dev->ops->linear_pair) { return false; }
    return dev->ops->linear_pair(dev, o->s.back, o->y, o->x, w, o->bias, &p, o->s.N, o->s.beta);
}

static void same(const char *what, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&got[i], &want[i], sizeof *got) == 0) { continue; }
        fail_msg("%s: %zu is %.9g, not %.9g", what, i, (double)got[i], (double)want[i]);
    }
}

static bool computes(struct lorac_device *dev, enum lorac_compute c)
{
    return !dev->ops->lacks(dev, c);
}

/* Whether products of many rows go by blocks. */
static bool has_blocks(struct lorac_device *dev, enum lorac_compute c)
{
    if (c != LORAC_FLOAT32) { return computes(dev, c); }
#ifdef LORAC_HAVE_ONEDNN
    return !dev->by_row && !lorac_onednn_lacks(LORAC_F32);
#else
    return false;
#endif
}

static void check(const struct shape *s)
{
    char what[120];
    snprintf(what, sizeof what, "%s%s%s N %zu C %zu OC %zu R %zu", lorac_compute_name(s->compute),
             s->turned ? " turned" : "", s->back ? " back" : "", s->N, s->C, s->OC, s->R);
    for (size_t i = 1; i < d.n; i++) {
        struct lorac_device *dev = &d.at[i];
        if (!has_blocks(dev, s->compute)) { continue; }
        struct operands got = operands_new(s);
        struct operands want = got;
        struct lorac_device *judge = s->compute == LORAC_INT8 ? dev : &d.at[0];
        run_parts(&want, judge,
                  weight_in(judge, got.data, s->type, s->OC, s->C, s->turned, s->compute));
        assert_true(run_at_once(
            &got, dev, weight_in(dev, got.data, s->type, s->OC, s->C, s->turned, s->compute)));
        if (s->compute == LORAC_INT8) {
            same(what, got.u, want.u, s->N * s->R);
            same(what, got.y, want.y, s->N * got.OUT);
        } else {
            float of_sum = ((float)got.K + 8.0F) * U;
            agree(&d, i, what, got.u, want.u, s->N * s->R, of_sum, 4.0F * U);
            // and sums of R terms of u up, where u is up to K / 6 in size
            agree(&d, i, what, got.y, want.y, s->N * got.OUT, (float)(2 * s->R) * of_sum, 8.0F * U);
        }
        scratch_free();
    }
}

/* For a pair with small weights, on all devices. */
static size_t rows_enough(enum lorac_compute compute)
{
    size_t most = 1;
    for (size_t i = 0; i < d.n; i++) {
        most = (size_t)d.at[i].threads > most ? (size_t)d.at[i].threads : most;
    }
    return (compute == LORAC_INT8 ? 32 : compute == LORAC_BFLOAT16 ? 128 : 256) * most;
}

static void it_is_what_its_parts_are(void **state)
{
    (void)state;
    static const size_t more[] = {0, 1, 45, 63};
    static const size_t ranks[] = {1, 8, 17, 64};
    static const enum lorac_compute computes_in[] = {LORAC_BFLOAT16, LORAC_INT8, LORAC_FLOAT32};
    for (size_t i = 0; i < 48; i++) {
        enum lorac_compute compute = computes_in[i % 3];
        size_t side = compute == LORAC_FLOAT32 ? 90 : 0; // they are narrow below
        struct shape s = {
            .type = i / 3 % 3 ? LORAC_BF16 : LORAC_F32,
            .compute = compute,
            .turned = i / 3 % 2,
            .back = i / 6 % 2,
            .down = i % 5 > 0,
            .N = rows_enough(compute) + more[i / 12 % 4],
            .C = side + (i % 7 ? 64 : 35),
            .OC = side + (i % 11 ? 48 : 77),
            .R = ranks[(i / 3 + i / 24) % 4],
            .beta = i / 6 % 2 && i % 4 ? 1.0F : 0.0F,
        };
        check(&s);
    }
}

static void what_gains_nothing_is_not_computed(void **state)
{
    (void)state;
    size_t enough = rows_enough(LORAC_BFLOAT16);
    const struct shape shapes[] = {
        {LORAC_F32, LORAC_FLOAT32, false, false, true, 2 * enough, 96, 96, 8, 0.0F},
        {LORAC_F32, LORAC_FLOAT32, false, false, true, 120, 196, 196, 8, 0.0F},
        {LORAC_F32, LORAC_FLOAT32, false, false, true, 2 * enough, 196, 196, 65, 0.0F},
        {LORAC_BF16, LORAC_BFLOAT16, false, true, true, 60, 96, 96, 8, 1.0F},
        {LORAC_BF16, LORAC_INT8, false, false, true, 31, 96, 96, 8, 0.0F},
        {LORAC_BF16, LORAC_BFLOAT16, false, true, true, enough, 96, 96, 65, 1.0F},
        {LORAC_BF16, LORAC_INT8, false, false, true, enough, 96, 96, 65, 0.0F},
    };
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        const struct shape *s = &shapes[k];
        for (size_t i = 0; i < d.n; i++) {
            struct lorac_device *dev = &d.at[i];
            if (!computes(dev, s->compute)) { continue; }
            struct operands got = operands_new(s);
            struct operands before = got;
            (void)pair_of(&before);
            assert_false(run_at_once(
                &got, dev, weight_in(dev, got.data, s->type, s->OC, s->C, s->turned, s->compute)));
            same("u", got.u, before.u, s->N * s->R);
            same("y", got.y, before.y, s->N * got.OUT);
            scratch_free();
        }
    }
}

static void rows_by_themselves_do_without(void **state)
{
    (void)state;
    enum { FIRST = 3 };
    struct shape s = {LORAC_BF16, LORAC_FLOAT32, false, false, true, 512, 196, 196, 8, 0.0F};
    float first[FIRST * 196];
    for (size_t i = 1; i < d.n; i++) {
        struct lorac_device *dev = &d.at[i];
        struct operands o = operands_new(&s);
        const struct lorac_weight *w =
            weight_in(dev, o.data, s.type, s.OC, s.C, s.turned, s.compute);
        assert_int_equal(run_at_once(&o, dev, w), has_blocks(dev, LORAC_FLOAT32));
        dev->by_row = true;
        assert_false(run_at_once(&o, dev, w));
        dev->ops->linear(dev, first, o.x, w, NULL, FIRST);
        dev->ops->linear(dev, o.y, o.x, w, NULL, s.N);
        same("y of all rows", o.y, first, FIRST * s.OC);
        dev->by_row = false;
        scratch_free();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_its_parts_are),
        cmocka_unit_test(rows_by_themselves_do_without),
        cmocka_unit_test(what_gains_nothing_is_not_computed),
    };
    return cmocka_run_group_tests(tests, devices_make, devices_free);
}
