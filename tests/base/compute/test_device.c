/*
 * Devices. What is promised: a backend is found by its name; without one it is LORAC_BACKEND's, and
 * without that the fastest; a number
 * of threads that is none becomes the backend's own; an unknown name and a failed allocation are
 * errors, and the device is then as closed. What products are computed in is found by its name;
 * "auto" is never what the device lacks, and what it lacks is refused with the reason.
 */
#define _POSIX_C_SOURCE 200809L // setenv
#include "base/compute/device.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef LORAC_HAVE_OPENBLAS
#    define FASTEST "cpu"
#    define HAS "(it has cpu, ref)"
#else
#    define FASTEST "ref"
#    define HAS "(it has ref)"
#endif

static void backends_are_found_by_name(void **state)
{
    (void)state;
    struct lorac_device dev = {0};
    struct lorac_err err = {0};
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    assert_string_equal(dev.ops->name, "ref");
    assert_int_equal(dev.ops->library_bytes(&dev), 0);
    lorac_device_close(&dev);
    assert_null(dev.ops);
    lorac_device_close(&dev);
    lorac_device_close(NULL);
    assert_int_equal(lorac_device_open(&dev, NULL, 1, NULL), LORAC_OK);
    assert_string_equal(dev.ops->name, FASTEST);
#ifdef LORAC_HAVE_OPENBLAS
    assert_true(dev.ops->library_bytes(&dev) > 0);
#endif
    lorac_device_close(&dev);
    assert_int_equal(lorac_device_open(&dev, "gpu", 1, &err), LORAC_ENOTSUP);
    assert_string_equal(err.text, "this build has no backend 'gpu' " HAS);
    assert_null(dev.ops);
}

static void the_environment_names_it_where_the_program_does_not(void **state)
{
    (void)state;
    struct lorac_device dev = {0};
    struct lorac_err err = {0};
    assert_int_equal(setenv("LORAC_BACKEND", "ref", 1), 0);
    assert_int_equal(lorac_device_open(&dev, NULL, 1, NULL), LORAC_OK);
    assert_string_equal(dev.ops->name, "ref");
    lorac_device_close(&dev);
    assert_int_equal(setenv("LORAC_BACKEND", "gpu", 1), 0);
    assert_int_equal(lorac_device_open(&dev, NULL, 1, &err), LORAC_ENOTSUP);
    assert_string_equal(err.text, "LORAC_BACKEND: this build has no backend 'gpu' " HAS);
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    lorac_device_close(&dev);
    assert_int_equal(setenv("LORAC_BACKEND", "", 1), 0);
    assert_int_equal(lorac_device_open(&dev, NULL, 1, NULL), LORAC_OK);
    assert_string_equal(dev.ops->name, FASTEST);
    lorac_device_close(&dev);
    assert_int_equal(unsetenv("LORAC_BACKEND"), 0);
}

static void threads_are_those_asked_for_or_the_backends_own(void **state)
{
    (void)state;
    for (int threads = -1; threads < 4; threads++) {
        struct lorac_device dev;
        assert_int_equal(lorac_device_open(&dev, "ref", threads, NULL), LORAC_OK);
        assert_int_equal(dev.threads, threads < 1 ? 1 : threads);
        lorac_device_close(&dev);
        assert_int_equal(lorac_device_open(&dev, NULL, threads, NULL), LORAC_OK);
        if (threads < 1) { assert_true(dev.threads >= 1); }
        if (threads >= 1) { assert_int_equal(dev.threads, threads); }
        lorac_device_close(&dev);
    }
}

static void what_is_computed_in_is_found_by_name(void **state)
{
    (void)state;
    static const char *const backends[] = {"ref", NULL};
    for (size_t i = 0; i < 2; i++) {
        struct lorac_device dev = {0};
        struct lorac_err err = {0};
        enum lorac_compute c = LORAC_INT8;
        assert_int_equal(lorac_device_outline(&dev, backends[i], 1, NULL), LORAC_OK);
        assert_int_equal(lorac_compute_find(&c, &dev, NULL, NULL), LORAC_OK);
        assert_int_equal(c, LORAC_FLOAT32);
        for (size_t k = 0; k < LORAC_N_COMPUTES; k++) {
            enum lorac_compute want = (enum lorac_compute)k;
            const char *lacks = dev.ops->lacks(&dev, want);
            enum lorac_status st = lorac_compute_find(&c, &dev, lorac_compute_name(want), &err);
            assert_int_equal(c, want);
            assert_int_equal(st, lacks ? LORAC_ENOTSUP : LORAC_OK);
            assert_true(!lacks || strstr(err.text, lacks));
        }
        assert_null(dev.ops->lacks(&dev, LORAC_FLOAT32));
        assert_int_equal(lorac_compute_find(&c, &dev, "auto", NULL), LORAC_OK);
        bool half = !dev.ops->lacks(&dev, LORAC_BFLOAT16);
        assert_int_equal(c, half ? LORAC_BFLOAT16 : LORAC_FLOAT32);
        assert_int_equal(lorac_compute_find(&c, &dev, "bf16", &err), LORAC_EUSER);
        assert_string_equal(err.text, "'bf16' is not one of float32, bfloat16, int8 and auto");
        lorac_device_close(&dev);
    }
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    long n = 0;
    for (bool met = true; met; n += met) {
        struct lorac_device dev;
        struct lorac_err err = {0};
        faults_start(FAULTS_MEMORY, n);
        enum lorac_status st = lorac_device_open(&dev, NULL, 2, &err);
        met = faults_stop();
        assert_int_equal(st, met ? LORAC_ENOMEM : LORAC_OK);
        assert_int_equal(dev.ops == NULL, met);
        lorac_device_close(&dev);
    }
#ifdef LORAC_HAVE_OPENBLAS
    assert_true(n > 2);
#endif
}

int main(void)
{
    if (unsetenv("LORAC_BACKEND") != 0) { return 1; }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backends_are_found_by_name),
        cmocka_unit_test(the_environment_names_it_where_the_program_does_not),
        cmocka_unit_test(threads_are_those_asked_for_or_the_backends_own),
        cmocka_unit_test(what_is_computed_in_is_found_by_name),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
