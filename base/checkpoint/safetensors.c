/* safetensors.c - see safetensors.h: one image, from untrusted bytes to checked tensors. */
#include "base/checkpoint/safetensors_image.h"

#include "base/core/mem.h"
#include "base/stand_in.h"

#include <stdlib.h>
#include <string.h>

/* What the functions below share: the place that messages name, and how much data there is. */
struct reader {
    const char *file;
    const char *name; // of the tensor at hand
    const unsigned char *data;
    size_t n_data;
};

/* A tensor and where its data lies, until the order of the data is known. */
struct placed {
    struct lorac_tensor t;
    size_t begin, end; // bytes, from the start of the data
    size_t row;        // place in the header; ties in `begin` (empty tensors) keep its order
};

/* "FILE: tensor 'NAME': WHAT must be EXPECTED, found VALUE"; value NULL: it is missing. */
static enum lorac_status refuse(const struct reader *r, enum lorac_status code, const char *what,
                                const json_t *value, const char *expected, struct lorac_err *err)
{
    if (!value) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: tensor '%s': %s is missing", r->file, r->name,
                          what);
    }
    struct lorac_buf text = {0};
    lorac_json_text(&text, value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    const char *shown = text.no_memory ? "?" : text.at;
    enum lorac_status st =
        lorac_fail(err, code, "%s: tensor '%s': %s must be %s, found %.60s%s", r->file, r->name,
                   what, expected, shown, strlen(shown) > 60 ? "..." : "");
    lorac_buf_free(&text);
    return st;
}

static enum lorac_status bad(const struct reader *r, const char *what, const json_t *value,
                             const char *expected, struct lorac_err *err)
{
    return refuse(r, LORAC_EFORMAT, what, value, expected, err);
}

enum lorac_status lorac_name_check(const char *name, const char *file, struct lorac_err *err)
{
    size_t n = strlen(name);
    if (n == 0) { return lorac_fail(err, LORAC_EFORMAT, "%s: a tensor has an empty name", file); }
    if (n >= LORAC_NAME_SIZE) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: the tensor name '%.60s...' has %zu bytes, at most %d are accepted",
                          file, name, n, LORAC_NAME_SIZE - 1);
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)name[i];
        unsigned char next = (unsigned char)name[i + 1];           // the NUL at the end
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0)) { // the last: U+0080 to U+009F
            return lorac_fail(err, LORAC_EFORMAT,
                              "%s: the tensor name '%.*s...' holds control character U+%04X", file,
                              (int)i, name, c == 0xc2u ? next : c);
        }
    }
    return LORAC_OK;
}

/* A number that may be a size: whole, and not negative. */
static bool is_size(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0 &&
           (uint64_t)json_integer_value(value) <= SIZE_MAX;
}

/* "F32, F16 or BF16": the floats of safetensors. */
static void list_floats(struct lorac_buf *out)
{
    const char *names[LORAC_N_DTYPES];
    size_t n = 0;
    for (int t = 0; t < LORAC_N_DTYPES; t++) {
        bool yes = lorac_dtype_is_float((enum lorac_dtype)t) &&
                   lorac_dtype_torch((enum lorac_dtype)t) != NULL;
        if (yes) { names[n++] = lorac_dtype_name((enum lorac_dtype)t); }
    }
    for (size_t i = 0; i < n; i++) {
        lorac_buf_printf(out, "%s%s", i == 0 ? "" : i + 1 == n ? " or " : ", ", names[i]);
    }
}

static enum lorac_status read_dtype(struct lorac_tensor *t, const struct reader *r,
                                    const json_t *value, struct lorac_err *err)
{
    if (!json_is_string(value)) { return bad(r, "dtype", value, "text", err); }
    const char *hint = lorac_stand_in_tensor(r->name, json_string_value(value));
    if (lorac_dtype_find(&t->dtype, json_string_value(value)) &&
        strlen(json_string_value(value)) == json_string_length(value) &&
        (lorac_dtype_is_float(t->dtype) || !hint[0])) {
        return LORAC_OK;
    }
    struct lorac_buf known = {0};
    list_floats(&known);
    enum lorac_status st =
        refuse(r, LORAC_ENOTSUP, "dtype", value, known.no_memory ? "another" : known.at, err);
    lorac_err_add(err, "%s", hint);
    lorac_buf_free(&known);
    return st;
}

static enum lorac_status read_shape(struct lorac_tensor *t, const struct reader *r,
                                    const json_t *value, struct lorac_err *err)
{
    const char *fits = "small enough to count its bytes";
    if (!json_is_array(value)) { return bad(r, "shape", value, "a list", err); }
    t->n_dims = json_array_size(value);
    if (t->n_dims > LORAC_MAX_DIMS) {
        return refuse(r, LORAC_ENOTSUP, "shape", value, "of at most 4 dimensions", err);
    }
    t->n = 1;
    size_t bytes = 0;
    for (size_t i = 0; i < t->n_dims; i++) {
        const json_t *dim = json_array_get(value, i);
        if (!is_size(dim)) { return bad(r, "shape", value, "a list of whole numbers", err); }
        t->dims[i] = (size_t)json_integer_value(dim);
        if (!lorac_mul(t->n, t->dims[i], &t->n)) { return bad(r, "shape", value, fits, err); }
    }
    if (!lorac_dtype_measure(&bytes, t->dtype, t->n)) { return bad(r, "shape", value, fits, err); }
    return LORAC_OK;
}

static enum lorac_status read_offsets(struct placed *p, const struct reader *r, const json_t *value,
                                      struct lorac_err *err)
{
    if (!json_is_array(value) || json_array_size(value) != 2 ||
        !is_size(json_array_get(value, 0)) || !is_size(json_array_get(value, 1))) {
        return bad(r, "data_offsets", value, "two whole numbers", err);
    }
    p->begin = (size_t)json_integer_value(json_array_get(value, 0));
    p->end = (size_t)json_integer_value(json_array_get(value, 1));
    if (p->begin > p->end) { return bad(r, "data_offsets", value, "in rising order", err); }
    if (p->end > r->n_data) {
        return lorac_fail(
            err, LORAC_EFORMAT,
            "%s: tensor '%s' ends at byte %zu of the data, which has %zu: is the file "
            "cut short, a download that was not finished?",
            r->file, r->name, p->end, r->n_data);
    }
    size_t bytes = lorac_dtype_bytes(p->t.dtype, p->t.n); // fits: read_shape
    if (bytes != p->end - p->begin) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: tensor '%s' has %zu bytes of data, %zu elements of type %s need %zu",
                          r->file, r->name, p->end - p->begin, p->t.n, lorac_dtype_name(p->t.dtype),
                          bytes);
    }
    return LORAC_OK;
}

static enum lorac_status read_tensor(struct placed *p, const struct reader *r, json_t *value,
                                     struct lorac_err *err)
{
    enum lorac_status st = lorac_name_check(r->name, r->file, err);
    if (st) { return st; }
    memcpy(p->t.name, r->name, strlen(r->name) + 1);
    if (!json_is_object(value)) { return bad(r, "its entry", value, "an object", err); }
    const char *key = NULL;
    json_t *member = NULL;
    json_object_foreach(value, key, member)
    {
        if (strcmp(key, "dtype") != 0 && strcmp(key, "shape") != 0 &&
            strcmp(key, "data_offsets") != 0) {
            return bad(r, "its entry", value, "of dtype, shape and data_offsets only", err);
        }
    }
    st = read_dtype(&p->t, r, json_object_get(value, "dtype"), err);
    if (!st) { st = read_shape(&p->t, r, json_object_get(value, "shape"), err); }
    if (!st) { st = read_offsets(p, r, json_object_get(value, "data_offsets"), err); }
    if (!st && r->data) { p->t.data = r->data + p->begin; }
    return st;
}

static int by_place(const void *a, const void *b)
{
    const struct placed *x = a;
    const struct placed *y = b;
    if (x->begin != y->begin) { return x->begin < y->begin ? -1 : 1; }
    if (x->end != y->end) { return x->end < y->end ? -1 : 1; } // empty ones first
    return (x->row > y->row) - (x->row < y->row);
}

/* Every byte of the data belongs to exactly one tensor. `p` is sorted. */
static enum lorac_status check_tiling(const struct placed *p, size_t n, const struct reader *r,
                                      struct lorac_err *err)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i].begin > at) {
            return lorac_fail(
                err, LORAC_EFORMAT,
                "%s: bytes %zu to %zu of the data, before tensor '%s', belong to no tensor",
                r->file, at, p[i].begin, p[i].t.name);
        }
        if (p[i].begin < at) { // i > 0: `at` starts at 0
            return lorac_fail(err, LORAC_EFORMAT, "%s: tensors '%s' and '%s' overlap", r->file,
                              p[i - 1].t.name, p[i].t.name);
        }
        at = p[i].end;
    }
    if (at != r->n_data) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: the last %zu bytes of the data belong to no tensor", r->file,
                          r->n_data - at);
    }
    return LORAC_OK;
}

static enum lorac_status read_metadata(struct lorac_image *out, const struct lorac_json *root,
                                       struct lorac_err *err)
{
    struct lorac_json meta = lorac_json_get(root, "__metadata__");
    if (!meta.value) { return LORAC_OK; } // absent, or null, as the reference reads it
    if (!json_is_object(meta.value)) { return lorac_json_fail(&meta, "an object of texts", err); }
    const char *key = NULL;
    json_t *member = NULL;
    json_object_foreach(meta.value, key, member)
    {
        const char *text = NULL;
        enum lorac_status st = lorac_json_string(&text, &meta, key, true, err);
        if (st) { return st; }
    }
    out->metadata = json_incref(meta.value);
    return LORAC_OK;
}

static enum lorac_status read_tensors(struct placed *p, json_t *root, struct reader *r,
                                      struct lorac_err *err)
{
    const char *name = NULL;
    json_t *value = NULL;
    size_t row = 0;
    json_object_foreach(root, name, value)
    {
        if (strcmp(name, "__metadata__") == 0) { continue; }
        r->name = name;
        p[row].row = row;
        enum lorac_status st = read_tensor(&p[row], r, value, err);
        if (st) { return st; }
        row++;
    }
    if (row) { qsort(p, row, sizeof *p, by_place); }
    return check_tiling(p, row, r, err);
}

enum lorac_status lorac_image_header(struct lorac_image *out, const char *text, size_t n,
                                     const unsigned char *data, size_t n_data, const char *file,
                                     struct lorac_err *err)
{
    *out = (struct lorac_image){0};
    struct reader r = {.file = file, .data = data, .n_data = n_data};
    struct placed *p = NULL;
    if (n == 0 || text[0] != '{') { // as the reference; white space before it is refused too
        return lorac_fail(err, LORAC_EFORMAT, "%s: the header must start with '{', found %s0x%02x",
                          file, n ? "byte " : "nothing, ",
                          n ? (unsigned)(unsigned char)text[0] : 0);
    }
    struct lorac_json root;
    enum lorac_status st = lorac_json_parse(&root, text, n, file, err);
    if (st) { goto done; }
    st = read_metadata(out, &root, err);
    if (st) { goto done; }
    out->n = json_object_size(root.value) - (json_object_get(root.value, "__metadata__") != NULL);
    if (out->n > LORAC_MAX_TENSORS) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: holds %zu tensors, at most %d are accepted", file,
                        out->n, LORAC_MAX_TENSORS);
        goto done;
    }
    p = lorac_mem_new(out->n, sizeof *p);
    out->tensors = lorac_mem_new(out->n, sizeof *out->tensors);
    if (!p || !out->tensors) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory for %zu tensors", file, out->n);
        goto done;
    }
    st = read_tensors(p, root.value, &r, err);
    for (size_t i = 0; i < out->n && !st; i++) {
        out->tensors[i] = p[i].t;
    }
done:
    lorac_mem_free(p);
    lorac_json_free(&root);
    if (st) { lorac_image_free(out); }
    return st;
}

enum lorac_status lorac_image_parse(struct lorac_image *out, const unsigned char *bytes, size_t n,
                                    const char *file, struct lorac_err *err)
{
    *out = (struct lorac_image){0};
    enum { LENGTH = 8 };
    if (n < LENGTH) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: has %zu bytes, a safetensors file starts with a length of 8 bytes",
                          file, n);
    }
    uint64_t length = 0; // little-endian
    for (size_t i = 0; i < LENGTH; i++) {
        length |= (uint64_t)bytes[i] << (8 * i);
    }
    if (length > LORAC_MAX_HEADER) {
        return lorac_fail(
            err, LORAC_EFORMAT, "%s: claims a header of %llu bytes, at most %d are accepted%s",
            file, (unsigned long long)length, LORAC_MAX_HEADER, lorac_stand_in_bytes(bytes, n));
    }
    if (length > n - LENGTH) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s: claims a header of %llu bytes, but %zu follow its length", file,
                          (unsigned long long)length, n - LENGTH);
    }
    size_t start = LENGTH + (size_t)length;
    return lorac_image_header(out, (const char *)bytes + LENGTH, (size_t)length, bytes + start,
                              n - start, file, err);
}

void lorac_image_free(struct lorac_image *image)
{
    lorac_mem_free(image->tensors);
    json_decref(image->metadata);
    *image = (struct lorac_image){0};
}
