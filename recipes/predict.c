/* predict.c - see predict.h. */
#include "recipes/predict.h"

#include "base/core/file.h"
#include "base/core/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct predictor {
    const struct lorac_job *j;
    const struct lorac_socket *socket;
    struct lorac_table *table;
    struct lorac_template *template;
    size_t n;                  // variables
    const char **names;        // (n) borrowed
    size_t *column;            // (n) of the table; SIZE_MAX: not there and not needed
    size_t label;              // index of the label variable, SIZE_MAX: none
    size_t room;               // tokens behind a prompt: of the longest label, or one
    struct lorac_cell *values; // (n)
    struct lorac_ids *answers; // (K) label completions
    struct lorac_ids prompt;
    struct lorac_batch *batch;
    struct lorac_pass *pass;
    struct lorac_generator *generator;
    float *nll;                  // (targets)
    size_t cells;                // of the line being written
    struct lorac_predicted seen; // while the rows are checked
};

/* Which column of the new table each variable of the template reads. */
static enum lorac_status map_columns(struct predictor *p, struct lorac_err *err)
{
    const struct lorac_recipe *r = p->j->recipe;
    const struct lorac_table *train = p->j->train.table;
    p->n = r->data.columns.n ? r->data.columns.n : lorac_table_columns(train);
    p->names = lorac_mem_new(p->n, sizeof *p->names);
    p->column = lorac_mem_new(p->n, sizeof *p->column);
    p->values = lorac_mem_new(p->n, sizeof *p->values);
    if (!p->names || !p->column || !p->values) {
        return lorac_fail(err, LORAC_ENOMEM, "no memory to predict");
    }
    p->label = SIZE_MAX;
    for (size_t i = 0; i < p->n; i++) {
        p->names[i] =
            r->data.columns.n ? r->data.columns.at[i].key : lorac_table_column_name(train, i);
        if (p->j->label_variable && strcmp(p->names[i], p->j->label_variable) == 0) {
            p->label = i;
        }
    }
    struct lorac_template_options o = {r->template.prompt, r->template.completion, p->names, p->n};
    enum lorac_status st = lorac_template_parse(&p->template, &o, err);
    size_t used = 0;
    for (size_t i = 0; i < p->n && !st; i++) {
        p->column[i] = SIZE_MAX;
        if (!lorac_template_prompt_uses(p->template, i)) { continue; }
        used++;
        const char *name = r->data.columns.n ? r->data.columns.at[i].value : p->names[i];
        st = lorac_table_column_find(&p->column[i], p->table, name, err);
    }
    if (!st && used == 0) {
        st = lorac_fail(err, LORAC_EUSER,
                        "template.prompt holds no variable: every row of %s would have the same "
                        "answer",
                        lorac_table_file(p->table));
    }
    for (size_t c = 0; c < lorac_table_columns(p->table) && !st; c++) {
        const char *name = lorac_table_column_name(p->table, c);
        if (strcmp(name, "prediction") == 0 || strcmp(name, "probability") == 0) {
            st =
                lorac_fail(err, LORAC_EUSER, "%s: has a column '%s' already; predict adds that one",
                           lorac_table_file(p->table), name);
        }
    }
    return st;
}

/* The ids of every label as a completion; room for a prompt and all of them. */
static enum lorac_status open_choice(struct predictor *p, struct lorac_err *err)
{
    size_t K = p->j->K;
    size_t rows = p->j->recipe->model.max_length;
    enum lorac_status st = LORAC_OK;
    p->answers = lorac_mem_new(K, sizeof *p->answers);
    if (!p->answers) { return lorac_fail(err, LORAC_ENOMEM, "no memory to predict"); }
    for (size_t k = 0; k < K && !st; k++) {
        p->values[p->label] = (struct lorac_cell){p->j->labels[k], strlen(p->j->labels[k])};
        st = lorac_completion_encode(&p->answers[k], p->template, p->j->tokenizer, p->values,
                                     p->j->recipe->template.append_eos, err);
        rows += p->answers[k].n;
        p->room = p->answers[k].n > p->room ? p->answers[k].n : p->room;
        if (!st && p->answers[k].n == 0) {
            st = lorac_fail(err, LORAC_EUSER, "label '%.60s' has no tokens, expected at least one",
                            p->j->labels[k]);
        }
    }
    struct lorac_pass_options o = {.max_rows = rows, .max_positions = rows};
    p->nll = st ? NULL : lorac_mem_new(rows, sizeof *p->nll);
    if (!st && !p->nll) { st = lorac_fail(err, LORAC_ENOMEM, "no memory to predict"); }
    if (!st) { st = lorac_batch_new(&p->batch, rows, K + 1, rows, err); }
    if (!st) { st = lorac_pass_new(&p->pass, p->j->model, p->socket, &o, err); }
    return st;
}

static void close_predictor(struct predictor *p)
{
    for (size_t k = 0; p->answers && k < p->j->K; k++) {
        lorac_ids_free(&p->answers[k]);
    }
    lorac_mem_free(p->answers);
    lorac_ids_free(&p->prompt);
    lorac_generator_free(p->generator);
    lorac_pass_free(p->pass);
    lorac_batch_free(p->batch);
    lorac_template_free(p->template);
    lorac_table_close(p->table);
    lorac_mem_free(p->nll);
    lorac_mem_free(p->values);
    lorac_mem_free(p->column);
    lorac_mem_free(p->names);
}

/* The prompt's ids for a row, cut from its start as in training where it is too long (BOS stays). */
static enum lorac_status encode_prompt(struct predictor *p, const struct lorac_row *row,
                                       struct lorac_err *err)
{
    size_t room = p->room;
    bool blank = false;
    for (size_t i = 0; i < p->n; i++) {
        p->values[i] =
            p->column[i] == SIZE_MAX ? (struct lorac_cell){"", 0} : row->cells[p->column[i]];
        if (p->column[i] == SIZE_MAX || !lorac_cell_is_blank(&p->values[i])) { continue; }
        blank = true;
        if (p->j->recipe->data.on_empty == LORAC_RECIPE_EMPTY_KEEP) { continue; }
        return lorac_fail(
            err, LORAC_EUSER,
            "%s:%llu: column '%s' is blank, expected text (data.on_empty: keep asks all the "
            "same)",
            lorac_table_file(p->table), (unsigned long long)row->line,
            lorac_table_column_name(p->table, p->column[i]));
    }
    p->seen.empty += blank;
    p->prompt.n = 0;
    enum lorac_status st =
        lorac_prompt_encode(&p->prompt, p->template, p->j->tokenizer, p->values, err);
    if (st) { return st; }
    size_t max = p->j->recipe->model.max_length;
    if (room + 2 > max || p->prompt.n == 0) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: line %llu: no token of the prompt fits model.max_length",
                          lorac_table_file(p->table), (unsigned long long)row->line);
    }
    size_t keep = max - room;
    if (p->prompt.n > keep && p->j->recipe->data.on_too_long == LORAC_RECIPE_TOO_LONG_ERROR) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: line %llu: a prompt of %zu tokens, at most %zu fit model.max_length "
                          "%zu (data.on_too_long: error)",
                          lorac_table_file(p->table), (unsigned long long)row->line, p->prompt.n,
                          keep, max);
    }
    if (p->prompt.n > keep) {
        bool bos = p->prompt.at[0] == lorac_tokenizer_bos(p->j->tokenizer);
        size_t cut = p->prompt.n - keep;
        memmove(p->prompt.at + bos, p->prompt.at + bos + cut, (keep - bos) * sizeof *p->prompt.at);
        p->prompt.n = keep;
        p->seen.cut++;
    }
    size_t limit = p->j->model->config.max_positions;
    if (p->prompt.n + room > limit) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: line %llu: a prompt of %zu tokens and its answer do not fit the %zu "
                          "that %s reads; expected model.max_length %zu or less, found %zu",
                          lorac_table_file(p->table), (unsigned long long)row->line, p->prompt.n,
                          limit, p->j->model->dir, limit, max);
    }
    return LORAC_OK;
}

/* Every row is read and encoded before the model begins: what cannot be asked is said at once. */
static enum lorac_status check_rows(struct predictor *p, struct lorac_row *row,
                                    struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < lorac_table_rows(p->table) && !st; i++) {
        st = lorac_table_row(row, p->table, i, err);
        if (!st) { st = encode_prompt(p, row, err); }
    }
    return st;
}

/* The likeliest label k and its probability among all. */
static enum lorac_status choose(size_t *best, double *probability, struct predictor *p,
                                struct lorac_err *err)
{
    struct lorac_batch *b = p->batch;
    size_t K = p->j->K;
    lorac_batch_clear(b);
    int32_t root = lorac_batch_add(b, p->prompt.at, p->prompt.n, -1);
    size_t last = b->N - 1;
    for (size_t k = 0; k < K; k++) { // entry k of nll: the first token of label k
        lorac_batch_score(b, last, p->answers[k].at[0]);
    }
    for (size_t k = 0; k < K; k++) {
        const struct lorac_ids *a = &p->answers[k];
        if (a->n < 2) { continue; }
        size_t row = b->N;
        (void)lorac_batch_add(b, a->at, a->n - 1, root);
        for (size_t i = 1; i < a->n; i++) {
            lorac_batch_score(b, row + i - 1, a->at[i]);
        }
    }
    enum lorac_status st = lorac_pass_forward(p->pass, b, NULL, err);
    if (st) { return st; }
    lorac_pass_loss(p->pass, b, p->nll, false);
    double least = (double)INFINITY;
    double total = 0.0; // sum of exp(-(loss - least))
    size_t at = K;
    for (size_t k = 0; k < K; k++) {
        double loss = (double)p->nll[k];
        for (size_t i = 1; i < p->answers[k].n; i++) {
            loss += (double)p->nll[at++];
        }
        if (!isfinite(loss)) {
            return lorac_fail(err, LORAC_EFORMAT,
                              "the likelihood of label '%.60s' is not finite: are the weights or "
                              "the adapter damaged?",
                              p->j->labels[k]);
        }
        if (loss < least) {
            total = total * exp(loss - least) + 1.0;
            least = loss;
            *best = k;
        } else {
            total += exp(least - loss);
        }
    }
    *probability = 1.0 / total;
    return LORAC_OK;
}

/* Append a cell as CSV: quoted where it has to be. */
static enum lorac_status add_cell(struct lorac_buf *b, struct predictor *p, const char *text,
                                  size_t n, struct lorac_err *err)
{
    char delimiter = p->j->recipe->data.format.delimiter;
    char quote = p->j->recipe->data.format.quote;
    bool plain = true;
    if (p->cells++) { lorac_buf_add(b, &delimiter, 1); }
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        plain = plain && c != delimiter && c != '\n' && c != '\r' && (!quote || c != quote);
    }
    if (plain) {
        lorac_buf_add(b, text, n);
        return LORAC_OK;
    }
    if (!quote) {
        return lorac_fail(
            err, LORAC_EUSER,
            "an answer holds the delimiter or a line end, and data.format.quote is off");
    }
    lorac_buf_add(b, &quote, 1);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == quote) { lorac_buf_add(b, &quote, 1); }
        lorac_buf_add(b, &text[i], 1);
    }
    lorac_buf_add(b, &quote, 1);
    return LORAC_OK;
}

static enum lorac_status predict_row(struct lorac_buf *line, struct predictor *p,
                                     const struct lorac_row *row, size_t max_tokens,
                                     struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t c = 0; c < row->n && !st; c++) {
        st = add_cell(line, p, row->cells[c].at, row->cells[c].n, err);
    }
    if (st) { return st; }
    if (p->j->K) {
        char number[32];
        size_t best = 0;
        double probability = 0.0;
        st = encode_prompt(p, row, err);
        if (!st) { st = choose(&best, &probability, p, err); }
        if (!st) { st = add_cell(line, p, p->j->labels[best], strlen(p->j->labels[best]), err); }
        int n = snprintf(number, sizeof number, "%.6f", probability);
        if (!st) { st = add_cell(line, p, number, (size_t)n, err); }
        return st;
    }
    struct lorac_ids ids = {0};
    struct lorac_buf text = {0};
    enum lorac_finish finish = LORAC_FINISH_END;
    struct lorac_sampling o = lorac_sampling_defaults;
    o.max_tokens = max_tokens;
    lorac_buf_str(&text, "");
    st = encode_prompt(p, row, err);
    if (!st) {
        st = lorac_generate(&ids, &text, &finish, p->generator, p->j->tokenizer, p->prompt.at,
                            p->prompt.n, &o, NULL, NULL, err);
    }
    size_t skip = !st && text.n && text.at[0] == ' '; // the space that joins prompt and completion
    if (!st) { st = add_cell(line, p, text.at + skip, text.n - skip, err); }
    lorac_ids_free(&ids);
    lorac_buf_free(&text);
    return st;
}

static enum lorac_status write_line(struct lorac_out *out, struct lorac_buf *line,
                                    struct predictor *p, struct lorac_err *err)
{
    p->cells = 0;
    lorac_buf_str(line, "\n");
    if (line->no_memory) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a line"); }
    enum lorac_status st = lorac_out_write(out, line->at, line->n, err);
    lorac_buf_clear(line);
    return st;
}

static enum lorac_status write_header(struct lorac_out *out, struct lorac_buf *line,
                                      struct predictor *p, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    for (size_t c = 0; c < lorac_table_columns(p->table) && !st; c++) {
        const char *name = lorac_table_column_name(p->table, c);
        st = add_cell(line, p, name, strlen(name), err);
    }
    if (!st) { st = add_cell(line, p, "prediction", 10, err); }
    if (!st && p->j->K) { st = add_cell(line, p, "probability", 11, err); }
    return st ? st : write_line(out, line, p, err);
}

enum lorac_status lorac_predict(struct lorac_predicted *counts, const struct lorac_job *j,
                                const struct lorac_socket *socket, const char *in,
                                const char *out_path, size_t max_tokens,
                                lorac_progress_fn *progress, void *self, struct lorac_err *err)
{
    const struct lorac_recipe *r = j->recipe;
    struct lorac_table_format format = {
        .delimiter = r->data.format.delimiter,
        .quote = r->data.format.quote,
        .header = r->data.format.header,
    };
    struct predictor p = {.j = j, .socket = socket, .room = 1};
    struct lorac_row row = {0};
    struct lorac_buf line = {0};
    struct lorac_out *out = NULL;
    *counts = (struct lorac_predicted){0};
    if (r->data.kind == LORAC_RECIPE_DATA_TEXT) {
        return lorac_fail(
            err, LORAC_EUSER,
            "the recipe's data is text (data.kind): there is no template that would ask "
            "the rows of %s; lorac generate goes on from a text",
            in);
    }
    enum lorac_status st = lorac_table_open(&p.table, in, &format, err);
    if (!st) { st = map_columns(&p, err); }
    if (!st && j->K) {
        st = open_choice(&p, err);
    } else if (!st) {
        st = lorac_generator_new(&p.generator, j->model, socket, r->model.max_length + max_tokens,
                                 err);
    }
    if (!st) { st = check_rows(&p, &row, err); }
    *counts = p.seen;
    if (!st) { st = lorac_out_open(&out, out_path, err); }
    if (!st && format.header) { st = write_header(out, &line, &p, err); }
    for (size_t i = 0; !st && i < lorac_table_rows(p.table); i++) {
        st = lorac_table_row(&row, p.table, i, err);
        if (!st) { st = predict_row(&line, &p, &row, max_tokens, err); }
        if (!st) { st = write_line(out, &line, &p, err); }
        double done = (double)(i + 1) / (double)lorac_table_rows(p.table);
        if (!st && progress && !progress(self, done)) {
            st = lorac_fail(err, LORAC_EUSER, "interrupted; nothing was written");
        }
        counts->rows = i + 1;
    }
    if (!st) {
        st = lorac_out_commit(out, err);
    } else {
        lorac_out_free(out);
    }
    lorac_row_free(&row);
    lorac_buf_free(&line);
    close_predictor(&p);
    return st;
}
