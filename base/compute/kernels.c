/* kernels.c - the table of one instruction set, and its kernels over rows and elements. */
#include "base/compute/kernels_isa.h"

#include <math.h>

/* ---- sums: float lanes over LORAC_SUM elements, then double ---- */

typedef v16 term_fn(v16 x, v16 y, v16 z, v16 m);

LORAC_INLINE double lanes_sum(v16 v)
{
    double sum = 0.0;
    for (size_t i = 0; i < LANES; i++) {
        sum += (double)v[i];
    }
    return sum;
}

/* sum_i term(x_i, y_i, z_i, m); all three of n elements, `term` 0 where they are 0 and m is too. */
LORAC_INLINE double sum_terms(term_fn *term, const float *x, const float *y, const float *z,
                              size_t n, float m)
{
    double sum = 0.0;
    for (size_t begin = 0; begin < n; begin += LORAC_SUM) {
        size_t end = n - begin < LORAC_SUM ? n : begin + LORAC_SUM;
        v16 acc[4] = {{0}, {0}, {0}, {0}};
        size_t i = begin;
        for (; i + 4 * LANES <= end; i += 4 * LANES) {
            for (size_t v = 0; v < 4; v++) {
                size_t at = i + v * LANES;
                acc[v] += term(load(x + at), load(y + at), load(z + at), splat(m));
            }
        }
        for (; i + LANES <= end; i += LANES) {
            acc[0] += term(load(x + i), load(y + i), load(z + i), splat(m));
        }
        sum += lanes_sum((acc[0] + acc[1]) + (acc[2] + acc[3]));
        for (; i < end; i++) {
            sum += (double)term(splat(x[i]), splat(y[i]), splat(z[i]), splat(m))[0];
        }
    }
    return sum;
}

LORAC_INLINE v16 value(v16 x, v16 y, v16 z, v16 m)
{
    (void)y, (void)z, (void)m;
    return x;
}

LORAC_INLINE v16 product(v16 x, v16 y, v16 z, v16 m)
{
    (void)z, (void)m;
    return x * y;
}

LORAC_INLINE v16 product3(v16 x, v16 y, v16 z, v16 m)
{
    (void)m;
    return x * y * z;
}

LORAC_INLINE v16 deviation(v16 x, v16 y, v16 z, v16 m)
{
    (void)y, (void)z;
    return (x - m) * (x - m);
}

LORAC_INLINE v16 product3_deviation(v16 x, v16 y, v16 z, v16 m)
{
    return x * y * (z - m);
}

/* ---- normalisation; derivations in ref.c ---- */

static void rmsnorm(float *restrict y, const float *restrict x, const float *restrict g, size_t N,
                    size_t C, float eps)
{
    for (size_t n = 0; n < N; n++, x += C, y += C) {
        double squares = sum_terms(product, x, x, x, C, 0.0F);
        float r = (float)(1.0 / sqrt(squares / (double)C + (double)eps));
        for (size_t i = 0; i < C; i++) {
            y[i] = g[i] * (x[i] * r);
        }
    }
}

static void rmsnorm_backward(float *restrict dx, const float *restrict dy, const float *restrict x,
                             const float *restrict g, size_t N, size_t C, float eps)
{
    for (size_t n = 0; n < N; n++, x += C, dx += C, dy += C) {
        double squares = sum_terms(product, x, x, x, C, 0.0F);
        double dot = sum_terms(product3, g, dy, x, C, 0.0F); // sum_i g_i dy_i x_i
        double r = 1.0 / sqrt(squares / (double)C + (double)eps);
        float a = (float)r;
        float b = (float)(-r * r * r / (double)C * dot);
        for (size_t i = 0; i < C; i++) {
            dx[i] += a * (g[i] * dy[i]) + b * x[i];
        }
    }
}

struct moments {
    float mean, r; // r = 1 / sqrt(variance + eps)
};

LORAC_INLINE struct moments row_moments(const float *x, size_t C, float eps)
{
    float mean = (float)(sum_terms(value, x, x, x, C, 0.0F) / (double)C);
    double squares = sum_terms(deviation, x, x, x, C, mean);
    return (struct moments){mean, (float)(1.0 / sqrt(squares / (double)C + (double)eps))};
}

static void layernorm(float *restrict y, const float *restrict x, const float *restrict g,
                      const float *restrict b, size_t N, size_t C, float eps)
{
    for (size_t n = 0; n < N; n++, x += C, y += C) {
        struct moments m = row_moments(x, C, eps);
        for (size_t i = 0; i < C && b; i++) {
            y[i] = g[i] * ((x[i] - m.mean) * m.r) + b[i];
        }
        for (size_t i = 0; i < C && !b; i++) {
            y[i] = g[i] * ((x[i] - m.mean) * m.r);
        }
    }
}

static void layernorm_backward(float *restrict dx, const float *restrict dy,
                               const float *restrict x, const float *restrict g, size_t N, size_t C,
                               float eps)
{
    for (size_t n = 0; n < N; n++, x += C, dx += C, dy += C) {
        struct moments m = row_moments(x, C, eps);
        float e_mean = (float)(sum_terms(product, g, dy, dy, C, 0.0F) / (double)C);
        double eh = sum_terms(product3_deviation, g, dy, x, C, m.mean) * (double)m.r;
        float eh_mean = (float)(eh / (double)C);
        for (size_t i = 0; i < C; i++) {
            float h = (x[i] - m.mean) * m.r;
            dx[i] += m.r * (g[i] * dy[i] - e_mean - h * eh_mean);
        }
    }
}

/* ---- elements ---- */

static void add(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] += x[i];
    }
}

static void rope(float *x, const float *table, const uint32_t *position, size_t N, size_t heads,
                 size_t D, size_t R, float sign)
{
    size_t half = R / 2;
    for (size_t n = 0; n < N; n++) {
        const float *restrict cosine = table + position[n] * R;
        const float *restrict sine = cosine + half;
        for (size_t h = 0; h < heads; h++, x += D) {
            float *restrict low = x;
            float *restrict high = x + half;
            for (size_t i = 0; i < half; i++) {
                float a = low[i];
                float b = high[i];
                float s = sign * sine[i];
                low[i] = a * cosine[i] - b * s;
                high[i] = b * cosine[i] + a * s;
            }
        }
    }
}

LORAC_INLINE v16 sigmoid(v16 x)
{
    return splat(1.0F) / (splat(1.0F) + exp16(-x));
}

/* The normal distribution function within 8 u relative to the smaller of it and its complement,
 * times x^2 in the tail; *density its derivative. With z = |x| / sqrt(2) and t = 1 / (1 + z / 2)
 * the tail is erfc(z) / 2 = t P(t) exp(-z^2), where P is the polynomial with the least largest
 * relative error (4.4e-8) for z up to 10.3, where it ends in float32; written in t - 7/12. */
LORAC_INLINE v16 normal(v16 x, v16 *density)
{
    static const float c[] = {-0.02957455F, 0.004468832F, 0.05602092F, -0.025103431F, -0.10203845F,
                              0.041235264F, 0.29384488F,  0.39146674F, 0.286006F};
    v16 z_half = (v16)((v16u)x & 0x7FFFFFFFU) * splat(0.353553391F);
    v16 t = splat(1.0F) / (splat(1.0F) + z_half);
    v16 s = t - splat(7.0F / 12.0F);
    v16 p = splat(c[0]);
    for (int i = 1; i < 9; i++) {
        p = p * s + splat(c[i]);
    }
    v16 e = exp16(splat(-0.5F) * x * x);
    v16 tail = t * p * e;
    *density = splat(0.398942280F) * e;
    return pick(x < (v16){0}, tail, splat(1.0F) - tail);
}

/* act(x); *slope its derivative. Formulas in ref.c; gelu_tanh uses (1 + tanh z) / 2 = sigmoid(2 z).
 */
LORAC_INLINE v16 activate(v16 x, enum lorac_activation act, v16 *slope)
{
    const v16 one = splat(1.0F);
    v16 s = {0};
    if (act == LORAC_SILU) {
        s = sigmoid(x);
        *slope = s * (one + x * (one - s));
    } else if (act == LORAC_GELU) {
        v16 density;
        s = normal(x, &density);
        *slope = s + x * density;
    } else if (act == LORAC_TANH) { // 2 sigmoid(2 x) - 1, which loses digits near 0
        v16 xx = x * x;
        v16 small =
            x + x * xx *
                    (splat(-1.0F / 3.0F) + xx * (splat(2.0F / 15.0F) - xx * splat(17.0F / 315.0F)));
        s = pick(xx < splat(0.01F), small, splat(2.0F) * sigmoid(x + x) - one);
        *slope = one - s * s;
        return s;
    } else if (act == LORAC_RELU) {
        *slope = pick(x > (v16){0}, one, (v16){0});
        return max16((v16){0}, x);
    } else {
        v16 c = min16(splat(10.0F), max16(splat(-10.0F), x)); // beyond, s is 0 or 1
        s = sigmoid(splat(1.595769122F) * c * (one + splat(0.044715F) * c * c));
        v16 dz = splat(1.595769122F) * (one + splat(3.0F * 0.044715F) * c * c);
        *slope = s + c * s * (one - s) * dz;
    }
    return x * s;
}

LORAC_INLINE void gate_act(float *h, const float *gate, const float *up, size_t n,
                           enum lorac_activation act)
{
    v16 slope;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        v16 y = activate(load(gate + i), act, &slope);
        store(h + i, up ? y * load(up + i) : y);
    }
    if (i < n) {
        v16 y = activate(load_some(gate + i, n - i), act, &slope);
        store_some(h + i, up ? y * load_some(up + i, n - i) : y, n - i);
    }
}

static void gate_forward(float *h, const float *gate, const float *up, size_t n,
                         enum lorac_activation act)
{
    switch (act) {
    case LORAC_SILU:
        gate_act(h, gate, up, n, LORAC_SILU);
        break;
    case LORAC_GELU:
        gate_act(h, gate, up, n, LORAC_GELU);
        break;
    case LORAC_GELU_TANH:
        gate_act(h, gate, up, n, LORAC_GELU_TANH);
        break;
    case LORAC_TANH:
        gate_act(h, gate, up, n, LORAC_TANH);
        break;
    case LORAC_RELU:
        gate_act(h, gate, up, n, LORAC_RELU);
        break;
    }
}

LORAC_INLINE void gate_act_backward(float *dgate, float *dup, const float *dh, const float *gate,
                                    const float *up, size_t n, enum lorac_activation act)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t some = n - i < LANES ? n - i : LANES;
        bool full = some == LANES;
        v16 d = full ? load(dh + i) : load_some(dh + i, some);
        v16 x = full ? load(gate + i) : load_some(gate + i, some);
        v16 slope;
        v16 y = d * activate(x, act, &slope);
        v16 dx = d * slope;
        if (up) { dx *= full ? load(up + i) : load_some(up + i, some); }
        if (full) {
            store(dgate + i, dx);
            if (dup) { store(dup + i, y); }
        } else {
            store_some(dgate + i, dx, some);
            if (dup) { store_some(dup + i, y, some); }
        }
    }
}

static void gate_backward(float *dgate, float *dup, const float *dh, const float *gate,
                          const float *up, size_t n, enum lorac_activation act)
{
    switch (act) {
    case LORAC_SILU:
        gate_act_backward(dgate, dup, dh, gate, up, n, LORAC_SILU);
        break;
    case LORAC_GELU:
        gate_act_backward(dgate, dup, dh, gate, up, n, LORAC_GELU);
        break;
    case LORAC_GELU_TANH:
        gate_act_backward(dgate, dup, dh, gate, up, n, LORAC_GELU_TANH);
        break;
    case LORAC_TANH:
        gate_act_backward(dgate, dup, dh, gate, up, n, LORAC_TANH);
        break;
    case LORAC_RELU:
        gate_act_backward(dgate, dup, dh, gate, up, n, LORAC_RELU);
        break;
    }
}

typedef uint64_t v16q __attribute__((vector_size(128)));

/* The low and high halves of a b. */
LORAC_INLINE void wide_product(v16u *low, v16u *high, v16u a, uint32_t b)
{
#ifdef __AVX512F__
    __m512i factor = _mm512_set1_epi64(b);
    __m512i even = _mm512_mul_epu32((__m512i)a, factor);
    __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)a, 32), factor);
    *low = (v16u)_mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
    *high = (v16u)_mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
#else
    v16q product = __builtin_convertvector(a, v16q) * (uint64_t)b;
    *low = a * b;
    *high = __builtin_convertvector(product >> 32, v16u);
#endif
}

/* Draws (key, step, index .. index+15), element by element: lorac_rng_bits() in 16 lanes. */
LORAC_INLINE void philox16(v16u out[4], uint64_t key, uint64_t step, uint64_t index)
{
    const v16q lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    v16u c0 = __builtin_convertvector(index + lane, v16u);
    v16u c1 = __builtin_convertvector((index + lane) >> 32, v16u);
    v16u c2 = (v16u){0} + (uint32_t)step;
    v16u c3 = (v16u){0} + (uint32_t)(step >> 32);
    uint32_t k0 = (uint32_t)key;
    uint32_t k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        v16u low[2];
        v16u high[2];
        wide_product(&low[0], &high[0], c0, 0xD2511F53U);
        wide_product(&low[1], &high[1], c2, 0xCD9E8D57U);
        c0 = high[1] ^ c1 ^ k0;
        c2 = high[0] ^ c3 ^ k1;
        c1 = low[1];
        c3 = low[0];
        k0 += 0x9E3779B9U;
        k1 += 0xBB67AE85U;
    }
    v16u a[2] = {LORAC_LOW(c0, c1), LORAC_HIGH(c0, c1)};
    v16u b[2] = {LORAC_LOW(c2, c3), LORAC_HIGH(c2, c3)};
    for (size_t i = 0; i < 2; i++) {
        out[2 * i] = __builtin_shufflevector(a[i], b[i], 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21,
                                             6, 7, 22, 23);
        out[2 * i + 1] = __builtin_shufflevector(a[i], b[i], 8, 9, 24, 25, 10, 11, 26, 27, 12, 13,
                                                 28, 29, 14, 15, 30, 31);
    }
}

static void dropout(float *y, const float *x, size_t n, float p, uint64_t key, uint64_t step,
                    size_t start)
{
    uint32_t limit = (uint32_t)((double)p * 0x1p32);
    v16 scale = splat(1.0F / (1.0F - p));
    for (size_t i = 0; i < n; i += 4 * LANES) {
        v16u bits[4];
        philox16(bits, key, step, (start + i) / 4);
        for (size_t v = 0; v < 4 && i + v * LANES < n; v++) {
            size_t at = i + v * LANES;
            v16i kept = (v16i)(bits[v] >= limit);
            if (n - at >= LANES) {
                store(y + at, pick(kept, load(x + at) * scale, (v16){0}));
            } else {
                v16 some = load_some(x + at, n - at);
                store_some(y + at, pick(kept, some * scale, (v16){0}), n - at);
            }
        }
    }
}

/* ---- loss and optimisers ---- */

static float max_of(const float *x, size_t n)
{
    v16 top[2] = {splat(-INFINITY), splat(-INFINITY)};
    size_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        top[0] = max16(load(x + i), top[0]);
        top[1] = max16(load(x + i + LANES), top[1]);
    }
    float max = most16(max16(top[0], top[1]));
    for (; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    return max;
}

static double sum_exp(float *y, const float *x, size_t n, float max)
{
    double sum = 0.0;
    for (size_t begin = 0; begin < n; begin += LORAC_SUM) {
        size_t end = n - begin < LORAC_SUM ? n : begin + LORAC_SUM;
        v16 acc = {0};
        size_t i = begin;
        for (; i + LANES <= end; i += LANES) {
            v16 e = exp16(load(x + i) - splat(max));
            if (y) { store(y + i, e); }
            acc += e;
        }
        sum += lanes_sum(acc);
        if (i < end) {
            v16 e = exp16(load_some(x + i, end - i) - splat(max));
            if (y) { store_some(y + i, e, end - i); }
            for (size_t l = 0; l < end - i; l++) {
                sum += (double)e[l];
            }
        }
    }
    return sum;
}

static void scale(float *x, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++) {
        x[i] *= factor;
    }
}

static double sum_squares(const float *x, size_t n)
{
    v16d acc = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        v16d d = __builtin_convertvector(load(x + i), v16d);
        acc += d * d;
    }
    double sum = 0.0;
    for (size_t l = 0; l < LANES; l++) {
        sum += acc[l];
    }
    for (; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return sum;
}

static void adamw(float *restrict p, float *restrict m, float *restrict v, const float *restrict g,
                  size_t n, double g_scale, double lr, double b1, double b2, double eps, double wd,
                  double c1, double c2)
{
    const float scale = (float)g_scale;
    const float m_keep = (float)b1;
    const float m_add = (float)(1.0 - b1);
    const float v_keep = (float)b2;
    const float v_add = (float)(1.0 - b2);
    const float keep = (float)(1.0 - lr * wd);
    const float rate = (float)(lr / c1);
    const float unbias = (float)(1.0 / sqrt(c2));
    const float floor = (float)eps;
    for (size_t i = 0; i < n; i++) {
        float grad = scale * g[i];
        m[i] = m_keep * m[i] + m_add * grad;
        v[i] = v_keep * v[i] + v_add * grad * grad;
        p[i] = p[i] * keep - rate * m[i] / (sqrtf(v[i]) * unbias + floor);
    }
}

static void sgd(float *restrict p, float *restrict m, const float *restrict g, size_t n,
                double g_scale, double lr, double momentum, double wd)
{
    const float scale = (float)g_scale;
    const float m_keep = (float)momentum;
    const float keep = (float)(1.0 - lr * wd);
    const float rate = (float)lr;
    for (size_t i = 0; i < n; i++) {
        m[i] = m_keep * m[i] + scale * g[i];
        p[i] = p[i] * keep - rate * m[i];
    }
}

const struct lorac_kernels LORAC_PASTE(lorac_, kernels, LORAC_ISA) = {
    .name = LORAC_STRING(LORAC_ISA),
    .tile = LORAC_KERNEL(tile),
    .dots = LORAC_KERNEL(dots),
    .decode = LORAC_KERNEL(decode),
    .to_bf16 = LORAC_KERNEL(to_bf16),
    .round_bf16 = LORAC_KERNEL(round_bf16),
    .rmsnorm = rmsnorm,
    .rmsnorm_backward = rmsnorm_backward,
    .layernorm = layernorm,
    .layernorm_backward = layernorm_backward,
    .add = add,
    .rope = rope,
    .gate = gate_forward,
    .gate_backward = gate_backward,
    .dropout = dropout,
    .max = max_of,
    .sum_exp = sum_exp,
    .scale = scale,
    .sum_squares = sum_squares,
    .adamw = adamw,
    .sgd = sgd,
    .transpose = LORAC_KERNEL(transpose),
    .softmax_step = LORAC_KERNEL(softmax_step),
    .softmax_back = LORAC_KERNEL(softmax_back),
};
