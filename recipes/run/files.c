/* files.c - see files.h. */
#include "recipes/run/files.h"

#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/machine.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "base/core/sha256.h"
#include "recipes/run/events.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 64 << 20 };

enum lorac_status lorac_run_paths(struct lorac_run_paths *p, const char *dir, struct lorac_err *err)
{
#define JOIN(field, name) .field = lorac_path_join(dir, name),
#define AND_IT(field, name) &&p->field
    *p = (struct lorac_run_paths){.dir = lorac_mem_string(dir, strlen(dir)), LORAC_RUN_NAMES(JOIN)};
    if (p->dir LORAC_RUN_NAMES(AND_IT)) { return LORAC_OK; }
    lorac_run_paths_free(p);
    return lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir);
}

void lorac_run_paths_free(struct lorac_run_paths *p)
{
#define FREE(field, name) lorac_mem_free(p->field);
    lorac_mem_free(p->dir);
    LORAC_RUN_NAMES(FREE)
    *p = (struct lorac_run_paths){0};
}

/* A process killed while it replaced the folder `to` left "TO.old": the folder itself where the new
 * one was not there yet, or what was still to be removed. */
static enum lorac_status put_back(const char *to, struct lorac_err *err)
{
    char old[LORAC_PATH];
    (void)snprintf(old, sizeof old, "%s.old", to);
    if (!lorac_path_is_dir(old)) { return LORAC_OK; }
    return lorac_path_exists(to) ? lorac_dir_remove(old, err) : lorac_dir_replace(to, old, err);
}

enum lorac_status lorac_run_sweep(const struct lorac_run_paths *p, struct lorac_err *err)
{
    const char *const folders[] = {p->dir, p->state_dir, p->predictions};
    enum lorac_status st = put_back(p->best, err);
    if (!st) { st = put_back(p->last, err); }
    for (size_t f = 0; f < sizeof folders / sizeof *folders && !st; f++) {
        char **names = NULL;
        if (!lorac_path_is_dir(folders[f])) { continue; }
        st = lorac_dir_list(&names, folders[f], err);
        for (size_t i = 0; !st && names[i]; i++) {
            if (!strstr(names[i], ".tmp-")) { continue; }
            char path[LORAC_PATH];
            lorac_path_in(path, folders[f], names[i]);
            st = lorac_path_is_dir(path) ? lorac_dir_remove(path, err)
                                         : lorac_file_remove(path, err);
        }
        lorac_mem_free(names);
    }
    return st;
}

/* Does the folder hold only what a run writes before its recipe makes it one? It was killed then.
 */
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
    const char *const folders[] = {p->state_dir, p->predictions, p->best,
                                   p->best_new,  p->last,        p->merged};
    const char *const files[] = {p->samples, p->metrics, p->manifest,
                                 p->recipe}; // the recipe marks a run: last
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0] && !st; i++) {
        st = lorac_dir_remove(folders[i], err);
    }
    if (!st) { st = lorac_events_remove(p->dir, err); }
    for (size_t i = 0; i < sizeof files / sizeof files[0] && !st; i++) {
        st = lorac_file_remove(files[i], err);
    }
    return st;
}

/* ---- predictions/STEP.csv ---- */

enum lorac_status lorac_run_keep_predictions(const struct lorac_run_paths *p,
                                             const struct lorac_predictions *rows, size_t step,
                                             struct lorac_err *err)
{
    char name[32];
    char path[LORAC_PATH];
    (void)snprintf(name, sizeof name, "%zu.csv", step);
    enum lorac_status st = lorac_dir_make(p->predictions, err);
    return st ? st : lorac_predictions_write(rows, lorac_path_in(path, p->predictions, name), err);
}

enum lorac_status lorac_run_cut_predictions(const struct lorac_run_paths *p, size_t step,
                                            struct lorac_err *err)
{
    char **names = NULL;
    if (!lorac_path_is_dir(p->predictions)) { return LORAC_OK; }
    enum lorac_status st = lorac_dir_list(&names, p->predictions, err);
    for (size_t i = 0; !st && names[i]; i++) {
        if (strtoull(names[i], NULL, 10) <= step) { continue; }
        char path[LORAC_PATH];
        st = lorac_file_remove(lorac_path_in(path, p->predictions, names[i]), err);
    }
    lorac_mem_free(names);
    return st;
}

/* ---- metrics.csv ---- */

/* What every run has; other metrics that it asks for stand behind. */
static const char header[] = "step,epoch,split,loss,perplexity,accuracy,macro_f1,exact_match,"
                             "bits_per_byte,lr,grad_norm,tokens,trained,seconds";
static const unsigned usual = 1U << LORAC_METRIC_LOSS | 1U << LORAC_METRIC_PERPLEXITY |
                              1U << LORAC_METRIC_ACCURACY | 1U << LORAC_METRIC_MACRO_F1 |
                              1U << LORAC_METRIC_EXACT_MATCH;

/* Is `m` one that stands behind? */
static bool is_more(unsigned metrics, int m)
{
    return (metrics & ~usual) >> m & 1U;
}

size_t lorac_metrics_header(unsigned *metrics, const char *text, size_t n)
{
    size_t at = sizeof header - 1;
    *metrics = usual;
    if (n < at || memcmp(text, header, at) != 0) { return 0; }
    for (int m = 0; m < LORAC_METRICS; m++) {
        const char *name = lorac_metric_name((size_t)m);
        size_t length = strlen(name);
        if (is_more(1U << m, m) && n - at > length + 1 && text[at] == ',' &&
            memcmp(text + at + 1, name, length) == 0 && strchr(",\n", text[at + 1 + length])) {
            *metrics |= 1U << m;
            at += length + 1;
        }
    }
    return at < n && text[at] == '\n' ? at + 1 : 0;
}

bool lorac_metrics_begun(const struct lorac_run_paths *p)
{
    struct lorac_map map = {0};
    unsigned metrics = 0;
    if (!lorac_path_exists(p->metrics)) { return false; }
    bool begun = lorac_map_open(&map, p->metrics, NULL) ||
                 map.size > lorac_metrics_header(&metrics, (const char *)map.data, map.size);
    lorac_map_close(&map);
    return begun;
}

static enum lorac_status write_header(const struct lorac_run_paths *p, unsigned metrics,
                                      struct lorac_err *err)
{
    struct lorac_buf b = {0};
    lorac_buf_str(&b, header);
    for (int m = 0; m < LORAC_METRICS; m++) {
        if (is_more(metrics, m)) { lorac_buf_printf(&b, ",%s", lorac_metric_name((size_t)m)); }
    }
    lorac_buf_str(&b, "\n");
    enum lorac_status st = b.no_memory ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory", p->metrics)
                                       : lorac_file_write(p->metrics, b.at, b.n, err);
    lorac_buf_free(&b);
    return st;
}

enum lorac_status lorac_metrics_begin(const struct lorac_run_paths *p, size_t step,
                                      unsigned metrics, struct lorac_err *err)
{
    char *text = NULL;
    size_t n = 0;
    unsigned there = 0;
    if (step == 0 || !lorac_path_exists(p->metrics)) { return write_header(p, metrics, err); }
    enum lorac_status st = lorac_file_read(&text, &n, p->metrics, FILE_LIMIT, err);
    if (st) { return st; }
    size_t end = lorac_metrics_header(&there, text, n);
    if (!end || (metrics & ~there)) {
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
    unsigned metrics = 0;
    size_t at = lorac_metrics_header(&metrics, text, n);
    if (!at) {
        st = lorac_fail(err, LORAC_EFORMAT, "%s: does not begin with lorac's header", p->metrics);
    }
    while (!st && at < n) {
        const char *line_end = memchr(text + at, '\n', n - at);
        size_t end = line_end ? (size_t)(line_end - text) : n;
        size_t next = end + 1;
        size_t field = at;
        for (size_t c = 0; c < LORAC_METRICS_SECONDS && field < end; field++) {
            c += text[field] == ',';
        }
        const char *comma = memchr(text + field, ',', end - field);
        if (comma) { end = (size_t)(comma - text); }
        char *stop = NULL;
        double seconds = lorac_strtod(text + field, &stop);
        if (stop != text + end || field == end || !(seconds >= 0.0)) {
            st = lorac_fail(err, LORAC_EFORMAT, "%s: a line ends without its seconds: '%.*s'",
                            p->metrics, (int)(end - at < 60 ? end - at : 60), text + at);
        }
        *out += seconds;
        at = next;
    }
    lorac_mem_free(text);
    return st;
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

/* Of a step there is no other metric than the loss and what follows from it. Nothing is allocated:
 * there are many steps. */
enum lorac_status lorac_metrics_step(const struct lorac_run_paths *p, const struct lorac_step *s,
                                     unsigned metrics, struct lorac_err *err)
{
    char line[256 + LORAC_METRICS];
    char perplexity[32] = "";
    if (!isnan(s->perplexity)) {
        (void)lorac_snprintf(perplexity, sizeof perplexity, "%.9g", s->perplexity);
    }
    int n = lorac_snprintf(line, 256, "%zu,%.4f,train,%.9g,%s,,,,,%.9g,%.9g,%zu,%zu,%.4f", s->step,
                           s->epoch, s->loss, perplexity, s->lr, s->grad_norm, s->tokens,
                           s->trained, s->seconds);
    for (int m = 0; m < LORAC_METRICS; m++) {
        if (is_more(metrics, m)) { line[n++] = ','; }
    }
    line[n++] = '\n';
    return lorac_file_append(p->metrics, line, (size_t)n, err);
}

enum lorac_status lorac_metrics_eval(const struct lorac_run_paths *p, double epoch,
                                     const struct lorac_run_eval *e, unsigned metrics,
                                     struct lorac_err *err)
{
    const struct lorac_scores *s = e->scores;
    struct lorac_buf b = {0};
    lorac_buf_printf(&b, "%zu,%.4f,valid,%.9g", e->step, epoch, s->loss);
    field(&b, !isnan(s->perplexity), s->perplexity);
    field(&b, s->has_accuracy, s->accuracy);
    field(&b, s->has_accuracy, s->macro_f1);
    field(&b, s->has_exact_match, s->exact_match);
    field(&b, s->bytes > 0, lorac_scores_bits_per_byte(s));
    lorac_buf_printf(&b, ",,,%zu,%zu,%.4f", s->rows, s->tokens, s->seconds);
    for (int m = 0; m < LORAC_METRICS; m++) {
        double v = lorac_scores_get(s, (enum lorac_metric)m);
        if (is_more(metrics, m)) { field(&b, !isnan(v), v); }
    }
    lorac_buf_str(&b, "\n");
    enum lorac_status st = b.no_memory ? lorac_fail(err, LORAC_ENOMEM, "%s: no memory", p->metrics)
                                       : lorac_file_append(p->metrics, b.at, b.n, err);
    lorac_buf_free(&b);
    return st;
}
