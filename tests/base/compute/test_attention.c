/*
 * Attention. What is promised:
 *   - the cpu backend agrees with `ref`, forward and backward, on each instruction set: grouped
 *     heads, segments that continue each other (chains of three and the longest, two children of
 *     one parent, single rows), cached rows, windows, without causality, head sizes around whole
 *     vectors, heads too large for its blocks;
 *   - its result does not depend on the number of threads;
 *   - where some rows alone are queries, both give what they give those rows of all, and keys and
 *     values get their share of these alone;
 *   - ref's backward is the derivative of its forward (central differences).
 *
 * Tolerances, u = 2^-24: out is a mean of values in [-1,1) with weights that sum to 1. A score (at
 * most 8 here) and the exponential of its difference to the maximum carry an error of about 16 u
 * each, the block sums a few u more: 32 u. A gradient of k or v sums that over all rows that see
 * it.
 */
#include "base/compute/device.h"
#include "tests/support/devices.h"
#include "tests/support/near.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define U 0x1p-24F

enum { CACHE_ROWS = 1100, SLOTS = 3 };

/* A tree of depth three with forks, the last of them behind others: a sequence of one row. */
static const struct lorac_segment tree[] = {
    {.row = 0, .n = 70, .parent = -1},
    {.row = 70, .n = 3, .parent = 0, .position = 70},
    {.row = 73, .n = 66, .parent = 1, .position = 73},
    {.row = 139, .n = 1, .parent = 0, .position = 70},
    {.row = 140, .n = 1, .parent = -1},
    {.row = 141, .n = 66, .parent = -1},
    {.row = 207, .n = 2, .parent = 3, .position = 71},
};
/* The same with cached rows before it: a decoding step, a prompt that goes on, a long past. */
static const struct lorac_segment cached[] = {
    {.row = 0, .n = 1, .parent = -1, .cached = CACHE_ROWS, .past = 130, .position = 130},
    {.row = 1, .n = 9, .parent = -1, .past = 5, .position = 5},
    {.row = 10, .n = 2, .parent = 1, .position = 14},
    {.row = 12, .n = 3, .parent = -1},
    {.row = 15, .n = 1, .parent = -1, .cached = 2 * CACHE_ROWS, .past = 1100, .position = 1100},
    {.row = 16, .n = 70, .parent = -1, .cached = CACHE_ROWS, .past = 64, .position = 64},
};
/* Rows that lie in several places of the cache continue each other, and rows of the batch them. */
static const struct lorac_segment scattered[] = {
    {.parent = -1, .cached = 40, .past = 70, .position = 70},
    {.parent = 0, .cached = CACHE_ROWS, .past = 5, .position = 75},
    {.row = 0, .n = 3, .parent = 1, .position = 75},
    {.row = 3, .n = 66, .parent = 2, .cached = 7, .past = 2, .position = 80},
    {.row = 69, .n = 1, .parent = 1, .cached = 9, .past = 1, .position = 76},
    {.row = 70, .n = 2, .parent = 0, .position = 70},
};
static const struct lorac_segment small[] = {
    {.row = 0, .n = 3, .parent = -1},
    {.row = 3, .n = 2, .parent = 0, .position = 3},
    {.row = 5, .n = 1, .parent = 1, .position = 5},
    {.row = 6, .n = 2, .parent = 0, .position = 3},
};

/* out: the longest chain that a batch may hold, of segments with 1, 2, 3, 1, ... rows behind `past`
 * cached ones. */
static void chain_of_all(struct lorac_segment out[LORAC_MAX_CHAIN], uint32_t past)
{
    uint32_t row = 0;
    for (int32_t s = 0; s < LORAC_MAX_CHAIN; s++) {
        out[s] = (struct lorac_segment){.row = row,
                                        .n = 1 + (uint32_t)s % 3,
                                        .parent = s - 1,
                                        .cached = CACHE_ROWS,
                                        .past = s ? 0 : past,
                                        .position = past + row};
        row += out[s].n;
    }
}

static size_t rows_of(const struct lorac_segment *segments, size_t S)
{
    return segments[S - 1].row + segments[S - 1].n;
}

static void check_forward(const struct lorac_segment *segments, size_t S,
                          const struct lorac_attention *a)
{
    size_t N = rows_of(segments, S);
    size_t cache = (size_t)SLOTS * CACHE_ROWS * a->G * a->D;
    const float *q = scratch(N * a->H * a->D, 1);
    const float *k = scratch(N * a->G * a->D, 2);
    const float *v = scratch(N * a->G * a->D, 3);
    const float *ck = segments[0].past > 0 ? scratch(cache, 4) : NULL;
    const float *cv = segments[0].past > 0 ? scratch(cache, 5) : NULL;
    const float *want[2] = {NULL};
    char what[100];
    snprintf(what, sizeof what, "S %zu H %zu G %zu D %zu window %zu causal %d", S, a->H, a->G, a->D,
             a->window, a->causal);
    for (size_t i = 0; i < d.n; i++) {
        float *out = scratch(N * a->H * a->D, 6);
        float *lse = scratch(N * a->H, 7);
        d.at[i].ops->attention(&d.at[i], out, lse, q, k, v, ck, cv, segments, S, a);
        if (i == 0) {
            want[0] = out;
            want[1] = lse;
        }
        agree(&d, i, what, out, want[0], N * a->H * a->D, 32.0F * U, 0.0F);
        agree(&d, i, what, lse, want[1], N * a->H, 32.0F * U, 4.0F * U);
        if (i > 1 && i == d.n - 1) { // one thread; its neighbour has the same kernels and two
            float *two = scratch(N * a->H * a->D, 6);
            d.at[i - 1].ops->attention(&d.at[i - 1], two, lse, q, k, v, ck, cv, segments, S, a);
            assert_memory_equal(out, two, N * a->H * a->D * sizeof *out);
        }
    }
    scratch_free();
}

static void check_backward(const struct lorac_segment *segments, size_t S,
                           const struct lorac_attention *a)
{
    size_t N = rows_of(segments, S);
    size_t nq = N * a->H * a->D;
    size_t nk = N * a->G * a->D;
    const float *q = scratch(nq, 1);
    const float *k = scratch(nk, 2);
    const float *v = scratch(nk, 3);
    const float *dout = scratch(nq, 4);
    float *out = scratch(nq, 5);
    float *lse = scratch(N * a->H, 6);
    const float *want[3] = {NULL};
    char what[100];
    snprintf(what, sizeof what, "S %zu H %zu G %zu D %zu window %zu causal %d", S, a->H, a->G, a->D,
             a->window, a->causal);
    d.at[0].ops->attention(&d.at[0], out, lse, q, k, v, NULL, NULL, segments, S, a);
    for (size_t i = 0; i < d.n; i++) {
        float *dq = scratch(nq, 7);
        float *dk = scratch(nk, 8);
        float *dv = scratch(nk, 9);
        d.at[i].ops->attention_backward(&d.at[i], dq, dk, dv, dout, out, lse, q, k, v, segments, S,
                                        a);
        if (i == 0) {
            want[0] = dq;
            want[1] = dk;
            want[2] = dv;
        }
        float sum = (float)a->H / (float)a->G * 32.0F * U; // the first rows' weights sum to a few
        agree(&d, i, what, dq, want[0], nq, 64.0F * U, 8.0F * U);
        agree(&d, i, what, dk, want[1], nk, 4.0F * sum, 8.0F * U);
        agree(&d, i, what, dv, want[2], nk, 4.0F * sum, 8.0F * U);
        if (i > 1 && i == d.n - 1) {
            float *two = scratch(nk, 8);
            d.at[i - 1].ops->attention_backward(&d.at[i - 1], dq, two, dv, dout, out, lse, q, k, v,
                                                segments, S, a);
            assert_memory_equal(dk, two, nk * sizeof *dk);
        }
    }
    scratch_free();
}

static struct lorac_attention attention(size_t H, size_t G, size_t D, size_t window, bool causal)
{
    return (struct lorac_attention){.H = H,
                                    .G = G,
                                    .D = D,
                                    .scale = 4.0F / sqrtf((float)D),
                                    .window = window,
                                    .causal = causal};
}

static const size_t head_sizes[] = {8, 12, 64, 80, 128};

static void head_sizes_agree(void **state)
{
    (void)state;
    for (size_t s = 0; s < 5; s++) {
        struct lorac_attention a = attention(2, 1, head_sizes[s], 0, true);
        size_t S = a.D < 64 ? 6 : 2; // ref takes D^2 steps for each pair of rows
        check_forward(tree, S, &a);
        check_forward(cached, S, &a);
        check_backward(tree, S, &a);
    }
}

static void groups_agree(void **state)
{
    (void)state;
    static const size_t heads[][2] = {{1, 1}, {3, 3}, {3, 1}, {6, 2}, {9, 1}};
    for (size_t s = 0; s < 5; s++) {
        struct lorac_attention a = attention(heads[s][0], heads[s][1], 8, 0, true);
        check_forward(tree, 6, &a);
        check_forward(cached, 6, &a);
        check_forward(scattered, 6, &a);
        check_backward(tree, 6, &a);
    }
}

static void windows_agree(void **state)
{
    (void)state;
    static const size_t windows[] = {1, 2, 63, 64, 65, 100};
    for (size_t s = 0; s < 6; s++) {
        struct lorac_attention a = attention(2, 1, 8, windows[s], true);
        check_forward(tree, 6, &a);
        check_forward(cached, 6, &a);
        check_forward(scattered, 6, &a);
        check_backward(tree, 6, &a);
    }
}

static void attention_without_causality_agrees(void **state)
{
    (void)state;
    static const size_t windows[] = {0, 1, 3, 64, 65};
    for (size_t s = 0; s < 5; s++) {
        struct lorac_attention a = attention(2, 1, 8, windows[s], false);
        check_forward(tree, 6, &a);
        check_forward(cached, 6, &a);
        check_forward(scattered, 6, &a);
        check_backward(tree, 6, &a);
    }
}

/* Each row is its own key's value in one number of a head: what it sees is what it holds. */
static void a_window_without_causality_reaches_to_both_sides(void **state)
{
    (void)state;
    enum { N = 9, WIDTH = 16, WINDOW = 3 };
    static const struct lorac_segment one[] = {{.row = 0, .n = N, .parent = -1}};
    const struct lorac_attention a = {.H = 1, .G = 1, .D = WIDTH, .scale = 1.0F, .window = WINDOW};
    float q[N * WIDTH] = {0};
    float v[N * WIDTH] = {0};
    for (size_t n = 0; n < N; n++) {
        v[n * WIDTH + n] = 1.0F;
    }
    for (size_t i = 0; i < d.n; i++) {
        float *out = scratch(N * WIDTH, 6);
        float *lse = scratch(N, 7);
        d.at[i].ops->attention(&d.at[i], out, lse, q, q, v, NULL, NULL, one, 1, &a);
        for (size_t n = 0; n < N; n++) {
            for (size_t j = 0; j < N; j++) {
                bool near = (n > j ? n - j : j - n) < WINDOW;
                assert_int_equal(out[n * WIDTH + j] > 0.0F, near);
            }
        }
    }
    scratch_free();
}

/* A decoding step of several sequences, of which one has a long past. First, while the devices'
 * scratch is small. */
static void a_step_behind_a_long_and_a_short_past_agrees(void **state)
{
    (void)state;
    static const struct lorac_segment step[] = {
        {.row = 0, .n = 1, .parent = -1, .cached = CACHE_ROWS, .past = 3, .position = 3},
        {.row = 1, .n = 1, .parent = -1, .past = CACHE_ROWS, .position = CACHE_ROWS},
        {.row = 2,
         .n = 1,
         .parent = -1,
         .cached = 2 * CACHE_ROWS,
         .past = CACHE_ROWS,
         .position = CACHE_ROWS},
    };
    struct lorac_attention a = attention(4, 4, 8, 0, true);
    check_forward(step, 2, &a);
    check_forward(step, 3, &a);
    check_forward(step, 1, &a);
    check_forward(step, 3, &a);
}

static void the_longest_chain_agrees(void **state)
{
    (void)state;
    static const uint32_t pasts[] = {0, 1, 130, CACHE_ROWS};
    static const size_t windows[] = {0, 7};
    for (size_t i = 0; i < 8; i++) {
        struct lorac_segment chain[LORAC_MAX_CHAIN];
        struct lorac_attention a = attention(2, 1, 8, windows[i % 2], true);
        chain_of_all(chain, pasts[i / 2]);
        check_forward(chain, LORAC_MAX_CHAIN, &a);
        if (i < 2) { check_backward(chain, LORAC_MAX_CHAIN, &a); }
    }
}

/* Backward they are made in pieces: one and two of them, in a single segment and along a tree. */
static void long_segments_agree(void **state)
{
    (void)state;
    static const struct lorac_segment whole[] = {{.row = 0, .n = 20, .parent = -1},
                                                 {.row = 20, .n = 1030, .parent = -1},
                                                 {.row = 1050, .n = 512, .parent = -1}};
    static const struct lorac_segment grown[] = {
        {.row = 0, .n = 400, .parent = -1},
        {.row = 400, .n = 300, .parent = 0, .position = 400},
        {.row = 700, .n = 40, .parent = -1},
        {.row = 740, .n = 350, .parent = 0, .position = 400},
    };
    for (size_t window = 0; window < 700; window += 600) {
        const struct lorac_attention a = {
            .H = 3, .G = 1, .D = 8, .scale = 0.5F, .window = window, .causal = true};
        check_backward(whole, sizeof whole / sizeof *whole, &a);
        check_backward(grown, sizeof grown / sizeof *grown, &a);
    }
}

static void heads_larger_than_a_block_agree(void **state)
{
    (void)state;
    struct lorac_attention wide = attention(1, 1, 260, 0, true);
    check_forward(small, 4, &wide);
    check_backward(small, 4, &wide);
    struct lorac_attention many = attention(65, 1, 8, 0, true);
    check_forward(small, 4, &many);
    check_backward(small, 4, &many);
}

/* ---- some rows alone ---- */

/* to (Q,width) = those rows of x; with `back` x's other rows become zero. */
static float *rows_picked(float *x, size_t N, const uint32_t *rows, size_t Q, size_t width,
                          bool back)
{
    float *to = scratch(Q * width + 1, 9); // room for none
    size_t u = 0;
    for (size_t n = 0; n < N; n++) {
        bool picked = u < Q && rows[u] == n;
        if (picked) { memcpy(to + u++ * width, x + n * width, width * sizeof *x); }
        if (!picked && back) { memset(x + n * width, 0, width * sizeof *x); }
    }
    assert_int_equal(u, Q);
    return to;
}

static void check_picked(const struct lorac_segment *segments, size_t S,
                         const struct lorac_attention *all, const uint32_t *rows, size_t Q)
{
    size_t N = rows_of(segments, S);
    size_t width = all->H * all->D;
    size_t nk = N * all->G * all->D;
    size_t cache = (size_t)SLOTS * CACHE_ROWS * all->G * all->D;
    bool past = segments[0].past > 0;
    struct lorac_attention a = *all;
    a.queries = rows;
    a.Q = Q;
    float *q = scratch(N * width, 1);
    const float *k = scratch(nk, 2);
    const float *v = scratch(nk, 3);
    const float *ck = past ? scratch(cache, 4) : NULL;
    const float *cv = past ? scratch(cache, 5) : NULL;
    float *dout = scratch(N * width, 6);
    float *of_all[] = {scratch(N * width, 7), scratch(N * a.H, 7)}; // out, lse
    float *d_all[] = {scratch(N * width, 8), scratch(nk, 8), scratch(nk, 8)};
    char what[100];
    snprintf(what, sizeof what, "S %zu, %zu of %zu rows, window %zu", S, Q, N, a.window);
    d.at[0].ops->attention(&d.at[0], of_all[0], of_all[1], q, k, v, ck, cv, segments, S, all);
    const float *some_q = rows_picked(q, N, rows, Q, width, false);
    const float *some_dout = rows_picked(dout, N, rows, Q, width, true);
    const float *want[] = {rows_picked(of_all[0], N, rows, Q, width, false),
                           rows_picked(of_all[1], N, rows, Q, a.H, false)};
    for (size_t i = 0; i < d.n; i++) {
        float *out = scratch(Q * width + 1, 10);
        float *lse = scratch(Q * a.H + 1, 11);
        d.at[i].ops->attention(&d.at[i], out, lse, some_q, k, v, ck, cv, segments, S, &a);
        agree(&d, i, what, out, want[0], Q * width, 32.0F * U, 0.0F);
        agree(&d, i, what, lse, want[1], Q * a.H, 32.0F * U, 4.0F * U);
    }
    if (!past) {
        d.at[0].ops->attention_backward(&d.at[0], d_all[0], d_all[1], d_all[2], dout, of_all[0],
                                        of_all[1], q, k, v, segments, S, all);
    }
    const float *want_dq = rows_picked(d_all[0], N, rows, Q, width, false);
    for (size_t i = 0; i < d.n && !past; i++) {
        float *dq = scratch(Q * width + 1, 12);
        float *dk = scratch(nk, 13);
        float *dv = scratch(nk, 14);
        float sum = (float)a.H / (float)a.G * 32.0F * U;
        d.at[i].ops->attention_backward(&d.at[i], dq, dk, dv, some_dout, want[0], want[1], some_q,
                                        k, v, segments, S, &a);
        agree(&d, i, what, dq, want_dq, Q * width, 64.0F * U, 8.0F * U);
        agree(&d, i, what, dk, d_all[1], nk, 4.0F * sum, 8.0F * U);
        agree(&d, i, what, dv, d_all[2], nk, 4.0F * sum, 8.0F * U);
    }
    scratch_free();
}

/* Each step-th row from `from` on: scattered ones, the last alone, those of the last segments, none
 * at all. */
static void some_rows_are_as_they_are_among_all(void **state)
{
    (void)state;
    static const struct lorac_segment long_ones[] = {{.row = 0, .n = 1100, .parent = -1},
                                                     {.row = 1100, .n = 9, .parent = -1}};
    // its queries are cut where gradients go down
    static const struct lorac_segment behind[] = {
        {.row = 0, .n = 540, .parent = -1}, {.row = 540, .n = 540, .parent = 0, .position = 540}};
    static const struct {
        const struct lorac_segment *segments;
        size_t S;
    } batches[] = {{tree, 7}, {cached, 6}, {scattered, 6}, {long_ones, 2}, {behind, 2}};
    for (size_t i = 0; i < 5 * 4 * 3; i++) {
        const struct lorac_segment *segments = batches[i % 5].segments;
        size_t S = batches[i % 5].S;
        size_t N = rows_of(segments, S);
        const size_t picks[][2] = {{0, 3}, {N - 1, 1}, {N / 2, 1}, {N, 1}}; // from, step
        uint32_t rows[1200];
        size_t Q = 0;
        for (size_t n = picks[i / 5 % 4][0]; n < N; n += picks[i / 5 % 4][1]) {
            rows[Q++] = (uint32_t)n;
        }
        if (segments == long_ones && Q > 1) { continue; } // long enough for ref
        struct lorac_attention a = attention(2, 1, 8, i / 20 == 1 ? 65 : 0, i / 20 < 2);
        check_picked(segments, S, &a, rows, Q);
    }
}

/* ---- finite differences of ref ---- */

enum { SMALL_S = 4, SMALL_N = 8, H = 4, G = 2, D = 3, NQ = SMALL_N * H * D, NK = SMALL_N * G * D };

struct scene {
    float q[NQ], k[NK], v[NK], dout[NQ], out[NQ], lse[SMALL_N * H];
    struct lorac_attention a;
};

static double loss(void *context) // sum dout out
{
    struct scene *s = context;
    d.at[0].ops->attention(&d.at[0], s->out, s->lse, s->q, s->k, s->v, NULL, NULL, small, SMALL_S,
                           &s->a);
    double sum = 0.0;
    for (size_t i = 0; i < NQ; i++) {
        sum += (double)s->dout[i] * (double)s->out[i];
    }
    return sum;
}

static void backward_is_the_derivative(void **state)
{
    (void)state;
    static const size_t windows[] = {0, 3, 0, 2};
    for (size_t w = 0; w < 4; w++) {
        struct scene s = {.a = attention(H, G, D, windows[w], w < 2)};
        s.a.scale = 0.7F;
        fill(s.q, NQ, 1);
        fill(s.k, NK, 2);
        fill(s.v, NK, 3);
        fill(s.dout, NQ, 4);
        float dq[NQ];
        float dk[NK];
        float dv[NK];
        loss(&s);
        d.at[0].ops->attention_backward(&d.at[0], dq, dk, dv, s.dout, s.out, s.lse, s.q, s.k, s.v,
                                        small, SMALL_S, &s.a);
        // h^2 / 6 times a third derivative of order 1, and sqrt(96) u / h of rounding: both < 1e-4
        near_gradient("dq", loss, &s, s.q, dq, NQ, 2e-4, 0.0);
        near_gradient("dk", loss, &s, s.k, dk, NK, 2e-4, 0.0);
        near_gradient("dv", loss, &s, s.v, dv, NK, 2e-4, 0.0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_behind_a_long_and_a_short_past_agrees),
        cmocka_unit_test(head_sizes_agree),
        cmocka_unit_test(groups_agree),
        cmocka_unit_test(windows_agree),
        cmocka_unit_test(attention_without_causality_agrees),
        cmocka_unit_test(a_window_without_causality_reaches_to_both_sides),
        cmocka_unit_test(the_longest_chain_agrees),
        cmocka_unit_test(long_segments_agree),
        cmocka_unit_test(heads_larger_than_a_block_agree),
        cmocka_unit_test(some_rows_are_as_they_are_among_all),
        cmocka_unit_test(backward_is_the_derivative),
    };
    return cmocka_run_group_tests_name("attention", tests, devices_make, devices_free);
}
