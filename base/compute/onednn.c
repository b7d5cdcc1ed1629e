/* onednn.c - loading oneDNN, and its products; see onednn.h. */
#include "base/compute/onednn.h"

#include "base/core/loads.h"
#include "base/core/mem.h"

#include <dlfcn.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#if defined(__aarch64__)
#    include <sys/auxv.h>
#endif

/* ---- the library: what major 2 and 3 call differently ---- */

#if DNNL_VERSION_MAJOR >= 3
#    define OF_MAJOR(call)                                                  \
        call(dnnl_memory_desc_create_with_tag) call(dnnl_memory_desc_clone) \
            call(dnnl_memory_desc_destroy) call(dnnl_matmul_primitive_desc_create)
typedef const_dnnl_memory_desc_t layout_ref; // of what lies in memory
#    define REF(layout) (layout)
#else
#    define OF_MAJOR(call)                                             \
        call(dnnl_memory_desc_init_by_tag) call(dnnl_matmul_desc_init) \
            call(dnnl_primitive_desc_create)
typedef const dnnl_memory_desc_t *layout_ref;
#    define REF(layout) (&(layout))
#endif

#define OF_DEVICES(call)                                                        \
    call(dnnl_engine_create) call(dnnl_engine_destroy) call(dnnl_stream_create) \
        call(dnnl_stream_destroy)
#define OF_MEMORY(call) \
    call(dnnl_memory_create) call(dnnl_memory_destroy) call(dnnl_memory_desc_get_size)
#define OF_POST_OPS(call) \
    call(dnnl_post_ops_create) call(dnnl_post_ops_append_sum) call(dnnl_post_ops_destroy)
#define OF_ATTRIBUTES(call)                                                              \
    call(dnnl_primitive_attr_create) call(dnnl_primitive_attr_set_scratchpad_mode)       \
        call(dnnl_primitive_attr_set_fpmath_mode) call(dnnl_primitive_attr_set_post_ops) \
            call(dnnl_primitive_attr_destroy)
#define OF_DESCRIPTIONS(call)                                                        \
    call(dnnl_reorder_primitive_desc_create) call(dnnl_primitive_get_primitive_desc) \
        call(dnnl_primitive_desc_query) call(dnnl_primitive_desc_query_md)           \
            call(dnnl_primitive_desc_destroy)
#define OF_PRIMITIVES(call) \
    call(dnnl_primitive_create) call(dnnl_primitive_execute) call(dnnl_primitive_destroy)
#define OF_ALL_MAJORS(call) \
    OF_DEVICES(call)        \
    OF_MEMORY(call) OF_POST_OPS(call) OF_ATTRIBUTES(call) OF_DESCRIPTIONS(call) OF_PRIMITIVES(call)
#define CALLS(call) OF_MAJOR(call) OF_ALL_MAJORS(call)

static struct {
#define MEMBER(name) __typeof__(name) *name;
    CALLS(MEMBER)
#undef MEMBER
    dnnl_engine_t engine;
    const char *lacks[2]; // in float32, in bfloat16; NULL: it is there and fast
    char missing[400];
} lib;

/* Of a matrix. */
static bool layout_new(dnnl_memory_desc_t *out, size_t rows, size_t columns, dnnl_data_type_t type,
                       dnnl_format_tag_t tag)
{
    const dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
#if DNNL_VERSION_MAJOR >= 3
    *out = NULL;
    return lib.dnnl_memory_desc_create_with_tag(out, 2, dims, type, tag) == dnnl_success;
#else
    return lib.dnnl_memory_desc_init_by_tag(out, 2, dims, type, tag) == dnnl_success;
#endif
}

static void layout_free(dnnl_memory_desc_t *layout)
{
#if DNNL_VERSION_MAJOR >= 3
    if (*layout) { (void)lib.dnnl_memory_desc_destroy(*layout); }
#else
    (void)layout;
#endif
}

/* What adds to c, and lets the caller bring the scratch. Strictly: an ONEDNN_DEFAULT_FPMATH_MODE in
 * the environment may let float32 be computed in bfloat16, where the processor has AMX. */
static bool attributes_new(dnnl_primitive_attr_t *out, bool adds)
{
    dnnl_post_ops_t ops = NULL;
    *out = NULL;
    bool ok = lib.dnnl_primitive_attr_create(out) == dnnl_success;
    ok = ok && lib.dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user) ==
                   dnnl_success;
    ok = ok &&
         lib.dnnl_primitive_attr_set_fpmath_mode(*out, dnnl_fpmath_mode_strict) == dnnl_success;
    if (ok && adds) {
        ok = lib.dnnl_post_ops_create(&ops) == dnnl_success;
#if DNNL_VERSION_MAJOR >= 3
        ok = ok && lib.dnnl_post_ops_append_sum(ops, 1.0F, 0, dnnl_f32) == dnnl_success;
#else
        ok = ok && lib.dnnl_post_ops_append_sum(ops, 1.0F) == dnnl_success;
#endif
        ok = ok && lib.dnnl_primitive_attr_set_post_ops(*out, ops) == dnnl_success;
        if (ops) { (void)lib.dnnl_post_ops_destroy(ops); }
    }
    if (!ok && *out) {
        (void)lib.dnnl_primitive_attr_destroy(*out);
        *out = NULL;
    }
    return ok;
}

/* c (M,N) = or += a (M,K) b (K,N). */
static bool matmul_desc_new(dnnl_primitive_desc_t *out, const dnnl_memory_desc_t *a,
                            const dnnl_memory_desc_t *b, const dnnl_memory_desc_t *c, bool adds)
{
    dnnl_primitive_attr_t attr = NULL;
    *out = NULL;
    bool ok = attributes_new(&attr, adds);
#if DNNL_VERSION_MAJOR >= 3
    ok = ok && lib.dnnl_matmul_primitive_desc_create(out, lib.engine, *a, *b, NULL, *c, attr) ==
                   dnnl_success;
#else
    dnnl_matmul_desc_t what;
    ok = ok && lib.dnnl_matmul_desc_init(&what, a, b, NULL, c) == dnnl_success;
    ok = ok && lib.dnnl_primitive_desc_create(out, &what, attr, lib.engine, NULL) == dnnl_success;
#endif
    if (attr) { (void)lib.dnnl_primitive_attr_destroy(attr); }
    return ok;
}

/* ---- loading ---- */

LORAC_LOADS("onednn", "Products in bfloat16, and faster ones in float32", "recommended",
            LORAC_ONEDNN_SONAME);

static dnnl_data_type_t its_type(enum lorac_dtype type)
{
    return type == LORAC_BF16 ? dnnl_bf16 : dnnl_f32;
}

/* Instructions, each or NULL. */
static const char *lacks_float32(void)
{
#if defined(__x86_64__)
    bool there = __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    bool there = false;
#endif
    return there ? NULL : "this processor has no AVX-512 instructions";
}

/* Without them oneDNN computes bfloat16, too, but slower than float32. */
static const char *lacks_bf16(void)
{
#if defined(__x86_64__)
    bool there = __builtin_cpu_supports("avx512bf16");
#elif defined(__aarch64__)
    enum { BF16 = 1 << 14 }; // HWCAP2_BF16 of Linux's asm/hwcap.h
    bool there = getauxval(AT_HWCAP2) & BF16;
#else
    bool there = false;
#endif
    return there ? NULL : "this processor has no AVX512_BF16, AMX or Arm BF16 instructions";
}

/* Whether the library's own choice for a product is more than its plain loops: it was told to do
 * without the instructions (DNNL_MAX_CPU_ISA), or built so. */
static bool is_fast(dnnl_data_type_t type)
{
    enum { SIDE = 64 };
    dnnl_memory_desc_t a;
    dnnl_memory_desc_t b;
    dnnl_memory_desc_t c;
    dnnl_primitive_desc_t desc = NULL;
    const char *name = "";
    bool ok = layout_new(&a, SIDE, SIDE, type, dnnl_ab);
    bool ok_b = layout_new(&b, SIDE, SIDE, type, dnnl_format_tag_any);
    bool ok_c = layout_new(&c, SIDE, SIDE, dnnl_f32, dnnl_ab);
    ok = ok && ok_b && ok_c && matmul_desc_new(&desc, &a, &b, &c, false);
    ok = ok && lib.dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, (void *)&name) ==
                   dnnl_success;
    ok = ok && strncmp(name, "ref", 3) != 0 && strncmp(name, "gemm", 4) != 0;
    if (desc) { (void)lib.dnnl_primitive_desc_destroy(desc); }
    layout_free(&a);
    layout_free(&b);
    layout_free(&c);
    return ok;
}

static void *open_library(void)
{
    static const char *const files[] = {LORAC_ONEDNN_SONAME, LORAC_ONEDNN_FILE};
    void *handle = NULL;
    for (size_t i = 0; i < 2 && !handle; i++) {
        handle = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
        const char *said = handle ? NULL : dlerror(); // NOLINT(concurrency-mt-unsafe)
        if (said && !lib.missing[0]) {
            (void)snprintf(lib.missing, sizeof lib.missing,
                           "oneDNN cannot be loaded: %.250s (Debian has it as libdnnl%d)", said,
                           DNNL_VERSION_MAJOR);
        }
    }
    if (handle) { lib.missing[0] = '\0'; }
    return handle;
}

/* Why it cannot begin, or NULL. */
static const char *begin(void)
{
    static const char other[] = LORAC_ONEDNN_SONAME " is another library than oneDNN's: ";
    void *handle = open_library();
    if (!handle) { return lib.missing; }
    void *at = NULL; // a function from an object's pointer, which POSIX allows and ISO C does not
#define FIND(call)                     \
    at = dlsym(handle, #call);         \
    memcpy(&lib.call, &at, sizeof at); \
    if (!at) { (void)snprintf(lib.missing, sizeof lib.missing, "%s%s", other, #call); }
    CALLS(FIND)
#undef FIND
    if (lib.missing[0]) { return lib.missing; } // it stays loaded: some have threads of their own
    return lib.dnnl_engine_create(&lib.engine, dnnl_cpu, 0) == dnnl_success
               ? NULL
               : "oneDNN has no memory to begin";
}

static const char *lack(const char *instructions, const char *begins, dnnl_data_type_t type)
{
    return instructions    ? instructions
           : begins        ? begins
           : is_fast(type) ? NULL
                           : "oneDNN has no fast product for this processor (DNNL_MAX_CPU_ISA?)";
}

static void load(void)
{
    const char *float32 = lacks_float32();
    const char *bf16 = lacks_bf16();
    const char *begins = float32 && bf16 ? NULL : begin();
    lib.lacks[0] = lack(float32, begins, dnnl_f32);
    lib.lacks[1] = lack(bf16, begins, dnnl_bf16);
}

const char *lorac_onednn_lacks(enum lorac_dtype type)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, load);
    return lib.lacks[type == LORAC_BF16];
}

/* ---- products of one device ---- */

enum { MOST = 512, LEAST = 16, SIZES = LEAST + 6 }; // of blocks: 1 .. 15; 16, 32, ..., 512

struct lorac_onednn_product {
    dnnl_primitive_t run; // NULL: not translated yet
    size_t M, scratch;
    int threads;
};

/* All products with matrices of one shape and order. */
struct kind {
    size_t K, N;
    enum lorac_onednn_order order;
    enum lorac_dtype type;
    dnnl_memory_desc_t b;
    struct lorac_onednn_product product[4][SIZES]; // which write or add (1), alone (2)
    struct kind *next;
};

struct lorac_onednn {
    int threads;
    dnnl_stream_t stream;
    pthread_mutex_t lock; // of the list, and of what is not translated yet
    struct kind *kinds;
};

/* oneDNN takes as many threads as OpenMP would give the caller, while it translates as while it
 * runs. */
static int threads_set(int threads)
{
    int own = omp_get_max_threads();
    if (own != threads) { omp_set_num_threads(threads); }
    return own;
}

static void threads_reset(int threads, int own)
{
    if (own != threads) { omp_set_num_threads(own); }
}

struct lorac_onednn *lorac_onednn_new(int threads)
{
    if (lorac_onednn_lacks(LORAC_F32) && lorac_onednn_lacks(LORAC_BF16)) { return NULL; }
    struct lorac_onednn *o = lorac_mem_new(1, sizeof *o);
    if (!o) { return NULL; }
    o->threads = threads;
    if (lib.dnnl_stream_create(&o->stream, lib.engine, dnnl_stream_default_flags) != dnnl_success) {
        lorac_mem_free(o);
        return NULL;
    }
    (void)pthread_mutex_init(&o->lock, NULL);
    return o;
}

void lorac_onednn_free(struct lorac_onednn *o)
{
    if (!o) { return; }
    while (o->kinds) {
        struct kind *k = o->kinds;
        o->kinds = k->next;
        for (size_t i = 0; i < 4 * SIZES; i++) {
            dnnl_primitive_t run = k->product[i / SIZES][i % SIZES].run;
            if (run) { (void)lib.dnnl_primitive_destroy(run); }
        }
        layout_free(&k->b);
        lorac_mem_free(k);
    }
    (void)lib.dnnl_stream_destroy(o->stream);
    (void)pthread_mutex_destroy(&o->lock);
    lorac_mem_free(o);
}

size_t lorac_onednn_rows(size_t M)
{
    size_t rows = MOST;
    while (rows > M && rows > LEAST) {
        rows /= 2;
    }
    return rows < M ? rows : M;
}

/* Which of a kind's products has M rows. */
static size_t size_of(size_t M)
{
    size_t i = M < LEAST ? M : LEAST;
    for (size_t rows = LEAST; rows < M; rows *= 2) {
        i++;
    }
    return i;
}

/* A product's description: with a packed b of the library's choice where that is not known yet. */
static bool describe(dnnl_primitive_desc_t *out, const struct kind *k, const dnnl_memory_desc_t *b,
                     size_t M, bool adds)
{
    dnnl_memory_desc_t a;
    dnnl_memory_desc_t c;
    bool ok = layout_new(&a, M, k->K, its_type(k->type), dnnl_ab);
    bool ok_c = layout_new(&c, M, k->N, dnnl_f32, dnnl_ab);
    *out = NULL;
    ok = ok && ok_c && matmul_desc_new(out, &a, b, &c, adds);
    layout_free(&a);
    layout_free(&c);
    return ok;
}

/* The layout that the library chooses for the most rows. */
static bool choose_layout(struct kind *k)
{
    dnnl_memory_desc_t any;
    dnnl_primitive_desc_t desc = NULL;
    bool ok = layout_new(&any, k->K, k->N, its_type(k->type), dnnl_format_tag_any) &&
              describe(&desc, k, &any, MOST, false);
    if (ok) {
#if DNNL_VERSION_MAJOR >= 3
        ok = lib.dnnl_memory_desc_clone(&k->b, lib.dnnl_primitive_desc_query_md(
                                                   desc, dnnl_query_weights_md, 0)) == dnnl_success;
#else
        k->b = *lib.dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
#endif
    }
    if (desc) { (void)lib.dnnl_primitive_desc_destroy(desc); }
    layout_free(&any);
    return ok;
}

/* With the lock held. NULL: no memory. */
static struct kind *find_kind(struct lorac_onednn *o, const struct lorac_onednn_matrix *b)
{
    struct kind *k = o->kinds;
    while (k && (k->K != b->K || k->N != b->N || k->order != b->order || k->type != b->type)) {
        k = k->next;
    }
    if (k) { return k; }
    k = lorac_mem_new(1, sizeof *k);
    if (!k) { return NULL; }
    *k = (struct kind){.K = b->K, .N = b->N, .order = b->order, .type = b->type, .next = o->kinds};
    dnnl_format_tag_t tag = b->order == LORAC_ONEDNN_ROWS ? dnnl_ab : dnnl_ba;
    int own = threads_set(o->threads);
    bool ok = b->order == LORAC_ONEDNN_PACKED
                  ? choose_layout(k)
                  : layout_new(&k->b, k->K, k->N, its_type(k->type), tag);
    threads_reset(o->threads, own);
    if (!ok) {
        lorac_mem_free(k);
        return NULL;
    }
    o->kinds = k;
    return k;
}

size_t lorac_onednn_packed_bytes(struct lorac_onednn *o, enum lorac_dtype type, size_t K, size_t N)
{
    const struct lorac_onednn_matrix packed = {NULL, K, N, LORAC_ONEDNN_PACKED, type};
    (void)pthread_mutex_lock(&o->lock);
    const struct kind *k = find_kind(o, &packed);
    size_t bytes = k ? lib.dnnl_memory_desc_get_size(REF(k->b)) : 0;
    (void)pthread_mutex_unlock(&o->lock);
    return bytes;
}

static void translate(struct lorac_onednn_product *p, const struct kind *k, size_t M, bool adds,
                      int threads)
{
    dnnl_primitive_desc_t desc = NULL;
    int own = threads_set(threads);
    if (describe(&desc, k, &k->b, M, adds)) {
        p->M = M;
        p->threads = threads;
        p->scratch = lib.dnnl_memory_desc_get_size(
            lib.dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0));
        if (lib.dnnl_primitive_create(&p->run, desc) != dnnl_success) { p->run = NULL; }
    }
    if (desc) { (void)lib.dnnl_primitive_desc_destroy(desc); }
    threads_reset(threads, own);
}

const struct lorac_onednn_product *lorac_onednn_find(struct lorac_onednn *o,
                                                     const struct lorac_onednn_matrix *b, size_t M,
                                                     bool adds, bool alone)
{
    (void)pthread_mutex_lock(&o->lock);
    struct kind *k = find_kind(o, b);
    struct lorac_onednn_product *p = k ? &k->product[adds + 2 * alone][size_of(M)] : NULL;
    if (p && !p->run) { translate(p, k, M, adds, alone ? 1 : o->threads); }
    (void)pthread_mutex_unlock(&o->lock);
    return p && p->run ? p : NULL;
}

size_t lorac_onednn_scratch(const struct lorac_onednn_product *p)
{
    return p->scratch;
}

/* ---- running ---- */

/* A primitive's operand: the key it goes by, how it lies, where. */
struct operand {
    int key;
    layout_ref layout;
    void *at;
};

static bool execute(const struct lorac_onednn *o, const_dnnl_primitive_t run, int threads,
                    const struct operand *operand, int n)
{
    enum { OPERANDS = 4 };
    dnnl_exec_arg_t args[OPERANDS] = {{0}};
    bool ok = true;
    int made = 0;
    for (; made < n && ok; made += ok) {
        args[made].arg = operand[made].key;
        ok = lib.dnnl_memory_create(&args[made].memory, operand[made].layout, lib.engine,
                                    operand[made].at) == dnnl_success;
    }
    if (ok) {
        int own = threads_set(threads);
        ok = lib.dnnl_primitive_execute(run, o->stream, n, args) == dnnl_success;
        threads_reset(threads, own);
    }
    while (made-- > 0) {
        (void)lib.dnnl_memory_destroy(args[made].memory);
    }
    return ok;
}

/* Operands are written where they are c or scratch alone. */
static void *readable(const void *p)
{
    void *at = NULL;
    memcpy(&at, &p, sizeof at);
    return at;
}

bool lorac_onednn_run(struct lorac_onednn *o, const struct lorac_onednn_product *p, float *c,
                      const void *a, const struct lorac_onednn_matrix *b, void *scratch)
{
    const_dnnl_primitive_desc_t desc = NULL;
    if (lib.dnnl_primitive_get_primitive_desc(p->run, &desc) != dnnl_success) { return false; }
#define LAYOUT(of) lib.dnnl_primitive_desc_query_md(desc, dnnl_query_##of##_md, 0)
    const struct operand operands[] = {
        {DNNL_ARG_SRC, LAYOUT(src), readable(a)},
        {DNNL_ARG_WEIGHTS, LAYOUT(weights), readable(b->data)},
        {DNNL_ARG_DST, LAYOUT(dst), c},
        {DNNL_ARG_SCRATCHPAD, LAYOUT(scratchpad), scratch},
    };
#undef LAYOUT
    return execute(o, p->run, p->threads, operands, 4);
}

bool lorac_onednn_pack(struct lorac_onednn *o, void *to, enum lorac_dtype type,
                       const struct lorac_onednn_matrix *from)
{
    const struct lorac_onednn_matrix wanted = {NULL, from->K, from->N, LORAC_ONEDNN_PACKED, type};
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t run = NULL;
    (void)pthread_mutex_lock(&o->lock);
    struct kind *packed = find_kind(o, &wanted);
    struct kind *plain = find_kind(o, from);
    (void)pthread_mutex_unlock(&o->lock);
    if (!packed || !plain) { return false; }
    int threads = omp_in_parallel() ? 1 : o->threads;
    int own = threads_set(threads);
    bool ok =
        lib.dnnl_reorder_primitive_desc_create(&desc, REF(plain->b), lib.engine, REF(packed->b),
                                               lib.engine, NULL) == dnnl_success;
    ok = ok && lib.dnnl_primitive_create(&run, desc) == dnnl_success;
    threads_reset(threads, own);
    const struct operand operands[] = {
        {DNNL_ARG_FROM, REF(plain->b), readable(from->data)},
        {DNNL_ARG_TO, REF(packed->b), to},
    };
    ok = ok && execute(o, run, threads, operands, 2);
    if (run) { (void)lib.dnnl_primitive_destroy(run); }
    if (desc) { (void)lib.dnnl_primitive_desc_destroy(desc); }
    return ok;
}
