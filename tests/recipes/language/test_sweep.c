/*
 * Files of sweeps. What is promised:
 *   - a grid has all choices of values, in the order of the file, the last key fastest; rows of zip
 *     are one more axis, or stand beside vary's own values of their keys; skip leaves out;
 *   - drawn trials are different ones, within their ranges, the same each time, and more of them
 *     begin with the same;
 *   - a trial is a whole recipe, named by its number and what it says, whatever its place;
 *   - each wrong file is refused with the message below, which names the place; all that is wrong
 *     with one comes at once;
 *   - the sweeps that ship open; the JSON Schema and explain know each key;
 *   - whichever allocation fails is reported.
 */
#define _DEFAULT_SOURCE // mkdtemp
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "recipes/language/sweep_keys.h"
#include "tests/support/faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define RECIPE                                                          \
    "recipe: 1\nmodel: {path: m}\ndata: {train: t.csv, valid: v.csv}\n" \
    "template: {prompt: '{x}', completion: ' {y}'}\n"
#define HEAD "sweep: 1\nrecipe: r.yaml\n" // two lines

static char folder[] = "/tmp/lorac-sweep-XXXXXX";

static void write_file(const char *name, const char *text)
{
    assert_int_equal(lorac_file_write(name, text, strlen(text), NULL), LORAC_OK);
}

static int make(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || chdir(folder)) { return 1; }
    write_file("r.yaml", RECIPE);
    write_file("no_valid.yaml",
               "recipe: 1\nmodel: {path: m}\ndata: {train: t.csv}\ntemplate: {prompt: '{x}', "
               "completion: ' {y}'}\n");
    return 0;
}

static int clean(void **state)
{
    (void)state;
    return chdir("/") || lorac_dir_remove(folder, NULL);
}

static struct lorac_sweep *open_sweep(const char *text, const struct lorac_recipe_set *sets,
                                      size_t n_sets)
{
    struct lorac_sweep *s = NULL;
    struct lorac_err err = {0};
    write_file("s.yaml", text);
    if (lorac_sweep_open(&s, "s.yaml", sets, n_sets, NULL, &err)) { fail_msg("%s", err.text); }
    return s;
}

/* The trials' values, "4 a|16 a". */
static void add_values(struct lorac_buf *b, const struct lorac_sweep *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct lorac_recipe_map *m = &s->trial[i].settings;
        lorac_buf_str(b, i ? "|" : "");
        for (size_t k = 0; k < m->n; k++) {
            lorac_buf_printf(b, "%s%s", k ? " " : "", m->at[k].value);
        }
    }
}

static void trials_are_what_the_file_says(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"vary: {adapter.rank: [4, 16], seed: [1, 2]}\n", "4 1|4 2|16 1|16 2"},
        {"vary: {adapter.rank: [4, 16], optimizer.lr: [5e-4, 1e-3]}\n"
         "skip: [{adapter.rank: 16, optimizer.lr: 0.001}]\n",
         "4 0.0005|4 0.001|16 0.0005"},
        {"vary: {adapter.rank: [4, 16], seed: [1, 2]}\n"
         "zip: [{adapter.targets: [q_proj, v_proj], adapter.rank: 32}]\n",
         "4 1|4 2|16 1|16 2|[\"q_proj\", \"v_proj\"] 32 1|[\"q_proj\", \"v_proj\"] 32 2"},
        {"vary: {seed: [1, 2]}\nzip: [{adapter.rank: 4, adapter.alpha: 8}, "
         "{adapter.rank: 16, adapter.alpha: 32}]\n",
         "4 8 1|4 8 2|16 32 1|16 32 2"},
        {"zip: [{adapter.rank: 4, seed: 1}, {adapter.rank: 16, seed: 2}]\n", "4 1|16 2"},
        {"vary: {data.valid: [a.csv, {split: 0.1}]}\n", NULL},
        {"strategy: grid\nvary: {optimizer.name: [adamw, sgd], optimizer.momentum: [0.0, 0.9]}\n"
         "skip: [{optimizer.name: adamw, optimizer.momentum: 0.9}]\n",
         "adamw 0|sgd 0|sgd 0.9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_buf text = {0};
        struct lorac_buf got = {0};
        lorac_buf_printf(&text, HEAD "%s", cases[i].text);
        struct lorac_sweep *s = open_sweep(text.at, NULL, 0);
        add_values(&got, s);
        if (cases[i].want) { assert_string_equal(got.at, cases[i].want); }
        lorac_sweep_free(s);
        lorac_buf_free(&text);
        lorac_buf_free(&got);
    }
}

static void a_trial_is_a_recipe_named_by_what_it_says(void **state)
{
    (void)state;
    static const char text[] = HEAD "vary: {seed: [1, 2]}\n";
    struct lorac_recipe_set set = {"adapter.rank=2", false};
    struct lorac_sweep *a = open_sweep(text, NULL, 0);
    struct lorac_sweep *b = open_sweep(HEAD "vary: {seed: [2, 1]}\ndir: elsewhere\n", NULL, 0);
    struct lorac_sweep *c = open_sweep(text, &set, 1);
    assert_int_equal(a->trial[1].recipe->seed, 2);
    assert_memory_equal(a->trial[0].name, "001-", 4);
    assert_string_equal(a->trial[1].name + 4, b->trial[0].name + 4);
    assert_string_not_equal(a->trial[0].name + 4, a->trial[1].name + 4);
    assert_string_not_equal(a->trial[0].name + 4, c->trial[0].name + 4);
    assert_int_equal(c->trial[0].recipe->adapter.rank, 2);
    struct lorac_buf dir = {0};
    lorac_buf_printf(&dir, "%s/runs/s/%s", folder, a->trial[0].name);
    assert_string_equal(a->trial[0].recipe->output.dir, dir.at);
    assert_non_null(strstr(b->trial[0].recipe->output.dir, "/elsewhere/001-"));
    assert_null(strstr(a->trial[0].recipe->output.dir, "/elsewhere/"));
    lorac_buf_free(&dir);
    lorac_sweep_free(a);
    lorac_sweep_free(b);
    lorac_sweep_free(c);
}

static void drawn_trials_are_different_and_the_same_each_time(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "strategy: {random: %d}\nvary: {optimizer.lr: {from: 1e-4, to: "
             "1e-2, log: true}, adapter.rank: {from: 1, to: 3}, seed: [1, 2]}\n";
    struct lorac_buf all[2] = {{0}, {0}};
    size_t small = 0;
    bool ranks[4] = {false};
    for (int k = 0; k < 2; k++) {
        char sweep[300];
        (void)snprintf(sweep, sizeof sweep, text, k ? 60 : 20);
        struct lorac_sweep *s = open_sweep(sweep, NULL, 0);
        add_values(&all[k], s);
        for (size_t i = 0; i < s->n; i++) {
            const struct lorac_recipe *r = s->trial[i].recipe;
            assert_in_range(r->adapter.rank, 1, 3);
            ranks[r->adapter.rank] = true;
            assert_true(r->optimizer.lr >= 1e-4 && r->optimizer.lr <= 1e-2);
            small += k && r->optimizer.lr < 1e-3;
        }
        assert_int_equal(s->n, k ? 60 : 20);
        lorac_sweep_free(s);
    }
    assert_memory_equal(all[0].at, all[1].at, all[0].n);
    assert_in_range(small, 15, 45); // by the logarithm half of them; evenly a tenth would be
    assert_true(ranks[1] && ranks[2] && ranks[3]);
    lorac_buf_free(&all[0]);
    lorac_buf_free(&all[1]);
    // all that there are, each once
    struct lorac_sweep *s =
        open_sweep(HEAD "strategy: {random: 5}\nvary: {adapter.rank: [1, 2, 3], seed: [1, 2]}\n"
                        "skip: [{adapter.rank: 2, seed: 2}]\n",
                   NULL, 0);
    assert_int_equal(s->n, 5);
    lorac_sweep_free(s);
}

static void a_halving_says_what_goes_on(void **state)
{
    (void)state;
    struct lorac_sweep *s =
        open_sweep(HEAD "strategy: {halving: {trials: 4, keep: 1/2, every: 0.5 epoch}}\n"
                        "vary: {seed: [1, 2, 3, 4]}\nobjective: {metric: loss}\ngroup_by: [seed]\n",
                   NULL, 0);
    assert_int_equal(s->strategy.kind, LORAC_SWEEP_HALVING);
    assert_int_equal(s->n, 4);
    assert_true(s->strategy.keep > 0.4999 && s->strategy.keep < 0.5001);
    assert_int_equal(s->strategy.every.unit, LORAC_RECIPE_EVERY_EPOCHS);
    assert_int_equal(s->objective.metric, LORAC_METRIC_LOSS + 1);
    assert_string_equal(s->objective_at, "s.yaml:5:12");
    assert_string_equal(s->group_by.at[0], "seed");
    lorac_sweep_free(s);
}

// clang-format off
static const struct {
    const char *text, *want; // all messages, one a line
} wrong[] = {
    {"recipe: r.yaml\nvary: {seed: [1]}\n",
     "s.yaml: sweep: missing; version of the sweep schema; this program reads 1"},
    {"sweep: 2\nrecipe: r.yaml\nvary: {seed: [1]}\n", "s.yaml:1:8: sweep: must be 1, found '2'"},
    {HEAD "vary: {adapter.lora_aplha: [1], adapter: [1], output.dir: [a]}\n",
     "s.yaml:3:8: vary: adapter.lora_aplha: unknown key (did you mean 'alpha'?)\n"
     "s.yaml:3:33: vary: adapter is a section; write its key whole, as in adapter.KEY\n"
     "s.yaml:3:47: vary: output.dir cannot be varied; 'dir' says where the trials go"},
    {HEAD "vray: {seed: [1]}\n",
     "s.yaml:3:1: vray: unknown key of a sweep (did you mean 'vary'?)\n"
     "s.yaml: vary: missing, and there is no zip; nothing would be tried"},
    {HEAD "vary: {seed: [1]}\nadapter: {rank: 4}\n",
     "s.yaml:4:1: adapter: unknown key of a sweep; it belongs into the recipe, or below 'vary' "
     "with the values to try"},
    {HEAD "vary: {}\n", "s.yaml:3:7: vary: is empty, so there is nothing to try"},
    {HEAD "vary: {seed: []}\n", "s.yaml:3:14: seed: the list is empty, so there is no trial"},
    {HEAD "vary: {seed: 1}\n",
     "s.yaml:3:14: seed: must be a list of values, or {from: 1e-4, to: 1e-2, log: true}, "
     "found '1'"},
    {HEAD "vary: {adapter.rank: [4, x], optimizer.lr: [1e-3, -1]}\n",
     "s.yaml:3:26: adapter.rank: must be a whole number from 1 to 4096, found 'x'\n"
     "s.yaml:3:51: optimizer.lr: must be a number above 0 and up to 1000, found '-1'"},
    {HEAD "strategy: {random: 4}\nvary: {optimizer.lr: {from: 1e-2, to: 1e-4}}\n",
     "s.yaml:4:22: optimizer.lr: the range goes the wrong way: from 0.01 to 0.0001"},
    {HEAD "strategy: {random: 4}\nvary: {optimizer.weight_decay: {from: 0, to: 1, log: true}}\n",
     "s.yaml:4:39: optimizer.weight_decay: must be above 0 where 'log' is true"},
    {HEAD "strategy: {random: 4}\nvary: {adapter.rank: {from: 0, to: 5000}}\n",
     "s.yaml:4:29: adapter.rank: must be a whole number from 1 to 4096, found '0'\n"
     "s.yaml:4:36: adapter.rank: must be a whole number from 1 to 4096, found '5000'"},
    {HEAD "strategy: {random: 4}\nvary: {adapter.targets: {from: 0, to: 1}}\n",
     "s.yaml:4:25: adapter.targets: a range is for numbers; write a list of values"},
    {HEAD "strategy: {random: 4}\nvary: {optimizer.lr: {from: 1e-3}}\n",
     "s.yaml:4:22: optimizer.lr: 'to' is missing"},
    {HEAD "vary: {optimizer.lr: {from: 1e-4, to: 1e-3}}\n",
     "s.yaml:3:22: vary: a range has no end of values; draw some with strategy: {random: N}"},
    {HEAD "strategy: {random: 7}\nvary: {adapter.rank: [1, 2], seed: [1, 2, 3]}\n",
     "s.yaml:3:11: strategy: asks for 7 trials, and no more than 6 different ones were found in "
     "500 draws"},
    {HEAD "strategy: tree\nvary: {seed: [1]}\n",
     "s.yaml:3:11: strategy: must be grid, {random: 12} or {halving: {trials: 16, keep: 1/2, "
     "every: 1 epoch}}, found 'tree'"},
    {HEAD "strategy: {halving: {trials: 4, keep: 3/2, every: end}}\nvary: {seed: [1, 2, 3, 4]}\n",
     "s.yaml:3:39: strategy: must be a share above 0 and below 1, as in 1/2, found '3/2'\n"
     "s.yaml:3:51: strategy: must be steps (100) or epochs (1 epoch), found 'end'"},
    {HEAD "strategy: {halving: {trials: 4, keep: 1/2}}\nvary: {seed: [1, 2, 3, 4]}\n",
     "s.yaml:3:21: strategy: 'every' is missing"},
    {HEAD "vary: {adapter.rank: [4, 8, 4]}\n",
     "s.yaml:3:29: vary: trials 1 and 3 are the same recipe"},
    {HEAD "vary: {adapter.rank: [4, 8]}\nskip: [{seed: 1}]\n",
     "s.yaml:4:15: skip: seed is not varied: it stands neither in vary nor in zip"},
    {HEAD "vary: {adapter.rank: [4, 8]}\nskip: [{adapter.rank: 6}]\n",
     "s.yaml:4:8: skip: no trial has these values"},
    {HEAD "vary: {adapter.rank: [4, 8]}\nskip: [{adapter.rank: 4}, {adapter.rank: 8}]\n",
     "s.yaml:4:7: skip: leaves out every trial"},
    {HEAD "vary: {adapter.rank: [4, 8]}\ngroup_by: [seed]\n",
     "s.yaml:4:12: group_by: seed is not varied: it stands neither in vary nor in zip"},
    {HEAD "vary: {adapter.rank: [4, 8]}\nobjective: {metric: acuracy}\n",
     "s.yaml:4:21: objective: 'acuracy' is no metric (did you mean 'accuracy'?); there are loss, "
     "perplexity, accuracy, macro_f1, exact_match, micro_f1, weighted_f1, matthews, auc, "
     "precision, recall, entity_f1, mse, pearson, spearman, r2"},
    {HEAD "vary: {adapter.rank: [4, 8]}\nobjective: {metric: exact_match}\n",
     "s.yaml:4:12: objective: exact_match is not measured by the recipe; add it to eval.metrics"},
    {HEAD "vary: {adapter.rank: [4, 8]}\nobjective: {metric: loss, mode: most}\n",
     "s.yaml:4:33: objective: must be max or min, found 'most'"},
    {"sweep: 1\nrecipe: no_valid.yaml\nvary: {adapter.rank: [4, 8]}\n",
     "s.yaml:2:9: objective: the recipe has no data.valid, so nothing is measured to compare "
     "trials by"},
    {HEAD "vary: {output.log: [[terminal]]}\n",
     "s.yaml:2:9: recipe: output.log of the trials is without csv, from which they are compared"},
    {HEAD "vary: {train.steps: [10, 20], train.epochs: [1]}\n", NULL},
    {HEAD "vary: {optimizer.momentum: [0.5]}\n",
     "s.yaml:3:29: optimizer.momentum: has no effect with adamw"},
    {HEAD "zip: {adapter.rank: 4}\n",
     "s.yaml:3:6: zip: must be a list of maps, as in [{adapter.rank: 4, seed: 1}], found a map"},
    {HEAD "vary: {seed: [1], seed: [2]}\n", "s.yaml:3:19: duplicate key 'seed', first in line 3"},
};
// clang-format on

static void wrong_files_are_refused_with_their_places(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct lorac_sweep *s = NULL;
        struct lorac_recipe_errors errors = {0};
        struct lorac_buf all = {0};
        write_file("s.yaml", wrong[i].text);
        assert_int_equal(lorac_sweep_open(&s, "s.yaml", NULL, 0, &errors, NULL), LORAC_EUSER);
        assert_null(s);
        for (size_t k = 0; k < errors.n; k++) {
            lorac_buf_printf(&all, "%s%s", k ? "\n" : "", errors.at[k].text);
        }
        assert_non_null(all.at);
        if (wrong[i].want) { assert_string_equal(all.at, wrong[i].want); }
        lorac_buf_free(&all);
        lorac_recipe_errors_free(&errors);
    }
}

static void an_option_may_not_change_what_is_varied(void **state)
{
    (void)state;
    struct lorac_sweep *s = NULL;
    struct lorac_err err = {0};
    struct lorac_recipe_set set = {"seed=3", false};
    write_file("s.yaml", HEAD "vary: {seed: [1, 2]}\n");
    assert_int_equal(lorac_sweep_open(&s, "s.yaml", &set, 1, NULL, &err), LORAC_EUSER);
    assert_string_equal(err.text, "seed=3: the sweep varies this key, so the option would have no "
                                  "effect");
}

static void schema_and_explain_know_each_key(void **state)
{
    (void)state;
    struct lorac_json root = {0};
    struct lorac_err err = {0};
    struct lorac_buf text = {0};
    lorac_sweep_schema_json(&text);
    if (lorac_json_parse(&root, text.at, text.n, "schema", &err)) { fail_msg("%s", err.text); }
    json_t *keys = json_object_get(root.value, "properties");
    json_t *vary = json_object_get(json_object_get(keys, "vary"), "properties");
    assert_int_equal(json_object_size(keys), LORAC_SWEEP_KEYS);
    assert_non_null(json_object_get(json_object_get(vary, "adapter.rank"), "anyOf"));
    for (size_t i = 0; i < LORAC_SWEEP_KEYS; i++) {
        char key[40];
        struct lorac_buf one = {0};
        assert_non_null(json_object_get(keys, lorac_sweep_keys[i].path));
        (void)snprintf(key, sizeof key, "sweep.%s", lorac_sweep_keys[i].path);
        assert_int_equal(lorac_recipe_explain(&one, key, NULL), LORAC_OK);
        assert_memory_equal(one.at, key + 6, strlen(key + 6));
        lorac_buf_free(&one);
    }
    lorac_json_free(&root);
    lorac_buf_free(&text);
}

static void sweeps_that_ship_open(void **state)
{
    (void)state;
    static const char *const files[] = {"shop_intent_sweep.yaml", "shop_extract_sweep.yaml"};
    for (size_t i = 0; i < 2; i++) {
        char path[500];
        struct lorac_sweep *s = NULL;
        struct lorac_err err = {0};
        (void)snprintf(path, sizeof path, LORAC_TESTS_DIR "/../recipes/%s", files[i]);
        if (lorac_sweep_open(&s, path, NULL, 0, NULL, &err)) { fail_msg("%s", err.text); }
        assert_int_equal(s->n, 6);
        lorac_sweep_free(s);
    }
}

static void every_failure_is_met(void **state)
{
    (void)state;
    write_file("s.yaml",
               HEAD "strategy: {random: 3}\nvary: {optimizer.lr: {from: 1e-4, to: 1e-2}}\n"
                    "zip: [{seed: 1, adapter.rank: 2}]\n");
    for (int kind = FAULTS_CALLS; kind <= FAULTS_MEMORY; kind++) {
        bool met = true;
        for (long n = 0; met; n = faults_next(n, 11)) {
            struct lorac_sweep *s = NULL;
            struct lorac_err err = {0};
            faults_start((enum faults_kind)kind, n);
            enum lorac_status st = lorac_sweep_open(&s, "s.yaml", NULL, 0, NULL, &err);
            met = faults_stop();
            assert_int_equal(st, met ? faults_status((enum faults_kind)kind) : LORAC_OK);
            assert_int_equal(s != NULL, !met);
            lorac_sweep_free(s);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trials_are_what_the_file_says),
        cmocka_unit_test(a_trial_is_a_recipe_named_by_what_it_says),
        cmocka_unit_test(drawn_trials_are_different_and_the_same_each_time),
        cmocka_unit_test(a_halving_says_what_goes_on),
        cmocka_unit_test(wrong_files_are_refused_with_their_places),
        cmocka_unit_test(an_option_may_not_change_what_is_varied),
        cmocka_unit_test(schema_and_explain_know_each_key),
        cmocka_unit_test(sweeps_that_ship_open),
        cmocka_unit_test(every_failure_is_met),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
