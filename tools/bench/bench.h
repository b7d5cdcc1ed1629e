/*
 * bench.h - what the benchmarks share: series of measurements, the machine that they are of, what
 * its libraries and its memory can do at best (ceilings), and the model that is measured.
 *
 * Times of one run alone say little on a machine that others use, too. So everything that is
 * compared is measured by turns in one run, a round after the other, and what is told are ratios
 * within a round, as the median of all rounds, beside the least and the most.
 */
#ifndef LORAC_TOOLS_BENCH_H
#define LORAC_TOOLS_BENCH_H

#include "tools/verbs.h"
#include <lorac/base.h>
#include <lorac/lora.h>
#include <lorac/recipes.h>

/* ---- series (series.c) ---- */

enum { MAX_ROUNDS = 99 };
struct series {
    double at[MAX_ROUNDS]; // one a round
    size_t n;
};
void series_add(struct series *s, double v);
double series_last(const struct series *s);
double series_median(const struct series *s); // NaN where there is none, as the next two
double series_least(const struct series *s);
double series_most(const struct series *s);
/* {"median": 1.5, "least": 1.4, "most": 1.7} */
void out_series(struct out *j, const char *key, const struct series *s);

/* ---- the machine (machine.c) ---- */

struct machine {
    struct lorac_device dev;
    char cpu[64];
    char blas[128];           // version and kernels of OpenBLAS
    char dnnl[32];            // version of oneDNN; "": this build is without it
    float *in, *out;          // (POOL) each: what operations read, what they write
    size_t in_at, out_at;     // the next slices
    struct series read, copy; // bytes a second of memory: read alone; read and written
};
enum { POOL = 1 << 25 }; // floats, 128 MiB: more than caches hold
enum lorac_status machine_open(struct machine *m, int threads, struct lorac_err *err);
void machine_close(struct machine *m);
/* One more measurement of its memory. */
void machine_round(struct machine *m);
/* The next n floats of a pool, which lie in no cache. */
const float *machine_in(struct machine *m, size_t n);
float *machine_out(struct machine *m, size_t n);
/* Who and where: under "machine" in JSON; two lines for people, and warnings on stderr. */
void machine_json(struct out *j, const struct machine *m);
void machine_show(const struct machine *m);
void machine_warn(void);

/* ---- products at their best (ceilings.c, dnnl.c) ---- */

/* y (N,OC) = x (N,C) W^T, or backward dx (N,C) = dy (N,OC) W. */
struct product {
    size_t N, OC, C;
    bool backward;
};
double product_flops(const struct product *p);

enum library { OPENBLAS, ONEDNN, N_LIBRARIES };
struct ceiling {
    struct product p, run;           // what was asked for; what runs: fewer rows, of a wide one
                                     // fewer outputs
    const char *compute;             // "float32"
    struct series rate[N_LIBRARIES]; // FLOP/s, a round; none: not of this library
    struct series best;              // of each round
    struct dnnl_product *dnnl;       // packed, or NULL
    size_t at;                       // the next weight
};
/* A set of them, one for each (OC,C), direction and compute. */
struct ceilings {
    struct ceiling *at;
    size_t n, cap;
    struct machine *m;
};
/* The ceiling of this product, borrowed until the next call; a new one where none has its OC, C,
 * direction and compute. Rows are those of whoever asks first, at most MAX_CEILING_ROWS. NULL: no
 * memory. */
enum { MAX_CEILING_ROWS = 2048 };
struct ceiling *ceiling_of(struct ceilings *c, const struct product *p, const char *compute);
/* Measure each once. */
enum lorac_status ceilings_round(struct ceilings *c, struct lorac_err *err);
void ceilings_free(struct ceilings *c);
void ceilings_json(struct out *j, const struct ceilings *c);
void ceilings_show(const struct ceilings *c);

/* oneDNN's product with packed weights, as many as are more than caches hold. NULL: not in this
 * build, or the library cannot. */
struct dnnl_product;
struct dnnl_product *dnnl_open(const struct product *p, const char *compute, const float *weights,
                               const float *x);
bool dnnl_run(struct dnnl_product *d); // once, with the next weights; false: it failed
void dnnl_close(struct dnnl_product *d);
void dnnl_version_text(char text[32]);

/* ---- what is measured (folder.c) ---- */

/* A model's folder, made fresh where a shape is asked for. */
struct folder {
    char *dir;
    bool temporary;              // it goes when this closes
    struct lorac_recipe *recipe; // or NULL
};
/* Of --model, --shape and, where the verb has it, --recipe with its --set. */
enum lorac_status folder_open(struct folder *s, const struct args *a, struct lorac_err *err);
void folder_close(struct folder *s);
enum lorac_status temporary_dir(char **out, struct lorac_err *err); // a new one, the caller's
const char *subject_shape(size_t i); // names of the table; NULL behind the last

/* The i-th of --compute, as often as it is given; where it isn't the one of the recipe (or NULL:
 * float32). NULL behind the last. It may be auto: what a model_open() of it computes in, the model
 * knows. */
const char *compute_each(const struct args *a, const struct lorac_recipe *r, size_t i);
enum lorac_status model_open(struct lorac_model **out, struct lorac_device *dev, const char *dir,
                             const char *compute, struct lorac_err *err);

/* Run `work` in a process of its own, before this one has any threads, for its peak memory. */
typedef enum lorac_status work_fn(void *self, struct lorac_err *err);
enum lorac_status peak_of(size_t *peak, work_fn *work, void *self, struct lorac_err *err);

/* A batch of `tokens` made-up tokens in rows of `length`, of each of which the last `scored` are
 * trained. */
enum lorac_status batch_made_up(struct lorac_batch **out, size_t tokens, size_t length,
                                size_t scored, size_t V, struct lorac_err *err);

extern const struct verb verb_bench_ops, verb_bench_step, verb_bench_prompt, verb_bench_decode,
    verb_bench_start, verb_bench_labels, verb_bench_tokenize;
/* The error, if any, on stderr; returns the exit code. */
int bench_end(enum lorac_status st, const struct lorac_err *err);
enum lorac_status rounds_of(size_t *rounds, int *threads, const struct args *a,
                            struct lorac_err *err);

#define BENCH_OPTIONS                                                                         \
    {"--rounds", "1..99", "how often each is measured, by turns (default: 5)", false, false}, \
        {"--threads", "0..4096", "threads to compute with (default: 0, one per core)", false, \
         false},                                                                              \
    {                                                                                         \
        "--json", NULL, "print JSON", false, false                                            \
    }
#define FOLDER_OPTIONS                                                                           \
    {"--model", "DIR", "a model's folder; with --shape, where it is made or was", false, false}, \
    {                                                                                            \
        "--shape", "NAME", "random weights: 196m, smollm2-135m, tiny (default: 196m)", false,    \
            false                                                                                \
    }

#endif
