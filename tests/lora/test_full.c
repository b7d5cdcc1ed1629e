/*
 * Modules trained in full: the copies at the socket. What is promised:
 *   - a fresh copy changes nothing, bit for bit;
 *   - gradients of weights, gains, biases and the embedding are finite differences of the loss,
 *     alone and together, tied or parted, beside LoRA pairs;
 *   - every backend agrees, and nothing outside the operations touches device memory;
 *   - copies decay as their kind does, and one that never moved is found.
 */
#include "base/core/mem.h"
#include "tests/support/backends.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"
#include "tests/support/vault.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const int32_t text[] = {6, 25, 59, 49, 44, 53, 41, 6, 6, 25};
enum { TEXT = sizeof text / sizeof *text, MODULES = 32 };

/* Which modules of a case train, and how. */
struct plan {
    const char *name;  // the golden case
    const char *which; // its modules: "all", or those whose name ends so
    enum lorac_tie tie;
    size_t rank; // of the pairs on all other linear layers but the head; 0: none
};

static const struct plan plans[] = {
    {"llama", "all", LORAC_TIE_UNSET, 0},
    {"qwen2-window", "all", LORAC_TIE_KEEP, 0}, // biases; a tied pair where it is one
    {"llama-tied-bias", "all", LORAC_TIE_KEEP, 0},
    {"llama-tied-bias", "all", LORAC_TIE_UNTIE, 0},
    {"llama-tied-bias", "lm_head", LORAC_TIE_UNTIE, 4},
    {"llama-tied-bias", "embed_tokens", LORAC_TIE_UNTIE, 4},
    {"llama-tied-bias", "embed_tokens", LORAC_TIE_KEEP, 4},
    {"llama", "model.norm", LORAC_TIE_UNSET, 0}, // nothing below is computed
    {"llama", "1.post_attention_layernorm", LORAC_TIE_UNSET, 0},
    {"llama", "input_layernorm", LORAC_TIE_UNSET, 4},
    {"llama", "mlp.down_proj", LORAC_TIE_UNSET, 4},
    {"llama", "lm_head", LORAC_TIE_UNSET, 0},
};
enum { PLANS = sizeof plans / sizeof *plans };

static bool ends(const char *name, const char *end)
{
    size_t n = strlen(name);
    size_t k = strlen(end);
    return n >= k && strcmp(name + n - k, end) == 0;
}

/* The adapter of a plan in place of the golden one; `moved`: its values are not the base's any
 * more. */
static void take(struct passes *p, const struct plan *plan, bool moved)
{
    struct lorac_err err = {0};
    struct lorac_match match[MODULES] = {0};
    const struct lorac_model *m = p->m;
    assert_true(m->n_modules <= MODULES);
    for (size_t i = 0; i < m->n_modules; i++) {
        const struct lorac_module *at = &m->module[i];
        bool full = strcmp(plan->which, "all") == 0 || ends(at->name, plan->which);
        match[i].weight = full && at->role != LORAC_ROLE_NORM;
        match[i].vector = full;
        match[i].rank = full || at->role != LORAC_ROLE_LINEAR ? 0 : plan->rank;
        match[i].alpha = 4.0;
    }
    lorac_adapter_free(p->a);
    p->a = NULL;
    enum lorac_status st =
        lorac_adapter_alloc(&p->a, m, match, NULL, LORAC_SCALE_STANDARD, plan->tie, &err);
    if (!st) { st = lorac_adapter_reserve(p->a, &err); }
    if (st) { fail_msg("%s", err.text); }
    p->socket = lorac_adapter_socket(p->a);
    size_t pairs = p->a->n_full ? (size_t)(p->a->full[0].p - p->a->params) : p->a->n_params;
    float *host = lorac_mem_new(p->a->n_params, sizeof *host);
    assert_non_null(host);
    fill(host, pairs, 3);
    for (size_t i = 0; i < pairs; i++) {
        host[i] *= 0.2F;
    }
    p->dev.ops->write(&p->dev, p->a->params, host, pairs * sizeof *host);
    for (size_t i = 0; i < p->a->n_full; i++) {
        const struct lorac_full *f = &p->a->full[i];
        lorac_full_copy(p->a, i);
        if (!moved) { continue; }
        p->dev.ops->read(&p->dev, host, f->p, f->n * sizeof *host);
        for (size_t j = 0; j < f->n; j++) {
            host[j] += 0.01F * (float)((int)(j % 5) - 2);
        }
        p->dev.ops->write(&p->dev, f->p, host, f->n * sizeof *host);
    }
    lorac_mem_free(host);
}

static void add_texts(struct passes *p)
{
    lorac_batch_clear(p->b);
    (void)passes_add(p, text, TEXT);
    (void)passes_add(p, text + 3, 4);
}

/* ---- a fresh copy changes nothing ---- */

static void a_fresh_copy_changes_nothing(void **state)
{
    static const char *const names[] = {"llama", "llama-tied-bias", "llama-sharded", "mistral"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct passes p;
        char idle[LORAC_MODULE_NAME];
        struct plan plan = {names[i], "all", LORAC_TIE_UNTIE, 0};
        passes_open_on(&p, names[i], *state);
        take(&p, &plan, false);
        add_texts(&p);
        size_t n = 0;
        float *base = passes_logits(p.m, NULL, p.b, &n);
        float *copied = passes_logits(p.m, &p.socket, p.b, &n);
        assert_true(n > 0);
        if (p.m->module[p.m->embed].dtype == LORAC_F32) {
            assert_memory_equal(base, copied, n * sizeof *base);
        } else { // 16-bit weights may take another kernel than their float32 copies
            near_all(names[i], copied, base, n, 1e-5F * golden_largest(base, n), 0.0F);
        }
        struct lorac_stack stack = {.n = 1, .adapter = {p.a}, .factor = {1.0F}};
        struct lorac_socket stacked = lorac_stack_socket(&stack);
        lorac_mem_free(base);
        base = passes_logits(p.m, &stacked, p.b, &n);
        assert_memory_equal(base, copied, n * sizeof *base);
        lorac_mem_free(base);
        lorac_mem_free(copied);
        assert_true(lorac_adapter_idle(idle, p.a));
        assert_string_equal(idle, "model.embed_tokens");
        take(&p, &plan, true);
        assert_false(lorac_adapter_idle(idle, p.a));
        passes_close(&p);
    }
}

/* ---- gradients ---- */

static void gradients_are_finite_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < PLANS; i++) {
        struct passes p;
        passes_open_on(&p, plans[i].name, "ref");
        take(&p, &plans[i], true);
        assert_true(p.a->n_full > 0);
        struct lorac_pass *pass = passes_new(&p, i % 2 ? LORAC_KEEP_LAYERS : LORAC_KEEP_ALL);
        add_texts(&p);
        (void)passes_run(pass, p.b, NULL, true);
        struct passes_loss l = {pass, p.b};
        for (size_t k = 0; k < p.a->n_full; k++) {
            const struct lorac_full *f = &p.a->full[k];
            const char *name = p.m->module[f->m].name;
            size_t skip = 3 * k % (f->n - 1);
            if (!f->vector && f->m == p.m->embed) {
                skip = (size_t)text[3] * p.m->config.C + 5; // a row that is looked up, twice
            }
            near_gradient(name, passes_loss, &l, f->p + skip, f->dp + skip, 2, 4e-3, 4e-3);
        }
        for (size_t k = 0; k < p.a->n; k++) {
            const struct lorac_site *at = &p.a->site[k];
            near_gradient("A", passes_loss, &l, at->p[0] + k % 7, at->dp[0] + k % 7, 1, 4e-3, 4e-3);
            near_gradient("B", passes_loss, &l, at->p[1] + k % 7, at->dp[1] + k % 7, 1, 4e-3, 4e-3);
        }
        lorac_pass_free(pass);
        passes_close(&p);
    }
}

/* The gradients of a plan on an open device, in new memory. */
static float *gradients_on(struct passes *p, const struct plan *plan, enum lorac_keep keep)
{
    take(p, plan, true);
    struct lorac_pass *pass = passes_new(p, keep);
    add_texts(p);
    (void)passes_run(pass, p->b, NULL, true);
    lorac_pass_free(pass);
    return passes_take(p);
}

static void the_vault_computes_what_ref_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < PLANS; i++) {
        struct passes p;
        struct passes q;
        struct lorac_device dev;
        passes_open_on(&p, plans[i].name, "ref");
        vault_open(&dev, 32 << 20);
        passes_open(&q, plans[i].name, dev);
        float *want = gradients_on(&p, &plans[i], LORAC_KEEP_ALL);
        float *got = gradients_on(&q, &plans[i], LORAC_KEEP_LAYERS);
        assert_memory_equal(got, want, p.a->n_params * sizeof *got);
        lorac_mem_free(got);
        lorac_mem_free(want);
        passes_close(&p);
        passes_close(&q);
    }
}

#ifdef LORAC_HAVE_OPENBLAS
static void the_cpu_backend_agrees_with_ref(void **state)
{
    (void)state;
    for (size_t i = 0; i < PLANS; i++) {
        struct passes p;
        struct passes q;
        passes_open_on(&p, plans[i].name, "ref");
        passes_open_on(&q, plans[i].name, "cpu");
        float *want = gradients_on(&p, &plans[i], LORAC_KEEP_ALL);
        float *got = gradients_on(&q, &plans[i], LORAC_KEEP_LAYERS);
        size_t n = p.a->n_params;
        near_all(plans[i].which, got, want, n, 1e-5F * golden_largest(want, n), 0.0F);
        lorac_mem_free(got);
        lorac_mem_free(want);
        passes_close(&p);
        passes_close(&q);
    }
}
#endif

/* ---- beside other adapters ---- */

static void copies_neither_scale_nor_add_up(void **state)
{
    struct passes p;
    struct passes q;
    struct lorac_err err = {0};
    static const struct plan one = {"llama", "down_proj", LORAC_TIE_UNSET, 4};
    static const struct plan other = {"llama", "0.mlp.down_proj", LORAC_TIE_UNSET, 4};
    passes_open_on(&p, "llama", *state);
    passes_open_on(&q, "llama", *state);
    take(&p, &one, true);
    struct lorac_stack s = {.n = 1, .adapter = {p.a}, .factor = {0.5F}};
    assert_int_equal(lorac_stack_check(&s, &err), LORAC_EUSER);
    assert_string_equal(err.text, "adapter 1 has the factor 0.5, but holds "
                                  "'model.layers.0.mlp.down_proj' trained in full, which cannot be "
                                  "scaled");
    s = (struct lorac_stack){.n = 2, .adapter = {q.a, p.a}, .factor = {0.5F, 1.0F}};
    assert_int_equal(lorac_stack_check(&s, &err), LORAC_OK);
    take(&q, &other, true);
    s = (struct lorac_stack){.n = 2, .adapter = {p.a, q.a}, .factor = {1.0F, 1.0F}};
    assert_int_equal(lorac_stack_check(&s, &err), LORAC_EUSER);
    assert_string_equal(err.text,
                        "adapters 1 and 2 both hold 'model.layers.0.mlp.down_proj' trained "
                        "in full: one of them would be lost");
    passes_close(&p);
    passes_close(&q);
}

/* ---- decay ---- */

static void matrices_and_vectors_decay_apart(void **state)
{
    static const char *const names[] = {"adamw", "sgd"};
    static const struct plan plan = {"llama-tied-bias", "all", LORAC_TIE_UNTIE, 0};
    for (size_t k = 0; k < 2; k++) {
        struct passes p;
        struct lorac_err err = {0};
        struct lorac_optim *optim = NULL;
        struct lorac_optim_options o = {.name = names[k],
                                        .lr = 0.5,
                                        .beta1 = 0.9,
                                        .beta2 = 0.999,
                                        .eps = 1e-8,
                                        .weight_decay = 0.5,
                                        .vector_decay = 0.1,
                                        .steps = 1};
        passes_open_on(&p, plan.name, *state);
        take(&p, &plan, true);
        size_t n = p.a->n_params;
        float *before = lorac_mem_new(n, sizeof *before);
        float *after = lorac_mem_new(n, sizeof *after);
        assert_true(before && after && p.a->n_matrices < n);
        p.dev.ops->read(&p.dev, before, p.a->params, n * sizeof *before);
        assert_int_equal(lorac_optim_new(&optim, p.a, &o, &err), LORAC_OK);
        double norm = 0.0;
        assert_int_equal(lorac_optim_step(optim, 1, &norm, &err), LORAC_OK); // no gradient
        p.dev.ops->read(&p.dev, after, p.a->params, n * sizeof *after);
        for (size_t i = 0; i < n; i++) {
            float kept = i < p.a->n_matrices ? 0.75F : 0.95F; // 1 - lr decay
            assert_true(fabsf(after[i] - kept * before[i]) <= 1e-6F * fabsf(before[i]));
        }
        lorac_mem_free(before);
        lorac_mem_free(after);
        lorac_optim_free(optim);
        passes_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_finite_differences),
        cmocka_unit_test(the_vault_computes_what_ref_does),
        ON_EACH(a_fresh_copy_changes_nothing),
        ON_REF(copies_neither_scale_nor_add_up),
        ON_EACH(matrices_and_vectors_decay_apart),
#ifdef LORAC_HAVE_OPENBLAS
        cmocka_unit_test(the_cpu_backend_agrees_with_ref),
#endif
    };
    return cmocka_run_group_tests_name("full", tests, NULL, NULL);
}
