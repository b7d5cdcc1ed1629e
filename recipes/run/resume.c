/* resume.c - see resume.h. */
#include "recipes/run/resume.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/language/reading.h"

#include <stdio.h>
#include <string.h>

/* The first file of an adapter that the folder lacks, or NULL. */
static const char *find_missing(const char *dir)
{
    static const char *const files[] = {"adapter_model.safetensors", "adapter_config.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (!lorac_path_holds(dir, files[i])) { return files[i]; }
    }
    return NULL;
}

static enum lorac_status check_best(const struct lorac_run_paths *p, const struct lorac_state *s,
                                    struct lorac_err *err)
{
    static const char way[] = "put it back, or start anew with --overwrite";
    uint64_t digest = 0;
    const char *file = find_missing(p->best);
    if (file) {
        bool gone = !lorac_path_exists(p->best);
        return lorac_fail(err, LORAC_EUSER,
                          "%s: is missing%s%s: this run saved its best adapter there, of step %zu; "
                          "%s",
                          p->best, gone ? "" : " ", gone ? "" : file, (size_t)s->best_step, way);
    }
    enum lorac_status st = lorac_weights_digest(&digest, p->best, err);
    if (!st && s->best_weights && digest != s->best_weights) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: is not the adapter that this run saved at step %zu; %s", p->best,
                        (size_t)s->best_step, way);
    }
    return st;
}

enum lorac_status lorac_resume_best(const struct lorac_run_paths *p, const struct lorac_recipe *r,
                                    const struct lorac_state *s, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    if (lorac_path_is_dir(p->best_new)) { // a kill came before or after the state that knows of it
        uint64_t digest = 0;
        const char *missing = find_missing(p->best_new);
        if (!missing) { st = lorac_weights_digest(&digest, p->best_new, err); }
        if (st) { return st; }
        bool known = !missing && s->has_best && digest == s->best_weights;
        st = known ? lorac_dir_replace(p->best, p->best_new, err)
                   : lorac_dir_remove(p->best_new, err);
    }
    bool keeps = r->output.keep >> LORAC_RECIPE_KEEP_BEST & 1U;
    return st || !keeps || !s->has_best ? st : check_best(p, s, err);
}

/* " --set KEY=PATH": text for YAML, and that a word of a shell. */
static void add_setting(struct lorac_buf *b, const char *key, const char *path, const char *more)
{
    struct lorac_buf value = {0};
    struct lorac_buf word = {0};
    lorac_buf_printf(&value, "%s%s", path, more);
    lorac_buf_str(&word, key);
    if (value.at && strpbrk(value.at, " #:{}[]$&*!|>%@`'\"\\,?")) {
        lorac_yaml_quote(&word, value.at, true);
    } else {
        lorac_buf_add(&word, value.at, value.n);
    }
    lorac_buf_str(b, " --set ");
    if (word.at) { lorac_buf_word(b, word.at); }
    b->no_memory = b->no_memory || value.no_memory || word.no_memory;
    lorac_buf_free(&value);
    lorac_buf_free(&word);
}

/* Append the options that train on from this run in another one. */
static void add_way(struct lorac_buf *b, const struct lorac_run_paths *p,
                    const struct lorac_recipe *r)
{
    bool last = r->output.keep >> LORAC_RECIPE_KEEP_LAST & 1U;
    lorac_buf_str(b, "--unset adapter");
    add_setting(b, "adapter.from=", last ? p->last : p->best, "");
    if (r->adapter.dropout > 0.0) {
        lorac_buf_printf(b, " --set adapter.dropout=%g", r->adapter.dropout);
    }
    add_setting(b, "output.dir=", p->dir, "-more");
}

/* Why the steps that are done are not those of a run of another length; nothing where they are. */
static void add_reason(struct lorac_buf *b, const struct lorac_recipe *r,
                       const struct lorac_state *s, size_t before)
{
    bool stops = r->eval.early_stop.metric != 0;
    bool share = r->optimizer.warmup.is_percent && r->optimizer.warmup.percent > 0.0;
    bool falls = lorac_schedule_falls(r->optimizer.schedule);
    if (falls || share) {
        lorac_buf_printf(
            b, "the steps that are done had the learning rates of a run of %zu steps (", before);
    }
    if (falls) {
        lorac_buf_printf(b, "optimizer.schedule: %s)", r->optimizer.schedule);
    } else if (share) {
        lorac_buf_printf(b, "optimizer.warmup: %g%%)", r->optimizer.warmup.percent);
    } else if (stops && s->patience >= r->eval.early_stop.patience) {
        lorac_buf_str(b, "the run had stopped early");
    } else if (s->micro % r->train.accumulate) {
        lorac_buf_str(b, "its last step was a smaller one (train.accumulate)");
    }
}

enum lorac_status lorac_resume_length(const char *change, const struct lorac_run_paths *p,
                                      const struct lorac_recipe *r, const struct lorac_state *s,
                                      size_t steps, size_t before, struct lorac_err *err)
{
    struct lorac_buf why = {0};
    enum lorac_status st = LORAC_OK;
    if (s->step == 0) { return LORAC_OK; }
    if (s->step > steps) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: %s: the run has done %zu steps, and would have %zu", p->dir, change,
                          (size_t)s->step, steps);
    }
    add_reason(&why, r, s, before);
    if (why.n) {
        lorac_buf_str(&why, "; to train on, begin another run from this one's adapter: ");
        add_way(&why, p, r);
        st = lorac_fail(err, LORAC_EUSER, "%s: %s: %s", p->dir, change, why.at);
    }
    if (why.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "%s: no memory", p->dir); }
    lorac_buf_free(&why);
    return st;
}
