/* mix.c - adapters that share a batch, each with rows of its own; see lora.h. */
#include "lora/methods/methods.h"

#include "base/core/mem.h"
#include "base/core/sha256.h"

#include <assert.h>

/* ---- the socket ---- */

static const struct lorac_site *site_of(const struct lorac_adapter *a, size_t m)
{
    int32_t at = a ? a->at[m] : -1;
    return at >= 0 ? &a->site[at] : NULL;
}

static bool adapts(const void *self, size_t m)
{
    const struct lorac_mix *x = self;
    bool any = false;
    for (size_t i = 0; i < x->n && !any; i++) {
        any = site_of(x->adapter[i], m) != NULL;
    }
    return any || (x->whole && lorac_adapter_holds(x->whole, m));
}

static bool trains(const void *self, size_t m)
{
    (void)self;
    (void)m;
    return false;
}

static const struct lorac_weight *weight(const void *self, size_t m)
{
    const struct lorac_mix *x = self;
    int32_t at = x->whole ? x->whole->weight_at[m] : -1;
    return at >= 0 ? x->whole->full[at].w : NULL;
}

static const float *vector(const void *self, size_t m, size_t first)
{
    const struct lorac_mix *x = self;
    int32_t at = x->whole ? x->whole->vector_at[m] : -1;
    if (at < 0) { return NULL; }
    const struct lorac_full *f = &x->whole->full[at];
    return first >= f->first ? f->p + (first - f->first) : NULL;
}

static size_t saved_floats(const void *self, size_t m, size_t N)
{
    const struct lorac_mix *x = self;
    size_t most = 0; // one run after the other uses the same memory
    for (size_t i = 0; i < x->n; i++) {
        const struct lorac_site *s = site_of(x->adapter[i], m);
        size_t n = s ? x->adapter[i]->method->saved_floats(s, N) : 0;
        most = n > most ? n : most;
    }
    return most;
}

/* Which segment the layer's row n belongs to, `s` or one behind it: rows come in their order. */
static size_t segment_of(const struct lorac_linear *l, size_t n, size_t s)
{
    const struct lorac_batch *b = l->batch;
    size_t row = l->scored ? b->head_row[l->row + n] : l->row + n;
    while (row >= (size_t)b->segments[s].row + b->segments[s].n) {
        s++;
    }
    return s;
}

/* Rows from n on that belong to one adapter: how many, whose (from 1), and the last's segment. */
static size_t run_of(int32_t *adapter, size_t *s, const struct lorac_linear *l, size_t n)
{
    size_t end = n;
    *s = segment_of(l, n, *s);
    *adapter = l->batch->segments[*s].adapter;
    for (size_t at = *s; end < l->N; end++) {
        at = segment_of(l, end, at);
        if (l->batch->segments[at].adapter != *adapter) { break; }
        *s = at;
    }
    return end - n;
}

/* Only methods that add up leave the base's product as it is; the others run it for their rows. */
static void forward(void *self, float *y, const float *x, const struct lorac_linear *l)
{
    const struct lorac_mix *mix = self;
    const struct lorac_module *m = NULL;
    lorac_linear_forward(l, y, x);
    for (size_t n = 0, rows = 0, s = 0; n < l->N; n += rows) {
        int32_t i = 0;
        rows = run_of(&i, &s, l, n);
        assert(i >= 0 && (size_t)i <= mix->n && (i == 0 || mix->adapter[i - 1]));
        const struct lorac_adapter *a = i ? mix->adapter[i - 1] : NULL;
        const struct lorac_site *site = site_of(a, l->m);
        if (!site) { continue; }
        struct lorac_linear at = *l;
        m = &a->model->module[l->m];
        at.N = rows;
        at.row = l->row + n;
        at.training = false;
        at.flops = l->flops * (double)rows / (double)l->N;
        if (a->method->adds) { at.w = NULL; }
        a->method->forward(a, site, y + n * m->OC, x + n * m->C, &at);
    }
}

struct lorac_socket lorac_mix_socket(struct lorac_mix *x)
{
    return (struct lorac_socket){
        .self = x,
        .adapts = adapts,
        .trains = trains,
        .saved_floats = saved_floats,
        .forward = forward,
        .weight = weight,
        .vector = vector,
    };
}

/* ---- what an adapter is, whatever it is called ---- */

static void add_number(struct lorac_sha256 *h, size_t n)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)((uint64_t)n >> 8 * i);
    }
    lorac_sha256_add(h, bytes, sizeof bytes);
}

static void add_shape(struct lorac_sha256 *h, const struct lorac_adapter *a)
{
    for (const char *c = a->method->name; *c; c++) {
        lorac_sha256_add(h, c, 1);
    }
    add_number(h, a->n);
    for (size_t i = 0; i < a->n; i++) {
        const struct lorac_site *s = &a->site[i];
        add_number(h, s->m);
        add_number(h, s->R);
        add_number(h, s->input);
        lorac_sha256_add(h, &s->scale, sizeof s->scale);
    }
    add_number(h, a->n_full);
    for (size_t i = 0; i < a->n_full; i++) {
        add_number(h, a->full[i].m);
        add_number(h, a->full[i].vector);
        add_number(h, a->full[i].first);
    }
    add_number(h, (size_t)a->tie);
    add_number(h, a->n_params);
}

enum lorac_status lorac_adapter_content(char out[65], const struct lorac_adapter *a,
                                        struct lorac_err *err)
{
    enum { AT_A_TIME = 1 << 16 };
    struct lorac_device *dev = a->model->dev;
    float *host = lorac_mem_new(AT_A_TIME, sizeof *host);
    struct lorac_sha256 h;
    if (!host) { return lorac_fail(err, LORAC_ENOMEM, "no memory to name an adapter's content"); }
    lorac_sha256_init(&h);
    add_shape(&h, a);
    for (size_t i = 0; i < a->n_params; i += AT_A_TIME) {
        size_t n = a->n_params - i < AT_A_TIME ? a->n_params - i : AT_A_TIME;
        dev->ops->read(dev, host, a->params + i, n * sizeof *host);
        lorac_sha256_add(&h, host, n * sizeof *host);
    }
    lorac_sha256_hex(out, &h);
    lorac_mem_free(host);
    return LORAC_OK;
}
