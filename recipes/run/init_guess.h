/* init_guess.h - inside recipes/: what `lorac recipe init` guesses about a table, in five files:
 * init_format.c how it is written, init_columns.c which columns are asked and answered,
 * init_several.c whether cells hold several labels, init.c the recipe's text, init_told.c what is
 * said of it. */
#ifndef LORAC_RECIPES_INIT_GUESS_H
#define LORAC_RECIPES_INIT_GUESS_H

#include "datasets/datasets.h"
#include "recipes/run/first.h"
#include "recipes/run/init.h"

enum {
    LORAC_INIT_LOOKED_AT = 2000, // rows that a header and texts are judged by
    LORAC_INIT_MAX_LABELS = 256, // as in labels.c: more are free text
    LORAC_INIT_ROWS_A_LABEL = 4, // the same
    LORAC_INIT_MAX_TEXTS = 16,   // columns in a prompt
    LORAC_INIT_MANY_LABELS = 16, // more are a head's
};

/* What the cells of a column are like. */
struct lorac_init_column {
    size_t blank;         // of all rows
    size_t values;        // different ones that are not blank; LORAC_INIT_MAX_LABELS + 1: more
    size_t seen;          // cells looked at that are not blank
    size_t bytes, spaces; // of these
    size_t numbers;       // of these
    size_t dates;         // of these: digits with signs between them
    char why[160];        // why it is used, or not
};

struct lorac_guess {
    char *model, *table_path; // absolute
    struct lorac_table *table;
    struct lorac_table_format format;
    char why_encoding[64], why_quote[320], why_header[160];
    size_t rows_unquoted;              // more than with quotes, and of as many cells; 0: no
    size_t messages;                   // the column of conversations; SIZE_MAX: there is none
    bool free;                         // one column: text to go on from anywhere, no answer
    struct lorac_init_column *columns; // (columns of the table)
    size_t text[LORAC_INIT_MAX_TEXTS], n_texts;
    bool optional[LORAC_INIT_MAX_TEXTS]; // a text column that is blank in some rows, beside another
    size_t answer;                       // column; the label where there are labels
    struct lorac_classes classes;        // of the label; K 0: free text
    bool encoder;                        // the model reads whole texts and does not write
    enum lorac_target target;            // of a head; none: the model writes the answer
    const char *separator;               // of LORAC_TARGET_LABELS; NULL: cells are lists
    size_t max_length, limit;            // the model's own limit
    size_t longer, empty, rows;          // rows longer than max_length, with an empty cell, of all
    bool long_answers;                   // some for their answers alone: none of them is used
    struct lorac_first_size size;        // tokens and parameters
};

/* g->table, opened as it seems to be written. */
LORAC_MUST_CHECK enum lorac_status lorac_guess_format(struct lorac_guess *g, struct lorac_err *err);
/* g->text, answer, classes, columns: as asked for, else as they look. */
LORAC_MUST_CHECK enum lorac_status lorac_guess_columns(struct lorac_guess *g,
                                                       const struct lorac_first_columns *o,
                                                       struct lorac_err *err);

/* g->target, answer, classes, and of tags the text, where the cells say plainly that they hold
 * several labels, or a tag for each word of another column; `asked`: the column that answers, or
 * the number of columns. */
LORAC_MUST_CHECK enum lorac_status lorac_guess_several(struct lorac_guess *g, size_t asked,
                                                       struct lorac_err *err);
/* May column c hold several labels, and no other be the label rather? */
bool lorac_guess_may_be_several(const struct lorac_guess *g, size_t c);
/* Of several labels a blank cell is none of them: where no other cell is blank, no row is lost. */
static inline bool lorac_guess_keeps_blank(const struct lorac_guess *g)
{
    return g->target == LORAC_TARGET_LABELS && g->empty && g->columns[g->answer].blank == g->empty;
}
bool lorac_guess_is_called_tags(const struct lorac_guess *g, size_t c);
const char *lorac_guess_objective(const struct lorac_guess *g); // its name

static inline const char *lorac_guess_rows(size_t n)
{
    return n == 1 ? "row" : "rows";
}
bool lorac_guess_is_named(const struct lorac_guess *g);       // its columns have names
bool lorac_guess_uses(const struct lorac_guess *g, size_t c); // the recipe reads column c
bool lorac_guess_amounts(const struct lorac_guess *g);        // the answers are numbers, not codes
void lorac_guess_tell_column(struct lorac_buf *b, const struct lorac_guess *g, size_t c);
void lorac_guess_why_head(struct lorac_buf *b, const struct lorac_guess *g);
/* Append all that was guessed and why. */
void lorac_guess_tell(struct lorac_buf *b, const struct lorac_guess *g);

bool lorac_cell_is_number(const struct lorac_cell *c);
/* Whether a name (upper or lower case, without blanks and the like) is one that labels, answers or
 * texts have. */
bool lorac_name_is_known(const char *name, size_t n);

#endif
