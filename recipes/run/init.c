/* init.c - see init.h. */
#include "recipes/run/init_guess.h"

#include "base/config_json.h"
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/language/reading.h"
#include "recipes/run/job.h"
#include "recipes/run/labels.h"
#include "recipes/run/metrics.h"

#include <stdio.h>
#include <string.h>

enum {
    LENGTH_STEP = 16,     // max_length is a multiple of it
    SHORTEST_LENGTH = 32, // and not below this
    VALID_ROWS = 20,      // fewer rows are not split
    CODE_BYTES = 2,       // of labels that are codes rather than words
    MANY_ROWS = 20000,    // more are a head's
    CONFIG_BYTES = 1 << 24,
};

static enum lorac_status no_memory(struct lorac_err *err)
{
    return lorac_fail(err, LORAC_ENOMEM, "no memory for a recipe");
}

/* ---- the text ---- */

static void quoted_char(struct lorac_buf *b, char c)
{
    const char text[] = {c, '\0'};
    lorac_yaml_quote(b, text, false);
}

/* Whether its columns have names. */
bool lorac_guess_is_named(const struct lorac_guess *g)
{
    return g->format.header || g->format.kind == LORAC_TABLE_JSONL;
}

/* Whether its name means this column. */
static bool has_own_name(const struct lorac_guess *g, size_t c)
{
    size_t found = 0;
    const char *name = lorac_table_column_name(g->table, c);
    return lorac_guess_is_named(g) && *name &&
           lorac_table_column_find(&found, g->table, name, NULL) == LORAC_OK && found == c;
}

/* A column as the recipe names it: by name, where that means it, else by number. */
static void add_column(struct lorac_buf *b, const struct lorac_guess *g, size_t c)
{
    if (has_own_name(g, c)) {
        lorac_yaml_quote(b, lorac_table_column_name(g->table, c), true);
    } else {
        lorac_buf_printf(b, "%zu", c + 1);
    }
}

/* A column's name as small letters, digits and underscores; "" where none is left. */
static void plain_name(char out[40], const struct lorac_guess *g, size_t c)
{
    const char *name = lorac_guess_is_named(g) ? lorac_table_column_name(g->table, c) : "";
    size_t n = 0;
    for (; *name && n < 32; name++) {
        char x = *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name;
        bool plain = (x >= 'a' && x <= 'z') || (n && ((x >= '0' && x <= '9') || x == '_'));
        if (plain || (n && (x == ' ' || x == '-'))) { out[n++] = plain ? x : '_'; }
    }
    out[n] = '\0';
}

/* The name of text i in the template: its column's, or text2. */
static void text_variable(char out[40], const struct lorac_guess *g, size_t i)
{
    plain_name(out, g, g->text[i]);
    bool own = *out && g->n_texts > 1 && strcmp(out, "label") != 0 && strcmp(out, "answer") != 0;
    for (size_t k = 0; k < i && own; k++) {
        char other[40];
        plain_name(other, g, g->text[k]);
        own = strcmp(other, out) != 0;
    }
    if (!own) { (void)snprintf(out, 40, i ? "text_%zu" : "text", i + 1); }
}

/* "Title: " in front of one of several texts, where the header has a plain name for it. */
static void add_lead(struct lorac_buf *b, const struct lorac_guess *g, size_t i)
{
    const char *name = lorac_guess_is_named(g) ? lorac_table_column_name(g->table, g->text[i]) : "";
    if (g->n_texts == 1 || !*name || strpbrk(name, "{}$\"\\\n\r\t") || strlen(name) > 40) {
        return;
    }
    char first = *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
    lorac_buf_add(b, &first, 1);
    for (const char *c = name + 1; *c; c++) {
        lorac_buf_add(b, *c == '_' ? " " : c, 1);
    }
    lorac_buf_str(b, ": ");
}

/* Two texts that an encoder reads as a pair. */
static bool is_pair(const struct lorac_guess *g)
{
    return g->target && g->encoder && g->n_texts == 2 && !g->optional[0] && !g->optional[1];
}

static void add_pair(struct lorac_buf *b, const struct lorac_guess *g)
{
    static const char *const keys[] = {"prompt", "pair"};
    for (size_t i = 0; i < 2; i++) {
        char name[40];
        text_variable(name, g, i);
        lorac_buf_printf(b, "  %s: \"{%s}\"\n", keys[i], name);
    }
}

/* The texts, each on a line; one that may be blank goes with its line. What is to be written stands
 * on the next one. */
static void add_prompt(struct lorac_buf *b, const struct lorac_guess *g)
{
    bool begun = false; // there is a line that is always there
    lorac_buf_str(b, "  prompt: \"");
    for (size_t i = 0; i < g->n_texts; i++) {
        char name[40];
        text_variable(name, g, i);
        if (g->optional[i]) { lorac_buf_printf(b, "{?%s}", name); }
        lorac_buf_str(b, begun ? "\\n" : "");
        add_lead(b, g, i);
        lorac_buf_printf(b, "{%s}", name);
        if (g->optional[i]) { lorac_buf_printf(b, "%s{/%s}", begun ? "" : "\\n", name); }
        begun = begun || !g->optional[i];
    }
    if (!g->target) { lorac_buf_printf(b, "\\n%s:", g->classes.K ? "Label" : "Answer"); }
    lorac_buf_str(b, "\"\n");
}

static void add_format(struct lorac_buf *b, const struct lorac_guess *g)
{
    const struct lorac_table_format *f = &g->format;
    if (f->kind == LORAC_TABLE_JSONL) {
        lorac_buf_str(b, "  format: jsonl\n");
        return;
    }
    lorac_buf_str(b, "  format: {delimiter: ");
    quoted_char(b, f->delimiter);
    lorac_buf_str(b, ", quote: ");
    quoted_char(b, f->quote);
    lorac_buf_printf(b, ", header: %s", f->header ? "true" : "false");
    if (f->encoding) { lorac_buf_printf(b, ", encoding: %s", lorac_encoding_name(f->encoding)); }
    lorac_buf_str(b, "}\n");
    if (f->encoding) { lorac_buf_printf(b, "  # encoding: %s\n", g->why_encoding); }
    if (!f->quote) {
        lorac_buf_printf(b, "  # quote '', quotes are characters like others: %s\n", g->why_quote);
    }
}

void lorac_guess_tell_column(struct lorac_buf *b, const struct lorac_guess *g, size_t c)
{
    char shown[64];
    const char *name = lorac_table_column_name(g->table, c);
    lorac_visible(shown, sizeof shown, name, strlen(name));
    if (has_own_name(g, c)) {
        lorac_buf_printf(b, "'%s'", shown);
    } else if (lorac_guess_is_named(g) && *name) {
        lorac_buf_printf(b, "column %zu ('%s')", c + 1, shown);
    } else {
        lorac_buf_printf(b, "column %zu", c + 1);
    }
}

bool lorac_guess_uses(const struct lorac_guess *g, size_t c)
{
    bool used = !g->free && c == g->answer;
    for (size_t i = 0; i < g->n_texts; i++) {
        used = used || g->text[i] == c;
    }
    return used;
}

static void add_unused(struct lorac_buf *b, const struct lorac_guess *g)
{
    enum { SHOWN = 12 };
    size_t unused = 0;
    for (size_t c = 0; c < lorac_table_columns(g->table); c++) {
        if (lorac_guess_uses(g, c) || unused++ >= SHOWN) { continue; }
        lorac_buf_str(b, unused == 1 ? "  # not used: " : ", ");
        lorac_guess_tell_column(b, g, c);
    }
    if (unused > SHOWN) { lorac_buf_str(b, ", ..."); }
    if (unused) { lorac_buf_str(b, "\n"); }
}

static void add_data(struct lorac_buf *b, const struct lorac_guess *g)
{
    lorac_buf_str(b, "data:\n  train: ");
    lorac_yaml_quote(b, g->table_path, true);
    lorac_buf_printf(b, "   # %zu %s\n", g->rows, lorac_guess_rows(g->rows));
    if (g->rows < VALID_ROWS) {
        lorac_buf_str(b,
                      "  # valid: {split: 0.1}   # a tenth of the rows; here they are too few\n");
    } else {
        lorac_buf_printf(b, "  valid: {split: 0.1%s}   # a tenth of the rows, or a path\n",
                         g->classes.K && g->target <= LORAC_TARGET_LABEL ? ", stratify: label"
                                                                         : "");
    }
    lorac_buf_str(b, "  # test: another.csv   # for lorac eval --split test\n");
    add_format(b, g);
    lorac_buf_str(b, "  columns: {");
    for (size_t i = 0; i < g->n_texts; i++) {
        char name[40];
        text_variable(name, g, i);
        lorac_buf_printf(b, "%s%s: ", i ? ", " : "", name);
        add_column(b, g, g->text[i]);
    }
    bool chat = g->messages != SIZE_MAX;
    if (!g->free) {
        lorac_buf_printf(b, "%s: ", chat ? "messages" : g->classes.K ? ", label" : ", answer");
        add_column(b, g, g->answer);
    }
    lorac_buf_str(b, "}   # variable of the template: column of the table\n");
    add_unused(b, g);
    if (lorac_guess_keeps_blank(g)) {
        lorac_buf_printf(b, "  on_empty: keep   # %zu %s none of the labels\n", g->empty,
                         g->empty == 1 ? "row has" : "rows have");
    } else if (g->empty) {
        lorac_buf_printf(b, "  on_empty: skip   # %zu %s an empty cell\n", g->empty,
                         g->empty == 1 ? "row has" : "rows have");
    }
    lorac_buf_str(b, g->long_answers
                         ? "  on_too_long: skip   # an answer alone is longer than max_length\n"
                     : g->free   ? "  on_too_long: skip\n"
                     : g->target ? "  on_too_long: truncate_end\n"
                                 : "  on_too_long: truncate_prompt   # the answer is never cut\n");
}

/* The label that stands for label k: the commonest of those that differ in case and blanks alone.
 */
static size_t alike(const struct lorac_guess *g, char *const *folded, size_t k)
{
    size_t best = g->classes.K;
    for (size_t i = 0; i < g->classes.K; i++) {
        if (strcmp(folded[i], folded[k]) != 0) { continue; }
        if (best == g->classes.K || g->classes.count[i] > g->classes.count[best]) { best = i; }
    }
    return best;
}

static bool is_blank(const char *text)
{
    const struct lorac_cell cell = {text, strlen(text)};
    return lorac_cell_is_blank(&cell);
}

/* A map is needed where labels are one but for the way they are written. */
static void add_map(struct lorac_buf *b, const struct lorac_guess *g, char *const *folded)
{
    bool needed = false;
    for (size_t k = 0; k < g->classes.K; k++) {
        needed = needed || alike(g, folded, k) != k;
    }
    if (!needed && g->target) {
        lorac_buf_str(b, "  labels: label   # what the head should say\n");
    }
    if (!needed) { return; }
    lorac_buf_str(b,
                  "  labels:   # some were the same but for case or blanks: one word for them\n");
    lorac_buf_str(b, g->target ? "    column: label\n    map:\n" : "    map:\n");
    for (size_t k = 0; k < g->classes.K; k++) {
        if (is_blank(g->classes.value[k])) { continue; } // no row with it trains
        lorac_buf_str(b, "      ");
        lorac_yaml_quote(b, g->classes.value[k], false);
        lorac_buf_str(b, ": ");
        lorac_yaml_quote(b, g->classes.value[alike(g, folded, k)], true);
        lorac_buf_printf(b, "   # %zu %s\n", g->classes.count[k],
                         lorac_guess_rows(g->classes.count[k]));
    }
}

static void add_labels(struct lorac_buf *b, const struct lorac_guess *g)
{
    size_t K = g->classes.K;
    if (g->free || g->messages != SIZE_MAX) { return; }
    if (g->target == LORAC_TARGET_NUMBER) {
        lorac_buf_str(b, "  labels: answer   # what the head should say\n");
        return;
    }
    if (g->target == LORAC_TARGET_TAGS) {
        lorac_buf_printf(b, "  labels: label   # %zu tags, one for each word\n", K);
        return;
    }
    if (g->target == LORAC_TARGET_LABELS && !g->separator) {
        lorac_buf_printf(b, "  labels: label   # lists of any of %zu labels\n", K);
        return;
    }
    if (g->target == LORAC_TARGET_LABELS) {
        lorac_buf_printf(b, "  labels: {column: label, separator: '%s'}   # any of %zu labels\n",
                         g->separator, K);
        return;
    }
    if (K == 0) {
        lorac_buf_str(b, "  # the answers are free text: no labels\n");
        return;
    }
    lorac_buf_printf(b, "  # the labels are the %zu values of the column\n",
                     g->columns[g->answer].values);
    bool codes = true;
    struct lorac_buf all = {0}; // folded labels, one behind the other
    char **folded = lorac_mem_new(K, sizeof *folded);
    size_t *at = lorac_mem_new(K, sizeof *at);
    for (size_t k = 0; folded && at && k < K; k++) {
        codes = codes && strlen(g->classes.value[k]) <= CODE_BYTES;
        at[k] = all.n;
        lorac_label_fold(&all, g->classes.value[k]);
        lorac_buf_add(&all, "", 1);
    }
    bool lost = !folded || !at || all.no_memory;
    b->no_memory = b->no_memory || lost;
    for (size_t k = 0; !lost && k < K; k++) {
        folded[k] = all.at + at[k];
    }
    if (!lost) { add_map(b, g, folded); }
    if (codes && !g->target) {
        lorac_buf_str(b, "  # words for these codes, where they have a meaning: labels: {map: {");
        lorac_yaml_quote(b, g->classes.value[0], false);
        lorac_buf_str(b, ": a word, ...}}\n");
    }
    lorac_mem_free(at);
    lorac_mem_free(folded);
    lorac_buf_free(&all);
}

/* How it trains; first.h says how that is chosen. */
static void add_training(struct lorac_buf *b, const struct lorac_guess *g)
{
    size_t valid = g->rows < VALID_ROWS ? 0 : g->rows / 10;
    struct lorac_first_size size = g->size;
    size.rows = g->rows - valid;
    size.valid_rows = valid;
    size.labels = g->classes.K;
    struct lorac_first f = lorac_first_choose(&size);
    size_t together = (size_t)(f.rows_a_step + 0.5);
    lorac_buf_printf(b,
                     "# Rate, batch and epochs are chosen for %zu rows of %.0f tokens and a base "
                     "of %.3g million\n"
                     "# parameters: about %zu %s of %zu %s.\n"
                     "train:\n  epochs: %zu\n  batch_tokens: %zu\n\noptimizer:\n  lr: ",
                     size.rows, size.tokens, (double)size.parameters / 1e6, f.steps,
                     f.steps == 1 ? "step" : "steps", together, lorac_guess_rows(together),
                     f.epochs, f.batch_tokens);
    lorac_number_print(b, f.lr);
    lorac_buf_printf(b, "   # smaller bases take more, larger ones less\n  warmup: %u%%\n\n",
                     f.warmup);
    if (!valid) { return; }
    bool entities = lorac_tags_name((const char *const *)g->classes.value, g->classes.K);
    lorac_buf_str(b, "eval:\n  every: ");
    if (f.eval_epochs > 0.0) {
        lorac_number_print(b, f.eval_epochs);
        lorac_buf_str(b, " epoch\n");
    } else {
        lorac_buf_str(b, "end\n");
    }
    lorac_buf_printf(b, "  metrics: [loss, %s]\n\n",
                     g->target == LORAC_TARGET_NUMBER             ? "mse, pearson"
                     : g->target == LORAC_TARGET_LABELS           ? "micro_f1, macro_f1"
                     : g->target == LORAC_TARGET_TAGS && entities ? "accuracy, entity_f1"
                     : g->classes.K                               ? "accuracy, macro_f1"
                                                                  : "perplexity");
}

static void add_recipe(struct lorac_buf *b, const struct lorac_guess *g)
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
    if (g->target) {
        lorac_buf_printf(b,
                         "objective: %s   # a head beside the adapter: ", lorac_guess_objective(g));
        lorac_guess_why_head(b, g);
        lorac_buf_str(b, "\n\n");
    }
    lorac_buf_str(b, "adapter:\n  rank: 8\n  alpha: 16\n  targets: all-linear\n\n");
    add_data(b, g);
    add_labels(b, g);
    if (g->messages != SIZE_MAX) {
        lorac_buf_str(
            b, "\ntemplate: chat   # the model's own; the assistant's turns are trained\n\n");
    } else if (g->free) {
        lorac_buf_str(b, "\ntemplate:   # every word of the text is learnt\n"
                         "  completion: \"{text}\"\n  train_on: all\n\n");
    } else if (g->target) {
        lorac_buf_str(b, "\ntemplate:   # what the model reads\n");
        if (is_pair(g)) {
            add_pair(b, g);
        } else {
            add_prompt(b, g);
        }
        lorac_buf_str(b, "\n");
    } else {
        lorac_buf_str(b, "\ntemplate:   # what the model reads, and what it learns to answer\n");
        add_prompt(b, g);
        lorac_buf_printf(b, "  completion: \" {%s}\"\n\n", labels ? "label" : "answer");
    }
    add_training(b, g);
    lorac_buf_str(b, "output:\n  dir: runs/${name}\n");
}

/* ---- lengths ---- */

static enum lorac_status take_lengths(struct lorac_guess *g, const struct lorac_dataset *set,
                                      struct lorac_err *err)
{
    size_t n = lorac_dataset_size(set);
    int percent = g->free ? 100 : 99; // text cannot be shortened
    size_t length = 0;
    enum lorac_status st = lorac_dataset_percentiles(&length, &percent, 1, set, err);
    if (st) { return st; }
    size_t rounded = (length + LENGTH_STEP - 1) / LENGTH_STEP * LENGTH_STEP;
    g->max_length = rounded < SHORTEST_LENGTH ? SHORTEST_LENGTH : rounded;
    if (g->max_length > g->limit) { g->max_length = g->limit; }
    g->longer = 0;
    for (size_t i = 0; i < n; i++) {
        g->longer += lorac_dataset_length(set, i) > g->max_length;
    }
    const struct lorac_data_counts *c = lorac_dataset_counts(set);
    g->empty = c->skipped_empty.n;
    g->size.tokens = (double)c->tokens / (double)n;
    g->size.trained = (double)c->trained / (double)n;
    return LORAC_OK;
}

/* Tokenise all rows with the recipe as it stands; `whole`: without its limit. */
static enum lorac_status open_rows(struct lorac_job **j, struct lorac_recipe **r,
                                   const struct lorac_guess *g, bool whole, struct lorac_err *err)
{
    static const struct lorac_recipe_set sets[] = {{"data.on_empty=skip", false},
                                                   {"data.duplicates=keep", false},
                                                   {"data.valid", true},
                                                   {"eval.metrics", true},
                                                   {"model.max_length=1048576", false},
                                                   {"data.on_too_long=skip", false}};
    const size_t n = sizeof sets / sizeof *sets - (whole ? 0 : 2); // the last are the limit's
    struct lorac_buf b = {0};
    add_recipe(&b, g);
    enum lorac_status st = b.no_memory ? no_memory(err) : LORAC_OK;
    if (!st) { st = lorac_recipe_parse(r, b.at, b.n, "recipe.yaml", NULL, sets, n, NULL, err); }
    if (!st) {
        st = lorac_job_open(j, *r, LORAC_JOB_TRAIN | (whole ? 0 : LORAC_JOB_NO_MODEL), err);
    }
    lorac_buf_free(&b);
    return st;
}

static enum lorac_status measure(struct lorac_guess *g, struct lorac_err *err)
{
    struct lorac_recipe *r = NULL;
    struct lorac_job *j = NULL;
    g->max_length = SHORTEST_LENGTH;
    enum lorac_status st = open_rows(&j, &r, g, true, err);
    if (!st) {
        g->limit = j->model->config.max_positions;
        st = take_lengths(g, j->train.set, err);
        g->size.parameters = lorac_model_parameters(j->model);
    }
    lorac_job_close(j);
    lorac_recipe_free(r);
    return st;
}

/* Is there an answer that does not fit, whatever the prompt loses? */
static enum lorac_status try_lengths(struct lorac_guess *g, struct lorac_err *err)
{
    struct lorac_recipe *r = NULL;
    struct lorac_job *j = NULL;
    if (!g->longer || g->target || g->free) { return LORAC_OK; }
    enum lorac_status st = open_rows(&j, &r, g, false, err);
    g->long_answers = st == LORAC_EFORMAT;
    lorac_job_close(j);
    lorac_recipe_free(r);
    return g->long_answers ? LORAC_OK : st;
}

/* ---- all of it ---- */

/* Each row is a conversation, and nothing else of it is read. */
static enum lorac_status take_conversations(struct lorac_guess *g, struct lorac_err *err)
{
    size_t n = lorac_table_columns(g->table);
    g->columns = lorac_mem_new(n, sizeof *g->columns);
    if (!g->columns) { return no_memory(err); }
    for (size_t c = 0; c < n; c++) {
        (void)snprintf(g->columns[c].why, sizeof g->columns[c].why, "%s",
                       c == g->messages ? "conversations, for the model's chat template"
                                        : "not a part of the conversation");
    }
    g->answer = g->messages;
    return LORAC_OK;
}

/* Does the model read whole texts? */
static enum lorac_status look_at_model(struct lorac_guess *g, struct lorac_err *err)
{
    struct lorac_json root = {0};
    struct lorac_config *c = lorac_mem_new(1, sizeof *c);
    char *path = lorac_path_join(g->model, "config.json");
    enum lorac_status st = c && path ? LORAC_OK : no_memory(err);
    if (!st) { st = lorac_json_load(&root, path, CONFIG_BYTES, err); }
    if (!st) { st = lorac_config_read(c, &root, err); }
    g->encoder = !st && c->bidirectional;
    lorac_json_free(&root);
    lorac_mem_free(path);
    lorac_mem_free(c);
    return st;
}

/* Who answers: a head, or the model in words. */
static enum lorac_status choose_head(struct lorac_guess *g, struct lorac_err *err)
{
    size_t K = g->classes.K;
    bool head = g->encoder || K > LORAC_INIT_MANY_LABELS || (K > 0 && g->rows > MANY_ROWS);
    if (g->target) { return LORAC_OK; } // by its cells
    if (head && lorac_guess_amounts(g)) {
        g->target = LORAC_TARGET_NUMBER;
        lorac_classes_free(&g->classes);
    } else if (head && K) {
        g->target = LORAC_TARGET_LABEL;
    }
    if (!g->encoder || g->target) { return LORAC_OK; }
    return lorac_fail(err, LORAC_EUSER,
                      "%s: is an encoder, which reads a text and does not write one, and %s has no "
                      "column of labels; --label COLUMN says which one is, of labels or numbers "
                      "(tags of words: objective: tag; plain text: masked_lm; see lorac recipe "
                      "explain objective)",
                      g->model, g->table_path);
}

static enum lorac_status guess(struct lorac_guess *g, const char *model, const char *table,
                               const struct lorac_first_columns *o, struct lorac_err *err)
{
    enum lorac_status st = lorac_path_absolute(&g->model, model, err);
    if (!st) { st = lorac_path_absolute(&g->table_path, table, err); }
    if (!st) { st = lorac_guess_format(g, err); }
    if (!st) { st = look_at_model(g, err); }
    if (!st && g->messages != SIZE_MAX && !o->label && !o->n_texts) {
        st = take_conversations(g, err);
    } else if (!st) {
        g->messages = SIZE_MAX;
        st = lorac_guess_columns(g, o, err);
    }
    if (st) { return st; }
    g->rows = lorac_table_rows(g->table);
    st = choose_head(g, err);
    if (!st) { st = measure(g, err); }
    return st ? st : try_lengths(g, err);
}

enum lorac_status lorac_recipe_init(struct lorac_buf *out, struct lorac_buf *told,
                                    const char *model, const char *table,
                                    const struct lorac_first_columns *o, struct lorac_err *err)
{
    static const struct lorac_first_columns none = {0};
    struct lorac_guess g = {0};
    struct lorac_recipe *r = NULL;
    struct lorac_buf b = {0};
    enum lorac_status st = guess(&g, model, table, o ? o : &none, err);
    if (!st) { add_recipe(&b, &g); }
    if (!st && b.no_memory) { st = no_memory(err); }
    if (!st) { st = lorac_recipe_parse(&r, b.at, b.n, "recipe.yaml", NULL, NULL, 0, NULL, err); }
    if (!st) {
        lorac_buf_add(out, b.at, b.n);
        lorac_guess_tell(told, &g);
    }
    lorac_recipe_free(r);
    lorac_buf_free(&b);
    lorac_classes_free(&g.classes);
    lorac_table_close(g.table);
    lorac_mem_free(g.columns);
    lorac_mem_free(g.table_path);
    lorac_mem_free(g.model);
    return st;
}
