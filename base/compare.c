/* compare.c - see compare.h. */
#include "base/compare.h"

#include "base/core/json.h"
#include "base/core/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- tensors ---- */

static double distance(float a, float b)
{
    if (isnan(a) || isnan(b)) { return isnan(a) && isnan(b) ? 0.0 : (double)INFINITY; }
    if (isinf(a) && isinf(b) && (a > 0.0F) == (b > 0.0F)) { return 0.0; }
    return fabs((double)a - (double)b);
}

static void compare_values(struct lorac_tensor_diff *d)
{
    enum { BLOCK = 1024 };
    float x[BLOCK];
    float y[BLOCK];
    const char *a = d->a->data;
    const char *b = d->b->data;
    size_t bytes = lorac_dtype_bytes(d->a->dtype, d->a->n);
    if (!d->dtype && (bytes == 0 || memcmp(a, b, bytes) == 0)) { return; }
    for (size_t at = 0; at < d->a->n; at += BLOCK) {
        size_t n = d->a->n - at < BLOCK ? d->a->n - at : BLOCK;
        lorac_dtype_read(x, a, d->a->dtype, at, n);
        lorac_dtype_read(y, b, d->b->dtype, at, n);
        for (size_t i = 0; i < n; i++) {
            double far = distance(x[i], y[i]);
            d->n += far > 0.0;
            d->largest = far > d->largest ? far : d->largest;
        }
    }
}

/* 0 only in one, 1 another shape, 2 other values or type. */
static int kind(const struct lorac_tensor_diff *d)
{
    if (!d->a || !d->b) { return 0; }
    return d->shape ? 1 : 2;
}

static int order(const void *p, const void *q)
{
    const struct lorac_tensor_diff *x = p;
    const struct lorac_tensor_diff *y = q;
    if (kind(x) != kind(y)) { return kind(x) - kind(y); }
    if (x->largest > y->largest) { return -1; }
    if (x->largest < y->largest) { return 1; }
    return strcmp(x->a ? x->a->name : x->b->name, y->a ? y->a->name : y->b->name);
}

static void compare_pair(struct lorac_comparison *c, const struct lorac_tensor *a,
                         const struct lorac_tensor *b)
{
    struct lorac_tensor_diff d = {.a = a, .b = b};
    c->compared++;
    d.dtype = a->dtype != b->dtype;
    d.shape = a->n_dims != b->n_dims || memcmp(a->dims, b->dims, a->n_dims * sizeof *a->dims) != 0;
    if (!d.shape) { compare_values(&d); }
    c->shapes += d.shape;
    c->dtypes += d.dtype;
    c->values += d.n > 0;
    c->largest = d.largest > c->largest ? d.largest : c->largest;
    if (d.shape || d.dtype || d.n) { c->at[c->n++] = d; }
}

enum lorac_status lorac_checkpoint_compare(struct lorac_comparison *out,
                                           const struct lorac_checkpoint *a,
                                           const struct lorac_checkpoint *b, struct lorac_err *err)
{
    size_t n_a = lorac_checkpoint_count(a);
    size_t n_b = lorac_checkpoint_count(b);
    *out = (struct lorac_comparison){0};
    out->at = lorac_mem_new(n_a + n_b, sizeof *out->at);
    if (!out->at) { return lorac_fail(err, LORAC_ENOMEM, "no memory to compare tensors"); }
    for (size_t i = 0; i < n_a; i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(a, i);
        const struct lorac_tensor *other = lorac_checkpoint_find(b, t->name);
        if (other) {
            compare_pair(out, t, other);
        } else {
            out->at[out->n++].a = t;
            out->only_a++;
        }
    }
    for (size_t i = 0; i < n_b; i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(b, i);
        if (lorac_checkpoint_find(a, t->name)) { continue; }
        out->at[out->n++].b = t;
        out->only_b++;
    }
    if (out->n) { qsort(out->at, out->n, sizeof *out->at, order); }
    return LORAC_OK;
}

void lorac_comparison_free(struct lorac_comparison *c)
{
    lorac_mem_free(c->at);
    *c = (struct lorac_comparison){0};
}

/* ---- JSON ---- */

enum { MAX_DEPTH = 32, MAX_VALUE = 120, JSON_LIMIT = 1 << 20 };

static bool is_set(const char *key)
{
    return strcmp(key, "target_modules") == 0 || strcmp(key, "exclude_modules") == 0 ||
           strcmp(key, "modules_to_save") == 0;
}

static bool contains_all(const json_t *a, const json_t *b)
{
    for (size_t i = 0; i < json_array_size(b); i++) {
        bool found = false;
        for (size_t k = 0; k < json_array_size(a) && !found; k++) {
            found = json_equal(json_array_get(a, k), json_array_get(b, i)) != 0;
        }
        if (!found) { return false; }
    }
    return true;
}

static bool same(const char *key, const json_t *a, const json_t *b)
{
    if (is_set(key) && json_is_array(a) && json_is_array(b)) {
        return contains_all(a, b) && contains_all(b, a);
    }
    return a == b || json_equal(a, b);
}

/* A value on one line, cut where it is long. */
static void add_value(struct lorac_buf *lines, const json_t *value)
{
    if (!value) {
        lorac_buf_str(lines, "absent");
        return;
    }
    struct lorac_buf text = {0};
    lorac_json_text(&text, value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    if (text.no_memory) { lines->no_memory = true; }
    lorac_buf_add(lines, text.at, text.n < MAX_VALUE ? text.n : MAX_VALUE);
    if (text.n > MAX_VALUE) { lorac_buf_str(lines, "..."); }
    lorac_buf_free(&text);
}

/* Recursion ends at MAX_DEPTH, below which values are compared as wholes. */
static void compare_member(struct lorac_buf *lines, // NOLINT(misc-no-recursion)
                           const char *path, const char *key, json_t *a, json_t *b, int depth)
{
    if (same(key, a, b)) { return; }
    struct lorac_buf name = {0};
    lorac_buf_printf(&name, "%s%s%s", path, *path ? "." : "", key);
    if (json_is_object(a) && json_is_object(b) && depth < MAX_DEPTH && !name.no_memory) {
        const char *k = NULL;
        json_t *v = NULL;
        json_object_foreach(a, k, v)
        {
            compare_member(lines, name.at, k, v, json_object_get(b, k), depth + 1);
        }
        json_object_foreach(b, k, v)
        {
            if (!json_object_get(a, k)) { compare_member(lines, name.at, k, NULL, v, depth + 1); }
        }
    } else {
        lorac_buf_printf(lines, "%s: ", name.at ? name.at : key);
        add_value(lines, a);
        lorac_buf_str(lines, " -> ");
        add_value(lines, b);
        lorac_buf_str(lines, "\n");
    }
    lines->no_memory = lines->no_memory || name.no_memory;
    lorac_buf_free(&name);
}

enum lorac_status lorac_json_compare(struct lorac_buf *lines, const char *path_a,
                                     const char *path_b, struct lorac_err *err)
{
    struct lorac_json a = {0};
    struct lorac_json b = {0};
    enum lorac_status st = lorac_json_load(&a, path_a, JSON_LIMIT, err);
    if (!st) { st = lorac_json_load(&b, path_b, JSON_LIMIT, err); }
    if (!st) { compare_member(lines, "", "", a.value, b.value, 0); }
    if (!st && lines->no_memory) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory to compare it", path_a);
    }
    lorac_json_free(&a);
    lorac_json_free(&b);
    return st;
}
