/*
 * Optimisers. What is promised:
 *   - AdamW is torch.optim.AdamW, SGD torch.optim.SGD with its decay decoupled: three steps worked
 *     out by hand in double;
 *   - the summed gradient is divided once by the tokens of the step, then clipped by its global
 *     norm as torch.nn.utils.clip_grad_norm_ does, and zeroed;
 *   - schedules have the values of transformers' get_*_schedule_with_warmup, one step earlier;
 *   - a gradient that is not finite is an error and changes nothing;
 *   - an optimiser that is taken up again goes on as it was; unknown names and want of memory are
 *     errors.
 */
#include "base/core/mem.h"
#include "tests/support/faults.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct lorac_optim_options adamw = {.name = "adamw",
                                                 .lr = 0.01,
                                                 .beta1 = 0.9,
                                                 .beta2 = 0.99,
                                                 .eps = 1e-6,
                                                 .weight_decay = 0.1,
                                                 .schedule = "linear",
                                                 .warmup = 2,
                                                 .steps = 10,
                                                 .final_lr_ratio = 0.1};

struct fixture {
    struct passes p;
    struct lorac_optim *o;
    size_t n;
};

static void open_all(struct fixture *f, const struct lorac_optim_options *options)
{
    passes_open_on(&f->p, "llama-patterns", "ref"); // ref: host memory
    f->n = f->p.a->n_params;
    assert_int_equal(lorac_optim_new(&f->o, f->p.a, options, NULL), LORAC_OK);
}

static void close_all(struct fixture *f)
{
    lorac_optim_free(f->o);
    passes_close(&f->p);
}

/* The gradient of step `step`, and its norm. */
static double gradient(struct fixture *f, unsigned step)
{
    double sum = 0.0;
    fill(f->p.a->grads, f->n, 100 + step);
    for (size_t i = 0; i < f->n; i++) {
        sum += (double)f->p.a->grads[i] * (double)f->p.a->grads[i];
    }
    return sqrt(sum);
}

/* ---- steps by hand ---- */

struct by_hand {
    double *p, *m, *v;
};

/* torch/optim/adamw.py, _single_tensor_adam with decoupled decay. */
static void adamw_step(struct by_hand *h, const float *g, size_t n, double scale, size_t step)
{
    double lr = lorac_schedule_lr(&adamw, step - 1);
    double c1 = 1.0 - pow(adamw.beta1, (double)step);
    double c2 = 1.0 - pow(adamw.beta2, (double)step);
    for (size_t i = 0; i < n; i++) {
        double x = scale * (double)g[i];
        h->p[i] *= 1.0 - lr * adamw.weight_decay;
        h->m[i] += (1.0 - adamw.beta1) * (x - h->m[i]);
        h->v[i] = adamw.beta2 * h->v[i] + (1.0 - adamw.beta2) * x * x;
        h->p[i] -= lr / c1 * h->m[i] / (sqrt(h->v[i]) / sqrt(c2) + adamw.eps);
    }
}

/* torch/optim/sgd.py, _single_tensor_sgd without dampening; the decay as AdamW has it. */
static void sgd_step(struct by_hand *h, const float *g, size_t n, double scale, double momentum)
{
    for (size_t i = 0; i < n; i++) {
        h->p[i] *= 1.0 - 0.1 * 0.05;
        h->m[i] = momentum * h->m[i] + scale * (double)g[i];
        h->p[i] -= 0.1 * h->m[i];
    }
}

static struct by_hand hand_new(const struct fixture *f)
{
    struct by_hand h = {lorac_mem_new(f->n, sizeof *h.p), lorac_mem_new(f->n, sizeof *h.m),
                        lorac_mem_new(f->n, sizeof *h.v)};
    for (size_t i = 0; i < f->n; i++) {
        h.p[i] = (double)f->p.a->params[i];
    }
    return h;
}

static void hand_free(struct by_hand *h)
{
    lorac_mem_free(h->p);
    lorac_mem_free(h->m);
    lorac_mem_free(h->v);
}

static void near_hand(const struct fixture *f, const struct by_hand *h)
{
    // float32: half a unit in the last place of p a step, and some of each of three steps of up to
    // 0.01; 1 - beta2 must not be taken in float32, where it is off by 1e-6
    for (size_t i = 0; i < f->n; i++) {
        double off = fabs((double)f->p.a->params[i] - h->p[i]);
        if (off > 2e-7 * fabs(h->p[i]) + 1e-8) { fail_msg("parameter %zu is off by %g", i, off); }
    }
}

static void steps_are_those_worked_out_by_hand(void **state)
{
    (void)state;
    for (int clips = 0; clips < 2; clips++) {
        struct lorac_optim_options options = adamw;
        struct fixture f;
        options.clip_norm = clips ? 0.05 : 0.0;
        open_all(&f, &options);
        struct by_hand h = hand_new(&f);
        for (unsigned step = 1; step <= 3; step++) {
            enum { TOKENS = 37 };
            double norm = gradient(&f, step) / TOKENS;
            double got = 0.0;
            double scale = 1.0 / TOKENS;
            if (clips) { scale *= 0.05 / (norm + 1e-6) < 1.0 ? 0.05 / (norm + 1e-6) : 1.0; }
            assert_true(!clips || scale * TOKENS < 0.9); // it does clip
            adamw_step(&h, f.p.a->grads, f.n, scale, step);
            assert_int_equal(lorac_optim_step(f.o, TOKENS, &got, NULL), LORAC_OK);
            assert_true(fabs(got - norm) <= 1e-9 * norm); // before clipping
            assert_int_equal(lorac_optim_steps(f.o), step);
            near_hand(&f, &h);
            for (size_t i = 0; i < f.n; i++) {
                assert_true(f.p.a->grads[i] == 0.0F);
            }
        }
        hand_free(&h);
        close_all(&f);
    }
}

static void sgd_has_momentum_and_decoupled_decay(void **state)
{
    (void)state;
    static const double momenta[] = {0.0, 0.9};
    for (size_t k = 0; k < 2; k++) {
        struct lorac_optim_options options = {.name = "sgd",
                                              .lr = 0.1,
                                              .momentum = momenta[k],
                                              .weight_decay = 0.05,
                                              .clip_norm = 1e9, // does not reach
                                              .steps = 3};
        struct fixture f;
        double norm = 0.0;
        open_all(&f, &options);
        struct by_hand h = hand_new(&f);
        for (unsigned step = 1; step <= 3; step++) {
            (void)gradient(&f, step);
            sgd_step(&h, f.p.a->grads, f.n, 0.25, momenta[k]);
            assert_int_equal(lorac_optim_step(f.o, 4, &norm, NULL), LORAC_OK);
            near_hand(&f, &h);
        }
        hand_free(&h);
        close_all(&f);
    }
}

/* ---- schedules ---- */

static void schedules_have_these_values(void **state)
{
    (void)state;
    static const struct {
        const char *schedule;
        size_t warmup, steps, step;
        double ratio, want;
    } cases[] = {
        {"constant", 0, 10, 0, 0.0, 1.0},
        {"constant", 0, 10, 9, 0.0, 1.0},
        {"constant", 4, 10, 0, 0.0, 0.25},
        {"constant", 4, 10, 2, 0.0, 0.75},
        {"constant", 4, 10, 3, 0.0, 1.0},
        {"constant", 4, 10, 4, 0.0, 1.0},
        {"linear", 0, 10, 0, 0.0, 1.0},
        {"linear", 0, 10, 5, 0.0, 0.5},
        {"linear", 0, 10, 9, 0.0, 0.1},
        {"linear", 2, 10, 1, 0.0, 1.0},
        {"linear", 2, 10, 6, 0.0, 0.5},
        {"linear", 2, 10, 6, 0.2, 0.6},
        {"cosine", 0, 8, 0, 0.0, 1.0},
        {"cosine", 0, 8, 2, 0.0, 0.853553390593273762},
        {"cosine", 0, 8, 4, 0.0, 0.5},
        {"cosine", 0, 8, 4, 0.5, 0.75},
        {"cosine", 5, 13, 7, 0.0, 0.853553390593273762},
        {"cosine", 5, 13, 99, 0.25, 0.25}, // behind the end: what is left
        {"cosine", 20, 10, 9, 0.0, 0.5},   // a warmup longer than the run
        {"linear", 10, 10, 10, 0.0, 1.0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_optim_options o = {.lr = 3e-4,
                                        .schedule = cases[i].schedule,
                                        .warmup = cases[i].warmup,
                                        .steps = cases[i].steps,
                                        .final_lr_ratio = cases[i].ratio};
        double got = lorac_schedule_lr(&o, cases[i].step) / 3e-4;
        if (fabs(got - cases[i].want) > 1e-12) {
            fail_msg("case %zu: %.15g, expected %.15g", i, got, cases[i].want);
        }
    }
}

static void the_tables_say_their_names_and_what_a_row_reads(void **state)
{
    (void)state;
    bool found = false;
    for (size_t i = 0; lorac_optim_name(i); i++) {
        const char *name = lorac_optim_name(i);
        found = found || strcmp(name, "adamw") == 0;
        assert_true(lorac_optim_blocks_of(name) > 0);
        assert_true(lorac_optim_reads(name, "lr")); // as all do
    }
    assert_true(found);
    assert_int_equal(lorac_optim_blocks_of("adam"), 0);
    assert_true(lorac_optim_reads("adamw", "betas") && lorac_optim_reads("adamw", "eps"));
    assert_false(lorac_optim_reads("adamw", "momentum"));
    assert_true(lorac_optim_reads("sgd", "momentum"));
    assert_false(lorac_optim_reads("sgd", "betas") || lorac_optim_reads("sgd", "eps"));
    assert_string_equal(lorac_schedule_name(0), "constant"); // NULL is this one
    for (size_t i = 0; lorac_schedule_name(i); i++) {
        const char *name = lorac_schedule_name(i);
        assert_int_equal(lorac_schedule_falls(name), strcmp(name, "constant") != 0);
    }
}

/* ---- refused ---- */

static void a_gradient_that_is_not_finite_changes_nothing(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    struct fixture f;
    struct lorac_err err = {0};
    double norm = 0.0;
    open_all(&f, &adamw);
    (void)gradient(&f, 1);
    assert_int_equal(lorac_optim_step(f.o, 5, &norm, NULL), LORAC_OK);
    size_t bytes = f.n * sizeof(float);
    float *before = lorac_mem_new(3 * f.n, sizeof *before);
    memcpy(before, f.p.a->params, bytes);
    memcpy(before + f.n, lorac_optim_block(f.o, 0), 2 * bytes);
    for (size_t i = 0; i < 3; i++) {
        (void)gradient(&f, 2);
        f.p.a->grads[f.n - 1] = bad[i];
        assert_int_equal(lorac_optim_step(f.o, 5, &norm, &err), LORAC_EUSER);
        assert_string_equal(err.text, "the gradient of step 2 is not finite: try a smaller "
                                      "optimizer.lr or set optimizer.clip_norm");
        assert_int_equal(lorac_optim_steps(f.o), 1);
        assert_memory_equal(before, f.p.a->params, bytes);
        assert_memory_equal(before + f.n, lorac_optim_block(f.o, 0), 2 * bytes);
    }
    lorac_mem_free(before);
    close_all(&f);
}

static void an_optimiser_taken_up_again_goes_on_as_it_was(void **state)
{
    (void)state;
    struct fixture f;
    double norm = 0.0;
    open_all(&f, &adamw);
    size_t bytes = f.n * sizeof(float);
    float *kept = lorac_mem_new(4 * f.n, sizeof *kept); // params, m, v; the end
    (void)gradient(&f, 1);
    assert_int_equal(lorac_optim_step(f.o, 5, &norm, NULL), LORAC_OK);
    assert_int_equal(lorac_optim_blocks(f.o), 2);
    assert_string_equal(lorac_optim_block_name(f.o, 0), "m");
    assert_string_equal(lorac_optim_block_name(f.o, 1), "v");
    memcpy(kept, f.p.a->params, bytes);
    memcpy(kept + f.n, lorac_optim_block(f.o, 0), bytes);
    memcpy(kept + 2 * f.n, lorac_optim_block(f.o, 1), bytes);
    double lr = lorac_optim_next_lr(f.o);
    (void)gradient(&f, 2);
    assert_int_equal(lorac_optim_step(f.o, 5, &norm, NULL), LORAC_OK);
    memcpy(kept + 3 * f.n, f.p.a->params, bytes);
    lorac_optim_free(f.o);
    assert_int_equal(lorac_optim_new(&f.o, f.p.a, &adamw, NULL), LORAC_OK);
    memcpy(f.p.a->params, kept, bytes);
    memcpy(lorac_optim_block(f.o, 0), kept + f.n, bytes);
    memcpy(lorac_optim_block(f.o, 1), kept + 2 * f.n, bytes);
    lorac_optim_set_steps(f.o, 1);
    assert_true(lorac_optim_next_lr(f.o) == lr);
    (void)gradient(&f, 2);
    assert_int_equal(lorac_optim_step(f.o, 5, &norm, NULL), LORAC_OK);
    assert_memory_equal(kept + 3 * f.n, f.p.a->params, bytes);
    lorac_mem_free(kept);
    close_all(&f);
}

static void what_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    struct fixture f;
    struct lorac_err err = {0};
    struct lorac_optim *o = NULL;
    struct lorac_optim_options options = adamw;
    open_all(&f, &options);
    options.name = "lion";
    assert_int_equal(lorac_optim_new(&o, f.p.a, &options, &err), LORAC_EUSER);
    assert_string_equal(err.text, "there is no optimiser 'lion' (adamw, sgd)");
    assert_null(o);
    long n = 0;
    for (;; n++) {
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_optim_new(&o, f.p.a, &adamw, &err);
        if (!faults_stop()) { break; }
        assert_int_equal(st, LORAC_ENOMEM);
        assert_null(o);
    }
    assert_true(n >= 2);
    lorac_optim_free(o);
    close_all(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_those_worked_out_by_hand),
        cmocka_unit_test(sgd_has_momentum_and_decoupled_decay),
        cmocka_unit_test(schedules_have_these_values),
        cmocka_unit_test(the_tables_say_their_names_and_what_a_row_reads),
        cmocka_unit_test(a_gradient_that_is_not_finite_changes_nothing),
        cmocka_unit_test(an_optimiser_taken_up_again_goes_on_as_it_was),
        cmocka_unit_test(what_cannot_be_made_is_an_error),
    };
    return cmocka_run_group_tests_name("optim", tests, NULL, NULL);
}
