/* passages.h - what a head reads of a row, and what it should say of it. A part of datasets.h,
 * which says what holds everywhere. */
#ifndef LORAC_DATASETS_PASSAGES_H
#define LORAC_DATASETS_PASSAGES_H

#include "base/config.h"
#include "base/core/buf.h"
#include "base/core/err.h"
#include "base/tokenizer/tokenizer.h"
#include "datasets/tables.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

LORAC_API_BEGIN

/* What to do with a text over max_length. */
enum lorac_on_long {
    LORAC_LONG_TRUNCATE_PROMPT, // its beginning goes
    LORAC_LONG_SKIP,
    LORAC_LONG_ERROR,
    LORAC_LONG_TRUNCATE_END, // its end goes; of passages alone
};

/* The parts of a cell: of a list of JSON its elements, else what stands between the separators
 * (NULL: white space), less the blanks around it. What is blank is no part. Zeroed = empty. */
struct lorac_items {
    struct lorac_cell *at; // (n) borrow from the cell, or from `text`
    size_t n, cap;
    struct lorac_buf text;
};
/* LORAC_EFORMAT: a list that holds more than texts and numbers. */
LORAC_MUST_CHECK enum lorac_status lorac_items_read(struct lorac_items *items,
                                                    const struct lorac_cell *cell, bool list,
                                                    const char *separator, struct lorac_err *err);
void lorac_items_free(struct lorac_items *items);

/* ---- passages -----------------------------------------------------------------------------------
 * A row as a head reads it: a text, or a pair of them, with all that the tokenizer puts around:
 *
 *   [CLS] the soup was cold [SEP]        [CLS] premise [SEP] hypothesis [SEP]    types 0 and 1
 *
 * Of words (objective: tag) each is tokenised on its own, as behind a space: what transformers does
 * with is_split_into_words where the tokenizer puts one there (RoBERTa's add_prefix_space) or needs
 * none (BERT's); a word that gives no token is LORAC_EFORMAT. */
struct lorac_passages;
struct lorac_template;
struct lorac_passages_options {
    const struct lorac_tokenizer *tokenizer; // borrowed, as long as the passages
    const char *text, *pair;                 // templates; pair NULL: one text. Borrowed for the
                                             // call only, as the rest
    const char *const *variables;            // (n_variables)
    size_t n_variables;
    const char *hint;  // as of templates
    bool words;        // `text` is one variable, whose cell holds words between blanks, or a list
    size_t max_length; // tokens, those around included
    enum lorac_on_long on_too_long;
};
/* A pair where the tokenizer frames none is LORAC_EUSER. */
LORAC_MUST_CHECK enum lorac_status lorac_passages_open(struct lorac_passages **out,
                                                       const struct lorac_passages_options *o,
                                                       struct lorac_err *err);
void lorac_passages_close(struct lorac_passages *p);
/* The text is its prompt, the pair's second its completion. */
const struct lorac_template *lorac_passages_template(const struct lorac_passages *p);
/* The variable that holds words; SIZE_MAX: none does. */
size_t lorac_passages_words(const struct lorac_passages *p);

#define LORAC_NO_LABEL (-1)
/* One passage, and what it was made with. Zeroed = empty; owns its memory. */
struct lorac_passage {
    struct lorac_ids ids, types; // types: of a pair alone, else none
    struct lorac_ids words;      // of words: which one a token is the first of, else LORAC_NO_LABEL
    size_t n_words;
    size_t cut; // tokens that went because they were too many; SIZE_MAX: it does not fit
    struct lorac_ids side[2];
    struct lorac_items items;
    struct lorac_encoder *encoder;
};
/* For these values, one a variable; `list`: the cell of words is one of JSON. */
LORAC_MUST_CHECK enum lorac_status lorac_passage_make(struct lorac_passage *out,
                                                      const struct lorac_passages *p,
                                                      const struct lorac_cell *values, bool list,
                                                      struct lorac_err *err);
void lorac_passage_free(struct lorac_passage *x);

/* ---- targets ------------------------------------------------------------------------------------
 * What is known of a head's targets only when the training rows are read and the model is open.
 * Whoever opens datasets owns it, fills it before the first loader, and keeps it for longer. */
struct lorac_target_frame {
    enum lorac_text_row row; // of a text that the head reads
    size_t pad;              // as of the configuration: what it passes over
    bool bidirectional;      // a row depends on its whole text: no beginnings are shared
    double mean, deviation;  // of numbers, over the training rows
};

LORAC_API_END

#endif
