/*
 * data.h - published models and tables, which are not in the tree: LORAC_TEST_DATA names their
 * folder.
 *
 * A test that reads them is named by DATA_TEST, gets their paths from data_path(), and its
 * program's main() returns data_result(): ctest runs such tests by themselves ("data.<program>")
 * and shows them as skipped where something is not there, and the program's other tests as what
 * they are.
 */
#ifndef LORAC_TESTS_DATA_H
#define LORAC_TESTS_DATA_H

enum { DATA_SKIPPED = 77 }; // an exit code; ctest's SKIP_RETURN_CODE

#define DATA_TEST(f)                    \
    {                                   \
        "data/" #f, f, NULL, NULL, NULL \
    }

/* The path of NAME below LORAC_TEST_DATA in new memory (lorac_mem_free). NULL where it is not
 * there, which is told: the test goes on without. */
char *data_path(const char *name);
/* What main() returns: `failed` tests, or DATA_SKIPPED where something was not there. */
int data_result(int failed);

#endif
