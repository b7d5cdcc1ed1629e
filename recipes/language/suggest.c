/* suggest.c - see suggest.h. */
#include "recipes/language/suggest.h"

#include "base/core/suggest.h"

#include <stdio.h>
#include <string.h>

/* A third of the word may differ. */
static size_t third(const char *word)
{
    return 1 + strlen(word) / 3;
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
    {"feedforward_modules", "adapter.feedforward"},
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
    struct lorac_near near = {.word = name, .most = any ? 1 : third(name)};
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const char *key = lorac_keys[i].path;
        if (scope != EVERYWHERE && strncmp(key, path, n) != 0) { continue; }
        const char *last = any ? lorac_key_last(key) : key + n;
        char word[64];
        size_t length = strcspn(last, "."); // "data" of "data.train"
        if (length >= sizeof word) { continue; }
        memcpy(word, last, length);
        word[length] = '\0';
        if (lorac_near_try(&near, word)) { (void)snprintf(words, size, "%s", any ? key : word); }
    }
    return near.best ? words : NULL;
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

const char *lorac_key_hint(char *out, size_t size, const char *path)
{
    char words[128];
    return lorac_near_hint(out, size, lorac_suggest_key(words, sizeof words, path));
}

const char *lorac_word_hint(char *out, size_t size, const char *word, const struct lorac_key *key)
{
    struct lorac_near near = {.word = word, .most = third(word)};
    const char *choice = NULL;
    for (size_t i = 0; (choice = lorac_key_word(key, i)); i++) {
        (void)lorac_near_try(&near, choice);
    }
    return lorac_near_hint(out, size, near.best);
}
