/*
 * predict.h - answers for the rows of a table that has only what the prompt needs.
 *
 * The table that is written is the table that was read, byte for byte (quotes, line ends, byte
 * order mark), with more cells behind each row: "prediction" and, where that is one label,
 * "probability", the label's share of the likelihood of all labels (choose.h); with `top` K
 * also "prediction_2", "probability_2" and so on.
 *
 *   OUT.part      rows that are answered, while it goes on; a table of its own
 *   OUT.part.id   what they are answers to: a hash of model, adapter, recipe and table
 *
 * Both go when OUT appears. They stay where the caller stops it or the process is killed, for
 * `resume`.
 */
#ifndef LORAC_RECIPES_PREDICT_H
#define LORAC_RECIPES_PREDICT_H

#include "recipes/run/job.h"
#include "recipes/run/predictor.h"

LORAC_API_BEGIN

/* Takes rows as they are answered; false: it could not. */
typedef bool lorac_write_fn(void *self, const char *bytes, size_t n);

struct lorac_predict_options {
    const char *in;    // the table; its name in messages where the bytes are given
    const char *bytes; // (n_bytes) NULL: the file is read
    size_t n_bytes;
    const char *out;       // a file
    lorac_write_fn *write; // or this takes the rows, and there is nothing to resume; `out` is NULL
    const char *adapter;   // the folder that the socket came from; NULL: the base
    size_t max_tokens;     // of a generated answer
    size_t top;            // labels a row; 0: one
    bool scores;           // all labels, with all digits of their probabilities
    const enum lorac_encoding *encoding; // of the table; NULL: the recipe's, or what it plainly is
    bool resume, overwrite;              // go on with OUT.part; drop what is there
    struct lorac_ranks *ranks;   // each answers a part of the rows; rank 0 writes. NULL: nobody
    lorac_progress_fn *progress; // false: stop
    void *self;                  // of progress and write
};

struct lorac_predicted {
    size_t rows;    // answered and written
    size_t all;     // of the table
    size_t resumed; // of `rows`, by an earlier call
    bool stopped;   // by the caller
    size_t empty;   // rows of the table with a blank cell in the prompt
    size_t unasked; // of these, left without an answer (data.on_empty: skip)
    size_t cut;     // with a prompt that was too long, cut as in training
    size_t silent;  // of this call's answers: the model ended at its first token
    size_t
        unwritten; // of this call's answers: with what the table cannot hold: a space stands for it
    size_t blank_lines;
    struct lorac_tally long_cells; // lorac_table_long_cells()
    enum lorac_encoding encoding;  // of the table; what is written is UTF-8
    bool other_encoding;           // than the recipe's
    char delimiter;                // of the table, where it is another than the recipe's; else 0
};

/* Read the table in the recipe's format or, where that does not fit it, with the delimiter and the
 * encoding that do, and write it, as UTF-8, with the answers. All rows are checked before the first
 * is answered. LORAC_EUSER: a column that is missing or has the name of one that is added, a prompt
 * without a variable, a blank cell in a prompt where data.on_empty is error. *counts: also where it
 * failed. */
LORAC_MUST_CHECK enum lorac_status lorac_predict(struct lorac_predicted *counts,
                                                 const struct lorac_job *j,
                                                 const struct lorac_socket *socket,
                                                 const struct lorac_predict_options *o,
                                                 struct lorac_err *err);

LORAC_API_END

#endif
