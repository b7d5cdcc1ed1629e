/* blas.c - see blas.h. */
#define _GNU_SOURCE // RTLD_NOLOAD
#include "tools/bench/blas.h"

#include <cblas.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    void (*sgemm)(CBLAS_LAYOUT layout, CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, blasint m, blasint n,
                  blasint k, float alpha, const float *a, blasint lda, const float *b, blasint ldb,
                  float beta, float *c, blasint ldc);
    char *(*core)(void);
    char *(*config)(void);
    void (*set_threads)(int);
} blas;

#ifdef LORAC_OPENBLAS_LINK
static void find_functions(void)
{
    blas.sgemm = cblas_sgemm;
    blas.core = openblas_get_corename;
    blas.config = openblas_get_config;
    blas.set_threads = openblas_set_num_threads;
}
#else
static void find(void *library, void *function, const char *name)
{
    void *at = dlsym(library, name);
    if (!at) {
        fprintf(stderr, "lorac_bench: OpenBLAS has no %s\n", name);
        exit(1); // NOLINT(concurrency-mt-unsafe)
    }
    memcpy(function, &at, sizeof at);
}

static void find_functions(void)
{
    void *library = dlopen(LORAC_OPENBLAS_SONAME, RTLD_NOW | RTLD_NOLOAD); // never closed
    find(library, &blas.sgemm, "cblas_sgemm");
    find(library, &blas.core, "openblas_get_corename");
    find(library, &blas.config, "openblas_get_config");
    find(library, &blas.set_threads, "openblas_set_num_threads");
}
#endif

void blas_find(int threads)
{
    find_functions();
    blas.set_threads(threads);
}

void blas_text(char text[128])
{
    char config[128];
    (void)snprintf(config, sizeof config, "%s",
                   blas.config()); // "OpenBLAS 0.3.21 DYNAMIC_ARCH ..."
    char *word = strchr(config, ' ');
    char *end = word ? strchr(word + 1, ' ') : NULL;
    if (end) { *end = '\0'; }
    (void)snprintf(text, 128, "%.60s, %.40s kernels", config, blas.core());
}

void blas_product(float *y, const float *x, const float *w, size_t N, size_t OC, size_t C,
                  bool backward)
{
    int n = (int)N;
    int oc = (int)OC;
    int c = (int)C;
    if (backward) {
        blas.sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, c, oc, 1.0F, x, oc, w, c, 0.0F, y,
                   c);
    } else {
        blas.sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, oc, c, 1.0F, x, c, w, c, 0.0F, y,
                   oc);
    }
}
