/* subject.h - what eval and predict are about: a recipe's data with the model as a run or --adapter
 * left it. */
#ifndef LORAC_TOOLS_SUBJECT_H
#define LORAC_TOOLS_SUBJECT_H

#include "tools/cmd_recipes.h"

struct subject {
    struct lorac_recipe *r;
    struct lorac_job *j;
    struct lorac_adapter *adapter; // NULL: the base as it is
    char *adapter_dir;
    struct lorac_stack stack;
    struct lorac_socket socket;
    struct status_line line;
    const char *doing; // "evaluating"
};

/* Of --base and --adapter one would win, and the other be ignored: true, and said, where both are
 * there. */
bool subject_excludes(const struct args *a);
/* `parts`: of the job. Signals ask to stop from now on. */
enum lorac_status subject_open(struct subject *s, const struct args *a, unsigned parts,
                               struct lorac_err *err);
void subject_close(struct subject *s);
bool subject_progress(void *self,
                      double done); // the status line; false where a signal asks to stop

#define SUBJECT_OPTIONS(what)                                                                   \
    {"--adapter", "DIR", what " with this adapter", false, false},                              \
        {"--base", NULL, what " with the base, without the run's adapter", false, false},       \
    {                                                                                           \
        "--force", NULL,                                                                        \
            "take an adapter of another base, template or labels, or one that changes nothing", \
            false, false                                                                        \
    }

#endif
