/* run_files.c - see run_files.h. */
#include "recipes/run_files.h"

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/machine.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "base/core/sha256.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 64 << 20, MANIFEST_LIMIT = 1 << 20 };

enum lorac_status lorac_run_paths(struct lorac_run_paths *p, const char *dir, struct lorac_err *err)
{
    *p = (struct lorac_run_paths){
        .dir = lorac_mem_string(dir, strlen(dir)),
        .recipe = lorac_path_join(dir, "recipe.resolved.yaml"),
        .manifest = lorac_path_join(dir, "run.json"),
        .metrics = lorac_path_join(dir, "metrics.csv"),
        .state_dir = lorac_path_join(dir, "state"),
        .state = lorac_path_join(dir, "state/state.safetensors"),
        .best = lorac_path_join(dir, "best"),
        .last = lorac_path_join(dir, "last"),
        .merged = lorac_path_join(dir, "merged"),
        .lock = lorac_path_join(dir, "lock"),
    };
    bool all = p->dir && p->recipe && p->manifest && p->metrics && p->state_dir && p->state &&
               p->best && p->last && p->merged && p->lock;
    if (!all) {
        lorac_run_paths_free(p);
        return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir);
    }
    return LORAC_OK;
}

void lorac_run_paths_free(struct lorac_run_paths *p)
{
    lorac_mem_free(p->dir);
    lorac_mem_free(p->recipe);
    lorac_mem_free(p->manifest);
    lorac_mem_free(p->metrics);
    lorac_mem_free(p->state_dir);
    lorac_mem_free(p->state);
    lorac_mem_free(p->best);
    lorac_mem_free(p->last);
    lorac_mem_free(p->merged);
    lorac_mem_free(p->lock);
    *p = (struct lorac_run_paths){0};
}

/* A process killed while it replaced the folder `to` left "TO.old": the folder itself where the new one was not
 * there yet, or what was still to be removed. */
static enum lorac_status put_back(const char *to, struct lorac_err *err)
{
    struct lorac_buf old = {0};
    lorac_buf_printf(&old, "%s.old", to);
    if (old.no_memory) { return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", to); }
    enum lorac_status st = LORAC_OK;
    if (lorac_path_is_dir(old.at)) {
        st = lorac_path_exists(to) ? lorac_dir_remove(old.at, err)
                                   : lorac_dir_replace(to, old.at, err);
    }
    lorac_buf_free(&old);
    return st;
}

enum lorac_status lorac_run_sweep(const struct lorac_run_paths *p, struct lorac_err *err)
{
    const char *const folders[] = {p->dir, p->state_dir};
    enum lorac_status st = put_back(p->best, err);
    if (!st) { st = put_back(p->last, err); }
    for (size_t f = 0; f < 2 && !st; f++) {
        char **names = NULL;
        if (!lorac_path_is_dir(folders[f])) { continue; }
        st = lorac_dir_list(&names, folders[f], err);
        for (size_t i = 0; !st && names[i]; i++) {
            if (!strstr(names[i], ".tmp-")) { continue; }
            char *path = lorac_path_join(folders[f], names[i]);
            if (!path) {
                st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", p->dir);
            } else {
                st = lorac_path_is_dir(path) ? lorac_dir_remove(path, err)
                                             : lorac_file_remove(path, err);
            }
            lorac_mem_free(path);
        }
        lorac_mem_free(names);
    }
    return st;
}

/* Does the folder hold only what a run writes before its recipe makes it one? It was killed then. */
static bool is_unborn(const struct lorac_run_paths *p)
{
    static const char *const known[] = {"lock", "run.json", "metrics.csv", "state"};
    static const char *const begun[] = {"run.json.tmp-", "metrics.csv.tmp-",
                                        "recipe.resolved.yaml.tmp-"};
    char **names = NULL;
    bool ours = lorac_path_exists(p->lock) && lorac_dir_list(&names, p->dir, NULL) == LORAC_OK;
    for (size_t i = 0; ours && names[i]; i++) {
        bool one = false;
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
            one = one || strcmp(names[i], known[k]) == 0;
        }
        for (size_t k = 0; k < sizeof begun / sizeof begun[0]; k++) {
            one = one || strncmp(names[i], begun[k], strlen(begun[k])) == 0;
        }
        ours = one;
    }
    lorac_mem_free(names);
    return ours && lorac_dir_is_empty(p->state_dir);
}

enum lorac_status lorac_run_check_folder(const struct lorac_run_paths *p, enum lorac_run_mode mode,
                                         struct lorac_err *err)
{
    bool run = lorac_path_exists(p->recipe);
    if (mode == LORAC_RUN_RESUME && !run) {
        return lorac_fail(err, LORAC_EUSER, "%s: holds no run to resume (no recipe.resolved.yaml)",
                          p->dir);
    }
    if (mode == LORAC_RUN_NEW && run) {
        return lorac_fail(
            err, LORAC_EUSER,
            "%s: holds a run already: go on with --resume, start anew with --overwrite, or "
            "choose another folder with --set output.dir=DIR",
            p->dir);
    }
    if (!run && !lorac_dir_is_empty(p->dir) && !is_unborn(p)) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: holds files that are no run of lorac; choose another output.dir",
                          p->dir);
    }
    return LORAC_OK;
}

enum lorac_status lorac_run_clear(const struct lorac_run_paths *p, struct lorac_err *err)
{
    const char *const folders[] = {p->state_dir, p->best, p->last, p->merged};
    const char *const files[] = {p->metrics, p->manifest,
                                 p->recipe}; // the recipe marks a run: last
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0] && !st; i++) {
        st = lorac_dir_remove(folders[i], err);
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0] && !st; i++) {
        st = lorac_file_remove(files[i], err);
    }
    return st;
}

/* ---- run.json ---- */

static void quoted(struct lorac_buf *b, const char *key, const char *value)
{
    lorac_buf_printf(b, "  \"%s\": ", key);
    lorac_json_quote(b, value, strlen(value));
    lorac_buf_str(b, ",\n");
}

/* What the tokenizer made of the rows, of training and validation: neither table nor base tell of it. */
static void examples_text(char text[64], const struct lorac_job *j)
{
    (void)snprintf(text, 64, "%016llx %016llx",
                   (unsigned long long)lorac_dataset_digest(j->train.set),
                   j->valid.set ? (unsigned long long)lorac_dataset_digest(j->valid.set) : 0ULL);
}

static enum lorac_status hash_more(struct lorac_sha256 *sha, const char *path,
                                   struct lorac_err *err)
{
    struct lorac_map map;
    enum lorac_status st = lorac_map_open(&map, path, err);
    if (st) { return st; }
    lorac_sha256_add(sha, map.data, map.size);
    lorac_map_close(&map);
    return LORAC_OK;
}

static enum lorac_status hash_file(char hex[65], const char *path, struct lorac_err *err)
{
    struct lorac_sha256 sha;
    lorac_sha256_init(&sha);
    enum lorac_status st = hash_more(&sha, path, err);
    if (!st) { lorac_sha256_hex(hex, &sha); }
    return st;
}

/* The adapter that adapter.from names: its configuration, then its tensors. */
static enum lorac_status hash_adapter(char hex[65], const char *dir, struct lorac_err *err)
{
    static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors"};
    struct lorac_sha256 sha;
    enum lorac_status st = LORAC_OK;
    lorac_sha256_init(&sha);
    for (size_t i = 0; i < sizeof files / sizeof *files && !st; i++) {
        char *path = lorac_path_join(dir, files[i]);
        st =
            path ? hash_more(&sha, path, err) : lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir);
        lorac_mem_free(path);
    }
    if (!st) { lorac_sha256_hex(hex, &sha); }
    return st;
}

/* The key of file i of several: "train", "train_2", "train_3", ... */
static void file_key(char key[40], const char *name, size_t i)
{
    if (i == 0) {
        (void)snprintf(key, 40, "%s", name);
    } else {
        (void)snprintf(key, 40, "%s_%zu", name, i + 1);
    }
}

/* "key": {"path": ..., "sha256": ...} for the files of the recipe. */
static enum lorac_status add_files(struct lorac_buf *b, const char *name,
                                   const struct lorac_recipe_list *files, struct lorac_err *err)
{
    for (size_t i = 0; i < files->n; i++) {
        char hex[65];
        char key[40];
        enum lorac_status st = hash_file(hex, files->at[i], err);
        if (st) { return st; }
        file_key(key, name, i);
        lorac_buf_printf(b, "  \"%s\": {\"path\": ", key);
        lorac_json_quote(b, files->at[i], strlen(files->at[i]));
        lorac_buf_printf(b, ", \"sha256\": \"%s\"},\n", hex);
    }
    return LORAC_OK;
}

static void add_scores(struct lorac_buf *b, const char *key, const struct lorac_scores *s)
{
    lorac_buf_printf(b, ",\n  \"%s\": {\"loss\": %.9g, \"perplexity\": %.9g", key, s->loss,
                     s->perplexity);
    if (s->has_accuracy) {
        lorac_buf_printf(b, ", \"accuracy\": %.9g, \"macro_f1\": %.9g", s->accuracy, s->macro_f1);
    }
    if (s->has_exact_match) { lorac_buf_printf(b, ", \"exact_match\": %.9g", s->exact_match); }
    if (s->bytes) {
        lorac_buf_printf(b, ", \"bytes\": %zu, \"bits_per_byte\": %.9g", s->bytes,
                         lorac_scores_bits_per_byte(s));
    }
    lorac_buf_str(b, "}");
}

enum lorac_status lorac_manifest_write(const struct lorac_run_paths *p, const struct lorac_job *j,
                                       const struct lorac_adapter *a, size_t steps,
                                       const char *started, const struct lorac_run_result *result,
                                       const struct lorac_err *failure, struct lorac_err *err)
{
    static const char *const ends[] = {"finished", "stopped", "stopped early: no improvement"};
    const struct lorac_recipe *r = j->recipe;
    struct lorac_buf b = {0};
    char text[64];
    char now[32];
    char from[65];
    lorac_buf_str(&b, "{\n");
    quoted(&b, "status", result ? ends[result->end] : failure ? "failed" : "running");
    if (failure) { quoted(&b, "error", failure->text); }
    quoted(&b, "version", LORAC_VERSION);
    quoted(&b, "started", started);
    lorac_clock_utc(now);
    if (result || failure) { quoted(&b, "ended", now); }
    lorac_machine_host(text);
    quoted(&b, "host", text);
    lorac_machine_cpu(text);
    quoted(&b, "cpu", text);
    lorac_buf_printf(&b, "  \"threads\": %d,\n", j->dev.threads);
    quoted(&b, "backend", j->dev.ops->name);
    quoted(&b, "base", r->model.path);
    quoted(&b, "base_fingerprint", j->model->fingerprint);
    enum lorac_status st = add_files(&b, "train", &r->data.train, err);
    if (!st) { st = add_files(&b, "valid", &r->data.valid.paths, err); }
    if (!st && r->adapter.from) { st = hash_adapter(from, r->adapter.from, err); }
    if (!st && r->adapter.from) { quoted(&b, "adapter_from_sha256", from); }
    examples_text(text, j);
    quoted(&b, "examples", text);
    if (!st) {
        lorac_buf_printf(&b, "  \"parameters\": %zu,\n  \"modules\": %zu,\n  \"steps\": %zu",
                         a->n_params, a->n, steps);
    }
    if (!st && result) {
        lorac_buf_printf(&b,
                         ",\n  \"steps_done\": %zu,\n  \"seconds\": %.3f,\n  \"peak_bytes\": %zu",
                         result->step, result->seconds, result->peak_bytes);
        if (result->has_valid) {
            if (result->last.rows) { add_scores(&b, "last", &result->last); }
            add_scores(&b, "best", &result->best);
            lorac_buf_printf(&b, ",\n  \"best_step\": %zu", result->best_step);
        }
    }
    lorac_buf_str(&b, "\n}\n");
    if (!st && b.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", p->manifest); }
    if (!st) { st = lorac_file_write(p->manifest, b.at, b.n, err); }
    lorac_buf_free(&b);
    return st;
}

static enum lorac_status check_files(const struct lorac_json *root, const char *name,
                                     const struct lorac_recipe_list *files, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < files->n && !st; i++) {
        char hex[65];
        char key[40];
        const char *want = NULL;
        file_key(key, name, i);
        struct lorac_json file = lorac_json_get(root, key);
        st = lorac_json_string(&want, &file, "sha256", true, err);
        if (!st) { st = hash_file(hex, files->at[i], err); }
        if (!st && strcmp(hex, want) != 0) {
            st =
                lorac_fail(err, LORAC_EUSER,
                           "%s: has changed since the run began; a resumed run needs the same data",
                           files->at[i]);
        }
    }
    return st;
}

static enum lorac_status check_from(const struct lorac_json *root, const char *dir,
                                    struct lorac_err *err)
{
    char hex[65];
    const char *want = NULL;
    if (!dir) { return LORAC_OK; }
    enum lorac_status st = lorac_json_string(&want, root, "adapter_from_sha256", true, err);
    if (!st) { st = hash_adapter(hex, dir, err); }
    if (!st && strcmp(hex, want) != 0) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: has changed since the run began (adapter.from); a resumed run needs "
                        "the same adapter",
                        dir);
    }
    return st;
}

/* What may change the last bits of the result is worth a word. */
static enum lorac_status note_changes(const struct lorac_json *root, const struct lorac_job *j,
                                      const struct lorac_run_watch *watch, struct lorac_err *err)
{
    char text[200];
    char now[64];
    const char *cpu = "";
    const char *version = "";
    size_t threads = 0;
    enum lorac_status st = lorac_json_string(&cpu, root, "cpu", true, err);
    if (!st) { st = lorac_json_string(&version, root, "version", true, err); }
    if (!st) { st = lorac_json_size(&threads, root, "threads", true, 1, 1 << 20, err); }
    if (st || !watch->note) { return st; }
    lorac_machine_cpu(now);
    if (strcmp(cpu, now) != 0 || threads != (size_t)j->dev.threads) {
        watch->note(watch->self,
                    "another CPU type or thread count than before: the result will differ "
                    "from an uninterrupted run in the last bits");
    }
    if (strcmp(version, LORAC_VERSION) != 0) {
        (void)snprintf(text, sizeof text,
                       "the run began with lorac %.40s, this is %s: the result may differ from an "
                       "uninterrupted run",
                       version, LORAC_VERSION);
        watch->note(watch->self, text);
    }
    return LORAC_OK;
}

enum lorac_status lorac_manifest_check(const struct lorac_run_paths *p, const struct lorac_job *j,
                                       const struct lorac_run_watch *watch, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    struct lorac_json root = {0};
    struct lorac_recipe *old = NULL;
    struct lorac_buf diff = {0};
    const char *base = "";
    const char *examples = "";
    char now[64];
    enum lorac_status st = lorac_recipe_open(&old, p->recipe, NULL, 0, NULL, err);
    if (!st) {
        lorac_recipe_diff(&diff, old, r);
        struct lorac_buf line = {0}; // a line a key becomes one line of all
        for (size_t i = 0; i < diff.n; i++) {
            if (diff.at[i] != '\n') {
                lorac_buf_add(&line, &diff.at[i], 1);
            } else if (i + 1 < diff.n) {
                lorac_buf_str(&line, "; ");
            }
        }
        if (diff.no_memory || line.no_memory) {
            st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory to compare recipes", p->dir);
        } else if (line.n) {
            st = lorac_fail(err, LORAC_EUSER, "%s: the recipe has changed since the run began: %s",
                            p->dir, line.at);
        }
        lorac_buf_free(&line);
    }
    if (!st) { st = lorac_json_load(&root, p->manifest, MANIFEST_LIMIT, err); }
    if (!st) { st = lorac_json_string(&base, &root, "base_fingerprint", true, err); }
    if (!st && strcmp(base, j->model->fingerprint) != 0) {
        st = lorac_fail(err, LORAC_EUSER, "%s: is not the base that this run began with",
                        r->model.path);
    }
    if (!st) { st = check_files(&root, "train", &r->data.train, err); }
    if (!st) { st = check_files(&root, "valid", &r->data.valid.paths, err); }
    if (!st) { st = lorac_json_string(&examples, &root, "examples", true, err); }
    examples_text(now, j);
    if (!st && strcmp(examples, now) != 0) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: makes other tokens of the same data than when the run began: its "
                        "tokenizer has changed",
                        r->model.path);
    }
    if (!st) { st = check_from(&root, r->adapter.from, err); }
    if (!st) { st = note_changes(&root, j, watch, err); }
    lorac_buf_free(&diff);
    lorac_recipe_free(old);
    lorac_json_free(&root);
    return st;
}

enum lorac_status lorac_manifest_unsaved(const struct lorac_run_paths *p, struct lorac_err *err)
{
    struct lorac_json root = {0};
    const char *status = "";
    enum lorac_status st = lorac_json_load(&root, p->manifest, MANIFEST_LIMIT, err);
    if (!st) { st = lorac_json_string(&status, &root, "status", true, err); }
    if (!st && strcmp(status, "running") != 0 && strcmp(status, "failed") != 0) {
        st =
            lorac_fail(err, LORAC_EUSER,
                       "%s: is missing, but the run is '%s' by %s; put it back, or start anew with "
                       "--overwrite",
                       p->state, status, p->manifest);
    }
    lorac_json_free(&root);
    return st;
}

/* ---- metrics.csv ---- */

static const char header[] = "step,epoch,split,loss,perplexity,accuracy,macro_f1,exact_match,"
                             "bits_per_byte,lr,grad_norm,tokens,trained,seconds\n";

enum lorac_status lorac_metrics_begin(const struct lorac_run_paths *p, size_t step,
                                      struct lorac_err *err)
{
    char *text = NULL;
    size_t n = 0;
    size_t end = sizeof header - 1;
    if (step == 0 || !lorac_path_exists(p->metrics)) {
        return lorac_file_write(p->metrics, header, sizeof header - 1, err);
    }
    enum lorac_status st = lorac_file_read(&text, &n, p->metrics, FILE_LIMIT, err);
    if (st) { return st; }
    if (n < end || memcmp(text, header, end) != 0) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: does not begin with lorac's header", p->metrics);
    }
    while (!st && end < n) { // keep whole lines up to `step`
        const char *line_end = memchr(text + end, '\n', n - end);
        if (!line_end || strtoull(text + end, NULL, 10) > step) { break; }
        end = (size_t)(line_end - text) + 1;
    }
    if (!st) { st = lorac_file_write(p->metrics, text, end, err); }
    lorac_mem_free(text);
    return st;
}

enum lorac_status lorac_metrics_seconds(double *out, const struct lorac_run_paths *p,
                                        struct lorac_err *err)
{
    char *text = NULL;
    size_t n = 0;
    *out = 0.0;
    enum lorac_status st = lorac_file_read(&text, &n, p->metrics, FILE_LIMIT, err);
    if (st) { return st; }
    size_t at = sizeof header - 1;
    if (n < at || memcmp(text, header, at) != 0) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: does not begin with lorac's header", p->metrics);
    }
    while (!st && at < n) { // the last field of each line
        const char *line_end = memchr(text + at, '\n', n - at);
        size_t end = line_end ? (size_t)(line_end - text) : n;
        size_t field = end;
        while (field > at && text[field - 1] != ',') {
            field--;
        }
        char *stop = NULL;
        double seconds = lorac_strtod(text + field, &stop);
        if (stop != text + end || field == end || !(seconds >= 0.0)) {
            st = lorac_fail(err, LORAC_EFORMAT, "%s: a line ends without its seconds: '%.*s'",
                            p->metrics, (int)(end - at < 60 ? end - at : 60), text + at);
        }
        *out += seconds;
        at = end + 1;
    }
    lorac_mem_free(text);
    return st;
}

enum lorac_status lorac_metrics_step(const struct lorac_run_paths *p,
                                     const struct lorac_run_step *s, struct lorac_err *err)
{
    char line[256];
    int n = lorac_snprintf(
        line, sizeof line, "%zu,%.4f,train,%.9g,%.9g,,,,,%.9g,%.9g,%zu,%zu,%.4f\n", s->step,
        s->epoch, s->loss, exp(s->loss), s->lr, s->grad_norm, s->tokens, s->trained, s->seconds);
    return lorac_file_append(p->metrics, line, (size_t)n, err);
}

/* ",value", or "," for what was not measured. */
static void field(struct lorac_buf *b, bool has, double value)
{
    if (has) {
        lorac_buf_printf(b, ",%.9g", value);
    } else {
        lorac_buf_str(b, ",");
    }
}

enum lorac_status lorac_metrics_eval(const struct lorac_run_paths *p, double epoch,
                                     const struct lorac_run_eval *e, struct lorac_err *err)
{
    const struct lorac_scores *s = e->scores;
    struct lorac_buf b = {0};
    lorac_buf_printf(&b, "%zu,%.4f,valid,%.9g,%.9g", e->step, epoch, s->loss, s->perplexity);
    field(&b, s->has_accuracy, s->accuracy);
    field(&b, s->has_accuracy, s->macro_f1);
    field(&b, s->has_exact_match, s->exact_match);
    field(&b, s->bytes > 0, lorac_scores_bits_per_byte(s));
    lorac_buf_printf(&b, ",,,%zu,%zu,%.4f\n", s->rows, s->tokens, s->seconds);
    enum lorac_status st = b.no_memory ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory", p->metrics)
                                       : lorac_file_append(p->metrics, b.at, b.n, err);
    lorac_buf_free(&b);
    return st;
}
