/*
 * Wrong recipes. What is promised: each is refused with the message below, which names file, line,
 * column, what was found and what was expected; a file's errors all come at once, in its order.
 */
#include "recipes/language/recipe.h"

#include "base/core/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// clang-format off
static const char BASE[] = "recipe: 1\nmodel: {path: m}\ndata: {train: t.csv}\n"
                           "template: {prompt: '{x}', completion: ' {y}'}\n";

enum form { WHOLE, MORE }; // the text is the recipe, or stands behind BASE (from line 5)

static const struct {
    enum form form;
    const char *text, *want; // all messages, one a line
} cases[] = {
    {MORE, "adapter:\n  lora_aplha: 16\n",
     "r.yaml:6:3: adapter.lora_aplha: unknown key (did you mean 'alpha'?)"},
    {MORE, "adpater: {rank: 4}\n",
     "r.yaml:5:1: adpater: unknown key (did you mean 'adapter'?)"},
    {MORE, "lr: 1e-4\n",
     "r.yaml:5:1: lr: unknown key (did you mean 'optimizer.lr'?)"},
    {MORE, "adapter: {dropout: 0.1}\ntrain: {share_prefix: on}\n",
     "r.yaml:6:23: train.share_prefix: has no effect with adapter.dropout: each row drops inputs "
     "of its own"},
    {MORE, "optimizer: {learning_rate: 1e-4}\n",
     "r.yaml:5:13: optimizer.learning_rate: unknown key (did you mean 'lr'?)"},
    {MORE, "train: {per_device_train_batch_size: 4}\n",
     "r.yaml:5:9: train.per_device_train_batch_size: unknown key (did you mean 'batch_size'?)"},
    {MORE, "adapter.rank: 4\n",
     "r.yaml:5:1: adapter.rank: a dot in a key; write 'adapter:' and below it 'rank:'"},
    {MORE, "seed: 1\nseed: 2\n",
     "r.yaml:6:1: duplicate key 'seed', first in line 5"},
    {MORE, "adapter: {rank: 8, rank: 8}\n",
     "r.yaml:5:20: duplicate key 'rank', first in line 5"},
    {MORE, "adapter: {rank: 1e-5}\n",
     "r.yaml:5:17: adapter.rank: must be a whole number from 1 to 4096, found '1e-5'"},
    {MORE, "adapter: {rank: 1.5}\n",
     "r.yaml:5:17: adapter.rank: must be a whole number from 1 to 4096, found '1.5'"},
    {MORE, "adapter: {rank: -1}\n",
     "r.yaml:5:17: adapter.rank: must be a whole number from 1 to 4096, found '-1'"},
    {MORE, "adapter: {rank: 0}\n",
     "r.yaml:5:17: adapter.rank: must be a whole number from 1 to 4096, found '0'"},
    {MORE, "adapter: {rank: 007}\n",
     "r.yaml:5:17: adapter.rank: must be a whole number from 1 to 4096, found '007'"},
    {MORE, "adapter: {rank: [8]}\n",
     "r.yaml:5:17: adapter.rank: must be a whole number from 1 to 4096, found a list"},
    {MORE, "adapter: {rank: }\n",
     "r.yaml:5:17: adapter.rank: has no value; leave the key out for its default 8"},
    {MORE, "adapter: {rank: ~}\n",
     "r.yaml:5:17: adapter.rank: has no value; leave the key out for its default 8"},
    {MORE, "adapter: 8\n",
     "r.yaml:5:10: adapter: must be a map of keys, found '8'"},
    {MORE, "adapter: {alpha: 0}\n",
     "r.yaml:5:18: adapter.alpha: must be a number above 0 and up to 1e+06, found '0'"},
    {MORE, "adapter: {dropout: 1.0}\n",
     "r.yaml:5:20: adapter.dropout: must be a number from 0 and below 1, found '1.0'"},
    {MORE, "adapter: {dropout: 0x1}\n",
     "r.yaml:5:20: adapter.dropout: must be a number from 0 and below 1, found '0x1'"},
    {MORE, "adapter: {bias: lora}\n",
     "r.yaml:5:17: adapter.bias: must be 'none' or 'lora_only' or 'all', found 'lora'"},
    {MORE, "adapter: {train_also: lm_head}\n",
     "r.yaml:5:23: adapter.train_also: must be all, or a list of name ends, found 'lm_head'"},
    {MORE, "adapter: {train_also: [''], tie: maybe}\n",
     "r.yaml:5:34: adapter.tie: must be 'keep' or 'untie', found 'maybe'"},
    {MORE, "adapter: {train_also: all, targets: [q_proj]}\n",
     "r.yaml:5:37: adapter.targets: has no effect with adapter.train_also: all, which leaves no "
     "module for a "
     "pair"},
    {MORE, "adapter: {method: none, rank: 4, targets: [q_proj]}\n",
     "r.yaml:5:31: adapter.rank: has no effect with adapter.method: none\n"
     "r.yaml:5:43: adapter.targets: has no effect with adapter.method: none"},
    {MORE, "adapter: {train_also: all, bias: all}\n",
     "r.yaml:5:34: adapter.bias: has no effect with adapter.train_also: all, which leaves no "
     "module for a "
     "pair"},
    {MORE, "adapter: {train_also: all, dropout: 0.1}\n",
     "r.yaml:5:37: adapter.dropout: has no effect with adapter.train_also: all: it drops inputs of "
     "pairs"},
    {MORE, "adapter: {from: x, train_also: [lm_head]}\n",
     "r.yaml:5:32: adapter.train_also: has no effect with adapter.from, which brings its own"},
    {MORE, "output: {keep: []}\n",
     "r.yaml:5:16: output.keep: must hold 'best', 'last' or both: nothing would be left of the "
     "run"},
    {MORE, "optimizer: {name: sgd, betas: [0.9, 0.95]}\n",
     "r.yaml:5:31: optimizer.betas: has no effect with sgd"},
    {MORE, "adapter: {from: x, tie: keep}\n",
     "r.yaml:5:25: adapter.tie: has no effect with adapter.from, which brings its own"},
    {MORE, "optimizer: {vector_decay: 0.1}\n",
     "r.yaml:5:27: optimizer.vector_decay: has no effect without adapter.train_also or "
     "adapter.bias: no vector "
     "trains"},
    {MORE, "adapter: {scaling: rs_lora}\n",
     "r.yaml:5:20: adapter.scaling: must be 'standard' or 'rslora', found 'rs_lora' (did you mean "
     "'rslora'?)"},
    {MORE, "adapter: {targets: []}\n",
     "r.yaml:5:20: adapter.targets: must be a list of at least one suffix, found a list"},
    {MORE, "adapter: {targets: 'q_proj(' }\n",
     "r.yaml:5:20: adapter.targets: 'q_proj(' is no regular expression that is understood: missing "
     "closing parenthesis at character 7"},
    // what the matcher refuses, the recipe does
    {MORE, "adapter: {targets: 'a{,3}'}\n",
     "r.yaml:5:20: adapter.targets: the pattern 'a{,3}': '{,' has no fixed meaning: write {0,n}"},
    {MORE, "adapter: {targets: '[[:alpha:]]'}\n",
     "r.yaml:5:20: adapter.targets: the pattern '[[:alpha:]]': '[[:' has no fixed meaning: write "
     "the characters out"},
    {MORE, "adapter: {targets: '(*UTF)a'}\n",
     "r.yaml:5:20: adapter.targets: '(*UTF)a' is no regular expression that is understood: using "
     "UTF is disabled by the application at character 6"},
    {MORE, "adapter: {targets: 'a\\C'}\n",
     "r.yaml:5:20: adapter.targets: 'a\\C' is no regular expression that is understood: using \\C "
     "is disabled by the application at character 3"},
    {MORE, "adapter: {overrides: [{match: '(a', rank: 4}]}\n",
     "r.yaml:5:31: adapter.overrides: '(a' is no regular expression that is understood: missing "
     "closing parenthesis at character 2"},
    {MORE, "adapter: {layers: last:0}\n",
     "r.yaml:5:19: adapter.layers: must be all, last:6, [0, 1, 11] or 4-11, found 'last:0'"},
    {MORE, "adapter: {layers: 9-4}\n",
     "r.yaml:5:19: adapter.layers: must be all, last:6, [0, 1, 11] or 4-11, found '9-4'"},
    {MORE, "adapter: {layers: [1, 2, 1]}\n",
     "r.yaml:5:26: adapter.layers: layer 1 is listed twice"},
    {MORE, "adapter: {overrides: [{rank: 4}]}\n",
     "r.yaml:5:23: adapter.overrides: 'match' is missing"},
    {MORE, "adapter: {overrides: [{match: x}]}\n",
     "r.yaml:5:23: adapter.overrides: neither 'rank' nor 'alpha' is given"},
    {MORE, "adapter: {overrides: [{match: x, rang: 4}]}\n",
     "r.yaml:5:34: adapter.overrides: unknown key 'rang', an entry has match, rank and alpha"},
    {MORE, "adapter: {exclude: lm_head}\n",
     "r.yaml:5:20: adapter.exclude: must be a list, found 'lm_head'"},
    {MORE, "optimizer: {lr: .inf}\n",
     "r.yaml:5:17: optimizer.lr: must be a number above 0 and up to 1000, found '.inf'"},
    {MORE, "optimizer: {lr: 1e-999}\n",
     "r.yaml:5:17: optimizer.lr: must be a number that is not lost as 0, found '1e-999'"},
    {MORE, "optimizer: {lr: 2e-4x}\n",
     "r.yaml:5:17: optimizer.lr: must be a number above 0 and up to 1000, found '2e-4x'"},
    {MORE, "optimizer: {betas: [0.9]}\n",
     "r.yaml:5:20: optimizer.betas: must be a list of two numbers, found a list"},
    {MORE, "optimizer: {betas: [0.9, 1]}\n",
     "r.yaml:5:26: optimizer.betas: must be a number from 0 and below 1, found '1'"},
    {MORE, "optimizer: {warmup: 0.05}\n",
     "r.yaml:5:21: optimizer.warmup: must be a number of steps (100) or a percentage (5%), found "
     "'0.05'"},
    {MORE, "optimizer: {warmup: 120%}\n",
     "r.yaml:5:21: optimizer.warmup: must be a number of steps (100) or a percentage (5%), found "
     "'120%'"},
    {MORE, "optimizer: {schedule: cosin}\n",
     "r.yaml:5:23: optimizer.schedule: must be 'constant' or 'linear' or 'cosine', found 'cosin' "
     "(did you mean 'cosine'?)"},
    {MORE, "optimizer: {momentum: 0.9}\n",
     "r.yaml:5:23: optimizer.momentum: has no effect with adamw"},
    {MORE, "optimizer: {name: sgd, eps: 1e-6}\n",
     "r.yaml:5:29: optimizer.eps: has no effect with sgd"},
    {MORE, "eval: {steps: 5}\n", "r.yaml:5:8: eval.steps: unknown key (did you mean 'every'?)"},
    {MORE, "eval: {patience: 5}\n",
     "r.yaml:5:8: eval.patience: unknown key (did you mean 'eval.early_stop.patience'?)"},
    {MORE, "output: {steps: 5}\n",
     "r.yaml:5:10: output.steps: unknown key (did you mean 'save_every'?)"},
    {MORE, "train: {metric_for_best_model: 5}\n",
     "r.yaml:5:9: train.metric_for_best_model: unknown key (did you mean 'eval.best'?)"},
    {MORE, "adapter: {train_also: all}\noptimizer: {lr_ratio_b: 4}\n",
     "r.yaml:6:25: optimizer.lr_ratio_b: has no effect with adapter.train_also: all: it is for the "
     "B of pairs"},
    {MORE, "optimizer: {lr_ratio_b: 0}\n",
     "r.yaml:5:25: optimizer.lr_ratio_b: must be a number above 0 and up to 10000, found '0'"},
    {MORE, "optimizer: {schedule: constant, final_lr_ratio: 0.1}\n",
     "r.yaml:5:49: optimizer.final_lr_ratio: has no effect with optimizer.schedule: constant"},
    // what does nothing is looked for once each value is right, and only then
    {MORE, "seed: x\noptimizer: {momentum: 0.9}\n",
     "r.yaml:5:7: seed: must be a whole number from 0 to 18446744073709551615, found 'x'"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, on_empty: skip, train: a}\n"
            "optimizer: {momentum: 0.9}\n",
     "r.yaml:3:30: data.on_empty: has no effect with data.kind: text"},
    // a number has a digit
    {MORE, "optimizer: {weight_decay: .}\n",
     "r.yaml:5:27: optimizer.weight_decay: must be a number from 0 and up to 1000, found '.'"},
    {MORE, "optimizer: {weight_decay: '-'}\n",
     "r.yaml:5:27: optimizer.weight_decay: must be a number from 0 and up to 1000, found '-'"},
    {MORE, "optimizer: {weight_decay: +.}\n",
     "r.yaml:5:27: optimizer.weight_decay: must be a number from 0 and up to 1000, found '+.'"},
    {MORE, "optimizer: {weight_decay: .e5}\n",
     "r.yaml:5:27: optimizer.weight_decay: must be a number from 0 and up to 1000, found '.e5'"},
    {MORE, "optimizer: {weight_decay: e5}\n",
     "r.yaml:5:27: optimizer.weight_decay: must be a number from 0 and up to 1000, found 'e5'"},
    {MORE, "train: {shuffle: yes}\n",
     "r.yaml:5:18: train.shuffle: must be true or false, found 'yes' (did you mean 'true'?)"},
    {MORE, "train: {shuffle: False}\n",
     "r.yaml:5:18: train.shuffle: must be true or false, found 'False' (did you mean 'false'?)"},
    {MORE, "train: {shuffle: maybe}\n",
     "r.yaml:5:18: train.shuffle: must be true or false, found 'maybe'"},
    {MORE, "train: {threads: many}\n",
     "r.yaml:5:18: train.threads: must be a whole number from 1 to 4096 or auto, found 'many'"},
    {MORE, "train: {epochs: 1, steps: 5}\n",
     "r.yaml:5:27: train.steps: excludes train.epochs, which is given at r.yaml:5:17; keep one "
     "(--unset train.epochs)"},
    {MORE, "train: {batch_tokens: 100, batch_size: 5}\n",
     "r.yaml:5:40: train.batch_size: excludes train.batch_tokens, which is given at r.yaml:5:23; "
     "keep one (--unset train.batch_tokens)"},
    {MORE, "train: {epochs: null}\n",
     "r.yaml: train.epochs: either this or train.steps is needed"},
    {MORE, "eval: {every: 1 day}\n",
     "r.yaml:5:15: eval.every: must be steps (100), epochs (0.25 epoch) or end, found '1 day'"},
    {MORE, "eval: {every: 0 epoch}\n",
     "r.yaml:5:15: eval.every: must be steps (100), epochs (0.25 epoch) or end, found '0 epoch'"},
    {MORE, "eval: {metrics: [loss, loss]}\n",
     "r.yaml:5:24: eval.metrics: 'loss' is listed twice"},
    {MORE, "eval: {metrics: loss}\n",
     "r.yaml:5:17: eval.metrics: must be a list of words, found 'loss'"},
    {MORE, "eval: {metrics: [bleu]}\n",
     "r.yaml:5:18: eval.metrics: must be 'loss' or 'perplexity' or 'accuracy' or 'macro_f1' or "
     "'exact_match' or 'micro_f1' or 'weighted_f1' or 'matthews' or 'auc' or 'precision' or "
     "'recall' or 'entity_f1' or 'mse' or 'pearson' or 'spearman' or 'r2', found 'bleu'"},
    {MORE, "eval: {early_stop: {patience: 5}}\n",
     "r.yaml:5:31: eval.early_stop.patience: has no effect without eval.early_stop.metric"},
    {MORE, "train: {watchdog: {patience: 5}}\n",
     "r.yaml:5:30: train.watchdog.patience: has no effect without train.watchdog.loss_above"},
    {MORE, "train: {watchdog: {loss_above: 0}}\n",
     "r.yaml:5:32: train.watchdog.loss_above: must be a number above 0 and up to 1e+09, found '0'"},
    {MORE, "train: {loss_watchdog_threshold: 5}\n",
     "r.yaml:5:9: train.loss_watchdog_threshold: unknown key (did you mean "
     "'train.watchdog.loss_above'?)"},
    {MORE, "adapter: {from: a, rank: 4, alpha: 16, layers: last:1}\n",
     "r.yaml:5:26: adapter.rank: has no effect with adapter.from, which brings its "
     "own\nr.yaml:5:48: adapter.layers: has no effect with adapter.from, which brings its own"},
    {MORE, "eval: {early_stop: 3}\n",
     "r.yaml:5:20: eval.early_stop: must be a map of keys, found '3'"},
    {MORE, "output: {dir: ''}\n",
     "r.yaml:5:15: output.dir: a path must not be empty"},
    {MORE, "output: {dir: ~/runs}\n",
     "r.yaml:5:15: output.dir: ~ is not expanded, write ${env:HOME}"},
    {MORE, "output: {dir: null}\n",
     "r.yaml:5:15: output.dir: has no value; leave the key out for its default 'runs/${name}'"},
    {MORE, "output: {dir: 'runs/${nam}'}\n",
     "r.yaml:5:15: output.dir: '${nam}' names no key (did you mean 'name'?); a literal ${ is "
     "written $${"},
    {MORE, "output: {dir: 'runs/${env:LORAC_TEST_UNSET}'}\n",
     "r.yaml:5:15: output.dir: the environment variable 'LORAC_TEST_UNSET' is not set; set it, or "
     "give --set output.dir=VALUE"},
    {MORE, "name: 'a-${env:LORAC_TEST_UNSET}'\n",
     "r.yaml:5:7: name: the environment variable 'LORAC_TEST_UNSET' is not set; set it, or give "
     "--set name=VALUE\n"
     "r.yaml: output.dir: the environment variable 'LORAC_TEST_UNSET' is not set; set it, or give "
     "--set output.dir=VALUE"},
    {MORE, "output: {dir: '${env:LORAC_TEST_UNSET}/runs'}\n",
     "r.yaml:5:15: output.dir: the environment variable 'LORAC_TEST_UNSET' is not set; set it to "
     "the folder that 'runs' lies in, or give --set output.dir=VALUE"},
    {MORE, "output: {dir: '${env:LORAC_TEST_EMPTY}/runs'}\n", // not /runs
     "r.yaml:5:15: output.dir: the environment variable 'LORAC_TEST_EMPTY' is empty; set it to the "
     "folder that 'runs' lies in, or give --set output.dir=VALUE"},
    {MORE, "output: {dir: '${env:LORAC_TEST_UNSET}/${name}'}\n",
     "r.yaml:5:15: output.dir: the environment variable 'LORAC_TEST_UNSET' is not set; set it, or "
     "give --set output.dir=VALUE"},
    {WHOLE, "recipe: 1\nmodel: {path: '${env:LORAC_TEST_UNSET}'}\n"
            "data: {train: '${env:LORAC_TEST_UNSET}/t/a.csv', valid: "
            "'${env:LORAC_TEST_UNSET}/b.csv'}\n"
            "template: {prompt: '{x}', completion: ' {y}'}\n",
     "r.yaml:2:15: model.path: the environment variable 'LORAC_TEST_UNSET' is not set; set it to "
     "this path "
     "(folder with config.json, *.safetensors and the tokenizer's files), or give --set "
     "model.path=VALUE\n"
     "r.yaml:3:15: data.train: the environment variable 'LORAC_TEST_UNSET' is not set; set it to "
     "the folder that 't/a.csv' lies in, or give --set data.train=VALUE\n"
     "r.yaml:3:57: data.valid: the environment variable 'LORAC_TEST_UNSET' is not set; set it to "
     "the folder that 'b.csv' lies in, or give --set data.valid=VALUE"},
    {MORE, "output: {dir: 'runs/${'}\n",
     "r.yaml:5:15: output.dir: between ${ and } a name of 1 to 127 characters is expected"},
    {MORE, "output: {dir: '${env:a-b}'}\n",
     "r.yaml:5:15: output.dir: 'a-b' is no name of an environment variable"},
    {MORE, "output: {dir: '${output.dir}'}\n",
     "r.yaml:5:15: output.dir: '${output.dir}' leads back to itself"},
    {MORE, "output: {dir: '${adapter.exclude}'}\n",
     "r.yaml:5:15: output.dir: '${adapter.exclude}' is a list, not one value"},
    {MORE, "output: {dir: '${adapter.from}'}\n",
     "r.yaml:5:15: output.dir: '${adapter.from}' has no value"},
    {MORE, "name: a/b\n",
     "r.yaml:5:7: name: must be a name that a folder can have, found 'a/b'"},
    {MORE, "name: '${output.dir}'\noutput: {dir: '${name}'}\n",
     "r.yaml:5:7: name: '${name}' leads back to itself\nr.yaml:6:15: output.dir: '${output.dir}' "
     "leads back to itself"},
    {MORE, "seed: -1\n",
     "r.yaml:5:7: seed: must be a whole number from 0 to 18446744073709551615, found '-1'"},
    {MORE, "seed: 18446744073709551616\n",
     "r.yaml:5:7: seed: must be a whole number from 0 to 18446744073709551615, found "
     "'18446744073709551616'"},
    {MORE, "objective: clasify\n",
     "r.yaml:5:12: objective.kind: must be 'causal_lm' or 'masked_lm' or 'classify' or "
     "'multilabel' or 'regress' or 'tag', found 'clasify' (did you mean 'classify'?)"},
    {MORE, "output: {merge: &m true}\n",
     "r.yaml:5:17: anchors are not part of recipes, found '&m'"},
    {MORE, "output: {merge: *m}\n",
     "r.yaml:5:17: aliases are not part of recipes, found '*m'; use ${KEY} in text"},
    {MORE, "output: {merge: !!bool true}\n",
     "r.yaml:5:17: tags are not part of recipes, found 'tag:yaml.org,2002:bool'; the key decides "
     "the type"},
    {MORE, "output: {merge: !mine true}\n",
     "r.yaml:5:17: tags are not part of recipes, found '!mine'; the key decides the type"},
    {MORE, "---\nrecipe: 1\n",
     "r.yaml:5:1: a second document starts here, a recipe is one document"},
    {MORE, "? [a]\n: b\n",
     "r.yaml:5:3: a key must be text, found a map or list"},
    {MORE, "\tname: x\n",
     "r.yaml:5:1: not YAML: found character that cannot start any token (a tab, or text that needs "
     "quotes?)"},
    {MORE, "name: \"a\\0b\"\n",
     "r.yaml:5:7: text with a NUL character"},
    {MORE, "name: [\n",
     "r.yaml:6:1: not YAML: did not find expected node content"},
    {MORE, "name: 'x\n",
     "r.yaml:6:1: not YAML: found unexpected end of stream"},
    {MORE, "a: {b: {c: {d: {e: {f: {g: {h: {i: {j: {k: {l: {m: {n: {o: {p: {q: 1}}}}}}}}}}}}}}}}\n",
     "r.yaml:5:64: maps and lists nested more than 16 deep"},
    {MORE, "extends: other.yaml\n",
     "r.yaml:5:10: extends: /r/other.yaml: cannot open: No such file or directory"},
    {MORE, "train: {memory_limit: 80%}\n",
     "r.yaml:5:9: train.memory_limit: not supported by this version"},
    {MORE, "train: {memory_limit: 80%}\n",
     "r.yaml:5:9: train.memory_limit: not supported by this version"},
    {WHOLE, "",
     "r.yaml: recipe: missing; version of the recipe schema; this program reads 1\nr.yaml: "
     "model.path: missing; folder with config.json, *.safetensors and the tokenizer's "
     "files\nr.yaml: data.train: missing; the training rows: a CSV or JSON lines (data.format); "
     "with data.kind: text, a text "
     "file or a list of them"},
    {WHOLE, "# nothing\n",
     "r.yaml: recipe: missing; version of the recipe schema; this program reads 1\nr.yaml: "
     "model.path: missing; folder with config.json, *.safetensors and the tokenizer's "
     "files\nr.yaml: data.train: missing; the training rows: a CSV or JSON lines (data.format); "
     "with data.kind: text, a text "
     "file or a list of them"},
    {WHOLE, "just text\n",
     "r.yaml:1:1: a recipe is a map of keys, found 'just text'\nr.yaml: recipe: missing; version "
     "of the recipe schema; this program reads 1\nr.yaml: model.path: missing; folder with "
     "config.json, *.safetensors and the tokenizer's files\nr.yaml: data.train: missing; the "
     "training rows: a CSV or JSON lines (data.format); with data.kind: text, a text file or a "
     "list of them"},
    {WHOLE, "[1, 2]\n",
     "r.yaml:1:1: a recipe is a map of keys, found a list\nr.yaml: recipe: missing; version of the "
     "recipe schema; this program reads 1\nr.yaml: model.path: missing; folder with config.json, "
     "*.safetensors and the tokenizer's files\nr.yaml: data.train: missing; the training rows: a "
     "CSV or JSON lines (data.format); with data.kind: text, a text file or a list of them"},
    {WHOLE, "recipe: 2\nmodel: {path: m}\ndata: {train: t.txt, kind: text}\n",
     "r.yaml:1:9: recipe: must be 1, found '2'"},
    {WHOLE, "recipe: 1\nmodel: {path: null}\ndata: {train: t.txt, kind: text}\n",
     "r.yaml:2:15: model.path: has no value"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.csv}\n",
     "r.yaml: template.prompt: missing; a table needs template.prompt or template.completion"},
    {WHOLE, "recipe: 1\nmodel: {path: m, max_length: x}\ndata: {train: t.csv}\n",
     "r.yaml:2:30: model.max_length: must be a whole number from 2 to 16777216, found 'x'\n"
     "r.yaml: template.prompt: missing; a table needs template.prompt or template.completion"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.csv}\ntemplate: {prompt: '{x}'}\n",
     "r.yaml: template.train_on: 'completion' trains nothing without a template.completion; give "
     "one, or write train_on: all"},
    {WHOLE, "recipe: 1\nmodel: {path: m, compute: bfloat}\ndata: {train: t.txt, kind: text}\n",
     "r.yaml:2:27: model.compute: must be 'float32' or 'bfloat16' or 'int8' or 'auto', found "
     "'bfloat' (did you mean 'bfloat16'?)"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.csv, labels: {unknown: skip}}\ntemplate: "
            "{completion: '{y}'}\n",
     "r.yaml:3:40: data.labels.unknown: has no effect without data.labels.map"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.txt, labels: {no: negative}, kind: "
            "text}\n",
     "r.yaml:3:31: data.labels.no: unknown key"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.txt, columns: {a: }, kind: text}\n",
     "r.yaml:3:35: data.columns: must be text ('' for empty text), found nothing"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.txt, columns: [a], kind: text}\n",
     "r.yaml:3:31: data.columns: must be a map, found a list"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.txt, format: {delimiter: tab}, kind: "
            "text}\n",
     "r.yaml:3:42: data.format.delimiter: must be one ASCII character (a tab is \"\\t\"), found "
     "'tab'"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.csv, format: {quote: ','}}\ntemplate: "
            "{completion: '{y}'}\n",
     "r.yaml:3:38: data.format.quote: must differ from data.format.delimiter"},
    {WHOLE, "recipe: 1\nadapter: {init: \xE2\x80\x8B"
     "default}\nmodel: {path: m}\ndata: {train: t}\n"
            "template: {prompt: a, completion: b}\n",
     "r.yaml:2:17: adapter.init: must be 'default' or 'gaussian' or 'pissa' or 'olora', found "
     "'<U+200B>default' (did you mean "
     "'default'?)"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t}\nadapter:\n  rank\xC2\xA0: 4\n"
            "template: {prompt: a, completion: b}\n",
     "r.yaml:5:3: adapter.rank<U+00A0>: unknown key (did you mean 'rank'?)"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.txt, format: {encoding: latin1}, kind: "
            "text}\n",
     "r.yaml:3:41: data.format.encoding: must be 'utf-8' or 'latin-1' or 'windows-1252' or "
     "'utf-16', "
     "found 'latin1' (did you mean 'latin-1'?)"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.txt, valid: {stratify: y}, kind: text}\n",
     "r.yaml:3:29: data.valid: 'split' is missing"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.txt, valid: {split: 10%}, kind: text}\n",
     "r.yaml:3:37: data.valid: must be a share above 0 and below 1, found '10%'"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.txt, valid: {split: 0.1, by: y}, kind: "
            "text}\n",
     "r.yaml:3:42: data.valid: unknown key 'by', expected split and stratify"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.txt, valid: [], kind: text}\n",
     "r.yaml:3:29: data.valid: must be a path, a list of at least one, or {split: 0.1, stratify: "
     "COLUMN}, found a list"},
    {WHOLE, "recipe: 1\nmodel: {path: m, max_len: 3}\ndata: {train: {a: b}}\nadapter: {rank: x}\n",
     "r.yaml:2:18: model.max_len: unknown key (did you mean 'max_length'?)\nr.yaml:3:15: "
     "data.train: must be a path or a list of at least one, found a map\nr.yaml:4:17: "
     "adapter.rank: must be a whole number from 1 to 4096, found 'x'"},
    {WHOLE, "recipe: 1\n\377\n",
     "r.yaml: not YAML: invalid leading UTF-8 octet at byte 10"},
    {WHOLE, "recipe: 1\nname: '${name}'\nmodel: {path: m}\ndata: {train: t.txt, kind: "
            "text}\ntemplate: {completion: '${name}'}\noutput: {dir: x}\n",
     "r.yaml:2:7: name: '${name}' leads back to itself\nr.yaml:5:24: template.completion: "
     "'${name}' leads back to itself"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt], format: "
            "{delimiter: ';'}}\n",
     "r.yaml:3:63: data.format.delimiter: has no effect with data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt], format: "
            "{header: false}}\n",
     "r.yaml:3:60: data.format.header: has no effect with data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt], columns: {a: "
            "b}}\n",
     "r.yaml:3:52: data.columns: has no effect with data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt], labels: {map: "
            "{a: b}}}\n",
     "r.yaml:3:57: data.labels.map: has no effect with data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt], on_empty: "
            "skip}\n",
     "r.yaml:3:53: data.on_empty: has no effect with data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt], on_too_long: "
            "skip}\n",
     "r.yaml:3:56: data.on_too_long: has no effect with data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt], duplicates: "
            "drop}\n",
     "r.yaml:3:55: data.duplicates: has no effect with data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt]}\ntemplate: "
            "{prompt: '{a}'}\n",
     "r.yaml:4:20: template.prompt: has no effect with data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt]}\ntemplate: "
            "{completion: '{a}'}\n",
     "r.yaml:4:24: template.completion: has no effect with data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt]}\ntemplate: "
            "{train_on: all}\n",
     "r.yaml:4:22: template.train_on: has no effect with data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt], valid: {split: "
            "0.1, stratify: y}}\n",
     "r.yaml:3:50: data.valid: 'stratify' has no effect with data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt], separator: "
            "''}\n",
     "r.yaml:3:54: data.separator: must be text, or null for files that are one document each"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt]}\neval: "
            "{metrics: [loss, exact_match]}\n",
     "r.yaml:4:17: eval.metrics: 'exact_match' compares answers, and with data.kind: text there "
     "are none"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: [a.txt, b.txt]}\neval: "
            "{early_stop: {metric: accuracy}}\n",
     "r.yaml:4:29: eval.early_stop.metric: must be 'loss' or 'perplexity' with data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: [a.csv, b.csv]}\ntemplate: {completion: "
            "'{y}'}\n",
     "r.yaml:3:15: data.train: must be one table, found a list of 2 (several files need data.kind: "
     "text)"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: a.csv, separator: x}\ntemplate: "
            "{completion: '{y}'}\n",
     "r.yaml:3:33: data.separator: has no effect without data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: a.txt}\n",
     "r.yaml: template.prompt: missing; a table needs template.prompt or template.completion; for "
     "plain text write data.kind: text"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: []}\n",
     "r.yaml:3:27: data.train: must be a path or a list of at least one, found a list"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {kind: text, train: {a: b}}\n",
     "r.yaml:3:27: data.train: must be a path or a list of at least one, found a map"},
    {WHOLE, "recipe: 1\nmodel: {path: m, max_length: 1}\ndata: {kind: text, train: a.txt}\n",
     "r.yaml:2:30: model.max_length: must be a whole number from 2 to 16777216, found '1'"},
    {WHOLE, "recipe: 1\nmodel: {path: m}\ndata: {train: t.txt, valid: {split: 0}, kind: text}\n",
     "r.yaml:3:37: data.valid: must be a share above 0 and below 1, found '0'"},
};
// clang-format on

static void each_wrong_recipe_is_refused_with_its_message(void **state)
{
    (void)state;
    unsetenv("LORAC_TEST_UNSET");
    assert_int_equal(setenv("LORAC_TEST_EMPTY", "", 1), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_buf text = {0};
        struct lorac_buf found = {0};
        struct lorac_recipe_errors errors = {0};
        struct lorac_recipe *recipe = NULL;
        struct lorac_err err = {0};
        lorac_buf_str(&text, cases[i].form == MORE ? BASE : "");
        lorac_buf_str(&text, cases[i].text);
        assert_int_equal(
            lorac_recipe_parse(&recipe, text.at, text.n, "r.yaml", "/r", NULL, 0, &errors, &err),
            LORAC_EUSER);
        assert_null(recipe);
        for (size_t k = 0; k < errors.n; k++) {
            lorac_buf_printf(&found, "%s%s", k ? "\n" : "", errors.at[k].text);
        }
        assert_string_equal(found.at, cases[i].want);
        assert_string_equal(err.text, errors.at[0].text);
        lorac_recipe_errors_free(&errors);
        lorac_buf_free(&found);
        lorac_buf_free(&text);
    }
}

static void a_wrong_option_is_refused_with_the_option_as_its_place(void **state)
{
    (void)state;
    static const struct {
        struct lorac_recipe_set set;
        const char *want;
    } options[] = {
        {{"adapter.rank=x", false},
         "--set adapter.rank=x: adapter.rank: must be a whole number from 1 to 4096, found 'x'"},
        {{"adapter.lora_aplha=3", false},
         "--set adapter.lora_aplha=3: adapter.lora_aplha: unknown key (did you mean 'alpha'?)"},
        {{"adapter.rank", false}, "--set adapter.rank: expected KEY=VALUE, as in adapter.rank=4"},
        {{"=4", false}, "--set =4: expected KEY=VALUE, as in adapter.rank=4"},
        {{"a..b=4", false}, "--set a..b=4: expected KEY=VALUE, as in adapter.rank=4"},
        {{"adapter.rank.x=4", false},
         "--set adapter.rank.x=4: adapter.rank: must be a whole number from 1 to 4096, found a "
         "map"},
        {{"adapter.targets=[q_proj", false},
         "--set adapter.targets=[q_proj: not YAML: did not find expected ',' or ']'"},
        {{"template.completion={label}", false},
         "--set template.completion={label}: template.completion: must be text, found a map; text "
         "with { or : in it stands in quotes: --set 'KEY=\"TEXT\"'"},
        {{"template.prompt={text} is", false},
         "--set template.prompt={text} is: not YAML: did not find expected <document start>; text "
         "with { or : in it stands in quotes: --set 'KEY=\"TEXT\"'"},
        {{"adapter.rank=", false},
         "--set adapter.rank=: adapter.rank: has no value; leave the key out for its default 8"},
        {{"train.steps=10", false},
         "--set train.steps=10: train.steps: excludes train.epochs, which is given at r.yaml:5:17; "
         "keep one (--unset train.epochs)"},
        {{"optimizer.name=sgd", false},
         "r.yaml:6:20: optimizer.betas: has no effect with sgd (--unset optimizer.betas)"},
        {{"train.epoch", true},
         "--unset train.epoch: train.epoch: unknown key (did you mean 'epochs'?)"},
        {{"extends=x.yaml", false},
         "--set extends=x.yaml: extends: only a recipe can extend another, not an option"},
        {{"name=\xff", false}, "--set name=\xff: not UTF-8"},
    };
    char text[400];
    (void)snprintf(text, sizeof text, "%strain: {epochs: 2}\noptimizer: {betas: [0.8, 0.9]}\n",
                   BASE);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        struct lorac_recipe *recipe = NULL;
        struct lorac_err err = {0};
        assert_int_equal(lorac_recipe_parse(&recipe, text, strlen(text), "r.yaml", "/r",
                                            &options[i].set, 1, NULL, &err),
                         LORAC_EUSER);
        assert_string_equal(err.text, options[i].want);
    }
}

static void the_hundredth_error_is_the_last(void **state)
{
    (void)state;
    struct lorac_buf text = {0};
    for (int i = 0; i < 300; i++) {
        lorac_buf_printf(&text, "k%d: 1\n", i);
    }
    struct lorac_recipe_errors errors = {0};
    struct lorac_recipe *recipe = NULL;
    assert_int_equal(
        lorac_recipe_parse(&recipe, text.at, text.n, "r.yaml", "/r", NULL, 0, &errors, NULL),
        LORAC_EUSER);
    assert_int_equal(errors.n, LORAC_RECIPE_MAX_ERRORS);
    assert_string_equal(errors.at[0].text, "r.yaml:1:1: k0: unknown key");
    assert_string_equal(errors.at[99].text, "r.yaml:100:1: too many errors, the rest is not shown");
    lorac_recipe_errors_free(&errors);
    lorac_buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_wrong_recipe_is_refused_with_its_message),
        cmocka_unit_test(a_wrong_option_is_refused_with_the_option_as_its_place),
        cmocka_unit_test(the_hundredth_error_is_the_last),
    };
    return cmocka_run_group_tests_name("bad recipes", tests, NULL, NULL);
}
