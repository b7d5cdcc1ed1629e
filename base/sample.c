/* sample.c - how to sample, and from logits to one token; see generate.h. */
#include "base/generate.h"

#include "base/core/rng.h"

#include <math.h>

const struct lorac_sampling lorac_sampling_defaults = {
    .max_tokens = 128,
    .top_p = 1.0,
    .repetition_penalty = 1.0,
};

enum lorac_status lorac_sampling_check(const struct lorac_sampling *o, struct lorac_err *err)
{
    if (!(o->temperature >= 0.0) || !isfinite(o->temperature)) {
        return lorac_fail(err, LORAC_EUSER, "the temperature must be from 0 on, found %g",
                          o->temperature);
    }
    if (!(o->top_p > 0.0 && o->top_p <= 1.0)) {
        return lorac_fail(err, LORAC_EUSER,
                          "top_p must be above 0 and up to 1, which keeps all, found %g", o->top_p);
    }
    if (!(o->repetition_penalty > 0.0) || !isfinite(o->repetition_penalty)) {
        return lorac_fail(err, LORAC_EUSER,
                          "the repetition penalty must be above 0, where 1 is none, found %g",
                          o->repetition_penalty);
    }
    return LORAC_OK;
}

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

/* Logits whose ids are taken off a heap, the likeliest first, as far as somebody asks for them. */
struct draw {
    const float *logits;
    uint32_t *order; // a heap of the V - taken others; behind it those taken, the likeliest last
    size_t V, taken;
    double max, temperature;
};

static double weight(const struct draw *d, size_t id)
{
    return exp(((double)d->logits[id] - d->max) / d->temperature);
}

/* The i-th likeliest, from 0. */
static uint32_t ranked(struct draw *d, size_t i)
{
    while (d->taken <= i) {
        size_t last = d->V - 1 - d->taken++;
        uint32_t id = d->order[0];
        d->order[0] = d->order[last];
        d->order[last] = id;
        sift(d->order, last, 0, d->logits);
    }
    return d->order[d->V - 1 - i];
}

static void heap(struct draw *d)
{
    for (size_t i = 0; i < d->V; i++) {
        d->order[i] = (uint32_t)i;
    }
    for (size_t i = d->V / 2; i-- > 0;) {
        sift(d->order, d->V, i, d->logits);
    }
}

int32_t lorac_sample(float *logits, uint32_t *order, size_t V, const int32_t *seen, size_t n,
                     const struct lorac_sampling *o, uint64_t draw)
{
    if (o->repetition_penalty != 1.0) { penalise(logits, order, seen, n, o->repetition_penalty); }
    int32_t best = likeliest(logits, V);
    if (!(o->temperature > 0.0)) { return best; }

    // softmax over the k likeliest; of all, their order need not be known
    size_t k = o->top_k && o->top_k < V ? o->top_k : V;
    struct draw d = {logits, order, V, 0, (double)logits[best], o->temperature};
    double total = 0.0;
    heap(&d);
    for (size_t i = 0; i < k; i++) {
        total += weight(&d, k < V ? ranked(&d, i) : i);
    }
    double reach = 0.0; // probability mass kept by top-p
    size_t kept = 0;
    while (o->top_p < 1.0 && kept < k && (kept == 0 || reach < o->top_p * total)) {
        reach += weight(&d, ranked(&d, kept++));
    }
    if (kept == 0) {
        reach = total;
        kept = k;
    }
    double u = lorac_rng_uniform(lorac_rng_key(o->seed, "sample"), 0, draw) * reach;
    for (size_t i = 0; i < kept; i++) {
        u -= weight(&d, ranked(&d, i));
        if (u < 0.0) { return (int32_t)ranked(&d, i); }
    }
    return (int32_t)ranked(&d, kept - 1); // rounding left a crumb: the last one kept
}
