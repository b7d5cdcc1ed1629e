/*
 * The labels of a recipe's rows. What is promised:
 *   - labels of a column and labels of a map are counted for each split, the commonest of training
 *     first;
 *   - what looks like a slip of the table is told: labels in two writings, labels that one split
 *     lacks or has alone, one text with two labels, a single label, a column that was nearly one of
 *     labels;
 *   - a split whose label training knows in another writing alone is an error, and so is one
 *     without a single row that could be answered right, where labels are compared; other unknown
 *     labels are counted.
 */
#include "recipes/run/labels.h"

#include "base/core/mem.h"
#include "recipes/run/evaluate.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct lorac_recipe *recipe;
static struct lorac_job *job;

/* The tables, and "KEY=VALUE" settings; `valid` NULL: none. */
static enum lorac_status open_job(const char *train, const char *valid, const char *const *more,
                                  struct lorac_err *err)
{
    const char *sets[8] = {"-data.valid"};
    char paths[2][512];
    size_t n = 1;
    tiny_text("l.csv", train);
    (void)snprintf(paths[0], sizeof paths[0], "data.train=%s", tiny_path("l.csv"));
    sets[n++] = paths[0];
    if (valid) {
        tiny_text("v.csv", valid);
        (void)snprintf(paths[1], sizeof paths[1], "data.valid=%s", tiny_path("v.csv"));
        sets[n++] = paths[1];
    }
    for (; more && *more; more++) {
        sets[n++] = *more;
    }
    recipe = runs_recipe(tiny_path("none"), sets);
    return lorac_job_open(&job, recipe, LORAC_JOB_TRAIN | LORAC_JOB_NO_MODEL, err);
}

static void close_job(void)
{
    lorac_job_close(job);
    lorac_recipe_free(recipe);
    job = NULL;
}

static struct lorac_label_look *look(const char *train, const char *valid, const char *const *more)
{
    struct lorac_err err = {0};
    struct lorac_label_look *l = NULL;
    if (open_job(train, valid, more, &err) || lorac_labels_look(&l, job, &err)) {
        fail_msg("%s", err.text);
    }
    return l;
}

/* The notes are these, and no others. */
static void notes_are(const struct lorac_label_look *l, const char *const *want, size_t n)
{
    for (size_t i = 0; i < n && i < l->n; i++) {
        assert_string_equal(l->note[i].at, want[i]);
    }
    for (size_t i = n; i < l->n; i++) {
        fail_msg("too many: %s", l->note[i].at);
    }
    assert_int_equal(l->n, n);
}

#define NOTES_ARE(l, ...)                                  \
    do {                                                   \
        static const char *const want_[] = {__VA_ARGS__};  \
        notes_are(l, want_, sizeof want_ / sizeof *want_); \
    } while (0)

static const char plain[] = "text,label\na,x\nb,y\nc,x\nd,y\ne,x\nf,x\ng,x\nh,y\n";

static void labels_are_counted(void **state)
{
    (void)state;
    struct lorac_label_look *l = look("text,label\na,y\nb,x\nc,x\nd,y\ne,x\nf,x\ng,x\nh,y\n",
                                      "text,label\ni,x\nj,y\nk,y\n", NULL);
    assert_int_equal(l->K, 2);
    assert_string_equal(job->labels[l->order[0]], "x");
    assert_string_equal(job->labels[l->order[1]], "y");
    assert_int_equal(l->split[0].count[l->order[0]], 5);
    assert_int_equal(l->split[0].count[l->order[1]], 3);
    assert_int_equal(l->split[1].count[l->order[0]], 1);
    assert_int_equal(l->split[1].rows, 3);
    assert_int_equal(l->split[2].rows, 0);
    assert_true(fabs(lorac_label_majority(l, 0) - 5.0 / 8.0) < 1e-12);
    assert_true(fabs(lorac_label_majority(l, 1) - 1.0 / 3.0) < 1e-12);
    assert_int_equal(l->n, 0);
    lorac_label_look_free(l);
    close_job();

    const char *const map[] = {"data.labels.map={x: good, y: bad, z: bad}", NULL};
    l = look("text,label\na,x\nb,y\nc,z\n", "text,label\nd,z\n", map);
    assert_int_equal(l->K, 2);
    assert_int_equal(l->split[0].count[1], 2);
    assert_int_equal(l->split[1].count[1], 1);
    NOTES_ARE(l, "1 of the 2 labels stands in no row of data.valid: 'good'");
    lorac_label_look_free(l);
    close_job();
}

static void labels_in_two_writings_are_told(void **state)
{
    (void)state;
    struct lorac_label_look *l = look(
        "text,label\na,food\nb,food \nc,Food\nd,car\ne,food\nf,car\ng,food\nh,car\ni,food\nj,car\n"
        "k,food\nl,car\nm,food\nn,car\no,food\np,car\n",
        NULL, NULL);
    NOTES_ARE(
        l, "labels that differ in case, blanks or the way of writing a number alone are answers of "
           "their own: 'food' (7 rows), 'food ' (1), 'Food' (1); data.labels.map makes them one");
    lorac_label_look_free(l);
    close_job();
    l = look("text,label\na,x\nb,x\xC2\xA0\nc,x\nd,x\xC2\xA0\ne,x\nf,x\ng,x\nh,x\n", NULL, NULL);
    NOTES_ARE(
        l, "labels that differ in case, blanks or the way of writing a number alone are answers of "
           "their own: 'x' (6 rows), 'x<U+00A0>' (2); data.labels.map makes them one");
    lorac_label_look_free(l);
    close_job();
    const char *const map[] = {"data.labels.map={a: 'so so', b: 'So  so', c: '1', d: '1.0'}", NULL};
    l = look("text,label\nm,a\nn,b\no,c\np,d\n", NULL, map);
    NOTES_ARE(
        l,
        "labels that differ in case, blanks or the way of writing a number alone are answers of "
        "their own: 'so so' (1 row), 'So  so' (1); '1' (1 row), '1.0' (1); data.labels.map makes "
        "them one");
    lorac_label_look_free(l);
    close_job();
}

static void what_is_one_in_another_writing_is_one(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"food", "food", true},
        {"food", " Food\t", true},
        {"food", "food\xC2\xA0", true}, // a no-break space
        {"a b", "a \xC2\xA0  b", true},
        {"food", "fo\xE2\x80\x8Bod", true}, // of no width
        {"food",
         "\xEF\xBB\xBF"
         "food",
         true},
        {"caf\xC3\xA9", "CAFE\xCC\x81", true}, // composed or not
        {"Stra\xC3\x9F"
         "e",
         "STRASSE", true},
        {"ab", "\xEF\xBC\xA1\xEF\xBC\xA2", true}, // full width
        {"0", "0.0", true},
        {"0", "-0", true},
        {"10", "1e1", true},
        {"1", "01", true},
        {"1", " 1.00 ", true},
        {"ab", "a b", false},
        {"1", "1.01", false},
        {"1", "1a", false},
        {"cafe", "caf\xC3\xA9", false},
        {"", "0", false},
        {"yes", "no", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_buf a = {0};
        struct lorac_buf b = {0};
        lorac_label_fold(&a, cases[i].a);
        lorac_label_fold(&b, cases[i].b);
        if ((strcmp(a.at, b.at) == 0) != cases[i].same) {
            fail_msg("'%s' is '%s', '%s' is '%s'", cases[i].a, a.at, cases[i].b, b.at);
        }
        lorac_buf_free(&a);
        lorac_buf_free(&b);
    }
}

static void what_one_split_has_alone_is_told(void **state)
{
    (void)state;
    const char *const split[] = {"data.valid={split: 0.25}", NULL};
    struct lorac_label_look *l =
        look("text,label\na,x\nb,x\nc,x\nd,x\ne,x\nf,x\ng,x\nh,y\n", NULL, split);
    size_t y = l->order[1];
    size_t in_valid = l->split[1].count[y];
    assert_int_equal(in_valid + l->split[0].count[y], 1);
    if (in_valid) {
        NOTES_ARE(l, "data.valid alone has the label 'y': no training row has it");
    } else {
        NOTES_ARE(l, "1 of the 2 labels stands in no row of data.valid: 'y'");
    }
    lorac_label_look_free(l);
    close_job();
    // of a table of its own, one that training does not have is none of the labels
    l = look(plain, "text,label\ni,x\nj,z\nk,w\n", NULL);
    assert_int_equal(l->split[1].unknown, 2);
    NOTES_ARE(
        l, "1 of the 2 labels stands in no row of data.valid: 'y'",
        "2 of the 3 rows of data.valid have a label that no row of data.train has: they count as "
        "wrong");
    lorac_label_look_free(l);
    close_job();
}

static void one_text_with_two_labels_is_told(void **state)
{
    (void)state;
    struct lorac_label_look *l =
        look("text,label\nsame,x\nb,y\nsame,x\nsame,y\nd,x\nagain,y\nf,x\ng,x\n",
             "text,label\nagain,x\nb,y\n", NULL);
    NOTES_ARE(
        l, "2 texts have more than one label: l.csv:2 'x', l.csv:5 'y'; l.csv:7 'y', v.csv:2 'x'");
    lorac_label_look_free(l);
    close_job();
    // what the prompt does not show does not tell texts apart, what it shows does
    static const char table[] =
        "text,more,n,label\na,b,1,x\na,c,2,y\nab,,3,x\na,b,4,y\nb,b,5,x\nc,b,6,y\n"
        "d,b,7,x\ne,b,8,y\n";
    const char *const keep[] = {"template.prompt='{text} {more}'", "data.on_empty=keep", NULL};
    l = look(table, NULL, keep);
    NOTES_ARE(l, "1 text has more than one label: l.csv:2 'x', l.csv:5 'y'");
    lorac_label_look_free(l);
    close_job();
    l = look("text,label\na,x\na,y\nb,x\nb,y\nc,x\nc,y\nd,y\nd,x\ne,x\n", NULL, NULL);
    NOTES_ARE(
        l, "4 texts have more than one label: l.csv:2 'x', l.csv:3 'y'; l.csv:4 'x', l.csv:5 'y'; "
           "l.csv:6 'x', l.csv:7 'y'; ...");
    lorac_label_look_free(l);
    close_job();
}

static void a_label_that_all_rows_have_is_told(void **state)
{
    (void)state;
    struct lorac_label_look *l = look("text,label\na,x\nb,x\nc,x\nd,x\n", NULL, NULL);
    NOTES_ARE(l, "every row has the label 'x': there is nothing to choose from");
    lorac_label_look_free(l);
    close_job();
}

static void one_label_is_nothing_to_choose_from(void **state)
{
    (void)state;
    struct lorac_err err = {0};
    struct lorac_evaluator *e = NULL;
    struct lorac_evaluation_size size;
    static const char want[] =
        "every row of data.train has the label 'x': accuracy and macro F1 need two "
        "to choose from; eval.metrics: [loss] measures without them";
    assert_int_equal(
        open_job("text,label\na,x\nb,x\nc,x\nd,x\n", "text,label\ne,x\nf,y\n", NULL, &err),
        LORAC_OK);
    assert_int_equal(lorac_job_open_model(job, &err), LORAC_OK);
    assert_int_equal(lorac_job_evaluator(&e, job, job->valid.set, 4, NULL, &err), LORAC_EUSER);
    assert_string_equal(err.text, want);
    struct lorac_evaluator_options o = lorac_job_evaluation(job, job->valid.set, 4, NULL);
    assert_int_equal(lorac_evaluator_measure(&size, &o, &err), LORAC_EUSER);
    assert_string_equal(err.text, want);
    close_job();
}

static void answers_that_are_nearly_labels_are_told(void **state)
{
    (void)state;
    struct lorac_label_look *l = look("text,label\na,x\nb,y\nc,x\nd,y\ne,x\nf,y\n", NULL, NULL);
    assert_int_equal(l->K, 0);
    NOTES_ARE(
        l,
        "{label} is taken as free text: it has 2 different answers in 6 rows (labels have four "
        "rows each on average and are 256 at the most; data.labels.map makes any answers labels)");
    lorac_label_look_free(l);
    close_job();
    l = look("text,label\na,p\nb,q\nc,r\nd,s\ne,t\nf,u\n", NULL, NULL);
    assert_int_equal(l->n, 0); // each its own: text
    lorac_label_look_free(l);
    close_job();
}

static void refused(const char *train, const char *valid, const char *const *more, const char *want)
{
    struct lorac_err err = {0};
    assert_int_equal(open_job(train, valid, more, &err), LORAC_EUSER);
    assert_null(job);
    if (!strstr(err.text, want)) { fail_msg("'%s', not '%s'", err.text, want); }
    close_job();
}

static void a_split_in_another_writing_is_refused(void **state)
{
    (void)state;
    static const char numbers[] = "text,label\na,0\nb,1\nc,0\nd,1\ne,0\nf,1\ng,0\nh,1\n";
    refused(numbers, "text,label\na2,0.0\nb2,1.0\n", NULL,
            "v.csv:2: the label '0.0' (1 row of data.valid) stands in no row of data.train, but "
            "'0' does, "
            "which is the same in another writing; write them alike, or give both one label in "
            "data.labels.map");
    const char *const loss[] = {"eval.metrics=[loss]", NULL};
    refused(plain, "text,label\ni,x\nj,q\nk,Y\nl,Y\n", loss,
            "v.csv:4: the label 'Y' (2 rows of data.valid)");
    refused(plain, "text,label\ni,x\nj,x\xC2\xA0\n", NULL, "but 'x' does, which is the same");
    // where training has both it knows them apart
    struct lorac_err err = {0};
    assert_int_equal(open_job("text,label\na,x\nb,X\nc,x\nd,X\ne,x\nf,x\ng,x\nh,x\n",
                              "text,label\ni,X\n", NULL, &err),
                     LORAC_OK);
    close_job();
    // and so does a map
    const char *const map[] = {"data.labels.map={'0': no, '1': yes, '0.0': no, '1.0': yes}", NULL};
    assert_int_equal(open_job(numbers, "text,label\na2,0.0\nb2,1.0\n", map, &err), LORAC_OK);
    close_job();
}

static void a_split_without_a_right_answer_is_refused(void **state)
{
    (void)state;
    static const char other[] = "text,label\ni,p\nj,q\n";
    refused(
        plain, other, NULL,
        "v.csv:2: the label 'p' stands in no row of data.train, and so it is with all 2 rows of "
        "data.valid: none could be answered right; training has 'x', 'y'");
    struct lorac_err err = {0};
    const char *const loss[] = {"eval.metrics=[loss]", NULL};
    assert_int_equal(open_job(plain, other, loss, &err), LORAC_OK); // no label is compared
    close_job();
    assert_int_equal(open_job(plain, "text,label\ni,p\nj,x\n", NULL, &err), LORAC_OK);
    close_job();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_counted),
        cmocka_unit_test(labels_in_two_writings_are_told),
        cmocka_unit_test(what_is_one_in_another_writing_is_one),
        cmocka_unit_test(what_one_split_has_alone_is_told),
        cmocka_unit_test(one_text_with_two_labels_is_told),
        cmocka_unit_test(a_label_that_all_rows_have_is_told),
        cmocka_unit_test(one_label_is_nothing_to_choose_from),
        cmocka_unit_test(answers_that_are_nearly_labels_are_told),
        cmocka_unit_test(a_split_in_another_writing_is_refused),
        cmocka_unit_test(a_split_without_a_right_answer_is_refused),
    };
    return cmocka_run_group_tests_name("labels", tests, runs_make, runs_remove);
}
