/* shots.h - --shots and --shot-separator, for the verbs that have them. */
#ifndef LORAC_TOOLS_SHOTS_H
#define LORAC_TOOLS_SHOTS_H

#include "tools/cmd_recipes.h"

#define SHOT_OPTIONS                                                                            \
    {"--shots", "K", "rows of the training table in front of every prompt", false, false},      \
    {                                                                                           \
        "--shot-separator", "TEXT", "ends a shot and an answer (default: \\n\\n)", false, false \
    }

/* Fill o from the options: n stays as it is without --shots. \n, \t and \\ in the separator are one
 * character; `separator` owns it (lorac_buf_free). */
enum lorac_status shots_read(struct lorac_fewshot_options *o, struct lorac_buf *separator,
                             const struct args *a, struct lorac_err *err);

/* The data of --split NAME among the job's: *parts is what lorac_job_open() needs for it. With `j`,
 * *data is what it opened. */
enum lorac_status split_find(const struct lorac_data **data, unsigned *parts, const char *split,
                             const struct lorac_job *j, struct lorac_err *err);

#endif
