/*
 * The layers below the lowest adapter, apart from the others. What is promised, for every
 * architecture:
 *   - a forward pass in two parts is the whole one, bit by bit: loss and gradients;
 *   - what leaves the frozen layers depends on a row's own tokens alone: rows that ran alone, or in
 *     another batch, stand for it; with ref bit by bit, else but for rounding;
 *   - nothing is kept of frozen layers: one adapted layer takes the memory of one;
 *   - weights have copies for backward products where one comes, and none in frozen layers;
 *   - how many there are; with none, or where a segment needs a cache, it is an error;
 *   - all of it on memory that only operations can touch (the vault).
 */
#include "base/core/mem.h"
#include "base/core/rng.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"
#include "tests/support/vault.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void check(enum lorac_status st, const struct lorac_err *err)
{
    if (st) { fail_msg("%s", err->text); }
}

/* Another adapter in the place of the case's, none of it zero. */
static void adapt_as(struct passes *p, const struct lorac_adapter_options *o)
{
    struct lorac_err err = {0};
    lorac_adapter_free(p->a);
    check(lorac_adapter_new(&p->a, p->m, o, &err), &err);
    check(lorac_adapter_reserve(p->a, &err), &err);
    float *values = lorac_mem_new(p->a->n_params, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < p->a->n_params; i++) {
        values[i] = (float)(0.1 * lorac_rng_normal(lorac_rng_key(7, "test"), 0, i));
    }
    p->dev.ops->write(&p->dev, p->a->params, values, p->a->n_params * sizeof *values);
    lorac_mem_free(values);
    check(lorac_adapter_refresh(p->a, &err), &err);
    p->socket = lorac_adapter_socket(p->a);
}

/* On layer `layer` alone. */
static void adapt(struct passes *p, size_t layer)
{
    struct lorac_adapter_options o = lorac_adapter_options_default();
    o.layers = &layer;
    o.n_layers = 1;
    adapt_as(p, &o);
}

static void adapt_last(struct passes *p)
{
    adapt(p, p->m->config.L - 1);
}

/* Two rows of tokens that go on from a common beginning, and one on its own; of an encoder, whose
 * rows see their whole text, three on their own. */
static const int32_t ids[3][7] = {
    {6, 25, 59, 49, 44, 53, 41}, {8, 14, 28, 64, 18, 36, 3}, {34, 17, 18, 17, 13, 5, 2}};
enum { N = 7 };

static void add_rows(struct passes *p)
{
    lorac_batch_clear(p->b);
    int32_t root = lorac_batch_add(p->b, ids[0], N, -1);
    if (p->m->config.bidirectional) { root = -1; }
    for (size_t k = 1; k < 3; k++) {
        size_t row = p->b->N;
        (void)lorac_batch_add(p->b, ids[k], N, k == 1 ? root : -1);
        for (size_t i = 1; i < N; i++) {
            lorac_batch_score(p->b, row + i - 1, ids[k][i]);
        }
    }
}

/* The same rows, another batch each: x (3 N,C) written. */
static void rows_alone(float *x, struct passes *p, struct lorac_pass *pass)
{
    struct lorac_err err = {0};
    size_t C = p->m->config.C;
    lorac_batch_clear(p->b);
    if (p->m->config.bidirectional) {
        (void)lorac_batch_add(p->b, ids[0], N, -1);
        (void)lorac_batch_add(p->b, ids[1], N, -1);
    } else {
        int32_t root = lorac_batch_add(p->b, ids[0], 3, -1); // in two segments
        root = lorac_batch_add(p->b, ids[0] + 3, N - 3, root);
        (void)lorac_batch_add(p->b, ids[1], N, root);
    }
    check(lorac_pass_forward_frozen(x, pass, p->b, &err), &err);
    lorac_batch_clear(p->b);
    (void)lorac_batch_add(p->b, ids[2], N, -1);
    check(lorac_pass_forward_frozen(x + 2 * N * C, pass, p->b, &err), &err);
}

struct course {
    double loss;
    float *grads;
};

static struct course from(const float *x, struct passes *p, struct lorac_pass *pass)
{
    struct lorac_err err = {0};
    struct course c = {0};
    float nll[2 * PASS_ROWS];
    add_rows(p);
    check(x ? lorac_pass_forward_rest(pass, p->b, x, &err)
            : lorac_pass_forward(pass, p->b, NULL, &err),
          &err);
    lorac_pass_loss(pass, p->b, nll, true);
    lorac_pass_backward(pass, p->b);
    for (size_t t = 0; t < p->b->T; t++) {
        c.loss += (double)nll[t];
    }
    c.grads = passes_take(p);
    return c;
}

static void same(const char *name, const struct course *got, const struct course *want, size_t n,
                 bool bits)
{
    assert_true(golden_largest(want->grads, n) > 0.0F);
    if (bits) {
        assert_true(got->loss == want->loss);
        assert_memory_equal(got->grads, want->grads, n * sizeof(float));
    } else { // sums of other lengths: as near as two packings are (test_pass.c)
        assert_true(fabs(got->loss - want->loss) <= 1e-6 * fabs(want->loss));
        near_all(name, got->grads, want->grads, n, 3e-6F * golden_largest(want->grads, n), 0.0F);
    }
}

/* On an opened case whose last layer is adapted. `alike`: both ways multiply as many rows in every
 * layer, so that a backend's sums are grouped alike. */
static void parts_equal_the_whole(const char *name, struct passes *p, enum lorac_keep keep,
                                  bool alike)
{
    struct lorac_err err = {0};
    bool ref = strcmp(p->dev.ops->name, "cpu") != 0;
    size_t n = p->a->n_params;
    struct lorac_pass *pass = passes_new(p, keep);
    float *x = lorac_mem_new(PASS_ROWS * p->m->config.C, sizeof *x);
    assert_non_null(x);
    struct course whole = from(NULL, p, pass);
    add_rows(p);
    check(lorac_pass_forward_frozen(x, pass, p->b, &err), &err);
    for (int again = 0; again < 2; again++) { // as often as one likes
        struct course parts = from(x, p, pass);
        same(name, &parts, &whole, n, alike || ref);
        lorac_mem_free(parts.grads);
    }
    rows_alone(x, p, pass);
    struct course alone = from(x, p, pass);
    same(name, &alone, &whole, n, ref);
    x[N * p->m->config.C] += 1.0F; // of a row that scores: it is x that it goes on from
    struct course other = from(x, p, pass);
    assert_true(other.loss < alone.loss || other.loss > alone.loss);
    lorac_mem_free(other.grads);
    lorac_mem_free(alone.grads);
    lorac_mem_free(whole.grads);
    lorac_mem_free(x);
    lorac_pass_free(pass);
}

static void two_parts_are_the_whole(void **state)
{
    for (size_t i = 0; golden_every(i); i++) {
        struct passes p;
        passes_open_on(&p, golden_every(i), *state);
        adapt_last(&p);
        assert_int_equal(lorac_frozen_layers(p.m, &p.socket), p.m->config.L - 1);
        parts_equal_the_whole(golden_every(i), &p, LORAC_KEEP_ALL, true);
        parts_equal_the_whole(golden_every(i), &p, LORAC_KEEP_LAYERS, true);
        passes_close(&p);
    }
}

static void so_they_are_where_the_head_alone_is_adapted(void **state)
{
    static const char *const head[] = {"lm_head"};
    struct lorac_adapter_options o = lorac_adapter_options_default();
    struct passes p;
    o.targets = head;
    o.n_targets = 1;
    passes_open_on(&p, "llama-head", *state);
    adapt_as(&p, &o);
    assert_int_equal(lorac_frozen_layers(p.m, &p.socket), p.m->config.L);
    // the whole goes through the last layer with the rows that score alone
    parts_equal_the_whole("llama-head", &p, LORAC_KEEP_ALL, false);
    passes_close(&p);
}

static void so_they_are_in_the_vault(void **state)
{
    struct passes p;
    struct lorac_device dev;
    (void)state;
    vault_open(&dev, 32 << 20);
    passes_open(&p, "llama", dev);
    adapt_last(&p);
    parts_equal_the_whole("llama", &p, LORAC_KEEP_ALL, true);
    passes_close(&p);
}

static size_t bytes_of(struct passes *p, enum lorac_keep keep)
{
    struct lorac_err err = {0};
    size_t bytes = 0;
    struct lorac_pass_options o = {.max_rows = PASS_ROWS, .keep = keep};
    check(lorac_pass_measure(&bytes, p->m, &p->socket, &o, &err), &err);
    struct lorac_pass *pass = passes_new(p, keep);
    assert_int_equal(lorac_pass_bytes(pass), bytes);
    lorac_pass_free(pass);
    return bytes;
}

static void nothing_is_kept_of_frozen_layers(void **state)
{
    struct passes p;
    (void)state;
    passes_open_on(&p, "llama", "ref");
    adapt(&p, 0);
    assert_true(bytes_of(&p, LORAC_KEEP_ALL) > bytes_of(&p, LORAC_KEEP_LAYERS));
    adapt_last(&p);
    assert_int_equal(bytes_of(&p, LORAC_KEEP_ALL), bytes_of(&p, LORAC_KEEP_LAYERS));
    passes_close(&p);
}

/* ---- copies of weights ---- */

enum { MODULES = 128, FORWARD = 1, BACK = 2, READ = 4 };
static const struct lorac_model *watched;
static unsigned seen[MODULES]; // which copies of each were made, and was it multiplied back?

static void see(const struct lorac_weight *w, unsigned what)
{
    for (size_t i = 0; i < watched->n_modules; i++) {
        if (watched->module[i].w == w) { seen[i] |= what; }
    }
}

static void see_prepared(struct lorac_device *dev, const struct lorac_weight *const *w, size_t n,
                         bool back)
{
    (void)dev;
    for (size_t i = 0; i < n; i++) {
        see(w[i], back ? FORWARD | BACK : FORWARD);
    }
}

static void see_backward(struct lorac_device *dev, float *dx, const float *dy,
                         const struct lorac_weight *w, size_t rows, float beta)
{
    see(w, READ);
    lorac_backend_ref.linear_backward(dev, dx, dy, w, rows, beta);
}

/* Of a pass that keeps so, down too where it trains. */
static void watch(struct passes *p, enum lorac_keep keep)
{
    memset(seen, 0, sizeof seen);
    watched = p->m;
    assert_true(p->m->n_modules <= MODULES);
    struct lorac_pass *pass = passes_new(p, keep);
    if (keep != LORAC_KEEP_NOTHING) { lorac_mem_free(from(NULL, p, pass).grads); }
    lorac_pass_free(pass);
}

/* With a method on layer l alone; l = L: on the head. */
static void copies_are_made_above(struct passes *p, const char *method, size_t l)
{
    static const char *const inputs[] = {"down_proj"};
    static const char *const head[] = {"lm_head"};
    struct lorac_adapter_options o = lorac_adapter_options_default();
    bool lora = strcmp(method, "lora") == 0;
    size_t n_read = 0;
    o.method = method;
    o.layers = l < p->m->config.L ? &l : NULL;
    o.n_layers = o.layers != NULL;
    o.targets = o.layers ? inputs : head; // of a layer the last linear one
    o.n_targets = 1;
    o.feedforward = inputs;
    o.n_feedforward = lora || !o.layers ? 0 : 1;
    adapt_as(p, &o);
    watch(p, LORAC_KEEP_ALL);
    for (size_t i = 0; i < p->m->n_modules; i++) {
        const struct lorac_module *m = &p->m->module[i];
        size_t layer = p->m->config.L; // the head's
        if (!lorac_module_is_linear(m)) { continue; }
        (void)sscanf(m->name, "model.layers.%zu.", &layer);
        unsigned made = layer < l ? FORWARD : FORWARD | BACK;
        if ((seen[i] & ~(unsigned)READ) != made || ((seen[i] & READ) && layer < l)) {
            fail_msg("%s on layer %zu: %u of %s", method, l, seen[i], m->name);
        }
        n_read += (seen[i] & READ) != 0;
    }
    assert_true(n_read > 0 || o.targets == head);
    watch(p, LORAC_KEEP_NOTHING);
    assert_int_equal(seen[p->m->head], 0);
}

static void copies_for_backward_products_are_of_the_layers_above(void **state)
{
    (void)state;
    struct lorac_backend watching = lorac_backend_ref;
    struct passes p;
    watching.weights_prepare = see_prepared;
    watching.linear_backward = see_backward;
    passes_open_on(&p, "llama-head", "ref");
    p.dev.ops = &watching;
    p.m->compute = LORAC_BFLOAT16; // of another backend
    for (size_t l = 0; l <= p.m->config.L; l++) {
        copies_are_made_above(&p, "lora", l);
        copies_are_made_above(&p, "ia3", l); // its backward product is there for its own gradient
    }
    p.dev.ops = &lorac_backend_ref;
    passes_close(&p);
}

/* ---- what is frozen ---- */

static struct lorac_socket head_alone;

static bool adapts_head(const void *self, size_t m)
{
    return m == ((const struct lorac_model *)self)->head;
}

static bool adapts_embedding(const void *self, size_t m)
{
    return m == ((const struct lorac_model *)self)->embed;
}

static void layers_below_the_lowest_adapter_are_frozen(void **state)
{
    struct passes p;
    (void)state;
    passes_open_on(&p, "llama", "ref");
    size_t L = p.m->config.L;
    assert_int_equal(lorac_frozen_layers(p.m, NULL), L);
    for (size_t l = 0; l < L; l++) {
        adapt(&p, l);
        assert_int_equal(lorac_frozen_layers(p.m, &p.socket), l);
    }
    head_alone = (struct lorac_socket){.self = p.m, .adapts = adapts_head};
    assert_int_equal(lorac_frozen_layers(p.m, &head_alone), L);
    head_alone.adapts = adapts_embedding;
    assert_int_equal(lorac_frozen_layers(p.m, &head_alone), 0);
    passes_close(&p);
}

static void without_frozen_layers_it_is_an_error(void **state)
{
    struct passes p;
    struct lorac_err err = {0};
    float x[PASS_ROWS * 64];
    static const char none[] = "the lowest layer is adapted: none below it is frozen";
    (void)state;
    passes_open_on(&p, "llama", "ref");
    adapt(&p, 0);
    struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_ALL);
    add_rows(&p);
    assert_int_equal(lorac_pass_forward_frozen(x, pass, p.b, &err), LORAC_EUSER);
    assert_string_equal(err.text, none);
    assert_int_equal(lorac_pass_forward_rest(pass, p.b, x, &err), LORAC_EUSER);
    assert_string_equal(err.text, none);
    lorac_pass_free(pass);
    adapt_last(&p);
    pass = passes_new(&p, LORAC_KEEP_ALL);
    lorac_batch_clear(p.b);
    (void)lorac_batch_add_cached(p.b, ids[0], N, -1, 0, 0, true);
    assert_int_equal(lorac_pass_forward_rest(pass, p.b, x, &err), LORAC_EUSER);
    assert_string_equal(err.text, "segment 0 needs rows up to 7 of the cache, which has 0");
    assert_int_equal(lorac_pass_forward_frozen(x, pass, p.b, &err), LORAC_EUSER);
    lorac_pass_free(pass);
    passes_close(&p);
}

// clang-format off
#define ON(backend, test) {#test "/" #backend, test, NULL, NULL, backend}
// clang-format on

int main(void)
{
    char ref[] = "ref"; // cmocka takes no const
#ifdef LORAC_HAVE_OPENBLAS
    char cpu[] = "cpu";
#endif
    const struct CMUnitTest tests[] = {
        ON(ref, two_parts_are_the_whole),
        ON(ref, so_they_are_where_the_head_alone_is_adapted),
#ifdef LORAC_HAVE_OPENBLAS
        ON(cpu, two_parts_are_the_whole),
        ON(cpu, so_they_are_where_the_head_alone_is_adapted),
#endif
        cmocka_unit_test(so_they_are_in_the_vault),
        cmocka_unit_test(nothing_is_kept_of_frozen_layers),
        cmocka_unit_test(copies_for_backward_products_are_of_the_layers_above),
        cmocka_unit_test(layers_below_the_lowest_adapter_are_frozen),
        cmocka_unit_test(without_frozen_layers_it_is_an_error),
    };
    return cmocka_run_group_tests_name("frozen", tests, NULL, NULL);
}
