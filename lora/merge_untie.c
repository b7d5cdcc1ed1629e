/* merge_untie.c - see merge_untie.h. */
#include "lora/merge_untie.h"

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"

#include <stdlib.h>
#include <string.h>

enum { LIMIT = 1 << 26 }; // bytes of a config or an index

static enum lorac_status changed(const char *path, struct lorac_err *err)
{
    return lorac_fail(err, LORAC_EFORMAT, "%s: has changed since it was opened", path);
}

/* ---- safetensors ---- */

enum lorac_status lorac_untie_header(struct lorac_buf *out, const char *path,
                                     const struct lorac_tensor *like, const char *name,
                                     struct lorac_err *err)
{
    enum { PREFIX = 8 }; // bytes of the length
    struct lorac_map map;
    struct lorac_buf text = {0};
    enum lorac_status st = lorac_map_open(&map, path, err);
    if (st) { return st; }
    uint64_t n = 0;
    for (size_t i = 0; i < PREFIX && map.size >= PREFIX; i++) {
        n |= (uint64_t)map.data[i] << (8 * i);
    }
    size_t end = map.size >= PREFIX && n <= map.size - PREFIX ? (size_t)n : 0;
    const char *json = (const char *)map.data + PREFIX;
    size_t data = map.size - PREFIX - end;
    while (end > 0 && json[end - 1] == ' ') {
        end--;
    }
    if (end == 0 || json[end - 1] != '}') {
        st = changed(path, err);
        goto done;
    }
    lorac_buf_add(&text, json, end - 1);
    lorac_buf_str(&text, ",");
    lorac_json_quote(&text, name, strlen(name));
    lorac_buf_printf(&text, ":{\"dtype\":\"%s\",\"shape\":[%zu,%zu],\"data_offsets\":[%zu,%zu]}}",
                     lorac_dtype_name(like->dtype), like->dims[0], like->dims[1], data,
                     data + like->n * lorac_dtype_size(like->dtype));
    while (text.n % PREFIX) {
        lorac_buf_str(&text, " ");
    }
    for (size_t i = 0; i < PREFIX; i++) {
        unsigned char byte = (unsigned char)((uint64_t)text.n >> (8 * i) & 0xFF);
        lorac_buf_add(out, &byte, 1);
    }
    lorac_buf_add(out, text.at ? text.at : "", text.n);
    if (text.no_memory || out->no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory for its header", path);
    }
done:
    lorac_buf_free(&text);
    lorac_map_close(&map);
    return st;
}

/* ---- config.json ---- */

/* The end of the JSON string that begins at s. */
static const char *string_end(const char *s)
{
    for (s++; *s && *s != '"'; s++) {
        if (*s == '\\' && s[1]) { s++; }
    }
    return *s ? s + 1 : s;
}

/* The value of a key of the outermost object; NULL: it has none. `text` is valid JSON. */
static const char *value_of(const char *text, const char *key)
{
    size_t n = strlen(key);
    int depth = 0;
    for (const char *s = text; *s;) {
        if (*s != '"') {
            depth += (*s == '{' || *s == '[') - (*s == '}' || *s == ']');
            s++;
            continue;
        }
        const char *end = string_end(s);
        const char *after = end + strspn(end, " \t\r\n");
        bool same = (size_t)(end - s) == n + 2 && memcmp(s + 1, key, n) == 0;
        if (depth == 1 && same && *after == ':') {
            return after + 1 + strspn(after + 1, " \t\r\n");
        }
        s = end;
    }
    return NULL;
}

/* Both as the canonical line that a fingerprint covers. */
static enum lorac_status check_config(const char *path, const struct lorac_model *m,
                                      struct lorac_err *err)
{
    struct lorac_json root = {0};
    struct lorac_config *is = lorac_mem_new(1, sizeof *is);
    struct lorac_config *want = lorac_mem_new(1, sizeof *want);
    struct lorac_buf a = {0};
    struct lorac_buf b = {0};
    enum lorac_status st = LORAC_OK;
    if (!is || !want) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path);
        goto done;
    }
    st = lorac_json_load(&root, path, LIMIT, err);
    if (!st) { st = lorac_config_read(is, &root, err); }
    if (st) { goto done; }
    *want = m->config;
    want->tie = false;
    lorac_config_text(&a, is);
    lorac_config_text(&b, want);
    if (a.no_memory || b.no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path);
    } else if (a.n != b.n || memcmp(a.at, b.at, a.n) != 0) {
        st = lorac_fail(err, LORAC_EIO, "%s: reads back as another model", path);
    }
done:
    lorac_buf_free(&a);
    lorac_buf_free(&b);
    lorac_json_free(&root);
    lorac_mem_free(is);
    lorac_mem_free(want);
    return st;
}

enum lorac_status lorac_untie_config(const char *to, const char *from, const struct lorac_model *m,
                                     struct lorac_err *err)
{
    char *text = NULL;
    size_t n = 0;
    struct lorac_buf out = {0};
    enum lorac_status st = lorac_file_read(&text, &n, from, LIMIT, err);
    if (st) { return st; }
    const char *value = value_of(text, "tie_word_embeddings");
    if (!value || strncmp(value, "true", 4) != 0) {
        st = changed(from, err);
        goto done;
    }
    lorac_buf_add(&out, text, (size_t)(value - text));
    lorac_buf_str(&out, "false");
    lorac_buf_add(&out, value + 4, n - (size_t)(value + 4 - text));
    st = out.no_memory ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory", to)
                       : lorac_file_write(to, out.at, out.n, err);
    if (!st) { st = check_config(to, m, err); }
done:
    lorac_buf_free(&out);
    lorac_mem_free(text);
    return st;
}

/* ---- the index ---- */

enum lorac_status lorac_untie_index(const char *to, const char *from,
                                    const struct lorac_tensor *like, const char *name,
                                    const char *file, struct lorac_err *err)
{
    struct lorac_json root = {0};
    char *text = NULL;
    enum lorac_status st = lorac_json_load(&root, from, LIMIT, err);
    if (st) { return st; }
    json_t *map = json_object_get(root.value, "weight_map");
    json_t *metadata = json_object_get(root.value, "metadata");
    json_t *size = json_object_get(metadata, "total_size");
    size_t bytes = like->n * lorac_dtype_size(like->dtype); // of a mapped file: no overflow
    bool set = json_object_set_new(map, name, json_string(file)) == 0;
    if (set && json_is_integer(size)) {
        set = json_integer_set(size, json_integer_value(size) + (json_int_t)bytes) == 0;
    }
    if (set) { text = json_dumps(root.value, JSON_INDENT(2) | JSON_SORT_KEYS); }
    st = text ? lorac_file_write(to, text, strlen(text), err)
              : lorac_fail(err, LORAC_ENOMEM, "%s: no memory", to);
    free(text); // jansson's
    lorac_json_free(&root);
    return st;
}
