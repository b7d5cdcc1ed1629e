/*
 * Logits that are no numbers. What is promised: generation ends with an error that says behind
 * which token, whichever of the logits it is; what was shown before stays shown, and nothing is
 * made up behind it.
 */
#include "base/generate.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A device whose logits are damaged from a certain token on. */
static struct {
    size_t V, at, calls, after;
    float value;
} damage;

static void read_damaged(struct lorac_device *dev, void *host, const void *from, size_t bytes)
{
    lorac_backend_ref.read(dev, host, from, bytes);
    if (bytes == damage.V * sizeof(float) && damage.calls++ >= damage.after) {
        ((float *)host)[damage.at] = damage.value;
    }
}

static int write_model(void **state)
{
    (void)state;
    tiny_write(tiny_path("model"));
    return 0;
}

static bool count(void *self, const char *text, size_t n)
{
    (void)text;
    (void)n;
    ++*(size_t *)self;
    return true;
}

static void generation_stops_at_logits_that_are_not_finite(void **state)
{
    (void)state;
    const int32_t prompt[] = {'a', 'b', 'c'};
    struct lorac_backend ops = lorac_backend_ref;
    struct lorac_device dev;
    struct lorac_model *m = NULL;
    struct lorac_tokenizer *t = NULL;
    struct lorac_generator *g = NULL;
    struct lorac_sampling o = lorac_sampling_defaults;
    ops.read = read_damaged;
    assert_int_equal(lorac_device_open(&dev, "ref", 1, NULL), LORAC_OK);
    dev.ops = &ops;
    assert_int_equal(lorac_model_open(&m, &dev, tiny_path("model"), LORAC_FLOAT32, NULL), LORAC_OK);
    assert_int_equal(lorac_tokenizer_open(&t, tiny_path("model"), NULL), LORAC_OK);
    assert_int_equal(lorac_generator_new(&g, m, NULL, 64, 1, NULL), LORAC_OK);
    o.max_tokens = 8;
    const float values[] = {NAN, INFINITY, -INFINITY, 1.0F};
    const size_t places[] = {0, 1, m->config.V - 1};
    for (size_t i = 0; i < 36; i++) {
        struct lorac_ids ids = {0};
        struct lorac_buf text = {0};
        struct lorac_err err = {0};
        enum lorac_finish finish = LORAC_FINISH_LENGTH;
        size_t shown = 0;
        char want[120];
        damage.V = m->config.V;
        damage.value = values[i % 4];
        damage.at = places[i / 4 % 3];
        damage.after = i / 12;
        damage.calls = 0;
        enum lorac_status st =
            lorac_generate(&ids, &text, &finish, g, t, prompt, 3, &o, count, &shown, &err);
        if (isfinite(damage.value)) {
            assert_int_equal(st, LORAC_OK);
        } else {
            (void)snprintf(want, sizeof want,
                           "the logits behind token %zu are not finite: are the weights or the "
                           "adapter damaged?",
                           3 + damage.after);
            assert_int_equal(st, LORAC_EFORMAT);
            assert_string_equal(err.text, want);
            assert_int_equal(ids.n, damage.after);
            assert_true(shown <= damage.after);
        }
        lorac_ids_free(&ids);
        lorac_buf_free(&text);
    }
    lorac_generator_free(g);
    lorac_tokenizer_free(t);
    lorac_model_close(m);
    lorac_device_close(&dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generation_stops_at_logits_that_are_not_finite),
    };
    return cmocka_run_group_tests_name("not_finite", tests, write_model, tiny_remove);
}
