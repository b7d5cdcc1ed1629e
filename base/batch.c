/* batch.c - see batch.h. */
#include "base/batch.h"

#include "base/core/mem.h"

#include <assert.h>
#include <string.h>

enum lorac_status lorac_batch_new(struct lorac_batch **out, size_t max_rows, size_t max_segments,
                                  size_t max_targets, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_batch *b = lorac_mem_new(1, sizeof *b);
    if (b) {
        b->max_rows = max_rows;
        b->max_segments = max_segments;
        b->max_targets = max_targets;
        b->ids = lorac_mem_new(max_rows, sizeof *b->ids);
        b->position = lorac_mem_new(max_rows, sizeof *b->position);
        b->segments = lorac_mem_new(max_segments, sizeof *b->segments);
        b->head_row = lorac_mem_new(max_rows, sizeof *b->head_row);
        b->first = lorac_mem_new(max_rows + 1, sizeof *b->first);
        b->target = lorac_mem_new(max_targets, sizeof *b->target);
        b->weight = lorac_mem_new(max_targets, sizeof *b->weight);
        b->type = lorac_mem_new(max_rows, sizeof *b->type);
        b->value = lorac_mem_new(max_targets, sizeof *b->value);
    }
    if (!b || !b->ids || !b->position || !b->segments || !b->head_row || !b->first || !b->target ||
        !b->weight || !b->type || !b->value) {
        lorac_batch_free(b);
        return lorac_fail(err, LORAC_ENOMEM, "no memory for a batch of %zu rows", max_rows);
    }
    *out = b;
    return LORAC_OK;
}

size_t lorac_batch_bytes(size_t max_rows, size_t max_segments, size_t max_targets)
{
    const struct lorac_batch *b = NULL;
    size_t row = sizeof *b->ids + sizeof *b->position + sizeof *b->type + sizeof *b->head_row +
                 sizeof *b->first;
    size_t target = sizeof *b->target + sizeof *b->weight + sizeof *b->value;
    return max_rows * row + max_segments * sizeof *b->segments + max_targets * target;
}

void lorac_batch_free(struct lorac_batch *b)
{
    if (!b) { return; }
    lorac_mem_free(b->ids);
    lorac_mem_free(b->position);
    lorac_mem_free(b->segments);
    lorac_mem_free(b->head_row);
    lorac_mem_free(b->first);
    lorac_mem_free(b->target);
    lorac_mem_free(b->weight);
    lorac_mem_free(b->type);
    lorac_mem_free(b->value);
    lorac_mem_free(b);
}

void lorac_batch_clear(struct lorac_batch *b)
{
    b->N = b->S = b->U = b->T = 0;
    b->rows_before = b->scored_before = 0;
    b->surplus = 0.0;
    b->first[0] = 0;
}

bool lorac_batch_fits(const struct lorac_batch *b, size_t n, size_t targets)
{
    return n <= b->max_rows - b->N && b->S < b->max_segments && targets <= b->max_targets - b->T;
}

static int32_t add(struct lorac_batch *b, const int32_t *ids, size_t n, struct lorac_segment seg)
{
    assert(n + seg.past >= 1 && lorac_batch_fits(b, n, 0));
    seg.row = (uint32_t)b->N;
    seg.n = (uint32_t)n;
    if (n) { memcpy(b->ids + b->N, ids, n * sizeof *ids); }
    for (size_t i = 0; i < n; i++) {
        b->position[b->N + i] = seg.position + (uint32_t)i;
        b->type[b->N + i] = 0;
    }
    b->segments[b->S] = seg;
    b->N += n;
    return (int32_t)b->S++;
}

int32_t lorac_batch_add(struct lorac_batch *b, const int32_t *ids, size_t n, int32_t parent)
{
    return lorac_batch_add_cached(b, ids, n, parent, 0, 0, false);
}

int32_t lorac_batch_add_cached(struct lorac_batch *b, const int32_t *ids, size_t n, int32_t parent,
                               size_t cached, size_t past, bool keep)
{
    struct lorac_segment seg = {
        .parent = parent,
        .cached = (uint32_t)cached,
        .past = (uint32_t)past,
        .position = (uint32_t)past,
        .keep = keep,
    };
    if (parent >= 0) {
        int32_t chain[LORAC_MAX_CHAIN];
        assert((size_t)parent < b->S);
        assert(lorac_segment_chain(chain, b->segments, parent) < LORAC_MAX_CHAIN);
        const struct lorac_segment *p = &b->segments[parent];
        seg.position += p->position + p->n;
        seg.adapter = p->adapter;
    }
    return add(b, ids, n, seg);
}

void lorac_batch_want_logits(struct lorac_batch *b, size_t row)
{
    assert(row < b->N);
    if (b->U && b->head_row[b->U - 1] == row) { return; }
    assert(b->U == 0 || b->head_row[b->U - 1] < row);
    b->head_row[b->U++] = (uint32_t)row;
    b->first[b->U] = (uint32_t)b->T;
}

void lorac_batch_score(struct lorac_batch *b, size_t row, int32_t id)
{
    assert(b->T < b->max_targets);
    lorac_batch_want_logits(b, row);
    b->weight[b->T] = 1.0F;
    b->value[b->T] = 0.0F;
    b->target[b->T++] = id;
    b->first[b->U] = (uint32_t)b->T;
}
