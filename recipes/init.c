/* init.c - see init.h. */
#include "recipes/init.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/first.h"
#include "recipes/job.h"
#include "recipes/reading.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOKED_AT = 2000,     // rows that lengths and a header are judged by
    HEADER_BYTES = 40,    // of a column's name, at the most
    MAX_LABELS = 256,     // as in job.c: more are free text
    ROWS_A_LABEL = 4,     // the same
    MAPPED_LABELS = 20,   // more are not written out
    LENGTH_STEP = 16,     // max_length is a multiple of it
    SHORTEST_LENGTH = 32, // and not below this
    VALID_ROWS = 20,      // fewer rows are not split
};

/* What was guessed. */
struct guess {
    char *model, *table_path; // absolute
    struct lorac_table *table;
    struct lorac_table_format format;
    bool free;                    // one column: text to go on from anywhere, no answer
    size_t text, answer;          // columns; the answer is the label where there are labels
    size_t candidates;            // columns that could be the label
    struct lorac_classes classes; // of the label; K 0: free text
    size_t max_length, limit;     // the model's own limit
    size_t longer, empty, rows;   // rows longer than max_length, with an empty cell, of all
    struct lorac_first_size size; // tokens and parameters
};

static enum lorac_status no_memory(struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "no memory for a recipe");
}

/* ---- format ---- */

static enum lorac_status guess_format(struct guess *g, struct lorac_err *err)
{
    static const char delimiters[] = {',', '\t', ';', '|'};
    static const char quotes[] = {'"', '\0'};
    size_t most = 0;
    bool csv = false; // every row reads with commas and quotes
    struct lorac_err first = {0};
    for (size_t q = 0; q < sizeof quotes && most < 2 && !csv; q++) { // quoting wins
        for (size_t i = 0; i < sizeof delimiters; i++) {
            struct lorac_table *t = NULL;
            struct lorac_err why = {0};
            struct lorac_table_format f = {.delimiter = delimiters[i], .quote = quotes[q]};
            enum lorac_status st = lorac_table_open(&t, g->table_path, &f, &why);
            if (st && !first.text[0]) { first = why; }
            if (st == LORAC_ENOMEM || st == LORAC_EIO) {
                return lorac_fail(err, st, "%s", why.text);
            }
            if (st) { continue; }
            csv = csv || (q == 0 && i == 0);
            if (lorac_table_columns(t) > most) {
                most = lorac_table_columns(t);
                g->format = f;
            }
            lorac_table_close(t);
        }
    }
    if (most == 0) { return lorac_fail(err, LORAC_EFORMAT, "%s", first.text); }
    g->free = most == 1;
    if (g->free && !csv) { // rows of several fields, but not always as many: no text of one column
        return lorac_fail(err, LORAC_EFORMAT,
                          "%s; and with a tab, semicolon or bar it has one column (a text with "
                          "commas in it must stand in quotes)",
                          first.text);
    }
    return LORAC_OK;
}

static bool is_number(const struct lorac_cell *c)
{
    char text[HEADER_BYTES + 1];
    double x = 0.0;
    if (c->n > HEADER_BYTES) { return false; }
    memcpy(text, c->at, c->n);
    text[c->n] = '\0';
    return lorac_number_parse(&x, text[0] == '-' ? text + 1 : text) == LORAC_NUMBER_OK;
}

static bool same_cell(const struct lorac_cell *a, const struct lorac_cell *b)
{
    return a->n == b->n && memcmp(a->at, b->at, a->n) == 0;
}

static bool has_space(const struct lorac_cell *c)
{
    return memchr(c->at, ' ', c->n) != NULL;
}

/* Could these be the names of columns? */
static bool are_names(const struct lorac_row *row)
{
    for (size_t c = 0; c < row->n; c++) {
        const struct lorac_cell *cell = &row->cells[c];
        if (cell->n == 0 || cell->n > HEADER_BYTES || is_number(cell)) { return false; }
        for (size_t k = 0; k < c; k++) {
            if (same_cell(cell, &row->cells[k])) { return false; }
        }
    }
    return true;
}

/* The table is open without a header: is its first row one? */
static enum lorac_status guess_header(struct guess *g, struct lorac_err *err)
{
    struct lorac_row first = {0};
    struct lorac_row row = {0};
    size_t n = lorac_table_rows(g->table);
    enum lorac_status st =
        n ? lorac_table_row(&first, g->table, 0, err)
          : lorac_fail(err, LORAC_EUSER, "%s: has no rows", lorac_table_file(g->table));
    bool header = !st && n > 1 && are_names(&first);
    bool spaces = false; // below the first row
    for (size_t i = 1; i < n && i < LOOKED_AT && header && !st; i++) {
        st = lorac_table_row(&row, g->table, i, err);
        for (size_t c = 0; c < row.n && !st; c++) {
            header = header && !same_cell(&first.cells[c], &row.cells[c]);
            spaces = spaces || has_space(&row.cells[c]);
        }
    }
    if (header && g->free) { header = spaces && !has_space(&first.cells[0]); } // a word above texts
    lorac_row_free(&first);
    lorac_row_free(&row);
    if (st || !header) { return st; }
    g->format.header = true;
    lorac_table_close(g->table);
    return lorac_table_open(&g->table, g->table_path, &g->format, err);
}

/* ---- columns ---- */

static bool is_called(const struct guess *g, size_t column, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n && g->format.header; i++) {
        if (strcmp(lorac_table_column_name(g->table, column), names[i]) == 0) { return true; }
    }
    return false;
}

/* Of the columns whose few values could be labels, one that is called so, else the one with the fewest. */
static enum lorac_status guess_label(struct guess *g, struct lorac_err *err)
{
    static const char *const names[] = {"label",     "labels", "intent", "category", "class",
                                        "sentiment", "target", "topic",  "stars",    "rating"};
    bool named = false;
    for (size_t c = 0; c < lorac_table_columns(g->table); c++) {
        struct lorac_classes found = {0};
        enum lorac_status st = lorac_classes_find(&found, g->table, c, MAX_LABELS, NULL);
        if (st == LORAC_EUSER) { continue; } // more
        if (st) { return no_memory(err); }
        bool few = found.K > 1 && found.K * ROWS_A_LABEL <= lorac_table_rows(g->table);
        bool called = is_called(g, c, names, sizeof names / sizeof *names);
        bool better = called == named ? !g->classes.K || found.K < g->classes.K : called;
        g->candidates += few;
        if (few && better) {
            lorac_classes_free(&g->classes);
            g->classes = found;
            g->answer = c;
            named = called;
        } else {
            lorac_classes_free(&found);
        }
    }
    return LORAC_OK;
}

/* Where the answers are free text: a column that is called so, else the last. */
static void guess_answer(struct guess *g)
{
    static const char *const names[] = {"answer",    "output",     "completion", "response",
                                        "reference", "ref",        "target",     "summary",
                                        "label",     "translation"};
    size_t n = lorac_table_columns(g->table);
    g->answer = n - 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (size_t c = 0; c < n; c++) {
            if (!is_called(g, c, &names[i], 1)) { continue; }
            g->answer = c;
            return;
        }
    }
}

/* The longest of the other columns. */
static enum lorac_status guess_text(struct guess *g, struct lorac_err *err)
{
    size_t n = lorac_table_columns(g->table);
    struct lorac_row row = {0};
    size_t *bytes = lorac_mem_new(n, sizeof *bytes);
    enum lorac_status st = bytes ? LORAC_OK : no_memory(err);
    for (size_t i = 0; i < lorac_table_rows(g->table) && i < LOOKED_AT && !st; i++) {
        st = lorac_table_row(&row, g->table, i, err);
        for (size_t c = 0; c < row.n && !st; c++) {
            bytes[c] += row.cells[c].n;
        }
    }
    g->text = g->answer == 0 ? 1 : 0;
    for (size_t c = 0; c < n && !st; c++) {
        if (c != g->answer && bytes[c] > bytes[g->text]) { g->text = c; }
    }
    lorac_row_free(&row);
    lorac_mem_free(bytes);
    return st;
}

/* ---- the text ---- */

static const char *rows(size_t n)
{
    return n == 1 ? "row" : "rows";
}

static void quoted_char(struct lorac_buf *b, char c)
{
    const char text[] = {c, '\0'};
    lorac_yaml_quote(b, text, false);
}

/* A column as the recipe names it. */
static void add_column(struct lorac_buf *b, const struct guess *g, size_t c)
{
    if (g->format.header) {
        lorac_yaml_quote(b, lorac_table_column_name(g->table, c), true);
    } else {
        lorac_buf_printf(b, "%zu", c + 1);
    }
}

static void add_data(struct lorac_buf *b, const struct guess *g)
{
    const struct lorac_table_format *f = &g->format;
    const char *answer = g->classes.K ? "label" : "answer";
    lorac_buf_str(b, "data:\n  train: ");
    lorac_yaml_quote(b, g->table_path, true);
    lorac_buf_printf(b, "   # %zu %s\n", g->rows, rows(g->rows));
    if (g->rows < VALID_ROWS) {
        lorac_buf_str(b,
                      "  # valid: {split: 0.1}   # a tenth of the rows; here they are too few\n");
    } else {
        lorac_buf_printf(b, "  valid: {split: 0.1%s}   # a tenth of the rows, or a path\n",
                         g->classes.K ? ", stratify: label" : "");
    }
    lorac_buf_str(b, "  # test: another.csv   # for lorac eval --split test\n");
    lorac_buf_str(b, "  format: {delimiter: ");
    quoted_char(b, f->delimiter);
    lorac_buf_str(b, ", quote: ");
    quoted_char(b, f->quote);
    lorac_buf_printf(b, ", header: %s}\n", f->header ? "true" : "false");
    lorac_buf_str(b, "  columns: {text: ");
    add_column(b, g, g->text);
    if (!g->free) {
        lorac_buf_printf(b, ", %s: ", answer);
        add_column(b, g, g->answer);
    }
    lorac_buf_str(b, "}   # variable of the template: column of the table\n");
    if (g->candidates > 1) {
        lorac_buf_printf(
            b, "  # %zu columns have few enough values to be the label; is this the right one?\n",
            g->candidates);
    }
    if (g->empty) {
        lorac_buf_printf(b, "  on_empty: skip   # %zu %s an empty cell\n", g->empty,
                         g->empty == 1 ? "row has" : "rows have");
    }
    lorac_buf_str(b, g->free ? "  on_too_long: skip\n"
                             : "  on_too_long: truncate_prompt   # the answer is never cut\n");
}

static void add_labels(struct lorac_buf *b, const struct guess *g)
{
    size_t K = g->classes.K;
    if (g->free) { return; }
    if (K == 0) {
        lorac_buf_str(b, "  # the answers are free text: no labels\n");
    } else if (K > MAPPED_LABELS) {
        lorac_buf_printf(b, "  # the labels are the %zu values of the column\n", K);
    } else {
        lorac_buf_str(b, "  labels:   # value of the cell: the word that the model learns to say\n"
                         "    map:\n");
        for (size_t k = 0; k < K; k++) {
            lorac_buf_str(b, "      ");
            lorac_yaml_quote(b, g->classes.value[k], false);
            lorac_buf_str(b, ": ");
            lorac_yaml_quote(b, g->classes.value[k], true);
            lorac_buf_printf(b, "   # %zu %s\n", g->classes.count[k], rows(g->classes.count[k]));
        }
    }
}

/* How it trains; first.h says how that is chosen. */
static void add_training(struct lorac_buf *b, const struct guess *g)
{
    size_t valid = g->rows < VALID_ROWS ? 0 : g->rows / 10;
    struct lorac_first_size size = g->size;
    size.rows = g->rows - valid;
    size.valid_rows = valid;
    size.labels = g->classes.K;
    struct lorac_first f = lorac_first_choose(&size);
    size_t together = (size_t)(f.rows_a_step + 0.5);
    lorac_buf_printf(
        b,
        "# Rate, batch and epochs are chosen for %zu rows of %.0f tokens and a base of %.3g million\n"
        "# parameters: about %zu %s of %zu %s.\n"
        "train:\n  epochs: %zu\n  batch_tokens: %zu\n\noptimizer:\n  lr: ",
        size.rows, size.tokens, (double)size.parameters / 1e6, f.steps,
        f.steps == 1 ? "step" : "steps", together, rows(together), f.epochs, f.batch_tokens);
    lorac_number_print(b, f.lr);
    lorac_buf_printf(b, "   # smaller bases take more, larger ones less\n  warmup: %u%%\n\n",
                     f.warmup);
    if (!valid) { return; }
    lorac_buf_str(b, "eval:\n  every: ");
    if (f.eval_epochs > 0.0) {
        lorac_number_print(b, f.eval_epochs);
        lorac_buf_str(b, " epoch\n");
    } else {
        lorac_buf_str(b, "end\n");
    }
    lorac_buf_printf(b, "  metrics: [loss, %s]\n\n",
                     g->classes.K ? "accuracy, macro_f1" : "perplexity");
}

static void add_recipe(struct lorac_buf *b, const struct guess *g)
{
    bool labels = g->classes.K > 0;
    lorac_buf_printf(b, "# A first recipe, guessed from the table by lorac recipe init; edit it.\n"
                        "#   lorac plan THIS     what it will do; lorac train THIS     do it\n"
                        "# Every key: lorac recipe explain. What is not here has its default.\n"
                        "recipe: 1\n\nmodel:\n  path: ");
    lorac_yaml_quote(b, g->model, true);
    lorac_buf_printf(b, "\n  max_length: %zu   # tokens; ", g->max_length);
    lorac_buf_printf(b, "%zu of %zu %s longer\n\n", g->longer, g->rows,
                     g->rows == 1 ? "row is" : "rows are");
    lorac_buf_str(b, "adapter:\n  rank: 8\n  alpha: 16\n  targets: all-linear\n\n");
    add_data(b, g);
    add_labels(b, g);
    if (g->free) {
        lorac_buf_str(b, "\ntemplate:   # one column: every word of the text is learnt\n"
                         "  completion: \"{text}\"\n  train_on: all\n\n");
    } else {
        lorac_buf_printf(b,
                         "\ntemplate:   # what the model reads, and what it learns to answer\n"
                         "  prompt: \"{text}\\n%s:\"\n  completion: \" {%s}\"\n\n",
                         labels ? "Label" : "Answer", labels ? "label" : "answer");
    }
    add_training(b, g);
    lorac_buf_str(b, "output:\n  dir: runs/${name}\n");
}

/* ---- lengths ---- */

static int ascending(const void *a, const void *b)
{
    size_t x = *(const size_t *)a;
    size_t y = *(const size_t *)b;
    return (x > y) - (x < y);
}

static enum lorac_status take_lengths(struct guess *g, const struct lorac_dataset *set,
                                      struct lorac_err *err)
{
    size_t n = lorac_dataset_size(set);
    size_t *length = lorac_mem_new(n, sizeof *length);
    if (!length) { return no_memory(err); }
    for (size_t i = 0; i < n; i++) {
        length[i] = lorac_dataset_length(set, i);
    }
    qsort(length, n, sizeof *length, ascending);
    size_t rank = g->free ? n : (n * 99 + 99) / 100; // from 1; text cannot be shortened
    size_t rounded = (length[rank - 1] + LENGTH_STEP - 1) / LENGTH_STEP * LENGTH_STEP;
    g->max_length = rounded < SHORTEST_LENGTH ? SHORTEST_LENGTH : rounded;
    if (g->max_length > g->limit) { g->max_length = g->limit; }
    g->longer = 0;
    for (size_t i = 0; i < n; i++) {
        g->longer += length[i] > g->max_length;
    }
    const struct lorac_data_counts *c = lorac_dataset_counts(set);
    g->empty = c->skipped_empty.n;
    g->size.tokens = (double)c->tokens / (double)n;
    g->size.trained = (double)c->trained / (double)n;
    lorac_mem_free(length);
    return LORAC_OK;
}

/* Tokenise all rows with the recipe as it stands, without its limit. */
static enum lorac_status measure(struct guess *g, struct lorac_err *err)
{
    static const struct lorac_recipe_set sets[] = {{"model.max_length=1048576", false},
                                                   {"data.on_empty=skip", false},
                                                   {"data.on_too_long=skip", false},
                                                   {"data.duplicates=keep", false},
                                                   {"data.valid", true},
                                                   {"eval.metrics", true}};
    struct lorac_recipe *r = NULL;
    struct lorac_job *j = NULL;
    struct lorac_buf b = {0};
    g->max_length = SHORTEST_LENGTH;
    add_recipe(&b, g);
    enum lorac_status st = b.no_memory ? no_memory(err) : LORAC_OK;
    if (!st) {
        st = lorac_recipe_parse(&r, b.at, b.n, "recipe.yaml", NULL, sets,
                                sizeof sets / sizeof *sets, NULL, err);
    }
    if (!st) { st = lorac_job_open(&j, r, LORAC_JOB_TRAIN, err); }
    if (!st) {
        g->limit = j->model->config.max_positions;
        st = take_lengths(g, j->train.set, err);
        g->size.parameters = lorac_model_parameters(j->model);
    }
    lorac_job_close(j);
    lorac_recipe_free(r);
    lorac_buf_free(&b);
    return st;
}

/* ---- all of it ---- */

static enum lorac_status guess(struct guess *g, const char *model, const char *table,
                               struct lorac_err *err)
{
    enum lorac_status st = lorac_path_absolute(&g->model, model, err);
    if (!st) { st = lorac_path_absolute(&g->table_path, table, err); }
    if (!st) { st = guess_format(g, err); }
    if (!st) { st = lorac_table_open(&g->table, g->table_path, &g->format, err); }
    if (!st) { st = guess_header(g, err); }
    if (!st && !g->free) { st = guess_label(g, err); }
    if (st) { return st; }
    if (g->classes.K == 0) { guess_answer(g); }
    g->rows = lorac_table_rows(g->table);
    if (!g->free) { st = guess_text(g, err); }
    return st ? st : measure(g, err);
}

enum lorac_status lorac_recipe_init(struct lorac_buf *out, const char *model, const char *table,
                                    struct lorac_err *err)
{
    struct guess g = {0};
    struct lorac_recipe *r = NULL;
    struct lorac_buf b = {0};
    enum lorac_status st = guess(&g, model, table, err);
    if (!st) { add_recipe(&b, &g); }
    if (!st && b.no_memory) { st = no_memory(err); }
    if (!st) { st = lorac_recipe_parse(&r, b.at, b.n, "recipe.yaml", NULL, NULL, 0, NULL, err); }
    if (!st) { lorac_buf_add(out, b.at, b.n); }
    lorac_recipe_free(r);
    lorac_buf_free(&b);
    lorac_classes_free(&g.classes);
    lorac_table_close(g.table);
    lorac_mem_free(g.table_path);
    lorac_mem_free(g.model);
    return st;
}
