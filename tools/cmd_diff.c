/* cmd_diff.c - `lorac diff`: how two adapters, checkpoints or runs differ. */
#include "tools/verbs.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN = 10, N_METADATA = 2 };

/* How two places differ: lines for people, and the same for JSON. */
struct difference {
    struct lorac_buf recipe, config; // lines, one a key
    struct lorac_comparison tensors;
    struct lorac_checkpoint *a, *b;
    const char *name; // "best", "last" of a run; "": the place itself
};

static bool differs(const struct difference *d)
{
    return d->recipe.n || d->config.n || d->tensors.n;
}

/* "KEY: VALUE -> VALUE" of the metadata that says what an adapter belongs to. */
static void compare_metadata(struct difference *d)
{
    static const char *const keys[N_METADATA] = {"lorac.base", "lorac.template"};
    for (size_t k = 0; k < N_METADATA; k++) {
        const char *a = lorac_checkpoint_metadata(d->a, keys[k]);
        const char *b = lorac_checkpoint_metadata(d->b, keys[k]);
        if ((a && b) ? strcmp(a, b) == 0 : a == b) { continue; }
        lorac_buf_printf(&d->config, "metadata %s: %s -> %s\n", keys[k], a ? a : "absent",
                         b ? b : "absent");
    }
}

/* The JSON file `name` of both folders; a file that only one has is a difference. */
static enum lorac_status compare_config(struct difference *d, const char *a, const char *b,
                                        const char *name, struct lorac_err *err)
{
    char path_a[LORAC_PATH];
    char path_b[LORAC_PATH];
    bool has_a = lorac_path_exists(lorac_path_in(path_a, a, name));
    bool has_b = lorac_path_exists(lorac_path_in(path_b, b, name));
    if (has_a != has_b) {
        lorac_buf_printf(&d->config, "%s: %s -> %s\n", name, has_a ? "a file" : "absent",
                         has_b ? "a file" : "absent");
    }
    return has_a && has_b ? lorac_json_compare(&d->config, path_a, path_b, err) : LORAC_OK;
}

static enum lorac_status open_tensors(struct lorac_checkpoint **out, const char *path,
                                      struct lorac_err *err)
{
    char file[LORAC_PATH];
    bool adapter = lorac_path_holds(path, "adapter_config.json");
    lorac_path_in(file, path, "adapter_model.safetensors");
    return lorac_checkpoint_open(out, adapter ? file : path, err);
}

/* Two folders or files with tensors. */
static enum lorac_status compare_places(struct difference *d, const char *a, const char *b,
                                        struct lorac_err *err)
{
    enum lorac_status st = open_tensors(&d->a, a, err);
    if (!st) { st = open_tensors(&d->b, b, err); }
    if (!st) { st = lorac_checkpoint_compare(&d->tensors, d->a, d->b, err); }
    if (!st) { compare_metadata(d); }
    if (!st && lorac_path_is_dir(a) && lorac_path_is_dir(b)) {
        st = compare_config(d, a, b, "adapter_config.json", err);
        if (!st) { st = compare_config(d, a, b, "config.json", err); }
    }
    if (!st && d->config.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    return st;
}

static enum lorac_status compare_recipes(struct difference *d, const char *a, const char *b,
                                         struct lorac_err *err)
{
    struct lorac_recipe *x = NULL;
    struct lorac_recipe *y = NULL;
    char path[LORAC_PATH];
    lorac_path_in(path, a, "recipe.resolved.yaml");
    enum lorac_status st = lorac_recipe_open(&x, path, NULL, 0, NULL, err);
    lorac_path_in(path, b, "recipe.resolved.yaml");
    if (!st) { st = lorac_recipe_open(&y, path, NULL, 0, NULL, err); }
    if (!st) { lorac_recipe_diff(&d->recipe, x, y); }
    if (!st && d->recipe.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    lorac_recipe_free(x);
    lorac_recipe_free(y);
    return st;
}

static void release(struct difference *d)
{
    lorac_comparison_free(&d->tensors);
    lorac_checkpoint_close(d->a);
    lorac_checkpoint_close(d->b);
    lorac_buf_free(&d->recipe);
    lorac_buf_free(&d->config);
}

/* ---- showing ---- */

static void say_lines(const char *title, const struct lorac_buf *lines)
{
    if (!lines->n) { return; }
    printf("%s\n", title);
    for (const char *line = lines->at; *line;) {
        size_t n = strcspn(line, "\n");
        printf("  %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
}

static void shape(struct lorac_buf *b, const struct lorac_tensor *t)
{
    lorac_buf_printf(b, "%s [", lorac_dtype_name(t->dtype));
    for (size_t i = 0; i < t->n_dims; i++) {
        lorac_buf_printf(b, "%s%zu", i ? ", " : "", t->dims[i]);
    }
    lorac_buf_str(b, "]");
}

/* "NAME: only in A", "NAME: F32 [2, 3] -> F32 [3, 2]", "NAME: up to 0.01 apart, 7 of 90 numbers".
 */
static void describe(struct lorac_buf *b, const struct lorac_tensor_diff *t)
{
    if (!t->a || !t->b) {
        lorac_buf_printf(b, "%s: only in %s", t->a ? t->a->name : t->b->name, t->a ? "A" : "B");
        return;
    }
    lorac_buf_printf(b, "%s: ", t->a->name);
    if (t->shape || t->dtype) {
        shape(b, t->a);
        lorac_buf_str(b, " -> ");
        shape(b, t->b);
    }
    if (t->shape) { return; }
    if (t->dtype) { lorac_buf_str(b, ", "); }
    if (t->n) {
        lorac_buf_printf(b, "up to %.6g apart, %zu of %zu numbers differ", t->largest, t->n,
                         t->a->n);
    } else {
        lorac_buf_str(b, "the same numbers");
    }
}

static void say_tensors(const struct lorac_comparison *c)
{
    struct lorac_buf b = {0};
    size_t whole = c->only_a + c->only_b + c->shapes; // come first
    size_t shown = 0;
    for (size_t i = 0; i < c->n; i++) {
        bool first = i < whole ? i < SHOWN : shown < SHOWN;
        shown += i >= whole;
        if (!first) { continue; }
        lorac_buf_clear(&b);
        describe(&b, &c->at[i]);
        printf("  %s\n", b.at ? b.at : "");
    }
    lorac_buf_free(&b);
    printf(
        "tensors: %zu in both, %zu only in A, %zu only in B, %zu of another shape, %zu of another "
        "type, %zu with other numbers; the largest difference is %.6g\n",
        c->compared, c->only_a, c->only_b, c->shapes, c->dtypes, c->values, c->largest);
}

static void json_lines(struct out *j, const char *key, const struct lorac_buf *lines)
{
    out_begin(j, key, "[]");
    for (const char *line = lines->at; line && *line;) {
        size_t n = strcspn(line, "\n");
        out_text(j, NULL, line, n);
        line += n + (line[n] == '\n');
    }
    out_end(j);
}

static void json_difference(struct out *j, const struct difference *d)
{
    struct lorac_buf text = {0};
    const struct lorac_comparison *c = &d->tensors;
    json_lines(j, "config", &d->config);
    out_count(j, "in_both", c->compared);
    out_count(j, "only_a", c->only_a);
    out_count(j, "only_b", c->only_b);
    out_count(j, "other_shape", c->shapes);
    out_count(j, "other_type", c->dtypes);
    out_count(j, "other_numbers", c->values);
    out_real(j, "largest", c->largest);
    out_begin(j, "tensors", "[]");
    for (size_t i = 0; i < c->n; i++) {
        lorac_buf_clear(&text);
        describe(&text, &c->at[i]);
        out_text(j, NULL, text.at ? text.at : "", text.n);
    }
    out_end(j);
    lorac_buf_free(&text);
}

static void show(const struct difference *d, struct out *j)
{
    if (j) {
        if (*d->name) { out_begin(j, d->name, "{}"); }
        json_difference(j, d);
        if (*d->name) { out_end(j); }
        return;
    }
    if (*d->name) { printf("%s/\n", d->name); }
    say_lines("config:", &d->config);
    say_tensors(&d->tensors);
}

/* ---- the verb ---- */

/* One of the adapters of two runs; one that only A or B has is a difference. */
static enum lorac_status diff_adapters(bool *different, struct out *j, const char *a, const char *b,
                                       const char *name, struct lorac_err *err)
{
    struct difference d = {.name = name};
    char path_a[LORAC_PATH];
    char path_b[LORAC_PATH];
    bool has_a = lorac_path_exists(lorac_path_in(path_a, a, name));
    bool has_b = lorac_path_exists(lorac_path_in(path_b, b, name));
    enum lorac_status st = LORAC_OK;
    if (has_a != has_b) {
        const char *which = has_a ? "only in A" : "only in B";
        *different = true;
        if (j) {
            out_str(j, name, which);
        } else {
            printf("%s/ %s\n", name, which);
        }
    }
    if (has_a && has_b) {
        st = compare_places(&d, path_a, path_b, err);
        if (!st) { show(&d, j); }
        *different = *different || differs(&d);
    }
    release(&d);
    return st;
}

static enum lorac_status diff_runs(bool *different, struct out *j, const char *a, const char *b,
                                   struct lorac_err *err)
{
    struct difference d = {.name = ""};
    enum lorac_status st = compare_recipes(&d, a, b, err);
    if (!st && j) { json_lines(j, "recipe", &d.recipe); }
    if (!st && !j) { say_lines("recipe:", &d.recipe); }
    *different = d.recipe.n > 0;
    release(&d);
    if (!st) { st = diff_adapters(different, j, a, b, "best", err); }
    if (!st) { st = diff_adapters(different, j, a, b, "last", err); }
    return st;
}

static int run(const struct args *a)
{
    struct lorac_err err = {0};
    struct difference d = {.name = ""};
    struct out json = {0};
    struct out *j = args_has(a, "--json") ? &json : NULL;
    const char *at[2] = {a->positional[0], a->positional[1]};
    char *found[2] = {0};
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < 2 && !st; i++) {
        if (lorac_path_exists(at[i]) && !lorac_path_is_dir(at[i])) { continue; } // a file
        st = find_folder(&found[i], "", at[i], &err);
        if (!st) { at[i] = found[i]; }
    }
    bool runs[2] = {lorac_path_holds(at[0], "recipe.resolved.yaml"),
                    lorac_path_holds(at[1], "recipe.resolved.yaml")};
    bool different = false;
    if (!st && runs[0] != runs[1]) {
        st = lorac_fail(&err, LORAC_EUSER, "%s: is a run, the other is none; compare its best/",
                        at[runs[1]]);
    } else if (!st && runs[0]) {
        st = diff_runs(&different, j, at[0], at[1], &err);
    } else if (!st) {
        st = compare_places(&d, at[0], at[1], &err);
        if (!st) { show(&d, j); }
        different = differs(&d);
    }
    release(&d);
    lorac_mem_free(found[0]);
    lorac_mem_free(found[1]);
    if (st) {
        lorac_buf_free(&json.b);
        (void)complain(&err);
        return EXIT_USAGE; // 1 says that they differ
    }
    if (j) {
        out_bool(j, "same", !different);
        if (out_print(j)) { return EXIT_USAGE; }
    } else {
        printf("%s\n", different ? "different" : "the same");
    }
    return different ? EXIT_FAILED : 0;
}

static const struct option options[] = {
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_diff = {
    .name = "diff",
    .usage = "A B",
    .summary = "how two adapters, checkpoints or runs differ",
    .about =
        "A and B are folders of adapters, of models or of runs, or .safetensors files. Tensors "
        "that only one has, other shapes and types, the ten tensors that are farthest apart, "
        "keys of the configuration, of runs the recipe, too. Exit codes: 0 the same, 1 "
        "different, 2 could not be compared.\n",
    .options = options,
    .min_positional = 2,
    .max_positional = 2,
    .run = run,
};
