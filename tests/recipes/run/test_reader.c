/*
 * What a head says of many texts. What is promised:
 *   - the weights are prepared for products of many rows once so many tokens were asked about, and
 *     not before.
 */
#include "tests/recipes/run/heads.h"

#include "recipes/run/predictor.h"

static size_t n_prepared;

static void count_prepared(struct lorac_device *dev, const struct lorac_weight *const *w, size_t n,
                           bool back)
{
    (void)dev, (void)w, (void)back;
    n_prepared += n;
}

static void many_texts_prepare_the_weights(void **state)
{
    (void)state;
    struct lorac_recipe *r = recipe("classify", NULL, 0);
    struct lorac_job *j = job(r, LORAC_JOB_TRAIN);
    struct lorac_adapter *a = NULL;
    struct lorac_predictor *p = NULL;
    struct lorac_answer answer = {0};
    struct lorac_err err = {0};
    const char *text = "abcdefghijklmnopqrstuvwxyz"; // of 2 to 64 tokens
    struct lorac_backend counting = *j->dev.ops;
    counting.weights_prepare = count_prepared;
    j->dev.ops = &counting;
    j->model->compute = LORAC_BFLOAT16; // float32 has no copies
    check(lorac_job_adapter(&a, j, &err), &err);
    const struct lorac_socket socket = lorac_adapter_socket(a);
    check(lorac_predictor_new(&p, j, &socket, 64, &err), &err);
    size_t asked = 0;
    for (; n_prepared == 0 && asked < LORAC_PREPARE_TOKENS; asked++) {
        check(lorac_predictor_ask(&answer, p, &text, 1, &err), &err);
    }
    assert_true(n_prepared > 0 && asked > LORAC_PREPARE_TOKENS / 64);
    lorac_answer_free(&answer);
    lorac_predictor_free(p);
    lorac_adapter_free(a);
    lorac_job_close(j);
    lorac_recipe_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_texts_prepare_the_weights),
    };
    return cmocka_run_group_tests_name("texts for a head", tests, make_all, tiny_remove);
}
