/*
 * A pass's profile. What is promised:
 *   - each operation of the program is a row, run as often as the program says, products with the
 *     arithmetic that they have; what an adapter does beside them is a row of its own;
 *   - rows exclude each other: they add up to the time between the first switch and the last;
 *   - a pass computes the same with and without;
 *   - so it shows that of the last layer only rows that score run behind attention, up and down, in
 *     every architecture; and none where none does;
 *   - products are measured by themselves, where they were seen, with weights of the last layers:
 *     frozen ones are not packed for backward products;
 *   - an allocation that fails is LORAC_ENOMEM.
 */
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "tests/support/faults.h"
#include "tests/support/passes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const int32_t ids[] = {6, 25, 59, 49, 44, 53, 41};
enum { N = sizeof ids / sizeof *ids };

static const struct lorac_profile_row *row(const struct lorac_profile *f, const char *name)
{
    const struct lorac_profile_row *found = NULL;
    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->row[i].name, name) == 0) { found = &f->row[i]; }
    }
    assert_non_null(found);
    return found;
}

static void open_profile(struct passes *p, struct lorac_pass **pass, struct lorac_profile **f)
{
    passes_open_on(p, "llama", "ref");
    *pass = passes_new(p, LORAC_KEEP_ALL);
    assert_int_equal(lorac_profile_new(f, p->m, NULL), LORAC_OK);
    lorac_batch_clear(p->b);
    (void)passes_add(p, ids, N);
}

/* Two layers, adapters on all their linear ones, the last row unscored. */
static void every_operation_is_counted_once(void **state)
{
    (void)state;
    struct passes p;
    struct lorac_pass *pass = NULL;
    struct lorac_profile *f = NULL;
    open_profile(&p, &pass, &f);
    const double want = passes_run(pass, p.b, NULL, true);
    float *plain = passes_take(&p);
    lorac_pass_profile(pass, f);
    const double begin = lorac_clock();
    (void)lorac_profile_enter(f, LORAC_PROFILE_REST);
    const double got = passes_run(pass, p.b, NULL, true);
    (void)lorac_profile_switch(f, NULL);
    const double took = lorac_clock() - begin;
    float *seen = passes_take(&p);
    assert_true(got == want);
    assert_memory_equal(plain, seen, p.a->n_params * sizeof *plain);

    const struct lorac_config *c = &p.m->config;
    const struct lorac_profile_row *up = row(f, "mlp.up_proj");
    const struct lorac_profile_row *q = row(f, "self_attn.q_proj");
    const struct lorac_profile_row *head = row(f, "lm_head");
    const struct lorac_profile_row *adapters = &f->row[LORAC_PROFILE_ADAPTERS];
    assert_int_equal(c->L, 2);
    assert_int_equal(row(f, "model.embed_tokens")->forward.calls, 1);
    assert_int_equal(row(f, "rope")->forward.calls, 2 * 2); // q and k
    assert_int_equal(row(f, "attention")->backward.calls, 2);
    assert_int_equal(row(f, "gate")->forward.calls, 2 * 2); // made again on the way down
    assert_int_equal(up->forward.calls, 2);
    assert_int_equal(adapters->forward.calls, 2 * 7);
    assert_int_equal(adapters->backward.calls, 2 * 7);
    assert_int_equal(f->row[LORAC_PROFILE_LOSS].forward.calls, 1);
    assert_true(up->backward.flops == 2.0 * (N + N - 1) * (double)(c->F * c->C));
    assert_true(q->forward.flops == 2.0 * (N + N - 1) * (double)(c->H * c->D * c->C));
    assert_true(q->backward.flops == 2.0 * (N - 1) * (double)(c->H * c->D * c->C)); // of two layers
    assert_true(head->forward.flops == 2.0 * (N - 1) * (double)(c->V * c->C));
    double sum = 0.0;
    for (size_t i = 0; i < f->n; i++) {
        assert_true(f->row[i].forward.seconds >= 0.0 && f->row[i].backward.seconds >= 0.0);
        sum += f->row[i].forward.seconds + f->row[i].backward.seconds;
    }
    assert_true(sum <= took && sum >= 0.5 * took); // two looks at the clock are in between
    assert_true(adapters->backward.seconds > 0.0 && q->backward.seconds > 0.0);
    lorac_mem_free(plain);
    lorac_mem_free(seen);
    lorac_pass_free(pass);
    lorac_profile_free(f);
    passes_close(&p);
}

/* Products of one row with this module, in all layers together. */
static double rows_of(const struct lorac_cost *c, const struct passes *p, const char *module)
{
    for (size_t i = 0; i < p->m->n_modules; i++) {
        const char *at = strstr(p->m->module[i].name, module);
        if (!at) { continue; }
        return c->flops / (2.0 * (double)(p->m->module[i].OC * p->m->module[i].C));
    }
    return -1.0;
}

static void rows_that_do_not_score_end_behind_the_last_attention(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in, *out; // modules that read and write the residual stream
    } cases[] = {{"llama", "self_attn.v_proj", "mlp.down_proj"},
                 {"gemma3", "self_attn.v_proj", "self_attn.o_proj"},
                 {"gpt2", "attn.c_attn", "mlp.c_proj"},
                 {"neox", "attention.query_key_value", "mlp.dense_4h_to_h"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t U = 0; U < 4; U++) {
            struct passes p;
            struct lorac_pass *pass = NULL;
            struct lorac_profile *f = NULL;
            passes_open_on(&p, cases[i].name, "ref");
            pass = passes_new(&p, LORAC_KEEP_ALL);
            assert_int_equal(lorac_profile_new(&f, p.m, NULL), LORAC_OK);
            lorac_pass_profile(pass, f);
            lorac_batch_clear(p.b);
            (void)lorac_batch_add(p.b, ids, N, -1);
            for (size_t u = 0; u < U; u++) {
                lorac_batch_score(p.b, 2 * u, ids[2 * u + 1]);
            }
            (void)passes_run(pass, p.b, NULL, true);
            double others = (double)(p.m->config.L - 1) * N;
            double back = rows_of(&row(f, cases[i].out)->backward, &p, cases[i].out);
            assert_true(rows_of(&row(f, cases[i].in)->forward, &p, cases[i].in) == others + N);
            assert_true(rows_of(&row(f, cases[i].out)->forward, &p, cases[i].out) ==
                        others + (double)U);
            assert_true(back == others + (double)U);
            float *grads = passes_take(&p);
            assert_true((golden_largest(grads, p.a->n_params) > 0.0F) == (U > 0));
            lorac_mem_free(grads);
            lorac_pass_free(pass);
            lorac_profile_free(f);
            passes_close(&p);
        }
    }
}

static void products_are_measured_where_they_were_seen(void **state)
{
    (void)state;
    struct passes p;
    struct lorac_pass *pass = NULL;
    struct lorac_profile *f = NULL;
    open_profile(&p, &pass, &f);
    assert_int_equal(lorac_profile_measure(f, NULL), LORAC_OK); // nothing was
    assert_true(row(f, "mlp.up_proj")->forward.alone == 0.0);
    lorac_pass_profile(pass, f);
    (void)passes_run(pass, p.b, NULL, false);
    assert_int_equal(lorac_profile_measure(f, NULL), LORAC_OK);
    assert_true(row(f, "mlp.up_proj")->forward.alone > 0.0);
    assert_true(row(f, "lm_head")->forward.alone > 0.0);
    assert_true(row(f, "mlp.up_proj")->backward.alone == 0.0);
    assert_true(row(f, "attention")->forward.alone == 0.0);
    lorac_pass_free(pass);
    lorac_profile_free(f);
    passes_close(&p);
}

static const struct lorac_weight *first, *lowest; // of the backward products; of layer 0
static bool below;                                // was it one of them?

static void see_backward(struct lorac_device *dev, float *dx, const float *dy,
                         const struct lorac_weight *w, size_t rows, float beta)
{
    if (!first) { first = w; }
    below = below || w == lowest;
    lorac_backend_ref.linear_backward(dev, dx, dy, w, rows, beta);
}

static void products_are_measured_in_the_last_layers(void **state)
{
    (void)state;
    struct lorac_backend watching = lorac_backend_ref;
    struct lorac_device dev;
    struct lorac_model *m = NULL;
    struct lorac_profile *f = NULL;
    watching.linear_backward = see_backward;
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    assert_int_equal(
        lorac_model_open(&m, &dev, LORAC_TESTS_DIR "/../base/models/small", LORAC_FLOAT32, NULL),
        LORAC_OK);
    assert_int_equal(lorac_profile_new(&f, m, NULL), LORAC_OK);
    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->row[i].name, "self_attn.q_proj") != 0) { continue; }
        f->row[i].backward.calls = 1;
        f->row[i].backward.flops = 2.0 * (double)(m->config.C * m->config.C); // one row
    }
    lowest = m->module[lorac_module_find(m, "model.layers.0.self_attn.q_proj")].w;
    first = NULL;
    below = false;
    dev.ops = &watching;
    assert_int_equal(lorac_profile_measure(f, NULL), LORAC_OK);
    dev.ops = &lorac_backend_ref;
    assert_ptr_equal(first, m->module[lorac_module_find(m, "model.layers.5.self_attn.q_proj")].w);
    assert_false(below);
    lorac_profile_free(f);
    lorac_model_close(m);
    lorac_device_close(&dev);
}

static void an_allocation_that_fails_is_no_memory(void **state)
{
    (void)state;
    struct passes p;
    struct lorac_pass *pass = NULL;
    struct lorac_profile *f = NULL;
    open_profile(&p, &pass, &f);
    lorac_pass_profile(pass, f);
    (void)passes_run(pass, p.b, NULL, true);
    long n = 0;
    for (bool met = true; met; n++) {
        struct lorac_profile *other = NULL;
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_profile_new(&other, p.m, NULL);
        if (!st) { st = lorac_profile_measure(f, NULL); }
        met = faults_stop();
        assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
        lorac_profile_free(other);
    }
    assert_true(n > 5);
    lorac_pass_free(pass);
    lorac_profile_free(f);
    passes_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_is_counted_once),
        cmocka_unit_test(rows_that_do_not_score_end_behind_the_last_attention),
        cmocka_unit_test(products_are_measured_where_they_were_seen),
        cmocka_unit_test(products_are_measured_in_the_last_layers),
        cmocka_unit_test(an_allocation_that_fails_is_no_memory),
    };
    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
