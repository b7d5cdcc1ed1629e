/*
 * State files. What is promised:
 *   - a state reads back as it was written;
 *   - one of no step holds no parameters: those that the recipe makes stay as they are, and one
 *     that has trained meanwhile is refused;
 *   - so do the values that pairs started from (PiSSA, OLoRA), whatever the weights would give now;
 *   - wherever the disk keeps another byte, the write is an error that names the place, the state
 *     before it stays as it was, and no other file is left;
 *   - so it is where the disk is full, read-only, or any other call or allocation fails.
 */
#include "recipes/run/state.h"

#include "base/core/fault.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/job.h"
#include "recipes/run/setup.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct subject {
    struct lorac_recipe *r;
    struct lorac_job *j;
    struct lorac_adapter *a;
    struct lorac_optim *o;
    struct lorac_state s;
};

static struct subject open_with(const char *set)
{
    const char *const sets[] = {"adapter.rank=1", "adapter.targets=[q_proj]", set, NULL};
    struct subject s = {.r = runs_recipe("none", sets)};
    struct lorac_optim_options o = lorac_setup_optim(s.r, 10);
    struct lorac_err err = {0};
    if (lorac_job_open(&s.j, s.r, 0, &err) || lorac_job_adapter(&s.a, s.j, &err) ||
        lorac_adapter_reserve(s.a, &err) || lorac_optim_new(&s.o, s.a, &o, &err)) {
        fail_msg("%s", err.text);
    }
    s.s = (struct lorac_state){.step = 3, .micro = 6, .examples = 18, .best = 0.125};
    s.s.best_scores = (struct lorac_scores){.rows = 6, .loss = 0.1, .exact_match = (double)NAN};
    assert_int_equal(lorac_dir_make(tiny_path("s"), NULL), LORAC_OK);
    return s;
}

static struct subject open_subject(void)
{
    return open_with(NULL);
}

static void close_subject(struct subject *s)
{
    lorac_optim_free(s->o);
    lorac_adapter_free(s->a);
    lorac_job_close(s->j);
    lorac_recipe_free(s->r);
    assert_int_equal(lorac_dir_remove(tiny_path("s"), NULL), LORAC_OK);
}

static enum lorac_status write_state(struct subject *s, struct lorac_err *err)
{
    return lorac_state_write(tiny_path("s/state"), &s->s, s->a, s->o, err);
}

/* The folder holds the file alone, with these bytes. */
static void expect_old(const char *old, size_t n)
{
    char **names = NULL;
    size_t now = 0;
    char *text = tiny_read(tiny_path("s/state"), &now);
    assert_int_equal(now, n);
    assert_memory_equal(text, old, n);
    lorac_mem_free(text);
    assert_int_equal(lorac_dir_list(&names, tiny_path("s"), NULL), LORAC_OK);
    assert_non_null(names[0]);
    assert_null(names[1]);
    lorac_mem_free(names);
}

static void a_state_reads_back(void **state)
{
    (void)state;
    struct subject s = open_subject();
    struct lorac_state got = {0};
    struct lorac_err err = {0};
    if (write_state(&s, &err) || lorac_state_read(&got, s.a, s.o, tiny_path("s/state"), &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(got.step, 3);
    assert_int_equal(got.examples, 18);
    assert_true(got.best_scores.loss == 0.1 && isnan(got.best_scores.exact_match));
    close_subject(&s);
}

static void a_run_of_no_step_is_what_its_recipe_makes(void **state)
{
    (void)state;
    struct subject s = open_subject();
    const struct lorac_state none = {0};
    struct lorac_state got = s.s;
    struct lorac_err err = {0};
    const char *path = tiny_path("s/state");
    const size_t bytes = s.a->n_params * sizeof(float);
    float *host = lorac_mem_new(2, bytes); // before, after
    float *after = host + s.a->n_params;
    size_t n = 0;
    if (lorac_state_write(path, &none, NULL, NULL, &err)) { fail_msg("%s", err.text); }
    char *text = tiny_read(path, &n);
    assert_null(strstr(text + 8, "\"params\""));
    s.a->model->dev->ops->read(s.a->model->dev, host, s.a->params, bytes);
    if (lorac_state_read(&got, s.a, s.o, path, &err)) { fail_msg("%s", err.text); }
    s.a->model->dev->ops->read(s.a->model->dev, after, s.a->params, bytes);
    assert_memory_equal(host, after, bytes);
    assert_true(got.step == 0 && got.examples == 0 && got.has_best == 0);
    lorac_optim_set_steps(s.o, 2);
    assert_int_equal(lorac_state_read(&got, s.a, s.o, path, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "is of no step yet and holds no parameters, but this adapter "
                                     "has done 2 steps; open it anew"));
    lorac_mem_free(text);
    lorac_mem_free(host);
    close_subject(&s);
}

static void another_byte_on_the_disk_is_found(void **state)
{
    (void)state;
    struct subject s = open_subject();
    size_t n = 0;
    size_t in_tensors = 0;
    size_t in_header = 0;
    assert_int_equal(write_state(&s, NULL), LORAC_OK);
    char *old = tiny_read(tiny_path("s/state"), &n);
    s.s.step = 4;
    for (size_t at = 0; at < n; at++) {
        struct lorac_err err = {0};
        lorac_sys_wrong_byte((long)at);
        enum lorac_status st = write_state(&s, &err);
        lorac_sys_wrong_byte(-1);
        if (!st) { fail_msg("byte %zu of %zu: not noticed", at, n); }
        assert_non_null(strstr(err.text, tiny_path("s/state")));
        in_tensors += strstr(err.text, "reads back with other values") != NULL;
        in_header += strstr(err.text, "reads back with other bytes than were written") != NULL;
        expect_old(old, n);
    }
    assert_true(in_tensors >= 3 * s.a->n_params && in_header > 0);
    lorac_mem_free(old);
    close_subject(&s);
}

static void a_full_or_read_only_disk_loses_nothing(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *want;
    } kinds[] = {{ENOSPC, "No space left on device"},
                 {EROFS, "Read-only file system"},
                 {EACCES, "Permission denied"},
                 {EDQUOT, "quota exceeded"}};
    struct subject s = open_subject();
    size_t n = 0;
    assert_int_equal(write_state(&s, NULL), LORAC_OK);
    char *old = tiny_read(tiny_path("s/state"), &n);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (long call = 0; call < 4; call++) { // create, write, fsync, close
            struct lorac_err err = {0};
            lorac_sys_fail_with(call, kinds[k].code);
            assert_int_equal(write_state(&s, &err), LORAC_EIO);
            lorac_sys_fail_after(-1);
            if (!strstr(err.text, kinds[k].want)) { fail_msg("call %ld: %s", call, err.text); }
            assert_non_null(strstr(err.text, tiny_path("s/state")));
            expect_old(old, n);
        }
    }
    lorac_mem_free(old);
    close_subject(&s);
}

static void whatever_fails_the_old_state_or_the_new_one_stands(void **state)
{
    (void)state;
    struct subject s = open_subject();
    struct lorac_state got = {0};
    assert_int_equal(write_state(&s, NULL), LORAC_OK);
    s.s.step = 4;
    long failures = 0;
    for (enum faults_kind kind = FAULTS_CALLS; kind < N_FAULTS; kind++) {
        for (long n = 0;; n = faults_next(n, kind == FAULTS_FOREIGN ? 37 : 1), failures++) {
            struct lorac_err err = {0};
            faults_start(kind, n);
            enum lorac_status st = write_state(&s, &err);
            const bool met = faults_stop();
            assert_int_equal(lorac_state_read(&got, s.a, s.o, tiny_path("s/state"), NULL),
                             LORAC_OK);
            assert_true(got.step == 3 || got.step == 4);
            if (!met) { break; }
            assert_int_equal(st, faults_status(kind));
            assert_true(err.text[0] != '\0');
            if (got.step == 3) { continue; } // the folder could not be written behind the rename
            s.s.step = 3;
            assert_int_equal(write_state(&s, NULL), LORAC_OK);
            s.s.step = 4;
        }
        s.s.step = 3;
        assert_int_equal(write_state(&s, NULL), LORAC_OK);
        s.s.step = 4;
    }
    assert_true(failures > 20);
    close_subject(&s);
}

/* A machine that factors weights otherwise would begin with other values: here they are 1. */
static void what_pairs_started_from_is_kept(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_state got = {0};
    struct subject s = open_with("adapter.init=olora");
    const struct lorac_site *site = &s.a->site[0];
    struct lorac_device *dev = s.a->model->dev;
    const size_t n = site->R * site->C;
    float *host = lorac_mem_new(4 * n, sizeof *host); // what runs; what the file leaves; ones
    float *ones = host + 2 * n;
    size_t start = 0;
    float *at = lorac_adapter_start(s.a, &start);
    assert_true(start == s.a->n_params && start <= 2 * n);
    for (size_t i = 0; i < 2 * n; i++) {
        ones[i] = 1.0F;
    }
    dev->ops->write(dev, s.a->params, ones, sizeof *ones);
    assert_int_equal(lorac_adapter_refresh(s.a, &err), LORAC_OK);
    dev->ops->read(dev, host, site->p[0], n * sizeof *host);
    assert_int_equal(write_state(&s, &err), LORAC_OK);
    dev->ops->write(dev, at, ones, start * sizeof *ones);
    dev->ops->write(dev, s.a->params, ones, start * sizeof *ones);
    assert_int_equal(lorac_adapter_refresh(s.a, &err), LORAC_OK);
    dev->ops->read(dev, host + n, site->p[0], n * sizeof *host);
    assert_memory_not_equal(host, host + n, n * sizeof *host);
    if (lorac_state_read(&got, s.a, s.o, tiny_path("s/state"), &err)) { fail_msg("%s", err.text); }
    dev->ops->read(dev, host + n, site->p[0], n * sizeof *host);
    assert_memory_equal(host, host + n, n * sizeof *host);
    lorac_mem_free(host);
    close_subject(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_reads_back),
        cmocka_unit_test(a_run_of_no_step_is_what_its_recipe_makes),
        cmocka_unit_test(what_pairs_started_from_is_kept),
        cmocka_unit_test(another_byte_on_the_disk_is_found),
        cmocka_unit_test(a_full_or_read_only_disk_loses_nothing),
        cmocka_unit_test(whatever_fails_the_old_state_or_the_new_one_stands),
    };
    return cmocka_run_group_tests_name("state", tests, runs_make, runs_remove);
}
