/* devices.c - see devices.h. */
#define _DEFAULT_SOURCE // MAP_ANONYMOUS
#include "tests/support/devices.h"

#include "tests/support/near.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef LORAC_HAVE_OPENBLAS
#    include "base/compute/cpu.h"

static void open_cpus(struct devices *d)
{
    static const char *const isas[] = {"generic", "avx2", "avx512"};
    for (size_t i = 0; i < 3; i++) {
        struct lorac_device *dev = &d->at[d->n];
        assert_int_equal(lorac_device_open(dev, "cpu", 2, NULL), LORAC_OK);
        if (lorac_cpu_use(dev, isas[i])) {
            d->name[d->n++] = isas[i];
        } else {
            lorac_device_close(dev);
            print_message("skipped: this processor has no %s\n", isas[i]);
        }
    }
    assert_int_equal(lorac_device_open(&d->at[d->n], "cpu", 1, NULL), LORAC_OK);
    d->name[d->n++] = "1 thread";
}
#else
static void open_cpus(struct devices *d)
{
    (void)d;
    print_message("skipped: this build has no cpu backend\n");
}
#endif

void devices_open(struct devices *d)
{
    *d = (struct devices){.name = {"ref"}, .n = 1};
    assert_int_equal(lorac_device_open(&d->at[0], "ref", 1, NULL), LORAC_OK);
    open_cpus(d);
}

void devices_close(struct devices *d)
{
    for (size_t i = d->n; i-- > 0;) {
        lorac_device_close(&d->at[i]);
    }
}

enum { MAX_BLOCKS = 4096 };
static struct block {
    void *at;
    size_t bytes;
} blocks[MAX_BLOCKS];
static size_t n_blocks;

float *scratch(size_t n, unsigned stream)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room = (n * sizeof(float) + page - 1) / page * page;
    assert_true(n_blocks < MAX_BLOCKS);
    char *at = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    assert_int_equal(mprotect(at + room, page, PROT_NONE), 0);
    blocks[n_blocks++] = (struct block){at, room + page};
    float *x = (float *)(void *)(at + room - n * sizeof(float));
    fill(x, n, stream);
    return x;
}

void scratch_free(void)
{
    while (n_blocks > 0) {
        n_blocks--;
        assert_int_equal(munmap(blocks[n_blocks].at, blocks[n_blocks].bytes), 0);
    }
}

void agree(const struct devices *d, size_t i, const char *what, const float *got, const float *want,
           size_t n, float abs, float rel)
{
    char text[200];
    snprintf(text, sizeof text, "%s: %s", d->name[i], what);
    near_all(text, got, want, n, abs, rel);
}
