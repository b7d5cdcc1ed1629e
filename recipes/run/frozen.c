/* frozen.c - see frozen.h. */
#include "recipes/run/frozen.h"

#include "base/core/file.h"
#include "base/core/machine.h"
#include "base/core/mem.h"
#include "base/core/scratch.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { LAYERS_ONE_OF = 8, MIB = 20 };
static const char key[] = "train.cache_frozen_prefix";

struct lorac_frozen {
    const struct lorac_dataset *set; // borrowed
    size_t layers, max_rows;         // that it is of; of a batch
    size_t rows, C;
    size_t common; // rows that all examples begin with: 0 .. common - 1 of what is kept
    size_t *start; // (examples) where the others of each begin
    float *memory; // (rows,C), or NULL:
    int file;      // the same
    float *x;      // (max_rows,C) of a batch
};

/* ---- what is kept ---- */

/* What all examples begin with; of an encoder nothing: a row depends on its whole text. */
static size_t common_of(const struct lorac_dataset *set)
{
    const struct lorac_target_frame *f = lorac_dataset_frame(set);
    return f && f->bidirectional ? 0 : lorac_dataset_counts(set)->common;
}

/* How often a row of the loader is to be read. */
static enum lorac_status count_passes(double *out, const struct lorac_trainer_options *o,
                                      struct lorac_err *err)
{
    size_t steps = o->epochs;
    double steps_per_epoch = 1.0;
    enum lorac_status st =
        o->steps ? lorac_trainer_length(&steps, &steps_per_epoch, o, err) : LORAC_OK;
    *out = (double)steps / steps_per_epoch;
    return st;
}

/* Where nothing is gained, whatever the room: why. */
static const char *idle(const struct lorac_trainer_options *o, size_t layers, double passes)
{
    if (lorac_loader_objective(o->loader)->masks) {
        return "objective: masked_lm hides other tokens of a row each time that it is read";
    }
    if (layers == 0) {
        return "the embedding or a module of layer 0 is adapted, so no layer is frozen; with "
               "adapter.layers: last:N all but the last N are";
    }
    if (!(passes > 1.0)) { return "no training row is read twice (train.epochs, train.steps)"; }
    return NULL;
}

static size_t in_memory(const struct lorac_trainer_frozen *c)
{
    return c->layers && !c->on_disk ? c->bytes : 0;
}

static enum lorac_status choose_place(struct lorac_trainer_frozen *c,
                                      const struct lorac_trainer_options *o, size_t layers,
                                      struct lorac_err *err)
{
    const struct lorac_dataset *set = lorac_loader_dataset(o->loader);
    bool on = o->cache_frozen_prefix == LORAC_RECIPE_CACHE_ON;
    const char *dir = lorac_ranks_count(o->ranks) > 1 ? NULL : o->dir;
    c->rows = lorac_dataset_all_rows(set) - common_of(set) * (lorac_dataset_size(set) - 1);
    c->bytes = c->rows * o->adapter->model->config.C * sizeof(float);
    c->on_disk = c->bytes > o->frozen_bytes;
    size_t room = c->on_disk && dir ? lorac_scratch_room(dir) : 0;
    bool fits = !c->on_disk || c->bytes <= (on ? room : room / 2);
    if (fits) {
        c->layers = layers;
        return LORAC_OK;
    }
    (void)snprintf(c->why, sizeof c->why,
                   "%s: %s: the rows that leave the frozen layers take %zu MiB, and there are %zu "
                   "of memory for them, or %zu on the disk of output.dir",
                   key, on ? "on" : "not done", c->bytes >> MIB, o->frozen_bytes >> MIB,
                   (on ? room : room / 2) >> MIB);
    return on ? lorac_fail(err, LORAC_EUSER, "%s", c->why) : LORAC_OK;
}

enum lorac_status lorac_frozen_choose(struct lorac_trainer_frozen *out,
                                      const struct lorac_trainer_options *o,
                                      const struct lorac_socket *socket, struct lorac_err *err)
{
    const struct lorac_model *m = o->adapter->model;
    size_t layers = lorac_frozen_layers(m, socket);
    bool on = o->cache_frozen_prefix == LORAC_RECIPE_CACHE_ON;
    double passes = 0.0;
    *out = (struct lorac_trainer_frozen){0};
    if (o->cache_frozen_prefix == LORAC_RECIPE_CACHE_OFF) { return LORAC_OK; }
    if (!on && layers * LAYERS_ONE_OF < m->config.L) { return LORAC_OK; }
    enum lorac_status st = count_passes(&passes, o, err);
    if (st) { return st; }
    const char *why = idle(o, layers, passes);
    if (why && on) { return lorac_fail(err, LORAC_EUSER, "%s: on has no effect: %s", key, why); }
    if (!why) { st = choose_place(out, o, layers, err); }
    if (o->evaluations > 1) { out->valid_room = o->frozen_bytes - in_memory(out); }
    out->valid_layers = layers;
    return st;
}

enum lorac_status lorac_frozen_agree(struct lorac_trainer_frozen *c, struct lorac_ranks *ranks,
                                     enum lorac_status st, struct lorac_err *err)
{
    double lacking = c->layers == 0;
    st = lorac_ranks_add(&lacking, 1, ranks, st, err);
    if (lacking > 0.0) { c->layers = 0; }
    return st;
}

size_t lorac_frozen_bytes(const struct lorac_trainer_frozen *c, const struct lorac_dataset *set,
                          size_t max_rows)
{
    if (c->layers == 0) { return 0; }
    return in_memory(c) + c->bytes / c->rows * max_rows + lorac_dataset_size(set) * sizeof(size_t);
}

size_t lorac_frozen_memory(void)
{
    size_t quarter = lorac_machine_memory() / 4;
    size_t half = lorac_machine_available() / 2; // 0: unknown
    return half && half < quarter ? half : quarter;
}

/* ---- rows in and out ---- */

enum way { STORE, LOAD };

/* Rows of example i that stand at positions from .. from + n - 1: x (n,C) to what is kept, or back.
 */
static enum lorac_status move(struct lorac_frozen *f, enum way way, float *x, size_t i, size_t from,
                              size_t n, struct lorac_err *err)
{
    size_t row = f->C * sizeof *x;
    enum lorac_status st = LORAC_OK;
    while (n > 0 && !st) {
        bool common = from < f->common;
        size_t at = common ? from : f->start[i] + from - f->common;
        size_t some = common && n > f->common - from ? f->common - from : n;
        float *kept = f->memory ? f->memory + at * f->C : NULL;
        if (kept) {
            memcpy(way == STORE ? kept : x, way == STORE ? x : kept, some * row);
        } else {
            st = way == STORE ? lorac_scratch_write(f->file, x, some * row, at * row, err)
                              : lorac_scratch_read(x, some * row, f->file, at * row, err);
        }
        x += some * f->C;
        from += some;
        n -= some;
    }
    return st;
}

/* Rows of a segment, which are example i's, in f->x (N,C): those at positions from `from` on. */
static enum lorac_status move_segment(struct lorac_frozen *f, enum way way,
                                      const struct lorac_segment *s, size_t i, size_t from,
                                      struct lorac_err *err)
{
    size_t skip = from > s->position ? from - s->position : 0;
    if (skip >= s->n) { return LORAC_OK; }
    return move(f, way, f->x + (s->row + skip) * f->C, i, s->position + skip, s->n - skip, err);
}

/* A batch of n examples has a segment of each, in the order of what they share: the segments in
 * front of them. */
enum lorac_status lorac_frozen_read(const float **x, struct lorac_frozen *f,
                                    const struct lorac_batch *b, const uint32_t *examples, size_t n,
                                    struct lorac_err *err)
{
    const struct lorac_segment *own = b->segments + b->S - n;
    int32_t read = 0; // of those that are shared: they are of the first example that goes on there
    enum lorac_status st = LORAC_OK;
    *x = f->x;
    for (size_t k = 0; k < n && !st; k++) {
        st = move_segment(f, LOAD, &own[k], examples[k], 0, err);
        for (int32_t s = own[k].parent; s >= read && !st; s = b->segments[s].parent) {
            st = move_segment(f, LOAD, &b->segments[s], examples[k], 0, err);
        }
        read = own[k].parent < read ? read : own[k].parent + 1;
    }
    return st;
}

/* f->x (N,C), of a micro-batch in the order of the table. What all examples begin with is stored
 * with the first. */
static enum lorac_status store(struct lorac_frozen *f, const struct lorac_batch *b,
                               const uint32_t *examples, size_t n, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t k = 0; k < n; k++) {
        size_t from = examples[k] ? f->common : 0;
        for (int32_t s = (int32_t)(b->S - n + k); s >= 0 && !st; s = b->segments[s].parent) {
            st = move_segment(f, STORE, &b->segments[s], examples[k], from, err);
        }
    }
    return st;
}

/* ---- filling ---- */

static enum lorac_status take_room(struct lorac_frozen *f, const struct lorac_trainer_frozen *c,
                                   const char *dir, size_t max_rows, struct lorac_err *err)
{
    size_t n = lorac_dataset_size(f->set);
    f->common = common_of(f->set);
    f->C = c->bytes / c->rows / sizeof *f->x;
    f->start = lorac_mem_new(n, sizeof *f->start);
    f->x = lorac_mem_new(max_rows, f->C * sizeof *f->x);
    if (f->start && f->x && !c->on_disk) {
        f->memory = lorac_mem_new(c->rows, f->C * sizeof *f->memory);
    }
    if (!f->start || !f->x || (!c->on_disk && !f->memory)) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory for %zu MiB of rows of frozen layers (%s)",
                          c->bytes >> MIB, key);
    }
    size_t at = f->common;
    for (size_t i = 0; i < n; i++) {
        f->start[i] = at;
        at += lorac_dataset_rows(f->set, i) - f->common;
    }
    assert(at == c->rows);
    f->rows = at;
    enum lorac_status st = c->on_disk ? lorac_dir_make(dir, err) : LORAC_OK;
    return st || !c->on_disk ? st : lorac_scratch_open(&f->file, dir, c->bytes, err);
}

static enum lorac_status fill(struct lorac_frozen *f, struct lorac_ranks *ranks,
                              struct lorac_pass *pass, size_t max_rows, lorac_progress_fn *progress,
                              void *self, struct lorac_err *err)
{
    const struct lorac_loader_options o = {.batch_tokens = max_rows,
                                           .share_prefix = LORAC_SHARE_AUTO};
    struct lorac_loader *rows = NULL;
    struct lorac_batch *b = NULL;
    size_t done = 0;
    enum lorac_status st = lorac_loader_open(&rows, f->set, &o, err);
    if (!st) {
        st = lorac_batch_new(&b, max_rows, lorac_loader_max_segments(rows),
                             lorac_loader_max_targets(rows), err);
    }
    for (size_t i = 0; !st && lorac_loader_state(rows).epoch == 0; i++) {
        if (f->memory && i % lorac_ranks_count(ranks) != lorac_ranks_rank(ranks)) {
            lorac_loader_skip(rows); // another's: zero here
            continue;
        }
        const uint32_t *examples = NULL;
        size_t n = 0;
        if (progress && !progress(self, (double)done / (double)lorac_dataset_size(f->set))) {
            st = lorac_fail(err, LORAC_ESTOP, "interrupted in the frozen layers");
        }
        if (!st) { st = lorac_loader_next(rows, b, &examples, &n, err); }
        if (!st) { st = lorac_pass_forward_frozen(f->x, pass, b, err); }
        if (!st) { st = store(f, b, examples, n, err); }
        done = (size_t)lorac_loader_state(rows).position;
    }
    lorac_batch_free(b);
    lorac_loader_close(rows);
    return f->memory ? lorac_ranks_sum(f->memory, f->rows * f->C, ranks, st, err) : st;
}

enum lorac_status lorac_frozen_new(struct lorac_frozen **out, const struct lorac_trainer_frozen *c,
                                   const struct lorac_dataset *set, const char *dir,
                                   struct lorac_ranks *ranks, struct lorac_pass *pass,
                                   size_t max_rows, lorac_progress_fn *progress, void *self,
                                   struct lorac_err *err)
{
    *out = NULL;
    struct lorac_frozen *f = lorac_mem_new(1, sizeof *f);
    if (!f) { return lorac_fail(err, LORAC_ENOMEM, "no memory for rows of frozen layers"); }
    f->set = set;
    f->layers = c->layers;
    f->max_rows = max_rows;
    f->file = -1;
    enum lorac_status st = take_room(f, c, dir, max_rows, err);
    if (!st) { st = fill(f, ranks, pass, max_rows, progress, self, err); }
    if (st == LORAC_EIO) { lorac_err_add(err, " (%s: off does without)", key); }
    if (st) {
        lorac_frozen_free(f);
        f = NULL;
    }
    *out = f;
    return st;
}

void lorac_frozen_free(struct lorac_frozen *f)
{
    if (!f) { return; }
    lorac_scratch_close(f->file);
    lorac_mem_free(f->memory);
    lorac_mem_free(f->start);
    lorac_mem_free(f->x);
    lorac_mem_free(f);
}

/* ---- from one trainer to the next ---- */

struct lorac_frozen *lorac_frozen_take(struct lorac_frozen **rows,
                                       const struct lorac_trainer_frozen *c,
                                       const struct lorac_dataset *set, size_t max_rows)
{
    struct lorac_frozen *f = *rows;
    *rows = NULL;
    if (f && f->set == set && f->layers == c->layers && f->max_rows == max_rows && !c->on_disk) {
        return f;
    }
    lorac_frozen_free(f);
    return NULL;
}

void lorac_frozen_leave(struct lorac_frozen **rows, struct lorac_frozen *f)
{
    if (f && f->memory) {
        *rows = f;
    } else {
        lorac_frozen_free(f);
    }
}

size_t lorac_frozen_held(const struct lorac_frozen *f)
{
    return f ? f->rows * f->C * sizeof *f->memory : 0;
}
