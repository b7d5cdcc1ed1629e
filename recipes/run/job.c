/* job.c - see job.h. */
#include "recipes/run/job.h"

#include "base/checkpoint/hub.h"
#include "base/core/clock.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/run/heads.h"
#include "recipes/run/labels.h"

#include <stdio.h>
#include <string.h>

/* ---- data ---- */

struct lorac_table_format lorac_job_format(const struct lorac_recipe *r)
{
    return (struct lorac_table_format){
        .delimiter = r->data.format.delimiter,
        .quote = r->data.format.quote,
        .header = r->data.format.header,
        .encoding = r->data.format.encoding,
        .kind = r->data.format.kind,
    };
}

static enum lorac_status open_table(struct lorac_table **out, const struct lorac_job *j,
                                    const char *path, struct lorac_err *err)
{
    struct lorac_table_format format = lorac_job_format(j->recipe);
    enum lorac_status st = lorac_table_open(out, path, &format, err);
    size_t n = strlen(path);
    if (st == LORAC_EFORMAT && n > 4 && strcmp(path + n - 4, ".txt") == 0) {
        lorac_err_add(err, " (for plain text write data.kind: text)");
    }
    return st;
}

static int64_t day_of(const struct lorac_recipe *r)
{
    int64_t day = 0; // the recipe was read: it is one
    (void)(r->templates.date && lorac_day_parse(&day, r->templates.date));
    return day;
}

enum lorac_status lorac_job_texts(struct lorac_job *j, const char *const *names, size_t n,
                                  const char *hint, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    const struct lorac_template_options o = {.prompt = r->templates.prompt,
                                             .completion = r->templates.completion,
                                             .variables = names,
                                             .n_variables = n,
                                             .hint = hint};
    if (j->chat) { return lorac_conversation_texts(&j->texts, &o, err); }
    j->texts = (struct lorac_conversation_texts){o.prompt, o.completion, NULL, SIZE_MAX};
    return LORAC_OK;
}

enum lorac_status lorac_job_conversations(struct lorac_conversations **out,
                                          const struct lorac_job *j, const char *const *names,
                                          size_t n, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    const struct lorac_conversations_options o = {
        .chat = j->chat,
        .tokenizer = j->tokenizer,
        .form = {.prompt = r->templates.prompt,
                 .completion = r->templates.completion,
                 .variables = names,
                 .n_variables = n},
        .system = r->templates.system,
        .append_eos = r->templates.append_eos,
        .dated = r->templates.date != NULL,
        .day = day_of(r),
    };
    return lorac_conversations_open(out, &o, err);
}

enum lorac_status lorac_job_open_set(struct lorac_dataset **out, const struct lorac_job *j,
                                     const struct lorac_table *table, const uint32_t *rows,
                                     size_t n_rows, const struct lorac_shots *shots,
                                     struct lorac_err *err)
{
    *out = NULL;
    const struct lorac_recipe *r = j->recipe;
    size_t n_columns = r->data.columns.n;
    size_t n_labels = r->data.labels.map.n;
    const bool head = lorac_job_has_head(j);
    enum lorac_status st = LORAC_OK;
    struct lorac_variable *variables = lorac_mem_new(n_columns + 1, sizeof *variables);
    struct lorac_label *labels = lorac_mem_new(n_labels + 1, sizeof *labels);
    if (!variables || !labels) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for a dataset"); }
    for (size_t i = 0; i < n_columns && !st; i++) {
        variables[i] =
            (struct lorac_variable){r->data.columns.at[i].key, r->data.columns.at[i].value};
    }
    for (size_t i = 0; i < n_labels && !st; i++) {
        labels[i] =
            (struct lorac_label){r->data.labels.map.at[i].key, r->data.labels.map.at[i].value};
    }
    struct lorac_dataset_options o = {
        .variables = variables,
        .n_variables = n_columns,
        .label_variable = j->label_variable,
        .labels = labels,
        .n_labels = n_labels,
        .on_unknown_label = r->data.labels.unknown,
        .on_empty = r->data.on_empty,
        .on_too_long = r->data.on_too_long,
        .duplicates = r->data.duplicates,
        .prompt = head ? j->texts.prompt : r->templates.prompt,
        .completion = head ? j->texts.completion : r->templates.completion,
        .chat = j->chat,
        .system = r->templates.system,
        .dated = r->templates.date != NULL,
        .day = day_of(r),
        .append_eos = r->templates.append_eos,
        .train_on = r->templates.train_on,
        .objective = lorac_job_objective(j),
        .classes = (const char *const *)j->labels,
        .K = head ? j->K : 0,
        .separator = r->data.labels.separator,
        .frame = &j->frame,
        .max_length = r->model.max_length,
        .cache = lorac_dataset_options_default().cache,
        .shots = shots,
        .rows = rows,
        .n_rows = n_rows,
    };
    if (!st) { st = lorac_dataset_open(out, table, j->tokenizer, &o, err); }
    if (!st && j->model) { st = lorac_job_check_ids(j, *out, err); }
    if (st) {
        lorac_dataset_close(*out);
        *out = NULL;
    }
    lorac_mem_free(variables);
    lorac_mem_free(labels);
    return st;
}

/* Divide the training table by data.valid: {split, stratify}. */
static enum lorac_status split_table(struct lorac_job *j, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    struct lorac_classes classes = {0};
    const char *stratify = r->data.valid.stratify;
    size_t column = 0;
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; stratify && i < r->data.columns.n; i++) { // a variable's name will do, too
        if (strcmp(r->data.columns.at[i].key, stratify) == 0) {
            stratify = r->data.columns.at[i].value;
            break;
        }
    }
    if (stratify) {
        st = lorac_table_column_find(&column, j->train.table, stratify, err);
        if (!st) {
            st = lorac_classes_find(&classes, j->train.table, column,
                                    lorac_table_rows(j->train.table), err);
        }
        if (st) { lorac_err_prefix(err, "data.valid.stratify: "); }
    }
    if (!st) {
        st = lorac_split_make(&j->valid.split, lorac_table_rows(j->train.table),
                              r->data.valid.fraction, stratify ? &classes : NULL, r->seed, err);
        if (st) { lorac_err_prefix(err, "data.valid: %s: ", r->data.train.at[0]); }
    }
    lorac_classes_free(&classes);
    return st;
}

/* Tokenise texts into `data`. */
static enum lorac_status open_text_set(struct lorac_data *data, const struct lorac_texts *texts,
                                       bool held_out, const struct lorac_job *j,
                                       struct lorac_err *err)
{
    const struct lorac_text_options o = {
        .held_out = held_out,
        .append_eos = j->recipe->templates.append_eos && !lorac_job_objective(j)->masks,
        .max_length = j->recipe->model.max_length,
        .objective = lorac_job_objective(j),
        .mask_share = j->recipe->objective.mask_share,
    };
    enum lorac_status st = lorac_dataset_open_texts(&data->set, texts, j->tokenizer, &o, err);
    return st || !j->model ? st : lorac_job_check_ids(j, data->set, err);
}

/* Files of their own into `data`: a table, or texts. */
static enum lorac_status open_files(struct lorac_data *data, const struct lorac_recipe_list *files,
                                    const struct lorac_job *j, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    struct lorac_texts *texts = NULL;
    if (j->recipe->data.kind == LORAC_RECIPE_DATA_TABLE) {
        st = open_table(&data->table, j, files->at[0], err);
        if (!st) { st = lorac_job_open_set(&data->set, j, data->table, NULL, 0, NULL, err); }
        if (st && err && strstr(err->text, "data.format.")) { // the advice is about one of several
            lorac_err_add(err,
                          "; data.train is read with data.format, too: both are written alike");
        }
        return st;
    }
    st = lorac_texts_open(&texts, (const char *const *)files->at, files->n,
                          j->recipe->data.separator, err);
    if (!st) { st = open_text_set(data, texts, false, j, err); }
    lorac_texts_close(texts);
    return st;
}

enum lorac_status lorac_job_open_test(struct lorac_job *j, struct lorac_err *err)
{
    const struct lorac_recipe_list *files = &j->recipe->data.test;
    if (!files->n) {
        return lorac_fail(err, LORAC_EUSER, "the recipe names no data.test to evaluate on");
    }
    enum lorac_status st = open_files(&j->test, files, j, err);
    return st ? st : lorac_labels_check(j, j->test.set, "test", err);
}

static enum lorac_status open_texts(struct lorac_job *j, unsigned parts, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    struct lorac_texts *texts = NULL;
    bool splits = r->data.valid.kind == LORAC_RECIPE_SPLIT_FRACTION;
    bool valid = parts & (LORAC_JOB_TRAIN | LORAC_JOB_VALID);
    enum lorac_status st = LORAC_OK;
    if ((parts & LORAC_JOB_TRAIN) || (valid && splits)) {
        st = lorac_texts_open(&texts, (const char *const *)r->data.train.at, r->data.train.n,
                              r->data.separator, err);
    }
    if (!st && texts && r->data.separator && lorac_texts_separators(texts) == 0) {
        st = lorac_fail(
            err, LORAC_EUSER,
            "data.separator: stands nowhere in %s%s; without one (null) each file is one "
            "document",
            r->data.train.at[0], r->data.train.n > 1 ? " or the files after it" : "");
    }
    if (!st && texts && splits) {
        st = lorac_texts_split(texts, r->data.valid.fraction, r->seed, err);
        if (st) { lorac_err_prefix(err, "data.valid: %s: ", r->data.train.at[0]); }
    }
    if (!st && (parts & LORAC_JOB_TRAIN)) { st = open_text_set(&j->train, texts, false, j, err); }
    if (!st && valid && splits) { st = open_text_set(&j->valid, texts, true, j, err); }
    lorac_texts_close(texts);
    return st;
}

static enum lorac_status open_tables(struct lorac_job *j, unsigned parts, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    struct lorac_split *split = &j->valid.split;
    bool splits = r->data.valid.kind == LORAC_RECIPE_SPLIT_FRACTION;
    bool valid = parts & (LORAC_JOB_TRAIN | LORAC_JOB_VALID);
    enum lorac_status st = open_table(&j->train.table, j, r->data.train.at[0], err);
    if (!st && !lorac_job_has_head(j)) { st = lorac_labels_find(j, err); }
    if (!st && splits) { st = split_table(j, err); }
    if (!st && lorac_job_has_head(j)) { st = lorac_head_find(j, err); }
    if (!st && (parts & LORAC_JOB_TRAIN)) {
        st = lorac_job_open_set(&j->train.set, j, j->train.table, split->rest, split->n_rest, NULL,
                                err);
        if (!st && lorac_job_has_head(j)) { st = lorac_head_settle(j, err); }
    }
    lorac_mem_free(split->rest); // of a large table: the training set knows its rows
    split->rest = NULL;
    split->n_rest = 0;
    if (!st && valid && splits) {
        st = lorac_job_open_set(&j->valid.set, j, j->train.table, split->part, split->n_part, NULL,
                                err);
    }
    return st;
}

static enum lorac_status open_data(struct lorac_job *j, unsigned parts, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    bool valid = parts & (LORAC_JOB_TRAIN | LORAC_JOB_VALID);
    enum lorac_status st = r->data.kind == LORAC_RECIPE_DATA_TEXT ? open_texts(j, parts, err)
                                                                  : open_tables(j, parts, err);
    if (!st && valid && r->data.valid.kind == LORAC_RECIPE_SPLIT_PATH) {
        st = open_files(&j->valid, &r->data.valid.paths, j, err);
        if (!st) { st = lorac_labels_check(j, j->valid.set, "valid", err); }
    }
    if (!st && (parts & LORAC_JOB_TEST)) { st = lorac_job_open_test(j, err); }
    return st;
}

enum lorac_status lorac_job_check_length(const struct lorac_job *j, struct lorac_err *err)
{
    const struct {
        const struct lorac_data *data;
        const char *name;
    } parts[] = {{&j->train, "train"}, {&j->valid, "valid"}, {&j->test, "test"}};
    size_t limit = j->model->config.max_positions;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (!parts[i].data->set) { continue; }
        size_t longest = lorac_dataset_counts(parts[i].data->set)->longest;
        if (longest <= limit) { continue; }
        return lorac_fail(
            err, LORAC_EUSER,
            "model.max_length: %zu, and the longest row of data.%s has %zu tokens, but "
            "%s reads at most %zu; expected %zu or less",
            j->recipe->model.max_length, parts[i].name, longest, j->model->dir, limit, limit);
    }
    return LORAC_OK;
}

static enum lorac_status find_compute(enum lorac_compute *out, const struct lorac_job *j,
                                      struct lorac_err *err)
{
    enum lorac_status st = lorac_compute_find(out, &j->dev, j->recipe->model.compute, err);
    if (st) { lorac_err_prefix(err, "model.compute: "); }
    return st;
}

/* Does the model predict tokens as the objective asks it to? */
static enum lorac_status check_words(const struct lorac_job *j, struct lorac_err *err)
{
    const struct lorac_objective *o = lorac_job_objective(j);
    if (!o->masks) { return lorac_model_check_continues(j->model, err); }
    if (j->model->config.bidirectional) { return LORAC_OK; }
    return lorac_fail(
        err, LORAC_EUSER,
        "objective: %s hides tokens of an encoder, whose tokens see their whole text; "
        "%s is a decoder: expected an encoder, or objective: causal_lm",
        o->name, j->model->dir);
}

enum lorac_status lorac_job_open_model(struct lorac_job *j, struct lorac_err *err)
{
    const char *dir = j->recipe->model.path;
    enum lorac_compute compute = LORAC_FLOAT32;
    enum lorac_status st = find_compute(&compute, j, err);
    if (st) { return st; }
    const struct lorac_model_options o = {
        .compute = compute,
        .task = lorac_job_objective(j)->task,
        .labels = lorac_job_objective(j)->target == LORAC_TARGET_NUMBER ? 1 : j->K,
        .seed = j->recipe->seed,
    };
    st = lorac_model_open_for(&j->model, &j->dev, dir, &o, err);
    if (st) { lorac_hub_explain(dir, err); }
    if (!st && o.task == LORAC_TASK_LM) { st = check_words(j, err); }
    if (!st) { lorac_head_fit(j); }
    const struct lorac_data *const data[] = {&j->train, &j->valid, &j->test};
    for (size_t i = 0; i < sizeof data / sizeof *data && !st; i++) {
        if (data[i]->set) { st = lorac_job_check_ids(j, data[i]->set, err); }
    }
    return st;
}

/* What a key names is there; if not, the way to it. */
static enum lorac_status check_folder(const char *key, const char *path, const char *given,
                                      struct lorac_err *err)
{
    char *found = NULL; // path itself: the recipe was read with what is there
    enum lorac_status st = lorac_hub_find(&found, path, given, err);
    if (st) { lorac_err_prefix(err, "%s: ", key); }
    lorac_mem_free(found);
    return st;
}

/* Device, tokenizer and, where parts ask for it, the model. */
static enum lorac_status open_outline(struct lorac_job *j, size_t threads, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    enum lorac_compute compute = LORAC_FLOAT32;
    enum lorac_status st =
        lorac_device_outline(&j->dev, NULL, (int)(threads ? threads : r->train.threads), err);
    if (!st) { st = find_compute(&compute, j, err); } // before all the work
    if (!st) { st = check_folder("model.path", r->model.path, r->model.given, err); }
    if (!st) {
        st = lorac_tokenizer_open(&j->tokenizer, r->model.path, err);
        if (st) { lorac_hub_explain(r->model.path, err); }
    }
    return st;
}

static enum lorac_status open_job(struct lorac_job **out, const struct lorac_recipe *r,
                                  const char *adapter, unsigned parts, size_t threads,
                                  const struct lorac_job *lender, struct lorac_err *err)
{
    *out = NULL;
    struct lorac_job *j = lorac_mem_new(1, sizeof *j);
    if (!j) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the run"); }
    j->recipe = r;
    j->lender = lender;
    enum lorac_status st = LORAC_OK;
    if (lender) {
        j->dev = lender->dev;
        j->tokenizer = lender->tokenizer;
        j->model = lender->model;
        lorac_head_fit(j);
    } else {
        st = open_outline(j, threads, err);
    }
    if (!st && r->templates.kind == LORAC_RECIPE_TEMPLATE_CHAT) {
        st = lorac_chat_open_for(&j->chat, r->model.path, adapter, j->tokenizer, err);
        if (st == LORAC_EUSER) { lorac_err_prefix(err, "template: chat: "); }
    }
    if (!st) { st = open_data(j, parts, err); }
    if (!st && !lender && !(parts & LORAC_JOB_NO_MODEL)) { st = lorac_job_open_model(j, err); }
    if (st) {
        lorac_job_close(j);
        return st;
    }
    *out = j;
    return LORAC_OK;
}

enum lorac_status lorac_job_open(struct lorac_job **out, const struct lorac_recipe *r,
                                 unsigned parts, struct lorac_err *err)
{
    return open_job(out, r, r->adapter.from, parts, 0, NULL, err);
}

enum lorac_status lorac_job_open_for(struct lorac_job **out, const struct lorac_recipe *r,
                                     const char *adapter, unsigned parts, struct lorac_err *err)
{
    return open_job(out, r, adapter, parts, 0, NULL, err);
}

enum lorac_status lorac_job_open_on(struct lorac_job **out, const struct lorac_recipe *r,
                                    unsigned parts, size_t threads, const struct lorac_job *lender,
                                    struct lorac_err *err)
{
    return open_job(out, r, r->adapter.from, parts, threads, lender, err);
}

enum lorac_status lorac_job_borrow(struct lorac_job **out, const struct lorac_job *lender,
                                   const struct lorac_recipe *r, struct lorac_err *err)
{
    *out = lorac_mem_new(1, sizeof **out);
    if (!*out) { return lorac_fail(err, LORAC_ENOMEM, "no memory for the run"); }
    **out = *lender;
    (*out)->recipe = r;
    (*out)->lender = lender;
    enum lorac_status st = lorac_head_check(*out, err);
    if (st) {
        lorac_job_close(*out);
        *out = NULL;
    }
    return st;
}

/* Close what is not the lender's. */
static void close_data(struct lorac_data *d, const struct lorac_data *lent)
{
    if (d->set && d->set == lent->set) { return; }
    lorac_dataset_close(d->set);
    lorac_split_free(&d->split);
    lorac_table_close(d->table);
}

void lorac_job_close(struct lorac_job *j)
{
    static const struct lorac_job nobody = {0};
    if (!j) { return; }
    const struct lorac_job *lender = j->lender ? j->lender : &nobody;
    close_data(&j->test, &lender->test);
    close_data(&j->valid, &lender->valid);
    close_data(&j->train, &lender->train);
    if (j->labels != lender->labels) {
        for (size_t k = 0; k < j->K; k++) {
            lorac_mem_free(j->labels[k]);
        }
        lorac_mem_free(j->labels);
    }
    if (j->label_variable != lender->label_variable) { lorac_mem_free(j->label_variable); }
    if (j->prompt != lender->prompt) { lorac_mem_free(j->prompt); }
    if (j->label_weight != lender->label_weight) { lorac_mem_free(j->label_weight); }
    if (j->chat != lender->chat) { lorac_chat_free(j->chat); }
    if (j->model != lender->model) { lorac_model_close(j->model); }
    if (!j->lender) {
        lorac_tokenizer_free(j->tokenizer);
        lorac_device_close(&j->dev);
    }
    lorac_mem_free(j);
}

/* ---- the adapter ---- */

struct lorac_adapter_options lorac_job_adapter_options(const struct lorac_recipe *r, size_t L,
                                                       size_t *list)
{
    struct lorac_adapter_options o = {
        .exclude = (const char *const *)r->adapter.exclude.at,
        .n_exclude = r->adapter.exclude.n,
        .feedforward = (const char *const *)r->adapter.feedforward.at,
        .n_feedforward = r->adapter.feedforward.n,
        .method = r->adapter.method,
        .overrides = r->adapter.overrides.at,
        .n_overrides = r->adapter.overrides.n,
        .rank = r->adapter.rank,
        .alpha = r->adapter.alpha,
        .scaling = r->adapter.scaling,
        .dropout = r->adapter.dropout,
        .init = r->adapter.init,
        .seed = r->seed,
        .train_also = (const char *const *)r->adapter.train_also.names.at,
        .n_train_also = r->adapter.train_also.names.n,
        .train_all = r->adapter.train_also.all,
        .tie = r->adapter.tie,
        .bias = r->adapter.bias,
    };
    if (r->adapter.targets.kind == LORAC_RECIPE_TARGETS_REGEX) {
        o.regex = r->adapter.targets.regex;
    }
    if (r->adapter.targets.kind == LORAC_RECIPE_TARGETS_LIST) {
        o.targets = (const char *const *)r->adapter.targets.names.at;
        o.n_targets = r->adapter.targets.names.n;
    }
    const struct lorac_recipe_layers *layers = &r->adapter.layers;
    size_t from = 0;
    size_t to = L - 1;
    switch (layers->kind) {
    case LORAC_RECIPE_LAYERS_ALL:
        return o;
    case LORAC_RECIPE_LAYERS_LIST: // layers that the model does not have are matching's to refuse
        o.layers = layers->at;
        o.n_layers = layers->n;
        return o;
    case LORAC_RECIPE_LAYERS_LAST:
        from = layers->last < L ? L - layers->last : 0;
        break;
    case LORAC_RECIPE_LAYERS_RANGE:
        from = layers->first;
        to = layers->to;
        break;
    }
    for (size_t l = from; l <= to && o.n_layers < L; l++) {
        list[o.n_layers++] = l;
    }
    o.layers = list;
    return o;
}

static enum lorac_status outline(struct lorac_adapter **out, const struct lorac_model *m,
                                 const struct lorac_adapter_options *o, struct lorac_err *err)
{
    struct lorac_match *match = lorac_mem_new(m->n_modules, sizeof *match);
    if (!match) { return lorac_fail(err, LORAC_ENOMEM, "no memory for an adapter"); }
    enum lorac_status st = lorac_match_modules(match, m, o, err);
    if (!st) { st = lorac_adapter_outline(out, m, match, o->method, o->scaling, o->tie, err); }
    lorac_mem_free(match);
    return st;
}

static enum lorac_status make_adapter(struct lorac_adapter **out, const struct lorac_job *j,
                                      bool values, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    *out = NULL;
    if (r->adapter.from) {
        enum lorac_status st = check_folder("adapter.from", r->adapter.from, r->adapter.given, err);
        if (st) { return st; }
        st = lorac_peft_load(out, j->model, r->adapter.from, false, err);
        if (st) { lorac_hub_explain(r->adapter.from, err); }
        if (!st) { lorac_adapter_set_dropout(*out, r->adapter.dropout, r->seed); }
        return st;
    }
    size_t L = j->model->config.L;
    enum lorac_status st = LORAC_OK;
    size_t *list = lorac_mem_new(L, sizeof *list);
    if (!list) {
        st = lorac_fail(err, LORAC_ENOMEM, "no memory for an adapter");
    } else if (r->adapter.layers.kind == LORAC_RECIPE_LAYERS_RANGE && r->adapter.layers.to >= L) {
        st = lorac_fail(err, LORAC_EUSER,
                        "adapter.layers: there is no layer %zu, the model has 0 to %zu",
                        r->adapter.layers.to, L - 1);
    } else if (r->adapter.layers.kind == LORAC_RECIPE_LAYERS_LAST && r->adapter.layers.last > L) {
        st = lorac_fail(err, LORAC_EUSER, "adapter.layers: last:%zu, but the model has %zu layers",
                        r->adapter.layers.last, L);
    } else {
        struct lorac_adapter_options o = lorac_job_adapter_options(r, L, list);
        o.progress = j->factoring;
        o.self = j->self;
        st = values ? lorac_adapter_new(out, j->model, &o, err) : outline(out, j->model, &o, err);
    }
    lorac_mem_free(list);
    return st;
}

enum lorac_status lorac_job_adapter(struct lorac_adapter **out, const struct lorac_job *j,
                                    struct lorac_err *err)
{
    return make_adapter(out, j, true, err);
}

enum lorac_status lorac_job_adapter_outline(struct lorac_adapter **out, const struct lorac_job *j,
                                            struct lorac_err *err)
{
    return make_adapter(out, j, false, err);
}
