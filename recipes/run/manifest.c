/* manifest.c - run.json: written, and compared with a recipe that would go on; see files.h. */
#include "recipes/run/files.h"

#include "base/checkpoint/hub.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/machine.h"
#include "base/core/mem.h"
#include "base/core/sha256.h"
#include "recipes/language/reading.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANIFEST_LIMIT = 1 << 20 };

static void quoted(struct lorac_buf *b, const char *key, const char *value)
{
    lorac_buf_printf(b, "  \"%s\": ", key);
    lorac_buf_json(b, value, strlen(value));
    lorac_buf_str(b, ",\n");
}

/* What the tokenizer made of the rows, of training and validation: neither table nor base tell of
 * it. */
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
    for (size_t at = 0; at < map.size; at += LORAC_MAP_READ) {
        size_t left = map.size - at;
        lorac_sha256_add(sha, map.data + at, left < LORAC_MAP_READ ? left : LORAC_MAP_READ);
        lorac_map_forget(&map);
    }
    lorac_map_close(&map);
    return LORAC_OK;
}

enum lorac_status lorac_run_hash(char hex[65], const char *path, struct lorac_err *err)
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
        char path[LORAC_PATH];
        st = hash_more(&sha, lorac_path_in(path, dir, files[i]), err);
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
        enum lorac_status st = lorac_run_hash(hex, files->at[i], err);
        if (st) { return st; }
        file_key(key, name, i);
        lorac_buf_printf(b, "  \"%s\": {\"path\": ", key);
        lorac_buf_json(b, files->at[i], strlen(files->at[i]));
        lorac_buf_printf(b, ", \"sha256\": \"%s\"},\n", hex);
    }
    return LORAC_OK;
}

static void add_scores(struct lorac_buf *b, const char *key, const struct lorac_scores *s)
{
    lorac_buf_printf(b, ",\n  \"%s\": {\"rows\": %zu, \"tokens\": %zu", key, s->rows, s->tokens);
    for (int m = 0; m < LORAC_METRICS; m++) {
        double v = lorac_scores_get(s, (enum lorac_metric)m);
        if (!isfinite(v)) { continue; }
        lorac_buf_printf(b, ", \"%s\": %.9g", lorac_metric_name((size_t)m), v);
    }
    if (s->bytes) {
        lorac_buf_printf(b, ", \"bytes\": %zu, \"bits_per_byte\": %.9g", s->bytes,
                         lorac_scores_bits_per_byte(s));
    }
    lorac_buf_str(b, "}");
}

/* What became of the run. */
static void add_result(struct lorac_buf *b, const struct lorac_run_result *result)
{
    lorac_buf_printf(b, ",\n  \"steps_done\": %zu,\n  \"peak_bytes\": %zu", result->step,
                     result->peak_bytes);
    if (!result->has_valid) { return; }
    if (result->last.rows) { add_scores(b, "last", &result->last); }
    add_scores(b, "best", &result->best);
    lorac_buf_printf(b, ",\n  \"best_step\": %zu", result->best_step);
}

/* When, on which machine. */
static void add_session(struct lorac_buf *b, const struct lorac_manifest *m)
{
    char text[64];
    quoted(b, "version", LORAC_VERSION);
    quoted(b, "started", m->started);
    if (m->resumed) { quoted(b, "resumed", m->resumed); }
    if (m->result || m->failure) {
        char now[32];
        lorac_clock_utc(now);
        quoted(b, "ended", now);
    }
    lorac_machine_host(text);
    quoted(b, "host", text);
    lorac_machine_cpu(text);
    quoted(b, "cpu", text);
    lorac_buf_printf(b, "  \"threads\": %d,\n", m->job->dev.threads);
    if (m->ranks > 1) { lorac_buf_printf(b, "  \"ranks\": %zu,\n", m->ranks); }
    quoted(b, "backend", m->job->dev.ops->name);
    quoted(b, "compute", lorac_compute_name(m->job->model->compute));
    const struct lorac_approximation *a = m->approximation;
    if (a->rows) {
        lorac_buf_printf(b,
                         "  \"approximation\": {\"rows\": %zu, \"loss\": %.9g, \"float32\": %.9g, "
                         "\"error\": %.3g},\n",
                         a->rows, a->there, a->float32, a->error);
    }
}

/* What the run reads, by its content. */
static enum lorac_status add_inputs(struct lorac_buf *b, const struct lorac_job *j,
                                    struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    char text[64];
    char from[65];
    char id[LORAC_HUB_ID];
    quoted(b, "base", r->model.path);
    if (lorac_hub_id(id, r->model.path)) { quoted(b, "base_id", id); }
    quoted(b, "base_fingerprint", j->model->fingerprint);
    enum lorac_status st = add_files(b, "train", &r->data.train, err);
    if (!st) { st = add_files(b, "valid", &r->data.valid.paths, err); }
    if (!st && r->adapter.from) { st = hash_adapter(from, r->adapter.from, err); }
    if (!st && r->adapter.from) { quoted(b, "adapter_from_sha256", from); }
    examples_text(text, j);
    quoted(b, "examples", text);
    return st;
}

enum lorac_status lorac_manifest_write(const struct lorac_run_paths *p,
                                       const struct lorac_manifest *m, struct lorac_err *err)
{
    static const char *const ends[] = {"finished", "stopped", "stopped early: no improvement"};
    struct lorac_buf b = {0};
    lorac_buf_str(&b, "{\n");
    quoted(&b, "status", m->result ? ends[m->result->end] : m->failure ? "failed" : "running");
    if (m->failure) { quoted(&b, "error", m->failure->text); }
    add_session(&b, m);
    enum lorac_status st = m->inputs->n ? LORAC_OK : add_inputs(m->inputs, m->job, err);
    lorac_buf_add(&b, m->inputs->at, m->inputs->n);
    if (m->best) { quoted(&b, "best_by", lorac_metric_name(*m->best)); }
    lorac_buf_printf(&b, "  \"parameters\": %zu,\n  \"modules\": %zu,\n  \"steps\": %zu",
                     m->adapter->n_params, m->adapter->n, m->steps);
    if (m->frozen) { lorac_buf_printf(&b, ",\n  \"frozen_layers\": %zu", m->frozen); }
    if (m->seconds > 0.0) { lorac_buf_printf(&b, ",\n  \"seconds\": %.3f", m->seconds); }
    if (m->result) { add_result(&b, m->result); }
    lorac_buf_str(&b, "\n}\n");
    if (!st && (b.no_memory || m->inputs->no_memory)) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", p->manifest);
    }
    if (st) { lorac_buf_free(m->inputs); }
    if (!st) { st = lorac_file_write(p->manifest, b.at, b.n, err); }
    lorac_buf_free(&b);
    return st;
}

enum lorac_status lorac_weights_digest(uint64_t *out, const char *dir, struct lorac_err *err)
{
    char hex[65] = "";
    char path[LORAC_PATH];
    *out = 0;
    lorac_path_in(path, dir, "adapter_model.safetensors");
    enum lorac_status st = lorac_run_hash(hex, path, err);
    hex[16] = '\0';
    if (!st) { *out = strtoull(hex, NULL, 16) | 1U; }
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
        if (!st) { st = lorac_run_hash(hex, files->at[i], err); }
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
    size_t ranks = 1;
    size_t ranks_now = lorac_ranks_count(watch->ranks);
    enum lorac_status st = lorac_json_string(&cpu, root, "cpu", true, err);
    if (!st) { st = lorac_json_string(&version, root, "version", true, err); }
    if (!st) { st = lorac_json_size(&threads, root, "threads", true, 1, 1 << 20, err); }
    if (!st) { st = lorac_json_size(&ranks, root, "ranks", false, 1, 1 << 20, err); }
    if (st || !watch->note) { return st; }
    lorac_machine_cpu(now);
    if (strcmp(cpu, now) != 0 || threads != (size_t)j->dev.threads) {
        watch->note(watch->self,
                    "another CPU type or thread count than before: the result will differ "
                    "from an uninterrupted run in the last bits");
    }
    if (ranks != ranks_now) {
        (void)snprintf(text, sizeof text,
                       "%zu ranks share the run now, and %zu did before: the result will "
                       "differ from an uninterrupted run in the last bits",
                       ranks_now, ranks);
        watch->note(watch->self, text);
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

/* Do both name as many files for the key, and of one kind? Then their content decides. */
static bool is_place(const struct lorac_key *key, const struct lorac_recipe *a,
                     const struct lorac_recipe *b)
{
    if (!(key->flags & LORAC_KEY_PLACE)) { return false; }
    if (strcmp(key->path, "data.train") == 0) { return a->data.train.n == b->data.train.n; }
    if (strcmp(key->path, "adapter.from") == 0) { return !a->adapter.from == !b->adapter.from; }
    if (strcmp(key->path, "data.valid") == 0) {
        return a->data.valid.kind == LORAC_RECIPE_SPLIT_PATH &&
               b->data.valid.kind == a->data.valid.kind &&
               a->data.valid.paths.n == b->data.valid.paths.n;
    }
    return true;
}

/* Append "KEY: OLD -> NEW" where they differ, behind "; ". */
static void add_difference(struct lorac_buf *to, const struct lorac_recipe *old,
                           const struct lorac_recipe *r, const struct lorac_key *key)
{
    struct lorac_buf line = {0};
    lorac_key_diff(&line, old, r, key);
    if (line.n) {
        lorac_buf_str(to, to->n ? "; " : "");
        lorac_buf_add(to, line.at, line.n - 1);
    }
    to->no_memory = to->no_memory || line.no_memory;
    lorac_buf_free(&line);
}

/* What makes another run is refused; another length goes into `length`, unless that is NULL. */
static enum lorac_status check_recipe(struct lorac_buf *length, const struct lorac_run_paths *p,
                                      const struct lorac_recipe *r, struct lorac_err *err)
{
    struct lorac_recipe *old = NULL;
    struct lorac_buf diff = {0};
    enum lorac_status st = lorac_recipe_open(&old, p->recipe, NULL, 0, NULL, err);
    if (st) { return st; }
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        if (key->flags & LORAC_KEY_FREE || is_place(key, old, r)) { continue; }
        bool is_length = length && key->flags & LORAC_KEY_LENGTH;
        add_difference(is_length ? length : &diff, old, r, key);
    }
    if (diff.no_memory || (length && length->no_memory)) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory to compare recipes", p->dir);
    } else if (diff.n) {
        st = lorac_fail(err, LORAC_EUSER, "%s: the recipe has changed since the run began: %s",
                        p->dir, diff.at);
    }
    lorac_buf_free(&diff);
    lorac_recipe_free(old);
    return st;
}

enum lorac_status lorac_manifest_check(struct lorac_buf *length, const struct lorac_run_paths *p,
                                       const struct lorac_job *j,
                                       const struct lorac_run_watch *watch, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    struct lorac_json root = {0};
    const char *base = "";
    const char *compute = "float32"; // where it was all there is
    const char *computes = lorac_compute_name(j->model->compute);
    const char *examples = "";
    char now[64];
    enum lorac_status st = check_recipe(length, p, r, err);
    if (!st) { st = lorac_json_load(&root, p->manifest, MANIFEST_LIMIT, err); }
    if (!st) { st = lorac_json_string(&base, &root, "base_fingerprint", true, err); }
    if (!st && strcmp(base, j->model->fingerprint) != 0) {
        st = lorac_fail(err, LORAC_EUSER, "%s: is not the base that this run began with",
                        r->model.path);
    }
    if (!st) { st = lorac_json_string(&compute, &root, "compute", false, err); }
    if (!st && strcmp(compute, computes) != 0) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: the run began in %s, and would go on in %s (model.compute)", p->dir,
                        compute, computes);
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
    lorac_json_free(&root);
    return st;
}

enum lorac_status lorac_manifest_read(struct lorac_earlier *out, const struct lorac_run_paths *p,
                                      struct lorac_err *err)
{
    struct lorac_json root = {0};
    const char *started = "";
    const char *best = "";
    *out = (struct lorac_earlier){0};
    enum lorac_status st = lorac_json_load(&root, p->manifest, MANIFEST_LIMIT, err);
    if (!st) { st = lorac_json_string(&started, &root, "started", true, err); }
    if (!st) { st = lorac_json_string(&best, &root, "best_by", false, err); }
    if (!st) { st = lorac_json_size(&out->steps, &root, "steps", true, 0, SIZE_MAX / 2, err); }
    if (!st) {
        st = lorac_json_size(&out->frozen, &root, "frozen_layers", false, 0, SIZE_MAX / 2, err);
    }
    if (!st) { st = lorac_json_number(&out->seconds, &root, "seconds", false, err); }
    if (!(out->seconds >= 0.0)) { out->seconds = 0.0; }
    (void)snprintf(out->started, sizeof out->started, "%.31s", started);
    for (unsigned m = 0; !st && lorac_metric_name(m); m++) {
        if (strcmp(best, lorac_metric_name(m)) == 0) { out->best = m + 1; }
    }
    lorac_json_free(&root);
    return st;
}

enum lorac_status lorac_manifest_unsaved(const struct lorac_run_paths *p, struct lorac_err *err)
{
    struct lorac_json root = {0};
    const char *status = "";
    enum lorac_status st = lorac_json_load(&root, p->manifest, MANIFEST_LIMIT, err);
    if (!st) { st = lorac_json_string(&status, &root, "status", true, err); }
    bool ended = !st && strcmp(status, "running") != 0 && strcmp(status, "failed") != 0;
    if (ended) {
        st =
            lorac_fail(err, LORAC_EUSER,
                       "%s: is missing, but the run is '%s' by %s; put it back, or start anew with "
                       "--overwrite",
                       p->state, status, p->manifest);
    } else if (!st && (lorac_path_exists(p->best) || lorac_path_exists(p->last) ||
                       lorac_metrics_begun(p))) { // a state is there before the first step
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: is missing, but the run had done steps and saved them; put it back, "
                        "or start anew with --overwrite",
                        p->state);
    }
    lorac_json_free(&root);
    return st;
}
