/*
 * Runs with a head side by side, and on a page. What is promised:
 *   - of every metric that an objective has, but AUC, the board knows an interval: that of a mean,
 *     where it is one over rows or words, is that of statistics.h within what draws differ by;
 *   - two runs that are right in as many rows are told apart by a metric that is no mean over them;
 *   - a metric that the predictions do not come to has no interval, and is not compared;
 *   - losses of two objectives, which have two units, are not compared;
 *   - a page tells the loss in its own unit, each label's scores of several labels and of tags as
 *     eval does, and of numbers what was wanted and given; a rank only where there is one;
 *   - each failure is reported.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "recipes/report/report.h"
#include "recipes/run/run.h"
#include "tests/recipes/run/heads.h"
#include "tests/support/faults.h"

#include <math.h>

/* A run of the objective in the folder NAME, best by `metric`. */
static void go(const char *name, const char *objective, unsigned metrics, const char *metric)
{
    struct lorac_buf all = {0};
    char best[40];
    char dir[40];
    struct lorac_run_result result;
    const struct lorac_run_watch nobody = {0};
    struct lorac_err err = {0};
    for (unsigned m = 0; m < LORAC_METRICS; m++) {
        if (!(metrics >> m & 1U)) { continue; }
        lorac_buf_printf(&all, "%s%s", all.n ? ", " : "eval.metrics=[", lorac_metric_name(m));
    }
    lorac_buf_str(&all, "]");
    (void)snprintf(best, sizeof best, "eval.best=%s", metric);
    (void)snprintf(dir, sizeof dir, "output.dir=@%s", name);
    bool alone = strcmp(objective, "regress") == 0; // the head
    const char *const sets[] = {all.at,
                                best,
                                dir,
                                "train.epochs=2",
                                "eval.every=end",
                                "optimizer.lr=0.003",
                                alone ? "adapter.method=none" : "adapter.rank=3"};
    struct lorac_recipe *r = recipe(objective, sets, sizeof sets / sizeof *sets);
    check(lorac_run(&result, r, LORAC_RUN_OVERWRITE, NULL, &nobody, &err), &err);
    lorac_recipe_free(r);
    lorac_buf_free(&all);
}

struct opened {
    struct lorac_runs runs;
    struct lorac_board *b;
};

static struct opened board(const char *below, const char *metric)
{
    struct opened s = {0};
    struct lorac_err err = {0};
    static const char *const none[] = {"none"};
    const struct lorac_board_options o = {.metric = metric, .group_by = none, .n_group_by = 1};
    const char *dirs[] = {tiny_path(below)};
    check(lorac_runs_open(&s.runs, dirs, 1, &err), &err);
    check(lorac_board_make(&s.b, &s.runs, &o, &err), &err);
    return s;
}

static void release(struct opened *s)
{
    lorac_board_free(s->b);
    lorac_runs_close(&s->runs);
}

static void each_metric_has_an_interval(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_OBJECTIVES; k++) {
        const struct lorac_objective *o = &lorac_objectives[2 + k];
        assert_string_equal(o->name, objectives[k]);
        go("one", o->name, o->metrics, "loss");
        for (unsigned m = 0; m < LORAC_METRICS; m++) {
            if (!(o->metrics >> m & 1U) || m == LORAC_METRIC_ENTITY_F1) { continue; }
            if (o->target == LORAC_TARGET_TAGS &&
                (m == LORAC_METRIC_PRECISION || m == LORAC_METRIC_RECALL)) {
                continue; // of entities, and these are not
            }
            struct opened s = board("one", lorac_metric_name(m));
            assert_int_equal(s.b->n, 1);
            const struct lorac_board_row *x = &s.b->rows[0];
            bool known = x->interval.low <= x->mean + 1e-6 && x->mean <= x->interval.high + 1e-6;
            bool wants = m != LORAC_METRIC_AUC;
            if (known != wants) {
                fail_msg("%s: %s %g in %g .. %g", o->name, lorac_metric_name(m), x->mean,
                         x->interval.low, x->interval.high);
            }
            release(&s);
        }
    }
}

/* ---- runs that are written ---- */

/* A run of the objective whose evaluation said `value` of the metric; rows of its predictions from
 * "right" on: "line,wanted,answer,right,probability,text,exact,loss,tokens". */
static void write_run(const char *name, const char *objective, const char *metric, double value,
                      const char *rows)
{
    struct lorac_buf text = {0};
    char dir[60];
    char path[60];
    struct lorac_err err = {0};
    (void)snprintf(dir, sizeof dir, "output.dir=@%s", name);
    const char *const sets[] = {dir};
    struct lorac_recipe *r = recipe(objective, sets, 1);
    (void)snprintf(path, sizeof path, "%s/predictions", name);
    check(lorac_dir_make(tiny_path(path), &err), &err);
    (void)snprintf(path, sizeof path, "%s/recipe.resolved.yaml", name);
    check(lorac_recipe_write(r, tiny_path(path), &err), &err);
    lorac_recipe_free(r);
    lorac_buf_printf(
        &text,
        "{\"status\": \"finished\", \"version\": \"0\", \"started\": \"t\", \"host\": \"h\", "
        "\"cpu\": \"c\", \"threads\": 1, \"backend\": \"ref\", \"base\": \"b\", "
        "\"base_fingerprint\": \"f\", \"train\": {\"sha256\": \"1\"}, \"valid\": {\"sha256\": "
        "\"2\"}, \"best_by\": \"%s\", \"parameters\": 3, \"steps\": 9, \"steps_done\": 9, "
        "\"best\": {\"rows\": 40, \"tokens\": 40, \"loss\": 1, \"%s\": %.9g}, \"best_step\": 9}",
        metric, metric, value);
    (void)snprintf(path, sizeof path, "%s/run.json", name);
    tiny_text(path, text.at);
    lorac_buf_clear(&text);
    lorac_buf_printf(&text, "line,wanted,answer,right,probability,text,exact,loss,tokens\n%s",
                     rows);
    (void)snprintf(path, sizeof path, "%s/predictions/9.csv", name);
    tiny_text(path, text.at);
    lorac_buf_free(&text);
}

/* 36 rows of a, 4 of b; the first four of a, or all of b, are answered wrongly. */
static void as_many_right(char *out, size_t size, bool of_a)
{
    size_t n = 0;
    for (size_t i = 0; i < 40; i++) {
        const char *wanted = i < 36 ? "a" : "b";
        bool right = of_a ? i >= 4 : i < 36;
        const char *answer = right == (i < 36) ? "a" : "b";
        n += (size_t)snprintf(out + n, size - n, "%zu,%s,%s,%d,,,,1,1\n", i + 2, wanted, answer,
                              right);
    }
}

static void rows_alone_do_not_tell_an_f1(void **state)
{
    (void)state;
    char rows[2][2048];
    check(lorac_dir_remove(tiny_path("f"), NULL), NULL);
    as_many_right(rows[0], sizeof rows[0], true);
    as_many_right(rows[1], sizeof rows[1], false);
    double f1[] = {(64.0 / 68.0 + 8.0 / 12.0) / 2.0, 72.0 / 76.0 / 2.0};
    for (size_t i = 0; i < 2; i++) {
        write_run(i ? "f/y" : "f/x", "classify", "macro_f1", f1[i], rows[i]);
    }
    struct opened s = board("f", "macro_f1");
    assert_int_equal(s.b->n, 2);
    const struct lorac_board_row *worse = &s.b->rows[1];
    if (worse->place != LORAC_BOARD_WORSE || worse->shared != 40) { fail_msg("%g", worse->p); }
    assert_true(s.b->rows[0].interval.low < f1[0] && s.b->rows[0].interval.high > f1[0]);
    assert_string_equal(lorac_board_test(s.b), "draws of the same rows");
    release(&s);
    for (size_t i = 0; i < 2; i++) {
        write_run(i ? "f/y" : "f/x", "classify", "accuracy", 0.9, rows[i]);
    }
    s = board("f", "accuracy");
    assert_true(s.b->rows[1].place == LORAC_BOARD_TIED && s.b->rows[1].p == 1.0);
    assert_string_equal(lorac_board_test(s.b), "McNemar's test on the same rows");
    release(&s);
}

static void what_does_not_come_to_the_metric_is_not_told(void **state)
{
    (void)state;
    char rows[2048];
    check(lorac_dir_remove(tiny_path("f"), NULL), NULL);
    as_many_right(rows, sizeof rows, true);
    write_run("f/x", "classify", "macro_f1", 0.9, rows); // it is 0.80
    write_run("f/y", "classify", "macro_f1", 0.7, rows);
    struct opened s = board("f", "macro_f1");
    for (size_t i = 0; i < 2; i++) {
        assert_true(isnan(s.b->rows[i].interval.low) && isnan(s.b->rows[i].p));
    }
    assert_int_equal(s.b->rows[1].place, LORAC_BOARD_OTHER);
    release(&s);
}

static void losses_of_two_objectives_are_not_compared(void **state)
{
    (void)state;
    char rows[2048];
    check(lorac_dir_remove(tiny_path("f"), NULL), NULL);
    as_many_right(rows, sizeof rows, true);
    write_run("f/x", "classify", "accuracy", 0.9, rows);
    write_run("f/y", "multilabel", "accuracy", 0.9, rows);
    struct opened s = board("f", "loss");
    assert_true(s.b->rows[1].place == LORAC_BOARD_OTHER && isnan(s.b->rows[1].p));
    release(&s);
    s = board("f", "accuracy");
    assert_int_equal(s.b->rows[1].place, LORAC_BOARD_TIED);
    release(&s);
    write_run("f/y", "classify", "accuracy", 0.9, rows);
    s = board("f", "loss");
    assert_int_equal(s.b->rows[1].place, LORAC_BOARD_TIED);
    release(&s);
}

/* Rows of n words each, or of numbers, whose means statistics.h knows. */
static void means_have_the_intervals_of_means(void **state)
{
    (void)state;
    struct lorac_buf words = {0};
    struct lorac_buf numbers = {0};
    double share[40];
    double many[40];
    double squared[40];
    double one[40];
    double right = 0.0;
    double all = 0.0;
    double mse = 0.0;
    for (size_t i = 0; i < 40; i++) {
        size_t n = 2 + i % 3;
        size_t wrong = i % 4 == 0 ? 1 + i % 2 : 0;
        lorac_buf_printf(&words, "%zu,X X%s,%s X%s,%d,,,,1,%zu\n", i + 2,
                         n == 2   ? ""
                         : n == 3 ? " Y"
                                  : " Y X",
                         wrong ? "Y" : "X",
                         n == 2   ? ""
                         : n == 3 ? " Y"
                                  : " Y X",
                         !wrong, n);
        wrong = wrong > 0;
        share[i] = (double)(n - wrong) / (double)n;
        many[i] = (double)n;
        right += (double)(n - wrong);
        all += (double)n;
        double off = (double)(i % 5) / 4.0;
        lorac_buf_printf(&numbers, "%zu,%zu,%.9g,,,,,1,1\n", i + 2, i, (double)i + off);
        squared[i] = off * off;
        one[i] = 1.0;
        mse += off * off / 40.0;
    }
    check(lorac_dir_remove(tiny_path("f"), NULL), NULL);
    write_run("f/x", "tag", "accuracy", right / all, words.at);
    struct opened s = board("f", "accuracy");
    struct lorac_interval want = lorac_mean_interval(share, many, 40);
    struct lorac_interval got = s.b->rows[0].interval;
    double slack = 0.1 * (want.high - want.low); // draws of 40 rows, and no normal distribution
    assert_true(fabs(got.low - want.low) < slack && fabs(got.high - want.high) < slack);
    release(&s);
    check(lorac_dir_remove(tiny_path("f"), NULL), NULL);
    write_run("f/x", "regress", "mse", mse, numbers.at);
    s = board("f", "mse");
    want = lorac_mean_interval(squared, one, 40);
    got = s.b->rows[0].interval;
    slack = 0.1 * (want.high - want.low);
    assert_true(fabs(got.low - want.low) < slack && fabs(got.high - want.high) < slack);
    release(&s);
    lorac_buf_free(&words);
    lorac_buf_free(&numbers);
}

static const char *failing_metric;

static enum lorac_status make_board(struct lorac_err *err)
{
    static const char *const none[] = {"none"};
    const struct lorac_board_options o = {
        .metric = failing_metric, .group_by = none, .n_group_by = 1};
    const char *dirs[] = {tiny_path("f")};
    struct lorac_runs runs = {0};
    struct lorac_board *b = NULL;
    enum lorac_status st = lorac_runs_open(&runs, dirs, 1, err);
    if (!st && runs.n_broken) { st = lorac_fail(err, LORAC_EIO, "%s", runs.broken[0].why); }
    if (!st) { st = lorac_board_make(&b, &runs, &o, err); }
    if (!st) { faults_say("%.9g %.9g", b->rows[1].p, b->rows[0].interval.low); }
    lorac_board_free(b);
    lorac_runs_close(&runs);
    return st;
}

static void each_failure_is_reported(void **state)
{
    (void)state;
    static const struct {
        const char *objective, *metric, *rows;
        double value;
    } cases[] = {
        {"tag", "entity_f1", "2,B-X O,B-X O,1,,,,1,2\n3,O B-X,O O,0,,,,1,2\n", 2.0 / 3.0},
        {"regress", "spearman", "2,1,1.5,,,,,1,1\n3,2,3,,,,,1,1\n4,4,3.5,,,,,1,1\n", 1.0},
    };
    for (size_t i = 0; i < 2; i++) {
        const struct faults_scenario one = {.name = cases[i].metric, .go = make_board, .step = 61};
        failing_metric = cases[i].metric;
        check(lorac_dir_remove(tiny_path("f"), NULL), NULL);
        write_run("f/x", cases[i].objective, failing_metric, cases[i].value, cases[i].rows);
        write_run("f/y", cases[i].objective, failing_metric, cases[i].value, cases[i].rows);
        faults_meet(&one, 1);
    }
}

/* ---- pages ---- */

static char *page_of(const char *run)
{
    struct lorac_record *r = NULL;
    struct lorac_buf b = {0};
    struct lorac_err err = {0};
    const struct lorac_report_options o = {0};
    check(lorac_record_open(&r, tiny_path(run), &err), &err);
    check(lorac_report(&b, &(struct lorac_runs){.at = &r, .n = 1}, &o, &err), &err);
    lorac_record_close(r);
    return b.at;
}

static void pages_speak_of_what_was_learnt(void **state)
{
    (void)state;
    static const struct {
        const char *unit, *has[3], *lacks;
    } pages[N_OBJECTIVES] = {
        {"nats a row",
         {"Confusion", "<b>F1 of each label</b>", "would be right in"},
         "of the words"},
        {"nats a label of a row",
         {"<b>F1 of each label</b>", "24 rows", "<td class=\"label\">q"},
         "Confusion"},
        {"squared error, in deviations",
         {"<th>wanted</th><th>answered</th>", ">100<", ">120<"},
         "nats"},
        {"nats a word", {"36 words", "Confusion", "of the words"}, "rows were answered"},
    };
    for (size_t k = 0; k < N_OBJECTIVES; k++) {
        go("one", objectives[k], lorac_objectives[2 + k].usual, "loss");
        char *page = page_of("one");
        if (!strstr(page, pages[k].unit)) { fail_msg("%s: no %s", objectives[k], pages[k].unit); }
        for (size_t i = 0; i < 3; i++) {
            const char *has = pages[k].has[i];
            if (!strstr(page, has)) { fail_msg("%s: no %s", objectives[k], has); }
        }
        bool ranked = strstr(page, ", rank ");
        assert_int_equal(ranked, strcmp(objectives[k], "regress") != 0);
        if (strstr(page, pages[k].lacks)) { fail_msg("%s: %s", objectives[k], pages[k].lacks); }
        bool lists = strstr(page, "<th class=\"num\">line</th>");
        bool texts = strstr(page, "<td class=\"text clip\">") &&
                     !strstr(page, "<td class=\"text clip\"></td>");
        if (lists != texts) { fail_msg("%s: rows without their texts", objectives[k]); }
        lorac_mem_free(page);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_metric_has_an_interval),
        cmocka_unit_test(rows_alone_do_not_tell_an_f1),
        cmocka_unit_test(what_does_not_come_to_the_metric_is_not_told),
        cmocka_unit_test(losses_of_two_objectives_are_not_compared),
        cmocka_unit_test(means_have_the_intervals_of_means),
        cmocka_unit_test(each_failure_is_reported),
        cmocka_unit_test(pages_speak_of_what_was_learnt),
    };
    return cmocka_run_group_tests_name("board_heads", tests, make_all, tiny_remove);
}
