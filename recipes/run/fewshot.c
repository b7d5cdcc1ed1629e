/* fewshot.c - see fewshot.h. */
#include "recipes/run/fewshot.h"

#include "base/core/mem.h"

void lorac_fewshot_close(struct lorac_fewshot *f)
{
    lorac_dataset_close(f->set);
    lorac_shots_close(f->shots);
    *f = (struct lorac_fewshot){0};
}

static bool is_shot(const struct lorac_shots *s, size_t row)
{
    for (size_t i = 0; i < lorac_shots_count(s); i++) {
        if (lorac_shots_row(s, i) == row) { return true; }
    }
    return false;
}

/* Training rows but for the shots: rows (n) written, at most all of the table. */
static size_t other_rows(uint32_t *rows, const struct lorac_job *j, const struct lorac_shots *s)
{
    const struct lorac_split *valid = &j->valid.split; // its part: not training's
    size_t next = 0;                                   // of that
    size_t n = 0;
    for (uint32_t row = 0; row < lorac_table_rows(j->train.table); row++) {
        if (next < valid->n_part && valid->part[next] == row) {
            next++;
        } else if (!is_shot(s, row)) {
            rows[n++] = row;
        }
    }
    return n;
}

static enum lorac_status open_others(struct lorac_fewshot *f, const struct lorac_job *j,
                                     struct lorac_err *err)
{
    const struct lorac_table *table = j->train.table;
    uint32_t *rows = lorac_mem_new(lorac_table_rows(table), sizeof *rows);
    if (!rows) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the rows of data.train"); }
    enum lorac_status st = LORAC_OK;
    size_t n = other_rows(rows, j, f->shots);
    f->left_out = lorac_shots_count(f->shots);
    if (n == 0) {
        st = lorac_fail(err, LORAC_EUSER,
                        "all %zu rows of data.train are shots: none is left to evaluate",
                        f->left_out);
    }
    if (!st) { st = lorac_job_open_set(&f->set, j, table, rows, n, f->shots, err); }
    lorac_mem_free(rows);
    return st;
}

static enum lorac_status open_rows(struct lorac_fewshot *f, const struct lorac_job *j,
                                   const struct lorac_data *data, struct lorac_err *err)
{
    if (data == &j->train) { return open_others(f, j, err); }
    const struct lorac_table *table = data->table ? data->table : j->train.table;
    return lorac_job_open_set(&f->set, j, table, data->split.part, data->split.n_part, f->shots,
                              err);
}

/* Tokens of the longest row, the longest label in the place of its own included. */
static enum lorac_status longest_row(size_t *tokens, const struct lorac_job *j,
                                     const struct lorac_dataset *set, unsigned metrics,
                                     struct lorac_err *err)
{
    struct lorac_choices *choices = NULL;
    enum lorac_status st = LORAC_OK;
    *tokens = lorac_dataset_counts(set)->longest;
    if (!lorac_compares_labels(j, metrics)) { return LORAC_OK; }
    st = lorac_choices_open(&choices, set, (const char *const *)j->labels, j->K, err);
    if (!st) { *tokens += lorac_choices_spread(choices); }
    lorac_choices_close(choices);
    size_t most = j->recipe->model.max_length; // prompts are cut so that the longest label fits it
    if (*tokens > most) { *tokens = most; }
    return st;
}

enum lorac_status lorac_fewshot_open(struct lorac_fewshot *out, const struct lorac_job *j,
                                     const struct lorac_data *data, unsigned metrics,
                                     const struct lorac_fewshot_options *o, struct lorac_err *err)
{
    struct lorac_shots_options shots = {
        .n = o->n,
        .separator = o->separator ? o->separator : "\n\n",
        .labels = (const char *const *)j->labels,
        .K = j->K,
        .seed = j->recipe->seed,
    };
    size_t limit = j->model->config.max_positions;
    size_t longest = 0;
    *out = (struct lorac_fewshot){0};
    enum lorac_status st = lorac_shots_open(&out->shots, j->train.set, &shots, err);
    if (!st) { st = open_rows(out, j, data, err); }
    if (!st) { st = longest_row(&longest, j, out->set, metrics, err); }
    size_t fit = st || longest > limit ? 0 : lorac_shots_fit(out->shots, limit - longest);
    size_t tokens = st ? 0 : lorac_shots_prefix(out->shots)->n;
    if (!st && fit < o->n && o->fewer && fit) { // the rows' own tokens do not depend on how many
        lorac_shots_keep(out->shots, fit);
        lorac_dataset_close(out->set);
        out->set = NULL;
        st = open_rows(out, j, data, err);
    } else if (!st && fit < o->n) {
        st = lorac_fail(
            err, LORAC_EUSER,
            "%zu shots take %zu tokens and the longest row behind them %zu, but %s reads "
            "at most %zu together: %zu shots fit",
            o->n, tokens, longest, j->model->dir, limit, fit);
    }
    if (st) { lorac_fewshot_close(out); }
    return st;
}
