/* predict_part.h - inside recipes/: rows on their way to a file; see predict.h. */
#ifndef LORAC_RECIPES_PREDICT_PART_H
#define LORAC_RECIPES_PREDICT_PART_H

#include "base/core/err.h"
#include "datasets/datasets.h"

/* Whole rows in n bytes of CSV, the header among them, and where the last of them ends. A process
 * that was killed may have left a part of a row behind them. */
size_t lorac_part_whole(size_t *end, const char *at, size_t n, char quote);

/* Zeroed = closed. */
struct lorac_part {
    const char *out; // borrowed
    char *part, *id; // paths
    size_t rows;     // that an earlier call left, the header not counted
    bool resumed;
};
/* Begin anew or, with `resume`, go on. `id`: what the rows answer. The header is the caller's to
 * add, unless `resumed`. */
LORAC_MUST_CHECK enum lorac_status lorac_part_open(struct lorac_part *p, const char *out,
                                                   const char id[65],
                                                   const struct lorac_table_format *format,
                                                   bool resume, bool overwrite,
                                                   struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_part_add(const struct lorac_part *p, const char *bytes,
                                                  size_t n, struct lorac_err *err);
LORAC_MUST_CHECK enum lorac_status lorac_part_finish(const struct lorac_part *p,
                                                     struct lorac_err *err); // OUT appears
LORAC_MUST_CHECK enum lorac_status lorac_part_drop(const struct lorac_part *p,
                                                   struct lorac_err *err); // both files
void lorac_part_close(struct lorac_part *p);                               // they stay

#endif
