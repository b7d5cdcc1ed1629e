/* suggest.c - see suggest.h. */
#include "recipes/language/suggest.h"

#include "recipes/language/schema.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { MAX_WORD = 63 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t lorac_distance(const char *a, const char *b)
{
    size_t n = strlen(a);
    size_t m = strlen(b);
    if (n > MAX_WORD || m > MAX_WORD) { return SIZE_MAX; }
    size_t rows[3][MAX_WORD + 1] = {{0}}; // distances of a[0..i-2), a[0..i-1), a[0..i) to b[0..j)
    size_t *before = rows[0];
    size_t *last = rows[1];
    size_t *row = rows[2];
    for (size_t j = 0; j <= m; j++) {
        last[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t replaced = last[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(least(last[j] + 1, row[j - 1] + 1), replaced);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = least(row[j], before[j - 2] + 1);
            }
        }
        size_t *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[m];
}

/* Near enough to be meant: a third of the word may differ. */
static bool is_near(size_t distance, const char *word)
{
    return distance <= 1 + strlen(word) / 3 && distance < strlen(word);
}

static const struct {
    const char *theirs, *ours;
} aliases[] = {
    {"r", "adapter.rank"},
    {"lora_r", "adapter.rank"},
    {"lora_rank", "adapter.rank"},
    {"use_rslora", "adapter.scaling"},
    {"target_modules", "adapter.targets"},
    {"exclude_modules", "adapter.exclude"},
    {"layers_to_transform", "adapter.layers"},
    {"rank_pattern", "adapter.overrides"},
    {"alpha_pattern", "adapter.overrides"},
    {"init_lora_weights", "adapter.init"},
    {"learning_rate", "optimizer.lr"},
    {"max_grad_norm", "optimizer.clip_norm"},
    {"warmup_ratio", "optimizer.warmup"},
    {"warmup_steps", "optimizer.warmup"},
    {"lr_scheduler_type", "optimizer.schedule"},
    {"optim", "optimizer.name"},
    {"num_train_epochs", "train.epochs"},
    {"num_epochs", "train.epochs"},
    {"max_steps", "train.steps"},
    {"per_device_train_batch_size", "train.batch_size"},
    {"micro_batch_size", "train.batch_size"},
    {"gradient_accumulation_steps", "train.accumulate"},
    {"gradient_checkpointing", "train.keep_activations"},
    {"loss_watchdog_threshold", "train.watchdog.loss_above"},
    {"loss_watchdog_patience", "train.watchdog.patience"},
    {"eval_steps", "eval.every"},
    {"eval.steps", "eval.every"}, // with a dot: of that section alone
    {"eval.interval", "eval.every"},
    {"eval.frequency", "eval.every"},
    {"metric_for_best_model", "eval.best"},
    {"early_stopping_patience", "eval.early_stop.patience"},
    {"output.steps", "output.save_every"},
    {"output.every", "output.save_every"},
    {"save_steps", "output.save_every"},
    {"output_dir", "output.dir"},
    {"base_model", "model.path"},
    {"model_name_or_path", "model.path"},
    {"sequence_len", "model.max_length"},
    {"max_seq_length", "model.max_length"},
    {"cutoff_len", "model.max_length"},
};

/* The first `n` bytes of both are one section: "adapter." */
static size_t section_of(const char *path)
{
    return (size_t)(lorac_key_last(path) - path);
}

/* Where to look: beside the key, in what its section holds at any depth, everywhere. */
enum scope { BESIDE, BELOW, EVERYWHERE };

/* The nearest key, or section, to `name`, of the section that `path` starts with, or of all. */
static const char *nearest(char *words, size_t size, const char *path, const char *name,
                           enum scope scope)
{
    size_t n = section_of(path);
    bool any = scope != BESIDE;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const char *key = lorac_keys[i].path;
        if (scope != EVERYWHERE && strncmp(key, path, n) != 0) { continue; }
        const char *last = any ? lorac_key_last(key) : key + n;
        char word[MAX_WORD + 1];
        size_t length = strcspn(last, "."); // "data" of "data.train"
        if (length >= sizeof word) { continue; }
        memcpy(word, last, length);
        word[length] = '\0';
        size_t d = lorac_distance(name, word);
        if (d >= best || !is_near(d, name) || (any && d > 1)) { continue; }
        best = d;
        (void)snprintf(words, size, "%s", any ? key : word);
    }
    return best == SIZE_MAX ? NULL : words;
}

const char *lorac_suggest_key(char *words, size_t size, const char *path)
{
    const char *name = lorac_key_last(path);
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        bool whole = strchr(aliases[i].theirs, '.') != NULL;
        if (strcmp(aliases[i].theirs, whole ? path : name) == 0) {
            const char *ours = aliases[i].ours;
            size_t n = section_of(path);
            bool same = n == section_of(ours) && strncmp(path, ours, n) == 0;
            (void)snprintf(words, size, "%s", same ? ours + n : ours);
            return words;
        }
    }
    const char *found = nearest(words, size, path, name, BESIDE);
    if (!found && strncmp(name, "lora_", 5) == 0) { // PEFT's prefix
        found = nearest(words, size, path, name + 5, BESIDE);
    }
    if (!found) { found = nearest(words, size, path, name, BELOW); }
    return found ? found : nearest(words, size, path, name, EVERYWHERE);
}

const char *lorac_suggest_word(const char *word, const struct lorac_key *key)
{
    size_t best = SIZE_MAX;
    const char *found = NULL;
    const char *choice = NULL;
    for (size_t i = 0; (choice = lorac_key_word(key, i)); i++) {
        size_t d = lorac_distance(word, choice);
        if (d < best && is_near(d, word)) {
            best = d;
            found = choice;
        }
    }
    return found;
}
