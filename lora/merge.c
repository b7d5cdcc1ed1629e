/*
 * merge.c - a checkpoint with the adapters' products added:
 *
 *   W' = W + sum_k f_k s_k B_k A_k      float32, rounded once to the type of the file
 *
 * Types and shapes stay, so each shard of the result is the old file with other numbers in the same places: its
 * header is copied byte for byte, and with it names, order and metadata. The product is made in panels
 * of rows, so that memory is bounded whatever the size of a matrix.
 */
#include "lora/lora.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/sibling.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PANEL_FLOATS = 1 << 20 };

struct merger {
    const struct lorac_model *m;
    const struct lorac_stack *s;
    struct lorac_device *dev;
    float *b_panel;               // (rows,R) device
    float *delta;                 // (rows,C) device
    float *host, *weights;        // (rows,C)
    unsigned char *bytes;         // (rows,C) in the file's type
    float *b[LORAC_MAX_STACK];    // (OC,R) of the module at hand, host; NULL where it has none
    const struct lorac_tensor *t; // its weight
    size_t module;
};

static const struct lorac_lora *lora_of(const struct merger *g, size_t k, size_t module)
{
    const struct lorac_adapter *a = g->s->adapter[k];
    return g->s->factor[k] != 0 && a->at[module] >= 0 ? &a->lora[a->at[module]] : NULL;
}

static bool is_adapted(const struct merger *g, size_t module)
{
    bool yes = false;
    for (size_t k = 0; k < g->s->n; k++) {
        yes = yes || lora_of(g, k, module);
    }
    return yes;
}

/* The adapted module whose weight a tensor is; n_linear where there is none. */
static size_t module_of(const struct merger *g, const struct lorac_tensor *t)
{
    size_t n = strlen(t->name);
    size_t k = strlen(".weight");
    size_t i = 0;
    if (n <= k || strcmp(t->name + n - k, ".weight") != 0) { return g->m->n_linear; }
    for (; i < g->m->n_linear; i++) {
        const char *name = g->m->linear[i].name;
        if (strlen(name) == n - k && memcmp(name, t->name, n - k) == 0) { break; }
    }
    return i < g->m->n_linear && is_adapted(g, i) ? i : g->m->n_linear;
}

/* ---- one matrix ---- */

static size_t panel_rows(size_t C)
{
    return C < PANEL_FLOATS ? PANEL_FLOATS / C : 1;
}

static enum lorac_status reserve(struct merger *g, struct lorac_err *err)
{
    size_t most_b = 1;
    size_t most = 1;
    for (size_t i = 0; i < g->m->n_linear; i++) {
        const struct lorac_weight *w = &g->m->linear[i].w;
        size_t rows = panel_rows(w->C) < w->OC ? panel_rows(w->C) : w->OC;
        most = rows * w->C > most ? rows * w->C : most;
        for (size_t k = 0; k < g->s->n; k++) {
            const struct lorac_lora *l = lora_of(g, k, i);
            if (l && rows * l->R > most_b) { most_b = rows * l->R; }
        }
    }
    g->b_panel = g->dev->ops->alloc(g->dev, most_b * sizeof *g->b_panel);
    g->delta = g->dev->ops->alloc(g->dev, most * sizeof *g->delta);
    g->host = lorac_mem_new(most, sizeof *g->host);
    g->weights = lorac_mem_new(most, sizeof *g->weights);
    g->bytes = lorac_mem_new(most, sizeof(float));
    bool all = g->b_panel && g->delta && g->host && g->weights && g->bytes;
    return all ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory to merge");
}

static void end_module(struct merger *g)
{
    for (size_t k = 0; k < LORAC_MAX_STACK; k++) {
        lorac_mem_free(g->b[k]);
        g->b[k] = NULL;
    }
}

static void release(struct merger *g)
{
    end_module(g);
    g->dev->ops->release(g->dev, g->b_panel);
    g->dev->ops->release(g->dev, g->delta);
    lorac_mem_free(g->host);
    lorac_mem_free(g->weights);
    lorac_mem_free(g->bytes);
}

static enum lorac_status begin_module(struct merger *g, const struct lorac_tensor *t, size_t module,
                                      struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    g->t = t;
    g->module = module;
    for (size_t k = 0; k < g->s->n && !st; k++) {
        const struct lorac_lora *l = lora_of(g, k, module);
        if (!l) { continue; }
        g->b[k] = lorac_mem_new(l->OC * l->R, sizeof(float));
        if (!g->b[k]) { return lorac_fail(err, LORAC_ENOMEM, "no memory to merge '%s'", t->name); }
        st = lorac_lora_read(g->b[k], g->s->adapter[k], (size_t)(l - g->s->adapter[k]->lora), true,
                             err);
    }
    return st;
}

/* bytes (rows,C) written: rows first .. first+rows-1 of W'. */
static enum lorac_status merge_rows(struct merger *g, size_t first, size_t rows,
                                    struct lorac_err *err)
{
    const struct lorac_backend *ops = g->dev->ops;
    size_t C = g->t->dims[1];
    size_t n = rows * C;
    float beta = 0.0F; // the first product is written, the others added
    for (size_t k = 0; k < g->s->n; k++) {
        const struct lorac_lora *l = lora_of(g, k, g->module);
        if (!l) { continue; }
        ops->write(g->dev, g->b_panel, g->b[k] + first * l->R, rows * l->R * sizeof(float));
        ops->matmul_nn(g->dev, g->delta, g->b_panel, l->a, rows, C, l->R,
                       g->s->factor[k] * l->scale, beta);
        beta = 1.0F;
    }
    ops->read(g->dev, g->host, g->delta, n * sizeof(float));
    const unsigned char *w = (const unsigned char *)g->t->data;
    lorac_dtype_decode(g->weights, w + first * C * lorac_dtype_size(g->t->dtype), g->t->dtype, n);
    for (size_t i = 0; i < n; i++) {
        g->weights[i] += g->host[i];
    }
    lorac_dtype_encode(g->bytes, g->weights, g->t->dtype, n);
    lorac_dtype_decode(g->host, g->bytes, g->t->dtype, n);
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(g->host[i])) {
            return lorac_fail(err, LORAC_EUSER,
                              "merging '%s': row %zu, column %zu becomes %g, which %s cannot hold",
                              g->t->name, first + i / C, i % C, (double)g->weights[i],
                              lorac_dtype_name(g->t->dtype));
        }
    }
    return LORAC_OK;
}

/* Make W' panel by panel; append it to `out`, or compare it with `same` where out is NULL. */
static enum lorac_status each_panel(struct merger *g, const struct lorac_tensor *t, size_t module,
                                    struct lorac_out *out, const struct lorac_tensor *same,
                                    struct lorac_err *err)
{
    size_t C = t->dims[1];
    size_t row_bytes = C * lorac_dtype_size(t->dtype);
    assert((out == NULL) != (same == NULL));
    enum lorac_status st = begin_module(g, t, module, err);
    for (size_t first = 0; first < t->dims[0] && !st; first += panel_rows(C)) {
        size_t left = t->dims[0] - first;
        size_t rows = panel_rows(C) < left ? panel_rows(C) : left;
        st = merge_rows(g, first, rows, err);
        if (st) { break; }
        if (out) {
            st = lorac_out_write(out, g->bytes, rows * row_bytes, err);
        } else if (memcmp((const unsigned char *)same->data + first * row_bytes, g->bytes,
                          rows * row_bytes) != 0) {
            st = lorac_fail(err, LORAC_EIO, "'%s' reads back with other values", t->name);
        }
    }
    end_module(g);
    return st;
}

/* ---- files ---- */

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* The bytes before the first tensor's: a length and that many bytes (safetensors.h). */
static enum lorac_status write_header(struct lorac_out *out, const char *from,
                                      struct lorac_err *err)
{
    struct lorac_map map;
    enum lorac_status st = lorac_map_open(&map, from, err);
    if (st) { return st; }
    uint64_t n = 0;
    for (size_t i = 0; i < 8 && map.size >= 8; i++) {
        n |= (uint64_t)map.data[i] << (8 * i);
    }
    if (map.size < 8 || n > map.size - 8) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: has changed since it was opened", from);
    } else {
        st = lorac_out_write(out, map.data, (size_t)n + 8, err);
    }
    lorac_map_close(&map);
    return st;
}

static enum lorac_status write_shard(struct merger *g, const char *dir, size_t shard,
                                     struct lorac_err *err)
{
    const struct lorac_checkpoint *c = g->m->files;
    const char *from = lorac_checkpoint_shard_file(c, shard);
    struct lorac_out *out = NULL;
    char *path = lorac_path_join(dir, file_name(from));
    enum lorac_status st = path ? lorac_out_open(&out, path, err)
                                : lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir);
    if (!st) { st = write_header(out, from, err); }
    for (size_t i = 0; i < lorac_checkpoint_count(c) && !st; i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(c, i);
        if (t->shard != shard) { continue; }
        size_t module = module_of(g, t);
        if (module < g->m->n_linear) {
            st = each_panel(g, t, module, out, NULL, err);
        } else {
            st = lorac_out_write(out, t->data, t->n * lorac_dtype_size(t->dtype), err);
        }
    }
    if (!st) {
        st = lorac_out_commit(out, err);
    } else {
        lorac_out_free(out);
    }
    lorac_mem_free(path);
    return st;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name);
    size_t k = strlen(end);
    return n >= k && strcmp(name + n - k, end) == 0;
}

/* Weights, what points at them, adapters and hidden files stay behind. */
static bool is_copied(const struct merger *g, const char *name)
{
    static const char *const weights[] = {
        ".safetensors", ".bin",     ".gguf", ".ggml", ".pt",  ".pth",       ".ckpt",
        ".h5",          ".msgpack", ".onnx", ".ot",   ".npz", ".index.json"};
    const char *shard = file_name(lorac_checkpoint_shard_file(g->m->files, 0));
    if (strcmp(name, "model.safetensors.index.json") == 0) {
        return strcmp(shard, "model.safetensors") != 0; // the single file wins over an index
    }
    bool copied = name[0] != '.' && strncmp(name, "adapter_", strlen("adapter_")) != 0;
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        copied = copied && !ends_with(name, weights[i]);
    }
    return copied;
}

/* Copy a file, then read both. */
static enum lorac_status copy_file(const char *dir, const char *from_dir, const char *name,
                                   struct lorac_err *err)
{
    char *to = lorac_path_join(dir, name);
    char *from = lorac_path_join(from_dir, name);
    struct lorac_map a = {0};
    struct lorac_map b = {0};
    enum lorac_status st = LORAC_OK;
    if (!to || !from) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir);
        goto done;
    }
    if (lorac_path_is_dir(from)) { goto done; }
    st = lorac_file_copy(to, from, err);
    if (!st) { st = lorac_map_open(&a, to, err); }
    if (!st) { st = lorac_map_open(&b, from, err); }
    if (!st && (a.size != b.size || (a.size && memcmp(a.data, b.data, a.size) != 0))) {
        st = lorac_fail(err, LORAC_EIO, "%s: differs from the file it was copied from", to);
    }
done:
    lorac_map_close(&a);
    lorac_map_close(&b);
    lorac_mem_free(to);
    lorac_mem_free(from);
    return st;
}

static enum lorac_status copy_files(const struct merger *g, const char *dir, struct lorac_err *err)
{
    char **names = NULL;
    enum lorac_status st = lorac_dir_list(&names, g->m->dir, err);
    for (size_t i = 0; !st && names[i]; i++) {
        if (is_copied(g, names[i])) { st = copy_file(dir, g->m->dir, names[i], err); }
    }
    lorac_mem_free(names);
    return st;
}

/* ---- the whole ---- */

static enum lorac_status compare_tensor(struct merger *g, const struct lorac_tensor *t,
                                        const struct lorac_tensor *got, struct lorac_err *err)
{
    if (strcmp(t->name, got->name) != 0 || t->dtype != got->dtype || t->n_dims != got->n_dims ||
        memcmp(t->dims, got->dims, t->n_dims * sizeof t->dims[0]) != 0) {
        return lorac_fail(err, LORAC_EIO, "'%s' reads back with another name, type or shape",
                          t->name);
    }
    size_t module = module_of(g, t);
    if (module < g->m->n_linear) { return each_panel(g, t, module, NULL, got, err); }
    size_t bytes = t->n * lorac_dtype_size(t->dtype);
    if (bytes && memcmp(t->data, got->data, bytes) != 0) {
        return lorac_fail(err, LORAC_EIO, "'%s' was copied but reads back with other values",
                          t->name);
    }
    return LORAC_OK;
}

static enum lorac_status compare(struct merger *g, const char *dir, struct lorac_err *err)
{
    struct lorac_checkpoint *got = NULL;
    const struct lorac_checkpoint *c = g->m->files;
    enum lorac_status st = lorac_checkpoint_open(&got, dir, err);
    if (!st && lorac_checkpoint_count(got) != lorac_checkpoint_count(c)) {
        st = lorac_fail(err, LORAC_EIO, "reads back with another number of tensors");
    }
    for (size_t i = 0; !st && i < lorac_checkpoint_count(c); i++) {
        st = compare_tensor(g, lorac_checkpoint_at(c, i), lorac_checkpoint_at(got, i), err);
    }
    lorac_checkpoint_close(got);
    if (st) { lorac_err_prefix(err, "%s: ", dir); }
    return st;
}

static enum lorac_status check(const struct merger *g, const char *out, struct lorac_err *err)
{
    size_t head = g->m->n_linear - 1;
    if (g->s->n < 1 || g->s->n > LORAC_MAX_STACK) {
        return lorac_fail(err, LORAC_EUSER, "from 1 to %d adapters can be merged, found %zu",
                          LORAC_MAX_STACK, g->s->n);
    }
    for (size_t k = 0; k < g->s->n; k++) {
        if (!isfinite(g->s->factor[k])) {
            return lorac_fail(err, LORAC_EUSER, "the factor of adapter %zu is %g", k,
                              (double)g->s->factor[k]);
        }
        if (g->s->adapter[k]->model != g->m) {
            return lorac_fail(err, LORAC_EUSER, "adapter %zu was loaded for another model", k);
        }
    }
    if (g->m->config.tie && is_adapted(g, head)) {
        return lorac_fail(
            err, LORAC_ENOTSUP,
            "%s: cannot merge an adapter on '%s': the model ties it to the embedding, "
            "and one stored matrix cannot be both",
            g->m->dir, g->m->linear[head].name);
    }
    if (!lorac_dir_is_empty(out)) {
        return lorac_fail(err, LORAC_EUSER, "%s: exists and is not an empty folder", out);
    }
    return LORAC_OK;
}

enum lorac_status lorac_merge(const char *out, const struct lorac_model *m,
                              const struct lorac_stack *adapters, struct lorac_err *err)
{
    struct merger g = {.m = m, .s = adapters, .dev = m->dev};
    char *to = NULL;
    char *temp = NULL;
    enum lorac_status st = lorac_sibling(&to, &temp, out, err);
    if (!st) { st = check(&g, to, err); }
    if (!st) { st = reserve(&g, err); }
    if (st) { goto done; }
    st = lorac_dir_remove(temp, err); // of a process that died with this number
    if (!st) { st = lorac_dir_make(temp, err); }
    for (size_t i = 0; i < lorac_checkpoint_shards(m->files) && !st; i++) {
        st = write_shard(&g, temp, i, err);
    }
    if (!st) { st = copy_files(&g, temp, err); }
    if (!st) { st = compare(&g, temp, err); }
    if (!st) { st = lorac_dir_replace(to, temp, err); }
    if (st && lorac_dir_remove(temp, NULL)) { goto done; } // the first failure is the one to tell
done:
    release(&g);
    lorac_mem_free(to);
    lorac_mem_free(temp);
    return st;
}
