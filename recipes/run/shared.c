/* shared.c - see shared.h. */
#include "recipes/run/shared.h"

#include "base/core/mem.h"
#include "recipes/language/reading.h"
#include "recipes/run/frozen.h"

#include <string.h>

struct lorac_shared {
    struct lorac_job **job; // (n) whose parts the others borrow, the first opened first
    size_t n, cap, threads;
    struct lorac_frozen *rows; // that the last run left, or NULL
};

enum lorac_status lorac_shared_new(struct lorac_shared **out, size_t threads, struct lorac_err *err)
{
    *out = lorac_mem_new(1, sizeof **out);
    if (!*out) { return lorac_fail(err, LORAC_ENOMEM, "no memory for what runs share"); }
    (*out)->threads = threads;
    return LORAC_OK;
}

void lorac_shared_free(struct lorac_shared *s)
{
    if (!s) { return; }
    lorac_frozen_free(s->rows);
    while (s->n) { // later ones borrow from earlier ones
        lorac_job_close(s->job[--s->n]);
    }
    lorac_mem_free(s->job);
    lorac_mem_free(s);
}

static bool starts_with(const char *path, const char *section)
{
    return strncmp(path, section, strlen(section)) == 0;
}

static bool makes_base(const struct lorac_key *key, const struct lorac_recipe *r)
{
    static const char *const keys[] = {"model.path", "model.compute", "train.threads",
                                       "objective.kind"};
    bool drawn = lorac_objectives[r->objective.kind].target && strcmp(key->path, "seed") == 0;
    if (drawn) { return true; }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(key->path, keys[i]) == 0) { return true; }
    }
    return false;
}

static bool makes_data(const struct lorac_key *key, const struct lorac_recipe *r)
{
    bool drawn = r->data.valid.kind == LORAC_RECIPE_SPLIT_FRACTION;
    bool brings = r->templates.kind == LORAC_RECIPE_TEMPLATE_CHAT; // an adapter its chat template
    return starts_with(key->path, "data.") || starts_with(key->path, "objective.class") ||
           starts_with(key->path, "objective.mask") ||
           (brings && strcmp(key->path, "adapter.from") == 0) ||
           starts_with(key->path, "template.") || strcmp(key->path, "model.max_length") == 0 ||
           (drawn && strcmp(key->path, "seed") == 0);
}

enum agreement { NOTHING, BASE, ALL };

/* What of a job of `b` a job of `a` can take. */
static enum lorac_status compare(enum agreement *out, const struct lorac_recipe *a,
                                 const struct lorac_recipe *b, struct lorac_err *err)
{
    struct lorac_buf base = {0};
    struct lorac_buf data = {0};
    for (size_t i = 0; i < lorac_n_keys; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        if (makes_base(key, a)) { lorac_key_diff(&base, a, b, key); }
        if (makes_data(key, a)) { lorac_key_diff(&data, a, b, key); }
    }
    enum lorac_status st = base.no_memory || data.no_memory
                               ? lorac_fail(err, LORAC_ENOMEM, "no memory to compare recipes")
                               : LORAC_OK;
    bool head = lorac_objectives[a->objective.kind].target; // drawn for these labels
    *out = base.n ? NOTHING : !data.n ? ALL : head ? NOTHING : BASE;
    lorac_buf_free(&base);
    lorac_buf_free(&data);
    return st;
}

/* The job that has the most of what `r` asks for; NULL: none has anything. */
static enum lorac_status find(const struct lorac_job **out, enum agreement *how,
                              const struct lorac_shared *s, const struct lorac_recipe *r,
                              struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    *out = NULL;
    *how = NOTHING;
    for (size_t i = 0; i < s->n && *how != ALL && !st; i++) {
        enum agreement one = NOTHING;
        st = compare(&one, r, s->job[i]->recipe, err);
        if (one > *how) {
            *how = one;
            *out = s->job[i];
        }
    }
    return st;
}

/* Open what nobody has, and keep it. */
static enum lorac_status keep(const struct lorac_job **out, struct lorac_shared *s,
                              const struct lorac_recipe *r, const struct lorac_job *lender,
                              struct lorac_err *err)
{
    struct lorac_job *j = NULL;
    struct lorac_job **grown = lorac_mem_grow(s->job, s->n, &s->cap, s->n + 1, sizeof(void *));
    if (!grown) { return lorac_fail(err, LORAC_ENOMEM, "no memory for what runs share"); }
    s->job = grown;
    enum lorac_status st = lorac_job_open_on(&j, r, LORAC_JOB_TRAIN, s->threads, lender, err);
    if (!st) { s->job[s->n++] = j; }
    *out = j;
    return st;
}

enum lorac_status lorac_shared_job(struct lorac_job **out, struct lorac_shared *s,
                                   const struct lorac_recipe *r, struct lorac_err *err)
{
    const struct lorac_job *lender = NULL;
    enum agreement how = NOTHING;
    *out = NULL;
    bool numbers = lorac_objectives[r->objective.kind].target == LORAC_TARGET_NUMBER;
    if (numbers && r->adapter.from) { // its data is in the mean and deviation of that adapter
        return lorac_job_open_on(out, r, LORAC_JOB_TRAIN, s->threads, NULL, err);
    }
    enum lorac_status st = find(&lender, &how, s, r, err);
    if (!st && how != ALL) { st = keep(&lender, s, r, lender, err); }
    return st ? st : lorac_job_borrow(out, lender, r, err);
}

struct lorac_frozen **lorac_shared_rows(struct lorac_shared *s, const struct lorac_job *j)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->job[i]->train.set == j->train.set) { return &s->rows; }
    }
    return NULL;
}
