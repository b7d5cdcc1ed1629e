/* reference.c - see reference.h. */
#include "tests/support/reference.h"

#include "base/core/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

void reference_open(struct lorac_json *root)
{
    assert_int_equal(lorac_json_load(root, LORAC_TESTS_DIR "/golden/reference.json", 1 << 20, NULL),
                     LORAC_OK);
}

void reference_ids(struct lorac_ids *ids, const struct lorac_json *from, const char *key)
{
    struct lorac_json list = lorac_json_get(from, key);
    ids->n = 0;
    for (size_t i = 0; i < json_array_size(list.value); i++) {
        int32_t id = (int32_t)json_integer_value(json_array_get(list.value, i));
        assert_int_equal(lorac_ids_add(ids, id, NULL), LORAC_OK);
    }
    assert_true(ids->n > 0);
}

void reference_near(const char *what, double got, const struct lorac_json *from, const char *key)
{
    double want = 0.0;
    assert_int_equal(lorac_json_number(&want, from, key, true, NULL), LORAC_OK);
    if (fabs(got - want) > 2e-6 * want) { // 8 digits in the file, float32 on both sides
        fail_msg("%s %s: %.9g, expected %.9g", what, key, got, want);
    }
}

double reference_nll(const struct lorac_model *m, const struct lorac_socket *socket,
                     const struct lorac_ids *ids)
{
    struct lorac_pass *pass = NULL;
    struct lorac_batch *b = NULL;
    struct lorac_pass_options o = {.max_rows = ids->n};
    float *nll = lorac_mem_new(ids->n, sizeof *nll);
    double sum = 0.0;
    assert_int_equal(lorac_pass_new(&pass, m, socket, &o, NULL), LORAC_OK);
    assert_int_equal(lorac_batch_new(&b, ids->n, 1, ids->n, NULL), LORAC_OK);
    lorac_batch_clear(b);
    (void)lorac_batch_add(b, ids->at, ids->n, -1);
    for (size_t i = 1; i < ids->n; i++) {
        lorac_batch_score(b, i - 1, ids->at[i]);
    }
    assert_int_equal(lorac_pass_forward(pass, b, NULL, NULL), LORAC_OK);
    lorac_pass_loss(pass, b, nll, false);
    for (size_t i = 0; i < b->T; i++) {
        sum += (double)nll[i];
    }
    lorac_mem_free(nll);
    lorac_pass_free(pass);
    lorac_batch_free(b);
    return sum;
}
