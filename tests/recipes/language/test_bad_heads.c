/*
 * Wrong recipes of heads, and those without a head that speak of one. What is promised: each is
 * refused with the message below, which names file, line, column, what was found and what was
 * expected.
 */
#include "base/core/buf.h"
#include "recipes/language/recipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

// clang-format off
#define HEAD(data) "recipe: 1\nmodel: {path: m}\ndata: " data "\n"
#define BASE HEAD("{train: t.csv}") "template: {prompt: '{x}', completion: ' {y}'}\n"

static const struct {
    const char *text, *want; // all messages, one a line
} cases[] = {
    {BASE "objective: classify\n",
     "r.yaml: data.labels: missing; objective: classify learns what stands in a column, as "
     "data.labels: label"},
    {BASE "objective: {class_weights: balanced, label_smoothing: 0.1}\n",
     "r.yaml:5:28: objective.class_weights: has no effect without an objective that has a head "
     "(classify, multilabel, regress, tag)\nr.yaml:5:55: objective.label_smoothing: has no effect "
     "without an objective that has a head (classify, multilabel, regress, tag)"},
    {HEAD("{train: t.csv, labels: y}")
     "template: {prompt: '{x}', completion: ' {y}', append_eos: false}\nobjective: classify\n",
     "r.yaml:4:39: template.completion: has no effect with objective: classify\nr.yaml:4:59: "
     "template.append_eos: has no effect with objective: classify"},
    {HEAD("{train: t.csv, labels: {column: y, separator: ','}}")
     "objective: classify\n",
     "r.yaml:3:53: data.labels.separator: has no effect with objective: classify"},
    {HEAD("{train: t.csv, labels: {column: y, map: {a: b}}}")
     "objective: {kind: regress, class_weights: balanced}\n",
     "r.yaml:3:47: data.labels.map: has no effect with objective: regress\nr.yaml:4:43: "
     "objective.class_weights: has no effect with objective: regress"},
    {HEAD("{train: t.csv, labels: y}") "objective: tag\ntemplate: {pair: '{x}'}\n",
     "r.yaml:5:18: template.pair: has no effect with objective: tag"},
    {HEAD("{train: t.csv, labels: y}")
     "objective: {kind: multilabel, label_smoothing: 0.1}\n",
     "r.yaml:4:48: objective.label_smoothing: has no effect with objective: multilabel"},
    {HEAD("{train: t.csv, labels: y}")
     "objective: {kind: classify, class_weights: {a: 0}, label_smoothing: 1}\n",
     "r.yaml:4:48: objective.class_weights: must be a number above 0 and up to 1e+06, found "
     "'0'\nr.yaml:4:69: objective.label_smoothing: must be a number from 0 and below 1, found '1'"},
    {HEAD("{train: t.csv, labels: y}")
     "objective: {kind: classify, class_weights: even}\n",
     "r.yaml:4:44: objective.class_weights: must be balanced, or a map of labels to numbers, found "
     "'even'"},
    {HEAD("{train: t.csv, labels: y}")
     "objective: regress\neval: {metrics: [loss, perplexity], samples: 1}\n",
     "r.yaml:5:17: eval.metrics: there is no 'perplexity' with objective: regress\nr.yaml:5:46: "
     "eval.samples: has no effect with objective: regress"},
    {HEAD("{train: t.txt, kind: text}") "objective: classify\n",
     "r.yaml:4:12: objective.kind: 'classify' learns from a column, and with data.kind: text there "
     "are none"},
    {HEAD("{train: t.csv, labels: y}") "objective: multilable\n",
     "r.yaml:4:12: objective.kind: must be 'causal_lm' or 'masked_lm' or 'classify' or "
     "'multilabel' or 'regress' or 'tag', found 'multilable' (did you mean 'multilabel'?)"},
    {HEAD("{train: t.csv}") "objective: masked_lm\n",
     "r.yaml:4:12: objective.kind: 'masked_lm' learns from plain text, and data.kind is table; "
     "write data.kind: text"},
    {HEAD("{train: t.txt, kind: text}") "objective: masked_lm\n"
     "template: {append_eos: false}\neval: {samples: 3, metrics: [accuracy]}\n",
     "r.yaml:5:24: template.append_eos: has no effect with objective: masked_lm\nr.yaml:6:17: "
     "eval.samples: has no effect with objective: masked_lm\nr.yaml:6:29: eval.metrics: there is "
     "no 'accuracy' with objective: masked_lm"},
    {HEAD("{train: t.txt, kind: text}") "objective: {mask_share: 0.3}\n",
     "r.yaml:4:25: objective.mask_share: has no effect without objective: masked_lm"},
    {HEAD("{train: t.txt, kind: text}") "objective: {kind: masked_lm, mask_share: 1}\n",
     "r.yaml:4:42: objective.mask_share: must be a number above 0 and below 1, found '1'"},
    {HEAD("{train: t.csv, on_too_long: truncate_end}") "template: {completion: '{y}'}\n",
     "r.yaml:3:35: data.on_too_long: must be another with objective: causal_lm: a text's end is "
     "its answer"},
};
// clang-format on

static void each_wrong_recipe_is_refused_with_its_message(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text;
        struct lorac_buf found = {0};
        struct lorac_recipe_errors errors = {0};
        struct lorac_recipe *recipe = NULL;
        struct lorac_err err = {0};
        assert_int_equal(
            lorac_recipe_parse(&recipe, text, strlen(text), "r.yaml", "/r", NULL, 0, &errors, &err),
            LORAC_EUSER);
        assert_null(recipe);
        for (size_t k = 0; k < errors.n; k++) {
            lorac_buf_printf(&found, "%s%s", k ? "\n" : "", errors.at[k].text);
        }
        assert_string_equal(found.at, cases[i].want);
        lorac_recipe_errors_free(&errors);
        lorac_buf_free(&found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_wrong_recipe_is_refused_with_its_message),
    };
    return cmocka_run_group_tests_name("bad heads", tests, NULL, NULL);
}
