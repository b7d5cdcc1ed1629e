/* runs.c - the runs in some folders; see board.h. */
#include "recipes/report/board.h"

#include "base/core/file.h"
#include "base/core/mem.h"

#include <stdio.h>
#include <string.h>

enum { DEEPEST = 16 };

static enum lorac_status no_memory(struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "no memory to list runs");
}

static enum lorac_status add_broken(struct lorac_runs *r, const char *dir, const char *why,
                                    struct lorac_err *err)
{
    struct lorac_run_broken *all =
        lorac_mem_grow(r->broken, r->n_broken, &r->cap_broken, r->n_broken + 1, sizeof *all);
    if (!all) { return no_memory(err); }
    r->broken = all;
    struct lorac_run_broken *x = &all[r->n_broken++];
    x->dir = lorac_mem_string(dir, strlen(dir));
    x->why = lorac_mem_string(why, strlen(why));
    return x->dir && x->why ? LORAC_OK : no_memory(err);
}

static enum lorac_status add_run(struct lorac_runs *r, const char *dir, struct lorac_err *err)
{
    struct lorac_err why = {0};
    struct lorac_record **all = lorac_mem_grow(r->at, r->n, &r->cap, r->n + 1, sizeof(void *));
    if (!all) { return no_memory(err); }
    r->at = all;
    enum lorac_status st = lorac_record_open(&all[r->n], dir, &why);
    r->n += !st;
    if (st == LORAC_ENOMEM) { return lorac_fail(err, st, "%s", why.text); }
    return st ? add_broken(r, dir, why.text, err) : LORAC_OK;
}

/* `dir` where it is a run, else those in its folders. A run's own folders hold none. */
static enum lorac_status look(struct lorac_runs *r, const char *dir, size_t depth,
                              struct lorac_err *err)
{
    char **names = NULL;
    if (lorac_record_is_run(dir)) { return add_run(r, dir, err); }
    if (depth > DEEPEST) {
        return lorac_fail(err, LORAC_EUSER, "%s: lies more than %d folders deep", dir, DEEPEST);
    }
    enum lorac_status st = lorac_dir_list(&names, dir, err);
    for (size_t i = 0; !st && names[i]; i++) {
        if (names[i][0] == '.') { continue; }
        char path[LORAC_PATH];
        lorac_path_in(path, strcmp(dir, ".") == 0 ? "" : dir, names[i]);
        if (lorac_path_is_dir(path)) { st = look(r, path, depth + 1, err); }
    }
    lorac_mem_free(names);
    return st;
}

/* A trial that is no run: it failed before it was one, as TRIAL.failed says, or is to come. */
static enum lorac_status look_for_trial(struct lorac_runs *r, const char *dir, const char *name,
                                        struct lorac_err *err)
{
    enum { WHY_LIMIT = 1 << 16 };
    char path[LORAC_PATH];
    char failed[LORAC_PATH + 8];
    char *why = NULL;
    size_t n = 0;
    if (lorac_record_is_run(lorac_path_in(path, dir, name))) { return LORAC_OK; }
    (void)snprintf(failed, sizeof failed, "%s.failed", path);
    if (!lorac_path_exists(failed)) {
        r->to_come++;
        return LORAC_OK;
    }
    enum lorac_status st = lorac_file_read(&why, &n, failed, WHY_LIMIT, err);
    if (!st) { why[strcspn(why, "\n")] = '\0'; }
    if (!st) { st = add_broken(r, path, why, err); }
    lorac_mem_free(why);
    return st;
}

enum lorac_status lorac_runs_open(struct lorac_runs *out, const char *const *dirs, size_t n_dirs,
                                  struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    *out = (struct lorac_runs){0};
    for (size_t i = 0; i < n_dirs && !st; i++) {
        size_t before = out->n + out->n_broken;
        st = look(out, dirs[i], 0, err);
        if (!st && n_dirs == 1) { st = lorac_sweep_record_open(&out->sweep, dirs[0], err); }
        for (size_t k = 0; !st && out->sweep && k < out->sweep->n_trials; k++) {
            st = look_for_trial(out, dirs[0], out->sweep->trials[k], err);
        }
        if (!st && !out->sweep && out->n + out->n_broken == before) {
            st = lorac_fail(err, LORAC_EUSER, "%s: holds no run (no recipe.resolved.yaml below it)",
                            dirs[i]);
        }
    }
    if (st) { lorac_runs_close(out); }
    return st;
}

void lorac_runs_close(struct lorac_runs *r)
{
    for (size_t i = 0; i < r->n; i++) {
        lorac_record_close(r->at[i]);
    }
    for (size_t i = 0; i < r->n_broken; i++) {
        lorac_mem_free(r->broken[i].dir);
        lorac_mem_free(r->broken[i].why);
    }
    lorac_sweep_record_close(r->sweep);
    lorac_mem_free(r->at);
    lorac_mem_free(r->broken);
    *r = (struct lorac_runs){0};
}

const char *lorac_runs_word(const struct lorac_runs *r, const struct lorac_record *one)
{
    bool paused = one->status == LORAC_RECORD_STOPPED && r->sweep && r->sweep->halves;
    return paused ? "paused" : lorac_record_status_word(one->status);
}
