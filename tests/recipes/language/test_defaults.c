/*
 * What a recipe need not say has the defaults that the folders below give to programs without one.
 */
#include "recipes/language/recipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void defaults_are_those_of_the_folders_below(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_recipe *r = NULL;
    static const char text[] = "recipe: 1\nmodel: {path: m}\ndata: {train: t.csv}\n"
                               "template: {prompt: '{a}', completion: '{b}'}\n";
    if (lorac_recipe_parse(&r, text, sizeof text - 1, "r.yaml", "/r", NULL, 0, NULL, &err)) {
        fail_msg("%s", err.text);
    }
    const struct lorac_optim_options o = lorac_optim_options_default();
    assert_string_equal(r->optimizer.name, o.name);
    assert_string_equal(r->optimizer.schedule, o.schedule);
    const double optim[][2] = {
        {r->optimizer.lr, o.lr},
        {r->optimizer.betas[0], o.beta1},
        {r->optimizer.betas[1], o.beta2},
        {r->optimizer.eps, o.eps},
        {r->optimizer.momentum, o.momentum},
        {r->optimizer.weight_decay, o.weight_decay},
        {r->optimizer.vector_decay, o.vector_decay},
        {r->optimizer.clip_norm, o.clip_norm},
        {r->optimizer.lr_ratio_b, o.lr_ratio_b},
        {r->optimizer.final_lr_ratio, o.final_lr_ratio},
        {r->adapter.alpha, lorac_adapter_options_default().alpha},
        {r->adapter.dropout, lorac_adapter_options_default().dropout},
    };
    for (size_t i = 0; i < sizeof optim / sizeof *optim; i++) {
        assert_true(!(optim[i][0] < optim[i][1]) && !(optim[i][0] > optim[i][1]));
    }
    const struct lorac_adapter_options a = lorac_adapter_options_default();
    assert_int_equal(r->adapter.rank, a.rank);
    assert_int_equal(r->adapter.scaling, a.scaling);
    assert_int_equal(r->adapter.init, a.init);
    assert_int_equal(r->adapter.bias, a.bias);
    assert_int_equal(r->adapter.tie, a.tie);
    assert_int_equal(r->seed, a.seed);
    const struct lorac_dataset_options d = lorac_dataset_options_default();
    assert_int_equal(r->model.max_length, d.max_length);
    assert_int_equal(r->templates.append_eos, d.append_eos);
    assert_int_equal(r->templates.train_on, d.train_on);
    assert_int_equal(r->data.labels.unknown, d.on_unknown_label);
    assert_int_equal(r->data.on_empty, d.on_empty);
    assert_int_equal(r->data.on_too_long, d.on_too_long);
    assert_int_equal(r->data.duplicates, d.duplicates);
    const struct lorac_loader_options l = lorac_loader_options_default();
    assert_int_equal(r->train.batch_tokens, l.batch_tokens);
    assert_int_equal(r->train.batch_size, l.batch_size);
    assert_int_equal(r->train.shuffle, l.shuffle);
    assert_int_equal(r->seed, l.seed);
    lorac_recipe_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_folders_below),
    };
    return cmocka_run_group_tests_name("defaults", tests, NULL, NULL);
}
