/*
 * What a device is asked for. What is promised: everything that models, passes, caches, adapters,
 * optimisers and generators take of a device's memory, and all that they let it hold, goes back
 * when they are closed; once each.
 */
#include "base/generate.h"
#include "tests/support/passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 4096 };
static const void *there[MOST]; // blocks, and what is held: each once
static size_t n_there;
static size_t n_taken;

static void put(const void *p)
{
    if (!p) { return; }
    assert_true(n_there < MOST);
    there[n_there++] = p;
    n_taken++;
}

static void take(const void *p)
{
    size_t i = 0;
    if (!p) { return; }
    while (i < n_there && there[i] != p) {
        i++;
    }
    if (i == n_there) { fail_msg("given back, but not there"); }
    there[i] = there[--n_there];
}

static void *count_alloc(struct lorac_device *dev, size_t bytes)
{
    void *p = lorac_backend_ref.alloc(dev, bytes);
    put(p);
    return p;
}

static void count_release(struct lorac_device *dev, void *p)
{
    take(p);
    lorac_backend_ref.release(dev, p);
}

static struct lorac_weight *count_open(struct lorac_device *dev, const void *host,
                                       enum lorac_dtype type, size_t OC, size_t C, bool transposed,
                                       enum lorac_compute compute)
{
    struct lorac_weight *w =
        lorac_backend_ref.weight_open(dev, host, type, OC, C, transposed, compute);
    put(w);
    return w;
}

static struct lorac_weight *count_over(struct lorac_device *dev, const float *data, size_t OC,
                                       size_t C, bool transposed)
{
    struct lorac_weight *w = lorac_backend_ref.weight_over(dev, data, OC, C, transposed);
    put(w);
    return w;
}

static void count_close(struct lorac_device *dev, struct lorac_weight *w)
{
    take(w);
    lorac_backend_ref.weight_close(dev, w);
}

static void expect_all_back(const char *what, size_t before)
{
    if (n_there != before) { fail_msg("%s keeps %zu blocks", what, n_there - before); }
}

static void train_and_generate(struct passes *p)
{
    static const enum lorac_keep keeps[] = {LORAC_KEEP_NOTHING, LORAC_KEEP_LAYERS, LORAC_KEEP_ALL};
    static const struct lorac_optim_options sgd = {
        .name = "sgd", .lr = 0.1, .momentum = 0.9, .steps = 1};
    const size_t before = n_there;
    for (size_t i = 0; i < 3; i++) {
        struct lorac_pass *pass = passes_new(p, keeps[i]);
        (void)passes_run(pass, p->g.batch, NULL, i > 0);
        lorac_pass_free(pass);
        expect_all_back("a pass", before);
    }
    struct lorac_optim *o = NULL;
    assert_int_equal(lorac_optim_new(&o, p->a, &sgd, NULL), LORAC_OK);
    assert_true(n_there > before);
    lorac_optim_free(o);
    expect_all_back("an optimiser", before);
    const struct lorac_adapter_options olora = {
        .rank = 2, .alpha = 4.0, .init = LORAC_INIT_OLORA, .seed = 1};
    struct lorac_adapter *a = NULL;
    assert_int_equal(lorac_adapter_new(&a, p->m, &olora, NULL), LORAC_OK);
    assert_int_equal(lorac_adapter_reserve(a, NULL), LORAC_OK);
    assert_true(n_there > before);
    lorac_adapter_free(a);
    expect_all_back("an adapter that starts from weights", before);
    struct lorac_generator *g = NULL;
    assert_int_equal(lorac_generator_new(&g, p->m, &p->socket, 16, 1, NULL), LORAC_OK);
    assert_true(n_there > before);
    lorac_generator_free(g);
    expect_all_back("a generator", before);
}

static void what_a_device_gives_it_gets_back(void **state)
{
    (void)state;
    for (size_t i = 0; golden_cases[i]; i++) { // tied and untied, with biases and without
        struct lorac_backend ops = lorac_backend_ref;
        struct lorac_device dev;
        struct passes p;
        ops.alloc = count_alloc;
        ops.release = count_release;
        ops.weight_open = count_open;
        ops.weight_over = count_over;
        ops.weight_close = count_close;
        assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
        dev.ops = &ops;
        n_taken = 0;
        passes_open(&p, golden_cases[i], dev);
        assert_true(n_there > 10);
        train_and_generate(&p);
        passes_close(&p);
        expect_all_back(golden_cases[i], 0);
        assert_true(n_taken > 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_device_gives_it_gets_back),
    };
    return cmocka_run_group_tests_name("device_memory", tests, NULL, NULL);
}
