/*
 * The page about runs. What is promised:
 *   - it needs nothing else: no address, no script, no file; every element that begins ends;
 *   - a run with all there is shows curves, labels, wrong rows with their texts, samples, recipe;
 *   - so does a run without a step, with one, without validation, with losses that are no number,
 *     and a failed one, which says why; none of them draws what is no number;
 *   - no text of a table, an answer or a recipe can be markup;
 *   - of several runs the keys that differ, what each does, and the curves of all are shown;
 *   - the rows' texts are those that were evaluated: of a table that has changed none is shown;
 *   - a failed allocation or call is reported.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "recipes/report/report.h"
#include "tests/support/faults.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const both[] = {"eval.metrics=[loss, accuracy, macro_f1]", "eval.samples=2",
                                   NULL};

/* Every element that begins ends, in order; attributes are quoted. */
static void is_whole(const char *page)
{
    char open[64][16];
    size_t depth = 0;
    for (const char *c = strchr(page, '<'); c; c = strchr(c + 1, '<')) {
        const char *end = strchr(c, '>');
        assert_non_null(end);
        if (c[1] == '!') { continue; }
        size_t n = strspn(c + 1 + (c[1] == '/'), "abcdefghijklmnopqrstuvwxyz0123456789B");
        assert_in_range(n, 1, 15);
        char name[16] = "";
        memcpy(name, c + 1 + (c[1] == '/'), n);
        size_t quotes = 0;
        for (const char *q = c; q < end; q++) {
            quotes += *q == '"';
        }
        assert_true(quotes % 2 == 0);
        if (c[1] == '/') {
            assert_true(depth > 0);
            if (strcmp(open[--depth], name) != 0) { fail_msg("</%s> of <%s>", name, open[depth]); }
        } else if (end[-1] != '/' && strcmp(name, "meta") != 0) {
            assert_true(depth < 64);
            memcpy(open[depth++], name, sizeof name);
        }
    }
    assert_int_equal(depth, 0);
}

static void needs_nothing(const char *page)
{
    static const char *const never[] = {"http:", "https:",  "//",   "<script", "src=",  "href",
                                        "url(",  "@import", "<img", "<link",   "onload"};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        const char *at = strstr(page, never[i]);
        if (at) { fail_msg("the page holds %.80s", at); }
    }
    assert_null(strstr(page, "nan"));
    assert_null(strstr(page, "\"inf"));
}

/* The page of one run, checked; the caller's (lorac_mem_free). */
static char *page_of(const char *run)
{
    struct lorac_record *r = NULL;
    struct lorac_buf b = {0};
    struct lorac_err err = {0};
    const struct lorac_report_options o = {0};
    if (lorac_record_open(&r, tiny_path(run), &err)) { fail_msg("%s", err.text); }
    if (lorac_report(&b, &(struct lorac_runs){.at = &r, .n = 1}, &o, &err)) {
        fail_msg("%s", err.text);
    }
    lorac_record_close(r);
    is_whole(b.at);
    needs_nothing(b.at);
    return b.at;
}

static void holds(const char *page, const char *text)
{
    if (!strstr(page, text)) { fail_msg("the page does not hold '%s'", text); }
}

static void keep_predictions(const char *run, size_t step, const char *rows)
{
    char name[100];
    struct lorac_buf b = {0};
    (void)snprintf(name, sizeof name, "%s/predictions", run);
    assert_int_equal(lorac_dir_make(tiny_path(name), NULL), LORAC_OK);
    (void)snprintf(name, sizeof name, "%s/predictions/%zu.csv", run, step);
    lorac_buf_printf(&b, "line,wanted,answer,right,probability,text,exact,loss,tokens\n%s", rows);
    tiny_text(name, b.at);
    lorac_buf_free(&b);
}

static size_t best_step(const char *run)
{
    struct lorac_record *r = NULL;
    assert_int_equal(lorac_record_open(&r, tiny_path(run), NULL), LORAC_OK);
    size_t step = r->best_step;
    lorac_record_close(r);
    return step;
}

static void a_whole_run_shows_all_there_is(void **state)
{
    (void)state;
    runs_well("whole", LORAC_RUN_NEW, NULL, both);
    keep_predictions(
        "whole", best_step("whole"),
        "2,good,good,1,0.9,,,0.1,3\n3,bad,good,0,0.7,,,1.25,3\n4,bad,bad,1,0.8,,,0.2,3\n");
    char *page = page_of("whole");
    static const char *const all[] = {"<span class=\"state\">finished</span>",
                                      "11 steps",
                                      "<b>Loss</b>",
                                      "<b>Metrics</b>",
                                      "<b>Learning rate</b>",
                                      "<b>Gradient norm</b>",
                                      "<b>Speed</b>",
                                      "best: step",
                                      "<b>Confusion</b>",
                                      "<b>F1 of each label</b>",
                                      "1 of 3 rows went wrong",
                                      "0.700",
                                      "1.250",
                                      "Sample answers",
                                      "optimizer.lr",
                                      "The whole recipe, resolved",
                                      "(prefers-color-scheme:dark)",
                                      "@media print",
                                      "bad: 1 of 2 rows were answered good"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        holds(page, all[i]);
    }
    lorac_mem_free(page);
}

static void a_run_without_validation_is_shown(void **state)
{
    (void)state;
    static const char *const none[] = {"-data.valid", "output.keep=[last]", NULL};
    runs_well("trains", LORAC_RUN_NEW, NULL, none);
    char *page = page_of("trains");
    holds(page, "Nothing was evaluated");
    holds(page, "<b>Loss</b>");
    assert_null(strstr(page, "<b>Metrics</b>"));
    lorac_mem_free(page);
}

static void a_run_without_metrics_or_with_few_is_shown(void **state)
{
    (void)state;
    runs_well("few", LORAC_RUN_NEW, NULL, NULL);
    size_t n = 0;
    char *text = tiny_read(tiny_path("few/metrics.csv"), &n);
    size_t ends[3] = {0}; // of the header, the first step, the second
    for (size_t i = 0, k = 0; k < 3; i++) {
        if (text[i] == '\n') { ends[k++] = i + 1; }
    }
    for (size_t k = 0; k < 3; k++) {
        assert_int_equal(lorac_file_write(tiny_path("few/metrics.csv"), text, ends[k], NULL),
                         LORAC_OK);
        char *page = page_of("few");
        holds(page, k ? "<b>Loss</b>" : "Nothing to draw");
        lorac_mem_free(page);
    }
    lorac_mem_free(text);
}

static void a_loss_that_is_no_number_is_said_not_drawn(void **state)
{
    (void)state;
    struct lorac_record *r = NULL;
    struct lorac_record_line lines[40];
    struct lorac_buf b = {0};
    const struct lorac_report_options o = {0};
    runs_well("lost", LORAC_RUN_NEW, NULL, NULL);
    assert_int_equal(lorac_record_open(&r, tiny_path("lost"), NULL), LORAC_OK);
    assert_in_range(r->n_lines, 5, 40);
    memcpy(lines, r->lines, r->n_lines * sizeof *lines);
    lines[1].metric[LORAC_METRIC_LOSS] = (double)NAN;
    lines[2].metric[LORAC_METRIC_LOSS] = (double)INFINITY;
    lines[2].grad_norm = (double)NAN;
    lines[0].seconds = 0.0;
    r->lines = lines;
    assert_int_equal(lorac_report(&b, &(struct lorac_runs){.at = &r, .n = 1}, &o, NULL), LORAC_OK);
    is_whole(b.at);
    needs_nothing(b.at);
    holds(b.at, "Not drawn: 2 losses that are no finite number.");
    lorac_record_close(r);
    lorac_buf_free(&b);
}

static void a_failed_run_says_why(void **state)
{
    (void)state;
    static const char *const above[] = {"train.watchdog.loss_above=0.001",
                                        "train.watchdog.patience=3", NULL};
    struct lorac_run_result result;
    struct lorac_err err = {0};
    assert_int_equal(runs_go(&result, "failed", LORAC_RUN_NEW, NULL, above, &err), LORAC_EUSER);
    char *page = page_of("failed");
    holds(page, "<span class=\"state failed\">failed</span>");
    holds(page, "in each of the last 3 steps");
    holds(page, "3 of 11 steps");
    lorac_mem_free(page);
}

static void no_text_is_markup(void **state)
{
    (void)state;
    static const char *const named[] = {"template.prompt=<script>{text}</script>", NULL};
    runs_well("<b>hostile", LORAC_RUN_NEW, NULL, named);
    keep_predictions("<b>hostile", best_step("<b>hostile"),
                     "2,</td><script>,</title><img src=x>,0,0.9,,,0.1,3\n3,a,a,1,0.9,,,0.1,3\n");
    tiny_text("<b>hostile/samples.csv", "step,prompt,want,got\n"
                                        "4,</div><script>,\"\"\"><svg onload=x>\",<!--\n");
    struct lorac_record *r = NULL;
    struct lorac_buf b = {0};
    const struct lorac_report_options o = {.title = "</title><script>"};
    assert_int_equal(lorac_record_open(&r, tiny_path("<b>hostile"), NULL), LORAC_OK);
    assert_int_equal(lorac_report(&b, &(struct lorac_runs){.at = &r, .n = 1}, &o, NULL), LORAC_OK);
    lorac_record_close(r);
    is_whole(b.at);
    static const char *const never[] = {"<script", "<img", "<!--", "<svg onload", "<b>hostile"};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        assert_null(strstr(b.at, never[i]));
    }
    holds(b.at, "&lt;/td&gt;&lt;script&gt;");
    holds(b.at, "&quot;&gt;&lt;svg onload=x&gt;");
    lorac_buf_free(&b);
}

static void texts_are_those_that_were_evaluated(void **state)
{
    (void)state;
    size_t n = 0;
    runs_well("texts", LORAC_RUN_NEW, NULL, both);
    char *table = tiny_read(tiny_path("valid.csv"), &n);
    char first[64] = "";
    const char *row = strchr(table, '\n') + 1;
    memcpy(first, row, strcspn(row, ",\n"));
    keep_predictions("texts", best_step("texts"), "2,good,bad,0,0.9,,,0.1,3\n");
    char *page = page_of("texts");
    holds(page, "<th>text</th>");
    holds(page, first);
    lorac_mem_free(page);
    tiny_edit("valid.csv", "\n", "\n\n"); // another table now
    page = page_of("texts");
    assert_null(strstr(page, "<th>text</th>"));
    assert_int_equal(lorac_file_write(tiny_path("valid.csv"), table, n, NULL), LORAC_OK);
    lorac_mem_free(page);
    lorac_mem_free(table);
}

static void several_runs_are_compared(void **state)
{
    (void)state;
    static const char *const ranks[3][3] = {{"adapter.rank=2", "seed=1", NULL},
                                            {"adapter.rank=4", "seed=2", NULL},
                                            {"adapter.rank=8", "seed=1", NULL}};
    static const char *const names[] = {"rank2", "rank4", "rank8"};
    struct lorac_record *r[3];
    struct lorac_buf b = {0};
    const struct lorac_report_options o = {.title = "ranks & seeds"};
    for (size_t i = 0; i < 3; i++) {
        runs_well(names[i], LORAC_RUN_NEW, NULL, ranks[i]);
        assert_int_equal(lorac_record_open(&r[i], tiny_path(names[i]), NULL), LORAC_OK);
    }
    char dir[] = "sweep/<007>";
    char why[] = "its base is <gone>";
    struct lorac_run_broken broken = {dir, why};
    const struct lorac_runs runs = {
        .at = r, .n = 3, .broken = &broken, .n_broken = 1, .to_come = 2};
    assert_int_equal(lorac_report(&b, &runs, &o, NULL), LORAC_OK);
    is_whole(b.at);
    needs_nothing(b.at);
    static const char *const all[] = {"ranks &amp; seeds",
                                      "3 runs, 3 at their end",
                                      "2 to come",
                                      "<b>&lt;007&gt;</b> its base is &lt;gone&gt;",
                                      "<tr class=\"best\">",
                                      "<td class=\"verdict\">rank8",
                                      "<th>adapter.rank</th>",
                                      "What each key does",
                                      "<b>seed</b>",
                                      "Curves of all",
                                      "<b>Training loss</b>",
                                      "The best run"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        holds(b.at, all[i]);
    }
    assert_null(strstr(b.at, "<th>output.dir</th>"));
    for (size_t i = 0; i < 3; i++) {
        lorac_record_close(r[i]);
    }
    lorac_buf_free(&b);
}

static void every_failure_is_reported(void **state)
{
    (void)state;
    struct lorac_record *r = NULL;
    const struct lorac_report_options o = {0};
    struct lorac_buf want = {0};
    runs_well("faults", LORAC_RUN_NEW, NULL, both);
    keep_predictions("faults", best_step("faults"),
                     "2,good,good,1,0.9,,,0.1,3\n3,bad,good,0,0.7,,,1.25,3\n");
    assert_int_equal(lorac_record_open(&r, tiny_path("faults"), NULL), LORAC_OK);
    assert_int_equal(lorac_report(&want, &(struct lorac_runs){.at = &r, .n = 1}, &o, NULL),
                     LORAC_OK);
    for (enum faults_kind kind = FAULTS_CALLS; kind <= FAULTS_MEMORY; kind++) {
        long failures = 0;
        for (bool met = true; met; failures = met ? faults_next(failures, 7) : failures) {
            struct lorac_buf b = {0};
            struct lorac_err err = {0};
            faults_start(kind, failures);
            enum lorac_status st =
                lorac_report(&b, &(struct lorac_runs){.at = &r, .n = 1}, &o, &err);
            met = faults_stop();
            assert_int_equal(st, met && st ? faults_status(kind) : LORAC_OK);
            assert_true(!st || err.text[0]);
            // without the rows' texts, where their table can't be read: that is no failure
            assert_true(st || kind == FAULTS_CALLS || b.n == want.n);
            lorac_buf_free(&b);
        }
        assert_true(failures > 3);
    }
    lorac_buf_free(&want);
    lorac_record_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_run_shows_all_there_is),
        cmocka_unit_test(a_run_without_validation_is_shown),
        cmocka_unit_test(a_run_without_metrics_or_with_few_is_shown),
        cmocka_unit_test(a_loss_that_is_no_number_is_said_not_drawn),
        cmocka_unit_test(a_failed_run_says_why),
        cmocka_unit_test(no_text_is_markup),
        cmocka_unit_test(texts_are_those_that_were_evaluated),
        cmocka_unit_test(several_runs_are_compared),
        cmocka_unit_test(every_failure_is_reported),
    };
    return cmocka_run_group_tests(tests, runs_make, runs_remove);
}
