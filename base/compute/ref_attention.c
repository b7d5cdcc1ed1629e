/* ref_attention.c - attention by its definition: one query and one head at a time, no blocks. */
#include "base/compute/ref.h"

#include <math.h>
#include <string.h>

/* The keys that one query sees, in order of position. */
struct walk {
    const struct lorac_segment *segments;
    int32_t chain[LORAC_MAX_CHAIN];
    size_t n_chain;
    size_t at;      // next: of each in the chain 2 i its cached rows, 2 i + 1 its own
    size_t row;     // next row within it
    size_t query;   // position of the query
    size_t own_end; // rows of its own segment that it sees
    const struct lorac_attention *a;
};

struct key {
    bool cached;
    size_t row; // of the cache, or of the batch
};

static struct walk walk_from(const struct lorac_segment *segments, size_t s, size_t i,
                             const struct lorac_attention *a)
{
    const struct lorac_segment *seg = &segments[s];
    struct walk w = {.segments = segments, .a = a};
    w.n_chain = lorac_segment_chain(w.chain, segments, (int32_t)s);
    w.query = seg->position + i;
    w.own_end = a->causal ? i + 1 : seg->n;
    return w;
}

/* The next key in sight; false at the end. */
static bool walk_next(struct walk *w, struct key *out)
{
    while (w->at < 2 * w->n_chain) {
        const struct lorac_segment *seg = &w->segments[w->chain[w->at / 2]];
        bool cached = w->at % 2 == 0;
        size_t n = cached ? seg->past : w->at == 2 * w->n_chain - 1 ? w->own_end : seg->n;
        size_t position = seg->position - (cached ? seg->past : 0) + w->row;
        if (w->row == n) {
            w->at++;
            w->row = 0;
            continue;
        }
        *out = (struct key){cached, (cached ? seg->cached : seg->row) + w->row};
        w->row++;
        size_t apart = position > w->query ? position - w->query : w->query - position;
        if (w->a->window == 0 || apart < w->a->window) { return true; }
    }
    return false;
}

/* Row n of the batch as a row of q; SIZE_MAX: it looks at nothing. */
static size_t query_of(const struct lorac_attention *a, size_t n)
{
    size_t u = 0;
    if (!a->queries) { return n; }
    while (u < a->Q && a->queries[u] != n) {
        u++;
    }
    return u < a->Q ? u : SIZE_MAX;
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

// the definition in one piece: segments, queries and heads, then the softmax over the keys in sight
// NOLINTNEXTLINE(readability-function-size,readability-function-cognitive-complexity)
void lorac_ref_attention(struct lorac_device *dev, float *out, float *lse, const float *q,
                         const float *k, const float *v, const float *cache_k, const float *cache_v,
                         const struct lorac_segment *segments, size_t S,
                         const struct lorac_attention *a)
{
    (void)dev;
    size_t H = a->H;
    size_t G = a->G;
    size_t D = a->D;
    for (size_t s = 0; s < S; s++) {
        for (size_t ih = 0; ih < segments[s].n * H; ih++) {
            size_t i = ih / H;
            size_t h = ih % H;
            size_t g = h / (H / G);
            size_t n = query_of(a, segments[s].row + i);
            if (n == SIZE_MAX) { continue; }
            const float *query = q + (n * H + h) * D; // (D)
            float *y = out + (n * H + h) * D;         // (D)
            struct key key;
            double max = (double)-INFINITY;
            for (struct walk w = walk_from(segments, s, i, a); walk_next(&w, &key);) {
                const float *ks = key.cached ? cache_k : k;
                max = fmax(max, (double)a->scale * dot(query, ks + (key.row * G + g) * D, D));
            }
            double sum = 0.0;
            for (struct walk w = walk_from(segments, s, i, a); walk_next(&w, &key);) {
                const float *ks = key.cached ? cache_k : k;
                sum += exp((double)a->scale * dot(query, ks + (key.row * G + g) * D, D) - max);
            }
            for (size_t d = 0; d < D; d++) {
                double value = 0.0;
                for (struct walk w = walk_from(segments, s, i, a); walk_next(&w, &key);) {
                    size_t at = (key.row * G + g) * D;
                    const float *ks = key.cached ? cache_k : k;
                    const float *vs = key.cached ? cache_v : v;
                    double p = exp((double)a->scale * dot(query, ks + at, D) - max) / sum;
                    value += p * (double)vs[at + d];
                }
                y[d] = (float)value;
            }
            lse[n * H + h] = (float)(max + log(sum));
        }
    }
}

/* With p_j = exp(scale q k_j - lse), o = sum_j p_j v_j and do given:
 *   dv_j += p_j do      dp_j = do v_j      ds_j = p_j (dp_j - do o)        (softmax backward)
 *   dq += scale ds_j k_j     dk_j += scale ds_j q                       pinned by ops.attention */
// NOLINTNEXTLINE(readability-function-size)
void lorac_ref_attention_backward(struct lorac_device *dev, float *dq, float *dk, float *dv,
                                  const float *dout, const float *out, const float *lse,
                                  const float *q, const float *k, const float *v,
                                  const struct lorac_segment *segments, size_t S,
                                  const struct lorac_attention *a)
{
    (void)dev;
    size_t H = a->H;
    size_t G = a->G;
    size_t D = a->D;
    for (size_t s = 0; s < S;
         s++) { // parents come first, so a child adds to what is already zeroed
        const struct lorac_segment *seg = &segments[s];
        memset(dk + seg->row * G * D, 0, seg->n * G * D * sizeof *dk);
        memset(dv + seg->row * G * D, 0, seg->n * G * D * sizeof *dv);
    }
    for (size_t s = 0; s < S; s++) {
        for (size_t ih = 0; ih < segments[s].n * H; ih++) {
            size_t i = ih / H;
            size_t h = ih % H;
            size_t g = h / (H / G);
            size_t n = query_of(a, segments[s].row + i);
            if (n == SIZE_MAX) { continue; }
            size_t at = (n * H + h) * D;
            double l = (double)lse[n * H + h];
            memset(dq + at, 0, D * sizeof *dq);
            double delta = dot(dout + at, out + at, D); // do o
            struct key key;
            for (struct walk w = walk_from(segments, s, i, a); walk_next(&w, &key);) {
                size_t kv = (key.row * G + g) * D;
                double p = exp((double)a->scale * dot(q + at, k + kv, D) - l);
                double ds = (double)a->scale * p * (dot(dout + at, v + kv, D) - delta);
                for (size_t d = 0; d < D; d++) {
                    dv[kv + d] = (float)((double)dv[kv + d] + p * (double)dout[at + d]);
                    dq[at + d] = (float)((double)dq[at + d] + ds * (double)k[kv + d]);
                    dk[kv + d] = (float)((double)dk[kv + d] + ds * (double)q[at + d]);
                }
            }
        }
    }
}
