/*
 * What pairs start from, on every backend of this build. What is promised:
 *   - of a weight whose singular values are known, and so close that the method has to restart,
 *     PiSSA's pair is made of the largest ones: their share of the squares within 1e-6, whatever
 *     the orientation and the side that is longer; its halves are of one length;
 *   - of a weight of lower rank, the rest of the pair is zero; of one that isn't finite, an error;
 *   - OLoRA's B has orthonormal columns that span the weight's first, A is B^T W; columns that
 *     depend on each other leave B orthonormal;
 *   - eigenvalues and eigenvectors of symmetric matrices of any size, also with equal values, make
 *     the matrix again.
 */
#include "base/core/mem.h"
#include "lora/eigen.h"
#include "lora/factor.h"
#include "tests/support/backends.h"
#include "tests/support/near.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { LONG = 200, SHORT = 150, R = 5 };

struct fixture {
    struct lorac_device dev;
    struct lorac_module m;
    float *W;      // (OC,C) as it is stored
    float *a, *bt; // device memory
    float a_host[R * LONG], b_host[R * LONG];
};

static void open_weight(struct fixture *f, const char *backend, size_t OC, size_t C, bool turned)
{
    *f = (struct fixture){0};
    f->m = (struct lorac_module){.OC = OC, .C = C, .transposed = turned};
    (void)strcpy(f->m.name, "some.weight");
    assert_int_equal(lorac_device_open(&f->dev, backend, 1, NULL), LORAC_OK);
    assert_int_equal(lorac_device_start(&f->dev, NULL), LORAC_OK);
    f->W = lorac_mem_new(OC * C, sizeof *f->W);
    f->a = f->dev.ops->alloc(&f->dev, R * C * sizeof(float));
    f->bt = f->dev.ops->alloc(&f->dev, R * OC * sizeof(float));
    f->m.w = f->dev.ops->weight_open(&f->dev, f->W, LORAC_F32, OC, C, turned, LORAC_FLOAT32);
}

static void read_pair(struct fixture *f)
{
    f->dev.ops->read(&f->dev, f->a_host, f->a, R * f->m.C * sizeof(float));
    f->dev.ops->read(&f->dev, f->b_host, f->bt, R * f->m.OC * sizeof(float));
}

static void close_weight(struct fixture *f)
{
    f->dev.ops->weight_close(&f->dev, f->m.w);
    f->dev.ops->release(&f->dev, f->a);
    f->dev.ops->release(&f->dev, f->bt);
    lorac_mem_free(f->W);
    lorac_device_close(&f->dev);
}

static float *entry(struct fixture *f, size_t row, size_t column)
{
    return &f->W[f->m.transposed ? column * f->m.OC + row : row * f->m.C + column];
}

/* At most one number stands in each row and column: they are the singular values. 37 and 7 have no
 * common divisor with the sides. */
static double value_of(size_t i)
{
    size_t order = i * 7 % SHORT; // the largest is not the first
    return 3.0 * (1.0 - (double)order / 400.0);
}

static double square(const float *x, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return sum;
}

static void pissa_takes_the_largest_singular_values(void **state)
{
    static const struct {
        size_t OC, C;
        bool turned;
    } shapes[] = {
        {SHORT, LONG, false}, {LONG, SHORT, false}, {SHORT, LONG, true}, {LONG, SHORT, true}};
    const double s = 2.0;
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
        struct fixture f;
        double want = 0.0;
        double got = 0.0;
        open_weight(&f, *state, shapes[k].OC, shapes[k].C, shapes[k].turned);
        for (size_t i = 0; i < SHORT; i++) {
            size_t other = i * 37 % LONG;
            bool wide = f.m.C == LONG;
            *entry(&f, wide ? i : other, wide ? other : i) = (float)value_of(i);
        }
        assert_int_equal(lorac_factor_principal(f.a, f.bt, &f.dev, &f.m, R, s, 7, NULL), LORAC_OK);
        read_pair(&f);
        for (size_t r = 0; r < R; r++) {
            double a = square(f.a_host + r * f.m.C, f.m.C);
            double b = square(f.b_host + r * f.m.OC, f.m.OC);
            assert_true(fabs(a - b) <= 1e-5 * a);
            got += s * s * a * b; // (s |a| |b|)^2 is the square of a singular value
            want += 9.0 * pow(1.0 - (double)r / 400.0, 2.0);
        }
        if (fabs(got - want) > 1e-6 * want) { fail_msg("shape %zu: %.9g of %.9g", k, got, want); }
        close_weight(&f);
    }
}

static void a_weight_of_lower_rank_leaves_the_rest_zero(void **state)
{
    for (size_t rank = 0; rank < R; rank += 3) {
        struct fixture f;
        open_weight(&f, *state, 40, 60, false);
        for (size_t i = 0; i < rank; i++) {
            *entry(&f, 3 * i, 5 * i) = (float)(1 + i);
        }
        assert_int_equal(lorac_factor_principal(f.a, f.bt, &f.dev, &f.m, R, 1.0, 7, NULL),
                         LORAC_OK);
        read_pair(&f);
        for (size_t r = 0; r < R; r++) {
            double want = r < rank ? (double)(rank - r) : 0.0;
            assert_true(fabs(square(f.a_host + r * 60, 60) - want) < 1e-5);
            assert_true(fabs(square(f.b_host + r * 40, 40) - want) < 1e-5);
        }
        close_weight(&f);
    }
}

static void a_weight_that_is_not_finite_is_an_error(void **state)
{
    struct fixture f;
    struct lorac_err err = {0};
    open_weight(&f, *state, 40, 60, false);
    fill(f.W, 40 * 60, 1);
    f.W[77] = NAN;
    assert_int_equal(lorac_factor_principal(f.a, f.bt, &f.dev, &f.m, R, 1.0, 7, &err), LORAC_EUSER);
    assert_string_equal(err.text, "the weight of 'some.weight' has no singular vectors: one of its "
                                  "numbers is not finite");
    close_weight(&f);
}

static void olora_takes_the_first_columns(void **state)
{
    for (int depends = 0; depends < 2; depends++) {
        struct fixture f;
        open_weight(&f, *state, 40, 60, false);
        fill(f.W, 40 * 60, 2);
        for (size_t i = 0; i < 40 && depends; i++) {
            *entry(&f, i, 1) = 0.0F;                    // nothing
            *entry(&f, i, 3) = 2.0F * *entry(&f, i, 0); // nothing new
        }
        assert_int_equal(lorac_factor_qr(f.a, f.bt, &f.dev, &f.m, R, 7, NULL), LORAC_OK);
        read_pair(&f);
        for (size_t r = 0; r < R; r++) {
            for (size_t q = 0; q < R; q++) {
                double sum = 0.0;
                for (size_t i = 0; i < 40; i++) {
                    sum += (double)f.b_host[r * 40 + i] * (double)f.b_host[q * 40 + i];
                }
                assert_true(fabs(sum - (r == q)) < 1e-5);
            }
            for (size_t c = 0; c < 60; c++) {
                double sum = 0.0;
                for (size_t i = 0; i < 40; i++) {
                    sum += (double)f.b_host[r * 40 + i] * (double)*entry(&f, i, c);
                }
                assert_true(fabs(sum - (double)f.a_host[r * 60 + c]) < 1e-5);
                // below the diagonal nothing is left: B spans the columns so far
                if (c < r && !depends) { assert_true(fabs(sum) < 1e-5); }
            }
        }
        close_weight(&f);
    }
}

static void eigenvectors_make_the_matrix_again(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 5, 17, 96};
    for (size_t k = 0; k < 3 * sizeof sizes / sizeof *sizes; k++) {
        size_t n = sizes[k / 3];
        double *t = lorac_mem_new(3 * n * n + n, sizeof *t);
        double *was = t + n * n;
        double *v = was + n * n;
        double *value = v + n * n;
        float *draws = lorac_mem_new(n * n, sizeof *draws);
        double *work = lorac_mem_new(2 * n, sizeof *work);
        fill(draws, n * n, (unsigned)k);
        for (size_t i = 0; i < n; i++) { // random; equal values but for two; zero
            for (size_t j = 0; j <= i; j++) {
                double x = k % 3 == 0   ? (double)draws[i * n + j]
                           : k % 3 == 1 ? (double)(i == j)
                                        : 0.0;
                if (k % 3 == 1 && i == 1) { x += 0.5; }
                t[i * n + j] = t[j * n + i] = was[i * n + j] = was[j * n + i] = x;
            }
        }
        assert_true(lorac_eigen(value, v, t, work, n));
        for (size_t i = 0; i < n; i++) {
            assert_true(i == 0 || value[i - 1] >= value[i]);
            for (size_t j = 0; j < n; j++) {
                double sum = 0.0;
                double unit = 0.0;
                for (size_t h = 0; h < n; h++) {
                    sum += value[h] * v[h * n + i] * v[h * n + j];
                    unit += v[i * n + h] * v[j * n + h];
                }
                assert_true(fabs(sum - was[i * n + j]) < 1e-13 * (double)n);
                assert_true(fabs(unit - (i == j)) < 1e-13 * (double)n);
            }
        }
        t[0] = (double)INFINITY;
        assert_false(lorac_eigen(value, v, t, work, n));
        lorac_mem_free(t);
        lorac_mem_free(draws);
        lorac_mem_free(work);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EACH(pissa_takes_the_largest_singular_values),
        ON_EACH(a_weight_of_lower_rank_leaves_the_rest_zero),
        ON_EACH(a_weight_that_is_not_finite_is_an_error),
        ON_EACH(olora_takes_the_first_columns),
        cmocka_unit_test(eigenvectors_make_the_matrix_again),
    };
    return cmocka_run_group_tests_name("factor", tests, NULL, NULL);
}
