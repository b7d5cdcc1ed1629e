/* cmd_common.c - what the verbs share; see verbs.h. */
#define _POSIX_C_SOURCE 200809L // strerror_r, stat
#include "tools/verbs.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int complain(const struct lorac_err *err)
{
    struct lorac_err first = *err; // of all ranks
    enum lorac_status st = lorac_ranks_agree(world(), err->code, &first);
    fprintf(stderr, "lorac: %s\n", first.text);
    return st == LORAC_ESTOP ? stop_code() : EXIT_FAILED;
}

/* "DIR" or "DIR:SCALE": the scale is what follows the last colon, where that is a number and no
 * folder has the whole name. */
static enum lorac_status split_adapter(char **dir, float *scale, const char *text,
                                       struct lorac_err *err)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    double v = colon ? strtod(colon + 1, &end) : 1.0;
    bool number = colon && end != colon + 1 && *end == '\0' && !lorac_path_is_dir(text);
    *scale = number ? (float)v : 1.0F;
    *dir = NULL;
    if (!isfinite(*scale)) {
        return lorac_fail(err, LORAC_EUSER, "--adapter %s: the scale must be finite", text);
    }
    *dir = lorac_mem_string(text, number ? (size_t)(colon - text) : strlen(text));
    return *dir ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory");
}

enum lorac_status find_folder(char **out, const char *option, const char *given,
                              struct lorac_err *err)
{
    enum lorac_status st = lorac_hub_find(out, given, NULL, err);
    const char *space = *option ? " " : "";
    if (st) {
        lorac_err_prefix(err, "%s%s", option, space);
    } else if (strcmp(*out, given) != 0) {
        fprintf(stderr, "note: %s%s%s is %s\n", option, space, given, *out);
    }
    return st;
}

/* The folders that are easily mistaken for one another: a model's, an adapter's, a run's. */
static enum lorac_status check_model(const char *dir, struct lorac_err *err)
{
    if (!lorac_path_holds(dir, "config.json") && lorac_path_holds(dir, "adapter_config.json")) {
        return lorac_fail(err, LORAC_EUSER,
                          "--model %s: is an adapter, expected its base model's folder (and the "
                          "adapter behind --adapter)",
                          dir);
    }
    return LORAC_OK;
}

static enum lorac_status check_adapter(const char *dir, struct lorac_err *err)
{
    if (!lorac_path_holds(dir, "adapter_config.json") &&
        lorac_path_holds(dir, "recipe.resolved.yaml")) {
        return lorac_fail(err, LORAC_EUSER,
                          "--adapter %s: is a run, expected one of its adapters: %s/%s", dir, dir,
                          lorac_path_holds(dir, "best") ? "best" : "last");
    }
    return LORAC_OK;
}

enum lorac_status load_adapter(struct lorac_adapter **out, const struct lorac_model *m,
                               const char *given, bool force, struct lorac_err *err)
{
    char *dir = NULL;
    *out = NULL;
    enum lorac_status st = find_folder(&dir, "--adapter", given, err);
    if (!st) { st = check_adapter(dir, err); }
    if (!st) {
        st = lorac_peft_load(out, m, dir, force, err);
        if (st == LORAC_EUSER && !force) { // what lorac_peft_load() refuses unless it is forced
            lorac_err_add(err, " (--force takes it all the same)");
        } else if (st) {
            lorac_hub_explain(dir, err);
        }
    }
    if (!st && !force && !(*out)->n_full && !lorac_adapter_changes(*out)) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: %s: the adapter changes nothing (--force takes it all the same)", dir,
                        lorac_adapter_idle_text(*out));
        lorac_adapter_free(*out);
        *out = NULL;
    }
    lorac_mem_free(dir);
    return st;
}

enum lorac_status bench_adapter(struct lorac_adapter **out, float *scale, const struct bench *b,
                                const char *text, bool force, struct lorac_err *err)
{
    char *folder = NULL;
    *out = NULL;
    enum lorac_status st = split_adapter(&folder, scale, text, err);
    if (!st) { st = load_adapter(out, b->model, folder, force, err); }
    if (!st && b->tokenizer && !force) {
        st = lorac_template_check_tokenizer(*out, b->tokenizer, err);
    }
    lorac_mem_free(folder);
    if (!st) { note_adapter(*out, b->model, b->tokenizer); }
    return st;
}

/* `continues`: what it predicts is read as what comes next. */
static enum lorac_status open_model(struct bench *b, const char *dir,
                                    const struct lorac_model_options *o, bool tokenizer,
                                    bool continues, struct lorac_err *err)
{
    enum lorac_status st = lorac_model_open_for(&b->model, &b->dev, dir, o, err);
    if (!st && continues) { st = lorac_model_check_continues(b->model, err); }
    if (!st && lorac_checkpoint_note(b->model->files)) {
        fprintf(stderr, "note: %s\n", lorac_checkpoint_note(b->model->files));
    }
    if (!st && tokenizer) { st = lorac_tokenizer_open(&b->tokenizer, dir, err); }
    if (!st && tokenizer && lorac_tokenizer_note(b->tokenizer)) {
        fprintf(stderr, "note: %s\n", lorac_tokenizer_note(b->tokenizer));
    }
    if (st) { lorac_hub_explain(dir, err); }
    return st;
}

/* What --compute says. */
static enum lorac_status read_compute(enum lorac_compute *out, const struct lorac_device *dev,
                                      const struct args *a, struct lorac_err *err)
{
    const char *word = args_text(a, "--compute", NULL);
    enum lorac_status st = lorac_compute_find(out, dev, word, err);
    if (st) { lorac_err_prefix(err, "--compute: "); }
    if (!st && word && strcmp(word, "auto") == 0 && *out == LORAC_FLOAT32) {
        fprintf(stderr, "note: --compute auto is float32 here: %s\n",
                dev->ops->lacks(dev, LORAC_BFLOAT16));
    }
    return st;
}

/* What the first adapter needs its model opened for. */
static enum lorac_status read_task(struct lorac_model_options *o, const struct args *a,
                                   struct lorac_err *err)
{
    char *given = NULL;
    char *dir = NULL;
    float scale = 1.0F;
    enum lorac_status st = split_adapter(&given, &scale, args_each(a, "--adapter", 0), err);
    if (!st) { st = find_folder(&dir, "--adapter", given, err); }
    if (!st) { st = check_adapter(dir, err); }
    if (!st) { st = lorac_peft_task(o, dir, err); }
    if (st && dir) { lorac_hub_explain(dir, err); }
    lorac_mem_free(given);
    lorac_mem_free(dir);
    return st;
}

static enum lorac_status open_bench(struct bench *b, const struct args *a, enum lorac_task task,
                                    bool tokenizer, bool continues, struct lorac_err *err)
{
    *b = (struct bench){.chat = args_has(a, "--chat")};
    size_t threads = 0;
    struct lorac_model_options o = {.compute = LORAC_FLOAT32, .task = task};
    char *dir = NULL;
    enum lorac_status st = args_count(&threads, a, "--threads", err);
    if (!st) { st = lorac_device_outline(&b->dev, NULL, (int)threads, err); }
    if (!st) { st = read_compute(&o.compute, &b->dev, a, err); }
    if (!st) { st = find_folder(&dir, "--model", args_text(a, "--model", ""), err); }
    if (!st) { st = check_model(dir, err); }
    if (!st && task == LORAC_TASKS) { st = read_task(&o, a, err); }
    if (!st) { st = open_model(b, dir, &o, tokenizer, continues, err); }
    for (size_t i = 0; !st && args_each(a, "--adapter", i); i++) {
        if (i == LORAC_MAX_STACK) {
            st = lorac_fail(err, LORAC_EUSER, "at most %d adapters at once", LORAC_MAX_STACK);
            break;
        }
        st = bench_adapter(&b->adapters[i], &b->stack.factor[i], b, args_each(a, "--adapter", i),
                           args_has(a, "--force"), err);
        b->stack.adapter[i] = b->adapters[i];
        b->stack.n = i + 1;
    }
    if (!st) { st = lorac_stack_check(&b->stack, err); }
    if (st) { bench_close(b); }
    lorac_mem_free(dir);
    return st;
}

enum lorac_status bench_open(struct bench *b, const struct args *a, bool tokenizer,
                             struct lorac_err *err)
{
    return open_bench(b, a, LORAC_TASK_LM, tokenizer, true, err);
}

enum lorac_status bench_open_for(struct bench *b, const struct args *a, enum lorac_task task,
                                 bool tokenizer, struct lorac_err *err)
{
    return open_bench(b, a, task, tokenizer, false, err);
}

enum lorac_status bench_mask(int32_t *mask, const struct bench *b, struct lorac_err *err)
{
    *mask = lorac_tokenizer_mask(b->tokenizer);
    if (*mask >= 0) { return LORAC_OK; }
    return lorac_fail(
        err, LORAC_EUSER,
        "%s: a %s guesses tokens that are masked, and its tokenizer has no mask token "
        "(mask_token of tokenizer_config.json)",
        b->model->dir, lorac_arch_type(b->model->config.arch));
}

void bench_close(struct bench *b)
{
    for (size_t i = 0; i < LORAC_MAX_STACK; i++) {
        lorac_adapter_free(b->adapters[i]);
    }
    lorac_tokenizer_free(b->tokenizer);
    lorac_model_close(b->model);
    lorac_device_close(&b->dev);
    *b = (struct bench){0};
}

const struct lorac_socket *bench_socket(struct bench *b)
{
    if (b->stack.n == 0) { return NULL; }
    b->socket = lorac_stack_socket(&b->stack);
    return &b->socket;
}

bool is_one_file(const char *a, const char *b)
{
    struct stat x;
    struct stat y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

enum lorac_status read_text(struct lorac_buf *out, const char *path, struct lorac_err *err)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : fopen(path, "rbe");
    if (!f) {
        char reason[128];
        const char *why = strerror_r(errno, reason, sizeof reason) == 0 ? reason : "unknown reason";
        return lorac_fail(err, LORAC_EIO, "%s: cannot open: %s", path, why);
    }
    char block[65536];
    for (size_t n = fread(block, 1, sizeof block, f); n; n = fread(block, 1, sizeof block, f)) {
        lorac_buf_add(out, block, n);
    }
    bool failed = ferror(f) != 0;
    if (!standard) { fclose(f); }
    if (failed) { return lorac_fail(err, LORAC_EIO, "%s: cannot read", path); }
    return out->no_memory ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory", path) : LORAC_OK;
}

enum lorac_status read_sampling(struct lorac_sampling *o, const char *stops[MAX_GIVEN],
                                const struct args *a, struct lorac_err *err)
{
    size_t seed = 0;
    *o = lorac_sampling_defaults;
    enum lorac_status st = args_count(&o->max_tokens, a, "--max-tokens", err);
    if (!st) { st = args_number(&o->temperature, a, "--temperature", 0.0, 100.0, err); }
    if (!st) { st = args_number(&o->top_p, a, "--top-p", 1e-9, 1.0, err); }
    if (!st) { st = args_count(&o->top_k, a, "--top-k", err); }
    if (!st) {
        st = args_number(&o->repetition_penalty, a, "--repetition-penalty", 0.01, 100.0, err);
    }
    if (!st) { st = args_count(&seed, a, "--seed", err); }
    if (!st && o->max_tokens == 0) {
        st = lorac_fail(err, LORAC_EUSER, "--max-tokens must be at least 1");
    }
    o->seed = seed;
    o->stop = stops;
    for (size_t i = 0; args_each(a, "--stop", i); i++) {
        stops[o->n_stop++] = args_each(a, "--stop", i);
        if (!st && !*args_each(a, "--stop", i)) {
            st = lorac_fail(err, LORAC_EUSER, "--stop needs a text, found ''");
        }
    }
    return st;
}
