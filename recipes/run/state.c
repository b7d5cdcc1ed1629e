/* state.c - see state.h. */
#include "recipes/run/state.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "base/core/sibling.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER = 32 };

/* What a state holds beside its tensors: counters as decimal, reals as hexadecimal, which is exact.
 */
static const struct {
    const char *name;
    size_t offset;
    bool real;
} fields[] = {
#define COUNTER(name)                                    \
    {                                                    \
#        name, offsetof(struct lorac_state, name), false \
    }
#define REAL(name)                                      \
    {                                                   \
#        name, offsetof(struct lorac_state, name), true \
    }
    COUNTER(step),
    COUNTER(micro),
    COUNTER(epoch),
    COUNTER(position),
    COUNTER(examples),
    COUNTER(has_best),
    COUNTER(best_step),
    COUNTER(patience),
    COUNTER(above),
    REAL(best),
    COUNTER(best_scores.rows),
    COUNTER(best_scores.tokens),
    COUNTER(best_scores.bytes),
    REAL(best_scores.loss),
    REAL(best_scores.perplexity),
    REAL(best_scores.accuracy),
    REAL(best_scores.macro_f1),
    REAL(best_scores.exact_match),
    // from here on younger than the format: where a file lacks one, a counter is 0 and a real NaN
    REAL(stop_best),
    COUNTER(best_weights),
    REAL(best_scores.micro_f1),
    REAL(best_scores.weighted_f1),
    REAL(best_scores.matthews),
    REAL(best_scores.auc),
    REAL(best_scores.precision),
    REAL(best_scores.recall),
    REAL(best_scores.entity_f1),
    REAL(best_scores.mse),
    REAL(best_scores.pearson),
    REAL(best_scores.spearman),
    REAL(best_scores.r2),
};
enum { N_FIELDS = sizeof fields / sizeof fields[0], N_FIRST = 18 };

size_t lorac_state_blocks(struct lorac_state_block out[LORAC_STATE_BLOCKS],
                          const struct lorac_adapter *a, struct lorac_optim *o)
{
    size_t n = 0;
    size_t start = 0;
    float *at = lorac_adapter_start(a, &start);
    out[n++] = (struct lorac_state_block){"params", a->params, a->n_params};
    for (size_t i = 0; i < lorac_optim_blocks(o); i++) {
        out[n++] = (struct lorac_state_block){lorac_optim_block_name(o, i), lorac_optim_block(o, i),
                                              a->n_params};
    }
    if (at) { out[n++] = (struct lorac_state_block){"start", at, start}; }
    return n;
}

struct fill {
    struct lorac_device *dev;
    const struct lorac_state_block *block;
};

static enum lorac_status fill(void *self, void *to, size_t i, struct lorac_err *err)
{
    struct fill *f = self;
    (void)err;
    f->dev->ops->read(f->dev, to, f->block[i].at, f->block[i].n * sizeof(float));
    return LORAC_OK;
}

/* The fields of a state as its file says them. */
static void write_fields(char text[N_FIELDS][NUMBER], const struct lorac_state *s)
{
    for (size_t i = 0; i < N_FIELDS; i++) {
        uint64_t count = 0;
        double real = 0.0;
        const char *from = (const char *)s + fields[i].offset;
        if (fields[i].real) {
            memcpy(&real, from, sizeof real);
            (void)lorac_snprintf(text[i], NUMBER, "%a", real);
        } else {
            memcpy(&count, from, sizeof count);
            (void)snprintf(text[i], NUMBER, "%" PRIu64, count);
        }
    }
}

/* Does the file at `path` hold these fields and these blocks? */
static enum lorac_status compare(const char *path, char text[N_FIELDS][NUMBER],
                                 const struct fill *f, size_t n, struct lorac_err *err)
{
    struct lorac_checkpoint *c = NULL;
    size_t longest = n ? f->block[0].n : 0; // the parameters
    float *host = lorac_mem_new(longest, sizeof *host);
    if (!host) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory to compare it", path); }
    enum lorac_status st = lorac_checkpoint_open(&c, path, err);
    if (st) { lorac_err_prefix(err, "reading back what was saved: "); }
    for (size_t i = 0; i < N_FIELDS && !st; i++) {
        const char *got = lorac_checkpoint_metadata(c, fields[i].name);
        if (got && strcmp(got, text[i]) == 0) { continue; }
        st = lorac_fail(err, LORAC_EIO, "%s: '%s' reads back as %s, %s was written", path,
                        fields[i].name, got ? got : "nothing", text[i]);
    }
    for (size_t i = 0; i < n && !st; i++) {
        const struct lorac_state_block *b = &f->block[i];
        const struct lorac_tensor *t = lorac_checkpoint_find(c, b->name);
        f->dev->ops->read(f->dev, host, b->at, b->n * sizeof *host);
        if (!t || t->dtype != LORAC_F32 || t->n != b->n ||
            memcmp(t->data, host, b->n * sizeof *host) != 0) {
            st = lorac_fail(err, LORAC_EIO, "%s: tensor '%s' reads back with other values", path,
                            b->name);
        }
    }
    lorac_checkpoint_close(c);
    lorac_mem_free(host);
    return st;
}

enum lorac_status lorac_state_write(const char *path, const struct lorac_state *s,
                                    const struct lorac_adapter *a, struct lorac_optim *o,
                                    struct lorac_err *err)
{
    struct lorac_state_block block[LORAC_STATE_BLOCKS];
    struct lorac_tensor_spec specs[LORAC_STATE_BLOCKS] = {0};
    struct lorac_buf temp = {0}; // lorac_run_sweep() removes what is called so
    size_t n = a ? lorac_state_blocks(block, a, o) : 0;
    for (size_t i = 0; i < n; i++) {
        specs[i] = (struct lorac_tensor_spec){
            .name = block[i].name, .dtype = LORAC_F32, .n_dims = 1, .dims = {block[i].n}};
    }
    char text[N_FIELDS][NUMBER];
    const char *meta[2 * N_FIELDS];
    write_fields(text, s);
    for (size_t i = 0; i < N_FIELDS; i++) {
        meta[2 * i] = fields[i].name;
        meta[2 * i + 1] = text[i];
    }
    struct fill f = {a ? a->model->dev : NULL, block};
    lorac_buf_printf(&temp, "%s.tmp-new", path);
    if (temp.no_memory) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory to write it", path); }
    enum lorac_status st =
        lorac_safetensors_write(temp.at, specs, n, meta, N_FIELDS, fill, &f, err);
    if (!st) { st = compare(temp.at, text, &f, n, err); }
    if (!st) { st = lorac_file_replace(path, temp.at, err); }
    if (st) { lorac_discard(temp.at); }
    lorac_buf_free(&temp);
    return st;
}

static enum lorac_status read_field(struct lorac_state *s, size_t i,
                                    const struct lorac_checkpoint *c, const char *path,
                                    struct lorac_err *err)
{
    const char *text = lorac_checkpoint_metadata(c, fields[i].name);
    char *end = NULL;
    char *to = (char *)s + fields[i].offset;
    const double missing = (double)NAN;
    if (!text && i >= N_FIRST) {
        if (fields[i].real) { memcpy(to, &missing, sizeof missing); }
        return LORAC_OK;
    }
    errno = 0;
    if (text && fields[i].real) {
        double real = lorac_strtod(text, &end);
        memcpy(to, &real, sizeof real);
    } else if (text && text[0] != '-') {
        uint64_t count = strtoull(text, &end, 10);
        memcpy(to, &count, sizeof count);
    }
    if (!text || !end || end == text || *end || errno == ERANGE) {
        return lorac_fail(err, LORAC_EFORMAT, "%s: '%s' is %s, a number was expected", path,
                          fields[i].name, text ? text : "missing");
    }
    return LORAC_OK;
}

enum lorac_status lorac_state_read(struct lorac_state *s, struct lorac_adapter *a,
                                   struct lorac_optim *o, const char *path, struct lorac_err *err)
{
    struct lorac_checkpoint *c = NULL;
    struct lorac_state_block block[LORAC_STATE_BLOCKS];
    size_t n = lorac_state_blocks(block, a, o);
    *s = (struct lorac_state){0};
    enum lorac_status st = lorac_checkpoint_open(&c, path, err);
    for (size_t i = 0; i < N_FIELDS && !st; i++) {
        st = read_field(s, i, c, path, err);
    }
    if (!st && s->step == 0 && lorac_checkpoint_count(c) == 0) { // they are what they were then
        n = 0;
        if (lorac_optim_steps(o)) {
            st = lorac_fail(err, LORAC_EUSER,
                            "%s: is of no step yet and holds no parameters, but this adapter has "
                            "done %zu steps; open it anew",
                            path, lorac_optim_steps(o));
        }
    }
    if (!st && lorac_checkpoint_count(c) != n) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: holds %zu tensors, %zu were expected", path,
                        lorac_checkpoint_count(c), n);
    }
    for (size_t i = 0; i < n && !st; i++) {
        const struct lorac_state_block *b = &block[i];
        const struct lorac_tensor *t = lorac_checkpoint_find(c, b->name);
        if (!t || t->dtype != LORAC_F32 || t->n != b->n) {
            st = lorac_fail(err, LORAC_EFORMAT,
                            "%s: tensor '%s' is missing or has not the %zu numbers of this adapter",
                            path, b->name, b->n);
            break;
        }
        a->model->dev->ops->write(a->model->dev, b->at, t->data, t->n * sizeof(float));
    }
    if (!st) { st = lorac_adapter_refresh(a, err); }
    if (!st && !lorac_checkpoint_metadata(c, "stop_best")) {
        s->stop_best = s->best;
    } // one metric for both
    // NaN says that a score was not measured
    s->best_scores.has_accuracy = !isnan(s->best_scores.accuracy);
    s->best_scores.has_exact_match = !isnan(s->best_scores.exact_match);
    if (!st) { lorac_optim_set_steps(o, (size_t)s->step); }
    lorac_checkpoint_close(c);
    return st;
}
