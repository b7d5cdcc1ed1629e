/*
 * runs.h - small training runs in the folder of tiny.h: a model, two tables, one recipe, and the
 * files that a run leaves, compared byte for byte.
 */
#ifndef LORAC_TESTS_RUNS_H
#define LORAC_TESTS_RUNS_H

#include "recipes/run/run.h"

enum { RUNS_STEPS = 11 }; // of the recipe below: 20 rows, 3 a micro-batch, 2 a step, 3 epochs

/* Write model/, train.csv (20 rows), valid.csv (6 rows) into tiny_dir(). cmocka set-up and
 * tear-down. */
int runs_make(void **state);
int runs_remove(void **state);

/* The recipe with output.dir OUT (a name in tiny_dir()) and more "KEY=VALUE" settings,
 * NULL-terminated (or NULL for none): dropout, shuffle, accumulate 2, an evaluation every 4 steps,
 * a save every 5. */
struct lorac_recipe *runs_recipe(const char *out, const char *const *sets);

/* Run it. `watch` may be NULL. */
enum lorac_status runs_go(struct lorac_run_result *result, const char *out,
                          enum lorac_run_mode mode, const struct lorac_run_watch *watch,
                          const char *const *sets, struct lorac_err *err);
/* The same, failing the test unless it succeeds. */
struct lorac_run_result runs_well(const char *out, enum lorac_run_mode mode,
                                  const struct lorac_run_watch *watch, const char *const *sets);

/* What that recipe names, opened: its parts (LORAC_JOB_...). Fails the test where it cannot be. */
struct runs_job {
    struct lorac_recipe *r;
    struct lorac_job *j;
};
void runs_open_job(struct runs_job *s, unsigned parts, const char *const *sets);
void runs_close_job(struct runs_job *s);

/* Running it fails with a message that is `want`, or `holds` it, in which "DIR" stands for the
 * folder of all. */
void runs_refused(const char *out, enum lorac_run_mode mode, const char *const *sets,
                  const char *want, bool holds);

/* Fails the test unless both folders hold the same adapters, state, predictions, samples and
 * metrics (but for seconds). */
void runs_same(const char *a, const char *b);
/* metrics.csv with the last column of each line cut off; to be freed with lorac_mem_free(). */
char *runs_metrics(const char *out);

/* run.json of that run holds the text. */
void runs_in_manifest(const char *out, const char *text);

/* -log p of `answer`, and of EOS where asked, behind `before`: one segment, one plain pass of the
 * base. How many tokens that is, is added to *tokens, which may be NULL. */
double runs_nll(const struct lorac_job *j, const char *before, const char *answer, bool eos,
                size_t *tokens);

/* A watch that asks to stop after step `at`. */
struct runs_stop {
    size_t at, step;
};
struct lorac_run_watch runs_stop_watch(struct runs_stop *s);

#endif
