/*
 * Recipes. What is promised:
 *   - the full example and a recipe of ten lines give the right values, absent keys their defaults;
 *   - the key decides the type: numbers where numbers belong, text where text belongs;
 *   - defaults < extends < recipe < --set; maps merge, lists replace;
 *   - relative paths start at the folder of the file that wrote them;
 *   - a resolved recipe reads back to the same recipe, byte for byte;
 *   - every failing allocation or system call is reported and nothing leaks.
 */
#include "recipes/language/recipe.h"

#include "base/core/buf.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/recipes/language/ten.h"
#include "tests/support/faults.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// clang-format off
static const char FULL[] =
    "recipe: 1\n"
    "name: sentiment\n"
    "seed: 1234\n"
    "model:\n"
    "  path: ../base/models/small\n"
    "  compute: float32\n"
    "  max_length: 256\n"
    "adapter:\n"
    "  method: lora\n"
    "  rank: 8\n"
    "  alpha: 16\n"
    "  scaling: standard\n"
    "  dropout: 0.0\n"
    "  init: default\n"
    "  from: null\n"
    "  targets: all-linear\n"
    "  exclude: []\n"
    "  layers: all\n"
    "  bias: none\n"
    "  overrides: []\n"
    "  train_also: []\n"
    "  tie: null\n"
    "data:\n"
    "  train: reviews.csv\n"
    "  valid: {split: 0.1, stratify: label}\n"
    "  test: reviews_test.csv\n"
    "  format: {delimiter: ',', quote: '\"', header: true, encoding: utf-8}\n"
    "  columns: {text: review, label: stars}\n"
    "  labels:\n"
    "    map: {'1': negative, '5': positive}\n"
    "    unknown: error\n"
    "  on_empty: error\n"
    "  on_too_long: truncate_prompt\n"
    "  duplicates: warn\n"
    "template:\n"
    "  prompt: \"Review: {text}\\nSentiment:\"\n"
    "  completion: \" {label}\"\n"
    "  append_eos: true\n"
    "  train_on: completion\n"
    "objective: causal_lm\n"
    "train:\n"
    "  epochs: 3\n"
    "  batch_tokens: 512\n"
    "  accumulate: 1\n"
    "  shuffle: true\n"
    "  threads: auto\n"
    "  keep_activations: auto\n"
    "  share_prefix: auto\n"
    "  cache_frozen_prefix: auto\n"
    "optimizer:\n"
    "  name: adamw\n"
    "  lr: 5e-4\n"
    "  lr_ratio_b: 1.0\n"
    "  betas: [0.9, 0.999]\n"
    "  eps: 1e-8\n"
    "  weight_decay: 0.0\n"
    "  vector_decay: 0.0\n"
    "  clip_norm: 1.0\n"
    "  schedule: cosine\n"
    "  warmup: 5%\n"
    "  final_lr_ratio: 0.0\n"
    "eval:\n"
    "  every: 0.25 epoch\n"
    "  metrics: [loss, perplexity, accuracy, macro_f1]\n"
    "  samples: 2\n"
    "  early_stop: {metric: loss, patience: 3, min_delta: 0.001}\n"
    "output:\n"
    "  dir: runs/${name}\n"
    "  save_every: 1 epoch\n"
    "  keep: [best, last]\n"
    "  dtype: float32\n"
    "  log: [terminal, csv]\n"
    "  merge: false\n";
// clang-format on

/* TEN with more lines behind it. */
static struct lorac_recipe *parse_more(const char *more)
{
    struct lorac_buf text = {0};
    lorac_buf_str(&text, TEN);
    lorac_buf_str(&text, more);
    struct lorac_recipe *r = parse(text.at, NULL, 0);
    lorac_buf_free(&text);
    return r;
}

static void write_file(const char *name, const char *text)
{
    const char *path = tiny_path(name);
    assert_int_equal(lorac_file_write(path, text, strlen(text), NULL), LORAC_OK);
}

static struct lorac_recipe *open_file(const char *name, const struct lorac_recipe_set *sets,
                                      size_t n_sets)
{
    const char *path = tiny_path(name);
    struct lorac_recipe *r = NULL;
    struct lorac_err err = {0};
    if (lorac_recipe_open(&r, path, sets, n_sets, NULL, &err)) { fail_msg("%s", err.text); }
    return r;
}

static void expect_path(const char *found, const char *name)
{
    char want[8192];
    (void)snprintf(want, sizeof want, "%s/%s", tiny_dir(), name);
    assert_string_equal(found, want);
}

static void expect_number(double found, double want)
{
    assert_true(found >= want && found <= want); // the same double, not a near one
}

static void the_full_example_gives_its_values(void **state)
{
    (void)state;
    struct lorac_recipe *r = parse(FULL, NULL, 0);
    assert_string_equal(r->name, "sentiment");
    assert_int_equal(r->seed, 1234);
    assert_string_equal(r->model.path, "/r/../base/models/small");
    assert_string_equal(r->model.compute, "float32");
    assert_int_equal(r->model.max_length, 256);
    assert_int_equal(r->adapter.rank, 8);
    expect_number(r->adapter.alpha, 16.0);
    assert_null(r->adapter.from);
    assert_int_equal(r->adapter.targets.kind, LORAC_RECIPE_TARGETS_ALL_LINEAR);
    assert_int_equal(r->adapter.layers.kind, LORAC_RECIPE_LAYERS_ALL);
    assert_int_equal(r->adapter.overrides.n, 0);
    assert_string_equal(r->data.train.at[0], "/r/reviews.csv");
    assert_int_equal(r->data.valid.kind, LORAC_RECIPE_SPLIT_FRACTION);
    expect_number(r->data.valid.fraction, 0.1);
    assert_string_equal(r->data.valid.stratify, "label");
    assert_string_equal(r->data.test.at[0], "/r/reviews_test.csv");
    assert_int_equal(r->data.format.delimiter, ',');
    assert_int_equal(r->data.format.quote, '"');
    assert_int_equal(r->data.columns.n, 2);
    assert_string_equal(r->data.columns.at[1].key, "label");
    assert_string_equal(r->data.columns.at[1].value, "stars");
    assert_int_equal(r->data.labels.map.n, 2);
    assert_string_equal(r->data.labels.map.at[0].key, "1");
    assert_string_equal(r->data.labels.map.at[1].value, "positive");
    assert_string_equal(r->templates.prompt, "Review: {text}\nSentiment:");
    assert_string_equal(r->templates.completion, " {label}");
    assert_int_equal(r->train.epochs, 3);
    assert_int_equal(r->train.steps, 0);
    assert_int_equal(r->train.batch_tokens, 512);
    assert_int_equal(r->train.batch_size, 0);
    assert_int_equal(r->train.threads, 0);
    expect_number(r->optimizer.lr, 5e-4);
    expect_number(r->optimizer.betas[1], 0.999);
    expect_number(r->optimizer.eps, 1e-8);
    assert_string_equal(r->optimizer.schedule, "cosine");
    assert_true(r->optimizer.warmup.is_percent);
    expect_number(r->optimizer.warmup.percent, 5.0);
    assert_int_equal(r->eval.every.unit, LORAC_RECIPE_EVERY_EPOCHS);
    expect_number(r->eval.every.epochs, 0.25);
    assert_int_equal(r->eval.metrics, 1u << LORAC_METRIC_LOSS | 1u << LORAC_METRIC_PERPLEXITY |
                                          1u << LORAC_METRIC_ACCURACY |
                                          1u << LORAC_METRIC_MACRO_F1);
    assert_int_equal(r->eval.early_stop.metric, LORAC_METRIC_LOSS + 1);
    assert_int_equal(r->eval.early_stop.patience, 3);
    assert_string_equal(r->output.dir, "/r/runs/sentiment");
    assert_int_equal(r->output.keep, 3);
    assert_false(r->output.merge);
    lorac_recipe_free(r);
}

static void ten_lines_have_the_defaults_of_the_full_example(void **state)
{
    (void)state;
    // What the example sets and the ten lines do not have by default.
    const struct lorac_recipe_set sets[] = {{"name=sentiment", false},
                                            {"data.valid={split: .1, stratify: label}", false},
                                            {"data.test=/r/reviews_test.csv", false},
                                            {"data.columns={text: review, label: stars}", false},
                                            {"data.labels.map={1: negative, 5: positive}", false},
                                            {"eval.early_stop.metric=loss", false}};
    struct lorac_recipe *full = parse(FULL, NULL, 0);
    struct lorac_recipe *ten = parse(TEN, NULL, 0);
    struct lorac_recipe *set = parse(TEN, sets, sizeof sets / sizeof *sets);
    struct lorac_buf diff = {0};
    assert_string_equal(ten->name, "ten");
    assert_string_equal(ten->output.dir, "/r/runs/ten");
    assert_int_equal(ten->eval.early_stop.metric, 0);
    assert_int_equal(ten->data.valid.kind, LORAC_RECIPE_SPLIT_NONE);
    lorac_recipe_diff(&diff, full, set);
    lorac_buf_str(&diff, "");
    assert_string_equal(diff.at, "");
    lorac_buf_free(&diff);
    lorac_recipe_free(set);
    lorac_recipe_free(ten);
    lorac_recipe_free(full);
}

static void text_stays_text_however_it_looks(void **state)
{
    (void)state;
    struct lorac_recipe *r = parse_more("adapter: {exclude: [no, null, 1.10, ~]}\n");
    assert_int_equal(r->adapter.exclude.n, 4);
    assert_string_equal(r->adapter.exclude.at[0], "no");
    assert_string_equal(r->adapter.exclude.at[1], "null");
    assert_string_equal(r->adapter.exclude.at[2], "1.10");
    assert_string_equal(r->adapter.exclude.at[3], "~");
    lorac_recipe_free(r);
    const struct lorac_recipe_set sets[] = {
        {"name=007", false},
        {"data.train=no", false},
        {"data.columns={no: null, y: ~, 1.10: 1.10, on: NA}", false},
        {"data.labels.map={no: yes, null: 'null', 1e3: 0x10, true: .5}", false}};
    r = parse(TEN, sets, sizeof sets / sizeof *sets);
    assert_string_equal(r->name, "007");
    assert_string_equal(strrchr(r->data.train.at[0], '/'), "/no");
    static const char *const columns[][2] = {
        {"no", "null"}, {"y", "~"}, {"1.10", "1.10"}, {"on", "NA"}};
    static const char *const labels[][2] = {
        {"no", "yes"}, {"null", "null"}, {"1e3", "0x10"}, {"true", ".5"}};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(r->data.columns.at[i].key, columns[i][0]);
        assert_string_equal(r->data.columns.at[i].value, columns[i][1]);
        assert_string_equal(r->data.labels.map.at[i].key, labels[i][0]);
        assert_string_equal(r->data.labels.map.at[i].value, labels[i][1]);
    }
    lorac_recipe_free(r);
}

static void numbers_are_numbers_however_they_look(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double want;
    } cases[] = {{"1e-5", 1e-5}, {".5", 0.5}, {"2e-4", 2e-4},   {"5.", 5.0},   {"'3'", 3.0},
                 {"1E2", 100.0}, {"+1", 1.0}, {"1.0e-3", 1e-3}, {"010", 10.0}, {"1e-320", 1e-320}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char more[64];
        (void)snprintf(more, sizeof more, "optimizer: {lr: %s}\n", cases[i].text);
        struct lorac_recipe *r = parse_more(more);
        expect_number(r->optimizer.lr, cases[i].want);
        lorac_recipe_free(r);
    }
}

static void forms_of_one_key_are_told_apart(void **state)
{
    (void)state;
    struct lorac_recipe *r =
        parse_more("adapter:\n  layers: last:6\n  targets: [q_proj, v_proj]\n"
                   "  overrides: [{match: '.*mlp.*', rank: 4, alpha: 8}, {match: x, alpha: 1}]\n"
                   "eval: {every: end}\noutput: {save_every: 100, keep: [last]}\n"
                   "train: {steps: 7, batch_size: 4, threads: 2}\noptimizer: {warmup: 10}\n");
    assert_int_equal(r->adapter.layers.kind, LORAC_RECIPE_LAYERS_LAST);
    assert_int_equal(r->adapter.layers.last, 6);
    assert_int_equal(r->adapter.targets.kind, LORAC_RECIPE_TARGETS_LIST);
    assert_string_equal(r->adapter.targets.names.at[1], "v_proj");
    assert_int_equal(r->adapter.overrides.n, 2);
    assert_string_equal(r->adapter.overrides.at[0].match, ".*mlp.*");
    assert_int_equal(r->adapter.overrides.at[0].rank, 4);
    assert_int_equal(r->adapter.overrides.at[1].rank, 0);
    expect_number(r->adapter.overrides.at[1].alpha, 1.0);
    assert_int_equal(r->eval.every.unit, LORAC_RECIPE_EVERY_END);
    assert_int_equal(r->output.save_every.unit, LORAC_RECIPE_EVERY_STEPS);
    assert_int_equal(r->output.save_every.steps, 100);
    assert_int_equal(r->output.keep, 1u << LORAC_RECIPE_KEEP_LAST);
    assert_int_equal(r->train.epochs, 0);
    assert_int_equal(r->train.steps, 7);
    assert_int_equal(r->train.batch_tokens, 0);
    assert_int_equal(r->train.batch_size, 4);
    assert_int_equal(r->train.threads, 2);
    assert_false(r->optimizer.warmup.is_percent);
    assert_int_equal(r->optimizer.warmup.steps, 10);
    lorac_recipe_free(r);
    r = parse_more(
        "adapter: {layers: [0, 1, 11], targets: '.*[qv]_proj'}\neval: {every: 2 epochs}\n");
    assert_int_equal(r->adapter.layers.kind, LORAC_RECIPE_LAYERS_LIST);
    assert_int_equal(r->adapter.layers.n, 3);
    assert_int_equal(r->adapter.layers.at[2], 11);
    assert_int_equal(r->adapter.targets.kind, LORAC_RECIPE_TARGETS_REGEX);
    assert_string_equal(r->adapter.targets.regex, ".*[qv]_proj");
    expect_number(r->eval.every.epochs, 2.0);
    lorac_recipe_free(r);
    r = parse_more("adapter: {layers: 4-11}\n");
    assert_int_equal(r->adapter.layers.kind, LORAC_RECIPE_LAYERS_RANGE);
    assert_int_equal(r->adapter.layers.first, 4);
    assert_int_equal(r->adapter.layers.to, 11);
    lorac_recipe_free(r);
}

static void references_are_replaced_and_escapes_kept(void **state)
{
    (void)state;
    assert_int_equal(setenv("LORAC_TEST_ENV", "a${b}", 1), 0);
    const struct lorac_recipe_set sets[] = {
        {"name=r${adapter.rank}-${optimizer.lr}", false},
        {"template.prompt='$${x} $5 $$ ${env:LORAC_TEST_ENV} ${train.shuffle}'", false},
        {"output.dir=${model.path}/${name}", false},
        {"data.columns.x=${seed}", false}};
    struct lorac_recipe *r = parse(TEN, sets, sizeof sets / sizeof *sets);
    assert_string_equal(r->name, "r8-5e-4");
    assert_string_equal(r->templates.prompt, "${x} $5 $$ a${b} true");
    assert_string_equal(r->output.dir, "/r/../base/models/small/r8-5e-4");
    assert_string_equal(r->data.columns.at[0].value, "1234");
    lorac_recipe_free(r);
}

static void references_that_multiply_are_stopped(void **state)
{
    (void)state;
    struct lorac_buf text = {0};
    lorac_buf_str(&text,
                  "recipe: 1\nmodel: {path: m}\ndata: {train: t.txt}\ntemplate:\n  prompt: '");
    for (int i = 0; i < 4000; i++) {
        lorac_buf_str(&text, "${template.completion}");
    }
    lorac_buf_str(&text, "'\n  completion: '${name}${name}${name}'\n");
    struct lorac_recipe *r = NULL;
    struct lorac_err err = {0};
    assert_int_equal(lorac_recipe_parse(&r, text.at, text.n, "r", NULL, NULL, 0, NULL, &err),
                     LORAC_EUSER);
    assert_string_equal(err.text,
                        "r:5:11: template.prompt: more than 10000 references in a recipe");
    lorac_buf_free(&text);
}

static void later_layers_win_and_maps_merge_while_lists_replace(void **state)
{
    (void)state;
    const char *sub = tiny_path("sub");
    assert_int_equal(lorac_dir_make(sub, NULL), LORAC_OK);
    write_file("sub/base.yaml",
               "recipe: 1\nmodel: {path: small}\nadapter: {rank: 2, alpha: 4, dropout: 0.1}\n"
               "data: {train: t.csv, columns: {a: A, b: B}}\n"
               "template: {prompt: '{a}', completion: '{b}'}\n"
               "eval: {metrics: [loss, accuracy], early_stop: {metric: loss}}\n");
    write_file("child.yaml", "extends: sub/base.yaml\nadapter: {rank: 4, dropout: 0.2}\n"
                             "data: {valid: v.csv, columns: {b: BB, c: C}}\n"
                             "eval: {metrics: [macro_f1], early_stop: null}\n");
    const struct lorac_recipe_set sets[] = {{"adapter.dropout=0.3", false},
                                            {"data.test=t.csv", false},
                                            {"data.columns.a", true},
                                            {"adapter={alpha: 5}", false},
                                            {"train.steps", true}};
    struct lorac_recipe *r = open_file("child.yaml", sets, sizeof sets / sizeof *sets);
    assert_string_equal(r->name, "child");
    assert_int_equal(r->adapter.rank, 4);
    expect_number(r->adapter.alpha, 5.0); // a section that is set is merged
    expect_number(r->adapter.dropout, 0.3);
    expect_path(r->model.path, "sub/small"); // from the folder of the file that wrote it
    expect_path(r->data.train.at[0], "sub/t.csv");
    expect_path(r->data.valid.paths.at[0], "v.csv");
    expect_path(r->output.dir, "runs/child");
    char *test = NULL;
    assert_int_equal(lorac_path_absolute(&test, "t.csv", NULL), LORAC_OK);
    assert_string_equal(r->data.test.at[0], test); // from the current one
    lorac_mem_free(test);
    assert_int_equal(r->data.columns.n, 2);
    assert_string_equal(r->data.columns.at[0].value, "BB");
    assert_string_equal(r->data.columns.at[1].key, "c");
    assert_int_equal(r->eval.metrics, 1u << LORAC_METRIC_MACRO_F1);
    assert_int_equal(r->eval.early_stop.metric, 0);
    lorac_recipe_free(r);
}

static void a_file_that_is_extended_may_not_extend(void **state)
{
    (void)state;
    write_file("two.yaml", "model: 3\nextends: child.yaml\n");
    const char *path = tiny_path("two.yaml");
    struct lorac_recipe *r = NULL;
    struct lorac_recipe_errors errors = {0};
    assert_int_equal(lorac_recipe_open(&r, path, NULL, 0, &errors, NULL), LORAC_EUSER);
    assert_string_equal(errors.at[0].text, "child.yaml:1:10: extends: one level only, this file is "
                                           "extended itself");
    assert_non_null(strstr(errors.at[1].text, "two.yaml:1:8: model: must be a map of keys"));
    lorac_recipe_errors_free(&errors);
}

static void expect_same_after_writing(const struct lorac_recipe *r)
{
    struct lorac_buf first = {0};
    struct lorac_buf second = {0};
    const char *path = tiny_path("recipe.resolved.yaml");
    struct lorac_err err = {0};
    if (lorac_recipe_write(r, path, &err)) { fail_msg("%s", err.text); }
    struct lorac_recipe *again = open_file("recipe.resolved.yaml", NULL, 0);
    lorac_recipe_resolved(&first, r);
    lorac_recipe_resolved(&second, again);
    assert_string_equal(second.at, first.at);
    expect_number(again->optimizer.lr, r->optimizer.lr);
    expect_number(again->eval.every.epochs, r->eval.every.epochs);
    lorac_buf_clear(&first);
    lorac_recipe_diff(&first, r, again);
    assert_int_equal(first.n, 0);
    lorac_recipe_free(again);
    lorac_buf_free(&first);
    lorac_buf_free(&second);
}

static void a_resolved_recipe_reads_back_to_itself(void **state)
{
    (void)state;
    struct lorac_recipe *r = parse(FULL, NULL, 0);
    expect_same_after_writing(r);
    lorac_recipe_free(r);
    char key[400];
    memset(key, 'k', sizeof key);
    (void)snprintf(key + 300, 100, "=v");
    (void)memcpy(key, "data.columns.", 13);
    const struct lorac_recipe_set sets[] = {
        {"template.prompt=\"a\\tb\\r\\n\\x01\\x7f\\u0085\\u2028 \\u2028 \\u2029 "
         "\\uFEFF\\uFFFF\\U0001F600'$${x}\\\\\"",
         false},
        {"template.completion='null'", false},
        {"data.columns={'': 'x: y', '? z': '# c', \"\\n\": ''}", false},
        {key, false},
        {"adapter.layers=[3, 1]", false},
        {"adapter.targets=(q|v)_proj", false},
        {"adapter.overrides=[{match: a, rank: 1}, {match: \"'\", alpha: 0.1}]", false},
        {"train.steps=10", false},
        {"train.batch_size=3", false},
        {"data.valid={split: 0.3}", false},
        {"data.format.delimiter=\"\\t\"", false},
        {"data.format.quote=\"'\"", false},
        {"seed=18446744073709551615", false},
        {"optimizer.lr=0.1234567890123456789", false},
        {"eval.every=0.3333333333333333 epoch", false},
        {"optimizer.warmup=12.5%", false},
        {"output.keep=[last]", false}};
    r = parse(TEN, sets, sizeof sets / sizeof *sets);
    expect_same_after_writing(r);
    assert_int_equal(r->data.columns.n, 4);
    lorac_recipe_free(r);
}

static void a_head_is_said_in_few_words(void **state)
{
    (void)state;
    static const char least[] = "recipe: 1\nmodel: {path: m}\ndata: {train: t.csv, labels: y}\n"
                                "objective: classify\n";
    static const char most[] =
        "recipe: 1\nmodel: {path: m}\n"
        "data: {train: t.csv, labels: {column: y, map: {a: A}}, on_too_long: truncate_end}\n"
        "template: {prompt: '{x}', pair: '{z}'}\n"
        "objective: {kind: classify, class_weights: {A: 2, 'b, c': 0.5}, label_smoothing: 0.1}\n";
    struct lorac_recipe *r = parse(least, NULL, 0);
    assert_string_equal(lorac_objectives[r->objective.kind].name, "classify");
    assert_string_equal(r->data.labels.column, "y");
    assert_true(!r->templates.prompt && !r->templates.pair && !r->objective.class_weights.n);
    assert_int_equal(r->eval.metrics, lorac_objectives[r->objective.kind].usual);
    expect_same_after_writing(r);
    lorac_recipe_free(r);
    r = parse(most, NULL, 0);
    assert_string_equal(r->templates.pair, "{z}");
    assert_int_equal(r->objective.class_weights.n, 2);
    assert_string_equal(r->objective.class_weights.at[1].label, "b, c");
    expect_number(r->objective.class_weights.at[1].weight, 0.5);
    expect_number(r->objective.label_smoothing, 0.1);
    expect_same_after_writing(r);
    lorac_recipe_free(r);
    const struct lorac_recipe_set balanced = {"objective.class_weights=balanced", false};
    r = parse(least, &balanced, 1);
    assert_true(r->objective.class_weights.balanced);
    expect_same_after_writing(r);
    lorac_recipe_free(r);
}

static void a_difference_names_key_and_both_values(void **state)
{
    (void)state;
    const struct lorac_recipe_set sets[] = {{"adapter.rank=16", false}, {"train.steps=5", false}};
    struct lorac_recipe *a = parse(TEN, NULL, 0);
    struct lorac_recipe *b = parse(TEN, sets, 2);
    struct lorac_buf diff = {0};
    lorac_recipe_diff(&diff, a, b);
    assert_string_equal(diff.at, "adapter.rank: 8 -> 16\ntrain.epochs: 3 -> null\n"
                                 "train.steps: null -> 5\n");
    lorac_buf_free(&diff);
    lorac_recipe_free(a);
    lorac_recipe_free(b);
}

static bool names_the_failure(const struct lorac_recipe_errors *errors)
{
    bool named = false;
    for (size_t i = 0; i < errors->n; i++) {
        named = named || strstr(errors->at[i].text, "Input/output error");
    }
    return named;
}

static void every_failure_of_memory_or_system_is_reported(void **state)
{
    (void)state;
    const struct lorac_recipe_set sets[] = {{"name=x-${adapter.rank}", false}, {"data.test", true}};
    const char *const files[] = {"child.yaml", "two.yaml"}; // one that is right, one that is wrong
    const char *out = tiny_path("written.yaml");
    for (size_t which = 0; which < 2 * (size_t)N_FAULTS; which++) {
        const enum faults_kind kind = (enum faults_kind)(which / 2);
        const char *path = tiny_path(files[which % 2]);
        int failures = 0;
        for (long n = 0;; n = faults_next(n, kind == FAULTS_FOREIGN ? 37 : 1)) {
            struct lorac_recipe *r = NULL;
            struct lorac_recipe_errors errors = {0};
            struct lorac_err err = {0};
            faults_start(kind, n);
            enum lorac_status st = lorac_recipe_open(&r, path, sets, 2, &errors, &err);
            if (!st) { st = lorac_recipe_write(r, out, &err); }
            const bool met = faults_stop();
            lorac_recipe_free(r);
            if (!met) {
                lorac_recipe_errors_free(&errors);
                break;
            }
            assert_true(err.text[0]);
            if (kind != FAULTS_CALLS) {
                assert_int_equal(st, LORAC_ENOMEM);
            } else if (st != LORAC_EIO) { // an error of its line, beside others
                assert_int_equal(st, LORAC_EUSER);
                assert_true(names_the_failure(&errors));
            }
            lorac_recipe_errors_free(&errors);
            failures++;
        }
        assert_true(failures > 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_full_example_gives_its_values),
        cmocka_unit_test(ten_lines_have_the_defaults_of_the_full_example),
        cmocka_unit_test(text_stays_text_however_it_looks),
        cmocka_unit_test(numbers_are_numbers_however_they_look),
        cmocka_unit_test(forms_of_one_key_are_told_apart),
        cmocka_unit_test(references_are_replaced_and_escapes_kept),
        cmocka_unit_test(references_that_multiply_are_stopped),
        cmocka_unit_test(later_layers_win_and_maps_merge_while_lists_replace),
        cmocka_unit_test(a_file_that_is_extended_may_not_extend),
        cmocka_unit_test(a_resolved_recipe_reads_back_to_itself),
        cmocka_unit_test(a_head_is_said_in_few_words),
        cmocka_unit_test(a_difference_names_key_and_both_values),
        cmocka_unit_test(every_failure_of_memory_or_system_is_reported),
    };
    return cmocka_run_group_tests_name("recipe", tests, NULL, tiny_remove);
}
