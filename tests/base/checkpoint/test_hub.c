/*
 * Where models lie. What is promised:
 *   - the Hub's name of a snapshot follows from its path, and no other path has one;
 *   - whichever allocation or system call fails, finding a folder reports it or succeeds.
 * (What is found where, and the messages: tests/tools/test_outside.sh.)
 */
#define _POSIX_C_SOURCE 200809L // setenv
#include "base/checkpoint/hub.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_snapshot_has_the_name_of_its_folder(void **state)
{
    (void)state;
    static const struct {
        const char *path, *id;
    } cases[] = {
        {"/c/models--me--tiny/snapshots/5afe", "me/tiny"},
        {"models--me--tiny/snapshots/5afe/", "me/tiny"},
        {"/c/models--me--a--b/snapshots/5afe", "me/a--b"},
        {"/c/models--gpt2/snapshots/5afe", "gpt2"},
        {"/c/models--x--y/snapshots/1/models--me--tiny/snapshots/2", "me/tiny"},
        {"/c/models--me--tiny", NULL},
        {"/c/models--me--tiny/blobs/5afe", NULL},
        {"/c/my-models--me--tiny/snapshots/5afe", NULL},
        {"/c/datasets--me--tiny/snapshots/5afe", NULL},
        {"/c/models--/snapshots/5afe", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char id[LORAC_HUB_ID] = "";
        assert_int_equal(lorac_hub_id(id, cases[i].path), cases[i].id != NULL);
        assert_string_equal(id, cases[i].id ? cases[i].id : "");
    }
}

static void every_failure_is_reported(void **state)
{
    (void)state;
    const char *cache = tiny_path("cache");
    static const char *const folders[] = {"cache/models--me--tiny/snapshots/5afe",
                                          "cache/models--me--only/snapshots/1",
                                          "cache/models--me--tiny/refs"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(lorac_dir_make(tiny_path(folders[i]), NULL), LORAC_OK);
    }
    tiny_text("cache/models--me--tiny/refs/main", "5afe\n");
    assert_int_equal(setenv("HF_HUB_CACHE", cache, 1), 0);
    static const char *const given[] = {"me/tiny", "me/only", "me/none", "none", "a/b/c"};
    for (size_t k = 0; k < sizeof given / sizeof *given; k++) {
        for (enum faults_kind kind = FAULTS_CALLS; kind < N_FAULTS; kind++) {
            bool met = true;
            for (long n = 0; met; n++) {
                char *found = NULL;
                struct lorac_err err = {0};
                faults_start(kind, n);
                enum lorac_status st = lorac_hub_find(&found, given[k], NULL, &err);
                met = faults_stop();
                assert_int_equal(st == LORAC_OK, found != NULL);
                assert_int_equal(st != LORAC_OK, err.text[0] != '\0');
                if (met && st != faults_status(kind)) {
                    fail_msg("%s %d %ld: %s", given[k], (int)kind, n, err.text);
                }
                if (!met) { assert_int_equal(st, k < 2 ? LORAC_OK : LORAC_EUSER); }
                lorac_mem_free(found);
            }
        }
    }
    assert_int_equal(unsetenv("HF_HUB_CACHE"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_has_the_name_of_its_folder),
        cmocka_unit_test(every_failure_is_reported),
    };
    return cmocka_run_group_tests_name("hub", tests, NULL, tiny_remove);
}
