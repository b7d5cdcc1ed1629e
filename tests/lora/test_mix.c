/*
 * Several adapters in one batch. What is promised, on every case of tests/golden/models and on
 * every backend:
 *   - each segment comes out as it does where the whole batch is its adapter's, the bare base's
 *     beside them, where all rows score and where few do;
 *   - an adapter with full copies has a batch of its own, and they stand in there;
 *   - an adapter's content follows from what it does: not from its name, and from each value.
 */
#include "base/core/mem.h"
#include "lora/lora.h"
#include "tests/support/backends.h"
#include "tests/support/faults.h"
#include "tests/support/golden.h"
#include "tests/support/near.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { SEGMENTS = 5, ROWS = 64 };

struct fixture {
    struct lorac_device dev;
    struct golden g;
    struct lorac_model *m;
    struct lorac_adapter *a, *fresh;
    struct lorac_pass *p;
};

static void open_case(struct fixture *f, const char *name, const char *backend)
{
    struct lorac_err err = {0};
    struct lorac_pass_options o = {.max_rows = ROWS};
    golden_open(&f->g, name);
    assert_int_equal(lorac_device_open(&f->dev, backend, 1, &err), LORAC_OK);
    assert_int_equal(lorac_model_open(&f->m, &f->dev, f->g.dir, LORAC_FLOAT32, &err), LORAC_OK);
    const char *dir = golden_path(&f->g, "adapter");
    assert_int_equal(lorac_peft_load(&f->a, f->m, dir, false, &err), LORAC_OK);
    dir = golden_path(&f->g, "start");
    assert_int_equal(lorac_peft_load(&f->fresh, f->m, dir, false, &err), LORAC_OK);
    assert_int_equal(lorac_pass_new(&f->p, f->m, NULL, &o, &err), LORAC_OK);
}

static void close_case(struct fixture *f)
{
    lorac_pass_free(f->p);
    lorac_adapter_free(f->fresh);
    lorac_adapter_free(f->a);
    lorac_model_close(f->m);
    lorac_device_close(&f->dev);
    golden_close(&f->g);
}

/* Five beginnings of a text, each longer than the one before; few: the last row of each scores. */
static struct lorac_batch *texts(const struct fixture *f, const int32_t adapter[SEGMENTS], bool few)
{
    struct lorac_batch *b = NULL;
    const struct lorac_segment *longest = &f->g.batch->segments[2];
    assert_int_equal(lorac_batch_new(&b, ROWS, SEGMENTS, 1, NULL), LORAC_OK);
    lorac_batch_clear(b);
    for (size_t s = 0; s < SEGMENTS; s++) {
        size_t n = s + 2 < longest->n ? s + 2 : longest->n;
        (void)lorac_batch_add(b, f->g.batch->ids + longest->row, n, -1);
        b->segments[s].adapter = adapter[s];
        for (size_t i = few ? n - 1 : 0; i < n; i++) {
            lorac_batch_want_logits(b, b->segments[s].row + i);
        }
    }
    return b;
}

/* Logits of the batch, in new memory. */
static float *logits_of(struct fixture *f, const struct lorac_batch *b,
                        const struct lorac_socket *socket)
{
    struct lorac_err err = {0};
    float *logits = lorac_mem_new(b->U * f->m->config.V, sizeof *logits);
    assert_non_null(logits);
    assert_int_equal(lorac_pass_use(f->p, socket, &err), LORAC_OK);
    assert_int_equal(lorac_pass_forward(f->p, b, NULL, &err), LORAC_OK);
    lorac_pass_logits(f->p, b, logits);
    return logits;
}

/* Rows of logits of segment s, and the first. */
static size_t rows_of(size_t *first, const struct lorac_batch *b, size_t s)
{
    size_t n = 0;
    *first = SIZE_MAX;
    for (size_t u = 0; u < b->U; u++) {
        const struct lorac_segment *seg = &b->segments[s];
        if (b->head_row[u] < seg->row || b->head_row[u] >= seg->row + seg->n) { continue; }
        if (*first == SIZE_MAX) { *first = u; }
        n++;
    }
    return n;
}

static void compare(struct fixture *f, const char *name, bool few)
{
    static const int32_t adapter[SEGMENTS] = {1, 0, 2, 2, 1};
    const struct lorac_adapter *both[] = {f->a, f->fresh};
    const struct lorac_adapter *one[] = {f->a, f->a};
    struct lorac_mix mix = {.adapter = f->a->n_full ? one : both, .n = 2};
    struct lorac_stack alone[] = {
        {0}, {1, {mix.adapter[0]}, {1.0F}}, {1, {mix.adapter[1]}, {1.0F}}};
    struct lorac_socket socket = lorac_mix_socket(&mix);
    static const int32_t whole[SEGMENTS] = {1, 1, 2, 2, 1};
    mix.whole = f->a->n_full ? f->a : NULL;
    const int32_t *of = mix.whole ? whole : adapter;
    struct lorac_batch *b = texts(f, of, few);
    float *got = logits_of(f, b, &socket);
    for (int32_t i = 0; i < 3; i++) {
        struct lorac_socket single = lorac_stack_socket(&alone[i]);
        float *want = logits_of(f, b, i ? &single : NULL);
        for (size_t s = 0; s < SEGMENTS; s++) {
            size_t first = 0;
            size_t n = rows_of(&first, b, s) * f->m->config.V;
            size_t at = first * f->m->config.V;
            if (of[s] != i) { continue; }
            // sums of float32 in another order, where products of few rows have one of their own
            near_all(name, got + at, want + at, n, 2e-6F * golden_largest(want + at, n), 1e-6F);
        }
        lorac_mem_free(want);
    }
    lorac_mem_free(got);
    lorac_batch_free(b);
}

static void each_segment_has_its_adapter(void **state)
{
    for (size_t i = 0; golden_cases[i]; i++) {
        struct fixture f = {0};
        open_case(&f, golden_cases[i], *state);
        compare(&f, golden_cases[i], false);
        compare(&f, golden_cases[i], true);
        close_case(&f);
    }
}

static void content_is_what_an_adapter_does(void **state)
{
    struct fixture f = {0};
    struct lorac_adapter *again = NULL;
    char was[65];
    char is[65];
    open_case(&f, golden_cases[0], *state);
    const char *dir = golden_path(&f.g, "adapter");
    assert_int_equal(lorac_peft_load(&again, f.m, dir, false, NULL), LORAC_OK);
    assert_int_equal(lorac_adapter_content(was, f.a, NULL), LORAC_OK);
    assert_int_equal(strlen(was), 64);
    assert_int_equal(lorac_adapter_content(is, again, NULL), LORAC_OK);
    assert_string_equal(is, was);
    assert_int_equal(lorac_adapter_content(is, f.fresh, NULL), LORAC_OK);
    assert_string_not_equal(is, was);
    float last = 3.0F;
    f.dev.ops->write(&f.dev, again->params + again->n_params - 1, &last, sizeof last);
    assert_int_equal(lorac_adapter_content(is, again, NULL), LORAC_OK);
    assert_string_not_equal(is, was);
    again->site[0].scale *= 2.0F;
    assert_int_equal(lorac_adapter_content(was, again, NULL), LORAC_OK);
    assert_string_not_equal(is, was);
    faults_start(FAULTS_MEMORY, 0);
    enum lorac_status st = lorac_adapter_content(is, again, NULL);
    assert_true(faults_stop());
    assert_int_equal(st, LORAC_ENOMEM);
    lorac_adapter_free(again);
    close_case(&f);
}

/* One that is read in several pieces: of the model that ships. */
static void content_is_of_all_values_of_a_large_adapter(void **state)
{
    enum { PIECE = 1 << 16 };
    static const char small[] = LORAC_TESTS_DIR "/../base/models/small";
    struct lorac_adapter_options o = lorac_adapter_options_default();
    struct lorac_device dev;
    struct lorac_model *m = NULL;
    struct lorac_adapter *a[2] = {NULL};
    char content[2][65];
    assert_int_equal(lorac_device_open(&dev, *state, 1, NULL), LORAC_OK);
    assert_int_equal(lorac_model_open(&m, &dev, small, LORAC_FLOAT32, NULL), LORAC_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(lorac_adapter_new(&a[i], m, &o, NULL), LORAC_OK);
        assert_int_equal(lorac_adapter_content(content[i], a[i], NULL), LORAC_OK);
    }
    assert_string_equal(content[0], content[1]);
    assert_true(a[0]->n_params > PIECE && a[0]->n_params % PIECE != 0);
    const size_t places[] = {PIECE - 1, PIECE, a[0]->n_params - 1};
    for (size_t i = 0; i < 3; i++) {
        float other = 3.0F;
        dev.ops->write(&dev, a[0]->params + places[i], &other, sizeof other);
        assert_int_equal(lorac_adapter_content(content[i % 2], a[0], NULL), LORAC_OK);
        assert_string_not_equal(content[0], content[1]);
    }
    lorac_adapter_free(a[0]);
    lorac_adapter_free(a[1]);
    lorac_model_close(m);
    lorac_device_close(&dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EACH(each_segment_has_its_adapter),
        ON_EACH(content_is_what_an_adapter_does),
        ON_EACH(content_is_of_all_values_of_a_large_adapter),
    };
    return cmocka_run_group_tests_name("mix", tests, NULL, NULL);
}
