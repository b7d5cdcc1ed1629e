/*
 * The whole chain against transformers and PEFT, on every case of tests/golden/models and
 * tests/golden/heads, and every backend of this build. What is promised, relative to the largest
 * element of each tensor:
 *   - logits of the base, and with an adapter, within 1e-5;
 *   - the loss, and every gradient of its sum, of A, B and what trains in full, within 1e-5, with
 *     all activations kept or recomputed;
 *   - ten AdamW steps from PEFT's own starting adapter end within 5e-3 of the way travelled, per
 *     tensor. A fresh adapter (B = 0) leaves the base's logits bit for bit; of DoRA, whose norms
 *     PEFT has rounded otherwise, within 1e-6. One with a fresh head gives PEFT's logits.
 */
#include "base/core/mem.h"
#include "lora/peft_tensors.h"
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

enum { MOST = 4096, ROWS = 64, TARGETS = 256 }; // floats of the largest tensor; of a batch

static const float tolerance = 1e-5F; // float32 against float32; both lie about 2e-6 from float64

struct fixture {
    const char *backend;
    struct lorac_device dev;
    struct golden g;
    struct lorac_model *m;
    struct lorac_adapter *a;
};

static void check(enum lorac_status st, const struct lorac_err *err)
{
    if (st) { fail_msg("%s", err->text); }
}

static void open_case(struct fixture *f, const char *name, const char *adapter)
{
    struct lorac_err err = {0};
    golden_open(&f->g, name);
    check(lorac_device_open(&f->dev, f->backend, 1, &err), &err);
    f->m = golden_open_model(&f->g, &f->dev);
    check(lorac_peft_load(&f->a, f->m, golden_path(&f->g, adapter), false, &err), &err);
}

static void close_case(struct fixture *f)
{
    lorac_adapter_free(f->a);
    lorac_model_close(f->m);
    lorac_device_close(&f->dev);
    golden_close(&f->g);
}

static struct lorac_pass *new_pass(struct fixture *f, const struct lorac_socket *socket,
                                   enum lorac_keep keep)
{
    struct lorac_err err = {0};
    struct lorac_pass *p = NULL;
    struct lorac_pass_options o = {.max_rows = ROWS, .keep = keep};
    check(lorac_pass_new(&p, f->m, socket, &o, &err), &err);
    return p;
}

static void near_golden(struct fixture *f, const char *name, const float *got, size_t n)
{
    size_t want_n = 0;
    const float *want = golden_tensor(&f->g, name, &want_n);
    char what[LORAC_NAME_SIZE + 64];
    (void)snprintf(what, sizeof what, "%s %s", strrchr(f->g.dir, '/') + 1, name);
    assert_int_equal(n, want_n);
    near_all(what, got, want, n, tolerance * golden_largest(want, n), 0.0F);
}

/* Those of all rows; where texts have labels, of the rows that give them: all have a target. */
static void near_logits(struct fixture *f, const char *name, const struct lorac_socket *socket)
{
    size_t n = 0;
    bool texts = f->g.options.task == LORAC_TASK_CLASSIFY;
    float *logits = texts ? passes_logits(f->m, socket, f->g.batch, &n)
                          : passes_all_logits(f->m, socket, f->g.batch, &n);
    near_golden(f, name, logits, n);
    lorac_mem_free(logits);
}

static void logits_of_case(const char *backend, const char *name)
{
    struct fixture f = {.backend = backend};
    open_case(&f, name, "adapter");
    struct lorac_stack stack = {.n = 1, .adapter = {f.a}, .factor = {1.0F}};
    struct lorac_socket sockets[] = {lorac_adapter_socket(f.a), lorac_stack_socket(&stack)};
    if (golden_has(&f.g, "base_logits")) { near_logits(&f, "base_logits", NULL); }
    for (size_t s = 0; s < 2; s++) {
        near_logits(&f, "logits", &sockets[s]);
    }
    close_case(&f);
}

static void logits_are_those_of_transformers_and_peft(void **state)
{
    for (size_t i = 0; golden_every(i); i++) {
        logits_of_case(*state, golden_every(i));
    }
    for (size_t i = 0; golden_every_head(i); i++) {
        logits_of_case(*state, golden_every_head(i));
    }
}

static void a_fresh_adapter_leaves_the_logits_bit_for_bit(void **state)
{
    for (size_t i = 0; golden_every(i); i++) {
        struct fixture f = {.backend = *state};
        size_t n = 0;
        open_case(&f, golden_every(i), "start");
        struct lorac_socket socket = lorac_adapter_socket(f.a);
        float *base = passes_all_logits(f.m, NULL, f.g.batch, &n);
        float *adapted = passes_all_logits(f.m, &socket, f.g.batch, &n);
        if (f.a->n_derived) {
            near_all(golden_every(i), adapted, base, n, 1e-6F * golden_largest(base, n), 0.0F);
        } else {
            assert_memory_equal(base, adapted, n * sizeof *base);
        }
        lorac_mem_free(base);
        lorac_mem_free(adapted);
        close_case(&f);
    }
}

static void a_fresh_head_gives_the_logits_of_peft(void **state)
{
    for (size_t i = 0; golden_heads[i]; i++) {
        struct fixture f = {.backend = *state};
        open_case(&f, golden_heads[i], "start");
        struct lorac_socket socket = lorac_adapter_socket(f.a);
        near_logits(&f, "start_logits", &socket);
        close_case(&f);
    }
}

/* "grad" or "end" + the file's name of a tensor, as the golden file calls it. */
static void golden_name(char *name, size_t size, const char *prefix,
                        const struct lorac_peft_tensor *t)
{
    (void)snprintf(name, size, "%s.%s", prefix, t->name + strlen("base_model.model."));
}

/* PyTorch has one parameter for a tied pair that stays one, under the embedding's name. */
static bool is_second_name(const struct lorac_adapter *a, const struct lorac_peft_tensor *t)
{
    return a->tie == LORAC_TIE_KEEP && strcmp(t->name, "base_model.model.lm_head.weight") == 0;
}

/* Gradient of a tensor as the file has it, by letting the gradients pose as parameters. */
static void read_gradient(float *host, struct lorac_adapter *a, const struct lorac_peft_tensor *t)
{
    if (t->part == LORAC_PEFT_FULL) {
        const struct lorac_full *f = &a->full[t->i];
        a->model->dev->ops->read(a->model->dev, host, f->dp + t->first,
                                 lorac_peft_tensor_size(t) * sizeof *host);
        return;
    }
    struct lorac_site *l = &a->site[t->i];
    struct lorac_site keep = *l;
    memcpy(l->p, l->dp, sizeof l->p);
    assert_int_equal(lorac_peft_tensor_read(host, a, t, NULL), LORAC_OK);
    *l = keep;
}

static struct lorac_peft_tensors tensors_of(const struct lorac_adapter *a)
{
    struct lorac_peft_tensors list;
    assert_int_equal(lorac_peft_tensors(&list, a, NULL), LORAC_OK);
    assert_true(lorac_peft_tensors_largest(&list) <= MOST);
    return list;
}

/* Forward, and with `gradient` also backward; the sum of all scored tokens' losses. */
static double run_batch(struct fixture *f, struct lorac_pass *p, bool gradient)
{
    struct lorac_err err = {0};
    float nll[TARGETS];
    double sum = 0.0;
    check(lorac_pass_forward(p, f->g.batch, NULL, &err), &err);
    lorac_pass_loss(p, f->g.batch, nll, gradient);
    if (gradient) { lorac_pass_backward(p, f->g.batch); }
    for (size_t t = 0; t < f->g.batch->T; t++) {
        sum += (double)f->g.batch->weight[t] * (double)nll[t];
    }
    return sum;
}

static void gradients_of_case(const char *backend, const char *name, enum lorac_keep keep)
{
    struct fixture f = {.backend = backend};
    struct lorac_err err = {0};
    open_case(&f, name, "adapter");
    check(lorac_adapter_reserve(f.a, &err), &err);
    struct lorac_socket socket = lorac_adapter_socket(f.a);
    struct lorac_pass *p = new_pass(&f, &socket, keep);
    float loss = (float)run_batch(&f, p, true);
    near_golden(&f, "loss_sum", &loss, 1);
    struct lorac_peft_tensors list = tensors_of(f.a);
    for (size_t j = 0; j < list.n; j++) {
        char tensor[LORAC_NAME_SIZE + 16];
        float grad[MOST];
        if (is_second_name(f.a, &list.at[j])) { continue; }
        golden_name(tensor, sizeof tensor, "grad", &list.at[j]);
        read_gradient(grad, f.a, &list.at[j]);
        near_golden(&f, tensor, grad, lorac_peft_tensor_size(&list.at[j]));
    }
    lorac_mem_free(list.at);
    lorac_pass_free(p);
    close_case(&f);
}

static void loss_and_gradients_are_those_of_peft(void **state)
{
    for (size_t i = 0; golden_every(i); i++) {
        gradients_of_case(*state, golden_every(i), LORAC_KEEP_ALL);
        gradients_of_case(*state, golden_every(i), LORAC_KEEP_LAYERS);
    }
    for (size_t i = 0; golden_every_head(i); i++) {
        gradients_of_case(*state, golden_every_head(i), LORAC_KEEP_ALL);
        gradients_of_case(*state, golden_every_head(i), LORAC_KEEP_LAYERS);
    }
}

/* A tensor ends where PEFT's float64 run ends, as a share of the way from `start`. */
static void near_end(struct fixture *f, const struct lorac_peft_tensor *t, const float *start)
{
    char name[LORAC_NAME_SIZE + 16];
    float got[MOST];
    float way = 0.0F;
    size_t n = 0;
    golden_name(name, sizeof name, "end", t);
    const float *want = golden_tensor(&f->g, name, &n);
    assert_int_equal(lorac_peft_tensor_read(got, f->a, t, NULL), LORAC_OK);
    for (size_t j = 0; j < n; j++) {
        way = fmaxf(way, fabsf(want[j] - start[j]));
    }
    near_all(name, got, want, n, 5e-3F * way, 0.0F);
}

static void ten_steps_of_case(const char *backend, const char *name)
{
    static const struct lorac_optim_options o = {.name = "adamw",
                                                 .lr = 1e-3,
                                                 .beta1 = 0.9,
                                                 .beta2 = 0.999,
                                                 .eps = 1e-8,
                                                 .weight_decay = 0.01,
                                                 .vector_decay = 0.1,
                                                 .schedule = "constant",
                                                 .steps = 10};
    struct fixture f = {.backend = backend};
    struct lorac_err err = {0};
    struct lorac_optim *optim = NULL;
    size_t n = 0;
    open_case(&f, name, "start");
    check(lorac_adapter_reserve(f.a, &err), &err);
    struct lorac_socket socket = lorac_adapter_socket(f.a);
    struct lorac_pass *p = new_pass(&f, &socket, LORAC_KEEP_ALL);
    const float *losses = golden_tensor(&f.g, "losses", &n);
    struct lorac_peft_tensors list = tensors_of(f.a);
    float *start = lorac_mem_new(list.n * MOST, sizeof *start);
    for (size_t j = 0; j < list.n; j++) {
        check(lorac_peft_tensor_read(start + j * MOST, f.a, &list.at[j], &err), &err);
    }
    check(lorac_optim_new(&optim, f.a, &o, &err), &err);
    assert_int_equal(n, o.steps);
    for (size_t step = 0; step < n; step++) {
        double norm = 0.0;
        float mean = (float)(run_batch(&f, p, true) / f.g.weight);
        near_all("losses", &mean, losses + step, 1, 0.0F, 2e-6F); // float32 from float64
        check(lorac_optim_step(optim, f.g.weight, &norm, &err), &err);
    }
    for (size_t j = 0; j < list.n; j++) {
        if (!is_second_name(f.a, &list.at[j])) { near_end(&f, &list.at[j], start + j * MOST); }
    }
    lorac_mem_free(list.at);
    lorac_mem_free(start);
    lorac_optim_free(optim);
    lorac_pass_free(p);
    close_case(&f);
}

static void ten_steps_end_where_peft_ends(void **state)
{
    for (size_t i = 0; golden_every(i); i++) {
        ten_steps_of_case(*state, golden_every(i));
    }
    for (size_t i = 0; golden_every_head(i); i++) {
        ten_steps_of_case(*state, golden_every_head(i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EACH(logits_are_those_of_transformers_and_peft),
        ON_EACH(a_fresh_adapter_leaves_the_logits_bit_for_bit),
        ON_EACH(a_fresh_head_gives_the_logits_of_peft),
        ON_EACH(loss_and_gradients_are_those_of_peft),
        ON_EACH(ten_steps_end_where_peft_ends),
    };
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
