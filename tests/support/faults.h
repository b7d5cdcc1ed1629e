/*
 * faults.h - a machine that fails, met by a whole scenario: what one wants of the library, from its start to
 * its end. For its first, second, third ... allocation and system call failing:
 *   - the failure is reported as what it is, in one line; or it changes nothing at all;
 *   - nothing leaks (the sanitizer's part), and no file is left that is not whole;
 *   - asked again, the same scenario has the same result.
 */
#ifndef LORAC_TESTS_FAULTS_H
#define LORAC_TESTS_FAULTS_H

#include "base/core/buf.h"
#include "base/core/err.h"
#include <stdbool.h>
#include <stddef.h>

struct faults_scenario {
    const char *name;
    enum lorac_status (*go)(struct lorac_err *err);
    bool writes; // the file tiny_path("out"), always the same
    long step;   // from the 100th failure on, every step-th: they are alike
};

/* Run all of them, failing the test where one of the above does not hold. The folder of tiny.h is watched. */
void faults_meet(const struct faults_scenario *scenarios, size_t n);

/* What the scenario came to, as text: equal results are equal texts. */
void faults_say(const char *fmt, ...) LORAC_PRINTF(1, 2);
/* LORAC_ENOMEM where a buffer could not grow. */
LORAC_MUST_CHECK enum lorac_status faults_text(const struct lorac_buf *b, struct lorac_err *err);

#endif
