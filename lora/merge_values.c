/* merge_values.c - the numbers of a merged checkpoint; see merge.c for the equation. */
#include "lora/merge_impl.h"

#include "base/core/mem.h"
#include "lora/match.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { PANEL_FLOATS = 1 << 20 };

static const struct lorac_site *site_of(const struct lorac_merger *g, size_t k, size_t module)
{
    const struct lorac_adapter *a = g->s->adapter[k];
    if (module >= g->m->n_modules || g->s->factor[k] == 0 || a->at[module] < 0) { return NULL; }
    return &a->site[a->at[module]];
}

static struct lorac_merged merged_of(const struct lorac_merger *g, size_t k, size_t module)
{
    struct lorac_merged merged = {.product = false};
    const struct lorac_site *s = site_of(g, k, module);
    if (s) { g->s->adapter[k]->method->merged(&merged, s); }
    return merged;
}

bool lorac_merge_adapts(const struct lorac_merger *g, size_t module, bool weight)
{
    bool yes = false;
    for (size_t k = 0; k < g->s->n; k++) {
        yes = yes || (site_of(g, k, module) && (weight || merged_of(g, k, module).bias));
    }
    return yes;
}

const struct lorac_full *lorac_merge_full(const struct lorac_merger *g, size_t module, bool vector,
                                          size_t first)
{
    for (size_t k = 0; k < g->s->n; k++) {
        const struct lorac_adapter *a = g->s->adapter[k];
        int32_t at = vector ? a->vector_at[module] : a->weight_at[module];
        if (at >= 0 && a->full[at].first <= first) { return &a->full[at]; }
    }
    return NULL;
}

size_t lorac_merge_module(const struct lorac_merger *g, const char *name)
{
    char own[LORAC_NAME_SIZE];
    lorac_tensor_own_name(own, g->m, name);
    const char *dot = strrchr(own, '.');
    size_t n = dot ? (size_t)(dot - own) : 0;
    size_t i = 0;
    for (; i < g->m->n_modules; i++) {
        const char *module = g->m->module[i].file;
        if (strlen(module) == n && memcmp(module, own, n) == 0) { break; }
    }
    return i;
}

struct lorac_merge_part lorac_merge_part_of(const struct lorac_merger *g,
                                            const struct lorac_tensor *t, const char *name)
{
    struct lorac_merge_part p = {
        .t = t, .name = name, .dtype = t->dtype, .module = g->m->n_modules};
    if (g->dtype && lorac_dtype_is_float(t->dtype)) { p.dtype = *g->dtype; } // masks stay
    size_t module = lorac_merge_module(g, name);
    if (module == g->m->n_modules) { return p; }
    const struct lorac_module *l = &g->m->module[module];
    char own[LORAC_NAME_SIZE];
    lorac_tensor_own_name(own, g->m, name);
    bool weight = lorac_ends_with(own, ".weight") && l->role != LORAC_ROLE_NORM;
    bool shift = lorac_vector_parts(&g->m->config, l) == 2 && lorac_ends_with(own, ".bias");
    size_t first = shift ? l->n / 2 : 0; // behind a LayerNorm's gain
    p.full = lorac_merge_full(g, module, !weight, first);
    p.first = p.full ? first - p.full->first : 0;
    p.bias = !weight;
    if (lorac_merge_adapts(g, module, weight)) { p.module = module; }
    return p;
}

bool lorac_merge_is_new(const struct lorac_merger *g, const struct lorac_merge_part *p)
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
static void measure(size_t *panel, size_t *b_panel, const struct lorac_merger *g)
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
        size_t C = w->transposed ? w->OC : w->C;
        size_t rows = panel_rows(C);
        rows = rows < all ? rows : all;
        if (w->fresh && rows * C > most) { most = rows * C; }
        if (w->fresh && w->n > most) { most = w->n; }
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
    const struct lorac_merger g = {.m = m, .s = adapters, .dev = m->dev};
    size_t most = 0;
    size_t most_b = 0;
    measure(&most, &most_b, &g);
    return (most_b + 4 * most) * sizeof(float);
}

enum lorac_status lorac_merge_reserve(struct lorac_merger *g, struct lorac_err *err)
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

static void end_part(struct lorac_merger *g)
{
    for (size_t k = 0; k < LORAC_MAX_STACK; k++) {
        lorac_mem_free(g->left[k]);
        g->left[k] = NULL;
    }
    lorac_mem_free(g->rows);
    lorac_mem_free(g->columns);
    g->rows = g->columns = NULL;
}

void lorac_merge_release(struct lorac_merger *g)
{
    end_part(g);
    g->dev->ops->release(g->dev, g->b_panel);
    g->dev->ops->release(g->dev, g->delta);
    lorac_mem_free(g->host);
    lorac_mem_free(g->weights);
    lorac_mem_free(g->bytes);
    lorac_mem_free(g->parts);
    lorac_mem_free(g->made);
    lorac_mem_free(g->names);
    lorac_mem_free(g->saved);
}

static bool is_turned(const struct lorac_merger *g, const struct lorac_site *s)
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
static enum lorac_status take_left(float **out, struct lorac_merger *g, const struct lorac_site *s,
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
static enum lorac_status take_factors(float **out, struct lorac_merger *g, const float *from,
                                      size_t n, struct lorac_err *err)
{
    if (!from) { return LORAC_OK; }
    *out = lorac_mem_new(n, sizeof **out);
    if (!*out) { return lorac_fail(err, LORAC_ENOMEM, "no memory to merge '%s'", g->part.name); }
    g->dev->ops->read(g->dev, *out, from, n * sizeof **out);
    return LORAC_OK;
}

/* Of all adapters at most one has factors (lorac_stack_check). */
static enum lorac_status begin_part(struct lorac_merger *g, const struct lorac_merge_part *p,
                                    struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    g->part = *p;
    for (size_t k = 0; k < g->s->n && !st; k++) {
        const struct lorac_site *s = site_of(g, k, p->module);
        struct lorac_merged *merged = &g->merged[k];
        *merged = merged_of(g, k, p->module);
        if (!s) { continue; }
        bool turned = is_turned(g, s) && !p->bias;
        if (p->bias) {
            merged->product = false;
            merged->columns = NULL;
        }
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
static void multiply(struct lorac_merger *g, size_t first, size_t rows)
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
static void add_products(struct lorac_merger *g, size_t first, size_t rows)
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
static enum lorac_status merge_rows(struct lorac_merger *g, size_t first, size_t rows,
                                    struct lorac_err *err)
{
    const struct lorac_merge_part *p = &g->part;
    const struct lorac_tensor *t = p->t;
    size_t C = row_length(t);
    size_t n = rows * C;
    if (p->full) {
        g->dev->ops->read(g->dev, g->weights, p->full->p + p->first + first * C, n * sizeof(float));
    } else {
        lorac_dtype_read(g->weights, t->data, t->dtype, first * C, n);
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

enum lorac_status lorac_merge_panels(struct lorac_merger *g, const struct lorac_merge_part *p,
                                     struct lorac_out *out, const struct lorac_tensor *same,
                                     struct lorac_err *err)
{
    size_t C = row_length(p->t);
    size_t row_bytes = lorac_dtype_bytes(p->dtype, C);
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
