/*
 * Adapters that start or train otherwise, against PEFT (tests/golden/training). What is promised,
 * on every backend of this build:
 *   - the losses of ten AdamW steps are PEFT's within 2e-6 (float32 from float64), and the logits
 * after them within 1e-4 of the way that they moved;
 *   - LoRA+'s ratio on an adapter without pairs is refused; a ratio of 1 changes no bit.
 */
#include "base/core/mem.h"
#include "tests/support/backends.h"
#include "tests/support/golden.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 64 };

/* A case of make_training.py: `from` says that the base's adapter/ is what trains on. */
struct training {
    const char *name, *base;
    bool from;
    double ratio;
    struct lorac_adapter_options options;
};

static const struct training cases[] = {
    {"plus", "full-lora-bias", .from = true, .ratio = 16.0},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

struct fixture {
    struct lorac_device dev;
    struct golden g;
    struct lorac_model *m;
    struct lorac_adapter *a;
    struct lorac_socket socket;
    struct lorac_optim *optim;
    struct lorac_checkpoint *expected;
};

static void check(enum lorac_status st, const struct lorac_err *err)
{
    if (st) { fail_msg("%s", err->text); }
}

static void open_case(struct fixture *f, const struct training *t, const char *backend)
{
    struct lorac_err err = {0};
    struct lorac_optim_options o = {.name = "adamw",
                                    .lr = 1e-3,
                                    .lr_ratio_b = t->ratio,
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .eps = 1e-8,
                                    .weight_decay = 0.01,
                                    .steps = 10};
    char file[512];
    *f = (struct fixture){0};
    golden_open(&f->g, t->base);
    (void)snprintf(file, sizeof file, "%s/golden/training/%s.safetensors", LORAC_TESTS_DIR,
                   t->name);
    check(lorac_checkpoint_open(&f->expected, file, &err), &err);
    check(lorac_device_open(&f->dev, backend, 1, &err), &err);
    check(lorac_model_open(&f->m, &f->dev, f->g.dir, &err), &err);
    if (t->from) {
        check(lorac_peft_load(&f->a, f->m, golden_path(&f->g, "adapter"), false, &err), &err);
    } else {
        check(lorac_adapter_new(&f->a, f->m, &t->options, &err), &err);
    }
    check(lorac_adapter_reserve(f->a, &err), &err);
    check(lorac_optim_new(&f->optim, f->a, &o, &err), &err);
    f->socket = lorac_adapter_socket(f->a);
}

static void close_case(struct fixture *f)
{
    lorac_optim_free(f->optim);
    lorac_adapter_free(f->a);
    lorac_model_close(f->m);
    lorac_device_close(&f->dev);
    lorac_checkpoint_close(f->expected);
    golden_close(&f->g);
}

static struct lorac_pass *new_pass(struct fixture *f, const struct lorac_socket *socket)
{
    struct lorac_err err = {0};
    struct lorac_pass *p = NULL;
    struct lorac_pass_options o = {.max_rows = ROWS, .keep = LORAC_KEEP_ALL};
    check(lorac_pass_new(&p, f->m, socket, &o, &err), &err);
    return p;
}

/* All logits (N,V), in new memory. */
static float *all_logits(struct fixture *f, const struct lorac_socket *socket, size_t *n)
{
    struct lorac_err err = {0};
    struct lorac_batch *b = golden_logits_batch(f->g.batch);
    struct lorac_pass *p = new_pass(f, socket);
    *n = b->N * f->m->config.V;
    float *logits = lorac_mem_new(*n, sizeof *logits);
    check(lorac_pass_forward(p, b, NULL, &err), &err);
    lorac_pass_logits(p, b, logits);
    lorac_pass_free(p);
    lorac_batch_free(b);
    return logits;
}

/* One optimiser step on the whole batch; the mean loss before it. */
static float step(struct fixture *f, struct lorac_pass *p)
{
    struct lorac_err err = {0};
    double norm = 0.0;
    double sum = passes_run(p, f->g.batch, NULL, true);
    check(lorac_optim_step(f->optim, (double)f->g.batch->T, &norm, &err), &err);
    return (float)(sum / (double)f->g.batch->T);
}

static const float *expected(const struct fixture *f, const char *name, size_t n)
{
    const struct lorac_tensor *t = lorac_checkpoint_find(f->expected, name);
    assert_true(t && t->dtype == LORAC_F32 && t->n == n);
    return (const float *)t->data;
}

static void ten_steps_are_those_of_peft(void **state)
{
    for (size_t i = 0; i < N_CASES; i++) {
        struct fixture f;
        size_t n = 0;
        open_case(&f, &cases[i], *state);
        float *before = all_logits(&f, &f.socket, &n);
        const float *losses = expected(&f, "losses", 10);
        struct lorac_pass *p = new_pass(&f, &f.socket);
        for (size_t k = 0; k < 10; k++) {
            float loss = step(&f, p);
            near_all(cases[i].name, &loss, losses + k, 1, 0.0F, 2e-6F);
        }
        lorac_pass_free(p);
        float *after = all_logits(&f, &f.socket, &n);
        const float *want = expected(&f, "logits", n);
        float way = 0.0F;
        for (size_t k = 0; k < n; k++) {
            way = fmaxf(way, fabsf(want[k] - before[k]));
        }
        near_all(cases[i].name, after, want, n, 1e-4F * way, 0.0F);
        lorac_mem_free(before);
        lorac_mem_free(after);
        close_case(&f);
    }
}

/* The parameters after three steps with this ratio, in new memory. */
static float *three_steps(double ratio, size_t *n)
{
    struct training t = cases[0];
    struct fixture f;
    t.ratio = ratio;
    open_case(&f, &t, "ref");
    struct lorac_pass *p = new_pass(&f, &f.socket);
    for (size_t k = 0; k < 3; k++) {
        (void)step(&f, p);
    }
    *n = f.a->n_params;
    float *host = lorac_mem_new(*n, sizeof *host);
    f.dev.ops->read(&f.dev, host, f.a->params, *n * sizeof *host);
    lorac_pass_free(p);
    close_case(&f);
    return host;
}

static void a_ratio_of_one_changes_no_bit(void **state)
{
    (void)state;
    size_t n = 0;
    float *none = three_steps(0.0, &n);
    float *one = three_steps(1.0, &n);
    float *two = three_steps(2.0, &n);
    assert_memory_equal(none, one, n * sizeof *none);
    assert_memory_not_equal(none, two, n * sizeof *none);
    lorac_mem_free(none);
    lorac_mem_free(one);
    lorac_mem_free(two);
}

static void a_ratio_without_pairs_is_refused(void **state)
{
    (void)state;
    struct passes p;
    struct lorac_err err = {0};
    struct lorac_optim *o = NULL;
    struct lorac_optim_options options = {.name = "sgd", .lr = 1.0, .lr_ratio_b = 4.0, .steps = 1};
    passes_open_on(&p, "full-all", "ref");
    assert_int_equal(lorac_optim_new(&o, p.a, &options, &err), LORAC_EUSER);
    assert_string_equal(err.text, "optimizer.lr_ratio_b is 4, but the adapter has no pair whose B "
                                  "would go faster");
    assert_null(o);
    options.lr_ratio_b = 1.0;
    assert_int_equal(lorac_optim_new(&o, p.a, &options, &err), LORAC_OK);
    lorac_optim_free(o);
    passes_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EACH(ten_steps_are_those_of_peft),
        cmocka_unit_test(a_ratio_of_one_changes_no_bit),
        cmocka_unit_test(a_ratio_without_pairs_is_refused),
    };
    return cmocka_run_group_tests_name("training", tests, NULL, NULL);
}
