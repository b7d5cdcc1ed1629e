/* kernels_attention.c - what attention does to a block of scores besides products. */
#include "base/compute/kernels_isa.h"

#include <math.h>

static const v16i lane_number = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* A 16 x 16 transpose as four perfect shuffles: of an element's address (row, lane) of 4 + 4 bits
 * each shuffle rotates all 8 by one, so that four of them swap row and lane. */
LORAC_INLINE void transpose16(v16 r[LANES])
{
    for (int round = 0; round < 4; round++) {
        v16 t[LANES];
        for (size_t i = 0; i < LANES / 2; i++) {
            t[2 * i] = LORAC_LOW(r[i], r[i + LANES / 2]);
            t[2 * i + 1] = LORAC_HIGH(r[i], r[i + LANES / 2]);
        }
        memcpy(r, t, sizeof t);
    }
}

void LORAC_KERNEL(transpose)(float *to, const float *from, size_t ld, size_t n, size_t D)
{
    for (size_t j = 0; j < n; j += LANES) {
        size_t rows = n - j < LANES ? n - j : LANES;
        for (size_t d = 0; d < D; d += LANES) {
            size_t columns = D - d < LANES ? D - d : LANES;
            v16 r[LANES];
            for (size_t i = 0; i < LANES; i++) {
                const float *at = from + (j + i) * ld + d;
                r[i] = i >= rows ? (v16){0} : columns == LANES ? load(at) : load_some(at, columns);
            }
            transpose16(r);
            for (size_t i = 0; i < columns; i++) {
                store(to + (d + i) * LORAC_KEYS + j, r[i]);
            }
        }
    }
}

/* The lanes of vector v of a row that lie in from .. to-1. */
LORAC_INLINE v16i seen(size_t v, uint8_t from, uint8_t to)
{
    v16i key = lane_number + (int32_t)(v * LANES);
    return (key >= (int32_t)from) & (key < (int32_t)to);
}

LORAC_INLINE void rescale(float *o, size_t D, float factor)
{
    for (size_t d = 0; d < D; d++) {
        o[d] *= factor;
    }
}

void LORAC_KERNEL(softmax_step)(float *s, const struct lorac_sight *sight, float *max, float *sum,
                                float *o, size_t ldo, size_t m, size_t n, size_t D)
{
    size_t V = (n + LANES - 1) / LANES;
    for (size_t i = 0; i < m; i++, s += LORAC_KEYS) {
        v16 x[LORAC_KEYS / LANES];
        v16 top = splat(max[i]);
        bool all = sight->from[i] == 0 && sight->to[i] == V * LANES;
        for (size_t v = 0; v < V; v++) {
            x[v] = load(s + v * LANES);
            if (!all) {
                x[v] = pick(seen(v, sight->from[i], sight->to[i]), x[v], splat(-INFINITY));
            }
            top = max16(x[v], top);
        }
        float new_max = most16(top);
        float from = new_max == -INFINITY ? 0.0F : new_max; // nothing seen yet: all terms are 0
        v16 total = {0};
        for (size_t v = 0; v < V; v++) {
            x[v] = exp16(x[v] - splat(from));
            total += x[v];
            store(s + v * LANES, x[v]);
        }
        if (max[i] == -INFINITY) { // the first step: nothing has to follow
            max[i] = new_max;
        } else if (new_max != max[i]) {
            float factor = exp16(splat(max[i] - from))[0];
            sum[i] *= factor;
            rescale(o + i * ldo, D, factor);
            max[i] = new_max;
        }
        sum[i] += sum16(total);
    }
}

void LORAC_KERNEL(softmax_back)(float *s, float *dp, const struct lorac_sight *sight,
                                const float *lse, const float *delta, size_t m, size_t n)
{
    size_t V = (n + LANES - 1) / LANES;
    for (size_t i = 0; i < m; i++, s += LORAC_KEYS, dp += LORAC_KEYS) {
        bool all = sight->from[i] == 0 && sight->to[i] == V * LANES;
        for (size_t v = 0; v < V; v++) {
            v16 p = exp16(load(s + v * LANES) - splat(lse[i]));
            v16 ds = p * (load(dp + v * LANES) - splat(delta[i]));
            if (!all) {
                v16i mask = seen(v, sight->from[i], sight->to[i]);
                p = pick(mask, p, (v16){0});
                ds = pick(mask, ds, (v16){0});
            }
            store(s + v * LANES, p);
            store(dp + v * LANES, ds);
        }
    }
}
