/*
 * Adapters in memory. What is promised:
 *   - A is a function of the seed and the tensor's name, whatever else is adapted and on which
 *     backend; another seed or name gives other numbers; B is zero;
 *   - the default is uniform in +-1/sqrt(inputs), gaussian has the standard deviation 1/rank;
 *   - the scale is alpha/rank, or alpha/sqrt(rank) for rsLoRA;
 *   - what is written is read back, A and B as PEFT's files have them;
 *   - several adapters add up with their factors, one with factor 1 is the adapter itself;
 *   - a rank larger than a module and every failed allocation are errors, and nothing leaks.
 */
#include "base/core/mem.h"
#include "tests/support/backends.h"
#include "tests/support/faults.h"
#include "tests/support/modules.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 4096 };

static const struct lorac_adapter_options eight = {.rank = 8, .alpha = 16.0, .seed = 7};

static struct lorac_adapter *adapter(const struct lorac_model *m,
                                     const struct lorac_adapter_options *o)
{
    struct lorac_adapter *a = NULL;
    struct lorac_err err = {0};
    if (lorac_adapter_new(&a, m, o, &err)) { fail_msg("%s", err.text); }
    return a;
}

/* A of the adapter on module `m`. */
static size_t read_a(float *host, const struct lorac_adapter *a, const char *module)
{
    size_t m = modules_find(a->model, module);
    assert_true(a->at[m] >= 0);
    const struct lorac_site *l = &a->site[a->at[m]];
    assert_true(l->R * l->C <= MOST);
    assert_int_equal(lorac_site_read(host, a, (size_t)a->at[m], false, NULL), LORAC_OK);
    return l->R * l->C;
}

static void a_is_a_function_of_seed_and_name(void **state)
{
    (void)state;
    static const char *const v_only[] = {"v_proj"};
    struct lorac_adapter_options some = eight;
    struct lorac_adapter_options other = eight;
    struct passes p;
    float x[3][MOST];
    some.targets = v_only;
    some.n_targets = 1;
    other.seed = 8;
    passes_open_on(&p, "llama", "ref");
    struct lorac_adapter *all = adapter(p.m, &eight);
    struct lorac_adapter *few = adapter(p.m, &some);
    struct lorac_adapter *seeded = adapter(p.m, &other);
    assert_int_equal(all->n, modules_count_linear(p.m) - 1); // all but lm_head
    assert_int_equal(few->n, 2);
    size_t n = read_a(x[0], all, "model.layers.0.self_attn.v_proj");
    (void)read_a(x[1], few, "model.layers.0.self_attn.v_proj");
    assert_memory_equal(x[0], x[1], n * sizeof(float));
    (void)read_a(x[1], seeded, "model.layers.0.self_attn.v_proj");
    (void)read_a(x[2], all, "model.layers.1.self_attn.v_proj");
    for (size_t i = 0; i < n; i++) { // another seed, another name: not one number is the same
        assert_true(x[0][i] != x[1][i] && x[0][i] != x[2][i] && x[1][i] != x[2][i]);
    }
    assert_true(!lorac_adapter_changes(all));
    assert_true(lorac_adapter_changes(p.a));
    char idle[LORAC_MODULE_NAME];
    assert_true(lorac_adapter_idle(idle, all));
    assert_string_equal(idle, "model.layers.0.self_attn.q_proj");
    assert_false(lorac_adapter_idle(idle, p.a));
    lorac_adapter_free(all);
    lorac_adapter_free(few);
    lorac_adapter_free(seeded);
    passes_close(&p);
}

#ifdef LORAC_HAVE_OPENBLAS
static void every_backend_starts_alike(void **state)
{
    (void)state;
    struct passes p[2];
    float x[2][MOST];
    passes_open_on(&p[0], "llama", "ref");
    passes_open_on(&p[1], "llama", "cpu");
    struct lorac_adapter *a[2] = {adapter(p[0].m, &eight), adapter(p[1].m, &eight)};
    for (size_t m = 0; m < p[0].m->n_modules; m++) {
        const struct lorac_module *at = &p[0].m->module[m];
        if (at->role != LORAC_ROLE_LINEAR) { continue; }
        size_t n = read_a(x[0], a[0], at->name);
        (void)read_a(x[1], a[1], at->name);
        assert_memory_equal(x[0], x[1], n * sizeof(float));
    }
    for (int k = 0; k < 2; k++) {
        lorac_adapter_free(a[k]);
        passes_close(&p[k]);
    }
}
#endif

/* Mean, standard deviation and largest size of all A. */
static void moments(const struct lorac_adapter *a, double *mean, double *deviation, double *largest)
{
    double sum = 0.0;
    double squares = 0.0;
    size_t all = 0;
    *largest = 0.0;
    for (size_t i = 0; i < a->n; i++) {
        float x[MOST];
        size_t n = read_a(x, a, a->model->module[a->site[i].m].name);
        for (size_t j = 0; j < n; j++) {
            double scaled = (double)x[j] * sqrt((double)a->site[i].C);
            if (a->init == LORAC_INIT_GAUSSIAN) { scaled = (double)x[j] * (double)a->site[i].R; }
            sum += scaled;
            squares += scaled * scaled;
            *largest = fmax(*largest, fabs(scaled));
        }
        all += n;
    }
    *mean = sum / (double)all;
    *deviation = sqrt(squares / (double)all);
    assert_true(all > 3000);
}

static void values_are_spread_as_peft_spreads_them(void **state)
{
    (void)state;
    struct passes p;
    double mean = 0.0;
    double deviation = 0.0;
    double largest = 0.0;
    struct lorac_adapter_options gaussian = eight;
    gaussian.init = LORAC_INIT_GAUSSIAN;
    passes_open_on(&p, "llama", "ref");
    struct lorac_adapter *a = adapter(p.m, &eight); // scaled to U(-1, 1)
    moments(a, &mean, &deviation, &largest);
    assert_true(fabs(mean) < 0.04 && fabs(deviation - 1.0 / sqrt(3.0)) < 0.02);
    assert_true(largest <= 1.0 && largest > 0.99);
    lorac_adapter_free(a);
    a = adapter(p.m, &gaussian); // scaled to N(0, 1)
    moments(a, &mean, &deviation, &largest);
    assert_true(fabs(mean) < 0.06 && fabs(deviation - 1.0) < 0.05);
    assert_true(largest > 3.0 && largest < 5.5);
    lorac_adapter_free(a);
    passes_close(&p);
}

/* Of the first layer. */
static const struct lorac_site *pair(const struct lorac_adapter *a, const char *kind)
{
    return &a->site[a->at[modules_layer(a->model, 0, kind)]];
}

static void the_scale_is_alpha_over_rank_or_its_root(void **state)
{
    (void)state;
    struct passes p;
    static const struct lorac_override overrides[] = {{"self_attn.q_proj", 2, 0.0},
                                                      {".*k_proj", 0, 3.0}};
    struct lorac_adapter_options o = eight;
    o.overrides = overrides;
    o.n_overrides = 2;
    passes_open_on(&p, "llama", "ref");
    struct lorac_adapter *a = adapter(p.m, &o);
    assert_true(pair(a, "self_attn.v_proj")->scale == 2.0F);
    assert_true(pair(a, "self_attn.q_proj")->scale == 8.0F);
    assert_int_equal(pair(a, "self_attn.q_proj")->R, 2);
    assert_true(pair(a, "self_attn.k_proj")->scale == 3.0F / 8.0F);
    lorac_adapter_free(a);
    o.scaling = LORAC_SCALE_RSLORA;
    a = adapter(p.m, &o);
    assert_true(pair(a, "self_attn.v_proj")->scale == (float)(16.0 / sqrt(8.0)));
    lorac_adapter_free(a);
    passes_close(&p);
}

static void what_is_written_is_read_back(void **state)
{
    struct passes p;
    passes_open_on(&p, "llama", *state);
    struct lorac_adapter *a = adapter(p.m, &eight);
    for (size_t i = 0; i < a->n; i++) {
        for (int b = 0; b < 2; b++) {
            float x[MOST];
            float y[MOST];
            size_t n = a->site[i].R * (b ? a->site[i].OC : a->site[i].C);
            fill(x, n, (unsigned)(2 * i) + (unsigned)b);
            assert_int_equal(lorac_site_write(a, i, (size_t)b, x, NULL), LORAC_OK);
            assert_int_equal(lorac_site_read(y, a, i, (size_t)b, NULL), LORAC_OK);
            assert_memory_equal(x, y, n * sizeof *x);
        }
    }
    const struct lorac_site *l = &a->site[0]; // B (OC,R) lies transposed
    float b[MOST];
    float bt[MOST];
    assert_int_equal(lorac_site_read(b, a, 0, true, NULL), LORAC_OK);
    p.dev.ops->read(&p.dev, bt, l->p[1], l->R * l->OC * sizeof *bt);
    assert_true(b[5 * l->R + 3] == bt[3 * l->OC + 5]);
    char name[LORAC_NAME_SIZE];
    lorac_site_tensor_name(name, a, 0, true);
    assert_string_equal(name, "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight");
    lorac_adapter_free(a);
    passes_close(&p);
}

/* ---- several at once ---- */

/* The loss of the golden batch through a stack. */
static double stacked(struct passes *p, struct lorac_stack *s)
{
    struct lorac_socket socket = lorac_stack_socket(s);
    struct lorac_pass *pass = NULL;
    struct lorac_pass_options o = {.max_rows = PASS_ROWS};
    assert_int_equal(lorac_pass_new(&pass, p->m, &socket, &o, NULL), LORAC_OK);
    double loss = passes_run(pass, p->g.batch, NULL, false);
    lorac_pass_free(pass);
    return loss;
}

static void adapters_add_up_with_their_factors(void **state)
{
    struct passes p;
    passes_open_on(&p, "llama", *state);
    struct lorac_adapter *fresh = adapter(p.m, &eight); // B = 0: adds nothing, on other ranks
    struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_NOTHING);
    double want = passes_run(pass, p.g.batch, NULL, false);
    struct lorac_stack one = {.n = 1, .adapter = {p.a}, .factor = {1.0F}};
    assert_true(stacked(&p, &one) == want);
    struct lorac_stack halves = {.n = 2, .adapter = {p.a, p.a}, .factor = {0.25F, 0.75F}};
    assert_true(fabs(stacked(&p, &halves) - want) < 1e-5 * want);
    struct lorac_stack with = {
        .n = 3, .adapter = {fresh, p.a, fresh}, .factor = {5.0F, 1.0F, -1.0F}};
    assert_true(fabs(stacked(&p, &with) - want) < 1e-6 * want);
    struct lorac_stack none = {.n = 0};
    struct lorac_stack zero = {.n = 1, .adapter = {p.a}, .factor = {0.0F}};
    struct lorac_stack away = {.n = 2, .adapter = {p.a, p.a}, .factor = {1.0F, -1.0F}};
    double base = stacked(&p, &none);
    assert_true(fabs(base - want) > 1e-3 * want); // the adapter does something
    assert_true(stacked(&p, &zero) == base);
    assert_true(fabs(stacked(&p, &away) - base) < 1e-5 * base);
    lorac_pass_free(pass);
    lorac_adapter_free(fresh);
    passes_close(&p);
}

/* ---- errors ---- */

static void a_rank_larger_than_a_module_is_an_error(void **state)
{
    (void)state;
    struct passes p;
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    struct lorac_adapter_options o = eight;
    passes_open_on(&p, "llama", "ref");
    o.rank = 17; // k_proj has 2 heads of 8
    assert_int_equal(lorac_adapter_new(&a, p.m, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text, "rank 17 is larger than module "
                                  "'model.layers.0.self_attn.k_proj' (16 x 32)");
    assert_null(a);
    o.rank = 16;
    assert_int_equal(lorac_adapter_new(&a, p.m, &o, &err), LORAC_OK);
    lorac_adapter_free(a);
    passes_close(&p);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    struct passes p;
    passes_open_on(&p, "llama", "ref");
    long n = 0;
    for (;; n++) {
        struct lorac_err err = {0};
        struct lorac_adapter *a = NULL;
        float host[MOST];
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_adapter_new(&a, p.m, &eight, &err);
        if (!st) { st = lorac_adapter_reserve(a, &err); }
        if (!st) { st = lorac_site_read(host, a, 0, true, &err); }
        if (!st) { st = lorac_site_write(a, 0, true, host, &err); }
        const bool met = faults_stop();
        assert_true(a != NULL || st);
        lorac_adapter_free(a);
        if (!met) { break; }
        assert_int_equal(st, LORAC_ENOMEM);
        assert_true(err.text[0] != '\0');
    }
    assert_true(n > 20); // one a module, and more
    passes_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_is_a_function_of_seed_and_name),
        cmocka_unit_test(values_are_spread_as_peft_spreads_them),
        cmocka_unit_test(the_scale_is_alpha_over_rank_or_its_root),
        ON_EACH(what_is_written_is_read_back),
        ON_EACH(adapters_add_up_with_their_factors),
#ifdef LORAC_HAVE_OPENBLAS
        cmocka_unit_test(every_backend_starts_alike),
#endif
        cmocka_unit_test(a_rank_larger_than_a_module_is_an_error),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("adapter", tests, NULL, NULL);
}
