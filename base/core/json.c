/* json.c - see json.h. */
#include "base/core/json.h"

#include "base/core/file.h"
#include "base/core/json_heap.h"
#include "base/core/mem.h"
#include "base/core/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static enum lorac_status parse(struct lorac_json *root, const char *text, size_t n,
                               const char *file, uint64_t line, size_t flags, struct lorac_err *err)
{
    struct lorac_json_text left = {text, n};
    json_error_t at = {0};
    *root = (struct lorac_json){.file = file};
    if (lorac_json_reserve_open(n)) {
        void *before = lorac_locale_begin();
        root->value = json_load_callback(lorac_json_feed, &left, flags, &at);
        lorac_locale_end(before);
    }
    bool silent = !root->value && !at.text[0]; // wrong syntax has a message
    bool refused = lorac_json_reserve_drawn();
    if (refused) { lorac_json_free(root); }
    lorac_json_reserve_close();
    if (silent || refused) {
        return lorac_fail(err, LORAC_ENOMEM, "%s: no memory to read it", file);
    }
    if (!root->value) {
        return lorac_fail(err, LORAC_EFORMAT, "%s:%llu:%d: not valid JSON: %s", file,
                          (unsigned long long)line + (unsigned long long)at.line - 1, at.column,
                          at.text);
    }
    const char *nul = memchr(text, '\0', n);
    if (!nul) { return LORAC_OK; }
    lorac_json_free(root); // jansson passes over one behind a number or a word
    for (const char *c = text; c < nul; c++) {
        line += *c == '\n';
    }
    return lorac_fail(err, LORAC_EFORMAT, "%s:%llu: not valid JSON: a NUL byte", file,
                      (unsigned long long)line);
}

enum lorac_status lorac_json_parse_line(struct lorac_json *root, const char *text, size_t n,
                                        const char *file, uint64_t line, struct lorac_err *err)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
    return parse(root, text, n, file, line, flags, err);
}

enum lorac_status lorac_json_parse(struct lorac_json *root, const char *text, size_t n,
                                   const char *file, struct lorac_err *err)
{
    return lorac_json_parse_line(root, text, n, file, 1, err);
}

enum lorac_status lorac_json_read(void **value, const char *text, size_t n, const char *name,
                                  struct lorac_err *err)
{
    struct lorac_json root = {0};
    enum lorac_status st =
        parse(&root, text, n, name, 1, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, err);
    *value = st ? NULL : root.value;
    return st;
}

enum lorac_status lorac_json_load(struct lorac_json *root, const char *path, size_t limit,
                                  struct lorac_err *err)
{
    char *text = NULL;
    size_t n = 0;
    *root = (struct lorac_json){.file = path};
    enum lorac_status st = lorac_file_read(&text, &n, path, limit, err);
    if (!st) { st = lorac_json_parse(root, text, n, path, err); }
    lorac_mem_free(text);
    return st;
}

void lorac_json_free(struct lorac_json *root)
{
    json_decref(root->value);
    root->value = NULL;
}

struct lorac_json lorac_json_get(const struct lorac_json *object, const char *key)
{
    struct lorac_json at = {.file = object->file};
    json_t *value = json_object_get(object->value, key); // NULL where it is no object
    at.value = json_is_null(value) ? NULL : value;
    (void)snprintf(at.where, sizeof at.where, "%.47s%s%.47s", object->where,
                   object->where[0] ? "." : "", key);
    return at;
}

struct lorac_json lorac_json_at(const struct lorac_json *array, size_t i)
{
    struct lorac_json at = {.file = array->file, .value = json_array_get(array->value, i)};
    (void)snprintf(at.where, sizeof at.where, "%.70s[%zu]", array->where, i);
    return at;
}

enum lorac_status lorac_json_fail(const struct lorac_json *at, const char *expected,
                                  struct lorac_err *err)
{
    if (!at->value) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: '%s' is missing, %s was expected", at->file,
                          at->where, expected);
    }
    struct lorac_buf text = {0};
    lorac_json_text(&text, at->value, JSON_ENCODE_ANY | JSON_COMPACT);
    const char *shown = text.no_memory ? "?" : text.at;
    bool cut = strlen(shown) > 40;
    enum lorac_status st = lorac_fail(err, LORAC_EFORMAT, "%s: '%s' must be %s, found %.40s%s",
                                      at->file, at->where, expected, shown, cut ? "..." : "");
    lorac_buf_free(&text);
    return st;
}

enum lorac_status lorac_json_size(size_t *out, const struct lorac_json *object, const char *key,
                                  bool required, size_t min, size_t max, struct lorac_err *err)
{
    struct lorac_json at = lorac_json_get(object, key);
    if (!at.value && !required) { return LORAC_OK; }
    json_int_t v = json_is_integer(at.value) ? json_integer_value(at.value) : -1;
    if (v < 0 || (uint64_t)v < min || (uint64_t)v > max) {
        char expected[80];
        (void)snprintf(expected, sizeof expected, "a whole number from %zu to %zu", min, max);
        return lorac_json_fail(&at, expected, err);
    }
    *out = (size_t)v;
    return LORAC_OK;
}

enum lorac_status lorac_json_number(double *out, const struct lorac_json *object, const char *key,
                                    bool required, struct lorac_err *err)
{
    struct lorac_json at = lorac_json_get(object, key);
    if (!at.value && !required) { return LORAC_OK; }
    if (!json_is_number(at.value) || !isfinite(json_number_value(at.value))) {
        return lorac_json_fail(&at, "a number", err);
    }
    *out = json_number_value(at.value);
    return LORAC_OK;
}

enum lorac_status lorac_json_bool(bool *out, const struct lorac_json *object, const char *key,
                                  bool required, struct lorac_err *err)
{
    struct lorac_json at = lorac_json_get(object, key);
    if (!at.value && !required) { return LORAC_OK; }
    if (!json_is_boolean(at.value)) { return lorac_json_fail(&at, "true or false", err); }
    *out = json_is_true(at.value);
    return LORAC_OK;
}

enum lorac_status lorac_json_string(const char **out, const struct lorac_json *object,
                                    const char *key, bool required, struct lorac_err *err)
{
    struct lorac_json at = lorac_json_get(object, key);
    if (!at.value && !required) { return LORAC_OK; }
    const char *s = json_string_value(at.value);
    if (!s || strlen(s) != json_string_length(at.value)) {
        return lorac_json_fail(&at, "text", err);
    }
    *out = s;
    return LORAC_OK;
}

static int add(const char *bytes, size_t n, void *buf)
{
    struct lorac_buf *b = buf;
    lorac_buf_add(b, bytes, n);
    return b->no_memory ? -1 : 0;
}

void lorac_json_text(struct lorac_buf *b, const json_t *value, size_t flags)
{
    void *before = lorac_locale_begin();
    if (json_dump_callback(value, add, b, flags)) { b->no_memory = true; }
    lorac_locale_end(before);
}
