/*
 * The folder of a run, and what a run refuses. What is promised:
 *   - a folder that holds a run, or anything else, is not overwritten unasked;
 *   - a run that was killed before it began can begin anew; overwriting leaves nothing of the old
 *     run;
 *   - resuming refuses another recipe, table, base or adapter.from, and says which;
 *   - run.json says of a failed run that it failed, and of what;
 *   - one process at a time works on a folder;
 *   - what would train or keep nothing is an error that says why;
 *   - a training loss that stays above train.watchdog.loss_above ends the run with its state saved;
 *   - a damaged state is refused.
 */
#include "base/core/file.h"
#include "base/core/mem.h"
#include "base/core/number.h"
#include "recipes/run/state.h"
#include "tests/support/runs.h"
#include "tests/support/tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const quick[] = {"train.epochs=1", "eval.every=2 steps",
                                    "output.save_every=2 steps", NULL};

/* The run fails with this message. */
static void refused(const char *out, enum lorac_run_mode mode, const char *const *sets,
                    const char *want)
{
    runs_refused(out, mode, sets, want, false);
}

static void a_folder_that_holds_something_is_refused(void **state)
{
    (void)state;
    refused("a", LORAC_RUN_RESUME, quick,
            "DIR/a: holds no run to resume (no recipe.resolved.yaml)");
    runs_well("a", LORAC_RUN_NEW, NULL, quick);
    refused(
        "a", LORAC_RUN_NEW, quick,
        "DIR/a: holds a run already: go on with --resume, start anew with --overwrite, or choose "
        "another folder with --set output.dir=DIR");
    assert_int_equal(lorac_dir_make(tiny_path("mine"), NULL), LORAC_OK);
    tiny_text("mine/thesis.txt", "dear");
    tiny_text("mine/lock", "");
    for (int mode = LORAC_RUN_NEW; mode <= LORAC_RUN_OVERWRITE; mode += 2) {
        refused("mine", (enum lorac_run_mode)mode, quick,
                "DIR/mine: holds files that are no run of lorac; choose another output.dir");
    }
    size_t n = 0;
    char *text = tiny_read(tiny_path("mine/thesis.txt"), &n);
    assert_string_equal(text, "dear");
    lorac_mem_free(text);
}

static void a_run_killed_before_it_began_begins_anew(void **state)
{
    (void)state;
    runs_well("whole", LORAC_RUN_NEW, NULL, quick);
    static const char *const left[] = {"lock", "run.json", "metrics.csv", "run.json.tmp-12",
                                       "recipe.resolved.yaml.tmp-12"};
    for (size_t n = 1; n <= sizeof left / sizeof *left; n++) {
        assert_int_equal(lorac_dir_make(tiny_path("young/state"), NULL), LORAC_OK);
        for (size_t i = 0; i < n; i++) {
            char name[100];
            (void)snprintf(name, sizeof name, "young/%s", left[i]);
            tiny_text(name, "");
        }
        runs_well("young", LORAC_RUN_NEW, NULL, quick);
        runs_same("whole", "young");
        assert_int_equal(lorac_dir_remove(tiny_path("young"), NULL), LORAC_OK);
    }
}

static void overwriting_leaves_nothing_of_the_old_run(void **state)
{
    (void)state;
    static const char *const merged[] = {"train.epochs=1", "output.merge=true", NULL};
    static const char *const last[] = {"train.epochs=1", "-data.valid", "output.keep=[last]", NULL};
    runs_well("b", LORAC_RUN_NEW, NULL, merged);
    assert_true(lorac_path_is_dir(tiny_path("b/best")) && lorac_path_is_dir(tiny_path("b/merged")));
    struct lorac_run_result r = runs_well("b", LORAC_RUN_OVERWRITE, NULL, last);
    assert_false(r.has_valid);
    assert_false(lorac_path_exists(tiny_path("b/best")));
    assert_false(lorac_path_exists(tiny_path("b/merged")));
    assert_true(lorac_path_is_dir(tiny_path("b/last")));
}

static void keep_says_which_adapters_are_kept(void **state)
{
    (void)state;
    static const char *const best[] = {"train.epochs=1", "output.keep=[best]", NULL};
    static const char *const nothing[] = {"-data.valid", "output.keep=[best]", NULL};
    runs_well("c", LORAC_RUN_NEW, NULL, best);
    assert_true(lorac_path_is_dir(tiny_path("c/best")));
    assert_false(lorac_path_exists(tiny_path("c/last")));
    refused("c", LORAC_RUN_OVERWRITE, nothing,
            "output.keep is [best] alone, but without data.valid nothing is evaluated");
    assert_true(lorac_path_is_dir(tiny_path("c/best"))); // refused before anything was removed
    static const char *const early[] = {"-data.valid", "eval.early_stop.metric=loss", NULL};
    refused("c", LORAC_RUN_OVERWRITE, early,
            "eval.early_stop.metric is given, but without data.valid nothing is evaluated");
}

/* ---- resuming something else ---- */

static void resuming_with_another_recipe_is_refused(void **state)
{
    (void)state;
    struct runs_stop s = {.at = 2};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    runs_well("d", LORAC_RUN_NEW, &watch, NULL);
    static const char *const rank[] = {"adapter.rank=3", "adapter.alpha=9", NULL};
    static const char *const seed[] = {"seed=8", NULL};
    refused("d", LORAC_RUN_RESUME, rank,
            "DIR/d: the recipe has changed since the run began: adapter.rank: 4 -> 3; "
            "adapter.alpha: 8 -> 9");
    refused("d", LORAC_RUN_RESUME, seed,
            "DIR/d: the recipe has changed since the run began: seed: 7 -> 8");
    runs_well("d", LORAC_RUN_RESUME, NULL, NULL);
}

/* Change one byte of a file. */
static void touch(const char *name, long back)
{
    size_t n = 0;
    char *text = tiny_read(tiny_path(name), &n);
    text[n - (size_t)back] ^= 1;
    assert_int_equal(lorac_file_write(tiny_path(name), text, n, NULL), LORAC_OK);
    lorac_mem_free(text);
}

static bool change_and_stop(void *self)
{
    bool stops = ((const struct runs_stop *)self)->step == 2;
    if (stops) { touch("train.csv", 2); }
    return stops;
}

/* run.json names the rows that were trained on, though another file lies there when it ends. */
static void a_table_that_changes_meanwhile_is_refused(void **state)
{
    (void)state;
    struct runs_stop s = {.at = 2};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    watch.stop = change_and_stop;
    runs_well("changed", LORAC_RUN_NEW, &watch, NULL);
    refused("changed", LORAC_RUN_RESUME, NULL,
            "DIR/train.csv: has changed since the run began; a resumed run needs the same data");
    touch("train.csv", 2);
    runs_well("changed", LORAC_RUN_RESUME, NULL, NULL);
}

static void resuming_with_another_table_or_base_is_refused(void **state)
{
    (void)state;
    struct runs_stop s = {.at = 2};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    runs_well("e", LORAC_RUN_NEW, &watch, NULL);
    static const char *const tables[] = {"train.csv", "valid.csv"};
    for (size_t i = 0; i < 2; i++) {
        char want[200];
        (void)snprintf(want, sizeof want,
                       "DIR/%s: has changed since the run began; a resumed run needs the same data",
                       tables[i]);
        touch(tables[i], 2);
        refused("e", LORAC_RUN_RESUME, NULL, want);
        touch(tables[i], 2);
    }
    touch("model/model.safetensors", 2);
    refused("e", LORAC_RUN_RESUME, NULL, "DIR/model: is not the base that this run began with");
    touch("model/model.safetensors", 2);
    size_t n = 0;
    char *good = tiny_read(tiny_path("model/tokenizer.json"), &n);
    char *other = tiny_read(tiny_path("model/tokenizer.json"), &n);
    memcpy(strstr(other, "\"a\": 97"), "\"b\": 97", 7);
    memcpy(strstr(other + (strstr(good, "\"a\": 97") - good) + 7, "\"b\": 98"), "\"a\": 98", 7);
    tiny_text("model/tokenizer.json", other);
    refused("e", LORAC_RUN_RESUME, NULL,
            "DIR/model: makes other tokens of the same data than when the run began: its "
            "tokenizer has changed");
    tiny_text("model/tokenizer.json", good);
    lorac_mem_free(good);
    lorac_mem_free(other);
    runs_well("e", LORAC_RUN_RESUME, NULL, NULL);
}

static void last_note(void *self, const char *text)
{
    (void)snprintf(self, 200, "%s", text);
}

static void resuming_notes_another_program(void **state)
{
    (void)state;
    char note[200] = "";
    struct lorac_run_watch watch = {.self = note, .note = last_note};
    runs_well("v", LORAC_RUN_NEW, NULL, quick);
    runs_well("v", LORAC_RUN_RESUME, &watch, quick);
    assert_null(strstr(note, "began with"));
    tiny_edit("v/run.json", "\"version\": \"", "\"version\": \"0.0.7-");
    runs_well("v", LORAC_RUN_RESUME, &watch, quick);
    assert_int_equal(strncmp(note, "the run began with lorac 0.0.7-", 31), 0);
    assert_non_null(strstr(note, ": the result may differ from an uninterrupted run"));
}

static void resuming_from_another_adapter_is_refused(void **state)
{
    (void)state;
    struct runs_stop s = {.at = 2};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    char from[300];
    (void)snprintf(from, sizeof from, "adapter.from=%s", tiny_path("source/best"));
    const char *const sets[] = {from, "-adapter.rank", "-adapter.alpha", NULL};
    runs_well("source", LORAC_RUN_NEW, NULL, quick);
    runs_well("u", LORAC_RUN_NEW, &watch, sets);
    touch("source/best/adapter_model.safetensors", 2);
    refused("u", LORAC_RUN_RESUME, sets,
            "DIR/source/best: has changed since the run began (adapter.from); a resumed run needs "
            "the same adapter");
    touch("source/best/adapter_model.safetensors", 2);
    runs_well("u", LORAC_RUN_RESUME, NULL, sets);
}

static void a_failed_run_says_so_and_of_what(void **state)
{
    (void)state;
    static const char *const still[] = {"optimizer.lr=1e-300", "train.epochs=1", NULL};
    struct lorac_run_result result;
    struct lorac_err err = {0};
    assert_int_equal(runs_go(&result, "failed", LORAC_RUN_NEW, NULL, still, &err), LORAC_EUSER);
    runs_in_manifest("failed", "\"status\": \"failed\"");
    runs_in_manifest("failed", "every B is zero after 4 steps");
    runs_well("ended", LORAC_RUN_NEW, NULL, quick); // what a refused attempt leaves as it was
    assert_int_equal(runs_go(&result, "ended", LORAC_RUN_RESUME, NULL, still, &err), LORAC_EUSER);
    runs_in_manifest("ended", "\"status\": \"finished\"");
}

static void another_process_on_the_folder_is_refused(void **state)
{
    (void)state;
    int lock = -1;
    runs_well("f", LORAC_RUN_NEW, NULL, quick);
    assert_int_equal(lorac_lock_open(&lock, tiny_path("f/lock"), NULL), LORAC_OK);
    struct lorac_run_result result;
    struct lorac_err err = {0};
    for (int mode = LORAC_RUN_RESUME; mode <= LORAC_RUN_OVERWRITE; mode++) {
        assert_int_equal(runs_go(&result, "f", (enum lorac_run_mode)mode, NULL, quick, &err),
                         LORAC_EUSER);
        assert_non_null(strstr(err.text, "f/lock: "));
        assert_non_null(strstr(err.text, "another process"));
    }
    assert_true(lorac_path_is_dir(tiny_path("f/best"))); // nothing was removed
    lorac_lock_close(lock);
    runs_well("f", LORAC_RUN_OVERWRITE, NULL, quick);
}

static void the_log_is_written_where_it_is_asked_for(void **state)
{
    (void)state;
    static const char *const silent[] = {"train.epochs=1", "output.log=[terminal]", NULL};
    runs_well("m", LORAC_RUN_NEW, NULL, silent);
    assert_false(lorac_path_exists(tiny_path("m/metrics.csv")));
    runs_well("m", LORAC_RUN_RESUME, NULL, silent);
    assert_false(lorac_path_exists(tiny_path("m/metrics.csv")));
}

static void a_folder_moved_aside_is_put_back(void **state)
{
    (void)state;
    static const char *const folders[] = {"k/best", "k/last"};
    static const char *const aside[] = {"k/best.old", "k/last.old"};
    struct lorac_err err = {0};
    runs_well("k", LORAC_RUN_NEW, NULL, quick);
    runs_well("whole", LORAC_RUN_OVERWRITE, NULL, quick);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(rename(tiny_path(folders[i]), tiny_path(aside[i])), 0);
        runs_well("k", LORAC_RUN_RESUME, NULL, quick);
        runs_same("whole", "k");
        assert_false(lorac_path_exists(tiny_path(aside[i])));
        assert_int_equal(lorac_dir_make(tiny_path(aside[i]), &err), LORAC_OK); // or left behind
        runs_well("k", LORAC_RUN_RESUME, NULL, quick);
        runs_same("whole", "k");
        assert_false(lorac_path_exists(tiny_path(aside[i])));
        assert_int_equal(rename(tiny_path(folders[i]), tiny_path(aside[i])), 0);
    }
    static const char *const last[] = {"train.epochs=1", "-data.valid", "output.keep=[last]", NULL};
    runs_well("k", LORAC_RUN_OVERWRITE, NULL, last);
    assert_false(lorac_path_exists(tiny_path("k/best"))); // the old run's
}

/* Asked at step 3: does the state know of the best of step 2? */
static void look_for_state(void *self, const struct lorac_step *s)
{
    if (s->step == 3) {
        *(bool *)self = lorac_path_exists(tiny_path("l/best")) &&
                        lorac_path_exists(tiny_path("l/state/state.safetensors"));
    }
}

static void the_state_is_saved_with_each_best(void **state)
{
    (void)state;
    static const char *const rare[] = {"train.epochs=1", "eval.every=2 steps",
                                       "output.save_every=end", NULL};
    bool there = false;
    struct lorac_run_watch watch = {.self = &there, .step = look_for_state};
    runs_well("l", LORAC_RUN_NEW, &watch, rare);
    assert_true(there);
}

/* ---- nothing to train ---- */

static void a_run_that_changes_nothing_is_an_error(void **state)
{
    (void)state;
    static const char *const still[] = {"optimizer.lr=1e-300", "train.epochs=1", NULL};
    refused("g", LORAC_RUN_NEW, still,
            "DIR/g/best: every B is zero after 4 steps: the adapter changes nothing and is not "
            "saved; is optimizer.lr zero?");
    tiny_text("blank.csv", "text,label\n,good\n,bad\n");
    char train[300];
    (void)snprintf(train, sizeof train, "data.train=%s", tiny_path("blank.csv"));
    const char *const blank[] = {train, "data.on_empty=skip", NULL};
    struct lorac_run_result result;
    struct lorac_err err = {0};
    assert_int_equal(runs_go(&result, "h", LORAC_RUN_NEW, NULL, blank, &err), LORAC_EFORMAT);
    assert_non_null(strstr(err.text,
                           "blank.csv: no row is left of 2: 2 empty, 0 too long, 0 with an "
                           "unknown label, expected at least one"));
    assert_false(lorac_path_exists(tiny_path("h"))); // found before a folder was made
}

static void a_loss_that_is_not_finite_names_step_and_lines(void **state)
{
    (void)state;
    static const char *const sets[] = {"train.shuffle=false", NULL};
    tiny_spoil();
    refused(
        "i", LORAC_RUN_NEW, sets,
        "step 1: the loss is not finite (lines 2, 3, 4 of the training table); the state before "
        "this step is kept: try a smaller optimizer.lr");
    (void)tiny_model(state);
}

/* ---- the watchdog ---- */

static const char *const watched[] = {"train.watchdog.loss_above=1e-6", "train.watchdog.patience=4",
                                      "eval.every=4 steps", "output.save_every=end", NULL};

static void a_loss_that_stays_high_stops_the_run_and_saves_it(void **state)
{
    (void)state;
    struct lorac_run_result result;
    struct lorac_err err = {0};
    for (int stop = 4; stop <= 8; stop += 4) { // resumed, it counts anew
        enum lorac_run_mode mode = stop == 4 ? LORAC_RUN_NEW : LORAC_RUN_RESUME;
        char begins[32];
        (void)snprintf(begins, sizeof begins, "step %d: the training loss is ", stop);
        assert_int_equal(runs_go(&result, "w", mode, NULL, watched, &err), LORAC_EUSER);
        assert_int_equal(strncmp(err.text, begins, strlen(begins)), 0);
        assert_non_null(strstr(err.text, ", and was above 1e-06 (train.watchdog.loss_above) in "
                                         "each of the last 4 steps; the state is saved: "));
    }
    assert_true(lorac_path_is_dir(tiny_path("w/best")) && lorac_path_is_dir(tiny_path("w/last")));
    struct lorac_run_result r = runs_well("w", LORAC_RUN_RESUME, NULL, watched); // 3 steps are left
    assert_int_equal(r.step, RUNS_STEPS);
    runs_well("x", LORAC_RUN_NEW, NULL, (const char *const[]){"output.save_every=end", NULL});
    char *w = runs_metrics("w");
    char *x = runs_metrics("x");
    assert_string_equal(w, x); // nothing was lost on the way
    lorac_mem_free(w);
    lorac_mem_free(x);
}

/* The losses of a run's steps, from its metrics. */
static void read_losses(double loss[RUNS_STEPS], const char *out)
{
    char *csv = runs_metrics(out);
    const char *at = csv;
    for (size_t i = 0; i < RUNS_STEPS; i++) {
        at = strstr(at, ",train,");
        assert_non_null(at);
        at += 7;
        loss[i] = lorac_strtod(at, NULL);
    }
    lorac_mem_free(csv);
}

static void a_high_loss_now_and_then_does_not_stop_it(void **state)
{
    (void)state;
    double loss[RUNS_STEPS];
    char limit[64] = "";
    char patience[64] = "";
    // a row a step at hardly any learning rate: the losses are those of the rows, up and down
    const char *sets[] = {"train.batch_size=1",
                          "train.accumulate=1",
                          "train.shuffle=false",
                          "optimizer.lr=1e-6",
                          "train.epochs=null",
                          "train.steps=11",
                          "output.save_every=end",
                          "eval.every=end",
                          NULL,
                          NULL,
                          NULL};
    runs_well("rows", LORAC_RUN_NEW, NULL, sets);
    read_losses(loss, "rows"); // a limit that is passed more often than in a row, and one time more
    for (size_t k = 0; k < RUNS_STEPS && !limit[0]; k++) {
        size_t all = 0;
        size_t row = 0;
        size_t longest = 0;
        for (size_t i = 0; i < RUNS_STEPS; i++) {
            bool above = loss[i] > loss[k] * 1.0001;
            all += above;
            row = above ? row + 1 : 0;
            longest = row > longest ? row : longest;
        }
        if (all == longest) { continue; }
        (void)lorac_snprintf(limit, sizeof limit, "train.watchdog.loss_above=%.9g",
                             loss[k] * 1.0001);
        (void)snprintf(patience, sizeof patience, "train.watchdog.patience=%zu", longest + 1);
    }
    assert_true(limit[0] != '\0');
    sets[8] = limit;
    sets[9] = patience;
    runs_well("y", LORAC_RUN_NEW, NULL, sets);
}

static void an_interrupted_run_keeps_the_watchdogs_count(void **state)
{
    (void)state;
    struct lorac_run_result result;
    struct lorac_err err = {0};
    struct runs_stop s = {.at = 3};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    runs_well("z", LORAC_RUN_NEW, &watch, watched);
    assert_int_equal(runs_go(&result, "z", LORAC_RUN_RESUME, NULL, watched, &err), LORAC_EUSER);
    assert_int_equal(strncmp(err.text, "step 4: the training loss", 25), 0);
}

/* ---- the state's file ---- */

static void a_damaged_state_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *want;
    } cases[] = {
        {"step", "-1", "'step' is -1, a number was expected"},
        {"step", "1e3", "'step' is 1e3, a number was expected"},
        {"micro", "99999999999999999999", "'micro' is 99999999999999999999, a number"},
        {"position", "1000", "DIR"}, // beyond the dataset: the loader's words
        {"best", "x", "'best' is x, a number was expected"},
    };
    struct runs_stop s = {.at = 2};
    struct lorac_run_watch watch = runs_stop_watch(&s);
    runs_well("j", LORAC_RUN_NEW, &watch, NULL);
    size_t n = 0;
    char *good = tiny_read(tiny_path("j/state/state.safetensors"), &n);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lorac_run_result result;
        struct lorac_err err = {0};
        char *key = NULL; // "key":"value" in the header, whose length must stay: pad with spaces
        char find[64];
        int length = snprintf(find, sizeof find, "\"%s\":\"", cases[i].key);
        for (size_t k = 0; k + 64 < n && !key; k++) {
            if (memcmp(good + k, find, (size_t)length) == 0) { key = good + k + length; }
        }
        assert_non_null(key);
        size_t old = (size_t)(strchr(key, '"') - key);
        size_t new = strlen(cases[i].value);
        size_t at = (size_t)(key - good);
        char *bad = lorac_mem_new(n + new + 16, 1);
        size_t header = 0;
        memcpy(&header, good, 8);
        memcpy(bad, good, at);
        memcpy(bad + at, cases[i].value, new);
        memcpy(bad + at + new, key + old, n - at - old);
        header += new - old;
        memcpy(bad, &header, 8);
        assert_int_equal(
            lorac_file_write(tiny_path("j/state/state.safetensors"), bad, n + new - old, NULL),
            LORAC_OK);
        assert_int_not_equal(runs_go(&result, "j", LORAC_RUN_RESUME, NULL, NULL, &err), LORAC_OK);
        if (strcmp(cases[i].want, "DIR") != 0) { assert_non_null(strstr(err.text, cases[i].want)); }
        lorac_mem_free(bad);
    }
    assert_int_equal(lorac_file_write(tiny_path("j/state/state.safetensors"), good, n - 4, NULL),
                     LORAC_OK);
    struct lorac_run_result result;
    struct lorac_err err = {0};
    assert_int_equal(runs_go(&result, "j", LORAC_RUN_RESUME, NULL, NULL, &err), LORAC_EFORMAT);
    assert_int_equal(lorac_file_write(tiny_path("j/state/state.safetensors"), good, n, NULL),
                     LORAC_OK);
    lorac_mem_free(good);
    runs_well("j", LORAC_RUN_RESUME, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_that_holds_something_is_refused),
        cmocka_unit_test(a_run_killed_before_it_began_begins_anew),
        cmocka_unit_test(overwriting_leaves_nothing_of_the_old_run),
        cmocka_unit_test(keep_says_which_adapters_are_kept),
        cmocka_unit_test(resuming_with_another_recipe_is_refused),
        cmocka_unit_test(a_table_that_changes_meanwhile_is_refused),
        cmocka_unit_test(resuming_with_another_table_or_base_is_refused),
        cmocka_unit_test(resuming_notes_another_program),
        cmocka_unit_test(resuming_from_another_adapter_is_refused),
        cmocka_unit_test(a_failed_run_says_so_and_of_what),
        cmocka_unit_test(another_process_on_the_folder_is_refused),
        cmocka_unit_test(the_log_is_written_where_it_is_asked_for),
        cmocka_unit_test(a_folder_moved_aside_is_put_back),
        cmocka_unit_test(the_state_is_saved_with_each_best),
        cmocka_unit_test(a_run_that_changes_nothing_is_an_error),
        cmocka_unit_test(a_loss_that_is_not_finite_names_step_and_lines),
        cmocka_unit_test(a_loss_that_stays_high_stops_the_run_and_saves_it),
        cmocka_unit_test(a_high_loss_now_and_then_does_not_stop_it),
        cmocka_unit_test(an_interrupted_run_keeps_the_watchdogs_count),
        cmocka_unit_test(a_damaged_state_is_refused),
    };
    return cmocka_run_group_tests_name("run_folder", tests, runs_make, runs_remove);
}
