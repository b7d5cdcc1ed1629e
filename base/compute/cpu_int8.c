/*
 * cpu_int8.c - products with weights of 8 bits (int8.h): W is quantised and packed when a product
 * in that direction is first computed, x by blocks of rows that stay in the cache.
 *
 * All sums are exact and a row's scale is its own: a result depends neither on the other rows nor
 * on the number of threads.
 */
#define _DEFAULT_SOURCE // syscall
#include "base/compute/cpu.h"

#include "base/compute/host.h"

#include "base/core/mem.h"

#if defined(__x86_64__)
#    include <cpuid.h>
#    include <sys/syscall.h>
#    include <unistd.h>
#elif defined(__aarch64__)
#    include <sys/auxv.h>
#endif
#include <omp.h>
#include <string.h>

enum {
    ROWS = 96,       // rows of one piece
    GROUP = 4,       // rows that a pair's products take together: pieces keep them so
    OUTPUTS = 64,    // outputs of one piece
    SMALL = 1 << 17, // multiplications that aren't worth waking the threads
    TILE = 256,      // numbers of a stored row that are quantised at once
    PANEL = LORAC_INT8_OUTPUTS,
};

static size_t up_to_4(size_t n)
{
    return (n + 3) / 4 * 4;
}

/* A handle's integers; NULL until they are needed. */
struct lorac_cpu_int8 {
    pthread_mutex_t lock;   // of making them
    float *scale, *inverse; // (OC up to whole panels) of the output channels
    struct lorac_int8_panels forward, backward;
};

/* ---- kernels ---- */

#if defined(__x86_64__)

enum { AVX_VNNI = 1 << 4, AMX_TILE_INT8 = 3 << 24 }; // of EAX, of EDX

/* Whether the processor has all of them: bits of a register of CPUID's leaf 7, which has names for
 * them that every compiler knows for none of these. */
static bool has(unsigned sub, unsigned reg, unsigned bits)
{
    unsigned r[4] = {0};
    return __get_cpuid_count(7, sub, &r[0], &r[1], &r[2], &r[3]) && (r[reg] & bits) == bits;
}

/* Whether it has AMX, and Linux lets this process have the room of its registers. */
static bool tiles(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 }; // of Linux's asm/prctl.h, fpu/types.h
    return has(0, 3, AMX_TILE_INT8) && !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA);
}

#endif

const struct lorac_int8_kernels *lorac_cpu_int8_kernels(const struct lorac_kernels *k)
{
#if defined(__x86_64__)
    if (k == &lorac_kernels_generic) { return &lorac_int8_generic; }
    if (k == &lorac_kernels_avx512 && __builtin_cpu_supports("avx512vnni")) {
        return tiles() ? &lorac_int8_amx : &lorac_int8_avx512vnni;
    }
    return has(1, 0, AVX_VNNI) ? &lorac_int8_avxvnni : &lorac_int8_avx2;
#elif defined(__aarch64__)
    enum { DOTPROD = 1 << 20 }; // HWCAP_ASIMDDP of Linux's asm/hwcap.h
    (void)k;
    return getauxval(AT_HWCAP) & DOTPROD ? &lorac_int8_dotprod : &lorac_int8_generic;
#else
    (void)k;
    return &lorac_int8_generic;
#endif
}

/* Measured in SSE: a third of float32's rate. */
const char *lorac_cpu_slow(const struct lorac_device *dev, enum lorac_compute c)
{
    bool plain = c == LORAC_INT8 && lorac_cpu(dev)->int8 == &lorac_int8_generic;
    return plain ? "this processor has no AVX2 or Arm dot product instructions" : NULL;
}

/* ---- packing ---- */

/* The matrix as it is stored, (rows,columns); its channels are its rows or, transposed, columns. */
struct source {
    const struct lorac_cpu *cpu;
    const struct lorac_weight *w;
    size_t rows, columns;
    bool by_row;
};

static struct source source_of(const struct lorac_cpu *cpu, const struct lorac_weight *w)
{
    bool t = w->transposed;
    return (struct source){cpu, w, t ? w->C : w->OC, t ? w->OC : w->C, !t};
}

/* out (n) = stored numbers first .. first+n-1 */
static void decode(float *out, const struct source *s, size_t first, size_t n)
{
    const struct lorac_weight *w = s->w;
    if (lorac_kernels_take(w->dtype)) {
        const char *at = (const char *)w->data + lorac_dtype_bytes(w->dtype, first);
        s->cpu->kernels->decode(out, at, w->dtype, n);
    } else {
        lorac_dtype_read(out, w->data, w->dtype, first, n);
    }
}

/* The larger; NaN where one is. */
static float larger(float a, float b)
{
    return isnan(a) || a > b ? a : b;
}

/* most (PANEL) = max |W| of channels first .. first + n - 1 */
static void channels_largest(float *most, const struct source *s, size_t first, size_t n)
{
    float values[TILE];
    for (size_t r = 0; r < s->rows && !s->by_row; r++) {
        decode(values, s, r * s->columns + first, n);
        for (size_t i = 0; i < n; i++) {
            most[i] = larger(most[i], fabsf(values[i]));
        }
    }
    for (size_t r = 0; r < n && s->by_row; r++) {
        for (size_t c = 0; c < s->columns; c += TILE) {
            size_t some = lorac_min(TILE, s->columns - c);
            decode(values, s, (first + r) * s->columns + c, some);
            most[r] = larger(most[r], s->cpu->int8->largest(values, NULL, some));
        }
    }
}

/* Of the channels of one panel. */
static void find_scales(const struct source *s, size_t panel)
{
    struct lorac_cpu_int8 *to = s->w->int8;
    size_t first = panel * PANEL;
    size_t n = lorac_min(PANEL, s->w->OC - first);
    float most[PANEL] = {0};
    channels_largest(most, s, first, n);
    for (size_t i = 0; i < n; i++) {
        const struct lorac_int8_scale of = lorac_int8_scale(most[i]);
        to->scale[first + i] = of.scale;
        to->inverse[first + i] = of.inverse;
    }
}

/* One panel, whose outputs are stored rows. */
static void pack_panel(const struct lorac_int8_panels *to, const struct source *s, size_t panel)
{
    uint8_t q[PANEL][TILE] = {{0}};
    float values[TILE];
    size_t first = panel * PANEL;
    int8_t *at = to->q + first * to->depth;
    const float *inverse = s->w->int8->inverse;
    for (size_t k = 0; k < to->K; k += TILE) {
        size_t n = lorac_min(TILE, to->K - k);
        for (size_t o = 0; o < lorac_min(PANEL, to->O - first); o++) {
            decode(values, s, (first + o) * s->columns + k, n);
            s->cpu->int8->quantise(q[o], values, s->by_row ? NULL : inverse + k, n,
                                   s->by_row ? inverse[first + o] : 1.0F, 0);
            memset(q[o] + n, 0, up_to_4(n) - n);
        }
        for (size_t i = 0; i < n; i += 4) {
            for (size_t o = 0; o < PANEL; o++, at += 4) {
                memcpy(at, q[o] + i, 4);
            }
        }
    }
}

static size_t panels_bytes(size_t O, size_t depth)
{
    return lorac_pieces(O, PANEL) * PANEL * (sizeof(int32_t) + depth);
}

/* Empty ones of one direction. */
static bool panels_new(struct lorac_int8_panels *to, const struct lorac_weight *w, bool backward)
{
    size_t O = backward ? w->C : w->OC;
    size_t K = backward ? w->OC : w->C;
    *to = (struct lorac_int8_panels){.O = O, .K = K, .depth = up_to_4(K)};
    to->offset = lorac_mem_new(panels_bytes(O, to->depth), 1);
    if (!to->offset) { return false; }
    to->q = (int8_t *)(to->offset + lorac_pieces(O, PANEL) * PANEL);
    return true;
}

/* Those of the direction whose outputs are stored rows, and the scales where they are not there. */
static bool pack(struct lorac_device *dev, struct lorac_int8_panels *to,
                 const struct lorac_weight *w)
{
    const struct source s = source_of(lorac_cpu(dev), w);
    size_t panels = lorac_pieces(s.rows, PANEL);
    size_t channels = lorac_pieces(w->OC, PANEL);
    bool scaled = w->int8->scale;
    float *scale = scaled ? w->int8->scale : lorac_mem_new(2 * channels * PANEL, sizeof *scale);
    if (!scale || !panels_new(to, w, w->transposed)) {
        if (!scaled) { lorac_mem_free(scale); }
        return false;
    }
    w->int8->scale = scale;
    w->int8->inverse = scale + channels * PANEL;
#pragma omp parallel num_threads(dev->threads) if (s.rows * s.columns > LORAC_CPU_PIECE)
    {
        if (!scaled && !s.by_row) {
#pragma omp for
            for (size_t p = 0; p < channels; p++) {
                find_scales(&s, p);
            }
        }
#pragma omp for
        for (size_t p = 0; p < panels; p++) {
            if (!scaled && s.by_row) { find_scales(&s, p); } // of rows that stay in the cache
            pack_panel(to, &s, p);
            s.cpu->int8->weigh(to, p);
        }
    }
    return true;
}

/* Those of the other direction, from these. */
static bool turn(struct lorac_device *dev, struct lorac_int8_panels *to,
                 const struct lorac_int8_panels *from, const struct lorac_weight *w)
{
    const struct lorac_int8_kernels *k = lorac_cpu(dev)->int8;
    if (!panels_new(to, w, !w->transposed)) { return false; }
    size_t panels = lorac_pieces(to->O, PANEL);
#pragma omp parallel for num_threads(dev->threads) if (to->O * to->K > LORAC_CPU_PIECE)
    for (size_t p = 0; p < panels; p++) {
        k->turn(to, from, p);
        k->weigh(to, p);
    }
    return true;
}

static bool make_panels(struct lorac_device *dev, const struct lorac_weight *w, bool backward)
{
    struct lorac_int8_panels *to = backward ? &w->int8->backward : &w->int8->forward;
    struct lorac_int8_panels made = {0};
    if (backward == w->transposed) {
        if (!pack(dev, &made, w)) { return false; }
    } else {
        const struct lorac_int8_panels *from = backward ? &w->int8->forward : &w->int8->backward;
        struct lorac_int8_panels own = {0};
        bool there = (from->q || pack(dev, &own, w)) && turn(dev, &made, from->q ? from : &own, w);
        lorac_mem_free(own.offset);
        if (!there) { return false; }
    }
    made.scale = backward ? NULL : w->int8->scale;
    *to = made;
    return true;
}

/* The panels of one direction, made where they are not there; NULL: no memory. */
static const struct lorac_int8_panels *panels_of(struct lorac_device *dev,
                                                 const struct lorac_weight *w, bool backward)
{
    const struct lorac_int8_panels *p = backward ? &w->int8->backward : &w->int8->forward;
    (void)pthread_mutex_lock(&w->int8->lock);
    bool there = p->q || make_panels(dev, w, backward);
    (void)pthread_mutex_unlock(&w->int8->lock);
    return there ? p : NULL;
}

void lorac_cpu_int8_prepare(struct lorac_device *dev, const struct lorac_weight *w, bool back)
{
    (void)panels_of(dev, w, back);
}

/* ---- products ---- */

struct rows {
    uint8_t *q;   // (N,depth)
    float *scale; // (N)
};

/* Floats of such rows of a block. */
static size_t block_floats(const struct lorac_int8_panels *w)
{
    return LORAC_CPU_BLOCK * (1 + w->depth / sizeof(float));
}

static void quantise(const struct lorac_int8_kernels *k, const struct rows *to, size_t n,
                     const float *x, const float *by, const struct lorac_int8_panels *w)
{
    uint8_t *q = to->q + n * w->depth;
    const struct lorac_int8_scale s = lorac_int8_scale(k->largest(x, by, w->K));
    to->scale[n] = s.scale;
    k->quantise(q, x, by, w->K, s.inverse, k->offset);
    memset(q + w->K, k->offset, w->depth - w->K);
}

/* y (N,O) = beta y + x W^T + bias, the rows of x times `by` (NULL: 1) */
static void multiply(struct lorac_device *dev, const struct lorac_cpu_product *p, const float *by,
                     const struct lorac_int8_panels *w)
{
    size_t N = p->N;
    const struct lorac_int8_kernels *k = lorac_cpu(dev)->int8;
    struct lorac_cpu_scratch *s = lorac_cpu_take(dev);
    size_t most = LORAC_CPU_PANEL * sizeof(float) / (w->depth + sizeof(float));
    most = most > ROWS ? most / ROWS * ROWS : most;
    const struct rows rows = {(uint8_t *)(s->panel + most), s->panel};
    size_t across = lorac_pieces(w->O, OUTPUTS);
    for (size_t n0 = 0; n0 < N; n0 += most) {
        size_t N1 = lorac_min(most, N - n0);
        const float *x1 = p->x + n0 * w->K;
        float *y1 = p->y + n0 * w->O;
        size_t pieces = lorac_pieces(N1, ROWS) * across;
#pragma omp parallel num_threads(dev->threads) if (N1 * w->O * w->K > SMALL)
        {
#pragma omp for
            for (size_t n = 0; n < N1; n++) {
                quantise(k, &rows, n, x1 + n * w->K, by, w);
            }
#pragma omp for
            for (size_t i = 0; i < pieces; i++) {
                size_t n = i / across * ROWS;
                size_t o = i % across * OUTPUTS;
                k->product(y1 + n * w->O + o, w->O, rows.q + n * w->depth, rows.scale + n,
                           lorac_min(ROWS, N1 - n), w, o, lorac_min(OUTPUTS, w->O - o),
                           p->bias ? p->bias + o : NULL, p->beta);
            }
        }
    }
    lorac_cpu_give(dev, s);
}

/* The same of rows n .. n+N-1 by one thread, with the pair's share; rows: its own, of a block. */
static void multiply_block(const struct lorac_cpu *cpu, const struct lorac_cpu_product *p,
                           const float *by, const struct lorac_int8_panels *w,
                           const struct rows *rows, size_t n, size_t N)
{
    const struct lorac_int8_kernels *k = cpu->int8;
    bool first = p->pair && p->pair_first;
    for (size_t i = 0; i < N; i++) {
        quantise(k, rows, i, p->x + (n + i) * w->K, by, w);
    }
    if (p->pair && p->pair->down) { lorac_cpu_pair_down(cpu->kernels, p, n, N); }
    for (size_t o = 0; o < w->O; o += OUTPUTS) {
        size_t some = lorac_min(OUTPUTS, w->O - o);
        if (first) { lorac_cpu_pair_up(cpu->kernels, p, n, N, o, some, p->beta); }
        k->product(p->y + n * w->O + o, w->O, rows->q, rows->scale, N, w, o, some,
                   p->bias ? p->bias + o : NULL, first ? 1.0F : p->beta);
        if (p->pair && !first) { lorac_cpu_pair_up(cpu->kernels, p, n, N, o, some, 1.0F); }
    }
}

static void multiply_blocks(struct lorac_device *dev, const struct lorac_cpu_product *p,
                            const float *by, const struct lorac_int8_panels *w)
{
    struct lorac_cpu_scratch *s = lorac_cpu_take(dev);
    size_t each = lorac_pieces(p->N, LORAC_CPU_BLOCK * (size_t)dev->threads);
    size_t pieces = each * (size_t)dev->threads; // about equal ones, as many for each thread
    size_t groups = lorac_pieces(p->N, GROUP);
#pragma omp parallel for num_threads(dev->threads) schedule(dynamic)
    for (size_t i = 0; i < pieces; i++) {
        float *own = s->panel + (size_t)omp_get_thread_num() * block_floats(w);
        const struct rows rows = {(uint8_t *)(own + LORAC_CPU_BLOCK), own};
        size_t n = groups * i / pieces * GROUP;
        size_t end = lorac_min(groups * (i + 1) / pieces * GROUP, p->N);
        multiply_block(lorac_cpu(dev), p, by, w, &rows, n, end - n);
    }
    lorac_cpu_give(dev, s);
}

/* Whether each thread reads all of W for rows of its own, from the first step to the last: with
 * many rows, or fewer where W stays in the cache that threads share. */
static bool in_blocks(const struct lorac_device *dev, const struct lorac_int8_panels *w, size_t N)
{
    enum { CACHED = 4 << 20, FEW = LORAC_CPU_BLOCK / 2, MANY = 2 * LORAC_CPU_BLOCK };
    size_t rows = w->O * w->depth <= CACHED ? FEW : MANY;
    return N >= rows * (size_t)dev->threads &&
           (size_t)dev->threads * block_floats(w) <= LORAC_CPU_PANEL;
}

bool lorac_cpu_int8(struct lorac_device *dev, const struct lorac_cpu_product *p)
{
    const struct lorac_int8_panels *w = panels_of(dev, p->w, p->back);
    const float *by = w && p->back ? p->w->int8->scale : NULL;
    if (w && in_blocks(dev, w, p->N)) {
        multiply_blocks(dev, p, by, w);
    } else if (p->pair) {
        return false;
    } else if (w) {
        multiply(dev, p, by, w);
    } else if (p->back) { // the same, slowly
        lorac_backend_ref.linear_backward(dev, p->y, p->x, p->w, p->N, p->beta);
    } else {
        lorac_backend_ref.linear(dev, p->y, p->x, p->w, p->bias, p->N);
    }
    return true;
}

/* ---- handles ---- */

struct lorac_weight *lorac_cpu_weight_open(struct lorac_device *dev, const void *host,
                                           enum lorac_dtype type, size_t OC, size_t C,
                                           bool transposed, enum lorac_compute compute)
{
    struct lorac_weight *w = lorac_host_weight_open(dev, host, type, OC, C, transposed, compute);
    bool made = true;
    if (w && w->compute == LORAC_INT8) {
        w->int8 = lorac_mem_new(1, sizeof *w->int8);
        made = w->int8;
        if (made) { (void)pthread_mutex_init(&w->int8->lock, NULL); }
    } else if (w && w->compute == LORAC_BFLOAT16) {
        made = lorac_cpu_bf16_open(dev, w);
    }
    if (made) { return w; }
    lorac_host_weight_close(dev, w);
    return NULL;
}

static size_t int8_bytes(size_t OC, size_t C, bool back)
{
    if (OC > LORAC_INT8_DEPTH || C > LORAC_INT8_DEPTH) { return 0; }
    size_t scales = 2 * lorac_pieces(OC, PANEL) * PANEL * sizeof(float);
    return scales + panels_bytes(OC, up_to_4(C)) + (back ? panels_bytes(C, up_to_4(OC)) : 0);
}

size_t lorac_cpu_weight_bytes(const struct lorac_device *dev, enum lorac_dtype type, size_t OC,
                              size_t C, enum lorac_compute compute, bool back)
{
    (void)dev;
    (void)type;
    return compute == LORAC_INT8       ? int8_bytes(OC, C, back)
           : compute == LORAC_BFLOAT16 ? (back ? 2 : 1) * lorac_cpu_bf16_bytes(OC, C)
                                       : 0;
}

void lorac_cpu_weight_close(struct lorac_device *dev, struct lorac_weight *w)
{
    if (w) { lorac_cpu_bf16_close(w); }
    if (w && w->int8) {
        lorac_mem_free(w->int8->scale);
        lorac_mem_free(w->int8->forward.offset);
        lorac_mem_free(w->int8->backward.offset);
        (void)pthread_mutex_destroy(&w->int8->lock);
        lorac_mem_free(w->int8);
    }
    lorac_host_weight_close(dev, w);
}
