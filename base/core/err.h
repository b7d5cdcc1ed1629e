/*
 * err.h - how every fallible function in this library reports failure.
 *
 * A fallible function returns enum lorac_status and takes `struct lorac_err *err` last.
 * On LORAC_OK `*err` is untouched. Otherwise `err->text` is one complete line a user
 * can act on. `err` may be NULL. Nothing here allocates or touches global state.
 */
#ifndef LORAC_ERR_H
#define LORAC_ERR_H

#include "base/core/api.h"
#include <stdbool.h>
#include <stddef.h>

LORAC_API_BEGIN

enum lorac_status {
    LORAC_OK = 0,
    LORAC_ENOMEM,  // an allocation failed
    LORAC_EIO,     // the operating system refused a read, write or open
    LORAC_EFORMAT, // a file is damaged or not what its name claims
    LORAC_EUSER,   // a recipe, option or argument asks for something impossible
    LORAC_ENOTSUP, // valid, but this build or backend cannot do it
    LORAC_ESTOP,   // the caller asked to stop, and the work is not done
};

struct lorac_err {
    enum lorac_status code;
    char text[1024]; // always NUL-terminated; empty until the first failure
};

/* Record a failure: `err->code`, and one line in `err->text`. */
void lorac_err_set(struct lorac_err *err, enum lorac_status code, const char *fmt, ...)
    LORAC_PRINTF(3, 4);

static inline enum lorac_status lorac_status_of(enum lorac_status code)
{
    return code;
}

/* The same as an expression with the value `code`: `return lorac_fail(err, LORAC_EIO, "...", ...)`.
 * A macro, so that compilers and analysers see that a failure never looks like success. */
#define lorac_fail(err, code, ...) \
    ((void)(lorac_err_set((err), (code), __VA_ARGS__)), lorac_status_of(code))

/* Put context in front of the message: "adapter.safetensors: " + old text. */
void lorac_err_prefix(struct lorac_err *err, const char *fmt, ...) LORAC_PRINTF(2, 3);
/* And behind it: old text + " (the way out)". */
void lorac_err_add(struct lorac_err *err, const char *fmt, ...) LORAC_PRINTF(2, 3);

/* `text` (n bytes) as a message shows it, in `out` (size, at least 16): what no one would see (a
 * no-break space, marks of no width) as <U+00A0>, line ends and tabs as \n, \r, \t, bytes that are
 * no UTF-8 as <0xE9>. Cut between two characters, with "..." behind, where it does not fit. Returns
 * `out`. */
const char *lorac_visible(char *out, size_t size, const char *text, size_t n);
bool lorac_is_utf8(const char *text, size_t n);

LORAC_API_END

#endif
