/*
 * init.h - a first recipe for a table: what can be guessed from the file is guessed and said in
 * comments, the rest has its default. The result is a recipe that reads without errors; it is meant
 * to be edited.
 *
 *   format     encoding by the bytes; the delimiter with which every row has as many fields as the
 *              first, the most fields winning, with quotes, or without where no delimiter works
 *              with them or a lone quote would swallow rows; a first row of names is a header:
 *              known words, words above numbers, numbers from 0 or 1 on, short words that do not
 *              occur below; names may be missing or doubled
 *   columns    the label: a few values that come again, one that is called so or else the fewest;
 *              never ids, sentences, or what is blank in many rows. The texts: those that are
 *              called so, or else the longest. Instruction and answer come before a label. Without
 *              a label the answer: a column called answer, output, ref, ... or else the last text;
 *              one column alone is free text, all of it trained
 *   objective  a head for labels where the model is an encoder, which can't write them, and where
 *              there are many of them or many rows: a row costs its text alone then. Lists of
 *              labels, and cells of several between ';', '|' or ',' that come in other company
 *              again and again, are multilabel; a column with as many words in each row as another
 *              one has, fewer different ones, holds tags. Numbers are an encoder's where there are
 *              no labels
 *   template   the texts one below the other; one that is blank in some rows is an optional part;
 *              two for an encoder are a pair
 *   length     the 99th percentile of the rows' tokens (of free text the longest row), rounded up
 *              to 16; longer rows lose the beginning of the prompt, or where an answer alone is
 *              longer are left out
 *   training   rate, batch, epochs, warm-up and evaluations by the rule of first.h
 */
#ifndef LORAC_RECIPES_INIT_H
#define LORAC_RECIPES_INIT_H

#include "base/core/buf.h"
#include "base/core/err.h"

LORAC_API_BEGIN

/* What the caller chooses. */
struct lorac_first_columns {
    const char *label;        // column, by name or number; NULL: guessed
    const char *const *texts; // (n_texts) columns of the prompt; none: guessed
    size_t n_texts;
};

/* Append the recipe for the model folder `model` and the table `table`, and to `told` what was
 * guessed and why, in lines for people. `o` may be NULL. Check both bufs' no_memory. Errors are
 * those of the model's and the tokenizer's files and of the table. */
LORAC_MUST_CHECK enum lorac_status lorac_recipe_init(struct lorac_buf *out, struct lorac_buf *told,
                                                     const char *model, const char *table,
                                                     const struct lorac_first_columns *o,
                                                     struct lorac_err *err);

LORAC_API_END

#endif
