/* fuzz_record.c - any bytes as the run.json and the metrics.csv of a run's folder, a zero byte
 * between them: refused with a reason, or a run whose numbers are in their order. */
#define _DEFAULT_SOURCE // mkdtemp
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/record.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/lorac-fuzz-XXXXXX";
static char path[3][64]; // recipe, run.json, metrics.csv

static void leave(void)
{
    (void)!lorac_dir_remove(dir, NULL);
}

static void begin(void)
{
    static const char recipe[] = "recipe: 1\nmodel: {path: m}\ndata: {train: t, valid: v}\n"
                                 "template: {prompt: '{a}', completion: ' {b}'}\n";
    static const char *const names[] = {"recipe.resolved.yaml", "run.json", "metrics.csv"};
    if (path[0][0]) { return; }
    if (!mkdtemp(dir) || atexit(leave) != 0) { abort(); }
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path[i], sizeof path[i], "%s/%s", dir, names[i]);
    }
    if (lorac_file_write(path[0], recipe, strlen(recipe), NULL)) { abort(); }
}

static void put(const char *to, const uint8_t *data, size_t n)
{
    FILE *f = fopen(to, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f) != 0) { abort(); }
}

static void check(const struct lorac_record *r)
{
    if (r->status > LORAC_RECORD_FINISHED || !r->started || !r->host || !r->compute) { abort(); }
    if (r->evaluated && !lorac_metric_name(r->best_by)) { abort(); }
    for (size_t i = 0; i < r->n_lines; i++) {
        const struct lorac_record_line *x = &r->lines[i];
        if (isnan(x->metric[LORAC_METRIC_LOSS]) || !(x->seconds >= 0.0) ||
            (i && x->step < x[-1].step)) {
            abort();
        }
        if (x->step > r->steps_done) { abort(); }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lorac_record *r = NULL;
    struct lorac_err err = {0};
    begin();
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t n = zero ? (size_t)(zero - data) : size;
    put(path[1], data, n);
    if (zero) { put(path[2], zero + 1, size - n - 1); }
    if (!zero) { (void)remove(path[2]); }
    if (!lorac_record_open(&r, dir, &err)) {
        check(r);
    } else if (!err.text[0]) {
        abort(); // refused without a reason
    }
    lorac_record_close(r);
    return 0;
}
