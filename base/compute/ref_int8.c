/*
 * ref_int8.c - products of 8-bit integers (int8.h) in plain loops: their definition, to the bit.
 * The few operations on float32 round one by one, in this order, on every backend.
 */
#include "base/compute/int8.h"
#include "base/compute/ref.h"
#include "base/compute/weight.h"

static float element(const struct lorac_weight *w, size_t o, size_t i) // of W (OC,C)
{
    float x = 0.0F;
    lorac_dtype_read(&x, w->data, w->dtype, w->transposed ? i * w->OC + o : o * w->C + i, 1);
    return x;
}

/* max(m, |v|), NaN where one is. */
static float larger(float m, float v)
{
    return isnan(m) || m > fabsf(v) ? m : fabsf(v);
}

static struct lorac_int8_scale channel(const struct lorac_weight *w, size_t o)
{
    float m = 0.0F;
    for (size_t i = 0; i < w->C; i++) {
        m = larger(m, element(w, o, i));
    }
    return lorac_int8_scale(m);
}

static int64_t integer(float v, struct lorac_int8_scale s)
{
    return isnan(s.scale) ? 0 : (int64_t)lrintf(v * s.inverse);
}

void lorac_ref_int8_linear(float *y, const float *x, const struct lorac_weight *w,
                           const float *bias, size_t N)
{
    for (size_t o = 0; o < w->OC; o++) {
        const struct lorac_int8_scale s = channel(w, o);
        for (size_t n = 0; n < N; n++) {
            const float *row = x + n * w->C;
            float m = 0.0F;
            for (size_t i = 0; i < w->C; i++) {
                m = larger(m, row[i]);
            }
            const struct lorac_int8_scale t = lorac_int8_scale(m);
            int64_t sum = 0;
            for (size_t i = 0; i < w->C; i++) {
                sum += integer(row[i], t) * integer(element(w, o, i), s);
            }
            float product = (float)sum * (t.scale * s.scale);
            y[n * w->OC + o] = bias ? product + bias[o] : product;
        }
    }
}

/* Of z = dy s; see int8.h. Channels' scales are found anew for every COLUMNS of dx. */
void lorac_ref_int8_linear_backward(float *dx, const float *dy, const struct lorac_weight *w,
                                    size_t N, float beta)
{
    enum { COLUMNS = 256 };
    for (size_t n = 0; n < N; n++, dx += w->C, dy += w->OC) {
        float m = 0.0F;
        for (size_t o = 0; o < w->OC; o++) {
            m = larger(m, dy[o] * channel(w, o).scale);
        }
        const struct lorac_int8_scale t = lorac_int8_scale(m);
        for (size_t i = 0; i < w->C; i += COLUMNS) {
            int64_t sum[COLUMNS] = {0};
            size_t columns = w->C - i < COLUMNS ? w->C - i : COLUMNS;
            for (size_t o = 0; o < w->OC; o++) {
                const struct lorac_int8_scale s = channel(w, o);
                int64_t z = integer(dy[o] * s.scale, t);
                for (size_t k = 0; k < columns; k++) {
                    sum[k] += z * integer(element(w, o, i + k), s);
                }
            }
            for (size_t k = 0; k < columns; k++) {
                float product = (float)sum[k] * t.scale;
                dx[i + k] = beta == 0.0F ? product : product + beta * dx[i + k];
            }
        }
    }
}
