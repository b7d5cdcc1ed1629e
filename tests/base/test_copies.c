/*
 * Copies of weights, packed for their products. What is promised:
 *   - where copies for training's products were made, what they are of need not be in memory;
 *   - copies that only make products faster stay within a quarter of the memory: for both
 *     directions, or forward alone, or none, and what is left out is counted; those that products
 *     need are made whatever they take;
 *   - what others stand in for has no copy; stored weights are read a part at a time, and those
 *     that nothing reads behind their copies are counted;
 *   - a pass has them made once it ran so many rows in batches that they make faster, not before,
 *     and never for smaller batches.
 */
#include "base/batch.h"
#include "base/core/machine.h"
#include "base/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const char from[] = LORAC_TESTS_DIR "/golden/models/llama";

#ifdef LORAC_HAVE_OPENBLAS // ref makes no copies
/* Every page of its files is read. */
static void read_all(const struct lorac_model *m)
{
    enum { PAGE = 4096 };
    unsigned sum = 0;
    for (size_t i = 0; i < lorac_checkpoint_count(m->files); i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(m->files, i);
        const volatile unsigned char *at = t->data;
        for (size_t k = 0; k < lorac_dtype_bytes(t->dtype, t->n); k += PAGE) {
            sum += at[k];
        }
    }
    assert_true(sum > 0);
}

static void copies_for_training_let_the_files_go(void **state)
{
    (void)state;
    static const char small[] = LORAC_TESTS_DIR "/../base/models/small";
    static const enum lorac_compute computes[] = {LORAC_FLOAT32, LORAC_INT8};
    enum { MIB = 1 << 20 };
    struct lorac_device dev;
    assert_int_equal(lorac_device_open(&dev, "cpu", 1, NULL), LORAC_OK);
    assert_int_equal(lorac_device_start(&dev, NULL), LORAC_OK);
    for (size_t i = 0; i < 2; i++) {
        struct lorac_model *m = NULL;
        size_t own = 0;
        size_t before = 0;
        size_t after = 0;
        assert_int_equal(lorac_model_open(&m, &dev, small, computes[i], NULL), LORAC_OK);
        read_all(m);
        lorac_machine_resident(&own, &before);
        lorac_model_prepare(m, NULL, 0);
        lorac_machine_resident(&own, &after);
        assert_int_equal(after + 2 * MIB < before, computes[i] == LORAC_INT8);
        lorac_model_close(m);
    }
    lorac_device_close(&dev);
}
#endif

static size_t copy_bytes;  // of a weight, for one direction
static size_t prepared[2]; // how many for forward products alone, for both
static size_t together;    // the most of one call

static size_t count_copies(const struct lorac_device *dev, enum lorac_dtype type, size_t OC,
                           size_t C, enum lorac_compute compute, bool back)
{
    (void)dev, (void)type, (void)OC, (void)C, (void)compute;
    return copy_bytes * (back ? 2 : 1);
}

static void see_prepared(struct lorac_device *dev, const struct lorac_weight *const *w, size_t n,
                         bool back)
{
    (void)dev, (void)w;
    prepared[back] += n;
    together = n > together ? n : together;
}

static void count_prepared(const struct lorac_model *m, const struct lorac_socket *socket,
                           size_t frozen, size_t forward, size_t both)
{
    prepared[0] = prepared[1] = together = 0;
    lorac_model_prepare(m, socket, frozen);
    assert_int_equal(prepared[0], forward);
    assert_int_equal(prepared[1], both);
}

static void copies_stay_within_a_quarter_of_the_memory(void **state)
{
    (void)state;
    enum { WEIGHTS = 6 * 7 + 1 };
    const size_t most = lorac_machine_memory() / 4 / WEIGHTS; // for each
    const struct {
        size_t bytes, needed; // modules whose copies products need: stored in another type
        size_t made;          // of the others, while training: for how many directions
    } cases[] = {
        {most / 2, 0, 2},       // all fit
        {most / 2 + 1, 0, 1},   // not all
        {most, 0, 1},           // forward ones do
        {most + 1, 0, 0},       // nor they
        {most, 10, 1},          // 10 are needed, and forward ones fit
        {most + 1, 10, 0},      // the 10 alone
        {most / 2, WEIGHTS, 0}, // all are needed,
        {most, WEIGHTS, 0},     // whatever
        {most + 1, WEIGHTS, 0}, // they take
    };
    struct lorac_backend counting = lorac_backend_ref;
    counting.weight_bytes = count_copies;
    counting.weights_prepare = see_prepared;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_device dev;
        struct lorac_model *m = NULL;
        size_t left_out = 0;
        assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
        assert_int_equal(lorac_model_open(&m, &dev, LORAC_TESTS_DIR "/../base/models/small",
                                          LORAC_FLOAT32, NULL),
                         LORAC_OK);
        dev.ops = &counting;
        m->compute = LORAC_BFLOAT16; // of another backend
        size_t needed = cases[i].needed;
        size_t others = WEIGHTS - needed;
        for (size_t k = 0, n = 0; k < m->n_modules; k++) {
            m->module[k].dtype = n < needed ? LORAC_F32 : LORAC_BF16;
            n += lorac_module_is_linear(&m->module[k]);
        }
        copy_bytes = cases[i].bytes;
        assert_int_equal(lorac_model_copies(m, NULL, 0, &left_out),
                         (2 * needed + cases[i].made * others) * copy_bytes);
        assert_int_equal(left_out, (2 - cases[i].made) * others * copy_bytes);
        count_prepared(m, NULL, 0, cases[i].made == 1 ? others : 0,
                       needed + (cases[i].made == 2 ? others : 0));
        count_prepared(m, NULL, LORAC_ALL_FROZEN, needed + (copy_bytes <= most ? others : 0), 0);
        dev.ops = &lorac_backend_ref;
        lorac_model_close(m);
        lorac_device_close(&dev);
    }
}

static const struct lorac_weight *weight_of_even_ones(const void *self, size_t i)
{
    const struct lorac_model *m = self;
    return i % 2 ? NULL : m->module[i].w;
}

static void weights_that_others_stand_in_for_are_not_copied(void **state)
{
    (void)state;
    struct lorac_device dev;
    struct lorac_model *m = NULL;
    struct lorac_backend counting = lorac_backend_ref;
    counting.weight_bytes = count_copies;
    counting.weights_prepare = see_prepared;
    copy_bytes = 100;
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    assert_int_equal(lorac_model_open(&m, &dev, from, LORAC_FLOAT32, NULL), LORAC_OK);
    dev.ops = &counting;
    m->compute = LORAC_BFLOAT16; // of another backend
    const struct lorac_socket socket = {.self = m, .weight = weight_of_even_ones};
    size_t others = 0;
    size_t bytes = 0; // of them, as they are stored: float32
    for (size_t i = 1; i < m->n_modules; i += 2) {
        const struct lorac_module *l = &m->module[i];
        others += lorac_module_is_linear(l);
        bytes += lorac_module_is_linear(l) ? l->OC * l->C * sizeof(float) : 0;
    }
    assert_true(others > 3);
    count_prepared(m, &socket, 0, 0, others);
    assert_int_equal(lorac_model_copies(m, &socket, 0, NULL), 2 * copy_bytes * others);
    assert_int_equal(lorac_model_let_go(m, &socket), bytes);
    m->compute = LORAC_FLOAT32;
    count_prepared(m, &socket, 0, 0, 0);
    dev.ops = &lorac_backend_ref;
    lorac_model_close(m);
    lorac_device_close(&dev);
}

static void stored_weights_are_read_a_part_at_a_time(void **state)
{
    (void)state;
    struct lorac_device dev;
    struct lorac_model *m = NULL;
    struct lorac_backend counting = lorac_backend_ref;
    counting.weights_prepare = see_prepared;
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    assert_int_equal(lorac_model_open(&m, &dev, from, LORAC_FLOAT32, NULL), LORAC_OK);
    dev.ops = &counting;
    m->compute = LORAC_BFLOAT16; // of another backend
    size_t linear = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        struct lorac_module *l = &m->module[i];
        if (!lorac_module_is_linear(l)) { continue; }
        l->OC = 10 << 20; // as if: nothing reads them here
        l->C = 1;
        linear++;
    }
    count_prepared(m, NULL, 0, 0, linear);
    assert_int_equal(together, 2); // 40 MiB each
    dev.ops = &lorac_backend_ref;
    lorac_model_close(m);
    lorac_device_close(&dev);
}

static void stored_weights_that_copies_alone_read_are_let_go(void **state)
{
    (void)state;
    static const char *const models[] = {from, LORAC_TESTS_DIR "/golden/models/llama-tied-bias"};
    struct lorac_backend counting = lorac_backend_ref;
    counting.weight_bytes = count_copies;
    for (size_t k = 0; k < 2; k++) {
        struct lorac_device dev;
        struct lorac_model *m = NULL;
        copy_bytes = 100;
        assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
        assert_int_equal(lorac_model_open(&m, &dev, models[k], LORAC_FLOAT32, NULL), LORAC_OK);
        dev.ops = &counting;
        m->compute = LORAC_BFLOAT16; // of another backend
        size_t bytes = 0;
        struct lorac_module *last = NULL;
        for (size_t i = 0; i < m->n_modules; i++) {
            struct lorac_module *l = &m->module[i];
            bool read = l->role == LORAC_ROLE_HEAD && lorac_model_is_tied(m); // as the embedding
            if (!lorac_module_is_linear(l) || read) { continue; }
            bytes += l->OC * l->C * sizeof(float);
            last = l;
        }
        assert_int_equal(lorac_model_is_tied(m), k == 1);
        assert_int_equal(lorac_model_let_go(m, NULL), bytes);
        last->dtype = LORAC_BF16; // products of few rows read it where it is
        assert_int_equal(lorac_model_let_go(m, NULL), bytes - last->OC * last->C * sizeof(float));
        copy_bytes = 0; // as ref has it
        assert_int_equal(lorac_model_let_go(m, NULL), 0);
        last->dtype = LORAC_F32;
        dev.ops = &lorac_backend_ref;
        lorac_model_close(m);
        lorac_device_close(&dev);
    }
}

static void a_pass_of_many_rows_has_copies_made(void **state)
{
    (void)state;
    enum { MANY = 16, FEW = LORAC_PREPARE_ROWS - 1 };
    static const int32_t ids[MANY] = {1, 2, 3};
    static const struct lorac_pass_options o = {.max_rows = MANY, .max_positions = MANY};
    struct lorac_backend counting = lorac_backend_ref;
    struct lorac_device dev;
    struct lorac_model *m = NULL;
    struct lorac_pass *p = NULL;
    struct lorac_batch *b = NULL;
    counting.weights_prepare = see_prepared;
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    assert_int_equal(lorac_model_open(&m, &dev, from, LORAC_FLOAT32, NULL), LORAC_OK);
    dev.ops = &counting;
    m->compute = LORAC_BFLOAT16; // of another backend
    prepared[0] = prepared[1] = 0;
    assert_int_equal(lorac_pass_new(&p, m, NULL, &o, NULL), LORAC_OK);
    assert_int_equal(lorac_batch_new(&b, MANY, 1, 0, NULL), LORAC_OK);
    for (size_t few = 1; few < 2; few--) {
        for (size_t rows = 0; rows <= LORAC_PREPARE_TOKENS; rows += b->N) {
            assert_int_equal(prepared[0], 0);
            lorac_batch_clear(b);
            (void)lorac_batch_add(b, ids, few ? FEW : MANY, -1);
            assert_int_equal(lorac_pass_forward(p, b, NULL, NULL), LORAC_OK);
        }
    }
    size_t linear = 0;
    for (size_t i = 0; i < m->n_modules; i++) {
        linear += lorac_module_is_linear(&m->module[i]);
    }
    assert_int_equal(prepared[0], linear);
    assert_int_equal(prepared[1], 0);
    lorac_batch_free(b);
    lorac_pass_free(p);
    dev.ops = &lorac_backend_ref;
    lorac_model_close(m);
    lorac_device_close(&dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef LORAC_HAVE_OPENBLAS
        cmocka_unit_test(copies_for_training_let_the_files_go),
#endif
        cmocka_unit_test(copies_stay_within_a_quarter_of_the_memory),
        cmocka_unit_test(weights_that_others_stand_in_for_are_not_copied),
        cmocka_unit_test(stored_weights_are_read_a_part_at_a_time),
        cmocka_unit_test(stored_weights_that_copies_alone_read_are_let_go),
        cmocka_unit_test(a_pass_of_many_rows_has_copies_made),
    };
    return cmocka_run_group_tests_name("copies", tests, NULL, NULL);
}
