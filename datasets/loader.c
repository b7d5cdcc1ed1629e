/* loader.c - epochs of shuffled examples, cut into micro-batches without padding; see datasets.h.
 */
#include "base/core/mem.h"
#include "base/core/rng.h"
#include "datasets/dataset.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct lorac_loader {
    const struct lorac_dataset *d; // borrowed
    struct lorac_loader_options o;
    struct lorac_loader_state state;
    uint32_t *order;               // (n) of epoch `order_epoch`
    uint64_t order_epoch;          // ORDERLESS before the first
    size_t max_rows, max_examples; // of a micro-batch
    struct lorac_example e;
    struct lorac_ids ids;    // of the micro-batch's examples, one behind the other
    struct lorac_ids types;  // theirs, of pairs
    struct lorac_ids labels; // and of all of them the labels
    struct lorac_gaps gaps;
    struct piece *example; // (max_examples) where each lies
    uint32_t *given;       // (max_examples) the same of the dataset, as they are placed
    size_t rows;           // that they are, each on its own
    uint64_t mask_key;     // of the draws
};
#define ORDERLESS UINT64_MAX

struct piece {
    size_t i;            // of the dataset
    size_t begin, n;     // ids[begin, begin + n)
    size_t trained_from; // of its n
    size_t gaps, n_gaps; // of the gaps' numbers
    size_t labels, n_labels;
    size_t scored; // its rows that score
    double number;
    const int32_t *at;          // its ids
    size_t shareable;           // of them: those before the one that scores
    struct lorac_prefix prefix; // those that it does share
};
enum { SHARE_ONE_OF = 8 }; // rows of those that would share, or it is not worth a segment

struct lorac_loader_options lorac_loader_options_default(void)
{
    return (struct lorac_loader_options){.batch_tokens = 512, .shuffle = true, .seed = 1234};
}

static size_t rows_of(const struct lorac_dataset *d, size_t i)
{
    return lorac_dataset_rows(d, i);
}

static void put_in_order(uint32_t *order, const struct lorac_loader *l, uint64_t epoch)
{
    if (l->o.shuffle) {
        lorac_rng_shuffle(order, l->d->n, lorac_rng_key(l->o.seed, "shuffle"), epoch);
        return;
    }
    for (size_t i = 0; i < l->d->n; i++) {
        order[i] = (uint32_t)i;
    }
}

/* How many examples the micro-batch takes that begins at `position`: at least one. */
static size_t fill(const struct lorac_loader *l, const uint32_t *order, size_t position)
{
    size_t rows = 0;
    size_t n = 0;
    while (position + n < l->d->n && (l->o.batch_size == 0 || n < l->o.batch_size)) {
        rows += rows_of(l->d, order[position + n]);
        if (n > 0 && l->o.batch_tokens > 0 && rows > l->o.batch_tokens) { break; }
        n++;
    }
    return n;
}

/* Bounds that no order can exceed: the most rows are taken by the longest examples, the most
 * examples are the shortest. */
static enum lorac_status measure(struct lorac_loader *l, struct lorac_err *err)
{
    const struct lorac_dataset *d = l->d;
    size_t longest = d->counts.longest - d->objective->ahead;
    size_t size = l->o.batch_size ? l->o.batch_size : SIZE_MAX;
    size_t tokens = l->o.batch_tokens ? l->o.batch_tokens : SIZE_MAX;
    size_t *of_length = lorac_mem_new(longest + 1, sizeof *of_length); // examples of each length
    if (!of_length) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a loader"); }
    for (size_t i = 0; i < d->n; i++) {
        of_length[rows_of(d, i)]++;
    }
    size_t left = size;
    for (size_t n = longest; n > 0 && left > 0; n--) {
        size_t some = of_length[n] < left ? of_length[n] : left;
        l->max_rows += some * n;
        left -= some;
    }
    if (l->max_rows > tokens) { l->max_rows = tokens > longest ? tokens : longest; }
    left = tokens;
    for (size_t n = 1; n <= longest && left >= n; n++) {
        size_t some = of_length[n] < left / n ? of_length[n] : left / n;
        l->max_examples += some;
        left -= some * n;
    }
    if (l->max_examples > size) { l->max_examples = size; }
    if (l->max_examples == 0) { l->max_examples = 1; } // each is longer than batch_tokens
    if (l->o.dense) { l->max_examples = lorac_min(lorac_min(size, tokens), d->n); } // a row of each
    lorac_mem_free(of_length);
    l->example = lorac_mem_new(l->max_examples, sizeof *l->example);
    l->given = lorac_mem_new(l->max_examples, sizeof *l->given);
    return l->example && l->given ? LORAC_OK
                                  : lorac_fail(err, LORAC_ENOMEM, "no memory for a loader");
}

enum lorac_status lorac_loader_open(struct lorac_loader **out, const struct lorac_dataset *d,
                                    const struct lorac_loader_options *o, struct lorac_err *err)
{
    *out = NULL;
    if (o->batch_tokens == 0 && o->batch_size == 0) {
        return lorac_fail(err, LORAC_EUSER, "batch_tokens and batch_size are both 0, expected one");
    }
    enum lorac_status st = LORAC_OK;
    struct lorac_loader *l = lorac_mem_new(1, sizeof *l);
    if (l) { l->order = lorac_mem_new(d->n, sizeof *l->order); }
    if (!l || !l->order) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory for a loader");
        goto done;
    }
    l->d = d;
    l->o = *o;
    if (!l->o.objective) { l->o.objective = d->objective; }
    if (d->frame && d->frame->bidirectional) { l->o.share_prefix = LORAC_SHARE_OFF; }
    l->o.dense = o->dense && o->batch_tokens && l->o.share_prefix != LORAC_SHARE_OFF;
    l->order_epoch = ORDERLESS;
    l->mask_key = lorac_rng_key(o->seed, "mask");
    if (l->o.objective->target != d->objective->target ||
        l->o.objective->masks != d->objective->masks) {
        st = lorac_fail(err, LORAC_EUSER, "%s: was read for the objective %s, not for %s", d->file,
                        d->objective->name, l->o.objective->name);
    }
    if (!st) { st = measure(l, err); }
done:
    if (st) {
        lorac_loader_close(l);
        l = NULL;
    }
    *out = l;
    return st;
}

void lorac_loader_close(struct lorac_loader *l)
{
    if (!l) { return; }
    lorac_mem_free(l->order);
    lorac_mem_free(l->example);
    lorac_mem_free(l->given);
    lorac_ids_free(&l->ids);
    lorac_ids_free(&l->types);
    lorac_ids_free(&l->labels);
    lorac_mem_free(l->gaps.at);
    lorac_example_free(&l->e);
    lorac_mem_free(l);
}

const struct lorac_dataset *lorac_loader_dataset(const struct lorac_loader *l)
{
    return l->d;
}

const struct lorac_objective *lorac_loader_objective(const struct lorac_loader *l)
{
    return l->o.objective;
}

size_t lorac_loader_max_rows(const struct lorac_loader *l)
{
    return l->max_rows;
}

size_t lorac_loader_max_segments(const struct lorac_loader *l)
{
    return l->o.share_prefix == LORAC_SHARE_OFF ? l->max_examples : 2 * l->max_examples;
}

size_t lorac_loader_max_targets(const struct lorac_loader *l)
{
    enum lorac_target target = l->o.objective->target;
    bool text = target != LORAC_TARGET_NONE && target != LORAC_TARGET_TAGS; // one row of it scores
    return (text ? l->max_examples : l->max_rows) * lorac_targets_a_row(l->d, l->o.label_smoothing);
}

size_t lorac_loader_rows(const struct lorac_loader *l)
{
    return l->rows;
}

static void seek_epoch(struct lorac_loader *l, uint64_t epoch)
{
    if (l->order_epoch == epoch) { return; }
    put_in_order(l->order, l, epoch);
    l->order_epoch = epoch;
}

size_t lorac_loader_count(struct lorac_loader *l, uint64_t epoch)
{
    size_t n = 0;
    assert(!l->o.dense);
    seek_epoch(l, epoch); // lorac_loader_next goes back to its own
    for (size_t at = 0; at < l->d->n; at += fill(l, l->order, at)) {
        n++;
    }
    return n;
}

/* Examples that are put in order to count micro-batches: some ten seconds' work. */
#define MAX_COUNTED 1e8

enum lorac_status lorac_loader_total(size_t *out, struct lorac_loader *l, size_t epochs,
                                     struct lorac_err *err)
{
    const double n = (double)l->d->n;
    bool alike = !l->o.shuffle || !l->o.batch_tokens; // every epoch has as many
    *out = 0;
    if (!alike && (double)epochs * n > MAX_COUNTED) {
        return lorac_fail(err, LORAC_EUSER,
                          "train.epochs: %zu passes over %zu rows are too many to count; expected "
                          "at most %.0f, or train.steps",
                          epochs, l->d->n, fmax(1.0, floor(MAX_COUNTED / n)));
    }
    for (size_t e = 0; e < (alike ? 1 : epochs); e++) {
        *out += lorac_loader_count(l, e);
    }
    if (alike) { *out *= epochs; }
    return LORAC_OK;
}

struct lorac_loader_state lorac_loader_state(const struct lorac_loader *l)
{
    return l->state;
}

enum lorac_status lorac_loader_seek(struct lorac_loader *l, struct lorac_loader_state state,
                                    struct lorac_err *err)
{
    if (state.position >= l->d->n || state.epoch == ORDERLESS) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: position %llu of epoch %llu, expected less than its %zu examples "
                          "(another table?)",
                          l->d->file, (unsigned long long)state.position,
                          (unsigned long long)state.epoch, l->d->n);
    }
    l->state = state;
    return LORAC_OK;
}

static enum lorac_status add_all(struct lorac_ids *to, const struct lorac_ids *ids,
                                 struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t t = 0; t < ids->n && !st; t++) {
        st = lorac_ids_add(to, ids->at[t], err);
    }
    return st;
}

/* Example i of the dataset behind the others of the micro-batch, as its k-th. */
static enum lorac_status read_example(struct lorac_loader *l, size_t k, size_t i,
                                      struct lorac_err *err)
{
    const struct lorac_example *e = &l->e;
    const struct lorac_masking m = {l->mask_key, l->state.epoch};
    enum lorac_status st = lorac_dataset_example(&l->e, l->d, i, err);
    if (!st && l->d->objective->masks) { st = lorac_example_mask(&l->e, l->d, i, &m, err); }
    if (st) { return st; }
    l->example[k] = (struct piece){.i = i,
                                   .begin = l->ids.n,
                                   .n = e->ids.n,
                                   .trained_from = e->trained_from,
                                   .gaps = l->gaps.n,
                                   .n_gaps = e->gaps.n,
                                   .labels = l->labels.n,
                                   .n_labels = e->labels.n,
                                   .scored = lorac_example_trained(e, l->d),
                                   .number = e->number};
    st = add_all(&l->ids, &e->ids, err);
    if (!st) { st = add_all(&l->types, &e->types, err); }
    if (!st) { st = add_all(&l->labels, &e->labels, err); }
    return st ? st : lorac_gaps_add(&l->gaps, e->gaps.at, e->gaps.n, err);
}

/* ---- what examples begin with alike ---- */

bool lorac_share_is_worth(enum lorac_share how, size_t n, size_t P, size_t rows)
{
    if (how == LORAC_SHARE_OFF || n < 2 || P == 0) { return false; }
    return how == LORAC_SHARE_ON || (n - 1) * P * SHARE_ONE_OF >= rows;
}

static size_t shareable(const struct lorac_loader *l, const struct piece *x)
{
    const struct lorac_target_frame *f = l->d->frame;
    bool tags = l->o.objective->target == LORAC_TARGET_TAGS;
    return !f || tags ? x->trained_from - 1 : lorac_text_row_of(f->row, f->pad, x->at, x->n);
}

static int by_tokens(const void *x, const void *y)
{
    const struct piece *a = x;
    const struct piece *b = y;
    int order = lorac_ids_compare(a->at, a->n, b->at, b->n);
    return order ? order : a->i < b->i ? -1 : 1;
}

/* What n examples, in the order of their tokens, have in common stands in the batch once, where it
 * is worth a segment, and so does what some of them have in common beyond it:
 *
 *   Which is it? -+- the sky is -+- blue  -> yes
 *                 |              +- green -> no
 *                 +- grass is blue        -> no
 *
 * All go on from `prefix` already, a chain of `depth` segments. Returns the rows that are shared;
 * where b is NULL nothing is placed. */
static size_t share(struct lorac_batch *b, const struct lorac_loader *l, struct piece *x, size_t n,
                    struct lorac_prefix prefix, size_t depth)
{
    size_t P = x[0].shareable;
    size_t rows = 0;
    size_t shared = 0;
    for (size_t k = 0; k < n; k++) {
        P = lorac_ids_common(x[0].at, P, x[k].at, x[k].shareable);
        rows += rows_of(l->d, x[k].i) - prefix.n;
    }
    size_t more = P - prefix.n;
    bool fits = depth + 1 < LORAC_MAX_CHAIN && (!b || lorac_batch_fits(b, more, 0));
    if (fits && lorac_share_is_worth(l->o.share_prefix, n, more, rows)) {
        const int32_t *ids = x[0].at + prefix.n;
        if (b) {
            prefix.segment = prefix.n ? lorac_batch_add(b, ids, more, prefix.segment)
                                      : lorac_dataset_place(b, l->d, ids, more);
        }
        prefix.n = P;
        depth++;
        shared = more;
    }
    for (size_t k = 0, end = 1; k < n; k = end++) {
        x[k].prefix = prefix;
        while (end < n && x[k].shareable > P && x[end].shareable > P &&
               x[end].at[P] == x[k].at[P]) {
            end++;
        }
        if (end - k > 1) { shared += share(b, l, x + k, end - k, prefix, depth); }
    }
    return shared;
}

/* n examples, which are read, in the order of their tokens. Returns the rows that they share. */
static size_t share_all(struct lorac_batch *b, const struct lorac_loader *l, struct piece *example,
                        size_t n)
{
    for (size_t k = 0; k < n; k++) {
        example[k].at = l->ids.at + example[k].begin;
        example[k].shareable = shareable(l, &example[k]);
    }
    qsort(example, n, sizeof *example, by_tokens);
    return n ? share(b, l, example, n, (struct lorac_prefix){0, -1}, 0) : 0;
}

/* Rows of n examples with what they share. */
static size_t rows_together(const struct lorac_loader *l, size_t n)
{
    size_t rows = share_all(NULL, l, l->example, n);
    for (size_t k = 0; k < n; k++) {
        rows += rows_of(l->d, l->example[k].i) - l->example[k].prefix.n;
    }
    return rows;
}

/* Of n examples the one that is i of the dataset. */
static void take_out(struct piece *x, size_t n, size_t i)
{
    size_t k = 0;
    while (x[k].i != i) {
        k++;
    }
    memmove(x + k, x + k + 1, (n - k - 1) * sizeof *x);
}

/* Read as many examples as run together in batch_tokens rows: *n of them, at least one. One more
 * can take more rows than its own, where what is worth a segment changes: so the last look is at
 * those that stay. */
static enum lorac_status read_dense(size_t *n, struct lorac_loader *l, struct lorac_err *err)
{
    const uint32_t *order = l->order + l->state.position;
    size_t most = lorac_min(l->d->n - (size_t)l->state.position, l->max_examples);
    size_t rows = 0;
    for (*n = 0; *n < most && rows <= l->o.batch_tokens; ++*n) {
        enum lorac_status st = read_example(l, *n, order[*n], err);
        if (st) { return st; }
        rows += rows_of(l->d, order[*n]);
        if (rows > l->o.batch_tokens) { rows = rows_together(l, *n + 1); }
    }
    while (*n > 1 && rows_together(l, *n) > l->o.batch_tokens) {
        take_out(l->example, *n, order[*n - 1]);
        --*n;
    }
    for (size_t k = 0; k < *n; k++) {
        l->rows += rows_of(l->d, order[k]);
    }
    return LORAC_OK;
}

static enum lorac_status add_example(struct lorac_batch *b, const struct lorac_loader *l,
                                     const struct piece *x, struct lorac_err *err)
{
    const struct lorac_objective *objective = l->o.objective;
    uint32_t *gaps = x->n_gaps ? l->gaps.at + x->gaps : NULL;
    int32_t *labels = x->n_labels ? l->labels.at + x->labels : NULL;
    struct lorac_example e = {.ids = {l->ids.at + x->begin, x->n, x->n}, // borrowed, as the others
                              .trained_from = x->trained_from,
                              .gaps = {gaps, x->n_gaps, x->n_gaps},
                              .labels = {labels, x->n_labels, x->n_labels},
                              .number = x->number};
    const struct lorac_placing how = {.set = l->d,
                                      .prefix = x->prefix,
                                      .label_weight = l->o.label_weight,
                                      .label_smoothing = l->o.label_smoothing};
    size_t targets = x->scored * lorac_targets_a_row(l->d, l->o.label_smoothing);
    if (l->types.n) { e.types = (struct lorac_ids){l->types.at + x->begin, x->n, x->n}; }
    if (!lorac_batch_fits(b, rows_of(l->d, x->i) - x->prefix.n, targets)) {
        return lorac_fail(err, LORAC_EUSER,
                          "the batch holds %zu rows and %zu segments, expected "
                          "%zu and %zu",
                          b->max_rows, b->max_segments, l->max_rows, lorac_loader_max_segments(l));
    }
    size_t first = b->T;
    double surplus = b->surplus;
    objective->place(b, &e, &how);
    if (objective->weigh) { b->surplus = surplus; }
    for (size_t t = first; t < b->T && objective->weigh; t++) {
        b->weight[t] = objective->weigh(l->d, x->i, t - first, b->T - first);
    }
    return LORAC_OK;
}

/* n of the micro-batch's examples, which are read: what they share, then a segment of each. */
static enum lorac_status place(struct lorac_batch *b, struct lorac_loader *l, struct piece *example,
                               size_t n, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    if (l->o.share_prefix != LORAC_SHARE_OFF) { (void)share_all(b, l, example, n); }
    for (size_t k = 0; k < n && !st; k++) {
        l->given[k] = (uint32_t)example[k].i;
        st = add_example(b, l, &example[k], err);
    }
    return st;
}

/* Go on behind the micro-batch of `count` examples. */
static void move_on(struct lorac_loader *l, size_t count)
{
    l->state.position += count;
    if (l->state.position == l->d->n) {
        l->state = (struct lorac_loader_state){.epoch = l->state.epoch + 1};
    }
}

/* The part of a micro-batch of `rows` rows that the example belongs to which begins at row `at`. */
static size_t part_of(size_t at, size_t rows, size_t parts)
{
    return at * parts / rows;
}

static void begin(struct lorac_loader *l, struct lorac_batch *b)
{
    seek_epoch(l, l->state.epoch);
    lorac_batch_clear(b);
    l->ids.n = l->types.n = l->labels.n = l->gaps.n = 0;
    l->rows = 0;
}

enum lorac_status lorac_loader_next(struct lorac_loader *l, struct lorac_batch *b,
                                    const uint32_t **examples, size_t *n, struct lorac_err *err)
{
    if (!l->o.dense) { return lorac_loader_next_part(l, b, 0, 1, examples, n, err); }
    begin(l, b);
    enum lorac_status st = read_dense(n, l, err);
    if (!st) { st = place(b, l, l->example, *n, err); }
    if (st) { return st; }
    *examples = l->given;
    move_on(l, *n);
    return LORAC_OK;
}

enum lorac_status lorac_loader_next_part(struct lorac_loader *l, struct lorac_batch *b, size_t part,
                                         size_t parts, const uint32_t **examples, size_t *n,
                                         struct lorac_err *err)
{
    begin(l, b);
    const uint32_t *order = l->order + l->state.position;
    size_t count = fill(l, l->order, (size_t)l->state.position);
    size_t rows = 0;
    assert(count > 0 && !l->o.dense);
    for (size_t k = 0; k < count; k++) {
        rows += rows_of(l->d, order[k]);
    }
    size_t from = 0; // examples in front of the part
    size_t to = 0;
    enum lorac_status st = LORAC_OK;
    for (size_t at = 0; to < count && !st; to++) { // those in front as well: how many rows score
        size_t of = part_of(at, rows, parts);
        if (of > part) { break; }
        st = read_example(l, to, order[to], err);
        const struct piece *x = &l->example[to];
        at += rows_of(l->d, order[to]);
        if (of == part) {
            l->rows += st ? 0 : rows_of(l->d, x->i);
            continue;
        }
        from = to + 1;
        b->rows_before += st ? 0 : rows_of(l->d, x->i);
        b->scored_before += st ? 0 : x->scored;
    }
    if (!st) { st = place(b, l, l->example + from, to - from, err); }
    if (st) { return st; }
    *examples = l->given;
    *n = to - from;
    move_on(l, count);
    return LORAC_OK;
}

void lorac_loader_skip(struct lorac_loader *l)
{
    assert(!l->o.dense);
    seek_epoch(l, l->state.epoch);
    move_on(l, fill(l, l->order, (size_t)l->state.position));
}
