/* eigen.c - see eigen.h. Loops run along rows, so that compilers make vectors of them. */
#include "lora/eigen.h"

#include <float.h>
#include <math.h>

enum { MOST_STEPS = 60 }; // two or three are usual

static void add_row(double *to, double factor, const double *from, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        to[j] += factor * from[j];
    }
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0.0;
    for (size_t j = 0; j < n; j++) {
        sum += a[j] * b[j];
    }
    return sum;
}

/* The reflection H = I - beta u u^T (n,n) that turns x into (alpha, 0, ..., 0): u over x, and beta;
 * 0 where x is so already. */
static double reflect(double *x, double *alpha, size_t n)
{
    double rest = dot(x + 1, x + 1, n - 1);
    *alpha = x[0];
    if (!(rest > 0.0)) { return 0.0; }
    double norm = sqrt(x[0] * x[0] + rest);
    *alpha = x[0] > 0.0 ? -norm : norm;
    x[0] -= *alpha;
    return 2.0 / (x[0] * x[0] + rest);
}

/* T becomes tridiagonal, d its diagonal and e[i] what stands between i and i+1: V T V^T. */
static void tridiagonalise(double *d, double *e, double *v, double *t, double *w, size_t n)
{
    for (size_t i = 0; i < n * n; i++) {
        v[i] = i % (n + 1) == 0 ? 1.0 : 0.0;
    }
    for (size_t k = 0; k + 2 < n; k++) {
        size_t m = n - k - 1;          // of the rest below and right of (k,k)
        double *u = t + k * n + k + 1; // row k, right of the diagonal
        double beta = reflect(u, &e[k], m);
        if (beta > 0.0) {
            for (size_t j = 0; j < n; j++) {
                w[j] = 0.0;
            }
            for (size_t i = 0; i < m; i++) { // w = beta T u; then w - (beta w.u / 2) u
                add_row(w, beta * u[i], t + (k + 1 + i) * n + k + 1, m);
            }
            add_row(w, -0.5 * beta * dot(w, u, m), u, m);
            for (size_t i = 0; i < m; i++) { // T -= u w^T + w u^T
                double *row = t + (k + 1 + i) * n + k + 1;
                add_row(row, -u[i], w, m);
                add_row(row, -w[i], u, m);
            }
            for (size_t j = 0; j < n; j++) {
                w[j] = 0.0;
            }
            for (size_t i = 0; i < m; i++) { // V -= beta u (u^T V)
                add_row(w, beta * u[i], v + (k + 1 + i) * n, n);
            }
            for (size_t i = 0; i < m; i++) {
                add_row(v + (k + 1 + i) * n, -u[i], w, n);
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        d[i] = t[i * n + i];
    }
    if (n > 1) { e[n - 2] = t[(n - 2) * n + n - 1]; }
    e[n - 1] = 0.0;
}

static void rotate(double *a, double *b, double c, double s, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        double x = a[j];
        a[j] = c * x - s * b[j];
        b[j] = s * x + c * b[j];
    }
}

/* One implicit QL step on rows l .. m. */
static void ql_step(double *d, double *e, double *v, size_t l, size_t m, size_t n)
{
    double g = (d[l + 1] - d[l]) / (2.0 * e[l]); // Wilkinson's shift
    g = d[m] - d[l] + e[l] / (g + copysign(hypot(g, 1.0), g));
    double s = 1.0;
    double c = 1.0;
    double p = 0.0;
    for (size_t i = m; i-- > l;) {
        double f = s * e[i];
        double b = c * e[i];
        double r = hypot(f, g);
        e[i + 1] = r;
        if (!(r > 0.0)) { // it splits here
            d[i + 1] -= p;
            e[m] = 0.0;
            return;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2.0 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        rotate(v + i * n, v + (i + 1) * n, c, s, n);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0.0;
}

static bool diagonalise(double *d, double *e, double *v, size_t n)
{
    for (size_t l = 0; l < n; l++) {
        for (size_t steps = 0;; steps++) {
            size_t m = l;
            while (m + 1 < n && fabs(e[m]) > DBL_EPSILON * (fabs(d[m]) + fabs(d[m + 1]))) {
                m++;
            }
            if (m == l) { break; }
            if (steps == MOST_STEPS) { return false; }
            ql_step(d, e, v, l, m, n);
        }
    }
    return true;
}

static void sort(double *d, double *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t most = i;
        for (size_t j = i + 1; j < n; j++) {
            most = d[j] > d[most] ? j : most;
        }
        double x = d[i];
        d[i] = d[most];
        d[most] = x;
        for (size_t j = 0; j < n && most != i; j++) {
            x = v[i * n + j];
            v[i * n + j] = v[most * n + j];
            v[most * n + j] = x;
        }
    }
}

bool lorac_eigen(double *value, double *v, double *t, double *work, size_t n)
{
    for (size_t i = 0; i < n * n; i++) {
        if (!isfinite(t[i])) { return false; }
    }
    tridiagonalise(value, work, v, t, work + n, n);
    if (!diagonalise(value, work, v, n)) { return false; }
    sort(value, v, n);
    return true;
}
