/* mistakes.h - where an evaluation of labels fails, as `lorac eval` tells it. */
#ifndef LORAC_TOOLS_MISTAKES_H
#define LORAC_TOOLS_MISTAKES_H

#include "tools/verbs.h"

/* The labels that do worst, or all of them, the pairs that are confused most, and the calibration
 * where probabilities were asked for: to stdout; and under keys of their own. */
enum lorac_status mistakes_show(const struct lorac_verdicts *v, bool all, struct lorac_err *err);
enum lorac_status mistakes_json(struct out *o, const struct lorac_verdicts *v,
                                struct lorac_err *err);
/* The rows that went wrong as a table: line, labels, probabilities and log-likelihoods, prompt. */
enum lorac_status mistakes_write(const char *path, const struct lorac_verdicts *v,
                                 const struct lorac_job *j, const struct lorac_dataset *set,
                                 struct lorac_err *err);
/* The same where rows have several labels, tags or a number: line, what was wanted, the answer, of
 * numbers the error, the farthest off first and all of them; prompt. */
enum lorac_status mistakes_write_rows(const char *path, const struct lorac_predictions *p,
                                      const struct lorac_job *j, const struct lorac_dataset *set,
                                      struct lorac_err *err);
/* Could it be written there? Asked before the work. */
enum lorac_status mistakes_check(const char *path, struct lorac_err *err);

#endif
