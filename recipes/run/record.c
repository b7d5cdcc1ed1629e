/* record.c - see record.h. */
#include "recipes/run/record.h"

#include "base/core/arena.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "recipes/language/reading.h"
#include "recipes/language/types.h"
#include "recipes/run/files.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANIFEST_LIMIT = 1 << 20, METRICS_LIMIT = 1 << 30 };

/* What is known while a folder is read. */
struct reading {
    struct lorac_record *r;
    struct lorac_run_paths paths;
    struct lorac_json root; // run.json
    struct lorac_err *err;  // borrowed
};

static enum lorac_status no_memory(const struct reading *rd)
{
    return lorac_fail(rd->err, LORAC_ENOMEM, "%s: no memory", rd->r->dir);
}

static enum lorac_status keep_text(const char **out, const struct reading *rd, const char *text)
{
    *out = lorac_arena_string(rd->r->arena, text, strlen(text));
    return *out ? LORAC_OK : no_memory(rd);
}

/* ---- recipe.resolved.yaml ---- */

static enum lorac_status read_recipe(struct reading *rd)
{
    struct lorac_record *r = rd->r;
    struct lorac_buf b = {0};
    enum lorac_status st = lorac_recipe_open(&r->recipe, rd->paths.recipe, NULL, 0, NULL, rd->err);
    if (st) { return st; }
    struct lorac_record_value *all = lorac_arena_take(r->arena, lorac_n_keys, sizeof *all);
    if (!all) { return no_memory(rd); }
    r->values = all;
    for (size_t i = 0; i < lorac_n_keys && !st; i++) {
        if (!lorac_keys[i].type->print) { continue; }
        lorac_buf_clear(&b);
        lorac_value_print(&b, r->recipe, &lorac_keys[i]);
        all[r->n_values].key = lorac_keys[i].path;
        st = b.no_memory ? no_memory(rd) : keep_text(&all[r->n_values++].value, rd, b.at);
    }
    lorac_buf_free(&b);
    return st;
}

/* ---- run.json ---- */

/* A text that run.json has, or NULL where it need not. */
static enum lorac_status read_text(const char **out, const struct reading *rd, const char *key,
                                   bool required)
{
    const char *text = NULL;
    enum lorac_status st = lorac_json_string(&text, &rd->root, key, required, rd->err);
    return st || !text ? st : keep_text(out, rd, text);
}

static enum lorac_status read_count(size_t *out, const struct lorac_json *from, const char *key,
                                    bool required, struct lorac_err *err)
{
    return lorac_json_size(out, from, key, required, 0, SIZE_MAX / 2, err);
}

static enum lorac_status read_status(const struct reading *rd)
{
    static const char *const words[] = {
        [LORAC_RECORD_RUNNING] = "running",
        [LORAC_RECORD_STOPPED] = "stopped",
        [LORAC_RECORD_FAILED] = "failed",
        [LORAC_RECORD_EARLY] = "stopped early: no improvement",
        [LORAC_RECORD_FINISHED] = "finished",
    };
    const char *text = "";
    enum lorac_status st = lorac_json_string(&text, &rd->root, "status", true, rd->err);
    if (st) { return st; }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(text, words[i]) != 0) { continue; }
        rd->r->status = (enum lorac_record_status)i;
        return LORAC_OK;
    }
    struct lorac_json at = lorac_json_get(&rd->root, "status");
    return lorac_json_fail(&at, "running, stopped, failed or finished", rd->err);
}

static enum lorac_status read_best_by(const struct reading *rd)
{
    const char *text = NULL;
    enum lorac_status st = lorac_json_string(&text, &rd->root, "best_by", false, rd->err);
    for (unsigned m = 0; !st && text && lorac_metric_name(m); m++) {
        if (strcmp(text, lorac_metric_name(m)) != 0) { continue; }
        rd->r->best_by = m;
        return LORAC_OK;
    }
    if (st || !text) { return st; } // a version wrote it that chose by loss
    struct lorac_json at = lorac_json_get(&rd->root, "best_by");
    return lorac_json_fail(&at, "a metric", rd->err);
}

/* `best` or `last`; zeroed where there is none. */
static enum lorac_status read_scores(struct lorac_scores *s, bool *there, const struct reading *rd,
                                     const char *key)
{
    struct lorac_json at = lorac_json_get(&rd->root, key);
    *s = lorac_scores_none();
    *there = at.value != NULL;
    if (!at.value) { return LORAC_OK; }
    if (!json_is_object(at.value)) { return lorac_json_fail(&at, "an object", rd->err); }
    enum lorac_status st = lorac_json_number(&s->loss, &at, "loss", true, rd->err);
    for (int m = LORAC_METRIC_PERPLEXITY; m < LORAC_METRICS && !st; m++) {
        double value = (double)NAN;
        st = lorac_json_number(&value, &at, lorac_metric_name((size_t)m), false, rd->err);
        lorac_scores_set(s, (enum lorac_metric)m, value);
    }
    if (!st) { st = read_count(&s->rows, &at, "rows", false, rd->err); }
    if (!st) { st = read_count(&s->tokens, &at, "tokens", false, rd->err); }
    if (!st) { st = read_count(&s->bytes, &at, "bytes", false, rd->err); }
    s->has_accuracy = !isnan(s->accuracy);
    s->has_exact_match = !isnan(s->exact_match);
    return st;
}

/* Which rows are evaluated: a table is known by its bytes; pieces of texts by what they are. */
static enum lorac_status read_rows_of(const struct reading *rd)
{
    struct lorac_record *r = rd->r;
    const char *text = NULL;
    enum lorac_status st = LORAC_OK;
    if (r->recipe->data.valid.kind == LORAC_RECIPE_SPLIT_NONE) { return LORAC_OK; }
    if (r->recipe->data.kind == LORAC_RECIPE_DATA_TEXT) {
        st = lorac_json_string(&text, &rd->root, "examples", true, rd->err);
        const char *valid = st ? NULL : strchr(text, ' ');
        return st ? st : keep_text(&r->rows_of, rd, valid ? valid + 1 : text);
    }
    bool own = r->recipe->data.valid.kind == LORAC_RECIPE_SPLIT_PATH;
    struct lorac_json file = lorac_json_get(&rd->root, own ? "valid" : "train");
    if (!file.value) { return lorac_json_fail(&file, "there", rd->err); }
    st = lorac_json_string(&text, &file, "sha256", true, rd->err);
    return st ? st : keep_text(&r->rows_of, rd, text);
}

static enum lorac_status read_manifest(struct reading *rd)
{
    struct lorac_record *r = rd->r;
    bool has_last = false;
    const struct {
        const char **to;
        const char *key;
        bool required;
    } texts[] = {{&r->error, "error", false},    {&r->version, "version", true},
                 {&r->started, "started", true}, {&r->ended, "ended", false},
                 {&r->host, "host", true},       {&r->cpu, "cpu", true},
                 {&r->backend, "backend", true}, {&r->compute, "compute", false},
                 {&r->base, "base", true},       {&r->fingerprint, "base_fingerprint", true}};
    const struct {
        size_t *to;
        const char *key;
        bool required;
    } counts[] = {{&r->threads, "threads", true},
                  {&r->parameters, "parameters", true},
                  {&r->steps, "steps", true},
                  {&r->steps_done, "steps_done", false},
                  {&r->peak_bytes, "peak_bytes", false},
                  {&r->best_step, "best_step", false}};
    enum lorac_status st = lorac_json_load(&rd->root, rd->paths.manifest, MANIFEST_LIMIT, rd->err);
    if (!st) { st = read_status(rd); }
    for (size_t i = 0; i < sizeof texts / sizeof *texts && !st; i++) {
        st = read_text(texts[i].to, rd, texts[i].key, texts[i].required);
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts && !st; i++) {
        st = read_count(counts[i].to, &rd->root, counts[i].key, counts[i].required, rd->err);
    }
    if (!st && !r->compute) { st = keep_text(&r->compute, rd, "float32"); } // it was all there was
    if (!st) { st = lorac_json_number(&r->seconds, &rd->root, "seconds", false, rd->err); }
    if (!st) { st = read_best_by(rd); }
    if (!st) { st = read_scores(&r->best, &r->evaluated, rd, "best"); }
    if (!st) { st = read_scores(&r->last, &has_last, rd, "last"); }
    if (!st && r->evaluated && !has_last) { r->last = r->best; }
    return st ? st : read_rows_of(rd);
}

/* ---- metrics.csv ---- */

static enum lorac_status damaged(const struct reading *rd, size_t line, const char *what,
                                 const char *found, size_t n)
{
    char shown[60];
    return lorac_fail(rd->err, LORAC_EFORMAT, "%s:%zu: %s, found '%s'", rd->paths.metrics, line,
                      what, lorac_visible(shown, sizeof shown, found, n));
}

static bool read_double(double *out, const char *at, size_t n)
{
    char text[40];
    char *end = NULL;
    *out = (double)NAN;
    if (n == 0) { return true; }
    if (n >= sizeof text) { return false; }
    memcpy(text, at, n);
    text[n] = '\0';
    *out = lorac_strtod(text, &end);
    return end == text + n;
}

static bool read_size(size_t *out, const char *at, size_t n)
{
    uint64_t v = 0;
    bool good = lorac_whole_parse(&v, at, n, SIZE_MAX / 2);
    *out = (size_t)v;
    return good;
}

/* A line without its end; `metrics`: as the header says. */
static enum lorac_status read_line(struct lorac_record_line *x, const struct reading *rd,
                                   unsigned metrics, size_t line, const char *text, size_t n)
{
    enum { N = LORAC_METRICS_COLUMNS, MOST = N + LORAC_METRICS };
    const char *at[MOST];
    size_t len[MOST];
    double *m = x->metric;
    double *numbers[MOST] = {[1] = &x->epoch,
                             [3] = &m[LORAC_METRIC_LOSS],
                             [4] = &m[LORAC_METRIC_PERPLEXITY],
                             [5] = &m[LORAC_METRIC_ACCURACY],
                             [6] = &m[LORAC_METRIC_MACRO_F1],
                             [7] = &m[LORAC_METRIC_EXACT_MATCH],
                             [8] = &x->bits_per_byte,
                             [9] = &x->lr,
                             [10] = &x->grad_norm,
                             [LORAC_METRICS_SECONDS] = &x->seconds};
    size_t columns = N;
    size_t fields = 0;
    for (int k = 0; k < LORAC_METRICS; k++) {
        m[k] = (double)NAN;
        if (k > LORAC_METRIC_EXACT_MATCH && (metrics >> k & 1U)) { numbers[columns++] = &m[k]; }
    }
    for (size_t from = 0; from <= n && fields <= columns; fields++) {
        const char *comma = memchr(text + from, ',', n - from);
        size_t end = comma ? (size_t)(comma - text) : n;
        if (fields < columns) {
            at[fields] = text + from;
            len[fields] = end - from;
        }
        from = end + 1;
    }
    if (fields != columns) {
        char what[48];
        (void)snprintf(what, sizeof what, "a line has %zu fields", columns);
        return damaged(rd, line, what, text, n);
    }
    x->is_valid = len[2] == 5 && memcmp(at[2], "valid", 5) == 0;
    if (!x->is_valid && (len[2] != 5 || memcmp(at[2], "train", 5) != 0)) {
        return damaged(rd, line, "split must be train or valid", at[2], len[2]);
    }
    bool whole = read_size(&x->step, at[0], len[0]) && read_size(&x->tokens, at[11], len[11]) &&
                 read_size(&x->trained, at[12], len[12]);
    for (size_t i = 0; i < columns && whole; i++) {
        whole = !numbers[i] || read_double(numbers[i], at[i], len[i]);
    }
    if (!whole || isnan(m[LORAC_METRIC_LOSS]) || !(x->seconds >= 0.0)) {
        return damaged(rd, line, "must hold numbers", text, n);
    }
    return LORAC_OK;
}

static enum lorac_status read_lines(struct reading *rd, const char *text, size_t n)
{
    struct lorac_record *r = rd->r;
    enum lorac_status st = LORAC_OK;
    size_t ends = 0;
    for (size_t i = 0; i < n; i++) {
        ends += text[i] == '\n';
    }
    struct lorac_record_line *all = lorac_arena_take(r->arena, ends, sizeof *all);
    r->lines = all;
    if (!all) { return no_memory(rd); }
    size_t line = 1;
    unsigned metrics = 0;
    for (size_t at = lorac_metrics_header(&metrics, text, n); at < n && !st; line++) {
        const char *end = memchr(text + at, '\n', n - at);
        if (!end && r->status == LORAC_RECORD_RUNNING) { break; } // it is being written, or was
        if (!end) { return damaged(rd, line + 1, "the line is cut", text + at, n - at); }
        struct lorac_record_line *x = &all[r->n_lines];
        st = read_line(x, rd, metrics, line + 1, text + at, (size_t)(end - text) - at);
        if (!st && r->n_lines && x->step < x[-1].step) {
            st = damaged(rd, line + 1, "steps never fall", text + at, (size_t)(end - text) - at);
        }
        r->n_lines += !st;
        at = (size_t)(end - text) + 1;
    }
    return st;
}

static enum lorac_status read_metrics(struct reading *rd)
{
    char *text = NULL;
    size_t n = 0;
    unsigned metrics = 0;
    if (!lorac_path_exists(rd->paths.metrics)) { return LORAC_OK; }
    enum lorac_status st = lorac_file_read(&text, &n, rd->paths.metrics, METRICS_LIMIT, rd->err);
    if (!st && !lorac_metrics_header(&metrics, text, n)) {
        st = lorac_fail(rd->err, LORAC_EFORMAT, "%s:1: does not begin with lorac's header",
                        rd->paths.metrics);
    }
    if (!st) { st = read_lines(rd, text, n); }
    lorac_mem_free(text);
    return st;
}

static struct lorac_scores scores_of(const struct lorac_record_line *x)
{
    struct lorac_scores s = {.rows = x->tokens,
                             .tokens = x->trained,
                             .has_accuracy = !isnan(x->metric[LORAC_METRIC_ACCURACY]),
                             .has_exact_match = !isnan(x->metric[LORAC_METRIC_EXACT_MATCH])};
    for (int m = 0; m < LORAC_METRICS; m++) {
        lorac_scores_set(&s, (enum lorac_metric)m, x->metric[m]);
    }
    return s;
}

/* As the trainer ranks them: of equal ones the one with less loss. */
static bool ranks_higher(const struct lorac_scores *a, const struct lorac_scores *b,
                         enum lorac_metric by)
{
    double x = lorac_scores_get(a, by);
    double y = lorac_scores_get(b, by);
    return lorac_metric_better(by, x, y, 0.0) ||
           (!lorac_metric_better(by, y, x, 0.0) && a->loss < b->loss);
}

bool lorac_record_best(struct lorac_scores *best, size_t *step, const struct lorac_record *r,
                       size_t until)
{
    bool any = false;
    for (size_t i = 0; i < r->n_lines && r->lines[i].step <= until; i++) {
        if (!r->lines[i].is_valid) { continue; }
        struct lorac_scores s = scores_of(&r->lines[i]);
        if (any && !ranks_higher(&s, best, r->best_by)) { continue; }
        *best = s;
        *step = r->lines[i].step;
        any = true;
    }
    return any;
}

/* What run.json does not tell of a run that did not end: its evaluations, its steps and its time.
 */
static void fill_from_lines(struct lorac_record *r)
{
    double seconds = 0.0;
    bool told = r->evaluated;
    for (size_t i = 0; i < r->n_lines; i++) {
        const struct lorac_record_line *x = &r->lines[i];
        seconds += x->seconds;
        if (x->step > r->steps_done) { r->steps_done = x->step; }
        if (!x->is_valid) { continue; }
        struct lorac_scores s = scores_of(x);
        if (told && x->step == r->best_step && !r->best.rows) {
            r->best.rows = s.rows;
            r->best.tokens = s.tokens;
        }
        if (!told) { r->last = s; }
    }
    if (!told) { r->evaluated = lorac_record_best(&r->best, &r->best_step, r, SIZE_MAX); }
    if (seconds > r->seconds) { r->seconds = seconds; }
}

/* ---- what lies beside ---- */

static int by_size(const void *a, const void *b)
{
    size_t x = *(const size_t *)a;
    size_t y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* STEP.csv, each; what is being written has another name. */
static enum lorac_status list_predictions(struct reading *rd)
{
    struct lorac_record *r = rd->r;
    char **names = NULL;
    size_t n = 0;
    if (!lorac_path_is_dir(rd->paths.predictions)) { return LORAC_OK; }
    enum lorac_status st = lorac_dir_list(&names, rd->paths.predictions, rd->err);
    if (st) { return st; }
    while (names[n]) {
        n++;
    }
    size_t *steps = lorac_arena_take(r->arena, n, sizeof *steps);
    if (!steps) { st = no_memory(rd); }
    for (size_t i = 0; i < n && !st; i++) {
        size_t stem = strlen(names[i]);
        bool csv = stem > 4 && strcmp(names[i] + stem - 4, ".csv") == 0;
        if (csv && read_size(&steps[r->n_predicted], names[i], stem - 4)) { r->n_predicted++; }
    }
    if (r->n_predicted) { qsort(steps, r->n_predicted, sizeof *steps, by_size); }
    r->predicted = steps;
    lorac_mem_free(names);
    return st;
}

static enum lorac_status find_adapter(struct reading *rd)
{
    struct lorac_map map = {0};
    const struct lorac_run_paths *p = &rd->paths;
    const char *dir = lorac_path_is_dir(p->best) ? p->best : p->last;
    if (!lorac_path_is_dir(dir)) { return LORAC_OK; }
    char weights[LORAC_PATH];
    lorac_path_in(weights, dir, "adapter_model.safetensors");
    enum lorac_status st = lorac_map_open(&map, weights, rd->err);
    rd->r->adapter_bytes = map.size;
    lorac_map_close(&map);
    return st ? st : keep_text(&rd->r->adapter, rd, dir);
}

/* ---- the whole ---- */

const char *lorac_record_status_word(enum lorac_record_status status)
{
    static const char *const words[] = {
        [LORAC_RECORD_RUNNING] = "running or killed",
        [LORAC_RECORD_STOPPED] = "stopped",
        [LORAC_RECORD_FAILED] = "failed",
        [LORAC_RECORD_EARLY] = "stopped early",
        [LORAC_RECORD_FINISHED] = "finished",
    };
    return words[status];
}

bool lorac_record_is_run(const char *dir)
{
    return lorac_path_holds(dir, "recipe.resolved.yaml");
}

static enum lorac_status read_folder(struct reading *rd)
{
    enum lorac_status st = keep_text(&rd->r->dir, rd, rd->paths.dir);
    if (!st && !lorac_path_exists(rd->paths.recipe)) {
        st = lorac_fail(rd->err, LORAC_EUSER, "%s: holds no run (no recipe.resolved.yaml)",
                        rd->paths.dir);
    }
    if (!st) { st = read_recipe(rd); }
    if (!st) { st = read_manifest(rd); }
    if (!st) { st = read_metrics(rd); }
    if (!st) { st = list_predictions(rd); }
    if (!st) { st = find_adapter(rd); }
    if (!st) { fill_from_lines(rd->r); }
    return st;
}

enum lorac_status lorac_record_open(struct lorac_record **out, const char *dir,
                                    struct lorac_err *err)
{
    struct reading rd = {.err = err};
    *out = NULL;
    enum lorac_status st = lorac_run_paths(&rd.paths, dir, err);
    if (st) { return st; }
    struct lorac_record *r = rd.r = lorac_mem_new(1, sizeof *r);
    if (r) { r->arena = lorac_arena_new(); }
    if (!r || !r->arena) {
        st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir);
    } else {
        r->dir = rd.paths.dir; // for messages
        st = read_folder(&rd);
    }
    lorac_json_free(&rd.root);
    lorac_run_paths_free(&rd.paths);
    if (st) {
        lorac_record_close(r);
        r = NULL;
    }
    *out = r;
    return st;
}

void lorac_record_close(struct lorac_record *r)
{
    if (!r) { return; }
    lorac_recipe_free(r->recipe);
    lorac_arena_free(r->arena);
    lorac_mem_free(r);
}

const char *lorac_record_value(const struct lorac_record *r, const char *key)
{
    for (size_t i = 0; i < r->n_values; i++) {
        if (strcmp(r->values[i].key, key) == 0) { return r->values[i].value; }
    }
    return NULL;
}

enum lorac_status lorac_record_predictions(struct lorac_predictions **out,
                                           const struct lorac_record *r, size_t step,
                                           struct lorac_err *err)
{
    char name[48];
    char path[LORAC_PATH];
    *out = NULL;
    (void)snprintf(name, sizeof name, "predictions/%zu.csv", step);
    lorac_path_in(path, r->dir, name);
    if (bsearch(&step, r->predicted ? r->predicted : &step, r->n_predicted, sizeof step, by_size)) {
        return lorac_predictions_read(out, path, err);
    }
    return lorac_fail(err, LORAC_EUSER, "%s: is missing: no predictions were kept of step %zu",
                      path, step);
}
