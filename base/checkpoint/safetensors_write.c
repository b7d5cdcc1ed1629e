/* safetensors_write.c - see safetensors.h: the header in one text, then the data, one tensor at a
 * time. */
#include "base/checkpoint/safetensors_image.h"
#include "base/core/file.h"
#include "base/core/mem.h"

#include <string.h>

enum { ALIGN = 8 }; // the data starts at a multiple of it, as the reference implementation's does

static enum lorac_status tensor_bytes(size_t *out, const struct lorac_tensor_spec *t,
                                      const char *path, struct lorac_err *err)
{
    size_t n = 1;
    bool fits = t->n_dims <= LORAC_MAX_DIMS;
    for (size_t i = 0; fits && i < t->n_dims; i++) {
        fits = lorac_mul(n, t->dims[i], &n);
    }
    if (fits && lorac_dtype_measure(out, t->dtype, n)) { return LORAC_OK; }
    return lorac_fail(
        err, LORAC_EUSER,
        "%s: tensor '%s' has more than %d dimensions or more bytes than can be counted", path,
        t->name, LORAC_MAX_DIMS);
}

static void add_pair(struct lorac_buf *b, const char *key, const char *value)
{
    lorac_buf_json(b, key, strlen(key));
    lorac_buf_str(b, ":");
    lorac_buf_json(b, value, strlen(value));
}

static void add_tensor(struct lorac_buf *b, const struct lorac_tensor_spec *t, size_t begin,
                       size_t end)
{
    lorac_buf_json(b, t->name, strlen(t->name));
    lorac_buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", lorac_dtype_name(t->dtype));
    for (size_t i = 0; i < t->n_dims; i++) {
        lorac_buf_printf(b, "%s%zu", i ? "," : "", t->dims[i]);
    }
    lorac_buf_printf(b, "],\"data_offsets\":[%zu,%zu]}", begin, end);
}

/* Write the header's text to `b`, the size of the data to *total and of the largest tensor that
 * must be computed to *largest. */
static enum lorac_status make_header(struct lorac_buf *b, size_t *total, size_t *largest,
                                     const char *path, const struct lorac_tensor_spec *tensors,
                                     size_t n, const char *const *meta, size_t n_meta,
                                     struct lorac_err *err)
{
    *total = 0;
    *largest = 0;
    lorac_buf_str(b, "{\"__metadata__\":{");
    add_pair(b, "format", "pt");
    for (size_t i = 0; i < n_meta; i++) {
        lorac_buf_str(b, ",");
        add_pair(b, meta[2 * i], meta[2 * i + 1]);
    }
    lorac_buf_str(b, "}");
    for (size_t i = 0; i < n; i++) {
        size_t bytes = 0;
        enum lorac_status st = tensor_bytes(&bytes, &tensors[i], path, err);
        if (st) { return st; }
        if (bytes > SIZE_MAX - *total) {
            return lorac_fail(err, LORAC_EUSER,
                              "%s: the tensors have more bytes than can be counted", path);
        }
        lorac_buf_str(b, ",");
        add_tensor(b, &tensors[i], *total, *total + bytes);
        *total += bytes;
        if (!tensors[i].data && bytes > *largest) { *largest = bytes; }
    }
    lorac_buf_str(b, "}");
    while (b->n % ALIGN && !b->no_memory) {
        lorac_buf_str(b, " ");
    }
    return b->no_memory ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory for its header", path)
                        : LORAC_OK;
}

static enum lorac_status write_data(struct lorac_out *out, const char *path, void *scratch,
                                    const struct lorac_tensor_spec *tensors, size_t n,
                                    lorac_fill_fn *fill, void *self, struct lorac_err *err)
{
    for (size_t i = 0; i < n; i++) {
        size_t bytes = 0;
        enum lorac_status st = tensor_bytes(&bytes, &tensors[i], path, err);
        const void *data = tensors[i].data;
        if (!st && bytes && !data) {
            st = fill(self, scratch, i, err);
            data = scratch;
        }
        if (!st) { st = lorac_out_write(out, data, bytes, err); }
        if (st) { return st; }
    }
    return LORAC_OK;
}

enum lorac_status lorac_safetensors_write(const char *path, const struct lorac_tensor_spec *tensors,
                                          size_t n, const char *const *meta, size_t n_meta,
                                          lorac_fill_fn *fill, void *self, struct lorac_err *err)
{
    struct lorac_buf header = {0};
    struct lorac_image check = {0};
    struct lorac_out *out = NULL;
    void *scratch = NULL;
    size_t total = 0;
    size_t largest = 0;
    enum lorac_status st =
        make_header(&header, &total, &largest, path, tensors, n, meta, n_meta, err);
    if (!st) { st = lorac_image_header(&check, header.at, header.n, NULL, total, path, err); }
    if (st) { goto done; }
    if (header.n > LORAC_MAX_HEADER) {
        st =
            lorac_fail(err, LORAC_EUSER, "%s: needs a header of %zu bytes, at most %d are accepted",
                       path, header.n, LORAC_MAX_HEADER);
        goto done;
    }
    if (largest) {
        scratch = fill ? lorac_mem_new(largest, 1) : NULL;
        if (!scratch) {
            st = fill ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory for a tensor of %zu bytes",
                                   path, largest)
                      : lorac_fail(err, LORAC_EUSER, "%s: a tensor comes without data", path);
            goto done;
        }
    }
    unsigned char length[8];
    for (size_t i = 0; i < sizeof length; i++) {
        length[i] = (unsigned char)((uint64_t)header.n >> (8 * i)); // little-endian
    }
    st = lorac_out_open(&out, path, err);
    if (!st) { st = lorac_out_write_head(out, length, sizeof length, err); }
    if (!st) { st = lorac_out_write_head(out, header.at, header.n, err); }
    if (!st) { st = write_data(out, path, scratch, tensors, n, fill, self, err); }
    if (!st) {
        st = lorac_out_commit(out, err);
        out = NULL; // freed by commit
    }
done:
    lorac_out_free(out);
    lorac_mem_free(scratch);
    lorac_image_free(&check);
    lorac_buf_free(&header);
    return st;
}

enum lorac_status lorac_safetensors_index_write(const char *path, const char *const *names,
                                                const char *const *files, size_t n,
                                                uint64_t total_size, struct lorac_err *err)
{
    struct lorac_buf b = {0};
    struct lorac_json root = {0};
    lorac_buf_printf(&b,
                     "{\n  \"metadata\": {\n    \"total_size\": %llu\n  },\n  \"weight_map\": {",
                     (unsigned long long)total_size);
    for (size_t i = 0; i < n; i++) {
        lorac_buf_str(&b, i ? ",\n    " : "\n    ");
        lorac_buf_json(&b, names[i], strlen(names[i]));
        lorac_buf_str(&b, ": ");
        lorac_buf_json(&b, files[i], strlen(files[i]));
    }
    lorac_buf_str(&b, "\n  }\n}\n");
    enum lorac_status st = b.no_memory
                               ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory to write it", path)
                               : lorac_json_parse(&root, b.at, b.n, path, err);
    if (!st) { st = lorac_index_check(&root, err); } // what the reader would refuse is not written
    if (!st) { st = lorac_file_write(path, b.at, b.n, err); }
    lorac_json_free(&root);
    lorac_buf_free(&b);
    return st;
}
