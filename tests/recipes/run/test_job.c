/*
 * Opening a job's data. What is promised:
 *   - advice about data.format says where it holds for another table, too;
 *   - the labels are answers that rows have: a blank cell whose row is skipped is none.
 */
#include "recipes/run/job.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* "KEY=PATH" of a file in the folder; valid until the next call. */
static const char *set_path(const char *key, const char *name)
{
    static char text[512];
    (void)snprintf(text, sizeof text, "%s=%s", key, tiny_path(name));
    return text;
}

static void an_answer_that_no_row_has_is_no_label(void **state)
{
    (void)state;
    struct lorac_job *j = NULL;
    struct lorac_err err = {0};
    tiny_text("gaps.csv", "text,label\na,x\nb,y\nc,\nd,x\ne, \nf,y\ng,x\nh,x\ni,x\nj,x\n"
                          "k,x\nl,x\nm,x\nn,x\no,x\np,x\n");
    const char *const sets[] = {set_path("data.train", "gaps.csv"), "-data.valid",
                                "data.on_empty=skip", NULL};
    struct lorac_recipe *r = runs_recipe(tiny_path("none"), sets);
    if (lorac_job_open(&j, r, LORAC_JOB_TRAIN, &err)) { fail_msg("%s", err.text); }
    assert_int_equal(j->K, 2);
    assert_string_equal(j->labels[0], "x");
    assert_string_equal(j->labels[1], "y");
    lorac_job_close(j);
    lorac_recipe_free(r);
}

/* Advice for one table would spoil the other. */
static void tables_of_one_recipe_are_written_alike(void **state)
{
    (void)state;
    struct lorac_job *j = NULL;
    struct lorac_err err = {0};
    tiny_text("comma.csv", "text,label\na,x\nb,y\nc,x\nd,y\ne,x\nf,y\ng,x\nh,y\n");
    tiny_text("semicolon.csv", "text;label\na;x\nb;y\n");
    char valid[512];
    (void)snprintf(valid, sizeof valid, "data.valid=%s", tiny_path("semicolon.csv"));
    const char *const sets[] = {set_path("data.train", "comma.csv"), valid, NULL};
    struct lorac_recipe *r = runs_recipe(tiny_path("none"), sets);
    assert_int_equal(lorac_job_open(&j, r, LORAC_JOB_TRAIN, &err), LORAC_EUSER);
    assert_non_null(strstr(err.text, "is data.format.delimiter ';'?; data.train is read with "
                                     "data.format, too: both are written alike"));
    lorac_recipe_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_that_no_row_has_is_no_label),
        cmocka_unit_test(tables_of_one_recipe_are_written_alike),
    };
    return cmocka_run_group_tests_name("job", tests, runs_make, runs_remove);
}
