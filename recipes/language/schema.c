/* schema.c - the table of keys; see schema.h. To add a key is one entry here and one field in
 * recipe.h. */
#include "lora/lora.h"
#include "recipes/language/types.h"

#include <string.h>

#define AT(field) .offset = offsetof(struct lorac_recipe, field)
#define COUNTS(lo, hi) .min = (lo), .max = (hi)
#define WORDS(...)        \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }
#define METRICS "loss", "perplexity", "accuracy", "macro_f1", "exact_match"

const char *lorac_metric_name(size_t metric)
{
    static const char *const names[] = {METRICS};
    return metric < sizeof names / sizeof *names ? names[metric] : NULL;
}

static const char *encoding_name(size_t i)
{
    return i < LORAC_N_ENCODINGS ? lorac_encoding_name((enum lorac_encoding)i) : NULL;
}

// clang-format off
const struct lorac_key lorac_keys[] = {
    {"recipe", &lorac_type_count, LORAC_KEY_REQUIRED, AT(version), COUNTS(1, 1),
     .help = "version of the recipe schema; this program reads 1"},
    {"extends", &lorac_type_extends,
     .help = "another recipe whose values this one starts from",
     .more = "One level: the other file may not extend a third. Maps merge, lists replace. The path is relative to this file."},
    {"name", &lorac_type_text, LORAC_KEY_FREE, AT(name),
     .help = "name of the run; default: the recipe's file name"},
    {"seed", &lorac_type_seed, AT(seed), .otherwise = "1234",
     .help = "adapter init, shuffle, dropout and split derive from it"},

    {"model.path", &lorac_type_path, LORAC_KEY_REQUIRED | LORAC_KEY_PLACE | LORAC_KEY_HUB, AT(model.path),
     .help = "folder with config.json, *.safetensors and the tokenizer's files",
     .more = "Also OWNER/NAME, the Hub's name of a model that is in its local cache (hf download OWNER/NAME puts it there)."},
    {"model.compute", &lorac_type_choice, AT(model.compute), .words = WORDS("auto", "float32", "bfloat16"), .later = "bfloat16", .otherwise = "auto",
     .help = "type in which matrix products are computed",
     .more = "The weights stay in the type of the file; only the arithmetic changes."},
    {"model.max_length", &lorac_type_count, AT(model.max_length), COUNTS(2, 1 << 24), .otherwise = "256",
     .help = "tokens per example, prompt and completion together",
     .more = "data.on_too_long says what happens to longer examples."},

    {"adapter.method", &lorac_type_choice, AT(adapter.method), .words = WORDS("lora"), .otherwise = "lora",
     .help = "the kind of adapter"},
    {"adapter.rank", &lorac_type_count, AT(adapter.rank), COUNTS(1, 4096), .otherwise = "8",
     .help = "rank of the update B A of each adapted weight",
     .more = "Called r in PEFT. Memory and time of the adapter grow in proportion to it."},
    {"adapter.alpha", &lorac_type_number, LORAC_KEY_ABOVE_MIN, AT(adapter.alpha), COUNTS(0, 1e6), .otherwise = "16",
     .help = "numerator of the scale of the update",
     .more = "Called lora_alpha in PEFT. The update is multiplied by alpha / rank (see adapter.scaling)."},
    {"adapter.scaling", &lorac_type_choice, AT(adapter.scaling), .words = WORDS("standard", "rslora"), .otherwise = "standard",
     .help = "standard: alpha / rank; rslora: alpha / sqrt(rank)"},
    {"adapter.dropout", &lorac_type_number, LORAC_KEY_BELOW_MAX, AT(adapter.dropout), COUNTS(0, 1), .otherwise = "0.0",
     .help = "probability that an input of the adapter is dropped while training"},
    {"adapter.init", &lorac_type_choice, AT(adapter.init), .words = WORDS("default", "gaussian"), .otherwise = "default",
     .help = "how A starts; B starts at zero",
     .more = "default: uniform as in PEFT (Kaiming, a = sqrt 5); gaussian: normal with deviation 1 / rank."},
    {"adapter.from", &lorac_type_path, LORAC_KEY_PLACE | LORAC_KEY_HUB, AT(adapter.from),
     .help = "start from the adapter in this folder"},
    {"adapter.targets", &lorac_type_targets, AT(adapter.targets), .otherwise = "all-linear",
     .help = "modules to adapt: all-linear, a list of name suffixes, or a regex",
     .more = "A regex must match the whole module name. Each suffix and the regex must match something."},
    {"adapter.exclude", &lorac_type_list, AT(adapter.exclude), .otherwise = "[]",
     .help = "name suffixes of modules not to adapt"},
    {"adapter.layers", &lorac_type_layers, AT(adapter.layers), .otherwise = "all",
     .help = "layers to adapt: all, last:6, [0, 1, 11] or 4-11 (from 0, both included)",
     .more = "The backward pass stops at the lowest adapted layer, so last:N also saves time."},
    {"adapter.bias", &lorac_type_choice, AT(adapter.bias), .words = WORDS("none", "lora_only", "all"), .otherwise = "none",
     .help = "biases that train: none, lora_only (of modules with an adapter), all"},
    {"adapter.overrides", &lorac_type_overrides, AT(adapter.overrides), COUNTS(1, 4096), .otherwise = "[]",
     .help = "other ranks or alphas for some modules: [{match: REGEX, rank: 4, alpha: 8}]",
     .more = "The first entry that matches a module wins; each must match something."},
    {"adapter.train_also", &lorac_type_modules, AT(adapter.train_also), .otherwise = "[]",
     .help = "modules that train in full and get no low-rank pair: a list of name ends, or all",
     .more = "Called modules_to_save in PEFT: lm_head, embed_tokens, model.norm, input_layernorm, layers.0.mlp.up_proj, ... "
             "adapter.layers does not narrow it. With all the whole model trains, and nothing else."},
    {"adapter.tie", &lorac_type_choice_or_none, AT(adapter.tie), .words = WORDS("keep", "untie"),
     .help = "where embed_tokens or lm_head trains in full and the base ties them to one matrix: keep it one, or untie",
     .more = "keep: one matrix trains for both (PEFT's ensure_weight_tying); untie: each goes its own way."},

    {"data.kind", &lorac_type_choice, AT(data.kind), .words = WORDS("table", "text"), .otherwise = "table",
     .help = "table: rows of a CSV under a template; text: plain text, every token trained",
     .more = "Text is cut into documents (data.separator) and these into pieces of model.max_length tokens."},
    {"data.train", &lorac_type_paths, LORAC_KEY_REQUIRED | LORAC_KEY_PLACE, AT(data.train),
     .help = "the training rows: a CSV; with data.kind: text, a text file or a list of them"},
    {"data.valid", &lorac_type_split, LORAC_KEY_PLACE, AT(data.valid),
     .help = "validation rows: a path, or {split: 0.1, stratify: COLUMN}; texts: also a list of paths",
     .more = "A split takes this share of the training rows away, the same rows for the same seed; of texts, documents, or where that is less than 10 of them the end of each."},
    {"data.test", &lorac_type_paths, LORAC_KEY_FREE, AT(data.test),
     .help = "rows for the final evaluation: a path; texts: also a list of paths"},
    {"data.separator", &lorac_type_text, AT(data.separator),
     .help = "texts: what stands between two documents of a file, and is part of none",
     .more = "In double quotes \"\\n\" is a line end. Without it each file is one document. EOS goes behind each (template.append_eos)."},
    {"data.format.delimiter", &lorac_type_char, AT(data.format.delimiter), .min = 1, .otherwise = "','",
     .help = "one character between cells; a tab is \"\\t\""},
    {"data.format.quote", &lorac_type_char, AT(data.format.quote), .otherwise = "'\"'",
     .help = "one character around cells that need it; '' where quotes are characters like others"},
    {"data.format.header", &lorac_type_bool, AT(data.format.header), .otherwise = "true",
     .help = "the first row names the columns"},
    {"data.format.encoding", &lorac_type_choice, AT(data.format.encoding), .row = encoding_name, .otherwise = "utf-8",
     .help = "encoding of the tables; lorac predict writes UTF-8 in any case",
     .more = "windows-1252 is what Excel's CSV is in Western Europe. Of others, iconv -f NAME -t UTF-8 makes UTF-8."},
    {"data.columns", &lorac_type_map, AT(data.columns), .otherwise = "{}",
     .help = "template variable: CSV column, by name or by 1-based number",
     .more = "Default: the names of the header."},
    {"data.labels.map", &lorac_type_map, AT(data.labels.map), .otherwise = "{}",
     .help = "cell text: label text, e.g. {'1': negative, '5': positive}; omit for free text"},
    {"data.labels.unknown", &lorac_type_choice, AT(data.labels.unknown), .words = WORDS("error", "skip"), .otherwise = "error",
     .help = "what to do with a cell that labels.map does not hold"},
    {"data.on_empty", &lorac_type_choice, AT(data.on_empty), .words = WORDS("error", "skip", "keep"), .otherwise = "error",
     .help = "what to do with a row whose cell is empty; counted, with line numbers",
     .more = "Of the columns that the template uses. keep takes the cell as it is; a variable that stands only in an "
             "optional part of its own, {?name}...{/name}, may be blank in any case."},
    {"data.on_too_long", &lorac_type_choice, AT(data.on_too_long), .words = WORDS("truncate_prompt", "skip", "error"), .otherwise = "truncate_prompt",
     .help = "what to do with an example over model.max_length",
     .more = "The completion is never cut."},
    {"data.duplicates", &lorac_type_choice, AT(data.duplicates), .words = WORDS("keep", "warn", "drop"), .otherwise = "warn",
     .help = "what to do with equal rows"},

    {"template.prompt", &lorac_type_text, AT(templates.prompt),
     .help = "text before the completion; {variable} stands for a cell",
     .more = "Saved with the adapter and used with it ever after. {?input}\\nInput: {input}{/input} is an optional part: it "
             "is there where the cell is not blank. A brace that is text, as of JSON, is written {{ or }}, a literal ${ $${."},
    {"template.completion", &lorac_type_text, AT(templates.completion),
     .help = "text that the model learns to write"},
    {"template.append_eos", &lorac_type_bool, AT(templates.append_eos), .otherwise = "true",
     .help = "train the end-of-sequence token behind the completion"},
    {"template.train_on", &lorac_type_choice, AT(templates.train_on), .words = WORDS("completion", "all"), .otherwise = "completion",
     .help = "tokens that count in the loss"},

    {"objective", &lorac_type_choice, AT(objective), .words = WORDS("causal_lm"), .otherwise = "causal_lm",
     .help = "what is learnt"},

    {"train.epochs", &lorac_type_count, LORAC_KEY_NULLABLE | LORAC_KEY_LENGTH, AT(train.epochs), COUNTS(1, 1e9), .otherwise = "3",
     .help = "passes over the training rows; or train.steps"},
    {"train.steps", &lorac_type_count, LORAC_KEY_LENGTH, AT(train.steps), COUNTS(1, 1e12),
     .help = "optimiser steps, instead of train.epochs"},
    {"train.batch_tokens", &lorac_type_count, LORAC_KEY_NULLABLE, AT(train.batch_tokens), COUNTS(1, 1 << 30), .otherwise = "512",
     .help = "packed tokens per micro-batch; or train.batch_size",
     .more = "Eight rows learn well and leave enough steps; 512 are eight of 64 tokens. A longer row is a batch of its own."},
    {"train.batch_size", &lorac_type_count, AT(train.batch_size), COUNTS(1, 1 << 24),
     .help = "examples per micro-batch, instead of train.batch_tokens"},
    {"train.accumulate", &lorac_type_count, AT(train.accumulate), COUNTS(1, 1 << 24), .otherwise = "1",
     .help = "micro-batches per optimiser step",
     .more = "The loss is one mean over all trained tokens of the step, however it is cut."},
    {"train.shuffle", &lorac_type_bool, AT(train.shuffle), .otherwise = "true",
     .help = "a new order of the rows in each epoch"},
    {"train.threads", &lorac_type_count_or_auto, LORAC_KEY_FREE, AT(train.threads), COUNTS(1, 4096), .otherwise = "auto",
     .help = "threads, or auto: one per physical core"},
    {"train.keep_activations", &lorac_type_choice, LORAC_KEY_FREE, AT(train.keep_activations), .words = WORDS("auto", "all", "layers"), .otherwise = "auto",
     .help = "what the forward pass keeps for the backward pass",
     .more = "layers: only each layer's input; the rest is computed again, for less memory."},
    {"train.watchdog.loss_above", &lorac_type_number, LORAC_KEY_ABOVE_MIN | LORAC_KEY_FREE, AT(train.watchdog.loss_above), COUNTS(0, 1e9),
     .help = "stop with an error when the training loss stays above this; omit to train on",
     .more = "The state is saved first; --resume goes on, and the watchdog counts anew."},
    {"train.watchdog.patience", &lorac_type_count, LORAC_KEY_FREE, AT(train.watchdog.patience), COUNTS(1, 1e9), .otherwise = "3",
     .help = "steps in a row above it before the run stops"},

    {"optimizer.name", &lorac_type_name, AT(optimizer.name), .row = lorac_optim_name, .otherwise = "adamw",
     .help = "the optimiser"},
    {"optimizer.lr", &lorac_type_number, LORAC_KEY_ABOVE_MIN, AT(optimizer.lr), COUNTS(0, 1000), .otherwise = "5e-4",
     .help = "peak learning rate",
     .more = "The default suits a base of a billion parameters; one of 0.1 billion takes 1e-3, one of 7 billion 3e-4 (lorac recipe init chooses)."},
    {"optimizer.betas", &lorac_type_betas, LORAC_KEY_BELOW_MAX, AT(optimizer.betas), COUNTS(0, 1), .otherwise = "[0.9, 0.999]",
     .help = "adamw: decay of the two moments"},
    {"optimizer.eps", &lorac_type_number, LORAC_KEY_ABOVE_MIN, AT(optimizer.eps), COUNTS(0, 1), .otherwise = "1e-8",
     .help = "adamw: added to the root of the second moment"},
    {"optimizer.momentum", &lorac_type_number, LORAC_KEY_BELOW_MAX, AT(optimizer.momentum), COUNTS(0, 1), .otherwise = "0.0",
     .help = "sgd: momentum"},
    {"optimizer.weight_decay", &lorac_type_number, AT(optimizer.weight_decay), COUNTS(0, 1000), .otherwise = "0.0",
     .help = "decoupled weight decay of matrices"},
    {"optimizer.vector_decay", &lorac_type_number, AT(optimizer.vector_decay), COUNTS(0, 1000), .otherwise = "0.0",
     .help = "decoupled weight decay of norms' gains and biases that train in full"},
    {"optimizer.clip_norm", &lorac_type_number, AT(optimizer.clip_norm), COUNTS(0, 1e9), .otherwise = "1.0",
     .help = "largest norm of the whole gradient; 0 does not clip"},
    {"optimizer.schedule", &lorac_type_name, AT(optimizer.schedule), .row = lorac_schedule_name, .otherwise = "cosine",
     .help = "course of the learning rate after the warm-up"},
    {"optimizer.warmup", &lorac_type_amount, AT(optimizer.warmup), .otherwise = "5%",
     .help = "steps (100) or share of all steps (5%) in which the learning rate rises from 0"},
    {"optimizer.final_lr_ratio", &lorac_type_number, AT(optimizer.final_lr_ratio), COUNTS(0, 1), .otherwise = "0.0",
     .help = "last learning rate / peak learning rate"},

    {"eval.every", &lorac_type_interval, AT(eval.every), .otherwise = "0.25 epoch",
     .help = "how often to evaluate: 100 (steps), 0.25 epoch, or end"},
    {"eval.metrics", &lorac_type_choices, AT(eval.metrics), .row = lorac_metric_name,
     .otherwise = "[loss, perplexity, accuracy, macro_f1]",
     .help = "what to measure on the validation rows"},
    {"eval.best", &lorac_type_choice, AT(eval.best), .words = WORDS("auto", METRICS), .otherwise = "auto",
     .help = "what makes an evaluation the best, whose adapter is kept in best/",
     .more = "auto: eval.early_stop.metric; else accuracy (or macro_f1) where there are labels, exact_match where it is measured, loss elsewhere. "
             "Of two equal ones the lower loss is better."},
    {"eval.samples", &lorac_type_count, LORAC_KEY_FREE, AT(eval.samples), COUNTS(0, 1e6), .otherwise = "2",
     .help = "generate and show this many validation rows at the best evaluations and the last"},
    {"eval.early_stop.metric", &lorac_type_choice_or_none, AT(eval.early_stop.metric), .row = lorac_metric_name,
     .help = "stop when this metric stops getting better; omit to train to the end"},
    {"eval.early_stop.patience", &lorac_type_count, AT(eval.early_stop.patience), COUNTS(1, 1e9), .otherwise = "3",
     .help = "evaluations without improvement before the run stops"},
    {"eval.early_stop.min_delta", &lorac_type_number, AT(eval.early_stop.min_delta), COUNTS(0, 1e9), .otherwise = "0.001",
     .help = "smallest change that counts as improvement"},

    {"output.dir", &lorac_type_path, LORAC_KEY_FREE, AT(output.dir), .otherwise = "'runs/${name}'",
     .help = "the run's folder"},
    {"output.save_every", &lorac_type_interval, LORAC_KEY_FREE, AT(output.save_every), .otherwise = "1 epoch",
     .help = "how often to save the state: 100 (steps), 1 epoch, or end"},
    {"output.keep", &lorac_type_choices, AT(output.keep), .words = WORDS("best", "last"), .otherwise = "[best, last]",
     .help = "adapters to keep"},
    {"output.dtype", &lorac_type_choice, AT(output.dtype), .words = WORDS("float32"), .otherwise = "float32",
     .help = "type of the saved adapter"},
    {"output.log", &lorac_type_choices, LORAC_KEY_FREE, AT(output.log), .words = WORDS("terminal", "csv"), .otherwise = "[terminal, csv]",
     .help = "where progress is written"},
    {"output.merge", &lorac_type_bool, LORAC_KEY_FREE, AT(output.merge), .otherwise = "false",
     .help = "also write a merged, verified checkpoint at the end"},
};
// clang-format on

const size_t lorac_n_keys = sizeof lorac_keys / sizeof *lorac_keys;
_Static_assert(sizeof lorac_keys / sizeof *lorac_keys <= LORAC_KEYS_MAX, "raise LORAC_KEYS_MAX");

const struct lorac_key *lorac_key_find(const char *path)
{
    for (size_t i = 0; i < lorac_n_keys; i++) {
        if (strcmp(lorac_keys[i].path, path) == 0) { return &lorac_keys[i]; }
    }
    return NULL;
}

bool lorac_recipe_only_trains(const char *key)
{
    static const char *const sections[] = {"adapter.", "train.", "optimizer.", "eval.", "output."};
    bool others = strcmp(key, "train.threads") == 0 || strcmp(key, "eval.metrics") == 0;
    if (others || !lorac_key_find(key)) { return false; }
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        if (strncmp(key, sections[i], strlen(sections[i])) == 0) { return true; }
    }
    return false;
}

bool lorac_key_is_section(const char *path)
{
    size_t n = strlen(path);
    for (size_t i = 0; i < lorac_n_keys; i++) {
        if (strncmp(lorac_keys[i].path, path, n) == 0 && lorac_keys[i].path[n] == '.') {
            return true;
        }
    }
    return false;
}

bool lorac_key_is_planned(const char *path)
{
    static const char *const planned[] = {"train.memory_limit", "train.cache_frozen_prefix",
                                          "train.share_prefix"};
    for (size_t i = 0; i < sizeof planned / sizeof *planned; i++) {
        if (strcmp(planned[i], path) == 0) { return true; }
    }
    return false;
}

const char *lorac_key_word(const struct lorac_key *key, size_t i)
{
    if (key->row) { return key->row(i); }
    size_t n = 0; // up to i
    while (n < i && key->words[n]) {
        n++;
    }
    return key->words[n];
}

const char *lorac_key_last(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}
