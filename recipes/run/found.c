/* found.c - see found.h. */
#include "recipes/run/found.h"

#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "recipes/run/files.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MANIFEST_LIMIT = 1 << 20 };

void lorac_found_release(struct lorac_found *f)
{
    lorac_mem_free(f->adapter);
    *f = (struct lorac_found){0};
}

/* Did it end as a run ends? run.json says so. */
static enum lorac_status read_state(struct lorac_found *f, const struct lorac_run_paths *p,
                                    struct lorac_err *err)
{
    struct lorac_json root = {0};
    const char *status = "";
    enum lorac_status st = lorac_json_load(&root, p->manifest, MANIFEST_LIMIT, err);
    if (!st) { st = lorac_json_string(&status, &root, "status", true, err); }
    bool early = strncmp(status, "stopped early", strlen("stopped early")) == 0;
    bool ended = strcmp(status, "finished") == 0 || early; // else: running, stopped, failed
    f->state = ended ? LORAC_FOUND_FINISHED : LORAC_FOUND_UNFINISHED;
    lorac_json_free(&root);
    return st;
}

/* best/ should be there, and is not: why, in one line; LORAC_OK where it need not. */
static enum lorac_status best_is_missing(const struct lorac_run_paths *p,
                                         const struct lorac_recipe *r, struct lorac_err *err)
{
    struct lorac_json root = {0};
    char old[LORAC_PATH];
    size_t step = 0;
    enum lorac_status st = LORAC_OK;
    if (!(r->output.keep >> LORAC_RECIPE_KEEP_BEST & 1U)) { return LORAC_OK; }
    (void)snprintf(old, sizeof old, "%s.old", p->best);
    if (lorac_path_is_dir(old)) {
        return lorac_fail(
            err, LORAC_EUSER,
            "%s: a save was cut short and left best.old; lorac train --resume puts it "
            "right",
            p->dir);
    }
    if (!lorac_path_exists(p->manifest)) { return LORAC_OK; }
    st = lorac_json_load(&root, p->manifest, MANIFEST_LIMIT, err);
    if (!st) { st = lorac_json_size(&step, &root, "best_step", false, 0, SIZE_MAX / 2, err); }
    if (!st && step) {
        struct lorac_buf way = {0};
        lorac_buf_str(&way, "--adapter");
        if (lorac_path_is_dir(p->last)) {
            lorac_buf_str(&way, " ");
            lorac_buf_word(&way, p->last);
        }
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: is missing, and run.json tells of the best adapter, of step %zu; put "
                        "it back, or choose another with %s",
                        p->best, step, way.no_memory ? "--adapter" : way.at);
        lorac_buf_free(&way);
    }
    lorac_json_free(&root);
    return st;
}

enum lorac_status lorac_found_adapter(char **out, const char *dir, const struct lorac_recipe *r,
                                      struct lorac_err *err)
{
    struct lorac_run_paths p = {0};
    *out = NULL;
    enum lorac_status st = lorac_run_paths(&p, dir, err);
    if (st) { return st; }
    bool best = lorac_path_is_dir(p.best);
    if (!best) { st = best_is_missing(&p, r, err); }
    const char *chosen = best ? p.best : p.last;
    if (!st && lorac_path_is_dir(chosen)) {
        *out = lorac_mem_string(chosen, strlen(chosen));
        if (!*out) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", dir); }
    }
    lorac_run_paths_free(&p);
    return st;
}

/* The adapter that it kept, and how large that is. */
static enum lorac_status find_adapter(struct lorac_found *f, const struct lorac_run_paths *p,
                                      const struct lorac_recipe *r, struct lorac_err *err)
{
    struct lorac_map map = {0};
    enum lorac_status st = lorac_found_adapter(&f->adapter, p->dir, r, err);
    if (st || !f->adapter) { return st; }
    char weights[LORAC_PATH];
    st = lorac_map_open(&map, lorac_path_in(weights, f->adapter, "adapter_model.safetensors"), err);
    f->adapter_bytes = map.size;
    lorac_map_close(&map);
    return st;
}

enum lorac_status lorac_found_look(struct lorac_found *out, const struct lorac_job *j,
                                   struct lorac_err *err)
{
    static const struct lorac_run_watch nobody = {0};
    struct lorac_run_paths p = {0};
    *out = (struct lorac_found){.seconds = (double)NAN};
    enum lorac_status st = lorac_run_paths(&p, j->recipe->output.dir, err);
    if (st || !lorac_path_exists(p.recipe)) { goto done; }
    st = lorac_manifest_check(NULL, &p, j, &nobody, err);
    if (!st) { st = read_state(out, &p, err); }
    if (!st) { st = find_adapter(out, &p, j->recipe, err); }
    if (!st && lorac_path_exists(p.metrics)) { st = lorac_metrics_seconds(&out->seconds, &p, err); }
done:
    lorac_run_paths_free(&p);
    if (st) { lorac_found_release(out); }
    return st;
}
