/*
 * Whole models whose layers multiply 8-bit integers. What is promised:
 *   - the cpu backend's loss and gradients are those of `ref` in int8, for every golden case;
 *   - they are near float32's, and not the same: the layers are approximated, the head is not.
 *
 * Tolerances, of the largest gradient: a number that lies within the float32 rounding of the two
 * backends (1e-6 of it) of a half becomes the next integer on one of them: 1/127 of its row's
 * largest, seen in a sum of tens of terms. The cases differ by 2e-3 at the most where that happens;
 * against float32 all numbers are rounded so, forward and backward, through all layers. Where the
 * cpu backend lacks bfloat16 its head is float32, ref's is not: 2^-8 more, through the same layers.
 */
#include "base/core/mem.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct result {
    double loss;
    float *gradient; // (n)
    size_t n;
    bool rounds; // the head's factors, to bfloat16
};

static void run(struct result *out, const char *name, const char *backend,
                enum lorac_compute compute)
{
    struct passes p = {0};
    struct lorac_err err = {0};
    golden_open(&p.g, name);
    enum lorac_status st = lorac_device_open(&p.dev, backend, 2, &err);
    if (!st) { st = lorac_model_open(&p.m, &p.dev, p.g.dir, compute, &err); }
    if (!st) { st = lorac_peft_load(&p.a, p.m, golden_path(&p.g, "adapter"), false, &err); }
    if (!st) { st = lorac_adapter_reserve(p.a, &err); }
    if (st) { fail_msg("%s", err.text); }
    out->rounds = !p.dev.ops->lacks(&p.dev, LORAC_BFLOAT16);
    p.socket = lorac_adapter_socket(p.a);
    struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_ALL);
    out->loss = passes_run(pass, p.g.batch, NULL, true);
    out->n = p.a->n_params;
    out->gradient = passes_take(&p);
    lorac_pass_free(pass);
    passes_close(&p);
}

/* The largest difference of two gradients, of the largest number of `b`. */
static double distance(const struct result *a, const struct result *b)
{
    double most = 0.0;
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        most = fmax(most, fabs((double)a->gradient[i] - (double)b->gradient[i]));
    }
    return most / (double)golden_largest(b->gradient, b->n);
}

static void models_are_those_of_ref_and_near_float32(void **state)
{
    (void)state;
    for (size_t i = 0; golden_every(i); i++) {
        const char *name = golden_every(i);
        struct result exact;
        struct result ref;
        struct result got;
        run(&exact, name, "ref", LORAC_FLOAT32);
        run(&ref, name, "ref", LORAC_INT8);
        run(&got, name, NULL, LORAC_INT8);
        print_message("%s: loss %g, ref %g, float32 %g; gradients %g from ref's, these %g from "
                      "float32's\n",
                      name, got.loss, ref.loss, exact.loss, distance(&got, &ref),
                      distance(&ref, &exact));
        assert_true(fabs(got.loss - ref.loss) <= 2e-3 * ref.loss);
        assert_true(distance(&got, &ref) <= (got.rounds ? 1e-2 : 5e-2));
        // of weights that all stand in for (full copies) nothing is approximated
        assert_true((ref.loss == exact.loss) == (strcmp(name, "full-all") == 0));
        assert_true(fabs(ref.loss - exact.loss) <= 2e-2 * exact.loss);
        assert_true(distance(&ref, &exact) <= 0.2);
        lorac_mem_free(exact.gradient);
        lorac_mem_free(ref.gradient);
        lorac_mem_free(got.gradient);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_are_those_of_ref_and_near_float32),
    };
    return cmocka_run_group_tests_name("int8", tests, NULL, NULL);
}
