/*
 * Several adapters beside one base. What is promised, on every case of tests/golden/models and on
 * every backend:
 *   - a pass goes from one adapter to the bare base and back without being made anew, bit for bit;
 *   - a factor of 0 changes nothing, and two halves of one adapter are the whole of it;
 *   - what stands in for a module's tensors adapts it, as it does where the adapter trains, alone
 *     or in a batch with others: rows below it that are kept stay true.
 */
#include "base/core/mem.h"
#include "lora/lora.h"
#include "tests/support/backends.h"
#include "tests/support/golden.h"
#include "tests/support/near.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct lorac_device dev;
    struct golden g;
    struct lorac_model *m;
    struct lorac_adapter *a, *fresh;
    struct lorac_batch *b;
    struct lorac_pass *p;
    size_t n; // logits
};

static void open_case(struct fixture *f, const char *name, const char *backend)
{
    struct lorac_err err = {0};
    struct lorac_pass_options o = {.max_rows = 64};
    golden_open(&f->g, name);
    assert_int_equal(lorac_device_open(&f->dev, backend, 1, &err), LORAC_OK);
    assert_int_equal(lorac_model_open(&f->m, &f->dev, f->g.dir, LORAC_FLOAT32, &err), LORAC_OK);
    const char *dir = golden_path(&f->g, "adapter");
    assert_int_equal(lorac_peft_load(&f->a, f->m, dir, false, &err), LORAC_OK);
    dir = golden_path(&f->g, "start");
    assert_int_equal(lorac_peft_load(&f->fresh, f->m, dir, false, &err), LORAC_OK);
    f->b = golden_logits_batch(f->g.batch);
    f->n = f->b->N * f->m->config.V;
    assert_int_equal(lorac_pass_new(&f->p, f->m, NULL, &o, &err), LORAC_OK);
}

static void close_case(struct fixture *f)
{
    lorac_pass_free(f->p);
    lorac_batch_free(f->b);
    lorac_adapter_free(f->fresh);
    lorac_adapter_free(f->a);
    lorac_model_close(f->m);
    lorac_device_close(&f->dev);
    golden_close(&f->g);
}

/* Logits with these adapters from now on (NULL: the bare base), in new memory. */
static float *logits_with(struct fixture *f, struct lorac_stack *stack)
{
    struct lorac_err err = {0};
    struct lorac_socket socket = {0};
    float *logits = lorac_mem_new(f->n, sizeof *logits);
    if (stack) { socket = lorac_stack_socket(stack); }
    assert_non_null(logits);
    assert_int_equal(lorac_pass_use(f->p, stack ? &socket : NULL, &err), LORAC_OK);
    assert_int_equal(lorac_pass_forward(f->p, f->b, NULL, &err), LORAC_OK);
    lorac_pass_logits(f->p, f->b, logits);
    return logits;
}

static void adapters_come_and_go_beside_one_base(void **state)
{
    for (size_t i = 0; golden_every(i); i++) {
        struct fixture f = {0};
        open_case(&f, golden_every(i), *state);
        struct lorac_stack one = {.n = 1, .adapter = {f.a}, .factor = {1.0F}};
        float *base = logits_with(&f, NULL);
        float *first = logits_with(&f, &one);
        float *between = logits_with(&f, NULL);
        float *again = logits_with(&f, &one);
        assert_memory_equal(base, between, f.n * sizeof *base);
        assert_memory_equal(first, again, f.n * sizeof *first);
        assert_true(memcmp(base, first, f.n * sizeof *base) != 0);
        lorac_mem_free(base);
        lorac_mem_free(first);
        lorac_mem_free(between);
        lorac_mem_free(again);
        close_case(&f);
    }
}

static void factors_weigh_what_each_adapter_adds(void **state)
{
    for (size_t i = 0; golden_every(i); i++) {
        struct fixture f = {0};
        open_case(&f, golden_every(i), *state);
        struct lorac_stack none = {.n = 1, .adapter = {f.a}, .factor = {0.0F}};
        struct lorac_stack one = {.n = 1, .adapter = {f.a}, .factor = {1.0F}};
        struct lorac_stack parts = {
            .n = 3, .adapter = {f.a, f.fresh, f.a}, .factor = {0.25F, 1.0F, 0.75F}};
        bool adds = strcmp(lorac_adapter_title(f.a), "LoRA") == 0;
        if (f.a->n_full || !adds) { // what trained in full, or multiplies, has no factor
            assert_int_equal(lorac_stack_check(&none, NULL), LORAC_EUSER);
            assert_int_equal(lorac_stack_check(&one, NULL), LORAC_OK);
            close_case(&f);
            continue;
        }
        float *base = logits_with(&f, NULL);
        float *nothing = logits_with(&f, &none);
        float *whole = logits_with(&f, &one);
        float *sum = logits_with(&f, &parts);
        assert_memory_equal(base, nothing, f.n * sizeof *base);
        // two sums of float32 instead of one
        near_all(golden_every(i), sum, whole, f.n, 1e-5F * golden_largest(whole, f.n), 0.0F);
        lorac_mem_free(base);
        lorac_mem_free(nothing);
        lorac_mem_free(whole);
        lorac_mem_free(sum);
        close_case(&f);
    }
}

static void what_stands_in_adapts(void **state)
{
    for (size_t i = 0; golden_every(i); i++) {
        struct fixture f = {0};
        open_case(&f, golden_every(i), *state);
        struct lorac_stack stack = {.n = 1, .adapter = {f.a}, .factor = {1.0F}};
        const struct lorac_adapter *one = f.a;
        struct lorac_mix mix = {.n = 1, .adapter = &one, .whole = f.a};
        struct lorac_socket own = lorac_adapter_socket(f.a);
        struct lorac_socket alone = lorac_stack_socket(&stack);
        struct lorac_socket mixed = lorac_mix_socket(&mix);
        for (size_t m = 0; m < f.m->n_modules; m++) {
            assert_int_equal(alone.adapts(alone.self, m), own.adapts(own.self, m));
            assert_int_equal(mixed.adapts(mixed.self, m), own.adapts(own.self, m));
        }
        close_case(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EACH(adapters_come_and_go_beside_one_base),
        ON_EACH(factors_weigh_what_each_adapter_adds),
        ON_EACH(what_stands_in_adapts),
    };
    return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}
