/* backends.h - tests that hold on every backend: one row each, in the table of main(). The name of
 * the backend, "ref" or "cpu", is the test's *state. */
#ifndef LORAC_TESTS_BACKENDS_H
#define LORAC_TESTS_BACKENDS_H

// A string that cmocka may hand over as void *; it lives as long as the table.
// clang-format off
#define ON_BACKEND(f, name) {#f "/" name, f, NULL, NULL, (char[]){name}}
// clang-format on

#define ON_REF(f) ON_BACKEND(f, "ref")
#ifdef LORAC_HAVE_OPENBLAS
#    define ON_CPU(f) ON_BACKEND(f, "cpu")
#    define ON_EACH(f) ON_REF(f), ON_CPU(f)
#else
#    define ON_EACH(f) ON_REF(f)
#endif

#endif
