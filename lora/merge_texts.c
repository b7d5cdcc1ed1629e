/* merge_texts.c - see merge_texts.h. */
#include "lora/merge_texts.h"

#include "base/config_json.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/number.h"

#include <stdio.h>
#include <string.h>

enum { LIMIT = 1 << 26 }; // bytes of a config or an index

static enum lorac_status changed(const char *path, struct lorac_err *err)
{
    return lorac_fail(err, LORAC_EFORMAT, "%s: has changed since it was opened", path);
}

/* ---- safetensors ---- */

enum { PREFIX = 8 }; // bytes of the header's length

static enum lorac_status parse_header(struct lorac_json *out, const char *path,
                                      struct lorac_err *err)
{
    struct lorac_map map;
    enum lorac_status st = lorac_map_open(&map, path, err);
    if (st) { return st; }
    uint64_t n = 0;
    for (size_t i = 0; i < PREFIX && map.size >= PREFIX; i++) {
        n |= (uint64_t)map.data[i] << (8 * i);
    }
    if (map.size < PREFIX || n > map.size - PREFIX) {
        st = changed(path, err);
    } else {
        st = lorac_json_parse(out, (const char *)map.data + PREFIX, (size_t)n, path, err);
    }
    lorac_map_close(&map);
    return st;
}

/* The entry of a tensor whose data begins at *at; it moves to the end. False: no memory. */
static bool put_entry(json_t *root, const struct lorac_tensor_spec *t, size_t *at)
{
    size_t n = 1; // bytes are at most twice those of a mapped file: no overflow
    json_t *shape = json_array();
    bool ok = true;
    for (size_t i = 0; i < t->n_dims; i++) {
        ok = json_array_append_new(shape, json_integer((json_int_t)t->dims[i])) == 0 && ok;
        n *= t->dims[i];
    }
    size_t end = *at + lorac_dtype_bytes(t->dtype, n);
    json_t *entry = json_pack("{s:s, s:O, s:[I, I]}", "dtype", lorac_dtype_name(t->dtype), "shape",
                              shape, "data_offsets", (json_int_t)*at, (json_int_t)end);
    json_decref(shape);
    *at = end;
    return json_object_set_new(root, t->name, entry) == 0 && ok;
}

/* What old transformers ask for: without it, or with another program's word, they don't open the
 * file. */
static const char format_key[] = "format";
static const char format_pt[] = "pt";

static bool put_format(json_t *root)
{
    json_t *meta = json_object_get(root, "__metadata__");
    if (json_is_object(meta)) {
        return json_object_set_new(meta, format_key, json_string(format_pt)) == 0;
    }
    return json_object_set_new(root, "__metadata__", json_pack("{s:s}", format_key, format_pt)) ==
           0;
}

enum lorac_status lorac_header_has_format(bool *has, const char *path, struct lorac_err *err)
{
    struct lorac_json root = {0};
    enum lorac_status st = parse_header(&root, path, err);
    struct lorac_json meta = lorac_json_get(&root, "__metadata__");
    const char *format = json_string_value(json_object_get(meta.value, format_key));
    *has = format && strcmp(format, format_pt) == 0;
    lorac_json_free(&root);
    return st;
}

/* Take out what is not among the tensors. False: no memory. */
static bool drop_others(json_t *root, const struct lorac_tensor_spec *specs, size_t n)
{
    json_t *kept = json_object();
    bool ok = kept && json_object_set_new(kept, "__metadata__", json_true()) == 0;
    for (size_t i = 0; i < n && ok; i++) {
        ok = json_object_set_new(kept, specs[i].name, json_true()) == 0;
    }
    const char *name = NULL;
    json_t *value = NULL;
    void *next = NULL;
    json_object_foreach_safe(root, next, name, value)
    {
        if (ok && !json_object_get(kept, name)) { ok = json_object_del(root, name) == 0; }
    }
    json_decref(kept);
    return ok;
}

enum lorac_status lorac_merged_header(struct lorac_buf *out, const char *from,
                                      const struct lorac_tensor_spec *specs, size_t n,
                                      struct lorac_err *err)
{
    struct lorac_json root = {0};
    enum lorac_status st = parse_header(&root, from, err);
    if (st) { return st; }
    size_t at = 0;
    bool put = put_format(root.value) && drop_others(root.value, specs, n);
    for (size_t i = 0; i < n && put; i++) {
        put = put_entry(root.value, &specs[i], &at);
    }
    struct lorac_buf text = {0};
    if (put) { lorac_json_text(&text, root.value, JSON_COMPACT); }
    size_t padded = (text.n + PREFIX - 1) / PREFIX * PREFIX;
    for (size_t i = 0; i < PREFIX; i++) {
        unsigned char byte = (unsigned char)((uint64_t)padded >> (8 * i) & 0xFF);
        lorac_buf_add(out, &byte, 1);
    }
    if (text.n) { lorac_buf_add(out, text.at, text.n); }
    lorac_buf_printf(out, "%*s", (int)(padded - text.n), "");
    if (!put || text.no_memory || out->no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory for its header", from);
    }
    lorac_buf_free(&text);
    lorac_json_free(&root);
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

/* The end of the JSON value that begins at s. */
static const char *value_end(const char *s)
{
    int depth = 0;
    do {
        if (*s == '"') {
            s = string_end(s);
            continue;
        }
        depth += (*s == '{' || *s == '[') - (*s == '}' || *s == ']');
        s++;
    } while (*s && (depth > 0 || !strchr(",}] \t\r\n", *s)));
    return s;
}

/* Put `value` in the place of bytes from .. to-1. */
static void splice(struct lorac_buf *text, size_t from, size_t to, const char *value)
{
    struct lorac_buf out = {0};
    lorac_buf_add(&out, text->at, from);
    lorac_buf_str(&out, value);
    lorac_buf_add(&out, text->at + to, text->n - to);
    lorac_buf_free(text);
    *text = out;
}

/* Give a key of the outermost object another value; false where it isn't there, or memory has run
 * out. */
static bool replace(struct lorac_buf *text, const char *key, const char *value)
{
    const char *at = text->no_memory ? NULL : value_of(text->at, key);
    if (!at) { return false; }
    size_t end = (size_t)(value_end(at) - text->at);
    splice(text, (size_t)(at - text->at), end, value);
    return true;
}

/* The same, or one entry more, before all others. */
static void put(struct lorac_buf *text, const char *key, const char *value)
{
    struct lorac_buf entry = {0};
    if (replace(text, key, value) || text->no_memory) { return; }
    lorac_buf_printf(&entry, "\n  \"%s\": %s,", key, value);
    size_t open = strcspn(text->at, "{") + 1;
    splice(text, open, open, entry.at ? entry.at : "");
    text->no_memory = text->no_memory || entry.no_memory;
    lorac_buf_free(&entry);
}

/* transformers 4 calls it torch_dtype and 5 dtype; a config without both gets the former, which
 * both read. */
static void put_type(struct lorac_buf *text, enum lorac_dtype dtype)
{
    char value[32];
    (void)snprintf(value, sizeof value, "\"%s\"", lorac_dtype_torch(dtype));
    bool new = replace(text, "dtype", value);
    bool old = replace(text, "torch_dtype", value);
    if (!new && !old && !text->no_memory) { put(text, "torch_dtype", value); }
}

/* ---- a head ---- */

/* The name of label k of a head that says nothing of its labels: transformers'. */
static void add_label(struct lorac_buf *out, const struct lorac_saved *saved, size_t k)
{
    const char *label = saved && saved->K > k ? saved->labels[k] : NULL;
    if (label) {
        lorac_buf_json(out, label, strlen(label));
    } else {
        lorac_buf_printf(out, "\"LABEL_%zu\"", k);
    }
}

/* {"0": "calm", ...}, or {"calm": 0, ...} */
static void put_labels(struct lorac_buf *text, const char *key, const struct lorac_saved *saved,
                       size_t K, bool by_name)
{
    struct lorac_buf value = {0};
    lorac_buf_str(&value, "{");
    for (size_t k = 0; k < K; k++) {
        lorac_buf_str(&value, k ? ",\n    " : "\n    ");
        if (by_name) {
            add_label(&value, saved, k);
            lorac_buf_printf(&value, ": %zu", k);
        } else {
            lorac_buf_printf(&value, "\"%zu\": ", k);
            add_label(&value, saved, k);
        }
    }
    lorac_buf_str(&value, "\n  }");
    if (!value.no_memory) { put(text, key, value.at); }
    text->no_memory = text->no_memory || value.no_memory;
    lorac_buf_free(&value);
}

static void put_number(struct lorac_buf *text, const char *key, double x)
{
    struct lorac_buf value = {0};
    lorac_number_print(&value, x);
    if (!value.no_memory) { put(text, key, value.at); }
    text->no_memory = text->no_memory || value.no_memory;
    lorac_buf_free(&value);
}

/* `had`: how many labels the config named. */
static void put_head(struct lorac_buf *text, const struct lorac_config *c, size_t had,
                     const struct lorac_saved *saved)
{
    char value[160];
    char class[LORAC_CLASS_NAME];
    (void)snprintf(value, sizeof value, "[\n    \"%s\"\n  ]", lorac_config_class(class, c));
    put(text, "architectures", value);
    if ((saved && saved->K) || had != c->labels) {
        put_labels(text, "label2id", saved, c->labels, true);
        put_labels(text, "id2label", saved, c->labels, false);
    }
    (void)snprintf(value, sizeof value, "%zu", c->labels);
    (void)(text->no_memory || replace(text, "num_labels", value));
    if (saved && saved->problem) {
        (void)snprintf(value, sizeof value, "\"%.100s\"", saved->problem);
        put(text, "problem_type", value);
    }
    if (saved && saved->deviation > 0.0) { // what it gives, times this, plus that
        put_number(text, "target_mean", saved->mean);
        put_number(text, "target_deviation", saved->deviation);
    }
}

/* Both as the canonical line that a fingerprint covers. */
static enum lorac_status check_model(const struct lorac_json *root, const struct lorac_model *m,
                                     const struct lorac_merged_change *change,
                                     struct lorac_err *err)
{
    struct lorac_config *is = lorac_mem_new(1, sizeof *is);
    struct lorac_config *want = lorac_mem_new(1, sizeof *want);
    struct lorac_buf a = {0};
    struct lorac_buf b = {0};
    enum lorac_status st = is && want ? lorac_config_read(is, root, err) : LORAC_ENOMEM;
    if (!st) {
        *want = m->config;
        want->tie = m->config.tie && !change->untied;
        lorac_config_text(&a, is);
        lorac_config_text(&b, want);
    }
    bool head =
        !st && change->head && (is->own != m->config.task || is->labels != m->config.labels);
    if (!is || !want || a.no_memory || b.no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", root->file);
    } else if (!st && (head || a.n != b.n || memcmp(a.at, b.at, a.n) != 0)) {
        st = lorac_fail(err, LORAC_EIO, "%s: reads back as another model", root->file);
    }
    lorac_buf_free(&a);
    lorac_buf_free(&b);
    lorac_mem_free(is);
    lorac_mem_free(want);
    return st;
}

/* No key names another type. */
static enum lorac_status check_type(const struct lorac_json *root, enum lorac_dtype dtype,
                                    struct lorac_err *err)
{
    const char *want = lorac_dtype_torch(dtype);
    const char *old = want;
    const char *new = want;
    enum lorac_status st = lorac_json_string(&old, root, "torch_dtype", false, err);
    if (!st) { st = lorac_json_string(&new, root, "dtype", false, err); }
    if (!st && (strcmp(old, want) != 0 || strcmp(new, want) != 0)) {
        st = lorac_fail(err, LORAC_EIO, "%s: reads back with another type", root->file);
    }
    return st;
}

/* How many labels a config names. */
static enum lorac_status count_labels(size_t *n, const char *path, struct lorac_err *err)
{
    struct lorac_json root = {0};
    enum lorac_status st = lorac_json_load(&root, path, LIMIT, err);
    *n = json_object_size(lorac_json_get(&root, "id2label").value);
    lorac_json_free(&root);
    return st;
}

enum lorac_status lorac_merged_config(const char *to, const char *from, const struct lorac_model *m,
                                      const struct lorac_merged_change *change,
                                      struct lorac_err *err)
{
    struct lorac_json root = {0};
    struct lorac_buf text = {0};
    char *was = NULL;
    size_t n = 0;
    size_t labels = 0;
    enum lorac_status st = lorac_file_read(&was, &n, from, LIMIT, err);
    if (!st && change->head) { st = count_labels(&labels, from, err); }
    if (st) { goto done; }
    lorac_buf_add(&text, was, n);
    if (change->untied) { put(&text, "tie_word_embeddings", "false"); } // tied by a class's default
    if (change->dtype && !text.no_memory) { put_type(&text, *change->dtype); }
    if (change->head && !text.no_memory) { put_head(&text, &m->config, labels, change->saved); }
    st = text.no_memory ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory", to)
                        : lorac_file_write(to, text.at, text.n, err);
    if (!st) { st = lorac_json_load(&root, to, LIMIT, err); }
    if (!st) { st = check_model(&root, m, change, err); }
    if (!st && change->dtype) { st = check_type(&root, *change->dtype, err); }
done:
    lorac_json_free(&root);
    lorac_buf_free(&text);
    lorac_mem_free(was);
    return st;
}

/* ---- the index ---- */

enum lorac_status lorac_merged_index(const char *to, const char *from, size_t bytes,
                                     const struct lorac_merged_entry *at, size_t n,
                                     struct lorac_err *err)
{
    struct lorac_json root = {0};
    struct lorac_buf text = {0};
    enum lorac_status st = lorac_json_load(&root, from, LIMIT, err);
    if (st) { return st; }
    json_t *map = json_object();
    json_t *meta = json_object_get(root.value, "metadata");
    bool set = map != NULL;
    for (size_t i = 0; i < n && set; i++) {
        set = json_object_set_new(map, at[i].name, json_string(at[i].file)) == 0;
    }
    set = json_object_set_new(root.value, "weight_map", map) == 0 && set;
    if (set && json_object_get(meta, "total_size")) {
        set = json_object_set_new(meta, "total_size", json_integer((json_int_t)bytes)) == 0;
    }
    if (set) { lorac_json_text(&text, root.value, JSON_INDENT(2) | JSON_SORT_KEYS); }
    st = set && !text.no_memory ? lorac_file_write(to, text.at, text.n, err)
                                : lorac_fail(err, LORAC_ENOMEM, "%s: no memory", to);
    lorac_buf_free(&text);
    lorac_json_free(&root);
    return st;
}
