/* init_columns.c - which columns are asked, and which one answers; see init.h. */
#include "recipes/run/init_guess.h"

#include "base/core/mem.h"

#include <stdio.h>
#include <string.h>

enum {
    LABEL_BYTES = 60,  // of a label, on average; longer ones are sentences
    LABEL_SPACES = 5,  // the same
    MANY_NUMBERS = 20, // different numbers that are amounts rather than labels
    BLANK_LABELS = 10, // per cent of a label's cells that may be blank
    BLANK_NAMED = 50,  // the same where it is called so
    BLANK_TEXTS = 95,  // and of a text in the prompt
    NAME_BYTES = 32,   // of a name that is compared
};

/* ---- names ---- */

/* Names as they are compared: small letters and digits alone. Lists end with NULL. */
static const char *const label_names[] = {
    "label",         "labels",    "intent",    "intents",   "category", "categories", "class",
    "classes",       "sentiment", "target",    "topic",     "topics",   "stars",      "rating",
    "emotion",       "tag",       "tags",      "verdict",   "gold",     "polarity",   "spam",
    "acceptability", "y",         "etichetta", "categoria", "classe",   "intento",    "argomento",
    "kategorie",     "klasse",    "thema",     "categorie", NULL};
static const char *const answer_names[] = {
    "answer",   "answers",    "output",    "outputs",  "completion", "response", "responses",
    "reply",    "reference",  "ref",       "target",   "summary",    "label",    "translation",
    "solution", "highlights", "assistant", "risposta", "antwort",    "reponse",  NULL};
static const char *const text_names[] = {
    "text",      "sentence",  "instruction", "input",     "inputs",      "question",  "prompt",
    "query",     "context",   "passage",     "document",  "article",     "title",     "body",
    "subject",   "premise",   "hypothesis",  "sentence1", "sentence2",   "text1",     "text2",
    "question1", "question2", "texta",       "textb",     "message",     "utterance", "review",
    "content",   "tweet",     "abstract",    "headline",  "description", "comment",   "mr",
    "ticket",    "email",     "testo",       "frase",     "domanda",     "titolo",    "satz",
    "frage",     "phrase",    "texte",       NULL};
static const char *const asking_names[] = {"instruction", "question", "prompt", "query", "input",
                                           "inputs",      "domanda",  "frage",  NULL};
static const char *const number_names[] = {"id",   "ids",  "index",    "idx", "uid",
                                           "guid", "uuid", "unnamed0", NULL};
static const char *const other_names[] = {
    "split",  "fold", "date", "time",     "year", "timestamp", "createdat", "url",   "link",
    "source", "lang", "user", "language", "note", "username",  "author",    "notes", NULL};

/* Small letters and digits of a name: "Label_Text" is "labeltext". */
static void fold_name(char out[NAME_BYTES], const char *name, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n && k + 1 < NAME_BYTES; i++) {
        char c = name[i];
        if (c >= 'A' && c <= 'Z') { c = (char)(c - 'A' + 'a'); }
        bool keeps = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (keeps || (unsigned char)c >= 0x80) { out[k++] = c; }
    }
    out[k] = '\0';
}

static bool is_in(const char *const *list, const char *name, size_t n)
{
    char folded[NAME_BYTES];
    fold_name(folded, name, n);
    for (; *list; list++) {
        if (strcmp(*list, folded) == 0) { return true; }
    }
    return false;
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name);
    size_t m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

bool lorac_name_is_known(const char *name, size_t n)
{
    return n > 1 && (is_in(label_names, name, n) || is_in(answer_names, name, n) ||
                     is_in(text_names, name, n) || is_in(other_names, name, n) ||
                     is_in(number_names, name, n));
}

static const char *name_of(const struct lorac_guess *g, size_t c)
{
    return lorac_guess_is_named(g) ? lorac_table_column_name(g->table, c) : "";
}

static bool is_called(const struct lorac_guess *g, size_t c, const char *const *list)
{
    const char *name = name_of(g, c);
    return *name && is_in(list, name, strlen(name));
}

static bool is_called_label(const struct lorac_guess *g, size_t c)
{
    char folded[NAME_BYTES];
    const char *name = name_of(g, c);
    fold_name(folded, name, strlen(name));
    return is_called(g, c, label_names) || ends_with(folded, "label") ||
           strncmp(folded, "label", 5) == 0;
}

/* A name of what tells rows apart. */
static bool is_called_number(const struct lorac_guess *g, size_t c)
{
    const char *name = name_of(g, c);
    return is_called(g, c, number_names) || ends_with(name, "_id") || ends_with(name, "ID") ||
           ends_with(name, "Id");
}

/* A name that speaks against a label and a text. */
static bool is_called_other(const struct lorac_guess *g, size_t c)
{
    return is_called(g, c, other_names) || is_called_number(g, c);
}

/* ---- cells ---- */

/* "2024-01-31", "31/1/2024 12:00": a date or a time, a telephone number, a version. */
static bool is_date(const struct lorac_cell *c)
{
    size_t digits = 0;
    size_t signs = 0;
    for (size_t i = 0; i < c->n; i++) {
        bool digit = c->at[i] >= '0' && c->at[i] <= '9';
        digits += digit;
        signs += !digit && c->at[i] && strchr("-/:. TZ+,", c->at[i]) != NULL;
    }
    return digits > 3 && signs > 0 && digits + signs == c->n && c->n < 40;
}

static enum lorac_status look_at_cells(struct lorac_guess *g, struct lorac_err *err)
{
    struct lorac_row row = {0};
    enum lorac_status st = LORAC_OK;
    for (size_t i = 0; i < lorac_table_rows(g->table) && !st; i++) {
        st = lorac_table_row(&row, g->table, i, err);
        for (size_t c = 0; c < row.n && !st; c++) {
            struct lorac_init_column *p = &g->columns[c];
            const struct lorac_cell *cell = &row.cells[c];
            if (lorac_cell_is_blank(cell)) {
                p->blank++;
                continue;
            }
            if (i >= LORAC_INIT_LOOKED_AT && p->seen) { continue; }
            p->seen++;
            p->bytes += cell->n;
            p->numbers += lorac_cell_is_number(cell);
            p->dates += !lorac_cell_is_number(cell) && is_date(cell);
            for (size_t k = 0; k < cell->n; k++) {
                p->spaces += cell->at[k] == ' ';
            }
        }
    }
    lorac_row_free(&row);
    return st;
}

/* The values of each column that has few. */
static enum lorac_status count_values(struct lorac_guess *g, struct lorac_err *err)
{
    for (size_t c = 0; c < lorac_table_columns(g->table); c++) {
        struct lorac_classes found = {0};
        struct lorac_init_column *p = &g->columns[c];
        // blank cells may be written in as many ways as there are blanks
        enum lorac_status st =
            lorac_classes_find(&found, g->table, c, LORAC_INIT_MAX_LABELS + 4, NULL);
        if (st && st != LORAC_EUSER) { return lorac_fail(err, st, "no memory for a recipe"); }
        p->values = st ? LORAC_INIT_MAX_LABELS + 1 : 0;
        for (size_t k = 0; k < found.K; k++) {
            const struct lorac_cell cell = {found.value[k], strlen(found.value[k])};
            p->values += !lorac_cell_is_blank(&cell);
        }
        lorac_classes_free(&found);
    }
    return LORAC_OK;
}

static bool is_few(const struct lorac_guess *g, size_t c)
{
    const struct lorac_init_column *p = &g->columns[c];
    size_t filled = lorac_table_rows(g->table) - p->blank;
    return p->values > 1 && p->values <= LORAC_INIT_MAX_LABELS &&
           p->values * LORAC_INIT_ROWS_A_LABEL <= filled;
}

static bool are_numbers(const struct lorac_init_column *p)
{
    return p->seen > 0 && p->numbers == p->seen;
}

bool lorac_guess_amounts(const struct lorac_guess *g)
{
    const struct lorac_init_column *p = &g->columns[g->answer];
    return !g->free && are_numbers(p) && (p->values > MANY_NUMBERS || !is_few(g, g->answer));
}

static unsigned blank_share(const struct lorac_guess *g, size_t c)
{
    size_t rows = lorac_table_rows(g->table);
    return rows ? (unsigned)(100 * g->columns[c].blank / rows) : 0;
}

#define WHY(g, c, ...) ((void)snprintf((g)->columns[c].why, sizeof(g)->columns[c].why, __VA_ARGS__))

/* ---- the label ---- */

enum rank { NO_LABEL, NAMED_OTHERWISE, POSSIBLE, NAMED_SO };

/* Could it be the label? Where not, columns[c].why says why. */
static enum rank rank_of(struct lorac_guess *g, size_t c)
{
    const struct lorac_init_column *p = &g->columns[c];
    bool named = is_called_label(g, c) || is_called(g, c, answer_names);
    unsigned blank = blank_share(g, c);
    if (p->seen == 0) {
        WHY(g, c, "all its cells are blank");
    } else if (blank > (named ? BLANK_NAMED : BLANK_LABELS)) {
        WHY(g, c, "blank in %u %% of the rows", blank);
    } else if (p->values == 1) {
        WHY(g, c, "the same in all rows");
    } else if (!is_few(g, c)) {
        WHY(g, c,
            are_numbers(p) ? "numbers that hardly come again" : "texts that hardly come again");
    } else if (p->bytes > LABEL_BYTES * p->seen || p->spaces > LABEL_SPACES * p->seen) {
        WHY(g, c, "sentences, not labels");
    } else if (p->dates == p->seen) {
        WHY(g, c, "dates, times or the like");
    } else if (is_called_number(g, c)) {
        WHY(g, c, "called like the number of a row");
    } else if (named) {
        WHY(g, c, "%zu values, and could be the label, too", p->values);
        return NAMED_SO;
    } else if (are_numbers(p) && p->values > MANY_NUMBERS) {
        WHY(g, c, "%zu different numbers", p->values);
    } else {
        bool other = is_called_other(g, c) || is_called(g, c, text_names);
        WHY(g, c, "%zu values%s", p->values, other ? ", but not called like a label" : "");
        return other ? NAMED_OTHERWISE : POSSIBLE;
    }
    return NO_LABEL;
}

/* A text in the prompt: words, not one of a few numbers or the same everywhere. */
static bool is_text(const struct lorac_guess *g, size_t c)
{
    const struct lorac_init_column *p = &g->columns[c];
    return p->seen > 0 && !are_numbers(p) && p->dates < p->seen && p->values != 1 &&
           blank_share(g, c) <= BLANK_TEXTS;
}

/* Whether `a` is the better label: by name, with fewer values, in words rather than codes for the
 * same. */
static bool is_better(const struct lorac_guess *g, size_t a, enum rank rank_a, size_t b,
                      enum rank rank_b)
{
    const struct lorac_init_column *p = &g->columns[a];
    const struct lorac_init_column *q = &g->columns[b];
    if (rank_a != rank_b) { return rank_a > rank_b; }
    if (p->values == q->values) { return are_numbers(q) && !are_numbers(p); }
    return p->values < q->values;
}

static bool is_taken(const struct lorac_guess *g, size_t c)
{
    for (size_t i = 0; i < g->n_texts; i++) {
        if (g->text[i] == c) { return true; }
    }
    return false;
}

/* A table of questions and their answers: the answer's column, or the number of columns. */
static size_t find_answer(const struct lorac_guess *g)
{
    size_t n = lorac_table_columns(g->table);
    bool asks = false;
    for (size_t c = 0; c < n; c++) {
        asks = asks || (is_called(g, c, asking_names) && is_text(g, c));
    }
    for (size_t i = 0; answer_names[i] && asks; i++) {
        const char *const one[] = {answer_names[i], NULL};
        for (size_t c = 0; c < n; c++) {
            bool called = is_called(g, c, one) && !is_called(g, c, label_names);
            if (called && is_text(g, c) && !is_taken(g, c)) { return c; }
        }
    }
    return n;
}

static enum lorac_status take_label(struct lorac_guess *g, size_t c, struct lorac_err *err)
{
    g->answer = c;
    if (!is_few(g, c)) { return LORAC_OK; }
    enum lorac_status st =
        lorac_classes_find(&g->classes, g->table, c, lorac_table_rows(g->table), NULL);
    return st ? lorac_fail(err, st, "no memory for a recipe") : LORAC_OK;
}

/* Where the answers are free text: a column that is called so, else the last that is text. */
static void guess_free_answer(struct lorac_guess *g)
{
    size_t n = lorac_table_columns(g->table);
    for (size_t i = 0; answer_names[i]; i++) {
        const char *const one[] = {answer_names[i], NULL};
        for (size_t c = 0; c < n; c++) {
            if (!is_called(g, c, one) || !is_text(g, c) || is_taken(g, c)) { continue; }
            g->answer = c;
            WHY(g, c, "free text; called like an answer");
            return;
        }
    }
    bool found = false;
    for (size_t c = n; c-- > 0 && !found;) {
        found = is_text(g, c) && !is_called_other(g, c) && !is_taken(g, c);
        if (found) { g->answer = c; }
    }
    for (size_t c = n; c-- > 0 && !found;) {
        found = !is_taken(g, c);
        if (found) { g->answer = c; }
    }
    WHY(g, g->answer, "free text; the last column with some");
}

/* Free text: an answer, or where there is only one text, that text alone. */
static void guess_no_label(struct lorac_guess *g, size_t texts)
{
    size_t n = lorac_table_columns(g->table);
    bool named = false;
    size_t text = n;
    for (size_t c = 0; c < n; c++) {
        named = named || (is_called(g, c, answer_names) && is_text(g, c));
        if (is_text(g, c) && (text == n || is_called_other(g, text))) { text = c; }
    }
    if (named || texts != 1 || g->n_texts) {
        guess_free_answer(g);
        return;
    }
    g->free = true;
    g->text[g->n_texts++] = text;
    WHY(g, text, "the only text; every word of it is learnt");
}

/* What an encoder can learn where there are no labels: the numbers that are called an answer, else
 * the only ones; the number of columns: none. */
static size_t find_amounts(const struct lorac_guess *g)
{
    size_t n = lorac_table_columns(g->table);
    size_t only = n;
    size_t many = 0;
    for (size_t c = 0; c < n && g->encoder; c++) {
        bool fits = are_numbers(&g->columns[c]) && g->columns[c].values > MANY_NUMBERS &&
                    *name_of(g, c) && !is_called_other(g, c) && !is_taken(g, c) &&
                    blank_share(g, c) <= BLANK_LABELS;
        if (!fits) { continue; }
        if (is_called_label(g, c) || is_called(g, c, answer_names)) { return c; }
        only = c;
        many++;
    }
    return many == 1 ? only : n;
}

static enum lorac_status guess_label(struct lorac_guess *g, struct lorac_err *err)
{
    size_t n = lorac_table_columns(g->table);
    size_t best = n;
    enum rank rank = NO_LABEL;
    size_t texts = 0;
    for (size_t c = 0; c < n; c++) {
        enum rank r = rank_of(g, c);
        texts += is_text(g, c) && r == NO_LABEL;
        if (!r || is_taken(g, c) || (best < n && !is_better(g, c, r, best, rank))) { continue; }
        best = c;
        rank = r;
    }
    size_t answer = find_answer(g);
    if (answer < n && answer != best) {
        WHY(g, answer, "called like an answer, beside a question");
        return take_label(g, answer, err);
    }
    if (best < n && rank == NAMED_OTHERWISE && n > 2) {
        best = n;
    } // told of the rows, hardly asked
    size_t amounts = best == n ? find_amounts(g) : n;
    if (amounts < n) {
        WHY(g, amounts, "numbers, for a model that writes no text");
        return take_label(g, amounts, err);
    }
    if (best == n) {
        guess_no_label(g, texts);
        return LORAC_OK;
    }
    WHY(g, best, "%zu values, %s", g->columns[best].values,
        rank == NAMED_SO ? "and called like a label" : "the fewest that come again");
    return take_label(g, best, err);
}

/* ---- the texts ---- */

static void add_text(struct lorac_guess *g, size_t c)
{
    if (g->n_texts < LORAC_INIT_MAX_TEXTS) { g->text[g->n_texts++] = c; }
}

/* The longest but for the answer; with `fit`, of texts that are not called like something else. */
static size_t longest(const struct lorac_guess *g, bool fit)
{
    size_t n = lorac_table_columns(g->table);
    size_t best = n;
    for (size_t c = 0; c < n; c++) {
        if (c == g->answer || (fit && (!is_text(g, c) || is_called_other(g, c)))) { continue; }
        if (best == n || g->columns[c].bytes > g->columns[best].bytes) { best = c; }
    }
    return best;
}

/* Those that are called so; or else the longest of the other columns. */
static void guess_texts(struct lorac_guess *g)
{
    size_t n = lorac_table_columns(g->table);
    for (size_t c = 0; c < n; c++) {
        if (c == g->answer || !is_called(g, c, text_names) || !is_text(g, c)) { continue; }
        add_text(g, c);
        WHY(g, c, "called like a text");
    }
    if (g->n_texts) { return; }
    size_t best = longest(g, true);
    if (best == n) { best = longest(g, false); }
    add_text(g, best);
    WHY(g, best, n == 2 ? "the other column" : "the longest text of the other columns");
}

/* Beside one that is blank less often, a text may be missing. */
static void mark_optional(struct lorac_guess *g)
{
    size_t main = 0;
    for (size_t i = 1; i < g->n_texts; i++) {
        if (g->columns[g->text[i]].blank < g->columns[g->text[main]].blank) { main = i; }
    }
    for (size_t i = 0; i < g->n_texts; i++) {
        g->optional[i] = i != main && g->columns[g->text[i]].blank > 0;
    }
}

/* ---- several labels ---- */

bool lorac_guess_may_be_several(const struct lorac_guess *g, size_t c)
{
    bool named = is_called_label(g, c) || is_called(g, c, answer_names);
    if (is_taken(g, c) || (!named && (is_called(g, c, text_names) || is_called_other(g, c)))) {
        return false;
    }
    size_t texts = 0;
    for (size_t i = 0; i < lorac_table_columns(g->table); i++) {
        if (i == c) { continue; }
        texts += is_text(g, i);
        bool answers = is_called(g, i, answer_names) && is_text(g, i);
        if (answers || (is_few(g, i) && is_called_label(g, i))) { return false; }
    }
    return texts > 0;
}

bool lorac_guess_is_called_tags(const struct lorac_guess *g, size_t c)
{
    char folded[NAME_BYTES];
    const char *name = name_of(g, c);
    fold_name(folded, name, strlen(name));
    return strcmp(folded, "nertags") == 0 || is_called_label(g, c);
}

/* ---- all of it ---- */

static enum lorac_status find_column(size_t *c, const struct lorac_guess *g, const char *option,
                                     const char *name, struct lorac_err *err)
{
    enum lorac_status st = lorac_table_column_find(c, g->table, name, err);
    if (st) { lorac_err_prefix(err, "%s: ", option); }
    return st;
}

static enum lorac_status take_texts(struct lorac_guess *g, const struct lorac_first_columns *o,
                                    struct lorac_err *err)
{
    size_t most = lorac_table_columns(g->table);
    if (!g->free) { most--; } // one answers
    if (most > LORAC_INIT_MAX_TEXTS) { most = LORAC_INIT_MAX_TEXTS; }
    if (o->n_texts > most) {
        return lorac_fail(err, LORAC_EUSER, "--text: %zu columns of %zu, expected at most %zu",
                          o->n_texts, lorac_table_columns(g->table), most);
    }
    for (size_t i = 0; i < o->n_texts; i++) {
        size_t c = 0;
        enum lorac_status st = find_column(&c, g, "--text", o->texts[i], err);
        if (st) { return st; }
        if (is_taken(g, c)) {
            return lorac_fail(err, LORAC_EUSER, "--text %s: is given twice", o->texts[i]);
        }
        add_text(g, c);
        WHY(g, c, "as --text asks");
    }
    return LORAC_OK;
}

static enum lorac_status take_asked_label(struct lorac_guess *g, const char *label,
                                          struct lorac_err *err)
{
    enum lorac_status st = find_column(&g->answer, g, "--label", label, err);
    if (!st && is_taken(g, g->answer)) {
        return lorac_fail(err, LORAC_EUSER, "--label %s: is the column of a --text, too", label);
    }
    if (!st) { st = take_label(g, g->answer, err); }
    if (!st && g->classes.K) {
        WHY(g, g->answer, "as --label asks; %zu values", g->columns[g->answer].values);
    } else if (!st) {
        WHY(g, g->answer, "as --label asks; %s, for its values hardly come again",
            are_numbers(&g->columns[g->answer]) ? "numbers" : "free text");
    }
    return st;
}

enum lorac_status lorac_guess_columns(struct lorac_guess *g, const struct lorac_first_columns *o,
                                      struct lorac_err *err)
{
    size_t n = lorac_table_columns(g->table);
    enum lorac_status st = LORAC_OK;
    g->free = n == 1;
    g->columns = lorac_mem_new(n, sizeof *g->columns);
    if (!g->columns) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a recipe"); }
    if (o->label && g->free) {
        return lorac_fail(err, LORAC_EUSER,
                          "--label: %s has one column, expected a text beside the label%s",
                          g->table_path, lorac_table_delimiter_hint(g->table));
    }
    st = look_at_cells(g, err);
    if (!st) { st = count_values(g, err); }
    for (size_t c = 0; c < n && !st; c++) {
        (void)rank_of(g, c); // what speaks against it
    }
    if (!st) { st = take_texts(g, o, err); }
    size_t asked = n;
    if (!st && o->label) { st = find_column(&asked, g, "--label", o->label, err); }
    if (!st && !g->free) { st = lorac_guess_several(g, asked, err); }
    if (!st && !g->target && o->label) { st = take_asked_label(g, o->label, err); }
    if (!st && !g->target && !o->label && !g->free) { st = guess_label(g, err); }
    if (st) { return st; }
    if (n == 1) {
        g->n_texts = 1;
        WHY(g, 0, "the only column; every word of it is learnt");
    } else if (g->n_texts == 0) {
        guess_texts(g);
    }
    mark_optional(g);
    return LORAC_OK;
}
