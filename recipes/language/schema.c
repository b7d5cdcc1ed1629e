/* schema.c - the table of keys; see schema.h. To add a key is one entry here and one field in
 * recipe.h. */
#include "lora/lora.h"
#include "recipes/language/types.h"

#include <string.h>

// clang-format off
#define KEY_AT(path, field, type) \
    path, &lorac_type_##type, .offset = offsetof(struct lorac_recipe, field)
#define KEY(field, type) KEY_AT(#field, field, type)
#define COUNTS(lo, hi) .min = (lo), .max = (hi)
#define WORDS(...) (const char *const[]){__VA_ARGS__, NULL}
// clang-format on

static const char *objective_name(size_t i)
{
    return i < lorac_n_objectives ? lorac_objectives[i].name : NULL;
}

static const char *best_name(size_t i)
{
    return i ? lorac_metric_name(i - 1) : "auto";
}

static const char *encoding_name(size_t i)
{
    return i < LORAC_N_ENCODINGS ? lorac_encoding_name((enum lorac_encoding)i) : NULL;
}

// clang-format off
const struct lorac_key lorac_keys[] = {
    {KEY_AT("recipe", version, count), .flags = LORAC_KEY_REQUIRED, COUNTS(1, 1),
     .help = "version of the recipe schema; this program reads 1"},
    {"extends", &lorac_type_extends,
     .help = "another recipe whose values this one starts from",
     .more = "One level: the other file may not extend a third. Maps merge, lists replace. The "
             "path is relative to this file."},
    {KEY(name, text), .flags = LORAC_KEY_FREE,
     .help = "name of the run; default: the recipe's file name"},
    {KEY(seed, seed), .otherwise = "1234",
     .help = "adapter init, shuffle, dropout and split derive from it"},

    {KEY(model.path, path), .flags = LORAC_KEY_REQUIRED | LORAC_KEY_PLACE | LORAC_KEY_HUB,
     .help = "folder with config.json, *.safetensors and the tokenizer's files",
     .more = "Also OWNER/NAME, the Hub's name of a model that is in its local cache (hf download "
             "OWNER/NAME puts it there)."},
    {KEY(model.compute, name), .flags = LORAC_KEY_FREE, .row = lorac_compute_word,
     .otherwise = "float32",
     .help = "what products with the base's weights are computed in",
     .more = "bfloat16 rounds both factors to 8 bits and sums in float32: about twice as fast on "
             "processors with instructions for it (AVX512_BF16, AMX), where auto takes it. int8 "
             "rounds the layers' weights (one scale an output) and their inputs (one scale a row), "
             "forward and backward, and leaves the head to bfloat16 or float32: four times "
             "float32's rate with AVX512_VNNI or AVX_VNNI, on an approximation of the base. Both "
             "keep the inputs of products and gates for the backward pass as bfloat16: a third "
             "less memory of activations. The weights stay in the type of the file; adapters, "
             "norms, attention and the loss are float32 in any case."},
    {KEY(model.max_length, count), COUNTS(2, 1 << 24), .otherwise = "256",
     .help = "tokens per example, prompt and completion together",
     .more = "data.on_too_long says what happens to longer examples."},

    {KEY(adapter.method, name), .row = lorac_method_name, .otherwise = "lora",
     .help = "the kind of adapter",
     .more = "lora: B A is added to the weight. dora: its rows keep lengths of their own beside "
             "it. ia3: outputs, or with adapter.feedforward inputs, are multiplied by a vector. "
             "none: no module has a pair; a head trains alone, or beside the layers that "
             "adapter.layers names, which train in full."},
    {KEY(adapter.rank, count), COUNTS(1, 4096), .otherwise = "8",
     .help = "rank of the update B A of each adapted weight",
     .more = "Called r in PEFT. Memory and time of the adapter grow in proportion to it."},
    {KEY(adapter.alpha, number), .flags = LORAC_KEY_ABOVE_MIN, COUNTS(0, 1e6), .otherwise = "16",
     .help = "numerator of the scale of the update",
     .more = "Called lora_alpha in PEFT. The update is multiplied by alpha / rank (see "
             "adapter.scaling)."},
    {KEY(adapter.scaling, choice), .otherwise = "standard",
     .words = WORDS([LORAC_SCALE_STANDARD] = "standard", [LORAC_SCALE_RSLORA] = "rslora"),
     .help = "standard: alpha / rank; rslora: alpha / sqrt(rank)"},
    {KEY(adapter.dropout, number), .flags = LORAC_KEY_BELOW_MAX, COUNTS(0, 1), .otherwise = "0.0",
     .help = "probability that an input of the adapter is dropped while training"},
    {KEY(adapter.init, choice), .otherwise = "default",
     .words = WORDS([LORAC_INIT_DEFAULT] = "default", [LORAC_INIT_GAUSSIAN] = "gaussian",
                    [LORAC_INIT_PISSA] = "pissa", [LORAC_INIT_OLORA] = "olora"),
     .help = "how A and B start: default and gaussian with B zero, pissa and olora from the weight",
     .more = "default: A uniform as in PEFT (Kaiming, a = sqrt 5); gaussian: normal with deviation "
             "1 / rank. pissa: A and B are the weight's largest singular vectors, olora: the first "
             "of its QR factors; what they hold is taken from the weight while training, so "
             "nothing changes at first. Saved as plain LoRA of twice the rank, for the base as it "
             "is."},
    {KEY(adapter.from, path), .flags = LORAC_KEY_PLACE | LORAC_KEY_HUB,
     .help = "start from the adapter in this folder"},
    {KEY(adapter.targets, targets), .otherwise = "all-linear",
     .help = "modules to adapt: all-linear, a list of name suffixes, or a regex",
     .more = "A regex must match the whole module name. Each suffix and the regex must match "
             "something."},
    {KEY(adapter.feedforward, list), .otherwise = "[]",
     .help = "ia3: name suffixes of those targets whose inputs are multiplied, not their outputs",
     .more = "Called feedforward_modules in PEFT. As published, of a model like Llama: targets "
             "[k_proj, v_proj, down_proj], feedforward [down_proj]."},
    {KEY(adapter.exclude, list), .otherwise = "[]",
     .help = "name suffixes of modules not to adapt"},
    {KEY(adapter.layers, layers), .otherwise = "all",
     .help = "layers to adapt: all, last:6, [0, 1, 11] or 4-11 (from 0, both included)",
     .more = "The backward pass stops at the lowest adapted layer, so last:N also saves time. With "
             "adapter.method: none they train in full, and where it is not given none does."},
    {KEY(adapter.bias, choice), .row = lorac_bias_name, .otherwise = "none",
     .help = "biases that train: none, lora_only (of modules with an adapter), all"},
    {KEY(adapter.overrides, overrides), COUNTS(1, 4096), .otherwise = "[]",
     .help = "other ranks or alphas for some modules: [{match: REGEX, rank: 4, alpha: 8}]",
     .more = "The first entry that matches a module wins; each must match something."},
    {KEY(adapter.train_also, modules), .otherwise = "[]",
     .help = "modules that train in full and get no low-rank pair: a list of name ends, or all",
     .more = "Called modules_to_save in PEFT: lm_head, embed_tokens, model.norm, input_layernorm, "
             "layers.0.mlp.up_proj, ... adapter.layers does not narrow it. With all the whole "
             "model trains, and nothing else."},
    {KEY(adapter.tie, choice_or_none),
     .words = WORDS([LORAC_TIE_KEEP - 1] = "keep", [LORAC_TIE_UNTIE - 1] = "untie"),
     .help = "where embed_tokens or lm_head trains in full and the base ties them to one matrix: "
             "keep it one, or untie",
     .more = "keep: one matrix trains for both (PEFT's ensure_weight_tying); untie: each goes its "
             "own way."},

    {KEY(data.kind, choice), .words = WORDS("table", "text"), .otherwise = "table",
     .help = "table: rows of a CSV or of JSON lines under a template; text: plain text, every "
             "token trained",
     .more = "Text is cut into documents (data.separator) and these into pieces of "
             "model.max_length tokens."},
    {KEY(data.train, paths), .flags = LORAC_KEY_REQUIRED | LORAC_KEY_PLACE,
     .help = "the training rows: a CSV or JSON lines (data.format); with data.kind: text, a text "
             "file or a list of them"},
    {KEY(data.valid, split), .flags = LORAC_KEY_PLACE,
     .help = "validation rows: a path, or {split: 0.1, stratify: COLUMN}; texts: also a list of "
             "paths",
     .more = "A split takes this share of the training rows away, the same rows for the same "
             "seed; of texts, documents, or where that is less than 10 of them the end of each."},
    {KEY(data.test, paths), .flags = LORAC_KEY_FREE,
     .help = "rows for the final evaluation: a path; texts: also a list of paths"},
    {KEY(data.separator, text),
     .help = "texts: what stands between two documents of a file, and is part of none",
     .more = "In double quotes \"\\n\" is a line end. Without it each file is one document. EOS "
             "goes behind each (template.append_eos)."},
    {KEY(data.format.kind, choice), .flags = LORAC_KEY_SHORT, .row = lorac_table_kind_name,
     .otherwise = "csv",
     .help = "how tables are written; 'data.format: jsonl' is short for {kind: jsonl}",
     .more = "jsonl: JSON lines, an object on each, whose keys are the columns. The other keys of "
             "data.format are of CSV alone."},
    {KEY(data.format.delimiter, char), .min = 1, .otherwise = "','",
     .help = "one character between cells; a tab is \"\\t\""},
    {KEY(data.format.quote, char), .otherwise = "'\"'",
     .help = "one character around cells that need it; '' where quotes are characters like others"},
    {KEY(data.format.header, flag), .otherwise = "true",
     .help = "the first row names the columns"},
    {KEY(data.format.encoding, choice), .row = encoding_name, .otherwise = "utf-8",
     .help = "encoding of the tables; lorac predict writes UTF-8 in any case",
     .more = "windows-1252 is what Excel's CSV is in Western Europe. Of others, iconv -f NAME -t "
             "UTF-8 makes UTF-8."},
    {KEY(data.columns, map), .otherwise = "{}",
     .help = "template variable: column, by name or by 1-based number",
     .more = "Default: the columns under their own names. With template: chat the variables are "
             "messages (a whole conversation: OpenAI's messages or ShareGPT's conversations), or "
             "user, input, assistant (as of Alpaca: {user: instruction, input: input, assistant: "
             "output}), and system."},
    {KEY(data.labels.column, text), .flags = LORAC_KEY_SHORT,
     .help = "with a head (objective): the column of what it should say; 'data.labels: COLUMN' is "
             "short for {column: COLUMN}",
     .more = "classify: a label, whose order is that of data.labels.map, else of the checkpoint's "
             "own head, else sorted. multilabel: any number of them (data.labels.separator). "
             "regress: a number. tag: as many tags as the text has words, between blanks; in JSON "
             "lines both may be lists."},
    {KEY(data.labels.separator, text), .otherwise = "';'",
     .help = "multilabel: what stands between the labels of a cell; in JSON lines it may be a list",
     .more = "A row with none of them is a blank cell where on_empty is keep, or an empty list."},
    {KEY(data.labels.map, map), .otherwise = "{}",
     .help = "cell text: label text, e.g. {'1': negative, '5': positive}; omit for free text"},
    {KEY(data.labels.unknown, choice), .otherwise = "error",
     .words = WORDS([LORAC_BAD_ERROR] = "error", [LORAC_BAD_SKIP] = "skip"),
     .help = "what to do with a cell that labels.map does not hold",
     .more = "With a head also with a label that no training row has."},
    {KEY(data.on_empty, choice), .otherwise = "error",
     .words = WORDS([LORAC_BAD_ERROR] = "error", [LORAC_BAD_SKIP] = "skip",
                    [LORAC_BAD_KEEP] = "keep"),
     .help = "what to do with a row whose cell is empty; counted, with line numbers",
     .more = "Of the columns that the template uses. keep takes the cell as it is; a variable "
             "that stands only in an optional part of its own, {?name}...{/name}, may be blank in "
             "any case."},
    {KEY(data.on_too_long, choice),
     .words = WORDS([LORAC_LONG_TRUNCATE_PROMPT] = "truncate_prompt", [LORAC_LONG_SKIP] = "skip",
                    [LORAC_LONG_ERROR] = "error",
                    [LORAC_LONG_TRUNCATE_END] = "truncate_end"),
     .otherwise = "truncate_prompt",
     .help = "what to do with an example over model.max_length",
     .more = "The completion is never cut. A conversation loses its oldest turns, then the "
             "beginning of the user's last words; the answer to them stays whole. With a head "
             "there is no completion: truncate_prompt takes from a text's beginning, truncate_end "
             "(as transformers) from its end, of a pair from the longer text; what the tokenizer "
             "puts around stays."},
    {KEY(data.duplicates, choice), .otherwise = "warn",
     .words = WORDS([LORAC_DUPLICATE_WARN] = "warn", [LORAC_DUPLICATE_KEEP] = "keep",
                    [LORAC_DUPLICATE_DROP] = "drop"),
     .help = "what to do with equal rows"},

    {KEY_AT("template.kind", templates.kind, choice), .flags = LORAC_KEY_SHORT,
     .words = WORDS([LORAC_RECIPE_TEMPLATE_TEXT] = "text", [LORAC_RECIPE_TEMPLATE_CHAT] = "chat"),
     .otherwise = "text",
     .help = "text: prompt and completion; chat: the model's own chat template ('template: chat' "
             "is short for {kind: chat})",
     .more = "chat: each row is a conversation. With a column (or data.columns variable) messages "
             "it is that; otherwise it has one turn: template.prompt is what the user says, "
             "template.completion what the assistant answers, and without them they are the "
             "variables user (with input below it, where there is one) and assistant. An answer "
             "with \"weight\": 0 is not trained."},
    {KEY_AT("template.system", templates.system, text),
     .help = "chat: what the system says in front; {variable} stands for a cell",
     .more = "Default: the variable system, where there is one and its cell is not blank."},
    {KEY_AT("template.date", templates.date, text),
     .help = "chat: the day (2026-11-29) that templates write which write today's",
     .more = "Needed by such templates alone: what is trained would change with the day."},
    {KEY_AT("template.prompt", templates.prompt, text),
     .help = "text before the completion; {variable} stands for a cell. With a head: the text that "
             "it reads, where there are several columns",
     .more = "Saved with the adapter and used with it ever after. {?input}\\nInput: "
             "{input}{/input} is an optional part: it is there where the cell is not blank. A "
             "brace that is text, as of JSON, is written {{ or }}, a literal ${ $${."},
    {KEY_AT("template.pair", templates.pair, text),
     .help = "with a head: the second text of a pair, as of premise and hypothesis",
     .more = "The tokenizer frames both: [CLS] prompt [SEP] pair [SEP]."},
    {KEY_AT("template.completion", templates.completion, text),
     .help = "text that the model learns to write"},
    {KEY_AT("template.append_eos", templates.append_eos, flag), .otherwise = "true",
     .help = "train the end-of-sequence token behind the completion",
     .more = "chat: where the chat template ends the last answer without a token that ends one."},
    {KEY_AT("template.train_on", templates.train_on, choice),
     .words = WORDS([LORAC_TRAIN_COMPLETION] = "completion", [LORAC_TRAIN_ALL] = "all",
                    [LORAC_TRAIN_ASSISTANT] = "assistant", [LORAC_TRAIN_LAST] = "last"),
     .otherwise = "completion",
     .help = "tokens that count in the loss: of text completion or all, of chat assistant (all its "
             "turns, the default there) or last (its last turn)"},

    {KEY(objective.kind, choice), .flags = LORAC_KEY_SHORT, .row = objective_name,
     .otherwise = "causal_lm",
     .help = "what is learnt; 'objective: classify' is short for {kind: classify}",
     .more = "causal_lm: to write. masked_lm: an encoder learns to say which tokens stand where "
             "some of a text (data.kind: text) are hidden, each epoch others. The others put a "
             "head on the model, which trains in full: "
             "classify gives a text one of the labels in data.labels, multilabel any of them, "
             "regress a number (by squared error, in deviations from the training rows' mean), "
             "tag a label for each word."},
    {KEY(objective.class_weights, weights), .flags = LORAC_KEY_ABOVE_MIN, COUNTS(0, 1e6),
     .otherwise = "{}",
     .help = "classify, tag: what a row counts by its label: balanced, or {label: weight}, 1 for "
             "the others; multilabel: what the label counts where it is there",
     .more = "balanced: rows / (labels x rows with it), so that all labels weigh alike; of "
             "multilabel rows without it / rows with it. The loss is torch's: CrossEntropyLoss's "
             "weight, divided by the rows' weights; of multilabel BCEWithLogitsLoss's pos_weight, "
             "divided by rows x labels."},
    {KEY(objective.label_smoothing, number), .flags = LORAC_KEY_BELOW_MAX, COUNTS(0, 1),
     .otherwise = "0.0",
     .help = "classify, tag: the share of a row that all labels get alike (0.1), its own the rest",
     .more = "With class_weights each label's part counts its weight, as in torch."},
    {KEY(objective.mask_share, number), .flags = LORAC_KEY_ABOVE_MIN | LORAC_KEY_BELOW_MAX,
     COUNTS(0, 1), .otherwise = "0.15",
     .help = "masked_lm: the share of a text's tokens that the model is asked for",
     .more = "Of these 80 % read as the mask token, 10 % as any other token, and 10 % as what they "
             "are. Special tokens are never asked for, and of a text one token at least is."},

    {KEY(train.epochs, count), .flags = LORAC_KEY_NULLABLE | LORAC_KEY_LENGTH, COUNTS(1, 1e9),
     .otherwise = "3",
     .help = "passes over the training rows; or train.steps"},
    {KEY(train.steps, count), .flags = LORAC_KEY_LENGTH, COUNTS(1, 1e12),
     .help = "optimiser steps, instead of train.epochs"},
    {KEY(train.batch_tokens, count), .flags = LORAC_KEY_NULLABLE, COUNTS(1, 1 << 30),
     .otherwise = "512",
     .help = "packed tokens per micro-batch; or train.batch_size",
     .more = "Eight rows learn well and leave enough steps; 512 are eight of 64 tokens. A longer "
             "row is a batch of its own."},
    {KEY(train.batch_size, count), COUNTS(1, 1 << 24),
     .help = "examples per micro-batch, instead of train.batch_tokens"},
    {KEY(train.accumulate, count), COUNTS(1, 1 << 24), .otherwise = "1",
     .help = "micro-batches per optimiser step",
     .more = "The loss is one mean over all trained tokens of the step, however it is cut."},
    {KEY(train.shuffle, flag), .otherwise = "true",
     .help = "a new order of the rows in each epoch"},
    {KEY(train.threads, count_or_auto), .flags = LORAC_KEY_FREE, COUNTS(1, 4096),
     .otherwise = "auto",
     .help = "threads, or auto: one per physical core, as far as a container may use them"},
    {KEY(train.keep_activations, choice), .flags = LORAC_KEY_FREE,
     .words = WORDS("auto", "all", "layers"), .otherwise = "auto",
     .help = "what the forward pass keeps for the backward pass",
     .more = "layers: only each layer's input; the rest is computed again, for less memory."},
    {KEY(train.share_prefix, choice), .words = WORDS("off", "auto", "on"), .otherwise = "auto",
     .help = "run once what rows of a batch begin with: a task's description, a text that several "
             "ask about",
     .more = "The same loss and gradients but for rounding, so not with adapter.dropout. auto: "
             "where it saves an eighth of those rows or more."},
    {KEY(train.cache_frozen_prefix, choice), .flags = LORAC_KEY_FREE,
     .words = WORDS("off", "auto", "on"), .otherwise = "auto",
     .help = "run the layers below the lowest adapter once a row, and keep what leaves them",
     .more = "Later epochs run the other layers alone: exactly, but for rounding. Kept in memory, "
             "or in a file without a name in output.dir (rows x hidden size x 4 bytes; lorac plan "
             "shows it). auto: where an eighth of the layers or more is frozen (adapter.layers: "
             "last:N), rows are read more than once, and there is room. So are validation rows "
             "whose loss, or head, is measured more than once: in what is left of the memory."},
    {KEY(train.watchdog.loss_above, number), .flags = LORAC_KEY_ABOVE_MIN | LORAC_KEY_FREE,
     COUNTS(0, 1e9),
     .help = "stop with an error when the training loss stays above this; omit to train on",
     .more = "The state is saved first; --resume goes on, and the watchdog counts anew."},
    {KEY(train.watchdog.patience, count), .flags = LORAC_KEY_FREE, COUNTS(1, 1e9), .otherwise = "3",
     .help = "steps in a row above it before the run stops"},

    {KEY(optimizer.name, name), .row = lorac_optim_name, .otherwise = "adamw",
     .help = "the optimiser"},
    {KEY(optimizer.lr, number), .flags = LORAC_KEY_ABOVE_MIN, COUNTS(0, 1000), .otherwise = "5e-4",
     .help = "peak learning rate",
     .more = "The default suits a base of a billion parameters; one of 0.1 billion takes 1e-3, "
             "one of 7 billion 3e-4 (lorac recipe init chooses)."},
    {KEY(optimizer.lr_ratio_b, number), .flags = LORAC_KEY_ABOVE_MIN, COUNTS(0, 1e4),
     .otherwise = "1.0",
     .help = "LoRA+: learning rate of B over that of A, which is optimizer.lr",
     .more = "Often 2 to 16, with a lower optimizer.lr. Norms' gains and biases that train go as "
             "fast as B, as with PEFT's create_loraplus_optimizer."},
    {KEY(optimizer.betas, betas), .flags = LORAC_KEY_BELOW_MAX, COUNTS(0, 1),
     .otherwise = "[0.9, 0.999]",
     .help = "adamw: decay of the two moments"},
    {KEY(optimizer.eps, number), .flags = LORAC_KEY_ABOVE_MIN, COUNTS(0, 1), .otherwise = "1e-8",
     .help = "adamw: added to the root of the second moment"},
    {KEY(optimizer.momentum, number), .flags = LORAC_KEY_BELOW_MAX, COUNTS(0, 1),
     .otherwise = "0.0",
     .help = "sgd: momentum"},
    {KEY(optimizer.weight_decay, number), COUNTS(0, 1000), .otherwise = "0.0",
     .help = "decoupled weight decay of matrices"},
    {KEY(optimizer.vector_decay, number), COUNTS(0, 1000), .otherwise = "0.0",
     .help = "decoupled weight decay of norms' gains and biases that train in full",
     .more = "Also of what multiplies: dora's lengths of rows, ia3's vectors."},
    {KEY(optimizer.clip_norm, number), COUNTS(0, 1e9), .otherwise = "1.0",
     .help = "largest norm of the whole gradient; 0 does not clip"},
    {KEY(optimizer.schedule, name), .row = lorac_schedule_name, .otherwise = "cosine",
     .help = "course of the learning rate after the warm-up"},
    {KEY(optimizer.warmup, amount), .otherwise = "5%",
     .help = "steps (100) or share of all steps (5%) in which the learning rate rises from 0"},
    {KEY(optimizer.final_lr_ratio, number), COUNTS(0, 1), .otherwise = "0.0",
     .help = "last learning rate / peak learning rate"},

    {KEY(eval.every, interval), .otherwise = "0.25 epoch",
     .help = "how often to evaluate: 100 (steps), 0.25 epoch, or end"},
    {KEY(eval.metrics, choices), .row = lorac_metric_name,
     .otherwise = "[loss, perplexity, accuracy, macro_f1]",
     .help = "what to measure on the validation rows",
     .more = "What there is follows from the objective. causal_lm, where answers are labels: "
             "accuracy, macro_f1, micro_f1, weighted_f1, matthews, precision, recall (of two "
             "labels the second's); exact_match. classify: the same, and auc; usual are loss, "
             "accuracy and macro_f1. multilabel: all but matthews; loss, micro_f1, macro_f1. "
             "regress: loss, mse, pearson, spearman, r2. tag: accuracy and the like of words, "
             "entity_f1, precision and recall of entities; loss, accuracy, entity_f1."},
    {KEY(eval.best, choice), .row = best_name, .otherwise = "auto",
     .help = "what makes an evaluation the best, whose adapter is kept in best/",
     .more = "auto: eval.early_stop.metric; else accuracy (or macro_f1) where there are labels, "
             "exact_match where it is measured, loss elsewhere; of a head entity_f1, accuracy, "
             "micro_f1 or macro_f1, the first that is measured. Of two equal ones the lower loss "
             "is better."},
    {KEY(eval.threshold, number), .flags = LORAC_KEY_BELOW_MAX, COUNTS(0, 1), .otherwise = "0.5",
     .help = "classify of two labels, multilabel: the probability above which the second label, or "
             "a label, is the answer"},
    {KEY(eval.samples, count), .flags = LORAC_KEY_FREE, COUNTS(0, 1e6), .otherwise = "2",
     .help = "generate and show this many validation rows at the best evaluations and the last",
     .more = "Two answers take about the time of one step (SmolLM2-135M, two cores): where a run "
             "is short, or evaluates every few steps, 0 saves it."},
    {KEY(eval.early_stop.metric, choice_or_none), .row = lorac_metric_name,
     .help = "stop when this metric stops getting better; omit to train to the end"},
    {KEY(eval.early_stop.patience, count), COUNTS(1, 1e9), .otherwise = "3",
     .help = "evaluations without improvement before the run stops"},
    {KEY(eval.early_stop.min_delta, number), COUNTS(0, 1e9), .otherwise = "0.001",
     .help = "smallest change that counts as improvement"},

    {KEY(output.dir, path), .flags = LORAC_KEY_FREE, .otherwise = "'runs/${name}'",
     .help = "the run's folder"},
    {KEY(output.save_every, interval), .flags = LORAC_KEY_FREE, .otherwise = "1 epoch",
     .help = "how often to save the state: 100 (steps), 1 epoch, or end"},
    {KEY(output.keep, choices), .words = WORDS("best", "last"), .otherwise = "[best, last]",
     .help = "adapters to keep"},
    {KEY(output.dtype, choice), .words = WORDS("float32"), .otherwise = "float32",
     .help = "type of the saved adapter"},
    {KEY(output.log, choices), .flags = LORAC_KEY_FREE,
     .words = WORDS("terminal", "csv", "tensorboard"), .otherwise = "[terminal, csv]",
     .help = "where progress is written; tensorboard: event files in the run's folder"},
    {KEY(output.merge, flag), .flags = LORAC_KEY_FREE, .otherwise = "false",
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
    static const char *const sections[] = {"adapter.",
                                           "train.",
                                           "optimizer.",
                                           "eval.",
                                           "output.",
                                           "objective.class_weights",
                                           "objective.label_smoothing"};
    static const char *const others[] = {"train.threads", "eval.metrics", "eval.threshold"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strcmp(key, others[i]) == 0) { return false; }
    }
    if (!lorac_key_find(key)) { return false; }
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

const struct lorac_key *lorac_key_short(const char *section)
{
    size_t n = strlen(section);
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        bool below = strncmp(key->path, section, n) == 0 && key->path[n] == '.' &&
                     !strchr(key->path + n + 1, '.');
        if (below && (key->flags & LORAC_KEY_SHORT)) { return key; }
    }
    return NULL;
}

bool lorac_key_is_planned(const char *path)
{
    static const char *const planned[] = {"train.memory_limit"};
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
