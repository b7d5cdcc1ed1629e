/* predict.c - see predict.h. */
#include "recipes/run/predict.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "recipes/run/heads.h"
#include "recipes/run/predict_impl.h"

#include <stdio.h>
#include <string.h>

enum { GROUP = LORAC_PREDICT_GROUP };
enum { SHARE_TOKENS = 64 }; // of all prompts, or what they share is not read apart
#define UNASKED SIZE_MAX

/* ---- the table ---- */

/* Which column each variable of the prompt reads. */
static enum lorac_status map_columns(struct lorac_predict_work *w, struct lorac_err *err)
{
    const struct lorac_recipe_map *columns = &w->j->recipe->data.columns;
    for (size_t i = 0; i < lorac_predictor_variables(w->predictor); i++) {
        w->column[i] = SIZE_MAX;
        if (!lorac_predictor_asks(w->predictor, i)) { continue; }
        const char *name =
            columns->n ? columns->at[i].value : lorac_predictor_variable(w->predictor, i);
        enum lorac_status st = lorac_table_column_find(&w->column[i], w->table, name, err);
        if (st) { return st; }
    }
    return LORAC_OK;
}

static enum lorac_status open_as(struct lorac_predict_work *w, char delimiter,
                                 struct lorac_err *err)
{
    const struct lorac_predict_options *o = w->o;
    struct lorac_table_format format = w->format;
    format.delimiter = delimiter;
    enum lorac_status st =
        o->bytes ? lorac_table_parse(&w->table, o->bytes, o->n_bytes, o->in, &format, err)
                 : lorac_table_open(&w->table, o->in, &format, err);
    if (!st) { st = map_columns(w, err); }
    if (st) {
        lorac_table_close(w->table);
        w->table = NULL;
    }
    return st;
}

/* The recipe's delimiter, or another that fits: nothing is guessed where several would. */
static enum lorac_status open_delimited(struct lorac_predict_work *w, struct lorac_err *err)
{
    static const char others[] = ",;\t|";
    char fits = '\0';
    const char usual = w->format.delimiter;
    enum lorac_status st = open_as(w, usual, err);
    if ((st != LORAC_EUSER && st != LORAC_EFORMAT) || w->format.kind != LORAC_TABLE_CSV) {
        return st;
    }
    for (const char *d = others; *d; d++) {
        if (*d == usual || *d == w->format.quote) { continue; }
        enum lorac_status tried = open_as(w, *d, NULL);
        if (tried && tried != LORAC_EUSER && tried != LORAC_EFORMAT) {
            return lorac_fail(err, tried, "%s: could not be read with another delimiter", w->o->in);
        }
        if (tried) { continue; }
        lorac_table_close(w->table);
        w->table = NULL;
        if (fits) { return st; }
        fits = *d;
    }
    if (!fits) { return st; }
    w->counts->delimiter = fits;
    return open_as(w, fits, err);
}

static enum lorac_status guess_encoding(enum lorac_encoding *out,
                                        const struct lorac_predict_work *w, struct lorac_err *err)
{
    struct lorac_map map = {0};
    const struct lorac_predict_options *o = w->o;
    enum lorac_status st = o->bytes ? LORAC_OK : lorac_map_open(&map, o->in, err);
    if (st) { return st; }
    *out = lorac_encoding_guess(o->bytes ? o->bytes : (const char *)map.data,
                                o->bytes ? o->n_bytes : map.size);
    lorac_map_close(&map);
    return LORAC_OK;
}

static enum lorac_status open_encoded(struct lorac_predict_work *w, struct lorac_err *err)
{
    const struct lorac_predict_options *o = w->o;
    enum lorac_encoding seen = w->format.encoding;
    if (o->encoding) { w->format.encoding = *o->encoding; }
    enum lorac_status st = open_delimited(w, err);
    if (st != LORAC_EFORMAT || o->encoding || w->format.kind != LORAC_TABLE_CSV) { return st; }
    struct lorac_err why = {0};
    enum lorac_status guessed = guess_encoding(&seen, w, &why);
    if (guessed) { return lorac_fail(err, guessed, "%s", why.text); }
    if (seen == w->format.encoding) { return st; }
    if (seen != LORAC_ENCODING_UTF8 && seen != LORAC_ENCODING_UTF16) {
        lorac_err_add(err, "; of this table alone: --encoding %s", lorac_encoding_name(seen));
        return st;
    }
    w->format.encoding = seen;
    w->counts->other_encoding = true;
    return open_delimited(w, err);
}

/* A spreadsheet writes its country's delimiter and its system's encoding, whatever the training
 * table had. UTF-8 and UTF-16 are known when they are seen; others are the caller's to name. */
static enum lorac_status open_table(struct lorac_predict_work *w, struct lorac_err *err)
{
    struct lorac_err why = {0}; // of a try that another may follow
    enum lorac_status st = open_encoded(w, &why);
    if (st && err) { *err = why; }
    return st;
}

/* The name of added column `column`: a prediction and, with labels, its probability. */
static void added_name(char name[48], const struct lorac_predict_work *w, size_t column)
{
    size_t i = w->ranks ? column / 2 : column;
    const char *word = w->ranks && column % 2 ? "probability" : "prediction";
    (void)snprintf(name, 48, i ? "%s_%zu" : "%s", word, i + 1);
}

static size_t added_columns(const struct lorac_predict_work *w)
{
    return w->ranks ? 2 * w->top : 1;
}

/* Are the names of the added columns free? */
static enum lorac_status check_names(const struct lorac_predict_work *w, struct lorac_err *err)
{
    char name[48];
    bool named = w->format.header || w->format.kind == LORAC_TABLE_JSONL;
    for (size_t i = 0; named && i < added_columns(w); i++) {
        added_name(name, w, i);
        for (size_t c = 0; c < lorac_table_columns(w->table); c++) {
            if (strcmp(lorac_table_column_name(w->table, c), name) != 0) { continue; }
            return lorac_fail(err, LORAC_EUSER,
                              "%s: has a column '%s' already; predict adds that one: rename it or "
                              "leave it out",
                              w->o->in, name);
        }
    }
    return LORAC_OK;
}

/* ---- a row ---- */

/* Its prompt. *asks: there is one; a row may be left without an answer (data.on_empty: skip). */
static enum lorac_status ask(bool *asks, size_t *cut, struct lorac_predict_work *w, size_t i,
                             struct lorac_err *err)
{
    enum lorac_on_bad on_empty = w->j->recipe->data.on_empty;
    bool blank = false;
    bool lists = false;
    *asks = true;
    *cut = 0;
    enum lorac_status st = lorac_table_row(&w->row, w->table, i, err);
    if (st) { return st; }
    for (size_t v = 0; v < lorac_predictor_variables(w->predictor); v++) {
        size_t c = w->column[v];
        w->values[v] = c == SIZE_MAX ? (struct lorac_cell){"", 0} : w->row.cells[c];
        if (c != SIZE_MAX && w->row.nested && w->row.nested[c] &&
            !lorac_predictor_takes_list(w->predictor, v)) {
            return lorac_fail(err, LORAC_EFORMAT,
                              "%s:%llu: '%s' holds a list or an object, expected text or a number",
                              w->o->in, (unsigned long long)w->row.line,
                              lorac_table_column_name(w->table, c));
        }
        lists = lists || (c != SIZE_MAX && w->row.nested && w->row.nested[c]);
        if (c == SIZE_MAX || !lorac_cell_is_blank(&w->values[v])) { continue; }
        if (lorac_predictor_may_be_blank(w->predictor, v)) { continue; }
        blank = true;
        if (on_empty != LORAC_BAD_ERROR) { continue; }
        return lorac_fail(err, LORAC_EUSER,
                          "%s:%llu: column '%s' is blank, expected text (data.on_empty: keep asks "
                          "all the same, skip leaves such rows without an answer)",
                          w->o->in, (unsigned long long)w->row.line,
                          lorac_table_column_name(w->table, c));
    }
    lorac_predictor_lists(w->predictor, lists);
    w->counts->empty += blank;
    if (blank && on_empty == LORAC_BAD_SKIP) {
        *asks = false;
        w->counts->unasked++;
        return LORAC_OK;
    }
    st = lorac_predictor_prompt(cut, w->predictor, w->values, err);
    if (st) { lorac_err_prefix(err, "%s: line %llu: ", w->o->in, (unsigned long long)w->row.line); }
    return st;
}

/* The prompt that was made last may share less than those before it. */
static enum lorac_status share(struct lorac_predict_work *w, bool first, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    const struct lorac_ids *ids = lorac_predictor_ids(w->predictor);
    for (size_t i = 0; first && i < ids->n && !st; i++) {
        st = lorac_ids_add(&w->shared, ids->at[i], err);
    }
    w->shared.n = lorac_ids_common(w->shared.at, w->shared.n, ids->at, ids->n);
    return st;
}

/* Every row is read and encoded before the model begins: what cannot be asked is said at once. */
static enum lorac_status check_rows(struct lorac_predict_work *w, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    size_t whole = 0;
    w->counts->all = lorac_table_rows(w->table);
    w->counts->blank_lines = lorac_table_blank_lines(w->table)->n;
    w->counts->long_cells = *lorac_table_long_cells(w->table);
    for (size_t i = 0; i < w->counts->all && !st; i++) {
        bool asks = false;
        size_t cut = 0;
        st = ask(&asks, &cut, w, i, err);
        w->counts->cut += cut > 0;
        if (!st && asks && !cut) { st = share(w, whole++ == 0, err); }
    }
    bool worth = whole * w->shared.n >= SHARE_TOKENS;
    return st || !worth ? st : lorac_predictor_share(w->predictor, &w->shared, err);
}

/* ---- writing ---- */

static enum lorac_status write_bytes(struct lorac_predict_work *w, const char *bytes, size_t n,
                                     struct lorac_err *err)
{
    if (!w->o->write) { return lorac_part_add(&w->part, bytes, n, err); }
    bool taken = w->o->write(w->o->self, bytes, n);
    return taken ? LORAC_OK : lorac_fail(err, LORAC_EIO, "a row could not be written");
}

static enum lorac_status write_line(struct lorac_predict_work *w, const struct lorac_raw *row,
                                    struct lorac_err *err)
{
    struct lorac_buf *b = &w->line;
    static const char usual[] = "\n";
    const struct lorac_raw first =
        w->format.header ? lorac_table_raw_header(w->table) : lorac_table_raw_row(w->table, 0);
    const struct lorac_raw *like = row->n_end ? row : &first; // the last line may have no end
    lorac_table_write_end(b, w->table);
    lorac_buf_add(b, like->n_end ? like->end : usual, like->n_end ? like->n_end : 1);
    if (b->no_memory) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a line"); }
    enum lorac_status st = LORAC_OK;
    if (w->o->ranks) {
        lorac_buf_add(&w->lines, b->at, b->n); // no_memory: seen where they are gathered
    } else {
        st = write_bytes(w, b->at, b->n, err);
    }
    lorac_buf_clear(b);
    return st;
}

static enum lorac_status write_header(struct lorac_predict_work *w, struct lorac_err *err)
{
    const struct lorac_raw header = lorac_table_raw_header(w->table);
    char name[48];
    if (lorac_table_has_mark(w->table)) { lorac_buf_str(&w->line, "\xEF\xBB\xBF"); }
    if (!w->format.header) { return LORAC_OK; } // the mark goes in front of the first row
    lorac_table_write_row(&w->line, w->table, &header);
    for (size_t i = 0; i < added_columns(w); i++) {
        added_name(name, w, i);
        (void)lorac_table_write_cell(&w->line, w->table, name, name, strlen(name), false);
    }
    return write_line(w, &header, err);
}

/* The labels, or the text; neither: the row was not asked. */
static void add_answer(struct lorac_predict_work *w, const struct lorac_ranked *ranked,
                       const struct lorac_answer *a)
{
    char number[32];
    char name[48];
    bool held = true;
    for (size_t i = 0; i < w->top; i++) {
        const char *text = a ? a->text.at : ranked ? w->j->labels[ranked[i].k] : NULL;
        size_t n = a ? a->text.n : text ? strlen(text) : 0;
        added_name(name, w, w->ranks ? 2 * i : i);
        text = a && !text ? "" : text;
        held = lorac_table_write_cell(&w->line, w->table, name, text, n, false) && held;
        if (!w->ranks) { continue; }
        added_name(name, w, 2 * i + 1);
        double share = ranked ? ranked[i].probability : 0.0;
        int length = !ranked        ? 0
                     : w->o->scores ? lorac_snprintf(number, sizeof number, "%.9g", share)
                                    : lorac_snprintf(number, sizeof number, "%.4f", share);
        (void)lorac_table_write_cell(&w->line, w->table, name, number, (size_t)length, true);
    }
    w->counts->unwritten += !held;
    w->counts->silent += a && a->tokens == 0;
}

static bool goes_on(const struct lorac_predict_work *w)
{
    return !w->o->progress || w->o->progress(w->o->self, (double)w->next / (double)w->counts->all);
}

static enum lorac_status write_row(struct lorac_predict_work *w, const struct lorac_ranked *ranked,
                                   const struct lorac_answer *text, struct lorac_err *err)
{
    const struct lorac_raw raw = lorac_table_raw_row(w->table, w->next);
    lorac_table_write_row(&w->line, w->table, &raw);
    add_answer(w, ranked, text);
    enum lorac_status st = write_line(w, &raw, err);
    w->next += !st;
    w->counts->stopped = !st && w->next < w->counts->all && !goes_on(w);
    return st;
}

/* The same row again: all rows were counted by check_rows(). */
static enum lorac_status ask_again(bool *asks, struct lorac_predict_work *w, size_t i,
                                   struct lorac_err *err)
{
    size_t cut = 0;
    struct lorac_predicted seen = *w->counts;
    enum lorac_status st = ask(asks, &cut, w, i, err);
    *w->counts = seen;
    return st;
}

/* Rows from .. end - 1 are asked, as many as have room before `limit`. */
static enum lorac_status ask_group(struct lorac_predict_work *w, size_t limit,
                                   struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    bool added = true;
    size_t asked = 0;
    lorac_predictor_clear(w->predictor);
    for (w->end = w->from; w->end < limit && added && !st;) {
        bool asks = false;
        st = ask_again(&asks, w, w->end, err);
        if (!st && asks) { st = lorac_predictor_add(&added, w->predictor, w->top, err); }
        w->question[w->end - w->from] = asks ? asked : UNASKED;
        asked += asks && added;
        w->end += added;
    }
    return st;
}

/* Rows that have none yet get their answers, in order, as far as these are there. */
static enum lorac_status write_ready(struct lorac_predict_work *w, struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    while (w->next < w->end && !st && !w->counts->stopped) {
        size_t q = w->question[w->next - w->from];
        const struct lorac_ranked *ranked = NULL;
        const struct lorac_answer *text = NULL;
        if (q != UNASKED && w->ranks) {
            st = lorac_predictor_ranked(&ranked, w->predictor, q, err);
        } else if (q != UNASKED) {
            text = lorac_predictor_text(w->predictor, q);
            if (!text) { return LORAC_OK; }
            if (text->text.no_memory) {
                return lorac_fail(err, LORAC_ENOMEM, "no memory for an answer");
            }
        }
        if (!st) { st = write_row(w, ranked, text, err); }
    }
    return st;
}

/* A text is written as soon as it is whole and those before it are. */
static bool goes_on_between(void *self, double done)
{
    struct lorac_predict_work *w = self;
    (void)done;
    if (!w->ranks) { w->written = write_ready(w, &w->why); }
    return !w->written && !w->counts->stopped && goes_on(w);
}

static enum lorac_status answer_group(struct lorac_predict_work *w, struct lorac_err *err)
{
    if (w->end <= w->next) { return LORAC_OK; }
    enum lorac_status st = lorac_predictor_run(w->predictor, goes_on_between, w, err);
    if (w->written) { return lorac_fail(err, w->written, "%s", w->why.text); }
    if (st == LORAC_ESTOP) {
        w->counts->stopped = true;
        return LORAC_OK;
    }
    return st ? st : write_ready(w, err);
}

/* Rows from w->from .. end - 1; those from w->next on are written. */
static enum lorac_status answer_until(struct lorac_predict_work *w, size_t end,
                                      struct lorac_err *err)
{
    enum lorac_status st = LORAC_OK;
    while (w->from < end && !st && !w->counts->stopped) {
        size_t limit = w->from / GROUP * GROUP + GROUP;
        st = ask_group(w, limit < end ? limit : end, err);
        if (!st) { st = answer_group(w, err); }
        w->from = w->end;
    }
    return st;
}

/* Each rank answers `each` rows of a round, one behind the other; rank 0 then writes them all. A
 * round that is stopped is not written. */
static enum lorac_status answer_round(struct lorac_predict_work *w, size_t each,
                                      struct lorac_err *err)
{
    struct lorac_ranks *ranks = w->o->ranks;
    struct lorac_buf all = {0};
    size_t n = w->counts->all;
    size_t begin = w->counts->rows + lorac_ranks_rank(ranks) * each;
    size_t round = w->counts->rows + lorac_ranks_count(ranks) * each;
    w->from = w->next = begin < n ? begin : n;
    enum lorac_status st = answer_until(w, begin + each < n ? begin + each : n, err);
    if (!st && w->lines.no_memory) { st = lorac_fail(err, LORAC_ENOMEM, "no memory for answers"); }
    double stopped = w->counts->stopped;
    st = lorac_ranks_add(&stopped, 1, ranks, st, err);
    w->counts->stopped = stopped > 0.0;
    if (!st && !w->counts->stopped) {
        st = lorac_ranks_gather(&all, ranks, w->lines.at, w->lines.n, st, err);
        if (!st && lorac_ranks_rank(ranks) == 0) { st = write_bytes(w, all.at, all.n, err); }
        w->counts->rows = round < n ? round : n;
    }
    lorac_buf_clear(&w->lines);
    lorac_buf_free(&all);
    return st;
}

/* The rows that are left, in rounds of all ranks. `st`: what rank 0 has failed of so far. */
static enum lorac_status answer_together(struct lorac_predict_work *w, enum lorac_status st,
                                         struct lorac_err *err)
{
    struct lorac_ranks *ranks = w->o->ranks;
    size_t n = w->counts->all;
    size_t done = w->part.rows < n ? w->part.rows : n;
    st = lorac_ranks_broadcast(&done, sizeof done, ranks, st, err);
    w->counts->rows = w->counts->resumed = done;
    size_t each = (n - done + lorac_ranks_count(ranks) - 1) / lorac_ranks_count(ranks);
    each = each < GROUP ? each : GROUP;
    bool first = lorac_ranks_rank(ranks) == 0; // the header goes in front of its lines
    if (!st && first && !w->part.resumed) { st = write_header(w, err); }
    while (w->counts->rows < n && !st && !w->counts->stopped) {
        st = answer_round(w, each, err);
    }
    double sum[] = {(double)w->counts->unwritten, (double)w->counts->silent};
    st = lorac_ranks_add(sum, 2, ranks, st, err);
    w->counts->unwritten = (size_t)sum[0];
    w->counts->silent = (size_t)sum[1];
    return st;
}

/* Groups of labels, and of what a head says, begin where they begin without a stop, so that a
 * prediction that goes on is the same to the last digit. */
static enum lorac_status answer_rows(struct lorac_predict_work *w, struct lorac_err *err)
{
    size_t n = w->counts->all;
    enum lorac_status st = w->part.resumed ? LORAC_OK : write_header(w, err);
    w->next = w->counts->resumed = w->part.rows < n ? w->part.rows : n;
    w->from = w->ranks || lorac_job_has_head(w->j) ? w->next / GROUP * GROUP : w->next;
    if (!st) { st = answer_until(w, n, err); }
    w->counts->rows = w->next;
    return st;
}

/* ---- all of it ---- */

static enum lorac_status prepare(struct lorac_predict_work *w, const struct lorac_socket *socket,
                                 struct lorac_err *err)
{
    const struct lorac_job *j = w->j;
    enum lorac_status st = lorac_predictor_new(&w->predictor, j, socket, w->o->max_tokens, err);
    if (st) { return st; }
    size_t n = lorac_predictor_variables(w->predictor);
    const char *kind = j->K ? "tags" : lorac_job_has_head(j) ? "numbers" : "free text";
    w->ranks = lorac_predictor_ranks(w->predictor, w->o->scores || w->o->top > 1);
    w->top = w->ranks && w->o->top > 1 ? w->o->top : 1;
    if (w->o->scores && w->ranks) { w->top = j->K; }
    if (w->o->scores && !w->ranks) {
        return lorac_fail(err, LORAC_EUSER, "%s: there are no labels to score", kind);
    }
    if (w->o->top > 1 && !w->ranks) {
        return lorac_fail(err, LORAC_EUSER,
                          "%s: there are no labels of which the first %zu could be told", kind,
                          w->o->top);
    }
    if (w->ranks && w->top > j->K) { w->top = j->K; }
    w->column = lorac_mem_new(n, sizeof *w->column);
    w->values = lorac_mem_new(n, sizeof *w->values);
    if (!w->column || !w->values) { return lorac_fail(err, LORAC_ENOMEM, "no memory to predict"); }
    st = open_table(w, err);
    if (!st) {
        w->format = lorac_table_format(w->table);
        w->counts->encoding = w->format.encoding;
        st = check_names(w, err);
    }
    return st ? st : check_rows(w, err);
}

static enum lorac_status answer(struct lorac_predict_work *w, enum lorac_status st,
                                struct lorac_err *err)
{
    if (w->o->ranks) { return answer_together(w, st, err); }
    return st ? st : answer_rows(w, err);
}

static enum lorac_status answer_into_file(struct lorac_predict_work *w, bool writes,
                                          enum lorac_status st, struct lorac_err *err)
{
    const struct lorac_predict_options *o = w->o;
    if (!st && writes) {
        st = lorac_part_open(&w->part, o->out, w->id, &w->format, o->resume, o->overwrite, err);
    }
    bool opened = !st && writes;
    st = answer(w, st, err);
    if (!opened) { return st; }
    if (!st && !w->counts->stopped) { st = lorac_part_finish(&w->part, err); }
    if (!st && !(w->counts->stopped && w->counts->rows == 0)) { return st; }
    enum lorac_status dropped = lorac_part_drop(&w->part, st ? NULL : err);
    return st ? st : dropped;
}

enum lorac_status lorac_predict(struct lorac_predicted *counts, const struct lorac_job *j,
                                const struct lorac_socket *socket,
                                const struct lorac_predict_options *o, struct lorac_err *err)
{
    struct lorac_predict_work w = {
        .j = j, .o = o, .counts = counts, .format = lorac_job_format(j->recipe)};
    *counts = (struct lorac_predicted){0};
    enum lorac_status st = prepare(&w, socket, err);
    if (!st && (o->ranks || !o->write)) { st = lorac_predict_identify(w.id, &w, err); }
    st = lorac_ranks_same(o->ranks, "model, adapter, recipe or table", w.id, st, err);
    bool writes = lorac_ranks_rank(o->ranks) == 0;
    if (!st) { st = o->write ? answer(&w, st, err) : answer_into_file(&w, writes, st, err); }
    lorac_part_close(&w.part);
    lorac_predictor_free(w.predictor);
    lorac_table_close(w.table);
    lorac_row_free(&w.row);
    lorac_buf_free(&w.line);
    lorac_buf_free(&w.lines);
    lorac_ids_free(&w.shared);
    lorac_mem_free(w.column);
    lorac_mem_free(w.values);
    return st;
}
