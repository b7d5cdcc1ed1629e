/*
 * An adapter at the socket of passes of every kind. What is promised, on every backend:
 *   - an evaluation drops nothing, whatever adapter stands in it, of more rows than any training
 *     pass, too;
 *   - passes of different sizes train one adapter, and each finds the same gradients;
 *   - an adapter that gets its gradients after the pass was made trains all the same;
 *   - what cannot train says so: an optimiser without gradients, a step without tokens, settings
 *     that would make numbers none or do nothing;
 *   - a pass goes on with the adapters it had where others could not be had.
 */
#include "base/core/mem.h"
#include "tests/support/backends.h"
#include "tests/support/faults.h"
#include "tests/support/passes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct lorac_optim_options sgd = {.name = "sgd", .lr = 0.1, .steps = 1};

static double loss_of(struct passes *p, enum lorac_keep keep)
{
    struct lorac_pass *pass = passes_new(p, keep);
    double loss = passes_run(pass, p->g.batch, NULL, false);
    lorac_pass_free(pass);
    return loss;
}

static void an_evaluation_drops_nothing(void **state)
{
    struct passes p;
    passes_open_on(&p, "llama", *state);
    double whole = loss_of(&p, LORAC_KEEP_NOTHING);
    double trained = loss_of(&p, LORAC_KEEP_ALL);
    assert_true(whole == trained); // nothing is dropped yet
    lorac_adapter_set_dropout(p.a, 0.5, 3);
    assert_true(loss_of(&p, LORAC_KEEP_NOTHING) == whole);
    assert_true(fabs(loss_of(&p, LORAC_KEEP_ALL) - whole) > 1e-4 * whole); // training drops
    assert_true(loss_of(&p, LORAC_KEEP_ALL) == loss_of(&p, LORAC_KEEP_LAYERS));
    passes_close(&p);
}

/* A pass of `rows` rows, which keeps everything. */
static struct lorac_pass *pass_of(struct passes *p, size_t rows)
{
    struct lorac_pass *pass = NULL;
    struct lorac_err err = {0};
    struct lorac_pass_options o = {.max_rows = rows, .keep = LORAC_KEEP_ALL};
    if (lorac_pass_new(&pass, p->m, &p->socket, &o, &err)) { fail_msg("%s", err.text); }
    return pass;
}

static void passes_of_any_size_train_one_adapter(void **state)
{
    struct passes p;
    passes_open_on(&p, "llama", *state);
    lorac_adapter_set_dropout(p.a, 0.5, 3);
    struct lorac_pass *small = pass_of(&p, p.g.batch->N); // made first, and used after the other
    struct lorac_pass *large = pass_of(&p, PASS_ROWS);
    float *got[3];
    struct lorac_pass *const at[] = {small, large, small};
    for (size_t i = 0; i < 3; i++) {
        (void)passes_run(at[i], p.g.batch, NULL, true);
        got[i] = passes_take(&p);
        assert_memory_equal(got[i], got[0], p.a->n_params * sizeof(float));
        if (i) { lorac_mem_free(got[i]); }
    }
    lorac_mem_free(got[0]);
    lorac_pass_free(small);
    lorac_pass_free(large);
    passes_close(&p);
}

/* What it trains is what is there when the loss is taken, not when the pass was made. */
static void gradients_may_come_after_the_pass(void **state)
{
    struct passes p;
    struct lorac_err err = {0};
    struct lorac_adapter *late = NULL;
    passes_open_on(&p, "llama", *state);
    struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_ALL);
    (void)passes_run(pass, p.g.batch, NULL, true);
    float *want = passes_take(&p);
    lorac_pass_free(pass);
    const char *dir = golden_path(&p.g, "adapter");
    assert_int_equal(lorac_peft_load(&late, p.m, dir, false, &err), LORAC_OK);
    lorac_adapter_free(p.a);
    p.a = late;
    p.socket = lorac_adapter_socket(late);
    pass = passes_new(&p, LORAC_KEEP_ALL);
    assert_int_equal(lorac_adapter_reserve(late, &err), LORAC_OK);
    (void)passes_run(pass, p.g.batch, NULL, true);
    float *got = passes_take(&p);
    assert_memory_equal(got, want, late->n_params * sizeof *got);
    lorac_mem_free(got);
    lorac_mem_free(want);
    lorac_pass_free(pass);
    passes_close(&p);
}

static void what_cannot_train_says_so(void **state)
{
    struct passes p;
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    struct lorac_optim *o = NULL;
    double norm = 0.0;
    passes_open_on(&p, "llama", *state);
    const char *dir = golden_path(&p.g, "adapter");
    assert_int_equal(lorac_peft_load(&a, p.m, dir, false, &err), LORAC_OK);
    assert_int_equal(lorac_optim_new(&o, a, &sgd, &err), LORAC_EUSER);
    assert_string_equal(
        err.text, "the adapter has no gradients to step by: lorac_adapter_reserve() comes first");
    assert_null(o);
    assert_int_equal(lorac_adapter_reserve(a, &err), LORAC_OK);
    const float *grads = a->grads;
    assert_int_equal(lorac_adapter_reserve(a, &err), LORAC_OK); // again: nothing moves
    assert_ptr_equal(a->grads, grads);
    assert_int_equal(lorac_optim_new(&o, a, &sgd, &err), LORAC_OK);
    assert_int_equal(lorac_optim_step(o, 0, &norm, &err), LORAC_EUSER);
    assert_string_equal(err.text,
                        "the trained tokens of step 1 weigh 0 together, expected more than 0");
    assert_int_equal(lorac_optim_steps(o), 0);
    lorac_optim_free(o);
    lorac_adapter_free(a);
    passes_close(&p);
}

static void options_that_could_do_harm_are_refused(void **state)
{
    struct passes p;
    passes_open_on(&p, "llama", *state);
    const struct lorac_optim_options adamw = {
        .name = "adamw", .lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .steps = 1};
    struct lorac_optim_options o[9];
    for (size_t i = 0; i < 9; i++) {
        o[i] = adamw;
    }
    o[0].name = NULL;
    o[1].eps = 0.0; // 0 / 0 where a gradient is 0
    o[2].eps = 1e-50;
    o[3].beta2 = 0.999999999; // 1 as float32: the second moment stays 0
    o[4].lr = (double)NAN;
    o[5].clip_norm = (double)NAN; // compares false: nothing would be clipped
    o[6].weight_decay = -1.0;
    o[7].schedule = "sine";
    o[8].beta1 = -0.5;
    static const char *const want[9] = {
        "there is no optimiser '' (adamw, sgd)",
        "the optimiser's eps must be above 0 and up to 1, as float32, found 0",
        "the optimiser's eps must be above 0 and up to 1, as float32, found 1e-50",
        "the optimiser's beta2 must be from 0 and below 1, as float32, found 0.99999999900000003",
        "the optimiser's lr must be from 0 and up to 1e+06, as float32, found nan",
        "the optimiser's clip_norm must be from 0 and up to 1e+30, as float32, found nan",
        "the optimiser's weight_decay must be from 0 and up to 1e+06, as float32, found -1",
        "there is no schedule 'sine' (constant, linear, cosine)",
        "the optimiser's beta1 must be from 0 and below 1, as float32, found -0.5",
    };
    for (size_t i = 0; i < 9; i++) {
        struct lorac_err err = {0};
        struct lorac_optim *optim = NULL;
        assert_int_equal(lorac_optim_new(&optim, p.a, &o[i], &err), LORAC_EUSER);
        assert_string_equal(err.text, want[i]);
        assert_null(optim);
    }
    static const double dropouts[] = {1.0, -0.1, (double)NAN};
    for (size_t i = 0; i < 3; i++) {
        struct lorac_err err = {0};
        struct lorac_adapter *a = NULL;
        const struct lorac_adapter_options bad = {.rank = 2, .alpha = 4.0, .dropout = dropouts[i]};
        assert_int_equal(lorac_adapter_new(&a, p.m, &bad, &err), LORAC_EUSER);
        assert_non_null(strstr(err.text, "dropout must be from 0 to below 1, found "));
    }
    for (size_t i = 0; i < 2; i++) {
        struct lorac_err err = {0};
        struct lorac_pass *pass = NULL;
        const struct lorac_pass_options none = {.max_rows = i ? (size_t)INT32_MAX + 1 : 0};
        assert_int_equal(lorac_pass_new(&pass, p.m, NULL, &none, &err), LORAC_EUSER);
        assert_non_null(strstr(err.text, "a pass has from 1 to 2147483647 rows, found "));
        assert_null(pass);
    }
    passes_close(&p);
}

static void a_pass_keeps_its_adapters_where_others_fail(void **state)
{
    struct passes p;
    struct lorac_err err = {0};
    passes_open_on(&p, "llama", *state);
    struct lorac_adapter *fresh = NULL;
    const struct lorac_adapter_options o = {.rank = 8, .alpha = 16.0, .seed = 7};
    assert_int_equal(lorac_adapter_new(&fresh, p.m, &o, &err), LORAC_OK);
    struct lorac_socket other = lorac_adapter_socket(fresh);
    struct lorac_pass *pass = passes_new(&p, LORAC_KEEP_NOTHING);
    double want = passes_run(pass, p.g.batch, NULL, false);
    long n = 0;
    for (bool met = true; met; n++) {
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_pass_use(pass, &other, &err);
        met = faults_stop();
        assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
        assert_true((passes_run(pass, p.g.batch, NULL, false) == want) == met);
    }
    assert_int_equal(n, 3); // the list, the block, and none
    assert_int_equal(lorac_pass_use(pass, &p.socket, &err), LORAC_OK);
    assert_true(passes_run(pass, p.g.batch, NULL, false) == want);
    lorac_pass_free(pass);
    pass = passes_new(&p, LORAC_KEEP_ALL);
    assert_int_equal(lorac_pass_use(pass, &other, &err), LORAC_EUSER);
    assert_string_equal(err.text,
                        "a pass that keeps activations for a backward stays with its adapters");
    assert_true(passes_run(pass, p.g.batch, NULL, false) == want);
    lorac_pass_free(pass);
    lorac_adapter_free(fresh);
    passes_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EACH(an_evaluation_drops_nothing),
        ON_EACH(passes_of_any_size_train_one_adapter),
        ON_EACH(gradients_may_come_after_the_pass),
        ON_EACH(what_cannot_train_says_so),
        ON_EACH(options_that_could_do_harm_are_refused),
        ON_EACH(a_pass_keeps_its_adapters_where_others_fail),
    };
    return cmocka_run_group_tests_name("socket", tests, NULL, NULL);
}
