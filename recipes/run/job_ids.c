/* job_ids.c - a tokenizer that knows more tokens than its model; see job.h. */
#include "recipes/run/job.h"

static enum lorac_status refuse_token(const struct lorac_job *j, const struct lorac_dataset *set,
                                      size_t i, int32_t id, struct lorac_err *err)
{
    const char *text = lorac_token_text(j->tokenizer, id);
    enum lorac_status st = lorac_fail(
        err, LORAC_EFORMAT,
        "%llu: token %d ('%.60s') is the tokenizer's, which has %zu, but the model knows %zu: it "
        "was added without resizing the model; use another, or resize_token_embeddings() in "
        "transformers",
        (unsigned long long)lorac_dataset_line(set, i), (int)id, text ? text : "",
        lorac_tokenizer_size(j->tokenizer), j->model->config.V);
    if (lorac_dataset_is_text(set)) {
        lorac_err_prefix(err, "%s: document ", lorac_dataset_file(set));
    } else {
        lorac_err_prefix(err, "%s:", lorac_dataset_file(set));
    }
    return st;
}

enum lorac_status lorac_job_check_ids(const struct lorac_job *j, const struct lorac_dataset *set,
                                      struct lorac_err *err)
{
    size_t V = j->model->config.V;
    struct lorac_example e = {0};
    enum lorac_status st = LORAC_OK;
    if (lorac_tokenizer_size(j->tokenizer) <= V) { return LORAC_OK; }
    if (lorac_dataset_objective(set)->masks) {
        return lorac_fail(err, LORAC_EFORMAT,
                          "objective: %s draws from all %zu tokens of the tokenizer, but the model "
                          "knows %zu: some were added without resizing the model; "
                          "resize_token_embeddings() in transformers does that",
                          lorac_dataset_objective(set)->name, lorac_tokenizer_size(j->tokenizer),
                          V);
    }
    for (size_t i = 0; i < lorac_dataset_size(set) && !st; i++) {
        st = lorac_dataset_example(&e, set, i, err);
        for (size_t k = 0; k < e.ids.n && !st; k++) {
            if ((size_t)e.ids.at[k] >= V) { st = refuse_token(j, set, i, e.ids.at[k], err); }
        }
    }
    lorac_example_free(&e);
    return st;
}
