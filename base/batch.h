/*
 * batch.h - what a model consumes: packed rows of several segments. There is no padding anywhere.
 *
 *   rows      0  1  2  3  4 | 5  6  7 | 8  9 | 10 11 12        N = 13 tokens
 *   segment   ------0------ | ---1--- | --2- | ----3---        S = 4
 *   parent         -1           0        0       -1
 *   position  0  1  2  3  4 | 5  6  7 | 5  6 |  0  1  2
 *
 * A segment sees itself causally and all of the segments that it continues: 1 and 2 above both go
 * on from 0, as two labels do that answer one prompt, and don't see each other. Rows of a key/value
 * cache may stand in front of its own, which earlier batches left there or which this one does;
 * with `keep` its own keys and values are put behind them. A segment may be nothing but such rows,
 * so that what is cached in several places continues each other, too: examples, a prompt behind
 * them, the beginning of an answer. That covers training rows, prompts, decoding with a cache,
 * label likelihoods and shared prefixes.
 *
 * Rows whose next token is scored stand in compressed form: row head_row[u] predicts the tokens
 * target[first[u]] .. target[first[u+1]-1]: one in training, as many as there are labels where
 * several answers branch off one prompt. Logits exist for these rows only. The loss is the sum of
 * weight[t] times the negative log-likelihood of target[t].
 *
 * All arrays are host memory of a fixed capacity, allocated once: filling a batch never allocates.
 */
#ifndef LORAC_BASE_BATCH_H
#define LORAC_BASE_BATCH_H

#include "base/compute/segment.h"
#include "base/core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

LORAC_API_BEGIN

/* What nll[t] is, of logits z (Z) of its row, its column k = target[t] and its number v = value[t].
 */
enum lorac_loss {
    LORAC_LOSS_SOFTMAX, // log(sum exp(z)) - z_k
    LORAC_LOSS_BINARY,  // log(1 + exp(z_k)) - v z_k
    LORAC_LOSS_SQUARED, // (z_k - v)^2
};

struct lorac_batch {
    size_t N, S;                       // rows, segments
    size_t U, T;                       // rows that score, tokens scored
    int32_t *ids;                      // (N)
    uint32_t *position;                // (N)
    int32_t *type;                     // (N) of tokens, which models with types look at; 0 unless
                                       // written after
    struct lorac_segment *segments;    // (S)
    uint32_t *head_row;                // (U) ascending
    uint32_t *first;                   // (U+1)
    int32_t *target;                   // (T)
    float *weight;                     // (T) what each weighs in the loss; 1 unless written after
    double surplus;                    // of their sum: what a mean isn't divided by; 0 unless set
    float *value;                      // (T) of losses that have one; 0 unless written after
    enum lorac_loss loss;              // softmax unless written after; cleared batches keep it
    size_t rows_before, scored_before; // that stand in front of these, but run elsewhere: what is
                                       // random of a row depends on where it stands
    size_t max_rows, max_segments, max_targets;
};

LORAC_MUST_CHECK enum lorac_status lorac_batch_new(struct lorac_batch **out, size_t max_rows,
                                                   size_t max_segments, size_t max_targets,
                                                   struct lorac_err *err);
/* Bytes that such a batch takes. */
size_t lorac_batch_bytes(size_t max_rows, size_t max_segments, size_t max_targets);
void lorac_batch_free(struct lorac_batch *b);
void lorac_batch_clear(struct lorac_batch *b); // N = S = U = T = 0, nothing before

/* True where `n` more rows in one more segment with `targets` scored tokens fit. */
bool lorac_batch_fits(const struct lorac_batch *b, size_t n, size_t targets);

/* Add a segment of n >= 1 tokens that begins on its own (parent -1) or continues segment `parent`.
 * Returns its index. Capacity is the caller's to check (assert). */
int32_t lorac_batch_add(struct lorac_batch *b, const int32_t *ids, size_t n, int32_t parent);

/* Add a segment that continues `parent` (or -1) and, behind it, `past` rows of the cache from
 * `cached` on. n may be 0. */
int32_t lorac_batch_add_cached(struct lorac_batch *b, const int32_t *ids, size_t n, int32_t parent,
                               size_t cached, size_t past, bool keep);

/* Score token `id` as the successor of `row`; rows must come in ascending order, equal ones
 * together. It weighs 1 in the loss; another weight is written into weight[T - 1] then. */
void lorac_batch_score(struct lorac_batch *b, size_t row, int32_t id);
/* Ask for the logits of `row` without scoring a token. */
void lorac_batch_want_logits(struct lorac_batch *b, size_t row);

LORAC_API_END

#endif
