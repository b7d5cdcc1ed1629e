/*
 * json_value.h - JSON as the value of a program's own jansson, read safely where memory is short
 * (json.h says what may happen).
 */
#ifndef LORAC_BASE_CORE_JSON_VALUE_H
#define LORAC_BASE_CORE_JSON_VALUE_H

#include "base/core/api.h"
#include "base/core/err.h"

LORAC_API_BEGIN

/* *value, of jansson's type, is what n bytes say: the caller's reference. Refused are what
 * lorac_json_parse() refuses, and texts with a NUL byte. `name` is what messages call it. */
LORAC_MUST_CHECK enum lorac_status lorac_json_read(void **value, const char *text, size_t n,
                                                   const char *name, struct lorac_err *err);

LORAC_API_END

#endif
