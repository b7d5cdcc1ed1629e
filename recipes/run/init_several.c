/* init_several.c - cells that hold several labels, and tags beside words; see init.h. */
#include "recipes/run/init_guess.h"

#include "base/core/mem.h"

#include <stdio.h>
#include <string.h>

enum {
    MOST_COLUMNS = 64, // each is compared with each
    WORDS = 3,         // in some row, so that equal numbers are no chance
    MORE = 2,          // times as many different words as tags
    ITEM_BYTES = 40,   // of one of several labels, on average; longer ones are parts of sentences
    ITEM_SPACES = 2,   // the same
    SEVERAL = 10,      // per cent of the cells, at least, that hold more than one
};

/* The parts of a column's cells. */
struct parts {
    size_t cells, several; // that are not blank; with more than one part
    size_t plain;          // cells that are no lists of JSON lines
    size_t n, bytes, spaces, numbers;
};

static void count_parts(struct parts *p, const struct lorac_items *items, bool list)
{
    p->cells += items->n > 0;
    p->plain += items->n > 0 && !list;
    p->several += items->n > 1;
    p->n += items->n;
    for (size_t i = 0; i < items->n; i++) {
        p->bytes += items->at[i].n;
        p->numbers += lorac_cell_is_number(&items->at[i]);
        for (size_t k = 0; k < items->at[i].n; k++) {
            p->spaces += items->at[i].at[k] == ' ';
        }
    }
}

/* parts (columns) written: of all rows. */
static enum lorac_status read_parts(struct parts *parts, const struct lorac_guess *g,
                                    const char *separator, struct lorac_err *err)
{
    struct lorac_row row = {0};
    struct lorac_items items = {0};
    enum lorac_status st = LORAC_OK;
    memset(parts, 0, lorac_table_columns(g->table) * sizeof *parts);
    for (size_t i = 0; i < lorac_table_rows(g->table) && !st; i++) {
        st = lorac_table_row(&row, g->table, i, err);
        for (size_t c = 0; c < row.n && !st; c++) {
            bool list = row.nested && row.nested[c];
            st = lorac_items_read(&items, &row.cells[c], list, separator, err);
            if (!st) { count_parts(&parts[c], &items, list); }
            if (st == LORAC_EFORMAT) { st = LORAC_OK; } // a list of something else has no parts
        }
    }
    lorac_items_free(&items);
    lorac_row_free(&row);
    return st;
}

/* The different parts of column c; g->classes K 0: more than labels are. */
static enum lorac_status collect(struct lorac_guess *g, size_t c, enum lorac_target target,
                                 struct lorac_err *err)
{
    const struct lorac_collect_options o = {
        .target = target, .separator = g->separator, .max = LORAC_INIT_MAX_LABELS};
    lorac_classes_free(&g->classes);
    enum lorac_status st = lorac_classes_collect(&g->classes, g->table, c, &o, err);
    return st == LORAC_EUSER ? LORAC_OK : st;
}

/* Do they come again? */
static bool come_again(const struct lorac_guess *g, const struct parts *p)
{
    return g->classes.K > 1 && g->classes.K * LORAC_INIT_ROWS_A_LABEL <= p->n;
}

/* ---- several labels ---- */

static enum lorac_status try_labels(bool *are, struct lorac_guess *g, size_t c,
                                    const struct parts *p, struct lorac_err *err)
{
    bool amounts = p->numbers == p->n && g->separator[0] == ','; // 1,5
    bool several = p->several > 1 && 100 * p->several >= SEVERAL * p->cells && !amounts;
    bool lists = p->cells && !p->plain;
    *are = (several || lists) && p->bytes <= ITEM_BYTES * p->n && p->spaces <= ITEM_SPACES * p->n;
    if (!*are) { return LORAC_OK; }
    enum lorac_status st = collect(g, c, LORAC_TARGET_LABELS, err);
    // fewer than there are cells: they stand together now so, now otherwise
    *are = !st && come_again(g, p) && (lists || g->classes.K < g->columns[c].values);
    return st;
}

static enum lorac_status find_labels(struct lorac_guess *g, size_t asked, struct parts *parts,
                                     struct lorac_err *err)
{
    static const char *const separators[] = {";", "|", ","};
    size_t n = lorac_table_columns(g->table);
    enum lorac_status st = LORAC_OK;
    for (size_t s = 0; s < sizeof separators / sizeof *separators && !st; s++) {
        g->separator = separators[s];
        st = read_parts(parts, g, g->separator, err);
        for (size_t c = 0; c < n && !st; c++) {
            bool are = false;
            if (asked < n ? c != asked : !lorac_guess_may_be_several(g, c)) { continue; }
            st = try_labels(&are, g, c, &parts[c], err);
            if (!are) { continue; }
            g->target = LORAC_TARGET_LABELS;
            g->answer = c;
            if (!parts[c].plain) { g->separator = NULL; }
            (void)snprintf(g->columns[c].why, sizeof g->columns[c].why, "%zu labels, %s",
                           g->classes.K, g->separator ? "several in a cell" : "in lists");
            return LORAC_OK;
        }
    }
    lorac_classes_free(&g->classes);
    return st;
}

/* ---- tags ---- */

/* equal (columns,columns) written: both have as many words in each row. */
static enum lorac_status compare_columns(bool *equal, size_t *most, const struct lorac_guess *g,
                                         struct lorac_err *err)
{
    size_t n = lorac_table_columns(g->table);
    size_t words[MOST_COLUMNS] = {0};
    struct lorac_row row = {0};
    struct lorac_items items = {0};
    enum lorac_status st = LORAC_OK;
    size_t left = 1; // pairs that are equal yet
    for (size_t k = 0; k < n * n; k++) {
        equal[k] = k / n != k % n;
    }
    for (size_t i = 0; i < lorac_table_rows(g->table) && left && !st; i++) {
        st = lorac_table_row(&row, g->table, i, err);
        for (size_t c = 0; c < row.n && !st; c++) {
            bool list = row.nested && row.nested[c];
            st = lorac_items_read(&items, &row.cells[c], list, NULL, err);
            words[c] = st ? SIZE_MAX - c : items.n; // no words: like no other column
            if (st == LORAC_EFORMAT) { st = LORAC_OK; }
            if (words[c] > most[c] && words[c] < SIZE_MAX - n) { most[c] = words[c]; }
        }
        left = 0;
        for (size_t k = 0; k < n * n && !st; k++) {
            equal[k] = equal[k] && words[k / n] == words[k % n];
            left += equal[k];
        }
    }
    lorac_items_free(&items);
    lorac_row_free(&row);
    return st;
}

/* Of the columns whose words come again, with one beside it whose words do so less. */
static enum lorac_status choose_tags(struct lorac_guess *g, const bool *equal, const size_t *most,
                                     size_t asked, const struct parts *parts, struct lorac_err *err)
{
    size_t n = lorac_table_columns(g->table);
    size_t K[MOST_COLUMNS] = {0}; // different words; SIZE_MAX: too many to be tags
    enum lorac_status st = LORAC_OK;
    bool found = false;
    for (size_t c = 0; c < n && !st; c++) {
        st = collect(g, c, LORAC_TARGET_TAGS, err);
        K[c] = come_again(g, &parts[c]) ? g->classes.K : SIZE_MAX;
    }
    for (size_t t = 0; t < n && !st; t++) {
        size_t words = n;
        for (size_t w = 0; w < n; w++) {
            bool text = g->n_texts ? w == g->text[0] : words == n || K[w] > K[words];
            if (equal[t * n + w] && K[w] / MORE >= K[t] && text) { words = w; }
        }
        bool fits = words < n && K[t] < SIZE_MAX && most[t] >= WORDS;
        bool better = !found || lorac_guess_is_called_tags(g, t);
        if (!fits || (asked < n ? t != asked : !better)) { continue; }
        found = true;
        g->answer = t;
        g->text[0] = words;
    }
    if (!found || st) {
        lorac_classes_free(&g->classes);
        return st;
    }
    g->target = LORAC_TARGET_TAGS;
    g->n_texts = 1;
    (void)snprintf(g->columns[g->answer].why, sizeof g->columns[g->answer].why,
                   "%zu tags, as many in each row as it has words", K[g->answer]);
    (void)snprintf(g->columns[g->text[0]].why, sizeof g->columns[g->text[0]].why,
                   "words, each of which has a tag");
    return collect(g, g->answer, LORAC_TARGET_TAGS, err);
}

static enum lorac_status find_tags(struct lorac_guess *g, size_t asked, struct parts *parts,
                                   struct lorac_err *err)
{
    size_t n = lorac_table_columns(g->table);
    size_t most[MOST_COLUMNS] = {0};
    if (n > MOST_COLUMNS || g->n_texts > 1) { return LORAC_OK; }
    bool *equal = lorac_mem_new(n * n, sizeof *equal);
    if (!equal) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a recipe"); }
    enum lorac_status st = compare_columns(equal, most, g, err);
    bool any = false;
    for (size_t k = 0; k < n * n; k++) {
        any = any || (equal[k] && most[k / n] >= WORDS);
    }
    g->separator = NULL;
    if (!st && any) { st = read_parts(parts, g, NULL, err); }
    if (!st && any) { st = choose_tags(g, equal, most, asked, parts, err); }
    lorac_mem_free(equal);
    return st;
}

enum lorac_status lorac_guess_several(struct lorac_guess *g, size_t asked, struct lorac_err *err)
{
    struct parts *parts = lorac_mem_new(lorac_table_columns(g->table), sizeof *parts);
    if (!parts) { return lorac_fail(err, LORAC_ENOMEM, "no memory for a recipe"); }
    enum lorac_status st = find_tags(g, asked, parts, err);
    if (!st && !g->target) { st = find_labels(g, asked, parts, err); }
    lorac_mem_free(parts);
    return st;
}
