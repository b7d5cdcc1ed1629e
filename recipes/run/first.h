/*
 * first.h - the numbers of a first recipe: rate, batch, epochs, warm-up and evaluations that give a
 * good model for a table and a base that nobody has tried together yet. A pure function, and what
 * it was measured against.
 */
#ifndef LORAC_RECIPES_FIRST_H
#define LORAC_RECIPES_FIRST_H

#include <stddef.h>

/* What is known before the first step. Zeros count as one. */
struct lorac_first_size {
    size_t rows;       // that train, the validation rows left out
    size_t valid_rows; // that an evaluation scores
    size_t labels;     // to choose from; 0: free text
    double tokens;     // of a row, on average
    double trained;    // of these, on average
    size_t parameters; // of the base
};

struct lorac_first {
    double lr;
    size_t batch_tokens;  // a multiple of 16
    double rows_a_step;   // that these hold, on average
    size_t epochs, steps; // `steps` of all epochs, about
    unsigned warmup;      // per cent of the steps
    double eval_epochs;   // between two evaluations, a quarter, a half or whole; 0: one at the end
};

struct lorac_first lorac_first_choose(const struct lorac_first_size *size);

#endif
