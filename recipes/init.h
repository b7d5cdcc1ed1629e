/*
 * init.h - a first recipe for a table: what can be guessed from the file is guessed and said in comments, the
 * rest has its default. The result is a recipe that reads without errors; it is meant to be edited.
 *
 *   format     the delimiter with which every row has as many fields as the first, the most fields
 *              winning, with quotes or, where no delimiter works so, without; a first row of short, distinct words that do not occur below it is a header
 *   columns    the label: 2 to 256 distinct values, at least 4 rows each on average, the fewest winning;
 *              the text: of the others the longest on average; without a label the answer: a column called
 *              answer, output, ref, ... or else the last; one column alone is free text, all of it trained
 *   length     the 99th percentile of the rows' tokens (of free text the longest row), rounded up to 16
 */
#ifndef LORAC_RECIPES_INIT_H
#define LORAC_RECIPES_INIT_H

#include "base/core/buf.h"
#include "base/core/err.h"

/* Append the recipe for the model folder `model` and the table `table`. Check buf->no_memory. Errors are
 * those of the model's and the tokenizer's files and of the table. */
LORAC_MUST_CHECK enum lorac_status lorac_recipe_init(struct lorac_buf *out, const char *model,
                                                     const char *table, struct lorac_err *err);

#endif
