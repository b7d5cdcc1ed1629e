/*
 * faults.h - a machine that fails, met by a whole scenario: what one wants of the library, from its
 * start to its end. For its first, second, third ... allocation and system call failing:
 *   - the failure is reported as what it is, in one line; or it changes nothing at all;
 *   - nothing leaks (the sanitizer's part), and no file is left that is not whole;
 *   - asked again, the same scenario has the same result.
 *
 * Shorter loops stand beside the tests of single functions:
 *
 *     long n = 0;
 *     for (bool met = true; met; n++) {
 *         faults_start(FAULTS_MEMORY, n);
 *         st = ...;
 *         met = faults_stop();
 *         ...  // met: st must be an error
 *     }
 *
 * They end where the failure was not met. To end at the first success is wrong: a failure that is
 * met and not noticed ends the loop, too, and nobody learns of it.
 *
 * Of the libraries we use, PCRE2 and libcsv have our allocator, so that theirs are among
 * FAULTS_MEMORY; jansson gets one here, and libyaml where a program's function stands in for a
 * shared library's. utf8proc has none to make.
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
    long step; // from the 100th failure on, every step-th, for they are alike; but the last 60 all
};

/* Run all of them, failing the test where one of the above does not hold. The folder of tiny.h is
 * watched. */
void faults_meet(const struct faults_scenario *scenarios, size_t n_scenarios);

/* The same for what makes a folder `out`, with nothing beside it in `home`: after a failure `home`
 * is empty. Foreign allocations fail every step-th. At the end of each kind `made` looks at the
 * folder, which is then removed. */
struct faults_folder {
    const char *home, *out;
    enum lorac_status (*go)(void *self, struct lorac_err *err);
    void (*made)(void *self);
    void *self;
    long step;
};
void faults_meet_folder(const struct faults_folder *f);
/* Of the bytes that it writes every step-th, and each of the last twenty, becomes another on the
 * disk: that is noticed, and nothing is left. */
void faults_wrong_bytes(const struct faults_folder *f);

enum faults_kind {
    FAULTS_CALLS,   // system calls: LORAC_EIO
    FAULTS_MEMORY,  // allocations: LORAC_ENOMEM
    FAULTS_FOREIGN, // those of jansson and libyaml: LORAC_ENOMEM
    N_FAULTS
};

/* What ends with the error `want`, whose words take memory: where one of its last 60 allocations
 * fails, it is still that error, or LORAC_ENOMEM. */
void faults_complain(enum lorac_status want, enum lorac_status (*go)(struct lorac_err *err));

/* From now on the n-th of them (from 0) fails, once. */
void faults_start(enum faults_kind kind, long n);
/* No more of it. True where the failure happened. */
bool faults_stop(void);
/* The status that reports it. */
enum lorac_status faults_status(enum faults_kind kind);
/* The n to go on with: from the 100th on every step-th, for they are alike. */
long faults_next(long n, long step);

/* What the scenario came to, as text: equal results are equal texts. */
void faults_say(const char *fmt, ...) LORAC_PRINTF(1, 2);
/* LORAC_ENOMEM where a buffer could not grow. */
LORAC_MUST_CHECK enum lorac_status faults_text(const struct lorac_buf *b, struct lorac_err *err);

#endif
