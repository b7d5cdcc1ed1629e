/*
 * Every backward of the reference backend is the derivative of its forward (attention's: in
 * test_attention.c). What is promised: for L = sum_i w_i y_i(x), central differences with h = 2^-7
 * give the gradient that the backward computes from dy = w, and accumulating operations add to what
 * is there.
 *
 * Tolerance: h^2 / 6 = 1e-5 times a third derivative (below 10 here), and the rounding of y, u =
 * 2^-24, sqrt(n) terms, over h: 60 u/h = 5e-4 with values up to 4. So 1e-3.
 */
#include "base/compute/device.h"
#include "tests/support/devices.h"
#include "tests/support/near.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N = 3, C = 6, OC = 5, NX = N * C, NY = N * OC };

static const struct lorac_backend *const ops = &lorac_backend_ref;
static const double tolerance = 1e-3;

/* What a loss reads and a backward gives; b serves as weights, gain, `up`, ... */
struct scene {
    float x[NX], y[NX], w[NX], b[OC * C], c[C], dx[NX], db[NX];
    const struct lorac_weight *weight;
    enum lorac_activation act;
    struct lorac_device dev;
};

static void setup(struct scene *s)
{
    *s = (struct scene){.dev = {.ops = ops, .threads = 1}};
    fill(s->x, NX, 1);
    fill(s->w, NX, 2);
    fill(s->b, (size_t)OC * C, 3);
    fill(s->c, C, 4);
}

static double weighted(const struct scene *s, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)s->w[i] * (double)s->y[i];
    }
    return sum;
}

/* dx holds 1 more than the gradient where the backward was given ones to add to. */
static void subtract_ones(float *dx)
{
    for (size_t i = 0; i < NX; i++) {
        dx[i] -= 1.0F;
    }
}

static void ones(float *dx)
{
    for (size_t i = 0; i < NX; i++) {
        dx[i] = 1.0F;
    }
}

static double linear_loss(void *context)
{
    struct scene *s = context;
    ops->linear(&s->dev, s->y, s->x, s->weight, s->c, N);
    return weighted(s, NY);
}

static void linear_backward_is_the_derivative(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    uint16_t half[OC * C];
    static const enum lorac_dtype types[] = {LORAC_F32, LORAC_F16, LORAC_BF16};
    for (size_t i = 0; i < 6; i++) {
        enum lorac_dtype type = types[i % 3];
        lorac_dtype_encode(half, s.b, LORAC_BF16, (size_t)OC * C);
        if (type == LORAC_F16) { lorac_dtype_encode(half, s.b, LORAC_F16, (size_t)OC * C); }
        const void *data = type == LORAC_F32 ? (const void *)s.b : half;
        s.weight = weight_on(&s.dev, data, type, OC, C, i >= 3);
        s.dx[0] = 1e30F; // beta 0 does not read it
        ops->linear_backward(&s.dev, s.dx, s.w, s.weight, N, 0.0F);
        near_gradient("linear", linear_loss, &s, s.x, s.dx, NX, tolerance, 0.0);
        ones(s.dx);
        ops->linear_backward(&s.dev, s.dx, s.w, s.weight, N, 1.0F);
        subtract_ones(s.dx);
        near_gradient("linear, added", linear_loss, &s, s.x, s.dx, NX, tolerance, 0.0);
    }
}

static double rmsnorm_loss(void *context)
{
    struct scene *s = context;
    ops->rmsnorm(&s->dev, s->y, s->x, s->c, N, C, 0.1F);
    return weighted(s, NX);
}

static void rmsnorm_backward_is_the_derivative(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    ones(s.dx);
    ops->rmsnorm_backward(&s.dev, s.dx, s.w, s.x, s.c, N, C, 0.1F);
    subtract_ones(s.dx);
    near_gradient("rmsnorm", rmsnorm_loss, &s, s.x, s.dx, NX, tolerance, 0.0);
}

static void gains_gradient_is_the_derivative(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    ones(s.dx);
    ops->rmsnorm_gain_backward(&s.dev, s.dx, s.w, s.x, N, C, 0.1F);
    subtract_ones(s.dx);
    near_gradient("rmsnorm's gain", rmsnorm_loss, &s, s.c, s.dx, C, tolerance, 0.0);
}

static void biass_gradient_is_the_derivative(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    s.weight = weight_on(&s.dev, s.b, LORAC_F32, OC, C, false);
    ones(s.dx);
    ops->column_sums(&s.dev, s.dx, s.w, N, OC);
    subtract_ones(s.dx);
    near_gradient("a bias", linear_loss, &s, s.c, s.dx, OC, tolerance, 0.0);
}

static const int32_t looked_up[N] = {3, 0, 3}; // one of them twice

static double embed_loss(void *context)
{
    struct scene *s = context;
    ops->embed(&s->dev, s->y, looked_up, s->weight, N);
    return weighted(s, NX);
}

static void embeddings_gradient_is_the_derivative(void **state)
{
    (void)state;
    struct scene s;
    float dw[OC * C];
    setup(&s);
    s.weight = weight_on(&s.dev, s.b, LORAC_F32, OC, C, false);
    for (size_t i = 0; i < (size_t)OC * C; i++) {
        dw[i] = 1.0F;
    }
    ops->embed_backward(&s.dev, dw, s.w, looked_up, N, C);
    for (size_t i = 0; i < (size_t)OC * C; i++) {
        dw[i] -= 1.0F;
    }
    near_gradient("embed", embed_loss, &s, s.b, dw, (size_t)OC * C, tolerance, 0.0);
}

static double layernorm_loss(void *context)
{
    struct scene *s = context;
    ops->layernorm(&s->dev, s->y, s->x, s->c, s->b, N, C, 0.1F);
    return weighted(s, NX);
}

static void layernorms_gains_gradient_is_the_derivative(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    ones(s.dx);
    ops->layernorm_gain_backward(&s.dev, s.dx, s.w, s.x, N, C, 0.1F);
    subtract_ones(s.dx);
    near_gradient("layernorm's gain", layernorm_loss, &s, s.c, s.dx, C, tolerance, 0.0);
}

static void layernorm_backward_is_the_derivative(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    ones(s.dx);
    ops->layernorm_backward(&s.dev, s.dx, s.w, s.x, s.c, N, C, 0.1F);
    subtract_ones(s.dx);
    near_gradient("layernorm", layernorm_loss, &s, s.x, s.dx, NX, tolerance, 0.0);
}

static double gate_loss(void *context)
{
    struct scene *s = context;
    ops->gate(&s->dev, s->y, s->x, s->b, NX, s->act);
    return weighted(s, NX);
}

static double plain_gate_loss(void *context)
{
    struct scene *s = context;
    ops->gate(&s->dev, s->y, s->x, NULL, NX, s->act);
    return weighted(s, NX);
}

static void gate_backward_is_the_derivative(void **state)
{
    (void)state;
    static const enum lorac_activation acts[] = {LORAC_SILU, LORAC_GELU, LORAC_GELU_TANH,
                                                 LORAC_TANH, LORAC_RELU};
    for (size_t a = 0; a < sizeof acts / sizeof *acts; a++) {
        struct scene s;
        setup(&s);
        s.act = acts[a];
        for (size_t i = 0; i < NX; i++) {
            s.x[i] *= 3.0F;
        }
        ops->gate_backward(&s.dev, s.dx, s.db, s.w, s.x, s.b, NX, s.act);
        near_gradient("gate", gate_loss, &s, s.x, s.dx, NX, tolerance, 0.0);
        near_gradient("up", gate_loss, &s, s.b, s.db, NX, tolerance, 0.0);
        ops->gate_backward(&s.dev, s.dx, NULL, s.w, s.x, NULL, NX, s.act);
        near_gradient("plain gate", plain_gate_loss, &s, s.x, s.dx, NX, tolerance, 0.0);
    }
}

static const uint32_t position[N] = {2, 0, 1};
static const float table[3 * C] = {
    // (3,C): C/2 cosines, C/2 sines of position * {1, 0.5, 0.1}
    1.0F,         1.0F,        1.0F,        0.0F,        0.0F,        0.0F,
    0.54030231F,  0.87758256F, 0.99500417F, 0.84147098F, 0.47942554F, 0.09983342F,
    -0.41614684F, 0.54030231F, 0.98006658F, 0.90929743F, 0.84147098F, 0.19866933F,
};

static double rope_loss(void *context)
{
    struct scene *s = context;
    memcpy(s->y, s->x, sizeof s->y);
    ops->rope(&s->dev, s->y, table, position, N, 1, C, C, 1.0F);
    return weighted(s, NX);
}

static void rotating_back_is_the_derivative(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    memcpy(s.dx, s.w, sizeof s.dx);
    ops->rope(&s.dev, s.dx, table, position, N, 1, C, C, -1.0F);
    near_gradient("rope", rope_loss, &s, s.x, s.dx, NX, tolerance, 0.0);
}

static const uint32_t first[N + 1] = {4, 5, 5, 7}; // rows with 1, 0 and 2 targets
static const int32_t target[] = {3, 0, 5};
static const float weight[] = {0.75F, 2.0F, -0.5F};

static double cross_entropy_loss(void *context)
{
    struct scene *s = context;
    float nll[3];
    ops->cross_entropy(&s->dev, nll, s->x, first, target, NULL, N, C);
    double sum = 0.0;
    for (size_t t = 0; t < 3; t++) {
        sum += (double)weight[t] * (double)nll[t];
    }
    return sum;
}

static void weighted_cross_entropy_gives_its_gradient(void **state)
{
    (void)state;
    struct scene s;
    setup(&s);
    float nll[3];
    memcpy(s.dx, s.x, sizeof s.dx);
    ops->cross_entropy(&s.dev, nll, s.dx, first, target, weight, N, C);
    near_gradient("logits", cross_entropy_loss, &s, s.x, s.dx, NX, tolerance, 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_backward_is_the_derivative),
        cmocka_unit_test(rmsnorm_backward_is_the_derivative),
        cmocka_unit_test(gains_gradient_is_the_derivative),
        cmocka_unit_test(biass_gradient_is_the_derivative),
        cmocka_unit_test(embeddings_gradient_is_the_derivative),
        cmocka_unit_test(layernorm_backward_is_the_derivative),
        cmocka_unit_test(layernorms_gains_gradient_is_the_derivative),
        cmocka_unit_test(gate_backward_is_the_derivative),
        cmocka_unit_test(rotating_back_is_the_derivative),
        cmocka_unit_test(weighted_cross_entropy_gives_its_gradient),
    };
    return cmocka_run_group_tests_name("grad", tests, NULL, NULL);
}
