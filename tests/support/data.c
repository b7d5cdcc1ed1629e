/* data.c - see data.h. */
#include "tests/support/data.h"

#include "base/core/file.h"
#include "base/core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static unsigned absent;

char *data_path(const char *name)
{
    char *path = lorac_path_join(LORAC_TEST_DATA, name);
    assert_non_null(path);
    if (lorac_path_exists(path)) { return path; }
    print_message("skipped: %s is not there\n", path);
    lorac_mem_free(path);
    absent++;
    return NULL;
}

int data_result(int failed)
{
    return failed ? failed : absent ? DATA_SKIPPED : 0;
}
