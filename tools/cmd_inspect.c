/* cmd_inspect.c - `lorac inspect`: what is in a checkpoint, an adapter or a run. */
#include "tools/verbs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define RUNNING "\"status\": \"running\""

enum { CONFIG_LIMIT = 1 << 20, METADATA_KEYS = 4 };

static const char *const metadata[METADATA_KEYS] = {"format", "lorac.base", "lorac.template",
                                                    "lorac.version"};

/* Largest |x| and root mean square of a tensor, in double. */
static void measure(const struct lorac_tensor *t, double *largest, double *rms)
{
    float block[1024];
    double sum = 0.0;
    *largest = 0.0;
    for (size_t at = 0; at < t->n; at += 1024) {
        size_t n = t->n - at < 1024 ? t->n - at : 1024;
        lorac_dtype_read(block, t->data, t->dtype, at, n);
        for (size_t i = 0; i < n; i++) {
            sum += (double)block[i] * (double)block[i];
            if (!(fabs((double)block[i]) <= *largest)) { *largest = fabs((double)block[i]); }
        }
    }
    *rms = t->n ? sqrt(sum / (double)t->n) : 0.0;
}

static void print_tensors(const struct lorac_checkpoint *c)
{
    size_t total = 0;
    size_t bytes = 0;
    char text[32];
    char many[48];
    for (size_t i = 0; i < lorac_checkpoint_count(c); i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(c, i);
        double largest = 0.0;
        double rms = 0.0;
        char shape[96] = "";
        size_t at = 0;
        for (size_t d = 0; d < t->n_dims; d++) {
            at += (size_t)snprintf(shape + at, sizeof shape - at, "%s%zu", d ? " x " : "",
                                   t->dims[d]);
        }
        measure(t, &largest, &rms);
        printf("%-64s %-4s %-18s max %-10.4g rms %.4g\n", t->name, lorac_dtype_name(t->dtype),
               shape, largest, rms);
        total += t->n;
        bytes += lorac_dtype_bytes(t->dtype, t->n);
    }
    printf("%s, ", show_many(many, lorac_checkpoint_count(c), "tensor"));
    printf("%s numbers, ", show_count(text, total));
    printf("%s\n", show_bytes(text, bytes));
    for (size_t k = 0; k < METADATA_KEYS; k++) {
        const char *value = lorac_checkpoint_metadata(c, metadata[k]);
        if (value) { printf("metadata %s: %s\n", metadata[k], value); }
    }
}

static void print_json_tensors(struct out *j, const struct lorac_checkpoint *c)
{
    out_begin(j, "tensors", "[]");
    for (size_t i = 0; i < lorac_checkpoint_count(c); i++) {
        const struct lorac_tensor *t = lorac_checkpoint_at(c, i);
        out_begin(j, NULL, "{}");
        out_str(j, "name", t->name);
        out_str(j, "dtype", lorac_dtype_name(t->dtype));
        out_begin(j, "shape", "[]");
        for (size_t d = 0; d < t->n_dims; d++) {
            out_count(j, NULL, t->dims[d]);
        }
        out_end(j);
        out_end(j);
    }
    out_end(j);
}

/* Print a text file of the folder under a heading, where it exists. */
static enum lorac_status print_file(const char *dir, const char *name, struct lorac_err *err)
{
    char *text = NULL;
    size_t n = 0;
    char path[LORAC_PATH];
    if (!lorac_path_exists(lorac_path_in(path, dir, name))) { return LORAC_OK; }
    enum lorac_status st = lorac_file_read(&text, &n, path, CONFIG_LIMIT, err);
    if (!st) { printf("---- %s\n%s%s", name, text, n && text[n - 1] == '\n' ? "" : "\n"); }
    lorac_mem_free(text);
    return st;
}

/* A run whose process is gone before its end says "running" still: nobody holds its lock. */
static bool is_interrupted(const char *dir, const char *manifest)
{
    int lock = -1;
    char path[LORAC_PATH];
    bool gone = strstr(manifest, RUNNING) && lorac_path_exists(lorac_path_in(path, dir, "lock")) &&
                lorac_lock_open(&lock, path, NULL) == LORAC_OK;
    lorac_lock_close(lock);
    return gone;
}

/* run.json, with the status that it could not write itself. */
static void print_manifest(const char *dir, const char *text)
{
    const char *at = is_interrupted(dir, text) ? strstr(text, RUNNING) : NULL;
    size_t n = at ? (size_t)(at - text) : 0;
    if (!at) {
        printf("%s", text);
        return;
    }
    printf("%.*s\"status\": \"interrupted\"%s", (int)n, text, at + strlen(RUNNING));
}

static enum lorac_status inspect_run(const char *dir, bool as_json, struct lorac_err *err)
{
    enum lorac_status st = as_json ? LORAC_OK : print_file(dir, "recipe.resolved.yaml", err);
    if (st) { return st; }
    char path[LORAC_PATH];
    char *text = NULL;
    size_t n = 0;
    st = lorac_file_read(&text, &n, lorac_path_in(path, dir, "run.json"), CONFIG_LIMIT, err);
    if (!st && !as_json) { printf("---- run.json\n"); }
    if (!st) { print_manifest(dir, text); }
    lorac_mem_free(text);
    return st;
}

static enum lorac_status inspect_tensors(const char *path, bool as_json, struct lorac_err *err)
{
    struct lorac_checkpoint *c = NULL;
    bool adapter = lorac_path_holds(path, "adapter_config.json");
    char file[LORAC_PATH];
    lorac_path_in(file, path, "adapter_model.safetensors");
    enum lorac_status st = lorac_checkpoint_open(&c, adapter ? file : path, err);
    if (!st && as_json) {
        struct out j = {0};
        out_str(&j, "kind", adapter ? "adapter" : "checkpoint");
        print_json_tensors(&j, c);
        (void)out_print(&j);
    } else if (!st) {
        st = print_file(path, adapter ? "adapter_config.json" : "config.json", err);
        print_tensors(c);
    }
    lorac_checkpoint_close(c);
    return st;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    const char *path = a->positional[0];
    char *dir = NULL;
    bool file = lorac_path_exists(path) && !lorac_path_is_dir(path);
    if (!file && find_folder(&dir, "", path, &err)) { return complain(&err); }
    if (!file) { path = dir; }
    bool as_json = args_has(a, "--json");
    bool is_run = lorac_path_holds(path, "run.json");
    enum lorac_status st =
        is_run ? inspect_run(path, as_json, &err) : inspect_tensors(path, as_json, &err);
    lorac_mem_free(dir);
    return st ? complain(&err) : 0;
}

static const struct option options[] = {
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_inspect = {
    .name = "inspect",
    .usage = "PATH",
    .summary = "show what a checkpoint, an adapter or a run holds",
    .about =
        "PATH is a model's folder, a .safetensors file, an adapter's folder or the folder of a "
        "run.\n",
    .options = options,
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
};
