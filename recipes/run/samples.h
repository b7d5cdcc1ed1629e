/*
 * samples.h - inside recipes/: the sample answers of a run, DIR/samples.csv: a row for each answer
 * of each evaluation that was the best so far, and of the last, in their order.
 *
 *   step,prompt,want,got
 *
 * A resumed run keeps the rows up to the step that it goes on from, so that in the end the file is
 * that of an uninterrupted run.
 */
#ifndef LORAC_RECIPES_SAMPLES_H
#define LORAC_RECIPES_SAMPLES_H

#include "recipes/run/files.h"

/* Before the first step: what is behind `step`, and a row that was cut short, is removed. */
LORAC_MUST_CHECK enum lorac_status lorac_samples_begin(const struct lorac_run_paths *p, size_t step,
                                                       struct lorac_err *err);
/* Append a row: prompt, wanted and given text. */
void lorac_samples_row(struct lorac_buf *rows, size_t step, const struct lorac_buf text[3]);
/* The rows of one evaluation into the file, behind its header where it is new. */
LORAC_MUST_CHECK enum lorac_status lorac_samples_add(const struct lorac_run_paths *p,
                                                     const struct lorac_buf *rows,
                                                     struct lorac_err *err);

struct lorac_sample {
    size_t step;
    const char *prompt, *want, *got;
};
struct lorac_samples {
    struct lorac_sample *at; // (n) as they were written
    size_t n;
    struct lorac_arena *arena; // owns all of it
};
/* Those of the run in `dir`; none where there is no file. A row cut short at the end is left
 * out. */
LORAC_MUST_CHECK enum lorac_status lorac_samples_read(struct lorac_samples *out, const char *dir,
                                                      struct lorac_err *err);
void lorac_samples_free(struct lorac_samples *s); // zeroed is accepted

#endif
