/*
 * report.h - a page about one run or several, to be looked at in a browser and kept: HTML in one
 * file that needs nothing else (page.h).
 *
 *   one run:  how it ended, curves of training and validation, what its labels were confused with,
 *             its answers, the rows that went wrong, its recipe
 *   several:  which is best and which can't be told from it, what each key that differs does,
 *             curves of all; and the best one as above
 */
#ifndef LORAC_RECIPES_REPORT_H
#define LORAC_RECIPES_REPORT_H

#include "recipes/report/board.h"

LORAC_API_BEGIN

/* What a page holds in its first lines, and no other file. */
#define LORAC_REPORT_MARK "<meta name=\"generator\" content=\"lorac report\">"

struct lorac_report_options {
    const char *title; // NULL: the run's name, or what the runs have in common
    size_t refresh;    // seconds after which a browser loads the page again; 0: never
};
/* Append the page of at least one run; of a sweep as its file says: by its objective, in its
 * groups, with the trials that failed. */
LORAC_MUST_CHECK enum lorac_status lorac_report(struct lorac_buf *out,
                                                const struct lorac_runs *runs,
                                                const struct lorac_report_options *o,
                                                struct lorac_err *err);

LORAC_API_END

#endif
