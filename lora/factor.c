/*
 * factor.c - see factor.h.
 *
 * With n the smaller side of W and M = W^T W or W W^T (n,n), from X (b,n) of orthonormal rows, b a
 * few more than R: V = [X; X M; X M^2; X M^3] made orthonormal, T = V M V^T, whose largest
 * eigenvectors times V are the next X (block Lanczos with full orthogonalisation, and a restart as
 * plain as can be: Golub, Underwood 1977). T falls out of the orthogonalisation. The blocks are
 * device memory and their products the backend's, in float32; what is b or D on a side, is worked
 * out in double here.
 */
#include "lora/factor.h"

#include "base/core/mem.h"
#include "base/core/rng.h"
#include "lora/eigen.h"

#include <math.h>
#include <string.h>

enum { MORE = 8, DEPTH = 4, MOST_RESTARTS = 60 };
#define SETTLED 2e-7 // relative change of the sum of the R largest eigenvalues
#define DEPENDENT \
    1e-5 // share of a row's square outside the rows before it, below which it is dropped
#define ROUNDING 1e-12 // the same, of what is left after V is taken away: float32's rounding alone

struct lanczos {
    struct lorac_device *dev;
    const struct lorac_module *w;
    bool by_inputs;         // n is C, otherwise OC
    size_t n, N, b, D, R;   // N: the larger side; D: most rows of V
    float *v;               // (D,n)
    float *z, *spare;       // (b,n)
    float *y;               // (b,N)
    float *small;           // (b,D)
    float *host;            // (b,D), and rows to fill
    double *t, *q;          // (D,D)
    double *value, *work;   // (D), (2D)
    double *gram, *inverse; // (b,b)
    double *norm;           // (b) squares
};

/* z (rows,n) = x M */
static void apply(struct lanczos *k, float *z, const float *x, size_t rows)
{
    const struct lorac_backend *op = k->dev->ops;
    if (k->by_inputs) {
        op->linear(k->dev, k->y, x, k->w->w, NULL, rows);
        op->linear_backward(k->dev, z, k->y, k->w->w, rows, 0.0F);
    } else {
        op->linear_backward(k->dev, k->y, x, k->w->w, rows, 0.0F);
        op->linear(k->dev, z, k->y, k->w->w, NULL, rows);
    }
}

/* Host memory (rows,cols) written: x (rows,n) v (cols,n)^T. */
static void products(struct lanczos *k, const float *x, size_t rows, const float *v, size_t cols)
{
    k->dev->ops->matmul_nt(k->dev, k->small, x, v, rows, k->n, cols, 1.0F, 0.0F);
    k->dev->ops->read(k->dev, k->host, k->small, rows * cols * sizeof *k->host);
}

/* Row by row of G = Z Z^T = L L^T: L^-1 into `inverse` as float32. Of row i all is zero where what
 * it has beside the rows before it is no more than floor[i]. */
static void invert_root(struct lanczos *k, const double *floor, size_t b)
{
    double *L = k->gram; // its lower triangle is overwritten
    memset(k->inverse, 0, b * b * sizeof *k->inverse);
    for (size_t i = 0; i < b; i++) {
        double *row = L + i * b;
        double rest = row[i];
        double own = rest * DEPENDENT;
        for (size_t j = 0; j < i; j++) {
            double x = row[j];
            for (size_t h = 0; h < j; h++) {
                x -= row[h] * L[j * b + h];
            }
            double root = L[j * b + j];
            row[j] = root > 0.0 ? x / root : 0.0;
            rest -= row[j] * row[j];
        }
        bool keep = rest > own && rest > floor[i];
        row[i] = keep ? sqrt(rest) : 0.0;
        for (size_t j = 0; j < i && !keep; j++) {
            row[j] = 0.0;
        }
        if (!keep) { continue; }
        double *out = k->inverse + i * b; // (e_i - sum_j L_ij out_j) / L_ii
        out[i] = 1.0 / row[i];
        for (size_t j = 0; j < i; j++) {
            for (size_t h = 0; h <= j; h++) {
                out[h] -= row[j] / row[i] * k->inverse[j * b + h];
            }
        }
    }
}

/* Rows of z (b,n) become orthonormal, each with those before it, or zero. */
static void orthonormalise(struct lanczos *k, const double *floor, size_t b)
{
    products(k, k->z, b, k->z, b);
    for (size_t i = 0; i < b * b; i++) {
        k->gram[i] = (double)k->host[i];
    }
    invert_root(k, floor, b);
    for (size_t i = 0; i < b * b; i++) {
        k->host[i] = (float)k->inverse[i];
    }
    k->dev->ops->write(k->dev, k->small, k->host, b * b * sizeof *k->host);
    k->dev->ops->matmul_nn(k->dev, k->spare, k->small, k->z, b, k->n, b, 1.0F, 0.0F);
    float *x = k->z;
    k->z = k->spare;
    k->spare = x;
}

/* The squares of z's rows, times `share`. */
static void measure_rows(struct lanczos *k, double share)
{
    products(k, k->z, k->b, k->z, k->b);
    for (size_t i = 0; i < k->b; i++) {
        k->norm[i] = share * (double)k->host[i * (k->b + 1)];
    }
}

/* Block j of T: rows of V M V^T from z = V_j M and the rows of V so far. */
static void add_to_t(struct lanczos *k, size_t j)
{
    size_t rows = (j + 1) * k->b;
    for (size_t i = 0; i < k->b; i++) {
        for (size_t c = 0; c < rows; c++) {
            double x = (double)k->host[i * rows + c];
            k->t[(j * k->b + i) * k->D + c] = x;
            k->t[c * k->D + j * k->b + i] = x;
        }
    }
}

/* V and T, from V's first block. */
static void expand(struct lanczos *k)
{
    size_t blocks = k->D / k->b;
    memset(k->t, 0, k->D * k->D * sizeof *k->t);
    for (size_t j = 0; j < blocks; j++) {
        size_t rows = (j + 1) * k->b;
        apply(k, k->z, k->v + j * k->b * k->n, k->b);
        measure_rows(k, ROUNDING);
        for (size_t pass = 0; pass < 2; pass++) { // twice is enough
            products(k, k->z, k->b, k->v, rows);
            if (pass == 0) { add_to_t(k, j); }
            if (j + 1 == blocks) { break; }
            k->dev->ops->matmul_nn(k->dev, k->z, k->small, k->v, k->b, k->n, rows, -1.0F, 1.0F);
            orthonormalise(k, k->norm, k->b);
            for (size_t i = 0; i < k->b; i++) {
                k->norm[i] = 0.25; // what was a unit vector of its own is one still
            }
        }
        if (j + 1 < blocks) {
            k->dev->ops->copy(k->dev, k->v + rows * k->n, k->z, k->b * k->n * sizeof *k->v);
        }
    }
}

/* z (rows,n) = the `rows` first eigenvectors times V (cols,n). */
static void turn(struct lanczos *k, float *z, size_t rows, const float *v, size_t cols, size_t n)
{
    for (size_t i = 0; i < rows * cols; i++) {
        k->host[i] = (float)k->q[i];
    }
    k->dev->ops->write(k->dev, k->small, k->host, rows * cols * sizeof *k->host);
    k->dev->ops->matmul_nn(k->dev, z, k->small, v, rows, n, cols, 1.0F, 0.0F);
}

static enum lorac_status no_eigenvectors(const struct lanczos *k, struct lorac_err *err)
{
    return lorac_fail(
        err, LORAC_EUSER,
        "the weight of '%s' has no singular vectors: one of its numbers is not finite", k->w->name);
}

/* The first R rows of V become M's eigenvectors of the largest eigenvalues. */
static enum lorac_status settle(struct lanczos *k, struct lorac_err *err)
{
    double before = 0.0;
    for (size_t i = 0; i < MOST_RESTARTS; i++) {
        expand(k);
        if (!lorac_eigen(k->value, k->q, k->t, k->work, k->D)) { return no_eigenvectors(k, err); }
        turn(k, k->z, k->b, k->v, k->D, k->n);
        memset(k->norm, 0, k->b * sizeof *k->norm);
        orthonormalise(k, k->norm, k->b);
        k->dev->ops->copy(k->dev, k->v, k->z, k->b * k->n * sizeof *k->v);
        double sum = 0.0;
        for (size_t j = 0; j < k->R; j++) {
            sum += k->value[j];
        }
        if (fabs(sum - before) <= SETTLED * sum) { break; }
        before = sum;
    }
    return LORAC_OK;
}

/* x (rows,n) filled with draws. */
static void draw(struct lanczos *k, float *x, size_t rows, uint64_t key)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < k->n; j++) {
            k->host[j] = (float)(lorac_rng_uniform(key, i, j) - 0.5);
        }
        k->dev->ops->write(k->dev, x + i * k->n, k->host, k->n * sizeof *k->host);
    }
}

static void close_lanczos(struct lanczos *k)
{
    float *const device[] = {k->v, k->z, k->spare, k->y, k->small};
    double *const host[] = {k->t, k->q, k->value, k->work, k->gram, k->inverse, k->norm};
    for (size_t i = 0; i < sizeof device / sizeof *device; i++) {
        k->dev->ops->release(k->dev, device[i]);
    }
    for (size_t i = 0; i < sizeof host / sizeof *host; i++) {
        lorac_mem_free(host[i]);
    }
    lorac_mem_free(k->host);
}

static float *device_floats(struct lanczos *k, size_t n)
{
    return k->dev->ops->alloc(k->dev, n * sizeof(float));
}

/* On the side `by_inputs`, with blocks of b rows and V of D. */
static enum lorac_status open_lanczos(struct lanczos *k, size_t b, size_t D, struct lorac_err *err)
{
    k->n = k->by_inputs ? k->w->C : k->w->OC;
    k->N = k->by_inputs ? k->w->OC : k->w->C;
    k->b = b;
    k->D = D;
    size_t widest = k->w->C > k->w->OC ? k->w->C : k->w->OC;
    k->v = device_floats(k, D * k->n);
    k->z = device_floats(k, b * k->n);
    k->spare = device_floats(k, b * k->n);
    k->y = device_floats(k, b * k->N);
    k->small = device_floats(k, b * D);
    k->host = lorac_mem_new(b * D + widest, sizeof *k->host);
    k->t = lorac_mem_new(D * D, sizeof *k->t);
    k->q = lorac_mem_new(D * D, sizeof *k->q);
    k->value = lorac_mem_new(D, sizeof *k->value);
    k->work = lorac_mem_new(2 * D, sizeof *k->work);
    k->gram = lorac_mem_new(b * b, sizeof *k->gram);
    k->inverse = lorac_mem_new(b * b, sizeof *k->inverse);
    k->norm = lorac_mem_new(b, sizeof *k->norm);
    bool all = k->v && k->z && k->spare && k->y && k->small && k->host && k->t && k->q &&
               k->value && k->work && k->gram && k->inverse && k->norm;
    return all ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory to factor '%s'", k->w->name);
}

/* Row i of x (R,n) times factor[i], in place. */
static void scale_rows(struct lanczos *k, float *x, size_t n, const double *factor)
{
    for (size_t i = 0; i < k->R; i++) {
        k->dev->ops->scale(k->dev, x + i * n, n, (float)factor[i]);
    }
}

/* From right singular vectors to the pair: of X W^T, what is left of M's rounding is turned out of
 * both sides. */
static enum lorac_status part(struct lanczos *k, float *own, float *other, double s,
                              struct lorac_err *err)
{
    const struct lorac_backend *op = k->dev->ops;
    size_t R = k->R;
    if (k->by_inputs) {
        op->linear(k->dev, k->y, k->v, k->w->w, NULL, R);
    } else {
        op->linear_backward(k->dev, k->y, k->v, k->w->w, R, 0.0F);
    }
    op->matmul_nt(k->dev, k->small, k->y, k->y, R, k->N, R, 1.0F, 0.0F);
    op->read(k->dev, k->host, k->small, R * R * sizeof *k->host);
    for (size_t i = 0; i < R * R; i++) {
        k->t[i] = (double)k->host[i];
    }
    if (!lorac_eigen(k->value, k->q, k->t, k->work, R)) { return no_eigenvectors(k, err); }
    turn(k, own, R, k->v, R, k->n);
    turn(k, other, R, k->y, R, k->N);
    double *near = k->work; // factors of unit vectors, and of those that W has made as long as S
    double *far = k->work + R;
    for (size_t i = 0; i < R; i++) {
        double S = sqrt(fmax(k->value[i], 0.0));
        bool some = S > 1e-6 * sqrt(fmax(k->value[0], 0.0));
        near[i] = some ? sqrt(S / s) : 0.0;
        far[i] = some ? sqrt(S / s) / S : 0.0;
    }
    scale_rows(k, own, k->n, near);
    scale_rows(k, other, k->N, far);
    return LORAC_OK;
}

enum lorac_status lorac_factor_principal(float *a, float *bt, struct lorac_device *dev,
                                         const struct lorac_module *w, size_t R, double s,
                                         uint64_t key, struct lorac_err *err)
{
    struct lanczos k = {.dev = dev, .w = w, .R = R, .by_inputs = w->C <= w->OC};
    size_t n = k.by_inputs ? w->C : w->OC;
    size_t b = R + MORE < n ? R + MORE : n;
    size_t blocks = (n + b - 1) / b;
    enum lorac_status st = open_lanczos(&k, b, b * (blocks < DEPTH ? blocks : DEPTH), err);
    if (st) { goto done; }
    draw(&k, k.z, b, key);
    orthonormalise(&k, k.norm, b); // norm is zero still
    dev->ops->copy(dev, k.v, k.z, b * n * sizeof *k.v);
    st = settle(&k, err);
    if (!st) { st = part(&k, k.by_inputs ? a : bt, k.by_inputs ? bt : a, s, err); }
done:
    close_lanczos(&k);
    return st;
}

enum lorac_status lorac_factor_qr(float *a, float *bt, struct lorac_device *dev,
                                  const struct lorac_module *w, size_t R, uint64_t key,
                                  struct lorac_err *err)
{
    struct lanczos k = {.dev = dev, .w = w, .R = R};
    enum lorac_status st = open_lanczos(&k, R, R, err);
    if (st) { goto done; }
    memset(k.host, 0, w->C * sizeof *k.host);
    for (size_t i = 0; i < R; i++) { // the first R columns of W, as rows
        k.host[i] = 1.0F;
        dev->ops->write(dev, a, k.host, w->C * sizeof *k.host);
        dev->ops->linear(dev, k.z + i * k.n, a, w->w, NULL, 1);
        k.host[i] = 0.0F;
    }
    orthonormalise(&k, k.norm, R);
    for (size_t i = 0; i < R; i++) { // a column that depends on those before it leaves its own open
        if (k.gram[i * (R + 1)] > 0.0) { continue; }
        draw(&k, k.z + i * k.n, 1, key + i);
    }
    orthonormalise(&k, k.norm, R);
    dev->ops->copy(dev, bt, k.z, R * k.n * sizeof *bt);
    dev->ops->linear_backward(dev, a, bt, w->w, R, 0.0F);
done:
    close_lanczos(&k);
    return st;
}
