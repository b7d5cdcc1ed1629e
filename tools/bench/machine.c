/* machine.c - the machine that measurements are of: its processor, its libraries, its memory; see
 * bench.h. */
#define _GNU_SOURCE // RTLD_NOLOAD, environ's getenv is C's
#include "tools/bench/bench.h"

#include "tools/bench/blas.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* They hold OpenBLAS to older kernels than the processor's: half of its speed on some. */
static const char *const holds[] = {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"};

void machine_warn(void)
{
    for (size_t i = 0; i < sizeof holds / sizeof holds[0]; i++) {
        const char *value = getenv(holds[i]); // NOLINT(concurrency-mt-unsafe)
        if (!value) { continue; }
        fprintf(stderr,
                "warning: %s=%s is set, which holds OpenBLAS to other kernels or sizes than it "
                "would choose: env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE\n",
                holds[i], value);
    }
}

enum lorac_status machine_open(struct machine *m, int threads, struct lorac_err *err)
{
    *m = (struct machine){0};
    lorac_machine_cpu(m->cpu);
    enum lorac_status st = lorac_device_open(&m->dev, "cpu", threads, err);
    if (st) { return st; }
    m->in = lorac_mem_new(POOL, sizeof *m->in);
    m->out = lorac_mem_new(POOL, sizeof *m->out);
    if (!m->in || !m->out) { return lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    for (size_t i = 0; i < POOL; i++) { // what is ordinary in every storage type, and not of one
                                        // sign
        m->in[i] = 0.03F * (float)((int)(i * 2654435761U >> 16 & 15) - 7);
        m->out[i] = 0.01F;
    }
    blas_find(m->dev.threads);
    blas_text(m->blas);
    dnnl_version_text(m->dnnl);
    return LORAC_OK;
}

void machine_close(struct machine *m)
{
    lorac_mem_free(m->in);
    lorac_mem_free(m->out);
    lorac_device_close(&m->dev);
}

/* n floats from the pool's next place, a multiple of 16 floats from its beginning. */
static size_t slice(size_t *at, size_t n)
{
    size_t room = (n + 15) / 16 * 16;
    if (*at + room > POOL) { *at = 0; }
    size_t from = *at;
    *at += room;
    return from;
}

const float *machine_in(struct machine *m, size_t n)
{
    return m->in + slice(&m->in_at, n);
}

float *machine_out(struct machine *m, size_t n)
{
    return m->out + slice(&m->out_at, n);
}

/* ---- memory ---- */

enum { MOST_READERS = 256 };
struct reader {
    const uint64_t *at;
    size_t n; // a multiple of 8
    uint64_t sum;
};

static void *read_all(void *self)
{
    struct reader *r = self;
    uint64_t s[8] = {0};
    for (size_t i = 0; i < r->n; i += 8) {
        for (size_t k = 0; k < 8; k++) {
            s[k] += r->at[i + k];
        }
    }
    for (size_t k = 0; k < 8; k++) {
        r->sum += s[k];
    }
    return NULL;
}

/* Bytes a second that all threads together read. */
static double read_rate(const struct machine *m)
{
    struct reader readers[MOST_READERS];
    pthread_t threads[MOST_READERS];
    bool runs[MOST_READERS];
    size_t T = (size_t)m->dev.threads < MOST_READERS ? (size_t)m->dev.threads : MOST_READERS;
    size_t each = (size_t)POOL / 2 / T / 8 * 8; // of 8 bytes
    double begin = lorac_clock();
    for (size_t t = 0; t < T; t++) {
        readers[t] =
            (struct reader){.at = (const uint64_t *)(const void *)m->in + t * each, .n = each};
        runs[t] = t + 1 < T && pthread_create(&threads[t], NULL, read_all, &readers[t]) == 0;
        if (!runs[t]) { (void)read_all(&readers[t]); }
    }
    uint64_t sum = 0;
    for (size_t t = 0; t < T; t++) {
        if (runs[t]) { (void)pthread_join(threads[t], NULL); }
        sum += readers[t].sum;
    }
    volatile uint64_t keep = sum; // the loop has a use
    (void)keep;
    return (double)(T * each * 8) / (lorac_clock() - begin);
}

void machine_round(struct machine *m)
{
    double most = 0.0;
    for (int i = 0; i < 3; i++) {
        most = fmax(most, read_rate(m));
    }
    series_add(&m->read, most);
    most = 0.0;
    for (int i = 0; i < 3; i++) { // y += x: two are read, one is written
        double begin = lorac_clock();
        m->dev.ops->add(&m->dev, m->out, m->in, POOL);
        most = fmax(most, 3.0 * sizeof(float) * POOL / (lorac_clock() - begin));
    }
    series_add(&m->copy, most);
}

/* ---- how it is told ---- */

void machine_json(struct out *j, const struct machine *m)
{
    out_begin(j, "machine", "{}");
    out_str(j, "cpu", m->cpu);
    out_count(j, "threads", (size_t)m->dev.threads);
    out_str(j, "lorac", LORAC_VERSION);
    out_str(j, "openblas", m->blas);
    out_str(j, "onednn", m->dnnl);
    for (size_t i = 0; i < sizeof holds / sizeof holds[0]; i++) {
        const char *value = getenv(holds[i]); // NOLINT(concurrency-mt-unsafe)
        if (value) { out_str(j, holds[i], value); }
    }
    if (m->read.n) { out_series(j, "memory_read", &m->read); }
    if (m->copy.n) { out_series(j, "memory_copy", &m->copy); }
    out_end(j);
}

void machine_show(const struct machine *m)
{
    printf("%s, %d threads, lorac %s\n", m->cpu, m->dev.threads, LORAC_VERSION);
    printf("%s, %s%s\n", m->blas, m->dnnl[0] ? "oneDNN " : "without oneDNN", m->dnnl);
    if (m->read.n) {
        printf("memory: %.1f GB/s read, %.1f read and written\n", 1e-9 * series_median(&m->read),
               1e-9 * series_median(&m->copy));
    }
    printf("\n");
}
