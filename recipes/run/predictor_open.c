/* predictor_open.c - a predictor of a model's folder and an adapter's; see predictor.h. */
#include "base/checkpoint/hub.h"
#include "base/core/mem.h"
#include "recipes/run/predictor_impl.h"
#include "recipes/run/saved_template.h"

#include <string.h>

/* All behind a predictor of two folders: an adapter's template as a recipe, and its job. */
struct lorac_whole {
    struct lorac_recipe recipe;
    struct lorac_job *job;
    struct lorac_adapter *adapter;
    struct lorac_saved *saved;
    struct lorac_socket socket;
    char **names; // (columns) the template's variables
};

void lorac_whole_close(struct lorac_whole *w)
{
    if (!w) { return; }
    lorac_adapter_free(w->adapter);
    lorac_job_close(w->job);
    lorac_mem_free(w->recipe.data.columns.at);
    lorac_mem_free(w->recipe.model.path);
    lorac_mem_free(w->names);
    lorac_mem_free(w->saved);
    lorac_mem_free(w);
}

/* ---- a model's folder and an adapter's ---- */

/* Every variable of the template is a column of its own name, in the order of the texts. */
static enum lorac_status name_columns(struct lorac_whole *w, struct lorac_err *err)
{
    struct lorac_recipe_map *columns = &w->recipe.data.columns;
    struct lorac_buf both = {0};
    const bool whole = w->saved->chat && !w->saved->prompt[0];
    lorac_buf_printf(&both, "%s%s%s", whole ? "{messages}" : w->saved->prompt, w->saved->completion,
                     w->saved->system ? w->saved->system : "");
    enum lorac_status st = both.no_memory
                               ? lorac_fail(err, LORAC_ENOMEM, "no memory to predict")
                               : lorac_template_variables(&w->names, &columns->n, both.at, err);
    lorac_buf_free(&both);
    if (st) { return st; }
    columns->at = lorac_mem_new(columns->n + 1, sizeof *columns->at);
    if (!columns->at) { return lorac_fail(err, LORAC_ENOMEM, "no memory to predict"); }
    for (size_t i = 0; i < columns->n; i++) {
        columns->at[i] = (struct lorac_recipe_pair){w->names[i], w->names[i]};
    }
    return LORAC_OK;
}

static enum lorac_status copy_labels(struct lorac_job *j, const struct lorac_saved *s,
                                     const char *variable, struct lorac_err *err)
{
    j->label_variable = lorac_mem_string(variable, strlen(variable));
    j->labels = lorac_mem_new(s->K, sizeof *j->labels);
    bool there = j->label_variable && j->labels;
    while (there && j->K < s->K) {
        j->labels[j->K] = lorac_mem_string(s->labels[j->K], strlen(s->labels[j->K]));
        there = j->labels[j->K++];
    }
    return there ? LORAC_OK : lorac_fail(err, LORAC_ENOMEM, "no memory to predict");
}

/* The labels, and the variable that they fill: the completion's only one. */
static enum lorac_status find_labels(struct lorac_whole *w, struct lorac_err *err)
{
    char **names = NULL;
    size_t n = 0;
    enum lorac_status st = lorac_template_variables(&names, &n, w->saved->completion, err);
    if (!st && n != 1) {
        st = lorac_fail(err, LORAC_EUSER,
                        "the adapter's template.completion has %zu variables, expected one: the "
                        "label",
                        n);
    }
    if (!st) { st = copy_labels(w->job, w->saved, names[0], err); }
    lorac_mem_free(names);
    return st;
}

static enum lorac_status load_adapter(struct lorac_whole *w, const char *dir, struct lorac_err *err)
{
    enum lorac_status st = lorac_peft_load(&w->adapter, w->job->model, dir, false, err);
    if (!st) { st = lorac_saved_read(&w->saved, w->adapter->template_json, err); }
    if (!st && !w->saved) {
        st = lorac_fail(err, LORAC_EUSER,
                        "%s: carries no template; expected an adapter that lorac trained", dir);
    }
    if (!st && !w->adapter->n_full && !lorac_adapter_changes(w->adapter)) {
        st = lorac_fail(err, LORAC_EUSER, "%s: %s: the adapter changes nothing", dir,
                        lorac_adapter_idle_text(w->adapter));
    }
    if (!st) { st = lorac_template_check_tokenizer(w->adapter, w->job->tokenizer, err); }
    if (!st) { w->socket = lorac_adapter_socket(w->adapter); }
    return st;
}

static enum lorac_status open_whole(struct lorac_whole *w, const char *model, const char *adapter,
                                    struct lorac_err *err)
{
    enum { LONGEST = 2048 };
    struct lorac_recipe *r = &w->recipe;
    struct lorac_job *j = lorac_mem_new(1, sizeof *j);
    w->job = j;
    if (!j) { return lorac_fail(err, LORAC_ENOMEM, "no memory to predict"); }
    j->recipe = r;
    enum lorac_status st = lorac_device_outline(&j->dev, NULL, 0, err);
    if (!st) { st = lorac_hub_find(&r->model.path, model, NULL, err); }
    if (!st) { st = lorac_tokenizer_open(&j->tokenizer, r->model.path, err); }
    if (!st) { st = lorac_job_open_model(j, err); }
    if (!st) { st = load_adapter(w, adapter, err); }
    if (!st) { st = name_columns(w, err); }
    if (st) { return st; }
    size_t most = j->model->config.max_positions;
    r->model.max_length = most < LONGEST ? most : LONGEST;
    r->data.on_too_long = LORAC_LONG_ERROR;
    const bool whole = w->saved->chat && !w->saved->prompt[0];
    r->templates.prompt = whole ? NULL : w->saved->prompt;
    r->templates.completion = whole ? NULL : w->saved->completion;
    r->templates.append_eos = w->saved->append_eos;
    r->templates.system = w->saved->system;
    r->templates.date = w->saved->date;
    if (w->saved->chat) {
        r->templates.kind = LORAC_RECIPE_TEMPLATE_CHAT;
        st = lorac_chat_open_for(&j->chat, r->model.path, adapter, j->tokenizer, err);
    }
    const char *const *names = (const char *const *)w->names;
    if (!st) { st = lorac_job_texts(j, names, r->data.columns.n, NULL, err); }
    if (st) { return st; }
    return w->saved->K ? find_labels(w, err) : LORAC_OK;
}

enum lorac_status lorac_predictor_open(struct lorac_predictor **out, const char *model,
                                       const char *adapter, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_whole *w = lorac_mem_new(1, sizeof *w);
    if (!w) { return lorac_fail(err, LORAC_ENOMEM, "no memory to predict"); }
    enum lorac_status st = open_whole(w, model, adapter, err);
    if (!st) {
        st = lorac_predictor_new(out, w->job, &w->socket, lorac_sampling_defaults.max_tokens, err);
    }
    if (st) {
        lorac_whole_close(w);
        return st;
    }
    lorac_predictor_own(*out, w);
    return LORAC_OK;
}
