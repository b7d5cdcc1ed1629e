/* json.c - typed reads that the parts share, and the frame of tokenizer.json. Every
 * object is read with the list of its keys: one that is not listed may change the result and is
 * refused. */
#include "base/core/mem.h"
#include "base/tokenizer/impl.h"

#include <stdio.h>
#include <string.h>

enum lorac_status lorac_json_only(const struct lorac_json *object, const char *const *keys,
                                  struct lorac_err *err)
{
    if (!json_is_object(object->value)) { return lorac_json_fail(object, "an object", err); }
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object->value, key, value)
    {
        size_t i = 0;
        while (keys[i] && strcmp(keys[i], key) != 0) {
            i++;
        }
        if (!keys[i]) {
            return lorac_fail(err, LORAC_ENOTSUP, "%s: '%s%s%.60s' is not supported", object->file,
                              object->where, object->where[0] ? "." : "", key);
        }
    }
    return LORAC_OK;
}

enum lorac_status lorac_json_choice(int *out, const struct lorac_json *object, const char *key,
                                    const char *const *names, struct lorac_err *err)
{
    const char *name = NULL;
    enum lorac_status st = lorac_json_string(&name, object, key, false, err);
    if (st || !name) { return st; }
    char expected[128] = "";
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = i;
            return LORAC_OK;
        }
        size_t n = strlen(expected);
        (void)snprintf(expected + n, sizeof expected - n, "%s%s", i ? ", " : "one of ", names[i]);
    }
    struct lorac_json at = lorac_json_get(object, key);
    return lorac_json_fail(&at, expected, err);
}

enum lorac_status lorac_json_pattern(struct lorac_pattern *out, const struct lorac_json *object,
                                     const char *key, struct lorac_err *err)
{
    struct lorac_json at = lorac_json_get(object, key);
    const char *literal = NULL;
    const char *regex = NULL;
    enum lorac_status st = lorac_json_only(&at, LORAC_KEYS("String", "Regex"), err);
    if (!st) { st = lorac_json_string(&literal, &at, "String", false, err); }
    if (!st) { st = lorac_json_string(&regex, &at, "Regex", false, err); }
    if (st) { return st; }
    if (!literal == !regex) { return lorac_json_fail(&at, "a String or a Regex", err); }
    if (regex) { return lorac_pattern_regex(out, regex, &at, err); }
    out->n = strlen(literal);
    if (out->n == 0) { return lorac_json_fail(&at, "a String that is not empty", err); }
    out->literal = lorac_mem_string(literal, out->n);
    return out->literal ? LORAC_OK : lorac_no_memory(err);
}

enum lorac_status lorac_json_char(char out[5], const struct lorac_json *object, const char *key,
                                  struct lorac_err *err)
{
    const char *s = NULL;
    uint32_t cp = 0;
    enum lorac_status st = lorac_json_string(&s, object, key, true, err);
    if (st) { return st; }
    const size_t n = strlen(s);
    if (n == 0 || lorac_utf8_next(s, n, &cp) != n) {
        struct lorac_json at = lorac_json_get(object, key);
        return lorac_json_fail(&at, "one character", err);
    }
    memcpy(out, s, n + 1);
    return LORAC_OK;
}

enum lorac_status lorac_json_type(const char **out, const struct lorac_json *at,
                                  struct lorac_err *err)
{
    if (!json_is_object(at->value)) { return lorac_json_fail(at, "an object", err); }
    return lorac_json_string(out, at, "type", true, err);
}

// bounded by TOK_MAX_DEPTH
enum lorac_status // NOLINTNEXTLINE(misc-no-recursion)
lorac_read_parts(struct lorac_tokenizer *t, const struct lorac_json *at, const char *list,
                 lorac_part_reader *read, int depth, struct lorac_err *err)
{
    const char *type = NULL;
    if (!at->value) { return LORAC_OK; }
    enum lorac_status st = lorac_json_type(&type, at, err);
    if (st || !type) { return st; } // a type that is required is not NULL
    if (strcmp(type, "Sequence") != 0) { return read(t, at, type, depth, err); }
    st = lorac_json_only(at, LORAC_KEYS("type", list), err);
    if (st) { return st; }
    if (depth >= TOK_MAX_DEPTH) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: '%s' is nested deeper than %d", at->file,
                          at->where, TOK_MAX_DEPTH);
    }
    struct lorac_json parts = lorac_json_get(at, list);
    if (!json_is_array(parts.value)) { return lorac_json_fail(&parts, "a list", err); }
    for (size_t i = 0; i < json_array_size(parts.value) && !st; i++) {
        struct lorac_json part = lorac_json_at(&parts, i);
        if (json_is_null(part.value)) { return lorac_json_fail(&part, "an object", err); }
        st = lorac_read_parts(t, &part, list, read, depth + 1, err);
    }
    return st;
}

static enum lorac_status read_added(struct lorac_tokenizer *t, const struct lorac_json *root,
                                    struct lorac_err *err)
{
    struct lorac_json list = lorac_json_get(root, "added_tokens");
    if (!list.value) { return LORAC_OK; }
    if (!json_is_array(list.value)) { return lorac_json_fail(&list, "a list", err); }
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < json_array_size(list.value) && !st; i++) {
        struct lorac_json at = lorac_json_at(&list, i);
        size_t id = 0;
        st = lorac_json_size(&id, &at, "id", true, 0, TOK_MAX_ID - 1, err);
        if (st) { break; }
        size_t had = t->n_added;
        st = lorac_added_read(t, &at, (int32_t)id, err);
        struct lorac_json content = lorac_json_get(&at, "content");
        bool empty = json_string_length(content.value) == 0; // ignored
        if (!st && t->n_added == had && !empty) {
            st = lorac_fail(err, LORAC_EFORMAT, "%s: '%s' is a token that was added before",
                            at.file, at.where);
        }
    }
    return st;
}

enum lorac_status lorac_read_tokenizer(struct lorac_tokenizer *t, const struct lorac_json *root,
                                       struct lorac_err *err)
{
    // truncation and padding are what a caller of the reference sets anew at each call
    const char *version = "1.0";
    enum lorac_status st =
        lorac_json_only(root,
                        LORAC_KEYS("version", "truncation", "padding", "added_tokens", "normalizer",
                                   "pre_tokenizer", "post_processor", "decoder", "model"),
                        err);
    if (!st) { st = lorac_json_string(&version, root, "version", false, err); }
    if (!st && strcmp(version, "1.0") != 0) {
        struct lorac_json at = lorac_json_get(root, "version");
        st = lorac_json_fail(&at, "1.0", err);
    }
    struct lorac_json at = lorac_json_get(root, "model");
    if (!st) { st = lorac_read_model(t, &at, err); }
    if (!st) { st = read_added(t, root, err); }
    at = lorac_json_get(root, "normalizer");
    if (!st) { st = lorac_read_parts(t, &at, "normalizers", lorac_read_norm, 0, err); }
    at = lorac_json_get(root, "pre_tokenizer");
    if (!st) { st = lorac_read_parts(t, &at, "pretokenizers", lorac_read_pre, 0, err); }
    at = lorac_json_get(root, "decoder");
    if (!st) { st = lorac_read_parts(t, &at, "decoders", lorac_read_dec, 0, err); }
    at = lorac_json_get(root, "post_processor");
    if (!st) { st = lorac_read_parts(t, &at, "processors", lorac_read_post, 0, err); }
    return st;
}
