/* init_told.c - what was guessed about a table, in lines for people; see init_guess.h. */
#include "recipes/run/init_guess.h"

static void tell_format(struct lorac_buf *b, const struct lorac_guess *g)
{
    static const struct {
        char delimiter;
        const char *name;
    } names[] = {{',', "commas"}, {'\t', "tabs"}, {';', "semicolons"}, {'|', "bars"}};
    const char *name = "";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].delimiter == g->format.delimiter) { name = names[i].name; }
    }
    size_t n = lorac_table_columns(g->table);
    lorac_buf_printf(b, "table     %zu %s of %zu %s", g->rows, lorac_guess_rows(g->rows), n,
                     n == 1 ? "column" : "columns");
    if (g->format.kind == LORAC_TABLE_JSONL) {
        lorac_buf_str(b, ", JSON lines");
    } else if (n > 1) {
        lorac_buf_printf(b, ", between %s", name);
    }
    lorac_buf_str(b, lorac_guess_is_named(g) ? "" : ", without a header");
    lorac_buf_str(b, "\n");
    if (g->why_header[0]) { lorac_buf_printf(b, "header    the first row: %s\n", g->why_header); }
    if (g->format.encoding) {
        lorac_buf_printf(b, "encoding  %s: %s\n", lorac_encoding_name(g->format.encoding),
                         g->why_encoding);
    }
    if (!g->format.quote && g->format.kind == LORAC_TABLE_CSV) {
        lorac_buf_printf(b, "quote     '', quotes are characters like others: %s\n", g->why_quote);
    }
    const struct lorac_tally *blank = lorac_table_blank_lines(g->table);
    const struct lorac_tally *cells = lorac_table_long_cells(g->table);
    if (blank->n) {
        lorac_buf_printf(b, "note      %zu blank lines are no rows, the first is line %llu\n",
                         blank->n, (unsigned long long)blank->line[0]);
    }
    if (!cells->n) { return; }
    lorac_buf_printf(b, "note      %zu %s line ends and delimiters, the first in line %llu",
                     cells->n, cells->n == 1 ? "cell holds" : "cells hold",
                     (unsigned long long)cells->line[0]);
    if (g->rows_unquoted) {
        lorac_buf_printf(b,
                         "; with data.format.quote: '' there would be %zu rows of as many cells\n",
                         g->rows_unquoted - g->format.header);
    } else {
        lorac_buf_str(b, "; without quotes the rows would not have as many cells each\n");
    }
}

const char *lorac_guess_objective(const struct lorac_guess *g)
{
    size_t i = 0;
    while (lorac_objectives[i].target != g->target) {
        i++;
    }
    return lorac_objectives[i].name;
}

void lorac_guess_why_head(struct lorac_buf *b, const struct lorac_guess *g)
{
    if (g->target == LORAC_TARGET_TAGS) {
        lorac_buf_str(b, "each word has a tag");
    } else if (g->target == LORAC_TARGET_LABELS && !g->separator) {
        lorac_buf_str(b, "its cells are lists of labels");
    } else if (g->target == LORAC_TARGET_LABELS) {
        lorac_buf_printf(b, "a cell may hold several labels, between '%s'", g->separator);
    } else if (g->encoder) {
        lorac_buf_str(b, "this model reads and does not write");
    } else if (g->target == LORAC_TARGET_NUMBER) {
        lorac_buf_str(b, "so many different numbers are amounts");
    } else if (g->classes.K > LORAC_INIT_MANY_LABELS) {
        lorac_buf_printf(b, "%zu labels cost as much as one", g->classes.K);
    } else {
        lorac_buf_printf(b, "%zu rows cost their texts alone", g->rows);
    }
}

static void tell_columns(struct lorac_buf *b, const struct lorac_guess *g)
{
    enum { TOLD = 12 };
    if (!g->free) {
        lorac_buf_str(b, g->classes.K ? "label     " : "answer    ");
        lorac_guess_tell_column(b, g, g->answer);
        lorac_buf_printf(b, ": %s\n", g->columns[g->answer].why);
    }
    for (size_t i = 0; i < g->n_texts; i++) {
        lorac_buf_str(b, "text      ");
        lorac_guess_tell_column(b, g, g->text[i]);
        lorac_buf_printf(b, ": %s", g->columns[g->text[i]].why);
        if (g->optional[i]) {
            lorac_buf_printf(b, "; blank in %zu rows, an optional part of the prompt",
                             g->columns[g->text[i]].blank);
        }
        lorac_buf_str(b, "\n");
    }
    if (g->target) {
        lorac_buf_printf(b, "objective %s: ", lorac_guess_objective(g));
        lorac_guess_why_head(b, g);
        lorac_buf_str(b, g->encoder || g->target != LORAC_TARGET_LABEL
                             ? "\n"
                             : " (causal_lm learns to write the label's words)\n");
    }
    size_t unused = 0;
    for (size_t c = 0; c < lorac_table_columns(g->table); c++) {
        if (lorac_guess_uses(g, c) || unused++ >= TOLD) { continue; }
        lorac_buf_str(b, "not used  ");
        lorac_guess_tell_column(b, g, c);
        lorac_buf_printf(b, ": %s\n", g->columns[c].why);
    }
    if (unused > TOLD) { lorac_buf_printf(b, "not used  %zu more\n", unused - TOLD); }
    if (lorac_guess_keeps_blank(g)) {
        lorac_buf_printf(b, "rows      %zu of %zu have none of the labels (on_empty: keep)\n",
                         g->empty, g->rows);
    } else if (g->empty) {
        lorac_buf_printf(b,
                         "rows      %zu of %zu with a blank cell are left out (on_empty: skip)\n",
                         g->empty, g->rows);
    }
    if (g->long_answers) {
        lorac_buf_printf(b,
                         "rows      %zu of %zu with more than %zu tokens are left out, for an "
                         "answer is longer than that (on_too_long: skip)\n",
                         g->longer, g->rows, g->max_length);
    }
    if (unused) { lorac_buf_str(b, "--label COLUMN and --text COLUMN choose others.\n"); }
}

void lorac_guess_tell(struct lorac_buf *b, const struct lorac_guess *g)
{
    tell_format(b, g);
    tell_columns(b, g);
}
