/*
 * Adapters that start or train otherwise, against PEFT (tests/golden/training). What is promised,
 * on every backend of this build:
 *   - the losses of ten AdamW steps are PEFT's within 1e-6 (float32 from float64) and 1e-5 of what
 *     they have fallen, and the logits after them within 4e-6 of the way that they moved;
 *   - a pair that starts from its weight changes no logit before the first step, not by a bit;
 *     PiSSA has the singular vectors of the weight, OLoRA the rows and columns of its QR factors;
 *   - while weights are factored, it is told how far that is;
 *   - saved, such an adapter is a plain one of twice the rank: read again, or merged, it has the
 *     same logits, and without a step it counts as idle;
 *   - twice the rank must fit the module; where memory is wanting, that is said;
 *   - LoRA+'s ratio on an adapter without pairs is refused; a ratio of 1 changes no bit.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/support/backends.h"
#include "tests/support/faults.h"
#include "tests/support/golden.h"
#include "tests/support/near.h"
#include "tests/support/passes.h"
#include "tests/support/tiny.h"

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
    double ratio, vector_decay;
    struct lorac_adapter_options options;
};

static const struct lorac_override smaller[] = {{"mlp.c_proj", 2, 0}, {"attn.c_proj", 0, 3}};
static const struct lorac_override others[] = {{"down_proj", 2, 0}, {"v_proj", 0, 3}};
static const char *const gpt2[] = {"c_attn", "c_proj", "c_fc"};
static const char *const qwen2[] = {"q_proj", "v_proj", "down_proj"};

static const struct training cases[] = {
    {"plus", "full-lora-bias", .from = true, .ratio = 16.0},
    {"plus-dora", "dora-qwen2", .from = true, .ratio = 16.0, .vector_decay = 0.01},
    {"pissa", "llama", .options = {.rank = 4, .alpha = 8.0, .init = LORAC_INIT_PISSA, .seed = 5}},
    {"pissa-gpt2", "gpt2",
     .options = {.targets = gpt2,
                 .n_targets = 3,
                 .overrides = smaller,
                 .n_overrides = 2,
                 .rank = 4,
                 .alpha = 8.0,
                 .scaling = LORAC_SCALE_RSLORA,
                 .init = LORAC_INIT_PISSA,
                 .seed = 5}},
    {"olora", "llama", .options = {.rank = 4, .alpha = 8.0, .init = LORAC_INIT_OLORA, .seed = 5}},
    {"olora-qwen2", "qwen2",
     .options = {.targets = qwen2,
                 .n_targets = 3,
                 .overrides = others,
                 .n_overrides = 2,
                 .rank = 4,
                 .alpha = 8.0,
                 .init = LORAC_INIT_OLORA,
                 .seed = 5}},
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
                                    .vector_decay = t->vector_decay,
                                    .steps = 10};
    char file[512];
    *f = (struct fixture){0};
    golden_open(&f->g, t->base);
    (void)snprintf(file, sizeof file, "%s/golden/training/%s.safetensors", LORAC_TESTS_DIR,
                   t->name);
    check(lorac_checkpoint_open(&f->expected, file, &err), &err);
    check(lorac_device_open(&f->dev, backend, 1, &err), &err);
    check(lorac_model_open(&f->m, &f->dev, f->g.dir, LORAC_FLOAT32, &err), &err);
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
        float *before = passes_all_logits(f.m, &f.socket, f.g.batch, &n);
        const float *losses = expected(&f, "losses", 10);
        struct lorac_pass *p = new_pass(&f, &f.socket);
        for (size_t k = 0; k < 10; k++) {
            float loss = step(&f, p);
            float gone = fabsf(losses[k] - losses[0]);
            near_all(cases[i].name, &loss, losses + k, 1, 1e-5F * gone, 1e-6F);
        }
        lorac_pass_free(p);
        float *after = passes_all_logits(f.m, &f.socket, f.g.batch, &n);
        const float *want = expected(&f, "logits", n);
        float way = 0.0F;
        for (size_t k = 0; k < n; k++) {
            way = fmaxf(way, fabsf(want[k] - before[k]));
        }
        near_all(cases[i].name, after, want, n, 4e-6F * way, 0.0F);
        lorac_mem_free(before);
        lorac_mem_free(after);
        close_case(&f);
    }
}

/* ---- pairs that start from their weight ---- */

struct told {
    size_t n;
    double done;
};

static void count_progress(void *self, double done)
{
    struct told *t = self;
    assert_true(done > t->done && done <= 1.0);
    t->done = done;
    t->n++;
}

static void factoring_tells_how_far_it_is(void **state)
{
    for (size_t i = 0; i < N_CASES; i++) {
        struct fixture f;
        struct told told = {0};
        struct lorac_adapter *a = NULL;
        struct lorac_err err = {0};
        if (cases[i].from) { continue; }
        open_case(&f, &cases[i], *state);
        struct lorac_adapter_options o = cases[i].options;
        o.progress = count_progress;
        o.self = &told;
        check(lorac_adapter_new(&a, f.m, &o, &err), &err);
        assert_int_equal(told.n, a->n);
        assert_true(told.done == 1.0);
        lorac_adapter_free(a);
        close_case(&f);
    }
}

static bool starts(const struct training *t)
{
    return t->options.init == LORAC_INIT_PISSA || t->options.init == LORAC_INIT_OLORA;
}

static void the_start_leaves_the_logits_bit_for_bit(void **state)
{
    for (size_t i = 0; i < N_CASES; i++) {
        struct fixture f;
        size_t n = 0;
        char idle[LORAC_MODULE_NAME];
        if (!starts(&cases[i])) { continue; }
        open_case(&f, &cases[i], *state);
        struct lorac_stack stack = {.n = 1, .adapter = {f.a}, .factor = {1.0F}};
        struct lorac_socket sockets[] = {f.socket, lorac_stack_socket(&stack)};
        float *base = passes_all_logits(f.m, NULL, f.g.batch, &n);
        for (size_t s = 0; s < 2; s++) {
            float *adapted = passes_all_logits(f.m, &sockets[s], f.g.batch, &n);
            assert_memory_equal(base, adapted, n * sizeof *base);
            lorac_mem_free(adapted);
        }
        lorac_mem_free(base);
        assert_true(lorac_adapter_idle(idle, f.a));
        assert_false(lorac_adapter_changes(f.a));
        struct lorac_pass *p = new_pass(&f, &f.socket);
        (void)step(&f, p);
        lorac_pass_free(p);
        assert_false(lorac_adapter_idle(idle, f.a));
        assert_true(lorac_adapter_changes(f.a));
        close_case(&f);
    }
}

/* Three steps, then the logits of what was saved and read, and of what was merged. */
static void what_is_saved_does_what_was_trained(void **state)
{
    for (size_t i = 0; i < N_CASES; i++) {
        struct fixture f;
        struct lorac_err err = {0};
        struct lorac_adapter *got = NULL;
        size_t n = 0;
        const char *dir = tiny_path("saved");
        const char *merged = tiny_path("merged");
        if (!starts(&cases[i])) { continue; }
        open_case(&f, &cases[i], *state);
        struct lorac_pass *p = new_pass(&f, &f.socket);
        for (size_t k = 0; k < 3; k++) {
            (void)step(&f, p);
        }
        lorac_pass_free(p);
        check(lorac_peft_save(dir, f.a, "base", LORAC_F32, &err), &err);
        check(lorac_peft_load(&got, f.m, dir, false, &err), &err);
        assert_int_equal(got->site[0].R, f.a->site[0].R);
        assert_false(got->site[0].starts);
        struct lorac_socket socket = lorac_adapter_socket(got);
        float *want = passes_all_logits(f.m, &f.socket, f.g.batch, &n);
        float *read = passes_all_logits(f.m, &socket, f.g.batch, &n);
        assert_memory_equal(want, read, n * sizeof *want);
        const struct lorac_stack stack = {.n = 1, .adapter = {f.a}, .factor = {1.0F}};
        check(lorac_merge(merged, f.m, &stack, NULL, &err), &err);
        struct lorac_model *base = f.m;
        check(lorac_model_open(&f.m, &f.dev, merged, LORAC_FLOAT32, &err), &err);
        float *whole = passes_all_logits(f.m, NULL, f.g.batch, &n);
        near_all("merged", whole, want, n, 1e-5F * golden_largest(want, n), 0.0F);
        lorac_model_close(f.m);
        f.m = base;
        lorac_mem_free(want);
        lorac_mem_free(read);
        lorac_mem_free(whole);
        lorac_adapter_free(got);
        assert_int_equal(lorac_dir_remove(dir, NULL), LORAC_OK);
        assert_int_equal(lorac_dir_remove(merged, NULL), LORAC_OK);
        close_case(&f);
    }
}

/* ---- what is refused, and what changes nothing ---- */

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
    static const char *const names[] = {"full-all", "ia3-llama"};
    for (size_t i = 0; i < 2; i++) {
        struct passes p;
        struct lorac_err err = {0};
        struct lorac_optim *o = NULL;
        struct lorac_optim_options options = {
            .name = "sgd", .lr = 1.0, .lr_ratio_b = 4.0, .steps = 1};
        passes_open_on(&p, names[i], "ref");
        assert_int_equal(lorac_optim_new(&o, p.a, &options, &err), LORAC_EUSER);
        assert_string_equal(err.text, "optimizer.lr_ratio_b is 4, but the adapter has no pair "
                                      "whose B would go faster");
        assert_null(o);
        options.lr_ratio_b = 1.0;
        assert_int_equal(lorac_optim_new(&o, p.a, &options, &err), LORAC_OK);
        lorac_optim_free(o);
        passes_close(&p);
    }
}

static void want_of_memory_is_an_error(void **state)
{
    (void)state;
    static const char *const targets[] = {"q_proj", "o_proj"};
    static const size_t layers[] = {1};
    struct passes p;
    passes_open_on(&p, "llama", "ref");
    for (int olora = 0; olora < 2; olora++) {
        const struct lorac_adapter_options o = {.targets = targets,
                                                .n_targets = 2,
                                                .layers = layers,
                                                .n_layers = 1,
                                                .rank = 4,
                                                .alpha = 8.0,
                                                .init =
                                                    olora ? LORAC_INIT_OLORA : LORAC_INIT_PISSA};
        struct lorac_adapter *a = NULL;
        long n = 0;
        for (;; n++) {
            struct lorac_err err = {0};
            faults_start(FAULTS_MEMORY, n);
            enum lorac_status st = lorac_adapter_new(&a, p.m, &o, &err);
            if (!st) { st = lorac_adapter_reserve(a, &err); }
            if (!faults_stop()) {
                assert_int_equal(st, LORAC_OK);
                break;
            }
            assert_int_equal(st, LORAC_ENOMEM);
            lorac_adapter_free(a);
        }
        assert_true(n > 30);
        lorac_adapter_free(a);
    }
    passes_close(&p);
}

static void only_the_pairs_of_lora_start_from_weights(void **state)
{
    (void)state;
    struct passes p;
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    const struct lorac_adapter_options o = {
        .method = "dora", .rank = 4, .alpha = 8.0, .init = LORAC_INIT_PISSA};
    passes_open_on(&p, "llama", "ref");
    assert_int_equal(lorac_adapter_new(&a, p.m, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text, "adapter.init: pissa and olora start the pairs of LoRA; "
                                  "adapter.method is dora");
    assert_null(a);
    passes_close(&p);
}

static void twice_the_rank_must_fit_the_module(void **state)
{
    (void)state;
    struct passes p;
    struct lorac_err err = {0};
    struct lorac_adapter *a = NULL;
    const struct lorac_adapter_options o = {.rank = 9, .alpha = 8.0, .init = LORAC_INIT_OLORA};
    passes_open_on(&p, "llama", "ref");
    assert_int_equal(lorac_adapter_new(&a, p.m, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text,
                        "rank 18, twice that of adapter.init: pissa or olora, is larger than "
                        "module 'model.layers.0.self_attn.k_proj' (16 x 32)");
    assert_null(a);
    passes_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EACH(ten_steps_are_those_of_peft),
        ON_REF(factoring_tells_how_far_it_is),
        ON_EACH(the_start_leaves_the_logits_bit_for_bit),
        ON_EACH(what_is_saved_does_what_was_trained),
        cmocka_unit_test(want_of_memory_is_an_error),
        cmocka_unit_test(twice_the_rank_must_fit_the_module),
        cmocka_unit_test(only_the_pairs_of_lora_start_from_weights),
        cmocka_unit_test(a_ratio_of_one_changes_no_bit),
        cmocka_unit_test(a_ratio_without_pairs_is_refused),
    };
    return cmocka_run_group_tests_name("training", tests, NULL, tiny_remove);
}
