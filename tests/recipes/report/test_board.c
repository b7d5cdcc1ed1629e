/*
 * Runs side by side. What is promised:
 *   - only keys that differ are shown; runs that differ in nothing but the keys of group_by are one
 *     row, with mean and deviation: the seed, where there are such runs and nobody says otherwise;
 *   - of two runs McNemar's test on the rows that both answered says whether they differ, of groups
 *     the rows and the deviation of their runs, of losses the rows' losses; runs of other data are
 *     not compared;
 *   - the chance to tell any difference wrongly is 5 % for all together;
 *   - runs that did not finish are no part of a group; a damaged one is told and hides no other;
 *   - what is asked for and is not there is an error; whichever allocation or call fails is
 *     reported.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "recipes/report/board.h"
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

enum { ROWS = 40 };

/* A run in the folder NAME, as it lies there when it has ended: of its ROWS rows those are right
 * whose bit is set; row i has the loss loss + i / 100. */
struct made {
    const char *name;
    const char *sets[4];
    uint64_t right;
    double loss;
    const char *status; // NULL: finished
    const char *data;   // NULL: "d", its hash
    size_t first;       // line of the first row; 0: 2
};

static size_t count(uint64_t bits)
{
    size_t n = 0;
    for (; bits; bits &= bits - 1) {
        n++;
    }
    return n;
}

static void write_predictions(const struct made *m)
{
    char text[4096];
    char name[64];
    int n = snprintf(text, sizeof text,
                     "line,wanted,answer,right,probability,text,exact,loss,tokens\n");
    for (size_t i = 0; i < ROWS; i++) {
        bool right = m->right >> i & 1U;
        const char *wanted = i % 2 ? "a" : "b";
        const char *other = i % 2 ? "b" : "a";
        n += lorac_snprintf(text + n, sizeof text - (size_t)n, "%zu,%s,%s,%d,,,,%.9g,2\n",
                            i + (m->first ? m->first : 2), wanted, right ? wanted : other, right,
                            m->loss + (double)(i % 7) / 100.0);
    }
    (void)snprintf(name, sizeof name, "%s/predictions", m->name);
    assert_int_equal(lorac_dir_make(tiny_path(name), NULL), LORAC_OK);
    (void)snprintf(name, sizeof name, "%s/predictions/9.csv", m->name);
    tiny_text(name, text);
}

static void write_run(const struct made *m)
{
    char text[1024];
    char name[64];
    struct lorac_err err = {0};
    struct lorac_recipe *r = runs_recipe(tiny_path(m->name), m->sets);
    assert_int_equal(lorac_dir_make(tiny_path(m->name), NULL), LORAC_OK);
    (void)snprintf(name, sizeof name, "%s/recipe.resolved.yaml", m->name);
    if (lorac_recipe_write(r, tiny_path(name), &err)) { fail_msg("%s", err.text); }
    lorac_recipe_free(r);
    double accuracy = (double)count(m->right) / ROWS;
    (void)lorac_snprintf(
        text, sizeof text,
        "{\"status\": \"%s\", \"version\": \"0\", \"started\": \"t\", \"host\": \"h\", "
        "\"cpu\": \"c\", \"threads\": 1, \"backend\": \"ref\", \"base\": \"b\", "
        "\"base_fingerprint\": \"f\", \"train\": {\"sha256\": \"1\"}, \"valid\": {\"sha256\": "
        "\"%s\"}, \"best_by\": \"accuracy\", \"parameters\": 3, \"steps\": 9, \"steps_done\": 9, "
        "\"peak_bytes\": 1000, \"seconds\": %.9g, \"best\": {\"rows\": %d, \"tokens\": %d, "
        "\"loss\": %.9g, \"perplexity\": %.9g, \"accuracy\": %.9g, \"macro_f1\": %.9g}, "
        "\"best_step\": 9}",
        m->status ? m->status : "finished", m->data ? m->data : "d", 1.0 + m->loss, (int)ROWS,
        2 * (int)ROWS, m->loss, exp(m->loss), accuracy, accuracy);
    (void)snprintf(name, sizeof name, "%s/run.json", m->name);
    tiny_text(name, text);
    write_predictions(m);
}

/* All runs of the list, in the folder `below`. */
static void make_runs(const char *below, const struct made *all, size_t n)
{
    assert_int_equal(lorac_dir_remove(tiny_path(below), NULL), LORAC_OK);
    for (size_t i = 0; i < n; i++) {
        write_run(&all[i]);
    }
}

struct opened {
    struct lorac_runs runs;
    struct lorac_board *b;
};

static struct opened board(const char *below, const struct lorac_board_options *o)
{
    struct opened s = {0};
    struct lorac_err err = {0};
    const char *dirs[] = {tiny_path(below)};
    if (lorac_runs_open(&s.runs, dirs, 1, &err) || lorac_board_make(&s.b, &s.runs, o, &err)) {
        fail_msg("%s", err.text);
    }
    return s;
}

static void release(struct opened *s)
{
    lorac_board_free(s->b);
    lorac_runs_close(&s->runs);
}

#define MANY 0xFFFFFFFFULL // 32 of 40

static const struct made seeds[] = {
    {.name = "s/a1", .sets = {"seed=1", "adapter.rank=4"}, .right = MANY, .loss = 0.5},
    {.name = "s/a2", .sets = {"seed=2", "adapter.rank=4"}, .right = MANY << 1, .loss = 0.6},
    {.name = "s/b1", .sets = {"seed=1", "adapter.rank=2"}, .right = 0xFFFF, .loss = 0.9},
    {.name = "s/b2", .sets = {"seed=2", "adapter.rank=2"}, .right = 0x1FFFF, .loss = 0.8},
    {.name = "s/c1",
     .sets = {"seed=1", "adapter.rank=8"},
     .right = MANY | 1ULL << 35,
     .loss = 0.5,
     .status = "failed"},
};
enum { N_SEEDS = sizeof seeds / sizeof seeds[0] };

static void runs_that_differ_in_the_seed_alone_are_one_row(void **state)
{
    (void)state;
    static const struct lorac_board_options plain = {0};
    make_runs("s", seeds, N_SEEDS);
    struct opened s = board("s", &plain);
    const struct lorac_board *b = s.b;
    assert_true(b->metric == LORAC_METRIC_ACCURACY && b->n_group_by == 1);
    assert_string_equal(b->group_by[0], "seed");
    assert_int_equal(b->n_keys, 1);
    assert_string_equal(b->keys[0], "adapter.rank");
    assert_true(b->n == 2 && b->n_aside == 1 && b->aside[0]->status == LORAC_RECORD_FAILED);
    const struct lorac_board_row *x = &b->rows[0];
    assert_true(x->place == LORAC_BOARD_BEST && x->n == 2 && x->rows == ROWS && isnan(x->p));
    assert_true(fabs(x->mean - 0.8) < 1e-9 && x->deviation == 0.0 && x->peak_bytes == 1000);
    assert_true(fabs(x->seconds - 1.55) < 1e-9);
    struct lorac_interval w = lorac_wilson(0.8, ROWS);
    assert_true(fabs(x->interval.low - w.low) < 1e-9 && fabs(x->interval.high - w.high) < 1e-9);
    x = &b->rows[1];
    assert_true(x->place == LORAC_BOARD_WORSE && x->p < 0.001 && x->shared == ROWS);
    assert_true(fabs(x->mean - 0.4125) < 1e-9 && fabs(x->deviation - 0.0176776695) < 1e-9);
    release(&s);

    static const char *const none[] = {"none"};
    struct lorac_board_options each = {.group_by = none, .n_group_by = 1, .sort = "adapter.rank"};
    s = board("s", &each);
    assert_true(s.b->n == 4 && s.b->n_keys == 2 && s.b->n_group_by == 0);
    assert_string_equal(s.b->keys[0], "seed");
    assert_string_equal(lorac_record_value(s.b->rows[0].runs[0], "adapter.rank"), "2");
    release(&s);
    static const char *const rank[] = {"adapter.rank", "seed"};
    struct lorac_board_options both = {.group_by = rank, .n_group_by = 2};
    s = board("s", &both);
    assert_true(s.b->n == 1 && s.b->n_keys == 0 && s.b->rows[0].n == 4);
    release(&s);
    static const char *const where[] = {"adapter.rank=4", "seed=2"};
    struct lorac_board_options some = {.where = where, .n_where = 2};
    s = board("s", &some);
    assert_true(s.b->n == 1 && s.b->rows[0].n == 1 && s.b->n_group_by == 0);
    release(&s);
}

/* b right and c wrong, and so on: rows from the first on. */
static void mcnemar_says_whether_two_runs_differ(void **state)
{
    (void)state;
    static const struct lorac_board_options plain = {0};
    const struct made two[] = {
        {.name = "m/a", .sets = {"adapter.rank=4"}, .right = (1ULL << 36) - 1, .loss = 0.5},
        {.name = "m/b", .sets = {"adapter.rank=2"}, .right = (1ULL << 34) - 1, .loss = 0.5},
    };
    make_runs("m", two, 2);
    struct opened s = board("m", &plain);
    assert_true(s.b->rows[1].place == LORAC_BOARD_TIED && s.b->rows[1].shared == ROWS);
    assert_true(fabs(s.b->rows[1].p - 0.5) < 1e-12); // 2 against 0
    release(&s);
    const struct made apart[] = {
        two[0],
        {.name = "m/b", .sets = {"adapter.rank=2"}, .right = (1ULL << 30) - 1, .loss = 0.5},
    };
    make_runs("m", apart, 2);
    s = board("m", &plain);
    assert_true(s.b->rows[1].place == LORAC_BOARD_WORSE);
    assert_true(fabs(s.b->rows[1].p - 0.03125) < 1e-12); // 6 against 0
    release(&s);

    // with a third that is as far away, 0.03 is not below 5 % for both
    const struct made three[] = {
        apart[0],
        apart[1],
        {.name = "m/c", .sets = {"adapter.rank=1"}, .right = (1ULL << 36) - 1 - 0x3F, .loss = 0.5},
    };
    make_runs("m", three, 3);
    s = board("m", &plain);
    assert_true(s.b->rows[1].place == LORAC_BOARD_TIED && s.b->rows[2].place == LORAC_BOARD_TIED);
    release(&s);
}

/* By their rows alone these groups differ without a doubt; their runs lie too far apart for it. */
static void groups_are_told_apart_only_where_their_runs_agree(void **state)
{
    (void)state;
    static const struct lorac_board_options plain = {0};
    const struct made all[] = {
        {.name = "g/a1",
         .sets = {"seed=1", "adapter.rank=4"},
         .right = (1ULL << 40) - 1,
         .loss = 1},
        {.name = "g/a2",
         .sets = {"seed=2", "adapter.rank=4"},
         .right = (1ULL << 16) - 1,
         .loss = 1},
        {.name = "g/b1", .sets = {"seed=1", "adapter.rank=2"}, .right = (1ULL << 8) - 1, .loss = 1},
        {.name = "g/b2",
         .sets = {"seed=2", "adapter.rank=2"},
         .right = (1ULL << 16) - 1,
         .loss = 1},
    };
    make_runs("g", all, 4);
    struct opened s = board("g", &plain);
    const struct lorac_board_row *x = &s.b->rows[1];
    double rows = 1.6 / 1600.0 * 40.0 / 39.0; // 8 rows without a difference, 32 with one of 0.5
    double runs = 0.09 + 0.01;                // (0.3^2 + 0.3^2) / 2, and (0.1^2 + 0.1^2) / 2
    assert_true(x->place == LORAC_BOARD_TIED);
    assert_true(fabs(x->p - lorac_normal_p(0.4, rows + runs)) < 1e-9);
    assert_true(lorac_normal_p(0.4, rows) < 1e-9);
    release(&s);
}

static void only_the_same_rows_are_compared(void **state)
{
    (void)state;
    static const struct lorac_board_options plain = {0};
    const struct made all[] = {
        {.name = "d/a", .sets = {"adapter.rank=4"}, .right = (1ULL << 39) - 1, .loss = 0.5},
        {.name = "d/b", .sets = {"adapter.rank=2"}, .right = 3, .loss = 0.5, .data = "other"},
        {.name = "d/c", .sets = {"adapter.rank=1"}, .right = 7, .loss = 0.5, .first = 2 + ROWS},
        {.name = "d/e", .sets = {"adapter.rank=3"}, .right = 15, .loss = 0.5, .first = 12},
        {.name = "d/f", .sets = {"adapter.rank=5"}, .right = 1, .loss = 0.5},
    };
    make_runs("d", all, 5);
    assert_int_equal(lorac_file_remove(tiny_path("d/f/predictions/9.csv"), NULL), LORAC_OK);
    struct opened s = board("d", &plain);
    static const enum lorac_board_place want[] = {LORAC_BOARD_BEST, LORAC_BOARD_WORSE,
                                                  LORAC_BOARD_OTHER, LORAC_BOARD_OTHER,
                                                  LORAC_BOARD_OTHER};
    static const size_t shared[] = {ROWS, ROWS - 10, 0, 0, 0};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(s.b->rows[i].place, want[i]);
        assert_int_equal(s.b->rows[i].shared, shared[i]);
    }
    release(&s);
}

static void losses_and_macro_f1_are_compared_by_their_rows(void **state)
{
    (void)state;
    const struct made all[] = {
        {.name = "l/a", .sets = {"adapter.rank=4"}, .right = MANY, .loss = 0.5},
        {.name = "l/b", .sets = {"adapter.rank=2"}, .right = MANY << 1, .loss = 0.7},
    };
    make_runs("l", all, 2);
    struct lorac_board_options o = {.metric = "loss"};
    struct opened s = board("l", &o);
    assert_true(s.b->rows[0].mean == 0.5 && s.b->rows[1].place == LORAC_BOARD_WORSE);
    double values[ROWS];
    double ones[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        values[i] = 0.5 + (double)(i % 7) / 100.0;
        ones[i] = 1.0;
    }
    struct lorac_interval want = lorac_mean_interval(values, ones, ROWS);
    assert_true(fabs(s.b->rows[0].interval.low - want.low) < 1e-8);
    release(&s);
    o.metric = "perplexity";
    s = board("l", &o);
    assert_true(fabs(s.b->rows[0].interval.high - exp(want.high)) < 1e-8);
    release(&s);
    o.metric = "macro_f1";
    s = board("l", &o);
    assert_true(s.b->rows[0].interval.low < 0.8 && s.b->rows[0].interval.high > 0.8);
    assert_true(s.b->rows[1].place == LORAC_BOARD_TIED && s.b->rows[1].p == 1.0); // 1 against 1
    release(&s);
}

static void expect(const char *below, const struct lorac_board_options *o, const char *words)
{
    struct lorac_runs runs = {0};
    struct lorac_board *b = NULL;
    struct lorac_err err = {0};
    const char *dirs[] = {tiny_path(below)};
    enum lorac_status st = lorac_runs_open(&runs, dirs, 1, &err);
    if (!st) { st = lorac_board_make(&b, &runs, o, &err); }
    assert_int_equal(st, LORAC_EUSER);
    assert_null(b);
    if (!strstr(err.text, words)) { fail_msg("no '%s' in: %s", words, err.text); }
    lorac_runs_close(&runs);
}

static void what_is_not_there_is_an_error(void **state)
{
    (void)state;
    static const char *const typo[] = {"adapter.rnak"};
    static const char *const bad[] = {"adapter.rnak=4", "rank", "adapter.rank=99"};
    make_runs("s", seeds, N_SEEDS);
    struct lorac_board_options o = {.group_by = typo, .n_group_by = 1};
    expect("s", &o, "adapter.rnak: a recipe has no such key (did you mean 'rank'?)");
    o = (struct lorac_board_options){.where = &bad[0], .n_where = 1};
    expect("s", &o, "adapter.rnak: a recipe has no such key");
    o.where = &bad[1];
    expect("s", &o, "'rank': expected KEY=VALUE");
    o.where = &bad[2];
    expect("s", &o, "no run has adapter.rank=99");
    o = (struct lorac_board_options){.metric = "acuracy"};
    expect("s", &o, "acuracy: there is no such metric (did you mean 'accuracy'?)");
    o = (struct lorac_board_options){.metric = "exact_match"};
    expect("s", &o, "exact_match: no run that finished measures it");
    o = (struct lorac_board_options){.sort = "speed"};
    expect("s", &o, "speed: expected metric, seconds, memory, size, folder or a key");
    assert_int_equal(lorac_dir_make(tiny_path("empty/deep"), NULL), LORAC_OK);
    expect("empty", &o, "empty: holds no run");
}

static void a_damaged_run_hides_no_other(void **state)
{
    (void)state;
    static const struct lorac_board_options plain = {0};
    make_runs("s", seeds, N_SEEDS);
    tiny_text("s/a1/run.json", "{");
    struct opened s = board("s", &plain);
    assert_true(s.runs.n == N_SEEDS - 1 && s.runs.n_broken == 1);
    assert_string_equal(s.runs.broken[0].dir, tiny_path("s/a1"));
    assert_non_null(strstr(s.runs.broken[0].why, "s/a1/run.json"));
    release(&s);
}

static const char sweep[] =
    "{\"sweep\": 1, \"recipe\": \"r.yaml\", \"strategy\": \"all\", "
    "\"objective\": {\"metric\": \"loss\", \"mode\": \"min\"}, "
    "\"group_by\": [\"adapter.rank\"], \"trials\": ["
    "{\"name\": \"a1\", \"changes\": {\"seed\": \"1\"}}, "
    "{\"name\": \"b1\", \"changes\": {\"seed\": \"1\", \"adapter.rank\": \"2\"}}, "
    "{\"name\": \"x1\", \"changes\": {\"optimizer.lr\": \"9\"}}, "
    "{\"name\": \"y1\", \"changes\": {}}]}";

static void of_a_sweep_all_trials_are_told(void **state)
{
    (void)state;
    static const struct lorac_board_options plain = {0};
    make_runs("s", seeds, N_SEEDS);
    tiny_text("s/sweep.json", sweep);
    tiny_text("s/x1.failed", "no memory for so much\n");
    struct lorac_runs runs = {0};
    const char *dirs[] = {tiny_path("s")};
    assert_int_equal(lorac_runs_open(&runs, dirs, 1, NULL), LORAC_OK);
    const struct lorac_sweep_record *x = runs.sweep;
    assert_true(x && x->n_group_by == 1 && x->n_trials == 4 && x->n_keys == 3);
    assert_string_equal(x->metric, "loss");
    assert_string_equal(x->group_by[0], "adapter.rank");
    assert_string_equal(x->keys[2], "optimizer.lr");
    assert_true(runs.n_broken == 1 && runs.to_come == 1);
    assert_string_equal(runs.broken[0].dir, tiny_path("s/x1"));
    assert_string_equal(runs.broken[0].why, "no memory for so much");
    lorac_runs_close(&runs);

    struct opened s = board("s", &plain); // by its loss, in groups of adapter.rank
    assert_true(s.b->metric == LORAC_METRIC_LOSS && s.b->n_group_by == 1);
    assert_string_equal(s.b->group_by[0], "adapter.rank");
    release(&s);
    assert_int_equal(lorac_dir_make(tiny_path("begun"), NULL), LORAC_OK);
    tiny_text("begun/sweep.json", sweep);
    s = board("begun", &plain);
    assert_true(s.b->n == 0 && s.b->n_aside == 0 && s.runs.to_come == 4);
    release(&s);

    static const struct {
        const char *was, *is, *words;
    } bad[] = {
        {"{\"metric\": \"loss\"", "{\"metric\": 1", "sweep.json: 'objective.metric' must be text"},
        {"[\"adapter.rank\"]", "1", "sweep.json: 'group_by' must be a list"},
        {"[\"adapter.rank\"]", "[1]", "must be a key"},
        {"\"changes\": {}", "\"changes\": 1", "must be an object"},
        {"\"trials\"", "\"trails\"", "sweep.json: 'trials' is missing, a list"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lorac_err err = {0};
        tiny_text("s/sweep.json", sweep);
        tiny_edit("s/sweep.json", bad[i].was, bad[i].is);
        dirs[0] = tiny_path("s");
        assert_int_equal(lorac_runs_open(&runs, dirs, 1, &err), LORAC_EFORMAT);
        if (!strstr(err.text, bad[i].words)) { fail_msg("no '%s' in: %s", bad[i].words, err.text); }
    }
}

static enum lorac_status make_board(struct lorac_err *err)
{
    static const struct lorac_board_options by_f1 = {.metric = "macro_f1"};
    static const struct lorac_board_options by_loss = {.metric = "loss"};
    const char *dirs[] = {tiny_path("f")};
    struct lorac_runs runs = {0};
    struct lorac_board *b[2] = {NULL, NULL};
    enum lorac_status st = lorac_runs_open(&runs, dirs, 1, err);
    for (size_t i = 0; !st && i < runs.n_broken; i++) { // but x1, which failed by itself
        if (strstr(runs.broken[i].dir, "f/x1")) { continue; }
        st = lorac_fail(err, LORAC_EIO, "%s", runs.broken[i].why);
    }
    if (!st) { st = lorac_board_make(&b[0], &runs, &by_f1, err); }
    if (!st) { st = lorac_board_make(&b[1], &runs, &by_loss, err); }
    if (!st) {
        faults_say("%zu %.9g %.9g %.9g", b[0]->n, b[0]->rows[1].p, b[1]->rows[1].p,
                   b[0]->rows[0].interval.low);
    }
    lorac_board_free(b[0]);
    lorac_board_free(b[1]);
    lorac_runs_close(&runs);
    return st;
}

static void every_failure_is_reported(void **state)
{
    (void)state;
    static const struct faults_scenario all[] = {{.name = "board", .go = make_board, .step = 31}};
    const struct made two[] = {
        {.name = "f/a", .sets = {"adapter.rank=4"}, .right = MANY, .loss = 0.5},
        {.name = "f/b", .sets = {"adapter.rank=2"}, .right = 0xFFFF, .loss = 0.7},
    };
    make_runs("f", two, 2);
    tiny_text("f/sweep.json", sweep);
    tiny_text("f/x1.failed", "why");
    faults_meet(all, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_that_differ_in_the_seed_alone_are_one_row),
        cmocka_unit_test(mcnemar_says_whether_two_runs_differ),
        cmocka_unit_test(groups_are_told_apart_only_where_their_runs_agree),
        cmocka_unit_test(only_the_same_rows_are_compared),
        cmocka_unit_test(losses_and_macro_f1_are_compared_by_their_rows),
        cmocka_unit_test(what_is_not_there_is_an_error),
        cmocka_unit_test(a_damaged_run_hides_no_other),
        cmocka_unit_test(of_a_sweep_all_trials_are_told),
        cmocka_unit_test(every_failure_is_reported),
    };
    return cmocka_run_group_tests_name("board", tests, runs_make, runs_remove);
}
