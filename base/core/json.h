/*
 * json.h - JSON files through jansson, with typed reads whose errors name file and key.
 *
 * Duplicate keys, trailing bytes, invalid UTF-8, nesting over jansson's limit (2048) are refused.
 * A `struct lorac_json` is a cursor: a value and the words that say where it stands. It borrows;
 * whoever loaded the root frees it with lorac_json_free().
 *
 * Where jansson gets no memory it may speak of an invalid token, leave out a byte and say nothing,
 * or read past its buffer. A program that calls lorac_mem_serve_json() is safe from that, and told
 * LORAC_ENOMEM.
 */
#ifndef LORAC_BASE_CORE_JSON_H
#define LORAC_BASE_CORE_JSON_H

#include "base/core/buf.h"
#include "base/core/err.h"
#include "base/core/json_value.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct lorac_json {
    json_t *value;    // borrowed; NULL for a key that is absent
    const char *file; // borrowed: the path that messages start with
    char where[96];   // "rope_scaling.factor"
};

LORAC_MUST_CHECK enum lorac_status lorac_json_load(struct lorac_json *root, const char *path,
                                                   size_t limit, struct lorac_err *err);
/* The same from memory; `file` is what messages call it and must outlive the cursor. */
LORAC_MUST_CHECK enum lorac_status lorac_json_parse(struct lorac_json *root, const char *text,
                                                    size_t n, const char *file,
                                                    struct lorac_err *err);
/* The same of text that begins on this line of the file. */
LORAC_MUST_CHECK enum lorac_status lorac_json_parse_line(struct lorac_json *root, const char *text,
                                                         size_t n, const char *file, uint64_t line,
                                                         struct lorac_err *err);
void lorac_json_free(struct lorac_json *root);

/* The member `key` of an object; value NULL where absent (JSON null counts as absent). */
struct lorac_json lorac_json_get(const struct lorac_json *object, const char *key);
struct lorac_json lorac_json_at(const struct lorac_json *array, size_t i);

/* Typed reads: an absent key leaves `*out` as it is (its default) when `required` is false. */
LORAC_MUST_CHECK enum lorac_status lorac_json_size(size_t *out, const struct lorac_json *object,
                                                   const char *key, bool required, size_t min,
                                                   size_t max, struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_json_number(double *out, const struct lorac_json *object,
                                                     const char *key, bool required,
                                                     struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_json_bool(bool *out, const struct lorac_json *object,
                                                   const char *key, bool required,
                                                   struct lorac_err *err);
/* Borrowed from the JSON value. */
LORAC_MUST_CHECK enum lorac_status lorac_json_string(const char **out,
                                                     const struct lorac_json *object,
                                                     const char *key, bool required,
                                                     struct lorac_err *err);
/* "FILE: WHERE: must be EXPECTED, found VALUE". */
enum lorac_status lorac_json_fail(const struct lorac_json *at, const char *expected,
                                  struct lorac_err *err);

/* Append a value as JSON, with jansson's flags (JSON_COMPACT, ...). Only memory can be missing:
 * b->no_memory. */
void lorac_json_text(struct lorac_buf *b, const json_t *value, size_t flags);
#endif
