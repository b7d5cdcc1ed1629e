/* devices.c - see devices.h. */
#define _DEFAULT_SOURCE // MAP_ANONYMOUS
#include "tests/support/devices.h"

#include "tests/support/near.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct devices d;

#ifdef LORAC_HAVE_OPENBLAS
#    include "base/compute/cpu.h"

static void open_cpus(void)
{
    static const char *const isas[] = {"generic", "avx2", "avx512"};
    for (size_t i = 0; i < 3; i++) {
        struct lorac_device *dev = &d.at[d.n];
        assert_int_equal(lorac_device_open(dev, "cpu", 2, NULL), LORAC_OK);
        if (lorac_cpu_use(dev, isas[i])) {
            d.name[d.n++] = isas[i];
        } else {
            lorac_device_close(dev);
            print_message("skipped: this processor has no %s\n", isas[i]);
        }
    }
    assert_int_equal(lorac_device_open(&d.at[d.n], "cpu", 1, NULL), LORAC_OK);
    d.name[d.n++] = "1 thread";
}
#else
static void open_cpus(void)
{
    print_message("skipped: this build has no cpu backend\n");
}
#endif

int devices_make(void **state)
{
    (void)state;
    d = (struct devices){.name = {"ref"}, .n = 1};
    assert_int_equal(lorac_device_open(&d.at[0], "ref", 1, NULL), LORAC_OK);
    open_cpus();
    return 0;
}

int devices_free(void **state)
{
    (void)state;
    for (size_t i = d.n; i-- > 0;) {
        lorac_device_close(&d.at[i]);
    }
    return 0;
}

/* ---- memory that ends where it ends ---- */

enum { MAX_BLOCKS = 4096, CANARY = 0xA5 };
static struct block {
    unsigned char *begin,
        *at;      // the mapping; what was asked for, up to the page that nobody may touch
    size_t bytes; // of the mapping
} blocks[MAX_BLOCKS];
static size_t n_blocks;

void *fenced(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (bytes + page - 1) / page * page;
    struct block *b = &blocks[n_blocks];
    assert_true(n_blocks < MAX_BLOCKS);
    b->bytes = room + page;
    void *p = mmap(NULL, b->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    b->begin = p;
    b->at = b->begin + room - bytes;
    assert_int_equal(mprotect(b->begin + room, page, PROT_NONE), 0);
    memset(b->begin, CANARY, room - bytes);
    n_blocks++;
    return b->at;
}

float *scratch(size_t n, unsigned stream)
{
    float *x = fenced(n * sizeof *x);
    fill(x, n, stream);
    return x;
}

enum { MAX_HANDLES = 64 };
static struct handle {
    struct lorac_device *dev;
    struct lorac_weight *w;
} handles[MAX_HANDLES];
static size_t n_handles;

const struct lorac_weight *weight_in(struct lorac_device *dev, const void *data,
                                     enum lorac_dtype type, size_t OC, size_t C, bool transposed,
                                     enum lorac_compute compute)
{
    assert_true(n_handles < MAX_HANDLES);
    struct handle *h = &handles[n_handles++];
    *h = (struct handle){dev, dev->ops->weight_open(dev, data, type, OC, C, transposed, compute)};
    assert_non_null(h->w);
    return h->w;
}

const struct lorac_weight *weight_on(struct lorac_device *dev, const void *data,
                                     enum lorac_dtype type, size_t OC, size_t C, bool transposed)
{
    return weight_in(dev, data, type, OC, C, transposed, LORAC_FLOAT32);
}

void scratch_free(void)
{
    while (n_handles > 0) {
        struct handle *h = &handles[--n_handles];
        h->dev->ops->weight_close(h->dev, h->w);
    }
    while (n_blocks > 0) {
        struct block *b = &blocks[--n_blocks];
        for (const unsigned char *p = b->begin; p < b->at; p++) {
            if (*p != CANARY) { fail_msg("written %zu bytes before a block", (size_t)(b->at - p)); }
        }
        assert_int_equal(munmap(b->begin, b->bytes), 0);
    }
}

void agree(const struct devices *of, size_t i, const char *what, const float *got,
           const float *want, size_t n, float abs, float rel)
{
    char text[200];
    snprintf(text, sizeof text, "%s: %s", of->name[i], what);
    near_all(text, got, want, n, abs, rel);
}
