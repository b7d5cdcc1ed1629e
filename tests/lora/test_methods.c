/*
 * Methods beside LoRA. What is promised, on every backend:
 *   - each gradient is the finite difference of the loss (within the third derivative that a step
 *     of 2^-7 leaves; the goldens pin them to 1e-5), with inputs dropped and without; DoRA's norms
 *     are constants to it (section 4.3 of the paper);
 *   - a fresh adapter is the base, and its magnitudes are the norms of the base's rows;
 *   - norms follow the parameters: after lorac_adapter_refresh(), and after a step;
 *   - what does not add up is neither scaled nor stacked, and says so by name.
 */
#include "base/core/mem.h"
#include "tests/support/modules.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const int32_t text[] = {3, 17, 4, 9, 25, 4, 31, 8};
enum { TEXT = sizeof text / sizeof *text };

struct loss_of {
    struct lorac_pass *pass;
    struct passes *p;
    bool settle; // what is derived follows the parameters
};

static double loss(void *context)
{
    struct loss_of *l = context;
    if (l->settle) { assert_int_equal(lorac_adapter_refresh(l->p->a, NULL), LORAC_OK); }
    return passes_run(l->pass, l->p->b, NULL, false);
}

/* Of the adapter that p holds; closes p. */
static void differences_of(struct passes *p, const char *name, enum lorac_keep keep)
{
    struct lorac_pass *pass = passes_new(p, keep);
    (void)passes_add(p, text, TEXT);
    (void)passes_add(p, text + 2, 4);
    (void)passes_run(pass, p->b, NULL, true);
    for (size_t i = 0; i < p->a->n; i++) {
        struct lorac_site *s = &p->a->site[i];
        for (size_t k = 0; k < LORAC_SITE_TENSORS && s->p[k]; k++) {
            bool matrix = s->p[k] < p->a->params + p->a->n_matrices;
            struct loss_of l = {pass, p, !matrix};
            near_gradient(name, loss, &l, s->p[k] + i % 5, s->dp[k] + i % 5, 1, 0.02, 0.02);
        }
    }
    lorac_pass_free(pass);
    passes_close(p);
}

static void differences(const char *name, const char *backend, double dropout, enum lorac_keep keep)
{
    struct passes p;
    passes_open_on(&p, name, backend);
    lorac_adapter_set_dropout(p.a, dropout, 11);
    p.a->step = 3;
    differences_of(&p, name, keep);
}

static const char *const cases[] = {"dora-llama", "dora-qwen2", "dora-gpt2", "ia3-llama",
                                    "ia3-gpt2"};
enum { CASES = sizeof cases / sizeof *cases };

static void gradients_are_finite_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        differences(cases[i], "ref", 0.0, i % 2 ? LORAC_KEEP_LAYERS : LORAC_KEEP_ALL);
    }
}

static void dropped_inputs_have_their_gradients(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        if (strncmp(cases[i], "dora", 4) != 0) { continue; }
        differences(cases[i], "ref", 0.25, i % 2 ? LORAC_KEEP_ALL : LORAC_KEEP_LAYERS);
    }
}

/* Layers that read one input each add to its gradient, whichever comes last. */
static void inputs_that_several_layers_read_have_their_gradients(void **state)
{
    (void)state;
    static const char *const inputs[] = {"gate_proj", "up_proj", "down_proj"};
    struct passes p;
    struct lorac_err err = {0};
    const struct lorac_adapter_options o = {
        .method = "ia3", .feedforward = inputs, .n_feedforward = 3};
    passes_open_on(&p, "llama", "ref");
    lorac_adapter_free(p.a);
    if (lorac_adapter_new(&p.a, p.m, &o, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(lorac_adapter_reserve(p.a, NULL), LORAC_OK);
    p.socket = lorac_adapter_socket(p.a);
    differences_of(&p, "ia3 on all", LORAC_KEEP_ALL);
}

/* Of `method`, on q, v and down. */
static struct lorac_adapter *fresh(const struct passes *p, const char *method, double dropout)
{
    static const char *const targets[] = {"q_proj", "v_proj", "down_proj"};
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    const struct lorac_adapter_options o = {.method = method,
                                            .targets = targets,
                                            .n_targets = 3,
                                            .rank = 2,
                                            .alpha = 4.0,
                                            .dropout = dropout,
                                            .seed = 5};
    if (lorac_adapter_new(&a, p->m, &o, &err)) { fail_msg("%s", err.text); }
    return a;
}

static void a_fresh_adapter_is_the_base(void **state)
{
    struct passes p;
    passes_open_on(&p, "llama", *state);
    (void)passes_add(&p, text, TEXT);
    size_t n = 0;
    float *base = passes_logits(p.m, NULL, p.b, &n);
    struct lorac_adapter *a = fresh(&p, "dora", 0.0);
    struct lorac_socket socket = lorac_adapter_socket(a);
    float *adapted = passes_logits(p.m, &socket, p.b, &n);
    near_all("dora", adapted, base, n, 1e-6F, 1e-6F);
    lorac_mem_free(adapted);
    lorac_mem_free(base);
    char name[LORAC_MODULE_NAME];
    assert_true(lorac_adapter_idle(name, a));
    assert_false(lorac_adapter_changes(a));
    lorac_adapter_free(a);
    passes_close(&p);
}

/* With B = 0: m is the norm of each row of W, whichever way W is stored. */
static void magnitudes_begin_as_norms_of_rows(void **state)
{
    static const char *const names[] = {"llama", "gpt2"};
    for (size_t i = 0; i < 2; i++) {
        struct passes p;
        struct lorac_err err = {0};
        struct lorac_adapter *a = NULL;
        passes_open_on(&p, names[i], *state);
        const struct lorac_adapter_options o = {.method = "dora", .rank = 2, .alpha = 4.0};
        if (lorac_adapter_new(&a, p.m, &o, &err)) { fail_msg("%s", err.text); }
        for (size_t k = 0; k < a->n; k++) {
            const struct lorac_site *s = &a->site[k];
            const struct lorac_module *l = &p.m->module[s->m];
            float w[4096];
            float m[256];
            float want[256] = {0};
            assert_true(s->OC * s->C <= 4096 && s->OC <= 256);
            p.dev.ops->weight_read(&p.dev, w, l->w, 0, s->OC * s->C);
            assert_int_equal(lorac_site_read(m, a, k, 2, NULL), LORAC_OK);
            for (size_t n = 0; n < s->OC * s->C; n++) {
                want[l->transposed ? n % s->OC : n / s->C] += w[n] * w[n];
            }
            for (size_t n = 0; n < s->OC; n++) {
                want[n] = sqrtf(want[n]);
            }
            near_all(l->name, m, want, s->OC, 0.0F, 1e-6F);
        }
        lorac_adapter_free(a);
        passes_close(&p);
    }
}

/* Doubling B of one site changes its norms: with those of before, the output differs. */
static void norms_follow_the_parameters(void **state)
{
    struct passes p;
    passes_open_on(&p, "dora-llama", *state);
    (void)passes_add(&p, text, TEXT);
    const struct lorac_site *s = &p.a->site[0];
    p.dev.ops->scale(&p.dev, s->p[1], s->R * s->OC, 2.0F);
    size_t n = 0;
    float *stale = passes_logits(p.m, &p.socket, p.b, &n);
    assert_int_equal(lorac_adapter_refresh(p.a, NULL), LORAC_OK);
    float *now = passes_logits(p.m, &p.socket, p.b, &n);
    assert_memory_not_equal(stale, now, n * sizeof *now);
    lorac_mem_free(now);
    lorac_mem_free(stale);
    struct lorac_optim *optim = NULL;
    const struct lorac_optim_options o = {.name = "sgd", .lr = 0.05, .steps = 1};
    assert_int_equal(lorac_optim_new(&optim, p.a, &o, NULL), LORAC_OK);
    struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_ALL);
    double norm = 0.0;
    (void)passes_run(pass, p.b, NULL, true);
    assert_int_equal(lorac_optim_step(optim, 1.0, &norm, NULL), LORAC_OK);
    now = passes_logits(p.m, &p.socket, p.b, &n);
    assert_int_equal(lorac_adapter_refresh(p.a, NULL), LORAC_OK);
    float *again = passes_logits(p.m, &p.socket, p.b, &n);
    assert_memory_equal(now, again, n * sizeof *now);
    lorac_mem_free(again);
    lorac_mem_free(now);
    lorac_pass_free(pass);
    lorac_optim_free(optim);
    passes_close(&p);
}

static void what_does_not_add_up_is_not_stacked(void **state)
{
    struct passes p;
    passes_open_on(&p, "llama", *state);
    struct lorac_adapter *d = fresh(&p, "dora", 0.0);
    struct lorac_adapter *l = fresh(&p, "lora", 0.0);
    const struct {
        struct lorac_stack s;
        const char *want;
    } bad[] = {
        {{.n = 1, .adapter = {d}, .factor = {0.5F}},
         "adapter 1 has the factor 0.5, but is DoRA, which cannot be scaled"},
        {{.n = 2, .adapter = {l, d}, .factor = {0.5F, 1.0F}},
         "adapters 1 (LoRA) and 2 (DoRA) both sit on 'model.layers.0.self_attn.q_proj': only LoRA "
         "adds up"},
        {{.n = 2, .adapter = {d, d}, .factor = {1.0F, 1.0F}},
         "adapters 1 (DoRA) and 2 (DoRA) both sit on 'model.layers.0.self_attn.q_proj': only LoRA "
         "adds up"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lorac_err err = {0};
        assert_int_equal(lorac_stack_check(&bad[i].s, &err), LORAC_EUSER);
        assert_string_equal(err.text, bad[i].want);
    }
    const struct lorac_stack fine = {.n = 1, .adapter = {d}, .factor = {1.0F}};
    assert_int_equal(lorac_stack_check(&fine, NULL), LORAC_OK);
    lorac_adapter_free(d);
    lorac_adapter_free(l);
    passes_close(&p);
}

int main(void)
{
    static char ref[] = "ref"; // cmocka hands the initial state over as void *
#ifdef LORAC_HAVE_OPENBLAS
    static char cpu[] = "cpu";
#endif
#define ON(backend, f)                                  \
    {                                                   \
#        f "/" #        backend, f, NULL, NULL, backend \
    }
#define ALL(backend)                                                                          \
    ON(backend, a_fresh_adapter_is_the_base), ON(backend, magnitudes_begin_as_norms_of_rows), \
        ON(backend, norms_follow_the_parameters), ON(backend, what_does_not_add_up_is_not_stacked)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_finite_differences),
        cmocka_unit_test(dropped_inputs_have_their_gradients),
        cmocka_unit_test(inputs_that_several_layers_read_have_their_gradients),
        ALL(ref),
#ifdef LORAC_HAVE_OPENBLAS
        ALL(cpu),
#endif
    };
    return cmocka_run_group_tests_name("methods", tests, NULL, NULL);
}
