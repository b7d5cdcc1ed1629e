/* folder.c - the model that is measured, and the tokens that it is measured with; see bench.h. */
#define _DEFAULT_SOURCE // mkdtemp, fork
#include "tools/bench/bench.h"

#include "tools/cmd_recipes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- models of real shapes, random weights ---- */

static const struct {
    const char *name, *config;
} shapes[] = {
    {"196m", "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 1024, "
             "\"num_hidden_layers\": 12, \"num_attention_heads\": 16, \"num_key_value_heads\": 4, "
             "\"intermediate_size\": 3072, \"vocab_size\": 50257, \"rms_norm_eps\": 1e-5, "
             "\"tie_word_embeddings\": true}"},
    {"smollm2-135m",
     "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 576, "
     "\"num_hidden_layers\": 30, \"num_attention_heads\": 9, \"num_key_value_heads\": 3, "
     "\"intermediate_size\": 1536, \"vocab_size\": 49152, \"rms_norm_eps\": 1e-5, "
     "\"rope_theta\": 100000, \"max_position_embeddings\": 8192, \"tie_word_embeddings\": true}"},
    {"tiny", "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 64, "
             "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "
             "\"intermediate_size\": 128, \"vocab_size\": 256, \"tie_word_embeddings\": true}"},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static enum lorac_status make_model(const char *dir, const char *name, struct lorac_err *err)
{
    static const struct lorac_init_options options = {.seed = 1};
    struct lorac_near near = {.word = name, .most = 3};
    if (!lorac_dir_is_empty(dir) && lorac_path_exists(dir)) { return LORAC_OK; } // of another run
    for (size_t i = 0; i < N_SHAPES; i++) {
        if (strcmp(shapes[i].name, name) == 0) {
            return lorac_model_init(dir, shapes[i].config, &options, err);
        }
        (void)lorac_near_try(&near, shapes[i].name);
    }
    char hint[64];
    return lorac_fail(err, LORAC_EUSER, "--shape %s: there are 196m, smollm2-135m and tiny%s", name,
                      lorac_near_hint(hint, sizeof hint, near.best));
}

enum lorac_status temporary_dir(char **out, struct lorac_err *err)
{
    const char *home = getenv("TMPDIR"); // NOLINT(concurrency-mt-unsafe)
    *out = lorac_path_join(home ? home : "/tmp", "lorac_bench-XXXXXX");
    if (!*out) { return lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    if (mkdtemp(*out)) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EIO, "%s: cannot be made", *out);
}

enum lorac_status folder_open(struct folder *s, const struct args *a, struct lorac_err *err)
{
    const char *model = args_text(a, "--model", NULL);
    const char *recipe = args_text(a, "--recipe", NULL);
    const char *shape = args_text(a, "--shape", model || recipe ? NULL : "196m");
    enum lorac_status st = LORAC_OK;
    *s = (struct folder){0};
    if (recipe) { st = recipe_open(&s->recipe, recipe, a, err); }
    if (st) { return st; }
    if (recipe && !model && !shape) { model = s->recipe->model.path; }
    if (model && !shape) { return find_folder(&s->dir, "--model", model, err); }
    if (model) {
        s->dir = lorac_mem_string(model, strlen(model));
        if (!s->dir) { return lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    } else {
        st = temporary_dir(&s->dir, err);
        s->temporary = !st;
    }
    return st ? st : make_model(s->dir, shape, err);
}

void folder_close(struct folder *s)
{
    struct lorac_err err;
    if (s->temporary && lorac_dir_remove(s->dir, &err)) {
        fprintf(stderr, "lorac_bench: %s\n", err.text);
    }
    lorac_recipe_free(s->recipe);
    lorac_mem_free(s->dir);
    *s = (struct folder){0};
}

/* ---- compute ---- */

const char *compute_each(const struct args *a, const struct lorac_recipe *r, size_t i)
{
    const char *given = args_each(a, "--compute", i);
    if (given || i) { return given; }
    return r && r->model.compute ? r->model.compute : "float32";
}

enum lorac_status model_open(struct lorac_model **out, struct lorac_device *dev, const char *dir,
                             const char *compute, struct lorac_err *err)
{
    enum lorac_compute c = LORAC_FLOAT32;
    *out = NULL;
    enum lorac_status st = lorac_compute_find(&c, dev, compute, err);
    if (st) { lorac_err_prefix(err, "compute %s: ", compute); }
    return st ? st : lorac_model_open(out, dev, dir, c, err);
}

/* ---- tokens ---- */

enum lorac_status batch_made_up(struct lorac_batch **out, size_t tokens, size_t length,
                                size_t scored, size_t V, struct lorac_err *err)
{
    size_t rows = (tokens + length - 1) / length;
    enum lorac_status st = lorac_batch_new(out, tokens, rows, tokens, err);
    int32_t *ids = st ? NULL : lorac_mem_new(length, sizeof *ids);
    if (!st && !ids) { st = lorac_fail(err, LORAC_ENOMEM, "no memory"); }
    for (size_t at = 0; !st && at < tokens; at += length) {
        size_t n = tokens - at < length ? tokens - at : length;
        for (size_t i = 0; i < n; i++) {
            ids[i] = (int32_t)((at + i) * 2654435761U % 4294967291U % V);
        }
        (void)lorac_batch_add(*out, ids, n, -1);
        for (size_t i = 0; i + 1 < n; i++) {
            if (i + 1 + scored >= n) { lorac_batch_score(*out, at + i, ids[i + 1]); }
        }
    }
    lorac_mem_free(ids);
    return st;
}

/* ---- memory ---- */

enum lorac_status peak_of(size_t *peak, work_fn *work, void *self, struct lorac_err *err)
{
    struct {
        enum lorac_status st;
        size_t peak;
        struct lorac_err err;
    } told = {0};
    int ends[2];
    if (pipe(ends)) { return lorac_fail(err, LORAC_EIO, "no pipe"); }
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        told.st = work(self, &told.err);
        told.peak = lorac_machine_peak();
        bool ok = write(ends[1], &told, sizeof told) == (ssize_t)sizeof told;
        _exit(ok ? 0 : 1);
    }
    (void)close(ends[1]);
    bool whole = child > 0 && read(ends[0], &told, sizeof told) == (ssize_t)sizeof told;
    (void)close(ends[0]);
    if (child > 0) { (void)waitpid(child, NULL, 0); }
    if (!whole) { return lorac_fail(err, LORAC_EIO, "the process that measures memory died"); }
    *peak = told.peak;
    if (told.st) { *err = told.err; }
    return told.st;
}

int bench_end(enum lorac_status st, const struct lorac_err *err)
{
    if (st) { fprintf(stderr, "lorac_bench: %s\n", err->text); }
    return st ? EXIT_FAILED : 0;
}

enum lorac_status rounds_of(size_t *rounds, int *threads, const struct args *a,
                            struct lorac_err *err)
{
    size_t t = 0;
    *rounds = 5;
    enum lorac_status st = args_count(rounds, a, "--rounds", err);
    if (!st) { st = args_count(&t, a, "--threads", err); }
    *threads = (int)t;
    return st;
}
