/* sample.c - from logits to one token; see generate.h. */
#include "base/generate.h"

#include "base/core/rng.h"

#include <math.h>

static int32_t likeliest(const float *logits, size_t V)
{
    size_t best = 0;
    for (size_t i = 1; i < V; i++) {
        if (logits[i] > logits[best]) { best = i; }
    }
    return (int32_t)best;
}

/* Each id once: `order` serves as the set of ids already done, cleared afterwards. */
static void penalise(float *logits, uint32_t *order, const int32_t *seen, size_t n, double penalty)
{
    for (size_t i = 0; i < n; i++) {
        order[seen[i]] = 0;
    }
    for (size_t i = 0; i < n; i++) {
        float *x = &logits[seen[i]];
        if (order[seen[i]]++ > 0) { continue; }
        *x = (float)(*x > 0.0F ? (double)*x / penalty : (double)*x * penalty);
    }
}

/* Sift position `at` down in a heap of n ids whose root is the likeliest; equal logits: the lower
 * id. */
static void sift(uint32_t *heap, size_t n, size_t at, const float *logits)
{
    for (;;) {
        size_t best = at;
        for (size_t child = 2 * at + 1; child < 2 * at + 3 && child < n; child++) {
            float a = logits[heap[child]];
            float b = logits[heap[best]];
            if (a > b || (a == b && heap[child] < heap[best])) { best = child; }
        }
        if (best == at) { return; }
        uint32_t keep = heap[at];
        heap[at] = heap[best];
        heap[best] = keep;
        at = best;
    }
}

int32_t lorac_sample(float *logits, uint32_t *order, size_t V, const int32_t *seen, size_t n,
                     const struct lorac_sampling *o, uint64_t draw)
{
    if (o->repetition_penalty != 1.0) { penalise(logits, order, seen, n, o->repetition_penalty); }
    if (!(o->temperature > 0.0)) { return likeliest(logits, V); }

    // softmax over the k likeliest, in falling order of likelihood
    size_t k = o->top_k && o->top_k < V ? o->top_k : V;
    double max = (double)logits[likeliest(logits, V)];
    double total = 0.0;
    for (size_t i = 0; i < V; i++) {
        order[i] = (uint32_t)i;
    }
    for (size_t i = V / 2; i-- > 0;) {
        sift(order, V, i, logits);
    }
    // take ids off the heap to the back of the array: order[V-1] is the likeliest
    for (size_t taken = 0; taken < k; taken++) {
        size_t last = V - 1 - taken;
        uint32_t id = order[0];
        order[0] = order[last];
        order[last] = id;
        sift(order, last, 0, logits);
        total += exp(((double)logits[id] - max) / o->temperature);
    }
    double reach = 0.0; // probability mass kept by top-p
    size_t kept = 0;
    while (kept < k && (kept == 0 || reach < o->top_p * total)) {
        reach += exp(((double)logits[order[V - 1 - kept]] - max) / o->temperature);
        kept++;
    }
    double u = lorac_rng_uniform(lorac_rng_key(o->seed, "sample"), 0, draw) * reach;
    for (size_t i = 0; i < kept; i++) {
        u -= exp(((double)logits[order[V - 1 - i]] - max) / o->temperature);
        if (u < 0.0) { return (int32_t)order[V - 1 - i]; }
    }
    return (int32_t)order[V - kept]; // rounding left a crumb: the last one kept
}
