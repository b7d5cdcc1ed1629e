/* reader.h - inside recipes/: a job's head asked one text at a time, or several together: what
 * predictor.h does where a head answers. */
#ifndef LORAC_RECIPES_READER_H
#define LORAC_RECIPES_READER_H

#include "recipes/run/predictor.h"

struct lorac_reader;
/* Of a job whose objective has a target. `names` (n): the variables, borrowed. */
LORAC_MUST_CHECK enum lorac_status lorac_reader_new(struct lorac_reader **out,
                                                    const struct lorac_job *j,
                                                    const char *const *names, size_t n,
                                                    const struct lorac_socket *socket,
                                                    struct lorac_err *err);
void lorac_reader_free(struct lorac_reader *r);
const struct lorac_template *lorac_reader_template(const struct lorac_reader *r);
size_t lorac_reader_words(const struct lorac_reader *r); // the variable of words; SIZE_MAX: none
/* The text for these values; `list`: that of words is a list of JSON. *cut: tokens that it lost. */
LORAC_MUST_CHECK enum lorac_status lorac_reader_text(size_t *cut, struct lorac_reader *r,
                                                     const struct lorac_cell *values, bool list,
                                                     struct lorac_err *err);
/* As lorac_predictor_add, _run, _ranked, _text and _clear. */
LORAC_MUST_CHECK enum lorac_status lorac_reader_add(bool *added, struct lorac_reader *r,
                                                    struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_reader_run(struct lorac_reader *r, struct lorac_err *err);
/* All labels, the likeliest first: shares of all, or of several each label's own. */
const struct lorac_ranked *lorac_reader_ranked(struct lorac_reader *r, size_t i);
/* The labels above the threshold, the number, a tag for each word ("_" for one that was cut away).
 * Until the next call; text.no_memory is the caller's to check. */
const struct lorac_answer *lorac_reader_answer(struct lorac_reader *r, size_t i);
void lorac_reader_clear(struct lorac_reader *r);

#endif
