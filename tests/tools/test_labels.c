/*
 * An adapter's labels behind one prompt. What is promised: the likeliest alone is the first of all
 * of them, and rows of labels that cannot win do not run for it.
 */
#include "base/compute/weight.h"
#include "base/core/buf.h"
#include "lora/saved.h"
#include "recipes/run/job.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"
#include "tools/verbs.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { KEYS = 8, LAYERS = 2 }; // of tiny.h's model: a key of one head, and as long a value

/* The first is short: its likelihood is far above that of the others, of which the first letters
 * alone may be likelier. */
enum { SPACE = 1, FIRST = 4 }; // of all labels; b, c, d and e
static const char *const labels[] = {"a",     "bears", "beans", "boats", "bones", "cakes", "cards",
                                     "coins", "color", "doors", "dates", "dukes", "early", "eight"};

static size_t n_rows; // of products that make keys and values

static void count_rows(struct lorac_device *dev, float *y, const float *x,
                       const struct lorac_weight *w, const float *bias, size_t N)
{
    if (w->OC == KEYS) { n_rows += N; }
    lorac_backend_ref.linear(dev, y, x, w, bias, N);
}

static size_t rows_of(struct label_answer *a, struct bench *b, const char *text, bool all)
{
    struct lorac_ids prompt = {0};
    struct lorac_err err = {0};
    for (; *text; text++) {
        assert_int_equal(lorac_ids_add(&prompt, *text, &err), LORAC_OK); // ids are bytes
    }
    n_rows = 0;
    if (bench_labels(a, b, &prompt, all, &err)) { fail_msg("%s", err.text); }
    lorac_ids_free(&prompt);
    return n_rows / ((size_t)2 * LAYERS);
}

static void what_cannot_win_does_not_run(void **state)
{
    (void)state;
    static const char *const prompts[] = {"so warm is", "it is", "no, it is"};
    const struct lorac_saved saved = {.prompt = "{text} is",
                                      .completion = " {label}",
                                      .labels = labels,
                                      .K = sizeof labels / sizeof *labels};
    struct runs_job s;
    struct lorac_adapter *adapter = NULL;
    struct lorac_buf json = {0};
    runs_open_job(&s, 0, NULL);
    assert_int_equal(lorac_job_adapter(&adapter, s.j, NULL), LORAC_OK); // B is 0: it is the base
    lorac_saved_write(&json, &saved);
    adapter->template_json = json.at;
    struct bench b = {.model = s.j->model,
                      .tokenizer = s.j->tokenizer,
                      .stack = {.n = 1, .adapter = {adapter}, .factor = {1.0F}}};
    struct lorac_backend counting = lorac_backend_ref;
    const struct lorac_backend *own = s.j->dev.ops;
    counting.linear = count_rows;
    s.j->dev.ops = &counting;
    for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++) {
        struct label_answer all;
        struct label_answer best;
        size_t whole = rows_of(&all, &b, prompts[i], true);
        size_t cut = rows_of(&best, &b, prompts[i], false);
        assert_int_equal(all.ranked[0].k, 0);
        assert_int_equal(best.ranked[0].k, 0);
        assert_true(fabs(best.ranked[0].nll - all.ranked[0].nll) < 1e-4); // sums in another order
        assert_int_equal(whole, strlen(prompts[i]) + SPACE + 38); // but the last of each label
        assert_true(cut <= strlen(prompts[i]) + SPACE + FIRST);
        label_answer_free(&all);
        label_answer_free(&best);
    }
    s.j->dev.ops = own;
    lorac_adapter_free(adapter);
    runs_close_job(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_win_does_not_run),
    };
    return cmocka_run_group_tests_name("labels", tests, runs_make, runs_remove);
}
