/*
 * merge.c - a checkpoint with the adapters' products added:
 *
 *   W' = W + sum_k f_k s_k B_k A_k      float32, rounded once to the type of the file
 *
 * where W is the base's, or the full copy that stands in for it; norms and biases are their copies.
 *
 * Where types and shapes stay, each shard of the result is the old file with other numbers in the
 * same places: its header is copied byte for byte, and with it names, order and metadata. The
 * product is made in panels of rows, so that memory is bounded whatever the size of a matrix. A
 * tied pair that has parted needs one tensor more, and another type other headers (merge_texts.h).
 */
#include "lora/lora.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/sibling.h"
#include "lora/card.h"
#include "lora/match.h"
#include "lora/merge_texts.h"
#include "lora/methods/methods.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PANEL_FLOATS = 1 << 20, TENSOR_NAME = LORAC_MODULE_NAME + 16 };

/* A tensor of the result. */
struct part {
    const struct lorac_tensor *t;  // of the base: its shape, its values where no copy stands in
    const char *name;              // t's; of a parted pair's second matrix its own
    enum lorac_dtype dtype;        // t's, unless all get another
    const struct lorac_full *full; // what stands in for the values, or NULL
    size_t first;                  // of its floats
    size_t module; // the linear layer whose adapters have a part in it; n_modules: none
    bool bias;     // its bias
};

struct merger {
    const struct lorac_model *m;
    const struct lorac_stack *s;
    struct lorac_device *dev;
    const enum lorac_dtype *dtype; // of all tensors of the result; NULL: each keeps its own
    bool parts;                    // the base's tied pair becomes two matrices
    char embed_name[TENSOR_NAME], head_name[TENSOR_NAME]; // of the pair
    const struct lorac_tensor *twin; // of which only this one is stored; NULL: both are
    float *b_panel;                  // (rows,R) device
    float *delta;                    // (rows,C) device
    float *host, *weights;           // (rows,C)
    unsigned char *bytes;            // (rows,C) in the file's type
    /* Of the module at hand: what each adapter makes of it; the left factor of its product, host
     * (B (OC,R), or A^T (C,R) of a weight stored as (C,OC)); and what multiplies the rows and the
     * columns of what is stored, host. NULL: none. */
    struct lorac_merged merged[LORAC_MAX_STACK];
    float *left[LORAC_MAX_STACK], *rows, *columns;
    struct part part; // at hand
};

static const struct lorac_site *site_of(const struct merger *g, size_t k, size_t module)
{
    const struct lorac_adapter *a = g->s->adapter[k];
    if (module >= g->m->n_modules || g->s->factor[k] == 0 || a->at[module] < 0) { return NULL; }
    return &a->site[a->at[module]];
}

static struct lorac_merged merged_of(const struct merger *g, size_t k, size_t module)
{
    struct lorac_merged merged = {.product = false};
    const struct lorac_site *s = site_of(g, k, module);
    if (s) { g->s->adapter[k]->method->merged(&merged, s); }
    return merged;
}

/* Does an adapter change the module's weight, or its bias? */
static bool is_adapted(const struct merger *g, size_t module, bool weight)
{
    bool yes = false;
    for (size_t k = 0; k < g->s->n; k++) {
        yes = yes || (site_of(g, k, module) && (weight || merged_of(g, k, module).bias));
    }
    return yes;
}

/* What stands in for a module's weight or, from its float `first` on, its vector; of all adapters
 * at most one has it (lorac_stack_check). */
static const struct lorac_full *full_of(const struct merger *g, size_t module, bool vector,
                                        size_t first)
{
    for (size_t k = 0; k < g->s->n; k++) {
        const struct lorac_adapter *a = g->s->adapter[k];
        int32_t at = vector ? a->vector_at[module] : a->weight_at[module];
        if (at >= 0 && a->full[at].first <= first) { return &a->full[at]; }
    }
    return NULL;
}

/* The module that a tensor of this name belongs to; n_modules: none. */
static size_t module_of(const struct merger *g, const char *name)
{
    const char *dot = strrchr(name, '.');
    size_t n = dot ? (size_t)(dot - name) : 0;
    size_t i = 0;
    for (; i < g->m->n_modules; i++) {
        const char *module = g->m->module[i].file;
        if (strlen(module) == n && memcmp(module, name, n) == 0) { break; }
    }
    return i;
}

static struct part part_of(const struct merger *g, const struct lorac_tensor *t, const char *name)
{
    struct part p = {.t = t, .name = name, .dtype = t->dtype, .module = g->m->n_modules};
    if (g->dtype && t->dtype < LORAC_N_FLOATS) { p.dtype = *g->dtype; } // masks stay
    size_t module = module_of(g, name);
    if (module == g->m->n_modules) { return p; }
    const struct lorac_module *l = &g->m->module[module];
    bool weight = lorac_ends_with(name, ".weight") && l->role != LORAC_ROLE_NORM;
    bool shift = lorac_vector_parts(&g->m->config, l) == 2 && lorac_ends_with(name, ".bias");
    size_t first = shift ? l->n / 2 : 0; // behind a LayerNorm's gain
    p.full = full_of(g, module, !weight, first);
    p.first = p.full ? first - p.full->first : 0;
    p.bias = !weight;
    if (is_adapted(g, module, weight)) { p.module = module; }
    return p;
}

static bool is_new(const struct merger *g, const struct part *p)
{
    return p->full || p->module < g->m->n_modules || p->dtype != p->t->dtype;
}

/* ---- one tensor ---- */

static size_t panel_rows(size_t C)
{
    return C > 0 && C < PANEL_FLOATS ? PANEL_FLOATS / C : 1;
}

/* A vector is one row. */
static size_t rows_of(const struct lorac_tensor *t)
{
    return t->n_dims == 2 ? t->dims[0] : 1;
}

static size_t row_length(const struct lorac_tensor *t)
{
    return t->n_dims == 2 ? t->dims[1] : t->n;
}

static size_t panel_floats(const struct lorac_tensor *t)
{
    size_t rows = panel_rows(row_length(t));
    return (rows < rows_of(t) ? rows : rows_of(t)) * row_length(t);
}

/* Floats of the largest panel, and of the rows of B that make it. */
static void measure(size_t *panel, size_t *b_panel, const struct merger *g)
{
    size_t most_b = 1;
    size_t most = 1;
    for (size_t i = 0; i < lorac_checkpoint_count(g->m->files); i++) {
        size_t n = panel_floats(lorac_checkpoint_at(g->m->files, i));
        most = n > most ? n : most;
    }
    for (size_t i = 0; i < g->m->n_modules; i++) {
        const struct lorac_module *w = &g->m->module[i];
        size_t all = w->transposed ? w->C : w->OC;
        size_t rows = panel_rows(w->transposed ? w->OC : w->C);
        rows = rows < all ? rows : all;
        for (size_t k = 0; k < g->s->n; k++) {
            const struct lorac_site *l = site_of(g, k, i);
            if (l && rows * l->R > most_b) { most_b = rows * l->R; }
        }
    }
    *panel = most;
    *b_panel = most_b;
}

size_t lorac_merge_bytes(const struct lorac_model *m, const struct lorac_stack *adapters)
{
    const struct merger g = {.m = m, .s = adapters, .dev = m->dev};
    size_t most = 0;
    size_t most_b = 0;
    measure(&most, &most_b, &g);
    return (most_b + 4 * most) * sizeof(float);
}

static enum lorac_status reserve(struct merger *g, struct lorac_err *err)
{
    size_t most_b = 0;
    size_t most = 0;
    measure(&most, &most_b, g);
    g->b_panel = g->dev->ops->alloc(g->dev, most_b * sizeof *g->b_panel);
    g->delta = g->dev->ops->alloc(g->dev, most * sizeof *g->delta);
    g->host = lorac_mem_new(most, sizeof *g->host);
    g->weights = lorac_mem_new(most, sizeof *g->weights);
    g->bytes = lorac_mem_new(most, sizeof(float));
    bool all = g->b_panel && g->delta && g->host && g->weights && g->bytes;
    return all ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory to merge");
}

static void end_part(struct merger *g)
{
    for (size_t k = 0; k < LORAC_MAX_STACK; k++) {
        lorac_mem_free(g->left[k]);
        g->left[k] = NULL;
    }
    lorac_mem_free(g->rows);
    lorac_mem_free(g->columns);
    g->rows = g->columns = NULL;
}

static void release(struct merger *g)
{
    end_part(g);
    g->dev->ops->release(g->dev, g->b_panel);
    g->dev->ops->release(g->dev, g->delta);
    lorac_mem_free(g->host);
    lorac_mem_free(g->weights);
    lorac_mem_free(g->bytes);
}

static bool is_turned(const struct merger *g, const struct lorac_site *s)
{
    return g->m->module[s->m].transposed;
}

/* out (cols,rows) = in (rows,cols)^T, host memory. */
static void transpose(float *out, const float *in, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < cols; j++) {
            out[j * rows + i] = in[i * cols + j];
        }
    }
}

/* The left factor of the product as it is stored: one of the two factors, transposed from how it
 * lies in memory. */
static enum lorac_status take_left(float **out, struct merger *g, const struct lorac_site *s,
                                   struct lorac_err *err)
{
    size_t k = is_turned(g, s) ? 0 : 1; // A (R,C) or Bt (R,OC)
    size_t n = k ? s->OC : s->C;
    float *x = lorac_mem_new(s->R * n, sizeof *x);
    *out = lorac_mem_new(s->R * n, sizeof **out);
    bool had = x && *out;
    if (had) {
        g->dev->ops->read(g->dev, x, s->p[k], s->R * n * sizeof *x);
        transpose(*out, x, s->R, n);
    }
    lorac_mem_free(x);
    return had ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory to merge '%s'", g->part.name);
}

/* A copy of device memory; nothing where there is none. */
static enum lorac_status take_factors(float **out, struct merger *g, const float *from, size_t n,
                                      struct lorac_err *err)
{
    if (!from) { return LORAC_OK; }
    *out = lorac_mem_new(n, sizeof **out);
    if (!*out) { return lorac_fail(err, LORAC_ENOMEM, "no memory to merge '%s'", g->part.name); }
    g->dev->ops->read(g->dev, *out, from, n * sizeof **out);
    return LORAC_OK;
}

/* Of all adapters at most one has factors (lorac_stack_check). */
static enum lorac_status begin_part(struct merger *g, const struct part *p, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    g->part = *p;
    for (size_t k = 0; k < g->s->n && !st; k++) {
        const struct lorac_site *s = site_of(g, k, p->module);
        struct lorac_merged *merged = &g->merged[k];
        *merged = merged_of(g, k, p->module);
        if (!s) { continue; }
        bool turned = is_turned(g, s) && !p->bias;
        if (p->bias) { merged->product = false, merged->columns = NULL; }
        if (merged->product) { st = take_left(&g->left[k], g, s, err); }
        float **rows = turned ? &g->columns : &g->rows;
        float **columns = turned ? &g->rows : &g->columns;
        if (!st) { st = take_factors(rows, g, merged->rows, s->OC, err); }
        if (!st) { st = take_factors(columns, g, merged->columns, s->C, err); }
    }
    return st;
}

/* weights (rows,C) of rows first .. first+rows-1 times their factors. A bias is one row, whose
 * factors are those of the matrix's rows. */
static void multiply(struct merger *g, size_t first, size_t rows)
{
    size_t C = row_length(g->part.t);
    const float *across = g->part.bias ? g->rows : g->columns;
    for (size_t n = 0; n < rows; n++) {
        float *row = g->weights + n * C;
        float factor = g->rows && !g->part.bias ? g->rows[first + n] : 1.0F;
        for (size_t i = 0; i < C; i++) {
            row[i] *= factor * (across ? across[i] : 1.0F);
        }
    }
}

/* host (rows,C) written: the pairs' products, rows first .. first+rows-1. */
static void add_products(struct merger *g, size_t first, size_t rows)
{
    const struct lorac_backend *ops = g->dev->ops;
    size_t C = row_length(g->part.t);
    float beta = 0.0F; // the first product is written, the others added
    for (size_t k = 0; k < g->s->n; k++) {
        const struct lorac_site *s = site_of(g, k, g->part.module);
        if (!g->left[k]) { continue; }
        const float *right = s->p[is_turned(g, s) ? 1 : 0]; // Bt (R,OC) or A (R,C)
        ops->write(g->dev, g->b_panel, g->left[k] + first * s->R, rows * s->R * sizeof(float));
        ops->matmul_nn(g->dev, g->delta, g->b_panel, right, rows, C, s->R,
                       g->s->factor[k] * s->scale, beta);
        beta = 1.0F;
    }
    if (beta == 0.0F) { return; } // there is none
    ops->read(g->dev, g->host, g->delta, rows * C * sizeof(float));
    for (size_t i = 0; i < rows * C; i++) {
        g->weights[i] += g->host[i];
    }
}

/* bytes (rows,C) written: rows first .. first+rows-1 of W'. */
static enum lorac_status merge_rows(struct merger *g, size_t first, size_t rows,
                                    struct lorac_err *err)
{
    const struct part *p = &g->part;
    const struct lorac_tensor *t = p->t;
    size_t C = row_length(t);
    size_t n = rows * C;
    if (p->full) {
        g->dev->ops->read(g->dev, g->weights, p->full->p + p->first + first * C, n * sizeof(float));
    } else {
        const unsigned char *w = (const unsigned char *)t->data;
        lorac_dtype_decode(g->weights, w + first * C * lorac_dtype_size(t->dtype), t->dtype, n);
    }
    if (p->module < g->m->n_modules) { add_products(g, first, rows); }
    if (g->rows || g->columns) { multiply(g, first, rows); }
    lorac_dtype_encode(g->bytes, g->weights, p->dtype, n);
    lorac_dtype_decode(g->host, g->bytes, p->dtype, n);
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(g->host[i])) {
            return lorac_fail(err, LORAC_EUSER,
                              "merging '%s': row %zu, column %zu becomes %g, which %s cannot hold",
                              p->name, first + i / C, i % C, (double)g->weights[i],
                              lorac_dtype_name(p->dtype));
        }
    }
    return LORAC_OK;
}

/* Make W' panel by panel; append it to `out`, or compare it with `same` where out is NULL. */
static enum lorac_status each_panel(struct merger *g, const struct part *p, struct lorac_out *out,
                                    const struct lorac_tensor *same, struct lorac_err *err)
{
    size_t C = row_length(p->t);
    size_t row_bytes = C * lorac_dtype_size(p->dtype);
    assert((out == NULL) != (same == NULL));
    enum lorac_status st = begin_part(g, p, err);
    for (size_t first = 0; first < rows_of(p->t) && !st; first += panel_rows(C)) {
        size_t left = rows_of(p->t) - first;
        size_t rows = panel_rows(C) < left ? panel_rows(C) : left;
        st = merge_rows(g, first, rows, err);
        if (st) { break; }
        if (out) {
            st = lorac_out_write(out, g->bytes, rows * row_bytes, err);
        } else if (memcmp((const unsigned char *)same->data + first * row_bytes, g->bytes,
                          rows * row_bytes) != 0) {
            st = lorac_fail(err, LORAC_EIO, "'%s' reads back with other values", p->name);
        }
    }
    end_part(g);
    return st;
}

/* ---- a tied pair ---- */

/* Does the pair part, and is there a matrix to store beside the one that is? */
static void look_at_pair(struct merger *g)
{
    size_t head = g->m->head;
    (void)snprintf(g->embed_name, TENSOR_NAME, "%s.weight", g->m->module[g->m->embed].file);
    (void)snprintf(g->head_name, TENSOR_NAME, "%s.weight", g->m->module[head].file);
    const struct lorac_full *e = full_of(g, g->m->embed, false, 0);
    const struct lorac_full *h = full_of(g, head, false, 0);
    g->parts = g->m->config.tie && (e != h || is_adapted(g, head, true));
    const struct lorac_tensor *stored_e = lorac_checkpoint_find(g->m->files, g->embed_name);
    const struct lorac_tensor *stored_h = lorac_checkpoint_find(g->m->files, g->head_name);
    if (!g->parts || (stored_e && stored_h)) { return; }
    g->twin = stored_e ? stored_e : stored_h;
}

/* The second matrix of the pair, in the type and shape of the first. */
static struct part twin_part(const struct merger *g)
{
    bool embed = strcmp(g->twin->name, g->embed_name) == 0;
    return part_of(g, g->twin, embed ? g->head_name : g->embed_name);
}

static size_t n_parts(const struct merger *g)
{
    return lorac_checkpoint_count(g->m->files) + (g->twin != NULL);
}

/* The result's tensors, a shard's in the order of its data. */
static struct part part_at(const struct merger *g, size_t i)
{
    if (g->twin && i == lorac_checkpoint_count(g->m->files)) { return twin_part(g); }
    const struct lorac_tensor *t = lorac_checkpoint_at(g->m->files, i);
    return part_of(g, t, t->name);
}

static size_t part_bytes(const struct part *p)
{
    return p->t->n * lorac_dtype_size(p->dtype);
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
        st = lorac_out_write_head(out, map.data, (size_t)n + 8, err);
    }
    lorac_map_close(&map);
    return st;
}

static enum lorac_status write_part(struct merger *g, const struct part *p, struct lorac_out *out,
                                    struct lorac_err *err)
{
    if (is_new(g, p)) { return each_panel(g, p, out, NULL, err); }
    return lorac_out_write(out, p->t->data, part_bytes(p), err);
}

/* A header of our own, where tensors are added or have another type. */
static enum lorac_status write_new_header(const struct merger *g, struct lorac_out *out,
                                          const char *from, size_t shard, struct lorac_err *err)
{
    struct lorac_buf text = {0};
    size_t n = 0;
    struct lorac_tensor_spec *specs = lorac_mem_new(n_parts(g), sizeof *specs);
    if (!specs) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory for its header", from); }
    for (size_t i = 0; i < n_parts(g); i++) {
        struct part p = part_at(g, i);
        if (p.t->shard != shard) { continue; }
        specs[n] =
            (struct lorac_tensor_spec){.name = p.name, .dtype = p.dtype, .n_dims = p.t->n_dims};
        memcpy(specs[n++].dims, p.t->dims, sizeof p.t->dims);
    }
    enum lorac_status st = lorac_merged_header(&text, from, specs, n, err);
    if (!st) { st = lorac_out_write_head(out, text.at, text.n, err); }
    lorac_buf_free(&text);
    lorac_mem_free(specs);
    return st;
}

static enum lorac_status write_shard(struct merger *g, const char *dir, size_t shard,
                                     struct lorac_err *err)
{
    const char *from = lorac_checkpoint_shard_file(g->m->files, shard);
    struct lorac_out *out = NULL;
    char *path = lorac_path_join(dir, file_name(from));
    enum lorac_status st = path ? lorac_out_open(&out, path, err)
                                : lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir);
    bool has_format = true;
    if (!st) { st = lorac_header_has_format(&has_format, from, err); }
    bool new_header = g->dtype || (g->twin && g->twin->shard == shard) || !has_format;
    if (!st) {
        st = new_header ? write_new_header(g, out, from, shard, err) : write_header(out, from, err);
    }
    for (size_t i = 0; i < n_parts(g) && !st; i++) {
        struct part p = part_at(g, i);
        if (p.t->shard == shard) { st = write_part(g, &p, out, err); }
    }
    if (!st) {
        st = lorac_out_commit(out, err);
    } else {
        lorac_out_free(out);
    }
    lorac_mem_free(path);
    return st;
}

static const char index_name[] = "model.safetensors.index.json";

/* Weights, what points at them, adapters and hidden files stay behind. */
static bool is_copied(const struct merger *g, const char *name)
{
    static const char *const weights[] = {
        ".safetensors", ".bin",     ".gguf", ".ggml", ".pt",  ".pth",       ".ckpt",
        ".h5",          ".msgpack", ".onnx", ".ot",   ".npz", ".index.json"};
    const char *shard = file_name(lorac_checkpoint_shard_file(g->m->files, 0));
    if (strcmp(name, index_name) == 0) {
        return strcmp(shard, "model.safetensors") != 0; // the single file wins over an index
    }
    bool copied = name[0] != '.' && strncmp(name, "adapter_", strlen("adapter_")) != 0;
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        copied = copied && !lorac_ends_with(name, weights[i]);
    }
    return copied;
}

static enum lorac_status write_index(const struct merger *g, const char *to, const char *from,
                                     struct lorac_err *err)
{
    const char *name = g->twin ? twin_part(g).name : NULL;
    const char *shard = g->twin ? lorac_checkpoint_shard_file(g->m->files, g->twin->shard) : "";
    size_t bytes = 0;
    for (size_t i = 0; i < n_parts(g); i++) {
        struct part p = part_at(g, i);
        bytes += part_bytes(&p); // of memory that is mapped, twice at the most: no overflow
    }
    return lorac_merged_index(to, from, bytes, name, file_name(shard), err);
}

/* Copy a file, then read both. What names the tensors and their type follows them. */
static enum lorac_status copy_file(const struct merger *g, const char *dir, const char *name,
                                   struct lorac_err *err)
{
    char *to = lorac_path_join(dir, name);
    char *from = lorac_path_join(g->m->dir, name);
    struct lorac_map a = {0};
    struct lorac_map b = {0};
    enum lorac_status st = LORAC_OK;
    if (!to || !from) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir);
        goto done;
    }
    if (lorac_path_is_dir(from)) { goto done; }
    if ((g->parts || g->dtype) && strcmp(name, "config.json") == 0) {
        st = lorac_merged_config(to, from, g->m, g->parts, g->dtype, err);
        goto done;
    }
    if ((g->twin || g->dtype) && strcmp(name, index_name) == 0) {
        st = write_index(g, to, from, err);
        goto done;
    }
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
        if (is_copied(g, names[i])) { st = copy_file(g, dir, names[i], err); }
    }
    lorac_mem_free(names);
    return st;
}

/* ---- the whole ---- */

static enum lorac_status compare_part(struct merger *g, const struct part *p,
                                      const struct lorac_checkpoint *files, struct lorac_err *err)
{
    const struct lorac_tensor *t = p->t;
    const struct lorac_tensor *got = lorac_checkpoint_find(files, p->name);
    if (!got || p->dtype != got->dtype || t->n_dims != got->n_dims || t->shard != got->shard ||
        memcmp(t->dims, got->dims, t->n_dims * sizeof t->dims[0]) != 0) {
        return lorac_fail(err, LORAC_EIO, "'%s' reads back with another name, type or shape",
                          p->name);
    }
    if (is_new(g, p)) { return each_panel(g, p, NULL, got, err); }
    size_t bytes = part_bytes(p);
    if (bytes && memcmp(t->data, got->data, bytes) != 0) {
        return lorac_fail(err, LORAC_EIO, "'%s' was copied but reads back with other values",
                          p->name);
    }
    return LORAC_OK;
}

static enum lorac_status compare(struct merger *g, const char *dir, struct lorac_err *err)
{
    struct lorac_checkpoint *got = NULL;
    enum lorac_status st = lorac_checkpoint_open(&got, dir, err);
    if (!st && lorac_checkpoint_count(got) != n_parts(g)) {
        st = lorac_fail(err, LORAC_EIO, "reads back with another number of tensors");
    }
    for (size_t i = 0; !st && i < n_parts(g); i++) {
        struct part p = part_at(g, i);
        st = compare_part(g, &p, got, err);
    }
    lorac_checkpoint_close(got);
    if (st) { lorac_err_prefix(err, "%s: ", dir); }
    return st;
}

static enum lorac_status check_request(const struct merger *g, const char *out,
                                       struct lorac_err *err)
{
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
    enum lorac_status st = lorac_stack_check(g->s, err);
    if (st) { return st; }
    if (!lorac_dir_is_empty(out)) {
        return lorac_fail(err, LORAC_EUSER, "%s: exists and is not an empty folder", out);
    }
    return LORAC_OK;
}

/* The caller's check of what stands in `temp`, and shall become `to`. */
static enum lorac_status check_result(const struct lorac_merge_options *o, const char *to,
                                      const char *temp, struct lorac_err *err)
{
    enum lorac_status st = o && o->check ? o->check(o->self, temp, err) : LORAC_OK;
    if (st) { lorac_err_prefix(err, "%s: is not made: ", to); }
    return st;
}

enum lorac_status lorac_merge(const char *out, const struct lorac_model *m,
                              const struct lorac_stack *adapters,
                              const struct lorac_merge_options *options, struct lorac_err *err)
{
    struct merger g = {
        .m = m, .s = adapters, .dev = m->dev, .dtype = options ? options->dtype : NULL};
    char *to = NULL;
    char *temp = NULL;
    enum lorac_status st = lorac_sibling(&to, &temp, out, err);
    if (!st) { st = check_request(&g, to, err); }
    if (st) { goto done; }
    look_at_pair(&g);
    st = lorac_device_start(g.dev, err);
    if (!st) { st = reserve(&g, err); }
    if (st) { goto done; }
    st = lorac_dir_remove(temp, err); // of a process that died with this number
    if (!st) { st = lorac_dir_make(temp, err); }
    for (size_t i = 0; i < lorac_checkpoint_shards(m->files) && !st; i++) {
        st = write_shard(&g, temp, i, err);
    }
    if (!st) { st = copy_files(&g, temp, err); }
    if (!st) { st = lorac_card_merged(temp, g.s, err); }
    if (!st) { st = compare(&g, temp, err); }
    if (!st) { st = check_result(options, to, temp, err); }
    if (!st) { st = lorac_dir_replace(to, temp, err); }
    if (st && lorac_dir_remove(temp, NULL)) { goto done; } // the first failure is the one to tell
done:
    release(&g);
    lorac_mem_free(to);
    lorac_mem_free(temp);
    return st;
}
