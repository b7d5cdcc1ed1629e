/*
 * The vault backend. What is promised:
 *   - touching its memory outside an operation dies, reading as well as writing; so does looking
 *     into the handle of a weight, whose numbers weight_read gives;
 *   - operations read and write it, and results marked `host` are ordinary memory;
 *   - every operation of the table is there;
 *   - alloc and weight_open return NULL when it is full.
 */
#include "tests/support/vault.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

// All three have one type, that of what a child process does.
static void nothing(volatile float *p) // NOLINT(readability-non-const-parameter)
{
    (void)p;
}

static void peek(volatile float *p) // NOLINT(readability-non-const-parameter)
{
    (void)*p;
}

static void poke(volatile float *p)
{
    *p = 1.0F;
}

/* Whether a child that does `act` to p dies of SIGSEGV. */
static bool dies(void (*act)(volatile float *), volatile float *p)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); // neither cmocka's handler nor a sanitizer's
        act(p);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void touching_it_outside_an_operation_dies(void **state)
{
    (void)state;
    struct lorac_device dev;
    vault_open(&dev, 1 << 20);
    static const float host[3] = {1.0F, 2.0F, 3.0F};
    float *x = dev.ops->alloc(&dev, sizeof host);
    assert_non_null(x);
    assert_false(dies(nothing, x));
    assert_true(dies(peek, x));
    assert_true(dies(poke, x));
    dev.ops->write(&dev, x, host, sizeof host); // closed again afterwards
    assert_true(dies(peek, x));
    float back[3] = {0.0F};
    dev.ops->read(&dev, back, x, sizeof back);
    assert_memory_equal(back, host, sizeof host);
    lorac_device_close(&dev);
}

static void a_weight_is_read_through_its_handle(void **state)
{
    (void)state;
    struct lorac_device dev;
    vault_open(&dev, 1 << 20);
    float host[6] = {1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F};
    float back[6] = {0.0F};
    float *x = dev.ops->alloc(&dev, sizeof host);
    struct lorac_weight *file =
        dev.ops->weight_open(&dev, host, LORAC_F32, 2, 3, false, LORAC_FLOAT32);
    struct lorac_weight *over = dev.ops->weight_over(&dev, x, 2, 3, false);
    assert_non_null(file);
    assert_non_null(over);
    assert_true(dies(peek, (volatile float *)file));
    assert_true(dies(peek, (volatile float *)over));
    dev.ops->weight_read(&dev, back, file, 2, 3);
    assert_memory_equal(back, host + 2, 3 * sizeof *back);
    dev.ops->write(&dev, x, host + 3, 3 * sizeof *x); // what it stands over has changed
    dev.ops->weight_read(&dev, back, over, 0, 6);
    assert_memory_equal(back, host + 3, 3 * sizeof *back);
    assert_true(dies(peek, (volatile float *)file));
    dev.ops->weight_close(&dev, file);
    dev.ops->weight_close(&dev, over);
    lorac_device_close(&dev);
}

static void operations_work_inside(void **state)
{
    (void)state;
    struct lorac_device dev;
    vault_open(&dev, 1 << 20);
    static const float host[4] = {0.5F, -1.0F, 2.0F, 0.25F};
    static const uint32_t first[] = {0, 1, 2};
    static const int32_t target[] = {1, 0};
    static const float weight[] = {1.0F, 0.5F};
    float *x = dev.ops->alloc(&dev, sizeof host);
    float *y = dev.ops->alloc(&dev, sizeof host);
    dev.ops->write(&dev, x, host, sizeof host);
    dev.ops->add(&dev, y, x, 4); // alloc zeroes
    assert_true(dev.ops->sum_squares(&dev, y, 4) == 0.25 + 1.0 + 4.0 + 0.0625);
    float nll[2];
    dev.ops->cross_entropy(&dev, nll, y, first, target, weight, 2, 2);
    float copy[4];
    float want[2];
    memcpy(copy, host, sizeof copy);
    lorac_backend_ref.cross_entropy(NULL, want, copy, first, target, weight, 2, 2);
    assert_memory_equal(nll, want, sizeof nll);
    float back[4];
    dev.ops->read(&dev, back, y, sizeof back);
    assert_memory_equal(back, copy, sizeof back);
    lorac_device_close(&dev);
}

static void no_operation_is_missing(void **state)
{
    (void)state;
    const void *const *entry = (const void *const *)(const void *)&lorac_backend_vault;
    const void *const *ref = (const void *const *)(const void *)&lorac_backend_ref;
    for (size_t i = 0; i < sizeof lorac_backend_vault / sizeof *entry; i++) {
        if (i == offsetof(struct lorac_backend, linear_pair) / sizeof *entry) {
            assert_null(ref[i]); // neither gains by it: callers go by its parts
            assert_null(entry[i]);
            continue;
        }
        assert_non_null(ref[i]);
        assert_non_null(entry[i]);
        assert_ptr_not_equal(entry[i], ref[i]); // else it would compute with the vault closed
    }
}

static void a_full_vault_has_no_memory(void **state)
{
    (void)state;
    struct lorac_device dev;
    vault_open(&dev, 4096);
    static const char byte = 0;
    assert_null(dev.ops->alloc(&dev, (size_t)1 << 40));
    assert_non_null(dev.ops->alloc(&dev, (size_t)sysconf(_SC_PAGESIZE) - 63));
    assert_null(dev.ops->alloc(&dev, 1));
    assert_null(dev.ops->weight_open(&dev, &byte, LORAC_U8, 1, 1, false, LORAC_FLOAT32));
    lorac_device_close(&dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(touching_it_outside_an_operation_dies),
        cmocka_unit_test(a_weight_is_read_through_its_handle),
        cmocka_unit_test(operations_work_inside),
        cmocka_unit_test(no_operation_is_missing),
        cmocka_unit_test(a_full_vault_has_no_memory),
    };
    return cmocka_run_group_tests_name("vault", tests, NULL, NULL);
}
