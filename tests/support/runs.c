/* runs.c - see runs.h. */
#include "tests/support/runs.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "tests/support/passes.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char train[] =
    "text,label\n"
    "a warm tale,good\na flat tale,bad\nit sings,good\nit drags,bad\n"
    "bright and quick,good\ndull and slow,bad\nI laughed,good\nI slept,bad\n"
    "worth it,good\nnot worth it,bad\nfine acting,good\npoor acting,bad\n"
    "see it,good\nskip it,bad\na joy,good\na bore,bad\n"
    "\"sweet, wise\",good\n\"long, loud\",bad\nso alive,good\nso dead,bad\n";
static const char valid[] = "text,label\nit shines,good\nit sags,bad\nwise,good\nloud,bad\n"
                            "a warm joy,good\na flat bore,bad\n";
static const char recipe[] = "recipe: 1\n"
                             "seed: 7\n"
                             "model: {path: model, max_length: 48}\n"
                             "adapter: {rank: 4, alpha: 8, dropout: 0.1}\n"
                             "data: {train: train.csv, valid: valid.csv}\n"
                             "template: {prompt: '{text} is', completion: ' {label}'}\n"
                             "train: {epochs: 3, batch_size: 3, accumulate: 2, threads: 1}\n"
                             "optimizer: {lr: 0.01, warmup: 2}\n"
                             "eval: {every: 4 steps, metrics: [loss, accuracy], samples: 0}\n"
                             "output: {dir: out, save_every: 5 steps}\n";

int runs_make(void **state)
{
    (void)state;
    tiny_write(tiny_path("model"));
    tiny_text("train.csv", train);
    tiny_text("valid.csv", valid);
    return 0;
}

int runs_remove(void **state)
{
    return tiny_remove(state);
}

enum { MAX_SETS = 16 };

struct lorac_recipe *runs_recipe(const char *out, const char *const *sets)
{
    struct lorac_recipe *r = NULL;
    struct lorac_err err = {0};
    struct lorac_recipe_set all[MAX_SETS];
    char dir[256];
    size_t n = 0;
    (void)snprintf(dir, sizeof dir, "output.dir=%s", out);
    all[n++] = (struct lorac_recipe_set){dir, false};
    for (; sets && *sets; sets++) { // "-KEY" unsets
        assert_true(n < MAX_SETS);
        bool unset = **sets == '-';
        all[n++] = (struct lorac_recipe_set){*sets + unset, unset};
    }
    if (lorac_recipe_parse(&r, recipe, sizeof recipe - 1, "run.yaml", tiny_dir(), all, n, NULL,
                           &err)) {
        fail_msg("%s", err.text);
    }
    return r;
}

enum lorac_status runs_go(struct lorac_run_result *result, const char *out,
                          enum lorac_run_mode mode, const struct lorac_run_watch *watch,
                          const char *const *sets, struct lorac_err *err)
{
    static const struct lorac_run_watch nobody = {0};
    struct lorac_recipe *r = runs_recipe(tiny_path(out), sets);
    enum lorac_status st = lorac_run(result, r, mode, NULL, watch ? watch : &nobody, err);
    lorac_recipe_free(r);
    return st;
}

struct lorac_run_result runs_well(const char *out, enum lorac_run_mode mode,
                                  const struct lorac_run_watch *watch, const char *const *sets)
{
    struct lorac_run_result result;
    struct lorac_err err = {0};
    if (runs_go(&result, out, mode, watch, sets, &err)) { fail_msg("%s", err.text); }
    return result;
}

void runs_open_job(struct runs_job *s, unsigned parts, const char *const *sets)
{
    struct lorac_err err = {0};
    s->r = runs_recipe(tiny_path("none"), sets);
    if (lorac_job_open(&s->j, s->r, parts, &err)) { fail_msg("%s", err.text); }
}

void runs_close_job(struct runs_job *s)
{
    lorac_job_close(s->j);
    lorac_recipe_free(s->r);
}

void runs_refused(const char *out, enum lorac_run_mode mode, const char *const *sets,
                  const char *want, bool holds)
{
    struct lorac_run_result result;
    struct lorac_err err = {0};
    char text[1024] = "";
    const char *dir = strstr(want, "DIR");
    if (dir) {
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(dir - want), want, tiny_dir(), dir + 3);
    } else {
        (void)snprintf(text, sizeof text, "%s", want);
    }
    assert_int_equal(runs_go(&result, out, mode, NULL, sets, &err), LORAC_EUSER);
    if (!holds) { assert_string_equal(err.text, text); }
    if (!strstr(err.text, text)) { fail_msg("no '%s' in '%s'", text, err.text); }
}

char *runs_metrics(const char *out)
{
    char name[300];
    size_t n = 0;
    (void)snprintf(name, sizeof name, "%s/metrics.csv", out);
    char *text = tiny_read(tiny_path(name), &n);
    char *to = text;
    for (char *line = text; *line;) { // move each line without its last column
        char *end = strchr(line, '\n');
        assert_non_null(end);
        *end = '\0';
        char *comma = strrchr(line, ',');
        assert_non_null(comma);
        size_t length = (size_t)(comma - line);
        memmove(to, line, length);
        to[length] = '\n';
        to += length + 1;
        line = end + 1;
    }
    *to = '\0';
    return text;
}

void runs_in_manifest(const char *out, const char *text)
{
    size_t n = 0;
    char *manifest = tiny_read_in(tiny_path(out), "run.json", &n);
    if (!strstr(manifest, text)) { fail_msg("no %s in %s", text, manifest); }
    lorac_mem_free(manifest);
}

double runs_nll(const struct lorac_job *j, const char *before, const char *answer, bool eos,
                size_t *tokens)
{
    struct lorac_ids ids = {0};
    struct lorac_pass *pass = NULL;
    struct lorac_batch *b = NULL;
    struct lorac_text a = {before, strlen(before), false};
    struct lorac_text c = {answer, strlen(answer), false};
    assert_int_equal(lorac_encode(&ids, j->tokenizer, &a, 1, LORAC_ENCODE_BEGINS, NULL), LORAC_OK);
    size_t n = ids.n;
    assert_int_equal(lorac_encode(&ids, j->tokenizer, &c, 1, LORAC_ENCODE_CONTINUES, NULL),
                     LORAC_OK);
    if (eos) {
        assert_int_equal(lorac_ids_add(&ids, lorac_tokenizer_eos(j->tokenizer), NULL), LORAC_OK);
    }
    struct lorac_pass_options o = {.max_rows = ids.n};
    assert_int_equal(lorac_pass_new(&pass, j->model, NULL, &o, NULL), LORAC_OK);
    assert_int_equal(lorac_batch_new(&b, ids.n, 1, ids.n, NULL), LORAC_OK);
    lorac_batch_clear(b);
    (void)lorac_batch_add(b, ids.at, ids.n, -1);
    for (size_t i = n; i < ids.n; i++) {
        lorac_batch_score(b, i - 1, ids.at[i]);
    }
    double sum = passes_run(pass, b, NULL, false);
    if (tokens) { *tokens += b->T; }
    lorac_pass_free(pass);
    lorac_batch_free(b);
    lorac_ids_free(&ids);
    return sum;
}

static void same_file(const char *a, const char *b, const char *name)
{
    char path[2][300];
    size_t n[2];
    (void)snprintf(path[0], sizeof path[0], "%s/%s", a, name);
    (void)snprintf(path[1], sizeof path[1], "%s/%s", b, name);
    char *text[2] = {tiny_read(tiny_path(path[0]), &n[0]), tiny_read(tiny_path(path[1]), &n[1])};
    if (n[0] != n[1] || memcmp(text[0], text[1], n[0]) != 0) {
        fail_msg("%s and %s differ", path[0], path[1]);
    }
    lorac_mem_free(text[0]);
    lorac_mem_free(text[1]);
}

/* The same files in predictions/, where there are any. */
static void same_predictions(const char *a, const char *b)
{
    char **names[2] = {NULL, NULL};
    const char *const runs[2] = {a, b};
    for (size_t k = 0; k < 2; k++) {
        char dir[256];
        (void)snprintf(dir, sizeof dir, "%s/predictions", tiny_path(runs[k]));
        if (!lorac_path_is_dir(dir)) { continue; }
        assert_int_equal(lorac_dir_list(&names[k], dir, NULL), LORAC_OK);
    }
    assert_int_equal(!names[0], !names[1]);
    size_t i = 0;
    for (; names[0] && names[0][i]; i++) {
        char file[64];
        assert_string_equal(names[0][i], names[1][i]);
        (void)snprintf(file, sizeof file, "predictions/%s", names[0][i]);
        same_file(a, b, file);
    }
    assert_true(!names[0] || !names[1][i]);
    lorac_mem_free(names[0]);
    lorac_mem_free(names[1]);
}

void runs_same(const char *a, const char *b)
{
    static const char *const files[] = {
        "best/adapter_model.safetensors", "best/adapter_config.json",
        "last/adapter_model.safetensors", "last/adapter_config.json",
        "state/state.safetensors",
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        same_file(a, b, files[i]);
    }
    same_predictions(a, b);
    char sampled[300];
    (void)snprintf(sampled, sizeof sampled, "%s/samples.csv", a);
    if (lorac_path_exists(tiny_path(sampled))) { same_file(a, b, "samples.csv"); }
    char *metrics[2] = {runs_metrics(a), runs_metrics(b)};
    assert_string_equal(metrics[0], metrics[1]);
    lorac_mem_free(metrics[0]);
    lorac_mem_free(metrics[1]);
}

static void count_step(void *self, const struct lorac_step *s)
{
    ((struct runs_stop *)self)->step = s->step;
}

static bool stop_at(void *self)
{
    const struct runs_stop *s = self;
    return s->step == s->at;
}

struct lorac_run_watch runs_stop_watch(struct runs_stop *s)
{
    return (struct lorac_run_watch){.self = s, .step = count_step, .stop = stop_at};
}
