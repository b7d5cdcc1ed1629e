/* job_alike.c - do all ranks work on the same? See job.h. */
#include "recipes/run/job.h"

#include "recipes/language/types.h"

#include <stdio.h>

static enum lorac_status same_keys(struct lorac_ranks *ranks, const struct lorac_recipe *r,
                                   struct lorac_err *err)
{
    struct lorac_buf value = {0};
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < lorac_n_keys && !st; i++) {
        const struct lorac_key *key = &lorac_keys[i];
        if (!key->type->print || key->flags & (LORAC_KEY_FREE | LORAC_KEY_PLACE)) { continue; }
        lorac_buf_clear(&value);
        lorac_value_print(&value, r, key);
        if (value.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory to compare recipes"); }
        st = lorac_ranks_same(ranks, key->path, value.at, st, err);
    }
    lorac_buf_free(&value);
    return st;
}

static enum lorac_status same_rows(struct lorac_ranks *ranks, const struct lorac_dataset *set,
                                   const char *what, enum lorac_status st, struct lorac_err *err)
{
    char text[20] = "none";
    if (set) {
        (void)snprintf(text, sizeof text, "%016llx", (unsigned long long)lorac_dataset_digest(set));
    }
    return lorac_ranks_same(ranks, what, text, st, err);
}

enum lorac_status lorac_job_alike(const struct lorac_job *j, const struct lorac_dataset *set,
                                  const struct lorac_adapter *a, struct lorac_ranks *ranks,
                                  enum lorac_status st, struct lorac_err *err)
{
    char content[65] = "none";
    if (!ranks) { return st; }
    st = lorac_ranks_same(ranks, "version of lorac", LORAC_VERSION, st, err);
    if (!st) { st = same_keys(ranks, j->recipe, err); }
    if (st) { return st; }
    st = lorac_ranks_same(ranks, "base (model.path)", j->model->fingerprint, st, err);
    st = lorac_ranks_same(ranks, "model.compute", lorac_compute_name(j->model->compute), st, err);
    st = same_rows(ranks, j->train.set, "content of data.train", st, err);
    st = same_rows(ranks, j->valid.set, "content of data.valid", st, err);
    st = same_rows(ranks, j->test.set, "content of data.test", st, err);
    st = same_rows(ranks, set, "set of rows", st, err);
    if (!st && a) { st = lorac_adapter_content(content, a, err); }
    return lorac_ranks_same(ranks, "adapter", content, st, err);
}
