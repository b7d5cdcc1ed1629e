/* cmd_runs.c - `lorac runs`: runs side by side, and which of them cannot be told apart. */
#include "tools/board.h"
#include "tools/verbs.h"

static size_t all_of(const char *to[MAX_GIVEN], const struct args *a, const char *name)
{
    size_t n = 0;
    while ((to[n] = args_each(a, name, n))) {
        n++;
    }
    return n;
}

static int run(const struct args *a)
{
    static const char *const here[] = {"."};
    const char *where[MAX_GIVEN + 1];
    const char *group_by[MAX_GIVEN + 1];
    const struct lorac_board_options o = {.where = where,
                                          .n_where = all_of(where, a, "--where"),
                                          .group_by = group_by,
                                          .n_group_by = all_of(group_by, a, "--group-by"),
                                          .metric = args_text(a, "--metric", NULL),
                                          .sort = args_text(a, "--sort", NULL)};
    enum board_form form = args_has(a, "--json")  ? BOARD_JSON
                           : args_has(a, "--csv") ? BOARD_CSV
                                                  : BOARD_TABLE;
    return board_print(a->n_positional ? a->positional : here,
                       a->n_positional ? a->n_positional : 1, &o, form, !args_has(a, "--no-cost"));
}

static const struct option options[] = {
    {"--where", "KEY=VALUE", "only runs with this value of a recipe's key", false, true},
    {"--group-by", "KEY",
     "runs that differ in it alone are one row (default: seed); none: each is a row", false, true},
    {"--metric", "NAME", "compare by it (default: what chose best/)", false, false},
    {"--sort", "NAME", "metric, seconds, memory, size, folder, or a key (default: metric)", false,
     false},
    {"--no-cost", NULL, "without time, memory and size, which differ each time", false, false},
    {"--csv", NULL, "print the rows as CSV", false, false},
    {"--json", NULL, "print one JSON object", false, false},
    {0},
};

const struct verb verb_runs = {
    .name = "runs",
    .usage = "[DIR...] [--where KEY=VALUE] [--group-by KEY] [--metric NAME] [--sort NAME]",
    .summary = "runs side by side: what differs, how good, how sure",
    .about =
        "  lorac runs runs                               all runs below a folder\n"
        "  lorac runs runs --where adapter.rank=16       those with a value\n"
        "  lorac runs a b --group-by none --metric loss  two runs, by their losses\n\n"
        "Shown are the keys that differ, the best evaluation of each run with its 95 % interval, "
        "and what it cost. Runs that differ in the seed alone are one row, with the mean and the "
        "deviation. The best is marked *, and = what cannot be told from it: by McNemar's test on "
        "the rows that both answered, of a metric that is no mean over them by the bootstrap, "
        "where 5 % is the chance that any difference is told wrongly. Runs that did not finish "
        "stand below. Of a sweep's folder its group_by and its objective count, unless others are "
        "given. Without DIR it looks below the current folder.\n",
    .options = options,
    .max_positional = MAX_GIVEN,
    .run = run,
};
