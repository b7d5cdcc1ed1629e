/*
 * number.h - numbers as text, the same in every locale.
 *
 * A program that embeds us may have called setlocale() for its users, and printf() and strtod()
 * then know a decimal comma: what we write and read has a point all the same. Nothing else in these
 * folders prints or reads a number that may have one (tests/lint/locale.sh).
 */
#ifndef LORAC_BASE_CORE_NUMBER_H
#define LORAC_BASE_CORE_NUMBER_H

#include "base/core/buf.h"
#include <stdarg.h>

/* As snprintf(), vsnprintf() and strtod() in the "C" locale. */
int lorac_snprintf(char *to, size_t size, const char *fmt, ...) LORAC_PRINTF(3, 4);
int lorac_vsnprintf(char *to, size_t size, const char *fmt, va_list args) LORAC_PRINTF(3, 0);
double lorac_strtod(const char *text, char **end);

enum lorac_number {
    LORAC_NUMBER_OK,
    LORAC_NUMBER_NONE,
    LORAC_NUMBER_TOO_LARGE,
    LORAC_NUMBER_TOO_SMALL
};
/* Decimal text, `12`, `-.5`, `1e-5`, and nothing else: no hexadecimal, infinity or NaN. */
enum lorac_number lorac_number_parse(double *out, const char *text);

/* Append the shortest decimal that reads back to x. */
void lorac_number_print(struct lorac_buf *buf, double x);

/* Around calls of a library that prints and reads numbers: this thread's locale is "C" until `end`
 * gets what `begin` returned. */
void *lorac_locale_begin(void);
void lorac_locale_end(void *before);

#endif
