/* record_sweep.c - a sweep's folder read back; see record.h. */
#include "recipes/run/record.h"

#include "base/core/arena.h"
#include "base/core/file.h"
#include "base/core/json.h"
#include "base/core/mem.h"

#include <string.h>

enum { SWEEP_LIMIT = 16 << 20 };

static enum lorac_status no_memory(struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "no memory to read a sweep");
}

static enum lorac_status keep_text(const char **out, struct lorac_sweep_record *s, const char *text,
                                   struct lorac_err *err)
{
    *out = lorac_arena_string(s->arena, text, strlen(text));
    return *out ? LORAC_OK : no_memory(err);
}

static enum lorac_status read_list(struct lorac_json *list, size_t *n,
                                   const struct lorac_json *root, const char *key,
                                   struct lorac_err *err)
{
    *list = lorac_json_get(root, key);
    *n = json_array_size(list->value);
    return json_is_array(list->value) ? LORAC_OK : lorac_json_fail(list, "a list", err);
}

static enum lorac_status read_group_by(struct lorac_sweep_record *s, const struct lorac_json *root,
                                       struct lorac_err *err)
{
    struct lorac_json list;
    size_t n = 0;
    enum lorac_status st = read_list(&list, &n, root, "group_by", err);
    if (st) { return st; }
    s->group_by = lorac_arena_take(s->arena, n, sizeof *s->group_by);
    if (!s->group_by) { return no_memory(err); }
    for (size_t i = 0; i < n && !st; i++) {
        struct lorac_json x = lorac_json_at(&list, i);
        st = json_is_string(x.value)
                 ? keep_text(&s->group_by[s->n_group_by++], s, json_string_value(x.value), err)
                 : lorac_json_fail(&x, "a key", err);
    }
    return st;
}

static bool has_key(const struct lorac_sweep_record *s, const char *key)
{
    for (size_t i = 0; i < s->n_keys; i++) {
        if (strcmp(s->keys[i], key) == 0) { return true; }
    }
    return false;
}

/* The keys that a trial changes and none before it did. */
static enum lorac_status add_keys(struct lorac_sweep_record *s, size_t *cap,
                                  const struct lorac_json *trial, struct lorac_err *err)
{
    struct lorac_json changes = lorac_json_get(trial, "changes");
    enum lorac_status st = LORAC_OK;
    const char *key = NULL;
    json_t *value = NULL;
    if (!json_is_object(changes.value)) { return lorac_json_fail(&changes, "an object", err); }
    json_object_foreach(changes.value, key, value)
    {
        if (st || has_key(s, key)) { continue; }
        if (s->n_keys == *cap) {
            size_t more = 2 * *cap + 8;
            const char **all = lorac_arena_take(s->arena, more, sizeof *all);
            if (!all) { return no_memory(err); }
            if (s->n_keys) { memcpy(all, s->keys, s->n_keys * sizeof *all); }
            s->keys = all;
            *cap = more;
        }
        st = keep_text(&s->keys[s->n_keys], s, key, err);
        s->n_keys += !st;
    }
    return st;
}

static enum lorac_status read_trials(struct lorac_sweep_record *s, const struct lorac_json *root,
                                     struct lorac_err *err)
{
    struct lorac_json list;
    size_t n = 0;
    size_t cap = 0;
    enum lorac_status st = read_list(&list, &n, root, "trials", err);
    if (st) { return st; }
    s->trials = lorac_arena_take(s->arena, n, sizeof *s->trials);
    if (!s->trials) { return no_memory(err); }
    for (size_t i = 0; i < n && !st; i++) {
        const char *name = "";
        struct lorac_json trial = lorac_json_at(&list, i);
        st = lorac_json_string(&name, &trial, "name", true, err);
        if (!st) { st = keep_text(&s->trials[s->n_trials++], s, name, err); }
        if (!st) { st = add_keys(s, &cap, &trial, err); }
    }
    return st;
}

enum lorac_status lorac_sweep_record_open(struct lorac_sweep_record **out, const char *dir,
                                          struct lorac_err *err)
{
    struct lorac_json root = {0};
    const char *metric = "";
    const char *strategy = "";
    *out = NULL;
    char path[LORAC_PATH];
    if (!lorac_path_exists(lorac_path_in(path, dir, "sweep.json"))) { return LORAC_OK; }
    struct lorac_sweep_record *s = lorac_mem_new(1, sizeof *s);
    if (s) { s->arena = lorac_arena_new(); }
    enum lorac_status st = s && s->arena ? LORAC_OK : no_memory(err);
    if (!st) { st = lorac_json_load(&root, path, SWEEP_LIMIT, err); }
    struct lorac_json objective = lorac_json_get(&root, "objective");
    if (!st) { st = lorac_json_string(&metric, &objective, "metric", true, err); }
    if (!st) { st = keep_text(&s->metric, s, metric, err); }
    if (!st) { st = lorac_json_string(&strategy, &root, "strategy", true, err); }
    if (!st) { s->halves = strncmp(strategy, "halving", strlen("halving")) == 0; }
    if (!st) { st = read_group_by(s, &root, err); }
    if (!st) { st = read_trials(s, &root, err); }
    lorac_json_free(&root);
    if (st) {
        lorac_sweep_record_close(s);
        s = NULL;
    }
    *out = s;
    return st;
}

void lorac_sweep_record_close(struct lorac_sweep_record *s)
{
    if (!s) { return; }
    lorac_arena_free(s->arena);
    lorac_mem_free(s);
}
